use serde_json::{Value, json};

use super::*;
use crate::providers::Provider;
use crate::providers::tests::{Case, at, base64_of, decode_only, fixture, hmac_sha256, money, notices};

const ME: Provider = Provider::Shopify;
const ORDER: &[u8] = fixture!("shopify/order_rest_example_trimmed.json");

#[test]
fn the_scheme_holds() {
    let signature = base64_of(&hmac_sha256(b"secret", &[ORDER]));
    let case = Case::new(ME, "secret", &[(HEADER, &signature), (TOPIC, "orders/paid")], ORDER);
    case.holds(&[HEADER]);
    let decoded = case.decoded();
    assert_eq!(decoded.event_type, "orders/paid");
    assert!(decoded.dedupe_key.starts_with("orders/paid:450789469:"));
    let mut renamed = case.clone();
    renamed.headers.insert(TOPIC, "refunds/create".parse().unwrap());
    assert_eq!(renamed.decoded().notices, decoded.notices, "the topic is not signed and decides nothing");
}

#[test]
fn an_order_is_paid_by_its_status_and_lists_its_refunds() {
    let order_keys = vec!["shopify:450789469".to_owned()];
    let paid = Notice::Paid {
        order_keys: order_keys.clone(),
        renewal: false,
        amount: money(59_894, "USD"),
        payer: Payer {
            customer: Some("shopify:207119551".into()),
            person: person(Some("bob.norman@mail.example.com".into()), Some("Bob Norman".into())),
            wclid: None,
        },
        subscription: None,
        occurred_at: at("2008-01-10T16:00:00Z"),
    };
    let refunded = Notice::Refunded {
        order_keys,
        returned: Returned::Single {
            refund: "179259969".into(),
            amount: money(20_900, "USD"),
            reversed: false,
        },
        reason: RefundReason::Refund,
        occurred_at: at("2023-02-14T11:14:36Z"),
    };
    assert_eq!(notices(ME, ORDER), [paid, refunded]);
}

fn order(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut order: Value = serde_json::from_slice(ORDER).unwrap();
    change(&mut order);
    serde_json::to_vec(&order).unwrap()
}

#[test]
fn the_same_refund_comes_by_itself() {
    let body = json!({"id": 509562969, "order_id": 450789469, "created_at": "2023-02-14T06:14:36-05:00",
        "transactions": [
            {"id": 179259969, "amount": "209.00", "currency": "USD", "kind": "refund", "status": "success"},
            {"id": 2, "amount": "1.00", "currency": "USD", "kind": "refund", "status": "failure"}]});
    assert_eq!(notices(ME, body.to_string().as_bytes()), notices(ME, ORDER)[1..]);
}

#[test]
fn what_is_not_paid_is_nothing() {
    for status in ["pending", "authorized", "partially_paid", "voided"] {
        let body = order(|order| {
            order["financial_status"] = json!(status);
            order["refunds"] = json!([]);
        });
        assert_eq!(notices(ME, &body), [], "{status}");
    }
    assert!(!decode_only(ME, &order(|order| order["test"] = json!(true))).unwrap().livemode);
    assert_eq!(notices(ME, br#"{"id": 1, "title": "a product"}"#), []);
}

#[test]
fn the_click_travels_in_attributes_or_the_landing_page() {
    let wclid = |body: Vec<u8>| match notices(ME, &body).remove(0) {
        Notice::Paid { payer, .. } => payer.wclid,
        other => panic!("{other:?}"),
    };
    let attribute = order(|order| order["note_attributes"] = json!([{"name": "wclid", "value": "T"}]));
    assert_eq!(wclid(attribute).as_deref(), Some("T"));
    let landing = order(|order| order["landing_site"] = json!("/products/a?utm_source=x&wclid=T"));
    assert_eq!(wclid(landing).as_deref(), Some("T"));
}

#[test]
fn amounts_have_the_digits_of_their_currency() {
    let amount = |total: &str, currency: &str| {
        let body = order(|order| {
            order["total_price"] = json!(total);
            order["currency"] = json!(currency);
            order["refunds"] = json!([]);
        });
        decode_only(ME, &body).map(|decoded| match &decoded.notices[0] {
            Notice::Paid { amount, .. } => amount.amount,
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(amount("1200", "JPY"), Ok(1_200));
    assert_eq!(amount("1.234", "KWD"), Ok(1_234));
    for bad in ["1.005", "-1.00", "99999999999999999.00", "abc"] {
        assert!(amount(bad, "USD").is_err(), "{bad}");
    }
}

#[test]
fn disputes_and_contracts() {
    let disputed = |kind: &str, status: &str| {
        let body = json!({"id": 1, "order_id": 450789469, "type": kind, "amount": "11.50", "currency": "USD",
            "status": status, "initiated_at": "2026-11-21T10:00:00Z"});
        let all = notices(ME, body.to_string().as_bytes());
        let [Notice::Disputed { amount, state, .. }] = &all[..] else { panic!() };
        assert_eq!(*amount, money(1_150, "USD"));
        *state
    };
    assert_eq!(disputed("chargeback", "needs_response"), DisputeState::Open);
    assert_eq!(disputed("chargeback", "won"), DisputeState::Won);
    assert_eq!(disputed("chargeback", "lost"), DisputeState::Lost);
    assert_eq!(disputed("inquiry", "under_review"), DisputeState::Inquiry);
    let contract = json!({"id": 5, "customer_id": 7, "status": "active",
        "billing_policy": {"interval": "MONTH", "interval_count": 2}});
    let all = notices(ME, contract.to_string().as_bytes());
    let [Notice::Subscription { subscription, payer, interval, .. }] = &all[..] else { panic!() };
    assert_eq!((subscription.as_str(), payer.customer.as_deref()), ("shopify:5", Some("shopify:7")));
    assert_eq!(*interval, Some(("month".to_owned(), 2)));
}
