//! Outbound webhooks, the books' side: where a workspace wants to be told, and the **outbox**: what there is to tell,
//! in log order, written in the transaction that it tells of. Sending is [`crate::outbound`]'s, which follows it.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::{Map, Value, json};
use weir_schemas::fact::Sealed;
use weir_schemas::ids::{OutboundEndpointId, Sequence, WorkspaceId};
use weir_schemas::money::Money;
use weir_schemas::outbound::OutboundSpec;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::apply::Applying;
use super::conversion_row::ConversionRow;
use super::outcome::{Applied, Outcome, StoreError};
use super::reads::{ReadError, Reads};

mod listeners;

pub(super) use listeners::Listeners;

/// Most live outbound endpoints of a workspace.
pub const OUTBOUND_MAX: u32 = 100;
/// In which context their secrets are sealed.
pub const OUTBOUND_CONTEXT: &str = "outbound";

/// An endpoint as it is answered, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutboundEndpoint {
    /// Its id.
    pub id: OutboundEndpointId,
    /// What the caller set.
    #[serde(flatten)]
    pub spec: OutboundSpec,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What there is to tell.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    /// The fact's sequence.
    pub seq: Sequence,
    /// Its number among the fact's, from 0.
    pub n: u32,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// `conversion.created`, …
    pub event: String,
    /// When it was booked.
    pub at: Timestamp,
    /// What it is about.
    pub data: Value,
}

/// An endpoint with what is needed to send there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundTarget {
    /// Its id.
    pub id: OutboundEndpointId,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Where and what.
    pub spec: OutboundSpec,
    /// Sealed; the first signs, and so does the second while it is rolled.
    pub secrets: Vec<Sealed>,
    /// Facts after this one are told.
    pub created_seq: Sequence,
    /// The fact that changed it last.
    pub changed_seq: Sequence,
}

const COLUMNS: &str = "id, spec, created_at, updated_at";

fn read(row: &Row<'_>) -> Result<OutboundEndpoint, StoreError> {
    Ok(OutboundEndpoint {
        id: OutboundEndpointId(row.get::<_, i64>(0)? as u64),
        spec: serde_json::from_str(&row.get::<_, String>(1)?)?,
        created_at: Timestamp(row.get(2)?),
        updated_at: Timestamp(row.get(3)?),
    })
}

fn find(tx: &Applying<'_>, id: OutboundEndpointId) -> Applied<OutboundEndpoint> {
    let mut statement = tx.db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM outbound WHERE id = ?1 AND workspace = ?2 AND deleted_at IS NULL"
    ))?;
    let mut rows = statement.query(params![id.0 as i64, tx.workspace.0])?;
    match rows.next()? {
        Some(row) => Ok(read(row)?),
        None => Err(Problem::not_found("outbound endpoint").into()),
    }
}

pub(super) fn create(
    tx: &mut Applying<'_>,
    id: OutboundEndpointId,
    spec: &OutboundSpec,
    secret: &Sealed,
) -> Applied<Outcome> {
    let live: u32 = tx
        .db
        .prepare_cached("SELECT count(*) FROM outbound WHERE workspace = ?1 AND deleted_at IS NULL")?
        .query_row([tx.workspace.0], |row| row.get(0))?;
    if live >= OUTBOUND_MAX {
        let detail = format!("The workspace has {OUTBOUND_MAX} outbound endpoints: delete one first.");
        return Err(Problem::conflict("too_many_outbound_endpoints", detail).into());
    }
    let id = OutboundEndpointId(tx.free_id("outbound", id.0)?);
    tx.db.prepare_cached("INSERT INTO outbound VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?6, NULL)")?.execute(
        params![
            id.0 as i64,
            tx.workspace.0,
            serde_json::to_string(spec)?,
            serde_json::to_string(&[secret])?,
            tx.seq as i64,
            tx.at.0
        ],
    )?;
    tx.memory.listeners.asked_anew();
    Ok(Outcome::new(201, &find(tx, id)?)?)
}

/// The keys of `patch` replace those of the spec; a new secret stands before the one until now.
pub(super) fn update(
    tx: &mut Applying<'_>,
    id: OutboundEndpointId,
    patch: &Map<String, Value>,
    secret: Option<&Sealed>,
) -> Applied<Outcome> {
    let mut spec = serde_json::to_value(find(tx, id)?.spec)?;
    for (key, value) in patch {
        spec[key] = value.clone();
    }
    let mut spec: OutboundSpec = serde_json::from_value(spec)?;
    if spec.enabled {
        spec.disabled_reason = None;
    }
    tx.db
        .prepare_cached("UPDATE outbound SET spec = ?2, changed_seq = ?3, updated_at = ?4 WHERE id = ?1")?
        .execute(params![id.0 as i64, serde_json::to_string(&spec)?, tx.seq as i64, tx.at.0])?;
    if let Some(secret) = secret {
        let before: String = tx
            .db
            .prepare_cached("SELECT secrets FROM outbound WHERE id = ?1")?
            .query_row([id.0 as i64], |row| row.get(0))?;
        let mut secrets: Vec<Sealed> = serde_json::from_str(&before)?;
        secrets.insert(0, secret.clone());
        secrets.truncate(2);
        tx.db
            .prepare_cached("UPDATE outbound SET secrets = ?2 WHERE id = ?1")?
            .execute(params![id.0 as i64, serde_json::to_string(&secrets)?])?;
    }
    Ok(Outcome::new(200, &find(tx, id)?)?)
}

pub(super) fn delete(tx: &mut Applying<'_>, id: OutboundEndpointId) -> Applied<Outcome> {
    find(tx, id)?;
    tx.db
        .prepare_cached("UPDATE outbound SET deleted_at = ?2 WHERE id = ?1")?
        .execute(params![id.0 as i64, tx.at.0])?;
    tx.memory.listeners.asked_anew();
    Ok(Outcome::no_content())
}

/// What is written down whoever wants to be told: mail tells it.
const MAILED: &[&str] = &["milestone.reached", "payout.paid", "partner.approved"];

/// Writes down what there is to tell, where anybody wants to be told.
pub(super) fn announce(tx: &mut Applying<'_>, event: &str, data: &Value) -> Applied<()> {
    if MAILED.contains(&event) || tx.memory.listeners.anybody(tx.db, tx.workspace)? {
        tx.db
            .prepare_cached(
                "INSERT INTO outbox
                 SELECT ?1, (SELECT count(*) FROM outbox WHERE seq = ?1), ?2, ?3, ?4, ?5",
            )?
            .execute(params![tx.seq as i64, tx.workspace.0, event, tx.at.0, data.to_string()])?;
    }
    Ok(())
}

/// A conversion was booked: it is told of, and so are the round numbers that it made.
pub(super) fn conversion_created(tx: &mut Applying<'_>, row: &ConversionRow) -> Applied<()> {
    let fulfilment = super::fulfilment::mint(tx, row)?;
    if tx.memory.listeners.anybody(tx.db, tx.workspace)? {
        let mut data = serde_json::to_value(row.answer(tx.db)?)?;
        data["fulfilment"] = json!(fulfilment);
        announce(tx, "conversion.created", &data)?;
    }
    let Some(attribution) = row.attribution(tx.db)?.filter(|_| row.pays()) else { return Ok(()) };
    let partner = attribution.partner_id.map(|id| id.to_string());
    let link = attribution.link_id.map(|id| id.to_string());
    for (kind, subject) in [("partner", partner), ("link", link)] {
        let Some(subject) = subject else { continue };
        let count = tx.memory.listeners.count(tx.db, tx.workspace, kind, &subject)?;
        tx.memory.changed();
        if is_milestone(count) {
            let mut data = json!({"metric": "conversions", "value": count, "conversion_id": row.id});
            data[format!("{kind}_id")] = json!(subject);
            announce(tx, "milestone.reached", &data)?;
        }
    }
    Ok(())
}

/// 1, 10, 100, …
fn is_milestone(count: u32) -> bool {
    let mut round = 1;
    while round < count {
        round *= 10;
    }
    round == count
}

/// Money went back of a sale, or came again (a refund that failed, a dispute that was won).
pub(super) fn money_returned(
    tx: &mut Applying<'_>,
    sale: &ConversionRow,
    reason: &str,
    change: i64,
    order_returned: i64,
) -> Applied<()> {
    let Some(paid) = sale.amount.filter(|_| change != 0) else { return Ok(()) };
    let money = |amount: i64| Money { amount, currency: paid.currency };
    let data = json!({
        "conversion_id": sale.id,
        "order_id": sale.order_name,
        "reason": reason,
        "amount": money(change.abs()),
        "refunded": money(order_returned),
    });
    announce(tx, if change > 0 { "refund.created" } else { "refund.reversed" }, &data)
}

/// Every live endpoint, for the sender.
pub(super) fn targets(db: &Connection) -> Result<Vec<OutboundTarget>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT id, workspace, spec, secrets, created_seq, changed_seq FROM outbound WHERE deleted_at IS NULL
         ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    let mut targets = Vec::new();
    while let Some(row) = rows.next()? {
        targets.push(OutboundTarget {
            id: OutboundEndpointId(row.get::<_, i64>(0)? as u64),
            workspace: WorkspaceId(row.get(1)?),
            spec: serde_json::from_str(&row.get::<_, String>(2)?)?,
            secrets: serde_json::from_str(&row.get::<_, String>(3)?)?,
            created_seq: row.get::<_, i64>(4)? as Sequence,
            changed_seq: row.get::<_, i64>(5)? as Sequence,
        });
    }
    Ok(targets)
}

impl Reads {
    /// Every live outbound endpoint of a workspace, the newest first.
    pub fn outbound(&self, workspace: WorkspaceId) -> Result<Vec<OutboundEndpoint>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM outbound WHERE workspace = ?1 AND deleted_at IS NULL ORDER BY id DESC"
            ))?;
            let mut rows = statement.query([workspace.0])?;
            let mut endpoints = Vec::new();
            while let Some(row) = rows.next()? {
                endpoints.push(read(row)?);
            }
            Ok(endpoints)
        })
    }

    /// Every live outbound endpoint of every workspace, with what is needed to send there.
    pub fn outbound_targets(&self) -> Result<Vec<OutboundTarget>, ReadError> {
        self.read(|db| Ok(targets(db)?))
    }

    /// What there is to tell behind the row `(seq, n)`, in order.
    pub fn outbox(&self, after: (Sequence, u32), limit: u32) -> Result<Vec<OutboxRow>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT seq, n, workspace, event, at, data FROM outbox WHERE (seq, n) > (?1, ?2)
                 ORDER BY seq, n LIMIT ?3",
            )?;
            let mut rows = statement.query(params![after.0 as i64, after.1, limit])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(OutboxRow {
                    seq: row.get::<_, i64>(0)? as Sequence,
                    n: row.get(1)?,
                    workspace: WorkspaceId(row.get(2)?),
                    event: row.get(3)?,
                    at: Timestamp(row.get(4)?),
                    data: serde_json::from_str(&row.get::<_, String>(5)?)?,
                });
            }
            Ok(found)
        })
    }

    /// Whether the workspace has this outbound endpoint.
    pub fn has_outbound(&self, workspace: WorkspaceId, id: OutboundEndpointId) -> Result<bool, ReadError> {
        self.read(|db| {
            let found: Option<i64> = db
                .prepare_cached(
                    "SELECT 1 FROM outbound WHERE id = ?1 AND workspace = ?2 AND deleted_at IS NULL",
                )?
                .query_row(params![id.0 as i64, workspace.0], |row| row.get(0))
                .optional()?;
            Ok(found.is_some())
        })
    }
}
