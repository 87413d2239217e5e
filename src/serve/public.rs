//! The public listener: one thread per core, each with its own runtime, socket, lane and scratch memory.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::LocalRuntime;
use tokio::sync::watch;
use weir_edge::limit::{DEFAULT_PER_SECOND, Limiter};
use weir_edge::listener::{self, Limits, Listener};
use weir_edge::route::Router;
use weir_edge::service::Service;
use weir_engine::recorder::Lane;
use weir_ingest::collect::{Collect, script};
use weir_ingest::commands::{Claims, FindClick};
use weir_ingest::hooks::{self, Hooks};
use weir_ingest::postback::{self, Postbacks};
use weir_ingest::redirect::{Locks, Redirect, RedirectConfig, Repeats, pages};

use super::{Parts, operations};
use crate::config::{ClickDurability, Config};
use crate::engine::{Engine, Failure};
use weir_schemas::ids::WorkspaceId;

/// What one webhook endpoint may send per second: far more than any provider does, and what one machine can take.
const HOOKS_PER_SECOND: NonZeroU32 = NonZeroU32::new(50_000).expect("not zero");

/// Clicks are found among the recent ones, else in the warehouse.
pub(super) fn claims(engine: &Engine, parts: &Parts) -> Claims {
    let warehouse = parts.warehouse.clone();
    let find: FindClick = Arc::new(move |workspace, id| {
        let warehouse = warehouse.clone();
        Box::pin(async move {
            warehouse.find_click(workspace, id).await.unwrap_or_else(|error| {
                metrics::counter!("weir_clicks_lookup_failures_total").increment(1);
                tracing::debug!(%error, "a click could not be looked up now");
                None
            })
        })
    });
    Claims::new(&engine.keyring.token_keys(), engine.recent.clone(), find)
}

pub(super) fn start(
    config: &Config,
    engine: &Arc<Engine>,
    parts: &Arc<Parts>,
    listeners: Vec<Listener>,
    lanes: Vec<Lane>,
    stopped: watch::Receiver<bool>,
) -> Result<Vec<JoinHandle<()>>, Failure> {
    let hooks = Arc::new(Hooks {
        books: engine.books.clone(),
        endpoints: engine.books.endpoints().clone(),
        keyring: Arc::clone(&engine.keyring),
        ids: Arc::clone(&parts.ids),
        claims: Arc::new(claims(engine, parts)),
        limiter: Arc::new(Limiter::new(HOOKS_PER_SECOND)),
    });
    let postbacks = Arc::new(Postbacks {
        books: engine.books.clone(),
        ids: Arc::clone(&parts.ids),
        claims: Arc::clone(&hooks.claims),
        limiter: Arc::new(Limiter::new(HOOKS_PER_SECOND)),
    });
    let router: Router = pages()
        .merge(script())
        .merge(hooks::routes(&hooks))
        .merge(postback::routes(&postbacks))
        .merge(operations::probes(parts))
        .merge(weir_dashboard::status::routes(&parts.status));
    let others = Service {
        name: "public",
        router,
        authenticator: None,
        limiter: None,
        proxies: config.trusted_proxies.clone(),
    };
    let repeats = Repeats::default();
    repeats.restore(&engine.recorder.traffic(), engine.recorder.durable().get(), engine.books.links())?;
    let redirect = Arc::new(RedirectConfig {
        links: engine.books.links().clone(),
        caps: engine.caps.clone(),
        locks: Locks::default(),
        repeats,
        others: Arc::new(others),
        token_keys: engine.keyring.token_keys(),
        visitor_key: engine.keyring.visitor_key(),
        salt: Arc::clone(&engine.salt),
        node: config.node,
        workspace: WorkspaceId::FIRST,
        cookies: config.privacy_cookies,
        secure: parts.addresses.public_url.starts_with("https://"),
        proxies: config.trusted_proxies.clone(),
        geo: engine.geo.clone(),
        collect: Collect::new(engine.books.sites().clone(), DEFAULT_PER_SECOND),
        abuse: config.abuse_contact.clone(),
        durable: (config.durability_clicks == ClickDurability::Power).then(|| engine.recorder.clone()),
    });
    // Each accept loop bears its share.
    let connections = config.public_max_connections.div_ceil(listeners.len());
    let mut threads = Vec::new();
    for (index, (listener, lane)) in listeners.into_iter().zip(lanes).enumerate() {
        let (redirect, stopped) = (Arc::clone(&redirect), stopped.clone());
        let limits = Limits::new("public", connections);
        let thread = std::thread::Builder::new().name(format!("weir-edge-{index}")).spawn(move || {
            let redirect = Redirect::new(redirect, lane);
            let serve = listener::serve(
                listener,
                limits,
                Some(redirect.clone()),
                move |request, peer| {
                    let redirect = redirect.clone();
                    async move { redirect.answer(request, peer).await }
                },
                stopped,
            );
            run_on_this_thread(serve);
        })?;
        threads.push(thread);
    }
    Ok(threads)
}

/// A runtime of this thread's own: connections never move.
pub(super) fn run_on_this_thread(serve: impl Future<Output = std::io::Result<()>>) {
    let runtime = LocalRuntime::new().expect("a runtime needs no more than a few descriptors");
    if let Err(error) = runtime.block_on(serve) {
        tracing::error!(%error, "a listener failed");
    }
}
