//! What an epoch gives, and who takes it.

use std::collections::BTreeMap;
use std::future::Future;

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
    /// How far event time has come; windows that end at or before it are closed.
    pub watermark: Option<DateTime<Utc>>,
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
