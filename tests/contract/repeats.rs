//! `Idempotency-Key`: the same key and body get the same answer, another body 409, on every POST.

use std::time::Duration;

use serde_json::{Value, json};

use super::engine::http::Answer;
use super::engine::{PATIENCE, text_of, wait_for};
use super::outbound::receiver;
use super::{Shared, fresh, own, refused, shared};

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

/// Of what makes a secret a repeat is shown the same one; what is not the books' own work is not done again.
#[test]
fn secrets_incidents_and_messages_are_repeated_as_they_were() {
    let shared = own(|settings| settings.with("outbound.allow_private", "true"));
    let (url, received) = receiver(&[]);
    let endpoint = shared.post("/v1/outbound-endpoints", json!({"url": url}), 201);
    let order = fresh("order");
    shared.post(
        "/v1/conversions",
        json!({"event": "sale", "order_id": order, "amount": {"amount": 900, "currency": "EUR"}}),
        201,
    );
    let told = received.recv_timeout(PATIENCE).expect("a webhook").json();
    let endpoint = format!("/v1/outbound-endpoints/{}", text_of(&endpoint["id"]));
    let message = wait_for("the message was delivered", || {
        let sent = shared.get(&format!("{endpoint}/deliveries"))["data"][0].clone();
        (sent["state"] == "delivered").then(|| text_of(&sent["id"]))
    });
    let incident = shared.post("/v1/admin/incidents", json!({"title": "Slow", "text": "We look."}), 201);
    let token = shared.post("/v1/postback-tokens", json!({"name": "network"}), 201);
    let query = json!({"metrics": ["clicks"], "date_range": "7d"});
    for (path, body, other) in [
        (
            "/v1/outbound-endpoints".to_owned(),
            json!({"url": url}),
            json!({"url": url, "events": ["alert.fired"]}),
        ),
        (format!("{endpoint}/rotate"), json!({}), json!({"a": 1})),
        (format!("{endpoint}/deliveries/{message}/replay"), json!({}), json!({"a": 1})),
        ("/v1/admin/dead-letters/retry".to_owned(), json!({}), json!({"sequences": [1]})),
        (
            "/v1/admin/incidents".to_owned(),
            json!({"title": "Slow", "text": "x"}),
            json!({"title": "Slow", "text": "y"}),
        ),
        (
            format!("/v1/admin/incidents/{}/updates", text_of(&incident["id"])),
            json!({"text": "x"}),
            json!({"text": "y"}),
        ),
        ("/v1/workspaces".to_owned(), json!({"name": "a"}), json!({"name": "b"})),
        ("/v1/postback-tokens".to_owned(), json!({"name": "a"}), json!({"name": "b"})),
        (
            format!("/v1/postback-tokens/{}/rotate", text_of(&token["id"])),
            json!({"grace_hours": 1}),
            json!({"grace_hours": 2}),
        ),
        ("/v1/shares".to_owned(), json!({"query": query}), json!({"query": query, "name": "b"})),
    ] {
        let key = fresh("key");
        let first = post(&shared, &path, &key, &body);
        assert!(matches!(first.status, 200..=202), "{path}: {}", first.text());
        for _ in 0..2 {
            let again = post(&shared, &path, &key, &body);
            assert_eq!((again.status, again.json()), (first.status, first.json()), "{path}");
            assert_eq!(again.header("idempotent-replayed"), Some("true"), "{path}");
        }
        refused(&post(&shared, &path, &key, &other), 409, "idempotency_key_reused");
    }
    let incidents = shared.get("/v1/admin/incidents")["data"].clone();
    assert_eq!(incidents.as_array().map(Vec::len), Some(2), "{incidents}");
    let updates: Vec<usize> = incidents
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| one["updates"].as_array().map_or(0, Vec::len))
        .collect();
    assert_eq!(updates.iter().sum::<usize>(), 3, "{incidents}");
    // Sent once more and no oftener.
    assert_eq!(received.recv_timeout(PATIENCE).expect("once more").json(), told);
    assert!(received.recv_timeout(Duration::from_secs(2)).is_err(), "a repeat sent it again");
    // The answer outlives the engine's memory, and refusals change nothing.
    let refusal = post(&shared, "/v1/admin/incidents", "bad-then-good", &json!({"title": ""}));
    assert_eq!(refusal.status, 422, "{}", refusal.text());
    let good = post(&shared, "/v1/admin/incidents", "bad-then-good", &json!({"title": "Slow", "text": "x"}));
    assert_eq!(good.status, 201, "{}", good.text());
}

/// Every POST that does something says that it takes a key, and what the document says is so.
#[test]
fn the_document_names_the_key_on_every_post_that_does_something() {
    let document = shared().get("/openapi.json");
    let without: Vec<&str> = document["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .filter(|(path, item)| path.starts_with("/v1/") && item["post"].is_object())
        .filter(|(_, item)| {
            let parameters = item["post"]["parameters"].as_array().into_iter().flatten();
            !parameters.clone().any(|parameter| parameter["name"] == "Idempotency-Key")
        })
        .map(|(path, _)| path.as_str())
        .filter(|path| !path.starts_with("/v1/reports/"))
        .collect();
    let asking = [
        "/v1/export",
        "/v1/keys/{id}/sign-in-links",
        "/v1/links/{id}/preview",
        "/v1/live/tickets",
        "/v1/query",
        "/v1/session",
    ];
    assert_eq!(without, asking, "what asks, shows or signs in");
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
    let (key, title) = (fresh("key"), fresh("incident"));
    let body = json!({"title": title, "text": "x"});
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(post(&shared, "/v1/admin/incidents", &key, &body).status, 201));
        }
    });
    let told = shared.get("/v1/admin/incidents")["data"].clone();
    let ours = told.as_array().into_iter().flatten().filter(|one| one["title"] == json!(title)).count();
    assert_eq!(ours, 1, "{told}");
}
