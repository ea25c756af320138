//! `detect`: a score from 0 to 1 for each value of a series, or of each series below a folder.
//!
//! Values are read and scored one at a time in the order of the file, so that a score knows nothing of what comes later.
//! Times and values are written as they came; a row without a number has an empty score, and is counted.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use detect::{Detector, Health, Kind, Options, Score};

use crate::context::Context;
use crate::detect_multi::DetectMulti;
use crate::table::{Output, Rows, columns};

/// Options of `detect`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// A file with columns `timestamp,value`, or a folder of such files (.csv, at any depth).
    #[arg(long = "in", value_name = "FILE|DIR")]
    pub input: PathBuf,
    /// Where to write; for a folder the folder for files of the same names.
    #[arg(long, value_name = "FILE|DIR")]
    pub out: PathBuf,
    /// Adds a column that says what is strange; of several columns, the one that drove the score.
    #[arg(long)]
    pub explain: bool,
    /// Adds columns for the sensor's own health, where there is one column of values: `health_score`, and `fault` (`stuck`, `silent`).
    #[arg(long)]
    pub health: bool,
    /// Balances of a water network: zones parted by `/`, each `name:in=a,b;out=c;level=d;area=m2`; what is left out is
    /// learnt. `auto` learns all of it from columns named flow* and level*.
    #[arg(long)]
    pub balance: Option<String>,
    /// Alarms of the balances, JSON lines.
    #[arg(long, value_name = "FILE")]
    pub alarms: Option<PathBuf>,
}

/// Columns that are no values: the time, what others said of it, and what NAB's result files add.
const TIMES: &[&str] = &["timestamp", "time", "datetime", "date", "ts"];
const LABEL: &str = "label";

/// How many rows were scored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows.
    pub rows: u64,
    /// Of them, those without a number.
    pub without_number: u64,
    /// Of them, those whose time cannot be read; the time of the row before stands for it.
    pub without_time: u64,
    /// Of them, those worth an alarm: a score of 0.5 and more.
    pub alarms: u64,
    /// Of them, those with which a fault of the sensor became known; 0 when nobody asked.
    pub faults: u64,
}

/// The columns of a file of series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// The column of the time.
    pub time: String,
    /// The columns of values.
    pub values: Vec<String>,
    /// Whether there is a column `label`, to be copied.
    pub label: bool,
}

impl Columns {
    /// Finds out which column is what.
    pub fn of(path: &Path) -> Result<Columns> {
        let names = columns(path)?;
        let time = names.iter().find(|name| TIMES.contains(&name.to_lowercase().as_str()));
        let time = time.with_context(|| format!("{} has no column timestamp; it has: {}", path.display(), names.join(", ")))?.clone();
        let is_value = |name: &&String| **name != time && *name != LABEL && *name != "anomaly_score" && !name.starts_with("S(t)");
        let values: Vec<String> = names.iter().filter(is_value).cloned().collect();
        ensure!(!values.is_empty(), "{} has no column value beside {time}; it has: {}", path.display(), names.join(", "));
        Ok(Columns { time, values, label: names.iter().any(|name| name == LABEL) })
    }
}

impl Args {
    /// Scores the file or the files.
    pub fn run(&self, context: &Context) -> Result<()> {
        let mut counts = Counts::default();
        if self.input.is_dir() {
            let mut files = Vec::new();
            collect(&self.input, Path::new(""), &mut files)?;
            ensure!(!files.is_empty(), "there is no .csv below {}", self.input.display());
            let bar = context.progress(files.len() as u64, context.t("序列", "series"));
            for file in files {
                let out = self.out.join(&file);
                let folder = out.parent().context("a file lies in a folder")?;
                std::fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
                self.one(context, &self.input.join(&file), &out, &mut counts)?;
                bar.inc(1);
            }
            bar.finish_and_clear();
        } else {
            self.one(context, &self.input, &self.out, &mut counts)?;
        }
        if !context.quiet && counts.rows > 0 {
            let Counts { rows, without_number, without_time, alarms, faults } = counts;
            if context.zh {
                eprintln!("{rows} 行：{alarms} 行得分不低于 0.5；{without_number} 行没有数值，得分留空；{without_time} 行时间读不出");
            } else {
                eprintln!("{rows} rows: {alarms} with a score of 0.5 or more; {without_number} without a number, their score is empty; {without_time} with a time that cannot be read");
            }
            if self.health {
                eprintln!("{}: {faults}", context.t("传感器故障（health_score 不低于 0.5）", "faults of sensors (health_score of 0.5 or more)"));
            }
        }
        Ok(())
    }

    fn one(&self, context: &Context, input: &Path, out: &Path, counts: &mut Counts) -> Result<()> {
        let columns = Columns::of(input)?;
        match &columns.values[..] {
            [value] if self.balance.is_none() => one_series(&columns, value, input, out, (self.explain, self.health), counts),
            _ => {
                let (balance, alarms) = (self.balance.clone(), self.alarms.clone());
                DetectMulti { input: input.to_owned(), output: out.to_owned(), explain: self.explain, balance, alarms }.run(context, &columns)
            }
        }
    }
}

fn collect(root: &Path, below: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let folder = root.join(below);
    let entries = std::fs::read_dir(&folder).with_context(|| format!("could not read {}", folder.display()))?;
    let mut names = entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    for name in names {
        let path = below.join(&name);
        if root.join(&path).is_dir() {
            collect(root, &path, files)?;
        } else if [".csv", ".csv.gz"].iter().any(|end| name.to_string_lossy().to_lowercase().ends_with(end)) {
            files.push(path);
        }
    }
    Ok(())
}

fn one_series(columns: &Columns, value: &str, input: &Path, out: &Path, (explain, health): (bool, bool), counts: &mut Counts) -> Result<()> {
    let mut wanted = vec![columns.time.as_str(), value];
    wanted.extend(columns.label.then_some(LABEL));
    let mut output = Output::create(out)?;
    let mut writer = csv::Writer::from_writer(&mut output);
    let mut header = vec![columns.time.as_str(), value, "anomaly_score"];
    header.extend(columns.label.then_some(LABEL));
    header.extend(explain.then_some("why"));
    header.extend(if health { &["health_score", "fault"][..] } else { &[] });
    writer.write_record(&header)?;
    let (mut detector, mut sensor) = (Detector::new(Options::default()), Health::default());
    let mut time_us = 0;
    for row in Rows::open(input, &wanted)? {
        let row = row?;
        counts.rows += 1;
        match time_us_of(&row.cells[0]) {
            Some(time) => time_us = time,
            None => counts.without_time += 1,
        }
        let number = number_of(&row.cells[1]);
        let scored = number.map(|number| detector.score(time_us, number));
        counts.without_number += u64::from(number.is_none());
        counts.alarms += u64::from(scored.is_some_and(|score| score.anomaly >= 0.5));
        let shown = |score: Option<Score>| score.map(|score| format!("{:.6}", score.anomaly)).unwrap_or_default();
        let score = shown(scored);
        let mut record = vec![row.cells[0].as_str(), row.cells[1].as_str(), &score];
        record.extend(columns.label.then(|| row.cells[2].as_str()));
        record.extend(explain.then(|| scored.map_or("abstained", |score| name_of(score.why))));
        let of_sensor = number.filter(|_| health).map(|number| sensor.look(time_us, number).score(1));
        let health_score = shown(of_sensor);
        if health {
            counts.faults += u64::from(of_sensor.is_some_and(|score| score.anomaly >= 0.5));
            record.extend([health_score.as_str(), of_sensor.filter(|score| score.why != Kind::Usual).map_or("", |score| name_of(score.why))]);
        }
        writer.write_record(&record)?;
    }
    writer.flush()?;
    drop(writer);
    output.finish()
}

/// A cell as a number; `None` for an empty cell, text, and what is not finite.
pub fn number_of(cell: &str) -> Option<f64> {
    cell.trim().parse().ok().filter(|number: &f64| number.is_finite())
}

/// A cell as a time, in microseconds since 1970; without a zone it is taken as it stands. Seconds, milliseconds and
/// microseconds since 1970 are told apart by their size.
pub fn time_us_of(cell: &str) -> Option<i64> {
    let cell = cell.trim();
    if let Ok(number) = cell.parse::<f64>() {
        let us = match number.abs() {
            size if size < 1e11 => number * 1e6,
            size if size < 1e14 => number * 1e3,
            size if size < 1e17 => number,
            _ => return None,
        };
        return Some(us as i64);
    }
    for form in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(cell, form) {
            return Some(time.and_utc().timestamp_micros());
        }
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(cell) {
        return Some(time.naive_local().and_utc().timestamp_micros());
    }
    let day = NaiveDate::parse_from_str(cell, "%Y-%m-%d").or_else(|_| NaiveDate::parse_from_str(cell, "%Y/%m/%d")).ok()?;
    Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
}

/// The name of a kind in files.
pub fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Usual => "usual",
        Kind::Abstained => "abstained",
        Kind::Spike => "spike",
        Kind::Level => "level",
        Kind::Drift => "drift",
        Kind::Flat => "flat",
        Kind::Season => "season",
        Kind::Silent => "silent",
        Kind::Stuck => "stuck",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        Context { home: PathBuf::new(), data: None, json: false, quiet: true, zh: false }
    }

    fn run(input: &str, explain: bool) -> String {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("in.csv"), folder.path().join("out.csv"));
        std::fs::write(&from, input).unwrap();
        Args { input: from, out: to.clone(), explain, health: false, balance: None, alarms: None }.run(&context()).unwrap();
        std::fs::read_to_string(to).unwrap()
    }

    #[test]
    fn each_row_has_its_line_as_it_came() {
        let written = run("timestamp,value,label\n2014-04-01 00:00:00,1.50,0\nnever,,1\n2014-04-01 00:10:00,NaN,0\n\"x,y\",1e3,0\nbroken\n", false);
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!(lines[0], "timestamp,value,anomaly_score,label");
        assert_eq!(lines[1], "2014-04-01 00:00:00,1.50,0.000000,0");
        assert_eq!(lines[2], "never,,,1");
        assert_eq!(lines[3], "2014-04-01 00:10:00,NaN,,0");
        assert_eq!(lines[4], "\"x,y\",1e3,0.000000,0");
        assert_eq!(lines[5], ",,,");
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn a_spike_is_named() {
        let mut text = "timestamp,value\n".to_owned();
        for at in 0..300 {
            text += &format!("{},{}\n", 1_600_000_000 + at * 300, if at == 250 { 99 } else { at * 7 % 5 });
        }
        let written = run(&text, true);
        let alarms: Vec<&str> = written.lines().skip(1).filter(|line| line.split(',').nth(2).unwrap().parse::<f64>().unwrap() >= 0.5).collect();
        assert_eq!(alarms.len(), 1, "{alarms:?}");
        assert!(alarms[0].starts_with("1600075000,99,") && alarms[0].ends_with(",spike"), "{alarms:?}");
    }

    #[test]
    fn a_sensor_that_is_stuck_or_silent_is_told_apart_from_what_it_measures() {
        let mut text = "timestamp,value\n".to_owned();
        for at in 0..400_i64 {
            let value = if (300..310).contains(&at) { 3 } else { at * at % 17 };
            if (350..354).contains(&at) {
                text += &format!("{},\n", 1_600_000_000 + at * 300);
            } else if !(370..375).contains(&at) {
                text += &format!("{},{value}\n", 1_600_000_000 + at * 300);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("in.csv"), folder.path().join("out.csv"));
        std::fs::write(&from, &text).unwrap();
        let mut command = Args { input: from, out: to.clone(), explain: true, health: true, balance: None, alarms: None };
        command.run(&context()).unwrap();
        let written = std::fs::read_to_string(&to).unwrap();
        assert!(written.starts_with("timestamp,value,anomaly_score,why,health_score,fault\n"));
        assert_eq!(written.lines().count(), text.lines().count());
        let cells = |line: &str| line.split(',').map(str::to_owned).collect::<Vec<_>>();
        let told: Vec<(i64, String)> = written.lines().skip(1).map(cells).filter(|it| it[4].parse::<f64>().is_ok_and(|score| score >= 0.5)).map(|it| ((it[0].parse::<i64>().unwrap() - 1_600_000_000) / 300, it[5].clone())).collect();
        assert!(matches!(&told[..], [(303..310, stuck), (354, one), (375, two)] if stuck == "stuck" && one == "silent" && two == "silent"), "{told:?}");
        assert!(written.contains(",,,abstained,,\n"), "a row without a number has empty scores");
        // What is measured has the same score, asked or not.
        command.health = false;
        command.run(&context()).unwrap();
        let plain = std::fs::read_to_string(to).unwrap();
        assert!(plain.lines().zip(written.lines()).all(|(plain, with)| with.starts_with(plain)));
    }

    #[test]
    fn folders_keep_their_layout() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("in"), folder.path().join("out"));
        std::fs::create_dir_all(from.join("a/b")).unwrap();
        std::fs::write(from.join("a/b/one.csv"), "timestamp,value\n1,2\n").unwrap();
        std::fs::write(from.join("two.csv"), "timestamp,value\n").unwrap();
        std::fs::write(from.join("a/notes.txt"), "no series").unwrap();
        Args { input: from, out: to.clone(), explain: false, health: false, balance: None, alarms: None }.run(&context()).unwrap();
        assert_eq!(std::fs::read_to_string(to.join("a/b/one.csv")).unwrap(), "timestamp,value,anomaly_score\n1,2,0.000000\n");
        assert_eq!(std::fs::read_to_string(to.join("two.csv")).unwrap(), "timestamp,value,anomaly_score\n");
        assert!(!to.join("a/notes.txt").exists());
    }

    #[test]
    fn what_is_missing_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("in.csv");
        std::fs::write(&from, "when,value\n1,2\n").unwrap();
        let error = Args { input: from, out: folder.path().join("out.csv"), explain: false, health: false, balance: None, alarms: None }.run(&context()).unwrap_err().to_string();
        assert!(error.contains("no column timestamp") && error.contains("when, value"), "{error}");
    }

    #[test]
    fn times() {
        let midnight = Some(1_396_310_400_000_000);
        for cell in ["2014-04-01 00:00:00", "2014-04-01T00:00:00Z", "2014-04-01", "2014/04/01 00:00", "1396310400", "1396310400000", " 2014-04-01 00:00:00.000000"] {
            assert_eq!(time_us_of(cell), midnight, "{cell}");
        }
        for cell in ["1970-01-02 00:00:00", "1970-01-02T00:00:00.000", "1970-01-02", "86400", "1970-01-02T00:00:00+08:00", "1970/01/02 00:00"] {
            assert_eq!(time_us_of(cell), Some(86_400_000_000), "{cell}");
        }
        for cell in ["", "soon", "yesterday", "1e300", "2014-13-01"] {
            assert_eq!(time_us_of(cell), None, "{cell}");
        }
    }
}
