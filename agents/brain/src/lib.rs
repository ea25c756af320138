//! The decision core: records of the journal in, effects out, the same every time.
//!
//! [`Brain::apply`] is synchronous and total: every record has a transition, malformed ones included. Time is the city's:
//! it comes from the times of events and timers, never from when a record was written down. Ids come from the records'
//! numbers, and state is plain collections of integers and text. Reports open cases and take them to the unit that owes
//! them (`cases`); signals and surges raise alerts (`alerts`, `surge`), and so do weak signs that add up (`weak`); people are
//! told of them (`notify`); what belongs together becomes an incident (`incidents`); people command (`commands`); deadlines
//! come back as timers.
//!
//! It knows nothing of Kafka, files, clocks, threads or models: what it wants done it returns as [`Effect`]s.

mod alerts;
mod cap;
mod cases;
mod chain;
mod clock;
mod commands;
mod effect;
mod incidents;
mod limits;
mod notify;
mod state;
mod surge;
mod weak;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, Utc};
use graph::{Change, Graph, Sorted};
use schemas::journal::{Body, GraphChanged, HotlineMessage, JournalRecord, Mode, TimerFired, WorkOrder, WorkOrderCreated};
use serde::{Deserialize, Serialize};

pub use alerts::exercise::Exercise;
pub use alerts::warning::PublicWarning;
pub use chain::Chain;
pub use effect::{
    Candidate, Considered, Decision, Dispatch, Effect, Expected, GraphChange, IncidentChange, Relation, Response, ResponseResource, ResponseTask, SOURCE, WakeAt, effect_event,
    effects_bytes,
};
pub use notify::{Group, Silence};
pub use incidents::{Incident, Node, Planned, Spread, Tie};
pub use state::{Alert, Case, Counts};

use cases::Intake;
use cases::opinion::{Taken, danger, taken};
use clock::{Clocks, believable};
use state::{State, Timer, Turn, Wake, quote};

/// The layout of a snapshot. 5: incidents are trees of events.
const LAYOUT: u32 = 5;

/// From here on, in thousandths, a language model's answer decides.
pub use limits::ANSWER_SURE_PERMILLE;

/// The setting that says of how many of a thousand reports the agents may be asked; 0 at first.
pub const ASK_PERMILLE: &str = "ask_permille";

/// The setting that says whether documents are looked up for questions of citizens, doubtful cases and plans: `off` at first,
/// `cited` in the documents' own words, `written` when a language model may write the drafts.
pub const BRIEFS: &str = "briefs";

/// The setting that says how many plans of a kind of danger people must have approved in a row before the next one of level
/// Ⅲ needs nobody's approval; 0 at first, which is never.
pub const PLANS_EARNED: &str = "plans_earned";

/// What the brain is told once; everything that changes later comes as a `ConfigChanged` record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// The city's offset from UTC in minutes, for duties by the hour and the times of warnings.
    pub utc_offset_minutes: i32,
}

impl Default for Config {
    fn default() -> Self {
        Self { utc_offset_minutes: 480 }
    }
}

/// Why a snapshot cannot be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The bytes are no snapshot.
    #[error("could not read the brain's snapshot of {bytes} bytes")]
    Unreadable {
        /// How many there are.
        bytes: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Another version wrote it.
    #[error("the brain's snapshot has layout {found}; this program reads layout {LAYOUT}")]
    Layout {
        /// Its layout.
        found: u32,
    },
}

/// The decision core of a city.
#[derive(Debug, Clone)]
pub struct Brain {
    graph: Graph,
    state: State,
    /// What request types mean: a pure function of the graph, remembered because the same few hundred come all the time.
    memo: BTreeMap<String, Option<Sorted>>,
}

impl Brain {
    /// A brain that has seen nothing.
    pub fn new(graph: Graph, config: Config) -> Self {
        let state = State {
            layout: LAYOUT,
            next_seq: 0,
            utc_offset_minutes: config.utc_offset_minutes.clamp(-14 * 60, 14 * 60),
            behaviour: 0,
            clocks: Clocks::default(),
            cases: BTreeMap::new(),
            requests: BTreeMap::new(),
            places: BTreeMap::new(),
            matters: BTreeMap::new(),
            answering: BTreeSet::new(),
            leaving: BTreeSet::new(),
            alerts: BTreeMap::new(),
            active: BTreeMap::new(),
            alerting: alerts::Alerting::default(),
            incidents: BTreeMap::new(),
            loose: BTreeMap::new(),
            hints: BTreeMap::new(),
            surges: BTreeMap::new(),
            timers: BTreeSet::new(),
            commands: VecDeque::new(),
            counts: Counts::default(),
            asking: cases::Asking::default(),
            plans_earned: 0,
            earned: BTreeMap::new(),
            lessons: incidents::Lessons::default(),
        };
        Self { graph, state, memo: BTreeMap::new() }
    }

    /// Applies a record and appends what it wants done. A record that was applied before changes nothing. `log_time` is
    /// no input: records that differ in nothing else have the same effects and leave the same state.
    pub fn apply(&mut self, record: &JournalRecord, effects: &mut Vec<Effect>) {
        let state = &mut self.state;
        if record.seq < state.next_seq {
            return;
        }
        state.next_seq = record.seq + 1;
        state.counts.records += 1;
        let first = effects.len();
        // What has no time of its own happens where the city stands.
        let (timeline, at) = state.clocks.latest().unwrap_or((0, DateTime::UNIX_EPOCH));
        let mut turn = Turn {
            graph: &self.graph,
            seq: record.seq,
            timeline,
            at,
            event_time: at,
            source: record.source.as_ref(),
            first,
            effects,
        };
        match &record.body {
            Body::Signal(signal) => {
                state.arrive(&mut turn, record);
                state.signal(&mut turn, signal);
            }
            Body::Hotline(message) => {
                state.arrive(&mut turn, record);
                let intake = hear(&self.graph, record, message);
                state.report(&mut turn, intake);
            }
            Body::WorkOrder(WorkOrder::Created(order)) => {
                state.arrive(&mut turn, record);
                let sorted = remembered(&mut self.memo, &self.graph, order.category.as_deref());
                let intake = take_in(&self.graph, record, order, sorted);
                state.report(&mut turn, intake);
            }
            Body::WorkOrder(WorkOrder::Updated(order)) => {
                state.arrive(&mut turn, record);
                state.request_updated(&mut turn, &key(record, &order.request_id), order);
            }
            Body::WorkOrder(WorkOrder::Closed(order)) => {
                state.arrive(&mut turn, record);
                let source = record.event.as_ref().map_or("", |event| event.source.as_str());
                state.request_closed(&mut turn, source, &key(record, &order.request_id), order);
            }
            Body::Context(_) => state.arrive(&mut turn, record),
            Body::Answer(answer) => state.answered(&mut turn, answer),
            Body::Command(command) => state.command(&mut turn, command),
            Body::TimerFired(fired) => state.timer(&mut turn, fired),
            Body::Malformed(malformed) => {
                state.arrive(&mut turn, record);
                state.counts.malformed += 1;
                turn.decide("refused", &quote(&malformed.event_type), "rules", "malformed", quote(&malformed.reason));
            }
            Body::VersionBarrier { version } => {
                state.behaviour = state.behaviour.max(*version);
                turn.decide("config", "behaviour", "rules", &version.to_string(), "from here on decisions follow this version".to_owned());
            }
            Body::ConfigChanged { key, value } => {
                let changed = configure(state, key, value);
                let (kind, outcome) = if changed.is_ok() { ("config", "changed") } else { ("refused", "not changed") };
                turn.decide(kind, &quote(key), "person", outcome, changed.unwrap_or_else(|problem| problem));
            }
            Body::GraphChanged(changed) => {
                let at = turn.at;
                match change_graph(&mut self.graph, changed) {
                    Ok(changes) => tell_graph(&self.graph, record.seq, at, changed, changes, effects),
                    Err(problem) => {
                        let mut turn = Turn { graph: &self.graph, seq: record.seq, timeline, at, event_time: at, source: None, first, effects };
                        turn.decide("refused", "graph", "person", "not changed", quote(&problem));
                    }
                }
                self.memo.clear();
            }
        }
    }

    /// The state as canonical bytes: equal states have equal bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        serde_json::to_vec(&self.state).expect("state has only text, integers and finite angles")
    }

    /// The brain that [`Brain::snapshot`] wrote. The graph is the one that was in force then.
    ///
    /// # Errors
    /// When the bytes are not such a snapshot, or of another layout.
    pub fn restore(graph: Graph, config: Config, snapshot: &[u8]) -> Result<Self, RestoreError> {
        // The settings in the snapshot are newer than those the brain was once told.
        let Config { utc_offset_minutes: _ } = config;
        let unreadable = |source| RestoreError::Unreadable { bytes: snapshot.len(), source };
        let Layout { layout } = serde_json::from_slice(snapshot).map_err(unreadable)?;
        if layout != LAYOUT {
            return Err(RestoreError::Layout { found: layout });
        }
        let state = serde_json::from_slice(snapshot).map_err(unreadable)?;
        Ok(Self { graph, state, memo: BTreeMap::new() })
    }

    /// The timer that is due first. The shell appends a `TimerFired` when a record at or after its moment is to come.
    pub fn next_timer(&self) -> Option<(DateTime<Utc>, &str)> {
        self.pending().next()
    }

    /// The timers that were asked for and have not fired, the earliest first.
    pub fn pending(&self) -> impl Iterator<Item = (DateTime<Utc>, &str)> {
        self.state.timers.iter().map(|timer| (timer.due, timer.name.as_str()))
    }

    /// City time: the latest time at which one of its streams stands. Nothing before anything was heard.
    pub fn now(&self) -> Option<DateTime<Utc>> {
        self.state.clocks.latest().map(|(_, clock)| clock)
    }

    /// The number that the next record should have.
    pub fn next_seq(&self) -> u64 {
        self.state.next_seq
    }

    /// The cases in live state, in the order in which they were opened.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.state.cases.values().map(Box::as_ref)
    }

    /// A case by its id.
    pub fn case(&self, id: &str) -> Option<&Case> {
        self.state.cases.get(&cases::case_seq(id)?).map(Box::as_ref)
    }

    /// The alerts in live state, cleared ones included for a while, in the order in which they were raised.
    pub fn alerts(&self) -> impl Iterator<Item = &Alert> {
        self.state.alerts.values()
    }

    /// An alert by its id, or by its key while it is not cleared.
    pub fn alert(&self, id_or_key: &str) -> Option<&Alert> {
        let id = self.state.active.get(id_or_key).map_or(id_or_key, String::as_str);
        self.state.alerts.get(id)
    }

    /// The groups in which alerts are told of now, in the order of their ids.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.state.alerting.groups.values()
    }

    /// The silences that hold or will hold, in the order in which they were made.
    pub fn silences(&self) -> impl Iterator<Item = &Silence> {
        self.state.alerting.silences.values()
    }

    /// The exercises that go on, in the order in which they began.
    pub fn exercises(&self) -> impl Iterator<Item = &Exercise> {
        self.state.alerting.exercises.values()
    }

    /// 平时 or 救时.
    pub fn mode(&self) -> Mode {
        self.state.alerting.mode
    }

    /// How many notifications each unit has been sent.
    pub fn alarm_load(&self) -> &BTreeMap<String, u64> {
        &self.state.alerting.load
    }

    /// The incidents that go on, in the order in which they began.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.state.incidents.values()
    }

    /// What has happened so far, in numbers.
    pub fn counts(&self) -> Counts {
        self.state.counts
    }

    /// Of how many of a thousand reports the agents may be asked.
    pub fn ask_permille(&self) -> u32 {
        self.state.asking.permille
    }

    /// What the setting [`BRIEFS`] is.
    pub fn briefs(&self) -> &'static str {
        self.state.asking.briefs.name()
    }

    /// How many plans of a kind people must have approved in a row before the next needs nobody; 0 is never.
    pub fn plans_earned(&self) -> u32 {
        self.state.plans_earned
    }

    /// The questions that wait for an answer, as request and case or incident.
    pub fn awaited(&self) -> impl Iterator<Item = (&str, String)> {
        self.state.asking.awaited()
    }

    /// Questions put to agents, answers that came in time, and answers that changed something.
    pub fn asked(&self) -> [u64; 3] {
        [self.state.asking.asked, self.state.asking.answered, self.state.asking.decided]
    }

    /// The graph that decisions rest on.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }
}

#[derive(Deserialize)]
struct Layout {
    layout: u32,
}

fn configure(state: &mut State, key: &str, value: &str) -> Result<String, String> {
    match key {
        "utc_offset_minutes" => match value.parse::<i32>() {
            Ok(minutes) if minutes.abs() <= 14 * 60 => {
                state.utc_offset_minutes = minutes;
                Ok(format!("{minutes} minutes from UTC"))
            }
            Ok(_) | Err(_) => Err(format!("`{}` is not a number of minutes within 14 hours", quote(value))),
        },
        ASK_PERMILLE => match value.parse::<u32>() {
            Ok(permille) if permille <= 1000 => {
                state.asking.permille = permille;
                Ok(format!("agents are asked about {permille} of a thousand reports at most"))
            }
            Ok(_) | Err(_) => Err(format!("`{}` is not a number of thousandths", quote(value))),
        },
        BRIEFS => match cases::ask::Briefs::of(value) {
            Some(briefs) => {
                state.asking.briefs = briefs;
                Ok(format!("documents are looked up: {}", briefs.name()))
            }
            None => Err(format!("`{}` is none of off, cited, written", quote(value))),
        },
        PLANS_EARNED => match value.parse::<u32>() {
            Ok(plans) => {
                state.plans_earned = plans;
                Ok(if plans == 0 { "people approve every plan".to_owned() } else { format!("after {plans} plans of a kind that people approved in a row, those of level 3 need nobody") })
            }
            Err(_) => Err(format!("`{}` is not a number of plans", quote(value))),
        },
        _ => Err(format!("there is no setting `{}`", quote(key))),
    }
}

/// Carries out all changes or none.
fn change_graph(graph: &mut Graph, changed: &GraphChanged) -> Result<Vec<Change>, String> {
    let read = |text: &String| serde_json::from_str::<Change>(text).map_err(|error| format!("`{}` is no change: {error}", quote(text)));
    let changes = changed.changes.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    graph.apply_all(changes.iter().cloned()).map_err(|error| error.to_string())?;
    Ok(changes)
}

fn tell_graph(graph: &Graph, seq: u64, at: DateTime<Utc>, changed: &GraphChanged, changes: Vec<Change>, effects: &mut Vec<Effect>) {
    let version = graph.version();
    for (ordinal, change) in changes.into_iter().enumerate() {
        let key = change.key().to_string();
        let (change, pack, element) = match change {
            Change::Put(entry) => {
                let element = serde_json::to_string(&entry.element).expect("an element has only text, integers and finite angles");
                ("put", entry.pack, Some(element))
            }
            Change::Remove(_) => ("removed", None, None),
        };
        effects.push(Effect::Graph(GraphChange {
            id: schemas::id::at(seq, ordinal as u32),
            key,
            change: change.to_owned(),
            pack,
            element,
            actor: changed.actor.clone(),
            reason: changed.reason.clone(),
            graph_version: version.clone(),
            at,
        }));
    }
}

impl State {
    /// A record of the outside world has come: time moves, and what is over goes.
    fn arrive(&mut self, turn: &mut Turn<'_>, record: &JournalRecord) {
        let source = record.event.as_ref().map_or("", |event| event.source.as_str());
        let claimed = record.event_time().map(believable);
        (turn.timeline, turn.at) = self.clocks.observe(turn.seq, source, claimed);
        turn.event_time = claimed.unwrap_or(turn.at);
        self.retire_cases(turn.timeline, turn.at);
        self.retire_incidents(turn);
    }

    /// A moment has come that was asked for; any other timer is none of ours.
    fn timer(&mut self, turn: &mut Turn<'_>, fired: &TimerFired) {
        let from = Timer { due: fired.due, name: fired.timer.clone(), timeline: 0 };
        let Some(timer) = self.timers.range(from..).next().cloned() else { return };
        if timer.due != fired.due || timer.name != fired.timer {
            return;
        }
        self.timers.remove(&timer);
        turn.timeline = timer.timeline;
        turn.at = self.clocks.reach(timer.timeline, timer.due);
        match timer.name.splitn(3, '/').collect::<Vec<_>>().as_slice() {
            [case, wake] if Wake::read(wake).is_some() => self.case_timer(turn, case, Wake::read(wake).expect("just read")),
            ["alert", key, "pending"] => self.pending_due(turn, key),
            ["alert", key, "clear"] => self.clear_due(turn, key),
            ["alert", id, "expected"] => self.expected_due(turn, id),
            ["alert", id, "life"] => self.life_due(turn, id),
            ["alert", id, "warning"] => self.warning_due(turn, id),
            ["notify", group, "flush"] => self.flush(turn, group),
            ["notify", group, "escalate"] => self.escalate(turn, group),
            ["silence", id, "ends"] => self.silence_ends(turn, id),
            ["exercise", id, "ends"] => self.exercise_ends(turn, id),
            ["surge", _, scenario] => self.surge_hour(turn, scenario),
            other => unreachable!("the brain asks for no timer {other:?}"),
        }
    }
}

/// Number and source: requests of two systems may have the same number. The number comes first because it differs first.
fn key(record: &JournalRecord, request: &str) -> String {
    let source = record.event.as_ref().map_or("", |event| event.source.as_str());
    format!("{request}#{source}")
}

fn remembered(memo: &mut BTreeMap<String, Option<Sorted>>, graph: &Graph, request_type: Option<&str>) -> Option<Sorted> {
    let request_type = request_type?;
    if let Some(known) = memo.get(request_type) {
        return known.clone();
    }
    if memo.len() >= limits::MEMO_MAX {
        memo.clear();
    }
    let sorted = graph.sort_request_type(request_type);
    memo.insert(request_type.to_owned(), sorted.clone());
    sorted
}

fn take_in<'a>(graph: &Graph, record: &'a JournalRecord, order: &'a WorkOrderCreated, sorted: Option<Sorted>) -> Intake<'a> {
    let text = order.description.as_deref().unwrap_or_default();
    let chosen = sorted.is_some();
    let understood = record.understood.as_ref();
    let Taken { sorted, found, ruled } = taken(graph, sorted.unwrap_or_else(|| graph.sort_text(text)), chosen, understood);
    Intake {
        key: key(record, &order.request_id),
        request: &order.request_id,
        channel: "work_order",
        own: order.channel.as_deref().is_some_and(|channel| graph.is_own_channel(channel)),
        sorted,
        found,
        ruled,
        understood,
        typed: order.category.is_some(),
        chosen,
        text,
        risk_word: danger(graph, text, understood),
        urgency: None,
        district: order.district.as_deref(),
        address: order.address.as_deref(),
        station: None,
        lat: order.lat.filter(|lat| lat.is_latitude()),
        lon: order.lon,
        due: order.due,
        about: None,
    }
}

fn hear<'a>(graph: &Graph, record: &'a JournalRecord, message: &'a HotlineMessage) -> Intake<'a> {
    let chosen = message.category.as_deref().and_then(|category| graph.sort_request_type(category));
    let is_chosen = chosen.is_some();
    let understood = record.understood.as_ref();
    let Taken { sorted, found, ruled } = taken(graph, chosen.unwrap_or_else(|| graph.sort_text(&message.text)), is_chosen, understood);
    Intake {
        key: key(record, &message.message_id),
        request: &message.message_id,
        channel: "hotline",
        own: message.channel.as_deref().is_some_and(|channel| graph.is_own_channel(channel)),
        sorted,
        found,
        ruled,
        understood,
        typed: message.category.is_some(),
        chosen: is_chosen,
        text: &message.text,
        risk_word: danger(graph, &message.text, understood),
        urgency: None,
        district: message.district.as_deref(),
        address: message.address.as_deref(),
        station: None,
        lat: message.lat.filter(|lat| lat.is_latitude()),
        lon: message.lon,
        due: None,
        about: message.about.as_deref(),
    }
}
