//! The tail: the traffic that was journaled lately, in memory. Followers are a fraction of a second behind the
//! writer, so what they read was written just now: from here it costs nothing, where the file asks for a system call,
//! a copy and a checksum of each of them. Who is further behind reads the files.
//!
//! The batches' frames as they stand in the segments, in the buffers that they were written from: nothing is copied,
//! and a reader keeps the batch that it reads. One writer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_schemas::ids::Sequence;

/// Bytes of traffic that are remembered; a click has about 300.
pub(super) const TAIL_BYTES: usize = 32 << 20;
/// A buffer is used again for batches of no less than this part of it.
const USED_AGAIN: usize = 2;

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

impl Tail {
    /// Empty; `last` is where the journal ends.
    pub(super) fn new(bytes_max: usize, last: Sequence) -> Self {
        Self(Arc::new(Mutex::new(Batches { kept: VecDeque::new(), bytes: 0, bytes_max, floor: last })))
    }

    fn batches(&self) -> MutexGuard<'_, Batches> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the frames of a batch that was committed, up to `last`, and leaves an empty buffer for the next; the
    /// oldest are forgotten for them.
    pub(super) fn remember(&self, frames: &mut Vec<u8>, last: Sequence) {
        let batch = Batch { frames: std::mem::take(frames), last };
        let enough = batch.frames.len() * USED_AGAIN;
        let mut batches = self.batches();
        batches.bytes += batch.bytes();
        batches.kept.push_back(Arc::new(batch));
        while batches.bytes > batches.bytes_max {
            let Some(oldest) = batches.kept.pop_front() else { break };
            batches.bytes -= oldest.bytes();
            batches.floor = oldest.last;
            // Who still reads it frees it.
            if let Some(unused) = Arc::into_inner(oldest)
                && unused.frames.capacity() <= enough
            {
                *frames = unused.frames;
                frames.clear();
            }
        }
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

    use super::*;

    const BYTES: usize = 1_000;

    proptest! {
        /// The naive twin is a list of all batches; the tail may forget the oldest of them and nothing else.
        #[test]
        fn what_it_has_is_what_was_put(sizes in prop::collection::vec(0..400_usize, 1..80), after in 0..240_u64) {
            let tail = Tail::new(BYTES, 0);
            let (mut twin, mut buffer): (Vec<(u64, Vec<u8>)>, _) = (Vec::new(), Vec::new());
            for (n, size) in sizes.iter().enumerate() {
                let last = 3 * n as u64 + 3;
                prop_assert!(buffer.is_empty());
                buffer.resize(*size, n as u8);
                twin.push((last, buffer.clone()));
                tail.remember(&mut buffer, last);
                let kept: usize = tail.batches().kept.iter().map(|batch| batch.bytes()).sum();
                prop_assert!(kept <= BYTES && kept == tail.batches().bytes);
            }
            let missing: Vec<_> = twin.iter().filter(|(last, _)| *last > after).collect();
            let mut at = after;
            for (last, frames) in &missing {
                match tail.behind(at) {
                    Behind::Batch(batch) => prop_assert_eq!((&batch.frames, batch.last), (frames, *last)),
                    Behind::Nothing => prop_assert!(false, "batch {} is missing", last),
                    Behind::Forgotten => {
                        let room: usize = missing.iter().map(|(_, frames)| USED_AGAIN * frames.len()).sum();
                        let room = room + (missing.len() + 1) * size_of::<Batch>() + USED_AGAIN * 400;
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

    #[test]
    fn a_batch_larger_than_the_tail_is_only_in_the_files() {
        let tail = Tail::new(BYTES, 5);
        assert!(tail.covers(5) && !tail.covers(4));
        tail.remember(&mut vec![1; 50], 6);
        assert!(matches!(tail.behind(5), Behind::Batch(batch) if batch.last == 6));
        tail.remember(&mut vec![2; BYTES], 8);
        assert!(matches!(tail.behind(6), Behind::Forgotten));
        assert!(matches!(tail.behind(8), Behind::Nothing));
    }

    #[test]
    fn buffers_are_used_again_but_not_a_large_one_for_a_small_batch() {
        let tail = Tail::new(BYTES, 0);
        let mut buffer = vec![1; 600];
        tail.remember(&mut buffer, 1);
        buffer = vec![2; 600];
        tail.remember(&mut buffer, 2);
        assert_eq!((buffer.len(), buffer.capacity()), (0, 600));
        buffer = vec![3; 20];
        let reading = tail.behind(1);
        for last in 3..30 {
            tail.remember(&mut buffer, last);
            assert!(buffer.capacity() < 600);
            buffer.resize(20, 3);
        }
        assert!(matches!(tail.behind(1), Behind::Forgotten));
        assert!(
            matches!(reading, Behind::Batch(batch) if batch.frames == [2; 600]),
            "it is kept by who reads it"
        );
    }
}
