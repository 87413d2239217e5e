//! The open loop: every request has an intended start that does not wait for the one before. Latency counts
//! from there, so a stall of the server shows in every request that it delayed (coordinated omission, Gil
//! Tene).

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

/// A fixed rate for a fixed time.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// When the first request starts.
    pub start: Instant,
    /// Requests per second.
    pub rate: f64,
    /// Requests in all.
    pub total: u64,
}

impl Schedule {
    /// When request `number` is meant to start.
    pub fn intended(&self, number: u64) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 / self.rate)
    }
}

/// The longest latency told apart, in microseconds: one minute.
const LATENCY_MAX_US: u64 = 60_000_000;

/// Latencies in microseconds, from the intended start.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("the bounds are constants that fit"))
    }
}

impl Latencies {
    /// Records the time since `intended`.
    pub fn record(&mut self, intended: Instant) {
        self.0.saturating_record(intended.elapsed().as_micros().try_into().unwrap_or(LATENCY_MAX_US).max(1));
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// A line of percentiles.
    pub fn summary(&self) -> String {
        let at = |quantile: f64| format!("{:.3} ms", self.0.value_at_quantile(quantile) as f64 / 1_000.0);
        format!(
            "n {} · p50 {} · p90 {} · p99 {} · p99.9 {} · max {:.3} ms",
            self.0.len(),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            self.0.max() as f64 / 1_000.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_seen_by_every_request_it_delayed() {
        let schedule = Schedule { start: Instant::now(), rate: 100.0, total: 100 };
        let mut latencies = Latencies::default();
        tokio::time::advance(Duration::from_secs(1)).await;
        for number in 0..schedule.total {
            latencies.record(schedule.intended(number));
        }
        assert!(latencies.0.value_at_quantile(0.5) > 490_000, "half of them waited half a second");
    }
}
