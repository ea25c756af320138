//! Escalation: whoever does not acknowledge in time has the next superior told. An acknowledgement ends it; which of the two
//! came first is decided by their places in the log.

use schemas::notification::Outcome;

use super::Group;
use super::group::is_owed;
use super::inhibit::Sources;
use crate::state::{Alert, State, Timer, Turn};

fn escalate_timer(group: &str) -> String {
    format!("notify/{group}/escalate")
}

impl State {
    /// Sets the time at which the next superior is told, if somebody owes an acknowledgement and there is a superior.
    pub(super) fn climb(&mut self, turn: &mut Turn<'_>, group: &mut Group) {
        if group.escalates.is_some() {
            return;
        }
        let owed = self.owed(turn, group);
        let above = |id: &String| superior(turn, &self.alerts[id], group.step + 1).is_some();
        let Some(level) = owed.iter().filter(|id| above(id)).map(|id| self.alerts[id].level).min() else { return };
        let wait = turn.graph.alerting().escalate_after_s[usize::from(level.clamp(1, 4)) - 1];
        let due = turn.at + self.wait(turn, wait);
        group.escalates = Some(due);
        self.wake_on(turn, group.timeline, escalate_timer(&group.id), due);
    }

    /// Nobody has acknowledged in time.
    pub(crate) fn escalate(&mut self, turn: &mut Turn<'_>, id: &str) {
        let Some(mut group) = self.alerting.groups.remove(id) else { return };
        group.escalates = None;
        let owed = self.owed(turn, &group);
        let mut units: Vec<String> = owed.iter().filter_map(|id| superior(turn, &self.alerts[id], group.step + 1)).collect();
        units.sort();
        units.dedup();
        if !units.is_empty() {
            group.step += 1;
            let reason = format!("nobody has acknowledged {} alert(s); told {} superior(s) up", owed.len(), group.step);
            self.alerting.groups.insert(group.id.clone(), group);
            let mut notification = self.about(turn, &owed, Outcome::Escalated, &reason);
            notification.units = units;
            self.tell(turn, notification);
            group = self.alerting.groups.remove(id).expect("just put back");
            self.climb(turn, &mut group);
        }
        self.alerting.groups.insert(group.id.clone(), group);
    }

    /// Somebody has seen an alert: those who were told of it hear so, and when nothing is owed any more nobody is told again.
    pub(super) fn acknowledged(&mut self, turn: &mut Turn<'_>, id: &str) {
        let alert = &self.alerts[id];
        let Some(mut group) = self.alerting.groups.remove(&alert.group) else { return };
        let heard = group.members.get(id).is_some_and(|member| member.told.is_some());
        let reason = format!("{} has acknowledged it", alert.owner.as_deref().unwrap_or("somebody"));
        if self.owed(turn, &group).is_empty() {
            self.stop_escalating(&mut group);
        }
        self.alerting.groups.insert(group.id.clone(), group);
        if heard {
            let notification = self.about(turn, &[id.to_owned()], Outcome::Acknowledged, &reason);
            self.tell(turn, notification);
        }
    }

    pub(super) fn stop_escalating(&mut self, group: &mut Group) {
        if let Some(due) = group.escalates.take() {
            self.timers.remove(&Timer { due, name: escalate_timer(&group.id), timeline: group.timeline });
        }
    }

    /// The alerts of a group of which people were told, that nobody has acknowledged, and that nothing keeps back.
    fn owed(&self, turn: &Turn<'_>, group: &Group) -> Vec<String> {
        let told = group.members.iter().filter(|(_, member)| member.told.is_some());
        let alerts: Vec<&Alert> = told.filter_map(|(id, _)| self.alerts.get(id)).filter(|alert| is_owed(alert)).collect();
        if alerts.is_empty() {
            return Vec::new();
        }
        let sources = Sources::of(turn, self);
        let free = |alert: &&&Alert| self.silenced_by(alert, turn.at).is_none() && sources.explaining(alert).is_none();
        alerts.iter().filter(free).map(|alert| alert.id.clone()).collect()
    }
}

/// The superior so many steps above the unit that owes an alert.
fn superior(turn: &Turn<'_>, alert: &Alert, steps: u32) -> Option<String> {
    turn.graph.superiors(alert.unit.as_deref()?).into_iter().nth(steps as usize - 1)
}
