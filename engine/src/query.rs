//! Queries. A [`schemas::query::Query`](weir_schemas::query::Query) is checked and resolved once into a
//! [`plan::Plan`]; the plan is then answered in two ways that must agree cell by cell: [`sql`] over
//! everything the warehouse stores, and [`fold`] over entries as they come. What does not add up (visitors,
//! percentiles) is kept by both as the same mergeable state, and one function turns states into cells.

//!
//! Read in this order: [`plan`] (with its ranges, buckets and conditions), the states of a row (sums,
//! visitors, latencies), [`sql`] and [`execute`], [`fold`]. [`reports`] answers what no sum per group can.

mod bucket;
mod condition;
mod exchange;
mod range;

pub mod plan;

mod latency;
mod measure;
mod state_rows;
mod states;
mod table;
pub(crate) mod visitors;

pub(crate) mod cells;

mod running;

pub mod execute;
pub mod fold;
pub mod sql;

pub mod export;
pub mod link_clicks;
pub mod link_signals;
pub mod question;
pub mod reports;

pub use latency::LATENCY_ERROR;
pub use range::Range;
pub use running::Running;
pub use visitors::{STANDARD_ERROR, VISITORS_EXACT_MAX};
