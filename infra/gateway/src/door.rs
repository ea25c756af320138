//! The one way in. Whatever door an event came to, it passes here: checked against its type, masked, recognised when
//! it is a repeat, produced to its topic, and called accepted only when the bus has it.
//!
//! Memory is bounded: what is on its way to the bus is counted in units, and who comes when they are used up waits, for
//! as long as it has patience. Invariant: of two events with equal `source` and `id` one is produced, also when they
//! arrive at the same moment.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use schemas::{Event, KafkaRecord, Position, Registry};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;

use crate::limits::IN_FLIGHT_UNITS_MAX;
use crate::masking;
use crate::ports::{EventLog, LogError, SeenEvent, SeenIndex, Types};
use crate::refusal::{Incoming, Refusal, keep};

/// How a door is set up.
#[derive(Debug, Clone)]
pub struct DoorConfig {
    /// Units of one event or 1 KiB, whichever is more, that may be on their way to the bus.
    pub in_flight_units: u32,
    /// Topics that only the brain itself writes; an ending `*` stands for any end.
    pub reserved_topics: Vec<String>,
    /// Secret of this home under which callers' numbers become tokens. The same number gives the same token as long as
    /// the secret stays.
    pub caller_secret: [u8; 32],
    /// The clock.
    pub now: fn() -> DateTime<Utc>,
}

impl Default for DoorConfig {
    fn default() -> DoorConfig {
        DoorConfig {
            in_flight_units: IN_FLIGHT_UNITS_MAX,
            reserved_topics: ["city.*", "alert.*", "replay.*", "dlq", "audit"].map(str::to_owned).to_vec(),
            caller_secret: [0; 32],
            now: Utc::now,
        }
    }
}

/// What became of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The bus has it.
    Accepted(Position),
    /// The bus had it already, here.
    Duplicate(Position),
    /// It was refused and is kept in `dlq`.
    Refused(Refusal),
}

/// Why nothing can be said of a whole step. Sending it again is right: what did get through is then a duplicate.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DoorError {
    /// Too much is on its way to the bus.
    #[error("too much is on its way to the bus; try again shortly")]
    Busy,
    /// The bus did not take it.
    #[error("the bus did not take the events: {0}")]
    Bus(String),
}

/// Counts since the start, for `/metrics` and `status`.
#[derive(Debug, Default)]
pub struct DoorCounts {
    /// Events that the bus has.
    pub accepted: AtomicU64,
    /// Repeats.
    pub duplicate: AtomicU64,
    /// Refused ones.
    pub refused: AtomicU64,
    /// Steps that heard "busy".
    pub busy: AtomicU64,
    /// Steps that failed at the bus.
    pub failed: AtomicU64,
}

/// The door.
pub struct Door {
    log: Arc<dyn EventLog>,
    seen: Arc<dyn SeenIndex>,
    types: Arc<Types>,
    config: DoorConfig,
    room: Arc<Semaphore>,
    on_the_way: Mutex<HashMap<SeenKey, watch::Receiver<Option<Position>>>>,
    /// Counts since the start.
    pub counts: DoorCounts,
}

type SeenKey = (String, String);

impl Door {
    /// A door onto `log`.
    pub fn new(log: Arc<dyn EventLog>, seen: Arc<dyn SeenIndex>, types: Arc<Types>, config: DoorConfig) -> Arc<Door> {
        let room = Arc::new(Semaphore::new(config.in_flight_units as usize));
        Arc::new(Door { log, seen, types, config, room, on_the_way: Mutex::default(), counts: DoorCounts::default() })
    }

    /// The event types in force.
    pub fn types(&self) -> &Types {
        &self.types
    }

    /// The share of the room that is in use, in per mille.
    pub fn in_use_per_mille(&self) -> u32 {
        let total = self.config.in_flight_units.max(1) as usize;
        ((total - self.room.available_permits().min(total)) * 1000 / total) as u32
    }

    /// Takes events in and waits until the bus has them all.
    pub async fn submit(self: &Arc<Door>, events: Vec<Incoming>, patience: Option<Duration>) -> Result<Vec<Outcome>, DoorError> {
        self.enqueue(events, patience).await?.await
    }

    /// Takes events in, in order; the answer comes through [`Pending`] when the bus has them.
    ///
    /// Waits for room as long as there is patience (`None`: for ever). What was taken in goes on even when the caller
    /// goes away.
    pub async fn enqueue(self: &Arc<Door>, events: Vec<Incoming>, patience: Option<Duration>) -> Result<Pending, DoorError> {
        let room = self.wait_for_room(&events, patience).await?;
        let mut step = Step {
            door: Arc::clone(self),
            outcomes: Vec::with_capacity(events.len()),
            queued: Vec::new(),
            sends: FuturesUnordered::new(),
            sent: Vec::new(),
            waits: Vec::new(),
            mine: Vec::new(),
            _room: room,
        };
        let registry = self.types.now();
        let now = (self.config.now)();
        for (index, incoming) in events.into_iter().enumerate() {
            step.take(&registry, now, index, incoming)?;
        }
        // Polled once here, in order, so that the log has them in order before the next step can come.
        for mut sending in std::mem::take(&mut step.queued) {
            match futures::poll!(&mut sending) {
                Poll::Ready(result) => step.sent.push(result),
                Poll::Pending => step.sends.push(sending),
            }
        }
        Ok(Pending(tokio::spawn(step.finish())))
    }

    async fn wait_for_room(&self, events: &[Incoming], patience: Option<Duration>) -> Result<OwnedSemaphorePermit, DoorError> {
        let wanted: usize = events.iter().map(|incoming| 1 + incoming.bytes() / 1024).sum();
        // A step larger than all the room waits until it is alone.
        let wanted = wanted.min(self.config.in_flight_units as usize) as u32;
        let room = Arc::clone(&self.room).acquire_many_owned(wanted);
        let got = match patience {
            None => Ok(room.await),
            Some(patience) => tokio::time::timeout(patience, room).await,
        };
        match got {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                self.counts.busy.fetch_add(1, Ordering::Relaxed);
                Err(DoorError::Busy)
            }
        }
    }

    /// The record of an event that may pass.
    fn admit(&self, registry: &Registry, now: DateTime<Utc>, event: &Event) -> Result<Admitted, Refusal> {
        let Some(def) = registry.get(&event.event_type) else {
            return Err(unknown_type(registry, &event.event_type));
        };
        if self.config.reserved_topics.iter().any(|reserved| matches(reserved, &def.topic)) {
            return Err(Refusal::new(
                "reserved_type",
                "/type",
                format!("events of type {} are written by the brain itself; people's decisions go to POST /v1/commands", def.name),
                format!("{} 类型的事件只由系统自身写入；人工决定请使用 POST /v1/commands", def.name),
            ));
        }
        event.check().map_err(|error| Refusal::of_event_error(&error, &[]))?;
        schemas::check_time(event, now).map_err(|error| Refusal::of_event_error(&error, &[]))?;
        let mut data = event.data_json().map_err(|error| {
            let mut refusal = Refusal::of_event_error(&error, event.data.as_deref().unwrap_or_default());
            refusal.pointer = "/data".to_owned();
            refusal
        })?;
        if let Some(pointer) = nul_in(&data, &mut String::from("/data")) {
            return Err(Refusal::new("nul", pointer, "the text holds a NUL character (U+0000)", "文本中含有 NUL 字符（U+0000）"));
        }
        if let Err(problems) = def.validate(&data) {
            return Err(invalid_data(&def.name, &problems));
        }
        masking::mask(&mut data, def, &self.config.caller_secret);
        let mut passed = event.clone();
        passed.recorded_time = Some(now);
        passed.partition_key = partition_key(&data, &def.key).or_else(|| event.partition_key.clone());
        passed.data_content_type = Some("application/json".to_owned());
        passed.data = Some(Bytes::from(data.to_string()));
        // A subject that is not the key is free text. Id and source stay, or repeats would not be known.
        if passed.subject != passed.partition_key {
            passed.subject = passed.subject.map(|subject| schemas::pii::mask(&subject).0.into_owned());
        }
        Ok(Admitted { topic: def.topic.clone(), record: passed.to_kafka(), key: (passed.source, passed.id) })
    }
}

struct Admitted {
    topic: String,
    record: KafkaRecord,
    key: SeenKey,
}

/// Resolves to what became of each event, in order.
pub struct Pending(JoinHandle<Result<Vec<Outcome>, DoorError>>);

impl Future for Pending {
    type Output = Result<Vec<Outcome>, DoorError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|joined| match joined {
            Ok(result) => result,
            Err(error) => Err(DoorError::Bus(format!("the step was stopped: {error}"))),
        })
    }
}

type SendResult = (Sent, Result<Position, LogError>);

/// Some events on their way.
struct Step {
    door: Arc<Door>,
    /// `None` while on the way.
    outcomes: Vec<Option<Outcome>>,
    queued: Vec<BoxFuture<'static, SendResult>>,
    sends: FuturesUnordered<BoxFuture<'static, SendResult>>,
    sent: Vec<SendResult>,
    waits: Vec<(usize, watch::Receiver<Option<Position>>)>,
    /// Keys that this step has put on the way and not yet taken off.
    mine: Vec<SeenKey>,
    _room: OwnedSemaphorePermit,
}

struct Sent {
    index: usize,
    /// Set for a refused event: its `dlq` record was sent, and this is the answer.
    refused: Option<Refusal>,
    key: SeenKey,
    announce: watch::Sender<Option<Position>>,
}

/// A step that is stopped in the middle takes its keys off the way too, or their events could never be sent again.
impl Drop for Step {
    fn drop(&mut self) {
        self.take_off();
    }
}

impl Step {
    fn take(&mut self, registry: &Registry, now: DateTime<Utc>, index: usize, incoming: Incoming) -> Result<(), DoorError> {
        let admitted = match &incoming.event {
            Ok(event) => self.door.admit(registry, now, event),
            Err(refusal) => Err(refusal.clone()),
        };
        self.outcomes.push(None);
        match admitted {
            Ok(admitted) => self.send(index, now, admitted, None),
            Err(refusal) => {
                let dlq = registry.get("dlq").ok_or_else(|| DoorError::Bus("the type dlq is not registered".to_owned()))?;
                let kept = keep(&incoming, &refusal, &dlq.event_type, now);
                let record = kept.to_kafka();
                let admitted = Admitted { topic: dlq.topic.clone(), record, key: (kept.source, kept.id) };
                self.send(index, now, admitted, Some(refusal))
            }
        }
    }

    /// Sends, unless the log has it already or is about to.
    fn send(&mut self, index: usize, now: DateTime<Utc>, admitted: Admitted, refused: Option<Refusal>) -> Result<(), DoorError> {
        let bus = |error: LogError| DoorError::Bus(error.to_string());
        let announce = {
            let mut on_the_way = self.door.on_the_way.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(announced) = on_the_way.get(&admitted.key) {
                match refused {
                    Some(refusal) => self.outcomes[index] = Some(Outcome::Refused(refusal)),
                    None => self.waits.push((index, announced.clone())),
                }
                return Ok(());
            }
            // Asked under the lock: who is no longer on the way has been remembered before.
            if let Some(position) = self.door.seen.position(&admitted.key.0, &admitted.key.1).map_err(bus)? {
                self.outcomes[index] = Some(refused.map_or(Outcome::Duplicate(position), Outcome::Refused));
                return Ok(());
            }
            let (announce, announced) = watch::channel(None);
            on_the_way.insert(admitted.key.clone(), announced);
            announce
        };
        self.mine.push(admitted.key.clone());
        let sent = Sent { index, refused, key: admitted.key, announce };
        let sending = self.door.log.send(&admitted.topic, admitted.record, now.timestamp_millis());
        self.queued.push(Box::pin(async move {
            let result = sending.await;
            (sent, result)
        }));
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<Outcome>, DoorError> {
        while let Some(result) = self.sends.next().await {
            self.sent.push(result);
        }
        let mut failure = None;
        let mut durable = Vec::new();
        for (sent, result) in std::mem::take(&mut self.sent) {
            match result {
                Ok(position) => durable.push((sent, position)),
                Err(error) => failure = Some(error.to_string()),
            }
        }
        let seen: Vec<SeenEvent> = durable
            .iter()
            .map(|(sent, position)| SeenEvent { source: sent.key.0.clone(), id: sent.key.1.clone(), position: position.clone() })
            .collect();
        if let Err(error) = self.door.seen.remember(&seen) {
            failure = Some(error.to_string());
        }
        for (sent, position) in durable {
            sent.announce.send_replace(Some(position.clone()));
            self.outcomes[sent.index] = Some(sent.refused.map_or(Outcome::Accepted(position), Outcome::Refused));
        }
        self.take_off();
        for (index, mut announced) in std::mem::take(&mut self.waits) {
            let position = announced.wait_for(Option::is_some).await.ok().and_then(|position| position.clone());
            match position {
                Some(position) => self.outcomes[index] = Some(Outcome::Duplicate(position)),
                None => failure = Some("the same event, sent at the same moment, did not get through".to_owned()),
            }
        }
        if let Some(failure) = failure {
            self.door.counts.failed.fetch_add(1, Ordering::Relaxed);
            return Err(DoorError::Bus(failure));
        }
        let outcomes: Vec<Outcome> = std::mem::take(&mut self.outcomes).into_iter().flatten().collect();
        self.door.count(&outcomes);
        Ok(outcomes)
    }
}

impl Step {
    fn take_off(&mut self) {
        let mut on_the_way = self.door.on_the_way.lock().unwrap_or_else(PoisonError::into_inner);
        for key in self.mine.drain(..) {
            on_the_way.remove(&key);
        }
    }
}

impl Door {
    fn count(&self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            let counter = match outcome {
                Outcome::Accepted(_) => &self.counts.accepted,
                Outcome::Duplicate(_) => &self.counts.duplicate,
                Outcome::Refused(_) => &self.counts.refused,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn matches(pattern: &str, topic: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == topic, |start| topic.starts_with(start))
}

fn partition_key(data: &Value, field: &str) -> Option<String> {
    match data.get(field)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The place of the first NUL character: most of what reads our tables ends a text there.
fn nul_in(value: &Value, pointer: &mut String) -> Option<String> {
    let length = pointer.len();
    let found = match value {
        Value::String(text) => text.contains('\0').then(|| pointer.clone()),
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            pointer.truncate(length);
            pointer.push_str(&format!("/{index}"));
            nul_in(item, pointer)
        }),
        Value::Object(members) => members.iter().find_map(|(name, item)| {
            pointer.truncate(length);
            if name.contains('\0') {
                return Some(pointer.clone());
            }
            pointer.push_str(&format!("/{}", name.replace('~', "~0").replace('/', "~1")));
            nul_in(item, pointer)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    };
    pointer.truncate(length);
    found
}

fn unknown_type(registry: &Registry, event_type: &str) -> Refusal {
    let mut near: Vec<(usize, &str)> = registry
        .types()
        .map(|def| (distance(event_type, &def.event_type).min(distance(event_type, &def.name)), def.event_type.as_str()))
        .filter(|(distance, _)| *distance <= event_type.chars().count().max(8) / 2)
        .collect();
    near.sort();
    let near: Vec<&str> = near.into_iter().take(3).map(|(_, name)| name).collect();
    let (en, zh) = if near.is_empty() {
        let all: Vec<&str> = registry.types().map(|def| def.event_type.as_str()).take(12).collect();
        (format!("; known are {}", all.join(", ")), format!("；已知类型有 {}", all.join("、")))
    } else {
        (format!("; did you mean {}?", near.join(" or ")), format!("；是否想写 {}？", near.join(" 或 ")))
    };
    let shown: String = event_type.chars().take(80).collect();
    Refusal::new("unknown_type", "/type", format!("there is no event type {shown:?}{en}"), format!("没有事件类型 {shown:?}{zh}"))
}

/// Edit distance, of the beginnings only: names are short, and what is sent may not be.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(80).collect();
    let b: Vec<char> = b.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(left != right);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn invalid_data(name: &str, problems: &[schemas::Problem]) -> Refusal {
    let listed: Vec<String> = problems.iter().take(5).map(|problem| format!("{} {}", problem.path, problem.message)).collect();
    let pointer = problems.first().map_or_else(String::new, |problem| format!("/data{}", problem.path));
    Refusal::new(
        "invalid_data",
        pointer,
        format!("the data is no {name}: {}", listed.join("; ")),
        format!("数据不符合类型 {name}：{}", listed.join("；")),
    )
}
