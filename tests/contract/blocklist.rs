//! Destinations that links may not lead to, and the address to which abuse is reported.

use serde_json::json;

use super::engine::text_of;
use super::{names, own, refused};

#[test]
fn what_is_blocked_is_refused_and_links_that_led_there_lead_nowhere() {
    let engine = own(|settings| settings.with("abuse.contact", "abuse@weir.example"));
    let (slug, id) = engine.link(json!({"destination": "https://shop.evil.example/x",
        "fallback": "https://fine.example/"}));
    let (fine, _) = engine.link(json!({"destination": "https://fine.example/"}));
    assert_eq!(engine.visit(&format!("/{slug}"), &[]).status, 302);

    let blocked = engine.post("/v1/blocklist", json!({"pattern": "Evil.Example", "reason": "phishing"}), 201);
    assert_eq!((&blocked["pattern"], &blocked["reason"]), (&json!("evil.example"), &json!("phishing")));
    let body = json!({"pattern": "https://evil.example/"});
    refused(&engine.engine.api("POST", "/v1/blocklist", Some(&body)), 409, "pattern_known");
    for pattern in ["", "a b", "*", "user@evil.example"] {
        names(&engine.engine.api("POST", "/v1/blocklist", Some(&json!({"pattern": pattern}))), "pattern");
    }
    let listed = engine.get("/v1/blocklist");
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "{listed}");

    let answer = engine.visit(&format!("/{slug}"), &[]);
    assert_eq!((answer.status, answer.header("location")), (403, None), "not even to its fallback");
    assert!(answer.text().contains("abuse@weir.example"), "{}", answer.text());
    let inspected = engine.visit(&format!("/{slug}+"), &[]);
    assert_eq!(inspected.status, 403);
    assert!(
        inspected.text().contains("mailto:abuse@weir.example") && !inspected.text().contains("evil.example")
    );
    assert!(engine.visit(&format!("/{fine}+"), &[]).text().contains("mailto:abuse@weir.example"));
    assert!(engine.visit("/nothing-here", &[]).text().contains("abuse@weir.example"));
    assert_eq!(engine.visit(&format!("/{fine}"), &[]).status, 302);

    let to = |destination: &str| json!({"destination": destination});
    for path in ["https://evil.example/", "http://a.b.evil.example:8080/?x"] {
        names(&engine.engine.api("POST", "/v1/links", Some(&to(path))), "destination");
    }
    let split = json!({"variants": [{"name": "a", "destination": "https://evil.example/", "weight": 1}]});
    let patched = engine.engine.api("PATCH", &format!("/v1/links/{id}"), Some(&split));
    names(&patched, "variants[0].destination");
    let verdicts = engine.post(
        "/v1/query",
        json!({"metrics": ["hits"], "dimensions": ["verdict"], "date_range": "7d", "filters": ["is", "link", [id]]}),
        200,
    );
    assert!(
        verdicts["rows"].as_array().is_some_and(|rows| rows.contains(&json!(["blocked", 1]))),
        "{verdicts}"
    );

    let changed =
        engine.engine.call("PATCH", &format!("/v1/links/{id}"), Some(&to("https://fine.example/b")), 200);
    assert_eq!(changed["destination"], "https://fine.example/b");
    assert_eq!(
        engine.visit(&format!("/{slug}"), &[]).status,
        302,
        "a link that leads elsewhere is open again"
    );
    let path = format!("/v1/blocklist/{}", text_of(&blocked["id"]));
    engine.engine.call("DELETE", &path, None, 204);
    refused(&engine.engine.api("DELETE", &path, None), 404, "not_found");
    engine.engine.call("PATCH", &format!("/v1/links/{id}"), Some(&to("https://evil.example/")), 200);
    assert_eq!(engine.visit(&format!("/{slug}"), &[]).status, 302);
}
