use serde_json::{Value, json};

use super::*;
use crate::providers::Provider;
use crate::providers::tests::{Case, NOW, at, decode_only, fixture, hex_of, hmac_sha256, money, notices};

const ME: Provider = Provider::LemonSqueezy;

#[test]
fn the_scheme_holds() {
    let body = fixture!("lemonsqueezy/docs_order_created_head.json");
    let signature = hex_of(&hmac_sha256(b"secret", &[body]));
    Case::new(ME, "secret", &[(HEADER, &signature)], body).holds(&[HEADER]);
}

#[test]
fn an_order() {
    let paid = Notice::Paid {
        order_keys: vec!["lemonsqueezy:1".into(), "636f855c-1fb9-4c07-b75c-3a10afef010a".into()],
        renewal: false,
        amount: money(1_199, "USD"),
        payer: Payer {
            customer: None,
            person: person(Some("gernser@yahoo.com".into()), Some("Darlene Daugherty".into())),
            wclid: None,
        },
        subscription: None,
        occurred_at: NOW,
    };
    assert_eq!(notices(ME, fixture!("lemonsqueezy/docs_order_created_head.json")), [paid]);
    let [Notice::Subscription { subscription, status, payer, .. }] =
        &notices(ME, fixture!("lemonsqueezy/docs_subscription_created_head.json"))[..]
    else {
        panic!()
    };
    assert_eq!((subscription.as_str(), status.as_str()), ("lemonsqueezy:1", "on_trial"));
    assert_eq!(payer.customer.as_deref(), Some("lemonsqueezy:2"));
}

fn event(name: &str, attributes: Value) -> Decoded {
    let body = json!({"meta": {"event_name": name, "test_mode": true, "custom_data": {"wclid": "T"}},
        "data": {"id": "9", "attributes": attributes}});
    decode_only(ME, body.to_string().as_bytes()).unwrap()
}

#[test]
fn a_subscriptions_first_invoice_is_its_order() {
    let invoice = |name: &str, reason: &str| {
        event(
            name,
            json!({"subscription_id": 3, "billing_reason": reason, "total": 500, "currency": "JPY",
            "refunded_amount": 200, "created_at": "2026-11-21T10:00:00.000000Z"}),
        )
    };
    assert_eq!(invoice("subscription_payment_success", "initial").notices, []);
    let decoded = invoice("subscription_payment_success", "renewal");
    assert!(!decoded.livemode);
    let [Notice::Paid { order_keys, renewal: true, amount, payer, subscription, occurred_at }] =
        &decoded.notices[..]
    else {
        panic!()
    };
    assert_eq!((order_keys[0].as_str(), *amount), ("lemonsqueezy:invoice:9", money(500, "JPY")));
    assert_eq!((payer.wclid.as_deref(), subscription.as_deref()), (Some("T"), Some("lemonsqueezy:3")));
    assert_eq!(*occurred_at, at("2026-11-21T10:00:00Z"));
    let decoded = invoice("subscription_payment_refunded", "renewal");
    let [Notice::Refunded { returned, .. }] = &decoded.notices[..] else { panic!() };
    assert_eq!(*returned, Returned::Cumulative(money(200, "JPY")));
    let decoded = invoice("subscription_payment_failed", "renewal");
    let [Notice::Subscription { subscription, status, .. }] = &decoded.notices[..] else { panic!() };
    assert_eq!((subscription.as_str(), status.as_str()), ("lemonsqueezy:3", "past_due"));
}

#[test]
fn a_refund_is_cumulative() {
    let back = |attributes: Value| {
        let decoded = event("order_refunded", attributes);
        let [Notice::Refunded { returned: Returned::Cumulative(total), .. }] = &decoded.notices[..] else {
            panic!()
        };
        total.amount
    };
    assert_eq!(back(json!({"total": 1199, "currency": "USD", "refunded": true})), 1_199);
    assert_eq!(back(json!({"total": 1199, "currency": "USD", "refunded_amount": 300})), 300);
    assert_eq!(
        event("order_created", json!({"status": "pending", "total": 5, "currency": "USD"})).notices,
        []
    );
    assert_eq!(event("license_key_created", json!({})).notices, []);
    let version =
        event("order_created", json!({"total": 5, "currency": "USD", "updated_at": "2026-11-21T10:00:00Z"}));
    assert_eq!(version.dedupe_key, "order_created:9:2026-11-21T10:00:00Z");
}
