//! Stripe's side of a sale: signed deliveries as Stripe documents them, written here anew so that the
//! engine's own code does not vouch for itself.

use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// Seconds since 1970.
pub fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The header `Stripe-Signature` for `body`.
pub fn signature(secret: &str, body: &str) -> String {
    let time = unix_now();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{time}.{body}").as_bytes());
    let digest: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={time},v1={digest}")
}

fn event(id: &str, kind: &str, object: Value) -> String {
    json!({"id": id, "object": "event", "api_version": "2025-03-31.basil", "created": unix_now(), "livemode": true,
        "type": kind, "data": {"object": object}})
    .to_string()
}

/// `checkout.session.completed` of a paid order that carries a click.
pub fn checkout(order: &str, cents: i64, currency: &str, wclid: &str) -> String {
    let object = json!({"id": format!("cs_{order}"), "object": "checkout.session", "mode": "payment",
        "payment_status": "paid", "amount_total": cents, "currency": currency, "payment_intent": format!("pi_{order}"),
        "client_reference_id": wclid, "customer": format!("cus_{order}"), "metadata": {}});
    event(&format!("evt_cs_{order}"), "checkout.session.completed", object)
}

/// `payment_intent.succeeded` of the same order: announces it a second time.
pub fn intent(order: &str, cents: i64, currency: &str) -> String {
    let object = json!({"id": format!("pi_{order}"), "object": "payment_intent", "amount": cents,
        "amount_received": cents, "currency": currency, "latest_charge": format!("ch_{order}"), "metadata": {}});
    event(&format!("evt_pi_{order}"), "payment_intent.succeeded", object)
}

/// `charge.refunded`: `refunded` cents in all.
pub fn refunded(order: &str, cents: i64, refunded: i64, currency: &str) -> String {
    let object = json!({"id": format!("ch_{order}"), "object": "charge", "amount": cents, "amount_captured": cents,
        "captured": true, "amount_refunded": refunded, "currency": currency, "payment_intent": format!("pi_{order}")});
    event(&format!("evt_re_{order}_{refunded}"), "charge.refunded", object)
}
