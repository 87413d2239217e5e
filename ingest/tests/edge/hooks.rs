use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use weir_engine::books::BacklogLimits;
use weir_ingest::hooks::HOOK_BODY_MAX;
use weir_schemas::ids::{EndpointId, WorkspaceId};
use weir_schemas::time::Timestamp;

use super::{ADMIN, Answer, Edge};

const SECRET: &str = "whsec_test";
const CHECKOUT: &str = include_str!("../webhooks/stripe/checkout_session_completed.json");

fn endpoint(edge: &Edge) -> (String, EndpointId) {
    let made =
        edge.post("/v1/webhook-endpoints", &json!({"provider": "stripe", "secrets": [SECRET]})).expect(201);
    assert!(made.get("secrets").is_none(), "secrets are never given back");
    let url = made["url"].as_str().unwrap();
    let path = url.strip_prefix("https://go.example").unwrap().to_owned();
    assert_eq!(path, format!("/hooks/{}", made["id"].as_str().unwrap()));
    (path, made["id"].as_str().unwrap().parse().unwrap())
}

fn signature(body: &[u8], at_s: i64, secret: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{at_s}.").as_bytes());
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={at_s},v1={hex}")
}

fn now_s() -> i64 {
    Timestamp::now().0 / 1_000
}

fn deliver(edge: &Edge, path: &str, body: &[u8]) -> Answer {
    let signature = signature(body, now_s(), SECRET);
    edge.send(Method::POST, path, &[("Stripe-Signature", &signature)], body)
}

fn outcomes(edge: &Edge, id: EndpointId) -> Vec<Value> {
    edge.settle();
    let page = edge.books.reads().deliveries(WorkspaceId(1), id, &Default::default()).unwrap();
    let value = serde_json::to_value(page.data).unwrap();
    value.as_array().unwrap().iter().rev().map(|delivery| delivery["outcome"].clone()).collect()
}

#[test]
fn a_delivery_is_durable_before_it_is_answered_and_counts_once() {
    let edge = Edge::start();
    let (path, id) = endpoint(&edge);
    for _ in 0..3 {
        let before = edge.recorder.durable().get();
        let answer = deliver(&edge, &path, CHECKOUT.as_bytes());
        assert!(answer.head.contains("ratelimit-limit: 4000"), "{}", answer.head);
        assert_eq!(answer.expect(200), json!({"received": true}));
        assert!(edge.recorder.durable().get() > before);
    }
    assert_eq!(outcomes(&edge, id), ["processed", "duplicate", "duplicate"]);
    assert_eq!(edge.books.reads().check().unwrap(), Vec::<String>::new());
}

#[test]
fn what_is_not_the_provider_is_refused_and_leaves_nothing() {
    let edge = Edge::start();
    let (path, id) = endpoint(&edge);
    let body = CHECKOUT.as_bytes();
    let send =
        |path: &str, headers: &[(&str, &str)], body: &[u8]| edge.send(Method::POST, path, headers, body);
    send(&path, &[], body).expect(401);
    for bad in [
        "t=1,v1=00".to_owned(),
        "nonsense".to_owned(),
        signature(body, now_s(), "whsec_other"),
        signature(body, now_s() - 3_600, SECRET),
        signature(b"another body", now_s(), SECRET),
    ] {
        send(&path, &[("Stripe-Signature", &bad)], body).expect(401);
    }
    deliver(&edge, &path, b"{not json").expect(400);
    deliver(&edge, "/hooks/whk_0000000000000", body).expect(404);
    deliver(&edge, "/hooks/nonsense", body).expect(404);
    deliver(&edge, &path, &vec![b' '; HOOK_BODY_MAX + 1]).expect(413);
    let answer = edge.send(Method::GET, &path, &[], b"");
    assert!(answer.head.contains("allow: POST"), "{}", answer.head);
    answer.expect(405);
    assert_eq!(outcomes(&edge, id), Vec::<Value>::new());
}

#[test]
fn a_deleted_endpoint_is_unknown() {
    let edge = Edge::start();
    let (path, id) = endpoint(&edge);
    edge.call(ADMIN, Method::DELETE, &format!("/v1/webhook-endpoints/{id}"), &Value::Null).expect(204);
    deliver(&edge, &path, CHECKOUT.as_bytes()).expect(404);
}

#[test]
fn without_storage_the_provider_is_asked_to_come_again() {
    let edge = Edge::start();
    let (path, _) = endpoint(&edge);
    edge.recorder.stop();
    let answer = deliver(&edge, &path, CHECKOUT.as_bytes());
    assert!(answer.head.contains("retry-after"), "{}", answer.head);
    answer.expect(503);
}

#[test]
fn while_the_books_are_behind_the_provider_is_asked_to_come_again() {
    let edge = Edge::start_as(None, BacklogLimits { facts: 0, patience: Duration::ZERO });
    // Commands are not held up by their own kind.
    let (path, id) = endpoint(&edge);
    let answer = deliver(&edge, &path, CHECKOUT.as_bytes());
    assert!(answer.head.contains("retry-after"), "{}", answer.head);
    let problem = answer.expect(503);
    assert!(problem["type"].as_str().unwrap().ends_with("/books_behind"), "{problem}");
    assert_eq!(outcomes(&edge, id), Vec::<Value>::new());
}

#[test]
fn an_endpoint_has_an_allowance_of_its_own() {
    let edge = Edge::start_with(Some(2));
    let (first, _) = endpoint(&edge);
    let (second, _) = endpoint(&edge);
    let statuses: Vec<u16> = (0..4).map(|_| deliver(&edge, &first, CHECKOUT.as_bytes()).status).collect();
    assert!(statuses.starts_with(&[200, 200]) && statuses.contains(&429), "{statuses:?}");
    deliver(&edge, &second, CHECKOUT.as_bytes()).expect(200);
}
