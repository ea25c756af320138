//! How an alert rises: at once or after its condition has held, to a higher level at once, to a lower one slowly.

use chrono::TimeDelta;
use graph::Reach;
use schemas::alert::AlertState;
use schemas::position::Position;
use schemas::signal::{Signal, SignalKind};

use super::{FORECAST, Finding, Pending, alert_key, face, hysteresis, span};
use crate::incidents::Spread;
use crate::limits;
use crate::state::{Alert, State, Timer, Turn};

fn pending_timer(key: &str) -> String {
    format!("alert/{key}/pending")
}

pub(crate) fn life_timer(id: &str) -> String {
    format!("alert/{id}/life")
}

impl State {
    /// A condition was found: it is an alert, or becomes one when it holds for as long as its rule or its scenario asks, or
    /// when it is confirmed.
    pub(crate) fn find(&mut self, turn: &mut Turn<'_>, finding: Finding, signal: &Signal) {
        let key = alert_key(turn.timeline, finding.status, &finding.scenario, &finding.originator, &finding.hazard);
        let times = hysteresis(turn, &finding.scenario);
        let hold_s = signal.pending_s.unwrap_or(times.pending_s);
        let confirm = hold_s == 0 && signal.pending_s.is_none() && signal.signal == SignalKind::Threshold && times.confirm_s > 0;
        let wait_s = if confirm { times.confirm_s } else { hold_s };
        if let Some(pending) = self.alerting.pending.get_mut(&key) {
            let before = std::mem::replace(&mut pending.finding, finding);
            let after = &mut pending.finding;
            (after.onset, after.level) = (before.onset, after.level.min(before.level));
            let mut evidence = before.evidence;
            for position in after.evidence.drain(..) {
                if evidence.len() < limits::EVIDENCE_PENDING_MAX && !evidence.contains(&position) {
                    evidence.push(position);
                }
            }
            after.evidence = evidence;
            let before = std::mem::replace(&mut pending.signal, Box::new(signal.clone()));
            // Two jobs may speak of one reading: only another one confirms it.
            if pending.confirm && signal.window_start > before.window_end {
                self.confirmed(turn, &key);
            }
            return;
        }
        let full = self.alerting.pending.len() >= limits::PENDING_MAX;
        if wait_s == 0 || full || self.active.contains_key(&key) || confirm && self.is_borne_out(turn, &finding) {
            return self.raise_found(turn, finding, signal);
        }
        let due = turn.at + TimeDelta::seconds(i64::from(wait_s));
        self.alerting.pending.insert(key.clone(), Pending { finding, wait_s, due, confirm, borne_out: false, signal: Box::new(signal.clone()) });
        self.wake_at(turn, pending_timer(&key), due);
    }

    /// Raises an alert that a signal found, with what follows from a measured one.
    fn raise_found(&mut self, turn: &mut Turn<'_>, finding: Finding, signal: &Signal) {
        let key = alert_key(turn.timeline, finding.status, &finding.scenario, &finding.originator, &finding.hazard);
        let is_meant = finding.status.is_actual();
        self.raise(turn, finding);
        if is_meant && signal.signal != SignalKind::NoSignal {
            self.machine_case(turn, signal, &key);
            self.hint_of_signal(turn, signal, &key);
        }
    }

    /// Whether something says that a finding out of nothing may be true: an earlier alert of the same device, one near by that
    /// is as new, a report, or another finding that waits to be confirmed, which it is with this one.
    fn is_borne_out(&mut self, turn: &mut Turn<'_>, finding: &Finding) -> bool {
        let reach = Reach::Metres(limits::HINT_REACH_M);
        let place = Spread::of_finding(turn.graph, finding);
        let alert = |alert: &Alert| {
            alert.scenario == finding.scenario
                && alert.timeline == turn.timeline
                && alert.status == finding.status
                && (alert.originator == finding.originator || turn.at - alert.since <= limits::BORNE_OUT)
                && Self::sighting_of_alert(turn, alert).spread.near(&place, reach).is_ok()
        };
        let mut is_so = self.active.values().filter_map(|id| self.alerts.get(id)).any(alert);
        is_so |= self.is_reported(turn, &finding.scenario, &place, reach);
        let waits = |(_, pending): &(&String, &Pending)| {
            let other = &pending.finding;
            pending.confirm
                && (&other.scenario, other.status) == (&finding.scenario, finding.status)
                && !pending.borne_out
                && (&other.originator, &other.hazard) != (&finding.originator, &finding.hazard)
                && Spread::of_finding(turn.graph, other).near(&place, reach).is_ok()
        };
        let waiting: Vec<String> = self.alerting.pending.iter().filter(waits).map(|(key, _)| key.clone()).collect();
        for key in &waiting {
            // With a timer of its own: a record opens one case at most.
            let pending = self.alerting.pending.get_mut(key).expect("just found");
            self.timers.remove(&Timer { due: pending.due, name: pending_timer(key), timeline: turn.timeline });
            (pending.due, pending.borne_out) = (turn.at, true);
            self.wake_at(turn, pending_timer(key), turn.at);
        }
        is_so || !waiting.is_empty()
    }

    /// A finding that waited need wait no more: its device has found it again.
    fn confirmed(&mut self, turn: &mut Turn<'_>, key: &str) {
        let Some(Pending { mut finding, due, signal, .. }) = self.alerting.pending.remove(key) else { return };
        self.timers.remove(&Timer { due, name: pending_timer(key), timeline: turn.timeline });
        finding.reason.push_str("; found again");
        self.raise_found(turn, finding, &signal);
    }

    /// A condition has held for as long as was asked.
    pub(crate) fn pending_due(&mut self, turn: &mut Turn<'_>, key: &str) {
        let Some(Pending { mut finding, wait_s, borne_out, signal, .. }) = self.alerting.pending.remove(key) else { return };
        finding.reason = match borne_out {
            true => format!("{}; a neighbour found it, too", finding.reason),
            false => format!("{}, for {}", finding.reason, span(i64::from(wait_s))),
        };
        self.raise_found(turn, finding, &signal);
    }

    /// A condition is gone, or not measured, before it held long enough to be an alert.
    pub(super) fn drop_pending(&mut self, turn: &mut Turn<'_>, key: &str, why: &str) {
        let Some(Pending { finding, wait_s, due, .. }) = self.alerting.pending.remove(key) else { return };
        self.timers.remove(&Timer { due, name: pending_timer(key), timeline: turn.timeline });
        let reason = format!("{}: {why} before it had held for {}", finding.reason, span(i64::from(wait_s)));
        turn.decide("noted", &finding.originator, "rules", "no alert", reason);
    }

    /// Raises an alert, or updates the one that is there.
    pub(crate) fn raise(&mut self, turn: &mut Turn<'_>, finding: Finding) {
        let key = alert_key(turn.timeline, finding.status, &finding.scenario, &finding.originator, &finding.hazard);
        match self.active.get(&key).cloned() {
            None => self.raise_new(turn, key, finding),
            Some(id) => self.raise_again(turn, &id, finding),
        }
    }

    fn raise_new(&mut self, turn: &mut Turn<'_>, key: String, finding: Finding) {
        let id = format!("alert-{}", turn.next_id());
        let is_meant = finding.status.is_actual() && !finding.alone;
        let foretold = finding.hazard.ends_with(FORECAST);
        let face = face(turn, &finding.scenario);
        let flapping = match self.ended_lately(turn, &key, &finding.scenario) {
            true => self.came_back(turn, &key, &finding.scenario),
            false => None,
        };
        let alert = Alert {
            id: id.clone(),
            alert_key: key.clone(),
            scenario: finding.scenario,
            originator: finding.originator,
            hazard: finding.hazard,
            level: finding.level,
            state: AlertState::Active,
            status: finding.status,
            exercise: finding.exercise,
            acknowledged: false,
            owner: None,
            verdict: None,
            comments: 0,
            flap_score: None,
            value_milli: finding.value_milli,
            threshold_milli: finding.threshold_milli,
            warning: None,
            district: finding.district,
            group: String::new(),
            headline: finding.headline,
            area: finding.area,
            onset: if foretold { finding.onset } else { finding.onset.min(turn.at) },
            lead_s: None,
            since: turn.at,
            changed: turn.at,
            incident: None,
            unit: face.as_ref().map(|face| face.unit.clone()),
            plan: face.and_then(|face| face.plan),
            evidence_count: 0,
            pending: Vec::new(),
            lower: (0, 4),
            found: turn.at,
            clears: None,
            cap_refs: Vec::new(),
            cancelled: false,
            timeline: turn.timeline,
        };
        self.active.insert(key.clone(), id.clone());
        self.alerts.insert(id.clone(), alert);
        self.counts.alerts += 1;
        // What is practised, and what is about a device, is no part of what happens to the city.
        if is_meant {
            self.join_alert(turn, &id);
        }
        self.support(&id, finding.evidence);
        self.change(turn, &id, "raised", &finding.reason);
        self.wake_at(turn, life_timer(&id), turn.at + limits::ALERT_LIFE);
        self.propose_dispatch(turn, &id);
        self.note_flapping(turn, &id, flapping);
        self.comes_true(turn, &id);
        self.retire_alerts();
    }

    fn raise_again(&mut self, turn: &mut Turn<'_>, id: &str, finding: Finding) {
        let came_back = self.stop_clearing(id);
        self.support(id, finding.evidence);
        let alert = self.alerts.get_mut(id).expect("an active id names an alert");
        alert.found = turn.at;
        if let Some((low, high)) = finding.area.bounds {
            alert.area.widen(low);
            alert.area.widen(high);
        }
        let was_unknown = alert.state == AlertState::Unknown;
        alert.state = AlertState::Active;
        if was_unknown {
            self.wake_at(turn, life_timer(id), turn.at + limits::ALERT_LIFE);
        }
        let alert = self.alerts.get_mut(id).expect("an active id names an alert");
        if came_back {
            let key = alert.alert_key.clone();
            let flapping = self.came_back(turn, &key, &finding.scenario);
            self.note_flapping(turn, id, flapping);
        }
        let alert = self.alerts.get_mut(id).expect("an active id names an alert");
        if finding.level < alert.level {
            alert.level = finding.level;
            alert.headline = finding.headline;
            (alert.value_milli, alert.threshold_milli) = (finding.value_milli, finding.threshold_milli);
            alert.lower = (0, 4);
            // Who saw a smaller danger has not seen this one.
            alert.acknowledged = false;
            let incident = alert.incident.clone();
            if let Some(incident) = incident {
                self.worsen_incident(turn, &incident, id, finding.level);
            }
            self.change(turn, id, "upgraded", &finding.reason);
            self.comes_true(turn, id);
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
}
