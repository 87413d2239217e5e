use serde_json::{Value, json};

use super::*;
use crate::providers::Provider;
use crate::providers::tests::{
    Case, at as time_at, decode_only, fixture, hex_of, hmac_sha256, money, notices,
};

const ME: Provider = Provider::Paddle;

#[test]
fn the_scheme_holds() {
    let body = fixture!("paddle/notification.transaction.created.json");
    let signature = hex_of(&hmac_sha256(b"pdl_ntfset_1", &[b"1700000000:", body]));
    let header = format!("ts=1700000000;h1={signature}");
    let case = Case::new(ME, "pdl_ntfset_1", &[(HEADER, &header)], body);
    case.holds(&[HEADER]);
    case.ages();
    for bad in ["", "ts=1700000000", "h1=00", "ts=;h1=00", "ts=x;h1=00", "ts=1,h1=00", "ts=1;h1=zz"] {
        let mut case = case.clone();
        case.headers.insert(HEADER, bad.parse().unwrap());
        assert!(case.verdict().is_err(), "{bad}");
    }
}

/// The entity as a notification about it carries it.
fn event(kind: &str, entity: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut data: Value = serde_json::from_slice(entity).unwrap();
    change(&mut data);
    let event = json!({"event_id": "evt_1", "event_type": kind, "occurred_at": "2024-04-12T11:00:00Z",
        "notification_id": "ntf_1", "data": data});
    serde_json::to_vec(&event).unwrap()
}

#[test]
fn a_completed_transaction_is_paid() {
    let body = event("transaction.completed", fixture!("paddle/entity.transaction.completed.json"), |data| {
        data["custom_data"] = json!({"wclid": "T"});
    });
    let paid = Notice::Paid {
        order_keys: vec!["txn_01hv8wptq8987qeep44cyrewp9".into()],
        renewal: false,
        amount: money(65_215, "USD"),
        payer: Payer {
            customer: Some("ctm_01hv6y1jedq4p1n0yqn5ba3ky4".into()),
            person: None,
            wclid: Some("T".into()),
        },
        subscription: Some("sub_01hv8x29kz0t586xy6zn1a62ny".into()),
        occurred_at: time_at("2024-04-12T10:18:48.294Z"),
    };
    assert_eq!(notices(ME, &body), [paid]);
    let renewed =
        event("transaction.completed", fixture!("paddle/entity.transaction.completed.json"), |data| {
            data["origin"] = json!("subscription_recurring");
        });
    assert!(matches!(notices(ME, &renewed)[..], [Notice::Paid { renewal: true, .. }]));
    assert_eq!(notices(ME, fixture!("paddle/notification.transaction.created.json")), []);
    assert_eq!(notices(ME, fixture!("paddle/go_sdk_price_created.json")), []);
}

#[test]
fn adjustments_give_back_once_they_are_approved() {
    let adjusted = |action: &str, status: &str| {
        let body = event("adjustment.updated", fixture!("paddle/entity.adjustment.created.json"), |data| {
            data["action"] = json!(action);
            data["status"] = json!(status);
        });
        notices(ME, &body)
    };
    let as_it_is = event("adjustment.created", fixture!("paddle/entity.adjustment.created.json"), |_| ());
    assert_eq!(notices(ME, &as_it_is), [], "it is pending");
    for (status, reversed) in [("approved", false), ("rejected", true), ("reversed", true)] {
        let [Notice::Refunded { order_keys, returned, .. }] = &adjusted("refund", status)[..] else {
            panic!()
        };
        assert_eq!(*order_keys, ["txn_01hvcc93znj3mpqt1tenkjb04y"]);
        let refund = "adj_01hvgf2s84dr6reszzg29zbvcm".to_owned();
        assert_eq!(*returned, Returned::Single { refund, amount: money(100, "USD"), reversed });
    }
    for (action, expected) in [
        ("chargeback", DisputeState::Open),
        ("chargeback_reverse", DisputeState::Won),
        ("chargeback_warning", DisputeState::Inquiry),
    ] {
        let [Notice::Disputed { dispute, state, .. }] = &adjusted(action, "approved")[..] else { panic!() };
        assert_eq!((dispute.as_str(), *state), ("chargeback of txn_01hvcc93znj3mpqt1tenkjb04y", expected));
    }
    assert_eq!(adjusted("credit", "approved"), []);
}

#[test]
fn subscriptions_have_the_price_of_all_their_items() {
    let changed = |kind, entity| {
        let body = event(kind, entity, |_| ());
        let [Notice::Subscription { subscription, status, price, interval, .. }] = &notices(ME, &body)[..]
        else {
            panic!()
        };
        assert_eq!(subscription, "sub_01hv8x29kz0t586xy6zn1a62ny");
        assert_eq!(*interval, Some(("month".to_owned(), 1)));
        (status.clone(), price.unwrap())
    };
    let created = changed("subscription.created", fixture!("paddle/entity.subscription.created.json"));
    assert_eq!(created, ("active".to_owned(), money(40_000, "USD")));
    let canceled = changed("subscription.canceled", fixture!("paddle/entity.subscription.canceled.json"));
    assert_eq!(canceled, ("canceled".to_owned(), money(95_000, "USD")));
}

#[test]
fn a_replay_from_the_dashboard_is_a_repeat() {
    let text = String::from_utf8(fixture!("paddle/go_sdk_price_created.json").to_vec()).unwrap();
    let again = text.replace("ntf_01hsdn977e920kbgzt6r6c9rqc", "ntf_2");
    let [first, second] = [&text, &again].map(|body| decode_only(ME, body.as_bytes()).unwrap());
    assert_eq!((first.dedupe_key, first.repeated), (second.dedupe_key, second.repeated));
    assert!(decode_only(ME, fixture!("paddle/hello-world.txt")).is_err());
}
