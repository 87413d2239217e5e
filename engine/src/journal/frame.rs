//! Frames: how an entry stands in a segment. See [`journal`](crate::journal) for the bytes.

use weir_schemas::ids::Sequence;

/// Bytes of a frame beside its payload.
pub const FRAME_BYTES: usize = 8 + BODY_HEAD;
const BODY_HEAD: usize = 8 + 1 + 2 + 8;
/// The largest payload: a webhook's body bound and room for what is written around it.
pub const ENTRY_BYTES_MAX: usize = 4 << 20;

/// The kind of a checkpoint, which is not an entry.
pub(super) const CHECKPOINT: u8 = 0;
/// The lane of an entry that came through none.
pub(super) const NO_LANE: u16 = u16::MAX;

/// A frame read in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub seq: Sequence,
    pub kind: u8,
    pub lane: u16,
    pub counter: u64,
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes of the whole frame.
    pub(super) fn size(&self) -> usize {
        FRAME_BYTES + self.payload.len()
    }

    /// Appends the frame to `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let start = begin(out);
        out.extend_from_slice(self.payload);
        self.end(out, start);
    }

    /// Ends the frame that was begun at `start`. Its payload is what stands in `out` behind its head, not the one of
    /// `self`.
    pub(super) fn end(&self, out: &mut [u8], start: usize) {
        let frame = &mut out[start..];
        let length = (frame.len() - (FRAME_BYTES - BODY_HEAD)) as u32;
        let (head, _) = frame.split_first_chunk_mut::<FRAME_BYTES>().expect("its head was begun");
        head[8..16].copy_from_slice(&self.seq.to_le_bytes());
        head[16] = self.kind;
        head[17..19].copy_from_slice(&self.lane.to_le_bytes());
        head[19..].copy_from_slice(&self.counter.to_le_bytes());
        // In front of the body for a moment, so that both are checked in one go.
        head[4..8].copy_from_slice(&length.to_le_bytes());
        let crc = crc32c::crc32c(&frame[4..]);
        frame[..4].copy_from_slice(&length.to_le_bytes());
        frame[4..8].copy_from_slice(&crc.to_le_bytes());
    }
}

/// Begins a frame at the end of `out`, where its payload is to be appended, and tells where.
pub(super) fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_BYTES]);
    start
}

fn checksum(length: u32, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&length.to_le_bytes()), body)
}

/// What stands at the beginning of `bytes`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    /// A good frame.
    Frame(Frame<'a>),
    /// The bytes end before the frame could.
    Incomplete,
    /// No frame begins here.
    Bad,
}

/// Parses the frame at the beginning of `bytes`.
pub(super) fn parse(bytes: &[u8]) -> Parsed<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<8>() else { return Parsed::Incomplete };
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    let crc = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    let size = length as usize;
    if !(BODY_HEAD..=BODY_HEAD + ENTRY_BYTES_MAX).contains(&size) {
        return Parsed::Bad;
    }
    let Some(body) = rest.get(..size) else { return Parsed::Incomplete };
    if checksum(length, body) != crc {
        return Parsed::Bad;
    }
    Parsed::Frame(whole(&bytes[..8 + size]))
}

/// Reads a frame of exactly these bytes that was parsed before.
pub(super) fn whole(bytes: &[u8]) -> Frame<'_> {
    let (seq, rest) = bytes[8..].split_first_chunk::<8>().expect("a body has its head");
    let (counter, payload) = rest[3..].split_first_chunk::<8>().expect("a body has its head");
    Frame {
        seq: u64::from_le_bytes(*seq),
        kind: rest[0],
        lane: u16::from_le_bytes([rest[1], rest[2]]),
        counter: u64::from_le_bytes(*counter),
        payload,
    }
}

/// The frame at the beginning of frames that were written here.
pub(super) fn first(bytes: &[u8]) -> Frame<'_> {
    let length = u32::from_le_bytes(bytes[..4].try_into().expect("a frame has its head")) as usize;
    whole(&bytes[..8 + length])
}

/// The frames that were written here, one behind the other, each with where it begins.
pub(super) fn all(bytes: &[u8]) -> impl Iterator<Item = (usize, Frame<'_>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let frame = (start < bytes.len()).then(|| first(&bytes[start..]))?;
        at += frame.size();
        Some((start, frame))
    })
}

/// Where the next good frame begins at or after `from`, with a sequence above `after`; `None` where there is none.
pub(super) fn resynchronise(bytes: &[u8], from: usize, after: Sequence) -> Option<usize> {
    (from..bytes.len().saturating_sub(FRAME_BYTES - 1)).find(|&at| {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
        let kind = bytes[at + 16];
        // Cheap signs first: the checksum of every offset of a segment would take minutes.
        (BODY_HEAD..=BODY_HEAD + ENTRY_BYTES_MAX).contains(&length)
            && at + 8 + length <= bytes.len()
            && kind <= weir_schemas::fact::kind::FACT
            && matches!(parse(&bytes[at..]), Parsed::Frame(frame) if frame.seq > after)
    })
}
