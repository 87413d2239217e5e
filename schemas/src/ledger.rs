//! The contract of the ledger: accounts, each of one owner, kind and currency, and their entries. What an owner has is
//! positive; every fact's entries add up to zero in each currency.

use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, CommissionId, ConversionId, PayoutId, Sequence};
use crate::money::Money;
use crate::time::Timestamp;

/// Whose an account is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The business itself.
    Merchant,
    /// Who runs the program and takes the fee.
    Platform,
    /// A partner.
    Partner,
    /// A customer.
    Customer,
}

impl Owner {
    /// Every owner.
    pub const ALL: [Self; 4] = [Self::Merchant, Self::Platform, Self::Partner, Self::Customer];

    /// The name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Merchant => "merchant",
            Self::Platform => "platform",
            Self::Partner => "partner",
            Self::Customer => "customer",
        }
    }

    /// The owner of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|owner| owner.as_str() == name)
    }
}

/// An account as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Account {
    /// Its id.
    #[schema(value_type = String)]
    pub id: AccountId,
    /// Whose it is.
    pub owner: Owner,
    /// The partner's or customer's id.
    pub owner_id: Option<String>,
    /// What is on it: `revenue`, `refunds`, `clearing:stripe`, `commissions`, `cashback`, `fee`, `pending`, `approved`,
    /// `held`, `processing`, `paid`, `cashback_pending`, `cashback_available`, `cashback_claimed`.
    pub kind: String,
    /// What is on it now.
    #[schema(value_type = Object)]
    pub balance: Money,
    /// How many entries it has.
    pub entries: u64,
}

/// An entry of an account, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AccountEntry {
    /// Its number in the ledger.
    pub id: u64,
    /// The fact that made it: entries of one sequence are one transaction.
    pub sequence: Sequence,
    /// What it is: `sale`, `refund`, `commission`, `platform_fee`, `approval`, `payout`, …
    #[serde(rename = "type")]
    pub what: String,
    /// What it adds.
    #[schema(value_type = Object)]
    pub amount: Money,
    /// What is on the account after it.
    #[schema(value_type = Object)]
    pub balance: Money,
    /// The conversion concerned.
    #[schema(value_type = Option<String>)]
    pub conversion_id: Option<ConversionId>,
    /// The commission concerned.
    #[schema(value_type = Option<String>)]
    pub commission_id: Option<CommissionId>,
    /// The payout concerned.
    #[schema(value_type = Option<String>)]
    pub payout_id: Option<PayoutId>,
    /// When it was booked.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
}
