//! Rows that came too late or without a usable time, or for which a function failed: they go to a table of their own, with the reason.

use std::sync::Arc;

use arrow::array::{Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::chunk::timestamp_type;

/// The columns of late rows.
pub fn late_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("job", DataType::Utf8, false),
        Field::new("topic", DataType::Utf8, false),
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("event_time", timestamp_type(), true),
        Field::new("watermark", timestamp_type(), true),
        Field::new("reason", DataType::Utf8, false),
    ]))
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct LateRow {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) event_time: Option<i64>,
    pub(crate) reason: Reason,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    Closed,
    PartlyClosed,
    NoTime,
    Ancient,
    Future,
    /// A user-defined function gave no value.
    Failed(String),
}

impl Reason {
    /// Whether it lies in the record alone, so that every slice of a job finds it; one of them notes it.
    pub(crate) fn is_of_the_record(&self) -> bool {
        matches!(self, Reason::NoTime | Reason::Ancient | Reason::Future)
    }

    fn text(&self) -> &str {
        match self {
            Reason::Closed => "its window was closed",
            Reason::PartlyClosed => "a window that it belongs to was closed; it counts in the others",
            Reason::NoTime => "it has no event time",
            Reason::Ancient => "its event time is before 1970",
            Reason::Future => "its event time lies in the future",
            Reason::Failed(why) => why,
        }
    }
}

pub(crate) fn batch(job: &str, watermark: Option<i64>, rows: &[LateRow]) -> RecordBatch {
    let time = |values: Vec<Option<i64>>| Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"));
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| job))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.topic))),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.partition))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.offset))),
        time(rows.iter().map(|row| row.event_time).collect()),
        time(vec![watermark; rows.len()]),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.reason.text()))),
    ];
    RecordBatch::try_new(late_schema(), columns).expect("each column has one value for each late row")
}
