//! Compaction: of each key only the last record stays.
//!
//! Closed segments are read twice: once to learn where each key stands last, once to copy what stays into a new
//! segment that replaces several old ones. Offsets stay what they were. Runs beside reading and appending; only putting
//! a new segment in its place happens on the writer thread.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tracing::info;

use crate::log::checkpoint::{replace_file, sync_folder};
use crate::log::partition::Partition;
use crate::log::segment::{Segment, SegmentId, Walk, encode_index, scan};
use crate::log::writer::Writer;
use crate::records::{self, Raw};
use crate::topic::TopicConfig;

/// Keys of one run: about 50 bytes of memory each.
const KEYS_MAX: usize = 4_000_000;

/// A key as 128 bits: the hash keys are random, so nobody can make two keys collide.
struct Keys {
    hashers: [RandomState; 2],
    last: HashMap<(u64, u64), i64>,
}

impl Keys {
    fn name(&self, key: &Bytes) -> (u64, u64) {
        (self.hashers[0].hash_one(key), self.hashers[1].hash_one(key))
    }
}

/// Compacts the closed segments of a partition if enough has come since the last time. Blocks.
pub fn compact(partition: &Arc<Partition>, writer: &Writer, settings: &TopicConfig, now_ms: i64, segment_bytes: u64) -> io::Result<()> {
    if partition.open_segment_older_than(now_ms - settings.segment_ms()) {
        partition.close_on(writer);
    }
    let lag = settings.compaction_lag_ms();
    let closed = partition.closed_segments(now_ms - lag);
    let bytes: u64 = closed.iter().map(|(_, size)| size).sum();
    let dirty: u64 = closed.iter().filter(|(id, _)| id.generation == 0).map(|(_, size)| size).sum();
    if dirty == 0 || (dirty as f64) < settings.dirty_ratio() * bytes as f64 {
        return Ok(());
    }
    // A start must not look for its place in a segment that is about to be replaced.
    partition.checkpoint()?;
    let mut keys = Keys { hashers: [RandomState::new(), RandomState::new()], last: HashMap::new() };
    let mut readable = 0;
    for (id, size) in &closed {
        learn(partition, *id, *size, &mut keys)?;
        readable += 1;
        if keys.last.len() >= KEYS_MAX {
            break;
        }
    }
    let closed = &closed[..readable];
    let marks_until = now_ms - settings.delete_retention_ms();
    let mut after = 0;
    let mut output: Option<Output> = None;
    for (i, (id, size)) in closed.iter().enumerate() {
        // Several become one while there is room.
        if output.as_ref().is_some_and(|o| o.segment.size > 0 && o.segment.size + size > segment_bytes) {
            after += output.take().map_or(Ok(0), |o| o.finish(partition, writer))?;
        }
        let out = match &mut output {
            Some(out) => out,
            None => output.insert(Output::begin(partition, *id)?),
        };
        out.add(partition, *id, *size, &keys, marks_until, i + 1 == closed.len())?;
    }
    after += output.take().map_or(Ok(0), |o| o.finish(partition, writer))?;
    info!(topic = %partition.topic, partition = partition.index, before = bytes, after, keys = keys.last.len(), "compacted a partition");
    Ok(())
}

fn each_batch(partition: &Partition, id: SegmentId, size: u64, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let file = partition.env().files.get(&id.log_path(partition.dir()))?;
    let mut failed = None;
    // With checking, because then each batch comes whole.
    let end = scan(&file, 0, size, true, |_, _, bytes| match each(bytes) {
        Ok(()) => Walk::On,
        Err(e) => {
            failed = Some(e);
            Walk::Stop
        }
    })?;
    match failed {
        Some(e) => Err(e),
        None if end < size => Err(io::Error::new(io::ErrorKind::InvalidData, format!("a damaged batch at {end} of {}", id.log_path(partition.dir()).display()))),
        None => Ok(()),
    }
}

fn learn(partition: &Partition, id: SegmentId, size: u64, keys: &mut Keys) -> io::Result<()> {
    each_batch(partition, id, size, |bytes| {
        for record in records::read(&Bytes::copy_from_slice(bytes)).unwrap_or_default() {
            if let Some(key) = &record.key {
                let name = keys.name(key);
                keys.last.insert(name, record.offset);
            }
        }
        Ok(())
    })
}

/// A new segment for several old ones.
struct Output {
    unfinished: PathBuf,
    file: File,
    segment: Segment,
    replaces: Vec<SegmentId>,
}

impl Output {
    fn begin(partition: &Partition, first: SegmentId) -> io::Result<Self> {
        let unfinished = partition.dir().join(format!("{:020}.cleaned", first.base));
        let file = File::create(&unfinished)?;
        Ok(Self { unfinished, file, segment: Segment::new(first.base), replaces: Vec::new() })
    }

    fn add(&mut self, partition: &Partition, from: SegmentId, size: u64, keys: &Keys, marks_until: i64, is_last: bool) -> io::Result<()> {
        let mut at = 0;
        each_batch(partition, from, size, |bytes| {
            at += bytes.len() as u64;
            // The very last batch stays as it is, so that the end of the log never has a gap.
            let kept = if is_last && at == size { Some(Bytes::copy_from_slice(bytes)) } else { choose(bytes, keys, marks_until) };
            if let Some(kept) = kept {
                self.file.write_all(&kept)?;
                if let Some(header) = crate::batch::BatchHeader::parse(&kept) {
                    self.segment.grow(&header);
                }
            }
            Ok(())
        })?;
        self.replaces.push(from);
        Ok(())
    }

    /// Puts it in the place of the old ones. Answers its size.
    fn finish(mut self, partition: &Arc<Partition>, writer: &Writer) -> io::Result<u64> {
        let generation = self.replaces.iter().map(|id| id.generation).max().unwrap_or(0) + 1;
        let end = self.replaces.last().map_or(0, |last| partition.segment_end(*last));
        self.segment.id = SegmentId { base: self.segment.id.base, generation, end };
        self.file.sync_all()?;
        replace_file(&self.segment.id.index_path(partition.dir()), &encode_index(&self.segment), false)?;
        std::fs::rename(&self.unfinished, self.segment.id.log_path(partition.dir()))?;
        sync_folder(partition.dir())?;
        let size = self.segment.size;
        partition.replace_on(writer, self.replaces, self.segment);
        Ok(size)
    }
}

/// What stays of a batch; none when nothing does.
fn choose(bytes: &[u8], keys: &Keys, marks_until: i64) -> Option<Bytes> {
    let batch = Bytes::copy_from_slice(bytes);
    // What cannot be read is not ours to drop.
    let Some(all) = records::read(&batch) else { return Some(batch) };
    let stays = |r: &&Raw| match &r.key {
        Some(key) => {
            let newest = keys.last.get(&keys.name(key)).is_none_or(|last| *last <= r.offset);
            newest && (r.value.is_some() || r.timestamp >= marks_until)
        }
        None => true,
    };
    let kept: Vec<&Raw> = all.iter().filter(stays).collect();
    match kept.len() {
        0 => None,
        n if n == all.len() => Some(batch),
        _ => records::keep(&batch, &kept).or(Some(batch)),
    }
}
