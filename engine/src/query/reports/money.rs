//! In which currency a report's amounts are. Where there is one, they are as they are; where there are several, or
//! another one is asked for, each conversion's amount is multiplied by its own day's rate and rounded once, and
//! everything a report adds up is made of those: parts add up to the whole. (A query rounds each row's sum instead,
//! so the two may differ by as many minor units as there are conversions.) Where a rate is missing there is no
//! report.

use clickhouse::Client;
use serde_json::Value;
use weir_schemas::ids::Sequence;
use weir_schemas::problem::Problem;
use weir_schemas::query::Field;

use super::super::condition::Condition;
use super::super::exchange::Exchange;
use super::super::execute::{QueryError, fetch_as, pairs};
use super::super::plan::Plan;
use super::super::sql::{Statement, effect_terms};
use super::scope::Scope;

/// What a report's amounts are in.
#[derive(Debug, Clone, Default)]
pub(super) struct Money {
    /// Its code; empty where there is no money.
    pub(super) currency: String,
    exchange: Option<Exchange>,
}

impl Money {
    /// Of a plan's facts.
    ///
    /// # Errors
    /// 422 where there are several currencies and no rates, or not all rates that are needed.
    pub(super) async fn of(
        client: &Client,
        scope: &Scope,
        plan: &Plan,
        upto: Sequence,
    ) -> Result<Self, QueryError> {
        let met = currencies(client, plan, upto).await?;
        let into = match (scope.currency, met.as_slice()) {
            (Some(asked), met) if met.iter().all(|code| code == asked.as_str()) => {
                return Ok(Self { currency: asked.to_string(), exchange: None });
            }
            (None, []) => {
                let currency = named_currency(plan.filters.paid.as_ref()).unwrap_or_default();
                return Ok(Self { currency, exchange: None });
            }
            (None, [one]) => return Ok(Self { currency: one.clone(), exchange: None }),
            (asked, _) => asked,
        };
        let table = scope.rates.clone().filter(|table| table.base.is_some());
        let Some(table) = table else {
            let (field, detail) = match into {
                Some(into) => {
                    ("currency", format!("there are no exchange rates into {into}: put them to /v1/fx-rates"))
                }
                None => {
                    let names = met.join(" and ");
                    ("filters", format!("amounts are in several currencies ({names}): filter by one"))
                }
            };
            return Err(Problem::field(field, detail).into());
        };
        let into = into.unwrap_or(table.reporting);
        let exchange = Exchange::new(into, table).of_pairs(pairs(client, plan, upto).await?);
        if let Some((day, currency)) = exchange.missing() {
            let detail = format!(
                "there is no exchange rate of {currency} into {into} for {day}: put it to /v1/fx-rates, or filter by a currency"
            );
            return Err(Problem::field("currency", detail).into());
        }
        Ok(Self { currency: into.to_string(), exchange: Some(exchange) })
    }

    /// The table of effects with amounts in this currency.
    pub(super) fn effects(&self) -> String {
        self.exchange.as_ref().map_or_else(|| "effects".to_owned(), Exchange::converted)
    }

    /// For `meta.fx`.
    pub(super) fn told(&self) -> Option<Value> {
        self.exchange.as_ref().map(Exchange::told)
    }
}

/// The first currencies in which there is money, at most three.
async fn currencies(client: &Client, plan: &Plan, upto: Sequence) -> Result<Vec<String>, QueryError> {
    let mut statement = Statement::default();
    let mut terms = effect_terms(plan, upto, &mut statement);
    terms.push("currency != ''".to_owned());
    statement.sql = format!(
        "SELECT toString(currency) AS c FROM effects WHERE {} GROUP BY c \
         HAVING sum(revenue) != 0 OR sum(refunds) != 0 ORDER BY c LIMIT 3",
        terms.join(" AND ")
    );
    let (bytes, _) = fetch_as(client, &statement, "TabSeparated").await?;
    Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
}

fn named_currency(condition: Option<&Condition>) -> Option<String> {
    match condition? {
        Condition::All(parts) => parts.iter().find_map(|part| named_currency(Some(part))),
        Condition::TextIn(Field::Currency, values) if values.len() == 1 => values.first().cloned(),
        _ => None,
    }
}
