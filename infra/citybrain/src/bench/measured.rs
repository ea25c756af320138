//! One job, or its baseline, in a process of its own: its processor time and memory are then nobody else's.
//!
//! The parent fills a topic and calls [`job`] or [`hash_map`]; the child, the same program, does [`run`] and prints what
//! it took.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bus::{Bus, BusConfig, Filter, consume_each, cpu_time};
use lakehouse::Lake;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{forget_peak, peak_mib};
use crate::cli::{BenchArgs, Ended, Invocation};
use crate::jobs::{Desk, SideWriters, Tools, Work};
use crate::progress::{Positions, Progress};

/// How often the child looks whether its job has read everything.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// What a child took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Measured {
    /// Records that it read.
    pub events: u64,
    /// From its first instruction until it was ready to read, s.
    pub startup_seconds: f64,
    /// Processor time of that, s.
    pub startup_cpu_seconds: f64,
    /// From then until everything was read and its results were in the sink, s.
    pub seconds: f64,
    /// Processor time of that, s.
    pub cpu_seconds: f64,
    /// Largest resident memory of that, MiB.
    pub peak_mib: u64,
    /// Rows that it gave, where it counts them.
    pub rows: Option<u64>,
}

impl Measured {
    /// Processor time for each million records, net of the start, s.
    pub fn cpu_seconds_per_million(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.events.max(1) as f64
    }

    /// Records for each second of processor time: what one core does.
    pub fn events_per_core_second(&self) -> f64 {
        self.events as f64 / self.cpu_seconds.max(1e-9)
    }

    /// Records for each second.
    pub fn events_per_second(&self) -> f64 {
        self.events as f64 / self.seconds.max(1e-9)
    }
}

/// What a child does.
#[derive(Debug, Clone)]
pub enum Task<'a> {
    /// Runs a job to the end of its topics.
    Job(&'a Path),
    /// Counts readings of a topic in a hash map and writes nothing.
    HashMap(&'a str),
}

/// Runs a child with an empty home.
///
/// # Errors
/// When it fails; what it has to say about it stands on stderr.
pub async fn child(context: &Invocation, servers: &str, home: &Path, task: Task<'_>) -> Result<Measured> {
    if home.exists() {
        std::fs::remove_dir_all(home).with_context(|| format!("could not empty {}", home.display()))?;
    }
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command.args(["--kafka", servers, "bench", "measured", "--home"]).arg(home).stdout(Stdio::piped()).kill_on_drop(true);
    if let Some(config) = &context.global.config {
        command.arg("--config").arg(config);
    }
    match task {
        Task::Job(path) => command.arg("--job").arg(path),
        Task::HashMap(topic) => command.args(["--topic", topic]),
    };
    let output = command.spawn()?.wait_with_output().await?;
    ensure!(output.status.success(), "the measured process ended with {}", output.status);
    serde_json::from_slice(&output.stdout).context("the measured process did not say what it took")
}

/// The middle one of several runs, by processor time.
pub fn median(mut runs: Vec<Measured>) -> Result<Measured> {
    runs.sort_by(|a, b| a.cpu_seconds.total_cmp(&b.cpu_seconds));
    runs.get(runs.len() / 2).copied().context("nothing was measured")
}

/// The child.
pub async fn run(context: &Invocation, args: &BenchArgs) -> Result<Ended> {
    let servers = context.global.kafka.as_deref().context("a measured process needs --kafka")?;
    let bus = Bus::connect(BusConfig::new(servers)).await?;
    let measured = match (&args.job, &args.topic) {
        (Some(path), _) => run_job(context, &bus, path).await?,
        (None, Some(topic)) => run_hash_map(&bus, topic).await?,
        (None, None) => anyhow::bail!("a measured process needs --job or --topic"),
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(Ended::Done)
}

async fn run_job(context: &Invocation, bus: &Bus, path: &PathBuf) -> Result<Measured> {
    let begun = Instant::now();
    let home = context.home()?;
    let lake = Lake::open(&home.dir("lake")).await?;
    let commit_every = Duration::from_millis(context.config.lake_commit_interval_ms);
    let tools = Tools { source: bus.clone(), shared: None, sink: bus.clone(), side: SideWriters::start(&lake), lake, commit_every };
    let (stop, stopped) = watch::channel(false);
    let job = crate::jobs::load(path, home.root())?;
    let filter = Filter::topics(job.topics().to_vec());
    let (handle, work) = Work::open(job, &home, &tools, Desk::default(), Progress::new("measured"), None).await?;
    let ends: Positions = bus.ends(&filter).await?;
    let (startup, startup_cpu) = (begun.elapsed(), cpu_time());

    forget_peak();
    let begun = Instant::now();
    let mut work = tokio::spawn(work.run(stopped));
    while handle.progress.lag(&ends) > 0 {
        tokio::select! {
            ended = &mut work => { ended??; anyhow::bail!("the job ended before its topic did") }
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    handle.end_of_source().await?;
    let (seconds, cpu) = (begun.elapsed(), cpu_time().saturating_sub(startup_cpu));
    let peak_mib = peak_mib();
    stop.send_replace(true);
    work.await??;
    Ok(Measured {
        events: ends.values().map(|end| (*end).max(0) as u64).sum(),
        startup_seconds: startup.as_secs_f64(),
        startup_cpu_seconds: startup_cpu.as_secs_f64(),
        seconds: seconds.as_secs_f64(),
        cpu_seconds: cpu.as_secs_f64(),
        peak_mib,
        rows: None,
    })
}

/// What the hash map keeps of a sensor's minute.
#[derive(Debug, Clone, Copy)]
struct Minute {
    readings: u64,
    sum: f64,
    min: f64,
    max: f64,
}

#[derive(Deserialize)]
struct Reading<'a> {
    sensor: &'a str,
    ts: &'a str,
    value: f64,
}

async fn run_hash_map(bus: &Bus, topic: &str) -> Result<Measured> {
    let startup_cpu = cpu_time();
    forget_peak();
    let (tell, told) = std::sync::mpsc::channel();
    let mut minutes: BTreeMap<i64, HashMap<String, Minute>> = BTreeMap::new();
    let floor = consume_each(bus, topic, move |value| {
        let Ok(reading) = serde_json::from_slice::<Reading<'_>>(value) else { return };
        let Ok(time_us) = schemas::time::parse_us(reading.ts) else { return };
        let sensors = minutes.entry(time_us.div_euclid(60_000_000)).or_default();
        match sensors.get_mut(reading.sensor) {
            Some(minute) => minute.add(reading.value),
            None => {
                sensors.insert(reading.sensor.to_owned(), Minute { readings: 1, sum: reading.value, min: reading.value, max: reading.value });
                // The reader is gone only when the run has failed.
                let _ = tell.send(());
            }
        }
    })
    .await?;
    Ok(Measured {
        events: floor.events,
        startup_seconds: 0.0,
        startup_cpu_seconds: startup_cpu.as_secs_f64(),
        seconds: floor.wall.as_secs_f64(),
        cpu_seconds: floor.cpu.as_secs_f64(),
        peak_mib: peak_mib(),
        rows: Some(told.iter().count() as u64),
    })
}

impl Minute {
    fn add(&mut self, value: f64) {
        self.readings += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }
}
