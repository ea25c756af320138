//! What was understood of a report, and what of it decides. Rules come first: what somebody chose from a list, then the
//! graph's words where they are sure; the active model's opinion comes after them, and shadows never.
//!
//! Opinions come with the record ([`schemas::understood`]): no model is known here.

use graph::{Graph, Owed, Sorted};
use schemas::understood::{Opinion, Role, Task, Understood};

use super::Intake;
use crate::effect::{Candidate, Decision};
use crate::limits;
use crate::state::{Turn, quote};

/// Who decides by rule.
pub(crate) const RULES: &str = "rules";
/// Who decides by a small model's opinion.
pub(crate) const SMALL: &str = "small";
/// Who decides what no machine was sure of, or should.
pub(crate) const PERSON: &str = "person";

/// The category of a report, and why it is that one.
pub(crate) struct Taken {
    pub(crate) sorted: Sorted,
    pub(crate) found: String,
    /// What the rules said, where a model's opinion was taken instead.
    pub(crate) ruled: Option<Sorted>,
}

/// What a report is taken for, when rules say `sorted` by its words, and `chosen` whether somebody chose it from a list.
pub(crate) fn taken(graph: &Graph, sorted: Sorted, chosen: bool, understood: Option<&Understood>) -> Taken {
    let words = match &sorted.word {
        Some(word) => format!("`{word}` means {}", sorted.category),
        None => "no word of any category was found".to_owned(),
    };
    let is_sure = chosen || sorted.confidence_permille >= limits::WORDS_SURE_PERMILLE;
    let opinion = understood.filter(|_| !is_sure).and_then(|understood| understood.sure(Task::Category));
    let Some((opinion, category)) = opinion.and_then(|opinion| Some((opinion, graph.category(&opinion.label)?))) else {
        return Taken { sorted, found: words, ruled: None };
    };
    let found = format!("{words}; {}", says(opinion));
    let by_model = Sorted { category: category.id.clone(), confidence_permille: opinion.permille.min(1000), word: None };
    Taken { sorted: by_model, found, ruled: Some(sorted) }
}

/// The unit of a report, and why it is that one.
pub(crate) struct Assigned {
    pub(crate) owed: Owed,
    /// The unit of last resort, where a model's opinion was taken instead.
    pub(crate) ruled: Option<String>,
}

/// Whose a report is: whose duty the graph says it is; where only the unit of last resort is left, whom an accepted opinion
/// names.
pub(crate) fn assigned(turn: &Turn<'_>, owed: Owed, understood: Option<&Understood>) -> Assigned {
    let opinion = understood.filter(|_| is_last_resort(turn.graph, &owed)).and_then(|understood| understood.sure(Task::Unit));
    let named = opinion.and_then(|opinion| Some((opinion, turn.graph.unit(&opinion.label)?)));
    let Some((opinion, unit)) = named.filter(|(_, unit)| unit.valid.holds(turn.at.date_naive())) else {
        return Assigned { owed, ruled: None };
    };
    let superiors = turn.graph.superiors(&unit.id);
    // The category, whose it is by the graph, and who says otherwise.
    let mut path: Vec<String> = owed.path.into_iter().take(2).chain([says(opinion)]).collect();
    path.extend(superiors.iter().map(|superior| format!("reports to {superior}")));
    let alternatives = vec![owed.unit.clone()];
    Assigned { owed: Owed { unit: unit.id.clone(), superiors, alternatives, path }, ruled: Some(owed.unit) }
}

/// Where the words of a report mean danger to life: the graph's, and else what the reader found. It only ever adds danger.
pub(crate) fn danger(graph: &Graph, text: &str, understood: Option<&Understood>) -> Option<String> {
    let known = Some(text).filter(|text| !text.is_empty()).and_then(|text| graph.risk_word(text));
    known.map(str::to_owned).or_else(|| {
        let words = &understood.filter(|understood| understood.risk_to_life)?.words;
        Some(words.iter().take(limits::WORDS_MAX).map(|word| quote(word)).collect::<Vec<_>>().join("`, `"))
    })
}

/// Adds to a triage what was understood, so that it can be compared with what was decided and with what people say later.
pub(crate) fn tell(graph: &Graph, triage: &mut Decision, intake: &Intake<'_>, assigned: &Assigned) {
    let Some(understood) = intake.understood else { return };
    let opinions: Vec<Opinion> = understood.opinions.iter().take(limits::OPINIONS_MAX).cloned().collect();
    let decided = |task: &Task| match task {
        Task::Category => intake.ruled.is_some(),
        Task::Unit => assigned.ruled.is_some(),
    };
    let models: Vec<&Opinion> = Task::ALL.iter().filter(|task| decided(task)).filter_map(|task| understood.sure(*task)).collect();
    if !models.is_empty() {
        triage.tier = SMALL.to_owned();
        triage.confidence_permille = models.iter().map(|opinion| opinion.permille).fold(triage.confidence_permille, u32::min);
        triage.models = models.iter().map(|opinion| format!("{}@{}", opinion.model, opinion.digest)).collect();
    }
    if opinions.iter().any(|opinion| opinion.role == Role::Active) {
        triage.candidates = candidates(graph, &opinions, intake, assigned);
    }
    triage.opinions = opinions;
    triage.words = understood.words.iter().take(limits::WORDS_MAX).map(|word| quote(word)).collect();
    triage.intent = understood.intent.as_deref().map(quote);
    triage.injection = understood.injection.then_some(true);
    triage.stopped = understood.stopped.iter().take(limits::WORDS_MAX).map(|term| quote(term)).collect();
    if understood.is_for_people() {
        // It is filed and assigned by rules as any other; who speaks to machines or threatens is read by a person.
        triage.tier = PERSON.to_owned();
    }
}

/// What could have been decided: by the rules, then by the active models, the likeliest first.
fn candidates(graph: &Graph, opinions: &[Opinion], intake: &Intake<'_>, assigned: &Assigned) -> Vec<Candidate> {
    let category = intake.ruled.as_ref().unwrap_or(&intake.sorted);
    let (unit, permille) = match &assigned.ruled {
        Some(last_resort) => (last_resort, 0),
        None => (&assigned.owed.unit, if is_last_resort(graph, &assigned.owed) { 0 } else { 1000 }),
    };
    let rules = |task, label: &str, permille| Candidate { task, label: label.to_owned(), permille, by: RULES.to_owned() };
    let mut all = Vec::new();
    for task in Task::ALL {
        all.push(match task {
            Task::Category => rules(task, &category.category, category.confidence_permille),
            Task::Unit => rules(task, unit, permille),
        });
        for opinion in opinions.iter().filter(|opinion| opinion.task == task && opinion.role == Role::Active).take(1) {
            let ranked = std::iter::once((&opinion.label, opinion.permille)).chain(opinion.runners_up.iter().take(2).map(|it| (&it.label, it.permille)));
            all.extend(ranked.map(|(label, permille)| Candidate { task, label: quote(label), permille, by: opinion.model.clone() }));
        }
    }
    all
}

/// Whether a matter falls to the unit that owes what nobody else does.
pub(crate) fn is_last_resort(graph: &Graph, owed: &Owed) -> bool {
    graph.city().is_some_and(|city| city.default_unit == owed.unit)
}

fn says(opinion: &Opinion) -> String {
    format!("model {} says {} ({} ‰)", quote(&opinion.model), quote(&opinion.label), opinion.permille)
}
