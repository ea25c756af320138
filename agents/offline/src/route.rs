//! `citybrain route`: which unit owes each matter of a file, why, and whether a person should look.
//!
//! With a model its answer, moved by people's corrections; the duty graph's unit is shown beside it where the graph knows
//! the place. Without a model the graph alone answers, by its rules on type and text.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use chrono::DateTime;
use graph::{Element, Files, Graph, Here, Sorted, When};
use learn::route::{Decision, decide, reasons};
use learn::route_memory::{Facts, Likeness, Memory};
use learn::{Model, Scratch};
use serde::Serialize;

use crate::Context;
use crate::labelled::wall_time_us;
use crate::store::Store;
use crate::table::{Output, Rows};

/// Other units that are shown, and reasons that are told.
const ALTERNATIVES: usize = 4;
const REASONS: usize = 4;

/// Which unit owes each matter of a file.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Matters: CSV, JSON lines or Parquet
    #[arg(long = "in", value_name = "FILE")]
    input: PathBuf,
    /// Answers: JSON lines, one for each line
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Columns of text, the title first
    #[arg(long, value_delimiter = ',', value_name = "COL")]
    text: Vec<String>,
    /// Column of the type that somebody chose
    #[arg(long = "type", value_name = "COL")]
    kind: Option<String>,
    /// Columns of the place, the most telling first
    #[arg(long, value_delimiter = ',', value_name = "COL")]
    place: Vec<String>,
    /// Column of the local time
    #[arg(long, value_name = "COL")]
    time: Option<String>,
    /// Column that names a matter; without it the number of the line
    #[arg(long, value_name = "COL")]
    id: Option<String>,
    /// Name of a model; without it the duty graph answers
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// People's corrections, learnt first: the same columns, and the right unit in a column `unit`
    #[arg(long, value_name = "FILE")]
    corrections: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Answer {
    id: String,
    unit: Option<String>,
    confidence: f32,
    tier: &'static str,
    alternatives: Vec<Alternative>,
    why: String,
}

#[derive(Debug, Serialize)]
struct Alternative {
    unit: String,
    confidence: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// A row's cells by what they are.
struct Cells<'a> {
    texts: Vec<&'a str>,
    kind: &'a str,
    places: Vec<&'a str>,
    time_us: Option<i64>,
    id: &'a str,
}

impl Args {
    /// Writes a line for each line.
    ///
    /// # Errors
    /// A file that cannot be read or written, a column or a model that is not there.
    pub fn run(&self, context: &Context) -> Result<()> {
        ensure!(!self.text.is_empty() || self.kind.is_some(), "name what is to be read: --text COL[,COL] or --type COL");
        let model = self.model.as_ref().map(|name| Store::open(&context.home).active(name)).transpose()?;
        let graph = city(&context.home)?;
        let memory = self.corrections.as_ref().map_or_else(|| Ok(Memory::default()), |path| self.corrections(path))?;
        let router = Router { context, places: places(&graph), graph, model, memory };
        let mut scratch = Scratch::default();
        let wanted = self.wanted();
        let mut output = Output::create(&self.out)?;
        for row in Rows::open(&self.input, &wanted)? {
            let row = row?;
            let cells = self.cells(&row.cells);
            let id = if cells.id.is_empty() { row.number.to_string() } else { cells.id.to_owned() };
            output.json_line(&match row.problem {
                Some(problem) => Answer { id, unit: None, confidence: 0.0, tier: "person", alternatives: Vec::new(), why: problem },
                None => router.answer(id, &cells, &mut scratch),
            })?;
        }
        output.finish()
    }

    /// The columns in the order in which [`Args::cells`] takes them apart.
    fn wanted(&self) -> Vec<&str> {
        let ones = self.kind.iter().chain(&self.time).chain(&self.id);
        self.text.iter().chain(&self.place).chain(ones).map(String::as_str).collect()
    }

    fn cells<'a>(&self, cells: &'a [String]) -> Cells<'a> {
        let mut cells = cells.iter().map(String::as_str);
        let texts = cells.by_ref().take(self.text.len()).collect();
        let places = cells.by_ref().take(self.place.len()).collect();
        let mut one = |there: bool| if there { cells.next().unwrap_or_default() } else { "" };
        let kind = one(self.kind.is_some());
        let time_us = wall_time_us(one(self.time.is_some()));
        Cells { texts, kind, places, time_us, id: one(self.id.is_some()) }
    }

    fn corrections(&self, path: &Path) -> Result<Memory> {
        let mut wanted = self.wanted();
        wanted.push("unit");
        let mut memory = Memory::default();
        for row in Rows::open(path, &wanted)? {
            let row = row?;
            if let Some(unit) = row.cells.last().filter(|_| row.problem.is_none()) {
                let cells = self.cells(&row.cells);
                memory.learn(&cells.facts(), unit);
            }
        }
        Ok(memory)
    }
}

impl Cells<'_> {
    fn facts(&self) -> Facts<'_> {
        Facts { texts: &self.texts, kind: self.kind, places: &self.places, time_us: self.time_us }
    }
}

struct Router<'a> {
    context: &'a Context,
    graph: Graph,
    /// Ids, names and aliases of the graph's places, in lower case.
    places: BTreeSet<String>,
    model: Option<Model>,
    memory: Memory,
}

impl Router<'_> {
    fn answer(&self, id: String, cells: &Cells, scratch: &mut Scratch) -> Answer {
        let facts = cells.facts();
        let Some(model) = &self.model else { return self.by_rules(id, cells) };
        let decision = decide(model, &self.memory, &facts, scratch);
        let Some((unit, confidence)) = decision.ranked.first().map(|first| (first.0.to_owned(), first.1)) else { return self.by_rules(id, cells) };
        let mut alternatives: Vec<Alternative> =
            decision.ranked.iter().skip(1).take(ALTERNATIVES).map(|(unit, confidence)| Alternative { unit: (*unit).to_owned(), confidence: *confidence, why: None }).collect();
        if self.knows_place(cells) {
            let (sorted, known) = self.sorted(cells);
            let (owed, why) = self.owed(&sorted, cells);
            if known && owed.unit != unit {
                alternatives.retain(|other| other.unit != owed.unit);
                alternatives.push(Alternative { unit: owed.unit, confidence: sorted.confidence_permille as f32 / 1000.0, why: Some(why) });
            }
        }
        let why = self.why(&decision, model, &facts, &unit, scratch);
        Answer { id, unit: Some(unit), confidence, tier: if decision.accepted { "small" } else { "person" }, alternatives, why }
    }

    /// The reasons in words.
    fn why(&self, decision: &Decision, model: &Model, facts: &Facts, unit: &str, scratch: &mut Scratch) -> String {
        let t = |zh, en| self.context.t(zh, en);
        let mut parts = Vec::new();
        if let Some(recalled) = &decision.recalled {
            let likeness = match recalled.likeness {
                Likeness::Words => t("说法相近的事项", "matters in like words"),
                Likeness::TypeAndPlace => t("同类同地的事项", "matters of this type and place"),
                Likeness::Type => t("同类事项", "matters of this type"),
            };
            let counts = format!("{} : {}", recalled.corrections, recalled.against);
            parts.push(if self.context.zh { format!("{likeness}曾由人更正为 {}（{counts}）", recalled.unit) } else { format!("people corrected {likeness} to {} ({counts})", recalled.unit) });
        }
        let reasons: Vec<String> = reasons(model, facts, unit, REASONS, scratch).into_iter().map(|reason| format!("`{}`", reason.what)).collect();
        if !reasons.is_empty() {
            parts.push(format!("{} {}", t("依据", "for it speaks"), reasons.join(t("、", ", "))));
        }
        if !decision.accepted {
            parts.push(t("把握不足，请人工判断", "not sure enough: a person decides").to_owned());
        }
        parts.join(t("；", "; "))
    }

    fn by_rules(&self, id: String, cells: &Cells) -> Answer {
        let recalled = self.memory.recall(&cells.facts()).filter(|recalled| recalled.strength >= 0.6).map(|recalled| (recalled.unit.to_owned(), recalled.strength));
        let (sorted, known) = self.sorted(cells);
        let (owed, why) = self.owed(&sorted, cells);
        let confidence = sorted.confidence_permille as f32 / 1000.0;
        let mut alternatives: Vec<Alternative> = owed.alternatives.iter().take(ALTERNATIVES).map(|unit| Alternative { unit: unit.clone(), confidence: 0.0, why: None }).collect();
        if let Some((unit, strength)) = recalled.filter(|(unit, _)| *unit != owed.unit) {
            alternatives.insert(0, Alternative { unit: owed.unit, confidence: confidence * (1.0 - strength), why: Some(why) });
            let why = self.context.t("人曾更正过相似事项", "people corrected alike matters").to_owned();
            return Answer { id, unit: Some(unit), confidence: strength, tier: "rules", alternatives, why };
        }
        Answer { id, unit: Some(owed.unit), confidence, tier: if known { "rules" } else { "person" }, alternatives, why }
    }

    /// The category by type, else by text, and whether a word decided it.
    fn sorted(&self, cells: &Cells) -> (Sorted, bool) {
        let chosen = if cells.kind.trim().is_empty() { None } else { self.graph.sort_request_type(cells.kind) };
        let sorted = chosen.unwrap_or_else(|| self.graph.sort_text(&cells.texts.join("\n")));
        let known = sorted.word.is_some();
        (sorted, known)
    }

    fn owed(&self, sorted: &Sorted, cells: &Cells) -> (graph::Owed, String) {
        let place = cells.places.iter().find(|place| self.is_place(place)).copied();
        // Without a time: noon of a working day that every duty of today knows.
        let moment = cells.time_us.and_then(DateTime::from_timestamp_micros).or_else(|| DateTime::from_timestamp(1_767_700_800, 0)).unwrap_or_default();
        let owed = self.graph.who_owes(&sorted.category, Here { place, point: None }, When::local(moment, 0));
        let found = match (&sorted.word, self.context.zh) {
            (Some(word), true) => format!("`{word}` 表示 {}", sorted.category),
            (Some(word), false) => format!("`{word}` means {}", sorted.category),
            (None, true) => "没有任何类别的词".to_owned(),
            (None, false) => "no word of any category was found".to_owned(),
        };
        let why = std::iter::once(found.as_str()).chain(owed.path.iter().skip(1).map(String::as_str)).collect::<Vec<_>>().join("; ");
        (owed, why)
    }

    fn is_place(&self, place: &str) -> bool {
        self.places.contains(&place.trim().to_lowercase())
    }

    fn knows_place(&self, cells: &Cells) -> bool {
        cells.places.iter().any(|place| self.is_place(place))
    }
}

/// The graph of a home: its files, else the one that ships.
pub(crate) fn city(home: &Path) -> Result<Graph> {
    let alone = home.join("city.yaml");
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(home.join("graph")) {
        Ok(entries) => entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect(),
        Err(_) if alone.is_file() => vec![alone],
        Err(_) => Vec::new(),
    };
    if paths.is_empty() {
        return Ok(Graph::builtin());
    }
    paths.sort();
    let read = |path: PathBuf| -> Result<(String, String)> {
        let text = std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
        Ok((path.display().to_string(), text))
    };
    let texts = paths.into_iter().map(read).collect::<Result<Vec<_>>>()?;
    Ok(Files::read(&texts)?.graph()?)
}

fn places(graph: &Graph) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in graph.entries() {
        if let Element::Place(place) = &entry.element {
            names.insert(place.id.to_lowercase());
            names.extend(place.name.iter().flat_map(|name| [&name.zh, &name.en]).chain(&place.aliases).map(|name| name.to_lowercase()));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labelled::{Labelled, with_examples};
    use crate::store::Columns;

    fn routed(context: &Context, folder: &Path, rows: &str, corrections: Option<&str>, model: Option<&str>) -> Vec<serde_json::Value> {
        let input = folder.join("in.csv");
        std::fs::write(&input, rows).unwrap();
        let corrections = corrections.map(|rows| {
            let path = folder.join("corrections.csv");
            std::fs::write(&path, rows).unwrap();
            path
        });
        let out = folder.join("out.jsonl");
        let args = Args { input, out: out.clone(), text: vec!["text".to_owned()], kind: Some("type".to_owned()), place: vec!["place".to_owned()], time: None, id: None, model: model.map(str::to_owned), corrections };
        args.run(context).unwrap();
        std::fs::read_to_string(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn each_line_has_its_unit_or_a_person() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context { home: folder.path().to_owned(), data: None, json: false, quiet: true, zh: false };
        let rows = "text,type,place\n道路积水很深,,d02\n,,\nbroken line\n\"\0😀\",,nowhere\n";
        let answers = routed(&context, folder.path(), rows, None, None);
        assert_eq!(answers.len(), 4);
        assert_eq!((answers[0]["unit"].as_str(), answers[0]["tier"].as_str(), answers[0]["id"].as_str()), (Some("lake-drainage"), Some("rules"), Some("1")));
        assert!(answers[0]["why"].as_str().unwrap().contains("flooding"));
        assert!(answers[1..].iter().all(|answer| answer["tier"] == "person"), "{answers:?}");
        assert!(answers[2]["unit"].is_null() && answers[2]["why"].as_str().unwrap().contains("fields"));
    }

    #[test]
    fn a_correction_comes_before_the_rules() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context { home: folder.path().to_owned(), data: None, json: false, quiet: true, zh: true };
        let answers = routed(&context, folder.path(), "text,type,place\n道路积水很深了,,d02\n", Some("text,type,place,unit\n道路积水很深,,d02,roads\n"), None);
        assert_eq!(answers[0]["unit"], "roads");
        assert_eq!(answers[0]["alternatives"][0]["unit"], "lake-drainage");
    }

    #[test]
    fn a_model_of_the_home_answers_and_a_correction_outvotes_it() {
        let folder = tempfile::tempdir().unwrap();
        let context = Context { home: folder.path().to_owned(), data: None, json: false, quiet: true, zh: false };
        let row = |kind: &str, place: &str, unit: &str| Labelled {
            texts: vec![String::new()],
            fields: vec![("type".to_owned(), kind.to_owned()), ("place".to_owned(), place.to_owned())],
            time_us: None,
            label: unit.to_owned(),
        };
        let rows: Vec<Labelled> =
            (0..80).map(|at| if at % 2 == 0 { row("Lamp out", ["d01", "d02"][at / 2 % 2], "lights") } else { row("Pump broken", ["d01", "d02"][at / 2 % 2], "water") }).collect();
        let options = learn::Options { task: "unit".to_owned(), ..learn::Options::default() };
        let model = with_examples(&rows, |examples| learn::train(examples, &options, &mut |_| {})).unwrap().0;
        let store = Store::open(folder.path());
        store.add("owners", &model, &Columns::default()).unwrap();
        store.activate("owners", &model.digest(), "first", "").unwrap();
        let asked = "text,type,place\n,Lamp out,d01\n,Pump leaks,d02\n";
        let answers = routed(&context, folder.path(), asked, None, Some("owners"));
        assert_eq!((answers[0]["unit"].as_str(), answers[1]["unit"].as_str()), (Some("lights"), Some("water")), "{answers:?}");
        assert!(answers[0]["why"].as_str().unwrap().contains("Lamp"), "{answers:?}");
        let answers = routed(&context, folder.path(), asked, Some("text,type,place,unit\n,Lamp out,d01,yard\n"), Some("owners"));
        assert_eq!((answers[0]["unit"].as_str(), answers[1]["unit"].as_str()), (Some("yard"), Some("water")), "{answers:?}");
        assert!(answers[0]["why"].as_str().unwrap().contains("people corrected"), "{answers:?}");
    }
}
