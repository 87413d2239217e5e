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

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(lines: &[&[u8]], name: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_bytes(line).unwrap());
        }
        headers.cookie(name).map(str::to_owned)
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        for (line, expected) in [
            ("wv=1", Some("1")),
            ("wvx=2; wv=1", Some("1")),
            ("xwv=2; wv=1", Some("1")),
            ("a=wv=2; wv=1", Some("1")),
            ("  a=b ;\twv=1 ; c=d", Some("1")),
            ("a=b;wv=1;c=d", Some("1")),
            ("wv=1; wv=2", Some("1")),
            ("wv=a=b==", Some("a=b==")),
            ("wv=\"1\"", Some("\"1\"")),
            ("wv=", Some("")),
            (";;; wv=1", Some("1")),
            ("wv", None),
            ("wv ; a=b", None),
            ("WV=1", None),
            ("=1", None),
            ("", None),
        ] {
            assert_eq!(cookie(&[line.as_bytes()], "wv").as_deref(), expected, "{line:?}");
        }
        assert_eq!(cookie(&[], "wv"), None);
    }

    #[test]
    fn what_is_no_text_hides_no_other_cookie() {
        assert_eq!(cookie(&[b"a=\xff\xfe; wv=1"], "wv").as_deref(), Some("1"));
        assert_eq!(cookie(&[b"\xff; wv=1"], "wv").as_deref(), Some("1"));
        assert_eq!(cookie(&[b"wv=\xff; wv=1"], "wv").as_deref(), Some("1"), "one that is no text is none");
        assert_eq!(cookie(&[b"wv=\xff"], "wv"), None);
        // HTTP/2 and some proxies send a line for each.
        assert_eq!(cookie(&[b"a=\xff", b"b=2", b"wv=1", b"wv=3"], "wv").as_deref(), Some("1"));
    }
}
