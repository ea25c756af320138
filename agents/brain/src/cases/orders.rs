//! What people command of cases. What the law of a case's life does not allow is refused, with the reason.

use chrono::{DateTime, Utc};
use schemas::case::{CaseChange, CaseState, VoidGround};
use schemas::journal::{Action, Command};

use super::facts::way_to_close;
use super::{Said, case_seq, dispatch, emit};
use crate::commands::known_unit;
use crate::effect::{Decision, Effect};
use crate::limits;
use crate::state::{Case, State, Turn, quote};

impl State {
    /// Carries out a command about a case.
    ///
    /// # Errors
    /// Why it is refused; nothing has changed then.
    pub(crate) fn obey_case(&mut self, turn: &mut Turn<'_>, command: &Command, seq: u64) -> Result<(), String> {
        let case = self.cases.get(&seq).cloned().ok_or("there is no such case in live state")?;
        // A command has no event time of its own: it happens at the time of what it is about.
        turn.timeline = case.timeline;
        turn.at = self.clocks.at(case.timeline).unwrap_or(case.moved).max(case.moved);
        let (actor, reason) = (quote(&command.actor), quote(&command.reason));
        let (actor, reason) = (actor.as_str(), reason.as_str());
        self.unask(seq);
        match command.action {
            Action::Unmerge => self.unmerge(turn, seq, actor, reason),
            _ if case.merged_into.is_some() => {
                Err(format!("its matter is with {}: command that case, or take this one out first", case.merged_into.unwrap_or_default()))
            }
            Action::Merge => self.merge_by_order(turn, command, seq, case),
            Action::Close => {
                let way = way_to_close(case.state);
                if way.is_empty() {
                    return Err(format!("the case is over: {}", case.state.zh()));
                }
                self.walk(turn, seq, case, way, actor, reason);
                Ok(())
            }
            Action::Assign => self.give_to(turn, command, seq, case, false),
            Action::Transfer => self.give_to(turn, command, seq, case, true),
            Action::Dispatch => {
                self.send(turn, seq, case, "ordered", actor, reason)?;
                Ok(())
            }
            Action::Verify => self.go(turn, seq, case, CaseState::Verifying, &Said::by(actor, reason)),
            Action::Return => self.go(turn, seq, case, CaseState::Returned, &Said::by(actor, reason)),
            Action::Rework => self.go(turn, seq, case, CaseState::Rework, &Said::by(actor, reason)),
            Action::Reopen => self.go(turn, seq, case, CaseState::Reopened, &Said::by(actor, reason)),
            Action::Suspend => self.go(turn, seq, case, CaseState::Suspended, &Said::by(actor, reason)),
            Action::Resume => match case.handling.stood {
                Some(stood) if case.state == CaseState::Suspended => self.go(turn, seq, case, stood, &Said::by(actor, reason)),
                _ => Err(format!("the case is not suspended: {}", case.state.zh())),
            },
            Action::Void => match command.ground.unwrap_or(VoidGround::NotAccepted) {
                VoidGround::Duplicate => self.merge_by_order(turn, command, seq, case),
                ground => {
                    let member = case.id.clone();
                    self.go(turn, seq, case, CaseState::Voided, &Said { ground: Some(ground), ..Said::by(actor, reason) })?;
                    self.leave_incident(turn, &member, &format!("{actor}: {reason}"));
                    Ok(())
                }
            },
            Action::Extend => {
                let due = self.new_due(turn, &case, command.due)?;
                self.extend(turn, seq, case, due, actor, reason)
            }
            Action::RequestExtension => {
                let due = self.new_due(turn, &case, command.due)?;
                self.note(turn, seq, case, CaseChange::ExtensionRequested, actor, reason, |case| case.asked_due = Some(due));
                Ok(())
            }
            Action::ApproveExtension => {
                let asked = case.asked_due.ok_or("nobody has asked for more time")?;
                let due = self.new_due(turn, &case, command.due.or(Some(asked)))?;
                self.extend(turn, seq, case, due, actor, reason)
            }
            Action::RejectExtension => {
                case.asked_due.ok_or("nobody has asked for more time")?;
                self.note(turn, seq, case, CaseChange::ExtensionRejected, actor, reason, |case| case.asked_due = None);
                Ok(())
            }
            Action::Recategorise => self.recategorise(turn, command, seq, case),
            Action::Approve => {
                case.proposed_unit.as_ref().ok_or("no dispatch waits for approval")?;
                let mut case = case;
                if command.unit.is_some() {
                    case.unit = Some(known_unit(turn, command)?);
                } else {
                    case.unit = case.proposed_unit.clone();
                }
                self.send(turn, seq, case, "approved", actor, reason)
            }
            Action::Reject => {
                case.proposed_unit.as_ref().ok_or("no dispatch waits for approval")?;
                self.note(turn, seq, case, CaseChange::DispatchRejected, actor, reason, |case| case.proposed_unit = None);
                Ok(())
            }
            Action::Acknowledge
            | Action::Comment
            | Action::Judge
            | Action::DraftWarning
            | Action::ApproveWarning
            | Action::PublishWarning
            | Action::CancelWarning => Err("this is for alerts, not for cases".to_owned()),
            Action::ApprovePlan | Action::RejectPlan => Err("this is for incidents, not for cases".to_owned()),
            Action::Silence | Action::Unsilence | Action::StartExercise | Action::StopExercise | Action::Mode => {
                Err("this is about the city, not about one case".to_owned())
            }
        }
    }

    /// One step, if the law allows it.
    fn go(&mut self, turn: &mut Turn<'_>, seq: u64, mut case: Box<Case>, to: CaseState, said: &Said<'_>) -> Result<(), String> {
        if !case.state.may_become(to) {
            return Err(format!("{} may not become {}", case.state.zh(), to.zh()));
        }
        self.step(turn, &mut case, to, said);
        self.put_back(turn, seq, case);
        Ok(())
    }

    /// A change that moves nothing.
    #[expect(clippy::too_many_arguments, reason = "who, what and why of one transition")]
    fn note(&mut self, turn: &mut Turn<'_>, seq: u64, mut case: Box<Case>, change: CaseChange, actor: &str, reason: &str, edit: impl FnOnce(&mut Case)) {
        edit(&mut case);
        emit(turn, &case, Some(case.state), &Said { change, ..Said::by(actor, reason) });
        self.cases.insert(seq, case);
    }

    /// 分拨 or 移交: this unit owes it. A transfer is from a unit that has it to another one.
    fn give_to(&mut self, turn: &mut Turn<'_>, command: &Command, seq: u64, mut case: Box<Case>, transfer: bool) -> Result<(), String> {
        if !case.state.may_become(CaseState::Assigned) {
            return Err(format!("{} may not become {}", case.state.zh(), CaseState::Assigned.zh()));
        }
        let unit = known_unit(turn, command)?;
        let mut reason = quote(&command.reason);
        if transfer {
            let from = case.unit.as_ref().ok_or("no unit has the case: assign it")?;
            if *from == unit {
                return Err(format!("{unit} has the case already"));
            }
            reason = format!("{reason} (from {from} to {unit})");
        }
        case.unit = Some(unit);
        case.proposed_unit = None;
        self.go(turn, seq, case, CaseState::Assigned, &Said::by(&quote(&command.actor), &reason))
    }

    /// Sends the unit of a case, which begins with that.
    fn send(&mut self, turn: &mut Turn<'_>, seq: u64, case: Box<Case>, kind: &str, actor: &str, reason: &str) -> Result<(), String> {
        self.go(turn, seq, case, CaseState::Processing, &Said::by(actor, reason))?;
        let case = self.cases[&seq].clone();
        dispatch(turn, &case, kind, false, case.unit.clone(), &format!("{actor}: {reason}"));
        Ok(())
    }

    /// A new deadline that somebody names: later than now and than the one that holds.
    fn new_due(&self, turn: &Turn<'_>, case: &Case, due: Option<DateTime<Utc>>) -> Result<DateTime<Utc>, String> {
        let due = due.ok_or("an extension needs its new deadline")?;
        if case.state.is_final() || case.state == CaseState::Suspended {
            return Err(format!("no deadline runs while the case is {}", case.state.zh()));
        }
        if due <= turn.at || due - turn.at > limits::DEADLINE_MAX {
            return Err("the new deadline is not within the next two years".to_owned());
        }
        match case.due.filter(|known| due <= *known) {
            Some(known) => Err(format!("the new deadline is not after the one that holds, {}", self.local(known))),
            None => Ok(due),
        }
    }

    /// 延期: the new deadline holds, and the reminders begin anew.
    fn extend(&mut self, turn: &mut Turn<'_>, seq: u64, mut case: Box<Case>, due: DateTime<Utc>, actor: &str, reason: &str) -> Result<(), String> {
        if !case.state.may_become(CaseState::Extended) {
            return Err(format!("{} may not become {}", case.state.zh(), CaseState::Extended.zh()));
        }
        case.asked_due = None;
        let working = case.handling.working;
        self.set_deadline(turn, &mut case, due, working);
        self.start_clock(turn, &mut case);
        self.go(turn, seq, case, CaseState::Extended, &Said::by(actor, reason))
    }

    fn merge_by_order(&mut self, turn: &mut Turn<'_>, command: &Command, seq: u64, mut case: Box<Case>) -> Result<(), String> {
        let other = command.other.as_deref().ok_or("a merge needs the other case, the one that has the matter")?;
        let into = case_seq(other).and_then(|into| self.root(into)).ok_or("there is no such other case in live state")?;
        if into == seq {
            return Err("a case cannot be merged into itself".to_owned());
        }
        if let Some(problem) = self.cannot_take_in(into) {
            return Err(problem);
        }
        if !case.state.may_become(CaseState::Voided) {
            return Err(format!("{} may not become {}", case.state.zh(), CaseState::Voided.zh()));
        }
        if self.cases[&into].timeline != case.timeline {
            return Err("the two cases are of different times".to_owned());
        }
        let stood = case.state;
        self.cases.remove(&seq);
        self.merge(turn, seq, &mut case, stood, into, &quote(&command.actor), &quote(&command.reason));
        self.put_back(turn, seq, case);
        Ok(())
    }

    /// Another category, as somebody says. Kept as a correction of the triage.
    fn recategorise(&mut self, turn: &mut Turn<'_>, command: &Command, seq: u64, case: Box<Case>) -> Result<(), String> {
        let wanted = command.category.as_deref().ok_or("a correction needs the new category")?;
        let category = turn.graph.category(wanted).ok_or_else(|| format!("the graph has no category `{}`", quote(wanted)))?;
        if category.id == case.category {
            return Err(format!("it is {wanted} already"));
        }
        if !case.state.may_become(CaseState::Assigned) {
            return Err(format!("{} may not become {}", case.state.zh(), CaseState::Assigned.zh()));
        }
        let (actor, reason) = (quote(&command.actor), quote(&command.reason));
        let correction = turn.decision("correction", &case.id, "person", "", format!("{actor}: {reason}"));
        self.set_category(turn, seq, case, &category.id, &actor, &reason, correction);
        Ok(())
    }

    /// Gives a case another category of the graph: its deadline from now on, and the unit that owes it. `decision` says who decided it.
    #[expect(clippy::too_many_arguments, reason = "who, what and why of one transition")]
    pub(crate) fn set_category(&mut self, turn: &mut Turn<'_>, seq: u64, mut case: Box<Case>, category: &str, actor: &str, reason: &str, decision: Decision) {
        let by_person = decision.tier == "person";
        let owed = self.owes(turn, category, case.district.as_deref(), case.lat.zip(case.lon));
        let (due, deadline, due_said) = self.due_by(turn, category);
        let was = format!("was {} at {}", case.category, case.unit.as_deref().unwrap_or("nobody"));
        self.unindex(seq, &mut case);
        category.clone_into(&mut case.category);
        case.scenario = turn.graph.scenario_of_category(category).map(str::to_owned);
        let usual = turn.graph.category(category).map_or(4, |category| category.urgency);
        // Only a person makes a matter less urgent.
        let urgency = |was: u8, risk_to_life: bool| if risk_to_life { 1 } else if by_person { usual } else { usual.min(was) };
        case.handling.urgency = urgency(case.handling.urgency, case.handling.risk_to_life);
        case.urgency = urgency(case.urgency, case.risk_to_life);
        let why = owed.path.iter().skip(1).cloned().chain([due_said]).collect::<Vec<_>>().join("; ");
        let decision = Decision {
            id: turn.next_id(),
            outcome: format!("{category} to {}", owed.unit),
            reason: format!("{}; {was}; {why}", decision.reason),
            category: Some(category.to_owned()),
            unit: Some(owed.unit.clone()),
            urgency: Some(case.urgency),
            risk_to_life: Some(case.risk_to_life),
            ..decision
        };
        turn.effects.push(Effect::Decision(decision));
        // What waited for approval waits for that of the unit that owes it now; a person who corrects decides that, too.
        case.proposed_unit = case.proposed_unit.filter(|_| !by_person).map(|_| owed.unit.clone());
        case.unit = Some(owed.unit);
        self.set_deadline(turn, &mut case, due, deadline.is_working());
        let said = Said { change: CaseChange::Recategorised, ..Said::by(actor, reason) };
        self.step(turn, &mut case, CaseState::Assigned, &said);
        self.start_clock(turn, &mut case);
        self.index(turn, seq, &mut case);
        let mut now = case.clone();
        self.put_back(turn, seq, case);
        // As another kind of matter it may belong elsewhere.
        self.leave_incident(turn, &now.id, &format!("it is {} now", now.category));
        now.incident = None;
        self.join_case(turn, &mut now, "");
        let (member, incident) = (now.id, now.incident);
        self.belongs(&member, incident.as_deref());
    }
}
