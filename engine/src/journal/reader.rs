//! Reading in order: the entries of one or both families, merged by sequence, never beyond what is durable.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use weir_schemas::ids::Sequence;

use super::frame::{self, CHECKPOINT, Parsed};
use super::segment::{self, Family, HEADER_BYTES, SegmentFile};
use super::{Entry, JournalError};

/// Bytes read at once; grows for a larger frame.
const CHUNK_BYTES: usize = 256 << 10;

/// A follower's position in the journal.
#[derive(Debug)]
pub struct JournalReader {
    cursors: Vec<Cursor>,
    passed: Sequence,
}

impl JournalReader {
    /// Begins behind `after`.
    pub fn open(folder: &Path, families: &[Family], after: Sequence) -> Self {
        let cursors = families.iter().map(|family| Cursor::new(folder, *family, after)).collect();
        Self { cursors, passed: after }
    }

    /// Everything up to here has been read.
    pub fn passed(&self) -> Sequence {
        self.passed
    }

    /// Appends the next entries to `out`: none beyond `upto`, which must be durable, and no more than
    /// `max_entries` or (beyond the first) `max_bytes`. Gives the sequence up to which everything has been
    /// read: `upto` where nothing was left.
    pub fn read_batch(
        &mut self,
        upto: Sequence,
        max_entries: usize,
        max_bytes: usize,
        out: &mut Vec<Entry>,
    ) -> Result<Sequence, JournalError> {
        let mut entries = 0;
        let mut bytes = 0;
        while self.passed < upto {
            if entries >= max_entries || bytes >= max_bytes {
                return Ok(self.passed);
            }
            let mut least: Option<(usize, Sequence)> = None;
            for (index, cursor) in self.cursors.iter_mut().enumerate() {
                if let Some(seq) = cursor.peek(upto)?
                    && least.is_none_or(|(_, least)| seq < least)
                {
                    least = Some((index, seq));
                }
            }
            let Some((index, seq)) = least else {
                self.passed = upto;
                break;
            };
            let entry = self.cursors[index].take();
            entries += 1;
            bytes += entry.payload.len();
            self.passed = seq;
            out.push(entry);
        }
        Ok(self.passed)
    }

    /// Damaged stretches that were skipped since the last call, as sentences.
    pub fn take_damage(&mut self) -> Vec<String> {
        self.cursors.iter_mut().flat_map(|cursor| std::mem::take(&mut cursor.damage)).collect()
    }
}

/// The position in one family.
#[derive(Debug)]
struct Cursor {
    folder: PathBuf,
    family: Family,
    /// Entries up to here are passed.
    after: Sequence,
    open: Option<(SegmentFile, File)>,
    /// `buffer[start..]` are the bytes of the file from `offset + start` on.
    buffer: Vec<u8>,
    start: usize,
    offset: u64,
    /// Sequence and size of the frame at `start`, once it was parsed.
    peeked: Option<(Sequence, usize)>,
    /// There is no entry up to here behind `after`: saves a look at the folder per entry of the other family.
    exhausted: Sequence,
    damage: Vec<String>,
}

impl Cursor {
    fn new(folder: &Path, family: Family, after: Sequence) -> Self {
        Self {
            folder: folder.to_owned(),
            family,
            after,
            open: None,
            buffer: Vec::new(),
            start: 0,
            offset: 0,
            peeked: None,
            exhausted: after,
            damage: Vec::new(),
        }
    }

    /// The sequence of the next entry, where it is not beyond `upto`.
    fn peek(&mut self, upto: Sequence) -> Result<Option<Sequence>, JournalError> {
        if let Some((seq, _)) = self.peeked {
            return Ok((seq <= upto).then_some(seq));
        }
        if upto <= self.exhausted {
            return Ok(None);
        }
        loop {
            // Parsing what is buffered needs no look at the folder.
            if self.open.is_some() && self.advance(upto, None)? {
                let (seq, _) = self.peeked.expect("just found");
                return Ok((seq <= upto).then_some(seq));
            }
            // The folder is listed before the file is read to its end: whatever is durable was in a listed
            // file by then.
            let segments = segment::list(&self.folder, self.family)?;
            let next = match &self.open {
                None => {
                    // Begin in the last segment that can hold the next entry.
                    let start =
                        segments.iter().rposition(|segment| segment.first <= self.after + 1).unwrap_or(0);
                    segments.get(start).cloned()
                }
                Some((current, _)) => {
                    let later = segments.iter().find(|segment| segment.first > current.first).cloned();
                    if self.advance(upto, Some(later.is_some()))? {
                        let (seq, _) = self.peeked.expect("just found");
                        return Ok((seq <= upto).then_some(seq));
                    }
                    later
                }
            };
            match next {
                Some(next) => self.open_segment(next)?,
                None => {
                    self.exhausted = upto;
                    return Ok(None);
                }
            }
        }
    }

    fn open_segment(&mut self, segment: SegmentFile) -> Result<(), JournalError> {
        let failed = |e| JournalError::failed("open", &segment.path, e);
        let file = File::open(&segment.path).map_err(failed)?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).map_err(failed)?;
        segment::check_header(&header, self.family)
            .map_err(|why| JournalError::Foreign { path: segment.path.display().to_string(), why })?;
        self.buffer.clear();
        self.start = 0;
        self.offset = HEADER_BYTES as u64;
        self.open = Some((segment, file));
        Ok(())
    }

    /// Parses on to the next entry behind `after`. `complete`: `None` looks at the buffer only; otherwise the
    /// file is read, and `Some(true)` says that nothing is written to it any more.
    fn advance(&mut self, upto: Sequence, complete: Option<bool>) -> Result<bool, JournalError> {
        loop {
            let parsed = frame::parse(&self.buffer[self.start..]);
            if let Parsed::Frame(frame) = parsed {
                let size = frame.size();
                if frame.kind != CHECKPOINT && frame.seq > self.after {
                    self.peeked = Some((frame.seq, size));
                    return Ok(true);
                }
                self.start += size;
                continue;
            }
            let incomplete = parsed == Parsed::Incomplete;
            let Some(complete) = complete else { return Ok(false) };
            if incomplete && self.fill()? {
                continue;
            }
            while self.fill()? {}
            if self.start == self.buffer.len() {
                return Ok(false);
            }
            // Either an entry that is being written just now, or damage: then something durable stands behind it.
            if self.resume(upto) {
                continue;
            }
            if complete {
                self.report_damage(self.buffer.len() - self.start);
                self.start = self.buffer.len();
            } else {
                // Read it again next time: it may be whole by then.
                self.buffer.truncate(self.start);
            }
            return Ok(false);
        }
    }

    /// Moves to the next good frame, where its sequence is durable.
    fn resume(&mut self, upto: Sequence) -> bool {
        let found = frame::resynchronise(&self.buffer, self.start + 1, self.after);
        let Some(next) = found else { return false };
        let durable = matches!(frame::parse(&self.buffer[next..]), Parsed::Frame(frame) if frame.seq <= upto);
        if durable {
            self.report_damage(next - self.start);
            self.start = next;
        }
        durable
    }

    fn report_damage(&mut self, bytes: usize) {
        let at = self.offset + self.start as u64;
        let name = self.open.as_ref().map(|(segment, _)| segment.path.display().to_string());
        self.damage.push(format!("{bytes} damaged bytes at {at} of {}", name.unwrap_or_default()));
    }

    /// Reads more of the file; tells whether there was more.
    fn fill(&mut self) -> Result<bool, JournalError> {
        let Some((segment, file)) = &self.open else { return Ok(false) };
        self.buffer.drain(..self.start);
        self.offset += self.start as u64;
        self.start = 0;
        let have = self.buffer.len();
        let want = CHUNK_BYTES.max(have);
        self.buffer.resize(have + want, 0);
        let read = file
            .read_at(&mut self.buffer[have..], self.offset + have as u64)
            .map_err(|e| JournalError::failed("read", &segment.path, e))?;
        self.buffer.truncate(have + read);
        Ok(read > 0)
    }

    /// The peeked entry.
    fn take(&mut self) -> Entry {
        let (seq, size) = self.peeked.take().expect("peeked before");
        // Its checksum held when it was peeked.
        let frame = frame::whole(&self.buffer[self.start..self.start + size]);
        let entry = Entry { seq, family: self.family, kind: frame.kind, payload: frame.payload.to_vec() };
        self.start += size;
        self.after = seq;
        entry
    }
}
