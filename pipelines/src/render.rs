//! Output rows as the JSON objects that events carry.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType, UInt64Type};
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
