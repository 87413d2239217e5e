use std::borrow::Cow;

use rust_embed::EmbeddedFile;

use super::{Asset, Dist, IMMUTABLE, REVALIDATE, SECURITY_HEADERS, accepts, asset, find};

/// A small app; the file's name is its content.
const FILES: [&str; 7] = [
    "index.html",
    "index.html.br",
    "index.html.gz",
    "docs.html",
    "favicon.svg",
    "assets/index-Bo3.js",
    "assets/index-Bo3.js.gz",
];

fn get(name: &str) -> Option<EmbeddedFile> {
    let name = FILES.into_iter().find(|file| *file == name)?;
    let mut hash = [0; 32];
    hash[..6].copy_from_slice(&name.as_bytes()[name.len() - 6..]);
    let metadata = rust_embed::Metadata::__rust_embed_new(hash, None, None);
    Some(EmbeddedFile { data: Cow::Borrowed(name.as_bytes()), metadata })
}

fn found(path: &str, accept: &str) -> Option<Asset> {
    find(get, path, accept)
}

fn body(path: &str, accept: &str) -> String {
    let asset = found(path, accept).unwrap_or_else(|| panic!("{path} has no answer"));
    String::from_utf8(asset.bytes.to_vec()).expect("names are text")
}

#[test]
fn places_inside_the_app_get_its_page() {
    for path in ["/", "/index.html", "/links", "/links/lnk_01JABCDEFGHJK", "/settings", "/no/such/place"] {
        assert_eq!(body(path, ""), "index.html", "{path}");
    }
    assert_eq!(body("/docs", ""), "docs.html");
}

#[test]
fn files_and_the_api_are_never_the_page() {
    assert_eq!(body("/favicon.svg", ""), "favicon.svg");
    assert_eq!(body("/assets/index-Bo3.js", ""), "assets/index-Bo3.js");
    for path in [
        "/assets/index-Old.js",
        "/assets/",
        "/robots.txt",
        "/v1/nothing",
        "/../Cargo.toml",
        "/a/../links",
        "",
    ] {
        assert_eq!(found(path, "br"), None, "{path}");
    }
}

#[test]
fn only_hashed_files_are_kept_without_asking() {
    let script = found("/assets/index-Bo3.js", "").expect("the script");
    assert_eq!((script.cache_control, script.content_type), (IMMUTABLE, "text/javascript; charset=utf-8"));
    for path in ["/", "/docs", "/favicon.svg"] {
        assert_eq!(found(path, "").expect("a file").cache_control, REVALIDATE, "{path}");
    }
}

#[test]
fn the_best_encoding_that_both_sides_have_is_sent() {
    let page = found("/", "gzip, deflate, br, zstd").expect("the page");
    assert_eq!((page.encoding, &page.bytes[..]), (Some("br"), &b"index.html.br"[..]));
    assert_eq!(page.content_type, "text/html; charset=utf-8");
    assert_eq!(found("/", "gzip").expect("the page").encoding, Some("gzip"));
    assert_eq!(found("/", "br;q=0, gzip;q=0.5").expect("the page").encoding, Some("gzip"));
    assert_eq!(found("/", "identity").expect("the page").encoding, None);
    assert_eq!(found("/favicon.svg", "br").expect("the icon").encoding, None);
    assert_eq!(found("/assets/index-Bo3.js", "br, gzip").expect("the script").encoding, Some("gzip"));
    let tags: Vec<String> =
        ["", "gzip", "br"].map(|accept| found("/", accept).expect("the page").etag).into();
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
}

#[test]
fn accept_encoding_reads_as_rfc_9110_says() {
    assert!(accepts("BR", "br"));
    assert!(accepts("gzip;q=1.0, *;q=0.1", "br"));
    assert!(!accepts("*, br;q=0", "br"));
    assert!(!accepts("br; q=0.000", "br"));
    assert!(!accepts("br;q=nonsense", "br"));
    assert!(!accepts("brotli", "br"));
    assert!(!accepts("", "gzip"));
}

/// The app as it was really built. `make test` builds it first; by hand: `make web`.
#[test]
fn the_built_app_is_whole_and_keeps_its_policy() {
    let page = asset("/", "").expect("a page");
    let html = String::from_utf8(page.bytes.to_vec()).expect("a page is text");
    assert_eq!(page.content_type, "text/html; charset=utf-8", "run `make web` first: {html}");
    assert!(!html.contains("<style") && !html.contains(" style="), "inline styles are refused by the policy");
    for tag in html.split("<script").skip(1) {
        assert!(tag.contains("src=\"/") && tag.contains("></script>"), "an inline script: {tag}");
    }
    let named: Vec<&str> = html.split(['"', '\'']).filter(|text| text.starts_with("/assets/")).collect();
    assert!(!named.is_empty());
    for path in named {
        let plain = asset(path, "").unwrap_or_else(|| panic!("{path} is not there"));
        let packed = asset(path, "br").expect("the same file");
        assert_eq!((plain.cache_control, packed.cache_control), (IMMUTABLE, IMMUTABLE));
        assert!(
            packed.bytes.len() < plain.bytes.len() || plain.bytes.len() < 1024,
            "{path} is not compressed"
        );
    }
    assert!(Dist::iter().any(|name| name == "docs.html"));
    let (_, policy) = SECURITY_HEADERS[0];
    assert!(!policy.contains("unsafe"));
}
