//! Customers' orders and money, as the reports about money see them: sales and renewals with what they brought,
//! and what went back. Customers without a number (conversions that named nobody) are left out, and the
//! answers say how much that was.

use clickhouse::Client;
use weir_schemas::ids::Sequence;
use weir_schemas::problem::Problem;
use weir_schemas::query::{Dimension, Field};

use super::super::condition::Condition;
use super::super::execute::{QueryError, fetch_as};
use super::super::plan::Plan;
use super::super::sql::{Statement, Table, effect_terms, key};
use super::facts::Source;

/// A sale or renewal: `value` is its amount.
pub(super) const ORDER: u32 = 1;
/// Money that went back: `value` is how much.
pub(super) const RETURN: u32 = 2;
/// A lead or another event without money.
pub(super) const OTHER: u32 = 3;

const CUSTOMER: &str = "customer";

/// Every customer's orders, returns and other conversions; `group` is the key of each.
pub(super) fn source(
    plan: &Plan,
    group: Option<&Dimension>,
    upto: Sequence,
    statement: &mut Statement,
) -> String {
    let mut terms = effect_terms(plan, upto, statement);
    terms.push("customer != 0".to_owned());
    let mut source = Source::new("effects", CUSTOMER, terms);
    source.tag = format!("multiIf(conversions != 0, {ORDER}, refunds != 0, {RETURN}, {OTHER})");
    source.value = "if(conversions != 0, revenue, refunds)".to_owned();
    if let Some(group) = group {
        source.key = key(plan, group, Table::Effects, statement);
    }
    // A return that is taken back (a dispute won) is a return of less than nothing.
    source.conversions(&format!("n > 0 OR (g = {RETURN} AND x != 0)"))
}

/// The one currency of a plan's money; empty where there is no money.
///
/// # Errors
/// 422 where there are several, which have no sum.
pub(super) async fn one_currency(client: &Client, plan: &Plan, upto: Sequence) -> Result<String, QueryError> {
    let mut statement = Statement::default();
    let mut terms = effect_terms(plan, upto, &mut statement);
    terms.push("currency != ''".to_owned());
    statement.sql = format!(
        "SELECT toString(currency) AS c FROM effects WHERE {} GROUP BY c \
         HAVING sum(revenue) != 0 OR sum(refunds) != 0 ORDER BY c LIMIT 2",
        terms.join(" AND ")
    );
    let (bytes, _) = fetch_as(client, &statement, "TabSeparated").await?;
    let text = String::from_utf8_lossy(&bytes);
    match text.lines().collect::<Vec<_>>().as_slice() {
        [] => Ok(named_currency(plan.filters.paid.as_ref()).unwrap_or_default()),
        [one] => Ok((*one).to_owned()),
        [one, other, ..] => {
            let detail = format!("amounts are in several currencies ({one} and {other}): filter by one");
            Err(Problem::field("filters", detail).into())
        }
    }
}

fn named_currency(condition: Option<&Condition>) -> Option<String> {
    match condition? {
        Condition::All(parts) => parts.iter().find_map(|part| named_currency(Some(part))),
        Condition::TextIn(Field::Currency, values) if values.len() == 1 => values.first().cloned(),
        _ => None,
    }
}
