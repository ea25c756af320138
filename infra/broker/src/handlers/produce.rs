//! Produce: checks batches, hands them to the writer in order, answers when they are safe.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
use tokio::sync::oneshot;
use tracing::debug;
use uuid::Uuid;

use super::{code, resolve, text};
use crate::batch::{self, BatchError, BatchTooLargeOr};
use crate::log::Topic;
use crate::log::partition::{AppendError, Partition};
use crate::log::writer::AppendAnswer;
use crate::server::Node;

/// A request whose batches are with the writer.
#[derive(Debug)]
pub struct Pending {
    topics: Vec<PendingTopic>,
    /// Whether the client wants an answer.
    pub wants_answer: bool,
}

#[derive(Debug)]
struct PendingTopic {
    name: TopicName,
    id: Uuid,
    partitions: Vec<PendingPartition>,
}

#[derive(Debug)]
enum PendingPartition {
    Refused { index: i32, error: ResponseError, why: String },
    Waiting { index: i32, partition: Arc<Partition>, answer: oneshot::Receiver<AppendAnswer> },
}

/// Checks the batches and hands them in. Does not wait.
pub fn submit(node: &Node, request: ProduceRequest) -> Pending {
    let wants_answer = request.acks != 0;
    let refuse_all = if request.transactional_id.is_some() {
        Some((ResponseError::TransactionalIdAuthorizationFailed, "this broker offers no transactions"))
    } else if !matches!(request.acks, -1..=1) {
        Some((ResponseError::InvalidRequiredAcks, "acks must be 0, 1 or all"))
    } else {
        None
    };
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for data in request.topic_data {
        let topic = resolve(node, &data.name, data.topic_id);
        let partitions = data.partition_data.into_iter().map(|p| {
            let index = p.index;
            let answer = match (&refuse_all, &topic) {
                (Some((error, why)), _) => Err((*error, (*why).to_owned())),
                (None, Err(error)) => Err((*error, "no such topic".to_owned())),
                (None, Ok(topic)) => submit_one(node, topic, index, p.records),
            };
            match answer {
                Ok((partition, answer)) => PendingPartition::Waiting { index, partition, answer },
                Err((error, why)) => PendingPartition::Refused { index, error, why },
            }
        });
        let partitions = partitions.collect();
        topics.push(PendingTopic { name: data.name, id: data.topic_id, partitions });
    }
    Pending { topics, wants_answer }
}

type Submitted = Result<(Arc<Partition>, oneshot::Receiver<AppendAnswer>), (ResponseError, String)>;

fn submit_one(node: &Node, topic: &Topic, index: i32, records: Option<Bytes>) -> Submitted {
    if topic.is_internal() {
        return Err((ResponseError::InvalidTopicException, "only the broker writes to this topic".into()));
    }
    let partition = topic.partition(index).ok_or_else(|| (ResponseError::UnknownTopicOrPartition, format!("no partition {index}")))?;
    let max = topic.settings().message_bytes(node.config.limits.message_bytes);
    let mut batches = batch::split(records.unwrap_or_default(), max).map_err(|e| (batch_error(&e), e.to_string()))?;
    let (Some((header, bytes)), true) = (batches.pop(), batches.is_empty()) else {
        return Err((ResponseError::InvalidRecord, "one record batch for each partition, please".into()));
    };
    let answer = node.store.writer.append(partition.clone(), header, bytes);
    Ok((partition, answer))
}

fn batch_error(e: &BatchTooLargeOr) -> ResponseError {
    match e {
        BatchTooLargeOr::TooLarge { .. } => ResponseError::MessageTooLarge,
        BatchTooLargeOr::Bad(BatchError::Corrupt(_)) => ResponseError::CorruptMessage,
        BatchTooLargeOr::Bad(BatchError::Magic(_)) => ResponseError::UnsupportedForMessageFormat,
        BatchTooLargeOr::Bad(BatchError::Invalid(_)) => ResponseError::InvalidRecord,
    }
}

/// Waits until everything is safe or refused.
pub async fn finish(pending: Pending, version: i16) -> ProduceResponse {
    let mut responses = Vec::with_capacity(pending.topics.len());
    for topic in pending.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for p in topic.partitions {
            partitions.push(match p {
                PendingPartition::Refused { index, error, why } => refused(index, error, why, version),
                PendingPartition::Waiting { index, partition, answer } => match answer.await {
                    Ok(Ok(done)) => PartitionProduceResponse::default()
                        .with_index(index)
                        .with_base_offset(done.base_offset)
                        .with_log_append_time_ms(done.log_append_ms)
                        .with_log_start_offset(if version >= 5 { partition.bounds().log_start } else { -1 }),
                    Ok(Err(e)) => refused(index, append_error(&e), explain(&e), version),
                    Err(_) => refused(index, ResponseError::NotLeaderOrFollower, AppendError::Stopping.to_string(), version),
                },
            });
        }
        responses.push(
            TopicProduceResponse::default().with_name(topic.name).with_topic_id(topic.id).with_partition_responses(partitions),
        );
    }
    ProduceResponse::default().with_responses(responses)
}

fn refused(index: i32, error: ResponseError, why: String, version: i16) -> PartitionProduceResponse {
    debug!(partition = index, error = ?error, why, "refused a batch");
    PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(code(error))
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(-1)
        .with_error_message(if version >= 8 { Some(text(why)) } else { None })
}

fn append_error(e: &AppendError) -> ResponseError {
    match e {
        AppendError::Deleted => ResponseError::UnknownTopicOrPartition,
        AppendError::OutOfOrder { .. } => ResponseError::OutOfOrderSequenceNumber,
        AppendError::StaleEpoch { .. } => ResponseError::InvalidProducerEpoch,
        AppendError::Storage { .. } => ResponseError::KafkaStorageError,
        AppendError::Stopping => ResponseError::NotLeaderOrFollower,
    }
}

fn explain(e: &AppendError) -> String {
    match std::error::Error::source(e) {
        Some(cause) => format!("{e}: {cause}"),
        None => e.to_string(),
    }
}
