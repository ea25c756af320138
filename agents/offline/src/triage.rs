//! `citybrain triage`: what each message of a file says. Rules first, then a small model, then a language model where one is named; what
//! none is sure of goes to a person.
//!
//! Each line has its line: one that cannot be read has its problem in `error`. Personal data are told by where they stand,
//! and masked in title and summary.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, NaiveDateTime};
use graph::{Graph, Here, When};
use guard::Filter;
use learn::{Input, Model, Scratch};
use llm::{AskError, Asker, Priority};
use schemas::pii::PiiSpan;
use serde::Serialize;
use text::{Reader, Reading, Span};

use crate::Context;
use crate::labelled::wall_time_us;
use crate::language::Language;
use crate::route::city;
use crate::store::Store;
use crate::table::{Output, Rows};

/// Labels that are told of a model's ranking.
const CANDIDATES: usize = 5;
/// Lines that are put to a language model together.
const TOGETHER: usize = 64;
/// From here on a language model's choice is taken, in thousandths.
const LLM_SURE_PERMILLE: u32 = 700;
/// How long one line may be with a language model.
const LLM_WITHIN: Duration = Duration::from_secs(120);
/// Least confidence of the graph's words that needs no model, in thousandths: one category's words and no other's.
const RULES_SURE_PERMILLE: u32 = 800;

/// What each message of a file says.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Messages: CSV, JSON lines or Parquet
    #[arg(long = "in", value_name = "FILE")]
    input: PathBuf,
    /// Answers: JSON lines, one for each line
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Columns of text, the title first
    #[arg(long, value_delimiter = ',', value_name = "COL", default_value = "text")]
    text: Vec<String>,
    /// Column that names a message; without it the number of the line
    #[arg(long, value_name = "COL")]
    id: Option<String>,
    /// Column of the time when it was written, for words like yesterday
    #[arg(long, value_name = "COL")]
    time: Option<String>,
    /// Name of a model of categories; without it the graph's words decide
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// A language model for what the small one is not sure of: none, the one in the box, or a file
    #[arg(long, value_name = "none|default|FILE.gguf", default_value = "none")]
    llm: String,
}

#[derive(Debug, Serialize)]
struct Answer<'a> {
    id: &'a str,
    category: Option<Category<'a>>,
    confidence: f32,
    tier: &'static str,
    candidates: &'a [Candidate],
    intent: Option<&'static str>,
    urgency: u8,
    risk_to_life: bool,
    place: Option<Place<'a>>,
    event_time: Option<String>,
    title: &'a str,
    summary: &'a str,
    spans: &'a [Span],
    unit: Option<&'a str>,
    injection: bool,
    pii: &'a [PiiSpan],
    language: Option<text::Language>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Category<'a> {
    label: &'a str,
    /// From the widest class to the label; one step where the labels know no deeper ones.
    path: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct Candidate {
    label: String,
    confidence: f32,
}

#[derive(Debug, Serialize)]
struct Place<'a> {
    text: &'a str,
    start: usize,
    end: usize,
    node: Option<&'a str>,
    lat: Option<f64>,
    lon: Option<f64>,
    alternatives: &'a [String],
}

impl Args {
    /// Writes a line for each line.
    ///
    /// # Errors
    /// A file that cannot be read or written, a column or a model that is not there, a language model that cannot be asked.
    pub fn run(&self, context: &Context) -> Result<()> {
        let graph = city(&context.home)?;
        let model = self.model.as_ref().map(|name| Store::open(&context.home).active(name)).transpose()?;
        let language = Language::open(context, &self.llm, 1)?;
        let mut triage = Triage::new(graph, model);
        let wanted: Vec<&str> = self.text.iter().chain(&self.id).chain(&self.time).map(String::as_str).collect();
        let mut output = Output::create(&self.out)?;
        let mut failed = None;
        let mut rows = Rows::open(&self.input, &wanted)?.peekable();
        while rows.peek().is_some() {
            let mut lines = Vec::new();
            for row in rows.by_ref().take(if language.is_some() { TOGETHER } else { 1 }) {
                let row = row?;
                let (texts, rest) = row.cells.split_at(self.text.len());
                let id = self.id.as_ref().map_or("", |_| &rest[0]);
                let id = if id.is_empty() { row.number.to_string() } else { id.to_owned() };
                let time = self.time.as_ref().and_then(|_| rest.last()).map_or("", String::as_str);
                lines.push(triage.line(id, texts, time, row.problem));
            }
            if let Some(language) = &language {
                failed = triage.ask(language, &mut lines).or(failed);
            }
            lines.iter().try_for_each(|line| output.json_line(&line.answer()))?;
        }
        if let Some(error) = failed {
            eprintln!("{}: {error}", context.t("有些行未得到语言模型的回答，留给人工", "some lines had no answer of the language model and are left to a person"));
        }
        output.finish()
    }
}

/// Graph, reader and model, and the memory that they need again and again.
pub(crate) struct Triage {
    graph: Graph,
    reader: Reader,
    model: Option<Model>,
    scratch: Scratch,
    joined: String,
}

impl Triage {
    pub(crate) fn new(graph: Graph, model: Option<Model>) -> Triage {
        Triage { reader: Reader::new(&graph), graph, model, scratch: Scratch::default(), joined: String::new() }
    }

    fn line(&mut self, id: String, texts: &[String], time: &str, problem: Option<String>) -> Line {
        self.joined.clear();
        for text in texts.iter().filter(|text| !text.is_empty()) {
            if !self.joined.is_empty() {
                self.joined.push('\n');
            }
            self.joined.push_str(text);
        }
        let error = problem.or_else(|| self.joined.trim().is_empty().then(|| "there is no text".to_owned()));
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let time_us = wall_time_us(time);
        let (reading, judged) = self.read(&texts, time_us);
        Line { id, text: self.joined.clone(), time: time.to_owned(), time_us, reading, judged, error }
    }

    /// Puts what nobody was sure of to a language model: a choice among the likeliest labels. What it is not sure of either, and what
    /// the content filter stops, stays with a person. Gives one of the reasons why lines had no answer, if some had none.
    fn ask(&self, language: &Language, lines: &mut [Line]) -> Option<AskError> {
        let doubtful = |line: &Line| line.judged.tier == "person" && line.error.is_none() && !line.reading.injection;
        let filter = Filter::builtin();
        let questions: Vec<(usize, String, Vec<String>, Vec<String>)> = lines.iter().enumerate().filter(|(_, line)| doubtful(line)).filter_map(|(at, line)| {
            let inbound = filter.inward(&line.text);
            if inbound.to_people {
                return None;
            }
            let labels = self.labels(line);
            let told = labels.iter().map(|label| self.told(label, line)).collect();
            Some((at, inbound.text, labels, told))
        }).collect();
        let asked = questions.iter().map(|(at, text, labels, told)| {
            let line = &lines[*at];
            async move {
                let options: Vec<&str> = told.iter().map(String::as_str).collect();
                let priority = Priority::ALL[usize::from(line.reading.urgency.clamp(1, 4)) - 1];
                (*at, labels, Asker::new(language.backend(), priority, LLM_WITHIN).elect(text, &options).await)
            }
        });
        let answers = language.wait(futures::future::join_all(asked));
        let mut failed = None;
        for (at, labels, ranked) in answers {
            match ranked {
                Ok(ranked) => {
                    let Some((best, permille)) = ranked.first().copied().filter(|(_, permille)| *permille >= LLM_SURE_PERMILLE) else { continue };
                    let line = &mut lines[at];
                    let share = |permille: u32| permille as f32 / 1000.0;
                    line.judged.tier = "llm";
                    line.judged.confidence = share(permille);
                    line.judged.label = Some(labels[best].clone());
                    line.judged.candidates = ranked.iter().take(CANDIDATES).map(|(option, permille)| Candidate { label: labels[*option].clone(), confidence: share(*permille) }).collect();
                    if self.graph.category(&labels[best]).is_some() {
                        line.judged.unit = Some(self.unit(&labels[best], &line.reading, line.time_us));
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        failed
    }

    /// What a language model may choose of: the model's likeliest labels, else the graph's categories that the words speak of, else
    /// all of them.
    fn labels(&self, line: &Line) -> Vec<String> {
        let mut labels: Vec<String> = line.judged.candidates.iter().map(|candidate| candidate.label.clone()).collect();
        if self.model.is_none() {
            labels.extend(self.graph.categories_in(&line.text).into_keys().map(str::to_owned));
            let all = self.graph.categories().map(|category| category.id.clone());
            if labels.is_empty() { labels.extend(all) } else { labels.push("other".to_owned()) }
        }
        let mut known = std::collections::BTreeSet::new();
        labels.retain(|label| known.insert(label.clone()));
        labels
    }

    /// What a label is, in the message's language.
    fn told(&self, label: &str, line: &Line) -> String {
        let zh = line.reading.language != text::Language::En;
        self.graph.category_told(label).map_or_else(|| label.to_owned(), |name| if zh { name.zh } else { name.en })
    }

    /// Everything that is to be said of a message: what the reader finds, and its category and unit.
    pub(crate) fn read(&mut self, texts: &[&str], time_us: Option<i64>) -> (Reading, Judged) {
        let local = time_us.and_then(DateTime::from_timestamp_micros).map(|time| time.naive_utc());
        let joined: &str = if let [text] = texts { text } else { &self.joined };
        let reading = self.reader.read(joined, local);
        let judged = self.judge(&reading, texts, time_us);
        (reading, judged)
    }

    /// What the reader finds, and no category by a model.
    pub(crate) fn only_read(&self, text: &str, time_us: Option<i64>) -> Reading {
        self.reader.read(text, time_us.and_then(DateTime::from_timestamp_micros).map(|time| time.naive_utc()))
    }

    fn judge(&mut self, reading: &Reading, texts: &[&str], time_us: Option<i64>) -> Judged {
        let rules = &reading.rules;
        let by_rules = rules.confidence_permille as f32 / 1000.0;
        let Some(model) = &self.model else {
            let known = rules.word.is_some();
            let tier = if rules.confidence_permille >= RULES_SURE_PERMILLE { "rules" } else { "person" };
            let others = reading.rivals.iter().take(CANDIDATES - 1).map(|label| Candidate { label: label.clone(), confidence: 0.0 });
            let candidates = if known { std::iter::once(Candidate { label: rules.category.clone(), confidence: by_rules }).chain(others).collect() } else { Vec::new() };
            let unit = known.then(|| self.unit(&rules.category, reading, time_us));
            return Judged { label: known.then(|| rules.category.clone()), confidence: if known { by_rules } else { 0.0 }, tier, candidates, unit };
        };
        let prediction = model.predict(&Input { texts, fields: &[], time_us }, &mut self.scratch);
        let candidates: Vec<Candidate> = prediction.ranked.iter().take(CANDIDATES).map(|(label, confidence)| Candidate { label: (*label).to_owned(), confidence: *confidence }).collect();
        let tier = if prediction.accepted { "small" } else { "person" };
        // A unit is owed by the graph's category: the model's label where it is one, else what the words say.
        let label = candidates.first().map(|first| first.label.clone());
        let known = label.as_deref().filter(|label| self.graph.category(label).is_some()).or(rules.word.as_ref().map(|_| rules.category.as_str()));
        let unit = known.map(|category| self.unit(category, reading, time_us));
        Judged { confidence: candidates.first().map_or(0.0, |first| first.confidence), label, tier, candidates, unit }
    }

    fn unit(&self, category: &str, reading: &Reading, time_us: Option<i64>) -> String {
        let place = reading.place.as_ref().and_then(|place| place.node.as_deref());
        // Without a time: noon of a working day that every duty of today knows.
        let moment = time_us.and_then(DateTime::from_timestamp_micros).or_else(|| DateTime::from_timestamp(1_767_700_800, 0)).unwrap_or_default();
        self.graph.who_owes(category, Here { place, point: None }, When::local(moment, 0)).unit
    }
}

/// A line of the file, and what was found in it.
struct Line {
    id: String,
    text: String,
    time: String,
    time_us: Option<i64>,
    reading: Reading,
    judged: Judged,
    error: Option<String>,
}

impl Line {
    fn answer(&self) -> Answer<'_> {
        let Line { id, time, reading, judged, error, .. } = self;
        Answer {
            id,
            category: judged.label.as_deref().map(|label| Category { path: vec![label], label }),
            confidence: judged.confidence,
            tier: if error.is_some() { "person" } else { judged.tier },
            candidates: &judged.candidates,
            intent: error.is_none().then(|| reading.wanted.intent.id()),
            urgency: reading.urgency,
            risk_to_life: reading.risk_to_life,
            place: reading.place.as_ref().map(|place| Place {
                text: &place.text,
                start: place.start,
                end: place.end,
                node: place.node.as_deref(),
                lat: place.lat,
                lon: place.lon,
                alternatives: &place.alternatives,
            }),
            event_time: reading.moment.as_ref().map(|moment| shown(moment.at, time)),
            title: &reading.title,
            summary: &reading.summary,
            spans: &reading.spans,
            unit: judged.unit.as_deref(),
            injection: reading.injection,
            pii: &reading.pii,
            language: error.is_none().then_some(reading.language),
            error: error.as_deref(),
        }
    }
}

/// The category of a message and who owes it.
#[derive(Debug)]
pub(crate) struct Judged {
    label: Option<String>,
    confidence: f32,
    tier: &'static str,
    candidates: Vec<Candidate>,
    unit: Option<String>,
}

/// A local time with the offset that the message's own time has, where it has one.
fn shown(at: NaiveDateTime, reference: &str) -> String {
    let offset = DateTime::parse_from_rfc3339(reference.trim()).ok().map(|time| *time.offset());
    match offset.and_then(|offset| at.and_local_timezone(offset).single()) {
        Some(at) => at.to_rfc3339(),
        None => at.format("%Y-%m-%dT%H:%M:%S").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(rows: &str, time: Option<&str>) -> Vec<serde_json::Value> {
        let folder = tempfile::tempdir().unwrap();
        let (input, out) = (folder.path().join("in.jsonl"), folder.path().join("out.jsonl"));
        std::fs::write(&input, rows).unwrap();
        let context = Context { home: folder.path().to_owned(), data: None, json: false, quiet: true, zh: false };
        let time = time.map(str::to_owned);
        Args { input, out: out.clone(), text: vec!["text".to_owned()], id: Some("id".to_owned()), time, model: None, llm: "none".to_owned() }.run(&context).unwrap();
        std::fs::read_to_string(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn each_line_has_its_line() {
        let rows = "{\"id\":\"a\",\"text\":\"昨晚八点中山大道88号路灯不亮\",\"at\":\"2026-01-05T09:00:00+08:00\"}\nno json\n{\"id\":\"c\",\"text\":\"\"}\n{\"id\":\"d\",\"text\":\"\\u0000😀\"}\n";
        let told = told(rows, Some("at"));
        assert_eq!(told.len(), 4);
        let first = &told[0];
        assert_eq!((first["category"]["label"].as_str(), first["tier"].as_str()), (Some("street_light"), Some("rules")));
        assert_eq!(first["event_time"], "2026-01-04T20:00:00+08:00");
        assert_eq!((first["place"]["start"].as_u64(), first["place"]["node"].as_str()), (Some(4), Some("d03-s1")));
        assert!(first["unit"].is_string());
        assert_eq!((told[1]["tier"].as_str(), told[1]["id"].as_str()), (Some("person"), Some("2")));
        assert!(told[1]["error"].as_str().unwrap().contains("no JSON"));
        assert_eq!(told[2]["error"], "there is no text");
        assert_eq!(told[3]["tier"], "person");
    }

    #[test]
    fn a_language_model_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context { home: folder.path().to_owned(), data: None, json: false, quiet: true, zh: false };
        let args = Args { input: "in.csv".into(), out: folder.path().join("out.jsonl"), text: vec!["text".to_owned()], id: None, time: None, model: None, llm: "no/such.gguf".to_owned() };
        let error = format!("{:#}", args.run(&context).unwrap_err());
        assert!(error.contains("no/such.gguf"), "{error}");
    }
}
