//! The threads that write: one appends, one syncs and acknowledges, one brings segments to the disk in the background.
//!
//! ```text
//! producers -> [writer] segments + write-ahead file -> [syncer] fdatasync, acknowledge -> consumers
//!                  \- full write-ahead file -> [keeper] sync segments, checkpoint -> free file
//! ```
//! While one group is being synced, the next is being written; all groups written meanwhile share the next sync.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::batch::BatchHeader;
use crate::config::{BrokerConfig, Fsync};
use crate::limits::{GROUP_APPENDS_MAX, GROUP_BYTES_MAX, GROUPS_IN_FLIGHT, WAL_FILES_MAX};
use crate::log::partition::{Append, AppendError, Partition};
use crate::log::wal::{self, Entry, WalFile};
use crate::sync::{lock, now_ms};

/// An acknowledged append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: i64,
    /// The broker's time, or -1 where the topic keeps the producer's.
    pub log_append_ms: i64,
}

/// The answer to an append.
pub type AppendAnswer = Result<Appended, AppendError>;

enum Job {
    Append { partition: Arc<Partition>, header: BatchHeader, bytes: Bytes, done: oneshot::Sender<AppendAnswer> },
    Run(Box<dyn FnOnce() + Send>),
    Stop,
}

struct Group {
    /// Files to sync before acknowledging: none with `fsync = "os"`.
    wal: Vec<Arc<File>>,
    appends: Vec<Written>,
}

struct Written {
    partition: Arc<Partition>,
    end: i64,
    answer: Appended,
    done: oneshot::Sender<AppendAnswer>,
}

struct Full {
    path: PathBuf,
    file: Arc<File>,
    dirty: Vec<Arc<Partition>>,
}

/// Numbers for metrics.
#[derive(Debug, Default)]
pub struct WriterStats {
    /// Acknowledged batches.
    pub appends: AtomicU64,
    /// Their bytes.
    pub append_bytes: AtomicU64,
    /// Syncs.
    pub syncs: AtomicU64,
    /// Appends that failed for want of space or another fault of the disk.
    pub storage_errors: AtomicU64,
    /// Microseconds spent in syncs.
    pub sync_us: AtomicU64,
}

/// The handle on the threads.
#[derive(Debug)]
pub struct Writer {
    jobs: Mutex<Sender<Job>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    stopping: Arc<AtomicBool>,
    /// Numbers.
    pub stats: Arc<WriterStats>,
}

impl Writer {
    /// Starts the threads. `wal_dir` holds files whose entries are already in synced segments.
    pub fn start(config: &BrokerConfig, wal_dir: PathBuf, next_sequence: u64) -> io::Result<Self> {
        let (jobs, inbox) = channel();
        let (groups, to_sync) = sync_channel(GROUPS_IN_FLIGHT);
        let (full, to_keep) = channel::<Full>();
        let (free, free_files) = channel();
        let stats = Arc::new(WriterStats::default());
        let failed = Arc::new(AtomicBool::new(false));
        let stopping = Arc::new(AtomicBool::new(false));
        let keeper_stops = stopping.clone();
        let capacity = config.limits.wal_bytes.max((2 * config.limits.message_bytes + GROUP_BYTES_MAX) as u64);
        let mut files = 0;
        for (_, path) in wal::list(&wal_dir)? {
            let file = std::fs::OpenOptions::new().read(true).write(true).open(&path)?;
            if file.metadata()?.len() == capacity && config.fsync == Fsync::Group {
                files += 1;
                // The receiver lives in this function.
                let _ = free.send((path, Arc::new(file)));
            } else {
                std::fs::remove_file(&path)?;
            }
        }
        let appender = Appender {
            inbox,
            groups,
            stats: stats.clone(),
            failed: failed.clone(),
            segment_bytes: config.segment_bytes,
            wal: (config.fsync == Fsync::Group).then_some(()),
            current: None,
            dirty: HashMap::new(),
            dir: wal_dir,
            capacity,
            sequence: next_sequence,
            files,
            free: free_files,
            full,
            cache: Cache { order: VecDeque::new(), bytes: 0, max: config.limits.cache_bytes },
            full_disk: false,
            put_aside: None,
        };
        let syncer_stats = stats.clone();
        let named = |name: &str| std::thread::Builder::new().name(format!("broker-{name}"));
        let threads = vec![
            named("write").spawn(move || appender.run())?,
            named("sync").spawn(move || sync_groups(&to_sync, &syncer_stats, &failed))?,
            named("keep").spawn(move || keep(&to_keep, &free, &keeper_stops))?,
        ];
        Ok(Self { jobs: Mutex::new(jobs), threads: Mutex::new(threads), stopping, stats })
    }

    /// Hands in a checked batch. Batches handed in one after another are appended in that order.
    pub fn append(&self, partition: Arc<Partition>, header: BatchHeader, bytes: Bytes) -> oneshot::Receiver<AppendAnswer> {
        let (done, answer) = oneshot::channel();
        // When the thread is gone, the receiver sees that its sender was dropped.
        let _ = lock(&self.jobs).send(Job::Append { partition, header, bytes, done });
        answer
    }

    /// Runs something between two appends.
    pub fn run(&self, work: impl FnOnce() + Send + 'static) {
        let _ = lock(&self.jobs).send(Job::Run(Box::new(work)));
    }

    /// Returns when everything handed in before has been written. Blocks.
    pub fn barrier(&self) {
        let (tell, told) = channel();
        self.run(move || {
            // Whoever asked may have given up.
            let _ = tell.send(());
        });
        // When the thread is gone, there is nothing to wait for.
        let _ = told.recv();
    }

    /// Finishes what was handed in and stops the threads.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let _ = lock(&self.jobs).send(Job::Stop);
        let threads = std::mem::take(&mut *lock(&self.threads));
        for thread in threads {
            if thread.join().is_err() {
                error!("a thread of the broker has panicked");
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Nobody else may take the folder while a thread still writes there.
        self.stop();
    }
}

struct Appender {
    inbox: Receiver<Job>,
    groups: SyncSender<Group>,
    stats: Arc<WriterStats>,
    failed: Arc<AtomicBool>,
    segment_bytes: u64,
    wal: Option<()>,
    current: Option<WalFile>,
    dirty: HashMap<(u128, i32), Arc<Partition>>,
    dir: PathBuf,
    capacity: u64,
    sequence: u64,
    files: u32,
    free: Receiver<(PathBuf, Arc<File>)>,
    full: Sender<Full>,
    cache: Cache,
    full_disk: bool,
    put_aside: Option<Job>,
}

type Waiting = (Arc<Partition>, BatchHeader, Bytes, oneshot::Sender<AppendAnswer>);

impl Appender {
    fn run(mut self) {
        loop {
            let first = match self.put_aside.take() {
                Some(job) => job,
                None => match self.inbox.recv() {
                    Ok(job) => job,
                    Err(_) => break,
                },
            };
            match first {
                Job::Append { partition, header, bytes, done } => {
                    let group = self.collect((partition, header, bytes, done));
                    self.append(group);
                }
                Job::Run(work) => work(),
                Job::Stop => break,
            }
        }
    }

    /// Takes what is waiting, up to a limit; something that is not an append ends the group.
    fn collect(&mut self, first: Waiting) -> Vec<Waiting> {
        let mut bytes = first.2.len();
        let mut group = vec![first];
        while bytes < GROUP_BYTES_MAX && group.len() < GROUP_APPENDS_MAX {
            match self.inbox.try_recv() {
                Ok(Job::Append { partition, header, bytes: batch, done }) => {
                    bytes += batch.len();
                    group.push((partition, header, batch, done));
                }
                Ok(other) => {
                    self.put_aside = Some(other);
                    break;
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
        }
        group
    }

    fn append(&mut self, group: Vec<Waiting>) {
        let bytes: usize = group.iter().map(|(_, header, ..)| header.size + wal::ENTRY_HEAD_BYTES).sum();
        if let Err(source) = self.make_room(bytes as u64) {
            self.tell_storage_error(&source);
            for (.., done) in group {
                let source = io::Error::new(source.kind(), source.to_string());
                let _ = done.send(Err(AppendError::Storage { path: self.dir.clone(), source }));
            }
            return;
        }
        let now = now_ms();
        let mut entries = Vec::with_capacity(group.len());
        let mut appends = Vec::with_capacity(group.len());
        let mut rolled = Vec::new();
        for (partition, header, sent, done) in group {
            match partition.append(&header, &sent, now, self.segment_bytes) {
                Ok(Append::Written { base_offset, bytes, log_append_ms, rolled: closed }) => {
                    let end = base_offset + i64::from(header.last_offset_delta) + 1;
                    self.cache.add(&partition, base_offset, bytes.len());
                    if self.wal.is_some() {
                        let (topic_id, index) = (partition.topic_id, partition.index);
                        self.dirty.entry((topic_id, index)).or_insert_with(|| partition.clone());
                        entries.push(Entry { topic_id, partition: index, batch: bytes });
                    }
                    if closed {
                        rolled.push(partition.clone());
                    }
                    appends.push(Written { partition, end, answer: Appended { base_offset, log_append_ms }, done });
                }
                // Acknowledged only with the sync that covers its original.
                Ok(Append::Duplicate { base_offset }) => {
                    let end = base_offset + i64::from(header.last_offset_delta) + 1;
                    appends.push(Written { partition, end, answer: Appended { base_offset, log_append_ms: -1 }, done });
                }
                Err(e) => {
                    if let AppendError::Storage { source, .. } = &e {
                        self.tell_storage_error(source);
                    }
                    let _ = done.send(Err(e));
                }
            }
        }
        if !entries.is_empty() && self.full_disk {
            self.full_disk = false;
            info!("appends succeed again");
        }
        let mut wal = Vec::new();
        if let Some(current) = &mut self.current {
            if let Err(e) = current.write(&entries) {
                error!(error = %e, "could not write to the write-ahead file; nothing more is accepted until a restart");
                self.failed.store(true, Ordering::Release);
            }
            wal.push(current.file().clone());
        }
        self.stats.append_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        // The syncer ends only after this thread.
        let _ = self.groups.send(Group { wal, appends });
        self.cache.shrink();
    }

    fn tell_storage_error(&mut self, e: &io::Error) {
        self.stats.storage_errors.fetch_add(1, Ordering::Relaxed);
        if !self.full_disk {
            self.full_disk = true;
            error!(error = %e, dir = %self.dir.display(),
                "cannot append: producers get KAFKA_STORAGE_ERROR until there is space again; nothing acknowledged is lost");
        }
    }

    /// Takes the next write-ahead file when the group does not fit into this one.
    fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        if self.failed.load(Ordering::Acquire) {
            return Err(io::Error::other("the write-ahead file could not be written or synced; restart after checking the disk"));
        }
        if self.wal.is_none() || self.current.as_ref().is_some_and(|c| c.has_room(bytes)) {
            return Ok(());
        }
        let (path, file) = self.next_file()?;
        self.sequence += 1;
        let next = WalFile::begin(path, file, self.sequence)?;
        if let Some(full) = self.current.replace(next) {
            let (path, file) = full.into_parts();
            let dirty = self.dirty.drain().map(|(_, partition)| partition).collect();
            // A group in the new file may be acknowledged only when everything in the old one is durable.
            let _ = self.groups.send(Group { wal: vec![file.clone()], appends: Vec::new() });
            let _ = self.full.send(Full { path, file, dirty });
        }
        Ok(())
    }

    fn next_file(&mut self) -> io::Result<(PathBuf, Arc<File>)> {
        if let Ok(free) = self.free.try_recv() {
            return Ok(free);
        }
        if (self.files as usize) < WAL_FILES_MAX {
            match WalFile::create(&self.dir, self.files, self.capacity) {
                Ok(created) => {
                    self.files += 1;
                    return Ok(created);
                }
                Err(e) if self.files < 2 => return Err(e),
                // The keeper will free one.
                Err(e) => warn!(error = %e, "could not allocate another write-ahead file"),
            }
        }
        self.free
            .recv_timeout(Duration::from_secs(10))
            .map_err(|_| io::Error::new(io::ErrorKind::StorageFull, "segments could not be synced, and all write-ahead files are full"))
    }
}

/// Which batches are in memory, oldest first, over all partitions.
struct Cache {
    order: VecDeque<(Weak<Partition>, i64, usize)>,
    bytes: usize,
    max: usize,
}

impl Cache {
    fn add(&mut self, partition: &Arc<Partition>, base: i64, bytes: usize) {
        self.order.push_back((Arc::downgrade(partition), base, bytes));
        self.bytes += bytes;
    }

    fn shrink(&mut self) {
        while self.bytes > self.max {
            let Some((partition, base, bytes)) = self.order.pop_front() else { break };
            self.bytes -= bytes;
            if let Some(partition) = partition.upgrade() {
                partition.evict(base);
            }
        }
    }
}

fn sync_groups(groups: &Receiver<Group>, stats: &WriterStats, failed: &AtomicBool) {
    while let Ok(first) = groups.recv() {
        let mut some = vec![first];
        while let Ok(next) = groups.try_recv() {
            some.push(next);
        }
        let mut files: Vec<&Arc<File>> = Vec::with_capacity(1);
        for file in some.iter().flat_map(|g| &g.wal) {
            if !files.iter().any(|f| Arc::ptr_eq(f, file)) {
                files.push(file);
            }
        }
        for file in files {
            let start = std::time::Instant::now();
            if let Err(e) = file.sync_data() {
                // After a failed sync nobody knows what is on the disk, so trying again proves nothing.
                error!(error = %e, "could not sync the write-ahead file; nothing more is accepted until a restart");
                failed.store(true, Ordering::Release);
            }
            stats.syncs.fetch_add(1, Ordering::Relaxed);
            stats.sync_us.fetch_add(start.elapsed().as_micros() as u64, Ordering::Relaxed);
        }
        let lost = failed.load(Ordering::Acquire);
        for written in some.into_iter().flat_map(|g| g.appends) {
            if lost {
                let source = io::Error::other("the write-ahead file could not be synced");
                let _ = written.done.send(Err(AppendError::Storage { path: written.partition.dir().to_owned(), source }));
                continue;
            }
            written.partition.acknowledge(written.end);
            stats.appends.fetch_add(1, Ordering::Relaxed);
            let _ = written.done.send(Ok(written.answer));
        }
    }
}

/// Syncs the segments of full write-ahead files, which then may be used again.
fn keep(full: &Receiver<Full>, free: &Sender<(PathBuf, Arc<File>)>, stopping: &AtomicBool) {
    while let Ok(Full { path, file, dirty }) = full.recv() {
        let mut left = dirty;
        let mut told = false;
        loop {
            left.retain(|partition| match partition.checkpoint() {
                Ok(()) => false,
                Err(e) => {
                    if !told {
                        error!(topic = %partition.topic, partition = partition.index, error = %e, "could not sync a segment; trying again");
                        told = true;
                    }
                    true
                }
            });
            if left.is_empty() {
                break;
            }
            if stopping.load(Ordering::Acquire) {
                // The file stays full, and the next start brings its entries to the segments.
                return;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        // At the end of the broker nobody takes it.
        let _ = free.send((path, file));
    }
}
