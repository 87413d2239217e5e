//! Money that goes back is taken off under the dimensions of the click that brought it.

use serde_json::{Value, json};

use super::conversions::sale;
use super::engine::text_of;
use super::{Shared, fresh, names, refused, shared};

fn refund(shared: &Shared, order: &str, cents: Option<i64>, id: &str, status: u16) -> Value {
    let mut body = json!({"order_id": order, "reason": "refund", "refund_id": id});
    if let Some(cents) = cents {
        body["amount"] = json!({"amount": cents, "currency": "EUR"});
    }
    shared.post("/v1/refunds", body, status)
}

#[test]
fn partial_repeated_and_full() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let order = fresh("order");
    let made = sale(&shared, &order, 5_000, json!({"wclid": shared.token(&slug)}));
    let money =
        || json!(shared.of_link(&link, &["revenue", "refunds", "net_revenue", "conversions", "orders"]));
    refund(&shared, &order, Some(1_500), "r-1", 201);
    assert_eq!(money(), json!([5000, 1500, 3500, 1, 1]));
    refund(&shared, &order, Some(1_500), "r-1", 200);
    assert_eq!(money(), json!([5000, 1500, 3500, 1, 1]), "a repeat changes nothing");
    let other = json!({"order_id": order, "amount": {"amount": 1, "currency": "EUR"}, "refund_id": "r-1"});
    refused(&shared.engine.api("POST", "/v1/refunds", Some(&other)), 409, "refund_conflict");
    let over = json!({"order_id": order, "amount": {"amount": 3_501, "currency": "EUR"}, "refund_id": "r-2"});
    names(&shared.engine.api("POST", "/v1/refunds", Some(&over)), "amount");
    let wrong = json!({"order_id": order, "amount": {"amount": 1, "currency": "USD"}, "refund_id": "r-3"});
    names(&shared.engine.api("POST", "/v1/refunds", Some(&wrong)), "amount.currency");
    assert_eq!(money(), json!([5000, 1500, 3500, 1, 1]));
    let rest = refund(&shared, &order, None, "r-4", 201);
    assert_eq!(rest["amount"], json!({"amount": 3500, "currency": "EUR"}), "what is left: {rest}");
    assert_eq!(money(), json!([5000, 5000, 0, 1, 1]));
    let more = json!({"order_id": order, "refund_id": "r-5"});
    let answer = shared.engine.api("POST", "/v1/refunds", Some(&more));
    assert!(matches!(answer.status, 409 | 422), "{}", answer.text());
    let unknown = json!({"order_id": fresh("never"), "refund_id": "r-6"});
    refused(&shared.engine.api("POST", "/v1/refunds", Some(&unknown)), 404, "not_found");
    let now = shared.get(&format!("/v1/conversions/{}", text_of(&made["id"])));
    assert_eq!(now["refunded"], json!({"amount": 5000, "currency": "EUR"}));
}

/// A sale and a renewal may have one order id; what goes back of both leaves no commission on either.
#[test]
fn an_order_that_was_paid_twice_goes_back_whole() {
    let shared = shared();
    let terms = json!({"name": fresh("program"), "hold_days": 0, "commission": {"base": {"bp": 1000}}});
    let program = shared.post("/v1/programs", terms, 201);
    let body = json!({"name": "Ada", "code": fresh("ada"), "program_id": program["id"]});
    let partner = shared.post("/v1/partners", body, 201);
    let (slug, link) = shared.link(json!({"program_id": program["id"], "partner_id": partner["id"]}));
    let (order, customer) = (fresh("order"), fresh("customer"));
    let sold = sale(&shared, &order, 2_000, json!({"wclid": shared.token(&slug), "customer_id": customer}));
    let renewed = sale(&shared, &order, 1_000, json!({"event": "renewal", "customer_id": customer}));
    let now = |made: &Value| {
        let conversion = shared.get(&format!("/v1/conversions/{}", text_of(&made["id"])));
        let earned = conversion["commissions"][0]["amount"]["amount"].clone();
        (conversion["refunded"]["amount"].clone(), earned)
    };
    let money = || json!(shared.of_link(&link, &["revenue", "refunds", "net_revenue", "commission"]));
    refund(&shared, &order, Some(2_400), "r-1", 201);
    assert_eq!(now(&sold), (json!(2000), json!(0)), "no more goes back of a payment than it brought");
    assert_eq!(now(&renewed), (json!(400), json!(60)));
    assert_eq!(money(), json!([3000, 2400, 600, 60]));
    refund(&shared, &order, None, "r-2", 201);
    assert_eq!(now(&renewed), (json!(1000), json!(0)));
    assert_eq!(money(), json!([3000, 3000, 0, 0]));
}

#[test]
fn a_chargeback_is_a_refund_with_a_name() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let order = fresh("order");
    sale(&shared, &order, 900, json!({"wclid": shared.token(&slug)}));
    shared.post("/v1/refunds", json!({"order_id": order, "reason": "chargeback", "refund_id": "c"}), 201);
    assert_eq!(json!(shared.of_link(&link, &["revenue", "refunds", "net_revenue"])), json!([900, 900, 0]));
}

#[test]
fn net_revenue_is_restated_where_the_click_stood() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
        Version/17.5 Mobile/15E148 Safari/604.1";
    let headers =
        [("x-forwarded-for", "8.8.8.8"), ("user-agent", phone), ("referer", "https://news.example/x")];
    let mobile = super::engine::token_of(&shared.visit(&format!("/{slug}"), &headers));
    let desktop = shared.token(&slug);
    let (first, second) = (fresh("order"), fresh("order"));
    sale(&shared, &first, 5_000, json!({"wclid": mobile}));
    sale(&shared, &second, 700, json!({"wclid": desktop}));
    let by = |dimension: &str| {
        let query = json!({"metrics": ["clicks", "revenue", "net_revenue"], "dimensions": [dimension],
            "date_range": "7d", "filters": ["is", "link", [link]], "order_by": [["revenue", "desc"]]});
        shared.engine.query(&query)["rows"].clone()
    };
    assert_eq!(by("device"), json!([["mobile", 1, 5000, 5000], ["desktop", 1, 700, 700]]));
    refund(&shared, &first, Some(2_000), "r", 201);
    assert_eq!(by("device"), json!([["mobile", 1, 5000, 3000], ["desktop", 1, 700, 700]]));
    assert_eq!(by("country"), json!([["US", 1, 5000, 3000], ["", 1, 700, 700]]));
    assert_eq!(by("os")[0], json!(["iOS", 1, 5000, 3000]));
    assert_eq!(by("browser")[0], json!(["Mobile Safari", 1, 5000, 3000]));
    assert_eq!(by("referrer")[0], json!(["news.example", 1, 5000, 3000]));
    assert_eq!(by("link"), json!([[link, 2, 5700, 3700]]));
}

#[test]
fn an_order_has_one_currency() {
    let shared = shared();
    let order = fresh("order");
    sale(&shared, &order, 900, json!({}));
    let renewal = json!({"event": "renewal", "order_id": order, "amount": {"amount": 1, "currency": "USD"}});
    let answer = shared.engine.api("POST", "/v1/conversions", Some(&renewal));
    assert!(matches!(answer.status, 409 | 422), "{}", answer.text());
    let sold = json!({"event": "sale", "order_id": order, "amount": {"amount": 900, "currency": "USD"}});
    assert_eq!(shared.engine.api("POST", "/v1/conversions", Some(&sold)).status, 409);
}
