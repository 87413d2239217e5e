//! Saved queries: questions with a name, for people to come back to.

use rusqlite::{Connection, Row, params};
use serde::Serialize;
use serde_json::{Map, Value};
use weir_schemas::ids::{PartnerId, SavedQueryId, WorkspaceId};
use weir_schemas::problem::Problem;
use weir_schemas::saved::SavedQuerySpec;
use weir_schemas::time::Timestamp;

use super::apply::Applying;
use super::outcome::{Applied, Outcome, StoreError};
use super::reads::{ReadError, Reads};

/// Most live saved queries of a workspace.
pub const SAVED_QUERIES_MAX: u32 = 1_000;

/// A saved query as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SavedQuery {
    /// Its id.
    pub id: SavedQueryId,
    /// What its maker set.
    #[serde(flatten)]
    pub spec: SavedQuerySpec,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

const COLUMNS: &str = "id, spec, created_at, updated_at";

fn read(row: &Row<'_>) -> Result<SavedQuery, StoreError> {
    Ok(SavedQuery {
        id: SavedQueryId(row.get::<_, i64>(0)? as u64),
        spec: serde_json::from_str(&row.get::<_, String>(1)?)?,
        created_at: Timestamp(row.get(2)?),
        updated_at: Timestamp(row.get(3)?),
    })
}

fn find(db: &Connection, workspace: WorkspaceId, id: SavedQueryId) -> Result<Option<SavedQuery>, StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM saved_queries WHERE id = ?1 AND workspace = ?2 AND deleted_at IS NULL"
    ))?;
    let mut rows = statement.query(params![id.0 as i64, workspace.0])?;
    rows.next()?.map(read).transpose()
}

fn existing(tx: &Applying<'_>, id: SavedQueryId) -> Applied<SavedQuery> {
    Ok(find(tx.db, tx.workspace, id)?.ok_or_else(|| Problem::not_found("saved query"))?)
}

pub(super) fn create(tx: &mut Applying<'_>, id: SavedQueryId, spec: &SavedQuerySpec) -> Applied<Outcome> {
    let live: u32 = tx
        .db
        .prepare_cached("SELECT count(*) FROM saved_queries WHERE workspace = ?1 AND deleted_at IS NULL")?
        .query_row([tx.workspace.0], |row| row.get(0))?;
    if live >= SAVED_QUERIES_MAX {
        let detail = format!("The workspace has {SAVED_QUERIES_MAX} saved queries: delete one first.");
        return Err(Problem::conflict("too_many_saved_queries", detail).into());
    }
    let id = SavedQueryId(tx.free_id("saved_queries", id.0)?);
    tx.db.prepare_cached("INSERT INTO saved_queries VALUES (?1, ?2, ?3, ?4, ?5, ?5, NULL)")?.execute(
        params![id.0 as i64, tx.workspace.0, partner(spec), serde_json::to_string(spec)?, tx.at.0],
    )?;
    Ok(Outcome::new(201, &existing(tx, id)?)?)
}

fn partner(spec: &SavedQuerySpec) -> i64 {
    spec.partner_id.map_or(0, |partner| partner.0 as i64)
}

/// The keys of `patch` replace those of the spec.
pub(super) fn update(
    tx: &mut Applying<'_>,
    id: SavedQueryId,
    patch: &Map<String, Value>,
) -> Applied<Outcome> {
    let mut spec = serde_json::to_value(existing(tx, id)?.spec)?;
    for (key, value) in patch {
        spec[key] = value.clone();
    }
    let spec: SavedQuerySpec = serde_json::from_value(spec)?;
    tx.db
        .prepare_cached("UPDATE saved_queries SET spec = ?2, partner = ?3, updated_at = ?4 WHERE id = ?1")?
        .execute(params![id.0 as i64, serde_json::to_string(&spec)?, partner(&spec), tx.at.0])?;
    Ok(Outcome::new(200, &existing(tx, id)?)?)
}

pub(super) fn delete(tx: &mut Applying<'_>, id: SavedQueryId) -> Applied<Outcome> {
    existing(tx, id)?;
    tx.db
        .prepare_cached("UPDATE saved_queries SET deleted_at = ?2 WHERE id = ?1")?
        .execute(params![id.0 as i64, tx.at.0])?;
    Ok(Outcome::no_content())
}

impl Reads {
    /// The live saved queries of a workspace, the newest first; of one partner only where given.
    pub fn saved_queries(
        &self,
        workspace: WorkspaceId,
        partner: Option<PartnerId>,
    ) -> Result<Vec<SavedQuery>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM saved_queries
                 WHERE workspace = ?1 AND deleted_at IS NULL AND (?2 IS NULL OR partner = ?2) ORDER BY id DESC"
            ))?;
            let partner = partner.map(|partner| partner.0 as i64);
            let mut rows = statement.query(params![workspace.0, partner])?;
            let mut queries = Vec::new();
            while let Some(row) = rows.next()? {
                queries.push(read(row)?);
            }
            Ok(queries)
        })
    }

    /// A live saved query.
    pub fn saved_query(
        &self,
        workspace: WorkspaceId,
        id: SavedQueryId,
    ) -> Result<Option<SavedQuery>, ReadError> {
        self.read(|db| Ok(find(db, workspace, id)?))
    }
}
