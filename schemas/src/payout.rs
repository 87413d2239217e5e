//! The contract of payouts: what is due to partners, paid in batches (api.md, Programs and money).

use serde::{Deserialize, Serialize};

use crate::ids::{PartnerId, PayoutId, ProgramId};
use crate::money::{Currency, Money};
use crate::time::Timestamp;

/// How far a payout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayoutStatus {
    /// Decided, not sent.
    Pending,
    /// On its way.
    Processing,
    /// Arrived.
    Paid,
    /// Came back: what it held is due again.
    Failed,
    /// Called off: what it held is due again.
    Cancelled,
}

impl PayoutStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Processing, Self::Paid, Self::Failed, Self::Cancelled];

    /// The name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether a payout may go from here to `next`. Where it is already, it may stay.
    pub fn may_become(self, next: Self) -> bool {
        match self {
            Self::Pending => true,
            Self::Processing => next != Self::Pending,
            Self::Paid | Self::Failed | Self::Cancelled => next == self,
        }
    }
}

/// What of all that is due is to be paid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PayoutScope {
    /// Earned in this program only.
    #[schema(value_type = Option<String>)]
    pub program_id: Option<ProgramId>,
    /// To this partner only.
    #[schema(value_type = Option<String>)]
    pub partner_id: Option<PartnerId>,
    /// In this currency only.
    #[schema(value_type = Option<String>)]
    pub currency: Option<Currency>,
}

/// A payout to one partner in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Payout {
    /// Its id; `null` in a preview.
    #[schema(value_type = Option<String>)]
    pub id: Option<PayoutId>,
    /// The batch it was made in; `null` in a preview.
    #[schema(value_type = Option<String>)]
    pub batch_id: Option<PayoutId>,
    /// To whom.
    #[schema(value_type = String)]
    pub partner_id: PartnerId,
    /// How far it is.
    pub status: PayoutStatus,
    /// How much.
    #[schema(value_type = Object)]
    pub amount: Money,
    /// How many commissions it holds, those included that take something back.
    pub commissions: u64,
    /// The bank's or provider's number of it.
    pub reference: Option<String>,
    /// Why it failed or was called off.
    pub reason: Option<String>,
    /// When it was made; `null` in a preview.
    #[schema(value_type = Option<String>)]
    pub created_at: Option<Timestamp>,
    /// When it was changed last; `null` in a preview.
    #[schema(value_type = Option<String>)]
    pub updated_at: Option<Timestamp>,
}

/// What is due and not paid yet, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CarriedOn {
    /// To whom.
    #[schema(value_type = String)]
    pub partner_id: PartnerId,
    /// How much; negative where more went back than is due.
    #[schema(value_type = Object)]
    pub amount: Money,
    /// Why.
    pub reason: String,
}

/// A batch of payouts, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PayoutBatch {
    /// Its id; `null` in a preview. Everything that can be done with a payout can be done with its batch.
    #[schema(value_type = Option<String>)]
    pub id: Option<PayoutId>,
    /// Nothing was booked.
    pub dry_run: bool,
    /// The payouts.
    pub data: Vec<Payout>,
    /// Their sums by currency.
    #[schema(value_type = Vec<Object>)]
    pub totals: Vec<Money>,
    /// What stays due.
    pub carried: Vec<CarriedOn>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_decided_stays_decided() {
        for decided in [PayoutStatus::Paid, PayoutStatus::Failed, PayoutStatus::Cancelled] {
            for next in PayoutStatus::ALL {
                assert_eq!(decided.may_become(next), next == decided, "{decided:?} to {next:?}");
            }
        }
        assert!(PayoutStatus::Pending.may_become(PayoutStatus::Paid));
        assert!(!PayoutStatus::Processing.may_become(PayoutStatus::Pending));
    }
}
