//! Weekdays and hours of a wall clock. An interval that passes midnight (`22:00-06:00`) belongs to the day on
//! which it begins.

use jiff::civil::{DateTime, Weekday};

/// Minutes in a day.
const DAY_MINUTES: u16 = 24 * 60;

/// Days and hours of a week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Week {
    /// Monday is the lowest bit.
    days: u8,
    /// Beginning (inclusive) and end (exclusive) in minutes from midnight; an end before the beginning is one
    /// of the next day. None at all is the whole day.
    hours: Box<[(u16, u16)]>,
}

impl Week {
    /// No `days` are all of them, no `hours` the whole day.
    pub(super) fn new(days: &[Weekday], hours: Vec<(u16, u16)>) -> Self {
        let days = if days.is_empty() { 0x7f } else { days.iter().fold(0, |bits, day| bits | bit(*day)) };
        Self { days, hours: hours.into() }
    }

    /// Whether `local` lies in it.
    pub(super) fn holds(&self, local: DateTime) -> bool {
        let minute = local.hour() as u16 * 60 + local.minute() as u16;
        let today = self.days & bit(local.weekday()) != 0;
        let yesterday = self.days & bit(local.weekday().previous()) != 0;
        if self.hours.is_empty() {
            return today;
        }
        self.hours.iter().any(|&(from, until)| {
            if from < until {
                today && (from..until).contains(&minute)
            } else {
                (today && minute >= from) || (yesterday && minute < until)
            }
        })
    }
}

fn bit(day: Weekday) -> u8 {
    1 << day.to_monday_zero_offset()
}

/// `mon` or `monday`, in any case.
pub(super) fn weekday(text: &str) -> Option<Weekday> {
    const NAMES: [(&str, Weekday); 7] = [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ];
    let known = |name: &str| text.eq_ignore_ascii_case(name) || text.eq_ignore_ascii_case(&name[..3]);
    NAMES.iter().find(|(name, _)| known(name)).map(|(_, day)| *day)
}

/// `09:00-17:30`, `22:00-06:00`; `24:00` may end one.
pub(super) fn interval(text: &str) -> Option<(u16, u16)> {
    let (from, until) = text.split_once('-')?;
    let (from, until) = (minute(from.trim())?, minute(until.trim())?);
    (from != until && from < DAY_MINUTES).then_some((from, until))
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two =
        |digits: &str| digits.len() <= 2 && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !two(hour) || minute.len() != 2 || !two(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let all = hour * 60 + minute;
    (minute < 60 && all <= DAY_MINUTES).then_some(all)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn intervals_are_read() {
        for (text, minutes) in
            [("09:00-17:30", (540, 1_050)), ("22:00-06:00", (1_320, 360)), ("0:00-24:00", (0, 1_440))]
        {
            assert_eq!(interval(text), Some(minutes));
        }
        for bad in
            ["", "9-17", "09:00", "09:00-09:00", "24:00-06:00", "09:60-10:00", "25:00-26:00", "-1:00-02:00"]
        {
            assert_eq!(interval(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        let week = Week::new(&[Weekday::Friday], vec![(1_320, 360)]);
        // 2026-11-20 is a Friday.
        let at = |day: i8, hour: i8| week.holds(date(2026, 11, day).at(hour, 0, 0, 0));
        assert!(at(20, 22) && at(20, 23) && at(21, 0) && at(21, 5));
        assert!(!at(20, 5) && !at(20, 21) && !at(21, 6) && !at(21, 22));
    }

    #[test]
    fn days_alone_are_whole_days() {
        let week = Week::new(&[Weekday::Saturday, Weekday::Sunday], vec![]);
        let on = |day: i8| week.holds(date(2026, 11, day).at(12, 0, 0, 0));
        assert!(on(21) && on(22) && !on(20) && !on(23));
        assert_eq!(
            (weekday("SUN"), weekday("Tuesday"), weekday("tues")),
            (Some(Weekday::Sunday), Some(Weekday::Tuesday), None)
        );
    }
}
