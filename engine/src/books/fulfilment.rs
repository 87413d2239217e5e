//! Fulfilment: a sale mints a link of its own, with an end: so many days, so many uses. Its slug is a keyed hash of the
//! conversion, so that a replay mints the same and nobody guesses it; the key is drawn when the fulfilment is made.

use hmac::{Hmac, KeyInit, Mac};
use rusqlite::{Row, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::Sha256;
use weir_schemas::ids::{FulfilmentId, LinkId, WorkspaceId};
use weir_schemas::link::LinkSpec;
use weir_schemas::outbound::FulfilmentSpec;
use weir_schemas::problem::Problem;
use weir_schemas::time::{DAY_MS, Timestamp};

use super::apply::Applying;
use super::conversion_row::ConversionRow;
use super::links;
use super::outcome::{Applied, Outcome, StoreError};
use super::reads::{ReadError, Reads};

/// Most live fulfilments of a workspace.
pub const FULFILMENTS_MAX: u32 = 1_000;
/// Characters of a minted slug: 110 bits of base32.
const SLUG_CHARS: usize = 22;

/// A fulfilment as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fulfilment {
    /// Its id.
    pub id: FulfilmentId,
    /// What the caller set.
    #[serde(flatten)]
    pub spec: FulfilmentSpec,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a conversion was given, as the outbound webhook tells it; the sender adds `url`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minted {
    /// By which fulfilment.
    pub fulfilment_id: FulfilmentId,
    /// The link.
    pub link_id: LinkId,
    /// Its slug on the engine's own host.
    pub slug: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// How often it may be used.
    pub max_uses: u64,
}

fn read(row: &Row<'_>) -> Result<Fulfilment, StoreError> {
    Ok(Fulfilment {
        id: FulfilmentId(row.get::<_, i64>(0)? as u64),
        spec: serde_json::from_str(&row.get::<_, String>(1)?)?,
        created_at: Timestamp(row.get(2)?),
    })
}

pub(super) fn create(
    tx: &mut Applying<'_>,
    id: FulfilmentId,
    spec: &FulfilmentSpec,
    key: &str,
) -> Applied<Outcome> {
    let live: u32 = tx
        .db
        .prepare_cached("SELECT count(*) FROM fulfilments WHERE workspace = ?1 AND deleted_at IS NULL")?
        .query_row([tx.workspace.0], |row| row.get(0))?;
    if live >= FULFILMENTS_MAX {
        let detail = format!("The workspace has {FULFILMENTS_MAX} fulfilments: delete one first.");
        return Err(Problem::conflict("too_many_fulfilments", detail).into());
    }
    let id = FulfilmentId(tx.free_id("fulfilments", id.0)?);
    tx.db.prepare_cached("INSERT INTO fulfilments VALUES (?1, ?2, ?3, ?4, ?5, NULL)")?.execute(params![
        id.0 as i64,
        tx.workspace.0,
        serde_json::to_string(spec)?,
        key,
        tx.at.0
    ])?;
    tx.memory.listeners.asked_anew();
    Ok(Outcome::new(201, &Fulfilment { id, spec: spec.clone(), created_at: tx.at })?)
}

/// Sales from now on mint nothing by it; what was minted stays.
pub(super) fn delete(tx: &mut Applying<'_>, id: FulfilmentId) -> Applied<Outcome> {
    let changed = tx
        .db
        .prepare_cached(
            "UPDATE fulfilments SET deleted_at = ?3 WHERE id = ?1 AND workspace = ?2 AND deleted_at IS NULL",
        )?
        .execute(params![id.0 as i64, tx.workspace.0, tx.at.0])?;
    if changed == 0 {
        return Err(Problem::not_found("fulfilment").into());
    }
    tx.memory.listeners.asked_anew();
    Ok(Outcome::no_content())
}

/// The first live fulfilment that fits the conversion mints its link.
pub(super) fn mint(tx: &mut Applying<'_>, conversion: &ConversionRow) -> Applied<Option<Minted>> {
    if !tx.memory.listeners.mints(tx.db, tx.workspace)? {
        return Ok(None);
    }
    let rows: Vec<(i64, String, String)> = tx
        .db
        .prepare_cached(
            "SELECT id, spec, key FROM fulfilments WHERE workspace = ?1 AND deleted_at IS NULL ORDER BY id",
        )?
        .query_map([tx.workspace.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (id, spec, key) in rows {
        let spec: FulfilmentSpec = serde_json::from_str(&spec)?;
        if !fits(&spec, conversion)? {
            continue;
        }
        let expires_at = Timestamp(tx.at.0 + i64::from(spec.expires_days) * DAY_MS);
        let slug = slug(&key, conversion);
        let link: LinkSpec = serde_json::from_value(json!({
            "slug": slug,
            "destination": spec.destination,
            "title": format!("Fulfilment of {}", conversion.id),
            "tags": ["fulfilment"],
            "track_conversions": false,
            "expires_at": expires_at,
            "max_clicks": spec.max_uses,
        }))?;
        let made = links::create(tx, LinkId(conversion.id.0), &link, &[])?;
        let Some(link_id) = made.body["id"].as_str().and_then(|id| id.parse().ok()) else { continue };
        let fulfilment_id = FulfilmentId(id as u64);
        return Ok(Some(Minted { fulfilment_id, link_id, slug, expires_at, max_uses: spec.max_uses }));
    }
    Ok(None)
}

fn fits(spec: &FulfilmentSpec, conversion: &ConversionRow) -> Result<bool, StoreError> {
    let of_program = spec.program_id.is_none_or(|program| program == conversion.program);
    let properties: Value = serde_json::from_str(&conversion.properties)?;
    let of_product = spec.product.as_deref().is_none_or(|product| properties["product"] == product);
    Ok(spec.event == conversion.event && of_program && of_product)
}

/// Letters and digits without look-alikes.
fn slug(key: &str, conversion: &ConversionRow) -> String {
    const DIGITS: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(&conversion.id.0.to_be_bytes());
    let bytes = mac.finalize().into_bytes();
    bytes.iter().take(SLUG_CHARS).map(|byte| DIGITS[usize::from(byte & 31)] as char).collect()
}

impl Reads {
    /// Every live fulfilment of a workspace, the newest first; at most [`FULFILMENTS_MAX`].
    pub fn fulfilments(&self, workspace: WorkspaceId) -> Result<Vec<Fulfilment>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT id, spec, created_at FROM fulfilments WHERE workspace = ?1 AND deleted_at IS NULL
                 ORDER BY id DESC",
            )?;
            let mut rows = statement.query([workspace.0])?;
            let mut fulfilments = Vec::new();
            while let Some(row) = rows.next()? {
                fulfilments.push(read(row)?);
            }
            Ok(fulfilments)
        })
    }
}
