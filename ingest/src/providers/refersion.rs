//! Refersion (refersion.dev, webhooks): `Refersion-Signature` over the raw body, HMAC-SHA256 in base64, no
//! time. The topic is an unsigned header: what happened is read from the signed `status`, so a captured body
//! cannot be made into another event.

use serde::Deserialize;
use serde_json::Value;
use weir_schemas::conversion::RefundReason;
use weir_schemas::fact::Returned;
use weir_schemas::money::Money;

use super::fields::{
    Text, WCLID, carried, carried_or_whole, flag, json, names, need, person, text, zoneless,
};
use super::signature::{Encoding, verify_body};
use super::{Decoded, Incoming, Notice, Payer, Refusal, amount};

const HEADER: &str = "Refersion-Signature";
const TOPIC: &str = "Refersion-Topic";
/// Fields of the click block in which a network keeps what the link was called with.
const CLICK_FIELDS: [&str; 6] = [WCLID, "sub_id", "subid", "landing_page", "landing_url", "url"];

/// Verifies the signature on the raw bytes.
pub fn verify(secrets: &[String], incoming: Incoming<'_>) -> Result<(), Refusal> {
    verify_body(secrets, incoming, HEADER, Encoding::Base64)
}

#[derive(Deserialize)]
struct Event {
    id: Option<Text>,
    created: Option<String>,
    status: Option<String>,
    is_recurring: Option<Text>,
    total: Option<Text>,
    currency: Option<String>,
    order_id: Option<Text>,
    customer: Option<Customer>,
    #[serde(default)]
    click: Value,
}

#[derive(Deserialize)]
struct Customer {
    id: Option<Text>,
    email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
}

/// Decodes a verified body.
pub fn decode(incoming: Incoming<'_>) -> Result<Decoded, Refusal> {
    let event: Event = json(incoming.body)?;
    let topic = incoming.headers.get(TOPIC).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let id = need(text(event.id.clone()), "id")?;
    let status = event.status.clone().unwrap_or_default().to_ascii_uppercase();
    let event_type =
        if topic.is_empty() { format!("conversion.{}", status.to_lowercase()) } else { topic.to_owned() };
    let notices = match status.as_str() {
        // Affiliates and payouts have statuses too, and no total.
        "APPROVED" | "PAID" if event.total.is_some() => vec![event.paid(&id, incoming)?],
        "DENIED" if event.total.is_some() => vec![event.denied(&id, incoming)?],
        _ => Vec::new(),
    };
    Ok(Decoded {
        dedupe_key: format!("{id}:{topic}:{status}"),
        event_type,
        livemode: true,
        repeated: None,
        notices,
    })
}

impl Event {
    fn order_keys(&self, id: &str) -> Vec<String> {
        // The shop's own number: refersion hangs on a shop, whose order ids are not unique by themselves.
        let order = text(self.order_id.clone()).map(|order| format!("refersion:order:{order}"));
        names([Some(format!("refersion:{id}")), order])
    }

    fn money(&self) -> Result<Money, Refusal> {
        let total = need(self.total.as_ref(), "total")?;
        amount::decimal(&total.0, need(self.currency.as_deref(), "currency")?)
    }

    fn paid(&self, id: &str, incoming: Incoming<'_>) -> Result<Notice, Refusal> {
        let made = self.created.as_deref().and_then(|at| zoneless(at, "%Y-%m-%d %H:%M:%S", incoming.now));
        let customer = self.customer.as_ref();
        let name = customer.map(|of| [of.first_name.as_deref(), of.last_name.as_deref()]);
        let name = name.map(|parts| parts.into_iter().flatten().collect::<Vec<_>>().join(" "));
        let in_click = CLICK_FIELDS.iter().filter_map(|field| self.click.get(field)?.as_str());
        Ok(Notice::Paid {
            order_keys: self.order_keys(id),
            renewal: flag(self.is_recurring.clone()),
            amount: self.money()?,
            payer: Payer {
                customer: customer.and_then(|of| text(of.id.clone())).map(|id| format!("refersion:{id}")),
                person: person(customer.and_then(|of| of.email.clone()), name),
                wclid: carried(&self.click).or_else(|| in_click.into_iter().find_map(carried_or_whole)),
            },
            subscription: None,
            occurred_at: made.unwrap_or(incoming.now),
        })
    }

    /// A conversion that was denied after it had been approved is worth nothing.
    fn denied(&self, id: &str, incoming: Incoming<'_>) -> Result<Notice, Refusal> {
        Ok(Notice::Refunded {
            order_keys: self.order_keys(id),
            returned: Returned::Cumulative(self.money()?),
            reason: RefundReason::Refund,
            occurred_at: incoming.now,
        })
    }
}

#[cfg(test)]
mod tests;
