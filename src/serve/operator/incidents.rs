//! `/v1/admin/incidents`: incidents in the operator's words, for the public status page.

use std::sync::{MutexGuard, PoisonError};

use http::StatusCode;
use serde_json::{Value, json};
use weir_dashboard::status::{History, NewNotice, NewUpdate, Notice};
use weir_edge::problem;
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::{json as json_response, no_content};
use weir_query::management::page_of_all;
use weir_schemas::ids::IncidentId;
use weir_schemas::problem::{FieldError, Problem};
use weir_schemas::time::Timestamp;

use super::{Answer, require_operator};
use crate::serve::Parts;

pub(super) fn list(context: &Context, parts: &Parts) -> Answer {
    require_operator(context)?;
    let data: Vec<Value> = history(parts).notices().all().map(told).collect();
    page_of_all(context, data)
}

pub(super) async fn create(mut context: Context, parts: &Parts) -> Answer {
    require_operator(&context)?;
    let new: NewNotice = context.json(JSON_MAX).await?;
    fits(new.check())?;
    let now = Timestamp::now();
    let mut history = history(parts);
    let answer = told(history.notices_mut().begin(IncidentId(parts.ids.next(now)), new, now));
    keep(&history)?;
    Ok(json_response(StatusCode::CREATED, &answer))
}

pub(super) async fn update(mut context: Context, parts: &Parts) -> Answer {
    require_operator(&context)?;
    let id: IncidentId = context.id("id", "incident")?;
    let new: NewUpdate = context.json(JSON_MAX).await?;
    fits(new.check())?;
    let mut history = history(parts);
    let notice = history.notices_mut().update(id, new, Timestamp::now());
    let answer = notice.map(told).ok_or_else(|| Problem::not_found("incident"))?;
    keep(&history)?;
    Ok(json_response(StatusCode::OK, &answer))
}

pub(super) fn remove(context: &Context, parts: &Parts) -> Answer {
    require_operator(context)?;
    let id: IncidentId = context.id("id", "incident")?;
    let mut history = history(parts);
    if !history.notices_mut().remove(id) {
        return Err(Problem::not_found("incident"));
    }
    keep(&history)?;
    Ok(no_content())
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

/// What was said is not to be lost with the next crash.
fn keep(history: &History) -> Result<(), Problem> {
    history.save().map_err(|error| {
        tracing::error!(%error, "an incident's notice is shown and could not be kept");
        problem::unavailable("storage_unavailable", "It is shown now, and could not be kept on disk.")
    })
}
