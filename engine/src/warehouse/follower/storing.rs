//! Storing what was read: each range exactly once, however long ClickHouse is away.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clickhouse::Client;

use super::super::batch::{self, Batch, Counts, Inserted, Rows, Writer};
use super::super::progress::{ProgressFile, Range, Stored};
use super::super::{Connection, Shared, WarehouseState};
use super::{Gathered, LOOK_AROUND, Sources};

/// Between the first tries after a failure; doubled up to [`BACK_OFF_MAX`].
const BACK_OFF_MIN: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// After this a batch counts as ambiguous and is asked for.
const INSERT_TIMEOUT: Duration = Duration::from_secs(120);

/// What knows how far the warehouse is, and brings it further.
pub(in crate::warehouse) struct Storing {
    pub sources: Arc<Sources>,
    pub progress: ProgressFile,
    pub shared: Arc<Shared>,
    pub connection: Connection,
    pub runtime: tokio::runtime::Runtime,
}

impl Storing {
    /// What the last run began or stored last is asked for, and what is missing is stored.
    pub(super) fn settle_the_past(&mut self) {
        // What is journaled from now on was never offered to ClickHouse.
        let durable = self.sources.durable.get();
        self.progress.now.ask_until = self.progress.now.ask_until.min(durable);
        // Nor is anything there behind the last row, unless an insert is still at work: only its token tells it then.
        if self.progress.now.ask_until > self.progress.now.stored && self.progress.now.intent.is_none() {
            let Some(last) = self.ask_until_answered(batch::last) else { return };
            if last < self.progress.now.ask_until
                && let Err(error) = self.progress.ask_until(last)
            {
                tracing::warn!(%error, "the warehouse's progress cannot be saved; it is asked for at the next start");
            }
        }
        let remembered: Vec<Stored> = self.progress.now.remembered.iter().copied().collect();
        for stored in remembered {
            let count = async |client, node| batch::count(client, node, stored.range).await;
            let Some(counts) = self.ask_until_answered(count) else { return };
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

    /// Asks ClickHouse about what is there of this node. `None`: the engine stops, and ClickHouse is away.
    fn ask_until_answered<T>(
        &mut self,
        ask: impl AsyncFn(Client, u16) -> Result<T, clickhouse::error::Error>,
    ) -> Option<T> {
        loop {
            let answered = match self.connection.client() {
                Err(error) => Err(error.to_string()),
                Ok(client) => {
                    self.runtime.block_on(ask(client, self.shared.node)).map_err(|error| error.to_string())
                }
            };
            match answered {
                Ok(answer) => {
                    self.shared.set_state(WarehouseState::Storing);
                    return Some(answer);
                }
                Err(error) => self.shared.set_state(WarehouseState::Away(error)),
            };
            if self.shared.stop.load(Ordering::Acquire) {
                return None;
            }
            std::thread::sleep(BACK_OFF_MIN);
        }
    }

    /// Stores what was gathered, however long that takes. `false`: the engine stops, and ClickHouse is away.
    pub(super) fn store(&mut self, gathered: &mut Gathered) -> bool {
        let stored = self.store_batch(&mut gathered.batch, gathered.range);
        if stored {
            gathered.begin(gathered.range.upto);
        }
        stored
    }

    fn store_batch(&mut self, batch: &mut Batch, range: Range) -> bool {
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
