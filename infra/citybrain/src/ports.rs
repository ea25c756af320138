//! The bus as the doors see it: a log to write to, and an index of what was written.

use bus::{DedupIndex, Producer};
use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::ports::{LogError, SeenEvent};
use gateway::{EventLog, SeenIndex};
use schemas::{KafkaRecord, Position};

/// The doors' log.
pub struct BusLog(pub Producer);

impl EventLog for BusLog {
    fn send(&self, topic: &str, record: KafkaRecord, timestamp_ms: i64) -> BoxFuture<'static, Result<Position, LogError>> {
        self.0.send(topic, &record, Some(timestamp_ms)).map(|sent| sent.map_err(|error| LogError(error.to_string()))).boxed()
    }
}

/// The index against duplicates.
#[derive(Clone)]
pub struct Seen(pub DedupIndex);

impl SeenIndex for Seen {
    fn position(&self, source: &str, id: &str) -> Result<Option<Position>, LogError> {
        self.0.first(source, id).map_err(|error| LogError(error.to_string()))
    }

    fn remember(&self, events: &[SeenEvent]) -> Result<(), LogError> {
        let events = events.iter().map(|event| (event.source.as_str(), event.id.as_str(), &event.position));
        self.0.remember(events).map_err(|error| LogError(error.to_string()))
    }
}
