//! The workspaces' tables of exchange rates: for reports only, no posting reads them.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use serde_json::json;
use weir_schemas::fx::{Day, FxRate, Rate};
use weir_schemas::ids::WorkspaceId;
use weir_schemas::money::Currency;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::apply::{Applying, Touched};
use super::outcome::{Applied, Outcome, StoreError};
use super::reads::{Page, PageOf, ReadError, Reads, page};
use crate::fx::{FxTable, Quoted};

/// Most rates of a workspace: thirty currencies for nine years.
pub const FX_RATES_MAX: u32 = 100_000;

/// A rate as it is answered: on that day one unit of `base` cost `rate` units of `currency`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredRate {
    /// A day of UTC.
    pub date: Day,
    /// Whose one unit it is the price of.
    pub base: Currency,
    /// What it is priced in.
    pub currency: Currency,
    /// A decimal.
    pub rate: Rate,
    /// Whose rate it is.
    pub source: String,
    /// When it was put in.
    pub updated_at: Timestamp,
}

/// Which rates are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FxFilter {
    /// From this day on.
    pub from: Option<Day>,
    /// Before this day.
    pub to: Option<Day>,
    /// Of this currency.
    pub currency: Option<Currency>,
}

/// A day's rate has one number, so that pages of rates go from the newest to the oldest day.
fn number(day: Day, currency: Currency) -> i64 {
    let letters =
        currency.as_str().bytes().fold(0, |sum, letter| sum * 26 + i64::from(letter.saturating_sub(b'A')));
    (i64::from(day.0) << 15) | letters
}

pub(super) fn put(tx: &mut Applying<'_>, base: Currency, source: &str, rates: &[FxRate]) -> Applied<Outcome> {
    let held: Option<String> = tx
        .db
        .prepare_cached("SELECT base FROM fx_tables WHERE workspace = ?1 AND base != ''")?
        .query_row([tx.workspace.0], |row| row.get(0))
        .optional()?;
    if let Some(held) = held.filter(|held| held != base.as_str()) {
        let detail =
            format!("The table's base is {held}: put rates of {held}, or empty the table (DELETE) first.");
        return Err(Problem::conflict("fx_base_differs", detail).into());
    }
    tx.db.prepare_cached("INSERT OR REPLACE INTO fx_tables VALUES (?1, ?2, ?3)")?.execute(params![
        tx.workspace.0,
        base.as_str(),
        tx.seq as i64
    ])?;
    let mut insert =
        tx.db.prepare_cached("INSERT OR REPLACE INTO fx_rates VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    for rate in rates {
        insert.execute(params![
            tx.workspace.0,
            number(rate.date, rate.currency),
            rate.date.0,
            rate.currency.as_str(),
            rate.rate.to_string(),
            source,
            tx.at.0,
        ])?;
    }
    let count: u32 = tx
        .db
        .prepare_cached("SELECT count(*) FROM fx_rates WHERE workspace = ?1")?
        .query_row([tx.workspace.0], |row| row.get(0))?;
    if count > FX_RATES_MAX {
        let detail = format!("The table would hold {count} rates; it has room for {FX_RATES_MAX}.");
        return Err(Problem::conflict("too_many_rates", detail).into());
    }
    tx.touched.push(Touched::Fx(tx.workspace));
    Ok(Outcome::new(200, &json!({"base": base, "source": source, "put": rates.len(), "rates": count}))?)
}

pub(super) fn clear(tx: &mut Applying<'_>) -> Applied<Outcome> {
    tx.db.prepare_cached("DELETE FROM fx_rates WHERE workspace = ?1")?.execute([tx.workspace.0])?;
    tx.db
        .prepare_cached("INSERT OR REPLACE INTO fx_tables VALUES (?1, '', ?2)")?
        .execute(params![tx.workspace.0, tx.seq as i64])?;
    tx.touched.push(Touched::Fx(tx.workspace));
    Ok(Outcome::no_content())
}

/// A workspace's table for memory; an empty one where nothing was ever put. `None` without such a workspace.
pub(super) fn load(db: &Connection, workspace: WorkspaceId) -> Result<Option<FxTable>, StoreError> {
    let known: Option<(String, Option<String>, Option<i64>)> = db
        .prepare_cached(
            "SELECT w.currency, t.base, t.changed_seq FROM workspaces w LEFT JOIN fx_tables t ON t.workspace = w.id
             WHERE w.id = ?1",
        )?
        .query_row([workspace.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((reporting, base, changed)) = known else { return Ok(None) };
    let mut table = FxTable {
        version: changed.unwrap_or(0) as u64,
        base: base.and_then(|code| code.parse().ok()),
        reporting: reporting.parse().unwrap_or(Currency::USD),
        sources: Vec::new(),
        rates: HashMap::new(),
    };
    let mut statement = db.prepare_cached(
        "SELECT day, currency, rate, source FROM fx_rates WHERE workspace = ?1 ORDER BY number",
    )?;
    let mut rows = statement.query([workspace.0])?;
    while let Some(row) = rows.next()? {
        let (code, rate, source): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
        // Only what could be parsed was ever put in.
        let (Ok(currency), Ok(rate)) = (code.parse::<Currency>(), rate.parse::<Rate>()) else { continue };
        let source = table.sources.iter().position(|known| *known == source).unwrap_or_else(|| {
            table.sources.push(source);
            table.sources.len() - 1
        });
        let source = u16::try_from(source).unwrap_or(u16::MAX);
        table.rates.entry(currency).or_default().push(Quoted { day: Day(row.get(0)?), rate, source });
    }
    Ok(Some(table))
}

/// The workspaces.
pub(super) fn workspaces(db: &Connection) -> Result<Vec<WorkspaceId>, StoreError> {
    let mut statement = db.prepare("SELECT id FROM workspaces")?;
    let rows = statement.query_map([], |row| Ok(WorkspaceId(row.get(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Reads {
    /// The workspace's exchange rates, the newest day first.
    pub fn fx_rates(
        &self,
        workspace: WorkspaceId,
        filter: &FxFilter,
        of: &PageOf,
    ) -> Result<Page<StoredRate>, ReadError> {
        let (below, limit) = (of.below()?, of.limit());
        let (from, to) = (filter.from.map_or(i32::MIN, |day| day.0), filter.to.map_or(i32::MAX, |day| day.0));
        let currency = filter.currency.map(|currency| currency.as_str().to_owned());
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT r.number, r.day, t.base, r.currency, r.rate, r.source, r.updated_at
                 FROM fx_rates r JOIN fx_tables t ON t.workspace = r.workspace
                 WHERE r.workspace = ?1 AND r.number < ?2 AND r.day >= ?3 AND r.day < ?4
                   AND (?5 IS NULL OR r.currency = ?5) ORDER BY r.number DESC LIMIT ?6",
            )?;
            let mut rows = statement.query(params![workspace.0, below, from, to, currency, limit + 1])?;
            let mut items = Vec::new();
            while let Some(row) = rows.next()? {
                let (base, code): (String, String) = (row.get(2)?, row.get(3)?);
                let rate: String = row.get(4)?;
                let (Ok(base), Ok(currency), Ok(rate)) = (base.parse(), code.parse(), rate.parse()) else {
                    continue;
                };
                let stored = StoredRate {
                    date: Day(row.get(1)?),
                    base,
                    currency,
                    rate,
                    source: row.get(5)?,
                    updated_at: Timestamp(row.get(6)?),
                };
                items.push((row.get(0)?, stored));
            }
            Ok(page(items, limit))
        })
    }
}
