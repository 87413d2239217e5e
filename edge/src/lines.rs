//! The lines of a request's header, whoever read them: hyper into a [`HeaderMap`], or a
//! [`PlainRequest`](crate::plain::PlainRequest) in place.

use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Gives header lines by name.
pub trait Lines {
    /// The values of every line `name`, in the order of the request.
    fn lines<'a>(&'a self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'a [u8]>;

    /// The value of the first line `name`.
    fn first<'a>(&'a self, name: &HeaderName) -> Option<&'a [u8]> {
        self.lines(name).next()
    }

    /// The first line `name` as text; empty where there is none or it is no UTF-8.
    fn text<'a>(&'a self, name: &HeaderName) -> &'a str {
        self.first(name).and_then(|value| std::str::from_utf8(value).ok()).unwrap_or("")
    }

    /// The value of the first cookie `name`; one that is no UTF-8 is none.
    fn cookie<'a>(&'a self, name: &str) -> Option<&'a str> {
        let pairs = self.lines(&COOKIE).flat_map(|line| line.split(|byte| *byte == b';'));
        let mut values = pairs.filter_map(|pair| {
            let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            std::str::from_utf8(value).ok()
        });
        values.next()
    }
}

impl Lines for HeaderMap {
    fn lines<'a>(&'a self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.get_all(name).iter().map(HeaderValue::as_bytes)
    }
}
