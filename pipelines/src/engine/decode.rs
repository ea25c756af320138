//! From records to the columns that a job declares: metadata as they are, the rest out of the event's JSON.
//!
//! Decoding cannot fail. A field that is missing or of another type is null, and so is every field of data that is no
//! JSON object. The whole text is checked, so whether a row is whole does not depend on which columns a job reads.
//!
//! | column | what it takes |
//! |---|---|
//! | `TEXT` | strings |
//! | `INT`, `BIGINT` | whole numbers that fit; 12.0 is one |
//! | `DOUBLE` | numbers, to the nearest float; one beyond all floats is null |
//! | `BOOLEAN` | `true` and `false` |
//! | `TIMESTAMP` | `2026-07-18T08:00:00.5+08:00` with any offset; without one, and with a space for the `T`, it is UTC; whole numbers are milliseconds since 1970 |
//! | `DATE` | `2026-07-18` |
//! | `JSON` | anything but `null`, as it was written |
//! | `STRUCT<...>` | objects, field by field |
//! | `...[]` | arrays, item by item |
//!
//! Of fields with the same name the last one counts.

mod columns;
mod scan;
mod time;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StructArray, new_null_array};
use arrow::datatypes::{DataType, Field, SchemaRef};

use crate::chunk::column;
use crate::functions::position_fields;
use crate::sql::tables::{Format, Metadata, Source};
use columns::{Column, Names};
use scan::{Cell, Malformed, Scanner};

/// The key of a field's metadata under which Arrow keeps the name of an extension type.
const EXTENSION_KEY: &str = "ARROW:extension:name";
/// Arrow's own name for text that is JSON.
const JSON_EXTENSION: &str = "arrow.json";

/// A field of type `JSON`: text that holds one JSON value.
pub(crate) fn json_field(name: &str) -> Field {
    let metadata = [(EXTENSION_KEY, JSON_EXTENSION), ("ARROW:extension:metadata", "{}")];
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Field::new(name, DataType::Utf8, true).with_metadata(metadata.into())
}

/// Whether a field of text is of type `JSON`.
pub(crate) fn is_json(field: &Field) -> bool {
    field.metadata().get(EXTENSION_KEY).is_some_and(|name| name == JSON_EXTENSION)
}

/// Decodes the rows of one source.
#[derive(Debug, Clone)]
pub(crate) struct Decoder {
    /// Where each column comes from; nothing means the event's data.
    metadata: Vec<Option<Metadata>>,
    format: Format,
    schema: SchemaRef,
    /// Which columns the plan reads; the others are left null.
    used: Vec<bool>,
}

impl Decoder {
    pub(crate) fn new(source: &Source, used: Vec<bool>) -> Decoder {
        let metadata = source.columns.iter().map(|column| column.metadata).collect();
        Decoder { metadata, format: source.format, schema: source.read_schema(), used }
    }

    pub(crate) fn decode(&self, rows: &RecordBatch) -> RecordBatch {
        let from_data = |index: &usize| self.used[*index] && self.metadata[*index].is_none();
        let wanted: Vec<&Field> = (0..self.metadata.len()).filter(from_data).map(|index| self.schema.field(index)).collect();
        let mut built = match self.format {
            Format::Json => from_json(rows, &wanted),
            Format::Text => vec![Arc::clone(column(rows, "data")); wanted.len()],
        }
        .into_iter();
        let columns = self.metadata.iter().zip(&self.used).zip(self.schema.fields()).map(|((metadata, used), field)| match (metadata, used) {
            (_, false) => new_null_array(field.data_type(), rows.num_rows()),
            (Some(Metadata::Column(name)), true) => Arc::clone(column(rows, name)),
            (Some(Metadata::Position), true) => {
                let parts = ["topic", "partition", "offset"].map(|name| Arc::clone(column(rows, name)));
                Arc::new(StructArray::new(position_fields(), parts.to_vec(), None))
            }
            (None, true) => built.next().expect("one column was built for each that is read from data"),
        });
        RecordBatch::try_new(Arc::clone(&self.schema), columns.collect()).expect("columns have the declared types and one value for each row")
    }
}

fn from_json(rows: &RecordBatch, fields: &[&Field]) -> Vec<ArrayRef> {
    if fields.is_empty() {
        return Vec::new();
    }
    let mut columns: Vec<Column> = fields.iter().map(|field| Column::new(field, rows.num_rows())).collect();
    let mut names = Names::new(fields.iter().map(|field| field.name().clone()));
    let mut cells = vec![Cell::NULL; fields.len()];
    for text in column(rows, "data").as_string::<i32>() {
        cells.fill(Cell::NULL);
        if text.is_some_and(|text| read_row(&mut names, text, &mut cells).is_err()) {
            cells.fill(Cell::NULL);
        }
        columns.iter_mut().zip(&cells).for_each(|(column, cell)| column.push(cell, text.unwrap_or_default()));
    }
    columns.into_iter().map(Column::finish).collect()
}

/// Reads the object of one row; it is checked to its end.
fn read_row(names: &mut Names, text: &str, cells: &mut [Cell]) -> Result<(), Malformed> {
    let mut scanner = Scanner::new(text);
    scanner.space();
    if !scanner.at_object() {
        return Err(Malformed);
    }
    names.read(&mut scanner, 1, cells)?;
    scanner.end()
}

#[cfg(test)]
mod tests;
