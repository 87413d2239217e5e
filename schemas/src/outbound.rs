//! The contract of outbound webhooks: where a workspace wants to be told, and of what.

use serde::{Deserialize, Serialize};

use crate::ids::ProgramId;

/// Everything that can be subscribed to.
pub const EVENTS: &[&str] = &[
    "conversion.created",
    "refund.created",
    "refund.reversed",
    "milestone.reached",
    "payout.created",
    "payout.paid",
    "payout.failed",
    "alert.fired",
    "alert.resolved",
    "partner.created",
    "partner.approved",
    "cashback.claimed",
];

/// An endpoint of the caller's, as far as the caller sets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutboundSpec {
    /// Where to `POST`.
    pub url: String,
    /// Of what to tell; empty: of everything.
    #[serde(default)]
    pub events: Vec<String>,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Whether anything is sent. Turned off by the engine after repeated failure.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Why the engine turned it off; nobody else sets it.
    #[serde(default)]
    pub disabled_reason: Option<String>,
}

fn yes() -> bool {
    true
}

impl OutboundSpec {
    /// Whether this endpoint is told of such an event.
    pub fn wants(&self, event: &str) -> bool {
        self.events.is_empty() || self.events.iter().any(|wanted| wanted == event)
    }
}

/// What a sale is fulfilled with: a link of its own, with an end. A fulfilment's links lead to `destination`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FulfilmentSpec {
    /// For people.
    #[serde(default)]
    pub name: String,
    /// The conversions that mint a link.
    #[serde(default = "sale")]
    pub event: String,
    /// Only of this program.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub program_id: Option<ProgramId>,
    /// Only where the conversion's property `product` has this value.
    #[serde(default)]
    pub product: Option<String>,
    /// Where the link leads.
    pub destination: String,
    /// Days until it ends.
    #[serde(default = "week")]
    pub expires_days: u32,
    /// How often it may be used; 1: once.
    #[serde(default = "five")]
    pub max_uses: u64,
}

fn sale() -> String {
    "sale".to_owned()
}

fn week() -> u32 {
    7
}

fn five() -> u64 {
    5
}
