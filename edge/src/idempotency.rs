//! `Idempotency-Key`: the books answer a repeat as they answered the first, and refuse the key for another
//! request.

use std::fmt::Write;

use http::{HeaderMap, Method};
use sha2::{Digest, Sha256};
use weir_schemas::fact::IdempotentRequest;
use weir_schemas::problem::Problem;

/// The header.
pub const HEADER: &str = "idempotency-key";
/// Longest key, in bytes (Stripe's bound).
pub const KEY_MAX: usize = 255;

/// The key of a request and the fingerprint of what it asks: SHA-256 over method, path and body.
pub fn of(
    headers: &HeaderMap,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Result<Option<IdempotentRequest>, Problem> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let key = value.to_str().unwrap_or("");
    if key.is_empty() || key.len() > KEY_MAX {
        let detail = format!("Idempotency-Key must be 1 to {KEY_MAX} visible ASCII characters.");
        return Err(Problem::new(400, "bad_idempotency_key", "The idempotency key is not valid", detail));
    }
    let mut hash = Sha256::new();
    for part in [method.as_str().as_bytes(), b"\n", path.as_bytes(), b"\n", body] {
        hash.update(part);
    }
    Ok(Some(IdempotentRequest { key: key.to_owned(), fingerprint: hex(&hash.finalize()) }))
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
    }
    text
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, value.parse().unwrap());
        headers
    }

    #[test]
    fn the_fingerprint_tells_requests_apart() {
        let of = |path: &str, body: &[u8]| of(&key("k1"), &Method::POST, path, body).unwrap().unwrap();
        assert_eq!(of("/v1/links", b"{}"), of("/v1/links", b"{}"));
        assert_ne!(of("/v1/links", b"{}").fingerprint, of("/v1/links", b"{ }").fingerprint);
        assert_ne!(of("/v1/links", b"{}").fingerprint, of("/v1/keys", b"{}").fingerprint);
        assert_eq!(sha256_hex(b"abc")[..16], *"ba7816bf8f01cfea");
    }

    #[test]
    fn a_key_is_bounded() {
        assert_eq!(of(&HeaderMap::new(), &Method::POST, "/", b"").unwrap(), None);
        for bad in ["", &"x".repeat(KEY_MAX + 1)] {
            assert_eq!(of(&key(bad), &Method::POST, "/", b"").unwrap_err().status, 400);
        }
        assert!(of(&key(&"x".repeat(KEY_MAX)), &Method::POST, "/", b"").unwrap().is_some());
    }
}
