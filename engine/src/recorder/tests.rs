use std::path::Path;

use super::*;
use crate::journal::{Family, JournalReader};

fn config(dir: &Path, lanes: u16) -> RecorderConfig {
    RecorderConfig {
        journal: JournalConfig { folder: dir.join("journal"), node: 0, segment_bytes: 20_000 },
        lanes_folder: dir.join("lanes"),
        lanes,
        lane_bytes: lane::LANE_BYTES_MIN,
        pace: Duration::from_millis(1),
    }
}

fn start(dir: &Path, lanes: u16) -> (Recorder, Vec<Lane>) {
    let refine: Refine = Box::new(|lane, counter, raw, out| {
        out.extend_from_slice(format!("{lane}/{counter}/").as_bytes());
        out.extend_from_slice(raw);
        Ok(weir_schemas::fact::kind::CLICK)
    });
    let (recorder, lanes, report) = Recorder::start(config(dir, lanes), refine).unwrap();
    assert!(report.quarantined.is_empty());
    (recorder, lanes)
}

fn entries(dir: &Path, upto: Sequence) -> Vec<String> {
    let mut reader = JournalReader::open(&dir.join("journal"), &Family::ALL, 0);
    let mut out = Vec::new();
    reader.read_batch(upto, usize::MAX, usize::MAX, &mut out).unwrap();
    assert_eq!(out.iter().map(|e| e.seq).collect::<Vec<_>>(), (1..=upto).collect::<Vec<_>>());
    out.into_iter().map(|entry| String::from_utf8(entry.payload).unwrap()).collect()
}

#[tokio::test]
async fn hits_and_facts_get_one_order_and_facts_are_told_when_they_are_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (recorder, mut lanes) = start(dir.path(), 2);
    let counter = lanes[1].append(b"hit").unwrap();
    recorder.click_durable(1, counter).await;
    assert_eq!((recorder.durable().get(), recorder.last_fact()), (1, 0));
    let seen = Arc::new(AtomicU64::new(0));
    let hook: OnSequenced = Box::new({
        let (seen, durable) = (Arc::clone(&seen), recorder.durable().clone());
        move |seq| {
            assert!(durable.get() < seq, "nobody can have seen it yet");
            seen.store(seq, Ordering::Release);
        }
    });
    let seq = recorder.record_with_hook(16, b"fact".to_vec(), hook).await.unwrap();
    assert_eq!((seq, seen.load(Ordering::Acquire)), (2, 2));
    assert!(recorder.durable().get() >= 2);
    assert_eq!(recorder.last_fact(), 2);
    assert_eq!(entries(dir.path(), 2), ["1/1/hit", "fact"]);
    let counts = recorder.conservation();
    assert_eq!((counts.accepted, counts.journaled, counts.dropped), (1, 1, 0));
    recorder.stop();
    assert_eq!(recorder.record_durably(16, vec![]).await, Err(RecordError::Stopped));
}

/// The process dies before the recorder has drained: the lanes' files are copied while they hold hits.
#[tokio::test]
async fn answered_hits_survive_the_death_of_the_process_once_each() {
    let dir = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let (recorder, mut lanes) = start(dir.path(), 2);
    for n in 0..500 {
        lanes[n % 2].append(format!("{n}").as_bytes()).unwrap();
        if n == 250 {
            recorder.click_durable(0, 20).await;
        }
        if n == 400 {
            // The lanes first: what moves to the journal meanwhile is then in both, as after a kill.
            for folder in ["lanes", "journal"] {
                std::fs::create_dir(copy.path().join(folder)).unwrap();
                for file in std::fs::read_dir(dir.path().join(folder)).unwrap() {
                    let file = file.unwrap();
                    std::fs::copy(file.path(), copy.path().join(folder).join(file.file_name())).unwrap();
                }
            }
        }
    }
    recorder.stop();
    let (again, lanes_again) = start(copy.path(), 1);
    assert_eq!(lanes_again[0].next_counter(), 202, "counters go on behind the dead run's");
    let mut found: Vec<u32> = entries(copy.path(), again.durable().get())
        .iter()
        .map(|entry| entry.rsplit('/').next().unwrap().parse().unwrap())
        .collect();
    found.sort_unstable();
    assert_eq!(found, (0..=400).collect::<Vec<_>>());
    again.stop();
    assert!(!copy.path().join("lanes/lane-1.ring").exists(), "the lane that has no thread any more");
}

#[tokio::test]
async fn a_full_lane_drops_and_counts_and_the_rest_is_conserved() {
    let dir = tempfile::tempdir().unwrap();
    let (recorder, mut lanes) = start(dir.path(), 1);
    let (mut appended, mut dropped) = (0, 0);
    for _ in 0..5_000 {
        match lanes[0].append(&[1; 400]) {
            Ok(_) => appended += 1,
            Err(LaneFull) => dropped += 1,
        }
    }
    recorder.stop();
    let counts = recorder.conservation();
    assert_eq!((counts.accepted, counts.dropped, counts.journaled), (appended, dropped, appended));
    assert_eq!(entries(dir.path(), recorder.durable().get()).len() as u64, appended);
}

#[tokio::test]
async fn many_facts_share_syncs_and_all_arrive() {
    let dir = tempfile::tempdir().unwrap();
    let (recorder, _lanes) = start(dir.path(), 1);
    let tasks: Vec<_> = (0..200)
        .map(|n| {
            let recorder = recorder.clone();
            tokio::spawn(async move { recorder.record_durably(16, format!("{n}").into_bytes()).await })
        })
        .collect();
    let mut seqs = Vec::new();
    for task in tasks {
        seqs.push(task.await.unwrap().unwrap());
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=200).collect::<Vec<_>>());
    recorder.stop();
}
