//! What a start finds: the newest segment of each family is read whole, its torn tail is cut, bad frames in
//! its middle are reported and skipped, and the last counters of the lanes are taken from the newest traffic.

use std::fs::OpenOptions;
use std::ops::Range;
use std::path::{Path, PathBuf};

use weir_schemas::ids::Sequence;

use super::JournalError;
use super::frame::{self, CHECKPOINT, Parsed};
use super::segment::{self, Family, HEADER_BYTES, SegmentFile};

/// Bytes that are no frame, with good frames behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The segment.
    pub path: PathBuf,
    /// Where.
    pub bytes: Range<u64>,
    /// Entries with sequences between these two (both good) are lost or were never here.
    pub between: (Sequence, Sequence),
}

/// What recovery found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Entries read.
    pub entries: u64,
    /// Bytes cut from torn tails.
    pub torn_bytes: u64,
    /// Damage in the middle.
    pub quarantined: Vec<Quarantined>,
}

#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub last: Sequence,
    /// Last journaled counter by lane.
    pub counters: Vec<u64>,
    pub report: RecoveryReport,
}

/// Recovers the segments of `folder`.
pub(super) fn recover(folder: &Path) -> Result<Recovered, JournalError> {
    let mut recovered = Recovered::default();
    for family in Family::ALL {
        let segments = segment::list(folder, family)?;
        for (index, file) in segments.iter().enumerate().rev() {
            let newest = index + 1 == segments.len();
            // A name may be ahead of its content; the sequences before it were used all the same.
            recovered.last = recovered.last.max(file.first.saturating_sub(1));
            if scan(file, family, newest, &mut recovered)? {
                break;
            }
            // Without a single good frame (a crash just after the file was made) the segment before tells more.
        }
    }
    Ok(recovered)
}

/// Reads one segment; tells whether it held anything by which to go on.
fn scan(
    file: &SegmentFile,
    family: Family,
    newest: bool,
    recovered: &mut Recovered,
) -> Result<bool, JournalError> {
    let bytes = std::fs::read(&file.path).map_err(|e| JournalError::failed("read", &file.path, e))?;
    if let Err(why) = segment::check_header(&bytes, family) {
        if newest && bytes.len() < HEADER_BYTES {
            // The crash came between creating the file and writing its header: no entry was ever in it.
            recovered.report.torn_bytes += bytes.len() as u64;
            std::fs::remove_file(&file.path)
                .map_err(|e| JournalError::failed("remove the torn", &file.path, e))?;
            return Ok(false);
        }
        return Err(JournalError::Foreign { path: file.path.display().to_string(), why });
    }
    let mut at = HEADER_BYTES;
    let mut last = file.first.saturating_sub(1);
    let mut found = false;
    while at < bytes.len() {
        if let Parsed::Frame(frame) = frame::parse(&bytes[at..]) {
            at += frame.size();
            found = true;
            if frame.kind == CHECKPOINT {
                for pair in frame.payload.chunks_exact(10) {
                    let lane = u16::from_le_bytes([pair[0], pair[1]]);
                    let counter = u64::from_le_bytes(pair[2..].try_into().expect("8 bytes"));
                    raise(&mut recovered.counters, lane, counter);
                }
                continue;
            }
            last = frame.seq;
            recovered.report.entries += 1;
            if family == Family::Traffic {
                raise(&mut recovered.counters, frame.lane, frame.counter);
            }
            continue;
        }
        let resumed = frame::resynchronise(&bytes, at + 1, last);
        let Some(next) = resumed else {
            if newest {
                cut(file, at)?;
                // Zeros are what a batch that was written around the page cache ends in.
                if bytes[at..].iter().any(|byte| *byte != 0) {
                    recovered.report.torn_bytes += (bytes.len() - at) as u64;
                }
            }
            break;
        };
        let Parsed::Frame(good) = frame::parse(&bytes[next..]) else {
            unreachable!("a good frame was found")
        };
        recovered.report.quarantined.push(Quarantined {
            path: file.path.clone(),
            bytes: at as u64..next as u64,
            between: (last, good.seq),
        });
        at = next;
    }
    recovered.last = recovered.last.max(last);
    Ok(found)
}

fn raise(counters: &mut Vec<u64>, lane: u16, counter: u64) {
    let at = usize::from(lane);
    if counters.len() <= at {
        counters.resize(at + 1, 0);
    }
    counters[at] = counters[at].max(counter);
}

fn cut(file: &SegmentFile, at: usize) -> Result<(), JournalError> {
    let cut = || -> std::io::Result<()> {
        let segment = OpenOptions::new().write(true).open(&file.path)?;
        segment.set_len(at as u64)?;
        segment.sync_all()
    };
    cut().map_err(|e| JournalError::failed("cut the torn tail of", &file.path, e))
}
