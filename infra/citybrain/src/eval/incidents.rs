//! `citybrain eval incidents`: scripted incidents in many variations through the jobs and the brain, held against what is
//! true. docs/incidents.md says how to write a script.

use std::path::PathBuf;

use anyhow::{Result, bail};
use graph::Graph;
use rehearsal::{Aim, Figure, Found, Note, Recording, Script, Tally, Variation, drive, figures, judge, play, vary};
use serde::Serialize;
use serde_json::json;

use super::signals::signals;
use crate::bench::scratch_home;
use crate::city_files::{CityFiles, texts};
use crate::cli::{Ended, EvalArgs, Invocation};
use crate::home::Home;
use crate::items::print_table;
use crate::lake::Row;
use crate::lang::t;

/// Rehearsals that are in memory at a time: some ten thousand readings each.
const TOGETHER: usize = 100;

/// A rehearsal, played.
struct Played {
    script: usize,
    variation: Variation,
    recording: Recording,
}

/// What came of one script in all its variations.
#[derive(Default, Serialize)]
struct Judged {
    script: String,
    figures: Vec<Figure>,
    #[serde(skip)]
    ours: Tally,
    #[serde(skip)]
    baseline: Tally,
    /// What went wrong in which variation, when it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    wrong: Vec<Wrong>,
}

#[derive(Serialize)]
struct Wrong {
    variation: u32,
    changes: Vec<String>,
    notes: Vec<Note>,
}

/// The command.
pub async fn run(context: &Invocation, args: &EvalArgs) -> Result<Ended> {
    let home = Home::open(&context.global.home)?;
    let graph = CityFiles::of(&home)?.graph(&Graph::new())?;
    let scripts = scripts(&graph, &args.script)?;
    let state = scratch_home(context, "eval-incidents")?;
    let mut results: Vec<Judged> = scripts.iter().map(|script| Judged { script: script.name.clone(), ..Judged::default() }).collect();
    let wanted: Vec<(usize, u32)> = (0..scripts.len()).flat_map(|script| (0..args.variations).map(move |number| (script, number))).collect();
    for (batch, wanted) in wanted.chunks(TOGETHER).enumerate() {
        let played: Vec<Played> = wanted.iter().map(|(script, number)| played(&graph, *script, &scripts[*script], args.seed, *number)).collect();
        let inputs: Vec<(&Script, &Recording)> = played.iter().map(|played| (&played.variation.script, &played.recording)).collect();
        let found = signals(&graph, &inputs, &state.dir(&batch.to_string())).await?;
        for (played, found) in played.iter().zip(found) {
            results[played.script].take(&graph, played, &found, context.global.verbose > 0);
        }
    }
    let (mut ours, mut baseline) = (Tally::default(), Tally::default());
    for result in &mut results {
        ours.add(&result.ours);
        baseline.add(&result.baseline);
        result.figures = figures(&result.ours, &result.baseline);
    }
    let figures = figures(&ours, &baseline);
    let met = figures.iter().all(Figure::is_met);
    if context.global.json {
        let found = json!({ "seed": args.seed, "variations": args.variations, "met": met, "figures": figures, "scripts": results });
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print(args, &figures, &results);
    }
    Ok(if met { Ended::Done } else { Ended::Differs })
}

/// The scripts of these files, or all that ship.
fn scripts(graph: &Graph, files: &[PathBuf]) -> Result<Vec<Script>> {
    let texts = match files {
        [] => rehearsal::shipped().map(|(file, text)| (file.to_owned(), text.to_owned())).collect(),
        files => texts(files)?,
    };
    let (scripts, wrong): (Vec<_>, Vec<_>) = texts.iter().map(|(file, text)| Script::read(file, text, graph)).partition(Result::is_ok);
    if !wrong.is_empty() {
        bail!("{}", wrong.into_iter().filter_map(Result::err).map(|error| error.to_string()).collect::<Vec<_>>().join("\n"));
    }
    Ok(scripts.into_iter().flatten().collect())
}

fn played(graph: &Graph, number: usize, script: &Script, seed: u64, variation: u32) -> Played {
    let variation = vary(script, graph, seed, variation);
    let recording = play(&variation.script, graph, variation.seed);
    Played { script: number, variation, recording }
}

impl Judged {
    fn take(&mut self, graph: &Graph, played: &Played, found: &[Found], verbose: bool) {
        let script = &played.variation.script;
        let outcome = drive(graph, script, &played.recording, found);
        let (ours, baseline, notes) = judge(graph, script, &outcome);
        self.ours.add(&ours);
        self.baseline.add(&baseline);
        if verbose && !notes.is_empty() {
            self.wrong.push(Wrong { variation: played.variation.number, changes: played.variation.changes.clone(), notes });
        }
    }
}

fn print(args: &EvalArgs, figures: &[Figure], results: &[Judged]) {
    for result in results {
        for wrong in &result.wrong {
            println!("{} #{} {}", result.script, wrong.variation, wrong.changes.join(", "));
            wrong.notes.iter().for_each(|note| println!("  {}", sentence(note)));
        }
    }
    let (scripts, each, seed) = (t("个脚本", "scripts"), t("种变化", "variations each"), t("随机种子", "seed"));
    println!("{} {scripts}, {} {each}, {seed} {}", results.len(), args.variations, args.seed);
    let columns = [t("指标", "figure"), "citybrain", t("仅阈值基线", "thresholds only"), t("目标", "aim"), ""];
    let row = |figure: &Figure| {
        let aim = match figure.aim {
            Some(Aim::AtLeast(aim)) => format!("≥ {}", shown(figure.key, Some(aim))),
            Some(Aim::AtMost(aim)) => format!("≤ {}", shown(figure.key, Some(aim))),
            None => String::new(),
        };
        let missed = if figure.is_met() { "" } else { t("未达", "MISSED") };
        let cells = [t(figure.zh, figure.en).to_owned(), shown(figure.key, figure.value), shown(figure.key, figure.baseline), aim, missed.to_owned()];
        columns.iter().map(|column| (*column).to_owned()).zip(cells.map(Into::into)).collect::<Row>()
    };
    print_table(&columns, &figures.iter().map(row).collect::<Vec<_>>());
    println!();
    let keys = ["pair_f1", "next_event_top3", "detection_recall", "false_alarms_per_device_month", "grade_accuracy", "precursors_announced"];
    let columns = [
        t("脚本（括号内为基线）", "script (baseline in brackets)"),
        "F1",
        t("下一事件", "next event"),
        t("发现", "detected"),
        t("误报", "false alarms"),
        t("定级", "grade"),
        t("先兆", "weak signs"),
    ];
    let row = |result: &Judged| {
        let cells = keys.iter().map(|key| {
            let figure = result.figures.iter().find(|figure| figure.key == *key);
            figure.map_or_else(String::new, |figure| format!("{} ({})", shown(key, figure.value), shown(key, figure.baseline)))
        });
        columns.iter().map(|column| (*column).to_owned()).zip([result.script.clone()].into_iter().chain(cells).map(Into::into)).collect::<Row>()
    };
    print_table(&columns, &results.iter().map(row).collect::<Vec<_>>());
}

fn shown(key: &str, value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if key.ends_with("_minutes") => format!("{value:.0}"),
        Some(value) if key.ends_with("_month") => format!("{value:.2}"),
        Some(value) => format!("{:.1} %", value * 100.0),
    }
}

/// What went wrong, in a line.
fn sentence(note: &Note) -> String {
    let usual = || t("日常", "usual life").to_owned();
    match note {
        Note::Apart { events: (one, other), pairs, example } => {
            format!("{} {one} + {other}: {pairs} {}: {example}", t("未归到一起", "apart"), t("对，例如", "pairs, such as"))
        }
        Note::Together { events: (one, other), pairs, example } => {
            let name = |event: &Option<String>| event.clone().unwrap_or_else(usual);
            format!("{} {} + {}: {pairs} {}: {example}", t("误归到一起", "wrongly together"), name(one), name(other), t("对，例如", "pairs, such as"))
        }
        Note::Unexpected { event, kind_of_event, incident, expected } => {
            let expected = if expected.is_empty() { "-".to_owned() } else { expected.join(", ") };
            format!("{} {event} ({kind_of_event}): {} {expected}", t("未预见", "not expected"), incident.as_deref().unwrap_or(t("尚无事件", "no incident yet")))
        }
        Note::Undetected { incident } => format!("{} {incident}", t("未发现", "not detected")),
        Note::FalseAlarm { alert, at } => format!("{} {alert} {}", t("误报", "false alarm"), at.format("%m-%d %H:%M")),
        Note::Grade { incident, level, found } => {
            format!("{} {incident}: {level}, {}", t("定级", "grade of"), found.map_or_else(|| "-".to_owned(), |found| found.to_string()))
        }
        Note::Unannounced { event, minutes } => {
            format!("{} {event}: {}", t("未提前 30 分钟预警", "not announced 30 min before"), minutes.map_or_else(|| "-".to_owned(), |minutes| format!("{minutes} min")))
        }
    }
}
