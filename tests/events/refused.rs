//! What strangers and mistakes send is refused, says why, and is counted.

use serde_json::{Value, json};

use super::engine::http::Http;
use super::{SHOP, Site};

#[test]
fn sites_come_and_go() {
    let site = Site::new();
    let listed = site.engine.call("GET", "/v1/sites", None, 200);
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    let path = format!("/v1/sites/{}", site.id);
    let read = site.engine.call("GET", &path, None, 200);
    assert_eq!((&read["name"], &read["origins"]), (&json!("Shop"), &json!([SHOP])));
    let snippet = read["snippet"].as_str().unwrap();
    assert!(snippet.contains("/weir.js\"") && snippet.contains(&site.id), "{snippet}");
    let wrong = site.engine.call("POST", "/v1/sites", Some(&json!({"name": "", "origins": ["x"]})), 422);
    let fields: Vec<&str> =
        wrong["errors"].as_array().unwrap().iter().filter_map(|e| e["field"].as_str()).collect();
    assert_eq!(fields, ["name", "origins[0]"]);
    site.engine.call("POST", "/v1/sites", Some(&json!({"name": "a", "origins": [SHOP], "colour": 1})), 422);
    assert_eq!(site.send(&site.event(json!({}))).status, 202);
    site.engine.call("DELETE", &path, None, 204);
    site.engine.call("DELETE", &path, None, 404);
    site.engine.call("GET", &path, None, 404);
    assert_eq!(site.send(&site.event(json!({}))).status, 403);
    assert_eq!(site.counted(), 1);
}

#[test]
fn what_is_refused_says_why() {
    let site = Site::new();
    let good = site.event(json!({})).to_string();
    let from = |origin: &str| [("origin".to_owned(), origin.to_owned())];
    let send = |headers: &[(String, String)], body: &str| {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let answer = site.send_with(&headers, body);
        let kind = answer.header("content-type").unwrap_or_default().to_owned();
        assert!(answer.status == 202 || kind == "application/problem+json", "{}", answer.text());
        (answer.status, answer.json())
    };
    let shop = from(SHOP);
    for (headers, body, status, reason) in [
        (&from("https://evil.example")[..], good.as_str(), 403, "foreign_origin"),
        (&from("null"), &good, 403, "foreign_origin"),
        (&from("https://shop.example.evil.example"), &good, 403, "foreign_origin"),
        (&from("http://shop.example"), &good, 403, "foreign_origin"),
        (&[], &good, 403, "foreign_origin"),
        (&shop, &site.event(json!({"url": "https://evil.example/"})).to_string(), 403, "foreign_origin"),
        (&shop, &site.event(json!({"site": "ste_0000000000001"})).to_string(), 403, "unknown_site"),
        (&shop, "{", 400, "malformed"),
        (&shop, "", 400, "malformed"),
        (&shop, "7", 422, "invalid"),
        (&shop, "[]", 422, "invalid"),
        (&shop, &site.event(json!({"scroll": "x"})).to_string(), 422, "invalid"),
        (&shop, &json!(vec![site.event(json!({})); 101]).to_string(), 422, "invalid"),
        (&shop, &" ".repeat(64 * 1_024 + 1), 413, "too_large"),
    ] {
        let before = site.refusals(reason);
        let (answered, problem) = send(headers, body);
        assert_eq!(answered, status, "{headers:?} {body:.200} {problem}");
        assert_eq!(site.refusals(reason), before + 1, "{reason}");
    }
    let form = [shop[0].clone(), ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())];
    assert_eq!(send(&form, &good).0, 415);
    let named = send(&shop, &site.event(json!({"scroll": "x"})).to_string()).1;
    assert_eq!(named["errors"][0]["field"], "scroll");
    assert_eq!(site.counted(), 0);
    // The most that is taken, and a mistake among what is right.
    assert_eq!(send(&shop, &json!(vec![site.event(json!({})); 100]).to_string()).1["accepted"], 100);
    let mixed = json!([site.event(json!({})), site.event(json!({"url": "x"})), site.event(json!({}))]);
    let (status, answer) = send(&shop, &mixed.to_string());
    assert_eq!((status, &answer["accepted"]), (202, &json!(2)));
    assert_eq!(answer["refused"][0]["index"], 1);
    assert_eq!(answer["refused"][0]["errors"][0]["field"], "events[1].url");
    // Without an Origin the referrer says whose page it is.
    let referred = [("referer".to_owned(), format!("{SHOP}/p?x=1"))];
    assert_eq!(send(&referred, &good).0, 202);
    assert_eq!(site.counted(), 103);
}

#[test]
fn other_methods_and_preflights() {
    let site = Site::new();
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        Http::new(site.engine.public).send(method, path, headers, b"").unwrap()
    };
    let preflight = [
        ("origin", SHOP),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ];
    let allowed = ask("OPTIONS", "/collect", &preflight);
    assert_eq!(allowed.status, 204);
    assert_eq!(allowed.header("access-control-allow-origin"), Some(SHOP));
    assert_eq!(allowed.header("access-control-allow-headers"), Some("content-type"));
    assert!(allowed.header("access-control-allow-methods").is_some_and(|text| text.contains("POST")));
    assert!(allowed.header("vary").is_some_and(|text| text.contains("Origin")));
    for (method, path) in [("GET", "/collect"), ("PUT", "/collect"), ("POST", "/i")] {
        let answer = ask(method, path, &[("origin", SHOP)]);
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(answer.header("allow").is_some());
    }
    let orphans = site.engine.query(&json!({"metrics": ["orphan_clicks"], "date_range": "7d"}));
    assert_eq!(orphans["rows"][0][0], Value::from(0), "these paths are no slugs");
}
