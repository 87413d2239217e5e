//! Alerts: the rules, how each stands, and what became of them. Whether one fires is decided by [`crate::alerts`],
//! which looks at the live stream; the books keep the decisions, each once, and tell the outbox of them.

use rusqlite::{Connection, Row, params};
use serde::Serialize;
use serde_json::{Map, Value, json};
use weir_schemas::alert::{AlertChange, AlertSpec, AlertState};
use weir_schemas::ids::{AlertId, PartnerId, Sequence, WorkspaceId};
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::apply::Applying;
use super::outbound::announce;
use super::outcome::{Applied, Outcome, StoreError};
use super::reads::{ReadError, Reads};

/// Most live alerts of a workspace.
pub const ALERTS_MAX: u32 = 200;
/// Most changes of one alert that are listed.
const HISTORY_MAX: u32 = 200;

/// An alert as it is answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alert {
    /// Its id.
    pub id: AlertId,
    /// What its maker set.
    #[serde(flatten)]
    pub spec: AlertSpec,
    /// How it stands.
    pub state: AlertState,
    /// Since when it has stood so.
    pub since: Timestamp,
    /// The metric when it came to stand so.
    pub value: Option<f64>,
    /// What it was compared with.
    pub reference: Option<f64>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its maker last changed it.
    pub updated_at: Timestamp,
}

/// An alert with its tenant, for who watches it.
#[derive(Debug, Clone, PartialEq)]
pub struct WatchedAlert {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The alert.
    pub alert: Alert,
    /// The fact that made or changed its rule last.
    pub changed_seq: Sequence,
}

/// A change of an alert's state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertEvent {
    /// What it came to be.
    pub state: AlertState,
    /// When.
    pub at: Timestamp,
    /// The metric.
    pub value: Option<f64>,
    /// What it was compared with.
    pub reference: Option<f64>,
}

const COLUMNS: &str =
    "id, spec, state, since, value, reference, created_at, updated_at, workspace, changed_seq";

fn read(row: &Row<'_>) -> Result<Alert, StoreError> {
    Ok(Alert {
        id: AlertId(row.get::<_, i64>(0)? as u64),
        spec: serde_json::from_str(&row.get::<_, String>(1)?)?,
        state: state_of(&row.get::<_, String>(2)?),
        since: Timestamp(row.get(3)?),
        value: row.get(4)?,
        reference: row.get(5)?,
        created_at: Timestamp(row.get(6)?),
        updated_at: Timestamp(row.get(7)?),
    })
}

fn state_of(name: &str) -> AlertState {
    AlertState::from_name(name).unwrap_or_default()
}

fn find(db: &Connection, workspace: WorkspaceId, id: AlertId) -> Result<Option<Alert>, StoreError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM alerts WHERE id = ?1 AND workspace = ?2 AND deleted_at IS NULL"
    ))?;
    let mut rows = statement.query(params![id.0 as i64, workspace.0])?;
    rows.next()?.map(read).transpose()
}

fn existing(tx: &Applying<'_>, id: AlertId) -> Applied<Alert> {
    Ok(find(tx.db, tx.workspace, id)?.ok_or_else(|| Problem::not_found("alert"))?)
}

fn partner(spec: &AlertSpec) -> i64 {
    spec.partner_id.map_or(0, |partner| partner.0 as i64)
}

pub(super) fn create(tx: &mut Applying<'_>, id: AlertId, spec: &AlertSpec) -> Applied<Outcome> {
    let live: u32 = tx
        .db
        .prepare_cached("SELECT count(*) FROM alerts WHERE workspace = ?1 AND deleted_at IS NULL")?
        .query_row([tx.workspace.0], |row| row.get(0))?;
    if live >= ALERTS_MAX {
        let detail = format!("The workspace has {ALERTS_MAX} alerts: delete one first.");
        return Err(Problem::conflict("too_many_alerts", detail).into());
    }
    let id = AlertId(tx.free_id("alerts", id.0)?);
    tx.db
        .prepare_cached("INSERT INTO alerts VALUES (?1, ?2, ?3, ?4, 'ok', ?5, NULL, NULL, ?6, ?5, ?5, NULL)")?
        .execute(params![
            id.0 as i64,
            tx.workspace.0,
            partner(spec),
            serde_json::to_string(spec)?,
            tx.at.0,
            tx.seq as i64,
        ])?;
    Ok(Outcome::new(201, &existing(tx, id)?)?)
}

/// The keys of `patch` replace those of the spec. How it stands is found out anew.
pub(super) fn update(tx: &mut Applying<'_>, id: AlertId, patch: &Map<String, Value>) -> Applied<Outcome> {
    let mut spec = serde_json::to_value(existing(tx, id)?.spec)?;
    for (key, value) in patch {
        spec[key] = value.clone();
    }
    let spec: AlertSpec = serde_json::from_value(spec)?;
    tx.db
        .prepare_cached(
            "UPDATE alerts SET spec = ?2, partner = ?3, changed_seq = ?4, updated_at = ?5 WHERE id = ?1",
        )?
        .execute(params![
            id.0 as i64,
            serde_json::to_string(&spec)?,
            partner(&spec),
            tx.seq as i64,
            tx.at.0
        ])?;
    if !spec.enabled {
        // Nobody looks at it any more: what it fired for is over as far as it can tell.
        let ended = AlertChange { id, state: AlertState::Ok, value: None, reference: None, since: tx.at };
        change(tx, &ended)?;
    }
    Ok(Outcome::new(200, &existing(tx, id)?)?)
}

pub(super) fn delete(tx: &mut Applying<'_>, id: AlertId) -> Applied<Outcome> {
    existing(tx, id)?;
    tx.db
        .prepare_cached("UPDATE alerts SET deleted_at = ?2 WHERE id = ?1")?
        .execute(params![id.0 as i64, tx.at.0])?;
    Ok(Outcome::no_content())
}

/// An alert came to stand differently. One that stands so already is told of no second time.
pub(super) fn change(tx: &mut Applying<'_>, change: &AlertChange) -> Applied<Outcome> {
    let before = existing(tx, change.id)?;
    if before.state == change.state {
        return Ok(Outcome::no_content());
    }
    let AlertChange { id, state, value, reference, since } = change;
    tx.db
        .prepare_cached("UPDATE alerts SET state = ?2, since = ?3, value = ?4, reference = ?5 WHERE id = ?1")?
        .execute(params![id.0 as i64, state.as_str(), since.0, value, reference])?;
    tx.db.prepare_cached("INSERT INTO alert_events VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        id.0 as i64,
        tx.seq as i64,
        state.as_str(),
        since.0,
        value,
        reference
    ])?;
    let told = match (before.state, state) {
        (_, AlertState::Firing) => "alert.fired",
        (AlertState::Firing, AlertState::Ok) => "alert.resolved",
        _ => return Ok(Outcome::no_content()),
    };
    let data = json!({
        "alert_id": id, "name": before.spec.name, "kind": before.spec.kind, "metric": before.spec.metric,
        "state": state, "value": value, "reference": reference, "since": since,
    });
    announce(tx, told, &data)?;
    Ok(Outcome::no_content())
}

impl Reads {
    /// The live alerts of a workspace, the newest first; of one partner only where given.
    pub fn alerts(
        &self,
        workspace: WorkspaceId,
        partner: Option<PartnerId>,
    ) -> Result<Vec<Alert>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM alerts
                 WHERE workspace = ?1 AND deleted_at IS NULL AND (?2 IS NULL OR partner = ?2) ORDER BY id DESC"
            ))?;
            let mut rows = statement.query(params![workspace.0, partner.map(|partner| partner.0 as i64)])?;
            let mut alerts = Vec::new();
            while let Some(row) = rows.next()? {
                alerts.push(read(row)?);
            }
            Ok(alerts)
        })
    }

    /// A live alert.
    pub fn alert(&self, workspace: WorkspaceId, id: AlertId) -> Result<Option<Alert>, ReadError> {
        self.read(|db| Ok(find(db, workspace, id)?))
    }

    /// Every alert that is watched, of every workspace.
    pub fn watched_alerts(&self) -> Result<Vec<WatchedAlert>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM alerts WHERE deleted_at IS NULL ORDER BY id"
            ))?;
            let mut rows = statement.query([])?;
            let mut alerts = Vec::new();
            while let Some(row) = rows.next()? {
                let alert = read(row)?;
                if alert.spec.enabled {
                    let (workspace, changed_seq) =
                        (WorkspaceId(row.get(8)?), row.get::<_, i64>(9)? as Sequence);
                    alerts.push(WatchedAlert { workspace, alert, changed_seq });
                }
            }
            Ok(alerts)
        })
    }

    /// What became of an alert, the newest first.
    pub fn alert_events(&self, id: AlertId) -> Result<Vec<AlertEvent>, ReadError> {
        self.read(|db| {
            let mut statement = db.prepare_cached(
                "SELECT state, at, value, reference FROM alert_events WHERE alert = ?1 ORDER BY seq DESC LIMIT ?2",
            )?;
            let mut rows = statement.query(params![id.0 as i64, HISTORY_MAX])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.push(AlertEvent {
                    state: state_of(&row.get::<_, String>(0)?),
                    at: Timestamp(row.get(1)?),
                    value: row.get(2)?,
                    reference: row.get(3)?,
                });
            }
            Ok(events)
        })
    }
}
