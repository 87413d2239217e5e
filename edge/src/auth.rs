//! Who asks: an API key in `Authorization: Bearer`, or the dashboard's session cookie. A cookie travels by
//! itself, so a call with one also needs a header that a foreign page cannot set.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use weir_engine::keys::{KeyTable, Principal};
use weir_schemas::time::Timestamp;

use crate::lines::Lines;
use crate::request::Credential;

/// The dashboard's session cookie.
pub const SESSION_COOKIE: &str = "weir_session";
/// The header that a call with the cookie needs, with value `1`.
pub const SESSION_HEADER: &str = "x-weir-session";
/// Longest credential looked at, in bytes.
const CREDENTIAL_MAX: usize = 512;

/// Tells whose session a cookie's value is; given by the dashboard.
pub type SessionCheck = Arc<dyn Fn(&str) -> Option<Principal> + Send + Sync>;

/// Finds out who asks.
#[derive(Clone)]
pub struct Authenticator {
    keys: KeyTable,
    sessions: Option<SessionCheck>,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("sessions", &self.sessions.is_some()).finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Keys alone, or also sessions.
    pub fn new(keys: KeyTable, sessions: Option<SessionCheck>) -> Self {
        Self { keys, sessions }
    }

    /// Who sent these headers. A bearer key goes before a cookie.
    pub fn credential(&self, headers: &HeaderMap) -> Credential {
        if let Some(value) = headers.get(AUTHORIZATION) {
            let text = value.to_str().unwrap_or("");
            let Some((scheme, secret)) = text.split_once(' ') else {
                return Credential::Refused("The Authorization header is not `Bearer weir_…`.");
            };
            if !scheme.eq_ignore_ascii_case("bearer") {
                return Credential::Refused("The Authorization header is not `Bearer weir_…`.");
            }
            return self.bearer(secret.trim());
        }
        let Some((sessions, cookie)) = self.sessions.as_ref().zip(headers.cookie(SESSION_COOKIE)) else {
            return Credential::None;
        };
        if headers.get(SESSION_HEADER).is_none_or(|value| value != "1") {
            return Credential::Refused(
                "A call with the session cookie needs the header `X-Weir-Session: 1`.",
            );
        }
        match (cookie.len() <= CREDENTIAL_MAX).then(|| sessions(cookie)).flatten() {
            Some(principal) => self.known(principal),
            None => Credential::Refused("The session is over or was made by another engine."),
        }
    }

    fn known(&self, principal: Principal) -> Credential {
        self.keys.uses().note(principal.key, Timestamp::now());
        Credential::Known(principal)
    }

    /// Who presents the key `secret`.
    pub fn bearer(&self, secret: &str) -> Credential {
        match (secret.len() <= CREDENTIAL_MAX).then(|| self.keys.find(secret)).flatten() {
            Some(principal) => self.known(principal),
            None => Credential::Refused("The API key is unknown or revoked."),
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_engine::keys::hash_secret;
    use weir_schemas::fact::Role;
    use weir_schemas::ids::{KeyId, WorkspaceId};

    use super::*;

    fn principal(key: u64) -> Principal {
        Principal { workspace: WorkspaceId(1), key: KeyId(key), role: Role::Admin, partner: None }
    }

    fn authenticator() -> Authenticator {
        let keys = KeyTable::default();
        keys.put(&hash_secret("weir_good"), principal(7));
        let sessions: SessionCheck = Arc::new(|value| (value == "s1").then(|| principal(8)));
        Authenticator::new(keys, Some(sessions))
    }

    fn ask(lines: &[(&'static str, &str)]) -> Result<u64, bool> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        match authenticator().credential(&headers) {
            Credential::Known(principal) => Ok(principal.key.0),
            Credential::Refused(_) => Err(true),
            Credential::None => Err(false),
        }
    }

    #[test]
    fn keys_and_sessions_are_told_apart() {
        assert_eq!(ask(&[]), Err(false));
        assert_eq!(ask(&[("authorization", "Bearer weir_good")]), Ok(7));
        assert_eq!(ask(&[("authorization", "bearer  weir_good")]), Ok(7));
        for bad in ["Bearer weir_bad", "Basic d2Vpcg==", "weir_good", ""] {
            assert_eq!(ask(&[("authorization", bad)]), Err(true), "{bad}");
        }
        let cookie = ("cookie", "a=b; weir_session=s1");
        assert_eq!(ask(&[cookie]), Err(true), "a foreign page could have sent this");
        assert_eq!(ask(&[cookie, ("x-weir-session", "0")]), Err(true));
        assert_eq!(ask(&[cookie, ("x-weir-session", "1")]), Ok(8));
        assert_eq!(ask(&[("cookie", "weir_session=s2"), ("x-weir-session", "1")]), Err(true));
        assert_eq!(ask(&[cookie, ("authorization", "Bearer weir_bad")]), Err(true), "the key goes first");
    }
}
