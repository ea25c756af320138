//! Idempotence: what each producer last wrote to a partition, so that a repeated batch is recognised.
//!
//! Knows nothing of files; it is rebuilt from a snapshot and the batches after it.

use std::collections::{HashMap, VecDeque};

use crate::batch::BatchHeader;
use crate::limits::{PRODUCER_EXPIRES_MS, PRODUCERS_MAX, SEQUENCES_KEPT};

/// What to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sequence {
    /// Append it.
    Next,
    /// It is there already; answer with its first offset.
    Duplicate {
        /// Offset of its first record.
        base_offset: i64,
    },
    /// One before it is missing.
    OutOfOrder {
        /// The number that was due.
        expected: i32,
    },
    /// The producer was replaced by a newer one.
    StaleEpoch {
        /// The newer epoch.
        current: i16,
    },
}

/// The producers of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProducerTable {
    producers: HashMap<i64, Producer>,
}

/// What is told about a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownProducer {
    /// Its id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i16,
    /// The number of its last record.
    pub last_sequence: i32,
    /// When it last wrote.
    pub last_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    last_ms: i64,
    batches: VecDeque<Written>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written {
    first: i32,
    last: i32,
    base_offset: i64,
}

/// The number `delta` after `first`; after the largest comes 0.
fn advance(first: i32, delta: i32) -> i32 {
    ((i64::from(first) + i64::from(delta)) % (i64::from(i32::MAX) + 1)) as i32
}

impl ProducerTable {
    /// Decides about a batch. Batches without a producer are always next.
    pub fn check(&self, batch: &BatchHeader) -> Sequence {
        if !batch.is_idempotent() {
            return Sequence::Next;
        }
        // A producer not known here may begin anywhere: it was forgotten after long silence, or its records were deleted.
        let Some(known) = self.producers.get(&batch.producer_id) else { return Sequence::Next };
        if batch.producer_epoch < known.epoch {
            return Sequence::StaleEpoch { current: known.epoch };
        }
        if batch.producer_epoch > known.epoch {
            return if batch.base_sequence == 0 { Sequence::Next } else { Sequence::OutOfOrder { expected: 0 } };
        }
        let last = advance(batch.base_sequence, batch.last_offset_delta);
        if let Some(seen) = known.batches.iter().find(|w| w.first == batch.base_sequence && w.last == last) {
            return Sequence::Duplicate { base_offset: seen.base_offset };
        }
        match known.batches.back() {
            Some(newest) if advance(newest.last, 1) != batch.base_sequence => {
                Sequence::OutOfOrder { expected: advance(newest.last, 1) }
            }
            Some(_) | None => Sequence::Next,
        }
    }

    /// Remembers a batch that was appended.
    pub fn record(&mut self, batch: &BatchHeader, now_ms: i64) {
        if !batch.is_idempotent() {
            return;
        }
        if self.producers.len() >= PRODUCERS_MAX && !self.producers.contains_key(&batch.producer_id) {
            let oldest = self.producers.iter().min_by_key(|(id, p)| (p.last_ms, **id)).map(|(id, _)| *id);
            if let Some(id) = oldest {
                self.producers.remove(&id);
            }
        }
        let fresh = || Producer { epoch: batch.producer_epoch, last_ms: now_ms, batches: VecDeque::new() };
        let producer = self.producers.entry(batch.producer_id).or_insert_with(fresh);
        if producer.epoch != batch.producer_epoch {
            *producer = fresh();
        }
        producer.last_ms = now_ms;
        if producer.batches.len() == SEQUENCES_KEPT {
            producer.batches.pop_front();
        }
        producer.batches.push_back(Written {
            first: batch.base_sequence,
            last: advance(batch.base_sequence, batch.last_offset_delta),
            base_offset: batch.base_offset,
        });
    }

    /// Forgets who was silent too long.
    pub fn expire(&mut self, now_ms: i64) {
        self.producers.retain(|_, p| now_ms - p.last_ms < PRODUCER_EXPIRES_MS);
    }

    /// Everybody known, in order of id.
    pub fn list(&self) -> Vec<KnownProducer> {
        let known = |(id, p): (&i64, &Producer)| KnownProducer {
            id: *id,
            epoch: p.epoch,
            last_sequence: p.batches.back().map_or(-1, |w| w.last),
            last_ms: p.last_ms,
        };
        let mut all: Vec<_> = self.producers.iter().map(known).collect();
        all.sort_unstable_by_key(|p| p.id);
        all
    }

    /// Producers known.
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Nobody known.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// The table as bytes, for a checkpoint.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut ids: Vec<_> = self.producers.keys().copied().collect();
        ids.sort_unstable();
        out.extend_from_slice(&(ids.len() as u32).to_be_bytes());
        for id in ids {
            let p = &self.producers[&id];
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&p.epoch.to_be_bytes());
            out.extend_from_slice(&p.last_ms.to_be_bytes());
            out.push(p.batches.len() as u8);
            for w in &p.batches {
                out.extend_from_slice(&w.first.to_be_bytes());
                out.extend_from_slice(&w.last.to_be_bytes());
                out.extend_from_slice(&w.base_offset.to_be_bytes());
            }
        }
    }

    /// Reads what [`ProducerTable::encode`] wrote; none when the bytes are not that.
    pub fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let mut table = Self::default();
        for _ in 0..u32::from_be_bytes(take(bytes)?) {
            let id = i64::from_be_bytes(take(bytes)?);
            let epoch = i16::from_be_bytes(take(bytes)?);
            let last_ms = i64::from_be_bytes(take(bytes)?);
            let [n] = take::<1>(bytes)?;
            let mut batches = VecDeque::with_capacity(SEQUENCES_KEPT);
            for _ in 0..n {
                let first = i32::from_be_bytes(take(bytes)?);
                let last = i32::from_be_bytes(take(bytes)?);
                let base_offset = i64::from_be_bytes(take(bytes)?);
                batches.push_back(Written { first, last, base_offset });
            }
            table.producers.insert(id, Producer { epoch, last_ms, batches });
        }
        Some(table)
    }
}

/// Takes the next bytes off the front.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(epoch: i16, sequence: i32, count: i32, base_offset: i64) -> BatchHeader {
        BatchHeader {
            base_offset,
            size: 100,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id: 7,
            producer_epoch: epoch,
            base_sequence: sequence,
            count,
        }
    }

    fn table(batches: &[BatchHeader]) -> ProducerTable {
        let mut t = ProducerTable::default();
        for b in batches {
            assert_eq!(t.check(b), Sequence::Next);
            t.record(b, 0);
        }
        t
    }

    #[test]
    fn a_repeated_batch_gets_its_first_offset_back() {
        let t = table(&[batch(0, 0, 10, 100), batch(0, 10, 5, 110)]);
        assert_eq!(t.check(&batch(0, 0, 10, 0)), Sequence::Duplicate { base_offset: 100 });
        assert_eq!(t.check(&batch(0, 10, 5, 0)), Sequence::Duplicate { base_offset: 110 });
        assert_eq!(t.check(&batch(0, 15, 1, 0)), Sequence::Next);
    }

    #[test]
    fn a_gap_is_refused_and_so_is_an_old_epoch() {
        let t = table(&[batch(1, 0, 10, 100)]);
        assert_eq!(t.check(&batch(1, 11, 1, 0)), Sequence::OutOfOrder { expected: 10 });
        assert_eq!(t.check(&batch(0, 10, 1, 0)), Sequence::StaleEpoch { current: 1 });
        assert_eq!(t.check(&batch(2, 10, 1, 0)), Sequence::OutOfOrder { expected: 0 });
        assert_eq!(t.check(&batch(2, 0, 1, 0)), Sequence::Next);
    }

    #[test]
    fn numbers_wrap_to_zero() {
        let t = table(&[batch(0, i32::MAX - 1, 2, 5)]);
        assert_eq!(t.check(&batch(0, 0, 3, 0)), Sequence::Next);
        let t = table(&[batch(0, i32::MAX, 2, 5)]);
        assert_eq!(t.check(&batch(0, 1, 3, 0)), Sequence::Next);
    }

    #[test]
    fn five_batches_are_remembered() {
        let all: Vec<_> = (0..7).map(|i| batch(0, i, 1, i64::from(i))).collect();
        let t = table(&all);
        assert_eq!(t.check(&all[2]), Sequence::Duplicate { base_offset: 2 });
        assert_eq!(t.check(&all[1]), Sequence::OutOfOrder { expected: 7 });
    }

    #[test]
    fn the_snapshot_reads_back() {
        let t = table(&[batch(0, 0, 10, 100), batch(0, 10, 5, 110)]);
        let mut bytes = Vec::new();
        t.encode(&mut bytes);
        assert_eq!(ProducerTable::decode(&mut &bytes[..]), Some(t));
        assert_eq!(ProducerTable::decode(&mut &bytes[..bytes.len() - 1]), None);
    }
}
