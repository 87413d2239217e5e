//! Standard Webhooks (standardwebhooks.com, also Svix): `webhook-signature: v1,… v1,…` over `id.time.body`,
//! HMAC-SHA256 in base64; the key is the base64 after `whsec_`. The scheme fixes no body: Weir's own is
//! [`plain`](super::plain). The id stands in a header, and is signed.

use super::signature::{Digest, base64, check_time, header, hmac_matches, unix_seconds};
use super::{Decoded, Incoming, Refusal, plain};

const ID: &str = "webhook-id";
const TIME: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";
/// Most signatures read from one header.
const SIGNATURES_MAX: usize = 16;

/// The bytes of a secret's key.
fn key(secret: &str) -> Option<Vec<u8>> {
    base64(secret.strip_prefix("whsec_").unwrap_or(secret)).filter(|key| !key.is_empty())
}

/// A secret is base64, with or without `whsec_`.
pub fn check_secret(secret: &str) -> Result<(), &'static str> {
    key(secret).map(|_| ()).ok_or("must be base64, with or without `whsec_` before it")
}

/// Verifies the signature on the raw bytes.
pub fn verify(secrets: &[String], incoming: Incoming<'_>) -> Result<(), Refusal> {
    let id = header(incoming.headers, ID)?;
    let time = header(incoming.headers, TIME)?;
    let signatures = header(incoming.headers, SIGNATURE)?;
    let signed_at = unix_seconds(time).ok_or(Refusal::SignatureMalformed(TIME))?;
    if id.is_empty() {
        return Err(Refusal::SignatureMalformed(ID));
    }
    let signatures: Vec<Vec<u8>> = signatures
        .split_ascii_whitespace()
        .filter_map(|one| one.strip_prefix("v1,").and_then(base64))
        .take(SIGNATURES_MAX)
        .collect();
    if signatures.is_empty() {
        return Err(Refusal::SignatureMalformed(SIGNATURE));
    }
    let parts = [id.as_bytes(), b".", time.as_bytes(), b".", incoming.body];
    let matches = secrets
        .iter()
        .filter_map(|secret| key(secret))
        .any(|key| signatures.iter().any(|signature| hmac_matches(Digest::Sha256, &key, &parts, signature)));
    if !matches {
        return Err(Refusal::SignatureMismatch);
    }
    check_time(signed_at, incoming.now)
}

/// Decodes a verified body.
pub fn decode(incoming: Incoming<'_>) -> Result<Decoded, Refusal> {
    let mut decoded = plain::decode(incoming)?;
    // Unlike other providers' headers this one is signed, and it is the scheme's own key.
    decoded.dedupe_key = header(incoming.headers, ID)?.to_owned();
    Ok(decoded)
}

#[cfg(test)]
mod tests;
