//! Bodies that arrive or leave compressed.
//!
//! ClickHouse's own framing (`decompress=1`, `compress=1`) is a sequence of blocks:
//!
//! ```text
//! checksum  16 bytes  CityHash128 (version 1.0.2) of everything after it, low half first
//! method     1 byte   0x82 LZ4, 0x02 none (0x90, ZSTD, is refused)
//! size       4 bytes  little-endian: the block's bytes after the checksum, these 9 header bytes included
//! original   4 bytes  little-endian: its bytes once decompressed
//! payload
//! ```
//!
//! `Content-Encoding` names the usual ones: `gzip`, `deflate` (zlib), and `lz4` (the LZ4 frame format), which
//! clickhouse-connect sends. `zstd`, `br` and others are refused by name.

use std::io::{self, Read};

use crate::exception::{Exception, code};

const METHOD_NONE: u8 = 0x02;
const METHOD_LZ4: u8 = 0x82;
/// Method and the two sizes.
const HEADER: usize = 9;
const CHECKSUM: usize = 16;
/// Largest block taken, compressed or not: ClickHouse's own clients write 1 MiB blocks, and the Rust client
/// one block per buffer of its own.
const MAX_BLOCK_BYTES: usize = 64 << 20;
/// Uncompressed bytes per block that we write: ClickHouse's default `max_compress_block_size`.
pub(crate) const WRITTEN_BLOCK_BYTES: usize = 1 << 20;

/// How a request's body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Deflate,
    Lz4Frame,
}

impl Encoding {
    /// From a `Content-Encoding` header.
    pub(crate) fn named(name: &str) -> Result<Self, Exception> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            "lz4" => Ok(Self::Lz4Frame),
            other => Err(Exception::new(
                code::UNKNOWN_COMPRESSION_METHOD,
                format_args!(
                    "Content-Encoding '{other}' is not supported here; use gzip, deflate, lz4 or identity"
                ),
            )),
        }
    }
}

/// Puts the decoders that a request names around its body.
pub(crate) fn decoded(
    body: impl Read + Send + 'static,
    encoding: Encoding,
    blocks: bool,
) -> Box<dyn Read + Send> {
    let body: Box<dyn Read + Send> = match encoding {
        Encoding::Identity => Box::new(body),
        Encoding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(body)),
        Encoding::Deflate => Box::new(flate2::read::ZlibDecoder::new(body)),
        Encoding::Lz4Frame => Box::new(lz4_flex::frame::FrameDecoder::new(body)),
    };
    if blocks { Box::new(Blocks::new(body)) } else { body }
}

/// Reads ClickHouse's framing.
struct Blocks<R> {
    source: R,
    block: Vec<u8>,
    data: Vec<u8>,
    at: usize,
}

fn refuse((number, name): (u32, &str), message: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Exception::new((number, name), message).text)
}

impl<R: Read> Blocks<R> {
    fn new(source: R) -> Self {
        Self { source, block: Vec::new(), data: Vec::new(), at: 0 }
    }

    /// Reads and checks the next block. False at the end of the source.
    fn next_block(&mut self) -> io::Result<bool> {
        let mut head = [0; CHECKSUM + HEADER];
        let mut have = 0;
        while have < head.len() {
            match self.source.read(&mut head[have..])? {
                0 if have == 0 => return Ok(false),
                0 => {
                    return Err(refuse(
                        code::CANNOT_READ_ALL_DATA,
                        "The body ends inside a compressed block",
                    ));
                }
                more => have += more,
            }
        }
        let number = |at: usize| {
            let bytes = head[at..at + 4].try_into().expect("four bytes");
            usize::try_from(u32::from_le_bytes(bytes)).expect("32 bits fit")
        };
        let (method, size, original) = (head[CHECKSUM], number(CHECKSUM + 1), number(CHECKSUM + 5));
        if !(HEADER..=MAX_BLOCK_BYTES).contains(&size) || original > MAX_BLOCK_BYTES {
            return Err(refuse(
                code::TOO_LARGE_SIZE_COMPRESSED,
                format_args!("A compressed block of {size} bytes ({original} decompressed) is out of bounds"),
            ));
        }
        self.block.clear();
        self.block.extend_from_slice(&head[CHECKSUM..]);
        self.block.resize(size, 0);
        self.source.read_exact(&mut self.block[HEADER..]).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                refuse(code::CANNOT_READ_ALL_DATA, "The body ends inside a compressed block")
            }
            _ => error,
        })?;
        if checksum(&self.block) != head[..CHECKSUM] {
            return Err(refuse(code::CHECKSUM_DOESNT_MATCH, "Checksum of a compressed block doesn't match"));
        }
        self.data.resize(original, 0);
        let payload = &self.block[HEADER..];
        let written = match method {
            METHOD_NONE if payload.len() == original => {
                self.data.copy_from_slice(payload);
                original
            }
            METHOD_LZ4 => lz4_flex::block::decompress_into(payload, &mut self.data)
                .map_err(|error| refuse(code::CANNOT_DECOMPRESS, error))?,
            other => {
                return Err(refuse(
                    code::UNKNOWN_COMPRESSION_METHOD,
                    format_args!("Compression method {other:#04x} is not supported here; use LZ4"),
                ));
            }
        };
        if written != original {
            return Err(refuse(code::CANNOT_DECOMPRESS, "A block is shorter than it says"));
        }
        self.at = 0;
        Ok(true)
    }
}

impl<R: Read> Read for Blocks<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.data.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let count = out.len().min(self.data.len() - self.at);
        out[..count].copy_from_slice(&self.data[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

fn checksum(block: &[u8]) -> [u8; CHECKSUM] {
    // ClickHouse stores the low half of the hash first; the crate's u128 has it in the high bits.
    cityhash_rs::cityhash_102_128(block).rotate_left(64).to_le_bytes()
}

/// One block of ClickHouse's framing holding `data` (at most [`WRITTEN_BLOCK_BYTES`] at a time).
pub(crate) fn write_block(data: &[u8], out: &mut Vec<u8>) {
    debug_assert!(data.len() <= WRITTEN_BLOCK_BYTES);
    let payload = lz4_flex::block::compress(data);
    let start = out.len();
    out.resize(start + CHECKSUM, 0);
    out.push(METHOD_LZ4);
    let size = |bytes: usize| u32::try_from(bytes).expect("a block is about 1 MiB").to_le_bytes();
    out.extend_from_slice(&size(payload.len() + HEADER));
    out.extend_from_slice(&size(data.len()));
    out.extend_from_slice(&payload);
    let sum = checksum(&out[start + CHECKSUM..]);
    out[start..start + CHECKSUM].copy_from_slice(&sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decoded(io::Cursor::new(bytes), Encoding::Identity, true).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn blocks_come_back_as_they_were() {
        let data: Vec<u8> = (0..3_000_000u32).map(|n| (n / 7) as u8).collect();
        let mut framed = Vec::new();
        for part in data.chunks(WRITTEN_BLOCK_BYTES) {
            write_block(part, &mut framed);
        }
        assert!(framed.len() < data.len());
        assert_eq!(read_all(framed).unwrap(), data);
        assert_eq!(read_all(Vec::new()).unwrap(), b"");
    }

    #[test]
    fn damaged_blocks_are_refused() {
        let mut framed = Vec::new();
        write_block(b"some rows", &mut framed);
        for at in 0..framed.len() {
            let mut damaged = framed.clone();
            damaged[at] ^= 1;
            assert!(read_all(damaged).is_err(), "a flipped bit at {at} went unnoticed");
            assert_eq!(read_all(framed[..at].to_vec()).is_ok(), at == 0, "cut at {at}");
        }
    }

    #[test]
    fn a_foreign_encoding_is_named() {
        let refused = Encoding::named("zstd").unwrap_err();
        assert!(refused.text.contains("'zstd'"), "{}", refused.text);
        assert_eq!(Encoding::named(" GZIP "), Ok(Encoding::Gzip));
    }
}
