//! Who changed what: one row for every fact that a person or the engine decided, refusals included. What arrives by
//! itself (payments, deliveries, postbacks) has lists of its own and is not repeated here.

use rusqlite::params;
use serde::Serialize;
use serde_json::Value;
use weir_schemas::fact::{Actor, Fact, Recorded};
use weir_schemas::ids::{EndpointId, KeyId, Sequence, WorkspaceId};
use weir_schemas::time::Timestamp;

use super::outcome::{Outcome, StoreError};
use super::reads::{Page, PageOf, ReadError, Reads, page};

/// A line of the audit log as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditLine {
    /// The fact's place in the journal.
    pub sequence: Sequence,
    /// When.
    pub at: Timestamp,
    /// Who: the id of a key or endpoint, or `system` (the engine itself, or the printed sign-in link).
    pub actor: String,
    /// The key's name, where it was a key.
    pub actor_name: Option<String>,
    /// `link_created`, `key_revoked`, …: the fact's name.
    pub action: String,
    /// The id of what was changed; absent where it has none, or where its name is a person's.
    pub subject: Option<String>,
    /// The fields that a change names.
    pub fields: Vec<String>,
    /// Status of the answer: from 400 on it was refused and changed nothing.
    pub status: u16,
}

/// Which lines are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// One action.
    pub action: Option<String>,
    /// One actor, as [`AuditLine::actor`] has it.
    pub actor: Option<String>,
    /// One subject.
    pub subject: Option<String>,
}

/// What a fact says of itself.
struct Told {
    action: String,
    subject: Option<String>,
    fields: Vec<String>,
}

/// `None` for what arrives by itself.
fn told(fact: &Fact) -> Result<Option<Told>, StoreError> {
    match fact {
        Fact::Conversion { .. }
        | Fact::Refund { .. }
        | Fact::Delivery { .. }
        | Fact::Postback { .. }
        | Fact::ClickResolved { .. }
        | Fact::SplitDecided { .. }
        | Fact::Answered { .. }
        | Fact::TimePassed {} => return Ok(None),
        _ => {}
    }
    let fact = serde_json::to_value(fact)?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    // A customer's name may be a person's: it is not written down a second time.
    let subject = text(&fact["id"]).or_else(|| text(&fact["click"]["id"]));
    let fields = fact["patch"].as_object().map(|patch| patch.keys().cloned().collect()).unwrap_or_default();
    Ok(Some(Told { action: text(&fact["type"]).unwrap_or_default(), subject, fields }))
}

/// Writes down what became of a fact.
pub(super) fn note(
    db: &rusqlite::Connection,
    seq: Sequence,
    recorded: &Recorded,
    outcome: &Outcome,
) -> Result<(), StoreError> {
    let Some(Told { action, subject, fields }) = told(&recorded.fact)? else { return Ok(()) };
    let actor = match recorded.actor {
        Actor::System => "system".to_owned(),
        Actor::Key(key) => key.to_string(),
        Actor::Endpoint(endpoint) => EndpointId::to_string(&endpoint),
    };
    db.prepare_cached("INSERT INTO audit VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute(params![
        seq as i64,
        recorded.workspace.0,
        recorded.at.0,
        actor,
        action,
        subject,
        fields.join(","),
        outcome.status,
    ])?;
    Ok(())
}

impl Reads {
    /// The audit log, the last change first.
    pub fn audit(
        &self,
        workspace: WorkspaceId,
        filter: &AuditFilter,
        of: &PageOf,
    ) -> Result<Page<AuditLine>, ReadError> {
        let (below, limit) = (of.below()?, of.limit());
        self.read(|db| {
            let items = db
                .prepare_cached(
                    "SELECT seq, at, actor, action, subject, fields, status FROM audit
                     WHERE workspace = ?1 AND seq < ?2 AND (?3 IS NULL OR action = ?3)
                       AND (?4 IS NULL OR actor = ?4) AND (?5 IS NULL OR subject = ?5)
                     ORDER BY seq DESC LIMIT ?6",
                )?
                .query_map(
                    params![workspace.0, below, filter.action, filter.actor, filter.subject, limit + 1],
                    |row| {
                        let seq: i64 = row.get(0)?;
                        let fields: String = row.get(5)?;
                        let line = AuditLine {
                            sequence: seq as u64,
                            at: Timestamp(row.get(1)?),
                            actor: row.get(2)?,
                            actor_name: None,
                            action: row.get(3)?,
                            subject: row.get(4)?,
                            fields: fields
                                .split(',')
                                .filter(|name| !name.is_empty())
                                .map(str::to_owned)
                                .collect(),
                            status: row.get(6)?,
                        };
                        Ok((seq, line))
                    },
                )?
                .collect::<Result<Vec<_>, _>>()?;
            let mut lines = page(items, limit);
            let mut names =
                db.prepare_cached("SELECT name FROM api_keys WHERE id = ?1 AND workspace = ?2")?;
            for line in &mut lines.data {
                let Ok(key) = line.actor.parse::<KeyId>() else { continue };
                let mut found = names.query(params![key.0 as i64, workspace.0])?;
                line.actor_name = found.next()?.map(|row| row.get(0)).transpose()?;
            }
            Ok(lines)
        })
    }
}
