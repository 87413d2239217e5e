//! `GET /{slug}+`: where a link leads, for people who want to know before they follow it. It is no visit: no
//! hit, no cookie, no token. What a password protects is not shown, nor where a closed link would lead.

use std::fmt::Write;

use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use http::{HeaderName, HeaderValue, StatusCode};
use weir_edge::html::Escaped;
use weir_edge::response::{Response, typed, with};
use weir_engine::links::TrackedLink;
use weir_schemas::click::Verdict;
use weir_schemas::time::Timestamp;

use super::limits::scheduled;

/// What stands behind the slug: no slug holds it.
pub(super) const MARK: char = '+';
const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");

/// The page of a link.
pub(super) fn page(
    link: &TrackedLink,
    (host, slug): (&str, &str),
    at: Timestamp,
    abuse: Option<&str>,
) -> Response {
    metrics::counter!("weir_inspections_total").increment(1);
    let mut html = String::with_capacity(1_024);
    html.push_str(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Where this link leads</title><style>body{font:16px/1.5 \
         system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;overflow-wrap:anywhere}\
         </style>",
    );
    let _ = write!(html, "<h1>{}/{}</h1>", Escaped(host), Escaped(slug));
    let spec = &link.spec;
    let status = if link.closed == Some(Verdict::Blocked) {
        html.push_str("<p>This link is blocked: it led to a place that is not safe.</p>");
        StatusCode::FORBIDDEN
    } else if link.closed.is_some() || !scheduled(link, at) {
        html.push_str("<p>This link is not active.</p>");
        StatusCode::GONE
    } else if spec.password.is_some() {
        html.push_str("<p>This link asks for a password.</p>");
        StatusCode::OK
    } else {
        destinations(&mut html, link);
        StatusCode::OK
    };
    let date = link.created_at.to_string();
    let _ = write!(html, "<p>Made on {}.</p>", date.get(..10).unwrap_or_default());
    if let Some(to) = abuse {
        let (scheme, to) = (if to.contains("://") { "" } else { "mailto:" }, Escaped(to));
        let _ = write!(html, "<p>Report abuse: <a rel=\"nofollow\" href=\"{scheme}{to}\">{to}</a></p>");
    }
    html.push_str("</html>");
    let page = typed(status, "text/html; charset=utf-8", html);
    [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
        (REFERRER_POLICY, "no-referrer"),
        (ROBOTS, "noindex"),
    ]
    .into_iter()
    .fold(page, |page, (name, value)| with(page, name, HeaderValue::from_static(value)))
}

fn destinations(html: &mut String, link: &TrackedLink) {
    let spec = &link.spec;
    if let Some(title) = &spec.title {
        let _ = write!(html, "<p>{}</p>", Escaped(title));
    }
    html.push_str("<p>It leads to:</p><ul>");
    let split = spec.variants.iter().map(|variant| variant.destination.as_str());
    let plain = spec.variants.is_empty().then_some(spec.destination.as_str());
    let mut seen = Vec::new();
    for to in plain.into_iter().chain(split).chain(spec.rules.iter().map(|rule| rule.destination.as_str())) {
        if seen.contains(&to) {
            continue;
        }
        seen.push(to);
        let _ = write!(html, "<li><code>{}</code></li>", Escaped(to));
    }
    html.push_str("</ul>");
    if seen.len() > 1 {
        html.push_str("<p>Which of them depends on the visit.</p>");
    }
    if spec.track_conversions {
        html.push_str("<p>The address gets a click id as <code>wclid</code>.</p>");
    }
}
