//! `POST /collect` and `GET /i`: what the pages of registered sites tell. Anyone can send bytes here, so
//! everything is bounded, a site must be known, and the page that sends must be one of its origins. What is
//! accepted goes through the thread's lane like a hit: all events of a request that are in order, or none, and
//! never more than half of the lane, so that no flood of events costs a click.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use http::header::{
    ACCEPT_LANGUAGE, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL,
    CONTENT_TYPE, ORIGIN, REFERER, RETRY_AFTER, USER_AGENT, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;
use weir_edge::limit::{Allowance, DEFAULT_PER_SECOND, Limiter};
use weir_edge::lines::Lines;
use weir_edge::peer::as_v6;
use weir_edge::problem::{self, unavailable};
use weir_edge::request::Context;
use weir_edge::response::{Response, headers_only, json as json_response, no_content};
use weir_edge::service::request_id;
use weir_engine::sites::{Site, SiteTable};
use weir_schemas::event::{RAW_EVENT_BYTES_MAX, RawEvent, Told};
use weir_schemas::ids::{ClickId, LinkId, WorkspaceId};
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use crate::redirect::{Own, Redirect, VISITOR_COOKIE_NAME};
use payload::{Page, Sent};

pub mod payload;
mod pixel;
mod script;

pub use script::script;

/// The largest body, in bytes: what browsers let a page send as a beacon.
pub const BODY_MAX: usize = 64 * 1_024;
/// For how long a browser may remember that it may ask, in seconds.
const PREFLIGHT_AGE: HeaderValue = HeaderValue::from_static("86400");

/// What the threads share.
#[derive(Debug, Clone)]
pub struct Collect {
    sites: SiteTable,
    limiter: Arc<Limiter>,
}

impl Collect {
    /// The registered sites, each address limited to `per_second` requests.
    pub fn new(sites: SiteTable, per_second: NonZeroU32) -> Self {
        Self { sites, limiter: Arc::new(Limiter::new(per_second)) }
    }
}

impl Default for Collect {
    fn default() -> Self {
        Self::new(SiteTable::default(), DEFAULT_PER_SECOND)
    }
}

/// A request whose events are not recorded, and the label under which it is counted.
#[derive(Debug)]
struct Refused {
    reason: &'static str,
    problem: Problem,
}

impl Refused {
    fn new(reason: &'static str, problem: Problem) -> Self {
        Self { reason, problem }
    }

    fn unknown_site() -> Self {
        let detail = "No such site is registered here: see POST /v1/sites.";
        Self::new("unknown_site", Problem::new(403, "unknown_site", "Unknown site", detail))
    }

    fn foreign_origin(origin: &str) -> Self {
        let detail = format!("`{origin}` is none of the site's origins.");
        Self::new("foreign_origin", Problem::new(403, "foreign_origin", "Foreign origin", detail))
    }
}

/// Whether a path is answered here.
pub(crate) fn is_path(path: &str) -> bool {
    matches!(path, "/collect" | "/i")
}

/// Answers a request of [`is_path`].
pub(crate) async fn answer(redirect: &Redirect, request: Request<Incoming>, peer: SocketAddr) -> Response {
    let id = request_id(request.headers());
    let address = redirect.config().proxies.client(peer.ip(), request.headers());
    let mut context = Context::new(request, address, id.clone());
    let method = context.method().clone();
    let collecting = context.path() == "/collect";
    match (collecting, &method) {
        (true, &Method::OPTIONS) => return preflight(context.headers()),
        (true, &Method::POST) | (false, &Method::GET | &Method::HEAD) => {}
        _ => return not_allowed(if collecting { "POST, OPTIONS" } else { "GET, HEAD" }, &id),
    }
    let allowance = match limited(redirect, address) {
        Ok(allowance) => allowance,
        Err(exceeded) => {
            metrics::counter!("weir_collect_refused_total", "reason" => "rate_limited").increment(1);
            return exceeded.response(&id);
        }
    };
    let outcome = if collecting {
        collect(redirect, &mut context, address).await
    } else {
        pixel::answer(redirect, &context, address)
    };
    let mut response = outcome.unwrap_or_else(|refused| {
        metrics::counter!("weir_collect_refused_total", "reason" => refused.reason).increment(1);
        let mut response = problem::response(&refused.problem, &id);
        if refused.problem.status == 503 {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    });
    allowance.write(&mut response);
    if method == Method::HEAD { headers_only(response) } else { response }
}

fn limited(redirect: &Redirect, address: IpAddr) -> Result<Allowance, weir_edge::limit::Exceeded> {
    let mut hasher = siphasher::sip::SipHasher13::new();
    std::hash::Hash::hash(&address, &mut hasher);
    redirect.config().collect.limiter.check(std::hash::Hasher::finish(&hasher))
}

fn not_allowed(methods: &'static str, request_id: &str) -> Response {
    let why = format!("This path serves {methods}.");
    let why = Problem::new(405, "method_not_allowed", "Method not allowed", why);
    let mut response = problem::response(&why, request_id);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

/// The browser asks whether a page may send JSON. Whose page it is is checked when it does.
fn preflight(headers: &HeaderMap) -> Response {
    let mut response = no_content();
    if let Some(origin) = headers.get(ORIGIN) {
        allow(&mut response, origin.clone());
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, OPTIONS"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
        headers.insert(ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE);
    }
    response
}

/// Lets the page of `origin` read the answer and send the visitor's cookie along.
fn allow(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

async fn collect(redirect: &Redirect, context: &mut Context, address: IpAddr) -> Result<Response, Refused> {
    if let Some(kind) = context.header(CONTENT_TYPE.as_str())
        && !is_taken(kind)
    {
        let why = format!("Send application/json or text/plain, not {kind}.");
        return Err(Refused::new("media_type", problem::unsupported_media_type(why)));
    }
    let body = context.body(BODY_MAX).await.map_err(|problem| {
        let reason = if problem.status == 413 { "too_large" } else { "broken_off" };
        Refused::new(reason, problem)
    })?;
    let read = payload::read(&body).map_err(|problem| {
        Refused::new(if problem.status == 400 { "malformed" } else { "invalid" }, problem)
    })?;
    let origin = origin_of(context.headers())
        .ok_or_else(|| Refused::foreign_origin("a request without Origin and Referer"))?;
    let sites = &redirect.config().collect.sites;
    let (mut events, mut refused) = (Vec::with_capacity(read.len()), Vec::new());
    for (index, event) in read.into_iter().enumerate() {
        let checked = event
            .map_err(|problem| Refused::new("invalid", problem))
            .and_then(|event| site_of(sites, &event, &origin).map(|site| (event, site)));
        match checked {
            Ok(event) => events.push(event),
            Err(why) => refused.push((index, why)),
        }
    }
    if events.is_empty() {
        return Err(refused.swap_remove(0).1);
    }
    let tellers = events.iter().map(|(event, site)| (event, site.as_ref()));
    let accepted = record(redirect, context.headers(), address, tellers)?;
    let answer = json!({ "accepted": accepted, "refused": refused.iter().map(told).collect::<Vec<_>>() });
    let mut response = json_response(StatusCode::ACCEPTED, &answer);
    if let Some(origin) = context.headers().get(ORIGIN) {
        allow(&mut response, origin.clone());
    }
    Ok(response)
}

/// What became of an event that was not taken, for the answer; counted on the way.
fn told((index, refused): &(usize, Refused)) -> serde_json::Value {
    metrics::counter!("weir_collect_refused_total", "reason" => refused.reason).increment(1);
    let problem = &refused.problem;
    json!({ "index": index, "code": refused.reason, "detail": problem.detail, "errors": problem.errors })
}

/// `sendBeacon` sends a text as `text/plain`, for which no preflight is needed.
fn is_taken(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or("").trim();
    ["application/json", "text/plain"].iter().any(|taken| essence.eq_ignore_ascii_case(taken))
}

/// The origin of the page that sends, in the form that sites hold.
fn origin_of(headers: &HeaderMap) -> Option<String> {
    match headers.get(ORIGIN) {
        Some(origin) => origin.to_str().ok().map(str::to_owned),
        None => Page::read(headers.get(REFERER)?.to_str().ok()?).map(|page| page.origin),
    }
}

fn site_of(sites: &SiteTable, event: &Sent, origin: &str) -> Result<Arc<Site>, Refused> {
    let site = sites.find(event.site).ok_or_else(Refused::unknown_site)?;
    for origin in [origin, &event.page.origin] {
        if !site.has_origin(origin) {
            return Err(Refused::foreign_origin(origin));
        }
    }
    Ok(site)
}

/// Copies the events into the lane: all of them, or none where it is half full.
fn record<'a>(
    redirect: &Redirect,
    headers: &HeaderMap,
    address: IpAddr,
    events: impl Iterator<Item = (&'a Sent, &'a Site)>,
) -> Result<usize, Refused> {
    let now = Timestamp::now();
    let address = as_v6(address).octets();
    let agent = headers.get(USER_AGENT).map_or(&b""[..], HeaderValue::as_bytes);
    let own = &mut *redirect.own();
    let visitor = own.visitors.identify(headers.cookie(VISITOR_COOKIE_NAME), &address, agent, now).id;
    let mut bytes = Vec::new();
    let mut ends = Vec::new();
    for (event, site) in events {
        let (click, link) = brought_by(own, &event.wclid, site.workspace);
        let raw = RawEvent {
            told: Told {
                kind: event.kind,
                at: Timestamp(now.0 - event.ago_ms),
                workspace: site.workspace,
                site: site.id,
                click,
                link,
                visitor,
                view: event.view,
                engaged_ms: event.engaged_ms,
                scroll: event.scroll,
                pointer: event.pointer,
                value: event.value,
                currency: &event.currency,
                name: &event.name,
                path: &event.page.path,
                title: &event.title,
                selector: &event.selector,
                href: &event.href,
                properties: event.properties.iter().map(|(name, text)| (&**name, &**text)).collect(),
            },
            address,
            host: &event.page.host,
            query: &event.page.query,
            referrer: &event.referrer,
            user_agent: std::str::from_utf8(agent).unwrap_or(""),
            language: headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or(""),
        };
        bytes.reserve(RAW_EVENT_BYTES_MAX.min(1_024));
        raw.write(&mut bytes);
        ends.push(bytes.len());
    }
    if !own.lane.has_room_beside_hits(bytes.len(), ends.len()) {
        let problem = unavailable("busy", "More events come than can be recorded. Send them again later.");
        return Err(Refused::new("lane_full", problem));
    }
    let mut start = 0;
    for end in &ends {
        redirect.append(own, &bytes[start..*end]);
        start = *end;
    }
    metrics::counter!("weir_collect_accepted_total").increment(ends.len() as u64);
    Ok(ends.len())
}

/// The click whose token the page kept. A token that is none, or another workspace's, brings nobody; the
/// event counts all the same.
fn brought_by(own: &mut Own, token: &str, workspace: WorkspaceId) -> (ClickId, LinkId) {
    if token.is_empty() {
        return (ClickId(0), LinkId::NONE);
    }
    match own.tokens.open(token) {
        Ok(parts) if parts.workspace == workspace => (parts.click, parts.link),
        _ => {
            metrics::counter!("weir_collect_tokens_refused_total").increment(1);
            (ClickId(0), LinkId::NONE)
        }
    }
}

/// `Cache-Control: no-store`, for what must be asked again every time.
const NO_STORE: (http::HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_goes_before_the_referrer() {
        let headers = |pairs: &[(http::HeaderName, &'static str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
            origin_of(&pairs.collect::<HeaderMap>())
        };
        let both = [(ORIGIN, "https://a.example"), (REFERER, "https://b.example/p")];
        assert_eq!(headers(&both).as_deref(), Some("https://a.example"));
        assert_eq!(headers(&both[1..]).as_deref(), Some("https://b.example"));
        assert_eq!(headers(&[(ORIGIN, "null")]).as_deref(), Some("null"), "which no site has");
        assert_eq!(headers(&[]), None);
        assert_eq!(headers(&[(REFERER, "about:blank")]), None);
    }

    #[test]
    fn beacons_and_json_are_taken() {
        assert!(is_taken("text/plain;charset=UTF-8") && is_taken("Application/JSON"));
        assert!(!is_taken("application/x-www-form-urlencoded") && !is_taken("text/html"));
    }
}
