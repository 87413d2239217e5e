//! What a reading means for an alert: wrong or right, and whether it has been wrong for long enough. Pure: the time is
//! passed in.

use weir_schemas::alert::{AlertKind, AlertSpec, AlertState, Comparison};
use weir_schemas::time::Timestamp;

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reading {
    /// The metric over the window, and over the window before.
    Window { value: Option<f64>, before: Option<f64> },
    /// An hour: its value, what was to be expected, and whether that makes it an anomaly.
    Hour { value: f64, expected: f64, anomalous: bool },
    /// Nothing that can be judged.
    Nothing,
}

/// A reading, judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Judgement {
    /// None: it cannot be told.
    pub wrong: Option<bool>,
    pub value: Option<f64>,
    pub reference: Option<f64>,
}

/// Judges a reading. While an alert fires it stays wrong until it is right by the rule's `recover`.
pub(super) fn judge(spec: &AlertSpec, firing: bool, reading: Reading) -> Judgement {
    let nothing = Judgement { wrong: None, value: None, reference: None };
    match (spec.kind, reading) {
        (_, Reading::Nothing) => nothing,
        (AlertKind::Anomaly, Reading::Hour { value, expected, anomalous }) => {
            Judgement { wrong: Some(anomalous), value: Some(value), reference: Some(expected) }
        }
        (AlertKind::Anomaly, Reading::Window { .. }) | (_, Reading::Hour { .. }) => nothing,
        (AlertKind::NoData, Reading::Window { value, .. }) => {
            Judgement { wrong: Some(value.is_none_or(|value| value == 0.0)), value, reference: None }
        }
        (AlertKind::Threshold, Reading::Window { value, .. }) => {
            let threshold = spec.threshold.unwrap_or_default();
            let bound = if firing { spec.recover.unwrap_or(threshold) } else { threshold };
            let wrong = value.map(|value| match spec.comparison {
                Comparison::Gt => value > bound,
                Comparison::Lt => value < bound,
            });
            Judgement { wrong, value, reference: Some(threshold) }
        }
        // A price that nobody told is no price of nothing.
        (AlertKind::Drop, Reading::Window { value: None, .. }) if spec.metric.is_level() => nothing,
        (AlertKind::Drop, Reading::Window { value, before }) => {
            let percent = spec.percent.unwrap_or(100.0);
            let bound = if firing { spec.recover.unwrap_or(percent) } else { percent };
            // Nothing cannot drop.
            let before = before.filter(|before| *before > 0.0);
            let wrong = before.map(|before| {
                let dropped = (before - value.unwrap_or(0.0)) / before * 100.0;
                dropped >= bound && dropped > 0.0
            });
            Judgement { wrong, value, reference: before }
        }
    }
}

/// How an alert stands, and since when something has been wrong that has not fired yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub state: AlertState,
    wrong_since: Option<Timestamp>,
}

impl Standing {
    pub(super) const fn new(state: AlertState) -> Self {
        Self { state, wrong_since: None }
    }

    /// What it comes to after a judgement.
    pub(super) fn after(mut self, spec: &AlertSpec, wrong: Option<bool>, now: Timestamp) -> Self {
        self.wrong_since = match wrong {
            Some(true) => Some(self.wrong_since.unwrap_or(now)),
            _ => None,
        };
        let long_enough =
            self.wrong_since.is_some_and(|since| now.0 - since.0 >= i64::from(spec.for_seconds) * 1_000);
        self.state = match wrong {
            None => AlertState::NoData,
            Some(false) => AlertState::Ok,
            Some(true) if long_enough || self.state == AlertState::Firing => AlertState::Firing,
            Some(true) => AlertState::Ok,
        };
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(members: Value) -> AlertSpec {
        let mut spec = json!({"name": "a", "metric": "clicks"});
        spec.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let spec: AlertSpec = serde_json::from_value(spec).unwrap();
        assert_eq!(spec.check(), []);
        spec
    }

    fn window(value: f64, before: f64) -> Reading {
        Reading::Window { value: Some(value), before: Some(before) }
    }

    /// The states after each of the readings, one a minute.
    fn states(spec: &AlertSpec, readings: &[Reading]) -> Vec<&'static str> {
        let mut standing = Standing::new(AlertState::Ok);
        let mut states = Vec::new();
        for (minute, reading) in readings.iter().enumerate() {
            let judged = judge(spec, standing.state == AlertState::Firing, *reading);
            standing = standing.after(spec, judged.wrong, Timestamp(minute as i64 * 60_000));
            states.push(standing.state.as_str());
        }
        states
    }

    #[test]
    fn it_fires_after_its_time_and_ends_beyond_its_recovery() {
        let spec = spec(json!({"kind": "threshold", "threshold": 100, "recover": 80, "for_seconds": 120}));
        let values = [101., 101., 99., 101., 105., 110., 95., 81., 80., 101.];
        let readings: Vec<Reading> = values.iter().map(|value| window(*value, 0.)).collect();
        let expected = ["ok", "ok", "ok", "ok", "ok", "firing", "firing", "firing", "ok", "ok"];
        assert_eq!(states(&spec, &readings), expected);
    }

    #[test]
    fn below_is_the_other_side() {
        let spec = spec(json!({"kind": "threshold", "comparison": "lt", "threshold": 10, "recover": 12}));
        let readings = [10., 9., 11., 12.].map(|value| window(value, 0.));
        assert_eq!(states(&spec, &readings), ["ok", "firing", "firing", "ok"]);
    }

    #[test]
    fn a_drop_needs_something_to_drop_from() {
        let spec = spec(json!({"kind": "drop", "percent": 50, "recover": 20}));
        let readings =
            [window(0., 0.), window(50., 100.), window(79., 100.), window(81., 100.), window(51., 100.)];
        assert_eq!(states(&spec, &readings), ["no_data", "firing", "firing", "ok", "ok"]);
        let all = spec_of_drop_by_everything();
        assert_eq!(states(&all, &[window(0., 3.)]), ["firing"]);
    }

    #[test]
    fn a_price_that_is_not_told_has_not_dropped() {
        let spec = spec(json!({"kind": "drop", "percent": 10, "metric": "value_last"}));
        let untold = Reading::Window { value: None, before: Some(100.) };
        assert_eq!(
            states(&spec, &[untold, window(91., 100.), window(90., 100.)]),
            ["no_data", "ok", "firing"]
        );
    }

    fn spec_of_drop_by_everything() -> AlertSpec {
        spec(json!({"kind": "drop", "percent": 100}))
    }

    #[test]
    fn silence_fires_and_what_cannot_be_told_does_not() {
        let silence = spec(json!({"kind": "no_data"}));
        assert_eq!(
            states(&silence, &[window(1., 0.), window(0., 9.), window(2., 0.)]),
            ["ok", "firing", "ok"]
        );
        let rate = spec(json!({"kind": "threshold", "metric": "conversion_rate", "threshold": 5}));
        let none = Reading::Window { value: None, before: None };
        assert_eq!(states(&rate, &[none, Reading::Nothing]), ["no_data", "no_data"]);
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let fields = |members: Value| -> Vec<String> {
            let mut spec = json!({"name": "a", "metric": "clicks"});
            spec.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            let spec: AlertSpec = serde_json::from_value(spec).unwrap();
            spec.check().into_iter().map(|error| error.field).collect()
        };
        assert_eq!(fields(json!({"kind": "threshold"})), ["threshold"]);
        assert_eq!(fields(json!({"kind": "no_data", "threshold": 1})), ["threshold"]);
        assert_eq!(fields(json!({"kind": "drop", "percent": 101})), ["percent"]);
        assert_eq!(fields(json!({"kind": "threshold", "threshold": 5, "recover": 6})), ["recover"]);
        assert_eq!(fields(json!({"kind": "no_data", "window_seconds": 90})), ["window_seconds"]);
        assert_eq!(fields(json!({"kind": "no_data", "name": ""})), ["name"]);
    }
}
