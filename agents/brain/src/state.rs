//! What the brain remembers: plain collections of integers and text, all of it bounded by `limits`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, Utc};
use graph::Graph;
use schemas::alert::{AlertState, Area, Headline, Point, Status, Verdict};
use schemas::case::CaseState;
use schemas::position::Position;
use schemas::signal::MicroDeg;
use serde::{Deserialize, Serialize};

use crate::alerts::Alerting;
use crate::alerts::warning::PublicWarning;
use crate::cases::{Asking, Spot};
use crate::clock::Clocks;
use crate::effect::{Decision, Effect, WakeAt};
use crate::incidents::{Earned, Incident, Lessons, Loose};
use crate::limits;
use crate::weak::Hint;

/// Everything that the brain remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Layout of this state.
    pub(crate) layout: u32,
    pub(crate) next_seq: u64,
    pub(crate) utc_offset_minutes: i32,
    pub(crate) behaviour: u32,
    pub(crate) clocks: Clocks,
    pub(crate) cases: BTreeMap<u64, Box<Case>>,
    /// Number and source of a request to its case.
    pub(crate) requests: BTreeMap<String, u64>,
    /// Category and place to the latest case there.
    pub(crate) places: BTreeMap<String, u64>,
    /// What may be one matter: category and grid cell, address or station (hashed) to the cases there, the oldest first.
    pub(crate) matters: BTreeMap<u64, VecDeque<u64>>,
    /// Sources that have sent an answer that says something: only they are judged for sending none.
    pub(crate) answering: BTreeSet<String>,
    pub(crate) leaving: BTreeSet<Leaving>,
    pub(crate) alerts: BTreeMap<String, Alert>,
    /// Alert key to the alert that is not cleared.
    // Invariant: one alert that is not cleared for each key.
    pub(crate) active: BTreeMap<String, String>,
    /// What goes on around the alerts: groups, silences, exercises, what is not yet an alert.
    pub(crate) alerting: Alerting,
    pub(crate) incidents: BTreeMap<String, Incident>,
    /// What may become part of an incident.
    pub(crate) loose: Loose,
    /// What may add up to an early alert, by timeline and scenario.
    pub(crate) hints: BTreeMap<String, VecDeque<Hint>>,
    pub(crate) surges: BTreeMap<String, Surge>,
    pub(crate) timers: BTreeSet<Timer>,
    pub(crate) commands: VecDeque<String>,
    pub(crate) counts: Counts,
    /// What agents are asked.
    #[serde(default)]
    pub(crate) asking: Asking,
    /// How many plans in a row people must have approved; 0 is never enough.
    #[serde(default)]
    pub(crate) plans_earned: u32,
    /// How the plans of each scenario have done.
    #[serde(default)]
    pub(crate) earned: BTreeMap<String, Earned>,
    /// What incidents have taught of the event chain.
    #[serde(default)]
    pub(crate) lessons: Lessons,
}

/// A case as the brain holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Its id.
    pub id: String,
    /// The reporter's own number.
    pub request: String,
    /// Where it stands.
    pub state: CaseState,
    /// Category of the duty graph.
    pub category: String,
    /// The scenario that the category belongs to.
    pub scenario: Option<String>,
    /// From 1 (at once) to 4 (as planned).
    pub urgency: u8,
    /// Whether somebody's life is at risk.
    pub risk_to_life: bool,
    /// `work_order`, `hotline` or `machine`.
    pub channel: String,
    /// The district as reported.
    pub district: Option<String>,
    /// The address as reported.
    pub address: Option<String>,
    /// Latitude.
    pub lat: Option<MicroDeg>,
    /// Longitude.
    pub lon: Option<MicroDeg>,
    /// The unit that owes it.
    pub unit: Option<String>,
    /// Until when it is owed; nothing while its clock stands.
    pub due: Option<DateTime<Utc>>,
    /// Whether the deadline has passed.
    pub overdue: bool,
    /// The time that is left, in seconds, while its clock stands.
    pub remaining_s: Option<i64>,
    /// The deadline that the unit asks for.
    pub asked_due: Option<DateTime<Utc>>,
    /// The unit whose dispatch waits for a person's approval.
    pub proposed_unit: Option<String>,
    /// The case that has its matter.
    pub merged_into: Option<String>,
    /// The cases whose matter it has.
    pub merged: BTreeSet<String>,
    /// How often it was reopened or sent back for rework.
    pub reopened: u32,
    /// The incident that it belongs to.
    pub incident: Option<String>,
    /// When it was opened, in city time.
    pub opened: DateTime<Utc>,
    /// When it last moved, in city time.
    pub moved: DateTime<Utc>,
    /// The record that reported it.
    pub evidence: Vec<Position>,
    pub(crate) handling: Handling,
    pub(crate) key: String,
    pub(crate) place: Option<String>,
    pub(crate) timeline: u32,
    pub(crate) leaves: DateTime<Utc>,
}

/// What the handling of a case needs and nobody outside asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handling {
    /// When its report says that it happened.
    pub(crate) reported: DateTime<Utc>,
    /// The latest report of its matter.
    pub(crate) last_report: DateTime<Utc>,
    /// Whether the city's own staff wrote it.
    pub(crate) own: bool,
    /// Urgency and danger to life as reported, whatever was merged with it.
    pub(crate) urgency: u8,
    pub(crate) risk_to_life: bool,
    /// Categories that its text speaks of.
    pub(crate) topics: BTreeSet<String>,
    /// Whether its deadline runs in working time.
    pub(crate) working: bool,
    /// The time that its deadline gave, in seconds.
    pub(crate) given_s: i64,
    /// What happens next if nobody does anything.
    // Invariant: a timer of the case with this moment is among the timers.
    pub(crate) wake: Option<(Wake, DateTime<Utc>)>,
    /// How many superiors have heard that it is overdue.
    pub(crate) told: u32,
    /// Where it stood before it was suspended or merged.
    pub(crate) stood: Option<CaseState>,
    /// Where its own report says that it is, and where all reports of its matter together say that it is.
    pub(crate) own_spot: Spot,
    pub(crate) spot: Spot,
    /// Its keys in [`State::matters`].
    pub(crate) keys: Vec<u64>,
}

/// What a case's timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wake {
    Remind,
    Due,
    Escalate,
}

/// When a case leaves state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Leaving {
    pub(crate) timeline: u32,
    pub(crate) at: DateTime<Utc>,
    pub(crate) case: u64,
}

/// An alert as the brain holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// The episode's id.
    pub id: String,
    /// Scenario, originator and hazard in one.
    pub alert_key: String,
    /// The scenario.
    pub scenario: String,
    /// Who measures.
    pub originator: String,
    /// What is measured.
    pub hazard: String,
    /// From 1 (Ⅰ) to 4 (Ⅳ).
    pub level: u8,
    /// Whether the hazard is there.
    pub state: AlertState,
    /// Whether it is meant.
    pub status: Status,
    /// The exercise that it belongs to.
    pub exercise: Option<String>,
    /// Whether somebody has seen it.
    pub acknowledged: bool,
    /// Who owns it.
    pub owner: Option<String>,
    /// What it turned out to be.
    pub verdict: Option<Verdict>,
    /// How many remarks people have made on it.
    pub comments: u64,
    /// How often its condition came back within the scenario's window, while that is often enough to call it flapping.
    pub flap_score: Option<u32>,
    /// The value that raised it or made it worse, in thousandths.
    pub value_milli: Option<i64>,
    /// The threshold that it broke, in thousandths.
    pub threshold_milli: Option<i64>,
    /// The warning of the public about it.
    pub warning: Option<PublicWarning>,
    /// The district; nothing when it is all over the city.
    pub district: Option<String>,
    /// The group with which it is told.
    pub group: String,
    /// What to tell people.
    pub headline: Headline,
    /// Where it holds.
    pub area: Area,
    /// Since when; for what is expected, from when on.
    pub onset: DateTime<Utc>,
    /// For what was expected and came true: how many seconds before it was told.
    pub lead_s: Option<i64>,
    /// When it was raised.
    pub since: DateTime<Utc>,
    /// When it last changed.
    pub changed: DateTime<Utc>,
    /// The incident that it belongs to.
    pub incident: Option<String>,
    /// The unit that owes an answer.
    pub unit: Option<String>,
    /// The plan to follow.
    pub plan: Option<String>,
    /// How many records support it.
    pub evidence_count: u64,
    /// Records that no change has named yet.
    pub(crate) pending: Vec<Position>,
    /// Lower readings in a row, and the worst level among them.
    pub(crate) lower: (u32, u8),
    /// When its condition was last found.
    pub(crate) found: DateTime<Utc>,
    /// Since when the condition is measured as gone, and when that ends it.
    pub(crate) clears: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Identifier and sending time of the CAP messages before, as CAP's references need them.
    pub(crate) cap_refs: Vec<(String, DateTime<Utc>)>,
    /// Whether its last CAP message was a Cancel, after which there is none.
    pub(crate) cancelled: bool,
    pub(crate) timeline: u32,
}

/// One report in a surge window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) time: DateTime<Utc>,
    pub(crate) case: u64,
    pub(crate) district: Option<String>,
    pub(crate) point: Option<Point>,
    pub(crate) source: Option<Position>,
}

/// The reports on one scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Surge {
    /// Reports of the last window, by time.
    pub(crate) reports: VecDeque<Report>,
    /// Usual reports in an hour, in millionths.
    pub(crate) usual_micro: u64,
    /// The hour (since 1970) that is being counted, and its count.
    pub(crate) hour: i64,
    pub(crate) hour_count: u64,
    /// Hours in a row with hardly any report.
    pub(crate) quiet_hours: u32,
}

/// A moment that the brain asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Timer {
    pub(crate) due: DateTime<Utc>,
    pub(crate) name: String,
    pub(crate) timeline: u32,
}

/// What has happened so far, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records applied.
    pub records: u64,
    /// Records that could not be understood.
    pub malformed: u64,
    /// Requests and messages that were there already.
    pub duplicates: u64,
    /// Cases opened.
    pub cases: u64,
    /// Cases that left state by age.
    pub cases_left: u64,
    /// Cases that were merged into another.
    pub merged: u64,
    /// Alerts raised.
    pub alerts: u64,
    /// Notifications that told somebody.
    pub notifications: u64,
    /// Notifications that something kept from being sent.
    pub suppressed: u64,
    /// Incidents begun.
    pub incidents: u64,
}

/// One record's turn: what its handlers may look at, and where their effects go.
pub(crate) struct Turn<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) seq: u64,
    pub(crate) timeline: u32,
    /// City time.
    pub(crate) at: DateTime<Utc>,
    /// When the record says that it happened; city time when it says nothing that is believed.
    pub(crate) event_time: DateTime<Utc>,
    pub(crate) source: Option<&'a Position>,
    /// Where this record's effects begin.
    pub(crate) first: usize,
    pub(crate) effects: &'a mut Vec<Effect>,
}

impl Turn<'_> {
    /// The id of the next effect.
    pub(crate) fn next_id(&self) -> String {
        schemas::id::at(self.seq, (self.effects.len() - self.first) as u32)
    }

    /// The record itself as evidence.
    pub(crate) fn evidence(&self) -> Vec<Position> {
        self.source.cloned().into_iter().collect()
    }

    /// Records a decision that changes nothing else.
    pub(crate) fn decide(&mut self, kind: &str, subject: &str, tier: &str, outcome: &str, reason: String) {
        let decision = self.decision(kind, subject, tier, outcome, reason);
        self.effects.push(Effect::Decision(decision));
    }

    /// A decision that is certain and says nothing of category, unit or urgency; whoever knows more fills it in.
    pub(crate) fn decision(&self, kind: &str, subject: &str, tier: &str, outcome: &str, reason: String) -> Decision {
        Decision {
            id: self.next_id(),
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            tier: tier.to_owned(),
            outcome: outcome.to_owned(),
            category: None,
            unit: None,
            urgency: None,
            risk_to_life: None,
            intent: None,
            words: Vec::new(),
            injection: None,
            stopped: Vec::new(),
            models: Vec::new(),
            candidates: Vec::new(),
            opinions: Vec::new(),
            elements: None,
            citations: Vec::new(),
            draft: None,
            lacking: Vec::new(),
            response: None,
            request: None,
            prompt: None,
            sampler: None,
            tokens: None,
            latency_ms: None,
            confidence_permille: 1000,
            reason,
            graph_version: self.graph.version(),
            at: self.at,
            evidence: self.evidence(),
        }
    }
}

impl State {
    pub(crate) fn wake_at(&mut self, turn: &mut Turn<'_>, name: String, due: DateTime<Utc>) {
        self.wake_on(turn, turn.timeline, name, due);
    }

    /// The same for a timeline that is not the turn's.
    pub(crate) fn wake_on(&mut self, turn: &mut Turn<'_>, timeline: u32, name: String, due: DateTime<Utc>) {
        self.timers.insert(Timer { due, name: name.clone(), timeline });
        turn.effects.push(Effect::WakeAt(WakeAt { timer: name, due }));
    }
}

/// The beginning of somebody else's text, for a reason.
pub(crate) fn quote(text: &str) -> String {
    text.chars().take(limits::QUOTE_CHARS_MAX).collect()
}
