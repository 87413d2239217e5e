//! What happens to every request of the API between the socket and its handler, in order: a name, an address,
//! who asks, how often, the route; and to every answer: its headers, a counter, the log.

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::body::Incoming;

use crate::auth::Authenticator;
use crate::limit::Limiter;
use crate::peer::TrustedProxies;
use crate::problem::REQUEST_ID;
use crate::request::{Context, Credential};
use crate::response::{Response, headers_only};
use crate::route::Router;

/// Longest request id taken over from a caller, in bytes.
const REQUEST_ID_MAX: usize = 128;

/// An edge's conventions around its routes.
#[derive(Debug)]
pub struct Service {
    /// `admin` or `public`: the label of its metrics.
    pub name: &'static str,
    /// The routes.
    pub router: Router,
    /// Who asks; `None` where nobody has to say.
    pub authenticator: Option<Authenticator>,
    /// How often one key or address may ask; `None` where handlers limit themselves.
    pub limiter: Option<Arc<Limiter>>,
    /// Whose forwarding headers are believed.
    pub proxies: TrustedProxies,
}

impl Service {
    /// Answers one request.
    pub async fn answer(&self, request: http::Request<Incoming>, peer: SocketAddr) -> Response {
        let started = Instant::now();
        let request_id = request_id(request.headers());
        let address = self.proxies.client(peer.ip(), request.headers());
        let mut context = Context::new(request, address, request_id.clone());
        if let Some(authenticator) = &self.authenticator {
            context.credential = authenticator.credential(context.headers());
        }
        let method = context.method().clone();
        let path = without_secrets(context.path()).to_owned();
        let mut response = self.limited(context).await;
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        self.note(&method, &path, &request_id, response.status(), started);
        response
    }

    async fn limited(&self, context: Context) -> Response {
        let Some(limiter) = &self.limiter else { return self.router.answer(context).await };
        let key = match &context.credential {
            Credential::Known(principal) => principal.key.0,
            _ => {
                let mut hasher = std::hash::DefaultHasher::new();
                context.address.hash(&mut hasher);
                hasher.finish()
            }
        };
        match limiter.check(key) {
            Ok(allowance) => {
                let mut response = self.router.answer(context).await;
                // A handler with a limit of its own has said more exactly what is left.
                if !response.headers().contains_key("ratelimit-limit") {
                    allowance.write(&mut response);
                }
                response
            }
            Err(exceeded) => {
                metrics::counter!("weir_edge_rate_limited_total", "listener" => self.name).increment(1);
                let response = exceeded.response(&context.request_id);
                if context.method() == Method::HEAD { headers_only(response) } else { response }
            }
        }
    }

    fn note(&self, method: &Method, path: &str, request_id: &str, status: StatusCode, started: Instant) {
        let class = match status.as_u16() {
            0..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        metrics::counter!("weir_edge_requests_total", "listener" => self.name, "class" => class).increment(1);
        let elapsed = started.elapsed();
        metrics::histogram!("weir_edge_request_seconds", "listener" => self.name)
            .record(elapsed.as_secs_f64());
        if status.is_server_error() {
            tracing::warn!(%method, path, request_id, %status, ?elapsed, "request failed");
        } else {
            tracing::debug!(%method, path, request_id, %status, ?elapsed, "request");
        }
    }
}

/// A path as it may stand in a log: a share link's secret is in its path.
fn without_secrets(path: &str) -> &str {
    if path.starts_with("/v1/shared/") { "/v1/shared/…" } else { path }
}

/// The caller's `X-Request-Id` where it is short and plain, else a new one.
pub fn request_id(headers: &HeaderMap) -> String {
    let sent = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let plain = |id: &&str| {
        (1..=REQUEST_ID_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic() && b != b'"')
    };
    match sent.filter(plain) {
        Some(id) => id.to_owned(),
        None => format!("req_{:016x}{:016x}", rand::random::<u64>(), rand::random::<u64>()),
    }
}
