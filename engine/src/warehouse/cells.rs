//! Clicks added up beforehand: tables `click_cells` and `click_steps` (schemas/sql/0008). A question over months reads
//! one row per day and value instead of every click.
//!
//! Clicks are folded in **steps**, ranges of [`STEP_LENGTH`] sequences, each once, in order. An answer as of a sequence
//! takes the cells of every step that ends at or before it and reads what is behind from `clicks`: cells never make an
//! answer older or less exact. Effects are few and change under erasure, so they are always read as they are.
//!
//! Exactly once: the cells of a try to fold carry its own name, and count only when `click_steps` has that name, which
//! is written last. A crash in between leaves cells that nobody reads; the next start deletes them. A step that does
//! not have all of its cells (a power failure; the tables are synced, but so is little else) is folded again.

use clickhouse::error::Error;
use clickhouse::{Client, Row};
use serde::Deserialize;
use weir_schemas::ids::Sequence;
use weir_schemas::query::Field;
use weir_schemas::time::{DAY_MS, HOUR_MS, MINUTE_MS};

use crate::query::VISITORS_EXACT_MAX;
use crate::query::cells::{dense_sql, value_of};
use crate::query::visitors::register_sql;

/// Sequences of a step: so many clicks at most are read beside the cells. Folding one took three seconds of a core that
/// others were using too.
pub const STEP_LENGTH: Sequence = 1 << 19;
/// Up to here the visitors of a cell are stored where every question reads them: as many as take the room of the
/// registers.
pub const FEW_MAX: usize = 2_048;
/// How much memory ClickHouse may take for folding, in bytes.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// How long ClickHouse may work on one statement of folding, in seconds.
const EXECUTION_SECONDS_MAX: u32 = 120;

/// How long a cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// A quarter of an hour: no time zone's offset is finer.
    Quarter,
    /// An hour.
    Hour,
    /// A day of UTC.
    Day,
}

impl Grain {
    /// Its name in `click_cells`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quarter => "quarter",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// In milliseconds.
    pub const fn length(self) -> i64 {
        match self {
            Self::Quarter => 15 * MINUTE_MS,
            Self::Hour => HOUR_MS,
            Self::Day => DAY_MS,
        }
    }

    const fn of_at(self) -> &'static str {
        match self {
            Self::Quarter => "toStartOfFifteenMinutes(at)",
            Self::Hour => "toStartOfHour(at)",
            Self::Day => "toStartOfDay(at)",
        }
    }
}

/// What has cells: everything, or each value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// `None`: everything.
    pub field: Option<Field>,
    /// In cells of this length.
    pub grain: Grain,
    /// The cells know their visitors.
    pub visitors: bool,
}

impl Kept {
    /// Folded together with the other listed fields.
    const fn is_listed(&self) -> bool {
        self.field.is_some() && !self.visitors
    }
}

const fn kept(field: Option<Field>, grain: Grain, visitors: bool) -> Kept {
    Kept { field, grain, visitors }
}

const fn listed(field: Field) -> Kept {
    kept(Some(field), Grain::Day, false)
}

/// Everything that has cells: what the dashboard draws and lists. Another needs its steps forgotten (a migration that
/// truncates `click_steps`), as older ones lack it.
pub const KEPT: &[Kept] = &[
    kept(None, Grain::Quarter, false),
    kept(None, Grain::Hour, true),
    kept(None, Grain::Day, true),
    kept(Some(Field::Country), Grain::Day, true),
    listed(Field::Link),
    listed(Field::Partner),
    listed(Field::Program),
    listed(Field::Variant),
    listed(Field::Region),
    listed(Field::City),
    listed(Field::Device),
    listed(Field::Browser),
    listed(Field::Os),
    listed(Field::Referrer),
    listed(Field::Medium),
    listed(Field::UtmSource),
    listed(Field::UtmCampaign),
];

/// A folded step that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Row, Deserialize)]
pub struct Step {
    /// The name of the try that folded it.
    pub step: u64,
    /// Everything behind this,
    pub after: Sequence,
    /// up to here.
    pub upto: Sequence,
    /// How many cells it has.
    pub cells: u64,
}

/// The steps from the first sequence on, without a gap, as far as they end at or before `upto`.
pub async fn steps(client: &Client, upto: Sequence) -> Result<Vec<Step>, Error> {
    let sql =
        "SELECT step, after, upto, cells FROM click_steps WHERE upto <= {upto:UInt64} ORDER BY after, step";
    let held: Vec<Step> = client.query(sql).param("upto", upto).fetch_all().await?;
    let mut chain: Vec<Step> = Vec::with_capacity(held.len());
    for step in held {
        // A late second try of the same step is none of the chain's.
        if step.after == chain.last().map_or(0, |last| last.upto) && step.upto > step.after {
            chain.push(step);
        }
    }
    Ok(chain)
}

/// Up to where `steps` go.
pub fn end(steps: &[Step]) -> Sequence {
    steps.last().map_or(0, |last| last.upto)
}

/// Folds the clicks behind `after` up to `upto`, all of which are stored, under the name `step`, and lets them count.
pub async fn fold(client: &Client, step: u64, after: Sequence, upto: Sequence) -> Result<Step, Error> {
    let client = &client
        .clone()
        .with_setting("async_insert", "0")
        // The same cells are folded again under another name; nothing here is a repeat.
        .with_setting("insert_deduplicate", "0")
        // Visitors and questions have the other core.
        .with_setting("max_threads", "1")
        .with_setting("max_insert_threads", "1")
        .with_setting("max_partitions_per_insert_block", "0")
        .with_setting("force_grouping_standard_compatibility", "1")
        .with_setting("max_memory_usage", MEMORY_BYTES_MAX.to_string())
        .with_setting("max_execution_time", EXECUTION_SECONDS_MAX.to_string());
    for what in KEPT.iter().filter(|kept| !kept.is_listed()) {
        client.query_raw(&statement(*what, step, after, upto)).execute().await?;
    }
    client.query_raw(&listed_statement(step, after, upto)).execute().await?;
    let cells = client
        .query("SELECT count() FROM click_cells WHERE step = {step:UInt64}")
        .param("step", step)
        .fetch_one()
        .await?;
    let done = Step { step, after, upto, cells };
    client
        .query("INSERT INTO click_steps (step, after, upto, cells) SELECT {step:UInt64}, {after:UInt64}, {upto:UInt64}, {cells:UInt64}")
        .param("step", step)
        .param("after", after)
        .param("upto", upto)
        .param("cells", cells)
        .execute()
        .await?;
    Ok(done)
}

/// Only numbers and names of our own stand in it.
fn statement(what: Kept, step: u64, after: Sequence, upto: Sequence) -> String {
    let (text, number) = value_of(what.field);
    let dimension = what.field.map_or("", Field::as_str);
    let (grain, at) = (what.grain.as_str(), what.grain.of_at());
    let key = "workspace, cell_at, cell_text, cell_number";
    let mut inner = format!(
        "workspace, {at} AS cell_at, {text} AS cell_text, {number} AS cell_number, \
         countIf(verdict = 'counted') AS counted, countIf(verdict = 'orphan') AS orphaned, \
         countIf(verdict = 'bot') AS robots, count() AS all_hits"
    );
    let mut columns =
        "step, workspace, dimension, grain, at, text, number, clicks, orphans, bots, hits".to_owned();
    let mut values = format!(
        "{step}, workspace, '{dimension}', '{grain}', cell_at, cell_text, cell_number, \
         counted, orphaned, robots, all_hits"
    );
    if what.visitors {
        inner.push_str(&format!(
            ", groupUniqArrayIf({most})(visitor, verdict = 'counted') AS met, \
             groupUniqArrayIf({register}, verdict = 'counted') AS raised",
            most = VISITORS_EXACT_MAX + 1,
            register = register_sql("visitor"),
        ));
        columns.push_str(", visitors, few, several, registers");
        let none = "CAST([], 'Array(UInt64)')";
        values.push_str(&format!(
            ", length(met) AS met_number, if(met_number <= {FEW_MAX}, met, {none}), \
             if(met_number > {FEW_MAX} AND met_number <= {VISITORS_EXACT_MAX}, met, {none}), \
             if(met_number > {FEW_MAX}, {dense}, CAST([], 'Array(UInt8)'))",
            dense = dense_sql("raised"),
        ));
    }
    format!(
        "INSERT INTO click_cells ({columns}) SELECT {values} FROM (SELECT {inner} FROM clicks \
         WHERE seq > {after} AND seq <= {upto} GROUP BY {key})"
    )
}

/// The cells of all listed fields from one reading of the clicks: for each field five times cheaper than by itself.
fn listed_statement(step: u64, after: Sequence, upto: Sequence) -> String {
    let fields: Vec<Field> =
        KEPT.iter().filter(|kept| kept.is_listed()).filter_map(|kept| kept.field).collect();
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
        at = Grain::Day.of_at(),
    )
}

/// Forgets every step that goes beyond `upto`: they are folded again.
pub async fn forget_beyond(client: &Client, upto: Sequence) -> Result<(), Error> {
    let beyond: u64 = client
        .query("SELECT count() FROM click_steps WHERE upto > {upto:UInt64}")
        .param("upto", upto)
        .fetch_one()
        .await?;
    if beyond == 0 {
        return Ok(());
    }
    let sql = format!("ALTER TABLE click_steps DELETE WHERE upto > {upto} SETTINGS mutations_sync = 2");
    client.query_raw(&sql).execute().await
}

/// What a start does: forgets what goes beyond `stored` (the warehouse's progress was set back) and steps that do not
/// have all of their cells, and deletes the cells of no step. Gives up to where the steps go.
pub async fn settle(client: &Client, stored: Sequence) -> Result<Sequence, Error> {
    forget_beyond(client, stored).await?;
    let chain = steps(client, stored).await?;
    let held: Vec<(u64, u64)> =
        client.query("SELECT step, count() FROM click_cells GROUP BY step").fetch_all().await?;
    let of = |step: u64| held.iter().find(|(name, _)| *name == step).map_or(0, |(_, cells)| *cells);
    let whole = chain.iter().take_while(|step| of(step.step) == step.cells).count();
    if whole < chain.len() {
        tracing::warn!(step = ?chain[whole], "a step of added-up clicks has lost cells; it is folded again");
        forget_beyond(client, chain[whole].after).await?;
    }
    let chain = &chain[..whole];
    let nobodys: Vec<String> = held
        .iter()
        .filter(|(name, _)| !chain.iter().any(|step| step.step == *name))
        .map(|(name, _)| name.to_string())
        .collect();
    if !nobodys.is_empty() {
        let sql = format!("ALTER TABLE click_cells DELETE WHERE step IN ({})", nobodys.join(","));
        client.query_raw(&sql).execute().await?;
    }
    Ok(end(chain))
}
