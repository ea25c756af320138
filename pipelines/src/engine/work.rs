//! The work of one epoch: from the state before and the planned rows to the output and the state after.
//!
//! Nothing here looks at a clock or a file: the same plan, rows and state give the same result.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use datafusion::error::{DataFusionError, Result};
use futures::future::try_join_all;

use crate::chunk::column;
use crate::engine::decode::Decoder;
use crate::engine::epoch::Plan;
use crate::engine::late::{self, LateRow, Reason};
use crate::engine::stages::Stages;
use crate::engine::state::{END_US, OpenWindow, Progress, State};
use crate::engine::{ids, latch};
use crate::functions::window_start;
use crate::job::Job;
use crate::output::{EpochOutput, moment};
use crate::sql::tables::Target;

/// A job that is ready to work.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) job: Job,
    pub(crate) stages: Stages,
    decoder: Decoder,
    lanes: usize,
}

/// Rows of the stream that count, lane by lane, and what became of the others.
struct Ingested {
    lanes: Vec<RecordBatch>,
    /// Topic, partition, offset and time of each row that counts; only kept when there are no windows.
    records: Vec<(String, i32, i64, Option<i64>)>,
    late: Vec<LateRow>,
}

impl Worker {
    pub(crate) fn new(job: Job, lanes: usize, batch_rows: usize) -> Result<Worker> {
        let source = &job.tables().source;
        let stages = Stages::new(&source.name, job.split(), lanes, batch_rows)?;
        let mut used = stages.used(source.columns.len())?;
        if let Some((event_time, _)) = source.watermark {
            used[event_time] = true;
        }
        let decoder = Decoder::new(source, used);
        Ok(Worker { job, stages, decoder, lanes: lanes.max(1) })
    }

    /// Works one epoch off. `rows` are those of the planned ranges, ordered by topic, partition and offset.
    pub(crate) async fn work(&self, plan: &Plan, rows: &[RecordBatch], before: &State) -> Result<(EpochOutput, State)> {
        let mut state = before.clone();
        state.epoch = plan.epoch;
        for range in &plan.ranges {
            let progress = state.partitions.entry(range.partition()).or_insert(Progress { next: range.from, time_max: None });
            progress.next = range.to;
        }
        state.idle = plan.ranges.iter().filter(|range| range.idle).map(|range| range.partition()).collect();
        let ingested = self.ingest(plan, rows, &mut state).await?;
        let late = late::batch(self.job.name(), before.watermark, &ingested.late);
        let (rows, ids, times) = match self.stages.windows {
            Some(_) => self.windows(plan, ingested.lanes, &mut state).await?,
            None => {
                self.advance(plan, &mut state);
                self.records(ingested.lanes, &ingested.records).await?
            }
        };
        let output = EpochOutput {
            job: self.job.name().to_owned(),
            epoch: plan.epoch,
            positions: state.partitions.iter().map(|(partition, progress)| (partition.clone(), progress.next)).collect(),
            rows,
            ids,
            times: times.into_iter().map(|time| time.and_then(moment)).collect(),
            late,
            watermark: state.watermark.and_then(moment),
        };
        Ok((output, state))
    }

    /// Decodes rows and sorts out the late ones, each lane a part of them.
    async fn ingest(&self, plan: &Plan, rows: &[RecordBatch], state: &mut State) -> Result<Ingested> {
        let mut ingested = Ingested { lanes: Vec::new(), records: Vec::new(), late: Vec::new() };
        let Some(first) = rows.first() else { return Ok(ingested) };
        let rows = concat_batches(&first.schema(), rows)?;
        let lane_rows = rows.num_rows().div_ceil(self.lanes);
        let parts = (0..rows.num_rows()).step_by(lane_rows.max(1)).map(|from| rows.slice(from, lane_rows.min(rows.num_rows() - from)));
        let decoded = try_join_all(parts.map(|part| {
            let decoder = self.decoder.clone();
            tokio::task::spawn_blocking(move || (decoder.decode(&part), part))
        }));
        for (columns, part) in decoded.await.map_err(|error| DataFusionError::External(error.into()))? {
            let keep = self.sort_out(plan, &part, &columns, state, &mut ingested);
            ingested.lanes.push(if keep.true_count() == keep.len() { columns } else { filter_record_batch(&columns, &keep)? });
        }
        Ok(ingested)
    }

    /// Which rows count. The others are noted with their reason.
    fn sort_out(&self, plan: &Plan, part: &RecordBatch, columns: &RecordBatch, state: &mut State, ingested: &mut Ingested) -> BooleanArray {
        let (partitions, offsets) = (column(part, "partition").as_primitive::<Int32Type>(), column(part, "offset").as_primitive::<Int64Type>());
        let topics = column(part, "topic").as_string::<i32>();
        let watermark = self.job.tables().source.watermark;
        let times = match watermark {
            Some((event_time, _)) => columns.column(event_time),
            None => column(part, "ce_time"),
        };
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let width_us = self.stages.windows.as_ref().map(|windows| windows.width_us);
        // Rows come partition by partition, so the partition at hand is looked up once for a whole run of them.
        let mut run: Option<(&str, i32, Option<i64>)> = None;
        let mut keep = Vec::with_capacity(part.num_rows());
        for row in 0..part.num_rows() {
            let (topic, partition) = (topics.value(row), partitions.value(row));
            let time = times.is_valid(row).then(|| times.value(row));
            let reason = watermark.and_then(|_| unusable(plan, time));
            if run.is_none_or(|(of, at, _)| of != topic || at != partition) {
                flush(state, run.take());
                run = Some((topic, partition, None));
            }
            if let (Some((_, _, latest)), None) = (&mut run, reason) {
                *latest = (*latest).max(time);
            }
            let closed = || match (width_us, time, state.watermark) {
                (Some(width), Some(time), Some(watermark)) => window_start(time, width).saturating_add(width) <= watermark,
                _ => false,
            };
            match reason.or_else(|| closed().then_some(Reason::Closed)) {
                Some(reason) => {
                    let offset = offsets.value(row);
                    ingested.late.push(LateRow { topic: topic.to_owned(), partition, offset, event_time: time, reason });
                    keep.push(false);
                }
                None => {
                    if width_us.is_none() {
                        ingested.records.push((topic.to_owned(), partition, offsets.value(row), time));
                    }
                    keep.push(true);
                }
            }
        }
        flush(state, run);
        BooleanArray::from(keep)
    }

    /// Adds rows to their windows, moves the watermark, and closes what it has passed.
    async fn windows(&self, plan: &Plan, lanes: Vec<RecordBatch>, state: &mut State) -> Result<Output> {
        let stage = self.stages.windows.as_ref().expect("this is called for jobs with windows only");
        if lanes.iter().any(|rows| rows.num_rows() > 0) {
            let schema = lanes[0].schema();
            for rows in self.stages.aggregate(stage, &schema, lanes).await? {
                state.add(&rows)?;
            }
        }
        for window in state.windows.values_mut().filter(|window| window.wants_merge()) {
            *window = OpenWindow::merged(self.stages.merge(stage, std::mem::take(&mut window.batches)).await?);
        }
        self.advance(plan, state);
        let closed = state.take_closed(stage.width_us);
        if closed.is_empty() {
            return Ok((self.stages.no_output(), Vec::new(), Vec::new()));
        }
        let closed = self.stages.finish(stage, closed).await?;
        let base = ids::of_windows(self.job.name(), &closed.starts, &closed.keys)?;
        let ends: Vec<Option<i64>> = closed.starts.iter().map(|start| Some(start.saturating_add(stage.width_us))).collect();
        let (rows, numbers) = self.stages.output_of_windows(closed).await?;
        let (ids, times) = self.name(&base, &ends, &numbers);
        let Target::Kafka { latch: Some(latch), .. } = self.job.target() else { return Ok((rows, ids, times)) };
        let keep = latch::changes(latch, &mut state.latch, &rows)?;
        let kept = |index: &usize| keep.value(*index);
        let ids = ids.into_iter().enumerate().filter(|(index, _)| kept(index)).map(|(_, id)| id).collect();
        let times = times.into_iter().enumerate().filter(|(index, _)| kept(index)).map(|(_, time)| time).collect();
        Ok((filter_record_batch(&rows, &keep)?, ids, times))
    }

    async fn records(&self, lanes: Vec<RecordBatch>, records: &[(String, i32, i64, Option<i64>)]) -> Result<Output> {
        if records.is_empty() {
            return Ok((self.stages.no_output(), Vec::new(), Vec::new()));
        }
        let job = self.job.name();
        let base: Vec<String> = records.iter().map(|(topic, partition, offset, _)| ids::of_record(job, topic, *partition, *offset)).collect();
        let times: Vec<Option<i64>> = records.iter().map(|record| record.3).collect();
        let (rows, numbers) = self.stages.output_of_rows(lanes).await?;
        let (ids, times) = self.name(&base, &times, &numbers);
        Ok((rows, ids, times))
    }

    /// The id and time of each output row, from those of the window or record that it came from.
    fn name(&self, base: &[String], times: &[Option<i64>], numbers: &[usize]) -> (Vec<String>, Vec<Option<i64>>) {
        let mut nth = 0;
        let ids = numbers.iter().enumerate().map(|(row, number)| {
            nth = if row > 0 && numbers[row - 1] == *number { nth + 1 } else { 0 };
            ids::nth(self.job.name(), &base[*number], nth)
        });
        (ids.collect(), numbers.iter().map(|number| times[*number]).collect())
    }

    fn advance(&self, plan: &Plan, state: &mut State) {
        match (self.job.tables().source.watermark, plan.ended) {
            (None, _) => {}
            (Some(_), true) => state.watermark = Some(END_US),
            (Some((_, delay_us)), false) => state.advance(delay_us),
        }
    }
}

type Output = (RecordBatch, Vec<String>, Vec<Option<i64>>);

/// Why a time cannot be used.
fn unusable(plan: &Plan, time: Option<i64>) -> Option<Reason> {
    match time {
        None => Some(Reason::NoTime),
        Some(time) if time < 0 => Some(Reason::Ancient),
        Some(time) if time > plan.time_max_us => Some(Reason::Future),
        Some(_) => None,
    }
}

/// Notes the latest time of a run of rows of one partition.
fn flush(state: &mut State, run: Option<(&str, i32, Option<i64>)>) {
    if let Some((topic, partition, Some(latest))) = run
        && let Some(progress) = state.partitions.get_mut(&(topic.to_owned(), partition))
    {
        progress.time_max = progress.time_max.max(Some(latest));
    }
}
