//! What customers bring after they were won: `POST /v1/reports/cohort-revenue`. A customer belongs to the day, week or
//! month of the first conversion ever (a lead counts), which must lie in the range, and with `group_by` to the
//! link, partner, campaign … of that conversion. Every later period tells what the cohort paid and got back
//! in it, dated by the money's own time.

use std::collections::BTreeMap;

use clickhouse::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;
use weir_schemas::ids::Sequence;
use weir_schemas::money::share;
use weir_schemas::problem::Problem;
use weir_schemas::query::{ColumnType, Dimension};

use super::super::execute::QueryError;
use super::super::sql::Statement;
use super::customers::{ORDER, RETURN, source};
use super::facts::{each_person, histories};
use super::money::Money;
use super::periods::{Period, Periods};
use super::scope::{Scope, check_group, key_cell};
use super::{Report, column};

/// Most periods after the cohort's own.
pub const PERIODS_MAX: u32 = 60;
/// Most cohorts (of a period and a group).
pub const COHORTS_MAX: usize = 2_000;

/// The report's own members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// `day`, `week` or `month`.
    #[serde(default = "month", alias = "granularity")]
    pub period: Period,
    /// How many periods after the cohort's own, at most 60.
    #[serde(default = "twelve")]
    pub periods: u32,
    /// A dimension of the first conversion: `link`, `partner`, `utm_campaign`, …
    #[serde(default, alias = "breakdown")]
    pub group_by: Option<Dimension>,
}

const fn month() -> Period {
    Period::Month
}
const fn twelve() -> u32 {
    12
}

/// A cohort's period.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    active: u64,
    orders: u64,
    revenue: i64,
    refunds: i64,
}

#[derive(Debug, Default)]
struct Cohort {
    customers: u64,
    periods: BTreeMap<i64, Cell>,
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
    if let Some(group) = &spec.group_by {
        check_group(group, "group_by")?;
    }
    let (plan, range) = (scope.ever(), scope.range());
    let money = Money::of(client, scope, &plan, upto).await?;
    let periods = Periods::new(spec.period, &plan.zone, plan.range);
    let mut statement = Statement::default();
    let facts = source(&plan, &money, spec.group_by.as_ref(), upto, &mut statement);
    // Who was won before the range is in none of its cohorts.
    let won = format!("minIf(t, g != {RETURN}) >= {} AND countIf(g != {RETURN}) > 0", range.from.0);
    let statement = histories(&[facts], Some(&won), statement);

    let last = periods.index(periods.key(range.to.0.min(scope.now.0 + 1) - 1));
    let mut cohorts: BTreeMap<(i64, Box<str>), Cohort> = BTreeMap::new();
    let rows_read = each_person(client, &statement, |_, facts| {
        let Some(first) = facts.iter().find(|fact| fact.tag != RETURN) else { return Ok(()) };
        let won = periods.index(periods.key(first.at));
        let cohort = cohorts.entry((won, first.key.clone())).or_default();
        cohort.customers += 1;
        let mut active = None;
        for fact in facts.iter().filter(|fact| fact.tag == ORDER || fact.tag == RETURN) {
            let period = periods.index(periods.key(fact.at)) - won;
            let cell = cohort.periods.entry(period).or_default();
            if fact.tag == RETURN {
                cell.refunds = cell.refunds.saturating_add(fact.value);
                continue;
            }
            cell.orders += 1;
            cell.revenue = cell.revenue.saturating_add(fact.value);
            if active != Some(period) {
                cell.active += 1;
                active = Some(period);
            }
        }
        if cohorts.len() > COHORTS_MAX {
            let detail = format!("makes more than {COHORTS_MAX} cohorts: take longer ones or fewer groups");
            return Err(Problem::field("period", detail));
        }
        Ok(())
    })
    .await?;

    let mut report = Report { rows_read, fx: money.told(), ..Report::default() };
    report.more.insert("currency".to_owned(), json!(money.currency));
    report.columns.push(column("cohort", ColumnType::Time));
    if let Some(group) = &spec.group_by {
        report.columns.push(column(group.name(), group.column_type()));
    }
    report.columns.extend([
        column("customers", ColumnType::Integer),
        column("period", ColumnType::Integer),
        column("active_customers", ColumnType::Integer),
        column("orders", ColumnType::Integer),
        column("revenue", ColumnType::Money),
        column("refunds", ColumnType::Money),
        column("net_revenue", ColumnType::Money),
        column("cumulative_net_revenue", ColumnType::Money),
        column("cumulative_per_customer", ColumnType::Money),
    ]);
    for ((won, key), cohort) in &cohorts {
        let mut sum = 0_i64;
        for period in 0..=i64::from(spec.periods).min(last - won) {
            let cell = cohort.periods.get(&period).copied().unwrap_or_default();
            let net = cell.revenue - cell.refunds;
            sum = sum.saturating_add(net);
            let each = share(sum, 1, i64::try_from(cohort.customers).unwrap_or(i64::MAX)).unwrap_or(0);
            let mut row = vec![json!(periods.print(*won))];
            if let Some(group) = &spec.group_by {
                row.push(key_cell(group, key));
            }
            row.extend([
                json!(cohort.customers),
                json!(period),
                json!(cell.active),
                json!(cell.orders),
                json!(cell.revenue),
                json!(cell.refunds),
                json!(net),
                json!(sum),
                json!(each),
            ]);
            report.rows.push(row);
        }
    }
    Ok(report)
}
