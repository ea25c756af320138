//! `eval traffic`: faults of single loops planted into the speeds of a road network, and the column that is named, beside a z-score of each
//! column.
//!
//! The detector of several columns runs with its defaults. The week is as it was measured, congestion and all, and nobody says what in it is
//! strange: alarms on rows that nothing was planted in are counted beside the faults found. Two thresholds: 0.5, and the one that one row in a
//! hundred of the untouched week reaches; the z-score is each time given the threshold with which it alarms as often there.

use anyhow::{Result, ensure};
use detect::multi::Multi;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use crate::context::Context;
use crate::detect::number_of;
use crate::table::{Rows, columns};

const DATA: &str = "sensors/traffic_metr_la/los_speed.parquet";
const SEED: u64 = 207;
/// The week is read so often, each time with one fault of each kind.
const ROUNDS: usize = 16;
const STEP_US: i64 = 300_000_000;
/// The first half is learnt from: no fault in it, no alarm counted.
const LEARNT_ROWS: usize = 1_008;
/// A fault lasts three hours.
const FAULT_ROWS: usize = 36;
const ALARM: f64 = 0.5;
/// Alarms a row of the untouched week, for the second threshold.
const BUDGET: f64 = 0.01;
/// Rows of a window of the z-score: a day.
const WINDOW: usize = 288;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Stuck,
    LevelDown40Percent,
    Noise,
}

const KINDS: [Kind; 3] = [Kind::Stuck, Kind::LevelDown40Percent, Kind::Noise];

#[derive(Debug, Clone, Copy)]
struct Fault {
    kind: Kind,
    column: usize,
    from: usize,
}

/// A score and the column that drove it.
type Said = (f64, Option<usize>);

/// What one watcher did.
#[derive(Debug, Default, Serialize)]
struct Tally {
    watcher: &'static str,
    /// For each kind: planted, told within the fault with the right column, told with any column.
    kinds: [[usize; 3]; 3],
    /// Delays of those told with the right column, minutes.
    delays_min: Vec<usize>,
    /// Alarms within faults, and those that name the right column.
    within: [usize; 2],
    /// Alarms on rows of the untouched week.
    untouched_alarms: usize,
    untouched_rows: usize,
    threshold: f64,
    /// Of the rows of each kind of fault, those whose driver is the right column, alarm or not.
    driven: [[usize; 2]; 3],
}

/// Evaluates and prints.
pub fn run(context: &Context) -> Result<()> {
    let path = context.data_file(DATA)?;
    let names = columns(&path)?;
    let mut week = Vec::new();
    for row in Rows::open(&path, &names)? {
        week.push(row?.cells.iter().map(|cell| number_of(cell).unwrap_or(f64::NAN)).collect::<Vec<f64>>());
    }
    ensure!(week.len() > LEARNT_ROWS + 12 * FAULT_ROWS && !names.is_empty(), "{DATA} has {} rows and {} columns; a week of loops is needed", week.len(), names.len());
    let mut rounds = vec![(Vec::new(), week.clone())];
    let mut dice = StdRng::seed_from_u64(SEED);
    rounds.extend((0..ROUNDS).map(|_| plant(&week, &mut dice)));
    let bar = context.progress(rounds.len() as u64, context.t("轮", "rounds"));
    let both = |(_, rows): &(Vec<Fault>, Vec<Vec<f64>>)| {
        bar.inc(1);
        [multi(rows), z_scores(rows)]
    };
    let said: Vec<[Vec<Said>; 2]> = rounds.iter().map(both).collect();
    bar.finish_and_clear();
    let untouched = |watcher: usize| {
        let mut scores: Vec<f64> = said[0][watcher][LEARNT_ROWS..].iter().map(|it| it.0).collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        scores
    };
    let (ours, theirs) = (untouched(0), untouched(1));
    let alarms = ours.iter().filter(|score| **score >= ALARM).count();
    let budget = (BUDGET * ours.len() as f64) as usize;
    let thresholds = [("citybrain, 0.5", 0, ALARM), ("z-score", 1, theirs[alarms.max(1) - 1]), ("citybrain, 1 %", 0, ours[budget]), ("z-score", 1, theirs[budget])];
    let mut tallies = Vec::new();
    for (watcher, way, threshold) in thresholds {
        let mut tally = Tally { watcher, threshold, ..Tally::default() };
        rounds.iter().zip(&said).for_each(|((faults, _), said)| count(faults, &said[way], &mut tally));
        tally.delays_min.sort_unstable();
        tallies.push(tally);
    }
    if context.json {
        println!("{}", serde_json::json!({ "data": DATA, "rows": week.len(), "columns": names.len(), "seed": SEED, "watchers": tallies }));
        return Ok(());
    }
    println!("{}: {} × {}", context.t("路网车速", "speeds of a road network"), week.len(), names.len());
    println!("{:<16}{:>10}{:>10}{:>10}{:>10}{:>20}{:>13}{:>21}{:>22}", "", context.t("门限", "threshold"), context.t("卡值", "stuck"), "-40 %", context.t("噪声", "noise"), context.t("告警指对列", "alarms name right"), context.t("延迟,分", "delay, min"), context.t("未植入行的告警", "alarms on untouched"), context.t("行指对列,%", "rows name right, %"));
    for tally in &tallies {
        let found = tally.kinds.map(|[planted, right, _]| format!("{right}/{planted}"));
        let delay = tally.delays_min.get(tally.delays_min.len() / 2).map_or("-".to_owned(), |it| it.to_string());
        let driven = tally.driven.map(|[right, rows]| format!("{:.0}", 100.0 * right as f64 / rows as f64)).join("/");
        println!("{:<16}{:>10.3}{:>10}{:>10}{:>10}{:>20}{:>13}{:>21}{:>22}", tally.watcher, tally.threshold, found[0], found[1], found[2], format!("{}/{}", tally.within[1], tally.within[0]), delay, format!("{}/{}", tally.untouched_alarms, tally.untouched_rows), driven);
    }
    Ok(())
}

/// The week with a fault of each kind, a day apart.
fn plant(week: &[Vec<f64>], dice: &mut StdRng) -> (Vec<Fault>, Vec<Vec<f64>>) {
    let mut rows = week.to_vec();
    let space = (week.len() - LEARNT_ROWS) / KINDS.len();
    let mut order = KINDS;
    order.rotate_left(dice.random_range(0..KINDS.len()));
    let mut faults = Vec::new();
    for (place, kind) in order.into_iter().enumerate() {
        let from = LEARNT_ROWS + place * space + dice.random_range(FAULT_ROWS..space - 2 * FAULT_ROWS);
        let column = dice.random_range(0..week[0].len());
        let held = week[from - 1][column];
        for row in &mut rows[from..from + FAULT_ROWS] {
            row[column] = match kind {
                Kind::Stuck => held,
                Kind::LevelDown40Percent => 0.6 * row[column],
                // A loop that counts by chance: anything from standstill to twice as fast.
                Kind::Noise => row[column] * dice.random_range(0.0..2.0),
            };
        }
        faults.push(Fault { kind, column, from });
    }
    (faults, rows)
}

fn multi(rows: &[Vec<f64>]) -> Vec<Said> {
    let mut multi = Multi::new(rows[0].len());
    // The file has no times; the week begins at a midnight.
    rows.iter().enumerate().map(|(at, row)| multi.score(at as i64 * STEP_US, row)).map(|score| (score.anomaly, score.driver)).collect()
}

/// The baseline: how many deviations of the last day each column stands from its mean of the last day, and which stands farthest.
fn z_scores(rows: &[Vec<f64>]) -> Vec<Said> {
    let one = |at: usize| {
        let window = &rows[at.saturating_sub(WINDOW)..at];
        let mut farthest: Said = (0.0, None);
        for (column, value) in rows[at].iter().enumerate() {
            let there = || window.iter().map(|row| row[column]).filter(|it| it.is_finite());
            let n = there().count().max(1) as f64;
            let mean = there().sum::<f64>() / n;
            let deviation = (there().map(|it| (it - mean).powi(2)).sum::<f64>() / n).sqrt();
            let z = (value - mean).abs() / deviation.max(1e-6);
            if z > farthest.0 {
                farthest = (z, Some(column));
            }
        }
        farthest
    };
    (0..rows.len()).map(one).collect()
}

fn count(faults: &[Fault], said: &[Said], tally: &mut Tally) {
    let threshold = tally.threshold;
    let alarm = |it: &Said| it.0 >= threshold;
    if faults.is_empty() {
        tally.untouched_alarms = said[LEARNT_ROWS..].iter().filter(|it| alarm(it)).count();
        tally.untouched_rows = said.len() - LEARNT_ROWS;
    }
    for Fault { kind, column, from } in faults {
        let within = &said[*from..from + FAULT_ROWS];
        let right = within.iter().position(|it| alarm(it) && it.1 == Some(*column));
        let counts = &mut tally.kinds[*kind as usize];
        counts[0] += 1;
        counts[1] += usize::from(right.is_some());
        counts[2] += usize::from(within.iter().any(alarm));
        tally.delays_min.extend(right.map(|at| at * 5));
        let driven = &mut tally.driven[*kind as usize];
        *driven = [driven[0] + within.iter().filter(|it| it.1 == Some(*column)).count(), driven[1] + within.len()];
        tally.within[0] += within.iter().filter(|it| alarm(it)).count();
        tally.within[1] += within.iter().filter(|it| alarm(it) && it.1 == Some(*column)).count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_counted_where_they_lie() {
        let week: Vec<Vec<f64>> = (0..2_016).map(|at| vec![60.0 + (at % 7) as f64, 50.0 + (at % 5) as f64]).collect();
        let (faults, rows) = plant(&week, &mut StdRng::seed_from_u64(1));
        assert_eq!(faults.len(), 3);
        let said: Vec<Said> = rows.iter().zip(&week).map(|(row, before)| (if row == before { 0.0 } else { 1.0 }, (0..2).find(|at| row[*at] != before[*at]))).collect();
        let mut tally = Tally { threshold: 0.5, ..Tally::default() };
        count(&[], &said, &mut tally);
        assert!(tally.untouched_alarms > 90);
        count(&faults, &said, &mut tally);
        assert_eq!((tally.kinds, tally.within[0]), ([[1, 1, 1]; 3], tally.within[1]));
        assert!(z_scores(&rows)[faults[0].from..].iter().all(|it| it.1.is_some()));
    }
}
