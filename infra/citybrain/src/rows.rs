//! Reading the columns of a bronze batch by name, row by row.

use anyhow::{Context, Result};
use arrow::array::{Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};

/// The columns of a bronze batch that the decision plane reads.
pub struct Rows<'a> {
    offset: &'a Int64Array,
    ce_id: &'a StringArray,
    ce_source: &'a StringArray,
    ce_type: &'a StringArray,
    ce_time: &'a TimestampMicrosecondArray,
    extensions: &'a StringArray,
    data: &'a StringArray,
}

/// One row of a bronze batch.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Offset in its partition.
    pub offset: i64,
    /// `id`; absent when the record is no CloudEvent.
    pub id: Option<&'a str>,
    /// `source`.
    pub source: Option<&'a str>,
    /// `type`.
    pub event_type: Option<&'a str>,
    /// Event time, µs.
    pub time_us: Option<i64>,
    /// Extensions as JSON text.
    pub extensions: Option<&'a str>,
    /// Data as JSON text.
    pub data: Option<&'a str>,
}

impl<'a> Rows<'a> {
    /// Finds the columns.
    ///
    /// # Errors
    /// When a column is missing or has another type: then the batch is no bronze batch.
    pub fn of(batch: &'a RecordBatch) -> Result<Rows<'a>> {
        Ok(Rows {
            offset: column(batch, "offset")?,
            ce_id: column(batch, "ce_id")?,
            ce_source: column(batch, "ce_source")?,
            ce_type: column(batch, "ce_type")?,
            ce_time: column(batch, "ce_time")?,
            extensions: column(batch, "extensions")?,
            data: column(batch, "data")?,
        })
    }

    /// All rows in order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'a>> + '_ {
        (0..self.offset.len()).map(|index| self.row(index))
    }

    fn row(&self, index: usize) -> Row<'a> {
        let text = |array: &'a StringArray| array.is_valid(index).then(|| array.value(index));
        let time = |array: &'a TimestampMicrosecondArray| array.is_valid(index).then(|| array.value(index));
        Row {
            offset: self.offset.value(index),
            id: text(self.ce_id),
            source: text(self.ce_source),
            event_type: text(self.ce_type),
            time_us: time(self.ce_time),
            extensions: text(self.extensions),
            data: text(self.data),
        }
    }
}

/// A column of a batch by name and type.
pub fn column<'a, A: Array + 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a A> {
    let array = batch.column_by_name(name).with_context(|| format!("column {name} is missing"))?;
    array.as_any().downcast_ref::<A>().with_context(|| format!("column {name} has type {}", array.data_type()))
}
