//! Asks ClickHouse: [`execute`] for an answer's rows, [`snapshot`] for states that go on growing in memory.

use std::collections::BTreeMap;

use clickhouse::Client;
use weir_schemas::fx::Day;
use weir_schemas::ids::Sequence;
use weir_schemas::problem::Problem;
use weir_schemas::query::{Cell, ComparedRows, Direction, LIMIT_MAX};

use super::cells::{self, Looked};
use super::exchange::{Exchange, PAIRS_MAX, Pair, pairs_statement, too_many_pairs};
use super::fold::{GROUPS_MAX, several_currencies, too_many_groups};
use super::latency::LATENCY_ERROR;
use super::plan::Plan;
use super::running::Running;
use super::sql::{Mode, Parameter, Statement, can_order, statement};
use super::state_rows::{BadAnswer, Bytes, StateRow, read};
use super::states::States;
use super::table::{self, Key};
use super::visitors::{STANDARD_ERROR, VISITORS_EXACT_MAX};

/// How long ClickHouse may work on one statement, in seconds.
pub const EXECUTION_SECONDS_MAX: u32 = 30;
/// How much memory ClickHouse may take for one statement, in bytes.
pub const MEMORY_BYTES_MAX: u64 = 2 << 30;
/// How long a statement may be, in bytes: one that converts amounts names every day's factors.
const STATEMENT_BYTES_MAX: usize = 8 << 20;
/// How many bytes one statement's answer may have.
pub const ANSWER_BYTES_MAX: usize = 1 << 30;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The query, or what it finds, does not fit: tell the caller.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// The warehouse does not answer, or not in time: try again.
    #[error("the warehouse: {0}")]
    Warehouse(#[from] clickhouse::error::Error),
    /// Something else than ClickHouse answers.
    #[error(transparent)]
    BadAnswer(#[from] BadAnswer),
    /// The answer is larger than [`ANSWER_BYTES_MAX`]: narrow the query.
    #[error("the warehouse's answer is larger than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
}

impl From<Problem> for QueryError {
    fn from(problem: Problem) -> Self {
        Self::Refused(Box::new(problem))
    }
}

impl QueryError {
    /// As callers of an API see it.
    pub fn problem(&self) -> Problem {
        match self {
            Self::Refused(problem) => problem.as_ref().clone(),
            Self::TooLarge => too_many_groups(),
            Self::Warehouse(error) if is_bad_pattern(error) => {
                Problem::field("filters", "a pattern is not a regular expression of RE2")
            }
            Self::Warehouse(error) if exceeds_a_bound(error) => Problem::field(
                "date_range",
                format!(
                    "this asks for more than {EXECUTION_SECONDS_MAX} s or {} MiB of the warehouse: shorten it or filter",
                    MEMORY_BYTES_MAX >> 20
                ),
            ),
            Self::Warehouse(_) | Self::BadAnswer(_) => Problem::new(
                503,
                "warehouse_unavailable",
                "The warehouse is not available",
                "The warehouse did not answer this query; clicks are still recorded. Try again.",
            ),
        }
    }
}

/// ClickHouse's code 427 is CANNOT_COMPILE_REGEXP.
fn is_bad_pattern(error: &clickhouse::error::Error) -> bool {
    matches!(error, clickhouse::error::Error::BadResponse(text)
        if text.contains("CANNOT_COMPILE_REGEXP") || text.contains("Code: 427"))
}

/// ClickHouse's codes 159 and 241 are TIMEOUT_EXCEEDED and MEMORY_LIMIT_EXCEEDED.
fn exceeds_a_bound(error: &clickhouse::error::Error) -> bool {
    matches!(error, clickhouse::error::Error::BadResponse(text)
        if ["TIMEOUT_EXCEEDED", "MEMORY_LIMIT_EXCEEDED", "Code: 159", "Code: 241"].iter().any(|c| text.contains(c)))
}

/// The parts of an answer that come from the warehouse.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answered {
    /// In order.
    pub rows: Vec<Vec<Cell>>,
    /// Where asked for.
    pub totals: Option<Vec<Cell>>,
    /// Where asked for.
    pub other: Option<Vec<Cell>>,
    /// Where asked for.
    pub comparison: Option<ComparedRows>,
    /// Rows that ClickHouse read, as far as it said.
    pub rows_read: u64,
    /// For `meta.fx`: how amounts were converted, where they were.
    pub fx: Option<serde_json::Value>,
    /// For `meta.estimates`: metrics that are estimates here.
    pub estimates: serde_json::Map<String, serde_json::Value>,
}

/// States of every group of a plan, as of a sequence.
#[derive(Debug)]
pub struct StateRows {
    pub(super) rows: Vec<StateRow>,
}

/// Answers a plan over everything up to `upto`, which the warehouse must have stored already.
pub async fn execute(client: &Client, plan: &Plan, upto: Sequence) -> Result<Answered, QueryError> {
    let mut answered = Answered::default();
    let in_one_currency = in_one_currency(client, plan, upto).await?;
    let plan = in_one_currency.as_ref().unwrap_or(plan);
    answered.fx = plan.exchange.as_ref().map(Exchange::told);
    let (rows, totals) = rows_and_totals(client, plan, upto, &mut answered).await?;
    (answered.rows, answered.totals) = (rows, totals);
    if let Some(compared) = plan.compared() {
        let other = answered.other.take();
        let (rows, totals) = rows_and_totals(client, &compared, upto, &mut answered).await?;
        answered.other = other;
        let totals = totals.map(|cells| plan.name_totals(cells));
        answered.comparison = Some(ComparedRows { rows, totals });
    }
    if plan.needs.latency {
        let error = serde_json::json!({ "relative_error": LATENCY_ERROR });
        for metric in plan.metrics.iter().filter(|metric| metric.as_str().starts_with("latency_")) {
            answered.estimates.insert(metric.as_str().to_owned(), error.clone());
        }
    }
    Ok(answered)
}

/// The plan as it is asked where amounts may be converted: with what there is to convert, in the range to compare with
/// too, or without any conversion where there is a single currency.
async fn in_one_currency(client: &Client, plan: &Plan, upto: Sequence) -> Result<Option<Plan>, QueryError> {
    if plan.exchange.is_none() {
        return Ok(None);
    }
    let mut pairs = pairs(client, plan, upto).await?;
    if let Some(compared) = plan.compared() {
        pairs.extend(self::pairs(client, &compared, upto).await?);
        pairs.sort_unstable();
        pairs.dedup();
    }
    let several = pairs.windows(2).any(|pair| pair[0].1 != pair[1].1);
    Ok(Some(if several || plan.converts { plan.of_pairs(pairs, true) } else { plan.unconverted() }))
}

/// The days and currencies of a plan's amounts.
pub(super) async fn pairs(client: &Client, plan: &Plan, upto: Sequence) -> Result<Vec<Pair>, QueryError> {
    let (bytes, _) = fetch(client, &pairs_statement(plan, upto)).await?;
    let mut bytes = Bytes { all: &bytes, at: 0 };
    let mut pairs = Vec::new();
    while bytes.at < bytes.all.len() {
        let day = Day(i32::from_le_bytes(bytes.array()?));
        let currency = bytes.text()?.parse().map_err(|_| BadAnswer(bytes.at))?;
        pairs.push((day, currency));
    }
    if pairs.len() > PAIRS_MAX { Err(too_many_pairs().into()) } else { Ok(pairs) }
}

type RowsAndTotals = (Vec<Vec<Cell>>, Option<Vec<Cell>>);

async fn rows_and_totals(
    client: &Client,
    plan: &Plan,
    upto: Sequence,
    answered: &mut Answered,
) -> Result<RowsAndTotals, QueryError> {
    let looked = cells::look(client, plan, upto).await?;
    let with_total = plan.total || plan.one_currency;
    let total = async {
        match with_total {
            true => Ok(Some(total(client, plan, upto, &looked).await?)),
            false => Ok(None),
        }
    };
    // Without dimensions the total is the row.
    let rows = async {
        match with_total && plan.dimensions.is_empty() {
            true => Ok((Vec::new(), 0)),
            false => rows(client, plan, upto, &looked).await,
        }
    };
    let (total, (mut rows, read)) = tokio::try_join!(total, rows)?;
    answered.rows_read += read + total.as_ref().map_or(0, |(_, read)| *read);
    let total = total.map(|(states, _)| states);
    if let Some(total) = total.as_ref().filter(|total| plan.one_currency && total.currencies.len() > 1) {
        return Err(several_currencies(total).into());
    }
    if let Some(total) = total.as_ref().filter(|_| plan.dimensions.is_empty()) {
        rows = vec![(Vec::new(), total.clone())];
    }
    if plan.other || !can_order(plan) && plan.filled_until.is_none() {
        if rows.len() > GROUPS_MAX {
            return Err(too_many_groups().into());
        }
        let order = table::arrange(plan, rows.iter().map(|(keys, states)| (keys.as_slice(), states)));
        let mut held: Vec<Option<StateRow>> = rows.into_iter().map(Some).collect();
        rows = order.into_iter().filter_map(|at| held[at as usize].take()).collect();
        if plan.other {
            let mut others = States::default();
            let left = held.iter().flatten().map(|(_, states)| states);
            left.filter(|states| table::is_row(plan, states)).for_each(|states| others.merge(states));
            answered.other = Some(table::total_cells(plan, &others));
        }
    }
    if rows.iter().map(|(_, states)| states).chain(&total).any(|states| states.visitors.count_is_estimated())
    {
        let error =
            serde_json::json!({ "standard_error": STANDARD_ERROR, "exact_up_to": VISITORS_EXACT_MAX });
        answered.estimates.insert("visitors".to_owned(), error);
    }
    let cells = rows.iter().map(|(keys, states)| table::cells(plan, keys, states)).collect();
    let totals = total.filter(|_| plan.total).map(|total| table::total_cells(plan, &total));
    Ok((cells, totals))
}

/// Every bucket's row, those without facts too, in the plan's order and bounds.
fn filled(plan: &Plan, rows: Vec<StateRow>) -> Vec<StateRow> {
    let (Some(until), Some(buckets)) = (plan.filled_until, &plan.buckets) else { return rows };
    let mut held: BTreeMap<i64, StateRow> = BTreeMap::new();
    for row in rows {
        if let Some(Key::Time(key)) = row.0.first() {
            held.insert(*key, row);
        }
    }
    // `all` begins with the first fact.
    let begin = if plan.range.from.0 > 0 {
        buckets.key(plan.range.from.0)
    } else {
        held.keys().next().copied().unwrap_or(0)
    };
    let last = buckets.key(until.0 - 1);
    if plan.range.from.0 > 0 || !held.is_empty() {
        for key in buckets.between(begin, last, LIMIT_MAX as usize) {
            held.entry(key).or_insert_with(|| (vec![Key::Time(key)], States::default()));
        }
    }
    let rows = held.into_values();
    match plan.order.first() {
        Some((_, Direction::Desc)) => rows.rev().skip(plan.offset).take(plan.limit).collect(),
        _ => rows.skip(plan.offset).take(plan.limit).collect(),
    }
}

/// The plan's rows, all of them where only Rust can order them; and how many rows were read for them.
async fn rows(
    client: &Client,
    plan: &Plan,
    upto: Sequence,
    looked: &Looked,
) -> Result<(Vec<StateRow>, u64), QueryError> {
    if plan.other {
        return ask(client, plan, upto, Mode::States, looked).await;
    }
    if plan.filled_until.is_none() {
        return ask(client, plan, upto, Mode::Values, looked).await;
    }
    let mut whole = plan.clone();
    (whole.limit, whole.offset) = (LIMIT_MAX as usize, 0);
    let (rows, read) = ask(client, &whole, upto, Mode::Values, looked).await?;
    Ok((filled(plan, rows), read))
}

async fn total(
    client: &Client,
    plan: &Plan,
    upto: Sequence,
    looked: &Looked,
) -> Result<(States, u64), QueryError> {
    let (rows, read) = ask(client, plan, upto, Mode::Total, looked).await?;
    let (_, states) = rows.into_iter().next().ok_or(BadAnswer(0))?;
    Ok((states, read))
}

/// The states of a plan over everything up to `upto`, to be [loaded](super::fold::RowStates::load).
///
/// # Errors
/// [`QueryError::Refused`] where there are more groups than memory holds.
pub async fn snapshot(client: &Client, plan: &Plan, upto: Sequence) -> Result<StateRows, QueryError> {
    let told = match plan.exchange {
        Some(_) => Some(plan.of_pairs(pairs(client, plan, upto).await?, plan.converts)),
        None => None,
    };
    let plan = told.as_ref().unwrap_or(plan);
    let looked = cells::look(client, plan, upto).await?;
    let (rows, _) = ask(client, plan, upto, Mode::States, &looked).await?;
    if rows.len() > GROUPS_MAX {
        return Err(too_many_groups().into());
    }
    Ok(StateRows { rows })
}

async fn ask(
    client: &Client,
    plan: &Plan,
    upto: Sequence,
    mode: Mode,
    looked: &Looked,
) -> Result<(Vec<StateRow>, u64), QueryError> {
    let mut reading = looked.reading(plan, mode);
    let mut rows_read = 0;
    loop {
        let (bytes, read_rows) = fetch(client, &statement(plan, upto, mode, &reading)).await?;
        rows_read += read_rows;
        match (read(plan, mode, reading.cover.is_some(), &bytes)?, &mut reading.cover) {
            (Some(rows), _) => return Ok((rows, rows_read)),
            (None, Some(cover)) if !cover.complete => cover.complete = true,
            (None, _) => return Err(BadAnswer(bytes.len()).into()),
        }
    }
}

/// A statement with its parameters and the bounds of its execution, ready to be asked in any format; and what kills
/// it when nobody waits for it any more.
pub(super) fn prepared(client: &Client, statement: &Statement) -> (clickhouse::query::Query, Running) {
    let running = Running::new(client);
    // `query_raw`: a `?` in a statement is none of the crate's placeholders.
    let mut query = client
        .query_raw(&statement.sql)
        .with_setting("query_id", running.id())
        .with_setting("max_execution_time", EXECUTION_SECONDS_MAX.to_string())
        .with_setting("max_memory_usage", MEMORY_BYTES_MAX.to_string())
        .with_setting("max_query_size", STATEMENT_BYTES_MAX.to_string());
    for (index, parameter) in statement.parameters.iter().enumerate() {
        let name = format!("p{index}");
        query = match parameter {
            Parameter::Texts(texts) => {
                query.param(&name, texts.iter().map(|text| hexadecimal(text)).collect::<Vec<_>>())
            }
            Parameter::Numbers(numbers) => query.param(&name, numbers),
            Parameter::Integer(number) => query.param(&name, number),
            Parameter::Unsigned(number) => query.param(&name, number),
        };
    }
    (query, running)
}

/// Runs a statement; its answer in RowBinary and how many rows were read for it.
async fn fetch(client: &Client, statement: &Statement) -> Result<(Vec<u8>, u64), QueryError> {
    fetch_as(client, statement, "RowBinary").await
}

/// As [`fetch`], in another format.
pub(super) async fn fetch_as(
    client: &Client,
    statement: &Statement,
    format: &str,
) -> Result<(Vec<u8>, u64), QueryError> {
    let (query, mut running) = prepared(client, statement);
    let mut cursor = query.with_setting("wait_end_of_query", "1").fetch_bytes(format)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = cursor.next().await? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(QueryError::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    running.ended();
    let read_rows = cursor.summary().and_then(|summary| summary.read_rows()).unwrap_or(0);
    Ok((bytes, read_rows))
}

pub(super) fn hexadecimal(text: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}
