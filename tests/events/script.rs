//! The snippet as a browser's cache sees it.

use super::Site;
use super::engine::http::Http;

#[test]
fn the_snippet_is_small_and_cached() {
    let site = Site::new();
    let get = |headers: &[(&str, &str)]| {
        Http::new(site.engine.public).send("GET", "/weir.js", headers, b"").unwrap()
    };
    let plain = get(&[]);
    assert_eq!((plain.status, plain.header("content-encoding")), (200, None));
    assert_eq!(plain.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(plain.header("cache-control"), Some("public, max-age=3600"));
    assert_eq!(plain.header("vary"), Some("Accept-Encoding"));
    assert_eq!(plain.header("cross-origin-resource-policy"), Some("cross-origin"));
    let small = get(&[("accept-encoding", "gzip, deflate, br")]);
    assert_eq!(small.header("content-encoding"), Some("gzip"));
    assert!(small.body.len() < 3_072, "{} bytes", small.body.len());
    let tag = plain.header("etag").unwrap();
    assert_eq!(small.header("etag"), Some(tag));
    let unchanged = get(&[("if-none-match", tag)]);
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(get(&[("if-none-match", "\"other\"")]).status, 200);
}
