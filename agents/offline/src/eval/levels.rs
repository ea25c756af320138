//! `eval levels`: water levels two hours ahead on a generated catchment, beside standing still and going on as before.
//!
//! No public readings are at hand, so the catchment is simulated: storms of random time, length and strength, a ground that wets, three
//! storages in a row, a basin with two pumps, readings with noise and gaps. The method knows nothing of it but readings and rain.

use std::collections::VecDeque;

use anyhow::Result;
use forecast::{Level, Outlook};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::context::Context;

const SEED: u64 = 20_240_717;
const DAYS: usize = 150;
/// Days that only teach.
const LEARN_DAYS: usize = 60;
const MINUTES: [usize; 4] = [15, 30, 60, 120];
const INTERVAL: f64 = 0.9;
/// Minutes over which the straight line of the baseline is drawn.
const LINE: usize = 30;
/// A flood rises at least so far above where it began, m.
const FLOOD: f64 = 0.5;
/// A peak is foretold this many minutes before it.
const BEFORE: usize = 30;

struct Catchment {
    /// mm in each minute.
    rain: Vec<f64>,
    /// True level, m.
    level: Vec<f64>,
    /// What the gauge says; NaN where it is silent.
    read: Vec<f64>,
}

fn catchment(seed: u64) -> Catchment {
    let mut chance = StdRng::seed_from_u64(seed);
    let minutes = DAYS * 1440;
    let mut rain = vec![0.0; minutes];
    let mut at = 600;
    while at < minutes {
        let (length, strength): (f64, f64) = (chance.random_range(30.0..240.0), chance.random_range(0.05f64..1.2).powi(2));
        let peak: f64 = chance.random_range(0.2..0.7);
        for minute in 0..length as usize {
            let share = minute as f64 / length;
            let shape = if share < peak { share / peak } else { (1.0 - share) / (1.0 - peak) };
            if let Some(rain) = rain.get_mut(at + minute) {
                *rain += strength * shape * chance.random_range(0.6..1.4);
            }
        }
        at += chance.random_range(300..2_400);
    }
    let (mut wet, mut storages, mut volume) = (0.0, [0.0f64; 3], 0.0f64);
    let mut pumps = [false; 2];
    let (mut level, mut read) = (Vec::with_capacity(minutes), Vec::with_capacity(minutes));
    for fallen in &rain {
        wet += fallen - wet / 600.0;
        let mut flow = fallen * (0.3 + 0.6 * wet / (wet + 20.0));
        for (held, minutes) in storages.iter_mut().zip([6.0, 12.0, 25.0]) {
            *held += flow;
            flow = *held / minutes;
            *held -= flow;
        }
        let height = volume / 20.0;
        for (pump, (on, off)) in pumps.iter_mut().zip([(0.8, 0.3), (1.4, 0.7)]) {
            *pump = if *pump { height > off } else { height > on };
        }
        let drained = 0.06 * height.max(0.0).sqrt() + pumps.iter().map(|pump| f64::from(u8::from(*pump)) * 0.12).sum::<f64>();
        volume = (volume + flow - drained).max(0.0);
        let true_level = 1.0 + volume / 20.0;
        level.push(true_level);
        let noise: f64 = (0..6).map(|_| chance.random_range(-1.0..1.0f64)).sum::<f64>() * 0.005;
        read.push(if chance.random_bool(0.01) { f64::NAN } else { true_level + noise });
    }
    Catchment { rain, level, read }
}

/// Minutes at which floods have their peak: the highest of two hours before and after.
fn peaks(level: &[f64]) -> Vec<usize> {
    let mut peaks = Vec::new();
    let mut at = LEARN_DAYS * 1440;
    while at + 240 < level.len() {
        let around = &level[at - 120..=at + 120];
        let lowest = around[..120].iter().copied().fold(f64::INFINITY, f64::min);
        if around.iter().all(|other| *other <= level[at]) && level[at] - lowest >= FLOOD {
            peaks.push(at);
            at += 120;
        }
        at += 1;
    }
    peaks
}

#[derive(Default)]
struct Sums {
    errors: [[f64; 3]; MINUTES.len()],
    moving: [f64; MINUTES.len()],
    inside: [f64; MINUTES.len()],
    inside_moving: [f64; MINUTES.len()],
    all: [f64; MINUTES.len()],
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Runs and prints.
pub fn run(context: &Context) -> Result<()> {
    let world = catchment(SEED);
    let bar = context.progress(world.level.len() as u64, context.t("水位", "levels"));
    let peaks = peaks(&world.level);
    let mut gauge = Level::new(INTERVAL);
    let mut sums = Sums::default();
    let mut recent: VecDeque<(Vec<Outlook>, f64, f64)> = VecDeque::new();
    let (mut times, mut depths, mut line_depths) = (Vec::new(), Vec::new(), Vec::new());
    let mut known = 1.0;
    let mut readings: Vec<f64> = Vec::with_capacity(world.read.len());
    for (minute, (read, rain)) in world.read.iter().zip(&world.rain).enumerate() {
        gauge.observe(*read, *rain);
        known = if read.is_nan() { known } else { *read };
        readings.push(known);
        bar.inc(1);
        if minute < LEARN_DAYS * 1440 - 121 {
            continue;
        }
        let slope = (known - readings[minute - LINE]) / LINE as f64;
        let curve = gauge.curve();
        if peaks.binary_search(&(minute + BEFORE)).is_ok() {
            let highest = curve.iter().enumerate().max_by(|one, other| one.1.median.total_cmp(&other.1.median));
            if let Some((at, outlook)) = highest {
                times.push((at as f64 + 1.0 - BEFORE as f64).abs());
                depths.push((outlook.median - world.level[minute + BEFORE]).abs());
                line_depths.push((known + slope.max(0.0) * BEFORE as f64 - world.level[minute + BEFORE]).abs());
            }
        }
        recent.push_back((curve, known, slope));
        if recent.len() > 121 {
            recent.pop_front();
        }
        if minute < LEARN_DAYS * 1440 {
            continue;
        }
        for (at, lead) in MINUTES.iter().enumerate() {
            let Some((curve, then, slope)) = recent.len().checked_sub(lead + 1).and_then(|before| recent.get(before)) else { continue };
            let Some(outlook) = curve.get(lead - 1) else { continue };
            let (now, before) = (world.level[minute], world.level[minute - lead]);
            let moving = (now - before).abs() > 0.02 || world.rain[minute - lead..minute].iter().sum::<f64>() > 1.0;
            // An interval is for what the gauge says.
            let inside = f64::from(u8::from(!read.is_nan() && (outlook.lo..=outlook.hi).contains(read)));
            let judged = f64::from(u8::from(!read.is_nan()));
            sums.all[at] += judged;
            sums.inside[at] += inside;
            if moving {
                sums.moving[at] += 1.0;
                sums.inside_moving[at] += inside + 1.0 - judged;
                for (sum, foretold) in sums.errors[at].iter_mut().zip([outlook.median, *then, then + slope * *lead as f64]) {
                    *sum += (foretold - now).abs();
                }
            }
        }
    }
    bar.finish_and_clear();
    let floods = peaks.len();
    let within = times.iter().filter(|minutes| **minutes <= 10.0).count() as f64 / times.len().max(1) as f64;
    let (time, depth, line_depth) = (median(times), median(depths), median(line_depths));
    let rows: Vec<_> = MINUTES
        .iter()
        .enumerate()
        .map(|(at, lead)| {
            let mean = |sum: f64| sum / sums.moving[at].max(1.0);
            json!({
                "minutes": lead, "mae_cm": 100.0 * mean(sums.errors[at][0]), "mae_persistence_cm": 100.0 * mean(sums.errors[at][1]), "mae_line_cm": 100.0 * mean(sums.errors[at][2]),
                "coverage": sums.inside[at] / sums.all[at].max(1.0), "coverage_moving": mean(sums.inside_moving[at]),
            })
        })
        .collect();
    if context.json {
        println!(
            "{}",
            json!({"evaluation": "levels", "data": "generated", "seed": SEED, "interval": INTERVAL, "leads": rows, "floods": floods, "peak_time_error_min_median": time,
                "peak_time_within_10_min": within, "peak_depth_error_m_median": depth, "peak_depth_error_line_m_median": line_depth})
        );
        return Ok(());
    }
    println!("{} {SEED}", context.t("模拟流域（非实测），水位变动时段的平均绝对误差，厘米；种子", "generated catchment (no measurements), mean absolute error in cm while the water moves; seed"));
    println!("{:>8} {:>10} {:>12} {:>10} {:>12} {:>12}", context.t("分钟", "minutes"), context.t("误差", "error"), context.t("不变", "persistence"), context.t("直线", "line"), context.t("覆盖90%", "in 90%"), context.t("变动时", "moving"));
    for row in &rows {
        let number = |name: &str| row[name].as_f64().unwrap_or(f64::NAN);
        println!(
            "{:>8} {:>10.1} {:>12.1} {:>10.1} {:>11.1}% {:>11.1}%",
            number("minutes"), number("mae_cm"), number("mae_persistence_cm"), number("mae_line_cm"), number("coverage") * 100.0, number("coverage_moving") * 100.0
        );
    }
    println!(
        "{} {floods}; {} {BEFORE} {}: {} {:.0} min, {:.0}% <= 10 min; {} {:.2} m ({} {:.2} m)",
        context.t("洪峰", "floods:"),
        context.t("提前", "their peaks"),
        context.t("分钟预报", "minutes before"),
        context.t("峰时误差中位", "error of time, median"),
        time.unwrap_or(f64::NAN),
        within * 100.0,
        context.t("峰深误差中位", "of depth"),
        depth.unwrap_or(f64::NAN),
        context.t("直线", "line"),
        line_depth.unwrap_or(f64::NAN)
    );
    Ok(())
}
