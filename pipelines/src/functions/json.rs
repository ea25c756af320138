//! Functions over JSON text.
//!
//! With keys and places, as in `json_get(text, 'a', 0, 'b')`: `json_get` (the value as JSON text; also `->`), `json_as_text`
//! (strings without quotation marks; also `->>`), `json_get_str`, `json_get_int`, `json_get_float`, `json_get_bool` (null when
//! it is something else), `json_contains` and `json_length`.
//!
//! With a JSONPath (RFC 9535), which has to be constant:
//!
//! - `extract_json(text, '$.a[*]')` is the list of all matches as JSON text; none is an empty list.
//! - `extract_json_string(text, '$.a')` is the first match if it is a string, without its quotation marks.
//! - `get_first_json_object(text, '$.a')` is the first match as JSON text.
//!
//! JSON text is written anew there: without space, with the fields of objects in the order of their names. Text that is no
//! JSON gives null.

mod get;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{ScalarValue, plan_datafusion_err, plan_err};
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use serde_json::Value;
use serde_json_path::JsonPath;

/// Makes the functions and the operators known.
pub(crate) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in get::functions() {
        registry.register_udf(Arc::new(function))?;
    }
    registry.register_expr_planner(Arc::new(get::Operators))?;
    for what in [What::All, What::FirstString, What::First] {
        registry.register_udf(Arc::new(ScalarUDF::new_from_impl(Extract::new(what))))?;
    }
    Ok(())
}

/// What is told of the matches of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    All,
    First,
    FirstString,
}

/// `extract_json(text, path)` and its like.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Extract {
    what: What,
    signature: Signature,
}

impl Extract {
    fn new(what: What) -> Extract {
        Extract { what, signature: Signature::exact(vec![DataType::Utf8, DataType::Utf8], Volatility::Immutable) }
    }

    fn path(&self, path: Option<&ScalarValue>) -> Result<JsonPath> {
        let Some(Some(Some(path))) = path.map(ScalarValue::try_as_str) else {
            return plan_err!("the path of {} has to be constant text: write '$.a.b[0]'", self.name());
        };
        JsonPath::parse(path).map_err(|why| plan_datafusion_err!("'{path}' is no path for {}: {why}: write '$.a.b[0]'", self.name()))
    }
}

impl ScalarUDFImpl for Extract {
    fn name(&self) -> &str {
        match self.what {
            What::All => "extract_json",
            What::First => "get_first_json_object",
            What::FirstString => "extract_json_string",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.what {
            What::All => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
            What::First | What::FirstString => DataType::Utf8,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.path(args.scalar_arguments.get(1).copied().flatten())?;
        Ok(Arc::new(Field::new(self.name(), self.return_type(&[])?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let path = match &args.args[1] {
            ColumnarValue::Scalar(path) => self.path(Some(path))?,
            ColumnarValue::Array(_) => self.path(None)?,
        };
        match &args.args[0] {
            ColumnarValue::Array(texts) => Ok(ColumnarValue::Array(self.extract(texts.as_string(), &path))),
            // Once for all rows.
            ColumnarValue::Scalar(text) => {
                let one = self.extract(text.to_array()?.as_string(), &path);
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&one, 0)?))
            }
        }
    }
}

impl Extract {
    fn extract(&self, texts: &StringArray, path: &JsonPath) -> ArrayRef {
        let values = texts.iter().map(|text| serde_json::from_str::<Value>(text?).ok());
        match self.what {
            What::All => {
                let mut lists = ListBuilder::with_capacity(StringBuilder::new(), texts.len());
                values.for_each(|value| lists.append_option(value.map(|value| all(&value, path))));
                Arc::new(lists.finish())
            }
            What::First => {
                let first = values.map(|value| path.query(&value?).first().map(Value::to_string));
                Arc::new(first.collect::<StringArray>())
            }
            What::FirstString => {
                let first = values.map(|value| path.query(&value?).first()?.as_str().map(str::to_owned));
                Arc::new(first.collect::<StringArray>())
            }
        }
    }
}

fn all(value: &Value, path: &JsonPath) -> Vec<Option<String>> {
    path.query(value).iter().map(|found| Some(found.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use datafusion::common::config::ConfigOptions;

    use super::*;

    fn texts() -> Vec<Option<&'static str>> {
        vec![
            Some(r#"{"a": 1, "c": {"d": "hello", "e": [1, "x", null, {"z": 1.50, "b": true}]}, "a b": "滨江"}"#),
            Some(r#"{"c": {"d": "first", "d": "last"}}"#),
            Some(r#"{"c": {"d": "#),
            Some(""),
            None,
        ]
    }

    fn called(what: What, text: ColumnarValue, path: ColumnarValue) -> Result<ColumnarValue> {
        let extract = ScalarUDF::new_from_impl(Extract::new(what));
        let text_field: FieldRef = Arc::new(Field::new("text", DataType::Utf8, true));
        let scalar = match &path {
            ColumnarValue::Scalar(path) => Some(path.clone()),
            ColumnarValue::Array(_) => None,
        };
        let arg_fields = vec![Arc::clone(&text_field), text_field];
        let return_field =
            extract.return_field_from_args(ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &[None, scalar.as_ref()] })?;
        let config_options = Arc::new(ConfigOptions::default());
        extract.invoke_with_args(ScalarFunctionArgs { args: vec![text, path], arg_fields, number_rows: 5, return_field, config_options })
    }

    fn check(what: What, path: &str, expected: [Option<&str>; 5]) {
        let column: ArrayRef = Arc::new(StringArray::from(texts()));
        let path = || ColumnarValue::Scalar(ScalarValue::from(path));
        let told = called(what, ColumnarValue::Array(column), path()).unwrap().into_array(5).unwrap();
        let row = |array: &ArrayRef, row: usize| -> Option<String> {
            let list = |list: ArrayRef| list.as_string::<i32>().iter().map(|item| item.unwrap_or("NULL").to_owned()).collect::<Vec<_>>().join("|");
            match what {
                _ if array.is_null(row) => None,
                What::All => Some(list(array.as_list::<i32>().value(row))),
                What::First | What::FirstString => Some(array.as_string::<i32>().value(row).to_owned()),
            }
        };
        for (at, (text, expected)) in texts().into_iter().zip(expected).enumerate() {
            assert_eq!(row(&told, at).as_deref(), expected, "row {at}");
            let one = called(what, ColumnarValue::Scalar(ScalarValue::Utf8(text.map(str::to_owned))), path()).unwrap();
            assert_eq!(row(&one.into_array(1).unwrap(), 0).as_deref(), expected, "constant {at}");
        }
    }

    #[test]
    fn all_matches_are_told_as_json() {
        check(What::All, "$.c.d", [Some(r#""hello""#), Some(r#""last""#), None, None, None]);
        check(What::All, "$.c.e[*]", [Some(r#"1|"x"|null|{"b":true,"z":1.5}"#), Some(""), None, None, None]);
        check(What::All, "$['c']['e'][1]", [Some(r#""x""#), Some(""), None, None, None]);
        check(What::All, "$['a b']", [Some(r#""滨江""#), Some(""), None, None, None]);
    }

    #[test]
    fn the_first_match_is_told() {
        check(What::FirstString, "$.c.d", [Some("hello"), Some("last"), None, None, None]);
        check(What::FirstString, "$.a", [None; 5]);
        check(What::First, "$.c.d", [Some(r#""hello""#), Some(r#""last""#), None, None, None]);
        check(What::First, "$.c.e[0]", [Some("1"), None, None, None, None]);
        check(What::First, "$.c.e[-1].b", [Some("true"), None, None, None, None]);
    }

    #[test]
    fn a_path_has_to_be_constant_and_right() {
        let text = || ColumnarValue::Scalar(ScalarValue::from("{}"));
        let told = |path| called(What::All, text(), path).unwrap_err().to_string();
        assert!(told(ColumnarValue::Scalar(ScalarValue::from("a.b"))).contains("'a.b' is no path for extract_json"));
        assert!(told(ColumnarValue::Scalar(ScalarValue::Utf8(None))).contains("has to be constant text"));
        assert!(told(ColumnarValue::Array(Arc::new(StringArray::from(vec!["$"; 5])))).contains("has to be constant text"));
    }
}
