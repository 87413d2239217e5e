//! How far the books may be behind the journal. What is applied is applied in log order, so a command waits for every
//! fact before it: without a bound, an hour of webhooks faster than the books would be an hour without an API. So a
//! webhook that comes while too much waits has to wait for its turn, which slows its sender down to the pace of the
//! books, and is refused when that takes too long; a provider that is refused comes again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::handle::SubmitError;
use crate::recorder::Recorder;
use crate::watermark::Watermark;

/// How far behind, and how patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BacklogLimits {
    /// Facts that are durable and not applied from which on webhooks wait. At 5,000 applied a second the default is a
    /// wait of 8 s for a command, well below the 30 s after which its caller is told that the outcome is unknown.
    pub facts: u64,
    /// How long a webhook waits for its turn: providers give up after 5 s (Razorpay) to 30 s.
    pub patience: Duration,
}

impl Default for BacklogLimits {
    fn default() -> Self {
        Self { facts: 40_000, patience: Duration::from_secs(4) }
    }
}

/// Most webhooks that wait for their turn at once, each with its body; beyond it they are refused at once.
const TURNS_MAX: usize = 8_192;

/// The facts of this run that are durable and not applied.
#[derive(Debug)]
pub(super) struct Backlog {
    limits: BacklogLimits,
    applied: AtomicU64,
    places: Semaphore,
}

impl Backlog {
    pub(super) fn new(limits: BacklogLimits) -> Self {
        Self { limits, applied: AtomicU64::new(0), places: Semaphore::new(TURNS_MAX) }
    }

    /// `facts` of this run were applied; told before the watermark moves.
    pub(super) fn note_applied(&self, facts: u64) {
        self.applied.fetch_add(facts, Ordering::AcqRel);
    }

    /// How many facts wait.
    pub(super) fn facts(&self, recorder: &Recorder) -> u64 {
        recorder.facts_journaled().saturating_sub(self.applied.load(Ordering::Acquire))
    }

    /// Resolves once fewer wait than may.
    pub(super) async fn turn(&self, recorder: &Recorder, applied: &Watermark) -> Result<(), SubmitError> {
        if self.facts(recorder) < self.limits.facts {
            return Ok(());
        }
        let _place = self.places.try_acquire().map_err(|_| SubmitError::BooksBehind)?;
        let until = Instant::now() + self.limits.patience;
        loop {
            let seen = applied.get();
            if self.facts(recorder) < self.limits.facts {
                return Ok(());
            }
            timeout_at(until, applied.reached(seen + 1)).await.map_err(|_| SubmitError::BooksBehind)?;
        }
    }
}
