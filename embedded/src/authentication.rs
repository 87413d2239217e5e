//! Who may ask: the one user `default` and its password, in the three ways that ClickHouse's clients send
//! them.

use base64::Engine as _;
use http::HeaderMap;
use subtle::ConstantTimeEq as _;

use crate::exception::{Exception, code};

/// The only user there is.
pub(crate) const USER: &str = "default";

/// What a request says about its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Credentials {
    /// `X-ClickHouse-User`/`-Key`, else HTTP Basic, else the parameters `user` and `password`.
    pub(crate) fn of(headers: &HeaderMap, user: Option<String>, password: Option<String>) -> Self {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (named, key) = (header("x-clickhouse-user"), header("x-clickhouse-key"));
        if named.is_some() || key.is_some() {
            return Self::or_default(named, key);
        }
        if let Some((user, password)) = header("authorization").as_deref().and_then(basic) {
            return Self { user, password };
        }
        Self::or_default(user, password)
    }

    fn or_default(user: Option<String>, password: Option<String>) -> Self {
        Self { user: user.unwrap_or_else(|| USER.to_owned()), password: password.unwrap_or_default() }
    }

    /// Compares without telling by its duration how much was right.
    pub(crate) fn check(&self, expected: &str) -> Result<(), Exception> {
        let user = self.user.as_bytes().ct_eq(USER.as_bytes());
        let password = self.password.as_bytes().ct_eq(expected.as_bytes());
        if bool::from(user & password) {
            return Ok(());
        }
        Err(Exception::new(
            code::AUTHENTICATION_FAILED,
            format_args!(
                "{}: Authentication failed: password is incorrect, or there is no user with such name",
                self.user
            ),
        ))
    }
}

fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    decoded.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn the_three_ways_are_the_same() {
        let keyed = with(&[("x-clickhouse-user", "default"), ("x-clickhouse-key", "pw")]);
        let basic = with(&[("authorization", "Basic ZGVmYXVsdDpwdw==")]);
        for credentials in [
            Credentials::of(&keyed, None, None),
            Credentials::of(&basic, None, None),
            Credentials::of(&with(&[]), some("default"), some("pw")),
            Credentials::of(&with(&[]), None, some("pw")),
        ] {
            assert!(credentials.check("pw").is_ok(), "{credentials:?}");
            let refused = credentials.check("pw2").unwrap_err();
            assert_eq!((refused.code, refused.status().as_u16()), (516, 403));
        }
        assert!(Credentials::of(&with(&[]), some("root"), some("pw")).check("pw").is_err());
        assert!(Credentials::of(&with(&[]), None, None).check("pw").is_err());
    }
}
