//! `GET /v1/leaderboard`, `GET /v1/partners/{id}/stats` and `/tiers`.

use std::sync::Arc;

use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::books::{LeaderboardOf, LinkFilter, PAGE_DEFAULT, PAGE_MAX, Page, PageOf};
use weir_schemas::ids::{LinkId, PartnerId};
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::{Management, READERS, found, id_of, links, ok, page_of, page_of_all, value};

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(READERS)?.workspace;
    let limit = page_of(&context)?.limit.unwrap_or(PAGE_DEFAULT);
    let by_orders = match value(&context, "metric").as_deref() {
        None | Some("revenue") => false,
        Some("orders") => true,
        Some(_) => return Err(Problem::field("metric", "must be revenue or orders")),
    };
    let month = match value(&context, "month") {
        None => None,
        Some(text) => {
            Some(month_of(&text).ok_or_else(|| Problem::field("month", "must be such as 2026-11"))?)
        }
    };
    let currency = match value(&context, "currency") {
        None => None,
        Some(code) => Some(code.parse().map_err(|error| Problem::field("currency", format!("{error}")))?),
    };
    let of = LeaderboardOf { program: id_of(&context, "program_id")?, month, currency, by_orders, limit };
    let data = management.read(move |books| books.leaderboard(workspace, of)).await?;
    Ok(ok(&Page { data, next_cursor: None }))
}

/// `2026-11` as 202611.
fn month_of(text: &str) -> Option<i32> {
    let (year, month) = text.split_once('-')?;
    let (year, month): (i32, i32) = (year.parse().ok()?, month.parse().ok()?);
    ((1970..=9999).contains(&year) && (1..=12).contains(&month)).then_some(year * 100 + month)
}

pub(super) async fn tiers(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = links::reader(&context)?;
    let id: PartnerId = context.id("id", "partner")?;
    let (workspace, now) = (principal.workspace, Timestamp::now());
    let read = management.read(move |books| {
        let known = books.partner(workspace, id)?.is_some() && own.is_none_or(|own| own == id);
        known.then(|| books.partner_tiers(workspace, id, now)).transpose()
    });
    page_of_all(&context, found(read.await?, "partner")?)
}

pub(super) async fn stats(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = links::reader(&context)?;
    let id: PartnerId = context.id("id", "partner")?;
    let workspace = principal.workspace;
    let read = management.read(move |books| {
        let known = books.partner(workspace, id)?.is_some() && own.is_none_or(|own| own == id);
        let filter = LinkFilter { partner: Some(id), ..LinkFilter::default() };
        let of = PageOf { limit: Some(PAGE_MAX), cursor: None };
        let links = books.links(workspace, &filter, &of)?;
        let links: Vec<LinkId> = links.data.into_iter().map(|link| link.id).collect();
        Ok((known.then(|| books.partner_stats(workspace, id)).transpose()?, links))
    });
    let (stats, links) = read.await?;
    let mut answer = serde_json::json!(found(stats, "partner")?);
    // Without a warehouse `clicks` is null: no number is better than a wrong one.
    let clicks = management.analytics.link_clicks(workspace, &links).await;
    let clicks = clicks.map(|clicks| links.iter().filter_map(|link| clicks.get(link)).sum::<u64>());
    answer["clicks"] = serde_json::json!(clicks);
    answer["links"] = serde_json::json!(links.len());
    Ok(ok(&answer))
}
