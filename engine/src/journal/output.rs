//! A segment that is written to. Facts go through the page cache, as their follower reads them at once. Traffic goes
//! around it (`O_DIRECT`) where the file system lets it: its followers read the [tail](super::tail), and copying some
//! hundred megabytes a minute into pages that nobody looks at cost more than all the rest of recording a click.
//!
//! Around the cache only whole blocks at their places are written. So the last block is written again with the next
//! batch, its beginning as it was, and ends in zeros; [`Output::close`] cuts them off. A zero is no frame, and readers
//! and recovery know zeros at an end for what they are.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::segment::Family;

/// What is written around the cache begins and ends at multiples of this, in the file and in memory.
const BLOCK_BYTES: usize = 4_096;

/// The open segment of a family.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) path: PathBuf,
    file: File,
    /// Bytes that are committed, or written for the batch that is being committed.
    bytes: u64,
    blocks: Option<Blocks>,
}

impl Output {
    /// Goes on behind what the file of `path` holds.
    pub(super) fn open(path: &Path, family: Family) -> io::Result<Self> {
        let bytes = std::fs::metadata(path)?.len();
        let direct = if family == Family::Traffic { open_direct(path)? } else { None };
        let (file, blocks) = match direct {
            Some(file) => (file, Some(Blocks::ending(path, bytes)?)),
            None => (OpenOptions::new().append(true).open(path)?, None),
        };
        Ok(Self { path: path.to_owned(), file, bytes, blocks })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes `batch` behind what is there. After an error the file may hold a part of it: see [`Self::take_back`].
    pub(super) fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        let around = self.blocks.as_mut().map(|blocks| blocks.write(&self.file, batch, self.bytes));
        match around {
            Some(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                // A file system that opens such a file and asks for other blocks, or has none.
                self.through_the_cache()?;
                (&self.file).write_all(batch)?;
            }
            Some(written) => written?,
            None => (&self.file).write_all(batch)?,
        }
        self.bytes += batch.len() as u64;
        Ok(())
    }

    fn through_the_cache(&mut self) -> io::Result<()> {
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.blocks = None;
        self.file.set_len(self.bytes)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Cuts off whatever stands behind the first `bytes`.
    pub(super) fn take_back(&mut self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)?;
        self.bytes = bytes;
        if let Some(blocks) = &mut self.blocks {
            *blocks = Blocks::ending(&self.path, bytes)?;
        }
        Ok(())
    }

    /// Cuts off the zeros behind the last entry: nothing more is written here.
    pub(super) fn close(&mut self) -> io::Result<()> {
        if self.blocks.take().is_some() {
            self.file.set_len(self.bytes)?;
            self.file.sync_all()?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn replace_file(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Without it the next start cuts them off.
        let _ = self.close();
    }
}

/// `None` where the file system has no way around its cache.
fn open_direct(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::DIRECT.bits().cast_signed();
    match OpenOptions::new().write(true).custom_flags(flags).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(None),
        Err(error) => Err(error),
    }
}

/// The memory from which whole blocks are written.
#[derive(Debug)]
struct Blocks {
    memory: Vec<u8>,
    /// Bytes of the file's last block that are not zeros behind its end.
    begun: Vec<u8>,
}

impl Blocks {
    /// For a file that ends at `bytes`.
    fn ending(path: &Path, bytes: u64) -> io::Result<Self> {
        let mut begun = vec![0; bytes as usize % BLOCK_BYTES];
        let start = bytes - begun.len() as u64;
        File::open(path)?.read_exact_at(&mut begun, start)?;
        Ok(Self { memory: Vec::new(), begun })
    }

    fn write(&mut self, file: &File, batch: &[u8], at: u64) -> io::Result<()> {
        let length = self.begun.len() + batch.len();
        let whole = length.next_multiple_of(BLOCK_BYTES);
        if self.memory.len() < whole + BLOCK_BYTES {
            self.memory = vec![0; whole + BLOCK_BYTES];
        }
        let aligned = self.memory.as_ptr().align_offset(BLOCK_BYTES);
        let blocks = &mut self.memory[aligned..][..whole];
        let before = self.begun.len();
        blocks[..before].copy_from_slice(&self.begun);
        blocks[before..length].copy_from_slice(batch);
        blocks[length..].fill(0);
        file.write_all_at(blocks, at - before as u64)?;
        self.begun.clear();
        self.begun.extend_from_slice(&blocks[length - length % BLOCK_BYTES..length]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_longer_written_around_the_cache_goes_on_where_it_was() {
        for family in [Family::Traffic, Family::Facts] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("segment");
            std::fs::write(&path, [1; 10]).unwrap();
            let mut output = Output::open(&path, family).unwrap();
            output.write(&[2; BLOCK_BYTES]).unwrap();
            output.through_the_cache().unwrap();
            output.write(&[3; 20]).unwrap();
            output.take_back(BLOCK_BYTES as u64 + 20).unwrap();
            output.write(&[4; 5]).unwrap();
            output.sync().unwrap();
            let expected = [&[1; 10][..], &[2; BLOCK_BYTES], &[3; 10], &[4; 5]].concat();
            assert_eq!(std::fs::read(&path).unwrap(), expected, "{family:?}");
            assert_eq!(output.bytes(), expected.len() as u64);
        }
    }
}
