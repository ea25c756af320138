//! SQL types of the dialect and the Arrow types behind them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use datafusion::sql::sqlparser::ast::{ArrayElemTypeDef, DataType as SqlType};
use datafusion::sql::sqlparser::tokenizer::Location;

use crate::chunk::timestamp_type;
use crate::functions::position_type;
use crate::sql::fault::Fault;

/// The type of a column that is read, and whether it holds the JSON text of its field.
pub(crate) fn read(sql: &SqlType, at: Location) -> Result<(DataType, bool), Fault> {
    match sql {
        SqlType::JSON | SqlType::JSONB => Ok((DataType::Utf8, true)),
        other => any(other, at).map(|data_type| (data_type, false)),
    }
}

/// The type of a column that is written: also structs and arrays.
pub(crate) fn any(sql: &SqlType, at: Location) -> Result<DataType, Fault> {
    arrow_type(sql).ok_or_else(|| {
        Fault::new(at, format!("the dialect has no type {sql}"))
            .hint("write TEXT, INT, BIGINT, DOUBLE, BOOLEAN, TIMESTAMP, DATE, JSON, POSITION, STRUCT<...> or one of them with []")
    })
}

fn arrow_type(sql: &SqlType) -> Option<DataType> {
    Some(match sql {
        SqlType::JSON | SqlType::JSONB => DataType::Utf8,
        SqlType::Text | SqlType::Varchar(_) | SqlType::String(_) | SqlType::Char(_) | SqlType::CharacterVarying(_) => DataType::Utf8,
        SqlType::Int(_) | SqlType::Integer(_) | SqlType::Int4(_) | SqlType::SmallInt(_) => DataType::Int32,
        SqlType::BigInt(_) | SqlType::Int8(_) => DataType::Int64,
        SqlType::Double(_) | SqlType::DoublePrecision | SqlType::Float(_) | SqlType::Float8 | SqlType::Real => DataType::Float64,
        SqlType::Boolean | SqlType::Bool => DataType::Boolean,
        SqlType::Timestamp(_, _) | SqlType::Datetime(_) => timestamp_type(),
        SqlType::Date => DataType::Date32,
        SqlType::Custom(name, _) if name.to_string().eq_ignore_ascii_case("position") => position_type(),
        SqlType::Array(ArrayElemTypeDef::SquareBracket(item, _) | ArrayElemTypeDef::AngleBracket(item)) => {
            DataType::List(Arc::new(Field::new_list_field(arrow_type(item)?, true)))
        }
        SqlType::Struct(fields, _) => DataType::Struct(
            fields
                .iter()
                .map(|field| Some(Field::new(field.field_name.as_ref()?.value.clone(), arrow_type(&field.field_type)?, true)))
                .collect::<Option<Fields>>()?,
        ),
        _ => return None,
    })
}

/// The name of a type as one writes it.
pub(crate) fn name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "TEXT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Timestamp(_, _) => "TIMESTAMP".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::List(item) => format!("{}[]", name(item.data_type())),
        position if *position == position_type() => "POSITION".to_owned(),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|field| format!("{} {}", field.name(), name(field.data_type()))).collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        other => other.to_string(),
    }
}

/// The name of a type as Arroyo reads it; it knows no POSITION.
pub(crate) fn arroyo(data_type: &DataType) -> String {
    match data_type {
        DataType::List(item) => format!("{}[]", arroyo(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|field| format!("{} {}", field.name(), arroyo(field.data_type()))).collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        other => name(other),
    }
}

/// The same, when the dialect can write the type at all.
pub(crate) fn written(data_type: &DataType) -> Option<String> {
    let known = |data_type: &DataType| {
        matches!(
            data_type,
            DataType::Utf8 | DataType::Int32 | DataType::Int64 | DataType::Float64 | DataType::Boolean | DataType::Timestamp(_, _) | DataType::Date32
        )
    };
    match data_type {
        DataType::List(item) => written(item.data_type()).map(|item| format!("{item}[]")),
        DataType::Struct(fields) => fields.iter().all(|field| written(field.data_type()).is_some()).then(|| arroyo(data_type)),
        other => known(other).then(|| arroyo(other)),
    }
}
