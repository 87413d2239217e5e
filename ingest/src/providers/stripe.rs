//! Stripe (docs.stripe.com/webhooks): `Stripe-Signature: t=…,v1=…` over `t.body`, HMAC-SHA256, the whole
//! `whsec_…` text is the key; several `v1` while a secret is rolled, `v0` is ignored.
//!
//! One order is announced by up to four events (checkout session, payment intent, charge, invoice), each with
//! its own id and some of the others': every id goes into `order_keys`, and the books make one sale of them.

use serde::Deserialize;
use weir_schemas::conversion::{Person, RefundReason};
use weir_schemas::fact::{DisputeState, Returned};
use weir_schemas::money::{AMOUNT_MAX, Currency, Money};
use weir_schemas::time::{SECOND_MS, Timestamp};

use super::signature::{check_time, hex, hmac_sha256_matches};
use super::{Decoded, Incoming, Notice, Payer, Refusal};

const HEADER: &str = "Stripe-Signature";
/// Most `v1` values read from one header; Stripe sends one per live secret.
const SIGNATURES_MAX: usize = 16;

/// Verifies the signature on the raw bytes.
pub fn verify(secrets: &[String], incoming: Incoming<'_>) -> Result<(), Refusal> {
    let header = incoming.headers.get(HEADER).ok_or(Refusal::SignatureMissing(HEADER))?;
    let header = header.to_str().map_err(|_| Refusal::SignatureMalformed(HEADER))?;
    let (signed_at, signatures) = parse_header(header).ok_or(Refusal::SignatureMalformed(HEADER))?;
    let matches = signatures.iter().any(|signature| {
        hmac_sha256_matches(secrets, &[signed_at.as_bytes(), b".", incoming.body], signature)
    });
    if !matches {
        return Err(Refusal::SignatureMismatch);
    }
    check_time(signed_at.parse().map_err(|_| Refusal::SignatureMalformed(HEADER))?, incoming.now)
}

/// The signed time as written and the `v1` signatures.
fn parse_header(header: &str) -> Option<(&str, Vec<Vec<u8>>)> {
    let mut time = None;
    let mut signatures = Vec::new();
    for item in header.split(',') {
        match item.trim().split_once('=')? {
            ("t", value) => time = Some(value),
            ("v1", value) if signatures.len() < SIGNATURES_MAX => signatures.extend(hex(value)),
            _ => {}
        }
    }
    let time = time.filter(|time| !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit()))?;
    (!signatures.is_empty()).then_some((time, signatures))
}

/// Decodes a verified body.
pub fn decode(incoming: Incoming<'_>) -> Result<Decoded, Refusal> {
    let event: Event =
        serde_json::from_slice(incoming.body).map_err(|error| Refusal::Malformed(error.to_string()))?;
    if event.id.is_empty() {
        return Err(Refusal::Malformed("`id` is empty".to_owned()));
    }
    let at =
        Timestamp(event.created.checked_mul(SECOND_MS).ok_or_else(|| bad("created", "is out of range"))?);
    let object = event.data.object.get();
    let notice = match event.kind.as_str() {
        "checkout.session.completed" | "checkout.session.async_payment_succeeded" => {
            read::<Session>(object)?.paid(at)?
        }
        "invoice.paid" | "invoice.payment_succeeded" => read::<Invoice>(object)?.paid(at)?,
        "payment_intent.succeeded" => read::<PaymentIntent>(object)?.paid(at)?,
        "charge.succeeded" | "charge.captured" => read::<Charge>(object)?.paid(at)?,
        "charge.refunded" => read::<Charge>(object)?.refunded(at)?,
        "refund.created" | "refund.updated" | "refund.failed" | "charge.refund.updated" => {
            read::<Refund>(object)?.refunded(at)?
        }
        kind if kind.starts_with("charge.dispute.") => read::<Dispute>(object)?.disputed(kind, at)?,
        kind if kind.starts_with("customer.subscription.") => read::<Subscription>(object)?.changed(at)?,
        _ => None,
    };
    Ok(Decoded {
        dedupe_key: event.id,
        event_type: event.kind,
        livemode: event.livemode,
        repeated: None,
        notices: notice.into_iter().collect(),
    })
}

fn bad(field: &str, what: &str) -> Refusal {
    Refusal::Malformed(format!("`{field}` {what}"))
}

fn read<'a, T: Deserialize<'a>>(object: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(object).map_err(|error| Refusal::Malformed(format!("data.object: {error}")))
}

#[derive(Deserialize)]
struct Event<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    created: i64,
    #[serde(default)]
    livemode: bool,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    object: &'a serde_json::value::RawValue,
}

/// An id, or the object that the id was expanded to.
#[derive(Deserialize)]
#[serde(untagged)]
enum Reference {
    Id(String),
    Expanded { id: String },
}

impl Reference {
    fn into_id(self) -> String {
        match self {
            Self::Id(id) | Self::Expanded { id } => id,
        }
    }
}

type Id = Option<Reference>;

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    wclid: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Details {
    email: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Session {
    id: String,
    mode: Option<String>,
    payment_status: Option<String>,
    amount_total: Option<i64>,
    currency: Option<String>,
    payment_intent: Id,
    invoice: Id,
    subscription: Id,
    customer: Id,
    customer_details: Option<Details>,
    customer_email: Option<String>,
    client_reference_id: Option<String>,
    metadata: Option<Metadata>,
}

impl Session {
    fn paid(self, at: Timestamp) -> Result<Option<Notice>, Refusal> {
        let paid = matches!(self.payment_status.as_deref(), Some("paid" | "no_payment_required"));
        if !paid || self.mode.as_deref() == Some("setup") {
            return Ok(None);
        }
        let amount = money(self.amount_total.unwrap_or(0), self.currency.as_deref())?;
        let details = self.customer_details.unwrap_or_default();
        let carried = self.metadata.and_then(|metadata| metadata.wclid).or(self.client_reference_id);
        Ok(Some(Notice::Paid {
            order_keys: keys([self.payment_intent, self.invoice, Some(Reference::Id(self.id))]),
            renewal: false,
            amount,
            payer: payer(self.customer, details.email.or(self.customer_email), details.name, carried),
            subscription: self.subscription.map(Reference::into_id),
            occurred_at: at,
        }))
    }
}

#[derive(Deserialize)]
struct Invoice {
    id: Option<String>,
    amount_paid: Option<i64>,
    currency: Option<String>,
    billing_reason: Option<String>,
    charge: Id,
    payment_intent: Id,
    subscription: Id,
    customer: Id,
    customer_email: Option<String>,
    customer_name: Option<String>,
    metadata: Option<Metadata>,
    subscription_details: Option<SubscriptionDetails>,
    /// Since API version 2025-03-31 the subscription and its metadata stand here.
    parent: Option<Parent>,
    /// Since API version 2025-03-31 payment intent and charge stand here.
    payments: Option<List<InvoicePayment>>,
}

#[derive(Deserialize)]
struct SubscriptionDetails {
    subscription: Id,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Parent {
    subscription_details: Option<SubscriptionDetails>,
}

#[derive(Deserialize)]
struct List<T> {
    #[serde(default = "Vec::new")]
    data: Vec<T>,
}

#[derive(Deserialize)]
struct InvoicePayment {
    payment: Option<PaymentReference>,
}

#[derive(Deserialize)]
struct PaymentReference {
    payment_intent: Id,
    charge: Id,
}

impl Invoice {
    fn paid(self, at: Timestamp) -> Result<Option<Notice>, Refusal> {
        let amount = money(self.amount_paid.unwrap_or(0), self.currency.as_deref())?;
        let details =
            self.subscription_details.or_else(|| self.parent.and_then(|parent| parent.subscription_details));
        let (lineage, lent) = match details {
            Some(details) => (details.subscription, details.metadata.and_then(|metadata| metadata.wclid)),
            None => (None, None),
        };
        let mut names = vec![self.payment_intent, self.id.map(Reference::Id), self.charge];
        for payment in self.payments.map(|list| list.data).unwrap_or_default() {
            let Some(reference) = payment.payment else { continue };
            names.extend([reference.payment_intent, reference.charge]);
        }
        let carried = self.metadata.and_then(|metadata| metadata.wclid).or(lent);
        Ok(Some(Notice::Paid {
            order_keys: keys(names),
            renewal: self.billing_reason.as_deref() == Some("subscription_cycle"),
            amount,
            payer: payer(self.customer, self.customer_email, self.customer_name, carried),
            subscription: self.subscription.or(lineage).map(Reference::into_id),
            occurred_at: at,
        }))
    }
}

#[derive(Deserialize)]
struct PaymentIntent {
    id: String,
    amount: Option<i64>,
    amount_received: Option<i64>,
    currency: Option<String>,
    invoice: Id,
    latest_charge: Id,
    customer: Id,
    receipt_email: Option<String>,
    metadata: Option<Metadata>,
}

impl PaymentIntent {
    fn paid(self, at: Timestamp) -> Result<Option<Notice>, Refusal> {
        // The event's name says that it was paid; fixtures of the documentation leave `amount_received` at
        // zero.
        let received = self.amount_received.filter(|amount| *amount > 0).or(self.amount).unwrap_or(0);
        let carried = self.metadata.and_then(|metadata| metadata.wclid);
        Ok(Some(Notice::Paid {
            order_keys: keys([Some(Reference::Id(self.id)), self.invoice, self.latest_charge]),
            renewal: false,
            amount: money(received, self.currency.as_deref())?,
            payer: payer(self.customer, self.receipt_email, None, carried),
            subscription: None,
            occurred_at: at,
        }))
    }
}

#[derive(Deserialize)]
struct Charge {
    id: String,
    amount: Option<i64>,
    amount_captured: Option<i64>,
    amount_refunded: Option<i64>,
    captured: Option<bool>,
    currency: Option<String>,
    payment_intent: Id,
    invoice: Id,
    customer: Id,
    billing_details: Option<Details>,
    receipt_email: Option<String>,
    metadata: Option<Metadata>,
}

impl Charge {
    fn names(&mut self) -> Vec<String> {
        let id = std::mem::take(&mut self.id);
        keys([self.payment_intent.take(), self.invoice.take(), Some(Reference::Id(id))])
    }

    fn paid(mut self, at: Timestamp) -> Result<Option<Notice>, Refusal> {
        if self.captured == Some(false) {
            // Only reserved: `charge.captured` will say when it is money.
            return Ok(None);
        }
        let order_keys = self.names();
        let captured = self.amount_captured.filter(|amount| *amount > 0).or(self.amount).unwrap_or(0);
        let details = self.billing_details.unwrap_or_default();
        let carried = self.metadata.and_then(|metadata| metadata.wclid);
        Ok(Some(Notice::Paid {
            order_keys,
            renewal: false,
            amount: money(captured, self.currency.as_deref())?,
            payer: payer(self.customer, details.email.or(self.receipt_email), details.name, carried),
            subscription: None,
            occurred_at: at,
        }))
    }

    fn refunded(mut self, at: Timestamp) -> Result<Option<Notice>, Refusal> {
        let total = money(self.amount_refunded.unwrap_or(0), self.currency.as_deref())?;
        Ok(Some(Notice::Refunded {
            order_keys: self.names(),
            returned: Returned::Cumulative(total),
            reason: RefundReason::Refund,
            occurred_at: at,
        }))
    }
}

#[derive(Deserialize)]
struct Refund {
    id: String,
    amount: Option<i64>,
    currency: Option<String>,
    status: Option<String>,
    charge: Id,
    payment_intent: Id,
}

impl Refund {
    fn refunded(self, at: Timestamp) -> Result<Option<Notice>, Refusal> {
        // `requires_action` moves nothing yet; an update will follow.
        let reversed = match self.status.as_deref() {
            Some("succeeded" | "pending") | None => false,
            Some("failed" | "canceled") => true,
            Some(_) => return Ok(None),
        };
        let amount = money(self.amount.unwrap_or(0), self.currency.as_deref())?;
        Ok(Some(Notice::Refunded {
            order_keys: keys([self.payment_intent, self.charge]),
            returned: Returned::Single { refund: self.id, amount, reversed },
            reason: RefundReason::Refund,
            occurred_at: at,
        }))
    }
}

#[derive(Deserialize)]
struct Dispute {
    id: String,
    amount: Option<i64>,
    currency: Option<String>,
    status: Option<String>,
    charge: Id,
    payment_intent: Id,
}

impl Dispute {
    fn disputed(self, kind: &str, at: Timestamp) -> Result<Option<Notice>, Refusal> {
        let state = match (kind, self.status.as_deref()) {
            ("charge.dispute.funds_reinstated", _) | (_, Some("won")) => DisputeState::Won,
            (_, Some("lost")) => DisputeState::Lost,
            // Inquiries (`warning_…`) and prevented disputes withdraw nothing.
            (_, Some(status)) if status.starts_with("warning_") || status == "prevented" => {
                DisputeState::Inquiry
            }
            _ => DisputeState::Open,
        };
        Ok(Some(Notice::Disputed {
            order_keys: keys([self.payment_intent, self.charge]),
            dispute: self.id,
            amount: money(self.amount.unwrap_or(0), self.currency.as_deref())?,
            state,
            occurred_at: at,
        }))
    }
}

#[derive(Deserialize)]
struct Subscription {
    id: String,
    status: Option<String>,
    customer: Id,
    items: Option<List<Item>>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Item {
    quantity: Option<i64>,
    price: Option<Price>,
}

#[derive(Deserialize)]
struct Price {
    unit_amount: Option<i64>,
    currency: Option<String>,
    recurring: Option<Recurring>,
}

#[derive(Deserialize)]
struct Recurring {
    interval: String,
    interval_count: Option<u32>,
}

impl Subscription {
    fn changed(self, at: Timestamp) -> Result<Option<Notice>, Refusal> {
        let mut price: Option<Money> = None;
        let mut interval = None;
        for item in self.items.map(|list| list.data).unwrap_or_default() {
            let Some(of) = item.price else { continue };
            let quantity = item.quantity.unwrap_or(1);
            let total =
                of.unit_amount.unwrap_or(0).checked_mul(quantity).ok_or_else(|| bad("items", "overflow"))?;
            let part = money(total, of.currency.as_deref())?;
            price = Some(match price {
                // Stripe keeps one currency and one interval per subscription.
                Some(sum) => Money { amount: sum.amount.saturating_add(part.amount).min(AMOUNT_MAX), ..sum },
                None => part,
            });
            if let Some(recurring) = of.recurring {
                interval = Some((recurring.interval, recurring.interval_count.unwrap_or(1)));
            }
        }
        Ok(Some(Notice::Subscription {
            subscription: self.id,
            payer: payer(self.customer, None, None, self.metadata.and_then(|metadata| metadata.wclid)),
            status: self.status.unwrap_or_default(),
            price,
            interval,
            occurred_at: at,
        }))
    }
}

fn keys(names: impl IntoIterator<Item = Id>) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for name in names.into_iter().flatten().map(Reference::into_id) {
        if !name.is_empty() && !keys.contains(&name) {
            keys.push(name);
        }
    }
    keys
}

fn payer(customer: Id, email: Option<String>, name: Option<String>, wclid: Option<String>) -> Payer {
    let person = (email.is_some() || name.is_some()).then_some(Person { email, name });
    Payer { customer: customer.map(Reference::into_id), person, wclid: wclid.filter(|text| !text.is_empty()) }
}

/// Stripe's amount in ISO 4217 minor units. Stripe writes ISK and UGX with two decimals though ISO gives them
/// none, and MGA with none though ISO gives it two (docs.stripe.com/currencies, special cases).
fn money(amount: i64, currency: Option<&str>) -> Result<Money, Refusal> {
    let text = currency.ok_or_else(|| bad("currency", "is missing"))?;
    let currency: Currency = text.parse().map_err(|_| bad("currency", "is not an ISO 4217 code"))?;
    let amount = match currency.as_str() {
        "ISK" | "UGX" => amount / 100,
        "MGA" => amount.checked_mul(100).ok_or_else(|| bad("amount", "is out of range"))?,
        _ => amount,
    };
    if !(0..=AMOUNT_MAX).contains(&amount) {
        return Err(bad("amount", "is out of range"));
    }
    Ok(Money { amount, currency })
}

#[cfg(test)]
mod tests;
