//! Rows that wait for an epoch, partition by partition, in a bounded buffer.

use std::collections::{BTreeMap, VecDeque};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use datafusion::error::Result;

use crate::chunk::{Chunk, column, offsets};
use crate::engine::state::Partition;

/// What one partition has in the buffer.
#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Chunk>,
    rows: usize,
    /// One past the last offset that was pushed.
    next: i64,
    /// How far event time has come before an offset, where that was said.
    marks: VecDeque<(i64, i64)>,
}

#[derive(Debug, Default)]
pub(crate) struct Buffer {
    queues: BTreeMap<Partition, Queue>,
    rows: usize,
    bytes: usize,
}

impl Buffer {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Chunks of the partition that has the most.
    pub(crate) fn chunks(&self) -> usize {
        self.queues.values().map(|queue| queue.chunks.len()).max().unwrap_or(0)
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.queues.keys()
    }

    pub(crate) fn rows_of(&self, partition: &Partition) -> usize {
        self.queues.get(partition).map_or(0, |queue| queue.rows)
    }

    /// One past the last buffered offset, when there is one.
    pub(crate) fn next_of(&self, partition: &Partition) -> Option<i64> {
        self.queues.get(partition).map(|queue| queue.next)
    }

    /// Adds a chunk that begins where the partition's last one ended, or later.
    pub(crate) fn push(&mut self, chunk: Chunk) {
        let partition = (chunk.topic.to_string(), chunk.partition);
        let queue = self.queues.entry(partition).or_default();
        assert!(chunk.first_offset >= queue.next || queue.chunks.is_empty(), "chunks of a partition come in order");
        self.rows += chunk.rows.num_rows();
        self.bytes += chunk.bytes();
        queue.rows += chunk.rows.num_rows();
        queue.next = chunk.next_offset;
        queue.chunks.push_back(chunk);
    }

    /// Notes how far event time has come in what was pushed of a partition.
    pub(crate) fn mark(&mut self, partition: &Partition, reached: i64) {
        if let Some(queue) = self.queues.get_mut(partition) {
            queue.marks.push_back((queue.next, reached));
        }
    }

    /// How far event time has come before an offset, as far as that was said.
    pub(crate) fn reached(&self, partition: &Partition, offset: i64) -> Option<i64> {
        let marks = &self.queues.get(partition)?.marks;
        marks.iter().take_while(|(next, _)| *next <= offset).map(|(_, reached)| *reached).max()
    }

    /// Where to end a range that holds at most `rows` rows of a partition.
    pub(crate) fn end_after(&self, partition: &Partition, rows: usize) -> Option<i64> {
        let queue = self.queues.get(partition)?;
        let mut left = rows;
        for chunk in &queue.chunks {
            if chunk.rows.num_rows() > left {
                return Some(offsets(&chunk.rows).value(left));
            }
            left -= chunk.rows.num_rows();
        }
        Some(queue.next)
    }

    /// The rows of a partition before an offset, which stay in the buffer until they are dropped.
    pub(crate) fn before(&self, partition: &Partition, offset: i64) -> Vec<RecordBatch> {
        let Some(queue) = self.queues.get(partition) else { return Vec::new() };
        let heads = queue.chunks.iter().filter_map(|chunk| chunk.clone().split(offset).0);
        heads.map(|chunk| chunk.rows).filter(|rows| rows.num_rows() > 0).collect()
    }

    /// Drops the rows of a partition before an offset.
    pub(crate) fn drop_before(&mut self, partition: &Partition, offset: i64) {
        let Some(queue) = self.queues.get_mut(partition) else { return };
        while queue.marks.pop_front_if(|(next, _)| *next <= offset).is_some() {}
        while let Some(chunk) = queue.chunks.pop_front() {
            let (rows, bytes) = (chunk.rows.num_rows(), chunk.bytes());
            let tail = chunk.split(offset).1;
            let (rows_left, bytes_left) = tail.as_ref().map_or((0, 0), |tail| (tail.rows.num_rows(), tail.bytes()));
            queue.rows -= rows - rows_left;
            self.rows -= rows - rows_left;
            self.bytes -= bytes.saturating_sub(bytes_left).min(self.bytes);
            if let Some(tail) = tail {
                queue.chunks.push_front(tail);
                break;
            }
        }
    }
}

/// The same chunk with only the rows of these event types, or all when there are none, and only these columns.
pub(crate) fn only(chunk: Chunk, event_types: &[String], columns: &[usize]) -> Result<Chunk> {
    if event_types.is_empty() {
        return Ok(Chunk { rows: chunk.rows.project(columns)?, ..chunk });
    }
    let mask = of_types(&chunk.rows, event_types);
    let narrow = chunk.rows.project(columns)?;
    let rows = match mask.true_count() == narrow.num_rows() {
        true => narrow,
        false => filter_record_batch(&narrow, &mask)?,
    };
    Ok(Chunk { rows, ..chunk })
}

/// Which rows are of one of these types.
pub(crate) fn of_types(rows: &RecordBatch, event_types: &[String]) -> BooleanArray {
    let types = column(rows, "ce_type").as_string::<i32>();
    types.iter().map(|kind| Some(kind.is_some_and(|kind| event_types.iter().any(|wanted| wanted == kind)))).collect()
}
