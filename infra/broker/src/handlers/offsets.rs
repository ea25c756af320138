//! Places in the log: ListOffsets, OffsetForLeaderEpoch.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use tracing::error;

use super::{blocking, code};
use crate::log::partition::{LEADER_EPOCH, Partition};
use crate::records;
use crate::server::Node;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

/// The offset at a time, or at one of the ends.
pub async fn list_offsets(node: &Arc<Node>, request: ListOffsetsRequest, version: i16) -> ListOffsetsResponse {
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let found = node.store.topic(topic.name.as_str());
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in topic.partitions {
            let answer = ListOffsetsPartitionResponse::default()
                .with_partition_index(asked.partition_index)
                .with_timestamp(-1)
                .with_offset(-1)
                .with_leader_epoch(-1);
            let partition = found.as_ref().and_then(|t| t.partition(asked.partition_index));
            partitions.push(match partition {
                None => answer.with_error_code(code(ResponseError::UnknownTopicOrPartition)),
                Some(partition) => match look_up(&partition, asked.timestamp).await {
                    Ok(Some((timestamp, offset))) => {
                        let epoch = if version >= 4 { LEADER_EPOCH } else { -1 };
                        answer.with_timestamp(timestamp).with_offset(offset).with_leader_epoch(epoch)
                    }
                    Ok(None) => answer,
                    Err(e) => answer.with_error_code(code(e)),
                },
            });
        }
        topics.push(ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions));
    }
    ListOffsetsResponse::default().with_topics(topics)
}

async fn look_up(partition: &Arc<Partition>, timestamp: i64) -> Result<Option<(i64, i64)>, ResponseError> {
    let bounds = partition.bounds();
    let timestamp = match timestamp {
        LATEST => return Ok(Some((-1, bounds.high_watermark))),
        EARLIEST | EARLIEST_LOCAL => return Ok(Some((-1, bounds.log_start))),
        LATEST_TIERED => return Ok(None),
        MAX_TIMESTAMP => match partition.max_timestamp() {
            -1 => return Ok(None),
            newest => newest,
        },
        t if t < 0 => return Err(ResponseError::InvalidRequest),
        t => t,
    };
    let searched = partition.clone();
    let found = blocking(move || {
        let batch = searched.batch_at_time(timestamp)?;
        Ok::<_, std::io::Error>(batch.and_then(|batch| records::first_at_time(&batch, timestamp, bounds.log_start)))
    });
    match found.await {
        Some(Ok(found)) => Ok(found),
        Some(Err(e)) => {
            error!(topic = %partition.topic, partition = partition.index, timestamp, error = %e, "could not look up a time");
            Err(ResponseError::KafkaStorageError)
        }
        None => Err(ResponseError::UnknownServerError),
    }
}

/// Where an epoch ends: there is one, and it ends where the log ends.
pub fn offset_for_leader_epoch(node: &Node, request: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let found = node.store.topic(topic.topic.as_str());
        let partitions = topic.partitions.iter().map(|asked| {
            let answer = EpochEndOffset::default().with_partition(asked.partition).with_leader_epoch(-1).with_end_offset(-1);
            match found.as_ref().and_then(|t| t.partition(asked.partition)) {
                None => answer.with_error_code(code(ResponseError::UnknownTopicOrPartition)),
                Some(_) if asked.current_leader_epoch > LEADER_EPOCH => answer.with_error_code(code(ResponseError::UnknownLeaderEpoch)),
                Some(_) if asked.leader_epoch > LEADER_EPOCH || asked.leader_epoch < 0 => answer,
                Some(p) => answer.with_leader_epoch(LEADER_EPOCH).with_end_offset(p.high_watermark()),
            }
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}
