//! The tail: the traffic that was journaled lately, in memory. Followers are a fraction of a second behind the
//! writer, so what they read was written just now: from here it costs nothing, where the file asks for a system call,
//! a copy and a checksum of each of them. Who is further behind reads the files.
//!
//! The batches' frames as they stand in the segments, in the buffers that they were written from: nothing is copied,
//! and a reader keeps the batch that it reads. One writer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_schemas::ids::Sequence;

use super::frame::{self, Frame};

/// Bytes of traffic that are remembered; a click has about 300.
pub(super) const TAIL_BYTES: usize = 32 << 20;
/// A batch that fills less than this part of its buffer is copied, so that small batches take no more room than they
/// need and the buffer, whose pages are there already, is filled again.
const FILLED: usize = 2;
/// Places of the index: one for so many bytes.
const BYTES_PER_PLACE: usize = 256;

/// The tail of a journal. Clones share it.
#[derive(Debug, Clone)]
pub struct Tail(Arc<Mutex<Batches>>);

struct Batches {
    kept: VecDeque<Arc<Batch>>,
    /// What they take.
    bytes: usize,
    bytes_max: usize,
    /// All traffic behind this is here.
    floor: Sequence,
    /// The number of the oldest batch; each has one more than the one before.
    first: u64,
    /// The buffer of a batch that was forgotten, for the next that is copied: its pages are there already. One at most,
    /// beside `bytes_max`.
    spare: Vec<u8>,
    index: Box<[Place]>,
}

/// Where the entry stands that was `counter`-th on `lane`. Entries of one lane follow each other through the index, so
/// a place is taken by another entry of the lane only after all others were, and by one of another lane where their
/// counters meet.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    counter: u64,
    batch: u64,
    start: u32,
    lane: u16,
}

/// A batch that was committed.
#[derive(Debug)]
pub(super) struct Batch {
    pub frames: Vec<u8>,
    /// The journal's last sequence once it was committed.
    pub last: Sequence,
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batches").field("floor", &self.floor).field("kept", &self.kept.len()).finish()
    }
}

/// What the tail has behind a sequence.
#[derive(Debug)]
pub(super) enum Behind {
    /// The first batch that ends behind it.
    Batch(Arc<Batch>),
    /// No traffic was committed since.
    Nothing,
    /// Some is only in the files.
    Forgotten,
}

impl Batch {
    fn bytes(&self) -> usize {
        self.frames.capacity() + size_of::<Self>()
    }
}

impl Batches {
    fn place(&self, lane: u16, counter: u64) -> usize {
        // Lanes begin far apart.
        let spread = u64::from(lane).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        (counter.wrapping_add(spread) % self.index.len() as u64) as usize
    }

    /// A copy that takes at most [`FILLED`] times the room that it needs.
    fn copied(&mut self, frames: &[u8]) -> Vec<u8> {
        let mut copy = std::mem::take(&mut self.spare);
        if frames.len() > copy.capacity() || frames.len() * FILLED < copy.capacity() {
            return frames.to_vec();
        }
        copy.clear();
        copy.extend_from_slice(frames);
        copy
    }
}

impl Tail {
    /// Empty; `last` is where the journal ends.
    pub(super) fn new(bytes_max: usize, last: Sequence) -> Self {
        Self(Arc::new(Mutex::new(Batches {
            kept: VecDeque::new(),
            bytes: 0,
            bytes_max,
            floor: last,
            first: 1,
            spare: Vec::new(),
            index: vec![Place::default(); (bytes_max / BYTES_PER_PLACE).max(1)].into_boxed_slice(),
        })))
    }

    fn batches(&self) -> MutexGuard<'_, Batches> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the frames of a batch that was committed, up to `last`, and leaves an empty buffer for the next; the
    /// oldest are forgotten for them.
    pub(super) fn remember(&self, frames: &mut Vec<u8>, last: Sequence) {
        let small = frames.len() * FILLED < frames.capacity();
        let mut guard = self.batches();
        let batches = &mut *guard;
        let taken = match small {
            true => batches.copied(frames),
            false => std::mem::take(frames),
        };
        let room = taken.capacity();
        let batch = Batch { frames: taken, last };
        let number = batches.first + batches.kept.len() as u64;
        for (start, Frame { lane, counter, .. }) in frame::all(&batch.frames) {
            let place = batches.place(lane, counter);
            batches.index[place] = Place { counter, batch: number, start: start as u32, lane };
        }
        batches.bytes += batch.bytes();
        batches.kept.push_back(Arc::new(batch));
        while batches.bytes > batches.bytes_max {
            let Some(oldest) = batches.kept.pop_front() else { break };
            batches.bytes -= oldest.bytes();
            batches.floor = oldest.last;
            batches.first += 1;
            // Who still reads it frees it.
            let Some(Batch { frames: unused, .. }) = Arc::into_inner(oldest) else { continue };
            let kept = if frames.capacity() == 0 { &mut *frames } else { &mut batches.spare };
            if unused.capacity() > kept.capacity() {
                *kept = unused;
            }
        }
        drop(guard);
        frames.clear();
        // What grows is moved again and again.
        frames.reserve(room);
    }

    /// The entry that was `counter`-th on `lane`: its batch, and where in it its frame begins.
    pub(super) fn entry(&self, lane: u16, counter: u64) -> Option<(Arc<Batch>, usize)> {
        let batches = self.batches();
        let place = batches.index[batches.place(lane, counter)];
        if (place.lane, place.counter) != (lane, counter) {
            return None;
        }
        let at = usize::try_from(place.batch.checked_sub(batches.first)?).ok()?;
        Some((Arc::clone(batches.kept.get(at)?), place.start as usize))
    }

    /// Whether all traffic behind `after` is here.
    pub(super) fn covers(&self, after: Sequence) -> bool {
        after >= self.batches().floor
    }

    /// What comes behind `after`.
    pub(super) fn behind(&self, after: Sequence) -> Behind {
        let batches = self.batches();
        if after < batches.floor {
            return Behind::Forgotten;
        }
        let next = batches.kept.partition_point(|batch| batch.last <= after);
        batches.kept.get(next).map_or(Behind::Nothing, |batch| Behind::Batch(Arc::clone(batch)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_schemas::fact::kind;

    use super::*;

    const BYTES: usize = 4_000;
    const LANES: u16 = 3;

    /// The frame that is `n`-th on its lane.
    fn put(buffer: &mut Vec<u8>, lane: u16, n: u64, bytes: usize) {
        let payload = vec![n as u8; bytes];
        Frame { seq: n, kind: kind::CLICK, lane, counter: n, payload: &payload }.write(buffer);
    }

    proptest! {
        /// The naive twin is a list of all batches; the tail may forget the oldest of them and nothing else. An entry
        /// is found where its batch is kept and its place was not taken since, and it is the one that was put.
        #[test]
        fn what_it_has_is_what_was_put(
            batches in prop::collection::vec(prop::collection::vec(0..300_usize, 0..6), 1..80),
            after in 0..240_u64,
        ) {
            let tail = Tail::new(BYTES, 0);
            let (mut twin, mut buffer): (Vec<(u64, Vec<u8>)>, Vec<u8>) = (Vec::new(), Vec::new());
            let mut entries: Vec<(u16, u64, usize, usize)> = Vec::new();
            for (n, sizes) in batches.iter().enumerate() {
                let last = 3 * n as u64 + 3;
                prop_assert!(buffer.is_empty());
                for size in sizes {
                    let (lane, counter) = (entries.len() as u16 % LANES, entries.len() as u64);
                    put(&mut buffer, lane, counter, *size);
                    entries.push((lane, counter, *size, n));
                }
                twin.push((last, buffer.clone()));
                tail.remember(&mut buffer, last);
                let kept: usize = tail.batches().kept.iter().map(|batch| batch.bytes()).sum();
                prop_assert!(kept <= BYTES && kept == tail.batches().bytes);
            }
            let kept = tail.batches().kept.len();
            let oldest = twin.len() - kept;
            for (at, (lane, counter, size, batch)) in entries.iter().enumerate() {
                let place = |lane, counter| tail.batches().place(lane, counter);
                let taken = entries[at + 1..].iter().any(|(l, c, ..)| place(*l, *c) == place(*lane, *counter));
                let found = tail.entry(*lane, *counter);
                prop_assert_eq!(found.is_some(), *batch >= oldest && !taken, "{}", at);
                if let Some((batch, start)) = found {
                    let frame = frame::first(&batch.frames[start..]);
                    prop_assert_eq!((frame.lane, frame.counter, frame.payload.len()), (*lane, *counter, *size));
                }
            }
            let missing: Vec<_> = twin.iter().filter(|(last, _)| *last > after).collect();
            let mut at = after;
            for (last, frames) in &missing {
                match tail.behind(at) {
                    Behind::Batch(batch) => prop_assert_eq!((&batch.frames, batch.last), (frames, *last)),
                    Behind::Nothing => prop_assert!(false, "batch {} is missing", last),
                    Behind::Forgotten => {
                        let room: usize = missing.iter().map(|(_, f)| FILLED * f.len() + size_of::<Batch>()).sum();
                        prop_assert!(room > BYTES, "{} bytes at most would have had room", room);
                        prop_assert!(at == after && !tail.covers(at));
                        return Ok(());
                    }
                }
                at = *last;
            }
            prop_assert!(matches!(tail.behind(at), Behind::Nothing) && tail.covers(at));
        }
    }

    fn frames(bytes: usize) -> Vec<u8> {
        let mut frames = Vec::new();
        put(&mut frames, 0, 1, bytes);
        frames
    }

    #[test]
    fn a_batch_larger_than_the_tail_is_only_in_the_files() {
        let tail = Tail::new(BYTES, 5);
        assert!(tail.covers(5) && !tail.covers(4));
        tail.remember(&mut frames(50), 6);
        assert!(matches!(tail.behind(5), Behind::Batch(batch) if batch.last == 6));
        tail.remember(&mut frames(BYTES), 8);
        assert!(matches!(tail.behind(6), Behind::Forgotten));
        assert!(matches!(tail.behind(8), Behind::Nothing));
    }

    #[test]
    fn a_buffer_is_filled_again_and_small_batches_take_no_more_than_they_need() {
        let tail = Tail::new(BYTES, 0);
        let mut buffer = Vec::with_capacity(1_000);
        put(&mut buffer, 0, 1, 700);
        let first = buffer.as_ptr();
        tail.remember(&mut buffer, 1);
        assert!(buffer.is_empty() && buffer.capacity() >= 700, "there is room for another such batch");
        let reading = tail.behind(0);
        for last in 2..200 {
            let before = buffer.as_ptr();
            put(&mut buffer, 0, last, 20);
            tail.remember(&mut buffer, last);
            assert_eq!(buffer.as_ptr(), before, "it was copied");
        }
        let kept = tail.batches().kept.len();
        assert!(kept > BYTES / 200, "{kept} batches of some fifty bytes each");
        assert!(matches!(tail.behind(0), Behind::Forgotten));
        assert!(
            matches!(reading, Behind::Batch(batch) if batch.frames.as_ptr() == first),
            "its reader keeps it"
        );
    }
}
