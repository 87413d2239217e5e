//! `GET /weir.js`: the snippet that the pages of sites load. Its source is `ingest/browser/weir.js`, served without
//! comment lines and indentation, compressed once.

use std::io::Write;
use std::sync::LazyLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use weir_edge::idempotency::sha256_hex;
use weir_edge::request::Context;
use weir_edge::response::{Body, Response, typed};
use weir_edge::route::Router;

const SOURCE: &str = include_str!("../../browser/weir.js");
/// An hour: a new version of the engine reaches every page within it.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=3600");
/// Pages of other sites load it, also those that ask for isolation.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

struct Script {
    plain: Bytes,
    gzip: Bytes,
    tag: HeaderValue,
}

static SCRIPT: LazyLock<Script> = LazyLock::new(|| {
    let plain = without_comments(SOURCE);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let gzip = encoder.write_all(plain.as_bytes()).and_then(|()| encoder.finish());
    let tag = format!("\"{}\"", &sha256_hex(plain.as_bytes())[..16]);
    Script {
        gzip: gzip.expect("a vector takes every byte").into(),
        tag: HeaderValue::from_str(&tag).expect("hexadecimal digits"),
        plain: plain.into(),
    }
});

/// Whole lines of comment and the indentation; the source keeps everything else as a browser may read it.
fn without_comments(source: &str) -> String {
    let lines = source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    lines.fold(String::with_capacity(source.len()), |all, line| all + line + "\n")
}

/// The route.
pub fn script() -> Router {
    Router::new().route(Method::GET, "/weir.js", async |context| Ok(answer(&context)))
}

fn answer(context: &Context) -> Response {
    let asks = |name: HeaderName, word: &str| {
        let values = context.headers().get_all(name);
        values.iter().filter_map(|value| value.to_str().ok()).any(|value| says(value, word))
    };
    let tag = SCRIPT.tag.to_str().expect("the tag is ASCII");
    let mut response = if asks(IF_NONE_MATCH, tag) {
        let mut unchanged = http::Response::new(Body::empty());
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        let gzip = asks(ACCEPT_ENCODING, "gzip");
        let bytes = if gzip { &SCRIPT.gzip } else { &SCRIPT.plain };
        let mut whole = typed(StatusCode::OK, "text/javascript; charset=utf-8", bytes.clone());
        if gzip {
            whole.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        whole
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, SCRIPT.tag.clone());
    headers.insert(CACHE_CONTROL, CACHE);
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    response
}

/// Whether a list of words (`gzip;q=0.8, br`, `W/"a", "b"`) holds this one and does not refuse it.
fn says(list: &str, word: &str) -> bool {
    list.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or("");
        let name = name.strip_prefix("W/").unwrap_or(name);
        let refused = parts.any(|part| {
            part.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q <= 0.0)
        });
        (name.eq_ignore_ascii_case(word) || name == "*") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the contract promises, in bytes.
    const SCRIPT_GZIP_MAX: usize = 3_072;

    #[test]
    fn it_is_small() {
        assert!(SCRIPT.gzip.len() < SCRIPT_GZIP_MAX, "{} bytes", SCRIPT.gzip.len());
        let mut plain = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&SCRIPT.gzip[..]), &mut plain)
            .unwrap();
        assert_eq!(plain.as_bytes(), SCRIPT.plain);
    }

    #[test]
    fn nothing_but_comments_and_indentation_is_left_out() {
        let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
        let kept = lines(std::str::from_utf8(&SCRIPT.plain).unwrap());
        let all: Vec<_> = lines(SOURCE).into_iter().filter(|line| !line.is_empty()).collect();
        assert!(kept.len() > 100 && all.iter().filter(|line| !line.starts_with("//")).eq(&kept));
        // A line that begins inside a text would be taken for a comment.
        assert!(!SOURCE.contains('`'), "no template spans lines");
    }

    #[test]
    fn lists_of_words_are_read() {
        assert!(says("br, gzip;q=0.8", "gzip") && says("*", "gzip") && says("W/\"a\", \"b\"", "\"a\""));
        assert!(!says("gzip;q=0, br", "gzip") && !says("", "gzip") && !says("xgzip", "gzip"));
    }
}
