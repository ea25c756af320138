//! Cuts a plan in two where its windows are: what each row gives to its window, and what a closed window gives.
//!
//! ```text
//! source -> filter, lookups -> [ group by window and keys ] -> filter, projection, lookups -> sink
//! '------- rows -------------'                            '------- windows -------------------'
//! ```
//!
//! The upper half reads a table of closed windows. Each of its rows carries its number, [`ROW`], up to the output, so
//! that an output row knows the window or, without windows, the record that it came from.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::MemTable;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Projection};

use crate::functions::{WindowStart, width_us};
use crate::sql::fault::Fault;
use crate::sql::refuse::Marks;
use crate::sql::tables::Tables;

/// The number of a row among those that its stage reads.
pub(crate) const ROW: &str = "__row";

/// The table of closed windows.
pub(crate) const WINDOWS: &str = "__windows";

/// A plan in two halves, or in one when it has no windows.
#[derive(Debug, Clone)]
pub(crate) struct Split {
    /// What comes before the windows.
    pub(crate) windows: Option<Windows>,
    /// The rest; it reads [`WINDOWS`], or the stream itself with [`ROW`] as one more column.
    pub(crate) upper: LogicalPlan,
    /// The name of the table that `upper` reads, and its schema.
    pub(crate) feed: (String, SchemaRef),
    /// The sink's columns.
    pub(crate) output: SchemaRef,
}

/// The windowed aggregate.
#[derive(Debug, Clone)]
pub(crate) struct Windows {
    /// What each row gives to its window.
    pub(crate) rows: LogicalPlan,
    /// The width of a window.
    pub(crate) width_us: i64,
    /// The columns of `rows` that hold the start of the window and the keys.
    pub(crate) keys: Vec<Expr>,
    /// The names of the keys as they are written, without the window.
    pub(crate) key_names: Vec<String>,
    /// Which of the grouping expressions is the window.
    pub(crate) window_at: usize,
    /// The aggregates.
    pub(crate) aggregates: Vec<Expr>,
    /// The aggregates as they are written.
    pub(crate) aggregate_names: Vec<String>,
}

pub(crate) fn split(plan: LogicalPlan, tables: &Tables, marks: &Marks) -> Result<Split, Fault> {
    let cutter = Cutter { tables, marks };
    match cutter.scans(&plan) {
        1 => {}
        0 => {
            let fault = Fault::new(marks.query, "the job reads no stream");
            return Err(fault.hint(format!("write FROM {}", tables.source.name)));
        }
        _ => {
            let fault = Fault::new(marks.query, format!("{} is joined with itself, and a stream has no end", tables.source.name));
            return Err(fault.hint("read it once; aggregate it in one job and look the result up in another"));
        }
    }
    let output: Vec<Field> = plan.schema().fields().iter().map(|field| Field::new(field.name(), field.data_type().clone(), true)).collect();
    let mut cut = Cut { windows: None, feed: None };
    let upper = cutter.carry(plan, &mut cut)?;
    let feed = cut.feed.expect("the stream is scanned once, so there is a feed");
    Ok(Split { windows: cut.windows, upper, feed, output: Arc::new(Schema::new(output)) })
}

struct Cut {
    windows: Option<Windows>,
    feed: Option<(String, SchemaRef)>,
}

struct Cutter<'a> {
    tables: &'a Tables,
    marks: &'a Marks,
}

impl Cutter<'_> {
    fn planner(&self, error: DataFusionError) -> Fault {
        Fault::planner(self.marks.query, &error)
    }

    fn is_scan(&self, plan: &LogicalPlan) -> bool {
        matches!(plan, LogicalPlan::TableScan(scan) if scan.table_name.table() == self.tables.source.name)
    }

    /// How often the stream is read, subqueries included.
    fn scans(&self, plan: &LogicalPlan) -> usize {
        let mut count = 0;
        let walked = plan.apply_with_subqueries(|node| {
            count += usize::from(self.is_scan(node));
            Ok(TreeNodeRecursion::Continue)
        });
        walked.map_or(0, |_| count)
    }

    /// Replaces the windowed aggregate, or the scan, by a feed, and carries the feed's row number to the top.
    fn carry(&self, plan: LogicalPlan, cut: &mut Cut) -> Result<LogicalPlan, Fault> {
        if self.scans(&plan) == 0 {
            return Ok(plan);
        }
        match plan {
            LogicalPlan::TableScan(scan) => self.feed_of_stream(scan.table_name, cut),
            LogicalPlan::Aggregate(aggregate) => self.feed_of_windows(aggregate, cut),
            LogicalPlan::Projection(projection) => {
                let input = self.carry(Arc::unwrap_or_clone(projection.input), cut)?;
                let mut columns = projection.expr;
                columns.push(row_of(&input));
                Projection::try_new(columns, Arc::new(input)).map(LogicalPlan::Projection).map_err(|error| self.planner(error))
            }
            LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) => self.rebuild(&plan, cut),
            LogicalPlan::Join(ref join) => {
                let left = self.scans(&join.left) > 0;
                match (join.join_type, left) {
                    (JoinType::Inner, _) | (JoinType::Left, true) | (JoinType::Right, false) => self.rebuild(&plan, cut),
                    (other, _) => Err(Fault::new(self.marks.query, format!("{other} JOIN would give rows that no event stands for"))
                        .hint("write JOIN or, with the stream on the left, LEFT JOIN")),
                }
            }
            LogicalPlan::Window(_) => self.refuse("a window function looks at rows that may not have come yet"),
            LogicalPlan::Distinct(_) => self.refuse("DISTINCT would have to remember the whole stream"),
            LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => self.refuse("ORDER BY and LIMIT need the end of a stream, which has none"),
            other => self.refuse(&format!("{} over a stream is not offered", other.display())),
        }
    }

    fn refuse(&self, message: &str) -> Result<LogicalPlan, Fault> {
        Err(Fault::new(self.marks.query, message).hint("GROUP BY tumble(ts, INTERVAL '1 minute') gives the stream finite pieces"))
    }

    /// The same node over inputs that carry the row number.
    fn rebuild(&self, plan: &LogicalPlan, cut: &mut Cut) -> Result<LogicalPlan, Fault> {
        let expressions = plan.expressions();
        let inputs = plan.inputs().into_iter().map(|input| self.carry(input.clone(), cut)).collect::<Result<Vec<_>, _>>()?;
        plan.with_new_exprs(expressions, inputs).map_err(|error| self.planner(error))
    }

    fn feed_of_stream(&self, name: TableReference, cut: &mut Cut) -> Result<LogicalPlan, Fault> {
        let mut fields: Vec<Field> = self.tables.source.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
        fields.push(Field::new(ROW, DataType::UInt64, true));
        let schema = Arc::new(Schema::new(fields));
        cut.feed = Some((self.tables.source.name.clone(), Arc::clone(&schema)));
        scan(name, &schema).map_err(|error| self.planner(error))
    }

    fn feed_of_windows(&self, aggregate: Aggregate, cut: &mut Cut) -> Result<LogicalPlan, Fault> {
        if aggregate.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_))) {
            return self.refuse("GROUPING SETS, ROLLUP and CUBE over a stream are not offered");
        }
        if contains_aggregate(&aggregate.input, self) {
            let fault = Fault::new(self.marks.query, "an aggregate over a windowed aggregate");
            return Err(fault.hint("write the first one to a topic, and aggregate that in a second job"));
        }
        let (window_at, time, width_us) = self.window(&aggregate)?;
        for expr in &aggregate.aggr_expr {
            self.check_aggregate(expr, &aggregate.input)?;
        }
        let others = || aggregate.group_expr.iter().enumerate().filter(|(index, _)| *index != window_at).map(|(_, key)| key);
        let key_names: Vec<String> = others().map(|key| key.qualified_name().1).collect();
        let aggregate_names = aggregate.aggr_expr.iter().map(|expr| expr.clone().unalias().to_string()).collect();
        let mut computed = Computed::default();
        let start = computed.column(WindowStart::udf(width_us).call(vec![time]));
        let keys = [start].into_iter().chain(others().map(|key| computed.column(key.clone().unalias()))).collect();
        let aggregates = aggregate.aggr_expr.iter().map(|expr| computed.aggregate(expr.clone().unalias())).collect();
        let rows = LogicalPlanBuilder::from(Arc::unwrap_or_clone(Arc::clone(&aggregate.input))).project(computed.0);
        let rows = rows.and_then(LogicalPlanBuilder::build).map_err(|error| self.planner(error))?;
        cut.windows = Some(Windows { rows, width_us, keys, key_names, window_at, aggregates, aggregate_names });
        let names: Vec<(Option<TableReference>, String)> =
            aggregate.schema.iter().map(|(relation, field)| (relation.cloned(), field.name().clone())).collect();
        let columns = aggregate.schema.fields().iter().enumerate();
        let mut fields: Vec<Field> =
            columns.map(|(index, field)| Field::new(format!("c{index}"), field.data_type().clone(), true)).collect();
        fields.push(Field::new(ROW, DataType::UInt64, true));
        let schema = Arc::new(Schema::new(fields));
        cut.feed = Some((WINDOWS.to_owned(), Arc::clone(&schema)));
        let feed = scan(TableReference::bare(WINDOWS), &schema).map_err(|error| self.planner(error))?;
        let named = names.into_iter().enumerate().map(|(index, (relation, name))| {
            Expr::Column(Column::new(Some(WINDOWS), format!("c{index}"))).alias_qualified(relation, name)
        });
        let columns: Vec<Expr> = named.chain([row_of(&feed)]).collect();
        Projection::try_new(columns, Arc::new(feed)).map(LogicalPlan::Projection).map_err(|error| self.planner(error))
    }

    /// The window among the keys: its index, its time column and its width.
    fn window(&self, aggregate: &Aggregate) -> Result<(usize, Expr, i64), Fault> {
        let at = self.marks.group_by.unwrap_or(self.marks.query);
        let call = |key: &Expr| match key.clone().unalias() {
            Expr::ScalarFunction(call) if call.func.name() == "tumble" => Some(call.args),
            _ => None,
        };
        let mut windows = aggregate.group_expr.iter().enumerate().filter_map(|(index, key)| Some((index, call(key)?)));
        let example = "GROUP BY tumble(ts, INTERVAL '1 minute'), ...";
        let Some((index, args)) = windows.next() else {
            let fault = Fault::new(at, "an aggregate without a window would be kept for ever and never be done");
            return Err(fault.hint(format!("write {example}")));
        };
        if windows.next().is_some() {
            return Err(Fault::new(at, "two windows in one GROUP BY").hint("write a job for each width"));
        }
        let Some((event_time, _)) = self.tables.source.watermark else {
            let fault = Fault::new(self.tables.sink.at, format!("a window needs a watermark, and {} has none", self.tables.source.name));
            return Err(fault.hint("write WATERMARK FOR ts AS ts - INTERVAL '30 seconds' among its columns"));
        };
        let event_time = &self.tables.source.columns[event_time].name;
        let place = self.marks.call("tumble", &[]);
        let column = match args.first() {
            Some(Expr::Column(column)) if self.trace(&aggregate.input, column).as_ref() == Some(event_time) => column.clone(),
            Some(other) => {
                let fault = Fault::new(place, format!("tumble over {other}, which is not the column of the watermark"));
                return Err(fault.hint(format!("write tumble({event_time}, INTERVAL '1 minute')")));
            }
            None => return Err(Fault::new(place, "tumble without a time").hint(format!("write {example}"))),
        };
        let width = match args.get(1) {
            Some(Expr::Literal(width, _)) => width_us(width),
            other => Err(format!("{other:?} is not a constant interval")),
        };
        Ok((index, Expr::Column(column), width.map_err(|message| Fault::new(place, message))?))
    }

    /// The column of the stream that a column of a plan is, unchanged.
    fn trace(&self, plan: &LogicalPlan, column: &Column) -> Option<String> {
        let index = plan.schema().index_of_column(column).ok()?;
        let by_index = |input: &LogicalPlan, index: usize| self.trace(input, &input.schema().columns().get(index)?.clone());
        match plan {
            LogicalPlan::TableScan(_) if self.is_scan(plan) => Some(column.name.clone()),
            LogicalPlan::Projection(projection) => match projection.expr.get(index)?.clone().unalias() {
                Expr::Column(below) => self.trace(&projection.input, &below),
                _ => None,
            },
            LogicalPlan::SubqueryAlias(alias) => by_index(&alias.input, index),
            LogicalPlan::Filter(filter) => self.trace(&filter.input, column),
            LogicalPlan::Join(join) => {
                let side = [&join.left, &join.right].into_iter().find(|side| self.scans(side) > 0)?;
                self.trace(side, column)
            }
            _ => None,
        }
    }

    fn check_aggregate(&self, expr: &Expr, input: &LogicalPlan) -> Result<(), Fault> {
        let Expr::AggregateFunction(call) = expr.clone().unalias() else {
            return Err(Fault::new(self.marks.query, format!("{expr} is no aggregate")));
        };
        let name = call.func.name().to_owned();
        let columns: Vec<String> = call.params.args.iter().flat_map(|arg| arg.column_refs()).map(|column| column.name.clone()).collect();
        let at = self.marks.call(&name, &columns);
        const OFFERED: [&str; 10] =
            ["count", "sum", "min", "max", "bool_and", "bool_or", "bit_and", "bit_or", "position_at_max", "position_at_min"];
        if !OFFERED.contains(&name.as_str()) || !call.params.order_by.is_empty() {
            let fault = Fault::new(at, format!("{name} depends on the order of rows, or cannot be kept exactly"));
            return Err(fault.hint(format!("the aggregates are {}", OFFERED.join(", "))));
        }
        if call.params.distinct && !matches!(name.as_str(), "count" | "min" | "max") {
            return Err(Fault::new(at, format!("{name}(DISTINCT ...)")).hint("only count(DISTINCT ...) is offered"));
        }
        let argument = call.params.args.first().map(|arg| arg.get_type(input.schema()));
        if name == "sum"
            && let Some(Ok(data_type)) = argument
            && !(data_type.is_integer() || data_type.is_decimal())
        {
            let fault = Fault::new(at, "a sum of floats depends on the order of adding, so it would differ from run to run");
            return Err(fault.hint("write sum(milli(x)): thousandths as integers"));
        }
        Ok(())
    }
}

fn contains_aggregate(plan: &LogicalPlan, cutter: &Cutter<'_>) -> bool {
    plan.exists(|node| Ok(matches!(node, LogicalPlan::Aggregate(_)) && cutter.scans(node) > 0)).unwrap_or(false)
}

fn row_of(input: &LogicalPlan) -> Expr {
    let (relation, field) = input.schema().iter().find(|(_, field)| field.name() == ROW).expect("each node below carries the row number");
    Expr::Column(Column::new(relation.cloned(), field.name()))
}

fn scan(name: TableReference, schema: &SchemaRef) -> Result<LogicalPlan> {
    let empty = MemTable::try_new(Arc::clone(schema), vec![vec![]])?;
    LogicalPlanBuilder::scan(name, provider_as_source(Arc::new(empty)), None)?.build()
}

/// What keys and aggregates read, computed once for each row, where DataFusion's optimizer can still simplify it.
#[derive(Default)]
struct Computed(Vec<Expr>);

impl Computed {
    /// The column that holds an expression's value.
    fn column(&mut self, expr: Expr) -> Expr {
        let known = self.0.iter().position(|known| known.clone().unalias() == expr);
        let index = known.unwrap_or_else(|| {
            self.0.push(expr.alias(format!("x{}", self.0.len())));
            self.0.len() - 1
        });
        Expr::Column(Column::from_name(format!("x{index}")))
    }

    /// The same aggregate over columns; constants stay where they are.
    fn aggregate(&mut self, expr: Expr) -> Expr {
        let Expr::AggregateFunction(mut call) = expr else { return expr };
        let column = |arg| if matches!(arg, Expr::Literal(_, _)) { arg } else { self.column(arg) };
        call.params.args = call.params.args.into_iter().map(column).collect();
        call.params.filter = call.params.filter.map(|filter| Box::new(self.column(*filter)));
        Expr::AggregateFunction(call)
    }
}
