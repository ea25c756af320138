//! Incidents: what belongs together because the event chain, the place and the time say so. Every reason is recorded.
//!
//! An incident is a tree of *nodes*. A node is one event type in one place, with the alerts and cases that told of it; it
//! hangs on an earlier node by the relation that brought it in. Each new alert or case is a [`Sighting`]: `tie` asks
//! whether a node and a sighting explain one another, `join` puts it where the best tie is, begins an incident when
//! nothing explains it, and brings together what it shows to be one; `leave` takes out what turned out to be none, and
//! lets fall apart what hung on it; `grade` says how grave it is, `expect` what may follow, and `respond` who
//! is to do what; `learn` keeps what incidents that are over have shown.

mod expect;
mod grade;
mod join;
mod learn;
mod leave;
mod respond;
mod spread;
mod tie;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, Utc};
use graph::{Here, When};
use serde::{Deserialize, Serialize};

use crate::effect::{Considered, Effect, Expected, IncidentChange, Relation};
use crate::limits;
use crate::state::{Alert, Case, State, Turn};

pub(crate) use learn::Lessons;
pub(crate) use respond::Earned;
pub use respond::Planned;
pub use spread::Spread;

/// What belongs together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its id.
    pub id: String,
    /// The scenario or category that it began with.
    pub scenario: String,
    /// All scenarios and categories in it.
    pub scenarios: BTreeSet<String>,
    /// The event types in it.
    pub events: BTreeSet<String>,
    /// The districts it touches.
    pub districts: BTreeSet<String>,
    /// Whether it is everywhere.
    pub citywide: bool,
    /// How grave it is, from 1 (Ⅰ) to 4 (Ⅳ).
    pub level: u8,
    /// Its alerts.
    pub alerts: BTreeSet<String>,
    /// How many cases it holds.
    pub cases: u64,
    /// How many of its cases tell of danger to life.
    pub risks: u64,
    /// When it began, in city time.
    pub first: DateTime<Utc>,
    /// Its latest event, in city time.
    pub last: DateTime<Utc>,
    /// What it is made of, the first one first.
    pub nodes: Vec<Node>,
    /// What may follow, the likeliest first.
    pub expected: Vec<Expected>,
    /// The plans that were proposed for it, by scenario.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plans: BTreeMap<String, Planned>,
    pub(crate) next_node: u32,
    pub(crate) timeline: u32,
}

/// One event of an incident: a type of event in one place, told by alerts and cases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its number in the incident.
    pub id: u32,
    /// The event type; none when the graph knows none for what was reported.
    pub event: Option<String>,
    /// The scenario or category of what told of it first.
    pub scenario: String,
    /// Where it is.
    pub spread: Spread,
    /// When it was seen first and last, in city time.
    pub first: DateTime<Utc>,
    /// See `first`.
    pub last: DateTime<Utc>,
    /// When it happened, and was more than expected.
    pub onset: DateTime<Utc>,
    /// Whether it is only expected: forecasts, weak signs and readings of level Ⅳ tell of it, and nothing graver.
    pub early: bool,
    /// The alerts and cases that told of it.
    pub members: BTreeSet<String>,
    /// Why it is here; the first one needs no reason.
    pub tie: Option<Tie>,
}

/// Why a node is in its incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tie {
    /// The node that it hangs on.
    pub to: u32,
    /// How.
    pub relation: Relation,
    /// How likely the chain between them is, in thousandths.
    pub permille: u32,
    /// The chain from cause to effect, where there is one.
    pub chain: Option<String>,
    /// In one sentence.
    pub reason: String,
}

/// Something new that may belong to an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sighting {
    /// The case or alert.
    pub(crate) member: String,
    pub(crate) event: Option<String>,
    /// Its scenario, else its category.
    pub(crate) scenario: String,
    pub(crate) spread: Spread,
    pub(crate) at: DateTime<Utc>,
    /// The level of an alert.
    pub(crate) level: Option<u8>,
    /// Whether it is a sign of what may come, and not the thing itself.
    pub(crate) early: bool,
    /// Whether it is what a city hears every day, and needs a better reason to be part of anything.
    pub(crate) everyday: bool,
    pub(crate) risk_to_life: bool,
}

/// Sightings that belong to nothing yet, by timeline and event type, the oldest first.
pub(crate) type Loose = BTreeMap<String, VecDeque<Sighting>>;

impl Incident {
    fn node(&self, id: u32) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Whether an event has happened in it, and is not only expected.
    fn has_happened(&self, event: &str) -> bool {
        self.nodes.iter().any(|node| !node.early && node.event.as_deref() == Some(event))
    }

    /// How likely it is to come to a node from the first one, in thousandths.
    fn likely(&self, mut id: u32) -> u32 {
        let mut permille = 1000;
        for _ in 0..=self.nodes.len() {
            match self.node(id).and_then(|node| node.tie.as_ref()) {
                Some(tie) => (permille, id) = (permille * tie.permille / 1000, tie.to),
                None => break,
            }
        }
        permille
    }

    /// What follows from the nodes alone.
    fn recount(&mut self) {
        self.scenarios = self.nodes.iter().map(|node| node.scenario.clone()).collect();
        self.events = self.nodes.iter().filter_map(|node| node.event.clone()).collect();
        self.districts = self.nodes.iter().flat_map(|node| node.spread.districts.iter().cloned()).collect();
        self.citywide = self.nodes.iter().any(|node| node.spread.city);
        let members = self.nodes.iter().flat_map(|node| &node.members);
        let (alerts, cases): (Vec<&String>, Vec<&String>) = members.partition(|member| is_alert(member));
        (self.alerts, self.cases) = (alerts.into_iter().cloned().collect(), cases.len() as u64);
        self.first = self.nodes.iter().map(|node| node.first).min().unwrap_or(self.first);
        self.last = self.nodes.iter().map(|node| node.last).max().unwrap_or(self.last);
    }
}

fn is_alert(member: &str) -> bool {
    member.starts_with("alert-")
}

impl State {
    /// What a case tells of.
    pub(crate) fn sighting_of_case(&self, turn: &Turn<'_>, case: &Case, text: &str) -> Sighting {
        let point = case.lat.zip(case.lon).map(|(lat, lon)| schemas::alert::Point { lon, lat });
        Sighting {
            member: case.id.clone(),
            event: turn.graph.event_of_report(&case.category, text).map(str::to_owned),
            scenario: case.scenario.clone().unwrap_or_else(|| case.category.clone()),
            spread: Spread::at(turn.graph, case.district.as_deref(), point),
            at: case.handling.reported,
            level: None,
            early: false,
            everyday: case.urgency >= limits::EVERYDAY_URGENCY_MIN && case.channel != crate::cases::MACHINE,
            risk_to_life: case.risk_to_life,
        }
    }

    /// What an alert tells of.
    pub(crate) fn sighting_of_alert(turn: &Turn<'_>, alert: &Alert) -> Sighting {
        let property = alert.hazard.strip_suffix(crate::alerts::FORECAST).unwrap_or(&alert.hazard);
        let mut spread = match &alert.district {
            Some(district) => Spread::at(turn.graph, Some(district), None),
            None => Spread { city: true, ..Spread::default() },
        };
        spread.bounds = alert.area.bounds;
        Sighting {
            member: alert.id.clone(),
            event: turn.graph.event_of_signal(&alert.scenario, property).map(str::to_owned),
            scenario: alert.scenario.clone(),
            spread,
            at: turn.at,
            // What is only foretold makes nothing grave yet.
            level: Some(if alert.is_early() { 4 } else { alert.level }),
            early: alert.is_early() || alert.level == 4,
            everyday: false,
            risk_to_life: false,
        }
    }

    /// Ends the incidents that nothing has joined for long and whose alerts are over.
    pub(crate) fn retire_incidents(&mut self, turn: &mut Turn<'_>) {
        let over = |incident: &&Incident| {
            incident.timeline == turn.timeline
                && turn.at - incident.last > limits::INCIDENT_AGE_MAX
                && !incident.alerts.iter().any(|alert| self.alerts.get(alert).is_some_and(|alert| self.active.get(&alert.alert_key) == Some(&alert.id)))
        };
        let over: Vec<String> = self.incidents.values().filter(over).map(|incident| incident.id.clone()).collect();
        for id in over {
            let incident = self.incidents.remove(&id).expect("just found");
            self.lessons.take(turn.graph, &incident);
            say(turn, &incident, Said::of("closed", "nothing has joined it for two days and no alert of it is active"));
        }
    }

    /// Says which incident a case or an alert belongs to.
    pub(crate) fn belongs(&mut self, member: &str, incident: Option<&str>) {
        let incident = incident.map(str::to_owned);
        if is_alert(member) {
            if let Some(alert) = self.alerts.get_mut(member) {
                alert.incident = incident;
            }
        } else if let Some(case) = crate::cases::case_seq(member).and_then(|seq| self.cases.get_mut(&seq)) {
            case.incident = incident;
        }
    }
}

/// What a change says beside how the incident stands.
#[derive(Default)]
struct Said<'a> {
    change: &'static str,
    reason: String,
    member: Option<&'a str>,
    event: Option<&'a str>,
    tie: Option<&'a Tie>,
    other: Option<&'a str>,
    considered: Vec<Considered>,
    /// Whether to say what may follow.
    expected: bool,
}

impl Said<'_> {
    fn of(change: &'static str, reason: impl Into<String>) -> Self {
        Said { change, reason: reason.into(), ..Said::default() }
    }
}

fn say(turn: &mut Turn<'_>, incident: &Incident, said: Said<'_>) {
    let change = IncidentChange {
        id: turn.next_id(),
        incident: incident.id.clone(),
        change: said.change.to_owned(),
        member: said.member.map(str::to_owned),
        event: said.event.map(str::to_owned),
        relation: said.tie.map(|tie| tie.relation),
        permille: said.tie.map(|tie| tie.permille),
        because: said.tie.and_then(|tie| tie.chain.clone()),
        other: said.other.map(str::to_owned),
        scenario: incident.scenario.clone(),
        level: incident.level,
        alerts: incident.alerts.len() as u64,
        cases: incident.cases,
        first: incident.first,
        last: incident.last,
        reason: said.reason,
        considered: said.considered,
        expected: if said.expected { incident.expected.clone() } else { Vec::new() },
        evidence: turn.evidence(),
    };
    turn.effects.push(Effect::Incident(change));
}

/// The local moment at which chains are asked for.
fn when(turn: &Turn<'_>, utc_offset_minutes: i32) -> When {
    When::local(turn.at, utc_offset_minutes)
}

/// Where chains are asked for.
fn here(spread: &Spread) -> Here<'_> {
    Here { place: spread.districts.first().map(String::as_str).filter(|_| !spread.city), point: spread.bounds.map(|(low, _)| low).filter(|_| !spread.city) }
}
