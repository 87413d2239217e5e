//! The database of a bench: embedded ClickHouse in a folder of its own, as the engine runs it. The bench's own program
//! is the child that the supervisor starts, as `weir clickhouse` is the engine's.

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tempfile::TempDir;
use weir_embedded::{PASSWORD_VARIABLE, ServeOptions, Supervisor, SupervisorOptions};
use weir_engine::warehouse::{Connection, Endpoint, migrate};

/// A database that does not answer by then is no figure but a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a bench's database is.
#[derive(Debug, Args)]
pub struct Place {
    /// libchdb.so; by default as `weir serve` finds it.
    #[arg(long, env = "WEIR_LIBCHDB")]
    libchdb: Option<PathBuf>,
    /// Where a folder is made that is gone with the bench.
    #[arg(long, default_value = "target")]
    folder: PathBuf,
}

/// The database child: what the supervisor starts.
#[derive(Debug, Args)]
pub struct Child {
    #[arg(long)]
    addr: SocketAddr,
    #[arg(long)]
    tied: bool,
    #[arg(long)]
    data_dir: PathBuf,
    #[arg(long)]
    libchdb: PathBuf,
}

impl Child {
    /// Serves until the bench ends.
    pub fn serve(self) -> Result<(), Box<dyn Error>> {
        let Self { addr, tied, data_dir, libchdb } = self;
        let password = std::env::var(PASSWORD_VARIABLE)?;
        Ok(weir_embedded::serve(ServeOptions { libchdb, data_dir, addr, password, tied })?)
    }
}

/// A database that runs, with the engine's tables, empty.
pub struct Database {
    /// How it is reached.
    pub connection: Connection,
    supervisor: Supervisor,
    folder: TempDir,
}

impl Database {
    /// Starts it and makes its tables.
    pub async fn start(place: Place) -> Result<Self, Box<dyn Error>> {
        let libchdb = weir_embedded::locate(place.libchdb.as_deref())?;
        let folder = tempfile::tempdir_in(std::path::absolute(place.folder)?)?;
        let supervisor = Supervisor::start(SupervisorOptions {
            program: std::env::current_exe()?,
            libchdb: std::path::absolute(libchdb)?,
            data_dir: folder.path().join("clickhouse"),
        })?;
        let endpoint = supervisor.endpoint_changes();
        let connection = Connection::new(Arc::new(move || {
            endpoint.borrow().clone().map(|at| Endpoint {
                url: at.url,
                user: at.user,
                password: at.password,
                database: "weir".to_owned(),
            })
        }));
        let client = connection.ready(PATIENCE).await?;
        migrate::up(&client).await.map_err(|error| error.to_string())?;
        Ok(Self { connection, supervisor, folder })
    }

    /// The bench's folder; files of its own may lie beside the database's.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The child's process.
    pub fn pid(&self) -> Option<u32> {
        self.supervisor.pid()
    }

    /// Ends it and removes the folder.
    pub async fn stop(self) {
        self.supervisor.stop().await;
    }
}
