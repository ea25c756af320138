//! A log and an index in memory: what the tests of the doors run against, and a dry run of an import.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use schemas::audit::{Entry, Head, Note};
use schemas::{KafkaRecord, Position};
use tokio::sync::watch;

use crate::ports::{AuditLog, EventLog, LogError, SeenEvent, SeenIndex};

/// A log that keeps everything, one partition for each topic.
#[derive(Debug, Default)]
pub struct MemoryLog {
    topics: Mutex<BTreeMap<String, Vec<KafkaRecord>>>,
    down: AtomicBool,
    held: watch::Sender<bool>,
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> Arc<MemoryLog> {
        Arc::new(MemoryLog::default())
    }

    /// Whether it refuses every record.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// Whether it keeps records waiting; they are durable when it is let go.
    pub fn set_held(&self, held: bool) {
        self.held.send_replace(held);
    }

    /// The records of a topic.
    pub fn records(&self, topic: &str) -> Vec<KafkaRecord> {
        self.topics().get(topic).cloned().unwrap_or_default()
    }

    /// How many records each topic has.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        self.topics().iter().map(|(topic, records)| (topic.clone(), records.len())).collect()
    }

    fn topics(&self) -> MutexGuard<'_, BTreeMap<String, Vec<KafkaRecord>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventLog for MemoryLog {
    fn send(&self, topic: &str, record: KafkaRecord, _timestamp_ms: i64) -> BoxFuture<'static, Result<Position, LogError>> {
        if self.down.load(Ordering::SeqCst) {
            return futures::future::ready(Err(LogError("the log is down".to_owned()))).boxed();
        }
        let mut topics = self.topics();
        let records = topics.entry(topic.to_owned()).or_default();
        records.push(record);
        let position = Position::new(topic, 0, records.len() as i64 - 1);
        let mut held = self.held.subscribe();
        async move {
            held.wait_for(|held| !held).await.map_err(|_| LogError("the log is gone".to_owned()))?;
            Ok(position)
        }
        .boxed()
    }
}

/// An index that forgets nothing.
#[derive(Debug, Default)]
pub struct MemorySeen(Mutex<BTreeMap<(String, String), Position>>);

impl MemorySeen {
    /// An empty index.
    pub fn new() -> Arc<MemorySeen> {
        Arc::new(MemorySeen::default())
    }
}

impl SeenIndex for MemorySeen {
    fn position(&self, source: &str, id: &str) -> Result<Option<Position>, LogError> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(seen.get(&(source.to_owned(), id.to_owned())).cloned())
    }

    fn remember(&self, events: &[SeenEvent]) -> Result<(), LogError> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            seen.entry((event.source.clone(), event.id.clone())).or_insert_with(|| event.position.clone());
        }
        Ok(())
    }
}

/// An audit that keeps everything.
#[derive(Debug, Default)]
pub struct MemoryAudit {
    entries: Mutex<Vec<Entry>>,
    down: AtomicBool,
}

impl MemoryAudit {
    /// An empty audit.
    pub fn new() -> Arc<MemoryAudit> {
        Arc::new(MemoryAudit::default())
    }

    /// Whether it refuses every entry.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::SeqCst);
    }

    /// The entries so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl AuditLog for MemoryAudit {
    fn append(&self, note: Note) -> BoxFuture<'static, Result<u64, LogError>> {
        if self.down.load(Ordering::SeqCst) {
            return futures::future::ready(Err(LogError("the audit is down".to_owned()))).boxed();
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let head = entries.last().map_or_else(|| Head::of_new("memory"), Entry::head);
        let entry = Entry::after(&head, note);
        let seq = entry.seq;
        entries.push(entry);
        futures::future::ready(Ok(seq)).boxed()
    }

    fn head(&self) -> Option<Head> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).last().map(Entry::head)
    }
}
