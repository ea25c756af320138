//! Writing: idempotent, acknowledged by all replicas, in order, and bounded.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use schemas::event::KafkaRecord;
use schemas::position::Position;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::config::{BusConfig, creation_error};
use crate::context::{self, Complaints};
use crate::error::BusError;
use crate::limits;

/// How a producer works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerConfig {
    /// How long a record waits for company before it is sent: 0 for the least latency, some milliseconds for the most throughput.
    pub linger: Duration,
    /// `lz4`, `zstd`, `snappy`, `gzip` or `none`.
    pub compression: String,
    /// What may wait to be acknowledged, in bytes; who comes later waits.
    pub buffer_bytes: usize,
    /// After which time without an acknowledgement a record is given up; `None` waits until Kafka is back.
    pub give_up_after: Option<Duration>,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            linger: Duration::from_millis(1),
            compression: "lz4".to_owned(),
            buffer_bytes: limits::PRODUCER_BYTES,
            give_up_after: None,
        }
    }
}

impl ProducerConfig {
    /// For records that somebody waits for: each goes out at once, alone when need be.
    pub fn prompt() -> Self {
        Self { linger: Duration::ZERO, ..Self::default() }
    }
}

/// Writes records. Cheap to clone; the clones share one queue and one order.
///
/// Dropping the last clone gives up what is not yet acknowledged, like the death of the process; [`Producer::flush`] waits.
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

struct Shared {
    client: ThreadedProducer<Deliveries>,
    room: Arc<Semaphore>,
    units: u32,
}

/// One record of [`Producer::send_all`].
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Where it goes.
    pub topic: &'a str,
    /// The record.
    pub record: &'a KafkaRecord,
    /// Its timestamp; now, when there is none.
    pub timestamp_ms: Option<i64>,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

impl Producer {
    pub(crate) fn new(bus: &BusConfig, config: &ProducerConfig) -> Result<Producer, BusError> {
        let linger_ms = config.linger.as_secs_f64() * 1000.0;
        let give_up_ms = config.give_up_after.map_or(0, |time| time.as_millis().max(1));
        let client = bus
            .client(&[
                ("enable.idempotence", "true"),
                ("acks", "all"),
                ("linger.ms", &linger_ms.to_string()),
                ("message.timeout.ms", &give_up_ms.to_string()),
                ("compression.type", &config.compression),
                ("batch.size", "1000000"),
                ("batch.num.messages", "100000"),
                // The room below is the bound; librdkafka's own would refuse instead of waiting.
                ("queue.buffering.max.messages", "0"),
                ("queue.buffering.max.kbytes", "2097151"),
                // The same key goes to the same partition as from a Java client.
                ("partitioner", "murmur2_random"),
                ("retry.backoff.ms", "50"),
                ("topic.metadata.propagation.max.ms", "10000"),
            ])
            .create_with_context(Deliveries::default())
            .map_err(|error| creation_error("a producer", error))?;
        let units = u32::try_from((config.buffer_bytes / limits::ROOM_UNIT_BYTES).max(1)).unwrap_or(u32::MAX);
        let room = Arc::new(Semaphore::new(units as usize));
        Ok(Producer { shared: Arc::new(Shared { client, room, units }) })
    }

    /// Sends one record. It takes its place in the order at the call when there is room, else when the future is first
    /// polled; the future ends when all replicas have it.
    ///
    /// The offset is -1 in the rare case that a repetition was acknowledged by a broker that no longer knows where the
    /// first one is.
    pub fn send(
        &self,
        topic: &str,
        record: &KafkaRecord,
        timestamp_ms: Option<i64>,
    ) -> impl Future<Output = Result<Position, BusError>> + Send + 'static + use<> {
        let this = self.clone();
        let units = this.units_of(record);
        let early = match Arc::clone(&this.shared.room).try_acquire_many_owned(units) {
            Ok(room) => Some(this.send_one(topic, None, record, timestamp_ms, room)),
            Err(_) => None,
        };
        let late = early.is_none().then(|| record.clone());
        let topic = topic.to_owned();
        async move {
            let answer = match (early, late) {
                (Some(answer), _) => answer?,
                (None, Some(record)) => {
                    let room = this.room(units).await?;
                    this.send_one(&topic, None, &record, timestamp_ms, room)?
                }
                (None, None) => return Err(BusError::Stopped("producer")),
            };
            this.acknowledged(topic, answer, 0).await
        }
    }

    /// Sends a record to a partition of the sender's choice, and waits until all replicas have it. Calls that are polled one
    /// after the other are in that order.
    ///
    /// # Errors
    /// When it was not taken.
    pub async fn send_to(&self, topic: &str, partition: i32, record: &KafkaRecord) -> Result<Position, BusError> {
        let room = self.room(self.units_of(record)).await?;
        let answer = self.send_one(topic, Some(partition), record, None, room)?;
        self.acknowledged(topic.to_owned(), answer, size(record)).await
    }

    /// Waits until a record is acknowledged, or it is known that it will not be.
    async fn acknowledged(&self, topic: String, answer: Answer, bytes: usize) -> Result<Position, BusError> {
        match answer.await {
            Ok(Ok((partition, offset))) => Ok(Position { topic, partition, offset }),
            Ok(Err(error)) => Err(self.not_taken(&topic, error, bytes)),
            Err(_) => Err(BusError::Stopped("producer")),
        }
    }

    /// Sends many records in their order and waits for all of them: no task and no channel for each. When there is no
    /// room it waits in the middle.
    ///
    /// # Errors
    /// Only when the producer is stopped; what happened to each record stands in its place.
    pub async fn send_all(&self, records: &[Outgoing<'_>]) -> Result<Vec<Result<Position, BusError>>, BusError> {
        let many = Arc::new(Many::new(records.len()));
        for (index, outgoing) in records.iter().enumerate() {
            let room = self.room(self.units_of(outgoing.record)).await?;
            let delivery = Delivery::Many { many: Arc::clone(&many), index, _room: room };
            if let Err(error) = self.enqueue(outgoing.topic, None, outgoing.record, outgoing.timestamp_ms, delivery) {
                many.set(index, Err(error));
            }
        }
        let answers = many.all().await;
        Ok(answers
            .into_iter()
            .zip(records)
            .map(|(answer, outgoing)| match answer {
                Some(Ok((partition, offset))) => Ok(Position { topic: outgoing.topic.to_owned(), partition, offset }),
                Some(Err(error)) => Err(self.not_taken(outgoing.topic, error, size(outgoing.record))),
                None => Err(BusError::Stopped("producer")),
            })
            .collect())
    }

    /// Waits until all that was sent before is acknowledged or given up.
    ///
    /// # Errors
    /// [`BusError::Fatal`] when the producer cannot go on.
    pub async fn flush(&self) -> Result<(), BusError> {
        // Whoever has all the room has no record in flight.
        drop(self.room(self.shared.units).await?);
        match self.shared.client.client().fatal_error() {
            None => Ok(()),
            Some((_, reason)) => Err(BusError::Fatal(reason)),
        }
    }

    /// Records that are not yet acknowledged.
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.shared.client.in_flight_count()).unwrap_or_default()
    }

    async fn room(&self, units: u32) -> Result<OwnedSemaphorePermit, BusError> {
        let room = Arc::clone(&self.shared.room).acquire_many_owned(units).await;
        room.map_err(|_| BusError::Stopped("producer"))
    }

    /// A record takes what it holds and what librdkafka adds; one larger than everything waits for everything.
    fn units_of(&self, record: &KafkaRecord) -> u32 {
        let units = (size(record) + 384) / limits::ROOM_UNIT_BYTES;
        u32::try_from(units).unwrap_or(u32::MAX).clamp(1, self.shared.units)
    }

    fn send_one(&self, topic: &str, partition: Option<i32>, record: &KafkaRecord, timestamp_ms: Option<i64>, room: OwnedSemaphorePermit) -> Result<Answer, BusError> {
        let (told, answer) = oneshot::channel();
        let delivery = Delivery::One { told, _room: room };
        match self.enqueue(topic, partition, record, timestamp_ms, delivery) {
            Ok(()) => Ok(answer),
            Err(error) => Err(self.not_taken(topic, error, size(record))),
        }
    }

    fn enqueue(&self, topic: &str, partition: Option<i32>, record: &KafkaRecord, timestamp_ms: Option<i64>, delivery: Delivery) -> Result<(), KafkaError> {
        let mut outgoing = BaseRecord::<[u8], [u8], _>::with_opaque_to(topic, Box::new(delivery));
        outgoing.partition = partition;
        outgoing.key = record.key.as_deref();
        outgoing.payload = record.value.as_deref();
        outgoing.timestamp = timestamp_ms;
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            outgoing.headers = Some(record.headers.iter().fold(headers, |headers, (key, value)| {
                headers.insert(Header { key, value: value.as_deref() })
            }));
        }
        self.shared.client.send(outgoing).map_err(|(error, _)| error)
    }

    fn not_taken(&self, topic: &str, error: KafkaError, bytes: usize) -> BusError {
        if let Some((_, reason)) = self.shared.client.client().fatal_error() {
            return BusError::Fatal(reason);
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => BusError::TooLarge { topic: topic.to_owned(), bytes },
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownPartition) => {
                BusError::NoTopic { topic: topic.to_owned() }
            }
            _ => BusError::NotTaken { topic: topic.to_owned(), source: error },
        }
    }
}

fn size(record: &KafkaRecord) -> usize {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, |value| value.len()) + 16).sum();
    headers + record.key.as_ref().map_or(0, |key| key.len()) + record.value.as_ref().map_or(0, |value| value.len())
}

type Outcome = Result<(i32, i64), KafkaError>;
type Answer = oneshot::Receiver<Outcome>;

/// Who waits for one record. The room is given back when it is dropped.
enum Delivery {
    One { told: oneshot::Sender<Outcome>, _room: OwnedSemaphorePermit },
    Many { many: Arc<Many>, index: usize, _room: OwnedSemaphorePermit },
}

/// The answers of one [`Producer::send_all`].
struct Many {
    answers: Mutex<Vec<Option<Outcome>>>,
    left: AtomicUsize,
    done: Notify,
}

impl Many {
    fn new(count: usize) -> Many {
        let answers = Mutex::new((0..count).map(|_| None).collect());
        Many { answers, left: AtomicUsize::new(count), done: Notify::new() }
    }

    fn set(&self, index: usize, outcome: Outcome) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(outcome);
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.done.notify_one();
        }
    }

    async fn all(&self) -> Vec<Option<Outcome>> {
        while self.left.load(Ordering::Acquire) > 0 {
            self.done.notified().await;
        }
        std::mem::take(&mut self.answers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Default)]
struct Deliveries {
    complaints: Complaints,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.complaints.hear(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        let outcome = match result {
            Ok(message) => {
                self.complaints.forget();
                Ok((message.partition(), message.offset().max(-1)))
            }
            Err((error, _)) => Err(error.clone()),
        };
        match *delivery {
            Delivery::One { told, _room } => {
                // Nobody waits any more: the caller went away, the record stays.
                let _ = told.send(outcome);
            }
            Delivery::Many { many, index, _room } => many.set(index, outcome),
        }
    }
}
