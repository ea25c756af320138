//! Makes a query total: a division by zero and a cast that fails give null, so that no row can stop a job.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::functions::core::expr_fn::nullif;
use datafusion::logical_expr::expr::{Cast, TryCast};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator};

/// Rewrites each expression of an analyzed plan; names stay as they were.
pub(crate) fn total(plan: LogicalPlan) -> Result<LogicalPlan> {
    let done = plan.transform_up(|node| {
        let names = NamePreserver::new(&node);
        let schema = merge_schema(&node.inputs());
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(|expr| total_expr(expr, &schema))?.update_data(|expr| name.restore(expr)))
        })
    })?;
    done.data.recompute_schema()
}

/// Rewrites one expression over the columns of a schema.
pub(crate) fn total_of(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    expr.transform_up(|expr| total_expr(expr, schema)).map(|rewritten| rewritten.data)
}

fn total_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Divide | Operator::Modulo), right }) => match right.as_ref() {
            Expr::Literal(value, _) if !is_zero(value) => Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
            divisor => {
                let zero = Expr::Literal(ScalarValue::new_zero(&divisor.get_type(schema)?)?, None);
                let right = Box::new(nullif(*right, zero));
                Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right })))
            }
        },
        Expr::Cast(Cast { expr, field }) => Ok(Transformed::yes(Expr::TryCast(TryCast { expr, field }))),
        other => Ok(Transformed::no(other)),
    }
}

fn is_zero(value: &ScalarValue) -> bool {
    value.is_null() || ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero == *value)
}
