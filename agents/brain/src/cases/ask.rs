//! Asking the agents: what rules and small models are not sure of is put to a language model, within a budget, and comes back as
//! a record. What comes back decides only among what was asked, only while nobody has moved the case, and never makes a
//! matter less urgent. Where the answer is not sure either, a person is to look. What documents say to a question of a
//! citizen, and to the plan of an incident, is asked for as well: a draft decides nothing (`brief.rs`).
//!
//! No model is asked until the setting `ask_permille` is above 0, and no document until `briefs` is.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use graph::Graph;
use schemas::agent::{AgentAnswer, AgentRequest, Brief, Choice, Offer, Question};
use schemas::case::CaseState;
use schemas::understood::{Opinion, Role, Task};
use serde::{Deserialize, Serialize};

use super::brief::drafted;
use super::opinion::{Assigned, PERSON, is_last_resort};
use super::{Intake, MACHINE, RULES as BRAIN, Said, case_seq};
use crate::effect::{Candidate, Decision, Effect};
use crate::limits;
use crate::state::{Case, State, Turn, quote};

/// Who decides by a language model's answer.
pub(super) const LLM: &str = "llm";
/// The intent of somebody who wants to know something.
const INQUIRY: &str = "inquiry";

/// What is remembered of asking.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asking {
    /// Of a thousand reports so many may be asked about.
    pub(crate) permille: u32,
    /// Whether documents are looked up, and whether a language model may write what is drafted from them.
    #[serde(default)]
    pub(crate) briefs: Briefs,
    /// What reports have given and questions have not taken, in thousandths of a question.
    credit: u32,
    /// Cases about which an answer is awaited.
    waiting: BTreeMap<u64, Waiting>,
    /// Plans of incidents about which an answer is awaited, the oldest first.
    #[serde(default)]
    pub(super) plans: Vec<PlanAsked>,
    /// Questions asked, answers that came in time, and answers that decided.
    pub(crate) asked: u64,
    pub(crate) answered: u64,
    pub(crate) decided: u64,
}

/// What is looked up for people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Briefs {
    /// Nothing.
    #[default]
    Off,
    /// What documents say, in their own words.
    Cited,
    /// The same, and a language model may write the draft.
    Written,
}

impl Briefs {
    pub(crate) fn of(name: &str) -> Option<Briefs> {
        [Briefs::Off, Briefs::Cited, Briefs::Written].into_iter().find(|briefs| briefs.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Briefs::Off => "off",
            Briefs::Cited => "cited",
            Briefs::Written => "written",
        }
    }
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    request: String,
    /// When the case had moved last.
    moved: DateTime<Utc>,
    questions: Vec<(Task, Vec<String>)>,
    /// Whether a draft is wanted.
    #[serde(default)]
    brief: bool,
    /// Whether it may cost a language model's time.
    #[serde(default = "yes")]
    paid: bool,
}

fn yes() -> bool {
    true
}

/// A plan about which an answer is awaited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PlanAsked {
    pub(super) request: String,
    pub(super) incident: String,
    pub(super) scenario: String,
}

impl Asking {
    /// The questions that wait for an answer, as request and case or incident.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = (&str, String)> {
        let cases = self.waiting.iter().map(|(seq, waiting)| (waiting.request.as_str(), super::case_id(*seq)));
        cases.chain(self.plans.iter().map(|plan| (plan.request.as_str(), plan.incident.clone())))
    }
}

impl State {
    /// What is to be asked about a report, if anything: a category that neither words nor a model are sure of, or that both see
    /// differently; a unit where the graph knows none but the one of last resort.
    pub(crate) fn doubts(&self, turn: &Turn<'_>, intake: &Intake<'_>, assigned: &Assigned) -> Vec<Question> {
        let Some(understood) = intake.understood.filter(|_| self.asking.permille > 0 && !intake.chosen && is_for_machines(intake)) else { return Vec::new() };
        let opinions = &understood.opinions;
        [category(turn.graph, intake, opinions), unit(turn.graph, assigned, opinions)].into_iter().flatten().collect()
    }

    /// Asks about a case that was just taken up: questions and what a model may write when the budget allows it, to which each
    /// report adds; what documents say when it is in doubt, or a question itself.
    pub(crate) fn ask(&mut self, turn: &mut Turn<'_>, case: &Case, intake: &Intake<'_>, mut questions: Vec<Question>) {
        let asking = &mut self.asking;
        asking.credit = (asking.credit + asking.permille).min(limits::ASK_CREDIT_MAX);
        let is_inquiry = intake.understood.is_some_and(|understood| understood.intent.as_deref() == Some(INQUIRY));
        let is_brief = asking.briefs != Briefs::Off && is_for_machines(intake) && (is_inquiry || !questions.is_empty());
        let would_write = is_brief && asking.permille > 0 && asking.briefs == Briefs::Written;
        let paid = asking.credit >= 1000 && (would_write || !questions.is_empty());
        if !paid {
            questions.clear();
        }
        if !paid && !is_brief {
            return;
        }
        if paid {
            asking.credit -= 1000;
            asking.asked += 1;
        }
        let brief = is_brief.then(|| Brief::Reply { place: case.district.clone(), written: paid && would_write });
        let request = AgentRequest {
            id: turn.next_id(),
            case: case.id.clone(),
            at: turn.at,
            urgency: case.urgency,
            text: intake.text.chars().take(limits::ASKED_CHARS_MAX).collect(),
            elements: !questions.is_empty(),
            questions,
            brief,
            graph_version: turn.graph.version(),
            evidence: turn.evidence(),
        };
        let labels = |question: &Question| (question.task, question.options.iter().map(|offer| offer.label.clone()).collect());
        let waiting = Waiting { request: request.id.clone(), moved: case.moved, questions: request.questions.iter().map(labels).collect(), brief: is_brief, paid };
        asking.waiting.insert(turn.seq, waiting);
        if asking.waiting.len() > limits::ASKED_MAX {
            asking.waiting.pop_first();
        }
        turn.effects.push(Effect::Ask(request));
    }

    /// Somebody has taken a case in hand: what is chosen about it now comes too late. A draft is still of use.
    pub(crate) fn unask(&mut self, seq: u64) {
        match self.asking.waiting.get_mut(&seq) {
            Some(waiting) if waiting.brief => waiting.questions.clear(),
            _ => drop(self.asking.waiting.remove(&seq)),
        }
    }

    /// An answer has come.
    pub(crate) fn answered(&mut self, turn: &mut Turn<'_>, answer: &AgentAnswer) {
        if let Some(at) = self.asking.plans.iter().position(|plan| plan.request == answer.request) {
            let plan = self.asking.plans.remove(at);
            return self.plan_cited(turn, &plan.incident, &plan.scenario, answer);
        }
        let (subject, request) = (quote(&answer.case), quote(&answer.request));
        let asked = case_seq(&answer.case).filter(|seq| self.asking.waiting.get(seq).is_some_and(|waiting| waiting.request == answer.request));
        let Some((seq, waiting)) = asked.and_then(|seq| Some((seq, self.asking.waiting.remove(&seq)?))) else {
            return turn.decide("noted", &subject, LLM, "answer not awaited", format!("nobody waits for an answer to {request}"));
        };
        let Some(case) = self.cases.get(&seq).cloned() else {
            return turn.decide("noted", &subject, LLM, "answer too late", "the case is no longer in live state".to_owned());
        };
        // Like a command, an answer happens at the time of what it is about.
        turn.timeline = case.timeline;
        turn.at = self.clocks.at(case.timeline).unwrap_or(case.moved).max(case.moved);
        if waiting.brief {
            let decision = drafted(turn, answer, &case);
            turn.effects.push(Effect::Decision(decision));
        }
        self.asking.answered += u64::from(waiting.paid);
        if waiting.questions.is_empty() {
            return;
        }
        if case.moved != waiting.moved || case.state != CaseState::Assigned || case.merged_into.is_some() {
            return turn.decide("noted", &subject, LLM, "answer too late", format!("the case has moved since: {}", case.state.zh()));
        }
        let sure = |task: Task| {
            let options = waiting.questions.iter().find(|(asked, _)| *asked == task).map(|(_, options)| options)?;
            let choice = answer.choices.iter().find(|choice| choice.task == task && options.contains(&choice.label))?;
            Some(choice).filter(|choice| choice.permille >= limits::ANSWER_SURE_PERMILLE)
        };
        let (category, unit) = (sure(Task::Category).cloned(), sure(Task::Unit).cloned());
        let mut decision = told(turn, answer, &case, &[&category, &unit]);
        let was_asked = |task: Task| waiting.questions.iter().any(|(asked, _)| *asked == task);
        let is_open = |task: Task, choice: &Option<Choice>| was_asked(task) && choice.is_none();
        if is_open(Task::Category, &category) || is_open(Task::Unit, &unit) {
            decision.tier = PERSON.to_owned();
            decision.outcome = format!("{} to {}, for a person to look at", case.category, case.unit.as_deref().unwrap_or("nobody"));
            decision.reason = match &answer.failed {
                Some(failed) => format!("no answer: {}; what stands stays", quote(failed)),
                None => "the language model is not sure; what stands stays".to_owned(),
            };
        }
        let actor = format!("{BRAIN} ({})", quote(&answer.model));
        if let Some(choice) = category.filter(|choice| choice.label != case.category && turn.graph.category(&choice.label).is_some()) {
            self.asking.decided += 1;
            let reason = format!("{} ‰ by {}", choice.permille, quote(&answer.model));
            return self.set_category(turn, seq, case, &choice.label, &actor, &reason, decision);
        }
        let Some(choice) = unit.filter(|choice| case.unit.as_ref() != Some(&choice.label) && turn.graph.unit(&choice.label).is_some()) else {
            turn.effects.push(Effect::Decision(decision));
            return;
        };
        self.asking.decided += 1;
        decision.unit = Some(choice.label.clone());
        decision.outcome = format!("{} to {}", case.category, choice.label);
        turn.effects.push(Effect::Decision(decision));
        let mut case = case;
        case.unit = Some(choice.label);
        if case.proposed_unit.is_some() {
            case.proposed_unit.clone_from(&case.unit);
        }
        self.step(turn, &mut case, CaseState::Assigned, &Said::by(&actor, &format!("{} ‰ by {}", choice.permille, quote(&answer.model))));
        self.put_back(turn, seq, case);
    }
}

/// The decision as far as the answer makes it.
fn told(turn: &Turn<'_>, answer: &AgentAnswer, case: &Case, sure: &[&Option<Choice>]) -> Decision {
    let candidates = answer.choices.iter().take(2).flat_map(|choice| {
        let others = choice.runners_up.iter().take(2).map(|it| (&it.label, it.permille));
        std::iter::once((&choice.label, choice.permille)).chain(others).map(|(label, permille)| (choice.task, label.clone(), permille))
    });
    let by = quote(&answer.model);
    let outcome = format!("{} to {}", case.category, case.unit.as_deref().unwrap_or("nobody"));
    Decision {
        category: Some(case.category.clone()),
        unit: case.unit.clone(),
        urgency: Some(case.urgency),
        risk_to_life: Some(case.risk_to_life),
        models: vec![format!("{by}@{}", quote(&answer.digest))],
        candidates: candidates.map(|(task, label, permille)| Candidate { task, label: quote(&label), permille, by: by.clone() }).collect(),
        confidence_permille: sure.iter().filter_map(|choice| choice.as_ref()).map(|choice| choice.permille.min(1000)).min().unwrap_or(0),
        elements: answer.elements.clone(),
        request: Some(quote(&answer.request)),
        prompt: Some(quote(&answer.prompt)),
        sampler: Some(quote(&answer.sampler)),
        tokens: Some(answer.tokens),
        latency_ms: Some(answer.latency_ms),
        ..turn.decision("triage", &case.id, LLM, &outcome, format!("a language model was asked: {by}"))
    }
}

/// Whether machines may read what was written: somebody has read it for orders to machines, and it says something.
fn is_for_machines(intake: &Intake<'_>) -> bool {
    let is_read = intake.understood.is_some_and(|understood| !understood.is_for_people());
    is_read && intake.channel != MACHINE && intake.text.chars().count() >= limits::ASKED_CHARS_MIN
}

/// The question of the category, if there is one.
fn category<'a>(graph: &'a Graph, intake: &'a Intake<'_>, opinions: &'a [Opinion]) -> Option<Question> {
    let (stands, ruled) = (&intake.sorted, &intake.ruled);
    let unsure = match ruled {
        // A model was taken: it is doubted where words say otherwise.
        Some(ruled) => ruled.word.is_some() && ruled.category != stands.category,
        None => stands.confidence_permille < limits::WORDS_SURE_PERMILLE,
    };
    if !unsure {
        return None;
    }
    let ruled = ruled.as_ref().map(|ruled| ruled.category.as_str());
    let labels = graph.may_be(intake.text, std::iter::once(stands.category.as_str()).chain(ruled).chain(thought(opinions, Task::Category)));
    let offer = |label: &&str| graph.category_told(label).map(|name| Offer { label: (*label).to_owned(), zh: name.zh, en: name.en });
    question(Task::Category, &stands.category, &labels, offer)
}

/// The question of the unit, if there is one.
fn unit(graph: &Graph, assigned: &Assigned, opinions: &[Opinion]) -> Option<Question> {
    if assigned.ruled.is_some() || !is_last_resort(graph, &assigned.owed) {
        return None;
    }
    let mut labels = vec![assigned.owed.unit.as_str()];
    labels.extend(thought(opinions, Task::Unit));
    labels.extend(assigned.owed.alternatives.iter().map(String::as_str));
    let offer = |label: &&str| graph.unit_told(label).map(|name| Offer { label: (*label).to_owned(), zh: name.zh, en: name.en });
    question(Task::Unit, &assigned.owed.unit, &labels, offer)
}

/// What the active model thinks of a task, the likeliest first.
fn thought(opinions: &[Opinion], task: Task) -> impl Iterator<Item = &str> {
    let active = opinions.iter().filter(move |opinion| opinion.task == task && opinion.role == Role::Active).take(1);
    active.flat_map(|opinion| std::iter::once(opinion.label.as_str()).chain(opinion.runners_up.iter().take(2).map(|it| it.label.as_str())))
}

fn question(task: Task, stands: &str, labels: &[&str], offer: impl Fn(&&str) -> Option<Offer>) -> Option<Question> {
    let mut options: Vec<Offer> = Vec::new();
    for offer in labels.iter().filter_map(offer) {
        if options.len() < limits::OFFERS_MAX && !options.iter().any(|known| known.label == offer.label) {
            options.push(offer);
        }
    }
    (options.len() >= 2).then(|| Question { task, stands: stands.to_owned(), options })
}
