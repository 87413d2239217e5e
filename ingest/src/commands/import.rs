//! `POST /v1/conversions/import`: offline conversions from a spreadsheet, each row by itself. `?dry_run=true` says what
//! would become of every row and changes nothing. Rows of one table are taken at once, in no order: so where two of
//! them tell of one order and event, the later must tell the same, and is refused otherwise.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use weir_edge::idempotency::sha256_hex;
use weir_edge::problem::{internal, malformed, unsupported_media_type};
use weir_edge::request::Context;
use weir_edge::response::{Response, json as json_response};
use weir_engine::books::ConversionFilter;
use weir_engine::keys::Principal;
use weir_schemas::conversion::{NewConversion, Person};
use weir_schemas::csv;
use weir_schemas::fact::{ClickClaim, IdempotentRequest};
use weir_schemas::problem::{FieldError, Problem};
use weir_schemas::time::Timestamp;

use super::conversions::{self, REPORTERS};
use super::handles::{Commands, admission, off_the_sockets};
use crate::providers::decimal_amount;

/// Most conversions in one table.
const ROWS_MAX: usize = 10_000;
/// The largest table, in bytes.
const BYTES_MAX: usize = 8 * 1_024 * 1_024;
/// Rows on their way at once.
const AT_ONCE: usize = 64;

/// The columns that a table may have, in any order.
const COLUMNS: &[&str] = &[
    "event",
    "order_id",
    "amount",
    "currency",
    "wclid",
    "click_id",
    "customer_id",
    "email",
    "name",
    "coupon",
    "partner_code",
    "occurred_at",
    "subscription_id",
];

pub(super) async fn import(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(REPORTERS)?;
    if let Some(kind) = context.header(CONTENT_TYPE.as_str())
        && !["text/csv", "text/plain"].contains(&kind.split(';').next().unwrap_or_default().trim())
    {
        return Err(unsupported_media_type(format!("Send text/csv, not {kind}.")));
    }
    let dry_run = match context.query_value("dry_run").as_deref() {
        None | Some("false" | "0") => false,
        Some("true" | "1" | "") => true,
        Some(_) => return Err(Problem::field("dry_run", "must be true or false")),
    };
    let body = context.body(BYTES_MAX).await?;
    let text = std::str::from_utf8(&body).map_err(|_| malformed("The table is not UTF-8."))?;
    let mut rows = read(text)?;
    let repeated = refuse_contradictions(&mut rows);
    let (at, request) = admission(&context)?;
    let mut results = vec![Value::Null; rows.len()];
    let mut running = JoinSet::new();
    let request_id = context.request_id.clone();
    for (n, (line, row)) in rows.into_iter().enumerate() {
        while running.len() >= AT_ONCE {
            collect(&mut running, &mut results).await?;
        }
        let (commands, request_id) = (Arc::clone(&commands), request_id.clone());
        let repeats = repeated.contains(&n);
        // Sent again, each row is answered as it was: so each has a key of its own.
        let request = request.as_ref().map(|whole| IdempotentRequest {
            key: format!("{}#{n}", whole.key),
            fingerprint: sha256_hex(format!("{row:?}").as_bytes()),
        });
        running.spawn(async move {
            let result = match row {
                Ok(row) if dry_run => would(&commands, caller, at, row, repeats).await,
                Ok(row) => conversions::submit(&commands, caller, at, request, row).await.map(|outcome| {
                    json!({"status": outcome.status, "id": outcome.body["id"],
                        "attributed": !outcome.body["attribution"].is_null()})
                }),
                Err(problem) => Err(problem),
            };
            let mut result = result.unwrap_or_else(
                |problem| json!({"status": problem.status, "error": problem.body(&request_id)}),
            );
            result["line"] = json!(line);
            (n, result)
        });
    }
    while !running.is_empty() {
        collect(&mut running, &mut results).await?;
    }
    let count = |status: u64| results.iter().filter(|result| result["status"] == status).count();
    let (created, known) = (count(201), count(200));
    Ok(json_response(
        StatusCode::OK,
        &json!({"dry_run": dry_run, "rows": results.len(), "created": created, "repeated": known,
            "failed": results.len() - created - known, "data": results}),
    ))
}

async fn collect(running: &mut JoinSet<(usize, Value)>, results: &mut [Value]) -> Result<(), Problem> {
    if let Some(joined) = running.join_next().await {
        let (n, result) = joined.map_err(|_| internal())?;
        results[n] = result;
    }
    Ok(())
}

/// Refuses each row that tells otherwise of an order's event than one above it; gives those that tell the same again.
fn refuse_contradictions(rows: &mut [Row]) -> HashSet<usize> {
    let mut told: HashMap<(String, String), usize> = HashMap::new();
    let mut repeated = HashSet::new();
    for n in 0..rows.len() {
        let Ok(row) = &rows[n].1 else { continue };
        let Some(order_id) = row.order_id.clone() else { continue };
        let first = *told.entry((order_id.clone(), row.event.clone())).or_insert(n);
        if first == n {
            continue;
        }
        let (line, event) = (rows[first].0, row.event.clone());
        if rows[first].1.as_ref().is_ok_and(|above| above == row) {
            repeated.insert(n);
        } else {
            let detail = format!("Line {line} tells otherwise of the {event} of order `{order_id}`.");
            rows[n].1 = Err(Problem::conflict("row_conflict", detail));
        }
    }
    repeated
}

/// What would become of a row; `repeats` one above it.
async fn would(
    commands: &Arc<Commands>,
    caller: Principal,
    at: Timestamp,
    row: NewConversion,
    repeats: bool,
) -> Result<Value, Problem> {
    let click_id = conversions::check(&row, at)?;
    let claim = commands.claims.resolve(caller.workspace, row.wclid.as_deref(), click_id, at).await;
    let click = match &claim {
        ClickClaim::None => "none",
        ClickClaim::Known { .. } => "found",
        ClickClaim::Unresolved { .. } => "not found yet",
        ClickClaim::Refused { .. } => "not a click of this workspace",
    };
    let known = match row.order_id.clone() {
        None => None,
        Some(order_id) => {
            let books = commands.books().clone();
            let filter = ConversionFilter { order_id: Some(order_id), customer: None, partner: None };
            let page = off_the_sockets(move || {
                books.reads().conversions(caller.workspace, &filter, &Default::default())
            });
            let page = page.await.map_err(|error| conversions::books_failed(&error))?;
            page.data.into_iter().find(|known| known.event == row.event)
        }
    };
    match known {
        Some(known) if known.amount != row.amount => {
            let detail = format!("The {} of this order is known with another amount.", row.event);
            Err(Problem::conflict("order_conflict", detail))
        }
        Some(known) => Ok(json!({"status": 200, "id": known.id, "click": click})),
        None => Ok(json!({"status": if repeats { 200 } else { 201 }, "id": null, "click": click})),
    }
}

type Row = (usize, Result<NewConversion, Problem>);

/// The rows below the head, each with its line.
fn read(text: &str) -> Result<Vec<Row>, Problem> {
    let first = text.lines().next().unwrap_or_default();
    let separator = if first.contains(';') && !first.contains(',') { ';' } else { ',' };
    let mut rows = csv::read(text, separator, ROWS_MAX + 1)
        .map_err(|error| Problem::field("body", error.to_string()))?
        .into_iter();
    let (_, head) = rows.next().unwrap_or_default();
    let columns: Vec<String> = head.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    let mut errors = Vec::new();
    for (n, name) in columns.iter().enumerate() {
        if !COLUMNS.contains(&name.as_str()) {
            errors.push(wrong(name, format!("is no column; there are: {}", COLUMNS.join(", "))));
        } else if columns[..n].contains(name) {
            errors.push(wrong(name, "stands twice in the first row"));
        }
    }
    if !columns.iter().any(|name| name == "event") {
        errors.push(wrong("event", "is a column that the first row must name"));
    }
    if !errors.is_empty() {
        return Err(Problem::fields(errors));
    }
    let rows: Vec<Row> = rows.map(|(line, cells)| (line, conversion(&columns, &cells))).collect();
    if rows.is_empty() {
        return Err(Problem::field("body", "must hold at least one row below its head"));
    }
    Ok(rows)
}

fn wrong(field: &str, detail: impl Into<String>) -> FieldError {
    FieldError { field: field.to_owned(), detail: detail.into() }
}

fn conversion(columns: &[String], cells: &[String]) -> Result<NewConversion, Problem> {
    if cells.len() > columns.len() {
        return Err(Problem::field("body", "the row has more cells than the first row has names"));
    }
    let cell = |name: &str| -> Option<String> {
        let at = columns.iter().position(|column| column == name)?;
        let text = csv::unguarded(cells.get(at)?).trim().to_owned();
        (!text.is_empty()).then_some(text)
    };
    let amount = match (cell("amount"), cell("currency")) {
        (None, _) => None,
        (Some(_), None) => return Err(Problem::field("currency", "is required with an amount")),
        (Some(amount), Some(code)) => {
            let currency = code.parse().map_err(|error| Problem::field("currency", format!("is {error}")))?;
            Some(decimal_amount(&amount, currency).map_err(|why| Problem::field("amount", why))?)
        }
    };
    let occurred_at = cell("occurred_at")
        .map(|text| {
            Timestamp::parse(&text).map_err(|_| Problem::field("occurred_at", "is not an RFC 3339 time"))
        })
        .transpose()?;
    let person = Person { email: cell("email"), name: cell("name") };
    Ok(NewConversion {
        event: cell("event").unwrap_or_default(),
        order_id: cell("order_id"),
        wclid: cell("wclid"),
        click_id: cell("click_id"),
        customer_id: cell("customer_id"),
        coupon: cell("coupon"),
        partner_code: cell("partner_code"),
        amount,
        customer: (person != Person::default()).then_some(person),
        occurred_at,
        subscription_id: cell("subscription_id"),
        properties: Map::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_conversions_or_say_what_is_wrong() {
        let text = "Event,order_id,amount,currency,email,customer_id\n\
            sale,A-1,19.99,EUR,a@b.example,u1\nsale,A-2,1.005,EUR,,\nlead,,,,,\nsale,A-3,5,,,\n";
        let rows = read(text).unwrap();
        let sale = rows[0].1.as_ref().unwrap();
        assert_eq!((sale.amount.unwrap().amount, rows[0].0), (1_999, 2));
        assert_eq!(sale.customer.as_ref().unwrap().email.as_deref(), Some("a@b.example"));
        let wrong = |n: usize| rows[n].1.as_ref().unwrap_err().errors[0].field.clone();
        assert_eq!(wrong(1), "amount");
        assert_eq!(rows[2].1.as_ref().unwrap().event, "lead");
        assert_eq!(wrong(3), "currency");
    }

    #[test]
    fn rows_that_contradict_one_above_are_refused_and_repeats_known() {
        let text = "event,order_id,amount,currency,customer_id\nsale,A-1,5,EUR,u1\nsale,A-1,5.00,EUR,u1\n\
            sale,A-1,6,EUR,u1\nsale,A-1,5,EUR,u2\nrenewal,A-1,6,EUR,u1\nsale,,5,EUR,u1\nsale,,6,EUR,u1\n\
            sale,A-2,x,EUR,u1\nsale,A-2,5,EUR,u1\n";
        let mut rows = read(text).unwrap();
        assert_eq!(refuse_contradictions(&mut rows), HashSet::from([1]));
        let refused: Vec<usize> = rows
            .iter()
            .filter(|(_, row)| row.as_ref().is_err_and(|p| p.status == 409))
            .map(|row| row.0)
            .collect();
        assert_eq!(refused, [4, 5], "by their lines");
        let told = &rows[2].1.as_ref().unwrap_err().detail;
        assert_eq!(told, "Line 2 tells otherwise of the sale of order `A-1`.");
    }

    #[test]
    fn the_head_is_checked() {
        let field = |text: &str| read(text).unwrap_err().errors[0].field.clone();
        assert_eq!(field("event,price\nsale,1\n"), "price");
        assert_eq!(field("event,event\nsale,sale\n"), "event");
        assert_eq!(field("order_id\n1\n"), "event");
        assert_eq!(field("event\n"), "body");
        assert_eq!(field("event\n\"sale\n"), "body");
    }
}
