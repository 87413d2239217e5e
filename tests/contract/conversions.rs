//! Conversions: recorded once, credited to the click they name, counted by their own time.

use serde_json::{Value, json};

use super::engine::text_of;
use super::{Shared, fresh, names, refused, shared};

pub(crate) fn sale(shared: &Shared, order: &str, cents: i64, more: Value) -> Value {
    let mut body =
        json!({"event": "sale", "order_id": order, "amount": {"amount": cents, "currency": "EUR"}});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    shared.post("/v1/conversions", body, 201)
}

#[test]
fn a_sale_goes_to_its_click_once() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let (token, order, customer) = (shared.token(&slug), fresh("order"), fresh("customer"));
    let body = json!({ "event": "sale", "order_id": order, "wclid": token, "click_id": null, "customer_id": customer,
        "coupon": null, "partner_code": null, "amount": {"amount": 4999, "currency": "EUR"},
        "customer": {"email": "ada@example.com", "name": "Ada"}, "occurred_at": null, "subscription_id": null,
        "properties": {} });
    let made = shared.post("/v1/conversions", body.clone(), 201);
    assert!(text_of(&made["id"]).starts_with("cnv_"));
    assert_eq!(made["attribution"]["link_id"], json!(link), "{made}");
    assert!(text_of(&made["attribution"]["click_id"]).starts_with("clk_"));
    assert_eq!(made["attribution"]["rule"], "wclid");
    assert_eq!((&made["attribution"]["partner_id"], &made["commissions"]), (&json!(null), &json!([])));
    assert_eq!((&made["event"], &made["order_id"]), (&json!("sale"), &json!(order)));
    let repeat = shared.post("/v1/conversions", body.clone(), 200);
    assert_eq!(repeat, made);
    assert_eq!(shared.get(&format!("/v1/conversions/{}", text_of(&made["id"]))), made);
    let metrics = [
        "clicks",
        "conversions",
        "orders",
        "leads",
        "revenue",
        "refunds",
        "net_revenue",
        "conversion_rate",
        "aov",
        "epc",
        "new_customers",
    ];
    let cells = shared.of_link(&link, &metrics);
    assert_eq!(json!(cells), json!([1, 1, 1, 0, 4999, 0, 4999, 10_000, 4999, 4999, 1]));
    let mut other = body;
    other["amount"]["amount"] = json!(5000);
    refused(&shared.engine.api("POST", "/v1/conversions", Some(&other)), 409, "order_conflict");
    assert_eq!(shared.of_link(&link, &["revenue"]), [json!(4999)]);
    let listed = shared.get(&format!("/v1/conversions?order_id={order}"));
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "{listed}");
}

#[test]
fn a_forged_token_gets_no_credit_and_says_why() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let token = shared.token(&slug);
    let flipped = if token.as_bytes()[20] == b'A' { "B" } else { "A" };
    let damaged = format!("{}{flipped}{}", &token[..20], &token[21..]);
    for forged in [damaged.as_str(), "nonsense", &token[..token.len() - 1]] {
        let made = sale(&shared, &fresh("order"), 100, json!({"wclid": forged}));
        assert_eq!(made["attribution"], json!(null), "{forged}");
        let trace = shared.get(&format!("/v1/conversions/{}/trace", text_of(&made["id"])));
        assert!(!trace.to_string().contains(&link), "{trace}");
    }
    assert_eq!(shared.of_link(&link, &["conversions"]), [json!(0)]);
    // A shop that sends the redirect's click id without the token is believed: it has the key.
    let first = sale(&shared, &fresh("order"), 100, json!({"wclid": token}));
    let click = text_of(&first["attribution"]["click_id"]);
    let second = sale(&shared, &fresh("order"), 100, json!({"click_id": click}));
    assert_eq!(second["attribution"]["link_id"], json!(link));
    assert_eq!(second["attribution"]["rule"], "click_id");
    let both = sale(&shared, &fresh("order"), 100, json!({"wclid": damaged, "click_id": click}));
    assert_eq!(both["attribution"]["link_id"], json!(link), "{both}");
    assert_eq!(shared.of_link(&link, &["conversions", "revenue"]), [json!(3), json!(300)]);
}

#[test]
fn a_customer_brings_the_last_click() {
    let shared = shared();
    let (first, first_link) = shared.link(json!({}));
    let (second, second_link) = shared.link(json!({}));
    let customer = fresh("customer");
    let lead = json!({"event": "lead", "customer_id": customer, "wclid": shared.token(&first)});
    assert_eq!(shared.post("/v1/conversions", lead, 201)["attribution"]["link_id"], json!(first_link));
    let sold = sale(&shared, &fresh("order"), 100, json!({"customer_id": customer}));
    assert_eq!(sold["attribution"]["link_id"], json!(first_link), "{sold}");
    let lead = json!({"event": "lead", "customer_id": customer, "wclid": shared.token(&second)});
    shared.post("/v1/conversions", lead, 201);
    let sold = sale(&shared, &fresh("order"), 300, json!({"customer_id": customer}));
    assert_eq!(sold["attribution"]["link_id"], json!(second_link), "the last one");
    assert_eq!(shared.of_link(&first_link, &["leads", "revenue"]), [json!(1), json!(100)]);
    assert_eq!(shared.of_link(&second_link, &["leads", "revenue"]), [json!(1), json!(300)]);
    let none = sale(&shared, &fresh("order"), 100, json!({"customer_id": fresh("customer")}));
    assert_eq!(none["attribution"], json!(null));

    let trace = shared.get(&format!("/v1/conversions/{}/trace", text_of(&sold["id"])));
    let told = trace.to_string();
    assert!(told.contains(&first_link) && told.contains(&second_link), "every touch: {trace}");
}

#[test]
fn events_of_every_kind() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let token = shared.token(&slug);
    let post = |body: Value| shared.post("/v1/conversions", body, 201);
    post(json!({"event": "lead", "wclid": token}));
    post(
        json!({"event": "signup", "wclid": token, "properties": {"plan": "pro", "seats": 3, "trial": true}}),
    );
    let order = fresh("order");
    sale(&shared, &order, 1_000, json!({"wclid": token}));
    let renewal = json!({"event": "renewal", "order_id": fresh("order"), "wclid": token,
        "amount": {"amount": 500, "currency": "EUR"}, "subscription_id": "sub_1"});
    post(renewal);
    let metrics = ["leads", "conversions", "orders", "revenue", "events"];
    assert_eq!(json!(shared.of_link(&link, &metrics)), json!([1, 2, 2, 1500, 1]));
    let query = json!({"metrics": ["conversions", "leads", "events"], "dimensions": ["event"], "date_range": "7d",
        "filters": ["is", "link", [link]], "order_by": [["event", "asc"]]});
    let rows = shared.engine.query(&query)["rows"].clone();
    assert_eq!(
        rows,
        json!([["lead", 0, 1, 0], ["renewal", 1, 0, 0], ["sale", 1, 0, 0], ["signup", 0, 0, 1]])
    );
    for event in ["", "refund", "chargeback"] {
        names(&shared.engine.api("POST", "/v1/conversions", Some(&json!({"event": event}))), "event");
    }
}

#[test]
fn a_conversion_counts_at_its_own_time() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let token = shared.token(&slug);
    let earlier =
        sale(&shared, &fresh("order"), 700, json!({"wclid": token, "occurred_at": "2026-03-29T01:30:00Z"}));
    assert_eq!(earlier["attribution"], json!(null), "a click afterwards cannot have led to it: {earlier}");
    assert_eq!(text_of(&earlier["occurred_at"]), "2026-03-29T01:30:00.000Z");
    let customer = fresh("customer");
    sale(&shared, &fresh("order"), 800, json!({"wclid": token, "customer_id": customer}));
    assert_eq!(shared.of_link(&link, &["revenue"]), [json!(800)]);
    let profile = shared.get(&format!("/v1/customers/{customer}"));
    assert!(profile.to_string().contains(&link), "{profile}");
}

#[test]
fn a_customer_is_shown_and_forgotten() {
    let shared = shared();
    let (slug, link) = shared.link(json!({}));
    let (token, customer, order) = (shared.token(&slug), fresh("customer"), fresh("order"));
    let person = json!({"email": "grace@example.com", "name": "Grace"});
    let more = json!({"wclid": token, "customer_id": customer, "customer": person});
    let sold = sale(&shared, &order, 2_500, more);
    let profile = shared.get(&format!("/v1/customers/{customer}"));
    assert_eq!((&profile["email"], &profile["name"]), (&json!("grace@example.com"), &json!("Grace")));
    assert!(profile.to_string().contains(&order), "{profile}");
    assert!(profile.to_string().contains("2500"), "lifetime value: {profile}");
    assert_eq!(
        shared.get(&format!("/v1/customers/{}", text_of(&sold["customer"])))["email"],
        "grace@example.com"
    );
    shared.engine.call("DELETE", &format!("/v1/customers/{customer}"), None, 204);
    let after = shared.engine.api("GET", &format!("/v1/customers/{customer}"), None);
    assert!(
        !after.text().contains("grace@example.com") && !after.text().contains("Grace"),
        "{}",
        after.text()
    );
    assert_eq!(shared.of_link(&link, &["revenue"]), [json!(2500)], "the numbers stay");
    refused(&shared.engine.api("DELETE", "/v1/customers/nobody-at-all", None), 404, "not_found");
    let without = json!({"event": "lead", "customer": {"email": "a@b.example"}});
    let answer = shared.engine.api("POST", "/v1/conversions", Some(&without));
    assert!(matches!(answer.status, 201 | 422), "{}", answer.text());
}
