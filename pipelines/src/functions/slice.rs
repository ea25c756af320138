//! Which slice of a job a row belongs to, by its keys.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

/// `__slice(keys...)`: a number below the count of slices. It follows from what the keys say as text, so that it is the
/// same in every process and in every version: state is kept by it.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slice {
    signature: Signature,
    of: u32,
}

impl Slice {
    pub(crate) fn udf(of: u32) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(Slice { signature: Signature::variadic_any(Volatility::Immutable), of: of.max(1) }))
    }
}

impl ScalarUDFImpl for Slice {
    fn name(&self) -> &str {
        "__slice"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::UInt32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let text = |value: &ColumnarValue| -> Result<ArrayRef> { Ok(cast(&value.to_array(args.number_rows)?, &DataType::Utf8)?) };
        let keys = args.args.iter().map(text).collect::<Result<Vec<_>>>()?;
        let mut bytes = Vec::with_capacity(64);
        let slices: UInt32Array = (0..args.number_rows).map(|row| Some(slice_of(&keys, row, self.of, &mut bytes))).collect();
        Ok(ColumnarValue::Array(Arc::new(slices)))
    }
}

fn slice_of(keys: &[ArrayRef], row: usize, of: u32, bytes: &mut Vec<u8>) -> u32 {
    bytes.clear();
    for key in keys.iter().map(|key| key.as_string::<i32>()) {
        // A length before each, so that keys cannot run into one another; none for a key that is null.
        let value = if key.is_valid(row) { Some(key.value(row)) } else { None };
        bytes.extend_from_slice(&value.map_or(u32::MAX, |value| value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(value.unwrap_or_default().as_bytes());
    }
    let hash = blake3::hash(bytes);
    let head = hash.as_bytes().first_chunk::<8>().expect("a hash has 32 bytes");
    (u64::from_le_bytes(*head) % u64::from(of)) as u32
}

#[cfg(test)]
mod tests {
    use arrow::array::StringArray;

    use super::*;

    fn slices(keys: &[ArrayRef], of: u32) -> Vec<u32> {
        (0..keys[0].len()).map(|row| slice_of(keys, row, of, &mut Vec::new())).collect()
    }

    #[test]
    fn slices_stay_what_they_are() {
        let keys: ArrayRef = Arc::new(StringArray::from(vec![Some("gauge-1"), Some("gauge-2"), Some(""), None]));
        // State is kept by these numbers: another rule would need another name for the state.
        assert_eq!(slices(&[keys.clone()], 1000), [139, 25, 268, 373]);
        assert_eq!(slices(&[keys], 1), [0, 0, 0, 0]);
    }

    #[test]
    fn keys_do_not_run_into_one_another() {
        let text = |values: [&str; 2]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
        let pairs = slices(&[text(["ab", "a"]), text(["c", "bc"])], u32::MAX);
        assert_ne!(pairs[0], pairs[1]);
    }
}
