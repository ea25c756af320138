//! Alerts: one for each scenario, originator and hazard; they rise at once, fall slowly, and silence never clears them.

use chrono::{DateTime, Utc};
use schemas::alert::{AlertState, AlertTransition, Area, Headline, Point};
use schemas::position::Position;
use schemas::signal::{Signal, SignalKind, SignalState};

use crate::cap;
use crate::clock::believable;
use crate::effect::{Dispatch, Effect};
use crate::incidents::Where;
use crate::limits;
use crate::state::{Alert, State, Timer, Turn, quote};

/// A finding that an alert is made of.
pub(crate) struct Finding {
    pub(crate) scenario: String,
    pub(crate) originator: String,
    pub(crate) hazard: String,
    pub(crate) level: u8,
    pub(crate) headline: Headline,
    pub(crate) area: Area,
    /// `None`: all over the city.
    pub(crate) district: Option<String>,
    pub(crate) onset: DateTime<Utc>,
    pub(crate) reason: String,
    pub(crate) evidence: Vec<Position>,
}

/// What makes an alert one. Another timeline is another world.
pub(crate) fn alert_key(timeline: u32, scenario: &str, originator: &str, hazard: &str) -> String {
    match timeline {
        0 => schemas::id::of_parts(&[scenario, originator, hazard]),
        _ => schemas::id::of_parts(&[scenario, originator, hazard, &timeline.to_string()]),
    }
}

fn clear_timer(key: &str) -> String {
    format!("alert/{key}/clear")
}

impl State {
    /// A detector's finding.
    pub(crate) fn signal(&mut self, turn: &mut Turn<'_>, signal: &Signal) {
        if turn.graph.scenario(&signal.scenario).is_none() {
            let reason = format!("the graph has no scenario `{}`", quote(&signal.scenario));
            return turn.decide("refused", &quote(&signal.rule), "rules", "unknown scenario", reason);
        }
        if signal.state == SignalState::Raised && !(1..=4).contains(&signal.level) {
            let reason = format!("level {} is not 1 to 4", signal.level);
            return turn.decide("refused", &quote(&signal.rule), "rules", "unknown level", reason);
        }
        if signal.signal == SignalKind::NoSignal {
            return self.silence(turn, signal);
        }
        let (originator, hazard) = identity(signal);
        let key = alert_key(turn.timeline, &signal.scenario, &originator, &hazard);
        let evidence = evidence_of(turn, signal);
        match signal.state {
            SignalState::Raised => {
                self.raise(turn, finding(turn, signal, originator, hazard, evidence));
                self.machine_case(turn, signal, &key);
            }
            SignalState::Cleared => self.begin_clearing(turn, &key, evidence),
            SignalState::Unknown => self.unknown(turn, &key, evidence, &format!("{} was not measured", signal.rule)),
        }
    }

    /// A station is silent: what it measured is unknown from now on. Silence raises and clears nothing.
    fn silence(&mut self, turn: &mut Turn<'_>, signal: &Signal) {
        let (originator, _) = identity(signal);
        let of_station = |alert: &&Alert| alert.timeline == turn.timeline && alert.originator == originator;
        let active = self.active.values().filter_map(|id| self.alerts.get(id));
        let keys: Vec<String> = active.filter(of_station).map(|alert| alert.alert_key.clone()).collect();
        match signal.state {
            SignalState::Cleared => turn.decide("noted", &originator, "rules", "the station speaks again", signal.rule.clone()),
            SignalState::Raised | SignalState::Unknown => {
                let reason = format!("{} alert(s) of it are unknown now; none is cleared", keys.len());
                turn.decide("noted", &originator, "rules", "the station is silent", reason);
                for key in keys {
                    self.unknown(turn, &key, evidence_of(turn, signal), "the station is silent");
                }
            }
        }
    }

    /// Raises an alert, or updates the one that is there.
    pub(crate) fn raise(&mut self, turn: &mut Turn<'_>, finding: Finding) {
        let key = alert_key(turn.timeline, &finding.scenario, &finding.originator, &finding.hazard);
        match self.active.get(&key).cloned() {
            None => self.raise_new(turn, key, finding),
            Some(id) => self.raise_again(turn, &id, finding),
        }
    }

    fn raise_new(&mut self, turn: &mut Turn<'_>, key: String, finding: Finding) {
        let id = format!("alert-{}", turn.next_id());
        let place = finding.district.as_deref().map_or(Where::City, Where::District);
        let incident = self.join_alert(turn, &id, &finding.scenario, place, finding.level);
        let scenario = turn.graph.scenario(&finding.scenario);
        let alert = Alert {
            id: id.clone(),
            alert_key: key.clone(),
            scenario: finding.scenario.clone(),
            originator: finding.originator,
            hazard: finding.hazard,
            level: finding.level,
            state: AlertState::Active,
            acknowledged: false,
            owner: None,
            headline: finding.headline,
            area: finding.area,
            onset: finding.onset.min(turn.at),
            changed: turn.at,
            incident: Some(incident),
            unit: scenario.map(|scenario| scenario.unit.clone()),
            plan: scenario.map(|scenario| scenario.plan.clone()),
            evidence_count: 0,
            pending: Vec::new(),
            lower: (0, 4),
            clears: None,
            cap_refs: Vec::new(),
            timeline: turn.timeline,
        };
        self.active.insert(key, id.clone());
        self.alerts.insert(id.clone(), alert);
        self.counts.alerts += 1;
        self.support(&id, finding.evidence);
        self.change(turn, &id, "raised", &finding.reason);
        self.propose_dispatch(turn, &id);
        self.retire_alerts();
    }

    fn raise_again(&mut self, turn: &mut Turn<'_>, id: &str, finding: Finding) {
        self.stop_clearing(id);
        self.support(id, finding.evidence);
        let alert = self.alerts.get_mut(id).expect("an active id names an alert");
        if let Some((low, high)) = finding.area.bounds {
            alert.area.widen(low);
            alert.area.widen(high);
        }
        let was_unknown = alert.state == AlertState::Unknown;
        alert.state = AlertState::Active;
        if finding.level < alert.level {
            alert.level = finding.level;
            alert.headline = finding.headline;
            alert.lower = (0, 4);
            // Who saw a smaller danger has not seen this one.
            alert.acknowledged = false;
            let incident = alert.incident.clone();
            if let Some(incident) = incident {
                self.grade_incident(turn, &incident, id, finding.level);
            }
            self.change(turn, id, "upgraded", &finding.reason);
            self.propose_dispatch(turn, id);
            return;
        }
        if finding.level > alert.level {
            alert.lower = (alert.lower.0 + 1, alert.lower.1.min(finding.level));
            if alert.lower.0 >= limits::LOWER_READINGS_MIN {
                alert.level = alert.lower.1;
                alert.headline = finding.headline;
                alert.lower = (0, 4);
                let reason = format!("{} times in a row no worse than that", limits::LOWER_READINGS_MIN);
                return self.change(turn, id, "downgraded", &reason);
            }
        } else {
            alert.lower = (0, 4);
        }
        let full = alert.pending.len() >= limits::EVIDENCE_PENDING_MAX;
        match (was_unknown, full) {
            (true, _) => self.change(turn, id, "restored", &finding.reason),
            (false, true) => self.change(turn, id, "updated", "more evidence of the same"),
            (false, false) => {}
        }
    }

    /// Adds evidence that the next change will name.
    pub(crate) fn support(&mut self, id: &str, evidence: Vec<Position>) {
        let alert = self.alerts.get_mut(id).expect("an active id names an alert");
        for position in evidence {
            if !alert.pending.contains(&position) {
                alert.pending.push(position);
                alert.evidence_count += 1;
            }
        }
    }

    /// The condition was measured as gone: the alert is cleared unless it comes back soon.
    fn begin_clearing(&mut self, turn: &mut Turn<'_>, key: &str, evidence: Vec<Position>) {
        let Some(id) = self.active.get(key).cloned() else { return };
        self.support(&id, evidence);
        let alert = self.alerts.get_mut(&id).expect("an active id names an alert");
        if alert.clears.is_none() {
            let due = turn.at + limits::CLEAR_AFTER;
            alert.clears = Some(due);
            self.wake_at(turn, clear_timer(key), due);
        }
    }

    fn stop_clearing(&mut self, id: &str) {
        let alert = self.alerts.get_mut(id).expect("an active id names an alert");
        if let Some(due) = alert.clears.take() {
            let name = clear_timer(&alert.alert_key);
            self.timers.remove(&Timer { due, name, timeline: alert.timeline });
        }
    }

    /// The time to clear an alert has come.
    pub(crate) fn clear_due(&mut self, turn: &mut Turn<'_>, key: &str) {
        let Some(id) = self.active.get(key).cloned() else { return };
        if self.alerts.get(&id).is_some_and(|alert| alert.clears.is_some()) {
            let reason = format!("measured as gone for {} minutes", limits::CLEAR_AFTER.num_minutes());
            self.clear(turn, &id, "cleared", &reason);
        }
    }

    /// Ends an alert. Its last change names all evidence that none before has named.
    pub(crate) fn clear(&mut self, turn: &mut Turn<'_>, id: &str, change: &str, reason: &str) {
        self.stop_clearing(id);
        let alert = self.alerts.get_mut(id).expect("an active id names an alert");
        alert.state = AlertState::Cleared;
        let key = alert.alert_key.clone();
        self.change(turn, id, change, reason);
        self.active.remove(&key);
    }

    fn unknown(&mut self, turn: &mut Turn<'_>, key: &str, evidence: Vec<Position>, reason: &str) {
        let Some(id) = self.active.get(key).cloned() else { return };
        // What is not measured is not gone: a clearing that was under way stops.
        self.stop_clearing(&id);
        self.support(&id, evidence);
        let alert = self.alerts.get_mut(&id).expect("an active id names an alert");
        if alert.state == AlertState::Active {
            alert.state = AlertState::Unknown;
            self.change(turn, &id, "unknown", reason);
        }
    }

    /// Sends an alert as it is now.
    pub(crate) fn change(&mut self, turn: &mut Turn<'_>, id: &str, change: &str, reason: &str) {
        let alert = self.alerts.get_mut(id).expect("a changed alert is there");
        alert.changed = turn.at;
        let mut evidence = std::mem::take(&mut alert.pending);
        if let Some(source) = turn.source.filter(|source| !evidence.contains(source)) {
            evidence.push(source.clone());
        }
        let mut transition = AlertTransition {
            id: turn.next_id(),
            alert_key: alert.alert_key.clone(),
            alert: alert.id.clone(),
            scenario: alert.scenario.clone(),
            originator: alert.originator.clone(),
            hazard: alert.hazard.clone(),
            level: alert.level,
            state: alert.state,
            acknowledged: alert.acknowledged,
            owner: alert.owner.clone(),
            change: change.to_owned(),
            reason: reason.to_owned(),
            headline: alert.headline.clone(),
            area: alert.area.clone(),
            onset: alert.onset,
            at: turn.at,
            incident: alert.incident.clone(),
            unit: alert.unit.clone(),
            plan: alert.plan.clone(),
            evidence,
            evidence_count: alert.evidence_count,
            cap: None,
        };
        let scenario = turn.graph.scenario(&alert.scenario);
        transition.cap = cap::render(&transition, scenario, self.utc_offset_minutes, &alert.cap_refs);
        alert.cap_refs.push((transition.id.clone(), turn.at));
        // CAP wants the messages before; the first and the latest say which they are.
        if alert.cap_refs.len() > 8 {
            alert.cap_refs.remove(1);
        }
        turn.effects.push(Effect::Alert(transition));
    }

    fn propose_dispatch(&mut self, turn: &mut Turn<'_>, id: &str) {
        let alert = &self.alerts[id];
        let Some(unit) = alert.unit.clone().filter(|_| alert.level <= 2) else { return };
        let dispatch = Dispatch {
            id: turn.next_id(),
            kind: "alert".to_owned(),
            unit,
            case: None,
            alert_key: Some(alert.alert_key.clone()),
            incident: alert.incident.clone(),
            scenario: Some(alert.scenario.clone()),
            level: alert.level,
            plan: alert.plan.clone(),
            reason: format!("{}, level {}", alert.headline.en, alert.level),
            proposed: true,
            at: turn.at,
            evidence: turn.evidence(),
        };
        turn.effects.push(Effect::Dispatch(dispatch));
    }

    /// Lets the oldest cleared alerts go when there are too many.
    fn retire_alerts(&mut self) {
        while self.alerts.len() > limits::ALERTS_MAX {
            let Some(oldest) = self.alerts.values().find(|alert| alert.state == AlertState::Cleared) else { return };
            let oldest = oldest.id.clone();
            self.alerts.remove(&oldest);
        }
    }
}

fn identity(signal: &Signal) -> (String, String) {
    let originator = signal.station.clone().or_else(|| signal.district.clone()).unwrap_or_else(|| "city".to_owned());
    let hazard = signal.property.clone().unwrap_or_else(|| signal.rule.clone());
    (originator, hazard)
}

fn evidence_of(turn: &Turn<'_>, signal: &Signal) -> Vec<Position> {
    signal.evidence.iter().chain(turn.source).cloned().collect()
}

fn finding(turn: &Turn<'_>, signal: &Signal, originator: String, hazard: String, evidence: Vec<Position>) -> Finding {
    let name = turn.graph.scenario(&signal.scenario).map(|scenario| scenario.name.clone()).expect("checked before");
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
        headline,
        area: Area { name: place, bounds: point.map(|point| (point, point)) },
        // A station that names no district is its own place.
        district: Some(signal.district.clone().unwrap_or_else(|| originator.clone())),
        onset: signal.window_start.map_or(turn.at, believable),
        reason: format!("rule {}{value}{}", signal.rule, over.map(|over| format!(" against {over}")).unwrap_or_default()),
        originator,
        evidence,
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

#[cfg(test)]
mod tests {
    #[test]
    fn thousandths_read_as_people_write_them() {
        for (value, text) in [(12_500, "12.5"), (-50, "-0.05"), (3000, "3"), (0, "0"), (i64::MIN, "-9223372036854775.808")] {
            assert_eq!(super::milli(value), text);
        }
    }
}
