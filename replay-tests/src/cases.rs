//! Recorded cases: a script of what happened, the journal that came of it, and what the brain decided, in words.
//!
//! A case is three files: `NAME.script.jsonl` is written by people; `NAME.journal.jsonl` is what the sequencer would have
//! made of it, timers included; `NAME.decisions.txt` is what the brain decided, as a control centre would read it, with
//! the chain digest at its end. The journal begins with its own graph, so a case does not change when the city's graph
//! does.

use std::fmt::Write as _;

use brain::{Brain, Chain, Config, Effect};
use chrono::{DateTime, TimeDelta, Utc};
use graph::{Files, Graph};
use schemas::journal::{Body, EventRef, GraphChanged, JournalRecord, TimerFired, WorkOrder};
use schemas::position::Position;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Time between what happens and its record.
const LOG_DELAY: TimeDelta = TimeDelta::seconds(2);
/// How far ahead of the wall clock an event's time may be and still be believed, as in the sequencer.
const AHEAD_MAX: TimeDelta = TimeDelta::days(1);

/// One line of a script.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// When it happens, by a clock that is right.
    pub time: DateTime<Utc>,
    /// When its event says that it happened, if that is another time.
    #[serde(default)]
    pub claims: Option<DateTime<Utc>>,
    /// An event's type without `io.citybrain.` and version; `command`, `setting`, `graph` and `barrier` are born in the journal.
    pub what: String,
    /// Who says so.
    #[serde(default)]
    pub source: String,
    /// Its id there.
    #[serde(default)]
    pub id: String,
    /// What it says.
    #[serde(default)]
    pub data: Value,
}

/// Reads a script. Empty lines and lines that begin with `#` are for people.
///
/// # Errors
/// When a line cannot be read; the message names it.
pub fn read_script(text: &str) -> Result<Vec<Line>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|(number, line)| serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))).collect()
}

/// Reads a journal.
///
/// # Errors
/// When a line cannot be read; the message names it.
pub fn read_journal(text: &str) -> Result<Vec<JournalRecord>, String> {
    let lines = text.lines().enumerate();
    lines.map(|(number, line)| JournalRecord::from_json(line).map_err(|error| format!("record {number}: {error}"))).collect()
}

/// What a sequencer would have written for a script: the graph first, each line numbered, timers where they are due.
///
/// # Errors
/// When the graph or a line says what nobody can read; the message names it.
pub fn record(graph_text: &str, script: &[Line]) -> Result<Vec<JournalRecord>, String> {
    let files = Files::read(&[("graph.yaml", graph_text)]).map_err(|error| error.to_string())?;
    files.graph().map_err(|error| error.to_string())?;
    let changes = files.changes(None).iter().map(|change| serde_json::to_string(change).expect("plain values")).collect();
    let begins = script.first().map_or(DateTime::UNIX_EPOCH, |line| line.time);
    let mut recorder = Recorder { brain: Brain::new(Graph::new(), Config::default()), records: Vec::new(), log_time: begins };
    let reason = "the city begins".to_owned();
    recorder.push(None, None, Body::GraphChanged(GraphChanged { actor: "citybrain".to_owned(), reason, changes }));
    for line in script {
        recorder.fire_timers_until(line.time);
        recorder.log_time = recorder.log_time.max(line.time + LOG_DELAY);
        let body = body_of(line)?;
        let claimed = line.claims.unwrap_or(line.time);
        let time = (claimed <= recorder.log_time + AHEAD_MAX).then_some(claimed);
        let event = EventRef { source: line.source.clone(), id: line.id.clone(), time };
        match topic_of(line) {
            Some(topic) => recorder.push(Some(topic), Some(event), body),
            None => recorder.push(None, matches!(body, Body::Command(_)).then_some(event), body),
        }
    }
    Ok(recorder.records)
}

struct Recorder {
    brain: Brain,
    records: Vec<JournalRecord>,
    log_time: DateTime<Utc>,
}

impl Recorder {
    fn fire_timers_until(&mut self, until: DateTime<Utc>) {
        while let Some((due, timer)) = self.brain.next_timer().map(|(due, timer)| (due, timer.to_owned())) {
            if due > until {
                break;
            }
            self.log_time = self.log_time.max(due);
            self.push(None, None, Body::TimerFired(TimerFired { timer, due }));
        }
    }

    fn push(&mut self, topic: Option<&str>, event: Option<EventRef>, body: Body) {
        let source = topic.map(|topic| {
            let before = self.records.iter().filter(|record| record.source.as_ref().is_some_and(|source| source.topic == topic));
            Position { topic: topic.to_owned(), partition: 0, offset: before.count() as i64 }
        });
        let record = JournalRecord { seq: self.records.len() as u64, log_time: self.log_time, source, event, body, understood: None };
        self.brain.apply(&record, &mut Vec::new());
        self.records.push(record);
    }
}

fn topic_of(line: &Line) -> Option<&'static str> {
    match line.what.split('.').next() {
        Some("city") => Some("city.signal"),
        Some("hotline") => Some("raw.hotline"),
        Some("workorder") => Some("raw.workorder"),
        Some("context") => Some("raw.context"),
        _ => None,
    }
}

fn body_of(line: &Line) -> Result<Body, String> {
    let read = |error: serde_json::Error| format!("{} at {}: {error}", line.what, line.time);
    match line.what.as_str() {
        "command" => serde_json::from_value(line.data.clone()).map(Body::Command).map_err(read),
        "setting" => {
            let text = |name: &str| line.data[name].as_str().map(str::to_owned).ok_or_else(|| format!("a setting at {} has no {name}", line.time));
            Ok(Body::ConfigChanged { key: text("key")?, value: text("value")? })
        }
        "graph" => serde_json::from_value(line.data.clone()).map(Body::GraphChanged).map_err(read),
        "barrier" => {
            let version = line.data["version"].as_u64().and_then(|version| u32::try_from(version).ok());
            version.map(|version| Body::VersionBarrier { version }).ok_or_else(|| format!("a barrier at {} has no version", line.time))
        }
        event => Ok(Body::from_event(&format!("io.citybrain.{event}.v1"), None, line.data.to_string().as_bytes())),
    }
}

/// What came of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Played {
    /// The effects of each record.
    pub effects: Vec<Vec<Effect>>,
    /// The chain digest after each record.
    pub chain: Vec<String>,
    /// The state at the end, as canonical bytes.
    pub state: Vec<u8>,
}

/// Plays a journal through a new brain. After each record for which `restart` says so, the brain is thrown away and
/// restored from its snapshot, as after a crash.
///
/// # Errors
/// When the journal does not begin with its graph, or a snapshot cannot be restored.
pub fn play(records: &[JournalRecord], restart: impl Fn(u64) -> bool) -> Result<Played, String> {
    let Some(Body::GraphChanged(_)) = records.first().map(|record| &record.body) else {
        return Err("the journal does not begin with its graph".to_owned());
    };
    let mut brain = Brain::new(Graph::new(), Config::default());
    let mut chain = Chain::default();
    let mut played = Played { effects: Vec::new(), chain: Vec::new(), state: Vec::new() };
    for record in records {
        let mut effects = Vec::new();
        brain.apply(record, &mut effects);
        chain.push(record, &effects);
        played.chain.push(chain.hex());
        played.effects.push(effects);
        if restart(record.seq) {
            let snapshot = brain.snapshot();
            let graph = Graph::of(brain.graph().entries().cloned()).map_err(|error| error.to_string())?;
            brain = Brain::restore(graph, Config::default(), &snapshot).map_err(|error| error.to_string())?;
            chain = Chain::from_hex(&chain.hex()).ok_or("a digest does not survive its own text")?;
        }
    }
    played.state = brain.snapshot();
    Ok(played)
}

/// The decisions as a control centre would read them, and the digest that holds them.
pub fn tell(records: &[JournalRecord], played: &Played) -> String {
    let mut text = String::new();
    for (record, effects) in records.iter().zip(&played.effects) {
        let from = record.source.as_ref().map(|source| format!("  [{source}]")).unwrap_or_default();
        let time = record.event_time().map_or("no time".to_owned(), |time| time.format("%m-%d %H:%M:%S").to_string());
        let _ = writeln!(text, "{:>3}  {time:<14}  {}{from}", record.seq, heard(&record.body));
        for effect in effects {
            let _ = writeln!(text, "       {}", decided(effect));
        }
    }
    let _ = writeln!(text, "\nchain {}", played.chain.last().map_or("", String::as_str));
    text
}

fn heard(body: &Body) -> String {
    match body {
        Body::Signal(it) => format!("signal {} {} {} level {}", name(&it.signal), it.scenario, name(&it.state), it.level),
        Body::Hotline(it) => format!("call {}: {}", it.message_id, it.text),
        Body::WorkOrder(WorkOrder::Created(it)) => format!("work order {} created: {}", it.request_id, it.category.as_deref().unwrap_or("?")),
        Body::WorkOrder(WorkOrder::Updated(it)) => format!("work order {} updated: {}", it.request_id, it.note.as_deref().unwrap_or("?")),
        Body::WorkOrder(WorkOrder::Closed(it)) => format!("work order {} closed: {}", it.request_id, it.resolution.as_deref().unwrap_or("?")),
        Body::Context(it) => format!("context {}", it.kind),
        Body::Answer(it) => format!("{} answers {}: {} choices", it.model, it.request, it.choices.len()),
        Body::Command(it) => format!("{} says {} {}: {}", it.actor, name(&it.action), it.target, it.reason),
        Body::TimerFired(it) => format!("timer {}", it.timer),
        Body::Malformed(it) => format!("malformed {}", it.event_type),
        Body::VersionBarrier { version } => format!("behaviour {version} from here on"),
        Body::ConfigChanged { key, value } => format!("setting {key} ({} bytes)", value.len()),
        Body::GraphChanged(it) => format!("{} changes the graph in {} elements: {}", it.actor, it.changes.len(), it.reason),
    }
}

fn decided(effect: &Effect) -> String {
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    match effect {
        Effect::Ask(it) => format!("asks      {} about {}: {} questions", it.id, it.case, it.questions.len()),
        Effect::Graph(it) => format!("graph     {} {} by {}", it.change, it.key, it.actor),
        Effect::Case(it) => format!(
            "case      {} {} -> {} by {}: {} [{} urgency {} unit {}]",
            it.case, it.from.map_or("-", |from| from.zh()), it.to.zh(), it.actor, it.reason, it.category, it.urgency, or(&it.unit)
        ),
        Effect::Alert(it) => format!(
            "alert     {} {}: level {}, {}, {}: {} / {} [cap {}]",
            it.alert_key, it.change, it.level, it.state.name(), if it.acknowledged { "acknowledged" } else { "not acknowledged" },
            it.headline.zh, it.reason, if it.cap.is_some() { "yes" } else { "no" }
        ),
        Effect::Incident(it) => format!("incident  {} {} {}: {} alerts, {} cases: {}", it.incident, it.change, or(&it.member), it.alerts, it.cases, it.reason),
        Effect::Dispatch(it) => format!("dispatch  {} {}{}: {}", it.unit, it.kind, if it.proposed { " (proposal)" } else { "" }, it.reason),
        Effect::Notification(it) => {
            let about = it.alerts.iter().map(|alert| alert.alert_key.as_str()).collect::<Vec<_>>().join(", ");
            let units = if it.is_told() { format!(" to {}", it.units.join(", ")) } else { String::new() };
            format!("notify    {} level {} {}{units}: {about}: {}", it.group_name, it.level, it.outcome.name(), it.reason)
        }
        Effect::Decision(it) => format!("decision  {} {} = {} by {}: {}", it.kind, it.subject, it.outcome, it.tier, it.reason),
        Effect::WakeAt(it) => format!("wake at   {} {}", it.due.format("%m-%d %H:%M:%S"), it.timer),
    }
}

/// The name of a small enum as its JSON says it.
fn name<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
