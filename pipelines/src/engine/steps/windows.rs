//! Aggregates of tumbling and hopping windows. Rows become partial aggregates of panes at once; a window is made from its
//! panes when it closes. A tumbling window is one pane; a hopping one is several, each shared with its neighbours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use datafusion::common::DFSchemaRef;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

use crate::engine::feeds::Names;
use crate::engine::stage::{StagePlan, order_by, run};
use crate::engine::steps::{Epoch, Given, external, not_too_late};
use crate::engine::store::{ChunkId, Store, Tag};
use crate::functions::windows_of;
use crate::limits::{STATE_BATCHES_MAX, STATE_ROWS_UNMERGED_MAX, WINDOW_ROWS_TOGETHER};
use crate::sql::flow::{Window, Windows};

/// DataFusion's aggregate in its three modes: rows to partial aggregates, those to fewer ones, those to results.
#[derive(Debug)]
pub(crate) struct Aggregate {
    pub(crate) keys: PhysicalGroupBy,
    aggregates: Vec<Arc<AggregateFunctionExpr>>,
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    input_schema: SchemaRef,
    /// The start, the keys, and the aggregates' states.
    pub(crate) state_schema: SchemaRef,
}

impl Aggregate {
    pub(crate) fn new(windows: &Windows, schema: &DFSchemaRef, session: &SessionState) -> Result<Aggregate> {
        let input_schema: SchemaRef = Arc::clone(schema.inner());
        let keys = windows.keys.iter().enumerate().map(|(index, key)| {
            let name = if index == 0 { "start".to_owned() } else { format!("key{index}") };
            Ok((session.create_physical_expr(key.clone(), schema)?, name))
        });
        let keys = PhysicalGroupBy::new_single(keys.collect::<Result<Vec<_>>>()?);
        let context = PhysicalPlanningContext::default();
        let lowered = windows.aggregates.iter().enumerate().map(|(index, expr)| {
            let builder = LoweredAggregateBuilder::new(expr, schema, &input_schema, session.execution_props(), &context);
            builder.with_name(format!("value{index}")).build()
        });
        let lowered = lowered.collect::<Result<Vec<_>>>()?.into_iter();
        let (aggregates, filters): (Vec<_>, Vec<_>) = lowered.map(|lowered| (lowered.aggregate, lowered.filter)).unzip();
        let empty = Arc::new(EmptyExec::new(Arc::clone(&input_schema)));
        let partial =
            AggregateExec::try_new(AggregateMode::Partial, keys.clone(), aggregates.clone(), filters.clone(), empty, Arc::clone(&input_schema))?;
        Ok(Aggregate { state_schema: partial.schema(), keys, aggregates, filters, input_schema })
    }

    /// Rows of a stage to partial aggregates.
    pub(crate) async fn partial(&self, rows: Arc<dyn ExecutionPlan>, session: &SessionState) -> Result<Vec<RecordBatch>> {
        let (keys, aggregates, filters) = (self.keys.clone(), self.aggregates.clone(), self.filters.clone());
        let schema = rows.schema();
        run(Arc::new(AggregateExec::try_new(AggregateMode::Partial, keys, aggregates, filters, rows, schema)?), session).await
    }

    /// Partial aggregates to fewer ones.
    pub(crate) async fn merge(&self, rows: Vec<RecordBatch>, session: &SessionState) -> Result<RecordBatch> {
        let merged = run(self.over_state(AggregateMode::PartialReduce, rows)?, session).await?;
        Ok(concat_batches(&self.state_schema, &merged)?)
    }

    /// Partial aggregates to results, ordered by start and keys: those, then the values.
    pub(crate) async fn finish(&self, rows: Vec<RecordBatch>, session: &SessionState) -> Result<RecordBatch> {
        let plan = self.over_state(AggregateMode::Final, rows)?;
        let rows = concat_batches(&plan.schema(), &run(plan, session).await?)?;
        let order = order_by(&rows.columns()[..self.keys.expr().len()])?;
        Ok(take_record_batch(&rows, &order)?)
    }

    fn over_state(&self, mode: AggregateMode, rows: Vec<RecordBatch>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = MemorySourceConfig::try_new_exec(&[rows], Arc::clone(&self.state_schema), None)?;
        let (keys, aggregates) = (self.keys.as_final(), self.aggregates.clone());
        let filters = vec![None; aggregates.len()];
        Ok(Arc::new(AggregateExec::try_new(mode, keys, aggregates, filters, input, Arc::clone(&self.input_schema))?))
    }

    /// The columns of closed windows as the plan above reads them, from results and the end of each.
    pub(crate) fn given(&self, rows: &RecordBatch, window_at: usize, prefix: &str, ends: Vec<i64>) -> Given {
        let key_columns = self.keys.expr().len();
        let starts = rows.column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec();
        let keys = rows.columns()[1..key_columns].to_vec();
        let mut columns = keys.clone();
        columns.insert(window_at, windows_of(&starts, &ends));
        columns.extend_from_slice(&rows.columns()[key_columns..]);
        let times = TimestampMicrosecondArray::from(ends).with_timezone("UTC");
        Given { columns, times, names: Names::Windows { prefix: prefix.to_owned(), starts, keys } }
    }
}

/// A windowed aggregate.
#[derive(Debug)]
pub(crate) struct WindowStep {
    tag: u32,
    window: Window,
    pub(crate) stage: StagePlan,
    pub(crate) aggregate: Aggregate,
    window_at: usize,
    prefix: String,
    /// Panes by their start.
    panes: BTreeMap<i64, Pane>,
}

/// The partial aggregates of one pane.
#[derive(Debug, Clone, Default)]
struct Pane {
    chunks: Vec<ChunkId>,
    rows: usize,
    /// Rows that the last merge left.
    merged: usize,
}

impl Pane {
    /// Whether merging would pay: as many new rows as merged ones, so that the work stays in proportion.
    fn wants_merge(&self) -> bool {
        self.rows - self.merged > STATE_ROWS_UNMERGED_MAX.max(self.merged) || self.chunks.len() > STATE_BATCHES_MAX
    }
}

impl WindowStep {
    pub(crate) fn new(tag: u32, stage: StagePlan, windows: &Windows, prefix: String, session: &SessionState) -> Result<WindowStep> {
        let aggregate = Aggregate::new(windows, stage.logical().schema(), session)?;
        Ok(WindowStep { tag, window: windows.window, stage, aggregate, window_at: windows.window_at, prefix, panes: BTreeMap::new() })
    }

    pub(crate) fn restore(&mut self, chunks: Vec<(ChunkId, Tag, usize)>) {
        for (id, tag, rows) in chunks {
            let pane = self.panes.entry(tag.key).or_default();
            pane.chunks.push(id);
            pane.rows += rows;
            pane.merged += rows;
        }
    }

    pub(crate) fn state_rows(&self) -> usize {
        self.panes.values().map(|pane| pane.rows).sum()
    }

    pub(crate) fn open_windows(&self) -> usize {
        self.panes.len()
    }

    pub(crate) async fn work(&mut self, epoch: &mut Epoch<'_>) -> Result<Vec<Given>> {
        if self.stage.has_rows(epoch.feeds) {
            let rows = self.stage.filled(epoch.session, epoch.feeds).await?;
            let partial = self.aggregate.partial(rows, epoch.session).await?;
            self.add(partial, epoch)?;
        }
        self.merge(epoch).await?;
        self.close(epoch).await
    }

    /// Puts partial rows, whose first column is the start of their pane, to their panes.
    fn add(&mut self, batches: Vec<RecordBatch>, epoch: &mut Epoch<'_>) -> Result<()> {
        let mut parts = BTreeMap::<i64, Vec<RecordBatch>>::new();
        for rows in batches {
            let rows = not_too_late(rows, 0, self.window, epoch.before)?;
            let starts = rows.column(0).as_primitive::<TimestampMicrosecondType>();
            let mut by_start = BTreeMap::<i64, Vec<u32>>::new();
            for (row, start) in starts.values().iter().enumerate() {
                by_start.entry(*start).or_default().push(row as u32);
            }
            for (start, indices) in by_start {
                let part = match indices.len() == rows.num_rows() {
                    true => rows.clone(),
                    false => take_record_batch(&rows, &UInt32Array::from(indices))?,
                };
                parts.entry(start).or_default().push(part);
            }
        }
        for (start, parts) in parts {
            let rows = if parts.len() == 1 { parts.into_iter().next().expect("there is one") } else { concat_batches(&self.aggregate.state_schema, &parts)? };
            let pane = self.panes.entry(start).or_default();
            pane.rows += rows.num_rows();
            pane.chunks.push(epoch.store.put(Tag { step: self.tag, key: start }, rows).map_err(external)?);
        }
        Ok(())
    }

    async fn merge(&mut self, epoch: &mut Epoch<'_>) -> Result<()> {
        for (start, pane) in self.panes.iter_mut().filter(|(_, pane)| pane.wants_merge()) {
            let rows = load(&pane.chunks, epoch.store)?;
            let merged = self.aggregate.merge(rows, epoch.session).await?;
            pane.chunks.drain(..).for_each(|id| epoch.store.drop(id));
            (pane.rows, pane.merged) = (merged.num_rows(), merged.num_rows());
            pane.chunks.push(epoch.store.put(Tag { step: self.tag, key: *start }, merged).map_err(external)?);
        }
        Ok(())
    }

    async fn close(&mut self, epoch: &mut Epoch<'_>) -> Result<Vec<Given>> {
        let Some(after) = epoch.after else { return Ok(Vec::new()) };
        let mut given = Vec::new();
        let mut together = Vec::new();
        let mut rows_together = 0;
        for start in self.closing(epoch.before, after) {
            for rows in self.of_window(start, epoch.store)? {
                rows_together += rows.num_rows();
                together.push(rows);
            }
            if rows_together >= WINDOW_ROWS_TOGETHER {
                given.push(self.finish(std::mem::take(&mut together), epoch.session).await?);
                rows_together = 0;
            }
        }
        if !together.is_empty() {
            given.push(self.finish(together, epoch.session).await?);
        }
        self.forget(after, epoch.store);
        Ok(given)
    }

    /// The starts of the windows that close in this epoch and have rows.
    fn closing(&self, before: Option<i64>, after: i64) -> BTreeSet<i64> {
        closing(self.panes.keys(), self.window, before, after)
    }

    /// The partial aggregates of a window, with its start in their first column.
    fn of_window(&self, start: i64, store: &mut Store) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        for (pane, state) in self.panes.range(start..self.window.end(start)) {
            for rows in load(&state.chunks, store)? {
                batches.push(if *pane == start { rows } else { with_start(&rows, start)? });
            }
        }
        Ok(batches)
    }

    async fn finish(&self, rows: Vec<RecordBatch>, session: &SessionState) -> Result<Given> {
        let rows = self.aggregate.finish(rows, session).await?;
        let starts = rows.column(0).as_primitive::<TimestampMicrosecondType>();
        let ends = starts.values().iter().map(|start| self.window.end(*start)).collect();
        Ok(self.aggregate.given(&rows, self.window_at, &self.prefix, ends))
    }

    /// Drops the panes that no open window needs.
    fn forget(&mut self, after: i64, store: &mut Store) {
        let window = self.window;
        self.panes.retain(|start, pane| {
            let needed = window.ends(*start).1 > after;
            if !needed {
                pane.chunks.drain(..).for_each(|id| store.drop(id));
            }
            needed
        });
    }
}

/// The starts of the windows that are made from some panes and close between two watermarks.
pub(crate) fn closing<'a>(panes: impl Iterator<Item = &'a i64>, window: Window, before: Option<i64>, after: i64) -> BTreeSet<i64> {
    let (width, mut starts) = (window.end(0), BTreeSet::new());
    for pane in panes {
        let (first, last) = window.ends(*pane);
        let mut end = first;
        while end <= last && end <= after {
            if before.is_none_or(|before| end > before) {
                starts.insert(end - width);
            }
            end += window.slide();
        }
    }
    starts
}

pub(crate) fn load(chunks: &[ChunkId], store: &mut Store) -> Result<Vec<RecordBatch>> {
    chunks.iter().map(|id| store.get(*id).map_err(external)).collect()
}

/// The same rows with another start in their first column.
pub(crate) fn with_start(rows: &RecordBatch, start: i64) -> Result<RecordBatch> {
    let starts = TimestampMicrosecondArray::from_value(start, rows.num_rows()).with_timezone("UTC");
    with_starts(rows, Arc::new(starts))
}

pub(crate) fn with_starts(rows: &RecordBatch, starts: ArrayRef) -> Result<RecordBatch> {
    let mut columns = rows.columns().to_vec();
    columns[0] = starts;
    Ok(RecordBatch::try_new(rows.schema(), columns)?)
}
