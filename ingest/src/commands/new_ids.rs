//! New ids: time-ordered, never given twice by one engine, even when its clock steps back.

use std::sync::atomic::{AtomicU64, Ordering};

use weir_schemas::ids::{ID_EPOCH_MS, NODE_MAX, compose};
use weir_schemas::time::Timestamp;

const COUNTERS_PER_MS: u64 = 4_096;

/// Gives ids of one node.
#[derive(Debug)]
pub struct NewIds {
    node: u16,
    /// Milliseconds since the ids' epoch and the counter within: the last that was given.
    last: AtomicU64,
}

impl NewIds {
    /// For `node`.
    pub fn new(node: u16) -> Self {
        assert!(node <= NODE_MAX, "nodes are numbered from 0 to {NODE_MAX}");
        Self { node, last: AtomicU64::new(0) }
    }

    /// The next id, at `now` or, where more were asked for than fit, as soon after as there is room.
    pub fn next(&self, now: Timestamp) -> u64 {
        let at = now.0.saturating_sub(ID_EPOCH_MS).max(0) as u64 * COUNTERS_PER_MS;
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            let next = at.max(last + 1);
            match self.last.compare_exchange_weak(last, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    let ms = ID_EPOCH_MS + (next / COUNTERS_PER_MS) as i64;
                    return compose(ms, self.node, next % COUNTERS_PER_MS);
                }
                Err(other) => last = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_whatever_the_clock_does() {
        let ids = NewIds::new(5);
        let now = Timestamp(1_763_000_000_123);
        assert_eq!(ids.next(now), compose(now.0, 5, 0));
        let mut last = 0;
        for n in 0..10_000_i64 {
            let id = ids.next(Timestamp(now.0 - n % 7));
            assert!(id > last);
            last = id;
        }
    }
}
