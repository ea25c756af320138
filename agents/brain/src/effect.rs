//! What the brain wants done. Effects are values: the shell performs them after the record is in the journal, and
//! performing one twice is harmless because its id is made from (sequence, ordinal).

use chrono::{DateTime, Utc};
use graph::{Change, Entry, Level, Name};
use schemas::agent::{AgentRequest, Citation, Draft, Elements};
use schemas::alert::AlertTransition;
use schemas::case::CaseTransition;
use schemas::event::Event;
use schemas::journal::JournalRecord;
use schemas::notification::Notification;
use schemas::position::Position;
use schemas::topics;
use schemas::understood::{Opinion, Task};
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
    /// The agents are asked: `city.request`.
    Ask(AgentRequest),
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
    /// What for: `urgent_case`, `alert`, `exercise`, `reminder`, `escalation`, `plan`, or `ordered` or `approved` by a person.
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
    /// What the plan asks of the unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Name>,
    /// Until when, in city time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<DateTime<Utc>>,
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
    /// `triage`, `draft`, `plan`, `correction`, `quality`, `command`, `refused`, `noted`, `silence`, `exercise`, `mode` or `config`.
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
    /// What the citizen wants, as a reader understood it, for a triage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    /// The words that made it urgent or a risk to life, as a reader found them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
    /// Whether the text tries to give orders to a machine; then no model decides about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injection: Option<bool>,
    /// Terms of the content filter for which people see it before any model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopped: Vec<String>,
    /// The models whose opinions decided, as `name@digest`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// What could have been decided, by rules and by the active models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    /// What every model that was asked thinks, shadows included: to compare them. Shadows decide nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opinions: Vec<Opinion>,
    /// The elements of the form that a language model found in the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elements: Option<Elements>,
    /// Sections of the knowledge base that say something to it, the likeliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub citations: Vec<Citation>,
    /// What was drafted from them, for a person to use or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<Draft>,
    /// Why nothing was drafted, or what of the plan no document holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<String>,
    /// The plan that is proposed, sent or turned down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Box<Response>>,
    /// The question that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The digest of the prompts, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// How the model was sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler: Option<String>,
    /// Tokens read and written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
    /// From the question to the answer, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u32>,
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

/// Who does what in an incident, on the three levels 市, 区, 街道: the plan of its scenario, with units, times and resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The incident.
    pub incident: String,
    /// The scenario.
    pub scenario: String,
    /// The plan that it is made from.
    pub plan: String,
    /// Its name.
    pub name: Name,
    /// How grave the incident is, from 1 (Ⅰ) to 4 (Ⅳ).
    pub level: u8,
    /// The unit that leads.
    pub lead: String,
    /// Who does what.
    pub tasks: Vec<ResponseTask>,
    /// What can be there within an hour, of the kinds that the plan needs, the earliest first.
    pub resources: Vec<ResponseResource>,
    /// Kinds that it needs and nothing of which can be there within an hour, or of which nobody knows where to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<String>,
    /// Laws and rules that it rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub basis: Vec<String>,
    /// Sections of the knowledge base that hold it: `document#section`. Empty until they have been looked up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cites: Vec<String>,
    /// What may follow, in words; empty when nothing is expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlook: Option<Name>,
}

/// One thing that a unit is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseTask {
    /// 市, 区 or 街道.
    pub level: Level,
    /// The unit.
    pub unit: String,
    /// Whether it stands in for a unit of that level that the graph does not know.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stands_in: bool,
    /// What to do.
    pub task: Name,
    /// Until when, in city time.
    pub due: DateTime<Utc>,
}

/// Something that can be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseResource {
    /// The resource.
    pub resource: String,
    /// What it is.
    pub kind: String,
    /// The unit that has it.
    pub unit: String,
    /// How many.
    pub count: u32,
    /// How long it takes, in minutes over roads.
    pub minutes: u32,
}

/// Something that a triage could have decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Category or unit.
    pub task: Task,
    /// Which one.
    pub label: String,
    /// How sure of it its source is, in thousandths; for a unit by the graph 1000, and 0 for the one of last resort.
    pub permille: u32,
    /// Whose it is: `rules`, or the model's name.
    pub by: String,
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

/// An incident began, grew, became worse, fell apart or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentChange {
    /// Id of this change, made from (sequence, ordinal).
    pub id: String,
    /// The incident.
    pub incident: String,
    /// `opened`, `joined`, `left` (a member turned out to be none), `merged` (another incident went into it), `split` (it
    /// came out of another), `graded` (its level changed), `expected` (what may follow changed) or `closed`.
    pub change: String,
    /// The case or alert that opened it, joined it, left it or made it worse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The event type of the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// How the member belongs to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<Relation>,
    /// How likely the chain between them is, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permille: Option<u32>,
    /// The chain between them, from cause to effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// The other incident of a merge or a split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
    /// The scenario or category that it began with.
    pub scenario: String,
    /// How grave it is, from 1 (Ⅰ) to 4 (Ⅳ): the worst level of its alerts and of its scenarios' rules.
    pub level: u8,
    /// How many alerts it holds.
    pub alerts: u64,
    /// How many cases it holds.
    pub cases: u64,
    /// When it began, in city time.
    pub first: DateTime<Utc>,
    /// Its latest event, in city time.
    pub last: DateTime<Utc>,
    /// Why.
    pub reason: String,
    /// Incidents that were considered for the member and rejected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub considered: Vec<Considered>,
    /// What may follow now, the likeliest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<Expected>,
    /// The records that this change rests on.
    pub evidence: Vec<Position>,
}

/// How something belongs to an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// The same event goes on.
    GoesOn,
    /// Something in it leads to this.
    ComesOf,
    /// This leads to something in it, and was seen later.
    Explains,
    /// Something that nobody has seen would explain both.
    SharesCause,
    /// The same kind of matter at the same place.
    SamePlace,
    /// It is one of the records that an alert of it rests on.
    Evidence,
}

/// An incident that was considered for something new, and rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Considered {
    /// The incident.
    pub incident: String,
    /// Why it was rejected.
    pub reason: String,
}

/// What may follow in an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The event type.
    pub event: String,
    /// How likely, in thousandths.
    pub permille: u32,
    /// The earliest moment, in city time.
    pub from: DateTime<Utc>,
    /// The latest moment.
    pub until: DateTime<Utc>,
    /// The district from which it would come; none when it is all over the city.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub district: Option<String>,
    /// How far from there: a number of metres, `district` or `city`.
    pub reach: String,
    /// Incidents from which probability and window were learnt; 0 where both are the graph's.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seen: u32,
}

fn is_zero(seen: &u32) -> bool {
    *seen == 0
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
        Effect::Ask(it) => (topics::REQUEST.to_owned(), "agent.request", &it.id, &it.case, it.at, None, json(it)),
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
