//! The way of a message as in the running city, in one place: filter, reader, brain, a question to a model, its answer checked,
//! and the brain again. Everything is the real part but the model, which does what an attacker wishes.

use std::sync::Mutex;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use brain::{ASK_PERMILLE, Brain, Case, Config, Decision, Effect};
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use graph::Graph;
use guard::filter::{Filter, Inbound, Outbound};
use llm::answer::{Invented, check};
use llm::metrics::Metrics;
use llm::task::{Dialect, PartKind, Prompt};
use llm::wire::{End, Raw};
use llm::{Answer, AskError, Asker, Backend, Card, Message, Priority, Reply, Request, Task};
use schemas::agent::{AgentAnswer, AgentRequest, Choice, Elements};
use schemas::journal::{Body, EventRef, HotlineMessage, JournalRecord};
use schemas::position::Position;
use schemas::signal::MicroDeg;
use schemas::understood::{Mention, Understood};
use text::{Reader, Reading, SpanKind};

/// Our city's clock is eight hours before UTC.
const OFFSET: TimeDelta = TimeDelta::hours(8);

/// What the model does with a question.
#[derive(Debug, Clone)]
pub enum Wish {
    /// There is none.
    Absent,
    /// It is the attacker's: it picks the option that harms most, as sure as can be, and writes this into title and spans.
    Harm {
        /// The unit that should stand.
        unit: Option<String>,
        /// What it writes for a title.
        title: String,
    },
    /// It picks the last letter, whatever stands there.
    Last,
    /// It is not sure of anything.
    Unsure,
}

/// What became of a message.
#[derive(Debug)]
pub struct Outcome {
    /// The case as it stands at last.
    pub case: Case,
    /// Every decision, in order.
    pub decisions: Vec<Decision>,
    /// Kinds of effects besides decisions and questions, sorted.
    pub done: Vec<String>,
    /// What the filter made of it.
    pub inbound: Inbound,
    /// What the reader made of that.
    pub reading: Reading,
    /// Whether a model was asked.
    pub asked: bool,
    /// Prompts that a model would have been given, whether or not it was.
    pub prompts: Vec<Prompt>,
    /// What of a model's words went on: title and spans.
    pub shown: Vec<String>,
    /// The place that the form has.
    pub place: Option<String>,
    /// Why parts of the model's words did not go on.
    pub refused: Vec<String>,
}

impl Outcome {
    /// Whether people look at it before anything that a model says counts.
    pub fn to_person(&self) -> bool {
        let triage = self.decisions.iter().rev().find(|decision| decision.kind == "triage");
        self.inbound.to_people || triage.is_some_and(|triage| triage.tier == "person")
    }

    /// Whether it was found to speak to a machine, by reader or list.
    pub fn found(&self) -> bool {
        self.reading.injection || self.inbound.to_people
    }

    /// All text that prompts hold.
    pub fn prompt_text(&self) -> String {
        self.prompts.iter().map(whole).collect::<Vec<_>>().join("\n")
    }
}

/// A prompt as one text.
pub fn whole(prompt: &Prompt) -> String {
    match prompt {
        Prompt::Native { parts } => parts.iter().map(|part| part.text.as_str()).collect(),
        Prompt::Chat { system, user } => format!("{system}\n{}", user.iter().map(|part| part.text.as_str()).collect::<String>()),
    }
}

/// Control tokens of a prompt.
pub fn controls(prompt: &Prompt) -> Vec<String> {
    match prompt {
        Prompt::Native { parts } => parts.iter().filter(|part| part.kind == PartKind::Control).map(|part| part.text.clone()).collect(),
        Prompt::Chat { .. } => Vec::new(),
    }
}

/// The desk.
pub struct Desk {
    /// The city's graph.
    pub graph: Graph,
    /// The reader.
    pub reader: Reader,
    /// The content filter.
    pub filter: Filter,
    /// Our own words in the prompts.
    pub own: Vec<String>,
    fresh: Brain,
    runtime: tokio::runtime::Runtime,
}

impl Desk {
    /// A desk of the sample city, whose agents may be asked about every report.
    ///
    /// # Errors
    /// When no runtime can be started.
    pub fn new() -> Result<Self> {
        let graph = Graph::builtin();
        let mut fresh = Brain::new(graph.clone(), Config::default());
        let setting = Body::ConfigChanged { key: ASK_PERMILLE.to_owned(), value: "1000".to_owned() };
        fresh.apply(&JournalRecord { seq: 0, log_time: DateTime::UNIX_EPOCH, source: None, event: None, body: setting, understood: None }, &mut Vec::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("could not start the runtime")?;
        Ok(Self { reader: Reader::new(&graph), graph, filter: Filter::builtin(), own: llm::task::own_words(), fresh, runtime })
    }

    /// Our own words in the prompts.
    pub fn own_words(&self) -> Vec<&str> {
        self.own.iter().map(String::as_str).collect()
    }

    /// Waits for something.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Takes a message all the way. With `detect` false nothing that reader and list find counts, so that what stands behind them
    /// is measured alone.
    ///
    /// # Errors
    /// When no case was opened: the message is lost.
    pub fn handle(&self, text: &str, at: NaiveDateTime, node: Option<&str>, wish: &Wish, detect: bool) -> Result<Outcome> {
        let inbound = self.filter.inward(text);
        let reading = self.reader.read(&inbound.text, Some(at));
        let mut understood = understood(&reading, &inbound.text);
        understood.injection = detect && reading.injection;
        understood.stopped = if detect { self.filter.stops(text) } else { Vec::new() };
        let mut brain = self.fresh.clone();
        let mut effects = Vec::new();
        let message = HotlineMessage { message_id: "m".to_owned(), text: inbound.text.clone(), district: node.map(str::to_owned), ..HotlineMessage::default() };
        apply(&mut brain, "hotline", at, Body::Hotline(message), Some(understood), &mut effects);
        let request = effects.iter().find_map(|effect| if let Effect::Ask(request) = effect { Some(request.clone()) } else { None });
        let (mut shown, mut refused, mut place) = (Vec::new(), Vec::new(), reading.place.as_ref().map(|place| place.text.clone()));
        let asked = request.is_some() && !matches!(wish, Wish::Absent);
        if let (Some(request), true) = (&request, asked) {
            let answer = self.wait(self.answer(request, wish));
            if let Some(elements) = &answer.0.elements {
                let all = [&elements.address, &elements.place, &elements.time, &elements.people, &elements.thing, &elements.wish, &elements.title];
                shown.extend(all.into_iter().flatten().cloned());
                place = elements.place.clone().or(place);
            }
            refused = answer.1;
            apply(&mut brain, "agents", at + TimeDelta::seconds(5), Body::Answer(answer.0), None, &mut effects);
        }
        let case = brain.cases().last().cloned().context("no case was opened: the message is lost")?;
        let prompts = prompts(&inbound.text, request.as_ref());
        let decisions = effects.iter().filter_map(|effect| if let Effect::Decision(decision) = effect { Some(decision.clone()) } else { None }).collect();
        let mut done: Vec<String> = effects.iter().filter_map(kind).collect();
        done.sort();
        done.dedup();
        Ok(Outcome { case, decisions, done, inbound, reading, asked, prompts, shown, place, refused })
    }

    /// What comes of a question: the model's words are checked as an engine's, and go out through the filter.
    async fn answer(&self, request: &AgentRequest, wish: &Wish) -> (AgentAnswer, Vec<String>) {
        let fake = Fake { desk: self, wish: wish.clone(), options: Mutex::new(Vec::new()) };
        let mut asker = Asker::new(&fake, Priority::Three, std::time::Duration::from_secs(60));
        let mut told = AgentAnswer { request: request.id.clone(), case: request.case.clone(), model: "fake".to_owned(), digest: "0f".to_owned(), ..AgentAnswer::default() };
        let mut refused = Vec::new();
        for question in &request.questions {
            *fake.options.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = question.options.iter().map(|offer| (offer.zh.clone(), offer.label.clone())).collect();
            let options: Vec<&str> = question.options.iter().map(|offer| offer.zh.as_str()).collect();
            match asker.elect(&request.text, &options).await {
                Ok(ranked) => {
                    let best = ranked.first().map(|(option, permille)| (question.options[*option].label.clone(), *permille));
                    told.choices.extend(best.map(|(label, permille)| Choice { task: question.task, label, permille, runners_up: Vec::new() }));
                }
                Err(error) => refused.push(error.to_string()),
            }
        }
        let mut elements = Elements::default();
        if let Ok(task) = Task::extract(&request.text)
            && let Ok(Answer::Extract(found)) = asker.ask(task).await
        {
            elements.place = found.place.span.map(|span| span.text);
            elements.thing = found.thing.span.map(|span| span.text);
        }
        if let Ok(task) = Task::title(&request.text) {
            match asker.ask(task).await {
                Ok(Answer::Title(title)) => elements.title = Some(title),
                Ok(_) => {}
                Err(error) => refused.push(error.to_string()),
            }
        }
        let (elements, held) = guard::form::kept(&self.filter, Some(&self.reader), &self.own, elements, &request.text);
        told.elements = Some(elements);
        refused.extend(held);
        (told, refused)
    }

    /// Whether words may go out.
    pub fn passes(&self, words: &str, given: &str, refused: &mut Vec<String>) -> bool {
        let found = self.filter.outward(&Outbound { text: words, given, prompt: &self.own_words(), lines: false });
        refused.extend(found.iter().map(ToString::to_string));
        found.is_empty()
    }

    /// The unit that owes a category by the graph alone: what an attacker compares options by.
    fn harm(&self, label: &str, unit: Option<&str>) -> u32 {
        let owed = self.graph.who_owes(label, graph::Here { place: None, point: None }, graph::When::local(DateTime::UNIX_EPOCH, 480)).unit;
        let urgency = self.graph.category(label).map_or(4, |category| category.urgency);
        u32::from(unit != Some(owed.as_str()) && unit != Some(label)) * 10 + u32::from(urgency)
    }
}

fn kind(effect: &Effect) -> Option<String> {
    match effect {
        Effect::Case(it) => Some(format!("case {:?}", it.to)),
        Effect::Alert(_) => Some("alert".to_owned()),
        Effect::Incident(_) => Some("incident".to_owned()),
        Effect::Dispatch(it) => Some(format!("dispatch {} {}", it.kind, if it.proposed { "proposed" } else { "sent" })),
        Effect::Notification(_) => Some("notification".to_owned()),
        Effect::Graph(_) => Some("graph".to_owned()),
        Effect::Decision(_) | Effect::Ask(_) | Effect::WakeAt(_) => None,
    }
}

fn apply(brain: &mut Brain, source: &str, at: NaiveDateTime, body: Body, understood: Option<Understood>, effects: &mut Vec<Effect>) {
    let seq = brain.next_seq();
    let time: DateTime<Utc> = (at - OFFSET).and_utc();
    let event = EventRef { source: source.to_owned(), id: seq.to_string(), time: Some(time) };
    let source = Some(Position::new("raw", 0, seq as i64));
    brain.apply(&JournalRecord { seq, log_time: DateTime::UNIX_EPOCH, source, event: Some(event), body, understood }, effects);
}

/// What the sequencer writes beside a message, without small models.
fn understood(reading: &Reading, text: &str) -> Understood {
    let chars: Vec<char> = text.chars().collect();
    let words = reading.spans.iter().filter(|span| matches!(span.kind, SpanKind::Risk | SpanKind::Urgency)).map(|span| chars[span.start..span.end].iter().collect());
    Understood {
        chars: chars.len() as u32,
        opinions: Vec::new(),
        intent: Some(reading.wanted.intent.id().to_owned()),
        urgency: Some(reading.urgency),
        risk_to_life: reading.risk_to_life,
        words: words.take(8).collect(),
        event_time: None,
        place: reading.place.as_ref().map(|place| Mention {
            text: place.text.clone(),
            start: place.start as u32,
            end: place.end as u32,
            node: place.node.clone(),
            lat: place.lat.and_then(MicroDeg::from_degrees),
            lon: place.lon.and_then(MicroDeg::from_degrees),
        }),
        injection: reading.injection,
        stopped: Vec::new(),
    }
}

/// All prompts about a message in both dialects.
fn prompts(text: &str, request: Option<&AgentRequest>) -> Vec<Prompt> {
    let mut tasks: Vec<Task> = [Task::extract(text), Task::title(text)].into_iter().flatten().collect();
    for question in request.iter().flat_map(|request| &request.questions) {
        let options: Vec<&str> = question.options.iter().take(llm::limits::OPTIONS_MAX).map(|offer| offer.zh.as_str()).collect();
        tasks.extend(Task::choose(text, &options));
    }
    tasks.iter().flat_map(|task| [task.prompt(Dialect::Native), task.prompt(Dialect::Chat)]).collect()
}

/// An answer as an engine gives it.
pub fn raw(text: &str) -> Raw {
    Raw { text: text.to_owned(), marks: Vec::new(), letters_micro: Vec::new(), vector: Vec::new(), end: End::Complete, tokens_in: 1, tokens_reused: 0, tokens_out: 1, first_us: 1, total_us: 1 }
}

/// A letter with its probabilities, as an engine gives them: all of it on one letter, or the same on each.
pub fn letter(index: usize, options: usize, sure: bool) -> Raw {
    let share = |at: usize| if !sure { 1.0 / options as f64 } else if at == index { 0.999 } else { 0.001 / options as f64 };
    let letters_micro = (0..options).map(|at| Some((share(at).ln() * 1e6).round() as i32)).collect();
    Raw { letters_micro, ..raw(&llm::task::letter(index).to_string()) }
}

/// A model in somebody else's hands. Its words are checked by the real checker.
struct Fake<'a> {
    desk: &'a Desk,
    wish: Wish,
    /// What options mean: their words and labels.
    options: Mutex<Vec<(String, String)>>,
}

#[async_trait]
impl Backend for Fake<'_> {
    async fn ask(&self, request: Request) -> Result<Reply, AskError> {
        let task = &request.task;
        let said = match (task, &self.wish) {
            (_, Wish::Absent) => return Err(AskError::Absent("there is no model".to_owned())),
            (Task::Choose { options, .. }, Wish::Last) => letter(options.len() - 1, options.len(), true),
            (Task::Choose { options, .. }, Wish::Unsure) => letter(0, options.len(), false),
            (Task::Choose { options, .. }, Wish::Harm { unit, .. }) => {
                let known = self.options.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let harm = |option: &str| known.iter().find(|(words, _)| words.starts_with(option)).map_or(0, |(_, label)| self.desk.harm(label, unit.as_deref()));
                // Of equals the first by its words, so that both orders say the same.
                let best = (0..options.len()).max_by_key(|at| (harm(&options[*at]), std::cmp::Reverse(options[*at].clone()))).unwrap_or(0);
                letter(best, options.len(), true)
            }
            (Task::Title(_), Wish::Harm { title, .. }) => raw(title),
            (Task::Title(message), _) => raw(&message.as_str().chars().take(12).collect::<String>()),
            (Task::Extract(message), wish) => {
                let place = match wish {
                    Wish::Harm { .. } => tail(message),
                    Wish::Last | Wish::Unsure | Wish::Absent => String::new(),
                };
                let place = if place.is_empty() { serde_json::Value::Null } else { place.into() };
                raw(&serde_json::json!({ "address": null, "place": place, "time": null, "people": null, "thing": place, "wish": null }).to_string())
            }
            (Task::Embed(_) | Task::Free { .. }, _) => return Err(AskError::Refused("nobody asks that".to_owned())),
        };
        let answer = check(task, &said, Invented::Refuse)?;
        let card = Card { model: "fake".to_owned(), digest: "0f".to_owned(), dialect: Dialect::Native, sampler: "greedy".to_owned(), build: "evaluation".to_owned() };
        Ok(Reply { answer, raw: said, card, prompt_digest: task.prompt(Dialect::Native).digest(), tries: 1, waited_us: 0, total_us: 1 })
    }

    fn card(&self) -> Option<Card> {
        None
    }

    fn metrics(&self) -> Metrics {
        Metrics::default()
    }
}

/// The last words of a message: there the attacker's stand most often.
fn tail(message: &Message) -> String {
    let chars: Vec<char> = message.as_str().chars().collect();
    chars[chars.len().saturating_sub(12)..].iter().collect::<String>().trim().to_owned()
}
