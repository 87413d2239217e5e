//! How far the warehouse is, on disk: the durable watermark of the follower, the batch that may be under way,
//! and the batches last stored, which are counted again at a start (ClickHouse does not sync its parts, so a
//! power failure may take the newest).

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use weir_schemas::ids::Sequence;
use weir_schemas::time::Timestamp;

/// Stretches of the past that are counted again at a start. Together they go farther back than an operating system
/// leaves what was written unsynced (Linux: 30 s, and 5 s until it looks).
pub(super) const REMEMBERED_MAX: usize = 64;
/// Batches that follow each other within this are one stretch, so that many small ones, which whoever asks brings
/// about, do not shorten the past.
const STRETCH: Duration = Duration::from_secs(1);
/// Rows of a stretch, unless one batch has more: they are read into memory where some are missing.
const STRETCH_ROWS_MAX: u64 = 100_000;

/// A batch: everything after `after`, up to `upto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range {
    pub after: Sequence,
    pub upto: Sequence,
}

/// A batch or some in a row that were stored, and how many rows they left in each table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub range: Range,
    pub clicks: u64,
    /// 0 in a progress from before there were browser events.
    #[serde(default)]
    pub events: u64,
    pub effects: u64,
}

impl Stored {
    fn rows(&self) -> u64 {
        self.clicks + self.events + self.effects
    }

    fn add(&mut self, next: &Self) {
        self.range.upto = next.range.upto;
        self.clicks += next.clicks;
        self.events += next.events;
        self.effects += next.effects;
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// Everything up to here is stored or dead-lettered.
    pub stored: Sequence,
    /// A batch that was begun: it may be there, in part or not at all.
    pub intent: Option<Range>,
    /// What was stored last, oldest first.
    pub remembered: VecDeque<Stored>,
    /// Batches that begin before this may be there already, as the progress was set back or lost: ClickHouse
    /// is asked first.
    #[serde(default)]
    pub ask_until: Sequence,
    /// Of inserts: ClickHouse takes what it has seen before for a repeat unless this is another.
    #[serde(default)]
    pub generation: u64,
}

impl Progress {
    /// Nothing is known: everything is asked for.
    pub(super) fn unknown() -> Self {
        Self { ask_until: Sequence::MAX, ..Self::default() }
    }
}

/// The file that holds a [`Progress`].
#[derive(Debug)]
pub(super) struct ProgressFile {
    path: PathBuf,
    pub now: Progress,
    /// When the newest of what is remembered was begun, by this process.
    begun: Option<Instant>,
}

impl ProgressFile {
    /// Reads the file; a missing one is a beginning.
    pub(super) fn open(path: &Path) -> std::io::Result<Self> {
        let now = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(std::io::Error::other)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Progress::unknown(),
            Err(error) => return Err(error),
        };
        Ok(Self { path: path.to_owned(), now, begun: None })
    }

    /// Makes what it says now durable: a whole new file takes the old one's place.
    pub(super) fn save(&self) -> std::io::Result<()> {
        let next = self.path.with_extension("next");
        let mut file = File::create(&next)?;
        file.write_all(&serde_json::to_vec(&self.now).map_err(std::io::Error::other)?)?;
        file.sync_data()?;
        fs::rename(&next, &self.path)?;
        File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }

    /// Rows that ClickHouse once had are to be stored again.
    pub(super) fn next_generation(&mut self) -> std::io::Result<()> {
        self.now.generation += 1;
        self.save()
    }

    /// Nothing is there behind `last`, whatever inserts ClickHouse has noted: those that come are none of them.
    pub(super) fn ask_until(&mut self, last: Sequence) -> std::io::Result<()> {
        self.now.ask_until = last;
        self.now.generation = self.now.generation.max(Timestamp::now().0.unsigned_abs());
        self.save()
    }

    /// Nothing is known but that everything is stored again.
    pub(super) fn set_back(&mut self) -> std::io::Result<()> {
        self.now = Progress { generation: self.now.generation, ..Progress::unknown() };
        self.begun = None;
        self.next_generation()
    }

    pub(super) fn begin(&mut self, range: Range) -> std::io::Result<()> {
        self.now.intent = Some(range);
        self.save()
    }

    pub(super) fn finish(&mut self, stored: Stored) -> std::io::Result<()> {
        self.now.intent = None;
        self.now.stored = stored.range.upto;
        match self.now.remembered.back_mut() {
            Some(last)
                if self.begun.is_some_and(|begun| begun.elapsed() < STRETCH)
                    && last.rows() + stored.rows() <= STRETCH_ROWS_MAX =>
            {
                last.add(&stored);
            }
            _ => {
                self.now.remembered.push_back(stored);
                self.begun = Some(Instant::now());
            }
        }
        while self.now.remembered.len() > REMEMBERED_MAX {
            self.now.remembered.pop_front();
        }
        self.save()
    }
}

/// Up to where the follower whose progress is at `path` has seen the journal.
pub fn seen(path: &Path) -> std::io::Result<Sequence> {
    let now = ProgressFile::open(path)?.now;
    Ok(now.stored.max(now.intent.map_or(0, |range| range.upto)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_was_saved_last() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("warehouse.json");
        let mut file = ProgressFile::open(&path).unwrap();
        assert_eq!(file.now, Progress::unknown());
        file.begin(Range { after: 0, upto: 9 }).unwrap();
        assert_eq!(ProgressFile::open(&path).unwrap().now.intent, Some(Range { after: 0, upto: 9 }));
        for n in 0..100 {
            let range = Range { after: n, upto: n + 1 };
            file.finish(Stored { range, clicks: 1, events: 0, effects: 0 }).unwrap();
        }
        file.set_back().unwrap();
        assert_eq!(file.now, Progress { generation: 1, ..Progress::unknown() });
        assert_eq!(ProgressFile::open(&path).unwrap().now, file.now);
        for n in 0..100 {
            let range = Range { after: n, upto: n + 1 };
            file.finish(Stored { range, clicks: STRETCH_ROWS_MAX, events: 0, effects: 0 }).unwrap();
        }
        let again = ProgressFile::open(&path).unwrap().now;
        assert_eq!((again.stored, again.intent, again.remembered.len()), (100, None, REMEMBERED_MAX));
    }

    #[test]
    fn many_small_batches_do_not_shorten_the_past() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = ProgressFile::open(&dir.path().join("warehouse.json")).unwrap();
        let batches = REMEMBERED_MAX as u64 * 3;
        for n in 0..batches {
            let range = Range { after: 2 * n, upto: 2 * n + 2 };
            file.finish(Stored { range, clicks: 1, events: n % 2, effects: 3 }).unwrap();
        }
        let remembered = &file.now.remembered;
        assert!(remembered.len() <= REMEMBERED_MAX);
        let mut whole = remembered[0];
        remembered.iter().skip(1).for_each(|next| whole.add(next));
        let range = Range { after: 0, upto: 2 * batches };
        assert_eq!(whole, Stored { range, clicks: batches, events: batches / 2, effects: 3 * batches });
    }
}
