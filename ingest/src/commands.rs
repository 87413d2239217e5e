//! Commands: the management writes of the API. Each is checked here, journaled as a fact, and answered once
//! the books have applied it, so a caller reads its own writes.

use std::sync::Arc;

use weir_edge::route::Router;

mod handles;
pub mod new_ids;
mod once;

pub mod destination;
pub mod link_spec;
mod links;
pub mod slug;

pub mod keys;
mod workspaces;

mod endpoints;

mod outbound;
mod postback_tokens;
mod sites;

mod alerts;
mod saved_queries;
mod shares;

mod blocklist;
mod clicks;
mod commissions;
mod fx;
mod partners;
mod payouts;
mod programs;
mod sign_up;

pub mod claim;
mod conversions;
mod customers;
mod import;

pub use claim::{Claims, CountClicks, FindClick};
pub use handles::{Commands, not_recorded, off_the_sockets};
pub use new_ids::NewIds;

/// The commands' routes on the admin listener.
pub fn routes(commands: &Arc<Commands>) -> Router {
    links::routes(commands)
        .merge(keys::routes(commands))
        .merge(workspaces::routes(commands))
        .merge(endpoints::routes(commands))
        .merge(outbound::routes(commands))
        .merge(postback_tokens::routes(commands))
        .merge(sites::routes(commands))
        .merge(alerts::routes(commands))
        .merge(saved_queries::routes(commands))
        .merge(shares::routes(commands))
        .merge(blocklist::routes(commands))
        .merge(fx::routes(commands))
        .merge(clicks::routes(commands))
        .merge(programs::routes(commands))
        .merge(partners::routes(commands))
        .merge(sign_up::routes(commands))
        .merge(commissions::routes(commands))
        .merge(payouts::routes(commands))
        .merge(conversions::routes(commands))
        .merge(customers::routes(commands))
}
