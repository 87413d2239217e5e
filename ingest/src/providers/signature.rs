//! What the providers' signatures have in common: HMACs compared in constant time, several secrets, a bounded
//! clock.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
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
    secrets.iter().any(|secret| {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(part);
        }
        mac.verify_slice(expected).is_ok()
    })
}

/// Decodes hexadecimal of either case.
pub fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
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
        assert_eq!(hex("00fF"), Some(vec![0, 255]));
        for bad in ["0", "0g", "+1", "ñ0"] {
            assert_eq!(hex(bad), None, "{bad}");
        }
    }
}
