//! `forecast`: how much there will be of each key, with intervals, and by `--backtest` how good such forecasts were.
//!
//! Without `--value` rows are counted by day; then a day without rows is a zero from a key's first row on. With `--value` a step
//! without a row is unknown, and so is a value that is no number. Several rows of one time are averaged; rows need no order. Times
//! are taken as the clock that they were written by, whatever their zone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use clap::Args;
use forecast::{Counts, Outlook, Skill, Step, Values};
use serde_json::json;

use crate::context::Context;
use crate::table::{Output, Rows};

/// Steps times keys that are gone through at most.
const CELLS_MAX: i64 = 400_000_000;
/// The farthest step that is foretold.
const HORIZON_MAX: usize = 20_000;
/// A key with fewer values than this has a note.
const FEW: usize = 14;

/// Options of `forecast`.
#[derive(Debug, Clone, Args)]
pub struct Forecast {
    /// CSV, JSON lines or Parquet
    #[arg(long = "in")]
    pub input: PathBuf,
    /// Column of the time
    #[arg(long)]
    pub time: String,
    /// Column of the value; without it rows are counted
    #[arg(long)]
    pub value: Option<String>,
    /// Columns that tell series apart; of several, those with an equal first column learn from each other
    #[arg(long, value_delimiter = ',')]
    pub key: Vec<String>,
    /// Steps to foretell beyond the last time of each key; with --backtest the distance ahead that is judged
    #[arg(long)]
    pub horizon: usize,
    /// The step that rows are counted by, or values belong to (found from the data without it): minute, hour, day, week, month
    #[arg(long, value_parser = ["minute", "hour", "day", "week", "month"])]
    pub step: Option<String>,
    /// How often the interval shall hold
    #[arg(long, default_value_t = 0.9)]
    pub level: f64,
    /// Walk forward through the past: a forecast for a step uses nothing after that step less the horizon
    #[arg(long)]
    pub backtest: bool,
    /// First day that the backtest judges; without it the last four fifths of each key
    #[arg(long)]
    pub backtest_from: Option<String>,
    /// CSV, or JSON lines by the extension .jsonl: key, time, yhat, lo, hi and more
    #[arg(long)]
    pub out: PathBuf,
}

/// One series: its values from its first step on.
#[derive(Debug, Clone)]
pub struct Series {
    /// The values of the key's columns, joined by `/`.
    pub key: String,
    /// The first of them.
    pub pool: String,
    /// The step of the first value.
    pub first: i64,
    /// NaN is unknown.
    pub values: Vec<f64>,
}

/// All series of a file.
#[derive(Debug, Clone)]
pub struct Table {
    /// The distance of values.
    pub step: Step,
    /// Whether they are counts: whole numbers, none below zero.
    pub counts: bool,
    /// In the order of keys.
    pub series: Vec<Series>,
}

/// A forecast of the past beside what came.
#[derive(Debug, Clone, Copy)]
pub struct Judged {
    /// The number of its series.
    pub series: usize,
    /// The step foretold.
    pub step: i64,
    /// What was foretold.
    pub outlook: Outlook,
    /// What came the same time of the latest season that was known.
    pub naive: f64,
    /// What came.
    pub actual: f64,
}

/// A time as people write it, microseconds of the clock it was written by; a number is seconds, or milli- or microseconds when large.
pub fn time_us(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.naive_local().and_utc().timestamp_micros());
    }
    let text = text.trim_end_matches('Z');
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y/%m/%d %H:%M:%S%.f", "%Y/%m/%d %H:%M", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return Some(time.and_utc().timestamp_micros());
        }
    }
    for format in ["%Y-%m-%d", "%Y/%m/%d", "%m/%d/%Y", "%Y%m%d"] {
        if let Ok(date) = NaiveDate::parse_from_str(text, format) {
            return date.and_hms_opt(0, 0, 0).map(|time| time.and_utc().timestamp_micros());
        }
    }
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    let scale = if number.abs() < 1e11 { 1e6 } else if number.abs() < 1e14 { 1e3 } else { 1.0 };
    Some((number * scale) as i64).filter(|time| time.unsigned_abs() < 1 << 60)
}

/// A step's beginning as text: a date, with the time of day where steps are shorter than a day.
pub fn shown(step: Step, number: i64) -> String {
    let time = DateTime::from_timestamp_micros(step.start(number)).unwrap_or_default();
    let short = matches!(step, Step::Every(us) if us % (24 * 3_600_000_000) != 0);
    time.format(if short { "%Y-%m-%dT%H:%M:%S" } else { "%Y-%m-%d" }).to_string()
}

fn named(step: &str) -> Step {
    match step {
        "minute" => Step::Every(60_000_000),
        "hour" => Step::HOUR,
        "week" => Step::Week,
        "month" => Step::Month,
        _ => Step::Day,
    }
}

/// What could not be used of a file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unused {
    /// Rows without a time that can be read.
    pub rows: u64,
    /// Values that are no numbers.
    pub values: u64,
    /// Rows of a step that had one already; averaged.
    pub repeated: u64,
}

impl Table {
    /// Reads a file.
    pub fn read(path: &std::path::Path, time: &str, value: Option<&str>, key: &[String], step: Option<Step>) -> Result<(Table, Unused)> {
        let mut columns = vec![time.to_owned()];
        columns.extend(value.map(str::to_owned));
        columns.extend(key.iter().cloned());
        let first_key = 1 + usize::from(value.is_some());
        let mut unused = Unused::default();
        let mut found: BTreeMap<String, (String, Vec<(i64, f64)>)> = BTreeMap::new();
        for row in Rows::open(path, &columns)? {
            let row = row?;
            let parts = &row.cells[first_key..];
            let name = parts.join("/");
            let rows = match found.get_mut(&name) {
                Some(rows) => rows,
                None => found.entry(name).or_insert((parts.first().cloned().unwrap_or_default(), Vec::new())),
            };
            let Some(time) = time_us(&row.cells[0]).filter(|_| row.problem.is_none()) else {
                unused.rows += 1;
                continue;
            };
            let value = match value {
                None => 1.0,
                Some(_) => row.cells[1].trim().parse().unwrap_or(f64::NAN),
            };
            unused.values += u64::from(!value.is_finite());
            rows.1.push((time, value));
        }
        for (_, rows) in found.values_mut() {
            rows.sort_by(|one, other| one.0.cmp(&other.0));
        }
        let step = step.unwrap_or_else(|| {
            if value.is_none() {
                return Step::Day;
            }
            let mut steps: Vec<Step> = found.values().filter_map(|(_, rows)| Step::found(&rows.iter().map(|row| row.0).collect::<Vec<_>>())).collect();
            steps.sort_unstable();
            steps.get(steps.len() / 2).copied().unwrap_or(Step::Day)
        });
        let mut table = Table { step, counts: true, series: Vec::new() };
        let times = || found.values().flat_map(|(_, rows)| rows.iter().map(|row| row.0));
        let (first, last) = (times().min().map_or(0, |time| step.of(time)), times().max().map_or(0, |time| step.of(time)));
        ensure!(
            (last - first).saturating_add(1).saturating_mul(found.len().max(1) as i64) <= CELLS_MAX,
            "{}: {} keys from {} to {} in steps of {step} are too many; look for a wrong time, or give a longer --step",
            path.display(),
            found.len(),
            shown(step, first),
            shown(step, last),
        );
        for (key, (pool, rows)) in found {
            let start = rows.first().map_or(last, |row| step.of(row.0));
            let end = if value.is_none() { last } else { rows.last().map_or(last, |row| step.of(row.0)) };
            let mut sums = vec![(0.0, 0u32); (end - start + 1).max(0) as usize];
            for (time, value) in rows {
                let sum = &mut sums[(step.of(time) - start) as usize];
                if value.is_finite() {
                    *sum = (sum.0 + value, sum.1 + 1);
                }
            }
            let values: Vec<f64> = match value {
                None => sums.iter().map(|sum| sum.0).collect(),
                Some(_) => {
                    unused.repeated += sums.iter().map(|sum| u64::from(sum.1.saturating_sub(1))).sum::<u64>();
                    sums.iter().map(|sum| if sum.1 == 0 { f64::NAN } else { sum.0 / f64::from(sum.1) }).collect()
                }
            };
            let whole = |value: &f64| value.is_nan() || (*value >= 0.0 && value.fract() == 0.0 && *value < 1e9);
            table.counts &= values.iter().all(whole);
            table.series.push(Series { key, pool, first: start, values });
        }
        table.counts &= step.season() < 1_000;
        Ok((table, unused))
    }

    /// Adds up series whose names the function makes equal, from the first step of all to the last; what is unknown stays so.
    pub fn summed(&self, name: impl Fn(&Series) -> String) -> Table {
        let (first, last) = self.range().unwrap_or((0, -1));
        let mut sums: BTreeMap<String, Series> = BTreeMap::new();
        for series in &self.series {
            let sum = sums.entry(name(series)).or_insert_with_key(|key| Series {
                key: key.clone(),
                pool: key.clone(),
                first,
                values: vec![0.0; (last - first + 1) as usize],
            });
            for (at, value) in series.values.iter().enumerate() {
                sum.values[(series.first - first) as usize + at] += value;
            }
        }
        Table { step: self.step, counts: self.counts, series: sums.into_values().collect() }
    }

    fn range(&self) -> Option<(i64, i64)> {
        let with_values = || self.series.iter().filter(|series| !series.values.is_empty());
        Some((with_values().map(|series| series.first).min()?, with_values().map(Series::last).max()?))
    }

    /// Goes through all steps; `at` is called after each with what tells the outlook of a series (number, distance ahead).
    fn walk(&self, leads: &[usize], level: f64, mut at: impl FnMut(i64, &dyn Fn(usize, usize) -> Option<Outlook>)) {
        let Some((first, last)) = self.range() else { return };
        if self.counts {
            let mut counts = Counts::new(self.step, leads);
            let mut pools: BTreeMap<&str, usize> = BTreeMap::new();
            for series in &self.series {
                let pool = *pools.entry(&series.pool).or_insert_with(|| counts.pool());
                counts.key(pool);
            }
            let mut row = vec![f64::NAN; self.series.len()];
            for step in first..=last {
                for (value, series) in row.iter_mut().zip(&self.series) {
                    *value = series.value(step);
                }
                counts.observe(step, &row);
                at(step, &|series, lead| counts.outlook(series, lead, level).filter(|_| counts.seen(series) > 0));
            }
            return;
        }
        for (number, series) in self.series.iter().enumerate() {
            let mut values = Values::new(self.step, leads, level);
            for step in series.first..=series.last() {
                values.observe(step, series.value(step));
                at(step, &|asked, lead| if asked == number { values.outlook(lead) } else { None });
            }
        }
    }

    /// Walks forward and gives each forecast made `horizon` steps before its step together with what came, from the step `from` on
    /// (without it the last four fifths of each series). The naive forecast is the value of the same place in the latest whole
    /// season that is known: seven days before for days and a horizon of up to seven.
    pub fn backtest(&self, horizon: usize, level: f64, from: Option<i64>, mut given: impl FnMut(Judged)) {
        let season = self.step.season();
        let back = (horizon.div_ceil(season) * season) as i64;
        self.walk(&[horizon], level, |step, outlook| {
            let target = step + horizon as i64;
            for (number, series) in self.series.iter().enumerate() {
                let from = from.unwrap_or(series.first + series.values.len() as i64 / 5).max(series.first + back);
                let (naive, actual) = (series.value(target - back), series.value(target));
                if target < from || naive.is_nan() || actual.is_nan() {
                    continue;
                }
                if let Some(outlook) = outlook(number, horizon) {
                    given(Judged { series: number, step: target, outlook, naive, actual });
                }
            }
        });
    }

    /// The outlooks of each series beyond its last step.
    pub fn ahead(&self, horizon: usize, level: f64) -> Vec<Vec<Option<Outlook>>> {
        let mut leads: Vec<usize> = std::iter::successors(Some(1), |lead| Some(lead * 2)).take_while(|lead| *lead < horizon).collect();
        leads.push(horizon);
        let mut ahead = vec![vec![None; horizon]; self.series.len()];
        self.walk(&leads, level, |step, outlook| {
            for (number, series) in self.series.iter().enumerate() {
                if series.last() == step {
                    let found: Vec<_> = (1..=horizon).map(|lead| outlook(number, lead)).collect();
                    if found.iter().any(Option::is_some) {
                        ahead[number] = found;
                    }
                }
            }
        });
        ahead
    }
}

impl Series {
    /// Its last step.
    pub fn last(&self) -> i64 {
        self.first + self.values.len() as i64 - 1
    }

    /// The value of a step; NaN where none is known.
    pub fn value(&self, step: i64) -> f64 {
        usize::try_from(step - self.first).ok().and_then(|at| self.values.get(at)).copied().unwrap_or(f64::NAN)
    }

    fn note(&self, context: &Context) -> &'static str {
        let known = || self.values.iter().filter(|value| !value.is_nan());
        let constant = known().all(|value| Some(value) == known().next());
        match known().count() {
            0 => if context.zh { "没有可用的值" } else { "no value that can be used" },
            few if few < FEW => if context.zh { "历史很短，不可靠" } else { "short history, little is known" },
            _ if constant => if context.zh { "一直不变" } else { "constant so far" },
            _ => "",
        }
    }
}

enum Sheet {
    Csv(Output),
    Json(Output),
}

impl Sheet {
    fn create(path: &std::path::Path, columns: &[&str]) -> Result<Sheet> {
        let name = path.to_string_lossy().to_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let mut output = Output::create(path)?;
        if name.ends_with(".jsonl") || name.ends_with(".ndjson") {
            return Ok(Sheet::Json(output));
        }
        output.csv_row(columns)?;
        Ok(Sheet::Csv(output))
    }

    fn row(&mut self, columns: &[&str], key: &str, time: &str, numbers: &[Option<f64>], note: Option<&str>) -> Result<()> {
        let number = |value: &f64| (value * 1e6).round() / 1e6;
        match self {
            Sheet::Csv(output) => {
                let mut cells = vec![key.to_owned(), time.to_owned()];
                cells.extend(numbers.iter().map(|value| value.as_ref().map(|value| number(value).to_string()).unwrap_or_default()));
                cells.extend(note.map(str::to_owned));
                output.csv_row(&cells)
            }
            Sheet::Json(output) => {
                let mut object = serde_json::Map::new();
                object.insert("key".into(), json!(key));
                object.insert("time".into(), json!(time));
                for (column, value) in columns[2..].iter().zip(numbers) {
                    object.insert((*column).into(), json!(value.as_ref().map(number)));
                }
                if let Some(note) = note {
                    object.insert("note".into(), json!(note));
                }
                output.json_line(&object)
            }
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Sheet::Csv(output) | Sheet::Json(output) => output.finish(),
        }
    }
}

impl Forecast {
    /// Reads, foretells, writes.
    pub fn run(&self, context: &Context) -> Result<()> {
        ensure!((1..=HORIZON_MAX).contains(&self.horizon), "--horizon is {}; give 1 to {HORIZON_MAX} steps", self.horizon);
        ensure!(self.level > 0.0 && self.level < 1.0, "--level is {}; give a share between 0 and 1, such as 0.9", self.level);
        let from = match &self.backtest_from {
            None => None,
            Some(text) => Some(time_us(text).ok_or_else(|| anyhow::anyhow!("--backtest-from {text} is no date; write 2024-01-31"))?),
        };
        let (table, unused) = Table::read(&self.input, &self.time, self.value.as_deref(), &self.key, self.step.as_deref().map(named))?;
        for (count, zh, en) in [
            (unused.rows, "行的时间无法识别，未使用", "rows have no time that can be read and were left out"),
            (unused.values, "个值不是数，视为未知", "values are no numbers and count as unknown"),
            (unused.repeated, "行与前面的同时，取平均", "rows have the time of another and were averaged with it"),
        ] {
            if count > 0 && !context.quiet {
                eprintln!("{count} {}", context.t(zh, en));
            }
        }
        if self.backtest { self.write_backtest(context, &table, from.map(|time| table.step.of(time))) } else { self.write_ahead(context, &table) }
    }

    fn write_ahead(&self, context: &Context, table: &Table) -> Result<()> {
        let columns = ["key", "time", "yhat", "lo", "hi", "mean", "note"];
        let mut sheet = Sheet::create(&self.out, &columns)?;
        for (series, ahead) in table.series.iter().zip(table.ahead(self.horizon, self.level)) {
            for (at, outlook) in ahead.iter().enumerate() {
                let time = shown(table.step, series.last() + 1 + at as i64);
                let numbers = [outlook.map(|o| o.median), outlook.map(|o| o.lo), outlook.map(|o| o.hi), outlook.map(|o| o.mean)];
                sheet.row(&columns, &series.key, &time, &numbers, Some(series.note(context)))?;
            }
        }
        sheet.finish()?;
        if context.json {
            println!("{}", json!({"keys": table.series.len(), "step": table.step.to_string(), "horizon": self.horizon, "counts": table.counts}));
        } else if !context.quiet {
            eprintln!("{}: {} × {} × {}", self.out.display(), table.series.len(), self.horizon, table.step);
        }
        Ok(())
    }

    fn write_backtest(&self, context: &Context, table: &Table, from: Option<i64>) -> Result<()> {
        let columns = ["key", "time", "yhat", "lo", "hi", "mean", "actual", "naive"];
        let mut judged: Vec<Judged> = Vec::new();
        table.backtest(self.horizon, self.level, from, |one| judged.push(one));
        judged.sort_by_key(|one| (one.series, one.step));
        let mut sheet = Sheet::create(&self.out, &columns)?;
        let mut skills = vec![Skill::default(); table.series.len()];
        let mut all = Skill::default();
        for one in &judged {
            skills[one.series].add(&one.outlook, self.level, one.naive, one.actual);
            let numbers = [one.outlook.median, one.outlook.lo, one.outlook.hi, one.outlook.mean, one.actual, one.naive].map(Some);
            sheet.row(&columns, &table.series[one.series].key, &shown(table.step, one.step), &numbers, None)?;
        }
        sheet.finish()?;
        skills.iter().for_each(|skill| all.join(skill));
        let mut keys: Vec<(&str, &Skill)> = table.series.iter().map(|series| series.key.as_str()).zip(&skills).collect();
        keys.sort_by(|one, other| other.1.actual.abs().total_cmp(&one.1.actual.abs()));
        if context.json {
            let by_key: Vec<_> = keys.iter().map(|(key, skill)| figures(skill, Some(key))).collect();
            let mut document = figures(&all, None);
            document["mean_skill_of_keys"] = json!(mean_skill(&skills));
            document["level"] = json!(self.level);
            document["by_key"] = json!(by_key);
            println!("{document}");
            return Ok(());
        }
        println!("{} {} × {}", context.t("回测，提前", "backtest, ahead by"), self.horizon, table.step);
        print_skills(context, self.level, std::iter::once((context.t("全部", "all"), &all)).chain(keys.iter().copied().take(20)));
        let mean = mean_skill(&skills).map_or("-".to_owned(), |skill| format!("{skill:.3}"));
        println!("{} {mean}", context.t("各序列技巧的平均：", "mean of the keys' skills:"));
        Ok(())
    }
}

/// The mean of the skills of those series whose naive forecast erred.
pub fn mean_skill(skills: &[Skill]) -> Option<f64> {
    let known: Vec<f64> = skills.iter().filter_map(Skill::skill).collect();
    (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
}

/// A skill's figures as JSON.
pub fn figures(skill: &Skill, key: Option<&str>) -> serde_json::Value {
    json!({
        "key": key, "forecasts": skill.forecasts, "skill": skill.skill(), "skill_rmse": skill.skill_square(), "mae": skill.mae(), "mae_naive": skill.mae_naive(),
        "pinball": skill.pinball(), "coverage": skill.coverage(), "width": skill.width(),
    })
}

/// A table of skills.
pub fn print_skills<'a>(context: &Context, level: f64, rows: impl Iterator<Item = (&'a str, &'a Skill)>) {
    println!(
        "{:>9} {:>8} {:>8} {:>9} {:>9} {:>8} {:>9} {:>8}  {}",
        context.t("预测数", "forecasts"),
        context.t("技巧", "skill"),
        context.t("均方技巧", "rmse sk."),
        "MAE",
        context.t("季节朴素", "naive MAE"),
        "pinball",
        format!("{} {:.0}%", context.t("覆盖", "in"), level * 100.0),
        context.t("宽度", "width"),
        context.t("序列", "series"),
    );
    let share = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    for (key, skill) in rows {
        println!(
            "{:>9} {:>8} {:>8} {:>9.3} {:>9.3} {:>8.3} {:>8.1}% {:>8.2}  {key}",
            skill.forecasts,
            share(skill.skill()),
            share(skill.skill_square()),
            skill.mae(),
            skill.mae_naive(),
            skill.pinball(),
            skill.coverage() * 100.0,
            skill.width()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Context = Context { home: PathBuf::new(), data: None, json: true, quiet: true, zh: false };

    fn run(rows: &str, change: impl FnOnce(&mut Forecast)) -> Result<Vec<String>> {
        let folder = tempfile::tempdir()?;
        let (input, out) = (folder.path().join("in.csv"), folder.path().join("out.csv"));
        std::fs::write(&input, rows)?;
        let mut forecast = Forecast {
            input,
            time: "t".into(),
            value: Some("v".into()),
            key: vec!["k".into()],
            horizon: 2,
            step: None,
            level: 0.9,
            backtest: false,
            backtest_from: None,
            out: out.clone(),
        };
        change(&mut forecast);
        forecast.run(&QUIET)?;
        Ok(std::fs::read_to_string(out)?.lines().map(str::to_owned).collect())
    }

    #[test]
    fn each_key_has_its_rows_however_bad_its_values() {
        let rows = "k,t,v\na,2024-01-03,5\na,2024-01-01,NaN\na,2024-01-01,3\na,zz,4\nb,bad,1\nc,2024-01-01,x\nd,2024-01-01,2.5\nd,2024-01-02,2.5\n";
        let lines = run(rows, |_| ()).unwrap();
        assert_eq!(lines.len(), 1 + 4 * 2);
        assert!(lines[1].starts_with("a,2024-01-04,"), "{lines:?}");
        assert_eq!(lines[3], "b,2024-01-04,,,,,no value that can be used");
        assert_eq!(run("k,t,v\n", |_| ()).unwrap().len(), 1);
    }

    #[test]
    fn days_without_rows_are_zeros_of_counts() {
        let lines = run("k,t,v\na,2024-01-01T10:00:00Z,\na,2024-01-01 11:00,\nb,2024-01-05,\n", |forecast| forecast.value = None).unwrap();
        assert!(lines[1].starts_with("a,2024-01-06,0,0,") && lines[3].starts_with("b,2024-01-06,"), "{lines:?}");
    }

    #[test]
    fn a_backtest_knows_nothing_of_what_comes_after() {
        let day = |at: usize| shown(Step::Day, 19_000 + at as i64);
        let rows = |wild: usize| {
            let mut text = "k,t,v\n".to_owned();
            for at in 0..120 {
                text += &format!("a,{},{}\n", day(at), if at >= wild { 900 + at % 3 } else { 10 + at % 7 });
            }
            text
        };
        let backtest = |forecast: &mut Forecast| (forecast.backtest, forecast.horizon) = (true, 7);
        let (calm, wild) = (run(&rows(200), backtest).unwrap(), run(&rows(100), backtest).unwrap());
        let before = |lines: &[String]| lines.iter().filter(|line| line.split(',').nth(1) < Some(day(107).as_str())).map(|line| line.split(',').take(6).collect::<Vec<_>>().join(",")).collect::<Vec<_>>();
        assert!(before(&calm).len() > 50);
        assert_eq!(before(&calm), before(&wild), "the change of day 100 is seen by forecasts for day 107 and later only");
        assert_ne!(calm.last(), wild.last());
    }

    #[test]
    fn times_and_wrong_options() {
        assert_eq!(time_us("2024-07-01T08:00:00+08:00"), time_us("2024-07-01 08:00"));
        assert_eq!(time_us("1719820800"), time_us("2024-07-01 08:00"));
        assert_eq!((time_us(""), time_us("NaN"), time_us("soon")), (None, None, None));
        let error = run("k,t,v\na,0001-01-01 00:00,1\na,9000-01-01 00:00,1\n", |forecast| forecast.step = Some("minute".into())).unwrap_err();
        assert!(error.to_string().contains("too many"), "{error}");
        assert!(run("k,t,v\n", |forecast| forecast.horizon = 0).is_err());
        assert!(run("k,t,v\n", |forecast| forecast.backtest_from = Some("x".into())).is_err());
    }
}
