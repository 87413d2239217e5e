//! The tail: the traffic that was journaled lately, in memory. Followers are a fraction of a second behind the
//! writer, so what they read was written just now: from here it is one copy, where the file asks for a system call,
//! a copy and a checksum of each of them. Who is further behind reads the files.
//!
//! A ring of bytes with the batches' frames as they stand in the segments, and a mark for each batch. One writer; a
//! reader holds the lock for as long as it takes to copy [`COPY_BYTES`].

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_schemas::ids::Sequence;

/// Bytes of traffic that are remembered; a click has about 300.
pub(super) const TAIL_BYTES: usize = 32 << 20;
/// Bytes that a reader copies at once, beyond the batch that it begins with.
const COPY_BYTES: usize = 256 << 10;

/// The tail of a journal. Clones share it.
#[derive(Debug, Clone)]
pub struct Tail(Arc<Mutex<Ring>>);

struct Ring {
    bytes: Box<[u8]>,
    /// Bytes ever written, with what was skipped at the ring's end: the last `bytes.len()` of them may be there.
    written: u64,
    marks: VecDeque<Mark>,
    /// All traffic behind this is here.
    floor: Sequence,
}

/// A batch in the ring.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: u64,
    length: usize,
    /// The journal's last sequence once it was committed.
    last: Sequence,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("floor", &self.floor).field("batches", &self.marks.len()).finish()
    }
}

/// What the tail has behind a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// Frames, copied: all traffic from there up to this sequence, and perhaps some before.
    Copied(Sequence),
    /// No traffic was committed since.
    Nothing,
    /// Some is only in the files.
    Forgotten,
}

impl Tail {
    /// Empty; `last` is where the journal ends.
    pub(super) fn new(bytes: usize, last: Sequence) -> Self {
        let ring = Ring {
            bytes: vec![0; bytes].into_boxed_slice(),
            written: 0,
            marks: VecDeque::new(),
            floor: last,
        };
        Self(Arc::new(Mutex::new(ring)))
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers the frames of a batch that was committed, up to `last`; the oldest are forgotten for it.
    pub(super) fn remember(&self, frames: &[u8], last: Sequence) {
        self.ring().put(frames, last);
    }

    /// Whether all traffic behind `after` is here.
    pub(super) fn covers(&self, after: Sequence) -> bool {
        after >= self.ring().floor
    }

    /// Copies the batches behind `after` into `out`, which is emptied: the first, and more up to [`COPY_BYTES`].
    pub(super) fn copy_behind(&self, after: Sequence, out: &mut Vec<u8>) -> Behind {
        out.clear();
        let ring = self.ring();
        if after < ring.floor {
            return Behind::Forgotten;
        }
        let first = ring.marks.partition_point(|mark| mark.last <= after);
        let mut upto = None;
        for mark in ring.marks.iter().skip(first) {
            if upto.is_some() && out.len() + mark.length > COPY_BYTES {
                break;
            }
            out.extend_from_slice(ring.frames(mark));
            upto = Some(mark.last);
        }
        upto.map_or(Behind::Nothing, Behind::Copied)
    }
}

impl Ring {
    fn put(&mut self, frames: &[u8], last: Sequence) {
        let capacity = self.bytes.len() as u64;
        let length = frames.len();
        if length as u64 > capacity {
            self.marks.clear();
            self.floor = last;
            return;
        }
        let mut offset = self.written % capacity;
        if offset + length as u64 > capacity {
            // No batch goes over the end.
            self.written += capacity - offset;
            offset = 0;
        }
        let at = self.written;
        self.written += length as u64;
        while let Some(mark) = self.marks.front().filter(|mark| mark.at + capacity < self.written) {
            self.floor = mark.last;
            self.marks.pop_front();
        }
        self.bytes[offset as usize..][..length].copy_from_slice(frames);
        self.marks.push_back(Mark { at, length, last });
    }

    fn frames(&self, mark: &Mark) -> &[u8] {
        &self.bytes[(mark.at % self.bytes.len() as u64) as usize..][..mark.length]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The naive twin is a list of all batches; the tail may forget the oldest of them and nothing else.
        #[test]
        fn what_it_has_is_what_was_put(sizes in prop::collection::vec(0..400_usize, 1..80), after in 0..240_u64) {
            let tail = Tail::new(1_000, 0);
            let mut twin: Vec<(u64, Vec<u8>)> = Vec::new();
            for (n, size) in sizes.iter().enumerate() {
                let last = 3 * n as u64 + 3;
                let frames = vec![n as u8; *size];
                tail.remember(&frames, last);
                twin.push((last, frames));
            }
            let mut out = vec![9];
            match tail.copy_behind(after, &mut out) {
                Behind::Forgotten => {
                    let kept: usize = twin.iter().filter(|(last, _)| *last > after).map(|(_, f)| f.len()).sum();
                    prop_assert!(kept + 800 > 1_000, "{kept} bytes would have had room");
                    prop_assert!(!tail.covers(after));
                }
                Behind::Nothing => prop_assert!(twin.iter().all(|(last, _)| *last <= after)),
                Behind::Copied(upto) => {
                    let behind = twin.iter().filter(|(last, _)| *last > after);
                    let all: Vec<u8> = behind.flat_map(|(_, frames)| frames.clone()).collect();
                    prop_assert_eq!(&out, &all);
                    prop_assert_eq!(upto, twin.last().unwrap().0);
                    prop_assert!(tail.covers(after));
                }
            }
        }
    }

    #[test]
    fn a_batch_larger_than_the_tail_is_only_in_the_files() {
        let tail = Tail::new(100, 5);
        assert!(tail.covers(5) && !tail.covers(4));
        tail.remember(&[1; 50], 6);
        tail.remember(&[2; 101], 8);
        let mut out = Vec::new();
        assert_eq!(tail.copy_behind(6, &mut out), Behind::Forgotten);
        assert_eq!(tail.copy_behind(8, &mut out), Behind::Nothing);
    }
}
