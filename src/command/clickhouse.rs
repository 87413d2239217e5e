//! `weir clickhouse`: the embedded warehouse as a process of its own.

use clap::ArgMatches;
use weir_embedded::{ServeOptions, locate, serve};

use crate::config::Config;
use crate::engine::Failure;

pub(super) fn run(matches: &ArgMatches, config: &Config) -> Result<(), Failure> {
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let addr = text("addr");
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .compact()
        .init();
    serve(ServeOptions {
        libchdb: locate(config.libchdb.as_deref())?,
        data_dir: config.data_dir.clone(),
        addr: addr.parse().map_err(|_| format!("--addr: `{addr}` is not an address such as 127.0.0.1:0"))?,
        password: text("password"),
        tied: matches.get_flag("tied"),
    })?;
    Ok(())
}
