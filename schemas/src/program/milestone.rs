//! Milestones of a program: goals that are announced once they are reached.

use serde::{Deserialize, Serialize};

use super::{add, check_money, check_name};
use crate::money::{AMOUNT_MAX, Money};
use crate::problem::FieldError;

/// Most milestones of one program.
pub const MILESTONES_MAX: usize = 50;

/// What a milestone counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MilestoneMetric {
    /// Orders.
    Orders,
    /// Gross revenue, in minor units of `currency`.
    Revenue,
    /// Leads.
    Signups,
}

/// Over which time a milestone counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MilestonePeriod {
    /// The UTC day.
    Day,
    /// The calendar month, UTC.
    Month,
    /// From the beginning.
    #[default]
    Program,
}

/// Whose numbers a milestone counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MilestoneScope {
    /// Each partner's own.
    #[default]
    Partner,
    /// All of the program's.
    Program,
}

/// A goal that is announced once when it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Milestone {
    /// Its identity within the program.
    pub name: String,
    /// What is counted.
    pub metric: MilestoneMetric,
    /// How much is to be reached; for `revenue` in minor units.
    pub goal: i64,
    /// For `revenue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub currency: Option<crate::money::Currency>,
    /// Over which time.
    #[serde(default)]
    pub per: MilestonePeriod,
    /// Whose numbers.
    #[serde(default)]
    pub scope: MilestoneScope,
    /// What the partner gets who reaches it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub bonus: Option<Money>,
}

pub(super) fn check(milestones: &[Milestone], errors: &mut Vec<FieldError>) {
    if milestones.len() > MILESTONES_MAX {
        add(errors, "milestones", format!("holds more than {MILESTONES_MAX}"));
    }
    for (n, milestone) in milestones.iter().enumerate() {
        let field = |name: &str| format!("milestones[{n}].{name}");
        check_name(&field("name"), &milestone.name, errors);
        if milestones[..n].iter().any(|earlier| earlier.name == milestone.name) {
            add(errors, &field("name"), "is the name of an earlier milestone");
        }
        if !(1..=AMOUNT_MAX).contains(&milestone.goal) {
            add(errors, &field("goal"), format!("must be 1 to {AMOUNT_MAX}"));
        }
        let money = milestone.metric == MilestoneMetric::Revenue;
        if money != milestone.currency.is_some() {
            let detail = if money { "is required for `revenue`" } else { "is only for `revenue`" };
            add(errors, &field("currency"), detail);
        }
        if let Some(bonus) = milestone.bonus {
            check_money(&field("bonus"), bonus, errors);
            if milestone.scope == MilestoneScope::Program {
                add(errors, &field("bonus"), "is only for a milestone of each partner");
            }
        }
    }
}
