//! Functions that follow keys and places into a JSON value: `json_get(text, 'a', 0, 'b')` and its like, and the operators
//! `->` and `->>`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DFSchema, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::sql::sqlparser::ast::BinaryOperator;
use serde_json::Value;

/// What is told of the value that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Tell {
    /// Its JSON text.
    Json,
    /// The same, strings without quotation marks.
    Text,
    /// It, if it is a string.
    String,
    Int,
    Float,
    Bool,
    /// Whether it is there, `null` too.
    IsThere,
    /// How many items or fields it has.
    Length,
}

const ALL: [(&str, Tell); 9] = [
    ("json_get", Tell::Json),
    ("json_get_json", Tell::Json),
    ("json_as_text", Tell::Text),
    ("json_get_str", Tell::String),
    ("json_get_int", Tell::Int),
    ("json_get_float", Tell::Float),
    ("json_get_bool", Tell::Bool),
    ("json_contains", Tell::IsThere),
    ("json_length", Tell::Length),
];

/// The functions.
pub(super) fn functions() -> Vec<ScalarUDF> {
    ALL.iter().map(|(name, tell)| ScalarUDF::new_from_impl(Get::new(name, *tell))).collect()
}

/// `json_get(text, key or place, ...)`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Get {
    name: &'static str,
    tell: Tell,
    signature: Signature,
}

impl Get {
    fn new(name: &'static str, tell: Tell) -> Get {
        Get { name, tell, signature: Signature::variadic_any(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Get {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let text = |data_type: &DataType| data_type.is_string() || data_type.is_null();
        match arguments {
            [json, path @ ..] if text(json) && path.iter().all(|step| text(step) || step.is_integer()) => Ok(match self.tell {
                Tell::Json | Tell::Text | Tell::String => DataType::Utf8,
                Tell::Int | Tell::Length => DataType::Int64,
                Tell::Float => DataType::Float64,
                Tell::Bool | Tell::IsThere => DataType::Boolean,
            }),
            _ => plan_err!("{} takes JSON text, then keys (text) and places (whole numbers)", self.name),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = args.args.iter().map(|arg| arg.to_array(args.number_rows)).collect::<Result<Vec<_>>>()?;
        let texts = cast(&arrays[0], &DataType::Utf8)?;
        let path = arrays[1..].iter().map(Step::of).collect::<Result<Vec<_>>>()?;
        let found: Vec<Option<Value>> = (0..args.number_rows).map(|row| find(texts.as_string(), &path, row)).collect();
        Ok(ColumnarValue::Array(self.told(found.into_iter())))
    }
}

impl Get {
    fn told(&self, found: impl Iterator<Item = Option<Value>>) -> ArrayRef {
        let there = found.map(|value| value.filter(|value| !value.is_null() || self.tell == Tell::IsThere));
        match self.tell {
            Tell::Json => Arc::new(there.map(|value| Some(value?.to_string())).collect::<StringArray>()),
            Tell::Text => Arc::new(there.map(|value| Some(value?).map(as_text)).collect::<StringArray>()),
            Tell::String => Arc::new(there.map(|value| value?.as_str().map(str::to_owned)).collect::<StringArray>()),
            Tell::Int => Arc::new(there.map(|value| value?.as_i64()).collect::<Int64Array>()),
            Tell::Float => Arc::new(there.map(|value| value?.as_f64()).collect::<Float64Array>()),
            Tell::Bool => Arc::new(there.map(|value| value?.as_bool()).collect::<BooleanArray>()),
            Tell::IsThere => Arc::new(there.map(|value| Some(value.is_some())).collect::<BooleanArray>()),
            Tell::Length => Arc::new(there.map(|value| length(&value?)).collect::<Int64Array>()),
        }
    }
}

fn as_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn length(value: &Value) -> Option<i64> {
    match value {
        Value::Array(items) => i64::try_from(items.len()).ok(),
        Value::Object(fields) => i64::try_from(fields.len()).ok(),
        _ => None,
    }
}

/// One step of a path: keys or places, one for each row.
enum Step {
    Keys(ArrayRef),
    Places(ArrayRef),
}

impl Step {
    fn of(array: &ArrayRef) -> Result<Step> {
        Ok(match array.data_type().is_integer() {
            true => Step::Places(cast(array, &DataType::Int64)?),
            false => Step::Keys(cast(array, &DataType::Utf8)?),
        })
    }
}

/// The value at the end of a path; nothing when the text is no JSON or the path leads nowhere.
fn find(texts: &StringArray, path: &[Step], row: usize) -> Option<Value> {
    if texts.is_null(row) {
        return None;
    }
    let mut value: Value = serde_json::from_str(texts.value(row)).ok()?;
    for step in path {
        value = match step {
            Step::Keys(keys) if keys.is_valid(row) => value.get_mut(keys.as_string::<i32>().value(row))?.take(),
            Step::Places(places) if places.is_valid(row) => {
                value.get_mut(usize::try_from(places.as_primitive::<Int64Type>().value(row)).ok()?)?.take()
            }
            Step::Keys(_) | Step::Places(_) => return None,
        };
    }
    Some(value)
}

/// `a -> 'b'` and `a ->> 'b'`.
#[derive(Debug)]
pub(super) struct Operators;

impl ExprPlanner for Operators {
    fn plan_binary_op(&self, expr: RawBinaryExpr, _schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let (name, tell) = match expr.op {
            BinaryOperator::Arrow => ("json_get", Tell::Json),
            BinaryOperator::LongArrow => ("json_as_text", Tell::Text),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let call = ScalarUDF::new_from_impl(Get::new(name, tell)).call(vec![expr.left, expr.right]);
        Ok(PlannerResult::Planned(call))
    }
}
