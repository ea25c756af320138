//! A stage of a job as DataFusion runs it: planned once, then filled with the rows of each epoch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use datafusion::catalog::MemTable;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::provider_as_source;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr, collect};

use crate::engine::feeds::Feeds;
use crate::sql::flow::{Feed, Stage};

/// A stateless plan over feeds.
#[derive(Debug)]
pub(crate) struct StagePlan {
    logical: LogicalPlan,
    /// The feeds that it reads: their number, name and schema.
    reads: Vec<(usize, String, SchemaRef)>,
    prepared: Prepared,
    kept: Option<Arc<dyn PhysicalExpr>>,
}

impl StagePlan {
    pub(crate) fn new(stage: &Stage, feeds: &[Feed], session: &SessionState) -> Result<StagePlan> {
        let logical = session.optimize(&stage.plan)?;
        let mut reads = Vec::new();
        logical.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some(index) = feeds.iter().position(|feed| feed.name == scan.table_name.table())
                && !reads.iter().any(|(known, _, _)| *known == index)
            {
                reads.push((index, feeds[index].name.clone(), Arc::clone(&feeds[index].schema)));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        let kept = stage.kept.clone().map(|kept| session.create_physical_expr(kept, logical.schema())).transpose()?;
        Ok(StagePlan { logical, reads, prepared: Prepared::default(), kept })
    }

    /// The columns that it gives.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(self.logical.schema().inner())
    }

    pub(crate) fn logical(&self) -> &LogicalPlan {
        &self.logical
    }

    /// The feeds that it reads.
    pub(crate) fn feeds(&self) -> impl Iterator<Item = usize> {
        self.reads.iter().map(|(feed, _, _)| *feed)
    }

    /// Which columns of a feed it reads.
    pub(crate) fn used(&self, feed: usize, used: &mut [bool]) -> Result<()> {
        let Some((_, name, _)) = self.reads.iter().find(|(known, _, _)| *known == feed) else { return Ok(()) };
        self.logical.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && scan.table_name.table() == name
            {
                match &scan.projection {
                    Some(projection) => used.iter_mut().enumerate().for_each(|(index, used)| *used |= projection.contains(&index)),
                    None => used.fill(true),
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(())
    }

    /// Whether this epoch has rows for it.
    pub(crate) fn has_rows(&self, feeds: &Feeds) -> bool {
        self.reads.iter().any(|(feed, _, _)| feeds.has_rows(*feed))
    }

    /// The physical plan over the rows of this epoch.
    pub(crate) async fn filled(&self, session: &SessionState, feeds: &Feeds) -> Result<Arc<dyn ExecutionPlan>> {
        let filling: Vec<Filling> = self.reads.iter().map(|(feed, name, schema)| Filling { name, schema, lanes: feeds.lanes(*feed) }).collect();
        let plan = self.prepared.filled(session, &self.logical, &filling).await?;
        Ok(match &self.kept {
            Some(kept) => Arc::new(FilterExec::try_new(Arc::clone(kept), plan)?),
            None => plan,
        })
    }

    /// The rows that it gives, in one batch.
    pub(crate) async fn rows(&self, session: &SessionState, feeds: &Feeds) -> Result<RecordBatch> {
        if !self.has_rows(feeds) {
            return Ok(RecordBatch::new_empty(self.schema()));
        }
        let plan = self.filled(session, feeds).await?;
        let schema = plan.schema();
        Ok(concat_batches(&schema, &run(plan, session).await?)?)
    }
}

pub(crate) async fn run(plan: Arc<dyn ExecutionPlan>, session: &SessionState) -> Result<Vec<RecordBatch>> {
    collect(plan, session.task_ctx()).await
}

/// The rows of one table of a plan.
struct Filling<'a> {
    name: &'a str,
    schema: &'a SchemaRef,
    lanes: Vec<Vec<RecordBatch>>,
}

/// Physical plans that are made once for each number of lanes and get other rows each time: planning takes longer than the
/// work of a small epoch.
#[derive(Debug, Default)]
struct Prepared(Mutex<BTreeMap<Vec<usize>, Arc<dyn ExecutionPlan>>>);

impl Prepared {
    /// The plan with these rows in its tables, as if it had never run.
    async fn filled(&self, session: &SessionState, logical: &LogicalPlan, filling: &[Filling<'_>]) -> Result<Arc<dyn ExecutionPlan>> {
        let key: Vec<usize> = filling.iter().map(|filling| filling.lanes.len()).collect();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let plan = match known {
            Some(plan) => plan,
            None => {
                let logical = over(logical, filling)?;
                let plan = session.query_planner().create_physical_plan(&logical, session).await?;
                self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&plan));
                plan
            }
        };
        refill(plan, filling)
    }
}

/// The logical plan over these rows.
fn over(plan: &LogicalPlan, filling: &[Filling<'_>]) -> Result<LogicalPlan> {
    let filled = plan.clone().transform_up_with_subqueries(|node| match node {
        LogicalPlan::TableScan(mut scan) => match filling.iter().find(|filling| scan.table_name.table() == filling.name) {
            Some(filling) => {
                scan.source = provider_as_source(Arc::new(MemTable::try_new(Arc::clone(filling.schema), filling.lanes.clone())?));
                Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
            }
            None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
        },
        other => Ok(Transformed::no(other)),
    })?;
    Ok(filled.data)
}

/// A physical plan with other rows where those of its tables were, and with nothing remembered from an earlier run. Feeds
/// are told apart by their schemas, in which the hidden columns have names of their own.
fn refill(plan: Arc<dyn ExecutionPlan>, filling: &[Filling<'_>]) -> Result<Arc<dyn ExecutionPlan>> {
    let filled = plan.transform_up(|node| {
        let memory = node.downcast_ref::<DataSourceExec>().and_then(|scan| scan.data_source().downcast_ref::<MemorySourceConfig>());
        let rows = memory.and_then(|memory| Some((memory, filling.iter().find(|filling| memory.original_schema() == *filling.schema)?)));
        match rows {
            Some((memory, filling)) => {
                let filled: Arc<dyn ExecutionPlan> =
                    MemorySourceConfig::try_new_exec(&filling.lanes, Arc::clone(filling.schema), memory.projection().clone())?;
                Ok(Transformed::yes(filled))
            }
            None => Ok(Transformed::yes(node.reset_state()?)),
        }
    })?;
    Ok(filled.data)
}

/// The order of rows by some columns, nulls first.
pub(crate) fn order_by(columns: &[ArrayRef]) -> Result<UInt32Array> {
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let rows = RowConverter::new(fields)?.convert_columns(columns)?;
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    order.sort_unstable_by(|a, b| rows.row(*a as usize).cmp(&rows.row(*b as usize)).then(a.cmp(b)));
    Ok(UInt32Array::from(order))
}
