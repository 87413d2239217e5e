//! What a visitor of a link gets.

use serde_json::json;

use super::engine::token_of;
use super::{refused, shared};

#[test]
fn a_visit_is_sent_on_with_a_token_and_cookies() {
    let shared = shared();
    let (slug, _) = shared.link(json!({"destination": "https://shop.example/p?id=1#top"}));
    let answer = shared.visit(&format!("/{slug}"), &[]);
    assert_eq!((answer.status, answer.header("cache-control")), (302, Some("no-store")));
    let token = token_of(&answer);
    assert!((40..=100).contains(&token.len()), "{token}");
    assert_eq!(answer.header("location"), Some(&*format!("https://shop.example/p?id=1&wclid={token}#top")));
    let cookies: Vec<&str> = answer.header_all("set-cookie").collect();
    assert!(cookies.iter().any(|cookie| cookie.starts_with(&format!("wclid={token};"))), "{cookies:?}");
    assert!(cookies.iter().any(|cookie| cookie.starts_with("wv=")), "{cookies:?}");
    assert!(cookies.iter().all(|cookie| cookie.contains("Path=/") && cookie.contains("SameSite=Lax")));
    assert!(answer.body.is_empty());
    assert_ne!(token_of(&shared.visit(&format!("/{slug}"), &[])), token, "each click has its own");

    let head = shared.visit_as("HEAD", &format!("/{slug}"), &[]);
    assert_eq!((head.status, head.header("cache-control")), (302, Some("no-store")));
    assert!(head.header("location").is_some_and(|to| to.contains("wclid=")));
    refused(&shared.visit_as("POST", &format!("/{slug}"), &[]), 405, "method_not_allowed");
}

#[test]
fn the_links_own_status() {
    let shared = shared();
    for status in [301, 302, 307, 308] {
        let (slug, _) = shared.link(json!({"status_code": status}));
        let answer = shared.visit(&format!("/{slug}"), &[]);
        assert_eq!(answer.status, status);
        let kept = answer.header("cache-control").is_none_or(|value| !value.contains("no-store"));
        assert_eq!(kept, matches!(status, 301 | 308), "{status}");
    }
}

#[test]
fn without_conversion_tracking_nothing_is_appended() {
    let shared = shared();
    let (slug, _) = shared.link(json!({"track_conversions": false}));
    assert_eq!(shared.location(&format!("/{slug}")), "https://shop.example/");
}

#[test]
fn the_visits_query_overrides_the_destinations() {
    let shared = shared();
    let members = json!({"destination": "https://shop.example/p?id=1&keep=a",
        "utm": {"source": "news", "medium": "mail"},
        "track_conversions": false});
    let (slug, _) = shared.link(members);
    let query = |visit: &str| {
        let to = shared.location(&format!("/{slug}{visit}"));
        let mut pairs: Vec<String> =
            to.split_once('?').expect("a query").1.split('&').map(str::to_owned).collect();
        pairs.sort();
        pairs.join("&")
    };
    assert_eq!(query(""), "id=1&keep=a&utm_medium=mail&utm_source=news");
    assert_eq!(query("?id=2"), "id=2&keep=a&utm_medium=mail&utm_source=news");
    assert_eq!(query("?id=2&id=3"), "id=2&id=3&keep=a&utm_medium=mail&utm_source=news");
    assert_eq!(query("?x=%C3%BC&utm_source=ad"), "id=1&keep=a&utm_medium=mail&utm_source=ad&x=%C3%BC");
    assert_eq!(query("?wclid=forged&x=1"), "id=1&keep=a&utm_medium=mail&utm_source=news&x=1");

    let (slug, _) =
        shared.link(json!({"forward_query": false, "destination": "https://shop.example/p?id=1"}));
    let to = shared.location(&format!("/{slug}?id=2&x=1"));
    assert!(to.starts_with("https://shop.example/p?id=1&wclid="), "{to}");
    let (slug, _) = shared.link(json!({}));
    let to = shared.location(&format!("/{slug}?wclid=forged"));
    assert!(!to.contains("forged") && to.matches("wclid=").count() == 1, "{to}");
}

#[test]
fn macros_are_filled_and_encoded() {
    let shared = shared();
    let (_, id) = shared.link(json!({}));
    let to =
        "https://shop.example/{link_id}?c={click_id}&d={device}&s={utm_source}&r={_utm_source}&t={wclid}";
    let (slug, own) = shared.link(json!({"destination": to, "forward_query": false}));
    assert_ne!(id, own);
    let to = shared.location(&format!("/{slug}?utm_source=a%20%26b"));
    assert!(to.starts_with(&format!("https://shop.example/{own}?c=clk_")), "{to}");
    assert!(to.contains("&d=desktop&s=a%20%26b&r="), "{to}");
    let token = to.split_once("&t=").expect("the token").1.split('&').next().expect("its text");
    assert!(to.ends_with(&format!("&wclid={token}")), "{to}");
}

#[test]
fn links_that_are_off_or_out_of_time() {
    let shared = shared();
    let (past, future) = ("2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z");
    for (members, open) in [
        (json!({"enabled": false}), false),
        (json!({"expires_at": past}), false),
        (json!({"starts_at": future}), false),
        (json!({"starts_at": past, "expires_at": future}), true),
    ] {
        let (slug, id) = shared.link(members.clone());
        assert_eq!(shared.visit(&format!("/{slug}"), &[]).status, if open { 302 } else { 410 }, "{members}");
        shared.engine.call(
            "PATCH",
            &format!("/v1/links/{id}"),
            Some(&json!({"fallback": "https://else.example/"})),
            200,
        );
        let answer = shared.visit(&format!("/{slug}"), &[]);
        assert_eq!(answer.status, 302);
        let to = answer.header("location").expect("a location");
        assert_eq!(to.starts_with("https://else.example/"), !open, "{members}: {to}");
        let clicks = shared.of_link(&id, &["clicks"]);
        assert_eq!(clicks, [json!(if open { 2 } else { 0 })], "{members}");
    }
}

#[test]
fn public_paths_of_the_engine_itself() {
    let shared = shared();
    for path in ["/healthz", "/readyz", "/robots.txt"] {
        assert_eq!(shared.visit(path, &[]).status, 200, "{path}");
    }
    assert!(matches!(shared.visit("/favicon.ico", &[]).status, 200 | 204));
    assert_eq!(shared.visit("/.well-known/security.txt", &[]).status, 404);
    assert_eq!(shared.visit("/v1/links", &[]).status, 404, "the API is not for visitors");
    assert_eq!(shared.visit("/metrics", &[]).status, 404);
}
