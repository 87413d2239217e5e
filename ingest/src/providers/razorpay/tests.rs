use serde_json::{Value, json};

use super::*;
use crate::providers::Provider;
use crate::providers::tests::{Case, at, decode_only, fixture, hex_of, hmac_sha256, money, notices};

const ME: Provider = Provider::Razorpay;

#[test]
fn the_scheme_holds() {
    let body = fixture!("razorpay/payment.captured.json");
    let signature = hex_of(&hmac_sha256(b"secret", &[body]));
    Case::new(ME, "secret", &[(HEADER, &signature)], body).holds(&[HEADER]);
}

fn names(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

fn gaurav() -> Payer {
    Payer { person: person(Some("gaurav.kumar@example.com".into()), None), ..Payer::default() }
}

#[test]
fn captured_and_order_paid_are_one_order() {
    let paid = Notice::Paid {
        order_keys: names(&["order_DESlLckIVRkHWj", "pay_DESlfW9H8K9uqM"]),
        renewal: false,
        amount: money(100, "INR"),
        payer: gaurav(),
        subscription: None,
        occurred_at: at("2019-09-05T09:09:59Z"),
    };
    assert_eq!(notices(ME, fixture!("razorpay/payment.captured.json")), std::slice::from_ref(&paid));
    assert_eq!(notices(ME, fixture!("razorpay/order.paid.json")), [paid]);
    let key = |body| decode_only(ME, body).unwrap().dedupe_key;
    assert_eq!(
        key(fixture!("razorpay/payment.captured.json")),
        "pay_DESlfW9H8K9uqM:payment.captured:captured"
    );
    assert_eq!(key(fixture!("razorpay/order.paid.json")), "order_DESlLckIVRkHWj:order.paid:paid");
}

#[test]
fn a_payment_link_names_its_order_with_the_prefix() {
    let [Notice::Paid { order_keys, amount, .. }] =
        &notices(ME, fixture!("razorpay/payment_link.paid.json"))[..]
    else {
        panic!()
    };
    assert_eq!(*order_keys, ["order_QflczVVaNJciLq", "pay_Qfldmt5StKZFCB", "plink_QflcnnZqCekuvL"]);
    assert_eq!(*amount, money(1_000, "INR"));
    assert!(decode_only(ME, fixture!("razorpay/payment_link.paid.json")).unwrap().livemode);
    let text = String::from_utf8(fixture!("razorpay/payment_link.paid.json").to_vec()).unwrap();
    let test = text.replace("rzp_live_", "rzp_test_");
    assert!(!decode_only(ME, test.as_bytes()).unwrap().livemode);
}

#[test]
fn refunds_and_disputes() {
    let order_keys = names(&["order_FPoIeimWki9j8A", "pay_FPoJKWQQ8lK13n"]);
    let returned = Returned::Single {
        refund: "rfnd_FS8TWyPrCsa0OB".into(),
        amount: money(50_000, "INR"),
        reversed: false,
    };
    let (reason, occurred_at) = (RefundReason::Refund, at("2020-08-18T07:01:11Z"));
    let refunded = Notice::Refunded { order_keys, returned, reason, occurred_at };
    assert_eq!(notices(ME, fixture!("razorpay/refund.processed.json")), [refunded]);
    let disputed = |body| {
        let all = notices(ME, body);
        let [Notice::Disputed { order_keys, dispute, amount, state, .. }] = &all[..] else { panic!() };
        assert_eq!(*order_keys, ["order_EFtkA6f5jdkfud", "pay_EFtmUsbwpXwBHI"]);
        assert_eq!((dispute.as_str(), *amount), ("disp_EsIAlDcoUr8CaQ", money(39_000, "INR")));
        *state
    };
    assert_eq!(disputed(fixture!("razorpay/payment.dispute.created.json")), DisputeState::Open);
    assert_eq!(disputed(fixture!("razorpay/payment.dispute.lost.json")), DisputeState::Lost);
    let text = String::from_utf8(fixture!("razorpay/payment.dispute.lost.json").to_vec()).unwrap();
    let won = text.replace("dispute.lost", "dispute.won").replace("\"lost\"", "\"won\"");
    assert_eq!(disputed(won.as_bytes()), DisputeState::Won);
}

#[test]
fn subscriptions() {
    let [Notice::Paid { order_keys, renewal, amount, payer, subscription, .. }] =
        &notices(ME, fixture!("razorpay/subscription.charged.json"))[..]
    else {
        panic!()
    };
    assert_eq!(*order_keys, ["order_DEXFWXwO24pDxH", "pay_DEXFWroJ6LikKT"]);
    assert_eq!((*renewal, *amount), (false, money(100_000, "INR")));
    assert_eq!(payer.customer.as_deref(), Some("cust_C0WlbKhp3aLA7W"));
    assert_eq!(subscription.as_deref(), Some("sub_DEX6xcJ1HSW4CR"));
    let text = String::from_utf8(fixture!("razorpay/subscription.charged.json").to_vec()).unwrap();
    let second = text.replace("\"paid_count\": 1", "\"paid_count\": 2");
    let [Notice::Paid { renewal: true, .. }] = &notices(ME, second.as_bytes())[..] else { panic!() };
    let status = |body| {
        let [Notice::Subscription { status, .. }] = &notices(ME, body)[..] else { panic!() };
        status.clone()
    };
    assert_eq!(status(fixture!("razorpay/subscription.activated.json")), "active");
    assert_eq!(status(fixture!("razorpay/subscription.cancelled.json")), "cancelled");
    assert_eq!(notices(ME, fixture!("razorpay/payment.failed.json")), []);
}

#[test]
fn the_click_travels_in_the_notes() {
    let wclid = |notes: Value| {
        let payment =
            json!({"id": "pay_1", "amount": 5, "currency": "INR", "captured": true, "notes": notes});
        let body = json!({"event": "payment.captured", "created_at": 1, "payload": {"payment": {"entity": payment}}});
        let [Notice::Paid { payer, .. }] = &notices(ME, body.to_string().as_bytes())[..] else { panic!() };
        payer.wclid.clone()
    };
    assert_eq!(wclid(json!({"wclid": "T"})).as_deref(), Some("T"));
    assert_eq!((wclid(json!([])), wclid(json!(null)), wclid(json!({"a": 1}))), (None, None, None));
}
