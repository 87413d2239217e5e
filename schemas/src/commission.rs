//! The contract of commissions: what partners earn, and how far it is on its way to them (api.md, Programs and money).

use serde::{Deserialize, Serialize};

use crate::ids::{CommissionId, ConversionId, CustomerId, PartnerId, PayoutId, ProgramId};
use crate::money::Money;
use crate::program::{Cap, Rate};
use crate::time::Timestamp;

/// For what something is earned.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CommissionKind {
    /// A partner's, for a sale.
    Commission,
    /// A partner's, for a customer who is new.
    Referral,
    /// A partner's, for a milestone.
    Bonus,
    /// A customer's, for a purchase.
    Cashback,
    /// A customer's, for having come by a partner.
    Welcome,
}

impl CommissionKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Commission, Self::Referral, Self::Bonus, Self::Cashback, Self::Welcome];

    /// The name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commission => "commission",
            Self::Referral => "referral",
            Self::Bonus => "bonus",
            Self::Cashback => "cashback",
            Self::Welcome => "welcome",
        }
    }

    /// The kind of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether a partner earns it; else a customer.
    pub const fn is_partners(self) -> bool {
        matches!(self, Self::Commission | Self::Referral | Self::Bonus)
    }
}

/// How far something earned is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommissionStatus {
    /// Within its hold.
    Pending,
    /// Beyond its hold: due to be paid.
    Approved,
    /// Paid.
    Paid,
    /// A person took it back.
    Rejected,
    /// All of its sale went back, or its credit went elsewhere.
    Reversed,
    /// Kept from being paid for a reason.
    Held,
}

impl CommissionStatus {
    /// Every status.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Approved, Self::Paid, Self::Rejected, Self::Reversed, Self::Held];

    /// The name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Paid => "paid",
            Self::Rejected => "rejected",
            Self::Reversed => "reversed",
            Self::Held => "held",
        }
    }

    /// The status of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// What a person decided on a commission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is approved now, whatever is left of its hold.
    Approve,
    /// It is kept from being paid.
    Hold,
    /// It is no longer held.
    Release,
    /// It is taken back.
    Reject,
}

/// A commission as it is answered; also a customer's cashback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Commission {
    /// Its id.
    #[schema(value_type = String)]
    pub id: CommissionId,
    /// For what it is.
    pub kind: CommissionKind,
    /// The partner who earns it.
    #[schema(value_type = Option<String>)]
    pub partner_id: Option<PartnerId>,
    /// The customer who earns it.
    #[schema(value_type = Option<String>)]
    pub customer: Option<CustomerId>,
    /// The program.
    #[schema(value_type = String)]
    pub program_id: ProgramId,
    /// By which version of its terms.
    pub program_version: u32,
    /// The conversion it is for.
    #[schema(value_type = String)]
    pub conversion_id: ConversionId,
    /// That conversion's order.
    pub order_id: Option<String>,
    /// How far it is.
    pub status: CommissionStatus,
    /// How much, net of reversals and of the platform's fee.
    #[schema(value_type = Object)]
    pub amount: Money,
    /// How much it was before anything went back.
    #[schema(value_type = Object)]
    pub original: Money,
    /// What the platform keeps of it, net of reversals.
    #[schema(value_type = Object)]
    pub platform_fee: Money,
    /// How much of it is in a payout or was paid.
    #[schema(value_type = Object)]
    pub paid: Money,
    /// The sale it is computed of.
    #[schema(value_type = Object)]
    pub sale: Money,
    /// At which rate.
    pub rate: Rate,
    /// The tier, for a bonus the milestone; `null` for the base.
    pub tier: Option<String>,
    /// What a cap of the program took of it: it was never earned.
    #[schema(value_type = Object)]
    pub capped: Money,
    /// The cap that took it.
    pub cap: Option<Cap>,
    /// Why it is held, rejected or reversed.
    pub reason: Option<String>,
    /// The payout that it is in, or was paid by.
    #[schema(value_type = Option<String>)]
    pub payout_id: Option<PayoutId>,
    /// When the conversion happened.
    #[schema(value_type = String)]
    pub occurred_at: Timestamp,
    /// When its hold ends.
    #[schema(value_type = String)]
    pub due_at: Timestamp,
    /// When it was booked.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When it was changed last.
    #[schema(value_type = String)]
    pub updated_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_contract() {
        for kind in CommissionKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(CommissionKind::from_name(kind.as_str()), Some(kind));
        }
        for status in CommissionStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert_eq!(CommissionStatus::from_name(status.as_str()), Some(status));
        }
    }
}
