use serde_json::json;

use super::*;
use crate::providers::Provider;
use crate::providers::tests::{Case, NOW, at, base64_of, decode_only, fixture, hmac_sha256, money, notices};

const ME: Provider = Provider::Refersion;

#[test]
fn the_scheme_holds() {
    let body = fixture!("refersion/marketplace_conversion_head.json");
    let signature = base64_of(&hmac_sha256(b"secret", &[body]));
    let case = Case::new(ME, "secret", &[(HEADER, &signature), (TOPIC, "NEW_CONVERSION")], body);
    case.holds(&[HEADER]);
    let decoded = case.decoded();
    assert_eq!(decoded.dedupe_key, "10308:NEW_CONVERSION:PENDING");
    assert_eq!((decoded.event_type.as_str(), decoded.notices.len()), ("NEW_CONVERSION", 0));
}

#[test]
fn pending_conversions_are_nothing_yet() {
    assert_eq!(notices(ME, fixture!("refersion/marketplace_conversion_head.json")), []);
    assert_eq!(notices(ME, fixture!("refersion/merchant_conversion_head.json")), []);
}

#[test]
fn approved_is_paid_and_denied_goes_back() {
    let body = |status: &str| {
        json!({"id": 10308, "created": "2020-06-08 17:35:06", "status": status, "is_recurring": true,
            "total": "59.00", "currency": "USD", "order_id": 77, "click": {"sub_id": "wclid=T"},
            "customer": {"id": 5, "email": "a@b.example", "first_name": "A", "last_name": "B"}})
        .to_string()
    };
    let order_keys = vec!["refersion:10308".to_owned(), "refersion:order:77".to_owned()];
    let paid = Notice::Paid {
        order_keys: order_keys.clone(),
        renewal: true,
        amount: money(5_900, "USD"),
        payer: Payer {
            customer: Some("refersion:5".into()),
            person: person(Some("a@b.example".into()), Some("A B".into())),
            wclid: Some("T".into()),
        },
        subscription: None,
        occurred_at: at("2020-06-08T17:35:06Z"),
    };
    assert_eq!(notices(ME, body("APPROVED").as_bytes()), [paid]);
    let refunded = Notice::Refunded {
        order_keys,
        returned: Returned::Cumulative(money(5_900, "USD")),
        reason: RefundReason::Refund,
        occurred_at: NOW,
    };
    assert_eq!(notices(ME, body("DENIED").as_bytes()), [refunded]);
    let no_currency = r#"{"id": 1, "status": "APPROVED", "total": "1.00"}"#;
    assert!(decode_only(ME, no_currency.as_bytes()).is_err());
}
