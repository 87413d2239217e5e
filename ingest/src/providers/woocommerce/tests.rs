use http::HeaderMap;
use serde_json::{Value, json};

use super::*;
use crate::providers::Provider;
use crate::providers::tests::{Case, NOW, at, base64_of, decode_only, fixture, hmac_sha256, money, notices};

const ME: Provider = Provider::WooCommerce;

fn order(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut order = json!({"id": 727, "order_key": "wc_order_58d2d042d1d", "status": "processing",
        "currency": "USD", "total": "29.35", "customer_id": 26, "transaction_id": "",
        "date_created_gmt": "2017-03-22T19:28:02", "date_paid_gmt": "2017-03-22T19:28:08",
        "date_modified": "2017-03-22T16:28:08", "date_modified_gmt": "2017-03-22T19:28:08",
        "billing": {"first_name": "John", "last_name": "Doe", "email": "john.doe@example.com"},
        "meta_data": [{"id": 1, "key": "_wclid", "value": "T"}], "refunds": []});
    change(&mut order);
    serde_json::to_vec(&order).unwrap()
}

#[test]
fn the_scheme_holds() {
    let body = order(|_| ());
    let signature = base64_of(&hmac_sha256(b"secret", &[&body]));
    let case = Case::new(ME, "secret", &[(HEADER, &signature), (TOPIC, "order.updated")], &body);
    case.holds(&[HEADER]);
    let key = "order.updated:727:2017-03-22T16:28:08:processing:0";
    assert_eq!(case.decoded().dedupe_key, key);
}

#[test]
fn the_greeting_is_exactly_that() {
    let headers = HeaderMap::new();
    let greets = |headers: &HeaderMap, body: &[u8]| ME.greets(Incoming::new(headers, body, NOW));
    assert!(greets(&headers, fixture!("woocommerce/ping.form")));
    for body in [
        &b"webhook_id="[..],
        b"webhook_id=1&a=b",
        b"webhook_id=x",
        b"{}",
        b"webhook_id=111111111111111111111",
    ] {
        assert!(!greets(&headers, body));
    }
    let signed = super::super::tests::header_map(&[(HEADER, "AAAA")]);
    assert!(!greets(&signed, fixture!("woocommerce/ping.form")), "what is signed is verified");
    assert!(!Provider::Stripe.greets(Incoming::new(&headers, b"webhook_id=1", NOW)));
}

#[test]
fn an_order_is_paid_once_it_is_processed() {
    let paid = |order_keys: Vec<String>| Notice::Paid {
        order_keys,
        renewal: false,
        amount: money(2_935, "USD"),
        payer: Payer {
            customer: Some("woocommerce:26".into()),
            person: person(Some("john.doe@example.com".into()), Some("John Doe".into())),
            wclid: Some("T".into()),
        },
        subscription: None,
        occurred_at: at("2017-03-22T19:28:08Z"),
    };
    let own = "wc_order_58d2d042d1d".to_owned();
    assert_eq!(notices(ME, &order(|_| ())), [paid(vec![own.clone()])]);
    assert_eq!(notices(ME, &order(|o| o["status"] = json!("completed"))), [paid(vec![own.clone()])]);
    let stripe = order(|o| o["transaction_id"] = json!("pi_1"));
    assert_eq!(notices(ME, &stripe), [paid(vec![own, "pi_1".into()])], "Stripe may report it too");
    let old = order(|o| o["order_key"] = json!(null));
    assert_eq!(notices(ME, &old), [paid(vec!["woocommerce:727".into()])]);
    for status in ["pending", "on-hold", "cancelled", "failed", "checkout-draft"] {
        assert_eq!(notices(ME, &order(|o| o["status"] = json!(status))), [], "{status}");
    }
    assert_eq!(notices(ME, br#"{"id": 1, "name": "a product"}"#), []);
}

#[test]
fn refunds_are_listed_or_the_whole() {
    let body = order(|o| o["refunds"] = json!([{"id": 1, "total": "-10.00"}, {"id": 2, "total": "-0.35"}]));
    let all = notices(ME, &body);
    let back: Vec<_> = all[1..]
        .iter()
        .map(|notice| match notice {
            Notice::Refunded { returned: Returned::Single { refund, amount, reversed: false }, .. } => {
                (refund.as_str(), amount.amount)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(back, [("1", 1_000), ("2", 35)]);
    let whole = notices(ME, &order(|o| o["status"] = json!("refunded")));
    let [Notice::Paid { .. }, Notice::Refunded { returned, .. }] = &whole[..] else { panic!() };
    assert_eq!(*returned, Returned::Cumulative(money(2_935, "USD")));
    let never_paid = order(|o| {
        o["status"] = json!("refunded");
        o["date_paid_gmt"] = json!(null);
    });
    assert_eq!(notices(ME, &never_paid), []);
    for bad in ["-5.00", "1.234", "", "1,00"] {
        assert!(decode_only(ME, &order(|o| o["total"] = json!(bad))).is_err(), "{bad}");
    }
}

#[test]
fn subscriptions_of_the_plugin() {
    let renewal = order(|o| o["meta_data"] = json!([{"key": RENEWAL, "value": 700}]));
    let [Notice::Paid { renewal: true, subscription, .. }] = &notices(ME, &renewal)[..] else { panic!() };
    assert_eq!(subscription.as_deref(), Some("woocommerce:700"));
    let changed = order(|o| {
        o["billing_period"] = json!("month");
        o["billing_interval"] = json!("3");
        o["status"] = json!("on-hold");
    });
    let [Notice::Subscription { subscription, status, price, interval, .. }] = &notices(ME, &changed)[..]
    else {
        panic!()
    };
    assert_eq!((subscription.as_str(), status.as_str()), ("woocommerce:727", "on-hold"));
    assert_eq!((*price, interval.clone()), (Some(money(2_935, "USD")), Some(("month".to_owned(), 3))));
}
