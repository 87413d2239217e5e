//! The web app inside the binary: what `make web` leaves in `dashboard/web/dist`, as answers to GET.
//!
//! A release binary carries the files; a debug binary reads them where they were built, so a rebuilt page
//! shows without a rebuilt engine. Files under `/assets/` have a hash of their content in their name and
//! never change; every other answer is checked again with its entity tag. Paths that name no file are
//! places inside the app (`/links/lnk_…`) and get its page, except under `/v1/` and where the last segment
//! looks like a file's name.
//!
//! The build compresses once (`web/scripts/compress.mjs`), at the slowest setting; nothing is compressed per
//! request.

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;
use rust_embed::{EmbeddedFile, RustEmbed};

/// What every page of the app is answered with. Scripts and styles come from files of this origin and nowhere
/// else, nothing is inline, and no page of another origin may frame these.
pub const SECURITY_HEADERS: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

/// For files whose name changes with their content: a year, the longest that RFC 9111's caches are told.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Kept, but asked for again each time: the page must name the assets of the engine that runs now.
const REVALIDATE: &str = "no-cache";
/// Bytes of the content's SHA-256 in an entity tag: enough that two files of one app never share one.
const TAG_BYTES: usize = 12;

#[derive(RustEmbed)]
#[folder = "web/dist/"]
#[allow_missing = true]
struct Dist;

/// One file as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// The body, in `encoding`.
    pub bytes: Bytes,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// `ETag`, quoted; differs between the encodings of one file.
    pub etag: String,
    /// `Cache-Control`.
    pub cache_control: &'static str,
    /// `Content-Encoding`, where the file was compressed. The answer varies by `Accept-Encoding` either way.
    pub encoding: Option<&'static str>,
}

/// What GET `path` (without its query) is answered with; `None`: nothing of the app is there. Without a built
/// app every page of it is a line of text that says how to build it.
pub fn asset(path: &str, accept_encoding: &str) -> Option<Asset> {
    if Dist::get("index.html").is_none() {
        return (!is_file_name(path)).then(not_built);
    }
    find(Dist::get, path, accept_encoding)
}

fn find(get: impl Fn(&str) -> Option<EmbeddedFile>, path: &str, accept_encoding: &str) -> Option<Asset> {
    let name = name_of(&get, path)?;
    let cache_control = if name.starts_with("assets/") { IMMUTABLE } else { REVALIDATE };
    let content_type = content_type(&name);
    let compressed = [("br", ".br"), ("gzip", ".gz")].into_iter().find_map(|(encoding, suffix)| {
        let file = accepts(accept_encoding, encoding).then(|| get(&format!("{name}{suffix}"))).flatten()?;
        Some((file, Some(encoding)))
    });
    let (file, encoding) = match compressed {
        Some(found) => found,
        None => (get(&name)?, None),
    };
    let etag = entity_tag(&file, encoding);
    let bytes = match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    Some(Asset { bytes, content_type, etag, cache_control, encoding })
}

/// The file in dist/ that answers `path`.
fn name_of(get: impl Fn(&str) -> Option<EmbeddedFile>, path: &str) -> Option<String> {
    match path {
        "/" | "/index.html" => return Some("index.html".to_owned()),
        "/docs" | "/docs/" => return Some("docs.html".to_owned()),
        _ => {}
    }
    let name = path.strip_prefix('/')?;
    // In a debug build the name becomes a path on disk.
    if name.split('/').any(|segment| segment == "..") || name.contains('\\') {
        return None;
    }
    if is_file_name(path) {
        return get(name).map(|_| name.to_owned());
    }
    Some("index.html".to_owned())
}

/// Whether `path` asks for a file or for the API, and so never for a place inside the app.
fn is_file_name(path: &str) -> bool {
    path.starts_with("/assets/")
        || path.starts_with("/v1/")
        || path.rsplit('/').next().is_some_and(|last| last.contains('.') && last != "index.html")
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json" | "map") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

/// Whether `Accept-Encoding` takes `encoding`: named, or covered by `*`, and not at quality 0 (RFC 9110,
/// 12.5.3).
fn accepts(header: &str, encoding: &str) -> bool {
    let quality = |wanted: &str| {
        header.split(',').find_map(|part| {
            let mut pieces = part.split(';').map(str::trim);
            if !pieces.next()?.eq_ignore_ascii_case(wanted) {
                return None;
            }
            let weight = pieces.find_map(|piece| piece.strip_prefix("q=").or(piece.strip_prefix("Q=")));
            Some(weight.is_none_or(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight > 0.0)))
        })
    };
    quality(encoding).or_else(|| quality("*")).unwrap_or(false)
}

fn entity_tag(file: &EmbeddedFile, encoding: Option<&str>) -> String {
    let mut tag = String::with_capacity(2 * TAG_BYTES + 8);
    tag.push('"');
    for byte in &file.metadata.sha256_hash()[..TAG_BYTES] {
        write!(tag, "{byte:02x}").expect("writing into a String cannot fail");
    }
    if let Some(encoding) = encoding {
        tag.push('-');
        tag.push_str(encoding);
    }
    tag.push('"');
    tag
}

fn not_built() -> Asset {
    Asset {
        bytes: Bytes::from_static(
            b"This binary was built without the dashboard: `make build` builds both.\n",
        ),
        content_type: "text/plain; charset=utf-8",
        etag: "\"not-built\"".to_owned(),
        cache_control: "no-store",
        encoding: None,
    }
}

#[cfg(test)]
mod tests;
