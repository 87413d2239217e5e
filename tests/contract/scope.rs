//! A partner's key sees its own numbers, by whichever way it asks.

use serde_json::{Value, json};

use super::engine::{text_of, wait_for};
use super::live::Watching;
use super::{Shared, fresh, refused, shared};

/// Two partners with a link each: one click for the first, two for the second. Gives the first's key and both links.
fn two_partners(shared: &Shared) -> (String, String, String) {
    let partner = |name: &str| text_of(&shared.post("/v1/partners", json!({"name": name}), 201)["id"]);
    let (mine, other) = (partner(&fresh("Mine")), partner(&fresh("Other")));
    let (slug, own) = shared.link(json!({"partner_id": mine}));
    let (elsewhere, foreign) = shared.link(json!({"partner_id": other}));
    for (slug, order) in [(&slug, "own"), (&elsewhere, "a"), (&elsewhere, "b")] {
        let sale = json!({"event": "sale", "order_id": fresh(order), "wclid": shared.token(slug),
            "amount": {"amount": 1_000, "currency": "EUR"}, "customer_id": fresh("customer"),
            "properties": {"value": 7}});
        shared.post("/v1/conversions", sale, 201);
    }
    let key = json!({"name": "portal", "role": "partner", "partner_id": mine});
    (text_of(&shared.post("/v1/keys", key, 201)["key"]), own, foreign)
}

#[test]
fn queries_reports_exports_and_live_rows_are_a_partners_own() {
    let shared = shared();
    let (key, own, foreign) = two_partners(&shared);
    let ask = |path: &str, body: Value| {
        let answer = shared.as_key(&key, "POST", path, Some(&body));
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
        answer
    };
    let query = json!({"metrics": ["clicks", "conversions"], "dimensions": ["link"], "date_range": "7d"});
    wait_for("its click and its sale", || {
        let rows = ask("/v1/query", query.clone()).json()["rows"].clone();
        assert!(!rows.to_string().contains(&foreign), "{rows}");
        (rows == json!([[own, 1, 1]])).then_some(())
    });
    let measured =
        json!({"metrics": ["value_count", "value_max"], "dimensions": ["link"], "date_range": "7d"});
    assert_eq!(ask("/v1/query", measured).json()["rows"], json!([[own, 1, 7.0]]));
    // No filter leads beyond them.
    for filters in [
        json!(["is", "link", [foreign]]),
        json!(["and", [["not", ["is", "link", [own]]]]]),
        json!(["or", [["is", "link", [foreign]], ["is_not", "partner", ["ptn_0000000000000"]]]]),
    ] {
        let mut query = query.clone();
        query["filters"] = filters;
        let rows = ask("/v1/query", query).json()["rows"].clone();
        assert!(!rows.to_string().contains(&foreign), "{rows}");
    }
    for (report, body) in [
        ("funnel", json!({"steps": ["click", "conversion"], "breakdown": "link"})),
        ("retention", json!({})),
        ("attribution", json!({"dimension": "link", "models": ["last"]})),
        ("paths", json!({"dimension": "link"})),
        ("ltv", json!({"group_by": "link"})),
        ("cohort-revenue", json!({"group_by": "link"})),
        ("rfm", json!({"rows": "customers"})),
        ("subscriptions", json!({})),
        ("heatmap", json!({})),
        ("anomalies", json!({})),
    ] {
        let answer = ask(&format!("/v1/reports/{report}"), body).text();
        assert!(!answer.contains(&foreign), "{report}: {answer}");
    }
    for rows in ["clicks", "conversions"] {
        let exported = ask("/v1/export", json!({"rows": rows, "date_range": "7d"})).text();
        let links: Vec<Value> = exported
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a row")["link"].clone())
            .collect();
        assert!(!links.is_empty() && links.iter().all(|link| *link == json!(own)), "{rows}: {links:?}");
    }

    let mut watching = Watching::open(&shared);
    watching.send(json!({"type": "connect", "key": key}));
    watching.next("connected");
    watching.send(json!({"type": "subscribe", "id": "q", "query": query}));
    let snapshot = watching.next("snapshot");
    assert_eq!(snapshot["rows"], json!([[own, 1, 1]]), "{snapshot}");
    watching.send(json!({"type": "events", "id": "tail"}));
    assert_eq!(watching.next("error")["code"], "forbidden", "the tail is everybody's");
    // What belongs to the whole workspace is not its to read.
    for path in ["/v1/links", "/v1/keys", "/v1/customers"] {
        let answer = shared.as_key(&key, "GET", path, None);
        if answer.status == 200 {
            assert!(!answer.text().contains(&foreign), "{path}");
        } else {
            refused(&answer, 403, "forbidden");
        }
    }
}
