//! Cases: opened by reports, moved by facts and people, reminded by deadlines.
//!
//! Here: how a case begins, goes one legal step further, and leaves. `facts` says what other systems' facts do to it,
//! `deadline` its clock, `merge` and `place` which reports are one matter, `machine` the cases of stations, `quality` what
//! makes a problem order, `opinion` what small models may say, `ask` what is put to a language model, `orders` what people may command, `tell` how it is all said.

pub(crate) mod ask;
pub(crate) mod brief;
mod deadline;
mod facts;
mod machine;
mod merge;
pub(crate) mod opinion;
mod orders;
mod place;
mod quality;
mod tell;

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use graph::{Here, Owed, Sorted, When};
use schemas::alert::Point;
use schemas::case::{CaseChange, CaseState};
use schemas::signal::MicroDeg;
use schemas::understood::Understood;

use crate::effect::{Decision, Effect};
use crate::limits;
use self::opinion::Assigned;
use crate::state::{Case, Handling, Leaving, Report, State, Turn};

pub(crate) use ask::Asking;
pub(crate) use machine::machine_key;
pub(crate) use place::Spot;
pub(crate) use tell::{Said, dispatch, emit};

/// Who moves cases by rule.
pub(crate) const RULES: &str = "citybrain";

/// The channel of what machines find.
pub(crate) const MACHINE: &str = "machine";

/// A report, whoever it came from.
pub(crate) struct Intake<'a> {
    /// Source and number: the same again is the same report.
    pub(crate) key: String,
    pub(crate) request: &'a str,
    pub(crate) channel: &'static str,
    /// Whether the city's own staff wrote it.
    pub(crate) own: bool,
    pub(crate) sorted: Sorted,
    /// Why it is of this category.
    pub(crate) found: String,
    /// What the rules said, where a model's opinion was taken instead.
    pub(crate) ruled: Option<Sorted>,
    /// What was understood of its text.
    pub(crate) understood: Option<&'a Understood>,
    /// Whether somebody chose a type from a list, whether or not it is one of ours.
    pub(crate) typed: bool,
    /// Whether the category is that type.
    pub(crate) chosen: bool,
    /// What was said, if anything was.
    pub(crate) text: &'a str,
    /// The words that mean danger to life.
    pub(crate) risk_word: Option<String>,
    /// The urgency, where it is not the category's.
    pub(crate) urgency: Option<u8>,
    pub(crate) district: Option<&'a str>,
    pub(crate) address: Option<&'a str>,
    pub(crate) station: Option<&'a str>,
    pub(crate) lat: Option<MicroDeg>,
    pub(crate) lon: Option<MicroDeg>,
    pub(crate) due: Option<DateTime<Utc>>,
    /// The number of the request that it names.
    pub(crate) about: Option<&'a str>,
}

/// `case-000000001234`, named after the record that opened it.
pub(crate) fn case_id(seq: u64) -> String {
    format!("case-{seq:012}")
}

pub(crate) fn case_seq(id: &str) -> Option<u64> {
    let seq = id.strip_prefix("case-")?.parse().ok()?;
    (case_id(seq) == id).then_some(seq)
}

impl State {
    /// Opens a case for a report and takes it to the unit that owes it, or merges it with the case that has its matter.
    /// The report also counts towards a surge.
    pub(crate) fn report(&mut self, turn: &mut Turn<'_>, intake: Intake<'_>) {
        if self.requests.contains_key(&intake.key) {
            self.counts.duplicates += 1;
            return;
        }
        let owed = self.owes(turn, &intake.sorted.category, intake.district, intake.lat.zip(intake.lon));
        let assigned = opinion::assigned(turn, owed, intake.understood);
        let (mut case, due, working) = self.begin(turn, &intake, &assigned);
        self.join_case(turn, &mut case, intake.text);
        emit(turn, &case, None, &Said::rules(CaseChange::Opened, "reported"));
        self.judge_report(turn, &intake, &case);
        match self.matter_of(turn, &case, intake.about) {
            Some(same) => {
                // Its own deadline stays with it, should it turn out to be another matter.
                self.set_deadline(turn, &mut case, due, working);
                self.merge(turn, turn.seq, &mut case, CaseState::Assigned, same.seq, RULES, &same.reason);
            }
            None => {
                let doubts = self.doubts(turn, &intake, &assigned);
                self.take_up(turn, &mut case, assigned, (due, working), &intake);
                self.ask(turn, &case, &intake, doubts);
            }
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
        let sign = self.sign_of_case(turn, &case);
        self.remember(turn, case);
        if let Some(sign) = sign {
            self.hint_of_case(turn, &sign);
        }
        if let Some(scenario) = scenario.filter(|_| !intake.own && intake.channel != MACHINE) {
            self.count_report(turn, &scenario, report);
        }
    }

    /// The triage, and the case that it makes, with the deadline that it will have and whether that is working time.
    fn begin(&mut self, turn: &mut Turn<'_>, intake: &Intake<'_>, assigned: &Assigned) -> (Case, DateTime<Utc>, bool) {
        let category = turn.graph.category(&intake.sorted.category);
        let scenario = turn.graph.scenario_of_category(&intake.sorted.category).map(str::to_owned);
        let risk_to_life = intake.risk_word.is_some();
        let urgency = if risk_to_life { 1 } else { intake.urgency.or(category.map(|category| category.urgency)).unwrap_or(4) };
        let (due, deadline, mut due_said) = self.due_by(turn, &intake.sorted.category);
        let theirs = intake.due.filter(|due| *due > turn.at && *due - turn.at <= limits::DEADLINE_MAX);
        if let Some(theirs) = theirs {
            due_said = format!("due {}, as its source says", self.local(theirs));
        }
        let id = case_id(turn.seq);
        let owed = &assigned.owed;
        let mut triage = Decision {
            category: Some(intake.sorted.category.clone()),
            unit: Some(owed.unit.clone()),
            urgency: Some(urgency),
            risk_to_life: Some(risk_to_life),
            confidence_permille: intake.sorted.confidence_permille,
            ..turn.decision("triage", &id, "rules", &format!("{} to {}", intake.sorted.category, owed.unit), why(intake, owed, &due_said))
        };
        opinion::tell(turn.graph, &mut triage, intake, assigned);
        turn.effects.push(Effect::Decision(triage));
        let topics = turn.graph.categories_in(intake.text).into_keys().take(limits::TOPICS_MAX).map(str::to_owned).collect();
        let mut spot = intake.address.map(Spot::of_address).unwrap_or_default();
        spot.point = place::exact(intake.lat, intake.lon);
        spot.station = intake.station.map(|station| place::hash(&[station.as_bytes()]));
        let reported = turn.event_time.min(turn.at);
        let case = Case {
            id,
            request: intake.request.to_owned(),
            state: CaseState::Reported,
            category: intake.sorted.category.clone(),
            scenario,
            urgency,
            risk_to_life,
            channel: intake.channel.to_owned(),
            district: intake.district.map(str::to_owned),
            address: intake.address.map(str::to_owned),
            lat: intake.lat,
            lon: intake.lon,
            unit: None,
            due: None,
            overdue: false,
            remaining_s: None,
            asked_due: None,
            proposed_unit: None,
            merged_into: None,
            merged: BTreeSet::new(),
            reopened: 0,
            incident: None,
            opened: turn.at,
            moved: turn.at,
            evidence: turn.evidence(),
            handling: Handling {
                reported,
                last_report: reported,
                own: intake.own,
                urgency,
                risk_to_life,
                topics,
                working: false,
                given_s: 0,
                wake: None,
                told: 0,
                stood: None,
                own_spot: spot,
                spot,
                keys: Vec::new(),
            },
            key: intake.key.clone(),
            place: place_of(intake, urgency, turn.timeline),
            timeline: turn.timeline,
            leaves: turn.at + limits::OPEN_CASE_AGE_MAX,
        };
        (case, theirs.unwrap_or(due), theirs.is_none() && deadline.is_working())
    }

    /// The case that has the matter of a new one: the one that its caller names, or one that category, place and time
    /// name. One that was closed is reopened for it.
    fn matter_of(&mut self, turn: &mut Turn<'_>, new: &Case, about: Option<&str>) -> Option<merge::Same> {
        let named = about.and_then(|number| {
            let seq = self.root(self.by_number(number)?).filter(|seq| self.cases[seq].timeline == new.timeline)?;
            Some(merge::Same { seq, reason: format!("it is about request {}", crate::state::quote(number)) })
        });
        let by_name = named.is_some();
        let same = named.or_else(|| self.same_matter(turn, new))?;
        let state = self.cases[&same.seq].state;
        if state == CaseState::Closed || by_name && state == CaseState::Verifying {
            self.not_done(turn, same.seq, &format!("reported again: {}", same.reason));
        }
        self.cannot_take_in(same.seq).is_none().then_some(same)
    }

    /// Accepts a new case and gives it to its unit, with its deadline.
    fn take_up(&mut self, turn: &mut Turn<'_>, case: &mut Case, assigned: Assigned, (due, working): (DateTime<Utc>, bool), intake: &Intake<'_>) {
        self.set_deadline(turn, case, due, working);
        let sorted = if intake.ruled.is_some() { "sorted by a model" } else { "sorted by rules" };
        self.step(turn, case, CaseState::Accepted, &Said::by(RULES, sorted));
        let Assigned { owed, ruled } = assigned;
        // Why it is this unit: a duty of the graph, or what a model says where there is none.
        let step = if ruled.is_some() { 2 } else { 1 };
        case.unit = Some(owed.unit);
        // A station's alert proposes its dispatch itself.
        let urgent = case.urgency == 1 && intake.channel != MACHINE;
        case.proposed_unit = case.unit.clone().filter(|_| urgent);
        let reason = owed.path.get(step).map_or("the duty graph", String::as_str);
        self.step(turn, case, CaseState::Assigned, &Said::by(RULES, reason));
        self.start_clock(turn, case);
        if urgent {
            let word = intake.risk_word.as_ref();
            let reason = word.map_or_else(|| format!("{} is urgent", case.category), |word| format!("danger to life: `{word}`"));
            dispatch(turn, case, "urgent_case", true, case.unit.clone(), &reason);
        }
        self.index(turn, turn.seq, case);
    }

    fn remember(&mut self, turn: &Turn<'_>, case: Case) {
        let seq = turn.seq;
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
        let Some(mut case) = self.cases.remove(&seq) else { return };
        self.leaving.remove(&Leaving { timeline: case.timeline, at: case.leaves, case: seq });
        self.requests.remove(&case.key);
        if let Some(place) = case.place.as_ref().filter(|place| self.places.get(*place) == Some(&seq)) {
            self.places.remove(place);
        }
        self.unindex(seq, &mut case);
        self.forget_timer(&mut case);
        self.unask(seq);
        self.counts.cases_left += 1;
    }

    /// Takes a case through `way` and puts it back.
    pub(crate) fn walk(&mut self, turn: &mut Turn<'_>, seq: u64, mut case: Box<Case>, way: &[CaseState], actor: &str, reason: &str) {
        for to in way {
            if case.unit.is_none() && matches!(to, CaseState::Assigned) {
                let owed = self.owes(turn, &case.category, case.district.as_deref(), case.lat.zip(case.lon));
                case.unit = Some(owed.unit);
            }
            self.step(turn, &mut case, *to, &Said::by(actor, reason));
        }
        self.put_back(turn, seq, case);
    }

    /// Moves a case one legal step, lets its clock follow, and says so.
    pub(crate) fn step(&mut self, turn: &mut Turn<'_>, case: &mut Case, to: CaseState, said: &Said<'_>) {
        let from = case.state;
        assert!(from.may_become(to), "{} may not go from {} to {}", case.id, from.name(), to.name());
        case.state = to;
        case.moved = turn.at;
        match to {
            CaseState::Suspended => {
                case.handling.stood = Some(from);
                self.stop_clock(turn, case);
            }
            _ if to.is_final() => {
                self.wake_case(turn, case, None);
                case.remaining_s = None;
                case.asked_due = None;
                case.proposed_unit = None;
            }
            _ if from == CaseState::Suspended => {
                case.handling.stood = None;
                self.resume_clock(turn, case);
            }
            CaseState::Returned => case.unit = None,
            CaseState::Rework => case.reopened += 1,
            CaseState::Reopened => {
                case.reopened += 1;
                let (due, deadline, _) = self.due_by(turn, &case.category);
                self.set_deadline(turn, case, due, deadline.is_working());
                self.start_clock(turn, case);
            }
            _ => {}
        }
        if to.is_at_work() {
            case.proposed_unit = None;
            if case.overdue {
                self.wake_case(turn, case, None);
            }
        }
        emit(turn, case, Some(from), said);
    }

    /// Stores a changed case, which leaves in its time.
    pub(crate) fn put_back(&mut self, turn: &Turn<'_>, seq: u64, mut case: Box<Case>) {
        self.leaving.remove(&Leaving { timeline: case.timeline, at: case.leaves, case: seq });
        // A merged case stays as long as an open one: somebody may find that it is another matter.
        let age = match case.state.is_final() && case.merged_into.is_none() {
            true => limits::FINAL_CASE_AGE_MAX.max(TimeDelta::days(turn.graph.case_rules().reopen_days.into())),
            false => limits::OPEN_CASE_AGE_MAX,
        };
        case.leaves = turn.at + age;
        self.leaving.insert(Leaving { timeline: case.timeline, at: case.leaves, case: seq });
        self.cases.insert(seq, case);
    }

    /// Who owes a matter at the turn's moment, as far as it is known where it is.
    fn owes(&self, turn: &Turn<'_>, category: &str, district: Option<&str>, point: Option<(MicroDeg, MicroDeg)>) -> Owed {
        let point = point.map(|(lat, lon)| Point { lon, lat });
        turn.graph.who_owes(category, Here { place: district, point }, When::local(turn.at, self.utc_offset_minutes))
    }
}

/// The reasons of a triage, step by step.
fn why(intake: &Intake<'_>, owed: &Owed, due: &str) -> String {
    let mut why = intake.found.clone();
    if let Some(word) = &intake.risk_word {
        why.push_str(&format!("; `{word}` means danger to life: urgency 1"));
    }
    for step in owed.path.iter().skip(1).map(String::as_str).chain([due]) {
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
