//! What the one who runs the engine sees and does: its health, and what was put aside. For an admin key of the first
//! workspace; the other workspaces' admins see their own things only.

use std::sync::Arc;

use http::Method;
use weir_edge::request::Context;
use weir_edge::route::Router;
use weir_edge::{problem, response};
use weir_engine::keys::Principal;
use weir_ingest::commands::Commands;
use weir_schemas::fact::Role;
use weir_schemas::ids::WorkspaceId;
use weir_schemas::problem::Problem;

use super::Parts;
use crate::engine::Engine;

mod dead_letters;
mod health;
mod incidents;

type Answer = Result<response::Response, Problem>;

/// `/v1/admin/…` of the engine itself.
pub(super) fn routes(engine: &Arc<Engine>, parts: &Arc<Parts>, commands: &Arc<Commands>) -> Router {
    let of_health = (Arc::clone(engine), Arc::clone(parts));
    let [of_list, of_told, of_remove] = std::array::from_fn(|_| Arc::clone(parts));
    let [of_retry, of_new, of_update] = std::array::from_fn(|_| (Arc::clone(parts), Arc::clone(commands)));
    Router::new()
        .route(Method::GET, "/v1/admin/health", move |context| {
            let (engine, parts) = of_health.clone();
            async move { health::read(&context, &engine, &parts) }
        })
        .route(Method::GET, "/v1/admin/dead-letters", move |context| {
            let parts = Arc::clone(&of_list);
            async move { dead_letters::list(&context, &parts).await }
        })
        .route(Method::POST, "/v1/admin/dead-letters/retry", move |context| {
            let (parts, commands) = of_retry.clone();
            async move { dead_letters::retry(context, &parts, &commands).await }
        })
        .route(Method::GET, "/v1/admin/incidents", move |context| {
            let parts = Arc::clone(&of_told);
            async move { incidents::list(&context, &parts) }
        })
        .route(Method::POST, "/v1/admin/incidents", move |context| {
            let (parts, commands) = of_new.clone();
            async move { incidents::create(context, &parts, &commands).await }
        })
        .route(Method::POST, "/v1/admin/incidents/{id}/updates", move |context| {
            let (parts, commands) = of_update.clone();
            async move { incidents::update(context, &parts, &commands).await }
        })
        .route(Method::DELETE, "/v1/admin/incidents/{id}", move |context| {
            let parts = Arc::clone(&of_remove);
            async move { incidents::remove(context, &parts).await }
        })
}

/// Who asks; 403 for all but the operator.
fn require_operator(context: &Context) -> Result<Principal, Problem> {
    let caller = context.require(&[Role::Admin])?;
    if caller.workspace == WorkspaceId::FIRST {
        return Ok(caller);
    }
    Err(problem::forbidden("This needs an admin key of the engine's first workspace."))
}
