//! What is to be sent and what became of it, in `outbound.db`. Messages and the place in the outbox up to which they
//! were made are one transaction: a crash neither loses nor doubles a message, only a try.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use weir_schemas::ids::{CustomerId, OutboundEndpointId, Sequence};
use weir_schemas::time::Timestamp;

use super::Tried;
use crate::books::{OutboundTarget, OutboxRow};

/// Most messages that wait for one endpoint; beyond them new ones are dropped, and counted.
pub(super) const WAITING_MAX: u32 = 100_000;
/// Delivered messages of an endpoint that are kept for the log.
const KEPT_MAX: u32 = 10_000;
/// Tries of a message that are kept.
const ATTEMPTS_KEPT: u32 = 50;

/// Why the store failed: a damaged file or a full disk.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// SQLite refused.
    #[error("the outbound store: {0}")]
    Database(#[from] rusqlite::Error),
    /// A message does not read back.
    #[error("a message does not read back: {0}")]
    Damaged(#[from] serde_json::Error),
    /// The thread does not start.
    #[error("the outbound thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// How a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// It is still to be delivered.
    Waiting,
    /// The endpoint took it.
    Delivered,
}

/// A message as the delivery log lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// `msg_…`: the header `webhook-id`, the same at every try.
    pub id: String,
    /// `conversion.created`, …
    pub event: String,
    /// How it stands.
    pub state: MessageState,
    /// Tries so far.
    pub attempts: u32,
    /// When it is tried next, while it waits.
    pub next_attempt_at: Option<Timestamp>,
    /// What it tells.
    pub payload: serde_json::Value,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the endpoint took it.
    pub delivered_at: Option<Timestamp>,
    /// The last tries, the newest first.
    pub log: Vec<Attempt>,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// The status answered, if any.
    pub status: Option<u16>,
    /// What went wrong; none for a 2xx.
    pub error: Option<String>,
    /// The beginning of the answer.
    pub excerpt: String,
}

/// The first message that waits at an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub(super) number: i64,
    pub(super) id: String,
    pub(super) payload: String,
    pub(super) attempts: u32,
    pub(super) next_at: i64,
}

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS place (one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, n INTEGER NOT NULL)
    STRICT;
INSERT OR IGNORE INTO place VALUES (1, 0, 0);
CREATE TABLE IF NOT EXISTS messages (
    number INTEGER PRIMARY KEY AUTOINCREMENT, endpoint INTEGER NOT NULL, id TEXT NOT NULL, event TEXT NOT NULL,
    payload TEXT NOT NULL, attempts INTEGER NOT NULL, next_at INTEGER NOT NULL, created_at INTEGER NOT NULL,
    delivered_at INTEGER) STRICT;
CREATE INDEX IF NOT EXISTS messages_waiting ON messages (endpoint, number) WHERE delivered_at IS NULL;
CREATE UNIQUE INDEX IF NOT EXISTS messages_id ON messages (endpoint, id);
CREATE INDEX IF NOT EXISTS messages_endpoint ON messages (endpoint, number);
CREATE TABLE IF NOT EXISTS attempts (
    message INTEGER NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL, status INTEGER, error TEXT,
    excerpt TEXT NOT NULL, PRIMARY KEY (message, n)) STRICT, WITHOUT ROWID;
-- from which change of the endpoint on its failures were counted
CREATE TABLE IF NOT EXISTS resumed (endpoint INTEGER PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
";

/// The store. One lock around everything: the sender's thread and the few who read the log.
#[derive(Debug)]
pub(super) struct Store {
    db: Mutex<Connection>,
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, OutboundError> {
        let db = Connection::open(path)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.pragma_update(None, "synchronous", "FULL")?;
        db.pragma_update(None, "secure_delete", "ON")?;
        db.execute_batch(SCHEMA)?;
        Ok(Self { db: Mutex::new(db) })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to where the outbox is taken over.
    pub(super) fn place(&self) -> Result<(Sequence, u32), OutboundError> {
        let place = self.lock().query_row("SELECT seq, n FROM place", [], |row| {
            Ok((row.get::<_, i64>(0)? as u64, row.get(1)?))
        })?;
        Ok(place)
    }

    /// Makes the messages of `rows` for every endpoint that wants them, and moves the place behind them.
    pub(super) fn take_over(
        &self,
        rows: &[OutboxRow],
        targets: &[OutboundTarget],
        public_url: &str,
    ) -> Result<u64, OutboundError> {
        let mut db = self.lock();
        let tx = db.transaction()?;
        let mut dropped = 0;
        let mut waiting: HashMap<OutboundEndpointId, u32> = HashMap::new();
        for row in rows {
            for target in targets {
                let wanted = target.workspace == row.workspace
                    && row.seq > target.created_seq
                    && target.spec.wants(&row.event);
                if !wanted {
                    continue;
                }
                let count = match waiting.get(&target.id) {
                    Some(count) => *count,
                    None => tx.query_row(
                        "SELECT count(*) FROM messages WHERE endpoint = ?1 AND delivered_at IS NULL",
                        [target.id.0 as i64],
                        |row| row.get(0),
                    )?,
                };
                if count >= WAITING_MAX {
                    dropped += 1;
                    continue;
                }
                waiting.insert(target.id, count + 1);
                tx.prepare_cached(
                    "INSERT OR IGNORE INTO messages VALUES (NULL, ?1, ?2, ?3, ?4, 0, 0, ?5, NULL)",
                )?
                .execute(params![
                    target.id.0 as i64,
                    format!("msg_{:x}_{}", row.seq, row.n),
                    row.event,
                    payload(row, public_url),
                    row.at.0
                ])?;
            }
        }
        if let Some(last) = rows.last() {
            tx.execute("UPDATE place SET seq = ?1, n = ?2", params![last.seq as i64, last.n])?;
        }
        tx.commit()?;
        Ok(dropped)
    }

    /// The first message that waits at an endpoint. One that was changed since it failed starts its tries anew.
    pub(super) fn first_waiting(&self, target: &OutboundTarget) -> Result<Option<Waiting>, OutboundError> {
        let db = self.lock();
        let resumed: Option<i64> = db
            .prepare_cached("SELECT seq FROM resumed WHERE endpoint = ?1")?
            .query_row([target.id.0 as i64], |row| row.get(0))
            .optional()?;
        if resumed != Some(target.changed_seq as i64) {
            db.prepare_cached("INSERT OR REPLACE INTO resumed VALUES (?1, ?2)")?
                .execute(params![target.id.0 as i64, target.changed_seq as i64])?;
            db.prepare_cached(
                "UPDATE messages SET attempts = 0, next_at = 0 WHERE endpoint = ?1 AND delivered_at IS NULL
                     AND attempts > 0",
            )?
            .execute([target.id.0 as i64])?;
        }
        let found = db
            .prepare_cached(
                "SELECT number, id, payload, attempts, next_at FROM messages
                 WHERE endpoint = ?1 AND delivered_at IS NULL ORDER BY number LIMIT 1",
            )?
            .query_row([target.id.0 as i64], |row| {
                Ok(Waiting {
                    number: row.get(0)?,
                    id: row.get(1)?,
                    payload: row.get(2)?,
                    attempts: row.get(3)?,
                    next_at: row.get(4)?,
                })
            })
            .optional()?;
        Ok(found)
    }

    /// Writes a try down: the message is delivered, or waits until `next_at`.
    pub(super) fn tried(
        &self,
        message: i64,
        at: Timestamp,
        tried: &Tried,
        next_at: Timestamp,
    ) -> Result<(), OutboundError> {
        let mut db = self.lock();
        let tx = db.transaction()?;
        tx.prepare_cached(
            "INSERT INTO attempts SELECT ?1, coalesce(max(n), 0) + 1, ?2, ?3, ?4, ?5 FROM attempts WHERE message = ?1",
        )?
        .execute(params![message, at.0, tried.status, tried.error, tried.excerpt])?;
        tx.prepare_cached(
            "DELETE FROM attempts WHERE message = ?1 AND n <= (SELECT max(n) FROM attempts WHERE message = ?1) - ?2",
        )?
        .execute(params![message, ATTEMPTS_KEPT])?;
        tx.prepare_cached(
            "UPDATE messages SET attempts = attempts + 1, next_at = ?2, delivered_at = iif(?3, ?4, NULL)
             WHERE number = ?1",
        )?
        .execute(params![message, next_at.0, tried.taken(), at.0])?;
        tx.commit()?;
        Ok(())
    }

    /// Delivers a message once more: it waits again, in its old place.
    pub(super) fn replay(&self, endpoint: OutboundEndpointId, id: &str) -> Result<bool, OutboundError> {
        let changed = self.lock().execute(
            "UPDATE messages SET delivered_at = NULL, attempts = 0, next_at = 0 WHERE endpoint = ?1 AND id = ?2",
            params![endpoint.0 as i64, id],
        )?;
        Ok(changed > 0)
    }

    /// Forgets the messages that tell of a customer.
    pub(super) fn forget(&self, customer: CustomerId) -> Result<(), OutboundError> {
        let db = self.lock();
        let deleted = db.execute(
            "DELETE FROM messages WHERE payload ->> '$.data.customer' = ?1",
            [customer.to_string()],
        )?;
        if deleted > 0 {
            // What the log still holds of them goes with them.
            db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        Ok(())
    }

    /// The messages of an endpoint below `below`, the newest first.
    pub(super) fn messages(
        &self,
        endpoint: OutboundEndpointId,
        below: i64,
        limit: u32,
    ) -> Result<Vec<(i64, Message)>, OutboundError> {
        let db = self.lock();
        let mut statement = db.prepare_cached(
            "SELECT number, id, event, payload, attempts, next_at, created_at, delivered_at FROM messages
             WHERE endpoint = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3",
        )?;
        let mut rows = statement.query(params![endpoint.0 as i64, below, limit])?;
        let mut messages = Vec::new();
        while let Some(row) = rows.next()? {
            let number = row.get(0)?;
            messages.push((number, read(&db, number, row)?));
        }
        Ok(messages)
    }

    /// Forgets what a deleted endpoint had, and the oldest delivered messages beyond the bound.
    pub(super) fn clean(&self, live: &[OutboundTarget]) -> Result<(), OutboundError> {
        let mut db = self.lock();
        let tx = db.transaction()?;
        let known: Vec<i64> = tx
            .prepare("SELECT DISTINCT endpoint FROM messages")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for endpoint in known {
            let keep = if live.iter().any(|target| target.id.0 as i64 == endpoint) { KEPT_MAX } else { 0 };
            let unless_waiting = if keep > 0 { "AND delivered_at IS NOT NULL" } else { "" };
            tx.execute(
                &format!(
                    "DELETE FROM messages WHERE endpoint = ?1 {unless_waiting} AND number <= coalesce(
                         (SELECT number FROM messages WHERE endpoint = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2), 0)"
                ),
                params![endpoint, keep],
            )?;
        }
        tx.execute("DELETE FROM attempts WHERE message NOT IN (SELECT number FROM messages)", [])?;
        tx.commit()?;
        Ok(())
    }
}

fn read(db: &Connection, number: i64, row: &Row<'_>) -> Result<Message, OutboundError> {
    let (created_at, delivered_at) = (Timestamp(row.get(6)?), row.get::<_, Option<i64>>(7)?);
    let log = db
        .prepare_cached("SELECT at, status, error, excerpt FROM attempts WHERE message = ?1 ORDER BY n DESC")?
        .query_map([number], |row| {
            Ok(Attempt {
                at: Timestamp(row.get(0)?),
                status: row.get(1)?,
                error: row.get(2)?,
                excerpt: row.get(3)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(Message {
        id: row.get(1)?,
        event: row.get(2)?,
        state: if delivered_at.is_some() { MessageState::Delivered } else { MessageState::Waiting },
        payload: serde_json::from_str(&row.get::<_, String>(3)?)?,
        attempts: row.get(4)?,
        // A first attempt is due at once.
        next_attempt_at: if delivered_at.is_none() {
            Some(created_at.max(Timestamp(row.get(5)?)))
        } else {
            None
        },
        created_at,
        delivered_at: delivered_at.map(Timestamp),
        log,
    })
}

/// The body: type, time and what it is about. A minted link gets its address here, where that is known.
fn payload(row: &OutboxRow, public_url: &str) -> String {
    let mut data = row.data.clone();
    if let Some(slug) = data["fulfilment"]["slug"].as_str() {
        data["fulfilment"]["url"] = serde_json::json!(format!("{public_url}/{slug}"));
    }
    serde_json::json!({"type": row.event, "timestamp": row.at, "data": data}).to_string()
}
