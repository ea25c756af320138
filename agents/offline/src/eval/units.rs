//! `eval units`: the unit that owes a matter, from its type, text, place and hour, with the answer columns hidden.
//!
//! Rows of two cities and of replies that name the body which handled a message, each split by time (the earlier part
//! teaches, the later is asked) and into folds by chance; and how many further errors follow when a duty changes, with and
//! without the memory of corrections. Columns that are filled in later (status, closing, outcome) are never read.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use learn::metrics::{Answer, Figures};
use learn::route::{Asked, decide};
use learn::route_memory::{Facts, Memory};
use learn::{Example, Model, Options, Scratch, train};
use rand::{RngExt as _, SeedableRng};
use serde::Serialize;

use super::bodies;
use crate::Context;
use crate::labelled::wall_time_us;
use crate::table::Rows;

const FOLDS: usize = 5;
const SEED: u64 = 6;
/// Share of the rows, by time, that teach.
const EARLIER: f64 = 0.8;
/// What is aimed at: all answers, and the surest nine tenths.
const AIM: f64 = 0.95;
const AIM_90: f64 = 0.98;
const NEW_UNIT: &str = "the unit that took it over";

/// A matter and the unit that it was given to.
#[derive(Debug, Clone, Default)]
struct Matter {
    texts: Vec<String>,
    kind: String,
    places: Vec<String>,
    time_us: Option<i64>,
    unit: String,
    /// What the most frequent unit is looked up by, where it is not the type.
    group: String,
}

#[derive(Debug, Serialize)]
struct Measured {
    what: String,
    split: String,
    rows: usize,
    units: usize,
    majority: f64,
    most_frequent_of_type: f64,
    accuracy: f64,
    accuracy_at_90: f64,
    top_3: f64,
    calibration_error: f64,
    accepted: f64,
    accepted_accuracy: f64,
    aim: f64,
    aim_at_90: f64,
}

#[derive(Debug, Serialize)]
struct Changed {
    what: String,
    /// Types that were taken over, one at a time.
    changes: usize,
    /// Rows of such a type after the change, on average; without memory each of them is an error.
    rows_of_changed: f64,
    errors_with_memory: f64,
    errors_without: f64,
    rows_elsewhere: usize,
    errors_elsewhere_with_memory: usize,
    errors_elsewhere_without: usize,
}

#[derive(Debug, Serialize)]
struct Document {
    units: Vec<Measured>,
    changed_duties: Vec<Changed>,
}

/// Measures and prints.
///
/// # Errors
/// When the data folder is not there, or a file of it cannot be read.
pub fn run(context: &Context) -> Result<()> {
    let baltimore = matters(context, "work_orders/baltimore311_7000.csv.gz", &BALTIMORE)?;
    let kinds = matters(context, "work_orders/baltimore311_7000.csv.gz", &BALTIMORE_TYPES)?;
    let kinds_allowed = allowed(context)?;
    let nyc = matters(context, "work_orders/nyc311_2013-12-25.csv.gz", &NYC)?;
    let mut units = Vec::new();
    for (what, matters) in [
        (context.t("巴尔的摩：部门", "Baltimore: agency"), &baltimore),
        (context.t("纽约：部门", "NYC: agency"), &nyc),
        (context.t("巴尔的摩：事项类型（无文本，只有渠道、地点、时间）", "Baltimore: request type (no text there: channel, place, time)"), &kinds),
        (context.t("巴尔的摩：事项类型（另加限办天数）", "Baltimore: request type (and the days allowed)"), &kinds_allowed),
    ] {
        units.push(by_time(what, matters)?);
        units.push(by_folds(what, matters)?);
    }
    units.extend(replies(context)?);
    let changed_duties = vec![changed_duty(context.t("巴尔的摩", "Baltimore"), &baltimore)?, changed_duty(context.t("纽约", "NYC"), &nyc)?];
    print(context, &Document { units, changed_duties })
}

struct Columns {
    unit: &'static str,
    kind: &'static str,
    texts: &'static [&'static str],
    places: &'static [&'static str],
    time: &'static str,
}

const BALTIMORE: Columns =
    Columns { unit: "Agency", kind: "SRType", texts: &[], places: &["Neighborhood", "PoliceDistrict", "ZipCode", "MethodReceived"], time: "CreatedDate" };
const BALTIMORE_TYPES: Columns =
    Columns { unit: "SRType", kind: "MethodReceived", texts: &["Address"], places: &["Neighborhood", "PoliceDistrict", "CouncilDistrict", "PolicePost"], time: "CreatedDate" };
const NYC: Columns =
    Columns { unit: "Agency", kind: "Complaint Type", texts: &["Descriptor"], places: &["Borough", "Incident Zip", "Location Type"], time: "Created Date" };

/// The rows of a file in the order of their time; those without a unit are left out.
fn matters(context: &Context, path: &str, columns: &Columns) -> Result<Vec<Matter>> {
    let wanted: Vec<&str> = [columns.unit, columns.kind, columns.time].into_iter().chain(columns.texts.iter().copied()).chain(columns.places.iter().copied()).collect();
    let mut matters = Vec::new();
    for row in Rows::open(&context.data_file(path)?, &wanted)? {
        let cells = row?.cells;
        let texts = 3 + columns.texts.len();
        if !cells[0].trim().is_empty() {
            let (unit, kind, time_us) = (cells[0].clone(), cells[1].clone(), wall_time_us(&cells[2]));
            matters.push(Matter { texts: cells[3..texts].to_vec(), group: kind.clone(), kind, places: cells[texts..].to_vec(), time_us, unit });
        }
    }
    matters.sort_by_key(|matter| matter.time_us);
    Ok(matters)
}

/// Request types of Baltimore, with the days that the order was given, which stand in it when it comes in.
fn allowed(context: &Context) -> Result<Vec<Matter>> {
    let columns = ["SRType", "MethodReceived", "CreatedDate", "DueDate", "Neighborhood", "PoliceDistrict"];
    let mut matters = Vec::new();
    for row in Rows::open(&context.data_file("work_orders/baltimore311_7000.csv.gz")?, &columns)? {
        let cells = row?.cells;
        let time_us = wall_time_us(&cells[2]);
        let days = wall_time_us(&cells[3]).zip(time_us).map_or_else(|| "none".to_owned(), |(due, created)| format!("{:.1}", (due - created) as f64 / 86_400e6));
        let kind = format!("{days} {}", cells[1]);
        matters.push(Matter { texts: Vec::new(), group: kind.clone(), kind, places: cells[4..].to_vec(), time_us, unit: cells[0].clone() });
    }
    matters.sort_by_key(|matter| matter.time_us);
    Ok(matters)
}

/// Calls `with` with the facts of a matter.
fn facts<T>(matter: &Matter, with: impl FnOnce(&Facts) -> T) -> T {
    let texts: Vec<&str> = matter.texts.iter().map(String::as_str).collect();
    let places: Vec<&str> = matter.places.iter().map(String::as_str).collect();
    with(&Facts { texts: &texts, kind: &matter.kind, places: &places, time_us: matter.time_us })
}

fn model(matters: &[&Matter]) -> Result<Model> {
    let texts: Vec<Vec<&str>> = matters.iter().map(|matter| matter.texts.iter().map(String::as_str).collect()).collect();
    let places: Vec<Vec<&str>> = matters.iter().map(|matter| matter.places.iter().map(String::as_str).collect()).collect();
    let asked: Vec<Asked> = matters
        .iter()
        .zip(texts.iter().zip(&places))
        .map(|(matter, (texts, places))| Asked::of(&Facts { texts, kind: &matter.kind, places, time_us: matter.time_us }))
        .collect();
    let examples: Vec<Example> = asked.iter().zip(matters).map(|(asked, matter)| Example { input: asked.input(), label: &matter.unit }).collect();
    Ok(train(&examples, &Options { task: "unit".to_owned(), seed: SEED, ..Options::default() }, &mut |_| {})?.0)
}

/// One answer: truth, the units in their order, confidence, accepted, and what the two baselines say.
struct Said {
    truth: String,
    ranked: Vec<String>,
    confidence: f32,
    accepted: bool,
    majority: bool,
    frequent: bool,
}

fn ask(model: &Model, taught: &[&Matter], asked: &[&Matter]) -> Vec<Said> {
    let commonest = commonest(taught, |_| "");
    let frequent = self::commonest(taught, |matter| &matter.group);
    let (mut scratch, memory) = (Scratch::default(), Memory::default());
    let mut said = Vec::new();
    for matter in asked {
        let decision = facts(matter, |facts| decide(model, &memory, facts, &mut scratch));
        let most = commonest.get("").map_or("", String::as_str);
        said.push(Said {
            truth: matter.unit.clone(),
            confidence: decision.ranked.first().map_or(0.0, |first| first.1),
            ranked: decision.ranked.iter().take(3).map(|(unit, _)| (*unit).to_owned()).collect(),
            accepted: decision.accepted,
            majority: most == matter.unit,
            frequent: frequent.get(matter.group.as_str()).map_or(most, String::as_str) == matter.unit,
        });
    }
    said
}

/// The most frequent unit of each group; of equals the first by name.
fn commonest<'a>(matters: &[&'a Matter], group: impl Fn(&'a Matter) -> &'a str) -> BTreeMap<&'a str, String> {
    let mut counts: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for matter in matters {
        *counts.entry(group(matter)).or_default().entry(&matter.unit).or_default() += 1;
    }
    let most = |units: BTreeMap<&str, usize>| units.into_iter().max_by(|a, b| a.1.cmp(&b.1).then_with(|| b.0.cmp(a.0))).map_or(String::new(), |it| it.0.to_owned());
    counts.into_iter().map(|(group, units)| (group, most(units))).collect()
}

fn measured(what: &str, split: &str, said: &[Said]) -> Measured {
    let answers: Vec<Answer> = said
        .iter()
        .map(|it| Answer { truth: &it.truth, given: it.ranked.first().map_or("", String::as_str), confidence: it.confidence, accepted: it.accepted })
        .collect();
    let figures = Figures::of(&answers);
    let mut sure: Vec<&Answer> = answers.iter().collect();
    sure.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let nine_tenths = (said.len() * 9).div_ceil(10).max(1);
    let right = |answers: &[&Answer]| answers.iter().filter(|it| it.truth == it.given).count() as f64 / answers.len().max(1) as f64;
    let share = |holds: fn(&Said) -> bool| said.iter().filter(|it| holds(it)).count() as f64 / said.len().max(1) as f64;
    let mut units: Vec<&str> = said.iter().map(|it| it.truth.as_str()).collect();
    units.sort_unstable();
    units.dedup();
    Measured {
        what: what.to_owned(),
        split: split.to_owned(),
        rows: said.len(),
        units: units.len(),
        majority: share(|it| it.majority),
        most_frequent_of_type: share(|it| it.frequent),
        accuracy: figures.accuracy,
        accuracy_at_90: right(&sure[..nine_tenths.min(sure.len())]),
        top_3: share(|it| it.ranked.contains(&it.truth)),
        calibration_error: figures.calibration_error,
        accepted: figures.accepted,
        accepted_accuracy: figures.accepted_accuracy,
        aim: AIM,
        aim_at_90: AIM_90,
    }
}

fn by_time(what: &str, matters: &[Matter]) -> Result<Measured> {
    let matters: Vec<&Matter> = matters.iter().collect();
    let (taught, asked) = matters.split_at((matters.len() as f64 * EARLIER) as usize);
    Ok(measured(what, "time", &ask(&model(taught)?, taught, asked)))
}

/// The fold of each row, by chance.
fn folds(rows: usize) -> Vec<usize> {
    let mut dice = rand::rngs::StdRng::seed_from_u64(SEED);
    (0..rows).map(|_| dice.random_range(0..FOLDS)).collect()
}

fn by_folds(what: &str, matters: &[Matter]) -> Result<Measured> {
    let folds = folds(matters.len());
    let mut said = Vec::new();
    for fold in 0..FOLDS {
        let part = |inside: bool| matters.iter().zip(&folds).filter(|(_, own)| (**own == fold) == inside).map(|(matter, _)| matter).collect::<Vec<_>>();
        let taught = part(false);
        said.extend(ask(&model(&taught)?, &taught, &part(true)));
    }
    Ok(measured(what, "folds", &said))
}

/// Messages with the body that the official reply names. The model learns the function and where the body is as seen from
/// the message; its whole name is composed with the district, town or street that the message names.
fn replies(context: &Context) -> Result<Vec<Measured>> {
    let columns = ["留言主题", "留言详情", "答复意见", "留言时间"];
    let mut matters = Vec::new();
    let mut whole = Vec::new();
    for row in Rows::open(&context.data_file("hotline_messages/replies.csv.gz")?, &columns)? {
        let cells = row?.cells;
        let own = bodies::own_district(&cells[0], &cells[1]).unwrap_or_default();
        let Some(body) = bodies::body_of(&cells[2], &own) else { continue };
        matters.push(Matter {
            texts: cells[..2].to_vec(),
            kind: String::new(),
            places: vec![own.clone()],
            time_us: wall_time_us(&cells[3]),
            unit: body.relative(),
            group: own.clone(),
        });
        whole.push((body.named(&own), own, if let bodies::Place::Named(name) = body.place { Some(name) } else { None }));
    }
    let what = context.t("回复中点名的单位", "body named in the reply");
    let function = context.t("回复中点名的单位：职能", "body named in the reply: its function");
    let splits = |split: &str| -> Result<Vec<Measured>> {
        let folds = folds(matters.len());
        let mut order: Vec<usize> = (0..matters.len()).collect();
        order.sort_by_key(|at| matters[*at].time_us);
        let later = order[(order.len() as f64 * EARLIER) as usize..].to_vec();
        let parts: Vec<Vec<usize>> = if split == "time" { vec![later] } else { (0..FOLDS).map(|fold| (0..matters.len()).filter(|at| folds[*at] == fold).collect()).collect() };
        let (mut relative, mut named) = (Vec::new(), Vec::new());
        for part in parts {
            let mut inside = vec![false; matters.len()];
            part.iter().for_each(|at| inside[*at] = true);
            // By time, nothing later than the first that is asked teaches.
            let teaches: Vec<usize> = order.iter().copied().filter(|at| !inside[*at]).collect();
            let taught: Vec<&Matter> = teaches.iter().map(|at| &matters[*at]).collect();
            let asked: Vec<&Matter> = part.iter().map(|at| &matters[*at]).collect();
            let said = ask(&model(&taught)?, &taught, &asked);
            let mut towns: Vec<String> = teaches.iter().filter_map(|at| whole[*at].2.clone()).collect();
            towns.sort();
            towns.dedup();
            let full: Vec<Matter> = teaches.iter().map(|at| Matter { unit: whole[*at].0.clone(), group: whole[*at].1.clone(), ..Matter::default() }).collect();
            let full: Vec<&Matter> = full.iter().collect();
            let (most, frequent) = (commonest(&full, |_| ""), commonest(&full, |matter| &matter.group));
            for (at, said) in part.iter().zip(&said) {
                let (truth, own, _) = &whole[*at];
                let compose = |relative: &String| bodies::composed(relative, own, &towns, &matters[*at].texts[0], &matters[*at].texts[1]);
                let most = most.get("").map_or("", String::as_str);
                named.push(Said {
                    truth: truth.clone(),
                    ranked: said.ranked.iter().map(compose).collect(),
                    confidence: said.confidence,
                    accepted: said.accepted,
                    majority: most == truth,
                    frequent: frequent.get(own.as_str()).map_or(most, String::as_str) == truth,
                });
            }
            relative.extend(said);
        }
        Ok(vec![measured(what, split, &named), measured(function, split, &relative)])
    };
    Ok(splits("time")?.into_iter().chain(splits("folds")?).collect())
}

/// After a unit has taken over a type: how often the type still goes to the old one before it goes to the new one, when
/// each error is corrected at once. Rows of other types are asked too, and corrected too.
fn changed_duty(what: &str, matters: &[Matter]) -> Result<Changed> {
    let all: Vec<&Matter> = matters.iter().collect();
    let (taught, later) = all.split_at((all.len() as f64 * EARLIER) as usize);
    let model = model(taught)?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    later.iter().for_each(|matter| *counts.entry(&matter.kind).or_default() += 1);
    let mut frequent: Vec<(&str, usize)> = counts.into_iter().filter(|(_, rows)| *rows >= 5).collect();
    frequent.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    frequent.truncate(12);
    let mut scratch = Scratch::default();
    let mut changed = Changed { what: what.to_owned(), changes: frequent.len(), rows_of_changed: 0.0, errors_with_memory: 0.0, errors_without: 0.0, rows_elsewhere: 0, errors_elsewhere_with_memory: 0, errors_elsewhere_without: 0 };
    for (kind, rows) in &frequent {
        changed.rows_of_changed += *rows as f64 / frequent.len() as f64;
        changed.rows_elsewhere += later.len() - rows;
        for remembers in [true, false] {
            let (mut errors, mut elsewhere) = (0, 0);
            let mut memory = Memory::default();
            for matter in later {
                let is_changed = matter.kind == *kind;
                let right = if is_changed { NEW_UNIT } else { matter.unit.as_str() };
                let wrong = facts(matter, |facts| {
                    let wrong = decide(&model, &memory, facts, &mut scratch).ranked[0].0 != right;
                    if wrong && remembers {
                        memory.learn(facts, right);
                    }
                    wrong
                });
                errors += usize::from(wrong && is_changed);
                elsewhere += usize::from(wrong && !is_changed);
            }
            let mean = errors as f64 / frequent.len() as f64;
            if remembers {
                changed.errors_with_memory += mean;
                changed.errors_elsewhere_with_memory += elsewhere;
            } else {
                changed.errors_without += mean;
                changed.errors_elsewhere_without += elsewhere;
            }
        }
    }
    Ok(changed)
}

fn print(context: &Context, document: &Document) -> Result<()> {
    if context.json {
        println!("{}", serde_json::to_string_pretty(document).context("figures can be written")?);
        return Ok(());
    }
    println!("{}", context.t("承办单位（隐藏答案列；括号内为基线：最常见单位、该类最常见单位；目标：全部 0.95，最有把握的 90 % 0.98）", "Owing unit (answer columns hidden; baselines: commonest unit, commonest unit of the type; aim: 0.95 of all, 0.98 of the surest 90 %)"));
    let share = |value: f64| format!("{value:.3}");
    println!("{:>6} {:>5} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6} {:>8} {:>8}  {}", context.t("行", "rows"), context.t("单位", "units"), context.t("最常见", "majority"), context.t("类最常见", "of type"), context.t("准确率", "accuracy"), context.t("90%覆盖", "at 90 %"), context.t("前三", "top 3"), "ECE", context.t("采纳", "accepted"), context.t("采纳准确", "right"), context.t("数据（划分）", "what (split)"));
    for it in &document.units {
        println!("{:>6} {:>5} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6} {:>8} {:>8}  {} ({})", it.rows, it.units, share(it.majority), share(it.most_frequent_of_type), share(it.accuracy), share(it.accuracy_at_90), share(it.top_3), share(it.calibration_error), share(it.accepted), share(it.accepted_accuracy), it.what, it.split);
    }
    println!("{}", context.t("职责变更：某类事项改由新单位承办，每次错派当即更正", "A changed duty: a new unit takes over a type, each error is corrected at once"));
    for it in &document.changed_duties {
        println!(
            "{}: {} {} {:.1} {} {:.1} {} {:.1}; {} {} {} {}, {} {}",
            it.what, it.changes, context.t("类，每类行数", "types, rows of each"), it.rows_of_changed, context.t("错派（有记忆）", "errors with memory"), it.errors_with_memory,
            context.t("错派（无记忆）", "errors without"), it.errors_without, context.t("其他类行数", "rows of other types"), it.rows_elsewhere,
            context.t("其他类错派（有记忆）", "errors there with memory"), it.errors_elsewhere_with_memory, context.t("无记忆", "without"), it.errors_elsewhere_without
        );
    }
    Ok(())
}
