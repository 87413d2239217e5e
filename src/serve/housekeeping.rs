//! What has to be done now and then: finding clicks that conversions claimed before they could be found, and
//! deleting old traffic.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use weir_dashboard::status::Status;
use weir_engine::journal;
use weir_engine::links::allocation::reallocate;
use weir_schemas::fact::{Actor, ClickFacts, Fact, Recorded};
use weir_schemas::ids::{ClickId, CustomerId, WorkspaceId};
use weir_schemas::time::Timestamp;

use super::Parts;
use crate::config::Config;
use crate::engine::{Engine, journal_folder};

/// In the data folder: when keys were last used.
pub(super) const KEY_USES: &str = "key-uses.json";
/// How late a commission may be approved where nothing else happens.
const TIME_PASSES_EVERY: Duration = Duration::from_secs(1);
const RESOLVE_EVERY: Duration = Duration::from_secs(2);
/// Claims looked at in one round.
const RESOLVE_MAX: u32 = 200;
/// Between looks at the parts for the status page, and looks between saves.
const OBSERVE_EVERY: Duration = Duration::from_secs(5);
const SAVE_AFTER: u32 = 6;
const KEY_USES_EVERY: Duration = Duration::from_secs(30);
const RETENTION_EVERY: Duration = Duration::from_secs(600);

pub(super) fn start(
    config: &Config,
    engine: &Arc<Engine>,
    parts: &Arc<Parts>,
    runtime: &tokio::runtime::Handle,
) {
    runtime.spawn(follow_results(config.bandit_every, Arc::clone(engine), Arc::clone(parts)));
    runtime.spawn(watch_status(Arc::clone(&parts.status)));
    runtime.spawn(keep_key_uses(Arc::clone(engine)));
    runtime.spawn(erase_customers(Arc::clone(engine), Arc::clone(parts)));
    runtime.spawn(resolve_clicks(Arc::clone(engine), Arc::clone(parts)));
    runtime.spawn(let_time_pass(Arc::clone(engine)));
    runtime.spawn(keep_retention(config.traffic_retention, Arc::clone(engine), Arc::clone(parts)));
}

/// Decides anew how visits are split over the variants of links with `allocation: "bandit"`.
async fn follow_results(every: Duration, engine: Arc<Engine>, parts: Arc<Parts>) {
    let mut every = tokio::time::interval(every);
    loop {
        every.tick().await;
        let Ok(client) = parts.warehouse.client() else { continue };
        let (allocations, as_of) = (engine.books.links().allocations(), parts.warehouse.stored().get());
        let at = Timestamp::now();
        let decisions = match reallocate(allocations, &client, at, as_of).await {
            Ok(done) => done.decisions,
            Err(error) => {
                metrics::counter!("weir_allocation_failures_total").increment(1);
                tracing::warn!(%error, "variants keep their shares: results could not be read");
                continue;
            }
        };
        for (workspace, link, decision) in decisions {
            let fact = Fact::SplitDecided { link, decision };
            let recorded = Recorded { at, workspace, actor: Actor::System, request: None, fact };
            if let Err(error) = engine.books.submit(recorded).await {
                tracing::warn!(%error, "a decision on a split holds and is not in the log");
            }
        }
    }
}

async fn watch_status(status: Arc<Status>) {
    let mut every = tokio::time::interval(OBSERVE_EVERY);
    let mut looks = 0_u32;
    loop {
        every.tick().await;
        status.observe(Timestamp::now());
        looks += 1;
        if looks.is_multiple_of(SAVE_AFTER) {
            let saved = status.history.lock().unwrap_or_else(PoisonError::into_inner).save();
            if let Err(error) = saved {
                tracing::warn!(%error, "the status history cannot be saved");
            }
        }
    }
}

async fn keep_key_uses(engine: Arc<Engine>) {
    let mut every = tokio::time::interval(KEY_USES_EVERY);
    loop {
        every.tick().await;
        save_key_uses(&engine);
    }
}

/// Also to be called in the end: a stop forgets nothing.
pub(super) fn save_key_uses(engine: &Engine) {
    if let Err(error) = engine.books.keys().uses().save(&engine.data.join(KEY_USES)) {
        tracing::warn!(%error, "when keys were last used cannot be saved");
    }
}

async fn resolve_clicks(engine: Arc<Engine>, parts: Arc<Parts>) {
    let mut every = tokio::time::interval(RESOLVE_EVERY);
    let mut after = None;
    loop {
        every.tick().await;
        let open = engine.books.read_async(move |reads| reads.unresolved_clicks(after, RESOLVE_MAX)).await;
        let Ok(open) = open else { continue };
        // The next round goes on behind these, and after the last begins anew.
        after = open.last().copied().filter(|_| open.len() == RESOLVE_MAX as usize);
        for (workspace, id) in open {
            if let Some(click) = find(&engine, &parts, workspace, id).await {
                let fact = Fact::ClickResolved { click };
                let at = Timestamp::now();
                let recorded = Recorded { at, workspace, actor: Actor::System, request: None, fact };
                if let Err(error) = engine.books.submit(recorded).await {
                    tracing::warn!(%error, "a found click could not be recorded; it is tried again");
                }
            }
        }
    }
}

/// Where a commission is beyond its hold and no other fact has come along, says that time has passed.
async fn let_time_pass(engine: Arc<Engine>) {
    let mut every = tokio::time::interval(TIME_PASSES_EVERY);
    loop {
        every.tick().await;
        let now = Timestamp::now();
        let due = engine.books.read_async(move |reads| reads.workspaces_with_due(now)).await;
        for workspace in due.unwrap_or_default() {
            let fact = Fact::TimePassed {};
            let recorded = Recorded { at: now, workspace, actor: Actor::System, request: None, fact };
            if let Err(error) = engine.books.submit(recorded).await {
                tracing::warn!(%error, "commissions wait for their approval; it is tried again");
            }
        }
    }
}

/// Rewrites what the other stores have of erased customers. How far it is stands in a file, written after the work: a
/// crash in between does it again.
async fn erase_customers(engine: Arc<Engine>, parts: Arc<Parts>) {
    let file = engine.data.join("erased.seq");
    let read = std::fs::read_to_string(&file).ok();
    let mut done: u64 = read.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let mut every = tokio::time::interval(RESOLVE_EVERY);
    loop {
        every.tick().await;
        let asked = engine.books.read_async(move |reads| reads.erasures(done, RESOLVE_MAX)).await;
        let Ok(mut asked) = asked else { continue };
        // Rows that are still on their way would not be rewritten.
        let stored = parts.warehouse.stored().get();
        asked.retain(|erasure| erasure.seq <= stored);
        let (Some(last), Ok(client)) = (asked.last().copied(), parts.warehouse.client()) else { continue };
        let customers: Vec<CustomerId> = asked.iter().map(|erasure| erasure.customer).collect();
        let outbound = parts.outbound.clone();
        let forgotten = customers.iter().try_for_each(|customer| outbound.forget(*customer));
        let erased = match forgotten {
            Ok(()) => {
                weir_engine::warehouse::erase(&client, &customers).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match erased
            .and_then(|()| std::fs::write(&file, last.seq.to_string()).map_err(|error| error.to_string()))
        {
            Ok(()) => {
                done = last.seq;
                metrics::counter!("weir_customers_erased_total").increment(customers.len() as u64);
                tracing::info!(customers = customers.len(), "erased customers left the warehouse");
            }
            Err(error) => {
                tracing::warn!(error, "erased customers are still in the warehouse; it is tried again")
            }
        }
    }
}

async fn find(engine: &Engine, parts: &Parts, workspace: WorkspaceId, id: ClickId) -> Option<ClickFacts> {
    if let Some(found) = engine.recent.find(workspace, id) {
        return Some(found);
    }
    parts.warehouse.find_click(workspace, id).await.ok().flatten()
}

async fn keep_retention(retention: Duration, engine: Arc<Engine>, parts: Arc<Parts>) {
    let mut every = tokio::time::interval(RETENTION_EVERY);
    loop {
        every.tick().await;
        let followers = parts.warehouse.stored_durably().min(engine.books.applied().get());
        let passed = followers.min(engine.caps.saved().get());
        let folder = journal_folder(engine.data.path());
        let delete = move || journal::delete_expired(&folder, passed, retention, SystemTime::now());
        match tokio::task::spawn_blocking(delete).await {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(segments)) => {
                tracing::info!(segments, "old traffic left the journal; the warehouse has it")
            }
            Ok(Err(error)) => tracing::warn!(%error, "old traffic cannot be deleted"),
        }
    }
}
