//! The answer to a visit, for both who write it: hyper, and the edge's own plain connections.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use weir_edge::plain::PlainAnswer;
use weir_edge::response::{Body, Response};
use weir_engine::token::Token;

use super::visitor::{self, VALUE_CHARS};
use super::{Own, RedirectConfig};

/// The cookie of the click token.
pub(super) const TOKEN: &str = "wclid";
/// What a browser is told to keep the click token, in seconds: the default attribution window.
const TOKEN_COOKIE: &str = "; Path=/; Max-Age=2592000; SameSite=Lax";
/// What a browser is told to keep the visitor's value, in seconds: a year.
const VISITOR_COOKIE: &str = "; Path=/; Max-Age=31536000; SameSite=Lax";
pub(super) const SECURE: &str = "; Secure";

/// An answer before it is written.
#[derive(Debug)]
pub(super) enum Answer {
    /// The visitor is sent on, to [`Own::location`].
    Moved(Moved),
    /// Anything else.
    Page(Response),
}

/// A redirect of a link.
#[derive(Debug)]
pub(super) struct Moved {
    pub status: StatusCode,
    /// Whether the browser may keep it.
    pub kept: bool,
    pub token: Token,
    /// What the visitor's cookie is set to.
    pub visitor: Option<[u8; VALUE_CHARS]>,
}

impl Moved {
    fn cache_control(&self) -> &'static str {
        if self.kept { "private" } else { "no-store" }
    }

    /// Calls `set` with the pieces of each cookie.
    fn cookies(&self, config: &RedirectConfig, mut set: impl FnMut(&[&[u8]])) {
        if !config.cookies {
            return;
        }
        let secure = if config.secure { SECURE.as_bytes() } else { b"" };
        set(&[TOKEN.as_bytes(), b"=", self.token.as_str().as_bytes(), TOKEN_COOKIE.as_bytes(), secure]);
        if let Some(value) = &self.visitor {
            set(&[visitor::COOKIE.as_bytes(), b"=", value, VISITOR_COOKIE.as_bytes(), secure]);
        }
    }
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Moved(moved) => moved.status,
            Self::Page(response) => response.status(),
        }
    }

    /// For hyper.
    pub(super) fn into_response(self, config: &RedirectConfig, own: &Own) -> Response {
        let moved = match self {
            Self::Moved(moved) => moved,
            Self::Page(response) => return response,
        };
        let mut response = http::Response::new(Body::empty());
        *response.status_mut() = moved.status;
        let headers = response.headers_mut();
        headers.reserve(6);
        headers.insert(LOCATION, value(Bytes::copy_from_slice(&own.location)));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(moved.cache_control()));
        moved.cookies(config, |pieces| _ = headers.append(SET_COOKIE, value(pieces.concat().into())));
        response
    }

    /// For a plain connection.
    pub(super) fn write(&self, config: &RedirectConfig, own: &Own, answer: &mut PlainAnswer<'_>, head: bool) {
        let moved = match self {
            Self::Moved(moved) => moved,
            Self::Page(response) => return answer.response(response, head),
        };
        answer.begin(moved.status);
        answer.field(LOCATION.as_str(), &[&own.location]);
        answer.field(CACHE_CONTROL.as_str(), &[moved.cache_control().as_bytes()]);
        moved.cookies(config, |pieces| answer.field(SET_COOKIE.as_str(), pieces));
        answer.end();
    }
}

/// A header from bytes that the location's and the cookies' writers have made safe.
fn value(bytes: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(bytes).expect("every byte was made safe for a header")
}
