//! Customers by recency, frequency and monetary value: `POST /v1/reports/rfm`. Looked at are the sales and renewals of
//! the range; recency is counted in whole days from the last of them to the range's end (or now). Each of the
//! three gets a score from 1 to 5 by the quintiles of all customers: equal values get equal scores, 5 is the most
//! recent, most frequent, most valuable. A segment is a name for scores of recency and of frequency (see
//! [`SEGMENTS`], the grid in general use).

use std::collections::BTreeMap;

use clickhouse::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;
use weir_schemas::ids::{CustomerId, Sequence};
use weir_schemas::money::share;
use weir_schemas::problem::Problem;
use weir_schemas::query::ColumnType;
use weir_schemas::time::DAY_MS;

use super::super::execute::QueryError;
use super::super::sql::Statement;
use super::customers::{ORDER, RETURN, source};
use super::facts::{each_person, histories};
use super::money::Money;
use super::scope::Scope;
use super::{Report, basis_points, column};

/// Most customers of one report.
pub const CUSTOMERS_MAX: usize = 5_000_000;
/// Most customers told one by one.
pub const LIMIT_MAX: usize = 10_000;

/// The rows are scores of frequency from 5 down to 1, the columns scores of recency from 1 to 5.
pub const SEGMENTS: [[&str; 5]; 5] = [
    ["cannot_lose", "at_risk", "loyal", "loyal", "champions"],
    ["at_risk", "at_risk", "loyal", "loyal", "champions"],
    ["at_risk", "at_risk", "need_attention", "potential_loyal", "potential_loyal"],
    ["hibernating", "hibernating", "about_to_sleep", "potential_loyal", "potential_loyal"],
    ["lost", "hibernating", "about_to_sleep", "promising", "new"],
];

/// What the rows are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rows {
    /// A row per segment.
    #[default]
    Segments,
    /// A row per combination of the three scores.
    Scores,
    /// A row per customer, the most valuable first.
    Customers,
}

/// The report's own members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// `segments`, `scores` or `customers`.
    #[serde(default, rename = "rows")]
    pub what: Rows,
    /// Most customers told, at most 10,000.
    #[serde(default = "a_thousand")]
    pub limit: usize,
}

const fn a_thousand() -> usize {
    1_000
}

/// One customer.
#[derive(Debug, Clone, Copy)]
struct Customer {
    id: u64,
    recency: i64,
    frequency: i64,
    monetary: i64,
}

/// The four values that part five equal shares: what is greater belongs to the next.
type Quintiles = [i64; 4];

fn quintiles(customers: &[Customer], of: impl Fn(&Customer) -> i64) -> Quintiles {
    let mut values: Vec<i64> = customers.iter().map(of).collect();
    values.sort_unstable();
    let at = |part: usize| values[(values.len() * part).div_ceil(5).max(1) - 1];
    if values.is_empty() { [0; 4] } else { [at(1), at(2), at(3), at(4)] }
}

fn score(value: i64, quintiles: &Quintiles) -> usize {
    1 + quintiles.iter().filter(|bound| value > **bound).count()
}

/// What is added up of a row's customers.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    customers: u64,
    recency: i64,
    frequency: i64,
    monetary: i64,
}

impl Sums {
    fn add(&mut self, customer: &Customer) {
        self.customers += 1;
        self.recency += customer.recency;
        self.frequency += customer.frequency;
        self.monetary = self.monetary.saturating_add(customer.monetary);
    }

    fn cells(&self, of: u64) -> Vec<serde_json::Value> {
        let count = i64::try_from(self.customers).unwrap_or(i64::MAX);
        let average = |sum: i64| share(sum, 1, count).unwrap_or(0);
        // Averages of days and orders in hundredths would be another type: they are numbers with a fraction.
        let exact = |sum: i64| (sum as f64 / self.customers as f64 * 100.0).round() / 100.0;
        vec![
            json!(self.customers),
            json!(basis_points(self.customers, of)),
            json!(exact(self.recency)),
            json!(exact(self.frequency)),
            json!(average(self.monetary)),
            json!(self.monetary),
        ]
    }
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
    if spec.limit == 0 || spec.limit > LIMIT_MAX {
        return Err(Problem::field("limit", format!("must lie between 1 and {LIMIT_MAX}")).into());
    }
    let money = Money::of(client, scope, &scope.plan, upto).await?;
    let end = scope.range().to.0.min(scope.now.0);
    let mut statement = Statement::default();
    let facts = source(&scope.plan, &money, None, upto, &mut statement);
    let statement = histories(&[facts], Some(&format!("countIf(g = {ORDER}) > 0")), statement);
    let mut customers: Vec<Customer> = Vec::new();
    let rows_read = each_person(client, &statement, |id, facts| {
        let orders = || facts.iter().filter(|fact| fact.tag == ORDER);
        let last = orders().map(|fact| fact.at).max().unwrap_or(end);
        let paid: i64 = orders().map(|fact| fact.value).sum();
        let back: i64 = facts.iter().filter(|fact| fact.tag == RETURN).map(|fact| fact.value).sum();
        if customers.len() == CUSTOMERS_MAX {
            let detail = format!("has more than {CUSTOMERS_MAX} customers: shorten it or filter");
            return Err(Problem::field("date_range", detail));
        }
        customers.push(Customer {
            id,
            recency: (end - last).div_euclid(DAY_MS).max(0),
            frequency: orders().count() as i64,
            monetary: paid - back,
        });
        Ok(())
    })
    .await?;
    let bounds = [
        quintiles(&customers, |customer| customer.recency),
        quintiles(&customers, |customer| customer.frequency),
        quintiles(&customers, |customer| customer.monetary),
    ];
    let scores = |customer: &Customer| {
        let recency = 6 - score(customer.recency, &bounds[0]);
        (recency, score(customer.frequency, &bounds[1]), score(customer.monetary, &bounds[2]))
    };
    let segment = |(recency, frequency, _): (usize, usize, usize)| SEGMENTS[5 - frequency][recency - 1];

    let mut report = Report { rows_read, fx: money.told(), ..Report::default() };
    let all = customers.len() as u64;
    let more = [
        ("currency", json!(money.currency)),
        ("customers", json!(all)),
        ("quintiles", json!({"recency": bounds[0], "frequency": bounds[1], "monetary": bounds[2]})),
    ];
    report.more.extend(more.map(|(name, value)| (name.to_owned(), value)));
    let sums = || {
        [
            column("customers", ColumnType::Integer),
            column("share", ColumnType::Number),
            column("average_recency_days", ColumnType::Number),
            column("average_frequency", ColumnType::Number),
            column("average_monetary", ColumnType::Money),
            column("monetary", ColumnType::Money),
        ]
    };
    let three = ["recency_score", "frequency_score", "monetary_score"];
    match spec.what {
        Rows::Segments => {
            let mut segments: BTreeMap<&str, Sums> = BTreeMap::new();
            customers.iter().for_each(|one| segments.entry(segment(scores(one))).or_default().add(one));
            report.columns.push(column("segment", ColumnType::String));
            report.columns.extend(sums());
            let mut segments: Vec<_> = segments.into_iter().collect();
            segments.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.customers));
            for (name, sums) in segments {
                report.rows.push([vec![json!(name)], sums.cells(all)].concat());
            }
        }
        Rows::Scores => {
            let mut cells: BTreeMap<(usize, usize, usize), Sums> = BTreeMap::new();
            customers.iter().for_each(|one| cells.entry(scores(one)).or_default().add(one));
            report.columns.extend(three.map(|name| column(name, ColumnType::Integer)));
            report.columns.push(column("segment", ColumnType::String));
            report.columns.extend(sums());
            for (key, sums) in cells.into_iter().rev() {
                let head = vec![json!(key.0), json!(key.1), json!(key.2), json!(segment(key))];
                report.rows.push([head, sums.cells(all)].concat());
            }
        }
        Rows::Customers => {
            customers.sort_by_key(|one| (std::cmp::Reverse(one.monetary), one.id));
            report.columns = vec![column("customer", ColumnType::String)];
            report.columns.extend(three.map(|name| column(name, ColumnType::Integer)));
            report.columns.extend([
                column("segment", ColumnType::String),
                column("recency_days", ColumnType::Integer),
                column("frequency", ColumnType::Integer),
                column("monetary", ColumnType::Money),
            ]);
            for one in customers.iter().take(spec.limit) {
                let key = scores(one);
                report.rows.push(vec![
                    json!(CustomerId(one.id).to_string()),
                    json!(key.0),
                    json!(key.1),
                    json!(key.2),
                    json!(segment(key)),
                    json!(one.recency),
                    json!(one.frequency),
                    json!(one.monetary),
                ]);
            }
        }
    }
    Ok(report)
}
