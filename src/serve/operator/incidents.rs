//! `/v1/admin/incidents`: incidents in the operator's words, for the public status page. They are kept beside the books
//! and noted in the audit log.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use weir_dashboard::status::{History, NewNotice, NewUpdate, Notice, Notices};
use weir_edge::problem;
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::no_content;
use weir_engine::keys::Principal;
use weir_ingest::commands::Commands;
use weir_query::management::page_of_all;
use weir_schemas::fact::{Fact, Recorded};
use weir_schemas::ids::IncidentId;
use weir_schemas::problem::{FieldError, Problem};
use weir_schemas::time::Timestamp;

use super::{Answer, require_operator};
use crate::serve::Parts;

/// How long an answer waits for its line in the audit log.
const NOTED_WITHIN: Duration = Duration::from_secs(5);

pub(super) fn list(context: &Context, parts: &Parts) -> Answer {
    require_operator(context)?;
    let data: Vec<Value> = history(parts).notices().all().map(told).collect();
    page_of_all(context, data)
}

pub(super) async fn create(mut context: Context, parts: &Parts, commands: &Commands) -> Answer {
    let caller = require_operator(&context)?;
    let new: NewNotice = context.json(JSON_MAX).await?;
    fits(new.check())?;
    let work = async {
        let now = Timestamp::now();
        let id = IncidentId(parts.ids.next(now));
        let write = |notices: &mut Notices| Some(told(notices.begin(id, new, now)));
        let told = change(parts, (caller, now, Fact::IncidentCreated { id }), write).await?;
        Ok((StatusCode::CREATED, told))
    };
    commands.once(&context, caller, work).await
}

pub(super) async fn update(mut context: Context, parts: &Parts, commands: &Commands) -> Answer {
    let caller = require_operator(&context)?;
    let id: IncidentId = context.id("id", "incident")?;
    let new: NewUpdate = context.json(JSON_MAX).await?;
    fits(new.check())?;
    let work = async {
        let now = Timestamp::now();
        let write = |notices: &mut Notices| notices.update(id, new, now).map(told);
        let told = change(parts, (caller, now, Fact::IncidentUpdated { id }), write).await?;
        Ok((StatusCode::OK, told))
    };
    commands.once(&context, caller, work).await
}

pub(super) async fn remove(context: Context, parts: &Parts) -> Answer {
    let caller = require_operator(&context)?;
    let id: IncidentId = context.id("id", "incident")?;
    let write = |notices: &mut Notices| notices.remove(id).then_some(());
    change(parts, (caller, Timestamp::now(), Fact::IncidentDeleted { id }), write).await?;
    Ok(no_content())
}

/// Writes of an incident, keeps it and notes in the audit log who did; 404 where `write` finds none.
async fn change<T>(
    parts: &Parts,
    (caller, at, fact): (Principal, Timestamp, Fact),
    write: impl FnOnce(&mut Notices) -> Option<T>,
) -> Result<T, Problem> {
    let (written, kept) = {
        let mut history = history(parts);
        let written = write(history.notices_mut()).ok_or_else(|| Problem::not_found("incident"))?;
        (written, history.save())
    };
    // What people are told does not wait for books that cannot be written: that may be what they are told of.
    let recorded = Recorded { at, workspace: caller.workspace, actor: caller.actor(), request: None, fact };
    match tokio::time::timeout(NOTED_WITHIN, parts.books.submit(recorded)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "an incident's notice is not in the audit log"),
        Err(_) => tracing::warn!("an incident's notice is not in the audit log yet: the books are behind"),
    }
    kept.map_err(|error| {
        tracing::error!(%error, "an incident's notice is shown and could not be kept");
        problem::unavailable("storage_unavailable", "It is shown now, and could not be kept on disk.")
    })?;
    Ok(written)
}

fn history(parts: &Parts) -> MutexGuard<'_, History> {
    parts.status.history.lock().unwrap_or_else(PoisonError::into_inner)
}

fn told(notice: &Notice) -> Value {
    let mut told = json!(notice);
    told["state"] = json!(notice.state());
    told
}

fn fits(errors: Vec<FieldError>) -> Result<(), Problem> {
    if errors.is_empty() { Ok(()) } else { Err(Problem::fields(errors)) }
}
