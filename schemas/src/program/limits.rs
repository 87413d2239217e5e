//! What a program counts over time: caps, beyond which nothing more is earned, and milestones, which are announced and
//! may bring a bonus. Days and months are the calendar's, in UTC.

use serde::{Deserialize, Serialize};

use super::{add, check_money, check_name, null_is_default};
use crate::ids::{CommissionId, ConversionId, PartnerId, ProgramId};
use crate::money::Money;
use crate::problem::FieldError;
use crate::time::Timestamp;

/// Most caps of one program.
pub const CAPS_MAX: usize = 20;
/// Most milestones of one program.
pub const MILESTONES_MAX: usize = 50;
/// The highest number of orders or signups that a milestone may ask.
pub(super) const COUNT_MAX: u64 = 1_000_000_000_000;

/// Over which time something is counted.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// A day, UTC.
    Day,
    /// A calendar month, UTC.
    Month,
    /// As long as the program lives.
    #[default]
    Program,
}

impl Span {
    /// The name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Program => "program",
        }
    }

    /// The span of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Day, Self::Month, Self::Program].into_iter().find(|span| span.as_str() == name)
    }
}

/// For whom something is counted.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Each partner by itself.
    #[default]
    Partner,
    /// All partners of the program together.
    Program,
}

impl Scope {
    /// The name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Partner => "partner",
            Self::Program => "program",
        }
    }
}

/// The most that is given in commissions, the platform's fee included. What is beyond it is not earned, and
/// the commission says so. What goes back makes no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// Over which time.
    pub per: Span,
    /// For whom.
    #[serde(default, deserialize_with = "null_is_default")]
    pub scope: Scope,
    /// How much; commissions in other currencies are not capped by it.
    #[schema(value_type = Object)]
    pub amount: Money,
}

/// What a milestone asks. Exactly one of the three.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<u64>,
    /// Gross revenue, in one currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub revenue: Option<Money>,
    /// Signups: conversions of the events `lead` and `signup`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signups: Option<u64>,
}

impl Target {
    /// `orders`, `revenue` or `signups`.
    pub fn metric(&self) -> &'static str {
        match (self.orders, self.revenue) {
            (Some(_), _) => "orders",
            (None, Some(_)) => "revenue",
            (None, None) => "signups",
        }
    }

    /// How many, or how much in minor units.
    pub fn value(&self) -> i64 {
        let count = self.orders.or(self.signups).unwrap_or_default();
        self.revenue.map_or(i64::try_from(count).unwrap_or(i64::MAX), |money| money.amount)
    }
}

/// A milestone: told once for each partner (or program) and span, by webhook, mail and in the live events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Milestone {
    /// For people, and what it is known by: no other of the program has it.
    pub name: String,
    /// What it asks.
    pub target: Target,
    /// Over which time.
    #[serde(default, deserialize_with = "null_is_default")]
    pub per: Span,
    /// For whom.
    #[serde(default, deserialize_with = "null_is_default")]
    pub scope: Scope,
    /// What a partner earns by reaching it; only where it is counted for each partner.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub bonus: Option<Money>,
}

/// How a milestone stands, for one partner or the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MilestoneProgress {
    /// Of which program.
    #[schema(value_type = String)]
    pub program_id: ProgramId,
    /// That program's name.
    pub program: String,
    /// The milestone's name.
    pub name: String,
    /// For whom it is counted.
    pub scope: Scope,
    /// The partner; `null` where all are counted together.
    #[schema(value_type = Option<String>)]
    pub partner_id: Option<PartnerId>,
    /// That partner's name.
    pub partner: Option<String>,
    /// Over which time.
    pub per: Span,
    /// The day (`2026-11-21`) or month (`2026-11`) that is counted; `null` for as long as the program lives.
    pub span: Option<String>,
    /// `orders`, `revenue` or `signups`.
    pub metric: String,
    /// What it asks.
    pub target: Target,
    /// What there is of it, in the target's unit.
    pub value: i64,
    /// What is asked, in the same unit.
    pub goal: i64,
    /// `value` of `goal` in basis points, 10,000 at most.
    pub progress_bp: u32,
    /// Whether it was reached.
    pub reached: bool,
    /// When.
    #[schema(value_type = Option<String>)]
    pub reached_at: Option<Timestamp>,
    /// What a partner earns by reaching it.
    #[schema(value_type = Option<Object>)]
    pub bonus: Option<Money>,
}

/// A milestone that was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MilestoneReached {
    /// Of which program.
    #[schema(value_type = String)]
    pub program_id: ProgramId,
    /// The milestone's name.
    pub name: String,
    /// For whom it was counted.
    pub scope: Scope,
    /// The partner; `null` where all are counted together.
    #[schema(value_type = Option<String>)]
    pub partner_id: Option<PartnerId>,
    /// Over which time.
    pub per: Span,
    /// The day or month.
    pub span: Option<String>,
    /// `orders`, `revenue` or `signups`.
    pub metric: String,
    /// What it asked.
    pub target: Target,
    /// What there was when it was reached, in the target's unit.
    pub value: i64,
    /// By which conversion.
    #[schema(value_type = String)]
    pub conversion_id: ConversionId,
    /// The bonus that it brought.
    #[schema(value_type = Option<Object>)]
    pub bonus: Option<Money>,
    /// That bonus as a commission.
    #[schema(value_type = Option<String>)]
    pub commission_id: Option<CommissionId>,
    /// When.
    #[schema(value_type = String)]
    pub reached_at: Timestamp,
}

pub(super) fn check_caps(caps: &[Cap], errors: &mut Vec<FieldError>) {
    if caps.len() > CAPS_MAX {
        add(errors, "commission.caps", format!("holds more than {CAPS_MAX}"));
    }
    for (n, cap) in caps.iter().enumerate() {
        check_money(&format!("commission.caps[{n}].amount"), cap.amount, errors);
    }
}

pub(super) fn check_milestones(milestones: &[Milestone], errors: &mut Vec<FieldError>) {
    if milestones.len() > MILESTONES_MAX {
        add(errors, "milestones", format!("holds more than {MILESTONES_MAX}"));
    }
    for (n, milestone) in milestones.iter().enumerate() {
        let field = format!("milestones[{n}]");
        check_name(&format!("{field}.name"), &milestone.name, errors);
        if milestones[..n].iter().any(|earlier| earlier.name == milestone.name) {
            add(errors, &format!("{field}.name"), "another milestone of the program has it");
        }
        let Target { orders, revenue, signups } = milestone.target;
        let target = format!("{field}.target");
        if usize::from(orders.is_some()) + usize::from(revenue.is_some()) + usize::from(signups.is_some())
            != 1
        {
            add(errors, &target, "must have exactly one of `orders`, `revenue` and `signups`");
        }
        for (name, count) in [("orders", orders), ("signups", signups)] {
            if count.is_some_and(|count| !(1..=COUNT_MAX).contains(&count)) {
                add(errors, &format!("{target}.{name}"), format!("must be 1 to {COUNT_MAX}"));
            }
        }
        if let Some(money) = revenue {
            check_money(&format!("{target}.revenue"), money, errors);
            if money.amount == 0 {
                add(errors, &format!("{target}.revenue.amount"), "must be more than 0");
            }
        }
        if let Some(bonus) = milestone.bonus {
            check_money(&format!("{field}.bonus"), bonus, errors);
            if milestone.scope == Scope::Program {
                add(errors, &format!("{field}.bonus"), "is for milestones that are counted for each partner");
            }
        }
    }
}
