//! `GET /v1/admin/health`: how far every follower is, what waits, what was dropped or refused and why, what the
//! machine has left.

use http::StatusCode;
use serde_json::{Value, json};
use weir_edge::request::Context;
use weir_edge::response::json as json_response;
use weir_engine::recorder::StorageHealth;
use weir_engine::warehouse::WarehouseState;
use weir_schemas::time::Timestamp;

use super::{Answer, require_operator};
use crate::engine::{Engine, journal_folder};
use crate::serve::Parts;
use crate::serve::operations::export;

/// What a counter's name ends with when it counts what was lost, refused or went wrong.
const TROUBLES: &[&str] = &[
    "_dropped_total",
    "_refused_total",
    "_failures_total",
    "_errors_total",
    "_closed_total",
    "_damage_total",
    "_undecodable_total",
    "_unwatched_total",
    "_rate_limited_total",
    "_not_recorded_total",
    "_timed_out_total",
    "_dead_lettered_total",
    "_unsynced_total",
    "_restarts_total",
    "_disabled_total",
    "_postponed_total",
];

pub(super) fn read(context: &Context, engine: &Engine, parts: &Parts) -> Answer {
    require_operator(context)?;
    export(parts);
    let metrics = parts.metrics.render();
    let durable = parts.recorder.durable().get();
    let follower = |name: &str, at: u64, state: &str, detail: Option<&str>| json!({"name": name, "sequence": at, "behind": durable.saturating_sub(at), "state": state, "detail": detail});
    let (storing, why) = match parts.warehouse.state() {
        WarehouseState::Starting => ("starting", None),
        WarehouseState::Storing => ("storing", None),
        WarehouseState::Away(why) => ("away", Some(why)),
    };
    let journal = match parts.recorder.health() {
        StorageHealth::Writing => "writing",
        StorageHealth::Full => "disk full",
        StorageHealth::Failed => "failed",
    };
    let applying = if engine.books.failing() { "failing" } else { "applying" };
    let now = Timestamp::now();
    let minute = parts.status.redirects.last_minute(now);
    let clicks = |name: &str| sample(&metrics, &format!("weir_clicks_{name}"));
    let body = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": parts.started_at,
        "now": now,
        "journal": {"state": journal, "sequence": durable, "bytes": folder_bytes(&journal_folder(engine.data.path()))},
        "followers": [
            follower("books", engine.books.applied().get(), applying, None),
            follower("warehouse", parts.warehouse.stored().get(), storing, why.as_deref()),
            follower("live", parts.live.seen(), "following", None),
        ],
        "clicks": {
            "answered": clicks("answered_total"), "accepted": clicks("accepted_total"),
            "stored": clicks("stored_total"), "waiting": clicks("waiting"),
            "dead_lettered": clicks("dead_lettered_total"), "dropped": clicks("dropped_total"),
        },
        "last_minute": {
            "redirects": minute.hits,
            "latency_p50_us": minute.p50_us,
            "latency_p99_us": minute.p99_us,
        },
        "live": {"clients": sample(&metrics, "weir_live_clients"), "topics": sample(&metrics, "weir_live_topics")},
        "privacy": {
            "cookies": parts.privacy.cookies,
            "journal_hours": parts.privacy.journal.as_secs() / 3_600,
        },
        "troubles": troubles(&metrics),
        "machine": machine(engine),
    });
    Ok(json_response(StatusCode::OK, &body))
}

/// The sum of a metric's samples over its labels.
fn sample(metrics: &str, name: &str) -> u64 {
    samples(metrics).filter(|(found, _, _)| *found == name).map(|(_, _, value)| value).sum()
}

/// Every counter of something that went wrong, above zero: name, labels, how often.
fn troubles(metrics: &str) -> Vec<Value> {
    samples(metrics)
        .filter(|(name, _, value)| *value > 0 && TROUBLES.iter().any(|end| name.ends_with(end)))
        .map(|(name, labels, value)| json!({"counter": name, "reason": labels, "count": value}))
        .collect()
}

/// The samples of a rendering in Prometheus' text format: name, the labels' values, value.
fn samples(metrics: &str) -> impl Iterator<Item = (&str, String, u64)> {
    metrics.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let values: Vec<&str> =
            labels.trim_end_matches('}').split(',').filter_map(|pair| pair.split('"').nth(1)).collect();
        Some((name, values.join(", "), value.parse::<f64>().ok()? as u64))
    })
}

fn folder_bytes(folder: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| Some(file.metadata().ok()?.len())).sum()
}

fn machine(engine: &Engine) -> Value {
    let disk = rustix::fs::statvfs(engine.data.path()).ok();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    json!({
        "resident_bytes": resident.map(|kib| kib * 1_024),
        "disk_free_bytes": disk.as_ref().map(|disk| disk.f_bavail * disk.f_frsize),
        "disk_bytes": disk.as_ref().map(|disk| disk.f_blocks * disk.f_frsize),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RENDERED: &str = "# TYPE weir_clicks_dropped_total counter\n\
        weir_clicks_dropped_total{reason=\"lane_full\"} 3\n\
        weir_clicks_dropped_total{reason=\"unreadable\"} 1\n\
        weir_hooks_refused_total{reason=\"signature\",provider=\"stripe\"} 2\n\
        weir_hooks_received_total{provider=\"stripe\"} 9\n\
        weir_keyring_errors_total 0\n\
        weir_live_clients 4\n";

    #[test]
    fn counters_are_read_as_they_are_exported() {
        assert_eq!(sample(RENDERED, "weir_clicks_dropped_total"), 4);
        assert_eq!(sample(RENDERED, "weir_live_clients"), 4);
        assert_eq!(sample(RENDERED, "weir_live"), 0);
        let told = troubles(RENDERED);
        assert_eq!(told.len(), 3, "what counts no trouble, or none yet, is left out: {told:?}");
        assert_eq!(
            told[2],
            json!({"counter": "weir_hooks_refused_total", "reason": "signature, stripe", "count": 2})
        );
    }
}
