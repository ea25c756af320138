//! Records inside a batch, for the few places that must look: times, compaction, committed offsets.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};

use crate::batch::{BatchHeader, HEADER_BYTES};
use crate::inflate::{deflate, inflate};

/// A record as it stands in its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// All its bytes, length included.
    pub bytes: Bytes,
}

/// The records of a stored batch; none when they cannot be read.
pub fn read(batch: &Bytes) -> Option<Vec<Raw>> {
    let header = BatchHeader::parse(batch)?;
    if batch.len() < header.size {
        return None;
    }
    let mut rest = inflate(header.compression(), &batch.slice(HEADER_BYTES..header.size))?;
    let mut records = Vec::new();
    for _ in 0..header.count {
        records.push(read_one(&header, &mut rest)?);
    }
    rest.is_empty().then_some(records)
}

fn read_one(header: &BatchHeader, rest: &mut Bytes) -> Option<Raw> {
    let mut at = 0;
    let length = usize::try_from(varint(rest, &mut at)?).ok()?;
    let end = at.checked_add(length).filter(|end| *end <= rest.len())?;
    let bytes = rest.split_to(end);
    at += 1;
    let timestamp_delta = varint(&bytes, &mut at)?;
    let offset_delta = varint(&bytes, &mut at)?;
    let key = field(&bytes, &mut at)?;
    let value = field(&bytes, &mut at)?;
    Some(Raw {
        offset: header.base_offset.checked_add(offset_delta)?,
        timestamp: if header.attributes & 8 != 0 { header.max_timestamp } else { header.base_timestamp.checked_add(timestamp_delta)? },
        key,
        value,
        bytes,
    })
}

/// Bytes with their length in front, or null.
fn field(bytes: &Bytes, at: &mut usize) -> Option<Option<Bytes>> {
    let Ok(length) = usize::try_from(varint(bytes, at)?) else { return Some(None) };
    let end = at.checked_add(length).filter(|end| *end <= bytes.len())?;
    let found = bytes.slice(*at..end);
    *at = end;
    Some(Some(found))
}

/// A zigzag varint.
fn varint(bytes: &[u8], at: &mut usize) -> Option<i64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value >> 1) as i64 ^ -((value & 1) as i64));
        }
    }
    None
}

/// Timestamp and offset of the first record that is not older than `timestamp` and not before `log_start`. When the
/// records cannot be read, the batch's first offset, which is never too late.
pub fn first_at_time(batch: &Bytes, timestamp: i64, log_start: i64) -> Option<(i64, i64)> {
    let header = BatchHeader::parse(batch)?;
    let Some(records) = read(batch) else {
        return Some((header.base_timestamp, header.base_offset.max(log_start)));
    };
    let found = records.iter().find(|r| r.timestamp >= timestamp && r.offset >= log_start);
    found.map(|r| (r.timestamp, r.offset))
}

/// A stored batch with some of its records only. The others' offsets stay taken.
pub fn keep(batch: &Bytes, kept: &[&Raw]) -> Option<Bytes> {
    let header = BatchHeader::parse(batch)?;
    let mut body = BytesMut::new();
    for record in kept {
        body.put_slice(&record.bytes);
    }
    let body = deflate(header.compression(), &body)?;
    let mut out = BytesMut::with_capacity(HEADER_BYTES + body.len());
    out.put_slice(&batch[..HEADER_BYTES]);
    out.put_slice(&body);
    let length = i32::try_from(out.len() - 12).ok()?;
    out[8..12].copy_from_slice(&length.to_be_bytes());
    out[57..61].copy_from_slice(&(kept.len() as i32).to_be_bytes());
    let crc = crc32c::crc32c(&out[21..]);
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    Some(out.freeze())
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
        // The encoder begins a new batch when the distance between offset and sequence changes.
        record.sequence = if record.producer_id < 0 { offset as i32 - 1 } else { record.sequence };
    }
    let mut out = bytes::BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression };
    RecordBatchEncoder::encode(&mut out, &records, &options).ok()?;
    Some(out.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{is_intact, split};

    fn batch(compression: Compression) -> Bytes {
        let one = |i: i64| record(format!("k{}", i % 3).into(), Some(format!("v{i}").into()), 1_000 + i);
        encode((0..10).map(one).collect(), compression).unwrap()
    }

    #[test]
    fn records_are_read_and_kept_in_every_compression() {
        for compression in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let b = batch(compression);
            assert_eq!(split(b.clone(), 10_000).unwrap().len(), 1);
            let all = read(&b).unwrap();
            assert_eq!(all.len(), 10);
            assert_eq!((all[4].offset, all[4].timestamp), (4, 1_004));
            assert_eq!((all[4].key.as_deref(), all[4].value.as_deref()), (Some(&b"k1"[..]), Some(&b"v4"[..])));
            let few = keep(&b, &[&all[2], &all[9]]).unwrap();
            let header = BatchHeader::parse(&few).unwrap();
            assert!(is_intact(&few, &header));
            assert_eq!((header.count, header.last_offset()), (2, 9));
            assert_eq!(read(&few).unwrap(), [all[2].clone(), all[9].clone()]);
            assert_eq!(first_at_time(&b, 1_007, 0), Some((1_007, 7)));
            assert_eq!(first_at_time(&b, 1_002, 5), Some((1_005, 5)));
            assert_eq!(first_at_time(&b, 2_000, 0), None);
        }
    }

    #[test]
    fn damaged_records_are_an_answer() {
        let b = batch(Compression::None);
        for at in HEADER_BYTES..b.len() {
            for bit in [1, 0x80] {
                let mut bad = b.to_vec();
                bad[at] ^= bit;
                let _ = read(&bad.into());
            }
        }
    }
}
