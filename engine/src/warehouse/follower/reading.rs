//! Reading what comes next: the journal's traffic and, of the same range, the books' effects.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use weir_schemas::ids::Sequence;

use super::super::Shared;
use super::{Gathered, LOOK_AROUND, Sources};
use crate::journal::JournalReader;

/// Bytes of traffic in a batch, whatever its rows.
const BATCH_BYTES_MAX: usize = 64 << 20;
/// Sequences read at once: bounds the effects that are held where there is little traffic.
const RANGE_MAX: Sequence = 100_000;
/// How long it waits at once for the books, which are a commit behind the journal wherever there is traffic.
const BOOKS_PACE: Duration = Duration::from_millis(2);
/// How long it leaves a journal that cannot be read.
const BACK_OFF: Duration = Duration::from_secs(5);

/// The position in the journal. Apart from what stores, so that both can be at work at once.
pub(in crate::warehouse) struct Reading {
    pub sources: Arc<Sources>,
    pub reader: JournalReader,
    pub shared: Arc<Shared>,
}

impl Reading {
    /// Begins behind `after`.
    pub(super) fn begin(&mut self, after: Sequence) {
        self.reader = self.sources.journal.behind(after);
    }

    /// Up to where there is something to read.
    pub(super) fn upto(&self) -> Sequence {
        self.sources.durable.get().min(self.sources.applied.get())
    }

    /// Waits for more than `upto`, at most for `wait`.
    pub(super) fn wait_beyond(&self, upto: Sequence, wait: Duration) {
        let Sources { durable, applied, .. } = &*self.sources;
        // Whichever holds the other back; a flush that is asked for nudges the journal's watermark alone.
        if durable.get() > upto {
            applied.wait_beyond(upto, wait.min(BOOKS_PACE));
        } else {
            durable.wait_beyond(upto, wait);
        }
    }

    /// Extends the batch until it is full or nothing more is there. `false` as for [`Self::extend`].
    pub(super) fn fill(&mut self, gathered: &mut Gathered) -> bool {
        let upto = self.upto();
        while gathered.range.upto < upto && gathered.batch.len() < self.shared.batch_rows {
            if !self.extend(upto, gathered) {
                return false;
            }
        }
        true
    }

    /// Extends the batch by some of what comes up to `upto`, unless it is full. `false`: the engine stops, and not
    /// everything of the batch's range is in it; the next start reads it again.
    pub(super) fn extend(&mut self, upto: Sequence, gathered: &mut Gathered) -> bool {
        let Gathered { batch, range, since } = gathered;
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
            std::thread::sleep(BACK_OFF);
            self.begin(passed);
        }
        loop {
            match (self.sources.effects)(range.upto, passed, usize::MAX) {
                Ok(mut effects) => {
                    batch.effects.append(&mut effects);
                    range.upto = passed;
                    *since = since.or_else(|| Some(Instant::now()));
                    return true;
                }
                Err(error) => tracing::error!(error, "the warehouse cannot read the books"),
            }
            std::thread::sleep(LOOK_AROUND);
            if self.shared.stop.load(Ordering::Acquire) {
                return false;
            }
        }
    }
}
