//! Anyone who can make an HMAC: header, prefix, hash function and encoding are the endpoint's settings
//! ([`Scheme`]); the body alone is signed, or `time.body`. What is signed is [`plain`](super::plain).

use http::HeaderName;
use weir_schemas::time::SECOND_MS;

use super::settings::{Scheme, Settings};
use super::signature::{hmac_matches, unix_seconds};
use super::{Decoded, Incoming, Refusal, plain};

/// Furthest that a signed time may be from now, in seconds: a day.
const TOLERANCE_MAX_S: u32 = 86_400;
const SIGNATURE: &str = "the signature header";
const TIME: &str = "the timestamp header";

/// Whether the scheme can be used.
pub fn check_settings(settings: &Settings) -> Result<(), (&'static str, String)> {
    let Some(scheme) = &settings.signature else { return Ok(()) };
    if scheme.header.parse::<HeaderName>().is_err() {
        return Err(("settings.signature.header", "is not a header's name".to_owned()));
    }
    if scheme.timestamp_header.as_ref().is_some_and(|name| name.parse::<HeaderName>().is_err()) {
        return Err(("settings.signature.timestamp_header", "is not a header's name".to_owned()));
    }
    if !(1..=TOLERANCE_MAX_S).contains(&scheme.tolerance_s) {
        return Err(("settings.signature.tolerance_s", format!("must be 1 to {TOLERANCE_MAX_S}")));
    }
    Ok(())
}

/// Verifies the signature on the raw bytes.
pub fn verify(secrets: &[String], settings: &Settings, incoming: Incoming<'_>) -> Result<(), Refusal> {
    let default = Scheme::default();
    let scheme = settings.signature.as_ref().unwrap_or(&default);
    let header = |name: &str, what: &'static str| {
        let value = incoming.headers.get(name).ok_or(Refusal::SignatureMissing(what))?;
        value.to_str().map(str::trim).map_err(|_| Refusal::SignatureMalformed(what))
    };
    let written = header(&scheme.header, SIGNATURE)?;
    let expected = written
        .strip_prefix(&scheme.prefix)
        .and_then(|text| scheme.encoding.decode(text))
        .ok_or(Refusal::SignatureMalformed(SIGNATURE))?;
    let time = scheme.timestamp_header.as_deref().map(|name| header(name, TIME)).transpose()?;
    let signed: &[&[u8]] = match time {
        Some(time) => &[time.as_bytes(), b".", incoming.body],
        None => &[incoming.body],
    };
    let matches =
        secrets.iter().any(|secret| hmac_matches(scheme.algorithm, secret.as_bytes(), signed, &expected));
    if !matches {
        return Err(Refusal::SignatureMismatch);
    }
    let Some(time) = time else { return Ok(()) };
    let signed_at = unix_seconds(time).ok_or(Refusal::SignatureMalformed(TIME))?;
    let distance = incoming.now.0.div_euclid(SECOND_MS).saturating_sub(signed_at);
    let near = distance.unsigned_abs() <= u64::from(scheme.tolerance_s);
    if near { Ok(()) } else { Err(Refusal::SignatureTime(distance)) }
}

/// Decodes a verified body.
pub fn decode(incoming: Incoming<'_>) -> Result<Decoded, Refusal> {
    plain::decode(incoming)
}

#[cfg(test)]
mod tests;
