//! How a job can be spread over several workers: by which keys its rows are cut into slices, so that whatever state needs
//! together is in one slice.
//!
//! Rows of the sources are sliced where they reach the first steps. From there on the analysis follows the columns that
//! hold the keys: a later step, a join of windows, a rank or a latch must agree with them, or the job has one slice only.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, JoinType};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, ExprSchemable, Filter, Join, LogicalPlan, LogicalPlanBuilder, Operator};

use crate::functions::Slice;
use crate::sql::flow::{Feed, Flow, From, Stage, Step, StepKind};

/// How a job can be spread.
#[derive(Debug, Clone)]
pub(crate) enum Spread {
    /// It keeps no state: each partition by itself.
    Rows,
    /// By keys.
    Keys {
        /// As they are written.
        names: Vec<String>,
        /// Where rows of the sources are sliced, and by what.
        cuts: Vec<SliceCut>,
    },
    /// Not by keys: one worker has all of its state.
    One {
        /// Why.
        why: String,
    },
}

/// A stage whose rows are sliced.
#[derive(Debug, Clone)]
pub(crate) struct SliceCut {
    pub(crate) step: usize,
    pub(crate) input: usize,
    /// Over the columns of the stage.
    pub(crate) keys: Vec<Expr>,
}

/// By which columns of a plan its rows are sliced.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sliced {
    /// It reads no stream: every slice has all of it.
    Everywhere,
    /// By these columns, in the order of the keys.
    By(Vec<usize>),
    /// By columns that it does not show any more.
    Hidden,
}

type Found<T> = Result<T, String>;

impl Flow {
    /// How the job can be spread. `latch` are the columns that its latch tells conditions apart by.
    pub(crate) fn spread(&self, latch: Option<&[String]>) -> Spread {
        if self.steps.is_empty() {
            return Spread::Rows;
        }
        let names = self.common_keys();
        let each = names.iter().map(|name| (name.clone(), self.cuts(std::slice::from_ref(name), latch)));
        let (good, bad): (Vec<_>, Vec<_>) = each.partition(|(_, cuts)| cuts.is_ok());
        let together: Vec<String> = good.iter().map(|(name, _)| name.clone()).collect();
        if together.is_empty() {
            let why = bad.into_iter().find_map(|(_, cuts)| cuts.err()).unwrap_or_else(|| "its first windows have no key in common".to_owned());
            return Spread::One { why };
        }
        // All of them spread rows best; where they do not go together, one does.
        match self.cuts(&together, latch) {
            Ok(cuts) => Spread::Keys { names: together, cuts },
            Err(_) => {
                let (name, cuts) = good.into_iter().next().expect("there is one");
                Spread::Keys { names: vec![name], cuts: cuts.expect("it is a good one") }
            }
        }
    }

    /// The same job over the rows of one slice.
    pub(crate) fn of_slice(mut self, cuts: &[SliceCut], slice: u32, of: u32) -> Flow {
        for cut in cuts {
            let stage = &mut self.steps[cut.step].inputs[cut.input];
            let mine = Slice::udf(of).call(cut.keys.clone()).eq(datafusion::prelude::lit(slice));
            let plan = Filter::try_new(mine, Arc::new(stage.plan.clone())).expect("the function gives a number for every row");
            stage.plan = LogicalPlan::Filter(plan);
        }
        self
    }

    /// The slice of each row of a stage that reads sources: two columns, the row's number and its slice. Without keys all
    /// rows are in slice 0.
    pub(crate) fn slices(&self, step: usize, input: usize, cuts: &[SliceCut], of: u32) -> Stage {
        let stage = &self.steps[step].inputs[input];
        let keys = cuts.iter().find(|cut| (cut.step, cut.input) == (step, input)).map_or(Vec::new(), |cut| cut.keys.clone());
        let fields = stage.plan.schema().columns();
        let row = Expr::Column(fields[fields.len() - 2].clone());
        let slice = if keys.is_empty() { datafusion::prelude::lit(0_u32) } else { Slice::udf(of).call(keys) };
        let plan = LogicalPlanBuilder::from(stage.plan.clone()).project([row, slice.alias("__slice")]).and_then(LogicalPlanBuilder::build);
        Stage { plan: plan.expect("both columns are of the stage"), kept: stage.kept.clone() }
    }

    /// Stages that read sources, as step and input.
    pub(crate) fn first_stages(&self) -> Vec<(usize, usize)> {
        let inputs = self.steps.iter().enumerate().flat_map(|(step, of)| (0..of.inputs.len()).map(move |input| (step, input)));
        inputs.filter(|(step, input)| self.reads(&self.steps[*step].inputs[*input].plan).0).collect()
    }

    /// Whether a plan reads sources, and whether it reads steps.
    fn reads(&self, plan: &LogicalPlan) -> (bool, bool) {
        let (mut sources, mut steps) = (false, false);
        let walked = plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                match self.feed(scan.table_name.table()).map(|feed| feed.from) {
                    Some(From::Source(_)) => sources = true,
                    Some(From::Step(_)) => steps = true,
                    None => {}
                }
            }
            Ok(TreeNodeRecursion::Continue)
        });
        walked.expect("looking at a plan cannot fail");
        (sources, steps)
    }

    fn feed(&self, name: &str) -> Option<&Feed> {
        self.feeds.iter().find(|feed| feed.name == name)
    }

    /// Keys that the first steps have in common.
    fn common_keys(&self) -> Vec<String> {
        let names = self.first_stages().into_iter().map(|(step, input)| key_names(&self.steps[step], input).into_iter().collect::<BTreeSet<_>>());
        let common = names.reduce(|one, other| one.intersection(&other).cloned().collect()).unwrap_or_default();
        common.into_iter().collect()
    }

    /// Where to slice by these keys, when everything above agrees with it.
    fn cuts(&self, names: &[String], latch: Option<&[String]>) -> Found<Vec<SliceCut>> {
        let mut sliced = vec![None; self.steps.len()];
        let mut cuts: Vec<SliceCut> = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            let mut by = Vec::with_capacity(step.inputs.len());
            for (input, stage) in step.inputs.iter().enumerate() {
                by.push(match self.reads(&stage.plan) {
                    (true, true) => return Err("it joins a stream with windows".to_owned()),
                    (true, false) => {
                        let keys = names.iter().map(|name| key(step, input, name).ok_or_else(|| format!("a first step has no key {name}"))).collect::<Found<Vec<_>>>()?;
                        same_types(&cuts, &self.steps, &keys, &stage.plan)?;
                        let columns = keys.iter().map(|key| column_of(&stage.plan, key)).collect::<Found<Vec<_>>>()?;
                        cuts.push(SliceCut { step: number, input, keys });
                        columns
                    }
                    (false, _) => match self.sliced(&stage.plan, &sliced)? {
                        Sliced::By(columns) => columns,
                        Sliced::Everywhere | Sliced::Hidden => return Err(format!("step {} does not see {}", number + 1, names.join(", "))),
                    },
                });
            }
            sliced[number] = Some(given(step, &by, names)?);
        }
        let last = self.sliced(&self.last.plan, &sliced)?;
        match (latch, &last) {
            (None, _) => {}
            (Some(latch), Sliced::By(columns)) if columns.iter().all(|column| latch.contains(self.output.field(*column).name())) => {}
            (Some(_), _) => return Err(format!("its latch does not tell {} apart", names.join(", "))),
        }
        Ok(cuts)
    }

    /// By which columns the rows of a plan over steps are sliced, when what it puts together is in one slice.
    fn sliced(&self, plan: &LogicalPlan, steps: &[Option<Vec<usize>>]) -> Found<Sliced> {
        let of = |input: &LogicalPlan| self.sliced(input, steps);
        match plan {
            LogicalPlan::TableScan(scan) => match self.feed(scan.table_name.table()).map(|feed| feed.from) {
                None => Ok(Sliced::Everywhere),
                Some(From::Source(_)) => Err("it joins a stream with windows".to_owned()),
                Some(From::Step(step)) => {
                    let columns = steps[step].clone().expect("a step comes after those that it reads");
                    Ok(match &scan.projection {
                        None => Sliced::By(columns),
                        Some(shown) => by(columns.iter().map(|column| shown.iter().position(|shown| shown == column))),
                    })
                }
            },
            LogicalPlan::Projection(projection) => Ok(match of(&projection.input)? {
                Sliced::By(columns) => by(columns.iter().map(|column| {
                    projection.expr.iter().position(|expr| column_of(&projection.input, expr).is_ok_and(|at| at == *column))
                })),
                other => other,
            }),
            LogicalPlan::Filter(filter) if has_subquery(&filter.predicate) => Err("it asks a subquery".to_owned()),
            LogicalPlan::Filter(filter) => of(&filter.input),
            LogicalPlan::SubqueryAlias(alias) => of(&alias.input),
            LogicalPlan::Unnest(unnest) => Ok(match of(&unnest.input)? {
                Sliced::By(columns) => by(columns.iter().map(|column| unnest.dependency_indices.iter().position(|from| from == column))),
                other => other,
            }),
            LogicalPlan::Union(union) => {
                let mut inputs = union.inputs.iter().map(|input| of(input)).collect::<Found<Vec<_>>>()?.into_iter();
                let first = inputs.next().unwrap_or(Sliced::Everywhere);
                Ok(if inputs.all(|other| other == first) { first } else { Sliced::Hidden })
            }
            LogicalPlan::Window(window) => match of(&window.input)? {
                Sliced::By(columns) => {
                    let within = |expr: &Expr| match expr.clone().unalias() {
                        Expr::WindowFunction(function) => has_all(&window.input, &function.params.partition_by, &columns),
                        _ => false,
                    };
                    if window.window_expr.iter().all(within) { Ok(Sliced::By(columns)) } else { Err("it ranks over all keys of a window".to_owned()) }
                }
                Sliced::Everywhere => Ok(Sliced::Everywhere),
                Sliced::Hidden => Err("it ranks over keys that it does not see".to_owned()),
            },
            LogicalPlan::Aggregate(aggregate) => match of(&aggregate.input)? {
                Sliced::By(columns) => {
                    let place = |column: &usize| aggregate.group_expr.iter().position(|key| column_of(&aggregate.input, key).is_ok_and(|at| at == *column));
                    let places = columns.iter().map(place).collect::<Option<Vec<_>>>();
                    places.map(Sliced::By).ok_or_else(|| "its second aggregate puts all keys together".to_owned())
                }
                Sliced::Everywhere => Ok(Sliced::Everywhere),
                Sliced::Hidden => Err("its second aggregate does not see the keys".to_owned()),
            },
            LogicalPlan::Distinct(Distinct::All(input)) => match of(input)? {
                Sliced::Hidden => Err("it removes duplicates over keys that it does not see".to_owned()),
                other => Ok(other),
            },
            LogicalPlan::Join(join) => self.sliced_join(join, of(&join.left)?, of(&join.right)?),
            other if other.inputs().is_empty() => Ok(Sliced::Everywhere),
            other => match other.inputs().iter().map(|input| of(input)).collect::<Found<Vec<_>>>()?.iter().all(|input| *input == Sliced::Everywhere) {
                true => Ok(Sliced::Everywhere),
                false => Err(format!("it needs all rows of a window together: {}", other.display())),
            },
        }
    }

    fn sliced_join(&self, join: &Join, left: Sliced, right: Sliced) -> Found<Sliced> {
        let width = join.left.schema().fields().len();
        let shift = |columns: Vec<usize>| Sliced::By(columns.into_iter().map(|column| column + width).collect());
        match (left, right) {
            (Sliced::Everywhere, Sliced::Everywhere) => Ok(Sliced::Everywhere),
            (left, Sliced::Everywhere) => Ok(left),
            (Sliced::Everywhere, Sliced::By(columns)) => Ok(shift(columns)),
            (Sliced::Everywhere, Sliced::Hidden) => Ok(Sliced::Hidden),
            (Sliced::By(left), Sliced::By(right)) => {
                let pairs = equalities(join);
                let meets = |(one, other): (&usize, &usize)| pairs.contains(&(*one, *other));
                if !left.iter().zip(&right).all(meets) {
                    return Err("it joins windows of different keys".to_owned());
                }
                Ok(match join.join_type {
                    JoinType::Inner | JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => Sliced::By(left),
                    JoinType::Right => shift(right),
                    // Of a row that has one side only, the keys of the other are null.
                    _ => Sliced::Hidden,
                })
            }
            (_, _) => Err("it joins windows over keys that it does not see".to_owned()),
        }
    }
}

/// The keys by which the rows of an input of a step may be sliced.
fn key_names(step: &Step, input: usize) -> Vec<String> {
    match &step.kind {
        StepKind::Aggregate(windows) => windows.key_names.clone(),
        StepKind::Join(join) => join.keys.iter().map(|(left, _)| step.inputs[0].plan.schema().field(*left).name().clone()).collect(),
        StepKind::Collect(_) => {
            let fields = step.inputs[input].plan.schema().fields();
            fields[..fields.len() - 2].iter().map(|field| field.name().clone()).collect()
        }
    }
}

/// A key of that name, over the columns of an input's stage.
fn key(step: &Step, input: usize, name: &str) -> Option<Expr> {
    let at = key_names(step, input).iter().position(|known| known == name)?;
    match &step.kind {
        StepKind::Aggregate(windows) => windows.keys.get(at + 1).cloned(),
        StepKind::Join(join) => {
            let (left, right) = join.keys[at];
            Some(Expr::Column(step.inputs[input].plan.schema().columns()[if input == 0 { left } else { right }].clone()))
        }
        StepKind::Collect(_) => Some(Expr::Column(step.inputs[input].plan.schema().columns()[at].clone())),
    }
}

/// By which of its columns a step's rows are sliced, when those of its inputs are sliced by these.
fn given(step: &Step, by: &[Vec<usize>], names: &[String]) -> Found<Vec<usize>> {
    let unseen = || format!("a step does not keep {} apart", names.join(", "));
    match &step.kind {
        StepKind::Aggregate(windows) => {
            let place = |column: &usize| {
                let at = windows.keys[1..].iter().position(|key| column_of(&step.inputs[0].plan, key).is_ok_and(|of| of == *column))?;
                Some(if at >= windows.window_at { at + 1 } else { at })
            };
            by[0].iter().map(|column| place(column).ok_or_else(unseen)).collect()
        }
        StepKind::Join(join) => {
            let meets = |(left, right): (&usize, &usize)| join.keys.contains(&(*left, *right));
            if !by[0].iter().zip(&by[1]).all(meets) {
                return Err(unseen());
            }
            // The keys of a side that may be missing are null then.
            let width = step.inputs[0].plan.schema().fields().len() - 2;
            match join.alone {
                [_, false] => Ok(by[0].clone()),
                [false, true] => Ok(by[1].iter().map(|column| column + width).collect()),
                [true, true] => Err("either side of a full join may have no keys".to_owned()),
            }
        }
        StepKind::Collect(_) => Ok(by[0].clone()),
    }
}

/// Equal keys must look equal, whichever side of a join they are on.
fn same_types(cuts: &[SliceCut], steps: &[Step], keys: &[Expr], plan: &LogicalPlan) -> Found<()> {
    let kinds = |keys: &[Expr], plan: &LogicalPlan| -> Found<Vec<DataType>> {
        let kind = |key: &Expr| key.get_type(plan.schema()).map_err(|error| error.to_string());
        keys.iter().map(kind).collect()
    };
    let own = kinds(keys, plan)?;
    if let Some(nested) = own.iter().find(|kind| kind.is_nested() || kind.is_floating()) {
        return Err(format!("a key is {nested}"));
    }
    let Some(first) = cuts.first() else { return Ok(()) };
    let others = kinds(&first.keys, &steps[first.step].inputs[first.input].plan)?;
    if others == own { Ok(()) } else { Err("its first steps have keys of different types".to_owned()) }
}

/// The place of a plain column in a plan.
fn column_of(plan: &LogicalPlan, expr: &Expr) -> Found<usize> {
    match expr {
        Expr::Alias(alias) => column_of(plan, &alias.expr),
        Expr::Column(column) => index(plan, column).ok_or_else(|| format!("{column} is not a column")),
        other => Err(format!("{other} is computed")),
    }
}

fn index(plan: &LogicalPlan, column: &Column) -> Option<usize> {
    plan.schema().index_of_column(column).ok()
}

fn by(columns: impl Iterator<Item = Option<usize>>) -> Sliced {
    columns.collect::<Option<Vec<_>>>().map_or(Sliced::Hidden, Sliced::By)
}

fn has_all(plan: &LogicalPlan, keys: &[Expr], columns: &[usize]) -> bool {
    let seen: Vec<usize> = keys.iter().filter_map(|key| column_of(plan, key).ok()).collect();
    columns.iter().all(|column| seen.contains(column))
}

fn has_subquery(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(matches!(expr, Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_)))).unwrap_or(true)
}

/// The columns of the left and of the right side that a join has equal.
fn equalities(join: &Join) -> Vec<(usize, usize)> {
    let conditions = join.filter.iter().flat_map(split_conjunction);
    let equal = conditions.filter_map(|condition| match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => Some((left.as_ref(), right.as_ref())),
        _ => None,
    });
    let pairs = equal.chain(join.on.iter().map(|(left, right)| (left, right)));
    let place = |one: &Expr, other: &Expr| Some((column_of(&join.left, one).ok()?, column_of(&join.right, other).ok()?));
    pairs.filter_map(|(one, other)| place(one, other).or_else(|| place(other, one))).collect()
}
