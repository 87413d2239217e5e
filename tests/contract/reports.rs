//! `POST /v1/reports/…`: what an analyst asks about persons, to the last click.

use serde_json::{Value, json};

use super::conversions::sale;
use super::engine::token_of;
use super::{Shared, fresh, names, own, refused, shared};

/// A person of its own address opens the link; gives the click's token.
fn person_clicks(shared: &Shared, slug: &str, address: &str) -> String {
    token_of(&shared.visit(&format!("/{slug}"), &[("x-forwarded-for", address)]))
}

fn report(shared: &Shared, name: &str, body: Value) -> Value {
    let answer = shared.engine.api("POST", &format!("/v1/reports/{name}"), Some(&body));
    assert_eq!(answer.status, 200, "{name} {body}: {}", answer.text());
    let answer = answer.json();
    let meta = &answer["meta"];
    assert!(meta["as_of"].as_u64().is_some_and(|seq| seq > 0), "{meta}");
    assert!(meta["as_of_time"].as_str().is_some_and(|at| at.ends_with('Z')), "{meta}");
    assert!(meta["rows_read"].as_u64().is_some() && meta["elapsed_ms"].as_f64().is_some(), "{meta}");
    assert!(meta["query"]["date_range"].is_array(), "{meta}");
    let columns = answer["columns"].as_array().expect("columns").len();
    for row in answer["rows"].as_array().expect("rows") {
        assert_eq!(row.as_array().map(Vec::len), Some(columns), "{answer}");
    }
    answer
}

#[test]
fn a_funnel_from_click_to_sale() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let tokens: Vec<String> =
        (1..=3).map(|n| person_clicks(&shared, &slug, &format!("198.51.100.{n}"))).collect();
    sale(&shared, &fresh("order"), 1_000, json!({"wclid": tokens[0]}));
    sale(&shared, &fresh("order"), 1_000, json!({"wclid": tokens[0]}));
    sale(&shared, &fresh("order"), 1_000, json!({"wclid": tokens[1]}));
    let body = json!({"steps": ["click", {"event": "sale", "name": "bought"}], "window": "7d",
        "date_range": "7d", "filters": ["is", "link", [link]]});
    let answer = report(&shared, "funnel", body.clone());
    let cells: Vec<Value> = answer["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| json!([row[0], row[1], row[2], row[3]]))
        .collect();
    assert_eq!(json!(cells), json!([[1, "click", 3, 10_000], [2, "bought", 2, 6_667]]));
    assert!(answer["rows"][1][6].as_i64().is_some_and(|ms| ms >= 0), "{answer}");
    let mut by = body.clone();
    by["breakdown"] = json!("link");
    assert_eq!(report(&shared, "funnel", by)["rows"][0][0], json!(link));
    for order in ["strict", "any"] {
        let mut body = body.clone();
        body["order"] = json!(order);
        assert_eq!(report(&shared, "funnel", body)["rows"][1][2], json!(2), "{order}");
    }
    let csv = shared.engine.api("POST", "/v1/reports/funnel?format=csv", Some(&body));
    assert!(csv.text().starts_with("step,name,visitors,"), "{}", csv.text());
}

#[test]
fn retention_of_the_first_day() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    (1..=3).for_each(|n| drop(person_clicks(&shared, &slug, &format!("198.51.100.{n}"))));
    let body = json!({"date_range": "7d", "period": "day", "filters": ["is", "link", [link]]});
    let answer = report(&shared, "retention", body);
    let row = &answer["rows"][0];
    assert_eq!(json!([row[1], row[2], row[3], row[4]]), json!([3, 0, 3, 10_000]));
}

#[test]
fn what_a_report_is_not_asked() {
    let shared = shared();
    let ask =
        |name: &str, body: Value| shared.engine.api("POST", &format!("/v1/reports/{name}"), Some(&body));
    names(&ask("funnel", json!({})), "steps");
    names(&ask("funnel", json!({"steps": ["click"]})), "steps");
    names(&ask("funnel", json!({"steps": ["click", 7]})), "steps[1]");
    names(&ask("funnel", json!({"steps": ["click", "sale"], "window": "soon"})), "window");
    names(&ask("funnel", json!({"steps": ["click", "sale"], "order": "random"})), "order");
    names(&ask("funnel", json!({"steps": ["click", "sale"], "breakdown": "time:day"})), "breakdown");
    names(&ask("funnel", json!({"steps": ["click", "sale"], "breakdown": "colour"})), "breakdown");
    names(&ask("funnel", json!({"steps": ["click", "sale"], "colour": 1})), "colour");
    names(&ask("funnel", json!({"steps": ["click", "sale"], "timezone": "Mars/Olympus"})), "timezone");
    names(&ask("funnel", json!({"steps": ["click", "sale"], "date_range": "8d"})), "date_range");
    let filtered = json!([{"event": "click", "filters": ["is", "currency", ["EUR"]]}, "sale"]);
    names(&ask("funnel", json!({"steps": filtered})), "steps[0].filters");
    names(&ask("retention", json!({"periods": 25})), "periods");
    names(&ask("retention", json!({"filters": ["is", "colour", ["red"]]})), "filters");
    refused(&ask("horoscope", json!({})), 404, "not_found");
}

#[test]
fn a_report_is_a_partners_own() {
    let shared = own(|settings| settings);
    let answer =
        shared.as_key("weir_nobody_0123456789abcdefghijklmnopqrst", "POST", "/v1/reports/funnel", None);
    assert_eq!(answer.status, 401, "{}", answer.text());
}
