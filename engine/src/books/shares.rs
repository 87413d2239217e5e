//! Share links: one question each, answered to whoever holds the secret until it expires or is revoked. The books keep
//! the secret's hash.

use rusqlite::{Row, params};
use serde::Serialize;
use weir_schemas::ids::{PartnerId, ShareId, WorkspaceId};
use weir_schemas::problem::Problem;
use weir_schemas::saved::ShareSpec;
use weir_schemas::time::Timestamp;

use super::apply::Applying;
use super::outcome::{Applied, Outcome, StoreError};
use super::reads::{ReadError, Reads};

/// Most share links of a workspace that are not revoked. Expired ones count: they are shown until they are revoked.
pub const SHARES_MAX: u32 = 1_000;

/// A share link as it is answered, without its secret.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Share {
    /// Its id.
    pub id: ShareId,
    /// What it answers, and until when.
    #[serde(flatten)]
    pub spec: ShareSpec,
    /// The secret's first characters.
    pub hint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// What a secret opens.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenShare {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The link itself, which may have expired or been revoked.
    pub share: Share,
}

const COLUMNS: &str = "id, spec, hint, created_at, revoked_at, workspace";

fn read(row: &Row<'_>) -> Result<Share, StoreError> {
    Ok(Share {
        id: ShareId(row.get::<_, i64>(0)? as u64),
        spec: serde_json::from_str(&row.get::<_, String>(1)?)?,
        hint: row.get(2)?,
        created_at: Timestamp(row.get(3)?),
        revoked_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
    })
}

pub(super) fn create(
    tx: &mut Applying<'_>,
    id: ShareId,
    spec: &ShareSpec,
    secret_sha256: &str,
    hint: &str,
) -> Applied<Outcome> {
    let live: u32 = tx
        .db
        .prepare_cached("SELECT count(*) FROM shares WHERE workspace = ?1 AND revoked_at IS NULL")?
        .query_row([tx.workspace.0], |row| row.get(0))?;
    if live >= SHARES_MAX {
        let detail = format!("The workspace has {SHARES_MAX} share links: revoke one first.");
        return Err(Problem::conflict("too_many_shares", detail).into());
    }
    let taken =
        tx.db.prepare_cached("SELECT 1 FROM shares WHERE secret_sha256 = ?1")?.exists([secret_sha256])?;
    if taken {
        return Err(Problem::conflict("share_exists", "A share link with this secret exists already.").into());
    }
    let id = ShareId(tx.free_id("shares", id.0)?);
    tx.db.prepare_cached("INSERT INTO shares VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULL)")?.execute(
        params![
            id.0 as i64,
            tx.workspace.0,
            spec.partner_id.map_or(0, |partner| partner.0 as i64),
            serde_json::to_string(spec)?,
            secret_sha256,
            hint,
            spec.expires_at.0,
            tx.at.0,
        ],
    )?;
    let share = Share { id, spec: spec.clone(), hint: hint.to_owned(), created_at: tx.at, revoked_at: None };
    Ok(Outcome::new(201, &share)?)
}

pub(super) fn revoke(tx: &mut Applying<'_>, id: ShareId) -> Applied<Outcome> {
    let changed = tx
        .db
        .prepare_cached(
            "UPDATE shares SET revoked_at = ?3 WHERE id = ?1 AND workspace = ?2 AND revoked_at IS NULL",
        )?
        .execute(params![id.0 as i64, tx.workspace.0, tx.at.0])?;
    match changed {
        0 => Err(Problem::not_found("share link").into()),
        _ => Ok(Outcome::no_content()),
    }
}

impl Reads {
    /// The share links of a workspace that are not revoked, the newest first; of one partner only where given.
    pub fn shares(
        &self,
        workspace: WorkspaceId,
        partner: Option<PartnerId>,
    ) -> Result<Vec<Share>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM shares
                 WHERE workspace = ?1 AND revoked_at IS NULL AND (?2 IS NULL OR partner = ?2) ORDER BY id DESC"
            ))?;
            let partner = partner.map(|partner| partner.0 as i64);
            let mut rows = statement.query(params![workspace.0, partner])?;
            let mut shares = Vec::new();
            while let Some(row) = rows.next()? {
                shares.push(read(row)?);
            }
            Ok(shares)
        })
    }

    /// What the secret with this SHA-256 (in hex) opens, revoked and expired links included.
    pub fn share_by_secret(&self, secret_sha256: &str) -> Result<Option<OpenShare>, ReadError> {
        self.read(|db| {
            let mut statement =
                db.prepare_cached(&format!("SELECT {COLUMNS} FROM shares WHERE secret_sha256 = ?1"))?;
            let mut rows = statement.query([secret_sha256])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            Ok(Some(OpenShare { workspace: WorkspaceId(row.get(5)?), share: read(row)? }))
        })
    }
}
