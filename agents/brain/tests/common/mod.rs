//! A city that hears signals and commands, with its timers in their places.
#![allow(dead_code, reason = "each test uses its part of it")]

use brain::{Brain, Config, Effect};
use chrono::{DateTime, TimeDelta, Utc};
use graph::{Change, Element, Entry, Graph, Scenario};
use schemas::alert::{AlertTransition, Status};
use schemas::journal::*;
use schemas::matcher::Matcher;
use schemas::notification::{Notification, Outcome};
use schemas::position::Position;
use schemas::signal::{Signal, SignalKind, SignalState};

/// The moment at which every test begins.
pub fn begin() -> DateTime<Utc> {
    "2026-07-18T06:00:00Z".parse().expect("a time")
}

/// A city at work.
pub struct City {
    pub brain: Brain,
    pub clock: DateTime<Utc>,
    /// Everything that has come of it.
    pub effects: Vec<Effect>,
}

impl City {
    /// The city that ships.
    pub fn new() -> Self {
        Self::with(Graph::builtin())
    }

    /// A city with another graph.
    pub fn with(graph: Graph) -> Self {
        Self { brain: Brain::new(graph, Config::default()), clock: begin(), effects: Vec::new() }
    }

    /// Lets time pass; timers fire where they are due.
    pub fn pass(&mut self, seconds: i64) {
        self.clock += TimeDelta::seconds(seconds);
        while let Some((due, timer)) = self.brain.next_timer().map(|(due, timer)| (due, timer.to_owned())).filter(|(due, _)| *due <= self.clock) {
            self.apply(None, Body::TimerFired(TimerFired { timer, due }));
        }
    }

    /// A detector finds something.
    pub fn signal(&mut self, signal: Signal) {
        let seq = self.brain.next_seq();
        let event = EventRef { source: "jobs".to_owned(), id: seq.to_string(), time: Some(self.clock) };
        self.apply(Some(event), Body::Signal(signal));
    }

    /// Something of the outside world comes.
    pub fn hear(&mut self, event: EventRef, body: Body) {
        self.apply(Some(event), body);
    }

    /// A person commands.
    pub fn command(&mut self, action: Action, target: &str, actor: &str, alerting: AlertOrder) {
        let seq = self.brain.next_seq();
        let command = Command {
            command_id: seq.to_string(),
            action,
            target: target.to_owned(),
            actor: actor.to_owned(),
            reason: "because".to_owned(),
            unit: None,
            category: None,
            due: None,
            other: None,
            ground: None,
            alerting,
        };
        let event = EventRef { source: "people".to_owned(), id: seq.to_string(), time: None };
        self.apply(Some(event), Body::Command(command));
    }

    pub fn record(&self, event: Option<EventRef>, body: Body) -> JournalRecord {
        let seq = self.brain.next_seq();
        let source = event.as_ref().map(|_| Position::new("raw", 0, seq as i64));
        JournalRecord { seq, log_time: self.clock, source, event, body, understood: None }
    }

    fn apply(&mut self, event: Option<EventRef>, body: Body) {
        let record = self.record(event, body);
        assert_eq!(JournalRecord::from_json(&record.to_json()).expect("a record reads back"), record);
        self.brain.apply(&record, &mut self.effects);
    }

    /// The notifications since this was asked last, and forgets everything else that has happened.
    pub fn notifications(&mut self) -> Vec<Notification> {
        std::mem::take(&mut self.effects).into_iter().filter_map(|effect| if let Effect::Notification(it) = effect { Some(it) } else { None }).collect()
    }

    /// The same, each as outcome, units and number of alerts.
    pub fn told(&mut self) -> Vec<(Outcome, String, usize)> {
        self.notifications().into_iter().map(|it| (it.outcome, it.units.join(","), it.alerts.len())).collect()
    }

    /// The changes of alerts since this was asked last, and forgets everything else that has happened.
    pub fn changes(&mut self) -> Vec<AlertTransition> {
        std::mem::take(&mut self.effects).into_iter().filter_map(|effect| if let Effect::Alert(it) = effect { Some(it) } else { None }).collect()
    }

    /// What was refused since this was asked last, and forgets everything else that has happened.
    pub fn refused(&mut self) -> Vec<String> {
        let refused = |effect| if let Effect::Decision(it) = effect { Some(it).filter(|it| it.kind == "refused").map(|it| it.reason) } else { None };
        std::mem::take(&mut self.effects).into_iter().filter_map(refused).collect()
    }

    /// The id of the only alert that is not over.
    pub fn alert(&self) -> String {
        let mut open = self.brain.alerts().filter(|alert| alert.state != schemas::alert::AlertState::Cleared);
        let alert = open.next().expect("an alert").id.clone();
        assert_eq!(open.next().map(|alert| &alert.id), None, "one alert");
        alert
    }
}

/// What a gauge at `station` finds.
pub fn found(scenario: &str, station: &str, district: &str, level: u8, state: SignalState) -> Signal {
    Signal {
        signal: SignalKind::Threshold,
        scenario: scenario.to_owned(),
        rule: "rule".to_owned(),
        level,
        state,
        property: Some("value".to_owned()),
        station: Some(station.to_owned()),
        district: Some(district.to_owned()),
        value_milli: Some(500),
        threshold_milli: Some(300),
        unit: Some("m".to_owned()),
        window_start: None,
        window_end: None,
        expected: None,
        lat: None,
        lon: None,
        pending_s: None,
        status: Status::Actual,
        evidence: Vec::new(),
    }
}

/// The same gauge is silent, or speaks again.
pub fn silent(scenario: &str, station: &str, district: &str, state: SignalState) -> Signal {
    Signal { signal: SignalKind::NoSignal, ..found(scenario, station, district, 4, state) }
}

/// A silence or an exercise where these labels have these values, for some seconds.
pub fn order(labels: &[(&str, &str)], until: DateTime<Utc>) -> AlertOrder {
    let matchers = labels.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
    AlertOrder { matchers, ends: Some(until), ..AlertOrder::default() }
}

/// The shipped graph, with other times for the alerts of a scenario (JSON).
pub fn with_times(scenario: &str, times: &str) -> Graph {
    let mut graph = Graph::builtin();
    let hysteresis = serde_json::from_str(times).expect("times");
    let changed = Scenario { hysteresis, ..graph.scenario(scenario).expect("it ships").clone() };
    let entry = Entry { pack: Some(scenario.to_owned()), element: Element::Scenario(changed) };
    graph.apply(Change::Put(Box::new(entry))).expect("only its times are others");
    graph
}
