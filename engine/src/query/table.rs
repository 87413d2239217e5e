//! From keys and states to the answer's rows: which rows there are, in which order, and their cells. The one
//! place where this is decided, for SQL's answers and for memory's.

use std::cmp::Ordering;

use serde_json::json;
use weir_schemas::query::{Cell, Comparison, Dimension, Direction, Metric};

use super::condition::{FieldKind, kind, print_id};
use super::plan::{OrderBy, Plan};
use super::states::{Number, States, finish};

/// A dimension's value, before it is printed. Values of one dimension are all of one kind, and sort as they
/// should.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    Text(Box<str>),
    /// An id or a number of an autonomous system; 0 stands for none.
    Number(u64),
    Flag(bool),
    /// A key of [`super::bucket`].
    Time(i64),
}

/// The indices of the answer's rows, in order.
pub(super) fn arrange<'a>(plan: &Plan, rows: impl Iterator<Item = (&'a [Key], &'a States)>) -> Vec<u32> {
    if plan.dimensions.is_empty() {
        return rows.take(1).map(|_| 0).collect();
    }
    let metric_count = plan.metrics.len();
    let mut numbers: Vec<Number> = Vec::new();
    let mut candidates: Vec<(u32, &[Key], usize)> = Vec::new();
    for (index, (keys, states)) in rows.enumerate() {
        if !states.exists(&plan.needs) {
            continue;
        }
        let start = numbers.len();
        numbers.extend(plan.metrics.iter().map(|metric| finish(*metric, states, plan.converts)));
        if selected(plan, &numbers[start..]) {
            candidates.push((index as u32, keys, start));
        } else {
            numbers.truncate(start);
        }
    }
    candidates.sort_unstable_by(|a, b| {
        let (left, right) = (&numbers[a.2..a.2 + metric_count], &numbers[b.2..b.2 + metric_count]);
        compare(plan, (a.1, left), (b.1, right))
    });
    candidates.into_iter().skip(plan.offset).take(plan.limit).map(|(index, _, _)| index).collect()
}

/// Whether a row's numbers pass the conditions on metrics.
fn selected(plan: &Plan, numbers: &[Number]) -> bool {
    plan.having.iter().all(|having| {
        numbers[having.metric].as_f64().is_some_and(|number| match having.comparison {
            Comparison::Gt => number > having.value,
            _ => number < having.value,
        })
    })
}

/// Whether a row is one of the answer's, whatever its place.
pub(super) fn is_row(plan: &Plan, states: &States) -> bool {
    if plan.dimensions.is_empty() {
        return true;
    }
    let numbers =
        || plan.metrics.iter().map(|metric| finish(*metric, states, plan.converts)).collect::<Vec<_>>();
    states.exists(&plan.needs) && (plan.having.is_empty() || selected(plan, &numbers()))
}

fn compare(plan: &Plan, a: (&[Key], &[Number]), b: (&[Key], &[Number])) -> Ordering {
    for (by, direction) in &plan.order {
        let order = match by {
            OrderBy::Dimension(index) => a.0[*index].cmp(&b.0[*index]),
            OrderBy::Metric(index) => a.1[*index].order(b.1[*index]),
        };
        let order = if *direction == Direction::Desc { order.reverse() } else { order };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// A row's cells: its dimensions, then its metrics.
pub(super) fn cells(plan: &Plan, keys: &[Key], states: &States) -> Vec<Cell> {
    let mut cells = dimension_cells(plan, keys);
    cells.extend(plan.metrics.iter().map(|metric| finish(*metric, states, plan.converts).cell()));
    cells
}

/// The cells that name a row.
pub(super) fn dimension_cells(plan: &Plan, keys: &[Key]) -> Vec<Cell> {
    plan.dimensions.iter().zip(keys).map(|(dimension, key)| dimension_cell(plan, dimension, key)).collect()
}

fn dimension_cell(plan: &Plan, dimension: &Dimension, key: &Key) -> Cell {
    match (dimension, key) {
        (_, Key::Text(text)) => json!(text),
        (_, Key::Flag(flag)) => json!(flag),
        (_, Key::Time(key)) => {
            let buckets = plan.buckets.as_ref().expect("a plan with a time dimension has buckets");
            json!(buckets.print(*key))
        }
        (Dimension::Field(field), Key::Number(number)) if kind(*field) == FieldKind::Id => {
            json!(print_id(*field, *number))
        }
        (_, Key::Number(number)) => json!(number),
    }
}

/// The totals' cells, one per metric. Amounts of several currencies have no sum.
pub(super) fn total_cells(plan: &Plan, total: &States) -> Vec<Cell> {
    let several = total.currencies.len() > 1 && !plan.converts;
    let cell = |metric: &Metric| {
        if several && metric.is_money() { Cell::Null } else { finish(*metric, total, plan.converts).cell() }
    };
    plan.metrics.iter().map(cell).collect()
}
