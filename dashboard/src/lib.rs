//! The live edge: WebSockets, sessions, the embedded web app, the status page.

#![forbid(unsafe_code)]

use std::sync::Arc;

use http::Method;
use weir_edge::route::Router;
use weir_engine::books::Books;
use weir_engine::keys::KeyTable;
use weir_engine::live::Live;

pub mod live;
mod pages;
pub mod session;
pub mod status;
pub mod web_app;

use live::{Connections, Tickets};
use session::Sessions;

/// What this edge needs of the engine.
#[derive(Debug)]
pub struct Handles {
    /// The live follower.
    pub live: Live,
    /// Workspaces and keys by name.
    pub books: Books,
    /// Who a key is.
    pub keys: KeyTable,
    /// Sessions of people at the dashboard.
    pub sessions: Arc<Sessions>,
    /// Single-use tickets for WebSockets.
    pub tickets: Tickets,
    /// The connections' bounds and counters.
    pub connections: Arc<Connections>,
    /// Where people open the dashboard.
    pub url: String,
}

/// The routes of the admin listener that this edge serves. The app answers every other path.
pub fn routes(handles: Handles) -> Router {
    let handles = Arc::new(handles);
    let with = |handles: &Arc<Handles>| Arc::clone(handles);
    let (sign_in, begin, whose, end) = (with(&handles), with(&handles), with(&handles), with(&handles));
    let (ticket, connect, link) = (with(&handles), with(&handles), with(&handles));
    Router::new()
        .route(Method::GET, "/sign-in", move |context| pages::sign_in(Arc::clone(&sign_in), context))
        .route(Method::POST, "/v1/session", move |context| pages::begin(Arc::clone(&begin), context))
        .route(Method::GET, "/v1/session", move |context| pages::whose(Arc::clone(&whose), context))
        .route(Method::DELETE, "/v1/session", move |context| pages::end(Arc::clone(&end), context))
        .route(Method::POST, "/v1/keys/{id}/sign-in-links", move |context| {
            pages::sign_in_link(Arc::clone(&link), context)
        })
        .route(Method::POST, "/v1/live/tickets", move |context| live::ticket(Arc::clone(&ticket), context))
        .route(Method::GET, "/v1/live", move |context| live::connect(Arc::clone(&connect), context))
        .fallback(pages::app)
}
