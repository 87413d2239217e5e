//! Recurring revenue month by month: `POST /v1/reports/subscriptions`. A payment belongs to a subscription where the
//! conversion names one (`subscription_id`) or its event is `renewal`. It covers its own month, or as many as its
//! property `interval` says (`year`, `half_year`, `quarter`), each with an equal part; the newest payment of
//! a subscription that covers a month is what it brings then. Refunds change revenue, not what recurs.
//!
//! A customer's month against the month before is new (never any before), reactivation, expansion, contraction or
//! churn, so every month's MRR is the last one's plus and minus these. In a month that is not over yet,
//! who has not paid yet is taken to go on.

use std::collections::BTreeMap;

use clickhouse::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;
use weir_schemas::effect::SUBSCRIPTION_PROPERTY;
use weir_schemas::ids::Sequence;
use weir_schemas::money::share;
use weir_schemas::problem::Problem;
use weir_schemas::query::ColumnType;

use super::super::execute::QueryError;
use super::super::sql::{Parameter, Statement, effect_terms};
use super::facts::{Fact, STANDS, Source, each_person, histories};
use super::money::Money;
use super::periods::{Period, Periods};
use super::scope::Scope;
use super::{Report, column};

/// Most months of one report.
pub const MONTHS_MAX: i64 = 240;

/// The report's own members: there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {}

/// A month. Money in minor units.
#[derive(Debug, Clone, Copy, Default)]
struct Month {
    mrr: i64,
    new: i64,
    reactivation: i64,
    expansion: i64,
    contraction: i64,
    churn: i64,
    customers: u64,
    new_customers: u64,
    churned_customers: u64,
}

/// The report.
///
/// # Errors
/// 422 naming a field that does not fit.
pub async fn report(client: &Client, scope: &Scope, _: &Spec, upto: Sequence) -> Result<Report, QueryError> {
    let plan = scope.ever();
    let money = Money::of(client, scope, &plan, upto).await?;
    let periods = Periods::new(Period::Month, &plan.zone, plan.range);
    let (range, mut statement) = (scope.range(), Statement::default());
    let property = |name: &str, statement: &mut Statement| {
        format!("properties[{}[1]]", statement.bind(Parameter::Texts(vec![name.to_owned()])))
    };
    let subscription = property(SUBSCRIPTION_PROPERTY, &mut statement);
    let interval = property("interval", &mut statement);
    let mut terms = effect_terms(&plan, upto, &mut statement);
    terms.push(format!("conversions != 0 AND ({subscription} != '' OR event = 'renewal')"));
    let mut source = Source::new(
        money.effects(),
        "if(customer != 0, customer, if(properties['subscription_id'] != '', \
         cityHash64(properties['subscription_id']), conversion))",
        terms,
    );
    source.tag = format!(
        "multiIf({interval} IN ('year', 'yearly', 'annual', 'annually'), 12, {interval} IN ('half_year', \
         'semiannual'), 6, {interval} IN ('quarter', 'quarterly'), 3, 1)"
    );
    source.value = "revenue".to_owned();
    source.key = subscription;
    let statement = histories(&[source.conversions(STANDS)], None, statement);

    let month_of = |at: i64| periods.index(periods.key(at));
    let asked = (month_of(range.from.0), month_of(range.to.0.min(scope.now.0 + 1) - 1));
    let open = month_of(scope.now.0);
    let mut months: BTreeMap<i64, Month> = BTreeMap::new();
    let rows_read = each_person(client, &statement, |_, facts| {
        let paid = coverage(facts, month_of, open);
        let mut before = 0;
        let mut ever = false;
        // One month beyond the last: somebody may leave there.
        let Some((first, _)) = paid.first_key_value() else { return Ok(()) };
        for month in *first..=asked.1 {
            let now = paid.get(&month).copied().unwrap_or(0);
            let told = months.entry(month).or_default();
            told.mrr += now;
            told.customers += u64::from(now > 0);
            match (before, now) {
                (0, 0) => {}
                (0, now) if !ever => {
                    told.new += now;
                    told.new_customers += 1;
                }
                (0, now) => told.reactivation += now,
                (before, 0) => {
                    told.churn += before;
                    told.churned_customers += 1;
                }
                (before, now) if now > before => told.expansion += now - before,
                (before, now) => told.contraction += before - now,
            }
            (before, ever) = (now, ever || now > 0);
        }
        Ok(())
    })
    .await?;

    let earliest = months.first_key_value().map_or(asked.1, |(month, _)| *month);
    let from = asked.0.max(earliest);
    if asked.1 - from >= MONTHS_MAX {
        return Err(Problem::field("date_range", format!("has more than {MONTHS_MAX} months")).into());
    }
    let mut report = Report { rows_read, fx: money.told(), ..Report::default() };
    report.more.insert("currency".to_owned(), json!(money.currency));
    let of_money = |name: &str| column(name, ColumnType::Money);
    report.columns.push(column("month", ColumnType::Time));
    report.columns.extend(["mrr", "new_mrr", "reactivation_mrr", "expansion_mrr"].map(of_money));
    report.columns.extend(["contraction_mrr", "churned_mrr"].map(of_money));
    report.columns.extend(
        ["customers", "new_customers", "churned_customers"].map(|name| column(name, ColumnType::Integer)),
    );
    report.columns.push(of_money("arpu"));
    report.columns.extend([
        column("logo_churn_rate", ColumnType::Number),
        column("revenue_churn_rate", ColumnType::Number),
        column("complete", ColumnType::Bool),
    ]);
    for month in from..=asked.1 {
        let now = months.get(&month).copied().unwrap_or_default();
        let before = months.get(&(month - 1)).copied().unwrap_or_default();
        let count = |customers: u64| i64::try_from(customers).unwrap_or(i64::MAX);
        let rate = |part: i64, whole: i64| share(part, 10_000, whole).unwrap_or(0);
        report.rows.push(vec![
            json!(periods.print(month)),
            json!(now.mrr),
            json!(now.new),
            json!(now.reactivation),
            json!(now.expansion),
            json!(now.contraction),
            json!(now.churn),
            json!(now.customers),
            json!(now.new_customers),
            json!(now.churned_customers),
            json!(share(now.mrr, 1, count(now.customers)).unwrap_or(0)),
            json!(rate(count(now.churned_customers), count(before.customers))),
            json!(rate(now.churn + now.contraction, before.mrr)),
            json!(month < open),
        ]);
    }
    Ok(report)
}

/// What a customer's subscriptions bring in each month up to `open`, in which a payment may still come.
fn coverage(facts: &[Fact], month_of: impl Fn(i64) -> i64, open: i64) -> BTreeMap<i64, i64> {
    let mut of_subscription: BTreeMap<(&str, i64), i64> = BTreeMap::new();
    for fact in facts {
        let (first, length) = (month_of(fact.at), i64::from(fact.tag));
        for ahead in 0..length {
            // The parts add up to the payment; the first take the rest.
            let part = fact.value / length + i64::from(ahead < fact.value % length);
            of_subscription.insert((&fact.key, first + ahead), part);
        }
    }
    let mut sums: BTreeMap<i64, i64> = BTreeMap::new();
    let keys: std::collections::BTreeSet<&str> = of_subscription.keys().map(|(key, _)| *key).collect();
    for key in keys {
        if !of_subscription.contains_key(&(key, open))
            && let Some(before) = of_subscription.get(&(key, open - 1)).copied()
        {
            of_subscription.insert((key, open), before);
        }
    }
    for ((_, month), amount) in of_subscription {
        *sums.entry(month).or_default() += amount;
    }
    sums
}
