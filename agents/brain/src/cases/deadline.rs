//! Deadlines: the clock of a case, its reminder, the hour at which it is overdue, and who hears of it then.
//!
//! A case has one timer at a time: first the reminder, then the deadline, then one step up the duty chain after another,
//! until somebody begins. Suspended, its clock stands; what is left is given back when it goes on.

use chrono::{DateTime, TimeDelta, Utc};
use graph::Deadline;
use schemas::case::CaseChange;

use super::{Said, case_seq, dispatch, emit};
use crate::state::{Case, State, Timer, Turn, Wake};

impl Wake {
    fn name(self) -> &'static str {
        match self {
            Wake::Remind => "remind",
            Wake::Due => "due",
            Wake::Escalate => "escalate",
        }
    }

    pub(crate) fn read(name: &str) -> Option<Self> {
        [Wake::Remind, Wake::Due, Wake::Escalate].into_iter().find(|wake| wake.name() == name)
    }
}

/// `case-000000001234/due`: what the timer is for, so that its name says what to do when it fires.
fn timer_of(case: &Case, wake: Wake, due: DateTime<Utc>) -> Timer {
    Timer { due, name: format!("{}/{}", case.id, wake.name()), timeline: case.timeline }
}

impl State {
    /// The moment as the city's clocks show it, for reasons.
    pub(crate) fn local(&self, at: DateTime<Utc>) -> String {
        let local = at.checked_add_signed(TimeDelta::minutes(i64::from(self.utc_offset_minutes))).unwrap_or(at);
        local.format("%Y-%m-%d %H:%M").to_string()
    }

    /// The time between now and a deadline, in the time in which it runs; none when it has passed.
    fn left(&self, turn: &Turn<'_>, working: bool, due: DateTime<Utc>) -> TimeDelta {
        match working {
            true => turn.graph.calendar().worked(turn.at, due, self.utc_offset_minutes),
            false => (due - turn.at).max(TimeDelta::zero()),
        }
    }

    fn in_time(&self, turn: &Turn<'_>, working: bool, left: TimeDelta) -> DateTime<Utc> {
        match working {
            true => turn.graph.calendar().after(turn.at, left, self.utc_offset_minutes),
            false => turn.at.checked_add_signed(left).unwrap_or(turn.at),
        }
    }

    /// The deadline that a category gives from now on, and the words for it. What holidays are not known is said.
    pub(crate) fn due_by(&self, turn: &Turn<'_>, category: &str) -> (DateTime<Utc>, Deadline, String) {
        let deadline = turn.graph.category(category).map_or(Deadline::WorkDays(5), |category| category.deadline);
        let due = turn.graph.calendar().due(turn.at, deadline, self.utc_offset_minutes);
        let mut said = format!("due {} ({deadline})", self.local(due));
        if let Some(uncovered) = turn.graph.calendar().uncovered(turn.at, due, self.utc_offset_minutes).filter(|_| deadline.is_working()) {
            said.push_str("; ");
            said.push_str(&uncovered);
        }
        (due, deadline, said)
    }

    /// Gives a case a deadline. Its clock does not run yet.
    pub(crate) fn set_deadline(&self, turn: &Turn<'_>, case: &mut Case, due: DateTime<Utc>, working: bool) {
        case.due = Some(due);
        case.overdue = false;
        case.remaining_s = None;
        case.handling.working = working;
        case.handling.told = 0;
        case.handling.given_s = self.left(turn, working, due).num_seconds();
    }

    /// The next timer of a case whose clock runs: the reminder, the deadline itself when it is late for that, or the next
    /// superior when that has passed.
    pub(crate) fn start_clock(&mut self, turn: &mut Turn<'_>, case: &mut Case) {
        if case.overdue {
            return self.climb_case(turn, case);
        }
        let Some(due) = case.due else { return self.wake_case(turn, case, None) };
        let kept = case.handling.given_s / 100 * i64::from(100 - turn.graph.case_rules().remind_percent);
        let until = self.left(turn, case.handling.working, due) - TimeDelta::seconds(kept);
        let wake = match until > TimeDelta::zero() {
            true => (Wake::Remind, self.in_time(turn, case.handling.working, until)),
            false => (Wake::Due, due),
        };
        self.wake_case(turn, case, Some(wake));
    }

    /// Stops the clock of a case that is suspended. A deadline that has passed stays passed.
    pub(crate) fn stop_clock(&mut self, turn: &mut Turn<'_>, case: &mut Case) {
        self.wake_case(turn, case, None);
        if let Some(due) = case.due.filter(|_| !case.overdue) {
            case.remaining_s = Some(self.left(turn, case.handling.working, due).num_seconds());
            case.due = None;
        }
    }

    /// Lets the clock go on with what was left.
    pub(crate) fn resume_clock(&mut self, turn: &mut Turn<'_>, case: &mut Case) {
        if let Some(left) = case.remaining_s.take() {
            case.due = Some(self.in_time(turn, case.handling.working, TimeDelta::seconds(left)));
        }
        self.start_clock(turn, case);
    }

    /// Puts the one timer of a case to another moment, or takes it away.
    pub(crate) fn wake_case(&mut self, turn: &mut Turn<'_>, case: &mut Case, wake: Option<(Wake, DateTime<Utc>)>) {
        if case.handling.wake == wake {
            return;
        }
        self.forget_timer(case);
        case.handling.wake = wake;
        if let Some((wake, due)) = wake {
            let timer = timer_of(case, wake, due);
            let timeline = std::mem::replace(&mut turn.timeline, case.timeline);
            self.wake_at(turn, timer.name, due);
            turn.timeline = timeline;
        }
    }

    /// Takes the timer of a case away.
    pub(crate) fn forget_timer(&mut self, case: &mut Case) {
        if let Some((wake, due)) = case.handling.wake.take() {
            self.timers.remove(&timer_of(case, wake, due));
        }
    }

    /// A moment has come that a case waited for.
    pub(crate) fn case_timer(&mut self, turn: &mut Turn<'_>, case: &str, wake: Wake) {
        let Some(seq) = case_seq(case) else { return };
        let Some(mut case) = self.cases.remove(&seq) else { return };
        if case.handling.wake.is_some_and(|(known, _)| known == wake) {
            case.handling.wake = None;
            match wake {
                Wake::Remind => self.remind(turn, &mut case),
                Wake::Due => self.overdue(turn, &mut case),
                Wake::Escalate => self.escalate_case(turn, &mut case),
            }
        }
        self.cases.insert(seq, case);
    }

    /// Who has to see to a case now: its unit, or who would get it.
    fn answerable(&self, turn: &Turn<'_>, case: &Case) -> String {
        let owed = || self.owes(turn, &case.category, case.district.as_deref(), case.lat.zip(case.lon)).unit;
        case.unit.clone().unwrap_or_else(owed)
    }

    fn remind(&mut self, turn: &mut Turn<'_>, case: &mut Case) {
        let Some(due) = case.due else { return };
        let percent = turn.graph.case_rules().remind_percent;
        let reason = format!("{percent} % of the time is over: {} is due {}", case.state.name(), self.local(due));
        let unit = self.answerable(turn, case);
        dispatch(turn, case, "reminder", false, Some(unit), &reason);
        self.wake_case(turn, case, Some((Wake::Due, due)));
    }

    fn overdue(&mut self, turn: &mut Turn<'_>, case: &mut Case) {
        case.overdue = true;
        let unit = self.answerable(turn, case);
        let hours = (turn.at - case.opened).num_hours();
        let reason = format!("overdue after {hours} h at {unit}");
        emit(turn, case, Some(case.state), &Said::rules(CaseChange::Overdue, &reason));
        self.tell_superior(turn, case, &reason);
    }

    fn escalate_case(&mut self, turn: &mut Turn<'_>, case: &mut Case) {
        let unit = self.answerable(turn, case);
        let since = case.due.map_or_else(|| "its deadline".to_owned(), |due| self.local(due));
        let reason = format!("overdue since {since} at {unit}, still {}; nobody has begun since {} heard of it", case.state.name(), self.superior(turn, case, case.handling.told));
        self.tell_superior(turn, case, &reason);
    }

    /// The superior that hears of a case after `told` others; the unit itself when there is nobody above it.
    fn superior(&self, turn: &Turn<'_>, case: &Case, told: u32) -> String {
        let unit = self.answerable(turn, case);
        let superiors = turn.graph.superiors(&unit);
        let nth = (told.max(1) as usize - 1).min(superiors.len().saturating_sub(1));
        superiors.get(nth).cloned().unwrap_or(unit)
    }

    /// The next superior hears of a case, and later the one above.
    fn tell_superior(&mut self, turn: &mut Turn<'_>, case: &mut Case, reason: &str) {
        case.handling.told += 1;
        let superior = self.superior(turn, case, case.handling.told);
        dispatch(turn, case, "escalation", false, Some(superior), reason);
        self.climb_case(turn, case);
    }

    /// The superior above is told in one step more, unless somebody works on the case or nobody is above.
    fn climb_case(&mut self, turn: &mut Turn<'_>, case: &mut Case) {
        let above = turn.graph.superiors(&self.answerable(turn, case)).len();
        if case.state.is_at_work() || case.handling.told as usize >= above {
            return self.wake_case(turn, case, None);
        }
        let escalate = turn.graph.case_rules().escalate;
        let step = if case.urgency == 1 { escalate.urgent } else { escalate.otherwise };
        let next = turn.graph.calendar().due(turn.at, step, self.utc_offset_minutes);
        self.wake_case(turn, case, Some((Wake::Escalate, next)));
    }
}
