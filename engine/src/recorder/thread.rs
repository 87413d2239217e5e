//! The recorder's thread: drains lanes and facts into the journal.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use weir_schemas::fact::kind;
use weir_schemas::ids::Sequence;

use super::lane::{self, Lane, LaneCounts, LaneReader, Record};
use super::{RecordError, RecorderConfig, Refine, Shared, Waiting};
use crate::journal::{Journal, JournalError, Tail};
use crate::watermark::Watermark;

/// Bytes of hits and facts after which a batch is committed although more is there.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// A burst of facts: so many in the batch before, and that fast. In a burst a batch waits for those who are on their
/// way, because a sync for each few of them costs everybody more than the wait; otherwise nobody waits.
const BURST_FACTS: u32 = 16;
const BURST_PER_MS: u32 = 4;
/// How long a batch of a burst waits in all, and how long without another fact until whoever can be in it is: closed
/// loops of 64 connections at 10,000 facts a second are all there after 6 ms, and their sync takes one more.
const LINGER: Duration = Duration::from_millis(10);
const LINGER_LOOK: Duration = Duration::from_micros(300);
/// The same behind a batch of more than so many: hundreds of senders are on their way, and the processors are theirs
/// meanwhile.
const CROWD_FACTS: u32 = 64;
const CROWD_LOOK: Duration = Duration::from_millis(1);
/// Facts after which a batch waits no more.
const LINGER_FACTS: usize = 256;
/// How long a full disk is left alone before it is tried again.
const FULL_DISK_PAUSE: Duration = Duration::from_millis(250);

/// Everything recovered, before the thread starts.
pub(super) struct Prepared {
    journal: Journal,
    readers: Vec<LaneReader>,
    lanes: Vec<Lane>,
    refine: Refine,
    queue: Receiver<Waiting>,
    pace: Duration,
    /// Hits that were found in lanes.
    pub recovered: u64,
    pub refused: u64,
}

/// Journals what the lanes of the last run held and opens those of this run.
pub(super) fn prepare(
    config: &RecorderConfig,
    mut journal: Journal,
    mut refine: Refine,
    queue: Receiver<Waiting>,
) -> Result<Prepared, JournalError> {
    let folder = &config.lanes_folder;
    let failed = |doing, path: &std::path::Path, source| JournalError::Failed {
        doing,
        path: path.display().to_string(),
        source,
    };
    fs::create_dir_all(folder).map_err(|e| failed("create", folder, e))?;
    let mut left: Vec<u16> = fs::read_dir(folder)
        .map_err(|e| failed("list", folder, e))?
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_prefix("lane-")?.strip_suffix(".ring")?.parse().ok()
        })
        .collect();
    left.extend(0..config.lanes);
    left.sort_unstable();
    left.dedup();
    let mut prepared = Prepared {
        readers: Vec::new(),
        lanes: Vec::new(),
        queue,
        pace: config.pace,
        recovered: 0,
        refused: 0,
        refine: Box::new(|_, _, _, _| Ok(kind::CLICK)),
        journal: {
            journal.abandon();
            journal
        },
    };
    for index in left {
        let path = folder.join(format!("lane-{index}.ring"));
        let open =
            || lane::open(&path, index, config.lane_bytes).map_err(|e| failed("open the lane", &path, e));
        let mut reader = open()?;
        let mut last = prepared.journal.counter(index);
        while let Some(record) = reader.next() {
            // Journaled by the last run, which died before it gave the record back.
            if record.counter <= last {
                continue;
            }
            last = record.counter;
            prepared.recovered += 1;
            prepared.refused += u64::from(!put(&mut prepared.journal, &mut refine, index, record));
            if prepared.journal.batch_bytes() >= BATCH_BYTES_MAX {
                prepared.journal.commit()?;
            }
        }
        prepared.journal.commit()?;
        if index >= config.lanes {
            drop(reader);
            fs::remove_file(&path).map_err(|e| failed("remove the unused", &path, e))?;
            continue;
        }
        let size = fs::metadata(&path).map_err(|e| failed("look at", &path, e))?.len();
        let wanted = config.lane_bytes.max(lane::LANE_BYTES_MIN).next_multiple_of(4_096) + 4_096;
        if size != wanted {
            // Everything in it is in the journal: it can be made anew in its new size.
            drop(reader);
            fs::remove_file(&path).map_err(|e| failed("resize", &path, e))?;
            reader = open()?;
        }
        prepared.lanes.push(reader.restart(last + 1));
        prepared.readers.push(reader);
    }
    prepared.refine = refine;
    Ok(prepared)
}

impl Prepared {
    pub(super) fn durable(&self) -> Sequence {
        self.journal.last()
    }

    pub(super) fn last_fact(&self) -> Sequence {
        self.journal.last_fact()
    }

    pub(super) fn tail(&self) -> &Tail {
        self.journal.tail()
    }

    pub(super) fn lane_watermarks(&self) -> Vec<Watermark> {
        self.lanes.iter().map(|lane| Watermark::new(lane.next_counter() - 1)).collect()
    }

    pub(super) fn lane_counts(&self) -> Vec<LaneCounts> {
        self.readers.iter().map(LaneReader::counts).collect()
    }

    pub(super) fn into_worker(self, shared: Arc<Shared>) -> (Worker, Vec<Lane>) {
        let worker = Worker {
            journal: self.journal,
            readers: self.readers,
            refine: self.refine,
            queue: self.queue,
            pace: self.pace,
            shared,
            facts: Vec::new(),
        };
        (worker, self.lanes)
    }
}

pub(super) struct Worker {
    journal: Journal,
    readers: Vec<LaneReader>,
    refine: Refine,
    queue: Receiver<Waiting>,
    pace: Duration,
    shared: Arc<Shared>,
    /// Facts of the batch with their sequences.
    facts: Vec<(Sequence, Waiting)>,
}

/// Why a hit is not journaled.
struct Refused(String);

impl From<JournalError> for Refused {
    fn from(error: JournalError) -> Self {
        Self(error.to_string())
    }
}

/// Puts what a hit becomes into the batch. `false`: it becomes nothing.
fn put(journal: &mut Journal, refine: &mut Refine, lane: u16, record: Record<'_>) -> bool {
    let Record { counter, bytes } = record;
    let put = journal.write_traffic(lane, counter, |out| refine(lane, counter, bytes, out).map_err(Refused));
    if let Err(Refused(why)) = &put {
        tracing::error!(lane, counter, why, "a hit cannot be recorded");
    }
    put.is_ok()
}

impl Worker {
    pub(super) fn run(&mut self) {
        let (mut last_commit, mut burst, mut look) = (Instant::now(), false, LINGER_LOOK);
        loop {
            // Read before draining: whatever was sent before the stop is drained below.
            let stopping = self.shared.stop.load(Ordering::Acquire);
            let wait =
                if stopping { Duration::ZERO } else { self.pace.saturating_sub(last_commit.elapsed()) };
            match self.queue.recv_timeout(wait) {
                Ok(first) => {
                    self.take_facts(first);
                    if burst && !stopping {
                        self.linger(look);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let facts = self.facts.len() as u32;
            let more = self.drain_and_commit();
            let ms = last_commit.elapsed().as_millis() as u32;
            burst = facts >= BURST_FACTS && facts >= ms.saturating_mul(BURST_PER_MS);
            look = if facts > CROWD_FACTS { CROWD_LOOK } else { LINGER_LOOK };
            last_commit = Instant::now();
            if stopping && !more && self.queue.is_empty() {
                return;
            }
            if self.shared.full.load(Ordering::Relaxed) {
                if stopping {
                    tracing::error!("stopping with hits in the lanes: the disk is full; they stay there");
                    return;
                }
                std::thread::sleep(FULL_DISK_PAUSE);
            }
            if self.shared.failed.load(Ordering::Relaxed) {
                return self.refuse_until_stopped();
            }
        }
    }

    fn take_facts(&mut self, first: Waiting) {
        let mut next = Some(first);
        while let Some(waiting) = next {
            match self.journal.put_fact(waiting.kind, &waiting.payload) {
                Ok(seq) => self.facts.push((seq, waiting)),
                Err(_) => _ = waiting.done.send(Err(RecordError::TooLarge)),
            }
            if self.journal.batch_bytes() >= BATCH_BYTES_MAX {
                break;
            }
            next = self.queue.try_recv().ok();
        }
    }

    /// In a burst, waits for the facts that are on their way. It looks now and then instead of waiting for each of
    /// them: a sender that has nobody to wake pays for no system call.
    fn linger(&mut self, look: Duration) {
        let until = Instant::now() + LINGER;
        while self.facts.len() < LINGER_FACTS
            && self.journal.batch_bytes() < BATCH_BYTES_MAX
            && Instant::now() < until
        {
            std::thread::sleep(look);
            let Ok(next) = self.queue.try_recv() else { break };
            self.take_facts(next);
        }
    }

    /// Commits what there is; tells whether the lanes may hold more.
    fn drain_and_commit(&mut self) -> bool {
        let (mut hits, mut refused) = (0, 0);
        let lanes = self.readers.len();
        for (place, reader) in self.readers.iter_mut().enumerate() {
            let index = reader.index();
            // A busy lane leaves room in the batch for those behind it.
            let room = BATCH_BYTES_MAX / lanes * (place + 1);
            while self.journal.batch_bytes() < room {
                let Some(record) = reader.next() else { break };
                if put(&mut self.journal, &mut self.refine, index, record) {
                    hits += 1;
                } else {
                    refused += 1;
                }
            }
        }
        if hits + refused == 0 && self.facts.is_empty() {
            // Nothing waits whose writing would tell that there is room again, and as long as the engine says that its
            // disk is full nobody may send anything.
            if self.shared.full.load(Ordering::Relaxed) && self.journal.check_room().is_ok() {
                self.shared.full.store(false, Ordering::Release);
                tracing::info!("the disk has room again");
            }
            return false;
        }
        match self.journal.commit() {
            Ok(last) => self.publish(last, hits, refused),
            Err(error) => self.fail(&error),
        }
        hits > 0
    }

    fn publish(&mut self, last: Sequence, hits: u64, refused: u64) {
        self.shared.full.store(false, Ordering::Release);
        self.shared.journaled.fetch_add(hits, Ordering::AcqRel);
        self.shared.refused.fetch_add(refused, Ordering::AcqRel);
        self.shared.facts_journaled.fetch_add(self.facts.len() as u64, Ordering::AcqRel);
        for (seq, waiting) in &mut self.facts {
            if let Some(hook) = waiting.on_sequenced.take() {
                hook(*seq);
            }
        }
        // Before the watermark: who sees a sequence durable knows whether there is a fact up to it.
        self.shared.last_fact.store(self.journal.last_fact(), Ordering::Release);
        self.shared.durable.advance(last);
        // After the journal's own watermark: whoever waits for a lane reads that one next ([`Recorder::settled`]).
        for (index, reader) in self.readers.iter_mut().enumerate() {
            let counter = reader.consume();
            self.shared.lane_durable[index].advance(counter);
        }
        for (seq, waiting) in self.facts.drain(..) {
            // Whoever does not wait any more finds the fact in the books.
            _ = waiting.done.send(Ok(seq));
        }
    }

    fn fail(&mut self, error: &JournalError) {
        let full = matches!(error, JournalError::Full { .. });
        let first = if full { !self.shared.full.swap(true, Ordering::AcqRel) } else { true };
        if first {
            tracing::error!(%error, "the journal cannot be written; redirects go on, payments are answered 503");
        }
        let answer = if full { RecordError::StorageFull } else { RecordError::StorageFailed };
        if !full {
            self.shared.failed.store(true, Ordering::Release);
        }
        for reader in &mut self.readers {
            reader.rewind();
        }
        for (_, waiting) in self.facts.drain(..) {
            _ = waiting.done.send(Err(answer));
        }
    }

    /// After a failed sync: nothing is written any more. Hits stay in their lanes until these are full.
    fn refuse_until_stopped(&mut self) {
        while !self.shared.stop.load(Ordering::Acquire) {
            if let Ok(waiting) = self.queue.recv_timeout(FULL_DISK_PAUSE) {
                _ = waiting.done.send(Err(RecordError::StorageFailed));
            }
        }
    }
}
