//! The contract of statements: what a partner earned, lost again and was paid in a month.

use serde::{Deserialize, Serialize};

use crate::ids::{CommissionId, ConversionId, PayoutId};
use crate::money::{Currency, Money};
use crate::time::Timestamp;

/// A month's sums in one currency: `opening + earned + reversed - paid = closing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StatementSums {
    /// Of which currency.
    #[schema(value_type = String)]
    pub currency: Currency,
    /// What was owed before the month, pending and held included.
    #[schema(value_type = Object)]
    pub opening: Money,
    /// What was earned, and what came back of what had been reversed.
    #[schema(value_type = Object)]
    pub earned: Money,
    /// What went back; negative.
    #[schema(value_type = Object)]
    pub reversed: Money,
    /// What was paid.
    #[schema(value_type = Object)]
    pub paid: Money,
    /// What is owed after it.
    #[schema(value_type = Object)]
    pub closing: Money,
}

/// A month in the list of statements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StatementOf {
    /// `2026-11`.
    pub month: String,
    /// Its sums, each currency by itself.
    pub currencies: Vec<StatementSums>,
}

/// A line of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StatementLine {
    /// When it was booked.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// `commission`, `referral`, `bonus`, `reversal`, `restoration`, `payout_paid`.
    #[serde(rename = "type")]
    pub what: String,
    /// What it changes.
    #[schema(value_type = Object)]
    pub amount: Money,
    /// What is owed after it.
    #[schema(value_type = Object)]
    pub balance: Money,
    /// The order concerned.
    pub order_id: Option<String>,
    /// The conversion concerned.
    #[schema(value_type = Option<String>)]
    pub conversion_id: Option<ConversionId>,
    /// The commission concerned.
    #[schema(value_type = Option<String>)]
    pub commission_id: Option<CommissionId>,
    /// The payout concerned.
    #[schema(value_type = Option<String>)]
    pub payout_id: Option<PayoutId>,
}

/// A month in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Statement {
    /// `2026-11`.
    pub month: String,
    /// Its sums.
    #[serde(flatten)]
    pub sums: StatementSums,
    /// What happened, in order.
    pub lines: Vec<StatementLine>,
}
