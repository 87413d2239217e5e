//! A batch: the rows of one range of the journal, and how they get into ClickHouse exactly once.

use std::collections::HashSet;
use std::hash::Hasher;

use clickhouse::Client;
use clickhouse::error::Error as ClickHouseError;
use siphasher::sip::SipHasher13;
use weir_schemas::click::ClickParts;
use weir_schemas::effect::Effect;
use weir_schemas::event::Event;
use weir_schemas::fact::kind;
use weir_schemas::ids::Sequence;

use super::block::ClickBlock;
use super::progress::Range;
use super::rows::{DeadLetterRow, EffectRow, EventRow};
use crate::journal::Entry;

/// The rows of a range, as they are gathered for one insert per table.
#[derive(Debug, Default)]
pub(super) struct Batch {
    clicks: ClickBlock,
    clicks_token: TokenHasher,
    /// Browser events stay the journal's bytes until they are inserted.
    events: Vec<Entry>,
    pub effects: Vec<Effect>,
    /// Clicks whose bytes cannot be read.
    unreadable: usize,
}

/// The rows of a range whose insert went wrong, each for itself: what is there already is left out, what can never be
/// stored is put aside.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Clicks and events, in the journal's order.
    pub traffic: Vec<Entry>,
    pub effects: Vec<Effect>,
}

/// What became of a batch's rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Inserted {
    pub clicks: u64,
    pub events: u64,
    pub effects: u64,
    pub dead_traffic: u64,
    pub dead_effects: u64,
}

/// How many rows each table has of a range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub clicks: u64,
    pub events: u64,
    pub effects: u64,
}

/// One row of any table, as something to insert or to give up.
#[derive(Clone, Copy)]
enum Item<'a> {
    Click(Sequence, &'a [u8]),
    Event(Sequence, &'a [u8]),
    Effect(&'a Effect),
}

impl Item<'_> {
    fn identity(&self) -> (Sequence, u16) {
        match self {
            Self::Click(seq, _) | Self::Event(seq, _) => (*seq, 0),
            Self::Effect(effect) => (effect.seq, effect.sub),
        }
    }
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.clicks.rows() + self.events.len() + self.effects.len() + self.unreadable
    }

    /// Empties it and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.clicks.clear();
        self.clicks_token = TokenHasher::default();
        self.events.clear();
        self.effects.clear();
        self.unreadable = 0;
    }

    /// Adds an entry of `node`'s traffic.
    pub(super) fn add(&mut self, node: u16, entry: Entry<&[u8]>) {
        if entry.kind == kind::EVENT {
            self.events.push(entry.to_owned());
            return;
        }
        // What is of no known kind was written by a later version; as a click it cannot be read.
        match ClickParts::read(entry.payload) {
            Ok(click) => {
                self.clicks.push(node, entry.seq, &click);
                self.clicks_token.add(entry.seq, 0);
            }
            Err(_) => self.unreadable += 1,
        }
    }

    /// Inserts the rows, none of which may be there. `None`: they must be looked at one by one. After an error some of
    /// them may be there.
    pub(super) async fn insert(
        &mut self,
        client: &Client,
        writer: Writer,
    ) -> Result<Option<Inserted>, ClickHouseError> {
        if self.unreadable > 0 {
            return Ok(None);
        }
        self.clicks.insert(&settings(client, writer, "clicks", &self.clicks_token)).await?;
        let events: Vec<Item<'_>> = self.events.iter().map(|e| Item::Event(e.seq, &e.payload)).collect();
        if !events.is_empty() {
            insert_events(client, writer, &events).await?;
        }
        let effects: Vec<Item<'_>> = self.effects.iter().map(Item::Effect).collect();
        if !effects.is_empty() {
            insert_effects(client, writer, &effects).await?;
        }
        Ok(Some(Inserted {
            clicks: self.clicks.rows() as u64,
            events: events.len() as u64,
            effects: effects.len() as u64,
            ..Inserted::default()
        }))
    }
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.traffic.len() + self.effects.len()
    }

    /// Inserts the rows. `ambiguous`: an earlier try may have succeeded, in whole or in part, so what is
    /// there is asked first. `None`: ClickHouse took some of them for a repeat although it has no such rows.
    pub(super) async fn insert(
        &self,
        client: &Client,
        writer: Writer,
        range: Range,
        ambiguous: bool,
    ) -> Result<Option<Inserted>, ClickHouseError> {
        let block = &mut ClickBlock::default();
        let mut inserted = Inserted::default();
        // What is of no known kind was written by a later version; as a click it cannot be read, and is buried.
        let (events, clicks): (Vec<&Entry>, Vec<&Entry>) =
            self.traffic.iter().partition(|entry| entry.kind == kind::EVENT);
        let clicks: Vec<Item<'_>> = clicks.iter().map(|e| Item::Click(e.seq, &e.payload)).collect();
        let events: Vec<Item<'_>> = events.iter().map(|e| Item::Event(e.seq, &e.payload)).collect();
        let effects: Vec<Item<'_>> = self.effects.iter().map(Item::Effect).collect();
        for (table, items) in [("clicks", clicks), ("events", events), ("effects", effects)] {
            if items.is_empty() {
                continue;
            }
            let total = items.len() as u64;
            let all = if ambiguous { items.clone() } else { Vec::new() };
            let missing =
                if ambiguous { missing(client, writer.node, table, range, items).await? } else { items };
            let refused = insert_items(block, client, writer, table, &missing).await?;
            for (item, reason) in &refused {
                bury(client, writer.node, table, item, reason).await?;
            }
            // A ClickHouse that died after it had noted an insert's token, before it kept the rows, has the token only.
            if ambiguous
                && !missing.is_empty()
                && !self::missing(client, writer.node, table, range, all).await?.is_empty()
            {
                return Ok(None);
            }
            let dead = refused.len() as u64;
            let (alive, lost) = match table {
                "clicks" => (&mut inserted.clicks, &mut inserted.dead_traffic),
                "events" => (&mut inserted.events, &mut inserted.dead_traffic),
                _ => (&mut inserted.effects, &mut inserted.dead_effects),
            };
            *alive += total - dead;
            *lost += dead;
        }
        Ok(Some(inserted))
    }
}

/// Who inserts. ClickHouse remembers the token of an insert longer than its rows may live: rows that were
/// deleted or lost are only taken again under another generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Writer {
    pub node: u16,
    pub generation: u64,
}

/// How many rows of the range the tables have.
pub(super) async fn count(client: Client, node: u16, range: Range) -> Result<Counts, ClickHouseError> {
    let count = |table: &str| {
        let sql = format!("SELECT count() FROM {table} WHERE {BETWEEN}");
        let query = client.query(&sql).param("node", node);
        query.param("after", range.after).param("upto", range.upto).fetch_one::<u64>()
    };
    Ok(Counts {
        clicks: count("clicks").await?,
        events: count("events").await?,
        effects: count("effects").await?,
    })
}

/// Up to where there are rows of the node, in whatever table.
pub(super) async fn last(client: Client, node: u16) -> Result<Sequence, ClickHouseError> {
    let mut last = 0;
    for table in ["clicks", "events", "effects", "dead_letter"] {
        let sql = format!("SELECT max(seq) FROM {table} WHERE node = {{node:UInt16}}");
        last = last.max(client.query(&sql).param("node", node).fetch_one::<u64>().await?);
    }
    Ok(last)
}

const BETWEEN: &str = "node = {node:UInt16} AND seq > {after:UInt64} AND seq <= {upto:UInt64}";

/// Those of `items` that are neither in their table nor in `dead_letter`.
async fn missing<'a>(
    client: &Client,
    node: u16,
    table: &str,
    range: Range,
    items: Vec<Item<'a>>,
) -> Result<Vec<Item<'a>>, ClickHouseError> {
    let ask = |sql: String| {
        client
            .query(&sql)
            .param("node", node)
            .param("after", range.after)
            .param("upto", range.upto)
            .param("from_table", table)
    };
    let dead = format!("SELECT seq, sub FROM dead_letter WHERE {BETWEEN} AND source = {{from_table:String}}");
    let dead: Vec<(u64, u16)> = ask(dead).fetch_all().await?;
    let mut there = there(client, node, table, range).await?;
    there.extend(dead);
    Ok(items.into_iter().filter(|item| !there.contains(&item.identity())).collect())
}

/// Which rows of the range a table has.
async fn there(
    client: &Client,
    node: u16,
    table: &str,
    range: Range,
) -> Result<HashSet<(u64, u16)>, ClickHouseError> {
    let ask = |sql: &str| {
        let query = client.query(sql).param("node", node);
        query.param("after", range.after).param("upto", range.upto)
    };
    let count: u64 = ask(&format!("SELECT count() FROM {table} WHERE {BETWEEN}")).fetch_one().await?;
    if count == 0 {
        return Ok(HashSet::new());
    }
    let sub = if table == "effects" { "sub" } else { "toUInt16(0)" };
    let rows = ask(&format!("SELECT seq, {sub} AS sub FROM {table} WHERE {BETWEEN}"));
    Ok(rows.fetch_all::<(u64, u16)>().await?.into_iter().collect())
}

/// Inserts `items`; gives the rows that ClickHouse cannot take, found by halving, each with its reason.
async fn insert_items<'a>(
    block: &mut ClickBlock,
    client: &Client,
    writer: Writer,
    table: &str,
    items: &[Item<'a>],
) -> Result<Vec<(Item<'a>, String)>, ClickHouseError> {
    let mut refused = Vec::new();
    let mut parts = vec![items];
    while let Some(part) = parts.pop() {
        if part.is_empty() {
            continue;
        }
        let result = match table {
            "clicks" => insert_clicks(block, client, writer, part).await,
            "events" => insert_events(client, writer, part).await,
            _ => insert_effects(client, writer, part).await,
        };
        match result {
            Ok(()) => {}
            Err(error) if !is_about_data(&error) => return Err(error),
            Err(error) if part.len() == 1 => refused.push((part[0], error.to_string())),
            Err(_) => {
                let (left, right) = part.split_at(part.len() / 2);
                parts.push(right);
                parts.push(left);
            }
        }
    }
    Ok(refused)
}

/// Inserts rows once more that were put aside. Gives for each whether it is in its table now, or why not.
pub(super) async fn insert_again(
    client: &Client,
    writer: Writer,
    rows: &[Buried],
) -> Result<Vec<Result<(), String>>, ClickHouseError> {
    let mut results: Vec<Result<(), String>> = vec![Ok(()); rows.len()];
    let effects: Vec<Option<Effect>> =
        rows.iter().map(|row| serde_json::from_slice(&row.payload).ok()).collect();
    let mut block = ClickBlock::default();
    for table in ["clicks", "events", "effects"] {
        let mut items = Vec::new();
        for (n, row) in rows.iter().enumerate().filter(|(_, row)| row.source == table) {
            let item = match (table, &effects[n]) {
                _ if row.payload.is_empty() => {
                    Err("its text was erased; `weir replay warehouse` stores it anew")
                }
                ("clicks", _) => Ok(Item::Click(row.seq, &row.payload)),
                ("events", _) => Ok(Item::Event(row.seq, &row.payload)),
                (_, Some(effect)) => Ok(Item::Effect(effect)),
                (_, None) => Err("its bytes do not read back; `weir replay warehouse` stores it anew"),
            };
            match item {
                Ok(item) => items.push((n, item)),
                Err(why) => results[n] = Err(why.to_owned()),
            }
        }
        let (Some(first), Some(last)) = (
            items.iter().map(|(_, item)| item.identity().0).min(),
            items.iter().map(|(_, item)| item.identity().0).max(),
        ) else {
            continue;
        };
        // An earlier try may have got as far as the table and not as far as taking the row off the list.
        let there = there(client, writer.node, table, Range { after: first - 1, upto: last }).await?;
        items.retain(|(_, item)| !there.contains(&item.identity()));
        let rest: Vec<Item<'_>> = items.iter().map(|(_, item)| *item).collect();
        let refused = insert_items(&mut block, client, writer, table, &rest).await?;
        for (item, reason) in refused {
            let n = items.iter().find(|(_, one)| one.identity() == item.identity()).map(|(n, _)| *n);
            results[n.expect("what is refused was asked for")] = Err(reason);
        }
    }
    Ok(results)
}

/// A row of `dead_letter` as it is read back.
#[derive(Debug, Clone)]
pub(super) struct Buried {
    pub source: String,
    pub seq: Sequence,
    pub payload: Vec<u8>,
}

/// Makes an insert's token, which is of the rows themselves: another selection of the same range must never be taken
/// for a repeat.
#[derive(Debug, Default)]
struct TokenHasher {
    first: Sequence,
    last: Sequence,
    hasher: SipHasher13,
}

impl TokenHasher {
    fn of(items: &[Item<'_>]) -> Self {
        let mut token = Self::default();
        for item in items {
            let (seq, sub) = item.identity();
            token.add(seq, sub);
        }
        token
    }

    fn add(&mut self, seq: Sequence, sub: u16) {
        if self.first == 0 {
            self.first = seq;
        }
        self.last = seq;
        self.hasher.write_u64(seq);
        self.hasher.write_u16(sub);
    }

    fn token(&self, writer: Writer, table: &str) -> String {
        let Writer { node, generation } = writer;
        let Self { first, last, hasher } = self;
        format!("{table}-{node}-{generation}-{first}-{last}-{:016x}", hasher.finish())
    }
}

fn settings(client: &Client, writer: Writer, table: &str, token: &TokenHasher) -> Client {
    client
        .clone()
        // The schema is this binary's own (migrations are checked at the start): asking for it per batch
        // would be waste.
        .with_validation(false)
        .with_setting("async_insert", "0")
        .with_setting("insert_deduplicate", "1")
        .with_setting("insert_deduplication_token", token.token(writer, table))
}

async fn insert_clicks(
    block: &mut ClickBlock,
    client: &Client,
    writer: Writer,
    items: &[Item<'_>],
) -> Result<(), ClickHouseError> {
    let client = settings(client, writer, "clicks", &TokenHasher::of(items));
    block.clear();
    for item in items {
        let Item::Click(seq, bytes) = item else { unreachable!("only clicks go to clicks") };
        let click = ClickParts::read(bytes)
            .map_err(|error| ClickHouseError::BadResponse(format!("{UNREADABLE}: {error}")))?;
        block.push(writer.node, *seq, &click);
    }
    block.insert(&client).await
}

async fn insert_events(client: &Client, writer: Writer, items: &[Item<'_>]) -> Result<(), ClickHouseError> {
    let client = settings(client, writer, "events", &TokenHasher::of(items));
    let mut insert = client.insert::<EventRow<'_>>("events").await?;
    for item in items {
        let Item::Event(seq, bytes) = item else { unreachable!("only events go to events") };
        let event = Event::read(bytes)
            .map_err(|error| ClickHouseError::BadResponse(format!("{UNREADABLE}: {error}")))?;
        insert.write(&EventRow::new(writer.node, *seq, &event)).await?;
    }
    insert.end().await
}

async fn insert_effects(client: &Client, writer: Writer, items: &[Item<'_>]) -> Result<(), ClickHouseError> {
    let client = settings(client, writer, "effects", &TokenHasher::of(items));
    let mut insert = client.insert::<EffectRow<'_>>("effects").await?;
    for item in items {
        let Item::Effect(effect) = item else { unreachable!("only effects go to effects") };
        insert.write(&EffectRow::new(writer.node, effect)).await?;
    }
    insert.end().await
}

async fn bury(
    client: &Client,
    node: u16,
    table: &str,
    item: &Item<'_>,
    reason: &str,
) -> Result<(), ClickHouseError> {
    let (seq, sub) = item.identity();
    tracing::error!(table, seq, sub, reason, "a row was put into dead_letter");
    let effect_bytes;
    let payload = match item {
        Item::Click(_, bytes) | Item::Event(_, bytes) => *bytes,
        Item::Effect(effect) => {
            effect_bytes = serde_json::to_vec(effect).expect("an effect is JSON");
            &effect_bytes
        }
    };
    let client = client.clone().with_validation(false).with_setting("async_insert", "0");
    let mut insert = client.insert::<DeadLetterRow<'_>>("dead_letter").await?;
    let at = weir_schemas::time::Timestamp::now().0;
    insert.write(&DeadLetterRow { node, seq, sub, at, source: table, reason, payload }).await?;
    insert.end().await
}

const UNREADABLE: &str = "the journal's entry cannot be read";

/// ClickHouse's codes for rows that it can never take, however often they are sent.
const DATA_CODES: &[u32] = &[
    6,   // CANNOT_PARSE_TEXT
    26,  // CANNOT_PARSE_QUOTED_STRING
    27,  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
    33,  // CANNOT_READ_ALL_DATA
    38,  // CANNOT_PARSE_DATE
    41,  // CANNOT_PARSE_DATETIME
    53,  // TYPE_MISMATCH
    69,  // ARGUMENT_OUT_OF_BOUND
    70,  // CANNOT_CONVERT_TYPE
    72,  // CANNOT_PARSE_NUMBER
    117, // INCORRECT_DATA
    131, // TOO_LARGE_STRING_SIZE
    321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
    349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
    469, // VIOLATED_CONSTRAINT
    691, // UNKNOWN_ELEMENT_OF_ENUM
];

fn is_about_data(error: &ClickHouseError) -> bool {
    let ClickHouseError::BadResponse(text) = error else { return false };
    if text.starts_with(UNREADABLE) {
        return true;
    }
    let code = text.split("Code: ").nth(1).and_then(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    });
    code.is_some_and(|code| DATA_CODES.contains(&code))
}
