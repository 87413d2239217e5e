//! Who a visitor is: the cookie `wv`, else the day's hash of address and user agent.

use serde_json::json;

use super::engine::http::Answer;
use super::{Shared, own, shared, within_a_day};

fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let start = format!("{name}=");
    let found =
        answer.header_all("set-cookie").find_map(|cookie| cookie.strip_prefix(&start).map(str::to_owned));
    found.map(|cookie| cookie.split(';').next().unwrap_or_default().to_owned())
}

fn visitors(shared: &Shared, link: &str) -> [i64; 2] {
    let cells = shared.of_link(link, &["clicks", "visitors"]);
    [0, 1].map(|at| cells[at].as_i64().expect("a number"))
}

#[test]
fn one_person_with_and_without_cookies() {
    within_a_day();
    let shared = shared();
    let (slug, id) = shared.link(json!({}));
    let path = format!("/{slug}");
    let from = ("x-forwarded-for", "203.0.113.7");
    let first = cookie(&shared.visit(&path, &[from]), "wv").expect("a cookie is set");
    assert_eq!(
        cookie(&shared.visit(&path, &[from]), "wv"),
        Some(first.clone()),
        "the same person, the same day"
    );
    assert_eq!(visitors(&shared, &id), [2, 1]);
    // With the cookie from elsewhere it is still the same person.
    let sent = format!("wv={first}");
    let elsewhere = ("x-forwarded-for", "198.51.100.9");
    shared.visit(&path, &[elsewhere, ("cookie", &sent), ("user-agent", "Mozilla/5.0 (Other)")]);
    assert_eq!(visitors(&shared, &id), [3, 1]);
    shared.visit(&path, &[elsewhere]);
    assert_eq!(visitors(&shared, &id), [4, 2]);
    shared.visit(&path, &[from, ("user-agent", "Mozilla/5.0 (X11; Linux) Firefox/140.0")]);
    assert_eq!(visitors(&shared, &id), [5, 3]);
    // Behind one address two people with cookies of their own are two.
    for value in ["aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "aaaaaaaaaaaaaaaa"] {
        shared.visit(&path, &[from, ("cookie", &format!("x=1; wv={value}; y=2"))]);
    }
    assert_eq!(visitors(&shared, &id), [8, 5]);
}

/// Whatever a site writes into the cookie is who comes: the value is nowhere said to be one of ours.
#[test]
fn the_cookies_value_is_the_visitor_whoever_wrote_it() {
    let shared = shared();
    let (slug, id) = shared.link(json!({}));
    for (value, address) in [("1", "203.0.113.7"), ("1", "198.51.100.9"), ("user-2@x", "203.0.113.7")] {
        let headers = [("x-forwarded-for", address), ("cookie", &format!("wv={value}"))];
        assert_eq!(cookie(&shared.visit(&format!("/{slug}"), &headers), "wv"), None, "it is not set again");
    }
    assert_eq!(visitors(&shared, &id), [3, 2]);
}

#[test]
fn without_cookies_none_is_set() {
    within_a_day();
    let shared = own(|settings| settings.with("privacy.cookies", "false"));
    let (slug, id) = shared.link(json!({}));
    let answer = shared.visit(&format!("/{slug}"), &[]);
    assert_eq!(answer.header_all("set-cookie").count(), 0);
    assert!(answer.header("location").is_some_and(|to| to.contains("wclid=")));
    shared.visit(&format!("/{slug}"), &[]);
    shared.visit(&format!("/{slug}"), &[("x-forwarded-for", "203.0.113.50")]);
    assert_eq!(visitors(&shared, &id), [3, 2]);
}
