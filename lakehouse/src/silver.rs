//! Bronze rows to typed rows: the columns of an event type out of its JSON.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanBuilder, Float64Builder, Int32Array, Int64Array, Int64Builder, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use schemas::{Column, ColumnKind, TypeDef, pii};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
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

    fn push(&mut self, cell: Cell<'_>) {
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

enum Cell<'a> {
    Null,
    Text(Cow<'a, str>),
    Int(i64),
    Float(f64),
    Bool(bool),
}

/// The columns of one event type, and how their values are found in an event's data.
struct Reader<'c> {
    columns: Vec<&'c Column>,
    /// Name of each column's field where all are at the top; then the text is read once, from front to back.
    flat: Option<Vec<&'c str>>,
}

impl<'c> Reader<'c> {
    fn new(def: &'c TypeDef) -> Reader<'c> {
        let columns: Vec<&Column> = own_columns(def).collect();
        let field = |column: &&'c Column| column.path.strip_prefix('/').filter(|name| !name.contains(['/', '~']));
        let flat = columns.iter().map(field).collect();
        Reader { columns, flat }
    }

    /// The cells of one row, or what does not fit.
    fn read<'t>(&self, text: &'t str, cells: &mut Vec<Cell<'t>>) -> Result<(), String> {
        cells.clear();
        match &self.flat {
            Some(fields) => {
                cells.resize_with(self.columns.len(), || Cell::Null);
                let mut json = serde_json::Deserializer::from_str(text);
                let row = Row { columns: &self.columns, fields, cells };
                row.deserialize(&mut json).and_then(|()| json.end()).map_err(|error| format!("the data does not fit: {error}"))?;
            }
            None => {
                let data: Value = serde_json::from_str(text).map_err(|error| format!("the data is no JSON: {error}"))?;
                for column in &self.columns {
                    cells.push(match data.pointer(&column.path) {
                        Some(value) => One(column).deserialize(value).map_err(|error| error.to_string())?.into_owned(),
                        None => Cell::Null,
                    });
                }
            }
        }
        match self.columns.iter().zip(cells.iter()).find(|(column, cell)| !column.nullable && matches!(cell, Cell::Null)) {
            Some((column, _)) => Err(format!("{} is missing", column.path)),
            None => Ok(()),
        }
    }
}

impl Cell<'_> {
    fn into_owned<'b>(self) -> Cell<'b> {
        match self {
            Cell::Null => Cell::Null,
            Cell::Text(text) => Cell::Text(Cow::Owned(text.into_owned())),
            Cell::Int(value) => Cell::Int(value),
            Cell::Float(value) => Cell::Float(value),
            Cell::Bool(value) => Cell::Bool(value),
        }
    }
}

/// Reads the object that a row is. Of a field that stands there twice the last one counts, as everywhere with JSON.
struct Row<'r, 'c, 't> {
    columns: &'r [&'c Column],
    fields: &'r [&'c str],
    cells: &'r mut Vec<Cell<'t>>,
}

impl<'t> DeserializeSeed<'t> for Row<'_, '_, 't> {
    type Value = ();

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'t> Visitor<'t> for Row<'_, '_, 't> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(field) = map.next_key_seed(FieldName(self.fields))? {
            match field {
                Some(index) => self.cells[index] = map.next_value_seed(One(self.columns[index]))?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Which column a field is.
struct FieldName<'r, 'c>(&'r [&'c str]);

impl<'t> DeserializeSeed<'t> for FieldName<'_, '_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldName<'_, '_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.0.iter().position(|field| *field == name))
    }
}

/// One value, as its column wants it.
struct One<'c>(&'c Column);

impl One<'_> {
    fn wrong<E: de::Error>(&self) -> E {
        E::custom(format_args!("{} is no {:?}", self.0.path, self.0.kind))
    }

    fn text<'t, E: de::Error>(&self, text: Cow<'t, str>) -> Result<Cell<'t>, E> {
        match self.0.kind {
            ColumnKind::Text if self.0.pii => Ok(Cell::Text(Cow::Owned(pii::mask(&text).0.into_owned()))),
            ColumnKind::Text => Ok(Cell::Text(text)),
            ColumnKind::Timestamp => schemas::time::parse_us(&text).map(Cell::Int).map_err(|problem| E::custom(format_args!("{}: {problem}", self.0.path))),
            ColumnKind::Json => Ok(Cell::Text(Cow::Owned(Value::from(text.as_ref()).to_string()))),
            ColumnKind::Int | ColumnKind::Float | ColumnKind::Bool => Err(self.wrong()),
        }
    }
}

impl<'t> DeserializeSeed<'t> for One<'_> {
    type Value = Cell<'t>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Cell<'t>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'t> Visitor<'t> for One<'_> {
    type Value = Cell<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0.kind)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Cell<'t>, E> {
        Ok(Cell::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Cell<'t>, E> {
        match self.0.kind {
            ColumnKind::Bool => Ok(Cell::Bool(value)),
            ColumnKind::Json => Ok(Cell::Text(Cow::Owned(value.to_string()))),
            ColumnKind::Text | ColumnKind::Int | ColumnKind::Float | ColumnKind::Timestamp => Err(self.wrong()),
        }
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Cell<'t>, E> {
        match self.0.kind {
            ColumnKind::Int => Ok(Cell::Int(value)),
            ColumnKind::Float => Ok(Cell::Float(value as f64)),
            ColumnKind::Json => Ok(Cell::Text(Cow::Owned(value.to_string()))),
            ColumnKind::Text | ColumnKind::Bool | ColumnKind::Timestamp => Err(self.wrong()),
        }
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Cell<'t>, E> {
        match (i64::try_from(value), self.0.kind) {
            (Ok(value), _) => self.visit_i64(value),
            (Err(_), ColumnKind::Float) => Ok(Cell::Float(value as f64)),
            (Err(_), ColumnKind::Json) => Ok(Cell::Text(Cow::Owned(value.to_string()))),
            (Err(_), ColumnKind::Text | ColumnKind::Int | ColumnKind::Bool | ColumnKind::Timestamp) => Err(self.wrong()),
        }
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Cell<'t>, E> {
        match self.0.kind {
            ColumnKind::Float => Ok(Cell::Float(value)),
            // 5.0 is a whole number too, up to where floats are exact.
            ColumnKind::Int if value.fract() == 0.0 && value.abs() < 9e15 => Ok(Cell::Int(value as i64)),
            ColumnKind::Json => Ok(Cell::Text(Cow::Owned(Value::from(value).to_string()))),
            ColumnKind::Text | ColumnKind::Int | ColumnKind::Bool | ColumnKind::Timestamp => Err(self.wrong()),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Cell<'t>, E> {
        self.text(Cow::Owned(text.to_owned()))
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'t str) -> Result<Cell<'t>, E> {
        self.text(Cow::Borrowed(text))
    }

    fn visit_seq<A: SeqAccess<'t>>(self, seq: A) -> Result<Cell<'t>, A::Error> {
        match self.0.kind {
            ColumnKind::Json => Ok(Cell::Text(Cow::Owned(Value::deserialize(SeqAccessDeserializer::new(seq))?.to_string()))),
            ColumnKind::Text | ColumnKind::Int | ColumnKind::Float | ColumnKind::Bool | ColumnKind::Timestamp => Err(self.wrong()),
        }
    }

    fn visit_map<A: MapAccess<'t>>(self, map: A) -> Result<Cell<'t>, A::Error> {
        match self.0.kind {
            ColumnKind::Json => Ok(Cell::Text(Cow::Owned(Value::deserialize(MapAccessDeserializer::new(map))?.to_string()))),
            ColumnKind::Text | ColumnKind::Int | ColumnKind::Float | ColumnKind::Bool | ColumnKind::Timestamp => Err(self.wrong()),
        }
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
    let reader = Reader::new(def);
    let mut builders: Vec<Builder> = reader.columns.iter().map(|column| Builder::new(column.kind)).collect();
    let mut rejected = Vec::new();
    let mut good: Vec<usize> = Vec::with_capacity(wanted.len());
    let mut cells = Vec::with_capacity(reader.columns.len());
    for row in wanted {
        let text = bronze.data(*row);
        let problem = match text {
            Some(text) => reader.read(text, &mut cells).err(),
            None => Some("there is no data, or it is no UTF-8".to_owned()),
        };
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

#[cfg(test)]
mod tests {
    use super::*;

    fn def(properties: &str) -> TypeDef {
        let text = format!(r#"{{"type":"io.example.t.v1","version":1,"topic":"raw.t","table":"t","schema":{{"type":"object","required":["i"],"properties":{properties}}}}}"#);
        TypeDef::parse("t.json", &text).unwrap()
    }

    fn shown(def: &TypeDef, data: &str) -> String {
        let mut cells = Vec::new();
        match Reader::new(def).read(data, &mut cells) {
            Err(problem) => problem,
            Ok(()) => cells
                .iter()
                .map(|cell| match cell {
                    Cell::Null => "-".to_owned(),
                    Cell::Text(text) => format!("{text:?}"),
                    Cell::Int(value) => value.to_string(),
                    Cell::Float(value) => format!("{value:?}"),
                    Cell::Bool(value) => value.to_string(),
                })
                .collect::<Vec<_>>()
                .join(" "),
        }
    }

    const FLAT: &str = r#"{"i":{"type":"integer"},"f":{"type":["number","null"]},"b":{"type":"boolean"},"s":{"type":"string"},
                          "t":{"type":"string","format":"date-time"},"j":{"type":"array"}}"#;

    #[test]
    fn a_flat_row_and_a_nested_one_are_read_alike() {
        let (flat, nested) = (def(FLAT), def(&FLAT.replace(r#""i":"#, r#""o":{"type":"object","properties":{"x":{"type":"string"}}},"i":"#)));
        assert!(Reader::new(&flat).flat.is_some() && Reader::new(&nested).flat.is_none());
        for (data, expected) in [
            (r#"{"i":5.0,"f":3,"b":true,"s":"积\n水","t":"1970-01-01T00:00:01Z","j":[1,"a"],"other":{"i":9}}"#, r#"5 3.0 true "积\n水" 1000000 "[1,\"a\"]""#),
            (r#"{"i":1,"f":null}"#, "1 - - - - -"),
        ] {
            // Columns come in the order of the schema file's fields, which JSON sorts.
            let sorted = |shown: String| { let mut parts: Vec<_> = shown.split(' ').filter(|part| *part != "-").map(str::to_owned).collect(); parts.sort(); parts };
            assert_eq!(sorted(shown(&flat, data)), sorted(expected.to_owned()), "{data}");
            assert_eq!(sorted(shown(&nested, data)), sorted(shown(&flat, data)), "{data}");
        }
        for (data, problem) in [
            (r#"{"f":1}"#, "/i is missing"),
            (r#"{"i":"5"}"#, "/i is no Int"),
            (r#"{"i":5.5}"#, "/i is no Int"),
            (r#"{"i":1,"f":"wet"}"#, "/f is no Float"),
            (r#"{"i":1,"t":"yesterday"}"#, "/t: "),
            (r#"{"i":1"#, "EOF"),
            ("[1]", ""),
        ] {
            for def in [&flat, &nested] {
                let said = shown(def, data);
                assert!(said.contains(problem), "{data}: {said}");
            }
        }
    }
}
