//! Queries against their twins: states in memory against plain loops over all rows ([`folding`]), and a
//! real ClickHouse against states in memory ([`warehouse`]), cell by cell, over random facts and random
//! queries. [`cells`]: the same with clicks that were added up beforehand.
//!
//! libchdb is taken from `WEIR_LIBCHDB`, else from where `make libchdb` puts it.

#![allow(clippy::unwrap_used)]

mod cells;
mod exchange;
mod facts;
mod folding;
mod measures;
mod server;
mod twin;
mod warehouse;
