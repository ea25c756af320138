//! What people decide. What the law of cases and alerts does not allow is refused, and the refusal is recorded.

use schemas::alert::AlertState;
use schemas::case::CaseState;
use schemas::journal::{Action, Command};

use crate::cases::{case_seq, dispatch, way_to_close};
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
            | Action::Verify
            | Action::Return
            | Action::Rework
            | Action::Extend
            | Action::Suspend
            | Action::Void
            | Action::Reopen => Err("this is for cases, not for alerts".to_owned()),
        }
    }

    fn obey_case(&mut self, turn: &mut Turn<'_>, command: &Command, seq: u64) -> Result<(), String> {
        let mut case = self.cases.get(&seq).cloned().ok_or("there is no such case in live state")?;
        turn.timeline = case.timeline;
        turn.at = self.clocks.at(case.timeline).unwrap_or(case.moved).max(case.moved);
        let (actor, reason) = (quote(&command.actor), quote(&command.reason));
        let to = match command.action {
            Action::Acknowledge => return Err("this is for alerts, not for cases".to_owned()),
            Action::Close => {
                let way = way_to_close(case.state);
                if way.is_empty() {
                    return Err(format!("the case is over: {}", case.state.zh()));
                }
                self.walk(turn, seq, case, way, &actor, &reason);
                return Ok(());
            }
            Action::Assign => CaseState::Assigned,
            Action::Dispatch => CaseState::Processing,
            Action::Verify => CaseState::Verifying,
            Action::Return => CaseState::Returned,
            Action::Rework => CaseState::Rework,
            Action::Extend => CaseState::Extended,
            Action::Suspend => CaseState::Suspended,
            Action::Void => CaseState::Voided,
            Action::Reopen => CaseState::Reopened,
        };
        if !case.state.may_become(to) {
            return Err(format!("{} may not become {}", case.state.zh(), to.zh()));
        }
        match to {
            CaseState::Assigned => case.unit = Some(known_unit(turn, command)?),
            CaseState::Returned => case.unit = None,
            CaseState::Extended => {
                let due = command.due.ok_or("an extension needs its new deadline")?;
                if due <= turn.at || due - turn.at > limits::DEADLINE_MAX {
                    return Err("the new deadline is not within the next two years".to_owned());
                }
                self.set_deadline(turn, &mut case, due);
            }
            CaseState::Reopened => {
                let hours = turn.graph.category(&case.category).map_or(120, |category| i64::from(category.deadline_hours));
                let due = turn.at + chrono::TimeDelta::hours(hours);
                self.set_deadline(turn, &mut case, due);
            }
            _ => {}
        }
        self.walk(turn, seq, case, &[to], &actor, &reason);
        if command.action == Action::Dispatch {
            let case = self.cases[&seq].clone();
            dispatch(turn, &case, "ordered", false, case.unit.clone(), &format!("{actor}: {reason}"));
        }
        Ok(())
    }
}

fn known_unit(turn: &Turn<'_>, command: &Command) -> Result<String, String> {
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
    }
}
