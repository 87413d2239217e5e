//! Cashback: pending, confirmed, payable, claimed or declined; and what goes back after it was claimed.

use serde_json::{Value, json};

use super::conversions::sale;
use super::programs::{partner, program};
use super::{fresh, refused, shared};

#[test]
fn cashback_is_claimed_once_and_what_goes_back_is_carried() {
    let shared = shared();
    let minimum = json!({"amount": 150, "currency": "EUR"});
    let program = program(
        &shared,
        json!({"commission": {"base": {"bp": 0}}, "cashback_bp": 1_000, "min_payout": minimum}),
    );
    let (_, code) = partner(&shared, json!({"program_id": program}));
    let customer = fresh("customer");
    let path = format!("/v1/customers/{customer}/wallet");
    let buy = |order: &str, cents: i64| {
        sale(&shared, order, cents, json!({"partner_code": code, "customer_id": customer}));
    };
    let balance = |name: &str| shared.get(&path)["balances"][0][name]["amount"].clone();
    let states = || -> Vec<Value> {
        let history = shared.get(&format!("{path}/history"));
        history["data"].as_array().expect("lines").iter().map(|line| line["state"].clone()).collect()
    };
    let (first, second) = (fresh("order"), fresh("order"));
    buy(&first, 1_000);
    assert_eq!((balance("confirmed"), balance("payable")), (json!(100), json!(0)));
    assert_eq!(states(), [json!("confirmed")]);
    let claim = format!("{path}/claim");
    refused(&shared.engine.api("POST", &claim, None), 422, "below_minimum");
    buy(&second, 2_000);
    assert_eq!((balance("confirmed"), balance("payable")), (json!(0), json!(300)));
    assert_eq!(states(), [json!("payable"), json!("payable")]);
    let key = fresh("claim");
    let headers = [("idempotency-key", key.as_str()), ("content-type", "application/json")];
    let once = shared.with_headers("POST", &claim, &headers, b"{\"reference\":\"T-1\"}");
    assert_eq!(once.status, 201, "{}", once.text());
    let again = shared.with_headers("POST", &claim, &headers, b"{\"reference\":\"T-1\"}");
    assert_eq!(once.json(), again.json(), "asked twice, claimed once");
    let claimed = once.json();
    assert_eq!(
        (&claimed["claimed"][0]["amount"]["amount"], &claimed["claimed"][0]["items"]),
        (&json!(300), &json!(2))
    );
    assert_eq!((balance("payable"), balance("claimed")), (json!(0), json!(300)));
    assert_eq!(states(), [json!("claimed"), json!("claimed")]);
    refused(&shared.engine.api("POST", &claim, None), 422, "nothing_payable");
    shared.post("/v1/refunds", json!({"order_id": second}), 201);
    assert_eq!((balance("confirmed"), balance("claimed")), (json!(-200), json!(300)));
    assert_eq!(states()[0], "declined");
    buy(&fresh("order"), 5_000);
    assert_eq!(balance("payable"), 300, "500 less the 200 that went back");
    let listed = shared.get("/v1/payouts?limit=1000").to_string();
    let id = claimed["claimed"][0]["id"].as_str().expect("an id");
    assert!(!listed.contains(id), "a claim is no partner's payout");
    refused(&shared.engine.api("GET", "/v1/customers/nobody/wallet", None), 404, "not_found");
}
