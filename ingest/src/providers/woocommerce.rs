//! WooCommerce (woocommerce.com/document/webhooks): `X-WC-Webhook-Signature` over the raw body, HMAC-SHA256 in
//! base64, no time. The topic is an unsigned header and only names the event; the signed body is an order
//! with its status and its refunds, or a subscription of the plugin of that name.
//!
//! Order ids count up in each shop, so an order is known by its `order_key` where there is one, and under the
//! payment's id where the gateway is one whose own webhooks may come here too.

use serde::Deserialize;
use serde_json::Value;
use weir_schemas::conversion::RefundReason;
use weir_schemas::fact::Returned;
use weir_schemas::money::Money;
use weir_schemas::time::Timestamp;

use super::fields::{Text, carried, json, names, need, person, text, zoneless};
use super::signature::{Encoding, verify_body};
use super::{Decoded, Incoming, Notice, Payer, Refusal, amount};

const HEADER: &str = "X-WC-Webhook-Signature";
const TOPIC: &str = "X-WC-Webhook-Topic";
/// Ids of gateways that say whose they are: Stripe's and Razorpay's payments.
const GATEWAYS: [&str; 4] = ["pi_", "ch_", "py_", "pay_"];
/// The key under which the plugin for subscriptions keeps which one an order renews.
const RENEWAL: &str = "_subscription_renewal";

/// The form `webhook_id=N`, unsigned, that is sent when the webhook is made.
pub fn greets(incoming: Incoming<'_>) -> bool {
    let id = incoming.body.strip_prefix(b"webhook_id=").map(<[u8]>::trim_ascii_end);
    let number = id.is_some_and(|id| (1..=20).contains(&id.len()) && id.iter().all(u8::is_ascii_digit));
    number && !incoming.headers.contains_key(HEADER)
}

/// Verifies the signature on the raw bytes.
pub fn verify(secrets: &[String], incoming: Incoming<'_>) -> Result<(), Refusal> {
    verify_body(secrets, incoming, HEADER, Encoding::Base64)
}

#[derive(Deserialize)]
struct Order {
    id: Option<Text>,
    order_key: Option<String>,
    status: Option<String>,
    currency: Option<String>,
    total: Option<Text>,
    date_created_gmt: Option<String>,
    date_paid_gmt: Option<String>,
    date_modified: Option<String>,
    date_modified_gmt: Option<String>,
    customer_id: Option<Text>,
    billing: Option<Billing>,
    transaction_id: Option<Text>,
    #[serde(default)]
    meta_data: Value,
    #[serde(default)]
    refunds: Vec<Refund>,
    /// Only subscriptions have these.
    billing_period: Option<String>,
    billing_interval: Option<Text>,
}

#[derive(Deserialize)]
struct Billing {
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
}

#[derive(Deserialize)]
struct Refund {
    id: Text,
    /// Negative: `-10.00`.
    total: Text,
}

/// Decodes a verified body.
pub fn decode(incoming: Incoming<'_>) -> Result<Decoded, Refusal> {
    let order: Order = json(incoming.body)?;
    let topic = incoming.headers.get(TOPIC).and_then(|value| value.to_str().ok()).unwrap_or("unknown");
    let id = text(order.id.clone()).unwrap_or_else(|| "-".to_owned());
    let changed = order.date_modified.as_deref().or(order.date_modified_gmt.as_deref()).unwrap_or("-");
    let status = order.status.as_deref().unwrap_or("-");
    // `date_modified` has whole seconds, in which an order may be made, paid and refunded.
    let dedupe_key = format!("{topic}:{id}:{changed}:{status}:{}", order.refunds.len());
    let notices = match (&order.billing_period, &order.total) {
        (Some(unit), _) => vec![order.subscription(&id, unit, incoming.now)?],
        (None, Some(_)) => order.notices(&id, incoming.now)?,
        // Products, customers and coupons.
        (None, None) => Vec::new(),
    };
    let event_type = topic.to_owned();
    Ok(Decoded { dedupe_key, event_type, livemode: true, repeated: None, notices })
}

impl Order {
    fn at(&self, field: &Option<String>, now: Timestamp) -> Option<Timestamp> {
        zoneless(field.as_deref()?, "%Y-%m-%dT%H:%M:%S", now)
    }

    fn money(&self) -> Result<Money, Refusal> {
        let total = need(self.total.as_ref(), "total")?;
        amount::decimal(&total.0, need(self.currency.as_deref(), "currency")?)
    }

    fn payer(&self) -> Payer {
        let billing = self.billing.as_ref();
        let name = billing.map(|of| [of.first_name.as_deref(), of.last_name.as_deref()]);
        let name = name.map(|parts| parts.into_iter().flatten().collect::<Vec<_>>().join(" "));
        // Guests have the id 0. Customers count up in each shop, like orders.
        let customer = text(self.customer_id.clone()).filter(|id| id != "0");
        Payer {
            customer: customer.map(|id| format!("woocommerce:{id}")),
            person: person(billing.and_then(|of| of.email.clone()), name),
            wclid: carried(&self.meta_data),
        }
    }

    fn renews(&self) -> Option<String> {
        let field = self.meta_data.as_array()?.iter().find(|field| field["key"] == RENEWAL)?;
        let value = serde_json::from_value::<Text>(field["value"].clone()).ok()?;
        text(Some(value)).map(|id| format!("woocommerce:{id}"))
    }

    fn notices(&self, id: &str, now: Timestamp) -> Result<Vec<Notice>, Refusal> {
        let status = self.status.as_deref().unwrap_or_default();
        let paid = match status {
            "processing" | "completed" => true,
            // A refunded order was paid before, unless it never was.
            "refunded" => self.date_paid_gmt.is_some() || !self.refunds.is_empty(),
            _ => false,
        };
        if !paid {
            return Ok(Vec::new());
        }
        let own = self.order_key.clone().filter(|key| !key.is_empty());
        let own = own.unwrap_or_else(|| format!("woocommerce:{id}"));
        let payment = text(self.transaction_id.clone());
        let payment = payment.filter(|id| GATEWAYS.iter().any(|prefix| id.starts_with(prefix)));
        let order_keys = names([Some(own), payment]);
        let amount = self.money()?;
        let renews = self.renews();
        let made = self.at(&self.date_paid_gmt, now).or_else(|| self.at(&self.date_created_gmt, now));
        let mut notices = vec![Notice::Paid {
            order_keys: order_keys.clone(),
            renewal: renews.is_some(),
            amount,
            payer: self.payer(),
            subscription: renews,
            occurred_at: made.unwrap_or(now),
        }];
        let changed = self.at(&self.date_modified_gmt, now).unwrap_or(now);
        let refunded = |returned| Notice::Refunded {
            order_keys: order_keys.clone(),
            returned,
            reason: RefundReason::Refund,
            occurred_at: changed,
        };
        for refund in &self.refunds {
            let text = refund.total.0.strip_prefix('-').unwrap_or(&refund.total.0);
            let amount = amount::decimal(text, amount.currency.as_str())?;
            let refund = refund.id.0.clone();
            notices.push(refunded(Returned::Single { refund, amount, reversed: false }));
        }
        if status == "refunded" && self.refunds.is_empty() {
            notices.push(refunded(Returned::Cumulative(amount)));
        }
        Ok(notices)
    }

    fn subscription(&self, id: &str, unit: &str, now: Timestamp) -> Result<Notice, Refusal> {
        let units = self.billing_interval.as_ref().and_then(|text| text.0.parse().ok());
        Ok(Notice::Subscription {
            subscription: format!("woocommerce:{id}"),
            payer: self.payer(),
            status: self.status.clone().unwrap_or_default(),
            price: self.total.as_ref().map(|_| self.money()).transpose()?,
            interval: Some((unit.to_owned(), units.unwrap_or(1))),
            occurred_at: self.at(&self.date_modified_gmt, now).unwrap_or(now),
        })
    }
}

#[cfg(test)]
mod tests;
