//! From records to the columns that a job declares: metadata as they are, the rest out of the event's JSON.
//!
//! Decoding cannot fail. A field that is missing or of another type is null, and so is every field of data that is no
//! JSON object.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder, StructArray,
    TimestampMicrosecondBuilder, new_null_array,
};
use arrow::datatypes::{DataType, SchemaRef};
use chrono::DateTime;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::chunk::column;
use crate::functions::position_fields;
use crate::sql::tables::{Metadata, Source, SourceColumn};

/// Decodes the rows of one source.
#[derive(Debug, Clone)]
pub(crate) struct Decoder {
    columns: Vec<SourceColumn>,
    schema: SchemaRef,
    /// Which columns the plan reads; the others are left null.
    used: Vec<bool>,
}

impl Decoder {
    pub(crate) fn new(source: &Source, used: Vec<bool>) -> Decoder {
        Decoder { columns: source.columns.clone(), schema: source.read_schema(), used }
    }

    pub(crate) fn decode(&self, rows: &RecordBatch) -> RecordBatch {
        let from_data = |index: &usize| self.used[*index] && self.columns[*index].metadata.is_none();
        let wanted: Vec<usize> = (0..self.columns.len()).filter(from_data).collect();
        let names: Vec<&str> = wanted.iter().map(|index| self.columns[*index].name.as_str()).collect();
        let mut built = from_json(rows, &names, wanted.iter().map(|index| &self.columns[*index].data_type)).into_iter();
        let columns = self.columns.iter().zip(&self.used).map(|(declared, used)| match (&declared.metadata, used) {
            (_, false) => new_null_array(&declared.data_type, rows.num_rows()),
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

fn from_json<'a>(rows: &RecordBatch, names: &[&str], types: impl Iterator<Item = &'a DataType>) -> Vec<ArrayRef> {
    let data = column(rows, "data").as_string::<i32>();
    let mut builders: Vec<Builder> = types.map(|data_type| Builder::new(data_type, rows.num_rows())).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let mut cells: Vec<Cell<'_>> = Vec::with_capacity(names.len());
    for text in data {
        cells.clear();
        cells.resize(names.len(), Cell::Null);
        if let Some(text) = text {
            let mut json = serde_json::Deserializer::from_str(text);
            let read = Row { names, cells: &mut cells }.deserialize(&mut json).and_then(|()| json.end());
            if read.is_err() {
                cells.fill(Cell::Null);
            }
        }
        builders.iter_mut().zip(&cells).for_each(|(builder, cell)| builder.push(cell));
    }
    builders.into_iter().map(Builder::finish).collect()
}

/// One value of a JSON object.
#[derive(Debug, Clone)]
enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
}

/// The object of one row: the named fields go to their cells, the last one of a name counts.
struct Row<'c, 'de> {
    names: &'c [&'c str],
    cells: &'c mut [Cell<'de>],
}

impl<'de> DeserializeSeed<'de> for Row<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(at) = map.next_key_seed(Name(self.names))? {
            match at {
                Some(at) => self.cells[at] = map.next_value_seed(OneCell)?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// A field's name, as its place among the names.
struct Name<'c>(&'c [&'c str]);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|known| *known == name))
    }
}

struct OneCell;

impl<'de> DeserializeSeed<'de> for OneCell {
    type Value = Cell<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cell<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OneCell {
    type Value = Cell<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Cell<'de>, E> {
        Ok(Cell::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Cell<'de>, E> {
        Ok(Cell::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Cell<'de>, E> {
        Ok(Cell::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Cell<'de>, E> {
        Ok(i64::try_from(value).map_or(Cell::Float(value as f64), Cell::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Cell<'de>, E> {
        Ok(Cell::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Cell<'de>, E> {
        Ok(Cell::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Cell<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Cell::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Cell<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Cell::Null)
    }
}

enum Builder {
    Text(StringBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float(Float64Builder),
    Bool(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl Builder {
    fn new(data_type: &DataType, rows: usize) -> Builder {
        match data_type {
            DataType::Utf8 => Builder::Text(StringBuilder::with_capacity(rows, rows * 12)),
            DataType::Int32 => Builder::Int32(Int32Builder::with_capacity(rows)),
            DataType::Int64 => Builder::Int64(Int64Builder::with_capacity(rows)),
            DataType::Float64 => Builder::Float(Float64Builder::with_capacity(rows)),
            DataType::Boolean => Builder::Bool(BooleanBuilder::with_capacity(rows)),
            DataType::Timestamp(_, _) => Builder::Time(TimestampMicrosecondBuilder::with_capacity(rows)),
            other => unreachable!("tables declare no column of type {other}"),
        }
    }

    fn push(&mut self, cell: &Cell<'_>) {
        match self {
            Builder::Text(builder) => builder.append_option(match cell {
                Cell::Text(text) => Some(text),
                _ => None,
            }),
            Builder::Int32(builder) => builder.append_option(integer(cell).and_then(|value| i32::try_from(value).ok())),
            Builder::Int64(builder) => builder.append_option(integer(cell)),
            Builder::Float(builder) => builder.append_option(match cell {
                Cell::Int(value) => Some(*value as f64),
                Cell::Float(value) => Some(*value),
                _ => None,
            }),
            Builder::Bool(builder) => builder.append_option(match cell {
                Cell::Bool(value) => Some(*value),
                _ => None,
            }),
            Builder::Time(builder) => builder.append_option(match cell {
                Cell::Text(text) => DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_micros()),
                _ => None,
            }),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Builder::Text(mut builder) => Arc::new(builder.finish()),
            Builder::Int32(mut builder) => Arc::new(builder.finish()),
            Builder::Int64(mut builder) => Arc::new(builder.finish()),
            Builder::Float(mut builder) => Arc::new(builder.finish()),
            Builder::Bool(mut builder) => Arc::new(builder.finish()),
            Builder::Time(mut builder) => Arc::new(builder.finish().with_timezone("UTC")),
        }
    }
}

/// A whole number; 12.0 is one, 12.5 is not.
fn integer(cell: &Cell<'_>) -> Option<i64> {
    match cell {
        Cell::Int(value) => Some(*value),
        Cell::Float(value) if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 => Some(*value as i64),
        _ => None,
    }
}
