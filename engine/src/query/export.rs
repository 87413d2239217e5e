//! Rows as files: [`raw`] facts, streamed from ClickHouse in its own formats with no more memory than a piece, and
//! [`convert`], which has ClickHouse write an answer that was finished here as Parquet or Arrow.
//!
//! Raw rows are those of the documented views (`clicks_v1`, `events_v1`, `conversions_v1`), in the order of the table's
//! key, each with a `cursor`: an export that broke off goes on after the last one that arrived. With the same
//! `as_of` both halves are one export: a click's verdict is the one that was in force then.

use clickhouse::Client;
use clickhouse::query::BytesCursor;
use serde::{Deserialize, Serialize};
use weir_schemas::ids::Sequence;
use weir_schemas::migrations::Migration;
use weir_schemas::problem::Problem;
use weir_schemas::query::{Cell, Column, ColumnType};

use super::execute::{ANSWER_BYTES_MAX, QueryError, fetch_as, prepared};
use super::plan::Plan;
use super::reports::Scope;
use super::running::Running;
use super::sql::{Statement, click_terms, effect_terms, event_terms, standing, wheres};
use super::state_rows::Bytes;

/// How long an export may take, in seconds.
pub const EXPORT_SECONDS_MAX: u32 = 3_600;

/// In what an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// With a header; texts that a spreadsheet would take for formulas behind an apostrophe.
    Csv,
    /// An object per line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
    /// An Apache Arrow IPC stream.
    Arrow,
}

impl FileFormat {
    const fn clickhouse(self) -> &'static str {
        match self {
            Self::Csv => "CSVWithNames",
            Self::Ndjson => "JSONEachRow",
            Self::Parquet => "Parquet",
            Self::Arrow => "ArrowStream",
        }
    }
}

/// Which facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Facts {
    /// Every hit, with its verdict.
    Clicks,
    /// Browser events.
    Events,
    /// Signed changes of conversions and money.
    Conversions,
}

/// An export of raw rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// `clicks`, `events` or `conversions`.
    pub rows: Facts,
    /// Most rows; all where absent.
    #[serde(default)]
    pub limit: Option<u64>,
    /// The `cursor` of the last row that arrived.
    #[serde(default)]
    pub after: Option<String>,
    /// The `Weir-As-Of` of the export that this one goes on with.
    #[serde(default)]
    pub as_of: Option<Sequence>,
}

/// A view, the key of its rows behind `at`, and its texts.
struct View {
    name: &'static str,
    key: &'static [&'static str],
    texts: &'static [&'static str],
    others: &'static [&'static str],
}

const CLICKS: View = View {
    name: "clicks_v1",
    key: &["id"],
    texts: &[
        "verdict",
        "domain",
        "variant",
        "country",
        "region",
        "city",
        "continent",
        "device",
        "browser",
        "os",
        "referrer",
        "medium",
        "utm_source",
        "utm_medium",
        "utm_campaign",
        "utm_term",
        "utm_content",
        "language",
        "slug",
    ],
    others: &["link", "program", "partner", "visitor", "asn", "bot", "status", "latency_us"],
};
const EVENTS: View = View {
    name: "events_v1",
    key: &["id"],
    texts: &[
        "kind",
        "event",
        "domain",
        "variant",
        "country",
        "region",
        "city",
        "continent",
        "device",
        "browser",
        "os",
        "referrer",
        "medium",
        "utm_source",
        "utm_medium",
        "utm_campaign",
        "utm_term",
        "utm_content",
        "language",
        "path",
        "title",
        "selector",
        "href",
        "currency",
    ],
    others: &[
        "site",
        "click",
        "link",
        "program",
        "partner",
        "visitor",
        "bot",
        "engaged_ms",
        "scroll",
        "x",
        "y",
        "page_width",
        "page_height",
        "value",
    ],
};
const CONVERSIONS: View = View {
    name: "conversions_v1",
    key: &["seq", "sub"],
    texts: &[
        "event",
        "order_id",
        "provider",
        "currency",
        "domain",
        "variant",
        "country",
        "region",
        "city",
        "continent",
        "device",
        "browser",
        "os",
        "referrer",
        "medium",
        "utm_source",
        "utm_medium",
        "utm_campaign",
        "utm_term",
        "utm_content",
        "language",
    ],
    others: &[
        "conversion",
        "customer",
        "click",
        "link",
        "program",
        "partner",
        "visitor",
        "leads",
        "conversions",
        "orders",
        "events",
        "new_customers",
        "revenue",
        "refunds",
        "commission",
    ],
};

/// The statement of raw rows.
///
/// # Errors
/// 422 naming a field that does not fit.
fn statement(scope: &Scope, spec: &Spec, format: FileFormat, upto: Sequence) -> Result<Statement, Problem> {
    let mut statement = Statement::default();
    let (view, table, mut terms) = facts(&scope.plan, spec.rows, upto, &mut statement);
    let source = source(&scope.plan, spec.rows, upto);
    let cursor: Vec<String> = view.key.iter().map(|key| format!("toString({table}.{key})")).collect();
    let at = format!("toString(toUnixTimestamp64Milli({table}.at))");
    let cursor = format!("concat({at}, '-', {}) AS cursor", cursor.join(", '-', "));
    if let Some(after) = &spec.after {
        terms.push(behind(after, &view)?);
    }
    // The view's expressions over the table's own columns: the same rows, and the table's filters.
    let expressions = expressions(view.name);
    let pick = |name: &&str| -> String {
        // The source has the verdict in force already, as of its own sequence.
        let column = if *name == "verdict" { "first_verdict" } else { *name };
        let expression = expressions.iter().find(|(known, _)| known == column).map(|(_, sql)| sql.as_str());
        let expression = expression.expect("every exported column is one of the view");
        let guarded = format == FileFormat::Csv && view.texts.contains(name);
        match guarded {
            true => format!(
                "if(match({expression}, '^[=+@\\\\t\\\\r-]'), concat('\\'', {expression}), {expression}) AS x_{name}"
            ),
            false => format!("{expression} AS x_{name}"),
        }
    };
    let first = if spec.rows == Facts::Conversions { ["seq", "sub"].as_slice() } else { &["id"] };
    let names: Vec<&str> = first.iter().chain(view.others).chain(view.texts).copied().collect();
    let inner: Vec<String> = names.iter().map(pick).collect();
    let outer: Vec<String> = names.iter().map(|name| format!("x_{name} AS {name}")).collect();
    let key: Vec<String> = view.key.iter().map(|key| format!("{table}.{key}")).collect();
    let limit = spec.limit.map_or_else(String::new, |limit| format!(" LIMIT {limit}"));
    statement.sql = format!(
        "SELECT cursor, x_at AS at, {} FROM (SELECT {cursor}, {table}.at AS x_at, {} FROM {source} WHERE {} \
         ORDER BY workspace, {table}.at, {}{limit})",
        outer.join(", "),
        inner.join(", "),
        terms.join(" AND "),
        key.join(", "),
    );
    Ok(statement)
}

/// How many rows an export has, so that whoever takes it knows how far it has come.
///
/// # Errors
/// 422 naming a field that does not fit, or the warehouse's failure.
pub async fn count_rows(
    client: &Client,
    scope: &Scope,
    spec: &Spec,
    upto: Sequence,
) -> Result<u64, QueryError> {
    let mut statement = Statement::default();
    let (view, _, mut terms) = facts(&scope.plan, spec.rows, upto, &mut statement);
    let source = source(&scope.plan, spec.rows, upto);
    if let Some(after) = &spec.after {
        terms.push(behind(after, &view)?);
    }
    statement.sql = format!("SELECT count() FROM {source} WHERE {}", terms.join(" AND "));
    let (bytes, _) = fetch_as(client, &statement, "RowBinary").await?;
    let rows = Bytes { all: &bytes, at: 0 }.u64()?;
    Ok(spec.limit.map_or(rows, |limit| rows.min(limit)))
}

/// The view of some facts, their table, and which of its rows are meant.
fn facts(
    plan: &Plan,
    rows: Facts,
    upto: Sequence,
    statement: &mut Statement,
) -> (View, &'static str, Vec<String>) {
    match rows {
        Facts::Clicks => (CLICKS, "clicks", click_terms(plan, upto, statement)),
        Facts::Events => (EVENTS, "events", event_terms(plan, upto, statement)),
        Facts::Conversions => (CONVERSIONS, "effects", effect_terms(plan, upto, statement)),
    }
}

/// Where the rows are read from: clicks with the verdict that was in force at `upto`, by which filters go too.
fn source(plan: &Plan, rows: Facts, upto: Sequence) -> String {
    match rows {
        Facts::Clicks => {
            let standing = standing(plan, upto);
            let in_force = format!("if(verdict = 'counted' AND NOT {standing}, 'blocked', verdict)");
            let terms = wheres(plan, upto).join(" AND ");
            format!("(SELECT * REPLACE ({in_force} AS verdict) FROM clicks WHERE {terms}) AS clicks")
        }
        Facts::Events => "events".to_owned(),
        Facts::Conversions => "effects".to_owned(),
    }
}

fn behind(after: &str, view: &View) -> Result<String, Problem> {
    let wrong = || Problem::field("after", "must be the `cursor` of a row that was exported");
    let mut parts = after.split('-');
    let at: i64 = parts.next().and_then(|part| part.parse().ok()).ok_or_else(wrong)?;
    let keys: Vec<u128> = parts.map(|part| part.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
    if keys.len() != view.key.len() {
        return Err(wrong());
    }
    let keys: Vec<String> = keys.iter().map(|key| format!("toUInt128('{key}')")).collect();
    let names = view.key.join(", ");
    let at = format!("fromUnixTimestamp64Milli(toInt64({at}), 'UTC')");
    // Both: the first reaches the primary key.
    Ok(format!("(at >= {at} AND (at, {names}) > ({at}, {}))", keys.join(", ")))
}

/// The columns of a view and what they are, as its last migration says.
fn expressions(view: &str) -> Vec<(String, String)> {
    let head = format!("CREATE OR REPLACE VIEW {view} AS SELECT\n");
    let statements = weir_schemas::migrations::ALL.iter().rev().flat_map(Migration::statements);
    let body = statements.filter_map(|statement| statement.strip_prefix(&head).map(str::to_owned)).next();
    body.unwrap_or_default()
        .lines()
        .filter_map(|line| line.trim().trim_end_matches(',').rsplit_once(" AS "))
        .map(|(sql, name)| (name.to_owned(), sql.to_owned()))
        .collect()
}

/// Begins an export of raw rows.
///
/// # Errors
/// 422 naming a field that does not fit; what ClickHouse says while the rows come is the cursor's to tell.
pub fn raw(
    client: &Client,
    scope: &Scope,
    spec: &Spec,
    format: FileFormat,
    upto: Sequence,
) -> Result<(BytesCursor, Running), QueryError> {
    let statement = statement(scope, spec, format, upto)?;
    let (query, running) = prepared(client, &statement);
    let query = query
        .with_setting("max_execution_time", EXPORT_SECONDS_MAX.to_string())
        .with_setting("output_format_json_quote_64bit_integers", "0")
        .with_setting("date_time_output_format", "iso");
    Ok((query.fetch_bytes(format.clickhouse())?, running))
}

/// Rows that were finished here, written by ClickHouse in one of its formats. Times are moments there, whatever the
/// question's zone.
pub async fn convert(
    client: &Client,
    columns: &[Column],
    rows: &[Vec<Cell>],
    format: FileFormat,
) -> Result<Vec<u8>, QueryError> {
    let kind = |kind: ColumnType| match kind {
        ColumnType::String => "Nullable(String)",
        ColumnType::Integer | ColumnType::Money => "Nullable(Int64)",
        ColumnType::Number => "Nullable(Float64)",
        ColumnType::Time => "Nullable(DateTime64(3, 'UTC'))",
        ColumnType::Bool => "Nullable(Bool)",
    };
    let structure: Vec<String> =
        columns.iter().enumerate().map(|(index, column)| format!("c{index} {}", kind(column.kind))).collect();
    let mut lines = String::new();
    for row in rows {
        lines.push_str(&Cell::Array(row.clone()).to_string());
        lines.push('\n');
    }
    let names: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| format!("c{index} AS {}", quoted(&column.name)))
        .collect();
    let names = names.join(", ");
    let sql = match rows {
        [] => format!(
            "SELECT {names} FROM (SELECT {}) WHERE 0",
            (columns.iter().enumerate())
                .map(|(index, column)| format!("NULL::{} AS c{index}", kind(column.kind)))
                .collect::<Vec<_>>()
                .join(", ")
        ),
        _ => format!(
            "SELECT {names} FROM format(JSONCompactEachRow, '{}', unhex('{}')) \
             SETTINGS date_time_input_format = 'best_effort'",
            structure.join(", ").replace('\'', "\\'"),
            super::execute::hexadecimal(&lines)
        ),
    };
    let length = sql.len() + 1_024;
    let (query, mut running) = prepared(client, &Statement { sql, parameters: Vec::new() });
    let query =
        query.with_setting("max_query_size", length.to_string()).with_setting("wait_end_of_query", "1");
    let mut cursor = query.fetch_bytes(format.clickhouse())?;
    let mut bytes = Vec::new();
    while let Some(chunk) = cursor.next().await? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(QueryError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    running.ended();
    Ok(bytes)
}

/// A column's name as an identifier; names of properties are the caller's text.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exported_column_is_one_of_its_view() {
        for view in [CLICKS, EVENTS, CONVERSIONS] {
            let known: Vec<String> = expressions(view.name).into_iter().map(|(name, _)| name).collect();
            for name in view.key.iter().chain(view.texts).chain(view.others) {
                assert!(known.iter().any(|known| known == name), "{name} is not in {}", view.name);
            }
        }
    }

    #[test]
    fn a_cursor_is_numbers_and_nothing_else() {
        assert!(behind("1700000000000-5", &CLICKS).is_ok());
        assert!(behind("1700000000000-5-6", &CONVERSIONS).is_ok());
        for bad in ["", "5", "5-x", "5-6-7", "5-6') OR 1=1 --"] {
            assert!(behind(bad, &CLICKS).is_err(), "{bad}");
        }
        assert_eq!(quoted("property:a`b"), "`property:a\\`b`");
    }
}
