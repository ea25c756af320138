//! Cases: opened by reports, moved by facts, reminded by deadlines.

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use graph::{Owed, Sorted};
use schemas::alert::Point;
use schemas::case::{CaseState, CaseTransition};
use schemas::signal::MicroDeg;

use crate::effect::{Decision, Dispatch, Effect};
use crate::limits;
use crate::state::{Case, Leaving, Report, State, Timer, Turn, quote};

/// Who moves cases by rule.
pub(crate) const RULES: &str = "citybrain";

/// A report, whoever it came from.
pub(crate) struct Intake<'a> {
    /// Source and number: the same again is the same report.
    pub(crate) key: String,
    pub(crate) request: &'a str,
    pub(crate) channel: &'static str,
    /// Whether the city's own staff wrote it.
    pub(crate) own: bool,
    pub(crate) sorted: Sorted,
    pub(crate) risk_word: Option<String>,
    pub(crate) district: Option<&'a str>,
    pub(crate) address: Option<&'a str>,
    pub(crate) lat: Option<MicroDeg>,
    pub(crate) lon: Option<MicroDeg>,
    pub(crate) due: Option<DateTime<Utc>>,
}

/// `case-000000001234`, named after the record that opened it.
pub(crate) fn case_id(seq: u64) -> String {
    format!("case-{seq:012}")
}

pub(crate) fn case_seq(id: &str) -> Option<u64> {
    let seq = id.strip_prefix("case-")?.parse().ok()?;
    (case_id(seq) == id).then_some(seq)
}

fn deadline_timer(case: &str) -> String {
    format!("{case}/due")
}

impl State {
    /// Opens a case for a report and takes it to the unit that owes it; the report also counts towards a surge.
    pub(crate) fn report(&mut self, turn: &mut Turn<'_>, intake: Intake<'_>) {
        if self.requests.contains_key(&intake.key) {
            self.counts.duplicates += 1;
            return;
        }
        let graph = turn.graph;
        let category = graph.category(&intake.sorted.category);
        let scenario = category.and_then(|category| category.scenario.clone());
        let risk_to_life = intake.risk_word.is_some();
        let urgency = if risk_to_life { 1 } else { category.map_or(4, |category| category.urgency) };
        let hours = TimeDelta::hours(category.map_or(120, |category| i64::from(category.deadline_hours)));
        let due = intake.due.filter(|due| *due > turn.at && *due - turn.at <= limits::DEADLINE_MAX).unwrap_or(turn.at + hours);
        let owed = graph.who_owes(&intake.sorted.category, intake.district, self.local_hour(turn.at));

        let id = case_id(turn.seq);
        let triage = Decision {
            id: turn.next_id(),
            kind: "triage".to_owned(),
            subject: id.clone(),
            tier: "rules".to_owned(),
            outcome: format!("{} to {}", intake.sorted.category, owed.unit),
            category: Some(intake.sorted.category.clone()),
            unit: Some(owed.unit.clone()),
            urgency: Some(urgency),
            risk_to_life: Some(risk_to_life),
            confidence_permille: intake.sorted.confidence_permille,
            reason: why(&intake, &owed),
            graph_version: graph.version().to_owned(),
            at: turn.at,
            evidence: turn.evidence(),
        };
        turn.effects.push(Effect::Decision(triage));

        let place = place_of(&intake, urgency, turn.timeline);
        let mut case = Case {
            id,
            request: intake.request.to_owned(),
            state: CaseState::Reported,
            category: intake.sorted.category,
            scenario,
            urgency,
            risk_to_life,
            channel: intake.channel.to_owned(),
            district: intake.district.map(str::to_owned),
            address: intake.address.map(str::to_owned),
            lat: intake.lat,
            lon: intake.lon,
            unit: None,
            due: Some(due),
            overdue: false,
            incident: None,
            opened: turn.at,
            moved: turn.at,
            evidence: turn.evidence(),
            key: intake.key,
            place,
            timeline: turn.timeline,
            leaves: turn.at + limits::OPEN_CASE_AGE_MAX,
        };
        self.join_case(turn, &mut case);
        emit(turn, &case, None, RULES, "reported");
        step(turn, &mut case, CaseState::Accepted, RULES, "sorted by rules");
        case.unit = Some(owed.unit);
        let reason = owed.path.get(1).map_or("the duty graph", String::as_str);
        step(turn, &mut case, CaseState::Assigned, RULES, reason);
        self.wake_at(turn, deadline_timer(&case.id), due);
        if urgency == 1 {
            let reason = intake.risk_word.map_or_else(|| format!("{} is urgent", case.category), |word| format!("danger to life: `{word}`"));
            dispatch(turn, &case, "urgent_case", true, case.unit.clone(), &reason);
        }
        self.counts.cases += 1;
        let report = Report {
            time: turn.event_time.min(turn.at),
            case: turn.seq,
            district: case.district.clone(),
            point: case.lat.zip(case.lon).map(|(lat, lon)| Point { lon, lat }),
            source: turn.source.cloned(),
        };
        let scenario = case.scenario.clone();
        self.remember(turn.seq, case);
        if let Some(scenario) = scenario.filter(|_| !intake.own) {
            self.count_report(turn, &scenario, report);
        }
    }

    fn remember(&mut self, seq: u64, case: Case) {
        self.requests.insert(case.key.clone(), seq);
        if let Some(place) = &case.place {
            self.places.insert(place.clone(), seq);
        }
        self.leaving.insert(Leaving { timeline: case.timeline, at: case.leaves, case: seq });
        self.cases.insert(seq, Box::new(case));
        while self.cases.len() > limits::CASES_MAX {
            let oldest = *self.cases.keys().next().expect("there are some");
            self.forget(oldest);
        }
    }

    /// Lets the cases go whose time in state is over.
    pub(crate) fn retire_cases(&mut self, timeline: u32, now: DateTime<Utc>) {
        for _ in 0..limits::LEAVING_PER_RECORD_MAX {
            let from = Leaving { timeline, at: DateTime::<Utc>::MIN_UTC, case: 0 };
            let Some(next) = self.leaving.range(from..).next().copied() else { return };
            if next.timeline != timeline || next.at > now {
                return;
            }
            self.forget(next.case);
        }
    }

    fn forget(&mut self, seq: u64) {
        let Some(case) = self.cases.remove(&seq) else { return };
        self.leaving.remove(&Leaving { timeline: case.timeline, at: case.leaves, case: seq });
        self.requests.remove(&case.key);
        if let Some(place) = case.place.as_ref().filter(|place| self.places.get(*place) == Some(&seq)) {
            self.places.remove(place);
        }
        if let Some(due) = case.due {
            self.timers.remove(&Timer { due, name: deadline_timer(&case.id), timeline: case.timeline });
        }
        self.counts.cases_left += 1;
    }

    /// A fact about a request that was reported before: the case goes through `way`, one legal step after another.
    pub(crate) fn request_moves(&mut self, turn: &mut Turn<'_>, key: &str, request: &str, closed: bool, reason: &str) {
        let Some(&seq) = self.requests.get(key) else {
            let reason = "no case in live state has this number: never reported, or long over".to_owned();
            return turn.decide("noted", &quote(request), "rules", "unknown request", reason);
        };
        let case = self.cases.remove(&seq).expect("every request number names a case");
        let way = if closed { way_to_close(case.state) } else { way_to_work(case.state) };
        if way.is_empty() && closed {
            self.counts.duplicates += 1;
        }
        self.walk(turn, seq, case, way, RULES, reason);
    }

    /// Takes a case through `way` and puts it back.
    pub(crate) fn walk(&mut self, turn: &mut Turn<'_>, seq: u64, mut case: Box<Case>, way: &[CaseState], actor: &str, reason: &str) {
        for to in way {
            if case.unit.is_none() && matches!(to, CaseState::Assigned) {
                let owed = turn.graph.who_owes(&case.category, case.district.as_deref(), self.local_hour(turn.at));
                case.unit = Some(owed.unit);
            }
            step(turn, &mut case, *to, actor, reason);
        }
        self.put_back(turn, seq, case);
    }

    /// Stores a changed case: its deadline counts only while it is open, and it leaves in its time.
    fn put_back(&mut self, turn: &Turn<'_>, seq: u64, mut case: Box<Case>) {
        let timer = case.due.map(|due| Timer { due, name: deadline_timer(&case.id), timeline: case.timeline });
        self.leaving.remove(&Leaving { timeline: case.timeline, at: case.leaves, case: seq });
        if case.state.is_final() {
            timer.map(|timer| self.timers.remove(&timer));
            case.leaves = turn.at + limits::FINAL_CASE_AGE_MAX;
        } else {
            case.leaves = turn.at + limits::OPEN_CASE_AGE_MAX;
        }
        self.leaving.insert(Leaving { timeline: case.timeline, at: case.leaves, case: seq });
        self.cases.insert(seq, case);
    }

    /// Gives a case a new deadline.
    pub(crate) fn set_deadline(&mut self, turn: &mut Turn<'_>, case: &mut Case, due: DateTime<Utc>) {
        if let Some(old) = case.due {
            self.timers.remove(&Timer { due: old, name: deadline_timer(&case.id), timeline: case.timeline });
        }
        case.due = Some(due);
        case.overdue = false;
        self.wake_at(turn, deadline_timer(&case.id), due);
    }

    /// A deadline has come: if the case is still open, the superior of its unit hears of it.
    pub(crate) fn deadline(&mut self, turn: &mut Turn<'_>, case: &str) {
        let Some(seq) = case_seq(case) else { return };
        let Some(case) = self.cases.get_mut(&seq) else { return };
        if case.state.is_final() || case.overdue {
            return;
        }
        case.overdue = true;
        let case = case.clone();
        let unit = case.unit.clone().unwrap_or_default();
        let superior = turn.graph.superiors(&unit).into_iter().next().unwrap_or_else(|| unit.clone());
        let hours = (turn.at - case.opened).num_hours();
        dispatch(turn, &case, "escalation", false, Some(superior), &format!("overdue after {hours} h at {unit}"));
    }

    pub(crate) fn local_hour(&self, at: DateTime<Utc>) -> u8 {
        let local = at + TimeDelta::minutes(i64::from(self.utc_offset_minutes));
        local.hour() as u8
    }
}

/// The reasons of a triage, step by step.
fn why(intake: &Intake<'_>, owed: &Owed) -> String {
    let mut why = match &intake.sorted.word {
        Some(word) => format!("`{word}` means {}", intake.sorted.category),
        None => "no word of any category was found".to_owned(),
    };
    if let Some(word) = &intake.risk_word {
        why.push_str(&format!("; `{word}` means danger to life: urgency 1"));
    }
    for step in owed.path.iter().skip(1) {
        why.push_str("; ");
        why.push_str(step);
    }
    why
}

/// Where a report is, if it is known well enough to say "the same place"; everyday matters repeat without being one.
fn place_of(intake: &Intake<'_>, urgency: u8, timeline: u32) -> Option<String> {
    if urgency >= 4 {
        return None;
    }
    let category = &intake.sorted.category;
    let numbered = intake.address.filter(|address| address.bytes().any(|byte| byte.is_ascii_digit()));
    if let Some(address) = numbered {
        let district = intake.district.unwrap_or_default();
        return Some(format!("{address}|{district}|{category}|{timeline}"));
    }
    // A grid of a thousandth of a degree: about a block.
    let (lat, lon) = intake.lat.zip(intake.lon)?;
    Some(format!("{}|{}|{category}|{timeline}", lat.0.div_euclid(1000), lon.0.div_euclid(1000)))
}

/// Moves a case one legal step and says so.
pub(crate) fn step(turn: &mut Turn<'_>, case: &mut Case, to: CaseState, actor: &str, reason: &str) {
    let from = case.state;
    assert!(from.may_become(to), "{} may not go from {} to {}", case.id, from.name(), to.name());
    case.state = to;
    case.moved = turn.at;
    emit(turn, case, Some(from), actor, reason);
}

fn emit(turn: &mut Turn<'_>, case: &Case, from: Option<CaseState>, actor: &str, reason: &str) {
    let mut evidence = case.evidence.clone();
    if let Some(source) = turn.source.filter(|source| !evidence.contains(source)) {
        evidence.push(source.clone());
    }
    let transition = CaseTransition {
        id: turn.next_id(),
        case: case.id.clone(),
        request: case.request.clone(),
        from,
        to: case.state,
        actor: actor.to_owned(),
        reason: reason.to_owned(),
        at: turn.at,
        category: case.category.clone(),
        scenario: case.scenario.clone(),
        urgency: case.urgency,
        risk_to_life: case.risk_to_life,
        channel: case.channel.clone(),
        district: case.district.clone(),
        address: case.address.clone(),
        lat: case.lat,
        lon: case.lon,
        unit: case.unit.clone(),
        due: case.due,
        overdue: case.overdue,
        incident: case.incident.clone(),
        evidence,
    };
    turn.effects.push(Effect::Case(transition));
}

/// Asks a unit to act on a case.
pub(crate) fn dispatch(turn: &mut Turn<'_>, case: &Case, kind: &str, proposed: bool, unit: Option<String>, reason: &str) {
    let Some(unit) = unit else { return };
    let mut evidence = case.evidence.clone();
    if let Some(source) = turn.source.filter(|source| !evidence.contains(source)) {
        evidence.push(source.clone());
    }
    let dispatch = Dispatch {
        id: turn.next_id(),
        kind: kind.to_owned(),
        unit,
        case: Some(case.id.clone()),
        alert_key: None,
        incident: case.incident.clone(),
        scenario: case.scenario.clone(),
        level: case.urgency,
        plan: case.scenario.as_deref().and_then(|id| turn.graph.scenario(id)).map(|scenario| scenario.plan.clone()),
        reason: reason.to_owned(),
        proposed,
        at: turn.at,
        evidence,
    };
    turn.effects.push(Effect::Dispatch(dispatch));
}

/// The steps from `state` to 结案; none when the case is over already.
pub(crate) fn way_to_close(state: CaseState) -> &'static [CaseState] {
    use CaseState::{Accepted, Assigned, Closed, Processing, Verifying};
    match state {
        CaseState::Reported => &[Accepted, Assigned, Processing, Verifying, Closed],
        CaseState::Accepted | CaseState::Returned | CaseState::Reopened => &[Assigned, Processing, Verifying, Closed],
        CaseState::Assigned => &[Processing, Verifying, Closed],
        CaseState::Processing | CaseState::Rework | CaseState::Extended | CaseState::Suspended => &[Verifying, Closed],
        CaseState::Verifying => &[Closed],
        CaseState::Closed | CaseState::Voided => &[],
    }
}

/// The steps from `state` to 处置; none when the case is there, beyond it, or over.
fn way_to_work(state: CaseState) -> &'static [CaseState] {
    use CaseState::{Accepted, Assigned, Processing};
    match state {
        CaseState::Reported => &[Accepted, Assigned, Processing],
        CaseState::Accepted | CaseState::Returned | CaseState::Reopened => &[Assigned, Processing],
        CaseState::Assigned | CaseState::Extended | CaseState::Suspended => &[Processing],
        CaseState::Processing | CaseState::Rework | CaseState::Verifying | CaseState::Closed | CaseState::Voided => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_legal_and_leads_there() {
        for start in CaseState::ALL {
            for (way, end) in [(way_to_close(start), CaseState::Closed), (way_to_work(start), CaseState::Processing)] {
                let mut at = start;
                for to in way {
                    assert!(at.may_become(*to), "{at:?} to {to:?}");
                    at = *to;
                }
                assert!(way.is_empty() || at == end);
            }
        }
    }
}
