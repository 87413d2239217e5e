//! How often something came within a minute. Minutes are those of the clock: a count begins anew with each.

use std::collections::HashMap;
use std::hash::Hash;

use weir_schemas::time::{MINUTE_MS, Timestamp};

/// How many keys are watched at once; about 40 bytes each.
pub(super) const WATCHED_MAX: usize = 100_000;

#[derive(Debug)]
pub(super) struct Rates<K> {
    what: &'static str,
    minute: i64,
    counts: HashMap<K, u32, ahash::RandomState>,
}

impl<K: Eq + Hash> Rates<K> {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, minute: i64::MIN, counts: HashMap::default() }
    }

    /// Counts one more of `key`; gives how many they are within the minute of `at`, 0 where they are not watched.
    pub(super) fn count(&mut self, key: K, at: Timestamp) -> u32 {
        let minute = at.0.div_euclid(MINUTE_MS);
        // Threads hand their hits over in turns: a few of the last minute come behind the first of the next.
        if minute > self.minute {
            self.minute = minute;
            self.counts.clear();
        }
        if self.counts.len() >= WATCHED_MAX && !self.counts.contains_key(&key) {
            metrics::counter!("weir_signals_unwatched_total", "what" => self.what).increment(1);
            return 0;
        }
        let count = self.counts.entry(key).or_default();
        *count = count.saturating_add(1);
        *count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_minute_begins_anew_and_memory_is_bounded() {
        let mut rates = Rates::new("test");
        let at = |ms: i64| Timestamp(1_793_491_200_000 + ms);
        assert_eq!([rates.count(1, at(0)), rates.count(1, at(59_999)), rates.count(2, at(5))], [1, 2, 1]);
        assert_eq!([rates.count(1, at(60_000)), rates.count(1, at(59_998))], [1, 2]);
        for key in 10..10 + WATCHED_MAX {
            rates.count(key, at(60_001));
        }
        assert_eq!(rates.counts.len(), WATCHED_MAX);
        assert_eq!(rates.count(usize::MAX, at(60_002)), 0);
        assert_eq!(rates.count(1, at(60_002)), 3, "who is watched goes on being watched");
        assert_eq!(rates.count(usize::MAX, at(120_000)), 1);
    }
}
