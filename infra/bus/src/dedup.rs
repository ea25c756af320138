//! Where each event stands first, by `source` and `id`: a fold over the log, kept on disk.
//!
//! [`DedupIndex::observe`] folds chunks in; the positions up to which it has done so are written in the same batch as the
//! entries, so that after a crash it goes on from there: give [`DedupIndex::positions`] to [`crate::Tap::reader`].
//! A door that writes asks first: [`DedupIndex::reserve`] keeps others from writing the same event meanwhile, and
//! [`Reservation::confirm`] says where it went.
//!
//! The key is the first 16 bytes of BLAKE3 over `source`, a zero byte and `id`: among ten thousand million events the
//! odds of two sharing a key are one in 10^18. Entries lie in generations; when the newest is full, a new one begins and the oldest is
//! dropped whole. The window is what all generations but one hold: an event is known for at least that long.

mod filter;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use schemas::position::Position;
use tracing::{debug, info};

use self::filter::Filter;
use crate::chunk::Chunk;
use crate::error::BusError;
use crate::limits;

/// How much the index remembers and how much memory it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupConfig {
    /// How long an event is known at least.
    pub window: Window,
    /// Into how many generations the entries are divided, at least two; more of them drop less at once.
    pub generations: usize,
    /// Memory for blocks read from disk, in bytes.
    pub cache_bytes: u64,
}

/// A length of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// So many events.
    Events(u64),
    /// Events of so long, by the time that Kafka gave them.
    Time(Duration),
}

impl Default for DedupConfig {
    fn default() -> Self {
        Self {
            window: Window::Events(limits::GENERATION_ENTRIES * (limits::GENERATIONS as u64 - 1)),
            generations: limits::GENERATIONS,
            cache_bytes: limits::INDEX_CACHE_BYTES,
        }
    }
}

/// What a door hears about an event that it is about to write.
#[derive(Debug)]
pub enum Reserved {
    /// Nobody knows it: write it, then confirm. Dropping the reservation gives it free again.
    Fresh(Reservation),
    /// It was written here.
    Duplicate(Position),
    /// Somebody is writing it right now: ask again shortly.
    Pending,
}

/// Numbers for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DedupStats {
    /// Entries of all generations.
    pub entries: u64,
    /// Generations.
    pub generations: usize,
    /// Events that are being written.
    pub reserved: usize,
    /// Events that were written and are not yet folded in.
    pub confirmed: usize,
    /// Bytes on disk.
    pub disk_bytes: u64,
}

/// The index. Cheap to clone.
#[derive(Clone)]
pub struct DedupIndex {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    config: DedupConfig,
    database: Database,
    meta: Keyspace,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Invariant: never empty; the newest is last.
    generations: VecDeque<Generation>,
    topics: Topics,
    /// The next offset of each partition that is not folded in.
    positions: HashMap<(u16, i32), i64>,
    held: HashMap<Key, Held>,
    confirmed: usize,
}

struct Generation {
    number: u64,
    entries: u64,
    /// Kafka's time of its first entry, in microseconds; 0 when it has none.
    since_us: i64,
    keyspace: Keyspace,
    filter: Arc<Filter>,
}

impl Generation {
    /// Reads the keys that are on disk into the filter, in a thread of its own: the index answers meanwhile, only slower.
    fn read_filter(&self) {
        if self.entries == 0 {
            return self.filter.set_complete();
        }
        let (keyspace, filter) = (self.keyspace.clone(), Arc::clone(&self.filter));
        let read = move || {
            for entry in keyspace.iter() {
                // Whoever asks is gone, or the disk cannot be read: then the store is asked each time.
                let Ok((key, _)) = entry.into_inner() else { return };
                let Ok(key) = Key::try_from(&key[..]) else { return };
                if Arc::strong_count(&filter) == 1 {
                    return;
                }
                filter.insert(&key);
            }
            filter.set_complete();
        };
        if let Err(error) = std::thread::Builder::new().name("index-filter".to_owned()).spawn(read) {
            debug!(%error, "no thread for the index's filter");
        }
    }
}

/// Topics by number: a position takes 14 bytes, whatever the topic's name.
#[derive(Default)]
struct Topics {
    names: Vec<String>,
    numbers: HashMap<String, u16>,
}

type Key = [u8; 16];

/// One event of a chunk.
struct Entry {
    key: Key,
    offset: i64,
    /// Its row in the chunk.
    row: usize,
}

/// An event that is not, or not only, on disk.
enum Held {
    /// A door is writing it.
    Reserved,
    /// A door is writing it, and the fold met it already.
    Met,
    /// A door wrote it; the fold has not met it.
    Confirmed(Place),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    topic: u16,
    partition: i32,
    offset: i64,
}

/// Rows folded in one go: one batch on disk, and the longest that a door waits.
const SLICE_ROWS: usize = 512;

impl fmt::Debug for DedupIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DedupIndex").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

impl DedupIndex {
    /// Opens the index in a folder, or makes it.
    ///
    /// # Errors
    /// [`BusError::Index`] when the folder cannot be used.
    pub fn open(path: impl AsRef<Path>, config: DedupConfig) -> Result<DedupIndex, BusError> {
        let path = path.as_ref().to_path_buf();
        let failed = |error: fjall::Error| failed(&path, &error);
        let database = Database::builder(&path)
            .cache_size(config.cache_bytes)
            .max_journaling_size(64 * 1024 * 1024)
            .worker_threads(1)
            .open()
            .map_err(failed)?;
        let meta = database.keyspace("meta", KeyspaceCreateOptions::default).map_err(failed)?;
        let mut state = State::default();
        for entry in meta.prefix("topic/") {
            let (key, name) = entry.into_inner().map_err(failed)?;
            let number = u16::from_be_bytes(array(&path, &key[6..])?);
            state.topics.set(number, String::from_utf8_lossy(&name).into_owned());
        }
        for entry in meta.prefix("at/") {
            let (key, offset) = entry.into_inner().map_err(failed)?;
            let topic = u16::from_be_bytes(array(&path, &key[3..5])?);
            let partition = i32::from_be_bytes(array(&path, &key[5..])?);
            state.positions.insert((topic, partition), i64::from_be_bytes(array(&path, &offset)?));
        }
        if let Some(generations) = meta.get("generations").map_err(failed)? {
            for generation in generations.chunks(24) {
                let number = u64::from_be_bytes(array(&path, &generation[..8])?);
                let entries = u64::from_be_bytes(array(&path, &generation[8..16])?);
                let since_us = i64::from_be_bytes(array(&path, &generation[16..])?);
                let keyspace = entries_keyspace(&database, number).map_err(failed)?;
                state.generations.push_back(Generation { number, entries, since_us, keyspace, filter: Filter::new(share(&config), false) });
            }
        }
        if state.generations.is_empty() {
            let keyspace = entries_keyspace(&database, 0).map_err(failed)?;
            state.generations.push_back(Generation { number: 0, entries: 0, since_us: 0, keyspace, filter: Filter::new(share(&config), false) });
        }
        // The newest is asked first and grows still.
        state.generations.iter().rev().for_each(Generation::read_filter);
        // A crash may have come between the end of a generation and its removal.
        let known: HashSet<String> = state.generations.iter().map(|generation| name(generation.number)).collect();
        for left in database.list_keyspace_names() {
            if left.starts_with("ids-") && !known.contains(&*left) {
                let keyspace = database.keyspace(&left, KeyspaceCreateOptions::default).map_err(failed)?;
                database.delete_keyspace(keyspace).map_err(failed)?;
            }
        }
        info!(path = %path.display(), generations = state.generations.len(), "opened the index against duplicates");
        Ok(DedupIndex { shared: Arc::new(Shared { path: path.clone(), config, database, meta, state: Mutex::new(state) }) })
    }

    /// The next offset of each partition that is not folded in yet: where to go on after a restart.
    pub fn positions(&self) -> BTreeMap<(String, i32), i64> {
        let state = self.state();
        let named = |(&(topic, partition), &next): (&(u16, i32), &i64)| ((state.topics.name(topic), partition), next);
        state.positions.iter().map(named).collect()
    }

    /// Folds a chunk in: the first position of each of its events that is not known yet. Says of each row whether its
    /// event stands there for the first time. Chunks of a partition come in order; coming again after a crash does no harm
    /// and gives the same answer.
    ///
    /// # Errors
    /// [`BusError::Index`] when the disk does not take it; nothing of the last 512 rows is folded in then.
    pub fn observe(&self, chunk: &Chunk) -> Result<BooleanArray, BusError> {
        let offsets = chunk.rows.column_by_name("offset").expect("bronze rows have offsets").as_primitive::<Int64Type>();
        let times = chunk.rows.column_by_name("kafka_time").expect("bronze rows have times").as_primitive::<TimestampMicrosecondType>();
        let sources = chunk.rows.column_by_name("ce_source").expect("bronze rows have sources").as_string::<i32>();
        let ids = chunk.rows.column_by_name("ce_id").expect("bronze rows have ids").as_string::<i32>();
        let rows = chunk.rows.num_rows();
        let mut firsts = vec![false; rows];
        for from in (0..rows).step_by(SLICE_ROWS) {
            let to = (from + SLICE_ROWS).min(rows);
            let events = (from..to).filter(|row| sources.is_valid(*row) && ids.is_valid(*row));
            let entries: Vec<Entry> = events.map(|row| Entry { key: key(sources.value(row), ids.value(row)), offset: offsets.value(row), row }).collect();
            let next = if to == rows { chunk.next_offset } else { offsets.value(to) };
            let time_us = if times.is_valid(to - 1) { times.value(to - 1) } else { 0 };
            self.fold(&chunk.topic, chunk.partition, &entries, next, time_us, &mut firsts)?;
        }
        Ok(BooleanArray::from(firsts))
    }

    fn fold(&self, topic: &str, partition: i32, entries: &[Entry], next: i64, time_us: i64, firsts: &mut [bool]) -> Result<(), BusError> {
        let failed = |error: fjall::Error| failed(&self.shared.path, &error);
        let mut state = self.state();
        let state = &mut *state;
        let topic = self.topic_number(state, topic)?;
        let mut batch = self.shared.database.batch();
        let newest = state.generations.back().expect("there is always a generation");
        let (current, filter) = (newest.keyspace.clone(), Arc::clone(&newest.filter));
        let mut added: HashSet<Key> = HashSet::with_capacity(entries.len());
        let mut met = Vec::new();
        for Entry { key, offset, row } in entries {
            let here = Place { topic, partition, offset: *offset };
            let mut place = here;
            match state.held.get(key) {
                Some(Held::Confirmed(confirmed)) => {
                    // The broker may have acknowledged a repetition without knowing where the first one is.
                    if confirmed.offset >= 0 {
                        place = *confirmed;
                    }
                    met.push(*key);
                }
                Some(Held::Reserved) => met.push(*key),
                Some(Held::Met) | None => {
                    if added.contains(key) {
                        continue;
                    }
                    if let Some(known) = state.get(key).map_err(failed)? {
                        firsts[*row] = known == here;
                        continue;
                    }
                }
            }
            firsts[*row] = place == here;
            if added.insert(*key) {
                filter.insert(key);
                batch.insert(&current, *key, place.to_bytes());
            }
        }
        batch.insert(&self.shared.meta, at_key(topic, partition), next.to_be_bytes());
        let newest = state.generations.back_mut().expect("there is always a generation");
        newest.entries += added.len() as u64;
        if newest.since_us == 0 {
            newest.since_us = time_us;
        }
        let dropped = self.rotate(state, time_us)?;
        batch.insert(&self.shared.meta, "generations", state.generation_bytes());
        batch.commit().map_err(failed)?;
        state.positions.insert((topic, partition), next);
        for key in met {
            match state.held.get_mut(&key) {
                Some(Held::Confirmed(_)) => {
                    state.held.remove(&key);
                    state.confirmed -= 1;
                }
                Some(held) => *held = Held::Met,
                None => {}
            }
        }
        // Only now, when nothing on disk names them any more.
        for generation in dropped {
            debug!(number = generation.number, entries = generation.entries, "dropping a generation");
            self.shared.database.delete_keyspace(generation.keyspace).map_err(failed)?;
        }
        Ok(())
    }

    /// Begins a new generation when the newest has its share; returns those that fall out of the window.
    fn rotate(&self, state: &mut State, time_us: i64) -> Result<Vec<Generation>, BusError> {
        let newest = state.generations.back().expect("there is always a generation");
        let generations = self.shared.config.generations.max(2);
        let shares = generations as u64 - 1;
        let full = match self.shared.config.window {
            Window::Events(_) => newest.entries >= share(&self.shared.config),
            Window::Time(window) => {
                let share_us = i64::try_from(window.as_micros() / u128::from(shares)).unwrap_or(i64::MAX).max(1);
                newest.entries > 0 && time_us.saturating_sub(newest.since_us) >= share_us
            }
        };
        if !full {
            return Ok(Vec::new());
        }
        let number = newest.number + 1;
        let keyspace = entries_keyspace(&self.shared.database, number).map_err(|error| failed(&self.shared.path, &error))?;
        state.generations.push_back(Generation { number, entries: 0, since_us: 0, keyspace, filter: Filter::new(share(&self.shared.config), true) });
        let excess = state.generations.len().saturating_sub(generations);
        Ok(state.generations.drain(..excess).collect())
    }

    /// The first position of an event, if it is within the window.
    ///
    /// # Errors
    /// [`BusError::Index`] when the disk cannot be read.
    pub fn first(&self, source: &str, id: &str) -> Result<Option<Position>, BusError> {
        let state = self.state();
        let key = key(source, id);
        if let Some(Held::Confirmed(place)) = state.held.get(&key) {
            return Ok(Some(state.topics.position(*place)));
        }
        let place = state.get(&key).map_err(|error| failed(&self.shared.path, &error))?;
        Ok(place.map(|place| state.topics.position(place)))
    }

    /// Asks for leave to write an event.
    ///
    /// # Errors
    /// [`BusError::Index`] when the disk cannot be read.
    pub fn reserve(&self, source: &str, id: &str) -> Result<Reserved, BusError> {
        let mut state = self.state();
        let key = key(source, id);
        match state.held.get(&key) {
            Some(Held::Reserved | Held::Met) => return Ok(Reserved::Pending),
            Some(Held::Confirmed(place)) => return Ok(Reserved::Duplicate(state.topics.position(*place))),
            None => {}
        }
        if let Some(place) = state.get(&key).map_err(|error| failed(&self.shared.path, &error))? {
            return Ok(Reserved::Duplicate(state.topics.position(place)));
        }
        state.held.insert(key, Held::Reserved);
        Ok(Reserved::Fresh(Reservation { index: self.clone(), key, done: false }))
    }

    /// Takes down that events were written, for a door that keeps its own reservations.
    ///
    /// # Errors
    /// [`BusError::Index`] when the disk does not take them.
    pub fn remember<'a>(&self, events: impl IntoIterator<Item = (&'a str, &'a str, &'a Position)>) -> Result<(), BusError> {
        for (source, id, position) in events {
            self.confirm(key(source, id), position)?;
        }
        Ok(())
    }

    fn confirm(&self, key: Key, position: &Position) -> Result<(), BusError> {
        let mut state = self.state();
        let topic = self.topic_number(&mut state, &position.topic)?;
        let folded = match position.offset {
            // Acknowledged without an offset: only the index can tell whether the fold has met it.
            ..0 => state.get(&key).map_err(|error| failed(&self.shared.path, &error))?.is_some(),
            offset => state.positions.get(&(topic, position.partition)).is_some_and(|next| *next > offset),
        };
        if folded || matches!(state.held.get(&key), Some(Held::Met)) {
            // The fold was faster; the entry stands on disk.
            state.held.remove(&key);
            return Ok(());
        }
        let place = Place { topic, partition: position.partition, offset: position.offset };
        match state.held.insert(key, Held::Confirmed(place)) {
            Some(Held::Confirmed(first)) => {
                state.held.insert(key, Held::Confirmed(first));
            }
            Some(Held::Reserved | Held::Met) | None => state.confirmed += 1,
        }
        match state.confirmed > limits::CONFIRMED_MAX {
            true => self.write_confirmed(&mut state),
            false => Ok(()),
        }
    }

    /// The fold is far behind: what it has not met goes to disk now. It will find it there.
    fn write_confirmed(&self, state: &mut State) -> Result<(), BusError> {
        let mut batch = self.shared.database.batch();
        let newest = state.generations.back_mut().expect("there is always a generation");
        for (key, held) in &state.held {
            if let Held::Confirmed(place) = held {
                newest.filter.insert(key);
                batch.insert(&newest.keyspace, *key, place.to_bytes());
                newest.entries += 1;
            }
        }
        batch.insert(&self.shared.meta, "generations", state.generation_bytes());
        batch.commit().map_err(|error| failed(&self.shared.path, &error))?;
        state.held.retain(|_, held| !matches!(held, Held::Confirmed(_)));
        state.confirmed = 0;
        Ok(())
    }

    /// Makes everything so far survive a power cut. Without it, a power cut costs some catching up from the log.
    ///
    /// # Errors
    /// [`BusError::Index`] when the disk does not take it.
    pub fn sync(&self) -> Result<(), BusError> {
        self.shared.database.persist(PersistMode::SyncData).map_err(|error| failed(&self.shared.path, &error))
    }

    /// Numbers for metrics.
    pub fn stats(&self) -> DedupStats {
        let state = self.state();
        DedupStats {
            entries: state.generations.iter().map(|generation| generation.entries).sum(),
            generations: state.generations.len(),
            reserved: state.held.len() - state.confirmed,
            confirmed: state.confirmed,
            disk_bytes: self.shared.database.disk_space().unwrap_or_default(),
        }
    }

    fn topic_number(&self, state: &mut State, topic: &str) -> Result<u16, BusError> {
        if let Some(number) = state.topics.numbers.get(topic) {
            return Ok(*number);
        }
        let number = u16::try_from(state.topics.names.len()).map_err(|_| BusError::Index {
            path: self.shared.path.display().to_string(),
            problem: "it has seen more than 65,536 topics".to_owned(),
        })?;
        let key = [b"topic/".as_slice(), &number.to_be_bytes()].concat();
        self.shared.meta.insert(key, topic).map_err(|error| failed(&self.shared.path, &error))?;
        state.topics.set(number, topic.to_owned());
        Ok(number)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to write one event. Dropping it without [`Reservation::confirm`] gives the event free again.
#[derive(Debug)]
pub struct Reservation {
    index: DedupIndex,
    key: Key,
    done: bool,
}

impl Reservation {
    /// The event was written here.
    ///
    /// # Errors
    /// [`BusError::Index`] when the disk does not take it.
    pub fn confirm(mut self, position: &Position) -> Result<(), BusError> {
        self.done = true;
        self.index.confirm(self.key, position)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.done {
            self.index.state().held.remove(&self.key);
        }
    }
}

impl State {
    fn get(&self, key: &Key) -> Result<Option<Place>, fjall::Error> {
        for generation in self.generations.iter().rev() {
            if generation.entries == 0 || !generation.filter.may_hold(key) {
                continue;
            }
            if let Some(value) = generation.keyspace.get(key)? {
                return Ok(Place::from_bytes(&value));
            }
        }
        Ok(None)
    }

    fn generation_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.generations.len() * 24);
        for generation in &self.generations {
            bytes.extend(generation.number.to_be_bytes());
            bytes.extend(generation.entries.to_be_bytes());
            bytes.extend(generation.since_us.to_be_bytes());
        }
        bytes
    }
}

impl Topics {
    fn set(&mut self, number: u16, name: String) {
        let slot = usize::from(number);
        if self.names.len() <= slot {
            self.names.resize(slot + 1, String::new());
        }
        self.names[slot].clone_from(&name);
        self.numbers.insert(name, number);
    }

    fn name(&self, number: u16) -> String {
        self.names.get(usize::from(number)).cloned().unwrap_or_default()
    }

    fn position(&self, place: Place) -> Position {
        Position { topic: self.name(place.topic), partition: place.partition, offset: place.offset }
    }
}

impl Place {
    fn to_bytes(self) -> [u8; 14] {
        let mut bytes = [0; 14];
        bytes[..2].copy_from_slice(&self.topic.to_be_bytes());
        bytes[2..6].copy_from_slice(&self.partition.to_be_bytes());
        bytes[6..].copy_from_slice(&self.offset.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Place> {
        let topic = u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?);
        let partition = i32::from_be_bytes(bytes.get(2..6)?.try_into().ok()?);
        let offset = i64::from_be_bytes(bytes.get(6..14)?.try_into().ok()?);
        Some(Place { topic, partition, offset })
    }
}

fn key(source: &str, id: &str) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(source.as_bytes()).update(&[0]).update(id.as_bytes());
    let mut key = [0; 16];
    key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    key
}

fn name(number: u64) -> String {
    format!("ids-{number}")
}

/// Entries of one generation; of a window by time, what its filter is made for.
fn share(config: &DedupConfig) -> u64 {
    match config.window {
        Window::Events(events) => events.div_ceil(config.generations.max(2) as u64 - 1).max(1),
        Window::Time(_) => limits::GENERATION_ENTRIES,
    }
}

fn entries_keyspace(database: &Database, number: u64) -> Result<Keyspace, fjall::Error> {
    database.keyspace(&name(number), || KeyspaceCreateOptions::default().max_memtable_size(limits::INDEX_MEMTABLE_BYTES))
}

fn at_key(topic: u16, partition: i32) -> Vec<u8> {
    [b"at/".as_slice(), &topic.to_be_bytes(), &partition.to_be_bytes()].concat()
}

fn array<const N: usize>(path: &Path, bytes: &[u8]) -> Result<[u8; N], BusError> {
    bytes.try_into().map_err(|_| BusError::Index { path: path.display().to_string(), problem: "an entry is torn".to_owned() })
}

fn failed(path: &Path, error: &fjall::Error) -> BusError {
    BusError::Index { path: path.display().to_string(), problem: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{ChunkBuilder, Raw};
    use schemas::event::Event;

    /// A chunk of events with these ids, one after the other from `first`; an empty id is no event.
    fn chunk(topic: &str, partition: i32, first: i64, ids: &[String]) -> Chunk {
        let mut builder = ChunkBuilder::new(Arc::from(topic), partition, ids.len());
        for (offset, id) in (first..).zip(ids) {
            let mut record = Event::new(id.as_str(), "/gauges", "io.citybrain.sensor.observation.v1").to_kafka();
            if id.is_empty() {
                record.headers.clear();
            }
            let headers = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
            builder.push(Raw { offset, timestamp_ms: Some(offset * 1000), key: None, headers, value: None });
        }
        builder.finish(0).expect("there are rows")
    }

    fn ids(range: std::ops::Range<u32>) -> Vec<String> {
        range.map(|id| id.to_string()).collect()
    }

    fn offset(index: &DedupIndex, id: &str) -> Option<i64> {
        index.first("/gauges", id).unwrap().map(|position| position.offset)
    }

    fn small(events: u64) -> DedupConfig {
        DedupConfig { window: Window::Events(events), generations: 3, ..DedupConfig::default() }
    }

    #[test]
    fn the_first_position_wins_and_outlives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let index = DedupIndex::open(folder.path(), DedupConfig::default()).unwrap();
        let mut repeated = ids(0..3);
        repeated.push(String::new());
        repeated.extend(ids(1..4));
        let firsts = index.observe(&chunk("raw.sensor", 0, 100, &repeated)).unwrap();
        let mut seen = HashSet::new();
        let expected: Vec<bool> = repeated.iter().map(|id| !id.is_empty() && seen.insert(id.clone())).collect();
        assert_eq!(firsts, BooleanArray::from(expected.clone()));
        assert_eq!(index.observe(&chunk("raw.sensor", 0, 100, &repeated)).unwrap(), BooleanArray::from(expected), "again, as after a crash");
        index.observe(&chunk("raw.hotline", 1, 7, &ids(3..5))).unwrap();
        for _ in 0..2 {
            let index = DedupIndex::open(folder.path(), DedupConfig::default());
            // The store allows one owner at a time.
            assert!(index.is_err());
        }
        drop(index);
        let index = DedupIndex::open(folder.path(), DedupConfig::default()).unwrap();
        assert_eq!((0..6).map(|id| offset(&index, &id.to_string())).collect::<Vec<_>>(), [Some(100), Some(101), Some(102), Some(106), Some(8), None]);
        assert_eq!(index.first("/gauges", "4").unwrap(), Some(Position::new("raw.hotline", 1, 8)));
        let positions: Vec<((String, i32), i64)> = index.positions().into_iter().collect();
        assert_eq!(positions, [(("raw.hotline".to_owned(), 1), 9), (("raw.sensor".to_owned(), 0), 107)]);
        // The same again, as after a crash that lost nothing.
        index.observe(&chunk("raw.sensor", 0, 100, &ids(0..3))).unwrap();
        assert_eq!(offset(&index, "0"), Some(100));
        assert_eq!(index.stats().entries, 5);
    }

    #[test]
    fn a_door_reserves_confirms_and_gives_free() {
        let folder = tempfile::tempdir().unwrap();
        let index = DedupIndex::open(folder.path(), DedupConfig::default()).unwrap();
        let Reserved::Fresh(reservation) = index.reserve("/gauges", "1").unwrap() else { panic!("nobody knows it") };
        assert!(matches!(index.reserve("/gauges", "1").unwrap(), Reserved::Pending));
        drop(reservation);
        let Reserved::Fresh(reservation) = index.reserve("/gauges", "1").unwrap() else { panic!("it was given free") };
        reservation.confirm(&Position::new("raw.sensor", 0, 5)).unwrap();
        assert!(matches!(index.reserve("/gauges", "1").unwrap(), Reserved::Duplicate(position) if position.offset == 5));
        assert_eq!(index.stats().confirmed, 1);
        index.observe(&chunk("raw.sensor", 0, 5, &ids(1..3))).unwrap();
        assert_eq!((index.stats().confirmed, offset(&index, "1"), offset(&index, "2")), (0, Some(5), Some(6)));

        // The fold meets the record before the door hears that it was written.
        let Reserved::Fresh(reservation) = index.reserve("/gauges", "9").unwrap() else { panic!("nobody knows it") };
        index.observe(&chunk("raw.sensor", 0, 7, &ids(9..10))).unwrap();
        assert!(matches!(index.reserve("/gauges", "9").unwrap(), Reserved::Pending));
        reservation.confirm(&Position::new("raw.sensor", 0, 7)).unwrap();
        assert!(matches!(index.reserve("/gauges", "9").unwrap(), Reserved::Duplicate(position) if position.offset == 7));
        assert_eq!((index.stats().confirmed, index.stats().reserved), (0, 0));
    }

    #[test]
    fn old_generations_are_dropped_and_the_window_holds() {
        let folder = tempfile::tempdir().unwrap();
        let index = DedupIndex::open(folder.path(), small(1000)).unwrap();
        for from in (0..5000u32).step_by(100) {
            index.observe(&chunk("raw.sensor", 0, i64::from(from), &ids(from..from + 100))).unwrap();
            let newest = from + 99;
            assert_eq!(offset(&index, &newest.to_string()), Some(i64::from(newest)));
            if newest >= 999 {
                let oldest = newest - 999;
                assert_eq!(offset(&index, &oldest.to_string()), Some(i64::from(oldest)), "the window is a promise");
            }
            assert!(index.stats().entries <= 1600, "{:?}", index.stats());
        }
        assert_eq!(offset(&index, "0"), None);
        drop(index);
        let index = DedupIndex::open(folder.path(), small(1000)).unwrap();
        assert_eq!((offset(&index, "4000"), offset(&index, "0")), (Some(4000), None));
    }

    #[test]
    fn a_window_in_time_goes_by_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let config = DedupConfig { window: Window::Time(Duration::from_secs(100)), generations: 3, ..DedupConfig::default() };
        let index = DedupIndex::open(folder.path(), config).unwrap();
        // One event for each second, by Kafka's time.
        for second in 0..400u32 {
            index.observe(&chunk("raw.sensor", 0, i64::from(second), &ids(second..second + 1))).unwrap();
        }
        assert_eq!((offset(&index, "299"), offset(&index, "100")), (Some(299), None));
    }

    #[test]
    fn what_the_fold_has_not_met_does_not_pile_up() {
        let folder = tempfile::tempdir().unwrap();
        let index = DedupIndex::open(folder.path(), DedupConfig::default()).unwrap();
        let many = u32::try_from(limits::CONFIRMED_MAX).unwrap() + 10;
        for id in 0..many {
            let position = Position::new("raw.sensor", 0, i64::from(id));
            index.remember([("/gauges", id.to_string().as_str(), &position)]).unwrap();
        }
        assert!(index.stats().confirmed < 100, "{:?}", index.stats());
        assert_eq!(offset(&index, "17"), Some(17));
        index.observe(&chunk("raw.sensor", 0, 0, &ids(0..100))).unwrap();
        assert_eq!(offset(&index, "17"), Some(17));
    }
}
