//! One partition: its segments, its offsets, its newest batches in memory, and who waits for more.
//!
//! Only the writer thread appends. Everybody may read up to the high watermark, which is the end of what is
//! acknowledged. The lock is held for looking things up, never while a file is read or written.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, RwLock, Weak};

use bytes::Bytes;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::batch::{self, BatchHeader};
use crate::disk::Disk;
use crate::log::checkpoint::{Checkpoint, replace_file, sync_folder};
use crate::log::files::Files;
use crate::log::segment::{self, Segment, SegmentId, Walk};
use crate::log::writer::Writer;
use crate::producer_state::{KnownProducer, ProducerTable, Sequence};
use crate::sync::lock;
use crate::topic::TopicConfig;

/// There is no replication, so the leader never changes.
pub const LEADER_EPOCH: i32 = 0;

/// What all partitions share.
#[derive(Debug)]
pub struct Env {
    /// Open files.
    pub files: Files,
    /// Space.
    pub disk: Disk,
}

/// One partition of a topic.
#[derive(Debug)]
pub struct Partition {
    /// Name of the topic.
    pub topic: Arc<str>,
    /// Identity of the topic.
    pub topic_id: u128,
    /// Number of the partition.
    pub index: i32,
    dir: PathBuf,
    config: Arc<RwLock<TopicConfig>>,
    env: Arc<Env>,
    state: Mutex<State>,
    high_watermark: AtomicI64,
    deleted: AtomicBool,
    waiters: Mutex<Vec<Weak<Notify>>>,
}

#[derive(Debug)]
struct State {
    log_start: i64,
    end: i64,
    /// Oldest first; the last is written to. Empty until the first append.
    segments: Vec<Segment>,
    /// Segments written since their last sync.
    unsynced: BTreeSet<SegmentId>,
    /// A file was created since the folder's last sync.
    new_names: bool,
    /// Bytes since the last checkpoint, and whether anything else in it has changed.
    since_checkpoint: u64,
    stale_checkpoint: bool,
    producers: ProducerTable,
    tail: VecDeque<Cached>,
}

#[derive(Debug, Clone)]
struct Cached {
    base: i64,
    last: i64,
    bytes: Bytes,
}

/// Why an append was refused.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The topic is gone.
    #[error("the topic was deleted")]
    Deleted,
    /// Idempotence: a batch is missing.
    #[error("the producer's sequence number is {got}, but {expected} was due")]
    OutOfOrder {
        /// Number due.
        expected: i32,
        /// Number sent.
        got: i32,
    },
    /// Idempotence: a newer producer took over.
    #[error("the producer's epoch {got} was replaced by {current}")]
    StaleEpoch {
        /// Newest epoch.
        current: i16,
        /// Epoch sent.
        got: i16,
    },
    /// The disk.
    #[error("could not append to {path}")]
    Storage {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The broker stops.
    #[error("the broker is stopping")]
    Stopping,
}

/// What an append did.
#[derive(Debug, Clone)]
pub enum Append {
    /// Written; the numbered batch goes into the write-ahead file.
    Written {
        /// Offset of the first record.
        base_offset: i64,
        /// The batch with its numbers.
        bytes: Bytes,
        /// The broker's time, where the topic wants it.
        log_append_ms: i64,
        /// A segment was closed before this append; its checkpoint is due.
        rolled: bool,
    },
    /// It was there before.
    Duplicate {
        /// Offset of its first record.
        base_offset: i64,
    },
}

/// Where records for a reader are.
#[derive(Debug)]
pub enum Read {
    /// Below the first or beyond the last offset.
    OutOfRange,
    /// Nothing to read yet.
    AtEnd,
    /// In memory.
    Cached(Vec<Bytes>),
    /// In files: call [`Partition::read_file`] where blocking is allowed.
    File,
}

/// First, acknowledged and next offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// First offset that may be read.
    pub log_start: i64,
    /// Offset after the last acknowledged record.
    pub high_watermark: i64,
}

impl Partition {
    /// Opens a partition: repairs its tail and reads what its checkpoint does not tell. A folder that does not exist is
    /// an empty partition; it is created by the first append.
    pub fn open(
        dir: PathBuf,
        topic: Arc<str>,
        topic_id: u128,
        index: i32,
        config: Arc<RwLock<TopicConfig>>,
        env: Arc<Env>,
    ) -> io::Result<Self> {
        let state = recover(&dir, &topic, index)?;
        Ok(Self {
            topic,
            topic_id,
            index,
            dir,
            config,
            env,
            high_watermark: AtomicI64::new(state.end),
            state: Mutex::new(state),
            deleted: AtomicBool::new(false),
            waiters: Mutex::new(Vec::new()),
        })
    }

    /// What may be read.
    pub fn bounds(&self) -> Bounds {
        Bounds { log_start: lock(&self.state).log_start, high_watermark: self.high_watermark() }
    }

    /// Offset after the last acknowledged record.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark.load(Ordering::Acquire)
    }

    /// Offset that the next append gets.
    pub fn end(&self) -> i64 {
        lock(&self.state).end
    }

    /// Bytes in segments.
    pub fn size(&self) -> u64 {
        lock(&self.state).segments.iter().map(|s| s.size).sum()
    }

    /// The topic's settings.
    pub fn config(&self) -> TopicConfig {
        self.config.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether its topic was deleted.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    /// Refuses appends from now on and wakes everybody who waits.
    pub fn delete(&self) {
        self.deleted.store(true, Ordering::Release);
        lock(&self.state).tail.clear();
        self.wake();
    }

    /// Appends a checked batch. Only the writer thread calls this.
    pub fn append(&self, header: &BatchHeader, sent: &[u8], now_ms: i64, segment_bytes: u64) -> Result<Append, AppendError> {
        if self.is_deleted() {
            return Err(AppendError::Deleted);
        }
        let (base_offset, active) = {
            let state = lock(&self.state);
            match state.producers.check(header) {
                Sequence::Next => {}
                Sequence::Duplicate { base_offset } => return Ok(Append::Duplicate { base_offset }),
                Sequence::OutOfOrder { expected } => {
                    return Err(AppendError::OutOfOrder { expected, got: header.base_sequence });
                }
                Sequence::StaleEpoch { current } => {
                    return Err(AppendError::StaleEpoch { current, got: header.producer_epoch });
                }
            }
            (state.end, state.segments.last().map(|s| (s.id, s.size)))
        };
        let segment_bytes = self.segment_bytes(segment_bytes);
        let mut bytes = batch::number(sent, base_offset, LEADER_EPOCH);
        let mut header = BatchHeader { base_offset, ..*header };
        let mut log_append_ms = -1;
        if self.log_append_time() {
            batch::stamp(&mut bytes, now_ms);
            header.max_timestamp = now_ms;
            log_append_ms = now_ms;
        }
        let rolled = match active {
            // What compaction has written is not written to again.
            Some((id, size)) if size > 0 && (id.generation > 0 || size + bytes.len() as u64 > segment_bytes) => {
                self.roll();
                true
            }
            Some(_) | None => false,
        };
        self.write(&header, &bytes)?;
        let bytes = Bytes::from(bytes);
        self.note(&header, now_ms);
        let cached = Cached { base: header.base_offset, last: header.last_offset(), bytes: bytes.clone() };
        lock(&self.state).tail.push_back(cached);
        Ok(Append::Written { base_offset, bytes, log_append_ms, rolled })
    }

    /// Appends a batch that was numbered before: an entry of the write-ahead file that the segment lacks. Answers
    /// whether it was lacking.
    pub fn restore(&self, header: &BatchHeader, bytes: Bytes) -> Result<bool, AppendError> {
        let end = self.end();
        if header.base_offset < end {
            return Ok(false);
        }
        if header.base_offset > end {
            error!(topic = %self.topic, partition = self.index, have = end, found = header.base_offset,
                "write-ahead entry does not continue the partition; it is left out");
            return Ok(false);
        }
        self.write(header, &bytes)?;
        self.note(header, header.max_timestamp);
        self.high_watermark.store(header.next_offset(), Ordering::Release);
        Ok(true)
    }

    fn segment_bytes(&self, default: u64) -> u64 {
        self.config.read().unwrap_or_else(std::sync::PoisonError::into_inner).segment_bytes(default)
    }

    fn log_append_time(&self) -> bool {
        self.config.read().unwrap_or_else(std::sync::PoisonError::into_inner).log_append_time()
    }

    fn write(&self, header: &BatchHeader, bytes: &[u8]) -> Result<(), AppendError> {
        let (id, size) = {
            let mut state = lock(&self.state);
            if state.segments.is_empty() {
                state.segments.push(Segment::new(header.base_offset));
                state.new_names = true;
            }
            let active = &state.segments[state.segments.len() - 1];
            (active.id, active.size)
        };
        let path = id.log_path(&self.dir);
        let storage = |source| AppendError::Storage { path: path.clone(), source };
        let file = self.env.files.create(&path).map_err(storage)?;
        let written = self.env.disk.take(bytes.len()).and_then(|()| file.write_all_at(bytes, size));
        if let Err(source) = written {
            // What was written in part must not stand where the next batch goes.
            if let Err(e) = file.set_len(size) {
                warn!(path = %path.display(), error = %e, "could not cut off a part of a batch");
            }
            return Err(storage(source));
        }
        Ok(())
    }

    fn note(&self, header: &BatchHeader, now_ms: i64) {
        let mut state = lock(&self.state);
        let Some(active) = state.segments.last_mut() else { unreachable!("a batch was written to a segment") };
        active.grow(header);
        let id = active.id;
        state.unsynced.insert(id);
        state.since_checkpoint += header.size as u64;
        state.end = header.next_offset();
        state.producers.record(header, now_ms);
    }

    /// Closes the segment that is written to.
    fn roll(&self) {
        let mut state = lock(&self.state);
        let end = state.end;
        if let Some(active) = state.segments.last_mut() {
            let path = active.id.index_path(&self.dir);
            if let Err(e) = replace_file(&path, &segment::encode_index(active), false) {
                // The index is rebuilt from the segment when it is missing.
                warn!(path = %path.display(), error = %e, "could not write the index of a segment");
            }
        }
        state.segments.push(Segment::new(end));
        state.new_names = true;
    }

    /// Makes everything before `offset` visible to consumers and wakes those who wait.
    pub fn acknowledge(&self, offset: i64) {
        if self.high_watermark.fetch_max(offset, Ordering::AcqRel) < offset {
            self.wake();
        }
    }

    fn wake(&self) {
        for waiter in lock(&self.waiters).drain(..) {
            if let Some(notify) = waiter.upgrade() {
                notify.notify_one();
            }
        }
    }

    /// Wakes `notify` once at the next acknowledged append.
    pub fn wait(&self, notify: &Arc<Notify>) {
        let mut waiters = lock(&self.waiters);
        if waiters.len() >= 8 {
            waiters.retain(|w| w.strong_count() > 0);
        }
        waiters.push(Arc::downgrade(notify));
    }

    /// Forgets the oldest batch in memory if it is the one that begins at `base`.
    pub fn evict(&self, base: i64) {
        let mut state = lock(&self.state);
        if state.tail.front().is_some_and(|c| c.base <= base) {
            state.tail.pop_front();
        }
    }

    /// Looks for records from `offset` on, at most `max_bytes` but at least one batch.
    pub fn read(&self, offset: i64, max_bytes: usize) -> Read {
        let high_watermark = self.high_watermark();
        let state = lock(&self.state);
        if offset < state.log_start || offset > state.end {
            return Read::OutOfRange;
        }
        if offset >= high_watermark {
            return Read::AtEnd;
        }
        match state.tail.front() {
            Some(front) if front.base <= offset => {}
            Some(_) | None => return Read::File,
        }
        let first = state.tail.partition_point(|c| c.last < offset);
        let mut bytes = 0;
        let mut batches = Vec::new();
        for cached in state.tail.range(first..) {
            if cached.base >= high_watermark || (bytes > 0 && bytes + cached.bytes.len() > max_bytes) {
                break;
            }
            bytes += cached.bytes.len();
            batches.push(cached.bytes.clone());
        }
        Read::Cached(batches)
    }

    /// Reads records from the files: whole batches, at least one, unless the offset is at the end. Blocks.
    pub fn read_file(&self, offset: i64, max_bytes: usize) -> io::Result<Bytes> {
        // A segment may be replaced or removed between looking it up and opening it; then look again.
        for _ in 0..8 {
            match self.try_read_file(offset, max_bytes) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && !self.is_deleted() => {}
                answer => return answer,
            }
        }
        self.try_read_file(offset, max_bytes)
    }

    fn try_read_file(&self, offset: i64, max_bytes: usize) -> io::Result<Bytes> {
        let high_watermark = self.high_watermark();
        let mut from_segment = offset;
        loop {
            let Some((id, size, next)) = self.segment_at(from_segment) else { return Ok(Bytes::new()) };
            self.load_places(id)?;
            let start = {
                let state = lock(&self.state);
                state.segments.iter().find(|s| s.id == id).map_or(0, |s| s.position_before(offset))
            };
            let file = self.env.files.get(&id.log_path(&self.dir))?;
            let found = read_batches(&file, start, size, offset, high_watermark, max_bytes)?;
            if !found.is_empty() {
                return Ok(found);
            }
            // Compaction may have emptied the end of a segment.
            match next {
                Some(next) => from_segment = next,
                None => return Ok(Bytes::new()),
            }
        }
    }

    /// The segment that would hold an offset, its size, and the base of the one after it.
    fn segment_at(&self, offset: i64) -> Option<(SegmentId, u64, Option<i64>)> {
        let state = lock(&self.state);
        let after = state.segments.partition_point(|s| s.id.base <= offset);
        let at = after.saturating_sub(1);
        let found = state.segments.get(at)?;
        Some((found.id, found.size, state.segments.get(at + 1).map(|s| s.id.base)))
    }

    /// Reads the index of a closed segment into memory, or rebuilds it.
    fn load_places(&self, id: SegmentId) -> io::Result<()> {
        let known = {
            let state = lock(&self.state);
            state.segments.iter().find(|s| s.id == id).map(|s| (s.places.is_some(), s.size))
        };
        let Some((false, size)) = known else { return Ok(()) };
        let path = id.index_path(&self.dir);
        let stored = std::fs::read(&path).ok().and_then(|b| segment::decode_index(&b)).filter(|(head, _)| head.size == size);
        let (max_timestamp, places) = match stored {
            Some((head, places)) => (head.max_timestamp, places),
            None => {
                let mut rebuilt = Segment { size: 0, ..Segment::new(id.base) };
                rebuilt.id = id;
                let file = self.env.files.get(&id.log_path(&self.dir))?;
                segment::scan(&file, 0, size, false, |_, header, _| {
                    rebuilt.grow(header);
                    Walk::On
                })?;
                replace_file(&path, &segment::encode_index(&rebuilt), false)?;
                (rebuilt.max_timestamp, rebuilt.places.unwrap_or_default())
            }
        };
        let mut state = lock(&self.state);
        if let Some(segment) = state.segments.iter_mut().find(|s| s.id == id && s.size == size) {
            segment.places = Some(places);
            segment.max_timestamp = max_timestamp;
        }
        Ok(())
    }

    /// The first batch whose largest timestamp reaches `timestamp`. Blocks.
    pub fn batch_at_time(&self, timestamp: i64) -> io::Result<Option<Bytes>> {
        let high_watermark = self.high_watermark();
        let (log_start, ids): (i64, Vec<_>) = {
            let state = lock(&self.state);
            (state.log_start, state.segments.iter().map(|s| (s.id, s.size, s.max_timestamp)).collect())
        };
        for (id, size, max_timestamp) in ids {
            if max_timestamp < timestamp || size == 0 {
                continue;
            }
            self.load_places(id)?;
            let start = {
                let state = lock(&self.state);
                state.segments.iter().find(|s| s.id == id).map_or(0, |s| s.position_before_time(timestamp))
            };
            let file = self.env.files.get(&id.log_path(&self.dir))?;
            let mut found = None;
            segment::scan(&file, start, size, false, |position, header, _| {
                if header.base_offset >= high_watermark {
                    return Walk::Stop;
                }
                if header.max_timestamp >= timestamp && header.last_offset() >= log_start {
                    found = Some((position, header.size));
                    return Walk::Stop;
                }
                Walk::On
            })?;
            if let Some((position, bytes)) = found {
                let mut batch = vec![0; bytes];
                file.read_exact_at(&mut batch, position)?;
                return Ok(Some(batch.into()));
            }
        }
        Ok(None)
    }

    /// Largest timestamp in the log, or -1.
    pub fn max_timestamp(&self) -> i64 {
        lock(&self.state).segments.iter().map(|s| s.max_timestamp).max().unwrap_or(-1)
    }

    /// Syncs what was written, so that the write-ahead file is not needed for it any more, and writes a checkpoint.
    pub fn checkpoint(&self) -> io::Result<()> {
        if self.is_deleted() {
            return Ok(());
        }
        let (pending, due) = {
            let mut state = lock(&self.state);
            let due = (state.since_checkpoint > 0 || state.stale_checkpoint).then(|| {
                let active = state.segments.last();
                let index = active.map(|s| (s.id, segment::encode_index(s)));
                let active = active.map_or((SegmentId { base: state.end, generation: 0, end: 0 }, 0), |s| (s.id, s.size));
                let checkpoint = Checkpoint {
                    log_start: state.log_start,
                    segment: active.0,
                    position: active.1,
                    end: state.end,
                    producers: state.producers.clone(),
                };
                (checkpoint, index, state.stale_checkpoint)
            });
            state.since_checkpoint = 0;
            state.stale_checkpoint = false;
            ((std::mem::take(&mut state.unsynced), std::mem::take(&mut state.new_names)), due)
        };
        let done = self.sync(&pending.0, pending.1).and_then(|()| match &due {
            Some((checkpoint, index, durable)) => {
                std::fs::create_dir_all(&self.dir)?;
                if let Some((id, index)) = index {
                    replace_file(&id.index_path(&self.dir), index, false)?;
                }
                checkpoint.write(&self.dir, *durable)
            }
            None => Ok(()),
        });
        match done {
            Err(e) if !self.is_deleted() => {
                let mut state = lock(&self.state);
                state.unsynced.extend(pending.0);
                state.new_names |= pending.1;
                state.stale_checkpoint |= due.is_some();
                Err(e)
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Bytes appended since the last checkpoint.
    pub fn since_checkpoint(&self) -> u64 {
        lock(&self.state).since_checkpoint
    }

    /// Whether a checkpoint would say anything new.
    pub fn wants_checkpoint(&self) -> bool {
        let state = lock(&self.state);
        state.since_checkpoint > 0 || state.stale_checkpoint
    }

    fn sync(&self, ids: &BTreeSet<SegmentId>, new_names: bool) -> io::Result<()> {
        for id in ids {
            match self.env.files.get(&id.log_path(&self.dir)) {
                Ok(file) => file.sync_data()?,
                // Retention was faster.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        if new_names && self.dir.exists() {
            sync_folder(&self.dir)?;
            if let Some(parent) = self.dir.parent() {
                sync_folder(parent)?;
            }
        }
        Ok(())
    }

    /// Moves the first readable offset forward (`DeleteRecords`). Answers where it is now, none when out of range.
    pub fn delete_before(&self, offset: i64) -> Option<i64> {
        let high_watermark = self.high_watermark();
        let mut state = lock(&self.state);
        let offset = if offset == -1 { high_watermark } else { offset };
        if offset < state.log_start || offset > high_watermark {
            return (offset >= 0 && offset < state.log_start).then_some(state.log_start);
        }
        state.log_start = offset;
        state.stale_checkpoint = true;
        while state.tail.front().is_some_and(|c| c.last < offset) {
            state.tail.pop_front();
        }
        Some(offset)
    }

    /// Removes closed segments that are too old, too many, or wholly before the first readable offset; done when this
    /// returns. Blocks.
    pub fn retain_on(self: &Arc<Self>, writer: &Writer, now_ms: i64, retention_ms: Option<i64>, retention_bytes: Option<u64>) {
        let (tell, told) = std::sync::mpsc::channel();
        let this = self.clone();
        writer.run(move || {
            // Whoever asked waits.
            let _ = tell.send(this.retire(now_ms, retention_ms, retention_bytes));
        });
        // Without an answer the broker stops.
        let gone = told.recv().unwrap_or_default();
        if gone.is_empty() {
            return;
        }
        // The new start is durable before the files go, so that a start never finds records to be missing.
        if let Err(e) = self.checkpoint() {
            warn!(topic = %self.topic, partition = self.index, error = %e, "could not write a checkpoint before removing segments");
        }
        for id in &gone {
            self.remove_segment(*id);
        }
        info!(topic = %self.topic, partition = self.index, segments = gone.len(), log_start = self.bounds().log_start, "removed old segments");
    }

    /// Takes the segments that are to go out of the partition. Runs on the writer thread, so that no append interferes.
    fn retire(&self, now_ms: i64, retention_ms: Option<i64>, retention_bytes: Option<u64>) -> Vec<SegmentId> {
        if self.is_deleted() {
            return Vec::new();
        }
        let high_watermark = self.high_watermark();
        // Without this the newest segment would keep old records for ever on a quiet topic.
        let active_expired = {
            let state = lock(&self.state);
            let expired = |s: &Segment| s.size > 0 && retention_ms.is_some_and(|ms| s.max_timestamp >= 0 && s.max_timestamp < now_ms - ms);
            state.end == high_watermark && state.segments.last().is_some_and(expired)
        };
        if active_expired {
            self.roll();
        }
        let mut state = lock(&self.state);
        let mut gone = Vec::new();
        let mut bytes: u64 = state.segments.iter().map(|s| s.size).sum();
        while state.segments.len() > 1 {
            let (oldest, next) = (&state.segments[0], state.segments[1].id.base);
            let old = retention_ms.is_some_and(|ms| oldest.max_timestamp >= 0 && oldest.max_timestamp < now_ms - ms);
            let much = retention_bytes.is_some_and(|max| bytes - oldest.size >= max);
            let before = next <= state.log_start;
            if next > high_watermark || !(old || much || before) {
                break;
            }
            let oldest = state.segments.remove(0);
            bytes -= oldest.size;
            state.unsynced.remove(&oldest.id);
            state.log_start = state.log_start.max(next);
            gone.push(oldest.id);
        }
        let log_start = state.log_start;
        while state.tail.front().is_some_and(|c| c.last < log_start) {
            state.tail.pop_front();
        }
        state.stale_checkpoint |= !gone.is_empty();
        gone
    }

    /// Whether [`Partition::retain_on`] would have something to do, without disturbing the writer.
    pub fn may_retire(&self, now_ms: i64, retention_ms: Option<i64>, retention_bytes: Option<u64>) -> bool {
        let state = lock(&self.state);
        let old = |s: &Segment| s.size > 0 && retention_ms.is_some_and(|ms| s.max_timestamp >= 0 && s.max_timestamp < now_ms - ms);
        let bytes: u64 = state.segments.iter().map(|s| s.size).sum();
        let first_size = state.segments.first().map_or(0, |s| s.size);
        let before = state.segments.get(1).is_some_and(|next| next.id.base <= state.log_start);
        let much = state.segments.len() > 1 && retention_bytes.is_some_and(|max| bytes - first_size >= max);
        state.segments.first().is_some_and(old) || much || before
    }

    fn remove_segment(&self, id: SegmentId) {
        let (log, index) = (id.log_path(&self.dir), id.index_path(&self.dir));
        self.env.files.forget(&log);
        for path in [log, index] {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    warn!(path = %path.display(), error = %e, "could not remove a segment");
                }
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// The idempotent producers.
    pub fn producers(&self) -> Vec<KnownProducer> {
        lock(&self.state).producers.list()
    }

    /// Forgets producers that were silent too long.
    pub fn expire_producers(&self, now_ms: i64) {
        lock(&self.state).producers.expire(now_ms);
    }

    /// The closed segments, oldest first, up to the first that holds something newer than `until_ms` or not acknowledged.
    pub fn closed_segments(&self, until_ms: i64) -> Vec<(SegmentId, u64)> {
        let high_watermark = self.high_watermark();
        let state = lock(&self.state);
        let pairs = state.segments.iter().zip(state.segments.iter().skip(1));
        pairs
            .take_while(|(s, next)| s.max_timestamp <= until_ms && next.id.base <= high_watermark)
            .map(|(s, _)| (s.id, s.size))
            .collect()
    }

    /// Whether the segment that is written to holds anything, and nothing newer than `until_ms`.
    pub fn open_segment_older_than(&self, until_ms: i64) -> bool {
        let state = lock(&self.state);
        state.segments.last().is_some_and(|s| s.size > 0 && s.max_timestamp < until_ms)
    }

    /// Closes the segment that is written to if it holds anything; done when this returns.
    pub fn close_on(self: &Arc<Self>, writer: &Writer) {
        let this = self.clone();
        writer.run(move || {
            let holds = lock(&this.state).segments.last().is_some_and(|s| s.size > 0);
            if holds && !this.is_deleted() {
                this.roll();
            }
        });
        writer.barrier();
    }

    /// The offset after a closed segment.
    pub fn segment_end(&self, id: SegmentId) -> i64 {
        let state = lock(&self.state);
        let after = state.segments.partition_point(|s| s.id.base <= id.base);
        state.segments.get(after).map_or(state.end, |s| s.id.base)
    }

    /// Puts a compacted segment in the place of those it was made from, between two appends; done when this returns.
    pub fn replace_on(self: &Arc<Self>, writer: &Writer, old: Vec<SegmentId>, new: Segment) {
        let this = self.clone();
        writer.run(move || this.replace(&old, new));
        writer.barrier();
    }

    fn replace(&self, old: &[SegmentId], new: Segment) {
        let whole = {
            let mut state = lock(&self.state);
            let at = state.segments.iter().position(|s| Some(&s.id) == old.first());
            let whole = at.filter(|at| state.segments[*at..].iter().map(|s| s.id).take(old.len()).eq(old.iter().copied()));
            if let Some(at) = whole {
                state.segments.splice(at..at + old.len(), [new.clone()]);
                for id in old {
                    state.unsynced.remove(id);
                }
                // Batches in memory may be ones that compaction dropped.
                state.tail.clear();
            }
            whole.is_some()
        };
        if whole {
            for id in old {
                self.remove_segment(*id);
            }
        } else {
            // Retention or a deletion was faster.
            self.remove_segment(new.id);
        }
    }

    /// The environment, for compaction.
    pub fn env(&self) -> &Arc<Env> {
        &self.env
    }
}

/// Reads whole batches that hold `offset` or come after it.
fn read_batches(file: &std::fs::File, start: u64, size: u64, offset: i64, high_watermark: i64, max_bytes: usize) -> io::Result<Bytes> {
    let (mut from, mut to) = (None, start);
    segment::scan_headers(file, start, size, |position, header| {
        if header.base_offset >= high_watermark {
            return Walk::Stop;
        }
        if header.last_offset() < offset {
            return Walk::On;
        }
        let first = *from.get_or_insert(position);
        let end = position + header.size as u64;
        if to > first && end - first > max_bytes as u64 {
            return Walk::Stop;
        }
        to = end;
        if end - first >= max_bytes as u64 { Walk::Stop } else { Walk::On }
    })?;
    let Some(from) = from else { return Ok(Bytes::new()) };
    let mut bytes = vec![0; (to - from) as usize];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes.into())
}

/// Finds out what a partition holds after a stop of whatever kind.
fn recover(dir: &Path, topic: &str, index: i32) -> io::Result<State> {
    let ids = list_segments(dir)?;
    let checkpoint = Checkpoint::read(dir);
    let mut state = State {
        log_start: 0,
        end: 0,
        segments: Vec::new(),
        unsynced: BTreeSet::new(),
        new_names: false,
        since_checkpoint: 0,
        stale_checkpoint: false,
        producers: ProducerTable::default(),
        tail: VecDeque::new(),
    };
    // From where the files have to be read: everything before was on the disk when the checkpoint was written.
    let mut scan_from = (i64::MIN, 0);
    if let Some(c) = &checkpoint {
        (state.log_start, state.end) = (c.log_start, c.end);
        let usable = match ids.iter().find(|id| id.base == c.segment.base) {
            Some(id) => std::fs::metadata(id.log_path(dir))?.len() >= c.position || id.generation != c.segment.generation,
            None => c.position == 0,
        };
        if usable {
            state.producers = c.producers.clone();
            scan_from = (c.segment.base, c.position);
        } else {
            error!(topic, partition = index, "a segment is shorter than its checkpoint says; reading everything");
            state.end = ids.first().map_or(c.log_start, |first| first.base);
        }
    } else if let Some(first) = ids.first() {
        (state.log_start, state.end) = (first.base, first.base);
    }
    let mut torn = None;
    for (i, id) in ids.iter().enumerate() {
        let path = id.log_path(dir);
        if torn.is_some() {
            // It was written after something that did not reach the disk, so nobody was told that it is safe.
            warn!(topic, partition = index, path = %path.display(), "set aside a segment after a torn one");
            std::fs::rename(&path, path.with_extension("torn"))?;
            continue;
        }
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&path)?;
        let length = file.metadata()?.len();
        let last = i + 1 == ids.len();
        let mut segment = Segment { id: *id, ..Segment::new(id.base) };
        if id.base < scan_from.0 && !last {
            segment.size = length;
            segment.places = None;
            segment.max_timestamp = match segment::read_index_head(&id.index_path(dir)) {
                Some(head) if head.size == length => head.max_timestamp,
                Some(_) | None => {
                    segment.size = 0;
                    segment.places = Some(Vec::new());
                    segment::scan(&file, 0, length, false, |_, header, _| {
                        segment.grow(header);
                        Walk::On
                    })?;
                    segment.max_timestamp
                }
            };
            state.segments.push(segment);
            continue;
        }
        let trusted = match id.base.cmp(&scan_from.0) {
            std::cmp::Ordering::Less => length,
            std::cmp::Ordering::Equal if id.generation > 0 => length,
            std::cmp::Ordering::Equal => scan_from.1.min(length),
            std::cmp::Ordering::Greater => 0,
        };
        read_trusted(&file, dir, &mut segment, trusted)?;
        let mut expected = state.end.max(id.base);
        let now = crate::sync::now_ms();
        let good = segment::scan(&file, segment.size, length, true, |_, header, _| {
            if header.base_offset < expected {
                return Walk::Stop;
            }
            segment.grow(header);
            state.producers.record(header, header.max_timestamp.min(now));
            expected = header.next_offset();
            Walk::On
        })?;
        state.end = expected;
        if good < length {
            warn!(topic, partition = index, path = %path.display(), kept = good, dropped = length - good, "cut off a torn tail");
            file.set_len(good)?;
            file.sync_data()?;
            torn = Some(*id);
        }
        if good > trusted {
            state.unsynced.insert(*id);
            state.since_checkpoint += good - trusted;
        }
        state.segments.push(segment);
    }
    if let Some(last) = state.segments.last() {
        state.end = state.end.max(last.id.base);
    }
    state.log_start = state.log_start.min(state.end);
    Ok(state)
}

/// Takes over the part of a segment that a checkpoint vouches for, with its index if that was written at the same time.
fn read_trusted(file: &std::fs::File, dir: &Path, segment: &mut Segment, trusted: u64) -> io::Result<()> {
    let stored = std::fs::read(segment.id.index_path(dir)).ok().and_then(|b| segment::decode_index(&b));
    if let Some((head, places)) = stored.filter(|(head, _)| head.size == trusted) {
        (segment.size, segment.max_timestamp, segment.places) = (trusted, head.max_timestamp, Some(places));
        return Ok(());
    }
    segment::scan(file, 0, trusted, false, |_, header, _| {
        segment.grow(header);
        Walk::On
    })?;
    Ok(())
}

/// The segments of a folder, oldest first; leftovers of an interrupted compaction are removed.
fn list_segments(dir: &Path) -> io::Result<Vec<SegmentId>> {
    let items = match std::fs::read_dir(dir) {
        Ok(items) => items,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut ids = Vec::new();
    for item in items {
        let item = item?;
        let name = item.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".cleaned") || name.ends_with(".new") {
            std::fs::remove_file(item.path())?;
        }
        ids.extend(SegmentId::from_log_name(&name));
    }
    ids.sort_unstable();
    // A segment written by compaction replaces all others, of a lower generation, in its range: its name was the last
    // thing to appear before they were removed.
    let replaced = |id: &SegmentId| {
        ids.iter().any(|r| r.generation > id.generation && r.base <= id.base && (id.base < r.end || id.base == r.base))
    };
    let (gone, kept): (Vec<_>, Vec<_>) = ids.iter().copied().partition(replaced);
    for id in gone {
        std::fs::remove_file(id.log_path(dir))?;
        // It may never have had one.
        let _ = std::fs::remove_file(id.index_path(dir));
    }
    Ok(kept)
}
