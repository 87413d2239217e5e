//! Links with a password: the form, the attempts, and the cookie that spares a visitor the next form.
//!
//! The form posts to the link itself, query included. A right password is answered as a visit with 303, so that
//! no browser carries the password on; the click is counted then. The cookie names link, end and the password's
//! hash under a key of the engine: a new password ends every one that was given out.

use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, SET_COOKIE};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use sha2::Sha256;
use weir_edge::limit::{Exceeded, Limiter};
use weir_edge::response::{Body, Response};
use weir_engine::links::TrackedLink;
use weir_schemas::time::Timestamp;

use super::answer::SECURE;
use super::asked::{Asked, decoded_slug, write_host};
use super::limits::refuse;
use super::{Redirect, Visited};

/// The cookie of an opened link. Its path is the link's.
pub(super) const COOKIE: &str = "wul";
/// The largest form.
const FORM_BYTES_MAX: usize = 4_096;
/// How long a form may take to arrive.
const FORM_PATIENCE: Duration = Duration::from_secs(10);
/// How long a visitor is not asked again, in seconds.
const OPEN_SECONDS: i64 = 3_600;
/// Attempts of one address at one link that are looked at, at once …
const ATTEMPTS: NonZeroU32 = NonZeroU32::new(5).expect("not zero");
/// … and after how long another one is.
const ATTEMPT_EVERY: Duration = Duration::from_secs(12);
/// Bytes of the cookie's code that are kept.
const CODE_BYTES: usize = 16;

/// The form needs no script and loads nothing. `form-action` stays open: browsers hold the redirect that answers
/// a form against it, and that leads anywhere.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
);
const HEAD: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"robots\" content=\"noindex\">\
<title>Password</title><style>\
body{font:16px/1.5 system-ui,sans-serif;max-width:22rem;margin:20vh auto;padding:0 1rem}\
input,button{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;margin-top:.5rem}\
p[role=alert]{color:#b00020}\
@media(prefers-color-scheme:dark){body{background:#111;color:#eee}p[role=alert]{color:#ff8a80}}\
</style><h1>This link is protected</h1>";
const FORM: &str = "<form method=\"post\"><label>Password\
<input type=\"password\" name=\"password\" required autofocus autocomplete=\"current-password\"></label>\
<button>Continue</button></form>";

/// How a visitor stands before a link's password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// None was made.
    None,
    /// It was right.
    Right,
    /// It was wrong.
    Wrong,
    /// Too many were made: seconds until the next is looked at.
    TooMany(u64),
}

/// Who tried how often, for all threads.
#[derive(Debug)]
pub struct Locks {
    attempts: Limiter,
    /// Keyed anew by each process, so that nobody can choose addresses that share an allowance.
    hasher: std::hash::RandomState,
}

impl Default for Locks {
    fn default() -> Self {
        Self { attempts: Limiter::with_pause(ATTEMPTS, ATTEMPT_EVERY), hasher: std::hash::RandomState::new() }
    }
}

impl Locks {
    /// Takes an attempt from the allowance of this address at this link.
    pub(super) fn attempt(&self, link: &TrackedLink, address: IpAddr) -> Result<(), Exceeded> {
        // A house has a /64 (RFC 6177); single addresses of it are free to whoever lives there.
        let network = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(_) => address,
                None => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)),
            },
        };
        self.attempts.check(self.hasher.hash_one((network, link.id.0)).max(1)).map(|_| ())
    }
}

/// The form; what is said above it and the status follow the attempt.
pub(super) fn form(attempt: Attempt) -> Response {
    let (status, alert) = match attempt {
        Attempt::None | Attempt::Right => (StatusCode::OK, ""),
        Attempt::Wrong => (StatusCode::FORBIDDEN, "<p role=\"alert\">That is not the password.</p>"),
        Attempt::TooMany(_) => {
            (StatusCode::TOO_MANY_REQUESTS, "<p role=\"alert\">Too many attempts. Please wait a little.</p>")
        }
    };
    let mut response = http::Response::new(Body::whole([HEAD, alert, FORM].concat()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    if let Attempt::TooMany(seconds) = attempt {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The password that a form brings.
fn password(form: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(form).ok()?;
    weir_edge::request::pairs(text).find(|(name, _)| name == "password").map(|(_, value)| value.into_owned())
}

fn code(key: &[u8], link: &TrackedLink, until: i64) -> [u8; CODE_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(b"weir link unlocked\0");
    mac.update(&link.id.0.to_le_bytes());
    mac.update(&until.to_le_bytes());
    mac.update(link.spec.password.as_deref().unwrap_or_default().as_bytes());
    let whole = mac.finalize().into_bytes();
    std::array::from_fn(|at| whole[at])
}

/// Whether the cookie opens the link now.
pub(super) fn opens(
    keys: &[(u8, [u8; 64])],
    link: &TrackedLink,
    cookie: Option<&str>,
    at: Timestamp,
) -> bool {
    let read = || {
        let (until, sent) = cookie?.split_once('.')?;
        let until: i64 = until.parse().ok()?;
        let sent = URL_SAFE_NO_PAD.decode(sent).ok()?;
        let own = |(_, key): &(u8, [u8; 64])| {
            subtle::ConstantTimeEq::ct_eq(&code(key, link, until)[..], &sent[..]).into()
        };
        Some(at.0 < until && keys.iter().any(own))
    };
    read().unwrap_or(false)
}

impl Redirect {
    /// The link that a form is sent to.
    pub(super) fn locked(&self, request: &Request<Incoming>, slug: &str) -> Option<Arc<TrackedLink>> {
        if *request.method() != Method::POST {
            return None;
        }
        let mut host = String::new();
        write_host(&Asked::of(request), &mut host);
        self.config.links.find(&host, slug).filter(|link| link.spec.password.is_some())
    }

    /// Answers a form.
    pub(super) async fn unlock(
        &self,
        request: Request<Incoming>,
        link: &TrackedLink,
        peer: IpAddr,
        started: Instant,
    ) -> Response {
        let (parts, body) = request.into_parts();
        let address = self.config.proxies.client(peer, &parts.headers);
        let attempt = match self.config.locks.attempt(link, address) {
            Err(exceeded) => Attempt::TooMany(exceeded.retry_after_s),
            Ok(()) => {
                let form = Limited::new(body, FORM_BYTES_MAX).collect();
                let form = match tokio::time::timeout(FORM_PATIENCE, form).await {
                    Ok(Ok(form)) => form.to_bytes(),
                    // Too large, too slow or broken off: no attempt that could be right.
                    Ok(Err(_)) | Err(_) => Bytes::new(),
                };
                let sent = password(&form).unwrap_or_default();
                let hash = link.spec.password.clone().unwrap_or_default();
                match crate::password::verify(sent, hash).await {
                    Some(true) => Attempt::Right,
                    Some(false) => Attempt::Wrong,
                    None => Attempt::TooMany(1),
                }
            }
        };
        let path = parts.uri.path().to_owned();
        let slug = decoded_slug(path.strip_prefix('/').unwrap_or(&path));
        let request = Request::from_parts(parts, ());
        match self.visit_settled(&request, peer, &slug, started, attempt).await {
            Visited::Answered(response, counter) => {
                self.when_durable(counter).await;
                response
            }
            // The link went away meanwhile, and its place to a route of the engine.
            Visited::Elsewhere | Visited::Unsettled(_) => refuse(StatusCode::NOT_FOUND, "Not found\n"),
        }
    }

    /// Makes the answer to a right password of the redirect.
    pub(super) fn opened(&self, response: Response, link: &TrackedLink, at: Timestamp) -> Response {
        let secure = self.config.cookies.then_some(if self.config.secure { SECURE } else { "" });
        opened(response, &self.config.token_keys, link, at, secure)
    }
}

/// 303, and the cookie where cookies are set.
fn opened(
    mut response: Response,
    keys: &[(u8, [u8; 64])],
    link: &TrackedLink,
    at: Timestamp,
    secure: Option<&str>,
) -> Response {
    *response.status_mut() = StatusCode::SEE_OTHER;
    let slug = link.spec.slug.as_deref().unwrap_or_default();
    if let (Some(secure), Some((_, key))) = (secure, keys.last()) {
        let until = at.0 + OPEN_SECONDS * 1_000;
        let code = URL_SAFE_NO_PAD.encode(code(key, link, until));
        let line = format!(
            "{COOKIE}={until}.{code}; Path=/{slug}; Max-Age={OPEN_SECONDS}; HttpOnly; SameSite=Lax{secure}"
        );
        if let Ok(line) = HeaderValue::from_str(&line) {
            response.headers_mut().append(SET_COOKIE, line);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use weir_schemas::ids::{LinkId, WorkspaceId};

    use super::*;

    fn link(id: u64, password: &str) -> Arc<TrackedLink> {
        let spec =
            serde_json::json!({"slug": "a", "destination": "https://a.example/", "password": password});
        let spec = serde_json::from_value(spec).unwrap();
        Arc::new(TrackedLink::new(LinkId(id), WorkspaceId(1), Timestamp(0), spec))
    }

    #[test]
    fn the_cookie_opens_its_link_for_its_hour_and_its_password() {
        let (old, new) = ((1, [1; 64]), (2, [2; 64]));
        let (first, now) = (link(1, "hash"), Timestamp(1_000));
        let empty = || http::Response::new(Body::empty());
        let made = opened(empty(), &[old, new], &first, now, Some("; Secure"));
        let line = made.headers()[SET_COOKIE].to_str().unwrap();
        assert!(line.ends_with("; Path=/a; Max-Age=3600; HttpOnly; SameSite=Lax; Secure"), "{line}");
        let value = line.split_once(';').unwrap().0.strip_prefix("wul=").unwrap();
        let keys = [old, new];
        let opens = |link: &TrackedLink, value, at| opens(&keys, link, value, Timestamp(at));
        assert!(opens(&first, Some(value), 3_600_999));
        assert!(!opens(&first, Some(value), 3_601_000), "it has an end");
        assert!(!opens(&link(2, "hash"), Some(value), 1_000), "another link");
        assert!(!opens(&link(1, "new hash"), Some(value), 1_000), "another password");
        let later = value.replacen("3601000", "9601000", 1);
        assert_ne!(later, value);
        for forged in [later.as_str(), "", "3601000.", "3601000.AAAA", "x.y", "3601000"] {
            assert!(!opens(&first, Some(forged), 1_000), "{forged}");
        }
        assert!(!opens(&first, None, 1_000));
        assert!(!super::opens(&[old], &first, Some(value), now), "a key of another engine");
        let without = opened(empty(), &keys, &first, now, None);
        assert!(!without.headers().contains_key(SET_COOKIE));
        assert_eq!(without.status(), 303);
    }

    #[test]
    fn attempts_are_few_per_address_and_link() {
        let locks = Locks::default();
        let (first, second) = (link(1, "x"), link(2, "x"));
        let from = |text: &str| text.parse::<IpAddr>().unwrap();
        for _ in 0..ATTEMPTS.get() {
            locks.attempt(&first, from("2001:db8::1")).unwrap();
        }
        let exceeded = locks.attempt(&first, from("2001:db8::2")).unwrap_err();
        assert!((1..=12).contains(&exceeded.retry_after_s), "{exceeded:?}");
        assert!(locks.attempt(&second, from("2001:db8::2")).is_ok());
        assert!(locks.attempt(&first, from("2001:db8:0:1::2")).is_ok());
        assert!(locks.attempt(&first, from("192.0.2.1")).is_ok());
    }
}
