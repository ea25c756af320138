//! What a job reads: rows of one topic partition in the bronze schema, with the offsets that they cover.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};

/// Microseconds since 1970 in UTC: the one type of time in the engine.
pub fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The bronze schema: what every topic looks like, whatever its events say.
pub fn bronze_schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let time = |name: &str| Field::new(name, timestamp_type(), true);
    Arc::new(Schema::new(vec![
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        time("kafka_time"),
        text("key"),
        text("ce_id"),
        text("ce_source"),
        text("ce_type"),
        text("ce_subject"),
        time("ce_time"),
        time("recorded_time"),
        text("correlation_id"),
        text("causation_id"),
        text("extensions"),
        text("data"),
    ]))
}

/// Rows of one topic partition, ordered by offset. Offsets may have gaps; `next_offset` says how far the log was read.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The first offset that was looked at.
    pub first_offset: i64,
    /// One past the last offset that was looked at.
    pub next_offset: i64,
    /// The rows, in the bronze schema.
    pub rows: RecordBatch,
}

impl Chunk {
    /// The part of the chunk at and after `offset`, or nothing when it lies wholly before.
    pub(crate) fn from_offset(self, offset: i64) -> Option<Chunk> {
        if self.next_offset <= offset {
            return None;
        }
        if self.first_offset >= offset {
            return Some(self);
        }
        let start = row_at(&self.rows, offset);
        let rows = self.rows.slice(start, self.rows.num_rows() - start);
        Some(Chunk { first_offset: offset, rows, ..self })
    }

    /// Cuts the chunk in two: offsets before `offset`, and the rest.
    pub(crate) fn split(self, offset: i64) -> (Option<Chunk>, Option<Chunk>) {
        if offset >= self.next_offset {
            return (Some(self), None);
        }
        if offset <= self.first_offset {
            return (None, Some(self));
        }
        let row = row_at(&self.rows, offset);
        let head = Chunk { next_offset: offset, rows: self.rows.slice(0, row), ..self.clone() };
        let tail = Chunk { first_offset: offset, rows: self.rows.slice(row, self.rows.num_rows() - row), ..self };
        (Some(head), Some(tail))
    }

    /// Checks what the engine relies on: the columns that it reads and their types, and offsets that only grow.
    pub(crate) fn check(&self) -> Result<(), String> {
        let schema = self.rows.schema();
        for (name, data_type) in [
            ("topic", DataType::Utf8),
            ("partition", DataType::Int32),
            ("offset", DataType::Int64),
            ("kafka_time", timestamp_type()),
            ("key", DataType::Utf8),
            ("ce_id", DataType::Utf8),
            ("ce_source", DataType::Utf8),
            ("ce_type", DataType::Utf8),
            ("ce_subject", DataType::Utf8),
            ("ce_time", timestamp_type()),
            ("recorded_time", timestamp_type()),
            ("data", DataType::Utf8),
        ] {
            let field = schema.field_with_name(name).map_err(|_| format!("column {name} is missing"))?;
            if *field.data_type() != data_type {
                return Err(format!("column {name} is {}, expected {data_type}", field.data_type()));
            }
        }
        let offsets = offsets(&self.rows);
        let values = offsets.values();
        let grow = values.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = values.first().is_none_or(|first| *first >= self.first_offset)
            && values.last().is_none_or(|last| *last < self.next_offset);
        match (grow && offsets.null_count() == 0, inside) {
            (false, _) => Err("offsets do not grow from row to row".into()),
            (_, false) => Err(format!("an offset lies outside of {}..{}", self.first_offset, self.next_offset)),
            (true, true) => Ok(()),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        slice_bytes(&self.rows)
    }
}

pub(crate) fn column<'a>(rows: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    rows.column_by_name(name).expect("chunks are checked when they are pushed")
}

pub(crate) fn offsets(rows: &RecordBatch) -> &Int64Array {
    column(rows, "offset").as_primitive::<Int64Type>()
}

/// Bytes that these rows themselves take, whatever larger buffers they are slices of.
pub(crate) fn slice_bytes(rows: &RecordBatch) -> usize {
    rows.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0)).sum()
}

fn row_at(rows: &RecordBatch, offset: i64) -> usize {
    offsets(rows).values().partition_point(|at| *at < offset)
}
