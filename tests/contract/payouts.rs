//! Payouts: a preview, a batch of all that is due, and what became of it.

use serde_json::{Value, json};

use super::conversions::sale;
use super::engine::text_of;
use super::programs::{partner, program};
use super::{Shared, fresh, names, refused, shared};

/// A partner with approved commissions for these sales.
fn earned(shared: &Shared, terms: Value, sales: &[i64]) -> String {
    let program = program(shared, terms);
    let method = json!({"type": "bank", "account": "DE89370400440532013000", "holder": "Ada L."});
    let (id, code) = partner(shared, json!({"program_id": program, "payout_method": method}));
    for cents in sales {
        sale(shared, &fresh("order"), *cents, json!({"partner_code": code}));
    }
    id
}

#[test]
fn less_than_the_minimum_is_carried_on() {
    let shared = shared();
    let partner = earned(&shared, json!({"min_payout": {"amount": 301, "currency": "EUR"}}), &[1_000, 2_000]);
    let batch = shared.post("/v1/payouts", json!({"partner_id": partner}), 201);
    assert_eq!((&batch["data"], &batch["totals"]), (&json!([]), &json!([])), "{batch}");
    assert_eq!(batch["carried"][0]["amount"], json!({"amount": 300, "currency": "EUR"}));
}

#[test]
fn a_payout_goes_its_way() {
    let shared = shared();
    let partner = earned(&shared, json!({"min_payout": {"amount": 300, "currency": "EUR"}}), &[1_000, 2_000]);
    let scope = json!({"partner_id": partner});
    let preview = shared.post("/v1/payouts", json!({"partner_id": partner, "dry_run": true}), 200);
    assert_eq!((&preview["dry_run"], &preview["data"][0]["id"]), (&json!(true), &json!(null)));
    assert_eq!(preview["totals"], json!([{"amount": 300, "currency": "EUR"}]));
    let key = fresh("payout-key");
    let headers = [("idempotency-key", key.as_str()), ("content-type", "application/json")];
    let once = shared.with_headers("POST", "/v1/payouts", &headers, scope.to_string().as_bytes());
    let again = shared.with_headers("POST", "/v1/payouts", &headers, scope.to_string().as_bytes());
    assert_eq!((once.status, once.json()), (201, again.json()), "asked twice, paid once");
    let batch = once.json();
    let payout = &batch["data"][0];
    let id = text_of(&payout["id"]);
    assert!(id.starts_with("pay_"), "{batch}");
    assert_eq!((&payout["status"], &payout["amount"]["amount"]), (&json!("pending"), &json!(300)));
    assert_eq!(&shared.get(&format!("/v1/payouts/{id}")), payout);
    let of_batch = shared.get(&format!("/v1/payouts/{}", text_of(&batch["id"])));
    assert_eq!(of_batch["data"], json!([payout]));
    assert_eq!(shared.post("/v1/payouts", scope.clone(), 201)["data"], json!([]), "nothing is due twice");
    let bearer = shared.engine.api("GET", &format!("/v1/payouts/{id}/csv"), None);
    let expected = format!("{id},Ada L.,DE89370400440532013000,,3.00,EUR,{id}\r\n");
    assert!(bearer.text().ends_with(&expected), "{}", bearer.text());
    names(&shared.engine.api("GET", &format!("/v1/payouts/{id}/csv?format=x"), None), "format");
    let failed = shared.post(&format!("/v1/payouts/{id}/failed"), json!({"reason": "account closed"}), 200);
    assert_eq!((&failed["status"], &failed["reason"]), (&json!("failed"), &json!("account closed")));
    refused(&shared.engine.api("POST", &format!("/v1/payouts/{id}/paid"), None), 409, "payout_state");
    let second = shared.post("/v1/payouts", scope, 201);
    let id = text_of(&second["data"][0]["id"]);
    let paid = shared.post(&format!("/v1/payouts/{id}/paid"), json!({"reference": "T-1"}), 200);
    assert_eq!((&paid["status"], &paid["reference"]), (&json!("paid"), &json!("T-1")));
    assert_eq!(
        shared.post(&format!("/v1/payouts/{id}/paid"), json!({}), 200),
        paid,
        "a repeat changes nothing"
    );
    let commissions = shared.get(&format!("/v1/commissions?payout_id={id}"));
    let states: Vec<&Value> = commissions["data"]
        .as_array()
        .expect("data")
        .iter()
        .map(|commission| &commission["status"])
        .collect();
    assert_eq!(states, [&json!("paid"), &json!("paid")]);
    let listed = shared.get(&format!("/v1/payouts?partner_id={partner}"));
    assert_eq!((listed["data"].as_array().map(Vec::len), &listed["data"][0]), (Some(2), &paid));
    let stats = shared.get(&format!("/v1/partners/{partner}/stats"));
    assert_eq!((&stats["orders"], &stats["revenue"][0]["amount"]), (&json!(2), &json!(3_000)), "{stats}");
    assert_eq!(stats["commission"], json!([{"amount": 300, "currency": "EUR"}]));
    refused(&shared.engine.api("POST", "/v1/payouts/pay_0000000000001/paid", None), 404, "not_found");
    names(&shared.engine.api("POST", "/v1/payouts", Some(&json!({"nope": 1}))), "nope");
}

#[test]
fn a_payout_stands_in_the_file_of_its_way_until_it_is_paid() {
    let shared = shared();
    let program = program(&shared, json!({}));
    let mut ids = Vec::new();
    for (kind, account, holder) in [
        ("bank", "DE89370400440532013000", "=1+\"Ada\", L."),
        ("paypal", "ada@example.com", "Ada L."),
        ("wise", "wise-payee@example.com", "Ada L."),
    ] {
        let method = json!({"type": kind, "account": account, "holder": holder});
        let (id, code) = partner(&shared, json!({"program_id": program, "payout_method": method}));
        sale(&shared, &fresh("order"), 10_000, json!({"partner_code": code}));
        ids.push(id);
    }
    let batch = shared.post("/v1/payouts", json!({"program_id": program}), 201);
    let payouts: Vec<String> = ids
        .iter()
        .map(|partner| {
            let mine = batch["data"].as_array().expect("payouts").iter();
            text_of(&mine.clone().find(|one| one["partner_id"] == json!(partner)).expect("its payout")["id"])
        })
        .collect();
    let file = |format: &str| {
        let path = format!("/v1/payouts/{}/csv?format={format}", text_of(&batch["id"]));
        shared.engine.api("GET", &path, None).text()
    };
    let [bank, paypal, wise] = [&payouts[0], &payouts[1], &payouts[2]];
    assert_eq!(
        file("bank"),
        format!(
            "payout,name,account,bic,amount,currency,reference\r\n\
                 {bank},\"'=1+\"\"Ada\"\", L.\",DE89370400440532013000,,10.00,EUR,{bank}\r\n"
        ),
        "a name is no formula"
    );
    assert_eq!(file("paypal"), format!("ada@example.com,10.00,EUR,{paypal},Payout to Ada,PAYPAL\r\n"));
    assert_eq!(
        file("wise"),
        format!(
            "name,recipientEmail,paymentReference,receiverType,amountCurrency,amount,sourceCurrency,targetCurrency\r\n\
                 Ada L.,wise-payee@example.com,{wise},PERSON,target,10.00,EUR,EUR\r\n"
        )
    );
    shared.post(&format!("/v1/payouts/{paypal}/paid"), json!({}), 200);
    assert_eq!(file("paypal"), "", "what is paid is in no file");
    // Nowhere else is an account in clear.
    for path in ["/v1/partners?limit=1000", "/v1/admin/audit?limit=1000", "/v1/payouts?limit=1000"] {
        let text = shared.engine.api("GET", path, None).text();
        assert!(
            !text.contains("DE89370400440532013000") && !text.contains("wise-payee@example.com"),
            "{path}"
        );
    }
}

#[test]
fn the_leaderboard_ranks_by_what_was_sold() {
    let shared = shared();
    let program = program(&shared, json!({}));
    let mut expected = Vec::new();
    for (cents, orders) in [(1_000, 1), (400, 3), (5_000, 1)] {
        let (id, code) = partner(&shared, json!({"program_id": program}));
        for _ in 0..orders {
            sale(&shared, &fresh("order"), cents, json!({"partner_code": code}));
        }
        expected.push((id, cents * orders, orders));
    }
    let board = |more: &str| {
        let board = shared.get(&format!("/v1/leaderboard?program_id={program}{more}"));
        let places = board["data"].as_array().expect("places").clone();
        places.iter().map(|place| text_of(&place["partner_id"])).collect::<Vec<_>>()
    };
    assert_eq!(board(""), [&*expected[2].0, &*expected[1].0, &*expected[0].0]);
    assert_eq!(board("&metric=orders")[0], expected[1].0);
    assert_eq!(board("&limit=1").len(), 1);
    assert!(board("&month=1999-01").is_empty());
    names(&shared.engine.api("GET", "/v1/leaderboard?month=x", None), "month");
}
