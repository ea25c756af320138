//! What was found to be wrong only after it stood in the log: kept in `dlq` like what the doors refuse.
//!
//! The id of such a `dlq` event is the position of what it keeps, so that reading the same record again after a crash keeps
//! it once.

use std::sync::Arc;

use anyhow::{Context, Result};
use bus::{Chunk, Producer, Rejected};
use bytes::Bytes;
use chrono::Utc;
use gateway::refusal::{Incoming, Origin, Refusal, keep};
use schemas::position::Position;
use schemas::topics::DLQ;

/// CloudEvents type of its events.
pub const DLQ_TYPE: &str = "io.citybrain.dlq.v1";

/// Writes to `dlq`.
#[derive(Clone)]
pub struct RefusedLog {
    producer: Producer,
}

impl RefusedLog {
    /// A log that writes through `producer`.
    pub fn new(producer: Producer) -> RefusedLog {
        RefusedLog { producer }
    }

    /// Keeps a record that is no CloudEvent.
    pub async fn not_an_event(&self, chunk: &Chunk, rejected: &Rejected) -> Result<()> {
        if chunk.topic.as_ref() == DLQ {
            return Ok(());
        }
        let position = Position { topic: chunk.topic.to_string(), partition: chunk.partition, offset: rejected.offset };
        let headers = rejected
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()))
            .collect();
        let original = rejected.value.clone().unwrap_or_default();
        self.keep(&position, "not-an-event", &rejected.reason, original, headers).await
    }

    /// Keeps an event whose data does not fit its type.
    pub async fn not_of_its_type(&self, row: &lakehouse::RejectedRow) -> Result<()> {
        let position = Position { topic: row.topic.clone(), partition: row.partition, offset: row.offset };
        self.keep(&position, "not-of-its-type", &row.reason, Bytes::from(row.data.clone().unwrap_or_default()), Vec::new()).await
    }

    /// Keeps a record for which a function of a job failed, once for each job.
    pub async fn function_failed(&self, job: &str, record: &pipelines::FailedRecord) -> Result<()> {
        let position = Position { topic: record.topic.clone(), partition: record.partition, offset: record.offset };
        let original = Bytes::from(record.data.clone().unwrap_or_default());
        self.keep_as(format!("{job}/{position}"), &position, "function-failed", &format!("job {job}: {}", record.reason), original, Vec::new()).await
    }

    async fn keep(&self, position: &Position, code: &'static str, reason: &str, original: Bytes, headers: Vec<(String, String)>) -> Result<()> {
        self.keep_as(position.to_string(), position, code, reason, original, headers).await
    }

    async fn keep_as(&self, id: String, position: &Position, code: &'static str, reason: &str, original: Bytes, headers: Vec<(String, String)>) -> Result<()> {
        let refusal = Refusal::new(code, "", format!("{position}: {reason}"), format!("{position}：{reason}"));
        let origin = Origin {
            door: Arc::from("log"),
            content_type: Arc::from("application/octet-stream"),
            headers: Arc::new(headers),
            original: Some(original),
            ..Origin::default()
        };
        let incoming = Incoming { event: Err(refusal.clone()), origin };
        let mut event = keep(&incoming, &refusal, DLQ_TYPE, Utc::now());
        event.id = id;
        self.producer.send(DLQ, &event.to_kafka(), None).await.context("could not write to dlq")?;
        Ok(())
    }
}
