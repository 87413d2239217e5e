//! Postbacks: what an affiliate network tells by one request from server to server. Every network has names of its own
//! for the same few things; a postback token says how its network's names and statuses are to be read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::money::Currency;

/// What a network is called and how it speaks. All of it may be changed later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PostbackSettings {
    /// For people.
    pub name: String,
    /// Stands before this network's `txid`s (`acme:1001`), so that the numbers of two networks never meet.
    pub network: Option<String>,
    /// The network's parameter → ours: `{"aff_sub": "click_id", "transaction_id": "txid", "amount": "payout"}`.
    pub parameters: BTreeMap<String, String>,
    /// The network's word for a status → ours: `{"confirmed": "approved", "declined": "rejected"}`.
    pub statuses: BTreeMap<String, String>,
    /// Addresses (CIDR) from which it may call; empty: from anywhere.
    pub allow: Vec<String>,
    /// Of payouts that come without a currency; the workspace's where absent.
    #[schema(value_type = Option<String>)]
    pub currency: Option<Currency>,
}

/// The parameters that a postback may have.
pub const PARAMETERS: &[&str] = &[
    "token",
    "click_id",
    "wclid",
    "txid",
    "payout",
    "currency",
    "status",
    "event",
    "refund_id",
    "customer_id",
    "coupon",
    "partner_code",
    "occurred_at",
];

/// How far a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PostbackStatus {
    /// Somebody signed up.
    Lead,
    /// Somebody bought; the network has not checked it yet.
    Sale,
    /// It checked and pays.
    Approved,
    /// It checked and does not pay: the sale is taken back.
    Rejected,
    /// The customer got money back: the payout named, else all of it.
    Refunded,
}

impl PostbackStatus {
    /// All of them, by name.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("lead", Self::Lead),
        ("sale", Self::Sale),
        ("approved", Self::Approved),
        ("rejected", Self::Rejected),
        ("refunded", Self::Refunded),
    ];

    /// The status of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, status)| *status)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, status)| *status == self).map_or("", |(name, _)| name)
    }

    /// Whether it takes something back.
    pub fn takes_back(self) -> bool {
        matches!(self, Self::Rejected | Self::Refunded)
    }
}
