//! Date ranges in the query's time zone, half-open, and the ranges they are compared with.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Zoned};
use weir_schemas::query::{Compare, CompareTo, DateRange, Period};
use weir_schemas::time::{DAY_MS, MINUTE_MS, Timestamp};

/// From (inclusive) and to (exclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    /// The first moment within.
    pub from: Timestamp,
    /// The first moment after.
    pub to: Timestamp,
}

impl Range {
    /// Whether a moment lies within.
    #[inline]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.to
    }
}

/// `all` ends here: 2100-01-01T00:00:00Z, so that it needs no clock and never moves.
const END_OF_ALL: Timestamp = Timestamp(4_102_444_800_000);

/// A range, and until when its name means the same range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resolved {
    pub(super) range: Range,
    pub(super) valid_until: Option<Timestamp>,
}

fn instant(zoned: &Zoned) -> Timestamp {
    Timestamp(zoned.timestamp().as_millisecond())
}

fn zoned(at: Timestamp, zone: &TimeZone) -> Result<Zoned, String> {
    let at = jiff::Timestamp::from_millisecond(at.0).map_err(|_| "lies outside the calendar".to_owned())?;
    Ok(at.to_zoned(zone.clone()))
}

/// A day's first moment: 01:00 where daylight saving takes midnight away.
fn start_of(date: Date, zone: &TimeZone) -> Result<Timestamp, String> {
    let start = date.to_zoned(zone.clone()).map_err(|_| format!("{date} lies outside the calendar"))?;
    Ok(instant(&start))
}

fn shifted(date: Date, span: Span) -> Result<Date, String> {
    date.checked_add(span).map_err(|_| format!("{date} is too near the end of the calendar"))
}

/// The range that a query asks for, at `now`.
pub(super) fn resolve(asked: &DateRange, zone: &TimeZone, now: Timestamp) -> Result<Resolved, String> {
    match asked {
        DateRange::Between(from, to) => Ok(Resolved { range: between(from, to, zone)?, valid_until: None }),
        DateRange::Named(period) => named(*period, zone, now),
    }
}

fn named(period: Period, zone: &TimeZone, now: Timestamp) -> Result<Resolved, String> {
    let today = zoned(now, zone)?.date();
    let tomorrow = shifted(today, Span::new().days(1))?;
    let first = match period {
        Period::All => {
            return Ok(Resolved { range: Range { from: Timestamp(0), to: END_OF_ALL }, valid_until: None });
        }
        Period::Hours24 => {
            let to = Timestamp(now.0 - now.0.rem_euclid(MINUTE_MS) + MINUTE_MS);
            let from = Timestamp(to.0 - 24 * 60 * MINUTE_MS);
            return Ok(Resolved { range: Range { from, to }, valid_until: Some(to) });
        }
        Period::Today => today,
        Period::Yesterday => shifted(today, Span::new().days(-1))?,
        Period::Days7 => shifted(today, Span::new().days(-6))?,
        Period::Days30 => shifted(today, Span::new().days(-29))?,
        Period::Days90 => shifted(today, Span::new().days(-89))?,
        Period::Months12 => shifted(today.first_of_month(), Span::new().months(-11))?,
        Period::MonthToDate => today.first_of_month(),
        Period::QuarterToDate => {
            shifted(today.first_of_month(), Span::new().months(-i32::from((today.month() - 1) % 3)))?
        }
        Period::YearToDate => today.first_of_year(),
    };
    let end = start_of(tomorrow, zone)?;
    let to = if period == Period::Yesterday { start_of(today, zone)? } else { end };
    Ok(Resolved { range: Range { from: start_of(first, zone)?, to }, valid_until: Some(end) })
}

fn between(from: &str, to: &str, zone: &TimeZone) -> Result<Range, String> {
    let moment = |text: &str| -> Result<Timestamp, String> {
        if let Ok(date) = text.parse::<Date>()
            && text.len() == "2026-11-01".len()
        {
            return start_of(date, zone);
        }
        Timestamp::parse(text).map_err(|_| {
            format!(
                "`{text}` is neither an RFC 3339 time such as 2026-11-01T00:00:00Z nor a date such as \
                 2026-11-01"
            )
        })
    };
    let range = Range { from: moment(from)?, to: moment(to)? };
    if range.from >= range.to {
        return Err("its start must lie before its end (the end is exclusive)".to_owned());
    }
    Ok(range)
}

/// The range to compare with.
pub(super) fn compared(
    compare: &Compare,
    range: Range,
    zone: &TimeZone,
    match_weekday: bool,
) -> Result<Range, String> {
    let named = match compare {
        Compare::Between(..) if match_weekday => {
            return Err("a range of its own has its own weekdays: leave `match_weekday` out".to_owned());
        }
        Compare::Between(from, to) => return between(from, to, zone),
        Compare::Named(named) => *named,
    };
    if range.to == END_OF_ALL {
        return Err("`all` has no other period to be compared with".to_owned());
    }
    let (from, to) = (zoned(range.from, zone)?, zoned(range.to, zone)?);
    let back = |at: &Zoned, span: Span| {
        at.checked_sub(span).map(|at| instant(&at)).map_err(|_| "lies outside the calendar".to_owned())
    };
    match named {
        named if match_weekday => {
            let length = (range.to.0 - range.from.0 + DAY_MS - 1) / DAY_MS;
            let weeks = match named {
                CompareTo::YearOverYear => 52,
                // A day of 25 hours is one day.
                CompareTo::PreviousPeriod if at_midnight(&from) && at_midnight(&to) => {
                    let days = from.date().until(to.date()).map_err(|e| e.to_string())?.get_days();
                    (i64::from(days) + 6) / 7
                }
                CompareTo::PreviousPeriod => (length + 6) / 7,
            };
            let span = Span::new().days(7 * weeks);
            Ok(Range { from: back(&from, span)?, to: back(&to, span)? })
        }
        CompareTo::YearOverYear => {
            let year = Span::new().years(1);
            Ok(Range { from: back(&from, year)?, to: back(&to, year)? })
        }
        CompareTo::PreviousPeriod if at_midnight(&from) && at_midnight(&to) => {
            // Whole days stay whole days, whatever daylight saving does to their length.
            let days = from.date().until(to.date()).map_err(|e| e.to_string())?.get_days();
            Ok(Range { from: back(&from, Span::new().days(days))?, to: range.from })
        }
        CompareTo::PreviousPeriod => {
            Ok(Range { from: Timestamp(range.from.0 - (range.to.0 - range.from.0)), to: range.from })
        }
    }
}

fn at_midnight(at: &Zoned) -> bool {
    at.start_of_day().is_ok_and(|start| start == *at)
}

/// The first moment of a civil day, week or month, printed with its offset.
pub(super) fn print_civil(civil_ms: i64, zone: &TimeZone) -> String {
    let date = jiff::Timestamp::from_millisecond(civil_ms).map(|at| at.to_zoned(TimeZone::UTC).date());
    match date.and_then(|date| date.to_zoned(zone.clone())) {
        Ok(start) => print(&start),
        Err(_) => String::new(),
    }
}

/// A moment, printed with its offset.
pub(super) fn print_instant(ms: i64, zone: &TimeZone) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(at) => print(&at.to_zoned(zone.clone())),
        Err(_) => String::new(),
    }
}

fn print(at: &Zoned) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn range(period: Period, zone_name: &str, now: &str) -> (String, String) {
        let resolved =
            resolve(&DateRange::Named(period), &zone(zone_name), Timestamp::parse(now).unwrap()).unwrap();
        (resolved.range.from.to_string(), resolved.range.to.to_string())
    }

    fn pair(from: &str, to: &str) -> (String, String) {
        (from.to_owned(), to.to_owned())
    }

    #[test]
    fn names_are_whole_days_of_the_zone() {
        let now = "2026-11-21T23:30:45.123Z"; // 00:30 of the 22nd in Berlin
        let berlin = |period| range(period, "Europe/Berlin", now);
        assert_eq!(berlin(Period::Today), pair("2026-11-21T23:00:00.000Z", "2026-11-22T23:00:00.000Z"));
        assert_eq!(berlin(Period::Yesterday), pair("2026-11-20T23:00:00.000Z", "2026-11-21T23:00:00.000Z"));
        assert_eq!(berlin(Period::Days7), pair("2026-11-15T23:00:00.000Z", "2026-11-22T23:00:00.000Z"));
        assert_eq!(berlin(Period::Days30), pair("2026-10-23T22:00:00.000Z", "2026-11-22T23:00:00.000Z"));
        assert_eq!(berlin(Period::Months12), pair("2025-11-30T23:00:00.000Z", "2026-11-22T23:00:00.000Z"));
        assert_eq!(berlin(Period::MonthToDate), pair("2026-10-31T23:00:00.000Z", "2026-11-22T23:00:00.000Z"));
        assert_eq!(
            berlin(Period::QuarterToDate),
            pair("2026-09-30T22:00:00.000Z", "2026-11-22T23:00:00.000Z")
        );
        assert_eq!(berlin(Period::YearToDate), pair("2025-12-31T23:00:00.000Z", "2026-11-22T23:00:00.000Z"));
        assert_eq!(berlin(Period::Hours24), pair("2026-11-20T23:31:00.000Z", "2026-11-21T23:31:00.000Z"));
        assert_eq!(range(Period::All, "UTC", now).0, "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_day_of_daylight_saving_has_23_or_25_hours() {
        let hours = |now| {
            let (from, to) = range(Period::Today, "Europe/Berlin", now);
            (Timestamp::parse(&to).unwrap().0 - Timestamp::parse(&from).unwrap().0) / 3_600_000
        };
        assert_eq!((hours("2026-03-29T12:00:00Z"), hours("2026-10-25T12:00:00Z")), (23, 25));
    }

    #[test]
    fn dates_and_times_make_a_half_open_range() {
        let utc = TimeZone::UTC;
        let ok = between("2026-11-01", "2026-11-08T00:00:00+01:00", &utc).unwrap();
        assert_eq!(ok.from.to_string(), "2026-11-01T00:00:00.000Z");
        assert_eq!(ok.to.to_string(), "2026-11-07T23:00:00.000Z");
        assert!(between("2026-11-08", "2026-11-08", &utc).unwrap_err().contains("before its end"));
        assert!(between("last week", "2026-11-08", &utc).unwrap_err().contains("`last week`"));
    }

    #[test]
    fn compared_ranges_keep_whole_days() {
        let berlin = zone("Europe/Berlin");
        let range = between("2026-10-24", "2026-10-27", &berlin).unwrap(); // the 25th has 25 hours
        let previous = compared(&Compare::Named(CompareTo::PreviousPeriod), range, &berlin, false).unwrap();
        assert_eq!(previous, between("2026-10-21", "2026-10-24", &berlin).unwrap());
        let year = compared(&Compare::Named(CompareTo::YearOverYear), range, &berlin, false).unwrap();
        assert_eq!(year, between("2025-10-24", "2025-10-27", &berlin).unwrap());
        let own = Compare::Between("2024-01-01".into(), "2024-01-02".into());
        assert_eq!(
            compared(&own, range, &berlin, false).unwrap(),
            between("2024-01-01", "2024-01-02", &berlin).unwrap()
        );
        // From a Saturday to a Saturday, a week back, and 52 weeks.
        let matched = |to| compared(&Compare::Named(to), range, &berlin, true).unwrap();
        assert_eq!(matched(CompareTo::PreviousPeriod), between("2026-10-17", "2026-10-20", &berlin).unwrap());
        assert_eq!(matched(CompareTo::YearOverYear), between("2025-10-25", "2025-10-28", &berlin).unwrap());
        assert!(compared(&own, range, &berlin, true).is_err());
        let all = Range { from: Timestamp(0), to: END_OF_ALL };
        assert!(compared(&Compare::Named(CompareTo::PreviousPeriod), all, &berlin, false).is_err());
        let six_hours = between("2026-11-01T06:00:00Z", "2026-11-01T12:00:00Z", &berlin).unwrap();
        let before = compared(&Compare::Named(CompareTo::PreviousPeriod), six_hours, &berlin, false).unwrap();
        assert_eq!(before, between("2026-11-01T00:00:00Z", "2026-11-01T06:00:00Z", &berlin).unwrap());
    }
}
