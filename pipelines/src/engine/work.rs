//! The work of one epoch: from the planned rows to the output, by way of the steps' state.
//!
//! Nothing here looks at a clock or a file of its own: the same plan, rows and state give the same result.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{concat_batches, filter, filter_record_batch, take_record_batch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType, UInt64Type};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::PhysicalExpr;
use futures::future::try_join_all;

use crate::chunk::{column, offsets};
use crate::engine::decode::Decoder;
use crate::engine::epoch::Plan;
use crate::engine::feeds::{Feeds, Names};
use crate::engine::late::{self, LateRow, Reason};
use crate::engine::stage::{StagePlan, order_by};
use crate::engine::state::{END_US, Progress, State};
use crate::engine::steps::{Epoch, StepWork};
use crate::engine::store::{ChunkId, Store, Tag};
use crate::engine::{buffer, ids, latch};
use crate::job::Job;
use crate::output::{EpochOutput, FailedRecord, moment};
use crate::sql::flow::{Stage, StepKind, Window};
use crate::sql::plan;
use crate::sql::tables::{Latch, Source, Target};

/// A job that is ready to work.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) job: Job,
    session: SessionState,
    sources: Vec<SourceWork>,
    pub(crate) steps: Vec<StepWork>,
    pub(crate) last: StagePlan,
    lanes: usize,
}

/// How the records of a source become rows of its feed.
#[derive(Debug)]
struct SourceWork {
    decoder: Decoder,
    generated: Vec<Arc<dyn PhysicalExpr>>,
    /// The column of the event time.
    time_at: Option<usize>,
    delay_us: i64,
    /// What decides whether a row is late.
    rules: Vec<Rule>,
    columns: usize,
}

/// When a row comes too late for a step that reads its source.
#[derive(Debug, Clone, Copy)]
enum Rule {
    Window(Window),
    Join,
}

impl Rule {
    /// Whether the row is late for some of what it belongs to, and whether for all.
    fn late(self, time: i64, watermark: i64) -> (bool, bool) {
        match self {
            Rule::Window(window) => {
                let (first, last) = window.ends(time);
                (first <= watermark, last <= watermark)
            }
            Rule::Join => (time < watermark, time < watermark),
        }
    }
}

impl Worker {
    pub(crate) fn new(job: Job, lanes: usize, batch_rows: usize) -> Result<Worker> {
        let context = plan::session(lanes, batch_rows, job.udfs());
        let session = context.state();
        let flow = job.flow();
        let steps = StepWork::all(flow, &session)?;
        let last = StagePlan::new(&flow.last, &flow.feeds, &session)?;
        let mut sources = Vec::with_capacity(job.tables().sources.len());
        for (feed, source) in job.tables().sources.iter().enumerate() {
            let generated = plan::generated(source, &context).map_err(|fault| DataFusionError::Plan(fault.of_job(job.name()).to_string()))?;
            let mut used = vec![false; source.fields().len()];
            for stage in steps.iter().flat_map(StepWork::stages).chain([&last]) {
                stage.used(feed, &mut used)?;
            }
            let reads = |number: usize| steps[number].stages().flat_map(StagePlan::feeds).any(|read| read == feed);
            let rules = flow.steps.iter().enumerate().filter(|(number, _)| reads(*number)).map(|(_, step)| match &step.kind {
                StepKind::Aggregate(windows) => Rule::Window(windows.window),
                StepKind::Collect(collect) => Rule::Window(collect.window),
                StepKind::Join(_) => Rule::Join,
            });
            sources.push(SourceWork::new(source, used, generated, rules.collect()));
        }
        Ok(Worker { job, session, sources, steps, last, lanes: lanes.max(1) })
    }

    pub(crate) fn session(&self) -> &SessionState {
        &self.session
    }

    /// One more stage over the sources.
    pub(crate) fn stage(&self, stage: &Stage) -> Result<StagePlan> {
        StagePlan::new(stage, &self.job.flow().feeds, &self.session)
    }

    /// Takes the chunks of an earlier run over.
    pub(crate) async fn restore(&mut self, chunks: Vec<(ChunkId, Tag, usize)>, store: &mut Store) -> Result<()> {
        let mut by_step: Vec<Vec<(ChunkId, Tag, usize)>> = vec![Vec::new(); self.steps.len()];
        for chunk in chunks {
            match by_step.get_mut(chunk.1.step as usize) {
                Some(chunks) => chunks.push(chunk),
                // Of a step that is gone; it had no rows, or the job would not have been opened.
                None => store.drop(chunk.0),
            }
        }
        for (step, chunks) in self.steps.iter_mut().zip(by_step) {
            step.restore(chunks, store).await?;
        }
        Ok(())
    }

    /// Rows that each step keeps.
    pub(crate) fn state_rows(&self) -> Vec<usize> {
        self.steps.iter().map(StepWork::state_rows).collect()
    }

    /// Works one epoch off. `records` are those of the planned ranges, ordered by topic, partition and offset.
    pub(crate) async fn work(&mut self, plan: &Plan, records: &[RecordBatch], before: &State, store: &mut Store) -> Result<(EpochOutput, State)> {
        let mut state = before.clone();
        state.epoch = plan.epoch;
        for range in &plan.ranges {
            let progress = state.partitions.entry(range.partition()).or_insert(Progress { next: range.from, reached: None });
            progress.next = range.to;
        }
        state.idle = plan.ranges.iter().filter(|range| range.idle).map(|range| range.partition()).collect();
        let mut feeds = Feeds::new(self.job.flow().feeds.iter().map(|feed| Arc::clone(&feed.schema)).collect());
        let mut late = Vec::new();
        for feed in 0..self.sources.len() {
            self.ingest(feed, plan, records, &mut state, &mut feeds, &mut late).await?;
        }
        late.sort_by(|a: &LateRow, b: &LateRow| (&a.topic, a.partition, a.offset).cmp(&(&b.topic, b.partition, b.offset)));
        if let Some((slice, of)) = self.job.sliced() {
            late.retain(|row| !row.reason.is_of_the_record() || row.offset.rem_euclid(i64::from(of)) == i64::from(slice));
        }
        for range in &plan.ranges {
            range.reached.into_iter().for_each(|reached| state.reach(&range.topic, range.partition, reached));
        }
        self.advance(plan, &mut state);
        for step in &mut self.steps {
            let started = std::time::Instant::now();
            let (job, feed) = (self.job.name(), step.feed);
            let mut epoch = Epoch { job, session: &self.session, feeds: &feeds, before: before.watermark, after: state.watermark, store: &mut *store };
            for given in step.work(&mut epoch).await? {
                feeds.add(feed, given.columns, given.times, given.names)?;
            }
            step.busy += started.elapsed();
        }
        let (rows, ids, times) = self.output(&feeds, &mut state).await?;
        let mut failed = Vec::new();
        for (number, why) in self.job.flow().failing.take() {
            // What is no record has its name, and no place in a topic.
            let name = || Ok::<_, DataFusionError>((feeds.names(self.job.name(), &[number])?.remove(0), -1, -1));
            let (topic, partition, offset) = feeds.record(number).map_or_else(name, Ok)?;
            failed.extend(failed_record(records, &topic, partition, offset, &why));
            late.push(LateRow { topic, partition, offset, event_time: None, reason: Reason::Failed(why) });
        }
        let output = EpochOutput {
            job: self.job.name().to_owned(),
            epoch: plan.epoch,
            positions: state.partitions.iter().map(|(partition, progress)| (partition.clone(), progress.next)).collect(),
            rows,
            ids,
            times: times.into_iter().map(|time| time.and_then(moment)).collect(),
            late: late::batch(self.job.name(), before.watermark, &late),
            failed,
            watermark: state.watermark.and_then(moment),
        };
        Ok((output, state))
    }

    /// DataFusion's plans, stage by stage.
    pub(crate) fn explain(&self, text: &mut String) {
        for (number, step) in self.steps.iter().enumerate() {
            for stage in step.stages() {
                text.push_str(&format!("into step {}: {}\n{}\n", number + 1, step.label, stage.logical().display_indent()));
            }
        }
        text.push_str(&format!("into the sink\n{}\n", self.last.logical().display_indent()));
    }

    fn advance(&self, plan: &Plan, state: &mut State) {
        if self.job.tables().sources.iter().all(|source| source.watermark.is_none()) {
            return;
        }
        match plan.ended {
            true => state.watermark = Some(END_US),
            false => state.advance(),
        }
    }

    /// Decodes the rows of a source and sorts out the late ones, each lane a part of them.
    pub(crate) async fn ingest(&self, feed: usize, plan: &Plan, rows: &[RecordBatch], state: &mut State, feeds: &mut Feeds, late: &mut Vec<LateRow>) -> Result<()> {
        let work = &self.sources[feed];
        let Some(rows) = self.rows_of(&self.job.tables().sources[feed], rows)? else { return Ok(()) };
        let lane_rows = rows.num_rows().div_ceil(self.lanes);
        let parts = (0..rows.num_rows()).step_by(lane_rows.max(1)).map(|from| rows.slice(from, lane_rows.min(rows.num_rows() - from)));
        let decoded = try_join_all(parts.map(|part| {
            let decoder = work.decoder.clone();
            tokio::task::spawn_blocking(move || (decoder.decode(&part), part))
        }));
        for (read, part) in decoded.await.map_err(|error| DataFusionError::External(error.into()))? {
            let mut columns = read.columns().to_vec();
            for expr in &work.generated {
                columns.push(expr.evaluate(&read)?.into_array(read.num_rows())?);
            }
            let times = match work.time_at {
                Some(at) => Arc::clone(&columns[at]),
                None => Arc::clone(column(&part, "ce_time")),
            };
            let keep = work.sort_out(plan, &part, times.as_primitive(), state, late);
            let kept = |array: &ArrayRef| if keep.true_count() == keep.len() { Ok(Arc::clone(array)) } else { filter(array, &keep) };
            let columns = columns[..work.columns].iter().map(kept).collect::<Result<Vec<_>, _>>()?;
            let [topic, partition, offset] = ["topic", "partition", "offset"].map(|name| kept(column(&part, name)));
            let names = Names::Records { topic: topic?, partition: partition?, offset: offset? };
            feeds.add(feed, columns, kept(&times)?.as_primitive::<TimestampMicrosecondType>().clone(), names)?;
        }
        Ok(())
    }

    /// The rows that a source reads, in one batch.
    fn rows_of(&self, source: &Source, rows: &[RecordBatch]) -> Result<Option<RecordBatch>> {
        let Some(first) = rows.first() else { return Ok(None) };
        if self.sources.len() == 1 {
            return Ok(Some(concat_batches(&first.schema(), rows)?));
        }
        let mut own = Vec::with_capacity(rows.len());
        for rows in rows.iter().filter(|rows| rows.num_rows() > 0 && source.topics.iter().any(|topic| topic == column(rows, "topic").as_string::<i32>().value(0))) {
            match source.event_types.is_empty() {
                true => own.push(rows.clone()),
                false => own.push(filter_record_batch(rows, &buffer::of_types(rows, &source.event_types))?),
            }
        }
        let rows = concat_batches(&first.schema(), &own)?;
        Ok((rows.num_rows() > 0).then_some(rows))
    }

    /// The rows for the sink, with their ids and times.
    async fn output(&self, feeds: &Feeds, state: &mut State) -> Result<Output> {
        let schema = Arc::clone(&self.job.flow().output);
        if !self.last.has_rows(feeds) {
            return Ok((RecordBatch::new_empty(schema), Vec::new(), Vec::new()));
        }
        let rows = self.last.rows(&self.session, feeds).await?;
        let count = rows.num_columns() - 2;
        // Windows by their end, then all rows by number: that orders windows by their keys, and records by position.
        let rows = in_order(rows, self.job.flow().windowed)?;
        let numbers = rows.column(count).as_primitive::<UInt64Type>().values();
        let times: Vec<Option<i64>> = rows.column(count + 1).as_primitive::<TimestampMicrosecondType>().iter().collect();
        let ids = self.ids(&feeds.names(self.job.name(), numbers)?, numbers);
        let rows = RecordBatch::try_new(schema, rows.columns()[..count].to_vec())?;
        match self.job.target() {
            Target::Kafka { latch: Some(latch), .. } => only_changes(latch, state, rows, ids, times),
            _ => Ok((rows, ids, times)),
        }
    }

    /// The id of each output row, from what the window or record that it came from is called.
    fn ids(&self, names: &[String], numbers: &[u64]) -> Vec<String> {
        let mut nth = 0;
        let id = |row: usize| {
            nth = if row > 0 && numbers[row - 1] == numbers[row] { nth + 1 } else { 0 };
            ids::nth(self.job.name(), &names[row], nth)
        };
        (0..numbers.len()).map(id).collect()
    }
}

/// Rows by time, if that counts, and number, which are their last two columns. What one window or record gave more than once
/// is ordered by its values.
fn in_order(rows: RecordBatch, by_time: bool) -> Result<RecordBatch> {
    let count = rows.num_columns() - 2;
    let numbers = rows.column(count).as_primitive::<UInt64Type>();
    let times = rows.column(count + 1).as_primitive::<TimestampMicrosecondType>();
    let place = |row: usize| (by_time.then(|| times.is_valid(row).then(|| times.value(row))), numbers.is_valid(row).then(|| numbers.value(row)));
    let mut places: Vec<_> = (0..rows.num_rows()).map(|row| (place(row), row as u32)).collect();
    let unique = |places: &[((Option<Option<i64>>, Option<u64>), u32)]| places.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if unique(&places) {
        return Ok(rows);
    }
    places.sort_unstable();
    if unique(&places) {
        return Ok(take_record_batch(&rows, &UInt32Array::from_iter_values(places.into_iter().map(|(_, row)| row)))?);
    }
    let (number, time) = (Arc::clone(rows.column(count)), Arc::clone(rows.column(count + 1)));
    let mut by = if by_time { vec![time, number] } else { vec![number] };
    by.extend_from_slice(&rows.columns()[..count]);
    Ok(take_record_batch(&rows, &order_by(&by)?)?)
}

type Output = (RecordBatch, Vec<String>, Vec<Option<i64>>);

fn only_changes(latch: &Latch, state: &mut State, rows: RecordBatch, ids: Vec<String>, times: Vec<Option<i64>>) -> Result<Output> {
    let keep = latch::changes(latch, &mut state.latch, &rows)?;
    let kept = |index: &usize| keep.value(*index);
    let ids = ids.into_iter().enumerate().filter(|(index, _)| kept(index)).map(|(_, id)| id).collect();
    let times = times.into_iter().enumerate().filter(|(index, _)| kept(index)).map(|(_, time)| time).collect();
    Ok((filter_record_batch(&rows, &keep)?, ids, times))
}

impl SourceWork {
    fn new(source: &Source, mut used: Vec<bool>, generated: Vec<Arc<dyn PhysicalExpr>>, rules: Vec<Rule>) -> SourceWork {
        let fields = source.fields();
        let watermark = source.watermark.as_ref();
        let time_at = watermark.map(|watermark| fields.iter().position(|field| *field.name() == watermark.column).expect("it was checked when the job was read"));
        if let Some(at) = time_at {
            used[at] = true;
        }
        // What is computed may read any column.
        if used[source.columns.len()..].iter().any(|used| *used) {
            used.fill(true);
        }
        used.truncate(source.columns.len());
        SourceWork { decoder: Decoder::new(source, used), generated, time_at, delay_us: watermark.map_or(0, |watermark| watermark.delay_us), rules, columns: fields.len() }
    }

    /// Which rows count. The late ones are noted with their reason.
    fn sort_out(&self, plan: &Plan, part: &RecordBatch, times: &TimestampMicrosecondArray, state: &mut State, late: &mut Vec<LateRow>) -> BooleanArray {
        let (partitions, offsets) = (column(part, "partition").as_primitive::<Int32Type>(), column(part, "offset").as_primitive::<Int64Type>());
        let topics = column(part, "topic").as_string::<i32>();
        let watermark = state.watermark;
        // Rows come partition by partition, so the partition at hand is looked up once for a whole run of them.
        let mut run: Option<(&str, i32, Option<i64>)> = None;
        let mut keep = Vec::with_capacity(part.num_rows());
        for row in 0..part.num_rows() {
            let (topic, partition) = (topics.value(row), partitions.value(row));
            let time = times.is_valid(row).then(|| times.value(row));
            if run.is_none_or(|(of, at, _)| of != topic || at != partition) {
                self.flush(state, run.take());
                run = Some((topic, partition, None));
            }
            let reason = self.time_at.and_then(|_| unusable(plan, time));
            if let (Some((_, _, latest)), None) = (&mut run, &reason) {
                *latest = (*latest).max(time);
            }
            let (some, all) = match (&reason, time, watermark) {
                (Some(_), _, _) => (true, true),
                (None, Some(time), Some(watermark)) if !self.rules.is_empty() => self.rules.iter().fold((false, true), |(some, all), rule| {
                    let late = rule.late(time, watermark);
                    (some || late.0, all && late.1)
                }),
                _ => (false, false),
            };
            if some {
                let reason = reason.unwrap_or(if all { Reason::Closed } else { Reason::PartlyClosed });
                late.push(LateRow { topic: topic.to_owned(), partition, offset: offsets.value(row), event_time: time, reason });
            }
            keep.push(!all);
        }
        self.flush(state, run);
        BooleanArray::from(keep)
    }

    /// Notes the latest time of a run of rows of one partition.
    fn flush(&self, state: &mut State, run: Option<(&str, i32, Option<i64>)>) {
        if let (Some((topic, partition, Some(latest))), Some(_)) = (run, self.time_at) {
            state.reach(topic, partition, latest.saturating_sub(self.delay_us));
        }
    }
}

/// A record of the epoch for which a function failed, as it came.
fn failed_record(records: &[RecordBatch], topic: &str, partition: i32, offset: i64, why: &str) -> Option<FailedRecord> {
    let data = records.iter().filter(|rows| rows.num_rows() > 0).find_map(|rows| {
        let of = column(rows, "topic").as_string::<i32>().value(0) == topic && column(rows, "partition").as_primitive::<Int32Type>().value(0) == partition;
        let row = of.then(|| offsets(rows).values().binary_search(&offset).ok()).flatten()?;
        let data = column(rows, "data").as_string::<i32>();
        Some(data.is_valid(row).then(|| data.value(row).to_owned()))
    })?;
    Some(FailedRecord { topic: topic.to_owned(), partition, offset, data, reason: why.to_owned() })
}

/// Why a time cannot be used.
fn unusable(plan: &Plan, time: Option<i64>) -> Option<Reason> {
    match time {
        None => Some(Reason::NoTime),
        Some(time) if time < 0 => Some(Reason::Ancient),
        Some(time) if time > plan.time_max_us => Some(Reason::Future),
        Some(_) => None,
    }
}


/// The bronze columns that a job may read.
pub(crate) fn bronze_columns(rows: &RecordBatch) -> Vec<usize> {
    let envelope = ["kafka_time", "key", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "recorded_time"];
    let names = ["topic", "partition", "offset", "data"].into_iter().chain(envelope);
    names.filter_map(|name| rows.schema().index_of(name).ok()).collect()
}
