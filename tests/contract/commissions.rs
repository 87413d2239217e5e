//! What partners earn: by the sale, by the tier, less what goes back; in the ledger and in queries.

use serde_json::{Value, json};

use super::conversions::sale;
use super::engine::{text_of, wait_for};
use super::programs::{partner, program};
use super::{Shared, fresh, names, refused, shared};

/// A program with these terms, its partner, and a link's slug.
struct Earning {
    program: String,
    partner: String,
    slug: String,
}

fn earning(shared: &Shared, terms: Value) -> Earning {
    let program = program(shared, terms);
    let (partner, _) = partner(shared, json!({}));
    let (slug, _) = shared.link(json!({"program_id": program, "partner_id": partner}));
    Earning { program, partner, slug }
}

impl Earning {
    fn sell(&self, shared: &Shared, cents: i64, more: Value) -> Value {
        let mut body = json!({"wclid": shared.token(&self.slug)});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        sale(shared, &fresh("order"), cents, body)
    }

    fn of(&self, shared: &Shared, what: &str) -> Value {
        shared.get(&format!("/v1/{what}?partner_id={}", self.partner))["data"].clone()
    }

    /// The balance of one of the partner's accounts.
    fn balance(&self, shared: &Shared, kind: &str) -> i64 {
        let accounts = shared.get(&format!("/v1/accounts?partner_id={}&kind={kind}", self.partner));
        accounts["data"][0]["balance"]["amount"].as_i64().unwrap_or_default()
    }
}

#[test]
fn a_sale_earns_what_its_tier_says() {
    let shared = shared();
    let tiers = json!([{"name": "Silver", "bp": 1500, "from": {"orders": 2}}]);
    let terms = json!({"commission": {"base": {"bp": 1000}, "tiers": tiers}, "hold_days": 30});
    let earning = earning(&shared, terms);
    let lines: Vec<Value> =
        (0..3).map(|_| earning.sell(&shared, 1_999, json!({}))["commissions"][0].clone()).collect();
    let amounts: Vec<&Value> = lines.iter().map(|line| &line["amount"]["amount"]).collect();
    assert_eq!(amounts, [&json!(200), &json!(200), &json!(300)], "the third has two before it");
    assert_eq!((&lines[2]["tier"], &lines[0]["tier"]), (&json!("Silver"), &json!(null)));
    for line in &lines {
        assert!(text_of(&line["id"]).starts_with("com_"), "{line}");
        assert_eq!((&line["partner_id"], &line["status"]), (&json!(earning.partner), &json!("pending")));
    }
    let listed = earning.of(&shared, "commissions");
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");
    assert_eq!(listed[0]["id"], lines[2]["id"], "the newest first");
    assert_eq!(
        (&listed[0]["program_id"], &listed[0]["sale"]["amount"]),
        (&json!(earning.program), &json!(1999))
    );
    assert_eq!(shared.get(&format!("/v1/commissions/{}", text_of(&lines[2]["id"]))), listed[0]);
    assert_eq!(earning.balance(&shared, "pending"), 700);
    let path = format!("/v1/commissions?partner_id={}&limit=2", earning.partner);
    let page = shared.get(&path);
    let next = shared.get(&format!("{path}&cursor={}", text_of(&page["next_cursor"])));
    assert_eq!((next["data"].as_array().map(Vec::len), &next["next_cursor"]), (Some(1), &json!(null)));
    names(&shared.engine.api("GET", "/v1/commissions?status=odd", None), "status");
    refused(&shared.engine.api("GET", "/v1/commissions/com_0000000000001", None), 404, "not_found");
}

#[test]
fn what_goes_back_takes_its_commission_along() {
    let shared = shared();
    let earning = earning(&shared, json!({"platform_fee_bp": 2000}));
    let made = earning.sell(&shared, 10_000, json!({}));
    assert_eq!(made["commissions"][0]["amount"]["amount"], 800);
    assert_eq!(made["commissions"][0]["platform_fee"]["amount"], 200);
    assert_eq!(made["commissions"][0]["status"], "approved", "without a hold");
    let query = json!({"metrics": ["net_revenue", "commission", "margin"], "dimensions": ["program", "partner"],
        "date_range": "7d", "filters": ["is", "partner", [earning.partner]]});
    let row =
        |net, commission| json!([[earning.program, earning.partner, net, commission, net - commission]]);
    assert_eq!(shared.engine.query(&query)["rows"], row(10_000, 800));
    let part = json!({"amount": 3_333, "currency": "EUR"});
    shared.post("/v1/refunds", json!({"order_id": made["order_id"], "amount": part, "refund_id": "r1"}), 201);
    let now = shared.get(&format!("/v1/conversions/{}", text_of(&made["id"])));
    assert_eq!(now["commissions"][0]["amount"]["amount"], 533, "80 % of 10 % of 66.67");
    assert_eq!(shared.engine.query(&query)["rows"], row(6_667, 533));
    shared.post("/v1/refunds", json!({"order_id": made["order_id"], "refund_id": "r2"}), 201);
    assert_eq!(shared.engine.query(&query)["rows"], row(0, 0));
    let commission = &earning.of(&shared, "commissions")[0];
    assert_eq!((&commission["status"], &commission["amount"]["amount"]), (&json!("reversed"), &json!(0)));
    assert_eq!(commission["original"]["amount"], 800);
    let account =
        &shared.get(&format!("/v1/accounts?partner_id={}&kind=approved", earning.partner))["data"][0];
    let id = text_of(&account["id"]);
    assert!(id.starts_with("acc_"), "{account}");
    assert_eq!(&shared.get(&format!("/v1/accounts/{id}")), account);
    let entries = shared.get(&format!("/v1/accounts/{id}/entries"));
    let running: Vec<(i64, i64)> = entries["data"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| {
            (entry["amount"]["amount"].as_i64().unwrap(), entry["balance"]["amount"].as_i64().unwrap())
        })
        .collect();
    assert_eq!(running, [(-533, 0), (-267, 533), (800, 800)]);
}

#[test]
fn the_ledger_adds_up_to_zero() {
    let shared = super::own(|settings| settings);
    let earning = earning(&shared, json!({"platform_fee_bp": 1111, "cashback_bp": 250, "hold_days": 1}));
    for n in 0..7 {
        let made = earning.sell(&shared, 1_111 + n * 13, json!({"customer_id": fresh("u")}));
        if n % 2 == 0 {
            let part = json!({"amount": 7 * (n + 1), "currency": "EUR"});
            shared.post("/v1/refunds", json!({"order_id": made["order_id"], "amount": part}), 201);
        }
    }
    let accounts = shared.get("/v1/accounts?limit=1000");
    let accounts = accounts["data"].as_array().expect("accounts").clone();
    let sum: i64 = accounts.iter().map(|account| account["balance"]["amount"].as_i64().unwrap()).sum();
    assert_eq!((sum, accounts.len() > 8), (0, true), "{accounts:?}");
    let merchant = shared.get("/v1/accounts?owner=merchant&kind=revenue");
    assert_eq!(merchant["data"][0]["balance"]["amount"], 7 * 1_111 + 21 * 13, "{merchant}");
}

#[test]
fn a_hold_ends_by_itself() {
    let shared = shared();
    let earning = earning(&shared, json!({"hold_days": 1, "window_days": 30}));
    let almost = weir_schemas::time::Timestamp(
        weir_schemas::time::Timestamp::now().0 - weir_schemas::time::DAY_MS + 2_000,
    );
    let code = shared.get(&format!("/v1/partners/{}", earning.partner))["code"].clone();
    let patch = json!({"program_id": earning.program});
    shared.engine.call("PATCH", &format!("/v1/partners/{}", earning.partner), Some(&patch), 200);
    let body = json!({"partner_code": code, "occurred_at": almost});
    let made = sale(&shared, &fresh("order"), 1_000, body);
    let path = format!("/v1/commissions/{}", text_of(&made["commissions"][0]["id"]));
    wait_for("the commission's approval", || (shared.get(&path)["status"] == "approved").then_some(()));
    assert_eq!((earning.balance(&shared, "pending"), earning.balance(&shared, "approved")), (0, 100));
}

#[test]
fn a_person_decides_with_a_reason() {
    let shared = shared();
    let earning = earning(&shared, json!({"hold_days": 7}));
    let made = earning.sell(&shared, 1_000, json!({}));
    let path = format!("/v1/commissions/{}", text_of(&made["commissions"][0]["id"]));
    names(&shared.engine.api("POST", &format!("{path}/hold"), Some(&json!({}))), "reason");
    let held = shared.post(&format!("{path}/hold"), json!({"reason": "looks odd"}), 200);
    assert_eq!((&held["status"], &held["reason"]), (&json!("held"), &json!("looks odd")));
    assert_eq!(shared.post(&format!("{path}/release"), json!({}), 200)["status"], "pending");
    assert_eq!(shared.post(&format!("{path}/approve"), json!({}), 200)["status"], "approved");
    assert_eq!(shared.post(&format!("{path}/reject"), json!({"reason": "fraud"}), 200)["status"], "rejected");
    let again = shared.engine.api("POST", &format!("{path}/approve"), None);
    refused(&again, 409, "commission_state");
    assert_eq!(earning.balance(&shared, "approved"), 0);
}

#[test]
fn a_partners_key_sees_its_own() {
    let shared = shared();
    let (one, other) = (earning(&shared, json!({})), earning(&shared, json!({})));
    one.sell(&shared, 1_000, json!({}));
    let made = other.sell(&shared, 1_000, json!({}));
    let key = json!({"name": "p", "role": "partner", "partner_id": one.partner});
    let key = text_of(&shared.post("/v1/keys", key, 201)["key"]);
    let get = |path: &str| shared.as_key(&key, "GET", path, None);
    let listed = get("/v1/commissions").json();
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed["data"][0]["partner_id"], json!(one.partner));
    for account in get("/v1/accounts").json()["data"].as_array().expect("accounts") {
        assert_eq!(account["owner_id"], json!(one.partner));
    }
    let foreign = text_of(&made["commissions"][0]["id"]);
    refused(&get(&format!("/v1/commissions/{foreign}")), 404, "not_found");
    refused(&get(&format!("/v1/commissions?partner_id={}", other.partner)), 403, "forbidden");
    refused(&get(&format!("/v1/partners/{}", other.partner)), 404, "not_found");
    let programs = get("/v1/programs").json();
    assert_eq!(programs["data"].as_array().map(Vec::len), Some(1), "its own: {programs}");
    refused(&get("/v1/partners"), 403, "forbidden");
    let account = &shared.get(&format!("/v1/accounts?partner_id={}", other.partner))["data"][0]["id"];
    refused(&get(&format!("/v1/accounts/{}/entries", text_of(account))), 404, "not_found");
}
