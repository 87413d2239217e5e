//! The contract of queries (api.md, Query). A live subscription carries the same body, so this is also what
//! a dashboard asks for. Parsing here is about shape and names; whether a combination makes sense is
//! decided by the query engine. Long, because it is one vocabulary: every dimension, metric and field in
//! one place.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::ids::Sequence;
use crate::money::Currency;

mod filter;

pub use filter::{Comparison, DEPTH_MAX, Filter, VALUES_MAX};

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant),+
        }

        impl $name {
            /// Every value, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in the contract.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The value of a name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == name)
            }

            /// Every name, for an error that tells what is allowed.
            pub fn names() -> String {
                Self::ALL.iter().map(|value| value.as_str()).collect::<Vec<_>>().join(", ")
            }
        }
    };
}

vocabulary! {
    /// What can be measured.
    Metric, "metric" {
        /// Counted hits.
        Clicks = "clicks",
        /// Distinct visitors among the counted hits.
        Visitors = "visitors",
        /// Hits of unknown slugs.
        OrphanClicks = "orphan_clicks",
        /// Hits by robots.
        BotClicks = "bot_clicks",
        /// Every recorded hit whatever became of it: what `verdict` is asked with.
        Hits = "hits",
        /// Leads.
        Leads = "leads",
        /// Sales and renewals.
        Conversions = "conversions",
        /// Distinct order ids.
        Orders = "orders",
        /// Gross, in minor units.
        Revenue = "revenue",
        /// What went back, in minor units.
        Refunds = "refunds",
        /// Revenue less refunds.
        NetRevenue = "net_revenue",
        /// Partners' earnings, net of reversals.
        Commission = "commission",
        /// Net revenue less commission.
        Margin = "margin",
        /// Conversions ÷ clicks, in basis points: 1500 is 15 %.
        ConversionRate = "conversion_rate",
        /// Average order value: revenue ÷ orders, in minor units.
        Aov = "aov",
        /// Earnings per click: revenue ÷ clicks, in minor units.
        Epc = "epc",
        /// Customers seen for the first time.
        NewCustomers = "new_customers",
        /// Median redirect latency, microseconds.
        LatencyP50 = "latency_p50",
        /// 99th percentile of the redirect latency, microseconds.
        LatencyP99 = "latency_p99",
        /// Browser events and custom conversion events.
        Events = "events",
        /// How many events and conversions brought a number ([`Query::value_of`]).
        ValueCount = "value_count",
        /// Their numbers' sum.
        ValueSum = "value_sum",
        /// Their mean.
        ValueAvg = "value_avg",
        /// The least of them.
        ValueMin = "value_min",
        /// The greatest.
        ValueMax = "value_max",
        /// The first in time.
        ValueFirst = "value_first",
        /// The last in time.
        ValueLast = "value_last",
    }
}

impl Metric {
    /// Whether a cell is an amount of money.
    pub const fn is_money(self) -> bool {
        matches!(
            self,
            Self::Revenue
                | Self::Refunds
                | Self::NetRevenue
                | Self::Commission
                | Self::Margin
                | Self::Aov
                | Self::Epc
        )
    }

    /// Whether it is made of numbers that events bring.
    pub const fn is_of_values(self) -> bool {
        matches!(self, Self::ValueCount | Self::ValueSum) || self.is_level()
    }

    /// Whether it tells how high a number stands rather than how much there was: less time does not make it less.
    pub const fn is_level(self) -> bool {
        matches!(self, Self::ValueAvg | Self::ValueMin | Self::ValueMax | Self::ValueFirst | Self::ValueLast)
    }

    /// The `type` of its column.
    pub const fn column_type(self) -> ColumnType {
        match self {
            Self::ConversionRate | Self::ValueSum => ColumnType::Number,
            _ if self.is_level() => ColumnType::Number,
            _ if self.is_money() => ColumnType::Money,
            _ => ColumnType::Integer,
        }
    }
}

vocabulary! {
    /// How wide a time bucket is.
    TimeBucket, "time bucket" {
        /// A minute.
        Minute = "time:minute",
        /// An hour of the query's time zone.
        Hour = "time:hour",
        /// A day of the query's time zone.
        Day = "time:day",
        /// An ISO week (from Monday) of the query's time zone.
        Week = "time:week",
        /// A month of the query's time zone.
        Month = "time:month",
    }
}

vocabulary! {
    /// A column that facts are grouped and filtered by.
    Field, "dimension" {
        /// The link's id.
        Link = "link",
        /// The partner's id.
        Partner = "partner",
        /// The program's id.
        Program = "program",
        /// The host asked.
        Domain = "domain",
        /// ISO 3166-1 alpha-2.
        Country = "country",
        /// Region's name.
        Region = "region",
        /// City's name.
        City = "city",
        /// Two letters.
        Continent = "continent",
        /// desktop, mobile, tablet, …
        Device = "device",
        /// Browser family.
        Browser = "browser",
        /// Operating system family.
        Os = "os",
        /// Referrer's host.
        Referrer = "referrer",
        /// direct, search, social, …
        Medium = "medium",
        /// utm_source
        UtmSource = "utm_source",
        /// utm_medium
        UtmMedium = "utm_medium",
        /// utm_campaign
        UtmCampaign = "utm_campaign",
        /// utm_term
        UtmTerm = "utm_term",
        /// utm_content
        UtmContent = "utm_content",
        /// The arm of a split.
        Variant = "variant",
        /// The currency of the money.
        Currency = "currency",
        /// `lead`, `sale`, … of conversions.
        Event = "event",
        /// Who reported the conversion.
        Provider = "provider",
        /// Number of the autonomous system.
        Asn = "asn",
        /// Whether a robot came.
        Bot = "bot",
        /// What became of the hit.
        Verdict = "verdict",
        /// First language asked for.
        Language = "language",
        /// The gravest fraud signal of the click or conversion; empty where there is none.
        Signal = "signal",
    }
}

impl Field {
    /// The `type` of its column.
    pub const fn column_type(self) -> ColumnType {
        match self {
            Self::Bot => ColumnType::Bool,
            Self::Asn => ColumnType::Integer,
            _ => ColumnType::String,
        }
    }
}

/// What rows are grouped by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dimension {
    /// A time bucket.
    Time(TimeBucket),
    /// A column.
    Field(Field),
    /// `property:NAME`: a property of browser and custom events.
    Property(String),
}

/// Longest name of a property, in bytes.
pub const PROPERTY_NAME_MAX: usize = 64;

impl Dimension {
    /// The name in the contract.
    pub fn name(&self) -> String {
        match self {
            Self::Time(bucket) => bucket.as_str().to_owned(),
            Self::Field(field) => field.as_str().to_owned(),
            Self::Property(name) => format!("property:{name}"),
        }
    }

    /// The value of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        if let Some(property) = name.strip_prefix("property:") {
            let fits = !property.is_empty() && property.len() <= PROPERTY_NAME_MAX;
            return fits.then(|| Self::Property(property.to_owned()));
        }
        TimeBucket::from_name(name).map(Self::Time).or_else(|| Field::from_name(name).map(Self::Field))
    }

    /// Every name, for an error that tells what is allowed.
    pub fn names() -> String {
        format!("{}, {}, property:NAME", TimeBucket::names(), Field::names())
    }

    /// The `type` of its column.
    pub const fn column_type(&self) -> ColumnType {
        match self {
            Self::Time(_) => ColumnType::Time,
            Self::Field(field) => field.column_type(),
            Self::Property(_) => ColumnType::String,
        }
    }
}

macro_rules! named_serde {
    ($type:ty, $what:literal, $print:expr) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&$print(self))
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::from_name(&text).ok_or_else(|| {
                    de::Error::custom(format!(
                        concat!("`{}` is not a ", $what, "; allowed: {}"),
                        text,
                        <$type>::names()
                    ))
                })
            }
        }
    };
}

named_serde!(Metric, "metric", |m: &Metric| m.as_str());
named_serde!(Dimension, "dimension", Dimension::name);

/// The `type` of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// Text.
    String,
    /// A JSON integer.
    Integer,
    /// A JSON number.
    Number,
    /// An integer in minor units.
    Money,
    /// RFC 3339 with offset.
    Time,
    /// true or false.
    Bool,
}

/// When.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum DateRange {
    /// `today`, `7d`, …
    Named(Period),
    /// From and to, half-open, RFC 3339 or plain dates of the query's time zone.
    Between(String, String),
}

vocabulary! {
    /// A named range, in the query's time zone. Days, months and years include the current one, so that a
    /// live view moves.
    Period, "period" {
        /// Since midnight.
        Today = "today",
        /// The day before.
        Yesterday = "yesterday",
        /// The last 24 hours, from a full minute.
        Hours24 = "24h",
        /// Today and the 6 days before.
        Days7 = "7d",
        /// Today and the 29 days before.
        Days30 = "30d",
        /// Today and the 89 days before.
        Days90 = "90d",
        /// This month and the 11 before.
        Months12 = "12mo",
        /// Since the month's first.
        MonthToDate = "mtd",
        /// Since the quarter's first.
        QuarterToDate = "qtd",
        /// Since the year's first.
        YearToDate = "ytd",
        /// Everything.
        All = "all",
    }
}

named_serde!(Period, "period", |p: &Period| p.as_str());

/// Either a name or `[from, to]`; serde's own error for such a choice says nothing of what is allowed.
fn name_or_range<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    named: impl Fn(&str) -> Option<T>,
    between: impl Fn(String, String) -> T,
    names: &str,
) -> Result<T, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let range = match &value {
        serde_json::Value::String(name) => named(name),
        serde_json::Value::Array(ends) => match ends.as_slice() {
            [serde_json::Value::String(from), serde_json::Value::String(to)] => {
                Some(between(from.clone(), to.clone()))
            }
            _ => None,
        },
        _ => None,
    };
    range.ok_or_else(|| {
        de::Error::custom(format!(
            "{value} is not a range; allowed: {names}, or [from, to] as RFC 3339 or dates"
        ))
    })
}

impl<'de> Deserialize<'de> for DateRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = |name: &str| Period::from_name(name).map(Self::Named);
        name_or_range(deserializer, named, Self::Between, &Period::names())
    }
}

impl<'de> Deserialize<'de> for Compare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = |name: &str| match name {
            "previous_period" => Some(Self::Named(CompareTo::PreviousPeriod)),
            "year_over_year" => Some(Self::Named(CompareTo::YearOverYear)),
            _ => None,
        };
        name_or_range(deserializer, named, Self::Between, "previous_period, year_over_year")
    }
}

/// `asc` or `desc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Smallest first.
    Asc,
    /// Largest first.
    Desc,
}

/// What the answer has beside rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Include {
    /// A row of totals.
    pub total: bool,
    /// The same for another period: `previous_period`, `year_over_year`, or a range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compare: Option<Compare>,
    /// The compared range begins at the same day of the week: a named comparison goes back by whole weeks.
    #[serde(skip_serializing_if = "is_false")]
    pub match_weekday: bool,
    /// A row of zeros for every bucket without one, up to now; the time must be the only dimension.
    #[serde(skip_serializing_if = "is_false")]
    pub zero_fill: bool,
    /// What the rows beyond `limit` have together, beside `totals`.
    #[serde(skip_serializing_if = "is_false")]
    pub other: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// With what to compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Compare {
    /// A named one.
    Named(CompareTo),
    /// A range of one's own.
    Between(String, String),
}

/// The named comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompareTo {
    /// The range of the same length just before.
    PreviousPeriod,
    /// The same dates a year before.
    YearOverYear,
}

/// Most rows that a query answers with.
pub const LIMIT_MAX: u32 = 10_000;
/// Rows where the query does not say.
pub const LIMIT_DEFAULT: u32 = 1_000;

/// `POST /v1/query` and the `query` of a subscription.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// What to measure, at least one.
    pub metrics: Vec<Metric>,
    /// When.
    #[serde(default = "default_range")]
    pub date_range: DateRange,
    /// IANA name.
    #[serde(default = "utc")]
    pub timezone: String,
    /// What to group by.
    #[serde(default)]
    pub dimensions: Vec<Dimension>,
    /// What to count.
    #[serde(default)]
    pub filters: Option<Filter>,
    /// Columns by name.
    #[serde(default)]
    pub order_by: Vec<(String, Direction)>,
    /// Most rows.
    #[serde(default = "default_limit")]
    pub limit: u32,
    /// Rows to skip.
    #[serde(default)]
    pub offset: u32,
    /// What amounts are converted into by the workspace's exchange rates; the workspace's currency where amounts are in
    /// several and nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// What the metrics `value_…` measure: a property; the events' own `value` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_of: Option<ValueOf>,
    /// Beside rows.
    #[serde(default)]
    pub include: Include,
}

/// The property whose numbers are measured, written `property:NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ValueOf(pub String);

impl Serialize for ValueOf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("property:{}", self.0))
    }
}

impl<'de> Deserialize<'de> for ValueOf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        match Dimension::from_name(&text) {
            Some(Dimension::Property(name)) => Ok(Self(name)),
            _ => Err(de::Error::custom(format!("`{text}` is not a property; allowed: property:NAME"))),
        }
    }
}

fn default_range() -> DateRange {
    DateRange::Named(Period::Days30)
}
fn default_limit() -> u32 {
    LIMIT_DEFAULT
}
fn utc() -> String {
    "UTC".to_owned()
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Column {
    /// The name of the dimension or metric.
    pub name: String,
    /// What its cells are.
    #[serde(rename = "type")]
    pub kind: ColumnType,
}

/// A cell: string, integer, number, bool or null.
pub type Cell = serde_json::Value;

/// What an answer says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Meta {
    /// Everything up to this sequence is in the answer.
    pub as_of: Sequence,
    /// When that was.
    pub as_of_time: String,
    /// Rows read by the warehouse.
    pub rows_read: u64,
    /// Milliseconds.
    pub elapsed_ms: f64,
    /// The query as understood, ranges resolved.
    #[schema(value_type = Object)]
    pub query: serde_json::Value,
    /// Metrics that are estimates here, with their standard error.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    #[schema(value_type = Object)]
    pub estimates: serde_json::Map<String, serde_json::Value>,
    /// How amounts were converted, where they were: `base`, the `rates` used, and those `missing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub fx: Option<serde_json::Value>,
}

/// The answer to a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Answer {
    /// Dimensions, then metrics.
    pub columns: Vec<Column>,
    /// One cell per column.
    #[schema(value_type = Vec<Vec<Object>>)]
    pub rows: Vec<Vec<Cell>>,
    /// The metrics by name over all rows, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub totals: Option<Totals>,
    /// The metrics by name over the rows that `limit` and `offset` left out, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub other: Option<Totals>,
    /// The rows of the compared range, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub comparison: Option<Box<ComparedRows>>,
    /// About the answer.
    pub meta: Meta,
}

/// The compared range's rows and totals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparedRows {
    /// Its rows, with the same columns.
    pub rows: Vec<Vec<Cell>>,
    /// Its totals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
}

/// Metrics by name.
pub type Totals = serde_json::Map<String, Cell>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_names_or_pairs_and_errors_say_which() {
        let range = |text: &str| serde_json::from_str::<DateRange>(text);
        assert_eq!(range(r#""7d""#).unwrap(), DateRange::Named(Period::Days7));
        assert_eq!(range(r#"["a","b"]"#).unwrap(), DateRange::Between("a".into(), "b".into()));
        for bad in [r#""8d""#, r#"["a"]"#, "7", r#"["a","b","c"]"#] {
            assert!(range(bad).unwrap_err().to_string().contains("today"), "{bad}");
        }
        let compare = |text: &str| serde_json::from_str::<Compare>(text);
        assert_eq!(compare(r#""year_over_year""#).unwrap(), Compare::Named(CompareTo::YearOverYear));
        assert!(compare(r#""last""#).unwrap_err().to_string().contains("previous_period"));
        assert_eq!(serde_json::to_string(&range(r#""mtd""#).unwrap()).unwrap(), r#""mtd""#);
    }
}
