//! Reports on a real ClickHouse against naive twins: loops over all deeds of random people, written without a look at
//! how the reports do it.

#![allow(clippy::unwrap_used)]

mod cdnow;
mod credit;
mod deeds;
mod exchange;
mod experiments;
mod funnels;
mod money;
mod open_bandit;
mod retention;
#[path = "../queries/server.rs"]
mod server;
mod views;
