//! An answer's way to the socket: encoded as the request asks, in bounded memory, ended in a way that cannot
//! be taken for success when it failed.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body, Frame, SizeHint};
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};

use crate::compression::{WRITTEN_BLOCK_BYTES, write_block};
use crate::exception::Exception;
use crate::flushes::Flushes;
use crate::libchdb::Figures;

/// Bytes read from the pipe at a time.
const READ_BYTES: usize = 64 << 10;
/// Chunks that may wait for a slow client.
const CHUNKS_AHEAD: usize = 4;

/// Why a body ends without its end: the client must see a broken transfer, not a short answer.
#[derive(Debug, thiserror::Error)]
#[error("the query failed after its answer began")]
pub(crate) struct Cut;

/// The body of an answer.
pub(crate) enum Answer {
    Whole(Option<Bytes>),
    Streamed {
        chunks: mpsc::Receiver<Result<Bytes, Cut>>,
        flushes: Flushes,
        /// The answer has failed: it is cut once the connection has been flushed more often than this.
        cut_beyond: Option<u64>,
    },
}

impl Answer {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streamed { chunks, flushes, cut_beyond } => {
                if cut_beyond.is_none() {
                    match std::task::ready!(chunks.poll_recv(context)) {
                        None => return Poll::Ready(None),
                        Some(Ok(chunk)) => return Poll::Ready(Some(Ok(Frame::data(chunk)))),
                        // Every chunk before is in hyper's hands; an error now would drop those not yet
                        // written.
                        Some(Err(Cut)) => *cut_beyond = Some(flushes.count()),
                    }
                }
                flushes.poll_beyond(cut_beyond.unwrap_or_default(), context).map(|()| Some(Err(Cut)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Streamed { .. } => SizeHint::default(),
        }
    }
}

/// How an answer's bytes are wrapped.
pub(crate) enum Encoder {
    Identity,
    /// ClickHouse's own framing; holds what does not fill a block yet.
    Blocks(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    /// The LZ4 frame format.
    Lz4Frame(Box<FrameEncoder<Vec<u8>>>),
}

impl Encoder {
    pub(crate) fn blocks() -> Self {
        Self::Blocks(Vec::new())
    }

    pub(crate) fn gzip() -> Self {
        Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast()))
    }

    pub(crate) fn lz4_frame() -> Self {
        let info = FrameInfo::new().block_size(BlockSize::Max256KB).block_mode(BlockMode::Independent);
        Self::Lz4Frame(Box::new(FrameEncoder::with_frame_info(info, Vec::new())))
    }

    /// The `Content-Encoding` that says so; ClickHouse's own framing has none.
    pub(crate) fn content_encoding(&self) -> Option<&'static str> {
        match self {
            Self::Identity | Self::Blocks(_) => None,
            Self::Gzip(_) => Some("gzip"),
            Self::Lz4Frame(_) => Some("lz4"),
        }
    }

    /// Takes plain bytes; returns what can be sent by now.
    fn push(&mut self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Identity => data.to_vec(),
            Self::Blocks(pending) => {
                pending.extend_from_slice(data);
                let mut out = Vec::new();
                while pending.len() >= WRITTEN_BLOCK_BYTES {
                    write_block(&pending[..WRITTEN_BLOCK_BYTES], &mut out);
                    pending.drain(..WRITTEN_BLOCK_BYTES);
                }
                out
            }
            Self::Gzip(encoder) => {
                encoder.write_all(data).expect("a vector takes everything");
                std::mem::take(encoder.get_mut())
            }
            Self::Lz4Frame(encoder) => {
                encoder.write_all(data).expect("a vector takes everything");
                std::mem::take(encoder.get_mut())
            }
        }
    }

    /// What is still held back, as bytes that can be decoded now.
    fn flush(&mut self) -> Vec<u8> {
        match self {
            Self::Identity => Vec::new(),
            Self::Blocks(pending) => {
                let mut out = Vec::new();
                if !pending.is_empty() {
                    write_block(pending, &mut out);
                    pending.clear();
                }
                out
            }
            Self::Gzip(encoder) => {
                encoder.flush().expect("a vector takes everything");
                std::mem::take(encoder.get_mut())
            }
            Self::Lz4Frame(encoder) => {
                encoder.flush().expect("a vector takes everything");
                std::mem::take(encoder.get_mut())
            }
        }
    }

    fn finish(mut self) -> Vec<u8> {
        match self {
            Self::Identity | Self::Blocks(_) => self.flush(),
            Self::Gzip(encoder) => encoder.finish().expect("a vector takes everything"),
            Self::Lz4Frame(encoder) => encoder.finish().expect("a vector takes everything"),
        }
    }

    /// A whole answer at once.
    pub(crate) fn encode(mut self, data: &[u8]) -> Vec<u8> {
        if let Self::Identity = self {
            return data.to_vec();
        }
        let mut out = self.push(data);
        out.extend(self.finish());
        out
    }
}

/// The rows of a running query.
pub(crate) struct Rows {
    pub(crate) pipe: pipe::Receiver,
    pub(crate) outcome: oneshot::Receiver<Result<Figures, Exception>>,
}

impl Rows {
    /// Reads up to `limit` bytes. True when the rows have ended.
    pub(crate) async fn read_up_to(&mut self, limit: usize, out: &mut Vec<u8>) -> std::io::Result<bool> {
        while out.len() < limit {
            out.reserve(READ_BYTES);
            if self.pipe.read_buf(out).await? == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// A stream for an answer of unknown length, and the end to push it into.
pub(crate) fn streamed(flushes: Flushes) -> (mpsc::Sender<Result<Bytes, Cut>>, Answer) {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    (sender, Answer::Streamed { chunks: receiver, flushes, cut_beyond: None })
}

/// Sends `first` and then the rest of the rows. Returns early when the client goes away.
pub(crate) async fn pump(
    mut rows: Rows,
    first: Vec<u8>,
    mut encoder: Encoder,
    tag: &str,
    ended: impl FnOnce(Exception) -> Exception,
    sink: mpsc::Sender<Result<Bytes, Cut>>,
) {
    let mut buffer = first;
    let failure = loop {
        let chunk = encoder.push(&buffer);
        if !chunk.is_empty() && sink.send(Ok(chunk.into())).await.is_err() {
            return;
        }
        buffer.clear();
        let read = tokio::select! {
            read = rows.read_up_to(1, &mut buffer) => read,
            () = sink.closed() => return,
        };
        match read {
            Ok(false) => {}
            Ok(true) => match rows.outcome.await {
                Ok(Ok(_)) => break None,
                Ok(Err(exception)) => break Some(exception),
                // The thread is gone without a word; it panicked.
                Err(_) => {
                    break Some(Exception::new(crate::exception::code::LOGICAL_ERROR, "The query was lost"));
                }
            },
            Err(error) => break Some(Exception::new(crate::exception::code::NETWORK_ERROR, error)),
        }
    };
    let Some(exception) = failure else {
        let last = encoder.finish();
        if !last.is_empty() {
            let _ = sink.send(Ok(last.into())).await;
        }
        return;
    };
    let held = encoder.flush();
    if !held.is_empty() {
        let _ = sink.send(Ok(held.into())).await;
    }
    // A block, and a chunk, of its own: clients look for it at the end of what they read.
    let mut last = encoder.push(ended(exception).tagged(tag).as_bytes());
    last.extend(encoder.flush());
    let _ = sink.send(Ok(last.into())).await;
    let _ = sink.send(Err(Cut)).await;
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::compression::{Encoding, decoded};

    #[test]
    fn an_encoder_keeps_every_byte_and_flushes_what_it_holds() {
        let data: Vec<u8> = (0..2_500_000u32).map(|n| (n % 251) as u8).collect();
        for (make, encoding, blocks) in [
            (Encoder::blocks as fn() -> Encoder, Encoding::Identity, true),
            (Encoder::gzip, Encoding::Gzip, false),
            (Encoder::lz4_frame, Encoding::Lz4Frame, false),
            (|| Encoder::Identity, Encoding::Identity, false),
        ] {
            let mut encoder = make();
            let mut sent = Vec::new();
            for part in data.chunks(70_001) {
                sent.extend(encoder.push(part));
            }
            sent.extend(encoder.flush());
            sent.extend(encoder.push(b"end"));
            sent.extend(encoder.finish());
            let mut read = Vec::new();
            decoded(std::io::Cursor::new(sent), encoding, blocks).read_to_end(&mut read).unwrap();
            assert!(read.starts_with(&data) && read.ends_with(b"end") && read.len() == data.len() + 3);
            assert!(make().encode(b"").len() < 30);
        }
    }
}
