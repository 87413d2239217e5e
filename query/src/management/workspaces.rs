//! `GET /v1/workspace`: the caller's own. `GET /v1/workspaces`: every one of the engine, for its operator; the others'
//! admins see theirs alone. `GET /v1/admin/audit`: who changed what in the caller's workspace.

use std::sync::Arc;

use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::books::AuditFilter;
use weir_schemas::fact::Role;
use weir_schemas::ids::WorkspaceId;
use weir_schemas::problem::Problem;

use super::{Management, found, ok, page_of, page_of_all, value};

pub(super) async fn own(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let every = &[Role::Admin, Role::Editor, Role::Viewer, Role::Ingest, Role::Partner];
    let workspace = context.require(every)?.workspace;
    Ok(ok(&found(management.read(move |books| books.workspace(workspace)).await?, "workspace")?))
}

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(&[Role::Admin])?.workspace;
    let mut data = management.read(|books| books.workspaces()).await?;
    data.retain(|one| workspace == WorkspaceId::FIRST || one.id == workspace);
    page_of_all(&context, data)
}

pub(super) async fn audit(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(&[Role::Admin])?.workspace;
    let of = page_of(&context)?;
    let [action, actor, subject] = ["action", "actor", "subject"].map(|name| value(&context, name));
    let filter = AuditFilter { action, actor, subject };
    Ok(ok(&management.read(move |books| books.audit(workspace, &filter, &of)).await?))
}
