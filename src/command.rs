//! The subcommands beside `serve`.

use clap::ArgMatches;

use crate::config::Config;
use crate::engine::Failure;

mod clickhouse;
mod doctor;
mod export;
mod hooks;
mod key;
mod migrate;
mod replay;
mod running;

/// Runs a subcommand by its name.
pub fn run(name: &str, matches: &ArgMatches, config: &Config) -> Result<(), Failure> {
    match name {
        "clickhouse" => clickhouse::run(matches, config),
        "migrate" => migrate::run(matches, config),
        "key" => key::run(matches, config),
        "replay" => replay::run(matches, config),
        "doctor" => doctor::run(matches, config),
        "hooks" => hooks::run(matches, config),
        "export" => export::run(matches, config),
        other => unreachable!("clap knows no subcommand {other}"),
    }
}
