//! What a row keeps while it grows, and the one function that turns it into cells. SQL and memory both end
//! here, so that rounding and estimates cannot differ.

use serde_json::json;
use weir_schemas::effect::Change;
use weir_schemas::event::VALUE_SCALE;
use weir_schemas::fx::rounded;
use weir_schemas::money::{Currency, share};
use weir_schemas::query::{Cell, Metric};

use super::latency::Latencies;
use super::measure::{self, Extremes};
use super::visitors::Visitors;

/// Everything of a row that adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Sum {
    Clicks,
    OrphanClicks,
    BotClicks,
    Hits,
    Leads,
    Conversions,
    Orders,
    Events,
    NewCustomers,
    Revenue,
    Refunds,
    Commission,
    /// The amounts above in the currency asked for: whole parts, and 10^-18 parts.
    RevenueWhole,
    RevenueFraction,
    RefundsWhole,
    RefundsFraction,
    CommissionWhole,
    CommissionFraction,
    /// Effects whose day has no rate. It only grows, so it makes no row by itself.
    Unconverted,
    /// How many events and conversions brought a number.
    Numbers,
    /// Their numbers in millionths.
    Millionths,
}

/// How many there are.
pub(super) const SUMS: usize = 21;

/// Amounts, and the two sums that each is kept as where it is converted.
pub(super) const CONVERTED: [(Sum, Sum, Sum); 3] = [
    (Sum::Revenue, Sum::RevenueWhole, Sum::RevenueFraction),
    (Sum::Refunds, Sum::RefundsWhole, Sum::RefundsFraction),
    (Sum::Commission, Sum::CommissionWhole, Sum::CommissionFraction),
];

impl Sum {
    /// Whether hits make it (those of a late verdict included), else effects do.
    pub(super) const fn of_clicks(self) -> bool {
        matches!(self, Self::Clicks | Self::OrphanClicks | Self::BotClicks | Self::Hits)
    }

    /// Whether it counts effects, rather than adding up amounts: 64 bits hold more of them than there will be.
    pub(super) const fn is_count(self) -> bool {
        matches!(self, Self::Leads | Self::Conversions | Self::Orders | Self::Events | Self::NewCustomers)
    }

    /// Its column in `effects`.
    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::Clicks | Self::OrphanClicks | Self::BotClicks | Self::Hits => "",
            Self::Leads => "leads",
            Self::Conversions => "conversions",
            Self::Orders => "orders",
            Self::Events => "events",
            Self::NewCustomers => "new_customers",
            Self::Revenue => "revenue",
            Self::Refunds => "refunds",
            Self::Commission => "commission",
            Self::RevenueWhole
            | Self::RevenueFraction
            | Self::RefundsWhole
            | Self::RefundsFraction
            | Self::CommissionWhole
            | Self::CommissionFraction
            | Self::Unconverted
            | Self::Numbers
            | Self::Millionths => "",
        }
    }
}

/// Which states a plan keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Needs {
    pub(super) sums: Vec<Sum>,
    pub(super) visitors: bool,
    pub(super) latency: bool,
    pub(super) currencies: bool,
    /// The least, greatest, first and last number.
    pub(super) extremes: bool,
}

/// What a metric is made of.
pub(super) const fn parts(metric: Metric) -> &'static [Sum] {
    match metric {
        Metric::Clicks => &[Sum::Clicks],
        Metric::OrphanClicks => &[Sum::OrphanClicks],
        Metric::BotClicks => &[Sum::BotClicks],
        Metric::Hits => &[Sum::Hits],
        Metric::Leads => &[Sum::Leads],
        Metric::Conversions => &[Sum::Conversions],
        Metric::Orders => &[Sum::Orders],
        Metric::Revenue => &[Sum::Revenue],
        Metric::Refunds => &[Sum::Refunds],
        Metric::NetRevenue => &[Sum::Revenue, Sum::Refunds],
        Metric::Commission => &[Sum::Commission],
        Metric::Margin => &[Sum::Revenue, Sum::Refunds, Sum::Commission],
        Metric::ConversionRate => &[Sum::Conversions, Sum::Clicks],
        Metric::Aov => &[Sum::Revenue, Sum::Orders],
        Metric::Epc => &[Sum::Revenue, Sum::Clicks],
        Metric::NewCustomers => &[Sum::NewCustomers],
        Metric::Events => &[Sum::Events],
        Metric::ValueCount | Metric::ValueMin | Metric::ValueMax | Metric::ValueFirst | Metric::ValueLast => {
            &[Sum::Numbers]
        }
        // Numbers that add up to nothing are some.
        Metric::ValueSum | Metric::ValueAvg => &[Sum::Numbers, Sum::Millionths],
        Metric::Visitors | Metric::LatencyP50 | Metric::LatencyP99 => &[],
    }
}

impl Needs {
    /// Of these metrics.
    pub(super) fn of(metrics: &[Metric], currencies: bool) -> Self {
        let mut sums: Vec<Sum> = metrics.iter().flat_map(|metric| parts(*metric)).copied().collect();
        sums.sort_unstable();
        sums.dedup();
        let latency = metrics.iter().any(|m| matches!(m, Metric::LatencyP50 | Metric::LatencyP99));
        let extremes = metrics.iter().any(|metric| metric.is_level() && *metric != Metric::ValueAvg);
        Self { sums, visitors: metrics.contains(&Metric::Visitors), latency, currencies, extremes }
    }

    /// Amounts are also kept converted.
    pub(super) fn add_converted(&mut self) {
        let needed = |sums: &[Sum], amount| sums.contains(&amount);
        for (amount, whole, fraction) in CONVERTED {
            if needed(&self.sums, amount) {
                self.sums.extend([whole, fraction]);
            }
        }
        self.sums.push(Sum::Unconverted);
        self.sums.sort_unstable();
    }

    /// Whether the table of clicks is read.
    pub(super) fn clicks(&self) -> bool {
        self.visitors || self.latency || self.sums.iter().any(|sum| sum.of_clicks())
    }

    /// Whether counted clicks make any of it.
    pub(super) fn counted(&self) -> bool {
        self.visitors || self.latency || self.sums.contains(&Sum::Clicks)
    }

    /// Whether the table of browser events is read.
    pub(super) fn events(&self) -> bool {
        self.sums.contains(&Sum::Events) || self.values()
    }

    /// Whether numbers of events are measured.
    pub(super) fn values(&self) -> bool {
        self.sums.contains(&Sum::Numbers)
    }

    /// Whether the table of effects is read.
    pub(super) fn effects(&self) -> bool {
        self.sums.iter().any(|sum| !sum.of_clicks())
    }
}

/// A row's states. Sums are 128 bits wide: no number of the largest amounts overflows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct States {
    pub(super) sums: [i128; SUMS],
    pub(super) visitors: Visitors,
    pub(super) latencies: Latencies,
    /// The first currencies met, at most two: enough to know whether there are several.
    pub(super) currencies: Vec<Currency>,
    pub(super) extremes: Extremes,
}

impl States {
    #[inline]
    pub(super) fn add(&mut self, sum: Sum, change: i128) {
        self.sums[sum as usize] += change;
    }

    pub(super) fn get(&self, sum: Sum) -> i128 {
        self.sums[sum as usize]
    }

    pub(super) fn add_change(&mut self, change: &Change) {
        let changes = [
            (Sum::Leads, change.leads),
            (Sum::Conversions, change.conversions),
            (Sum::Orders, change.orders),
            (Sum::Events, change.events),
            (Sum::NewCustomers, change.new_customers),
            (Sum::Revenue, change.revenue),
            (Sum::Refunds, change.refunds),
            (Sum::Commission, change.commission),
        ];
        for (sum, change) in changes {
            self.add(sum, i128::from(change));
        }
    }

    pub(super) fn meet(&mut self, currency: Currency) {
        if currency != Currency::NONE && self.currencies.len() < 2 && !self.currencies.contains(&currency) {
            self.currencies.push(currency);
            self.currencies.sort_unstable();
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (own, more) in self.sums.iter_mut().zip(other.sums) {
            *own += more;
        }
        self.visitors.merge(&other.visitors);
        self.latencies.merge(&other.latencies);
        self.extremes.merge(&other.extremes);
        other.currencies.iter().for_each(|currency| self.meet(*currency));
    }

    /// Whether the row has anything to say. A row of nothing but zeros (only duplicates came, a sale was
    /// restated elsewhere) is no row.
    pub(super) fn exists(&self, needs: &Needs) -> bool {
        needs.sums.iter().any(|sum| *sum != Sum::Unconverted && self.get(*sum) != 0)
            || (needs.visitors && !self.visitors.is_empty())
            || (needs.latency && !self.latencies.is_empty())
    }
}

/// A finished metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Integer(i64),
    /// A decimal number, in millionths.
    Millionths(i128),
    /// There is none: a percentile of no clicks, a sum over several currencies.
    Absent,
}

impl Number {
    pub(super) fn cell(self) -> Cell {
        match self {
            Self::Integer(value) => json!(value),
            Self::Millionths(value) => json!(value as f64 / VALUE_SCALE as f64),
            Self::Absent => Cell::Null,
        }
    }

    /// For comparing with a number of the query.
    pub(super) fn as_f64(self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(value as f64),
            Self::Millionths(value) => Some(value as f64 / VALUE_SCALE as f64),
            Self::Absent => None,
        }
    }

    /// In which order rows stand; what is absent comes first.
    pub(super) fn order(self, other: Self) -> std::cmp::Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(&b),
            (Self::Millionths(a), Self::Millionths(b)) => a.cmp(&b),
            (a, b) => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(std::cmp::Ordering::Equal),
        }
    }
}

/// JSON integers are 64 bits wide; nobody has more money than fits.
fn integer(value: i128) -> Number {
    Number::Integer(i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX }))
}

fn divided(amount: i128, by: i128) -> Number {
    let narrow = |value: i128| i64::try_from(value).ok();
    // Nothing divided by nothing is 0: no clicks, no earnings per click.
    let quotient = narrow(amount).zip(narrow(by)).and_then(|(amount, by)| share(amount, 1, by));
    Number::Integer(quotient.unwrap_or(0))
}

/// A whole, where rates are told in parts of it: 1500 is 15 %.
const BASIS_POINTS: i128 = 10_000;

/// A metric of a row; amounts `converted`, or as they are.
pub(super) fn finish(metric: Metric, states: &States, converted: bool) -> Number {
    if converted && metric.is_money() && states.get(Sum::Unconverted) != 0 {
        return Number::Absent;
    }
    let sum = |sum: Sum| match CONVERTED.iter().find(|(amount, _, _)| converted && *amount == sum) {
        Some((_, whole, fraction)) => rounded(states.get(*whole), states.get(*fraction)),
        None => states.get(sum),
    };
    match metric {
        Metric::Visitors => integer(i128::from(states.visitors.count().0)),
        Metric::NetRevenue => integer(sum(Sum::Revenue) - sum(Sum::Refunds)),
        Metric::Margin => integer(sum(Sum::Revenue) - sum(Sum::Refunds) - sum(Sum::Commission)),
        Metric::Aov => divided(sum(Sum::Revenue), sum(Sum::Orders)),
        Metric::Epc => divided(sum(Sum::Revenue), sum(Sum::Clicks)),
        Metric::ConversionRate => divided(sum(Sum::Conversions) * BASIS_POINTS, sum(Sum::Clicks)),
        Metric::ValueSum => Number::Millionths(sum(Sum::Millionths)),
        Metric::ValueAvg => measure::mean(sum(Sum::Millionths), sum(Sum::Numbers)),
        Metric::ValueMin => states.extremes.least(),
        Metric::ValueMax => states.extremes.greatest(),
        Metric::ValueFirst => states.extremes.first(),
        Metric::ValueLast => states.extremes.last(),
        Metric::LatencyP50 => percentile(states, 50),
        Metric::LatencyP99 => percentile(states, 99),
        Metric::Clicks
        | Metric::OrphanClicks
        | Metric::BotClicks
        | Metric::Hits
        | Metric::Leads
        | Metric::Conversions
        | Metric::Orders
        | Metric::Revenue
        | Metric::Refunds
        | Metric::Commission
        | Metric::NewCustomers
        | Metric::ValueCount
        | Metric::Events => integer(parts(metric).iter().map(|part| sum(*part)).sum()),
    }
}

fn percentile(states: &States, percent: u64) -> Number {
    states.latencies.percentile(percent).map_or(Number::Absent, |us| Number::Integer(i64::from(us)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(values: &[(Sum, i128)]) -> States {
        let mut states = States::default();
        values.iter().for_each(|(sum, value)| states.add(*sum, *value));
        states
    }

    #[test]
    fn rates_are_rounded_once_and_never_divide_by_nothing() {
        let some =
            states(&[(Sum::Clicks, 3), (Sum::Conversions, 1), (Sum::Orders, 2), (Sum::Revenue, 4_999)]);
        assert_eq!(finish(Metric::ConversionRate, &some, false), Number::Integer(3_333));
        assert_eq!(finish(Metric::Aov, &some, false), Number::Integer(2_500)); // 2499.5
        assert_eq!(finish(Metric::Epc, &some, false), Number::Integer(1_666)); // 1666.33
        let none = States::default();
        assert_eq!(finish(Metric::ConversionRate, &none, false), Number::Integer(0));
        assert_eq!(finish(Metric::Epc, &none, false), Number::Integer(0));
        assert_eq!(finish(Metric::LatencyP99, &none, false), Number::Absent);
    }

    #[test]
    fn margin_is_what_remains() {
        let sold = states(&[(Sum::Revenue, 10_000), (Sum::Refunds, 2_500), (Sum::Commission, 1_125)]);
        assert_eq!(finish(Metric::NetRevenue, &sold, false), Number::Integer(7_500));
        assert_eq!(finish(Metric::Margin, &sold, false), Number::Integer(6_375));
    }

    #[test]
    fn every_metric_is_made_of_something() {
        for metric in Metric::ALL {
            let needs = Needs::of(&[*metric], false);
            assert!(needs.clicks() || needs.effects(), "{}", metric.as_str());
        }
    }

    #[test]
    fn a_restated_sale_leaves_no_row_and_a_refunded_one_does() {
        let needs = Needs::of(&[Metric::NetRevenue], false);
        assert!(!states(&[(Sum::Revenue, 0)]).exists(&needs));
        assert!(states(&[(Sum::Revenue, 5), (Sum::Refunds, 5)]).exists(&needs));
    }
}
