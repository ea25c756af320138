//! A function with a value for each row, as DataFusion sees it.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, UInt64Type};
use datafusion::common::{ScalarValue, plan_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use crate::error::Failure;
use crate::frame;
use crate::manifest::{Argument, Manifest};
use crate::types::{SqlType, lost, without};
use crate::udfs::Shared;

pub(crate) struct Scalar {
    shared: Arc<Shared>,
    manifest: Manifest,
    identity: String,
    signature: Signature,
}

impl Scalar {
    pub(crate) fn new(shared: Arc<Shared>, manifest: Manifest) -> Self {
        let identity = manifest.identity();
        Self { shared, manifest, identity, signature: Signature::user_defined(Volatility::Immutable) }
    }

    /// Calls the function for every row; the values, and the rows that failed with why.
    fn call(&self, columns: Vec<ArrayRef>) -> Result<(ArrayRef, Vec<(usize, String)>)> {
        let external = |error: crate::UdfError| DataFusionError::External(Box::new(error));
        let (mut fitting, mut unfit) = (Vec::with_capacity(columns.len()), Vec::new());
        for (argument, column) in self.manifest.arguments.iter().zip(&columns) {
            let safe = CastOptions { safe: true, ..CastOptions::default() };
            let fitted = cast_with_options(column, &argument.sql.arrow(), &safe)?;
            let reason = || format!("the value of {} does not fit {}", argument.name, argument.sql.word());
            unfit.extend(lost(column, &fitted).into_iter().map(|row| (row, reason())));
            fitting.push(fitted);
        }
        let called = self.shared.pool.call(&self.manifest, &frame::batch(fitting)?).map_err(external)?;
        let (values, mut failed) = (called.values, called.failed);
        if unfit.is_empty() {
            return Ok((values, failed));
        }
        let values = without(&values, unfit.iter().map(|(row, _)| *row))?;
        failed.extend(unfit);
        failed.sort_by_key(|(row, _)| *row);
        failed.dedup_by_key(|(row, _)| *row);
        Ok((values, failed))
    }
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        &self.manifest.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.manifest.returns.sql.arrow())
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let (arguments, row) = given.split_at(given.len().min(self.manifest.arguments.len()));
        let mut taken = coerce(&self.manifest, arguments)?;
        match row {
            [] => {}
            [DataType::UInt64] => taken.push(DataType::UInt64),
            _ => return wrong_count(&self.manifest, given.len()),
        }
        Ok(taken)
    }

    fn invoke_with_args(&self, call: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let wanted = self.manifest.arguments.len();
        let constant = call.args.iter().take(wanted).all(|it| matches!(it, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { call.number_rows };
        let columns = call.args.iter().take(wanted).map(|it| it.to_array(rows)).collect::<Result<Vec<ArrayRef>>>()?;
        let (values, failed) = self.call(columns)?;
        let numbers = call.args.get(wanted).map(|it| it.to_array(call.number_rows)).transpose()?;
        let numbers = numbers.as_ref().and_then(|it| it.as_primitive_opt::<UInt64Type>());
        let number = |row: usize| numbers.filter(|it| row < it.len() && it.is_valid(row)).map(|it| it.value(row));
        let failure = |row: usize, reason: &str| Failure { function: self.manifest.name.clone(), row: number(row), reason: reason.to_owned() };
        match failed.first() {
            // A constant that fails fails in every row that the engine can name.
            Some((_, reason)) if constant => {
                let rows = 0..numbers.map_or(1, |it| it.len());
                self.shared.keep(rows.map(|row| failure(row, reason)));
            }
            _ => self.shared.keep(failed.iter().map(|(row, reason)| failure(*row, reason))),
        }
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&values, 0)?)),
            false => Ok(ColumnarValue::Array(values)),
        }
    }
}

/// The types in which arguments are taken: what SQL means by the declared ones. Whether a number of another width fits is
/// seen per value.
pub(crate) fn coerce(manifest: &Manifest, given: &[DataType]) -> Result<Vec<DataType>> {
    if given.len() != manifest.arguments.len() {
        return wrong_count(manifest, given.len());
    }
    manifest.arguments.iter().zip(given).map(|(argument, given)| coerced(manifest, argument, given)).collect()
}

fn wrong_count<T>(manifest: &Manifest, given: usize) -> Result<T> {
    plan_err!("{} takes {} arguments, not {given}: {}", manifest.name, manifest.arguments.len(), shown(manifest))
}

fn coerced(manifest: &Manifest, argument: &Argument, given: &DataType) -> Result<DataType> {
    let text = matches!(given, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let bytes = matches!(given, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_));
    let time = matches!(given, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64);
    let fits = match argument.sql {
        SqlType::Text => text,
        SqlType::Binary => bytes || text,
        SqlType::Boolean => *given == DataType::Boolean,
        SqlType::Timestamp => time,
        SqlType::Int | SqlType::Bigint => given.is_integer(),
        SqlType::Double => given.is_numeric(),
    };
    match argument.sql {
        _ if given.is_null() => Ok(argument.sql.arrow()),
        SqlType::Int | SqlType::Bigint if fits && *given != DataType::UInt64 => Ok(wider(argument.sql.arrow(), given)),
        _ if fits => Ok(argument.sql.arrow()),
        _ => plan_err!("{} takes {} as {}, not {given}: {}", manifest.name, argument.sql.word(), argument.name, shown(manifest)),
    }
}

/// A cast to INT by DataFusion would stop the query at a value that does not fit; ours fails the row.
fn wider(wanted: DataType, given: &DataType) -> DataType {
    if matches!(given, DataType::Int64 | DataType::UInt32) { DataType::Int64 } else { wanted }
}

/// A function as it is declared: `geofence(lat DOUBLE, ...)`.
fn shown(manifest: &Manifest) -> String {
    let arguments: Vec<String> = manifest.arguments.iter().map(|it| format!("{} {}", it.name, it.sql.word())).collect();
    format!("{}({}) returns {}", manifest.name, arguments.join(", "), manifest.returns.sql.word())
}

impl std::fmt::Debug for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&shown(&self.manifest))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity && Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity.hash(state);
    }
}
