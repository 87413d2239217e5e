//! What the one who runs the engine sees and does: its health, and what was put aside. For an admin key of the first
//! workspace; the other workspaces' admins see their own things only.

use std::sync::Arc;

use http::Method;
use weir_edge::request::Context;
use weir_edge::route::Router;
use weir_edge::{problem, response};
use weir_schemas::fact::Role;
use weir_schemas::ids::WorkspaceId;
use weir_schemas::problem::Problem;

use super::Parts;
use crate::engine::Engine;

mod dead_letters;
mod health;

type Answer = Result<response::Response, Problem>;

/// `/v1/admin/…` of the engine itself.
pub(super) fn routes(engine: &Arc<Engine>, parts: &Arc<Parts>) -> Router {
    let (of_health, of_list, of_retry) =
        ((Arc::clone(engine), Arc::clone(parts)), Arc::clone(parts), Arc::clone(parts));
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
            let parts = Arc::clone(&of_retry);
            async move { dead_letters::retry(context, &parts).await }
        })
}

/// 403 for all but the operator.
fn require_operator(context: &Context) -> Result<(), Problem> {
    let caller = context.require(&[Role::Admin])?;
    if caller.workspace == WorkspaceId::FIRST {
        return Ok(());
    }
    Err(problem::forbidden("This needs an admin key of the engine's first workspace."))
}
