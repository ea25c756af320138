//! The streaming SQL jobs of this process: fed from the tap, their results to Kafka topics or Delta tables.
//!
//! [`load`] finds the jobs, [`start`] wires one to its source and its sink; [`sinks`] are the two kinds of sink. Everything
//! between is the crate `pipelines`.

mod sinks;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bus::{Bus, Chunk, Filter, ProducerConfig, Tap, TapReader};
use lakehouse::{Lake, TableName};
use pipelines::{Job, Push, Runner, RunnerConfig, Target};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

use self::sinks::{DeltaSink, JobSink, KafkaSink, SideTables};
use crate::parts::asked_to_stop;
use crate::cli::{Ended, Invocation, JobAction};
use crate::home::Home;
use crate::progress::Progress;

/// How often a job looks whether its source has fallen silent.
const TICK: Duration = Duration::from_millis(200);
/// How long a job waits after a sink that refused.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The handle that the rest of the process holds on a job.
pub struct JobHandle {
    /// How far its results are in its sink.
    pub progress: Progress,
    /// Whether its results are the brain's input.
    pub feeds_brain: bool,
    end: mpsc::Sender<oneshot::Sender<()>>,
}

impl JobHandle {
    /// Says that nothing more will come: what has come is worked off, and the open windows are closed.
    ///
    /// # Errors
    /// When the job has stopped.
    pub async fn end_of_source(&self) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        let name = self.progress.name();
        self.end.send(answer).await.map_err(|_| anyhow!("{name} has stopped"))?;
        answered.await.map_err(|_| anyhow!("{name} stopped before its windows were closed"))
    }
}

/// The jobs that ship, and those of `<home>/jobs.d`.
///
/// # Errors
/// When a job file is wrong; the message names line and column.
pub fn load(home: &Home) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    for builtin in pipelines::builtin_jobs() {
        jobs.push(builtin.parse().context("a job that ships is wrong")?);
    }
    let dir = home.dir("jobs.d");
    let mut paths: Vec<_> = std::fs::read_dir(&dir)
        .with_context(|| format!("could not list {}", dir.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    paths.sort();
    for path in paths {
        jobs.push(Job::load(&path).with_context(|| format!("the job {} cannot run", path.display()))?);
    }
    Ok(jobs)
}

/// Wires a job to its source and its sink. Gives its handle, what it reads, and its work.
///
/// # Errors
/// When its state cannot be opened or the bus refuses a reader.
pub async fn start(
    job: Job, home: &Home, bus: &Bus, tap: &Tap, lake: &Lake, commit_every: Duration, stop: watch::Receiver<bool>,
) -> Result<(JobHandle, Filter, impl Future<Output = Result<()>> + Send + 'static)> {
    let name = job.name().to_owned();
    let filter = Filter::topics(job.topics().to_vec());
    let side = SideTables::open(lake, &name).await?;
    let (sink, every) = match job.target().clone() {
        Target::Kafka { topic, event_type, key_column, .. } => {
            let event_type = event_type.unwrap_or_default();
            (JobSink::Kafka(KafkaSink { producer: bus.producer_with(&ProducerConfig::prompt())?, source: format!("citybrain/jobs/{name}"), topic, event_type, key_column }), Duration::ZERO)
        }
        Target::Delta(pipelines::Location::Lake { schema, table }) => {
            let table = TableName::new(schema, table);
            lake.create(&table, job.output_schema()).await?;
            (JobSink::Delta(DeltaSink { lake: lake.clone(), table, app_id: format!("job/{name}") }), commit_every)
        }
        other => return Err(anyhow!("{other:?} is for jobs that run alone")),
    };
    let feeds_brain = matches!(&sink, JobSink::Kafka(_));
    let mut runner = Runner::open(job, &home.dir("jobs").join(&name), RunnerConfig::default()).await?;
    for (topic, partitions) in bus.topics().await?.into_iter().filter(|(topic, _)| filter.matches(topic)) {
        // A partition that nobody knows would let the watermark run ahead of what is in it.
        (0..partitions).for_each(|partition| runner.assign(&topic, partition));
    }
    let progress = Progress::new(&format!("job {name}"));
    progress.set(runner.positions());
    let reader = tap.reader(&format!("job {name}"), filter.clone(), runner.positions())?;
    let (end, ends) = mpsc::channel(1);
    let handle = JobHandle { progress: progress.clone(), feeds_brain, end };
    let work = Work { runner, sink, side, reader, ends, progress, every, polled: Instant::now(), waiting: None };
    Ok((handle, filter, work.run(stop)))
}

struct Work {
    runner: Runner,
    sink: JobSink,
    side: SideTables,
    reader: TapReader,
    ends: mpsc::Receiver<oneshot::Sender<()>>,
    progress: Progress,
    /// Least time between two epochs; each epoch of a table is a commit.
    every: Duration,
    polled: Instant,
    /// A chunk for which the runner has no room yet.
    waiting: Option<pipelines::Chunk>,
}

impl Work {
    async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<()> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let mut ending = None;
            tokio::select! {
                biased;
                () = asked_to_stop(&mut stop) => break,
                chunk = self.reader.recv(), if self.waiting.is_none() => {
                    let Some(chunk) = chunk else { break };
                    self.push(&chunk)?;
                }
                Some(answer) = self.ends.recv() => ending = Some(answer),
                _ = tick.tick() => {}
            }
            while self.waiting.is_none() && let Some(chunk) = self.reader.try_recv() {
                self.push(&chunk)?;
            }
            if self.waiting.is_some() || ending.is_some() || self.polled.elapsed() >= self.every {
                self.epoch(ending.is_some()).await?;
            }
            if let Some(answer) = ending {
                // Nobody waits any more when the demo was stopped meanwhile.
                let _ = answer.send(());
            }
        }
        self.runner.save()?;
        self.side.flush().await
    }

    fn push(&mut self, chunk: &Chunk) -> Result<()> {
        let chunk = pipelines::Chunk {
            topic: Arc::clone(&chunk.topic),
            partition: chunk.partition,
            first_offset: chunk.first_offset,
            next_offset: chunk.next_offset,
            rows: chunk.rows.clone(),
        };
        self.offer(chunk)
    }

    fn offer(&mut self, chunk: pipelines::Chunk) -> Result<()> {
        if let Push::Full(chunk) = self.runner.push(chunk)? {
            self.waiting = Some(chunk);
        }
        Ok(())
    }

    /// Works off what has been pushed. A sink that refuses is offered the same again, for ever: the tap holds back meanwhile.
    async fn epoch(&mut self, last: bool) -> Result<()> {
        loop {
            let now = chrono::Utc::now();
            let mut sink = self.sink.with(&mut self.side);
            let worked = match last {
                true => self.runner.close_all(now, &mut sink).await,
                false => self.runner.poll(now, &mut sink).await,
            };
            match worked {
                Ok(_) => {}
                Err(error @ pipelines::RunError::Sink { .. }) => {
                    warn!(error = format!("{:#}", anyhow!(error)), "a job's sink refused; trying again");
                    tokio::time::sleep(RETRY_AFTER).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            match self.waiting.take() {
                Some(chunk) => self.offer(chunk)?,
                None => break,
            }
        }
        self.polled = Instant::now();
        self.progress.set(self.runner.positions());
        self.side.flush_if_due().await
    }
}

/// `citybrain job`.
pub async fn command(context: &Invocation, action: JobAction) -> Result<Ended> {
    match action {
        JobAction::Validate { file } => {
            let job = Job::load(&file)?;
            println!("{}: ok", job.name());
        }
        JobAction::Explain { file } => {
            let home = context.home()?;
            let job = match load(&home)?.into_iter().find(|job| Some(job.name()) == file.to_str()) {
                Some(job) => job,
                None => Job::load(&file)?,
            };
            println!("{}", job.explain());
        }
        JobAction::List => {
            for job in load(&context.home()?)? {
                println!("{:<20} {}", job.name(), job.description().lines().next().unwrap_or_default());
            }
        }
    }
    Ok(Ended::Done)
}
