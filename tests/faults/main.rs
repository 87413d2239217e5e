//! What bad input and faults get, end to end: the real binary, the real ClickHouse, `kill -9`.

#[path = "../harness/engine.rs"]
mod engine;

mod abandoned;
mod cells;
mod clickhouse;
mod damage;
mod database;
mod dead_letter;
mod full_disk;
mod hostile;
mod killed;
mod load;
mod one_engine;
mod payouts;
mod proxy;
mod stopping;
mod watchers;
