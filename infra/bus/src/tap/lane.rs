//! One partition inside the tap: what comes next, who wants it, and the chunk that is being built.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rdkafka::message::{BorrowedMessage, Headers, Message};

use super::queue::QueueSender;
use crate::chunk::{ChunkBuilder, Raw};

/// One partition.
#[derive(Debug)]
pub struct Lane {
    pub topic: Arc<str>,
    pub partition: i32,
    /// Invariant: every record below it was handed to each reader that wanted it, or stands in `builder`.
    pub next: i64,
    pub high_watermark: i64,
    pub paused: bool,
    pub readers: Vec<LaneReader>,
    builder: Option<ChunkBuilder>,
    /// The rows of the last chunk: how much room the next one asks for.
    usual_rows: usize,
}

/// One reader of one partition.
#[derive(Debug)]
pub struct LaneReader {
    pub id: u64,
    pub queue: QueueSender,
    /// The next offset that it has not been handed.
    pub next: i64,
    /// Bytes of this partition that wait for it.
    pub bytes: Arc<AtomicUsize>,
}

impl LaneReader {
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }
}

impl Lane {
    pub fn new(topic: Arc<str>, partition: i32) -> Lane {
        Lane { topic, partition, next: 0, high_watermark: 0, paused: false, readers: Vec::new(), builder: None, usual_rows: 16 }
    }

    /// Takes a record in; answers how many bytes and rows are open now.
    pub fn push(&mut self, message: &BorrowedMessage<'_>) -> (usize, usize) {
        let builder = self
            .builder
            .get_or_insert_with(|| ChunkBuilder::new(Arc::clone(&self.topic), self.partition, self.usual_rows));
        let headers = message.headers();
        let count = headers.map_or(0, Headers::count);
        let offset = message.offset();
        builder.push(Raw {
            offset,
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key(),
            headers: (0..count).filter_map(move |index| {
                let header = headers?.try_get(index)?;
                Some((header.key, header.value))
            }),
            value: message.payload(),
        });
        self.next = offset + 1;
        (builder.bytes(), builder.len())
    }

    pub fn open_bytes(&self) -> usize {
        self.builder.as_ref().map_or(0, ChunkBuilder::bytes)
    }

    /// Ends the open chunk and hands it to everybody who wants it.
    pub fn cut(&mut self) {
        let Some(builder) = self.builder.take() else { return };
        let (bytes, rows) = (builder.bytes(), builder.len());
        self.usual_rows = rows.next_power_of_two();
        let Some(chunk) = builder.finish(self.high_watermark) else { return };
        self.high_watermark = chunk.high_watermark;
        let chunk = Arc::new(chunk);
        for reader in &mut self.readers {
            if let Some(chunk) = chunk.from_offset(reader.next) {
                reader.next = chunk.next_offset;
                reader.queue.send(chunk, bytes, &reader.bytes);
            }
        }
    }

    /// The topic was made anew: everything begins at `offset`.
    pub fn restart(&mut self, offset: i64) {
        self.cut();
        self.next = offset;
        self.high_watermark = offset;
        for reader in &mut self.readers {
            reader.next = offset;
        }
    }
}
