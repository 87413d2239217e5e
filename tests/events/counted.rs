//! What is sent is counted, by everything it says.

use serde_json::json;

use super::engine::http::Http;
use super::engine::{BROWSER, token_of};
use super::{SHOP, Site};

#[test]
fn events_are_counted_by_what_they_say() {
    let site = Site::new();
    let one = site.send(&site.event(json!({"title": "Front", "referrer": "https://www.google.com/"})));
    assert_eq!((one.status, one.json()["accepted"].clone()), (202, json!(1)));
    assert_eq!(one.header("access-control-allow-origin"), Some(SHOP));
    assert_eq!(one.header("access-control-allow-credentials"), Some("true"));
    let batch = json!({"site": site.id, "events": [
        {"type": "pageview", "url": format!("{SHOP}/p?utm_source=news"), "view": 7},
        {"type": "engagement", "url": format!("{SHOP}/p"), "view": 7, "engaged_ms": 1_200, "scroll": 80},
        {"type": "click", "url": format!("{SHOP}/p"), "x": 10, "y": 20.4, "selector": "a#buy"},
        {"type": "custom", "name": "signup", "url": format!("{SHOP}/p"), "value": 9.99, "currency": "EUR",
         "properties": {"plan": "pro", "seats": 7}},
        {"type": "custom", "name": "signup", "url": format!("{SHOP}/p"), "properties": {"plan": "free"}},
    ]});
    let answer = site.send_with(
        &[("origin", SHOP), ("content-type", "application/json"), ("x-forwarded-for", "203.0.113.7")],
        &batch.to_string(),
    );
    assert_eq!((answer.status, answer.json()["accepted"].clone()), (202, json!(5)));
    // A robot's events are kept and not counted unless robots are asked for.
    let robot = [("origin", SHOP), ("user-agent", "Mozilla/5.0 (compatible; Googlebot/2.1)")];
    assert_eq!(site.send_with(&robot, &site.event(json!({})).to_string()).status, 202);

    assert_eq!(site.counted(), 5, "an engagement belongs to its page view");
    let by = |dimension: &str| site.engine.counts(dimension, "events", None).into_iter().collect::<Vec<_>>();
    let counts = |pairs: &[(&str, i64)]| -> Vec<(String, i64)> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    assert_eq!(by("event"), counts(&[("click", 1), ("pageview", 2), ("signup", 2)]));
    assert_eq!(by("property:plan"), counts(&[("", 3), ("free", 1), ("pro", 1)]));
    assert_eq!(by("property:seats"), counts(&[("", 4), ("7", 1)]));
    assert_eq!(by("domain"), counts(&[("shop.example", 5)]));
    assert_eq!(by("utm_source"), counts(&[("", 4), ("news", 1)]));
    assert_eq!(by("referrer"), counts(&[("", 4), ("google.com", 1)]));
    assert_eq!(by("browser"), counts(&[("Chrome", 5)]));
    assert_eq!(by("provider"), counts(&[("browser", 5)]));
    let only = |filter| site.engine.counts("event", "events", Some(filter)).values().sum::<i64>();
    assert_eq!(only(json!(["is", "property:plan", ["pro", "free"]])), 2);
    assert_eq!(only(json!(["is_not", "property:seats", [7]])), 4);
    assert_eq!(only(json!(["is", "event", ["pageview"]])), 2);
    assert_eq!(only(json!(["is", "bot", [true]])), 1);
    // Custom conversion events are events too, with their properties; a sale is none.
    let shop = |body| site.engine.call("POST", "/v1/conversions", Some(&body), 201);
    shop(json!({"event": "trial", "order_id": "T-1", "properties": {"plan": "pro"}}));
    shop(json!({"event": "sale", "order_id": "S-1", "amount": {"amount": 100, "currency": "EUR"},
                "properties": {"plan": "pro"}}));
    assert_eq!(by("event"), counts(&[("click", 1), ("pageview", 2), ("signup", 2), ("trial", 1)]));
    assert_eq!(by("property:plan"), counts(&[("", 3), ("free", 1), ("pro", 2)]));
    let revenue = site.engine.counts("property:plan", "revenue", Some(json!(["is", "currency", ["EUR"]])));
    assert_eq!(revenue.into_iter().collect::<Vec<_>>(), counts(&[("pro", 100)]));
    conserved(&site, 7);
}

/// `answered = accepted + dropped`, `accepted = stored + waiting + dead_lettered`, events included.
fn conserved(site: &Site, events: u64) {
    let metrics = site.engine.metrics();
    let of = |name: &str| metrics.get(name).copied().unwrap_or_default() as u64;
    let dropped = of("weir_clicks_dropped_total");
    assert_eq!(of("weir_collect_accepted_total"), events);
    assert_eq!(of("weir_clicks_answered_total"), of("weir_clicks_accepted_total") + dropped);
    assert_eq!((of("weir_clicks_accepted_total"), of("weir_clicks_stored_total")), (events, events));
}

#[test]
fn a_token_binds_events_to_its_link() {
    let site = Site::new();
    let link = site.engine.make_link("spring");
    let token = token_of(&site.engine.click("spring"));
    let with = |token: &str| site.send(&site.event(json!({"wclid": token})));
    assert_eq!(with(&token).status, 202);
    assert_eq!(with("forged").status, 202, "a stale token loses no page view");
    let by_link = site.engine.counts("link", "events", Some(json!(["is", "link", [link]])));
    assert_eq!(by_link.into_iter().collect::<Vec<_>>(), [(link, 1)]);
    assert_eq!(site.engine.metric("weir_collect_tokens_refused_total"), 1.0);
}

#[test]
fn the_pixel_counts_impressions() {
    let site = Site::new();
    let show = |method: &str, query: &str, referrer: &str| {
        let mut headers = vec![("user-agent", BROWSER)];
        if !referrer.is_empty() {
            headers.push(("referer", referrer));
        }
        Http::new(site.engine.public).send(method, &format!("/i?{query}"), &headers, b"").unwrap()
    };
    let of_site = format!("site={}", site.id);
    let shown = show("GET", &format!("{of_site}&utm_campaign=may&creative=a%20b"), "https://shop.example/p");
    assert_eq!((shown.status, shown.header("content-type")), (200, Some("image/gif")));
    assert_eq!(shown.header("cache-control"), Some("no-store"));
    assert!(shown.body.starts_with(b"GIF89a"));
    assert_eq!(show("GET", &of_site, "").status, 200, "a mail program sends no referrer");
    assert_eq!(show("HEAD", &of_site, "").status, 200);
    assert_eq!(show("GET", &of_site, "https://evil.example/").status, 403);
    assert_eq!(show("GET", "site=ste_0000000000001", "").status, 403);
    assert_eq!(show("GET", "", "").status, 403);
    assert_eq!(site.counted(), 2, "a HEAD shows nothing");
    let campaigns = site.engine.counts("utm_campaign", "events", None);
    assert_eq!(campaigns["may"], 1);
    assert_eq!(site.engine.counts("property:creative", "events", None)["a b"], 1);
    assert_eq!((site.refusals("foreign_origin"), site.refusals("unknown_site")), (1, 2));
}
