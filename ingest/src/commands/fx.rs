//! `PUT` and `DELETE /v1/fx-rates`: the workspace's exchange rates, by which reports add up amounts of several
//! currencies. All of a table goes in or nothing of it.

use std::sync::Arc;

use http::Method;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use weir_edge::problem::{malformed, unsupported_media_type};
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_schemas::csv;
use weir_schemas::fact::{Fact, Role};
use weir_schemas::fx::{Day, FxRate, Rate};
use weir_schemas::money::Currency;
use weir_schemas::problem::Problem;

use super::handles::{Commands, admission, answer};
use super::link_spec::Errors;

/// Most rates of one call.
const RATES_MAX: usize = 10_000;
/// The largest body, in bytes.
const BYTES_MAX: usize = 2 * 1_024 * 1_024;
/// Longest name of a source, in bytes.
const SOURCE_MAX: usize = 100;
/// Mistakes that one answer tells.
const ERRORS_MAX: usize = 50;

/// The body, each rate as it stands there: each is checked by itself, so that the answer can name it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRates {
    base: String,
    source: String,
    rates: Vec<NewRate>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRate {
    date: String,
    currency: String,
    rate: String,
}

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [put, clear] = std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::PUT, "/v1/fx-rates", move |context| self::put(context, Arc::clone(&put)))
        .route(Method::DELETE, "/v1/fx-rates", move |context| self::clear(context, Arc::clone(&clear)))
}

async fn put(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin, Role::Editor])?;
    let kind = context.header(CONTENT_TYPE.as_str()).unwrap_or("application/json");
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let new = match kind.as_str() {
        "application/json" => context.json(BYTES_MAX).await?,
        "text/csv" => {
            let named = |name: &str| context.query_value(name).unwrap_or_default().into_owned();
            let (base, source) = (named("base"), named("source"));
            let body = context.body(BYTES_MAX).await?;
            let text = std::str::from_utf8(&body).map_err(|_| malformed("The table is not UTF-8."))?;
            NewRates { base, source, rates: table(text)? }
        }
        other => {
            return Err(unsupported_media_type(format!("Send application/json or text/csv, not {other}.")));
        }
    };
    let fact = check(&new)?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, fact).await?;
    Ok(answer(outcome, |body| body))
}

async fn clear(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin, Role::Editor])?;
    context.body(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::FxRatesCleared {}).await?;
    Ok(answer(outcome, |body| body))
}

/// The rows of a table whose first row names `date`, `currency` and `rate`, in any order.
fn table(text: &str) -> Result<Vec<NewRate>, Problem> {
    let first = text.lines().next().unwrap_or_default();
    let separator = if first.contains(';') && !first.contains(',') { ';' } else { ',' };
    let mut rows = csv::read(text, separator, RATES_MAX + 1)
        .map_err(|error| Problem::field("body", error.to_string()))?
        .into_iter();
    let (_, head) = rows.next().unwrap_or_default();
    let head: Vec<String> = head.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    let place = |name: &str| {
        let at = head.iter().position(|column| column == name);
        at.ok_or_else(|| Problem::field(name, "is a column that the first row must name"))
    };
    let (date, currency, rate) = (place("date")?, place("currency")?, place("rate")?);
    let cell = |row: &[String], at: usize| row.get(at).map(|cell| cell.trim().to_owned()).unwrap_or_default();
    Ok(rows
        .map(|(_, row)| NewRate {
            date: cell(&row, date),
            currency: cell(&row, currency),
            rate: cell(&row, rate),
        })
        .collect())
}

fn check(new: &NewRates) -> Result<Fact, Problem> {
    let mut errors = Errors::default();
    let base: Option<Currency> = new.base.parse().ok();
    if base.is_none() {
        errors.add("base", "is not an ISO 4217 currency code such as EUR");
    }
    if new.source.trim().is_empty() {
        errors.add("source", "must name whose rates they are, such as ECB");
    }
    errors.text(
        "source",
        Some(&new.source).filter(|text| !text.trim().is_empty()).map(String::as_str),
        SOURCE_MAX,
    );
    if new.rates.is_empty() || new.rates.len() > RATES_MAX {
        errors.add("rates", format!("must hold 1 to {RATES_MAX} rates"));
    }
    let mut rates: Vec<FxRate> = Vec::with_capacity(new.rates.len().min(RATES_MAX));
    let mut seen = std::collections::HashSet::new();
    let mut mistakes = 0;
    for (n, rate) in new.rates.iter().take(RATES_MAX).enumerate() {
        let (date, currency, price) =
            (rate.date.parse::<Day>(), rate.currency.parse::<Currency>(), rate.rate.parse::<Rate>());
        let mut wrong = |field: &str, detail: String| {
            mistakes += 1;
            if mistakes <= ERRORS_MAX {
                errors.add(format!("rates[{n}].{field}"), detail);
            }
        };
        if let Err(error) = &date {
            wrong("date", error.to_string());
        }
        if let Err(error) = &currency {
            wrong("currency", format!("is {error}"));
        }
        if let Err(error) = &price {
            wrong("rate", error.to_string());
        }
        let (Ok(date), Ok(currency), Ok(price)) = (date, currency, price) else { continue };
        if Some(currency) == base {
            wrong("currency", "is the base, which costs one of itself".to_owned());
        } else if !seen.insert((date, currency)) {
            wrong("date", "this day's rate of this currency stands here twice".to_owned());
        }
        rates.push(FxRate { date, currency, rate: price });
    }
    errors.none()?;
    let base = base.ok_or_else(|| Problem::field("base", "is required"))?;
    Ok(Fact::FxRatesPut { base, source: new.source.trim().to_owned(), rates })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: serde_json::Value) -> Vec<String> {
        let checked = check(&serde_json::from_value(value).unwrap());
        checked.err().into_iter().flat_map(|problem| problem.errors).map(|error| error.field).collect()
    }

    #[test]
    fn each_wrong_rate_is_named() {
        let rate = |date: &str, currency: &str, rate: &str| json!({"date": date, "currency": currency, "rate": rate});
        let good = rate("2026-11-20", "USD", "1.0856");
        assert!(fields(json!({"base": "EUR", "source": "ECB", "rates": [good]})).is_empty());
        let wrong = json!([
            good,
            rate("2026-11-20", "usd", "1.1"),
            rate("20.11.2026", "XXX", "0"),
            rate("2026-11-20", "EUR", "1")
        ]);
        assert_eq!(
            fields(json!({"base": "EUR", "source": "ECB", "rates": wrong})),
            ["rates[1].date", "rates[2].date", "rates[2].currency", "rates[2].rate", "rates[3].currency"]
        );
        assert_eq!(fields(json!({"base": "", "source": " ", "rates": []})), ["base", "source", "rates"]);
    }

    #[test]
    fn a_table_is_read_by_its_head() {
        let rows = table("\u{feff}Rate;Currency;Date\n1.0856;USD;2026-11-20\n").unwrap();
        assert_eq!((rows[0].date.as_str(), rows[0].rate.as_str()), ("2026-11-20", "1.0856"));
        assert_eq!(table("date,rate\n2026-11-20,1\n").unwrap_err().errors[0].field, "currency");
    }
}
