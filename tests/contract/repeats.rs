//! `Idempotency-Key`: the same key and body get the same answer, another body 409, on every POST.

use serde_json::{Value, json};

use super::engine::http::Answer;
use super::{Shared, fresh, refused, shared};

fn post(shared: &Shared, path: &str, key: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    shared.with_headers("POST", path, &headers, body.to_string().as_bytes())
}

#[test]
fn a_repeat_is_answered_alike_and_another_body_refused() {
    let shared = shared();
    let order = fresh("order");
    shared.post(
        "/v1/conversions",
        json!({"event": "sale", "order_id": order, "amount": {"amount": 900, "currency": "EUR"}}),
        201,
    );
    let euros = |amount: i64| json!({"amount": amount, "currency": "EUR"});
    for (path, body, other) in [
        (
            "/v1/links",
            json!({"destination": "https://a.example/"}),
            json!({"destination": "https://b.example/"}),
        ),
        (
            "/v1/links/bulk",
            json!([{"destination": "https://a.example/"}]),
            json!([{"destination": "https://b.example/"}]),
        ),
        (
            "/v1/conversions",
            json!({"event": "lead", "customer_id": "c"}),
            json!({"event": "lead", "customer_id": "d"}),
        ),
        (
            "/v1/refunds",
            json!({"order_id": order, "amount": euros(100)}),
            json!({"order_id": order, "amount": euros(50)}),
        ),
        ("/v1/keys", json!({"name": "a", "role": "viewer"}), json!({"name": "b", "role": "viewer"})),
        (
            "/v1/webhook-endpoints",
            json!({"provider": "stripe", "secrets": ["whsec_abc"]}),
            json!({"provider": "stripe", "secrets": ["whsec_abd"]}),
        ),
    ] {
        let key = fresh("key");
        let first = post(&shared, path, &key, &body);
        assert!(matches!(first.status, 200 | 201), "{path}: {}", first.text());
        for _ in 0..2 {
            let again = post(&shared, path, &key, &body);
            assert_eq!((again.status, again.json()), (first.status, first.json()), "{path}");
        }
        refused(&post(&shared, path, &key, &other), 409, "idempotency_key_reused");
        let anew = post(&shared, path, &fresh("key"), &body);
        if path != "/v1/links/bulk" {
            assert_ne!(anew.json()["id"].as_str().or(anew.json()["refunded"].as_str()), Some(""), "{path}");
        }
        assert_ne!(anew.json(), first.json(), "{path}: another key is another request");
    }
    let refused_first = post(&shared, "/v1/links", "bad-then-good", &json!({"destination": "nope"}));
    assert_eq!(refused_first.status, 422);
    let long = "k".repeat(300);
    let answer = post(&shared, "/v1/links", &long, &json!({"destination": "https://a.example/"}));
    assert!(matches!(answer.status, 400 | 422), "{}", answer.text());
}

#[test]
fn the_same_request_at_the_same_time_is_done_once() {
    let shared = shared();
    let (key, tag) = (fresh("key"), fresh("tag"));
    let body = json!({"destination": "https://a.example/", "tags": [tag]});
    let ids: Vec<Value> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| post(&shared, "/v1/links", &key, &body).json()["id"].clone()))
            .collect();
        asked.into_iter().map(|asked| asked.join().expect("no panic")).collect()
    });
    assert!(ids.iter().all(|id| id == &ids[0] && id.is_string()), "{ids:?}");
    assert_eq!(shared.get(&format!("/v1/links?tag={tag}"))["data"].as_array().map(Vec::len), Some(1));
}
