//! The follower's thread, `weir-warehouse`: reads ranges, stores them, moves its watermark. While ClickHouse
//! is away it waits and the journal grows; nothing else notices. Where it is behind, the next batch is read while
//! ClickHouse takes the one before.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use weir_schemas::effect::Effect;
use weir_schemas::ids::{Sequence, WorkspaceId};
use weir_schemas::program::MilestoneReached;

use super::Shared;
use super::batch::Batch;
use super::progress::Range;
use crate::journal::Traffic;
use crate::watermark::Watermark;

mod reading;
mod storing;

pub(super) use reading::Reading;
pub(super) use storing::Storing;

/// Least time between batches that are stored because a query waits: each is a part on the disk.
const FLUSH_PACE: Duration = Duration::from_millis(25);
/// How long the thread sleeps at most before it looks around.
const LOOK_AROUND: Duration = Duration::from_millis(200);

/// Gives the effects of `(after, upto]` in order, at most `limit` and never a part of a fact's.
pub type EffectsOf = Box<dyn Fn(Sequence, Sequence, usize) -> Result<Vec<Effect>, String> + Send + Sync>;

/// Gives the milestones that the facts of `(after, upto]` reached, each with its workspace.
pub type MilestonesOf =
    Box<dyn Fn(Sequence, Sequence) -> Result<Vec<(WorkspaceId, MilestoneReached)>, String> + Send + Sync>;

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

/// What was read and is not stored yet.
struct Gathered {
    batch: Batch,
    range: Range,
    /// Since when there is something.
    since: Option<Instant>,
}

impl Gathered {
    fn behind(after: Sequence) -> Self {
        Self { batch: Batch::default(), range: Range { after, upto: after }, since: None }
    }

    /// Empties it and keeps its memory; what comes is behind `after`.
    fn begin(&mut self, after: Sequence) {
        self.batch.clear();
        self.range = Range { after, upto: after };
        self.since = None;
    }
}

pub(super) struct Follower {
    pub reading: Reading,
    pub storing: Storing,
    pub shared: Arc<Shared>,
}

impl Follower {
    pub(super) fn run(mut self) {
        self.storing.settle_the_past();
        self.shared.settled.store(true, Ordering::Release);
        let stored = self.storing.progress.now.stored;
        self.reading.begin(stored);
        let mut now = Gathered::behind(stored);
        let mut last_store = Instant::now();
        loop {
            let stopping = self.shared.stop.load(Ordering::Acquire);
            let upto = self.reading.upto();
            if !self.reading.extend(upto, &mut now) {
                return;
            }
            let wanted = self.shared.requested.load(Ordering::Acquire) > now.range.after;
            let full = now.batch.len() >= self.shared.batch_rows;
            let old = now.since.is_some_and(|since| since.elapsed() >= self.shared.batch_age);
            let asked = wanted && last_store.elapsed() >= FLUSH_PACE;
            if now.range.upto > now.range.after && (full || old || asked || stopping) {
                let behind = upto - now.range.upto >= self.shared.batch_rows as u64;
                let stored =
                    if full && behind { self.catch_up(&mut now) } else { self.storing.store(&mut now) };
                if !stored {
                    return;
                }
                last_store = Instant::now();
                continue;
            }
            if stopping && self.shared.drained(upto) {
                return;
            }
            let wait = if wanted || stopping {
                Duration::from_millis(1)
            } else {
                now.since
                    .map_or(LOOK_AROUND, |since| self.shared.batch_age.saturating_sub(since.elapsed()))
                    .min(LOOK_AROUND)
            };
            self.reading.wait_beyond(upto, wait);
        }
    }

    /// Stores full batches, each while the next is read, until one is not full: that one is left in `now`. `false`: the
    /// engine stops.
    fn catch_up(&mut self, now: &mut Gathered) -> bool {
        let mut next = Gathered::behind(now.range.upto);
        while now.batch.len() >= self.shared.batch_rows {
            next.begin(now.range.upto);
            let Self { reading, storing, .. } = self;
            let (stored, ahead) = std::thread::scope(|both| {
                let name = "weir-reading".to_owned();
                let ahead =
                    std::thread::Builder::new().name(name).spawn_scoped(both, || reading.fill(&mut next));
                let stored = storing.store(now);
                (stored, ahead.map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))))
            });
            // Without a thread it is read now.
            let whole = ahead.unwrap_or_else(|_| reading.fill(&mut next));
            if !stored || !whole {
                return false;
            }
            std::mem::swap(now, &mut next);
        }
        true
    }
}
