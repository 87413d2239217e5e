use std::collections::HashSet;

use http::Method;
use serde_json::{Value, json};
use weir_engine::token::{TokenKeys, TokenParts};
use weir_schemas::click::{Click, Dims, Verdict};
use weir_schemas::ids::{ClickId, CustomerId, LinkId, PartnerId, ProgramId, WorkspaceId};
use weir_schemas::time::Timestamp;

use super::{ADMIN, Edge, INGEST, VIEWER, block_on};

const NOBODY: Value = Value::Null;

fn link(edge: &Edge, slug: &str) -> Value {
    edge.post("/v1/links", &json!({"slug": slug, "destination": "https://shop.example/p"})).expect(201)
}

#[test]
fn a_link_lives_and_dies() {
    let edge = Edge::start();
    let made = link(&edge, "spring");
    assert_eq!(made["short_url"], "https://go.example/spring");
    assert_eq!(
        (&made["clicks"], &made["status_code"], &made["enabled"]),
        (&json!(0), &json!(302), &json!(true))
    );
    let id = made["id"].as_str().unwrap();
    assert!(id.starts_with("lnk_"));
    assert!(edge.books.links().find("any.example", "spring").is_some(), "it answers at once");

    let taken = edge.post("/v1/links", &json!({"slug": "spring", "destination": "https://b.example/"}));
    assert_eq!(taken.expect(409)["code"], "slug_taken");

    let patch = json!({"slug": "summer", "destination": "HTTPS://B.example", "title": "B"});
    let patched = edge.call(ADMIN, Method::PATCH, &format!("/v1/links/{id}"), &patch).expect(200);
    assert_eq!(patched["destination"], "https://b.example/");
    assert_eq!(patched["short_url"], "https://go.example/summer");
    assert!(edge.books.links().find("h", "spring").is_none());
    let bad =
        edge.call(ADMIN, Method::PATCH, &format!("/v1/links/{id}"), &json!({"slug": "hooks"})).expect(422);
    assert_eq!(bad["errors"][0]["field"], "slug");

    edge.call(ADMIN, Method::DELETE, &format!("/v1/links/{id}"), &NOBODY).expect(204);
    edge.call(ADMIN, Method::DELETE, &format!("/v1/links/{id}"), &NOBODY).expect(404);
    edge.call(ADMIN, Method::DELETE, "/v1/links/nonsense", &NOBODY).expect(404);
    assert!(edge.books.links().find("h", "summer").is_none());
}

#[test]
fn slugs_are_drawn_and_domains_kept() {
    let edge = Edge::start();
    let mut slugs = HashSet::new();
    for _ in 0..5 {
        let made = edge.post("/v1/links", &json!({"destination": "https://a.example/"})).expect(201);
        assert_eq!(made["slug"].as_str().unwrap().len(), 7);
        slugs.insert(made["slug"].to_string());
    }
    assert_eq!(slugs.len(), 5);
    let own = json!({"slug": "x", "domain": "l.example", "destination": "https://a.example/"});
    assert_eq!(edge.post("/v1/links", &own).expect(201)["short_url"], "https://l.example/x");
    assert!(edge.books.links().find("l.example", "x").is_some());
}

#[test]
fn roles_decide() {
    let edge = Edge::start();
    let body = json!({"destination": "https://a.example/"});
    edge.call(VIEWER, Method::POST, "/v1/links", &body).expect(403);
    edge.call(INGEST, Method::POST, "/v1/links", &body).expect(403);
    edge.call("weir_unknown", Method::POST, "/v1/links", &body).expect(401);
    edge.call(VIEWER, Method::POST, "/v1/conversions", &json!({"event": "lead"})).expect(403);
    edge.call(INGEST, Method::POST, "/v1/conversions", &json!({"event": "lead"})).expect(201);
    edge.call(INGEST, Method::POST, "/v1/keys", &json!({"name": "a", "role": "admin"})).expect(403);
    edge.send(Method::POST, "/v1/links", &[], b"{}").expect(401);
}

#[test]
fn bulk_answers_item_by_item_and_repeats_itself() {
    let edge = Edge::start();
    let body = json!({"links": [
        {"slug": "a", "destination": "https://a.example/"},
        {"slug": "b", "destination": "nonsense"},
        {"slug": "a", "destination": "https://c.example/"},
        {"destination": "https://d.example/", "nope": 1},
        {"destination": "https://d.example/"},
    ]});
    let headers = [("Idempotency-Key", "bulk-1")];
    let send = || edge.call_with(ADMIN, Method::POST, "/v1/links/bulk", &body, &headers).expect(200);
    let first = send();
    let statuses: Vec<u64> =
        first["data"].as_array().unwrap().iter().map(|r| r["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [201, 422, 409, 422, 201]);
    assert_eq!(first["data"][0]["link"]["short_url"], "https://go.example/a");
    assert_eq!(first["data"][1]["error"]["errors"][0]["field"], "destination");
    assert_eq!(first["data"][3]["error"]["errors"][0]["field"], "nope");
    let ids =
        |answer: &Value| (answer["data"][0]["link"]["id"].clone(), answer["data"][4]["link"]["id"].clone());
    assert_eq!(ids(&send()), ids(&first), "the same links, not new ones");
    let many: Vec<Value> = (0..1_001).map(|_| json!({"destination": "https://a.example/"})).collect();
    edge.post("/v1/links/bulk", &json!(many)).expect(422);
    edge.post("/v1/links/bulk", &json!([])).expect(422);
    let thousand: Vec<Value> = (0..1_000).map(|_| json!({"destination": "https://a.example/"})).collect();
    let made = edge.post("/v1/links/bulk", &json!(thousand)).expect(200);
    assert!(made["data"].as_array().unwrap().iter().all(|item| item["status"] == 201));
    assert_eq!(edge.books.links().len(), 1_002);
}

#[test]
fn an_idempotency_key_is_answered_once() {
    let edge = Edge::start();
    let post = |key: &str, body: &Value| {
        edge.call_with(ADMIN, Method::POST, "/v1/links", body, &[("Idempotency-Key", key)])
    };
    let body = json!({"destination": "https://a.example/"});
    let first = post("k1", &body).expect(201);
    let again = post("k1", &body);
    assert!(again.head.contains("idempotent-replayed: true"), "{}", again.head);
    assert_eq!(again.expect(201), first);
    assert_eq!(
        post("k1", &json!({"destination": "https://b.example/"})).expect(409)["code"],
        "idempotency_key_reused"
    );
    post(&"x".repeat(256), &body).expect(400);
    assert_eq!(edge.books.links().len(), 1);
}

#[test]
fn a_key_shows_its_secret_once_and_is_revoked() {
    let edge = Edge::start();
    let body = json!({"name": "ci", "role": "editor"});
    let made =
        edge.call_with(ADMIN, Method::POST, "/v1/keys", &body, &[("Idempotency-Key", "k")]).expect(201);
    let secret = made["key"].as_str().unwrap().to_owned();
    assert_eq!((secret.len(), &secret[..5]), (48, "weir_"));
    let again =
        edge.call_with(ADMIN, Method::POST, "/v1/keys", &body, &[("Idempotency-Key", "k")]).expect(201);
    assert_eq!(again, made, "a repeat is answered alike, secret included");
    edge.call(&secret, Method::POST, "/v1/links", &json!({"destination": "https://a.example/"})).expect(201);
    let id = made["id"].as_str().unwrap();
    edge.call(ADMIN, Method::DELETE, &format!("/v1/keys/{id}"), &NOBODY).expect(204);
    edge.call(&secret, Method::POST, "/v1/links", &json!({"destination": "https://a.example/"})).expect(401);
    for bad in [
        json!({"name": "", "role": "viewer"}),
        json!({"name": "a", "role": "god"}),
        json!({"name": "a", "role": "partner"}),
    ] {
        edge.post("/v1/keys", &bad).expect(422);
    }
    let journal = journal_text(&edge);
    assert!(!journal.contains(&secret[5..]), "the secret is stored nowhere");
}

/// Every byte of the journal, as text.
fn journal_text(edge: &Edge) -> String {
    let files = std::fs::read_dir(edge.dir().join("journal")).unwrap();
    files
        .map(|file| String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap()).into_owned())
        .collect()
}

fn sale(order: &str, more: Value) -> Value {
    let mut sale = json!({"event": "sale", "order_id": order, "amount": {"amount": 4999, "currency": "EUR"}});
    sale.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    sale
}

/// A token for a click of `link`, and the click where the engine remembers it.
fn clicked(edge: &mut Edge, link: &Value, remembered: bool) -> (String, ClickId) {
    let at = Timestamp(Timestamp::now().0 - 60_000);
    let id = ClickId::new(at.0, 0, edge.lane.index(), edge.lane.next_counter());
    let link: LinkId = link["id"].as_str().unwrap().parse().unwrap();
    if remembered {
        let click = Click {
            id,
            at,
            verdict: Verdict::Counted,
            bot: false,
            flags: 0,
            status: 302,
            latency_us: 1,
            workspace: WorkspaceId(1),
            link,
            program: ProgramId::NONE,
            partner: PartnerId::NONE,
            visitor: 5,
            network: 1,
            asn: 0,
            dims: Dims { country: "DE".into(), ..Dims::default() },
            slug: "a".into(),
            evidence: "".into(),
        };
        let mut bytes = Vec::new();
        click.write(&mut bytes);
        let counter = edge.lane.append(&bytes).unwrap();
        block_on(edge.recorder.click_durable(edge.lane.index(), counter));
    }
    let parts = TokenParts { click: id, workspace: WorkspaceId(1), link, variant: 0 };
    let token = TokenKeys::new(&edge.keyring.token_keys()).mint(&parts);
    (token.as_str().to_owned(), id)
}

#[test]
fn a_conversion_is_credited_by_its_token() {
    let mut edge = Edge::start();
    let link = link(&edge, "a");
    for (order, remembered) in [("A-1", true), ("A-2", false)] {
        let (token, click) = clicked(&mut edge, &link, remembered);
        let made = edge.post("/v1/conversions", &sale(order, json!({"wclid": token}))).expect(201);
        assert_eq!(made["attribution"]["link_id"], link["id"], "{order}");
        assert_eq!(made["attribution"]["click_id"], json!(click));
        assert_eq!(made["attribution"]["rule"], "wclid");
    }
    let (_, click) = clicked(&mut edge, &link, true);
    let made = edge.post("/v1/conversions", &sale("A-3", json!({"click_id": click}))).expect(201);
    assert_eq!(made["attribution"]["rule"], "click_id");
}

#[test]
fn a_forged_token_credits_nothing_and_loses_no_sale() {
    let edge = Edge::start();
    let made = edge.post("/v1/conversions", &sale("A-1", json!({"wclid": "forged"}))).expect(201);
    assert_eq!(made["attribution"], Value::Null);
    assert_eq!(made["amount"], json!({"amount": 4999, "currency": "EUR"}));
}

#[test]
fn an_order_counts_once_and_goes_back_in_parts() {
    let edge = Edge::start();
    let first = edge.post("/v1/conversions", &sale("A-1", json!({}))).expect(201);
    let again = edge.post("/v1/conversions", &sale("A-1", json!({}))).expect(200);
    assert_eq!(again["id"], first["id"]);
    let other = json!({"amount": {"amount": 1, "currency": "EUR"}});
    edge.post("/v1/conversions", &sale("A-1", other)).expect(409);
    let part = json!({"order_id": "A-1", "amount": {"amount": 1000, "currency": "EUR"}, "refund_id": "r1"});
    let answer = edge.post("/v1/refunds", &part);
    assert!(answer.status == 201 || answer.status == 200, "{} {}", answer.status, answer.body);
    let bad = json!({"order_id": "A-1", "amount": {"amount": 0, "currency": "EUR"}});
    assert_eq!(edge.post("/v1/refunds", &bad).expect(422)["errors"][0]["field"], "amount.amount");
    edge.settle();
    assert_eq!(edge.books.reads().check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_person_is_sealed_and_forgotten() {
    let edge = Edge::start();
    let person = json!({"customer_id": "u42", "customer": {"email": "ada@secret.example", "name": "Ada"}});
    edge.post("/v1/conversions", &sale("A-1", person)).expect(201);
    assert!(!journal_text(&edge).contains("ada@secret.example"), "no person stands in the journal in clear");
    let profile = edge.books.reads().customer(WorkspaceId(1), "u42").unwrap().unwrap();
    let sealed = profile.person.unwrap();
    let open = || edge.keyring.open_person(WorkspaceId(1), "u42", &sealed);
    assert_eq!(open().unwrap().email.as_deref(), Some("ada@secret.example"));
    let id: CustomerId = profile.id;
    edge.call(ADMIN, Method::DELETE, &format!("/v1/customers/{id}"), &NOBODY).expect(204);
    assert_eq!(open(), None);
    assert!(edge.books.reads().customer(WorkspaceId(1), "u42").unwrap().unwrap().erased_at.is_some());
    edge.call(ADMIN, Method::DELETE, "/v1/customers/nobody", &NOBODY).expect(404);
}

#[test]
fn a_stopped_journal_is_503() {
    let edge = Edge::start();
    edge.recorder.stop();
    let answer = edge.post("/v1/links", &json!({"destination": "https://a.example/"}));
    assert!(answer.head.contains("retry-after"), "{}", answer.head);
    answer.expect(503);
}
