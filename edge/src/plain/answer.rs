//! The answer to a plain request, written as it goes out.

use std::time::SystemTime;

use http::StatusCode;
use http::header::CONTENT_LENGTH;

use crate::response::{Body, Response};

/// The bytes of `Date` (RFC 9110, 5.6.7).
const DATE_CHARS: usize = 29;

/// The value of `Date`, kept for a moment.
pub(super) struct Date([u8; DATE_CHARS]);

impl Date {
    pub(super) fn at(now: SystemTime) -> Self {
        let mut text = [b' '; DATE_CHARS];
        text.copy_from_slice(httpdate::fmt_http_date(now).as_bytes());
        Self(text)
    }
}

/// An answer in the making: [`Self::begin`], [`Self::field`] for each header, [`Self::end`]; or [`Self::response`].
pub struct PlainAnswer<'a> {
    out: &'a mut Vec<u8>,
    date: &'a Date,
}

impl std::fmt::Debug for PlainAnswer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlainAnswer").field("bytes", &self.out.len()).finish_non_exhaustive()
    }
}

impl<'a> PlainAnswer<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, date: &'a Date) -> Self {
        Self { out, date }
    }

    /// The status line.
    pub fn begin(&mut self, status: StatusCode) {
        if status == StatusCode::FOUND {
            self.out.extend_from_slice(b"HTTP/1.1 302 Found\r\n");
            return;
        }
        let reason = status.canonical_reason().unwrap_or("");
        for piece in ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\n"] {
            self.out.extend_from_slice(piece.as_bytes());
        }
    }

    /// A header of the pieces of its value, which must be bytes that a header may hold.
    pub fn field(&mut self, name: &str, value: &[&[u8]]) {
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        for piece in value {
            debug_assert!(!piece.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            self.out.extend_from_slice(piece);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// The end of an answer without a body.
    pub fn end(&mut self) {
        self.out.extend_from_slice(b"content-length: 0\r\ndate: ");
        self.out.extend_from_slice(&self.date.0);
        self.out.extend_from_slice(b"\r\n\r\n");
    }

    /// A whole answer; its body is left out for a `HEAD`.
    pub fn response(&mut self, response: &Response, head: bool) {
        let Body::Whole(body) = response.body() else { unreachable!("plain requests are answered whole") };
        let body = body.as_deref().unwrap_or_default();
        self.begin(response.status());
        for (name, value) in response.headers() {
            if *name != CONTENT_LENGTH {
                self.field(name.as_str(), &[value.as_bytes()]);
            }
        }
        let length = body.len().to_string();
        self.field(CONTENT_LENGTH.as_str(), &[length.as_bytes()]);
        self.field("date", &[&self.date.0]);
        self.out.extend_from_slice(b"\r\n");
        if !head {
            self.out.extend_from_slice(body);
        }
    }
}
