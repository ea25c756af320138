//! `eval nab`: the detector of one series over the Numenta Anomaly Benchmark, by its rules, beside two baselines.
//!
//! Of half of the series the windows are known here. Each row is scored from the rows before it, with the defaults, and
//! beside the best threshold for all stands the fixed one (0.5), and what comes out when each group of series is scored at
//! the threshold that is best for the other groups.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use detect::{Detector, Options};
use serde::Serialize;

use super::nab_score::{Mark, PROFILES, at, best, marks, windows};
use crate::context::Context;
use crate::detect::{number_of, time_us_of};
use crate::table::Rows;

const SERIES: &str = "sensors/nab/series.parquet";
const LABELS: &str = "sensors/nab/labels_half.json";
/// Published scores, all 58 series: standard, low FP, low FN. From the scoreboard of NAB.
const PUBLISHED: &[(&str, [Option<f64>; 3])] = &[
    ("ARTime", [Some(74.9), Some(65.1), Some(80.4)]),
    ("Numenta HTM", [Some(70.5), Some(62.6), Some(75.2)]),
    ("CAD OSE", [Some(69.9), Some(67.0), Some(73.2)]),
    ("KNN-CAD", [Some(58.0), None, None]),
    ("Random Cut Forest", [Some(51.7), None, None]),
    ("Windowed Gaussian", [Some(39.6), None, None]),
];
const AIM: f64 = 76.0;
/// The threshold that the detector's own scale means.
const ALARM: f64 = 0.5;

struct Series {
    name: String,
    times: Vec<i64>,
    values: Vec<f64>,
    windows: Vec<(usize, usize)>,
}

/// A detector that was run over the series.
#[derive(Debug, Serialize)]
struct Measured {
    detector: &'static str,
    /// At the threshold that is best for all, for each profile.
    best: [f64; 3],
    threshold: f64,
    /// Standard profile, each group at the threshold that is best for the others.
    other_groups_threshold: f64,
    /// Standard profile at 0.5, for the detector whose scale that is.
    fixed_threshold: Option<f64>,
    by_group: BTreeMap<String, f64>,
}

#[derive(Debug, Serialize)]
struct Report {
    series: usize,
    rows: usize,
    windows: usize,
    measured: Vec<Measured>,
    published: Vec<(&'static str, [Option<f64>; 3])>,
    aim: f64,
}

/// Evaluates and prints.
pub fn run(context: &Context) -> Result<()> {
    let series = read(context)?;
    let ways: [(&'static str, fn(&Series) -> Vec<f64>); 3] =
        [("citybrain", ours), ("windowed Gaussian", windowed_gaussian), ("control chart", control_chart)];
    let mut measured: Vec<Measured> = ways.into_iter().map(|(name, way)| measure(name, &series, way)).collect();
    // A threshold of 0.5 means nothing to the baselines.
    measured.iter_mut().skip(1).for_each(|row| row.fixed_threshold = None);
    let report = Report {
        series: series.len(),
        rows: series.iter().map(|series| series.values.len()).sum(),
        windows: series.iter().map(|series| series.windows.len()).sum(),
        measured,
        published: PUBLISHED.to_vec(),
        aim: AIM,
    };
    if context.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(context, &report);
    }
    Ok(())
}

fn read(context: &Context) -> Result<Vec<Series>> {
    let labels = std::fs::read(context.data_file(LABELS)?)?;
    let labels: BTreeMap<String, Vec<(String, String)>> = serde_json::from_slice(&labels).with_context(|| format!("{LABELS} is not as expected"))?;
    let mut values: BTreeMap<String, (Vec<i64>, Vec<f64>)> = BTreeMap::new();
    for row in Rows::open(&context.data_file(SERIES)?, &["series", "timestamp", "value"])? {
        let row = row?;
        let [name, time, value] = &row.cells[..] else { continue };
        if labels.contains_key(name) {
            let time = time_us_of(time).with_context(|| format!("{SERIES}: row {}: the time {time} cannot be read", row.number))?;
            let series = values.entry(name.clone()).or_default();
            series.0.push(time);
            series.1.push(number_of(value).unwrap_or(f64::NAN));
        }
    }
    let mut all = Vec::new();
    for (name, limits) in labels {
        let (times, values) = values.remove(&name).with_context(|| format!("{SERIES} lacks {name}"))?;
        let limits = limits.iter().map(|(from, to)| time_us_of(from).zip(time_us_of(to)).with_context(|| format!("{LABELS}: {name}: {from} cannot be read")));
        let windows = windows(&times, &limits.collect::<Result<Vec<_>>>()?).with_context(|| name.clone())?;
        all.push(Series { name, times, values, windows });
    }
    Ok(all)
}

fn measure(detector: &'static str, series: &[Series], way: fn(&Series) -> Vec<f64>) -> Measured {
    let mut groups: BTreeMap<String, Vec<Mark>> = BTreeMap::new();
    let mut windows = 0;
    for series in series {
        let group = series.name.split('/').next().unwrap_or_default();
        // The artificial series without anomalies say something only beside those with.
        let group = if group == "artificialNoAnomaly" { "artificialWithAnomaly" } else { group };
        groups.entry(group.to_owned()).or_default().extend(marks(&way(series), &series.windows, windows));
        windows += series.windows.len();
    }
    let all: Vec<Mark> = groups.values().flatten().copied().collect();
    let threshold = best(&all, PROFILES[0]).0;
    let windows_of = |marks: &[Mark]| {
        let mut windows: Vec<usize> = marks.iter().filter_map(|mark| mark.window).collect();
        windows.dedup();
        windows.len() as f64
    };
    let mut held_out = 0.0;
    for (group, marks) in &groups {
        let others: Vec<Mark> = groups.iter().filter(|(other, _)| *other != group).flat_map(|(_, marks)| marks).copied().collect();
        held_out += at(marks, PROFILES[0], best(&others, PROFILES[0]).0) * windows_of(marks);
    }
    Measured {
        detector,
        best: PROFILES.map(|profile| best(&all, profile).1),
        threshold,
        other_groups_threshold: held_out / windows_of(&all).max(1.0),
        fixed_threshold: Some(at(&all, PROFILES[0], ALARM)),
        by_group: groups.iter().map(|(group, marks)| (group.clone(), at(marks, PROFILES[0], threshold))).collect(),
    }
}

fn ours(series: &Series) -> Vec<f64> {
    let mut detector = Detector::new(Options::default());
    series.times.iter().zip(&series.values).map(|(time, value)| detector.score(*time, *value).anomaly).collect()
}

/// NAB's baseline: the tail of a normal distribution with mean and deviation of the last 1,000 values.
fn windowed_gaussian(series: &Series) -> Vec<f64> {
    let mut gaussian = WindowedGaussian::default();
    series.values.iter().map(|value| gaussian.score(*value)).collect()
}

/// The last values and their sums.
#[derive(Debug, Default)]
pub struct WindowedGaussian {
    window: std::collections::VecDeque<f64>,
    sum: f64,
    squares: f64,
}

impl WindowedGaussian {
    /// Scores a value, then takes it into the window of 1,000.
    pub fn score(&mut self, value: f64) -> f64 {
        if !value.is_finite() {
            return 0.0;
        }
        let n = self.window.len() as f64;
        let mean = self.sum / n.max(1.0);
        let deviation = (self.squares / n.max(1.0) - mean * mean).max(0.0).sqrt().max(1e-6);
        let score = if self.window.is_empty() { 0.0 } else { 1.0 - normal_tail((value - mean).abs() / deviation) };
        self.window.push_back(value);
        self.sum += value;
        self.squares += value * value;
        if self.window.len() > 1_000
            && let Some(old) = self.window.pop_front()
        {
            self.sum -= old;
            self.squares -= old * old;
        }
        score
    }
}

/// The distance from a moving mean in moving deviations (Roberts 1959), through the tail of a normal distribution.
fn control_chart(series: &Series) -> Vec<f64> {
    let (mut mean, mut variance) = (series.values.first().copied().unwrap_or_default(), 0.0_f64);
    let score = |value: &f64| {
        let distance = value - mean;
        let score = if variance > 0.0 { 1.0 - normal_tail(distance.abs() / variance.sqrt()) } else { 0.0 };
        mean += 0.05 * distance;
        variance += 0.05 * (distance * distance - variance);
        score
    };
    series.values.iter().map(score).collect()
}

/// The chance that a normal variable is larger than x, for x of 0 and more (Abramowitz and Stegun 26.2.17).
fn normal_tail(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x);
    let poly = t * (0.319_381_530 + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt() * poly
}

fn print(context: &Context, report: &Report) {
    println!("{}: {} {}, {} {}, {} {}", context.t("NAB，窗口已知的一半", "NAB, the half whose windows are known"), report.series, context.t("条序列", "series"), report.rows, context.t("行", "rows"), report.windows, context.t("个窗口", "windows"));
    println!("{:20} {:>8} {:>8} {:>8} {:>10} {:>14} {:>9}", context.t("检测器", "detector"), "standard", "low FP", "low FN", "threshold", "others' thr.", "at 0.5");
    for row in &report.measured {
        let [standard, low_fp, low_fn] = row.best;
        let fixed = row.fixed_threshold.map_or_else(|| "-".to_owned(), |score| format!("{score:.1}"));
        println!("{:20} {standard:>8.1} {low_fp:>8.1} {low_fn:>8.1} {:>10.4} {:>14.1} {:>9}", row.detector, row.threshold, row.other_groups_threshold, fixed);
    }
    for row in report.measured.iter().take(1) {
        println!("\n{}", context.t("各组（标准，同一阈值）", "groups (standard, one threshold)"));
        for (group, score) in &row.by_group {
            println!("{group:24} {score:>6.1}");
        }
    }
    println!("\n{}", context.t("公开结果（全部 58 条序列，引用）", "published, all 58 series, as quoted"));
    for (name, scores) in &report.published {
        let shown = scores.map(|score| score.map_or_else(|| "-".to_owned(), |score| format!("{score:.1}")));
        println!("{name:20} {:>8} {:>8} {:>8}", shown[0], shown[1], shown[2]);
    }
    println!("{} {:.1}", context.t("目标（标准，全部序列）", "aim (standard, all series)"), report.aim);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails() {
        assert!((normal_tail(0.0) - 0.5).abs() < 1e-6);
        assert!((normal_tail(1.96) - 0.025).abs() < 1e-4);
    }

    #[test]
    fn the_detector_is_better_than_its_baselines_on_planted_anomalies() {
        let series: Vec<Series> = (0..6).map(planted).collect();
        let scores = [ours, windowed_gaussian, control_chart].map(|way| measure("", &series, way).best[0]);
        assert!(scores[0] > scores[1] && scores[0] > scores[2], "{scores:?}");
    }

    /// Days of twelve hours of work, one of which is missing, and one spike.
    fn planted(seed: i64) -> Series {
        let times: Vec<i64> = (0..4_000).map(|at| at * 300_000_000).collect();
        let value = |at: i64| {
            let noise = ((at * 7_919 + seed * 104_729) % 997) as f64 / 997.0;
            let work = if at % 288 >= 144 && at / 288 != 9 + seed % 3 { 20.0 } else { 0.0 };
            noise + work + if at == 1_500 { 30.0 } else { 0.0 }
        };
        let missing = ((9 + seed % 3) * 288 + 100) as usize;
        Series { name: format!("planted/{seed}"), times, values: (0..4_000).map(value).collect(), windows: vec![(1_450, 1_550), (missing, missing + 180)] }
    }
}
