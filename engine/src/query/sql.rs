//! A plan as one SQL statement. Clicks and effects are each filtered and grouped, then put together by an
//! outer grouping. Text of a query reaches ClickHouse only as server-side parameters; what is written into
//! the statement are names of columns and numbers that were computed here. Long, because it is one statement,
//! read from its top to its bottom.
//!
//! Every row of the answer is: the dimensions, the sums as Int128, then for [`Mode::Values`] the visitors'
//! exact count and the histogram of registers, for [`Mode::States`] the visitors' set and the packed
//! registers, then the latency's buckets and counts, then the currencies met, then the ends of numbers
//! ([`super::measure`]). [`super::state_rows`] reads them.

use weir_schemas::ids::Sequence;
use weir_schemas::query::{Dimension, Direction, Field};
use weir_schemas::time::Timestamp;

use super::cells::{self, Reading};
use super::condition::{BROWSER, Condition, FieldKind, kind, of_effects_only};
use super::fold::GROUPS_MAX;
use super::plan::{OrderBy, Plan};
use super::states::{Needs, Sum, parts};
use super::visitors::{REGISTERS, VISITORS_EXACT_MAX, register_sql};
use super::{exchange, latency, measure, visitors};

/// The first and the last moment that `DateTime64(3)` tells: years 1900 to 2299.
const MOMENTS: (i64, i64) = (-2_208_988_800_000, 10_413_791_999_999);

/// What the rows of a statement are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What cells are made of, ordered and cut off by ClickHouse where it can.
    Values,
    /// States that go on growing in memory: every group, in no order.
    States,
    /// The values of a single row over everything.
    Total,
}

/// A server-side parameter's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parameter {
    /// `Array(String)`, each text in hexadecimal: how many times a server undoes escapes inside arrays
    /// differs between its ways in, and these need none.
    Texts(Vec<String>),
    /// `Array(UInt64)`
    Numbers(Vec<u64>),
    /// `Int64`
    Integer(i64),
    /// `UInt64`
    Unsigned(u64),
}

/// A statement and its parameters `p0`, `p1`, …
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statement {
    /// The text, without a FORMAT.
    pub sql: String,
    /// In the order of their numbers.
    pub parameters: Vec<Parameter>,
}

impl Statement {
    /// Adds a parameter; gives the expression that stands for it.
    pub(super) fn bind(&mut self, value: Parameter) -> String {
        let kind = match value {
            Parameter::Texts(_) => "Array(String)",
            Parameter::Numbers(_) => "Array(UInt64)",
            Parameter::Integer(_) => "Int64",
            Parameter::Unsigned(_) => "UInt64",
        };
        let texts = matches!(value, Parameter::Texts(_));
        self.parameters.push(value);
        let placeholder = format!("{{p{}:{kind}}}", self.parameters.len() - 1);
        if texts { format!("arrayMap(hex -> unhex(hex), {placeholder})") } else { placeholder }
    }
}

/// Whether ClickHouse can order the plan's rows and cut them off: not by metrics that only Rust finishes.
pub(super) fn can_order(plan: &Plan) -> bool {
    let plain = |index: usize| {
        let metric = plan.metrics[index];
        Plan::is_plain(metric) && !(plan.converts && metric.is_money())
    };
    plan.having.is_empty()
        && plan.order.iter().all(|(by, _)| match by {
            OrderBy::Dimension(_) => true,
            OrderBy::Metric(index) => plain(*index),
        })
}

/// The plan's statement over everything up to `upto`.
pub(super) fn statement(plan: &Plan, upto: Sequence, mode: Mode, reading: &Reading) -> Statement {
    let dimensions: &[Dimension] = if mode == Mode::Total { &[] } else { &plan.dimensions };
    let mut statement = Statement::default();
    let sources = Sources { plan, dimensions, upto, reading };
    let visited = sources.visitors_of_cells();
    let sources = sources.all(&mut statement);
    let keys: Vec<String> = (0..dimensions.len()).map(|index| format!("k{index}")).collect();
    let columns: Vec<String> = keys.iter().cloned().chain(outer(&plan.needs, mode, visited)).collect();
    let mut sql = format!("SELECT {}\nFROM (\n{}\n)", columns.join(", "), sources.join("\nUNION ALL\n"));
    if !keys.is_empty() {
        sql.push_str(&format!("\nGROUP BY {}", keys.join(", ")));
        if mode == Mode::Values {
            sql.push_str(&format!("\nHAVING {}", exists(&plan.needs, visited)));
        }
        if mode == Mode::Values && can_order(plan) {
            sql.push_str(&format!("\nORDER BY {}", order(plan).join(", ")));
            sql.push_str(&format!("\nLIMIT {} OFFSET {}", plan.limit, plan.offset));
        } else {
            sql.push_str(&format!("\nLIMIT {}", GROUPS_MAX + 1));
        }
    }
    let of_links = plan.filters.clicks.as_ref().is_some_and(|condition| condition.mentions(Field::Link));
    if reading.cover.is_some() || !of_links {
        // The projection by link has no index by sequence; ClickHouse does not see that before it takes it.
        sql.push_str("\nSETTINGS optimize_use_projections = 0");
    }
    statement.sql = sql;
    statement
}

pub(super) fn sum_name(sum: Sum) -> String {
    format!("s{}", sum as usize)
}

/// The outer columns after the keys. A group comes from at most one row of each source, so arrays are joined,
/// not summed.
fn outer(needs: &Needs, mode: Mode, of_cells: bool) -> Vec<String> {
    let mut columns: Vec<String> =
        needs.sums.iter().map(|sum| format!("sum({0}) AS {0}", sum_name(*sum))).collect();
    if of_cells {
        columns.extend(cells::outer());
    } else if needs.visitors {
        // Registers packed as register * 64 + value, sorted: the last of a register is its largest.
        let sorted = "arraySort(groupArrayArray(r))";
        let largest = format!(
            "arrayFilter((x, next) -> intDiv(x, 64) != intDiv(next, 64), {sorted}, \
             arrayPushBack(arrayPopFront({sorted}), toUInt32({})))",
            REGISTERS * 64
        );
        let many = format!("length(groupArrayArray(v)) > {VISITORS_EXACT_MAX}");
        if mode == Mode::States {
            columns
                .push(format!("if({many}, CAST([], 'Array(UInt64)'), groupArrayArray(v)) AS visitors_set"));
            columns.push(format!("if({many}, {largest}, CAST([], 'Array(UInt32)')) AS visitors_registers"));
        } else {
            columns.push("toUInt64(length(groupArrayArray(v))) AS visitors_count".to_owned());
            let values = format!("arrayMap(x -> modulo(x, 64), {largest})");
            let histogram = format!(
                "arrayMap(n -> toUInt32(countEqual({values}, n)), range({}))",
                visitors::HISTOGRAM_LEN
            );
            columns.push(format!("if({many}, {histogram}, CAST([], 'Array(UInt32)')) AS visitors_histogram"));
        }
    }
    if needs.latency {
        columns.push("groupArrayArray(lb) AS latency_buckets".to_owned());
        columns.push("groupArrayArray(lc) AS latency_counts".to_owned());
    }
    if needs.currencies {
        columns.push("groupArrayArray(c) AS currencies".to_owned());
    }
    columns.extend(measure::outer(needs));
    columns
}

fn exists(needs: &Needs, of_cells: bool) -> String {
    let sums = needs.sums.iter().filter(|sum| **sum != Sum::Unconverted);
    let mut terms: Vec<String> = sums.map(|sum| format!("{} != 0", sum_name(*sum))).collect();
    if of_cells {
        terms.push(cells::VISITED.to_owned());
    } else if needs.visitors {
        terms.push("visitors_count != 0".to_owned());
    }
    if needs.latency {
        terms.push("notEmpty(latency_buckets)".to_owned());
    }
    terms.join(" OR ")
}

fn order(plan: &Plan) -> Vec<String> {
    let term = |(by, direction): &(OrderBy, Direction)| {
        let column = match by {
            OrderBy::Dimension(index) => format!("k{index}"),
            OrderBy::Metric(index) => sum_name(parts(plan.metrics[*index])[0]),
        };
        match direction {
            Direction::Asc => column,
            Direction::Desc => format!("{column} DESC"),
        }
    };
    plan.order.iter().map(term).collect()
}

/// From a moment to before another, in milliseconds, as literals of the column's type: a call that makes a moment of a
/// number is in each term more for ClickHouse to read and to work out.
pub(super) fn between((from, to): (i64, i64)) -> String {
    let literal = |ms: i64| {
        let told = Timestamp(ms.clamp(MOMENTS.0, MOMENTS.1)).to_string();
        told.replace('T', " ").replace('Z', "")
    };
    format!("at >= '{}' AND at < '{}'", literal(from), literal(to))
}

/// What all sources say about a row's place in the plan.
pub(super) fn wheres(plan: &Plan, upto: Sequence) -> Vec<String> {
    let mut terms = vec![
        format!("workspace = {}", plan.workspace.0),
        between((plan.range.from.0, plan.range.to.0)),
        format!("seq <= {upto}"),
    ];
    if let Some(partner) = plan.partner {
        terms.push(format!("partner = {}", partner.0));
    }
    terms
}

/// Grouped by the keys `k0`, `k1`, …; by a column where a key is nothing but its text: codes of a dictionary are
/// grouped sooner than texts are.
pub(super) fn group_by(dimensions: &[Dimension], table: Table) -> String {
    let by = |(index, dimension): (usize, &Dimension)| match dimension {
        Dimension::Field(field)
            if kind(*field) == FieldKind::Text && text(*field, table) == field.as_str() =>
        {
            field.as_str().to_owned()
        }
        _ => format!("k{index}"),
    };
    let keys: Vec<String> = dimensions.iter().enumerate().map(by).collect();
    if keys.is_empty() { String::new() } else { format!(" GROUP BY {}", keys.join(", ")) }
}

/// Which rows of `clicks` are clicks.
pub(super) const fn counted(plan: &Plan) -> &'static str {
    if plan.with_bots { "verdict IN ('counted', 'bot')" } else { "verdict = 'counted'" }
}

/// Which hits a sum of them counts.
const fn verdict_of(sum: Sum, plan: &Plan) -> &'static str {
    match sum {
        Sum::Clicks => counted(plan),
        Sum::OrphanClicks => "verdict = 'orphan'",
        Sum::BotClicks => "verdict = 'bot'",
        _ => "verdict != ''",
    }
}

/// Which rows of `clicks` are clicks still: those that no late verdict took away. Where there is no late verdict in the
/// plan's range, and that is nearly always, the expression is a constant and no column is read for it.
pub(super) fn standing(plan: &Plan, upto: Sequence) -> String {
    let terms = format!("{} AND verdict != ''", wheres(plan, upto).join(" AND "));
    format!(
        "if((SELECT count() FROM effects WHERE {terms}) = 0, true, id NOT IN (SELECT click FROM effects \
         WHERE {terms} GROUP BY click HAVING sumIf(hits, verdict = 'counted') < 0))"
    )
}

/// Which rows of `clicks` the plan looks at, whatever their verdict.
pub(super) fn click_terms(plan: &Plan, upto: Sequence, statement: &mut Statement) -> Vec<String> {
    hit_terms(plan, upto, Table::Clicks, statement)
}

fn hit_terms(plan: &Plan, upto: Sequence, table: Table, statement: &mut Statement) -> Vec<String> {
    let mut terms = wheres(plan, upto);
    if let Some(condition) = &plan.filters.clicks {
        terms.push(predicate(condition, table, statement));
    }
    if table == Table::Moved {
        terms.push("verdict != ''".to_owned());
    }
    terms
}

/// What the sources of a statement are made for.
struct Sources<'a> {
    plan: &'a Plan,
    dimensions: &'a [Dimension],
    upto: Sequence,
    reading: &'a Reading,
}

impl Sources<'_> {
    /// What is put together by keys. All have the same columns: keys, sums, and the states that the plan needs.
    fn all(&self, statement: &mut Statement) -> Vec<String> {
        let needs = &self.plan.needs;
        let mut sources = Vec::new();
        let mut cells = None;
        let moved_beside_effects = needs.clicks() && needs.effects() && self.alike();
        if needs.clicks() {
            match &self.reading.cover {
                None => sources.push(self.clicks(Table::Clicks, "", statement)),
                Some(cover) => {
                    cells = Some(cover.cells(self.plan, self.dimensions, statement));
                    let pieces = cover.clicks(self.plan, self.upto);
                    sources.extend(pieces.iter().map(|also| self.clicks(Table::Clicks, also, statement)));
                }
            }
            if !needs.sums.is_empty() && !moved_beside_effects {
                sources.push(self.clicks(Table::Moved, "", statement));
            }
        }
        if needs.effects() {
            sources.push(self.effects(moved_beside_effects, statement));
            if needs.extremes {
                sources.push(self.standing_values(statement));
            }
        }
        if needs.events() {
            sources.push(self.events(statement));
        }
        sources.extend(cells);
        sources
    }

    /// Whether visitors are counted of cells, too.
    fn visitors_of_cells(&self) -> bool {
        self.reading.cover.is_some() && self.plan.needs.visitors
    }

    /// Whether hits that late verdicts moved and effects have the same keys and are filtered alike, so that one source
    /// has both: a row of the table is either, and adds nothing to what the other is.
    fn alike(&self) -> bool {
        let filters = &self.plan.filters;
        let told = |table: Table, condition: &Option<Condition>| {
            let mut statement = Statement::default();
            let keys = self.keys(table, &mut statement);
            let filter = condition.as_ref().map(|condition| predicate(condition, table, &mut statement));
            (keys, filter, statement.parameters)
        };
        told(Table::Moved, &filters.clicks) == told(Table::Effects, &filters.paid)
    }

    /// The keys as expressions with their names.
    fn keys(&self, table: Table, statement: &mut Statement) -> Vec<String> {
        let named =
            |(index, dimension)| format!("{} AS k{index}", key(self.plan, dimension, table, statement));
        self.dimensions.iter().enumerate().map(named).collect()
    }

    /// Hits that `also` satisfy a term: as they were recorded, or as late verdicts moved them. The latter are numbers
    /// only; visitors and latencies are those of the clicks that [stand](standing).
    fn clicks(&self, table: Table, also: &str, statement: &mut Statement) -> String {
        let Self { plan, upto, .. } = *self;
        let mut terms = hit_terms(plan, upto, table, statement);
        if !also.is_empty() {
            terms.push(also.to_owned());
        }
        let moved = table == Table::Moved;
        let needs = &plan.needs;
        let mut verdicts = Vec::new();
        if needs.counted() {
            verdicts.push(counted(plan));
        }
        let mut columns = self.keys(table, statement);
        for sum in &needs.sums {
            if !sum.of_clicks() {
                columns.push(format!("toInt128(0) AS {}", sum_name(*sum)));
                continue;
            }
            // Of a click that is a hit whatever its verdict nothing is read.
            let verdict = if *sum == Sum::Hits { "true" } else { verdict_of(*sum, plan) };
            if !verdicts.contains(&verdict) {
                verdicts.push(verdict);
            }
            let count = if moved { format!("sumIf(hits, {verdict})") } else { format!("countIf({verdict})") };
            columns.push(format!("toInt128({count}) AS {}", sum_name(*sum)));
        }
        let of_standing = match needs.visitors || needs.latency {
            true if moved => String::new(),
            true if self.reading.all_stand => counted(plan).to_owned(),
            true => format!("{} AND {}", counted(plan), standing(plan, upto)),
            false => String::new(),
        };
        if moved {
            columns.extend(states_of_clicks(needs));
        } else if needs.visitors {
            let most = VISITORS_EXACT_MAX + 1;
            columns.push(format!("groupUniqArrayIf({most})(visitor, {of_standing}) AS v"));
            columns.push(format!("groupUniqArrayIf({}, {of_standing}) AS r", register_sql("visitor")));
        }
        if needs.latency && !moved {
            let buckets = latency::bucket_sql("latency_us");
            let map = format!("sumMapIf([{buckets}], [toUInt64(1)], {of_standing})");
            columns.push(format!("CAST(tupleElement({map}, 1), 'Array(UInt32)') AS lb"));
            columns.push(format!("CAST(tupleElement({map}, 2), 'Array(UInt64)') AS lc"));
        }
        columns.extend(no_currencies(needs));
        columns.extend(no_values(needs));
        columns.extend(self.nothing_of_cells());
        terms.push(format!("({})", verdicts.join(" OR ")));
        let (columns, terms) = (columns.join(", "), terms.join(" AND "));
        let name = if moved { "effects" } else { "clicks" };
        format!("SELECT {columns} FROM {name} WHERE {terms}{}", group_by(self.dimensions, table))
    }

    /// What effects change, with the hits that late verdicts moved or without them.
    fn effects(&self, with_moved: bool, statement: &mut Statement) -> String {
        let Self { plan, upto, .. } = *self;
        let terms = if with_moved { terms_of_effects } else { effect_terms }(plan, upto, statement);
        let needs = &plan.needs;
        let mut columns = self.keys(Table::Effects, statement);
        for sum in &needs.sums {
            let [count, value] = measure::sums_sql(false);
            let added = match sum {
                sum if sum.of_clicks() && with_moved => {
                    format!("toInt128(sumIf(hits, {}))", verdict_of(*sum, plan))
                }
                sum if sum.of_clicks() => "toInt128(0)".to_owned(),
                Sum::Numbers => count,
                Sum::Millionths => value,
                sum if sum.is_count() => format!("toInt128(sum({}))", sum.column()),
                sum => exchange::sum_sql(*sum).unwrap_or_else(|| format!("sum(toInt128({}))", sum.column())),
            };
            columns.push(format!("{added} AS {}", sum_name(*sum)));
        }
        columns.extend(states_of_clicks(needs));
        if needs.currencies {
            columns.push("groupUniqArrayIf(2)(toString(currency), currency != '') AS c".to_owned());
        }
        columns.extend(no_values(needs));
        columns.extend(self.nothing_of_cells());
        let (columns, terms) = (columns.join(", "), terms.join(" AND "));
        let mut source = match &plan.exchange {
            Some(exchange) => exchange.source(&terms),
            None => format!("effects WHERE {terms}"),
        };
        if needs.values() {
            source = plan.measured(&source, false, statement);
        }
        format!("SELECT {columns} FROM {source}{}", group_by(self.dimensions, Table::Effects))
    }

    /// The ends of what stands of conversions' numbers.
    fn standing_values(&self, statement: &mut Statement) -> String {
        let plan = self.plan;
        let terms = effect_terms(plan, self.upto, statement).join(" AND ");
        let keys: Vec<String> =
            self.dimensions.iter().map(|d| key(plan, d, Table::Effects, statement)).collect();
        let measured = plan.measured(&format!("effects WHERE {terms}"), false, statement);
        let mut rest: Vec<String> =
            plan.needs.sums.iter().map(|sum| format!("toInt128(0) AS {}", sum_name(*sum))).collect();
        rest.extend(states_of_clicks(&plan.needs));
        rest.extend(no_currencies(&plan.needs));
        measure::ends_of_effects(&measured, &keys, &rest)
    }

    fn events(&self, statement: &mut Statement) -> String {
        let Self { plan, upto, .. } = *self;
        let terms = event_terms(plan, upto, statement);
        let mut columns = self.keys(Table::Events, statement);
        let [values, value_sum] = measure::sums_sql(true);
        for sum in &plan.needs.sums {
            let count = match sum {
                Sum::Events => "toInt128(count())",
                Sum::Numbers => &values,
                Sum::Millionths => &value_sum,
                _ => "toInt128(0)",
            };
            columns.push(format!("{count} AS {}", sum_name(*sum)));
        }
        columns.extend(states_of_clicks(&plan.needs));
        columns.extend(no_currencies(&plan.needs));
        if plan.needs.extremes {
            columns.extend(measure::ends_of_events());
        }
        columns.extend(self.nothing_of_cells());
        let (columns, terms) = (columns.join(", "), terms.join(" AND "));
        let mut source = format!("events WHERE {terms}");
        if plan.needs.values() {
            source = plan.measured(&source, true, statement);
        }
        format!("SELECT {columns} FROM {source}{}", group_by(self.dimensions, Table::Events))
    }

    /// The columns of what only cells have, empty.
    fn nothing_of_cells(&self) -> Vec<String> {
        if self.visitors_of_cells() { cells::none() } else { Vec::new() }
    }
}

/// Which rows of `effects` the plan looks at, those aside that move hits.
pub(super) fn effect_terms(plan: &Plan, upto: Sequence, statement: &mut Statement) -> Vec<String> {
    let mut terms = terms_of_effects(plan, upto, statement);
    terms.push("verdict = ''".to_owned());
    terms
}

fn terms_of_effects(plan: &Plan, upto: Sequence, statement: &mut Statement) -> Vec<String> {
    let mut terms = wheres(plan, upto);
    match (&plan.filters.paid, &plan.filters.unpaid) {
        (Some(paid), unpaid) if paid.mentions(Field::Currency) => {
            let paid = predicate(paid, Table::Effects, statement);
            let unpaid = match unpaid {
                Some(unpaid) => predicate(unpaid, Table::Effects, statement),
                None => "1".to_owned(),
            };
            terms.push(format!("if(currency = '', {unpaid}, {paid})"));
        }
        (Some(paid), _) => terms.push(predicate(paid, Table::Effects, statement)),
        (None, _) => {}
    }
    terms
}

fn no_currencies(needs: &Needs) -> Option<String> {
    needs.currencies.then(|| "CAST([], 'Array(String)') AS c".to_owned())
}

fn no_values(needs: &Needs) -> Vec<String> {
    if needs.extremes { measure::no_ends() } else { Vec::new() }
}

/// The columns of what only clicks have, empty.
fn states_of_clicks(needs: &Needs) -> Vec<String> {
    let mut columns = Vec::new();
    if needs.visitors {
        columns.push("CAST([], 'Array(UInt64)') AS v".to_owned());
        columns.push("CAST([], 'Array(UInt32)') AS r".to_owned());
    }
    if needs.latency {
        columns.push("CAST([], 'Array(UInt32)') AS lb".to_owned());
        columns.push("CAST([], 'Array(UInt64)') AS lc".to_owned());
    }
    columns
}

/// Which rows of `events` the plan looks at.
pub(super) fn event_terms(plan: &Plan, upto: Sequence, statement: &mut Statement) -> Vec<String> {
    let mut terms = wheres(plan, upto);
    terms.push("kind != 'engagement'".to_owned());
    if !plan.with_bots {
        terms.push("NOT bot".to_owned());
    }
    if let Some(condition) = &plan.filters.unpaid {
        terms.push(predicate(condition, Table::Events, statement));
    }
    terms
}

/// Where facts are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Clicks,
    /// Hits that late verdicts moved: rows of `effects` that speak as clicks do.
    Moved,
    Effects,
    Events,
}

/// A property as an expression; the name is the caller's text, so it travels as a parameter.
fn property(name: &str, statement: &mut Statement) -> String {
    format!("properties[{}[1]]", statement.bind(Parameter::Texts(vec![name.to_owned()])))
}

/// A dimension as an expression; every table gives it the same type.
pub(super) fn key(plan: &Plan, dimension: &Dimension, table: Table, statement: &mut Statement) -> String {
    match dimension {
        Dimension::Time(_) => {
            plan.buckets.as_ref().expect("a plan with a time dimension has buckets").sql("at")
        }
        Dimension::Field(field) => match kind(*field) {
            FieldKind::Text => format!("CAST({}, 'String')", text(*field, table)),
            FieldKind::Id => field.as_str().to_owned(),
            FieldKind::Number => number(*field, table),
            FieldKind::Flag => format!("toUInt8({})", flag(table)),
        },
        Dimension::Property(_) if matches!(table, Table::Clicks | Table::Moved) => {
            "CAST('', 'String')".to_owned()
        }
        Dimension::Property(name) => property(name, statement),
    }
}

fn text(field: Field, table: Table) -> String {
    match (table, field) {
        (Table::Clicks | Table::Moved, field) if of_effects_only(field) => "''".to_owned(),
        (Table::Events, Field::Verdict) => "if(bot, 'bot', 'counted')".to_owned(),
        (Table::Events, Field::Provider) => format!("'{BROWSER}'"),
        // What a page says its value is in is no money of the books.
        (Table::Events, Field::Currency) => "''".to_owned(),
        (Table::Effects, Field::Verdict) => "if(click = 0, '', 'counted')".to_owned(),
        (_, field) => field.as_str().to_owned(),
    }
}

fn number(field: Field, table: Table) -> String {
    match (table, field) {
        (_, Field::Asn) => "toUInt64(asn)".to_owned(),
        (_, field) => field.as_str().to_owned(),
    }
}

fn flag(table: Table) -> &'static str {
    match table {
        Table::Clicks | Table::Events => "bot",
        Table::Moved => "(verdict = 'bot')",
        Table::Effects => "false",
    }
}

/// A condition as an expression.
pub(super) fn predicate(condition: &Condition, table: Table, statement: &mut Statement) -> String {
    let mut joined = |parts: &[Condition], by: &str| {
        let terms: Vec<String> = parts.iter().map(|part| predicate(part, table, statement)).collect();
        format!("({})", terms.join(by))
    };
    match condition {
        Condition::All(parts) => joined(parts, " AND "),
        Condition::Any(parts) => joined(parts, " OR "),
        Condition::Not(part) => format!("(NOT {})", predicate(part, table, statement)),
        Condition::TextIn(field, values) => {
            let values = statement.bind(Parameter::Texts(values.clone()));
            format!("has({values}, CAST({}, 'String'))", text(*field, table))
        }
        Condition::TextContains(field, values) => {
            // Which letters are the same in any case is agreed upon for ASCII only (see
            // Condition::is_evaluable).
            let ascii = values.iter().all(|value| value.is_ascii());
            let find = if ascii { "positionCaseInsensitive" } else { "positionCaseInsensitiveUTF8" };
            let values = statement.bind(Parameter::Texts(values.clone()));
            format!("arrayExists(n -> {find}(CAST({}, 'String'), n) > 0, {values})", text(*field, table))
        }
        Condition::TextMatches(field, patterns) => {
            let values = statement.bind(Parameter::Texts(patterns.clone()));
            let one =
                |index: usize| format!("match(CAST({}, 'String'), {values}[{index}])", text(*field, table));
            format!("({})", (1..=patterns.len()).map(one).collect::<Vec<_>>().join(" OR "))
        }
        Condition::NumberIn(field, values) => {
            let values = statement.bind(Parameter::Numbers(values.clone()));
            format!("has({values}, {})", number(*field, table))
        }
        Condition::Greater(field, value) => {
            let value = statement.bind(Parameter::Unsigned(*value));
            format!("({} > {value})", number(*field, table))
        }
        Condition::Less(field, value) => {
            let value = statement.bind(Parameter::Unsigned(*value));
            format!("({} < {value})", number(*field, table))
        }
        Condition::Bot(robot) => format!("({} = {robot})", flag(table)),
        Condition::PropertyIn(name, values) => {
            let values = statement.bind(Parameter::Texts(values.clone()));
            format!("has({values}, {})", property(name, statement))
        }
        Condition::PropertyContains(name, values) => {
            let ascii = values.iter().all(|value| value.is_ascii());
            let find = if ascii { "positionCaseInsensitive" } else { "positionCaseInsensitiveUTF8" };
            let values = statement.bind(Parameter::Texts(values.clone()));
            format!("arrayExists(n -> {find}({}, n) > 0, {values})", property(name, statement))
        }
        Condition::PropertyGreater(name, value) | Condition::PropertyLess(name, value) => {
            let by = if matches!(condition, Condition::PropertyGreater(..)) { ">" } else { "<" };
            let text = property(name, statement);
            let value = statement.bind(Parameter::Integer(*value));
            format!("({} AND {} {by} {value})", measure::is_number(&text), measure::number(&text))
        }
        Condition::PropertyMatches(name, patterns) => {
            let values = statement.bind(Parameter::Texts(patterns.clone()));
            let text = property(name, statement);
            let one = |index: usize| format!("match({text}, {values}[{index}])");
            format!("({})", (1..=patterns.len()).map(one).collect::<Vec<_>>().join(" OR "))
        }
    }
}

#[cfg(test)]
mod tests;
