//! `GET /v1/programs`, `GET /v1/programs/{id}` and its `/versions`. A partner's key sees the terms of those
//! that it has to do with, as they are now.

use std::sync::Arc;

use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::books::Page;
use weir_schemas::ids::ProgramId;
use weir_schemas::problem::Problem;

use super::{Management, READERS, found, links, ok, page_of, page_of_all};

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = links::reader(&context)?;
    let workspace = principal.workspace;
    let of = page_of(&context)?;
    let page = management.read(move |books| match own {
        Some(own) => Ok(Page { data: books.programs_of(workspace, own)?, next_cursor: None }),
        None => books.programs(workspace, &of),
    });
    Ok(ok(&page.await?))
}

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = links::reader(&context)?;
    let workspace = principal.workspace;
    let id: ProgramId = context.id("id", "program")?;
    let program = management.read(move |books| match own {
        Some(own) => Ok(books.programs_of(workspace, own)?.into_iter().find(|program| program.id == id)),
        None => books.program(workspace, id),
    });
    Ok(ok(&found(program.await?, "program")?))
}

pub(super) async fn versions(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let id: ProgramId = context.id("id", "program")?;
    let versions = management.read(move |books| books.program_versions(workspace, id)).await?;
    page_of_all(&context, found(versions, "program")?)
}
