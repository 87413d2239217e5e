//! What bad input gets, the same everywhere: RFC 9457 with stable members.

use serde_json::{Value, json};

use super::{ADMIN_KEY, ask, names, refused, shared};

#[test]
fn what_is_not_json_is_400() {
    let shared = shared();
    let json_kind = [("content-type", "application/json")];
    for path in ["/v1/links", "/v1/links/bulk", "/v1/conversions", "/v1/refunds", "/v1/query", "/v1/keys"] {
        for body in ["", "{", "nope", "{\"a\":}", "{\"destination\":\"https://a.example/\"} x", "\u{0}"] {
            let answer = shared.with_headers("POST", path, &json_kind, body.as_bytes());
            refused(&answer, 400, "malformed_request");
        }
    }
    let answer = shared.with_headers("POST", "/v1/query", &json_kind, "[".repeat(100_000).as_bytes());
    refused(&answer, 400, "malformed_request");
    refused(&shared.with_headers("POST", "/v1/links", &json_kind, b"\xff\xfe"), 400, "malformed_request");
}

#[test]
fn what_does_not_fit_is_422_and_names_the_field() {
    let shared = shared();
    let post = |path: &str, body: Value| shared.engine.api("POST", path, Some(&body));
    let good = "https://shop.example/";
    let sale = |amount: Value| json!({"event": "sale", "order_id": "never", "amount": amount});
    for (path, body, field) in [
        ("/v1/links", json!({}), "destination"),
        ("/v1/links", json!({"destination": 5}), "destination"),
        ("/v1/links", json!({"destination": good, "nope": 1}), "nope"),
        ("/v1/links", json!({"destination": good, "tags": "a"}), "tags"),
        ("/v1/links", json!({"destination": good, "tags": [1]}), "tags[0]"),
        ("/v1/links", json!({"destination": good, "utm": {"colour": "x"}}), "utm.colour"),
        ("/v1/links", json!({"destination": good, "status_code": 303}), "status_code"),
        ("/v1/links", json!({"destination": good, "status_code": "302"}), "status_code"),
        ("/v1/links", json!({"destination": good, "enabled": "yes"}), "enabled"),
        ("/v1/links", json!({"destination": good, "expires_at": "soon"}), "expires_at"),
        ("/v1/links", json!({"destination": good, "partner_id": "lnk_0000000000000"}), "partner_id"),
        ("/v1/links", json!([{"destination": good}]), "body"),
        ("/v1/links", json!("x"), "body"),
        ("/v1/links", json!(null), "body"),
        ("/v1/conversions", json!({"order_id": "a"}), "event"),
        ("/v1/conversions", json!({"event": "sale", "order_id": "never"}), "amount"),
        ("/v1/conversions", sale(json!({"amount": 1.5, "currency": "EUR"})), "amount.amount"),
        ("/v1/conversions", sale(json!({"amount": "1", "currency": "EUR"})), "amount.amount"),
        ("/v1/conversions", sale(json!({"amount": -1, "currency": "EUR"})), "amount.amount"),
        ("/v1/conversions", sale(json!({"amount": 1, "currency": "EURO"})), "amount.currency"),
        ("/v1/conversions", sale(json!({"amount": 1})), "amount.currency"),
        ("/v1/conversions", sale(json!({"currency": "EUR"})), "amount.amount"),
        ("/v1/conversions", sale(json!({"amount": 1, "currency": "EUR", "tax": 1})), "amount.tax"),
        ("/v1/conversions", sale(json!(100)), "amount"),
        ("/v1/conversions", json!({"event": "lead", "click_id": "nope"}), "click_id"),
        ("/v1/conversions", json!({"event": "lead", "occurred_at": "yesterday"}), "occurred_at"),
        ("/v1/conversions", json!({"event": "lead", "occurred_at": "2999-01-01T00:00:00Z"}), "occurred_at"),
        ("/v1/refunds", json!({"reason": "refund"}), "order_id"),
        ("/v1/refunds", json!({"order_id": "a", "reason": "mood"}), "reason"),
        ("/v1/query", json!({}), "metrics"),
        ("/v1/query", json!({"metrics": []}), "metrics"),
        ("/v1/query", json!({"metrics": ["nope"]}), "metrics[0]"),
        ("/v1/query", json!({"metrics": ["clicks"], "dimensions": ["nope"]}), "dimensions[0]"),
        ("/v1/query", json!({"metrics": ["clicks"], "date_range": "8d"}), "date_range"),
        ("/v1/query", json!({"metrics": ["clicks"], "timezone": "Mars/Olympus"}), "timezone"),
        ("/v1/query", json!({"metrics": ["clicks"], "limit": 0}), "limit"),
        ("/v1/query", json!({"metrics": ["clicks"], "limit": "10"}), "limit"),
        ("/v1/query", json!({"metrics": ["clicks"], "order_by": [["visitors", "desc"]]}), "order_by[0]"),
        ("/v1/query", json!({"metrics": ["clicks"], "nope": 1}), "nope"),
        ("/v1/query", json!({"metrics": ["clicks"], "include": {"nope": 1}}), "include.nope"),
        ("/v1/keys", json!({"name": "a", "role": "king"}), "role"),
        ("/v1/keys", json!({"name": "a", "role": "viewer", "nope": 1}), "nope"),
        ("/v1/webhook-endpoints", json!({"provider": "nope", "secrets": ["whsec_x"]}), "provider"),
        ("/v1/webhook-endpoints", json!({"provider": "stripe", "secrets": []}), "secrets"),
        ("/v1/webhook-endpoints", json!({"provider": "stripe"}), "secrets"),
        ("/v1/session", json!({"nope": 1}), "nope"),
    ] {
        let answer = post(path, body.clone());
        eprintln!("{path} {body}");
        names(&answer, field);
    }
    let several = post("/v1/links", json!({"destination": "x", "slug": "a b", "status_code": 200}));
    for field in ["destination", "slug", "status_code"] {
        names(&several, field);
    }
    let (_, id) = shared.link(json!({}));
    for (body, field) in
        [(json!({"nope": 1}), "nope"), (json!({"destination": null}), "destination"), (json!([]), "body")]
    {
        names(&shared.engine.api("PATCH", &format!("/v1/links/{id}"), Some(&body)), field);
    }
}

#[test]
fn routes_methods_types_and_sizes() {
    let shared = shared();
    let api = |method: &str, path: &str| shared.engine.api(method, path, None);
    for (method, path, allowed) in [
        ("PUT", "/v1/links", &["GET", "POST"][..]),
        ("POST", "/v1/links/lnk_0000000000000", &["GET", "PATCH", "DELETE"]),
        ("GET", "/v1/query", &["POST"]),
        ("DELETE", "/v1/refunds", &["POST"]),
        ("GET", "/v1/live/tickets", &["POST"]),
        ("POST", "/metrics", &["GET"]),
        ("POST", "/healthz", &["GET"]),
    ] {
        let answer = api(method, path);
        refused(&answer, 405, "method_not_allowed");
        let allow = answer.header("allow").expect("Allow").to_owned();
        for method in allowed {
            assert!(allow.split(',').any(|known| known.trim() == *method), "{path}: {allow}");
        }
    }
    for path in ["/v1/nope", "/v1/links/lnk_0000000000000", "/v1/links/nope", "/v1/customers/nobody"] {
        refused(&api("GET", path), 404, "not_found");
    }
    for path in ["/v1/conversions/cnv_0000000000000", "/v1/conversions/cnv_0000000000000/trace"] {
        refused(&api("GET", path), 404, "not_found");
    }
    refused(&api("GET", "/v1/webhook-endpoints/whk_0000000000000/deliveries"), 404, "not_found");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let answer = shared.with_headers("POST", "/v1/links", &[("content-type", kind)], b"{}");
        refused(&answer, 415, "unsupported_media_type");
    }
    let kind = [("content-type", "application/json; charset=utf-8")];
    let answer = shared.with_headers("POST", "/v1/query", &kind, br#"{"metrics":["clicks"]}"#);
    assert_eq!(answer.status, 200, "a charset is allowed");
    let long = json!({"destination": "https://a.example/", "title": "x".repeat(300_000)}).to_string();
    let json_kind = [("content-type", "application/json")];
    refused(&shared.with_headers("POST", "/v1/links", &json_kind, long.as_bytes()), 413, "body_too_large");
}

#[test]
fn who_nobody_is_and_what_their_request_was_called() {
    let shared = shared();
    let admin = shared.engine.admin;
    let wrong = format!("Bearer {}x", ADMIN_KEY);
    for headers in [
        &[][..],
        &[("authorization", wrong.as_str())],
        &[("authorization", "Basic YTpi")],
        &[("authorization", "")],
    ] {
        for (method, path) in [
            ("GET", "/v1/links"),
            ("GET", "/v1/keys"),
            ("POST", "/v1/links"),
            ("POST", "/v1/query"),
            ("POST", "/v1/conversions"),
            ("POST", "/v1/live/tickets"),
            ("GET", "/v1/session"),
        ] {
            let answer = ask(admin, method, path, headers, b"");
            refused(&answer, 401, "unauthenticated");
            assert!(answer.header("www-authenticate").is_some_and(|how| how.starts_with("Bearer")));
        }
    }
    let answer = ask(admin, "GET", "/v1/links", &[("x-request-id", "mine-42")], b"");
    assert_eq!(refused(&answer, 401, "unauthenticated")["request_id"], "mine-42");
}
