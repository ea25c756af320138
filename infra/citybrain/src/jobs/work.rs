//! One job at work: chunks from its source, epochs through its engine, results to its sink.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use bus::{Bus, Chunk, Filter, Tap};
use lakehouse::Lake;
use pipelines::{Job, Push, RunError, Runner, RunnerConfig};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

use super::figures::Desk;
use super::io::{self, Source};
use super::record::{self, Record};
use super::sinks::{JobSink, SideTables};
use crate::home::Home;
use crate::parts::asked_to_stop;
use crate::progress::{Positions, Progress};

/// How often a job looks whether its source has fallen silent.
const TICK: Duration = Duration::from_millis(200);
/// How often its figures are brought up to date.
const METER: Duration = Duration::from_secs(1);
/// How long a job waits after a sink that refused.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How long a job that is asked to stop may go on with its epoch; a sink that does not answer must not keep the process.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// After how long without a record the rest of a range counts as empty: a log may end in marks that are no records.
const SILENT_AFTER: Duration = Duration::from_secs(30);

/// What a job works with.
pub struct Tools {
    /// Where it reads.
    pub source: Bus,
    /// The tap that it may share there.
    pub shared: Option<Arc<Tap>>,
    /// Where it writes, if to a topic.
    pub sink: Bus,
    /// Where it writes, if to a table.
    pub lake: Lake,
    /// Least time between two commits of a table.
    pub commit_every: Duration,
}

/// Up to where a job works, when it is not to work for ever.
#[derive(Clone, Debug)]
pub struct Goal {
    /// The next offset of each partition at which it stops.
    pub ends: Positions,
    /// Whether windows that are open then are closed.
    pub close: bool,
    /// How often its sink may refuse in a row.
    pub refusals_max: u32,
}

/// What others hold of a job at work.
#[derive(Clone)]
pub struct Handle {
    /// How far its results are in its sink.
    pub progress: Progress,
    /// Its figures.
    pub desk: Desk,
    /// Whether it works.
    pub alive: Arc<AtomicBool>,
    /// What its sink says, while it refuses.
    pub refusal: Arc<std::sync::Mutex<Option<String>>>,
    end: mpsc::Sender<oneshot::Sender<()>>,
}

impl Handle {
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

    /// Whether it works.
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// What its sink says, while it refuses.
    pub fn refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn refused(&self, reason: Option<String>) {
        *self.refusal.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = reason;
    }
}

/// Says that a job does not work any more, however it ended.
struct Life(Arc<AtomicBool>);

impl Drop for Life {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A job with everything that it needs.
pub struct Work {
    runner: Runner,
    sink: JobSink,
    side: SideTables,
    source: Source,
    ends: mpsc::Receiver<oneshot::Sender<()>>,
    handle: Handle,
    /// Least time between two epochs; each epoch of a table is a commit.
    every: Duration,
    polled: Instant,
    metered: Option<Instant>,
    busy: Duration,
    /// A chunk for which the runner has no room yet.
    waiting: Option<pipelines::Chunk>,
    goal: Option<Goal>,
    /// Where it began, for partitions of which the state knows nothing yet.
    begun: Positions,
    /// When the last chunk came.
    heard: Instant,
    /// When the last record of it was written, µs.
    written_us: Option<i64>,
    _life: Life,
}

/// How a piece of work went on.
#[derive(PartialEq, Eq)]
enum Went {
    On,
    /// It was asked to stop.
    Stopped,
}

impl Work {
    /// Opens a job: its state, its sink, its source. `desk` and `progress` may have served an earlier version of it.
    ///
    /// # Errors
    /// When its state cannot be opened, its sink cannot be made or its source is not there.
    pub async fn open(job: Job, home: &Home, tools: &Tools, desk: Desk, progress: Progress, goal: Option<Goal>) -> Result<(Handle, Work)> {
        let name = job.name().to_owned();
        let state_dir = record::state_dir(home, &name);
        let app_id = Record::read(home, &name)?.app_id(&name);
        let mut runner = Runner::open(job, &state_dir, RunnerConfig { idle_after: idle_after(goal.as_ref()), ..RunnerConfig::default() }).await?;
        let job = runner.job().clone();
        let (sink, every) = io::sink(&job, &tools.sink, &tools.lake, &app_id, tools.commit_every).await?;
        let start = start(home, &job, &tools.source, runner.positions()).await?;
        assign(&mut runner, &job, &tools.source, goal.as_ref(), &start).await?;
        let side = SideTables::open(&tools.lake, &name, &app_id, state_dir, start.clone()).await?;
        let source = Source::open(&tools.source, tools.shared.clone(), &name, job.topics(), start.clone())?;
        record::ran(home, &job)?;
        progress.set(start.clone());
        let (end, ends) = mpsc::channel(1);
        let alive = Arc::new(AtomicBool::new(true));
        let handle = Handle { progress, desk, alive: alive.clone(), refusal: Arc::default(), end };
        let mut work = Work {
            runner,
            sink,
            side,
            source,
            ends,
            handle: handle.clone(),
            every,
            polled: Instant::now(),
            metered: None,
            busy: Duration::from_millis(handle.desk.read().busy_ms),
            waiting: None,
            goal,
            begun: start,
            heard: Instant::now(),
            written_us: None,
            _life: Life(alive),
        };
        work.meter().await;
        Ok((handle, work))
    }

    /// Works until it is asked to stop or has reached its goal.
    ///
    /// # Errors
    /// When its engine fails, or its sink refuses more often than its goal allows.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<()> {
        let mut cut = stop.clone();
        let worked = tokio::select! {
            worked = self.work(&mut stop) => worked,
            // The epoch is offered again when the job goes on, and taken once.
            () = async { asked_to_stop(&mut cut).await; tokio::time::sleep(STOP_WITHIN).await } => Ok(()),
        };
        // After an error there is nothing to save: the job goes on from its last epoch.
        let saved = if worked.is_ok() { self.runner.save().map_err(anyhow::Error::from) } else { Ok(()) };
        let flushed = self.side.flush().await;
        self.meter().await;
        self.source.close().await;
        worked.and(saved).and(flushed)
    }

    async fn work(&mut self, stop: &mut watch::Receiver<bool>) -> Result<()> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let done = self.has_arrived().await?;
            let mut ending = None;
            tokio::select! {
                biased;
                () = asked_to_stop(stop) => return Ok(()),
                () = std::future::ready(()), if done => {}
                chunk = self.source.recv(), if self.waiting.is_none() => {
                    let Some(chunk) = chunk else { return Ok(()) };
                    self.push(&chunk)?;
                }
                Some(answer) = self.ends.recv() => ending = Some(answer),
                _ = tick.tick() => {}
            }
            while !done && self.waiting.is_none() && let Some(chunk) = self.source.try_recv() {
                self.push(&chunk)?;
            }
            let close = ending.is_some() || (done && self.goal.as_ref().is_some_and(|goal| goal.close));
            let full = self.runner.buffered_rows() >= pipelines::limits::EPOCH_ROWS_MAX;
            if self.waiting.is_some() || done || close || full || self.polled.elapsed() >= self.every {
                if self.source.falls_behind() {
                    self.source.step_aside();
                }
                if self.epoch(close, stop).await? == Went::Stopped || done {
                    return Ok(());
                }
            }
            if let Some(answer) = ending {
                // Nobody waits any more when whoever asked was stopped meanwhile.
                let _ = answer.send(());
            }
            if self.metered.is_none_or(|metered| metered.elapsed() >= METER) {
                self.meter().await;
            }
        }
    }

    /// Whether everything up to the goal has been taken in.
    async fn has_arrived(&mut self) -> Result<bool> {
        let Some(goal) = &self.goal else { return Ok(false) };
        if self.waiting.is_some() {
            return Ok(false);
        }
        let positions = self.positions();
        let missing: Vec<_> = goal.ends.iter().filter(|(place, end)| positions.get(*place).copied().unwrap_or(0) < **end).collect();
        if missing.is_empty() {
            return Ok(true);
        }
        if self.heard.elapsed() < SILENT_AFTER {
            return Ok(false);
        }
        self.heard = Instant::now();
        if !self.source.is_reachable().await {
            return Ok(false);
        }
        warn!(job = self.runner.job().name(), partitions = missing.len(), "no record up to the end that was seen: taken for marks of transactions");
        Ok(true)
    }

    fn push(&mut self, chunk: &Chunk) -> Result<()> {
        self.heard = Instant::now();
        let until = self.goal.as_ref().map(|goal| goal.ends.get(&(chunk.topic.to_string(), chunk.partition)).copied().unwrap_or(0));
        let Some(chunk) = io::chunk(chunk, until) else { return Ok(()) };
        self.written_us = self.written_us.max(io::written_us(&chunk.rows));
        self.offer(chunk)
    }

    fn offer(&mut self, chunk: pipelines::Chunk) -> Result<()> {
        if let Push::Full(chunk) = self.runner.push(chunk)? {
            self.waiting = Some(chunk);
        }
        Ok(())
    }

    /// Works off what has been pushed. A sink that refuses is offered the same again; nobody else waits for it meanwhile.
    async fn epoch(&mut self, close: bool, stop: &mut watch::Receiver<bool>) -> Result<Went> {
        let mut refusals = 0;
        loop {
            let began = Instant::now();
            self.side.begin();
            let now = chrono::Utc::now();
            let mut sink = self.sink.with(&mut self.side);
            let worked = match close {
                true => self.runner.close_all(now, &mut sink).await,
                false => self.runner.poll(now, &mut sink).await,
            };
            match worked {
                Ok(done) => self.count(&done, began),
                Err(error @ RunError::Sink { .. }) => {
                    refusals += 1;
                    if self.refused(anyhow!(error), refusals, stop).await? == Went::Stopped {
                        return Ok(Went::Stopped);
                    }
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            if std::mem::take(&mut refusals) > 0 {
                self.handle.refused(None);
            }
            if self.source.is_aside() {
                // What waits comes again.
                self.waiting = None;
                self.source.return_to(self.positions())?;
            }
            match self.waiting.take() {
                Some(chunk) => self.offer(chunk)?,
                None => break,
            }
        }
        self.polled = Instant::now();
        self.handle.progress.set(self.positions());
        self.side.flush_if_due().await?;
        Ok(Went::On)
    }

    /// After a refusal: leaves the shared tap, tells, and waits.
    async fn refused(&mut self, error: anyhow::Error, refusals: u32, stop: &mut watch::Receiver<bool>) -> Result<Went> {
        let job = self.runner.job().name().to_owned();
        if self.goal.as_ref().is_some_and(|goal| refusals >= goal.refusals_max) {
            return Err(error.context(format!("job {job} could not write; it goes on from here next time")));
        }
        warn!(job, error = format!("{error:#}"), "a job's sink refused; trying again");
        self.handle.refused(Some(format!("{error:#}")));
        self.source.step_aside();
        self.meter().await;
        tokio::select! {
            () = asked_to_stop(stop) => Ok(Went::Stopped),
            () = tokio::time::sleep(RETRY_AFTER) => Ok(Went::On),
        }
    }

    /// Where to read on.
    fn positions(&self) -> Positions {
        let mut positions = self.begun.clone();
        positions.extend(self.runner.positions());
        positions
    }

    fn count(&mut self, done: &pipelines::Progress, began: Instant) {
        if done.epochs > 0 {
            self.busy += began.elapsed();
        }
        let (epoch, busy) = (self.runner.epoch(), self.busy);
        self.handle.desk.write(|figures| {
            figures.epoch = epoch;
            figures.epochs += done.epochs;
            figures.rows_in += done.rows_in;
            figures.rows_out += done.rows_out;
            figures.late += done.rows_late;
            figures.busy_ms = busy.as_millis() as u64;
        });
    }

    /// Brings the figures up to date.
    async fn meter(&mut self) {
        let now = Instant::now();
        self.metered = Some(now);
        let ends = self.source.ends().await;
        let positions = self.positions();
        let at = |place: &(String, i32)| positions.get(place).copied().unwrap_or(0);
        let behind: i64 = ends.iter().map(|(place, end)| (end - at(place)).max(0)).sum();
        let age = self.written_us.map_or(0.0, |written| (chrono::Utc::now().timestamp_micros() - written) as f64 / 1e6);
        let stats = self.runner.stats();
        self.handle.desk.write(|figures| {
            figures.epoch = stats.epoch;
            figures.watermark = stats.watermark;
            figures.open_windows = self.runner.open_windows() as u64;
            figures.buffered_rows = stats.buffered_rows as u64;
            figures.state_bytes = stats.state_bytes;
            figures.state_memory_bytes = stats.state_memory_bytes as u64;
            figures.state_disk_bytes = stats.disk_bytes;
            figures.lag_records = behind + stats.buffered_rows as i64;
            figures.lag_seconds = if behind > 0 { age.max(0.0) } else { 0.0 };
            figures.positions = record::by_text(&positions);
        });
        self.handle.desk.meter(now, io::steps(self.runner.job(), &stats));
    }
}

/// Where a job reads on. A stream that begins at its end has that end written down at once, so that nothing after it is
/// missed, whatever comes.
async fn start(home: &Home, job: &Job, bus: &Bus, known: Positions) -> Result<Positions> {
    let mut record = Record::read(home, job.name())?;
    let mut start = record.start(known);
    let latest = job.sources().into_iter().filter(|source| source.from_latest).flat_map(|source| source.topics.to_vec());
    let ends = bus.ends(&Filter::topics(latest)).await.context("could not look where the topics end")?;
    let news: Positions = ends.into_iter().filter(|(place, _)| !start.contains_key(place)).collect();
    if !news.is_empty() {
        record.begin.extend(record::by_text(&news));
        record.write(home, job.name())?;
        start.extend(news);
    }
    Ok(start)
}

/// With a goal, silence says nothing: what was there is read as fast as it comes.
fn idle_after(goal: Option<&Goal>) -> Duration {
    const DAY: Duration = Duration::from_secs(86_400);
    if goal.is_some() { DAY } else { RunnerConfig::default().idle_after }
}

/// Announces the partitions of a job's topics: one that nobody knows would let the watermark run ahead of what is in it.
/// With a goal, those without news are left out, so that nobody waits for what will not come.
async fn assign(runner: &mut Runner, job: &Job, bus: &Bus, goal: Option<&Goal>, start: &Positions) -> Result<()> {
    let topics = bus.topics().await.context("could not list the topics")?;
    for topic in job.topics() {
        let partitions = topics.get(topic).copied().unwrap_or(0);
        if partitions == 0 && goal.is_some() {
            bail!("job {}: there is no topic {topic}", job.name());
        }
        for partition in 0..partitions {
            let place = (topic.clone(), partition);
            let news = goal.is_none_or(|goal| goal.ends.get(&place).copied().unwrap_or(0) > start.get(&place).copied().unwrap_or(0));
            if news {
                runner.assign(topic, partition);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_ends_in_any_way_is_not_alive() {
        let alive = Arc::new(AtomicBool::new(true));
        let life = Life(alive.clone());
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _life = life;
            panic!("a job's own");
        }));
        assert!(panicked.is_err() && !alive.load(Ordering::Acquire));
    }
}
