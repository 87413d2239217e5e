//! `GET /v1/links`, `GET /v1/links/{id}`, with their counted clicks as of now.

use std::sync::Arc;

use serde_json::{Value, json};
use weir_edge::problem;
use weir_edge::request::Context;
use weir_edge::response::Response;
use weir_engine::books::{LinkFilter, Page};
use weir_engine::keys::Principal;
use weir_schemas::fact::Role;
use weir_schemas::ids::{LinkId, PartnerId, WorkspaceId};
use weir_schemas::link::Link;
use weir_schemas::problem::Problem;

use super::{Management, found, ok, page_of, value};

const READERS: &[Role] = &[Role::Admin, Role::Editor, Role::Viewer, Role::Partner];

/// A partner's key sees that partner's links.
pub(super) fn reader(context: &Context) -> Result<(Principal, Option<PartnerId>), Problem> {
    let principal = context.require(READERS)?;
    match (principal.role, principal.partner) {
        (Role::Partner, None) => Err(problem::forbidden("This key belongs to no partner.")),
        (_, partner) => Ok((principal, partner)),
    }
}

pub(super) async fn list(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = reader(&context)?;
    let of = page_of(&context)?;
    let partner = match value(&context, "partner_id") {
        None => own,
        Some(text) => {
            let asked: PartnerId =
                text.parse().map_err(|error| Problem::field("partner_id", format!("{error}")))?;
            if own.is_some_and(|own| own != asked) {
                return Err(problem::forbidden("This key sees its own partner's links only."));
            }
            Some(asked)
        }
    };
    let filter = LinkFilter { search: value(&context, "search"), tag: value(&context, "tag"), partner };
    let workspace = principal.workspace;
    let page = management.read(move |books| books.links(workspace, &filter, &of)).await?;
    let data = management.with_clicks(workspace, page.data).await;
    Ok(ok(&Page { data, next_cursor: page.next_cursor }))
}

pub(super) async fn one(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = reader(&context)?;
    let id: LinkId = context.id("id", "link")?;
    let workspace = principal.workspace;
    let link = management.read(move |books| books.link(workspace, id)).await?;
    let link = found(link.filter(|link| own.is_none() || link.spec.partner_id == own), "link")?;
    let mut links = management.with_clicks(workspace, vec![link]).await;
    Ok(ok(&found(links.pop(), "link")?))
}

impl Management {
    /// Links as they are answered. Without a warehouse `clicks` is null: no number is better than a wrong
    /// one.
    async fn with_clicks(&self, workspace: WorkspaceId, links: Vec<Link>) -> Vec<Value> {
        let ids: Vec<LinkId> = links.iter().map(|link| link.id).collect();
        let clicks = self.analytics.link_clicks(workspace, &ids).await;
        links
            .into_iter()
            .map(|mut link| {
                link.short_url = self.short_url(link.spec.domain.as_deref(), link.spec.slug.as_deref());
                let count = clicks.as_ref().map(|clicks| clicks.get(&link.id).copied().unwrap_or(0));
                let mut answer = json!(link);
                answer["clicks"] = json!(count);
                answer
            })
            .collect()
    }

    pub(super) fn short_url(&self, domain: Option<&str>, slug: Option<&str>) -> String {
        let slug = slug.unwrap_or_default();
        match domain {
            None => format!("{}/{slug}", self.public_url),
            Some(domain) => {
                let scheme = self.public_url.split("://").next().unwrap_or("https");
                format!("{scheme}://{domain}/{slug}")
            }
        }
    }
}
