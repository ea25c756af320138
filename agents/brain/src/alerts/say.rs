//! Each change of an alert as everybody hears of it: a transition with its CAP message, and whom it concerns.

use schemas::alert::{AlertState, AlertTransition, Warning};

use crate::cap;
use crate::effect::{Dispatch, Effect};
use crate::limits;
use crate::state::{State, Turn};

impl State {
    /// Sends an alert as it is now.
    pub(crate) fn change(&mut self, turn: &mut Turn<'_>, id: &str, change: &str, reason: &str) {
        self.change_with(turn, id, change, reason, None);
    }

    /// The same, about the warning of the public.
    pub(super) fn change_with(&mut self, turn: &mut Turn<'_>, id: &str, change: &str, reason: &str, warning: Option<Warning>) {
        let alert = self.alerts.get_mut(id).expect("a changed alert is there");
        // What is said about an alert after its end is no news of it.
        if alert.state != AlertState::Cleared || matches!(change, "cleared" | "closed") {
            alert.changed = turn.at;
        }
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
            status: alert.status,
            acknowledged: alert.acknowledged,
            owner: alert.owner.clone(),
            change: change.to_owned(),
            reason: reason.to_owned(),
            headline: alert.headline.clone(),
            area: alert.area.clone(),
            value_milli: alert.value_milli,
            threshold_milli: alert.threshold_milli,
            flap_score: alert.flap_score,
            verdict: alert.verdict,
            onset: alert.onset,
            lead_s: alert.lead_s,
            at: turn.at,
            incident: alert.incident.clone(),
            unit: alert.unit.clone(),
            plan: alert.plan.clone(),
            evidence,
            evidence_count: alert.evidence_count,
            cap: None,
            warning,
        };
        if !alert.cancelled {
            let name = super::face(turn, &alert.scenario).map(|face| face.name);
            transition.cap = cap::internal(&transition, name.as_ref(), turn.graph.city_name(), self.utc_offset_minutes, &alert.cap_refs);
            alert.cap_refs.push((transition.id.clone(), turn.at));
            if alert.cap_refs.len() > limits::CAP_REFERENCES_MAX {
                alert.cap_refs.remove(1);
            }
            alert.cancelled = alert.state == AlertState::Cleared;
        }
        turn.effects.push(Effect::Alert(transition));
        self.concerns(turn, id, change);
    }

    pub(super) fn propose_dispatch(&mut self, turn: &mut Turn<'_>, id: &str) {
        let alert = &self.alerts[id];
        let Some(unit) = alert.unit.clone().filter(|_| alert.level <= 2) else { return };
        let dispatch = Dispatch {
            id: turn.next_id(),
            kind: if alert.status.is_actual() { "alert" } else { "exercise" }.to_owned(),
            unit,
            case: None,
            alert_key: Some(alert.alert_key.clone()),
            incident: alert.incident.clone(),
            scenario: Some(alert.scenario.clone()),
            level: alert.level,
            plan: alert.plan.clone(),
            task: None,
            due: None,
            reason: format!("{}, level {}", alert.headline.en, alert.level),
            proposed: true,
            at: turn.at,
            evidence: turn.evidence(),
        };
        turn.effects.push(Effect::Dispatch(dispatch));
    }

    /// Lets the oldest cleared alerts go when there are too many; not before people were told of their end.
    pub(super) fn retire_alerts(&mut self) {
        while self.alerts.len() > limits::ALERTS_MAX {
            let told = |id: &str, group: &str| self.alerting.groups.get(group).is_none_or(|group| !group.members.contains_key(id));
            let over = |alert: &&crate::state::Alert| alert.state == AlertState::Cleared && told(&alert.id, &alert.group);
            let Some(oldest) = self.alerts.values().find(over).map(|alert| alert.id.clone()) else { return };
            self.alerts.remove(&oldest);
        }
    }
}
