//! What an epoch gives, and who takes it.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};

/// Any error of a sink.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The next offset of each topic and partition.
pub type Positions = BTreeMap<(String, i32), i64>;

/// What one epoch gives. After a crash the same epoch is offered again with the same content, so a sink that keeps
/// (job, epoch), or the ids, writes nothing twice. Of a job that gives records one by one to a topic, without window, latch
/// and watermark, only the ids hold: its epochs may be cut otherwise then.
#[derive(Debug, Clone)]
pub struct EpochOutput {
    /// The job.
    pub job: String,
    /// The epoch, counted from 1 without gaps.
    pub epoch: u64,
    /// Where the input goes on after this epoch.
    pub positions: Positions,
    /// The rows, in the sink's columns, ordered by window and keys or by the position of their record.
    pub rows: RecordBatch,
    /// An id for each row, made from the job, the window and the keys, or from the record's position.
    pub ids: Vec<String>,
    /// The event time of each row: the end of its window, or the record's own.
    pub times: Vec<Option<DateTime<Utc>>>,
    /// Rows that came too late or without a usable time, see [`late_schema`](crate::late_schema).
    pub late: RecordBatch,
    /// Records for which a user-defined function failed, as they came; the late rows tell of them as well.
    pub failed: Vec<FailedRecord>,
    /// How far event time has come; windows that end at or before it are closed.
    pub watermark: Option<DateTime<Utc>>,
}

/// A record for which a user-defined function failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRecord {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its data.
    pub data: Option<String>,
    /// Which function failed, and how.
    pub reason: String,
}

/// How a running job is doing.
#[derive(Debug, Clone)]
pub struct RunnerStats {
    /// The last epoch that is done.
    pub epoch: u64,
    /// How far event time has come.
    pub watermark: Option<DateTime<Utc>>,
    /// Rows that wait for an epoch.
    pub buffered_rows: usize,
    /// Bytes that wait for an epoch.
    pub buffered_bytes: usize,
    /// Bytes of state that are in memory.
    pub state_memory_bytes: usize,
    /// Bytes of state.
    pub state_bytes: u64,
    /// Bytes of the state's files.
    pub disk_bytes: u64,
    /// Conditions that a latch remembers as raised.
    pub raised: usize,
    /// What was done since the job was opened.
    pub totals: crate::runner::Progress,
    /// The steps that keep state, in their order.
    pub steps: Vec<StepStats>,
}

/// How one step of a running job is doing, since it was opened.
#[derive(Debug, Clone)]
pub struct StepStats {
    /// What it does.
    pub label: String,
    /// Rows that came to it.
    pub rows_in: u64,
    /// Rows that it gave.
    pub rows_out: u64,
    /// How long it has worked.
    pub busy: Duration,
    /// Rows that it keeps: partial aggregates, or rows as they are.
    pub state_rows: usize,
    /// Windows, or pieces of windows, that are open.
    pub open_windows: usize,
}

/// Takes the output of epochs, in order.
pub trait Sink {
    /// Makes an epoch's output durable. It may have been taken before: then nothing more is to be done. After an error
    /// the same output is offered again.
    fn take(&mut self, output: &EpochOutput) -> impl Future<Output = Result<(), BoxError>> + Send;
}

pub(crate) fn moment(time_us: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(time_us)
}
