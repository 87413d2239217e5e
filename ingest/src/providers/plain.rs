//! Weir's own event, for senders whose scheme fixes no body (`standard`, `generic`):
//!
//! ```json
//! {"id": "evt_1", "type": "sale", "timestamp": "2026-11-21T10:00:00Z", "livemode": true,
//!  "data": {"order_id": "1001", "amount": "19.99", "currency": "USD", "wclid": "…",
//!           "customer_id": "c1", "email": "a@b.example", "name": "A. B."}}
//! ```
//!
//! An `amount` that is a JSON integer is minor units, one that is a text is a decimal in major units; a JSON
//! fraction is refused, because its digits have passed through floating point at the sender.

use serde::Deserialize;
use serde_json::Value;
use weir_edge::idempotency::sha256_hex;
use weir_schemas::conversion::RefundReason;
use weir_schemas::fact::{DisputeState, Returned};
use weir_schemas::json::{ReadError, from_slice, from_value};
use weir_schemas::money::Money;
use weir_schemas::time::Timestamp;

use super::fields::{Text, bad, carried, names, need, person, text, time, unix};
use super::{Decoded, Incoming, Notice, Payer, Refusal, amount};

#[derive(Deserialize)]
struct Event {
    id: Option<Text>,
    #[serde(rename = "type", alias = "event", alias = "event_type")]
    kind: Option<Text>,
    #[serde(alias = "occurred_at", alias = "created_at")]
    timestamp: Option<Text>,
    livemode: Option<bool>,
    data: Option<Value>,
}

#[derive(Deserialize)]
struct Data {
    order_id: Option<Text>,
    amount: Option<Value>,
    currency: Option<Text>,
    #[serde(default)]
    renewal: bool,
    customer_id: Option<Text>,
    email: Option<Text>,
    name: Option<Text>,
    wclid: Option<Text>,
    #[serde(default)]
    metadata: Value,
    subscription_id: Option<Text>,
    status: Option<Text>,
    interval: Option<Text>,
    interval_count: Option<u32>,
    refund_id: Option<Text>,
    /// What went back in all; a refund may tell this or its own `amount`.
    total_refunded: Option<Value>,
    dispute_id: Option<Text>,
    occurred_at: Option<Text>,
}

/// Decodes a verified body.
pub fn decode(incoming: Incoming<'_>) -> Result<Decoded, Refusal> {
    let event: Event = from_slice(incoming.body).map_err(|error| match error {
        ReadError::NotJson(error) => Refusal::Malformed(error.to_string()),
        ReadError::DoesNotFit(problem) => Refusal::Malformed(problem.detail),
    })?;
    let kind = text(event.kind).unwrap_or_else(|| "unknown".to_owned());
    let at = moment(event.timestamp.as_ref(), "timestamp")?.unwrap_or(incoming.now);
    let data = event.data.unwrap_or(Value::Null);
    let notice = match kind.as_str() {
        "sale" | "paid" | "order.paid" | "order.completed" | "payment.succeeded" | "payment.completed" => {
            Some(read(data)?.paid(false, at)?)
        }
        "renewal" | "subscription.renewed" => Some(read(data)?.paid(true, at)?),
        "refund" | "refunded" | "order.refunded" | "payment.refunded" | "refund.created"
        | "refund.succeeded" => Some(read(data)?.refunded(false, at)?),
        "refund.failed" => Some(read(data)?.refunded(true, at)?),
        "dispute.opened" | "dispute.created" => Some(read(data)?.disputed(DisputeState::Open, at)?),
        "dispute.won" => Some(read(data)?.disputed(DisputeState::Won, at)?),
        "dispute.lost" => Some(read(data)?.disputed(DisputeState::Lost, at)?),
        kind => match kind.strip_prefix("subscription.") {
            Some(word) => Some(read(data)?.subscription(word, at)?),
            None => None,
        },
    };
    // Without an id of its own an event is itself: a repeat has the same bytes.
    let dedupe_key = text(event.id).unwrap_or_else(|| format!("sha256:{}", sha256_hex(incoming.body)));
    Ok(Decoded {
        dedupe_key,
        event_type: kind,
        livemode: event.livemode.unwrap_or(true),
        repeated: None,
        notices: notice.into_iter().collect(),
    })
}

fn read(data: Value) -> Result<Data, Refusal> {
    from_value(data).map_err(|problem| Refusal::Malformed(format!("data: {}", problem.detail)))
}

fn moment(field: Option<&Text>, name: &str) -> Result<Option<Timestamp>, Refusal> {
    field
        .map(|Text(text)| match text.parse::<i64>() {
            Ok(seconds) => unix(seconds, name),
            Err(_) => time(text, name),
        })
        .transpose()
}

impl Data {
    fn at(&self, at: Timestamp) -> Result<Timestamp, Refusal> {
        Ok(moment(self.occurred_at.as_ref(), "data.occurred_at")?.unwrap_or(at))
    }

    fn order(&mut self) -> Result<Vec<String>, Refusal> {
        Ok(names([Some(need(text(self.order_id.take()), "data.order_id")?)]))
    }

    fn money(&self, value: Option<&Value>, field: &str) -> Result<Money, Refusal> {
        let code = self.currency.as_ref().map(|code| code.0.as_str());
        let (value, code) = match need(value, field)? {
            Value::Object(money) => {
                let code = money.get("currency").and_then(Value::as_str).or(code);
                (need(money.get("amount"), field)?, code)
            }
            value => (value, code),
        };
        let code = need(code, "data.currency")?;
        match value {
            Value::Number(number) => {
                let units = number.as_i64().ok_or_else(|| {
                    bad(field, "must be an integer of minor units, or a decimal written as a text")
                })?;
                amount::minor(units, code)
            }
            Value::String(decimal) => amount::decimal(decimal, code),
            _ => Err(bad(field, "must be an integer or a text")),
        }
    }

    fn payer(&mut self) -> Payer {
        Payer {
            customer: text(self.customer_id.take()),
            person: person(text(self.email.take()), text(self.name.take())),
            wclid: text(self.wclid.take()).or_else(|| carried(&self.metadata)),
        }
    }

    fn paid(mut self, renewal: bool, at: Timestamp) -> Result<Notice, Refusal> {
        Ok(Notice::Paid {
            order_keys: self.order()?,
            renewal: renewal || self.renewal,
            amount: self.money(self.amount.as_ref(), "data.amount")?,
            occurred_at: self.at(at)?,
            payer: self.payer(),
            subscription: text(self.subscription_id),
        })
    }

    fn refunded(mut self, reversed: bool, at: Timestamp) -> Result<Notice, Refusal> {
        let order_keys = self.order()?;
        let returned = match (&self.total_refunded, reversed) {
            (Some(total), false) => Returned::Cumulative(self.money(Some(total), "data.total_refunded")?),
            _ => {
                let amount = self.money(self.amount.as_ref(), "data.amount")?;
                let refund = need(text(self.refund_id.clone()), "data.refund_id or data.total_refunded")?;
                Returned::Single { refund, amount, reversed }
            }
        };
        Ok(Notice::Refunded { order_keys, returned, reason: RefundReason::Refund, occurred_at: self.at(at)? })
    }

    fn disputed(mut self, state: DisputeState, at: Timestamp) -> Result<Notice, Refusal> {
        Ok(Notice::Disputed {
            order_keys: self.order()?,
            dispute: need(text(self.dispute_id.clone()), "data.dispute_id")?,
            amount: self.money(self.amount.as_ref(), "data.amount")?,
            state,
            occurred_at: self.at(at)?,
        })
    }

    fn subscription(mut self, word: &str, at: Timestamp) -> Result<Notice, Refusal> {
        let price = self.amount.as_ref().map(|price| self.money(Some(price), "data.amount")).transpose()?;
        let interval = text(self.interval.take()).map(|unit| (unit, self.interval_count.unwrap_or(1)));
        let occurred_at = self.at(at)?;
        let payer = self.payer();
        Ok(Notice::Subscription {
            subscription: need(text(self.subscription_id), "data.subscription_id")?,
            payer,
            status: text(self.status).unwrap_or_else(|| word.to_owned()),
            price,
            interval,
            occurred_at,
        })
    }
}
