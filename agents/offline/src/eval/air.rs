//! `eval air`: faults of sensors planted into four years of twelve stations of Beijing, hour by hour, beside fixed rules of control rooms.
//!
//! Each sensor is watched from its first reading on, alone and with the defaults. The first year is the development part, the only one that
//! constants were chosen on; the other three are reported apart. What the data has of itself stays in it: silences are counted as
//! such, and every alarm on a value that stayed by nature is a false one, told apart by how long it stayed.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use detect::{Detector, Health, Kind as Why, Options, Score};
use serde::Serialize;

use super::air_planted::{Fault, KINDS, Kind, Planted, Reading, SILENT_HOURS, STUCK_HOURS, plant};
use crate::context::Context;
use crate::detect::{number_of, time_us_of};
use crate::table::Rows;

const DATA: &str = "sensors/air_beijing/prsa_12stations_2013_2017.parquet";
/// Columns and the steps in which they are reported.
const COLUMNS: [(&str, f64); 11] =
    [("PM2.5", 1.0), ("PM10", 1.0), ("SO2", 1.0), ("NO2", 1.0), ("CO", 100.0), ("O3", 1.0), ("TEMP", 0.1), ("PRES", 0.1), ("DEWP", 0.1), ("RAIN", 0.1), ("WSPM", 0.1)];
const SEED: u64 = 20_130_301;
const HOUR_US: i64 = 3_600_000_000;
const DEVELOPMENT_HOURS: usize = 365 * 24;
/// Alarms so soon after a planted fault are its own: the value comes back.
const GRACE_HOURS: usize = 3;
const HOURS_A_MONTH: f64 = 730.5;
/// Silences of fewer missing hours are not clearly longer than the cadence.
const SILENT_HOURS_MIN: usize = 3;

/// Who watches.
type Watch = fn(&[Reading]) -> Vec<Option<Why>>;
const WATCHES: [(&str, Watch); 4] =
    [("health_score", health), ("anomaly_score", anomaly), ("rule: 4 h, 2 steps", |it| rule(it, 4)), ("rule: 12 h, 2 steps", |it| rule(it, 12))];

/// What one watcher did in one part of the years.
#[derive(Debug, Clone, Default, Serialize)]
struct Tally {
    /// For each kind and duration: planted, found, delays in hours.
    planted: BTreeMap<(Kind, usize), usize>,
    found: BTreeMap<(Kind, usize), usize>,
    delays: BTreeMap<Kind, Vec<usize>>,
    /// For each column, values that stay: found, planted.
    by_column: BTreeMap<&'static str, [usize; 2]>,
    /// Alarms on values that stayed by nature, by column and by how many hours they stayed in the end: fewer than 12, than 24, more.
    stayed: BTreeMap<&'static str, [usize; 3]>,
    /// Of them, those at the lowest value of the sensor.
    at_lowest: usize,
    /// Silences that the data has: those of three hours and more, found; shorter ones, told.
    silences: [usize; 2],
    short_silences: [usize; 2],
    /// Alarms of silence where there was none.
    no_silence: usize,
    /// Other alarms: what was measured is strange.
    measured: usize,
    sensor_months: f64,
}

/// Evaluates and prints.
pub fn run(context: &Context) -> Result<()> {
    let stations = read(context)?;
    let mut tallies: Vec<[Tally; 2]> = WATCHES.iter().map(|_| <[Tally; 2]>::default()).collect();
    let mut unseen = 0;
    let bar = context.progress((stations.len() * COLUMNS.len()) as u64, context.t("传感器", "sensors"));
    for (station, columns) in stations.values().enumerate() {
        for (column, values) in columns.iter().enumerate() {
            let (name, resolution) = COLUMNS[column];
            let planted = plant(values, resolution, SEED + (station * COLUMNS.len() + column) as u64);
            unseen += planted.unseen;
            for ((_, watch), tally) in WATCHES.iter().zip(&mut tallies) {
                count(name, values, &planted, &watch(&planted.readings), tally);
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    if context.json {
        let part = |at: usize| -> Vec<_> { WATCHES.iter().zip(&tallies).map(|((name, _), tally)| report(name, &tally[at])).collect() };
        println!("{}", serde_json::json!({ "data": DATA, "sensors": stations.len() * COLUMNS.len(), "seed": SEED, "not_planted_because_unseen": unseen, "first_year_development": part(0), "other_three_years": part(1) }));
        return Ok(());
    }
    println!("{}: {} {}; {} {unseen}", context.t("北京空气，每小时", "Beijing air, hourly"), stations.len() * COLUMNS.len(), context.t("个传感器", "sensors"), context.t("看不出而未植入的故障", "faults not planted because nobody could see them"));
    for (at, title) in [(0, context.t("第一年（常数在此选定）", "first year (constants were chosen here)")), (1, context.t("其余三年", "the other three years"))] {
        println!("\n{title}");
        print(context, &tallies, at);
    }
    Ok(())
}

/// The columns of each station, hour by hour from the first; `NaN` where nothing stands.
fn read(context: &Context) -> Result<BTreeMap<String, Vec<Vec<f64>>>> {
    let mut names = vec!["ts", "station"];
    names.extend(COLUMNS.map(|column| column.0));
    let mut rows: BTreeMap<String, Vec<(i64, Vec<f64>)>> = BTreeMap::new();
    for row in Rows::open(&context.data_file(DATA)?, &names)? {
        let cells = row?.cells;
        if let Some(time) = time_us_of(&cells[0]) {
            let numbers = cells[2..].iter().map(|cell| number_of(cell).unwrap_or(f64::NAN)).collect();
            rows.entry(cells[1].clone()).or_default().push((time.div_euclid(HOUR_US), numbers));
        }
    }
    let first = rows.values().flatten().map(|row| row.0).min().unwrap_or_default();
    let last = rows.values().flatten().map(|row| row.0).max().unwrap_or_default();
    ensure!(last > first, "{DATA} has no rows");
    let columns = |rows: Vec<(i64, Vec<f64>)>| {
        let mut columns = vec![vec![f64::NAN; (last - first + 1) as usize]; COLUMNS.len()];
        for (hour, numbers) in rows {
            numbers.iter().enumerate().for_each(|(column, number)| columns[column][(hour - first) as usize] = *number);
        }
        columns
    };
    Ok(rows.into_iter().map(|(station, rows)| (station, columns(rows))).collect())
}

fn scored(readings: &[Reading], mut score: impl FnMut(i64, f64) -> Score) -> Vec<Option<Why>> {
    let alarm = |it: &Reading| Some(score(it.at as i64 * HOUR_US, it.value)).filter(|score| score.anomaly >= 0.5).map(|score| score.why);
    readings.iter().map(alarm).collect()
}

/// `health_score` of `citybrain detect --health`.
fn health(readings: &[Reading]) -> Vec<Option<Why>> {
    let mut sensor = Health::default();
    scored(readings, |time, value| sensor.look(time, value).score(1))
}

/// `anomaly_score` of `citybrain detect`.
fn anomaly(readings: &[Reading]) -> Vec<Option<Why>> {
    let mut detector = Detector::new(Options::default());
    scored(readings, |time, value| detector.score(time, value))
}

/// What control rooms set: the same value for so many hours, and no value for two steps, which they are told.
fn rule(readings: &[Reading], hours: usize) -> Vec<Option<Why>> {
    let (mut last, mut since, mut before, mut told) = (f64::NAN, 0, None, false);
    let mut alarm = |it: &Reading| {
        if it.value.is_nan() {
            return None;
        }
        let silent = before.is_some_and(|before| it.at - before >= 2);
        before = Some(it.at);
        if it.value != last {
            (last, since, told) = (it.value, it.at, false);
        }
        if silent {
            return Some(Why::Silent);
        }
        let stuck = it.at - since >= hours && !told;
        told |= stuck;
        stuck.then_some(Why::Stuck)
    };
    readings.iter().map(&mut alarm).collect()
}

fn count(column: &'static str, values: &[f64], planted: &Planted, alarms: &[Option<Why>], tally: &mut [Tally; 2]) {
    let part = |at: usize| usize::from(at >= DEVELOPMENT_HOURS);
    let of: Vec<(usize, f64, Option<Why>)> = planted.readings.iter().zip(alarms).map(|(reading, alarm)| (reading.at, reading.value, *alarm)).collect();
    let index = |at: usize| of.partition_point(|reading| reading.0 < at);
    let mut mine = vec![false; of.len()];
    for Fault { kind, hours, from } in &planted.faults {
        let tally = &mut tally[part(*from)];
        let (begin, end) = (index(*from), index(from + hours));
        let found = if kind.is_silence() {
            // The first value after it.
            of[end..].iter().find(|it| it.1.is_finite()).filter(|it| it.2 == Some(Why::Silent))
        } else {
            let fits = |why: Why| matches!(why, Why::Stuck | Why::Flat) || *kind == Kind::Dead && matches!(why, Why::Spike | Why::Level);
            of[begin..end].iter().find(|it| it.2.is_some_and(fits))
        };
        *tally.planted.entry((*kind, *hours)).or_default() += 1;
        if !kind.is_silence() {
            let counts = tally.by_column.entry(column).or_default();
            *counts = [counts[0] + usize::from(found.is_some()), counts[1] + 1];
        }
        if let Some(found) = found {
            *tally.found.entry((*kind, *hours)).or_default() += 1;
            tally.delays.entry(*kind).or_default().push(found.0 - from);
        }
        mine[begin..index(from + hours + GRACE_HOURS)].fill(true);
    }
    let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let mut before: Option<usize> = None;
    for (at, (hour, value, alarm)) in of.iter().enumerate() {
        let tally = &mut tally[part(*hour)];
        tally.sensor_months += 1.0 / HOURS_A_MONTH;
        let missing = before.map_or(0, |before| hour - before - 1);
        if value.is_finite() {
            before = Some(*hour);
        }
        if mine[at] || value.is_nan() {
            continue;
        }
        let told = usize::from(*alarm == Some(Why::Silent));
        match missing {
            0 => tally.no_silence += told,
            missing => {
                let silences = if missing >= SILENT_HOURS_MIN { &mut tally.silences } else { &mut tally.short_silences };
                silences[0] += 1;
                silences[1] += told;
            }
        }
        match alarm {
            None | Some(Why::Silent | Why::Usual | Why::Abstained) => {}
            Some(Why::Stuck | Why::Flat) => {
                let same = |readings: &mut dyn Iterator<Item = &(usize, f64, Option<Why>)>| readings.filter(|it| it.1.is_finite()).take_while(|it| it.1 == *value).count();
                let stayed = same(&mut of[..at].iter().rev()) + same(&mut of[at..].iter());
                tally.stayed.entry(column).or_default()[usize::from(stayed >= 12) + usize::from(stayed >= 24)] += 1;
                tally.at_lowest += usize::from(*value == lowest);
            }
            Some(Why::Spike | Why::Level | Why::Drift | Why::Season) => tally.measured += 1,
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    watcher: &'static str,
    recall: BTreeMap<String, (usize, usize)>,
    recall_by_column: BTreeMap<&'static str, [usize; 2]>,
    median_delay_hours: BTreeMap<Kind, usize>,
    false_stuck: BTreeMap<&'static str, [usize; 3]>,
    false_stuck_at_lowest: usize,
    false_stuck_a_sensor_month: f64,
    natural_silences_from_3_hours: [usize; 2],
    natural_silences_shorter: [usize; 2],
    silent_without_silence: usize,
    alarms_of_what_is_measured_a_sensor_month: f64,
    sensor_months: f64,
}

impl Tally {
    fn recall(&self, kind: Kind, hours: Option<usize>) -> (usize, usize) {
        let sum = |counts: &BTreeMap<(Kind, usize), usize>| counts.iter().filter(|(key, _)| key.0 == kind && hours.is_none_or(|hours| hours == key.1)).map(|it| it.1).sum();
        (sum(&self.found), sum(&self.planted))
    }

    fn delay(&self, kind: Kind) -> Option<usize> {
        let mut delays = self.delays.get(&kind)?.clone();
        delays.sort_unstable();
        delays.get(delays.len() / 2).copied()
    }

    fn false_stuck(&self) -> [usize; 3] {
        self.stayed.values().fold([0; 3], |sum, it| [sum[0] + it[0], sum[1] + it[1], sum[2] + it[2]])
    }
}

fn report(watcher: &'static str, tally: &Tally) -> Report {
    let recall = tally.planted.keys().map(|(kind, hours)| (format!("{kind:?} {hours} h").to_lowercase(), tally.recall(*kind, Some(*hours)))).collect();
    Report {
        watcher,
        recall,
        recall_by_column: tally.by_column.clone(),
        median_delay_hours: KINDS.iter().filter(|kind| !kind.is_silence()).filter_map(|kind| Some((*kind, tally.delay(*kind)?))).collect(),
        false_stuck: tally.stayed.clone(),
        false_stuck_at_lowest: tally.at_lowest,
        false_stuck_a_sensor_month: tally.false_stuck().iter().sum::<usize>() as f64 / tally.sensor_months,
        natural_silences_from_3_hours: tally.silences,
        natural_silences_shorter: tally.short_silences,
        silent_without_silence: tally.no_silence,
        alarms_of_what_is_measured_a_sensor_month: tally.measured as f64 / tally.sensor_months,
        sensor_months: tally.sensor_months,
    }
}

fn print(context: &Context, tallies: &[[Tally; 2]], part: usize) {
    let line = |name: &str, cells: &mut dyn Iterator<Item = String>| println!("{name:<34}{}", cells.map(|cell| format!("{cell:>26}")).collect::<String>());
    line(context.t("发现（占植入）", "found, of those planted"), &mut WATCHES.iter().map(|it| it.0.to_owned()));
    let share = |(found, planted): (usize, usize)| if planted == 0 { "-".to_owned() } else { format!("{:.1} % of {planted}", 100.0 * found as f64 / planted as f64) };
    for kind in KINDS {
        let name = match kind {
            Kind::Stuck => context.t("卡值", "stuck"),
            Kind::Jitter => context.t("卡值，抖动低于分辨率", "stuck, jitter below resolution"),
            Kind::Dead => context.t("归零", "dead (zero)"),
            Kind::Removed => context.t("缺行", "rows removed"),
            Kind::Empty => context.t("空值", "cells empty"),
        };
        line(name, &mut tallies.iter().map(|it| share(it[part].recall(kind, None))));
        for hours in if kind.is_silence() { SILENT_HOURS } else { STUCK_HOURS } {
            line(&format!("  {hours} h"), &mut tallies.iter().map(|it| share(it[part].recall(kind, Some(hours)))));
        }
        if !kind.is_silence() {
            line(context.t("  延迟中位数，小时", "  median delay, hours"), &mut tallies.iter().map(|it| it[part].delay(kind).map_or("-".to_owned(), |delay| delay.to_string())));
        }
    }
    let month = |count: usize, tally: &Tally| format!("{:.3}", count as f64 / tally.sensor_months);
    line(context.t("误报卡值，每传感器月", "false stuck, a sensor-month"), &mut tallies.iter().map(|it| month(it[part].false_stuck().iter().sum(), &it[part])));
    line(context.t("  自然停留 <12/<24/≥24 小时", "  it stayed <12/<24/from 24 h"), &mut tallies.iter().map(|it| it[part].false_stuck().map(|count| count.to_string()).join("/")));
    line(context.t("  其中在最低值", "  of them at the lowest value"), &mut tallies.iter().map(|it| it[part].at_lowest.to_string()));
    for (column, _) in COLUMNS {
        let found = |it: &Tally| it.by_column.get(column).map_or("-".to_owned(), |it| format!("{:.0} %", 100.0 * it[0] as f64 / it[1] as f64));
        let wrong = |it: &Tally| month(it.stayed.get(column).map_or(0, |it| it.iter().sum()) * COLUMNS.len(), it);
        line(&format!("  {column}"), &mut tallies.iter().map(|it| format!("{}, {}", found(&it[part]), wrong(&it[part]))));
    }
    line(context.t("数据自有中断 ≥3 小时，发现", "own silences from 3 h, found"), &mut tallies.iter().map(|it| share((it[part].silences[1], it[part].silences[0]))));
    line(context.t("数据自有中断 1-2 小时，报出", "own silences of 1-2 h, told"), &mut tallies.iter().map(|it| share((it[part].short_silences[1], it[part].short_silences[0]))));
    line(context.t("无中断而报中断", "silent without silence"), &mut tallies.iter().map(|it| it[part].no_silence.to_string()));
    line(context.t("测值异常，每传感器月", "measured is strange, sensor-month"), &mut tallies.iter().map(|it| month(it[part].measured, &it[part])));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_tell_once() {
        let readings: Vec<Reading> = [1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, f64::NAN, 3.0, 4.0].into_iter().enumerate().map(|(at, value)| Reading { at, value }).collect();
        let alarms = rule(&readings, 4);
        assert_eq!(alarms.iter().enumerate().filter_map(|(at, why)| Some((at, (*why)?))).collect::<Vec<_>>(), [(5, Why::Stuck), (8, Why::Silent)]);
    }

    #[test]
    fn alarms_are_counted_where_they_belong() {
        let values: Vec<f64> = (0..4_000).map(|at| (at % 7) as f64).collect();
        let planted = plant(&values, 1.0, 3);
        let mut tally = <[Tally; 2]>::default();
        count("made", &values, &planted, &rule(&planted.readings, 4), &mut tally);
        let found: usize = tally[0].found.values().sum();
        let jitter = planted.faults.iter().filter(|fault| fault.kind == Kind::Jitter).count();
        assert_eq!(found + jitter, planted.faults.len(), "the rule does not see jitter, and all else");
        assert_eq!((tally[0].false_stuck(), tally[0].no_silence, tally[0].measured), ([0; 3], 0, 0));
    }
}
