//! Latencies of a row as a log-linear histogram: below 64 µs every microsecond has a bucket, above that each
//! power of two has 64, so a percentile is at most 1/64 (1.6 %) above the truth. Buckets are sums, so they
//! merge, and SQL makes the same ones ([`bucket_sql`]).

use std::collections::BTreeMap;

/// Buckets in each power of two.
const PARTS: u32 = 64;
/// The worst relative error of a percentile.
pub const LATENCY_ERROR: f64 = 1.0 / PARTS as f64;

/// Counts by the bucket's lowest value in microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Latencies(BTreeMap<u32, u64>);

fn width(value: u32) -> u32 {
    if value < PARTS { 1 } else { (1 << value.ilog2()) / PARTS }
}

/// The bucket of a column of microseconds (UInt32), in SQL. `roundToExp2` rounds down to a power of two.
pub(super) fn bucket_sql(column: &str) -> String {
    format!(
        "if({column} < {PARTS}, {column}, {column} - modulo({column}, \
         greatest(intDiv(roundToExp2({column}), toUInt32({PARTS})), toUInt32(1))))"
    )
}

impl Latencies {
    /// One more.
    #[inline]
    pub(super) fn add(&mut self, us: u32) {
        *self.0.entry(us - us % width(us)).or_default() += 1;
    }

    /// From the two arrays of a state row.
    pub(super) fn from_state(buckets: &[u32], counts: &[u64]) -> Self {
        Self(buckets.iter().copied().zip(counts.iter().copied()).collect())
    }

    /// The sum.
    pub(super) fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            *self.0.entry(*bucket).or_default() += count;
        }
    }

    /// The highest value of the bucket that holds the `percent`-th percentile (nearest rank); none without
    /// clicks.
    pub(super) fn percentile(&self, percent: u64) -> Option<u32> {
        let all: u64 = self.0.values().sum();
        let rank = (all * percent).div_ceil(100).max(1);
        let mut before = 0;
        self.0.iter().find_map(|(bucket, count)| {
            before += count;
            (before >= rank).then(|| bucket + (width(*bucket) - 1))
        })
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_exact_when_small_and_within_a_64th_when_large() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50), None);
        (1..=60).for_each(|us| latencies.add(us));
        assert_eq!((latencies.percentile(50), latencies.percentile(99)), (Some(30), Some(60)));
        for us in [64, 65, 127, 128, 1_000, 123_456, u32::MAX - 1, u32::MAX] {
            let mut one = Latencies::default();
            one.add(us);
            let got = f64::from(one.percentile(99).unwrap());
            let truth = f64::from(us);
            assert!(got >= truth && got <= truth * (1.0 + LATENCY_ERROR), "{us}: {got}");
        }
    }

    #[test]
    fn merging_adds() {
        let (mut a, mut b, mut both) = (Latencies::default(), Latencies::default(), Latencies::default());
        for us in 0..5_000 {
            if us % 3 == 0 {
                a.add(us)
            } else {
                b.add(us)
            }
            both.add(us);
        }
        a.merge(&b);
        assert_eq!(a, both);
    }
}
