//! Time buckets in the query's time zone. The zone's offsets within the range are taken from jiff once, and
//! both SQL and memory use those: whatever time zone data a ClickHouse server has, a bucket begins at the
//! same moment on both sides.
//!
//! A bucket's key is a number that sorts by time:
//! - minutes and hours: the bucket's first instant, Unix milliseconds (so the two hours 02:00 of an autumn
//!   night differ);
//! - days and weeks: the civil midnight as if it were UTC, in milliseconds;
//! - months: `year * 100 + month`.

use jiff::tz::TimeZone;
use weir_schemas::query::TimeBucket;
use weir_schemas::time::{DAY_MS, HOUR_MS, MINUTE_MS};

use super::range::{Range, print_civil, print_instant};

/// One width of buckets over one range.
#[derive(Debug, Clone)]
pub(super) struct Buckets {
    width: TimeBucket,
    zone: TimeZone,
    /// From when each offset holds, ascending, Unix milliseconds; the first is the range's start or earlier.
    since: Vec<i64>,
    /// Local time minus UTC, milliseconds.
    offsets: Vec<i64>,
}

const WEEK_MS: i64 = 7 * DAY_MS;
/// 1970-01-01 was a Thursday: three days after a Monday.
const MONDAY_MS: i64 = 3 * DAY_MS;

impl Buckets {
    /// Prepares the offsets of `zone` within `range`.
    pub(super) fn new(width: TimeBucket, zone: &TimeZone, range: Range) -> Self {
        let clamp = |ms: i64| {
            let (min, max) = (jiff::Timestamp::MIN, jiff::Timestamp::MAX);
            jiff::Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 { min } else { max })
        };
        let offset_ms = |at: jiff::Timestamp| i64::from(zone.to_offset(at).seconds()) * 1_000;
        let from = clamp(range.from.0);
        let (mut since, mut offsets) = (vec![range.from.0], vec![offset_ms(from)]);
        if width != TimeBucket::Minute {
            for transition in zone.following(from) {
                let at = transition.timestamp().as_millisecond();
                if at >= range.to.0 {
                    break;
                }
                let offset = i64::from(transition.offset().seconds()) * 1_000;
                if offsets.last() != Some(&offset) {
                    since.push(at);
                    offsets.push(offset);
                }
            }
        }
        Self { width, zone: zone.clone(), since, offsets }
    }

    fn offset(&self, at: i64) -> i64 {
        let after = self.since.partition_point(|since| *since <= at);
        self.offsets[after.saturating_sub(1)]
    }

    /// The key of the bucket in which a moment lies.
    #[inline]
    pub(super) fn key(&self, at: i64) -> i64 {
        if self.width == TimeBucket::Minute {
            return at - at.rem_euclid(MINUTE_MS);
        }
        let local = at + self.offset(at);
        match self.width {
            TimeBucket::Minute => unreachable!("returned above"),
            TimeBucket::Hour => at - local.rem_euclid(HOUR_MS),
            TimeBucket::Day => local - local.rem_euclid(DAY_MS),
            TimeBucket::Week => local - (local + MONDAY_MS).rem_euclid(WEEK_MS),
            TimeBucket::Month => {
                let (year, month) = year_and_month(local.div_euclid(DAY_MS));
                year * 100 + month
            }
        }
    }

    /// The same as [`Self::key`] in SQL, of a DateTime64(3) column. Only numbers computed here go into the
    /// text.
    pub(super) fn sql(&self, column: &str) -> String {
        let at = format!("toInt64(toUnixTimestamp64Milli({column}))");
        if self.width == TimeBucket::Minute {
            return format!("{at} - positiveModulo({at}, {MINUTE_MS})");
        }
        let local = format!("({at} + {})", self.sql_offset(&at));
        match self.width {
            TimeBucket::Minute => unreachable!("returned above"),
            TimeBucket::Hour => format!("{at} - positiveModulo({local}, {HOUR_MS})"),
            TimeBucket::Day => format!("{local} - positiveModulo({local}, {DAY_MS})"),
            TimeBucket::Week => format!("{local} - positiveModulo({local} + {MONDAY_MS}, {WEEK_MS})"),
            TimeBucket::Month => format!("toInt64(toYYYYMM(fromUnixTimestamp64Milli({local}, 'UTC')))"),
        }
    }

    fn sql_offset(&self, at: &str) -> String {
        if let [only] = self.offsets.as_slice() {
            return format!("toInt64({only})");
        }
        let list = |numbers: &[i64]| {
            let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
            format!("CAST([{}], 'Array(Int64)')", texts.join(","))
        };
        let (since, offsets) = (list(&self.since), list(&self.offsets));
        format!("transform(roundDown({at}, {since}), {since}, {offsets}, toInt64(0))")
    }

    /// Whether every span of `length` milliseconds that begins at a multiple of it lies in one bucket.
    pub(super) fn are_made_of(&self, length: i64) -> bool {
        let width = match self.width {
            TimeBucket::Minute => MINUTE_MS,
            TimeBucket::Hour => HOUR_MS,
            TimeBucket::Day | TimeBucket::Week | TimeBucket::Month => DAY_MS,
        };
        let fits = |ms: &i64| ms.rem_euclid(length) == 0;
        length <= width && self.offsets.iter().all(fits) && self.since[1..].iter().all(fits)
    }

    /// Whether a span of `length` milliseconds may lie in one bucket.
    pub(super) fn may_hold(&self, length: i64) -> bool {
        length
            < match self.width {
                TimeBucket::Minute => MINUTE_MS,
                TimeBucket::Hour => HOUR_MS,
                TimeBucket::Day => DAY_MS,
                TimeBucket::Week => WEEK_MS,
                TimeBucket::Month => 31 * DAY_MS,
            }
    }

    /// Moments at which buckets of days or more may begin: of those that come every day, one.
    pub(super) fn cuts(&self) -> impl Iterator<Item = i64> {
        let skipping = self.since[1..].iter().copied().filter(|at| self.key(at - 1) != self.key(*at));
        self.offsets.iter().map(|offset| -offset).chain(skipping)
    }

    /// The keys of all buckets from `first` to `last`, at most `most` of them.
    pub(super) fn between(&self, first: i64, last: i64, most: usize) -> Vec<i64> {
        let mut keys = Vec::new();
        let mut key = first;
        while key <= last && keys.len() < most {
            keys.push(key);
            key = match self.width {
                TimeBucket::Minute => key + MINUTE_MS,
                // Offsets of zones are multiples of a quarter of an hour, so no hour is stepped over.
                TimeBucket::Hour => {
                    let later = (1..).map(|quarter| self.key(key + quarter * 15 * MINUTE_MS));
                    later.take(16).find(|next| *next > key).unwrap_or(key + HOUR_MS)
                }
                TimeBucket::Day => key + DAY_MS,
                TimeBucket::Week => key + WEEK_MS,
                TimeBucket::Month if key % 100 == 12 => key + 100 - 11,
                TimeBucket::Month => key + 1,
            };
        }
        keys
    }

    /// A key as RFC 3339 with the zone's offset at the bucket's first moment.
    pub(super) fn print(&self, key: i64) -> String {
        match self.width {
            TimeBucket::Minute | TimeBucket::Hour => print_instant(key, &self.zone),
            TimeBucket::Day | TimeBucket::Week => print_civil(key, &self.zone),
            TimeBucket::Month => print_civil(days_from_civil(key / 100, key % 100) * DAY_MS, &self.zone),
        }
    }
}

/// Year and month of a day counted from 1970-01-01, proleptic Gregorian. The calendar's 400 years have
/// 146,097 days; counting from March puts the leap day last.
fn year_and_month(days: i64) -> (i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month)
}

/// The first of a month, in days from 1970-01-01.
fn days_from_civil(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * from_march + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_schemas::time::Timestamp;

    fn bucket(width: TimeBucket, zone: &str, at: &str) -> String {
        let range = Range {
            from: Timestamp::parse("2026-01-01T00:00:00Z").unwrap(),
            to: Timestamp::parse("2027-02-01T00:00:00Z").unwrap(),
        };
        let buckets = Buckets::new(width, &TimeZone::get(zone).unwrap(), range);
        buckets.print(buckets.key(Timestamp::parse(at).unwrap().0))
    }

    #[test]
    fn buckets_begin_at_the_zones_own_hours_and_days() {
        use TimeBucket::{Day, Hour, Minute, Month, Week};
        let at = "2026-11-01T22:59:59.999Z";
        assert_eq!(bucket(Minute, "Europe/Berlin", at), "2026-11-01T23:59:00+01:00");
        assert_eq!(bucket(Hour, "Asia/Kolkata", at), "2026-11-02T04:00:00+05:30");
        assert_eq!(bucket(Day, "Europe/Berlin", at), "2026-11-01T00:00:00+01:00");
        assert_eq!(bucket(Week, "UTC", at), "2026-10-26T00:00:00+00:00");
        assert_eq!(bucket(Week, "Asia/Tokyo", at), "2026-11-02T00:00:00+09:00");
        assert_eq!(bucket(Month, "America/New_York", "2026-11-01T03:59:59Z"), "2026-10-01T00:00:00-04:00");
        assert_eq!(bucket(Month, "UTC", "2026-12-31T23:59:59Z"), "2026-12-01T00:00:00+00:00");
    }

    #[test]
    fn daylight_saving_moves_no_click_to_another_day() {
        use TimeBucket::{Day, Hour};
        // The last Sunday of October: 02:00 comes twice.
        assert_eq!(bucket(Hour, "Europe/Berlin", "2026-10-25T00:30:00Z"), "2026-10-25T02:00:00+02:00");
        assert_eq!(bucket(Hour, "Europe/Berlin", "2026-10-25T01:30:00Z"), "2026-10-25T02:00:00+01:00");
        assert_eq!(bucket(Day, "Europe/Berlin", "2026-10-25T22:59:59Z"), "2026-10-25T00:00:00+02:00");
        assert_eq!(bucket(Day, "Europe/Berlin", "2026-10-25T23:00:00Z"), "2026-10-26T00:00:00+01:00");
        // The last Sunday of March: 02:00 does not come.
        assert_eq!(bucket(Hour, "Europe/Berlin", "2026-03-29T01:10:00Z"), "2026-03-29T03:00:00+02:00");
        // Cairo goes forward at midnight: the day begins at 01:00.
        assert_eq!(bucket(Day, "Africa/Cairo", "2026-04-24T12:00:00Z"), "2026-04-24T01:00:00+03:00");
        // It goes back at midnight, so the hour from 23:00 comes twice: the moment itself belongs to the day before.
        for at in ["2026-10-29T20:59:59.999Z", "2026-10-29T21:00:00Z", "2026-10-29T21:59:59.999Z"] {
            assert_eq!(bucket(Day, "Africa/Cairo", at), "2026-10-29T00:00:00+03:00", "{at}");
        }
        assert_eq!(bucket(Day, "Africa/Cairo", "2026-10-29T22:00:00Z"), "2026-10-30T00:00:00+02:00");
    }

    #[test]
    fn no_bucket_of_a_range_is_left_out() {
        let print = |width: TimeBucket, zone: &str, from: &str, to: &str| -> Vec<String> {
            let range = Range { from: Timestamp::parse(from).unwrap(), to: Timestamp::parse(to).unwrap() };
            let buckets = Buckets::new(width, &TimeZone::get(zone).unwrap(), range);
            let keys = buckets.between(buckets.key(range.from.0), buckets.key(range.to.0 - 1), 100);
            keys.into_iter().map(|key| buckets.print(key)).collect()
        };
        // The night in which 02:00 comes twice has 25 hours, the one without it 23.
        let berlin = |width, from, to| print(width, "Europe/Berlin", from, to);
        let day = berlin(TimeBucket::Hour, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        assert_eq!((day.len(), day[3].as_str()), (25, "2026-10-25T02:00:00+01:00"));
        assert_eq!(berlin(TimeBucket::Hour, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z").len(), 23);
        let days = berlin(TimeBucket::Day, "2026-10-23T22:00:00Z", "2026-10-26T23:00:00Z");
        assert_eq!(days.len(), 3);
        let months = print(TimeBucket::Month, "UTC", "2026-11-05T00:00:00Z", "2027-02-01T00:00:01Z");
        let firsts: Vec<&str> = months.iter().map(|month| &month[..10]).collect();
        assert_eq!(firsts, ["2026-11-01", "2026-12-01", "2027-01-01", "2027-02-01"]);
        assert_eq!(print(TimeBucket::Week, "UTC", "2026-11-02T00:00:00Z", "2026-11-09T00:00:00Z").len(), 1);
        assert_eq!(
            print(TimeBucket::Minute, "UTC", "2026-11-02T00:00:00Z", "2026-11-09T00:00:00Z").len(),
            100
        );
        let kolkata = print(TimeBucket::Hour, "Asia/Kolkata", "2026-11-01T00:00:00Z", "2026-11-01T03:00:00Z");
        assert_eq!(kolkata.len(), 4);
        assert_eq!(kolkata[1], "2026-11-01T06:00:00+05:30");
    }

    #[test]
    fn months_agree_with_the_calendar() {
        for days in (-200_000..200_000).step_by(13) {
            let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(days)).unwrap();
            let (year, month) = year_and_month(days);
            assert_eq!((year, month), (i64::from(date.year()), i64::from(date.month())), "{date}");
            let first = days_from_civil(year, month);
            assert_eq!(first, days - i64::from(date.day()) + 1, "{date}");
        }
    }
}
