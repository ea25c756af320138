//! Rows for which a user-defined function fails: they are left out of the stage that calls it, and noted with the reason.
//!
//! A call gets the number of its row as one more argument. The host notes the numbers of rows that fail, and a filter above
//! the calls, put there after all planning, lets only the others through.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AsArray, BooleanArray};
use arrow::datatypes::{DataType, UInt64Type};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use udf_host::Udfs;

/// The rows of an epoch that failed, by their number.
#[derive(Debug, Clone)]
pub(crate) struct Failing {
    udfs: Udfs,
    /// Scalar functions and how many arguments they take.
    functions: Arc<BTreeMap<String, usize>>,
    rows: Arc<Mutex<BTreeMap<u64, String>>>,
}

impl Failing {
    pub(crate) fn new(udfs: &Udfs) -> Failing {
        let scalars: Vec<String> = udfs.scalars().iter().map(|function| function.name().to_owned()).collect();
        let manifests = udfs.manifests().iter().filter(|manifest| scalars.contains(&manifest.name));
        let functions = manifests.map(|manifest| (manifest.name.clone(), manifest.arguments.len())).collect();
        Failing { udfs: udfs.clone(), functions: Arc::new(functions), rows: Arc::default() }
    }

    /// Gives every call of such a function in a plan the number of its row, and says whether there was one.
    pub(crate) fn number_rows(&self, plan: LogicalPlan, row_of: &dyn Fn(&LogicalPlan) -> Option<Expr>) -> Result<(LogicalPlan, bool)> {
        if self.functions.is_empty() {
            return Ok((plan, false));
        }
        let numbered = plan.transform_up(|node| {
            let Some(row) = node.inputs().first().and_then(|input| row_of(input)) else { return Ok(Transformed::no(node)) };
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(expr.transform_up(|expr| Ok(self.number_call(expr, &row)))?.update_data(|expr| name.restore(expr)))
            })
        })?;
        Ok((numbered.data.recompute_schema()?, numbered.transformed))
    }

    /// Whether an expression calls such a function.
    pub(crate) fn is_called_in(&self, expr: &Expr) -> bool {
        let calls = |expr: &Expr| Ok(matches!(expr, Expr::ScalarFunction(call) if self.functions.contains_key(call.func.name())));
        expr.exists(calls).unwrap_or(true)
    }

    fn number_call(&self, expr: Expr, row: &Expr) -> Transformed<Expr> {
        match expr {
            Expr::ScalarFunction(mut call) if self.functions.get(call.func.name()) == Some(&call.args.len()) => {
                call.args.push(row.clone());
                Transformed::yes(Expr::ScalarFunction(call))
            }
            other => Transformed::no(other),
        }
    }

    /// Whether a row has not failed; to be asked after the calls.
    pub(crate) fn kept(&self, row: Expr) -> Expr {
        let signature = Signature::exact(vec![DataType::UInt64], Volatility::Volatile);
        ScalarUDF::new_from_impl(Kept { failing: self.clone(), signature }).call(vec![row])
    }

    /// The rows that failed since the last call, and why.
    pub(crate) fn take(&self) -> BTreeMap<u64, String> {
        self.collect();
        std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn collect(&self) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        for failure in self.udfs.take_failures() {
            if let Some(row) = failure.row {
                rows.entry(row).or_insert_with(|| format!("function {} failed: {}", failure.function, failure.reason));
            }
        }
    }
}

/// `__kept(row)`: what it says changes while the plan below it runs.
#[derive(Debug)]
struct Kept {
    failing: Failing,
    signature: Signature,
}

impl PartialEq for Kept {
    fn eq(&self, other: &Kept) -> bool {
        Arc::ptr_eq(&self.failing.rows, &other.failing.rows)
    }
}

impl Eq for Kept {}

impl Hash for Kept {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.failing.rows).hash(state);
    }
}

impl ScalarUDFImpl for Kept {
    fn name(&self) -> &str {
        "__kept"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.failing.collect();
        let failed = self.failing.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let numbers = args.args[0].to_array(args.number_rows)?;
        let kept: BooleanArray = numbers.as_primitive::<UInt64Type>().iter().map(|row| Some(row.is_none_or(|row| !failed.contains_key(&row)))).collect();
        Ok(ColumnarValue::Array(Arc::new(kept)))
    }
}
