//! What documents say to a matter: a reply to a citizen, or the orders of a plan. A draft of which a sentence is not held by the section
//! that it cites is none; then the person who writes is told what is lacking.

use std::collections::BTreeSet;
use std::time::Instant;

use graph::Graph;
use guard::{Agent, Outbound, claims};
use knowledge::{Hit, Kind, Knowledge};
use llm::task::Dialect;
use llm::{Answer, Asker, Task};
use schemas::agent::{AgentAnswer, AgentRequest, Brief, Citation, Draft};
use tracing::info;

use super::Guard;
use super::tools::{Sources, Tools};

/// Laws and rules of a plan that are looked up: as many as leave calls for the rest.
const BASES_MAX: usize = 3;
/// Who wrote a draft in the words of the documents.
const RULES: &str = "rules";
/// What holds for everybody, and may be told to anybody; of past cases and of plans of emergencies nothing is told to a citizen.
const PUBLIC: [Kind; 4] = [Kind::Law, Kind::Procedure, Kind::Service, Kind::Faq];

/// What is worked on.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    pub guard: &'a Guard,
    pub sources: Sources<'a>,
    pub request: &'a AgentRequest,
    /// What the citizen wrote, as far as it may be read.
    pub text: &'a str,
    /// When it was begun.
    pub began: Instant,
}

/// Looks up and drafts what a request wants, and puts it into the answer.
pub async fn brief(work: Work<'_>, asker: &mut Asker<'_>, told: &mut AgentAnswer) {
    let Some(brief) = &work.request.brief else { return };
    told.knowledge = work.sources.knowledge.digest().to_owned();
    match brief {
        Brief::Reply { place, written } => {
            // A model of ours has not learnt to write a reply.
            let writes = *written && asker.dialect() == Some(Dialect::Chat);
            reply(work, place.as_deref(), asker, writes, told).await;
        }
        Brief::Plan { .. } => orders(work, brief, told),
    }
}

/// What documents say to a citizen's words.
async fn reply(work: Work<'_>, place: Option<&str>, asker: &mut Asker<'_>, writes: bool, told: &mut AgentAnswer) {
    let Work { sources, request, text, began, .. } = work;
    let zh = text.chars().any(text::is_han);
    let knowledge = sources.knowledge;
    let mut tools = Tools::of(Agent::Draft, &request.case, &[], true, sources, began, &mut told.calls);
    let hits = tools.search(text, &PUBLIC, place);
    let telling = knowledge.telling(&hits);
    let Some(own) = knowledge.reply(&hits, zh) else {
        told.lacking.push(format!("no document that holds on {} answers it", sources.today));
        return;
    };
    told.citations = telling.iter().filter_map(|hit| citation(knowledge, hit)).collect();
    let cites: Vec<&str> = told.citations.iter().map(|citation| citation.section.as_str()).collect();
    if !tools.draft("reply", &cites.join(", ")) {
        told.lacking.push("the gate lets no draft through".to_owned());
        return;
    }
    if writes && tools.spend(asker.tokens()) {
        match written(work, &telling, asker).await {
            Ok(draft) => {
                told.draft = Some(draft);
                return;
            }
            Err(why) => info!(case = request.case, why, "what the language model drafted is not taken"),
        }
    }
    match knowledge.check_answer(&own, &hits, sources.today) {
        Ok(answer) => told.draft = Some(Draft { kind: "reply".to_owned(), text: own, cites: answer.citations, by: RULES.to_owned() }),
        Err(refused) => told.lacking.push(refused.to_string()),
    }
}

/// A reply in a language model's words, when the sections that it cites hold each of its sentences.
async fn written(work: Work<'_>, telling: &[&Hit], asker: &mut Asker<'_>) -> Result<Draft, String> {
    let Work { guard, sources, text, .. } = work;
    let knowledge = sources.knowledge;
    let sections: Vec<(&str, &str)> = telling.iter().filter_map(|hit| Some((hit.section.as_str(), knowledge.resolve(&hit.section)?))).collect();
    let task = Task::reply(text, &sections).map_err(|error| error.to_string())?;
    let Answer::Free(words) = asker.ask(task).await.map_err(|error| error.to_string())? else { return Err("it answered something else".to_owned()) };
    let by = asker.replies.last().map(|reply| reply.card.model.clone()).unwrap_or_default();
    let hits: Vec<Hit> = telling.iter().map(|hit| (*hit).clone()).collect();
    let answer = knowledge.check_answer(&words, &hits, sources.today).map_err(|refused| refused.to_string())?;
    let prompt: Vec<&str> = guard.own.iter().map(String::as_str).collect();
    let given: String = sections.iter().map(|(_, words)| *words).chain([text]).collect::<Vec<_>>().join("\n");
    let mut wrong: Vec<String> = guard.filter.outward(&Outbound { text: &words, given: &given, prompt: &prompt, lines: true }).iter().map(ToString::to_string).collect();
    for sentence in &answer.sentences {
        let source: Vec<&str> = sentence.citations.iter().filter_map(|id| knowledge.resolve(id)).collect();
        wrong.extend(claims::answer(&sentence.text, &source.join("\n")).iter().map(ToString::to_string));
    }
    if wrong.is_empty() { Ok(Draft { kind: "reply".to_owned(), text: words, cites: answer.citations, by }) } else { Err(wrong.join("; ")) }
}

/// The orders of a plan: each task with the section that says so, and what may follow; the laws that it rests on.
fn orders(work: Work<'_>, brief: &Brief, told: &mut AgentAnswer) {
    let Brief::Plan { scenario, plan, name, basis, lead, tasks } = brief else { return };
    let Work { sources, request, began, .. } = work;
    let (graph, knowledge) = (sources.graph, sources.knowledge);
    let mut tools = Tools::of(Agent::Dispatch, &request.case, &[], false, sources, began, &mut told.calls);
    let superiors = tools.superiors(lead);
    let first = graph.scenario(scenario).and_then(|scenario| scenario.events.first());
    let followers = first.map(|event| tools.followers(event)).unwrap_or_default();
    let mut cited: Vec<Hit> = Vec::new();
    for law in basis.iter().take(BASES_MAX) {
        let hits = tools.search(law, &[Kind::Law], None);
        match hits.into_iter().find(|hit| knowledge.resolve(&hit.section).is_some_and(|words| words.contains(law.as_str()))) {
            Some(hit) => cited.push(hit),
            None => told.lacking.push(format!("no document that holds on {} points to {law}", sources.today)),
        }
    }
    let wanted: Vec<&str> = tasks.iter().map(|task| task.zh.as_str()).collect();
    let hits = tools.search(&format!("{name} {}", wanted.join(" ")), &[Kind::Plan], None);
    let own: Vec<Hit> = hits.into_iter().filter(|hit| hit.section.split('#').next() == Some(plan.as_str())).collect();
    let (mut zh, mut en, mut cites, mut unheld) = (Vec::new(), Vec::new(), BTreeSet::new(), BTreeSet::new());
    for task in tasks {
        let in_zh = format!("{}分钟内{}", task.minutes, task.zh);
        let Some(hit) = own.iter().find(|hit| holds(hit, &in_zh, sources)) else {
            unheld.insert(in_zh);
            continue;
        };
        let (level_zh, level_en) = level(&task.level);
        let unit = graph.unit(&task.unit).map(|unit| &unit.name);
        let (unit_zh, unit_en) = unit.map_or((task.unit.as_str(), task.unit.as_str()), |name| (&name.zh, &name.en));
        zh.push(format!("【{level_zh}】{unit_zh}：{in_zh}。[{}]", hit.section));
        en.push(format!("({level_en}) {unit_en}: {}, within {} minutes. [{}]", task.en, task.minutes, hit.section));
        cites.insert(hit.section.clone());
        cited.push(hit.clone());
    }
    for hit in cited {
        if !told.citations.iter().any(|known| known.section == hit.section) {
            told.citations.extend(citation(knowledge, &hit));
        }
    }
    if own.is_empty() && !tasks.is_empty() {
        told.lacking.push(format!("no document that holds on {} is the text of {plan}", sources.today));
        return;
    }
    told.lacking.extend(unheld.iter().map(|task| format!("the text of {plan} does not say: {task}")));
    if zh.is_empty() || !unheld.is_empty() {
        return;
    }
    let mut tools = Tools::of(Agent::Draft, &request.case, &[], false, sources, began, &mut told.calls);
    if !tools.draft("order", &format!("{plan}, {} tasks", tasks.len())) {
        told.lacking.push("the gate lets no draft through".to_owned());
        return;
    }
    let (report_zh, report_en) = (named(graph, &superiors, true), named(graph, &superiors, false));
    let may = |zh: bool| followers.iter().map(|(name, permille)| if zh { format!("{}（{}%）", name.zh, permille / 10) } else { format!("{} ({} %)", name.en, permille / 10) }).collect::<Vec<_>>();
    let mut text = zh;
    text.extend((!report_zh.is_empty()).then(|| format!("抄报：{}", report_zh.join("、"))));
    text.extend((!followers.is_empty()).then(|| format!("图谱预判可能引发：{}", may(true).join("、"))));
    text.extend(en);
    text.extend((!report_en.is_empty()).then(|| format!("Report to: {}", report_en.join(", "))));
    text.extend((!followers.is_empty()).then(|| format!("By the graph may follow: {}", may(false).join(", "))));
    told.draft = Some(Draft { kind: "order".to_owned(), text: text.join("\n"), cites: cites.into_iter().collect(), by: RULES.to_owned() });
}

/// Whether a section says a task, with its time.
fn holds(hit: &Hit, task: &str, sources: Sources<'_>) -> bool {
    let knowledge = sources.knowledge;
    let words = knowledge.resolve(&hit.section).unwrap_or_default();
    let said = knowledge.check_answer(&format!("{task}。[{}]", hit.section), std::slice::from_ref(hit), sources.today);
    said.is_ok() && claims::answer(task, words).is_empty()
}

fn citation(knowledge: &Knowledge, hit: &Hit) -> Option<Citation> {
    let title = &knowledge.document_of(knowledge.section(&hit.section)?).title;
    let words = knowledge.sentence(hit)?.trim_start_matches(['>', ' ']).trim().to_owned();
    Some(Citation { section: hit.section.clone(), zh: title.zh.clone(), en: title.en.clone(), words, covered_permille: hit.covered_permille })
}

fn level(level: &str) -> (&'static str, &'static str) {
    match level {
        "city" => ("市", "city"),
        "district" => ("区", "district"),
        _ => ("街道", "street"),
    }
}

fn named<'a>(graph: &'a Graph, units: &'a [String], zh: bool) -> Vec<&'a str> {
    units.iter().map(|id| graph.unit(id).map_or(id.as_str(), |unit| if zh { &unit.name.zh } else { &unit.name.en })).collect()
}
