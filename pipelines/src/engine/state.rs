//! What a job knows between two epochs. It is a value: an epoch makes a new one and leaves the old one as it was.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::error::Result;

use crate::chunk::slice_bytes;
use crate::limits::{STATE_BATCHES_MAX, STATE_ROWS_UNMERGED_MAX};

/// A topic and a partition of it.
pub(crate) type Partition = (String, i32);

/// The watermark of a source that has ended: the last second of the year 9999, later than any event.
pub(crate) const END_US: i64 = 253_402_300_799_000_000;

#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// The last epoch that is done.
    pub(crate) epoch: u64,
    pub(crate) partitions: BTreeMap<Partition, Progress>,
    pub(crate) idle: BTreeSet<Partition>,
    pub(crate) watermark: Option<i64>,
    /// Open windows by their start.
    pub(crate) windows: BTreeMap<i64, OpenWindow>,
    /// Raised conditions and their level.
    pub(crate) latch: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The next offset.
    pub(crate) next: i64,
    /// The latest event time.
    pub(crate) time_max: Option<i64>,
}

/// DataFusion's partial-aggregate state of one window.
#[derive(Debug, Clone, Default)]
pub(crate) struct OpenWindow {
    pub(crate) batches: Vec<RecordBatch>,
    /// Rows that the last merge left.
    merged: usize,
}

impl OpenWindow {
    pub(crate) fn merged(batches: Vec<RecordBatch>) -> OpenWindow {
        let merged = batches.iter().map(RecordBatch::num_rows).sum();
        OpenWindow { batches, merged }
    }

    fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Whether merging would pay: as many new rows as merged ones, so that the work stays in proportion.
    pub(crate) fn wants_merge(&self) -> bool {
        self.rows() - self.merged > STATE_ROWS_UNMERGED_MAX.max(self.merged)
    }

    fn push(&mut self, rows: RecordBatch) -> Result<()> {
        self.batches.push(rows);
        if self.batches.len() > STATE_BATCHES_MAX {
            self.batches = vec![concat_batches(&self.batches[0].schema(), &self.batches)?];
        }
        Ok(())
    }
}

impl State {
    /// Forgets the partitions of topics that the job does not read any more.
    pub(crate) fn keep_topics(&mut self, topics: &[String]) {
        self.partitions.retain(|partition, _| topics.contains(&partition.0));
        self.idle.retain(|partition| topics.contains(&partition.0));
    }

    /// Puts partial rows, whose first column is the start of their window, to their windows.
    pub(crate) fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        let starts = rows.column(0).as_primitive::<TimestampMicrosecondType>();
        let mut by_start = BTreeMap::<i64, Vec<u32>>::new();
        for (row, start) in starts.values().iter().enumerate() {
            by_start.entry(*start).or_default().push(row as u32);
        }
        for (start, indices) in by_start {
            let part = match indices.len() == rows.num_rows() {
                true => rows.clone(),
                false => take_record_batch(rows, &UInt32Array::from(indices))?,
            };
            self.windows.entry(start).or_default().push(part)?;
        }
        Ok(())
    }

    /// Takes the windows out that end at or before the watermark.
    pub(crate) fn take_closed(&mut self, width_us: i64) -> Vec<RecordBatch> {
        let Some(watermark) = self.watermark else { return Vec::new() };
        let open = self.windows.split_off(&watermark.saturating_sub(width_us).saturating_add(1));
        let closed = std::mem::replace(&mut self.windows, open);
        closed.into_values().flat_map(|window| window.batches).collect()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.windows.values().flat_map(|window| &window.batches).map(slice_bytes).sum()
    }

    /// Moves the watermark: the least of the partitions that are not idle, or, when all are, the greatest; never back.
    pub(crate) fn advance(&mut self, delay_us: i64) {
        let (idle, awake): (Vec<_>, Vec<_>) = self.partitions.iter().partition(|(partition, _)| self.idle.contains(*partition));
        let reached = match awake.is_empty() {
            true => idle.iter().filter_map(|(_, progress)| progress.time_max).max(),
            // A partition that is awake and has said nothing yet holds the watermark back.
            false => awake.iter().map(|(_, progress)| progress.time_max).min().flatten(),
        };
        if let Some(reached) = reached.map(|time| time.saturating_sub(delay_us)) {
            self.watermark = Some(self.watermark.map_or(reached, |watermark| watermark.max(reached)));
        }
    }
}
