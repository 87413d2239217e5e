//! `GET /v1/alerts`, `GET /v1/alerts/{id}` with its history. A partner's key sees what watches its partner's numbers.

use std::sync::Arc;

use serde_json::json;
use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_schemas::ids::AlertId;
use weir_schemas::problem::Problem;

use super::{Management, found, ok, page_of_all};
use crate::analytics::reader;

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let caller = reader(&context)?;
    let data = management.read(move |books| books.alerts(caller.workspace, caller.partner)).await?;
    page_of_all(&context, data)
}

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let caller = reader(&context)?;
    let id: AlertId = context.id("id", "alert")?;
    let alert = management.read(move |books| books.alert(caller.workspace, id)).await?;
    let own = alert.filter(|alert| caller.partner.is_none() || alert.spec.partner_id == caller.partner);
    let mut answer = json!(found(own, "alert")?);
    answer["history"] = json!(management.read(move |books| books.alert_events(id)).await?);
    Ok(ok(&answer))
}
