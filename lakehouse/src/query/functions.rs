//! Functions for the JSON in `data`: `json_get_str`, `json_get_int`, `json_get_float`, `json_get_bool`.
//!
//! The path is a JSON pointer (`/headline/zh`) or a field name. What is not there or of another type is null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use datafusion::prelude::SessionContext;
use serde_json::Value;

pub(super) fn register(context: &SessionContext) {
    register_one(context, "json_get_str", DataType::Utf8, |values| {
        Arc::new(values.map(|value| value.and_then(|value| value.as_str().map(str::to_owned))).collect::<StringArray>())
    });
    register_one(context, "json_get_int", DataType::Int64, |values| Arc::new(values.map(|value| value.and_then(|value| value.as_i64())).collect::<Int64Array>()));
    register_one(context, "json_get_float", DataType::Float64, |values| {
        Arc::new(values.map(|value| value.and_then(|value| value.as_f64())).collect::<Float64Array>())
    });
    register_one(context, "json_get_bool", DataType::Boolean, |values| {
        Arc::new(values.map(|value| value.and_then(|value| value.as_bool())).collect::<BooleanArray>())
    });
}

type Values<'a> = &'a mut dyn Iterator<Item = Option<Value>>;

fn register_one(context: &SessionContext, name: &str, kind: DataType, collect: fn(Values<'_>) -> ArrayRef) {
    let call = move |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let (Some(data), Some(paths)) = (arrays[0].as_any().downcast_ref::<StringArray>(), arrays[1].as_any().downcast_ref::<StringArray>()) else {
            return Err(DataFusionError::Execution("json_get wants text and a path".to_owned()));
        };
        let mut values = (0..data.len()).map(|row| {
            let (true, true) = (data.is_valid(row), paths.is_valid(row)) else { return None };
            get(data.value(row), paths.value(row))
        });
        Ok(ColumnarValue::Array(collect(&mut values)))
    };
    context.register_udf(create_udf(name, vec![DataType::Utf8, DataType::Utf8], kind, Volatility::Immutable, Arc::new(call)));
}

fn get(text: &str, path: &str) -> Option<Value> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    match path.starts_with('/') {
        true => value.pointer_mut(path).map(Value::take),
        false => value.get_mut(path).map(Value::take),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_pointers_are_found() {
        let text = r#"{"a": 1, "headline": {"zh": "内涝"}}"#;
        assert_eq!(get(text, "a"), Some(Value::from(1)));
        assert_eq!(get(text, "/headline/zh"), Some(Value::from("内涝")));
        assert_eq!(get(text, "/headline/fr"), None);
        assert_eq!(get("{", "a"), None);
    }
}
