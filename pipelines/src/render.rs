//! Output rows as the JSON objects that events carry.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Fields, Float64Type, Int32Type, Int64Type, Schema, TimestampMicrosecondType, UInt64Type};
use arrow::util::display::array_value_to_string;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Number, Value};

/// A row as a JSON object. Fields that are null are left out; times are RFC 3339 in UTC; structs are objects, lists arrays.
pub fn row_to_json(rows: &RecordBatch, row: usize) -> Map<String, Value> {
    let schema = rows.schema();
    let fields = schema.fields().iter().zip(rows.columns());
    fields.filter_map(|(field, column)| Some((field.name().clone(), value(column, row)?))).collect()
}

/// All rows as JSON objects.
pub fn rows_to_json(rows: &RecordBatch) -> Vec<Map<String, Value>> {
    (0..rows.num_rows()).map(|row| row_to_json(rows, row)).collect()
}

/// A row's value in a column as text, such as a record's key; nothing when it is null or there is no such column.
pub fn text_of(rows: &RecordBatch, name: &str, row: usize) -> Option<String> {
    let column = rows.column_by_name(name)?;
    if column.is_null(row) {
        return None;
    }
    array_value_to_string(column, row).ok()
}

/// Writes rows as the text of the same JSON objects, without making the objects.
#[derive(Debug)]
pub struct JsonWriter {
    /// The columns in the order of their names, which is that of an object's fields.
    order: Vec<usize>,
    names: Vec<String>,
}

impl JsonWriter {
    /// A writer for rows of this schema.
    pub fn new(schema: &Schema) -> JsonWriter {
        JsonWriter { order: by_name(schema.fields()), names: schema.fields().iter().map(|field| quoted(field.name())).collect() }
    }

    /// Appends a row.
    pub fn write(&self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) {
        let columns = self.order.iter().map(|index| (self.names[*index].as_str(), rows.column(*index)));
        write_object(columns, row, out);
    }
}

fn by_name(fields: &Fields) -> Vec<usize> {
    let mut order: Vec<usize> = (0..fields.len()).collect();
    order.sort_by_key(|index| fields[*index].name());
    order
}

fn quoted(name: &str) -> String {
    Value::String(name.to_owned()).to_string()
}

fn write_object<'a>(columns: impl Iterator<Item = (&'a str, &'a ArrayRef)>, row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for (name, column) in columns {
        let begin = out.len();
        if !first {
            out.push(b',');
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        match write_value(column, row, out) {
            true => first = false,
            false => out.truncate(begin),
        }
    }
    out.push(b'}');
}

/// Appends a value, if there is one.
fn write_value(column: &ArrayRef, row: usize, out: &mut Vec<u8>) -> bool {
    if column.is_null(row) {
        return false;
    }
    match column.data_type() {
        DataType::Utf8 => serde_json::to_writer(&mut *out, column.as_string::<i32>().value(row)).is_ok(),
        DataType::Int64 => serde_json::to_writer(&mut *out, &column.as_primitive::<Int64Type>().value(row)).is_ok(),
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            value.is_finite() && serde_json::to_writer(&mut *out, &value).is_ok()
        }
        DataType::Struct(fields) => {
            let columns = column.as_struct().columns();
            let names: Vec<String> = fields.iter().map(|field| quoted(field.name())).collect();
            write_object(by_name(fields).into_iter().map(|index| (names[index].as_str(), &columns[index])), row, out);
            true
        }
        _ => value(column, row).is_some_and(|value| serde_json::to_writer(&mut *out, &value).is_ok()),
    }
}

fn value(column: &ArrayRef, row: usize) -> Option<Value> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Utf8 => Some(Value::String(column.as_string::<i32>().value(row).to_owned())),
        DataType::Boolean => Some(Value::Bool(column.as_boolean().value(row))),
        DataType::Int32 => Some(Value::from(column.as_primitive::<Int32Type>().value(row))),
        DataType::Int64 => Some(Value::from(column.as_primitive::<Int64Type>().value(row))),
        DataType::UInt64 => Some(Value::from(column.as_primitive::<UInt64Type>().value(row))),
        // JSON has no infinity; a value that is none says nothing.
        DataType::Float64 => Number::from_f64(column.as_primitive::<Float64Type>().value(row)).map(Value::Number),
        DataType::Timestamp(_, _) => time(column, row).map(Value::String),
        DataType::Struct(fields) => {
            let columns = column.as_struct().columns();
            let object = fields.iter().zip(columns).filter_map(|(field, column)| Some((field.name().clone(), value(column, row)?)));
            Some(Value::Object(object.collect()))
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            Some(Value::Array((0..items.len()).map(|item| value(&items, item).unwrap_or(Value::Null)).collect()))
        }
        _ => array_value_to_string(column, row).ok().map(Value::String),
    }
}

fn time(column: &ArrayRef, row: usize) -> Option<String> {
    match column.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(times) => Some(DateTime::from_timestamp_micros(times.value(row))?.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        None => array_value_to_string(column, row).ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, StringArray, StructArray, TimestampMicrosecondArray};
    use arrow::datatypes::{Field, Int64Type};

    use super::*;

    #[test]
    fn the_text_is_that_of_the_object() {
        let inner: Vec<(Arc<Field>, ArrayRef)> = vec![
            (Arc::new(Field::new("z", DataType::Utf8, true)), Arc::new(StringArray::from(vec![Some("é\"\n"), None, Some("城市")]))),
            (Arc::new(Field::new("a \"b\"", DataType::Float64, true)), Arc::new(Float64Array::from(vec![Some(12.0), Some(f64::NAN), Some(1e-7)]))),
        ];
        let times = TimestampMicrosecondArray::from(vec![Some(1_784_332_800_000_000), None, Some(1_784_332_800_123_456)]).with_timezone("UTC");
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1), None]), None, Some(vec![])]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("n", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(7)]))),
            ("i", Arc::new(Int32Array::from(vec![None, Some(-1), Some(0)]))),
            ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
            ("at", Arc::new(times)),
            ("inner", Arc::new(StructArray::from(inner))),
            ("list", Arc::new(lists)),
        ];
        let rows = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap();
        let writer = JsonWriter::new(&rows.schema());
        for row in 0..3 {
            let mut text = Vec::new();
            writer.write(&rows, row, &mut text);
            assert_eq!(String::from_utf8(text).unwrap(), Value::Object(row_to_json(&rows, row)).to_string());
        }
    }
}
