//! What a visit asks, whoever read it: hyper, or a plain connection.

use std::borrow::Cow;
use std::time::Instant;

use http::header::HOST;
use http::{HeaderMap, HeaderName, Method, Request};
use weir_edge::lines::Lines;
use weir_edge::plain::PlainRequest;
use weir_engine::links::facts::Visit;
use weir_schemas::hit::FLAG_RETURNING;
use weir_schemas::time::Timestamp;

use super::lock::Attempt;

/// By which browsers say that they only prepare for a visit.
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");
const X_PURPOSE: HeaderName = HeaderName::from_static("x-purpose");
const X_MOZ: HeaderName = HeaderName::from_static("x-moz");

/// A request, whoever read it.
#[derive(Debug)]
pub(super) struct Asked<'a, L> {
    pub head: bool,
    /// The host of an absolute request target, which goes before the header (RFC 9112, 3.2.2).
    pub host: Option<&'a str>,
    pub path: &'a str,
    pub query: &'a str,
    pub headers: &'a L,
}

impl<'a> Asked<'a, HeaderMap> {
    pub(super) fn of<B>(request: &'a Request<B>) -> Self {
        let uri = request.uri();
        Self {
            head: *request.method() == Method::HEAD,
            host: uri.host(),
            path: uri.path(),
            query: uri.query().unwrap_or(""),
            headers: request.headers(),
        }
    }
}

impl<'a> Asked<'a, PlainRequest<'a>> {
    pub(super) fn plainly(request: &'a PlainRequest<'a>) -> Self {
        Self { head: request.head, host: None, path: request.path, query: request.query, headers: request }
    }
}

/// What of the request the hit keeps.
pub(super) struct Seen<'a, L> {
    pub read: Instant,
    pub at: Timestamp,
    pub flags: u8,
    pub host: &'a str,
    pub slug: &'a str,
    pub query: &'a str,
    pub address: [u8; 16],
    /// As sent: who has no text for an agent is told apart all the same.
    pub agent: &'a [u8],
    pub user_agent: &'a str,
    pub referrer: &'a str,
    pub language: &'a str,
    pub headers: &'a L,
    pub attempt: Attempt,
}

impl<'a, L: Lines> Seen<'a, L> {
    pub(super) fn visit(&self) -> Visit<'a> {
        Visit {
            at: self.at,
            address: self.address,
            user_agent: self.user_agent,
            referrer: self.referrer,
            language: self.language,
            query: self.query,
            returning: self.flags & FLAG_RETURNING != 0,
        }
    }
}

/// The host asked for, in lower case and without port.
pub(super) fn write_host<L: Lines>(asked: &Asked<'_, L>, host: &mut String) {
    host.clear();
    let asked = asked.host.unwrap_or_else(|| asked.headers.text(&HOST));
    let name = match asked.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => asked,
    };
    host.push_str(name.trim_end_matches('.'));
    host.make_ascii_lowercase();
}

/// A slug holds only characters that need no encoding; some clients encode them all the same.
pub(super) fn decoded_slug(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    percent_encoding::percent_decode_str(path).decode_utf8_lossy()
}

/// Whether the browser only prepares for a visit that may never come.
pub(super) fn prefetches(headers: &impl Lines) -> bool {
    let says = |name: &HeaderName, words: &[&str]| {
        headers.first(name).and_then(|value| std::str::from_utf8(value).ok()).is_some_and(|value| {
            let purposes = value.split([';', ',', ' ']);
            purposes.into_iter().any(|purpose| words.iter().any(|word| purpose.eq_ignore_ascii_case(word)))
        })
    };
    says(&SEC_PURPOSE, &["prefetch", "prerender"])
        || says(&PURPOSE, &["prefetch", "preview"])
        || says(&X_PURPOSE, &["prefetch", "preview"])
        || says(&X_MOZ, &["prefetch"])
}
