//! The journal: every fact once, in one order. Nothing else is the truth.
//!
//! # Files
//! One folder of segments in two families that share one [`Sequence`](weir_schemas::ids::Sequence):
//! `facts-SEQ.wj` (commands, payments, conversions; kept for ever) and `traffic-SEQ.wj` (clicks; deleted once their
//! retention is over and every follower has passed them). SEQ is the least sequence that the segment may
//! hold, 20 digits, so names sort as sequences do.
//!
//! # Bytes (little-endian)
//! ```text
//! segment  = header frame*
//! header   = magic "WEIRJRNL" · version u16 = 1 · family u8 · zero u8 · node u32 · first sequence u64 ·
//! crc32c of these u32 frame    = length u32 · crc u32 · body            length: of the body; crc: CRC32C of
//! length and body body     = sequence u64 · kind u8 · lane u16 · counter u64 · payload
//! ```
//! The newest traffic segment may end in zeros, up to the next multiple of 4096 bytes: they are no entry
//! (`output.rs` says why).
//!
//! `kind` 0 is a checkpoint: the first frame of every traffic segment, holding `lane u16 · counter u64` of
//! the last hit that was journaled from each lane. It has the sequence before the segment's first and is not
//! an entry.
//!
//! # Invariants (each has a test that fails when it is broken)
//! 1. Sequences grow strictly within a family and are never used twice, over restarts too.
//! 2. What was acknowledged is read back after any crash: an entry is acknowledged only after `fdatasync` of its bytes.
//! 3. A torn tail is cut at its first bad frame and counted; nothing after it was ever acknowledged.
//! 4. A bad frame with good frames behind it is never taken for the tail: it is skipped and reported, the
//!    later ones are kept.
//! 5. After an `fsync` error nothing is written any more: the kernel may have dropped the pages.
//! 6. A hit is journaled once, although a crash may leave it in its lane as well: lane counters are compared.
//! 7. Readers see nothing beyond the durable watermark.

mod frame;
mod output;
mod reader;
mod recovery;
mod retention;
mod segment;
mod tail;
mod writer;

pub use frame::{ENTRY_BYTES_MAX, FRAME_BYTES};
pub use reader::{JournalReader, Traffic};
pub use recovery::{Quarantined, RecoveryReport};
pub use retention::{delete_expired, oldest_traffic};
pub use segment::Family;
pub use tail::Tail;
pub use writer::{Journal, JournalConfig};

use weir_schemas::ids::Sequence;

/// One entry as a reader gives it: with bytes of its own, or (`Entry<&[u8]>`) in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<P = Vec<u8>> {
    /// Its place in the order.
    pub seq: Sequence,
    /// Which family it stands in.
    pub family: Family,
    /// [`weir_schemas::fact::kind`].
    pub kind: u8,
    /// Its bytes.
    pub payload: P,
}

impl Entry<&[u8]> {
    /// A copy that borrows nothing.
    pub fn to_owned(self) -> Entry {
        Entry { seq: self.seq, family: self.family, kind: self.kind, payload: self.payload.to_vec() }
    }
}

/// What can go wrong with the journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk is full: nothing of the batch was kept, it may be tried again.
    #[error("the disk of {path} is full")]
    Full {
        /// The segment.
        path: String,
    },
    /// The disk failed: the journal writes no more until the process is restarted.
    #[error("{doing} {path}: {source}")]
    Failed {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// An entry is larger than [`ENTRY_BYTES_MAX`].
    #[error("an entry of {0} bytes is larger than {ENTRY_BYTES_MAX}")]
    TooLarge(usize),
    /// A file in the folder is not a segment of this version.
    #[error("{path} is not a journal segment of this version: {why}")]
    Foreign {
        /// The file.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
}

impl JournalError {
    fn failed(doing: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        let path = path.display().to_string();
        match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Failed { doing, path, source },
        }
    }
}

#[cfg(test)]
mod tests;
