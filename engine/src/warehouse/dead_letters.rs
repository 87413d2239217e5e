//! What was put aside because ClickHouse would not take it: looked at, and tried again once the cause is mended.

use clickhouse::error::Error;
use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};
use weir_schemas::ids::Sequence;
use weir_schemas::time::Timestamp;

use super::batch::{Buried, Writer, insert_again};
use super::cells;

/// Most rows that are listed or tried again at a time.
pub const DEAD_LETTERS_MAX: usize = 1_000;

/// A row that was put aside, as it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    /// The entry's place in the journal.
    pub sequence: Sequence,
    /// Which of the entry's rows; 0 for clicks and events.
    pub sub: u16,
    /// The table it was meant for: `clicks`, `events` or `effects`.
    pub source: String,
    /// When it was put aside.
    pub at: Timestamp,
    /// What ClickHouse said.
    pub reason: String,
    /// Size of the entry, in bytes; 0 where its text was erased.
    pub bytes: u64,
}

/// What became of rows that were tried again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TriedAgain {
    /// In their tables now, and off the list.
    pub stored: u64,
    /// Still on the list.
    pub refused: Vec<StillRefused>,
}

/// A row that ClickHouse still does not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StillRefused {
    /// The entry's place in the journal.
    pub sequence: Sequence,
    /// Which of the entry's rows.
    pub sub: u16,
    /// The table it is meant for.
    pub source: String,
    /// What was said this time.
    pub reason: String,
}

#[derive(Debug, Row, Deserialize)]
struct Listed {
    seq: u64,
    sub: u16,
    source: String,
    /// Unix milliseconds.
    at: i64,
    reason: String,
    bytes: u64,
}

#[derive(Debug, Row, Deserialize)]
struct Kept {
    seq: u64,
    sub: u16,
    source: String,
    at: i64,
    /// Hexadecimal: the bytes are no text.
    payload: String,
}

/// The rows after `(sequence, sub)`, in the journal's order.
pub(super) async fn list(
    client: &Client,
    node: u16,
    after: (Sequence, u16),
    limit: usize,
) -> Result<Vec<DeadLetter>, Error> {
    const SQL: &str = "SELECT seq, sub, toString(source) AS source, toUnixTimestamp64Milli(at) AS at, reason, \
        length(payload) AS bytes FROM dead_letter WHERE node = {node:UInt16} \
        AND (seq, sub) > ({seq:UInt64}, {sub:UInt16}) ORDER BY seq, sub LIMIT {limit:UInt64}";
    let rows: Vec<Listed> = client
        .query(SQL)
        .param("node", node)
        .param("seq", after.0)
        .param("sub", after.1)
        .param("limit", limit.min(DEAD_LETTERS_MAX) as u64)
        .fetch_all()
        .await?;
    let told = |row: Listed| DeadLetter {
        sequence: row.seq,
        sub: row.sub,
        source: row.source,
        at: Timestamp(row.at),
        reason: row.reason,
        bytes: row.bytes,
    };
    Ok(rows.into_iter().map(told).collect())
}

/// Inserts up to [`DEAD_LETTERS_MAX`] rows again, those of `sequences` or the first there are; gives what became of
/// them, and how many of those stored were put aside since `since` and were traffic.
pub(super) async fn retry(
    client: &Client,
    writer: Writer,
    sequences: Option<&[Sequence]>,
    since: Timestamp,
) -> Result<(TriedAgain, u64), Error> {
    const SQL: &str = "SELECT seq, sub, toString(source) AS source, toUnixTimestamp64Milli(at) AS at, \
        hex(payload) AS payload FROM dead_letter WHERE node = {node:UInt16} \
        AND (empty({sequences:Array(UInt64)}) OR has({sequences:Array(UInt64)}, seq)) \
        ORDER BY seq, sub LIMIT {limit:UInt64}";
    let rows: Vec<Kept> = client
        .query(SQL)
        .param("node", writer.node)
        .param("sequences", sequences.unwrap_or_default())
        .param("limit", DEAD_LETTERS_MAX as u64)
        .fetch_all()
        .await?;
    let buried: Vec<Buried> = rows
        .iter()
        .map(|row| Buried { source: row.source.clone(), seq: row.seq, payload: bytes_of(&row.payload) })
        .collect();
    if let Some(first) = buried.iter().filter(|row| row.source == "clicks").map(|row| row.seq).min() {
        // The steps that were folded without these clicks.
        cells::forget_beyond(client, first - 1).await?;
    }
    let results = insert_again(client, writer, &buried).await?;
    let (mut tried, mut traffic) = (TriedAgain::default(), 0);
    let mut stored = Vec::new();
    for (row, result) in rows.into_iter().zip(results) {
        match result {
            Ok(()) => {
                traffic += u64::from(row.source != "effects" && row.at >= since.0);
                stored.push(format!("({},{},'{}')", row.seq, row.sub, row.source));
            }
            Err(reason) => tried.refused.push(StillRefused {
                sequence: row.seq,
                sub: row.sub,
                source: row.source,
                reason,
            }),
        }
    }
    tried.stored = stored.len() as u64;
    if !stored.is_empty() {
        // Numbers and the names of our own tables: nothing here came from outside.
        let sql = format!(
            "ALTER TABLE dead_letter DELETE WHERE node = {} AND (seq, sub, source) IN ({}) \
             SETTINGS mutations_sync = 2",
            writer.node,
            stored.join(",")
        );
        client.query_raw(&sql).execute().await?;
    }
    Ok((tried, traffic))
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    hex.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
