//! `POST /v1/saved-queries`, `PATCH` and `DELETE /v1/saved-queries/{id}`: questions with a name. What is saved would be
//! answered: its query is checked as if it were asked now.

use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value};
use weir_edge::request::{Context, JSON_MAX, from_value};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_engine::keys::Principal;
use weir_engine::query::question::Question;
use weir_schemas::fact::{Fact, Role};
use weir_schemas::ids::SavedQueryId;
use weir_schemas::problem::Problem;
use weir_schemas::saved::{Question as Kept, SavedQuerySpec};
use weir_schemas::time::Timestamp;

use super::handles::{Commands, admission, answer};
use super::link_spec::Errors;

/// Who keeps questions and shares them.
pub(super) const WRITERS: &[Role] = &[Role::Admin, Role::Editor];
pub(super) const NAME_MAX: usize = 255;
const DESCRIPTION_MAX: usize = 2_000;
/// Longest name of a way to show an answer, in bytes.
pub(super) const VISUALISATION_MAX: usize = 32;
const WHAT: &str = "saved query";

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [create, update, delete] = std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::POST, "/v1/saved-queries", move |context| self::create(context, Arc::clone(&create)))
        .route(Method::PATCH, "/v1/saved-queries/{id}", move |context| {
            self::update(context, Arc::clone(&update))
        })
        .route(Method::DELETE, "/v1/saved-queries/{id}", move |context| {
            self::delete(context, Arc::clone(&delete))
        })
}

async fn create(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let spec: SavedQuerySpec = context.json(JSON_MAX).await?;
    commands.check_saved(caller, &spec).await?;
    let (at, request) = admission(&context)?;
    let id = SavedQueryId(commands.ids.next(at));
    let outcome = commands.submit(caller, at, request, Fact::SavedQueryCreated { id, spec }).await?;
    Ok(answer(outcome, |body| body))
}

async fn update(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let id: SavedQueryId = context.id("id", WHAT)?;
    let patch: Map<String, Value> = context.json(JSON_MAX).await?;
    let saved = commands.read(move |books| books.saved_query(caller.workspace, id)).await?;
    let before = saved.ok_or_else(|| Problem::not_found(WHAT))?.spec;
    // A query and the report that it is for belong together: the whole is checked.
    let mut whole = serde_json::json!(before);
    for (name, value) in &patch {
        whole[name] = value.clone();
    }
    commands.check_saved(caller, &from_value(whole)?).await?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::SavedQueryUpdated { id, patch }).await?;
    Ok(answer(outcome, |body| body))
}

async fn delete(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let id: SavedQueryId = context.id("id", WHAT)?;
    context.body(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::SavedQueryDeleted { id }).await?;
    Ok(answer(outcome, |body| body))
}

impl Commands {
    async fn check_saved(&self, caller: Principal, spec: &SavedQuerySpec) -> Result<(), Problem> {
        let mut errors = Errors::default();
        errors.text("name", Some(&spec.name), NAME_MAX);
        errors.text("description", spec.description.as_deref(), DESCRIPTION_MAX);
        errors.text("visualisation", spec.visualisation.as_deref(), VISUALISATION_MAX);
        errors.none()?;
        let kept = Kept { report: spec.report.clone(), query: spec.query.clone() };
        Question::build(&kept, caller.workspace, Timestamp::now(), spec.partner_id)?;
        self.check_terms(caller.workspace, None, spec.partner_id).await
    }
}
