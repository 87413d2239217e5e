//! Stripe's webhooks: believed only with a valid signature, answered 2xx only once durable, booked once per sale.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::engine::http::Answer;
use super::engine::{STRIPE_SECRET, text_of};
use super::{Shared, ask, fresh, refused, shared};

fn unix_now() -> i64 {
    weir_loadtest::stripe::unix_now().cast_signed()
}

/// The header for `body`, signed at `time` with `secret`.
fn signature(secret: &str, time: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{time}.{body}").as_bytes());
    let digest = mac.finalize().into_bytes();
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={time},v1={hex}")
}

fn send(shared: &Shared, hook: &str, header: Option<&str>, body: &str) -> Answer {
    let mut headers = vec![("content-type", "application/json; charset=utf-8")];
    headers.extend(header.map(|value| ("stripe-signature", value)));
    ask(shared.engine.public, "POST", hook, &headers, body.as_bytes())
}

/// Delivers a signed event; it must be taken.
fn deliver(shared: &Shared, hook: &str, event: &Value) {
    let body = event.to_string();
    let answer = send(shared, hook, Some(&signature(STRIPE_SECRET, unix_now(), &body)), &body);
    assert!((200..300).contains(&answer.status), "{}: {}", answer.status, answer.text());
}

/// Waits until every delivery is applied, which a query does not: the answer comes once they are durable.
fn settled(shared: &Shared, hook: &str, deliveries: usize) -> Vec<Value> {
    let path = format!("/v1/webhook-endpoints/{}/deliveries?limit=200", hook.trim_start_matches("/hooks/"));
    super::engine::wait_for("the deliveries", || {
        let data = shared.get(&path)["data"].as_array().expect("data").clone();
        (data.len() >= deliveries).then_some(data)
    })
}

fn event(kind: &str, object: Value) -> Value {
    json!({"id": fresh("evt"), "object": "event", "api_version": "2026-09-30", "created": unix_now(), "livemode": true,
        "type": kind, "data": {"object": object}})
}

/// The names of one sale at Stripe.
struct Sale {
    number: String,
    cents: i64,
    token: String,
}

impl Sale {
    fn new(shared: &Shared, slug: &str, cents: i64) -> Self {
        Self { number: fresh("n"), cents, token: shared.token(slug) }
    }

    fn intent_id(&self) -> String {
        format!("pi_{}", self.number)
    }

    fn session(&self) -> Value {
        event(
            "checkout.session.completed",
            json!({"id": format!("cs_{}", self.number), "object": "checkout.session", "mode": "payment",
            "payment_status": "paid", "amount_total": self.cents, "currency": "eur", "payment_intent": self.intent_id(),
            "client_reference_id": self.token, "customer": format!("cus_{}", self.number),
            "customer_details": {"email": "buyer@example.com", "name": "B"}, "metadata": {}}),
        )
    }

    fn intent(&self) -> Value {
        event(
            "payment_intent.succeeded",
            json!({"id": self.intent_id(), "object": "payment_intent", "amount": self.cents,
            "amount_received": self.cents, "currency": "eur", "latest_charge": format!("ch_{}", self.number),
            "status": "succeeded", "metadata": {}}),
        )
    }

    fn charge(&self, kind: &str, refunded: i64) -> Value {
        event(
            kind,
            json!({"id": format!("ch_{}", self.number), "object": "charge", "amount": self.cents,
            "amount_captured": self.cents, "captured": true, "paid": true, "amount_refunded": refunded, "currency": "eur",
            "payment_intent": self.intent_id(), "metadata": {}}),
        )
    }

    fn dispute(&self, kind: &str, status: &str) -> Value {
        event(
            kind,
            json!({"id": format!("dp_{}", self.number), "object": "dispute", "amount": self.cents, "currency": "eur",
            "charge": format!("ch_{}", self.number), "payment_intent": self.intent_id(), "reason": "fraudulent",
            "status": status}),
        )
    }
}

fn money(shared: &Shared, link: &str) -> Value {
    json!(shared.of_link(link, &["conversions", "revenue", "refunds", "net_revenue"]))
}

#[test]
fn only_a_valid_signature_gets_2xx() {
    let shared = shared();
    let hook = shared.engine.make_stripe_endpoint();
    let (slug, link) = shared.link(json!({}));
    let body = Sale::new(&shared, &slug, 700).session().to_string();
    let now = unix_now();
    let good = signature(STRIPE_SECRET, now, &body);
    let hex = good.split("v1=").nth(1).expect("a signature").to_owned();
    for bad in [
        String::new(),
        "nonsense".to_owned(),
        format!("t={now}"),
        format!("v1={hex}"),
        format!("t={now},v0={hex}"),
        format!("t={},v1={hex}", now - 1),
        format!("t={now},v1={}", "0".repeat(64)),
        signature("whsec_other", now, &body),
        signature(STRIPE_SECRET, now - 3_600, &body),
        signature(STRIPE_SECRET, now + 3_600, &body),
        signature(STRIPE_SECRET, now, &format!("{body} ")),
    ] {
        eprintln!("{bad}");
        refused(&send(&shared, &hook, Some(&bad), &body), 401, "bad_signature");
    }
    refused(&send(&shared, &hook, None, &body), 401, "bad_signature");
    refused(&send(&shared, "/hooks/whk_0000000000000", Some(&good), &body), 404, "not_found");
    refused(&send(&shared, "/hooks/nonsense", Some(&good), &body), 404, "not_found");
    for malformed in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"id":"evt_1"}"#,
        r#"{"id":"e","type":"charge.refunded","created":1,"data":{"object":7}}"#,
    ] {
        let header = signature(STRIPE_SECRET, now, malformed);
        refused(&send(&shared, &hook, Some(&header), malformed), 400, "malformed_request");
    }
    let huge = "x".repeat(3 << 20);
    assert_eq!(send(&shared, &hook, Some(&signature(STRIPE_SECRET, now, &huge)), &huge).status, 413);
    assert_eq!(shared.visit(&hook, &[]).status, 405);
    assert_eq!(money(&shared, &link), json!([0, 0, 0, 0]), "nothing of that was booked");

    let rolled = format!("t={now},v1={},v1={hex},v0=abc", "1".repeat(64));
    assert_eq!(send(&shared, &hook, Some(&rolled), &body).status, 200);
    let again = send(&shared, &hook, Some(&good), &body);
    assert_eq!(again.status, 200, "a duplicate gets the same");
    let deliveries = settled(&shared, &hook, 1);
    assert_eq!(money(&shared, &link), json!([1, 700, 0, 700]), "{deliveries:?}");
}

#[test]
fn both_secrets_work_while_one_is_rolled() {
    let shared = shared();
    let made = shared.post(
        "/v1/webhook-endpoints",
        json!({"provider": "stripe", "secrets": ["whsec_old", "whsec_new"]}),
        201,
    );
    assert!(text_of(&made["id"]).starts_with("whk_"));
    let hook = format!("/hooks/{}", text_of(&made["id"]));
    assert_eq!(text_of(&made["url"]), format!("http://{}{hook}", shared.engine.public));
    assert!(
        !shared.get("/v1/webhook-endpoints").to_string().contains("whsec_old"),
        "secrets are not told again"
    );
    for (secret, status) in [("whsec_old", 200), ("whsec_new", 200), ("whsec_third", 401)] {
        let body = event("ping", json!({})).to_string();
        assert_eq!(send(&shared, &hook, Some(&signature(secret, unix_now(), &body)), &body).status, status);
    }
    shared.engine.call("DELETE", &format!("/v1/webhook-endpoints/{}", text_of(&made["id"])), None, 204);
    let body = event("ping", json!({})).to_string();
    assert_eq!(send(&shared, &hook, Some(&signature("whsec_old", unix_now(), &body)), &body).status, 404);
}

#[test]
fn every_published_sample_is_taken() {
    let shared = shared();
    let hook = shared.engine.make_stripe_endpoint();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/ingest/tests/webhooks/stripe");
    let mut samples = 0;
    for entry in std::fs::read_dir(folder).expect("the samples") {
        let body = std::fs::read_to_string(entry.expect("an entry").path()).expect("a sample");
        let header = signature(STRIPE_SECRET, unix_now(), &body);
        for _ in 0..2 {
            let answer = send(&shared, &hook, Some(&header), &body);
            assert_eq!(answer.status, 200, "{}: {body}", answer.text());
        }
        refused(&send(&shared, &hook, Some(&header), &body.replacen('{', "{ ", 1)), 401, "bad_signature");
        samples += 1;
    }
    assert!(samples >= 7);
    let told = settled(&shared, &hook, samples);
    assert!(told.iter().all(|delivery| delivery["event_type"].is_string()), "{told:?}");
}

#[test]
fn one_sale_however_many_events_announce_it_in_any_order() {
    let shared = shared();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let hook = shared.engine.make_stripe_endpoint();
        let (slug, link) = shared.link(json!({}));
        let sale = Sale::new(&shared, &slug, 4_999);
        let events = [sale.session(), sale.intent(), sale.charge("charge.succeeded", 0)];
        for at in order {
            deliver(&shared, &hook, &events[at]);
            deliver(&shared, &hook, &events[at]);
        }
        settled(&shared, &hook, 6);
        assert_eq!(money(&shared, &link), json!([1, 4999, 0, 4999]), "{order:?}");
        let totals = json!({"metrics": ["orders", "revenue"], "date_range": "7d",
            "dimensions": ["link", "provider", "event"],
            "filters": ["is", "link", [link]]});
        assert_eq!(shared.engine.query(&totals)["rows"], json!([[link, "stripe", "sale", 1, 4999]]));
    }
}

#[test]
fn refunds_are_cumulative_and_may_come_first() {
    let shared = shared();
    let hook = shared.engine.make_stripe_endpoint();
    let (slug, link) = shared.link(json!({}));
    let sale = Sale::new(&shared, &slug, 5_000);
    deliver(&shared, &hook, &sale.session());
    deliver(&shared, &hook, &sale.intent());
    deliver(&shared, &hook, &sale.charge("charge.refunded", 1_500));
    settled(&shared, &hook, 3);
    assert_eq!(money(&shared, &link), json!([1, 5000, 1500, 3500]));
    deliver(&shared, &hook, &sale.charge("charge.refunded", 1_500));
    deliver(&shared, &hook, &sale.charge("charge.refunded", 5_000));
    settled(&shared, &hook, 5);
    assert_eq!(money(&shared, &link), json!([1, 5000, 5000, 0]));

    let early = Sale::new(&shared, &slug, 800);
    deliver(&shared, &hook, &early.charge("charge.refunded", 300));
    settled(&shared, &hook, 6);
    deliver(&shared, &hook, &early.session());
    deliver(&shared, &hook, &early.charge("charge.succeeded", 0));
    settled(&shared, &hook, 8);
    assert_eq!(money(&shared, &link), json!([2, 5800, 5300, 500]));
}

#[test]
fn a_dispute_takes_the_money_and_a_won_one_gives_it_back() {
    let shared = shared();
    let hook = shared.engine.make_stripe_endpoint();
    let (slug, link) = shared.link(json!({}));
    let (lost, won, inquiry) =
        (Sale::new(&shared, &slug, 1_000), Sale::new(&shared, &slug, 200), Sale::new(&shared, &slug, 30));
    for sale in [&lost, &won, &inquiry] {
        deliver(&shared, &hook, &sale.session());
        deliver(&shared, &hook, &sale.charge("charge.succeeded", 0));
    }
    deliver(&shared, &hook, &inquiry.dispute("charge.dispute.created", "warning_needs_response"));
    settled(&shared, &hook, 7);
    assert_eq!(money(&shared, &link), json!([3, 1230, 0, 1230]), "an inquiry moves no money");
    for sale in [&lost, &won] {
        deliver(&shared, &hook, &sale.dispute("charge.dispute.created", "needs_response"));
    }
    deliver(&shared, &hook, &lost.dispute("charge.dispute.closed", "lost"));
    deliver(&shared, &hook, &won.dispute("charge.dispute.closed", "won"));
    settled(&shared, &hook, 11);
    let now = money(&shared, &link);
    assert_eq!(now[3], json!(230), "only the lost one is gone: {now}");
    assert_eq!(now[0], json!(3), "{now}");
}

#[test]
fn subscriptions_renew_under_the_first_click() {
    let shared = shared();
    let hook = shared.engine.make_stripe_endpoint();
    let (slug, link) = shared.link(json!({}));
    let (token, number) = (shared.token(&slug), fresh("n"));
    let (subscription, customer) = (format!("sub_{number}"), format!("cus_{number}"));
    let session = event(
        "checkout.session.completed",
        json!({"id": format!("cs_{number}"), "object": "checkout.session", "mode": "subscription",
        "payment_status": "paid", "amount_total": 999, "currency": "eur", "invoice": format!("in_{number}_1"), "subscription": subscription,
        "client_reference_id": token, "customer": customer, "metadata": {}}),
    );
    let invoice = |n: u32, reason: &str| {
        event(
            "invoice.paid",
            json!({"id": format!("in_{number}_{n}"), "object": "invoice", "amount_paid": 999, "currency": "eur",
            "billing_reason": reason, "customer": customer, "status": "paid",
            "parent": {"type": "subscription_details", "subscription_details": {"subscription": subscription}}}),
        )
    };
    deliver(&shared, &hook, &invoice(1, "subscription_create"));
    deliver(&shared, &hook, &session);
    deliver(&shared, &hook, &invoice(2, "subscription_cycle"));
    deliver(&shared, &hook, &invoice(3, "subscription_cycle"));
    settled(&shared, &hook, 4);
    assert_eq!(money(&shared, &link), json!([3, 2997, 0, 2997]));
    let query = json!({"metrics": ["conversions"], "dimensions": ["event"], "date_range": "7d",
        "filters": ["is", "link", [link]], "order_by": [["event", "asc"]]});
    assert_eq!(shared.engine.query(&query)["rows"], json!([["renewal", 2], ["sale", 1]]));
    let told = shared.get(&format!("/v1/customers/{customer}"))["subscriptions"].clone();
    assert_eq!(
        (told.as_array().map(Vec::len), &told[0]["subscription_id"]),
        (Some(1), &json!(subscription)),
        "{told}"
    );
    assert_eq!(told[0]["price"], json!({"amount": 999, "currency": "EUR"}), "{told}");
}

#[test]
fn a_forged_click_in_an_event_gets_no_credit() {
    let shared = shared();
    let hook = shared.engine.make_stripe_endpoint();
    let (slug, link) = shared.link(json!({}));
    let mut sale = Sale::new(&shared, &slug, 500);
    sale.token = format!("{}AAAA", &sale.token[..sale.token.len() - 4]);
    deliver(&shared, &hook, &sale.session());
    settled(&shared, &hook, 1);
    assert_eq!(money(&shared, &link), json!([0, 0, 0, 0]));
    let listed = shared.get("/v1/conversions?limit=200").to_string();
    assert!(listed.contains(&sale.intent_id()), "the sale itself is booked");
}
