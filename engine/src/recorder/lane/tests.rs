use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

fn fresh(dir: &Path) -> (Lane, LaneReader) {
    let mut reader = open(&dir.join("lane-0.ring"), 0, LANE_BYTES_MIN).unwrap();
    let lane = reader.restart(1);
    (lane, reader)
}

fn read_all(reader: &mut LaneReader) -> Vec<(u64, Vec<u8>)> {
    let mut out = Vec::new();
    while let Some(record) = reader.next() {
        out.push((record.counter, record.bytes.to_vec()));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// The naive twin is a queue. Records of any size, reads, give-backs, rewinds and deaths of the process
    /// in any order.
    #[test]
    fn it_behaves_as_a_queue(steps in prop::collection::vec((0..8_u8, 0..9_000_usize), 1..200)) {
        let dir = tempfile::tempdir().unwrap();
        let (mut lane, mut reader) = fresh(dir.path());
        let mut twin: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
        let mut taken = 0;
        for (step, size) in steps {
            match step {
                0..=4 => {
                    let bytes = vec![step; size];
                    let counter = lane.next_counter();
                    match lane.append(&bytes) {
                        Ok(given) => { prop_assert_eq!(given, counter); twin.push_back((given, bytes)); }
                        Err(LaneFull) => {
                            let held: usize = twin.iter().map(|(_, b)| b.len() + 24).sum();
                            prop_assert!(held + size + 64 > LANE_BYTES_MIN as usize / 2, "full with {} bytes", held);
                        }
                    }
                    prop_assert_eq!(lane.next_counter(), counter + 1);
                }
                5 => {
                    let read = read_all(&mut reader);
                    let expected: Vec<_> = twin.iter().skip(taken).cloned().collect();
                    prop_assert_eq!(&read, &expected);
                    taken = twin.len();
                }
                6 => { reader.consume(); twin.drain(..taken); taken = 0; }
                _ => {
                    // The process dies: both ends are gone, the file stays.
                    let next = lane.next_counter();
                    reader = open(&dir.path().join("lane-0.ring"), 0, LANE_BYTES_MIN).unwrap();
                    prop_assert_eq!(read_all(&mut reader), Vec::from(std::mem::take(&mut twin)));
                    lane = reader.restart(next);
                    taken = 0;
                }
            }
        }
    }
}

const PAGE: usize = 4_096;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    /// A power failure leaves each page of the file as it was at some moment, another for every page. Whatever is read
    /// then was appended once, whole and under its counter, and comes in order.
    #[test]
    fn pages_of_different_ages_never_make_up_a_hit(
        steps in prop::collection::vec((0..4_u8, 0..3_000_usize), 1..120),
        ages in prop::collection::vec(any::<prop::sample::Index>(), 1 + LANE_BYTES_MIN as usize / PAGE),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lane-0.ring");
        let (mut lane, mut reader) = fresh(dir.path());
        let mut appended: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut moments = vec![std::fs::read(&path).unwrap()];
        for (step, size) in steps {
            if step < 3 {
                // No two hits have the same bytes, so that a mixture would show.
                let bytes: Vec<u8> = (0..size).map(|n| (n as u64 * 31 + lane.next_counter() * 7) as u8).collect();
                if let Ok(counter) = lane.append(&bytes) {
                    appended.push((counter, bytes));
                }
            } else {
                read_all(&mut reader);
                reader.consume();
            }
            moments.push(std::fs::read(&path).unwrap());
        }
        drop((lane, reader));
        let mut left = moments[0].clone();
        for (page, age) in left.chunks_mut(PAGE).zip(ages.iter().cycle()).enumerate().map(|(n, (page, age))| {
            let moment = age.get(&moments);
            (page, &moment[n * PAGE..(n * PAGE + PAGE).min(moment.len())])
        }) {
            page.copy_from_slice(age);
        }
        std::fs::write(&path, &left).unwrap();
        let mut again = open(&path, 0, LANE_BYTES_MIN).unwrap();
        let read = read_all(&mut again);
        for pair in read.windows(2) {
            prop_assert!(pair[0].0 < pair[1].0, "out of order: {} before {}", pair[0].0, pair[1].0);
        }
        for hit in &read {
            prop_assert!(appended.contains(hit), "{} was never appended", hit.0);
        }
    }
}

#[test]
fn two_threads_lose_and_invent_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut lane, mut reader) = fresh(dir.path());
    const HITS: u64 = 200_000;
    let producer = std::thread::spawn(move || {
        let mut dropped = 0;
        for n in 0..HITS {
            let length = (n % 300) as usize;
            while lane.append(&vec![n as u8; length]).is_err() {
                dropped += 1;
                std::thread::yield_now();
            }
        }
        dropped
    });
    let mut last = 0;
    let mut hits = 0;
    while hits < HITS {
        while let Some(Record { counter, bytes }) = reader.next() {
            assert!(counter > last, "in order");
            assert!(bytes.len() == (hits % 300) as usize && bytes.iter().all(|b| *b == hits as u8));
            last = counter;
            hits += 1;
        }
        reader.consume();
    }
    let dropped = producer.join().unwrap();
    assert_eq!(reader.counts().appended(), HITS);
    assert_eq!(reader.counts().dropped(), dropped);
    assert_eq!(last, HITS + dropped, "a counter that found no room is not used again");
}

#[test]
fn a_record_that_did_not_reach_the_disk_whole_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let (mut lane, reader) = fresh(dir.path());
    lane.append(b"first").unwrap();
    lane.append(b"second").unwrap();
    // As after a power failure: the commit word of the second is there, a page of its bytes is not.
    reader.shared.map.write(24 + RECORD_HEAD, b"XX");
    drop((lane, reader));
    let mut again = open(&dir.path().join("lane-0.ring"), 0, LANE_BYTES_MIN).unwrap();
    assert_eq!(read_all(&mut again), [(1, b"first".to_vec())]);
}

#[test]
fn what_is_given_back_is_zeroed() {
    let dir = tempfile::tempdir().unwrap();
    let (mut lane, mut reader) = fresh(dir.path());
    lane.append(b"192.0.2.77").unwrap();
    assert!(std::fs::read(dir.path().join("lane-0.ring")).unwrap().windows(10).any(|w| w == b"192.0.2.77"));
    read_all(&mut reader);
    reader.consume();
    assert!(!std::fs::read(dir.path().join("lane-0.ring")).unwrap().windows(10).any(|w| w == b"192.0.2.77"));
}

#[test]
fn what_was_read_and_not_given_back_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut lane, mut reader) = fresh(dir.path());
    lane.append(b"a").unwrap();
    assert_eq!(read_all(&mut reader).len(), 1);
    reader.rewind();
    assert_eq!(read_all(&mut reader).len(), 1);
}

#[test]
fn a_death_while_zeroing_loses_nothing_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut lane, mut reader) = fresh(dir.path());
    lane.append(b"journaled").unwrap();
    lane.append(b"journaled too").unwrap();
    read_all(&mut reader);
    lane.append(b"answered").unwrap();
    // As `consume` does, up to the middle.
    reader.shared.map.giving_back().store(reader.read, Ordering::Release);
    reader.shared.map.zero(0, 32);
    let mut again = open(&dir.path().join("lane-0.ring"), 0, LANE_BYTES_MIN).unwrap();
    assert_eq!(read_all(&mut again), [(3, b"answered".to_vec())]);
}
