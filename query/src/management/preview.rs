//! `POST /v1/links/{id}/preview`: what a given visitor would meet, in words: which limit, which rule, which
//! split, and why. Nothing is recorded and no place is taken.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use weir_edge::request::{Context, JSON_MAX};
use weir_edge::response::Response;
use weir_engine::enrich::{Agents, Place};
use weir_engine::links::TrackedLink;
use weir_engine::links::allocation::thompson::WHOLE;
use weir_engine::links::facts::{Facts, Visit};
use weir_engine::links::rules::{self, Held};
use weir_schemas::click::Verdict;
use weir_schemas::ids::LinkId;
use weir_schemas::link::{LinkSpec, Rule};
use weir_schemas::percent::percent;
use weir_schemas::problem::Problem;
use weir_schemas::time::Timestamp;

use super::links::reader;
use super::{Management, found, ok};

/// The visitor, as far as told; what is absent is unknown.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Visitor {
    /// IP address; looked up where no place is told.
    address: Option<IpAddr>,
    country: Option<String>,
    region: Option<String>,
    city: Option<String>,
    user_agent: String,
    referrer: String,
    /// As `Accept-Language`.
    language: String,
    /// As in the short URL, without `?`.
    query: String,
    returning: bool,
    at: Option<Timestamp>,
}

pub(super) async fn preview(mut context: Context, management: Arc<Management>) -> Result<Response, Problem> {
    let (principal, own) = reader(&context)?;
    let id: LinkId = context.id("id", "link")?;
    let visitor: Visitor = context.json(JSON_MAX).await?;
    let workspace = principal.workspace;
    let link = management.read(move |books| books.link(workspace, id)).await?;
    let link = found(link.filter(|link| own.is_none() || link.spec.partner_id == own), "link")?;
    let links = management.books.links();
    let (host, slug) =
        (link.spec.domain.as_deref().unwrap_or_default(), link.spec.slug.as_deref().unwrap_or_default());
    // The link as the redirect has it, with the places taken so far.
    let live = links.find(host, slug).filter(|live| live.id == id).unwrap_or_else(|| {
        let judged = TrackedLink::new(id, workspace, link.created_at, link.spec.clone());
        Arc::new(judged.judged_by(&links.blocklist(workspace)))
    });
    let shares = links.allocations().of(id).map(|allocated| allocated.weights.to_vec());
    Ok(ok(&tell(&management, &live, &visitor, shares)))
}

fn tell(management: &Management, link: &TrackedLink, visitor: &Visitor, shares: Option<Vec<u32>>) -> Value {
    let at = visitor.at.unwrap_or_else(Timestamp::now);
    let address = match visitor.address {
        Some(IpAddr::V4(v4)) => v4.to_ipv6_mapped().octets(),
        Some(IpAddr::V6(v6)) => v6.octets(),
        None => [0; 16],
    };
    let mut agents: Option<Agents> = None;
    let visit = Visit {
        at,
        address,
        user_agent: &visitor.user_agent,
        referrer: &visitor.referrer,
        language: &visitor.language,
        query: &visitor.query,
        returning: visitor.returning,
    };
    let mut facts = Facts::new(visit, management.geo.as_deref(), &mut agents);
    if visitor.country.is_some() || visitor.region.is_some() || visitor.city.is_some() {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        facts = facts.at_place(Place {
            country: text(&visitor.country).to_ascii_uppercase(),
            region: text(&visitor.region),
            city: text(&visitor.city),
            ..Place::default()
        });
    }
    let spec = &link.spec;
    let mut words = vec![who(&facts)];
    let closed = limits(link, &facts, at, &mut words);
    let mut told_rules = Vec::new();
    let mut taken: Option<(usize, &Rule)> = None;
    for (number, rule) in spec.rules.iter().enumerate() {
        let held = rules::explain(rule, &facts);
        let holds = held.iter().all(|held| held.holds);
        told_rules.push(json!({"rule": number + 1, "holds": holds, "conditions": held}));
        if closed.is_none() && taken.is_none() {
            words.push(rule_in_words(number + 1, &held, holds));
        }
        if holds && taken.is_none() {
            taken = Some((number, rule));
        }
    }
    let variants = if taken.is_none() { split(spec, shares) } else { Vec::new() };
    let (destination, rule) = match (closed, taken) {
        (Some(_), _) => (spec.fallback.clone().filter(|_| closed != Some(Verdict::Blocked)), None),
        (None, Some((number, rule))) => (Some(rule.destination.clone()), Some(number + 1)),
        (None, None) if variants.is_empty() => (Some(spec.destination.clone()), None),
        (None, None) => (None, None),
    };
    words.push(end_in_words(destination.as_deref(), closed, spec, &variants));
    let bot = facts.agent().bot;
    let verdict = closed.unwrap_or(if bot { Verdict::Bot } else { Verdict::Counted });
    let place = facts.place();
    json!({
        "verdict": verdict,
        "destination": destination,
        "rule": rule,
        "variants": if closed.is_none() { json!(variants) } else { json!([]) },
        "rules": told_rules,
        "visitor": {
            "country": place.country, "region": place.region, "city": place.city,
            "continent": facts.continent(), "device": facts.device(), "os": facts.agent().os,
            "browser": facts.agent().browser, "bot": bot, "language": facts.language(),
            "referrer": facts.referrer(), "returning": visitor.returning, "at": at,
        },
        "words": words,
    })
}

fn who(facts: &Facts<'_>) -> String {
    let (place, agent) = (facts.place(), facts.agent());
    let from = match (place.city.as_str(), place.country.as_str()) {
        ("", "") => "an unknown place".to_owned(),
        ("", country) => country.to_owned(),
        (city, country) => format!("{city}, {country}"),
    };
    let what = if agent.bot { "A robot" } else { "A person" };
    let with = match (facts.device().as_str(), agent.browser.as_str()) {
        ("unknown", "") => String::new(),
        (device, "") => format!(" with {device}"),
        (device, browser) => format!(" with {browser} on {device}"),
    };
    format!("{what} from {from}{with}.")
}

/// Why the link answers nobody now, if so.
fn limits(link: &TrackedLink, facts: &Facts<'_>, at: Timestamp, words: &mut Vec<String>) -> Option<Verdict> {
    let spec = &link.spec;
    let (verdict, why) = if let Some(verdict) = link.closed {
        let blocked = verdict == Verdict::Blocked;
        (
            verdict,
            if blocked { "One of the link's destinations is blocked." } else { "The link is switched off." },
        )
    } else if spec.starts_at.is_some_and(|from| at < from) {
        (Verdict::Expired, "The link has not begun.")
    } else if spec.expires_at.is_some_and(|until| until <= at) {
        (Verdict::Expired, "The link has expired.")
    } else if link.cap.as_ref().is_some_and(|cap| cap.places().is_some_and(|places| places.full(cap, at))) {
        (Verdict::Capped, "The link's cap is used up.")
    } else {
        if spec.password.is_some() {
            words.push("The password is asked for first.".to_owned());
        }
        if facts.agent().bot {
            words.push("A robot's visit is answered and not counted.".to_owned());
        }
        return None;
    };
    words.push(why.to_owned());
    Some(verdict)
}

fn rule_in_words(number: usize, held: &[Held], holds: bool) -> String {
    let keys = |wanted: bool| {
        let keys = held.iter().filter(|held| held.holds == wanted).map(|held| held.key.as_str());
        keys.collect::<Vec<_>>().join(", ")
    };
    if holds {
        format!("Rule {number} holds: {}.", keys(true))
    } else {
        format!("Rule {number} does not hold: {}.", keys(false))
    }
}

/// The variants and their shares in basis points.
fn split(spec: &LinkSpec, decided: Option<Vec<u32>>) -> Vec<Value> {
    let decided = decided.filter(|shares| shares.len() == spec.variants.len());
    let weights = decided.unwrap_or_else(|| spec.variants.iter().map(|variant| variant.weight).collect());
    let sum: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let share = |weight: u32| (u64::from(weight) * u64::from(WHOLE)).checked_div(sum).unwrap_or_default();
    let arms = spec.variants.iter().zip(&weights).filter(|(_, weight)| **weight > 0);
    arms.map(|(variant, weight)| {
        json!({"name": variant.name, "destination": variant.destination, "share": share(*weight)})
    })
    .collect()
}

fn end_in_words(to: Option<&str>, closed: Option<Verdict>, spec: &LinkSpec, variants: &[Value]) -> String {
    match (to, closed) {
        (Some(to), Some(_)) => format!("The visitor goes to the fallback {to}."),
        (None, Some(Verdict::Blocked)) => "The visitor is told that the link is blocked (403).".to_owned(),
        (None, Some(_)) => {
            "There is no fallback: the visitor is told that the link is gone (410).".to_owned()
        }
        (Some(to), None) => format!("The visitor goes to {to}."),
        (None, None) => {
            let one = |variant: &Value| {
                let share = percent(variant["share"].as_u64().unwrap_or_default());
                format!("{} ({share})", variant["name"].as_str().unwrap_or_default())
            };
            let names = variants.iter().map(one).collect::<Vec<_>>().join(", ");
            match spec.sticky_days {
                0 => format!("The visitor goes to one of {names}, drawn anew each time."),
                days => format!("The visitor goes to one of {names}, and to the same for {days} days."),
            }
        }
    }
}
