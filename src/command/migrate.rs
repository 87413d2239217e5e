//! `weir migrate up|status`: the schema of a ClickHouse of one's own, or of the embedded one while no engine runs.

use std::time::Duration;

use clap::ArgMatches;
use weir_embedded::{Supervisor, SupervisorOptions, locate};
use weir_engine::data_dir::DataDir;
use weir_engine::warehouse::migrate::{status, up};
use weir_engine::warehouse::{Connection, Endpoint};

use crate::config::Config;
use crate::engine::Failure;
use crate::serve::DATABASE;

/// How long the warehouse may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(matches: &ArgMatches, config: &Config) -> Result<(), Failure> {
    with_warehouse(config, async |connection| {
        let client = connection.ready(PATIENCE).await?;
        if let Some(("up", _)) = matches.subcommand() {
            for applied in up(&client).await? {
                println!("applied {:04} {}", applied.number, applied.name);
            }
        }
        for standing in status(&client).await? {
            let when = standing.applied_at.map_or_else(|| "missing".to_owned(), |at| at.to_string());
            println!("{:04} {:20} {when}", standing.number, standing.name);
        }
        Ok(())
    })
}

/// Gives `work` the configured warehouse; the embedded one is started for it and needs the data folder.
pub(super) fn with_warehouse(
    config: &Config,
    work: impl AsyncFnOnce(&Connection) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let database = DATABASE.to_owned();
    if let Some(url) = config.clickhouse_url.clone() {
        let (user, password) = (config.clickhouse_user.clone(), config.clickhouse_password.clone());
        let endpoint = Endpoint { url, user, password, database };
        let connection = Connection::new(std::sync::Arc::new(move || Some(endpoint.clone())));
        return runtime.block_on(work(&connection));
    }
    let data = DataDir::take(&config.data_dir)?;
    let supervisor = Supervisor::start(SupervisorOptions {
        program: std::env::current_exe()?,
        libchdb: locate(config.libchdb.as_deref())?,
        data_dir: data.join("clickhouse"),
    })?;
    let changes = supervisor.endpoint_changes();
    let connection = Connection::new(std::sync::Arc::new(move || {
        let now = changes.borrow().clone()?;
        let (url, user, password) = (now.url, now.user, now.password);
        Some(Endpoint { url, user, password, database: database.clone() })
    }));
    let result = runtime.block_on(work(&connection));
    runtime.block_on(supervisor.stop());
    result
}
