//! What an endpoint must know beside its secrets, for the few providers that need more.

use serde::{Deserialize, Serialize};

use super::signature::{Digest, Encoding};

/// Settings of an endpoint. Kept sealed like its secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `gumroad`: the seller whose sales these are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seller_id: Option<String>,
    /// `paypal`: the certificates that PayPal signs with, PEM, one after another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// `generic`: how it signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Scheme>,
}

/// How a sender without a file of its own signs: HMAC over the raw body, or over `time.body`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scheme {
    /// The header with the signature.
    pub header: String,
    /// What stands before it in the header (`sha256=`).
    pub prefix: String,
    /// The hash function.
    pub algorithm: Digest,
    /// How the signature is written.
    pub encoding: Encoding,
    /// The header with the signed Unix time in seconds. Without one the body alone is signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_header: Option<String>,
    /// How far the signed time may be from now, in seconds.
    pub tolerance_s: u32,
}

impl Default for Scheme {
    fn default() -> Self {
        Self {
            header: "X-Signature".to_owned(),
            prefix: String::new(),
            algorithm: Digest::default(),
            encoding: Encoding::default(),
            timestamp_header: None,
            tolerance_s: super::signature::TOLERANCE_S as u32,
        }
    }
}
