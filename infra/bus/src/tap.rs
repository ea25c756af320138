//! Reading: one consumer for the whole process. Each topic is fetched and decoded once, however many readers it has.
//!
//! A thread of its own polls librdkafka, decodes records into chunks and hands each chunk to every reader that wants it.
//! A reader whose queue is full holds back the partitions that fill it, never the others. Positions belong to the
//! readers: nothing is committed to Kafka, each reader says where to begin, and gets every record from there on once,
//! partition by partition in order.
//!
//! [`fetch`] is the thread, [`lane`] one partition in it, [`queue`] what waits for one reader.

mod fetch;
mod lane;
mod queue;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::oneshot;
use tracing::debug;

use crate::bus::{Bus, list};
use crate::chunk::Chunk;
use crate::config::creation_error;
use crate::error::BusError;
use crate::filter::Filter;
use crate::limits;
use fetch::{Command, Fetch, TapContext};
use queue::{QueueReceiver, Waiting};

/// How the tap works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapConfig {
    /// Most rows of one chunk.
    pub chunk_rows: usize,
    /// Most bytes of one chunk, about; one larger record is a chunk of its own.
    pub chunk_bytes: usize,
    /// How long a chunk stays open after its last record.
    pub linger: Duration,
    /// How long a chunk stays open at most.
    pub chunk_age: Duration,
    /// What may wait for one reader, in bytes, about.
    pub reader_bytes: usize,
    /// How often topics are looked up.
    pub refresh_every: Duration,
}

impl Default for TapConfig {
    fn default() -> Self {
        Self {
            chunk_rows: limits::CHUNK_ROWS,
            chunk_bytes: limits::CHUNK_BYTES,
            linger: limits::LINGER,
            chunk_age: limits::CHUNK_AGE,
            reader_bytes: limits::READER_BYTES,
            refresh_every: limits::REFRESH_EVERY,
        }
    }
}

/// One consumer for many readers. Dropping it ends them all, after what already waits for them.
pub struct Tap {
    commands: Sender<Command>,
    looks: Sender<Look>,
    readers: AtomicU64,
    reader_bytes: usize,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A wish to the thread that looks topics up.
type Look = Option<oneshot::Sender<()>>;

/// How far a reader is in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderLag {
    /// The reader's name.
    pub reader: Arc<str>,
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The next offset that the reader has not taken.
    pub position: i64,
    /// Where the partition ended when that was last heard.
    pub high_watermark: i64,
}

impl ReaderLag {
    /// Records that the reader has not taken.
    pub fn records(&self) -> i64 {
        (self.high_watermark - self.position).max(0)
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").finish_non_exhaustive()
    }
}

impl Tap {
    /// Starts the tap. It fetches nothing before it has readers.
    ///
    /// # Errors
    /// [`BusError::Option`] for a setting that is not one.
    pub fn start(bus: Bus, config: TapConfig) -> Result<Tap, BusError> {
        let fetch_ahead = limits::FETCH_AHEAD_KIB.to_string();
        let consumer: BaseConsumer<TapContext> = bus
            .config()
            .client(&[
                // Needed by librdkafka; the group is never joined and nothing is committed to it.
                ("group.id", "citybrain-tap"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "earliest"),
                ("allow.auto.create.topics", "false"),
                // Without it a byte that was altered on a disk goes on as an event, or ends the process by an assertion.
                ("check.crcs", "true"),
                // The default of a second stalls a fast reader whenever its queue was full.
                ("fetch.queue.backoff.ms", "5"),
                ("fetch.error.backoff.ms", "50"),
                ("fetch.wait.max.ms", "100"),
                ("fetch.message.max.bytes", "4194304"),
                ("fetch.max.bytes", "33554432"),
                ("queued.min.messages", "1000000"),
                ("queued.max.messages.kbytes", &fetch_ahead),
                ("max.poll.interval.ms", "86400000"),
                // Tells where partitions end, for the lag.
                ("statistics.interval.ms", "1000"),
            ])
            .create_with_context(TapContext::default())
            .map_err(|error| creation_error("a consumer", error))?;
        let consumer = Arc::new(consumer);
        let (commands, commanded) = channel();
        let (looks, wishes) = channel();
        {
            let (consumer, commands, every) = (Arc::clone(&consumer), commands.clone(), config.refresh_every);
            let look = move || look_up(&consumer, &commands, &wishes, every);
            spawn("tap-topics", look)?;
        }
        let reader_bytes = config.reader_bytes;
        let fetch = Fetch::new(consumer, config, commanded);
        let thread = spawn("tap", move || fetch.run())?;
        Ok(Tap { commands, looks, readers: AtomicU64::new(0), reader_bytes, thread: Mutex::new(Some(thread)) })
    }

    /// A new reader of all topics that match, now and later. `start` has the next offset of each partition that it
    /// already knows; the others begin at their beginning. [`Bus::ends`] gives a start that skips all there is.
    ///
    /// # Errors
    /// [`BusError::Stopped`] when the tap was stopped.
    pub fn reader(&self, name: &str, filter: Filter, start: BTreeMap<(String, i32), i64>) -> Result<TapReader, BusError> {
        let id = self.readers.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting::new(name, self.reader_bytes);
        let (queue, receiver) = queue::queue(Arc::clone(&waiting));
        let command = Command::Read { id, filter, start, queue };
        self.commands.send(command).map_err(|_| BusError::Stopped("tap"))?;
        // Its topics may be younger than the last look.
        let _ = self.looks.send(None);
        Ok(TapReader { receiver })
    }

    /// Looks for new and deleted topics now, and comes back when the readers have them.
    pub async fn refresh(&self) {
        let (done, wait) = oneshot::channel();
        if self.looks.send(Some(done)).is_ok() {
            // An error means that the tap was stopped meanwhile: nothing to wait for.
            let _ = wait.await;
        }
    }

    /// How far each reader is behind, ordered by reader, topic and partition.
    pub async fn lags(&self) -> Vec<ReaderLag> {
        let (tell, lags) = oneshot::channel();
        match self.commands.send(Command::Lags(tell)) {
            Ok(()) => lags.await.unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// Stops reading and waits for the threads to end. Readers still get what already waits for them.
    pub async fn stop(&self) {
        let _ = self.commands.send(Command::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // Joining blocks, for as long as librdkafka takes to close.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop);
    }
}

/// Gets the chunks of one reader. Dropping it ends the reader.
#[derive(Debug)]
pub struct TapReader {
    receiver: QueueReceiver,
}

impl TapReader {
    /// The next chunk; `None` when the tap was stopped and nothing is left. Nothing is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<Arc<Chunk>> {
        self.receiver.recv().await
    }

    /// The next chunk if one waits already.
    pub fn try_recv(&mut self) -> Option<Arc<Chunk>> {
        self.receiver.try_recv()
    }

    /// Bytes that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.receiver.waiting().bytes()
    }

    /// The reader's name.
    pub fn name(&self) -> &str {
        &self.receiver.waiting().name
    }
}

pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, BusError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|error| {
        let source = rdkafka::error::KafkaError::ClientCreation(error.to_string());
        BusError::request(format!("start the thread `{name}`"), source)
    })
}

/// Looks topics up every now and then, and when asked. It has a thread of its own, because a question to a broker that
/// is down blocks.
fn look_up(consumer: &BaseConsumer<TapContext>, commands: &Sender<Command>, wishes: &Receiver<Look>, every: Duration) {
    let mut asked = Vec::new();
    loop {
        match list(consumer.client(), Duration::from_secs(2)) {
            Ok(topics) => {
                if commands.send(Command::Topics { topics, asked: std::mem::take(&mut asked) }).is_err() {
                    return;
                }
            }
            // Who asked goes on waiting: an old answer would be no answer.
            Err(error) => debug!(%error, "could not look topics up"),
        }
        match wishes.recv_timeout(every) {
            Ok(look) => asked.extend(look),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
        }
        asked.extend(wishes.try_iter().flatten());
    }
}
