//! The RSA key of an X.509 certificate (RFC 5280): just enough DER to find it. Nothing is trusted by being
//! read here; the certificate is the endpoint's own setting.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
const BEGIN_KEY: &str = "-----BEGIN PRIVATE KEY-----";
const END_KEY: &str = "-----END PRIVATE KEY-----";
/// Most certificates of one endpoint.
const CERTIFICATES_MAX: usize = 4;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;
/// `rsaEncryption`, 1.2.840.113549.1.1.1, as an OBJECT IDENTIFIER.
const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

/// Why certificates cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadCertificate {
    /// No certificate, or too many.
    #[error("must hold 1 to {CERTIFICATES_MAX} certificates as PEM")]
    Count,
    /// Not base64 between the lines.
    #[error("holds a certificate that is not base64")]
    Pem,
    /// Not X.509 with an RSA key.
    #[error("holds a certificate that is not X.509 with an RSA key")]
    Der,
}

/// The RSA public keys (PKCS #1) of the certificates in `pem`.
pub(super) fn keys(pem: &str) -> Result<Vec<Vec<u8>>, BadCertificate> {
    let mut keys = Vec::new();
    let mut rest = pem;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let (inside, next) = after.split_once(END).ok_or(BadCertificate::Pem)?;
        let text: String = inside.split_ascii_whitespace().collect();
        let der = STANDARD.decode(text).map_err(|_| BadCertificate::Pem)?;
        keys.push(rsa_key(&der).ok_or(BadCertificate::Der)?.to_vec());
        rest = next;
    }
    let count = (1..=CERTIFICATES_MAX).contains(&keys.len());
    if count { Ok(keys) } else { Err(BadCertificate::Count) }
}

/// Whether `signature` over `message` is made with `key` (RSASSA-PKCS1-v1_5, SHA-256, 2,048 bits or more).
pub(super) fn verifies(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(message, signature).is_ok()
}

/// The signature of `message` in base64, with a private key in PKCS #8: DER, or PEM around it.
pub(super) fn sign(private_key: &[u8], message: &[u8]) -> Result<String, String> {
    let pem = std::str::from_utf8(private_key).ok().and_then(|text| {
        let (inside, _) = text.split_once(BEGIN_KEY)?.1.split_once(END_KEY)?;
        STANDARD.decode(inside.split_ascii_whitespace().collect::<String>()).ok()
    });
    let key = RsaKeyPair::from_pkcs8(pem.as_deref().unwrap_or(private_key));
    let key = key.map_err(|error| format!("the private key is no RSA key in PKCS #8: {error}"))?;
    let mut signature = vec![0; key.public().modulus_len()];
    let signed = key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
    signed.map_err(|_| "the private key cannot sign")?;
    Ok(STANDARD.encode(signature))
}

/// Certificate → TBSCertificate → SubjectPublicKeyInfo → subjectPublicKey.
fn rsa_key(der: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = value(der, SEQUENCE)?;
    let (mut fields, _) = value(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = value(fields, VERSION)?.1;
    }
    fields = value(fields, INTEGER)?.1;
    // signature algorithm, issuer, validity, subject
    for _ in 0..4 {
        fields = value(fields, SEQUENCE)?.1;
    }
    let (info, _) = value(fields, SEQUENCE)?;
    let (algorithm, key) = value(info, SEQUENCE)?;
    if !algorithm.starts_with(RSA) {
        return None;
    }
    // The first byte of a BIT STRING is how many bits of its last one are unused.
    value(key, BIT_STRING)?.0.strip_prefix(&[0])
}

/// The contents of the element of type `tag` at the start of `der`, and what follows it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.split_first()?;
    let (&length, rest) = rest.split_first()?;
    if first != tag {
        return None;
    }
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
