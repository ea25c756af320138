//! Fills a topic before a measurement, fast and in order.

use anyhow::{Context, Result};
use bus::{Bus, Outgoing, TopicSpec};
use bytes::Bytes;
use schemas::event::KafkaRecord;

use crate::cli::Invocation;
use crate::home::Home;

/// Records of one send.
const SEND_RECORDS: u64 = 32_768;
/// Bytes of one value, about, to begin with.
const VALUE_BYTES: usize = 256;

/// A Kafka that holds what is measured: the cluster of the command line, or a broker in this process.
pub struct Stage {
    /// To talk to it.
    pub bus: Bus,
    /// Where it is.
    pub servers: String,
    broker: Option<broker::Broker>,
}

impl Stage {
    /// Finds or starts it.
    pub async fn set(context: &Invocation, home: &Home) -> Result<Stage> {
        let broker = match &context.global.kafka {
            Some(_) => None,
            None => Some(broker::Broker::start(broker::BrokerConfig::new(home.dir("broker"))).await?),
        };
        let servers = context.global.kafka.clone().unwrap_or_else(|| broker.as_ref().map(|broker| broker.addr().to_string()).unwrap_or_default());
        let bus = Bus::connect(bus::BusConfig::new(&servers)).await?;
        Ok(Stage { bus, servers, broker })
    }

    /// An empty topic, whatever was there before.
    pub async fn empty(&self, topic: &str) -> Result<()> {
        if self.bus.topics().await?.contains_key(topic) {
            self.bus.delete_topic(topic).await?;
        }
        let spec = TopicSpec::new(topic, 1).with("retention.ms", "-1").with("retention.bytes", "-1");
        self.bus.ensure_topics(&[spec]).await.with_context(|| format!("could not make the topic {topic}"))?;
        Ok(())
    }

    /// Ends it.
    pub async fn strike(self) {
        let Stage { bus, broker, .. } = self;
        drop(bus);
        if let Some(broker) = broker {
            broker.shutdown().await;
        }
    }
}

/// What makes the records of a topic, by number.
pub trait Make: Clone + Send + 'static {
    /// Writes the value of a record and says of which CloudEvents type it is; `None` for a plain value without headers.
    fn value(&mut self, number: u64, out: &mut Vec<u8>) -> Option<&'static str>;
}

/// Writes records to a topic with one partition. Gives the bytes of their values.
///
/// # Errors
/// When one of them is not taken.
pub async fn feed(bus: &Bus, topic: &str, records: u64, make: impl Make) -> Result<u64> {
    let producer = bus.producer()?;
    let mut bytes = 0;
    let mut ready = some_records(make.clone(), 0, records).await?;
    while !ready.is_empty() {
        let next = ready.next;
        bytes += ready.records.iter().map(|record| record.value.as_ref().map_or(0, |value| value.len() as u64)).sum::<u64>();
        let outgoing: Vec<_> = ready.records.iter().map(|record| Outgoing { topic, record, timestamp_ms: None }).collect();
        // The next records are made while these are on their way.
        let (sent, following) = tokio::join!(producer.send_all(&outgoing), some_records(make.clone(), next, records));
        for sent in sent? {
            sent?;
        }
        drop(outgoing);
        ready = following?;
    }
    Ok(bytes)
}

struct Ready {
    records: Vec<KafkaRecord>,
    next: u64,
}

impl Ready {
    fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

async fn some_records(mut make: impl Make, first: u64, end: u64) -> Result<Ready> {
    let next = (first + SEND_RECORDS).min(end);
    let made = tokio::task::spawn_blocking(move || {
        // One buffer for all of them, of which each record holds its slices.
        let mut buffer = Vec::with_capacity((next - first) as usize * VALUE_BYTES);
        let cuts: Vec<_> = (first..next)
            .map(|number| {
                let kind = make.value(number, &mut buffer);
                let value_end = buffer.len();
                if kind.is_some() {
                    super::nexmark::text::number(&mut buffer, number);
                }
                (kind, value_end, buffer.len())
            })
            .collect();
        let buffer = Bytes::from(buffer);
        let mut begin = 0;
        cuts.into_iter()
            .map(|(kind, value_end, end)| {
                let value = Some(buffer.slice(begin..value_end));
                begin = end;
                KafkaRecord { key: None, headers: kind.map_or_else(Vec::new, |kind| headers(kind, buffer.slice(value_end..end))), value }
            })
            .collect()
    });
    Ok(Ready { records: made.await?, next })
}

fn headers(kind: &'static str, id: Bytes) -> Vec<(String, Option<Bytes>)> {
    let fixed = |name: &str, value: &'static str| (name.to_owned(), Some(Bytes::from_static(value.as_bytes())));
    vec![
        fixed("ce_specversion", "1.0"),
        ("ce_id".to_owned(), Some(id)),
        fixed("ce_source", "urn:citybrain:bench"),
        fixed("ce_type", kind),
    ]
}
