//! Exchange rates, for reporting only: the ledger never converts anything. A rate is a decimal text; a conversion from
//! one currency into another by two rates of the same base is a decimal with [`FRACTION_DIGITS`] digits behind the
//! point, rounded once (half away from zero). From there on everything is integers: amounts times factors add up
//! exactly, and a sum is rounded once, where it is shown.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::money::Currency;
use crate::time::{DAY_MS, Timestamp};

/// Most significant digits of a rate.
pub const RATE_DIGITS_MAX: usize = 15;
/// Most digits of a rate behind its point.
pub const RATE_DECIMALS_MAX: usize = 10;
/// Digits of a factor behind its point.
pub const FRACTION_DIGITS: u32 = 18;
/// One, in a factor's fractions.
pub const FRACTION_ONE: i64 = 1_000_000_000_000_000_000;
/// A factor from this on is a mistake of the table's: amounts times factors would no longer fit.
pub const FACTOR_MAX: i64 = 1_000_000_000;

/// What one unit of a table's base costs in another currency: `digits ÷ 10^decimals`, without zeros at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    digits: u64,
    decimals: u32,
}

impl Rate {
    /// The base itself.
    pub const ONE: Self = Self { digits: 1, decimals: 0 };
}

/// The text is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a positive decimal such as \"1.0856\", of at most {RATE_DIGITS_MAX} digits, {RATE_DECIMALS_MAX} of them \
     behind the point"
)]
pub struct BadRate;

impl FromStr for Rate {
    type Err = BadRate;
    fn from_str(text: &str) -> Result<Self, BadRate> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let figures = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let bare = whole.is_empty() || text.ends_with('.') || !figures(whole) || !figures(fraction);
        let fraction = fraction.trim_end_matches('0');
        let significant = whole.trim_start_matches('0').len() + fraction.len();
        if bare || significant > RATE_DIGITS_MAX || fraction.len() > RATE_DECIMALS_MAX {
            return Err(BadRate);
        }
        let digits = whole.bytes().chain(fraction.bytes());
        let digits = digits.fold(0_u64, |sum, byte| sum * 10 + u64::from(byte - b'0'));
        if digits == 0 { Err(BadRate) } else { Ok(Self { digits, decimals: fraction.len() as u32 }) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = 10_u64.pow(self.decimals);
        write!(f, "{}", self.digits / one)?;
        match self.decimals as usize {
            0 => Ok(()),
            width => write!(f, ".{:0width$}", self.digits % one),
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A day of UTC, in days from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    /// The day in which a moment lies.
    pub const fn of(at: Timestamp) -> Self {
        Self(at.0.div_euclid(DAY_MS) as i32)
    }
}

/// The text is no day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a date such as 2026-11-20")]
pub struct BadDay;

impl FromStr for Day {
    type Err = BadDay;
    fn from_str(text: &str) -> Result<Self, BadDay> {
        let date: jiff::civil::Date = text.parse().ok().filter(|_| text.len() == 10).ok_or(BadDay)?;
        let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| BadDay)?;
        Ok(Self::of(Timestamp(midnight.timestamp().as_millisecond())))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let midnight = jiff::Timestamp::from_second(i64::from(self.0) * 86_400).unwrap_or_default();
        write!(f, "{}", midnight.to_zoned(jiff::tz::TimeZone::UTC).date())
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A row of a table: on that day one unit of the table's base cost so much of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FxRate {
    /// A day of UTC.
    #[schema(value_type = String, example = "2026-11-20")]
    pub date: Day,
    /// ISO 4217.
    #[schema(value_type = String, example = "USD")]
    pub currency: Currency,
    /// A decimal, as text.
    #[schema(value_type = String, example = "1.0856")]
    pub rate: Rate,
}

/// What an amount in minor units of one currency is multiplied by for minor units of another:
/// `whole + fraction ÷ 10^18`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factor {
    /// Below [`FACTOR_MAX`].
    pub whole: i64,
    /// Below [`FRACTION_ONE`].
    pub fraction: i64,
}

impl Factor {
    /// A currency into itself.
    pub const ONE: Self = Self { whole: 1, fraction: 0 };

    /// From `from`, of which the base costs `price_from`, into `into`, of which it costs `price_into`; minor units into
    /// minor units. `None` where the factor is absurd ([`FACTOR_MAX`]).
    pub fn between(from: (Currency, Rate), into: (Currency, Rate)) -> Option<Self> {
        if from.0 == into.0 {
            return Some(Self::ONE);
        }
        quotient(from.1, into.1, i64::from(into.0.digits()) - i64::from(from.0.digits()))
    }

    /// What one unit of `from` costs in `into`, as people say it: in whole units of both.
    pub fn told(from: (Currency, Rate), into: (Currency, Rate)) -> Option<String> {
        let factor = if from.0 == into.0 { Self::ONE } else { quotient(from.1, into.1, 0)? };
        let text = format!("{}.{:018}", factor.whole, factor.fraction);
        Some(text.trim_end_matches('0').trim_end_matches('.').to_owned())
    }
}

/// `into ÷ from × 10^shift`, by long division: with at most 15 digits and shifts of at most 14 nothing overflows.
fn quotient(from: Rate, into: Rate, shift: i64) -> Option<Factor> {
    let (mut dividend, mut divisor) = (u128::from(into.digits), u128::from(from.digits));
    let shift = i64::from(from.decimals) - i64::from(into.decimals) + shift;
    let power = 10_u128.pow(shift.unsigned_abs() as u32);
    if shift >= 0 {
        dividend *= power;
    } else {
        divisor *= power;
    }
    let mut whole = i64::try_from(dividend / divisor).ok()?;
    let mut rest = dividend % divisor;
    let mut fraction = 0_i64;
    for _ in 0..FRACTION_DIGITS {
        rest *= 10;
        fraction = fraction * 10 + (rest / divisor) as i64;
        rest %= divisor;
    }
    if rest * 2 >= divisor {
        fraction += 1;
    }
    if fraction == FRACTION_ONE {
        (whole, fraction) = (whole + 1, 0);
    }
    (whole < FACTOR_MAX).then_some(Factor { whole, fraction })
}

/// `whole + fraction ÷ 10^18`, rounded half away from zero: the one rounding of a converted sum. The fractions of many
/// amounts may be worth more than one.
pub fn rounded(whole: i128, fraction: i128) -> i128 {
    let one = i128::from(FRACTION_ONE);
    let (below, rest) = (whole + fraction.div_euclid(one), fraction.rem_euclid(one));
    let up = if below >= 0 { rest * 2 >= one } else { rest * 2 > one };
    below + i128::from(up)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(code: &str, rate: &str) -> (Currency, Rate) {
        (code.parse().unwrap(), rate.parse().unwrap())
    }

    #[test]
    fn rates_are_positive_decimals() {
        for (text, told) in
            [("1.0856", "1.0856"), ("162.50", "162.5"), ("007", "7"), ("0.0000000001", "0.0000000001")]
        {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), told);
        }
        for bad in
            ["", "0", "0.00", "-1", "+1", "1e3", "1.", ".5", "1,5", " 1", "1.00000000001", "1234567890123456"]
        {
            assert_eq!(bad.parse::<Rate>(), Err(BadRate), "{bad}");
        }
        assert!(serde_json::from_str::<Rate>("1.5").is_err(), "a JSON number is a binary fraction");
    }

    #[test]
    fn days_are_civil_dates() {
        let day: Day = "2026-11-20".parse().unwrap();
        assert_eq!((day.0, day.to_string()), (20_777, "2026-11-20".to_owned()));
        assert_eq!(Day::of(Timestamp(-1)).to_string(), "1969-12-31");
        for bad in ["2026-02-30", "20261120", "2026-11-20T00:00:00Z", ""] {
            assert_eq!(bad.parse::<Day>(), Err(BadDay), "{bad}");
        }
    }

    #[test]
    fn factors_know_minor_units() {
        let into = |from, into| Factor::between(from, into).unwrap();
        let (eur, usd, jpy, kwd) =
            (of("EUR", "1"), of("USD", "1.0856"), of("JPY", "162.5"), of("KWD", "0.333"));
        assert_eq!(into(eur, usd), Factor { whole: 1, fraction: 85_600_000_000_000_000 });
        // 1 JPY is 1.0856 / 162.5 USD, which is 0.668… cents.
        assert_eq!(into(jpy, usd).fraction, 668_061_538_461_538_462);
        assert_eq!(into(eur, kwd), Factor { whole: 3, fraction: 330_000_000_000_000_000 });
        assert_eq!(into(usd, usd), Factor::ONE);
        assert_eq!(Factor::told(usd, eur).unwrap(), "0.921149594694178335");
        assert_eq!(Factor::between(of("EUR", "0.0000000001"), of("USD", "999999")), None);
    }

    #[test]
    fn sums_are_rounded_once_and_away_from_zero() {
        let half = i128::from(FRACTION_ONE) / 2;
        assert_eq!(
            (rounded(2, half), rounded(2, half - 1), rounded(-2, -half), rounded(-2, 1 - half)),
            (3, 2, -3, -2)
        );
        assert_eq!(
            (rounded(0, -half), rounded(0, 1 - half), rounded(-1, half), rounded(5, -half)),
            (-1, 0, -1, 5)
        );
    }

    proptest! {
        /// Against plain rational arithmetic: no factor is off by more than half of its last digit.
        #[test]
        fn a_factor_is_the_nearest_decimal(
            a in 1_u64..999_999_999, b in 1_u64..999_999_999, p in 0_u32..8, q in 0_u32..8,
        ) {
            let rate = |digits: u64, decimals: u32| {
                let one = 10_u64.pow(decimals);
                format!("{}.{:0width$}", digits / one, digits % one, width = decimals.max(1) as usize)
            };
            let (from, into) = (rate(a, p), rate(b, q));
            let (from, into) = (of("EUR", &from), of("USD", &into));
            if let Some(factor) = Factor::between(from, into) {
                // |b × 10^p × 10^18 − (factor × 10^18) × a × 10^q| × 2 ≤ a × 10^q, where it fits.
                let scaled = i128::from(factor.whole) * i128::from(FRACTION_ONE) + i128::from(factor.fraction);
                let left = (i128::from(b) * 10_i128.pow(p)).checked_mul(i128::from(FRACTION_ONE));
                let divisor = i128::from(a) * 10_i128.pow(q);
                if let (Some(left), Some(right)) = (left, scaled.checked_mul(divisor)) {
                    prop_assert!((left - right).abs() * 2 <= divisor);
                }
            }
        }

        /// A restatement takes back exactly what it put there.
        #[test]
        fn what_is_taken_back_leaves_nothing(amount in -1_000_000_000_i64..1_000_000_000, fraction in 0..FRACTION_ONE) {
            let (whole, part) = (i128::from(amount) * 3, i128::from(amount) * i128::from(fraction));
            prop_assert_eq!(rounded(whole - whole, part - part), 0);
            prop_assert_eq!(rounded(whole, part), -rounded(-whole, -part));
        }
    }
}
