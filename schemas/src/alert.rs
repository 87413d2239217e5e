//! The contract of alerts: a metric over a sliding window, what of it is wrong, and for how long it has to be.

use serde::{Deserialize, Serialize};

use crate::ids::{AlertId, PartnerId};
use crate::problem::FieldError;
use crate::query::{Filter, Metric, ValueOf};
use crate::time::Timestamp;

/// Longest window, in seconds: a week.
pub const WINDOW_SECONDS_MAX: u32 = 7 * 86_400;
/// Longest time that a rule may ask something to be wrong before it fires, in seconds: a day.
pub const FOR_SECONDS_MAX: u32 = 86_400;
/// What counts as an anomaly where nothing is said: so many robust standard deviations (Iglewicz and Hoaglin, "How to
/// detect and handle outliers", 1993, recommend 3.5).
pub const SENSITIVITY: f64 = 3.5;
/// Longest name, in bytes.
pub const NAME_MAX: usize = 255;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// The metric over the window lies above or below `threshold`.
    Threshold,
    /// It has dropped by at least `percent` against the window before; `value_last` against the value before the
    /// window or, where there was none, the first within it.
    Drop,
    /// Nothing happened within the window.
    NoData,
    /// The last full hour is unlike the same hour of the week before: median and MAD of eight weeks.
    Anomaly,
}

/// On which side of the threshold is wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Above.
    #[default]
    Gt,
    /// Below.
    Lt,
}

/// Which anomalies count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// More or fewer.
    #[default]
    Both,
    /// More than usual.
    Up,
    /// Fewer than usual.
    Down,
}

/// An alert, as far as its maker sets it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AlertSpec {
    /// For people.
    pub name: String,
    /// What is wrong.
    pub kind: AlertKind,
    /// What is measured, as in queries.
    #[schema(value_type = String)]
    pub metric: Metric,
    /// What the metrics `value_…` measure, as in queries: `property:NAME`; the events' own `value` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub value_of: Option<ValueOf>,
    /// Of which facts, as in queries.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Object>>)]
    pub filters: Option<Filter>,
    /// IANA name; hours of the week are its.
    #[serde(default = "utc")]
    pub timezone: String,
    /// Over how long, in whole minutes.
    #[serde(default = "an_hour")]
    pub window_seconds: u32,
    /// How long it must be wrong before it fires.
    #[serde(default)]
    pub for_seconds: u32,
    /// Of `threshold`: `gt` or `lt`.
    #[serde(default)]
    pub comparison: Comparison,
    /// Of `threshold`: in the metric's unit (money in minor units, rates in basis points).
    #[serde(default)]
    pub threshold: Option<f64>,
    /// Of `drop`: by how much, from 1 to 100.
    #[serde(default)]
    pub percent: Option<f64>,
    /// Where a firing alert ends: at this value (`threshold`), or at a drop by less than this percentage (`drop`).
    /// Where absent: as soon as it is no longer wrong.
    #[serde(default)]
    pub recover: Option<f64>,
    /// Of `anomaly`: how many robust standard deviations; 3.5 where absent.
    #[serde(default)]
    pub sensitivity: Option<f64>,
    /// Of `anomaly`: `both`, `up` or `down`.
    #[serde(default)]
    pub side: Side,
    /// Whether it is watched.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Only this partner's numbers; its keys see the alert.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub partner_id: Option<PartnerId>,
}

fn utc() -> String {
    "UTC".to_owned()
}

const fn an_hour() -> u32 {
    3_600
}

const fn yes() -> bool {
    true
}

impl AlertSpec {
    /// What of it does not fit, beside what its query says of metric, filters and time zone.
    pub fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut wrong = |field: &str, detail: String| {
            errors.push(FieldError { field: field.to_owned(), detail });
        };
        if self.name.trim().is_empty()
            || self.name.len() > NAME_MAX
            || self.name.chars().any(char::is_control)
        {
            wrong("name", format!("must have 1 to {NAME_MAX} bytes and no control characters"));
        }
        let window = self.window_seconds;
        if window == 0 || window > WINDOW_SECONDS_MAX || !window.is_multiple_of(60) {
            wrong("window_seconds", format!("must be whole minutes, from 60 to {WINDOW_SECONDS_MAX}"));
        }
        if self.for_seconds > FOR_SECONDS_MAX {
            wrong("for_seconds", format!("must not exceed {FOR_SECONDS_MAX}"));
        }
        let owners = [
            ("threshold", self.threshold, self.kind == AlertKind::Threshold),
            ("percent", self.percent, self.kind == AlertKind::Drop),
        ];
        for (field, value, own) in owners {
            match (value, own) {
                (None, true) => wrong(field, format!("is required for kind `{}`", self.kind.as_str())),
                (Some(_), false) => wrong(field, format!("is not for kind `{}`", self.kind.as_str())),
                _ => {}
            }
        }
        if self.percent.is_some_and(|percent| !(1.0..=100.0).contains(&percent)) {
            wrong("percent", "must be from 1 to 100".to_owned());
        }
        if self.sensitivity.is_some_and(|sensitivity| !(1.0..=100.0).contains(&sensitivity)) {
            wrong("sensitivity", "must be from 1 to 100".to_owned());
        }
        match (self.kind, self.recover) {
            (_, None) => {}
            (AlertKind::Threshold, Some(recover)) => {
                let beyond = match self.comparison {
                    Comparison::Gt => self.threshold.is_some_and(|threshold| recover > threshold),
                    Comparison::Lt => self.threshold.is_some_and(|threshold| recover < threshold),
                };
                if beyond {
                    wrong("recover", "must lie on the good side of the threshold".to_owned());
                }
            }
            (AlertKind::Drop, Some(recover)) => {
                if recover < 0.0 || self.percent.is_some_and(|percent| recover > percent) {
                    wrong("recover", "must be from 0 to `percent`".to_owned());
                }
            }
            (kind, Some(_)) => wrong("recover", format!("is not for kind `{}`", kind.as_str())),
        }
        errors
    }
}

impl AlertKind {
    /// The name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::Drop => "drop",
            Self::NoData => "no_data",
            Self::Anomaly => "anomaly",
        }
    }
}

/// How an alert stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Nothing is wrong.
    #[default]
    Ok,
    /// Something is.
    Firing,
    /// It cannot be told: there is nothing to compare with.
    NoData,
}

impl AlertState {
    /// The name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Firing => "firing",
            Self::NoData => "no_data",
        }
    }

    /// The state of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ok, Self::Firing, Self::NoData].into_iter().find(|state| state.as_str() == name)
    }
}

/// An alert that stands differently than before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertChange {
    /// Which.
    pub id: AlertId,
    /// How it stands now.
    pub state: AlertState,
    /// The metric over the window.
    #[serde(default)]
    pub value: Option<f64>,
    /// What it was compared with: the threshold, the window before, the median.
    #[serde(default)]
    pub reference: Option<f64>,
    /// Since when it has been so.
    pub since: Timestamp,
}
