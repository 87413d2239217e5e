//! The caps of a link: how many clicks in all and how many a day, and when a day begins and ends where the
//! link counts it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::tz::TimeZone;
use tokio::sync::OnceCell;
use weir_schemas::link::LinkSpec;
use weir_schemas::time::{MINUTE_MS, Timestamp};

use crate::caps::Places;

/// What days are made of: every zone of today is ahead of or behind UTC by a multiple of it, so that every
/// midnight begins one. Quarters of an hour since the Unix epoch.
pub type Quarter = u32;

/// A quarter of an hour, in milliseconds.
const QUARTER_MS: i64 = 15 * MINUTE_MS;
/// Where a cached day's length is kept beside its first quarter.
const LENGTH_BITS: u32 = 8;

/// The caps of one version of a link.
#[derive(Debug)]
pub struct Cap {
    /// Clicks in all.
    pub max_clicks: Option<u64>,
    /// Clicks on one day of the zone.
    pub daily: Option<u64>,
    zone: TimeZone,
    /// The day looked up last: its first quarter, and how many it has in the lowest bits.
    day: AtomicU64,
    /// The places taken so far; empty until they are known exactly.
    pub(crate) places: OnceCell<Arc<Places>>,
}

impl Cap {
    /// The caps of `spec`, if it has any.
    pub fn of(spec: &LinkSpec) -> Option<Self> {
        if spec.max_clicks.is_none() && spec.daily_click_cap.is_none() {
            return None;
        }
        let zone = TimeZone::get(&spec.cap_timezone).unwrap_or_else(|error| {
            // Checked when the link was written: another version's time zone database.
            tracing::error!(%error, "a link's cap_timezone is not known; its days are those of UTC");
            TimeZone::UTC
        });
        Some(Self {
            max_clicks: spec.max_clicks,
            daily: spec.daily_click_cap,
            zone,
            day: AtomicU64::new(0),
            places: OnceCell::new(),
        })
    }

    /// The places taken, where they are known.
    pub fn places(&self) -> Option<&Arc<Places>> {
        self.places.get()
    }

    /// The quarters of the day on which `at` falls.
    pub fn day(&self, at: Timestamp) -> Range<Quarter> {
        let now = quarter(at);
        let cached = self.day.load(Ordering::Relaxed);
        let start = (cached >> LENGTH_BITS) as Quarter;
        let end = start + (cached & ((1 << LENGTH_BITS) - 1)) as Quarter;
        if (start..end).contains(&now) {
            return start..end;
        }
        let day = look_up(&self.zone, at).unwrap_or(now..now + 1);
        let length = u64::from(day.end - day.start);
        self.day.store(u64::from(day.start) << LENGTH_BITS | length, Ordering::Relaxed);
        day
    }
}

/// The quarter in which `at` falls; the first one for times before the epoch.
pub fn quarter(at: Timestamp) -> Quarter {
    Quarter::try_from(at.0.div_euclid(QUARTER_MS)).unwrap_or_default()
}

/// `None` for times that no calendar has.
fn look_up(zone: &TimeZone, at: Timestamp) -> Option<Range<Quarter>> {
    let now = jiff::Timestamp::from_millisecond(at.0).ok()?.to_zoned(zone.clone());
    let start = now.start_of_day().ok()?;
    let end = start.tomorrow().and_then(|next| next.start_of_day()).ok()?;
    let of = |zoned: &jiff::Zoned| quarter(Timestamp(zoned.timestamp().as_millisecond()));
    Some(of(&start)..of(&end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cap(zone: &str) -> Cap {
        let spec = serde_json::json!({"destination": "https://a.example/", "daily_click_cap": 1,
            "cap_timezone": zone});
        Cap::of(&serde_json::from_value(spec).unwrap()).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn days_are_those_of_the_zone() {
        for (zone, last, first, length) in [
            ("UTC", "2026-11-21T23:59:59.999Z", "2026-11-22T00:00:00Z", 96),
            ("Europe/Berlin", "2026-11-21T22:59:59.999Z", "2026-11-21T23:00:00Z", 96),
            ("Asia/Kathmandu", "2026-11-21T18:14:59.999Z", "2026-11-21T18:15:00Z", 96),
            ("Australia/Lord_Howe", "2026-11-21T12:59:59.999Z", "2026-11-21T13:00:00Z", 96),
            // The clocks go back: an hour more, and forward: an hour less.
            ("Europe/Berlin", "2026-10-24T21:59:59.999Z", "2026-10-24T22:00:00Z", 100),
            ("Europe/Berlin", "2026-03-28T22:59:59.999Z", "2026-03-28T23:00:00Z", 92),
        ] {
            let cap = cap(zone);
            let (before, after) = (cap.day(at(last)), cap.day(at(first)));
            assert_eq!(before.end, after.start, "{zone}");
            assert_eq!(
                (after.start, after.end - after.start),
                (quarter(at(first)), length),
                "{zone} {first}"
            );
            assert_eq!(cap.day(Timestamp(at(first).0 + 1)), after, "from the cache");
            assert_eq!(cap.day(at(last)), before);
        }
    }

    #[test]
    fn a_link_without_caps_has_none() {
        let spec = serde_json::json!({"destination": "https://a.example/", "cap_timezone": "Asia/Tokyo"});
        assert!(Cap::of(&serde_json::from_value(spec).unwrap()).is_none());
    }
}
