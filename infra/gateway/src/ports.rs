//! What the door needs of the outside, as small traits, so that its tests run without Kafka.

use std::sync::{Arc, PoisonError, RwLock};

use futures::future::BoxFuture;
use schemas::audit::{Head, Note};
use schemas::{KafkaRecord, Position, Registry};

/// Why the log did not take a record.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct LogError(pub String);

/// The log that events are produced to.
pub trait EventLog: Send + Sync + 'static {
    /// Produces a record. Resolves when it is durable, with its position.
    ///
    /// The record takes its place in the order of its key when the future is first polled.
    fn send(&self, topic: &str, record: KafkaRecord, timestamp_ms: i64) -> BoxFuture<'static, Result<Position, LogError>>;
}

/// The audit that entries are appended to.
pub trait AuditLog: Send + Sync + 'static {
    /// Appends an entry. Resolves when it is durable, with its number.
    fn append(&self, note: Note) -> BoxFuture<'static, Result<u64, LogError>>;

    /// The end of the chain, as far as it is durable.
    fn head(&self) -> Option<Head>;
}

/// Which events the log already holds, by `source` and `id`.
pub trait SeenIndex: Send + Sync + 'static {
    /// The first position of an event, if it was produced within the window.
    fn position(&self, source: &str, id: &str) -> Result<Option<Position>, LogError>;

    /// Remembers events that are durable now.
    fn remember(&self, events: &[SeenEvent]) -> Result<(), LogError>;
}

/// One event that became durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenEvent {
    /// Its `source`.
    pub source: String,
    /// Its `id`.
    pub id: String,
    /// Where it is.
    pub position: Position,
}

/// The event types in force. A new type may be added while the doors are open.
#[derive(Debug)]
pub struct Types(RwLock<Arc<Registry>>);

impl Types {
    /// The types of `registry`.
    pub fn new(registry: Arc<Registry>) -> Types {
        Types(RwLock::new(registry))
    }

    /// The types now.
    pub fn now(&self) -> Arc<Registry> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces them all; what is already on its way keeps the old ones.
    pub fn replace(&self, registry: Arc<Registry>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = registry;
    }
}
