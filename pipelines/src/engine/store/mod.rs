//! The durable state of a job: chunks of rows in memory and on disk, and commits that change them all at once.
//!
//! A job's epoch writes its plan, works, hands out its output, and commits the state after it. [`Store`] makes the plan and
//! the commit durable, in one sync each; after a crash at any moment it has the state of the last commit, and the plan that
//! followed it if there was one. It knows nothing of what plans, headers and rows mean.
//!
//! # On disk
//!
//! A folder of segments `000000000001.segment`, ..., which are files of frames ([`frame`]), each with its checksums. Frames
//! are appended to the last segment; at `segment_bytes` it is made durable and the next one begins. What frames hold is told
//! in [`log`] (segments), [`codec`] (schemas and chunks) and [`commit`]; a plan is as the owner wrote it. A schema stands in
//! a segment before the first chunk there that has it, so that a segment can be read without those before it.
//!
//! The state is what the frames add up to: chunks count once a commit follows them, until a later commit lists them as
//! dropped. Chunks may be written before their commit, when memory is short, and more than once, when they are moved.
//!
//! # After a crash
//!
//! Opening reads every segment from its beginning and checks every frame. A frame that does not fit is the trace of a crash
//! or damage, and the difference is whether it had been durable. Whenever a sync has returned, a *mark* is appended; so what
//! stands before any mark had been durable, and so had every segment but the last. A misfit there is damage, and an error:
//! commits would be lost if it were cut away. A misfit behind the last mark is cut away together with everything behind the
//! last whole commit or plan.
//!
//! Marks are not synced themselves. After the death of a process they are there, as the operating system has them. After a
//! loss of power the last one may be missing, so that damage to the very last sync cannot be told from a crash during it;
//! then that one plan or commit is lost, and none before it.
//!
//! # Garbage
//!
//! Segments leave in the order in which they came. When the files take more than twice what is live, and a segment more, a
//! commit moves chunks from the first segment behind all others, in proportion to what was written since the last commit,
//! so that no commit takes long and garbage does not outgrow it. A segment without live chunks is removed when a
//! commit that says so is durable. Since segments leave in order, no commit that drops a chunk leaves before the chunk, and
//! a missing file shows as a gap.

mod cache;
mod codec;
mod commit;
mod disk;
mod error;
mod frame;
mod garbage;
mod log;
mod recover;
mod size;
mod write;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

pub(crate) use self::error::StoreError;

use self::cache::Cache;
use self::codec::Codec;
use self::commit::Commit;
use self::disk::{Disk, RealDisk};
use self::frame::Kind;
use self::log::{Log, Place};

/// Names a chunk for as long as it lives; no other chunk has the name afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ChunkId(u64);

/// What the owner wrote beside a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag {
    /// The step of the job that it belongs to.
    pub(crate) step: u32,
    /// A key of the step's choosing, such as the start of a window. Chunks with smaller keys stay in memory longer.
    pub(crate) key: i64,
}

/// What a store may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoreLimits {
    /// Bytes of rows in memory, beyond which chunks are only on disk.
    pub(crate) memory_bytes: usize,
    /// Bytes of chunks that live. The files take up to two and a half times that, and two segments.
    pub(crate) live_bytes: u64,
    /// Bytes beyond which a segment is followed by the next.
    pub(crate) segment_bytes: u64,
    /// Bytes that any commit may move, however little it changes.
    pub(crate) move_bytes: u64,
}

impl Default for StoreLimits {
    fn default() -> StoreLimits {
        StoreLimits { memory_bytes: 512 << 20, live_bytes: 16 << 30, segment_bytes: 64 << 20, move_bytes: 8 << 20 }
    }
}

/// A store, and what its last commit and the plan after it left.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) store: Store,
    /// The header of the last commit.
    pub(crate) header: Option<Vec<u8>>,
    /// The plan that was written after the last commit.
    pub(crate) plan: Option<Vec<u8>>,
    /// Every chunk, in the order in which they were put, with its number of rows.
    pub(crate) chunks: Vec<(ChunkId, Tag, usize)>,
}

/// The state of one job. An error of a file closes it: what is in memory may then be ahead of what is on disk.
#[derive(Debug)]
pub(crate) struct Store {
    log: Log,
    codecs: BTreeMap<u32, Codec>,
    chunks: BTreeMap<ChunkId, Entry>,
    cache: Cache,
    /// Chunks that are on disk and were dropped since the last commit.
    dropped: Vec<ChunkId>,
    /// Chunks that are in memory only.
    unwritten: BTreeSet<ChunkId>,
    header: Option<Vec<u8>>,
    is_planned: bool,
    /// The number of the last commit.
    commit: u64,
    /// What had been appended when it was done.
    committed_bytes: u64,
    next: u64,
    live_bytes: u64,
    limits: StoreLimits,
    is_stopped: bool,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: Tag,
    rows: usize,
    schema: u32,
    /// Where it lies on disk, if it does.
    place: Option<Place>,
    /// Its bytes: of its frame, or, before it has one, of its rows.
    bytes: u64,
}

impl Store {
    /// Opens the state of a job in a folder, which is made if it is not there. Nobody else may have it open.
    pub(crate) fn open(folder: &Path, job: &str, limits: StoreLimits) -> Result<Opened, StoreError> {
        Store::open_on(folder, job, limits, Box::new(RealDisk))
    }

    fn open_on(folder: &Path, job: &str, limits: StoreLimits, disk: Box<dyn Disk>) -> Result<Opened, StoreError> {
        std::fs::create_dir_all(folder).map_err(StoreError::io("create", folder))?;
        let found = recover::recover(folder, job, limits, disk)?;
        let chunks = found.chunks.iter().map(|(id, entry)| (*id, entry.tag, entry.rows)).collect();
        let store = Store {
            committed_bytes: found.log.appended_bytes,
            log: found.log,
            codecs: found.codecs,
            live_bytes: found.chunks.values().map(|entry| entry.bytes).sum(),
            chunks: found.chunks,
            cache: Cache::default(),
            dropped: found.left_over,
            unwritten: BTreeSet::new(),
            header: found.header.clone(),
            is_planned: found.plan.is_some(),
            commit: found.commit,
            next: found.next,
            limits,
            is_stopped: false,
        };
        Ok(Opened { store, header: found.header, plan: found.plan, chunks })
    }

    /// Every chunk, in the order in which they were put, with its number of rows.
    pub(crate) fn chunks(&self) -> Vec<(ChunkId, Tag, usize)> {
        self.chunks.iter().map(|(id, entry)| (*id, entry.tag, entry.rows)).collect()
    }

    /// Adds rows to the state. They are on disk when they are committed, or before when memory is short.
    pub(crate) fn put(&mut self, tag: Tag, rows: RecordBatch) -> Result<ChunkId, StoreError> {
        self.check_open()?;
        let unfit = |job: &str| {
            let (job, step) = (job.to_owned(), tag.step);
            move |source| StoreError::Rows { job, step, source }
        };
        let schema = self.schema_of(&rows).map_err(unfit(&self.log.job))?;
        let codec = self.codecs.get_mut(&schema).expect("a schema has a codec from the beginning on");
        let (rows, bytes) = codec.slim(rows).map_err(unfit(&self.log.job))?;
        let needed = self.live_bytes + bytes as u64;
        if needed > self.limits.live_bytes {
            return Err(StoreError::TooLarge { job: self.log.job.clone(), bytes: needed, limit: self.limits.live_bytes });
        }
        let id = ChunkId(self.next);
        self.next += 1;
        self.live_bytes = needed;
        self.chunks.insert(id, Entry { tag, rows: rows.num_rows(), schema, place: None, bytes: bytes as u64 });
        self.unwritten.insert(id);
        self.cache.insert(id, tag.key, rows, bytes);
        self.make_room()?;
        Ok(id)
    }

    /// The rows of a chunk, from memory or read back from disk.
    ///
    /// # Panics
    ///
    /// If the chunk was dropped.
    pub(crate) fn get(&mut self, id: ChunkId) -> Result<RecordBatch, StoreError> {
        self.check_open()?;
        if let Some(rows) = self.cache.get(id) {
            return Ok(rows.clone());
        }
        let entry = *self.chunks.get(&id).expect("a chunk is asked for before it is dropped");
        let place = entry.place.expect("a chunk is in memory or on disk");
        let frame = self.log.read(place).inspect_err(|_| self.is_stopped = true)?;
        let rows = self.codecs[&entry.schema].read(&frame).map_err(|error| self.log.damaged(place, error.to_string()))?;
        self.cache.insert(id, entry.tag.key, rows.clone(), frame.len());
        self.make_room()?;
        Ok(rows)
    }

    /// Takes a chunk out of the state.
    ///
    /// # Panics
    ///
    /// If that was done before.
    pub(crate) fn drop(&mut self, id: ChunkId) {
        let entry = self.chunks.remove(&id).expect("a chunk is dropped once");
        self.live_bytes -= entry.bytes;
        self.cache.remove(id);
        self.unwritten.remove(&id);
        if let Some(place) = entry.place {
            self.log.segment(place.segment).chunks.remove(&id);
            self.dropped.push(id);
        }
    }

    /// Writes what the next commit will have done. It is durable afterwards, and takes the place of a plan before it.
    pub(crate) fn write_plan(&mut self, plan: &[u8]) -> Result<(), StoreError> {
        self.change(|store| {
            store.log.roll()?;
            store.log.append_payload((Kind::Plan, store.commit), &[plan])?;
            store.is_planned = true;
            store.log.seal(store.commit)
        })
    }

    /// Makes the state as it is now, with this header, the one that is found after a crash. It covers the plan.
    ///
    /// Costs nothing when there is nothing new.
    pub(crate) fn commit(&mut self, header: &[u8]) -> Result<(), StoreError> {
        self.check_open()?;
        let is_new = self.is_planned || !self.unwritten.is_empty() || !self.dropped.is_empty() || self.written_since_commit() > 0;
        if !is_new && self.header.as_deref() == Some(header) {
            return Ok(());
        }
        self.change(|store| {
            while let Some(id) = store.unwritten.first().copied() {
                store.write(id)?;
            }
            let first = store.collect()?;
            let dropped = std::mem::take(&mut store.dropped);
            let commit = Commit { next: store.next, first, live: store.chunks.len() as u64, dropped, header };
            store.log.roll()?;
            store.log.append((Kind::Commit, store.commit + 1), |buffer| {
                commit.write(buffer);
                Ok(())
            })?;
            store.commit += 1;
            store.log.seal(store.commit)?;
            store.log.remove_before(first)?;
            store.committed_bytes = store.log.appended_bytes;
            store.header = Some(header.to_vec());
            store.is_planned = false;
            store.cache.settle();
            Ok(())
        })
    }

    /// Bytes of rows in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Bytes of all chunks, in memory or not.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// Bytes of all files.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.log.bytes()
    }

    fn check_open(&self) -> Result<(), StoreError> {
        match self.is_stopped {
            true => Err(StoreError::Stopped { job: self.log.job.clone() }),
            false => Ok(()),
        }
    }

    /// Does something to the files, and closes the store if it fails.
    fn change<T>(&mut self, step: impl FnOnce(&mut Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.check_open()?;
        let done = step(self);
        self.is_stopped = done.is_err();
        done
    }

    fn written_since_commit(&self) -> u64 {
        self.log.appended_bytes - self.committed_bytes
    }

    /// The number of the schema of some rows, which is a new one if there was none.
    fn schema_of(&mut self, rows: &RecordBatch) -> Result<u32, ArrowError> {
        let schema = rows.schema();
        if let Some((number, _)) = self.codecs.iter().find(|(_, codec)| codec.is_for(&schema)) {
            return Ok(*number);
        }
        let number = self.codecs.last_key_value().map_or(0, |(number, _)| number + 1);
        self.codecs.insert(number, Codec::new(&schema)?);
        Ok(number)
    }

    /// Takes chunks out of memory until it is enough, after having written those that are not on disk.
    fn make_room(&mut self) -> Result<(), StoreError> {
        self.change(|store| {
            while store.cache.bytes() > store.limits.memory_bytes
                && let Some(id) = store.cache.coldest()
            {
                if store.unwritten.contains(&id) {
                    store.write(id)?;
                }
                store.cache.remove(id);
            }
            Ok(())
        })
    }
}

/// Removes the state of a job. Where that is cut short, what is left is no state of it.
pub(crate) fn clear(folder: &Path) -> Result<(), StoreError> {
    if !folder.exists() {
        return Ok(());
    }
    for number in log::numbers_in(folder)? {
        let path = log::path_of(folder, number);
        std::fs::remove_file(&path).map_err(StoreError::io("remove", path))?;
    }
    RealDisk.sync_folder(folder).map_err(StoreError::io("make durable", folder))
}
