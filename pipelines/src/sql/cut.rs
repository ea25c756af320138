//! Cuts a plan where it needs state: at windowed aggregates, at rows that wait for their window, and at joins of streams.
//!
//! Walking up from the sources, each part of the plan is known to be *still* (files only), *rows* (a stream, row by row) or
//! *windowed* (all rows of a window come at once). What needs the whole of something is allowed over windows, when it looks
//! at one window at a time, and refused over rows. Two hidden columns, the number of each row in its feed and its time, are
//! carried up to the sink, so that an output row knows the window or the record that it came from.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::MemTable;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, TableReference};
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result as DfResult};
use datafusion::functions::core::expr_fn::{coalesce, get_field};
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, ExprSchemable, Filter, Join, LogicalPlan, LogicalPlanBuilder, Operator, Projection, SubqueryAlias,
    Union, Unnest, Window as WindowNode,
};
use datafusion::sql::sqlparser::tokenizer::Location;
use udf_host::Udfs;

use crate::chunk::timestamp_type;
use crate::functions::{WindowStart, window_type};
use crate::sql::bounds;
use crate::sql::failing::Failing;
use crate::sql::fault::Fault;
use crate::sql::flow::{Collect, Feed, Flow, From, IntervalJoin, Stage, Step, StepKind, Window, Windows};
use crate::sql::origin::{Origin, Origins, Part};
use crate::sql::refuse::Marks;
use crate::sql::tables::Tables;
use crate::sql::window_call::{self, WindowCall};

/// Begins the names of all hidden columns.
const HIDDEN: &str = "__";

type Cut<T> = Result<T, Fault>;

/// Cuts an analyzed plan whose columns are the sink's.
pub(crate) fn cut(plan: LogicalPlan, tables: &Tables, marks: &Marks, udfs: &Udfs) -> Cut<Flow> {
    let output: Vec<Field> = plan.schema().fields().iter().map(|field| Field::new(field.name(), field.data_type().clone(), true)).collect();
    let failing = Failing::new(udfs);
    let mut cutter = Cutter { tables, marks, failing: failing.clone(), feeds: source_feeds(tables), steps: Vec::new(), names: 0 };
    let part = cutter.carry(plan)?;
    let Some(hidden) = part.hidden().cloned() else {
        let fault = Fault::new(marks.query, "the job reads no stream");
        return Err(fault.hint(format!("write FROM {}", tables.sources[0].name)));
    };
    let windowed = !matches!(part.nature, Nature::Rows(_));
    let last = cutter.stage(part.plan, &hidden)?;
    Ok(Flow { feeds: cutter.feeds, steps: cutter.steps, last, windowed, output: Arc::new(Schema::new(output)), failing })
}

fn source_feeds(tables: &Tables) -> Vec<Feed> {
    let feed = |(index, source): (usize, &crate::sql::tables::Source)| {
        let mut fields = source.fields();
        fields.extend(hidden_fields(index));
        Feed { name: source.name.clone(), schema: Arc::new(Schema::new(fields)), from: From::Source(index), window: None, window_at: None }
    };
    tables.sources.iter().enumerate().map(feed).collect()
}

/// Part of a plan, and what it is.
struct Partial {
    plan: LogicalPlan,
    nature: Nature,
}

enum Nature {
    /// Reads no stream.
    Still,
    /// A stream, row by row.
    Rows(Hidden),
    /// All rows of a window in one epoch.
    Windowed(Hidden, Window),
    /// Windows of several kinds, which only filters and projections may follow.
    Mixed(Hidden),
}

/// The names of the hidden columns.
#[derive(Debug, Clone)]
struct Hidden {
    row: String,
    time: String,
}

impl Hidden {
    fn of_feed(index: usize) -> Hidden {
        Hidden { row: format!("{HIDDEN}row{index}"), time: format!("{HIDDEN}time{index}") }
    }

    fn columns(&self, plan: &LogicalPlan) -> [Expr; 2] {
        [&self.row, &self.time].map(|name| {
            let found = plan.schema().iter().find(|(_, field)| field.name() == name);
            let (relation, field) = found.expect("each node of a stream carries the hidden columns");
            Expr::Column(Column::new(relation.cloned(), field.name()))
        })
    }
}

fn hidden_fields(feed: usize) -> [Field; 2] {
    let hidden = Hidden::of_feed(feed);
    [Field::new(hidden.row, DataType::UInt64, true), Field::new(hidden.time, timestamp_type(), true)]
}

impl Partial {
    fn hidden(&self) -> Option<&Hidden> {
        match &self.nature {
            Nature::Still => None,
            Nature::Rows(hidden) | Nature::Windowed(hidden, _) | Nature::Mixed(hidden) => Some(hidden),
        }
    }

    /// The columns that the query knows of.
    fn visible(&self) -> Vec<Expr> {
        visible(&self.plan)
    }
}

fn visible(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().columns().into_iter().filter(|column| !column.name.starts_with(HIDDEN)).map(Expr::Column).collect()
}

struct Cutter<'a> {
    tables: &'a Tables,
    marks: &'a Marks,
    failing: Failing,
    feeds: Vec<Feed>,
    steps: Vec<Step>,
    /// Hidden names that were made.
    names: usize,
}

impl Cutter<'_> {
    fn planner(&self, error: DataFusionError) -> Fault {
        Fault::planner(self.marks.query, &error)
    }

    fn planned(&self, plan: DfResult<LogicalPlan>) -> Cut<LogicalPlan> {
        plan.map_err(|error| self.planner(error))
    }

    fn fault(&self, message: impl Into<String>, hint: &str) -> Fault {
        Fault::new(self.marks.query, message).hint(hint)
    }

    /// Where the first GROUP BY is, or the query when there is none.
    fn group_by(&self) -> Location {
        self.marks.group_by.unwrap_or(self.marks.query)
    }

    fn origin(&self, plan: &LogicalPlan, expr: &Expr) -> Option<Origin> {
        Origins { tables: self.tables, feeds: &self.feeds }.of(plan, expr)
    }

    fn fresh(&mut self) -> Hidden {
        self.names += 1;
        Hidden { row: format!("{HIDDEN}row_{}", self.names), time: format!("{HIDDEN}time_{}", self.names) }
    }

    /// A stage: the columns of a plan, then the hidden ones.
    fn stage(&self, plan: LogicalPlan, hidden: &Hidden) -> Cut<Stage> {
        let columns: Vec<Expr> = visible(&plan).into_iter().chain(hidden.columns(&plan)).collect();
        self.stage_of(plan, columns, hidden)
    }

    /// A stage with these columns. Where it calls functions of others, rows for which one of them fails are left out.
    fn stage_of(&self, plan: LogicalPlan, columns: Vec<Expr>, hidden: &Hidden) -> Cut<Stage> {
        let plan = LogicalPlanBuilder::from(plan).project(columns).and_then(LogicalPlanBuilder::build);
        let (plan, calls) = plan.and_then(|plan| self.failing.number_rows(plan, &|plan| row_column(plan))).map_err(|error| self.planner(error))?;
        let [row, _] = hidden.columns(&plan);
        Ok(Stage { kept: calls.then(|| self.failing.kept(row)), plan })
    }

    fn carry(&mut self, plan: LogicalPlan) -> Cut<Partial> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(LogicalPlan::TableScan(scan)),
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => self.filter(filter),
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.carry(Arc::unwrap_or_clone(alias.input))?;
                let plan = SubqueryAlias::try_new(Arc::new(input.plan), alias.alias).map(LogicalPlan::SubqueryAlias);
                Ok(Partial { plan: self.planned(plan)?, nature: input.nature })
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Join(join) => self.join(join, None),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Distinct(Distinct::All(input)) => self.distinct(Arc::unwrap_or_clone(input)),
            LogicalPlan::Window(window) => self.over(window),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            other if !self.reads_stream(&other) => Ok(Partial { plan: other, nature: Nature::Still }),
            LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => Err(self.fault(
                "ORDER BY and LIMIT need the end of a stream, which has none",
                "for the first rows of each window write ROW_NUMBER() OVER (PARTITION BY window ORDER BY ...) and a filter on it",
            )),
            other => Err(self.fault(
                format!("{} over a stream is not offered", other.display()),
                "GROUP BY tumble(INTERVAL '1 minute') gives the stream finite pieces",
            )),
        }
    }

    fn reads_stream(&self, plan: &LogicalPlan) -> bool {
        let mut found = false;
        let walked = plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                found |= self.tables.sources.iter().any(|source| source.name == scan.table_name.table());
            }
            Ok(TreeNodeRecursion::Continue)
        });
        found && walked.is_ok()
    }

    fn scan(&mut self, plan: LogicalPlan) -> Cut<Partial> {
        let LogicalPlan::TableScan(scan) = &plan else { unreachable!("the caller matched a scan") };
        let Some(index) = self.feeds.iter().position(|feed| feed.name == scan.table_name.table()) else {
            return Ok(Partial { plan, nature: Nature::Still });
        };
        let plan = self.planned(feed_scan(scan.table_name.clone(), &self.feeds[index].schema))?;
        Ok(Partial { plan, nature: Nature::Rows(Hidden::of_feed(index)) })
    }

    fn projection(&mut self, projection: Projection) -> Cut<Partial> {
        let mut input = self.carry(Arc::unwrap_or_clone(projection.input))?;
        let mut columns = projection.expr;
        if let Some(call) = self.window_in(&columns)? {
            if let Nature::Rows(_) = &input.nature {
                input = self.collect(input, &call)?;
            }
            let Some(whole) = window_column(&input.plan) else {
                let fault = Fault::new(call.at, "a window of rows that have windows already");
                return Err(fault.hint("use the window column of the inner query, or GROUP BY the longer window"));
            };
            columns = columns.into_iter().map(|expr| replace_call(expr, &whole)).collect::<DfResult<_>>().map_err(|error| self.planner(error))?;
        }
        if let Some(hidden) = input.hidden() {
            columns.extend(hidden.columns(&input.plan));
        }
        let plan = Projection::try_new(columns, Arc::new(input.plan)).map(LogicalPlan::Projection);
        Ok(Partial { plan: self.planned(plan)?, nature: input.nature })
    }

    /// The window function that is called in some expressions, if there is one.
    fn window_in(&self, columns: &[Expr]) -> Cut<Option<WindowCall>> {
        let mut found = None;
        for column in columns {
            let walked = column.apply(|expr| {
                if let Expr::ScalarFunction(call) = expr
                    && window_call::NAMES.contains(&call.func.name())
                {
                    found.get_or_insert(expr.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            });
            walked.map_err(|error| self.planner(error))?;
        }
        found.map(|expr| window_call::parse(&expr, self.marks)).transpose().map(Option::flatten)
    }

    fn filter(&mut self, filter: Filter) -> Cut<Partial> {
        if filter.predicate.exists(|expr| Ok(matches!(expr, Expr::InSubquery(_) | Expr::Exists(_) | Expr::ScalarSubquery(_)))).unwrap_or(false)
            && self.subquery_reads_stream(&filter.predicate)
        {
            return Err(self.fault("a subquery over a stream", "write a windowed JOIN with it instead"));
        }
        // FROM a, b WHERE ... joins as FROM a JOIN b ON ... does.
        if let LogicalPlan::Join(join) = filter.input.as_ref()
            && join.join_type == JoinType::Inner
            && self.reads_stream(&join.left)
            && self.reads_stream(&join.right)
        {
            return self.join(join.clone(), Some(filter.predicate));
        }
        let input = self.carry(Arc::unwrap_or_clone(filter.input))?;
        let plan = Filter::try_new(filter.predicate, Arc::new(input.plan)).map(LogicalPlan::Filter);
        Ok(Partial { plan: self.planned(plan)?, nature: input.nature })
    }

    fn subquery_reads_stream(&self, predicate: &Expr) -> bool {
        let mut reads = false;
        let walked = predicate.apply(|expr| {
            reads |= match expr {
                Expr::InSubquery(inner) => self.reads_stream(&inner.subquery.subquery),
                Expr::Exists(inner) => self.reads_stream(&inner.subquery.subquery),
                Expr::ScalarSubquery(inner) => self.reads_stream(&inner.subquery),
                _ => false,
            };
            Ok(TreeNodeRecursion::Continue)
        });
        reads && walked.is_ok()
    }

    fn aggregate(&mut self, aggregate: Aggregate) -> Cut<Partial> {
        let Aggregate { input, group_expr, aggr_expr, schema, .. } = aggregate;
        let input = self.carry(Arc::unwrap_or_clone(input))?;
        if matches!(input.nature, Nature::Still) {
            let plan = Aggregate::try_new(Arc::new(input.plan), group_expr, aggr_expr).map(LogicalPlan::Aggregate);
            return Ok(Partial { plan: self.planned(plan)?, nature: Nature::Still });
        }
        if group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_))) {
            return Err(self.fault("GROUPING SETS, ROLLUP and CUBE over a stream are not offered", "write one job for each set of keys"));
        }
        for expr in &aggr_expr {
            self.check_aggregate(expr)?;
        }
        let call = self.window_in(&group_expr)?;
        match (&input.nature, call) {
            (Nature::Windowed(hidden, window), None) => {
                if !group_expr.iter().any(|key| matches!(self.origin(&input.plan, key), Some(Origin::Window(_, _)))) {
                    return Err(Fault::new(self.group_by(), "an aggregate over windows that does not say which window")
                        .hint("put the inner query's window column into GROUP BY, or GROUP BY a longer tumble(INTERVAL '1 hour')"));
                }
                let (window, hidden) = (*window, hidden.clone());
                self.aggregate_of_window(input.plan, group_expr, aggr_expr, &hidden, window)
            }
            (Nature::Rows(hidden) | Nature::Windowed(hidden, _), Some(call)) => {
                let (hidden, windowed) = (hidden.clone(), matches!(input.nature, Nature::Windowed(_, _)));
                self.check_time(&call, &input.plan, windowed)?;
                self.windows(input.plan, &hidden, windowed, group_expr, aggr_expr, &schema, &call)
            }
            (Nature::Rows(_), None) => {
                let fault = Fault::new(self.group_by(), "an aggregate without a window would be kept for ever and never be done");
                Err(fault.hint("write GROUP BY tumble(INTERVAL '1 minute'), ..."))
            }
            (Nature::Mixed(_) | Nature::Still, _) => {
                Err(self.fault("an aggregate over windows of several kinds", "aggregate each of them before UNION ALL"))
            }
        }
    }

    /// An aggregate that looks at one window at a time: it can be computed whole when the window closes.
    fn aggregate_of_window(&mut self, input: LogicalPlan, group: Vec<Expr>, mut aggregates: Vec<Expr>, hidden: &Hidden, window: Window) -> Cut<Partial> {
        let new = self.fresh();
        let [row, time] = hidden.columns(&input);
        aggregates.push(min(row).alias(&new.row));
        aggregates.push(min(time).alias(&new.time));
        let plan = self.planned(Aggregate::try_new(Arc::new(input), group, aggregates).map(LogicalPlan::Aggregate))?;
        Ok(Partial { plan, nature: Nature::Windowed(new, window) })
    }

    /// Checks the time that a window is made from: that of the stream itself, not any other column.
    fn check_time(&self, call: &WindowCall, input: &LogicalPlan, windowed: bool) -> Cut<()> {
        if let Some(source) = self.sources_of(input).into_iter().map(|index| &self.tables.sources[index]).find(|source| source.watermark.is_none()) {
            let fault = Fault::new(self.tables.sink.at, format!("a window needs a watermark, and {} has none", source.name));
            return Err(fault.hint("write WATERMARK FOR ts AS ts - INTERVAL '30 seconds' among its columns"));
        }
        match &call.time {
            None => Ok(()),
            Some(time) if !windowed && self.origin(input, time) == Some(Origin::Time) => Ok(()),
            Some(time) => {
                let fault = Fault::new(call.at, format!("{} over {time}, which is not the column of the watermark", call.name));
                Err(fault.hint(format!("write {}(INTERVAL '1 minute'): the time is that of the watermark", call.name)))
            }
        }
    }

    /// The sources that a plan reads, through steps as well.
    fn sources_of(&self, plan: &LogicalPlan) -> Vec<usize> {
        let mut found = Vec::new();
        let walked = plan.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node
                && let Some(feed) = self.feeds.iter().find(|feed| feed.name == scan.table_name.table())
            {
                match feed.from {
                    From::Source(source) => found.push(source),
                    From::Step(step) => self.steps[step].inputs.iter().for_each(|input| found.extend(self.sources_of(&input.plan))),
                }
            }
            Ok(TreeNodeRecursion::Continue)
        });
        walked.map_or_else(|_| Vec::new(), |_| found)
    }

    /// A windowed aggregate: a step of its own.
    fn windows(
        &mut self, input: LogicalPlan, hidden: &Hidden, windowed: bool, group: Vec<Expr>, aggr: Vec<Expr>, schema: &DFSchema, call: &WindowCall,
    ) -> Cut<Partial> {
        let calls: Vec<usize> = (0..group.len()).filter(|index| window_call::is_call(&group[*index])).collect();
        let [window_at] = calls[..] else {
            return Err(Fault::new(self.group_by(), "GROUP BY must have one window, by itself").hint("write GROUP BY tumble(INTERVAL '1 minute'), and a job for each width"));
        };
        let others = || group.iter().enumerate().filter(|(index, _)| *index != window_at).map(|(_, key)| key);
        let key_names: Vec<String> = others().map(|key| key.qualified_name().1).collect();
        let aggregate_names: Vec<String> = aggr.iter().map(|expr| expr.clone().unalias().to_string()).collect();
        let [row, time] = hidden.columns(&input);
        let mut computed = Computed::default();
        let start = match call.window {
            Window::Session { .. } => time.clone(),
            window => WindowStart::udf(window.pane(), i64::from(windowed)).call(vec![time.clone()]),
        };
        let keys: Vec<Expr> = [computed.column(start)].into_iter().chain(others().map(|key| computed.column(key.clone().unalias()))).collect();
        let aggregates: Vec<Expr> = aggr.iter().map(|expr| computed.aggregate(expr.clone().unalias())).collect();
        let columns: Vec<Expr> = computed.0.into_iter().chain([row, time]).collect();
        let stage = self.stage_of(input, columns, hidden)?;
        let windows = Windows { window: call.window, keys, key_names, window_at, aggregates, aggregate_names };
        let names: Vec<(Option<TableReference>, String)> = schema.iter().map(|(relation, field)| (relation.cloned(), field.name().clone())).collect();
        let types: Vec<DataType> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        let feed = match self.same_windows(&stage.plan, &windows) {
            Some(feed) => feed,
            None => self.add_step(StepKind::Aggregate(windows), vec![stage], types, Some((call.window, window_at))),
        };
        let plan = self.read_feed(feed, names)?;
        Ok(Partial { plan, nature: Nature::Windowed(Hidden::of_feed(feed), call.window) })
    }

    /// The feed of a step that computes the same already: a query may ask twice for one thing.
    fn same_windows(&self, plan: &LogicalPlan, windows: &Windows) -> Option<usize> {
        let text = plain_text(plan)?;
        let same = |step: &&Step| match &step.kind {
            StepKind::Aggregate(other) => {
                other.window == windows.window
                    && other.window_at == windows.window_at
                    && other.keys == windows.keys
                    && other.aggregates == windows.aggregates
                    && plain_text(&step.inputs[0].plan).is_some_and(|other| other == text)
            }
            _ => false,
        };
        self.steps.iter().find(same).map(|step| step.feed)
    }

    /// Adds a step and the feed that it fills.
    fn add_step(&mut self, kind: StepKind, inputs: Vec<Stage>, types: Vec<DataType>, window: Option<(Window, usize)>) -> usize {
        let feed = self.feeds.len();
        let mut fields: Vec<Field> = types.into_iter().enumerate().map(|(index, data_type)| Field::new(format!("c{index}"), data_type, true)).collect();
        fields.extend(hidden_fields(feed));
        self.feeds.push(Feed {
            name: format!("{HIDDEN}feed{feed}"),
            schema: Arc::new(Schema::new(fields)),
            from: From::Step(self.steps.len()),
            window: window.map(|window| window.0),
            window_at: window.map(|window| window.1),
        });
        self.steps.push(Step { kind, inputs, feed });
        feed
    }

    /// A feed under the names that the plan above uses.
    fn read_feed(&self, feed: usize, names: Vec<(Option<TableReference>, String)>) -> Cut<LogicalPlan> {
        let name = self.feeds[feed].name.clone();
        let scan = self.planned(feed_scan(TableReference::bare(name.clone()), &self.feeds[feed].schema))?;
        let named = names.into_iter().enumerate().map(|(index, (relation, column))| {
            Expr::Column(Column::new(Some(name.as_str()), format!("c{index}"))).alias_qualified(relation, column)
        });
        let columns: Vec<Expr> = named.chain(Hidden::of_feed(feed).columns(&scan)).collect();
        self.planned(Projection::try_new(columns, Arc::new(scan)).map(LogicalPlan::Projection))
    }

    /// Rows that wait for their window, so that what is above sees whole windows.
    fn collect(&mut self, input: Partial, call: &WindowCall) -> Cut<Partial> {
        if let Window::Session { .. } = call.window {
            return Err(Fault::new(call.at, "a session without GROUP BY: it needs a key").hint("write GROUP BY session(INTERVAL '10 minutes'), caller"));
        }
        self.check_time(call, &input.plan, false)?;
        let hidden = input.hidden().cloned().expect("the caller looked at its rows");
        let columns = input.visible();
        let names: Vec<(Option<TableReference>, String)> =
            columns.iter().map(Expr::qualified_name).chain([(None, format!("{HIDDEN}window"))]).collect();
        let stage = self.stage(input.plan, &hidden)?;
        let fields = stage.plan.schema().fields();
        let types: Vec<DataType> = fields[..columns.len()].iter().map(|field| field.data_type().clone()).chain([window_type()]).collect();
        let window_at = columns.len();
        let feed = self.add_step(StepKind::Collect(Collect { window: call.window }), vec![stage], types, Some((call.window, window_at)));
        let plan = self.read_feed(feed, names)?;
        Ok(Partial { plan, nature: Nature::Windowed(Hidden::of_feed(feed), call.window) })
    }

    fn distinct(&mut self, input: LogicalPlan) -> Cut<Partial> {
        let input = self.carry(input)?;
        match &input.nature {
            Nature::Still => {
                let plan = LogicalPlanBuilder::from(input.plan).distinct().and_then(LogicalPlanBuilder::build);
                Ok(Partial { plan: self.planned(plan)?, nature: Nature::Still })
            }
            Nature::Windowed(hidden, window)
                if input.visible().iter().any(|column| matches!(self.origin(&input.plan, column), Some(Origin::Window(_, _)))) =>
            {
                let (hidden, window, columns) = (hidden.clone(), *window, input.visible());
                self.aggregate_of_window(input.plan, columns, Vec::new(), &hidden, window)
            }
            Nature::Windowed(_, _) => Err(self.fault("DISTINCT over windows that does not say which window", "add the window column to the SELECT")),
            Nature::Rows(_) | Nature::Mixed(_) => Err(self.fault(
                "SELECT DISTINCT would have to remember the whole stream",
                "write SELECT DISTINCT ..., tumble(INTERVAL '1 minute') AS window, or GROUP BY tumble(...) and the columns",
            )),
        }
    }

    /// Functions OVER: allowed when each looks at one window.
    fn over(&mut self, node: WindowNode) -> Cut<Partial> {
        let input = self.carry(Arc::unwrap_or_clone(node.input))?;
        let hidden = match &input.nature {
            Nature::Windowed(hidden, _) => hidden.clone(),
            Nature::Still => {
                let plan = WindowNode::try_new(node.window_expr, Arc::new(input.plan)).map(LogicalPlan::Window);
                return Ok(Partial { plan: self.planned(plan)?, nature: Nature::Still });
            }
            Nature::Rows(_) | Nature::Mixed(_) => {
                let name = node.window_expr.first().map(over_name).unwrap_or_default();
                let fault = Fault::new(self.marks.call(&name, &[]), format!("{name}() OVER rows of a stream looks at rows that may not have come yet"));
                return Err(fault.hint("give the rows windows first: SELECT *, tumble(INTERVAL '1 minute') AS window FROM ..., then OVER (PARTITION BY window ...)"));
            }
        };
        let [row, _] = hidden.columns(&input.plan);
        let expressions = node.window_expr.into_iter().map(|expr| self.over_one_window(expr, &input.plan, &row)).collect::<Cut<Vec<_>>>()?;
        let plan = self.planned(WindowNode::try_new(expressions, Arc::new(input.plan)).map(LogicalPlan::Window))?;
        Ok(Partial { plan, nature: input.nature })
    }

    /// One function OVER. Windows are told apart by their start, and rows that the ORDER BY leaves equal by their number.
    fn over_one_window(&self, expr: Expr, input: &LogicalPlan, row: &Expr) -> Cut<Expr> {
        let name = expr.schema_name().to_string();
        let Expr::WindowFunction(function) = expr.unalias() else {
            return Err(self.fault("an unknown window function", "write ROW_NUMBER() OVER (PARTITION BY window ORDER BY ...)"));
        };
        let WindowFunction { fun, mut params } = *function;
        let mut found = false;
        for key in &mut params.partition_by {
            match self.origin(input, key) {
                Some(Origin::Window(_, Part::Whole)) => {
                    found = true;
                    *key = get_field(key.clone(), "start");
                }
                Some(Origin::Window(_, _)) => found = true,
                Some(Origin::Time) | None => {}
            }
        }
        if !found {
            let fault = Fault::new(self.marks.call(fun.name(), &[]), format!("{}() OVER more than one window", fun.name()));
            return Err(fault.hint("write OVER (PARTITION BY window, ... ORDER BY ...)"));
        }
        if !["rank", "dense_rank", "percent_rank", "cume_dist", "ntile"].contains(&fun.name()) && !params.order_by.is_empty() {
            params.order_by.push(Sort::new(row.clone(), true, false));
        }
        Ok(Expr::from(WindowFunction { fun, params }).alias(name))
    }

    fn unnest(&mut self, node: Unnest) -> Cut<Partial> {
        let input = self.carry(Arc::unwrap_or_clone(node.input))?;
        let plan = LogicalPlanBuilder::from(input.plan).unnest_columns_with_options(node.exec_columns, node.options);
        Ok(Partial { plan: self.planned(plan.and_then(LogicalPlanBuilder::build))?, nature: input.nature })
    }

    fn union(&mut self, union: Union) -> Cut<Partial> {
        let parts = union.inputs.into_iter().map(|input| self.carry(Arc::unwrap_or_clone(input))).collect::<Cut<Vec<_>>>()?;
        if parts.iter().all(|part| matches!(part.nature, Nature::Still)) {
            let plan = Union::try_new_with_loose_types(parts.into_iter().map(|part| Arc::new(part.plan)).collect()).map(LogicalPlan::Union);
            return Ok(Partial { plan: self.planned(plan)?, nature: Nature::Still });
        }
        let hidden = self.fresh();
        let mut windows = Vec::new();
        let mut inputs = Vec::new();
        for part in parts {
            let Some(of) = part.hidden() else {
                return Err(self.fault("UNION ALL of a stream and a file", "join the file to the stream, or leave it out"));
            };
            windows.push(match &part.nature {
                Nature::Windowed(_, window) => Some(*window),
                _ => None,
            });
            let [row, time] = of.columns(&part.plan);
            let columns: Vec<Expr> = part.visible().into_iter().chain([row.alias(&hidden.row), time.alias(&hidden.time)]).collect();
            inputs.push(Arc::new(self.planned(LogicalPlanBuilder::from(part.plan).project(columns).and_then(LogicalPlanBuilder::build))?));
        }
        let nature = match (windows[0], windows.iter().all(|window| *window == windows[0])) {
            (Some(window), true) => Nature::Windowed(hidden, window),
            (None, true) => Nature::Rows(hidden),
            _ => Nature::Mixed(hidden),
        };
        let plan = self.planned(Union::try_new_with_loose_types(inputs).map(LogicalPlan::Union))?;
        Ok(Partial { plan, nature })
    }

    fn join(&mut self, join: Join, also: Option<Expr>) -> Cut<Partial> {
        let left = self.carry(Arc::unwrap_or_clone(join.left))?;
        let right = self.carry(Arc::unwrap_or_clone(join.right))?;
        let mut conditions: Vec<Expr> = join.on.into_iter().map(|(left, right)| left.eq(right)).collect();
        conditions.extend(join.filter.into_iter().chain(also).flat_map(split_conjunction_owned));
        match (&left.nature, &right.nature) {
            (Nature::Still, _) | (_, Nature::Still) => self.lookup(left, right, join.join_type, conditions),
            (Nature::Windowed(_, one), Nature::Windowed(_, other)) if one == other => self.windowed_join(left, right, join.join_type, conditions),
            (Nature::Windowed(_, one), Nature::Windowed(_, other)) => Err(self.fault(
                format!("a join of different windows: {} and {}", one.text(), other.text()),
                "give both sides the same window",
            )),
            (Nature::Rows(_), Nature::Rows(_)) => self.interval_join(left, right, join.join_type, conditions),
            _ => Err(self.fault(
                "a join of rows with windows",
                "give both sides the same window: SELECT *, tumble(INTERVAL '1 minute') AS window FROM ..., and join on the window as well",
            )),
        }
    }

    /// A stream with files.
    fn lookup(&mut self, left: Partial, right: Partial, join_type: JoinType, conditions: Vec<Expr>) -> Cut<Partial> {
        let (of_left, of_right) = (left.hidden().is_some(), right.hidden().is_some());
        match (join_type, of_left, of_right) {
            (JoinType::Inner, _, _) | (_, false, false) | (JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti, true, false) | (JoinType::Right, false, true) => {}
            (other, _, _) => {
                let fault = Fault::new(self.marks.query, format!("{other} JOIN would give rows that no event stands for"));
                return Err(fault.hint("write JOIN or, with the stream on the left, LEFT JOIN"));
            }
        }
        let nature = if of_left { left.nature } else { right.nature };
        let plan = LogicalPlanBuilder::from(left.plan).join_on(right.plan, join_type, conditions).and_then(LogicalPlanBuilder::build);
        Ok(Partial { plan: self.planned(plan)?, nature })
    }

    /// Two streams in the same windows: both are whole when the window closes.
    fn windowed_join(&mut self, left: Partial, right: Partial, join_type: JoinType, conditions: Vec<Expr>) -> Cut<Partial> {
        let (Nature::Windowed(left_hidden, window), Nature::Windowed(right_hidden, _)) = (left.nature, right.nature) else {
            unreachable!("the caller looked at both sides");
        };
        if !matches!(join_type, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full) {
            return Err(self.fault(format!("{join_type} JOIN of windows"), "write JOIN, LEFT JOIN, RIGHT JOIN or FULL JOIN"));
        }
        let (left_names, right_names) = (self.fresh(), self.fresh());
        let left = self.rename_hidden(left.plan, &left_hidden, &left_names)?;
        let right = self.rename_hidden(right.plan, &right_hidden, &right_names)?;
        let (mut rewritten, mut found) = (Vec::new(), false);
        for condition in conditions {
            let (parts, windows) = self.by_window(condition, &left, &right);
            found |= windows;
            rewritten.extend(parts);
        }
        if !found {
            return Err(self.fault("a join of windows that does not say that they are the same", "add AND a.window = b.window to its ON"));
        }
        let joined = LogicalPlanBuilder::from(left).join_on(right, join_type, rewritten).and_then(LogicalPlanBuilder::build);
        let joined = self.planned(joined)?;
        let hidden = self.fresh();
        let [left_row, left_time] = left_names.columns(&joined);
        let [right_row, right_time] = right_names.columns(&joined);
        let rows = coalesce(vec![left_row, right_row]).alias(&hidden.row);
        let times = coalesce(vec![left_time, right_time]).alias(&hidden.time);
        let columns: Vec<Expr> = visible(&joined).into_iter().chain([rows, times]).collect();
        let plan = self.planned(Projection::try_new(columns, Arc::new(joined)).map(LogicalPlan::Projection))?;
        Ok(Partial { plan, nature: Nature::Windowed(hidden, window) })
    }

    /// A condition of a windowed join, with equal windows as equal starts (and, for sessions, ends), and whether it was that.
    fn by_window(&self, condition: Expr, left: &LogicalPlan, right: &LogicalPlan) -> (Vec<Expr>, bool) {
        let Expr::BinaryExpr(BinaryExpr { left: one, op: Operator::Eq, right: other }) = &condition else { return (vec![condition], false) };
        let sides = |one: &Expr, other: &Expr| (self.origin(left, one), self.origin(right, other));
        let (a, b) = match sides(one, other) {
            (None, None) => sides(other, one),
            known => known,
        };
        let (Some(Origin::Window(window, a)), Some(Origin::Window(_, b))) = (a, b) else { return (vec![condition], false) };
        let session = matches!(window, Window::Session { .. });
        match (a, b) {
            (Part::Whole, Part::Whole) => {
                let equal = |field: &str| get_field(one.as_ref().clone(), field).eq(get_field(other.as_ref().clone(), field));
                let parts = if session { vec![equal("start"), equal("end")] } else { vec![equal("start")] };
                (parts, true)
            }
            (a, b) => (vec![condition], a == b && !session),
        }
    }

    fn rename_hidden(&self, plan: LogicalPlan, from: &Hidden, to: &Hidden) -> Cut<LogicalPlan> {
        let [row, time] = from.columns(&plan);
        let columns: Vec<Expr> = visible(&plan).into_iter().chain([row.alias(&to.row), time.alias(&to.time)]).collect();
        self.planned(Projection::try_new(columns, Arc::new(plan)).map(LogicalPlan::Projection))
    }

    /// Two streams, row by row: a step that keeps both as long as their times may still meet. In an outer join a row that
    /// nobody met is given alone when the watermark has passed its interval.
    fn interval_join(&mut self, left: Partial, right: Partial, join_type: JoinType, conditions: Vec<Expr>) -> Cut<Partial> {
        let alone = match join_type {
            JoinType::Inner => [false, false],
            JoinType::Left => [true, false],
            JoinType::Right => [false, true],
            JoinType::Full => [true, true],
            other => return Err(self.fault(format!("{other} JOIN of two streams"), "write JOIN, LEFT JOIN, RIGHT JOIN or FULL JOIN")),
        };
        for index in self.sources_of(&left.plan).into_iter().chain(self.sources_of(&right.plan)) {
            let source = &self.tables.sources[index];
            if source.watermark.is_none() {
                let fault = Fault::new(self.marks.query, format!("a join of streams needs watermarks, and {} has none", source.name));
                return Err(fault.hint("write WATERMARK FOR ts AS ts - INTERVAL '30 seconds' among its columns"));
            }
        }
        let (left_hidden, right_hidden) = match (&left.nature, &right.nature) {
            (Nature::Rows(left), Nature::Rows(right)) => (left.clone(), right.clone()),
            _ => unreachable!("the caller looked at both sides"),
        };
        let is_time = |plan: &LogicalPlan, expr: &Expr| self.origin(plan, expr) == Some(Origin::Time);
        let mut distance = bounds::Distance::default();
        let (mut keys, mut rest) = (Vec::new(), Vec::new());
        for condition in conditions {
            let exact = distance.narrow(&condition, &|expr| is_time(&left.plan, expr), &|expr| is_time(&right.plan, expr));
            match equal_columns(&condition, &left.plan, &right.plan) {
                Some(pair) => keys.push(pair),
                None if !exact => rest.push(condition),
                None => {}
            }
        }
        if keys.is_empty() {
            return Err(self.fault("a join of two streams without equal keys", "write ON a.key = b.key AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '1 minute'"));
        }
        let Some(distance_us) = distance.bounded() else {
            return Err(self.fault(
                "a join of two streams that bounds no time: both would have to be kept for ever",
                "bound it, as in AND b.ts BETWEEN a.ts - INTERVAL '1 minute' AND a.ts + INTERVAL '10 minutes'",
            ));
        };
        let (left_columns, right_columns) = (left.visible(), right.visible());
        let names: Vec<(Option<TableReference>, String)> = left_columns.iter().chain(&right_columns).map(Expr::qualified_name).collect();
        let place = |columns: &[Expr], column: &Expr| columns.iter().position(|other| other == column).expect("a key is one of the columns");
        let key_names = keys.iter().map(|(one, other)| format!("{one} = {other}")).collect();
        let keys = keys.iter().map(|(one, other)| (place(&left_columns, one), place(&right_columns, other))).collect();
        let (left, right) = (self.stage(left.plan, &left_hidden)?, self.stage(right.plan, &right_hidden)?);
        let types = |stage: &Stage, columns: usize| stage.plan.schema().fields()[..columns].iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        let types = [types(&left, left_columns.len()), types(&right, right_columns.len())].concat();
        let rest = conjunction(rest);
        let also = match &rest {
            Some(rest) if alone.contains(&true) => Some(self.of_pair(rest, left_columns.iter().chain(&right_columns))?),
            _ => None,
        };
        let step = StepKind::Join(IntervalJoin { keys, distance_us, key_names, alone, also });
        let feed = self.add_step(step, vec![left, right], types, None);
        let mut plan = self.read_feed(feed, names)?;
        if let (Some(rest), false) = (rest, alone.contains(&true)) {
            plan = self.planned(Filter::try_new(rest, Arc::new(plan)).map(LogicalPlan::Filter))?;
        }
        Ok(Partial { plan, nature: Nature::Rows(Hidden::of_feed(feed)) })
    }

    /// A condition of an outer join over the columns of the feed that the step fills.
    fn of_pair<'c>(&self, condition: &Expr, columns: impl Iterator<Item = &'c Expr>) -> Cut<Expr> {
        if self.failing.is_called_in(condition) {
            return Err(self.fault("a user-defined function in the ON of an outer join", "compute it in a subquery, and compare its result in the ON"));
        }
        let columns: Vec<&Expr> = columns.collect();
        let of_feed = |expr: Expr| match columns.iter().position(|column| **column == expr) {
            Some(index) => Ok(Transformed::yes(Expr::Column(Column::from_name(format!("c{index}"))))),
            None => Ok(Transformed::no(expr)),
        };
        condition.clone().transform(of_feed).map(|rewritten| rewritten.data).map_err(|error| self.planner(error))
    }

    fn check_aggregate(&self, expr: &Expr) -> Cut<()> {
        let Expr::AggregateFunction(call) = expr.clone().unalias() else {
            return Err(Fault::new(self.marks.query, format!("{expr} is no aggregate")));
        };
        let name = call.func.name().to_owned();
        let columns: Vec<String> = call.params.args.iter().flat_map(|arg| arg.column_refs()).map(|column| column.name.clone()).collect();
        let at = self.marks.call(&name, &columns);
        const OFFERED: [&str; 18] = [
            "count", "sum", "min", "max", "avg", "stddev", "stddev_pop", "var", "var_pop", "median", "approx_distinct", "bool_and", "bool_or", "bit_and",
            "bit_or", "bit_xor", "position_at_max", "position_at_min",
        ];
        const ORDERED: [&str; 9] = [
            "array_agg", "first_value", "last_value", "nth_value", "string_agg", "approx_percentile_cont", "approx_percentile_cont_with_weight",
            "approx_median", "percentile_cont",
        ];
        // Their partial sums of floats depend on how rows are put together.
        let inexact = ["corr", "covar", "covar_pop", "covar_samp"].contains(&name.as_str()) || name.starts_with("regr_");
        if inexact || ORDERED.contains(&name.as_str()) || !call.params.order_by.is_empty() {
            let fault = Fault::new(at, format!("{name} depends on the order of rows, or cannot be kept exactly"));
            return Err(fault.hint(format!("the aggregates are {}", OFFERED.join(", "))));
        }
        if call.params.distinct && !matches!(name.as_str(), "count" | "min" | "max") {
            return Err(Fault::new(at, format!("{name}(DISTINCT ...)")).hint("only count(DISTINCT ...) is offered"));
        }
        Ok(())
    }
}

/// The number of a row in the columns of a plan.
fn row_column(plan: &LogicalPlan) -> Option<Expr> {
    let found = plan.schema().iter().find(|(_, field)| field.name().starts_with(&format!("{HIDDEN}row")))?;
    Some(Expr::Column(Column::new(found.0.cloned(), found.1.name())))
}

/// The name of a function OVER.
fn over_name(expr: &Expr) -> String {
    match expr.clone().unalias() {
        Expr::WindowFunction(function) => function.fun.name().to_owned(),
        other => other.to_string(),
    }
}

/// An equality between a column of the left and one of the right plan.
fn equal_columns(condition: &Expr, left: &LogicalPlan, right: &LogicalPlan) -> Option<(Expr, Expr)> {
    let Expr::BinaryExpr(BinaryExpr { left: one, op: Operator::Eq, right: other }) = condition else { return None };
    let (Expr::Column(one), Expr::Column(other)) = (one.as_ref(), other.as_ref()) else { return None };
    let has = |plan: &LogicalPlan, column: &Column| plan.schema().has_column(column);
    let same_type = |one: &Column, other: &Column| {
        let of = |plan: &LogicalPlan, column: &Column| Expr::Column(column.clone()).get_type(plan.schema()).ok();
        of(left, one) == of(right, other)
    };
    match (has(left, one) && has(right, other), has(left, other) && has(right, one)) {
        (true, _) if same_type(one, other) => Some((Expr::Column(one.clone()), Expr::Column(other.clone()))),
        (_, true) if same_type(other, one) => Some((Expr::Column(other.clone()), Expr::Column(one.clone()))),
        _ => None,
    }
}

/// The window column that collected rows carry.
fn window_column(plan: &LogicalPlan) -> Option<Expr> {
    let name = format!("{HIDDEN}window");
    let (relation, field) = plan.schema().iter().find(|(_, field)| *field.name() == name)?;
    Some(Expr::Column(Column::new(relation.cloned(), field.name())))
}

/// The same expression with the column of the window where the window function was called.
fn replace_call(expr: Expr, window: &Expr) -> DfResult<Expr> {
    let (relation, name) = expr.qualified_name();
    let replaced = expr.transform_up(|expr| {
        Ok(match window_call::is_call(&expr) && !matches!(expr, Expr::Alias(_)) {
            true => Transformed::yes(window.clone()),
            false => Transformed::no(expr),
        })
    })?;
    Ok(if replaced.transformed { replaced.data.unalias().alias_qualified(relation, name) } else { replaced.data })
}

/// A straight plan over one feed, in words that do not depend on what its parts are called.
fn plain_text(plan: &LogicalPlan) -> Option<String> {
    let (mut aliases, mut straight) = (Vec::new(), true);
    let walked = plan.apply(|node| {
        match node {
            LogicalPlan::SubqueryAlias(alias) => aliases.push(format!("{}.", alias.alias)),
            other => straight &= other.inputs().len() <= 1,
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.ok()?;
    let text = plan.display_indent().to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("SubqueryAlias:"));
    let mut text = lines.collect::<Vec<_>>().join("\n");
    for alias in aliases {
        text = text.replace(&alias, "");
    }
    straight.then_some(text)
}

fn feed_scan(name: TableReference, schema: &SchemaRef) -> DfResult<LogicalPlan> {
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

