//! The limits of a link, before anything else of it is looked at: switched on, in its schedule, not used up.
//!
//! A visit that would count takes its place here, before it is answered. What never counts (`HEAD`, prefetches,
//! robots) takes none and is answered as a visitor would be now.

use http::header::{CACHE_CONTROL, LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use weir_edge::response::{Body, Response, text};
use weir_engine::enrich::Agents;
use weir_engine::links::TrackedLink;
use weir_schemas::click::Verdict;
use weir_schemas::hit::{FLAG_HEAD, FLAG_PREFETCH, USER_AGENT_MAX};
use weir_schemas::time::Timestamp;
use weir_schemas::wire::truncate;

/// Whether a visit may go on to the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It counts as this; its hit carries these flags beside its own.
    Open(Verdict, u8),
    /// It goes to the fallback.
    Closed(Verdict),
    /// It is asked for the password.
    Locked,
    /// The link has just changed and its places are not known in time: the visitor is asked to come again.
    Unknown,
}

/// Decides; takes a place where the link is capped and the visit counts. `flags` are the hit's; `locked` tells whether
/// the visitor has still to give the password.
pub(super) fn admit(
    link: &TrackedLink,
    at: Timestamp,
    flags: u8,
    locked: impl FnOnce() -> bool,
    user_agent: &str,
    agents: &mut Option<Agents>,
) -> Admission {
    if !link.spec.enabled {
        return Admission::Closed(Verdict::Disabled);
    }
    if !scheduled(link, at) {
        return Admission::Closed(Verdict::Expired);
    }
    let capped = match &link.cap {
        None => None,
        Some(cap) => {
            let Some(places) = cap.places() else { return Admission::Unknown };
            // Nobody is asked for a password in vain.
            if places.full(cap, at) {
                return Admission::Closed(Verdict::Capped);
            }
            Some((cap, places))
        }
    };
    if link.spec.password.is_some() && locked() {
        return Admission::Locked;
    }
    let Some((cap, places)) = capped else { return Admission::Open(Verdict::Counted, 0) };
    if flags & (FLAG_HEAD | FLAG_PREFETCH) != 0 {
        return Admission::Open(Verdict::Counted, 0);
    }
    // The recorder judges by what the hit keeps of the agent: so does this, or the two could differ.
    let agent = truncate(user_agent, USER_AGENT_MAX);
    if agents.get_or_insert_with(Agents::new).look_up(agent).bot {
        return Admission::Open(Verdict::Bot, 0);
    }
    match places.take(cap, at) {
        Some(taken) => Admission::Open(Verdict::Counted, taken),
        None => Admission::Closed(Verdict::Capped),
    }
}

fn scheduled(link: &TrackedLink, at: Timestamp) -> bool {
    link.spec.starts_at.is_none_or(|from| from <= at) && link.spec.expires_at.is_none_or(|until| at < until)
}

/// Where a link that is switched off, out of its schedule or used up leads.
pub(super) fn closed(link: &TrackedLink) -> Response {
    fallback(link).unwrap_or_else(|| refuse(StatusCode::GONE, "This link is no longer active\n"))
}

/// For a capped link that cannot tell whether it has room, or cannot record that it was taken.
pub(super) fn come_again(link: &TrackedLink) -> Response {
    fallback(link).unwrap_or_else(|| {
        let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, "Please try again in a moment\n");
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        response
    })
}

fn fallback(link: &TrackedLink) -> Option<Response> {
    let to = link.spec.fallback.as_deref().and_then(|to| HeaderValue::from_str(to).ok())?;
    let mut response = http::Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(LOCATION, to);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

/// A short answer for people.
pub(super) fn refuse(status: StatusCode, why: &'static str) -> Response {
    let mut response = text(status, why);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
