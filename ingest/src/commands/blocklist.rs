//! `POST /v1/blocklist` and `DELETE /v1/blocklist/{id}`: where no link of the workspace may lead.

use std::sync::Arc;

use http::Method;
use serde::Deserialize;
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::Response;
use weir_edge::route::Router;
use weir_engine::links::blocklist::Pattern;
use weir_schemas::fact::{Fact, Role};
use weir_schemas::ids::BlockId;
use weir_schemas::problem::Problem;

use super::handles::{Commands, admission, answer};
use super::link_spec::Errors;

/// Longest reason, in bytes.
const REASON_MAX: usize = 255;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPattern {
    pattern: String,
    #[serde(default)]
    reason: Option<String>,
}

pub(super) fn routes(commands: &Arc<Commands>) -> Router {
    let [add, remove] = std::array::from_fn(|_| Arc::clone(commands));
    Router::new()
        .route(Method::POST, "/v1/blocklist", move |context| self::add(context, Arc::clone(&add)))
        .route(Method::DELETE, "/v1/blocklist/{id}", move |context| {
            self::remove(context, Arc::clone(&remove))
        })
}

async fn add(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin, Role::Editor])?;
    let new: NewPattern = context.json(JSON_MAX).await?;
    let mut errors = Errors::default();
    let pattern = new.pattern.parse::<Pattern>();
    if let Err(why) = &pattern {
        errors.add("pattern", *why);
    }
    errors.text("reason", new.reason.as_deref(), REASON_MAX);
    errors.none()?;
    let (at, request) = admission(&context)?;
    let pattern = pattern.map(|pattern| pattern.to_string()).unwrap_or_default();
    let fact = Fact::DestinationBlocked { id: BlockId(commands.ids.next(at)), pattern, reason: new.reason };
    Ok(answer(commands.submit(caller, at, request, fact).await?, |body| body))
}

async fn remove(mut context: Context, commands: Arc<Commands>) -> Result<Response, Problem> {
    let caller = context.require(&[Role::Admin, Role::Editor])?;
    let id: BlockId = context.id("id", "pattern")?;
    context.body(JSON_MAX).await?;
    let (at, request) = admission(&context)?;
    let outcome = commands.submit(caller, at, request, Fact::DestinationUnblocked { id }).await?;
    Ok(answer(outcome, |body| body))
}
