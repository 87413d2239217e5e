//! Registered sites: whose pages may send browser events.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;
use weir_schemas::ids::{SiteId, WorkspaceId};
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::apply::{Applying, Touched};
use super::outcome::{Applied, Outcome, StoreError};
use super::reads::{ReadError, Reads};
use crate::sites::Site as SiteInMemory;

/// Most live sites of a workspace.
pub const SITES_MAX: usize = 1_000;

/// A site as it is answered; the edge adds `snippet`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Site {
    /// Its id.
    pub id: SiteId,
    /// For people.
    pub name: String,
    /// The origins of its pages.
    pub origins: Vec<String>,
    /// When it was registered.
    pub created_at: Timestamp,
}

pub(super) fn create(tx: &mut Applying<'_>, id: SiteId, name: &str, origins: &[String]) -> Applied<Outcome> {
    let live: u32 = tx
        .db
        .prepare_cached("SELECT count(*) FROM sites WHERE workspace = ?1 AND deleted_at IS NULL")?
        .query_row([tx.workspace.0], |row| row.get(0))?;
    if live as usize >= SITES_MAX {
        let detail = format!("The workspace has {SITES_MAX} sites: delete one first.");
        return Err(Problem::conflict("too_many_sites", detail).into());
    }
    let id = SiteId(tx.free_id("sites", id.0)?);
    tx.db.prepare_cached("INSERT INTO sites VALUES (?1, ?2, ?3, ?4, ?5, NULL)")?.execute(params![
        id.0 as i64,
        tx.workspace.0,
        name,
        serde_json::to_string(origins)?,
        tx.at.0,
    ])?;
    tx.touched.push(Touched::Site(id));
    let site = Site { id, name: name.to_owned(), origins: origins.to_vec(), created_at: tx.at };
    Ok(Outcome::new(201, &site)?)
}

pub(super) fn delete(tx: &mut Applying<'_>, id: SiteId) -> Applied<Outcome> {
    let changed = tx
        .db
        .prepare_cached(
            "UPDATE sites SET deleted_at = ?3 WHERE id = ?1 AND workspace = ?2 AND deleted_at IS NULL",
        )?
        .execute(params![id.0 as i64, tx.workspace.0, tx.at.0])?;
    if changed == 0 {
        return Err(Problem::not_found("site").into());
    }
    tx.touched.push(Touched::Site(id));
    Ok(Outcome::no_content())
}

/// A live site, for the table in memory.
pub(super) fn live(db: &Connection, id: SiteId) -> Result<Option<SiteInMemory>, StoreError> {
    let row: Option<(u32, String)> = db
        .prepare_cached("SELECT workspace, origins FROM sites WHERE id = ?1 AND deleted_at IS NULL")?
        .query_row([id.0 as i64], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((workspace, origins)) = row else { return Ok(None) };
    Ok(Some(SiteInMemory { id, workspace: WorkspaceId(workspace), origins: serde_json::from_str(&origins)? }))
}

impl Reads {
    /// Every live site of a workspace, the newest first; at most [`SITES_MAX`].
    pub fn sites(&self, workspace: WorkspaceId) -> Result<Vec<Site>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT id, name, origins, created_at FROM sites
                 WHERE workspace = ?1 AND deleted_at IS NULL ORDER BY id DESC",
            )?;
            let mut rows = statement.query([workspace.0])?;
            let mut sites = Vec::new();
            while let Some(row) = rows.next()? {
                sites.push(Site {
                    id: SiteId(row.get::<_, i64>(0)? as u64),
                    name: row.get(1)?,
                    origins: serde_json::from_str(&row.get::<_, String>(2)?)?,
                    created_at: Timestamp(row.get(3)?),
                });
            }
            Ok(sites)
        })
    }
}
