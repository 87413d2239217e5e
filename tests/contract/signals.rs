//! Fraud signals: labelled, never dropped.

use serde_json::{Value, json};

use super::engine::text_of;
use super::{fresh, refused, shared};

/// Of Amazon's network, and of Deutsche Telekom's.
const CLOUD: &str = "52.95.110.1";
const HOME: &str = "84.128.0.1";
/// In Australia.
const SYDNEY: &str = "1.128.0.1";

fn signals(id: &str) -> Vec<(String, u64, String)> {
    let told = shared().get(&format!("/v1/links/{id}/signals"));
    let data = told["data"].as_array().expect("signals");
    let one = |entry: &Value| {
        let evidence = text_of(&entry["recent"][0]["evidence"]);
        (text_of(&entry["signal"]), entry["clicks"].as_u64().expect("clicks"), evidence)
    };
    data.iter().map(one).collect()
}

#[test]
fn a_click_from_a_hosting_network_is_labelled_and_counted() {
    let shared = shared();
    let (slug, id) = shared.link(json!({}));
    for address in [CLOUD, HOME, "10.0.0.1"] {
        assert_eq!(shared.visit(&format!("/{slug}"), &[("x-forwarded-for", address)]).status, 302);
    }
    let told = signals(&id);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].0.as_str(), told[0].1), ("hosting", 1));
    assert!(told[0].2.starts_with("hosting: AS16509 "), "{told:?}");
    let query = json!({"metrics": ["clicks"], "date_range": "7d", "dimensions": ["signal"],
        "filters": ["is", "link", [id]]});
    let rows = shared.engine.query(&query)["rows"].clone();
    assert_eq!(rows, json!([["", 2], ["hosting", 1]]));
    let by_system = json!({"metrics": ["clicks"], "date_range": "7d", "dimensions": ["asn"],
        "filters": ["and", [["is", "link", [id]], ["is", "signal", ["hosting"]]]]});
    assert_eq!(shared.engine.query(&by_system)["rows"], json!([[16509, 1]]));
    refused(&shared.engine.api("GET", "/v1/links/lnk_0000000000000/signals", None), 404, "not_found");
}

#[test]
fn a_visitor_in_two_places_at_once_and_one_who_never_rests_are_labelled() {
    let shared = shared();
    let (slug, id) = shared.link(json!({}));
    let path = format!("/{slug}");
    let first = shared.visit(&path, &[("x-forwarded-for", HOME)]);
    let mut cookies = first.header_all("set-cookie");
    let visitor = cookies.find(|cookie| cookie.starts_with("wv=")).expect("the visitor's cookie");
    let visitor = visitor.split(';').next().expect("its value");
    let again = |address: &str| shared.visit(&path, &[("x-forwarded-for", address), ("cookie", visitor)]);
    again(HOME);
    again(SYDNEY);
    let told = signals(&id);
    assert_eq!((told.len(), told[0].0.as_str(), told[0].1), (1, "impossible_travel", 1), "{told:?}");
    assert!(told[0].2.contains("(AU)"), "{told:?}");
    // Within two minutes there is one minute with more than ten.
    for _ in 0..24 {
        again(SYDNEY);
    }
    let told = signals(&id);
    assert_eq!(told[0].0, "visitor_rate", "{told:?}");
    assert_eq!(shared.of_link(&id, &["clicks"]), [json!(27)], "nothing was dropped");
}

#[test]
fn a_late_verdict_restates_counts_and_labels_conversions() {
    let shared = shared();
    let (slug, id) = shared.link(json!({}));
    let tokens: Vec<String> = (0..2).map(|_| shared.token(&slug)).collect();
    let sale = json!({"event": "sale", "order_id": fresh("judged"), "wclid": tokens[0],
        "amount": {"amount": 500, "currency": "EUR"}});
    let sold = shared.post("/v1/conversions", sale, 201);
    let click = text_of(&sold["attribution"]["click_id"]);
    let path = format!("/v1/clicks/{click}/verdict");
    let by = |dimension: &str, metrics: &[&str]| {
        let query = json!({"metrics": metrics, "date_range": "7d", "dimensions": [dimension],
            "filters": ["is", "link", [id]], "order_by": [[dimension, "asc"]]});
        shared.engine.query(&query)["rows"].clone()
    };
    assert_eq!(by("signal", &["revenue"]), json!([["fast_conversion", 500]]), "sold within the second");

    let judged = shared.post(&path, json!({"verdict": "blocked", "reason": "a farm"}), 200);
    assert_eq!((&judged["verdict"], &judged["reason"]), (&json!("blocked"), &json!("a farm")));
    shared.post(&path, json!({"verdict": "blocked"}), 200);
    assert_eq!(shared.of_link(&id, &["clicks", "hits", "revenue"]), [json!(1), json!(2), json!(500)]);
    assert_eq!(by("verdict", &["hits"]), json!([["blocked", 1], ["counted", 1]]));
    assert_eq!(by("signal", &["clicks", "revenue"]), json!([["", 1, 0], ["manual", 0, 500]]));
    assert_eq!(shared.get(&format!("/v1/links/{id}"))["clicks"], 1);

    shared.post(&path, json!({"verdict": "counted"}), 200);
    assert_eq!(shared.of_link(&id, &["clicks", "hits"]), [json!(2), json!(2)]);
    assert_eq!(by("signal", &["revenue"]), json!([["fast_conversion", 500]]));

    for (body, field) in [(json!({"verdict": "bot"}), "verdict"), (json!({"verdict": "x"}), "verdict")] {
        super::names(&shared.engine.api("POST", &path, Some(&body)), field);
    }
    let nobody = "/v1/clicks/clk_00000000000000000000000000/verdict";
    refused(&shared.engine.api("POST", nobody, Some(&json!({"verdict": "blocked"}))), 404, "not_found");
}

#[test]
fn a_late_verdict_holds_what_the_click_earned_until_it_is_taken_back() {
    let shared = shared();
    let program = super::programs::program(&shared, json!({}));
    let (partner, _) = super::programs::partner(&shared, json!({"program_id": program}));
    let (slug, _) = shared.link(json!({"program_id": program, "partner_id": partner}));
    let token = shared.token(&slug);
    let sale = json!({"event": "sale", "order_id": fresh("held"), "wclid": token,
        "amount": {"amount": 10_000, "currency": "USD"}});
    let sold = shared.post("/v1/conversions", sale, 201);
    let conversion = format!("/v1/conversions/{}", text_of(&sold["id"]));
    let status = || shared.get(&conversion)["commissions"][0]["status"].clone();
    let before = status();
    assert_ne!(before, "held", "a fast conversion is a label, and holds nothing: {sold}");
    let path = format!("/v1/clicks/{}/verdict", text_of(&sold["attribution"]["click_id"]));
    shared.post(&path, json!({"verdict": "blocked", "reason": "a farm"}), 200);
    assert_eq!(status(), "held");
    shared.post(&path, json!({"verdict": "counted"}), 200);
    assert_eq!(status(), before);
}
