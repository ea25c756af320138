//! Agents: they answer what the brain asks, by a language model and by documents.
//!
//! The worker reads `city.request`, puts each question to a model (crate `llm`), looks up what documents say (`brief.rs`, by the
//! tools of `tools.rs`) and writes what came of it to `city.answer`, an input of the brain. It decides nothing: the brain reads
//! an answer as a proposal among the options that it gave. What a citizen wrote reaches the model as data, without secrets, and
//! not at all when the content filter stops it; what a model writes goes on field by field ([`guard::form`]). A model reaches
//! no tool: the steps are ours, and each call goes through the gate.
//!
//! It keeps nothing but the offset up to which all is answered, in `<home>/agents/answers.json`. After a crash a question may
//! be answered twice; the brain waits for one answer and notes the other. Without a model, or with one that fails, the answer
//! says so, and what stands stays.

mod brief;
mod tools;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bus::{Bus, Producer, Tap, TapReader};
use chrono::{TimeDelta, Utc};
use graph::Graph;
use guard::{Agent, Filter};
use knowledge::Knowledge;
use llm::metrics::Metrics;
use llm::{Answer, AskError, Asker, Backend, Card, LocalConfig, LocalPool, Priority, RemoteConfig, RemotePool, Reply, Request, Task};
use llm::task::Dialect;
use schemas::agent::{AgentAnswer, AgentRequest, Choice, Elements, Question};
use schemas::event::Event;
use schemas::topics;
use schemas::understood::{RunnerUp, Task as Asked};
use serde::{Deserialize, Serialize};
use text::Reader;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::city_graph::CityGraph;
use crate::config::Llm;
use crate::home::write_atomically;
use crate::parts::{Parts, asked_to_stop};
use crate::progress::Progress;
use crate::rows::Rows;
use crate::sequencer::send;

use self::brief::Work;
use self::tools::{Sources, Tools};

/// What it is called: its reader, its file, the last part of its events' source.
const NAME: &str = "answers";
const ANSWER: &str = "io.citybrain.agent.answer.v1";
/// Questions that are with the model at once; the model's own line is longer, so that none is refused.
const ASKED_AT_ONCE: usize = 64;
/// Questions that wait. When there are more, those that are least urgent and have waited longest go without an answer.
const WAITING_MAX: usize = 2_000;
/// What `llm.model` says when the model that ships is meant.
pub const IN_THE_BOX: &str = "box";
/// From the question to the answer, everything included: then it is too late for the one who waits.
const WITHIN: Duration = Duration::from_secs(60);
/// How often the position is written.
const KEEP_EVERY: Duration = Duration::from_secs(5);

/// The model that the configuration names; none when it names none.
///
/// # Errors
/// When it names something that is not there.
pub fn backend(config: &Llm, home: &Path) -> Result<Option<Arc<dyn Backend>>> {
    if !config.endpoints.is_empty() {
        let pool = RemotePool::start(RemoteConfig { endpoints: config.endpoints.clone(), ..RemoteConfig::default() }).context("llm.endpoints of the configuration is wrong")?;
        return Ok(Some(Arc::new(pool)));
    }
    if config.model.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(local(config, home)?)))
}

/// The engine of a configuration that names a model's file.
///
/// # Errors
/// When it is not the file that was registered, or there is no engine.
pub fn local(config: &Llm, home: &Path) -> Result<LocalPool> {
    let model = match config.model.as_str() {
        IN_THE_BOX => offline::language::default_model(home).with_context(|| format!("llm.model is \"{IN_THE_BOX}\", and there is no {}", offline::language::DEFAULT_FILE))?,
        file => PathBuf::from(file),
    };
    if let Some(entry) = &config.entry {
        entry.admit(&model).context("the model is not the one that llm.entry of the configuration registers")?;
    }
    let program = std::env::current_exe().context("could not find out where this program lies")?;
    let local = LocalConfig { threads: config.threads, sequences: config.sequences, context: config.context, ..LocalConfig::beside(&program, &model) };
    if !local.engine.exists() {
        anyhow::bail!("{} is not there: build it (cargo build -p citybrain-engine), or set llm.endpoints", local.engine.display());
    }
    Ok(LocalPool::start(local))
}

/// What a model has been asked, for `/metrics`.
pub fn metrics(metrics: &llm::metrics::Metrics) -> String {
    let mut text = String::new();
    for (name, kind, help, value) in [
        ("up", "gauge", "Whether a model can be asked.", u64::from(metrics.state == "up")),
        ("asked_total", "counter", "Requests put to the language model.", metrics.asked),
        ("answered_total", "counter", "Requests with a checked answer.", metrics.answered),
        ("asked_again_total", "counter", "Requests asked again after a crash, a hang or a failing endpoint.", metrics.asked_again),
        ("restarts_total", "counter", "Times that the engine was started again.", metrics.restarts),
        ("waiting", "gauge", "Requests that wait.", metrics.waiting.iter().sum()),
        ("active", "gauge", "Requests that a model works on.", metrics.active),
        ("tokens_in_total", "counter", "Tokens of prompts.", metrics.tokens_in),
        ("tokens_out_total", "counter", "Tokens of answers.", metrics.tokens_out),
    ] {
        text.push_str(&format!("# HELP citybrain_llm_{name} {help}\n# TYPE citybrain_llm_{name} {kind}\ncitybrain_llm_{name} {value}\n"));
    }
    text.push_str("# HELP citybrain_llm_failed_total Requests without an answer, by reason.\n# TYPE citybrain_llm_failed_total counter\n");
    for (reason, count) in &metrics.failed {
        text.push_str(&format!("citybrain_llm_failed_total{{reason=\"{reason}\"}} {count}\n"));
    }
    text.push_str("# HELP citybrain_llm_latency_us From question to answer, microseconds.\n# TYPE citybrain_llm_latency_us gauge\n");
    for (task, latency) in &metrics.latency {
        for (quantile, value) in [("0.5", latency.p50_us), ("0.95", latency.p95_us), ("0.99", latency.p99_us)] {
            text.push_str(&format!("citybrain_llm_latency_us{{task=\"{task}\",quantile=\"{quantile}\"}} {value}\n"));
        }
    }
    text
}

/// Where the worker stands.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    /// Every question before this offset has its answer.
    next: i64,
}

/// Nobody: where no model is configured, documents are looked up all the same.
pub struct Nobody;

#[async_trait::async_trait]
impl Backend for Nobody {
    async fn ask(&self, _: Request) -> Result<Reply, AskError> {
        Err(AskError::Absent("no language model is configured".to_owned()))
    }

    fn card(&self) -> Option<Card> {
        None
    }

    fn metrics(&self) -> Metrics {
        Metrics::default()
    }
}

/// What stands between a citizen's words and a model, and between a model's and the city; and what the tools read.
pub struct Guard {
    filter: Filter,
    /// Our own words in the prompts.
    own: Vec<String>,
    /// The city as it was when it was looked at last.
    city: RwLock<Option<Arc<City>>>,
    /// The documents, if they can be read.
    knowledge: RwLock<Option<Arc<Knowledge>>>,
}

/// What is known of the city.
struct City {
    graph: Graph,
    /// Knows the places of the graph.
    reader: Reader,
    /// Words of its categories, for searches.
    aliases: Vec<Vec<String>>,
}

impl Guard {
    /// The one of a graph, as far as there is one yet, without documents.
    pub fn of(graph: Option<Graph>) -> Guard {
        let guard = Guard { filter: Filter::builtin(), own: llm::task::own_words(), city: RwLock::default(), knowledge: RwLock::default() };
        if let Some(graph) = graph {
            guard.know(graph);
        }
        guard
    }

    fn know(&self, graph: Graph) {
        let city = City { reader: Reader::new(&graph), aliases: offline::knowledge::aliases(&graph), graph };
        *self.city.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(city));
    }

    fn city(&self) -> Option<Arc<City>> {
        self.city.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn knowledge(&self) -> Option<Arc<Knowledge>> {
        self.knowledge.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// When the documents of a home changed last, as far as anybody can tell.
type Documents = Option<(Option<std::time::SystemTime>, usize, u64)>;

/// Answers questions.
pub struct Agents {
    backend: Arc<dyn Backend>,
    guard: Arc<Guard>,
    graph: CityGraph,
    graph_version: String,
    producer: Producer,
    home: PathBuf,
    /// What the documents were when they were read.
    documents: Documents,
    file: PathBuf,
    next: i64,
    progress: Progress,
    /// Questions by urgency and offset.
    waiting: BTreeMap<(u8, i64), AgentRequest>,
    /// Offsets that are with the model.
    asked: BTreeSet<i64>,
}

impl Agents {
    /// Finds out where the worker stands. Where it never stood anywhere, questions of before are no longer waited for.
    ///
    /// # Errors
    /// When its file is damaged, or the bus cannot be reached.
    pub async fn open(bus: &Bus, home: &Path, folder: &Path, backend: Arc<dyn Backend>, graph: CityGraph, parts: &Parts) -> Result<Agents> {
        std::fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
        let file = folder.join(format!("{NAME}.json"));
        let next = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice::<Kept>(&bytes).with_context(|| format!("{} cannot be read: remove it, and what is asked from now on is answered", file.display()))?.next,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bus.watermarks(topics::REQUEST).await.context("could not read the end of city.request")?.get(&0).map_or(0, |(_, high)| *high)
            }
            Err(error) => return Err(error).with_context(|| format!("could not read {}", file.display())),
        };
        let producer = bus.producer().context("could not make the producer of answers")?;
        let progress = Progress::new(NAME);
        progress.set(BTreeMap::from([((topics::REQUEST.to_owned(), 0), next)]));
        parts.track(&progress);
        info!(next, "agents begin");
        let guard = Arc::new(Guard::of(None));
        let (home, graph_version, documents) = (home.to_owned(), String::new(), None);
        let mut agents = Agents { backend, guard, graph, graph_version, producer, home, documents, file, next, progress, waiting: BTreeMap::new(), asked: BTreeSet::new() };
        agents.look().await;
        Ok(agents)
    }

    /// The reader that [`Agents::run`] wants.
    ///
    /// # Errors
    /// When the tap was stopped.
    pub fn reader(&self, tap: &Tap) -> Result<TapReader> {
        let start = BTreeMap::from([((topics::REQUEST.to_owned(), 0), self.next)]);
        Ok(tap.reader(NAME, bus::Filter::topics([topics::REQUEST]), start)?)
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Answers until `stop` says so.
    ///
    /// # Errors
    /// When the bus takes no answer, or the position cannot be written; then it is begun again from the position on disk.
    pub async fn run(mut self, mut reader: TapReader, mut stop: watch::Receiver<bool>) -> Result<()> {
        let mut flying: JoinSet<(i64, AgentAnswer)> = JoinSet::new();
        let mut due = tokio::time::interval(KEEP_EVERY);
        let mut kept = self.answered();
        loop {
            tokio::select! {
                biased;
                () = asked_to_stop(&mut stop) => break,
                Some(done) = flying.join_next(), if !flying.is_empty() => {
                    let (offset, answer) = done.context("an agent panicked")?;
                    self.say(vec![answer]).await?;
                    self.asked.remove(&offset);
                }
                _ = due.tick() => {
                    self.look().await;
                    if self.answered() > kept {
                        kept = self.answered();
                        self.keep(kept)?;
                    }
                }
                chunk = reader.recv() => {
                    let Some(chunk) = chunk else { break };
                    for row in Rows::of(&chunk.rows)?.iter().filter(|row| row.offset >= self.next) {
                        if let Some(Ok(request)) = row.data.map(serde_json::from_str::<AgentRequest>) {
                            self.waiting.insert((request.urgency, row.offset), request);
                        }
                    }
                    self.next = self.next.max(chunk.next_offset);
                    self.give_up().await?;
                }
            }
            while flying.len() < ASKED_AT_ONCE && let Some(((_, offset), request)) = self.waiting.pop_first() {
                self.asked.insert(offset);
                let (backend, guard) = (self.backend.clone(), self.guard.clone());
                flying.spawn(async move { (offset, answer(backend.as_ref(), &guard, &request).await) });
            }
            self.progress.advance(topics::REQUEST, 0, self.answered());
        }
        self.keep(self.answered())
    }

    /// Takes in the graph and the documents, when they have changed. Documents with mistakes are told of, and those before stay.
    async fn look(&mut self) {
        if let Some(graph) = self.graph.unless(&self.graph_version) {
            self.graph_version = graph.version();
            self.guard.know(graph);
        }
        let documents = offline::knowledge::fingerprint(&self.home).ok();
        if documents == self.documents && documents.is_some() {
            return;
        }
        let home = self.home.clone();
        match tokio::task::spawn_blocking(move || offline::knowledge::of_home(&home)).await.map_err(anyhow::Error::from).flatten() {
            Ok(knowledge) => {
                info!(documents = knowledge.documents().len(), digest = knowledge.digest(), "documents are known");
                *self.guard.knowledge.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(knowledge));
            }
            Err(error) => warn!(error = format!("{error:#}"), "the documents of the home cannot be read: those before stay; citybrain know check says more"),
        }
        self.documents = documents;
    }

    /// The offset before which everything is answered.
    fn answered(&self) -> i64 {
        let waiting = self.waiting.keys().map(|(_, offset)| *offset).min();
        [waiting, self.asked.first().copied()].into_iter().flatten().min().unwrap_or(self.next)
    }

    /// Too many wait: the least urgent that came first are told that nobody will answer.
    async fn give_up(&mut self) -> Result<()> {
        let mut refused = Vec::new();
        while self.waiting.len() > WAITING_MAX {
            let Some((urgency, _)) = self.waiting.keys().next_back().copied() else { break };
            let Some(first) = self.waiting.range((urgency, i64::MIN)..).next().map(|(key, _)| *key) else { break };
            if let Some(request) = self.waiting.remove(&first) {
                refused.push(AgentAnswer { failed: Some("busy".to_owned()), ..empty(&request) });
            }
        }
        self.say(refused).await
    }

    async fn say(&self, answers: Vec<AgentAnswer>) -> Result<()> {
        let records: Vec<_> = answers.iter().map(|answer| (topics::ANSWER, event(answer).to_kafka())).collect();
        send(&self.producer, &records).await.context("could not produce to city.answer").map(drop)
    }

    fn keep(&self, next: i64) -> Result<()> {
        write_atomically(&self.file, &serde_json::to_vec(&Kept { next })?)
    }
}

fn event(answer: &AgentAnswer) -> Event {
    let mut event = Event::new(format!("answer-{}", answer.request), format!("citybrain/agents/{NAME}"), ANSWER);
    event.recorded_time = Some(Utc::now());
    event.partition_key = Some(answer.case.clone());
    event.causation_id = Some(answer.request.clone());
    event.data_content_type = Some("application/json".to_owned());
    event.data_classification = Some("internal".to_owned());
    event.data = Some(serde_json::to_vec(answer).expect("an answer has only text and integers").into());
    event
}

/// An answer that says nothing yet.
fn empty(request: &AgentRequest) -> AgentAnswer {
    AgentAnswer { request: request.id.clone(), case: request.case.clone(), ..AgentAnswer::default() }
}

/// Answers one request, as far as the model and the documents do.
pub async fn answer(backend: &dyn Backend, guard: &Guard, request: &AgentRequest) -> AgentAnswer {
    let began = Instant::now();
    let inbound = guard.filter.inward(&request.text);
    if inbound.to_people {
        let terms: Vec<&str> = inbound.found.iter().map(|found| found.term.as_str()).collect();
        return AgentAnswer { failed: Some(format!("the content filter leaves it to people: {}", terms.join(", "))), ..empty(request) };
    }
    let (city, knowledge) = (guard.city(), guard.knowledge());
    let mut asker = Asker::new(backend, Priority::ALL[usize::from(request.urgency.clamp(1, 4)) - 1], WITHIN);
    let mut told = empty(request);
    let is_zh = inbound.text.chars().any(text::is_han);
    for question in &request.questions {
        match choose(&mut asker, &inbound.text, question, is_zh).await {
            Ok(choice) => told.choices.extend(choice),
            Err(error) => told.failed = Some(error.to_string()),
        }
    }
    if request.elements && told.failed.is_none() {
        // A model of ours writes no title that is better than the reader's, and finds no place that the reader misses.
        let fills = backend.card().is_none_or(|card| card.dialect != Dialect::Native);
        match elements(&mut asker, &inbound.text, fills).await {
            Ok(said) => {
                let reader = city.as_ref().map(|city| &city.reader);
                let (kept, refused) = guard::form::kept(&guard.filter, reader, &guard.own, said, &inbound.text);
                if !refused.is_empty() {
                    // Not what it wrote: a log is no place for words that nobody may see.
                    warn!(case = request.case, reasons = refused.len(), "something that the language model wrote does not go on");
                }
                let both = match reader {
                    Some(reader) => guard::form::together(guard::form::found(&reader.read(&inbound.text, None), &inbound.text), kept, fills),
                    None => kept,
                };
                told.elements = Some(both).filter(|elements| *elements != Elements::default());
            }
            Err(error) => told.failed = Some(error.to_string()),
        }
    }
    match (&city, &knowledge) {
        (Some(city), Some(knowledge)) => {
            let today = (request.at + TimeDelta::minutes(brain::Config::default().utc_offset_minutes.into())).date_naive();
            let sources = Sources { graph: &city.graph, aliases: &city.aliases, knowledge, today };
            propose(sources, request, began, &mut told);
            brief::brief(Work { guard, sources, request, text: &inbound.text, began }, &mut asker, &mut told).await;
        }
        _ if request.brief.is_some() => told.lacking.push("there are no documents that can be read".to_owned()),
        _ => {}
    }
    let mut prompts = blake3::Hasher::new();
    for reply in &asker.replies {
        prompts.update(reply.prompt_digest.as_bytes());
    }
    told.tokens = asker.tokens();
    if let Some(reply) = asker.replies.last() {
        told.model.clone_from(&reply.card.model);
        told.digest.clone_from(&reply.card.digest);
        told.sampler = format!("{}; {}", reply.card.sampler, reply.card.build);
        told.prompt = prompts.finalize().to_hex().to_string();
    }
    told.latency_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
    told
}

/// A unit that was chosen is proposed, as an agent has to: what the gate does not let through is no choice.
fn propose(sources: Sources<'_>, request: &AgentRequest, began: Instant, told: &mut AgentAnswer) {
    let Some(question) = request.questions.iter().find(|question| question.task == Asked::Unit) else { return };
    let candidates: Vec<&str> = question.options.iter().map(|offer| offer.label.as_str()).collect();
    let Some(at) = told.choices.iter().position(|choice| choice.task == Asked::Unit) else { return };
    let (unit, permille) = (told.choices[at].label.clone(), told.choices[at].permille);
    let mut tools = Tools::of(Agent::Dispatch, &request.case, &candidates, true, sources, began, &mut told.calls);
    if !tools.propose(&unit, &format!("{permille} ‰ of {} candidates", candidates.len())) {
        told.choices.remove(at);
    }
}

async fn choose(asker: &mut Asker<'_>, text: &str, question: &Question, is_zh: bool) -> Result<Option<Choice>, AskError> {
    let said: Vec<&str> = question.options.iter().map(|offer| if is_zh { offer.zh.as_str() } else { offer.en.as_str() }).collect();
    let ranked = asker.elect(text, &said).await?;
    let label = |option: usize| question.options[option].label.clone();
    let Some((best, permille)) = ranked.first().copied() else { return Ok(None) };
    let runners_up = ranked[1..].iter().take(2).map(|(option, permille)| RunnerUp { label: label(*option), permille: *permille }).collect();
    Ok(Some(Choice { task: question.task, label: label(best), permille, runners_up }))
}

/// The elements of the form. An answer that did not pass its check is none; without a model there is an error.
async fn elements(asker: &mut Asker<'_>, text: &str, titles: bool) -> Result<Elements, AskError> {
    let mut elements = Elements::default();
    let refused = |error: llm::TaskError| AskError::Refused(error.to_string());
    match asker.ask(Task::extract(text).map_err(refused)?).await {
        Ok(Answer::Extract(found)) => {
            let words = |value: llm::answer::Value| value.span.map(|span| span.text);
            elements.address = words(found.address);
            elements.place = words(found.place);
            elements.time = words(found.time);
            elements.people = words(found.people);
            elements.thing = words(found.thing);
            elements.wish = words(found.wish);
        }
        Ok(_) | Err(AskError::Answer(_)) => {}
        Err(error) => return Err(error),
    }
    if !titles {
        return Ok(elements);
    }
    match asker.ask(Task::title(text).map_err(refused)?).await {
        Ok(Answer::Title(title)) => elements.title = Some(title),
        Ok(_) | Err(AskError::Answer(_)) => {}
        Err(error) => return Err(error),
    }
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use llm::answer::{Choice as Chosen, Extracted, Span, Value};
    use llm::wire::{End, Raw};
    use schemas::agent::{Brief, Errand, Offer};

    /// A model that likes an option with a word best, and letter A a little; or one that fails.
    #[derive(Default)]
    struct Fake {
        likes: &'static str,
        fails: Option<AskError>,
        /// What it writes as a reply; then it has a chat template.
        writes: Option<&'static str>,
    }

    #[async_trait::async_trait]
    impl Backend for Fake {
        async fn ask(&self, request: Request) -> Result<Reply, AskError> {
            if let Some(error) = &self.fails {
                return Err(error.clone());
            }
            let answer = match &request.task {
                Task::Choose { options, .. } => {
                    assert!((2..=llm::limits::OPTIONS_MAX).contains(&options.len()));
                    let weight = |(at, option): (usize, &String)| if option.contains(self.likes) { 800 } else if at == 0 { 100 } else { 20 };
                    let weights: Vec<u32> = options.iter().enumerate().map(weight).collect();
                    let all: u32 = weights.iter().sum();
                    Answer::Choose(Chosen { index: 0, shares_ppm: weights.iter().map(|weight| weight * 1_000_000 / all).collect(), mass_ppm: 1_000_000 })
                }
                Task::Extract(_) => Answer::Extract(Extracted { people: Value { span: Some(Span { text: "孩子".to_owned(), at: 0 }), logprob_micro: None }, ..Extracted::default() }),
                Task::Title(_) => return Err(AskError::Answer(llm::AnswerError::NoTitle)),
                Task::Free { .. } => Answer::Free(self.writes.expect("it has learnt to write").to_owned()),
                Task::Embed(_) => unreachable!("nobody asks that"),
            };
            let raw = Raw { text: String::new(), marks: Vec::new(), letters_micro: Vec::new(), vector: Vec::new(), end: End::Complete, tokens_in: 10, tokens_reused: 0, tokens_out: 1, first_us: 1, total_us: 1 };
            let card = self.card().unwrap_or(Card { dialect: Dialect::Native, ..told_card() });
            Ok(Reply { answer, raw, card, prompt_digest: "p".to_owned(), tries: 1, waited_us: 0, total_us: 1 })
        }

        fn card(&self) -> Option<Card> {
            self.writes.map(|_| told_card())
        }

        fn metrics(&self) -> Metrics {
            Metrics::default()
        }
    }

    fn told_card() -> Card {
        Card { model: "fake".to_owned(), digest: "0f".to_owned(), dialect: Dialect::Chat, sampler: "greedy".to_owned(), build: "test".to_owned() }
    }

    fn guard() -> Guard {
        let guard = Guard::of(Some(Graph::builtin()));
        *guard.knowledge.write().unwrap() = Some(Arc::new(Knowledge::builtin()));
        guard
    }

    fn request(options: usize) -> AgentRequest {
        let offer = |at: usize| Offer { label: format!("c{at}"), zh: format!("类别{at}号"), en: format!("category no {at}") };
        AgentRequest {
            id: "7-3".to_owned(),
            case: "case-000000000007".to_owned(),
            at: DateTime::UNIX_EPOCH,
            urgency: 3,
            text: "楼上跳绳，孩子没法睡".to_owned(),
            questions: vec![Question { task: Asked::Category, stands: "c0".to_owned(), options: (0..options).map(offer).collect() }],
            elements: true,
            brief: None,
            graph_version: "g".to_owned(),
            evidence: Vec::new(),
        }
    }

    #[tokio::test]
    async fn what_was_asked_is_answered_with_who_said_it() {
        for options in [2, 24] {
            let wanted = options - 1;
            let fake = Fake { likes: Box::leak(format!("类别{wanted}号").into_boxed_str()), ..Fake::default() };
            let answer = answer(&fake, &guard(), &request(options)).await;
            let choice = &answer.choices[0];
            assert_eq!((choice.label.as_str(), answer.failed), (format!("c{wanted}").as_str(), None), "{options}");
            assert!((600..=1000).contains(&choice.permille) && choice.runners_up.len() <= 2, "{choice:?}");
            assert_eq!((answer.model.as_str(), answer.digest.as_str(), answer.prompt.len()), ("fake", "0f", 64));
            assert_eq!(answer.elements.expect("some").people.as_deref(), Some("孩子"), "a title that is wrong is none");
        }
    }

    #[tokio::test]
    async fn without_a_model_the_answer_says_so() {
        for error in [AskError::Absent("it is gone".to_owned()), AskError::Deadline(WITHIN), AskError::Busy { waiting: 3 }] {
            let answer = answer(&Fake { fails: Some(error.clone()), ..Fake::default() }, &guard(), &request(3)).await;
            assert_eq!((answer.failed, answer.choices.len(), answer.elements, answer.tokens), (Some(error.to_string()), 0, None, 0));
        }
    }

    #[tokio::test]
    async fn what_the_filter_stops_reaches_no_model() {
        let fake = Fake { fails: Some(AskError::Absent("it was asked".to_owned())), ..Fake::default() };
        let answer = answer(&fake, &guard(), &AgentRequest { text: "楼上跳绳，再不管我要砍死你们".to_owned(), ..request(3) }).await;
        assert_eq!(answer.failed.as_deref(), Some("the content filter leaves it to people: threat-kill-zh"));
    }

    /// A citizen's question, on a day on which the documents hold.
    fn asks(text: &str, written: bool) -> AgentRequest {
        let brief = Some(Brief::Reply { place: Some("d03".to_owned()), written });
        AgentRequest { at: "2026-06-01T02:00:00Z".parse().unwrap(), text: text.to_owned(), questions: Vec::new(), elements: false, brief, ..request(2) }
    }

    /// The plan of a scenario as the brain asks about it.
    fn plan(graph: &Graph, id: &str) -> AgentRequest {
        let scenario = graph.scenario(id).expect("a scenario");
        let plan = graph.plan(&scenario.plan).expect("its plan");
        let errand = |task: &graph::Task| Errand {
            unit: task.unit.clone().unwrap_or_else(|| "emergency".to_owned()),
            level: "city".to_owned(),
            zh: task.task.zh.clone(),
            en: task.task.en.clone(),
            minutes: task.within_minutes,
        };
        let brief = Brief::Plan { scenario: id.to_owned(), plan: plan.id.clone(), name: plan.name.zh.clone(), basis: plan.basis.clone(), lead: scenario.unit.clone(), tasks: plan.tasks.iter().map(errand).collect() };
        AgentRequest { case: "incident-000000000007".to_owned(), brief: Some(brief), ..asks("", false) }
    }

    #[tokio::test]
    async fn a_question_is_answered_in_the_documents_words_or_not_at_all() {
        let guard = guard();
        for (text, section) in [("路灯不亮几天能修好", "proc-street-light#limits"), ("how long until a broken street lamp is repaired", "proc-street-light#limits")] {
            let told = answer(&Nobody, &guard, &asks(text, true)).await;
            let draft = told.draft.unwrap_or_else(|| panic!("{text}: {:?}", told.lacking));
            assert!(draft.cites.contains(&section.to_owned()) && draft.text.contains(&format!("[{section}]")), "{draft:?}");
            assert_eq!((draft.by.as_str(), draft.kind.as_str(), told.failed, told.knowledge.len()), ("rules", "reply", None, 64));
            assert!(told.citations.iter().any(|citation| citation.section == section && !citation.words.is_empty()));
            let calls: Vec<(&str, &str, bool)> = told.calls.iter().map(|call| (call.tool.as_str(), call.verdict.as_str(), call.tainted)).collect();
            assert_eq!(calls, [("search_knowledge", "run", true), ("draft_text", "waits", true)]);
            assert!(told.calls[0].found > 0);
        }
        for (text, at) in [("茅台跌成这样能不能抄底", "2026-06-01T02:00:00Z"), ("路灯不亮几天能修好", "2024-06-01T02:00:00Z")] {
            let told = answer(&Nobody, &guard, &AgentRequest { at: at.parse().unwrap(), ..asks(text, false) }).await;
            assert!(told.draft.is_none() && told.citations.is_empty() && told.lacking[0].contains("no document"), "{told:?}");
        }
        let bare = Guard::of(Some(Graph::builtin()));
        assert!(answer(&Nobody, &bare, &asks("路灯不亮几天能修好", false)).await.lacking[0].contains("no documents"));
    }

    #[tokio::test]
    async fn what_a_model_writes_is_taken_when_the_section_holds_it() {
        let guard = guard();
        let question = "路灯不亮几天能修好";
        for (writes, by) in [
            ("单灯故障3个工作日内修复。[proc-street-light#limits]", "fake"),
            ("单灯故障5个工作日内修复。[proc-street-light#limits]", "rules"),
            ("单灯故障3个工作日内修复。", "rules"),
            ("单灯故障3个工作日内修复。[law-gas#gas]", "rules"),
            ("市长亲自道歉并赔偿全部损失。[proc-street-light#limits]", "rules"),
        ] {
            let told = answer(&Fake { writes: Some(writes), ..Fake::default() }, &guard, &asks(question, true)).await;
            assert_eq!(told.draft.expect("a draft").by, by, "{writes}");
        }
        let told = answer(&Fake { writes: Some("单灯故障3个工作日内修复。[proc-street-light#limits]"), ..Fake::default() }, &guard, &asks(question, false)).await;
        assert_eq!((told.draft.expect("a draft").by.as_str(), told.tokens), ("rules", 0), "nobody asked it");
    }

    #[tokio::test]
    async fn the_text_of_each_plan_that_ships_says_what_the_graph_does() {
        let (guard, graph) = (guard(), Graph::builtin());
        let mut plans = 0;
        for scenario in graph.scenarios() {
            let told = answer(&Nobody, &guard, &plan(&graph, &scenario.id)).await;
            let draft = told.draft.unwrap_or_else(|| panic!("{}: {:?}", scenario.id, told.lacking));
            let tasks = graph.plan(&scenario.plan).expect("its plan").tasks.len();
            assert_eq!(draft.text.lines().filter(|line| line.contains('#')).count(), 2 * tasks, "{}", draft.text);
            assert_eq!((told.lacking.len(), draft.kind.as_str()), (0, "order"));
            assert!(draft.cites.iter().all(|cited| cited.starts_with(&scenario.plan)) && told.citations.iter().any(|citation| citation.section.starts_with("law-")), "{:?}", told.citations);
            assert!(told.calls.iter().all(|call| call.verdict != "refused" && !call.tainted), "{:?}", told.calls);
            assert!(["graph_walk", "search_knowledge", "draft_text"].iter().all(|tool| told.calls.iter().any(|call| call.tool == *tool)));
            plans += 1;
        }
        assert_eq!(plans, 9);
    }

    #[tokio::test]
    async fn a_plan_that_its_text_does_not_hold_is_no_draft() {
        let (guard, graph) = (guard(), Graph::builtin());
        let mut request = plan(&graph, "gas_explosion");
        if let Some(Brief::Plan { tasks, basis, .. }) = &mut request.brief {
            tasks[0].minutes = 45;
            basis.push("不存在的条例".to_owned());
        }
        let told = answer(&Nobody, &guard, &request).await;
        assert!(told.draft.is_none() && !told.citations.is_empty());
        assert!(told.lacking.iter().any(|it| it.contains("45分钟")) && told.lacking.iter().any(|it| it.contains("不存在的条例")), "{:?}", told.lacking);
    }

    #[tokio::test]
    async fn a_unit_is_chosen_when_the_gate_lets_it_be_proposed() {
        let offer = |label: &str, zh: &str| Offer { label: label.to_owned(), zh: zh.to_owned(), en: zh.to_owned() };
        for (label, stays) in [("environment", true), ("no-such-unit", false)] {
            let question = Question { task: Asked::Unit, stands: "duty-office".to_owned(), options: vec![offer("duty-office", "值班室"), offer(label, "环境局")] };
            let told = answer(&Fake { likes: "环境局", ..Fake::default() }, &guard(), &AgentRequest { questions: vec![question], elements: false, ..request(2) }).await;
            assert_eq!(told.choices.iter().any(|choice| choice.label == label), stays);
            assert_eq!((told.calls[0].tool.as_str(), told.calls[0].agent.as_str(), told.calls[0].verdict.as_str()), ("propose_dispatch", "dispatch", if stays { "waits" } else { "refused" }));
        }
    }
}
