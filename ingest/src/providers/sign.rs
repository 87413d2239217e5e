//! A sample signed as its provider would (`weir hooks sign`): so that an integration is tried before the first real
//! payment. The engine itself only verifies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use weir_edge::idempotency::{hex, sha256_hex};
use weir_schemas::time::{SECOND_MS, Timestamp};

use super::signature::base64;
use super::{Provider, fondy, paypal};

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The headers that carry the signature.
    pub headers: Vec<(&'static str, String)>,
    /// What the provider sends, as it names it.
    pub content_type: &'static str,
    /// What follows the endpoint's URL, for a provider whose secret stands there.
    pub suffix: String,
    /// The body; a provider that signs inside it has changed it.
    pub body: Vec<u8>,
}

/// What signs.
#[derive(Debug, Clone, Copy)]
pub struct Signer<'a> {
    /// The endpoint's secret.
    pub secret: &'a str,
    /// The private key (RSA, PKCS #8, PEM or DER) of the endpoint's certificate, for a provider that signs with one.
    pub private_key: Option<&'a [u8]>,
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// Signs `body` at `now`. The error says what is missing or wrong.
pub fn sign(provider: Provider, signer: Signer<'_>, body: &[u8], now: Timestamp) -> Result<Signed, String> {
    let secret = signer.secret;
    let time = now.0.div_euclid(SECOND_MS);
    let mac = |key: &[u8], parts: &[&[u8]]| -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().to_vec()
    };
    let plain = |parts: &[&[u8]]| mac(secret.as_bytes(), parts);
    let stamp = time.to_string();
    let headers = match provider {
        Provider::Standard => {
            let key = base64(secret.strip_prefix("whsec_").unwrap_or(secret));
            let key = key.filter(|key| !key.is_empty()).ok_or("the secret is not base64 after `whsec_`")?;
            let id = format!("msg_{}", &sha256_hex(body)[..24]);
            let digest = mac(&key, &[id.as_bytes(), b".", stamp.as_bytes(), b".", body]);
            vec![
                ("webhook-id", id),
                ("webhook-timestamp", stamp),
                ("webhook-signature", format!("v1,{}", STANDARD.encode(digest))),
            ]
        }
        Provider::Stripe => {
            let digest = plain(&[stamp.as_bytes(), b".", body]);
            vec![("stripe-signature", format!("t={stamp},v1={}", hex(&digest)))]
        }
        Provider::Paddle => {
            let digest = plain(&[stamp.as_bytes(), b":", body]);
            vec![("paddle-signature", format!("ts={stamp};h1={}", hex(&digest)))]
        }
        Provider::Razorpay => vec![("x-razorpay-signature", hex(&plain(&[body])))],
        Provider::LemonSqueezy => vec![("x-signature", hex(&plain(&[body])))],
        Provider::Generic => vec![("x-signature", hex(&plain(&[body])))],
        Provider::Refersion => vec![("refersion-signature", STANDARD.encode(plain(&[body])))],
        Provider::Shopify => vec![("x-shopify-hmac-sha256", STANDARD.encode(plain(&[body])))],
        Provider::WooCommerce => vec![("x-wc-webhook-signature", STANDARD.encode(plain(&[body])))],
        Provider::Fondy => {
            let body = fondy::sign(secret, body).map_err(|refusal| refusal.to_string())?;
            return Ok(Signed { headers: Vec::new(), content_type: JSON, suffix: String::new(), body });
        }
        Provider::Gumroad => {
            let suffix = format!("/{secret}");
            return Ok(Signed { headers: Vec::new(), content_type: FORM, suffix, body: body.to_vec() });
        }
        Provider::PayPal => {
            let key = signer.private_key.ok_or(
                "paypal signs with a private key: give one of your own, and the endpoint its certificate",
            )?;
            paypal::sign(key, secret, body, now)?
        }
    };
    Ok(Signed { headers, content_type: JSON, suffix: String::new(), body: body.to_vec() })
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::super::settings::{Scheme, Settings};
    use super::super::{Incoming, Refusal};
    use super::*;

    #[test]
    fn what_is_signed_is_believed_and_nothing_else() {
        let now = Timestamp(1_793_491_200_000);
        let secret = "whsec_c2VjcmV0c2VjcmV0c2VjcmV0".to_owned();
        let body: &[u8] =
            br#"{"order_status":"created","payment_id":7,"id":"e1","type":"x","data":{"object":{}}}"#;
        for provider in Provider::ALL.iter().copied() {
            let key: &[u8] = include_bytes!("../../tests/webhooks/paypal/test_key.pk8");
            let signer = Signer { secret: &secret, private_key: Some(key) };
            let signed = sign(provider, signer, body, now).unwrap();
            let mut headers = HeaderMap::new();
            for (name, value) in &signed.headers {
                headers.insert(*name, value.parse().unwrap());
            }
            let signature = Some(Scheme::default());
            let certificate = include_str!("../../tests/webhooks/paypal/cert.pem").to_owned();
            let settings = match provider {
                Provider::Generic => Settings { signature, ..Settings::default() },
                Provider::PayPal => Settings { certificate: Some(certificate), ..Settings::default() },
                _ => Settings::default(),
            };
            let segment = signed.suffix.trim_start_matches('/').to_owned();
            let received = |secret: &str, body: &[u8], now: Timestamp| {
                let incoming = Incoming { segment: &segment, ..Incoming::new(&headers, body, now) };
                provider.receive(&[secret.to_owned()], &settings, incoming)
            };
            // It may mean nothing to the provider's decoder; its signature is believed.
            let believed = received(&secret, &signed.body, now);
            assert!(
                !matches!(&believed, Err(refusal) if refusal.status() == 401),
                "{provider:?}: {believed:?}"
            );
            let other = received("whsec_b3RoZXI=", &signed.body, now);
            assert_eq!(other, Err(Refusal::SignatureMismatch), "{provider:?}");
        }
        let without = Signer { secret: &secret, private_key: None };
        assert!(sign(Provider::PayPal, without, body, now).is_err());
    }
}
