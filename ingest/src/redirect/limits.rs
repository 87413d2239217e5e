//! The limits of a link, before anything else of it is looked at: switched on, in its schedule, not used up.
//!
//! A visit that would count takes its place here, before it is answered. What never counts (`HEAD`, prefetches,
//! robots) takes none and is answered as a visitor would be now.

use http::header::{CACHE_CONTROL, LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use weir_edge::response::{Body, Response, text};
use weir_engine::links::TrackedLink;
use weir_engine::token::TokenParts;
use weir_schemas::click::Verdict;
use weir_schemas::hit::{FLAG_HEAD, FLAG_PREFETCH, USER_AGENT_MAX};
use weir_schemas::ids::ClickId;
use weir_schemas::time::Timestamp;
use weir_schemas::wire::truncate;

use super::repeats::{First, Repeats};

/// Whether a visit may go on to the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It counts as this; its hit carries these flags beside its own.
    Open(Verdict, u8),
    /// It repeats this click, whose token it keeps.
    Repeat(First),
    /// It goes to the fallback.
    Closed(Verdict),
    /// It is asked for the password.
    Locked,
    /// The link has just changed and its places are not known in time: the visitor is asked to come again.
    Unknown,
}

/// Who asks to be let in.
pub(super) struct Visitor<'a> {
    /// The pseudonym.
    pub id: u64,
    /// The flags of the hit.
    pub flags: u8,
    /// `User-Agent`.
    pub agent: &'a str,
    /// The click that it is, if it counts; its time is the visit's.
    pub click: ClickId,
}

/// What is asked of a visitor only where the link needs it.
pub(super) trait Doubt {
    /// Whether the password has still to be given.
    fn locked(&mut self) -> bool;
    /// Whether it is a robot.
    fn bot(&mut self, agent: &str) -> bool;
    /// The click token that the browser brought.
    fn token(&mut self) -> Option<TokenParts>;
}

/// Decides. A visit that counts has taken its place then where the link is capped, and is remembered as its
/// visitor's first where repeats are told apart.
pub(super) fn admit(
    link: &TrackedLink,
    visitor: &Visitor<'_>,
    doubt: &mut impl Doubt,
    repeats: &Repeats,
) -> Admission {
    let at = Timestamp(visitor.click.unix_ms());
    if let Some(why) = link.closed {
        return Admission::Closed(why);
    }
    if !scheduled(link, at) {
        return Admission::Closed(Verdict::Expired);
    }
    let capped = match &link.cap {
        None => None,
        Some(cap) => match cap.places() {
            None => return Admission::Unknown,
            Some(places) => Some((cap, places)),
        },
    };
    let full = || capped.is_some_and(|(cap, places)| places.full(cap, at));
    if link.spec.password.is_some() && doubt.locked() {
        // Nobody is asked for a password in vain.
        return if full() { Admission::Closed(Verdict::Capped) } else { Admission::Locked };
    }
    let window = link.spec.dedupe_window_seconds;
    if capped.is_none() && window.is_none() {
        return Admission::Open(Verdict::Counted, 0);
    }
    let uncounted = |verdict| {
        if full() { Admission::Closed(Verdict::Capped) } else { Admission::Open(verdict, 0) }
    };
    if visitor.flags & (FLAG_HEAD | FLAG_PREFETCH) != 0 {
        return uncounted(Verdict::Counted);
    }
    // The recorder judges by what the hit keeps of the agent: so does this, or the two could differ.
    if doubt.bot(truncate(visitor.agent, USER_AGENT_MAX)) {
        return uncounted(Verdict::Bot);
    }
    // Before the cap: who had a place comes back on it.
    if let Some(window) = window
        && let Some(first) = repeats.claim(link.id, visitor.id, visitor.click, window, || doubt.token())
    {
        return Admission::Repeat(first);
    }
    let Some((cap, places)) = capped else { return Admission::Open(Verdict::Counted, 0) };
    match places.take(cap, at) {
        Some(taken) => Admission::Open(Verdict::Counted, taken),
        None => {
            repeats.forget(link.id, visitor.id, visitor.click);
            Admission::Closed(Verdict::Capped)
        }
    }
}

pub(super) fn scheduled(link: &TrackedLink, at: Timestamp) -> bool {
    link.spec.starts_at.is_none_or(|from| from <= at) && link.spec.expires_at.is_none_or(|until| at < until)
}

/// Where a link that is switched off, out of its schedule or used up leads. One that is blocked leads nowhere.
pub(super) fn closed(link: &TrackedLink, why: Verdict, abuse: Option<&str>) -> Response {
    if why == Verdict::Blocked {
        return told(
            StatusCode::FORBIDDEN,
            "This link is blocked: it led to a place that is not safe",
            abuse,
        );
    }
    fallback(link).unwrap_or_else(|| told(StatusCode::GONE, "This link is no longer active", abuse))
}

/// For a capped link that cannot tell whether it has room, or cannot record that it was taken.
pub(super) fn come_again(link: &TrackedLink) -> Response {
    fallback(link).unwrap_or_else(|| {
        let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, "Please try again in a moment\n");
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        response
    })
}

/// For a path of no link: where the host's own link for such paths leads, as long as it is open.
pub(super) fn not_found(link: Option<&TrackedLink>, at: Timestamp, abuse: Option<&str>) -> Response {
    let open = link
        .filter(|link| link.closed.is_none() && scheduled(link, at) && !link.prepared.destination.has_macros);
    let elsewhere = open.and_then(|link| sent_to(&link.spec.destination));
    elsewhere.unwrap_or_else(|| told(StatusCode::NOT_FOUND, "Not found", abuse))
}

fn fallback(link: &TrackedLink) -> Option<Response> {
    sent_to(link.spec.fallback.as_deref()?)
}

fn sent_to(to: &str) -> Option<Response> {
    let to = HeaderValue::from_str(to).ok()?;
    let mut response = http::Response::new(Body::empty());
    *response.status_mut() = StatusCode::FOUND;
    response.headers_mut().insert(LOCATION, to);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

/// A short answer for people, with the address to which abuse is reported where there is one.
fn told(status: StatusCode, why: &'static str, abuse: Option<&str>) -> Response {
    let report = abuse.map(|to| format!("Report abuse: {to}\n")).unwrap_or_default();
    let mut response = text(status, format!("{why}\n{report}"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A short answer for people.
pub(super) fn refuse(status: StatusCode, why: &'static str) -> Response {
    let mut response = text(status, why);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use weir_schemas::ids::{LinkId, WorkspaceId};

    use super::*;

    #[test]
    fn a_schedule_begins_with_its_first_millisecond_and_ends_before_its_last() {
        let (from, until) = ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
        let [first, end] = [from, until].map(|text| Timestamp::parse(text).unwrap().0);
        let open = |starts_at: Option<&str>, expires_at: Option<&str>| {
            let spec = serde_json::json!({"destination": "https://a.example/", "starts_at": starts_at,
                "expires_at": expires_at});
            let spec = serde_json::from_value(spec).unwrap();
            let link = TrackedLink::new(LinkId(1), WorkspaceId(1), Timestamp(0), spec);
            [first - 1, first, end - 1, end].map(|at| scheduled(&link, Timestamp(at)))
        };
        assert_eq!(open(Some(from), Some(until)), [false, true, true, false]);
        assert_eq!(open(Some(from), None), [false, true, true, true]);
        assert_eq!(open(None, Some(until)), [true, true, true, false]);
        assert_eq!(open(None, None), [true; 4]);
    }
}
