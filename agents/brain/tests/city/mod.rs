//! A city for tests: what people, systems and stations say, in order of time, with the timers in their places.
#![allow(dead_code, reason = "each test file uses a part of it")]

use brain::{Brain, Case, Config, Decision, Dispatch, Effect};
use chrono::{DateTime, TimeDelta, Utc};
use graph::Graph;
use schemas::case::CaseTransition;
use schemas::journal::*;
use schemas::position::Position;
use schemas::signal::{MicroDeg, Signal, SignalKind, SignalState};
use schemas::understood::Understood;

/// A moment in the city, eight hours before UTC.
pub fn at(text: &str) -> DateTime<Utc> {
    format!("{text}:00+08:00").parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub struct City {
    pub brain: Brain,
    /// Everything that followed so far.
    pub told: Vec<Effect>,
}

impl City {
    pub fn new() -> Self {
        Self { brain: Brain::new(Graph::builtin(), Config::default()), told: Vec::new() }
    }

    /// Lets time pass: the timers fire that are due by then.
    pub fn until(&mut self, time: DateTime<Utc>) {
        while let Some((due, timer)) = self.brain.next_timer().filter(|(due, _)| *due <= time) {
            let body = Body::TimerFired(TimerFired { timer: timer.to_owned(), due });
            self.apply(None, body, None);
        }
    }

    /// Something happens; what followed is given back.
    pub fn hears(&mut self, time: DateTime<Utc>, source: &str, body: Body) -> Vec<Effect> {
        self.understands(time, source, body, None)
    }

    /// Something happens, and something was understood of it.
    pub fn understands(&mut self, time: DateTime<Utc>, source: &str, body: Body, understood: Option<Understood>) -> Vec<Effect> {
        self.until(time);
        let seq = self.brain.next_seq();
        self.apply(Some(EventRef { source: source.to_owned(), id: seq.to_string(), time: Some(time) }), body, understood)
    }

    fn apply(&mut self, event: Option<EventRef>, body: Body, understood: Option<Understood>) -> Vec<Effect> {
        let seq = self.brain.next_seq();
        let source = event.is_some().then(|| Position::new("raw", 0, seq as i64));
        let mut effects = Vec::new();
        self.brain.apply(&JournalRecord { seq, log_time: DateTime::UNIX_EPOCH, source, event, body, understood }, &mut effects);
        self.told.extend(effects.iter().cloned());
        effects
    }

    /// A work order of a type; its case.
    pub fn order(&mut self, time: DateTime<Utc>, request: &str, category: &str, address: &str) -> String {
        let order = WorkOrderCreated {
            request_id: request.to_owned(),
            category: Some(category.to_owned()),
            address: Some(address.to_owned()),
            ..WorkOrderCreated::default()
        };
        self.hears(time, "orders", Body::WorkOrder(WorkOrder::Created(order)));
        self.last_case()
    }

    /// A call; its case.
    pub fn call(&mut self, time: DateTime<Utc>, message: HotlineMessage) -> String {
        self.hears(time, "hotline", Body::Hotline(message));
        self.last_case()
    }

    pub fn close(&mut self, time: DateTime<Utc>, request: &str, answer: &str) -> Vec<Effect> {
        let order = WorkOrderClosed { request_id: request.to_owned(), status: None, resolution: Some(answer.to_owned()).filter(|answer| !answer.is_empty()) };
        self.hears(time, "orders", Body::WorkOrder(WorkOrder::Closed(order)))
    }

    pub fn update(&mut self, time: DateTime<Utc>, request: &str, note: &str) -> Vec<Effect> {
        let order = WorkOrderUpdated { request_id: request.to_owned(), note: Some(note.to_owned()), ..WorkOrderUpdated::default() };
        self.hears(time, "orders", Body::WorkOrder(WorkOrder::Updated(order)))
    }

    /// A person commands; `edit` fills in what the action needs.
    pub fn command(&mut self, action: Action, target: &str, edit: impl FnOnce(&mut Command)) -> Vec<Effect> {
        let mut command = Command {
            command_id: self.brain.next_seq().to_string(),
            action,
            target: target.to_owned(),
            actor: "王调度".to_owned(),
            reason: "原因".to_owned(),
            unit: None,
            category: None,
            due: None,
            other: None,
            ground: None,
            alerting: schemas::journal::AlertOrder::default(),
        };
        edit(&mut command);
        self.apply(None, Body::Command(command), None)
    }

    /// A station measures too much.
    pub fn station(&mut self, time: DateTime<Utc>, scenario: &str, station: &str, level: u8, point: Option<(i32, i32)>) -> Vec<Effect> {
        let signal = Signal {
            signal: SignalKind::Threshold,
            scenario: scenario.to_owned(),
            rule: "high".to_owned(),
            level,
            state: SignalState::Raised,
            property: Some("level".to_owned()),
            station: Some(station.to_owned()),
            district: None,
            value_milli: Some(500),
            threshold_milli: Some(300),
            unit: None,
            window_start: None,
            window_end: None,
            expected: None,
            lat: point.map(|(lat, _)| MicroDeg(lat)),
            lon: point.map(|(_, lon)| MicroDeg(lon)),
            pending_s: Some(0),
            status: schemas::alert::Status::Actual,
            evidence: Vec::new(),
        };
        self.hears(time, "jobs", Body::Signal(signal))
    }

    pub fn case(&self, id: &str) -> &Case {
        self.brain.case(id).unwrap_or_else(|| panic!("{id} is in live state"))
    }

    fn last_case(&self) -> String {
        self.brain.cases().last().expect("a case was opened").id.clone()
    }

    /// The dispatches of a kind for a case: when, to whom, why.
    pub fn sent(&self, case: &str, kind: &str) -> Vec<&Dispatch> {
        let dispatches = self.told.iter().filter_map(|effect| if let Effect::Dispatch(it) = effect { Some(it) } else { None });
        dispatches.filter(|it| it.case.as_deref() == Some(case) && it.kind == kind).collect()
    }
}

/// The decisions among effects.
pub fn decisions(effects: &[Effect]) -> Vec<&Decision> {
    effects.iter().filter_map(|effect| if let Effect::Decision(it) = effect { Some(it) } else { None }).collect()
}

/// The transitions among effects.
pub fn transitions(effects: &[Effect]) -> Vec<&CaseTransition> {
    effects.iter().filter_map(|effect| if let Effect::Case(it) = effect { Some(it) } else { None }).collect()
}

/// The reason of a refusal, which must be the only effect.
#[track_caller]
pub fn refusal(effects: &[Effect]) -> &str {
    match effects {
        [Effect::Decision(decision)] if decision.kind == "refused" => &decision.reason,
        other => panic!("a refusal alone was expected: {other:?}"),
    }
}

/// Numbers by chance, the same every time (SplitMix64).
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    pub fn between(&mut self, from: i64, to: i64) -> i64 {
        from + self.below((to - from + 1) as u64) as i64
    }

    pub fn of<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len() as u64) as usize]
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

pub fn minutes(n: i64) -> TimeDelta {
    TimeDelta::minutes(n)
}
