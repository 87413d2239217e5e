//! Which cells (clicks added up beforehand, [`crate::warehouse::cells`]) answer a plan, and as which sources of its
//! statement. A plan that groups and filters clicks by at most one field that has cells is covered like this:
//!
//! ```text
//! sequences   from                                       to
//!   > folded  |------------------ clicks ----------------|      not folded yet
//!   ≤ folded  |clicks| short | longer |  longest  | short |     what no whole cell holds is read click by click
//! ```
//!
//! A moment is told by the longest cell that lies in the range and, where a time zone cuts cells in two, in one bucket.
//! Cells that hold a day in which a late verdict took a click away are left aside where visitors are asked for, and the
//! day is read click by click. So each click is in exactly one source, and states of all sources merge: the answer is
//! the one that clicks alone would give.

use clickhouse::Client;
use weir_schemas::ids::Sequence;
use weir_schemas::query::{Dimension, Field};
use weir_schemas::time::{DAY_MS, HOUR_MS};

use super::bucket::Buckets;
use super::condition::{FieldKind, kind};
use super::execute::QueryError;
use super::plan::Plan;
use super::sql::{Mode, Parameter, Statement, Table, between, group_by, key, predicate, sum_name};
use super::states::Sum;
use super::visitors::{VISITORS_EXACT_MAX, register_sql};
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

/// How a statement's clicks are put together from cells and clicks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cover {
    field: Option<Field>,
    steps: Vec<u64>,
    /// Up to where there are cells.
    folded: Sequence,
    /// From the longest cells to the shortest, which hold what all hold together.
    levels: Vec<Level>,
    /// The first moments of days with late verdicts.
    restated: Vec<i64>,
    /// All exact sets are read: without them a row was left undecided.
    pub(super) complete: bool,
}

/// Cells of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Level {
    grain: Grain,
    /// The whole cells in the plan's range: the first moment, and the first behind them.
    range: (i64, i64),
    /// Each lies in one bucket.
    in_buckets: bool,
    /// The hours of the day (of UTC, a bit each) of cells in which a day of the zone may begin: those are not read.
    cut: u32,
}

impl Level {
    /// In which hours of the day (of UTC) there are cells of `shorter` that none of these holds, where it is in few:
    /// those of cells in which the range or a bucket begins or ends. Of the others nothing is read.
    fn hours_left_to(&self, shorter: &Self) -> Option<String> {
        let length = self.grain.length();
        if length >= DAY_MS || !self.in_buckets && self.cut == 0 {
            return None;
        }
        let mut left = self.cut;
        if shorter.range.0 < self.range.0 {
            left |= hours_around(shorter.range.0, length);
        }
        if self.range.1 < shorter.range.1 {
            left |= hours_around(self.range.1, length);
        }
        (left != 0).then(|| hours(left))
    }
}

/// The hours of the day, a bit each, of the cell in which a moment lies.
fn hours_around(at: i64, length: i64) -> u32 {
    let first = at.rem_euclid(DAY_MS).div_euclid(length) * length;
    (first..first + length).step_by(HOUR_MS as usize).fold(0, |hours, at| hours | 1 << (at / HOUR_MS))
}

fn hours(bits: u32) -> String {
    let texts: Vec<String> =
        (0..24).filter(|hour| bits >> hour & 1 == 1).map(|hour| hour.to_string()).collect();
    texts.join(", ")
}

/// What ClickHouse says as of a sequence before a plan's statements are made.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// The steps of cells, where the plan can be covered at all.
    steps: Vec<Step>,
    /// The first moments of days with late verdicts, where such may take a visitor or a latency away.
    restated: Vec<i64>,
}

/// How a statement reads clicks.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// `None`: click by click.
    pub(super) cover: Option<Cover>,
    /// No late verdict took a click of the plan's range away.
    pub(super) all_stand: bool,
}

/// Asks what a plan's statements as of `upto` are made by.
pub(super) async fn look(client: &Client, plan: &Plan, upto: Sequence) -> Result<Looked, QueryError> {
    // Whether there is a cover is not a question of the steps: most plans without one are known before asking.
    let any = [Step { step: 0, after: 0, upto: 1, cells: 0 }];
    let is_covered = [Mode::Values, Mode::Total].iter().any(|mode| Cover::of(plan, *mode, &any).is_some());
    let steps = async { if is_covered { cells::steps(client, upto).await } else { Ok(Vec::new()) } };
    let restated = async {
        match plan.needs.visitors || plan.needs.latency {
            true => restated_days(client, plan, upto).await,
            false => Ok(Vec::new()),
        }
    };
    let (steps, restated) = tokio::try_join!(steps, restated)?;
    Ok(Looked { steps, restated })
}

impl Looked {
    /// How a plan's statement of this mode reads clicks.
    pub(super) fn reading(&self, plan: &Plan, mode: Mode) -> Reading {
        let few = self.restated.len() <= RESTATED_DAYS_MAX;
        let cover = Cover::of(plan, mode, &self.steps).filter(|_| few);
        let restated = self.restated.clone();
        Reading { cover: cover.map(|cover| Cover { restated, ..cover }), all_stand: self.restated.is_empty() }
    }
}

/// The first moments of the days of a plan's range with late verdicts, one more than are read click by click.
async fn restated_days(
    client: &Client,
    plan: &Plan,
    upto: Sequence,
) -> Result<Vec<i64>, clickhouse::error::Error> {
    let sql = format!(
        "SELECT DISTINCT toUnixTimestamp64Milli(toDateTime64(toStartOfDay(at), 3, 'UTC')) AS day FROM effects \
         WHERE workspace = {} AND {} AND seq <= {{upto:UInt64}} AND verdict != '' ORDER BY day LIMIT {}",
        plan.workspace.0,
        between((plan.range.from.0, plan.range.to.0)),
        RESTATED_DAYS_MAX + 1
    );
    client.query(&sql).param("upto", upto).fetch_all().await
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
        let kept = KEPT.iter().find(|kept| kept.field == field && (kept.visitors || !needs.visitors))?;
        let buckets = plan.buckets.as_ref().filter(|_| mode != Mode::Total);
        let (from, to) = (plan.range.from.0, plan.range.to.0);
        let level = |grain: Grain| {
            let length = grain.length();
            let range = (-(-from).div_euclid(length) * length, to.div_euclid(length) * length);
            let in_buckets = buckets.is_none_or(|buckets| buckets.are_made_of(length));
            let some = in_buckets || buckets.is_some_and(|buckets| buckets.may_hold(length));
            // Only where no cell of a day or more is read: within one, each shorter cell must be held, too.
            let daily = buckets.filter(|buckets| !in_buckets && length < DAY_MS && !buckets.may_hold(DAY_MS));
            let cut =
                daily.map_or(0, |buckets| buckets.cuts().fold(0, |cut, at| cut | hours_around(at, length)));
            (some && range.0 < range.1).then_some(Level { grain, range, in_buckets, cut })
        };
        let grains = Grain::ALL.into_iter().filter(|grain| *grain >= kept.finest);
        let levels: Vec<Level> = grains.rev().filter_map(level).collect();
        levels.last().filter(|finest| finest.grain == kept.finest && finest.in_buckets)?;
        Some(Self {
            field,
            steps: steps.iter().map(|step| step.step).collect(),
            folded: cells::end(steps),
            levels,
            restated: Vec::new(),
            complete: false,
        })
    }

    /// Of which cells the answer is made.
    fn levels(&self) -> impl Iterator<Item = &Level> {
        self.levels.iter().filter(|level| !self.complete || level.grain.has_sets())
    }

    /// What whole cells hold, late verdicts aside.
    fn inside(&self) -> (i64, i64) {
        self.levels.last().map_or((0, 0), |finest| finest.range)
    }

    /// Whether the cell of a level in which `at` lies is one of the answer's, unless a longer one is.
    fn holds(&self, level: &Level, buckets: Option<&Buckets>) -> String {
        let mut terms = vec![between(level.range)];
        if level.cut != 0 {
            // Whether a bucket begins there on that day is not asked: offsets of a hundred years are much to read.
            terms.push(format!("toHour(at) NOT IN ({})", hours(level.cut)));
        } else if let Some(buckets) = buckets.filter(|_| !level.in_buckets) {
            let first = level.grain.start_sql("at");
            let last = format!("addMilliseconds({first}, {})", level.grain.length() - 1);
            terms.push(format!("{} = {}", buckets.sql(&first), buckets.sql(&last)));
        }
        terms.extend(self.restated(level.grain).map(|restated| format!("NOT {restated}")));
        format!("({})", terms.join(" AND "))
    }

    /// The longer cells hold all that the shorter ones do.
    fn leaves_nothing(&self, longer: &Level, shorter: &Level) -> bool {
        let restated_alike = self.restated.is_empty() || longer.grain <= Grain::Day;
        longer.in_buckets && longer.range == shorter.range && restated_alike
    }

    /// The source that is cells.
    pub(super) fn cells(&self, plan: &Plan, dimensions: &[Dimension], statement: &mut Statement) -> String {
        let buckets = plan.buckets.as_ref().filter(|_| !dimensions.is_empty());
        let mut terms: Vec<String> = Vec::new();
        let mut longer: Option<&Level> = None;
        for level in self.levels() {
            if longer.is_some_and(|longer| self.leaves_nothing(longer, level)) {
                continue;
            }
            let mut term = format!("grain = '{}' AND {}", level.grain.as_str(), self.holds(level, buckets));
            if let Some(longer) = longer {
                // What a longer cell holds, every shorter one within it would, too.
                term.push_str(&format!(" AND NOT {}", self.holds(longer, buckets)));
                let hours = longer.hours_left_to(level);
                term.extend(hours.map(|hours| format!(" AND toHour(at) IN ({hours})")));
            }
            terms.push(format!("({term})"));
            longer = Some(level);
        }
        self.source(plan, dimensions, &terms.join(" OR "), statement)
    }

    /// What is read of `clicks` beside the cells: each a term for a source of its own.
    pub(super) fn clicks(&self, plan: &Plan, upto: Sequence) -> Vec<String> {
        let (folded, inside) = (self.folded, self.inside());
        let held = between(inside);
        let mut pieces = Vec::new();
        if plan.range.from.0 < inside.0 || inside.1 < plan.range.to.0 {
            pieces.push(format!("seq <= {folded} AND NOT ({held})"));
        }
        if let Some(restated) = self.restated(Grain::Day) {
            pieces.push(format!("seq <= {folded} AND {held} AND {restated}"));
        }
        if upto > folded {
            pieces.push(format!("seq > {folded}"));
        }
        pieces
    }

    /// The cell of this length in which `at` lies has a part of a day that is read click by click.
    fn restated(&self, grain: Grain) -> Option<String> {
        let length = grain.length().max(DAY_MS);
        let cells: Vec<String> = self.restated.iter().map(|day| day.div_euclid(length).to_string()).collect();
        let cell = format!("intDiv(toUnixTimestamp64Milli(at), {length})");
        (!cells.is_empty()).then(|| format!("({cell} IN ({}))", cells.join(", ")))
    }

    fn source(
        &self,
        plan: &Plan,
        dimensions: &[Dimension],
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
        // The cell's value under its field's name, so that keys and conditions are those of clicks.
        let value = |field: Field| {
            let column = if kind(field) == FieldKind::Text { "text" } else { "number" };
            format!("WITH {column} AS {} ", field.as_str())
        };
        let value = self.field.map(value).unwrap_or_default();
        let steps = statement.bind(Parameter::Numbers(self.steps.clone()));
        let (workspace, dimension) = (plan.workspace.0, self.field.map_or("", Field::as_str));
        let mut wheres = format!(
            "workspace = {workspace} AND dimension = '{dimension}' AND ({terms}) AND step IN {steps}"
        );
        if let Some(condition) = &plan.filters.clicks {
            wheres.push_str(&format!(" AND {}", predicate(condition, Table::Clicks, statement)));
        }
        let group = group_by(dimensions, Table::Clicks);
        format!("{value}SELECT {} FROM click_cells WHERE {wheres}{group}", columns.join(", "))
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
                format!("groupUniqArrayArray(arrayConcat(arrayMap(x -> {register}, few), high)) AS r"),
            ],
            [
                // In unary what has one of the bits has them all: one instruction for 16 registers, where
                // `maxForEach` has a call for each.
                "groupBitOrForEach(registers) AS g".to_owned(),
                format!("max(if(visitors > {held}, visitors, toUInt32(0))) AS m"),
            ],
        ]
    }
}

/// The columns that only cells have, of a source that is none of cells.
pub(super) fn none() -> Vec<String> {
    vec!["CAST([], 'Array(UInt256)') AS g".to_owned(), "toUInt32(0) AS m".to_owned()]
}

/// The outer columns of visitors where some sources are cells: whether there are more than fit a set, the set,
/// registers packed and in unary, and the number of the largest cell whose set was not read.
pub(super) fn outer() -> Vec<String> {
    let set = format!("groupUniqArrayArray({})(v)", VISITORS_EXACT_MAX + 1);
    vec![
        format!("toUInt8(length({set}) > {VISITORS_EXACT_MAX}) AS visitors_many"),
        format!("if(visitors_many, CAST([], 'Array(UInt64)'), {set}) AS visitors_set"),
        "max(m) AS visitors_largest".to_owned(),
        "if(visitors_many = 0 AND visitors_largest = 0, CAST([], 'Array(UInt32)'), groupUniqArrayArray(r)) \
         AS visitors_registers"
            .to_owned(),
        // Of one source only, and in one row of it: joined rather than compared value by value.
        "groupArrayArray(g) AS visitors_unary".to_owned(),
    ]
}

/// Whether anybody came, in the terms of [`outer`].
pub(super) const VISITED: &str = "visitors_many OR notEmpty(visitors_set) OR visitors_largest != 0";

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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use weir_schemas::ids::WorkspaceId;
    use weir_schemas::time::Timestamp;

    use super::*;

    /// The lengths of cells that visitors by day of a zone are read from, and the terms that say so.
    fn read(zone: &str, range: serde_json::Value) -> (Vec<&'static str>, String) {
        let query = json!({"metrics": ["visitors"], "dimensions": ["time:day"], "timezone": zone,
            "date_range": range});
        let query = serde_json::from_value(query).unwrap();
        let now = Timestamp::parse("2026-06-15T12:00:00Z").unwrap();
        let plan = Plan::build(&query, WorkspaceId(1), now, None).unwrap();
        let steps = [Step { step: 1, after: 0, upto: 10, cells: 1 }];
        let cover = Cover::of(&plan, Mode::Values, &steps).unwrap();
        let sql = cover.cells(&plan, &plan.dimensions, &mut Statement::default());
        let named =
            Grain::ALL.map(Grain::as_str).into_iter().filter(|name| sql.contains(&format!("'{name}'")));
        (named.collect(), sql)
    }

    #[test]
    fn no_cells_are_read_that_longer_ones_hold() {
        assert_eq!(read("UTC", json!("30d")).0, ["1d"]);
        let (lengths, sql) = read("Europe/Berlin", json!("all"));
        assert_eq!(lengths, ["1h", "4h"]);
        // A day begins at 22 or at 23; both lie in the same four hours.
        assert!(
            sql.contains("toHour(at) IN (20, 21, 22, 23)")
                && sql.contains("toHour(at) NOT IN (20, 21, 22, 23)")
        );
        // Half an hour is in no cell of an hour.
        let (lengths, sql) = read("Asia/Kolkata", json!("30d"));
        assert_eq!(lengths, ["15m", "1h", "4h"]);
        assert!(
            sql.contains("toHour(at) IN (16, 17, 18, 19)") && sql.contains("toHour(at) IN (18)"),
            "{sql}"
        );
    }

    #[test]
    fn the_edges_of_a_range_are_read_from_short_cells() {
        let (lengths, sql) = read("UTC", json!(["2026-03-02T05:00:00Z", "2026-03-20T22:15:00Z"]));
        assert_eq!(lengths, ["15m", "1h", "4h", "1d"]);
        let hours: Vec<&str> =
            sql.split("toHour(at) IN (").skip(1).filter_map(|rest| rest.split(')').next()).collect();
        assert_eq!(hours, ["4, 5, 6, 7, 20, 21, 22, 23", "22"]);
    }
}
