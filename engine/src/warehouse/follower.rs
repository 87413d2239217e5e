//! The follower's thread, `weir-warehouse`: reads ranges, stores them, moves its watermark. While ClickHouse
//! is away it waits and the journal grows; nothing else notices.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clickhouse::Client;
use weir_schemas::effect::Effect;
use weir_schemas::ids::{Sequence, WorkspaceId};
use weir_schemas::program::MilestoneReached;

use super::batch::{self, Batch, Counts, Inserted, Rows, Writer};
use super::progress::{ProgressFile, Range, Stored};
use super::{Connection, Shared, WarehouseState};
use crate::journal::{JournalReader, Traffic};
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
    /// The journal's traffic.
    pub journal: Traffic,
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
            let whole = self.read(upto, &mut range, &mut batch);
            if range.upto > range.after && since.is_none() {
                since = Some(Instant::now());
            }
            let wanted = self.shared.requested.load(Ordering::Acquire) > range.after;
            let full = batch.len() >= self.shared.batch_rows;
            let old = since.is_some_and(|since| since.elapsed() >= self.shared.batch_age);
            let asked = wanted && last_store.elapsed() >= FLUSH_PACE;
            if whole && range.upto > range.after && (full || old || asked || stopping) {
                if !self.store(&mut batch, range) {
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

    /// Extends the batch up to `upto` or until it is full; tells whether everything of its range is in it.
    fn read(&mut self, upto: Sequence, range: &mut Range, batch: &mut Batch) -> bool {
        if upto <= range.upto || batch.len() >= self.shared.batch_rows {
            return true;
        }
        let (node, before) = (self.shared.node, batch.len());
        let upto = upto.min(range.upto + RANGE_MAX);
        let room = self.shared.batch_rows - batch.len();
        let read = self.reader.read(upto, room, BATCH_BYTES_MAX, |entry| batch.add(node, entry));
        for damage in self.reader.take_damage() {
            tracing::error!(damage, "the journal is damaged; what follows was kept");
            metrics::counter!("weir_journal_damage_total").increment(1);
        }
        // What was read is in the batch, also where the next could not be.
        let passed = self.reader.passed();
        self.shared.read_traffic.fetch_add((batch.len() - before) as u64, Ordering::AcqRel);
        if let Err(error) = read {
            tracing::error!(%error, "the warehouse cannot read the journal");
            std::thread::sleep(BACK_OFF_MAX);
            self.reader = self.sources.journal.behind(passed);
        }
        loop {
            match (self.sources.effects)(range.upto, passed, usize::MAX) {
                Ok(mut effects) => {
                    batch.effects.append(&mut effects);
                    range.upto = passed;
                    return true;
                }
                Err(error) => tracing::error!(error, "the warehouse cannot read the books"),
            }
            std::thread::sleep(LOOK_AROUND);
            if self.shared.stop.load(Ordering::Acquire) {
                // The next start reads it again.
                return false;
            }
        }
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
            let Some(rows) = self.read_again(stored.range) else { continue };
            if let Err(error) = self.progress.next_generation() {
                tracing::error!(%error, "the progress cannot be saved; lost rows stay lost until the next start");
                continue;
            }
            if rows.len() > 0 && self.insert_rows_until_done(&rows, stored.range, true).is_none() {
                return;
            }
        }
        if let Some(range) = self.progress.now.intent
            && let Some(rows) = self.read_again(range)
        {
            self.shared.read_traffic.fetch_add(rows.traffic.len() as u64, Ordering::AcqRel);
            let Some(inserted) = self.insert_rows_until_done(&rows, range, true) else { return };
            self.finish(range, inserted);
        }
        self.reader = self.sources.journal.behind(self.progress.now.stored);
    }

    fn read_again(&self, range: Range) -> Option<Rows> {
        let mut rows = Rows::default();
        let mut reader = self.sources.journal.behind(range.after);
        let read = reader.read_batch(range.upto, usize::MAX, usize::MAX, &mut rows.traffic);
        while self.sources.applied.wait_reached(range.upto, LOOK_AROUND) < range.upto {
            if self.shared.stop.load(Ordering::Acquire) {
                return None;
            }
        }
        match (read, (self.sources.effects)(range.after, range.upto, usize::MAX)) {
            (Ok(_), Ok(effects)) => {
                rows.effects = effects;
                Some(rows)
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
    fn store(&mut self, batch: &mut Batch, range: Range) -> bool {
        if batch.len() == 0 {
            self.finish(range, Inserted::default());
            return true;
        }
        if self.progress.now.intent != Some(range)
            && let Err(error) = self.progress.begin(range)
        {
            tracing::warn!(%error, "the warehouse's progress cannot be saved; it is asked for at the next start");
        }
        let mut ambiguous = range.after < self.progress.now.ask_until;
        if !ambiguous {
            let writer = self.writer();
            match self.attempt(async |client| batch.insert(&client, writer).await) {
                Some(Some(inserted)) => {
                    self.finish(range, inserted);
                    return true;
                }
                Some(None) => {}
                // Whatever failed may have been done all the same.
                None => ambiguous = true,
            }
        }
        let rows = loop {
            if let Some(rows) = self.read_again(range) {
                break rows;
            }
            if !self.pause(BACK_OFF_MIN) {
                return false;
            }
        };
        let Some(inserted) = self.insert_rows_until_done(&rows, range, ambiguous) else { return false };
        self.finish(range, inserted);
        true
    }

    /// Moves the watermark over what was stored.
    fn finish(&mut self, range: Range, inserted: Inserted) {
        // Saved before it is shown: what the engine forgets may only be asked for again.
        let saved = if inserted == Inserted::default() {
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
    }

    fn writer(&self) -> Writer {
        Writer { node: self.shared.node, generation: self.progress.now.generation }
    }

    /// Tries until the rows are stored or put aside. `None`: the engine stops and ClickHouse is away.
    fn insert_rows_until_done(&mut self, rows: &Rows, range: Range, mut ambiguous: bool) -> Option<Inserted> {
        let (mut pause, mut taken_for_repeat) = (BACK_OFF_MIN, false);
        loop {
            let writer = self.writer();
            let insert = async |client: Client| rows.insert(&client, writer, range, ambiguous).await;
            match self.attempt(insert) {
                Some(Some(inserted)) => return Some(inserted),
                // The try before may still be at work; where it is not by the next, its token is all that it left.
                Some(None) if std::mem::replace(&mut taken_for_repeat, true) => {
                    tracing::warn!(
                        ?range,
                        "ClickHouse noted an insert and has not its rows; they are inserted anew"
                    );
                    if let Err(error) = self.progress.next_generation() {
                        tracing::warn!(%error, "the warehouse's progress cannot be saved");
                    }
                }
                Some(None) | None => {}
            }
            ambiguous = true;
            if !self.pause(pause) {
                return None;
            }
            pause = (pause * 2).min(BACK_OFF_MAX);
        }
    }

    /// Tries an insert once. `None`: it failed, and may have been done all the same.
    fn attempt<T>(
        &mut self,
        insert: impl AsyncFnOnce(Client) -> Result<T, clickhouse::error::Error>,
    ) -> Option<T> {
        let started = Instant::now();
        let result = match self.connection.client() {
            Err(error) => Err(error.to_string()),
            Ok(client) => {
                let timed = async { tokio::time::timeout(INSERT_TIMEOUT, insert(client)).await };
                match self.runtime.block_on(timed) {
                    Ok(result) => result.map_err(|error| error.to_string()),
                    Err(_) => Err(format!("no answer within {INSERT_TIMEOUT:?}")),
                }
            }
        };
        match result {
            Ok(done) => {
                metrics::histogram!("weir_warehouse_batch_seconds").record(started.elapsed().as_secs_f64());
                self.shared.set_state(WarehouseState::Storing);
                Some(done)
            }
            Err(error) => {
                metrics::counter!("weir_warehouse_failures_total").increment(1);
                if self.shared.set_state(WarehouseState::Away(error.clone())) {
                    tracing::warn!(error, "the warehouse is away; the journal keeps what comes");
                }
                None
            }
        }
    }

    /// Waits. `false`: the engine stops, and has waited for ClickHouse for long enough.
    fn pause(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        while Instant::now() < end {
            if self.shared.stop.load(Ordering::Acquire) && self.shared.gives_up() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }
}

/// After this a batch counts as ambiguous and is asked for.
const INSERT_TIMEOUT: Duration = Duration::from_secs(120);
