//! A query in Arroyo's words.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Query, Subscript, Value, Visit,
    VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Location;
use udf_host::{Kind, Manifest, SqlType};

use crate::export::ArroyoNote;
use crate::export::functions::arroyo_function;
use crate::job::Job;
use crate::sql::fault::Fault;
use crate::sql::positions;
use crate::sql::script::start_of;
use crate::sql::window_call;

/// The functions that a job calls, as far as they matter to an export.
#[derive(Debug, Default)]
pub(crate) struct Called {
    pub(crate) udfs: BTreeSet<String>,
    pub(crate) functions: BTreeSet<String>,
    rounds: bool,
    evidence: bool,
}

impl Called {
    pub(crate) fn notes(&self, job: &Job) -> Vec<ArroyoNote> {
        let mut notes: Vec<ArroyoNote> = self.rounds.then_some(ArroyoNote::Rounding).into_iter().collect();
        notes.extend(self.evidence.then_some(ArroyoNote::Evidence));
        for manifest in job.udfs().manifests().iter().filter(|manifest| self.udfs.contains(&manifest.name)) {
            if manifest.kind == Kind::Aggregate {
                notes.push(ArroyoNote::NullsInAggregate(manifest.name.clone()));
            }
            if !manifest.data.is_empty() {
                notes.push(ArroyoNote::FunctionData(manifest.name.clone()));
            }
        }
        notes
    }
}

/// Aggregates of floats that are exact here.
const ROUNDED: [&str; 10] = ["sum", "avg", "mean", "stddev", "stddev_samp", "stddev_pop", "var", "var_samp", "var_pop", "median"];

/// The query as Arroyo takes it.
pub(crate) fn rewritten(query: &Query, job: &Job, called: &mut Called) -> Result<Query, Fault> {
    let mut query = query.clone();
    checked(&query, job, called)?;
    let _: ControlFlow<()> = VisitMut::visit(&mut query, &mut Rewrite);
    Ok(query)
}

/// An expression as Arroyo takes it.
pub(crate) fn rewritten_expr(expr: &Expr, job: &Job, called: &mut Called) -> Result<Expr, Fault> {
    let mut expr = expr.clone();
    checked(&expr, job, called)?;
    let _: ControlFlow<()> = VisitMut::visit(&mut expr, &mut Rewrite);
    Ok(expr)
}

fn checked(piece: &impl Visit, job: &Job, called: &mut Called) -> Result<(), Fault> {
    match piece.visit(&mut Check { job, called }) {
        ControlFlow::Break(fault) => Err(*fault),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Check<'a> {
    job: &'a Job,
    called: &'a mut Called,
}

impl Visitor for Check<'_> {
    type Break = Box<Fault>;

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Box<Fault>> {
        let checked = match expr {
            Expr::Function(function) => self.function(function),
            Expr::CompoundFieldAccess { root, .. } if window_of(root) => {
                let fault = Fault::new(start_of(expr, NOWHERE), "a field of a window function's call");
                Err(fault.hint("name the window in a subquery, and take the field there: SELECT w['start'] FROM (SELECT tumble(...) AS w, ... GROUP BY w)"))
            }
            _ => Ok(()),
        };
        match checked {
            Ok(()) => ControlFlow::Continue(()),
            Err(fault) => ControlFlow::Break(Box::new(fault)),
        }
    }
}

/// A place that is not known.
const NOWHERE: Location = Location { line: 0, column: 0 };

impl Check<'_> {
    fn function(&mut self, function: &Function) -> Result<(), Fault> {
        let name = function.name.to_string().to_lowercase();
        let at = start_of(function, NOWHERE);
        if ["position_at_max", "position_at_min"].contains(&name.as_str()) && positions::spelled_out(function).is_none() {
            return Err(Fault::new(at, format!("{name}() of a position that is no column")).hint("compute the position in a subquery, and name it here"));
        }
        if name == "evidence" && evidence(function).is_none() {
            let fault = Fault::new(at, "evidence() of several positions, which Arroyo cannot sort");
            return Err(fault.hint("give evidence() one column, or leave this job in the city brain"));
        }
        self.called.evidence |= name == "evidence";
        if let Some(manifest) = self.job.udfs().manifests().iter().find(|manifest| manifest.name == name) {
            same_types(manifest, at)?;
            self.called.udfs.insert(name);
            return Ok(());
        }
        self.called.rounds |= ROUNDED.contains(&name.as_str());
        if arroyo_function(&name).is_some() {
            self.called.functions.insert(name);
        }
        Ok(())
    }
}

/// Arroyo sees the types of the Rust function, and no others.
fn same_types(manifest: &Manifest, at: Location) -> Result<(), Fault> {
    let types = manifest.arguments.iter().map(|argument| argument.sql).chain([manifest.returns.sql]);
    match types.into_iter().any(|sql| matches!(sql, SqlType::Boolean | SqlType::Timestamp)) {
        true => {
            let fault = Fault::new(at, format!("function {} takes or gives BOOLEAN or TIMESTAMP, and on Arroyo its number", manifest.name));
            Err(fault.hint("write a function without the line SQL: that takes and gives numbers, and convert in the query: CAST(x AS BIGINT)"))
        }
        false => Ok(()),
    }
}

fn window_of(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function) if window_call::NAMES.contains(&function.name.to_string().to_lowercase().as_str()))
}

struct Rewrite;

impl VisitorMut for Rewrite {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) => {
                without_time(function);
                if let Some(other) = positions::spelled_out(function).or_else(|| evidence(function)) {
                    *expr = other;
                }
            }
            Expr::Cast { kind: kind @ (CastKind::Cast | CastKind::DoubleColon), .. } => *kind = CastKind::TryCast,
            Expr::BinaryOp { op: BinaryOperator::Divide | BinaryOperator::Modulo, right, .. } if !is_plain_number(right) => {
                **right = null_if_zero(right);
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                if let Some(path) = path_of(root, access_chain) {
                    *expr = Expr::CompoundIdentifier(path);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// `evidence(p)` as the list of that position; nothing for more of them, or for what is no column.
fn evidence(function: &Function) -> Option<Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    let is_evidence = function.name.to_string().eq_ignore_ascii_case("evidence");
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(position @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_))))] = &list.args[..] else { return None };
    is_evidence.then(|| parsed(&format!("CASE WHEN {position}.offset IS NOT NULL THEN make_array({position}) END")))
}

/// `tumble(ts, INTERVAL ...)` without its time: Arroyo's windows are those of the watermark's column, as ours are.
fn without_time(function: &mut Function) {
    let is_window = window_call::NAMES.contains(&function.name.to_string().to_lowercase().as_str());
    let FunctionArguments::List(list) = &mut function.args else { return };
    let is_time = |arg: &FunctionArg| matches!(arg, FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(_) | Expr::CompoundIdentifier(_))));
    if is_window && list.args.first().is_some_and(is_time) {
        list.args.remove(0);
    }
}

/// A number other than zero.
fn is_plain_number(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(&value.value, Value::Number(text, _) if text.parse::<f64>().is_ok_and(|number| number != 0.0)),
        Expr::Nested(inner) => is_plain_number(inner),
        _ => false,
    }
}

/// A division by zero gives NULL here, and would stop the job there.
fn null_if_zero(divisor: &Expr) -> Expr {
    parsed(&format!("nullif({divisor}, 0)"))
}

fn parsed(text: &str) -> Expr {
    let parsed = Parser::new(&GenericDialect {}).try_with_sql(text).and_then(|mut parser| parser.parse_expr());
    parsed.expect("what is made of expressions here is an expression")
}

/// `a.w['start']` as `a.w.start`, which is how Arroyo reads a field of a struct.
fn path_of(root: &Expr, chain: &[AccessExpr]) -> Option<Vec<Ident>> {
    let mut path = match root {
        Expr::Identifier(ident) => vec![ident.clone()],
        Expr::CompoundIdentifier(path) => path.clone(),
        _ => return None,
    };
    for access in chain {
        path.push(match access {
            AccessExpr::Dot(Expr::Identifier(ident)) => ident.clone(),
            AccessExpr::Subscript(Subscript::Index { index: Expr::Value(value) }) => match &value.value {
                Value::SingleQuotedString(name) => plain_ident(name),
                _ => return None,
            },
            _ => return None,
        });
    }
    Some(path)
}

/// A name, quoted where it has to be.
pub(crate) fn plain_ident(name: &str) -> Ident {
    let plain = !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()) && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    match plain {
        true => Ident::new(name),
        false => Ident::with_quote('"', name),
    }
}
