//! `GET /v1/webhook-endpoints`, `GET /v1/webhook-endpoints/{id}` and its `/deliveries`.

use std::sync::Arc;

use serde_json::{Value, json};
use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::books::WebhookEndpoint;
use weir_schemas::ids::EndpointId;
use weir_schemas::problem::Problem;

use super::{Management, READERS, found, ok, page_of, page_of_all};

const WHAT: &str = "webhook endpoint";

/// As it is answered, with where the provider is to report.
fn answer(management: &Management, endpoint: &WebhookEndpoint) -> Value {
    let mut answer = json!(endpoint);
    answer["url"] = json!(format!("{}/hooks/{}", management.public_url, endpoint.id));
    answer
}

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let endpoints = management.read(move |books| books.endpoints(workspace)).await?;
    let data: Vec<Value> = endpoints.iter().map(|endpoint| answer(&management, endpoint)).collect();
    page_of_all(&context, data)
}

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let id: EndpointId = context.id("id", WHAT)?;
    let endpoints = management.read(move |books| books.endpoints(workspace)).await?;
    let endpoint = found(endpoints.into_iter().find(|endpoint| endpoint.id == id), WHAT)?;
    Ok(ok(&answer(&management, &endpoint)))
}

pub(super) async fn deliveries(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let id: EndpointId = context.id("id", WHAT)?;
    let of = page_of(&context)?;
    let read = management.read(move |books| {
        let known = books.endpoints(workspace)?.iter().any(|endpoint| endpoint.id == id);
        known.then(|| books.deliveries(workspace, id, &of)).transpose()
    });
    Ok(ok(&found(read.await?, WHAT)?))
}
