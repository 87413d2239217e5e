//! The lane's memory: a file mapped into the process, so that what is copied there survives the death of the process.
//!
//! This file may use `unsafe`: it is the only way to mapped memory. What it relies on:
//! - the mapping is shared, writable, as long as the file (preallocated, so no store can fault on a full
//!   disk) and lives as long as `Map`; the file is ours alone (the data folder is locked);
//! - one thread produces and one consumes. Bytes of a record are written by the producer before its commit
//!   word is stored with release ordering, and read by the consumer after it was loaded with acquire
//!   ordering; the consumer's zeroing happens before it publishes `consumed` with release, which the producer
//!   loads with acquire before it writes there again.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, fallocate};

/// Bytes before the ring: magic, version, capacity and the consumer's position, on a page of their own.
pub(super) const HEAD_BYTES: usize = 4_096;
const MAGIC: u64 = u64::from_le_bytes(*b"WEIRLAN1");
const MAGIC_AT: usize = 0;
const CAPACITY_AT: usize = 8;
/// A cache line of its own: the consumer writes it while the producer reads its own position.
const CONSUMED_AT: usize = 128;
const GIVING_BACK_AT: usize = 136;

/// The mapped file.
#[derive(Debug)]
pub(super) struct Map {
    mmap: MmapRaw,
    capacity: usize,
}

impl Map {
    /// Opens the lane of `path`, or makes it with `capacity` bytes (a multiple of 4096).
    pub(super) fn open(path: &Path, capacity: usize) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let size = file.metadata()?.len() as usize;
        if size > HEAD_BYTES {
            let map = Self::mapped(&file, size)?;
            if map.word(MAGIC_AT).load(Ordering::Acquire) == MAGIC
                && map.word(CAPACITY_AT).load(Ordering::Acquire) as usize == map.capacity
            {
                return Ok(map);
            }
            // Made and not finished: no record was ever in it.
            file.set_len(0)?;
        }
        let size = HEAD_BYTES + capacity;
        fallocate(&file, FallocateFlags::empty(), 0, size as u64)?;
        let map = Self::mapped(&file, size)?;
        // The magic comes last: a lane with it is complete.
        map.word(CAPACITY_AT).store(capacity as u64, Ordering::Release);
        map.word(MAGIC_AT).store(MAGIC, Ordering::Release);
        file.sync_all()?;
        Ok(map)
    }

    fn mapped(file: &File, size: usize) -> std::io::Result<Self> {
        // Populated: the first click on each page must not pay for a page fault.
        let mmap = MmapOptions::new().len(size).populate().map_raw(file)?;
        Ok(Self { mmap, capacity: size - HEAD_BYTES })
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// The 8-byte word at `at` bytes from the beginning of the file.
    fn word(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= HEAD_BYTES + self.capacity);
        // SAFETY: inside the mapping (asserted), aligned (pages are, and `at` is), alive as long as `self`;
        // only accessed atomically or by the one thread that owns the bytes (see above).
        unsafe { AtomicU64::from_ptr(self.mmap.as_mut_ptr().add(at).cast()) }
    }

    /// How far the consumer is: a position that only grows; its place in the ring is the remainder by the capacity.
    pub(super) fn consumed(&self) -> &AtomicU64 {
        self.word(CONSUMED_AT)
    }

    /// How far the consumer is about to give back. Ahead of `consumed` only while it is zeroing, or died doing so.
    pub(super) fn giving_back(&self) -> &AtomicU64 {
        self.word(GIVING_BACK_AT)
    }

    /// The commit word at `offset` of the ring.
    pub(super) fn commit(&self, offset: usize) -> &AtomicU64 {
        self.word(HEAD_BYTES + offset)
    }

    /// Copies `bytes` to `offset`. Only for the producer, on bytes that it owns.
    pub(super) fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.capacity);
        // SAFETY: inside the mapping (asserted); owned by the producer, so nobody reads or writes there now.
        unsafe {
            let to = self.mmap.as_mut_ptr().add(HEAD_BYTES + offset);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
    }

    /// The `length` bytes at `offset`. For the producer on bytes that it owns, until it writes there again. For the
    /// consumer on a committed record, until it gives that back: the reader that hands them out is borrowed as long.
    pub(super) fn record(&self, offset: usize, length: usize) -> &[u8] {
        assert!(offset + length <= self.capacity);
        // SAFETY: inside the mapping (asserted); either the producer's own, or committed and not yet consumed, so that
        // the producer does not write there.
        unsafe { std::slice::from_raw_parts(self.mmap.as_ptr().add(HEAD_BYTES + offset), length) }
    }

    /// Zeroes `length` bytes at `offset`. Only for the consumer, on bytes it has not yet given back.
    pub(super) fn zero(&self, offset: usize, length: usize) {
        assert!(offset + length <= self.capacity);
        // SAFETY: as for `write`, for the consumer.
        unsafe { std::ptr::write_bytes(self.mmap.as_mut_ptr().add(HEAD_BYTES + offset), 0, length) }
    }
}
