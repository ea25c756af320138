//! One job at work: chunks from its source, epochs through its engine, results to its sink.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use bus::{Bus, Chunk, Filter, Tap};
use lakehouse::Lake;
use pipelines::{Job, Push, RunError, Runner, RunnerConfig, Spread};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

use super::figures::Desk;
use super::io::{self, Source};
use super::record::{self, Record};
use super::shared::Slices;
use super::side::{SideTables, SideWriters};
use super::sinks::JobSink;
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
    /// Who writes the tables that all jobs share.
    pub side: SideWriters,
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

/// Which part of a job is worked.
pub enum Part {
    /// All of it.
    Whole,
    /// One partition of a job that keeps no state, read from this tap.
    Partition {
        /// The partition.
        place: (String, i32),
        /// Where it is read.
        tap: Arc<Tap>,
        /// Where it begins, when its state knows nothing yet.
        begin: i64,
    },
    /// One slice.
    Slice {
        /// What it is called.
        name: String,
        /// What it reads, when its state knows so much.
        source: Box<dyn FnOnce(Positions) -> Result<Slices> + Send>,
    },
}

impl Part {
    /// What a part is called: its state and its epochs are its own.
    fn name(&self) -> Option<String> {
        match self {
            Part::Whole => None,
            Part::Partition { place: (topic, partition), .. } => Some(format!("{topic}-{partition}")),
            Part::Slice { name, .. } => Some(name.clone()),
        }
    }
}

/// What is pushed at once.
pub struct Piece {
    /// Rows of a partition.
    pub chunk: pipelines::Chunk,
    /// How far event time has come in it, where somebody else has seen all of its rows.
    pub reached_us: Option<i64>,
    /// Whether its partition rests after it.
    pub rests: bool,
}

/// What a piece of work reads.
enum Reads {
    /// Its topics, or a partition of one.
    Log(Source),
    /// Rows that were sent to its slice.
    Slice(Box<Slices>),
}

impl Reads {
    async fn recv(&mut self) -> Option<Arc<Chunk>> {
        match self {
            Reads::Log(source) => source.recv().await,
            Reads::Slice(slices) => slices.recv().await,
        }
    }

    fn try_recv(&mut self) -> Option<Arc<Chunk>> {
        match self {
            Reads::Log(source) => source.try_recv(),
            Reads::Slice(slices) => slices.try_recv(),
        }
    }

    /// What is to be pushed of a chunk, up to the goal.
    fn pieces(&mut self, chunk: &Chunk, until: Option<i64>) -> Result<Vec<Piece>> {
        match self {
            Reads::Log(_) => Ok(io::chunk(chunk, until).map(|chunk| Piece { chunk, reached_us: None, rests: false }).into_iter().collect()),
            Reads::Slice(slices) => slices.pieces(chunk),
        }
    }

    /// Records that were not read yet.
    async fn behind(&self, positions: &Positions) -> i64 {
        match self {
            Reads::Log(source) => {
                let at = |place: &(String, i32)| positions.get(place).copied().unwrap_or(0);
                source.ends().await.iter().map(|(place, end)| (end - at(place)).max(0)).sum()
            }
            Reads::Slice(slices) => slices.behind().await,
        }
    }

    fn log(&mut self) -> Option<&mut Source> {
        match self {
            Reads::Log(source) => Some(source),
            Reads::Slice(_) => None,
        }
    }

    async fn close(self) {
        match self {
            Reads::Log(source) => source.close().await,
            Reads::Slice(slices) => slices.close().await,
        }
    }
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
    reads: Reads,
    ends: mpsc::Receiver<oneshot::Sender<()>>,
    handle: Handle,
    /// Least time between two epochs; each epoch of a table is a commit.
    every: Duration,
    /// How long it rests at most after it has worked: as long as the work took, so that jobs with windows leave room for
    /// others. A record that goes on by itself does not wait.
    rest_max: Duration,
    rest: Duration,
    polled: Instant,
    metered: Option<Instant>,
    busy: Duration,
    /// What the runner has no room for yet.
    waiting: VecDeque<Piece>,
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
        Work::open_part(job, home, tools, desk, progress, goal, Part::Whole).await
    }

    /// The same for a part of a job.
    ///
    /// # Errors
    /// As [`open`](Work::open); also while another process holds this part.
    pub async fn open_part(job: Job, home: &Home, tools: &Tools, desk: Desk, progress: Progress, goal: Option<Goal>, part: Part) -> Result<(Handle, Work)> {
        let name = job.name().to_owned();
        let record = Record::read(home, &name)?;
        let (state_dir, app_id) = match part.name() {
            None => (record::state_dir(home, &name), record.app_id(&name)),
            Some(part) => (record::parts_dir(home, &name).join(record.life.to_string()).join(&part), format!("{}/{part}", record.app_id(&name))),
        };
        let mut runner = Runner::open(job, &state_dir, RunnerConfig { idle_after: idle_after(goal.as_ref(), &part), ..RunnerConfig::default() }).await?;
        let job = runner.job().clone();
        let (sink, every) = io::sink(&job, &tools.sink, &tools.lake, &app_id, tools.commit_every).await?;
        let start = match &part {
            Part::Whole => start(home, &job, &tools.source, runner.positions()).await?,
            Part::Partition { place, begin, .. } => [(place.clone(), *begin)].into_iter().chain(runner.positions()).collect(),
            Part::Slice { .. } => runner.positions(),
        };
        match &part {
            Part::Partition { place, .. } => runner.assign(&place.0, place.1),
            Part::Whole | Part::Slice { .. } => assign(&mut runner, &job, &tools.source, goal.as_ref(), &start).await?,
        }
        let side = SideTables::open(&tools.side, &name, &app_id, state_dir, start.clone()).await?;
        let reads = match part {
            Part::Whole => Reads::Log(Source::open(&tools.source, tools.shared.clone(), &name, job.topics(), start.clone())?),
            Part::Partition { place, tap, .. } => Reads::Log(Source::of_partition(&tools.source, &tap, &name, &place.0, place.1, start.clone())?),
            Part::Slice { source, .. } => Reads::Slice(Box::new(source(start.clone())?)),
        };
        let rest_max = if job.spread() == Spread::Rows { Duration::ZERO } else { tools.commit_every };
        record::ran(home, &job)?;
        progress.set(start.clone());
        let (end, ends) = mpsc::channel(1);
        let alive = Arc::new(AtomicBool::new(true));
        let handle = Handle { progress, desk, alive: alive.clone(), refusal: Arc::default(), end };
        let mut work = Work {
            runner,
            sink,
            side,
            reads,
            ends,
            handle: handle.clone(),
            every,
            rest_max,
            rest: Duration::ZERO,
            polled: Instant::now(),
            metered: None,
            busy: Duration::from_millis(handle.desk.read().busy_ms),
            waiting: VecDeque::new(),
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
        self.reads.close().await;
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
                chunk = self.reads.recv(), if self.waiting.is_empty() => {
                    let Some(chunk) = chunk else { return Ok(()) };
                    self.push(&chunk)?;
                }
                Some(answer) = self.ends.recv() => ending = Some(answer),
                _ = tick.tick() => {}
            }
            while !done && self.waiting.is_empty() && let Some(chunk) = self.reads.try_recv() {
                self.push(&chunk)?;
            }
            let close = ending.is_some() || (done && self.goal.as_ref().is_some_and(|goal| goal.close));
            let full = self.runner.buffered_rows() >= pipelines::limits::EPOCH_ROWS_MAX;
            if !self.waiting.is_empty() || done || close || full || self.polled.elapsed() >= self.every.max(self.rest) {
                if let Some(source) = self.reads.log().filter(|source| source.falls_behind()) {
                    source.step_aside();
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
        if !self.waiting.is_empty() {
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
        if let Reads::Log(source) = &self.reads && !source.is_reachable().await {
            return Ok(false);
        }
        warn!(job = self.runner.job().name(), partitions = missing.len(), "no record up to the end that was seen: taken for marks of transactions");
        Ok(true)
    }

    fn push(&mut self, chunk: &Chunk) -> Result<()> {
        self.heard = Instant::now();
        let until = self.goal.as_ref().map(|goal| goal.ends.get(&(chunk.topic.to_string(), chunk.partition)).copied().unwrap_or(0));
        for piece in self.reads.pieces(chunk, until)? {
            self.written_us = self.written_us.max(io::written_us(&piece.chunk.rows));
            self.offer(piece)?;
        }
        Ok(())
    }

    fn offer(&mut self, piece: Piece) -> Result<()> {
        let Piece { chunk, reached_us, rests } = piece;
        let (topic, partition) = (Arc::clone(&chunk.topic), chunk.partition);
        // In their order: what comes later waits behind what waits.
        let full = match self.waiting.is_empty() {
            true => self.runner.push_part(chunk, reached_us)?,
            false => Push::Full(chunk),
        };
        match full {
            Push::Taken => self.runner.rest(&topic, partition, rests),
            Push::Full(chunk) => self.waiting.push_back(Piece { chunk, reached_us, rests }),
        }
        Ok(())
    }

    /// Works off what has been pushed. A sink that refuses is offered the same again; nobody else waits for it meanwhile.
    async fn epoch(&mut self, close: bool, stop: &mut watch::Receiver<bool>) -> Result<Went> {
        let mut refusals = 0;
        let started = Instant::now();
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
            let positions = self.positions();
            if let Some(source) = self.reads.log().filter(|source| source.is_aside()) {
                source.return_to(positions)?;
                // What waits comes again.
                self.waiting.clear();
            }
            if self.waiting.is_empty() {
                break;
            }
            for piece in std::mem::take(&mut self.waiting) {
                self.offer(piece)?;
            }
        }
        if let Reads::Slice(slices) = &mut self.reads {
            slices.done(&self.runner.done()).await;
        }
        self.polled = Instant::now();
        self.rest = started.elapsed().min(self.rest_max);
        self.handle.progress.set(self.positions());
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
        if let Some(source) = self.reads.log() {
            source.step_aside();
        }
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
        let positions = self.positions();
        let behind = self.reads.behind(&positions).await;
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

/// With a goal, silence says nothing: what was there is read as fast as it comes. A slice is told when a partition rests.
fn idle_after(goal: Option<&Goal>, part: &Part) -> Duration {
    match (goal, part) {
        (None, Part::Whole | Part::Partition { .. }) => RunnerConfig::default().idle_after,
        (Some(_), _) | (None, Part::Slice { .. }) => Duration::MAX,
    }
}

/// Announces the partitions of a job's topics: one that nobody knows would let the watermark run ahead of what is in it.
/// With a goal, those without news rest, so that nobody waits for what will not come.
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
            match news {
                true => runner.assign(topic, partition),
                false => runner.rest(topic, partition, true),
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
