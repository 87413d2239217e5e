//! The recorder: the one door by which facts enter. Hits come through lanes and never wait; facts come
//! through a bounded queue and are told when they are durable. One thread, `weir-recorder`, owns the journal:
//! it drains both, refines hits, commits the batch and publishes how far the journal is durable.
//!
//! A batch is whatever arrived during the last sync. Facts are synced at once; hits alone are paced, as
//! nobody waits for them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError, bounded};
use tokio::sync::oneshot;
use weir_schemas::ids::Sequence;

use crate::journal::{Journal, JournalConfig, JournalError, RecoveryReport, Traffic};
use crate::watermark::Watermark;

pub mod lane;
mod thread;

pub use lane::{Lane, LaneFull};

/// Facts that wait for the journal at once; beyond it callers are told [`RecordError::Busy`].
pub const FACTS_WAITING_MAX: usize = 8_192;

/// How the recorder works.
#[derive(Debug, Clone)]
pub struct RecorderConfig {
    /// The journal.
    pub journal: JournalConfig,
    /// The folder of lanes.
    pub lanes_folder: PathBuf,
    /// How many lanes: one per edge thread.
    pub lanes: u16,
    /// Bytes of each lane.
    pub lane_bytes: u64,
    /// Least time between commits of hits alone.
    pub pace: Duration,
}

/// Turns the record that was `counter`-th on `lane` (a hit, a browser event) into what is journaled;
/// appends it to the buffer, which holds other entries before it, and gives the `kind` of its entry.
pub type Refine = Box<dyn FnMut(u16, u64, &[u8], &mut Vec<u8>) -> Result<u8, String> + Send>;

/// Why a fact was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The disk is full: nothing was kept, it may be sent again.
    #[error("the disk of the journal is full")]
    StorageFull,
    /// The disk failed: nothing more is recorded until the engine is restarted.
    #[error("the journal's disk failed; the engine must be restarted")]
    StorageFailed,
    /// Too many facts wait.
    #[error("{FACTS_WAITING_MAX} facts are already waiting for the disk")]
    Busy,
    /// The fact is too large.
    #[error("the fact is too large for the journal")]
    TooLarge,
    /// The engine is stopping.
    #[error("the engine is stopping")]
    Stopped,
}

/// Called on the recorder's thread with the fact's sequence once it is durable and before anyone can see it.
pub type OnSequenced = Box<dyn FnOnce(Sequence) + Send>;

struct Waiting {
    kind: u8,
    payload: Vec<u8>,
    on_sequenced: Option<OnSequenced>,
    done: oneshot::Sender<Result<Sequence, RecordError>>,
}

/// How the journal's disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageHealth {
    /// Writing.
    Writing,
    /// The last write found the disk full; it is tried again.
    Full,
    /// Failed until a restart.
    Failed,
}

/// Hits in this run, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conservation {
    /// Put into a lane, or found there at the start.
    pub accepted: u64,
    /// Of these: found there at the start.
    pub recovered: u64,
    /// Found no room.
    pub dropped: u64,
    /// Durable in the journal.
    pub journaled: u64,
    /// Could not be refined: recorded by another version, or damaged.
    pub refused: u64,
}

/// The handle. Clones share it.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("durable", &self.shared.durable.get()).finish_non_exhaustive()
    }
}

struct Shared {
    facts: Sender<Waiting>,
    durable: Watermark,
    last_fact: AtomicU64,
    traffic: Traffic,
    /// Where the journal ended when it was opened.
    journal_end: Sequence,
    /// By lane: the last counter that was taken from it and is durable (or could not be read).
    lane_durable: Vec<Watermark>,
    lanes: Vec<lane::LaneCounts>,
    recovered: AtomicU64,
    journaled: AtomicU64,
    /// Facts of this run.
    facts_journaled: AtomicU64,
    refused: AtomicU64,
    full: AtomicBool,
    failed: AtomicBool,
    stop: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Recorder {
    /// Recovers journal and lanes, journals what the lanes still held, and starts the thread.
    pub fn start(
        config: RecorderConfig,
        refine: Refine,
    ) -> Result<(Self, Vec<Lane>, RecoveryReport), JournalError> {
        Self::start_behind(config, 0, refine)
    }

    /// As [`Self::start`] where a follower has seen everything up to `seen`: sequences go on behind it.
    pub fn start_behind(
        config: RecorderConfig,
        seen: Sequence,
        refine: Refine,
    ) -> Result<(Self, Vec<Lane>, RecoveryReport), JournalError> {
        let (mut journal, report) = Journal::open(config.journal.clone())?;
        let journal_end = journal.last();
        if journal.continue_behind(seen) {
            tracing::error!(journal_end, seen, "the journal has lost entries that its followers have");
        }
        let (sender, queue) = bounded(FACTS_WAITING_MAX);
        let prepared = thread::prepare(&config, journal, refine, queue)?;
        let shared = Arc::new(Shared {
            facts: sender,
            durable: Watermark::new(prepared.durable()),
            last_fact: AtomicU64::new(prepared.last_fact()),
            traffic: Traffic::of_writer(&config.journal.folder, prepared.tail()),
            journal_end,
            lane_durable: prepared.lane_watermarks(),
            lanes: prepared.lane_counts(),
            recovered: AtomicU64::new(prepared.recovered),
            journaled: AtomicU64::new(prepared.recovered - prepared.refused),
            facts_journaled: AtomicU64::new(0),
            refused: AtomicU64::new(prepared.refused),
            full: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            thread: Mutex::new(None),
        });
        let (mut worker, lanes) = prepared.into_worker(Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("weir-recorder".to_owned())
            .spawn(move || worker.run())
            .expect("the system can start a thread");
        *shared.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok((Self { shared }, lanes, report))
    }

    /// Resolves with the fact's sequence once it is durable.
    pub async fn record_durably(&self, kind: u8, payload: Vec<u8>) -> Result<Sequence, RecordError> {
        self.record(kind, payload, None).await
    }

    /// As [`Self::record_durably`]; `on_sequenced` is called before any follower can have seen the fact.
    pub async fn record_with_hook(
        &self,
        kind: u8,
        payload: Vec<u8>,
        on_sequenced: OnSequenced,
    ) -> Result<Sequence, RecordError> {
        self.record(kind, payload, Some(on_sequenced)).await
    }

    async fn record(
        &self,
        kind: u8,
        payload: Vec<u8>,
        on_sequenced: Option<OnSequenced>,
    ) -> Result<Sequence, RecordError> {
        if self.shared.failed.load(Ordering::Acquire) {
            return Err(RecordError::StorageFailed);
        }
        let (done, answer) = oneshot::channel();
        match self.shared.facts.try_send(Waiting { kind, payload, on_sequenced, done }) {
            Ok(()) => answer.await.unwrap_or(Err(RecordError::Stopped)),
            Err(TrySendError::Full(_)) => Err(RecordError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(RecordError::Stopped),
        }
    }

    /// Up to where the journal is durable. Followers read no further.
    pub fn durable(&self) -> &Watermark {
        &self.shared.durable
    }

    /// Behind this and up to what was durable before the call there is no fact, so that who follows the facts need not
    /// look for one.
    pub fn last_fact(&self) -> Sequence {
        self.shared.last_fact.load(Ordering::Acquire)
    }

    /// The journal's traffic, for who follows it.
    pub fn traffic(&self) -> Traffic {
        self.shared.traffic.clone()
    }

    /// Facts of this run that are durable.
    pub fn facts_journaled(&self) -> u64 {
        self.shared.facts_journaled.load(Ordering::Acquire)
    }

    /// Where the journal ended when it was opened: no follower can have gone further, unless entries were
    /// lost.
    pub fn journal_end(&self) -> Sequence {
        self.shared.journal_end
    }

    /// Resolves once the hit that was `counter`-th on `lane` is durable (`durability.clicks = "power"`).
    pub async fn click_durable(&self, lane: u16, counter: u64) {
        if let Some(watermark) = self.shared.lane_durable.get(usize::from(lane)) {
            watermark.reached(counter).await;
        }
    }

    /// Resolves once every hit that was answered before this call is durable; gives how far the journal is
    /// durable then.
    pub async fn settled(&self) -> Sequence {
        let targets: Vec<u64> = self.shared.lanes.iter().map(lane::LaneCounts::last).collect();
        for (watermark, target) in self.shared.lane_durable.iter().zip(targets) {
            watermark.reached(target).await;
        }
        self.shared.durable.get()
    }

    /// What became of the hits of this run.
    pub fn conservation(&self) -> Conservation {
        let sum = |of: fn(&lane::LaneCounts) -> u64| self.shared.lanes.iter().map(of).sum::<u64>();
        Conservation {
            journaled: self.shared.journaled.load(Ordering::Acquire),
            refused: self.shared.refused.load(Ordering::Acquire),
            recovered: self.shared.recovered.load(Ordering::Relaxed),
            accepted: sum(lane::LaneCounts::appended) + self.shared.recovered.load(Ordering::Relaxed),
            dropped: sum(lane::LaneCounts::dropped),
        }
    }

    /// How the disk is.
    pub fn health(&self) -> StorageHealth {
        if self.shared.failed.load(Ordering::Acquire) {
            StorageHealth::Failed
        } else if self.shared.full.load(Ordering::Acquire) {
            StorageHealth::Full
        } else {
            StorageHealth::Writing
        }
    }

    /// Journals what is in the lanes and the queue, then ends the thread. Facts that come later are told
    /// `Stopped`.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.join().expect("the recorder's thread does not panic");
        }
    }
}

#[cfg(test)]
mod tests;
