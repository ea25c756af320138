//! Steps: what keeps state between epochs. Each takes the rows of its stages, and gives what the watermark completes.
//!
//! State is chunks of rows in the job's [`Store`]; what a step holds in memory beside them is an index that it makes anew
//! from the chunks when the job is opened.

mod collect;
mod join;
mod sessions;
mod windows;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::session_state::SessionState;

use crate::engine::feeds::{Feeds, Names};
use crate::engine::stage::StagePlan;
use crate::engine::store::{ChunkId, Store, Tag};
use crate::sql::flow::{Flow, StepKind, Window};

use self::collect::CollectStep;
use self::join::JoinStep;
use self::sessions::SessionStep;
use self::windows::WindowStep;

/// What a step works with in one epoch.
pub(crate) struct Epoch<'a> {
    pub(crate) job: &'a str,
    pub(crate) session: &'a SessionState,
    pub(crate) feeds: &'a Feeds,
    /// The watermark before and after the epoch.
    pub(crate) before: Option<i64>,
    pub(crate) after: Option<i64>,
    pub(crate) store: &'a mut Store,
}

/// What a step gives: the columns of its feed without the hidden ones.
pub(crate) struct Given {
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) times: TimestampMicrosecondArray,
    pub(crate) names: Names,
}

/// One step and its state.
#[derive(Debug)]
pub(crate) struct StepWork {
    /// The feed that it fills.
    pub(crate) feed: usize,
    pub(crate) label: String,
    kind: Kind,
    /// Rows that its stages have given it, since the job was opened.
    pub(crate) rows_in: u64,
    pub(crate) rows_out: u64,
    pub(crate) busy: std::time::Duration,
}

#[derive(Debug)]
enum Kind {
    Windows(WindowStep),
    Sessions(SessionStep),
    Collect(CollectStep),
    Join(JoinStep),
}

/// What state must agree in with the step that goes on from it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct StepShape {
    pub(crate) window: String,
    pub(crate) keys: Vec<String>,
    pub(crate) aggregates: Vec<String>,
}

impl StepShape {
    pub(crate) fn of(kind: &StepKind) -> StepShape {
        match kind {
            StepKind::Aggregate(windows) => {
                StepShape { window: windows.window.text(), keys: windows.key_names.clone(), aggregates: windows.aggregate_names.clone() }
            }
            StepKind::Collect(collect) => StepShape { window: format!("rows of {}", collect.window.text()), keys: Vec::new(), aggregates: Vec::new() },
            StepKind::Join(join) => {
                let (least, greatest) = join.distance_us;
                let kind = match join.alone {
                    [false, false] => "join",
                    [true, false] => "left join",
                    [false, true] => "right join",
                    [true, true] => "full join",
                };
                StepShape { window: format!("{kind} {least}..{greatest} µs"), keys: join.key_names.clone(), aggregates: Vec::new() }
            }
        }
    }
}

impl StepWork {
    pub(crate) fn all(flow: &Flow, session: &SessionState) -> Result<Vec<StepWork>> {
        (0..flow.steps.len()).map(|number| StepWork::new(flow, number, session)).collect()
    }

    fn new(flow: &Flow, number: usize, session: &SessionState) -> Result<StepWork> {
        let step = &flow.steps[number];
        let stage = |index: usize| StagePlan::new(&step.inputs[index], &flow.feeds, session);
        let tag = u32::try_from(number).expect("a job file has few steps");
        let (kind, label) = match &step.kind {
            StepKind::Aggregate(windows) => {
                let keys = if windows.key_names.is_empty() { String::new() } else { format!(" by {}", windows.key_names.join(", ")) };
                let label = format!("{}{keys}", windows.window.text());
                let prefix = if number == 0 { String::new() } else { format!("step{}/", number + 1) };
                match windows.window {
                    Window::Session { gap } => (Kind::Sessions(SessionStep::new(tag, stage(0)?, windows, gap, prefix, session)?), label),
                    _ => (Kind::Windows(WindowStep::new(tag, stage(0)?, windows, prefix, session)?), label),
                }
            }
            StepKind::Collect(collect) => {
                (Kind::Collect(CollectStep::new(tag, stage(0)?, collect.window)), format!("rows of {}", collect.window.text()))
            }
            StepKind::Join(join) => (Kind::Join(JoinStep::new(tag, [stage(0)?, stage(1)?], join, session)?), format!("join on {}", join.key_names.join(", "))),
        };
        Ok(StepWork { feed: step.feed, label, kind, rows_in: 0, rows_out: 0, busy: std::time::Duration::ZERO })
    }

    /// Takes chunks of an earlier run over.
    pub(crate) async fn restore(&mut self, chunks: Vec<(ChunkId, Tag, usize)>, store: &mut Store) -> Result<()> {
        match &mut self.kind {
            Kind::Windows(step) => {
                step.restore(chunks);
                Ok(())
            }
            Kind::Sessions(step) => step.restore(chunks, store),
            Kind::Collect(step) => {
                step.restore(chunks);
                Ok(())
            }
            Kind::Join(step) => step.restore(chunks, store),
        }
    }

    /// Works one epoch off.
    pub(crate) async fn work(&mut self, epoch: &mut Epoch<'_>) -> Result<Vec<Given>> {
        let given = match &mut self.kind {
            Kind::Windows(step) => step.work(epoch).await,
            Kind::Sessions(step) => step.work(epoch).await,
            Kind::Collect(step) => step.work(epoch).await,
            Kind::Join(step) => step.work(epoch).await,
        }?;
        self.rows_in += self.stages().flat_map(StagePlan::feeds).map(|feed| epoch.feeds.count(feed) as u64).sum::<u64>();
        self.rows_out += given.iter().map(|given| given.times.len() as u64).sum::<u64>();
        Ok(given)
    }

    pub(crate) fn stages(&self) -> impl Iterator<Item = &StagePlan> {
        let (first, second) = match &self.kind {
            Kind::Windows(step) => (&step.stage, None),
            Kind::Sessions(step) => (&step.stage, None),
            Kind::Collect(step) => (&step.stage, None),
            Kind::Join(step) => (&step.stages[0], Some(&step.stages[1])),
        };
        [first].into_iter().chain(second)
    }

    /// Rows that it keeps: partial aggregates, or rows as they are.
    pub(crate) fn state_rows(&self) -> usize {
        match &self.kind {
            Kind::Windows(step) => step.state_rows(),
            Kind::Sessions(step) => step.state_rows(),
            Kind::Collect(step) => step.state_rows(),
            Kind::Join(step) => step.state_rows(),
        }
    }

    /// Windows, or pieces of windows, that are open.
    pub(crate) fn open_windows(&self) -> usize {
        match &self.kind {
            Kind::Windows(step) => step.open_windows(),
            Kind::Sessions(step) => step.open_windows(),
            Kind::Collect(step) => step.open_windows(),
            Kind::Join(_) => 0,
        }
    }

    /// The columns of its chunks, for people.
    pub(crate) fn state_schema(&self) -> Option<SchemaRef> {
        match &self.kind {
            Kind::Windows(step) => Some(Arc::clone(&step.aggregate.state_schema)),
            Kind::Sessions(step) => Some(Arc::clone(&step.aggregate.state_schema)),
            Kind::Collect(_) | Kind::Join(_) => None,
        }
    }
}

pub(crate) fn external(error: impl std::error::Error + Send + Sync + 'static) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Rows that still belong to an open window, by the times in one of their columns.
fn not_too_late(rows: RecordBatch, column: usize, window: Window, before: Option<i64>) -> Result<RecordBatch> {
    let Some(before) = before else { return Ok(rows) };
    let times = rows.column(column).as_primitive::<TimestampMicrosecondType>();
    let open = |time: i64| window.ends(time).1 > before;
    if times.values().iter().min().is_none_or(|least| open(*least)) {
        return Ok(rows);
    }
    let keep: BooleanArray = times.iter().map(|time| Some(time.is_some_and(open))).collect();
    Ok(filter_record_batch(&rows, &keep)?)
}

/// The number and the time of each row, which are the last two columns of a stage.
fn hidden(rows: &RecordBatch) -> (&arrow::array::UInt64Array, &TimestampMicrosecondArray) {
    let columns = rows.num_columns();
    (rows.column(columns - 2).as_primitive(), rows.column(columns - 1).as_primitive())
}
