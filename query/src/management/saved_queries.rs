//! `GET /v1/saved-queries`, `GET /v1/saved-queries/{id}`, `GET /v1/shares`: a partner's key sees what is marked as its
//! partner's.

use std::sync::Arc;

use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_schemas::ids::SavedQueryId;
use weir_schemas::problem::Problem;

use super::{Management, found, ok, page_of_all};
use crate::analytics::reader;

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let caller = reader(&context)?;
    let data = management.read(move |books| books.saved_queries(caller.workspace, caller.partner)).await?;
    page_of_all(&context, data)
}

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let caller = reader(&context)?;
    let id: SavedQueryId = context.id("id", "saved query")?;
    let saved = management.read(move |books| books.saved_query(caller.workspace, id)).await?;
    let own = saved.filter(|saved| caller.partner.is_none() || saved.spec.partner_id == caller.partner);
    Ok(ok(&found(own, "saved query")?))
}

pub(super) async fn shares(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let caller = reader(&context)?;
    let data = management.read(move |books| books.shares(caller.workspace, caller.partner)).await?;
    page_of_all(&context, data)
}
