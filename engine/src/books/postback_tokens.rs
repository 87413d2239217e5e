//! Postback tokens: which networks may report to the workspace, and how they speak.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::{Map, Value};
use weir_schemas::ids::{PostbackTokenId, WorkspaceId};
use weir_schemas::postback::PostbackSettings;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::apply::{Applying, Touched};
use super::conversion_row::read_currency;
use super::outcome::{Applied, Outcome, StoreError};
use super::reads::{ReadError, Reads};
use crate::postback_tokens::{PostbackTable, PostbackToken as InMemory};

/// Most live postback tokens of a workspace.
pub const POSTBACK_TOKENS_MAX: u32 = 1_000;

/// A token as it is answered, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PostbackToken {
    /// Its id.
    pub id: PostbackTokenId,
    /// How its network speaks.
    #[serde(flatten)]
    pub settings: PostbackSettings,
    /// The secret's first characters.
    pub hint: String,
    /// Until when the secret before this one is good, if it still is.
    pub previous_until: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

const COLUMNS: &str = "id, settings, hint, previous_until, created_at";

fn read(row: &Row<'_>) -> Result<PostbackToken, StoreError> {
    Ok(PostbackToken {
        id: PostbackTokenId(row.get::<_, i64>(0)? as u64),
        settings: serde_json::from_str(&row.get::<_, String>(1)?)?,
        hint: row.get(2)?,
        previous_until: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        created_at: Timestamp(row.get(4)?),
    })
}

fn find(tx: &Applying<'_>, id: PostbackTokenId) -> Applied<PostbackToken> {
    let mut statement = tx.db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM postback_tokens WHERE id = ?1 AND workspace = ?2 AND deleted_at IS NULL"
    ))?;
    let mut rows = statement.query(params![id.0 as i64, tx.workspace.0])?;
    match rows.next()? {
        Some(row) => Ok(read(row)?),
        None => Err(Problem::not_found("postback token").into()),
    }
}

pub(super) fn create(
    tx: &mut Applying<'_>,
    id: PostbackTokenId,
    settings: &PostbackSettings,
    secret_sha256: &str,
    hint: &str,
) -> Applied<Outcome> {
    let live: u32 = tx
        .db
        .prepare_cached("SELECT count(*) FROM postback_tokens WHERE workspace = ?1 AND deleted_at IS NULL")?
        .query_row([tx.workspace.0], |row| row.get(0))?;
    if live >= POSTBACK_TOKENS_MAX {
        let detail = format!("The workspace has {POSTBACK_TOKENS_MAX} postback tokens: delete one first.");
        return Err(Problem::conflict("too_many_postback_tokens", detail).into());
    }
    let id = PostbackTokenId(tx.free_id("postback_tokens", id.0)?);
    tx.db
        .prepare_cached("INSERT INTO postback_tokens VALUES (?1, ?2, ?3, ?4, ?5, NULL, NULL, ?6, NULL)")?
        .execute(params![
            id.0 as i64,
            tx.workspace.0,
            serde_json::to_string(settings)?,
            secret_sha256,
            hint,
            tx.at.0
        ])?;
    tx.touched.push(Touched::PostbackToken(id));
    Ok(Outcome::new(201, &find(tx, id)?)?)
}

/// The keys of `patch` replace those of the settings.
pub(super) fn update(
    tx: &mut Applying<'_>,
    id: PostbackTokenId,
    patch: &Map<String, Value>,
) -> Applied<Outcome> {
    let mut settings = serde_json::to_value(find(tx, id)?.settings)?;
    for (key, value) in patch {
        settings[key] = value.clone();
    }
    let settings: PostbackSettings = serde_json::from_value(settings)?;
    tx.db
        .prepare_cached("UPDATE postback_tokens SET settings = ?2 WHERE id = ?1")?
        .execute(params![id.0 as i64, serde_json::to_string(&settings)?])?;
    tx.touched.push(Touched::PostbackToken(id));
    Ok(Outcome::new(200, &find(tx, id)?)?)
}

/// A new secret; the one before is good until `previous_until`.
pub(super) fn rotate(
    tx: &mut Applying<'_>,
    id: PostbackTokenId,
    secret_sha256: &str,
    hint: &str,
    previous_until: Timestamp,
) -> Applied<Outcome> {
    find(tx, id)?;
    tx.db
        .prepare_cached(
            "UPDATE postback_tokens SET previous_sha256 = secret_sha256, previous_until = ?4,
                 secret_sha256 = ?2, hint = ?3 WHERE id = ?1",
        )?
        .execute(params![id.0 as i64, secret_sha256, hint, previous_until.0])?;
    tx.touched.push(Touched::PostbackToken(id));
    Ok(Outcome::new(200, &find(tx, id)?)?)
}

pub(super) fn delete(tx: &mut Applying<'_>, id: PostbackTokenId) -> Applied<Outcome> {
    find(tx, id)?;
    tx.db
        .prepare_cached("UPDATE postback_tokens SET deleted_at = ?2 WHERE id = ?1")?
        .execute(params![id.0 as i64, tx.at.0])?;
    tx.touched.push(Touched::PostbackToken(id));
    Ok(Outcome::no_content())
}

/// Brings one token's secrets into the table in memory.
pub(super) fn load(db: &Connection, table: &PostbackTable, id: PostbackTokenId) -> Result<(), StoreError> {
    type Row = (u32, String, String, Option<String>, Option<i64>, String);
    let row: Option<Row> = db
        .prepare_cached(
            "SELECT t.workspace, t.settings, t.secret_sha256, t.previous_sha256, t.previous_until, w.currency
             FROM postback_tokens t JOIN workspaces w ON w.id = t.workspace
             WHERE t.id = ?1 AND t.deleted_at IS NULL",
        )?
        .query_row([id.0 as i64], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })
        .optional()?;
    let Some((workspace, settings, secret, previous, until, currency)) = row else {
        table.remove(id);
        return Ok(());
    };
    let settings: PostbackSettings = serde_json::from_str(&settings)?;
    let mut secrets = vec![(secret, None)];
    secrets.extend(previous.map(|previous| (previous, until.map(Timestamp))));
    let token = InMemory {
        id,
        workspace: WorkspaceId(workspace),
        allow: settings.allow.iter().filter_map(|range| range.parse().ok()).collect(),
        currency: settings.currency.unwrap_or_else(|| read_currency(&currency)),
        settings,
    };
    table.put(token, &secrets);
    Ok(())
}

impl Reads {
    /// Every live postback token of a workspace, the newest first; at most [`POSTBACK_TOKENS_MAX`].
    pub fn postback_tokens(&self, workspace: WorkspaceId) -> Result<Vec<PostbackToken>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM postback_tokens WHERE workspace = ?1 AND deleted_at IS NULL
                 ORDER BY id DESC"
            ))?;
            let mut rows = statement.query([workspace.0])?;
            let mut tokens = Vec::new();
            while let Some(row) = rows.next()? {
                tokens.push(read(row)?);
            }
            Ok(tokens)
        })
    }
}
