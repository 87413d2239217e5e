//! `GET /v1/outbound-endpoints`, `GET /v1/outbound-endpoints/{id}` and its `/deliveries`, `GET /v1/fulfilments`.

use std::sync::Arc;

use weir_edge::problem::unavailable;
use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::books::{PAGE_DEFAULT, PAGE_MAX, Page};
use weir_schemas::ids::OutboundEndpointId;
use weir_schemas::problem::Problem;

use super::{Management, READERS, found, ok, page_of, page_of_all};

const WHAT: &str = "outbound endpoint";

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let data = management.read(move |books| books.outbound(workspace)).await?;
    page_of_all(&context, data)
}

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let id: OutboundEndpointId = context.id("id", WHAT)?;
    let endpoints = management.read(move |books| books.outbound(workspace)).await?;
    Ok(ok(&found(endpoints.into_iter().find(|endpoint| endpoint.id == id), WHAT)?))
}

/// What was sent or waits, the newest first, each with its last tries.
pub(super) async fn deliveries(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let id: OutboundEndpointId = context.id("id", WHAT)?;
    let of = page_of(&context)?;
    let limit = of.limit.unwrap_or(PAGE_DEFAULT).min(PAGE_MAX);
    let below = match of.cursor {
        None => i64::MAX,
        Some(cursor) => {
            cursor.parse().map_err(|_| Problem::field("cursor", "is none that this list gave out"))?
        }
    };
    let known = management.read(move |books| books.has_outbound(workspace, id)).await?;
    let outbound = management.outbound.clone().filter(|_| known);
    let outbound = found(outbound, WHAT)?;
    let read = tokio::task::spawn_blocking(move || outbound.messages(id, below, limit + 1)).await;
    let mut messages = match read {
        Ok(Ok(messages)) => messages,
        Ok(Err(error)) => {
            tracing::error!(%error, "the outbound log could not be read");
            return Err(unavailable("storage_unavailable", "The delivery log could not be read."));
        }
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let more = messages.len() > limit as usize;
    messages.truncate(limit as usize);
    let next_cursor = messages.last().filter(|_| more).map(|(number, _)| number.to_string());
    Ok(ok(&Page { data: messages.into_iter().map(|(_, message)| message).collect(), next_cursor }))
}

pub(super) async fn fulfilments(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let data = management.read(move |books| books.fulfilments(workspace)).await?;
    page_of_all(&context, data)
}
