//! The journal: the one ordered input of the brain.
//!
//! A record is stored as one line of JSON in the order of these fields, and read back to the same value. Whatever
//! arrives becomes a record: what cannot be understood is a [`Body::Malformed`], which has a place in the order too.
//!
//! Two times are kept apart. `log_time` says when the sequencer wrote: it is stored for people and decides nothing. The
//! city's time is in the events and in the timers ([`JournalRecord::event_time`]): it alone moves the brain's clocks.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::agent::AgentAnswer;
use crate::alert::{Headline, Verdict};
use crate::case::VoidGround;
use crate::matcher::Matcher;
use crate::position::Position;
use crate::signal::{MicroDeg, Signal};
use crate::understood::Understood;

/// One record of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalRecord {
    /// Its number: without gaps, from 0.
    pub seq: u64,
    /// When the sequencer wrote it. Never decreases. Stored, and no part of what decisions rest on: two runs over the
    /// same events differ in it and in nothing else.
    pub log_time: DateTime<Utc>,
    /// Where it came from, unless it was born here (timers, settings, commands).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Position>,
    /// The event that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventRef>,
    /// What it says.
    pub body: Body,
    /// What was understood of its text, when somebody was asked. Beside the body, so that nobody who sends one can forge it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub understood: Option<Understood>,
}

/// The CloudEvent behind a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRef {
    /// Its source.
    pub source: String,
    /// Its id; with the source the key for duplicates.
    pub id: String,
    /// When it says that it happened. `None`: not given, or not believed; the sequencer leaves out a time that is more
    /// than a day ahead of its wall clock, so that one broken clock does not take the city's time with it. Such an event
    /// happens at the time where its stream stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<DateTime<Utc>>,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// A detector's finding.
    Signal(Signal),
    /// A citizen's message.
    Hotline(HotlineMessage),
    /// A fact of a work-order system.
    WorkOrder(WorkOrder),
    /// A fact about the city's surroundings: weather, schedules.
    Context(ContextFact),
    /// What a person decided.
    Command(Command),
    /// A moment that the brain asked for has come.
    TimerFired(TimerFired),
    /// Something that could not be understood.
    Malformed(Malformed),
    /// From here on the brain behaves as of this version.
    VersionBarrier {
        /// The version.
        version: u32,
    },
    /// A setting that changes decisions was changed.
    ConfigChanged {
        /// The setting.
        key: String,
        /// Its new value.
        value: String,
    },
    /// The graph was changed.
    GraphChanged(GraphChanged),
    /// What an agent answered.
    Answer(AgentAnswer),
}

/// Changes of the graph, all of them or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GraphChanged {
    /// Who changes it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Each change as JSON text: `{"put": {"pack": ..., "element": {...}}}` or `{"remove": "unit/gas"}`.
    pub changes: Vec<String>,
}

/// A citizen's message, masked at the door: the data of `hotline.message`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HotlineMessage {
    /// The message's own number.
    pub message_id: String,
    /// What was said.
    pub text: String,
    /// A token for the caller, never the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// Phone, web, app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The district, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub district: Option<String>,
    /// The address, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Latitude.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lat: Option<MicroDeg>,
    /// Longitude.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lon: Option<MicroDeg>,
    /// What the call taker chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Its language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The number of the request that it is about, when the caller names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

/// A fact of a work-order system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkOrder {
    /// `workorder.created`.
    Created(WorkOrderCreated),
    /// `workorder.updated`.
    Updated(WorkOrderUpdated),
    /// `workorder.closed`.
    Closed(WorkOrderClosed),
}

/// A work order was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkOrderCreated {
    /// The order's own number.
    pub request_id: String,
    /// The category in the words of the other system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The district, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub district: Option<String>,
    /// The address, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Latitude.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lat: Option<MicroDeg>,
    /// Longitude.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lon: Option<MicroDeg>,
    /// How it came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The agency that the other system names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agency: Option<String>,
    /// Until when the other system owes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<DateTime<Utc>>,
    /// The other system's status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// Something was done about a work order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkOrderUpdated {
    /// The order's own number.
    pub request_id: String,
    /// The other system's status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The agency that did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agency: Option<String>,
}

/// A work order was closed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkOrderClosed {
    /// The order's own number.
    pub request_id: String,
    /// The other system's status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What the answer was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
}

/// A fact about the city's surroundings. Its data is kept as JSON text: rules read it, state does not hold it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextFact {
    /// The event type, such as `io.citybrain.context.weather.v1`.
    pub kind: String,
    /// What it is about: the event's subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// The data as JSON text.
    pub data: String,
}

/// What a person decided: the data of a `city.command` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The command's own id; a repeat is ignored.
    pub command_id: String,
    /// What to do.
    pub action: Action,
    /// The case, alert key or alert that it is about.
    pub target: String,
    /// Who decided.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The unit, for an assignment or dispatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// The new category, for a correction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// The new deadline, for an extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<DateTime<Utc>>,
    /// The case that has the matter, for a merge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
    /// Why, for a case that is voided; not given means 不予受理.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ground: Option<VoidGround>,
    /// What the commands about alerts say beyond that.
    #[serde(flatten)]
    pub alerting: AlertOrder,
}

/// What the commands about alerts say beyond a target and a reason; in JSON its fields stand among the command's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertOrder {
    /// Which alerts a silence or an exercise is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matchers: Vec<Matcher>,
    /// From when a silence holds; without it from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<DateTime<Utc>>,
    /// Until when a silence or an exercise lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<DateTime<Utc>>,
    /// What an alert turned out to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Who shall own an alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// 平时 or 救时.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// What the public shall read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Headline>,
}

/// How the city works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// 平时.
    #[default]
    Everyday,
    /// 救时: people are told sooner, and of fewer patient steps.
    Emergency,
}

impl Mode {
    /// The name in JSON and text.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Everyday => "everyday",
            Mode::Emergency => "emergency",
        }
    }
}

/// What a person can decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Alert: seen and owned.
    Acknowledge,
    /// Alert: over. Case: done, checked and closed.
    Close,
    /// Case: this unit owes it.
    Assign,
    /// Case: the unit begins, and is sent.
    Dispatch,
    /// Case: 核查.
    Verify,
    /// Case: 退回.
    Return,
    /// Case: 返工.
    Rework,
    /// Case: 延期.
    Extend,
    /// Case: 挂起.
    Suspend,
    /// Case: 作废.
    Void,
    /// Case: 重开.
    Reopen,
    // Cases
    /// Case: 移交, from the unit that has it to another.
    Transfer,
    /// Case: the unit asks for more time.
    RequestExtension,
    /// Case: it gets it.
    ApproveExtension,
    /// Case: it does not.
    RejectExtension,
    /// Case: the end of 挂起.
    Resume,
    /// Case: 并案, the same matter as another case.
    Merge,
    /// Case: 拆案, not the same matter after all.
    Unmerge,
    /// Case: another category.
    Recategorise,
    /// Case: a dispatch that was proposed is sent.
    Approve,
    /// Case: a dispatch that was proposed is not sent.
    Reject,
    // Alerts
    /// Alert: a remark, which is the command's reason.
    Comment,
    /// Alert: what it turned out to be.
    Judge,
    /// Alerts that fit the matchers are not notified of, from `starts` until `ends`.
    Silence,
    /// Ends a silence.
    Unsilence,
    /// From now until `ends` what detectors find where the matchers fit is an exercise.
    StartExercise,
    /// Ends an exercise, and the alerts that came of it.
    StopExercise,
    /// 平时/救时: changes between everyday and emergency.
    Mode,
    /// Alert: the text of a warning of the public.
    DraftWarning,
    /// Alert: somebody else agrees with the text.
    ApproveWarning,
    /// Alert: the public is told.
    PublishWarning,
    /// Alert: what the public was told does not hold any more.
    CancelWarning,
    // Incidents
    /// Incident: everybody whom its plans name is sent.
    ApprovePlan,
    /// Incident: nobody is.
    RejectPlan,
}

impl Action {
    /// Every action.
    pub const ALL: [Action; 34] = [
        Action::Acknowledge, Action::Close, Action::Assign, Action::Dispatch, Action::Verify, Action::Return,
        Action::Rework, Action::Extend, Action::Suspend, Action::Void, Action::Reopen, Action::Transfer,
        Action::RequestExtension, Action::ApproveExtension, Action::RejectExtension, Action::Resume, Action::Merge,
        Action::Unmerge, Action::Recategorise, Action::Approve, Action::Reject, Action::Comment, Action::Judge,
        Action::Silence, Action::Unsilence, Action::StartExercise, Action::StopExercise, Action::Mode,
        Action::DraftWarning, Action::ApproveWarning, Action::PublishWarning, Action::CancelWarning,
        Action::ApprovePlan, Action::RejectPlan,
    ];

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Action::Acknowledge => "acknowledge",
            Action::Close => "close",
            Action::Assign => "assign",
            Action::Dispatch => "dispatch",
            Action::Verify => "verify",
            Action::Return => "return",
            Action::Rework => "rework",
            Action::Extend => "extend",
            Action::Suspend => "suspend",
            Action::Void => "void",
            Action::Reopen => "reopen",
            Action::Transfer => "transfer",
            Action::RequestExtension => "request_extension",
            Action::ApproveExtension => "approve_extension",
            Action::RejectExtension => "reject_extension",
            Action::Resume => "resume",
            Action::Merge => "merge",
            Action::Unmerge => "unmerge",
            Action::Recategorise => "recategorise",
            Action::Approve => "approve",
            Action::Reject => "reject",
            Action::Comment => "comment",
            Action::Judge => "judge",
            Action::Silence => "silence",
            Action::Unsilence => "unsilence",
            Action::StartExercise => "start_exercise",
            Action::StopExercise => "stop_exercise",
            Action::Mode => "mode",
            Action::DraftWarning => "draft_warning",
            Action::ApproveWarning => "approve_warning",
            Action::PublishWarning => "publish_warning",
            Action::CancelWarning => "cancel_warning",
            Action::ApprovePlan => "approve_plan",
            Action::RejectPlan => "reject_plan",
        }
    }
}

/// A moment that the brain asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerFired {
    /// The timer's name, as it was asked for.
    pub timer: String,
    /// The moment that was asked for.
    pub due: DateTime<Utc>,
}

/// Something that could not be understood.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Malformed {
    /// The event type that it claimed.
    pub event_type: String,
    /// Why it could not be understood.
    pub reason: String,
}

impl Body {
    /// What an event says. Total: an unknown type or unreadable data becomes [`Body::Malformed`].
    ///
    /// `event_type` is the full CloudEvents type (`io.citybrain.hotline.message.v1`); any `v<N>` is taken.
    pub fn from_event(event_type: &str, subject: Option<&str>, data: &[u8]) -> Body {
        let short = short_type(event_type);
        let read = match short {
            "city.signal" => serde_json::from_slice(data).map(Body::Signal),
            "hotline.message" => serde_json::from_slice(data).map(Body::Hotline),
            "workorder.created" => serde_json::from_slice(data).map(|it| Body::WorkOrder(WorkOrder::Created(it))),
            "workorder.updated" => serde_json::from_slice(data).map(|it| Body::WorkOrder(WorkOrder::Updated(it))),
            "workorder.closed" => serde_json::from_slice(data).map(|it| Body::WorkOrder(WorkOrder::Closed(it))),
            "agent.answer" => serde_json::from_slice(data).map(Body::Answer),
            "city.command" => serde_json::from_slice(data).map(Body::Command),
            _ if short.starts_with("context.") => serde_json::from_slice::<serde_json::Value>(data).map(|value| {
                Body::Context(ContextFact {
                    kind: short.to_owned(),
                    entity: subject.map(str::to_owned),
                    data: value.to_string(),
                })
            }),
            _ => {
                let reason = format!("the journal has no place for events of type `{event_type}`");
                return Body::Malformed(Malformed { event_type: event_type.to_owned(), reason });
            }
        };
        read.unwrap_or_else(|error| {
            Body::Malformed(Malformed { event_type: event_type.to_owned(), reason: error.to_string() })
        })
    }
}

/// `hotline.message` of `io.citybrain.hotline.message.v1`.
fn short_type(event_type: &str) -> &str {
    let name = event_type.strip_prefix("io.citybrain.").unwrap_or(event_type);
    match name.rsplit_once(".v") {
        Some((stem, version)) if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) => stem,
        _ => name,
    }
}

impl JournalRecord {
    /// The line of JSON that is stored.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a record has only text, integers and finite angles")
    }

    /// The canonical bytes of what decisions rest on: the stored line without `log_time`. This is what the digest chain
    /// holds, so that a run that was stopped and started again ends with the digests of one that was left alone.
    pub fn decided_json(&self) -> String {
        let JournalRecord { seq, log_time: _, source, event, body, understood } = self;
        let decided = Decided { seq: *seq, source: source.as_ref(), event: event.as_ref(), body, understood: understood.as_ref() };
        serde_json::to_string(&decided).expect("a record has only text, integers and finite angles")
    }

    /// Reads a stored line back.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The moment of the city's time that it brings: when its event says that it happened, or when its timer was due.
    /// `None` for what has no time of its own; the log's time is no substitute.
    pub fn event_time(&self) -> Option<DateTime<Utc>> {
        match &self.body {
            Body::TimerFired(fired) => Some(fired.due),
            _ => self.event.as_ref().and_then(|event| event.time),
        }
    }
}

/// A record without the moment at which it was written down; the fields in the order of [`JournalRecord`].
#[derive(Serialize)]
struct Decided<'a> {
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a EventRef>,
    body: &'a Body,
    #[serde(skip_serializing_if = "Option::is_none")]
    understood: Option<&'a Understood>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_decided_is_the_stored_line_without_its_log_time() {
        let event = r#""source":{"topic":"raw.context","partition":0,"offset":4},"event":{"source":"s","id":"1","time":"2026-01-05T08:00:00Z"},"#;
        for (middle, body) in [(event, r#"{"malformed":{"event_type":"x","reason":"y"}}"#), ("", r#"{"version_barrier":{"version":2}}"#)] {
            let line = format!(r#"{{"seq":7,"log_time":"2026-01-05T08:00:02Z",{middle}"body":{body}}}"#);
            let record = JournalRecord::from_json(&line).expect("a stored line");
            assert_eq!(record.to_json(), line);
            assert_eq!(record.decided_json(), line.replace(r#""log_time":"2026-01-05T08:00:02Z","#, ""));
        }
    }

    #[test]
    fn what_was_understood_is_decided_on_and_nobody_who_sends_a_message_can_say_it() {
        let understood = r#""understood":{"chars":4,"risk_to_life":true,"words":["被困"]}"#;
        let line = format!(r#"{{"seq":7,"log_time":"2026-01-05T08:00:02Z","body":{{"hotline":{{"message_id":"m","text":"有人被困"}}}},{understood}}}"#);
        let record = JournalRecord::from_json(&line).expect("a stored line");
        assert!(record.understood.as_ref().is_some_and(|understood| understood.risk_to_life));
        assert_eq!((record.to_json(), record.decided_json().contains(understood)), (line, true));
        let forged = format!(r#"{{"message_id":"m","text":"路灯不亮",{understood}}}"#);
        let body = Body::from_event("io.citybrain.hotline.message.v1", None, forged.as_bytes());
        let honest = Body::Hotline(HotlineMessage { message_id: "m".into(), text: "路灯不亮".into(), ..HotlineMessage::default() });
        assert_eq!(body, honest);
    }

    #[test]
    fn actions_have_the_names_of_their_json() {
        for action in Action::ALL {
            assert_eq!(serde_json::to_value(action).expect("a name"), action.name());
        }
        assert_eq!(Action::ALL.into_iter().collect::<std::collections::BTreeSet<_>>().len(), Action::ALL.len());
    }

    #[test]
    fn the_log_has_no_say_in_when_something_happened() {
        let record = |middle: &str, body: &str| {
            JournalRecord::from_json(&format!(r#"{{"seq":0,"log_time":"2026-01-05T08:00:00Z",{middle}"body":{body}}}"#)).expect("a stored line")
        };
        let timer = record("", r#"{"timer_fired":{"timer":"t","due":"2020-01-01T00:00:00Z"}}"#);
        assert_eq!(timer.event_time(), "2020-01-01T00:00:00Z".parse().ok());
        assert_eq!(record(r#""event":{"source":"s","id":"1"},"#, r#"{"version_barrier":{"version":2}}"#).event_time(), None);
        assert_eq!(record("", r#"{"version_barrier":{"version":2}}"#).event_time(), None);
    }
}
