//! PayPal (developer.paypal.com/api/rest/webhooks): RSA-SHA256 over `id|time|webhook id|CRC-32 of the body`
//! (decimal), in base64. The endpoint's secret is the webhook's id.
//!
//! The certificate is the endpoint's setting and is pinned: the engine fetches nothing. PayPal names where it
//! can be had in `PAYPAL-CERT-URL`, whose host must be PayPal's; after PayPal has changed its certificate,
//! deliveries are refused (and repeated for three days) until the new one stands beside the old. Its chain
//! and its dates are not checked: whoever sets it vouches for it.

use serde::Deserialize;
use weir_schemas::conversion::RefundReason;
use weir_schemas::fact::{DisputeState, Returned};
use weir_schemas::money::Money;
use weir_schemas::time::Timestamp;

use super::fields::{Text, bad, carried_or_whole, json, need, person, text, time};
use super::settings::Settings;
use super::signature::{base64, header};
use super::{Decoded, Incoming, Notice, Payer, Refusal, amount};

mod certificate;

const ID: &str = "PAYPAL-TRANSMISSION-ID";
const TIME: &str = "PAYPAL-TRANSMISSION-TIME";
const SIGNATURE: &str = "PAYPAL-TRANSMISSION-SIG";
const CERT_URL: &str = "PAYPAL-CERT-URL";
const ALGORITHM: &str = "PAYPAL-AUTH-ALGO";

/// The certificates can be read.
pub fn check_settings(settings: &Settings) -> Result<(), (&'static str, String)> {
    const FIELD: &str = "settings.certificate";
    let Some(pem) = &settings.certificate else {
        let why = "is needed: the certificate that PAYPAL-CERT-URL names, as PEM";
        return Err((FIELD, why.to_owned()));
    };
    certificate::keys(pem).map(|_| ()).map_err(|error| (FIELD, error.to_string()))
}

/// Verifies the signature on the raw bytes.
pub fn verify(secrets: &[String], settings: &Settings, incoming: Incoming<'_>) -> Result<(), Refusal> {
    let id = header(incoming.headers, ID)?;
    let time = header(incoming.headers, TIME)?;
    let algorithm = header(incoming.headers, ALGORITHM)?;
    let url = header(incoming.headers, CERT_URL)?;
    let signature = base64(header(incoming.headers, SIGNATURE)?.trim());
    let signature = signature.ok_or(Refusal::SignatureMalformed(SIGNATURE))?;
    if algorithm != "SHA256withRSA" {
        return Err(Refusal::SignatureMalformed(ALGORITHM));
    }
    if !is_paypals(url) {
        return Err(Refusal::SignatureMalformed(CERT_URL));
    }
    let keys = certificate::keys(settings.certificate.as_deref().unwrap_or_default());
    let keys = keys.map_err(|_| Refusal::SignatureMismatch)?;
    let sum = crc32(incoming.body);
    let matches = secrets.iter().any(|webhook| {
        let signed = format!("{id}|{time}|{webhook}|{sum}");
        keys.iter().any(|key| certificate::verifies(key, signed.as_bytes(), &signature))
    });
    if matches { Ok(()) } else { Err(Refusal::SignatureMismatch) }
}

/// The headers of a delivery as PayPal makes them, signed with a key of one's own.
pub fn sign(
    private_key: &[u8],
    webhook: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<Vec<(&'static str, String)>, String> {
    let sum = crc32(body);
    let id = format!("{:016x}-{sum:08x}", now.0);
    let time = now.to_string();
    let signature = certificate::sign(private_key, format!("{id}|{time}|{webhook}|{sum}").as_bytes())?;
    Ok(vec![
        ("paypal-transmission-id", id),
        ("paypal-transmission-time", time),
        ("paypal-transmission-sig", signature),
        ("paypal-cert-url", "https://api.paypal.com/v1/notifications/certs/CERT-of-your-own".to_owned()),
        ("paypal-auth-algo", "SHA256withRSA".to_owned()),
    ])
}

/// Whether a certificate's address is one of PayPal's hosts over TLS.
fn is_paypals(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let host = url.host_str().is_some_and(|host| host == "paypal.com" || host.ends_with(".paypal.com"));
    url.scheme() == "https" && host && url.port().is_none() && url.username().is_empty()
}

/// CRC-32 of IEEE 802.3, bit by bit: bodies are small and the RSA beside it costs more.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg()))
    })
}

#[derive(Deserialize)]
struct Event {
    id: String,
    event_type: String,
    create_time: String,
    resource: Resource,
    #[serde(default)]
    links: Vec<Link>,
}

#[derive(Deserialize, Clone)]
struct Link {
    href: String,
    rel: Option<String>,
}

/// Every field that one of the kinds of resource uses.
#[derive(Deserialize)]
struct Resource {
    id: Option<String>,
    status: Option<String>,
    amount: Option<Amount>,
    create_time: Option<String>,
    custom_id: Option<String>,
    custom: Option<String>,
    invoice_id: Option<String>,
    billing_agreement_id: Option<String>,
    sale_id: Option<String>,
    seller_payable_breakdown: Option<Breakdown>,
    total_refunded_amount: Option<Amount>,
    #[serde(default)]
    links: Vec<Link>,
    // of a dispute
    dispute_id: Option<String>,
    dispute_amount: Option<Amount>,
    dispute_life_cycle_stage: Option<String>,
    dispute_outcome: Option<Outcome>,
    #[serde(default)]
    disputed_transactions: Vec<Disputed>,
    // of a subscription
    subscriber: Option<Subscriber>,
}

/// Version 2 writes `value` and `currency_code`, version 1 `total` and `currency`.
#[derive(Deserialize)]
struct Amount {
    #[serde(alias = "total")]
    value: Text,
    #[serde(alias = "currency")]
    currency_code: String,
}

#[derive(Deserialize)]
struct Breakdown {
    total_refunded_amount: Option<Amount>,
}

#[derive(Deserialize)]
struct Outcome {
    outcome_code: Option<String>,
}

#[derive(Deserialize)]
struct Disputed {
    seller_transaction_id: Option<String>,
    gross_amount: Option<Amount>,
}

#[derive(Deserialize)]
struct Subscriber {
    payer_id: Option<String>,
    email_address: Option<String>,
}

/// Decodes a verified body.
pub fn decode(incoming: Incoming<'_>) -> Result<Decoded, Refusal> {
    let event: Event = json(incoming.body)?;
    if event.id.is_empty() {
        return Err(bad("id", "is empty"));
    }
    let at = time(&event.create_time, "create_time")?;
    let of = &event.resource;
    let notices = match event.event_type.as_str() {
        "PAYMENT.CAPTURE.COMPLETED" | "PAYMENT.SALE.COMPLETED" => vec![of.paid(at)?],
        "PAYMENT.CAPTURE.REFUNDED" | "PAYMENT.SALE.REFUNDED" => of.refunded(at)?,
        "PAYMENT.CAPTURE.REVERSED" | "PAYMENT.SALE.REVERSED" => vec![of.reversed(at)?],
        "CUSTOMER.DISPUTE.CREATED" | "CUSTOMER.DISPUTE.UPDATED" | "CUSTOMER.DISPUTE.RESOLVED" => {
            of.disputed(&event.event_type, at)?
        }
        kind => match kind.strip_prefix("BILLING.SUBSCRIPTION.") {
            Some(word) => vec![of.subscription(word, at)?],
            None => Vec::new(),
        },
    };
    let sandbox = |link: &Link| link.href.starts_with("https://api.sandbox.paypal.com/");
    let livemode = !event.links.iter().chain(&of.links).any(sandbox);
    Ok(Decoded { dedupe_key: event.id, event_type: event.event_type, livemode, repeated: None, notices })
}

fn money(amount: &Amount) -> Result<Money, Refusal> {
    // Version 1 writes what goes back with a minus.
    let text = amount.value.0.strip_prefix('-').unwrap_or(&amount.value.0);
    amount::decimal(text, &amount.currency_code)
}

fn order_key(id: &str) -> Vec<String> {
    vec![format!("paypal:{id}")]
}

/// One dispute per payment, whichever of PayPal's two kinds of events tells of it.
fn dispute_name(payment: &str) -> String {
    format!("dispute of {payment}")
}

impl Resource {
    fn wclid(&self) -> Option<String> {
        let custom = [&self.custom_id, &self.custom].into_iter().flatten().find(|text| !text.is_empty());
        let custom = custom.map(|text| carried_or_whole(text).unwrap_or_else(|| text.clone()));
        custom.or_else(|| carried_or_whole(self.invoice_id.as_deref()?))
    }

    fn at(&self, at: Timestamp) -> Result<Timestamp, Refusal> {
        self.create_time.as_deref().map_or(Ok(at), |at| time(at, "resource.create_time"))
    }

    fn paid(&self, at: Timestamp) -> Result<Notice, Refusal> {
        let amount = need(self.amount.as_ref(), "resource.amount")?;
        Ok(Notice::Paid {
            order_keys: order_key(need(self.id.as_deref(), "resource.id")?),
            // PayPal does not tell a subscription's first payment from the next.
            renewal: false,
            amount: amount::decimal(&amount.value.0, &amount.currency_code)?,
            payer: Payer { customer: None, person: None, wclid: self.wclid() },
            subscription: text(self.billing_agreement_id.clone().map(Text)),
            occurred_at: self.at(at)?,
        })
    }

    /// The payment that a refund is of: named by version 1, linked by version 2.
    fn parent(&self) -> Result<String, Refusal> {
        if let Some(sale) = &self.sale_id {
            return Ok(sale.clone());
        }
        let up = self.links.iter().find(|link| link.rel.as_deref() == Some("up"));
        let id = up.and_then(|link| link.href.trim_end_matches('/').rsplit('/').next());
        need(id.filter(|id| !id.is_empty()).map(str::to_owned), "resource.links[rel=up]")
    }

    fn refunded(&self, at: Timestamp) -> Result<Vec<Notice>, Refusal> {
        if matches!(self.status.as_deref(), Some("PENDING")) {
            return Ok(Vec::new());
        }
        let reversed = matches!(self.status.as_deref(), Some("FAILED" | "CANCELLED"));
        let order_keys = order_key(&self.parent()?);
        let (reason, occurred_at) = (RefundReason::Refund, self.at(at)?);
        let amount = money(need(self.amount.as_ref(), "resource.amount")?)?;
        let refund = need(self.id.clone(), "resource.id")?;
        let refunded =
            |returned| Notice::Refunded { order_keys: order_keys.clone(), returned, reason, occurred_at };
        let mut notices = vec![refunded(Returned::Single { refund, amount, reversed })];
        // The total stands beside it, and makes up for refunds whose event never came.
        let breakdown = self.seller_payable_breakdown.as_ref();
        let total = breakdown.and_then(|of| of.total_refunded_amount.as_ref());
        if let Some(total) = total.or(self.total_refunded_amount.as_ref())
            && !reversed
        {
            notices.push(refunded(Returned::Cumulative(money(total)?)));
        }
        Ok(notices)
    }

    /// PayPal took the money back for the buyer's bank.
    fn reversed(&self, at: Timestamp) -> Result<Notice, Refusal> {
        let payment = self.parent().or_else(|refusal| self.id.clone().ok_or(refusal))?;
        Ok(Notice::Disputed {
            order_keys: order_key(&payment),
            dispute: dispute_name(&payment),
            amount: money(need(self.amount.as_ref(), "resource.amount")?)?,
            state: DisputeState::Lost,
            occurred_at: at,
        })
    }

    fn disputed(&self, kind: &str, at: Timestamp) -> Result<Vec<Notice>, Refusal> {
        need(self.dispute_id.as_ref(), "resource.dispute_id")?;
        let outcome = self.dispute_outcome.as_ref().and_then(|of| of.outcome_code.as_deref());
        let state = match outcome {
            Some("RESOLVED_BUYER_FAVOUR" | "ACCEPTED") => DisputeState::Lost,
            // With a payout PayPal pays the buyer out of its own pocket.
            Some("RESOLVED_SELLER_FAVOUR" | "RESOLVED_WITH_PAYOUT" | "CANCELED_BY_BUYER" | "DENIED") => {
                DisputeState::Won
            }
            _ if kind == "CUSTOMER.DISPUTE.RESOLVED" => DisputeState::Won,
            _ if self.dispute_life_cycle_stage.as_deref() == Some("INQUIRY") => DisputeState::Inquiry,
            _ => DisputeState::Open,
        };
        let whole = need(self.dispute_amount.as_ref(), "resource.dispute_amount")?;
        let several = self.disputed_transactions.len() > 1;
        let mut notices = Vec::with_capacity(self.disputed_transactions.len());
        for of in &self.disputed_transactions {
            let Some(payment) = &of.seller_transaction_id else { continue };
            let part = of.gross_amount.as_ref().filter(|_| several).unwrap_or(whole);
            notices.push(Notice::Disputed {
                order_keys: order_key(payment),
                dispute: dispute_name(payment),
                amount: money(part)?,
                state,
                occurred_at: at,
            });
        }
        Ok(notices)
    }

    fn subscription(&self, word: &str, at: Timestamp) -> Result<Notice, Refusal> {
        let status = match word {
            "PAYMENT.FAILED" => "past_due".to_owned(),
            word => self.status.as_deref().unwrap_or(word).to_ascii_lowercase(),
        };
        let subscriber = self.subscriber.as_ref();
        Ok(Notice::Subscription {
            subscription: need(self.id.clone(), "resource.id")?,
            payer: Payer {
                customer: subscriber.and_then(|of| of.payer_id.clone()),
                person: person(subscriber.and_then(|of| of.email_address.clone()), None),
                wclid: self.wclid(),
            },
            status,
            price: None,
            interval: None,
            occurred_at: at,
        })
    }
}

#[cfg(test)]
mod tests;
