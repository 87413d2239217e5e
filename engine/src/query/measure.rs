//! Numbers that events bring, which makes queries a general meter: prices, temperatures, seats. Measured is one
//! number per browser event or conversion: the property that the query names in `value_of`; else the event's own
//! `value` and, where it has none, its property of that name. What has no number, or none in decimal digits, is not
//! measured.
//!
//! Numbers are whole millionths, so that sums are exact and the same in SQL and in memory. Conversions are signed
//! changes: what was restated is taken back. Counts and sums take that as every sum does. The least, greatest,
//! first and last number cannot lose what they were told: SQL looks at what stands of each conversion, and memory
//! gives up ([`Extremes::lost`]) and begins anew from SQL's answer. That is rare: a click found late, a refund
//! never.

use weir_schemas::effect::Effect;
use weir_schemas::event::{Event, VALUE_PROPERTY, property_number};

use super::plan::Plan;
use super::sql::{Parameter, Statement};
use super::state_rows::{BadAnswer, Bytes};
use super::states::{Needs, Number};

/// A number and when it was brought: Unix milliseconds, and of equal times the order of coming.
type Moment = (i64, u64, i64);

/// The ends of a row's numbers, in millionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extremes {
    known: Option<Ends>,
    /// One of them was taken back, so these may be wrong.
    pub(super) lost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    least: i64,
    greatest: i64,
    first: Moment,
    last: Moment,
}

impl Extremes {
    pub(super) fn add(&mut self, at: i64, order: u64, value: i64) {
        let moment = (at, order, value);
        self.take(Ends { least: value, greatest: value, first: moment, last: moment });
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.lost |= other.lost;
        if let Some(ends) = other.known {
            self.take(ends);
        }
    }

    fn take(&mut self, more: Ends) {
        self.known = Some(match self.known {
            None => more,
            Some(held) => Ends {
                least: held.least.min(more.least),
                greatest: held.greatest.max(more.greatest),
                first: held.first.min(more.first),
                last: held.last.max(more.last),
            },
        });
    }

    fn end(&self, which: impl Fn(&Ends) -> i64) -> Number {
        self.known.as_ref().map_or(Number::Absent, |ends| Number::Millionths(which(ends).into()))
    }

    pub(super) fn least(&self) -> Number {
        self.end(|ends| ends.least)
    }

    pub(super) fn greatest(&self) -> Number {
        self.end(|ends| ends.greatest)
    }

    pub(super) fn first(&self) -> Number {
        self.end(|ends| ends.first.2)
    }

    pub(super) fn last(&self) -> Number {
        self.end(|ends| ends.last.2)
    }

    /// As a statement's row has them ([`outer`]).
    pub(super) fn read(bytes: &mut Bytes<'_>) -> Result<Self, BadAnswer> {
        let measured = bytes.u64()?;
        let (least, greatest) = (i64::from_le_bytes(bytes.array()?), i64::from_le_bytes(bytes.array()?));
        let moment = |bytes: &mut Bytes<'_>| {
            let at = i64::from_le_bytes(bytes.array()?);
            Ok((at, bytes.u64()?, i64::from_le_bytes(bytes.array()?)))
        };
        let (first, last) = (moment(bytes)?, moment(bytes)?);
        let known = (measured > 0).then_some(Ends { least, greatest, first, last });
        Ok(Self { known, lost: false })
    }
}

/// The mean, in millionths, rounded half away from zero; none of nothing.
pub(super) fn mean(sum: i128, count: i128) -> Number {
    if count <= 0 {
        return Number::Absent;
    }
    let half = if sum < 0 { -count / 2 } else { count / 2 };
    Number::Millionths((sum + half) / count)
}

impl Plan {
    /// The number of a browser event.
    pub(super) fn value_of_event(&self, event: &Event<'_>) -> Option<i64> {
        match &self.asked.value_of {
            Some(property) => property_number(event.told.property(&property.0)),
            None if event.told.value != 0 => Some(event.told.value),
            None => property_number(event.told.property(VALUE_PROPERTY)),
        }
    }

    /// The number of a conversion, and how often it is added: less than nothing where it is taken back.
    pub(super) fn value_of_effect(&self, effect: &Effect) -> Option<(i64, i64)> {
        let times = effect.change.leads + effect.change.conversions + effect.change.events;
        let text = effect.properties.get(self.value_property()).filter(|_| times != 0)?;
        Some((property_number(text)?, times))
    }

    fn value_property(&self) -> &str {
        self.asked.value_of.as_ref().map_or(VALUE_PROPERTY, |property| &property.0)
    }

    /// A table's rows with their number: `xv` in millionths, and `xok`, whether there is one.
    pub(super) fn measured(&self, source: &str, of_events: bool, statement: &mut Statement) -> String {
        let name = statement.bind(Parameter::Texts(vec![self.value_property().to_owned()]));
        let own = of_events && self.asked.value_of.is_none();
        let text = format!("properties[{name}[1]] AS xt");
        let (parsed, is_number) = (number("xt"), is_number("xt"));
        // A decimal of 128 bits holds a million times the largest number.
        let (value, known) = match own {
            true => (
                format!("if(value != 0, toInt64(toDecimal128(value, 6) * 1000000), {parsed})"),
                format!("(value != 0 OR {is_number})"),
            ),
            false => (parsed, is_number),
        };
        format!("(SELECT *, {text}, {known} AS xok, if(xok, {value}, 0) AS xv FROM {source})")
    }
}

/// Whether a property's text is a number, as [`property_number`] has it.
pub(super) fn is_number(text: &str) -> String {
    format!("match({text}, '^-?[0-9]{{1,10}}([.][0-9]+)?$')")
}

/// That number in millionths.
pub(super) fn number(text: &str) -> String {
    let point = format!("position({text}, '.')");
    format!(
        "toInt64OrZero(concat(if({point} = 0, {text}, substring({text}, 1, {point} - 1)), \
         rightPad(if({point} = 0, '', substring({text}, {point} + 1, 6)), 6, '0')))"
    )
}

/// How often a conversion's row adds its number.
const TIMES: &str = "(leads + conversions + events)";

/// Count and sum of numbers over rows of [`Plan::measured`].
pub(super) fn sums_sql(of_events: bool) -> [String; 2] {
    match of_events {
        true => ["toInt128(countIf(xok))".to_owned(), "sum(toInt128(xv))".to_owned()],
        false => {
            [format!("sum(if(xok, toInt128({TIMES}), 0))"), format!("sum(toInt128(xv) * toInt128({TIMES}))")]
        }
    }
}

/// A source's columns of the ends: how many were measured, least, greatest, first, last.
fn ends_sql(moment: &str, known: &str) -> Vec<String> {
    vec![
        format!("toUInt64(countIf({known})) AS xn"),
        format!("minIf(xv, {known}) AS xmin"),
        format!("maxIf(xv, {known}) AS xmax"),
        format!("minIf({moment}, {known}) AS xfirst"),
        format!("maxIf({moment}, {known}) AS xlast"),
    ]
}

const AT_MS: &str = "toInt64(toUnixTimestamp64Milli(at))";

/// Of browser events, each of which stands.
pub(super) fn ends_of_events() -> Vec<String> {
    ends_sql(&format!("({AT_MS}, toUInt64(seq), xv)"), "xok")
}

/// The columns where a source measures nothing.
pub(super) fn no_ends() -> Vec<String> {
    let moment = "(toInt64(0), toUInt64(0), toInt64(0))";
    vec![
        "toUInt64(0) AS xn".to_owned(),
        "toInt64(0) AS xmin".to_owned(),
        "toInt64(0) AS xmax".to_owned(),
        format!("{moment} AS xfirst"),
        format!("{moment} AS xlast"),
    ]
}

/// Of conversions: what stands of each. `keys` are the expressions of the row's keys; `rest` the columns that this
/// source has nothing for.
pub(super) fn ends_of_effects(measured: &str, keys: &[String], rest: &[String]) -> String {
    let keyed: Vec<String> =
        keys.iter().enumerate().map(|(index, key)| format!("{key} AS k{index}")).collect();
    let names: Vec<String> = (0..keys.len()).map(|index| format!("k{index}")).collect();
    let inner: Vec<String> = keyed
        .into_iter()
        .chain(["xv".to_owned(), format!("{AT_MS} AS xat"), format!("maxIf(seq, {TIMES} > 0) AS xseq")])
        .collect();
    let groups = [names.clone(), vec!["conversion".to_owned(), "xv".to_owned(), "xat".to_owned()]].concat();
    let outer = [names.clone(), rest.to_vec(), ends_sql("(xat, toUInt64(xseq), xv)", "true")].concat();
    let by = if names.is_empty() { String::new() } else { format!(" GROUP BY {}", names.join(", ")) };
    format!(
        "SELECT {} FROM (SELECT {} FROM {measured} WHERE xok GROUP BY {} HAVING sum({TIMES}) > 0){by}",
        outer.join(", "),
        inner.join(", "),
        groups.join(", ")
    )
}

/// The answer's columns.
pub(super) fn outer(needs: &Needs) -> Vec<String> {
    if !needs.extremes {
        return Vec::new();
    }
    vec![
        "sum(xn) AS x_n".to_owned(),
        "minIf(xmin, xn > 0) AS x_min".to_owned(),
        "maxIf(xmax, xn > 0) AS x_max".to_owned(),
        "minIf(xfirst, xn > 0) AS x_first".to_owned(),
        "maxIf(xlast, xn > 0) AS x_last".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_do_not_depend_on_the_order_of_merging() {
        let numbers = [(5_i64, 1_u64, 7_i64), (3, 2, 9), (5, 3, -1), (3, 4, 4)];
        let mut whole = Extremes::default();
        numbers.iter().for_each(|(at, order, value)| whole.add(*at, *order, *value));
        let mut parts = Extremes::default();
        for (at, order, value) in numbers.iter().rev() {
            let mut one = Extremes::default();
            one.add(*at, *order, *value);
            parts.merge(&one);
        }
        assert_eq!(whole, parts);
        let ends = [whole.least(), whole.greatest(), whole.first(), whole.last()];
        assert_eq!(ends, [-1, 9, 9, -1].map(Number::Millionths));
        assert_eq!(Extremes::default().last(), Number::Absent);
    }

    #[test]
    fn means_are_rounded_half_away_from_zero() {
        assert_eq!(mean(5, 2), Number::Millionths(3));
        assert_eq!(mean(-5, 2), Number::Millionths(-3));
        assert_eq!(mean(4, 3), Number::Millionths(1));
        assert_eq!(mean(0, 0), Number::Absent);
    }
}
