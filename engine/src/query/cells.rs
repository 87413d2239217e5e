//! Which cells (clicks added up beforehand, [`crate::warehouse::cells`]) answer a plan, and as which sources of its
//! statement. A plan that groups and filters clicks by at most one field that has cells is covered like this:
//!
//! ```text
//! sequences   from                                  to
//!   > folded  |------------- clicks ----------------|      not folded yet
//!   ≤ folded  |clicks| fine |    days     | fine |clicks|  what no whole cell holds is read click by click
//! ```
//!
//! Fine cells (quarters of an hour; hours where visitors are asked for) also stand for the days that a time
//! zone cuts in two. Days in which a late verdict took a click away are read click by click where visitors
//! are asked for. So each click is in exactly one source, and states of all sources merge: the answer is the
//! one that clicks alone would give.

use clickhouse::Client;
use weir_schemas::ids::Sequence;
use weir_schemas::query::{Dimension, Field};
use weir_schemas::time::DAY_MS;

use super::condition::{FieldKind, kind};
use super::execute::QueryError;
use super::plan::Plan;
use super::sql::{Mode, Parameter, Statement, Table, key, predicate, sum_name};
use super::states::Sum;
use super::visitors::{REGISTERS, VISITORS_EXACT_MAX, register_sql};
use crate::warehouse::cells::{self, FEW_MAX, Grain, KEPT, Step};

/// Most days that are read click by click for their late verdicts; with more of them the whole range is.
const RESTATED_DAYS_MAX: usize = 31;

/// A field's value as `text` and `number` of a cell, as expressions over `clicks`.
pub(crate) fn value_of(field: Option<Field>) -> (String, String) {
    let none = ("''".to_owned(), "toUInt64(0)".to_owned());
    match field {
        None => none,
        Some(field) if kind(field) == FieldKind::Text => {
            (format!("CAST({}, 'String')", field.as_str()), none.1)
        }
        Some(field) => (none.0, format!("toUInt64({})", field.as_str())),
    }
}

/// The registers that an array of `register * 64 + value` stands for, one byte each.
pub(crate) fn dense_sql(packed: &str) -> String {
    // The largest value of each register comes first, and the first one stays.
    let sorted = format!("arrayReverseSort({packed})");
    format!(
        "arrayReduce('groupArrayInsertAt(0, {REGISTERS})', arrayMap(x -> toUInt8(modulo(x, 64)), {sorted}), \
         arrayMap(x -> toUInt32(intDiv(x, 64)), {sorted}))"
    )
}

/// How a statement's clicks are put together from cells and clicks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cover {
    field: Option<Field>,
    steps: Vec<u64>,
    /// Up to where there are cells.
    folded: Sequence,
    /// Whole days, from and to, where days are cells of the plan.
    days: Option<(i64, i64)>,
    /// A day counts only where it lies in one bucket.
    days_in_buckets: bool,
    fine: Option<Grain>,
    /// What cells hold, from and to.
    inside: (i64, i64),
    /// The first moments of days with late verdicts.
    restated: Vec<i64>,
    /// All exact sets are read: without them a row was left undecided.
    pub(super) complete: bool,
}

/// The cover of a plan as of `upto`; `None` where it is read click by click.
pub(super) async fn cover(
    client: &Client,
    plan: &Plan,
    mode: Mode,
    upto: Sequence,
) -> Result<Option<Cover>, QueryError> {
    // Whether there is one is not a question of the steps: most plans without one are known before asking.
    let any = [Step { step: 0, after: 0, upto: 1, cells: 0 }];
    if Cover::of(plan, mode, &any).is_none() {
        return Ok(None);
    }
    let Some(mut cover) = Cover::of(plan, mode, &cells::steps(client, upto).await?) else { return Ok(None) };
    if plan.needs.visitors {
        let sql = format!(
            "SELECT DISTINCT toUnixTimestamp64Milli(toDateTime64(toStartOfDay(at), 3, 'UTC')) AS day FROM effects \
             WHERE workspace = {} AND at >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') \
             AND at < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC') AND seq <= {{upto:UInt64}} AND verdict != '' \
             ORDER BY day LIMIT {}",
            plan.workspace.0,
            RESTATED_DAYS_MAX + 1
        );
        let asked = client.query(&sql).param("from", plan.range.from.0).param("to", plan.range.to.0);
        cover.restated = asked.param("upto", upto).fetch_all().await?;
        if cover.restated.len() > RESTATED_DAYS_MAX {
            return Ok(None);
        }
    }
    Ok(Some(cover))
}

impl Cover {
    fn of(plan: &Plan, mode: Mode, steps: &[Step]) -> Option<Self> {
        let needs = &plan.needs;
        let other = plan.clicks_only
            || plan.with_bots
            || plan.partner.is_some()
            || needs.latency
            || needs.extremes
            || !needs.clicks();
        if other || steps.is_empty() {
            return None;
        }
        let dimensions: &[Dimension] = if mode == Mode::Total { &[] } else { &plan.dimensions };
        let field = only_field(plan, dimensions)?;
        let kept = |grain: Grain| {
            KEPT.iter()
                .any(|kept| kept.field == field && kept.grain == grain && (kept.visitors || !needs.visitors))
        };
        let buckets = plan.buckets.as_ref().filter(|_| mode != Mode::Total);
        let whole = |grain: Grain| buckets.is_none_or(|buckets| buckets.are_made_of(grain.length()));
        // The shortest cells there are, and days before them where a day is in one bucket (or may be).
        let fine = [Grain::Quarter, Grain::Hour].into_iter().find(|grain| kept(*grain));
        if fine.is_some_and(|fine| !whole(fine))
            || !kept(Grain::Day)
            || (fine.is_none() && !whole(Grain::Day))
        {
            return None;
        }
        let (from, to) = (plan.range.from.0, plan.range.to.0);
        let cut = |grain: Grain| {
            let length = grain.length();
            let (first, last) = (-(-from).div_euclid(length) * length, to.div_euclid(length) * length);
            (first < last).then_some((first, last))
        };
        let days = match buckets {
            Some(buckets) if !buckets.may_hold_days() => None,
            _ => cut(Grain::Day),
        };
        Some(Self {
            field,
            steps: steps.iter().map(|step| step.step).collect(),
            folded: cells::end(steps),
            days,
            days_in_buckets: !whole(Grain::Day),
            fine,
            inside: cut(fine.unwrap_or(Grain::Day))?,
            restated: Vec::new(),
            complete: false,
        })
    }

    /// The sources that are cells.
    pub(super) fn cells(
        &self,
        plan: &Plan,
        dimensions: &[Dimension],
        statement: &mut Statement,
    ) -> Vec<String> {
        let buckets = plan.buckets.as_ref().filter(|_| self.days_in_buckets && !dimensions.is_empty());
        let day = |at: &str| {
            let Some((from, to)) = self.days else { return "false".to_owned() };
            match buckets {
                Some(buckets) => {
                    let last = format!("addMilliseconds({at}, {})", DAY_MS - 1);
                    format!("({} AND {} = {})", between(at, from, to), buckets.sql(at), buckets.sql(&last))
                }
                None => between(at, from, to),
            }
        };
        let standing = self.restated().map_or(String::new(), |restated| format!(" AND NOT {restated}"));
        let mut sources = Vec::new();
        if self.days.is_some() {
            let terms = format!("{}{standing}", day("at"));
            sources.push(self.source(plan, dimensions, Grain::Day, &terms, statement));
        }
        if let Some(fine) = self.fine {
            let of_day = day("toDateTime64(toStartOfDay(at), 3, 'UTC')");
            let (from, to) = self.inside;
            let terms = format!("{} AND NOT {of_day}{standing}", between("at", from, to));
            sources.push(self.source(plan, dimensions, fine, &terms, statement));
        }
        sources
    }

    /// What is read of `clicks` beside the cells: each a term for a source of its own.
    pub(super) fn clicks(&self, plan: &Plan, upto: Sequence) -> Vec<String> {
        let (folded, (from, to)) = (self.folded, self.inside);
        let held = between("at", from, to);
        let mut pieces = Vec::new();
        if plan.range.from.0 < from || to < plan.range.to.0 {
            pieces.push(format!("seq <= {folded} AND NOT {held}"));
        }
        if let Some(restated) = self.restated() {
            pieces.push(format!("seq <= {folded} AND {held} AND {restated}"));
        }
        if upto > folded {
            pieces.push(format!("seq > {folded}"));
        }
        pieces
    }

    /// A moment lies in a day that is read click by click.
    fn restated(&self) -> Option<String> {
        let days: Vec<String> =
            self.restated.iter().map(|ms| format!("toDateTime({}, 'UTC')", ms / 1_000)).collect();
        (!days.is_empty()).then(|| format!("(toStartOfDay(at) IN ({}))", days.join(", ")))
    }

    fn source(
        &self,
        plan: &Plan,
        dimensions: &[Dimension],
        grain: Grain,
        terms: &str,
        statement: &mut Statement,
    ) -> String {
        let needs = &plan.needs;
        let keys: Vec<String> = dimensions.iter().map(|d| key(plan, d, Table::Clicks, statement)).collect();
        let mut columns: Vec<String> =
            keys.iter().enumerate().map(|(index, key)| format!("{key} AS k{index}")).collect();
        for sum in &needs.sums {
            let count = match sum {
                Sum::Clicks => "sum(clicks)",
                Sum::OrphanClicks => "sum(orphans)",
                Sum::BotClicks => "sum(bots)",
                Sum::Hits => "sum(hits)",
                _ => "0",
            };
            columns.push(format!("toInt128({count}) AS {}", sum_name(*sum)));
        }
        let [sets, registers] = self.visitors();
        if needs.visitors {
            columns.extend(sets);
        }
        if needs.currencies {
            columns.push("CAST([], 'Array(String)') AS c".to_owned());
        }
        if needs.visitors {
            columns.extend(registers);
        }
        let mut inner = "at, clicks, orphans, bots, hits, visitors, few, several, registers".to_owned();
        if let Some(field) = self.field {
            let column = if kind(field) == FieldKind::Text { "text" } else { "number" };
            inner.push_str(&format!(", {column} AS {}", field.as_str()));
        }
        let steps = statement.bind(Parameter::Numbers(self.steps.clone()));
        let (workspace, dimension) = (plan.workspace.0, self.field.map_or("", Field::as_str));
        let from = format!(
            "(SELECT {inner} FROM click_cells WHERE workspace = {workspace} AND dimension = '{dimension}' \
             AND grain = '{}' AND {terms} AND step IN {steps})",
            grain.as_str()
        );
        let filter = match &plan.filters.clicks {
            Some(condition) => format!(" WHERE {}", predicate(condition, Table::Clicks, statement)),
            None => String::new(),
        };
        let names: Vec<String> = (0..keys.len()).map(|index| format!("k{index}")).collect();
        let group = if names.is_empty() { String::new() } else { format!(" GROUP BY {}", names.join(", ")) };
        format!("SELECT {} FROM {from}{filter}{group}", columns.join(", "))
    }

    /// The columns that clicks have too, and those that only cells have.
    fn visitors(&self) -> [[String; 2]; 2] {
        let most = VISITORS_EXACT_MAX + 1;
        let (sets, held) = match self.complete {
            true => ("arrayConcat(few, several)", VISITORS_EXACT_MAX),
            false => ("few", FEW_MAX),
        };
        let register = register_sql("x");
        [
            [
                format!("groupUniqArrayArray({most})({sets}) AS v"),
                format!("groupUniqArrayArray(arrayMap(x -> {register}, few)) AS r"),
            ],
            [
                "maxForEach(registers) AS g".to_owned(),
                format!("max(if(visitors > {held}, visitors, toUInt32(0))) AS m"),
            ],
        ]
    }
}

/// A source that is none of cells, with what those have of visitors.
pub(super) fn beside(source: &str) -> String {
    format!("SELECT *, CAST([], 'Array(UInt8)') AS g, toUInt32(0) AS m FROM ({source})")
}

/// The outer columns of visitors where some sources are cells: whether there are more than fit a set, the set,
/// registers packed and one by one, and the number of the largest cell whose set was not read.
pub(super) fn outer() -> Vec<String> {
    let set = format!("groupUniqArrayArray({})(v)", VISITORS_EXACT_MAX + 1);
    vec![
        format!("toUInt8(length({set}) > {VISITORS_EXACT_MAX}) AS visitors_many"),
        format!("if(visitors_many, CAST([], 'Array(UInt64)'), {set}) AS visitors_set"),
        "max(m) AS visitors_largest".to_owned(),
        "if(visitors_many = 0 AND visitors_largest = 0, CAST([], 'Array(UInt32)'), groupUniqArrayArray(r)) \
         AS visitors_registers"
            .to_owned(),
        "maxForEach(g) AS visitors_dense".to_owned(),
    ]
}

/// Whether anybody came, in the terms of [`outer`].
pub(super) const VISITED: &str = "visitors_many OR notEmpty(visitors_set) OR visitors_largest != 0";

fn between(at: &str, from: i64, to: i64) -> String {
    let moment = |ms: i64| format!("fromUnixTimestamp64Milli(toInt64({ms}), 'UTC')");
    format!("({at} >= {} AND {at} < {})", moment(from), moment(to))
}

/// The one field that a plan groups and filters clicks by; `Some(None)` where there is none, `None` where there are
/// several or what has no cells.
fn only_field(plan: &Plan, dimensions: &[Dimension]) -> Option<Option<Field>> {
    let mut fields = Vec::new();
    for dimension in dimensions {
        match dimension {
            Dimension::Field(field) => fields.push(*field),
            Dimension::Property(_) => return None,
            Dimension::Time(_) => {}
        }
    }
    if let Some(condition) = &plan.filters.clicks {
        fields.extend(condition.fields()?);
    }
    fields.dedup();
    match fields.as_slice() {
        [] => Some(None),
        [field] => Some(Some(*field)),
        _ => None,
    }
}
