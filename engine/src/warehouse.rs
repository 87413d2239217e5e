//! The warehouse: ClickHouse, over its HTTP interface. A follower of the journal stores every click, browser
//! event and effect of the books there, exactly once.
//!
//! A batch is a range of sequences. Before it is inserted its range is written down; after a restart or an ambiguous
//! reply ClickHouse is asked which rows of the range it has (`node`, `seq`), and only the others are inserted.
//! The insert's deduplication token is the second layer. A row that ClickHouse can never take is bisected out
//! into `dead_letter`; for everything else the follower waits and tries again, for as long as it takes.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clickhouse::Client;
use weir_schemas::fact::ClickFacts;
use weir_schemas::ids::{ClickId, Sequence, WorkspaceId};
use weir_schemas::time::Timestamp;

use crate::watermark::Watermark;

mod batch;
pub mod block;
pub mod cells;
mod connection;
mod dead_letters;
mod erase;
mod find_click;
mod folding;
mod follower;
pub mod migrate;
mod progress;
mod rebuild;
pub mod rows;

pub use connection::{Connection, Endpoint, Locate, NotRunning};
pub use dead_letters::{DEAD_LETTERS_MAX, DeadLetter, StillRefused, TriedAgain};
pub use erase::erase;
pub use follower::{EffectsOf, MilestonesOf, Sources};
pub use progress::seen;
pub use rebuild::{RebuildError, rebuild};

/// How long after the engine's start a question waits for a ClickHouse that is still coming up.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// How often it looks.
const START_POLL: Duration = Duration::from_millis(20);

/// How the follower works.
#[derive(Debug, Clone)]
pub struct WarehouseConfig {
    /// This node's number.
    pub node: u16,
    /// The file that holds its progress.
    pub progress: PathBuf,
    /// Rows of a batch.
    pub batch_rows: usize,
    /// Age of a batch.
    pub batch_age: Duration,
    /// Sequences after which clicks are added up ([`cells::STEP_LENGTH`]).
    pub step_length: Sequence,
}

/// How the warehouse is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WarehouseState {
    /// Nothing was stored yet in this run.
    Starting,
    /// The last batch went in.
    Storing,
    /// The last try failed; why.
    Away(String),
}

/// Clicks and browser events of this run, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conservation {
    /// Read from the journal.
    pub read: u64,
    /// In `clicks` or `events`.
    pub stored: u64,
    /// In `dead_letter`.
    pub dead_lettered: u64,
}

/// The warehouse did not get as far as was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the warehouse has stored up to {stored} of {wanted}: {why}")]
pub struct NotFlushed {
    /// What was asked.
    pub wanted: Sequence,
    /// How far it is.
    pub stored: Sequence,
    /// Why, as far as known.
    pub why: String,
}

struct Shared {
    node: u16,
    batch_rows: usize,
    batch_age: Duration,
    step_length: Sequence,
    connection: Connection,
    stored: Watermark,
    /// Up to where `stored` is durable: what retention may rely on.
    saved: Watermark,
    durable: Watermark,
    requested: AtomicU64,
    read_traffic: AtomicU64,
    stored_traffic: AtomicU64,
    dead_traffic: AtomicU64,
    started: Timestamp,
    begun: Instant,
    /// What was stored before is there again: clicks come in order of their sequences from now on.
    settled: AtomicBool,
    /// One at a time: two would both find a row missing and store it twice; and no step is folded meanwhile, as these
    /// clicks are of early sequences.
    trying_again: tokio::sync::Mutex<()>,
    state: Mutex<WarehouseState>,
    stop: AtomicBool,
    give_up_at: Mutex<Option<Instant>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Shared {
    /// Tells whether this is news.
    fn set_state(&self, state: WarehouseState) -> bool {
        let mut now = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let news = std::mem::discriminant(&*now) != std::mem::discriminant(&state);
        *now = state;
        news
    }

    fn drained(&self, upto: Sequence) -> bool {
        self.stored.get() >= upto && upto >= self.durable.get() || self.gives_up()
    }

    fn gives_up(&self) -> bool {
        let at = *self.give_up_at.lock().unwrap_or_else(PoisonError::into_inner);
        at.is_some_and(|at| Instant::now() >= at)
    }
}

/// The handle. Clones share it.
#[derive(Clone)]
pub struct Warehouse {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Warehouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Warehouse").field("stored", &self.shared.stored.get()).finish_non_exhaustive()
    }
}

impl Warehouse {
    /// Starts the follower where its progress says. The schema must be up ([`migrate::up`]) or come up soon:
    /// until then it waits.
    pub fn start(config: WarehouseConfig, connection: Connection, sources: Sources) -> std::io::Result<Self> {
        let progress = progress::ProgressFile::open(&config.progress)?;
        let stored = progress.now.stored;
        let shared = Arc::new(Shared {
            node: config.node,
            batch_rows: config.batch_rows,
            batch_age: config.batch_age,
            step_length: config.step_length,
            connection,
            stored: Watermark::new(stored),
            saved: Watermark::new(stored),
            durable: sources.durable.clone(),
            requested: AtomicU64::new(0),
            read_traffic: AtomicU64::new(0),
            stored_traffic: AtomicU64::new(0),
            dead_traffic: AtomicU64::new(0),
            started: Timestamp::now(),
            begun: Instant::now(),
            settled: AtomicBool::new(false),
            trying_again: tokio::sync::Mutex::new(()),
            state: Mutex::new(WarehouseState::Starting),
            stop: AtomicBool::new(false),
            give_up_at: Mutex::new(None),
            threads: Mutex::new(Vec::new()),
        });
        let reader = sources.journal.behind(stored);
        let sources = Arc::new(sources);
        let follower = follower::Follower {
            reading: follower::Reading { sources: Arc::clone(&sources), reader, shared: Arc::clone(&shared) },
            storing: follower::Storing {
                sources,
                progress,
                shared: Arc::clone(&shared),
                connection: shared.connection.separate(),
                runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            },
            shared: Arc::clone(&shared),
        };
        let folding =
            folding::Folding { shared: Arc::clone(&shared), connection: shared.connection.separate() };
        let threads = vec![
            std::thread::Builder::new().name("weir-warehouse".to_owned()).spawn(move || follower.run())?,
            std::thread::Builder::new().name("weir-cells".to_owned()).spawn(move || folding.run())?,
        ];
        *shared.threads.lock().unwrap_or_else(PoisonError::into_inner) = threads;
        Ok(Self { shared })
    }

    /// A client for where ClickHouse is now.
    pub fn client(&self) -> Result<Client, NotRunning> {
        self.shared.connection.client()
    }

    /// As [`Self::client`]; while the engine has only just begun and its ClickHouse comes up, waits for it.
    pub async fn client_soon(&self) -> Result<Client, NotRunning> {
        loop {
            match self.client() {
                Err(_) if self.shared.begun.elapsed() < START_PATIENCE => {
                    tokio::time::sleep(START_POLL).await;
                }
                found => return found,
            }
        }
    }

    /// Up to where everything is stored or dead-lettered.
    pub fn stored(&self) -> &Watermark {
        &self.shared.stored
    }

    /// Up to where [`Self::stored`] survives a restart: retention may delete traffic up to here.
    pub fn stored_durably(&self) -> Sequence {
        self.shared.saved.get()
    }

    /// Stores everything up to `upto` now rather than when a batch is full; gives how far it is stored then.
    pub async fn flush_to(&self, upto: Sequence, timeout: Duration) -> Result<Sequence, NotFlushed> {
        let stored = self.shared.stored.get();
        if stored >= upto {
            return Ok(stored);
        }
        self.shared.requested.fetch_max(upto, Ordering::AcqRel);
        self.shared.durable.nudge();
        match tokio::time::timeout(timeout, self.shared.stored.reached(upto)).await {
            Ok(()) => Ok(self.shared.stored.get()),
            Err(_) => {
                let why = match self.state() {
                    WarehouseState::Away(why) => why,
                    WarehouseState::Starting => "it is being started".to_owned(),
                    WarehouseState::Storing => format!("it needs longer than {timeout:?}"),
                };
                Err(NotFlushed { wanted: upto, stored: self.shared.stored.get(), why })
            }
        }
    }

    /// The facts of a click, from ClickHouse: a point lookup by the table's primary key, which a click's id contains.
    pub async fn find_click(
        &self,
        workspace: WorkspaceId,
        id: ClickId,
    ) -> Result<Option<ClickFacts>, clickhouse::error::Error> {
        let client = self.client().map_err(|error| clickhouse::error::Error::Custom(error.to_string()))?;
        find_click::find_click(&client, workspace, id).await
    }

    /// What was put aside behind `(sequence, sub)`, in the journal's order, at most [`DEAD_LETTERS_MAX`] rows.
    pub async fn dead_letters(
        &self,
        after: (Sequence, u16),
        limit: usize,
    ) -> Result<Vec<DeadLetter>, clickhouse::error::Error> {
        let client = self.client().map_err(|error| clickhouse::error::Error::Custom(error.to_string()))?;
        dead_letters::list(&client, self.shared.node, after, limit).await
    }

    /// Tries to store again what was put aside: the rows of `sequences`, or the first [`DEAD_LETTERS_MAX`] there are.
    pub async fn retry_dead_letters(
        &self,
        sequences: Option<&[Sequence]>,
    ) -> Result<TriedAgain, clickhouse::error::Error> {
        let _turn = self.shared.trying_again.lock().await;
        let client = self.client().map_err(|error| clickhouse::error::Error::Custom(error.to_string()))?;
        // No insert that ClickHouse remembers: what is there is asked first.
        let generation = Timestamp::now().0.unsigned_abs();
        let writer = batch::Writer { node: self.shared.node, generation };
        let (tried, traffic) = dead_letters::retry(&client, writer, sequences, self.shared.started).await?;
        // What an earlier run put aside was never counted by this one.
        self.shared.dead_traffic.fetch_sub(traffic, Ordering::AcqRel);
        self.shared.stored_traffic.fetch_add(traffic, Ordering::AcqRel);
        Ok(tried)
    }

    /// How it is.
    pub fn state(&self) -> WarehouseState {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What became of the clicks and browser events of this run.
    pub fn conservation(&self) -> Conservation {
        Conservation {
            stored: self.shared.stored_traffic.load(Ordering::Acquire),
            dead_lettered: self.shared.dead_traffic.load(Ordering::Acquire),
            read: self.shared.read_traffic.load(Ordering::Acquire),
        }
    }

    /// Stores what is durable and ends the threads; gives up after `patience` if ClickHouse is away (the
    /// journal keeps it).
    pub fn stop(&self, patience: Duration) {
        *self.shared.give_up_at.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Instant::now() + patience);
        self.shared.stop.store(true, Ordering::Release);
        self.shared.durable.nudge();
        let threads =
            std::mem::take(&mut *self.shared.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            thread.join().expect("the warehouse's threads do not panic");
        }
    }
}
