//! From a checked query to one analyzed DataFusion plan.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion::catalog::MemTable;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::ViewTable;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility, try_cast};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::prelude::SessionConfig;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Query, Statement as SqlStatement};
use futures::FutureExt;
use udf_host::Udfs;

use crate::functions;
use crate::sql::cut;
use crate::sql::fault::Fault;
use crate::sql::flow::Flow;
use crate::sql::refuse::Marks;
use crate::sql::rewrite;
use crate::sql::script::Script;
use crate::sql::tables::{Generated, Source, Tables};
use crate::sql::types;

/// A session with the dialect's functions. Results do not depend on `lanes` or `batch_rows`; speed does.
pub(crate) fn session(lanes: usize, batch_rows: usize, udfs: &Udfs) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(lanes.max(1)).with_batch_size(batch_rows.max(1));
    let options = config.options_mut();
    options.sql_parser.collect_spans = true;
    options.sql_parser.map_string_types_to_utf8view = false;
    let session = SessionContext::new_with_config(config);
    // They leave plans behind that cannot be filled with other rows.
    for rule in ["extract_leaf_expressions", "push_down_leaf_projections"] {
        session.remove_optimizer_rule(rule);
    }
    functions::register(&session);
    udfs.scalars().into_iter().for_each(|function| session.register_udf(function.as_ref().clone()));
    udfs.aggregates().into_iter().for_each(|function| session.register_udaf(function.as_ref().clone()));
    session
}

/// Plans the query of a job and cuts it where it needs state.
pub(crate) fn plan(script: &Script, tables: &Tables, lookups: &[RecordBatch], marks: &Marks, session: &SessionContext, udfs: &Udfs) -> Result<Flow, Fault> {
    let faulty = |error: DataFusionError| Fault::planner(marks.query, &error);
    register(tables, lookups, session).map_err(faulty)?;
    for view in &script.views {
        let planned = to_plan(&view.query, session).map_err(|error| Fault::planner(view.at, &error))?;
        session.register_table(bare(&view.name), Arc::new(ViewTable::new(planned, None))).map_err(faulty)?;
    }
    let planned = to_plan(&script.insert.query, session).map_err(faulty)?;
    check_volatility(&planned, marks)?;
    let state = session.state();
    let analyzed = state.analyzer().execute_and_check(planned, state.config_options(), |_, _| {}).map_err(faulty)?;
    let plan = rewrite::total(analyzed).map_err(faulty)?;
    let plan = to_sink(plan, tables, marks)?;
    cut::cut(plan, tables, marks, udfs)
}

fn to_plan(query: &Query, session: &SessionContext) -> DfResult<LogicalPlan> {
    let statement = Statement::Statement(Box::new(SqlStatement::Query(Box::new(query.clone()))));
    session.state().statement_to_plan(statement).now_or_never().expect("tables in memory are found without waiting")
}

/// What a column that is `GENERATED ALWAYS AS` computes, over the columns that are read.
pub(crate) fn generated(source: &Source, session: &SessionContext) -> Result<Vec<Arc<dyn PhysicalExpr>>, Fault> {
    let schema = DFSchema::try_from(source.read_schema()).map_err(|error| Fault::nowhere(error.to_string()))?;
    let compute = |column: &Generated| {
        let faulty = |error: DataFusionError| Fault::planner(column.at, &error);
        let expr = session.parse_sql_expr(&column.expr.to_string(), &schema).map_err(faulty)?;
        let expr = rewrite::total_of(try_cast(expr, column.data_type.clone()), &schema).map_err(faulty)?;
        session.create_physical_expr(expr, &schema).map_err(faulty)
    };
    source.generated.iter().map(compute).collect()
}

fn register(tables: &Tables, lookups: &[RecordBatch], session: &SessionContext) -> DfResult<()> {
    for source in &tables.sources {
        let stream = MemTable::try_new(Arc::new(Schema::new(source.fields())), vec![vec![]])?;
        session.register_table(bare(&source.name), Arc::new(stream))?;
    }
    for (table, rows) in tables.lookups.iter().zip(lookups) {
        let lookup = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]])?;
        session.register_table(bare(&table.name), Arc::new(lookup))?;
    }
    Ok(())
}

fn bare(name: &str) -> datafusion::common::TableReference {
    datafusion::common::TableReference::bare(name)
}

/// Lists such as `REFUSED` know names; this knows what the functions say of themselves.
fn check_volatility(plan: &LogicalPlan, marks: &Marks) -> Result<(), Fault> {
    let mut found = None;
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(call) = expr
                    && call.func.signature().volatility != Volatility::Immutable
                {
                    found.get_or_insert(call.func.name().to_owned());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    walked.map_err(|error| Fault::planner(marks.query, &error))?;
    match found {
        None => Ok(()),
        Some(name) => {
            let fault = Fault::new(marks.call(&name, &[]), format!("{name}() differs from run to run, so the result could not be recomputed"));
            Err(fault.hint("use what the events themselves say"))
        }
    }
}

/// Casts the columns of the SELECT to those that the sink declares.
fn to_sink(plan: LogicalPlan, tables: &Tables, marks: &Marks) -> Result<LogicalPlan, Fault> {
    let declared = &tables.sink.columns;
    let given = plan.schema().columns();
    if !declared.is_empty() && declared.len() != given.len() {
        let fault = Fault::new(marks.query, format!("the SELECT gives {} columns, the sink has {}", given.len(), declared.len()));
        return Err(fault.hint(format!("the sink's columns are {}", names(declared.iter().map(|column| column.0.as_str())))));
    }
    let mut columns = Vec::with_capacity(given.len());
    for (index, column) in given.iter().enumerate() {
        let data_type = plan.schema().field(index).data_type();
        let (name, wanted) = match declared.get(index) {
            Some((name, wanted)) => (name.clone(), wanted.clone()),
            None => (column.name.clone(), plain_text(data_type)),
        };
        if column.name != name {
            let fault = Fault::new(marks.query, format!("column {} of the SELECT is {}, the sink's is {name}", index + 1, column.name));
            return Err(fault.hint(format!("write ... AS {name}, or put the columns into the sink's order")));
        }
        if !fits(data_type, &wanted) {
            let message = format!("column {name} is {}, the sink's is {}", types::name(data_type), types::name(&wanted));
            return Err(Fault::new(marks.query, message).hint("declare the sink's column with that type, or convert it in the SELECT"));
        }
        let expr = Expr::Column(column.clone());
        columns.push(match *data_type == wanted {
            true => expr.alias(name),
            false => try_cast(expr, wanted).alias(name),
        });
    }
    for (name, at) in &tables.sink.named {
        if !given.iter().any(|column| column.name == *name) {
            let fault = Fault::new(*at, format!("the sink has no column {name}"));
            return Err(fault.hint(format!("its columns are {}", names(given.iter().map(|column| column.name.as_str())))));
        }
    }
    let projected = datafusion::logical_expr::LogicalPlanBuilder::from(plan).project(columns);
    projected.and_then(|builder| builder.build()).map_err(|error| Fault::planner(marks.query, &error))
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// Views of text are for computing; what leaves is plain text.
fn plain_text(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        other => other.clone(),
    }
}

/// Whether values of one type can be written to a column of another without changing what they say.
fn fits(given: &DataType, wanted: &DataType) -> bool {
    let integer = |data_type: &DataType| data_type.is_integer();
    given == wanted
        || *given == DataType::Null
        || (integer(given) && (integer(wanted) || *wanted == DataType::Float64))
        || (given.is_floating() && *wanted == DataType::Float64)
        || (given.is_string() && wanted.is_string())
        || matches!((given, wanted), (DataType::Timestamp(_, _), DataType::Timestamp(_, _)))
        || match (given, wanted) {
            (DataType::List(given), DataType::List(wanted)) => fits(given.data_type(), wanted.data_type()),
            (DataType::Struct(given), DataType::Struct(wanted)) => {
                given.len() == wanted.len()
                    && given.iter().zip(wanted).all(|(given, wanted)| given.name() == wanted.name() && fits(given.data_type(), wanted.data_type()))
            }
            _ => false,
        }
}
