//! The tests' statistics: distributions and the few tests that experiments are judged by. Formulas from W. Press et
//! al., "Numerical Recipes", 3rd ed., chapter 6 (incomplete gamma and beta as series and continued fractions,
//! Lanczos' approximation), checked against scipy's figures.

/// Half of a two-sided 5 %: the normal distribution's quantile at 97.5 %.
pub(super) const Z_975: f64 = 1.959_963_984_540_054;
/// The normal distribution's quantile at 80 %.
pub(super) const Z_80: f64 = 0.841_621_233_572_914_3;

const ITERATIONS_MAX: usize = 500;
const PRECISION: f64 = 1e-15;
const TINY: f64 = 1e-300;

/// ln Γ(x) for x > 0.
pub(super) fn ln_gamma(x: f64) -> f64 {
    const LANCZOS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let mut sum = LANCZOS[0];
    for (index, factor) in LANCZOS.iter().enumerate().skip(1) {
        sum += factor / (x + index as f64);
    }
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// The upper regularised incomplete gamma function Q(a, x).
pub(super) fn gamma_q(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let scale = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        for _ in 0..ITERATIONS_MAX {
            n += 1.0;
            term *= x / n;
            sum += term;
            if term.abs() < sum.abs() * PRECISION {
                break;
            }
        }
        return 1.0 - scale * sum;
    }
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut h = d;
    for i in 1..ITERATIONS_MAX {
        let an = -(i as f64) * (i as f64 - a);
        b += 2.0;
        d = 1.0 / floor(an * d + b);
        c = floor(b + an / c);
        h *= d * c;
        if (d * c - 1.0).abs() < PRECISION {
            break;
        }
    }
    scale * h
}

fn floor(x: f64) -> f64 {
    if x.abs() < TINY { TINY } else { x }
}

/// The regularised incomplete beta function I_x(a, b).
pub(super) fn beta_i(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_i(b, a, 1.0 - x);
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp();
    let mut c = 1.0;
    let mut d = 1.0 / floor(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..ITERATIONS_MAX {
        let m = m as f64;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / floor(1.0 + even * d);
        c = floor(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / floor(1.0 + odd * d);
        c = floor(1.0 + odd / c);
        h *= d * c;
        if (d * c - 1.0).abs() < PRECISION {
            break;
        }
    }
    front * h / a
}

/// The two-sided p-value of a normal deviate.
pub(super) fn normal_two_sided(z: f64) -> f64 {
    // erfc(x) is Q(1/2, x²).
    gamma_q(0.5, z * z / 2.0)
}

/// The two-sided p-value of Student's t.
pub(super) fn student_two_sided(t: f64, freedom: f64) -> f64 {
    beta_i(freedom / 2.0, 0.5, freedom / (freedom + t * t))
}

/// The p-value of Pearson's chi-squared with so many degrees of freedom.
pub(super) fn chi_squared(statistic: f64, freedom: f64) -> f64 {
    gamma_q(freedom / 2.0, statistic / 2.0)
}

/// Of so many, so many converted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Proportion {
    pub(super) hits: f64,
    pub(super) of: f64,
}

impl Proportion {
    pub(super) fn rate(self) -> f64 {
        if self.of > 0.0 { self.hits / self.of } else { 0.0 }
    }

    fn variance(self) -> f64 {
        if self.of > 0.0 { self.rate() * (1.0 - self.rate()) / self.of } else { 0.0 }
    }
}

/// The two-sided p-value of two proportions being one, with the variance of both together.
pub(super) fn z_test(a: Proportion, b: Proportion) -> Option<f64> {
    let pooled = (a.hits + b.hits) / (a.of + b.of);
    let variance = pooled * (1.0 - pooled) * (1.0 / a.of + 1.0 / b.of);
    (variance > 0.0).then(|| normal_two_sided((b.rate() - a.rate()) / variance.sqrt()))
}

/// The 95 % interval (Wald's) of `b - a`.
pub(super) fn difference_interval(a: Proportion, b: Proportion) -> (f64, f64) {
    let (difference, error) = (b.rate() - a.rate(), (a.variance() + b.variance()).sqrt());
    (difference - Z_975 * error, difference + Z_975 * error)
}

/// A p-value that stays valid however often one looks: the mixture sequential probability ratio test with a normal
/// mixture of standard deviation `tau` over the difference (R. Johari et al., "Always valid inference", 2015).
pub(super) fn always_valid(a: Proportion, b: Proportion, tau: f64) -> Option<f64> {
    let variance = a.variance() + b.variance();
    if variance <= 0.0 {
        return None;
    }
    let (mixture, difference) = (tau * tau, b.rate() - a.rate());
    let exponent = mixture * difference * difference / (2.0 * variance * (variance + mixture));
    let ratio = (variance / (variance + mixture)).sqrt() * exponent.min(700.0).exp();
    Some((1.0 / ratio).min(1.0))
}

/// The probability that `b`'s rate is greater than `a`'s, both with a uniform prior: Beta distributions,
/// integrated over `b`'s by Simpson's rule.
pub(super) fn beats(a: Proportion, b: Proportion) -> f64 {
    const INTERVALS: usize = 2_000;
    let (a1, b1) = (1.0 + a.hits, 1.0 + a.of - a.hits);
    let (a2, b2) = (1.0 + b.hits, 1.0 + b.of - b.hits);
    let mean = a2 / (a2 + b2);
    let deviation = (mean * (1.0 - mean) / (a2 + b2 + 1.0)).sqrt();
    let (from, to) = ((mean - 9.0 * deviation).max(0.0), (mean + 9.0 * deviation).min(1.0));
    let scale = ln_gamma(a2 + b2) - ln_gamma(a2) - ln_gamma(b2);
    let density = |x: f64| match x {
        x if x <= 0.0 => {
            if a2 > 1.0 {
                0.0
            } else {
                b2
            }
        }
        x if x >= 1.0 => {
            if b2 > 1.0 {
                0.0
            } else {
                a2
            }
        }
        x => (scale + (a2 - 1.0) * x.ln() + (b2 - 1.0) * (1.0 - x).ln()).exp(),
    };
    let width = (to - from) / INTERVALS as f64;
    let mut sum = 0.0;
    for index in 0..=INTERVALS {
        let x = from + width * index as f64;
        let weight = match index {
            0 | INTERVALS => 1.0,
            index if index % 2 == 1 => 4.0,
            _ => 2.0,
        };
        sum += weight * density(x) * beta_i(a1, b1, x);
    }
    (sum * width / 3.0).clamp(0.0, 1.0)
}

/// Count, sum and sum of squares of some numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Moments {
    pub(super) count: f64,
    pub(super) sum: f64,
    pub(super) squares: f64,
}

impl Moments {
    pub(super) fn mean(self) -> f64 {
        if self.count > 0.0 { self.sum / self.count } else { 0.0 }
    }

    fn variance(self) -> f64 {
        if self.count < 2.0 {
            return 0.0;
        }
        ((self.squares - self.sum * self.sum / self.count) / (self.count - 1.0)).max(0.0)
    }
}

/// Welch's test that two means are one: the two-sided p-value.
pub(super) fn welch(a: Moments, b: Moments) -> Option<f64> {
    if a.count < 2.0 || b.count < 2.0 {
        return None;
    }
    let (va, vb) = (a.variance() / a.count, b.variance() / b.count);
    if va + vb <= 0.0 {
        return None;
    }
    let t = (b.mean() - a.mean()) / (va + vb).sqrt();
    let freedom = (va + vb).powi(2) / (va * va / (a.count - 1.0) + vb * vb / (b.count - 1.0));
    Some(student_two_sided(t, freedom))
}

/// How many each arm needs, so that a relative change of `effect` from `rate` is found with 80 % power at 5 %.
pub(super) fn sample_size(rate: f64, effect: f64) -> Option<u64> {
    let (p1, p2) = (rate, rate * (1.0 + effect));
    if !(p1 > 0.0 && p2 < 1.0 && p1 != p2) {
        return None;
    }
    let middle = f64::midpoint(p1, p2);
    let both = Z_975 * (2.0 * middle * (1.0 - middle)).sqrt();
    let each = Z_80 * (p1 * (1.0 - p1) + p2 * (1.0 - p2)).sqrt();
    Some((((both + each) / (p2 - p1)).powi(2)).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, expected: f64) {
        let error = (got - expected).abs() / expected.abs().max(1e-300);
        assert!(error < 1e-9, "{got} is not {expected}");
    }

    /// Figures of scipy 1.17.1: `stats.norm.sf`, `stats.t.sf`, `stats.chi2.sf`, `special.betainc`, `special.gammaln`.
    #[test]
    fn distributions_are_scipys() {
        near(normal_two_sided(1.5), 0.133_614_402_537_716_14);
        near(normal_two_sided(-5.0), 5.733_031_437_583_866e-7);
        near(student_two_sided(2.1, 7.3), 0.072_246_713_424_853_4);
        near(student_two_sided(-0.3, 500.0), 0.764_301_835_950_807);
        near(chi_squared(7.8, 3.0), 0.050_331_097_859_853_326);
        near(chi_squared(0.02, 1.0), 0.887_537_083_981_715);
        near(chi_squared(60.0, 4.0), 2.900_863_120_340_457_3e-12);
        near(beta_i(2.5, 3.5, 0.3), 0.296_752_989_295_666_46);
        near(beta_i(120.0, 900.0, 0.1), 0.035_344_032_106_402_04);
        near(ln_gamma(0.5), 0.572_364_942_924_7);
        near(ln_gamma(123.4), 469.336_097_442_190_6);
    }

    /// statsmodels 0.15: `proportions_ztest`, `confint_proportions_2indep(method="wald")`; scipy's
    /// `ttest_ind_from_stats(equal_var=False)`.
    #[test]
    fn tests_are_those_of_statsmodels() {
        let (a, b) = (Proportion { hits: 200.0, of: 5_000.0 }, Proportion { hits: 250.0, of: 5_050.0 });
        near(z_test(a, b).unwrap(), 0.021_240_745_629_242_965);
        let (low, high) = difference_interval(a, b);
        near(low, 0.001_424_366_867_657_771_8);
        near(high, 0.017_585_534_122_441_24);
        let (a, b) = (
            Moments { count: 100.0, sum: 300.0, squares: 2_500.0 },
            Moments { count: 120.0, sum: 450.0, squares: 4_000.0 },
        );
        near(welch(a, b).unwrap(), 0.188_724_805_066_613_74);
    }

    /// Integrated by scipy's `quad` over `beta.pdf * beta.cdf`.
    #[test]
    fn who_is_better_and_how_many_are_needed() {
        let of = |hits, of| Proportion { hits, of };
        near(beats(of(200.0, 5_000.0), of(250.0, 5_050.0)), 0.989_360_564_389_111_8);
        assert!((beats(of(3.0, 10.0), of(2.0, 9.0)) - 0.367_315_347_191_508_1).abs() < 1e-8);
        assert!((beats(of(0.0, 5.0), of(5.0, 5.0)) - 0.998_917_748_917_748_6).abs() < 1e-8);
        assert_eq!(sample_size(0.05, 0.1), Some(31_234));
        assert_eq!(sample_size(0.0, 0.1), None);
    }

    #[test]
    fn a_test_that_may_be_looked_at_is_more_careful() {
        let (a, b) = (Proportion { hits: 200.0, of: 5_000.0 }, Proportion { hits: 250.0, of: 5_050.0 });
        let (fixed, always) = (z_test(a, b).unwrap(), always_valid(a, b, 0.01).unwrap());
        assert!(always > fixed && always <= 1.0, "{always} {fixed}");
        let half = Proportion { hits: 80_000.0, of: 160_000.0 };
        let more = Proportion { hits: 83_200.0, of: 160_000.0 };
        let variance: f64 = 0.25 / 160_000.0 + 0.52 * 0.48 / 160_000.0;
        let ratio = (variance / (variance + 1e-4)).sqrt()
            * (1e-4 * 4e-4 / (2.0 * variance * (variance + 1e-4))).exp();
        near(always_valid(half, more, 0.01).unwrap(), 1.0 / ratio);
        assert_eq!(always_valid(half, half, 0.01), Some(1.0));
    }
}
