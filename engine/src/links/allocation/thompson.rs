//! Thompson sampling: a variant's share is the probability that it is the best, given what was seen.
//!
//! A variant's conversion rate has the posterior Beta(1 + conversions, 1 + clicks without). One draw of all
//! posteriors is one opinion of which is best; the shares are what [`DRAWS`] opinions say. Variants within
//! [`MARGIN`] of an opinion's best share its voice: without that, equal variants would be driven apart by
//! chance alone, and stay there. Every variant keeps [`FLOOR`], so that a late bloomer is seen.
//!
//! By revenue a draw of the rate is multiplied by a draw of the mean order, amounts taken as exponential: broad
//! enough for what people spend, so that a single large order decides nothing.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use weir_schemas::link::Objective;

/// Opinions asked for one decision: a share is then known to about one in a hundred.
pub const DRAWS: u32 = 2_000;
/// Rates within this part of the best are as good as the best.
pub const MARGIN: f64 = 0.05;
/// The least share of a variant that is not paused, in basis points.
pub const FLOOR: u32 = 500;
/// All shares together.
pub const WHOLE: u32 = 10_000;

/// What a variant has brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arm {
    /// Counted clicks.
    pub clicks: u64,
    /// Conversions credited to them, reversed ones taken off.
    pub conversions: u64,
    /// What they brought less what went back, in minor units of one currency.
    pub revenue: u64,
    /// Gets nothing: the operator gave it weight 0.
    pub paused: bool,
}

/// The average order of all arms together: what an arm without orders is thought to bring until it has some.
fn average(arms: &[Arm]) -> f64 {
    let (revenue, orders) =
        arms.iter().fold((0.0, 0.0), |(r, o), arm| (r + arm.revenue as f64, o + arm.conversions as f64));
    if orders > 0.0 && revenue > 0.0 { revenue / orders } else { 1.0 }
}

/// The share of each arm in basis points, [`WHOLE`] together; all 0 where every arm is paused. The same arms
/// and seed give the same shares.
pub fn shares(arms: &[Arm], objective: Objective, seed: u64) -> Vec<u32> {
    let active: Vec<usize> = (0..arms.len()).filter(|&n| !arms[n].paused).collect();
    let mut shares = vec![0; arms.len()];
    if active.is_empty() {
        return shares;
    }
    let mut rng = StdRng::seed_from_u64(seed);
    let mut voices = vec![0.0; active.len()];
    let mut opinion = vec![0.0; active.len()];
    let average = average(arms);
    for _ in 0..DRAWS {
        for (rate, &n) in opinion.iter_mut().zip(&active) {
            let won = arms[n].conversions.min(arms[n].clicks);
            *rate = beta(&mut rng, 1.0 + won as f64, 1.0 + (arms[n].clicks - won) as f64);
            if objective == Objective::Revenue {
                // The mean of exponential amounts: its reciprocal has a Gamma posterior, begun with one average order.
                *rate *= (arms[n].revenue as f64 + average) / gamma(&mut rng, 1.0 + won as f64);
            }
        }
        let best = opinion.iter().copied().fold(0.0, f64::max);
        let good = |rate: f64| rate >= best * (1.0 - MARGIN);
        let voice = 1.0 / opinion.iter().filter(|rate| good(**rate)).count() as f64;
        for (sum, rate) in voices.iter_mut().zip(&opinion) {
            *sum += if good(*rate) { voice } else { 0.0 };
        }
    }
    // Above the floors the rest is divided; what rounding leaves goes to the best.
    let rest = WHOLE - FLOOR.min(WHOLE / active.len() as u32) * active.len() as u32;
    let mut given = 0;
    for (voice, &n) in voices.iter().zip(&active) {
        shares[n] =
            FLOOR.min(WHOLE / active.len() as u32) + (voice / f64::from(DRAWS) * f64::from(rest)) as u32;
        given += shares[n];
    }
    if let Some(&n) = active.iter().max_by_key(|&&n| shares[n]) {
        shares[n] += WHOLE - given.min(WHOLE);
    }
    shares
}

/// A draw from Beta(a, b), as the share of two Gamma draws.
fn beta(rng: &mut StdRng, a: f64, b: f64) -> f64 {
    let (x, y) = (gamma(rng, a), gamma(rng, b));
    x / (x + y)
}

/// A draw from Gamma(shape, 1) for a shape of 1 or more (Marsaglia and Tsang, 2000).
fn gamma(rng: &mut StdRng, shape: f64) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && unit(rng).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// A draw from the standard normal distribution (Box and Muller, 1958).
fn normal(rng: &mut StdRng) -> f64 {
    (-2.0 * unit(rng).ln()).sqrt() * (std::f64::consts::TAU * unit(rng)).cos()
}

/// In (0, 1].
fn unit(rng: &mut StdRng) -> f64 {
    1.0 - rng.random::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(clicks: u64, conversions: u64) -> Arm {
        Arm { clicks, conversions, ..Arm::default() }
    }

    #[test]
    fn shares_are_whole_and_keep_the_floor() {
        for arms in [
            vec![arm(0, 0); 3],
            vec![arm(1_000_000, 0), arm(1_000_000, 500_000)],
            vec![arm(5, 9), arm(0, 0), arm(7, 0)],
            vec![arm(100, 5); 10],
            vec![arm(10, 1)],
        ] {
            let shares = shares(&arms, Objective::Conversions, 1);
            assert_eq!(shares.iter().sum::<u32>(), WHOLE, "{arms:?}");
            assert!(shares.iter().all(|share| *share >= FLOOR), "{shares:?}");
            assert_eq!(
                shares,
                super::shares(&arms, Objective::Conversions, 1),
                "the same seed decides the same"
            );
        }
        let paused = Arm { paused: true, ..arm(10, 10) };
        assert_eq!(shares(&[paused, arm(10, 0)], Objective::Revenue, 1), [0, WHOLE]);
        assert_eq!(shares(&[paused, paused], Objective::Conversions, 1), [0, 0]);
    }

    #[test]
    fn draws_have_the_mean_and_variance_of_their_distribution() {
        let mut rng = StdRng::seed_from_u64(3);
        for (a, b) in [(1.0, 1.0), (3.0, 7.0), (51.0, 951.0)] {
            let draws: Vec<f64> = (0..20_000).map(|_| beta(&mut rng, a, b)).collect();
            let mean = draws.iter().sum::<f64>() / 20_000.0;
            let variance = draws.iter().map(|draw| (draw - mean).powi(2)).sum::<f64>() / 20_000.0;
            let expected: f64 = a * b / ((a + b) * (a + b) * (a + b + 1.0));
            assert!((mean - a / (a + b)).abs() < 5.0 * (expected / 20_000.0).sqrt(), "{a} {b}: {mean}");
            assert!((variance / expected - 1.0).abs() < 0.06, "{a} {b}: {variance} {expected}");
        }
    }

    /// Sends visits through the shares as the engine would, deciding anew every 1,000.
    fn simulate(rates: &[f64], visits: u64, seed: u64) -> (Vec<u32>, Vec<Arm>) {
        let orders: Vec<(f64, f64)> = rates.iter().map(|rate| (*rate, 1.0)).collect();
        simulate_for(&orders, Objective::Conversions, visits, seed)
    }

    /// As [`simulate`], each arm with its rate and its mean order in minor units; amounts are exponential.
    fn simulate_for(
        orders: &[(f64, f64)],
        objective: Objective,
        visits: u64,
        seed: u64,
    ) -> (Vec<u32>, Vec<Arm>) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut arms = vec![Arm::default(); orders.len()];
        let mut weights = shares(&arms, objective, seed);
        for visit in 1..=visits {
            let mut at = rng.random_range(0..WHOLE);
            let n = weights.iter().position(|share| {
                let here = at < *share;
                at = at.saturating_sub(*share);
                here
            });
            let n = n.unwrap();
            arms[n].clicks += 1;
            if rng.random::<f64>() < orders[n].0 {
                arms[n].conversions += 1;
                arms[n].revenue += (-unit(&mut rng).ln() * orders[n].1) as u64;
            }
            if visit % 1_000 == 0 {
                weights = shares(&arms, objective, seed ^ visit);
            }
        }
        (weights, arms)
    }

    #[test]
    fn it_converges_on_the_better_arm() {
        for seed in 0..10 {
            let (weights, arms) = simulate(&[0.05, 0.08, 0.05], 60_000, seed);
            assert!(weights[1] > 8_500, "seed {seed}: {weights:?} after {arms:?}");
            assert!(arms[1].clicks > 40_000, "most visits went there: {arms:?}");
        }
    }

    #[test]
    fn it_does_not_converge_on_equal_arms() {
        let mut before = [0; 2];
        for seed in 0..10 {
            let (weights, arms) = simulate(&[0.06, 0.06], 60_000, seed);
            assert!(weights.iter().all(|weight| *weight > 1_500), "seed {seed}: {weights:?} after {arms:?}");
            before[usize::from(weights[1] > weights[0])] += 1;
        }
        assert!(before.iter().all(|times| *times > 0), "which is ahead is chance: {before:?}");
    }

    #[test]
    fn by_revenue_fewer_and_larger_orders_win() {
        // 5 % of 40.00 bring more than 8 % of 20.00; by conversions it is the other way round.
        let orders = [(0.08, 2_000.0), (0.05, 4_000.0)];
        for seed in 0..10 {
            let (weights, arms) = simulate_for(&orders, Objective::Revenue, 60_000, seed);
            assert!(weights[1] > 8_000, "seed {seed}: {weights:?} after {arms:?}");
            let (weights, _) = simulate_for(&orders, Objective::Conversions, 60_000, seed);
            assert!(weights[0] > 8_500, "seed {seed}: {weights:?}");
        }
    }

    #[test]
    fn by_revenue_equal_arms_stay_together_and_one_large_order_decides_nothing() {
        for seed in 0..10 {
            let (weights, arms) = simulate_for(&[(0.06, 3_000.0); 2], Objective::Revenue, 60_000, seed);
            assert!(weights.iter().all(|weight| *weight > 1_000), "seed {seed}: {weights:?} after {arms:?}");
        }
        let lucky = Arm { revenue: 50_000, ..arm(100, 1) };
        let steady = Arm { revenue: 20_000, ..arm(100, 10) };
        let weights = shares(&[lucky, steady], Objective::Revenue, 1);
        assert!(weights.iter().all(|weight| *weight < 8_500), "{weights:?}");
    }
}
