//! What a person does, as reports name it: a link's click, a browser event, a conversion; and how long it may take.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};
use weir_schemas::ids::Sequence;
use weir_schemas::problem::Problem;
use weir_schemas::query::{Dimension, Filter};
use weir_schemas::time::{DAY_MS, HOUR_MS, MINUTE_MS};

use super::super::condition::{self, Condition};
use super::super::plan::Plan;
use super::super::sql::{
    Parameter, Statement, Table, click_terms, counted, effect_terms, event_terms, key, predicate, standing,
};
use super::facts::{PERSON, STANDS, Source, VISITOR};

/// A counted click of a link.
pub(super) const CLICK: &str = "click";
/// A sale or renewal.
pub(super) const CONVERSION: &str = "conversion";
/// A click on an element of a page.
pub(super) const ELEMENT_CLICK: &str = "element_click";

/// What happens: `"click"`, `"pageview"`, `"conversion"`, `"element_click"` or an event's own name (a browser
/// event's or a conversion's), with filters of its own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// What happens.
    pub event: String,
    /// What the answer calls it; else the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which of them; as of queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filters: Option<Filter>,
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            event: String,
            #[serde(default)]
            name: Option<String>,
            #[serde(default)]
            filters: Option<Filter>,
        }
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Step;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(ALLOWED)
            }
            fn visit_str<E>(self, event: &str) -> Result<Step, E> {
                Ok(Step { event: event.to_owned(), name: None, filters: None })
            }
            fn visit_map<A: de::MapAccess<'de>>(self, object: A) -> Result<Step, A::Error> {
                let whole = Whole::deserialize(de::value::MapAccessDeserializer::new(object))?;
                Ok(Step { event: whole.event, name: whole.name, filters: whole.filters })
            }
        }
        let step = deserializer.deserialize_any(Visitor)?;
        if step.event.is_empty() || step.event.contains('\0') {
            return Err(de::Error::custom(ALLOWED));
        }
        Ok(step)
    }
}

const ALLOWED: &str = "a step is `click`, `pageview`, `element_click`, `conversion`, an event's name, or \
                       {\"event\": one of these, \"name\"?, \"filters\"?}";

/// How long something may take: `"30m"`, `"24h"`, `"7d"`, or seconds as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Window(pub i64);

/// The longest window, in milliseconds.
pub(super) const WINDOW_MAX: i64 = 366 * DAY_MS;

impl Window {
    /// Days.
    pub const fn days(days: i64) -> Self {
        Self(days * DAY_MS)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let ms = match &value {
            serde_json::Value::Number(seconds) => seconds.as_i64().and_then(|s| s.checked_mul(1_000)),
            serde_json::Value::String(text) => {
                let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
                let unit = match &text[digits.len()..] {
                    "s" => Some(1_000),
                    "m" | "min" => Some(MINUTE_MS),
                    "h" => Some(HOUR_MS),
                    "d" => Some(DAY_MS),
                    "w" => Some(7 * DAY_MS),
                    _ => None,
                };
                digits.parse::<i64>().ok().zip(unit).and_then(|(count, unit)| count.checked_mul(unit))
            }
            _ => None,
        };
        match ms {
            Some(ms) if (1_000..=WINDOW_MAX).contains(&ms) => Ok(Self(ms)),
            _ => Err(de::Error::custom(format!(
                "{value} is not a time from 1 second to 366 days such as 3600, \"30m\", \"24h\", \"7d\""
            ))),
        }
    }
}

/// A step, checked.
#[derive(Debug, Clone)]
pub(super) struct Matcher {
    what: What,
    condition: Option<Condition>,
}

#[derive(Debug, Clone)]
enum What {
    Click,
    ElementClick,
    Conversion,
    Named(String),
}

impl Matcher {
    /// Checks the step that stands in `field`.
    pub(super) fn new(step: &Step, field: &str) -> Result<Self, Problem> {
        let what = match step.event.as_str() {
            CLICK => What::Click,
            ELEMENT_CLICK => What::ElementClick,
            CONVERSION => What::Conversion,
            name => What::Named(name.to_owned()),
        };
        let compiled = step.filters.as_ref().map(condition::compile).transpose();
        let condition = compiled.map_err(|detail| Problem::field(format!("{field}.filters"), detail))?;
        if let (What::Click, Some(condition)) = (&what, &condition)
            && condition.of_clicks().as_ref() != Some(condition)
        {
            let detail = "clicks have no event, provider, currency and properties";
            return Err(Problem::field(format!("{field}.filters"), detail));
        }
        Ok(Self { what, condition })
    }

    pub(super) fn of_clicks(&self) -> bool {
        matches!(self.what, What::Click)
    }

    pub(super) fn of_events(&self) -> bool {
        matches!(self.what, What::ElementClick | What::Named(_))
    }

    pub(super) fn of_effects(&self) -> bool {
        matches!(self.what, What::Conversion | What::Named(_))
    }

    /// Whether a row of `table` is one.
    fn sql(&self, table: Table, statement: &mut Statement) -> String {
        let what = match (&self.what, table) {
            (What::Click, Table::Clicks) => "1".to_owned(),
            (What::ElementClick, Table::Events) => "kind = 'click'".to_owned(),
            (What::Conversion, Table::Effects) => "conversions != 0".to_owned(),
            (What::Named(name), Table::Events | Table::Effects) => {
                let name = statement.bind(Parameter::Texts(vec![name.clone()]));
                let element = if table == Table::Events { " AND kind != 'click'" } else { "" };
                format!("(event = {name}[1]{element})")
            }
            _ => return "0".to_owned(),
        };
        match &self.condition {
            Some(condition) => format!("({what} AND {})", predicate(condition, table, statement)),
            None => what,
        }
    }
}

/// Facts whose tag has bit `i` set where they are the `i`-th of `steps`, from every table that a step speaks of.
/// `key` is a dimension, or none; with `all`, what is none of the steps is told too, with tag 0.
pub(super) fn sources(
    steps: &[Matcher],
    plan: &Plan,
    group: Option<&Dimension>,
    all: bool,
    upto: Sequence,
    statement: &mut Statement,
) -> Vec<String> {
    sources_of(steps, plan, group, all, None, upto, statement)
}

/// The same of some persons: `of` is a statement that gives their numbers.
pub(super) fn sources_of(
    steps: &[Matcher],
    plan: &Plan,
    group: Option<&Dimension>,
    all: bool,
    of: Option<&str>,
    upto: Sequence,
    statement: &mut Statement,
) -> Vec<String> {
    let tables = [
        (Table::Clicks, steps.iter().any(Matcher::of_clicks)),
        (Table::Events, steps.iter().any(Matcher::of_events)),
        (Table::Effects, steps.iter().any(Matcher::of_effects)),
    ];
    let read = tables.into_iter().filter(|(_, read)| *read);
    read.map(|(table, _)| {
        let mut source = source(steps, table, plan, group, all, upto, statement);
        source.terms.extend(of.map(|of| format!("{} IN ({of})", source.person)));
        if table == Table::Effects { source.conversions(STANDS) } else { source.rows() }
    })
    .collect()
}

/// The same from one table.
pub(super) fn source(
    steps: &[Matcher],
    table: Table,
    plan: &Plan,
    group: Option<&Dimension>,
    all: bool,
    upto: Sequence,
    statement: &mut Statement,
) -> Source {
    let (name, person, mut terms) = match table {
        Table::Clicks => {
            let mut terms = click_terms(plan, upto, statement);
            terms.push(counted(plan).to_owned());
            terms.push(standing(plan, upto));
            ("clicks", VISITOR, terms)
        }
        Table::Events => ("events", VISITOR, event_terms(plan, upto, statement)),
        Table::Effects => ("effects", PERSON, effect_terms(plan, upto, statement)),
        Table::Moved => unreachable!("no step is made of hits that were moved"),
    };
    let bits: Vec<String> = steps
        .iter()
        .enumerate()
        .map(|(bit, step)| format!("if({}, {}, 0)", step.sql(table, statement), 1_u32 << bit))
        .collect();
    let tag = bits.join(" + ");
    if !all {
        terms.push(format!("({tag}) != 0"));
    }
    let mut source = Source::new(name, person, terms);
    source.tag = tag;
    if let Some(group) = group {
        source.key = key(plan, group, table, statement);
    }
    source
}
