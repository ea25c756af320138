//! What people may do with an alert: own it, hand it on, remark on it, judge it, end it, warn the public of it.

use schemas::alert::{AlertState, Verdict};
use schemas::journal::{Action, Command};

use crate::cases::{case_id, machine_key};
use crate::commands::known_unit;
use crate::state::{State, Turn, quote};

impl State {
    /// Carries out a command on an alert, or says why not.
    pub(crate) fn obey_alert(&mut self, turn: &mut Turn<'_>, command: &Command, id: &str) -> Result<(), String> {
        let alert = self.alerts.get_mut(id).expect("the caller found it");
        // A command has no event time of its own: it happens at the time of what it is about.
        turn.timeline = alert.timeline;
        turn.at = self.clocks.at(alert.timeline).unwrap_or(alert.changed).max(alert.changed);
        let over = alert.state == AlertState::Cleared;
        let reason = format!("{}: {}", quote(&command.actor), quote(&command.reason));
        match command.action {
            Action::Comment => {
                alert.comments += 1;
                self.change(turn, id, "commented", &reason);
            }
            Action::Judge => {
                alert.verdict = Some(command.alerting.verdict.ok_or("a judgement needs a verdict: real, false, drill or duplicate")?);
                self.change(turn, id, "judged", &reason);
                self.leave_if_nothing_was(turn, id, &reason);
            }
            Action::CancelWarning => self.cancel_warning(turn, command, id)?,
            // An acknowledgement that comes after the end finds nothing to own, and opens nothing again.
            _ if over => return Err("the alert is over".to_owned()),
            Action::Acknowledge if alert.acknowledged => {
                return Err(format!("{} has acknowledged it before", alert.owner.as_deref().unwrap_or("somebody")));
            }
            Action::Acknowledge => {
                alert.acknowledged = true;
                alert.owner = Some(quote(&command.actor));
                self.change(turn, id, "acknowledged", &reason);
            }
            Action::Assign => {
                let owner = command.alerting.owner.as_deref().map(quote);
                if command.unit.is_some() || owner.is_none() {
                    alert.unit = Some(known_unit(turn, command)?);
                }
                alert.owner = owner.or_else(|| alert.owner.clone());
                self.change(turn, id, "assigned", &reason);
            }
            Action::Close => {
                alert.verdict = command.alerting.verdict.or(alert.verdict);
                self.clear(turn, id, "closed", &reason);
                self.leave_if_nothing_was(turn, id, &reason);
            }
            Action::DraftWarning => self.draft_warning(turn, command, id)?,
            Action::ApproveWarning => self.approve_warning(turn, command, id)?,
            Action::PublishWarning => self.publish_warning(turn, command, id)?,
            Action::Silence | Action::Unsilence | Action::StartExercise | Action::StopExercise | Action::Mode => {
                return Err("this is about the city, not about one alert: name no alert as its target".to_owned());
            }
            Action::Dispatch
            | Action::Verify
            | Action::Return
            | Action::Rework
            | Action::Extend
            | Action::Suspend
            | Action::Void
            | Action::Reopen
            | Action::Transfer
            | Action::RequestExtension
            | Action::ApproveExtension
            | Action::RejectExtension
            | Action::Resume
            | Action::Merge
            | Action::Unmerge
            | Action::Recategorise
            | Action::Approve
            | Action::Reject => return Err("this is for cases, not for alerts".to_owned()),
            Action::ApprovePlan | Action::RejectPlan => return Err("this is for incidents, not for alerts".to_owned()),
        }
        Ok(())
    }

    /// What was no danger belongs to no incident, nor does the case that it opened.
    fn leave_if_nothing_was(&mut self, turn: &mut Turn<'_>, id: &str, reason: &str) {
        if matches!(self.alerts[id].verdict, Some(Verdict::False | Verdict::Drill)) {
            let opened = self.requests.get(&machine_key(id)).map(|seq| case_id(*seq));
            self.leave_incident(turn, id, reason);
            if let Some(case) = opened {
                self.leave_incident(turn, &case, reason);
            }
        }
    }

    /// Commands about the city's alerts as a whole. `None`: it is about one alert or case.
    pub(crate) fn obey_city(&mut self, turn: &mut Turn<'_>, command: &Command) -> Option<Result<(), String>> {
        match command.action {
            Action::Silence => Some(self.silence(turn, command)),
            Action::Unsilence => Some(self.unsilence(turn, command)),
            Action::StartExercise => Some(self.start_exercise(turn, command)),
            Action::StopExercise => Some(self.stop_exercise(turn, command)),
            Action::Mode => Some(self.change_mode(turn, command)),
            _ => None,
        }
    }
}
