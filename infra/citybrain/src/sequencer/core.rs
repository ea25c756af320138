//! What the sequencer decides without touching the world: numbers, times, timers, the digest chain.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result, bail};
use brain::{Brain, Chain, Effect};
use chrono::{DateTime, Utc};
use graph::{Entry, Graph};
use schemas::event::Event;
use schemas::journal::{Body, EventRef, GraphChanged, JournalRecord, TimerFired};
use schemas::topics;
use schemas::understood::Understood;
use serde::{Deserialize, Serialize};

use crate::intake::Arrival;

/// CloudEvents type of a journal record.
pub const JOURNAL_TYPE: &str = "io.citybrain.journal.record.v1";
/// CloudEvents source of a journal record.
pub const JOURNAL_SOURCE: &str = "citybrain/journal";
/// Extension that carries the digest of the journal up to and including the record, in hex.
pub const CHAIN_EXTENSION: &str = "chain";
/// Changes of the graph in one record: a record stays far below what the bus takes at once.
const GRAPH_CHANGES_MAX: usize = 500;

/// How far ahead of the wall clock an event may claim to be and still be believed, µs; the doors use the same day.
const AHEAD_US_MAX: i64 = schemas::limits::EVENT_TIME_AHEAD_SECS_MAX * 1_000_000;
/// Ids of signals that are remembered, so that a job that repeats an epoch after a crash is heard once. An epoch gives far
/// fewer.
const SIGNALS_REMEMBERED: usize = 16_384;

/// A record that has its number and has been applied, but may not be in the journal yet.
pub struct Sequenced {
    /// Its number.
    pub seq: u64,
    /// The record as it is stored.
    pub json: String,
    /// The chain digest after it, hex.
    pub chain: String,
    /// The time that it stands for.
    pub time: DateTime<Utc>,
    /// What is to be produced once the journal has it: topic and event.
    pub effects: Vec<(String, Event)>,
}

/// The event that carries a record to `city.journal`.
pub fn journal_event(sequenced: &Sequenced) -> Event {
    let mut event = Event::new(format!("{:020}", sequenced.seq), JOURNAL_SOURCE, JOURNAL_TYPE);
    event.time = Some(sequenced.time);
    event.recorded_time = Some(Utc::now());
    event.partition_key = Some("city".to_string());
    event.data_content_type = Some("application/json".to_string());
    event.extensions.insert(CHAIN_EXTENSION.to_string(), sequenced.chain.clone());
    event.data = Some(sequenced.json.clone().into());
    event
}

/// Everything of a [`Core`] but the brain's own state, as a snapshot keeps it.
#[derive(Serialize, Deserialize)]
struct Saved {
    next_seq: u64,
    chain: String,
    log_time: DateTime<Utc>,
    city_time: DateTime<Utc>,
    positions: Vec<(String, i32, i64)>,
    signals: VecDeque<String>,
    graph: Vec<Entry>,
}

/// What the configuration sets of the brain.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Of how many of a thousand reports agents may be asked.
    pub ask_permille: u32,
    /// How many plans of a kind people must have approved in a row before the next of level Ⅲ needs nobody.
    pub plans_earned: u32,
    /// What agents look up in documents: a value of [`brain::BRIEFS`].
    pub briefs: &'static str,
}

/// The decision plane in memory: brain, chain, numbers, positions.
pub struct Core {
    brain: Brain,
    chain: Chain,
    next_seq: u64,
    log_time: DateTime<Utc>,
    city_time: DateTime<Utc>,
    positions: BTreeMap<(String, i32), i64>,
    /// The latest signals' ids, oldest first, and the same to look up.
    signals: VecDeque<String>,
    signals_known: BTreeSet<String>,
}

impl Core {
    /// A decision plane that has seen nothing. Its first records have to be those of [`Core::change_graph`].
    pub fn new() -> Core {
        Core {
            brain: Brain::new(Graph::new(), brain::Config::default()),
            chain: Chain::default(),
            next_seq: 0,
            log_time: DateTime::UNIX_EPOCH,
            city_time: DateTime::UNIX_EPOCH,
            positions: BTreeMap::new(),
            signals: VecDeque::new(),
            signals_known: BTreeSet::new(),
        }
    }

    /// The brain, to look at.
    pub fn brain(&self) -> &Brain {
        &self.brain
    }

    /// The number that the next record gets.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The city's time: the latest event time or timer, µs.
    pub fn city_time_us(&self) -> i64 {
        self.city_time.timestamp_micros()
    }

    /// Next offsets of the inputs.
    pub fn positions(&self) -> &BTreeMap<(String, i32), i64> {
        &self.positions
    }

    /// The decision plane that a journal with this first record begins with.
    ///
    /// # Errors
    /// When the record does not bring the graph that decisions rest on.
    pub fn begin(first: &str) -> Result<Core> {
        let record = JournalRecord::from_json(first).context("the journal's first record cannot be read")?;
        match &record.body {
            Body::GraphChanged(_) => Ok(Core::new()),
            _ => bail!(
                "city.journal does not begin with the graph that its decisions rest on: a version of the program wrote it that kept \
                 the graph beside the log; run that one, or begin with another --home on topics of its own"
            ),
        }
    }

    /// Numbers and applies what makes `wanted` of the graph; nothing when it is that already.
    pub fn change_graph(&mut self, wanted: &Graph, reason: &str, now_us: i64, round: &mut Vec<Sequenced>) {
        let changes = self.brain.graph().diff(wanted);
        for changes in changes.chunks(GRAPH_CHANGES_MAX) {
            let changes = changes.iter().map(|change| serde_json::to_string(change).expect("plain values")).collect();
            let changed = GraphChanged { actor: "citybrain".to_string(), reason: reason.to_string(), changes };
            self.number(None, None, Body::GraphChanged(changed), None, now_us, round);
        }
    }

    /// Numbers and applies the settings of the configuration that are not so already.
    pub fn configure(&mut self, wanted: Settings, now_us: i64, round: &mut Vec<Sequenced>) {
        let settings = [
            (brain::ASK_PERMILLE, self.brain.ask_permille().to_string(), wanted.ask_permille.to_string()),
            (brain::PLANS_EARNED, self.brain.plans_earned().to_string(), wanted.plans_earned.to_string()),
            (brain::BRIEFS, self.brain.briefs().to_string(), wanted.briefs.to_string()),
        ];
        for (key, _, value) in settings.into_iter().filter(|(_, known, wanted)| known != wanted) {
            let body = Body::ConfigChanged { key: key.to_string(), value };
            self.number(None, None, body, None, now_us, round);
        }
    }

    /// Numbers and applies an arrival, after the timers that are due before it. What stands before the positions is a
    /// repeat and is passed over.
    pub fn apply_arrival(&mut self, arrival: Arrival, now_us: i64, round: &mut Vec<Sequenced>) {
        let key = (arrival.position.topic.clone(), arrival.position.partition);
        let next = self.positions.entry(key).or_insert(0);
        if arrival.position.offset < *next {
            return;
        }
        *next = arrival.position.offset + 1;
        if arrival.position.topic == topics::SIGNAL && self.signals_known.contains(&arrival.id) {
            return;
        }
        // A clock that runs ahead would take the whole city with it. Decided here, where the wall clock is, and written down.
        let time = arrival.time_us.filter(|time_us| *time_us <= now_us + AHEAD_US_MAX);
        if let Some(time_us) = time {
            self.fire_timers_until(time_us, now_us, round);
        }
        let body = Body::from_event(&arrival.event_type, None, arrival.data.as_bytes());
        let event = EventRef { source: arrival.source, id: arrival.id, time: time.and_then(time_at) };
        self.number(Some(arrival.position), Some(event), body, arrival.understood, now_us, round);
    }

    /// Numbers and applies what a person decided.
    pub fn apply_command(&mut self, body: Body, now_us: i64, round: &mut Vec<Sequenced>) {
        // A command has no time of its own: the brain takes that of what it is about.
        let event = EventRef { source: "citybrain/commands".to_string(), id: format!("{:020}", self.next_seq), time: None };
        self.number(None, Some(event), body, None, now_us, round);
    }

    /// Fires the timers due up to `until_us`, in the order of their due times.
    pub fn fire_timers_until(&mut self, until_us: i64, now_us: i64, round: &mut Vec<Sequenced>) {
        while let Some((due, timer)) = self.brain.next_timer()
            && due.timestamp_micros() <= until_us
        {
            let body = Body::TimerFired(TimerFired { timer: timer.to_string(), due });
            self.number(None, None, body, None, now_us, round);
        }
    }

    fn number(
        &mut self,
        source: Option<schemas::position::Position>,
        event: Option<EventRef>,
        body: Body,
        understood: Option<Understood>,
        now_us: i64,
        round: &mut Vec<Sequenced>,
    ) {
        let now = time_at(now_us).expect("the wall clock is within range");
        self.log_time = self.log_time.max(now);
        let record = JournalRecord { seq: self.next_seq, log_time: self.log_time, source, event, body, understood };
        let json = record.to_json();
        round.push(self.apply(record, json));
    }

    /// Applies a record that was read from the journal.
    ///
    /// # Errors
    /// When it is not the next one.
    pub fn apply_stored(&mut self, json: &str) -> Result<Sequenced> {
        let record = JournalRecord::from_json(json).with_context(|| format!("journal record {} cannot be read", self.next_seq))?;
        if record.seq != self.next_seq {
            bail!("the journal jumps from record {} to {}", self.next_seq, record.seq);
        }
        if let Some(source) = &record.source {
            let next = self.positions.entry((source.topic.clone(), source.partition)).or_insert(0);
            *next = (*next).max(source.offset + 1);
        }
        self.log_time = self.log_time.max(record.log_time);
        Ok(self.apply(record, json.to_string()))
    }

    fn apply(&mut self, record: JournalRecord, json: String) -> Sequenced {
        let mut effects: Vec<Effect> = Vec::new();
        self.remember_signal(&record);
        self.brain.apply(&record, &mut effects);
        self.chain.push(&record, &effects);
        let time = record.event_time();
        if let Some(time) = time {
            self.city_time = self.city_time.max(time);
        }
        self.next_seq = record.seq + 1;
        let effects = effects
            .iter()
            .filter_map(|effect| brain::effect_event(effect, &record))
            .map(|(topic, mut event)| {
                event.recorded_time = Some(record.log_time);
                (topic, event)
            })
            .collect();
        Sequenced { seq: record.seq, json, chain: self.chain.hex(), time: time.unwrap_or(self.city_time), effects }
    }

    fn remember_signal(&mut self, record: &JournalRecord) {
        let (Some(source), Some(event)) = (&record.source, &record.event) else { return };
        if source.topic != topics::SIGNAL || !self.signals_known.insert(event.id.clone()) {
            return;
        }
        self.signals.push_back(event.id.clone());
        if self.signals.len() > SIGNALS_REMEMBERED
            && let Some(oldest) = self.signals.pop_front()
        {
            self.signals_known.remove(&oldest);
        }
    }

    /// The whole core as bytes: a line of its own, and the brain's state.
    pub fn snapshot(&self) -> [Vec<u8>; 2] {
        let saved = Saved {
            next_seq: self.next_seq,
            chain: self.chain.hex(),
            log_time: self.log_time,
            city_time: self.city_time,
            positions: self.positions.iter().map(|((topic, partition), next)| (topic.clone(), *partition, *next)).collect(),
            signals: self.signals.clone(),
            graph: self.brain.graph().entries().cloned().collect(),
        };
        let mut line = serde_json::to_vec(&saved).expect("plain values");
        line.push(b'\n');
        [line, self.brain.snapshot()]
    }

    /// The core that [`Core::snapshot`] wrote.
    ///
    /// # Errors
    /// When the bytes are not such a snapshot.
    pub fn restore(bytes: &[u8]) -> Result<Core> {
        let split = bytes.iter().position(|byte| *byte == b'\n').context("the snapshot has no header")?;
        let saved: Saved = serde_json::from_slice(&bytes[..split]).context("the snapshot's header cannot be read")?;
        let graph = Graph::of(saved.graph).context("the snapshot's graph is wrong")?;
        Ok(Core {
            brain: Brain::restore(graph, brain::Config::default(), &bytes[split + 1..]).context("the brain's state cannot be read")?,
            chain: Chain::from_hex(&saved.chain).context("the chain digest cannot be read")?,
            next_seq: saved.next_seq,
            log_time: saved.log_time,
            city_time: saved.city_time,
            positions: saved.positions.into_iter().map(|(topic, partition, next)| ((topic, partition), next)).collect(),
            signals_known: saved.signals.iter().cloned().collect(),
            signals: saved.signals,
        })
    }
}

fn time_at(us: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(us)
}
