//! Customers: profile, list, merge, what another rule would have credited them to. Erasure is `erasure.rs`.

use std::fs;

use serde_json::{Value, json};

use super::engine::{text_of, wait_for};
use super::{Shared, own, shared, within_a_day};

fn sell(shared: &Shared, order: &str, customer: &str, more: Value) -> Value {
    let mut body = json!({"event": "sale", "order_id": order, "customer_id": customer,
        "amount": {"amount": 1_000, "currency": "EUR"}});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    shared.post("/v1/conversions", body, 201)
}

#[test]
fn two_ids_of_one_person_become_one() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let token = shared.token(&slug);
    let (a, b) = (super::fresh("cust"), super::fresh("cust"));
    sell(&shared, &super::fresh("o"), &a, json!({"wclid": token, "customer": {"email": "a@b.example"}}));
    sell(&shared, &super::fresh("o"), &b, json!({}));
    assert_eq!(shared.of_link(&link, &["revenue", "new_customers"]), [1_000, 1]);
    let merged = shared.post(&format!("/v1/customers/{a}/merge"), json!({"into": b}), 200);
    assert_eq!(merged["conversions"], 1);
    for id in [&a, &b] {
        let profile = shared.get(&format!("/v1/customers/{id}"));
        assert_eq!((&profile["customer_id"], &profile["merged_ids"]), (&json!(b), &json!([a])));
        assert_eq!(profile["lifetime_value"], json!([{"amount": 2_000, "currency": "EUR"}]));
        assert_eq!(profile["email"], "a@b.example", "the person goes on under the other's key");
    }
    // The click is now a touch of the one person, so the other sale is credited to it as well.
    assert_eq!(shared.of_link(&link, &["revenue", "new_customers"]), [2_000, 1]);
    let again = shared.post(&format!("/v1/customers/{a}/merge"), json!({"into": b}), 200);
    assert_eq!(again["merged"], true);
    assert_eq!(
        shared.engine.api("POST", "/v1/customers/nobody/merge", Some(&json!({"into": b}))).status,
        404
    );
    let listed = shared.get("/v1/customers?limit=1000");
    let ids: Vec<String> =
        listed["data"].as_array().expect("data").iter().map(|line| text_of(&line["customer_id"])).collect();
    assert!(ids.contains(&b) && !ids.contains(&a), "{ids:?}");
    shared.engine.call("DELETE", &format!("/v1/customers/{b}"), None, 204);
    assert_eq!(shared.get(&format!("/v1/customers/{a}"))["email"], Value::Null);
}

/// Whoever reports by the API sees the same subscriptions at the customer and in the recurring revenue.
#[test]
fn what_recurs_is_a_subscription_whoever_told_of_it() {
    within_a_day();
    let shared = own(|settings| settings);
    let paid = |order: &str, customer: &str, event: &str, amount: u64, more: Value| {
        let mut body = json!({"event": event, "amount": {"amount": amount, "currency": "EUR"}});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        sell(&shared, order, customer, body)
    };
    paid("1", "ann", "sale", 1_000, json!({"subscription_id": "gold"}));
    paid("2", "ann", "renewal", 1_200, json!({"subscription_id": "gold"}));
    paid("3", "ann", "sale", 300, json!({"subscription_id": "extra"}));
    paid("4", "ann", "sale", 5_000, json!({}));
    paid("5", "bob", "renewal", 700, json!({}));
    paid("6", "eve", "sale", 5_000, json!({}));
    shared.post(
        "/v1/conversions",
        json!({"event": "lead", "customer_id": "eve", "subscription_id": "trial"}),
        201,
    );
    let of = |customer: &str| -> Vec<Value> {
        let told = shared.get(&format!("/v1/customers/{customer}"))["subscriptions"].clone();
        let mut told: Vec<Value> = told
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| json!([one["subscription_id"], one["status"], one["price"]["amount"]]))
            .collect();
        told.sort_by_key(Value::to_string);
        told
    };
    assert_eq!(of("ann"), [json!(["extra", null, 300]), json!(["gold", null, 1_200])]);
    assert_eq!(of("bob"), [json!([null, null, 700])], "a renewal that names none is one");
    assert_eq!(of("eve"), Vec::<Value>::new(), "what nobody paid for again is none");
    let report = shared.post("/v1/reports/subscriptions", json!({"date_range": "7d"}), 200);
    let last = report["rows"].as_array().expect("rows").last().expect("this month").clone();
    let listed: i64 =
        ["ann", "bob", "eve"].iter().flat_map(|who| of(who)).filter_map(|one| one[2].as_i64()).sum();
    assert_eq!((last[1].as_i64(), last[7].as_i64()), (Some(listed), Some(2)), "{report}");
}

#[test]
fn a_delivery_that_conflicted_is_replayed_and_samples_are_signed_and_sent() {
    let shared = own(|settings| settings);
    let hook = shared.engine.make_stripe_endpoint();
    let body = weir_loadtest::stripe::checkout("R-1", 700, "eur", "x");
    let other = body.replace("R-1", "R-2").replace("evt_cs_R-2", "evt_cs_R-1");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("event.json");
    for body in [&body, &other] {
        fs::write(&file, body).expect("a file");
        let url = format!("http://{}{hook}", shared.engine.public);
        let arguments = [
            "hooks",
            "sign",
            "--provider",
            "stripe",
            "--secret",
            super::engine::STRIPE_SECRET,
            "--endpoint",
            &url,
            file.to_str().expect("a path"),
        ];
        let (status, out, log) = super::engine::run(folder.path(), &arguments);
        assert!(status.success() && out.starts_with("200"), "{out}\n{log}");
    }
    let path = format!("/v1/webhook-endpoints/{}/deliveries", hook.trim_start_matches("/hooks/"));
    let conflict = wait_for("both are judged", || {
        let data = shared.get(&path)["data"].as_array().expect("data").clone();
        (data.len() == 2).then(|| data[0].clone())
    });
    assert_eq!(conflict["outcome"], "conflict", "{conflict}");
    let replay = format!("{path}/{}/replay", text_of(&conflict["id"]));
    assert_eq!(shared.post(&replay, json!({}), 200)["outcome"], "processed");
    assert_eq!(
        shared.post(&replay, json!({}), 200)["outcome"],
        "processed",
        "a second replay changes nothing"
    );
    let all = json!({"metrics": ["revenue", "conversions"], "date_range": "7d"});
    assert_eq!(shared.engine.query(&all)["rows"][0], json!([1_400, 2]));
    assert_eq!(
        shared.engine.api("POST", &format!("{path}/dlv_0000000000001/replay"), Some(&json!({}))).status,
        404
    );
}

#[test]
fn another_rule_is_computed_and_the_books_stay() {
    let shared = own(|settings| settings);
    let ((first, first_link), (last, last_link)) = (shared.link(json!({})), shared.link(json!({})));
    let (early, late) = (shared.token(&first), shared.token(&last));
    shared.post("/v1/conversions", json!({"event": "lead", "customer_id": "u1", "wclid": early}), 201);
    sell(&shared, "A-1", "u1", json!({"wclid": late}));
    let data = shared.engine.data.clone();
    let told = |model: &str| {
        let (status, out, log) = super::engine::run(&data, &["replay", "--attribution", model]);
        assert!(status.success(), "{log}");
        out
    };
    let row = |out: &str, link: &str| -> Vec<i64> {
        let line =
            out.lines().find(|line| line.contains(link)).unwrap_or_else(|| panic!("no {link} in\n{out}"));
        line.split_whitespace().skip(3).map(|cell| cell.parse().expect("a number")).collect()
    };
    // A click that was told of before the recorder had written it is the customer's a moment later.
    let moved = (vec![0, 1_000, 1_000], vec![1_000, 0, -1_000]);
    wait_for("both clicks are the customer's", || {
        let out = told("first");
        ((row(&out, &first_link), row(&out, &last_link)) == moved).then_some(())
    });
    let out = told("linear");
    assert_eq!((row(&out, &first_link), row(&out, &last_link)), (vec![0, 500, 500], vec![1_000, 500, -500]));
    assert_eq!(row(&told("last"), &last_link), [1_000, 1_000, 0]);
    assert_eq!(shared.of_link(&last_link, &["revenue"]), [1_000], "nothing was changed");
    let (status, _, _) = super::engine::run(&data, &["replay", "--attribution", "fair"]);
    assert!(super::engine::exited_with(status, 2));
}
