use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use super::*;
use crate::providers::Provider;
use crate::providers::tests::{Case, at, base64_of, decode_only, fixture, money as of, notices};

const ME: Provider = Provider::PayPal;
const CAPTURE: &[u8] = fixture!("paypal/PAYMENT.CAPTURE.COMPLETED.json");
const REFUND: &[u8] = fixture!("paypal/PAYMENT.CAPTURE.REFUNDED.json");

fn pem(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/webhooks/paypal/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn signed(body: &[u8], webhook: &str) -> Case {
    let key = RsaKeyPair::from_pkcs8(fixture!("paypal/test_key.pk8")).unwrap();
    let (id, time) = ("69cd13f0-d67a-11e5-baa3-778b53f4ae55", "2016-02-18T20:01:35Z");
    let message = format!("{id}|{time}|{webhook}|{}", crc32(body));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
    let signature = base64_of(&signature);
    let headers = [
        (ID, id),
        (TIME, time),
        (SIGNATURE, &signature),
        (CERT_URL, "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270"),
        (ALGORITHM, "SHA256withRSA"),
    ];
    let settings = Settings { certificate: Some(pem("cert.pem")), ..Settings::default() };
    Case { settings, ..Case::new(ME, webhook, &headers, body) }
}

#[test]
fn the_scheme_holds() {
    signed(CAPTURE, "1JE4291016473214C").holds(&[ID, TIME, SIGNATURE, ALGORITHM]);
}

#[test]
fn the_certificate_is_the_endpoints_own() {
    let case = signed(CAPTURE, "W");
    let with = |certificate: Option<String>| {
        let settings = Settings { certificate, ..Settings::default() };
        Case { settings, ..case.clone() }.verdict()
    };
    assert_eq!(with(Some(pem("other.pem"))), Err(Refusal::SignatureMismatch));
    assert_eq!(with(Some(pem("other.pem") + &pem("cert.pem"))), Ok(()), "the new one beside the old");
    assert_eq!(with(None), Err(Refusal::SignatureMismatch));
    let check = |certificate: Option<String>| {
        check_settings(&Settings { certificate, ..Settings::default() }).is_ok()
    };
    assert!(check(Some(pem("cert.pem"))));
    for bad in [
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE-----\nAAAA",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    ] {
        assert!(!check(Some(bad.to_owned())), "{bad}");
    }
    assert!(!check(None) && !check(Some(pem("ec.pem"))), "not RSA");
    assert!(!check(Some(pem("cert.pem").repeat(5))));
}

#[test]
fn the_certificates_host_is_paypals() {
    for good in ["https://api.paypal.com/c", "https://api.sandbox.paypal.com/v1/certs/1"] {
        assert!(is_paypals(good), "{good}");
    }
    for bad in [
        "",
        "http://api.paypal.com/c",
        "https://api.paypal.com.evil.example/c",
        "https://evilpaypal.com/c",
        "https://user@api.paypal.com/c",
        "https://api.paypal.com:8443/c",
        "https://api.paypal.com@evil.example/c",
        "https://evil.example/?api.paypal.com",
    ] {
        assert!(!is_paypals(bad), "{bad}");
        let mut case = signed(CAPTURE, "W");
        case.headers.insert(CERT_URL, bad.parse().unwrap());
        assert_eq!(case.verdict(), Err(Refusal::SignatureMalformed(CERT_URL)));
    }
}

#[test]
fn the_checksum_is_the_usual_one() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    assert_eq!(crc32(b""), 0);
}

#[test]
fn a_capture() {
    let paid = |wclid: Option<&str>| Notice::Paid {
        order_keys: vec!["paypal:27M47624FP291604U".into()],
        renewal: false,
        amount: of(251, "USD"),
        payer: Payer { wclid: wclid.map(str::to_owned), ..Payer::default() },
        subscription: None,
        occurred_at: at("2019-02-14T21:49:58Z"),
    };
    let decoded = decode_only(ME, CAPTURE).unwrap();
    assert_eq!(decoded.dedupe_key, "WH-58D329510W468432D-8HN650336L201105X");
    assert_eq!((decoded.livemode, decoded.notices), (true, vec![paid(None)]));
    let mut body: Value = serde_json::from_slice(CAPTURE).unwrap();
    body["resource"]["custom_id"] = json!("T");
    assert_eq!(notices(ME, body.to_string().as_bytes()), [paid(Some("T"))]);
    let sandbox = body.to_string().replace("api.paypal.com", "api.sandbox.paypal.com");
    assert!(!decode_only(ME, sandbox.as_bytes()).unwrap().livemode);
}

#[test]
fn a_refund_tells_itself_and_the_total() {
    let refunded = |returned| Notice::Refunded {
        order_keys: vec!["paypal:0JF852973C016714D".into()],
        returned,
        reason: RefundReason::Refund,
        occurred_at: at("2018-08-15T19:13:29Z"),
    };
    let single =
        Returned::Single { refund: "1Y107995YT783435V".into(), amount: of(99, "USD"), reversed: false };
    let total = Returned::Cumulative(of(198, "USD"));
    assert_eq!(notices(ME, REFUND), [refunded(single), refunded(total)]);
}

fn event(kind: &str, resource: Value) -> Vec<Notice> {
    let body = json!({"id": "WH-1", "event_type": kind, "create_time": "2026-11-21T10:00:00Z", "resource": resource});
    notices(ME, body.to_string().as_bytes())
}

#[test]
fn version_1_sales() {
    let sale = json!({"id": "S1", "amount": {"total": "0.48", "currency": "USD"}, "custom": "T",
        "billing_agreement_id": "I-1", "create_time": "2026-11-20T10:00:00Z"});
    let all = event("PAYMENT.SALE.COMPLETED", sale);
    let [Notice::Paid { order_keys, amount, payer, subscription, .. }] = &all[..] else { panic!() };
    assert_eq!((order_keys[0].as_str(), *amount), ("paypal:S1", of(48, "USD")));
    assert_eq!((payer.wclid.as_deref(), subscription.as_deref()), (Some("T"), Some("I-1")));
    let refund = json!({"id": "R1", "sale_id": "S1", "amount": {"total": "-0.01", "currency": "USD"}});
    let all = event("PAYMENT.SALE.REFUNDED", refund);
    let [Notice::Refunded { order_keys, returned, .. }] = &all[..] else { panic!() };
    assert_eq!(order_keys[0], "paypal:S1");
    let refund = "R1".to_owned();
    assert_eq!(*returned, Returned::Single { refund, amount: of(1, "USD"), reversed: false });
}

#[test]
fn disputes_and_reversals_are_one_record() {
    let dispute = |kind: &str, stage: &str, outcome: Value| {
        let resource = json!({"dispute_id": "PP-D-1", "dispute_amount": {"currency_code": "USD", "value": "2.51"},
            "disputed_transactions": [{"seller_transaction_id": "C1"}], "dispute_life_cycle_stage": stage,
            "dispute_outcome": {"outcome_code": outcome}});
        let all = event(kind, resource);
        let [Notice::Disputed { dispute, order_keys, state, amount, .. }] = &all[..] else { panic!() };
        assert_eq!((dispute.as_str(), order_keys[0].as_str()), ("dispute of C1", "paypal:C1"));
        assert_eq!(*amount, of(251, "USD"));
        *state
    };
    assert_eq!(dispute("CUSTOMER.DISPUTE.CREATED", "CHARGEBACK", json!(null)), DisputeState::Open);
    assert_eq!(dispute("CUSTOMER.DISPUTE.CREATED", "INQUIRY", json!(null)), DisputeState::Inquiry);
    let resolved = |outcome: &str| dispute("CUSTOMER.DISPUTE.RESOLVED", "CHARGEBACK", json!(outcome));
    assert_eq!(resolved("RESOLVED_BUYER_FAVOUR"), DisputeState::Lost);
    assert_eq!(resolved("RESOLVED_SELLER_FAVOUR"), DisputeState::Won);
    let reversal = json!({"id": "R", "amount": {"currency_code": "USD", "value": "2.51"},
        "links": [{"rel": "up", "href": "https://api.paypal.com/v2/payments/captures/C1"}]});
    let all = event("PAYMENT.CAPTURE.REVERSED", reversal);
    let [Notice::Disputed { dispute, state: DisputeState::Lost, .. }] = &all[..] else { panic!() };
    assert_eq!(dispute, "dispute of C1");
}

#[test]
fn subscriptions() {
    let status = |word: &str, status: Value| {
        let resource = json!({"id": "I-1", "status": status, "custom_id": "T",
            "subscriber": {"payer_id": "P1", "email_address": "a@b.example"}});
        let all = event(&format!("BILLING.SUBSCRIPTION.{word}"), resource);
        let [Notice::Subscription { subscription, payer, status, .. }] = &all[..] else { panic!() };
        assert_eq!((subscription.as_str(), payer.customer.as_deref()), ("I-1", Some("P1")));
        assert_eq!(payer.wclid.as_deref(), Some("T"));
        status.clone()
    };
    assert_eq!(status("ACTIVATED", json!("ACTIVE")), "active");
    assert_eq!(status("CANCELLED", json!(null)), "cancelled");
    assert_eq!(status("PAYMENT.FAILED", json!("ACTIVE")), "past_due");
}
