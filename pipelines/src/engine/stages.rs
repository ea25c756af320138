//! The DataFusion side of a job: rows into partial aggregates, partial aggregates into windows, windows into output.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType, UInt64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::catalog::MemTable;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::aggregate::{AggregateFunctionExpr, LoweredAggregateBuilder};
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr, collect};

use crate::functions::window_of;
use crate::sql::plan::session;
use crate::sql::split::{Split, Windows};

/// The stages of one job at one degree of parallelism.
#[derive(Debug)]
pub(crate) struct Stages {
    session: SessionState,
    source: String,
    pub(crate) windows: Option<WindowStage>,
    upper: LogicalPlan,
    upper_prepared: Prepared,
    feed: (String, SchemaRef),
    output: SchemaRef,
}

#[derive(Debug)]
pub(crate) struct WindowStage {
    rows: LogicalPlan,
    rows_prepared: Prepared,
    pub(crate) width_us: i64,
    window_at: usize,
    keys: PhysicalGroupBy,
    aggregates: Vec<Arc<AggregateFunctionExpr>>,
    filters: Vec<Option<Arc<dyn PhysicalExpr>>>,
    input_schema: SchemaRef,
    /// The columns of open windows: their start, the keys, and the aggregates' states.
    pub(crate) state_schema: SchemaRef,
}

/// Windows that are done.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) starts: Vec<i64>,
    pub(crate) keys: Vec<ArrayRef>,
    /// One row for each, in the schema of the feed but for the row number.
    columns: Vec<ArrayRef>,
}

impl Stages {
    pub(crate) fn new(source: &str, split: &Split, lanes: usize, batch_rows: usize) -> Result<Stages> {
        let session = session(lanes, batch_rows).state();
        let windows = split.windows.as_ref().map(|windows| WindowStage::new(windows, &session)).transpose()?;
        let upper = session.optimize(&split.upper)?;
        Ok(Stages { session, source: source.to_owned(), windows, upper, upper_prepared: Prepared::default(), feed: split.feed.clone(), output: Arc::clone(&split.output) })
    }

    /// Which of the stream's columns the plan reads.
    pub(crate) fn used(&self, columns: usize) -> Result<Vec<bool>> {
        let mut used = vec![false; columns];
        let plan = self.windows.as_ref().map_or(&self.upper, |windows| &windows.rows);
        plan.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && scan.table_name.table() == self.source
            {
                match &scan.projection {
                    Some(projection) => projection.iter().filter(|index| **index < columns).for_each(|index| used[*index] = true),
                    None => used.fill(true),
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(used)
    }

    /// Partial aggregates of some rows of the stream; each inner list is worked on by a lane of its own.
    pub(crate) async fn aggregate(&self, stage: &WindowStage, schema: &SchemaRef, lanes: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        let rows = stage.rows_prepared.filled(&self.session, &stage.rows, &self.source, schema, lanes).await?;
        let input_schema = rows.schema();
        let (keys, aggregates, filters) = (stage.keys.clone(), stage.aggregates.clone(), stage.filters.clone());
        let plan = AggregateExec::try_new(AggregateMode::Partial, keys, aggregates, filters, rows, input_schema)?;
        self.run(Arc::new(plan)).await
    }

    /// Merges partial aggregates into fewer ones.
    pub(crate) async fn merge(&self, stage: &WindowStage, rows: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
        self.run(stage.over_state(AggregateMode::PartialReduce, rows)?).await
    }

    /// Turns the partial aggregates of closed windows into windows, ordered by start and keys.
    pub(crate) async fn finish(&self, stage: &WindowStage, rows: Vec<RecordBatch>) -> Result<Closed> {
        let plan = stage.over_state(AggregateMode::Final, rows)?;
        let schema = plan.schema();
        let rows = concat_batches(&schema, &self.run(plan).await?)?;
        let key_columns = stage.keys.expr().len();
        let order = order_by(&rows.columns()[..key_columns])?;
        let rows = take_record_batch(&rows, &order)?;
        let starts = rows.column(0).as_primitive::<TimestampMicrosecondType>().clone();
        let keys = rows.columns()[1..key_columns].to_vec();
        let mut columns = keys.clone();
        columns.insert(stage.window_at, window_of(starts.clone(), stage.width_us));
        columns.extend_from_slice(&rows.columns()[key_columns..]);
        Ok(Closed { starts: starts.values().to_vec(), keys, columns })
    }

    /// The output of closed windows, and for each row the number of its window.
    pub(crate) async fn output_of_windows(&self, closed: Closed) -> Result<(RecordBatch, Vec<usize>)> {
        let mut columns = closed.columns;
        columns.push(Arc::new(UInt64Array::from_iter_values(0..closed.starts.len() as u64)));
        self.output(vec![RecordBatch::try_new(Arc::clone(&self.feed.1), columns)?]).await
    }

    /// The output of rows of the stream, and for each row the number of its record.
    pub(crate) async fn output_of_rows(&self, lanes: Vec<RecordBatch>) -> Result<(RecordBatch, Vec<usize>)> {
        let mut first = 0;
        let mut numbered = Vec::with_capacity(lanes.len());
        for rows in lanes {
            let next = first + rows.num_rows() as u64;
            let mut columns = rows.columns().to_vec();
            columns.push(Arc::new(UInt64Array::from_iter_values(first..next)));
            numbered.push(RecordBatch::try_new(Arc::clone(&self.feed.1), columns)?);
            first = next;
        }
        self.output(numbered).await
    }

    pub(crate) fn no_output(&self) -> RecordBatch {
        RecordBatch::new_empty(Arc::clone(&self.output))
    }

    async fn output(&self, lanes: Vec<RecordBatch>) -> Result<(RecordBatch, Vec<usize>)> {
        let plan = self.upper_prepared.filled(&self.session, &self.upper, &self.feed.0, &self.feed.1, lanes).await?;
        let schema = plan.schema();
        let rows = concat_batches(&schema, &self.run(plan).await?)?;
        // The number first: it orders windows by start and keys, and records by position. What one of them gave more
        // than once is ordered by its values.
        let number = rows.num_columns() - 1;
        let mut by = vec![Arc::clone(rows.column(number))];
        by.extend_from_slice(&rows.columns()[..number]);
        let rows = take_record_batch(&rows, &order_by(&by)?)?;
        let numbers = rows.column(number).as_primitive::<UInt64Type>().values().iter().map(|number| *number as usize).collect();
        let output = RecordBatch::try_new(Arc::clone(&self.output), rows.columns()[..number].to_vec())?;
        Ok((output, numbers))
    }

    async fn run(&self, plan: Arc<dyn ExecutionPlan>) -> Result<Vec<RecordBatch>> {
        collect(plan, self.session.task_ctx()).await
    }

    /// The plans of both stages, as DataFusion prints them.
    pub(crate) fn explain(&self) -> String {
        match &self.windows {
            Some(windows) => format!("rows:\n{}\nwindows:\n{}", windows.rows.display_indent(), self.upper.display_indent()),
            None => format!("rows:\n{}", self.upper.display_indent()),
        }
    }
}

impl WindowStage {
    fn new(windows: &Windows, session: &SessionState) -> Result<WindowStage> {
        let rows = session.optimize(&windows.rows)?;
        let schema = Arc::clone(rows.schema());
        let input_schema: SchemaRef = Arc::clone(schema.inner());
        let keys = windows.keys.iter().enumerate().map(|(index, key)| {
            let name = if index == 0 { "start".to_owned() } else { format!("key{index}") };
            Ok((session.create_physical_expr(key.clone(), &schema)?, name))
        });
        let keys = PhysicalGroupBy::new_single(keys.collect::<Result<Vec<_>>>()?);
        let context = PhysicalPlanningContext::default();
        let lowered = windows.aggregates.iter().enumerate().map(|(index, expr)| {
            let builder = LoweredAggregateBuilder::new(expr, &schema, &input_schema, session.execution_props(), &context);
            builder.with_name(format!("value{index}")).build()
        });
        let lowered = lowered.collect::<Result<Vec<_>>>()?.into_iter();
        let (aggregates, filters): (Vec<_>, Vec<_>) = lowered.map(|lowered| (lowered.aggregate, lowered.filter)).unzip();
        let empty = Arc::new(EmptyExec::new(Arc::clone(&input_schema)));
        let partial =
            AggregateExec::try_new(AggregateMode::Partial, keys.clone(), aggregates.clone(), filters.clone(), empty, Arc::clone(&input_schema))?;
        Ok(WindowStage {
            rows,
            rows_prepared: Prepared::default(),
            width_us: windows.width_us,
            window_at: windows.window_at,
            keys,
            aggregates,
            filters,
            input_schema,
            state_schema: partial.schema(),
        })
    }

    fn over_state(&self, mode: AggregateMode, rows: Vec<RecordBatch>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = MemorySourceConfig::try_new_exec(&[rows], Arc::clone(&self.state_schema), None)?;
        let (keys, aggregates) = (self.keys.as_final(), self.aggregates.clone());
        let filters = vec![None; aggregates.len()];
        Ok(Arc::new(AggregateExec::try_new(mode, keys, aggregates, filters, input, Arc::clone(&self.input_schema))?))
    }
}

/// Physical plans that are made once for each number of lanes and get other rows each time: planning takes longer than the
/// work of a small epoch.
#[derive(Debug, Default)]
struct Prepared(Mutex<BTreeMap<usize, Arc<dyn ExecutionPlan>>>);

impl Prepared {
    /// The plan with these rows in one of its tables, as if it had never run.
    async fn filled(
        &self, session: &SessionState, logical: &LogicalPlan, table: &str, schema: &SchemaRef, lanes: Vec<RecordBatch>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let lanes: Vec<Vec<RecordBatch>> = if lanes.is_empty() { vec![vec![]] } else { lanes.into_iter().map(|rows| vec![rows]).collect() };
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&lanes.len()).cloned();
        let plan = match known {
            Some(plan) => plan,
            None => {
                let logical = over(logical, table, schema, &lanes)?;
                let plan = session.query_planner().create_physical_plan(&logical, session).await?;
                self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(lanes.len(), Arc::clone(&plan));
                plan
            }
        };
        refill(plan, schema, &lanes)
    }
}

/// The logical plan over these rows.
fn over(plan: &LogicalPlan, table: &str, schema: &SchemaRef, lanes: &[Vec<RecordBatch>]) -> Result<LogicalPlan> {
    let source = provider_as_source(Arc::new(MemTable::try_new(Arc::clone(schema), lanes.to_vec())?));
    let filled = plan.clone().transform_up(|node| match node {
        LogicalPlan::TableScan(mut scan) if scan.table_name.table() == table => {
            scan.source = Arc::clone(&source);
            Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(filled.data)
}

/// A physical plan with other rows where those of the stream were, and with nothing remembered from an earlier run.
fn refill(plan: Arc<dyn ExecutionPlan>, schema: &SchemaRef, lanes: &[Vec<RecordBatch>]) -> Result<Arc<dyn ExecutionPlan>> {
    let mut found = false;
    let filled = plan.transform_up(|node| {
        let memory = node.downcast_ref::<DataSourceExec>().and_then(|scan| scan.data_source().downcast_ref::<MemorySourceConfig>());
        match memory.filter(|memory| memory.original_schema() == *schema) {
            Some(memory) => {
                found = true;
                let filled: Arc<dyn ExecutionPlan> = MemorySourceConfig::try_new_exec(lanes, Arc::clone(schema), memory.projection().clone())?;
                Ok(Transformed::yes(filled))
            }
            None => Ok(Transformed::yes(node.reset_state()?)),
        }
    })?;
    assert!(found, "a plan reads the rows of its stream");
    Ok(filled.data)
}

/// The order of rows by some columns, nulls first.
fn order_by(columns: &[ArrayRef]) -> Result<UInt32Array> {
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(columns)?;
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    order.sort_by(|a, b| rows.row(*a as usize).cmp(&rows.row(*b as usize)));
    Ok(UInt32Array::from(order))
}
