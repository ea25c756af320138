//! What the brain wants done. Effects are values: the shell performs them after the record is in the journal, and
//! performing one twice is harmless because its id is made from (sequence, ordinal).

use chrono::{DateTime, Utc};
use graph::{Change, Entry};
use schemas::alert::AlertTransition;
use schemas::case::CaseTransition;
use schemas::event::Event;
use schemas::journal::JournalRecord;
use schemas::notification::Notification;
use schemas::position::Position;
use schemas::topics;
use serde::{Deserialize, Serialize};

/// Something that the brain wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// A case moved: `city.case`.
    Case(CaseTransition),
    /// An alert changed: `alert.<scenario>`, or `alert.exercise` when it is not meant.
    Alert(AlertTransition),
    /// An incident began, grew, became worse or ended: `city.incident`.
    Incident(IncidentChange),
    /// A unit should act: `city.dispatch`.
    Dispatch(Dispatch),
    /// Somebody is told of alerts, or is not and why: `city.notification`.
    Notification(Notification),
    /// Something was decided, with its reason: `city.decision`.
    Decision(Decision),
    /// The graph was changed: `city.graph`.
    Graph(GraphChange),
    /// The shell should append a `TimerFired` at this moment.
    WakeAt(WakeAt),
}

/// A unit should act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatch {
    /// Id, made from (sequence, ordinal).
    pub id: String,
    /// What for: `urgent_case`, `alert`, `exercise`, `reminder`, `escalation`, or `ordered` or `approved` by a person.
    pub kind: String,
    /// The unit.
    pub unit: String,
    /// The case, if it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// The alert's key, if it is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_key: Option<String>,
    /// The incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// The scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// The alert's level, or the case's urgency.
    pub level: u8,
    /// The plan to follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Why, in one sentence.
    pub reason: String,
    /// Whether it waits for a person's approval.
    pub proposed: bool,
    /// When, in city time.
    pub at: DateTime<Utc>,
    /// The records that it rests on.
    pub evidence: Vec<Position>,
}

/// Something was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Id, made from (sequence, ordinal).
    pub id: String,
    /// `triage`, `correction`, `quality`, `command`, `refused`, `noted`, `silence`, `exercise`, `mode` or `config`.
    pub kind: String,
    /// The case, alert or setting that it is about.
    pub subject: String,
    /// Who decided: `rules`, `small`, `llm` or `person`.
    pub tier: String,
    /// What was decided.
    pub outcome: String,
    /// The category, for a triage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// The unit that owes it, for a triage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The urgency, for a triage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urgency: Option<u8>,
    /// Whether somebody's life is at risk, for a triage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk_to_life: Option<bool>,
    /// How sure, in thousandths.
    pub confidence_permille: u32,
    /// Why, step by step.
    pub reason: String,
    /// The graph that it rests on.
    pub graph_version: String,
    /// When, in city time.
    pub at: DateTime<Utc>,
    /// The records that it rests on.
    pub evidence: Vec<Position>,
}

/// The graph was changed in one element. The changes of a record are those that made its version of the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphChange {
    /// Id, made from (sequence, ordinal).
    pub id: String,
    /// The element's key, such as `unit/drainage`.
    pub key: String,
    /// `put` or `removed`.
    pub change: String,
    /// The pack that brought it; none when it is the city's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<String>,
    /// The element as JSON text, when it was put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub element: Option<String>,
    /// Who changed it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The graph's version after the whole record.
    pub graph_version: String,
    /// When, in city time.
    pub at: DateTime<Utc>,
}

impl GraphChange {
    /// The change as the graph takes it.
    ///
    /// # Errors
    /// When key or element cannot be read.
    pub fn change(&self) -> Result<Change, String> {
        match &self.element {
            Some(text) => {
                let element = serde_json::from_str(text).map_err(|error| format!("{}: {error}", self.key))?;
                Ok(Change::Put(Box::new(Entry { pack: self.pack.clone(), element })))
            }
            None => Ok(Change::Remove(self.key.parse()?)),
        }
    }
}

/// An incident began, grew, became worse or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentChange {
    /// Id of this change, made from (sequence, ordinal).
    pub id: String,
    /// The incident.
    pub incident: String,
    /// `opened`, `joined`, `graded` (its level changed) or `closed`.
    pub change: String,
    /// The case or alert that opened it, joined it or made it worse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The scenario or category that it began with.
    pub scenario: String,
    /// The worst level of its alerts so far, 4 when it has none.
    pub level: u8,
    /// How many alerts it holds.
    pub alerts: u64,
    /// How many cases it holds.
    pub cases: u64,
    /// When it began, in city time.
    pub first: DateTime<Utc>,
    /// Its latest event, in city time.
    pub last: DateTime<Utc>,
    /// Why the member belongs to it.
    pub reason: String,
    /// The records that this change rests on.
    pub evidence: Vec<Position>,
}

/// A moment that the brain wants to be told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WakeAt {
    /// The timer's name.
    pub timer: String,
    /// The moment, in city time.
    pub due: DateTime<Utc>,
}

/// `source` of every event that the brain makes.
pub const SOURCE: &str = "citybrain/brain";

/// Topic and event of an effect of `record`; nothing for a timer, which nobody outside hears of.
pub fn effect_event(effect: &Effect, record: &JournalRecord) -> Option<(String, Event)> {
    let (topic, kind, id, key, at, incident, data) = match effect {
        Effect::Case(it) => (topics::CASE.to_owned(), "case.transition", &it.id, &it.case, it.at, it.incident.as_ref(), json(it)),
        Effect::Alert(it) => {
            let topic = if it.status.is_actual() { format!("{}{}", topics::ALERT_PREFIX, it.scenario) } else { topics::ALERT_EXERCISE.to_owned() };
            (topic, "alert.transition", &it.id, &it.alert_key, it.at, it.incident.as_ref(), json(it))
        }
        Effect::Notification(it) => (topics::NOTIFICATION.to_owned(), "notification", &it.id, &it.group, it.at, it.incident.as_ref(), json(it)),
        Effect::Incident(it) => {
            (topics::INCIDENT.to_owned(), "incident.transition", &it.id, &it.incident, it.last, Some(&it.incident), json(it))
        }
        Effect::Dispatch(it) => (topics::DISPATCH.to_owned(), "dispatch", &it.id, &it.unit, it.at, it.incident.as_ref(), json(it)),
        Effect::Decision(it) => (topics::DECISION.to_owned(), "decision", &it.id, &it.subject, it.at, None, json(it)),
        Effect::Graph(it) => (topics::GRAPH.to_owned(), "graph.change", &it.id, &it.key, it.at, None, json(it)),
        Effect::WakeAt(_) => return None,
    };
    let mut event = Event::new(id.clone(), SOURCE, format!("io.citybrain.{kind}.v1"));
    event.subject = Some(key.clone());
    event.time = Some(at);
    event.partition_key = Some(key.clone());
    event.correlation_id = incident.cloned();
    event.causation_id = Some(cause(record));
    event.data_content_type = Some("application/json".to_owned());
    event.data_classification = Some("internal".to_owned());
    event.data = Some(data.into());
    Some((topic, event))
}

/// The id of the event behind a record, or of the record itself when it was born in the journal.
fn cause(record: &JournalRecord) -> String {
    record.event.as_ref().map_or_else(|| format!("{:020}", record.seq), |event| event.id.clone())
}

fn json<T: Serialize>(data: &T) -> Vec<u8> {
    serde_json::to_vec(data).expect("effects have only text, integers and finite angles")
}

/// The canonical bytes of a record's effects: one line of JSON for each.
pub fn effects_bytes(effects: &[Effect]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(effects.len() * 512);
    for effect in effects {
        serde_json::to_writer(&mut bytes, effect).expect("effects have only text, integers and finite angles");
        bytes.push(b'\n');
    }
    bytes
}
