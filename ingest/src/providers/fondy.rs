//! Fondy, and Flitt and hutko which run its protocol (docs.flitt.com/api/callbacks): `signature` inside the
//! body is plain SHA-1 of `secret|v1|v2…`, the values sorted by key, without the empty and the null ones and
//! without `signature` and `response_signature_string`. The body is JSON or a form.
//!
//! Only values are signed, not their keys, and `|` is not escaped: the scheme is the provider's and is weak.
//! Amounts are therefore read as digits and nothing else, and the signed values are the ones decoded.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha1::{Digest as _, Sha1};
use subtle::ConstantTimeEq;
use weir_schemas::conversion::RefundReason;
use weir_schemas::fact::Returned;
use weir_schemas::money::Money;
use weir_schemas::time::Timestamp;

use super::fields::{carried, carried_or_whole, names, need, person, zoneless};
use super::signature::hex;
use super::{Decoded, Incoming, Notice, Payer, Refusal, amount};

const FIELD: &str = "signature";
/// Most fields of one callback; the documentation lists about forty.
const FIELDS_MAX: usize = 256;

/// The fields as they are signed; the empty ones left out.
type Fields = BTreeMap<String, String>;

fn fields(body: &[u8]) -> Result<Fields, Refusal> {
    let mut fields = Fields::new();
    let mut keep = |key: String, value: String| {
        if !value.is_empty() {
            fields.insert(key, value);
        }
        if fields.len() > FIELDS_MAX { Err(Refusal::Malformed("too many fields".to_owned())) } else { Ok(()) }
    };
    if body.trim_ascii_start().first() == Some(&b'{') {
        let raw: BTreeMap<String, &RawValue> =
            serde_json::from_slice(body).map_err(|error| Refusal::Malformed(error.to_string()))?;
        for (key, value) in raw {
            // A number is signed as it is written, a text as what it says.
            let text = match value.get() {
                "null" => continue,
                text if text.starts_with('"') => serde_json::from_str(text)
                    .map_err(|error| Refusal::Malformed(format!("`{key}`: {error}")))?,
                text => text.to_owned(),
            };
            keep(key, text)?;
        }
    } else {
        for (key, value) in url::form_urlencoded::parse(body) {
            keep(key.into_owned(), value.into_owned())?;
        }
    }
    Ok(fields)
}

/// What is signed, after the secret.
fn signed(fields: &Fields) -> String {
    let unsigned = ["signature", "response_signature_string"];
    let values = fields.iter().filter(|(key, _)| !unsigned.contains(&key.as_str()));
    values.fold(String::new(), |all, (_, value)| all + "|" + value)
}

/// Verifies the signature inside the body.
pub fn verify(secrets: &[String], incoming: Incoming<'_>) -> Result<(), Refusal> {
    let fields = fields(incoming.body)?;
    let written = fields.get(FIELD).ok_or(Refusal::SignatureMissing(FIELD))?;
    let expected = hex(written).ok_or(Refusal::SignatureMalformed(FIELD))?;
    let signed = signed(&fields);
    let matches = secrets.iter().any(|secret| {
        let digest = Sha1::new().chain_update(secret).chain_update(&signed).finalize();
        digest.as_slice().ct_eq(&expected).into()
    });
    if matches { Ok(()) } else { Err(Refusal::SignatureMismatch) }
}

/// The body with its signature in place of the one it has, if any.
pub fn sign(secret: &str, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let signed = signed(&fields(body)?);
    let digest = Sha1::new().chain_update(secret).chain_update(&signed).finalize();
    let mut whole: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| Refusal::Malformed(error.to_string()))?;
    whole.insert(FIELD.to_owned(), Value::String(weir_edge::idempotency::hex(&digest)));
    Ok(Value::Object(whole).to_string().into_bytes())
}

/// Decodes a verified body.
pub fn decode(incoming: Incoming<'_>) -> Result<Decoded, Refusal> {
    let fields = fields(incoming.body)?;
    let field = |name: &str| fields.get(name).cloned();
    let status = need(field("order_status"), "order_status")?;
    let payment = need(field("payment_id"), "payment_id")?;
    let reversed = field("reversal_amount").unwrap_or_else(|| "0".to_owned());
    let extra: Value =
        field("additional_info").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let at = field("order_time").and_then(|text| zoneless(&text, "%d.%m.%Y %H:%M:%S", incoming.now));
    let mut notices = Vec::new();
    if matches!(status.as_str(), "approved" | "reversed") {
        let order_keys = names([
            field("order_id").map(|id| format!("fondy:{id}")),
            Some(format!("fondy:payment:{payment}")),
        ]);
        let code = need(field("currency"), "currency")?;
        let paid = amount::minor_text(&need(field("amount"), "amount")?, &code)?;
        let back = amount::minor_text(&reversed, &code)?;
        // A reversed order of which no part is named went back as a whole.
        let back = if status == "reversed" && back.amount == 0 { paid } else { back };
        notices.push(self::paid(&fields, &order_keys, paid, at.unwrap_or(incoming.now)));
        if back.amount > 0 {
            notices.push(Notice::Refunded {
                order_keys,
                returned: Returned::Cumulative(back),
                reason: RefundReason::Refund,
                // The body tells when the order was made, not when it was reversed.
                occurred_at: incoming.now,
            });
        }
    }
    Ok(Decoded {
        dedupe_key: format!("{payment}:{status}:{reversed}"),
        event_type: format!("order.{status}"),
        livemode: extra["is_test"] != Value::Bool(true),
        repeated: None,
        notices,
    })
}

fn paid(fields: &Fields, order_keys: &[String], amount: Money, occurred_at: Timestamp) -> Notice {
    let field = |name: &str| fields.get(name).cloned();
    let parent = field("parent_order_id");
    // The first order of a subscription is the one whose card may be charged again.
    let first = field("rectoken").and_then(|_| field("order_id"));
    let subscription = parent.clone().or(first).map(|id| format!("fondy:{id}"));
    let merchant_data = field("merchant_data").map(Value::String);
    let wclid = merchant_data
        .as_ref()
        .and_then(|data| carried(data).or_else(|| carried_or_whole(data.as_str()?)))
        .or_else(|| carried_or_whole(&field("order_id")?));
    Notice::Paid {
        order_keys: order_keys.to_vec(),
        renewal: parent.is_some(),
        amount,
        payer: Payer { customer: None, person: person(field("sender_email"), None), wclid },
        subscription,
        occurred_at,
    }
}

#[cfg(test)]
mod tests;
