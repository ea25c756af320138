//! Gives what came in to a brain, and writes down what the brain made of it, each thing with the event that it is about.

use std::collections::BTreeMap;

use brain::{Brain, Config, Effect};
use chrono::{DateTime, Utc};
use graph::Graph;
use schemas::alert::AlertTransition;
use schemas::case::CaseTransition;
use schemas::journal::{Body, EventRef, JournalRecord, TimerFired};
use schemas::position::Position;
use schemas::signal::{Signal, SignalKind, SignalState};
use schemas::topics;

use crate::limits;
use crate::play::{Recording, moment};
use crate::script::Script;

/// A finding of a streaming job. Its evidence are readings: positions on `raw.sensor` that count a recording's readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// When its window closed, or its reading came.
    pub at: DateTime<Utc>,
    /// What it says.
    pub signal: Signal,
}

/// A case or an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// When it was opened or raised.
    pub at: DateTime<Utc>,
    /// Its scenario; of a case that has none its category.
    pub scenario: String,
    /// The district, as it was told.
    pub district: Option<String>,
    /// The number of the event that it is about.
    pub event: Option<usize>,
    /// The incident that it belongs to in the end.
    pub incident: Option<String>,
}

/// An alert, of the brain or of thresholds alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertSeen {
    /// What people would call it.
    pub name: String,
    /// When it was raised.
    pub at: DateTime<Utc>,
    /// Its worst level.
    pub level: u8,
    /// The number of the event that it is about; none makes it a false alarm.
    pub event: Option<usize>,
}

/// What a brain made of a recording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Its cases and alerts; cases that were merged into another are that one's.
    pub items: Vec<Item>,
    /// Its alerts about the city.
    pub alerts: Vec<AlertSeen>,
    /// The alerts of thresholds alone.
    pub thresholds: Vec<AlertSeen>,
    /// When something was in which incident: (time, case or alert, incident).
    pub memberships: Vec<(DateTime<Utc>, String, String)>,
    /// What each incident expected, the likeliest first: (time, incident, event types).
    pub expectations: Vec<(DateTime<Utc>, String, Vec<String>)>,
    /// Which incident went into which, and when: (time, which, into).
    pub merges: Vec<(DateTime<Utc>, String, String)>,
    /// The last level of each incident.
    pub levels: BTreeMap<String, u8>,
    /// Of each forecast that is over, the seconds that it was ahead when it came true.
    pub forecasts: Vec<Option<i64>>,
}

/// Gives a recording and its signals to a new brain.
pub fn drive(graph: &Graph, script: &Script, recording: &Recording, found: &[Found]) -> Outcome {
    let mut log: Vec<(DateTime<Utc>, Position, &'static str, Body)> = Vec::new();
    for (number, found) in found.iter().enumerate() {
        log.push((found.at, Position::new(topics::SIGNAL, 0, number as i64), "job", Body::Signal(found.signal.clone())));
    }
    for (number, report) in recording.reports.iter().enumerate() {
        let topic = if matches!(report.body, Body::Hotline(_)) { "raw.hotline" } else { "raw.workorder" };
        log.push((report.at, Position::new(topic, 0, number as i64), topic, report.body.clone()));
    }
    log.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let mut run = Run::new(graph, recording, found);
    for (at, position, source, body) in log {
        run.timers(at);
        let event = EventRef { source: source.to_owned(), id: position.to_string(), time: Some(at) };
        run.apply(at, Some(position), Some(event), body);
    }
    run.timers(moment(script, (script.minutes + limits::AFTERWARDS_MINUTES) * 60));
    run.outcome(found)
}

struct Run<'a> {
    brain: Brain,
    recording: &'a Recording,
    found: &'a [Found],
    outcome: Outcome,
    /// Cases that have the matter of others.
    merged_cases: BTreeMap<String, String>,
    /// Case or alert to its item, alert to its alert.
    items: BTreeMap<String, usize>,
    alerts: BTreeMap<String, usize>,
    seq: u64,
}

impl<'a> Run<'a> {
    fn new(graph: &Graph, recording: &'a Recording, found: &'a [Found]) -> Run<'a> {
        let brain = Brain::new(graph.clone(), Config::default());
        Run { brain, recording, found, outcome: Outcome::default(), merged_cases: BTreeMap::new(), items: BTreeMap::new(), alerts: BTreeMap::new(), seq: 0 }
    }

    fn timers(&mut self, until: DateTime<Utc>) {
        while let Some((due, name)) = self.brain.next_timer().filter(|(due, _)| *due <= until) {
            let body = Body::TimerFired(TimerFired { timer: name.to_owned(), due });
            self.apply(due, None, None, body);
        }
    }

    fn apply(&mut self, at: DateTime<Utc>, source: Option<Position>, event: Option<EventRef>, body: Body) {
        let record = JournalRecord { seq: self.seq, log_time: at, source, event, body, understood: None };
        self.seq += 1;
        let mut effects = Vec::new();
        self.brain.apply(&record, &mut effects);
        for effect in effects {
            match effect {
                Effect::Case(it) => self.case(at, &it),
                Effect::Alert(it) => self.alert(at, &it),
                Effect::Incident(it) => {
                    if let Some(member) = &it.member {
                        match it.change.as_str() {
                            "opened" | "joined" => self.belongs(at, member, &it.incident),
                            "left" => self.belongs(at, member, ""),
                            _ => {}
                        }
                    }
                    if let ("merged", Some(other)) = (it.change.as_str(), &it.other) {
                        self.outcome.merges.push((at, other.clone(), it.incident.clone()));
                    }
                    if !it.expected.is_empty() || it.change == "expected" {
                        let events = it.expected.iter().map(|expected| expected.event.clone()).collect();
                        self.outcome.expectations.push((at, it.incident.clone(), events));
                    }
                    self.outcome.levels.insert(it.incident, it.level);
                }
                Effect::Ask(_) | Effect::Dispatch(_) | Effect::Notification(_) | Effect::Decision(_) | Effect::Graph(_) | Effect::WakeAt(_) => {}
            }
        }
    }

    fn belongs(&mut self, at: DateTime<Utc>, member: &str, incident: &str) {
        self.outcome.memberships.push((at, member.to_owned(), incident.to_owned()));
    }

    fn case(&mut self, at: DateTime<Utc>, it: &CaseTransition) {
        if !self.items.contains_key(&it.case) {
            self.items.insert(it.case.clone(), self.outcome.items.len());
            self.outcome.items.push(Item {
                id: it.case.clone(),
                at,
                scenario: it.scenario.clone().unwrap_or_else(|| it.category.clone()),
                district: it.district.clone(),
                event: self.about(&it.evidence),
                incident: None,
            });
        }
        if let Some(into) = &it.merged_into {
            self.merged_cases.insert(it.case.clone(), into.clone());
        } else {
            self.merged_cases.remove(&it.case);
        }
        self.told(at, &it.case, it.incident.as_deref());
    }

    fn alert(&mut self, at: DateTime<Utc>, it: &AlertTransition) {
        // What is about a device is not about the city.
        if it.hazard == "no_signal" || !it.status.is_actual() {
            return;
        }
        let event = self.about(&it.evidence);
        if !self.items.contains_key(&it.alert) {
            self.items.insert(it.alert.clone(), self.outcome.items.len());
            let district = (it.area.name != self.brain.graph().city_name().zh).then(|| it.area.name.clone());
            self.outcome.items.push(Item { id: it.alert.clone(), at, scenario: it.scenario.clone(), district, event, incident: None });
            self.alerts.insert(it.alert.clone(), self.outcome.alerts.len());
            let name = format!("{} {} {} {}", it.alert, it.scenario, it.originator, it.hazard);
            self.outcome.alerts.push(AlertSeen { name, at, level: it.level, event });
        }
        let (item, alert) = (self.items[&it.alert], self.alerts[&it.alert]);
        let alert = &mut self.outcome.alerts[alert];
        alert.level = alert.level.min(it.level);
        alert.event = alert.event.or(event);
        self.outcome.items[item].event = alert.event;
        match it.change.as_str() {
            "came_true" => self.outcome.forecasts.push(Some(it.lead_s.unwrap_or(0))),
            "did_not_come" => self.outcome.forecasts.push(None),
            _ => {}
        }
        self.told(at, &it.alert, it.incident.as_deref());
    }

    /// A case or an alert says which incident it belongs to.
    fn told(&mut self, at: DateTime<Utc>, member: &str, incident: Option<&str>) {
        let Some(incident) = incident else { return };
        let known = self.outcome.memberships.iter().rev().find(|(_, known, _)| known == member);
        if known.is_none_or(|(_, _, known)| known != incident) {
            self.belongs(at, member, incident);
        }
    }

    /// The event that most of these records are about.
    fn about(&self, evidence: &[Position]) -> Option<usize> {
        about(self.recording, self.found, evidence)
    }

    fn outcome(mut self, found: &[Found]) -> Outcome {
        self.outcome.thresholds = thresholds(self.brain.graph(), self.recording, found);
        let mut last: BTreeMap<&str, &str> = BTreeMap::new();
        for (_, member, incident) in &self.outcome.memberships {
            last.insert(member, incident);
        }
        let merges: BTreeMap<&str, &str> = self.outcome.merges.iter().map(|(_, from, into)| (from.as_str(), into.as_str())).collect();
        last.retain(|_, incident| !incident.is_empty());
        let belongs: BTreeMap<String, String> = last.into_iter().map(|(member, incident)| (member.to_owned(), after(&merges, incident))).collect();
        let Outcome { items, .. } = &mut self.outcome;
        items.iter_mut().for_each(|item| item.incident = belongs.get(&item.id).cloned());
        items.retain(|item| !self.merged_cases.contains_key(&item.id));
        self.outcome
    }
}

/// Where an incident is after all merges.
pub(crate) fn after(merges: &BTreeMap<&str, &str>, incident: &str) -> String {
    let mut at = incident;
    for _ in 0..=merges.len() {
        match merges.get(at) {
            Some(into) => at = into,
            None => break,
        }
    }
    at.to_owned()
}

fn about(recording: &Recording, found: &[Found], evidence: &[Position]) -> Option<usize> {
    let mut votes: BTreeMap<usize, usize> = BTreeMap::new();
    let mut vote = |event: Option<usize>| event.into_iter().for_each(|event| *votes.entry(event).or_default() += 1);
    let reading = |position: &Position| recording.readings.get(position.offset as usize).and_then(|reading| reading.event);
    for position in evidence {
        match position.topic.as_str() {
            "raw.sensor" => vote(reading(position)),
            topics::SIGNAL => found.get(position.offset as usize).into_iter().flat_map(|found| &found.signal.evidence).for_each(|position| vote(reading(position))),
            _ => vote(recording.reports.get(position.offset as usize).and_then(|report| report.event)),
        }
    }
    votes.into_iter().max_by_key(|(event, votes)| (*votes, std::cmp::Reverse(*event))).map(|(event, _)| event)
}

/// What a city without a brain has: an alert for each threshold that is crossed at a station, until it is over.
fn thresholds(graph: &Graph, recording: &Recording, found: &[Found]) -> Vec<AlertSeen> {
    let view = graph.view("thresholds").expect("the graph has this view");
    let rules: Vec<&str> = view.rows.iter().filter_map(|row| row[0].as_deref()).collect();
    let (mut alerts, mut active): (Vec<AlertSeen>, BTreeMap<(&str, Option<&str>), usize>) = (Vec::new(), BTreeMap::new());
    let is_threshold = |found: &&Found| found.signal.signal == SignalKind::Threshold && rules.contains(&found.signal.rule.as_str());
    for Found { at, signal } in found.iter().filter(is_threshold) {
        let key = (signal.rule.as_str(), signal.station.as_deref());
        match (signal.state, active.get(&key).copied()) {
            (SignalState::Raised, Some(alert)) => alerts[alert].level = alerts[alert].level.min(signal.level),
            (SignalState::Raised, None) => {
                active.insert(key, alerts.len());
                let name = format!("{} {}", signal.rule, signal.station.as_deref().unwrap_or_default());
                alerts.push(AlertSeen { name, at: *at, level: signal.level, event: about(recording, &[], &signal.evidence) });
            }
            (SignalState::Cleared, _) => {
                active.remove(&key);
            }
            (SignalState::Unknown, _) => {}
        }
    }
    alerts
}
