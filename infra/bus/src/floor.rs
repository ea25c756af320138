//! The floor under every ingest: how fast a topic can be read at all, and read and decoded, on this machine.

use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::bus::Bus;
use crate::config::creation_error;
use crate::context::PlainContext;
use crate::error::BusError;
use crate::filter::Filter;
use crate::tap::{Tap, TapConfig};

/// What reading a whole topic took. CPU time is the whole process's: the embedded broker's is in it when it runs inside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Floor {
    /// Records read.
    pub events: u64,
    /// Wall time.
    pub wall: Duration,
    /// CPU time of this process; zero where `/proc` does not tell it.
    pub cpu: Duration,
}

impl Floor {
    /// Records for each second.
    pub fn events_per_second(&self) -> f64 {
        self.events as f64 / self.wall.as_secs_f64().max(f64::EPSILON)
    }

    /// CPU seconds for each million records.
    pub fn cpu_seconds_per_million(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / (self.events as f64).max(1.0)
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (events, wall) = (self.events, self.wall.as_secs_f64());
        let (rate, cpu) = (self.events_per_second(), self.cpu_seconds_per_million());
        write!(f, "{events} events in {wall:.2} s, {rate:.0} events/s, {cpu:.2} CPU-s per million")
    }
}

/// Reads a whole topic as it is now and throws it away: with `decode`, through a tap and into Arrow; without, as
/// librdkafka gives it.
///
/// # Errors
/// When the topic cannot be read.
pub async fn consume_floor(bus: &Bus, topic: &str, decode: bool) -> Result<Floor, BusError> {
    match decode {
        true => decoded(bus, topic).await,
        false => raw(bus, topic).await,
    }
}

async fn decoded(bus: &Bus, topic: &str) -> Result<Floor, BusError> {
    let ends = bus.watermarks(topic).await?;
    let mut left: i64 = ends.values().map(|(low, high)| high - low).sum();
    let (begun, cpu) = (Instant::now(), cpu_time());
    let mut events = 0;
    let tap = Tap::start(bus.clone(), TapConfig::default())?;
    let mut reader = tap.reader("floor", Filter::topics([topic]), Default::default())?;
    while left > 0 {
        let Some(chunk) = reader.recv().await else { return Err(BusError::Stopped("tap")) };
        events += chunk.rows.num_rows() as u64;
        left -= chunk.next_offset - chunk.first_offset;
    }
    let floor = Floor { events, wall: begun.elapsed(), cpu: cpu_time().saturating_sub(cpu) };
    tap.stop().await;
    Ok(floor)
}

async fn raw(bus: &Bus, topic: &str) -> Result<Floor, BusError> {
    consume_each(bus, topic, |value| {
        std::hint::black_box(value);
    })
    .await
}

/// Reads a whole topic as it is now, as librdkafka gives it, and shows each value; a missing one is empty.
///
/// # Errors
/// When the topic cannot be read.
pub async fn consume_each(bus: &Bus, topic: &str, mut each: impl FnMut(&[u8]) + Send + 'static) -> Result<Floor, BusError> {
    let ends = bus.watermarks(topic).await?;
    let left: i64 = ends.values().map(|(low, high)| high - low).sum();
    let consumer: BaseConsumer<PlainContext> = bus
        .config()
        .client(&[("group.id", "citybrain-floor"), ("enable.auto.commit", "false"), ("fetch.queue.backoff.ms", "5")])
        .create_with_context(PlainContext::default())
        .map_err(|error| creation_error("a consumer", error))?;
    let mut list = TopicPartitionList::new();
    for (partition, (low, _)) in &ends {
        list.add_partition_offset(topic, *partition, Offset::Offset(*low)).map_err(|error| BusError::request("read", error))?;
    }
    let topic = topic.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let (begun, cpu) = (Instant::now(), cpu_time());
        consumer.assign(&list).map_err(|error| BusError::request(format!("read {topic}"), error))?;
        let mut events = 0;
        while events < left {
            if let Some(message) = consumer.poll(Duration::from_secs(1)) {
                let message = message.map_err(|error| BusError::request(format!("read {topic}"), error))?;
                each(message.payload().unwrap_or_default());
                events += 1;
            }
        }
        let cpu = cpu_time().saturating_sub(cpu);
        Ok(Floor { events: u64::try_from(events).unwrap_or_default(), wall: begun.elapsed(), cpu })
    });
    read.await.map_err(|_| BusError::Stopped("floor"))?
}

/// User and system time of this process, to a hundredth of a second; zero where `/proc` does not tell it.
pub fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is a name in brackets that may hold spaces; user and system time are the 12th and 13th after it.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after.split_ascii_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
