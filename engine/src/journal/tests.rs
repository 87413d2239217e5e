use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use weir_schemas::fact::kind;

use super::*;

fn config(folder: &Path, segment_bytes: u64) -> JournalConfig {
    JournalConfig { folder: folder.to_owned(), node: 0, segment_bytes }
}

fn open(folder: &Path) -> (Journal, RecoveryReport) {
    Journal::open(config(folder, 1 << 20)).unwrap()
}

fn read_all(folder: &Path, upto: u64) -> Vec<Entry> {
    let mut reader = JournalReader::open(folder, &Family::ALL, 0);
    let mut out = Vec::new();
    assert_eq!(reader.read_batch(upto, usize::MAX, usize::MAX, &mut out).unwrap(), upto);
    out
}

fn payload(seq: u64) -> Vec<u8> {
    format!("entry {seq} {}", "x".repeat(seq as usize % 50)).into_bytes()
}

/// Writes entries 1..=n, every third a fact, one batch per `batch` entries.
fn write(folder: &Path, segment_bytes: u64, n: u64, batch: u64) {
    let (mut journal, _) = Journal::open(config(folder, segment_bytes)).unwrap();
    for seq in journal.last() + 1..=n {
        let put = match seq % 3 {
            0 => journal.put_fact(kind::FACT, &payload(seq)).unwrap(),
            _ => journal.put_traffic(kind::CLICK, (seq % 2) as u16, seq, &payload(seq)).unwrap(),
        };
        assert_eq!(put, seq);
        if seq % batch == 0 {
            journal.commit().unwrap();
        }
    }
    journal.commit().unwrap();
}

fn check(entries: &[Entry], from: u64, to: u64) {
    assert_eq!(entries.iter().map(|e| e.seq).collect::<Vec<_>>(), (from..=to).collect::<Vec<_>>());
    assert!(
        entries
            .iter()
            .all(|e| e.payload == payload(e.seq) && (e.seq % 3 == 0) == (e.family == Family::Facts))
    );
}

#[test]
fn what_was_committed_is_read_back_over_segments_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 2_000, 200, 7);
    write(dir.path(), 2_000, 300, 1);
    assert!(segment::list(dir.path(), Family::Traffic).unwrap().len() > 3);
    check(&read_all(dir.path(), 300), 1, 300);
    let (journal, report) = open(dir.path());
    assert_eq!((journal.last(), report.torn_bytes), (300, 0));
    assert_eq!((journal.counter(0), journal.counter(1)), (298, 299), "the last counters of both lanes");
}

#[test]
fn a_reader_begins_anywhere_and_never_reads_beyond_what_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 1_500, 100, 5);
    for after in 0..100 {
        let mut reader = JournalReader::open(dir.path(), &Family::ALL, after);
        let mut out = Vec::new();
        let upto = (after + 17).min(100);
        while reader.read_batch(upto, 3, 100, &mut out).unwrap() < upto {}
        check(&out, after + 1, upto);
    }
    let mut facts = JournalReader::open(dir.path(), &[Family::Facts], 10);
    let mut out = Vec::new();
    assert_eq!(facts.read_batch(20, 100, usize::MAX, &mut out).unwrap(), 20);
    assert_eq!(out.iter().map(|e| e.seq).collect::<Vec<_>>(), [12, 15, 18]);
}

#[test]
fn a_reader_follows_a_writer() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = JournalReader::open(dir.path(), &Family::ALL, 0);
    let mut out = Vec::new();
    assert_eq!(reader.read_batch(0, 10, 1_000, &mut out).unwrap(), 0);
    for n in [1, 2, 3, 10, 11, 60, 61, 200] {
        write(dir.path(), 900, n, 3);
        while reader.read_batch(n, 5, usize::MAX, &mut out).unwrap() < n {}
        check(&out, 1, n);
    }
    assert!(reader.take_damage().is_empty());
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_there() {
    let origin = tempfile::tempdir().unwrap();
    write(origin.path(), 1 << 20, 6, 6);
    let traffic = segment::list(origin.path(), Family::Traffic).unwrap().remove(0).path;
    let whole = fs::read(&traffic).unwrap();
    for length in 0..whole.len() {
        let dir = tempfile::tempdir().unwrap();
        for file in fs::read_dir(origin.path()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), dir.path().join(file.file_name())).unwrap();
        }
        let torn = dir.path().join(traffic.file_name().unwrap());
        fs::write(&torn, &whole[..length]).unwrap();
        let (mut journal, report) = open(dir.path());
        assert_eq!(journal.last(), 6, "the facts still tell that 6 was used");
        assert!(report.quarantined.is_empty());
        // Whatever was left is good, and writing goes on behind it.
        let kept: Vec<u64> = read_all(dir.path(), 6).iter().map(|e| e.seq).collect();
        assert!(
            [vec![3, 6], vec![1, 3, 6], vec![1, 2, 3, 6], vec![1, 2, 3, 4, 6]].contains(&kept),
            "{kept:?}"
        );
        journal.put_traffic(kind::CLICK, 0, 99, b"after").unwrap();
        assert_eq!(journal.commit().unwrap(), 7);
        drop(journal);
        assert_eq!(read_all(dir.path(), 7).len(), kept.len() + 1);
        assert_eq!(open(dir.path()).1.torn_bytes, 0);
    }
}

#[test]
fn a_flipped_bit_in_the_middle_costs_one_entry_and_is_reported() {
    let origin = tempfile::tempdir().unwrap();
    let facts: Vec<u64> = (1..=8).collect();
    {
        let (mut journal, _) = open(origin.path());
        for _ in &facts {
            journal.put_fact(kind::FACT, &[7; 40]).unwrap();
        }
        journal.commit().unwrap();
    }
    let path = segment::list(origin.path(), Family::Facts).unwrap().remove(0).path;
    let whole = fs::read(&path).unwrap();
    let frame = FRAME_BYTES + 40;
    for bit in 0..frame * 8 {
        let mut damaged = whole.clone();
        damaged[segment::HEADER_BYTES + 3 * frame + bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &damaged).unwrap();
        let (journal, report) = open(origin.path());
        assert_eq!(journal.last(), 8, "bit {bit}: it was taken for the tail");
        assert_eq!(report.torn_bytes, 0);
        assert_eq!(report.quarantined.len(), 1);
        assert_eq!(report.quarantined[0].between, (3, 5));
        let mut reader = JournalReader::open(origin.path(), &Family::ALL, 0);
        let mut out = Vec::new();
        assert_eq!(reader.read_batch(8, 100, usize::MAX, &mut out).unwrap(), 8);
        assert_eq!(out.iter().map(|e| e.seq).collect::<Vec<_>>(), [1, 2, 3, 5, 6, 7, 8]);
        assert_eq!(reader.take_damage().len(), 1);
    }
}

#[test]
fn what_is_not_a_segment_of_ours_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 1 << 20, 3, 1);
    let path = segment::list(dir.path(), Family::Facts).unwrap().remove(0).path;
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 9;
    fs::write(&path, &bytes).unwrap();
    let error = Journal::open(config(dir.path(), 1 << 20)).unwrap_err().to_string();
    assert!(error.contains("facts-") && error.contains("another version"), "{error}");
}

#[test]
fn retention_deletes_only_old_traffic_that_every_follower_has() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 600, 120, 4);
    let before = segment::list(dir.path(), Family::Traffic).unwrap();
    let facts = segment::list(dir.path(), Family::Facts).unwrap();
    let later = SystemTime::now() + Duration::from_secs(3_600);
    let hour = Duration::from_secs(1_800);
    assert_eq!(delete_expired(dir.path(), 120, hour, SystemTime::now()).unwrap(), 0, "too young");
    assert_eq!(delete_expired(dir.path(), 0, hour, later).unwrap(), 0, "no follower has passed");
    let passed = before[3].first + 1;
    assert_eq!(delete_expired(dir.path(), passed, hour, later).unwrap(), 3);
    let mut reader = JournalReader::open(dir.path(), &Family::ALL, passed);
    let mut out = Vec::new();
    reader.read_batch(120, 1_000, usize::MAX, &mut out).unwrap();
    check(&out, passed + 1, 120);
    assert_eq!(delete_expired(dir.path(), 120, hour, later).unwrap(), before.len() - 4, "the newest stays");
    assert_eq!(segment::list(dir.path(), Family::Facts).unwrap(), facts);
    assert_eq!(open(dir.path()).0.counter(1), 119);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// The naive twin is a list: whatever is put, committed, abandoned or forgotten by a crash, both read the same.
    #[test]
    fn it_reads_as_a_list_does(steps in prop::collection::vec((0..6_u8, 0..80_usize), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let mut twin: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut batch: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut journal = Journal::open(config(dir.path(), 700)).unwrap().0;
        let mut counter = 0;
        for (step, size) in steps {
            match step {
                0 => batch.push((journal.put_fact(kind::FACT, &vec![1; size]).unwrap(), vec![1; size])),
                1 | 2 => {
                    counter += 1;
                    let seq = journal.put_traffic(kind::CLICK, 0, counter, &vec![2; size]).unwrap();
                    batch.push((seq, vec![2; size]));
                }
                3 => { journal.commit().unwrap(); twin.append(&mut batch); }
                4 => { journal.abandon(); batch.clear(); }
                _ => {
                    drop(journal);
                    batch.clear();
                    journal = Journal::open(config(dir.path(), 700)).unwrap().0;
                }
            }
            let last = twin.last().map_or(0, |(seq, _)| *seq);
            prop_assert_eq!(journal.last(), last);
            let read: Vec<_> = read_all(dir.path(), last).into_iter().map(|e| (e.seq, e.payload)).collect();
            prop_assert_eq!(&read, &twin);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whoever reads from the tail, from the files, or from both in turns reads the same; `small` tails forget much.
    #[test]
    fn a_follower_of_the_tail_reads_as_one_of_the_files_does(
        small in any::<bool>(),
        steps in prop::collection::vec((1..9_u64, 0..300_usize, 0..12_usize), 1..60),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(config(dir.path(), 2_000)).unwrap().0;
        if small {
            journal.forget_beyond(900);
        }
        let mut follower = Traffic::of_writer(dir.path(), journal.tail()).behind(0);
        let mut read = Vec::new();
        for (entries, size, room) in steps {
            for n in 0..entries {
                let next = journal.last() + 1 + n;
                if next.is_multiple_of(4) {
                    journal.put_fact(kind::FACT, b"fact").unwrap();
                } else {
                    journal.put_traffic(kind::CLICK, 0, next, &vec![next as u8; size]).unwrap();
                }
            }
            let upto = journal.commit().unwrap();
            // A step without room is one in which the follower falls behind; it never reads to the very end.
            let upto = upto - u64::from(size.is_multiple_of(3));
            follower.read(upto, room, usize::MAX, |entry| read.push(entry.to_owned())).unwrap();
        }
        let last = journal.last();
        follower.read(last, usize::MAX, usize::MAX, |entry| read.push(entry.to_owned())).unwrap();
        prop_assert_eq!(follower.passed(), last);
        let mut twin = Vec::new();
        let mut files = JournalReader::open(dir.path(), &[Family::Traffic], 0);
        files.read_batch(last, usize::MAX, usize::MAX, &mut twin).unwrap();
        prop_assert_eq!(read, twin);
        prop_assert!(follower.take_damage().is_empty());
    }
}

#[test]
fn what_a_dead_writer_left_behind_its_last_entry_is_no_damage() {
    let (dir, dead) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut journal, _) = open(dir.path());
    for seq in 1..=5 {
        journal.put_traffic(kind::CLICK, 0, seq, &payload(seq)).unwrap();
        journal.commit().unwrap();
        for file in fs::read_dir(dir.path()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), dead.path().join(file.file_name())).unwrap();
        }
        let read: Vec<u64> = read_all(dead.path(), seq).iter().map(|entry| entry.seq).collect();
        assert_eq!(read, (1..=seq).collect::<Vec<_>>());
        let (found, report) = open(dead.path());
        assert_eq!((found.last(), report.torn_bytes, report.quarantined.len()), (seq, 0, 0));
    }
}

#[test]
fn looking_for_room_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    journal.check_room().unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn sequences_that_a_follower_has_seen_are_not_given_again() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 1 << 20, 10, 10);
    let (mut journal, _) = open(dir.path());
    assert!(!journal.continue_behind(10), "it ends there");
    assert!(journal.continue_behind(20));
    assert_eq!(journal.last(), 20);
    assert_eq!(journal.put_traffic(1, 0, 11, &payload(21)).unwrap(), 21);
    assert_eq!(journal.commit().unwrap(), 21);
    drop(journal);
    let (journal, _) = open(dir.path());
    assert_eq!(journal.last(), 21);
    let seqs: Vec<u64> = read_all(dir.path(), 21).iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, (1..=10).chain([21]).collect::<Vec<_>>());
}
