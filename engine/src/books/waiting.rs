//! Those who wait for the outcome of their fact, by its sequence.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use weir_schemas::ids::Sequence;

use super::outcome::Outcome;

/// The recorder's thread adds, the books' thread resolves. Bounded by the recorder's own queue: nobody waits
/// here who was not let in there.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    senders: HashMap<Sequence, oneshot::Sender<Outcome>>,
    closed: bool,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `sender` gets the outcome of `seq`. After [`Self::close`] it is dropped, which tells its receiver.
    pub(super) fn add(&self, seq: Sequence, sender: oneshot::Sender<Outcome>) {
        let mut inside = self.lock();
        if !inside.closed {
            inside.senders.insert(seq, sender);
        }
    }

    /// Hands an outcome to the one who waits for it, if anyone does. Without an outcome the waiter is told of
    /// a failure.
    pub(super) fn resolve(&self, seq: Sequence, outcome: Option<Outcome>) {
        let sender = self.lock().senders.remove(&seq);
        if let (Some(sender), Some(outcome)) = (sender, outcome) {
            // Whoever does not wait any more reads the books.
            _ = sender.send(outcome);
        }
    }

    /// Nobody will be answered any more.
    pub(super) fn close(&self) {
        let mut inside = self.lock();
        inside.closed = true;
        inside.senders.clear();
    }
}
