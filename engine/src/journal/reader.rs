//! Reading in order: the entries of one or both families, merged by sequence, never beyond what is durable.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_schemas::ids::Sequence;

use super::frame::{self, CHECKPOINT, Frame, Parsed};
use super::segment::{self, Family, HEADER_BYTES, SegmentFile};
use super::tail::{Batch, Behind, Tail};
use super::{Entry, JournalError};

/// Bytes read at once; grows for a larger frame.
const CHUNK_BYTES: usize = 256 << 10;
/// Of how many entries read from files one is followed by a look whether the tail reaches back to it.
const TAIL_LOOK: Sequence = 1_024;

/// The traffic of a journal, for who follows it.
#[derive(Debug, Clone)]
pub struct Traffic {
    folder: PathBuf,
    tail: Option<Tail>,
}

impl Traffic {
    /// Of the journal in `folder` that nobody writes to.
    pub fn of_files(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), tail: None }
    }

    /// Of the journal in `folder` whose writer has this tail.
    pub(crate) fn of_writer(folder: &Path, tail: &Tail) -> Self {
        Self { folder: folder.to_owned(), tail: Some(tail.clone()) }
    }

    /// What `read` says of the entry that was `counter`-th on `lane`, where the writer still has it in memory.
    pub(crate) fn recent<T>(
        &self,
        lane: u16,
        counter: u64,
        read: impl FnOnce(Entry<&[u8]>) -> T,
    ) -> Option<T> {
        let (batch, start) = self.tail.as_ref()?.entry(lane, counter)?;
        let Frame { seq, kind, payload, .. } = frame::first(&batch.frames[start..]);
        Some(read(Entry { seq, family: Family::Traffic, kind, payload }))
    }

    /// A reader that begins behind `after`. It reads from the tail wherever that reaches back far enough, and else from
    /// the files.
    pub fn behind(&self, after: Sequence) -> JournalReader {
        let tail = self.tail.clone().map(|tail| FromTail { tail, reading: false, batch: None, start: 0 });
        JournalReader { tail, ..JournalReader::open(&self.folder, &[Family::Traffic], after) }
    }
}

/// A follower's position in the journal.
#[derive(Debug)]
pub struct JournalReader {
    folder: PathBuf,
    /// Of the files; those that are read from the tail have none.
    cursors: Vec<Cursor>,
    tail: Option<FromTail>,
    passed: Sequence,
}

/// The position in the tail.
#[derive(Debug)]
struct FromTail {
    tail: Tail,
    /// Whether it is read from: else the position is so far behind that the files are.
    reading: bool,
    /// What is read; its frames from `start` on are still to be given.
    batch: Option<Arc<Batch>>,
    start: usize,
}

/// How much is read at once.
struct Room {
    entries: usize,
    bytes: usize,
}

impl Room {
    fn is_left(&self) -> bool {
        self.entries > 0 && self.bytes > 0
    }

    fn take(&mut self, bytes: usize) {
        self.entries -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl JournalReader {
    /// Begins behind `after`.
    pub fn open(folder: &Path, families: &[Family], after: Sequence) -> Self {
        let cursors = families.iter().map(|family| Cursor::new(folder, *family, after)).collect();
        Self { folder: folder.to_owned(), cursors, tail: None, passed: after }
    }

    /// Everything up to here has been read.
    pub fn passed(&self) -> Sequence {
        self.passed
    }

    /// Passes what is up to `upto`, where there is nothing to read.
    pub(crate) fn pass(&mut self, upto: Sequence) {
        self.passed = self.passed.max(upto);
        for cursor in &mut self.cursors {
            cursor.exhausted = cursor.exhausted.max(upto);
        }
    }

    /// Appends the next entries to `out`, as [`Self::read`] gives them.
    pub fn read_batch(
        &mut self,
        upto: Sequence,
        max_entries: usize,
        max_bytes: usize,
        out: &mut Vec<Entry>,
    ) -> Result<Sequence, JournalError> {
        self.read(upto, max_entries, max_bytes, |entry| out.push(entry.to_owned()))
    }

    /// Gives the next entries to `each`: none beyond `upto`, which must be durable, and no more than
    /// `max_entries` or (beyond the first) `max_bytes`. Gives the sequence up to which everything has been
    /// read: `upto` where nothing was left.
    pub fn read(
        &mut self,
        upto: Sequence,
        max_entries: usize,
        max_bytes: usize,
        mut each: impl FnMut(Entry<&[u8]>),
    ) -> Result<Sequence, JournalError> {
        let mut room = Room { entries: max_entries, bytes: max_bytes };
        while self.passed < upto && room.is_left() {
            if self.is_in_the_tail() {
                self.read_tail(upto, &mut room, &mut each);
            } else {
                self.read_files(upto, &mut room, &mut each)?;
            }
        }
        Ok(self.passed)
    }

    /// Whether to read from the tail; where that has changed, the other side's position is made anew.
    fn is_in_the_tail(&mut self) -> bool {
        let Some(from) = &mut self.tail else { return false };
        if from.reading {
            return true;
        }
        from.reading = from.tail.covers(self.passed);
        if from.reading {
            self.cursors.clear();
            from.batch = None;
        }
        from.reading
    }

    fn read_tail(&mut self, upto: Sequence, room: &mut Room, each: &mut impl FnMut(Entry<&[u8]>)) {
        let from = self.tail.as_mut().expect("asked before");
        let Some(batch) = &from.batch else {
            from.start = 0;
            match from.tail.behind(self.passed) {
                Behind::Batch(batch) => from.batch = Some(batch),
                Behind::Nothing => self.passed = upto,
                Behind::Forgotten => {
                    from.reading = false;
                    self.cursors.push(Cursor::new(&self.folder, Family::Traffic, self.passed));
                }
            }
            return;
        };
        while from.start < batch.frames.len() {
            let frame = frame::first(&batch.frames[from.start..]);
            if frame.seq > upto {
                self.passed = upto;
                return;
            }
            if frame.seq > self.passed {
                if !room.is_left() {
                    return;
                }
                room.take(frame.payload.len());
                self.passed = frame.seq;
                let Frame { seq, kind, payload, .. } = frame;
                each(Entry { seq, family: Family::Traffic, kind, payload });
            }
            from.start += frame.size();
        }
        self.passed = self.passed.max(batch.last.min(upto));
        from.batch = None;
    }

    /// Reads the files, up to where the tail begins.
    fn read_files(
        &mut self,
        upto: Sequence,
        room: &mut Room,
        each: &mut impl FnMut(Entry<&[u8]>),
    ) -> Result<(), JournalError> {
        while self.passed < upto && room.is_left() {
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
            self.cursors[index].take(|entry| {
                room.take(entry.payload.len());
                each(entry);
            });
            self.passed = seq;
            if self.tail.as_ref().is_some_and(|from| seq.is_multiple_of(TAIL_LOOK) && from.tail.covers(seq)) {
                break;
            }
        }
        Ok(())
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
        let mut read_anew = false;
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
            // Zeros stood behind the last entry when this was read; by now there may be more.
            if !read_anew && self.buffer[self.start..].iter().take(4).all(|byte| *byte == 0) {
                read_anew = true;
                self.buffer.truncate(self.start);
                self.fill()?;
                continue;
            }
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
            let zeros = self.buffer[self.start..].iter().all(|byte| *byte == 0);
            if complete && !zeros {
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

    /// Gives the peeked entry to `each`.
    fn take(&mut self, each: impl FnOnce(Entry<&[u8]>)) {
        let (seq, size) = self.peeked.take().expect("peeked before");
        // Its checksum held when it was peeked.
        let frame = frame::whole(&self.buffer[self.start..self.start + size]);
        each(Entry { seq, family: self.family, kind: frame.kind, payload: frame.payload });
        self.start += size;
        self.after = seq;
    }
}
