//! Lemon Squeezy (docs.lemonsqueezy.com/help/webhooks): `X-Signature` over the raw body, HMAC-SHA256 in hex,
//! no time. The event's name is in the signed body (`meta.event_name`), so the header of that name is not
//! read. Amounts are integer minor units.
//!
//! A subscription's first payment is announced by `order_created` and by `subscription_payment_success` with
//! `billing_reason: initial`, which names no order: the first counts, the second only tells that it is paid.

use serde::Deserialize;
use serde_json::Value;
use weir_schemas::conversion::RefundReason;
use weir_schemas::fact::Returned;
use weir_schemas::money::Money;
use weir_schemas::time::Timestamp;

use super::fields::{Text, carried, json, names, need, person, text, time};
use super::signature::{Encoding, verify_body};
use super::{Decoded, Incoming, Notice, Payer, Refusal, amount};

const HEADER: &str = "X-Signature";

/// Verifies the signature on the raw bytes.
pub fn verify(secrets: &[String], incoming: Incoming<'_>) -> Result<(), Refusal> {
    verify_body(secrets, incoming, HEADER, Encoding::Hex)
}

#[derive(Deserialize)]
struct Event {
    meta: Meta,
    data: Data,
}

#[derive(Deserialize)]
struct Meta {
    event_name: String,
    test_mode: Option<bool>,
    #[serde(default)]
    custom_data: Value,
}

#[derive(Deserialize)]
struct Data {
    id: Text,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Attributes {
    identifier: Option<String>,
    status: Option<String>,
    total: Option<i64>,
    refunded_amount: Option<i64>,
    currency: Option<String>,
    customer_id: Option<Text>,
    user_email: Option<String>,
    user_name: Option<String>,
    subscription_id: Option<Text>,
    billing_reason: Option<String>,
    test_mode: Option<bool>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// Decodes a verified body.
pub fn decode(incoming: Incoming<'_>) -> Result<Decoded, Refusal> {
    let event: Event = json(incoming.body)?;
    let (meta, Data { id: Text(id), attributes: of }) = (event.meta, event.data);
    let wclid = carried(&meta.custom_data);
    let made = of.created_at.as_deref().map_or(Ok(incoming.now), |at| time(at, "created_at"))?;
    let changed = of.updated_at.as_deref().map_or(Ok(made), |at| time(at, "updated_at"))?;
    let first_invoice = of.billing_reason.as_deref() == Some("initial");
    let order = names([Some(format!("lemonsqueezy:{id}")), of.identifier.clone()]);
    let invoice = vec![format!("lemonsqueezy:invoice:{id}")];
    let notice = match meta.event_name.as_str() {
        "order_created" if of.is_paid() => Some(of.paid(order, false, wclid, made)?),
        "order_refunded" => Some(of.refunded(order, changed)?),
        "subscription_payment_success" | "subscription_payment_recovered" => {
            let renewal = of.billing_reason.as_deref() == Some("renewal");
            if first_invoice { None } else { Some(of.paid(invoice, renewal, wclid, made)?) }
        }
        // The first payment goes back by `order_refunded`.
        "subscription_payment_refunded" if !first_invoice => Some(of.refunded(invoice, changed)?),
        "subscription_payment_failed" => {
            of.subscription_id.as_ref().map(|Text(id)| of.changed(id, "past_due", wclid, changed))
        }
        name if name.starts_with("subscription_payment_") => None,
        name if name.starts_with("subscription_") => {
            Some(of.changed(&id, of.status.as_deref().unwrap_or_default(), wclid, changed))
        }
        _ => None,
    };
    let version = of.updated_at.as_deref().unwrap_or("-");
    Ok(Decoded {
        dedupe_key: format!("{}:{id}:{version}", meta.event_name),
        livemode: !meta.test_mode.or(of.test_mode).unwrap_or(false),
        event_type: meta.event_name,
        repeated: None,
        notices: notice.into_iter().collect(),
    })
}

impl Attributes {
    fn is_paid(&self) -> bool {
        matches!(self.status.as_deref(), None | Some("paid" | "refunded" | "partial_refund"))
    }

    fn payer(&self, wclid: Option<String>) -> Payer {
        let customer = text(self.customer_id.clone()).map(|id| format!("lemonsqueezy:{id}"));
        Payer { customer, person: person(self.user_email.clone(), self.user_name.clone()), wclid }
    }

    fn money(&self, units: Option<i64>, field: &str) -> Result<Money, Refusal> {
        amount::minor(need(units, field)?, need(self.currency.as_deref(), "data.attributes.currency")?)
    }

    fn paid(
        &self,
        order_keys: Vec<String>,
        renewal: bool,
        wclid: Option<String>,
        occurred_at: Timestamp,
    ) -> Result<Notice, Refusal> {
        Ok(Notice::Paid {
            order_keys,
            renewal,
            amount: self.money(self.total, "data.attributes.total")?,
            payer: self.payer(wclid),
            subscription: text(self.subscription_id.clone()).map(|id| format!("lemonsqueezy:{id}")),
            occurred_at,
        })
    }

    fn refunded(&self, order_keys: Vec<String>, occurred_at: Timestamp) -> Result<Notice, Refusal> {
        // Older bodies tell only that the whole went back.
        let back = self.refunded_amount.filter(|back| *back > 0).or(self.total);
        let total = self.money(back, "data.attributes.refunded_amount")?;
        let returned = Returned::Cumulative(total);
        Ok(Notice::Refunded { order_keys, returned, reason: RefundReason::Refund, occurred_at })
    }

    fn changed(&self, id: &str, status: &str, wclid: Option<String>, occurred_at: Timestamp) -> Notice {
        Notice::Subscription {
            subscription: format!("lemonsqueezy:{id}"),
            payer: self.payer(wclid),
            status: status.to_owned(),
            price: None,
            interval: None,
            occurred_at,
        }
    }
}

#[cfg(test)]
mod tests;
