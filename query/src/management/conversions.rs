//! `GET /v1/conversions`, `GET /v1/conversions/{id}`, `GET /v1/conversions/{id}/trace`.

use std::sync::Arc;

use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::books::ConversionFilter;
use weir_schemas::ids::ConversionId;
use weir_schemas::problem::Problem;

use super::{Management, READERS, found, ok, page_of, value};

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let of = page_of(&context)?;
    let filter =
        ConversionFilter { order_id: value(&context, "order_id"), customer: value(&context, "customer_id") };
    let page = management.read(move |books| books.conversions(workspace, &filter, &of)).await?;
    Ok(ok(&page))
}

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let id: ConversionId = context.id("id", "conversion")?;
    let conversion = management.read(move |books| books.conversion(workspace, id)).await?;
    Ok(ok(&found(conversion, "conversion")?))
}

pub(super) async fn trace(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let id: ConversionId = context.id("id", "conversion")?;
    let trace = management.read(move |books| books.trace(workspace, id)).await?;
    Ok(ok(&found(trace, "conversion")?))
}
