//! What waits for one reader: bounded by bytes, counted by partition.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::chunk::Chunk;

/// How much waits for a reader, and how far it has come; seen by both ends.
#[derive(Debug)]
pub struct Waiting {
    /// The reader's name.
    pub name: Arc<str>,
    bytes: AtomicUsize,
    bytes_max: usize,
    taken: Mutex<HashMap<(Arc<str>, i32), i64>>,
}

impl Waiting {
    pub fn new(name: &str, bytes_max: usize) -> Arc<Waiting> {
        Arc::new(Waiting { name: Arc::from(name), bytes: AtomicUsize::new(0), bytes_max, taken: Mutex::default() })
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Acquire)
    }

    /// So much waits that the partitions which fill it must be held back.
    pub fn is_full(&self) -> bool {
        self.bytes() > self.bytes_max
    }

    /// So much waits that even partitions with little in it must be held back.
    pub fn is_overfull(&self) -> bool {
        self.bytes() > self.bytes_max * 2
    }

    /// So little waits that all may flow again.
    pub fn has_room(&self) -> bool {
        self.bytes() <= self.bytes_max / 4
    }

    /// Whether one partition has a good part in what waits.
    pub fn is_filled_by(&self, lane_bytes: usize) -> bool {
        lane_bytes > self.bytes_max / 16
    }

    /// The next offset that the reader has not taken, if it took any.
    pub fn taken(&self, topic: &Arc<str>, partition: i32) -> Option<i64> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).get(&(Arc::clone(topic), partition)).copied()
    }
}

#[derive(Debug)]
struct Item {
    chunk: Arc<Chunk>,
    bytes: usize,
    lane_bytes: Arc<AtomicUsize>,
}

/// The end that the tap writes to. It never blocks: the tap asks [`Waiting`] before it fetches more.
#[derive(Debug, Clone)]
pub struct QueueSender {
    sender: UnboundedSender<Item>,
    pub waiting: Arc<Waiting>,
}

/// The end that the reader takes from.
#[derive(Debug)]
pub struct QueueReceiver {
    receiver: UnboundedReceiver<Item>,
    waiting: Arc<Waiting>,
}

/// A queue for one reader.
pub fn queue(waiting: Arc<Waiting>) -> (QueueSender, QueueReceiver) {
    let (sender, receiver) = unbounded_channel();
    (QueueSender { sender, waiting: Arc::clone(&waiting) }, QueueReceiver { receiver, waiting })
}

impl QueueSender {
    /// Hands a chunk over.
    pub fn send(&self, chunk: Arc<Chunk>, bytes: usize, lane_bytes: &Arc<AtomicUsize>) {
        self.waiting.bytes.fetch_add(bytes, Ordering::AcqRel);
        lane_bytes.fetch_add(bytes, Ordering::AcqRel);
        // A reader that went away is removed by the tap's next round.
        let _ = self.sender.send(Item { chunk, bytes, lane_bytes: Arc::clone(lane_bytes) });
    }

    /// Whether the reader went away.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl QueueReceiver {
    pub async fn recv(&mut self) -> Option<Arc<Chunk>> {
        let item = self.receiver.recv().await?;
        Some(self.take(item))
    }

    pub fn try_recv(&mut self) -> Option<Arc<Chunk>> {
        let item = self.receiver.try_recv().ok()?;
        Some(self.take(item))
    }

    pub fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    fn take(&self, item: Item) -> Arc<Chunk> {
        self.waiting.bytes.fetch_sub(item.bytes, Ordering::AcqRel);
        item.lane_bytes.fetch_sub(item.bytes, Ordering::AcqRel);
        let place = (Arc::clone(&item.chunk.topic), item.chunk.partition);
        self.waiting.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(place, item.chunk.next_offset);
        item.chunk
    }
}
