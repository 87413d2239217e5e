//! `GET /v1/live`: the subprotocol `weir.v1.json` over WebSockets. The connection authenticates with its
//! first frame, so the handshake needs no credentials and a foreign page gains nothing by making one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use http::{HeaderValue, StatusCode};
use serde_json::json;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use weir_edge::problem;
use weir_edge::request::Context;
use weir_edge::response::{Response, json as json_response, typed, with};
use weir_engine::keys::Principal;
use weir_schemas::fact::Role;
use weir_schemas::live::SUBPROTOCOL;
use weir_schemas::problem::Problem;

use crate::Handles;

mod connection;

/// Open WebSockets of one engine.
pub const CONNECTIONS_MAX: usize = 100_000;
/// How long a ticket works.
pub const TICKET_LIFE: Duration = Duration::from_secs(30);
/// Between looks at whether all connections have ended.
const ENDED_POLL: Duration = Duration::from_millis(10);
/// Tickets that are open at once.
const TICKETS_MAX: usize = 100_000;

/// Who may watch: everyone but shops' servers.
const WATCHERS: &[Role] = &[Role::Admin, Role::Editor, Role::Viewer, Role::Partner];

/// Single-use tickets: a browser cannot set headers on a WebSocket and must not put its key into an address.
#[derive(Debug, Default)]
pub struct Tickets(Mutex<HashMap<String, (Principal, Instant)>>);

impl Tickets {
    fn issue(&self, principal: Principal) -> Option<String> {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() >= TICKETS_MAX {
            tickets.retain(|_, (_, since)| since.elapsed() < TICKET_LIFE);
        }
        if tickets.len() >= TICKETS_MAX {
            return None;
        }
        let ticket = format!("wlt_{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 24]>()));
        tickets.insert(ticket.clone(), (principal, Instant::now()));
        Some(ticket)
    }

    fn take(&self, ticket: &str) -> Option<Principal> {
        let (principal, since) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(ticket)?;
        (since.elapsed() < TICKET_LIFE).then_some(principal)
    }
}

/// How many connections there are.
#[derive(Debug, Default)]
pub struct Connections(AtomicUsize);

impl Connections {
    /// Waits until every connection has ended, at most `within`. A connection leaves its listener's count when it
    /// becomes a WebSocket, so who stops the listener waits here for the close frames.
    pub async fn ended(&self, within: Duration) {
        let deadline = Instant::now() + within;
        while self.0.load(Ordering::Acquire) > 0 && Instant::now() < deadline {
            tokio::time::sleep(ENDED_POLL).await;
        }
    }
}

/// One of them, while it lasts.
#[derive(Debug)]
struct Place(Arc<Connections>);

impl Place {
    fn take(connections: &Arc<Connections>) -> Option<Self> {
        let open = connections.0.fetch_add(1, Ordering::AcqRel);
        let place = Self(Arc::clone(connections));
        (open < CONNECTIONS_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// `POST /v1/live/tickets`
pub(crate) async fn ticket(handles: Arc<Handles>, context: Context) -> Result<Response, Problem> {
    let principal = context.require(WATCHERS)?;
    let ticket = handles.tickets.issue(principal).ok_or_else(|| {
        problem::too_many(format!("There are already {TICKETS_MAX} unused tickets; try again in a minute."))
    })?;
    let body = json!({"ticket": ticket, "expires_in": TICKET_LIFE.as_secs()});
    Ok(json_response(StatusCode::CREATED, &body))
}

/// `GET /v1/live`
pub(crate) async fn connect(handles: Arc<Handles>, mut context: Context) -> Result<Response, Problem> {
    let has = |name: &str, wanted: &str| {
        let value = context.header(name).unwrap_or("");
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(wanted))
    };
    if !has(UPGRADE.as_str(), "websocket") || !has(CONNECTION.as_str(), "upgrade") {
        let detail = "This is a WebSocket: connect with the header `Upgrade: websocket`.";
        return Err(Problem::new(426, "upgrade_required", "Upgrade required", detail));
    }
    if !has(SEC_WEBSOCKET_VERSION.as_str(), "13") {
        return Err(problem::malformed("Sec-WebSocket-Version must be 13"));
    }
    let offered = context.header(SEC_WEBSOCKET_PROTOCOL.as_str()).is_some();
    if offered && !has(SEC_WEBSOCKET_PROTOCOL.as_str(), SUBPROTOCOL) {
        return Err(problem::malformed(format!("the subprotocol must be {SUBPROTOCOL}")));
    }
    let Some(key) = context.header(SEC_WEBSOCKET_KEY.as_str()) else {
        return Err(problem::malformed("Sec-WebSocket-Key is missing"));
    };
    let accept = derive_accept_key(key.as_bytes());
    let Some(place) = Place::take(&handles.connections) else {
        metrics::counter!("weir_live_refused_total", "reason" => "connections").increment(1);
        return Err(problem::unavailable(
            "too_many_connections",
            format!("The engine has {CONNECTIONS_MAX} live connections, which is its bound."),
        ));
    };
    let Some(upgrade) = context.upgrade() else {
        return Err(problem::malformed("the connection cannot be upgraded"));
    };
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => connection::run(upgraded, handles, place).await,
            Err(error) => tracing::debug!(%error, "a WebSocket ended before it began"),
        }
    });
    let mut response = typed(StatusCode::SWITCHING_PROTOCOLS, "text/plain", "");
    response.headers_mut().clear();
    let response = with(response, UPGRADE, HeaderValue::from_static("websocket"));
    let response = with(response, CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = HeaderValue::from_str(&accept).expect("base64 is ASCII");
    let response = with(response, SEC_WEBSOCKET_ACCEPT, accept);
    if !offered {
        return Ok(response);
    }
    Ok(with(response, SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL)))
}

#[cfg(test)]
mod tests {
    use weir_schemas::ids::{KeyId, WorkspaceId};

    use super::*;

    #[test]
    fn a_ticket_works_once() {
        let tickets = Tickets::default();
        let principal =
            Principal { workspace: WorkspaceId(1), key: KeyId(7), role: Role::Viewer, partner: None };
        let ticket = tickets.issue(principal).unwrap();
        assert_eq!(tickets.take("wlt_"), None);
        assert_eq!(tickets.take(&ticket), Some(principal));
        assert_eq!(tickets.take(&ticket), None);
    }

    #[test]
    fn places_are_given_back() {
        let connections = Arc::new(Connections::default());
        let place = Place::take(&connections).unwrap();
        assert_eq!(connections.0.load(Ordering::Acquire), 1);
        drop(place);
        connections.0.store(CONNECTIONS_MAX, Ordering::Release);
        assert!(Place::take(&connections).is_none());
        assert_eq!(connections.0.load(Ordering::Acquire), CONNECTIONS_MAX);
    }
}
