//! Touches and conversions of persons, for the reports that ask which clicks led to them: attribution, paths.
//! A touch is a counted click under a dimension's value. Conversions lie in the range; their touches in the
//! window before each, which may reach out of the range. A conversion without a touch there is put down to the
//! click that earned it, if any, else to the empty value: so nothing that converted is without a touch.

use clickhouse::Client;
use weir_schemas::ids::Sequence;
use weir_schemas::problem::Problem;
use weir_schemas::query::Dimension;
use weir_schemas::time::Timestamp;

use super::super::execute::QueryError;
use super::super::range::Range;
use super::super::sql::{Statement, Table};
use super::facts::{Fact, STANDS, each_person, histories};
use super::money::Money;
use super::scope::{Scope, check_group};
use super::step::{CLICK, CONVERSION, Matcher, Step, Window, source};

/// What both reports are asked with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Journey {
    pub(super) dimension: Dimension,
    pub(super) window: Window,
    pub(super) conversion: Step,
    /// Whether persons who did not convert are looked at too.
    pub(super) all: bool,
}

pub(super) fn a_conversion() -> Step {
    Step { event: CONVERSION.to_owned(), name: None, filters: None }
}
pub(super) const fn month() -> Window {
    Window::days(30)
}

/// A touch of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Touch<'a> {
    pub(super) at: i64,
    pub(super) key: &'a str,
}

/// A conversion and what led to it, at least one touch, in order.
#[derive(Debug, Clone)]
pub(super) struct Converted<'a> {
    pub(super) at: i64,
    pub(super) revenue: i64,
    pub(super) touches: Vec<Touch<'a>>,
}

const TOUCH: u32 = 1;
const CONVERTED: u32 = 2;

/// Shows every person's conversions, and the touches that led to none of them, to `visit`.
pub(super) async fn each_journey(
    client: &Client,
    scope: &Scope,
    journey: &Journey,
    money: &Money,
    upto: Sequence,
    mut visit: impl FnMut(&[Converted<'_>], &[Touch<'_>]) -> Result<(), Problem>,
) -> Result<u64, QueryError> {
    check_group(&journey.dimension, "dimension")?;
    let conversion = Matcher::new(&journey.conversion, "conversion")?;
    if conversion.of_clicks() {
        let detail = "must be a conversion or an event, not a click";
        return Err(Problem::field("conversion", detail).into());
    }
    let (range, group) = (scope.range(), Some(&journey.dimension));
    let before = Range { from: Timestamp(range.from.0.saturating_sub(journey.window.0)), to: range.to };
    let mut statement = Statement::default();
    let click = Matcher::new(&Step { event: CLICK.to_owned(), name: None, filters: None }, "conversion")?;
    let mut clicks =
        source(&[click], Table::Clicks, &scope.within(before), group, false, upto, &mut statement);
    let steps = [conversion];
    let mut sources = Vec::new();
    for table in [Table::Events, Table::Effects] {
        let read = if table == Table::Events { steps[0].of_events() } else { steps[0].of_effects() };
        if !read {
            continue;
        }
        let mut source = source(&steps, table, &scope.plan, group, false, upto, &mut statement);
        source.tag = CONVERTED.to_string();
        sources.push(match table {
            Table::Effects => {
                source.value = "revenue".to_owned();
                source.table = money.effects();
                source.conversions(STANDS)
            }
            _ => source.rows(),
        });
    }
    // Most persons never convert: where nothing is asked of them, their clicks are left aside at once.
    if !journey.all {
        clicks.terms.push(format!(
            "{} IN (SELECT person FROM (\n{}\n))",
            clicks.person,
            sources.join("\nUNION ALL\n")
        ));
    }
    sources.push(clicks.rows());
    let statement = histories(&sources, None, statement);
    each_person(client, &statement, |_, facts| {
        let (converted, idle) = journeys(facts, range, journey.window.0);
        visit(&converted, &idle)
    })
    .await
}

fn journeys(facts: &[Fact], range: Range, window: i64) -> (Vec<Converted<'_>>, Vec<Touch<'_>>) {
    let touches: Vec<(usize, Touch<'_>)> = (facts.iter().enumerate())
        .filter(|(_, fact)| fact.tag == TOUCH)
        .map(|(index, fact)| (index, Touch { at: fact.at, key: &fact.key }))
        .collect();
    let mut led = vec![false; facts.len()];
    let mut converted = Vec::new();
    for (index, fact) in facts.iter().enumerate().filter(|(_, fact)| fact.tag == CONVERTED) {
        let from = touches.partition_point(|(_, touch)| touch.at < fact.at - window);
        let to = touches.partition_point(|(at, _)| *at < index);
        let mut before: Vec<Touch<'_>> = Vec::with_capacity(to.saturating_sub(from).max(1));
        for (at, touch) in &touches[from.min(to)..to] {
            led[*at] = true;
            before.push(*touch);
        }
        if before.is_empty() {
            before.push(Touch { at: fact.at, key: &fact.key });
        }
        converted.push(Converted { at: fact.at, revenue: fact.value, touches: before });
    }
    // What came before the range can lead to something; that it led to nothing is no matter of the range.
    let idle = touches.iter().filter(|(at, touch)| !led[*at] && range.contains(Timestamp(touch.at)));
    (converted, idle.map(|(_, touch)| *touch).collect())
}
