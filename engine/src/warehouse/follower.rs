//! The follower's thread, `weir-warehouse`: reads ranges, stores them, moves its watermark. While ClickHouse
//! is away it waits and the journal grows; nothing else notices.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use weir_schemas::effect::Effect;
use weir_schemas::ids::{Sequence, WorkspaceId};
use weir_schemas::program::MilestoneReached;

use super::batch::{self, Batch, Counts, Inserted, Writer};
use super::block::ClickBlock;
use super::progress::{ProgressFile, Range, Stored};
use super::{Connection, Shared, WarehouseState};
use crate::journal::{Family, JournalReader};
use crate::watermark::Watermark;

/// Bytes of traffic in a batch, whatever its rows.
const BATCH_BYTES_MAX: usize = 64 << 20;
/// Sequences read at once: bounds the effects that are held where there is little traffic.
const RANGE_MAX: Sequence = 100_000;
/// Between the first tries after a failure; doubled up to [`BACK_OFF_MAX`].
const BACK_OFF_MIN: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// Least time between batches that are stored because a query waits: each is a part on the disk.
const FLUSH_PACE: Duration = Duration::from_millis(25);
/// How long the thread sleeps at most before it looks around.
const LOOK_AROUND: Duration = Duration::from_millis(200);

/// How long it waits at once for the books, which are a commit behind the journal wherever there is traffic.
const BOOKS_PACE: Duration = Duration::from_millis(2);

/// Gives the effects of `(after, upto]` in order, at most `limit` and never a part of a fact's.
pub type EffectsOf = Box<dyn Fn(Sequence, Sequence, usize) -> Result<Vec<Effect>, String> + Send>;

/// Gives the milestones that the facts of `(after, upto]` reached, each with its workspace.
pub type MilestonesOf =
    Box<dyn Fn(Sequence, Sequence) -> Result<Vec<(WorkspaceId, MilestoneReached)>, String> + Send>;

/// From where the follower reads.
pub struct Sources {
    /// The journal's folder.
    pub journal: PathBuf,
    /// Up to where the journal is durable.
    pub durable: Watermark,
    /// Up to where the books have applied it.
    pub applied: Watermark,
    /// The books' effects.
    pub effects: EffectsOf,
    /// The books' milestones, for those who watch the live events.
    pub milestones: MilestonesOf,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("journal", &self.journal).finish_non_exhaustive()
    }
}

pub(super) struct Follower {
    pub sources: Sources,
    pub progress: ProgressFile,
    pub reader: JournalReader,
    pub shared: Arc<Shared>,
    pub connection: Connection,
    pub runtime: tokio::runtime::Runtime,
    /// The clicks of the last batch: its memory serves the next.
    pub block: ClickBlock,
}

impl Follower {
    pub(super) fn run(mut self) {
        self.settle_the_past();
        self.shared.settled.store(true, Ordering::Release);
        let mut batch = Batch::default();
        let mut range = Range { after: self.progress.now.stored, upto: self.progress.now.stored };
        let mut since: Option<Instant> = None;
        let mut last_store = Instant::now();
        loop {
            let stopping = self.shared.stop.load(Ordering::Acquire);
            let upto = self.sources.durable.get().min(self.sources.applied.get());
            self.read(upto, &mut range, &mut batch);
            if range.upto > range.after && since.is_none() {
                since = Some(Instant::now());
            }
            let wanted = self.shared.requested.load(Ordering::Acquire) > range.after;
            let full = batch.len() >= self.shared.batch_rows;
            let old = since.is_some_and(|since| since.elapsed() >= self.shared.batch_age);
            let asked = wanted && last_store.elapsed() >= FLUSH_PACE;
            if range.upto > range.after && (full || old || asked || stopping) {
                if !self.store(&batch, range, false) {
                    return;
                }
                batch.clear();
                range.after = range.upto;
                since = None;
                last_store = Instant::now();
                continue;
            }
            if stopping && self.shared.drained(upto) {
                return;
            }
            let wait = if wanted || stopping {
                Duration::from_millis(1)
            } else {
                since
                    .map_or(LOOK_AROUND, |s| self.shared.batch_age.saturating_sub(s.elapsed()))
                    .min(LOOK_AROUND)
            };
            // Whichever holds the other back; a flush that is asked for nudges the journal's watermark alone.
            if self.sources.durable.get() > upto {
                self.sources.applied.wait_beyond(upto, wait.min(BOOKS_PACE));
            } else {
                self.sources.durable.wait_beyond(upto, wait);
            }
        }
    }

    /// Extends the batch up to `upto` or until it is full.
    fn read(&mut self, upto: Sequence, range: &mut Range, batch: &mut Batch) {
        if upto <= range.upto || batch.len() >= self.shared.batch_rows {
            return;
        }
        let upto = upto.min(range.upto + RANGE_MAX);
        let before = batch.traffic.len();
        let room = self.shared.batch_rows - batch.len();
        let passed = match self.reader.read_batch(upto, room, BATCH_BYTES_MAX, &mut batch.traffic) {
            Ok(passed) => passed,
            Err(error) => {
                tracing::error!(%error, "the warehouse cannot read the journal");
                batch.traffic.truncate(before);
                std::thread::sleep(BACK_OFF_MAX);
                self.reader = JournalReader::open(&self.sources.journal, &[Family::Traffic], range.upto);
                return;
            }
        };
        for damage in self.reader.take_damage() {
            tracing::error!(damage, "the journal is damaged; what follows was kept");
            metrics::counter!("weir_journal_damage_total").increment(1);
        }
        match (self.sources.effects)(range.upto, passed, usize::MAX) {
            Ok(mut effects) => batch.effects.append(&mut effects),
            Err(error) => {
                tracing::error!(error, "the warehouse cannot read the books");
                batch.traffic.truncate(before);
                self.reader = JournalReader::open(&self.sources.journal, &[Family::Traffic], range.upto);
                std::thread::sleep(LOOK_AROUND);
                return;
            }
        }
        self.shared.read_traffic.fetch_add((batch.traffic.len() - before) as u64, Ordering::AcqRel);
        range.upto = passed;
    }

    /// What the last run began or stored last is asked for, and what is missing is stored.
    fn settle_the_past(&mut self) {
        // What is journaled from now on was never offered to ClickHouse.
        let durable = self.sources.durable.get();
        self.progress.now.ask_until = self.progress.now.ask_until.min(durable);
        let remembered: Vec<Stored> = self.progress.now.remembered.iter().copied().collect();
        for stored in remembered {
            let Some(counts) = self.count_until_answered(stored.range) else { return };
            let Stored { clicks, events, effects, .. } = stored;
            if counts == (Counts { clicks, events, effects }) {
                continue;
            }
            tracing::warn!(?stored, ?counts, "the warehouse has lost rows; they are stored again");
            let Some(batch) = self.read_again(stored.range) else { continue };
            if let Err(error) = self.progress.next_generation() {
                tracing::error!(%error, "the progress cannot be saved; lost rows stay lost until the next start");
                continue;
            }
            if batch.len() > 0 && !self.attempt_until_done(&batch, stored.range, true).1 {
                return;
            }
        }
        if let Some(range) = self.progress.now.intent
            && let Some(batch) = self.read_again(range)
        {
            self.shared.read_traffic.fetch_add(batch.traffic.len() as u64, Ordering::AcqRel);
            if !self.store(&batch, range, true) {
                return;
            }
        }
        self.reader =
            JournalReader::open(&self.sources.journal, &[Family::Traffic], self.progress.now.stored);
    }

    fn read_again(&self, range: Range) -> Option<Batch> {
        let mut batch = Batch::default();
        let mut reader = JournalReader::open(&self.sources.journal, &[Family::Traffic], range.after);
        let read = reader.read_batch(range.upto, usize::MAX, usize::MAX, &mut batch.traffic);
        while self.sources.applied.wait_reached(range.upto, LOOK_AROUND) < range.upto {
            if self.shared.stop.load(Ordering::Acquire) {
                return None;
            }
        }
        match (read, (self.sources.effects)(range.after, range.upto, usize::MAX)) {
            (Ok(_), Ok(effects)) => {
                batch.effects = effects;
                Some(batch)
            }
            (read, effects) => {
                let effects = effects.err();
                tracing::error!(?range, read = ?read.err(), effects, "an earlier batch cannot be read again");
                None
            }
        }
    }

    fn count_until_answered(&mut self, range: Range) -> Option<Counts> {
        loop {
            let counted = match self.connection.client() {
                Err(error) => Err(error.to_string()),
                Ok(client) => {
                    let count = batch::count(&client, self.shared.node, range);
                    self.runtime.block_on(count).map_err(|error| error.to_string())
                }
            };
            match counted {
                Ok(counts) => {
                    self.shared.set_state(WarehouseState::Storing);
                    return Some(counts);
                }
                Err(error) => self.shared.set_state(WarehouseState::Away(error)),
            };
            if self.shared.stop.load(Ordering::Acquire) {
                return None;
            }
            std::thread::sleep(BACK_OFF_MIN);
        }
    }

    /// Stores a batch, however long it takes. `false`: the engine stops and ClickHouse is away.
    fn store(&mut self, batch: &Batch, range: Range, ambiguous: bool) -> bool {
        if batch.len() > 0
            && self.progress.now.intent != Some(range)
            && let Err(error) = self.progress.begin(range)
        {
            tracing::warn!(%error, "the warehouse's progress cannot be saved; it is asked for at the next start");
        }
        let ambiguous = ambiguous || range.after < self.progress.now.ask_until;
        let inserted = if batch.len() == 0 {
            Inserted::default()
        } else {
            let (inserted, done) = self.attempt_until_done(batch, range, ambiguous);
            if !done {
                return false;
            }
            inserted
        };
        // Saved before it is shown: what the engine forgets may only be asked for again.
        let saved = if batch.len() == 0 {
            self.progress.now.stored = range.upto;
            self.progress.now.intent = None;
            Ok(())
        } else {
            let Inserted { clicks, events, effects, .. } = inserted;
            self.progress.finish(Stored { range, clicks, events, effects })
        };
        if let Err(error) = saved {
            tracing::warn!(%error, "the warehouse's progress cannot be saved; it is asked for at the next start");
        } else {
            self.shared.saved.advance(range.upto);
        }
        let shared = &self.shared;
        let traffic = inserted.clicks + inserted.events;
        shared.stored_traffic.fetch_add(traffic, Ordering::AcqRel);
        shared.dead_traffic.fetch_add(inserted.dead_traffic, Ordering::AcqRel);
        metrics::counter!("weir_warehouse_stored_rows_total").increment(traffic + inserted.effects);
        metrics::counter!("weir_warehouse_dead_lettered_rows_total")
            .increment(inserted.dead_traffic + inserted.dead_effects);
        shared.stored.advance(range.upto);
        true
    }

    fn attempt_until_done(&mut self, batch: &Batch, range: Range, mut ambiguous: bool) -> (Inserted, bool) {
        let mut pause = BACK_OFF_MIN;
        let writer = Writer { node: self.shared.node, generation: self.progress.now.generation };
        loop {
            let started = Instant::now();
            let result = match self.connection.client() {
                Err(error) => Err(error.to_string()),
                Ok(client) => {
                    let insert = batch.insert(&mut self.block, &client, writer, range, ambiguous);
                    let timed = async { tokio::time::timeout(INSERT_TIMEOUT, insert).await };
                    // Whatever failed may have been done all the same.
                    ambiguous = true;
                    match self.runtime.block_on(timed) {
                        Ok(result) => result.map_err(|error| error.to_string()),
                        Err(_) => Err(format!("no answer within {INSERT_TIMEOUT:?}")),
                    }
                }
            };
            match result {
                Ok(inserted) => {
                    metrics::histogram!("weir_warehouse_batch_seconds")
                        .record(started.elapsed().as_secs_f64());
                    self.shared.set_state(WarehouseState::Storing);
                    return (inserted, true);
                }
                Err(error) => {
                    metrics::counter!("weir_warehouse_failures_total").increment(1);
                    if self.shared.set_state(WarehouseState::Away(error.clone())) {
                        tracing::warn!(error, "the warehouse is away; the journal keeps what comes");
                    }
                }
            }
            let end = Instant::now() + pause;
            while Instant::now() < end {
                if self.shared.stop.load(Ordering::Acquire) && self.shared.gives_up() {
                    return (Inserted::default(), false);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            pause = (pause * 2).min(BACK_OFF_MAX);
        }
    }
}

/// After this a batch counts as ambiguous and is asked for.
const INSERT_TIMEOUT: Duration = Duration::from_secs(120);
