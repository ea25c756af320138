//! One-minute windows of ten thousand sensors, from Kafka into Delta exactly once, beside a bare hash map over the same
//! topic that writes nothing.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use lakehouse::Lake;
use serde::Serialize;

use super::feed::{Make, Stage, feed};
use super::measured::{Measured, Task, child, median};
use super::nexmark::generator::Chance;
use super::nexmark::json::Clock;
use super::nexmark::text;
use super::scratch_home;
use crate::cli::{BenchArgs, Ended, Invocation};
use crate::lang::t;

/// Readings and sensors when nothing is asked.
const EVENTS_DEFAULT: u64 = 5_000_000;
const SENSORS_DEFAULT: u64 = 10_000;
/// Each sensor speaks about once a second.
const SPEAKS_EVERY_MS: u64 = 1_000;
/// Readings come up to this much out of order: half of what the watermark waits.
const JITTER_MS: u64 = 5_000;
const MINUTE_MS: u64 = 60_000;
/// Event time of the first reading, ms since 1970: 2026-01-01T00:00:00Z.
const START_MS: u64 = 1_767_225_600_000;
const SEED: u64 = 1;
const TOPIC: &str = "bench.readings";
const KIND: &str = "io.citybrain.bench.reading";

/// The job that is measured.
const JOB: &str = "\
CREATE TABLE readings (sensor TEXT, ts TIMESTAMP, value DOUBLE, WATERMARK FOR ts AS ts - INTERVAL '10 seconds')
WITH (connector = 'kafka', topic = 'bench.readings', format = 'json', 'event.type' = 'io.citybrain.bench.reading');

CREATE TABLE minutes (start TIMESTAMP, sensor TEXT, readings BIGINT, mean DOUBLE, min DOUBLE, max DOUBLE)
WITH (connector = 'delta', path = 'gold.bench_minutes');

INSERT INTO minutes
SELECT w.span['start'] AS start, w.sensor, w.readings, w.mean, w.min, w.max
FROM (
    SELECT tumble(INTERVAL '1 minute') AS span, sensor, count(*) AS readings, avg(value) AS mean, min(value) AS min, max(value) AS max
    FROM readings GROUP BY 1, sensor
) w;
";

/// What others took on a machine of the same kind: name, processor seconds for each million readings, peak memory.
const LEADS: [(&str, &str, &str); 5] = [
    ("hash map", "0.92-1.28", ""),
    ("Spark, Delta", "8.3", "1.8 GB"),
    ("Flink, Parquet", "8.5", "2.0 GB"),
    ("Pathway", "29", ""),
    ("citybrain, wanted", "< 2", "< 500 MB"),
];

/// The readings.
#[derive(Debug, Clone, Copy)]
struct Reading {
    sensor: u64,
    time_ms: u64,
    /// Hundredths.
    value: u64,
}

fn reading(number: u64, sensors: u64) -> Reading {
    let mut chance = Chance::new(SEED, number);
    let time_ms = START_MS + JITTER_MS + number * SPEAKS_EVERY_MS / sensors;
    Reading { sensor: chance.below(sensors), time_ms: time_ms - chance.below(JITTER_MS), value: chance.below(10_000) }
}

/// Readings as compact JSON.
#[derive(Default)]
struct Readings {
    sensors: u64,
    clock: Clock,
    plain: bool,
}

impl Clone for Readings {
    fn clone(&self) -> Readings {
        Readings { clock: Clock::default(), ..*self }
    }
}

impl Make for Readings {
    fn value(&mut self, number: u64, out: &mut Vec<u8>) -> Option<&'static str> {
        let reading = reading(number, self.sensors);
        out.extend_from_slice(b"{\"sensor\":\"s");
        let digits = [1_000, 100, 10, 1].map(|place| b'0' + (reading.sensor / place % 10) as u8);
        if reading.sensor >= 10_000 {
            text::number(out, reading.sensor / 10_000);
        }
        out.extend(digits);
        out.extend_from_slice(b"\",\"ts\":\"");
        self.clock.time(out, reading.time_ms);
        out.extend_from_slice(b"\",\"value\":");
        text::number(out, reading.value / 100);
        out.extend([b'.', b'0' + (reading.value / 10 % 10) as u8, b'0' + (reading.value % 10) as u8, b'}']);
        (!self.plain).then_some(KIND)
    }
}

#[derive(Serialize)]
struct Figures {
    events: u64,
    bytes_per_event: u64,
    sensors: u64,
    windows: u64,
    hash_map: Measured,
    job: Measured,
}

/// The benchmark.
pub async fn run(context: &Invocation, args: &BenchArgs) -> Result<Ended> {
    let (events, sensors) = (args.events.unwrap_or(EVENTS_DEFAULT).max(1), args.sensors.unwrap_or(SENSORS_DEFAULT).max(1));
    let home = scratch_home(context, "bench-windows")?;
    let stage = Stage::set(context, &home).await?;
    stage.empty(TOPIC).await?;
    let bytes = feed(&stage.bus, TOPIC, events, Readings { sensors, plain: args.plain, ..Readings::default() }).await?;
    let job_file = home.dir("windows.sql");
    // Plain values have no type to choose by.
    let job = if args.plain { JOB.replace(&format!(", 'event.type' = '{KIND}'"), "") } else { JOB.to_owned() };
    std::fs::write(&job_file, job)?;
    let run_home = home.dir("measured");
    let (mut jobs, mut hash_maps) = (Vec::new(), Vec::new());
    let mut windows = 0;
    for _ in 0..args.runs.max(1) {
        hash_maps.push(child(context, &stage.servers, &run_home, Task::HashMap(TOPIC)).await?);
        jobs.push(child(context, &stage.servers, &run_home, Task::Job(&job_file)).await?);
        windows = check(&Lake::open(&run_home.join("lake")).await?, events, sensors).await?;
    }
    stage.strike().await;
    let figures = Figures { events, bytes_per_event: bytes / events, sensors, windows, hash_map: median(hash_maps)?, job: median(jobs)? };
    ensure!(figures.hash_map.rows == Some(windows), "the hash map has {:?} windows, the job {windows}", figures.hash_map.rows);
    match context.global.json {
        true => println!("{}", serde_json::to_string_pretty(&figures)?),
        false => print(&figures),
    }
    Ok(Ended::Done)
}

/// Readings, sum of thousandths, least and greatest hundredth.
type Window = (i64, i64, u64, u64);

/// Compares the table with the windows computed from the readings themselves. Gives their number.
async fn check(lake: &Lake, events: u64, sensors: u64) -> Result<u64> {
    let mut expected: BTreeMap<(u64, u64), Window> = BTreeMap::new();
    for reading in (0..events).map(|number| reading(number, sensors)) {
        let window = expected.entry((reading.time_ms / MINUTE_MS * MINUTE_MS, reading.sensor)).or_insert((0, 0, u64::MAX, 0));
        *window = (window.0 + 1, window.1 + reading.value as i64 * 10, window.2.min(reading.value), window.3.max(reading.value));
    }
    let query = "SELECT CAST(start AS BIGINT) / 1000 AS start, sensor, readings, CAST(round(mean * readings * 1000) AS BIGINT) AS sum_milli, \
                 CAST(round(min * 100) AS BIGINT) AS min, CAST(round(max * 100) AS BIGINT) AS max FROM gold.bench_minutes";
    let rows = crate::lake::rows(lake, query).await?;
    ensure!(rows.len() == expected.len(), "the table has {} windows, not {}", rows.len(), expected.len());
    let windows = rows.len() as u64;
    for row in rows {
        let number = |column: &str| crate::lake::integer(&row, column);
        let sensor = crate::lake::text(&row, "sensor").trim_start_matches('s').parse()?;
        let got = (number("readings"), number("sum_milli"), number("min") as u64, number("max") as u64);
        let wanted = expected.remove(&(number("start") as u64, sensor));
        ensure!(wanted == Some(got), "{row:?} should be {wanted:?}");
    }
    Ok(windows)
}

fn print(figures: &Figures) {
    println!(
        "{} {}, {} {}, {} {}, {} {}",
        figures.events, t("条读数", "readings"), figures.bytes_per_event, t("字节/条", "bytes each"),
        figures.sensors, t("个传感器", "sensors"), figures.windows, t("个窗口，全部核对无误", "windows, each as computed in memory")
    );
    for (name, measured) in [(t("哈希表（下限）", "hash map (the floor)"), figures.hash_map), (t("流式 SQL 写入 Delta", "streaming SQL into Delta"), figures.job)] {
        println!(
            "  {name:<26} {:>6.2} CPU-s per million  {:>9.0} events/s  {:>5} MiB  ({} {:.2} CPU-s)",
            measured.cpu_seconds_per_million(), measured.events_per_second(), measured.peak_mib, t("启动另计", "start-up apart"), measured.startup_cpu_seconds
        );
    }
    println!("  {}", t("公布的数字：", "as published:"));
    for (name, cpu, memory) in LEADS {
        println!("    {name:<24} {cpu:>9} CPU-s per million  {memory}");
    }
}
