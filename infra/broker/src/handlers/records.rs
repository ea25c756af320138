//! What partitions hold: DeleteRecords, DescribeProducers, DescribeLogDirs.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::describe_log_dirs_response::{DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic};
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeProducersRequest,
    DescribeProducersResponse, ProducerId,
};
use tracing::error;

use super::{blocking, code, text, topic_name};
use crate::server::Node;

/// Moves first offsets forward; durable before the answer.
pub async fn delete_records(node: &Arc<Node>, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let found = node.store.topic(topic.name.as_str());
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let answer = DeleteRecordsPartitionResult::default().with_partition_index(asked.partition_index).with_low_watermark(-1);
            let refused = |e: ResponseError| answer.clone().with_error_code(code(e));
            let Some(topic) = &found else {
                partitions.push(refused(ResponseError::UnknownTopicOrPartition));
                continue;
            };
            let settings = topic.settings();
            let Some(partition) = topic.partition(asked.partition_index) else {
                partitions.push(refused(ResponseError::UnknownTopicOrPartition));
                continue;
            };
            if topic.is_internal() || !settings.deletes() {
                partitions.push(refused(ResponseError::PolicyViolation));
                continue;
            }
            let deleted = blocking(move || {
                let Some(start) = partition.delete_before(asked.offset) else { return Ok(None) };
                partition.checkpoint().map(|()| Some(start))
            });
            partitions.push(match deleted.await {
                Some(Ok(Some(start))) => answer.with_low_watermark(start),
                Some(Ok(None)) => refused(ResponseError::OffsetOutOfRange),
                Some(Err(e)) => {
                    error!(topic = %topic.name, partition = asked.partition_index, error = %e, "could not delete records");
                    refused(ResponseError::KafkaStorageError)
                }
                None => refused(ResponseError::UnknownServerError),
            });
        }
        topics.push(DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions));
    }
    DeleteRecordsResponse::default().with_topics(topics)
}

/// The idempotent producers of partitions.
pub fn describe_producers(node: &Node, request: DescribeProducersRequest) -> DescribeProducersResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let found = node.store.topic(topic.name.as_str());
        let partitions = topic.partition_indexes.iter().map(|&index| {
            let answer = PartitionResponse::default().with_partition_index(index);
            let Some(partition) = found.as_ref().and_then(|t| t.partition(index)) else {
                return answer.with_error_code(code(ResponseError::UnknownTopicOrPartition)).with_error_message(Some(text("no such partition")));
            };
            let producers = partition.producers().into_iter().map(|p| {
                ProducerState::default()
                    .with_producer_id(ProducerId(p.id))
                    .with_producer_epoch(i32::from(p.epoch))
                    .with_last_sequence(p.last_sequence)
                    .with_last_timestamp(p.last_ms)
                    .with_coordinator_epoch(-1)
                    .with_current_txn_start_offset(-1)
            });
            answer.with_active_producers(producers.collect())
        });
        let partitions = partitions.collect();
        TopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}

/// Bytes of partitions.
pub fn describe_log_dirs(node: &Node, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let wanted: Option<Vec<_>> = request.topics;
    let topics = node.store.topics().into_iter().filter_map(|topic| {
        let asked = match &wanted {
            None => None,
            Some(all) => Some(all.iter().find(|t| t.topic.as_str() == &*topic.name)?.partitions.clone()),
        };
        let sizes = topic.partitions().into_iter().filter(|p| asked.as_ref().is_none_or(|a| a.contains(&p.index)));
        let partitions = sizes.map(|p| {
            let size = i64::try_from(p.size()).unwrap_or(i64::MAX);
            DescribeLogDirsPartition::default().with_partition_index(p.index).with_partition_size(size)
        });
        Some(DescribeLogDirsTopic::default().with_name(topic_name(&topic.name)).with_partitions(partitions.collect()))
    });
    let result = DescribeLogDirsResult::default()
        .with_log_dir(text(node.config.dir.to_string_lossy()))
        .with_total_bytes(-1)
        .with_usable_bytes(-1)
        .with_topics(topics.collect());
    DescribeLogDirsResponse::default().with_results(vec![result])
}
