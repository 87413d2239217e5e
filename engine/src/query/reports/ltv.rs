//! What customers were worth until now: `POST /v1/reports/ltv`. Customers whose first conversion ever (a lead counts)
//! lies in the range, all their money up to the range's end, put together by a dimension of that first
//! conversion: the link, partner or campaign that won them.

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
use super::scope::{Scope, check_group, key_cell};
use super::{Report, basis_points, column, median};

/// Most groups that are counted.
pub const GROUPS_MAX: usize = 10_000;
/// Most customers of one report.
pub const CUSTOMERS_MAX: usize = 5_000_000;

/// The report's own members.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// A dimension of the first conversion; one row for all where absent.
    #[serde(default, alias = "breakdown")]
    pub group_by: Option<Dimension>,
}

#[derive(Debug, Default)]
struct Group {
    paying: u64,
    repeated: u64,
    orders: u64,
    revenue: i64,
    refunds: i64,
    /// Net, per customer.
    values: Vec<i64>,
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
    if let Some(group) = &spec.group_by {
        check_group(group, "group_by")?;
    }
    let plan = scope.ever();
    let money = Money::of(client, scope, &plan, upto).await?;
    let mut statement = Statement::default();
    let facts = source(&plan, &money, spec.group_by.as_ref(), upto, &mut statement);
    let from = scope.range().from.0;
    let won = format!("countIf(g != {RETURN}) > 0 AND minIf(t, g != {RETURN}) >= {from}");
    let statement = histories(&[facts], Some(&won), statement);
    let (mut groups, mut met) = (BTreeMap::<Box<str>, Group>::new(), 0_usize);
    let rows_read = each_person(client, &statement, |_, facts| {
        let Some(first) = facts.iter().find(|fact| fact.tag != RETURN) else { return Ok(()) };
        met += 1;
        if met > CUSTOMERS_MAX {
            let detail = format!("has more than {CUSTOMERS_MAX} customers: shorten it or filter");
            return Err(Problem::field("date_range", detail));
        }
        if groups.len() >= GROUPS_MAX && !groups.contains_key(&first.key) {
            let detail = format!("has more than {GROUPS_MAX} values: filter or take another");
            return Err(Problem::field("group_by", detail));
        }
        let of = |tag: u32| facts.iter().filter(move |fact| fact.tag == tag);
        let (orders, paid) = (of(ORDER).count() as u64, of(ORDER).map(|fact| fact.value).sum::<i64>());
        let back: i64 = of(RETURN).map(|fact| fact.value).sum();
        let group = groups.entry(first.key.clone()).or_default();
        group.paying += u64::from(orders > 0);
        group.repeated += u64::from(orders > 1);
        group.orders += orders;
        group.revenue = group.revenue.saturating_add(paid);
        group.refunds = group.refunds.saturating_add(back);
        group.values.push(paid - back);
        Ok(())
    })
    .await?;
    if groups.is_empty() && spec.group_by.is_none() {
        groups.insert(Box::default(), Group::default());
    }

    let mut report = Report { rows_read, fx: money.told(), ..Report::default() };
    report.more.insert("currency".to_owned(), json!(money.currency));
    if let Some(group) = &spec.group_by {
        report.columns.push(column(group.name(), group.column_type()));
    }
    report.columns.extend([
        column("customers", ColumnType::Integer),
        column("paying_customers", ColumnType::Integer),
        column("repeat_rate", ColumnType::Number),
        column("orders", ColumnType::Integer),
        column("revenue", ColumnType::Money),
        column("refunds", ColumnType::Money),
        column("net_revenue", ColumnType::Money),
        column("ltv", ColumnType::Money),
        column("median_ltv", ColumnType::Money),
        column("aov", ColumnType::Money),
    ]);
    let mut groups: Vec<(Box<str>, Group)> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.revenue - group.refunds));
    for (key, mut group) in groups {
        let customers = group.values.len() as u64;
        let net = group.revenue - group.refunds;
        let each =
            |amount: i64, count: u64| share(amount, 1, i64::try_from(count).unwrap_or(i64::MAX)).unwrap_or(0);
        let mut row = Vec::with_capacity(report.columns.len());
        if let Some(by) = &spec.group_by {
            row.push(key_cell(by, &key));
        }
        row.extend([
            json!(customers),
            json!(group.paying),
            json!(basis_points(group.repeated, group.paying)),
            json!(group.orders),
            json!(group.revenue),
            json!(group.refunds),
            json!(net),
            json!(each(net, customers)),
            json!(median(&mut group.values).unwrap_or(0)),
            json!(each(group.revenue, group.orders)),
        ]);
        report.rows.push(row);
    }
    Ok(report)
}
