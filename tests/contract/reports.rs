//! `POST /v1/reports/…`: what an analyst asks about persons, to the last click.

use serde_json::{Value, json};

use super::conversions::sale;
use super::engine::token_of;
use super::{Shared, fresh, names, own, refused, shared, within_a_day};

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
    within_a_day();
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    (1..=3).for_each(|n| drop(person_clicks(&shared, &slug, &format!("198.51.100.{n}"))));
    let body = json!({"date_range": "7d", "period": "day", "filters": ["is", "link", [link]]});
    let answer = report(&shared, "retention", body);
    let row = &answer["rows"][0];
    assert_eq!(json!([row[1], row[2], row[3], row[4]]), json!([3, 0, 3, 10_000]));
}

#[test]
fn customers_and_their_money() {
    within_a_day();
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let (one, other) = (fresh("customer"), fresh("customer"));
    let of = |customer: &str, more: Value| {
        let mut body = json!({"customer_id": customer});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let tokens: Vec<String> =
        (1..=2).map(|n| person_clicks(&shared, &slug, &format!("198.51.100.{n}"))).collect();
    sale(
        &shared,
        &fresh("order"),
        1_000,
        of(&one, json!({"wclid": tokens[0], "subscription_id": fresh("sub")})),
    );
    let back = fresh("order");
    sale(&shared, &back, 3_000, of(&one, json!({"wclid": tokens[0]})));
    sale(&shared, &fresh("order"), 500, of(&other, json!({"wclid": tokens[1]})));
    let refund = json!({"order_id": back, "amount": {"amount": 1_200, "currency": "EUR"}, "refund_id": fresh("refund")});
    shared.post("/v1/refunds", refund, 201);

    let body = |more: Value| {
        let mut body = json!({"date_range": "7d", "filters": ["is", "link", [link]]});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    let answer = report(&shared, "cohort-revenue", body(json!({"group_by": "link"})));
    let row = &answer["rows"][0];
    assert_eq!(
        json!([row[1], row[2], row[3], row[5], row[6], row[7], row[8]]),
        json!([link, 2, 0, 3, 4_500, 1_200, 3_300])
    );
    assert_eq!(answer["currency"], "EUR");
    let answer = report(&shared, "ltv", body(json!({})));
    assert_eq!(answer["rows"], json!([[2, 2, 5_000, 3, 4_500, 1_200, 3_300, 1_650, 500, 1_500]]));
    let answer = report(&shared, "rfm", body(json!({"rows": "customers"})));
    let worth: Vec<&Value> = answer["rows"].as_array().expect("rows").iter().map(|row| &row[7]).collect();
    assert_eq!(json!(worth), json!([2_800, 500]));
    assert_eq!(report(&shared, "rfm", body(json!({})))["customers"], 2);
    let answer = report(&shared, "subscriptions", body(json!({})));
    let last = answer["rows"].as_array().expect("rows").last().expect("this month").clone();
    assert_eq!(json!([last[1], last[2], last[7], last[13]]), json!([1_000, 1_000, 1, false]));
    // Subscriptions are a property, to group and filter by.
    let query = json!({"metrics": ["revenue"], "date_range": "7d", "filters":
        ["and", [["is", "link", [link]], ["is_not", "property:subscription_id", [""]]]]});
    assert_eq!(shared.engine.query(&query)["rows"], json!([[1_000]]));
}

#[test]
fn credit_adds_up_to_what_was_earned() {
    within_a_day();
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let click = |source: &str| {
        token_of(
            &shared.visit(&format!("/{slug}?utm_source={source}"), &[("x-forwarded-for", "198.51.100.9")]),
        )
    };
    let _first = click("mail");
    let _second = click("search");
    let last = click("social");
    sale(&shared, &fresh("order"), 1_000, json!({"wclid": last}));
    let body = json!({"date_range": "7d", "filters": ["is", "link", [link]], "dimension": "utm_source"});
    let answer = report(&shared, "attribution", body.clone());
    assert_eq!(answer["totals"], json!({"conversions": 1, "revenue": 1_000}));
    let credit = |model: &str| -> Vec<(String, i64)> {
        let rows = answer["rows"].as_array().expect("rows").iter().filter(|row| row[0] == model);
        let mut credit: Vec<(String, i64)> = rows
            .map(|row| (row[1].as_str().expect("a source").to_owned(), row[3].as_i64().expect("money")))
            .collect();
        credit.sort();
        credit
    };
    let of = |mail, search, social| {
        vec![("mail".to_owned(), mail), ("search".to_owned(), search), ("social".to_owned(), social)]
    };
    assert_eq!(credit("first"), of(1_000, 0, 0));
    assert_eq!(credit("last"), of(0, 0, 1_000));
    assert_eq!(credit("linear"), of(333, 333, 334));
    assert_eq!(credit("position"), of(400, 200, 400));
    assert_eq!(credit("shapley"), of(333, 333, 334));
    assert_eq!(credit("markov"), of(333, 333, 334));
    let answer = report(&shared, "paths", body);
    let row = &answer["rows"][0];
    assert_eq!(json!([row[0], row[1], row[2], row[3]]), json!(["mail > search > social", 3, 1, 1_000]));
}

#[test]
fn an_experiment_and_where_its_clicks_are() {
    let shared = shared();
    let arm = |name: &str| json!({"name": name, "destination": "https://shop.example/", "weight": 50});
    let (slug, link) = shared.link(json!({"variants": [arm("a"), arm("b")]}));
    let tokens: Vec<String> =
        (1..=20).map(|n| person_clicks(&shared, &slug, &format!("198.51.101.{n}"))).collect();
    for token in &tokens[..5] {
        sale(&shared, &fresh("order"), 1_000, json!({"wclid": token}));
    }
    let body = json!({"date_range": "7d", "filters": ["is", "link", [link]]});
    let answer = report(&shared, "experiment", body.clone());
    let sum = |column: usize| -> i64 {
        answer["rows"].as_array().expect("rows").iter().filter_map(|row| row[column].as_i64()).sum()
    };
    assert_eq!((sum(1), sum(2), sum(5)), (20, 5, 5_000), "{answer}");
    assert!(
        answer["sample_ratio"]["p_value"].is_number() || answer["rows"].as_array().map(Vec::len) == Some(1)
    );
    let answer = report(&shared, "heatmap", body.clone());
    assert_eq!(answer["total"], 20, "{answer}");
    let mut other = body;
    other["control"] = json!("c");
    names(&shared.engine.api("POST", "/v1/reports/experiment", Some(&other)), "control");
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
    names(&ask("cohort-revenue", json!({"group_by": "time:day"})), "group_by");
    names(&ask("rfm", json!({"limit": 0})), "limit");
    names(&ask("attribution", json!({"model": "guess"})), "model");
    names(&ask("attribution", json!({"model": "last", "models": ["first"]})), "models");
    names(&ask("attribution", json!({"conversion": "click"})), "conversion");
    names(&ask("paths", json!({"touches": 21})), "touches");
    names(&ask("experiment", json!({"minimum_effect": 0})), "minimum_effect");
    names(&ask("heatmap", json!({"kind": "page"})), "path");
    names(&ask("heatmap", json!({"kind": "page", "path": "/", "zoom": 3})), "zoom");
    names(&ask("heatmap", json!({"columns": 10})), "columns");
    names(&ask("subscriptions", json!({"steps": []})), "steps");
    refused(&ask("horoscope", json!({})), 404, "not_found");
}

#[test]
fn a_report_is_a_partners_own() {
    let shared = own(|settings| settings);
    let answer =
        shared.as_key("weir_nobody_0123456789abcdefghijklmnopqrst", "POST", "/v1/reports/funnel", None);
    assert_eq!(answer.status, 401, "{}", answer.text());
}
