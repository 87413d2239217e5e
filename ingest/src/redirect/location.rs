//! The `Location` of a visit: the destination as it was canonicalised, its query merged with the visit's, the
//! click token, all before the fragment. Written into the thread's buffer; every byte that comes from the
//! visit is made safe for a header.
//!
//! The visit's parameters override the destination's of the same name; the engine's own (`wclid`, `wv`) are
//! taken out of the visit, so that nobody can send another's token along.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode};
use weir_engine::links::Pieces;
use weir_schemas::query_string::{decoded, pairs};

/// Parameters of the engine itself, never forwarded from a visit.
const INTERNAL: [&str; 2] = ["wclid", "wv"];
/// The parameter that carries the click token.
const TOKEN: &str = "wclid";

/// Bytes that may not stand in a URL in a header. A browser escapes them; other clients may not.
const UNSAFE: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'{').add(b'}');
/// What a byte of a query means for how it is read: it may stand for another character, or may not stand in a header.
const CODED: u8 = 1;
const ENCODED: u8 = 2;
static MARKS: [u8; 256] = {
    let mut marks = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        marks[byte] = match byte as u8 {
            b'%' | b'+' => CODED,
            b' ' | b'"' | b'#' | b'<' | b'>' | b'{' | b'}' => ENCODED,
            0..0x20 | 0x7f.. => ENCODED,
            _ => 0,
        };
        byte += 1;
    }
    marks
};

/// A macro's value: everything but the unreserved characters of RFC 3986.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Gives the value of a macro by its name.
pub(super) trait Macros {
    fn value(&self, name: &str) -> Cow<'_, str>;
}

/// What of the visit goes into the destination.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visit<'a> {
    /// Its query as sent; empty where the link forwards none.
    pub query: &'a str,
    /// The click token, where the destination gets one.
    pub token: Option<&'a str>,
}

/// Appends the location to `out`.
pub(super) fn write(out: &mut Vec<u8>, to: &Pieces, visit: Visit<'_>, macros: &impl Macros) {
    let mut sink = Sink { out, macros, expand: to.has_macros };
    sink.own(&to.base);
    let mut separator = b'?';
    let mut token = visit.token;
    let sent = marks(visit.query);
    let same: Same = if (sent | marks(&to.query)) & CODED == 0 { same_as_written } else { same_decoded };
    for pair in pairs(&to.query) {
        if visit.query.is_empty()
            || !pairs(visit.query).any(|sent| same(sent.name, pair.name) && forwarded(sent.name, same))
        {
            sink.separate(&mut separator);
            sink.own(pair.text);
            // The operator has said where the token goes.
            if pair.name == TOKEN {
                token = None;
            }
        }
    }
    for pair in pairs(visit.query).filter(|pair| forwarded(pair.name, same)) {
        sink.separate(&mut separator);
        if sent & ENCODED == 0 {
            sink.out.extend_from_slice(pair.text.as_bytes());
        } else {
            sink.safe(pair.text);
        }
    }
    if let Some(token) = token {
        sink.separate(&mut separator);
        for piece in [TOKEN, "=", token] {
            sink.out.extend_from_slice(piece.as_bytes());
        }
    }
    sink.own(&to.fragment);
}

struct Sink<'a, M> {
    out: &'a mut Vec<u8>,
    macros: &'a M,
    expand: bool,
}

impl<M: Macros> Sink<'_, M> {
    fn separate(&mut self, separator: &mut u8) {
        self.out.push(*separator);
        *separator = b'&';
    }

    /// What the operator wrote, with its macros replaced.
    fn own(&mut self, text: &str) {
        if !self.expand {
            self.out.extend_from_slice(text.as_bytes());
            return;
        }
        let mut rest = text;
        while let Some((before, inside)) = rest.split_once('{') {
            let Some((name, after)) = inside.split_once('}') else { break };
            self.out.extend_from_slice(before.as_bytes());
            match name.strip_prefix('_') {
                Some(raw) => {
                    let value = self.macros.value(raw);
                    self.safe(&value);
                }
                None => {
                    let value = self.macros.value(name);
                    self.encoded(&value, VALUE);
                }
            }
            rest = after;
        }
        self.out.extend_from_slice(rest.as_bytes());
    }

    /// What the visit brought, untouched but for bytes that no header may hold.
    fn safe(&mut self, text: &str) {
        self.encoded(text, UNSAFE);
    }

    fn encoded(&mut self, text: &str, set: &'static AsciiSet) {
        for piece in percent_encode(text.as_bytes(), set) {
            self.out.extend_from_slice(piece.as_bytes());
        }
    }
}

/// Whether two names mean the same parameter.
type Same = fn(&str, &str) -> bool;

fn forwarded(name: &str, same: Same) -> bool {
    !INTERNAL.iter().any(|internal| same(name, internal))
}

/// What the bytes of a text mean together.
fn marks(text: &str) -> u8 {
    text.bytes().fold(0, |marks, byte| marks | MARKS[usize::from(byte)])
}

/// Whether a text may mean other characters than it shows.
fn coded(text: &str) -> bool {
    marks(text) & CODED != 0
}

fn same_as_written(a: &str, b: &str) -> bool {
    a == b
}

fn same_decoded(a: &str, b: &str) -> bool {
    a == b || ((coded(a) || coded(b)) && decoded(a) == decoded(b))
}

/// The decoded value of the first parameter `wanted` in a query.
pub(super) fn parameter<'a>(query: &'a str, wanted: &str) -> Option<Cow<'a, str>> {
    pairs(query).find(|pair| same_decoded(pair.name, wanted)).map(|pair| decoded(pair.value))
}

#[cfg(test)]
mod tests;
