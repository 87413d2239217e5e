//! Reports: questions whose answers are more than sums per group. Each looks at the same facts as a query does (the
//! same ranges, time zones and filters, everything up to one sequence), mostly as whole histories of persons:
//! [`facts`] streams them from ClickHouse one person at a time, and a report's own state grows with its
//! answer, not with the number of persons.
//!
//! A **person** is the visitor of a click or browser event and, for a conversion, the visitor of the click that
//! earned it; a conversion without one counts for its customer, and one without a customer for itself. Reports
//! about money ([`cohort_revenue`], [`rfm`], [`ltv`], [`subscriptions`]) look at customers only.

mod any;
mod facts;
mod periods;
mod scope;
mod step;

pub mod funnel;
pub mod retention;

pub mod cohort_revenue;
mod customers;
pub mod ltv;
mod money;
pub mod rfm;
pub mod subscriptions;

pub mod attribution;
mod journeys;
pub mod paths;

pub mod anomalies;
pub mod experiment;
pub mod heatmap;
mod statistics;

pub use any::AnyReport;
pub use periods::Period;
pub use scope::{Asked, Scope};
pub use step::{Step, Window};

use weir_schemas::query::{Cell, Column, ColumnType};

/// What a report answers: rows like a query's, and what it has beside them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Names and types of a row's cells.
    pub columns: Vec<Column>,
    /// In the order that the report states.
    pub rows: Vec<Vec<Cell>>,
    /// Members of the answer beside `columns` and `rows`.
    pub more: serde_json::Map<String, serde_json::Value>,
    /// Rows that ClickHouse read, as far as it said.
    pub rows_read: u64,
    /// For `meta.fx`: how amounts were converted, where they were.
    pub fx: Option<serde_json::Value>,
}

fn column(name: impl Into<String>, kind: ColumnType) -> Column {
    Column { name: name.into(), kind }
}

/// `part` of `whole` in basis points, rounded half up; 0 of nothing.
fn basis_points(part: u64, whole: u64) -> i64 {
    let (part, whole) = (i64::try_from(part).unwrap_or(i64::MAX), i64::try_from(whole).unwrap_or(i64::MAX));
    weir_schemas::money::share(part, 10_000, whole).unwrap_or(0)
}

/// The middle of numbers; of an even count the lower of the two in the middle.
fn median(numbers: &mut [i64]) -> Option<i64> {
    let middle = numbers.len().checked_sub(1)? / 2;
    Some(*numbers.select_nth_unstable(middle).1)
}
