//! Whether two results have the same rows, in whatever order: by a digest that does not see the order.

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, SchemaRef};

/// Digits of a float that are compared: sums of floats differ in their last ones with the order of their addends.
const FLOAT_DIGITS: usize = 9;
/// Rows that are kept to be shown.
const SHOWN: usize = 3;

/// The rows of a result, as their number and the sum of their digests.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// How many.
    pub count: u64,
    sum: u128,
    shown: Vec<String>,
}

impl PartialEq for Rows {
    fn eq(&self, other: &Rows) -> bool {
        (self.count, self.sum) == (other.count, other.sum)
    }
}

impl Rows {
    /// Takes rows in: the columns of `schema`, found by name.
    ///
    /// # Errors
    /// When a column is missing.
    pub fn take(&mut self, batch: &RecordBatch, schema: &SchemaRef) -> Result<()> {
        let columns = schema.fields().iter().map(|field| {
            let column = batch.column_by_name(field.name()).with_context(|| format!("the result has no column {}", field.name()))?;
            text_of(column)
        });
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        let mut line = String::new();
        for row in 0..batch.num_rows() {
            line.clear();
            for column in &columns {
                let cells = column.as_string::<i32>();
                line.push_str(if cells.is_null(row) { "null" } else { cells.value(row) });
                line.push('|');
            }
            self.count += 1;
            let digest = blake3::hash(line.as_bytes());
            let half: [u8; 16] = std::array::from_fn(|at| digest.as_bytes()[at]);
            self.sum = self.sum.wrapping_add(u128::from_le_bytes(half));
            if self.shown.len() < SHOWN {
                self.shown.push(line.clone());
            }
        }
        Ok(())
    }

    /// Some rows, to be looked at.
    pub fn shown(&self) -> String {
        self.shown.join("\n    ")
    }
}

/// A column as text that is the same for the same values, whatever type holds them.
fn text_of(column: &ArrayRef) -> Result<ArrayRef> {
    let plain = match column.data_type() {
        DataType::Timestamp(_, _) => {
            let zone = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()));
            cast(&cast(column, &zone)?, &DataType::Int64)?
        }
        DataType::Float32 | DataType::Float64 => {
            let floats = cast(column, &DataType::Float64)?;
            let floats = floats.as_primitive::<Float64Type>();
            let texts = floats.iter().map(|value| value.map(|value| format!("{value:.FLOAT_DIGITS$e}")));
            return Ok(std::sync::Arc::new(texts.collect::<arrow::array::StringArray>()));
        }
        _ => column.clone(),
    };
    Ok(cast(&plain, &DataType::Utf8)?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int32Array, Int64Array};

    use super::*;

    fn rows(batches: &[RecordBatch]) -> Rows {
        let mut rows = Rows::default();
        for batch in batches {
            rows.take(batch, &batches[0].schema()).unwrap();
        }
        rows
    }

    fn batch(keys: ArrayRef, values: Vec<Option<f64>>) -> RecordBatch {
        RecordBatch::try_from_iter([("key", keys), ("value", Arc::new(Float64Array::from(values)) as ArrayRef)]).unwrap()
    }

    #[test]
    fn order_types_and_last_digits_do_not_matter_and_all_else_does() {
        let some = rows(&[batch(Arc::new(Int64Array::from(vec![1, 2, 2])), vec![Some(0.1 + 0.2), None, None])]);
        let turned = [batch(Arc::new(Int32Array::from(vec![2, 2])), vec![None, None]), batch(Arc::new(Int32Array::from(vec![1])), vec![Some(0.3)])];
        assert_eq!(some, rows(&turned));
        assert_ne!(some, rows(&turned[..1]), "a row is missing");
        let once_more = batch(Arc::new(Int64Array::from(vec![1, 1, 2])), vec![Some(0.3), Some(0.3), None]);
        assert_ne!(some, rows(&[once_more]), "another row is there twice");
        let other = batch(Arc::new(Int64Array::from(vec![1, 2, 2])), vec![Some(0.300_000_1), None, None]);
        assert_ne!(some, rows(&[other]), "a value differs");
    }
}
