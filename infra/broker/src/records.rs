//! Records inside a batch, for the few places that must look: times, compaction, committed offsets.

use bytes::Bytes;
use kafka_protocol::records::{Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType};

use crate::batch::BatchHeader;

/// The records of a stored batch; none when it cannot be decoded.
pub fn decode(batch: &Bytes) -> Option<Vec<Record>> {
    let header = BatchHeader::parse(batch)?;
    let mut bytes = batch.slice(..header.size.min(batch.len()));
    RecordBatchDecoder::decode(&mut bytes).ok().map(|set| set.records)
}

/// Timestamp and offset of the first record that is not older than `timestamp` and not before `log_start`. When the
/// records cannot be decoded, the batch's first offset, which is never too late.
pub fn first_at_time(batch: &Bytes, timestamp: i64, log_start: i64) -> Option<(i64, i64)> {
    let header = BatchHeader::parse(batch)?;
    let Some(records) = decode(batch) else {
        return Some((header.base_timestamp, header.base_offset.max(log_start)));
    };
    let found = records.iter().find(|r| r.timestamp >= timestamp && r.offset >= log_start);
    found.map(|r| (r.timestamp, r.offset))
}

/// A record of our own.
pub fn record(key: Bytes, value: Option<Bytes>, timestamp: i64) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: -1,
        timestamp,
        key: Some(key),
        value,
        headers: Default::default(),
    }
}

/// A batch of records numbered from 0.
pub fn encode(mut records: Vec<Record>, compression: Compression) -> Option<Bytes> {
    for (record, offset) in records.iter_mut().zip(0..) {
        record.offset = offset;
    }
    let mut out = bytes::BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression };
    RecordBatchEncoder::encode(&mut out, &records, &options).ok()?;
    Some(out.freeze())
}
