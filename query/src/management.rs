//! What operators read of the books: links, conversions, customers, programs, partners, keys, sites and webhook
//! endpoints. Lists are pages, the newest first: `?limit&cursor` → `{"data": […], "next_cursor": …}`.

use std::sync::Arc;

use http::{Method, StatusCode};
use weir_edge::problem;
use weir_edge::request::Context;
use weir_edge::response::{Response, json};
use weir_edge::route::Router;
use weir_engine::books::{Books, PAGE_MAX, Page, PageOf, ReadError, Reads};
use weir_engine::enrich::Geo;
use weir_engine::keyring::Keyring;
use weir_engine::outbound::OutboundHandle;
use weir_schemas::fact::Role;
use weir_schemas::ids::PartnerId;
use weir_schemas::problem::Problem;

use crate::analytics::Analytics;

mod accounts;
mod alerts;
mod allocation;
mod blocklist;
mod commissions;
mod conversions;
mod customers;
mod endpoints;
mod fx;
mod keys;
mod leaderboard;
mod links;
mod milestones;
mod outbound;
mod partners;
mod payouts;
mod postback_tokens;
mod preview;
mod programs;
mod qr;
mod saved_queries;
mod signals;
mod sites;
mod statements;
mod uplift;
mod wallets;
mod workspaces;

/// Who may read what belongs to the whole workspace.
const READERS: &[Role] = &[Role::Admin, Role::Editor, Role::Viewer];

/// What management reads need.
#[derive(Debug)]
pub struct Management {
    books: Books,
    keyring: Arc<Keyring>,
    analytics: Analytics,
    public_url: String,
    outbound: Option<OutboundHandle>,
    geo: Option<Arc<Geo>>,
}

impl Management {
    /// `public_url` is what short URLs begin with, without a slash at its end.
    pub fn new(books: Books, keyring: Arc<Keyring>, analytics: Analytics, public_url: String) -> Self {
        Self { books, keyring, analytics, public_url, outbound: None, geo: None }
    }

    /// With places, for the visitors of previews.
    pub fn with_geo(mut self, geo: Option<Arc<Geo>>) -> Self {
        self.geo = geo;
        self
    }

    /// With the sender of outbound webhooks, which keeps their log.
    pub fn with_outbound(mut self, outbound: OutboundHandle) -> Self {
        self.outbound = Some(outbound);
        self
    }

    /// Reads the books off the threads that serve sockets.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reads) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.books.read_async(read).await.map_err(|error| match error {
            ReadError::Cursor => Problem::field("cursor", error.to_string()),
            ReadError::Store(error) => {
                tracing::error!(%error, "the books could not be read");
                problem::unavailable("storage_unavailable", "The books could not be read.")
            }
        })
    }
}

/// Every route of this part.
pub fn routes(management: Management) -> Router {
    let management = Arc::new(management);
    let route = |router: Router, path: &str, read: Read| {
        let management = Arc::clone(&management);
        router.route(Method::GET, path, move |context| read(context, Arc::clone(&management)))
    };
    let table: &[(&str, Read)] = &[
        ("/v1/links", |context, of| Box::pin(links::list(context, of))),
        ("/v1/links/export", |context, of| Box::pin(links::export(context, of))),
        ("/v1/tags", |context, of| Box::pin(links::tags(context, of))),
        ("/v1/links/{id}", |context, of| Box::pin(links::one(context, of))),
        ("/v1/links/{id}/allocation", |context, of| Box::pin(allocation::one(context, of))),
        ("/v1/links/{id}/signals", |context, of| Box::pin(signals::of_link(context, of))),
        ("/v1/links/{id}/qr", |context, of| Box::pin(qr::code(context, of))),
        ("/v1/blocklist", |context, of| Box::pin(blocklist::list(context, of))),
        ("/v1/conversions", |context, of| Box::pin(conversions::list(context, of))),
        ("/v1/conversions/{id}", |context, of| Box::pin(conversions::one(context, of))),
        ("/v1/conversions/{id}/trace", |context, of| Box::pin(conversions::trace(context, of))),
        ("/v1/customers", |context, of| Box::pin(customers::list(context, of))),
        ("/v1/customers/{id}", |context, of| Box::pin(customers::one(context, of))),
        ("/v1/customers/{id}/wallet", |context, of| Box::pin(wallets::one(context, of))),
        ("/v1/customers/{id}/wallet/history", |context, of| Box::pin(wallets::history(context, of))),
        ("/v1/programs", |context, of| Box::pin(programs::list(context, of))),
        ("/v1/programs/{id}", |context, of| Box::pin(programs::one(context, of))),
        ("/v1/programs/{id}/versions", |context, of| Box::pin(programs::versions(context, of))),
        ("/v1/programs/{id}/uplift", |context, of| Box::pin(uplift::one(context, of))),
        ("/v1/partners", |context, of| Box::pin(partners::list(context, of))),
        ("/v1/partners/{id}", |context, of| Box::pin(partners::one(context, of))),
        ("/v1/commissions", |context, of| Box::pin(commissions::list(context, of))),
        ("/v1/commissions/{id}", |context, of| Box::pin(commissions::one(context, of))),
        ("/v1/payouts", |context, of| Box::pin(payouts::list(context, of))),
        ("/v1/payouts/{id}", |context, of| Box::pin(payouts::one(context, of))),
        ("/v1/payouts/{id}/csv", |context, of| Box::pin(payouts::csv(context, of))),
        ("/v1/partners/{id}/stats", |context, of| Box::pin(leaderboard::stats(context, of))),
        ("/v1/partners/{id}/tiers", |context, of| Box::pin(leaderboard::tiers(context, of))),
        ("/v1/partners/{id}/statements", |context, of| Box::pin(statements::list(context, of))),
        ("/v1/partners/{id}/statements/{month}", |context, of| Box::pin(statements::one(context, of))),
        ("/v1/leaderboard", |context, of| Box::pin(leaderboard::list(context, of))),
        ("/v1/milestones", |context, of| Box::pin(milestones::list(context, of))),
        ("/v1/milestones/reached", |context, of| Box::pin(milestones::reached(context, of))),
        ("/v1/accounts", |context, of| Box::pin(accounts::list(context, of))),
        ("/v1/accounts/{id}", |context, of| Box::pin(accounts::one(context, of))),
        ("/v1/accounts/{id}/entries", |context, of| Box::pin(accounts::entries(context, of))),
        ("/v1/workspace", |context, of| Box::pin(workspaces::own(context, of))),
        ("/v1/workspaces", |context, of| Box::pin(workspaces::list(context, of))),
        ("/v1/admin/audit", |context, of| Box::pin(workspaces::audit(context, of))),
        ("/v1/fx-rates", |context, of| Box::pin(fx::list(context, of))),
        ("/v1/keys", |context, of| Box::pin(keys::list(context, of))),
        ("/v1/outbound-endpoints", |context, of| Box::pin(outbound::list(context, of))),
        ("/v1/outbound-endpoints/{id}", |context, of| Box::pin(outbound::one(context, of))),
        ("/v1/outbound-endpoints/{id}/deliveries", |context, of| Box::pin(outbound::deliveries(context, of))),
        ("/v1/fulfilments", |context, of| Box::pin(outbound::fulfilments(context, of))),
        ("/v1/postback-tokens", |context, of| Box::pin(postback_tokens::list(context, of))),
        ("/v1/alerts", |context, of| Box::pin(alerts::list(context, of))),
        ("/v1/alerts/{id}", |context, of| Box::pin(alerts::one(context, of))),
        ("/v1/saved-queries", |context, of| Box::pin(saved_queries::list(context, of))),
        ("/v1/saved-queries/{id}", |context, of| Box::pin(saved_queries::one(context, of))),
        ("/v1/shares", |context, of| Box::pin(saved_queries::shares(context, of))),
        ("/v1/sites", |context, of| Box::pin(sites::list(context, of))),
        ("/v1/sites/{id}", |context, of| Box::pin(sites::one(context, of))),
        ("/v1/webhook-endpoints", |context, of| Box::pin(endpoints::list(context, of))),
        ("/v1/webhook-endpoints/{id}", |context, of| Box::pin(endpoints::one(context, of))),
        ("/v1/webhook-endpoints/{id}/deliveries", |context, of| Box::pin(endpoints::deliveries(context, of))),
    ];
    let router = table.iter().fold(Router::new(), |router, (path, read)| route(router, path, *read));
    // A question with a body, which records nothing.
    let management = Arc::clone(&management);
    router.route(Method::POST, "/v1/links/{id}/preview", move |context| {
        preview::preview(context, Arc::clone(&management))
    })
}

type Answer = std::pin::Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;
type Read = fn(Context, Arc<Management>) -> Answer;

/// Which page is asked for.
fn page_of(context: &Context) -> Result<PageOf, Problem> {
    let limit = match context.query_value("limit") {
        None => None,
        Some(text) => match text.parse::<u32>() {
            Ok(limit) if (1..=PAGE_MAX).contains(&limit) => Some(limit),
            _ => return Err(Problem::field("limit", format!("must be a number from 1 to {PAGE_MAX}"))),
        },
    };
    Ok(PageOf { limit, cursor: value(context, "cursor") })
}

/// The page of a list that is short enough to be read whole: all of it where no limit is given. A cursor says behind
/// how many items it goes on.
pub fn page_of_all<T: serde::Serialize>(context: &Context, all: Vec<T>) -> Result<Response, Problem> {
    let PageOf { limit, cursor } = page_of(context)?;
    let behind = |cursor: &str| cursor.strip_prefix('n')?.parse::<usize>().ok();
    let from = match cursor.as_deref().map(behind) {
        None => 0,
        Some(Some(from)) => from,
        Some(None) => return Err(Problem::field("cursor", ReadError::Cursor.to_string())),
    };
    let limit = limit.map_or(all.len(), |limit| limit as usize);
    let upto = from.saturating_add(limit);
    let next_cursor = (upto < all.len()).then(|| format!("n{upto}"));
    Ok(ok(&Page { data: all.into_iter().skip(from).take(limit).collect(), next_cursor }))
}

/// A parameter of the query string; an empty one is as good as none.
fn value(context: &Context, name: &str) -> Option<String> {
    context.query_value(name).filter(|text| !text.is_empty()).map(|text| text.into_owned())
}

/// A parameter that is an id.
fn id_of<T: std::str::FromStr<Err: std::fmt::Display>>(
    context: &Context,
    name: &str,
) -> Result<Option<T>, Problem> {
    let text = value(context, name);
    text.map(|text| text.parse().map_err(|error| Problem::field(name, format!("{error}")))).transpose()
}

/// The partner asked for by `partner_id`; a partner's key asks for its own whatever it says, or is refused.
fn own_partner(context: &Context, own: Option<PartnerId>) -> Result<Option<PartnerId>, Problem> {
    let asked = id_of::<PartnerId>(context, "partner_id")?;
    match (own, asked) {
        (Some(own), Some(asked)) if own != asked => {
            Err(problem::forbidden("This key sees its own partner's numbers only."))
        }
        (own, asked) => Ok(own.or(asked)),
    }
}

fn ok(value: &impl serde::Serialize) -> Response {
    json(StatusCode::OK, value)
}

/// The thing asked for, or 404.
fn found<T>(thing: Option<T>, what: &str) -> Result<T, Problem> {
    thing.ok_or_else(|| Problem::not_found(what))
}
