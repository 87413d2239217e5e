//! The log of decisions on splits that follow their results. The redirect takes the last of each link up at a start.

use rusqlite::{Connection, params};
use weir_schemas::ids::{LinkId, WorkspaceId};
use weir_schemas::link::SplitDecision;

use super::apply::{Applying, Touched};
use super::outcome::{Applied, Outcome, StoreError};
use super::reads::{ReadError, Reads};

/// Decisions kept of one link; the journal has them all.
pub const SPLIT_DECISIONS_MAX: u32 = 1_000;

pub(super) fn record(tx: &mut Applying<'_>, link: LinkId, decision: &SplitDecision) -> Applied<Outcome> {
    tx.db.prepare_cached("INSERT INTO split_decisions VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        link.0 as i64,
        tx.seq as i64,
        tx.workspace.0,
        serde_json::to_string(decision)?
    ])?;
    tx.db
        .prepare_cached(
            "DELETE FROM split_decisions WHERE link = ?1 AND seq <= coalesce((SELECT seq FROM split_decisions
             WHERE link = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2), -1)",
        )?
        .execute(params![link.0 as i64, SPLIT_DECISIONS_MAX])?;
    tx.touched.push(Touched::Split(link));
    Ok(Outcome::no_content())
}

/// The last decision on `link`.
pub(super) fn last_of(db: &Connection, link: LinkId) -> Result<SplitDecision, StoreError> {
    let payload: String = db
        .prepare_cached("SELECT payload FROM split_decisions WHERE link = ?1 ORDER BY seq DESC LIMIT 1")?
        .query_row([link.0 as i64], |row| row.get(0))?;
    Ok(serde_json::from_str(&payload)?)
}

/// The last decision of each link.
pub(super) fn last(db: &Connection) -> Result<Vec<(LinkId, SplitDecision)>, StoreError> {
    let mut statement =
        db.prepare("SELECT link, payload, max(seq) FROM split_decisions GROUP BY link ORDER BY link")?;
    let mut rows = statement.query([])?;
    let mut last = Vec::new();
    while let Some(row) = rows.next()? {
        let link = LinkId(row.get::<_, i64>(0)? as u64);
        last.push((link, serde_json::from_str(&row.get::<_, String>(1)?)?));
    }
    Ok(last)
}

impl Reads {
    /// The decisions on a link's split that were journaled, the newest first.
    pub fn split_decisions(
        &self,
        workspace: WorkspaceId,
        link: LinkId,
        limit: u32,
    ) -> Result<Vec<SplitDecision>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT payload FROM split_decisions WHERE link = ?1 AND workspace = ?2 ORDER BY seq DESC LIMIT ?3",
            )?;
            let mut rows = statement.query(params![link.0 as i64, workspace.0, limit])?;
            let mut decisions = Vec::new();
            while let Some(row) = rows.next()? {
                decisions.push(serde_json::from_str(&row.get::<_, String>(0)?)?);
            }
            Ok(decisions)
        })
    }
}
