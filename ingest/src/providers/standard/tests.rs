use serde_json::json;
use weir_schemas::conversion::RefundReason;
use weir_schemas::fact::{DisputeState, Returned};

use crate::providers::tests::{Case, NOW, at, base64_of, decode_only, fixture, hmac_sha256, money, notices};
use crate::providers::{Notice, Payer, Provider, Refusal};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn signed(body: &[u8]) -> Case {
    let key = super::base64(&SECRET[6..]).unwrap();
    let mac = base64_of(&hmac_sha256(&key, &[b"msg_1.1700000000.", body]));
    let signature = format!("v1,{mac}");
    let headers =
        [("webhook-id", "msg_1"), ("webhook-timestamp", "1700000000"), ("webhook-signature", &signature)];
    Case::new(Provider::Standard, SECRET, &headers, body)
}

#[test]
fn the_scheme_holds() {
    let case = signed(fixture!("standard/body_test.json"));
    case.holds(&["webhook-id", "webhook-timestamp", "webhook-signature"]);
    case.ages();
    let good = case.headers["webhook-signature"].to_str().unwrap().to_owned();
    let with = |signature: &str| {
        let mut case = case.clone();
        case.headers.insert("webhook-signature", signature.parse().unwrap());
        case.verdict()
    };
    assert_eq!(with(&format!("v1a,AAAA v1,AAAA {good}")), Ok(()), "several, of several versions");
    assert_eq!(with(&good.replace("v1,", "v2,")), Err(Refusal::SignatureMalformed("webhook-signature")));
    let decoded = case.decoded();
    assert_eq!((decoded.dedupe_key.as_str(), decoded.event_type.as_str()), ("msg_1", "unknown"));
    assert_eq!(decoded.notices, []);
}

fn only(kind: &str, data: serde_json::Value) -> Notice {
    let body = json!({"id": "e1", "type": kind, "timestamp": "2026-11-21T10:00:00Z", "data": data});
    let mut all = notices(Provider::Generic, body.to_string().as_bytes());
    assert_eq!(all.len(), 1);
    all.remove(0)
}

#[test]
fn the_plain_event_says_all_that_can_happen() {
    let occurred_at = at("2026-11-21T10:00:00Z");
    let data = json!({"order_id": 1001, "amount": "19.9", "currency": "usd", "wclid": "T",
        "customer_id": "c1", "email": "a@b.example", "subscription_id": "s1"});
    let Notice::Paid { order_keys, renewal, amount, payer, subscription, occurred_at: when } =
        only("sale", data)
    else {
        panic!()
    };
    assert_eq!((order_keys, renewal, amount), (vec!["1001".to_owned()], false, money(1_990, "USD")));
    assert_eq!((payer.customer.as_deref(), payer.wclid.as_deref()), (Some("c1"), Some("T")));
    assert_eq!((subscription.as_deref(), when), (Some("s1"), occurred_at));
    let order_keys = vec!["1".to_owned()];
    let refund = json!({"order_id": "1", "refund_id": "r", "amount": 500, "currency": "JPY"});
    let returned = |reversed| Returned::Single { refund: "r".into(), amount: money(500, "JPY"), reversed };
    let refunded = |returned| Notice::Refunded {
        order_keys: order_keys.clone(),
        returned,
        reason: RefundReason::Refund,
        occurred_at,
    };
    assert_eq!(only("refund", refund.clone()), refunded(returned(false)));
    assert_eq!(only("refund.failed", refund), refunded(returned(true)));
    let total = json!({"order_id": "1", "total_refunded": "1.234", "currency": "KWD"});
    assert_eq!(only("refund", total), refunded(Returned::Cumulative(money(1_234, "KWD"))));
    let dispute = json!({"order_id": "1", "dispute_id": "d", "amount": {"amount": 7, "currency": "EUR"}});
    for (kind, state) in [
        ("dispute.opened", DisputeState::Open),
        ("dispute.won", DisputeState::Won),
        ("dispute.lost", DisputeState::Lost),
    ] {
        let (order_keys, dispute_id, amount) = (order_keys.clone(), "d".to_owned(), money(7, "EUR"));
        let expected = Notice::Disputed { order_keys, dispute: dispute_id, amount, state, occurred_at };
        assert_eq!(only(kind, dispute.clone()), expected);
    }
    let subscription = json!({"subscription_id": "s", "interval": "month"});
    let expected = Notice::Subscription {
        subscription: "s".into(),
        payer: Payer::default(),
        status: "past_due".into(),
        price: None,
        interval: Some(("month".into(), 1)),
        occurred_at,
    };
    assert_eq!(only("subscription.past_due", subscription), expected);
    let renewal = json!({"order_id": "2", "amount": 0, "currency": "USD", "occurred_at": 1_700_000_000});
    let Notice::Paid { renewal, occurred_at, .. } = only("renewal", renewal) else { panic!() };
    assert!(renewal && occurred_at == NOW);
}

#[test]
fn money_that_is_not_exact_is_refused() {
    for (amount, currency) in [
        (json!(19.99), "USD"),
        (json!("1.005"), "USD"),
        (json!(-1), "USD"),
        (json!("5"), "XYZ"),
        (json!(null), "USD"),
    ] {
        let data = json!({"order_id": "1", "amount": amount, "currency": currency});
        let body = json!({"type": "sale", "data": data}).to_string();
        assert!(
            matches!(decode_only(Provider::Generic, body.as_bytes()), Err(Refusal::Malformed(_))),
            "{body}"
        );
    }
}

#[test]
fn an_event_without_an_id_is_its_bytes() {
    let key = |body: &[u8]| decode_only(Provider::Generic, body).unwrap().dedupe_key;
    assert_eq!(key(b"{\"type\":\"x\"}"), key(b"{\"type\":\"x\"}"));
    assert_ne!(key(b"{\"type\":\"x\"}"), key(b"{\"type\":\"y\"}"));
    assert_eq!(key(b"{\"id\":7}"), "7");
}

#[test]
fn a_list_is_no_event_and_no_data() {
    let whole = json!({"order_id": "1001", "amount": "19.99", "currency": "USD"});
    let event = |data: serde_json::Value| json!({"id": "e1", "type": "sale", "data": data});
    let decoded = |event: serde_json::Value| decode_only(Provider::Generic, event.to_string().as_bytes());
    assert!(decoded(event(whole.clone())).is_ok());
    for bad in [event(json!(["1001", "19.99", "USD"])), json!(["e1", "sale", null, true, whole])] {
        assert!(matches!(decoded(bad.clone()), Err(Refusal::Malformed(_))), "{bad}");
    }
}
