//! The ways that lead to conversions: `POST /v1/reports/paths`. A way is the values of a dimension of the clicks in
//! the window before a conversion, the same value several times in a row told once, at most the last
//! `touches` of them; how often it was gone, and what it brought.

use std::collections::HashMap;

use clickhouse::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;
use weir_schemas::ids::Sequence;
use weir_schemas::money::share;
use weir_schemas::problem::Problem;
use weir_schemas::query::{Cell, ColumnType, Dimension, Field};

use super::super::execute::QueryError;
use super::journeys::{Journey, a_conversion, each_journey, month};
use super::money::Money;
use super::scope::{Scope, key_cell};
use super::step::{Step, Window};
use super::{Report, column};

/// Most values of a way.
pub const TOUCHES_MAX: usize = 20;
/// Most ways told.
pub const LIMIT_MAX: usize = 10_000;
/// Most ways counted; what more there are is put together as one.
pub const COUNTED_MAX: usize = 200_000;

/// The report's own members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What clicks are told apart by.
    #[serde(default = "medium", alias = "group_by")]
    pub dimension: Dimension,
    /// How long before a conversion a click may lie.
    #[serde(default = "month", alias = "lookback")]
    pub window: Window,
    /// Most values of a way, the last ones, at most 20.
    #[serde(default = "ten")]
    pub touches: usize,
    /// What counts as a conversion.
    #[serde(default = "a_conversion")]
    pub conversion: Step,
    /// Most ways told, at most 10,000.
    #[serde(default = "hundred")]
    pub limit: usize,
}

fn medium() -> Dimension {
    Dimension::Field(Field::Medium)
}
const fn ten() -> usize {
    10
}
const fn hundred() -> usize {
    100
}

#[derive(Debug, Clone, Copy, Default)]
struct Gone {
    conversions: u64,
    revenue: i64,
    /// From the first click to the conversion, milliseconds.
    time: i64,
}

/// What stands for an empty value within a way.
const NONE: &str = "(none)";
/// What stands between two values.
const THEN: &str = " > ";
/// What stands for the beginning of a longer way.
const LONGER: &str = "…";

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
    for (field, value, most) in [("touches", spec.touches, TOUCHES_MAX), ("limit", spec.limit, LIMIT_MAX)] {
        if value == 0 || value > most {
            return Err(Problem::field(field, format!("must lie between 1 and {most}")).into());
        }
    }
    let money = Money::of(client, scope, &scope.plan, upto).await?;
    let journey = Journey {
        dimension: spec.dimension.clone(),
        window: spec.window,
        conversion: spec.conversion.clone(),
        all: false,
    };
    let (mut ways, mut other) = (HashMap::<(String, usize), Gone>::new(), Gone::default());
    let mut total = Gone::default();
    let rows_read = each_journey(client, scope, &journey, &money, upto, |converted, _| {
        for one in converted {
            let mut path: Vec<&str> = one.touches.iter().map(|touch| touch.key).collect();
            path.dedup();
            let key = (way(&path, spec), path.len());
            let gone = match ways.len() {
                COUNTED_MAX.. if !ways.contains_key(&key) => &mut other,
                _ => ways.entry(key).or_default(),
            };
            for gone in [gone, &mut total] {
                gone.conversions += 1;
                gone.revenue = gone.revenue.saturating_add(one.revenue);
                gone.time = gone.time.saturating_add(one.at - one.touches[0].at);
            }
        }
        Ok(())
    })
    .await?;
    let mut ways: Vec<((String, usize), Gone)> = ways.into_iter().collect();
    ways.sort_by(|(a, left), (b, right)| right.conversions.cmp(&left.conversions).then_with(|| a.cmp(b)));
    for (_, gone) in ways.drain(spec.limit.min(ways.len())..) {
        other.conversions += gone.conversions;
        other.revenue = other.revenue.saturating_add(gone.revenue);
    }
    let mut report = Report { rows_read, fx: money.told(), ..Report::default() };
    let sums = |gone: &Gone| json!({"conversions": gone.conversions, "revenue": gone.revenue});
    report.more.insert("totals".to_owned(), sums(&total));
    report.more.insert("other".to_owned(), sums(&other));
    report.more.insert("currency".to_owned(), json!(money.currency));
    report.columns = vec![
        column("path", ColumnType::String),
        column("touches", ColumnType::Integer),
        column("conversions", ColumnType::Integer),
        column("revenue", ColumnType::Money),
        column("average_ms", ColumnType::Integer),
    ];
    for ((path, touches), gone) in ways {
        let count = i64::try_from(gone.conversions).unwrap_or(i64::MAX);
        let average = share(gone.time, 1, count);
        report.rows.push(vec![
            json!(path),
            json!(touches),
            json!(gone.conversions),
            json!(gone.revenue),
            json!(average),
        ]);
    }
    Ok(report)
}

fn way(path: &[&str], spec: &Spec) -> String {
    let shown = &path[path.len().saturating_sub(spec.touches)..];
    let mut texts: Vec<String> = Vec::with_capacity(shown.len() + 1);
    if shown.len() < path.len() {
        texts.push(LONGER.to_owned());
    }
    for key in shown {
        texts.push(match key_cell(&spec.dimension, key) {
            Cell::String(text) if !text.is_empty() => text,
            Cell::String(_) | Cell::Null => NONE.to_owned(),
            other => other.to_string(),
        });
    }
    texts.join(THEN)
}
