//! Persons' histories, streamed from ClickHouse: one person's facts at a time, in order of time, so that a report
//! over any number of persons needs the memory of one.
//!
//! A report says which rows of which table are facts and what it wants of them ([`Source`]); the statement groups
//! them by person. Effects are signed changes: what was restated is a conversion's old and new row, so effects
//! are first added up per conversion, and what adds up to nothing is no fact.

use clickhouse::Client;
use weir_schemas::problem::Problem;

use super::super::execute::{MEMORY_BYTES_MAX, QueryError, prepared};
use super::super::sql::Statement;
use super::super::state_rows::{BadAnswer, Bytes};

/// Most facts of one person; more is no person, and refused rather than cut.
pub(super) const PERSON_FACTS_MAX: usize = 1_000_000;

/// One thing that a person did. What the numbers and the key mean is the report's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fact {
    /// Unix milliseconds.
    pub(super) at: i64,
    pub(super) tag: u32,
    pub(super) value: i64,
    pub(super) other: i64,
    pub(super) key: Box<str>,
}

/// Some rows as facts.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) table: String,
    /// `UInt64`
    pub(super) person: &'static str,
    /// `UInt32`
    pub(super) tag: String,
    /// `Int64`
    pub(super) value: String,
    /// `Int64`
    pub(super) other: String,
    /// `String`
    pub(super) key: String,
    pub(super) terms: Vec<String>,
}

/// Whose a click or browser event is.
pub(super) const VISITOR: &str = "visitor";
/// Whose a conversion is.
pub(super) const PERSON: &str = "if(visitor != 0, visitor, if(customer != 0, customer, conversion))";
/// It happened and stands.
pub(super) const STANDS: &str = "n > 0";
/// How often a conversion happened, whatever its event: 1, and 0 once it was restated elsewhere.
const HAPPENED: &str = "leads + conversions + events";

const AT_MS: &str = "toInt64(toUnixTimestamp64Milli(at))";

impl Source {
    pub(super) fn new(table: impl Into<String>, person: &'static str, terms: Vec<String>) -> Self {
        let (tag, number) = ("toUInt32(1)".to_owned(), "toInt64(0)".to_owned());
        Self {
            table: table.into(),
            person,
            tag,
            value: number.clone(),
            other: number,
            key: "''".to_owned(),
            terms,
        }
    }

    /// Row by row.
    pub(super) fn rows(&self) -> String {
        let Self { table, person, tag, value, other, key, terms } = self;
        format!(
            "SELECT {person} AS person, {AT_MS} AS t, toUInt32({tag}) AS g, toInt64({value}) AS x, \
             toInt64({other}) AS y, toString({key}) AS k FROM {table} WHERE {}",
            terms.join(" AND ")
        )
    }

    /// Effects added up per conversion and moment: `n` says how often it happened (see [`HAPPENED`]), value and
    /// other are sums too. `is_fact` speaks of `n`, `g`, `x` and `y`.
    pub(super) fn conversions(&self, is_fact: &str) -> String {
        let Self { table, person, tag, value, other, key, terms } = self;
        format!(
            "SELECT person, t, g, x, y, k FROM (SELECT {person} AS person, {AT_MS} AS t, toUInt32({tag}) AS g, \
             toString({key}) AS k, conversion, sum({HAPPENED}) AS n, toInt64(sum({value})) AS x, \
             toInt64(sum({other})) AS y FROM {table} WHERE {} GROUP BY person, t, g, k, conversion HAVING {is_fact})",
            terms.join(" AND ")
        )
    }
}

/// The statement that gives every person's facts. `having` speaks of the columns `g`, `t`, `x`, `y`, `k`.
pub(super) fn histories(sources: &[String], having: Option<&str>, mut statement: Statement) -> Statement {
    let having = having.map_or_else(String::new, |term| format!(" HAVING {term}"));
    let most = PERSON_FACTS_MAX + 1;
    let lists: Vec<String> = ["t", "g", "x", "y", "k"].map(|c| format!("groupArray({most})({c})")).into();
    let (lists, sources) = (lists.join(", "), sources.join("\nUNION ALL\n"));
    statement.sql = format!("SELECT person, {lists} FROM (\n{sources}\n) GROUP BY person{having}");
    statement
}

/// Runs a statement of [`histories`] and shows each person's facts, ordered by time and tag, to `visit`. Gives the
/// rows that ClickHouse read, as far as it said.
pub(super) async fn each_person(
    client: &Client,
    statement: &Statement,
    mut visit: impl FnMut(u64, &[Fact]) -> Result<(), Problem>,
) -> Result<u64, QueryError> {
    // More persons than fit into memory are put together on disk.
    let (query, mut running) = prepared(client, statement);
    let query = query.with_setting("max_bytes_before_external_group_by", (MEMORY_BYTES_MAX / 2).to_string());
    let mut cursor = query.fetch_bytes("RowBinary")?;
    let mut held: Vec<u8> = Vec::new();
    let mut facts = Vec::new();
    loop {
        let chunk = cursor.next().await?;
        let ended = chunk.is_none();
        if let Some(chunk) = chunk {
            held.extend_from_slice(&chunk);
        }
        let mut bytes = Bytes { all: &held, at: 0 };
        let mut read = 0;
        while bytes.at < bytes.all.len() {
            match person(&mut bytes, &mut facts) {
                Ok(who) => {
                    read = bytes.at;
                    if facts.len() > PERSON_FACTS_MAX {
                        return Err(too_many_facts().into());
                    }
                    facts.sort_unstable();
                    visit(who, &facts)?;
                }
                // The rest of this row comes with the next chunk.
                Err(_) if !ended => break,
                Err(error) => return Err(error.into()),
            }
        }
        if ended {
            running.ended();
            return Ok(cursor.summary().and_then(|summary| summary.read_rows()).unwrap_or(0));
        }
        held.drain(..read);
    }
}

fn too_many_facts() -> Problem {
    let detail = format!("a person has more than {PERSON_FACTS_MAX} facts in it: shorten it or filter");
    Problem::field("date_range", detail)
}

fn person(bytes: &mut Bytes<'_>, facts: &mut Vec<Fact>) -> Result<u64, BadAnswer> {
    facts.clear();
    let who = bytes.u64()?;
    let count = bytes.length()?;
    // No fact has fewer bytes than one: a wrong length takes no memory.
    if count > bytes.all.len() - bytes.at {
        return Err(BadAnswer(bytes.at));
    }
    for _ in 0..count {
        let at = i64::from_le_bytes(bytes.array()?);
        facts.push(Fact { at, tag: 0, value: 0, other: 0, key: Box::default() });
    }
    let same = |bytes: &mut Bytes<'_>| match bytes.length()? {
        length if length == count => Ok(()),
        _ => Err(BadAnswer(bytes.at)),
    };
    same(bytes)?;
    for fact in facts.iter_mut() {
        fact.tag = bytes.u32()?;
    }
    same(bytes)?;
    for fact in facts.iter_mut() {
        fact.value = i64::from_le_bytes(bytes.array()?);
    }
    same(bytes)?;
    for fact in facts.iter_mut() {
        fact.other = i64::from_le_bytes(bytes.array()?);
    }
    same(bytes)?;
    for fact in facts.iter_mut() {
        fact.key = bytes.text()?.into();
    }
    Ok(who)
}
