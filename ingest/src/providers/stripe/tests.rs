use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
use sha2::Sha256;

use super::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/webhooks/stripe/", $name)).as_slice()
    };
}

fn signature(secret: &str, signed_at: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(signed_at.as_bytes());
    mac.update(b".");
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect()
}

fn verdict(header: &str, secrets: &[&str], body: &[u8], now: Timestamp) -> Result<(), Refusal> {
    let mut headers = HeaderMap::new();
    headers.insert("stripe-signature", HeaderValue::from_str(header).unwrap());
    let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
    verify(&secrets, Incoming::new(&headers, body, now))
}

#[test]
fn the_published_vector_verifies_and_a_changed_byte_does_not() {
    let vectors: serde_json::Value =
        serde_json::from_slice(include_bytes!("../../../tests/webhooks/vectors.json")).unwrap();
    let vector = &vectors[0];
    let (secret, header) =
        (vector["secret"].as_str().unwrap(), vector["headers"]["Stripe-Signature"].as_str().unwrap());
    let now = Timestamp(vector["now"].as_i64().unwrap() * 1_000);
    let body = fixture!("async_stripe_invoiceitem_created.json");
    assert_eq!(verdict(header, &[secret], body, now), Ok(()));
    let mut changed = body.to_vec();
    for at in [0, 100, body.len() - 1] {
        changed[at] ^= 1;
        assert_eq!(verdict(header, &[secret], &changed, now), Err(Refusal::SignatureMismatch), "{at}");
        changed[at] ^= 1;
    }
    let late = Timestamp(now.0 + 301_000);
    assert_eq!(verdict(header, &[secret], body, late), Err(Refusal::SignatureTime(301)));
}

#[test]
fn secrets_and_signatures_rotate() {
    let body = b"{}";
    let good = signature("whsec_new", "1700000000", body);
    let header = format!("t=1700000000,v1={},v1={good},v0=00", "00".repeat(32));
    assert_eq!(verdict(&header, &["whsec_old", "whsec_new"], body, NOW), Ok(()));
    assert_eq!(verdict(&header, &["whsec_old"], body, NOW), Err(Refusal::SignatureMismatch));
    let only_v0 = format!("t=1700000000,v0={good}");
    assert_eq!(verdict(&only_v0, &["whsec_new"], body, NOW), Err(Refusal::SignatureMalformed(HEADER)));
}

#[test]
fn malformed_headers_are_refused() {
    for bad in ["", "t=1", "v1=00", "t=,v1=00", "t=x,v1=00", "t=-1,v1=00", "t=1,v1", "t=1;v1=00", "t=1,v1=zz"]
    {
        assert_eq!(verdict(bad, &["s"], b"{}", NOW), Err(Refusal::SignatureMalformed(HEADER)), "{bad}");
    }
    let headers = HeaderMap::new();
    let missing = verify(&["s".to_owned()], Incoming::new(&headers, b"", NOW));
    assert_eq!(missing, Err(Refusal::SignatureMissing(HEADER)));
}

fn decode(body: &[u8]) -> Result<Decoded, Refusal> {
    super::decode(Incoming::new(&HeaderMap::new(), body, NOW))
}

fn only_notice(body: &[u8]) -> Notice {
    let mut notices = decode(body).unwrap().notices;
    assert_eq!(notices.len(), 1);
    notices.remove(0)
}

#[test]
fn a_paid_checkout_is_an_order_with_all_its_names() {
    let decoded = decode(fixture!("checkout_session_completed.json")).unwrap();
    assert_eq!(decoded.event_type, "checkout.session.completed");
    assert_eq!(decoded.dedupe_key, "evt_T8nSaZqtPudigUMqnnbY4D4v");
    let Notice::Paid { order_keys, renewal, amount, payer, occurred_at, .. } = &decoded.notices[0] else {
        panic!()
    };
    assert_eq!(order_keys[0], "pi_1IqxJOJDPojXS6LN9uOebAea");
    assert!(
        order_keys.iter().any(|key| key.starts_with("cs_"))
            && order_keys.iter().any(|key| key.starts_with("in_"))
    );
    assert_eq!((*renewal, *amount), (false, Money { amount: 999, currency: Currency::EUR }));
    assert_eq!(payer.customer.as_deref(), Some("cus_IhGfebO16cMIGN"));
    assert_eq!(payer.person.as_ref().unwrap().email.as_deref(), Some("billz@supabase.io"));
    assert_eq!(*occurred_at, Timestamp(1_619_697_430_000));
}

#[test]
fn the_other_samples_mean_what_they_say() {
    let Notice::Paid { order_keys, amount, .. } = only_notice(fixture!("payment_intent_succeeded.json"))
    else {
        panic!()
    };
    assert_eq!((order_keys, amount.amount), (vec!["pi_1IqxJOJDPojXS6LN9uOebAea".to_owned()], 1_000));
    let Notice::Paid { renewal, amount, .. } = only_notice(fixture!("invoice_paid.json")) else { panic!() };
    assert_eq!((renewal, amount.amount), (true, 0));
    let Notice::Refunded { order_keys, returned, .. } = only_notice(fixture!("charge_refunded.json")) else {
        panic!()
    };
    assert_eq!(order_keys.last().unwrap(), "ch_3Kl36gJDPojXS6LN0DCM4A8l");
    assert_eq!(returned, Returned::Cumulative(Money { amount: 2_500, currency: Currency::USD }));
    let Notice::Disputed { state, amount, .. } = only_notice(fixture!("charge_dispute_created.json")) else {
        panic!()
    };
    assert_eq!((state, amount.amount), (DisputeState::Inquiry, 1_000));
    let Notice::Subscription { subscription, interval, .. } =
        only_notice(fixture!("subscription_created.json"))
    else {
        panic!()
    };
    assert_eq!((subscription.as_str(), interval), ("sub_JdIzvfy6o5GZRd", Some(("month".to_owned(), 1))));
    assert_eq!(decode(fixture!("async_stripe_invoiceitem_created.json")).unwrap().notices, []);
}

fn event(kind: &str, object: serde_json::Value) -> Vec<u8> {
    serde_json::to_vec(&serde_json::json!({
        "id": "evt_1", "type": kind, "created": 1_700_000_000, "livemode": true, "data": {"object": object}
    }))
    .unwrap()
}

#[test]
fn the_click_travels_in_the_reference_or_the_metadata() {
    let session = |extra: serde_json::Value| {
        let mut object = serde_json::json!({"id": "cs_1", "mode": "payment", "payment_status": "paid",
            "amount_total": 100, "currency": "usd", "client_reference_id": "ref",
            "payment_intent": {"id": "pi_1"}});
        object.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let Notice::Paid { payer, order_keys, .. } =
            only_notice(&event("checkout.session.completed", object))
        else {
            panic!()
        };
        assert_eq!(order_keys, ["pi_1", "cs_1"], "an expanded reference is still an id");
        payer.wclid
    };
    assert_eq!(session(serde_json::json!({})).as_deref(), Some("ref"));
    assert_eq!(session(serde_json::json!({"metadata": {"wclid": "token"}})).as_deref(), Some("token"));
}

#[test]
fn newer_invoices_name_their_payments_and_subscription_elsewhere() {
    let object = serde_json::json!({"id": "in_1", "amount_paid": 700, "currency": "usd",
        "billing_reason": "subscription_create",
        "parent": {"subscription_details": {"subscription": "sub_1", "metadata": {"wclid": "token"}}},
        "payments": {"data": [{"payment": {"type": "payment_intent", "payment_intent": "pi_9"}}]}});
    let Notice::Paid { order_keys, subscription, payer, renewal, .. } =
        only_notice(&event("invoice.paid", object))
    else {
        panic!()
    };
    assert_eq!(order_keys, ["in_1", "pi_9"]);
    assert_eq!(
        (subscription.as_deref(), payer.wclid.as_deref(), renewal),
        (Some("sub_1"), Some("token"), false)
    );
}

#[test]
fn what_is_not_money_yet_is_nothing() {
    let unpaid = serde_json::json!({"id": "cs_1", "mode": "payment", "payment_status": "unpaid"});
    assert_eq!(decode(&event("checkout.session.completed", unpaid)).unwrap().notices, []);
    let reserved = serde_json::json!({"id": "ch_1", "captured": false, "amount": 5, "currency": "usd"});
    assert_eq!(decode(&event("charge.succeeded", reserved)).unwrap().notices, []);
    assert_eq!(decode(&event("some.new.event", serde_json::json!({}))).unwrap().notices, []);
}

#[test]
fn stripes_special_currencies_become_iso_minor_units() {
    let amount = |amount, currency| money(amount, Some(currency)).map(|money| money.amount);
    assert_eq!(
        (amount(500, "jpy"), amount(500, "isk"), amount(5, "mga"), amount(5, "kwd")),
        (Ok(500), Ok(5), Ok(500), Ok(5))
    );
    assert!(amount(-1, "usd").is_err() && amount(i64::MAX, "usd").is_err() && money(1, None).is_err());
}

#[test]
fn broken_bodies_are_malformed() {
    for body in [&b""[..], b"{", b"[]", b"{\"id\":\"evt_1\"}", b"\xff"] {
        assert!(matches!(decode(body), Err(Refusal::Malformed(_))));
    }
    let wrong = event("charge.refunded", serde_json::json!({"id": 7}));
    assert!(matches!(decode(&wrong), Err(Refusal::Malformed(_))));
}
