//! Fetch: sends stored batches; waits for more when there are too few.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::error;

use super::{blocking, code, resolve};
use crate::limits::{FETCH_BYTES_MAX, FETCH_WAIT_MS_MAX};
use crate::log::partition::{Partition, Read};
use crate::server::Node;

/// Records from each partition asked for, within the client's limits.
pub async fn fetch(node: &Arc<Node>, request: FetchRequest, version: i16) -> FetchResponse {
    if request.session_id != 0 && version >= 7 {
        // Sessions were never given out.
        return FetchResponse::default().with_error_code(code(ResponseError::FetchSessionIdNotFound));
    }
    let wait = Duration::from_millis(request.max_wait_ms.clamp(0, FETCH_WAIT_MS_MAX) as u64);
    let deadline = Instant::now() + wait;
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
    let notify = Arc::new(Notify::new());
    let partitions = find(node, &request);
    loop {
        let late = Instant::now() >= deadline;
        if !late {
            for p in partitions.iter().flatten().flatten() {
                p.wait(&notify);
            }
        }
        let (response, bytes, failed) = collect(node, &request, &partitions, version).await;
        if late || failed || bytes >= min_bytes || node.is_stopping() {
            return response;
        }
        drop(response);
        // Timing out is not an error: what is there is sent.
        let _ = tokio::time::timeout_at(deadline, node.or_stopping(notify.notified())).await;
    }
}

type Found = Vec<Vec<Option<Arc<Partition>>>>;

fn find(node: &Node, request: &FetchRequest) -> Found {
    let topics = request.topics.iter().map(|topic| {
        let found = resolve(node, &topic.topic, topic.topic_id).ok();
        topic.partitions.iter().map(|p| found.as_ref().and_then(|t| t.partition(p.partition))).collect()
    });
    topics.collect()
}

async fn collect(node: &Node, request: &FetchRequest, found: &Found, version: i16) -> (FetchResponse, usize, bool) {
    let mut left = usize::try_from(request.max_bytes).unwrap_or(0).min(FETCH_BYTES_MAX);
    let (mut total, mut failed) = (0, false);
    let mut responses = Vec::with_capacity(request.topics.len());
    for (topic, partitions) in request.topics.iter().zip(found) {
        let mut answers = Vec::with_capacity(topic.partitions.len());
        for (asked, partition) in topic.partitions.iter().zip(partitions) {
            let answer = match partition {
                Some(partition) if !partition.is_deleted() => {
                    // Only the first batch of a response may be larger than asked for.
                    let max = usize::try_from(asked.partition_max_bytes).unwrap_or(0).min(left);
                    read_one(partition, asked, max, total == 0, version).await
                }
                Some(_) | None => {
                    let error = resolve(node, &topic.topic, topic.topic_id).err().unwrap_or(ResponseError::UnknownTopicOrPartition);
                    refused(asked.partition, error, -1, -1, version)
                }
            };
            let bytes = answer.records.as_ref().map_or(0, Bytes::len);
            failed |= answer.error_code != 0;
            total += bytes;
            left = left.saturating_sub(bytes);
            answers.push(answer);
        }
        responses.push(
            FetchableTopicResponse::default().with_topic(topic.topic.clone()).with_topic_id(topic.topic_id).with_partitions(answers),
        );
    }
    (FetchResponse::default().with_responses(responses), total, failed)
}

async fn read_one(partition: &Arc<Partition>, asked: &FetchPartition, max_bytes: usize, at_least_one: bool, version: i16) -> PartitionData {
    let bounds = partition.bounds();
    let records = if max_bytes == 0 && !at_least_one {
        Bytes::new()
    } else {
        match partition.read(asked.fetch_offset, max_bytes) {
            Read::OutOfRange => {
                return refused(asked.partition, ResponseError::OffsetOutOfRange, bounds.high_watermark, bounds.log_start, version);
            }
            Read::AtEnd => Bytes::new(),
            Read::Cached(batches) => join(batches),
            Read::File => match read_file(partition, asked.fetch_offset, max_bytes).await {
                Some(records) => records,
                None => return refused(asked.partition, ResponseError::KafkaStorageError, -1, -1, version),
            },
        }
    };
    let records = if records.len() > max_bytes && !at_least_one { Bytes::new() } else { records };
    // A batch that was read before it was told to be deleted may be sent; what may be read is decided by the offsets.
    answer(asked.partition, partition.high_watermark(), bounds.log_start, version).with_records(Some(records))
}

async fn read_file(partition: &Arc<Partition>, offset: i64, max_bytes: usize) -> Option<Bytes> {
    let from = partition.clone();
    match blocking(move || from.read_file(offset, max_bytes)).await? {
        Ok(records) => Some(records),
        Err(e) => {
            error!(topic = %partition.topic, partition = partition.index, offset, error = %e, "could not read a segment");
            None
        }
    }
}

fn join(mut batches: Vec<Bytes>) -> Bytes {
    if batches.len() == 1 {
        return batches.pop().unwrap_or_default();
    }
    let mut all = BytesMut::with_capacity(batches.iter().map(Bytes::len).sum());
    for batch in batches {
        all.extend_from_slice(&batch);
    }
    all.freeze()
}

fn answer(index: i32, high_watermark: i64, log_start: i64, version: i16) -> PartitionData {
    PartitionData::default()
        .with_partition_index(index)
        .with_high_watermark(high_watermark)
        .with_last_stable_offset(high_watermark)
        .with_log_start_offset(if version >= 5 { log_start } else { -1 })
        .with_preferred_read_replica(BrokerId(-1))
        .with_aborted_transactions(None)
        .with_records(Some(Bytes::new()))
}

fn refused(index: i32, error: ResponseError, high_watermark: i64, log_start: i64, version: i16) -> PartitionData {
    answer(index, high_watermark, log_start, version).with_error_code(code(error))
}
