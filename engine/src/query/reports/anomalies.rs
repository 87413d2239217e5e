//! What is unlike itself: `POST /v1/reports/anomalies`. A metric's hours, each held against the same hour of the week
//! in the weeks before: their median is what was to be expected, and their median absolute deviation how much it varies
//! by itself. Both stay where they are when some of those weeks were odd themselves, which a mean does not.
//!
//! An hour's score is its distance from the median in robust standard deviations (1.4826 MAD, as of a normal
//! distribution; B. Iglewicz and D. Hoaglin, "How to detect and handle outliers", 1993), which are never taken for
//! smaller than √median: so much a count varies by chance. Hours with fewer than [`HISTORY_MIN`] earlier ones, those
//! before the first fact, and the hour that runs are not judged.

use std::collections::{HashMap, VecDeque};

use clickhouse::Client;
use jiff::civil;
use serde::{Deserialize, Serialize};
use serde_json::json;
use weir_schemas::alert::{SENSITIVITY, Side};
use weir_schemas::ids::Sequence;
use weir_schemas::problem::Problem;
use weir_schemas::query::{
    Cell, ColumnType, DateRange, Dimension, Direction, LIMIT_MAX, Metric, Query, TimeBucket, ValueOf,
};
use weir_schemas::time::{DAY_MS, HOUR_MS, Timestamp};

use super::super::execute::{QueryError, execute};
use super::super::plan::Plan;
use super::scope::Scope;
use super::{Report, column};

/// Fewest and most weeks that an hour is held against.
const WEEKS: std::ops::RangeInclusive<u32> = 4..=26;
/// Fewest earlier hours by which one is judged.
pub const HISTORY_MIN: usize = 4;
/// A robust standard deviation in MADs.
const MAD_TO_DEVIATION: f64 = 1.4826;

/// The report's own members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What is looked at.
    #[serde(default = "clicks")]
    pub metric: Metric,
    /// What the metrics `value_…` measure, as in queries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_of: Option<ValueOf>,
    /// How many earlier weeks, 4 to 26.
    #[serde(default = "eight")]
    pub weeks: u32,
    /// How many robust standard deviations make an anomaly.
    #[serde(default = "sensitivity")]
    pub sensitivity: f64,
    /// `both`, `up` or `down`.
    #[serde(default)]
    pub side: Side,
}

const fn clicks() -> Metric {
    Metric::Clicks
}
const fn eight() -> u32 {
    8
}
const fn sensitivity() -> f64 {
    SENSITIVITY
}

/// An hour and what was to be expected of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// When it began, in the report's time zone.
    pub hour: String,
    /// What was measured.
    pub value: f64,
    /// What it is held against; none where there is too little of it.
    pub expected: Option<Expected>,
}

/// What became of a scope.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hours {
    /// In their order.
    pub judged: Vec<Judged>,
    /// Rows that ClickHouse read, as far as it said.
    pub rows_read: u64,
    /// How amounts were converted, where they were.
    pub fx: Option<serde_json::Value>,
}

/// What was to be expected of an hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expected {
    /// The earlier hours' median.
    pub median: f64,
    /// A robust standard deviation of theirs.
    pub deviation: f64,
}

impl Judged {
    /// Robust standard deviations between the hour and what was to be expected.
    pub fn score(&self) -> Option<f64> {
        self.expected.map(|expected| (self.value - expected.median) / expected.deviation)
    }

    /// Whether it is an anomaly; none where that cannot be told.
    pub fn is_anomalous(&self, sensitivity: f64, side: Side) -> Option<bool> {
        self.score().map(|score| match side {
            Side::Both => score.abs() > sensitivity,
            Side::Up => score > sensitivity,
            Side::Down => score < -sensitivity,
        })
    }
}

/// What is to be expected after `earlier`.
pub(super) fn expected(earlier: &[f64]) -> Option<Expected> {
    if earlier.len() < HISTORY_MIN {
        return None;
    }
    let median = middle(earlier.to_vec());
    let mad = middle(earlier.iter().map(|value| (value - median).abs()).collect());
    let deviation = (MAD_TO_DEVIATION * mad).max(median.abs().sqrt()).max(1.0);
    Some(Expected { median, deviation })
}

/// The median; of an even count the mean of the two in the middle.
fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
}

/// Judges hours in their order, each with its place in the week, against those before it.
fn judge(hours: Vec<(String, (i8, i8), Option<f64>)>, weeks: usize) -> Vec<Judged> {
    let mut earlier: HashMap<(i8, i8), VecDeque<f64>> = HashMap::new();
    let begun = hours.iter().position(|(_, _, value)| value.is_some_and(|value| value != 0.0));
    let mut judged = Vec::with_capacity(hours.len());
    for (index, (hour, place, value)) in hours.into_iter().enumerate() {
        let Some(value) = value else { continue };
        let known = earlier.entry(place).or_default();
        judged.push(Judged { hour, value, expected: expected(known.make_contiguous()) });
        if begun.is_some_and(|begun| index >= begun) {
            known.push_back(value);
            if known.len() > weeks {
                known.pop_front();
            }
        }
    }
    judged
}

/// The hours of the scope that are over, judged.
///
/// # Errors
/// 422 naming a field that does not fit, or the warehouse's failure.
pub async fn judged(
    client: &Client,
    scope: &Scope,
    spec: &Spec,
    upto: Sequence,
) -> Result<Hours, QueryError> {
    if !WEEKS.contains(&spec.weeks) {
        let detail = format!("must be from {} to {}", WEEKS.start(), WEEKS.end());
        return Err(Problem::field("weeks", detail).into());
    }
    if !(1.0..=100.0).contains(&spec.sensitivity) {
        return Err(Problem::field("sensitivity", "must be from 1 to 100").into());
    }
    let (range, now) = (scope.range(), scope.now);
    // Only hours that are over.
    let to = Timestamp(range.to.0.min(now.0 - now.0.rem_euclid(HOUR_MS)));
    let back = i64::from(spec.weeks) * 7 * DAY_MS;
    let from = Timestamp((range.from.0 - back).max(to.0 - i64::from(LIMIT_MAX) * HOUR_MS));
    if range.from.0 > 0 && from.0 > range.from.0 - back {
        let days = (i64::from(LIMIT_MAX) * HOUR_MS - back) / DAY_MS;
        return Err(Problem::field("date_range", format!("must not be longer than {days} days")).into());
    }
    if to <= from {
        return Ok(Hours::default());
    }
    let asked = scope.plan.asked();
    let hour = Dimension::Time(TimeBucket::Hour);
    let query = Query {
        metrics: vec![spec.metric],
        date_range: DateRange::Between(from.to_string(), to.to_string()),
        timezone: asked.timezone.clone(),
        order_by: vec![(hour.name(), Direction::Asc)],
        dimensions: vec![hour],
        filters: asked.filters.clone(),
        limit: LIMIT_MAX,
        currency: scope.currency,
        value_of: spec.value_of.clone(),
        offset: 0,
        include: weir_schemas::query::Include { zero_fill: true, ..Default::default() },
    };
    let plan =
        Plan::build(&query, scope.plan.workspace, now, scope.plan.partner)?.with_rates(scope.rates.clone());
    let answered = execute(client, &plan, upto).await?;
    let hours = answered.rows.iter().filter_map(|row| {
        let hour = row.first()?.as_str()?;
        Some((hour.to_owned(), place(hour)?, row.get(1).and_then(Cell::as_f64)))
    });
    let mut judged = judge(hours.collect(), spec.weeks as usize);
    let begin = range.from;
    judged.retain(|judged| Timestamp::parse(&judged.hour).is_ok_and(|at| at >= begin));
    Ok(Hours { judged, rows_read: answered.rows_read, fx: answered.fx })
}

/// Weekday and hour of a local time with its offset.
fn place(hour: &str) -> Option<(i8, i8)> {
    let local: civil::DateTime = hour.get(..19)?.parse().ok()?;
    Some((local.weekday().to_monday_zero_offset(), local.hour()))
}

/// The report.
///
/// # Errors
/// 422 naming a field that does not fit.
pub async fn report(
    client: &Client,
    scope: &Scope,
    spec: &Spec,
    upto: Sequence,
) -> Result<Report, QueryError> {
    let Hours { judged, rows_read, fx } = judged(client, scope, spec, upto).await?;
    let mut report = Report { rows_read, fx, ..Report::default() };
    let number = ColumnType::Number;
    report.columns = vec![
        column("time:hour", ColumnType::Time),
        column(spec.metric.as_str(), spec.metric.column_type()),
        column("expected", number),
        column("lower", number),
        column("upper", number),
        column("score", number),
        column("anomalous", ColumnType::Bool),
    ];
    let rounded = |value: f64| (value * 1_000.0).round() / 1_000.0;
    let mut found = 0;
    for hour in &judged {
        let bound = |sign: f64| {
            hour.expected.map(|e| rounded((e.median + sign * spec.sensitivity * e.deviation).max(0.0)))
        };
        let anomalous = hour.is_anomalous(spec.sensitivity, spec.side);
        found += u64::from(anomalous == Some(true));
        let value =
            if spec.metric.column_type() == number { json!(hour.value) } else { json!(hour.value as i64) };
        report.rows.push(vec![
            json!(hour.hour),
            value,
            json!(hour.expected.map(|expected| rounded(expected.median))),
            json!(bound(-1.0)),
            json!(bound(1.0)),
            json!(hour.score().map(rounded)),
            json!(anomalous),
        ]);
    }
    report.more.insert("anomalies".to_owned(), json!(found));
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_odd_week_moves_nothing() {
        // scipy.stats.median_abs_deviation([100, 104, 96, 98, 102, 900, 101, 99]) = 2.0, numpy.median = 100.5
        let Expected { median, deviation } =
            expected(&[100., 104., 96., 98., 102., 900., 101., 99.]).unwrap();
        assert_eq!(median, 100.5);
        // 1.4826 * 2.0 is less than a count of 100.5 varies by chance.
        assert!((deviation - 100.5_f64.sqrt()).abs() < 1e-9);
        let wide = expected(&[1_000., 1_200., 800., 1_100., 900.]).unwrap();
        assert_eq!((wide.median, wide.deviation), (1_000., 1.4826 * 100.));
        assert_eq!(expected(&[1., 2., 3.]), None);
    }

    /// Nine weeks of one hour a day: the last Monday is ten times as busy as Mondays are.
    #[test]
    fn an_hour_is_held_against_the_same_hour_of_the_week() {
        let mut hours = Vec::new();
        for day in 0..9 * 7 {
            let weekday = (day % 7) as i8;
            let usual = if weekday == 0 { 100.0 } else { 20.0 };
            let value = if day == 8 * 7 { 1_000.0 } else { usual };
            hours.push((format!("day {day}"), (weekday, 12), Some(value)));
        }
        let judged = judge(hours, 8);
        let odd: Vec<&str> = judged
            .iter()
            .filter(|hour| hour.is_anomalous(3.5, Side::Both) == Some(true))
            .map(|hour| hour.hour.as_str())
            .collect();
        assert_eq!(odd, ["day 56"]);
        assert_eq!(judged[56].is_anomalous(3.5, Side::Down), Some(false));
        assert_eq!(judged[14].expected, None, "two weeks tell nothing");
    }

    #[test]
    fn hours_before_the_first_fact_are_no_history() {
        let mut hours: Vec<_> = (0..6).map(|week| (format!("{week}"), (0, 0), Some(0.0))).collect();
        hours.push(("6".to_owned(), (0, 0), Some(50.0)));
        let judged = judge(hours, 8);
        assert_eq!(judged[6].expected, None);
    }
}
