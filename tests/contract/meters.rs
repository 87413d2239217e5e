//! Numbers that events bring: measured over time and by dimension, filtered, watched for a drop.

use serde_json::{Value, json};

use super::engine::{text_of, wait_for};
use super::outbound::receiver;
use super::{BROWSER, Shared, ask, fresh, names, own, refused, shared};

const SHOP: &str = "https://shop.example";

/// A custom conversion event with properties, at a moment of 2026-11-20 or now.
fn told(shared: &Shared, event: &str, at: Option<&str>, properties: Value) {
    let mut body = json!({"event": event, "order_id": fresh("price"), "properties": properties});
    if let Some(at) = at {
        body["occurred_at"] = json!(format!("2026-11-20T{at}Z"));
    }
    shared.post("/v1/conversions", body, 201);
}

#[test]
fn prices_are_measured_over_time_and_by_product() {
    let shared = shared();
    let event = fresh("price_told");
    for (at, product, price) in [
        ("08:00:00", "tea", json!(12.5)),
        ("08:30:00", "tea", json!("9.99")),
        ("09:00:00", "tea", json!(11)),
        ("08:10:00", "jam", json!(0.1)),
        ("08:20:00", "jam", json!(0.2)),
        ("08:40:00", "jam", json!("none")),
    ] {
        told(&shared, &event, Some(at), json!({"product": product, "price": price}));
    }
    let query = |more: Value| {
        let mut query = json!({"metrics": ["value_count", "value_sum", "value_avg", "value_min", "value_max", "value_first",
            "value_last"], "value_of": "property:price", "date_range": ["2026-11-20", "2026-11-21"],
            "filters": ["is", "event", [event]], "dimensions": ["property:product"],
            "order_by": [["property:product", "asc"]], "include": {"total": true}});
        query.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        query
    };
    let answer = shared.engine.query(&query(json!({})));
    assert_eq!(answer["columns"][2], json!({"name": "value_sum", "type": "number"}));
    let rows = json!([
        ["jam", 2, 0.3, 0.15, 0.1, 0.2, 0.1, 0.2],
        ["tea", 3, 33.49, 11.163333, 9.99, 12.5, 12.5, 11.0]
    ]);
    assert_eq!(answer["rows"], rows, "{answer}");
    let total = &answer["totals"];
    assert_eq!(
        (&total["value_count"], &total["value_sum"], &total["value_min"]),
        (&json!(5), &json!(33.79), &json!(0.1))
    );
    assert_eq!((&total["value_first"], &total["value_last"]), (&json!(12.5), &json!(11.0)));
    let hours = query(json!({"dimensions": ["time:hour"], "metrics": ["value_last"], "order_by": [],
        "filters": ["and", [["is", "event", [event]], ["is", "property:product", ["tea"]]]]}));
    let hours = shared.engine.query(&hours);
    assert_eq!(
        hours["rows"],
        json!([["2026-11-20T08:00:00+00:00", 9.99], ["2026-11-20T09:00:00+00:00", 11.0]]),
        "{hours}"
    );
    // Properties that are numbers are compared as numbers; whole rows by what was measured.
    let dear = query(json!({"dimensions": [], "metrics": ["value_count"], "order_by": [],
        "filters": ["and", [["is", "event", [event]], ["gt", "property:price", [9.99]]]]}));
    assert_eq!(shared.engine.query(&dear)["rows"], json!([[2]]));
    let high = query(json!({"filters": ["and", [["is", "event", [event]], ["gt", "value_max", [10]]]]}));
    assert_eq!(shared.engine.query(&high)["rows"][0][0], "tea");
    let nothing = query(json!({"value_of": "property:nope", "dimensions": [], "order_by": []}));
    assert_eq!(shared.engine.query(&nothing)["rows"], json!([[0, 0.0, null, null, null, null, null]]));

    let asked = |body: Value| shared.engine.api("POST", "/v1/query", Some(&body));
    names(&asked(json!({"metrics": ["value_sum"], "value_of": "price"})), "value_of");
    names(&asked(json!({"metrics": ["clicks"], "value_of": "property:price"})), "value_of");
    names(
        &asked(json!({"metrics": ["value_sum"], "dimensions": ["country"],
        "filters": ["gt", "property:price", ["dear"]]})),
        "filters",
    );
    let csv = shared.engine.api("POST", "/v1/query?format=csv", Some(&query(json!({})))).text();
    assert!(csv.contains("\r\ntea,3,33.49,11.163333,9.99,12.5,12.5,11.0\r\n"), "{csv}");
}

#[test]
fn an_events_own_value_is_measured_zero_included() {
    let shared = shared();
    let site = shared.post("/v1/sites", json!({"name": fresh("Meter"), "origins": [SHOP]}), 201);
    let event = fresh("temperature");
    let sent = |more: Value| {
        let mut sent =
            json!({"site": site["id"], "type": "custom", "name": event, "url": format!("{SHOP}/")});
        sent.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let headers = [("origin", SHOP), ("content-type", "application/json"), ("user-agent", BROWSER)];
        let answer = ask(shared.engine.public, "POST", "/collect", &headers, sent.to_string().as_bytes());
        assert_eq!(answer.status, 202, "{}", answer.text());
    };
    sent(json!({"value": 0}));
    sent(json!({"value": -2.5}));
    sent(json!({}));
    let query = json!({"metrics": ["events", "value_count", "value_avg", "value_min", "value_max"], "date_range": "7d",
        "filters": ["is", "event", [event]]});
    assert_eq!(shared.engine.query(&query)["rows"], json!([[3, 2, -1.25, -2.5, 0.0]]));
}

#[test]
fn a_price_drop_is_told_once() {
    let shared = own(|settings| settings.with("outbound.allow_private", "true"));
    let (url, received) = receiver(&[]);
    let endpoint = json!({"url": url, "events": ["alert.fired", "alert.resolved"]});
    shared.post("/v1/outbound-endpoints", endpoint, 201);
    let rule = json!({"name": "Tea is cheap", "kind": "drop", "percent": 20, "metric": "value_last",
        "value_of": "property:price", "window_seconds": 3_600,
        "filters": ["and", [["is", "event", ["price"]], ["is", "property:product", ["tea"]]]]});
    let mut bad = rule.clone();
    bad["metric"] = json!("clicks");
    names(&shared.engine.api("POST", "/v1/alerts", Some(&bad)), "value_of");
    let made = shared.post("/v1/alerts", rule, 201);
    assert_eq!(made["value_of"], "property:price");
    let path = format!("/v1/alerts/{}", text_of(&made["id"]));
    let stands = |state: &str| {
        wait_for(state, || {
            let alert = shared.get(&path);
            (alert["state"] == state).then_some(alert)
        })
    };
    let price =
        |product: &str, price: f64| told(&shared, "price", None, json!({"product": product, "price": price}));
    stands("no_data");
    price("tea", 10.0);
    stands("ok");
    price("jam", 1.0);
    price("tea", 8.5);
    price("tea", 7.99);
    let fired = stands("firing");
    assert_eq!((&fired["value"], &fired["reference"]), (&json!(7.99), &json!(10.0)), "{fired}");
    price("tea", 9.5);
    stands("ok");
    let told: Vec<Value> = received.iter().take(2).map(|message| message.json()).collect();
    let kinds: Vec<&Value> = told.iter().map(|told| &told["type"]).collect();
    assert_eq!(kinds, [&json!("alert.fired"), &json!("alert.resolved")], "{told:?}");
    assert_eq!(
        (&told[0]["data"]["value"], &told[1]["data"]["value"]),
        (&json!(7.99), &json!(9.5)),
        "{told:?}"
    );
    assert_eq!(shared.engine.api("DELETE", &path, None).status, 204);
    refused(&shared.engine.api("GET", &path, None), 404, "not_found");
}
