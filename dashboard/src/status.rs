//! The public status page: how the engine's parts are, and were over the last 30 days. It tells no numbers of
//! any tenant's business beyond the engine's own throughput and latency.

use std::sync::{Arc, Mutex, PoisonError};

use http::header::CACHE_CONTROL;
use http::{HeaderValue, Method, StatusCode};
use weir_edge::response::{json as json_response, typed, with};
use weir_edge::route::Router;
use weir_engine::recorder::{Recorder, StorageHealth};
use weir_engine::redirect_stats::RedirectStats;
use weir_engine::warehouse::{Warehouse, WarehouseState};
use weir_schemas::time::Timestamp;

mod history;
mod notices;
mod page;

pub use history::{Component, History};
pub use notices::{NewNotice, NewUpdate, Notice, Notices};

/// What the page looks at.
#[derive(Debug)]
pub struct Status {
    /// Whether facts can be recorded.
    pub recorder: Recorder,
    /// Whether queries can be answered.
    pub warehouse: Warehouse,
    /// Throughput and latency.
    pub redirects: RedirectStats,
    /// The last 30 days.
    pub history: Mutex<History>,
}

impl Status {
    /// Looks at every part and remembers what it saw. To be called every few seconds.
    pub fn observe(&self, now: Timestamp) {
        let up = [
            true,
            self.recorder.health() == StorageHealth::Writing,
            !matches!(self.warehouse.state(), WarehouseState::Away(_)),
        ];
        self.history.lock().unwrap_or_else(PoisonError::into_inner).observe(now, up);
    }
}

/// `/status` and `/status.json`, for the public listener.
pub fn routes(status: &Arc<Status>) -> Router {
    let (html, json) = (Arc::clone(status), Arc::clone(status));
    Router::new()
        .route(Method::GET, "/status", move |_| {
            let body = page::html(&summary(&html));
            async move {
                let response = typed(StatusCode::OK, "text/html; charset=utf-8", body);
                let response = with(response, CACHE_CONTROL, HeaderValue::from_static("no-cache"));
                let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
                Ok(with(response, http::header::CONTENT_SECURITY_POLICY, policy))
            }
        })
        .route(Method::GET, "/status.json", move |_| {
            let summary = summary(&json);
            async move {
                let response = json_response(StatusCode::OK, &summary);
                Ok(with(response, CACHE_CONTROL, HeaderValue::from_static("no-cache")))
            }
        })
}

fn summary(status: &Status) -> history::Summary {
    let now = Timestamp::now();
    status.observe(now);
    let minute = status.redirects.last_minute(now);
    let history = status.history.lock().unwrap_or_else(PoisonError::into_inner);
    history.summary(now, minute)
}
