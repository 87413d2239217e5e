//! Deliveries of webhook endpoints: each is kept with what became of it, and each counts once for ever.

use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use weir_schemas::fact::Payment;
use weir_schemas::ids::{DeliveryId, EndpointId, ProgramId};
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::access;
use super::apply::Applying;
use super::outcome::{Applied, Outcome, StoreError};
use super::payments::{self, Fate};

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    /// It was booked.
    Processed,
    /// It repeats an earlier one.
    Duplicate,
    /// It has the identity of an earlier one and another body: nothing was booked.
    Conflict,
    /// It means nothing for the books.
    Ignored,
    /// A part of it waits for its order.
    Parked,
    /// It is of the provider's test mode at an endpoint for real money, or the other way round.
    ModeMismatch,
    /// A part of it contradicts what is known: see its sentence.
    Failed,
}

impl DeliveryOutcome {
    /// Whether a replay may make something else of it.
    fn is_open(self) -> bool {
        matches!(self, Self::Conflict | Self::Parked | Self::ModeMismatch | Self::Failed)
    }
}

/// A delivery, as `GET /v1/webhook-endpoints/{id}/deliveries` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Its id.
    pub id: DeliveryId,
    /// `stripe`, …
    pub provider: String,
    /// The provider's name of the event.
    pub event_type: String,
    /// What makes a repeat of it a repeat.
    pub dedupe_key: String,
    /// SHA-256 of the raw body, in hexadecimal.
    pub body_sha256: String,
    /// Real money, or the provider's test mode.
    pub livemode: bool,
    /// What became of it.
    pub outcome: DeliveryOutcome,
    /// The same in a sentence.
    pub detail: String,
    /// When it came.
    pub received_at: Timestamp,
}

impl Delivery {
    /// Reads `id, provider, event_type, dedupe_key, livemode, outcome, detail, received_at, body_sha256`.
    pub(super) fn read(row: &Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: DeliveryId(row.get::<_, i64>(0)? as u64),
            provider: row.get(1)?,
            event_type: row.get(2)?,
            dedupe_key: row.get(3)?,
            livemode: row.get(4)?,
            outcome: serde_json::from_str(row.get_ref(5)?.as_str().map_err(rusqlite::Error::from)?)?,
            detail: row.get(6)?,
            received_at: Timestamp(row.get(7)?),
            body_sha256: row.get(8)?,
        })
    }
}

pub(super) struct Incoming<'a> {
    pub(super) id: DeliveryId,
    pub(super) endpoint: EndpointId,
    pub(super) provider: &'a str,
    pub(super) dedupe_key: &'a str,
    pub(super) event_type: &'a str,
    pub(super) body_sha256: &'a str,
    pub(super) livemode: bool,
    pub(super) payments: &'a [Payment],
}

pub(super) fn receive(tx: &mut Applying<'_>, new: &Incoming<'_>) -> Applied<Outcome> {
    let id = DeliveryId(tx.free_id("deliveries", new.id.0)?);
    let (outcome, detail) = judge(tx, new)?;
    let name = serde_json::to_string(&outcome)?;
    let unbooked = if outcome.is_open() { Some(serde_json::to_string(new.payments)?) } else { None };
    tx.db
        .prepare_cached("INSERT INTO deliveries VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)")?
        .execute(params![
            id.0 as i64,
            tx.workspace.0,
            new.endpoint.0 as i64,
            new.provider,
            new.dedupe_key,
            new.event_type,
            new.body_sha256,
            new.livemode,
            name,
            detail,
            tx.at.0,
            unbooked
        ])?;
    let answer = Delivery {
        id,
        provider: new.provider.to_owned(),
        event_type: new.event_type.to_owned(),
        dedupe_key: new.dedupe_key.to_owned(),
        body_sha256: new.body_sha256.to_owned(),
        livemode: new.livemode,
        outcome,
        detail,
        received_at: tx.at,
    };
    let answer = Outcome::new(200, &answer)?;
    Ok(if outcome == DeliveryOutcome::Duplicate { answer.repeated() } else { answer })
}

fn judge(tx: &mut Applying<'_>, new: &Incoming<'_>) -> Applied<(DeliveryOutcome, String)> {
    let Some((mode, program)) = access::mode_of(tx, new.endpoint)? else {
        return Ok((DeliveryOutcome::Ignored, "The endpoint was deleted.".to_owned()));
    };
    let earlier: Option<String> = tx
        .db
        .prepare_cached("SELECT body_sha256 FROM delivery_keys WHERE endpoint = ?1 AND dedupe_key = ?2")?
        .query_row(params![new.endpoint.0 as i64, new.dedupe_key], |row| row.get(0))
        .optional()?;
    match earlier {
        Some(body) if body == new.body_sha256 => {
            return Ok((DeliveryOutcome::Duplicate, "It was delivered before.".to_owned()));
        }
        Some(_) => {
            let detail =
                "An earlier delivery had the same identity and another body; this one is not booked.";
            return Ok((DeliveryOutcome::Conflict, detail.to_owned()));
        }
        None => {
            tx.db.prepare_cached("INSERT INTO delivery_keys VALUES (?1, ?2, ?3)")?.execute(params![
                new.endpoint.0 as i64,
                new.dedupe_key,
                new.body_sha256
            ])?;
        }
    }
    if new.payments.is_empty() {
        let detail = format!("An event of type `{}` moves no money.", new.event_type);
        return Ok((DeliveryOutcome::Ignored, detail));
    }
    match mode {
        None => access::fix_mode(tx, new.endpoint, new.livemode)?,
        Some(mode) if mode != new.livemode => {
            let name = |live| if live { "real money" } else { "the provider's test mode" };
            let detail = format!("The endpoint takes {}, this is {}.", name(mode), name(new.livemode));
            return Ok((DeliveryOutcome::ModeMismatch, detail));
        }
        Some(_) => {}
    }
    book(tx, new.provider, program, new.payments)
}

/// Books what a delivery means; says what became of each payment.
fn book(
    tx: &mut Applying<'_>,
    provider: &str,
    program: ProgramId,
    payments: &[Payment],
) -> Applied<(DeliveryOutcome, String)> {
    let mut worst = Fate::Processed;
    let mut sentences = Vec::with_capacity(payments.len());
    for payment in payments {
        let (fate, sentence) = payments::apply(tx, provider, program, payment)?;
        worst = worst.max(fate);
        sentences.push(sentence);
    }
    let outcome = match worst {
        Fate::Processed => DeliveryOutcome::Processed,
        Fate::Parked => DeliveryOutcome::Parked,
        Fate::Failed => DeliveryOutcome::Failed,
    };
    Ok((outcome, sentences.join(" ")))
}

/// `DeliveryReplayed`: what was not booked whole is tried again as things are now. An operator who replays a conflict
/// takes its body for the right one; test and live money still do not mix.
pub(super) fn replay(tx: &mut Applying<'_>, id: DeliveryId, endpoint: EndpointId) -> Applied<Outcome> {
    type Stored = (Delivery, Option<String>);
    let mut statement = tx.db.prepare_cached(
        "SELECT id, provider, event_type, dedupe_key, livemode, outcome, detail, received_at, body_sha256, payments
         FROM deliveries WHERE id = ?1 AND endpoint = ?2 AND workspace = ?3",
    )?;
    let mut rows = statement.query(params![id.0 as i64, endpoint.0 as i64, tx.workspace.0])?;
    let stored: Option<Stored> = match rows.next()? {
        Some(row) => Some((Delivery::read(row)?, row.get(9)?)),
        None => None,
    };
    drop(rows);
    drop(statement);
    let Some((mut delivery, payments)) = stored else { return Err(Problem::not_found("delivery").into()) };
    let Some(payments) = payments.filter(|_| delivery.outcome.is_open()) else {
        // It is booked, or means nothing: a replay of it changes nothing.
        return Ok(Outcome::new(200, &delivery)?.repeated());
    };
    let payments: Vec<Payment> = serde_json::from_str(&payments)?;
    let known = access::mode_of(tx, endpoint)?;
    let (mode, program) = known.ok_or_else(|| Problem::not_found("webhook endpoint"))?;
    if mode.is_some_and(|mode| mode != delivery.livemode) {
        return Ok(Outcome::new(200, &delivery)?);
    }
    let (outcome, detail) = book(tx, &delivery.provider, program, &payments)?;
    (delivery.outcome, delivery.detail) = (outcome, format!("Replayed. {detail}"));
    let keep = if outcome.is_open() { Some(serde_json::to_string(&payments)?) } else { None };
    tx.db
        .prepare_cached("UPDATE deliveries SET outcome = ?2, detail = ?3, payments = ?4 WHERE id = ?1")?
        .execute(params![id.0 as i64, serde_json::to_string(&outcome)?, delivery.detail, keep])?;
    Ok(Outcome::new(200, &delivery)?)
}
