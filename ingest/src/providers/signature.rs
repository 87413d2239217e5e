//! What the providers' signatures have in common: HMACs compared in constant time, several secrets, a bounded
//! clock.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::{Sha256, Sha512};
use weir_schemas::time::{SECOND_MS, Timestamp};

use super::Refusal;

/// How far a signed time may be from now, either way, in seconds (Stripe's and Standard Webhooks' default).
pub const TOLERANCE_S: i64 = 300;

/// Checks a signed Unix time.
pub fn check_time(signed_s: i64, now: Timestamp) -> Result<(), Refusal> {
    let distance = now.0.div_euclid(SECOND_MS).saturating_sub(signed_s);
    if distance.saturating_abs() > TOLERANCE_S { Err(Refusal::SignatureTime(distance)) } else { Ok(()) }
}

/// Whether `expected` is HMAC-SHA256 of the concatenated `parts` under one of `secrets`; constant-time per
/// secret.
pub fn hmac_sha256_matches(secrets: &[String], parts: &[&[u8]], expected: &[u8]) -> bool {
    secrets.iter().any(|secret| hmac_matches(Digest::Sha256, secret.as_bytes(), parts, expected))
}

/// The hash functions that HMACs are made with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Digest {
    /// SHA-256, what nearly everyone uses.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

/// Whether `expected` is the HMAC of the concatenated `parts` under `key`; constant-time.
pub fn hmac_matches(digest: Digest, key: &[u8], parts: &[&[u8]], expected: &[u8]) -> bool {
    fn verify<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]], expected: &[u8]) -> bool {
        let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(part);
        }
        mac.verify_slice(expected).is_ok()
    }
    match digest {
        Digest::Sha256 => verify::<Hmac<Sha256>>(key, parts, expected),
        Digest::Sha512 => verify::<Hmac<Sha512>>(key, parts, expected),
    }
}

/// The header `name` as text.
pub fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, Refusal> {
    let value = headers.get(name).ok_or(Refusal::SignatureMissing(name))?;
    value.to_str().map_err(|_| Refusal::SignatureMalformed(name))
}

/// How a provider writes its signature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Hexadecimal in lower case.
    #[default]
    Hex,
    /// Base64, padded or not.
    Base64,
}

impl Encoding {
    /// The bytes of a signature.
    pub fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Hex => hex(text),
            Self::Base64 => base64(text),
        }
    }
}

/// The scheme of most: header `name` is HMAC-SHA256 of the raw body.
pub fn verify_body(
    secrets: &[String],
    incoming: super::Incoming<'_>,
    name: &'static str,
    encoding: Encoding,
) -> Result<(), Refusal> {
    let text = header(incoming.headers, name)?;
    let expected = encoding.decode(text.trim()).ok_or(Refusal::SignatureMalformed(name))?;
    let matches = hmac_sha256_matches(secrets, &[incoming.body], &expected);
    if matches { Ok(()) } else { Err(Refusal::SignatureMismatch) }
}

/// Decodes base64, padded or not.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&STANDARD, config).decode(text).ok()
}

/// A signed Unix time as it is written: digits and nothing else.
pub fn unix_seconds(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Decodes hexadecimal in lower case, as every provider writes it: another case would be another text with
/// the same meaning, and a signature has one.
pub fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if !text.len().is_multiple_of(2) || !text.bytes().all(digit) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_bounded_on_both_sides() {
        let now = Timestamp(1_000_000_000);
        assert_eq!(check_time(1_000_000 - 300, now), Ok(()));
        assert_eq!(check_time(1_000_000 + 300, now), Ok(()));
        assert_eq!(check_time(1_000_000 - 301, now), Err(Refusal::SignatureTime(301)));
        assert_eq!(check_time(1_000_000 + 301, now), Err(Refusal::SignatureTime(-301)));
        assert!(check_time(i64::MIN, now).is_err());
        assert!(check_time(i64::MAX, now).is_err());
    }

    #[test]
    fn hexadecimal() {
        assert_eq!(hex("00ff"), Some(vec![0, 255]));
        for bad in ["0", "fF", "0g", "+1", "ñ0"] {
            assert_eq!(hex(bad), None, "{bad}");
        }
    }
}
