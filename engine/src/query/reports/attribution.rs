//! Which clicks earned the conversions: `POST /v1/reports/attribution`. Every conversion's credit, and its revenue, is
//! split over the touches of its journey, in whole millionths of a conversion and whole minor units, so that
//! the rows of each model add up exactly to the totals.
//!
//! - `first`, `last`, `linear`: the first touch, the last, all alike.
//! - `time_decay`: a touch weighs half as much as one that came `half_life` later.
//! - `position`: 40 % the first, 40 % the last, 20 % those between.
//! - `shapley`: each conversion to its different values alike. That is the Shapley value of the game in which a
//!   set of values is worth the conversions whose journeys have no other (each conversion is a unanimity
//!   game of its values, and the Shapley value is additive).
//! - `markov`: journeys as a chain of first order, those that led to nothing included; a value weighs as much as
//!   the probability of a conversion falls when it is taken away (the removal effect; E. Anderl et al.,
//!   "Mapping the customer journey", 2016).

use std::collections::BTreeMap;

use clickhouse::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;
use weir_schemas::ids::Sequence;
use weir_schemas::problem::Problem;
use weir_schemas::query::{ColumnType, Dimension, Field};

use super::super::execute::QueryError;
use super::journeys::{Converted, Journey, Touch, a_conversion, each_journey, month};
use super::money::Money;
use super::scope::{Scope, key_cell};
use super::step::{Step, Window};
use super::{Report, column};

mod markov;

use markov::Chain;

/// Most values of the dimension.
pub const VALUES_MAX: usize = 1_000;
/// A conversion, in the parts that are given out.
const WHOLE: i64 = 1_000_000;

/// How credit is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// The first touch.
    #[serde(alias = "first_touch")]
    First,
    /// The last touch.
    #[serde(alias = "last_touch")]
    Last,
    /// All alike.
    Linear,
    /// The later, the more.
    #[serde(alias = "time-decay")]
    TimeDecay,
    /// 40, 20, 40.
    #[serde(alias = "position_based")]
    Position,
    /// By removal effects.
    #[serde(alias = "data_driven", alias = "data-driven")]
    Markov,
    /// By Shapley values.
    Shapley,
}

impl Model {
    /// Every model.
    pub const ALL: [Self; 7] =
        [Self::First, Self::Last, Self::Linear, Self::TimeDecay, Self::Position, Self::Markov, Self::Shapley];
}

/// The report's own members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// One model …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
    /// … or several; all where neither is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Model>,
    /// What clicks are told apart by.
    #[serde(default = "medium", alias = "group_by", alias = "breakdown")]
    pub dimension: Dimension,
    /// How long before a conversion a click may lie.
    #[serde(default = "month", alias = "lookback")]
    pub window: Window,
    /// In what time a touch loses half its weight (`time_decay`).
    #[serde(default = "week")]
    pub half_life: Window,
    /// What counts as a conversion.
    #[serde(default = "a_conversion")]
    pub conversion: Step,
}

fn medium() -> Dimension {
    Dimension::Field(Field::Medium)
}
const fn week() -> Window {
    Window::days(7)
}

/// Millionths of conversions, and minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Credit {
    conversions: i128,
    revenue: i128,
}

/// The report.
///
/// # Errors
/// 422 naming a field that does not fit.
pub async fn report(
    client: &Client,
    scope: &Scope,
    spec: &Spec,
    upto: Sequence,
) -> Result<Report, QueryError> {
    let models = match (spec.model, spec.models.as_slice()) {
        (Some(_), [_, ..]) => {
            return Err(Problem::field("models", "name `model` or `models`, not both").into());
        }
        (Some(model), []) => vec![model],
        (None, []) => Model::ALL.to_vec(),
        (None, models) => models.to_vec(),
    };
    let money = Money::of(client, scope, &scope.plan, upto).await?;
    let journey = Journey {
        dimension: spec.dimension.clone(),
        window: spec.window,
        conversion: spec.conversion.clone(),
        all: models.contains(&Model::Markov),
    };
    let mut values: BTreeMap<Box<str>, usize> = BTreeMap::new();
    let mut credits: Vec<Vec<Credit>> = vec![Vec::new(); models.len()];
    let (mut total, mut chain) = (Credit::default(), Chain::default());
    let rows_read = each_journey(client, scope, &journey, &money, upto, |converted, idle| {
        let mut number = |touch: &Touch<'_>| {
            let next = values.len();
            if let Some(known) = values.get(touch.key) {
                return Ok(*known);
            }
            if next == VALUES_MAX {
                let detail = format!("has more than {VALUES_MAX} values: filter or take another");
                return Err(Problem::field("dimension", detail));
            }
            values.insert(touch.key.into(), next);
            Ok(next)
        };
        for one in converted {
            let touched = one.touches.iter().map(&mut number).collect::<Result<Vec<_>, _>>()?;
            total.conversions += i128::from(WHOLE);
            total.revenue += i128::from(one.revenue);
            chain.walked(&touched, true);
            for (model, credits) in models.iter().zip(&mut credits) {
                if *model != Model::Markov {
                    give(credits, &touched, &weights(*model, one, &touched, spec.half_life.0), one.revenue);
                }
            }
        }
        let idle = idle.iter().map(&mut number).collect::<Result<Vec<_>, _>>()?;
        chain.walked(&idle, false);
        Ok(())
    })
    .await?;

    for (model, credits) in models.iter().zip(&mut credits) {
        credits.resize(values.len(), Credit::default());
        if *model == Model::Markov {
            let effects = chain.removal_effects(values.len());
            let conversions = split(total.conversions, &effects);
            let revenue = split(total.revenue, &effects);
            for (value, credit) in credits.iter_mut().enumerate() {
                *credit = Credit { conversions: conversions[value], revenue: revenue[value] };
            }
        }
    }
    let mut report = Report { rows_read, fx: money.told(), ..Report::default() };
    let conversions = total.conversions / i128::from(WHOLE);
    let totals = json!({"conversions": conversions as i64, "revenue": whole(total.revenue)});
    report.more.insert("totals".to_owned(), totals);
    report.more.insert("currency".to_owned(), json!(money.currency));
    report.columns = vec![
        column("model", ColumnType::String),
        column(spec.dimension.name(), spec.dimension.column_type()),
        column("conversions", ColumnType::Number),
        column("revenue", ColumnType::Money),
    ];
    for (model, credits) in models.iter().zip(&credits) {
        let mut rows: Vec<(&str, Credit)> =
            values.iter().map(|(key, number)| (key.as_ref(), credits[*number])).collect();
        rows.sort_by_key(|(key, credit)| (std::cmp::Reverse(credit.conversions), *key));
        for (key, credit) in rows {
            let millionths = credit.conversions as f64 / WHOLE as f64;
            let key = key_cell(&spec.dimension, key);
            report.rows.push(vec![json!(model), key, json!(millionths), json!(whole(credit.revenue))]);
        }
    }
    Ok(report)
}

fn whole(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(if amount < 0 { i64::MIN } else { i64::MAX })
}

/// What each touch weighs.
fn weights(model: Model, journey: &Converted<'_>, touched: &[usize], half_life: i64) -> Vec<f64> {
    let count = touched.len();
    let each = |weigh: &dyn Fn(usize) -> f64| (0..count).map(weigh).collect();
    let yes = |yes: bool| if yes { 1.0 } else { 0.0 };
    match model {
        Model::First => each(&|touch| yes(touch == 0)),
        Model::Last => each(&|touch| yes(touch + 1 == count)),
        Model::Linear => vec![1.0; count],
        Model::TimeDecay => each(&|touch| {
            let ago = (journey.at - journey.touches[touch].at) as f64;
            // Beyond a thousand half-lives a weight would be no number any more.
            (-(ago / half_life as f64)).max(-1_000.0).exp2()
        }),
        Model::Position => each(&|touch| match (count, touch) {
            (1 | 2, _) => 1.0,
            (_, touch) if touch == 0 || touch + 1 == count => 0.4,
            _ => 0.2 / (count - 2) as f64,
        }),
        // Once per value, wherever it stands first.
        Model::Markov | Model::Shapley => each(&|touch| yes(!touched[..touch].contains(&touched[touch]))),
    }
}

fn give(credits: &mut Vec<Credit>, touched: &[usize], weights: &[f64], revenue: i64) {
    let most = touched.iter().max().map_or(0, |value| value + 1);
    if credits.len() < most {
        credits.resize(most, Credit::default());
    }
    let conversions = split(i128::from(WHOLE), weights);
    let revenues = split(i128::from(revenue), weights);
    for (index, value) in touched.iter().enumerate() {
        credits[*value].conversions += conversions[index];
        credits[*value].revenue += revenues[index];
    }
}

/// Splits a whole by weights into whole parts that add up to it: each part is cut, and what is left goes by ones to the
/// parts that lost most, of equals to the last.
fn split(whole: i128, weights: &[f64]) -> Vec<i128> {
    let sum: f64 = weights.iter().sum();
    if weights.is_empty() {
        return Vec::new();
    }
    if sum <= 0.0 {
        return split(whole, &vec![1.0; weights.len()]);
    }
    let exact = |weight: f64| whole as f64 * (weight / sum);
    let mut parts: Vec<i128> = weights.iter().map(|weight| exact(*weight).trunc() as i128).collect();
    let mut left = whole - parts.iter().sum::<i128>();
    let mut order: Vec<usize> = (0..weights.len()).filter(|index| weights[*index] > 0.0).collect();
    let lost = |index: usize| (exact(weights[index]) - exact(weights[index]).trunc()).abs();
    order.sort_by(|a, b| lost(*b).total_cmp(&lost(*a)).then(b.cmp(a)));
    for index in order.iter().cycle() {
        if left == 0 {
            break;
        }
        parts[*index] += left.signum();
        left -= left.signum();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_to_the_whole() {
        assert_eq!(split(100, &[1.0, 1.0, 1.0]), [33, 33, 34]);
        assert_eq!(split(-100, &[1.0, 1.0, 1.0]), [-33, -33, -34]);
        assert_eq!(split(10, &[0.4, 0.2, 0.4]), [4, 2, 4]);
        assert_eq!(split(7, &[0.0, 0.0]), [3, 4]);
        assert_eq!(split(1, &[0.0, 1.0, 0.0]), [0, 1, 0]);
        assert_eq!(split(1_000_000, &[1.0; 7]).iter().sum::<i128>(), 1_000_000);
    }
}
