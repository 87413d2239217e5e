//! Customers' orders and money, as the reports about money see them: sales and renewals with what they brought,
//! and what went back. Conversions that named nobody are nobody's, and left out.

use weir_schemas::ids::Sequence;
use weir_schemas::query::Dimension;

use super::super::plan::Plan;
use super::super::sql::{Statement, Table, effect_terms, key};
use super::facts::Source;
use super::money::Money;

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
    money: &Money,
    group: Option<&Dimension>,
    upto: Sequence,
    statement: &mut Statement,
) -> String {
    let mut terms = effect_terms(plan, upto, statement);
    terms.push("customer != 0".to_owned());
    let mut source = Source::new(money.effects(), CUSTOMER, terms);
    source.tag = format!("multiIf(conversions != 0, {ORDER}, refunds != 0, {RETURN}, {OTHER})");
    source.value = "if(conversions != 0, revenue, refunds)".to_owned();
    if let Some(group) = group {
        source.key = key(plan, group, Table::Effects, statement);
    }
    // A return that is taken back (a dispute won) is a return of less than nothing.
    source.conversions(&format!("n > 0 OR (g = {RETURN} AND x != 0)"))
}
