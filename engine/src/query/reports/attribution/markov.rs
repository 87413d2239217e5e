//! Journeys as a Markov chain of first order: from the start by way of values to a conversion or to nothing.

use std::collections::BTreeMap;

/// Sweeps over the chain until probabilities stand still; a chain that moves on after so many is near enough.
const SWEEPS_MAX: usize = 10_000;
/// What standing still is.
const STILL: f64 = 1e-13;

/// How often one step led to another.
#[derive(Debug, Clone, Default)]
pub(super) struct Chain {
    starts: BTreeMap<usize, f64>,
    steps: BTreeMap<usize, BTreeMap<usize, f64>>,
    /// Per value: how often a conversion, or nothing, came after it.
    ends: BTreeMap<usize, (f64, f64)>,
}

impl Chain {
    /// A journey; the same value several times in a row is one.
    pub(super) fn walked(&mut self, touched: &[usize], converted: bool) {
        let mut path = touched.to_vec();
        path.dedup();
        let (Some(first), Some(last)) = (path.first(), path.last()) else { return };
        *self.starts.entry(*first).or_default() += 1.0;
        for pair in path.windows(2) {
            *self.steps.entry(pair[0]).or_default().entry(pair[1]).or_default() += 1.0;
        }
        let end = self.ends.entry(*last).or_default();
        *(if converted { &mut end.0 } else { &mut end.1 }) += 1.0;
    }

    /// By how much of itself the probability of a conversion falls when a value is taken away, for each of `values`.
    pub(super) fn removal_effects(&self, values: usize) -> Vec<f64> {
        let whole = self.conversion(values, None);
        let effect =
            |value| if whole > 0.0 { 1.0 - self.conversion(values, Some(value)) / whole } else { 0.0 };
        (0..values).map(effect).collect()
    }

    /// The probability that a journey ends in a conversion, `without` a value: whoever comes there gets nowhere.
    fn conversion(&self, values: usize, without: Option<usize>) -> f64 {
        let leaving: Vec<f64> = (0..values)
            .map(|value| {
                let steps: f64 = self.steps.get(&value).map_or(0.0, |steps| steps.values().sum());
                let (converted, not) = self.ends.get(&value).copied().unwrap_or_default();
                steps + converted + not
            })
            .collect();
        let mut reach = vec![0.0_f64; values];
        for _ in 0..SWEEPS_MAX {
            let mut moved = 0.0_f64;
            for value in (0..values).rev().filter(|value| Some(*value) != without && leaving[*value] > 0.0) {
                let mut sum = self.ends.get(&value).map_or(0.0, |(converted, _)| *converted);
                for (next, count) in self.steps.get(&value).into_iter().flatten() {
                    sum += count * reach[*next];
                }
                let now = sum / leaving[value];
                moved = moved.max((now - reach[value]).abs());
                reach[value] = now;
            }
            if moved < STILL {
                break;
            }
        }
        let all: f64 = self.starts.values().sum();
        let reached: f64 = self.starts.iter().map(|(value, count)| count * reach[*value]).sum();
        if all > 0.0 { reached / all } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: start → a (2 of 3) or b (1 of 3); a → b always; b → conversion 1 of 3, nothing 2 of 3.
    #[test]
    fn removal_effects_are_those_found_by_hand() {
        let mut chain = Chain::default();
        chain.walked(&[0, 0, 1], true);
        chain.walked(&[0, 1], false);
        chain.walked(&[1], false);
        assert!((chain.conversion(2, None) - 1.0 / 3.0).abs() < 1e-12);
        // Without a only the third that starts at b can convert; without b nobody.
        let effects = chain.removal_effects(2);
        assert!((effects[0] - 2.0 / 3.0).abs() < 1e-12 && (effects[1] - 1.0).abs() < 1e-12, "{effects:?}");
        assert_eq!(Chain::default().removal_effects(2), [0.0, 0.0]);
    }

    #[test]
    fn loops_come_to_rest() {
        let mut chain = Chain::default();
        for _ in 0..50 {
            chain.walked(&[0, 1, 0, 1, 0], false);
        }
        chain.walked(&[0, 1, 0], true);
        // Everybody is at 0 after the start; 51 + 101 visits to it, of which 1 converts and 50 end: p = 1/51.
        assert!((chain.conversion(2, None) - 1.0 / 51.0).abs() < 1e-9);
    }
}
