//! What people decide. What the law of cases and alerts does not allow is refused, and the refusal is recorded.

use schemas::alert::AlertState;
use schemas::journal::{Action, Command};

use crate::cases::case_seq;
use crate::limits;
use crate::state::{State, Turn, quote};

impl State {
    /// Carries out a command, or refuses it with the reason.
    pub(crate) fn command(&mut self, turn: &mut Turn<'_>, command: &Command) {
        if !command.command_id.is_empty() && self.commands.contains(&command.command_id) {
            self.counts.duplicates += 1;
            return;
        }
        self.commands.push_back(command.command_id.clone());
        if self.commands.len() > limits::COMMANDS_MAX {
            self.commands.pop_front();
        }
        if let Err(reason) = self.obey(turn, command) {
            let target = quote(&command.target);
            let reason = format!("{} by {} of {target}: {reason}", name(command.action), quote(&command.actor));
            turn.decide("refused", &target, "person", name(command.action), reason);
        }
    }

    fn obey(&mut self, turn: &mut Turn<'_>, command: &Command) -> Result<(), String> {
        if command.actor.trim().is_empty() || command.reason.trim().is_empty() {
            return Err("a command needs an actor and a reason".to_owned());
        }
        if let Some(seq) = case_seq(&command.target) {
            return self.obey_case(turn, command, seq);
        }
        let id = self.active.get(&command.target).cloned().or_else(|| Some(command.target.clone()).filter(|id| self.alerts.contains_key(id)));
        match id {
            Some(id) => self.obey_alert(turn, command, &id),
            None => Err("there is no such case or alert in live state".to_owned()),
        }
    }

    fn obey_alert(&mut self, turn: &mut Turn<'_>, command: &Command, id: &str) -> Result<(), String> {
        let alert = self.alerts.get_mut(id).expect("the caller found it");
        // A command has no event time of its own: it happens at the time of what it is about.
        turn.timeline = alert.timeline;
        turn.at = self.clocks.at(alert.timeline).unwrap_or(alert.changed).max(alert.changed);
        let reason = format!("{}: {}", quote(&command.actor), quote(&command.reason));
        match command.action {
            _ if alert.state == AlertState::Cleared => Err("the alert is over".to_owned()),
            Action::Acknowledge if alert.acknowledged => {
                Err(format!("{} has acknowledged it before", alert.owner.as_deref().unwrap_or("somebody")))
            }
            Action::Acknowledge => {
                alert.acknowledged = true;
                alert.owner = Some(quote(&command.actor));
                self.change(turn, id, "acknowledged", &reason);
                Ok(())
            }
            Action::Assign => {
                alert.unit = Some(known_unit(turn, command)?);
                self.change(turn, id, "assigned", &reason);
                Ok(())
            }
            Action::Close => {
                self.clear(turn, id, "closed", &reason);
                Ok(())
            }
            Action::Dispatch
            | Action::Transfer
            | Action::RequestExtension
            | Action::ApproveExtension
            | Action::RejectExtension
            | Action::Resume
            | Action::Merge
            | Action::Unmerge
            | Action::Recategorise
            | Action::Approve
            | Action::Reject
            | Action::Verify
            | Action::Return
            | Action::Rework
            | Action::Extend
            | Action::Suspend
            | Action::Void
            | Action::Reopen => Err("this is for cases, not for alerts".to_owned()),
        }
    }
}

/// The unit that a command names, if the graph knows it.
pub(crate) fn known_unit(turn: &Turn<'_>, command: &Command) -> Result<String, String> {
    let unit = command.unit.as_deref().ok_or("an assignment needs a unit")?;
    match turn.graph.unit(unit) {
        Some(unit) => Ok(unit.id.clone()),
        None => Err(format!("the graph has no unit `{}`", quote(unit))),
    }
}

fn name(action: Action) -> &'static str {
    match action {
        Action::Acknowledge => "acknowledge",
        Action::Close => "close",
        Action::Assign => "assign",
        Action::Dispatch => "dispatch",
        Action::Verify => "verify",
        Action::Return => "return",
        Action::Rework => "rework",
        Action::Extend => "extend",
        Action::Suspend => "suspend",
        Action::Void => "void",
        Action::Reopen => "reopen",
        Action::Transfer => "transfer",
        Action::RequestExtension => "request_extension",
        Action::ApproveExtension => "approve_extension",
        Action::RejectExtension => "reject_extension",
        Action::Resume => "resume",
        Action::Merge => "merge",
        Action::Unmerge => "unmerge",
        Action::Recategorise => "recategorise",
        Action::Approve => "approve",
        Action::Reject => "reject",
    }
}
