//! The thread `weir-books`: reads the journal's facts up to what is durable, applies them in batches, keeps
//! the tables, and answers those who wait.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use weir_schemas::fact::{self, Recorded, kind};
use weir_schemas::ids::Sequence;

use super::backlog::Backlog;
use super::outcome::StoreError;
use super::store::{Fact, Store};
use super::tables::Tables;
use super::waiting::Waiting;
use crate::journal::{Entry, Family, JournalReader};
use crate::keyring::{Keyring, KeyringError};
use crate::watermark::Watermark;

/// How many facts one transaction applies at most: what they share (balances, standings, pages of indexes) is written
/// once for all of them, and at 20,000 a second they take a third of one. Only who is that far behind has so many.
const BATCH_FACTS: usize = 8_192;
/// And of how many bytes.
const BATCH_BYTES: usize = 16 << 20;
/// How long the thread sleeps at most before it looks at its stop sign.
const LOOK_AROUND: Duration = Duration::from_millis(200);
/// How long it waits after a failure before it tries again.
const BACK_OFF: Duration = Duration::from_millis(500);

/// Gives a sequence behind which, up to what was durable before, there is no fact.
pub(super) type LastFact = Box<dyn Fn() -> Sequence + Send>;

pub(super) struct Follower {
    pub(super) journal: PathBuf,
    pub(super) store: Store,
    pub(super) tables: Tables,
    pub(super) durable: Watermark,
    pub(super) last_fact: LastFact,
    pub(super) applied: Watermark,
    pub(super) backlog: Arc<Backlog>,
    /// Where the journal ended at the start: facts up to there are none of this run's backlog.
    pub(super) old: Sequence,
    pub(super) waiting: Arc<Waiting>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) failing: Arc<AtomicBool>,
    pub(super) keyring: Arc<Keyring>,
    /// Somebody was erased whose words the write-ahead log may still have.
    pub(super) erased: bool,
}

/// What an entry says, with what of it is sealed, as long as there is a key.
///
/// # Errors
/// The keyring cannot be read: without it the entry would say less than it does.
pub(super) fn decode(entry: &Entry, keyring: &Keyring) -> Result<(Sequence, Fact), KeyringError> {
    let mut fact: Fact = if entry.kind == kind::FACT {
        serde_json::from_slice(&entry.payload).map_err(|error| error.to_string())
    } else {
        Err(format!("of unknown kind {}", entry.kind))
    };
    if let Ok(recorded) = &mut fact
        && let fact::Fact::Conversion { conversion, properties: Some(sealed), .. } = &mut recorded.fact
        && let Some(customer) = &conversion.customer_id
        && let Some(clear) = keyring.open_properties(recorded.workspace, customer, sealed)?
    {
        conversion.properties.extend(clear);
    }
    Ok((entry.seq, fact))
}

fn erases(fact: &Fact) -> bool {
    matches!(fact, Ok(Recorded { fact: fact::Fact::CustomerErased { .. }, .. }))
}

impl Follower {
    pub(super) fn run(mut self) {
        let mut reader = JournalReader::open(&self.journal, &[Family::Facts], self.applied.get());
        loop {
            let stopping = self.stop.load(Ordering::Acquire);
            let durable = self.durable.get();
            if self.erased {
                self.erased = !self.store.truncate_log();
            }
            if reader.passed() >= durable {
                if stopping {
                    break;
                }
                self.durable.wait_beyond(durable, LOOK_AROUND);
                continue;
            }
            // Where there is traffic, most commits have no fact: the folder need not be looked into for each.
            if (self.last_fact)() <= reader.passed() {
                reader.pass(durable);
                self.applied.advance(durable);
                continue;
            }
            if let Err(error) = self.step(&mut reader, durable) {
                // The facts are safe in the journal; they are read and tried again.
                tracing::error!(%error, "the books cannot be written");
                metrics::counter!("weir_books_failures_total").increment(1);
                self.failing.store(true, Ordering::Release);
                if stopping {
                    break;
                }
                std::thread::sleep(BACK_OFF);
                reader = JournalReader::open(&self.journal, &[Family::Facts], self.applied.get());
            } else {
                self.failing.store(false, Ordering::Release);
            }
        }
        self.waiting.close();
    }

    /// Reads and applies one batch.
    fn step(&mut self, reader: &mut JournalReader, durable: Sequence) -> Result<(), StepError> {
        let mut entries = Vec::new();
        let passed = reader.read_batch(durable, BATCH_FACTS, BATCH_BYTES, &mut entries)?;
        for damage in reader.take_damage() {
            tracing::error!(damage, "the journal is damaged; what follows was kept");
            metrics::counter!("weir_journal_damage_total").increment(1);
        }
        if !entries.is_empty() {
            let facts: Vec<(Sequence, Fact)> =
                entries.iter().map(|entry| decode(entry, &self.keyring)).collect::<Result<_, _>>()?;
            for (seq, fact) in &facts {
                if let Err(reason) = fact {
                    tracing::error!(
                        seq,
                        reason,
                        "a fact cannot be read; it is noted in the books and passed over"
                    );
                    metrics::counter!("weir_books_undecodable_total").increment(1);
                }
            }
            let applied = self.store.apply_batch(&facts);
            if applied.is_err() {
                // Whoever waits learns that it is durable and not yet booked.
                facts.iter().for_each(|(seq, _)| self.waiting.resolve(*seq, None));
            }
            let outcomes = applied?;
            let touched = std::mem::take(&mut self.store.touched);
            if let Err(error) = self.tables.refresh(self.store.connection(), &touched) {
                self.store.touched = touched;
                return Err(error.into());
            }
            metrics::counter!("weir_books_facts_total").increment(facts.len() as u64);
            self.backlog.note_applied(facts.iter().filter(|(seq, _)| *seq > self.old).count() as u64);
            self.applied.advance(passed);
            self.erased |= facts.iter().any(|(_, fact)| erases(fact));
            for ((seq, _), outcome) in facts.iter().zip(outcomes) {
                self.waiting.resolve(*seq, outcome);
            }
        }
        self.applied.advance(passed);
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Journal(#[from] crate::journal::JournalError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keyring(#[from] KeyringError),
}
