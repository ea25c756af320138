//! Bronze rows to typed rows: the columns of an event type out of its JSON.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanBuilder, Float64Builder, Int32Array, Int64Array, Int64Builder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use schemas::{Column, ColumnKind, TypeDef, pii};
use serde_json::Value;

use crate::error::LakeError;

/// A row whose data does not fit its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    /// Where it stands.
    pub topic: String,
    /// See `topic`.
    pub partition: i32,
    /// See `topic`.
    pub offset: i64,
    /// What does not fit.
    pub reason: String,
    /// Its data.
    pub data: Option<String>,
}

/// The Arrow schema of a type's silver table: where the row came from, then its own columns.
pub fn schema_of(def: &TypeDef) -> SchemaRef {
    let comment = |field: Field, zh: &str, en: &str| field.with_metadata([("comment".to_owned(), format!("{zh} / {en}"))].into());
    let mut fields = vec![
        comment(Field::new("ce_id", DataType::Utf8, true), "事件编号", "id of the event"),
        comment(Field::new("ce_source", DataType::Utf8, true), "事件来源", "source of the event"),
        comment(Field::new("event_time", time(), true), "事件时间", "when it happened"),
        comment(Field::new("recorded_time", time(), true), "记录时间", "when it was written down"),
        comment(Field::new("topic", DataType::Utf8, true), "主题", "topic"),
        comment(Field::new("partition", DataType::Int32, true), "分区", "partition"),
        comment(Field::new("offset", DataType::Int64, true), "位移", "offset"),
    ];
    for column in own_columns(def) {
        let kind = match column.kind {
            ColumnKind::Text | ColumnKind::Json => DataType::Utf8,
            ColumnKind::Int => DataType::Int64,
            ColumnKind::Float => DataType::Float64,
            ColumnKind::Bool => DataType::Boolean,
            ColumnKind::Timestamp => time(),
        };
        fields.push(comment(Field::new(&column.name, kind, true), &column.comment_zh, &column.comment_en));
    }
    let about = format!("{} / {}", def.title_zh, def.title_en);
    Arc::new(Schema::new_with_metadata(fields, [("comment".to_owned(), about)].into()))
}

const LINEAGE: [&str; 7] = ["ce_id", "ce_source", "event_time", "recorded_time", "topic", "partition", "offset"];

fn own_columns(def: &TypeDef) -> impl Iterator<Item = &Column> {
    def.columns.iter().filter(|column| !LINEAGE.contains(&column.name.as_str()))
}

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

enum Builder {
    Text(StringBuilder),
    Int(Int64Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
    Json(StringBuilder),
}

impl Builder {
    fn new(kind: ColumnKind) -> Builder {
        match kind {
            ColumnKind::Text => Builder::Text(StringBuilder::new()),
            ColumnKind::Int => Builder::Int(Int64Builder::new()),
            ColumnKind::Float => Builder::Float(Float64Builder::new()),
            ColumnKind::Bool => Builder::Bool(BooleanBuilder::new()),
            ColumnKind::Timestamp => Builder::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
            ColumnKind::Json => Builder::Json(StringBuilder::new()),
        }
    }

    fn push(&mut self, cell: Cell) {
        match (self, cell) {
            (Builder::Text(builder) | Builder::Json(builder), Cell::Text(value)) => builder.append_value(value),
            (Builder::Text(builder) | Builder::Json(builder), _) => builder.append_null(),
            (Builder::Int(builder), Cell::Int(value)) => builder.append_value(value),
            (Builder::Int(builder), _) => builder.append_null(),
            (Builder::Float(builder), Cell::Float(value)) => builder.append_value(value),
            (Builder::Float(builder), _) => builder.append_null(),
            (Builder::Bool(builder), Cell::Bool(value)) => builder.append_value(value),
            (Builder::Bool(builder), _) => builder.append_null(),
            (Builder::Time(builder), Cell::Int(value)) => builder.append_value(value),
            (Builder::Time(builder), _) => builder.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Builder::Text(builder) | Builder::Json(builder) => Arc::new(builder.finish()),
            Builder::Int(builder) => Arc::new(builder.finish()),
            Builder::Float(builder) => Arc::new(builder.finish()),
            Builder::Bool(builder) => Arc::new(builder.finish()),
            Builder::Time(builder) => Arc::new(builder.finish()),
        }
    }
}

enum Cell {
    Null,
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

fn cell(column: &Column, data: &Value) -> Result<Cell, String> {
    let value = match data.pointer(&column.path) {
        None | Some(Value::Null) if column.nullable => return Ok(Cell::Null),
        None | Some(Value::Null) => return Err(format!("{} is missing", column.path)),
        Some(value) => value,
    };
    let wrong = || format!("{} is no {:?}", column.path, column.kind);
    match column.kind {
        ColumnKind::Text => {
            let text = value.as_str().ok_or_else(wrong)?;
            Ok(Cell::Text(if column.pii { pii::mask(text).0.into_owned() } else { text.to_owned() }))
        }
        ColumnKind::Int => value.as_i64().or_else(|| value.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15).map(|float| float as i64)).map(Cell::Int).ok_or_else(wrong),
        ColumnKind::Float => value.as_f64().map(Cell::Float).ok_or_else(wrong),
        ColumnKind::Bool => value.as_bool().map(Cell::Bool).ok_or_else(wrong),
        ColumnKind::Timestamp => {
            let text = value.as_str().ok_or_else(wrong)?;
            schemas::time::parse_us(text).map(Cell::Int).map_err(|problem| format!("{}: {problem}", column.path))
        }
        ColumnKind::Json => Ok(Cell::Text(value.to_string())),
    }
}

/// Columns of a bronze batch.
pub(crate) struct Bronze<'a> {
    pub(crate) offset: &'a Int64Array,
    pub(crate) ce_id: &'a StringArray,
    pub(crate) ce_source: &'a StringArray,
    pub(crate) ce_type: &'a StringArray,
    ce_time: &'a TimestampMicrosecondArray,
    recorded_time: &'a TimestampMicrosecondArray,
    data: &'a StringArray,
}

impl<'a> Bronze<'a> {
    pub(crate) fn of(rows: &'a RecordBatch) -> Result<Bronze<'a>, LakeError> {
        Ok(Bronze {
            offset: column(rows, "offset")?,
            ce_id: column(rows, "ce_id")?,
            ce_source: column(rows, "ce_source")?,
            ce_type: column(rows, "ce_type")?,
            ce_time: column(rows, "ce_time")?,
            recorded_time: column(rows, "recorded_time")?,
            data: column(rows, "data")?,
        })
    }

    /// A row's data, when it has some.
    pub(crate) fn data(&self, row: usize) -> Option<&'a str> {
        self.data.is_valid(row).then(|| self.data.value(row))
    }
}

fn column<'a, A: Array + 'static>(rows: &'a RecordBatch, name: &str) -> Result<&'a A, LakeError> {
    rows.column_by_name(name)
        .and_then(|array| array.as_any().downcast_ref::<A>())
        .ok_or_else(|| LakeError::Refused(format!("a bronze batch has no column {name} of the right type")))
}

/// Typed rows of the `wanted` rows of a batch, and those that do not fit.
pub(crate) fn typed(def: &TypeDef, topic: &str, partition: i32, bronze: &Bronze<'_>, wanted: &[usize]) -> Result<(RecordBatch, Vec<RejectedRow>), LakeError> {
    let columns: Vec<&Column> = own_columns(def).collect();
    let mut builders: Vec<Builder> = columns.iter().map(|column| Builder::new(column.kind)).collect();
    let mut rejected = Vec::new();
    let mut good: Vec<usize> = Vec::with_capacity(wanted.len());
    let mut cells = Vec::with_capacity(columns.len());
    for row in wanted {
        let text = bronze.data(*row);
        cells.clear();
        let mut problem = None;
        match text.map(serde_json::from_str::<Value>) {
            Some(Ok(data)) => {
                for column in &columns {
                    match cell(column, &data) {
                        Ok(cell) => cells.push(cell),
                        Err(reason) => {
                            problem = Some(reason);
                            break;
                        }
                    }
                }
            }
            Some(Err(error)) => problem = Some(format!("the data is no JSON: {error}")),
            None => problem = Some("there is no data, or it is no UTF-8".to_owned()),
        }
        match problem {
            Some(reason) => rejected.push(RejectedRow { topic: topic.to_owned(), partition, offset: bronze.offset.value(*row), reason, data: text.map(str::to_owned) }),
            None => {
                good.push(*row);
                builders.iter_mut().zip(cells.drain(..)).for_each(|(builder, cell)| builder.push(cell));
            }
        }
    }
    let texts = |array: &StringArray| -> ArrayRef { Arc::new(good.iter().map(|row| array.is_valid(*row).then(|| array.value(*row))).collect::<StringArray>()) };
    let times = |array: &TimestampMicrosecondArray| -> ArrayRef {
        Arc::new(good.iter().map(|row| array.is_valid(*row).then(|| array.value(*row))).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let mut arrays: Vec<ArrayRef> = vec![
        texts(bronze.ce_id),
        texts(bronze.ce_source),
        times(bronze.ce_time),
        times(bronze.recorded_time),
        Arc::new(StringArray::from(vec![topic; good.len()])),
        Arc::new(Int32Array::from(vec![partition; good.len()])),
        Arc::new(good.iter().map(|row| bronze.offset.value(*row)).collect::<Int64Array>()),
    ];
    arrays.extend(builders.iter_mut().map(Builder::finish));
    Ok((RecordBatch::try_new(schema_of(def), arrays)?, rejected))
}
