use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;

use super::*;
use crate::providers::Provider;
use crate::providers::signature::{Digest, Encoding};
use crate::providers::tests::{Case, base64_of, hex_of, hmac_sha256};

const BODY: &[u8] = br#"{"type":"sale","data":{"order_id":"1","amount":"5","currency":"JPY"}}"#;

#[test]
fn the_default_scheme_holds() {
    let signature = hex_of(&hmac_sha256(b"secret", &[BODY]));
    let case = Case::new(Provider::Generic, "secret", &[("X-Signature", &signature)], BODY);
    case.holds(&["X-Signature"]);
    assert_eq!(case.decoded().notices.len(), 1);
}

#[test]
fn a_scheme_of_ones_own_holds() {
    let mut mac = Hmac::<Sha512>::new_from_slice(b"secret").unwrap();
    mac.update(b"1700000000.");
    mac.update(BODY);
    let signature = format!("sha512={}", base64_of(&mac.finalize().into_bytes()));
    let scheme = Scheme {
        header: "X-Sign".into(),
        prefix: "sha512=".into(),
        algorithm: Digest::Sha512,
        encoding: Encoding::Base64,
        timestamp_header: Some("X-Time".into()),
        ..Scheme::default()
    };
    let settings = Settings { signature: Some(scheme), ..Settings::default() };
    assert_eq!(check_settings(&settings), Ok(()));
    let headers = [("X-Sign", signature.as_str()), ("X-Time", "1700000000")];
    let case = Case { settings, ..Case::new(Provider::Generic, "secret", &headers, BODY) };
    case.holds(&["X-Sign", "X-Time"]);
    case.ages();
}

#[test]
fn schemes_are_checked() {
    let with = |scheme| check_settings(&Settings { signature: Some(scheme), ..Settings::default() });
    for bad in [
        Scheme { header: "no spaces".into(), ..Scheme::default() },
        Scheme { timestamp_header: Some(String::new()), ..Scheme::default() },
        Scheme { tolerance_s: 0, ..Scheme::default() },
        Scheme { tolerance_s: u32::MAX, ..Scheme::default() },
    ] {
        assert!(with(bad).is_err());
    }
}
