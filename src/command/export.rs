//! `weir export`: a query's answer, or raw rows, as a file, from the engine that runs on the data folder.

use std::fs::File;
use std::io::Write as _;

use clap::ArgMatches;

use super::running::Running;
use crate::config::Config;
use crate::engine::Failure;

pub(super) fn run(matches: &ArgMatches, config: &Config) -> Result<(), Failure> {
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let (format, output) = (text("format"), text("output"));
    let (path, body) = match matches.get_one::<String>("rows") {
        None => ("/v1/query", text("query")),
        Some(rows) if rows.trim_start().starts_with('{') => ("/v1/export", rows.clone()),
        Some(rows) => ("/v1/export", serde_json::json!({"rows": rows, "date_range": "all"}).to_string()),
    };
    let data = config.data_dir.display();
    let running = Running::find(&config.data_dir)
        .ok_or_else(|| format!("no engine runs on {data}; start it with `weir serve`"))?;
    let path = format!("{path}?format={format}");
    if output == "-" {
        return running.download(&path, &body, &mut std::io::stdout().lock());
    }
    let mut file = File::create(&output).map_err(|error| format!("cannot write {output}: {error}"))?;
    running.download(&path, &body, &mut file)?;
    Ok(file.flush()?)
}
