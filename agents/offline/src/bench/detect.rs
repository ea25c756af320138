//! `bench detect`: how many values a second the detector of one series scores on one core, beside a windowed Gaussian.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use detect::{Detector, Health, Options};
use serde::Serialize;

use crate::context::Context;
use crate::eval::nab::WindowedGaussian;

const VALUES: usize = 1_000_000;
const AIM: f64 = 1_000_000.0;

#[derive(Debug, Serialize)]
struct Measured {
    detector: &'static str,
    values: usize,
    values_per_second: f64,
}

#[derive(Debug, Serialize)]
struct Report {
    measured: Vec<Measured>,
    aim_values_per_second: f64,
}

/// Measures and prints.
pub fn run(context: &Context) -> Result<()> {
    let values: Vec<f64> = (0..VALUES).map(value).collect();
    let mut detector = Detector::new(Options::default());
    let ours = measure("citybrain", &values, |at, value| detector.score(at as i64 * 60_000_000, value).anomaly);
    let mut gaussian = WindowedGaussian::default();
    let baseline = measure("windowed Gaussian", &values, |_, value| gaussian.score(value));
    let mut sensor = Health::default();
    let health = measure("health of the sensor", &values, |at, value| sensor.look(at as i64 * 60_000_000, value).rarity);
    let report = Report { measured: vec![ours, health, baseline], aim_values_per_second: AIM };
    if context.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    println!("{:20} {:>12} {:>16}", context.t("检测器", "detector"), context.t("数值", "values"), context.t("数值/秒（单核）", "values/s, 1 core"));
    for row in &report.measured {
        println!("{:20} {:>12} {:>16.0}", row.detector, row.values, row.values_per_second);
    }
    println!("{} {AIM:.0}", context.t("目标", "aim"));
    Ok(())
}

fn measure(detector: &'static str, values: &[f64], mut score: impl FnMut(usize, f64) -> f64) -> Measured {
    let begun = Instant::now();
    for (at, value) in values.iter().enumerate() {
        black_box(score(at, *value));
    }
    Measured { detector, values: values.len(), values_per_second: values.len() as f64 / begun.elapsed().as_secs_f64().max(1e-9) }
}

/// A day's wave at one-minute steps, noise, and a spike now and then.
fn value(at: usize) -> f64 {
    let mixed = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let noise = ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 11) as f64 / (1_u64 << 53) as f64;
    let day = (at as f64 * std::f64::consts::TAU / 1_440.0).sin();
    10.0 * day + noise + if at % 9_973 == 0 { 25.0 } else { 0.0 }
}
