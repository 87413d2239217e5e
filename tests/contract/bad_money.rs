//! Bad input to whatever moves money: 422 with the field's name, and nothing is posted, made or changed.

use serde_json::{Value, json};

use super::conversions::sale;
use super::engine::text_of;
use super::programs::{partner, program};
use super::{Shared, own};

/// Everything about money that could have changed.
fn state(shared: &Shared) -> Vec<Value> {
    let lists = ["accounts", "programs", "partners", "commissions", "payouts", "conversions"];
    let mut state: Vec<Value> =
        lists.iter().map(|list| shared.get(&format!("/v1/{list}?limit=200"))).collect();
    for account in state[0]["data"].as_array().expect("accounts").clone() {
        state.push(shared.get(&format!("/v1/accounts/{}/entries", text_of(&account["id"]))));
    }
    state.push(shared.get("/v1/customers/u1/wallet"));
    state
}

/// A program's terms with one member of them replaced.
fn terms(path: &[&str], value: Value) -> Value {
    let mut terms = json!({"name": "P", "commission": {"base": {"bp": 1000}}});
    let mut at = &mut terms;
    for name in path {
        at = &mut at[*name];
    }
    *at = value;
    terms
}

#[test]
fn bad_input_is_422_and_posts_nothing() {
    let shared = own(|settings| settings);
    let minimum = json!({"amount": 100_000, "currency": "EUR"});
    let program = program(&shared, json!({"hold_days": 3, "cashback_bp": 100, "min_payout": minimum}));
    let (partner, code) = partner(&shared, json!({"program_id": program}));
    let sold = sale(&shared, "A-1", 10_000, json!({"partner_code": code, "customer_id": "u1"}));
    let commission = format!("/v1/commissions/{}", text_of(&sold["commissions"][0]["id"]));
    let before = state(&shared);
    let eur = |amount: Value| json!({"amount": amount, "currency": "EUR"});
    let long = "x".repeat(10_000);
    let new = |path: &[&str], value| ("POST", "/v1/programs".to_owned(), terms(path, value));
    let post = |path: &str, body: Value| ("POST", path.to_owned(), body);
    let change = |body: Value| ("PATCH", format!("/v1/programs/{program}"), body);
    let renew = |body: Value| ("PATCH", format!("/v1/partners/{partner}"), body);
    let tier = |more: Value| json!([{"name": "S", "bp": 1, "from": more}]);
    let cases = [
        (new(&["name"], json!("")), "name"),
        (new(&["name"], json!(long)), "name"),
        (new(&["nope"], json!(1)), "nope"),
        (new(&["attribution"], json!("middle")), "attribution"),
        (new(&["window_days"], json!(0)), "window_days"),
        (new(&["window_days"], json!(366)), "window_days"),
        (new(&["hold_days"], json!(-1)), "hold_days"),
        (new(&["hold_days"], json!(1.5)), "hold_days"),
        (new(&["platform_fee_bp"], json!(10_001)), "platform_fee_bp"),
        (new(&["cashback_bp"], json!(10_001)), "cashback_bp"),
        (new(&["min_payout"], json!(5_000)), "min_payout"),
        (new(&["min_payout"], eur(json!(-1))), "min_payout.amount"),
        (new(&["min_payout"], json!({"amount": 1, "currency": "EURO"})), "min_payout.currency"),
        (new(&["commission"], json!({})), "commission.base"),
        (new(&["commission", "base"], json!({})), "commission.base"),
        (new(&["commission", "base"], json!({"bp": 1, "fixed": eur(json!(1))})), "commission.base"),
        (new(&["commission", "base", "bp"], json!(10_001)), "commission.base.bp"),
        (new(&["commission", "base", "bp"], json!(-1)), "commission.base.bp"),
        (new(&["commission", "base", "bp"], json!("10%")), "commission.base.bp"),
        (new(&["commission", "base"], json!({"fixed": eur(json!(1.5))})), "commission.base.fixed.amount"),
        (new(&["commission", "tiers"], tier(json!({}))), "commission.tiers[0].from"),
        (new(&["commission", "tiers"], tier(json!({"orders": -1}))), "commission.tiers[0].from.orders"),
        (new(&["commission", "tiers"], json!("x")), "commission.tiers"),
        (new(&["commission", "recurring_months"], json!(-1)), "commission.recurring_months"),
        (
            new(&["commission", "caps"], json!([{"per": "week", "amount": eur(json!(1))}])),
            "commission.caps[0].per",
        ),
        (new(&["referral"], json!({"referrer": {"bp": 10_001}})), "referral.referrer.bp"),
        (new(&["referral"], json!({"levels": 2})), "referral.levels"),
        (change(json!({"hold_days": 1_000})), "hold_days"),
        (change(json!({"commission": {"base": {"bp": 20_000}}})), "commission.base.bp"),
        (change(json!({"version": 9})), "version"),
        (post("/v1/partners", json!({"name": ""})), "name"),
        (post("/v1/partners", json!({"name": "x", "program_id": "prg_0000000000001"})), "program_id"),
        (post("/v1/partners", json!({"name": "x", "status": "great"})), "status"),
        (renew(json!({"code": ""})), "code"),
        (renew(json!({"payout_method": {"type": "cash", "account": "1"}})), "payout_method.type"),
        (renew(json!({"payout_method": {"type": "bank", "account": ""}})), "payout_method.account"),
        (
            post("/v1/conversions", json!({"event": "sale", "order_id": "B-1", "amount": eur(json!(-1))})),
            "amount.amount",
        ),
        (
            post(
                "/v1/conversions",
                json!({"event": "sale", "order_id": "B-1", "amount": eur(json!(2_000_000_000_000_000_i64))}),
            ),
            "amount.amount",
        ),
        (post("/v1/conversions", json!({"event": "sale", "order_id": "A-1x", "amount": 5})), "amount"),
        (post("/v1/refunds", json!({"order_id": "A-1", "amount": eur(json!(0))})), "amount.amount"),
        (post("/v1/refunds", json!({"order_id": "A-1", "amount": eur(json!(10_001))})), "amount"),
        (
            post("/v1/refunds", json!({"order_id": "A-1", "amount": {"amount": 1, "currency": "USD"}})),
            "amount.currency",
        ),
        (post("/v1/refunds", json!({"order_id": "A-1", "reason": "mood"})), "reason"),
        (post("/v1/payouts", json!({"currency": "EURO"})), "currency"),
        (post("/v1/payouts", json!({"partner_id": "ptn_0000000000001"})), "partner_id"),
        (post("/v1/payouts", json!({"amount": 5})), "amount"),
        (post("/v1/payouts/pay_0000000000001/paid", json!({"reference": long})), "reference"),
        (post("/v1/payouts/pay_0000000000001/paid", json!({"nope": 1})), "nope"),
        (post(&format!("{commission}/hold"), json!({})), "reason"),
        (post(&format!("{commission}/reject"), json!({"reason": ""})), "reason"),
        (post(&format!("{commission}/reject"), json!({"nope": 1})), "nope"),
        (post("/v1/customers/u1/wallet/claim", json!({"currency": "EURO"})), "currency"),
        (post("/v1/customers/u1/wallet/claim", json!({"amount": 1})), "amount"),
    ];
    let mut wrong = Vec::new();
    for ((method, path, body), field) in cases {
        let answer = shared.engine.api(method, &path, Some(&body));
        let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
        if answer.status != 422 || !errors.iter().any(|error| error["field"] == field) {
            wrong.push(format!("{method} {path} {body} is to name {field}: {}", answer.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(state(&shared), before, "nothing was posted, made or changed");
}
