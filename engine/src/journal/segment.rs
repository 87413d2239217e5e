//! Segment files: their names, headers and order.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use weir_schemas::ids::Sequence;

use super::JournalError;

pub(super) const HEADER_BYTES: usize = 28;
const MAGIC: &[u8; 8] = b"WEIRJRNL";
const VERSION: u16 = 1;

/// The two families of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Family {
    /// Few and kept for ever.
    Facts = 1,
    /// Many and deleted after their retention.
    Traffic = 2,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Facts, Self::Traffic];

    pub(super) const fn prefix(self) -> &'static str {
        match self {
            Self::Facts => "facts-",
            Self::Traffic => "traffic-",
        }
    }
}

/// A segment's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentFile {
    pub path: PathBuf,
    /// The least sequence it may hold.
    pub first: Sequence,
}

pub(super) fn path_of(folder: &Path, family: Family, first: Sequence) -> PathBuf {
    folder.join(format!("{}{first:020}.wj", family.prefix()))
}

/// The segments of a family, oldest first.
pub(super) fn list(folder: &Path, family: Family) -> Result<Vec<SegmentFile>, JournalError> {
    let failed = |source| JournalError::failed("list", folder, source);
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let first = name.strip_prefix(family.prefix()).and_then(|name| name.strip_suffix(".wj"));
        if let Some(first) = first.and_then(|digits| digits.parse().ok()) {
            segments.push(SegmentFile { path, first });
        }
    }
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
}

pub(super) fn header(family: Family, node: u16, first: Sequence) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
    bytes[10] = family as u8;
    bytes[12..16].copy_from_slice(&u32::from(node).to_le_bytes());
    bytes[16..24].copy_from_slice(&first.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..24]);
    bytes[24..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Whether `bytes` begin with the header of a segment of `family`; the reason where not.
pub(super) fn check_header(bytes: &[u8], family: Family) -> Result<(), &'static str> {
    let header = bytes.get(..HEADER_BYTES).ok_or("it is shorter than a header")?;
    if &header[..8] != MAGIC {
        return Err("the magic bytes are missing");
    }
    if header[8..10] != VERSION.to_le_bytes() {
        return Err("it was written by another version");
    }
    if crc32c::crc32c(&header[..24]).to_le_bytes() != header[24..] {
        return Err("its header is damaged");
    }
    if header[10] != family as u8 {
        return Err("its name and its header tell different families");
    }
    Ok(())
}

/// Makes a file's name durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), JournalError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(|e| JournalError::failed("sync", folder, e))
}
