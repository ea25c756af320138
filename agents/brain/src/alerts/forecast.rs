//! Early alerts: what is expected to be a danger. They end by coming true, and then it is known how early they were, or by
//! not coming true.

use chrono::{DateTime, TimeDelta, Utc};
use schemas::alert::{Headline, Status};
use schemas::signal::{Signal, SignalState};

use super::{FORECAST, alert_key, evidence_of, finding, identity, mark, span};
use crate::clock::believable;
use crate::limits;
use crate::state::{Alert, State, Turn};
use crate::weak;

fn expected_timer(id: &str) -> String {
    format!("alert/{id}/expected")
}

/// The key of the alert that a trend makes.
pub(super) fn early_key(turn: &Turn<'_>, signal: &Signal) -> String {
    let (originator, property) = identity(signal);
    alert_key(turn.timeline, signal.status, &signal.scenario, &originator, &format!("{property}{FORECAST}"))
}

impl Alert {
    /// Whether it tells of what is expected and has not been measured.
    pub fn is_early(&self) -> bool {
        self.hazard.ends_with(FORECAST) || self.hazard == weak::HAZARD
    }
}

impl State {
    /// A measured value moves towards a threshold, or does so no more; `forecast` is the key of its alert.
    pub(super) fn trend(&mut self, turn: &mut Turn<'_>, signal: &Signal, forecast: &str) {
        let (originator, property) = identity(signal);
        let measured = alert_key(turn.timeline, signal.status, &signal.scenario, &originator, &property);
        match signal.state {
            SignalState::Cleared => return self.begin_clearing(turn, forecast, evidence_of(turn, signal)),
            SignalState::Unknown => return self.unknown(turn, forecast, evidence_of(turn, signal), &format!("{} was not measured", signal.rule)),
            SignalState::Raised => {}
        }
        let Some(expected) = signal.expected.map(believable).filter(|expected| *expected > turn.at) else {
            let reason = "a trend needs `expected`, a moment in the future".to_owned();
            return turn.decide("refused", &crate::state::quote(&signal.rule), "rules", "no forecast", reason);
        };
        // What is measured to be there need not be expected.
        let there = self.active.get(&measured).and_then(|id| self.alerts.get(id)).is_some_and(|alert| alert.level <= signal.level);
        if there {
            return;
        }
        let mut finding = finding(turn, signal, originator, format!("{property}{FORECAST}"));
        let minutes = (expected - turn.at).num_minutes().max(1);
        finding.headline = Headline {
            zh: format!("预计约{minutes}分钟后：{}", finding.headline.zh),
            en: format!("Expected in about {minutes} minutes: {}", finding.headline.en),
        };
        finding.reason = format!("{}, which goes on so; expected in {minutes} min", finding.reason);
        finding.onset = expected;
        mark(&mut finding);
        let known = self.active.get(forecast).and_then(|id| self.alerts.get(id)).map(|alert| (alert.id.clone(), alert.onset, alert.level));
        if let Some((id, onset, level)) = known {
            let moved = (onset - expected).abs() > limits::FORECAST_MOVED;
            let alert = self.alerts.get_mut(&id).expect("just found");
            if moved {
                (alert.onset, alert.headline) = (expected, finding.headline.clone());
            }
            let reason = finding.reason.clone();
            self.raise(turn, finding);
            if moved && level == signal.level {
                self.change(turn, &id, "updated", &reason);
            }
            return;
        }
        self.raise(turn, finding);
        if let Some(id) = self.active.get(forecast).cloned() {
            self.wake_at(turn, expected_timer(&id), expected + limits::FORECAST_GRACE);
        }
    }

    /// Something was measured to be there: the forecast of it has come true, and so has the early alert that signs added
    /// up to, if they were of this scenario and place.
    pub(super) fn comes_true(&mut self, turn: &mut Turn<'_>, id: &str) {
        let alert = &self.alerts[id];
        if alert.is_early() || alert.status != Status::Actual {
            return;
        }
        let forecast = alert_key(turn.timeline, alert.status, &alert.scenario, &alert.originator, &format!("{}{FORECAST}", alert.hazard));
        let sighting = Self::sighting_of_alert(turn, alert);
        let foretold = |early: &&Alert| {
            let measured = early.alert_key == forecast && alert.level <= early.level;
            let signs = early.hazard == weak::HAZARD && early.scenario == alert.scenario && early.timeline == turn.timeline && alert.level <= limits::WEAK_LEVEL;
            measured || signs && Self::sighting_of_alert(turn, early).spread.near(&sighting.spread, graph::Reach::Metres(limits::HINT_REACH_M)).is_ok()
        };
        let early: Vec<String> = self.active.values().filter_map(|id| self.alerts.get(id)).filter(foretold).map(|early| early.id.clone()).collect();
        let measured = alert.headline.en.clone();
        for early in early {
            let alert = self.alerts.get_mut(&early).expect("just found");
            let lead_s = (turn.at - alert.since).num_seconds();
            alert.lead_s = Some(lead_s);
            self.clear(turn, &early, "came_true", &format!("{measured}; foretold {} before", span(lead_s)));
        }
    }

    /// It is long past the time for which something was expected.
    pub(crate) fn expected_due(&mut self, turn: &mut Turn<'_>, id: &str) {
        let Some(alert) = self.alerts.get(id).filter(|alert| self.active.get(&alert.alert_key) == Some(&alert.id)) else { return };
        let due = self.expected_by(turn, alert);
        if due > turn.at {
            return self.wake_at(turn, expected_timer(id), due);
        }
        let reason = if alert.hazard == weak::HAZARD { "nothing has added to its signs" } else { "its time is over, and it was not measured" };
        self.clear(turn, id, "did_not_come", reason);
    }

    fn expected_by(&self, turn: &Turn<'_>, alert: &Alert) -> DateTime<Utc> {
        let window = turn.graph.scenario(&alert.scenario).and_then(|scenario| scenario.weak).map_or(60, |weak| weak.window_minutes);
        match alert.hazard == weak::HAZARD {
            true => alert.found + TimeDelta::minutes(2 * i64::from(window)),
            false => alert.onset + limits::FORECAST_GRACE,
        }
    }

    /// Raises the alert that weak signs add up to, and watches whether more come.
    pub(crate) fn raise_early(&mut self, turn: &mut Turn<'_>, finding: super::Finding) {
        let key = alert_key(turn.timeline, finding.status, &finding.scenario, &finding.originator, &finding.hazard);
        let was_there = self.active.contains_key(&key);
        self.raise(turn, finding);
        if let Some(alert) = self.active.get(&key).filter(|_| !was_there).and_then(|id| self.alerts.get(id)) {
            let (id, due) = (alert.id.clone(), self.expected_by(turn, alert));
            self.wake_at(turn, expected_timer(&id), due);
        }
    }
}
