//! Reads what a statement of [`super::sql`] answers, in ClickHouse's RowBinary: integers little endian,
//! strings and arrays after their length as LEB128.

use weir_schemas::money::Currency;
use weir_schemas::query::Dimension;

use super::condition::{FieldKind, kind};
use super::measure::Extremes;
use super::plan::Plan;
use super::sql::Mode;
use super::states::States;
use super::table::Key;
use super::visitors::{HISTOGRAM_LEN, Histogram, Visitors, estimate};

/// The answer does not have the shape of the statement: the server is not a ClickHouse that Weir knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the warehouse's answer breaks off or has another shape than asked for, at byte {0}")]
pub struct BadAnswer(pub usize);

/// A row: its dimensions and its states.
pub(super) type StateRow = (Vec<Key>, States);

/// RowBinary from its start.
pub(super) struct Bytes<'a> {
    pub(super) all: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], BadAnswer> {
        let end =
            self.at.checked_add(length).filter(|end| *end <= self.all.len()).ok_or(BadAnswer(self.at))?;
        let taken = &self.all[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], BadAnswer> {
        Ok(self.take(N)?.try_into().expect("take gives as many bytes as asked"))
    }

    pub(super) fn length(&mut self) -> Result<usize, BadAnswer> {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let [byte] = self.array::<1>()?;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return usize::try_from(value).map_err(|_| BadAnswer(self.at));
            }
            if shift > 56 {
                return Err(BadAnswer(self.at));
            }
        }
    }

    pub(super) fn text(&mut self) -> Result<&'a str, BadAnswer> {
        let length = self.length()?;
        let at = self.at;
        std::str::from_utf8(self.take(length)?).map_err(|_| BadAnswer(at))
    }

    fn list<T>(&mut self, read: impl Fn(&mut Self) -> Result<T, BadAnswer>) -> Result<Vec<T>, BadAnswer> {
        let length = self.length()?;
        if length > self.all.len() - self.at {
            return Err(BadAnswer(self.at));
        }
        (0..length).map(|_| read(self)).collect()
    }

    pub(super) fn u32(&mut self) -> Result<u32, BadAnswer> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, BadAnswer> {
        Ok(u64::from_le_bytes(self.array()?))
    }
}

/// All rows of an answer, `of_cells` in part or of single clicks. `None` where a row's visitors are left undecided: the
/// statement is to read every set.
pub(super) fn read(
    plan: &Plan,
    mode: Mode,
    of_cells: bool,
    bytes: &[u8],
) -> Result<Option<Vec<StateRow>>, BadAnswer> {
    let mut bytes = Bytes { all: bytes, at: 0 };
    let mut rows = Vec::new();
    while bytes.at < bytes.all.len() {
        let dimensions: &[Dimension] = if mode == Mode::Total { &[] } else { &plan.dimensions };
        let keys = dimensions.iter().map(|dimension| key(dimension, &mut bytes)).collect::<Result<_, _>>()?;
        let Some(states) = states(plan, mode, of_cells, &mut bytes)? else { return Ok(None) };
        rows.push((keys, states));
    }
    Ok(Some(rows))
}

fn key(dimension: &Dimension, bytes: &mut Bytes<'_>) -> Result<Key, BadAnswer> {
    match dimension {
        Dimension::Time(_) => Ok(Key::Time(i64::from_le_bytes(bytes.array()?))),
        Dimension::Field(field) => match kind(*field) {
            FieldKind::Text => bytes.text().map(|text| Key::Text(text.into())),
            FieldKind::Id | FieldKind::Number => bytes.u64().map(Key::Number),
            FieldKind::Flag => Ok(Key::Flag(bytes.array::<1>()? != [0])),
        },
        Dimension::Property(_) => bytes.text().map(|text| Key::Text(text.into())),
    }
}

fn states(
    plan: &Plan,
    mode: Mode,
    of_cells: bool,
    bytes: &mut Bytes<'_>,
) -> Result<Option<States>, BadAnswer> {
    let mut states = States::default();
    for sum in &plan.needs.sums {
        states.add(*sum, i128::from_le_bytes(bytes.array()?));
    }
    if plan.needs.visitors && of_cells {
        let many = bytes.array::<1>()? != [0];
        let set = bytes.list(Bytes::u64)?;
        let largest = bytes.u32()?;
        let packed = bytes.list(Bytes::u32)?;
        let numbers = bytes.length()?;
        let length = numbers.checked_mul(size_of::<[u64; 4]>()).ok_or(BadAnswer(bytes.at))?;
        let unary = bytes.take(length)?;
        match Visitors::from_cells(many, set, &packed, unary, largest) {
            Some(visitors) => states.visitors = visitors,
            None => return Ok(None),
        }
    } else if plan.needs.visitors {
        states.visitors = if mode == Mode::States {
            let set = bytes.list(Bytes::u64)?;
            let registers = bytes.list(Bytes::u32)?;
            Visitors::from_state(set, &registers)
        } else {
            let count = bytes.u64()?;
            let histogram = bytes.list(Bytes::u32)?;
            match Histogram::try_from(histogram.as_slice()) {
                Ok(histogram) => Visitors::Known { count: estimate(&histogram), estimated: true },
                Err(_) if histogram.is_empty() => Visitors::Known { count, estimated: false },
                Err(_) => return Err(BadAnswer(bytes.at)),
            }
        };
    }
    if plan.needs.latency {
        let buckets = bytes.list(Bytes::u32)?;
        let counts = bytes.list(Bytes::u64)?;
        states.latencies = super::latency::Latencies::from_state(&buckets, &counts);
    }
    if plan.needs.currencies {
        for currency in bytes.list(Bytes::text)? {
            states.meet(currency.parse::<Currency>().map_err(|_| BadAnswer(bytes.at))?);
        }
    }
    if plan.needs.extremes {
        states.extremes = Extremes::read(bytes)?;
    }
    Ok(Some(states))
}

const _: () = assert!(HISTOGRAM_LEN == size_of::<Histogram>() / 4);
