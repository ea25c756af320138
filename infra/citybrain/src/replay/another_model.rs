//! `citybrain replay --model FILE.gguf`: what another language model would have answered, and what would have become of the
//! cases. The journal is replayed twice: as it was, and with the other model's answers in the places of the recorded ones.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use brain::Case;
use futures::StreamExt;
use lakehouse::Lake;
use llm::{Backend, LocalPool};
use schemas::agent::{AgentAnswer, AgentRequest};
use schemas::journal::{Body, JournalRecord};
use schemas::topics;
use serde::Serialize;

use super::{Pages, Range};
use crate::agents::{Guard, answer, local};
use crate::config::Llm;
use crate::lang::t;
use crate::sequencer::Core;

/// How long the model may take to be there.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// Questions that are with the model at once.
const ASKED_AT_ONCE: usize = 16;
/// Cases that are shown.
const SHOWN: usize = 20;

/// What two models make of the same questions.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// The other model: name and digest.
    pub model: String,
    /// See `model`.
    pub digest: String,
    /// Questions of the range, and those to which either has an answer.
    pub questions: usize,
    /// See `questions`.
    pub answered: [usize; 2],
    /// Choices that both made, and those that were the same.
    pub choices: usize,
    /// See `choices`.
    pub same: usize,
    /// Choices that were sure enough to decide, by the recorded answers and by the other model's.
    pub sure: [usize; 2],
    /// Cases that would stand otherwise now.
    pub cases: Vec<OtherCase>,
}

/// A case that would stand otherwise; what was and what would be.
#[derive(Debug, Serialize)]
pub struct OtherCase {
    /// The case.
    pub case: String,
    /// Its category.
    pub category: [String; 2],
    /// Its unit.
    pub unit: [Option<String>; 2],
    /// Its urgency.
    pub urgency: [u8; 2],
}

/// Asks another model what was asked, and compares.
///
/// # Errors
/// When the lake has no journal, nobody was asked in the range, or the model cannot be run.
pub async fn compare(lake: &Lake, range: &Range, config: &Llm, home: &Path, model: &Path) -> Result<Difference> {
    let config = Llm { model: model.display().to_string(), endpoints: Vec::new(), entry: None, ..config.clone() };
    let (before, asked, recorded) = first(lake, range).await?;
    if asked.is_empty() {
        bail!(t("该范围内没有向语言模型提过问题", "nobody asked a language model anything in this range: there is nothing to compare"));
    }
    let pool = local(&config, home)?;
    let Some(card) = pool.ready(READY_WITHIN).await else {
        bail!("{} cannot be asked: {}", model.display(), pool.metrics().reason.unwrap_or_else(|| "it did not become ready".to_owned()));
    };
    let answers = ask(pool, before.brain().graph(), &asked).await;
    let after = second(lake, &answers).await?;
    let mut difference = Difference { model: card.model, digest: card.digest, questions: asked.len(), answered: [0, 0], choices: 0, same: 0, sure: [0, 0], cases: cases(&before, &after) };
    for request in asked.keys() {
        let both = [recorded.get(request), answers.get(request)];
        for (at, answer) in both.iter().enumerate() {
            let Some(answer) = answer.filter(|answer| answer.failed.is_none()) else { continue };
            difference.answered[at] += 1;
            difference.sure[at] += answer.choices.iter().filter(|choice| choice.permille >= brain::ANSWER_SURE_PERMILLE).count();
        }
        let [Some(one), Some(other)] = both else { continue };
        for choice in &one.choices {
            if let Some(made) = other.choices.iter().find(|made| made.task == choice.task) {
                difference.choices += 1;
                difference.same += usize::from(made.label == choice.label);
            }
        }
    }
    Ok(difference)
}

type Asked = BTreeMap<String, AgentRequest>;
type Answers = BTreeMap<String, AgentAnswer>;

/// As it was: the city at last, what was asked in the range, and what was answered.
async fn first(lake: &Lake, range: &Range) -> Result<(Core, Asked, Answers)> {
    let (mut asked, mut answers) = (Asked::new(), Answers::new());
    let core = through(lake, |core, json| {
        if let Body::Answer(answer) = record(json)?.body {
            answers.insert(answer.request.clone(), answer);
        }
        let sequenced = core.apply_stored(json)?;
        for (_, event) in sequenced.effects.iter().filter(|(topic, event)| topic == topics::REQUEST && range.has(sequenced.time, event)) {
            let data = event.data.as_deref().context("a question without data")?;
            let request: AgentRequest = serde_json::from_slice(data).context("a question cannot be read")?;
            // What documents say is no model's answer.
            if !request.questions.is_empty() {
                asked.insert(request.id.clone(), AgentRequest { brief: None, ..request });
            }
        }
        Ok(())
    });
    Ok((core.await?, asked, answers))
}

/// As it would have been with these answers.
async fn second(lake: &Lake, answers: &Answers) -> Result<Core> {
    through(lake, |core, json| {
        let mut record = record(json)?;
        if let Body::Answer(answer) = &mut record.body
            && let Some(other) = answers.get(&answer.request)
        {
            *answer = other.clone();
            core.apply_stored(&record.to_json())?;
        } else {
            core.apply_stored(json)?;
        }
        Ok(())
    })
    .await
}

/// Takes a new city through the journal, each record by `take`.
async fn through(lake: &Lake, mut take: impl FnMut(&mut Core, &str) -> Result<()>) -> Result<Core> {
    let mut core = None;
    let mut pages = Pages::of(lake).await?;
    while let Some(page) = pages.next().await? {
        for (json, _) in page {
            let core = match &mut core {
                Some(core) => core,
                None => core.insert(Core::begin(&json)?),
            };
            take(core, &json)?;
        }
    }
    core.context("the journal in the lake is empty")
}

fn record(json: &str) -> Result<JournalRecord> {
    JournalRecord::from_json(json).context("a record of the journal cannot be read")
}

/// What the model says to each question.
async fn ask(pool: LocalPool, graph: &graph::Graph, asked: &Asked) -> Answers {
    let backend: Arc<dyn Backend> = Arc::new(pool);
    let guard = Guard::of(Some(graph.clone()));
    let all = asked.values().map(|request| {
        let (backend, guard) = (&backend, &guard);
        async move { (request.id.clone(), answer(backend.as_ref(), guard, request).await) }
    });
    futures::stream::iter(all).buffer_unordered(ASKED_AT_ONCE).collect().await
}

fn cases(before: &Core, after: &Core) -> Vec<OtherCase> {
    let now: BTreeMap<&str, &Case> = after.brain().cases().map(|case| (case.id.as_str(), case)).collect();
    let pairs = before.brain().cases().filter_map(|case| Some((case, *now.get(case.id.as_str())?)));
    pairs
        .filter(|(was, is)| (&was.category, &was.unit, was.urgency) != (&is.category, &is.unit, is.urgency))
        .map(|(was, is)| OtherCase {
            case: was.id.clone(),
            category: [was.category.clone(), is.category.clone()],
            unit: [was.unit.clone(), is.unit.clone()],
            urgency: [was.urgency, is.urgency],
        })
        .collect()
}

/// The difference for people.
pub fn print(difference: &Difference) {
    let digest: String = difference.digest.chars().take(12).collect();
    println!("{:<22}{} {digest}", t("另一模型", "the other model"), difference.model);
    println!("{:<22}{}", t("提问", "questions"), difference.questions);
    println!("{:<22}{} / {}", t("作答（记录/另一）", "answered (then/now)"), difference.answered[0], difference.answered[1]);
    println!("{:<22}{} / {}", t("足以决定（记录/另一）", "sure (then/now)"), difference.sure[0], difference.sure[1]);
    println!("{:<22}{} / {}", t("选择相同", "the same choice"), difference.same, difference.choices);
    println!("{:<22}{}", t("结果不同的案件", "cases that differ"), difference.cases.len());
    for it in difference.cases.iter().take(SHOWN) {
        let unit = |unit: &Option<String>| unit.clone().unwrap_or_else(|| "-".to_owned());
        println!("  {}  {} → {}  {} → {}  {} → {}", it.case, it.category[0], it.category[1], unit(&it.unit[0]), unit(&it.unit[1]), it.urgency[0], it.urgency[1]);
    }
    if difference.cases.len() > SHOWN {
        println!("  … {}", difference.cases.len() - SHOWN);
    }
}
