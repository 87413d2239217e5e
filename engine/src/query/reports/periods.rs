//! Days, weeks and months of the report's time zone, numbered so that they can be counted apart.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use weir_schemas::query::TimeBucket;
use weir_schemas::time::DAY_MS;

use super::super::bucket::Buckets;
use super::super::range::Range;

/// How long a period is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Period {
    /// A day.
    Day,
    /// An ISO week.
    #[default]
    Week,
    /// A month.
    Month,
}

/// 1970-01-05 was a Monday.
const FIRST_MONDAY_MS: i64 = 4 * DAY_MS;
const WEEK_MS: i64 = 7 * DAY_MS;

/// The periods of a range. Keys are those of [`Buckets`].
#[derive(Debug, Clone)]
pub(super) struct Periods {
    period: Period,
    buckets: Buckets,
}

impl Periods {
    pub(super) fn new(period: Period, zone: &TimeZone, range: Range) -> Self {
        let width = match period {
            Period::Day => TimeBucket::Day,
            Period::Week => TimeBucket::Week,
            Period::Month => TimeBucket::Month,
        };
        Self { period, buckets: Buckets::new(width, zone, range) }
    }

    /// The key of the period in which a moment lies.
    pub(super) fn key(&self, at: i64) -> i64 {
        self.buckets.key(at)
    }

    /// The same in SQL, of Unix milliseconds.
    pub(super) fn sql(&self, ms: &str) -> String {
        self.buckets.sql(&format!("fromUnixTimestamp64Milli({ms}, 'UTC')"))
    }

    /// A number that is one more for the next period.
    pub(super) fn index(&self, key: i64) -> i64 {
        match self.period {
            Period::Day => key.div_euclid(DAY_MS),
            Period::Week => (key - FIRST_MONDAY_MS).div_euclid(WEEK_MS),
            Period::Month => key.div_euclid(100) * 12 + key.rem_euclid(100) - 1,
        }
    }

    /// The first moment of the period of an index, RFC 3339 with the zone's offset.
    pub(super) fn print(&self, index: i64) -> String {
        self.buckets.print(match self.period {
            Period::Day => index * DAY_MS,
            Period::Week => index * WEEK_MS + FIRST_MONDAY_MS,
            Period::Month => index.div_euclid(12) * 100 + index.rem_euclid(12) + 1,
        })
    }
}
