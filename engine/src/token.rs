//! The click token (`wclid`): a click's identity, sealed so that it can travel through strangers' hands and
//! come back with a conversion. It needs no store: whoever has the key reads the click's workspace, link,
//! variant, time, lane and counter.
//!
//! Bytes: key id (1, in clear, authenticated) · tag (16) · AES-SIV ciphertext of click id (16), workspace
//! (4), link (8), variant (1), big-endian. In base64url without padding: [`TOKEN_CHARS`] characters. AES-SIV
//! (RFC 5297) is deterministic; the click id inside never repeats, so neither does a token.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use siv::Siv;
use weir_schemas::ids::{ClickId, LinkId, WorkspaceId};

mod siv;

const CLEAR_BYTES: usize = siv::MESSAGE_BYTES;
const _: () = assert!(CLEAR_BYTES == 16 + 4 + 8 + 1);
const TAG_BYTES: usize = 16;
const TOKEN_BYTES: usize = 1 + TAG_BYTES + CLEAR_BYTES;
/// Characters of every token.
pub const TOKEN_CHARS: usize = (TOKEN_BYTES * 4).div_ceil(3);

/// What a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenParts {
    /// The click.
    pub click: ClickId,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The link.
    pub link: LinkId,
    /// The variant's place in the link's list, from 1; 0 for none.
    pub variant: u8,
}

/// Why a text is no token of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Another length or alphabet.
    #[error("is not a click token: expected {TOKEN_CHARS} characters of A-Z a-z 0-9 - _")]
    Shape,
    /// Sealed under a key that this engine never had or has retired.
    #[error("was made under the unknown key {0}: by another engine, or before its keyring was replaced")]
    UnknownKey(u8),
    /// Right shape, wrong seal.
    #[error("is forged or damaged: its seal does not hold")]
    Forged,
}

/// A minted token: text on the stack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token([u8; TOKEN_CHARS]);

impl Token {
    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64url is ASCII")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The keys: the newest mints, every one opens.
pub struct TokenKeys {
    keys: Vec<(u8, Siv)>,
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

impl TokenKeys {
    /// `keys` are ids and key bytes, the newest last; at least one.
    pub fn new(keys: &[(u8, [u8; 64])]) -> Self {
        assert!(!keys.is_empty(), "a keyring holds at least one token key");
        Self { keys: keys.iter().map(|(id, key)| (*id, Siv::new(key, &[*id]))).collect() }
    }

    /// Seals `parts`.
    pub fn mint(&self, parts: &TokenParts) -> Token {
        let (id, siv) = self.keys.last().expect("there is at least one");
        let mut clear = [0_u8; CLEAR_BYTES];
        clear[..16].copy_from_slice(&parts.click.0.to_be_bytes());
        clear[16..20].copy_from_slice(&parts.workspace.0.to_be_bytes());
        clear[20..28].copy_from_slice(&parts.link.0.to_be_bytes());
        clear[28] = parts.variant;
        let tag = siv.seal(&mut clear);
        let mut bytes = [0_u8; TOKEN_BYTES];
        bytes[0] = *id;
        bytes[1..=TAG_BYTES].copy_from_slice(&tag);
        bytes[1 + TAG_BYTES..].copy_from_slice(&clear);
        let mut text = [0_u8; TOKEN_CHARS];
        URL_SAFE_NO_PAD.encode_slice(bytes, &mut text).expect("the buffer has the size of the text");
        Token(text)
    }

    /// Opens a token.
    pub fn open(&self, text: &str) -> Result<TokenParts, TokenError> {
        let mut bytes = [0_u8; TOKEN_BYTES];
        if text.len() != TOKEN_CHARS || URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) != Ok(TOKEN_BYTES) {
            return Err(TokenError::Shape);
        }
        let id = bytes[0];
        let (_, siv) = self.keys.iter().find(|(known, _)| *known == id).ok_or(TokenError::UnknownKey(id))?;
        let tag: [u8; TAG_BYTES] = bytes[1..=TAG_BYTES].try_into().expect("the head is an id and a tag");
        let mut clear: [u8; CLEAR_BYTES] =
            bytes[1 + TAG_BYTES..].try_into().expect("the rest is the message");
        if !siv.open(tag, &mut clear) {
            return Err(TokenError::Forged);
        }
        Ok(TokenParts {
            click: ClickId(u128::from_be_bytes(clear[..16].try_into().expect("16 bytes"))),
            workspace: WorkspaceId(u32::from_be_bytes(clear[16..20].try_into().expect("4 bytes"))),
            link: LinkId(u64::from_be_bytes(clear[20..28].try_into().expect("8 bytes"))),
            variant: clear[28],
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(click: u128, workspace: u32, link: u64, variant: u8) -> TokenParts {
        TokenParts { click: ClickId(click), workspace: WorkspaceId(workspace), link: LinkId(link), variant }
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_opened(click: u128, workspace: u32, link: u64, variant: u8) {
            let keys = TokenKeys::new(&[(1, [7; 64])]);
            let parts = parts(click, workspace, link, variant);
            let token = keys.mint(&parts);
            prop_assert!(token.as_str().len() < 100);
            prop_assert_eq!(keys.open(token.as_str()), Ok(parts));
        }

        #[test]
        fn no_changed_character_is_accepted(click: u128, at in 0..TOKEN_CHARS, to in "[A-Za-z0-9_-]") {
            let keys = TokenKeys::new(&[(1, [7; 64])]);
            let token = keys.mint(&parts(click, 1, 2, 0));
            let mut text = token.as_str().to_owned();
            text.replace_range(at..=at, &to);
            prop_assume!(text != token.as_str());
            prop_assert!(keys.open(&text).is_err());
        }
    }

    #[test]
    fn rotation_keeps_old_tokens_readable() {
        let old = TokenKeys::new(&[(1, [7; 64])]);
        let token = old.mint(&parts(5, 1, 2, 0));
        let rotated = TokenKeys::new(&[(1, [7; 64]), (2, [8; 64])]);
        assert_eq!(rotated.open(token.as_str()), Ok(parts(5, 1, 2, 0)));
        let new = rotated.mint(&parts(5, 1, 2, 0));
        assert_eq!(old.open(new.as_str()), Err(TokenError::UnknownKey(2)));
        let foreign = TokenKeys::new(&[(1, [9; 64])]);
        assert_eq!(foreign.open(token.as_str()), Err(TokenError::Forged));
        assert_eq!(foreign.open("abc"), Err(TokenError::Shape));
    }
}
