use super::*;
use crate::providers::Provider;
use crate::providers::tests::{Case, at as time_at, decode_only, fixture, hex_of, money, notices};

const ME: Provider = Provider::Fondy;
const SAMPLE: &[u8] = fixture!("fondy/flitt_docs_callback.json");

#[test]
fn the_published_string_is_what_is_signed() {
    let fields = fields(SAMPLE).unwrap();
    // The documentation masks its secret, `test`, wherever the text has it.
    let string = format!("test{}", signed(&fields)).replace("test", "**********");
    assert_eq!(string, fields["response_signature_string"]);
}

/// Found by the fuzz target: it panicked, and with it `weir hooks sign`.
#[test]
fn only_an_object_is_signed() {
    for body in ["\"text\"", "7", "[]", "true"] {
        assert!(sign("secret", body.as_bytes()).is_err(), "{body}");
    }
    assert!(sign("secret", b"{}").is_ok());
}

fn sha1(secret: &str, fields: &Fields) -> String {
    hex_of(&Sha1::new().chain_update(secret).chain_update(signed(fields)).finalize())
}

/// The sample with `changes`, signed.
fn callback(changes: &[(&str, &str)]) -> Vec<u8> {
    let mut body: Value = serde_json::from_slice(SAMPLE).unwrap();
    for (key, value) in changes {
        body[key] = Value::String((*value).to_owned());
    }
    let text = serde_json::to_vec(&body).unwrap();
    body["signature"] = Value::String(sha1("secret", &fields(&text).unwrap()));
    serde_json::to_vec(&body).unwrap()
}

#[test]
fn the_scheme_holds() {
    let case = |body: &[u8]| Case::new(ME, "secret", &[], body);
    let good = callback(&[]);
    assert_eq!(case(&good).verdict(), Ok(()));
    assert_eq!(Case::new(ME, "other", &[], &good).verdict(), Err(Refusal::SignatureMismatch));
    assert_eq!(case(SAMPLE).verdict(), Err(Refusal::SignatureMismatch));
    let unsigned = br#"{"order_id": "1"}"#;
    assert_eq!(case(unsigned).verdict(), Err(Refusal::SignatureMissing(FIELD)));
    let not_hex = br#"{"order_id": "1", "signature": "xyz"}"#;
    assert_eq!(case(not_hex).verdict(), Err(Refusal::SignatureMalformed(FIELD)));
    // Every bit of every signed value, and of the signature.
    let body: Value = serde_json::from_slice(&good).unwrap();
    for (key, value) in body.as_object().unwrap() {
        let Some(text) = value.as_str().filter(|text| !text.is_empty()) else { continue };
        if key == "response_signature_string" {
            continue;
        }
        for bit in 0..text.len() * 8 {
            let mut bytes = text.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            let mut body = body.clone();
            body[key] = Value::String(changed);
            assert!(case(&serde_json::to_vec(&body).unwrap()).verdict().is_err(), "bit {bit} of {key}");
        }
    }
}

#[test]
fn a_form_is_signed_alike() {
    let mut pairs = fields(SAMPLE).unwrap();
    pairs.insert("signature".to_owned(), sha1("secret", &pairs));
    let form: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
    let case = Case::new(ME, "secret", &[], form.as_bytes());
    assert_eq!(case.verdict(), Ok(()));
    assert_eq!(case.decoded().notices, notices(ME, SAMPLE));
}

#[test]
fn an_approved_order_is_paid() {
    let decoded = decode_only(ME, SAMPLE).unwrap();
    assert_eq!(decoded.dedupe_key, "805243692:approved:0");
    assert_eq!((decoded.event_type.as_str(), decoded.livemode), ("order.approved", false));
    let paid = Notice::Paid {
        order_keys: vec!["fondy:test33694502191".into(), "fondy:payment:805243692".into()],
        renewal: false,
        amount: money(200, "GEL"),
        payer: Payer { customer: None, person: person(Some("test@test.com".into()), None), wclid: None },
        subscription: None,
        occurred_at: super::super::tests::NOW,
    };
    assert_eq!(decoded.notices, [paid], "the sample's time is after the test's now");
    assert!(time_at("2024-07-13T01:23:59Z") > super::super::tests::NOW);
}

#[test]
fn what_is_reversed_is_cumulative() {
    let back = |changes: &[(&str, &str)]| {
        let all = notices(ME, &callback(changes));
        let [Notice::Paid { .. }, Notice::Refunded { returned: Returned::Cumulative(total), .. }] = &all[..]
        else {
            panic!("{all:?}")
        };
        total.amount
    };
    assert_eq!(back(&[("reversal_amount", "50")]), 50);
    assert_eq!(back(&[("reversal_amount", "120"), ("order_status", "reversed")]), 120);
    assert_eq!(back(&[("reversal_amount", "0"), ("order_status", "reversed")]), 200);
    assert_eq!(notices(ME, &callback(&[("order_status", "declined")])), []);
    for bad in ["-1", "1.5", "1e2", "99999999999999999999"] {
        assert!(decode_only(ME, &callback(&[("amount", bad)])).is_err(), "{bad}");
    }
}

#[test]
fn the_click_and_the_subscription() {
    let paid = |changes: &[(&str, &str)]| {
        let Notice::Paid { payer, renewal, subscription, .. } = notices(ME, &callback(changes)).remove(0)
        else {
            panic!()
        };
        (payer.wclid, renewal, subscription)
    };
    let token = "A".repeat(weir_engine::token::TOKEN_CHARS);
    for data in [token.clone(), format!("wclid={token}"), format!("{{\"wclid\":\"{token}\"}}")] {
        assert_eq!(paid(&[("merchant_data", &data)]).0.as_ref(), Some(&token));
    }
    assert_eq!(paid(&[("order_id", &token)]).0, Some(token));
    assert_eq!(paid(&[("rectoken", "r")]).2.as_deref(), Some("fondy:test33694502191"));
    let renewed = paid(&[("parent_order_id", "test33694502191")]);
    assert_eq!((renewed.1, renewed.2.as_deref()), (true, Some("fondy:test33694502191")));
}
