//! Runs one job: chunks in, epochs out.
//!
//! An epoch goes through four steps, and after a crash between any two of them it is gone through again with the same
//! ranges, the same state before it, and so the same output under the same number:
//!
//! 1. its plan is written down durably;
//! 2. its output is computed from the planned rows and the state before;
//! 3. the sink takes the output;
//! 4. the state after it becomes the durable one.
//!
//! A job that gives records one by one to a topic needs none of that: what it gives and under which id follows from each
//! record alone, however epochs are cut. It is spared steps 1 and 4 but for one a second, so that an alarm does not wait
//! for the disk; after a crash it gives the last second's records again, under the same ids.

use std::collections::BTreeSet;
use std::path::Path;

use arrow::array::RecordBatch;
use chrono::{DateTime, TimeDelta, Utc};
use datafusion::error::DataFusionError;
use tracing::{debug, info};

use crate::chunk::Chunk;
use crate::config::{RunnerConfig, Step};
use crate::engine::buffer::{self, Buffer};
use crate::engine::epoch::Plan;
use crate::engine::home::Home;
use crate::engine::planner::{Facts, Silence};
use crate::engine::saved_job;
use crate::engine::state::{Header, Partition, Shape, State};
use crate::engine::steps::StepWork;
use crate::engine::store::{Opened, Store, StoreError, StoreLimits};
use crate::engine::work::{Worker, bronze_columns};
use crate::error::RunError;
use crate::job::Job;
use crate::output::{EpochOutput, Positions, RunnerStats, Sink, StepStats, moment};

/// How long the state of a job that gives records may stay in memory only.
const SAVE_RECORDS_AFTER: TimeDelta = TimeDelta::seconds(1);

/// Whether a chunk was taken.
#[derive(Debug, Clone)]
pub enum Push {
    /// It was, or was passed over because its rows are known already.
    Taken,
    /// It was not: run epochs first, then push it again.
    Full(Chunk),
}

/// What a poll did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Epochs that are done.
    pub epochs: u64,
    /// Rows read by them.
    pub rows_in: u64,
    /// Rows given by them.
    pub rows_out: u64,
    /// Late rows among those read.
    pub rows_late: u64,
    /// Whether an epoch that was planned before a crash waits for its rows to be pushed again.
    pub waiting: bool,
}

/// A running job.
#[derive(Debug)]
pub struct Runner {
    worker: Worker,
    /// The job as its file says it now, when an epoch of an older one is still to be finished.
    next_job: Option<Job>,
    digest: String,
    config: RunnerConfig,
    home: Home,
    store: Store,
    state: State,
    buffer: Buffer,
    assigned: BTreeSet<Partition>,
    silence: Silence,
    planned: Option<Plan>,
    offered: Option<(EpochOutput, State)>,
    /// When the durable state was written, and whether the one in memory is ahead of it.
    saved: Option<DateTime<Utc>>,
    ahead: bool,
    stopped: bool,
    /// Since it was opened.
    totals: Progress,
}

impl Runner {
    /// Opens a job on its state directory, which it makes if need be and holds alone.
    pub async fn open(job: Job, state_dir: &Path, config: RunnerConfig) -> Result<Runner, RunError> {
        let home = Home::hold(state_dir, job.name())?;
        let name = job.name().to_owned();
        let damaged = |what: String| RunError::Damaged { job: name.clone(), path: state_dir.to_owned(), what };
        let limits = StoreLimits { memory_bytes: config.state_memory_max, live_bytes: config.state_bytes_max, ..StoreLimits::default() };
        let Opened { mut store, header, plan, chunks } = Store::open(home.folder(), &name, limits).map_err(|error| store_error(&name, error))?;
        let (mut state, shape) = match header {
            Some(header) => Header::read(&header, &name).map(Header::open).map(|(state, shape)| (state, Some(shape))).map_err(damaged)?,
            None => (State::default(), None),
        };
        if let Some(shape) = shape {
            let mut rows = vec![0; shape.steps.len()];
            chunks.iter().for_each(|(_, tag, count)| rows.get_mut(tag.step as usize).into_iter().for_each(|rows| *rows += count));
            same_shape(&shape, &job, &rows, state.latch.len())?;
        }
        let planned = match plan {
            Some(plan) => Some(serde_json::from_slice::<Plan>(&plan).map_err(|error| damaged(error.to_string()))?).filter(|plan| plan.epoch > state.epoch),
            None => None,
        };
        if let Some(plan) = &planned
            && plan.epoch != state.epoch + 1
        {
            return Err(damaged(format!("its state is of epoch {}, the last plan of epoch {}", state.epoch, plan.epoch)));
        }
        let digest = job.digest();
        let (job, next_job) = match &planned {
            Some(plan) if plan.digest != digest => {
                let saved = saved_job::read(&home.saved_job(), job.name(), job.udfs())?;
                let saved = match job.sliced() {
                    Some((slice, of)) => saved.slice(slice, of),
                    None => saved,
                };
                (saved, Some(job))
            }
            _ => {
                saved_job::write(&home.saved_job(), &job)?;
                (job, None)
            }
        };
        let mut worker = ready(job, &config, state.epoch)?;
        let restored = worker.restore(chunks, &mut store).await;
        restored.map_err(|error| engine_error(&name, "read its state", state.epoch, error))?;
        state.keep_topics(worker.job.topics());
        info!(job = name, epoch = state.epoch, state_rows = worker.state_rows().iter().sum::<usize>(), planned = planned.is_some(), "opened job");
        let digest = worker.job.digest();
        Ok(Runner {
            worker,
            next_job,
            digest,
            config,
            home,
            store,
            state,
            buffer: Buffer::default(),
            assigned: BTreeSet::new(),
            silence: Silence::default(),
            planned,
            offered: None,
            saved: None,
            ahead: false,
            stopped: false,
            totals: Progress::default(),
        })
    }

    /// Drops all that a job has left in its state directory. It then begins anew, from where it is first pushed to.
    pub fn reset(job: &str, state_dir: &Path) -> Result<(), RunError> {
        Home::hold(state_dir, job)?.clear()
    }

    /// The job.
    pub fn job(&self) -> &Job {
        self.next_job.as_ref().unwrap_or(&self.worker.job)
    }

    /// The last epoch that is done.
    pub fn epoch(&self) -> u64 {
        self.state.epoch
    }

    /// How far event time has come.
    pub fn watermark(&self) -> Option<DateTime<Utc>> {
        self.state.watermark.and_then(moment)
    }

    /// Windows, or pieces of windows, that are open.
    pub fn open_windows(&self) -> usize {
        self.worker.steps.iter().map(StepWork::open_windows).sum()
    }

    /// How the job is doing, step by step.
    pub fn stats(&self) -> RunnerStats {
        let step = |step: &StepWork| StepStats {
            label: step.label.clone(),
            rows_in: step.rows_in,
            rows_out: step.rows_out,
            busy: step.busy,
            state_rows: step.state_rows(),
            open_windows: step.open_windows(),
        };
        RunnerStats {
            epoch: self.state.epoch,
            watermark: self.watermark(),
            buffered_rows: self.buffer.rows(),
            buffered_bytes: self.buffer.bytes(),
            state_memory_bytes: self.store.memory_bytes(),
            state_bytes: self.store.live_bytes(),
            disk_bytes: self.store.disk_bytes(),
            raised: self.state.latch.len(),
            totals: self.totals,
            steps: self.worker.steps.iter().map(step).collect(),
        }
    }

    /// Rows that wait for an epoch.
    pub fn buffered_rows(&self) -> usize {
        self.buffer.rows()
    }

    /// Says that a partition exists, so that the watermark waits for it even before its first row. Partitions that are
    /// not announced are known from their first chunk on.
    pub fn assign(&mut self, topic: &str, partition: i32) {
        self.assigned.insert((topic.to_owned(), partition));
    }

    /// Says whether a partition rests: then nothing comes from it for now, and the watermark does not wait for it. It is
    /// awake again when rows of it come. Without that a partition is found to be idle by its silence.
    pub fn rest(&mut self, topic: &str, partition: i32, rests: bool) {
        self.silence.rest((topic.to_owned(), partition), rests);
    }

    /// The next offset to push, for each partition that has been read from. After opening this is where to read on.
    pub fn positions(&self) -> Positions {
        let done = self.state.partitions.iter().map(|(partition, progress)| (partition.clone(), progress.next));
        let mut positions: Positions = done.filter(|(_, next)| *next > 0).collect();
        for partition in self.buffer.partitions() {
            positions.insert(partition.clone(), self.next_of(partition));
        }
        positions
    }

    /// The next offset of each partition after the last epoch that is done.
    pub fn done(&self) -> Positions {
        self.state.partitions.iter().map(|(partition, progress)| (partition.clone(), progress.next)).collect()
    }

    fn next_of(&self, partition: &Partition) -> i64 {
        let done = self.state.partitions.get(partition).map_or(0, |progress| progress.next);
        self.buffer.next_of(partition).map_or(done, |next| next.max(done))
    }

    /// Takes a chunk in, or gives it back when too much waits already.
    pub fn push(&mut self, chunk: Chunk) -> Result<Push, RunError> {
        let partition = (chunk.topic.to_string(), chunk.partition);
        let wrong = |what: String| RunError::Rows {
            job: self.worker.job.name().to_owned(),
            topic: partition.0.clone(),
            partition: partition.1,
            what,
        };
        if self.next_job.as_ref().is_some_and(|job| job.topics().contains(&partition.0) && !self.worker.job.topics().contains(&partition.0)) {
            return Ok(Push::Full(chunk));
        }
        if !self.worker.job.topics().contains(&partition.0) {
            return Err(wrong(format!("the job reads {}", self.worker.job.topics().join(", "))));
        }
        chunk.check().map_err(wrong)?;
        if !self.has_room(&partition, chunk.first_offset) {
            return Ok(Push::Full(chunk));
        }
        self.assigned.insert(partition.clone());
        // What lies behind an epoch of the old job is for the new one, which may read other types of event.
        let (chunk, later) = match &self.next_job {
            Some(_) => chunk.split(self.planned_end(&partition)),
            None => (Some(chunk), None),
        };
        if let Some(chunk) = chunk.and_then(|chunk| chunk.from_offset(self.next_of(&partition))) {
            let columns = bronze_columns(&chunk.rows);
            let narrow = buffer::only(chunk, self.worker.job.event_types(), &columns);
            self.buffer.push(narrow.map_err(|error| self.engine("sort rows by event type", self.state.epoch + 1, error))?);
        }
        Ok(later.map_or(Push::Taken, Push::Full))
    }

    /// The same for a chunk of which somebody has left rows out, see [`Splitter`](crate::Splitter): how far event time has
    /// come in all of its rows.
    pub fn push_part(&mut self, chunk: Chunk, reached_us: Option<i64>) -> Result<Push, RunError> {
        let partition = (chunk.topic.to_string(), chunk.partition);
        let pushed = self.push(chunk)?;
        if let (Push::Taken, Some(reached)) = (&pushed, reached_us) {
            self.buffer.mark(&partition, reached);
        }
        Ok(pushed)
    }

    /// Where the range of a partition ends in the epoch that is planned.
    fn planned_end(&self, partition: &Partition) -> i64 {
        let ranges = self.planned.iter().flat_map(|plan| &plan.ranges);
        ranges.filter(|range| range.partition() == *partition).map(|range| range.to).next().unwrap_or(0)
    }

    /// A partition that has less than its share always finds room, and so does what a planned epoch waits for: one
    /// partition's backlog never keeps the others out.
    fn has_room(&self, partition: &Partition, offset: i64) -> bool {
        let full = self.buffer.rows() >= self.config.buffer_rows_max || self.buffer.bytes() >= self.config.buffer_bytes_max;
        let partitions = self.known().len().max(1);
        let share = self.config.buffer_rows_max / partitions;
        let wanted = self.next_of(partition).max(offset) < self.planned_end(partition);
        !full || wanted || self.buffer.rows_of(partition) < share
    }

    fn known(&self) -> BTreeSet<Partition> {
        self.state.partitions.keys().chain(&self.assigned).cloned().collect()
    }

    /// Runs epochs until nothing waits. To be called from time to time also when nothing has come: that is how a partition is
    /// found to be idle.
    pub async fn poll<S: Sink>(&mut self, now: DateTime<Utc>, sink: &mut S) -> Result<Progress, RunError> {
        self.guarded(now, false, sink).await
    }

    /// Runs epochs until nothing waits, then one more in which the source has ended: every window closes, and rows that
    /// are pushed afterwards are late. Does nothing of it while `waiting`.
    pub async fn close_all<S: Sink>(&mut self, now: DateTime<Utc>, sink: &mut S) -> Result<Progress, RunError> {
        self.guarded(now, true, sink).await
    }

    async fn guarded<S: Sink>(&mut self, now: DateTime<Utc>, end: bool, sink: &mut S) -> Result<Progress, RunError> {
        if self.stopped {
            return Err(RunError::Stopped { job: self.worker.job.name().to_owned() });
        }
        let result = self.epochs(now, end, sink).await;
        if let Ok(progress) = &result {
            self.totals.epochs += progress.epochs;
            self.totals.rows_in += progress.rows_in;
            self.totals.rows_out += progress.rows_out;
            self.totals.rows_late += progress.rows_late;
        }
        // A sink that refuses is asked again; after anything else the files may be ahead of the memory.
        self.stopped = matches!(&result, Err(error) if !matches!(error, RunError::Sink { .. }));
        result
    }

    async fn epochs<S: Sink>(&mut self, now: DateTime<Utc>, end: bool, sink: &mut S) -> Result<Progress, RunError> {
        self.silence.listen(now, &self.known(), &self.buffer, self.config.idle_after);
        let (mut progress, mut ended) = (Progress::default(), false);
        loop {
            let plan = match &self.planned {
                Some(plan) => plan.clone(),
                None => match self.plan(now, false)?.or(if end && !ended { self.plan(now, true)? } else { None }) {
                    Some(plan) => plan,
                    None => return Ok(progress),
                },
            };
            ended |= plan.ended;
            if self.offered.is_none() {
                let Some(rows) = self.rows_of(&plan) else {
                    return Ok(Progress { waiting: true, ..progress });
                };
                progress.rows_in += rows.iter().map(|rows| rows.num_rows() as u64).sum::<u64>();
                self.compute(&plan, rows).await?;
            }
            let Some((output, _)) = &self.offered else { unreachable!("the output was computed just now") };
            progress.rows_out += output.rows.num_rows() as u64;
            progress.rows_late += output.late.num_rows() as u64;
            let refused = |source| RunError::Sink { job: output.job.clone(), epoch: output.epoch, source };
            sink.take(output).await.map_err(refused)?;
            self.step(Step::OutputTaken)?;
            self.commit(now, &plan)?;
            progress.epochs += 1;
            if let Some(job) = self.next_job.take() {
                self.change_job(job).await?;
            }
        }
    }

    /// Plans the next epoch and writes the plan down.
    fn plan(&mut self, now: DateTime<Utc>, ended: bool) -> Result<Option<Plan>, RunError> {
        let known = self.known();
        let facts = Facts {
            job: self.worker.job.name(),
            digest: &self.digest,
            now,
            known: &known,
            buffer: &self.buffer,
            silence: &self.silence,
            state: &self.state,
            open: self.worker.state_rows().iter().any(|rows| *rows > 0),
            config: &self.config,
        };
        let Some(plan) = facts.plan(ended) else { return Ok(None) };
        if !self.worker.job.gives_records() {
            let bytes = serde_json::to_vec(&plan).expect("a plan can always be written as JSON");
            self.store.write_plan(&bytes).map_err(|error| store_error(self.worker.job.name(), error))?;
        }
        self.planned = Some(plan.clone());
        self.step(Step::PlanWritten)?;
        Ok(Some(plan))
    }

    /// The rows of the planned ranges in their order, or nothing while some have not been pushed yet.
    fn rows_of(&self, plan: &Plan) -> Option<Vec<RecordBatch>> {
        let reached = |partition: &Partition, to: i64| self.buffer.next_of(partition).is_some_and(|next| next >= to);
        let there = plan.ranges.iter().all(|range| range.to <= range.from || reached(&range.partition(), range.to));
        there.then(|| plan.ranges.iter().flat_map(|range| self.buffer.before(&range.partition(), range.to)).collect())
    }

    async fn compute(&mut self, plan: &Plan, rows: Vec<RecordBatch>) -> Result<(), RunError> {
        let worked = self.worker.work(plan, &rows, &self.state, &mut self.store).await;
        let (output, state) = worked.map_err(|error| self.engine("compute its output", plan.epoch, error))?;
        let job = || self.worker.job.name().to_owned();
        let keys = state.latch.len();
        if keys > self.config.latch_keys_max {
            return Err(RunError::LatchTooLarge { job: job(), keys, limit: self.config.latch_keys_max });
        }
        self.offered = Some((output, state));
        self.step(Step::OutputComputed)
    }

    /// Makes the state durable where an epoch has not done so. For the end of a process that ends in order.
    pub fn save(&mut self) -> Result<(), RunError> {
        if self.ahead && !self.stopped {
            let job = &self.worker.job;
            let header = Header::of(job.name(), job.shape(), &self.state).bytes();
            self.store.commit(&header).map_err(|error| store_error(job.name(), error))?;
            self.ahead = false;
        }
        Ok(())
    }

    /// Goes on with the job as its file says it now.
    async fn change_job(&mut self, job: Job) -> Result<(), RunError> {
        same_shape(&self.worker.job.shape(), &job, &self.worker.state_rows(), self.state.latch.len())?;
        self.state.keep_topics(job.topics());
        saved_job::write(&self.home.saved_job(), &job)?;
        self.worker = ready(job, &self.config, self.state.epoch)?;
        let chunks = self.store.chunks();
        let restored = self.worker.restore(chunks, &mut self.store).await;
        restored.map_err(|error| self.engine("read its state", self.state.epoch, error))?;
        self.digest = self.worker.job.digest();
        Ok(())
    }

    /// Makes the state after the epoch the durable one.
    fn commit(&mut self, now: DateTime<Utc>, plan: &Plan) -> Result<(), RunError> {
        let Some((output, state)) = self.offered.take() else { unreachable!("an epoch is committed after its output was taken") };
        assert_eq!(state.epoch, self.state.epoch + 1, "epochs are counted without gaps");
        self.state = state;
        self.ahead = true;
        if !self.worker.job.gives_records() || self.saved.is_none_or(|saved| now - saved >= SAVE_RECORDS_AFTER) {
            self.save()?;
            self.saved = Some(now);
        }
        self.planned = None;
        plan.ranges.iter().for_each(|range| self.buffer.drop_before(&range.partition(), range.to));
        debug!(job = output.job, epoch = output.epoch, rows = output.rows.num_rows(), late = output.late.num_rows(), "epoch done");
        self.step(Step::SnapshotWritten)?;
        Ok(())
    }

    fn step(&self, step: Step) -> Result<(), RunError> {
        match &self.config.hook {
            Some(hook) if hook(step) => Err(RunError::Interrupted(step)),
            Some(_) | None => Ok(()),
        }
    }

    fn engine(&self, what: &'static str, epoch: u64, source: DataFusionError) -> RunError {
        engine_error(self.worker.job.name(), what, epoch, source)
    }
}

fn store_error(job: &str, error: StoreError) -> RunError {
    match error {
        StoreError::TooLarge { job, bytes, limit } => RunError::StateTooLarge { job, bytes, limit },
        StoreError::Damaged { job, path, offset, what } => RunError::Damaged { job, path, what: format!("byte {offset}: {what}") },
        source => RunError::Store { job: job.to_owned(), source: source.into() },
    }
}

/// The store's own errors come through DataFusion's when a step meets them.
fn engine_error(job: &str, what: &'static str, epoch: u64, source: DataFusionError) -> RunError {
    match source {
        DataFusionError::External(error) => match error.downcast::<StoreError>() {
            Ok(error) => store_error(job, *error),
            Err(error) => RunError::Engine { job: job.to_owned(), epoch, what, source: DataFusionError::External(error) },
        },
        source => RunError::Engine { job: job.to_owned(), epoch, what, source },
    }
}

fn same_shape(shape: &Shape, job: &Job, step_rows: &[usize], raised: usize) -> Result<(), RunError> {
    match shape.difference(&job.shape(), step_rows, raised) {
        Some(what) => Err(RunError::OtherShape { job: job.name().to_owned(), what }),
        None => Ok(()),
    }
}

fn ready(job: Job, config: &RunnerConfig, epoch: u64) -> Result<Worker, RunError> {
    let name = job.name().to_owned();
    let failed = |source| RunError::Engine { job: name, epoch, what: "prepare its plans", source };
    Worker::new(job, config.lanes.min(crate::limits::LANES_MAX), config.batch_rows).map_err(failed)
}
