//! Sessions of people at the dashboard: a cookie that names a key and ends, sealed with a MAC. It is as good
//! as its key: a key that is revoked ends its sessions. Nothing is stored, so a restart ends none; one that was
//! signed out is remembered until the restart.
//!
//! Cookie: `KEY.UNTIL.MAC`: the key's id, Unix seconds, HMAC-SHA256 of both in base64url.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use weir_engine::keys::{KeyTable, Principal};
use weir_schemas::ids::KeyId;
use weir_schemas::time::Timestamp;

/// How long a session lasts.
pub const SESSION_SECONDS: i64 = 7 * 24 * 3_600;
/// How long a sign-in link works.
pub const SIGN_IN_LINK: Duration = Duration::from_secs(3_600);
/// Sessions that were signed out and are remembered.
const ENDED_MAX: usize = 100_000;
/// Sign-in links that are open at once.
pub const SIGN_IN_LINKS_MAX: usize = 1_000;

/// Makes and checks sessions.
pub struct Sessions {
    key: [u8; 32],
    keys: KeyTable,
    links: Mutex<HashMap<String, (KeyId, Instant)>>,
    /// Cookies of sessions that were ended before their time, with that time in Unix seconds.
    ended: Mutex<HashMap<String, i64>>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

impl Sessions {
    /// `key` seals the cookies; it is the keyring's.
    pub fn new(key: [u8; 32], keys: KeyTable) -> Self {
        Self { key, keys, links: Mutex::default(), ended: Mutex::default() }
    }

    fn mac(&self, head: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(head.as_bytes());
        mac
    }

    /// The cookie's value for a session of `key` that begins now.
    pub fn begin(&self, key: KeyId, now: Timestamp) -> String {
        let head = format!("{key}.{}", now.0 / 1_000 + SESSION_SECONDS);
        let tag = URL_SAFE_NO_PAD.encode(self.mac(&head).finalize().into_bytes());
        format!("{head}.{tag}")
    }

    /// Whose session the cookie's value is, while it lasts and its key is not revoked.
    pub fn check(&self, value: &str, now: Timestamp) -> Option<Principal> {
        let (head, tag) = value.rsplit_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        self.mac(head).verify_slice(&tag).ok()?;
        let (key, until) = head.split_once('.')?;
        let until: i64 = until.parse().ok()?;
        if until <= now.0 / 1_000 {
            return None;
        }
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).contains_key(value);
        if ended { None } else { self.keys.by_id(key.parse().ok()?) }
    }

    /// Ends the session of a cookie that [`Self::check`] knows: a copy of it is worth nothing any more.
    pub fn end(&self, value: &str, now: Timestamp) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.len() >= ENDED_MAX {
            ended.retain(|_, until| *until > now.0 / 1_000);
        }
        if ended.len() < ENDED_MAX {
            ended.insert(value.to_owned(), now.0 / 1_000 + SESSION_SECONDS);
        } else {
            tracing::warn!("more sessions were ended than can be remembered; revoke the key to be sure");
        }
    }

    /// A token for one sign-in as `key`, to be shown to those alone who may act as it; none while too many are open.
    pub fn sign_in_token(&self, key: KeyId) -> Option<String> {
        let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>());
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|_, (_, since)| since.elapsed() < SIGN_IN_LINK);
        if links.len() >= SIGN_IN_LINKS_MAX {
            return None;
        }
        links.insert(token.clone(), (key, Instant::now()));
        Some(token)
    }

    /// Takes a sign-in token; it works once.
    pub fn take_sign_in(&self, token: &str) -> Option<KeyId> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, since) = links.remove(token)?;
        (since.elapsed() < SIGN_IN_LINK).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use weir_engine::keys::hash_secret;
    use weir_schemas::fact::Role;
    use weir_schemas::ids::WorkspaceId;

    use super::*;

    fn sessions() -> (Sessions, KeyTable) {
        let keys = KeyTable::default();
        let principal =
            Principal { workspace: WorkspaceId(1), key: KeyId(7), role: Role::Admin, partner: None };
        keys.put(&hash_secret("weir_x"), principal);
        (Sessions::new([3; 32], keys.clone()), keys)
    }

    #[test]
    fn a_session_ends_with_its_time_its_seal_or_its_key() {
        let (sessions, keys) = sessions();
        let now = Timestamp(1_793_491_200_000);
        let cookie = sessions.begin(KeyId(7), now);
        assert_eq!(sessions.check(&cookie, now).unwrap().key, KeyId(7));
        assert!(sessions.check(&cookie, Timestamp(now.0 + SESSION_SECONDS * 1_000)).is_none());
        let other = sessions.begin(KeyId(7), Timestamp(now.0 + 5_000));
        sessions.end(&other, now);
        assert!(sessions.check(&other, now).is_none(), "signed out");
        assert!(sessions.check(&cookie, now).is_some(), "the others go on");
        let longer = cookie.replacen('.', ".9", 1);
        assert!(sessions.check(&longer, now).is_none(), "changed");
        assert!(Sessions::new([4; 32], keys.clone()).check(&cookie, now).is_none(), "another engine's");
        keys.remove(KeyId(7));
        assert!(sessions.check(&cookie, now).is_none(), "revoked");
        for odd in ["", ".", "..", "a.b.c"] {
            assert!(sessions.check(odd, now).is_none());
        }
    }

    #[test]
    fn a_sign_in_token_works_once() {
        let (sessions, _) = sessions();
        let token = sessions.sign_in_token(KeyId(7)).unwrap();
        assert_eq!(sessions.take_sign_in(&token), Some(KeyId(7)));
        assert_eq!(sessions.take_sign_in(&token), None);
        let open: Vec<_> = (0..=SIGN_IN_LINKS_MAX).map_while(|_| sessions.sign_in_token(KeyId(7))).collect();
        assert_eq!(open.len(), SIGN_IN_LINKS_MAX, "one more than may be open is refused, not made in vain");
    }
}
