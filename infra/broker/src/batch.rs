//! The record batch of Kafka (magic 2) as bytes: reading its header, checking it, numbering it.
//!
//! Records inside are not looked at here. Layout: base offset 0..8, length 8..12, leader epoch 12..16, magic 16,
//! CRC32C 17..21 (of everything from 21), attributes 21..23, last offset delta 23..27, base timestamp 27..35,
//! max timestamp 35..43, producer id 43..51, producer epoch 51..53, base sequence 53..57, count 57..61, records.

use bytes::Bytes;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 61;
/// Bytes before the part that the length field counts.
const LENGTH_STARTS: usize = 12;
/// Smallest record: length, attributes, timestamp and offset deltas, key length, value length, header count.
const RECORD_BYTES_MIN: usize = 7;

const ATTRIBUTE_COMPRESSION: i16 = 0b111;
const ATTRIBUTE_LOG_APPEND_TIME: i16 = 1 << 3;
const ATTRIBUTE_TRANSACTIONAL: i16 = 1 << 4;
const ATTRIBUTE_CONTROL: i16 = 1 << 5;

/// The header of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes of the whole batch, header included.
    pub size: usize,
    /// Version of the format; 2 is the only one stored.
    pub magic: i8,
    /// CRC32C of everything from the attributes on.
    pub crc: u32,
    /// Compression, timestamp type and flags.
    pub attributes: i16,
    /// Offset of the last record, relative to the first.
    pub last_offset_delta: i32,
    /// Timestamp of the first record.
    pub base_timestamp: i64,
    /// Largest timestamp.
    pub max_timestamp: i64,
    /// Idempotent producer, or -1.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i16,
    /// Its number for the first record.
    pub base_sequence: i32,
    /// Records inside.
    pub count: i32,
}

/// What is wrong with a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Bytes are missing or damaged.
    #[error("the record batch is damaged: {0}")]
    Corrupt(String),
    /// An old format.
    #[error("record batches of magic {0} are not accepted, only magic 2")]
    Magic(i8),
    /// Well-formed, but not what a producer may send.
    #[error("the record batch is not valid: {0}")]
    Invalid(String),
}

fn i16_at(b: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([b[at], b[at + 1]])
}

fn i32_at(b: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
}

fn i64_at(b: &[u8], at: usize) -> i64 {
    let mut x = [0; 8];
    x.copy_from_slice(&b[at..at + 8]);
    i64::from_be_bytes(x)
}

impl BatchHeader {
    /// Reads a header; none when the bytes cannot be one.
    pub fn parse(b: &[u8]) -> Option<Self> {
        if b.len() < HEADER_BYTES {
            return None;
        }
        let length = usize::try_from(i32_at(b, 8)).ok()?;
        let size = LENGTH_STARTS + length;
        let header = Self {
            base_offset: i64_at(b, 0),
            size,
            magic: b[16] as i8,
            crc: i32_at(b, 17) as u32,
            attributes: i16_at(b, 21),
            last_offset_delta: i32_at(b, 23),
            base_timestamp: i64_at(b, 27),
            max_timestamp: i64_at(b, 35),
            producer_id: i64_at(b, 43),
            producer_epoch: i16_at(b, 51),
            base_sequence: i32_at(b, 53),
            count: i32_at(b, 57),
        };
        let whole = size >= HEADER_BYTES && header.magic == 2 && header.last_offset_delta >= 0;
        whole.then_some(header)
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Offset after the last record.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Compression codec, 0 for none.
    pub fn compression(&self) -> i16 {
        self.attributes & ATTRIBUTE_COMPRESSION
    }

    /// Sent by an idempotent producer.
    pub fn is_idempotent(&self) -> bool {
        self.producer_id >= 0
    }
}

/// Whether the bytes are a whole batch with the right checksum.
pub fn is_intact(b: &[u8], header: &BatchHeader) -> bool {
    b.len() >= header.size && crc32c::crc32c(&b[21..header.size]) == header.crc
}

/// Cuts what a producer sent into batches and checks each.
pub fn split(mut records: Bytes, batch_bytes_max: usize) -> Result<Vec<(BatchHeader, Bytes)>, BatchTooLargeOr> {
    let mut batches = Vec::with_capacity(1);
    if records.is_empty() {
        return Err(BatchError::Invalid("it holds no records".into()).into());
    }
    while !records.is_empty() {
        let header = check(&records)?;
        if header.size > batch_bytes_max {
            return Err(BatchTooLargeOr::TooLarge { size: header.size, max: batch_bytes_max });
        }
        batches.push((header, records.split_to(header.size)));
    }
    Ok(batches)
}

/// What [`split`] refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BatchTooLargeOr {
    /// Too large for the topic.
    #[error("the record batch has {size} bytes, but at most {max} are accepted")]
    TooLarge {
        /// Bytes of the batch.
        size: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Anything else.
    #[error(transparent)]
    Bad(#[from] BatchError),
}

fn check(b: &[u8]) -> Result<BatchHeader, BatchError> {
    let corrupt = |why: &str| BatchError::Corrupt(why.into());
    // The magic byte stands at the same place in all versions of the format.
    if let Some(&magic) = b.get(16) {
        if magic != 2 {
            return Err(BatchError::Magic(magic as i8));
        }
    }
    let header = BatchHeader::parse(b).ok_or_else(|| corrupt("its header cannot be read"))?;
    if header.size > b.len() {
        return Err(corrupt(&format!("{} bytes announced, {} there", header.size, b.len())));
    }
    if !is_intact(b, &header) {
        return Err(corrupt("its checksum is wrong"));
    }
    let invalid = |why: &str| Err(BatchError::Invalid(why.into()));
    if header.count <= 0 || header.count - 1 != header.last_offset_delta {
        return invalid("count and last offset do not agree");
    }
    if header.attributes & ATTRIBUTE_CONTROL != 0 {
        return invalid("control batches are the broker's to write");
    }
    if header.attributes & ATTRIBUTE_TRANSACTIONAL != 0 {
        return invalid("transactions are not offered");
    }
    if header.compression() > 4 {
        return invalid("its compression is unknown");
    }
    if header.compression() == 0 && header.count as usize > (header.size - HEADER_BYTES) / RECORD_BYTES_MIN {
        return invalid("it announces more records than fit");
    }
    if header.is_idempotent() && (header.producer_epoch < 0 || header.base_sequence < 0) {
        return invalid("a producer id needs an epoch and a sequence");
    }
    Ok(header)
}

/// Copies a batch with its place in the log written in. The checksum does not cover these fields.
pub fn number(batch: &[u8], base_offset: i64, leader_epoch: i32) -> Vec<u8> {
    let mut out = Vec::with_capacity(batch.len());
    out.extend_from_slice(&base_offset.to_be_bytes());
    out.extend_from_slice(&batch[8..12]);
    out.extend_from_slice(&leader_epoch.to_be_bytes());
    out.extend_from_slice(&batch[16..]);
    out
}

/// Writes the broker's time into a numbered batch (`message.timestamp.type=LogAppendTime`).
pub fn stamp(batch: &mut [u8], time_ms: i64) {
    let attributes = i16_at(batch, 21) | ATTRIBUTE_LOG_APPEND_TIME;
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    batch[35..43].copy_from_slice(&time_ms.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(count: i32, body: &[u8]) -> Vec<u8> {
        let mut b = vec![0; HEADER_BYTES];
        b.extend_from_slice(body);
        let length = (b.len() - 12) as i32;
        b[8..12].copy_from_slice(&length.to_be_bytes());
        b[16] = 2;
        b[23..27].copy_from_slice(&(count - 1).to_be_bytes());
        b[43..51].copy_from_slice(&(-1i64).to_be_bytes());
        b[57..61].copy_from_slice(&count.to_be_bytes());
        let crc = crc32c::crc32c(&b[21..]);
        b[17..21].copy_from_slice(&crc.to_be_bytes());
        b
    }

    #[test]
    fn numbering_keeps_the_checksum_right() {
        let numbered = number(&batch(2, &[0; 20]), 41, 3);
        let header = BatchHeader::parse(&numbered).unwrap();
        assert!(is_intact(&numbered, &header));
        assert_eq!((header.base_offset, header.next_offset()), (41, 43));
    }

    #[test]
    fn stamping_keeps_the_checksum_right() {
        let mut b = batch(1, &[0; 20]);
        stamp(&mut b, 77);
        let header = BatchHeader::parse(&b).unwrap();
        assert!(is_intact(&b, &header));
        assert_eq!(header.max_timestamp, 77);
    }

    #[test]
    fn every_flipped_bit_after_the_epoch_is_noticed() {
        let good = batch(2, &[7; 20]);
        assert!(split(Bytes::from(good.clone()), 1000).is_ok());
        for at in 16..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(split(Bytes::from(bad), 1000).is_err(), "byte {at}");
        }
    }

    #[test]
    fn lying_counts_are_refused() {
        assert!(split(Bytes::from(batch(1_000_000, &[0; 20])), 1000).is_err());
        assert!(split(Bytes::from(batch(0, &[0; 20])), 1000).is_err());
        assert!(split(Bytes::from(batch(2, &[0; 20])), 50).is_err());
        assert!(split(Bytes::new(), 50).is_err());
    }
}
