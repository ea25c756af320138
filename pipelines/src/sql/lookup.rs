//! Lookup files: a CSV that a city edits, read once and held in memory.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Schema};

use crate::limits::LOOKUP_BYTES_MAX;
use crate::sql::fault::Fault;
use crate::sql::tables::LookupTable;

/// The declared columns of a lookup file. Lines that begin with # are comments; other columns of the file are passed over.
pub(crate) fn read(table: &LookupTable, text: &str) -> Result<RecordBatch, Fault> {
    let wrong = |what: String| Fault::new(table.at, format!("{}: {what}", table.path));
    if text.len() as u64 > LOOKUP_BYTES_MAX {
        return Err(wrong(format!("{} bytes, more than the {LOOKUP_BYTES_MAX} allowed", text.len())));
    }
    let text = text.trim_start_matches('\u{feff}');
    // Blank lines between groups of rows are for the eye.
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).collect();
    let header = lines.first().ok_or_else(|| wrong("the file has no header line".to_owned()))?;
    let names: Vec<&str> = header.split(',').map(|name| name.trim().trim_matches('"')).collect();
    let indices = table
        .schema
        .fields()
        .iter()
        .map(|field| {
            let missing = || wrong(format!("there is no column {}", field.name())).hint(format!("its header is {header}"));
            names.iter().position(|name| name == field.name()).ok_or_else(missing)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let fields = names.iter().map(|name| {
        let declared = table.schema.field_with_name(name).map(|field| field.data_type().clone());
        Field::new(*name, declared.unwrap_or(DataType::Utf8), true)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let body = lines.join("\n");
    let reader = ReaderBuilder::new(schema).with_header(true).with_batch_size(lines.len()).build(Cursor::new(body.as_bytes()));
    let batches = reader.and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let rows = batches.and_then(|batches| match batches.first() {
        Some(batch) => batch.project(&indices),
        None => Ok(RecordBatch::new_empty(Arc::clone(&table.schema))),
    });
    let rows = rows.map_err(|error| wrong(error.to_string()))?;
    RecordBatch::try_new(Arc::clone(&table.schema), rows.columns().to_vec()).map_err(|error| wrong(error.to_string()))
}
