//! Probes and metrics.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode};
use serde_json::json;
use weir_edge::response::{json as json_response, text, typed, with};
use weir_edge::route::Router;
use weir_engine::journal::{Family, JournalReader};
use weir_engine::recorder::StorageHealth;
use weir_engine::warehouse::{Warehouse, WarehouseState};
use weir_schemas::problem::Problem;

use super::Parts;
use crate::engine::{Engine, Failure, journal_folder};

/// `/healthz`: the process answers. `/readyz`: it can record; it tells how the parts are.
pub(super) fn probes(parts: &Arc<Parts>) -> Router {
    let parts = Arc::clone(parts);
    Router::new().route(Method::GET, "/healthz", async |_| Ok(text(StatusCode::OK, "ok\n"))).route(
        Method::GET,
        "/readyz",
        move |_| {
            let answer = readiness(&parts);
            async move { answer }
        },
    )
}

fn readiness(parts: &Parts) -> Result<weir_edge::response::Response, Problem> {
    let journal = match parts.recorder.health() {
        StorageHealth::Writing => "writing",
        StorageHealth::Full => "disk full",
        StorageHealth::Failed => "failed",
    };
    // The warehouse may be away for minutes: clicks and payments are recorded all the same.
    let warehouse = match parts.warehouse.state() {
        WarehouseState::Starting => "starting".to_owned(),
        WarehouseState::Storing => "storing".to_owned(),
        WarehouseState::Away(_) => "away".to_owned(),
    };
    let ready = parts.recorder.health() == StorageHealth::Writing;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let durable = parts.recorder.durable().get();
    let body = json!({
        "ready": ready,
        "journal": journal,
        "warehouse": warehouse,
        "durable": durable,
        "stored": parts.warehouse.stored().get(),
    });
    Ok(json_response(status, &body))
}

/// Clicks that an earlier run answered and this one has still to store: in the journal behind the warehouse's
/// watermark.
pub(super) fn backlog(engine: &Engine, warehouse: &Warehouse) -> Result<u64, Failure> {
    let (mut stored, durable) = (warehouse.stored().get(), engine.recorder.durable().get());
    let mut reader = JournalReader::open(&journal_folder(engine.data.path()), &[Family::Traffic], stored);
    let (mut clicks, mut entries) = (0, Vec::new());
    while stored < durable {
        entries.clear();
        stored = reader.read_batch(durable, 100_000, 64 << 20, &mut entries)?;
        clicks += entries.len() as u64;
    }
    // What was found in the lanes is in the journal by now, and so in this count.
    metrics::counter!("weir_clicks_answered_total").increment(clicks);
    Ok(clicks)
}

/// `/metrics`
pub(super) fn metrics(parts: &Arc<Parts>) -> Router {
    let parts = Arc::clone(parts);
    Router::new().route(Method::GET, "/metrics", move |_| {
        export(&parts);
        let body = parts.metrics.render();
        async move {
            let response = typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body);
            Ok(with(response, http::header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        }
    })
}

/// The conservation of clicks: `accepted = stored + waiting + dead_lettered` and `answered = accepted +
/// dropped`. Each is read from who counts it, the later stations first, so that a scrape under load never
/// shows more stored than accepted.
pub(super) fn export(parts: &Parts) {
    let stored = parts.warehouse.conservation();
    let recorded = parts.recorder.conservation();
    let accepted = recorded.accepted - recorded.recovered - recorded.refused + parts.backlog;
    let waiting = accepted.saturating_sub(stored.stored + stored.dead_lettered);
    metrics::counter!("weir_clicks_stored_total").absolute(stored.stored);
    metrics::counter!("weir_clicks_dead_lettered_total").absolute(stored.dead_lettered);
    metrics::counter!("weir_clicks_accepted_total").absolute(accepted);
    metrics::counter!("weir_clicks_dropped_total", "reason" => "unreadable").absolute(recorded.refused);
    metrics::gauge!("weir_clicks_waiting").set(waiting as f64);
    metrics::gauge!("weir_journal_durable_sequence").set(parts.recorder.durable().get() as f64);
    metrics::gauge!("weir_books_waiting_facts").set(parts.books.behind() as f64);
    metrics::gauge!("weir_warehouse_stored_sequence").set(parts.warehouse.stored().get() as f64);
    metrics::gauge!("weir_live_seen_sequence").set(parts.live.seen() as f64);
    let writing = parts.recorder.health() == StorageHealth::Writing;
    metrics::gauge!("weir_journal_writing").set(f64::from(u8::from(writing)));
    let storing = matches!(parts.warehouse.state(), WarehouseState::Storing | WarehouseState::Starting);
    metrics::gauge!("weir_warehouse_up").set(f64::from(u8::from(storing)));
}
