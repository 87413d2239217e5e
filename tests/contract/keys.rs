//! API keys: shown once, hashed, with a role, revoked at once.

use serde_json::{Value, json};

use super::engine::text_of;
use super::live::Watching;
use super::{Shared, fresh, names, refused, shared};

fn key(shared: &Shared, role: &str) -> (String, String) {
    let made = shared.post("/v1/keys", json!({"name": fresh("key"), "role": role}), 201);
    assert_eq!(made.get("last_used_at"), Some(&Value::Null), "{made}");
    let secret = text_of(&made["key"]);
    assert!(secret.starts_with("weir_") && (32..=128).contains(&secret.len()), "{secret}");
    assert!(text_of(&made["id"]).starts_with("key_"));
    (text_of(&made["id"]), secret)
}

#[test]
fn each_role_may_do_its_part() {
    let shared = shared();
    let (_, link) = shared.link(json!({}));
    let query = json!({"metrics": ["clicks"]});
    let one = format!("/v1/links/{link}");
    let new_link = || json!({"destination": "https://a.example/"});
    let lead = || json!({"event": "lead"});
    let new_key = || json!({"name": "k", "role": "viewer"});
    let endpoint = || json!({"provider": "stripe", "secrets": ["whsec_x"]});
    // What editors, viewers and shops' servers get.
    let table: [(&str, &str, Option<Value>, [u16; 3]); 12] = [
        ("GET", "/v1/links", None, [200, 200, 403]),
        ("GET", &one, None, [200, 200, 403]),
        ("POST", "/v1/links", Some(new_link()), [201, 403, 403]),
        ("PATCH", &one, Some(json!({"title": "x"})), [200, 403, 403]),
        ("POST", "/v1/conversions", Some(lead()), [201, 403, 201]),
        ("GET", "/v1/conversions", None, [200, 200, 403]),
        ("POST", "/v1/query", Some(query), [200, 200, 403]),
        ("POST", "/v1/live/tickets", None, [201, 201, 403]),
        ("POST", "/v1/keys", Some(new_key()), [403, 403, 403]),
        ("GET", "/v1/keys", None, [403, 403, 403]),
        ("POST", "/v1/webhook-endpoints", Some(endpoint()), [403, 403, 403]),
        ("DELETE", "/v1/customers/nobody", None, [403, 403, 403]),
    ];
    for (at, role) in ["editor", "viewer", "ingest"].into_iter().enumerate() {
        let (_, secret) = key(&shared, role);
        for (method, path, body, expected) in &table {
            let answer = shared.as_key(&secret, method, path, body.as_ref());
            assert_eq!(answer.status, expected[at], "{role} {method} {path}: {}", answer.text());
            if answer.status == 403 {
                refused(&answer, 403, "forbidden");
            }
        }
    }
}

#[test]
fn a_key_is_shown_once_and_revoked_at_once() {
    let shared = shared();
    let (id, secret) = key(&shared, "viewer");
    let listed = shared.get("/v1/keys");
    let mine = |listed: &Value| {
        let mut data = listed["data"].as_array().expect("data").iter();
        data.find(|key| key["id"] == json!(id)).cloned().expect("it is listed")
    };
    assert!(listed.get("next_cursor").is_some());
    assert_eq!(mine(&listed)["role"], "viewer");
    assert_eq!(mine(&listed)["last_used_at"], Value::Null, "nobody used it");
    assert!(!listed.to_string().contains(&secret), "never a secret");
    assert_eq!(shared.as_key(&secret, "GET", "/v1/links", None).status, 200);
    assert!(mine(&shared.get("/v1/keys"))["last_used_at"].is_string());
    shared.engine.call("DELETE", &format!("/v1/keys/{id}"), None, 204);
    refused(&shared.as_key(&secret, "GET", "/v1/links", None), 401, "unauthenticated");
    assert!(mine(&shared.get("/v1/keys"))["revoked_at"].is_string());
    refused(&shared.engine.api("DELETE", "/v1/keys/key_0000000000000", None), 404, "not_found");
}

#[test]
fn a_key_gets_another_name_and_role_and_keeps_its_secret() {
    let shared = shared();
    let (id, secret) = key(&shared, "viewer");
    let path = format!("/v1/keys/{id}");
    let new_link = || json!({"destination": "https://a.example/"});
    refused(&shared.as_key(&secret, "POST", "/v1/links", Some(&new_link())), 403, "forbidden");
    let changed = shared.engine.call("PATCH", &path, Some(&json!({"name": "Ada", "role": "editor"})), 200);
    assert_eq!((&changed["name"], &changed["role"]), (&json!("Ada"), &json!("editor")));
    assert!(changed.get("key").is_none() && !changed.to_string().contains(&secret), "{changed}");
    assert!(changed["last_used_at"].is_string(), "it was used, in vain: {changed}");
    let listed = shared.get("/v1/keys");
    assert!(listed["data"].as_array().expect("data").contains(&changed), "{listed}");
    assert_eq!(shared.as_key(&secret, "POST", "/v1/links", Some(&new_link())).status, 201, "at once");

    let patch = |body: Value| shared.engine.api("PATCH", &path, Some(&body));
    names(&patch(json!({"name": ""})), "name");
    names(&patch(json!({"role": "owner"})), "role");
    names(&patch(json!({"role": "partner"})), "role");
    names(&patch(json!({"secret": "x"})), "secret");
    refused(&shared.as_key(&secret, "PATCH", &path, Some(&json!({"role": "admin"}))), 403, "forbidden");
    shared.engine.call("DELETE", &path, None, 204);
    refused(&patch(json!({"name": "Eve"})), 404, "not_found");
}

#[test]
fn who_watches_by_a_key_is_sent_away_with_it() {
    let shared = shared();
    let by_key = |secret: &str| {
        let mut watching = Watching::open(&shared);
        watching.send(json!({"type": "connect", "key": secret}));
        watching.next("connected");
        watching
    };
    let by_ticket = |secret: &str| {
        let ticket = shared.as_key(secret, "POST", "/v1/live/tickets", None).json()["ticket"].clone();
        let mut watching = Watching::open(&shared);
        watching.send(json!({"type": "connect", "ticket": ticket}));
        watching.next("connected");
        watching
    };
    let ((id, secret), (other_id, other)) = (key(&shared, "viewer"), key(&shared, "editor"));
    let (path, other_path) = (format!("/v1/keys/{id}"), format!("/v1/keys/{other_id}"));
    let (mut first, mut second, mut third) = (by_key(&secret), by_ticket(&secret), by_key(&other));
    first.subscribe("q", &json!({"metrics": ["clicks"], "date_range": "7d"}));
    shared.engine.call("DELETE", &path, None, 204);
    assert_eq!([first.closed(), second.closed()], [4401, 4401], "a revoked key watches nothing more");
    // Another key's connection stays, until that key may watch no more.
    shared.engine.call("PATCH", &other_path, Some(&json!({"role": "viewer"})), 200);
    third.subscribe("q", &json!({"metrics": ["clicks"], "date_range": "7d"}));
    shared.engine.call("PATCH", &other_path, Some(&json!({"role": "ingest"})), 200);
    assert_eq!(third.closed(), 4403);
}
