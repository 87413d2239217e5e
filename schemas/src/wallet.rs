//! The contract of wallets: a customer's cashback and welcome gifts, and what they claimed of them.

use serde::{Deserialize, Serialize};

use crate::commission::CommissionKind;
use crate::ids::{CommissionId, ConversionId, CustomerId, PayoutId, ProgramId};
use crate::money::{Currency, Money};
use crate::time::Timestamp;

/// How far something in a wallet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WalletState {
    /// Within its hold.
    Pending,
    /// Beyond its hold; with the rest of the wallet it is still below the least payout.
    Confirmed,
    /// It can be claimed.
    Payable,
    /// It was claimed.
    Claimed,
    /// Its sale went back, or a person declined it.
    Declined,
    /// It is kept back for a reason.
    Held,
}

/// What a wallet has of one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WalletBalance {
    /// Which.
    #[schema(value_type = String)]
    pub currency: Currency,
    /// Within its hold.
    #[schema(value_type = Object)]
    pub pending: Money,
    /// Kept back.
    #[schema(value_type = Object)]
    pub held: Money,
    /// Beyond its hold and not payable; negative where more went back than there was.
    #[schema(value_type = Object)]
    pub confirmed: Money,
    /// What a claim would take.
    #[schema(value_type = Object)]
    pub payable: Money,
    /// What was claimed.
    #[schema(value_type = Object)]
    pub claimed: Money,
    /// What it takes to claim anything.
    #[schema(value_type = Option<Object>)]
    pub minimum: Option<Money>,
}

/// Something that was claimed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Claim {
    /// Its id.
    #[schema(value_type = String)]
    pub id: PayoutId,
    /// How much.
    #[schema(value_type = Object)]
    pub amount: Money,
    /// Of how many purchases and gifts, those included that take something back.
    pub items: u64,
    /// The caller's number of it.
    pub reference: Option<String>,
    /// When.
    #[schema(value_type = String)]
    pub claimed_at: Timestamp,
}

/// A customer's wallet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Wallet {
    /// Whose, by Weir's id.
    #[schema(value_type = String)]
    pub customer: CustomerId,
    /// Whose, by the caller's.
    pub customer_id: String,
    /// What it has.
    pub balances: Vec<WalletBalance>,
    /// The last claims, the newest first.
    pub claims: Vec<Claim>,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClaimOutcome {
    /// One for each currency.
    pub claimed: Vec<Claim>,
    /// The wallet after it.
    pub wallet: Wallet,
}

/// What brought something into a wallet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct WalletLine {
    /// Its id: a commission's.
    #[schema(value_type = String)]
    pub id: CommissionId,
    /// `cashback` or `welcome`.
    pub kind: CommissionKind,
    /// How far it is.
    pub state: WalletState,
    /// What it is worth now.
    #[schema(value_type = Object)]
    pub amount: Money,
    /// What it was before anything went back.
    #[schema(value_type = Object)]
    pub original: Money,
    /// What of it was claimed.
    #[schema(value_type = Object)]
    pub claimed: Money,
    /// The purchase.
    #[schema(value_type = Object)]
    pub sale: Money,
    /// The program.
    #[schema(value_type = String)]
    pub program_id: ProgramId,
    /// The conversion.
    #[schema(value_type = String)]
    pub conversion_id: ConversionId,
    /// The claim that it is in.
    #[schema(value_type = Option<String>)]
    pub claim_id: Option<PayoutId>,
    /// Why it is held or declined.
    pub reason: Option<String>,
    /// When the purchase was.
    #[schema(value_type = String)]
    pub occurred_at: Timestamp,
    /// When its hold ends.
    #[schema(value_type = String)]
    pub due_at: Timestamp,
}
