//! `GET /v1/links`, `GET /v1/links/{id}`, with their counted clicks as of now; `GET /v1/links/export` as a table and
//! `GET /v1/tags`.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::{Value, json};
use weir_edge::problem;
use weir_edge::request::Context;
use weir_edge::response::{Body, Response, StreamError};
use weir_engine::books::{LinkFilter, PAGE_MAX, Page, PageOf};
use weir_engine::keys::Principal;
use weir_schemas::csv;
use weir_schemas::fact::Role;
use weir_schemas::ids::{LinkId, PartnerId, WorkspaceId};
use weir_schemas::link::{Link, sheet};
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
    let (workspace, filter) = filter(&context, Some(false))?;
    let of = page_of(&context)?;
    let page = management.read(move |books| books.links(workspace, &filter, &of)).await?;
    let data = management.with_clicks(workspace, page.data).await;
    Ok(ok(&Page { data, next_cursor: page.next_cursor }))
}

/// What the query string asks for. `archived` is what is listed where it does not say.
fn filter(context: &Context, archived: Option<bool>) -> Result<(WorkspaceId, LinkFilter), Problem> {
    let (principal, own) = reader(context)?;
    let partner = match id_of(context, "partner_id")? {
        None => own,
        Some(asked) if own.is_some_and(|own| own != asked) => {
            return Err(problem::forbidden("This key sees its own partner's links only."));
        }
        asked => asked,
    };
    let archived = match value(context, "archived").as_deref() {
        None => archived,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some("all") => None,
        Some(_) => return Err(Problem::field("archived", "must be true, false or all")),
    };
    let filter = LinkFilter {
        search: value(context, "search"),
        tag: value(context, "tag"),
        partner,
        program: id_of(context, "program_id")?,
        domain: context.query_value("domain").map(|domain| domain.to_ascii_lowercase()),
        archived,
    };
    Ok((principal.workspace, filter))
}

fn id_of<T: FromStr<Err: Display>>(context: &Context, name: &str) -> Result<Option<T>, Problem> {
    let parsed = value(context, name).map(|text| text.parse());
    parsed.transpose().map_err(|error: T::Err| Problem::field(name, error.to_string()))
}

/// Every link that the filter names, archived ones too where it does not say, as a table: what
/// `POST /v1/links/import` reads. Page by page, so that no number of links is too many.
pub(super) async fn export(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (workspace, filter) = filter(&context, None)?;
    let first = PageOf { limit: Some(PAGE_MAX), cursor: None };
    let pages = stream::unfold(Some((first, true)), move |next| {
        let (management, filter) = (Arc::clone(&management), filter.clone());
        async move {
            let (of, head) = next?;
            let page = match management.read(move |books| books.links(workspace, &filter, &of)).await {
                Ok(page) => page,
                // The connection breaks off: half a table must not look like a whole one.
                Err(problem) => return Some((Err(StreamError::from(problem.detail)), None)),
            };
            let mut out = String::new();
            if head {
                csv::write(&mut out, sheet::header());
            }
            for link in management.with_clicks(workspace, page.data).await {
                csv::write(&mut out, sheet::row(&link).iter().map(String::as_str));
            }
            let next = page.next_cursor.map(|at| (PageOf { limit: Some(PAGE_MAX), cursor: Some(at) }, false));
            Some((Ok(Frame::data(Bytes::from(out))), next))
        }
    });
    let mut response = http::Response::new(Body::stream(StreamBody::new(pages)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"links.csv\""));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `GET /v1/tags`.
pub(super) async fn tags(context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let workspace = context.require(super::READERS)?.workspace;
    let data = management.read(move |books| books.link_tags(workspace)).await?;
    super::page_of_all(&context, data)
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
