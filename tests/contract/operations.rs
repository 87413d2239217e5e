//! What operators look at: probes, metrics, the document of the API.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::engine::wait_for;
use super::{ask, own, shared};

#[test]
fn probes_on_both_listeners() {
    let shared = shared();
    for listener in [shared.engine.public, shared.engine.admin] {
        assert_eq!(ask(listener, "GET", "/healthz", &[], b"").status, 200);
        let ready = ask(listener, "GET", "/readyz", &[], b"");
        assert_eq!((ready.status, &ready.json()["ready"]), (200, &json!(true)), "{}", ready.text());
        assert_eq!(ask(listener, "HEAD", "/healthz", &[], b"").status, 200);
    }
}

#[test]
fn metrics_are_named_alike_and_conserve() {
    let shared = own(|settings| settings);
    let (slug, _) = shared.link(json!({}));
    for _ in 0..5 {
        shared.token(&slug);
    }
    shared.visit("/nobody-has-this", &[]);
    let text = shared.engine.api("GET", "/metrics", None);
    assert!(text.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    let text = text.text();
    assert!(!text.contains(&slug), "no link labels");
    let mut counters = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let mut words = line.split(' ').skip(2);
        let (name, kind) = (words.next().expect("a name"), words.next().expect("a kind"));
        assert!(name.starts_with("weir_"), "{name}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
        counters.insert(name.to_owned());
    }
    for name in ["answered", "accepted", "stored", "dead_lettered", "dropped"] {
        assert!(counters.contains(&format!("weir_clicks_{name}_total")), "{name}: {counters:?}");
    }
    wait_for("everything is stored", || {
        let metrics = shared.engine.metrics();
        let of = |name: &str| metrics.get(&format!("weir_clicks_{name}")).copied().unwrap_or_default();
        let accepted = of("accepted_total");
        assert_eq!(accepted, of("stored_total") + of("waiting") + of("dead_lettered_total"));
        assert!(of("answered_total") >= accepted + of("dropped_total"));
        (of("stored_total") == 6.0 && of("answered_total") == 6.0).then_some(())
    });
}

#[test]
fn the_document_states_every_route() {
    let shared = shared();
    let answer = ask(shared.engine.admin, "GET", "/openapi.json", &[], b"");
    assert_eq!(answer.status, 200);
    let document = answer.json();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let paths = document["paths"].as_object().expect("paths");
    for (path, methods) in [
        ("/v1/links", &["get", "post"][..]),
        ("/v1/links/{id}", &["get", "patch", "delete"]),
        ("/v1/links/bulk", &["post"]),
        ("/v1/links/{id}/qr", &["get"]),
        ("/v1/conversions", &["post"]),
        ("/v1/conversions/{id}", &["get"]),
        ("/v1/conversions/{id}/trace", &["get"]),
        ("/v1/refunds", &["post"]),
        ("/v1/customers/{id}", &["get", "delete"]),
        ("/v1/webhook-endpoints", &["post"]),
        ("/v1/webhook-endpoints/{id}/deliveries", &["get"]),
        ("/v1/query", &["post"]),
        ("/v1/live", &["get"]),
        ("/v1/live/tickets", &["post"]),
        ("/v1/keys", &["get", "post"]),
        ("/metrics", &["get"]),
        ("/{slug}", &["get", "head"]),
        ("/collect", &["post"]),
        ("/postback", &["get", "post"]),
        ("/hooks/{endpoint}", &["post"]),
        ("/status.json", &["get"]),
    ] {
        for method in methods {
            assert!(paths.get(path).and_then(|item| item.get(*method)).is_some(), "{method} {path}");
        }
    }
    let mut ids = BTreeSet::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("an id");
            assert!(ids.insert(id.to_owned()), "{id} twice");
            let responses = operation["responses"].as_object().expect("responses");
            assert!(responses.values().all(|response| response["description"].is_string()), "{path}");
            let given: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path")
                .filter_map(|parameter| parameter["name"].as_str())
                .collect();
            let named: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            assert_eq!(given, named, "{method} {path}");
        }
    }
    let mut references = Vec::new();
    gather(&document, &mut references);
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn gather(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if name == "$ref" => references.push(text.to_owned()),
                    _ => gather(value, references),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, references)),
        _ => {}
    }
}
