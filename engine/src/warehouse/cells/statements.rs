//! The statements that make cells: of clicks, and of other cells. Only numbers and names of our own stand in them.

use weir_schemas::ids::Sequence;
use weir_schemas::query::Field;

use super::{FEW_MAX, Grain, KEPT, Kept};
use crate::query::VISITORS_EXACT_MAX;
use crate::query::cells::value_of;
use crate::query::visitors::{high_sql, joined_sql, register_sql, unary_sql};

/// The shortest cells of what knows its visitors.
pub(super) fn base_statement(what: Kept, step: u64, after: Sequence, upto: Sequence) -> String {
    let (text, number) = value_of(what.field);
    let dimension = what.field.map_or("", Field::as_str);
    let inner = format!(
        "workspace, {at} AS cell_at, {text} AS cell_text, {number} AS cell_number, \
         countIf(verdict = 'counted') AS counted, countIf(verdict = 'orphan') AS orphaned, \
         countIf(verdict = 'bot') AS robots, count() AS all_hits, \
         groupUniqArrayIf({most})(visitor, verdict = 'counted') AS met, \
         groupUniqArrayIf({register}, verdict = 'counted') AS raised",
        at = what.finest.start_sql("at"),
        most = VISITORS_EXACT_MAX + 1,
        register = register_sql("visitor"),
    );
    let from = format!(
        "SELECT {inner} FROM clicks WHERE seq > {after} AND seq <= {upto} \
         GROUP BY workspace, cell_at, cell_text, cell_number"
    );
    let visitors = Visitors {
        number: "length(met)".to_owned(),
        registers: unary_sql("raised"),
        high: high_sql("raised"),
    };
    insert(step, &format!("'{dimension}'"), what.finest, &visitors, &from)
}

/// The cells of all listed fields from one reading of the clicks: for each field five times cheaper than by itself.
pub(super) fn listed_statement(step: u64, after: Sequence, upto: Sequence) -> String {
    let fields: Vec<Field> =
        KEPT.iter().filter(|kept| !kept.visitors).filter_map(|kept| kept.field).collect();
    let each = |of: &dyn Fn(&Field) -> String| fields.iter().map(of).collect::<Vec<_>>().join(", ");
    let columns = each(&|field| field.as_str().to_owned());
    let sets = each(&|field| format!("(workspace, cell_at, {})", field.as_str()));
    let names = each(&|field| format!("'{}'", field.as_str()));
    // 0 for the field that a row is grouped by; the others have their types' defaults there, empty and 0.
    let place = each(&|field| format!("grouping({})", field.as_str()));
    let texts = each(&|field| value_of(Some(*field)).0);
    let numbers = each(&|field| value_of(Some(*field)).1).replace(", ", " + ");
    format!(
        "INSERT INTO click_cells (step, workspace, dimension, grain, at, text, number, clicks, orphans, bots, hits) \
         SELECT {step}, workspace, [{names}][indexOf([{place}], 0)], '{grain}', cell_at, concat({texts}), {numbers}, \
         countIf(verdict = 'counted'), countIf(verdict = 'orphan'), countIf(verdict = 'bot'), count() \
         FROM (SELECT workspace, {at} AS cell_at, verdict, {columns} FROM clicks \
         WHERE seq > {after} AND seq <= {upto}) GROUP BY GROUPING SETS ({sets})",
        grain = Grain::Day.as_str(),
        at = Grain::Day.start_sql("at"),
    )
}

/// Cells of one length from the cells of one that has sets, of one step or of several.
pub(super) fn gathered_statement(from: &[u64], shorter: Grain, step: u64, grain: Grain) -> String {
    let names: Vec<String> = from.iter().map(u64::to_string).collect();
    let inner = format!(
        "workspace, dimension AS cell_dimension, {at} AS cell_at, text AS cell_text, number AS cell_number, \
         sum(clicks) AS counted, sum(orphans) AS orphaned, sum(bots) AS robots, sum(hits) AS all_hits, \
         max(visitors) AS largest, groupUniqArrayArray({most})(arrayConcat(few, several)) AS met, \
         groupUniqArrayArray(arrayMap(x -> {register}, few)) AS raised, groupBitOrForEach(registers) AS joined, \
         groupUniqArrayArray(high) AS higher",
        at = grain.start_sql("at"),
        most = VISITORS_EXACT_MAX + 1,
        register = register_sql("x"),
    );
    let from = format!(
        "SELECT {inner} FROM click_cells WHERE step IN ({names}) AND grain = '{shorter}' \
         GROUP BY workspace, cell_dimension, cell_at, cell_text, cell_number",
        names = names.join(","),
        shorter = shorter.as_str(),
    );
    let visitors = Visitors {
        number: format!("if(largest > {VISITORS_EXACT_MAX}, largest, toUInt32(length(met)))"),
        registers: joined_sql("raised", "joined"),
        high: format!("arrayConcat(higher, {})", high_sql("raised")),
    };
    insert(step, "cell_dimension", grain, &visitors, &from)
}

/// Expressions for what a cell has of its visitors.
struct Visitors {
    /// How many they are.
    number: String,
    /// In unary.
    registers: String,
    /// Of the registers, what is beyond unary.
    high: String,
}

/// `from` has the sums, the visitors `met` as far as they fit a set, and what `visitors` speaks of.
fn insert(step: u64, dimension: &str, grain: Grain, visitors: &Visitors, from: &str) -> String {
    let none = "CAST([], 'Array(UInt64)')";
    let Visitors { number, registers, high } = visitors;
    let several = match grain.has_sets() {
        true => {
            format!("if(met_number > {FEW_MAX} AND met_number <= {VISITORS_EXACT_MAX}, met, {none})")
        }
        false => none.to_owned(),
    };
    format!(
        "INSERT INTO click_cells (step, workspace, dimension, grain, at, text, number, clicks, orphans, bots, hits, \
         visitors, few, several, registers, high) \
         SELECT {step}, workspace, {dimension}, '{grain}', cell_at, cell_text, cell_number, counted, orphaned, robots, \
         all_hits, {number} AS met_number, if(met_number <= {FEW_MAX}, met, {none}), {several}, \
         if(met_number > {FEW_MAX}, {registers}, CAST([], 'Array(UInt256)')), \
         if(met_number > {FEW_MAX}, {high}, CAST([], 'Array(UInt32)')) FROM ({from})",
        grain = grain.as_str(),
    )
}
