//! `weir export`: a query's answer as a file, from the engine that runs on the data folder.

use std::io::Write;

use clap::ArgMatches;

use super::running::{Running, problem};
use crate::config::Config;
use crate::engine::Failure;

pub(super) fn run(matches: &ArgMatches, config: &Config) -> Result<(), Failure> {
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let (query, format, output) = (text("query"), text("format"), text("output"));
    let data = config.data_dir.display();
    let running = Running::find(&config.data_dir)
        .ok_or_else(|| format!("no engine runs on {data}; start it with `weir serve`"))?;
    let answered = running.ask("POST", &format!("/v1/query?format={format}"), Some(&query))?;
    if answered.status != 200 {
        return Err(problem(&answered).into());
    }
    if output == "-" {
        std::io::stdout().write_all(&answered.body)?;
        return Ok(());
    }
    std::fs::write(&output, &answered.body).map_err(|error| format!("cannot write {output}: {error}").into())
}
