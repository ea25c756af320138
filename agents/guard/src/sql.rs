//! Whether a query may run: exactly one that reads, over tables and functions of a list, with an end.
//!
//! The query is read by the parser that datafusion uses, so that what is looked at is what would run, and given back as that
//! parser writes it, with a limit on its rows. Runs nothing, and knows no table's contents.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use sqlparser::ast::{Expr, JoinConstraint, JoinOperator, LimitClause, ObjectName, Query, Select, SetExpr, Statement, TableFactor, Value, Visit, Visitor};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::limits::{ROWS_MAX, SQL_BYTES_MAX, TABLES_MAX};

/// Tables that agents may read: decisions, cases, alerts, forecasts. None has a citizen's words, a name or a number in it.
pub const TABLES: [&str; 14] = [
    "silver.decision", "silver.case_transition", "silver.alert", "silver.incident_transition", "silver.forecast", "silver.forecast_score", "silver.hot_issue", "silver.hot_issue_change",
    "silver.level_forecast", "silver.level_forecast_score", "silver.deadline_forecast", "silver.deadline_forecast_score", "silver.graph_change", "silver.sensor_observation",
];

/// Columns that may not be named: what a person or a model wrote, and what a prompt was.
const COLUMNS_CLOSED: [&str; 8] = ["prompt", "text", "caller", "raw", "address", "contact", "payload", "body"];

/// Functions that compute. None reads a file, the network, a setting or the clock of the machine.
const FUNCTIONS: [&str; 46] = [
    "count", "sum", "avg", "min", "max", "median", "stddev", "variance", "approx_percentile_cont", "approx_distinct", "first_value", "last_value", "row_number", "rank", "dense_rank", "lag", "lead", "abs", "round",
    "floor", "ceil", "coalesce", "nullif", "greatest", "least", "lower", "upper", "length", "char_length", "substr", "substring", "trim", "concat", "left", "right", "starts_with", "date_trunc", "date_part", "date_bin",
    "extract", "to_timestamp", "to_char", "array_length", "array_has", "bool_and", "bool_or",
];

/// Why a query does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum SqlError {
    /// It is longer than anybody writes.
    #[error("the query has more than {SQL_BYTES_MAX} bytes: write a shorter one")]
    Long,
    /// It is no SQL.
    #[error("the query cannot be read: {0}")]
    Syntax(String),
    /// Not one statement, or one that does more than read.
    #[error("write exactly one SELECT: {0}")]
    NotOneSelect(String),
    /// A table that is not on the list.
    #[error("{0} is not a table that agents may read")]
    Table(String),
    /// A column that is closed.
    #[error("the column {0} is closed to agents")]
    Column(String),
    /// A function that is not on the list.
    #[error("{0} is not a function that agents may call")]
    Function(String),
    /// Tables multiplied without a condition.
    #[error("tables are joined by JOIN with a condition: {0}")]
    Product(String),
    /// Too many tables.
    #[error("a query names at most {TABLES_MAX} tables")]
    Tables,
    /// One that may never end.
    #[error("no recursion")]
    Recursive,
}

/// A query that may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// The query to run, as the parser writes it.
    pub sql: String,
    /// Rows at most.
    pub rows_max: u32,
    /// Whether the limit is ours.
    pub cut: bool,
}

/// Checks a query against tables (`schema.table`, small letters) and bounds its rows.
///
/// # Errors
/// As [`SqlError`] tells, with what to do instead.
pub fn check(sql: &str, tables: &[&str], rows_max: u32) -> Result<Allowed, SqlError> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(SqlError::Long);
    }
    let mut statements = Parser::parse_sql(&GenericDialect {}, sql).map_err(|error| SqlError::Syntax(error.to_string().chars().take(120).collect()))?;
    if statements.len() != 1 {
        return Err(SqlError::NotOneSelect(format!("there are {}", statements.len())));
    }
    let Some(Statement::Query(mut query)) = statements.pop() else { return Err(SqlError::NotOneSelect("this does something else".to_owned())) };
    let mut looker = Looker { tables, named: BTreeSet::new(), count: 0 };
    names(&query, &mut looker.named);
    if let ControlFlow::Break(error) = query.visit(&mut looker) {
        return Err(error);
    }
    let rows_max = rows_max.min(ROWS_MAX);
    let (limit, cut) = match &query.limit_clause {
        None => (LimitClause::LimitOffset { limit: Some(number(rows_max)), offset: None, limit_by: Vec::new() }, true),
        Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
            let asked = limit.as_ref().and_then(|limit| limit.to_string().parse::<u32>().ok()).filter(|asked| *asked <= rows_max);
            (LimitClause::LimitOffset { limit: Some(number(asked.unwrap_or(rows_max))), offset: offset.clone(), limit_by: Vec::new() }, asked.is_none())
        }
        Some(_) => return Err(SqlError::Syntax("write LIMIT n OFFSET m".to_owned())),
    };
    query.limit_clause = Some(limit);
    Ok(Allowed { sql: query.to_string(), rows_max, cut })
}

fn number(value: u32) -> Expr {
    Expr::value(Value::Number(value.to_string(), false))
}

/// The names of common table expressions, wherever they stand.
fn names(query: &Query, named: &mut BTreeSet<String>) {
    struct Names<'a>(&'a mut BTreeSet<String>);
    impl Visitor for Names<'_> {
        type Break = ();
        fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
            let tables = query.with.iter().flat_map(|with| &with.cte_tables);
            self.0.extend(tables.map(|table| table.alias.name.value.to_ascii_lowercase()));
            ControlFlow::Continue(())
        }
    }
    let _ = query.visit(&mut Names(named));
}

struct Looker<'a> {
    tables: &'a [&'a str],
    named: BTreeSet<String>,
    count: usize,
}

fn stop<T>(error: SqlError) -> ControlFlow<SqlError, T> {
    ControlFlow::Break(error)
}

impl Visitor for Looker<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        if query.with.as_ref().is_some_and(|with| with.recursive) {
            return stop(SqlError::Recursive);
        }
        let odd = query.fetch.is_some() || !query.locks.is_empty() || query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some() || !query.pipe_operators.is_empty();
        if odd {
            return stop(SqlError::NotOneSelect("without FETCH, FOR, SETTINGS, FORMAT and pipes".to_owned()));
        }
        reads(&query.body)
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<SqlError> {
        if select.into.is_some() {
            return stop(SqlError::NotOneSelect("SELECT INTO writes".to_owned()));
        }
        if select.from.len() > 1 {
            return stop(SqlError::Product("no comma between tables".to_owned()));
        }
        for join in select.from.iter().flat_map(|from| &from.joins) {
            let constraint = match &join.join_operator {
                JoinOperator::Join(it) | JoinOperator::Inner(it) | JoinOperator::Left(it) | JoinOperator::LeftOuter(it) | JoinOperator::Right(it) | JoinOperator::RightOuter(it) => it,
                JoinOperator::FullOuter(it) | JoinOperator::LeftSemi(it) | JoinOperator::RightSemi(it) | JoinOperator::LeftAnti(it) | JoinOperator::RightAnti(it) => it,
                other => return stop(SqlError::Product(format!("{other:?}").chars().take(20).collect())),
            };
            let equal = match constraint {
                JoinConstraint::On(condition) => has_columns(condition),
                JoinConstraint::Using(columns) => !columns.is_empty(),
                JoinConstraint::Natural | JoinConstraint::None => false,
            };
            if !equal {
                return stop(SqlError::Product("ON a.x = b.x, or USING (x)".to_owned()));
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<SqlError> {
        self.count += 1;
        if self.count > TABLES_MAX {
            return stop(SqlError::Tables);
        }
        match factor {
            TableFactor::Table { args: None, .. } | TableFactor::Derived { lateral: false, .. } | TableFactor::NestedJoin { .. } => ControlFlow::Continue(()),
            other => stop(SqlError::Table(other.to_string().chars().take(60).collect())),
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<SqlError> {
        let parts: Vec<String> = relation.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.to_ascii_lowercase()).collect();
        let name = parts.join(".");
        let known = parts.len() == relation.0.len() && (self.tables.contains(&name.as_str()) || (parts.len() == 1 && self.named.contains(&name)));
        if known { ControlFlow::Continue(()) } else { stop(SqlError::Table(relation.to_string().chars().take(60).collect())) }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<SqlError> {
        let column = match expr {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(idents) => idents.last(),
            Expr::Function(function) => {
                let name = function.name.to_string().to_ascii_lowercase();
                if !FUNCTIONS.contains(&name.as_str()) {
                    return stop(SqlError::Function(name.chars().take(60).collect()));
                }
                None
            }
            _ => None,
        };
        match column.map(|ident| ident.value.to_ascii_lowercase()) {
            Some(name) if COLUMNS_CLOSED.contains(&name.as_str()) => stop(SqlError::Column(name)),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// Nothing but selects, their unions and values.
fn reads(body: &SetExpr) -> ControlFlow<SqlError> {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => ControlFlow::Continue(()),
        SetExpr::SetOperation { left, right, .. } => {
            reads(left)?;
            reads(right)
        }
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) | SetExpr::Table(_) => stop(SqlError::NotOneSelect("this does something else".to_owned())),
    }
}

/// Whether a condition compares columns, so that `ON true` is none.
fn has_columns(condition: &Expr) -> bool {
    struct Columns(usize);
    impl Visitor for Columns {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            self.0 += usize::from(matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)));
            ControlFlow::Continue(())
        }
    }
    let mut columns = Columns(0);
    let _ = condition.visit(&mut columns);
    columns.0 >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sql: &str) -> Result<Allowed, SqlError> {
        check(sql, &TABLES, 100)
    }

    #[test]
    fn what_reads_runs_with_an_end() {
        let allowed = of("select unit, count(*) as n from silver.decision group by unit").unwrap();
        assert!(allowed.cut && allowed.sql.ends_with("LIMIT 100"), "{allowed:?}");
        let allowed = of("SELECT unit FROM Silver.Decision ORDER BY unit LIMIT 7").unwrap();
        assert!(!allowed.cut && allowed.sql.ends_with("LIMIT 7"), "{allowed:?}");
        for limit in ["LIMIT 101", "LIMIT ALL", "LIMIT 1 + 1000", "LIMIT 4000000000000"] {
            let allowed = of(&format!("select unit from silver.decision {limit}")).unwrap();
            assert!(allowed.cut && allowed.sql.ends_with("LIMIT 100"), "{limit}: {allowed:?}");
        }
        for sql in [
            "with w as (select unit from silver.decision) select unit, count(*) from w group by unit",
            "select a.unit from silver.decision a join silver.case_transition b on a.subject = b.case_id",
            "select unit from silver.decision union all select unit from silver.case_transition",
            "select unit from silver.decision where unit in (select unit from silver.alert) ;",
            "select date_trunc('day', at), avg(latency_ms) from silver.decision group by 1 -- by day",
        ] {
            assert!(of(sql).is_ok(), "{sql}: {:?}", of(sql));
        }
    }

    #[test]
    fn what_does_more_than_read_does_not_run() {
        for sql in [
            "update silver.decision set unit = 'x'", "delete from silver.decision", "insert into silver.decision values (1)", "create table x as select 1", "drop table silver.decision", "copy (select 1) to 'x.csv'",
            "set a.b = 1", "explain analyze select 1", "select 1; select 2", "", "select unit into x from silver.decision", "with x as (insert into silver.decision values (1)) select 1", "truncate table silver.decision",
            "select unit from silver.decision for update", "call f()", "show all", "begin", "select unit from silver.decision fetch first 5 rows only", "grant all on silver.decision to x",
        ] {
            assert!(matches!(of(sql), Err(SqlError::NotOneSelect(_) | SqlError::Syntax(_) | SqlError::Table(_))), "{sql}: {:?}", of(sql));
        }
    }

    #[test]
    fn nothing_but_what_is_listed() {
        for sql in [
            "select * from vault", "select unit from bronze.raw_hotline", "select * from information_schema.tables", "select * from read_csv('/x')", "select * from 'x.parquet'", "select * from silver.hotline_message",
            "select * from other.silver.decision", "select * from silver.decision where unit in (select unit from vault)", "with silver as (select 1) select * from silver.vault", "table vault",
            "select * from generate_series(1, 9)", "select * from unnest([1])", "select (select max(token) from vault)", "select * from (select * from vault) x",
        ] {
            assert!(matches!(of(sql), Err(SqlError::Table(_) | SqlError::Column(_) | SqlError::NotOneSelect(_) | SqlError::Syntax(_))), "{sql}: {:?}", of(sql));
        }
        assert!(matches!(of("select load_file('x')"), Err(SqlError::Function(_))));
        assert!(matches!(of("select version()"), Err(SqlError::Function(_))));
        for sql in ["select prompt from silver.decision", "select d.\"Prompt\" from silver.decision d", "select unit from silver.decision where text like 'a%'", "select count(caller) from silver.decision"] {
            assert!(matches!(of(sql), Err(SqlError::Column(_))), "{sql}: {:?}", of(sql));
        }
    }

    #[test]
    fn nothing_without_an_end() {
        for sql in [
            "select count(*) from silver.decision a, silver.decision b",
            "select 1 from silver.decision a cross join silver.decision b",
            "select 1 from silver.decision a join silver.decision b on true",
            "select 1 from silver.decision a join silver.decision b on 1 = 1",
            "select 1 from silver.decision a natural join silver.decision b",
            "select 1 from silver.decision a join silver.decision b",
        ] {
            assert!(matches!(of(sql), Err(SqlError::Product(_))), "{sql}: {:?}", of(sql));
        }
        assert_eq!(of("with recursive r as (select 1 as n union all select n + 1 from r) select * from r"), Err(SqlError::Recursive));
        assert_eq!(of(&"select 1 union all ".repeat(1_000)), Err(SqlError::Long));
        let many = (0..8).map(|at| format!("select unit from silver.decision d{at}")).collect::<Vec<_>>().join(" union all ");
        assert_eq!(of(&many), Err(SqlError::Tables));
        assert!(of(&format!("select {}1{}", "(".repeat(1_500), ")".repeat(1_500))).is_err(), "no depth without end");
    }
}
