//! What the redirect did lately: hits and latency of the last full minute, for the status page. Fed by the
//! recorder's thread, so that the redirect itself pays nothing.

use std::sync::{Arc, Mutex, PoisonError};

use hdrhistogram::Histogram;
use weir_schemas::time::{MINUTE_MS, Timestamp};

/// Latencies above this count as this, in microseconds: ten seconds.
const LATENCY_MAX_US: u64 = 10_000_000;

/// One minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MinuteStats {
    /// Hits recorded.
    pub hits: u64,
    /// Median latency, microseconds.
    pub p50_us: u64,
    /// 99th percentile, microseconds.
    pub p99_us: u64,
}

#[derive(Debug)]
struct Minutes {
    minute: i64,
    now: Histogram<u64>,
    last: MinuteStats,
}

/// The counters. Clones share them.
#[derive(Debug, Clone)]
pub struct RedirectStats(Arc<Mutex<Minutes>>);

impl Default for RedirectStats {
    fn default() -> Self {
        let now = Histogram::new_with_max(LATENCY_MAX_US, 2).expect("the bounds are valid");
        Self(Arc::new(Mutex::new(Minutes { minute: 0, now, last: MinuteStats::default() })))
    }
}

impl Minutes {
    fn turn_to(&mut self, minute: i64) {
        if minute <= self.minute {
            return;
        }
        // A minute in which nothing came lies between: the last full one is empty.
        self.last = if minute == self.minute + 1 {
            MinuteStats {
                hits: self.now.len(),
                p50_us: self.now.value_at_quantile(0.5),
                p99_us: self.now.value_at_quantile(0.99),
            }
        } else {
            MinuteStats::default()
        };
        self.now.reset();
        self.minute = minute;
    }
}

impl RedirectStats {
    /// Counts a hit that came at `at`.
    pub fn record(&self, at: Timestamp, latency_us: u32) {
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        minutes.turn_to(at.0.div_euclid(MINUTE_MS));
        minutes.now.saturating_record(u64::from(latency_us));
    }

    /// The last full minute before `now`.
    pub fn last_minute(&self, now: Timestamp) -> MinuteStats {
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        minutes.turn_to(now.0.div_euclid(MINUTE_MS));
        minutes.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_full_minute_is_told() {
        let stats = RedirectStats::default();
        let at = |second: i64| Timestamp(1_793_491_200_000 + second * 1_000);
        for latency in [10, 20, 30] {
            stats.record(at(5), latency);
        }
        assert_eq!(stats.last_minute(at(59)), MinuteStats::default(), "this minute is not full");
        stats.record(at(61), 999);
        assert_eq!(stats.last_minute(at(62)), MinuteStats { hits: 3, p50_us: 20, p99_us: 30 });
        assert_eq!(stats.last_minute(at(300)), MinuteStats::default(), "nothing came lately");
    }
}
