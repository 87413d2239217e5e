//! Times: milliseconds since the Unix epoch in UTC, printed as RFC 3339.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment, in Unix milliseconds. Printed and parsed as RFC 3339 (`2026-11-01T00:00:00.000Z`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// Milliseconds in a second.
pub const SECOND_MS: i64 = 1_000;
/// Milliseconds in a minute.
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
/// Milliseconds in an hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Milliseconds in a UTC day (UTC has no leap seconds here, as in Unix time).
pub const DAY_MS: i64 = 24 * HOUR_MS;

impl Timestamp {
    /// Reads the system's clock. The books never call this: their time comes from the event.
    pub fn now() -> Self {
        // A clock before 1970 is not set; nothing it says means anything.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(since.as_secs() as i64 * SECOND_MS + i64::from(since.subsec_millis()))
    }

    /// The number of the UTC day, days since 1970-01-01.
    pub const fn utc_day(self) -> i64 {
        self.0.div_euclid(DAY_MS)
    }

    /// Parses RFC 3339 with any offset.
    pub fn parse(text: &str) -> Result<Self, BadTime> {
        let parsed: jiff::Timestamp = text.parse().map_err(|_| BadTime)?;
        Ok(Self(parsed.as_millisecond()))
    }
}

/// The text is not an RFC 3339 time with an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time such as 2026-11-01T00:00:00Z")]
pub struct BadTime;

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_rfc_3339() {
        let time = Timestamp(1_793_491_200_007);
        assert_eq!(time.to_string(), "2026-11-01T00:00:00.007Z");
        assert_eq!(Timestamp::parse("2026-11-01T01:00:00.007+01:00"), Ok(time));
        assert!(Timestamp::parse("2026-11-01").is_err());
        assert!(Timestamp::parse("2026-11-01T00:00:00").is_err(), "an offset is required");
    }

    #[test]
    fn days_before_the_epoch_round_down() {
        assert_eq!(Timestamp(-1).utc_day(), -1);
        assert_eq!(Timestamp(DAY_MS).utc_day(), 1);
    }
}
