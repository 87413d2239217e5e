//! Razorpay (razorpay.com/docs/webhooks): `X-Razorpay-Signature` over the raw body, HMAC-SHA256 in hex, no
//! time. Its bodies have no id of the event that is signed: what makes a repeat is entity, event and status.
//!
//! A payment is announced by up to four events (captured, order paid, payment link paid, subscription
//! charged); they share the ids of payment and order. Test mode and live mode have webhooks and secrets of
//! their own; the body does not tell them apart, but a public key in it does.

use serde::Deserialize;
use serde_json::Value;
use weir_schemas::conversion::RefundReason;
use weir_schemas::fact::{DisputeState, Returned};
use weir_schemas::money::Money;
use weir_schemas::time::Timestamp;

use super::fields::{Text, bad, carried, carried_or_whole, json, names, need, person, text, unix};
use super::signature::{Encoding, verify_body};
use super::{Decoded, Incoming, Notice, Payer, Refusal, amount};

const HEADER: &str = "X-Razorpay-Signature";

/// Verifies the signature on the raw bytes.
pub fn verify(secrets: &[String], incoming: Incoming<'_>) -> Result<(), Refusal> {
    verify_body(secrets, incoming, HEADER, Encoding::Hex)
}

/// Decodes a verified body.
pub fn decode(incoming: Incoming<'_>) -> Result<Decoded, Refusal> {
    let event: Event = json(incoming.body)?;
    let at = unix(event.created_at, "created_at")?;
    let payload = event.payload;
    let testing = payload.order.as_ref().and_then(|order| order.entity.public_key.as_deref());
    let livemode = !testing.is_some_and(|key| key.starts_with("rzp_test_"));
    let kind = event.event.as_str();
    let (id, status) = payload.identity(kind);
    let identity = [id, Some(kind), status];
    let dedupe_key = identity.map(|part| part.unwrap_or("-")).join(":");
    // Events about nothing that is read here have no entity: their time tells them apart.
    let dedupe_key = if id.is_some() { dedupe_key } else { format!("{dedupe_key}:{}", event.created_at) };
    let notice = match kind {
        "payment.captured" | "order.paid" | "payment_link.paid" => Some(payload.paid(None, at)?),
        "subscription.charged" => {
            let subscription = need(payload.subscription.as_ref(), "payload.subscription")?;
            let charged = (subscription.entity.id.clone(), subscription.entity.paid_count.unwrap_or(1) > 1);
            Some(payload.paid(Some(charged), at)?)
        }
        "refund.processed" => Some(payload.refunded(false, at)?),
        "refund.failed" => Some(payload.refunded(true, at)?),
        kind if kind.starts_with("payment.dispute.") => Some(payload.disputed(kind, at)?),
        kind if kind.starts_with("subscription.") => Some(payload.subscribed(at)?),
        _ => None,
    };
    let event_type = event.event;
    Ok(Decoded { dedupe_key, event_type, livemode, repeated: None, notices: notice.into_iter().collect() })
}

#[derive(Deserialize)]
struct Event {
    event: String,
    created_at: i64,
    #[serde(default)]
    payload: Payload,
}

#[derive(Deserialize, Default)]
struct Payload {
    payment: Option<Wrapped<Payment>>,
    order: Option<Wrapped<Order>>,
    payment_link: Option<Wrapped<PaymentLink>>,
    refund: Option<Wrapped<Refund>>,
    dispute: Option<Wrapped<Dispute>>,
    subscription: Option<Wrapped<Subscription>>,
}

#[derive(Deserialize)]
struct Wrapped<T> {
    entity: T,
}

#[derive(Deserialize)]
struct Payment {
    id: String,
    amount: i64,
    currency: String,
    status: Option<String>,
    order_id: Option<String>,
    captured: Option<Text>,
    customer_id: Option<String>,
    email: Option<String>,
    /// An object, `[]` or null.
    #[serde(default)]
    notes: Value,
    created_at: Option<i64>,
}

#[derive(Deserialize)]
struct Order {
    id: String,
    status: Option<String>,
    amount_paid: Option<i64>,
    currency: Option<String>,
    public_key: Option<String>,
    #[serde(default)]
    notes: Value,
}

#[derive(Deserialize)]
struct PaymentLink {
    id: String,
    status: Option<String>,
    order_id: Option<String>,
    reference_id: Option<String>,
    #[serde(default)]
    notes: Value,
}

#[derive(Deserialize)]
struct Refund {
    id: String,
    amount: i64,
    currency: String,
    payment_id: String,
    status: Option<String>,
    created_at: Option<i64>,
}

#[derive(Deserialize)]
struct Dispute {
    id: String,
    payment_id: String,
    amount: i64,
    currency: String,
    amount_deducted: Option<i64>,
    status: Option<String>,
    phase: Option<String>,
}

#[derive(Deserialize)]
struct Subscription {
    id: String,
    status: Option<String>,
    customer_id: Option<String>,
    paid_count: Option<i64>,
    #[serde(default)]
    notes: Value,
}

/// An order's id with its prefix, which some bodies leave out.
fn order_name(id: String) -> String {
    if id.starts_with("order_") { id } else { format!("order_{id}") }
}

impl Payload {
    /// The id and the status of the entity that the event is about.
    fn identity(&self, kind: &str) -> (Option<&str>, Option<&str>) {
        match kind.split('.').next().unwrap_or_default() {
            "refund" => self.refund.as_ref().map(|of| (of.entity.id.as_str(), &of.entity.status)),
            "order" => self.order.as_ref().map(|of| (of.entity.id.as_str(), &of.entity.status)),
            "payment_link" => self.payment_link.as_ref().map(|of| (of.entity.id.as_str(), &of.entity.status)),
            "subscription" if kind != "subscription.charged" => {
                self.subscription.as_ref().map(|of| (of.entity.id.as_str(), &of.entity.status))
            }
            "payment" if kind.starts_with("payment.dispute.") => {
                self.dispute.as_ref().map(|of| (of.entity.id.as_str(), &of.entity.status))
            }
            // Each charge of a subscription has the same subscription, and a payment of its own.
            _ => self.payment.as_ref().map(|of| (of.entity.id.as_str(), &of.entity.status)),
        }
        .map_or((None, None), |(id, status)| (Some(id), status.as_deref()))
    }

    fn order_keys(&self) -> Vec<String> {
        let payment = self.payment.as_ref().map(|of| &of.entity);
        let order = payment
            .and_then(|payment| payment.order_id.clone())
            .or_else(|| self.order.as_ref().map(|of| of.entity.id.clone()))
            .or_else(|| self.payment_link.as_ref().and_then(|of| of.entity.order_id.clone()));
        let link = self.payment_link.as_ref().map(|of| of.entity.id.clone());
        let order = order.filter(|id| !id.is_empty()).map(order_name);
        names([order, payment.map(|payment| payment.id.clone()), link])
    }

    fn wclid(&self) -> Option<String> {
        let notes = [
            self.payment.as_ref().map(|of| &of.entity.notes),
            self.order.as_ref().map(|of| &of.entity.notes),
            self.payment_link.as_ref().map(|of| &of.entity.notes),
            self.subscription.as_ref().map(|of| &of.entity.notes),
        ];
        let reference =
            || self.payment_link.as_ref()?.entity.reference_id.as_deref().and_then(carried_or_whole);
        notes.into_iter().flatten().find_map(carried).or_else(reference)
    }

    fn paid(&self, charged: Option<(String, bool)>, at: Timestamp) -> Result<Notice, Refusal> {
        let payment = &need(self.payment.as_ref(), "payload.payment")?.entity;
        let captured = payment.captured.as_ref().is_none_or(|flag| matches!(flag.0.as_str(), "true" | "1"));
        if !captured && payment.status.as_deref() != Some("captured") {
            return Err(bad("payload.payment.entity.captured", "is false in an event that says it was paid"));
        }
        // An order that is paid in parts is one sale of all of them.
        let order = self.order.as_ref().map(|of| &of.entity);
        let whole = order.and_then(|order| {
            Some((order.amount_paid.filter(|paid| *paid > 0)?, order.currency.as_deref()?))
        });
        let (units, code) = whole.unwrap_or((payment.amount, payment.currency.as_str()));
        let (subscription, renewal) = charged.map_or((None, false), |(id, renewal)| (Some(id), renewal));
        let customer = self.subscription.as_ref().and_then(|of| of.entity.customer_id.clone());
        Ok(Notice::Paid {
            order_keys: self.order_keys(),
            renewal,
            amount: amount::minor(units, code)?,
            payer: Payer {
                customer: payment.customer_id.clone().or(customer),
                person: person(payment.email.clone(), None),
                wclid: self.wclid(),
            },
            subscription,
            occurred_at: payment.created_at.map_or(Ok(at), |at| unix(at, "payment.created_at"))?,
        })
    }

    fn refunded(&self, reversed: bool, at: Timestamp) -> Result<Notice, Refusal> {
        let refund = &need(self.refund.as_ref(), "payload.refund")?.entity;
        let mut order_keys = self.order_keys();
        order_keys.extend((!order_keys.contains(&refund.payment_id)).then(|| refund.payment_id.clone()));
        let amount = amount::minor(refund.amount, &refund.currency)?;
        let made = refund.created_at.map_or(Ok(at), |at| unix(at, "refund.created_at"))?;
        Ok(Notice::Refunded {
            order_keys,
            returned: Returned::Single { refund: refund.id.clone(), amount, reversed },
            reason: RefundReason::Refund,
            occurred_at: if reversed { at } else { made },
        })
    }

    fn disputed(&self, kind: &str, at: Timestamp) -> Result<Notice, Refusal> {
        let dispute = &need(self.dispute.as_ref(), "payload.dispute")?.entity;
        let mut order_keys = self.order_keys();
        order_keys.extend((!order_keys.contains(&dispute.payment_id)).then(|| dispute.payment_id.clone()));
        let amount: Money = amount::minor(dispute.amount, &dispute.currency)?;
        let deducted = dispute.amount_deducted.unwrap_or(0) > 0;
        let state = match (kind, dispute.status.as_deref()) {
            ("payment.dispute.won", _) | (_, Some("won")) => DisputeState::Won,
            ("payment.dispute.lost", _) | (_, Some("lost")) => DisputeState::Lost,
            ("payment.dispute.closed", _) if deducted => DisputeState::Lost,
            ("payment.dispute.closed", _) => DisputeState::Won,
            // A question of the bank that takes no money.
            _ if matches!(dispute.phase.as_deref(), Some("retrieval" | "fraud")) => DisputeState::Inquiry,
            _ => DisputeState::Open,
        };
        Ok(Notice::Disputed { order_keys, dispute: dispute.id.clone(), amount, state, occurred_at: at })
    }

    fn subscribed(&self, at: Timestamp) -> Result<Notice, Refusal> {
        let subscription = &need(self.subscription.as_ref(), "payload.subscription")?.entity;
        Ok(Notice::Subscription {
            subscription: subscription.id.clone(),
            payer: Payer {
                customer: text(subscription.customer_id.clone().map(Text)),
                person: None,
                wclid: self.wclid(),
            },
            status: subscription.status.clone().unwrap_or_default(),
            price: None,
            interval: None,
            occurred_at: at,
        })
    }
}

#[cfg(test)]
mod tests;
