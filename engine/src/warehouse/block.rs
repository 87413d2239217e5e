//! Clicks as one block of ClickHouse's `Native` format: whole columns, as the server holds them, so that it has nothing
//! to parse. Row by row (`RowBinary`) it spent 3 µs of processor time on each click, most of it on looking up the same
//! few countries and browsers again and again; here each is sent once.
//!
//! ```text
//! block           = columns varint · rows varint · column …            (integers little-endian)
//! column          = name string · type string · data                   string: length varint · bytes
//! data            = fixed width: the values · String: the strings
//! LowCardinality  = version u64 = 1 · flags u64 · keys u64 · the keys · rows u64 · an index into the keys per row
//! ```
//! Source: `SerializationLowCardinality.cpp` and `NativeReader.cpp` of ClickHouse. A column that is sent as
//! `LowCardinality(String)` is one in the table (`schemas/sql/0001_clicks.sql`); a test inserts a block into it.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use clickhouse::Client;
use clickhouse::error::Error as ClickHouseError;
use weir_schemas::click::ClickParts;
use weir_schemas::ids::Sequence;

/// The only version of the dictionary's serialization: keys beside their indices, in each block.
const KEYS_VERSION: u64 = 1;
/// The block brings its own keys, and they replace whatever dictionary there was.
const OWN_KEYS: u64 = 1 << 9 | 1 << 10;
/// Bytes of a column's name, type and, where it has keys, their counts.
const COLUMN_HEAD_MAX: usize = 96;
/// Bytes handed to the connection at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Clicks, by column.
#[derive(Debug, Default)]
pub struct ClickBlock {
    rows: usize,
    fixed: [Vec<u8>; FIXED.len()],
    texts: [Vec<u8>; TEXTS.len()],
    keyed: [Keyed; KEYED.len()],
    /// The bytes of the last insert, kept for their memory.
    bytes: Vec<u8>,
}

/// Columns of fixed width and their types.
const FIXED: [(&str, &str); 15] = [
    ("node", "UInt16"),
    ("seq", "UInt64"),
    ("id", "UInt128"),
    ("at", "DateTime64(3, 'UTC')"),
    ("bot", "Bool"),
    ("flags", "UInt8"),
    ("status", "UInt16"),
    ("latency_us", "UInt32"),
    ("workspace", "UInt32"),
    ("link", "UInt64"),
    ("program", "UInt64"),
    ("partner", "UInt64"),
    ("visitor", "UInt64"),
    ("network", "UInt64"),
    ("asn", "UInt32"),
];
/// Texts of many values.
const TEXTS: [&str; 6] = ["city", "referrer", "utm_term", "utm_content", "slug", "evidence"];
/// Texts of few values.
const KEYED: [&str; 15] = [
    "verdict",
    "domain",
    "variant",
    "country",
    "region",
    "continent",
    "device",
    "browser",
    "os",
    "medium",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "language",
    "signal",
];

impl ClickBlock {
    /// How many clicks it holds.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.rows = 0;
        self.fixed.iter_mut().chain(&mut self.texts).for_each(Vec::clear);
        self.keyed.iter_mut().for_each(Keyed::clear);
    }

    /// Inserts the clicks into `clicks`, with the client's settings.
    ///
    /// # Errors
    /// What ClickHouse or the connection says; part of the rows may be stored then.
    pub async fn insert(&mut self, client: &Client) -> Result<(), ClickHouseError> {
        if self.rows == 0 {
            return Ok(());
        }
        let names = FIXED.iter().map(|(name, _)| *name).chain(TEXTS).chain(KEYED);
        let names = names.collect::<Vec<_>>().join(", ");
        let mut insert = client.insert_formatted_with(format!("INSERT INTO clicks ({names}) FORMAT Native"));
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        // At once: what grows is moved again and again, into pages that the kernel must clear.
        bytes.reserve(self.bytes_max());
        self.write(&mut bytes);
        debug_assert!(bytes.len() <= self.bytes_max());
        let bytes = Bytes::from(bytes);
        for start in (0..bytes.len()).step_by(CHUNK_BYTES) {
            insert.send(bytes.slice(start..bytes.len().min(start + CHUNK_BYTES))).await?;
        }
        let done = insert.end().await;
        self.bytes = bytes.into();
        done
    }

    /// Adds the click at `seq` of `node`'s journal.
    pub fn push(&mut self, node: u16, seq: Sequence, click: &ClickParts<'_>) {
        self.rows += 1;
        let ClickParts { head, dims, slug, evidence } = click;
        let [
            domain,
            variant,
            country,
            region,
            city,
            continent,
            device,
            browser,
            os,
            referrer,
            medium,
            utm_source,
            utm_medium,
            utm_campaign,
            utm_term,
            utm_content,
            language,
            signal,
        ] = dims;
        let [
            n,
            s,
            id,
            at,
            bot,
            flags,
            status,
            latency,
            workspace,
            link,
            program,
            partner,
            visitor,
            network,
            asn,
        ] = &mut self.fixed;
        n.extend_from_slice(&node.to_le_bytes());
        s.extend_from_slice(&seq.to_le_bytes());
        id.extend_from_slice(&head.id.0.to_le_bytes());
        at.extend_from_slice(&head.at.0.to_le_bytes());
        bot.push(u8::from(head.bot));
        flags.push(head.flags);
        status.extend_from_slice(&head.status.to_le_bytes());
        latency.extend_from_slice(&head.latency_us.to_le_bytes());
        workspace.extend_from_slice(&head.workspace.0.to_le_bytes());
        link.extend_from_slice(&head.link.0.to_le_bytes());
        program.extend_from_slice(&head.program.0.to_le_bytes());
        partner.extend_from_slice(&head.partner.0.to_le_bytes());
        visitor.extend_from_slice(&head.visitor.to_le_bytes());
        network.extend_from_slice(&head.network.to_le_bytes());
        asn.extend_from_slice(&head.asn.to_le_bytes());
        let texts: [&str; TEXTS.len()] = [city, referrer, utm_term, utm_content, slug, evidence];
        for (column, text) in self.texts.iter_mut().zip(texts) {
            put_text(column, text);
        }
        let keyed: [&str; KEYED.len()] = [
            head.verdict.as_str(),
            domain,
            variant,
            country,
            region,
            continent,
            device,
            browser,
            os,
            medium,
            utm_source,
            utm_medium,
            utm_campaign,
            language,
            signal,
        ];
        for (column, text) in self.keyed.iter_mut().zip(keyed) {
            column.push(text);
        }
    }

    /// The block has no more bytes than this.
    fn bytes_max(&self) -> usize {
        let columns = self.fixed.iter().chain(&self.texts).map(Vec::len).sum::<usize>();
        let keyed = self.keyed.iter().map(Keyed::bytes_max).sum::<usize>();
        columns + keyed + COLUMN_HEAD_MAX * (1 + FIXED.len() + TEXTS.len() + KEYED.len())
    }

    /// Appends the block's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        put_varint(out, FIXED.len() + TEXTS.len() + KEYED.len());
        put_varint(out, self.rows);
        for ((name, kind), values) in FIXED.iter().zip(&self.fixed) {
            put_text(out, name);
            put_text(out, kind);
            out.extend_from_slice(values);
        }
        for (name, values) in TEXTS.iter().zip(&self.texts) {
            put_text(out, name);
            put_text(out, "String");
            out.extend_from_slice(values);
        }
        for (name, values) in KEYED.iter().zip(&self.keyed) {
            put_text(out, name);
            put_text(out, "LowCardinality(String)");
            values.write(out);
        }
    }
}

/// A text column of few values: each once, and which of them every row has.
#[derive(Debug, Default)]
struct Keyed {
    /// Each with its number, and where in `keys` its text is.
    index: HashMap<Box<str>, (u32, Range<usize>), ahash::RandomState>,
    /// The distinct values as strings of the format.
    keys: Vec<u8>,
    /// The last row's value, and where in `keys` its text is.
    last: Option<(u32, Range<usize>)>,
    rows: Rows,
}

/// Which value each row has, as wide as the number of values asks for: mostly a byte.
#[derive(Debug)]
enum Rows {
    Bytes(Vec<u8>),
    Words(Vec<u32>),
}

impl Default for Rows {
    fn default() -> Self {
        Self::Bytes(Vec::new())
    }
}

impl Rows {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(rows) => rows.len(),
            Self::Words(rows) => rows.len(),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Bytes(rows) => rows.clear(),
            Self::Words(_) => *self = Self::default(),
        }
    }

    #[inline]
    fn push(&mut self, value: u32) {
        match (&mut *self, u8::try_from(value)) {
            (Self::Bytes(rows), Ok(value)) => rows.push(value),
            (Self::Words(rows), _) => rows.push(value),
            (Self::Bytes(rows), Err(_)) => {
                *self = Self::Words(rows.iter().map(|value| u32::from(*value)).chain([value]).collect());
            }
        }
    }
}

impl Keyed {
    fn clear(&mut self) {
        self.index.clear();
        self.keys.clear();
        self.last = None;
        self.rows.clear();
    }

    fn push(&mut self, text: &str) {
        // Neighbours are mostly alike, and comparing costs less than hashing.
        if let Some((last, range)) = &self.last
            && range.len() == text.len()
            && (text.is_empty() || self.keys[range.clone()] == *text.as_bytes())
        {
            self.rows.push(*last);
            return;
        }
        let (at, range) = match self.index.get(text) {
            Some((at, range)) => (*at, range.clone()),
            None => {
                let at = self.index.len() as u32;
                put_text(&mut self.keys, text);
                let range = self.keys.len() - text.len()..self.keys.len();
                self.index.insert(text.into(), (at, range.clone()));
                (at, range)
            }
        };
        self.last = Some((at, range));
        self.rows.push(at);
    }

    /// It has no more bytes than this beside the column's head.
    fn bytes_max(&self) -> usize {
        self.keys.len() + size_of::<u32>() * self.rows.len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        // Indices are as wide as the number of keys asks for.
        let width: u64 = match self.index.len() {
            0..=0x100 => 0,
            0x101..=0x1_0000 => 1,
            _ => 2,
        };
        for word in [KEYS_VERSION, OWN_KEYS | width, self.index.len() as u64] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.keys);
        out.extend_from_slice(&(self.rows.len() as u64).to_le_bytes());
        match (&self.rows, width) {
            (Rows::Bytes(rows), _) => out.extend_from_slice(rows),
            (Rows::Words(rows), 1) => {
                rows.iter().for_each(|at| out.extend_from_slice(&(*at as u16).to_le_bytes()));
            }
            (Rows::Words(rows), _) => rows.iter().for_each(|at| out.extend_from_slice(&at.to_le_bytes())),
        }
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len());
    if !text.is_empty() {
        out.extend_from_slice(text.as_bytes());
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
