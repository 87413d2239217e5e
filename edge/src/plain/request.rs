//! The head of a plain request, parsed where it was read.

use std::mem::MaybeUninit;

use http::HeaderName;
use weir_schemas::query_string::cut;

use crate::lines::Lines;

/// A `GET` or `HEAD` of HTTP/1.1 without a body, for a path of this server, on a connection that goes on.
#[derive(Debug)]
pub struct PlainRequest<'a> {
    /// Whether it is a `HEAD`.
    pub head: bool,
    /// The path, with its `/`, as sent.
    pub path: &'a str,
    /// The query, without `?`, as sent.
    pub query: &'a str,
    headers: &'a [httparse::Header<'a>],
    /// Where the first header of each [`place`] stands: most names that are asked for are not there, and the others are
    /// found without a look at those before them.
    places: [u8; PLACES],
}

impl<'a> PlainRequest<'a> {
    /// Parses the request at the beginning of `bytes` and tells its length. `None`: it is not whole, or not plain.
    pub fn parse<'b: 'a>(
        bytes: &'b [u8],
        headers: &'a mut [MaybeUninit<httparse::Header<'b>>],
    ) -> Option<(Self, usize)> {
        let mut request = httparse::Request::new(&mut []);
        let Ok(httparse::Status::Complete(length)) = request.parse_with_uninit_headers(bytes, headers) else {
            return None;
        };
        let head = match request.method? {
            "GET" => false,
            "HEAD" => true,
            _ => return None,
        };
        let target = request.path?;
        if request.version != Some(1)
            || !target.starts_with('/')
            || !target.bytes().all(|byte| UNQUESTIONED[usize::from(byte)])
        {
            return None;
        }
        let (mut hosts, mut places) = (0, [NOWHERE; PLACES]);
        for (at, header) in (0..NOWHERE).zip(&*request.headers) {
            let first = &mut places[place(header.name)];
            *first = at.min(*first);
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            match header.name.len() {
                4 if is("host") => hosts += 1,
                6 if is("expect") => return None,
                7 if is("upgrade") => return None,
                10 if is("connection") && !header.value.eq_ignore_ascii_case(b"keep-alive") => return None,
                14 if is("content-length") => return None,
                17 if is("transfer-encoding") => return None,
                _ => {}
            }
        }
        if hosts > 1 {
            return None;
        }
        let (path, query) = cut(target, b'?');
        Some((Self { head, path, query, headers: request.headers, places }, length))
    }
}

const PLACES: usize = 64;
const NOWHERE: u8 = u8::MAX;
const _: () = assert!(super::HEADERS_MAX < NOWHERE as usize);

/// Where a name is looked for: by its length and its first letter, whatever its case.
fn place(name: &str) -> usize {
    let letter = name.as_bytes().first().map_or(0, |byte| usize::from(byte | 0x20));
    (name.len() + 5 * letter) % PLACES
}

/// Bytes of a target that nobody reads differently; where there are others, hyper decides what they mean.
static UNQUESTIONED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let questioned =
            matches!(byte as u8, b'"' | b'#' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}');
        table[byte] = (byte as u8).is_ascii_graphic() && !questioned;
        byte += 1;
    }
    table
};

impl Lines for PlainRequest<'_> {
    fn lines<'a>(&'a self, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        let name = name.as_str();
        let headers = self.headers.get(usize::from(self.places[place(name)])..).unwrap_or_default();
        headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    }
}
