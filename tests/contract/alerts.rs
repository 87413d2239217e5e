//! Alerts: made, fired once, resolved, told.

use serde_json::{Value, json};

use super::engine::{text_of, wait_for};
use super::outbound::receiver;
use super::{Shared, fresh, names, own, refused, shared};

fn of_link(link: &str, members: Value) -> Value {
    let mut rule = json!({"name": fresh("rule"), "metric": "clicks", "filters": ["is", "link", [link]]});
    rule.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
    rule
}

fn stands(shared: &Shared, path: &str, state: &str) -> Value {
    wait_for(state, || {
        let alert = shared.get(path);
        (alert["state"] == state).then_some(alert)
    })
}

#[test]
fn a_threshold_fires_once_and_is_resolved() {
    let shared = own(|settings| settings.with("outbound.allow_private", "true"));
    let (url, received) = receiver(&[]);
    shared.post(
        "/v1/outbound-endpoints",
        json!({"url": url, "events": ["alert.fired", "alert.resolved"]}),
        201,
    );
    let (slug, link) = shared.link(json!({}));
    let rule = of_link(&link, json!({"kind": "threshold", "threshold": 2, "window_seconds": 3_600}));
    let made = shared.post("/v1/alerts", rule, 201);
    assert_eq!(
        (&made["state"], &made["value"], &made["enabled"]),
        (&json!("ok"), &Value::Null, &json!(true))
    );
    let path = format!("/v1/alerts/{}", text_of(&made["id"]));

    for _ in 0..3 {
        shared.visit(&format!("/{slug}"), &[]);
    }
    let fired = stands(&shared, &path, "firing");
    assert_eq!((&fired["value"], &fired["reference"]), (&json!(3.0), &json!(2.0)), "{fired}");
    for _ in 0..3 {
        shared.visit(&format!("/{slug}"), &[]);
    }
    // A rule that asks for more is no longer broken.
    shared.engine.call("PATCH", &path, Some(&json!({"threshold": 100})), 200);
    let over = stands(&shared, &path, "ok");
    let history: Vec<&str> = over["history"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|event| event["state"].as_str())
        .collect();
    assert_eq!(history, ["ok", "firing"], "once, whatever came after it");

    let told: Vec<Value> = received.iter().take(2).map(|message| message.json()).collect();
    let of = |n: usize| (told[n]["type"].clone(), told[n]["data"]["value"].clone());
    assert_eq!(of(0), (json!("alert.fired"), json!(3.0)), "{told:?}");
    assert_eq!(of(1), (json!("alert.resolved"), json!(6.0)), "{told:?}");
    assert_eq!(told[0]["data"]["alert_id"], made["id"]);

    assert_eq!(shared.engine.api("DELETE", &path, None).status, 204);
    refused(&shared.engine.api("GET", &path, None), 404, "not_found");
}

#[test]
fn an_alert_of_a_partner_sees_its_own() {
    let shared = shared();
    let [mine, other] = ["Mine", "Other"]
        .map(|name| text_of(&shared.post("/v1/partners", json!({"name": fresh(name)}), 201)["id"]));
    for (partner, clicks) in [(&other, 2), (&mine, 1)] {
        let (slug, _) = shared.link(json!({"partner_id": partner}));
        (0..clicks).for_each(|_| drop(shared.token(&slug)));
    }
    let rule = json!({"name": fresh("rule"), "metric": "clicks", "kind": "threshold", "threshold": 0,
        "window_seconds": 3_600, "partner_id": mine});
    let path = format!("/v1/alerts/{}", text_of(&shared.post("/v1/alerts", rule, 201)["id"]));
    assert_eq!(stands(&shared, &path, "firing")["value"], json!(1.0));
    assert_eq!(shared.engine.api("DELETE", &path, None).status, 204);
}

#[test]
fn silence_fires_until_somebody_comes() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let rule = of_link(&link, json!({"kind": "no_data", "window_seconds": 600}));
    let path = format!("/v1/alerts/{}", text_of(&shared.post("/v1/alerts", rule, 201)["id"]));
    stands(&shared, &path, "firing");
    shared.visit(&format!("/{slug}"), &[]);
    stands(&shared, &path, "ok");
    // What nobody watches stands as if nothing were wrong.
    let off = shared.engine.call("PATCH", &path, Some(&json!({"enabled": false})), 200);
    assert_eq!((&off["state"], &off["enabled"]), (&json!("ok"), &json!(false)));
    assert_eq!(shared.engine.api("DELETE", &path, None).status, 204);
}

#[test]
fn what_cannot_be_compared_is_said_so() {
    let shared = shared();
    let (_, link) = shared.link(json!({}));
    let drop = of_link(&link, json!({"kind": "drop", "percent": 50, "window_seconds": 60}));
    let anomaly = of_link(&link, json!({"kind": "anomaly"}));
    for rule in [drop, anomaly] {
        let path = format!("/v1/alerts/{}", text_of(&shared.post("/v1/alerts", rule, 201)["id"]));
        stands(&shared, &path, "no_data");
        assert_eq!(shared.engine.api("DELETE", &path, None).status, 204);
    }
    // Distinct visitors do not add up from minutes: they are asked for.
    let visitors = of_link(
        &link,
        json!({"kind": "threshold", "metric": "visitors", "comparison": "lt", "threshold": 1}),
    );
    let path = format!("/v1/alerts/{}", text_of(&shared.post("/v1/alerts", visitors, 201)["id"]));
    assert_eq!(stands(&shared, &path, "firing")["value"], json!(0.0));
    assert_eq!(shared.engine.api("DELETE", &path, None).status, 204);
}

#[test]
fn a_rule_that_does_not_fit_is_refused() {
    let shared = shared();
    for (body, field) in [
        (json!({}), "name"),
        (json!({"name": "a", "metric": "clicks"}), "kind"),
        (json!({"name": "a", "metric": "nope", "kind": "no_data"}), "metric"),
        (json!({"name": "a", "metric": "clicks", "kind": "threshold"}), "threshold"),
        (json!({"name": "a", "metric": "clicks", "kind": "drop", "percent": 0}), "percent"),
        (json!({"name": "a", "metric": "clicks", "kind": "no_data", "window_seconds": 61}), "window_seconds"),
        (
            json!({"name": "a", "metric": "clicks", "kind": "no_data", "filters": ["is", "nope", ["x"]]}),
            "filters",
        ),
        (json!({"name": "a", "metric": "clicks", "kind": "anomaly", "timezone": "Mars"}), "timezone"),
        (json!({"name": "a", "metric": "latency_p99", "kind": "no_data"}), "metric"),
    ] {
        names(&shared.engine.api("POST", "/v1/alerts", Some(&body)), field);
    }
    let rule = json!({"name": "a", "metric": "clicks", "kind": "no_data", "enabled": false});
    let path = format!("/v1/alerts/{}", text_of(&shared.post("/v1/alerts", rule, 201)["id"]));
    names(&shared.engine.api("PATCH", &path, Some(&json!({"kind": "threshold"}))), "threshold");
    names(&shared.engine.api("PATCH", &path, Some(&json!({"nope": 1}))), "nope");
}

#[test]
fn hours_without_a_history_are_not_judged() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    shared.visit(&format!("/{slug}"), &[]);
    let asked = json!({"metric": "clicks", "date_range": "7d", "filters": ["is", "link", [link]]});
    let answer = shared.post("/v1/reports/anomalies", asked, 200);
    let columns: Vec<&str> =
        answer["columns"].as_array().expect("columns").iter().filter_map(|c| c["name"].as_str()).collect();
    assert_eq!(columns, ["time:hour", "clicks", "expected", "lower", "upper", "score", "anomalous"]);
    let rows = answer["rows"].as_array().expect("rows");
    assert!(rows.len() > 140, "the hours of the week, {} of them", rows.len());
    assert!(rows.iter().all(|row| row[6].is_null()), "{answer}");
    assert_eq!(answer["anomalies"], 0);
    for (members, field) in [
        (json!({"weeks": 3}), "weeks"),
        (json!({"sensitivity": 0}), "sensitivity"),
        (json!({"metric": "nope"}), "metric"),
        (json!({"side": "left"}), "side"),
    ] {
        names(&shared.engine.api("POST", "/v1/reports/anomalies", Some(&members)), field);
    }
}
