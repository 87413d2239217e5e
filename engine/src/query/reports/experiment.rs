//! Which arm of a split does better: `POST /v1/reports/experiment`. A visitor belongs to the arm of the first click in
//! the range, whatever came later; it converts with a conversion at or after that click, whoever gets the credit.
//! The first arm, or the one named, is the control; each other is compared with it.
//!
//! - `p_value` and the interval are those of a fixed horizon: right if one looks once, at a number of visitors
//!   that was chosen before. `always_valid_p_value` may be looked at every day.
//! - `sample_ratio` is whether the arms have the numbers of visitors that their weights let expect; where not, the
//!   split itself is broken and nothing below it means anything.

use std::collections::BTreeMap;

use clickhouse::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use weir_schemas::ids::Sequence;
use weir_schemas::money::share;
use weir_schemas::problem::Problem;
use weir_schemas::query::{Cell, ColumnType, Dimension, Field};

use super::super::execute::QueryError;
use super::super::sql::{Statement, Table};
use super::facts::{STANDS, each_person, histories};
use super::journeys::a_conversion;
use super::money::Money;
use super::scope::{Scope, check_group, key_cell};
use super::statistics::{
    Moments, Proportion, always_valid, beats, chi_squared, difference_interval, sample_size, welch, z_test,
};
use super::step::{CLICK, Matcher, Step, source};
use super::{Report, basis_points, column};

/// Most arms.
pub const ARMS_MAX: usize = 50;
/// Below this probability a sample ratio is called a mismatch.
pub const MISMATCH: f64 = 0.001;
/// The standard deviation of the differences that the always valid test looks for: one percentage point.
pub const TAU: f64 = 0.01;

/// The report's own members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What arms are told apart by.
    #[serde(default = "variant")]
    pub dimension: Dimension,
    /// The arm that others are compared with.
    #[serde(default)]
    pub control: Option<String>,
    /// The arms' weights; all alike where absent.
    #[serde(default)]
    pub weights: BTreeMap<String, f64>,
    /// What counts as a conversion.
    #[serde(default = "a_conversion")]
    pub conversion: Step,
    /// The smallest relative change worth finding, for the sample that it needs.
    #[serde(default = "ten_percent")]
    pub minimum_effect: f64,
}

fn variant() -> Dimension {
    Dimension::Field(Field::Variant)
}
const fn ten_percent() -> f64 {
    0.1
}

#[derive(Debug, Clone, Default)]
struct Arm {
    visitors: u64,
    converted: u64,
    conversions: u64,
    revenue: i64,
    squares: f64,
}

impl Arm {
    fn proportion(&self) -> Proportion {
        Proportion { hits: self.converted as f64, of: self.visitors as f64 }
    }

    fn moments(&self) -> Moments {
        Moments { count: self.visitors as f64, sum: self.revenue as f64, squares: self.squares }
    }
}

const TOUCH: u32 = 1;
const CONVERTED: u32 = 2;

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
    check_group(&spec.dimension, "dimension")?;
    if !(spec.minimum_effect.is_finite() && spec.minimum_effect != 0.0 && spec.minimum_effect > -1.0) {
        return Err(Problem::field("minimum_effect", "must be a share such as 0.1 for ten percent").into());
    }
    if spec.weights.values().any(|weight| !weight.is_finite() || *weight <= 0.0) {
        return Err(Problem::field("weights", "must be numbers greater than 0").into());
    }
    let conversion = Matcher::new(&spec.conversion, "conversion")?;
    if conversion.of_clicks() {
        let detail = "must be a conversion or an event, not a click";
        return Err(Problem::field("conversion", detail).into());
    }
    let money = Money::of(client, scope, &scope.plan, upto).await?;
    let (arms, crossed, rows_read) = arms(client, scope, spec, (conversion, &money), upto).await?;

    let control = match &spec.control {
        Some(control) => control.clone(),
        None => arms.keys().next().map_or_else(String::new, |key| key.to_string()),
    };
    if !arms.is_empty() && !arms.contains_key(control.as_str()) {
        let names: Vec<&str> = arms.keys().map(AsRef::as_ref).collect();
        let detail = format!("`{control}` is none of the arms: {}", names.join(", "));
        return Err(Problem::field("control", detail).into());
    }
    let base = arms.get(control.as_str()).cloned().unwrap_or_default();
    let mut report = Report { rows_read, fx: money.told(), ..Report::default() };
    let more = [
        ("currency", json!(money.currency)),
        ("control", key_cell(&spec.dimension, &control)),
        ("crossed_over", json!(crossed)),
        ("sample_ratio", sample_ratio(spec, &arms)),
        ("minimum_sample", minimum_sample(spec, &base, &arms)),
    ];
    report.more.extend(more.map(|(name, value)| (name.to_owned(), value)));
    let number = |name: &str| column(name, ColumnType::Number);
    report.columns.push(column(spec.dimension.name(), spec.dimension.column_type()));
    report
        .columns
        .extend(["visitors", "converted", "conversions"].map(|name| column(name, ColumnType::Integer)));
    report.columns.push(number("conversion_rate"));
    report.columns.extend(["revenue", "revenue_per_visitor"].map(|name| column(name, ColumnType::Money)));
    report.columns.extend(
        [
            "uplift",
            "p_value",
            "difference_low",
            "difference_high",
            "always_valid_p_value",
            "probability_to_beat_control",
            "revenue_p_value",
        ]
        .map(number),
    );
    for (key, arm) in &arms {
        let visitors = i64::try_from(arm.visitors).unwrap_or(i64::MAX);
        let mut row = vec![
            key_cell(&spec.dimension, key),
            json!(arm.visitors),
            json!(arm.converted),
            json!(arm.conversions),
            json!(basis_points(arm.converted, arm.visitors)),
            json!(arm.revenue),
            json!(share(arm.revenue, 1, visitors).unwrap_or(0)),
        ];
        row.extend(if **key == *control { vec![Cell::Null; 7] } else { compared(&base, arm) });
        report.rows.push(row);
    }
    Ok(report)
}

fn compared(base: &Arm, arm: &Arm) -> Vec<Cell> {
    let (a, b) = (base.proportion(), arm.proportion());
    let uplift = (a.rate() > 0.0).then(|| (b.rate() - a.rate()) / a.rate());
    let (low, high) = difference_interval(a, b);
    vec![
        json!(uplift),
        json!(z_test(a, b)),
        json!(low),
        json!(high),
        json!(always_valid(a, b, TAU)),
        json!(beats(a, b)),
        json!(welch(base.moments(), arm.moments())),
    ]
}

fn minimum_sample(spec: &Spec, base: &Arm, arms: &BTreeMap<Box<str>, Arm>) -> Value {
    let needed = sample_size(base.proportion().rate(), spec.minimum_effect);
    let enough = needed.map(|needed| arms.values().all(|arm| arm.visitors >= needed));
    json!({"per_arm": needed, "effect": spec.minimum_effect, "significance": 0.05, "power": 0.8, "reached": enough})
}

fn sample_ratio(spec: &Spec, arms: &BTreeMap<Box<str>, Arm>) -> Value {
    let weight = |key: &str| if spec.weights.is_empty() { Some(1.0) } else { spec.weights.get(key).copied() };
    let weighed: Vec<(f64, f64)> =
        arms.iter().filter_map(|(key, arm)| Some((arm.visitors as f64, weight(key)?))).collect();
    let visitors: f64 = weighed.iter().map(|(visitors, _)| visitors).sum();
    let weights: f64 = weighed.iter().map(|(_, weight)| weight).sum();
    if weighed.len() < 2 || visitors <= 0.0 {
        return json!({"p_value": null, "mismatch": false});
    }
    let deviation = |(met, weight): &(f64, f64)| {
        let expected = visitors * weight / weights;
        (met - expected).powi(2) / expected
    };
    let p = chi_squared(weighed.iter().map(deviation).sum(), weighed.len() as f64 - 1.0);
    json!({"p_value": p, "mismatch": p < MISMATCH})
}

/// Every arm, how many visitors saw several, and the rows read.
async fn arms(
    client: &Client,
    scope: &Scope,
    spec: &Spec,
    (conversion, money): (Matcher, &Money),
    upto: Sequence,
) -> Result<(BTreeMap<Box<str>, Arm>, u64, u64), QueryError> {
    let (plan, group) = (&scope.plan, Some(&spec.dimension));
    let click = Matcher::new(&Step { event: CLICK.to_owned(), name: None, filters: None }, "conversion")?;
    let mut statement = Statement::default();
    let mut sources = vec![source(&[click], Table::Clicks, plan, group, false, upto, &mut statement).rows()];
    let steps = [conversion];
    if steps[0].of_events() {
        let mut source = source(&steps, Table::Events, plan, None, false, upto, &mut statement);
        source.tag = CONVERTED.to_string();
        sources.push(source.rows());
    }
    if steps[0].of_effects() {
        let mut source = source(&steps, Table::Effects, plan, None, false, upto, &mut statement);
        (source.tag, source.value) = (CONVERTED.to_string(), "revenue".to_owned());
        source.table = money.effects();
        sources.push(source.conversions(STANDS));
    }
    let statement = histories(&sources, Some(&format!("countIf(g = {TOUCH}) > 0")), statement);
    let (mut arms, mut crossed) = (BTreeMap::<Box<str>, Arm>::new(), 0);
    let rows_read = each_person(client, &statement, |_, facts| {
        let mut touches = facts.iter().filter(|fact| fact.tag == TOUCH);
        let Some(first) = touches.next() else { return Ok(()) };
        crossed += u64::from(touches.any(|other| other.key != first.key));
        if arms.len() >= ARMS_MAX && !arms.contains_key(&first.key) {
            let detail = format!("has more than {ARMS_MAX} values: filter by one link");
            return Err(Problem::field("dimension", detail));
        }
        let arm = arms.entry(first.key.clone()).or_default();
        let after = || facts.iter().filter(|fact| fact.tag == CONVERTED && fact.at >= first.at);
        let (count, revenue) = (after().count() as u64, after().map(|fact| fact.value).sum::<i64>());
        arm.visitors += 1;
        arm.converted += u64::from(count > 0);
        arm.conversions += count;
        arm.revenue = arm.revenue.saturating_add(revenue);
        arm.squares += (revenue as f64).powi(2);
        Ok(())
    })
    .await?;
    Ok((arms, crossed, rows_read))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(members: Value) -> Spec {
        serde_json::from_value(members).unwrap()
    }

    fn arms(visitors: &[(&str, u64)]) -> BTreeMap<Box<str>, Arm> {
        let arm = |visitors: u64| Arm { visitors, converted: visitors / 20, ..Arm::default() };
        visitors.iter().map(|(name, visitors)| ((*name).into(), arm(*visitors))).collect()
    }

    /// `scipy.stats.chisquare([5000, 5400]).pvalue` and of `[5000, 5100]`.
    #[test]
    fn a_split_that_is_not_as_weighed_is_told() {
        let told = |weights: Value, visitors: &[(&str, u64)]| {
            sample_ratio(&spec(json!({"weights": weights})), &arms(visitors))
        };
        let broken = told(json!({}), &[("a", 5_000), ("b", 5_400)]);
        assert!((broken["p_value"].as_f64().unwrap() - 8.769942375590239e-05).abs() < 1e-12, "{broken}");
        assert_eq!(broken["mismatch"], true);
        let fine = told(json!({}), &[("a", 5_000), ("b", 5_100)]);
        assert!((fine["p_value"].as_f64().unwrap() - 0.3197181768128704).abs() < 1e-12, "{fine}");
        assert_eq!(fine["mismatch"], false);
        let weighed = [("a", 2_500), ("b", 7_500)];
        assert_eq!(told(json!({"a": 1, "b": 3}), &weighed), json!({"p_value": 1.0, "mismatch": false}));
        assert_eq!(told(json!({}), &weighed)["mismatch"], true);
        assert_eq!(told(json!({}), &[("a", 9)]), json!({"p_value": null, "mismatch": false}));
    }

    #[test]
    fn every_arm_needs_its_sample() {
        let told = |visitors: &[(&str, u64)]| {
            let arms = arms(visitors);
            minimum_sample(&spec(json!({})), &arms["a"], &arms)
        };
        // 31,234 for 5 % and a tenth more of it: see `statistics`.
        let enough = told(&[("a", 40_000), ("b", 31_234)]);
        assert_eq!((&enough["per_arm"], &enough["reached"]), (&json!(31_234), &json!(true)));
        assert_eq!(told(&[("a", 40_000), ("b", 31_233)])["reached"], false);
        assert_eq!(told(&[("a", 10)])["reached"], Value::Null, "nobody converted");
    }
}
