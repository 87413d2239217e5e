//! The books' handle: facts go in, outcomes and reads come out.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use weir_schemas::fact::{Recorded, kind};
use weir_schemas::ids::Sequence;

use super::backlog::{Backlog, BacklogLimits};
use super::follower::Follower;
use super::outcome::{Outcome, StoreError};
use super::reads::{ReadError, Reads};
use super::store::Store;
use super::tables::Tables;
use super::waiting::Waiting;
use crate::endpoints::EndpointTable;
use crate::fx::FxTables;
use crate::keyring::Keyring;
use crate::keys::KeyTable;
use crate::links::LinkTable;
use crate::partner_addresses::PartnerAddresses;
use crate::postback_tokens::PostbackTable;
use crate::recorder::{RecordError, Recorder};
use crate::sites::SiteTable;
use crate::watermark::Watermark;

/// Where the books and their journal are.
#[derive(Debug, Clone)]
pub struct BooksConfig {
    /// `books.db`.
    pub path: PathBuf,
    /// The journal's folder.
    pub journal: PathBuf,
    /// How far behind the journal they may be before webhooks wait.
    pub backlog: BacklogLimits,
}

/// Why the books do not start.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// The file cannot be opened or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The books are ahead of the journal: one of the two is from another engine or a backup. Restore both
    /// together, or run `weir replay books`.
    #[error("the books have applied {applied}, the journal ends at {durable}: run `weir replay books`")]
    Ahead {
        /// By the books.
        applied: Sequence,
        /// The journal's last.
        durable: Sequence,
    },
    /// The system starts no thread.
    #[error("the books' thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why a fact has no outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The disk is full: nothing was kept, it may be sent again (503).
    #[error("the disk is full")]
    StorageFull,
    /// The journal or the books cannot be written. The fact may be durable and be booked later: a repeat with
    /// the same identity is safe (503).
    #[error("the storage failed")]
    StorageFailed,
    /// Too many facts wait: try again soon (503 with `Retry-After`).
    #[error("too many facts are waiting")]
    Busy,
    /// The books are so far behind that webhooks do not get their turn in time (503 with `Retry-After`).
    #[error("the books are behind: too many facts wait to be booked")]
    BooksBehind,
    /// The fact is larger than an entry may be (413).
    #[error("the fact is too large")]
    TooLarge,
    /// The engine is stopping (503).
    #[error("the engine is stopping")]
    Stopped,
}

impl From<RecordError> for SubmitError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::StorageFull => Self::StorageFull,
            RecordError::StorageFailed => Self::StorageFailed,
            RecordError::Busy => Self::Busy,
            RecordError::TooLarge => Self::TooLarge,
            RecordError::Stopped => Self::Stopped,
        }
    }
}

/// The handle. Clones share it.
#[derive(Clone)]
pub struct Books {
    shared: Arc<Shared>,
}

struct Shared {
    recorder: Recorder,
    reads: Reads,
    links: LinkTable,
    keys: KeyTable,
    endpoints: EndpointTable,
    sites: SiteTable,
    partner_addresses: PartnerAddresses,
    postbacks: PostbackTable,
    fx: FxTables,
    applied: Watermark,
    backlog: Arc<Backlog>,
    waiting: Arc<Waiting>,
    stop: Arc<AtomicBool>,
    failing: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl std::fmt::Debug for Books {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Books").field("applied", &self.shared.applied.get()).finish_non_exhaustive()
    }
}

impl Books {
    /// Opens the books, loads the tables and starts the thread `weir-books`, which catches up with the
    /// journal: wait for [`Self::applied`] to reach the recorder's durable watermark before the listeners
    /// open.
    pub fn start(config: BooksConfig, recorder: Recorder, keyring: Arc<Keyring>) -> Result<Self, BooksError> {
        let store = Store::open(&config.path)?;
        let (applied, durable) = (store.applied_seq()?, recorder.journal_end());
        if applied > durable {
            return Err(BooksError::Ahead { applied, durable });
        }
        let tables = Tables::load(store.connection(), Arc::clone(&keyring))?;
        let shared = Arc::new(Shared {
            reads: Reads::new(config.path),
            links: tables.links.clone(),
            keys: tables.keys.clone(),
            endpoints: tables.endpoints.clone(),
            sites: tables.sites.clone(),
            partner_addresses: tables.partner_addresses.clone(),
            postbacks: tables.postbacks.clone(),
            fx: tables.fx.clone(),
            applied: Watermark::new(applied),
            backlog: Arc::new(Backlog::new(config.backlog)),
            waiting: Arc::default(),
            stop: Arc::default(),
            failing: Arc::default(),
            thread: Mutex::new(None),
            recorder,
        });
        let of_facts = shared.recorder.clone();
        let follower = Follower {
            journal: config.journal,
            store,
            tables,
            durable: shared.recorder.durable().clone(),
            last_fact: Box::new(move || of_facts.last_fact()),
            applied: shared.applied.clone(),
            backlog: Arc::clone(&shared.backlog),
            old: durable,
            waiting: Arc::clone(&shared.waiting),
            stop: Arc::clone(&shared.stop),
            failing: Arc::clone(&shared.failing),
            keyring,
            // By a run that was killed before it had emptied the log.
            erased: true,
        };
        let thread =
            std::thread::Builder::new().name("weir-books".to_owned()).spawn(move || follower.run())?;
        *shared.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(Self { shared })
    }

    /// Journals a fact durably and waits until the books have applied it. Dropping the future loses the
    /// answer only.
    pub async fn submit(&self, recorded: Recorded) -> Result<Outcome, SubmitError> {
        let (sender, outcome) = oneshot::channel();
        let waiting = Arc::clone(&self.shared.waiting);
        // The hook runs before the books can see the fact, so the outcome cannot be missed.
        let hook = Box::new(move |seq| waiting.add(seq, sender));
        self.shared.recorder.record_with_hook(kind::FACT, payload(&recorded), hook).await?;
        let stopped = || self.shared.stop.load(Ordering::Acquire);
        outcome.await.map_err(|_| if stopped() { SubmitError::Stopped } else { SubmitError::StorageFailed })
    }

    /// Journals a fact durably and does not wait for the books (webhooks), unless these are too far behind.
    pub async fn submit_durable(&self, recorded: Recorded) -> Result<Sequence, SubmitError> {
        self.shared.backlog.turn(&self.shared.recorder, &self.shared.applied).await?;
        Ok(self.shared.recorder.record_durably(kind::FACT, payload(&recorded)).await?)
    }

    /// Up to where every fact is applied; follows the durable watermark also where there is no fact in
    /// between.
    pub fn applied(&self) -> &Watermark {
        &self.shared.applied
    }

    /// As [`Self::applied`], but it moves only with facts: for who reads the books anew once they have changed.
    pub fn changed(&self) -> Sequence {
        // Read first: the recorder tells of a fact before the books can apply it.
        let applied = self.shared.applied.get();
        applied.min(self.shared.recorder.last_fact())
    }

    /// How many facts are durable and not applied.
    pub fn behind(&self) -> u64 {
        self.shared.backlog.facts(&self.shared.recorder)
    }

    /// Typed reads of what is applied.
    pub fn reads(&self) -> &Reads {
        &self.shared.reads
    }

    /// A read off the threads that serve sockets.
    pub async fn read_async<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reads) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let books = self.clone();
        match tokio::task::spawn_blocking(move || read(books.reads())).await {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// The redirect's links.
    pub fn links(&self) -> &LinkTable {
        &self.shared.links
    }

    /// API keys.
    pub fn keys(&self) -> &KeyTable {
        &self.shared.keys
    }

    /// Partners by their mail addresses.
    pub fn partner_addresses(&self) -> &PartnerAddresses {
        &self.shared.partner_addresses
    }

    /// Registered sites.
    pub fn sites(&self) -> &SiteTable {
        &self.shared.sites
    }

    /// Exchange rates.
    pub fn fx(&self) -> &FxTables {
        &self.shared.fx
    }

    /// Postback tokens.
    pub fn postbacks(&self) -> &PostbackTable {
        &self.shared.postbacks
    }

    /// Webhook endpoints, their secrets opened.
    pub fn endpoints(&self) -> &EndpointTable {
        &self.shared.endpoints
    }

    /// Whether the last attempt to write the books failed; it is tried again.
    pub fn failing(&self) -> bool {
        self.shared.failing.load(Ordering::Acquire)
    }

    /// Applies what is durable, then ends the thread. Stop the recorder first. Those who still wait are told
    /// `Stopped`.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.recorder.durable().nudge();
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.join().expect("the books' thread does not panic");
        }
    }
}

fn payload(recorded: &Recorded) -> Vec<u8> {
    serde_json::to_vec(recorded).expect("a fact is plain JSON")
}
