//! `position_at_max` and `position_at_min` in words that DataFusion has by itself, which is how a job for Arroyo writes them:
//! `first_value(p ORDER BY v DESC, p.topic, p.partition, p.offset) FILTER (WHERE v IS NOT NULL AND p.offset IS NOT NULL)`.
//!
//! It is one value whatever the order in which rows come, so it is read here as well.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause, FunctionArguments, ObjectName, Query, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// A call of ours in DataFusion's words; nothing for another function, or where the position is no plain column.
pub(crate) fn spelled_out(function: &Function) -> Option<Expr> {
    let order = match function.name.to_string().to_lowercase().as_str() {
        "position_at_max" => "DESC",
        "position_at_min" => "ASC",
        _ => return None,
    };
    let [value, position] = plain_args(function)?[..] else { return None };
    let (Expr::Identifier(_) | Expr::CompoundIdentifier(_)) = position else { return None };
    let filter = function.filter.as_ref().map(|filter| format!("({filter}) AND ")).unwrap_or_default();
    let text = format!(
        "first_value({position} ORDER BY {value} {order}, {position}.topic, {position}.partition, {position}.offset)
         FILTER (WHERE {filter}({value}) IS NOT NULL AND {position}.offset IS NOT NULL)"
    );
    Parser::new(&GenericDialect {}).try_with_sql(&text).and_then(|mut parser| parser.parse_expr()).ok()
}

/// Puts our functions back where a query spells them out.
pub(crate) fn read(query: &mut Query) {
    let _: ControlFlow<()> = VisitMut::visit(query, &mut Read);
}

struct Read;

impl VisitorMut for Read {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && let Some(ours) = ours(function)
        {
            *function = ours;
        }
        ControlFlow::Continue(())
    }
}

/// The call of ours that would be spelled out like this.
fn ours(function: &Function) -> Option<Function> {
    if !function.name.to_string().eq_ignore_ascii_case("first_value") {
        return None;
    }
    let FunctionArguments::List(list) = &function.args else { return None };
    let ([FunctionArg::Unnamed(FunctionArgExpr::Expr(position))], [FunctionArgumentClause::OrderBy(order)]) = (&list.args[..], &list.clauses[..]) else {
        return None;
    };
    let value = order.first()?;
    let name = if value.options.asc == Some(false) { "position_at_max" } else { "position_at_min" };
    let arg = |expr: &Expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr.clone()));
    let mut call = function.clone();
    call.name = ObjectName::from(vec![name.into()]);
    if let FunctionArguments::List(list) = &mut call.args {
        list.args = vec![arg(&value.expr), arg(position)];
        list.clauses.clear();
    }
    // With and without a filter of its own.
    let same = |filter: Option<Box<Expr>>| {
        let call = Function { filter, ..call.clone() };
        let spelled = spelled_out(&call)?;
        (spelled.to_string() == function.to_string()).then_some(call)
    };
    same(None).or_else(|| same(own_filter(function.filter.as_deref()?)))
}

/// What a filter asks besides that there is a value and a position: `(own) AND v IS NOT NULL AND p.offset IS NOT NULL`.
fn own_filter(filter: &Expr) -> Option<Box<Expr>> {
    let Expr::BinaryOp { left, .. } = filter else { return None };
    let Expr::BinaryOp { left, .. } = left.as_ref() else { return None };
    match left.as_ref() {
        Expr::Nested(own) => Some(own.clone()),
        _ => None,
    }
}

/// The arguments of a call that has nothing but arguments.
fn plain_args<'a>(function: &'a Function) -> Option<Vec<&'a Expr>> {
    let FunctionArguments::List(list) = &function.args else { return None };
    if !list.clauses.is_empty() || list.duplicate_treatment.is_some() {
        return None;
    }
    let expr = |arg: &'a FunctionArg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    };
    list.args.iter().map(expr).collect()
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;
    use datafusion::arrow::util::pretty::pretty_format_batches;

    use super::*;

    fn function(sql: &str) -> Function {
        match Parser::new(&GenericDialect {}).try_with_sql(sql).and_then(|mut parser| parser.parse_expr()).unwrap() {
            Expr::Function(function) => function,
            other => panic!("{other} is no call"),
        }
    }

    #[test]
    fn what_is_spelled_out_is_read_back() {
        for call in [
            "position_at_max(ts, origin)",
            "position_at_min(milli(r.result), r.origin)",
            "position_at_max(n, p) FILTER (WHERE n > 3 AND s = 'a')",
        ] {
            let spelled = spelled_out(&function(call)).unwrap();
            let Expr::Function(spelled) = spelled else { panic!("{spelled} is no call") };
            assert_eq!(ours(&spelled).map(|call| call.to_string()), Some(call.to_owned()), "{spelled}");
        }
        for call in ["position_at_max(ts, coalesce(a, b))", "max(ts)"] {
            assert!(spelled_out(&function(call)).is_none(), "{call}");
        }
        for call in ["first_value(p)", "first_value(p ORDER BY v DESC)", "first_value(p ORDER BY v DESC, p.topic, p.partition, p.offset)"] {
            assert!(ours(&function(call)).is_none(), "{call}: not the same for every order of rows");
        }
    }

    /// DataFusion, which Arroyo's aggregates come from, understands the words as we mean them.
    #[tokio::test]
    async fn it_is_the_first_position_of_the_extreme_value() {
        let context = SessionContext::new();
        let rows = "VALUES (1, 5, 'b', 0, 9), (1, 5, 'a', 1, 3), (1, 5, 'a', 1, 2), (1, 2, 'a', 0, 0), (1, NULL, 'a', 0, 1), (2, 1, 'z', 0, 1), (2, 1, 'y', 0, NULL), (3, NULL, 'x', 0, 1)";
        let table = format!("SELECT k, v, named_struct('topic', t, 'partition', q, 'offset', o) AS p FROM ({rows}) AS r(k, v, t, q, o)");
        let [high, low] = ["position_at_max(v, p)", "position_at_min(v, p)"].map(|call| spelled_out(&function(call)).unwrap());
        let query = format!("SELECT k, h.topic AS t, h.partition AS q, h.offset AS o, l.offset AS lo FROM (SELECT k, {high} AS h, {low} AS l FROM ({table}) GROUP BY k) ORDER BY k");
        let given = context.sql(&query).await.unwrap().collect().await.unwrap();
        let expected = "\
+---+---+---+---+----+
| k | t | q | o | lo |
+---+---+---+---+----+
| 1 | a | 1 | 2 | 0  |
| 2 | z | 0 | 1 | 1  |
| 3 |   |   |   |    |
+---+---+---+---+----+";
        assert_eq!(pretty_format_batches(&given).unwrap().to_string(), expected);
    }
}
