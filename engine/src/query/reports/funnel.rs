//! How many persons do one thing after another, and how long they take: `POST /v1/reports/funnel`.
//!
//! - `ordered` (the default): the steps in their order, anything between them.
//! - `strict`: the steps in their order and nothing between them of the kinds that the funnel speaks of (link
//!   clicks, browser events, conversions).
//! - `any`: the steps in whatever order; row n tells who did at least n of them.
//!
//! All steps of an attempt happen within `window` of its first. A person counts once, with the attempt that
//! got furthest. The time of a step is that since the step before, in the attempt by which the person first
//! reached it (of several, the one that began last).

use std::collections::BTreeMap;

use clickhouse::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;
use weir_schemas::ids::Sequence;
use weir_schemas::problem::Problem;
use weir_schemas::query::{ColumnType, Dimension};

use super::super::execute::{QueryError, fetch_as};
use super::super::sql::Statement;
use super::super::state_rows::Bytes;
use super::facts::{Fact, each_person, histories};
use super::scope::{Scope, check_group, key_cell};
use super::step::{Matcher, Step, Window, sources, sources_of};
use super::{Report, basis_points, column, median};

/// Fewest and most steps.
pub const STEPS: std::ops::RangeInclusive<usize> = 2..=12;
/// Most values of a breakdown that are told; the largest are.
pub const GROUPS_MAX: usize = 100;
/// Most values of a breakdown that are counted.
const GROUPS_COUNTED_MAX: usize = 10_000;
/// Of how many persons a step's median is taken, per value of the breakdown: the first so many.
pub const TIMES_MAX: usize = 1_000_000;

/// In which order steps count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// One after another.
    #[default]
    Ordered,
    /// One directly after another.
    Strict,
    /// Whatever comes first.
    Any,
}

/// The report's own members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// 2 to 12.
    pub steps: Vec<Step>,
    /// From the first step to the last.
    #[serde(default = "week")]
    pub window: Window,
    /// `ordered`, `strict` or `any`.
    #[serde(default, alias = "mode")]
    pub order: Order,
    /// A dimension, by its value when the person first did the first step (with `any`: one of the steps).
    #[serde(default)]
    pub breakdown: Option<Dimension>,
}

const fn week() -> Window {
    Window::days(7)
}

/// What is counted of one value of the breakdown: per step, persons and times.
#[derive(Debug, Clone, Default)]
struct Counted {
    persons: Vec<u64>,
    times: Vec<Vec<i64>>,
}

/// The report.
///
/// # Errors
/// 422 naming a field that does not fit.
pub async fn report(
    client: &Client,
    scope: &Scope,
    spec: &Spec,
    upto: Sequence,
) -> Result<Report, QueryError> {
    if !STEPS.contains(&spec.steps.len()) {
        let detail = format!("a funnel has {} to {} steps", STEPS.start(), STEPS.end());
        return Err(Problem::field("steps", detail).into());
    }
    if let Some(breakdown) = &spec.breakdown {
        check_group(breakdown, "breakdown")?;
    }
    let steps = (spec.steps.iter().enumerate())
        .map(|(index, step)| Matcher::new(step, &format!("steps[{index}]")))
        .collect::<Result<Vec<_>, _>>()?;
    let (mut groups, began_read) = began(client, scope, spec, &steps, upto).await?;
    let count = steps.len();
    let mut statement = Statement::default();
    // Most persons never get beyond the first step: they are counted above, and only the others are looked at one
    // by one.
    let later = sources(&steps[1..], &scope.plan, None, false, upto, &mut statement).join("\nUNION ALL\n");
    let later = format!("SELECT person FROM (\n{later}\n)");
    let (group, all) = (spec.breakdown.as_ref(), spec.order == Order::Strict);
    let sources = sources_of(&steps, &scope.plan, group, all, Some(&later), upto, &mut statement);
    let begins = "countIf(bitAnd(g, 1) != 0) > 0";
    let having = if spec.order == Order::Any { None } else { Some(begins) };
    let statement = histories(&sources, having, statement);
    let rows_read = each_person(client, &statement, |_, facts| {
        let attempt = attempt(facts, count, spec.window.0, spec.order);
        let Some(first) = attempt.times.first() else { return Ok(()) };
        let key = first_key(facts, first.1, spec.order);
        let Some(counted) = groups.get_mut(key) else { return Ok(()) };
        for (step, (time, _)) in attempt.times.iter().enumerate().skip(1) {
            counted.persons[step] += 1;
            if counted.times[step].len() < TIMES_MAX {
                counted.times[step].push(*time);
            }
        }
        Ok(())
    })
    .await?;
    Ok(answer(spec, groups, began_read + rows_read))
}

/// Whether a fact begins an attempt.
fn begins(fact: &Fact, order: Order) -> bool {
    if order == Order::Any { fact.tag != 0 } else { fact.tag & 1 != 0 }
}

/// The value of the breakdown when a person began: of equal times the least.
fn first_key(facts: &[Fact], first: usize, order: Order) -> &str {
    let at = facts[first].at;
    let began = facts.iter().filter(|fact| fact.at == at && begins(fact, order));
    began.map(|fact| &*fact.key).min().unwrap_or(&facts[first].key)
}

/// Everybody who did the first step (with `any`: one of the steps), by the value of the breakdown then; and the
/// rows read.
async fn began(
    client: &Client,
    scope: &Scope,
    spec: &Spec,
    steps: &[Matcher],
    upto: Sequence,
) -> Result<(BTreeMap<Box<str>, Counted>, u64), QueryError> {
    let count = steps.len();
    let first = if spec.order == Order::Any { steps } else { &steps[..1] };
    let mut statement = Statement::default();
    let group = spec.breakdown.as_ref();
    let facts = sources(first, &scope.plan, group, false, upto, &mut statement).join("\nUNION ALL\n");
    statement.sql = match group {
        None => format!("SELECT '' AS b, uniqExact(person) AS n FROM (\n{facts}\n)"),
        Some(_) => format!(
            "SELECT b, count() AS n FROM (SELECT argMin(k, (t, k)) AS b FROM (\n{facts}\n) GROUP BY person) GROUP BY b \
             LIMIT {}",
            GROUPS_COUNTED_MAX + 1
        ),
    };
    let (bytes, rows_read) = fetch_as(client, &statement, "RowBinary").await?;
    let mut bytes = Bytes { all: &bytes, at: 0 };
    let mut groups = BTreeMap::new();
    while bytes.at < bytes.all.len() {
        let key: Box<str> = bytes.text()?.into();
        let mut counted = Counted { persons: vec![0; count], times: vec![Vec::new(); count] };
        counted.persons[0] = bytes.u64()?;
        groups.insert(key, counted);
    }
    if groups.len() > GROUPS_COUNTED_MAX {
        let detail = format!("has more than {GROUPS_COUNTED_MAX} values: filter or take another");
        return Err(Problem::field("breakdown", detail).into());
    }
    Ok((groups, rows_read))
}

fn answer(spec: &Spec, groups: BTreeMap<Box<str>, Counted>, rows_read: u64) -> Report {
    let mut groups: Vec<(Box<str>, Counted)> = groups.into_iter().collect();
    groups.sort_by_key(|(_, counted)| std::cmp::Reverse(counted.persons[0]));
    let omitted = groups.len().saturating_sub(GROUPS_MAX);
    groups.truncate(GROUPS_MAX);
    let mut report = Report { rows_read, ..Report::default() };
    if let Some(breakdown) = &spec.breakdown {
        report.columns.push(column(breakdown.name(), breakdown.column_type()));
        report.more.insert("omitted".to_owned(), json!(omitted));
    }
    report.columns.extend([
        column("step", ColumnType::Integer),
        column("name", ColumnType::String),
        column("visitors", ColumnType::Integer),
        column("conversion_rate", ColumnType::Number),
        column("step_conversion_rate", ColumnType::Number),
        column("drop_off", ColumnType::Integer),
        column("median_ms", ColumnType::Integer),
    ]);
    for (key, mut counted) in groups {
        for (index, step) in spec.steps.iter().enumerate() {
            let persons = counted.persons[index];
            let before = if index == 0 { persons } else { counted.persons[index - 1] };
            let median = if index == 0 { None } else { median(&mut counted.times[index]) };
            let mut row = Vec::with_capacity(report.columns.len());
            if let Some(breakdown) = &spec.breakdown {
                row.push(key_cell(breakdown, &key));
            }
            row.extend([
                json!(index + 1),
                json!(step.name.as_ref().unwrap_or(&step.event)),
                json!(persons),
                json!(basis_points(persons, counted.persons[0])),
                json!(basis_points(persons, before)),
                json!(before - persons),
                json!(median),
            ]);
            report.rows.push(row);
        }
    }
    report
}

/// How far a person got: per step reached, the time since the step before (0 at the first) and a fact's index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Attempt {
    times: Vec<(i64, usize)>,
}

fn attempt(facts: &[Fact], steps: usize, window: i64, order: Order) -> Attempt {
    match order {
        Order::Ordered => in_order(facts, steps, window, false),
        Order::Strict => in_order(facts, steps, window, true),
        Order::Any => in_any_order(facts, steps, window),
    }
}

/// Keeps, for each step, the attempt that reached it and began last: whatever a later attempt can still reach
/// within the window, an earlier one cannot reach better.
fn in_order(facts: &[Fact], steps: usize, window: i64, strict: bool) -> Attempt {
    let mut reached = Attempt::default();
    // Index of the first fact, index of the last.
    let mut open: Vec<Option<(usize, usize)>> = vec![None; steps];
    for (index, fact) in facts.iter().enumerate() {
        let mut next = if strict { vec![None; steps] } else { open.clone() };
        for step in 0..steps {
            if fact.tag & (1 << step) == 0 {
                continue;
            }
            let attempt = match step {
                0 => Some((index, index)),
                _ => open[step - 1]
                    .filter(|(first, _)| fact.at - facts[*first].at <= window)
                    .map(|(f, _)| (f, index)),
            };
            let Some((first, _)) = attempt else { continue };
            if next[step].is_none_or(|(held, _)| held < first) {
                next[step] = attempt;
            }
            if reached.times.len() == step {
                let time =
                    if step == 0 { 0 } else { fact.at - facts[open[step - 1].map_or(index, |(_, l)| l)].at };
                let shown = if step == 0 { index } else { reached.times[0].1 };
                reached.times.push((time, shown));
                if step + 1 == steps {
                    return reached;
                }
            }
        }
        open = next;
    }
    reached
}

/// A fact serves every step that it is. What counts is how many different ones lie within the window.
fn in_any_order(facts: &[Fact], steps: usize, window: i64) -> Attempt {
    let mut reached = Attempt::default();
    let mut last: Vec<Option<i64>> = vec![None; steps];
    for (index, fact) in facts.iter().enumerate() {
        let before: Vec<i64> = last.iter().flatten().copied().filter(|at| fact.at - at <= window).collect();
        for (step, last) in last.iter_mut().enumerate() {
            if fact.tag & (1 << step) != 0 {
                *last = Some(fact.at);
            }
        }
        let done = last.iter().flatten().filter(|at| fact.at - **at <= window).count();
        while reached.times.len() < done {
            let since = if reached.times.is_empty() {
                fact.at
            } else {
                before.iter().copied().max().unwrap_or(fact.at)
            };
            reached
                .times
                .push((fact.at - since, if reached.times.is_empty() { index } else { reached.times[0].1 }));
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Per step reached the time since the one before; facts are moments and the steps that they are.
    fn times(facts: &[(i64, u32)], order: Order) -> Vec<i64> {
        let fact = |&(at, tag): &(i64, u32)| Fact { at, tag, value: 0, other: 0, key: "".into() };
        let facts: Vec<Fact> = facts.iter().map(fact).collect();
        attempt(&facts, 3, 100, order).times.into_iter().map(|(time, _)| time).collect()
    }

    #[test]
    fn the_attempt_that_began_last_tells_the_time() {
        let facts = [(0, 1), (10, 1), (15, 2), (18, 4)];
        assert_eq!(times(&facts, Order::Ordered), [0, 5, 3]);
        assert_eq!(times(&facts, Order::Strict), [0, 5, 3]);
        assert_eq!(times(&[(0, 1), (15, 2), (16, 0), (18, 4)], Order::Strict), [0, 15]);
        assert_eq!(
            times(&[(0, 1), (15, 2), (100, 4)], Order::Ordered),
            [0, 15, 85],
            "the window's last moment"
        );
        assert_eq!(times(&[(0, 1), (15, 2), (101, 4)], Order::Ordered), [0, 15], "beyond the window");
    }

    #[test]
    fn in_any_order_a_step_is_new_since_the_last_of_the_others() {
        assert_eq!(times(&[(0, 4), (10, 4), (15, 1), (18, 2)], Order::Any), [0, 5, 3]);
        // One fact that is two steps is both at once.
        assert_eq!(times(&[(7, 3), (9, 4)], Order::Any), [0, 0, 2]);
        assert_eq!(times(&[(0, 1), (101, 2)], Order::Any), [0], "beyond the window");
    }
}
