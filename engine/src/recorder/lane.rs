//! Lanes: how a hit leaves an edge thread without waiting. A lane is a memory-mapped ring with one producer
//! (the edge thread) and one consumer (the recorder); appending is a copy and one store.
//!
//! ```text
//! record  = commit u64 · counter u64 · bytes · padding to 8       commit: length u32 | crc32c u32 << 32, stored last
//! ```
//!
//! The length of a commit word counts the bytes; the CRC covers counter and bytes, so that after a power
//! failure (when pages reach the disk in any order) half a record is not taken for a whole one. Records of
//! this run are whole once their commit word is seen: of them it is not asked. `WRAP` as length sends the
//! reader to the ring's beginning. Consumed bytes are zeroed before they are given back: a zero commit word
//! is "nothing yet", and a visitor's address does not outlive its refining.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use map::Map;

mod map;

const WORD: usize = 8;
const RECORD_HEAD: usize = 2 * WORD;
/// The length that means: go on at the beginning of the ring.
const WRAP: u32 = u32::MAX;
/// The smallest ring: room for several of the largest hits.
pub const LANE_BYTES_MIN: u64 = 1 << 16;

/// The lane has no room: the hit is answered and not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lane is full")]
pub struct LaneFull;

/// What both ends and the counters see.
#[derive(Debug)]
struct Shared {
    map: Map,
    index: u16,
    appended: AtomicU64,
    dropped: AtomicU64,
    /// The counter of the last append.
    last: AtomicU64,
}

/// The producer's end.
#[derive(Debug)]
pub struct Lane {
    shared: Arc<Shared>,
    /// Where the next record begins; the ring is free up to `consumed + capacity`.
    position: u64,
    /// The last `consumed` that was loaded; loaded again only when the ring seems full.
    consumed: u64,
    next_counter: u64,
}

/// The consumer's end.
#[derive(Debug)]
pub(super) struct LaneReader {
    shared: Arc<Shared>,
    /// Up to here records were read; up to `consumed` they were given back.
    read: u64,
    /// The counter of the last record that was read.
    last_read: u64,
    /// What is read was left by another run, which a power failure may have ended.
    left: bool,
}

/// A record as the consumer reads it: where it stands in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub counter: u64,
    pub bytes: &'a [u8],
}

/// Opens the ring of `path`: the reader stands where the last run stopped, and may find records that it left.
pub(super) fn open(path: &Path, index: u16, capacity: u64) -> std::io::Result<LaneReader> {
    let capacity = capacity.max(LANE_BYTES_MIN).next_multiple_of(4_096) as usize;
    let map = Map::open(path, capacity)?;
    let read = map.giving_back().load(Ordering::Acquire).max(map.consumed().load(Ordering::Acquire));
    let shared = Shared {
        map,
        index,
        appended: AtomicU64::new(0),
        dropped: AtomicU64::new(0),
        last: AtomicU64::new(0),
    };
    let mut reader = LaneReader { shared: Arc::new(shared), read, last_read: 0, left: true };
    // The last run may have died while zeroing what it had journaled; what follows it is still to be read.
    reader.consume();
    Ok(reader)
}

impl Lane {
    /// The counter that the next append gives. A token is made with it before the hit is appended.
    pub fn next_counter(&self) -> u64 {
        self.next_counter
    }

    /// The lane's number.
    pub fn index(&self) -> u16 {
        self.shared.index
    }

    /// Whether `records` of `bytes` in all fit while half of the ring stays free for hits: what may wait is
    /// refused before it costs a click.
    pub fn has_room_beside_hits(&mut self, bytes: usize, records: usize) -> bool {
        let capacity = self.shared.map.capacity() as u64;
        self.consumed = self.shared.map.consumed().load(Ordering::Acquire);
        // Each record has its head, its padding and at most one skipped end of the ring of its own size.
        let needed = 2 * (bytes + records * (RECORD_HEAD + 2 * WORD)) as u64;
        self.position + needed <= self.consumed + capacity / 2
    }

    /// Copies `bytes` into the ring and publishes them. Never waits. The counter is used up even where the
    /// lane is full, as a token may already carry it.
    pub fn append(&mut self, bytes: &[u8]) -> Result<u64, LaneFull> {
        let counter = self.next_counter;
        self.next_counter += 1;
        let map = &self.shared.map;
        let capacity = map.capacity();
        let size = RECORD_HEAD + bytes.len().next_multiple_of(WORD);
        let mut offset = (self.position % capacity as u64) as usize;
        // A commit word behind the record must stay zero until its turn: hence one word more than the record.
        let skipped = if offset + size + WORD > capacity { capacity - offset } else { 0 };
        let needed = (skipped + size + WORD) as u64;
        if self.position + needed > self.consumed + capacity as u64 {
            self.consumed = map.consumed().load(Ordering::Acquire);
            if self.position + needed > self.consumed + capacity as u64 {
                self.shared.dropped.fetch_add(1, Ordering::Relaxed);
                return Err(LaneFull);
            }
        }
        let wrap_at = offset;
        if skipped > 0 {
            offset = 0;
        }
        map.write(offset + WORD, &counter.to_le_bytes());
        map.write(offset + RECORD_HEAD, bytes);
        let crc = crc32c::crc32c(map.record(offset + WORD, WORD + bytes.len()));
        let word = bytes.len() as u64 | u64::from(crc) << 32;
        map.commit(offset).store(word, Ordering::Release);
        if skipped > 0 {
            // Published after the record it leads to.
            map.commit(wrap_at).store(u64::from(WRAP), Ordering::Release);
        }
        self.position += (skipped + size) as u64;
        // One writer: an atomic add would lock the cache line for nothing.
        let appended = self.shared.appended.load(Ordering::Relaxed);
        self.shared.appended.store(appended + 1, Ordering::Relaxed);
        self.shared.last.store(counter, Ordering::Release);
        Ok(counter)
    }
}

impl LaneReader {
    /// The lane's number.
    pub(super) fn index(&self) -> u16 {
        self.shared.index
    }

    /// Reads the next record. `None`: there is none yet, or what stands there is not whole.
    pub(super) fn next(&mut self) -> Option<Record<'_>> {
        let map = &self.shared.map;
        let capacity = map.capacity();
        loop {
            let offset = (self.read % capacity as u64) as usize;
            let word = map.commit(offset).load(Ordering::Acquire);
            let length = word as u32;
            if length == WRAP {
                self.read += (capacity - offset) as u64;
                continue;
            }
            let size = RECORD_HEAD + (length as usize).next_multiple_of(WORD);
            if word == 0 || offset + size + WORD > capacity {
                return None;
            }
            let record = map.record(offset + WORD, WORD + length as usize);
            let (counter, bytes) = record.split_first_chunk::<WORD>()?;
            let counter = u64::from_le_bytes(*counter);
            if self.left && crc32c::crc32c(record) != (word >> 32) as u32 {
                return None;
            }
            self.read += size as u64;
            self.last_read = counter;
            return Some(Record { counter, bytes });
        }
    }

    /// Gives back what was read, as it is in the journal; tells the counter of its last record.
    pub(super) fn consume(&mut self) -> u64 {
        let map = &self.shared.map;
        let capacity = map.capacity() as u64;
        let from = map.consumed().load(Ordering::Acquire);
        map.giving_back().store(self.read, Ordering::Release);
        let mut left = self.read - from;
        let mut offset = (from % capacity) as usize;
        while left > 0 {
            let part = left.min(capacity - offset as u64);
            map.zero(offset, part as usize);
            left -= part;
            offset = 0;
        }
        map.consumed().store(self.read, Ordering::Release);
        self.last_read
    }

    /// Stands where the last `consume` was: what was read since is read again.
    pub(super) fn rewind(&mut self) {
        self.read = self.shared.map.consumed().load(Ordering::Acquire);
    }

    /// Forgets whatever is in the ring, and gives the producer's end, whose counters begin with
    /// `next_counter`.
    pub(super) fn restart(&mut self, next_counter: u64) -> Lane {
        let map = &self.shared.map;
        map.zero(0, map.capacity());
        map.giving_back().store(0, Ordering::Release);
        map.consumed().store(0, Ordering::Release);
        self.read = 0;
        self.left = false;
        Lane { shared: Arc::clone(&self.shared), position: 0, consumed: 0, next_counter }
    }

    /// Hits appended and dropped in this run.
    pub(super) fn counts(&self) -> LaneCounts {
        LaneCounts(Arc::clone(&self.shared))
    }
}

/// The counters of a lane, readable by anyone.
#[derive(Debug, Clone)]
pub(super) struct LaneCounts(Arc<Shared>);

impl LaneCounts {
    pub(super) fn appended(&self) -> u64 {
        self.0.appended.load(Ordering::Relaxed)
    }

    /// The counter of the last append; 0 where there was none in this run.
    pub(super) fn last(&self) -> u64 {
        self.0.last.load(Ordering::Acquire)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
