//! `citybrain triage`: what each message of a file says. Rules first, then a small model; what neither is sure of goes to a
//! person.
//!
//! Each line has its line: one that cannot be read has its problem in `error`. Personal data are told by where they stand,
//! and masked in title and summary.

use std::path::PathBuf;

use anyhow::{Result, bail};
use chrono::{DateTime, NaiveDateTime};
use graph::{Graph, Here, When};
use learn::{Input, Model, Scratch};
use schemas::pii::PiiSpan;
use serde::Serialize;
use text::{Reader, Reading, Span};

use crate::Context;
use crate::labelled::wall_time_us;
use crate::route::city;
use crate::store::Store;
use crate::table::{Output, Rows};

/// Labels that are told of a model's ranking.
const CANDIDATES: usize = 5;
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
    /// A language model for what the small one is not sure of: none, so far
    #[arg(long, value_name = "none|default|FILE.gguf", default_value = "none")]
    llm: String,
}

#[derive(Debug, Serialize)]
struct Answer<'a> {
    id: String,
    category: Option<Category>,
    confidence: f32,
    tier: &'static str,
    candidates: Vec<Candidate>,
    intent: Option<&'static str>,
    urgency: u8,
    risk_to_life: bool,
    place: Option<Place<'a>>,
    event_time: Option<String>,
    title: &'a str,
    summary: &'a str,
    spans: &'a [Span],
    unit: Option<String>,
    injection: bool,
    pii: &'a [PiiSpan],
    language: Option<text::Language>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Category {
    label: String,
    /// From the widest class to the label; one step where the labels know no deeper ones.
    path: Vec<String>,
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
    /// A file that cannot be read or written, a column or a model that is not there, a language model.
    pub fn run(&self, context: &Context) -> Result<()> {
        if self.llm != "none" {
            bail!("--llm {}: {}", self.llm, context.t("尚无语言模型，请用 --llm none", "there is no language model yet; use --llm none"));
        }
        let graph = city(&context.home)?;
        let model = self.model.as_ref().map(|name| Store::open(&context.home).active(name)).transpose()?;
        let mut triage = Triage::new(graph, model);
        let wanted: Vec<&str> = self.text.iter().chain(&self.id).chain(&self.time).map(String::as_str).collect();
        let mut output = Output::create(&self.out)?;
        for row in Rows::open(&self.input, &wanted)? {
            let row = row?;
            let (texts, rest) = row.cells.split_at(self.text.len());
            let id = self.id.as_ref().map_or("", |_| &rest[0]);
            let id = if id.is_empty() { row.number.to_string() } else { id.to_owned() };
            let time = self.time.as_ref().and_then(|_| rest.last());
            triage.answer(id, texts, time.map_or("", String::as_str), row.problem, |answer| output.json_line(answer))?;
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

    fn answer(&mut self, id: String, texts: &[String], time: &str, problem: Option<String>, tell: impl FnOnce(&Answer) -> Result<()>) -> Result<()> {
        self.joined.clear();
        for text in texts.iter().filter(|text| !text.is_empty()) {
            if !self.joined.is_empty() {
                self.joined.push('\n');
            }
            self.joined.push_str(text);
        }
        let error = problem.or_else(|| self.joined.trim().is_empty().then(|| "there is no text".to_owned()));
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (reading, sorted) = self.read(&texts, wall_time_us(time));
        let unit = sorted.unit.clone();
        tell(&Answer {
            id,
            category: sorted.label.map(|label| Category { path: vec![label.clone()], label }),
            confidence: sorted.confidence,
            tier: if error.is_some() { "person" } else { sorted.tier },
            candidates: sorted.candidates,
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
            unit,
            injection: reading.injection,
            pii: &reading.pii,
            language: error.is_none().then_some(reading.language),
            error,
        })
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
    fn a_language_model_is_refused_until_there_is_one() {
        let context = Context { home: ".".into(), data: None, json: false, quiet: true, zh: false };
        let args = Args { input: "in.csv".into(), out: "out.jsonl".into(), text: vec!["text".to_owned()], id: None, time: None, model: None, llm: "default".to_owned() };
        assert!(args.run(&context).unwrap_err().to_string().contains("--llm none"));
    }
}
