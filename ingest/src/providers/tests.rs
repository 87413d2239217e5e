//! What holds for every provider, and what the tests of each stand on.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use sha2::Sha256;

use super::*;

/// 2023-11-14T22:13:20Z.
pub(super) const NOW: Timestamp = Timestamp(1_700_000_000_000);

macro_rules! fixture {
    ($path:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/webhooks/", $path)).as_slice()
    };
}
pub(super) use fixture;

/// A delivery that its provider signed.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) provider: Provider,
    pub(super) secrets: Vec<String>,
    pub(super) settings: Settings,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) now: Timestamp,
    pub(super) segment: String,
    pub(super) query: String,
}

impl Case {
    pub(super) fn new(provider: Provider, secret: &str, headers: &[(&str, &str)], body: &[u8]) -> Self {
        Self {
            provider,
            secrets: vec![secret.to_owned()],
            settings: Settings::default(),
            headers: header_map(headers),
            body: body.to_vec(),
            now: NOW,
            segment: String::new(),
            query: String::new(),
        }
    }

    fn incoming(&self) -> Incoming<'_> {
        let Self { headers, body, now, segment, query, .. } = self;
        Incoming { headers, body, now: *now, segment, query }
    }

    /// What is decoded of it, as the hooks do.
    #[track_caller]
    pub(super) fn decoded(&self) -> Decoded {
        self.provider.receive(&self.secrets, &self.settings, self.incoming()).unwrap()
    }

    /// Whether its signature is good. What its body says is another question.
    pub(super) fn verdict(&self) -> Result<(), Refusal> {
        match self.provider.receive(&self.secrets, &self.settings, self.incoming()) {
            Ok(_) | Err(Refusal::Malformed(_)) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    /// The signature is good; another secret, a missing header, and one flipped bit anywhere in a header of
    /// `signed` or in the body are refused.
    #[track_caller]
    pub(super) fn holds(&self, signed: &[&'static str]) {
        assert_eq!(self.verdict(), Ok(()));
        let other = Self { secrets: vec!["c29tZXRoaW5nIGVsc2U=".to_owned()], ..self.clone() };
        assert_eq!(other.verdict(), Err(Refusal::SignatureMismatch));
        let rolled = vec![other.secrets[0].clone(), self.secrets[0].clone()];
        assert_eq!(Self { secrets: rolled, ..self.clone() }.verdict(), Ok(()), "an older secret beside it");
        assert!(Self { secrets: Vec::new(), ..self.clone() }.verdict().is_err());
        for &name in signed {
            let mut missing = self.clone();
            missing.headers.remove(name);
            assert!(matches!(missing.verdict(), Err(Refusal::SignatureMissing(_))), "{name}");
            let value = self.headers[name].as_bytes();
            for bit in 0..value.len() * 8 {
                let mut changed = value.to_vec();
                changed[bit / 8] ^= 1 << (bit % 8);
                let Ok(changed) = HeaderValue::from_bytes(&changed) else { continue };
                let mut case = self.clone();
                case.headers.insert(name, changed);
                assert!(case.verdict().is_err(), "bit {bit} of {name}");
            }
        }
        let mut case = self.clone();
        // Every bit of the first bytes, then one bit of every byte.
        let bits = (0..case.body.len().min(64) * 8).chain((64..case.body.len()).map(|at| at * 8 + at % 8));
        for bit in bits {
            case.body[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(case.verdict(), Err(Refusal::SignatureMismatch), "bit {bit} of the body");
            case.body[bit / 8] ^= 1 << (bit % 8);
        }
        let longer = Self { body: [self.body.as_slice(), b" "].concat(), ..self.clone() };
        assert_eq!(longer.verdict(), Err(Refusal::SignatureMismatch));
    }

    /// The signed time is bounded on both sides.
    #[track_caller]
    pub(super) fn ages(&self) {
        let at =
            |seconds: i64| Self { now: Timestamp(self.now.0 + seconds * 1_000), ..self.clone() }.verdict();
        assert_eq!((at(300), at(-300)), (Ok(()), Ok(())));
        assert_eq!(at(301), Err(Refusal::SignatureTime(301)));
        assert_eq!(at(-301), Err(Refusal::SignatureTime(-301)));
    }
}

pub(super) fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    let parsed = headers
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()));
    parsed.collect()
}

pub(super) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

pub(super) fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn base64_of(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

/// What an unsigned body says, for the tests of decoders.
pub(super) fn decode_only(provider: Provider, body: &[u8]) -> Result<Decoded, Refusal> {
    let headers = header_map(&[("webhook-id", "msg_1")]);
    provider.decode(Incoming::new(&headers, body, NOW))
}

#[track_caller]
pub(super) fn notices(provider: Provider, body: &[u8]) -> Vec<Notice> {
    decode_only(provider, body).unwrap().notices
}

pub(super) fn money(amount: i64, currency: &str) -> Money {
    Money { amount, currency: currency.parse().unwrap() }
}

pub(super) fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

#[test]
fn the_published_vectors_verify() {
    let vectors: serde_json::Value = serde_json::from_slice(fixture!("vectors.json")).unwrap();
    let mut seen = 0;
    for vector in vectors.as_array().unwrap() {
        let id = vector["id"].as_str().unwrap();
        let provider = Provider::from_name(vector["provider"].as_str().unwrap()).unwrap();
        let secrets: Vec<String> = match &vector["secret"] {
            serde_json::Value::String(secret) => vec![secret.clone()],
            secrets => serde_json::from_value(secrets.clone()).unwrap(),
        };
        let path =
            format!("{}/tests/webhooks/{}", env!("CARGO_MANIFEST_DIR"), vector["body"].as_str().unwrap());
        let headers = vector["headers"].as_object().unwrap();
        let headers: Vec<_> = headers.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap())).collect();
        let case = Case {
            secrets,
            now: Timestamp(vector["now"].as_i64().unwrap_or(0) * 1_000),
            ..Case::new(provider, "", &headers, &std::fs::read(path).unwrap())
        };
        seen += 1;
        match vector["expect"].as_str().unwrap() {
            "valid" => {
                assert_eq!(case.verdict(), Ok(()), "{id}");
                case.ages();
            }
            "invalid" => assert!(case.verdict().is_err(), "{id}"),
            "config-error" => {
                assert!(provider.check_secret(&case.secrets[0]).is_err(), "{id}");
                assert!(case.verdict().is_err(), "{id}");
            }
            // fondy's tests compare the string.
            "canonical-string-only" => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(seen, 9);
}

#[test]
fn secrets_are_checked_when_an_endpoint_is_made() {
    for &provider in Provider::ALL {
        assert_eq!(Provider::from_name(provider.as_str()), Some(provider));
        for empty in ["", " ", "whsec_"] {
            assert!(provider.check_secret(empty).is_err(), "{provider:?}");
        }
        let seller = Settings { seller_id: Some("s".into()), ..Settings::default() };
        assert_eq!(provider.check_settings(&seller).is_ok(), provider == Provider::Gumroad);
    }
    assert!(Provider::Standard.check_secret("whsec_not base64").is_err());
    assert!(Provider::Standard.check_secret("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").is_ok());
}

fn samples() -> Vec<(Provider, &'static [u8])> {
    vec![
        (
            Provider::Standard,
            br#"{"id":"e","type":"sale","data":{"order_id":"1","amount":"1.00","currency":"USD"}}"#,
        ),
        (Provider::Stripe, fixture!("stripe/checkout_session_completed.json")),
        (Provider::Razorpay, fixture!("razorpay/subscription.charged.json")),
        (Provider::Fondy, fixture!("fondy/flitt_docs_callback.json")),
        (Provider::Gumroad, fixture!("gumroad/sale_ping.form")),
        (Provider::Refersion, fixture!("refersion/marketplace_conversion_head.json")),
        (Provider::Shopify, fixture!("shopify/order_rest_example_trimmed.json")),
        (Provider::Paddle, fixture!("paddle/notification.transaction.created.json")),
        (Provider::LemonSqueezy, fixture!("lemonsqueezy/docs_order_created_head.json")),
        (Provider::WooCommerce, br#"{"id":1,"status":"completed","total":"1.00","currency":"USD"}"#),
        (Provider::PayPal, fixture!("paypal/PAYMENT.CAPTURE.REFUNDED.json")),
    ]
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(body in prop::collection::vec(any::<u8>(), 0..512)) {
        for &provider in Provider::ALL {
            _ = decode_only(provider, &body);
        }
    }

    #[test]
    fn no_damage_makes_a_decoder_panic(
        at in any::<prop::sample::Index>(),
        put in prop::collection::vec(any::<u8>(), 0..6),
        take in 0_usize..12,
    ) {
        for (provider, sample) in samples() {
            let at = at.index(sample.len());
            let mut body = sample.to_vec();
            body.splice(at..(at + take).min(sample.len()), put.iter().copied());
            _ = decode_only(provider, &body);
        }
    }

    #[test]
    fn no_header_makes_a_verifier_panic(
        value in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..128),
            "[tsvh01=,;. a-f0-9A-Z+/-]{0,64}".prop_map(String::into_bytes),
        ],
        body in prop::collection::vec(any::<u8>(), 0..64),
        segment in "\\PC{0,32}",
        query in "\\PC{0,32}",
    ) {
        let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature", "stripe-signature",
            "x-razorpay-signature", "refersion-signature", "x-shopify-hmac-sha256", "paddle-signature",
            "x-signature", "x-wc-webhook-signature", "paypal-transmission-id", "paypal-transmission-time",
            "paypal-transmission-sig", "paypal-cert-url", "paypal-auth-algo"];
        let mut headers: HeaderMap =
            names.iter().map(|name| (HeaderName::from_static(name), value.clone())).collect();
        let secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()];
        for _ in 0..2 {
            let incoming = Incoming { headers: &headers, body: &body, now: NOW, segment: &segment, query: &query };
            for &provider in Provider::ALL {
                prop_assert!(provider.receive(&secrets, &Settings::default(), incoming).is_err());
            }
            headers.insert("paypal-auth-algo", HeaderValue::from_static("SHA256withRSA"));
            headers.insert("paypal-cert-url", HeaderValue::from_static("https://api.paypal.com/c"));
        }
    }
}
