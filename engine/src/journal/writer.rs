//! Writing: entries are put into a batch, a batch is committed as a whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use weir_schemas::ids::Sequence;

use super::frame::{self, CHECKPOINT, ENTRY_BYTES_MAX, FRAME_BYTES, Frame, NO_LANE};
use super::output::Output;
use super::recovery::{self, Recovered};
use super::segment::{self, Family, HEADER_BYTES};
use super::tail::{TAIL_BYTES, Tail};
use super::{JournalError, RecoveryReport};

/// What must fit before a disk that was full counts as having room.
const ROOM_BYTES: u64 = 1 << 16;

/// How the journal is kept.
#[derive(Debug, Clone)]
pub struct JournalConfig {
    /// The folder of segments.
    pub folder: PathBuf,
    /// This node's number.
    pub node: u16,
    /// Bytes after which a segment is followed by the next.
    pub segment_bytes: u64,
}

/// The one writer of the journal.
#[derive(Debug)]
pub struct Journal {
    config: JournalConfig,
    next: Sequence,
    /// Entries of the batch so far, by family.
    facts: Side,
    traffic: Side,
    batch_first: Sequence,
    /// The last counter journaled of each lane, by lane number; committed and with the batch.
    counters: Vec<u64>,
    batch_counters: Vec<u64>,
    last_fact: Sequence,
    tail: Tail,
    failed: bool,
}

/// What belongs to one family.
#[derive(Debug)]
struct Side {
    open: Option<Output>,
    batch: Vec<u8>,
}

impl Journal {
    /// Recovers what is in the folder and opens it for writing.
    pub fn open(config: JournalConfig) -> Result<(Self, RecoveryReport), JournalError> {
        std::fs::create_dir_all(&config.folder)
            .map_err(|e| JournalError::failed("create", &config.folder, e))?;
        let Recovered { last, counters, report } = recovery::recover(&config.folder)?;
        let side = || Side { open: None, batch: Vec::new() };
        let mut journal = Self {
            next: last + 1,
            facts: side(),
            traffic: side(),
            batch_first: last + 1,
            batch_counters: counters.clone(),
            counters,
            // What recovery found last may be one.
            last_fact: last,
            tail: Tail::new(TAIL_BYTES, last),
            failed: false,
            config,
        };
        for family in Family::ALL {
            journal.reopen(family)?;
        }
        Ok((journal, report))
    }

    /// Goes on in the newest segment. What recovery found in it counts as durable from now on, so it is synced here.
    fn reopen(&mut self, family: Family) -> Result<(), JournalError> {
        let Some(newest) = segment::list(&self.config.folder, family)?.pop() else { return Ok(()) };
        let open = || -> std::io::Result<Output> {
            File::open(&newest.path)?.sync_all()?;
            Output::open(&newest.path, family)
        };
        let open = open().map_err(|e| JournalError::failed("reopen", &newest.path, e))?;
        self.side(family).open = Some(open);
        Ok(())
    }

    fn side(&mut self, family: Family) -> &mut Side {
        match family {
            Family::Facts => &mut self.facts,
            Family::Traffic => &mut self.traffic,
        }
    }

    /// The traffic that was committed lately.
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    #[cfg(test)]
    pub(super) fn forget_beyond(&mut self, bytes: usize) {
        self.tail = Tail::new(bytes, self.last());
    }

    /// The last sequence that is committed.
    pub fn last(&self) -> Sequence {
        self.batch_first - 1
    }

    /// Goes on behind `seen`, which a follower has, even where the journal ends before it (a disk lost what it had
    /// acknowledged): a sequence that meant something to a follower must never mean something else. Tells whether the
    /// journal ended before. Nothing may be in the batch.
    pub fn continue_behind(&mut self, seen: Sequence) -> bool {
        let behind = seen > self.last();
        if behind {
            (self.batch_first, self.next) = (seen + 1, seen + 1);
            self.last_fact = seen;
        }
        behind
    }

    /// The last counter that is committed of `lane`; 0 where none is.
    pub fn counter(&self, lane: u16) -> u64 {
        self.counters.get(usize::from(lane)).copied().unwrap_or(0)
    }

    /// Puts a fact into the batch.
    pub fn put_fact(&mut self, kind: u8, payload: &[u8]) -> Result<Sequence, JournalError> {
        let seq = self.put(Family::Facts, NO_LANE, 0, |out| -> Result<u8, JournalError> {
            out.extend_from_slice(payload);
            Ok(kind)
        })?;
        self.last_fact = seq;
        Ok(seq)
    }

    /// The last fact's sequence, or a later one: behind it there is none, not in the batch either.
    pub fn last_fact(&self) -> Sequence {
        self.last_fact
    }

    /// Puts the hit that was `counter`-th on `lane` into the batch.
    pub fn put_traffic(
        &mut self,
        kind: u8,
        lane: u16,
        counter: u64,
        payload: &[u8],
    ) -> Result<Sequence, JournalError> {
        self.write_traffic(lane, counter, |out| {
            out.extend_from_slice(payload);
            Ok(kind)
        })
    }

    /// As [`Self::put_traffic`] of the bytes that `write` appends, of the kind that it gives. Where it gives an error,
    /// nothing is put.
    pub fn write_traffic<E: From<JournalError>>(
        &mut self,
        lane: u16,
        counter: u64,
        write: impl FnOnce(&mut Vec<u8>) -> Result<u8, E>,
    ) -> Result<Sequence, E> {
        let seq = self.put(Family::Traffic, lane, counter, write)?;
        let at = usize::from(lane);
        if self.batch_counters.len() <= at {
            self.batch_counters.resize(at + 1, 0);
        }
        self.batch_counters[at] = counter;
        Ok(seq)
    }

    fn put<E: From<JournalError>>(
        &mut self,
        family: Family,
        lane: u16,
        counter: u64,
        write: impl FnOnce(&mut Vec<u8>) -> Result<u8, E>,
    ) -> Result<Sequence, E> {
        let seq = self.next;
        let batch = &mut self.side(family).batch;
        let start = frame::begin(batch);
        let written = write(batch).and_then(|kind| match batch.len() - start - FRAME_BYTES {
            ..=ENTRY_BYTES_MAX => Ok(kind),
            bytes => Err(JournalError::TooLarge(bytes).into()),
        });
        match written {
            Ok(kind) => Frame { seq, kind, lane, counter, payload: &[] }.end(batch, start),
            Err(error) => {
                batch.truncate(start);
                return Err(error);
            }
        }
        self.next += 1;
        Ok(seq)
    }

    /// Bytes in the batch.
    pub fn batch_bytes(&self) -> usize {
        self.facts.batch.len() + self.traffic.batch.len()
    }

    /// Makes the batch durable and gives its last sequence. On an error nothing of it is kept and its
    /// sequences are free again; after [`JournalError::Failed`] every later commit fails as well.
    pub fn commit(&mut self) -> Result<Sequence, JournalError> {
        match self.try_commit() {
            Ok(()) => {
                self.batch_first = self.next;
                if !self.traffic.batch.is_empty() {
                    let last = self.last();
                    self.tail.remember(&mut self.traffic.batch, last);
                }
                self.counters.clone_from(&self.batch_counters);
                for family in Family::ALL {
                    self.side(family).batch.clear();
                }
                Ok(self.last())
            }
            Err(error) => {
                self.failed |= !matches!(error, JournalError::Full { .. });
                self.abandon();
                Err(error)
            }
        }
    }

    /// Forgets the batch.
    pub fn abandon(&mut self) {
        self.next = self.batch_first;
        self.batch_counters.clone_from(&self.counters);
        for family in Family::ALL {
            self.side(family).batch.clear();
        }
    }

    fn try_commit(&mut self) -> Result<(), JournalError> {
        if self.failed {
            let source = std::io::Error::other("an earlier write failed; nothing is written until a restart");
            return Err(JournalError::Failed {
                doing: "write",
                path: self.config.folder.display().to_string(),
                source,
            });
        }
        // Both families are written before either is synced, and both written parts are taken back if either is full.
        let mut written: Vec<(Family, u64)> = Vec::new();
        for family in Family::ALL {
            if self.side(family).batch.is_empty() {
                continue;
            }
            let result = self.roll_if_needed(family).and_then(|()| {
                let side = self.side(family);
                let open = side.open.as_mut().expect("rolled to an open segment");
                written.push((family, open.bytes()));
                open.write(&side.batch).map_err(|e| JournalError::failed("write to", &open.path, e))
            });
            if let Err(error) = result {
                for (family, bytes) in written {
                    self.take_back(family, bytes)?;
                }
                return Err(error);
            }
        }
        for (family, _) in written {
            let open = self.side(family).open.as_mut().expect("it was written to");
            metrics::counter!("weir_journal_syncs_total").increment(1);
            if let Err(source) = open.sync() {
                // Never "full", never retried: whether the pages are still there is unknown after a failed sync.
                let path = open.path.display().to_string();
                return Err(JournalError::Failed { doing: "sync", path, source });
            }
        }
        Ok(())
    }

    /// Whether the disk has room again: for when nothing waits to be written that would tell. Leaves nothing behind.
    pub fn check_room(&self) -> Result<(), JournalError> {
        let path = self.config.folder.join("room");
        let room = File::create(&path).and_then(|file| {
            Ok(rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, ROOM_BYTES)?)
        });
        let removed = std::fs::remove_file(&path);
        room.and(removed).map_err(|e| JournalError::failed("make room in", &path, e))
    }

    fn take_back(&mut self, family: Family, bytes: u64) -> Result<(), JournalError> {
        let open = self.side(family).open.as_mut().expect("it was written to");
        open.take_back(bytes).map_err(|source| JournalError::Failed {
            doing: "take back a batch from",
            path: open.path.display().to_string(),
            source,
        })
    }

    fn roll_if_needed(&mut self, family: Family) -> Result<(), JournalError> {
        let most = self.config.segment_bytes;
        if self.side(family).open.as_ref().is_some_and(|open| open.bytes() < most) {
            return Ok(());
        }
        if let Some(open) = &mut self.side(family).open {
            open.close().map_err(|e| JournalError::failed("close", &open.path, e))?;
        }
        let first = self.batch_first;
        let path = segment::path_of(&self.config.folder, family, first);
        let mut head = segment::header(family, self.config.node, first).to_vec();
        if family == Family::Traffic {
            let mut payload = Vec::new();
            for (lane, counter) in self.counters.iter().enumerate() {
                payload.extend_from_slice(&(lane as u16).to_le_bytes());
                payload.extend_from_slice(&counter.to_le_bytes());
            }
            let frame =
                Frame { seq: first - 1, kind: CHECKPOINT, lane: NO_LANE, counter: 0, payload: &payload };
            frame.write(&mut head);
        }
        debug_assert!(head.len() >= HEADER_BYTES);
        // The folder is synced before the first entry, or a crash could lose the name and keep the acknowledgement.
        let create = || -> std::io::Result<Output> {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&path)?;
            file.write_all(&head)?;
            file.sync_all()?;
            Output::open(&path, family)
        };
        let open = create().map_err(|source| {
            // A half-made segment must not stay behind: the next try makes it anew.
            let _ = std::fs::remove_file(&path);
            JournalError::failed("create", &path, source)
        })?;
        segment::sync_folder(&self.config.folder)?;
        self.side(family).open = Some(open);
        Ok(())
    }

    /// The folder of segments.
    pub fn folder(&self) -> &std::path::Path {
        &self.config.folder
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use weir_schemas::fact::kind;

    use super::*;

    #[test]
    fn after_a_failed_sync_nothing_is_written_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let config = JournalConfig { folder: dir.path().to_owned(), node: 0, segment_bytes: 1 << 20 };
        let mut journal = Journal::open(config).unwrap().0;
        journal.put_fact(kind::FACT, b"durable").unwrap();
        assert_eq!(journal.commit().unwrap(), 1);
        // A pipe takes what is written and cannot be synced.
        let (_reader, writer) = std::io::pipe().unwrap();
        let open = journal.facts.open.as_mut().unwrap();
        let good = open.replace_file(File::from(OwnedFd::from(writer)));
        journal.put_fact(kind::FACT, b"lost").unwrap();
        assert!(matches!(journal.commit(), Err(JournalError::Failed { doing: "sync", .. })));
        // Not even where the disk seems to be well again.
        journal.facts.open.as_mut().unwrap().replace_file(good);
        journal.put_fact(kind::FACT, b"again").unwrap();
        assert!(matches!(journal.commit(), Err(JournalError::Failed { .. })));
        assert_eq!(journal.last(), 1);
    }
}
