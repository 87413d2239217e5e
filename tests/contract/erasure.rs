//! Erasure, proved by searching: a person who came in by every door (the API, a table, webhooks of several providers)
//! is in no file of the data folder in clear at any time, and after erasure in no answer either; what was paid stays.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::engine::{Engine, Settings, deliver, run, text_of, wait_for};
use super::outbound::receiver;
use super::{Shared, own};

const MAIL: &str = "ada.lovelace@engine.example";
const NAME: &str = "Ada Lovelace";
const PHONE: &str = "+441815550100";
/// Parts of the person, as they would stand in a file or an answer, also in a form or in JSON.
const WORDS: [&str; 5] =
    ["ada.lovelace", "Lovelace", "ada.lovelace%40engine", "441815550100", "ADA.LOVELACE"];

/// What a shop says of them in a property.
const SAID: &str = "grandmothers-ninetieth";

/// The files under `folder` that hold one of `words`. Everything is looked at: journal, books and their log, keyring,
/// lanes, ClickHouse's parts, outbound.db, files of progress.
pub(super) fn holding(folder: &Path, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    // A part or a log may be gone while it is looked for.
    for entry in fs::read_dir(folder).into_iter().flatten().map_while(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, words));
        } else if let Ok(bytes) = fs::read(&path) {
            let has = |word: &&&str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
            found.extend(words.iter().filter(has).map(|word| format!("{word} in {}", path.display())));
        }
    }
    found
}

/// Everything that the API and the exports say.
fn told(engine: &Engine, hooks: &[String], outbound: &str) -> String {
    let mut paths: Vec<String> = ["u1", "u2", "cus_B-1", "shopify:7"]
        .iter()
        .map(|customer| format!("/v1/customers/{customer}"))
        .collect();
    let lists =
        ["customers", "conversions", "admin/audit", "commissions", "webhook-endpoints", "outbound-endpoints"];
    paths.extend(lists.iter().map(|list| format!("/v1/{list}?limit=1000")));
    paths.extend(
        hooks.iter().map(|hook| format!("{}/deliveries", hook.replace("/hooks/", "/v1/webhook-endpoints/"))),
    );
    paths.push(format!("/v1/outbound-endpoints/{outbound}/deliveries"));
    let mut all = String::new();
    for path in paths {
        let answer = engine.api("GET", &path, None);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        all += &answer.text();
        for conversion in answer.json()["data"].as_array().into_iter().flatten() {
            if let Some(id) = conversion["id"].as_str().filter(|id| id.starts_with("cnv_")) {
                all += &engine.api("GET", &format!("/v1/conversions/{id}"), None).text();
                all += &engine.api("GET", &format!("/v1/conversions/{id}/trace"), None).text();
            }
        }
    }
    let export = engine.api(
        "POST",
        "/v1/export?format=ndjson",
        Some(&json!({"rows": "conversions", "date_range": "7d"})),
    );
    assert_eq!(export.status, 200, "{}", export.text());
    all + &export.text()
}

/// A conversion of `customer` by the API with all that may be said of a person.
fn sell(shared: &Shared, order: &str, customer: &str) -> Value {
    let body = json!({"event": "sale", "order_id": order, "customer_id": customer,
        "amount": {"amount": 1_000, "currency": "EUR"}, "customer": {"email": MAIL, "name": NAME},
        "properties": {"occasion": SAID, "product": "cake"}});
    let headers = [("content-type", "application/json"), ("idempotency-key", order)];
    let answer = shared.with_headers("POST", "/v1/conversions", &headers, body.to_string().as_bytes());
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

#[test]
fn an_erased_person_is_in_no_file_and_in_no_answer_and_the_amounts_stay() {
    let shared = own(|settings| settings.with("outbound.allow_private", "true"));
    let engine = &shared.engine;
    // One that takes nothing: its messages wait.
    let (url, _received) = receiver(&[503; 64]);
    let outbound = text_of(&shared.post("/v1/outbound-endpoints", json!({"url": url}), 201)["id"]);

    sell(&shared, "A-1", "u1");
    let table = format!(
        "event,order_id,amount,currency,customer_id,email,name\nsale,C-1,2.00,EUR,u2,{MAIL},{NAME}\n"
    );
    let headers = [("content-type", "text/csv")];
    let taken = shared.with_headers("POST", "/v1/conversions/import", &headers, table.as_bytes());
    assert_eq!(taken.json()["created"], 1, "{}", taken.text());

    let stripe = engine.make_stripe_endpoint();
    let mut event: Value =
        serde_json::from_str(&weir_loadtest::stripe::checkout("B-1", 500, "eur", "x")).expect("JSON");
    event["data"]["object"]["customer_details"] = json!({"email": MAIL, "name": NAME, "phone": PHONE});
    let processed = event.to_string();
    event["data"]["object"]["amount_total"] = json!(900);
    // The same event with another amount is a conflict, which is kept to be replayed.
    for body in [&processed, &event.to_string()] {
        assert_eq!(deliver(&mut engine.visitor(), &stripe, body).expect("an answer").status, 200);
    }
    let made = json!({"provider": "shopify", "secrets": ["s"]});
    let shopify = format!("/hooks/{}", text_of(&shared.post("/v1/webhook-endpoints", made, 201)["id"]));
    let order = json!({"id": 7, "financial_status": "paid", "total_price": "3.00", "currency": "EUR", "email": MAIL,
        "phone": PHONE, "customer": {"id": 7, "first_name": "Ada", "last_name": "Lovelace", "phone": PHONE},
        "shipping_address": {"name": NAME}});
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), order.to_string()).expect("it can be written");
    let url = format!("http://{}{shopify}", engine.public);
    let path = file.path().to_str().expect("a path");
    let (status, out, log) =
        run(&engine.data, &["hooks", "sign", "--provider", "shopify", "--endpoint", &url, path]);
    assert!(status.success(), "{out}{log}");

    let all = json!({"metrics": ["revenue", "conversions"], "date_range": "7d"});
    wait_for("everything is booked", || (engine.query(&all)["rows"][0] == json!([2_000, 4])).then_some(()));
    let hooks = [stripe, shopify];
    let before = told(engine, &hooks, &outbound);
    assert!(
        before.contains(MAIL) && before.contains(NAME),
        "the profile tells of them until they are erased"
    );
    assert!(!before.contains(PHONE), "what nobody needs is not kept");
    assert_eq!(holding(&engine.data, &WORDS), Vec::<String>::new(), "in clear they are never on the disk");
    assert!(before.contains(SAID) && !holding(&engine.data, &[SAID]).is_empty());
    assert_eq!(holding(&engine.data.join("journal"), &[SAID]), Vec::<String>::new(), "sealed where it stays");

    for customer in ["u1", "u2", "cus_B-1", "shopify:7"] {
        engine.call("DELETE", &format!("/v1/customers/{customer}"), None, 204);
        let after = shared.get(&format!("/v1/customers/{customer}"));
        assert_eq!((&after["email"], &after["name"]), (&Value::Null, &Value::Null));
        assert!(after["erased_at"].is_string() && after["touches"].as_array().is_some_and(Vec::is_empty));
    }
    let clean = |engine: &Engine| {
        let after = wait_for("the warehouse's rows are rewritten", || {
            let after = told(engine, &hooks, &outbound);
            (!after.contains(SAID)).then_some(after)
        });
        for word in [MAIL, NAME, PHONE, "ovelace"] {
            assert!(!after.contains(word), "{word}: {after}");
        }
        assert!(after.contains("cake"), "what was sold stays: {after}");
        assert_eq!(engine.query(&all)["rows"][0], json!([2_000, 4]), "amounts stay");
    };
    clean(engine);
    assert_eq!(holding(&engine.data, &WORDS), Vec::<String>::new());
    // ClickHouse deletes the files that it has rewritten when it comes to it, minutes later: what it answers was seen.
    let said = |data: &Path| holding(data, &[SAID]).iter().any(|found| !found.contains("/clickhouse/"));
    wait_for("no file of ours holds what was said of them", || (!said(&engine.data)).then_some(()));

    // After a restart, so that every log is closed; and after the books were built anew from the journal.
    let Shared { engine, _data } = shared;
    let data = engine.data.clone();
    engine.stop();
    assert_eq!(holding(&data, &WORDS), Vec::<String>::new());
    assert!(!said(&data));
    let (status, out, log) = run(&data, &["replay", "books"]);
    assert!(status.success() && out.contains("the books were the same before"), "{out}{log}");
    assert_eq!(holding(&data, &WORDS), Vec::<String>::new());
    assert!(!said(&data), "what has no key is not booked again");
    clean(&Settings::new(&data).start());
}

#[test]
fn what_callers_said_in_words_leaves_the_numbers_rows() {
    let shared = own(|settings| settings);
    let body = json!({"event": "sale", "order_id": "A-1", "customer_id": "u1",
        "amount": {"amount": 1_000, "currency": "EUR"}, "properties": {"plan": "gold", "product": "cake"}});
    shared.post("/v1/conversions", body, 201);
    let gold =
        json!({"metrics": ["revenue"], "date_range": "7d", "filters": ["is", "property:plan", ["gold"]]});
    assert_eq!(shared.engine.query(&gold)["rows"][0][0], 1_000);
    shared.engine.call("DELETE", "/v1/customers/u1", None, 204);
    let goods =
        json!({"metrics": ["revenue"], "date_range": "7d", "filters": ["is", "property:product", ["cake"]]});
    wait_for("the warehouse's rows are rewritten, and amounts and goods stay", || {
        let left = [&gold, &goods].map(|query| shared.engine.query(query)["rows"][0][0].clone());
        (left == [json!(0), json!(1_000)]).then_some(())
    });
}
