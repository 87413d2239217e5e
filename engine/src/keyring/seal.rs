//! Sealing: AES-SIV with a 512-bit key (RFC 5297, `AEAD_AES_SIV_CMAC_512`). A text is base64 (URL alphabet,
//! no padding) of a 16-byte random nonce and the SIV output; the context and the nonce are its associated
//! data.

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use weir_schemas::fact::Sealed;

/// Length of an AES-SIV-512 key.
pub const KEY_BYTES: usize = 64;
const NONCE_BYTES: usize = 16;

pub(super) fn seal(key: &[u8; KEY_BYTES], context: &str, clear: &[u8]) -> Sealed {
    let nonce: [u8; NONCE_BYTES] = rand::random();
    let closed = Aes256Siv::new(key.into())
        .encrypt([context.as_bytes(), &nonce], clear)
        .expect("AES-SIV takes two headers and any length that fits memory");
    let mut bytes = Vec::with_capacity(NONCE_BYTES + closed.len());
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(&closed);
    Sealed(URL_SAFE_NO_PAD.encode(bytes))
}

pub(super) fn open(key: &[u8; KEY_BYTES], context: &str, sealed: &Sealed) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(&sealed.0).ok()?;
    let (nonce, closed) = bytes.split_at_checked(NONCE_BYTES)?;
    Aes256Siv::new(key.into()).decrypt([context.as_bytes(), nonce], closed).ok()
}
