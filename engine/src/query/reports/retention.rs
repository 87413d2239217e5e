//! Who comes back: `POST /v1/reports/retention`. Persons are put together by the day, week or month in which they did
//! something (`start`), and each later period tells how many of them did something (`return`) then.
//!
//! - `first` (the default): a person belongs to the period of the first time ever, which must lie in the range;
//!   what lies before the range is looked at to know that.
//! - `any`: a person belongs to every period of the range in which it did it.
//!
//! Period 0 is the cohort's own. A period that has not begun at the range's end, or now, has no row.

use std::collections::BTreeMap;

use clickhouse::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;
use weir_schemas::ids::Sequence;
use weir_schemas::problem::Problem;
use weir_schemas::query::ColumnType;

use super::super::execute::QueryError;
use super::super::sql::Statement;
use super::facts::{each_person, histories};
use super::periods::{Period, Periods};
use super::scope::Scope;
use super::step::{CLICK, Matcher, Step, sources};
use super::{Report, basis_points, column};

/// Most periods after the cohort's own.
pub const PERIODS_MAX: u32 = 24;
/// Most cohorts of one report.
pub const COHORTS_MAX: usize = 1_000;

/// Which of a person's starts make a cohort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cohort {
    /// The first ever.
    #[default]
    First,
    /// Every one.
    Any,
}

/// The report's own members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What begins it.
    #[serde(default = "a_click")]
    pub start: Step,
    /// What is coming back; the same where absent.
    #[serde(default, rename = "return")]
    pub back: Option<Step>,
    /// `day`, `week` or `month`.
    #[serde(default, alias = "granularity")]
    pub period: Period,
    /// How many periods after the cohort's own, at most 24.
    #[serde(default = "eight")]
    pub periods: u32,
    /// `first` or `any`.
    #[serde(default)]
    pub cohort: Cohort,
}

fn a_click() -> Step {
    Step { event: CLICK.to_owned(), name: None, filters: None }
}
const fn eight() -> u32 {
    8
}

const START: u32 = 1;
const BACK: u32 = 2;

/// Cohort and period, both as numbers of periods, to persons.
#[derive(Debug, Default)]
struct Counted {
    cohorts: BTreeMap<i64, u64>,
    back: BTreeMap<(i64, i64), u64>,
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
    if spec.periods > PERIODS_MAX {
        return Err(Problem::field("periods", format!("must not exceed {PERIODS_MAX}")).into());
    }
    let start = Matcher::new(&spec.start, "start")?;
    let back = match &spec.back {
        Some(step) => Matcher::new(step, "return")?,
        None => start.clone(),
    };
    let range = scope.range();
    let plan = if spec.cohort == Cohort::First { scope.ever() } else { scope.within(range) };
    let periods = Periods::new(spec.period, &plan.zone, plan.range);
    let mut statement = Statement::default();
    let facts = sources(&[start, back], &plan, None, false, upto, &mut statement);
    // A person's many clicks of a day are one: only the first of each period matters.
    let (facts, period) = (facts.join("\nUNION ALL\n"), periods.sql("f.t"));
    let once = format!(
        "SELECT person, min(f.t) AS t, g, {period} AS x, toInt64(0) AS y, '' AS k FROM (\n{facts}\n) AS f \
         GROUP BY person, g, x"
    );
    let statement = histories(&[once], None, statement);

    let last = periods.index(periods.key(range.to.0.min(scope.now.0 + 1) - 1));
    let mut counted = Counted::default();
    let rows_read = each_person(client, &statement, |_, facts| {
        let mut starts: Vec<i64> = Vec::new();
        for fact in facts.iter().filter(|fact| fact.tag & START != 0) {
            let index = periods.index(fact.value);
            match spec.cohort {
                Cohort::First if !starts.is_empty() => {}
                Cohort::First if fact.at < range.from.0 => return Ok(()),
                _ if !starts.contains(&index) => starts.push(index),
                _ => {}
            }
        }
        let mut backs: Vec<i64> =
            facts.iter().filter(|fact| fact.tag & BACK != 0).map(|fact| periods.index(fact.value)).collect();
        backs.sort_unstable();
        backs.dedup();
        for cohort in starts {
            *counted.cohorts.entry(cohort).or_default() += 1;
            for period in backs.iter().map(|back| back - cohort) {
                if (0..=i64::from(spec.periods)).contains(&period) {
                    *counted.back.entry((cohort, period)).or_default() += 1;
                }
            }
        }
        match counted.cohorts.len() {
            more if more > COHORTS_MAX => {
                let detail =
                    format!("makes more than {COHORTS_MAX} cohorts: take longer ones or a shorter range");
                Err(Problem::field("period", detail))
            }
            _ => Ok(()),
        }
    })
    .await?;

    let mut report = Report { rows_read, ..Report::default() };
    report.columns = vec![
        column("cohort", ColumnType::Time),
        column("size", ColumnType::Integer),
        column("period", ColumnType::Integer),
        column("visitors", ColumnType::Integer),
        column("retention_rate", ColumnType::Number),
    ];
    for (cohort, size) in &counted.cohorts {
        for period in 0..=i64::from(spec.periods).min(last - cohort) {
            let visitors = counted.back.get(&(*cohort, period)).copied().unwrap_or(0);
            let printed = periods.print(*cohort);
            let rate = basis_points(visitors, *size);
            report.rows.push(vec![json!(printed), json!(size), json!(period), json!(visitors), json!(rate)]);
        }
    }
    Ok(report)
}
