//! Outbound webhooks: signed, in order, tried again; and what a sale mints.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::engine::{PATIENCE, text_of, wait_for};
use super::{fresh, names, own, shared};

pub(crate) struct Received {
    headers: Vec<(String, String)>,
    body: String,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// A receiver that answers with these statuses in turn, then 200. It lives as long as the test's process.
pub(crate) fn receiver(statuses: &'static [u16]) -> (String, Receiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hook?x=1", listener.local_addr().expect("an address"));
    let (sender, received) = channel();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = stream.expect("a connection");
            let mut bytes = Vec::new();
            let mut part = [0; 16_384];
            let whole = loop {
                let read = stream.read(&mut part).unwrap_or(0);
                bytes.extend_from_slice(&part[..read]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let headers: Vec<(String, String)> = head
                        .lines()
                        .filter_map(|line| line.split_once(": "))
                        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                        .collect();
                    let length = headers.iter().find(|(name, _)| name == "content-length");
                    let length: usize = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
                    if body.len() >= length {
                        break Received { headers, body: body.to_owned() };
                    }
                }
                if read == 0 {
                    break Received { headers: Vec::new(), body: text };
                }
            };
            let status = statuses.get(n).copied().unwrap_or(200);
            let _ = write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            if sender.send(whole).is_err() {
                return;
            }
        }
    });
    (url, received)
}

fn sell(shared: &super::Shared, order: &str) -> Value {
    let amount = json!({"amount": 1_999, "currency": "EUR"});
    shared.post("/v1/conversions", json!({"event": "sale", "order_id": order, "amount": amount}), 201)
}

#[test]
fn conversions_refunds_and_minted_links_are_told_signed_and_in_order() {
    let shared = own(|settings| settings.with("outbound.allow_private", "true"));
    let (url, received) = receiver(&[503]);
    let made = shared.post("/v1/outbound-endpoints", json!({"url": url}), 201);
    let secret = text_of(&made["secret"]);
    let fulfilment =
        json!({"destination": "https://files.example/book.pdf", "max_uses": 2, "expires_days": 7});
    shared.post("/v1/fulfilments", fulfilment, 201);
    let sale = sell(&shared, "A-1");
    shared.post("/v1/refunds", json!({"order_id": "A-1", "refund_id": "r1"}), 201);

    let next = || received.recv_timeout(PATIENCE).expect("a webhook");
    let (refused, told, refund) = (next(), next(), next());
    assert_eq!(
        refused.header("webhook-id"),
        told.header("webhook-id"),
        "the first is tried again before the second"
    );
    assert_eq!(refused.body, told.body);
    let body = told.json();
    assert_eq!((&body["type"], &body["data"]["id"]), (&json!("conversion.created"), &sale["id"]));
    assert_eq!(body["data"]["amount"], json!({"amount": 1_999, "currency": "EUR"}));
    let refund = refund.json();
    assert_eq!(refund["type"], "refund.created");
    assert_eq!(
        (&refund["data"]["conversion_id"], &refund["data"]["amount"]["amount"]),
        (&sale["id"], &json!(1_999))
    );

    // As the receiver's library checks it.
    use base64::Engine as _;
    let key = base64::engine::general_purpose::STANDARD
        .decode(secret.trim_start_matches("whsec_"))
        .expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
    let (id, time) = (told.header("webhook-id"), told.header("webhook-timestamp"));
    mac.update(format!("{id}.{time}.{}", told.body).as_bytes());
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    assert_eq!(told.header("webhook-signature"), format!("v1,{signature}"));

    // The minted link works twice.
    let minted = &body["data"]["fulfilment"];
    let path = text_of(&minted["url"]);
    let path = format!("/{}", path.rsplit('/').next().expect("a slug"));
    for _ in 0..2 {
        let answer = shared.visit(&path, &[]);
        assert_eq!((answer.status, answer.header("location")), (302, Some("https://files.example/book.pdf")));
    }
    assert_eq!(shared.visit(&path, &[]).status, 410);

    let log = format!("/v1/outbound-endpoints/{}/deliveries", text_of(&made["id"]));
    let deliveries = wait_for("both are delivered", || {
        let data = shared.get(&log)["data"].as_array().expect("data").clone();
        (data.len() == 2 && data.iter().all(|message| message["state"] == "delivered")).then_some(data)
    });
    let statuses: Vec<&Value> =
        deliveries[1]["log"].as_array().expect("tries").iter().map(|attempt| &attempt["status"]).collect();
    assert_eq!(statuses, [200, 503]);
    let replay = format!("{log}/{}/replay", text_of(&deliveries[0]["id"]));
    shared.post(&replay, json!({}), 202);
    assert_eq!(next().json()["type"], "refund.created");
}

#[test]
fn an_endpoint_that_is_gone_is_turned_off_and_goes_on_when_turned_on() {
    let shared = own(|settings| settings.with("outbound.allow_private", "true"));
    let (url, received) = receiver(&[410]);
    let made =
        shared.post("/v1/outbound-endpoints", json!({"url": url, "events": ["conversion.created"]}), 201);
    let path = format!("/v1/outbound-endpoints/{}", text_of(&made["id"]));
    sell(&shared, "A-1");
    received.recv_timeout(PATIENCE).expect("a webhook");
    let off = wait_for("it is turned off", || {
        let endpoint = shared.get(&path);
        (endpoint["enabled"] == false).then_some(endpoint)
    });
    assert!(text_of(&off["disabled_reason"]).contains("410"), "{off}");
    sell(&shared, "A-2");
    let on = shared.engine.call("PATCH", &path, Some(&json!({"enabled": true})), 200);
    assert_eq!((&on["enabled"], &on["disabled_reason"]), (&json!(true), &Value::Null));
    for order in ["A-1", "A-2"] {
        let told = received.recv_timeout(PATIENCE).expect("a webhook").json();
        assert_eq!(told["data"]["order_id"], order);
    }
    shared.engine.call("DELETE", &path, None, 204);
    assert_eq!(shared.engine.api("GET", &path, None).status, 404);
}

#[test]
fn endpoints_in_the_own_network_are_refused() {
    let shared = shared();
    for url in [
        "https://127.1/",
        "https://0x7f.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/",
        "http://shop.example/",
        "https://10.0.0.1/",
        "ftp://shop.example/",
        "nonsense",
    ] {
        let answer = shared.engine.api("POST", "/v1/outbound-endpoints", Some(&json!({"url": url})));
        names(&answer, "url");
    }
    let answer = shared.engine.api(
        "POST",
        "/v1/outbound-endpoints",
        Some(&json!({"url": "https://shop.example/", "events": ["everything"]})),
    );
    names(&answer, "events[0]");
    let made =
        shared.post("/v1/outbound-endpoints", json!({"url": "https://shop.example/", "enabled": false}), 201);
    let path = format!("/v1/outbound-endpoints/{}", text_of(&made["id"]));
    let rotated = shared.post(&format!("{path}/rotate"), json!({}), 200);
    assert_ne!(rotated["secret"], made["secret"]);
    let answer = shared.engine.api("PATCH", &path, Some(&json!({"url": "https://192.168.0.1/"})));
    names(&answer, "url");
    let answer = shared.engine.api("POST", "/v1/fulfilments", Some(&json!({"destination": "javascript:1"})));
    names(&answer, "destination");
    let name = fresh("fulfilment");
    let made = shared.post(
        "/v1/fulfilments",
        json!({"name": name, "event": "never", "destination": "https://files.example/", "max_uses": 1}),
        201,
    );
    let id = text_of(&made["id"]);
    shared.engine.call("DELETE", &format!("/v1/fulfilments/{id}"), None, 204);
}
