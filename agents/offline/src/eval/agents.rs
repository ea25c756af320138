//! `eval agents`: what a language model adds to rules and words, on messages that were written and labelled by hand and that nothing
//! was trained on (`agents/evaluation`).
//!
//! The category is asked as the running brain asks it: only where the graph's words are not sure, among the same options. The unit
//! is chosen among candidates that one could mistake for each other; the elements of the form are cut out of the text. The model
//! is the one in the box, or the file that `CITYBRAIN_LLM` names; without one the baselines stand alone, and that is said.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use chrono::{NaiveDateTime, TimeZone, Utc};
use graph::{Graph, Here, When};
use llm::task::Dialect;
use llm::{Answer, AskError, Asker, Card, Priority, Task};
use schemas::agent::Elements;
use serde::{Deserialize, Deserializer, Serialize};
use text::{Reader, Reading};

use super::MESSAGES;
use crate::Context;
use crate::language::{Language, named_model};

/// Words of the graph that are surer than this are not doubted, as in the brain.
const WORDS_SURE_PERMILLE: u32 = 800;
/// A choice from here on decides, as in the brain.
const SURE_PERMILLE: u32 = 700;
const WITHIN: Duration = Duration::from_secs(600);
/// Rows that are with the model together.
const TOGETHER: usize = 32;
const SLOTS: [&str; 6] = ["address", "place", "time", "people", "thing", "wish"];

#[derive(Debug, Deserialize)]
struct Row {
    lang: String,
    text: String,
    #[serde(deserialize_with = "minute")]
    at: NaiveDateTime,
    node: Option<String>,
    category: String,
    acceptable: Vec<String>,
    spans: std::collections::BTreeMap<String, Option<String>>,
    unit: Option<String>,
    acceptable_units: Vec<String>,
    confusable_units: Vec<String>,
    title: String,
}

/// A minute by the city's clock, such as `2026-05-26T14:17`.
fn minute<'de, D: Deserializer<'de>>(from: D) -> Result<NaiveDateTime, D::Error> {
    let text = String::deserialize(from)?;
    NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M").map_err(serde::de::Error::custom)
}

impl Row {
    fn is_category(&self, label: &str) -> bool {
        self.category == label || self.acceptable.iter().any(|known| known == label)
    }

    fn is_unit(&self, label: &str) -> bool {
        self.unit.as_deref() == Some(label) || self.acceptable_units.iter().any(|known| known == label)
    }
}

/// What a model said of a row.
#[derive(Debug, Default)]
struct Said {
    /// Categories with their shares, where it was asked.
    category: Option<Vec<(String, u32)>>,
    unit: Option<(String, u32)>,
    slots: Option<Elements>,
    title: Option<String>,
    failed: Vec<String>,
    tokens: u64,
    took: Duration,
}

/// A figure beside its baseline.
#[derive(Debug, Serialize)]
struct Figure {
    what: String,
    rows: usize,
    baseline: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    with_model: Option<f64>,
    /// Reader and model together, as the running brain fills the form.
    #[serde(skip_serializing_if = "Option::is_none")]
    cascade: Option<f64>,
}

/// A point of the curve of coverage, accuracy and cost.
#[derive(Debug, Serialize)]
struct Point {
    sure_from: u32,
    decided: f64,
    right_of_decided: f64,
    asked: f64,
}

#[derive(Debug, Serialize)]
struct Document {
    evaluation: &'static str,
    model: Option<String>,
    figures: Vec<Figure>,
    curve: Vec<Point>,
    failed: usize,
    tokens_per_message: f64,
    seconds_per_message: f64,
}

/// Measures and prints.
///
/// # Errors
/// When the model that is named cannot be asked.
pub fn run(context: &Context) -> Result<()> {
    let rows: Vec<Row> = MESSAGES.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("agents/evaluation/messages.jsonl is damaged")?;
    let graph = Graph::builtin();
    let reader = Reader::new(&graph);
    let readings: Vec<Reading> = rows.iter().map(|row| reader.read(&row.text, Some(row.at))).collect();
    let named = named_model(context)?;
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4) as u32);
    let language = named.map(|file| Language::open(context, &file.to_string_lossy(), threads)).transpose()?.flatten();
    let said = language.as_ref().map(|language| ask(context, language, &graph, &rows, &readings));
    let document = judge(&graph, &rows, &readings, said.as_deref(), language.as_ref().map(|language| language.card()));
    if context.json {
        println!("{}", serde_json::to_string_pretty(&document).context("figures can be written")?);
    } else {
        print(context, &document);
    }
    Ok(())
}

fn print(context: &Context, document: &Document) {
    match &document.model {
        Some(model) => println!("{}: {model}", context.t("语言模型", "language model")),
        None => println!("{}", context.t("没有语言模型：只列基线", "no language model: the baselines alone")),
    }
    println!("{:<60} {:>6} {:>10} {:>10} {:>10}", "", context.t("条数", "rows"), context.t("基线", "baseline"), context.t("模型", "model"), context.t("级联", "cascade"));
    for figure in &document.figures {
        let model = figure.with_model.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
        let cascade = figure.cascade.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
        println!("{:<60} {:>6} {:>10.3} {:>10} {:>10}", figure.what, figure.rows, figure.baseline, model, cascade);
    }
    for point in &document.curve {
        println!(
            "{} {:>4}: {} {:.3}, {} {:.3}, {} {:.3}",
            context.t("置信阈值", "sure from"), point.sure_from, context.t("自动决定", "decided"), point.decided, context.t("其中正确", "right of these"), point.right_of_decided,
            context.t("询问模型", "asked"), point.asked
        );
    }
    if document.model.is_some() {
        println!(
            "{} {}; {:.0} {}; {:.2} s",
            context.t("无有效回答", "without a valid answer:"), document.failed, document.tokens_per_message, context.t("词元/条", "tokens a message"), document.seconds_per_message
        );
    }
}

fn ask(context: &Context, language: &Language, graph: &Graph, rows: &[Row], readings: &[Reading]) -> Vec<Said> {
    let bar = context.progress(rows.len() as u64, context.t("询问", "asking"));
    let mut said = Vec::new();
    for (rows, readings) in rows.chunks(TOGETHER).zip(readings.chunks(TOGETHER)) {
        let asked = rows.iter().zip(readings).map(|(row, reading)| one(language, graph, row, reading));
        said.extend(language.wait(futures::future::join_all(asked)));
        bar.inc(rows.len() as u64);
    }
    bar.finish_and_clear();
    said
}

async fn one(language: &Language, graph: &Graph, row: &Row, reading: &Reading) -> Said {
    let began = Instant::now();
    let mut asker = Asker::new(language.backend(), Priority::Three, WITHIN);
    let mut said = Said::default();
    let told = |name: graph::Name| if row.lang == "zh" { name.zh } else { name.en };
    if reading.rules.confidence_permille < WORDS_SURE_PERMILLE && !reading.injection {
        let labels = options(graph, &row.text, &reading.rules.category);
        let texts: Vec<String> = labels.iter().filter_map(|label| graph.category_told(label).map(told)).collect();
        match asker.elect(&row.text, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await {
            Ok(ranked) => said.category = Some(ranked.into_iter().map(|(option, permille)| (labels[option].clone(), permille)).collect()),
            Err(error) => said.failed.push(error.to_string()),
        }
    }
    if row.unit.is_some() && row.confusable_units.len() > 1 {
        let texts: Vec<String> = row.confusable_units.iter().map(|unit| graph.unit_told(unit).map_or_else(|| unit.clone(), told)).collect();
        match asker.elect(&row.text, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await {
            Ok(ranked) => said.unit = ranked.first().map(|(option, permille)| (row.confusable_units[*option].clone(), *permille)),
            Err(error) => said.failed.push(error.to_string()),
        }
    }
    match extract(&mut asker, &row.text).await {
        Ok(slots) => said.slots = Some(slots),
        Err(error) => said.failed.push(error.to_string()),
    }
    match title(&mut asker, &row.text).await {
        Ok(title) => said.title = Some(title),
        Err(error) => said.failed.push(error.to_string()),
    }
    said.tokens = asker.replies.iter().map(|reply| u64::from(reply.raw.tokens_in) + u64::from(reply.raw.tokens_out)).sum();
    said.took = began.elapsed();
    said
}

async fn extract(asker: &mut Asker<'_>, text: &str) -> Result<Elements, AskError> {
    let task = Task::extract(text).map_err(|error| AskError::Refused(error.to_string()))?;
    let Answer::Extract(found) = asker.ask(task).await? else { return Err(AskError::Refused("it answered something else".to_owned())) };
    let [address, place, time, people, thing, wish] = [found.address, found.place, found.time, found.people, found.thing, found.wish].map(|value| value.span.map(|span| span.text));
    Ok(Elements { address, place, time, people, thing, wish, title: None })
}

async fn title(asker: &mut Asker<'_>, text: &str) -> Result<String, AskError> {
    let task = Task::title(text).map_err(|error| AskError::Refused(error.to_string()))?;
    let Answer::Title(title) = asker.ask(task).await? else { return Err(AskError::Refused("it answered something else".to_owned())) };
    Ok(title)
}

/// What the brain would offer: the rules' category, those whose words the text has, and `other`; all where no word says anything.
fn options<'a>(graph: &'a Graph, text: &str, stands: &'a str) -> Vec<String> {
    let mut known = BTreeSet::new();
    graph.may_be(text, [stands]).into_iter().filter(|label| known.insert(*label)).map(str::to_owned).collect()
}

fn judge(graph: &Graph, rows: &[Row], readings: &[Reading], said: Option<&[Said]>, card: Option<&Card>) -> Document {
    // As the running brain takes it: a model of ours fills no gaps of the reader's.
    let fills = card.is_some_and(|card| card.dialect != Dialect::Native);
    let share = |right: usize, all: usize| right as f64 / all.max(1) as f64;
    let of = |at: usize| said.map(|said| &said[at]);
    let mut figures = Vec::new();
    let mut put = |what: &str, rows: usize, baseline: f64, with_model: Option<f64>, cascade: Option<f64>| figures.push(Figure { what: what.to_owned(), rows, baseline, with_model, cascade });
    let mut figure = |what: &str, rows: usize, baseline: f64, with_model: Option<f64>| put(what, rows, baseline, with_model, None);

    // Categories: what stands by rules, and what stands when the model has spoken.
    let ruled: Vec<bool> = rows.iter().zip(readings).map(|(row, reading)| row.is_category(&reading.rules.category)).collect();
    let stands = |at: usize, from: u32| {
        let best = of(at).and_then(|said| said.category.as_ref()?.first()).filter(|(_, permille)| *permille >= from);
        best.map_or(ruled[at], |(label, _)| rows[at].is_category(label))
    };
    let count = |which: &dyn Fn(usize) -> bool, right: &dyn Fn(usize) -> bool| (0..rows.len()).filter(|at| which(*at) && right(*at)).count();
    let asked = |at: usize| readings[at].rules.confidence_permille < WORDS_SURE_PERMILLE && !readings[at].injection;
    let groups: [(&str, &dyn Fn(usize) -> bool); 4] =
        [("category, all", &|_| true), ("category, where words are in doubt", &asked), ("category, 中文", &|at| rows[at].lang == "zh"), ("category, English", &|at| rows[at].lang == "en")];
    for (what, which) in groups {
        let all = count(which, &|_| true);
        let with_model = said.map(|_| share(count(which, &|at| stands(at, SURE_PERMILLE)), all));
        figure(what, all, share(count(which, &|at| ruled[at]), all), with_model);
    }

    let doubted = count(&asked, &|_| true);
    let first = said.map(|_| share(count(&asked, &|at| stands(at, 0)), doubted));
    figure("category, the model's first choice where words are in doubt", doubted, share(count(&asked, &|at| ruled[at]), doubted), first);

    // Units among candidates: whose duty the graph says it is by the rules' category, and words in common.
    let with_units: Vec<usize> = (0..rows.len()).filter(|at| rows[*at].unit.is_some() && rows[*at].confusable_units.len() > 1).collect();
    let owed = |at: usize| {
        let moment = Utc.from_utc_datetime(&rows[at].at);
        graph.who_owes(&readings[at].rules.category, Here { place: rows[at].node.as_deref(), point: None }, When::local(moment, 0)).unit
    };
    let words = |at: usize| {
        let row = &rows[at];
        let text = pieces(&row.text);
        let common = |unit: &str| graph.unit_told(unit).map_or(0, |name| pieces(&format!("{} {}", name.zh, name.en)).intersection(&text).count());
        row.confusable_units.iter().max_by_key(|unit| common(unit)).cloned().unwrap_or_default()
    };
    let right = |which: &dyn Fn(usize) -> Option<String>| share(with_units.iter().filter(|at| which(**at).is_some_and(|unit| rows[**at].is_unit(&unit))).count(), with_units.len());
    let chosen = |at: usize| of(at).and_then(|said| said.unit.as_ref().map(|(unit, _)| unit.clone()));
    figure("unit among candidates (baseline: rules and graph)", with_units.len(), right(&|at| Some(owed(at))), said.map(|_| right(&chosen)));
    figure("unit among candidates (baseline: words in common)", with_units.len(), right(&|at| Some(words(at))), said.map(|_| right(&chosen)));

    // Elements: exactly, and overlapping by half of their characters at least.
    let read: Vec<Elements> = rows.iter().zip(readings).map(|(row, reading)| guard::form::found(reading, &row.text)).collect();
    let slots = |at: usize| of(at).and_then(|said| said.slots.clone()).unwrap_or_default();
    let together: Vec<Elements> = (0..rows.len()).map(|at| guard::form::together(read[at].clone(), slots(at), fills)).collect();
    for name in SLOTS {
        let truth = |at: usize| rows[at].spans.get(name).cloned().flatten().map(|span| flat(&span));
        let (baseline, model, cascade) = (|at: usize| field(&read[at], name), |at: usize| field(&slots(at), name), |at: usize| field(&together[at], name));
        for (how, least) in [("exactly", 1.0), ("overlapping", 0.5)] {
            let f1 = |found: &dyn Fn(usize) -> Option<String>| {
                let (mut hits, mut told, mut there) = (0, 0, 0);
                for at in 0..rows.len() {
                    let (found, truth) = (found(at).map(|it| flat(&it)), truth(at));
                    told += usize::from(found.is_some());
                    there += usize::from(truth.is_some());
                    hits += usize::from(found.zip(truth).is_some_and(|(found, truth)| overlap(&found, &truth) >= least));
                }
                2.0 * hits as f64 / (told + there).max(1) as f64
            };
            let there = (0..rows.len()).filter(|at| truth(*at).is_some()).count();
            put(&format!("{name}, {how} (F1)"), there, f1(&baseline), said.map(|_| f1(&model)), said.map(|_| f1(&cascade)));
        }
    }
    let likeness = |title: &dyn Fn(usize) -> Option<String>| (0..rows.len()).map(|at| title(at).map_or(0.0, |title| overlap(&flat(&title), &flat(&rows[at].title)))).sum::<f64>() / rows.len().max(1) as f64;
    let by_model = said.map(|_| likeness(&|at| of(at).and_then(|said| said.title.clone())));
    put("title, likeness to a good one", rows.len(), likeness(&|at| read[at].title.clone()), by_model, said.map(|_| likeness(&|at| together[at].title.clone())));

    let curve = if said.is_some() { [500, 600, 700, 800, 900].into_iter().map(|from| point(rows, &asked, &ruled, &of, from)).collect() } else { Vec::new() };
    let all = said.map_or(&[][..], |said| said);
    Document {
        evaluation: "agents",
        model: card.map(|card| card.model.clone()),
        figures,
        curve,
        failed: all.iter().map(|said| said.failed.len()).sum(),
        tokens_per_message: all.iter().map(|said| said.tokens).sum::<u64>() as f64 / all.len().max(1) as f64,
        seconds_per_message: all.iter().map(|said| said.took.as_secs_f64()).sum::<f64>() / all.len().max(1) as f64,
    }
}

/// What is decided without a person when a choice decides from so many thousandths on.
fn point<'a>(rows: &[Row], asked: &dyn Fn(usize) -> bool, ruled: &[bool], of: &dyn Fn(usize) -> Option<&'a Said>, from: u32) -> Point {
    let (mut decided, mut right, mut asks) = (0, 0, 0);
    for (at, row) in rows.iter().enumerate() {
        asks += usize::from(asked(at));
        let by_model = of(at).and_then(|said| said.category.as_ref()?.first()).filter(|(_, permille)| *permille >= from);
        let verdict = if asked(at) { by_model.map(|(label, _)| row.is_category(label)) } else { Some(ruled[at]) };
        decided += usize::from(verdict.is_some());
        right += usize::from(verdict == Some(true));
    }
    let share = |part: usize, all: usize| part as f64 / all.max(1) as f64;
    Point { sure_from: from, decided: share(decided, rows.len()), right_of_decided: share(right, decided), asked: share(asks, rows.len()) }
}

fn field(elements: &Elements, name: &str) -> Option<String> {
    let Elements { address, place, time, people, thing, wish, title } = elements;
    match name {
        "address" => address,
        "place" => place,
        "time" => time,
        "people" => people,
        "thing" => thing,
        "wish" => wish,
        _ => title,
    }
    .clone()
}

/// As models see it, and without white space and case.
fn flat(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).map(|c| match c { '"' => '\'', '\\' => '/', c => c.to_ascii_lowercase() }).collect()
}

/// The length of the longest common stretch of two texts, in parts of the mean of their lengths (1: they are equal).
fn overlap(one: &str, other: &str) -> f64 {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut longest = 0;
    let mut before = vec![0usize; other.len() + 1];
    for a in &one {
        let mut now = vec![0usize; other.len() + 1];
        for (at, b) in other.iter().enumerate() {
            if a == b {
                now[at + 1] = before[at] + 1;
                longest = longest.max(now[at + 1]);
            }
        }
        before = now;
    }
    if one.is_empty() || other.is_empty() { 0.0 } else { 2.0 * longest as f64 / (one.len() + other.len()) as f64 }
}

/// Pairs of characters.
fn pieces(text: &str) -> BTreeSet<(char, char)> {
    let chars: Vec<char> = flat(text).chars().collect();
    chars.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_reads_and_baselines_are_judged() {
        let rows: Vec<Row> = MESSAGES.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
        assert!(rows.len() >= 300);
        let graph = Graph::builtin();
        let reader = Reader::new(&graph);
        let readings: Vec<Reading> = rows.iter().map(|row| reader.read(&row.text, Some(row.at))).collect();
        let document = judge(&graph, &rows, &readings, None, None);
        assert!(document.figures.iter().all(|figure| (0.0..=1.0).contains(&figure.baseline) && figure.with_model.is_none()));
        let span = |row: &Row, name: &str| row.spans.get(name).cloned().flatten();
        let spans = |row: &Row| Elements { address: span(row, "address"), place: span(row, "place"), time: span(row, "time"), people: span(row, "people"), thing: span(row, "thing"), wish: span(row, "wish"), title: None };
        // A model that is always right is seen to be.
        let right = |row: &Row| Said {
            category: Some(vec![(row.category.clone(), 1000)]),
            unit: row.unit.clone().map(|unit| (unit, 1000)),
            slots: Some(spans(row)),
            title: Some(row.title.clone()),
            ..Said::default()
        };
        let said: Vec<Said> = rows.iter().map(right).collect();
        let document = judge(&graph, &rows, &readings, Some(&said), None);
        let of = |what: &str| document.figures.iter().find(|figure| figure.what.starts_with(what)).and_then(|figure| figure.with_model);
        assert_eq!((of("unit among"), of("place, exactly"), of("wish, overlapping"), of("title")), (Some(1.0), Some(1.0), Some(1.0), Some(1.0)));
        assert_eq!(of("category, where words are in doubt"), Some(1.0));
        assert!(document.curve.iter().all(|point| point.decided == 1.0));
    }

    #[test]
    fn texts_overlap_as_far_as_they_do() {
        assert_eq!((overlap("abc", "abc"), overlap("abc", "xyz"), overlap("", "a")), (1.0, 0.0, 0.0));
        assert!((overlap("中山路88号", "中山路") - 2.0 * 3.0 / 9.0).abs() < 1e-9);
    }
}
