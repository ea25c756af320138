//! What people decide. What the law of cases and alerts does not allow is refused, and the refusal is recorded.

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
        if let Some(done) = self.obey_city(turn, command) {
            return done;
        }
        if matches!(command.action, Action::ApprovePlan | Action::RejectPlan) {
            return self.obey_incident(turn, command);
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
        Action::Comment => "comment",
        Action::Judge => "judge",
        Action::Silence => "silence",
        Action::Unsilence => "unsilence",
        Action::StartExercise => "start exercise",
        Action::StopExercise => "stop exercise",
        Action::Mode => "mode",
        Action::DraftWarning => "draft warning",
        Action::ApproveWarning => "approve warning",
        Action::PublishWarning => "publish warning",
        Action::CancelWarning => "cancel warning",
        Action::ApprovePlan => "approve plan",
        Action::RejectPlan => "reject plan",
    }
}
