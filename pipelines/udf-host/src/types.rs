//! SQL types, the Rust types that plugins know, and the way from one to the other and back.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, TimestampMicrosecondArray};
use arrow::compute::{CastOptions, cast_with_options, nullif};
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};

/// A type of the SQL dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SqlType {
    /// Text.
    Text,
    /// 32 bits with sign.
    Int,
    /// 64 bits with sign.
    Bigint,
    /// A 64-bit float.
    Double,
    /// True or false.
    Boolean,
    /// A time: microseconds in UTC here, nanoseconds since 1970 in a plugin.
    Timestamp,
    /// Bytes.
    Binary,
}

/// The Rust type in which a value crosses to a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PassedAs {
    /// `&str`, and `String` as a result.
    Text,
    /// `&[u8]`, and `Vec<u8>` as a result.
    Bytes,
    /// `i32`.
    I32,
    /// `i64`.
    I64,
    /// `u32`.
    U32,
    /// `u64`.
    U64,
    /// `f32`.
    F32,
    /// `f64`.
    F64,
}

impl SqlType {
    /// The Arrow type that DataFusion sees.
    pub fn arrow(self) -> DataType {
        match self {
            SqlType::Text => DataType::Utf8,
            SqlType::Int => DataType::Int32,
            SqlType::Bigint => DataType::Int64,
            SqlType::Double => DataType::Float64,
            SqlType::Boolean => DataType::Boolean,
            SqlType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            SqlType::Binary => DataType::Binary,
        }
    }

    /// The word for it in SQL.
    pub fn word(self) -> &'static str {
        match self {
            SqlType::Text => "TEXT",
            SqlType::Int => "INT",
            SqlType::Bigint => "BIGINT",
            SqlType::Double => "DOUBLE",
            SqlType::Boolean => "BOOLEAN",
            SqlType::Timestamp => "TIMESTAMP",
            SqlType::Binary => "BINARY",
        }
    }

    /// Whether values of this type can cross as `passed_as`.
    pub fn crosses_as(self, passed_as: PassedAs) -> bool {
        match self {
            SqlType::Text => passed_as == PassedAs::Text,
            SqlType::Binary => passed_as == PassedAs::Bytes,
            SqlType::Int | SqlType::Boolean => passed_as == PassedAs::I32,
            SqlType::Bigint => matches!(passed_as, PassedAs::I64 | PassedAs::U32 | PassedAs::U64),
            SqlType::Double => matches!(passed_as, PassedAs::F32 | PassedAs::F64),
            SqlType::Timestamp => passed_as == PassedAs::I64,
        }
    }
}

impl PassedAs {
    /// The Arrow type that a plugin sees.
    pub fn arrow(self) -> DataType {
        match self {
            PassedAs::Text => DataType::Utf8,
            PassedAs::Bytes => DataType::Binary,
            PassedAs::I32 => DataType::Int32,
            PassedAs::I64 => DataType::Int64,
            PassedAs::U32 => DataType::UInt32,
            PassedAs::U64 => DataType::UInt64,
            PassedAs::F32 => DataType::Float32,
            PassedAs::F64 => DataType::Float64,
        }
    }
}

/// Values as a plugin takes them. What does not fit becomes NULL: compare with the values that went in.
pub(crate) fn to_plugin(values: &ArrayRef, passed_as: PassedAs) -> Result<ArrayRef, ArrowError> {
    match values.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let us = values.as_primitive::<TimestampMicrosecondType>();
            let ns: Int64Array = us.unary_opt(|us| us.checked_mul(1_000));
            Ok(std::sync::Arc::new(ns))
        }
        _ => fitted(values, &passed_as.arrow()),
    }
}

/// Values as SQL takes them, from those of a plugin. What does not fit becomes NULL.
pub(crate) fn from_plugin(values: &ArrayRef, kind: SqlType) -> Result<ArrayRef, ArrowError> {
    match kind {
        SqlType::Timestamp => {
            let ns = values.as_primitive_opt::<Int64Type>().ok_or_else(|| ArrowError::CastError("a time is no i64".into()))?;
            let us: TimestampMicrosecondArray = ns.unary(|ns| ns.div_euclid(1_000));
            Ok(std::sync::Arc::new(us.with_timezone("UTC")))
        }
        _ => fitted(values, &kind.arrow()),
    }
}

fn fitted(values: &ArrayRef, kind: &DataType) -> Result<ArrayRef, ArrowError> {
    if values.data_type() == kind {
        return Ok(values.clone());
    }
    cast_with_options(values, kind, &CastOptions { safe: true, ..CastOptions::default() })
}

/// The rows that had a value before a conversion and have none after it.
pub(crate) fn lost(before: &ArrayRef, after: &ArrayRef) -> Vec<usize> {
    if after.null_count() == before.null_count() {
        return Vec::new();
    }
    (0..before.len()).filter(|row| before.is_valid(*row) && after.is_null(*row)).collect()
}

/// Values without those of some rows, which become NULL.
pub(crate) fn without(values: &ArrayRef, rows: impl Iterator<Item = usize>) -> Result<ArrayRef, ArrowError> {
    let mut refused = vec![false; values.len()];
    rows.for_each(|row| refused[row] = true);
    nullif(values, &BooleanArray::from(refused))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn times_cross_in_nanoseconds_and_back() {
        let times = [0, -1, 1_764_000_000_000_001, i64::MAX];
        let values: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times.to_vec()).with_timezone("UTC"));
        let crossed = to_plugin(&values, PassedAs::I64).unwrap();
        assert_eq!(crossed.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(0), Some(-1_000), Some(1_764_000_000_000_001_000), None]);
        assert_eq!(lost(&values, &crossed), [3], "a time in the far future does not fit");
        let back = from_plugin(&crossed, SqlType::Timestamp).unwrap();
        assert_eq!(back.slice(0, 3).as_ref(), values.slice(0, 3).as_ref());
    }

    #[test]
    fn a_number_that_does_not_fit_is_lost_and_known() {
        let values: ArrayRef = Arc::new(Int64Array::from(vec![Some(-1), None, Some(7)]));
        let crossed = to_plugin(&values, PassedAs::U64).unwrap();
        assert_eq!(lost(&values, &crossed), [0]);
    }
}
