//! Queries. A [`schemas::query::Query`](weir_schemas::query::Query) is checked and resolved once into a [`plan::Plan`];
//! the plan is then answered in two ways that must agree cell by cell: [`sql`] over everything the warehouse stores, and
//! [`fold`] over entries as they come. What does not add up (visitors, percentiles) is kept by both as the same mergeable
//! state, and one function turns states into cells.

mod bucket;
mod condition;
mod latency;
pub mod plan;
mod range;
mod states;
mod visitors;
