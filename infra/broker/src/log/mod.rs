//! The store: topics in folders, opened and repaired at a start.
//!
//! ```text
//! <dir>/format                      version of this layout
//! <dir>/lock                        held while a process has the folder; names the process
//! <dir>/node.json                   cluster id, producer ids given out
//! <dir>/wal/NN.wal                  write-ahead files
//! <dir>/topics/<topic>/topic.json   identity, partitions, settings
//! <dir>/topics/<topic>/<partition>/ segments, indexes, checkpoint
//! <dir>/trash/                      what is being removed
//! ```

pub mod checkpoint;
pub mod compact;
pub mod files;
pub mod partition;
pub mod segment;
pub mod wal;
pub mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use tracing::{error, info, warn};

use crate::batch::BatchHeader;
use crate::config::BrokerConfig;
use crate::error::StartError;
use crate::limits::{PARTITIONS_MAX, PRODUCER_ID_BLOCK};
use crate::log::checkpoint::{replace_file, sync_folder};
use crate::log::files::Files;
use crate::log::partition::{Env, Partition};
use crate::log::writer::Writer;
use crate::sync::{lock, now_ms};
use crate::topic::{OFFSETS_TOPIC, TopicConfig, name_problem};

/// Version of the layout on disk.
pub const FORMAT: u32 = 1;

/// A topic.
#[derive(Debug)]
pub struct Topic {
    /// Name.
    pub name: Arc<str>,
    /// Identity: a topic created again under the same name is another.
    pub id: u128,
    /// Settings.
    pub config: Arc<RwLock<TopicConfig>>,
    partitions: RwLock<Vec<Arc<Partition>>>,
}

impl Topic {
    /// One partition.
    pub fn partition(&self, index: i32) -> Option<Arc<Partition>> {
        let partitions = self.partitions.read().unwrap_or_else(PoisonError::into_inner);
        partitions.get(usize::try_from(index).ok()?).cloned()
    }

    /// All of them.
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many.
    pub fn partition_count(&self) -> i32 {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).len() as i32
    }

    /// The settings now.
    pub fn settings(&self) -> TopicConfig {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Written by the broker itself.
    pub fn is_internal(&self) -> bool {
        &*self.name == OFFSETS_TOPIC
    }
}

#[derive(Serialize, Deserialize)]
struct TopicFile {
    id: String,
    partitions: i32,
    config: TopicConfig,
}

#[derive(Clone, Serialize, Deserialize)]
struct NodeFile {
    cluster_id: String,
    next_producer_id: i64,
}

/// Why a topic could not be created, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// Its name.
    #[error("{0}")]
    Name(String),
    /// It is there.
    #[error("topic `{0}` exists already")]
    Exists(String),
    /// It is not there.
    #[error("there is no topic `{0}`")]
    Unknown(String),
    /// Too few or too many.
    #[error("{0}")]
    Partitions(String),
    /// A setting.
    #[error("{0}")]
    Config(String),
    /// Internal topics are the broker's.
    #[error("topic `{0}` is the broker's own")]
    Internal(String),
    /// The disk.
    #[error("could not write the topic's folder: {0}")]
    Storage(#[from] io::Error),
}

/// Topics by name and by identity.
#[derive(Debug, Default)]
struct Catalog {
    by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    by_id: BTreeMap<u128, Arc<Topic>>,
}

/// Everything on disk.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    config: BrokerConfig,
    /// What partitions share.
    pub env: Arc<Env>,
    /// The threads that write.
    pub writer: Writer,
    /// Name of this cluster of one.
    pub cluster_id: String,
    catalog: RwLock<Catalog>,
    /// Held while a topic is created, changed or removed.
    changes: Mutex<()>,
    producer_ids: Mutex<ProducerIds>,
    _lock: File,
}

#[derive(Debug)]
struct ProducerIds {
    next: i64,
    reserved: i64,
}

impl Store {
    /// Takes the folder, repairs it and starts the threads. Blocks.
    pub fn open(config: &BrokerConfig) -> Result<Self, StartError> {
        let dir = config.dir.clone();
        for folder in [dir.clone(), dir.join("topics"), dir.join("wal"), dir.join("trash")] {
            std::fs::create_dir_all(&folder).map_err(StartError::io("create", folder.clone()))?;
        }
        let lock = take_folder(&dir)?;
        check_format(&dir)?;
        let node = read_node(&dir)?;
        let env = Arc::new(Env { files: Files::default(), disk: config.disk.clone() });
        empty_trash(&dir);
        let catalog = open_topics(&dir, &env)?;
        let sequence = replay_wal(&dir.join("wal"), &catalog)?;
        let wal_dir = dir.join("wal");
        let writer = Writer::start(config, wal_dir.clone(), sequence).map_err(StartError::io("prepare", wal_dir))?;
        let partitions: i32 = catalog.by_name.values().map(|t| t.partition_count()).sum();
        info!(dir = %dir.display(), topics = catalog.by_name.len(), partitions, "opened the broker's folder");
        Ok(Self {
            dir,
            config: config.clone(),
            env,
            writer,
            cluster_id: node.cluster_id,
            catalog: RwLock::new(catalog),
            changes: Mutex::new(()),
            producer_ids: Mutex::new(ProducerIds { next: node.next_producer_id, reserved: node.next_producer_id }),
            _lock: lock,
        })
    }

    /// A topic by name.
    pub fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.catalog().by_name.get(name).cloned()
    }

    /// A topic by identity.
    pub fn topic_by_id(&self, id: u128) -> Option<Arc<Topic>> {
        self.catalog().by_id.get(&id).cloned()
    }

    /// All topics in order of name.
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        self.catalog().by_name.values().cloned().collect()
    }

    fn catalog(&self) -> std::sync::RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks what a creation would be refused for.
    pub fn check_new_topic(&self, name: &str, partitions: i32) -> Result<(), TopicError> {
        if let Some(problem) = name_problem(name) {
            return Err(TopicError::Name(problem));
        }
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(TopicError::Partitions(format!("a topic has 1 to {PARTITIONS_MAX} partitions, not {partitions}")));
        }
        if self.topic(name).is_some() {
            return Err(TopicError::Exists(name.into()));
        }
        self.check_room(partitions)
    }

    fn check_room(&self, more: i32) -> Result<(), TopicError> {
        let have: i32 = self.catalog().by_name.values().map(|t| t.partition_count()).sum();
        let max = self.config.limits.partitions;
        if (have + more) as usize > max {
            return Err(TopicError::Partitions(format!("{have} partitions exist; with {more} more there would be over {max}")));
        }
        Ok(())
    }

    /// Creates a topic; durable when this returns. Blocks.
    pub fn create_topic(&self, name: &str, partitions: i32, config: TopicConfig) -> Result<Arc<Topic>, TopicError> {
        let _alone = lock(&self.changes);
        self.check_new_topic(name, partitions)?;
        let id = random_id();
        let topics = self.dir.join("topics");
        // Hidden until it is whole.
        let hidden = self.dir.join("trash").join(format!("{id:032x}"));
        std::fs::create_dir_all(&hidden)?;
        write_topic_file(&hidden, id, partitions, &config)?;
        let folder = topics.join(name);
        std::fs::rename(&hidden, &folder)?;
        sync_folder(&topics)?;
        let topic = open_topic(&folder, name, id, partitions, config, &self.env)?;
        let mut catalog = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
        catalog.by_name.insert(topic.name.clone(), topic.clone());
        catalog.by_id.insert(id, topic.clone());
        info!(topic = name, partitions, "created a topic");
        Ok(topic)
    }

    /// Removes a topic with its records; durable when this returns. Blocks.
    pub fn delete_topic(&self, name: &str) -> Result<(), TopicError> {
        let _alone = lock(&self.changes);
        let topic = self.topic(name).ok_or_else(|| TopicError::Unknown(name.into()))?;
        if topic.is_internal() {
            return Err(TopicError::Internal(name.into()));
        }
        let topics = self.dir.join("topics");
        let gone = self.dir.join("trash").join(format!("{:032x}", topic.id));
        for partition in topic.partitions() {
            partition.delete();
        }
        {
            let mut catalog = self.catalog.write().unwrap_or_else(PoisonError::into_inner);
            catalog.by_name.remove(name);
            catalog.by_id.remove(&topic.id);
        }
        self.env.files.forget_under(&topics.join(name));
        std::fs::rename(topics.join(name), &gone)?;
        sync_folder(&topics)?;
        if let Err(e) = std::fs::remove_dir_all(&gone) {
            warn!(path = %gone.display(), error = %e, "could not remove a deleted topic; the next start tries again");
        }
        info!(topic = name, "deleted a topic");
        Ok(())
    }

    /// Adds partitions; durable when this returns. Blocks.
    pub fn grow_topic(&self, name: &str, count: i32, only_check: bool) -> Result<(), TopicError> {
        let _alone = lock(&self.changes);
        let topic = self.topic(name).ok_or_else(|| TopicError::Unknown(name.into()))?;
        if topic.is_internal() {
            return Err(TopicError::Internal(name.into()));
        }
        let have = topic.partition_count();
        if count <= have {
            return Err(TopicError::Partitions(format!("topic `{name}` has {have} partitions; the number can only grow")));
        }
        if count > PARTITIONS_MAX {
            return Err(TopicError::Partitions(format!("a topic has 1 to {PARTITIONS_MAX} partitions, not {count}")));
        }
        self.check_room(count - have)?;
        if only_check {
            return Ok(());
        }
        let folder = self.dir.join("topics").join(name);
        write_topic_file(&folder, topic.id, count, &topic.settings())?;
        let mut more = Vec::new();
        for index in have..count {
            more.push(Arc::new(open_partition(&folder, &topic.name, topic.id, index, &topic.config, &self.env)?));
        }
        topic.partitions.write().unwrap_or_else(PoisonError::into_inner).extend(more);
        info!(topic = name, partitions = count, "added partitions");
        Ok(())
    }

    /// Replaces the settings of a topic; durable when this returns. Blocks.
    pub fn configure_topic(&self, name: &str, change: impl FnOnce(&mut TopicConfig) -> Result<(), String>, only_check: bool) -> Result<(), TopicError> {
        let _alone = lock(&self.changes);
        let topic = self.topic(name).ok_or_else(|| TopicError::Unknown(name.into()))?;
        let mut settings = topic.settings();
        change(&mut settings).map_err(TopicError::Config)?;
        if only_check {
            return Ok(());
        }
        write_topic_file(&self.dir.join("topics").join(name), topic.id, topic.partition_count(), &settings)?;
        *topic.config.write().unwrap_or_else(PoisonError::into_inner) = settings;
        info!(topic = name, "changed the settings of a topic");
        Ok(())
    }

    /// A producer id that was never given out, not even before a crash. Blocks now and then.
    pub fn new_producer_id(&self) -> io::Result<i64> {
        let mut ids = lock(&self.producer_ids);
        if ids.next >= ids.reserved {
            let reserved = ids.next + PRODUCER_ID_BLOCK;
            let node = NodeFile { cluster_id: self.cluster_id.clone(), next_producer_id: reserved };
            write_node(&self.dir, &node)?;
            ids.reserved = reserved;
        }
        ids.next += 1;
        Ok(ids.next - 1)
    }

    /// Looks after retention, compaction and checkpoints. Blocks.
    pub fn maintain(self: &Arc<Self>) {
        let now = now_ms();
        let default_ms = self.config.retention.map(|d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        for topic in self.topics() {
            let settings = topic.settings();
            let retention_ms = if settings.deletes() { settings.retention_ms(default_ms) } else { None };
            let retention_bytes = if settings.deletes() { settings.retention_bytes(self.config.retention_bytes) } else { None };
            for partition in topic.partitions() {
                partition.expire_producers(now);
                if partition.may_retire(now, retention_ms, retention_bytes) {
                    partition.retain_on(&self.writer, now, retention_ms, retention_bytes);
                }
                if settings.compacts() {
                    if let Err(e) = compact::compact(&partition, &self.writer, &settings, now, settings.segment_bytes(self.config.segment_bytes)) {
                        warn!(topic = %topic.name, partition = partition.index, error = %e, "could not compact a partition");
                    }
                }
                if partition.since_checkpoint() > crate::limits::CHECKPOINT_BYTES {
                    if let Err(e) = partition.checkpoint() {
                        warn!(topic = %topic.name, partition = partition.index, error = %e, "could not write a checkpoint");
                    }
                }
            }
        }
    }

    /// Writes everything down and stops the threads. Blocks.
    pub fn close(&self) {
        self.writer.stop();
        let mut partitions: Vec<_> = self.topics().iter().flat_map(|t| t.partitions()).collect();
        partitions.retain(|p| p.wants_checkpoint());
        // Syncs of several files at once share the work of the file system's journal.
        std::thread::scope(|scope| {
            for some in partitions.chunks(partitions.len().div_ceil(8).max(1)) {
                scope.spawn(move || {
                    for partition in some {
                        if let Err(e) = partition.checkpoint() {
                            error!(topic = %partition.topic, partition = partition.index, error = %e, "could not write a last checkpoint");
                        }
                    }
                });
            }
        });
        let ids = lock(&self.producer_ids);
        let node = NodeFile { cluster_id: self.cluster_id.clone(), next_producer_id: ids.next };
        if let Err(e) = write_node(&self.dir, &node) {
            warn!(error = %e, "could not write node.json");
        }
    }
}

fn take_folder(dir: &Path) -> Result<File, StartError> {
    let path = dir.join("lock");
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(StartError::io("open", path.clone()))?;
    if let Err(e) = file.try_lock() {
        let mut holder = String::new();
        // Only to name it; without it the message is still right.
        let _ = file.read_to_string(&mut holder);
        let holder = if holder.trim().is_empty() { String::new() } else { format!(" (process {})", holder.trim()) };
        return match e {
            std::fs::TryLockError::WouldBlock => Err(StartError::Locked { dir: dir.into(), holder }),
            std::fs::TryLockError::Error(source) => Err(StartError::Io { action: "lock", path, source }),
        };
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(StartError::io("write", path))?;
    Ok(file)
}

fn check_format(dir: &Path) -> Result<(), StartError> {
    let path = dir.join("format");
    match std::fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found > FORMAT => Err(StartError::Newer { dir: dir.into(), found, known: FORMAT }),
            Ok(_) => Ok(()),
            Err(_) => Err(StartError::Damaged { path, reason: format!("it should hold a number, but holds {:?}", text.trim()) }),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            replace_file(&path, format!("{FORMAT}\n").as_bytes(), true).map_err(StartError::io("write", path.clone()))
        }
        Err(e) => Err(StartError::Io { action: "read", path, source: e }),
    }
}

fn read_node(dir: &Path) -> Result<NodeFile, StartError> {
    let path = dir.join("node.json");
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| StartError::Damaged { path, reason: e.to_string() }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let node = NodeFile { cluster_id: format!("{:032x}", random_id())[..22].into(), next_producer_id: 1 };
            write_node(dir, &node).map_err(StartError::io("write", path))?;
            Ok(node)
        }
        Err(source) => Err(StartError::Io { action: "read", path, source }),
    }
}

fn write_node(dir: &Path, node: &NodeFile) -> io::Result<()> {
    replace_file(&dir.join("node.json"), &serde_json::to_vec_pretty(node)?, true)
}

fn empty_trash(dir: &Path) {
    let trash = dir.join("trash");
    let remove = || -> io::Result<()> {
        for item in std::fs::read_dir(&trash)? {
            std::fs::remove_dir_all(item?.path())?;
        }
        Ok(())
    };
    if let Err(e) = remove() {
        warn!(path = %trash.display(), error = %e, "could not empty the trash");
    }
}

fn open_topics(dir: &Path, env: &Arc<Env>) -> Result<Catalog, StartError> {
    let folder = dir.join("topics");
    let mut catalog = Catalog::default();
    for item in std::fs::read_dir(&folder).map_err(StartError::io("read", folder.clone()))? {
        let path = item.map_err(StartError::io("read", folder.clone()))?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()).map(str::to_owned) else { continue };
        if let Some(reason) = name_problem(&name) {
            return Err(StartError::Damaged { path, reason });
        }
        let file = path.join("topic.json");
        let bytes = std::fs::read(&file).map_err(StartError::io("read", file.clone()))?;
        let damaged = |reason: String| StartError::Damaged { path: file.clone(), reason };
        let stored: TopicFile = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        let id = u128::from_str_radix(&stored.id, 16).map_err(|e| damaged(e.to_string()))?;
        let topic = open_topic(&path, &name, id, stored.partitions, stored.config, env)
            .map_err(StartError::io("open the partitions in", path.clone()))?;
        catalog.by_name.insert(topic.name.clone(), topic.clone());
        catalog.by_id.insert(id, topic);
    }
    Ok(catalog)
}

fn open_topic(folder: &Path, name: &str, id: u128, count: i32, config: TopicConfig, env: &Arc<Env>) -> io::Result<Arc<Topic>> {
    let name: Arc<str> = name.into();
    let config = Arc::new(RwLock::new(config));
    let mut partitions = Vec::with_capacity(usize::try_from(count).unwrap_or(0));
    for index in 0..count {
        partitions.push(Arc::new(open_partition(folder, &name, id, index, &config, env)?));
    }
    Ok(Arc::new(Topic { name, id, config, partitions: RwLock::new(partitions) }))
}

fn open_partition(
    folder: &Path,
    name: &Arc<str>,
    id: u128,
    index: i32,
    config: &Arc<RwLock<TopicConfig>>,
    env: &Arc<Env>,
) -> io::Result<Partition> {
    Partition::open(folder.join(index.to_string()), name.clone(), id, index, config.clone(), env.clone())
}

fn write_topic_file(folder: &Path, id: u128, partitions: i32, config: &TopicConfig) -> io::Result<()> {
    let file = TopicFile { id: format!("{id:032x}"), partitions, config: config.clone() };
    replace_file(&folder.join("topic.json"), &serde_json::to_vec_pretty(&file)?, true)
}

/// Appends to segments what only the write-ahead files have, and syncs them. Answers the last sequence number.
fn replay_wal(dir: &Path, catalog: &Catalog) -> Result<u64, StartError> {
    let files = wal::list(dir).map_err(StartError::io("read", dir))?;
    let mut touched: BTreeSet<(u128, i32)> = BTreeSet::new();
    let (mut last, mut restored) = (0, 0u64);
    for (sequence, path) in files {
        last = last.max(sequence);
        let replayed = wal::replay(&path, |entry| {
            let Some(partition) = catalog.by_id.get(&entry.topic_id).and_then(|t| t.partition(entry.partition)) else {
                return Ok(());
            };
            touched.insert((entry.topic_id, entry.partition));
            let Some(header) = BatchHeader::parse(&entry.batch) else { return Ok(()) };
            let lacking = partition.restore(&header, entry.batch).map_err(io::Error::other)?;
            restored += u64::from(lacking);
            Ok(())
        });
        replayed.map_err(StartError::io("replay", path))?;
    }
    if restored > 0 {
        info!(batches = restored, "restored acknowledged batches from the write-ahead files");
    }
    for (topic_id, index) in touched {
        let Some(partition) = catalog.by_id.get(&topic_id).and_then(|t| t.partition(index)) else { continue };
        partition.checkpoint().map_err(StartError::io("sync", partition.dir()))?;
    }
    Ok(last)
}

/// 128 bits nobody else has: the standard library's hash keys are random for each process.
pub fn random_id() -> u128 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let word = |salt: u64| {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(salt);
        hasher.write_i64(now_ms());
        hasher.finish()
    };
    (u128::from(word(1)) << 64) | u128::from(word(2))
}
