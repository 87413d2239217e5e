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
    /// A folder that stays instead, for another run.
    #[arg(long)]
    keep: Option<PathBuf>,
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

/// A database that runs, with the engine's tables; empty unless its folder was kept.
pub struct Database {
    /// How it is reached.
    pub connection: Connection,
    supervisor: Supervisor,
    folder: Folder,
}

enum Folder {
    Gone(TempDir),
    Kept(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Gone(folder) => folder.path(),
            Self::Kept(folder) => folder,
        }
    }
}

impl Database {
    /// Starts it and makes its tables.
    pub async fn start(place: Place) -> Result<Self, Box<dyn Error>> {
        let libchdb = weir_embedded::locate(place.libchdb.as_deref())?;
        let folder = match place.keep {
            Some(folder) => Folder::Kept(std::path::absolute(folder)?),
            None => Folder::Gone(tempfile::tempdir_in(std::path::absolute(place.folder)?)?),
        };
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

    /// Processor time that the database has taken since it was started, to a hundredth of a second.
    pub fn processor_time(&self) -> Result<Duration, Box<dyn Error>> {
        const TICK: Duration = Duration::from_millis(10);
        let pid = self.pid().ok_or("the database does not run")?;
        let told = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // Behind the program's name in parentheses the 12th and 13th are ticks in user and system mode.
        let (_, fields) = told.rsplit_once(')').ok_or("no process's figures")?;
        let ticks: Vec<u32> =
            fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        Ok(TICK * ticks.iter().sum())
    }

    /// Ends it, and removes the folder unless it is kept.
    pub async fn stop(self) {
        self.supervisor.stop().await;
    }
}
