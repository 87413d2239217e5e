//! `weir clickhouse`: the embedded warehouse as a process of its own.

use clap::ArgMatches;
use weir_embedded::{ServeOptions, locate, serve};

use crate::config::Config;
use crate::engine::Failure;

pub(super) fn run(matches: &ArgMatches, config: &Config) -> Result<(), Failure> {
    let text = |name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    let addr = text("addr");
    let tied = matches.get_flag("tied");
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(terminal).with_target(false);
    if tied {
        // The engine logs these lines with a time of its own, and knows itself what is usual.
        log.with_max_level(tracing::Level::WARN).without_time().with_level(false).compact().init();
    } else {
        log.compact().init();
    }
    serve(ServeOptions {
        libchdb: locate(config.libchdb.as_deref())?,
        data_dir: config.data_dir.clone(),
        addr: addr.parse().map_err(|_| format!("--addr: `{addr}` is not an address such as 127.0.0.1:0"))?,
        password: text("password"),
        tied,
    })?;
    Ok(())
}
