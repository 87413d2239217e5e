//! The admin listener: API, live, dashboard, on a runtime of its own.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;
use weir_dashboard::live::{Connections, Tickets};
use weir_edge::auth::{Authenticator, SessionCheck};
use weir_edge::limit::Limiter;
use weir_edge::listener::{self, Limits, Listener};
use weir_edge::plain::AllToHyper;
use weir_edge::service::Service;
use weir_ingest::commands::{self, Commands, CountClicks};
use weir_query::analytics::Analytics;
use weir_query::management::Management;
use weir_schemas::time::Timestamp;

use super::{Parts, openapi, operations, operator, public};
use crate::config::Config;
use crate::engine::{Engine, Failure};

/// What one key or address may ask per second: a shop's burst of conversions, twice over.
const CALLS_PER_SECOND: NonZeroU32 = NonZeroU32::new(4_000).expect("not zero");
/// How long watchers have to take the word that the engine ends: the close frame and its answer.
const GOODBYE: std::time::Duration = std::time::Duration::from_secs(3);
/// Open connections: watchers and callers.
const ADMIN_CONNECTIONS_MAX: usize = weir_dashboard::live::CONNECTIONS_MAX + 2_000;

pub(super) fn start(
    config: &Config,
    engine: &Arc<Engine>,
    parts: &Arc<Parts>,
    listener: Listener,
    stopped: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, Failure> {
    let analytics = Analytics::new(engine.recorder.clone(), parts.warehouse.clone())
        .with_rates(engine.books.fx().clone());
    let commands = Arc::new(
        Commands::new(
            engine.books.clone(),
            Arc::clone(&engine.keyring),
            Arc::clone(&parts.ids),
            Arc::new(public::claims(engine, parts)),
            count_clicks(analytics.clone()),
            parts.addresses.public_url.clone(),
        )
        .with_outbound(parts.outbound.clone(), config.outbound_private)
        .with_admin_url(parts.addresses.admin_url.clone()),
    );
    let management = Management::new(
        engine.books.clone(),
        Arc::clone(&engine.keyring),
        analytics.clone(),
        parts.addresses.public_url.clone(),
    )
    .with_outbound(parts.outbound.clone())
    .with_geo(engine.geo.clone());
    let connections = Arc::new(Connections::default());
    let dashboard = weir_dashboard::Handles {
        live: parts.live.clone(),
        books: engine.books.clone(),
        keys: engine.books.keys().clone(),
        sessions: Arc::clone(&parts.sessions),
        tickets: Tickets::default(),
        connections: Arc::clone(&connections),
        url: parts.addresses.admin_url.clone(),
    };
    let sessions: SessionCheck = {
        let sessions = Arc::clone(&parts.sessions);
        Arc::new(move |cookie| sessions.check(cookie, Timestamp::now()))
    };
    let router = commands::routes(&commands)
        .merge(weir_query::reports::routes(&analytics))
        .merge(weir_query::export::routes(&analytics))
        .merge(weir_query::shared::routes(engine.books.clone(), &analytics))
        .merge(weir_query::analytics::routes(analytics))
        .merge(weir_query::management::routes(management))
        .merge(weir_dashboard::routes(dashboard))
        .merge(operations::probes(parts))
        .merge(operations::metrics(parts))
        .merge(operator::routes(engine, parts, &commands))
        .merge(openapi::route(&parts.addresses.public_url));
    // A route that the document does not state is a mistake of ours, found by every test that starts the engine.
    debug_assert_eq!(openapi::differences(&router), Vec::<String>::new());
    let router = router.with_parameters(openapi::parameters);
    let service = Arc::new(Service {
        name: "admin",
        router,
        authenticator: Some(Authenticator::new(engine.books.keys().clone(), Some(sessions))),
        limiter: Some(Arc::new(Limiter::new(CALLS_PER_SECOND))),
        proxies: config.trusted_proxies.clone(),
    });
    // Answers cost the warehouse something here, and no caller of an API closes one side only.
    let limits = Limits { half_close: false, ..Limits::new("admin", ADMIN_CONNECTIONS_MAX) };
    let thread = std::thread::Builder::new().name("weir-admin".to_owned()).spawn(move || {
        let answer = move |request, peer| {
            let service = Arc::clone(&service);
            async move { service.answer(request, peer).await }
        };
        public::run_on_this_thread(async {
            let served = listener::serve(listener, limits, None::<AllToHyper>, answer, stopped).await;
            connections.ended(GOODBYE).await;
            served
        });
    })?;
    Ok(thread)
}

fn count_clicks(analytics: Analytics) -> CountClicks {
    Arc::new(move |workspace, link| {
        let analytics = analytics.clone();
        Box::pin(async move {
            let clicks = analytics.link_clicks(workspace, &[link]).await?;
            Some(clicks.get(&link).copied().unwrap_or(0))
        })
    })
}
