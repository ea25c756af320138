//! Alerts: one for each scenario, originator and hazard; they rise at once, fall slowly, and silence never clears them.
//!
//! Here a detector's finding becomes an alert's; `raise` and `clear` hold the life of an alert, `say` tells of its changes,
//! `forecast` what is expected, `command` what people may do, `warning` the way to the public, `exercise` what is only practised.

mod clear;
mod command;
pub(crate) mod exercise;
mod forecast;
mod raise;
mod say;
pub(crate) mod warning;

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};
use graph::alerting::Hysteresis;
use graph::{Here, When};
use schemas::alert::{Area, Headline, Point, Status};
use schemas::journal::Mode;
use schemas::position::Position;
use schemas::signal::{Signal, SignalKind, SignalState};
use schemas::topics::OPERATIONS;
use serde::{Deserialize, Serialize};

use self::exercise::Exercise;
use self::forecast::early_key;
use crate::clock::believable;
use crate::limits;
use crate::notify::{Group, Silence};
use crate::state::{Alert, State, Turn, quote};

/// What the alert of a silent station calls its hazard.
const NO_SIGNAL: &str = "no_signal";

/// What follows the property in the hazard of what is only expected.
pub(crate) const FORECAST: &str = "_forecast";

/// What goes on around the alerts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alerting {
    /// Conditions that have not held long enough to be alerts, by the key of the alert.
    pub(crate) pending: BTreeMap<String, Pending>,
    /// How conditions came and went, by the key of the alert.
    pub(crate) flaps: BTreeMap<String, Flaps>,
    /// Groups of alerts that are told together.
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) silences: BTreeMap<String, Silence>,
    pub(crate) exercises: BTreeMap<String, Exercise>,
    pub(crate) mode: Mode,
    /// Notifications that each unit has been sent.
    pub(crate) load: BTreeMap<String, u64>,
}

/// A condition that has not held long enough to be an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) finding: Finding,
    pub(crate) wait_s: u32,
    pub(crate) due: DateTime<Utc>,
    /// Whether it only waits to be confirmed, and whether a neighbour has done so.
    pub(crate) confirm: bool,
    pub(crate) borne_out: bool,
    /// The latest signal that found it.
    pub(crate) signal: Box<Signal>,
}

/// How a condition came and went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flaps {
    /// When its last alert ended.
    pub(crate) ended: Option<DateTime<Utc>>,
    /// When it came back, the latest last.
    pub(crate) turns: VecDeque<DateTime<Utc>>,
}

/// A finding that an alert is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finding {
    pub(crate) scenario: String,
    pub(crate) originator: String,
    pub(crate) hazard: String,
    pub(crate) level: u8,
    pub(crate) status: Status,
    pub(crate) exercise: Option<String>,
    /// Whether it is part of no incident: it is about a device and not about the city.
    pub(crate) alone: bool,
    pub(crate) headline: Headline,
    pub(crate) area: Area,
    /// `None`: all over the city.
    pub(crate) district: Option<String>,
    pub(crate) value_milli: Option<i64>,
    pub(crate) threshold_milli: Option<i64>,
    pub(crate) onset: DateTime<Utc>,
    pub(crate) reason: String,
    pub(crate) evidence: Vec<Position>,
}

/// What makes an alert one. Another timeline is another world, and so is an exercise.
pub(crate) fn alert_key(timeline: u32, status: Status, scenario: &str, originator: &str, hazard: &str) -> String {
    let timeline = timeline.to_string();
    let mut parts = vec![scenario, originator, hazard];
    if timeline != "0" {
        parts.push(&timeline);
    }
    if !status.is_actual() {
        parts.push(status.name());
    }
    schemas::id::of_parts(&parts)
}

/// What the graph says about a scenario; about the brain's own, what the brain says.
pub(crate) struct Face {
    pub(crate) name: graph::Name,
    pub(crate) unit: String,
    pub(crate) plan: Option<String>,
}

pub(crate) fn face(turn: &Turn<'_>, scenario: &str) -> Option<Face> {
    if let Some(scenario) = turn.graph.scenario(scenario) {
        return Some(Face { name: scenario.name.clone(), unit: scenario.unit.clone(), plan: Some(scenario.plan.clone()) });
    }
    let name = || graph::Name { zh: "系统运行".to_owned(), en: "Operations".to_owned() };
    (scenario == OPERATIONS).then(|| Face { name: name(), unit: turn.graph.who_owes("other", Here::default(), When::local(turn.at, 0)).unit, plan: None })
}

pub(crate) fn hysteresis(turn: &Turn<'_>, scenario: &str) -> Hysteresis {
    turn.graph.scenario(scenario).map(|scenario| scenario.hysteresis).unwrap_or_default()
}

impl State {
    /// A detector's finding.
    pub(crate) fn signal(&mut self, turn: &mut Turn<'_>, signal: &Signal) {
        if face(turn, &signal.scenario).is_none() {
            let reason = format!("the graph has no scenario `{}`", quote(&signal.scenario));
            return turn.decide("refused", &quote(&signal.rule), "rules", "unknown scenario", reason);
        }
        if signal.state == SignalState::Raised && !(1..=4).contains(&signal.level) {
            let reason = format!("level {} is not 1 to 4", signal.level);
            return turn.decide("refused", &quote(&signal.rule), "rules", "unknown level", reason);
        }
        match signal.signal {
            SignalKind::NoSignal => return self.station(turn, signal),
            SignalKind::Trend => {
                let forecast = early_key(turn, signal);
                self.trend(turn, signal, &forecast);
                return self.hint_of_signal(turn, signal, &forecast);
            }
            SignalKind::Threshold | SignalKind::Surge => {}
        }
        let (originator, hazard) = identity(signal);
        if signal.state != SignalState::Unknown {
            self.speaks(turn, signal, &originator);
        }
        let key = |status| alert_key(turn.timeline, status, &signal.scenario, &originator, &hazard);
        let exercise = self.exercise_of(signal, &originator, &hazard);
        let (meant, practised) = (key(signal.status), key(Status::Exercise));
        match signal.state {
            SignalState::Raised => {
                // A danger that is there goes on whatever people practise.
                let exercise = exercise.filter(|_| !self.active.contains_key(&meant));
                let mut finding = finding(turn, signal, originator, hazard);
                if exercise.is_some() {
                    finding.status = Status::Exercise;
                }
                finding.exercise = exercise;
                mark(&mut finding);
                self.find(turn, finding, signal);
            }
            SignalState::Cleared => {
                for key in keys(meant, practised, exercise.is_some()) {
                    self.begin_clearing(turn, &key, evidence_of(turn, signal));
                }
            }
            SignalState::Unknown => {
                let reason = format!("{} was not measured", signal.rule);
                for key in keys(meant, practised, exercise.is_some()) {
                    self.unknown(turn, &key, evidence_of(turn, signal), &reason);
                }
            }
        }
    }

    /// A station is silent, or speaks again. What it measured is unknown from now on, and that it is silent is an alert of
    /// its own; silence clears nothing.
    fn station(&mut self, turn: &mut Turn<'_>, signal: &Signal) {
        let (originator, _) = identity(signal);
        if signal.state == SignalState::Cleared {
            turn.decide("noted", &originator, "rules", "the station speaks again", signal.rule.clone());
            return self.speaks(turn, signal, &originator);
        }
        let key = alert_key(turn.timeline, signal.status, &signal.scenario, &originator, NO_SIGNAL);
        let of_station = |alert: &&Alert| {
            let measured = alert.originator == originator && alert.hazard != NO_SIGNAL;
            alert.timeline == turn.timeline && alert.status == signal.status && measured
        };
        let active = self.active.values().filter_map(|id| self.alerts.get(id));
        let keys: Vec<String> = active.filter(of_station).map(|alert| alert.alert_key.clone()).collect();
        let reason = format!("{} alert(s) of it are unknown now; none is cleared", keys.len());
        turn.decide("noted", &originator, "rules", "the station is silent", reason);
        for key in keys {
            self.unknown(turn, &key, evidence_of(turn, signal), "the station is silent");
        }
        let silent = self.active.values().filter_map(|id| self.alerts.get(id)).filter(|alert| alert.hazard == NO_SIGNAL).count();
        if silent >= limits::NO_SIGNAL_ALERTS_MAX && !self.active.contains_key(&key) {
            let reason = format!("{silent} stations are silent; more are noted and are no alerts");
            return turn.decide("noted", &originator, "rules", "too many silent stations", reason);
        }
        let mut finding = finding(turn, signal, originator, NO_SIGNAL.to_owned());
        finding.headline = Headline { zh: format!("设备离线：{}", finding.originator), en: format!("Silent station: {}", finding.originator) };
        // About a device, not about the city: never urgent.
        (finding.level, finding.alone) = (4, true);
        mark(&mut finding);
        self.find(turn, finding, signal);
    }

    /// A station was heard, with whatever it said: it is not silent.
    fn speaks(&mut self, turn: &mut Turn<'_>, signal: &Signal, originator: &str) {
        let key = alert_key(turn.timeline, signal.status, &signal.scenario, originator, NO_SIGNAL);
        self.drop_pending(turn, &key, "the station speaks again");
        if let Some(id) = self.active.get(&key).cloned() {
            self.support(&id, evidence_of(turn, signal));
            self.clear(turn, &id, "cleared", "the station speaks again");
        }
    }
}

fn keys(meant: String, practised: String, exercised: bool) -> Vec<String> {
    if exercised && meant != practised { vec![meant, practised] } else { vec![meant] }
}

fn identity(signal: &Signal) -> (String, String) {
    let originator = signal.station.clone().or_else(|| signal.district.clone()).unwrap_or_else(|| "city".to_owned());
    let hazard = signal.property.clone().unwrap_or_else(|| signal.rule.clone());
    (originator, hazard)
}

fn evidence_of(turn: &Turn<'_>, signal: &Signal) -> Vec<Position> {
    signal.evidence.iter().chain(turn.source).cloned().collect()
}

/// Whoever reads a headline sees that it is not meant.
fn mark(finding: &mut Finding) {
    let (zh, en) = match finding.status {
        Status::Actual => return,
        Status::Exercise => ("演练", "EXERCISE"),
        Status::Test => ("测试", "TEST"),
    };
    finding.headline = Headline { zh: format!("【{zh}】{}", finding.headline.zh), en: format!("[{en}] {}", finding.headline.en) };
}

fn finding(turn: &Turn<'_>, signal: &Signal, originator: String, hazard: String) -> Finding {
    let name = face(turn, &signal.scenario).map(|face| face.name).expect("checked before");
    let unit = signal.unit.as_deref().unwrap_or_default();
    let value = signal.value_milli.map(|value| format!(" {}{unit}", milli(value))).unwrap_or_default();
    let over = signal.threshold_milli.map(|value| format!("{}{unit}", milli(value)));
    let headline = Headline {
        zh: format!("{}：{originator} {hazard}{value}{}", name.zh, over.as_ref().map(|over| format!("，阈值 {over}")).unwrap_or_default()),
        en: format!("{}: {originator} {hazard}{value}{}", name.en, over.as_ref().map(|over| format!(", threshold {over}")).unwrap_or_default()),
    };
    let place = signal.district.clone().unwrap_or_else(|| originator.clone());
    let point = signal.lat.filter(|lat| lat.is_latitude()).zip(signal.lon).map(|(lat, lon)| Point { lon, lat });
    Finding {
        scenario: signal.scenario.clone(),
        hazard,
        level: signal.level,
        status: signal.status,
        exercise: None,
        alone: signal.scenario == OPERATIONS,
        headline,
        area: Area { name: place, bounds: point.map(|point| (point, point)) },
        // A station that names no district is its own place.
        district: Some(signal.district.clone().unwrap_or_else(|| originator.clone())),
        value_milli: signal.value_milli,
        threshold_milli: signal.threshold_milli,
        onset: signal.window_start.map_or(turn.at, believable),
        reason: format!("rule {}{value}{}", signal.rule, over.map(|over| format!(" against {over}")).unwrap_or_default()),
        originator,
        evidence: evidence_of(turn, signal),
    }
}

/// `12.5` of 12500 thousandths.
pub(crate) fn milli(value: i64) -> String {
    let (sign, value) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
    let fraction = format!("{:03}", value % 1000);
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{}", value / 1000),
        fraction => format!("{sign}{}.{fraction}", value / 1000),
    }
}

/// `5 min` of 300 seconds.
pub(crate) fn span(seconds: i64) -> String {
    match seconds {
        s if s > 0 && s % 3600 == 0 => format!("{} h", s / 3600),
        s if s > 0 && s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousandths_read_as_people_write_them() {
        for (value, text) in [(12_500, "12.5"), (-50, "-0.05"), (3000, "3"), (0, "0"), (i64::MIN, "-9223372036854775.808")] {
            assert_eq!(super::milli(value), text);
        }
    }

    #[test]
    fn times_read_as_people_write_them() {
        assert_eq!([0, 5, 90, 300, 7200].map(super::span), ["0 s", "5 s", "90 s", "5 min", "2 h"]);
    }
}
