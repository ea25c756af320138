//! Frames: a length, then a request or a response.

use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ResponseHeader;
use kafka_protocol::protocol::{Encodable, HeaderVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::limits::STALL_SECS;

/// The part of a request's header that has the same form in all versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Which API.
    pub api_key: i16,
    /// In which version.
    pub api_version: i16,
    /// Returned with the answer.
    pub correlation_id: i32,
}

impl Head {
    /// Reads it without taking it off; none when the frame is too short.
    pub fn peek(frame: &[u8]) -> Option<Self> {
        let mut b = frame.get(..8)?;
        Some(Self { api_key: b.get_i16(), api_version: b.get_i16(), correlation_id: b.get_i32() })
    }
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub enum Close {
    /// The client went away.
    #[error("the client closed the connection")]
    Gone,
    /// Not Kafka's protocol, or not allowed.
    #[error("{0}")]
    Protocol(String),
    /// No progress.
    #[error("nothing moved for {STALL_SECS} s in the middle of a frame")]
    Stalled,
    /// The network.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads frames off a connection.
#[derive(Debug)]
pub struct FrameReader<R> {
    from: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader with an empty buffer.
    pub fn new(from: R) -> Self {
        Self { from, buffer: BytesMut::new() }
    }

    /// Waits for the length of the next frame. None at a clean end.
    pub async fn next_length(&mut self, max: usize) -> Result<Option<usize>, Close> {
        while self.buffer.len() < 4 {
            let begun = !self.buffer.is_empty();
            self.buffer.reserve(16 * 1024);
            let read = self.from.read_buf(&mut self.buffer);
            let n = if begun { progress(read).await? } else { read.await? };
            if n == 0 {
                return if begun { Err(Close::Gone) } else { Ok(None) };
            }
        }
        let length = i32::from_be_bytes([self.buffer[0], self.buffer[1], self.buffer[2], self.buffer[3]]);
        match usize::try_from(length) {
            Ok(n) if (8..=max).contains(&n) => Ok(Some(n)),
            Ok(_) | Err(_) => Err(Close::Protocol(format!("a frame of {length} bytes; 8 to {max} are accepted"))),
        }
    }

    /// Reads the frame whose length was told. Memory grows with what has come, not with what was announced.
    pub async fn frame(&mut self, length: usize) -> Result<Bytes, Close> {
        let whole = 4 + length;
        while self.buffer.len() < whole {
            let missing = whole - self.buffer.len();
            self.buffer.reserve(missing.min(self.buffer.len().max(64 * 1024)));
            if progress(self.from.read_buf(&mut self.buffer)).await? == 0 {
                return Err(Close::Gone);
            }
        }
        self.buffer.advance(4);
        Ok(self.buffer.split_to(length).freeze())
    }
}

async fn progress(read: impl Future<Output = io::Result<usize>>) -> Result<usize, Close> {
    match timeout(Duration::from_secs(STALL_SECS), read).await {
        Ok(n) => Ok(n?),
        Err(_) => Err(Close::Stalled),
    }
}

/// Writes a whole frame to a client that must take some of it now and then.
pub async fn send<W: AsyncWrite + Unpin>(to: &mut W, mut frame: impl Buf) -> Result<(), Close> {
    while frame.has_remaining() {
        match timeout(Duration::from_secs(STALL_SECS), to.write_buf(&mut frame)).await {
            Ok(Ok(0)) => return Err(Close::Gone),
            Ok(Ok(_)) => {}
            Ok(Err(e)) => return Err(e.into()),
            Err(_) => return Err(Close::Stalled),
        }
    }
    Ok(())
}

/// A response as a frame.
pub fn encode<T: Encodable + HeaderVersion>(correlation_id: i32, version: i16, response: &T) -> Result<BytesMut, Close> {
    let describe = |e| Close::Protocol(format!("a response could not be encoded: {e}"));
    let header_version = T::header_version(version);
    let size = response.compute_size(version).map_err(describe)?;
    let mut out = BytesMut::with_capacity(size + 16);
    out.put_i32(0);
    ResponseHeader::default().with_correlation_id(correlation_id).encode(&mut out, header_version).map_err(describe)?;
    response.encode(&mut out, version).map_err(describe)?;
    finish(&mut out);
    Ok(out)
}

/// Writes the length in front.
pub fn finish(frame: &mut BytesMut) {
    let length = (frame.len() - 4) as i32;
    frame[..4].copy_from_slice(&length.to_be_bytes());
}
