//! Gumroad (gumroad.com/ping): nothing is signed. What tells Gumroad from others is a secret token in the URL
//! it was given, in the path (`/hooks/whk_…/TOKEN`) or as the value of any query parameter (`?token=TOKEN`),
//! and the `seller_id` of the body where the endpoint's settings have one. Use a long random token.
//!
//! The body is a form. A retry adds `retry_count`, so the rest is what makes a repeat a repeat.

use std::collections::BTreeMap;

use subtle::ConstantTimeEq;
use weir_schemas::conversion::RefundReason;
use weir_schemas::fact::{DisputeState, Returned};
use weir_schemas::money::Money;
use weir_schemas::time::Timestamp;

use super::fields::{bad, need, person, time};
use super::settings::Settings;
use super::{Decoded, Incoming, Notice, Payer, Refusal, amount};

const TOKEN: &str = "the token in the URL";
const SELLER: &str = "seller_id";
/// Most values of the query that are compared with the secrets.
const QUERY_MAX: usize = 8;
/// Most fields read of one ping: a product's custom fields and URL parameters are in it.
const FIELDS_MAX: usize = 512;
/// Shortest token. It is the only thing that stands between a stranger and the books.
const TOKEN_MIN: usize = 8;

/// A token cannot be guessed.
pub fn check_secret(secret: &str) -> Result<(), &'static str> {
    if secret.len() < TOKEN_MIN { Err("must be a token of at least 8 characters") } else { Ok(()) }
}

/// Verifies the token in the URL and the seller in the body.
pub fn verify(secrets: &[String], settings: &Settings, incoming: Incoming<'_>) -> Result<(), Refusal> {
    let query = url::form_urlencoded::parse(incoming.query.as_bytes()).take(QUERY_MAX);
    let mut given: Vec<String> = query.map(|(_, value)| value.into_owned()).collect();
    given.push(incoming.segment.to_owned());
    given.retain(|token| !token.is_empty());
    if given.is_empty() {
        return Err(Refusal::SignatureMissing(TOKEN));
    }
    let same = |a: &str, b: &str| bool::from(a.as_bytes().ct_eq(b.as_bytes()));
    if !secrets.iter().any(|secret| given.iter().any(|token| same(token, secret))) {
        return Err(Refusal::SignatureMismatch);
    }
    let Some(seller) = &settings.seller_id else { return Ok(()) };
    let fields = fields(incoming.body)?;
    let told = fields.get(SELLER).ok_or(Refusal::SignatureMissing(SELLER))?;
    if same(told, seller) { Ok(()) } else { Err(Refusal::SignatureMismatch) }
}

type Fields = BTreeMap<String, String>;

fn fields(body: &[u8]) -> Result<Fields, Refusal> {
    let fields: Fields = url::form_urlencoded::parse(body).into_owned().take(FIELDS_MAX + 1).collect();
    if fields.len() > FIELDS_MAX {
        return Err(Refusal::Malformed("too many fields".to_owned()));
    }
    Ok(fields)
}

/// Decodes a body whose token was verified.
pub fn decode(incoming: Incoming<'_>) -> Result<Decoded, Refusal> {
    let mut fields = fields(incoming.body)?;
    fields.remove("retry_count");
    let field = |name: &str| fields.get(name).filter(|value| !value.is_empty()).cloned();
    let kind = field("resource_name").unwrap_or_else(|| "sale".to_owned());
    let subject = need(field("sale_id").or_else(|| field("subscription_id")), "sale_id")?;
    let at = |name: &str| field(name).map_or(Ok(incoming.now), |text| time(&text, name));
    let notice = match kind.as_str() {
        "sale" => Some(paid(&fields, at("sale_timestamp")?)?),
        // The time of the sale is all that is told, so what came after it is dated by its arrival.
        "refund" => refunded(&fields, incoming.now)?,
        "dispute" => Some(disputed(&fields, DisputeState::Open, incoming.now)?),
        "dispute_won" => Some(disputed(&fields, DisputeState::Won, incoming.now)?),
        "cancellation" => Some(subscription(&fields, "cancelled", at("cancelled_at")?)?),
        "subscription_ended" => Some(subscription(&fields, "ended", at("ended_at")?)?),
        "subscription_restarted" => Some(subscription(&fields, "active", at("restarted_at")?)?),
        _ => None,
    };
    let when = ["cancelled_at", "ended_at", "restarted_at"].into_iter().find_map(field);
    let back = field("amount_refundable_in_currency");
    let parts = [Some(subject), Some(kind.clone()), when, back];
    let dedupe_key = parts.into_iter().flatten().collect::<Vec<_>>().join(":");
    let repeated = fields.iter().map(|(key, value)| format!("{key}={value}\n")).collect::<String>();
    Ok(Decoded {
        dedupe_key,
        event_type: kind,
        livemode: field("test").as_deref() != Some("true"),
        repeated: Some(repeated.into_bytes()),
        notices: notice.into_iter().collect(),
    })
}

/// An order's name: sale ids are base64, so they say by their prefix whose they are.
fn order(fields: &Fields) -> Result<String, Refusal> {
    Ok(format!("gumroad:{}", need(fields.get("sale_id"), "sale_id")?))
}

/// `price` is in cents of `currency`.
fn price(fields: &Fields) -> Result<Money, Refusal> {
    let code = fields.get("currency").map_or("usd", String::as_str);
    amount::minor_text(need(fields.get("price"), "price")?, code)
}

fn payer(fields: &Fields) -> Payer {
    let field = |name: &str| fields.get(name).filter(|value| !value.is_empty()).cloned();
    let wclid = field("url_params[wclid]").or_else(|| field("wclid"));
    Payer {
        customer: field("purchaser_id").or_else(|| field("user_id")).map(|id| format!("gumroad:{id}")),
        person: person(field("email").or_else(|| field("user_email")), field("full_name")),
        wclid,
    }
}

fn lineage(fields: &Fields) -> Option<String> {
    let id = fields.get("subscription_id").filter(|value| !value.is_empty())?;
    Some(format!("gumroad:{id}"))
}

fn paid(fields: &Fields, occurred_at: Timestamp) -> Result<Notice, Refusal> {
    Ok(Notice::Paid {
        order_keys: vec![order(fields)?],
        renewal: fields.get("is_recurring_charge").is_some_and(|flag| flag == "true"),
        amount: price(fields)?,
        payer: payer(fields),
        subscription: lineage(fields),
        occurred_at,
    })
}

fn refunded(fields: &Fields, occurred_at: Timestamp) -> Result<Option<Notice>, Refusal> {
    let price = price(fields)?;
    let total = match fields.get("amount_refundable_in_currency").filter(|value| !value.is_empty()) {
        Some(left) => {
            let left = amount::decimal(left, price.currency.as_str())?;
            let back = price.amount.checked_sub(left.amount).filter(|back| *back >= 0);
            let amount = back.ok_or_else(|| bad("amount_refundable_in_currency", "exceeds the price"))?;
            Money { amount, ..price }
        }
        // A part went back and nothing tells how much: better unknown than wrong.
        None if fields.get("partially_refunded").is_some_and(|flag| flag == "true") => return Ok(None),
        None => price,
    };
    Ok(Some(Notice::Refunded {
        order_keys: vec![order(fields)?],
        returned: Returned::Cumulative(total),
        reason: RefundReason::Refund,
        occurred_at,
    }))
}

fn disputed(fields: &Fields, state: DisputeState, occurred_at: Timestamp) -> Result<Notice, Refusal> {
    let order = order(fields)?;
    let amount = price(fields)?;
    // Gumroad gives a dispute no id: there is one per sale.
    Ok(Notice::Disputed { dispute: order.clone(), order_keys: vec![order], amount, state, occurred_at })
}

fn subscription(fields: &Fields, status: &str, occurred_at: Timestamp) -> Result<Notice, Refusal> {
    Ok(Notice::Subscription {
        subscription: need(lineage(fields), "subscription_id")?,
        payer: payer(fields),
        status: status.to_owned(),
        price: None,
        interval: None,
        occurred_at,
    })
}

#[cfg(test)]
mod tests;
