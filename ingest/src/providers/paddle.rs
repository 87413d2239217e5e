//! Paddle Billing (developer.paddle.com/webhooks): `Paddle-Signature: ts=…;h1=…[;h1=…]` over `ts:body`,
//! HMAC-SHA256 in hex, the whole secret is the key. The SDKs accept five seconds of clock difference; retries
//! are signed anew, so [`TOLERANCE_S`](super::signature::TOLERANCE_S) costs nothing.
//!
//! Sandbox and live accounts are separate and their bodies look the same, so every delivery counts as live:
//! an endpoint belongs to one of them by its secret.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use weir_schemas::conversion::RefundReason;
use weir_schemas::fact::{DisputeState, Returned};
use weir_schemas::money::{AMOUNT_MAX, Money};
use weir_schemas::time::Timestamp;

use super::fields::{Text, bad, carried, json, need, time};
use super::signature::{check_time, header, hex, hmac_sha256_matches, unix_seconds};
use super::{Decoded, Incoming, Notice, Payer, Refusal, amount};

const HEADER: &str = "Paddle-Signature";
/// Most `h1` values read from one header; Paddle sends one per live secret.
const SIGNATURES_MAX: usize = 16;

/// Verifies the signature on the raw bytes.
pub fn verify(secrets: &[String], incoming: Incoming<'_>) -> Result<(), Refusal> {
    let malformed = Refusal::SignatureMalformed(HEADER);
    let (time, signatures) = parse_header(header(incoming.headers, HEADER)?).ok_or(malformed.clone())?;
    let signed_at = unix_seconds(time).ok_or(malformed)?;
    let parts = [time.as_bytes(), b":", incoming.body];
    if !signatures.iter().any(|signature| hmac_sha256_matches(secrets, &parts, signature)) {
        return Err(Refusal::SignatureMismatch);
    }
    check_time(signed_at, incoming.now)
}

/// The signed time as written and the `h1` signatures.
fn parse_header(header: &str) -> Option<(&str, Vec<Vec<u8>>)> {
    let mut time = None;
    let mut signatures = Vec::new();
    for item in header.split(';') {
        match item.trim().split_once('=')? {
            ("ts", value) => time = Some(value),
            ("h1", value) if signatures.len() < SIGNATURES_MAX => signatures.extend(hex(value)),
            _ => {}
        }
    }
    (!signatures.is_empty()).then_some((time?, signatures))
}

/// Decodes a verified body.
pub fn decode(incoming: Incoming<'_>) -> Result<Decoded, Refusal> {
    let event: Event = json(incoming.body)?;
    if event.event_id.is_empty() {
        return Err(bad("event_id", "is empty"));
    }
    let at = time(&event.occurred_at, "occurred_at")?;
    let data = event.data.get();
    let notice = match event.event_type.as_str() {
        "transaction.completed" => Some(read::<Transaction>(data)?.paid(at)?),
        "adjustment.created" | "adjustment.updated" => read::<Adjustment>(data)?.returned(at)?,
        kind if kind.starts_with("subscription.") => Some(read::<Subscription>(data)?.changed(at)?),
        _ => None,
    };
    Ok(Decoded {
        dedupe_key: event.event_id,
        event_type: event.event_type,
        livemode: true,
        // A replay from the dashboard has a `notification_id` of its own.
        repeated: Some(data.as_bytes().to_vec()),
        notices: notice.into_iter().collect(),
    })
}

fn read<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(data).map_err(|error| Refusal::Malformed(format!("data: {error}")))
}

#[derive(Deserialize)]
struct Event<'a> {
    event_id: String,
    event_type: String,
    occurred_at: String,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Transaction {
    id: String,
    origin: Option<String>,
    currency_code: String,
    details: Details,
    customer_id: Option<String>,
    subscription_id: Option<String>,
    #[serde(default)]
    custom_data: Value,
    billed_at: Option<String>,
}

#[derive(Deserialize)]
struct Details {
    totals: Totals,
}

#[derive(Deserialize)]
struct Totals {
    /// After credit: what was paid.
    grand_total: Option<Text>,
    total: Option<Text>,
}

impl Transaction {
    fn paid(self, at: Timestamp) -> Result<Notice, Refusal> {
        let totals = self.details.totals;
        let total = need(totals.grand_total.or(totals.total), "data.details.totals.grand_total")?;
        Ok(Notice::Paid {
            order_keys: vec![self.id],
            renewal: self.origin.as_deref() == Some("subscription_recurring"),
            amount: amount::minor_text(&total.0, &self.currency_code)?,
            payer: Payer { customer: self.customer_id, person: None, wclid: carried(&self.custom_data) },
            subscription: self.subscription_id,
            occurred_at: self.billed_at.map_or(Ok(at), |billed| time(&billed, "data.billed_at"))?,
        })
    }
}

#[derive(Deserialize)]
struct Adjustment {
    id: String,
    action: String,
    status: Option<String>,
    transaction_id: String,
    currency_code: String,
    totals: AdjustmentTotals,
}

#[derive(Deserialize)]
struct AdjustmentTotals {
    total: Text,
}

impl Adjustment {
    fn returned(self, at: Timestamp) -> Result<Option<Notice>, Refusal> {
        let amount = amount::minor_text(&self.totals.total.0, &self.currency_code)?;
        let order_keys = vec![self.transaction_id.clone()];
        let approved = !matches!(self.status.as_deref(), Some("pending_approval" | "rejected"));
        // Chargeback and its reversal are two adjustments about one dispute of the transaction.
        let dispute = |state| Notice::Disputed {
            order_keys: order_keys.clone(),
            dispute: format!("chargeback of {}", self.transaction_id),
            amount,
            state,
            occurred_at: at,
        };
        Ok(match (self.action.as_str(), self.status.as_deref()) {
            ("refund", Some("pending_approval")) => None,
            ("refund", status) => {
                let reversed = matches!(status, Some("rejected" | "reversed"));
                let returned = Returned::Single { refund: self.id, amount, reversed };
                Some(Notice::Refunded { order_keys, returned, reason: RefundReason::Refund, occurred_at: at })
            }
            ("chargeback", Some("reversed")) => Some(dispute(DisputeState::Won)),
            ("chargeback", _) if approved => Some(dispute(DisputeState::Open)),
            ("chargeback_reverse", _) if approved => Some(dispute(DisputeState::Won)),
            ("chargeback_warning", _) => Some(dispute(DisputeState::Inquiry)),
            // A credit changes what is owed, not what was paid.
            _ => None,
        })
    }
}

#[derive(Deserialize)]
struct Subscription {
    id: String,
    status: Option<String>,
    customer_id: Option<String>,
    #[serde(default)]
    items: Vec<Item>,
    billing_cycle: Option<Cycle>,
    #[serde(default)]
    custom_data: Value,
}

#[derive(Deserialize)]
struct Item {
    quantity: Option<i64>,
    price: Option<Price>,
}

#[derive(Deserialize)]
struct Price {
    unit_price: Option<UnitPrice>,
}

#[derive(Deserialize)]
struct UnitPrice {
    amount: Text,
    currency_code: String,
}

#[derive(Deserialize)]
struct Cycle {
    interval: String,
    frequency: u32,
}

impl Subscription {
    fn changed(self, at: Timestamp) -> Result<Notice, Refusal> {
        let mut price: Option<Money> = None;
        for item in self.items {
            let Some(unit) = item.price.and_then(|price| price.unit_price) else { continue };
            let one = amount::minor_text(&unit.amount.0, &unit.currency_code)?;
            let before = price.map_or(0, |sum| sum.amount);
            let sum =
                one.amount.checked_mul(item.quantity.unwrap_or(1)).and_then(|all| all.checked_add(before));
            let amount = sum.filter(|sum| (0..=AMOUNT_MAX).contains(sum));
            let amount = amount.ok_or_else(|| bad("data.items", "add up to more than an amount can be"))?;
            price = Some(Money { amount, ..one });
        }
        Ok(Notice::Subscription {
            subscription: self.id,
            payer: Payer { customer: self.customer_id, person: None, wclid: carried(&self.custom_data) },
            status: self.status.unwrap_or_default(),
            price,
            interval: self.billing_cycle.map(|cycle| (cycle.interval, cycle.frequency)),
            occurred_at: at,
        })
    }
}

#[cfg(test)]
mod tests;
