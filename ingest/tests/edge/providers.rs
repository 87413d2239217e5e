//! One delivery of every provider through the real listener, and the life of an endpoint's secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use sha2::Sha256;
use weir_schemas::ids::{EndpointId, WorkspaceId};
use weir_schemas::time::Timestamp;

use super::{ADMIN, Edge, INGEST};

const SECRET: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQ=";

macro_rules! fixture {
    ($path:literal) => {
        include_str!(concat!("../webhooks/", $path)).to_owned()
    };
}

fn mac(key: &[u8], parts: &[&str]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part.as_bytes()));
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn now_s() -> i64 {
    Timestamp::now().0 / 1_000
}

/// A delivery as its provider sends it: what follows the endpoint's URL, headers, body.
struct Sent {
    settings: Value,
    suffix: String,
    headers: Vec<(&'static str, String)>,
    body: String,
    /// What the books make of it.
    outcome: &'static str,
}

fn sent(headers: Vec<(&'static str, String)>, body: String, outcome: &'static str) -> Sent {
    Sent { settings: Value::Null, suffix: String::new(), headers, body, outcome }
}

/// `secret` signs; every body books something unless its sample means nothing.
fn sign(provider: &str, secret: &str) -> Sent {
    let key = secret.as_bytes();
    let at = now_s();
    match provider {
        "standard" => {
            let body = r#"{"type":"sale","data":{"order_id":"s1","amount":"1.00","currency":"USD"}}"#;
            let key = STANDARD.decode(secret).unwrap();
            let signature = base64(&mac(&key, &[&format!("msg_1.{at}."), body]));
            let headers = vec![
                ("webhook-id", "msg_1".to_owned()),
                ("webhook-timestamp", at.to_string()),
                ("webhook-signature", format!("v1,{signature}")),
            ];
            sent(headers, body.to_owned(), "processed")
        }
        "stripe" => {
            let body = fixture!("stripe/checkout_session_completed.json");
            let signature = hex(&mac(key, &[&format!("{at}."), &body]));
            sent(vec![("Stripe-Signature", format!("t={at},v1={signature}"))], body, "processed")
        }
        "razorpay" => {
            let body = fixture!("razorpay/payment.captured.json");
            sent(vec![("X-Razorpay-Signature", hex(&mac(key, &[&body])))], body, "processed")
        }
        "fondy" => {
            let fields = [
                ("amount", "200"),
                ("currency", "GEL"),
                ("order_id", "f1"),
                ("order_status", "approved"),
                ("payment_id", "7"),
            ];
            let values: String = fields.iter().map(|(_, value)| format!("|{value}")).collect();
            let signature = hex(&Sha1::digest(format!("{secret}{values}")));
            let form: String = fields.iter().map(|(name, value)| format!("{name}={value}&")).collect();
            sent(Vec::new(), format!("{form}signature={signature}"), "processed")
        }
        "gumroad" => Sent {
            settings: json!({"seller_id": "A_LONG_STRING=="}),
            suffix: format!("?token={}", secret.replace('=', "%3D")),
            ..sent(Vec::new(), fixture!("gumroad/sale_ping.form"), "processed")
        },
        "refersion" => {
            let body = fixture!("refersion/marketplace_conversion_head.json");
            let headers = vec![
                ("Refersion-Signature", base64(&mac(key, &[&body]))),
                ("Refersion-Topic", "NEW".to_owned()),
            ];
            sent(headers, body, "ignored")
        }
        "shopify" => {
            let body = fixture!("shopify/order_rest_example_trimmed.json");
            let headers = vec![
                ("X-Shopify-Hmac-Sha256", base64(&mac(key, &[&body]))),
                ("X-Shopify-Topic", "orders/paid".to_owned()),
            ];
            sent(headers, body, "processed")
        }
        "paddle" => {
            let entity: Value =
                serde_json::from_str(&fixture!("paddle/entity.transaction.completed.json")).unwrap();
            let body = json!({"event_id": "evt_1", "event_type": "transaction.completed",
                "occurred_at": "2024-04-12T10:18:50Z", "notification_id": "ntf_1", "data": entity})
            .to_string();
            let signature = hex(&mac(key, &[&format!("{at}:"), &body]));
            sent(vec![("Paddle-Signature", format!("ts={at};h1={signature}"))], body, "processed")
        }
        "lemonsqueezy" => {
            let body = fixture!("lemonsqueezy/docs_order_created_head.json");
            sent(vec![("X-Signature", hex(&mac(key, &[&body])))], body, "processed")
        }
        "woocommerce" => {
            let body =
                r#"{"id":1,"order_key":"wc_order_1","status":"processing","total":"9.5","currency":"EUR"}"#;
            let signature = base64(&mac(key, &[body]));
            sent(vec![("X-WC-Webhook-Signature", signature)], body.to_owned(), "processed")
        }
        "paypal" => {
            let body = fixture!("paypal/PAYMENT.CAPTURE.COMPLETED.json");
            let sum = crc32(body.as_bytes());
            let key = RsaKeyPair::from_pkcs8(include_bytes!("../webhooks/paypal/test_key.pk8")).unwrap();
            let mut signature = vec![0; key.public().modulus_len()];
            let message = format!("id|2026-11-21T10:00:00Z|{secret}|{sum}");
            key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
            let headers = vec![
                ("PAYPAL-TRANSMISSION-ID", "id".to_owned()),
                ("PAYPAL-TRANSMISSION-TIME", "2026-11-21T10:00:00Z".to_owned()),
                ("PAYPAL-TRANSMISSION-SIG", base64(&signature)),
                ("PAYPAL-CERT-URL", "https://api.paypal.com/v1/notifications/certs/CERT-1".to_owned()),
                ("PAYPAL-AUTH-ALGO", "SHA256withRSA".to_owned()),
            ];
            let settings = json!({"certificate": fixture!("paypal/cert.pem")});
            Sent { settings, ..sent(headers, body, "processed") }
        }
        "generic" => {
            let body = r#"{"id":"g1","type":"sale","data":{"order_id":"g1","amount":500,"currency":"JPY"}}"#;
            let signature = hex(&mac(key, &[body]));
            let settings = json!({"signature": {"header": "X-Shop-Sign", "prefix": "sha256="}});
            let headers = vec![("X-Shop-Sign", format!("sha256={signature}"))];
            Sent { settings, ..sent(headers, body.to_owned(), "processed") }
        }
        other => panic!("{other} has no delivery here"),
    }
}

/// CRC-32 by its table, unlike the product's.
fn crc32(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256_u32)
        .map(|n| (0..8).fold(n, |c, _| if c & 1 == 1 { 0xEDB8_8320 ^ (c >> 1) } else { c >> 1 }))
        .collect();
    !bytes.iter().fold(u32::MAX, |sum, byte| table[((sum ^ u32::from(*byte)) & 0xff) as usize] ^ (sum >> 8))
}

fn endpoint(edge: &Edge, provider: &str, settings: &Value) -> (String, EndpointId) {
    let made = edge.post(
        "/v1/webhook-endpoints",
        &json!({"provider": provider, "secrets": [SECRET], "settings": settings}),
    );
    let id = made.expect(201)["id"].as_str().unwrap().to_owned();
    (format!("/hooks/{id}"), id.parse().unwrap())
}

fn deliver(edge: &Edge, path: &str, sent: &Sent) -> u16 {
    let headers: Vec<(&str, &str)> =
        sent.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    edge.send(Method::POST, &format!("{path}{}", sent.suffix), &headers, sent.body.as_bytes()).status
}

fn outcomes(edge: &Edge, id: EndpointId) -> Vec<String> {
    edge.settle();
    let page = edge.books.reads().deliveries(WorkspaceId(1), id, &Default::default()).unwrap();
    let value = serde_json::to_value(page.data).unwrap();
    let all = value.as_array().unwrap().iter().rev();
    all.map(|delivery| delivery["outcome"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_provider_is_heard_once() {
    let edge = Edge::start();
    let providers = [
        "standard",
        "stripe",
        "razorpay",
        "fondy",
        "gumroad",
        "refersion",
        "shopify",
        "paddle",
        "lemonsqueezy",
        "woocommerce",
        "paypal",
        "generic",
    ];
    for provider in providers {
        let good = sign(provider, SECRET);
        let (path, id) = endpoint(&edge, provider, &good.settings);
        assert_eq!(deliver(&edge, &path, &sign(provider, "b3RoZXItb3RoZXItb3RoZXI=")), 401, "{provider}");
        assert_eq!((deliver(&edge, &path, &good), deliver(&edge, &path, &good)), (200, 200), "{provider}");
        assert_eq!(outcomes(&edge, id), [good.outcome, "duplicate"], "{provider}");
    }
    assert_eq!(edge.books.reads().check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_greeting_is_answered_and_not_kept() {
    let edge = Edge::start();
    let (path, id) = endpoint(&edge, "woocommerce", &Value::Null);
    let greeting = sent(Vec::new(), fixture!("woocommerce/ping.form"), "");
    assert_eq!(deliver(&edge, &path, &greeting), 200);
    assert_eq!(outcomes(&edge, id), Vec::<String>::new());
    let (path, _) = endpoint(&edge, "shopify", &Value::Null);
    assert_eq!(deliver(&edge, &path, &greeting), 401);
}

#[test]
fn a_token_may_stand_in_the_path_and_a_retry_is_a_duplicate() {
    let edge = Edge::start();
    let (path, id) = endpoint(&edge, "gumroad", &Value::Null);
    edge.call(
        ADMIN,
        Method::PATCH,
        &format!("/v1/webhook-endpoints/{id}"),
        &json!({"secrets": ["a-long-token"]}),
    )
    .expect(200);
    let first = sent(Vec::new(), fixture!("gumroad/sale_ping.form"), "");
    let retry = sent(Vec::new(), format!("{}&retry_count=2", first.body), "");
    assert_eq!(deliver(&edge, &path, &first), 401);
    assert_eq!(deliver(&edge, &format!("{path}/another-token"), &first), 401);
    assert_eq!(deliver(&edge, &format!("{path}/a-long-token"), &first), 200);
    assert_eq!(deliver(&edge, &format!("{path}/a-long-token"), &retry), 200);
    assert_eq!(outcomes(&edge, id), ["processed", "duplicate"]);
}

#[test]
fn secrets_roll() {
    let edge = Edge::start();
    let (path, id) = endpoint(&edge, "razorpay", &Value::Null);
    let url = format!("/v1/webhook-endpoints/{id}");
    let (old, new) = (sign("razorpay", SECRET), sign("razorpay", "new"));
    assert_eq!((deliver(&edge, &path, &old), deliver(&edge, &path, &new)), (200, 401));
    let patched = edge.call(ADMIN, Method::PATCH, &url, &json!({"secrets": [SECRET, "new"]})).expect(200);
    assert!(patched.get("secrets").is_none() && patched["url"].is_string());
    assert_eq!((deliver(&edge, &path, &old), deliver(&edge, &path, &new)), (200, 200));
    edge.call(ADMIN, Method::PATCH, &url, &json!({"secrets": ["new"]})).expect(200);
    assert_eq!((deliver(&edge, &path, &old), deliver(&edge, &path, &new)), (401, 200));
    edge.call(ADMIN, Method::PATCH, &url, &json!({"secrets": []})).expect(422);
    edge.call(ADMIN, Method::PATCH, &url, &json!({"secrets": [" "]})).expect(422);
    edge.call(ADMIN, Method::PATCH, &url, &json!({"settings": {"seller_id": "s"}})).expect(422);
    edge.call(INGEST, Method::PATCH, &url, &json!({"secrets": ["x"]})).expect(403);
    let unknown = "/v1/webhook-endpoints/whk_0000000000000";
    edge.call(ADMIN, Method::PATCH, unknown, &json!({"secrets": ["x"]})).expect(404);
    assert_eq!(deliver(&edge, &path, &new), 200, "what was refused changed nothing");
}

#[test]
fn endpoints_that_could_verify_nothing_are_not_made() {
    let edge = Edge::start();
    let make = |body: Value| edge.post("/v1/webhook-endpoints", &body).expect(422);
    let problem = make(json!({"provider": "paypal", "secrets": ["WEBHOOK-ID"]}));
    assert_eq!(problem["errors"][0]["field"], "settings.certificate");
    make(json!({"provider": "paypal", "secrets": ["W"], "settings": {"certificate": "nonsense"}}));
    make(json!({"provider": "standard", "secrets": ["whsec_"]}));
    make(json!({"provider": "standard", "secrets": ["not base64"]}));
    make(json!({"provider": "gumroad", "secrets": ["short"]}));
    make(
        json!({"provider": "generic", "secrets": ["s"], "settings": {"signature": {"header": "no header"}}}),
    );
}
