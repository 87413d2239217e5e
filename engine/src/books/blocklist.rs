//! The workspaces' lists of destinations that their links may not lead to.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use weir_schemas::ids::{BlockId, WorkspaceId};
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::apply::{Applying, Touched};
use super::outcome::{Applied, Outcome, StoreError};
use super::reads::{Page, PageOf, ReadError, Reads, page};
use crate::links::blocklist::{Blocklist, PATTERNS_MAX};

/// A pattern as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockedPattern {
    /// Its id.
    pub id: BlockId,
    /// A host with what is below it, canonical.
    pub pattern: String,
    /// Why, for people.
    pub reason: Option<String>,
    /// Since when.
    pub created_at: Timestamp,
}

pub(super) fn add(
    tx: &mut Applying<'_>,
    id: BlockId,
    pattern: &str,
    reason: Option<&str>,
) -> Applied<Outcome> {
    let known: Option<i64> = tx
        .db
        .prepare_cached("SELECT id FROM blocklist WHERE workspace = ?1 AND pattern = ?2")?
        .query_row(params![tx.workspace.0, pattern], |row| row.get(0))
        .optional()?;
    if known.is_some() {
        let detail = format!("`{pattern}` is on the blocklist.");
        return Err(Problem::conflict("pattern_known", detail).into());
    }
    let count: u32 = tx
        .db
        .prepare_cached("SELECT count(*) FROM blocklist WHERE workspace = ?1")?
        .query_row([tx.workspace.0], |row| row.get(0))?;
    if count as usize >= PATTERNS_MAX {
        let detail = format!("The blocklist holds {PATTERNS_MAX} patterns: delete one first.");
        return Err(Problem::conflict("too_many_patterns", detail).into());
    }
    let id = BlockId(tx.free_id("blocklist", id.0)?);
    tx.db.prepare_cached("INSERT INTO blocklist VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
        id.0 as i64,
        tx.workspace.0,
        pattern,
        reason,
        tx.at.0
    ])?;
    tx.touched.push(Touched::Blocklist(tx.workspace));
    let reason = reason.map(str::to_owned);
    Ok(Outcome::new(201, &BlockedPattern { id, pattern: pattern.to_owned(), reason, created_at: tx.at })?)
}

pub(super) fn remove(tx: &mut Applying<'_>, id: BlockId) -> Applied<Outcome> {
    let changed = tx
        .db
        .prepare_cached("DELETE FROM blocklist WHERE id = ?1 AND workspace = ?2")?
        .execute(params![id.0 as i64, tx.workspace.0])?;
    if changed == 0 {
        return Err(Problem::not_found("pattern").into());
    }
    tx.touched.push(Touched::Blocklist(tx.workspace));
    Ok(Outcome::no_content())
}

/// A workspace's list as links are judged by it.
pub(super) fn load(db: &Connection, workspace: WorkspaceId) -> Result<Blocklist, StoreError> {
    let mut statement = db.prepare_cached("SELECT pattern FROM blocklist WHERE workspace = ?1")?;
    let patterns: Vec<String> =
        statement.query_map([workspace.0], |row| row.get(0))?.collect::<Result<_, _>>()?;
    // Only what could be parsed was ever put in.
    Ok(Blocklist::new(patterns.iter().filter_map(|pattern| pattern.parse().ok())))
}

/// The workspaces with a list.
pub(super) fn workspaces(db: &Connection) -> Result<Vec<WorkspaceId>, StoreError> {
    let mut statement = db.prepare("SELECT DISTINCT workspace FROM blocklist")?;
    let rows = statement.query_map([], |row| Ok(WorkspaceId(row.get(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Reads {
    /// The blocklist, the newest pattern first.
    pub fn blocklist(&self, workspace: WorkspaceId, of: &PageOf) -> Result<Page<BlockedPattern>, ReadError> {
        let (below, limit) = (of.below()?, of.limit());
        self.read(|db| {
            let items = db
                .prepare_cached(
                    "SELECT id, pattern, reason, created_at FROM blocklist
                     WHERE workspace = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
                )?
                .query_map(params![workspace.0, below, limit + 1], |row| {
                    let id: i64 = row.get(0)?;
                    let pattern = BlockedPattern {
                        id: BlockId(id as u64),
                        pattern: row.get(1)?,
                        reason: row.get(2)?,
                        created_at: Timestamp(row.get(3)?),
                    };
                    Ok((id, pattern))
                })?
                .collect::<Result<Vec<_>, _>>()?;
            Ok(page(items, limit))
        })
    }
}
