//! `GET /v1/programs`, `GET /v1/programs/{id}` and its `/versions`.

use std::sync::Arc;

use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::books::Page;
use weir_schemas::ids::ProgramId;
use weir_schemas::problem::Problem;

use super::{Management, READERS, found, ok, page_of};

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let of = page_of(&context)?;
    let page = management.read(move |books| books.programs(workspace, &of)).await?;
    Ok(ok(&page))
}

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let id: ProgramId = context.id("id", "program")?;
    let program = management.read(move |books| books.program(workspace, id)).await?;
    Ok(ok(&found(program, "program")?))
}

pub(super) async fn versions(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let id: ProgramId = context.id("id", "program")?;
    let versions = management.read(move |books| books.program_versions(workspace, id)).await?;
    Ok(ok(&Page { data: found(versions, "program")?, next_cursor: None }))
}
