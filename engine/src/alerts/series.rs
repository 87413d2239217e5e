//! A rule's metric minute by minute (hour by hour for windows beyond a day), kept from live frames, and what it comes
//! to over a window that slides with the clock.

use std::collections::BTreeMap;

use serde_json::Value;
use weir_schemas::alert::{AlertKind, AlertSpec, Comparison};
use weir_schemas::query::{DateRange, Dimension, Direction, LIMIT_MAX, Metric, Query, TimeBucket};
use weir_schemas::time::{DAY_MS, HOUR_MS, MINUTE_MS, Timestamp};

use super::rule::Reading;

/// How long a subscription is kept before it begins anew, without the minutes that no window reaches any more.
pub(super) const RENEW_AFTER_MS: i64 = 6 * HOUR_MS;

/// Whether the metric over a window follows from its minutes.
pub(super) const fn adds_up(metric: Metric) -> bool {
    !matches!(metric, Metric::Visitors | Metric::LatencyP50 | Metric::LatencyP99)
}

/// What is to be added up, and divided by what.
fn parts(metric: Metric) -> Vec<Metric> {
    match metric {
        Metric::ConversionRate => vec![Metric::Conversions, Metric::Clicks],
        Metric::Aov => vec![Metric::Revenue, Metric::Orders],
        Metric::Epc => vec![Metric::Revenue, Metric::Clicks],
        Metric::ValueAvg => vec![Metric::ValueSum, Metric::ValueCount],
        // What a drop within the window fell from.
        Metric::ValueLast => vec![Metric::ValueLast, Metric::ValueFirst],
        metric => vec![metric],
    }
}

/// How wide the rule's buckets are.
fn width(spec: &AlertSpec) -> (i64, TimeBucket) {
    if i64::from(spec.window_seconds) * 1_000 <= DAY_MS {
        (MINUTE_MS, TimeBucket::Minute)
    } else {
        (HOUR_MS, TimeBucket::Hour)
    }
}

/// The window in buckets, rounded up.
fn buckets(spec: &AlertSpec) -> i64 {
    let width = width(spec).0;
    (i64::from(spec.window_seconds) * 1_000 + width - 1) / width
}

/// The query that a rule subscribes to: from as far back as its windows reach.
pub(super) fn query(spec: &AlertSpec, now: Timestamp) -> Query {
    let (width, bucket) = width(spec);
    let windows = if spec.kind == AlertKind::Drop { 2 } else { 1 };
    let from = now.0.div_euclid(width) * width - (windows * buckets(spec) + 1) * width;
    let to = now.0 + RENEW_AFTER_MS + DAY_MS;
    Query {
        metrics: if adds_up(spec.metric) { parts(spec.metric) } else { vec![spec.metric] },
        date_range: DateRange::Between(Timestamp(from).to_string(), Timestamp(to).to_string()),
        // Minutes and, for whole hours, hours are the same everywhere but in zones of half an hour: UTC's are counted.
        timezone: if spec.kind == AlertKind::Anomaly { spec.timezone.clone() } else { "UTC".to_owned() },
        dimensions: vec![Dimension::Time(bucket)],
        filters: spec.filters.clone(),
        order_by: vec![(bucket.as_str().to_owned(), Direction::Desc)],
        limit: LIMIT_MAX,
        currency: None,
        value_of: spec.value_of.clone(),
        offset: 0,
        include: Default::default(),
    }
}

/// What asks for the last value before all windows of [`query`], of metrics that stand until they are told anew.
pub(super) fn before(spec: &AlertSpec, now: Timestamp) -> Option<Query> {
    let series = query(spec, now);
    let DateRange::Between(from, _) = &series.date_range else { return None };
    (spec.metric == Metric::ValueLast).then(|| Query {
        metrics: vec![Metric::ValueLast],
        date_range: DateRange::Between(Timestamp(0).to_string(), from.clone()),
        dimensions: Vec::new(),
        order_by: Vec::new(),
        ..series
    })
}

/// The windows of a metric that does not add up, as queries of their own: the last whole minutes, and those before.
pub(super) fn windows(spec: &AlertSpec, now: Timestamp) -> [Query; 2] {
    let end = now.0.div_euclid(MINUTE_MS) * MINUTE_MS;
    let length = i64::from(spec.window_seconds) * 1_000;
    [end, end - length].map(|end| Query {
        metrics: vec![spec.metric],
        date_range: DateRange::Between(Timestamp(end - length).to_string(), Timestamp(end).to_string()),
        dimensions: Vec::new(),
        order_by: Vec::new(),
        ..query(spec, now)
    })
}

/// What a frame of the live follower came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// The series is as of the frame.
    Current,
    /// The subscription was refused or has failed.
    Refused,
}

/// The buckets' values by the bucket's number.
#[derive(Debug, Default)]
pub(super) struct Series {
    values: BTreeMap<i64, Vec<Option<f64>>>,
    /// The last value before all of them, where it is one that stands.
    pub(super) carried: Option<f64>,
}

impl Series {
    /// Takes a frame of the subscription.
    pub(super) fn take(&mut self, spec: &AlertSpec, frame: &[u8]) -> Taken {
        let Ok(frame) = serde_json::from_slice::<Value>(frame) else { return Taken::Refused };
        let rows = |member: &str| frame[member].as_array().cloned().unwrap_or_default();
        match frame["type"].as_str() {
            Some("snapshot") => self.values.clear(),
            Some("delta") => {
                for row in rows("removed") {
                    if let Some(bucket) = bucket_of(spec, &row[0]) {
                        self.values.remove(&bucket);
                    }
                }
            }
            _ => return Taken::Refused,
        }
        for row in rows("rows") {
            let (Some(bucket), Some(cells)) = (bucket_of(spec, &row[0]), row.as_array()) else { continue };
            let values = cells[1..].iter().map(Value::as_f64).collect();
            self.values.insert(bucket, values);
        }
        Taken::Current
    }

    /// The metric over the window that ends now, and over the one before.
    ///
    /// A bucket that still runs is part of a window that looks for more than something (so that it is noticed at
    /// once: such a window is up to one bucket longer), and of no other: what has only begun is always less. That
    /// is not so of how high a number stands.
    pub(super) fn reading(&self, spec: &AlertSpec, now: Timestamp) -> Reading {
        let running = now.0.div_euclid(width(spec).0);
        let early = match spec.kind {
            _ if spec.metric.is_level() => true,
            AlertKind::Threshold => spec.comparison == Comparison::Gt,
            AlertKind::NoData => true,
            AlertKind::Drop | AlertKind::Anomaly => false,
        };
        let (begin, end) = (running - buckets(spec), if early { running + 1 } else { running });
        let value = self.over(spec.metric, begin, end);
        if spec.metric != Metric::ValueLast {
            return Reading::Window { value, before: self.over(spec.metric, begin - buckets(spec), begin) };
        }
        let first = || self.over(Metric::ValueFirst, begin, end);
        let before = self.over(spec.metric, i64::MIN, begin).or(self.carried).or_else(first);
        // What was told last still stands.
        let stands = if spec.kind == AlertKind::NoData { None } else { before };
        Reading::Window { value: value.or(stands), before }
    }

    /// The metric over some buckets.
    fn over(&self, metric: Metric, from: i64, to: i64) -> Option<f64> {
        let of =
            |part: usize| self.values.range(from..to).filter_map(move |(_, values)| *values.get(part)?);
        match metric {
            Metric::ValueMin => of(0).reduce(f64::min),
            Metric::ValueMax => of(0).reduce(f64::max),
            Metric::ValueLast => of(0).next_back(),
            // As the second part of the last value's series, or alone.
            Metric::ValueFirst => of(1).next().or_else(|| of(0).next()),
            metric => {
                let sums: Vec<f64> = (0..parts(metric).len()).map(|part| of(part).sum()).collect();
                finish(metric, &sums)
            }
        }
    }
}

fn bucket_of(spec: &AlertSpec, cell: &Value) -> Option<i64> {
    let at = Timestamp::parse(cell.as_str()?).ok()?;
    Some(at.0.div_euclid(width(spec).0))
}

/// The metric of sums; none of a quotient by nothing.
fn finish(metric: Metric, sums: &[f64]) -> Option<f64> {
    match sums {
        [sum] => Some(*sum),
        [_, by] if *by == 0.0 => None,
        [sum, by] if metric == Metric::ConversionRate => Some(sum * 10_000.0 / by),
        [sum, by] => Some(sum / by),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(members: Value) -> AlertSpec {
        let mut spec = json!({"name": "a", "metric": "clicks", "kind": "threshold", "threshold": 1});
        spec.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    fn frame(kind: &str, rows: Value) -> Vec<u8> {
        json!({"type": kind, "id": "a", "rows": rows, "removed": []}).to_string().into_bytes()
    }

    const NOW: Timestamp = Timestamp(1_800_000_030_000);

    fn minute(back: i64) -> String {
        Timestamp(NOW.0 - back * MINUTE_MS).to_string()
    }

    fn value(spec: &AlertSpec, series: &Series, now: Timestamp) -> (Option<f64>, Option<f64>) {
        match series.reading(spec, now) {
            Reading::Window { value, before } => (value, before),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_window_slides_with_the_clock() {
        let above = spec(json!({"window_seconds": 120}));
        let mut series = Series::default();
        let rows = json!([
            [minute(0), 1],
            [minute(1), 10],
            [minute(2), 100],
            [minute(3), 1_000],
            [minute(4), 10_000]
        ]);
        assert_eq!(series.take(&above, &frame("snapshot", rows)), Taken::Current);
        assert_eq!(value(&above, &series, NOW), (Some(111.0), Some(11_000.0)), "the running minute counts");
        let below = spec(json!({"window_seconds": 120, "comparison": "lt"}));
        assert_eq!(value(&below, &series, NOW), (Some(110.0), Some(11_000.0)), "whole minutes only");
        let later = Timestamp(NOW.0 + MINUTE_MS);
        assert_eq!(value(&below, &series, later), (Some(11.0), Some(1_100.0)));
        series.take(&above, &frame("delta", json!([[minute(0), 5]])));
        assert_eq!(value(&above, &series, NOW).0, Some(115.0), "whole values replace");
        assert_eq!(series.take(&above, br#"{"type":"error"}"#), Taken::Refused);
    }

    #[test]
    fn a_value_stands_until_it_is_told_anew() {
        let price = spec(json!({"metric": "value_last", "kind": "drop", "percent": 10, "threshold": null,
            "window_seconds": 120}));
        let mut series = Series::default();
        assert_eq!(value(&price, &series, NOW), (None, None));
        // The running minute tells of a drop at once.
        series.take(&price, &frame("snapshot", json!([[minute(0), 80.0, 100.0]])));
        assert_eq!(value(&price, &series, NOW), (Some(80.0), Some(100.0)));
        series.carried = Some(120.0);
        assert_eq!(value(&price, &series, NOW), (Some(80.0), Some(120.0)));
        series.take(&price, &frame("delta", json!([[minute(3), 110.0, 90.0]])));
        assert_eq!(value(&price, &series, NOW), (Some(80.0), Some(110.0)));
        let later = Timestamp(NOW.0 + 10 * MINUTE_MS);
        assert_eq!(value(&price, &series, later), (Some(80.0), Some(80.0)));
        let least = spec(json!({"metric": "value_min", "window_seconds": 120}));
        let mut series = Series::default();
        series
            .take(&least, &frame("snapshot", json!([[minute(0), 5.0], [minute(1), null], [minute(4), 9.0]])));
        assert_eq!(value(&least, &series, NOW), (Some(5.0), Some(9.0)));
    }

    #[test]
    fn rates_are_of_sums() {
        let rate = spec(json!({"metric": "conversion_rate", "window_seconds": 300}));
        let mut series = Series::default();
        assert_eq!(value(&rate, &series, NOW).0, None, "no clicks, no rate");
        series.take(&rate, &frame("snapshot", json!([[minute(1), 1, 10], [minute(2), 3, 10]])));
        assert_eq!(value(&rate, &series, NOW).0, Some(2_000.0));
    }
}
