//! Whatever is refused is counted, once, under the reason for which it was.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Duration;

use serde_json::json;

use super::engine::http::{connect, read_answer};
use super::engine::{text_of, wait_for};
use super::{ask, own};

/// Thousands of requests after which buffers that hold the answers would be without a bound.
const ROUNDS_MAX: usize = 1_000;

#[test]
fn every_refusal_is_counted_once_by_its_reason() {
    let shared = own(|settings| settings);
    let public = shared.engine.public;
    let hook = shared.engine.make_stripe_endpoint();
    let token =
        shared.post("/v1/postback-tokens", json!({"name": "network", "allow": ["203.0.113.0/24"]}), 201);
    let elsewhere = format!("/postback?token={}&txid=1", text_of(&token["token"]));
    let token = text_of(&shared.post("/v1/postback-tokens", json!({"name": "other"}), 201)["token"]);
    let no_json = format!("/postback?token={token}&txid=2");
    let no_amount = format!("/postback?token={token}&txid=3&payout=much");
    let signed = |value: &'static str| vec![("stripe-signature", value)];
    let as_json = || vec![("content-type", "application/json")];
    let large = "x".repeat(2 << 20);
    let refusals = [
        (404, "hooks_refused_total{reason=\"unknown_endpoint\"}", "/hooks/whk_00000000000000", vec![], "{}"),
        (401, "hooks_refused_total{reason=\"signature_missing\"}", &hook, vec![], "{}"),
        (401, "hooks_refused_total{reason=\"signature_malformed\"}", &hook, signed("nonsense"), "{}"),
        (401, "hooks_refused_total{reason=\"signature_mismatch\"}", &hook, signed("t=1,v1=00"), "{}"),
        (413, "hooks_refused_total{reason=\"too_large\"}", &hook, vec![], &large),
        (401, "postbacks_refused_total{reason=\"no_token\"}", "/postback?txid=1", vec![], ""),
        (401, "postbacks_refused_total{reason=\"unknown_token\"}", "/postback?token=x&txid=1", vec![], ""),
        (403, "postbacks_refused_total{reason=\"address\"}", &elsewhere, vec![], ""),
        (422, "postbacks_refused_total{reason=\"unreadable\"}", &no_json, as_json(), "[]"),
        (422, "postbacks_refused_total{reason=\"invalid\"}", &no_amount, vec![], ""),
    ];
    let mut expected = BTreeSet::new();
    for (status, counter, path, headers, body) in refusals {
        let answer = ask(public, "POST", path, &headers, body.as_bytes());
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        expected.insert(format!("weir_{counter} 1"));
    }
    // What no route ever sees: a head that is none, one that is too large, one that does not end. A connection that
    // sends nothing at all is only let go.
    let send = |listener, bytes: &[u8]| {
        let mut connection = connect(listener).expect("the listener accepts");
        connection.get_mut().write_all(bytes).expect("a socket's buffer holds it");
        connection
    };
    let status = |mut connection| read_answer(&mut connection, "GET").map(|(answer, _)| answer.status).ok();
    let listeners = [("public", public), ("admin", shared.engine.admin)];
    let slow =
        listeners.map(|(_, listener)| [b"GET / HTTP/1.1\r\n", &b""[..]].map(|head| send(listener, head)));
    // One asks on and on and reads nothing, until nothing more goes out either.
    let unread = [(public, "/nobody-has-this"), (shared.engine.admin, "/healthz")].map(|(listener, path)| {
        let mut connection = connect(listener).expect("the listener accepts");
        connection.get_mut().set_write_timeout(Some(Duration::from_secs(5))).expect("a time limit");
        let requests = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").repeat(1_000);
        let mut sent = (0..ROUNDS_MAX).map(|_| connection.get_mut().write_all(requests.as_bytes()));
        assert!(sent.any(|sent| sent.is_err()), "{path} goes on being answered though nobody reads");
        connection
    });
    for (name, listener) in listeners {
        assert_eq!(status(send(listener, b"nonsense\r\n\r\n")), Some(400));
        let head = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", &large[..20_000]);
        assert_eq!(status(send(listener, head.as_bytes())), Some(431));
        for reason in ["malformed", "head_too_large", "head_timeout", "write_stalled"] {
            expected.insert(format!("weir_{name}_requests_refused_total{{reason=\"{reason}\"}} 1"));
        }
    }
    assert!(slow.into_iter().flatten().map(status).all(|status| status.is_none()));
    // A sale is kept whatever its token is worth; the claim is what is refused.
    let amount = json!({"amount": 100, "currency": "EUR"});
    let sale = json!({"event": "sale", "order_id": "o-1", "amount": amount, "wclid": "forged"});
    shared.post("/v1/conversions", sale, 201);
    expected.insert("weir_claims_refused_total{reason=\"not_genuine\"} 1".to_owned());
    let counted = || -> BTreeSet<String> {
        let text = shared.engine.api("GET", "/metrics", None).text();
        text.lines().filter(|line| line.contains("_refused_total{")).map(str::to_owned).collect()
    };
    wait_for("those who read nothing are let go", || (counted().len() >= expected.len()).then_some(()));
    assert_eq!(counted(), expected);
    drop(unread);
}
