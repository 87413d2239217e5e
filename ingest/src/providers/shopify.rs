//! Shopify (shopify.dev, webhooks): `X-Shopify-Hmac-Sha256` over the raw body, HMAC-SHA256 in base64, no
//! time; the key is the app's client secret.
//!
//! The topic is an unsigned header, so it only names the event: what the body is and what it means is read
//! from the signed body, whose `financial_status` says that an order is paid, whatever topic brought it.
//! Amounts are decimal texts in the shop's currency. Ids are plain numbers, unique over all of Shopify.

use serde::Deserialize;
use serde_json::Value;
use weir_schemas::conversion::RefundReason;
use weir_schemas::fact::{DisputeState, Returned};
use weir_schemas::time::Timestamp;

use super::fields::{Text, carried, json, need, person, text, time};
use super::signature::{Encoding, verify_body};
use super::{Decoded, Incoming, Notice, Payer, Refusal, amount};

const HEADER: &str = "X-Shopify-Hmac-Sha256";
const TOPIC: &str = "X-Shopify-Topic";

/// Verifies the signature on the raw bytes.
pub fn verify(secrets: &[String], incoming: Incoming<'_>) -> Result<(), Refusal> {
    verify_body(secrets, incoming, HEADER, Encoding::Base64)
}

/// Every field that one of the kinds of body uses.
#[derive(Deserialize)]
struct Body {
    id: Option<Text>,
    order_id: Option<Text>,
    updated_at: Option<String>,
    created_at: Option<String>,
    processed_at: Option<String>,
    currency: Option<String>,
    #[serde(default)]
    test: Option<bool>,
    customer: Option<Customer>,
    // of an order
    financial_status: Option<String>,
    total_price: Option<Text>,
    email: Option<String>,
    landing_site: Option<String>,
    source_name: Option<String>,
    #[serde(default)]
    note_attributes: Value,
    refunds: Option<Vec<Refund>>,
    // of a refund
    transactions: Option<Vec<Transaction>>,
    // of a dispute
    #[serde(rename = "type")]
    kind: Option<String>,
    amount: Option<Text>,
    status: Option<String>,
    // of a subscription contract
    billing_policy: Option<BillingPolicy>,
    customer_id: Option<Text>,
}

#[derive(Deserialize)]
struct Customer {
    id: Option<Text>,
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
}

#[derive(Deserialize)]
struct Refund {
    created_at: Option<String>,
    processed_at: Option<String>,
    #[serde(default)]
    transactions: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    id: Text,
    amount: Option<Text>,
    currency: Option<String>,
    kind: Option<String>,
    status: Option<String>,
    #[serde(default)]
    test: bool,
}

#[derive(Deserialize)]
struct BillingPolicy {
    interval: Option<String>,
    interval_count: Option<u32>,
}

/// Decodes a verified body.
pub fn decode(incoming: Incoming<'_>) -> Result<Decoded, Refusal> {
    let body: Body = json(incoming.body)?;
    let topic = incoming.headers.get(TOPIC).and_then(|value| value.to_str().ok()).unwrap_or("unknown");
    let id = text(body.id.clone());
    let order = text(body.order_id.clone());
    let mut test = body.test.unwrap_or(false);
    let version = body.updated_at.as_deref().or(body.created_at.as_deref()).unwrap_or("-");
    let status = body.financial_status.as_deref().or(body.status.as_deref()).unwrap_or("-");
    let refunds = body.refunds.as_ref().map_or(0, Vec::len);
    let subject = id.as_deref().or(order.as_deref()).unwrap_or("-");
    // `updated_at` has whole seconds, in which an order may be made, paid and refunded.
    let dedupe_key = format!("{topic}:{subject}:{version}:{status}:{refunds}");
    let mut notices = Vec::new();
    match (&body, order) {
        (Body { financial_status: Some(_), .. }, _) => {
            let id = need(id, "id")?;
            notices.extend(body.paid(&id, incoming.now)?);
            for refund in body.refunds.iter().flatten() {
                let at = moment([&refund.processed_at, &refund.created_at], incoming.now)?;
                refunded(&refund.transactions, &id, body.currency.as_deref(), at, &mut notices)?;
            }
        }
        (Body { transactions: Some(transactions), .. }, Some(order)) => {
            test |= transactions.iter().any(|transaction| transaction.test);
            let at = moment([&body.processed_at, &body.created_at], incoming.now)?;
            refunded(transactions, &order, body.currency.as_deref(), at, &mut notices)?;
        }
        (Body { kind: Some(kind), amount: Some(_), .. }, Some(order)) => {
            notices.push(body.disputed(kind, &order, incoming.now)?);
        }
        (Body { billing_policy: Some(policy), .. }, _) => notices.push(body.contract(policy, incoming.now)?),
        _ => {}
    }
    let event_type = topic.to_owned();
    Ok(Decoded { dedupe_key, event_type, livemode: !test, repeated: None, notices })
}

fn order_key(id: &str) -> Vec<String> {
    vec![format!("shopify:{id}")]
}

fn moment<const N: usize>(fields: [&Option<String>; N], now: Timestamp) -> Result<Timestamp, Refusal> {
    fields.into_iter().flatten().next().map_or(Ok(now), |at| time(at, "processed_at or created_at"))
}

/// The transactions of a refund that gave money back.
fn refunded(
    transactions: &[Transaction],
    order: &str,
    currency: Option<&str>,
    occurred_at: Timestamp,
    notices: &mut Vec<Notice>,
) -> Result<(), Refusal> {
    for of in transactions {
        let moved = of.kind.as_deref() == Some("refund") && of.status.as_deref() == Some("success");
        if !moved {
            continue;
        }
        let code = need(of.currency.as_deref().or(currency), "transactions.currency")?;
        let amount = amount::decimal(&need(of.amount.clone(), "transactions.amount")?.0, code)?;
        notices.push(Notice::Refunded {
            order_keys: order_key(order),
            returned: Returned::Single { refund: of.id.0.clone(), amount, reversed: false },
            reason: RefundReason::Refund,
            occurred_at,
        });
    }
    Ok(())
}

impl Body {
    fn paid(&self, id: &str, now: Timestamp) -> Result<Option<Notice>, Refusal> {
        let paid = ["paid", "partially_refunded", "refunded"];
        if !self.financial_status.as_deref().is_some_and(|status| paid.contains(&status)) {
            return Ok(None);
        }
        let total = need(self.total_price.as_ref(), "total_price")?;
        let landing = || self.landing_site.as_ref().and_then(|url| carried(&Value::String(url.clone())));
        Ok(Some(Notice::Paid {
            order_keys: order_key(id),
            // Orders that a subscription contract makes by itself.
            renewal: self.source_name.as_deref() == Some("subscription_contract"),
            amount: amount::decimal(&total.0, need(self.currency.as_deref(), "currency")?)?,
            payer: Payer { wclid: carried(&self.note_attributes).or_else(landing), ..self.payer() },
            subscription: None,
            occurred_at: moment([&self.processed_at, &self.created_at], now)?,
        }))
    }

    fn payer(&self) -> Payer {
        let customer = self.customer.as_ref();
        let id = customer.and_then(|of| text(of.id.clone())).or_else(|| text(self.customer_id.clone()));
        let name = customer.map(|of| [of.first_name.as_deref(), of.last_name.as_deref()]);
        let name = name.map(|parts| parts.into_iter().flatten().collect::<Vec<_>>().join(" "));
        let email = self.email.clone().or_else(|| customer.and_then(|of| of.email.clone()));
        Payer { customer: id.map(|id| format!("shopify:{id}")), person: person(email, name), wclid: None }
    }

    fn disputed(&self, kind: &str, order: &str, now: Timestamp) -> Result<Notice, Refusal> {
        let state = match self.status.as_deref() {
            Some("won") => DisputeState::Won,
            Some("lost" | "accepted" | "charge_refunded") if kind != "inquiry" => DisputeState::Lost,
            _ if kind == "inquiry" => DisputeState::Inquiry,
            _ => DisputeState::Open,
        };
        let total = need(self.amount.as_ref(), "amount")?;
        Ok(Notice::Disputed {
            order_keys: order_key(order),
            dispute: need(text(self.id.clone()), "id")?,
            amount: amount::decimal(&total.0, need(self.currency.as_deref(), "currency")?)?,
            state,
            // When it was last decided is not told.
            occurred_at: now,
        })
    }

    fn contract(&self, policy: &BillingPolicy, now: Timestamp) -> Result<Notice, Refusal> {
        let interval = policy.interval.as_deref().map(str::to_ascii_lowercase);
        Ok(Notice::Subscription {
            subscription: format!("shopify:{}", need(text(self.id.clone()), "id")?),
            payer: self.payer(),
            status: self.status.clone().unwrap_or_default(),
            price: None,
            interval: interval.map(|unit| (unit, policy.interval_count.unwrap_or(1))),
            occurred_at: self.updated_at.as_deref().map_or(Ok(now), |at| time(at, "updated_at"))?,
        })
    }
}

#[cfg(test)]
mod tests;
