//! `POST /v1/alerts`, `PATCH` and `DELETE /v1/alerts/{id}`: what is to be watched.

use std::sync::Arc;

use http::Method;
use serde_json::{Map, Value};
use weir_edge::request::{Context, JSON_MAX, from_value};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_engine::alerts::check;
use weir_engine::keys::Principal;
use weir_schemas::alert::AlertSpec;
use weir_schemas::fact::Fact;
use weir_schemas::ids::AlertId;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::handles::{Commands, admission, answer};
use super::saved_queries::WRITERS;

const WHAT: &str = "alert";

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [create, update, delete] = std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::POST, "/v1/alerts", move |context| self::create(context, Arc::clone(&create)))
        .route(Method::PATCH, "/v1/alerts/{id}", move |context| self::update(context, Arc::clone(&update)))
        .route(Method::DELETE, "/v1/alerts/{id}", move |context| self::delete(context, Arc::clone(&delete)))
}

async fn create(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let spec: AlertSpec = context.json(JSON_MAX).await?;
    commands.check_alert(caller, &spec).await?;
    let (at, request) = admission(&context)?;
    let id = AlertId(commands.ids.next(at));
    let outcome = commands.submit(caller, at, request, Fact::AlertCreated { id, spec }).await?;
    Ok(answer(outcome, |body| body))
}

async fn update(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let id: AlertId = context.id("id", WHAT)?;
    let patch: Map<String, Value> = context.json(JSON_MAX).await?;
    let alert = commands.read(move |books| books.alert(caller.workspace, id)).await?;
    // Kind, threshold and recovery belong together: the whole is checked.
    let mut whole = serde_json::json!(alert.ok_or_else(|| Problem::not_found(WHAT))?.spec);
    for (name, value) in &patch {
        whole[name] = value.clone();
    }
    commands.check_alert(caller, &from_value(whole)?).await?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::AlertUpdated { id, patch }).await?;
    Ok(answer(outcome, |body| body))
}

async fn delete(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(WRITERS)?;
    let id: AlertId = context.id("id", WHAT)?;
    context.body(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::AlertDeleted { id }).await?;
    Ok(answer(outcome, |body| body))
}

impl Commands {
    async fn check_alert(&self, caller: Principal, spec: &AlertSpec) -> Result<(), Problem> {
        check(spec, caller.workspace, Timestamp::now())?;
        self.check_terms(caller.workspace, None, spec.partner_id).await
    }
}
