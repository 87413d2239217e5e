//! The attribution window: from one minute to 365 days.

use std::fmt;

use crate::time::{DAY_MS, MINUTE_MS};

/// Where a program names no window.
pub(super) const WINDOW_DAYS_DEFAULT: u32 = 30;
/// Longest window, in days.
pub const WINDOW_DAYS_MAX: u32 = 365;
/// Longest window, in minutes.
pub const WINDOW_MINUTES_MAX: u32 = WINDOW_DAYS_MAX * 24 * 60;

/// For how long a click counts. A click that is exactly so old still does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// Days of 24 hours, whatever the clocks of any place do meanwhile.
    Days(u32),
    /// Minutes.
    Minutes(u32),
}

impl Default for Window {
    fn default() -> Self {
        Self::Days(WINDOW_DAYS_DEFAULT)
    }
}

impl Window {
    /// In milliseconds.
    pub fn ms(self) -> i64 {
        match self {
            Self::Days(days) => i64::from(days) * DAY_MS,
            Self::Minutes(minutes) => i64::from(minutes) * MINUTE_MS,
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self {
            Self::Days(days) => (days, "day"),
            Self::Minutes(minutes) => (minutes, "minute"),
        };
        write!(f, "{number} {unit}{}", if *number == 1 { "" } else { "s" })
    }
}
