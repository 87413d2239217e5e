//! The contract of conversions and refunds (api.md, Conversions and payments).

use serde::{Deserialize, Serialize};

use crate::commission::{CommissionKind, CommissionStatus};
use crate::ids::{ClickId, CommissionId, ConversionId, CustomerId, LinkId, PartnerId, ProgramId};
use crate::money::Money;
use crate::signal::Signal;
use crate::time::Timestamp;

/// What is known of the customer's person; kept sealed under the customer's own key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Person {
    /// Mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Properties by which a program's terms and fulfilments decide. They say something of goods, not of people: they stay
/// in clear, and when the customer is erased, because what the sale earns is computed from them again.
pub const TERMS_PROPERTIES: [&str; 3] = ["product", "tag", "tags"];

/// `POST /v1/conversions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConversion {
    /// `lead`, `sale`, `renewal`, or any custom name.
    pub event: String,
    /// The shop's number for the order; with `event` the identity of the conversion.
    #[serde(default)]
    pub order_id: Option<String>,
    /// The click token that travelled to the shop.
    #[serde(default)]
    pub wclid: Option<String>,
    /// The click's id, where the caller kept that instead.
    #[serde(default)]
    pub click_id: Option<String>,
    /// The caller's own id of the customer.
    #[serde(default)]
    pub customer_id: Option<String>,
    /// A coupon that names a partner.
    #[serde(default)]
    pub coupon: Option<String>,
    /// A partner's code.
    #[serde(default)]
    pub partner_code: Option<String>,
    /// What was paid; none for a lead.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub amount: Option<Money>,
    /// The customer's person.
    #[serde(default)]
    pub customer: Option<Person>,
    /// When it happened; now where absent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub occurred_at: Option<Timestamp>,
    /// The subscription it belongs to.
    #[serde(default)]
    pub subscription_id: Option<String>,
    /// Anything else, kept and given back.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub properties: serde_json::Map<String, serde_json::Value>,
}

/// Why money goes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefundReason {
    /// The merchant gave it back.
    #[default]
    Refund,
    /// The bank took it back.
    Chargeback,
}

/// `POST /v1/refunds`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRefund {
    /// The order.
    pub order_id: String,
    /// How much of it; all that is left where absent.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub amount: Option<Money>,
    /// Why.
    #[serde(default)]
    pub reason: RefundReason,
    /// The identity of this refund; a repeat changes nothing.
    #[serde(default)]
    pub refund_id: Option<String>,
    /// When it happened; now where absent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub occurred_at: Option<Timestamp>,
}

/// By what a conversion was credited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttributionRule {
    /// The click token.
    Wclid,
    /// The click's id.
    ClickId,
    /// A coupon.
    Coupon,
    /// A partner's code.
    PartnerCode,
    /// The customer's earlier click.
    Customer,
    /// The subscription's first conversion.
    Subscription,
}

/// To what a conversion was credited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Attribution {
    /// The rule that took it.
    pub rule: AttributionRule,
    /// The link.
    #[schema(value_type = Option<String>)]
    pub link_id: Option<LinkId>,
    /// The partner.
    #[schema(value_type = Option<String>)]
    pub partner_id: Option<PartnerId>,
    /// The program.
    #[schema(value_type = Option<String>)]
    pub program_id: Option<ProgramId>,
    /// The click.
    #[schema(value_type = Option<String>)]
    pub click_id: Option<ClickId>,
    /// When that click was.
    #[schema(value_type = Option<String>)]
    pub clicked_at: Option<Timestamp>,
}

/// A commission as it stands on the conversion's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CommissionLine {
    /// Its id.
    #[schema(value_type = String)]
    pub id: CommissionId,
    /// For what it is.
    pub kind: CommissionKind,
    /// Who earns it.
    #[schema(value_type = String)]
    pub partner_id: PartnerId,
    /// How much the partner earns, net of reversals and of the platform's fee.
    #[schema(value_type = Object)]
    pub amount: Money,
    /// What the platform keeps of it, net of reversals.
    #[schema(value_type = Object)]
    pub platform_fee: Money,
    /// The tier that it was earned in; `null` for the base.
    pub tier: Option<String>,
    /// How far it is on its way to the partner.
    pub status: CommissionStatus,
}

/// What makes a conversion suspicious.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NoticedSignal {
    /// The signal.
    #[schema(value_type = String)]
    pub signal: Signal,
    /// By what it was noticed, for people.
    pub evidence: String,
}

/// A conversion as the API answers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Conversion {
    /// Its id.
    #[schema(value_type = String)]
    pub id: ConversionId,
    /// `lead`, `sale`, `renewal` or the custom name.
    pub event: String,
    /// The order.
    pub order_id: Option<String>,
    /// Weir's id of the customer.
    #[schema(value_type = Option<String>)]
    pub customer: Option<CustomerId>,
    /// The caller's id of the customer.
    pub customer_id: Option<String>,
    /// The subscription.
    pub subscription_id: Option<String>,
    /// What was paid.
    #[schema(value_type = Option<Object>)]
    pub amount: Option<Money>,
    /// What went back so far, in minor units of `amount`'s currency.
    #[schema(value_type = Option<Object>)]
    pub refunded: Option<Money>,
    /// Who reported it: `api`, `stripe`, `postback`, …
    pub provider: String,
    /// When it happened.
    #[schema(value_type = String)]
    pub occurred_at: Timestamp,
    /// When Weir had it.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// To what it was credited; `null` where to nothing.
    pub attribution: Option<Attribution>,
    /// What partners earn by it.
    pub commissions: Vec<CommissionLine>,
    /// What makes it suspicious, the gravest first; labels, for which nothing is dropped.
    #[serde(default)]
    pub signals: Vec<NoticedSignal>,
    /// Given back as it came.
    #[schema(value_type = Object)]
    pub properties: serde_json::Map<String, serde_json::Value>,
}
