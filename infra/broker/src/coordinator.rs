//! All consumer groups: gives them time, delivers their answers, and keeps the committed offsets.
//!
//! Offsets are records of a compacted topic of the broker's own, in Kafka's own form, so they are as durable as any
//! other record. Membership is not kept: after a restart the members join again.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::records::Compression;
use tokio::sync::{Notify, oneshot};
use tracing::{error, info, warn};

use crate::batch;
use crate::group::{Group, Join, Joined, Out, Phase, Refusal, Synced, Ticket};
use crate::limits::GROUPS_MAX;
use crate::log::partition::AppendError;
use crate::log::writer::AppendAnswer;
use crate::log::{Store, Topic, TopicError};
use crate::records;
use crate::server::Node;
use crate::sync::{lock, now_ms};
use crate::topic::{OFFSETS_TOPIC, TopicConfig};

/// How exact sessions are kept.
const TICK: Duration = Duration::from_millis(50);

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next record to read.
    pub offset: i64,
    /// Epoch of the last record read, or -1.
    pub leader_epoch: i32,
    /// Whatever the consumer wrote with it.
    pub metadata: String,
    /// Where in the offsets topic it stands: of two, the later counts.
    position: i64,
}

/// Topic and partition.
pub type Place = (String, i32);

#[derive(Debug, Default)]
struct Entry {
    group: Group,
    offsets: BTreeMap<Place, Committed>,
}

/// Where a member's answer goes.
#[derive(Debug)]
enum Waiting {
    Join(oneshot::Sender<Result<Joined, (Refusal, String)>>),
    Sync(oneshot::Sender<Result<Synced, Refusal>>),
}

#[derive(Debug, Default)]
struct State {
    groups: BTreeMap<String, Entry>,
    waiting: HashMap<Ticket, Waiting>,
    next_ticket: Ticket,
}

/// The coordinator of all groups.
#[derive(Debug)]
pub struct Coordinator {
    store: Arc<Store>,
    state: Mutex<State>,
    gather_ms: i64,
    begun: Instant,
    awake: Notify,
}

/// What is told about a group.
#[derive(Debug, Clone)]
pub struct Description {
    /// How far it is.
    pub phase: Phase,
    /// The group.
    pub group: Group,
}

/// Why offsets were not committed or removed.
#[derive(Debug)]
pub enum CommitError {
    /// The member may not.
    Refused(Refusal),
    /// Too many groups.
    Full,
    /// The disk.
    Storage,
}

/// Why a group cannot be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveError {
    /// It does not exist.
    Unknown,
    /// Somebody is in it.
    NotEmpty,
    /// The disk.
    Storage,
}

impl Coordinator {
    /// Reads the committed offsets. Blocks.
    pub fn load(store: Arc<Store>, gather: Duration) -> io::Result<Self> {
        let mut state = State::default();
        if let Some(partition) = store.topic(OFFSETS_TOPIC).and_then(|t| t.partition(0)) {
            let bounds = partition.bounds();
            let mut next = bounds.log_start;
            while next < bounds.high_watermark {
                let mut bytes = partition.read_file(next, 1024 * 1024)?;
                if bytes.is_empty() {
                    break;
                }
                while let Some(header) = batch::BatchHeader::parse(&bytes) {
                    let one = bytes.split_to(header.size.min(bytes.len()));
                    for record in records::read(&one).unwrap_or_default() {
                        apply(&mut state.groups, &record.key, &record.value, record.offset);
                    }
                    next = header.next_offset();
                }
            }
            let offsets: usize = state.groups.values().map(|e| e.offsets.len()).sum();
            info!(groups = state.groups.len(), offsets, "read the committed offsets");
        }
        let gather_ms = i64::try_from(gather.as_millis()).unwrap_or(i64::MAX);
        Ok(Self { store, state: Mutex::new(state), gather_ms, begun: Instant::now(), awake: Notify::new() })
    }

    /// Milliseconds that never go back.
    fn now(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Groups with members.
    pub fn active_groups(&self) -> usize {
        lock(&self.state).groups.values().filter(|e| !e.group.is_idle()).count()
    }

    /// Joins a group; waits until the next generation begins.
    pub async fn join(&self, group: &str, join: Join) -> Result<Joined, (Refusal, String)> {
        let (answer, member) = {
            let mut state = lock(&self.state);
            let member = join.member.clone();
            if state.groups.len() >= GROUPS_MAX && !state.groups.contains_key(group) {
                return Err((Refusal::Full, member));
            }
            // A member that nobody knows does not bring a group into being.
            if !join.member.is_empty() && !state.groups.contains_key(group) {
                return Err((Refusal::UnknownMember, member));
            }
            let (ticket, answer) = state.ticket(Waiting::Join);
            let mut out = Vec::new();
            state.groups.entry(group.into()).or_default().group.join(self.now(), join, ticket, self.gather_ms, &mut out);
            state.deliver(out);
            (answer, member)
        };
        self.awake.notify_one();
        answer.await.unwrap_or(Err((Refusal::UnknownMember, member)))
    }

    /// Fetches a member's assignment; waits for the leader.
    pub async fn sync(
        &self,
        group: &str,
        member: &str,
        instance: Option<&str>,
        generation: i32,
        protocol: (Option<&str>, Option<&str>),
        assignments: Vec<(String, Bytes)>,
    ) -> Result<Synced, Refusal> {
        let answer = {
            let mut state = lock(&self.state);
            let (ticket, answer) = state.ticket(Waiting::Sync);
            let mut out = Vec::new();
            match state.groups.get_mut(group) {
                Some(e) => e.group.sync(self.now(), member, instance, generation, protocol, assignments, ticket, &mut out),
                None => out.push(Out::Sync(ticket, Err(Refusal::UnknownMember))),
            }
            state.deliver(out);
            answer
        };
        answer.await.unwrap_or(Err(Refusal::UnknownMember))
    }

    /// A sign of life.
    pub fn heartbeat(&self, group: &str, member: &str, instance: Option<&str>, generation: i32) -> Result<(), Refusal> {
        let mut state = lock(&self.state);
        let entry = state.groups.get_mut(group).ok_or(Refusal::UnknownMember)?;
        entry.group.heartbeat(self.now(), member, instance, generation)
    }

    /// Leaves a group.
    pub fn leave(&self, group: &str, member: &str, instance: Option<&str>) -> Result<(), Refusal> {
        let mut state = lock(&self.state);
        let mut out = Vec::new();
        let entry = state.groups.get_mut(group).ok_or(Refusal::UnknownMember)?;
        let left = entry.group.leave(self.now(), member, instance, &mut out);
        state.deliver(out);
        left
    }

    /// What is known of a group.
    pub fn describe(&self, group: &str) -> Option<Description> {
        let state = lock(&self.state);
        state.groups.get(group).map(|e| Description { phase: e.group.phase(), group: e.group.clone() })
    }

    /// All groups with their kind and phase.
    pub fn list(&self) -> Vec<(String, String, Phase)> {
        let state = lock(&self.state);
        let told = |(name, e): (&String, &Entry)| (name.clone(), e.group.protocol_type().unwrap_or_default().to_owned(), e.group.phase());
        state.groups.iter().map(told).collect()
    }

    /// The committed offsets of a group.
    pub fn offsets(&self, group: &str) -> BTreeMap<Place, Committed> {
        lock(&self.state).groups.get(group).map(|e| e.offsets.clone()).unwrap_or_default()
    }

    /// Checks that a member may commit, then makes its offsets durable.
    pub async fn commit(
        &self,
        group: &str,
        member: &str,
        instance: Option<&str>,
        generation: i32,
        offsets: Vec<(Place, i64, i32, String)>,
    ) -> Result<(), CommitError> {
        {
            let mut state = lock(&self.state);
            if state.groups.len() >= GROUPS_MAX && !state.groups.contains_key(group) {
                return Err(CommitError::Full);
            }
            let now = self.now();
            match state.groups.get_mut(group) {
                Some(e) => e.group.may_commit(now, member, instance, generation).map_err(CommitError::Refused)?,
                None if generation < 0 => {}
                None => return Err(CommitError::Refused(Refusal::IllegalGeneration)),
            }
        }
        if offsets.is_empty() {
            return Ok(());
        }
        let now = now_ms();
        let written = offsets.iter().map(|(place, offset, epoch, metadata)| {
            records::record(key(group, place), Some(value(*offset, *epoch, metadata, now)), now)
        });
        let position = self.append(written.collect()).await?;
        let mut state = lock(&self.state);
        let kept = &mut state.groups.entry(group.into()).or_default().offsets;
        for (place, offset, leader_epoch, metadata) in offsets {
            if kept.get(&place).is_none_or(|before| before.position <= position) {
                kept.insert(place, Committed { offset, leader_epoch, metadata, position });
            }
        }
        Ok(())
    }

    /// Removes committed offsets of a group in which nobody is.
    pub async fn forget(&self, group: &str, places: Option<Vec<Place>>) -> Result<(), RemoveError> {
        let (places, whole) = {
            let state = lock(&self.state);
            let entry = state.groups.get(group).ok_or(RemoveError::Unknown)?;
            if !entry.group.is_idle() {
                return Err(RemoveError::NotEmpty);
            }
            let whole = places.is_none();
            (places.unwrap_or_else(|| entry.offsets.keys().cloned().collect()), whole)
        };
        self.write_marks(group, &places).await.map_err(|_| RemoveError::Storage)?;
        let mut state = lock(&self.state);
        if let Some(entry) = state.groups.get_mut(group) {
            entry.offsets.retain(|place, _| !places.contains(place));
            if whole && entry.group.is_idle() {
                state.groups.remove(group);
            }
        }
        Ok(())
    }

    /// Removes the committed offsets of a topic that was deleted: one of the same name begins anew.
    pub fn forget_topic(self: &Coordinator, topic: &str) {
        let mut gone = Vec::new();
        {
            let mut state = lock(&self.state);
            for (group, entry) in &mut state.groups {
                let places: Vec<Place> = entry.offsets.keys().filter(|(t, _)| t == topic).cloned().collect();
                entry.offsets.retain(|(t, _), _| t != topic);
                gone.extend(places.into_iter().map(|p| records::record(key(group, &p), None, now_ms())));
            }
        }
        if gone.is_empty() {
            return;
        }
        if let (Some(topic), Some(batch)) = (self.store.topic(OFFSETS_TOPIC), records::encode(gone, Compression::None)) {
            // The next deletion or commit tells whether the disk is well.
            drop(self.hand_in(&topic, batch));
        }
    }

    async fn write_marks(&self, group: &str, places: &[Place]) -> Result<(), CommitError> {
        if places.is_empty() {
            return Ok(());
        }
        let marks = places.iter().map(|p| records::record(key(group, p), None, now_ms()));
        self.append(marks.collect()).await.map(|_| ())
    }

    /// Appends to the offsets topic, which is created when the first offset is committed.
    async fn append(&self, written: Vec<kafka_protocol::records::Record>) -> Result<i64, CommitError> {
        let topic = match self.store.topic(OFFSETS_TOPIC) {
            Some(topic) => topic,
            None => self.create_topic().await?,
        };
        let batch = records::encode(written, Compression::None).ok_or(CommitError::Storage)?;
        let answer = self.hand_in(&topic, batch).ok_or(CommitError::Storage)?;
        match answer.await {
            Ok(Ok(done)) => Ok(done.base_offset),
            Ok(Err(e @ AppendError::Storage { .. })) => {
                warn!(error = %e, "could not write committed offsets");
                Err(CommitError::Storage)
            }
            Ok(Err(_)) | Err(_) => Err(CommitError::Storage),
        }
    }

    fn hand_in(&self, topic: &Topic, encoded: Bytes) -> Option<oneshot::Receiver<AppendAnswer>> {
        let (header, bytes) = batch::split(encoded, usize::MAX).ok()?.pop()?;
        Some(self.store.writer.append(topic.partition(0)?, header, bytes))
    }

    async fn create_topic(&self) -> Result<Arc<Topic>, CommitError> {
        let store = self.store.clone();
        let made = tokio::task::spawn_blocking(move || {
            let mut config = TopicConfig::default();
            config.set("cleanup.policy", "compact").map_err(TopicError::Config)?;
            config.set("segment.bytes", "16777216").map_err(TopicError::Config)?;
            match store.create_topic(OFFSETS_TOPIC, 1, config) {
                Err(TopicError::Exists(_)) => store.topic(OFFSETS_TOPIC).ok_or(TopicError::Unknown(OFFSETS_TOPIC.into())),
                made => made,
            }
        });
        match made.await {
            Ok(Ok(topic)) => Ok(topic),
            Ok(Err(e)) => {
                error!(error = %e, "could not create the topic for committed offsets");
                Err(CommitError::Storage)
            }
            Err(_) => Err(CommitError::Storage),
        }
    }

    fn tick(&self) {
        let now = self.now();
        let mut state = lock(&self.state);
        let mut out = Vec::new();
        for entry in state.groups.values_mut() {
            if !entry.group.is_idle() {
                entry.group.tick(now, &mut out);
            }
        }
        state.deliver(out);
    }
}

impl State {
    fn ticket<T>(&mut self, waiting: impl FnOnce(oneshot::Sender<T>) -> Waiting) -> (Ticket, oneshot::Receiver<T>) {
        let (tell, answer) = oneshot::channel();
        self.next_ticket += 1;
        self.waiting.insert(self.next_ticket, waiting(tell));
        (self.next_ticket, answer)
    }

    /// Who hung up meanwhile is not told.
    fn deliver(&mut self, out: Vec<Out>) {
        for answer in out {
            match answer {
                Out::Join(ticket, joined) => {
                    if let Some(Waiting::Join(tell)) = self.waiting.remove(&ticket) {
                        let _ = tell.send(joined);
                    }
                }
                Out::Sync(ticket, synced) => {
                    if let Some(Waiting::Sync(tell)) = self.waiting.remove(&ticket) {
                        let _ = tell.send(synced);
                    }
                }
            }
        }
    }
}

/// Gives the groups time, while there are any.
pub async fn keep_time(node: Arc<Node>) {
    loop {
        let idle = node.coordinator.active_groups() == 0;
        let wait = async {
            if idle {
                node.coordinator.awake.notified().await;
            } else {
                tokio::time::sleep(TICK).await;
            }
        };
        if node.or_stopping(wait).await.is_none() {
            return;
        }
        node.coordinator.tick();
    }
}

/// The key of a committed offset: version 1, group, topic, partition.
fn key(group: &str, (topic, partition): &Place) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(1);
    put_text(&mut out, group);
    put_text(&mut out, topic);
    out.put_i32(*partition);
    out.freeze()
}

/// The value: version 3, offset, leader epoch, metadata, time.
fn value(offset: i64, leader_epoch: i32, metadata: &str, now: i64) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(3);
    out.put_i64(offset);
    out.put_i32(leader_epoch);
    put_text(&mut out, metadata);
    out.put_i64(now);
    out.freeze()
}

fn put_text(out: &mut BytesMut, text: &str) {
    // Names in requests have 16-bit lengths, and metadata is bounded.
    out.put_i16(text.len() as i16);
    out.put_slice(text.as_bytes());
}

fn get_text(from: &mut Bytes) -> Option<String> {
    let n = usize::try_from(from.try_get_i16().ok()?).ok()?;
    (n <= from.len()).then(|| String::from_utf8_lossy(&from.split_to(n)).into_owned())
}

fn parse_key(key: &Bytes) -> Option<(String, Place)> {
    let mut b = key.clone();
    if b.try_get_i16().ok()? > 1 {
        return None;
    }
    Some((get_text(&mut b)?, (get_text(&mut b)?, b.try_get_i32().ok()?)))
}

fn parse_value(value: &Bytes, position: i64) -> Option<Committed> {
    let mut b = value.clone();
    if b.try_get_i16().ok()? != 3 {
        return None;
    }
    let (offset, leader_epoch) = (b.try_get_i64().ok()?, b.try_get_i32().ok()?);
    Some(Committed { offset, leader_epoch, metadata: get_text(&mut b)?, position })
}

fn apply(groups: &mut BTreeMap<String, Entry>, key: &Option<Bytes>, value: &Option<Bytes>, position: i64) {
    let Some((group, place)) = key.as_ref().and_then(parse_key) else { return };
    match value {
        Some(value) => {
            if let Some(committed) = parse_value(value, position) {
                groups.entry(group).or_default().offsets.insert(place, committed);
            }
        }
        None => {
            if let Some(entry) = groups.get_mut(&group) {
                entry.offsets.remove(&place);
                if entry.offsets.is_empty() {
                    groups.remove(&group);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_back_as_written() {
        let place = ("raw.sensor".to_owned(), 7);
        let (k, v) = (key("g", &place), value(42, 0, "note", 1));
        let mut groups = BTreeMap::new();
        apply(&mut groups, &Some(k.clone()), &Some(v.clone()), 5);
        let kept = &groups["g"].offsets[&place];
        assert_eq!((kept.offset, kept.metadata.as_str(), kept.position), (42, "note", 5));
        for n in 0..v.len() {
            assert_eq!(parse_value(&v.slice(..n), 0).filter(|_| n < 20), None);
        }
        apply(&mut groups, &Some(k), &None, 6);
        assert!(groups.is_empty());
    }
}
