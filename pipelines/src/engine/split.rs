//! Cuts the rows of a source into slices, so that several workers can share a job: each works one slice, see
//! [`Job::slice`](crate::Job::slice), and all together give what one worker would.

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{UInt32Type, UInt64Type};
use chrono::{DateTime, TimeDelta, Utc};
use datafusion::error::DataFusionError;

use crate::chunk::{Chunk, offsets};
use crate::config::RunnerConfig;
use crate::engine::buffer;
use crate::engine::epoch::Plan;
use crate::engine::feeds::Feeds;
use crate::engine::late::Reason;
use crate::engine::stage::StagePlan;
use crate::engine::state::{Progress, State};
use crate::engine::work::{Worker, bronze_columns};
use crate::error::RunError;
use crate::job::Job;
use crate::limits::BATCH_ROWS;

/// Cuts chunks into slices.
#[derive(Debug)]
pub struct Splitter {
    worker: Worker,
    /// For each stage that reads sources: the numbers of its rows, and their slices.
    stages: Vec<StagePlan>,
    of: u32,
    ahead: TimeDelta,
}

/// A chunk in slices.
#[derive(Debug)]
pub struct Split {
    /// The rows of each slice in the order of the log. A row that no window counts is in none of them.
    pub parts: Vec<RecordBatch>,
    /// How far event time has come in the whole chunk, µs, less the delay of the watermark: for
    /// [`Runner::push_part`](crate::Runner::push_part).
    pub reached_us: Option<i64>,
}

impl Splitter {
    /// A splitter into `of` slices; a job that cannot be cut by keys has one.
    pub fn new(job: Job, of: u32) -> Result<Splitter, RunError> {
        let name = job.name().to_owned();
        let failed = |source| RunError::Engine { job: name.clone(), epoch: 0, what: "prepare its plans", source };
        let flow = job.flow().clone();
        let cuts = job.cuts().to_vec();
        let worker = Worker::new(job, 1, BATCH_ROWS).map_err(failed)?;
        let stages = flow.first_stages().into_iter().map(|(step, input)| worker.stage(&flow.slices(step, input, &cuts, of)));
        let stages = stages.collect::<Result<_, _>>().map_err(failed)?;
        let ahead = TimeDelta::from_std(RunnerConfig::default().ahead_max).unwrap_or(TimeDelta::MAX);
        Ok(Splitter { worker, stages, of, ahead })
    }

    /// Cuts a chunk. Its rows keep their positions.
    pub async fn split(&self, chunk: Chunk, now: DateTime<Utc>) -> Result<Split, RunError> {
        let job = &self.worker.job;
        let wrong = |what: String| RunError::Rows { job: job.name().to_owned(), topic: chunk.topic.to_string(), partition: chunk.partition, what };
        chunk.check().map_err(wrong)?;
        let split = self.cut(chunk, now).await;
        split.map_err(|source| RunError::Engine { job: job.name().to_owned(), epoch: 0, what: "slice its rows", source })
    }

    async fn cut(&self, chunk: Chunk, now: DateTime<Utc>) -> Result<Split, DataFusionError> {
        let columns = bronze_columns(&chunk.rows);
        let chunk = buffer::only(chunk, self.worker.job.event_types(), &columns)?;
        let partition = (chunk.topic.to_string(), chunk.partition);
        let mut state = State::default();
        state.partitions.insert(partition.clone(), Progress::default());
        let plan = Plan {
            job: self.worker.job.name().to_owned(),
            epoch: 0,
            digest: String::new(),
            planned_us: now.timestamp_micros(),
            time_max_us: (now + self.ahead).timestamp_micros(),
            ended: false,
            ranges: Vec::new(),
        };
        let flow = self.worker.job.flow();
        let mut feeds = Feeds::new(flow.feeds.iter().map(|feed| feed.schema.clone()).collect());
        let mut late = Vec::new();
        let rows = [chunk.rows.clone()];
        if chunk.rows.num_rows() > 0 {
            for feed in 0..self.worker.job.tables().sources.len() {
                self.worker.ingest(feed, &plan, &rows, &mut state, &mut feeds, &mut late).await?;
            }
        }
        let mut slices = Slices::new(&chunk.rows, self.of);
        for stage in &self.stages {
            let rows = stage.rows(self.worker.session(), &feeds).await?;
            let (numbers, of) = (rows.column(0).as_primitive::<UInt64Type>(), rows.column(1).as_primitive::<UInt32Type>());
            for (number, slice) in numbers.values().iter().zip(of.values()) {
                slices.add(feeds.offset(*number), *slice);
            }
        }
        // Each slice sees for itself which of them it has to note.
        for row in late {
            match row.reason {
                Reason::Future => slices.add_to_all(Some(row.offset)),
                _ => slices.add(Some(row.offset), row.offset.rem_euclid(i64::from(self.of)) as u32),
            }
        }
        flow.failing.take().into_keys().for_each(|number| slices.add_to_all(feeds.offset(number)));
        let reached_us = state.partitions.get(&partition).and_then(|progress| progress.reached);
        Ok(Split { parts: slices.parts(&chunk.rows)?, reached_us })
    }
}

/// Which rows of a chunk are in which slice.
struct Slices<'a> {
    offsets: &'a [i64],
    rows: Vec<Vec<u32>>,
}

impl<'a> Slices<'a> {
    fn new(rows: &'a RecordBatch, of: u32) -> Slices<'a> {
        Slices { offsets: offsets(rows).values(), rows: vec![Vec::new(); of as usize] }
    }

    /// Rows of steps have no offset, and nothing of them is sliced here.
    fn add(&mut self, offset: Option<i64>, slice: u32) {
        if let Some(row) = offset.and_then(|offset| self.offsets.binary_search(&offset).ok()) {
            self.rows[slice as usize].push(row as u32);
        }
    }

    fn add_to_all(&mut self, offset: Option<i64>) {
        (0..self.rows.len()).for_each(|slice| self.add(offset, slice as u32));
    }

    fn parts(self, rows: &RecordBatch) -> Result<Vec<RecordBatch>, DataFusionError> {
        let part = |mut of: Vec<u32>| {
            of.sort_unstable();
            // One row may be in several windows.
            of.dedup();
            Ok(take_record_batch(rows, &UInt32Array::from(of))?)
        };
        self.rows.into_iter().map(part).collect()
    }
}
