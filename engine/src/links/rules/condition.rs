//! Conditions as the redirect evaluates them. Lists hold few values, so they are compared one by one.

use jiff::tz::TimeZone;
use url::form_urlencoded;
use weir_schemas::cidr::Cidr;
use weir_schemas::click::Device;
use weir_schemas::time::Timestamp;

use super::super::facts::Facts;
use super::hours::Week;

/// A compiled condition. Texts are in lower case.
#[derive(Debug)]
pub(super) enum Condition {
    All(Box<[Condition]>),
    Any(Box<[Condition]>),
    Not(Box<Condition>),
    /// One of the values, in any case.
    Text(Subject, Box<[Box<str>]>),
    Device(Box<[Device]>),
    Bot(bool),
    Returning(bool),
    /// A tag or the beginning of one: `de` is also `de-AT`.
    Language(Box<[Box<str>]>),
    Address(Box<[Cidr]>),
    /// A host or one under it.
    Referrer(Box<[Box<str>]>),
    /// Whether there is a referrer at all.
    Referred(bool),
    /// The parameter has one of the values, which are compared as written.
    Parameter(Box<str>, Box<[Box<str>]>),
    /// Whether there is such a parameter.
    HasParameter(Box<str>, bool),
    After(Timestamp),
    Before(Timestamp),
    Week(Week, TimeZone),
}

/// What a text condition asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Country,
    Region,
    City,
    Continent,
    Os,
    Browser,
}

impl Condition {
    /// Whether it holds for a visit.
    pub(super) fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Self::All(conditions) => conditions.iter().all(|condition| condition.holds(facts)),
            Self::Any(conditions) => conditions.iter().any(|condition| condition.holds(facts)),
            Self::Not(condition) => !condition.holds(facts),
            Self::Text(subject, values) => {
                let fact = subject.of(facts);
                !fact.is_empty() && values.iter().any(|value| same_in_any_case(fact, value))
            }
            Self::Device(devices) => devices.contains(&facts.device()),
            Self::Bot(wanted) => facts.agent().bot == *wanted,
            Self::Returning(wanted) => facts.visit().returning == *wanted,
            Self::Language(tags) => tags.iter().any(|tag| speaks(facts.language(), tag)),
            Self::Address(ranges) => {
                let address = facts.address();
                ranges.iter().any(|range| range.contains(address))
            }
            Self::Referrer(hosts) => hosts.iter().any(|host| lies_under(facts.referrer(), host)),
            Self::Referred(wanted) => facts.referrer().is_empty() != *wanted,
            Self::Parameter(name, values) => form_urlencoded::parse(facts.visit().query.as_bytes())
                .any(|(sent, value)| sent == **name && values.iter().any(|wanted| value == **wanted)),
            Self::HasParameter(name, wanted) => {
                let has =
                    form_urlencoded::parse(facts.visit().query.as_bytes()).any(|(sent, _)| sent == **name);
                has == *wanted
            }
            Self::After(from) => facts.visit().at >= *from,
            Self::Before(until) => facts.visit().at < *until,
            Self::Week(week, timezone) => week.holds(facts.local(timezone)),
        }
    }
}

impl Subject {
    fn of<'f>(self, facts: &'f Facts<'_>) -> &'f str {
        match self {
            Self::Country => &facts.place().country,
            Self::Region => &facts.place().region,
            Self::City => &facts.place().city,
            Self::Continent => facts.continent(),
            Self::Os => &facts.agent().os,
            Self::Browser => &facts.agent().browser,
        }
    }
}

fn same_in_any_case(fact: &str, lower: &str) -> bool {
    fact.chars().flat_map(char::to_lowercase).eq(lower.chars())
}

fn speaks(tag: &str, wanted: &str) -> bool {
    let head = tag.as_bytes().get(..wanted.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(wanted.as_bytes()))
        && matches!(tag.as_bytes().get(wanted.len()), None | Some(b'-'))
}

fn lies_under(host: &str, wanted: &str) -> bool {
    let Some(start) = host.len().checked_sub(wanted.len()) else { return false };
    let bytes = host.as_bytes();
    bytes[start..].eq_ignore_ascii_case(wanted.as_bytes()) && (start == 0 || bytes[start - 1] == b'.')
}
