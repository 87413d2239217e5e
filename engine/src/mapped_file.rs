//! Read-only maps of files that are replaced, never rewritten: the GeoIP data.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;

use maxminddb::Mmap;

/// Maps `path` for reading.
pub(crate) fn read_only(path: &Path) -> io::Result<Mmap> {
    let file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty"));
    }
    // SAFETY: a map is unsound if the file changes under it. GeoIP files are installed by renaming a complete file into
    // place (scripts/fetch-geoip), so the bytes of the opened file stay as they are until the map is dropped.
    unsafe { Mmap::map(&file) }
}
