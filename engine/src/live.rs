//! The live follower: every change pushed to those who watch. A subscription is a query; whoever asks the
//! same thing shares one topic, whose rows are loaded from the warehouse as of a sequence and then kept by
//! adding each later entry. One thread, `weir-live`, owns all of it; callers send it commands and get frames
//! on their outlet.
//!
//! Rows are the same arithmetic as in SQL ([`crate::query`]), and a running check loads a topic anew and compares.
//! Every tick, what changed in a topic is encoded once and the same bytes go to all of its subscribers. A
//! client that does not keep up misses deltas and gets a snapshot when it reads again; it never holds memory
//! beyond its outlet.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Sender, bounded};
use tokio::sync::mpsc;
use weir_schemas::ids::{PartnerId, Sequence, WorkspaceId};
use weir_schemas::live::{CloseCode, Recover};
use weir_schemas::query::Query;

use crate::enrich::Geo;
use crate::fx::FxTables;
use crate::recorder::Recorder;
use crate::warehouse::{Sources, Warehouse};
use crate::watermark::Watermark;

mod client;
pub mod frames;
mod load;
mod tail;
mod thread;
mod topic;

pub use client::{ClientId, OUTLET_FRAMES, OUTLET_PLACES};

/// Commands that wait for the thread at once; a connection whose command finds no room is closed as "too many".
pub const COMMANDS_MAX: usize = 65_536;
/// Distinct queries that are kept at once over all clients.
pub const TOPICS_MAX: usize = 2_000;
/// Subscriptions of one client.
pub const SUBSCRIPTIONS_MAX: usize = 64;
// It is told in the reason of a close frame.
const _: () = assert!(SUBSCRIPTIONS_MAX == 64);
/// Longest name that a client may give a subscription, in bytes.
pub const SUBSCRIPTION_ID_MAX: usize = 64;

/// How the follower works.
#[derive(Debug, Clone)]
pub struct LiveConfig {
    /// Between deltas.
    pub tick: Duration,
    /// Where snapshots are loaded.
    pub runtime: tokio::runtime::Handle,
    /// What amounts of several currencies are converted by.
    pub rates: FxTables,
    /// Where cities are, for the events' points on a map.
    pub geo: Option<Arc<Geo>>,
}

/// What goes to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// A frame of text, UTF-8.
    Frame(Bytes),
    /// The connection is to be closed, with a sentence.
    Close(CloseCode, &'static str),
}

/// Who subscribes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watcher {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Only this partner's numbers.
    pub partner: Option<PartnerId>,
}

/// The client does not reach the thread: it is overloaded or stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the live follower takes no more commands now")]
pub struct Overloaded;

enum Command {
    Connect { client: ClientId, watcher: Watcher, outlet: mpsc::Sender<Outgoing> },
    Disconnect { client: ClientId },
    Subscribe { client: ClientId, id: String, query: Box<Query>, recover: Option<Recover> },
    Events { client: ClientId, id: String },
    Unsubscribe { client: ClientId, id: String },
    Tell { workspace: WorkspaceId, row: Box<serde_json::Value> },
    Loaded(Box<load::Loaded>),
    Stop,
}

/// The handle. Clones share it.
#[derive(Clone)]
pub struct Live {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("epoch", &self.shared.epoch).finish_non_exhaustive()
    }
}

struct Shared {
    commands: Sender<Command>,
    epoch: String,
    tick: Duration,
    seen: Watermark,
    next_client: AtomicU64,
    stopped: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Live {
    /// Starts the follower at the newest entry. `epoch` names this run.
    pub fn start(
        config: LiveConfig,
        epoch: String,
        sources: Sources,
        warehouse: Warehouse,
        recorder: Recorder,
    ) -> std::io::Result<Self> {
        let (commands, queue) = bounded(COMMANDS_MAX);
        let seen = Watermark::new(sources.durable.get().min(sources.applied.get()));
        let shared = Arc::new(Shared {
            commands: commands.clone(),
            epoch: epoch.clone(),
            tick: config.tick,
            seen: seen.clone(),
            next_client: AtomicU64::new(1),
            stopped: AtomicBool::new(false),
            thread: Mutex::new(None),
        });
        let loader = load::Loader { runtime: config.runtime, warehouse, recorder, commands };
        let mut worker = thread::Worker::new(config.tick, epoch, sources, config.rates, loader, queue, seen);
        worker.geo = config.geo;
        let thread = std::thread::Builder::new().name("weir-live".to_owned()).spawn(move || worker.run())?;
        *shared.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(Self { shared })
    }

    /// Names this run of the engine: sequences of another cannot be recovered from.
    pub fn epoch(&self) -> &str {
        &self.shared.epoch
    }

    /// The newest sequence that topics have.
    pub fn seen(&self) -> Sequence {
        self.shared.seen.get()
    }

    /// Between deltas.
    pub fn tick(&self) -> Duration {
        self.shared.tick
    }

    /// Registers a client; its frames go to `outlet`, which should have [`OUTLET_PLACES`].
    pub fn connect(&self, watcher: Watcher, outlet: mpsc::Sender<Outgoing>) -> Result<ClientId, Overloaded> {
        let client = ClientId(self.shared.next_client.fetch_add(1, Ordering::Relaxed));
        self.send(Command::Connect { client, watcher, outlet })?;
        Ok(client)
    }

    /// Forgets a client. Waits for room rather than leaving it behind.
    pub fn disconnect(&self, client: ClientId) {
        let _ = self.shared.commands.send(Command::Disconnect { client });
    }

    /// Starts a subscription; what is wrong with it comes as an error frame.
    pub fn subscribe(
        &self,
        client: ClientId,
        id: String,
        query: Box<Query>,
        recover: Option<Recover>,
    ) -> Result<(), Overloaded> {
        self.send(Command::Subscribe { client, id, query, recover })
    }

    /// Starts the event tail.
    pub fn events(&self, client: ClientId, id: String) -> Result<(), Overloaded> {
        self.send(Command::Events { client, id })
    }

    /// Shows a row in the workspace's event tail; who is overloaded misses it, as with any event.
    pub fn tell(&self, workspace: WorkspaceId, row: serde_json::Value) {
        let _ = self.send(Command::Tell { workspace, row: Box::new(row) });
    }

    /// Ends a subscription or the tail.
    pub fn unsubscribe(&self, client: ClientId, id: String) -> Result<(), Overloaded> {
        self.send(Command::Unsubscribe { client, id })
    }

    fn send(&self, command: Command) -> Result<(), Overloaded> {
        self.shared.commands.try_send(command).map_err(|_| Overloaded)
    }

    /// Closes every client and ends the thread.
    pub fn stop(&self) {
        if self.shared.stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        let _ = self.shared.commands.send(Command::Stop);
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.join().expect("the live thread does not panic");
        }
    }
}
