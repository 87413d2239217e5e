//! A query, checked and resolved: who asks, the range in milliseconds, filters per table, what each row
//! keeps. Two queries that mean the same have the same [`Plan::key`], so live subscriptions can share one
//! state.

use jiff::tz::TimeZone;
use serde_json::json;
use weir_schemas::ids::{PartnerId, WorkspaceId};
use weir_schemas::problem::{FieldError, Problem};
use weir_schemas::query::{
    Cell, Column, Comparison, Dimension, Direction, Field, Filter, LIMIT_MAX, Metric, Query, TimeBucket,
    Totals,
};
use weir_schemas::time::Timestamp;

use super::bucket::Buckets;
use super::condition::{self, Condition, of_effects_only};
use super::exchange::Exchange;
use super::range::{self, Range};
use super::states::{Needs, parts};

/// Most dimensions of one query.
pub const DIMENSIONS_MAX: usize = 8;
/// Most rows that can be skipped.
pub const OFFSET_MAX: u32 = 1_000_000;

/// A query ready to be answered, by SQL or in memory.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) workspace: WorkspaceId,
    /// Only this partner's numbers.
    pub(super) partner: Option<PartnerId>,
    pub(super) range: Range,
    pub(super) buckets: Option<Buckets>,
    pub(super) dimensions: Vec<Dimension>,
    pub(super) metrics: Vec<Metric>,
    pub(super) filters: Filters,
    pub(super) having: Vec<Having>,
    pub(super) order: Vec<(OrderBy, Direction)>,
    pub(super) limit: usize,
    pub(super) offset: usize,
    pub(super) total: bool,
    /// Buckets without facts are rows too, up to here.
    pub(super) filled_until: Option<Timestamp>,
    /// What the rows that are left out have together is told.
    pub(super) other: bool,
    pub(super) needs: Needs,
    /// Robots' hits count as clicks, because the query filters by what robots are, or breaks down by verdict.
    pub(super) with_bots: bool,
    /// How amounts of several currencies become one, where they may.
    pub(super) exchange: Option<Exchange>,
    /// They are told as one: always, or because there are several.
    pub(super) converts: bool,
    /// Amounts are added up without a currency being named: right while there is only one.
    pub(super) one_currency: bool,
    pub(super) zone: TimeZone,
    /// Whatever is added up beforehand is left aside.
    pub(super) clicks_only: bool,
    compare: Option<Range>,
    valid_until: Option<Timestamp>,
    pub(super) asked: Query,
    pub(super) key: String,
}

/// What a fact must satisfy, by what it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Filters {
    pub(super) clicks: Option<Condition>,
    /// Effects that concern money.
    pub(super) paid: Option<Condition>,
    /// Effects that concern none, and browser events.
    pub(super) unpaid: Option<Condition>,
}

/// A metric against a number, for whole rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Having {
    pub(super) comparison: Comparison,
    /// Index among the plan's `measured` metrics.
    pub(super) metric: usize,
    pub(super) value: f64,
}

/// A column that rows are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum OrderBy {
    Dimension(usize),
    Metric(usize),
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl Eq for Plan {}
impl std::hash::Hash for Plan {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl Plan {
    /// Checks a query of `workspace` asked at `now`. `partner` restricts it to one partner's numbers.
    ///
    /// # Errors
    /// 422 that names every field that does not fit.
    pub fn build(
        query: &Query,
        workspace: WorkspaceId,
        now: Timestamp,
        partner: Option<PartnerId>,
    ) -> Result<Self, Problem> {
        let mut errors = Vec::new();
        let mut wrong =
            |field: &str, detail: String| errors.push(FieldError { field: field.to_owned(), detail });

        let zone = TimeZone::get(&query.timezone).unwrap_or_else(|_| {
            let name = &query.timezone;
            wrong("timezone", format!("`{name}` is not an IANA time zone such as Europe/Berlin"));
            TimeZone::UTC
        });
        let resolved = range::resolve(&query.date_range, &zone, now).unwrap_or_else(|detail| {
            wrong("date_range", detail);
            range::Resolved { range: Range { from: now, to: now }, valid_until: None }
        });
        let compare = query.include.compare.as_ref().and_then(|compare| {
            range::compared(compare, resolved.range, &zone, query.include.match_weekday)
                .map_err(|detail| wrong("include.compare", detail))
                .ok()
        });
        if query.include.match_weekday && query.include.compare.is_none() {
            wrong("include.match_weekday", "needs `include.compare`".to_owned());
        }
        check_dimensions(&query.dimensions, &mut wrong);
        check_metrics(&query.metrics, &query.dimensions, &mut wrong);
        if query.value_of.is_some() && !query.metrics.iter().any(|metric| metric.is_of_values()) {
            wrong("value_of", "says what the metrics `value_…` measure, and none is asked for".to_owned());
        }

        let (mut conditions, mut having) = (Vec::new(), Vec::new());
        if let Some(filter) = &query.filters
            && let Err(detail) = split(filter, &query.metrics, &mut conditions, &mut having)
        {
            wrong("filters", detail);
        }
        if !having.is_empty() && query.dimensions.is_empty() {
            wrong(
                "filters",
                "a metric's filter selects rows; without dimensions there is exactly one".to_owned(),
            );
        }
        let condition = (!conditions.is_empty()).then_some(Condition::All(conditions));
        let mentions = |field| condition.as_ref().is_some_and(|condition| condition.mentions(field));
        let groups_by = |field| query.dimensions.contains(&Dimension::Field(field));
        let order = order(query, &mut wrong);
        check_fill(query, &order, !having.is_empty(), &mut wrong);
        if query.limit == 0 || query.limit > LIMIT_MAX {
            wrong("limit", format!("must lie between 1 and {LIMIT_MAX}"));
        }
        if query.offset > OFFSET_MAX {
            wrong("offset", format!("must not exceed {OFFSET_MAX}"));
        }
        if !errors.is_empty() {
            return Err(Problem::fields(errors));
        }

        let money = query.metrics.iter().any(|metric| metric.is_money());
        let one_currency =
            money && !groups_by(Field::Currency) && !condition.as_ref().is_some_and(names_one_currency);
        let currencies = one_currency || (money && query.include.total);
        let width = query.dimensions.iter().find_map(|dimension| match dimension {
            Dimension::Time(width) => Some(*width),
            _ => None,
        });
        let mut plan = Self {
            workspace,
            partner,
            range: resolved.range,
            buckets: width.map(|width| Buckets::new(width, &zone, resolved.range)),
            dimensions: query.dimensions.clone(),
            metrics: query.metrics.clone(),
            having,
            order,
            limit: query.limit as usize,
            offset: query.offset as usize,
            total: query.include.total,
            filled_until: query
                .include
                .zero_fill
                .then(|| now.max(resolved.range.from).min(resolved.range.to)),
            other: query.include.other,
            needs: Needs::of(&query.metrics, currencies),
            with_bots: mentions(Field::Bot) || mentions(Field::Verdict) || groups_by(Field::Verdict),
            exchange: None,
            converts: false,
            one_currency,
            filters: Filters::of(condition.as_ref()),
            zone,
            clicks_only: false,
            compare,
            valid_until: resolved.valid_until,
            asked: query.clone(),
            key: String::new(),
        };
        plan.key = plan.normal_form(condition.as_ref());
        Ok(plan)
    }

    fn normal_form(&self, condition: Option<&Condition>) -> String {
        let having: Vec<_> =
            self.having.iter().map(|h| (h.comparison, h.metric, h.value.to_bits())).collect();
        let rows = (&self.dimensions, &self.metrics, condition, having, &self.order);
        let who = (self.workspace, self.partner, self.range, self.zone.iana_name());
        let more = (self.compare, self.filled_until, self.other, &self.asked.value_of);
        format!("{:?}", (who, rows, self.limit, self.offset, self.total, more))
    }

    /// The same, answered click by click: what it is without [cells](crate::warehouse::cells), for comparing.
    #[must_use]
    pub fn click_by_click(mut self) -> Self {
        self.clicks_only = true;
        self
    }

    /// The normal form: equal for queries that mean the same.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The answer's columns: dimensions, then metrics.
    pub fn columns(&self) -> Vec<Column> {
        let dimensions = self.dimensions.iter().map(|d| Column { name: d.name(), kind: d.column_type() });
        let metrics =
            self.metrics.iter().map(|m| Column { name: m.as_str().to_owned(), kind: m.column_type() });
        dimensions.chain(metrics).collect()
    }

    /// Totals under their metrics' names.
    pub fn name_totals(&self, cells: Vec<Cell>) -> Totals {
        self.metrics.iter().map(|metric| metric.as_str().to_owned()).zip(cells).collect()
    }

    /// Whose facts.
    pub fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// The query as it was asked.
    pub(super) fn asked(&self) -> &Query {
        &self.asked
    }

    /// The range of facts.
    pub fn range(&self) -> Range {
        self.range
    }

    /// From when the range's name (`today`, `24h`) means another range; `None` where it never will.
    pub fn valid_until(&self) -> Option<Timestamp> {
        self.valid_until
    }

    /// Whether [`fold`](super::fold) can keep it. Patterns cannot: RE2 and Rust's expressions differ, so such
    /// a query is run again instead.
    pub fn is_incremental(&self) -> bool {
        let evaluable =
            |condition: &Option<Condition>| condition.as_ref().is_none_or(Condition::is_evaluable);
        let plain = self.compare.is_none() && self.filled_until.is_none() && !self.other;
        plain && evaluable(&self.filters.clicks) && evaluable(&self.filters.paid)
    }

    /// The same over the range to compare with, where asked for.
    pub fn compared(&self) -> Option<Self> {
        let range = self.compare?;
        let width = match self.dimensions.iter().find(|d| matches!(d, Dimension::Time(_))) {
            Some(Dimension::Time(width)) => Some(*width),
            _ => None,
        };
        let mut plan = self.clone();
        plan.range = range;
        plan.compare = None;
        // The compared range is over: all its buckets are told.
        plan.filled_until = plan.filled_until.map(|_| range.to);
        plan.buckets = width.map(|width| Buckets::new(width, &self.zone, range));
        plan.key = format!("{range:?} instead in {}", self.key);
        Some(plan)
    }

    /// The query as understood: its range resolved, its defaults filled in.
    pub fn resolved(&self) -> serde_json::Value {
        let mut query = json!(self.asked);
        let print = |at: Timestamp| range::print_instant(at.0, &self.zone);
        let pair = |range: Range| json!([print(range.from), print(range.to)]);
        query["date_range"] = pair(self.range);
        if let Some(compare) = self.compare {
            query["include"]["compare"] = pair(compare);
        }
        query
    }
}

type Wrong<'a> = dyn FnMut(&str, String) + 'a;

fn check_dimensions(dimensions: &[Dimension], wrong: &mut Wrong<'_>) {
    if dimensions.len() > DIMENSIONS_MAX {
        wrong("dimensions", format!("at most {DIMENSIONS_MAX} are allowed"));
    }
    for (index, dimension) in dimensions.iter().enumerate() {
        let field = format!("dimensions[{index}]");
        let is_time = |d: &Dimension| matches!(d, Dimension::Time(_));
        if dimensions[..index].contains(dimension) {
            wrong(&field, format!("`{}` is named twice", dimension.name()));
        } else if is_time(dimension) && dimensions[..index].iter().any(is_time) {
            wrong(&field, "one time dimension is allowed".to_owned());
        }
    }
}

fn check_metrics(metrics: &[Metric], dimensions: &[Dimension], wrong: &mut Wrong<'_>) {
    if metrics.is_empty() {
        wrong("metrics", format!("name at least one of {}", Metric::names()));
    }
    let by_effects_only = dimensions.iter().find(|dimension| match dimension {
        Dimension::Field(field) => of_effects_only(*field),
        Dimension::Property(_) => true,
        Dimension::Time(_) => false,
    });
    for (index, metric) in metrics.iter().enumerate() {
        let (field, name) = (format!("metrics[{index}]"), metric.as_str());
        let needs = Needs::of(&[*metric], false);
        if metrics[..index].contains(metric) {
            wrong(&field, format!("`{name}` is named twice"));
        } else if let Some(dimension) = by_effects_only
            && needs.clicks()
            && needs.effects()
        {
            let by = dimension.name();
            wrong(
                &field,
                format!("`{name}` cannot be grouped by `{by}`, which clicks do not have; filter by it"),
            );
        }
    }
    if let Some(dimension) = by_effects_only
        && !metrics.is_empty()
        && !Needs::of(metrics, false).effects()
    {
        let by = dimension.name();
        wrong(
            "dimensions",
            format!("`{by}` is known of events, conversions and money only, and no such metric is asked for"),
        );
    }
}

fn check_fill(query: &Query, order: &[(OrderBy, Direction)], having: bool, wrong: &mut Wrong<'_>) {
    let include = &query.include;
    if include.zero_fill {
        let alone = matches!(query.dimensions.as_slice(), [Dimension::Time(_)]);
        let by_time = matches!(order.first(), Some((OrderBy::Dimension(0), _)));
        if !alone || !by_time || having {
            let detail = "needs a time as the only dimension, rows in its order and no filter on a metric";
            wrong("include.zero_fill", detail.to_owned());
        }
    }
    if include.other && (query.dimensions.is_empty() || include.zero_fill) {
        let detail = "needs dimensions, and is not told with `zero_fill`";
        wrong("include.other", detail.to_owned());
    }
}

/// Takes the conditions on metrics, which select rows, out of the top-level `and`s.
fn split(
    filter: &Filter,
    metrics: &[Metric],
    conditions: &mut Vec<Condition>,
    having: &mut Vec<Having>,
) -> Result<(), String> {
    match filter {
        Filter::And(parts) => parts.iter().try_for_each(|part| split(part, metrics, conditions, having)),
        Filter::Having(comparison, metric, value) => {
            let name = metric.as_str();
            let index = metrics.iter().position(|asked| asked == metric);
            let metric =
                index.ok_or_else(|| format!("`{name}` must be among `metrics` to select rows by it"))?;
            having.push(Having { comparison: *comparison, metric, value: *value });
            Ok(())
        }
        other => {
            conditions.push(condition::compile(other)?);
            Ok(())
        }
    }
}

/// Whether one of the conditions that must all hold allows a single currency.
fn names_one_currency(condition: &Condition) -> bool {
    match condition {
        Condition::All(parts) => parts.iter().any(names_one_currency),
        Condition::TextIn(Field::Currency, values) => values.len() == 1,
        _ => false,
    }
}

fn order(query: &Query, wrong: &mut Wrong<'_>) -> Vec<(OrderBy, Direction)> {
    let mut order = Vec::new();
    for (index, (name, direction)) in query.order_by.iter().enumerate() {
        let dimension = query.dimensions.iter().position(|d| d.name() == *name).map(OrderBy::Dimension);
        let metric = || query.metrics.iter().position(|m| m.as_str() == name).map(OrderBy::Metric);
        match dimension.or_else(metric) {
            Some(by) => order.push((by, *direction)),
            None => wrong(
                &format!("order_by[{index}]"),
                format!("`{name}` is not a column of the answer: order by one of its dimensions or metrics"),
            ),
        }
    }
    if query.order_by.is_empty() {
        let time = query.dimensions.iter().position(|d| matches!(d, Dimension::Time(_)));
        match time {
            Some(time) => order.push((OrderBy::Dimension(time), Direction::Asc)),
            None if !query.metrics.is_empty() => order.push((OrderBy::Metric(0), Direction::Desc)),
            None => {}
        }
    }
    // Ties by dimensions: the order never depends on chance.
    for dimension in 0..query.dimensions.len() {
        let by = OrderBy::Dimension(dimension);
        if !order.iter().any(|(held, _)| *held == by) {
            order.push((by, Direction::Asc));
        }
    }
    order
}

impl Filters {
    fn of(condition: Option<&Condition>) -> Self {
        let Some(condition) = condition else { return Self::default() };
        Self { clicks: condition.of_clicks(), paid: Some(condition.clone()), unpaid: condition.of_unpaid() }
    }
}

impl Plan {
    /// Whether a metric is nothing but one sum, so that SQL can order by it.
    pub(super) fn is_plain(metric: Metric) -> bool {
        parts(metric).len() == 1 && !metric.is_level()
    }

    /// The width of the time dimension, if there is one.
    pub fn time_bucket(&self) -> Option<TimeBucket> {
        self.dimensions.iter().find_map(|dimension| match dimension {
            Dimension::Time(width) => Some(*width),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
