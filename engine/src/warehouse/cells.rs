//! Clicks added up beforehand: tables `click_cells` and `click_steps` (schemas/sql/0013, 0010). A question over months
//! reads a few long cells of each value instead of every click.
//!
//! Clicks are folded in **steps**, ranges of [`STEP_LENGTH`] sequences, each once, in order. An answer as of a sequence
//! takes the cells of every step that ends at or before it and reads what is behind from `clicks`: cells never make an
//! answer older or less exact. Effects are few and change under erasure, so they are always read as they are. Where
//! [`MERGED`] steps of one length stand in a row, they are merged into one of their length together: what a question
//! reads grows with what there is to tell, not with the number of steps.
//!
//! Exactly once: the cells of a try to fold carry its own name, and count only when `click_steps` has that name, which
//! is written last. A crash in between leaves cells that nobody reads; the next start drops them. A step that does
//! not have all of its cells (a power failure; the tables are synced, but so is little else) is folded again.

use std::ops::Range;
use std::time::Duration;

use clickhouse::error::Error;
use clickhouse::{Client, Row};
use serde::Deserialize;
use weir_schemas::ids::Sequence;
use weir_schemas::query::Field;
use weir_schemas::time::{DAY_MS, HOUR_MS, MINUTE_MS};

mod statements;

use statements::{base_statement, gathered_statement, listed_statement};

/// Sequences of a step: so many clicks at most are read beside the cells. Folding one took three seconds of a core that
/// others were using too.
pub const STEP_LENGTH: Sequence = 1 << 19;
/// So many steps of one length become one.
const MERGED: usize = 8;
/// The longest step that is made of others: a hundred million clicks are three of these.
const MERGED_LENGTH_MAX: Sequence = 64 * STEP_LENGTH;
/// Up to here the visitors of a cell are stored where every question reads them: as many as take half the room of the
/// registers, and on disk more.
pub const FEW_MAX: usize = 2_048;
/// How long the cells of steps that were merged are kept for questions that had begun before: longer than one may take.
const LET_GO_AFTER: Duration = Duration::from_secs(120);
/// How much memory ClickHouse may take for folding, in bytes; a quarter of it before it puts groups together on disk.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// Cells are sorted in blocks of so many bytes. Sorting copies them, and what else it takes grows with them, too: with
/// the default 256 MiB, the hours of 33 million clicks took more than there is.
const BLOCK_BYTES_MIN: u64 = 32 << 20;
/// About so many bytes of cells are read at once where they are gathered. Only between such blocks does ClickHouse see
/// that it should put groups on disk, and each row may begin one of 200 kB: of the default 1 MiB, which rows without
/// registers fill by the thousand, four days of 33 million clicks took 1.1 GiB, of this 0.3 and no longer.
const GATHERED_BYTES: u64 = 1 << 16;
/// How long ClickHouse may work on one statement of folding, in seconds.
const EXECUTION_SECONDS_MAX: u32 = 120;

/// How long a cell is. Each is a part of the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grain {
    /// A quarter of an hour: no time zone's offset is finer.
    Quarter,
    /// An hour.
    Hour,
    /// Four hours: of a day in any zone, all but its edges are such.
    FourHours,
    /// A day of UTC.
    Day,
    /// Four days.
    FourDays,
    /// Thirty-two days.
    Month,
}

impl Grain {
    /// From the shortest to the longest.
    pub const ALL: [Self; 6] =
        [Self::Quarter, Self::Hour, Self::FourHours, Self::Day, Self::FourDays, Self::Month];

    /// Its name in `click_cells`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quarter => "15m",
            Self::Hour => "1h",
            Self::FourHours => "4h",
            Self::Day => "1d",
            Self::FourDays => "4d",
            Self::Month => "32d",
        }
    }

    /// In milliseconds.
    pub const fn length(self) -> i64 {
        match self {
            Self::Quarter => 15 * MINUTE_MS,
            Self::Hour => HOUR_MS,
            Self::FourHours => 4 * HOUR_MS,
            Self::Day => DAY_MS,
            Self::FourDays => 4 * DAY_MS,
            Self::Month => 32 * DAY_MS,
        }
    }

    /// The first moment of the cell in which `at` lies, in SQL. A cell begins at a multiple of its length.
    pub(crate) fn start_sql(self, at: &str) -> String {
        let length = self.length();
        format!("fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli({at}), {length}) * {length}, 'UTC')")
    }

    /// Whether cells with too many visitors for [`FEW_MAX`] keep them as long as a question counts them exactly. Longer
    /// cells are made of these, and so is an answer that needs every visitor.
    pub(crate) const fn has_sets(self) -> bool {
        matches!(self, Self::Quarter | Self::Day)
    }
}

/// What has cells: everything, or each value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// `None`: everything.
    pub field: Option<Field>,
    /// In cells of this length and all longer ones.
    pub finest: Grain,
    /// The cells know their visitors.
    pub visitors: bool,
}

const fn listed(field: Field) -> Kept {
    Kept { field: Some(field), finest: Grain::Day, visitors: false }
}

/// Everything that has cells: what the dashboard draws and lists. Another needs its steps forgotten (a migration that
/// truncates `click_steps`), as older ones lack it.
pub const KEPT: &[Kept] = &[
    Kept { field: None, finest: Grain::Quarter, visitors: true },
    Kept { field: Some(Field::Country), finest: Grain::Day, visitors: true },
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

impl Step {
    const fn length(&self) -> Sequence {
        self.upto - self.after
    }
}

/// The steps from the first sequence on, without a gap, as far as they end at or before `upto`; the longest where there
/// are several.
pub async fn steps(client: &Client, upto: Sequence) -> Result<Vec<Step>, Error> {
    let sql = "SELECT step, after, upto, cells FROM click_steps WHERE upto <= {upto:UInt64} \
               ORDER BY after, upto DESC, step";
    let held: Vec<Step> = client.query(sql).param("upto", upto).fetch_all().await?;
    let mut chain: Vec<Step> = Vec::with_capacity(held.len());
    for step in held {
        // What was merged into a longer one, or a late second try of the same step, is none of the chain's.
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
    let client = bounded(client);
    for what in KEPT.iter().filter(|kept| kept.visitors) {
        client.query_raw(&base_statement(*what, step, after, upto)).execute().await?;
    }
    client.query_raw(&listed_statement(step, after, upto)).execute().await?;
    gather(&client, &[step], step, &[(Grain::Quarter, Grain::Day)]).await?;
    gather(&client, &[step], step, LONGER).await?;
    count(&client, step, after, upto).await
}

/// Merges `steps`, which stand in a row, into one of the name `step`, and lets it count instead of them.
pub async fn merge(client: &Client, step: u64, steps: &[Step]) -> Result<Step, Error> {
    let client = bounded(client);
    let (after, upto) = (steps.first().map_or(0, |first| first.after), end(steps));
    let names: Vec<u64> = steps.iter().map(|step| step.step).collect();
    gather(&client, &names, step, &[(Grain::Quarter, Grain::Quarter), (Grain::Day, Grain::Day)]).await?;
    gather(&client, &[step], step, LONGER).await?;
    count(&client, step, after, upto).await
}

/// The first steps of a chain that can be merged.
pub fn mergeable(chain: &[Step]) -> Option<Range<usize>> {
    let whole = |run: &[Step]| {
        let length = run[0].length();
        let together = length * MERGED as u64;
        together <= MERGED_LENGTH_MAX
            && run[0].after.is_multiple_of(together)
            && run.iter().all(|step| step.length() == length)
    };
    let first = chain.windows(MERGED).position(whole)?;
    Some(first..first + MERGED)
}

/// Cells that are made of others of the same step, each of the longest that have sets.
const LONGER: &[(Grain, Grain)] = &[
    (Grain::Quarter, Grain::Hour),
    (Grain::Quarter, Grain::FourHours),
    (Grain::Day, Grain::FourDays),
    (Grain::Day, Grain::Month),
];

/// Makes the cells of a step of those of others, or of its own shorter ones.
async fn gather(client: &Client, from: &[u64], step: u64, grains: &[(Grain, Grain)]) -> Result<(), Error> {
    let client = client.clone().with_setting("preferred_block_size_bytes", GATHERED_BYTES.to_string());
    for (shorter, grain) in grains {
        client.query_raw(&gathered_statement(from, *shorter, step, *grain)).execute().await?;
    }
    Ok(())
}

/// A client for statements that take their time, and little of everything else.
fn bounded(client: &Client) -> Client {
    client
        .clone()
        .with_setting("async_insert", "0")
        // The same cells are folded again under another name; nothing here is a repeat.
        .with_setting("insert_deduplicate", "0")
        // Clicks are found by their sequences, which the projection by link has no index for.
        .with_setting("optimize_use_projections", "0")
        // Visitors and questions have the other core.
        .with_setting("max_threads", "1")
        .with_setting("max_insert_threads", "1")
        .with_setting("force_grouping_standard_compatibility", "1")
        .with_setting("max_memory_usage", MEMORY_BYTES_MAX.to_string())
        .with_setting("max_bytes_before_external_group_by", (MEMORY_BYTES_MAX / 4).to_string())
        .with_setting("min_insert_block_size_bytes", BLOCK_BYTES_MIN.to_string())
        .with_setting("max_execution_time", EXECUTION_SECONDS_MAX.to_string())
}

/// Lets the cells of a step count.
async fn count(client: &Client, step: u64, after: Sequence, upto: Sequence) -> Result<Step, Error> {
    let cells = client
        .query("SELECT count() FROM click_cells WHERE step = {step:UInt64}")
        .param("step", step)
        .fetch_one()
        .await?;
    client
        .query(
            "INSERT INTO click_steps (step, after, upto, cells) \
             SELECT {step:UInt64}, {after:UInt64}, {upto:UInt64}, {cells:UInt64}",
        )
        .param("step", step)
        .param("after", after)
        .param("upto", upto)
        .param("cells", cells)
        .execute()
        .await?;
    Ok(Step { step, after, upto, cells })
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

/// Lets go of the steps that were merged into longer ones, some time after they were.
pub async fn let_go_of_merged(client: &Client, stored: Sequence) -> Result<(), Error> {
    let_go(client, stored, LET_GO_AFTER).await
}

async fn let_go(client: &Client, stored: Sequence, after: Duration) -> Result<(), Error> {
    let chain = steps(client, stored).await?;
    let sql = "SELECT step, after, upto, cells FROM click_steps \
               WHERE folded_at <= now64(3) - toIntervalSecond({seconds:UInt64}) ORDER BY step";
    let old: Vec<Step> = client.query(sql).param("seconds", after.as_secs()).fetch_all().await?;
    let merged = |one: &&Step| {
        let into = |step: &&Step| step.after <= one.after && one.upto <= step.upto && step.step != one.step;
        chain.iter().find(into).is_some_and(|step| old.contains(step))
    };
    let names: Vec<String> = old.iter().filter(merged).map(|step| step.step.to_string()).collect();
    if names.is_empty() {
        return Ok(());
    }
    // First they are steps no more: one whose cells are gone must never be read.
    let sql = format!(
        "ALTER TABLE click_steps DELETE WHERE step IN ({}) SETTINGS mutations_sync = 2",
        names.join(",")
    );
    client.query_raw(&sql).execute().await?;
    drop_cells(client, &names).await
}

async fn drop_cells(client: &Client, steps: &[String]) -> Result<(), Error> {
    for step in steps {
        client.query_raw(&format!("ALTER TABLE click_cells DROP PARTITION {step}")).execute().await?;
    }
    Ok(())
}

/// What a start does: forgets what goes beyond `stored` (the warehouse's progress was set back) and steps that do not
/// have all of their cells, lets go of merged ones, and drops the cells of no step. Gives up to where the steps go.
pub async fn settle(client: &Client, stored: Sequence) -> Result<Sequence, Error> {
    forget_beyond(client, stored).await?;
    let_go(client, stored, Duration::ZERO).await?;
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
    drop_cells(client, &nobodys).await?;
    Ok(end(chain))
}
