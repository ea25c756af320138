//! The tap's thread: polls, decodes, cuts, hands over, and holds back.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::lane::{Lane, LaneReader};
use super::queue::QueueSender;
use super::{ReaderLag, TapConfig};
use crate::context::{self, Complaints};
use crate::filter::Filter;
use crate::limits;

/// What the thread is asked for.
pub enum Command {
    /// A new reader.
    Read { id: u64, filter: Filter, start: BTreeMap<(String, i32), i64>, queue: QueueSender },
    /// What topics there are now, and who asked for it.
    Topics { topics: BTreeMap<String, i32>, asked: Vec<oneshot::Sender<()>> },
    /// How far all readers are.
    Lags(oneshot::Sender<Vec<ReaderLag>>),
    /// Enough.
    Stop,
}

struct Reader {
    filter: Filter,
    start: BTreeMap<(String, i32), i64>,
    queue: QueueSender,
}

/// The thread's state.
pub struct Fetch {
    consumer: Arc<BaseConsumer<TapContext>>,
    config: TapConfig,
    commands: Receiver<Command>,
    readers: BTreeMap<u64, Reader>,
    topics: BTreeMap<String, i32>,
    /// For how many looks a topic with lanes has been missing.
    missing: HashMap<String, u32>,
    lanes: Vec<Option<Lane>>,
    /// Where the lanes of a topic are, by partition.
    places: HashMap<Arc<str>, Vec<Option<usize>>>,
    /// Lanes with an open chunk.
    open: Vec<usize>,
    opened: Instant,
    /// When chunks were handed over last.
    cut: Instant,
    open_bytes: usize,
    /// Some partition is held back.
    holding: bool,
    regulated: Instant,
    last: LastLane,
}

/// The lane of the last record: the next one is nearly always from the same partition.
#[derive(Clone, Copy)]
struct LastLane {
    topic: usize,
    partition: i32,
    lane: usize,
}

const NO_LANE: LastLane = LastLane { topic: 0, partition: -1, lane: usize::MAX };

/// Records between two looks at the clock and at the commands.
const ROUND: u32 = 64;

impl Fetch {
    pub fn new(consumer: Arc<BaseConsumer<TapContext>>, config: TapConfig, commands: Receiver<Command>) -> Fetch {
        Fetch {
            consumer,
            config,
            commands,
            readers: BTreeMap::new(),
            topics: BTreeMap::new(),
            missing: HashMap::new(),
            lanes: Vec::new(),
            places: HashMap::new(),
            open: Vec::new(),
            opened: Instant::now(),
            cut: Instant::now(),
            open_bytes: 0,
            holding: false,
            regulated: Instant::now(),
            last: NO_LANE,
        }
    }

    pub fn run(mut self) {
        // A second handle, since messages borrow from it while the rest changes.
        let consumer = Arc::clone(&self.consumer);
        while self.obey() {
            self.hear_watermarks();
            self.regulate();
            // Company is waited for only where there is some: a record that comes alone goes on at once.
            let linger = match self.cut.elapsed() < self.config.linger * 2 {
                true => self.config.linger,
                false => Duration::ZERO,
            };
            let mut wait = match self.open.is_empty() {
                true => limits::IDLE_POLL,
                false => linger,
            };
            let mut taken = 0;
            while taken < ROUND {
                match consumer.poll(wait) {
                    Some(Ok(message)) => {
                        self.take(&message);
                        taken += 1;
                        wait = linger;
                    }
                    Some(Err(error)) => {
                        self.consumer.context().complaints.hear(&error, "");
                        break;
                    }
                    None => {
                        // Nothing more came within the linger time.
                        self.cut_all();
                        break;
                    }
                }
            }
            if !self.open.is_empty() && self.opened.elapsed() >= self.config.chunk_age {
                self.cut_all();
            }
        }
        self.cut_all();
        debug!("the tap ends");
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let Some(index) = self.lane_of(message) else { return };
        let Some(lane) = self.lanes[index].as_mut() else { return };
        if message.offset() < lane.next {
            // Either handed out already before a pause, or the topic is a new one of the same name.
            let ends = self.consumer.fetch_watermarks(&lane.topic, lane.partition, limits::REQUEST_TIMEOUT);
            match ends {
                Ok((_, high)) if high < lane.next => {
                    warn!(topic = &*lane.topic, partition = lane.partition, was = lane.next, "the topic was made anew; reading from its beginning");
                    self.open_bytes -= lane.open_bytes();
                    self.open.retain(|open| *open != index);
                    lane.restart(message.offset());
                }
                Ok(_) | Err(_) => return,
            }
        }
        let before = lane.open_bytes();
        let (bytes, rows) = lane.push(message);
        if before == 0 {
            if self.open.is_empty() {
                self.opened = Instant::now();
            }
            self.open.push(index);
        }
        self.open_bytes += bytes - before;
        if rows >= self.config.chunk_rows || bytes >= self.config.chunk_bytes {
            lane.cut();
            self.open_bytes -= bytes;
            self.open.retain(|open| *open != index);
        } else if self.open_bytes >= limits::OPEN_BYTES {
            self.cut_all();
        }
    }

    fn lane_of(&mut self, message: &BorrowedMessage<'_>) -> Option<usize> {
        let (topic, partition) = (message.topic_ptr().addr(), message.partition());
        if self.last.topic == topic && self.last.partition == partition {
            return Some(self.last.lane);
        }
        let slots = self.places.get(message.topic())?;
        let lane = (*slots.get(usize::try_from(partition).ok()?)?)?;
        self.last = LastLane { topic, partition, lane };
        Some(lane)
    }

    fn cut_all(&mut self) {
        if !self.open.is_empty() {
            self.cut = Instant::now();
        }
        for index in self.open.drain(..) {
            if let Some(lane) = self.lanes[index].as_mut() {
                lane.cut();
            }
        }
        self.open_bytes = 0;
    }

    /// Does what was asked; answers whether to go on.
    fn obey(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Read { id, filter, start, queue }) => {
                    self.readers.insert(id, Reader { filter, start, queue });
                    self.arrange();
                }
                Ok(Command::Topics { topics, asked }) => {
                    self.consumer.context().complaints.forget();
                    self.see_topics(topics);
                    for done in asked {
                        // Who asked may have gone.
                        let _ = done.send(());
                    }
                }
                Ok(Command::Lags(tell)) => {
                    let _ = tell.send(self.lags());
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => break,
            }
        }
        if self.readers.values().any(|reader| reader.queue.is_closed()) {
            self.readers.retain(|_, reader| !reader.queue.is_closed());
            self.arrange();
        }
        true
    }

    fn see_topics(&mut self, mut topics: BTreeMap<String, i32>) {
        for topic in self.places.keys() {
            if topics.contains_key(topic.as_ref()) {
                self.missing.remove(topic.as_ref());
                continue;
            }
            let looks = self.missing.entry(topic.to_string()).or_default();
            *looks += 1;
            if *looks < limits::MISSING_LOOKS {
                let partitions = self.topics.get(topic.as_ref()).copied().unwrap_or_default();
                topics.insert(topic.to_string(), partitions);
            } else {
                warn!(topic = &**topic, "the topic was deleted; its readers go on without it");
            }
        }
        self.missing.retain(|topic, _| topics.contains_key(topic));
        if topics != self.topics {
            self.topics = topics;
            self.arrange();
        }
    }

    /// Brings lanes and librdkafka's assignment in line with readers and topics.
    fn arrange(&mut self) {
        self.cut_all();
        self.last = NO_LANE;
        let mut leave = TopicPartitionList::new();
        let mut join = TopicPartitionList::new();
        for (topic, partitions) in &self.topics {
            let wanting: Vec<(u64, &Filter)> =
                self.readers.iter().filter(|(_, reader)| reader.filter.matches(topic)).map(|(id, reader)| (*id, &reader.filter)).collect();
            if wanting.is_empty() && !self.places.contains_key(topic.as_str()) {
                continue;
            }
            for partition in 0..*partitions {
                let ids: Vec<u64> = wanting.iter().filter(|(_, filter)| filter.wants(partition)).map(|(id, _)| *id).collect();
                if ids.is_empty() && !has_place(&self.places, topic, partition) {
                    continue;
                }
                let index = place(&mut self.places, &mut self.lanes, topic, partition);
                let Some(lane) = self.lanes[index].as_mut() else { continue };
                let was_read = !lane.readers.is_empty();
                lane.readers.retain(|reader| ids.contains(&reader.id));
                for id in &ids {
                    if lane.readers.iter().any(|reader| reader.id == *id) {
                        continue;
                    }
                    let reader = &self.readers[id];
                    let next = reader.start.get(&(topic.clone(), partition)).copied().unwrap_or(0).max(0);
                    lane.readers.push(LaneReader { id: *id, queue: reader.queue.clone(), next, bytes: Arc::default() });
                }
                let is_read = !lane.readers.is_empty();
                let wanted = lane.readers.iter().map(|reader| reader.next).min().unwrap_or(lane.next);
                // A new reader that begins later than the others waits for them; one that begins earlier takes all back.
                let moves = is_read && (!was_read || wanted < lane.next);
                if was_read && (!is_read || moves) {
                    leave.add_partition(topic, partition);
                    lane.paused = false;
                }
                if moves {
                    lane.next = wanted;
                    let offset = if wanted == 0 { Offset::Beginning } else { Offset::Offset(wanted) };
                    if let Err(error) = join.add_partition_offset(topic, partition, offset) {
                        warn!(topic, partition, wanted, %error, "could not ask for a partition");
                    }
                }
            }
        }
        self.forget_gone(&mut leave);
        if leave.count() > 0
            && let Err(error) = self.consumer.incremental_unassign(&leave)
        {
            warn!(%error, "could not leave partitions");
        }
        if join.count() > 0 {
            match self.consumer.incremental_assign(&join) {
                Ok(()) => info!(partitions = join.count(), "reading partitions"),
                Err(error) => warn!(%error, partitions = join.count(), "could not begin to read partitions"),
            }
        }
    }

    /// Removes the lanes of topics that are gone.
    fn forget_gone(&mut self, leave: &mut TopicPartitionList) {
        let gone: Vec<Arc<str>> = self.places.keys().filter(|topic| !self.topics.contains_key(topic.as_ref())).cloned().collect();
        for topic in gone {
            for index in self.places.remove(&topic).unwrap_or_default().into_iter().flatten() {
                let Some(lane) = self.lanes[index].take() else { continue };
                if !lane.readers.is_empty() {
                    leave.add_partition(&lane.topic, lane.partition);
                }
                // Should the topic come back, its readers go on where they were.
                for reader in &lane.readers {
                    if let Some(known) = self.readers.get_mut(&reader.id) {
                        known.start.insert((lane.topic.to_string(), lane.partition), reader.next);
                    }
                }
            }
        }
    }

    fn hear_watermarks(&mut self) {
        let heard = std::mem::take(&mut *self.consumer.context().ends.lock().unwrap_or_else(PoisonError::into_inner));
        for (topic, partition, high) in heard {
            let place = self.places.get(topic.as_str()).and_then(|slots| *slots.get(usize::try_from(partition).ok()?)?);
            if let Some(lane) = place.and_then(|index| self.lanes[index].as_mut()) {
                lane.high_watermark = lane.high_watermark.max(high);
            }
        }
    }

    /// Holds back the partitions that fill a reader which does not keep up, and lets them go when it has room again.
    fn regulate(&mut self) {
        let full: HashSet<u64> =
            self.readers.iter().filter(|(_, reader)| reader.queue.waiting.is_full()).map(|(id, _)| *id).collect();
        if (full.is_empty() && !self.holding) || (self.holding && self.regulated.elapsed() < limits::LINGER) {
            return;
        }
        self.regulated = Instant::now();
        let mut pause = TopicPartitionList::new();
        let mut resume = TopicPartitionList::new();
        self.holding = false;
        for lane in self.lanes.iter_mut().flatten() {
            let (topic, partition) = (&lane.topic, lane.partition);
            if lane.paused && lane.readers.iter().all(|reader| reader.queue.waiting.has_room()) {
                resume.add_partition(topic, partition);
                lane.paused = false;
            } else if !lane.paused {
                let fills = |reader: &LaneReader| {
                    let waiting = &reader.queue.waiting;
                    full.contains(&reader.id) && (waiting.is_filled_by(reader.bytes()) || waiting.is_overfull())
                };
                lane.paused = lane.readers.iter().any(fills);
                if lane.paused {
                    pause.add_partition(topic, partition);
                }
            }
            self.holding |= lane.paused;
        }
        if pause.count() > 0 {
            debug!(partitions = pause.count(), "a reader is full; holding its partitions back");
            if let Err(error) = self.consumer.pause(&pause) {
                warn!(%error, "could not hold partitions back");
            }
        }
        if resume.count() > 0 {
            debug!(partitions = resume.count(), "letting partitions go");
            if let Err(error) = self.consumer.resume(&resume) {
                warn!(%error, "could not let partitions go");
            }
        }
    }

    fn lags(&self) -> Vec<ReaderLag> {
        let mut lags: Vec<ReaderLag> = Vec::new();
        for lane in self.lanes.iter().flatten() {
            for reader in &lane.readers {
                let waiting = &reader.queue.waiting;
                let begun = self.readers.get(&reader.id).and_then(|known| known.start.get(&(lane.topic.to_string(), lane.partition)));
                let position = waiting.taken(&lane.topic, lane.partition).or(begun.copied()).unwrap_or(0);
                lags.push(ReaderLag {
                    reader: Arc::clone(&waiting.name),
                    topic: Arc::clone(&lane.topic),
                    partition: lane.partition,
                    position,
                    high_watermark: lane.high_watermark.max(lane.next),
                });
            }
        }
        lags.sort_by(|a, b| (&a.reader, &a.topic, a.partition).cmp(&(&b.reader, &b.topic, b.partition)));
        lags
    }
}

fn has_place(places: &HashMap<Arc<str>, Vec<Option<usize>>>, topic: &str, partition: i32) -> bool {
    let slot = usize::try_from(partition).unwrap_or_default();
    places.get(topic).and_then(|slots| slots.get(slot)).is_some_and(Option::is_some)
}

/// The lane of a partition, made if need be.
fn place(places: &mut HashMap<Arc<str>, Vec<Option<usize>>>, lanes: &mut Vec<Option<Lane>>, topic: &str, partition: i32) -> usize {
    if !places.contains_key(topic) {
        places.insert(Arc::from(topic), Vec::new());
    }
    let (name, slots) = match places.get_key_value(topic) {
        Some((name, slots)) => (Arc::clone(name), slots),
        None => unreachable!("it was inserted above"),
    };
    let slot = usize::try_from(partition).unwrap_or_default();
    if let Some(Some(index)) = slots.get(slot) {
        return *index;
    }
    let lane = Lane::new(Arc::clone(&name), partition);
    let index = match lanes.iter().position(Option::is_none) {
        Some(free) => {
            lanes[free] = Some(lane);
            free
        }
        None => {
            lanes.push(Some(lane));
            lanes.len() - 1
        }
    };
    let slots = places.entry(name).or_default();
    if slots.len() <= slot {
        slots.resize(slot + 1, None);
    }
    slots[slot] = Some(index);
    index
}

/// Hears what librdkafka tells the tap's consumer.
#[derive(Default)]
pub struct TapContext {
    pub complaints: Complaints,
    /// Where partitions end, since last looked at.
    ends: Mutex<Vec<(String, i32, i64)>>,
}

/// The few numbers that are read out of librdkafka's statistics.
#[derive(Deserialize)]
struct Numbers {
    #[serde(default)]
    topics: HashMap<String, TopicNumbers>,
}

#[derive(Deserialize)]
struct TopicNumbers {
    #[serde(default)]
    partitions: HashMap<String, PartitionNumbers>,
}

#[derive(Deserialize)]
struct PartitionNumbers {
    partition: i32,
    #[serde(default)]
    hi_offset: i64,
}

impl ClientContext for TapContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.complaints.hear(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        let Ok(numbers) = serde_json::from_slice::<Numbers>(statistics) else { return };
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.clear();
        for (topic, numbers) in numbers.topics {
            for numbers in numbers.partitions.into_values() {
                if numbers.partition >= 0 && numbers.hi_offset >= 0 {
                    ends.push((topic.clone(), numbers.partition, numbers.hi_offset));
                }
            }
        }
    }
}

impl ConsumerContext for TapContext {}
