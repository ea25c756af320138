//! What a stream cannot do, found in the text of the query before it is planned.
//!
//! A stream has no end, so whatever needs the whole of it is refused, and so is what would differ from run to run.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, GroupByExpr, Query, Select, SetExpr, SetOperator, SetQuantifier, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::Location;

use crate::sql::fault::Fault;
use crate::sql::script::{Script, start_of};

/// Places in the text that later checks point at.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    pub(crate) query: Location,
    pub(crate) group_by: Option<Location>,
    calls: Vec<Call>,
}

#[derive(Debug, Clone)]
struct Call {
    function: String,
    text: String,
    at: Location,
}

impl Marks {
    /// Where a function is called with all of these columns; its first call when none fits, the query when there is none.
    pub(crate) fn call(&self, function: &str, columns: &[String]) -> Location {
        let calls = || self.calls.iter().filter(|call| call.function == function);
        let fits = |call: &&Call| columns.iter().all(|column| call.text.contains(column.as_str()));
        calls().find(fits).or_else(|| calls().next()).map_or(self.query, |call| call.at)
    }
}

/// Checks the queries of the views and of the INSERT.
pub(crate) fn check(script: &Script) -> Result<Marks, Fault> {
    let marks = Marks { query: script.insert.query_at, group_by: None, calls: Vec::new() };
    let mut walk = Walk { marks };
    let queries = script.views.iter().map(|view| &view.query).chain([&script.insert.query]);
    for query in queries {
        if let ControlFlow::Break(fault) = query.visit(&mut walk) {
            return Err(*fault);
        }
    }
    Ok(walk.marks)
}

struct Walk {
    marks: Marks,
}

impl Visitor for Walk {
    type Break = Box<Fault>;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Box<Fault>> {
        let at = self.marks.query;
        if let Some(order_by) = &query.order_by {
            return refuse(start_of(order_by, at), "ORDER BY over a stream, which never ends", "leave it out: rows come ordered by window and keys");
        }
        if let Some(limit) = &query.limit_clause {
            return refuse(start_of(limit, at), "LIMIT over a stream: which rows come first depends on the run", "choose rows by WHERE, or number them in windows: ROW_NUMBER() OVER (PARTITION BY window ORDER BY ...)");
        }
        if let Some(fetch) = &query.fetch {
            return refuse(start_of(fetch, at), "FETCH over a stream: which rows come first depends on the run", "choose rows by WHERE, or number them in windows: ROW_NUMBER() OVER (PARTITION BY window ORDER BY ...)");
        }
        match query.body.as_ref() {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(_) => ControlFlow::Continue(()),
            SetExpr::SetOperation { op: SetOperator::Union, set_quantifier: SetQuantifier::All, .. } => ControlFlow::Continue(()),
            SetExpr::SetOperation { op, .. } => {
                let place = start_of(query.body.as_ref(), at);
                refuse(place, format!("{op} of streams would have to remember all of them"), "write UNION ALL, or join windows")
            }
            other => refuse(start_of(other, at), "a job writes what a SELECT gives", "write INSERT INTO sink SELECT ... FROM source"),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Box<Fault>> {
        let Expr::Function(function) = expr else { return ControlFlow::Continue(()) };
        let at = start_of(function, self.marks.query);
        let name = function.name.to_string().to_lowercase();
        if let Some((_, why, hint)) = REFUSED.iter().find(|refused| refused.0.contains(&name.as_str())) {
            return refuse(at, format!("{name}(): {why}"), *hint);
        }
        self.marks.calls.push(Call { function: name, text: expr.to_string().to_lowercase(), at });
        ControlFlow::Continue(())
    }
}

const REFUSED: [(&[&str], &str, &str); 3] = [
    (
        &["now", "current_timestamp", "current_date", "current_time", "localtimestamp", "today", "wallclock"],
        "the clock differs from run to run, so the result could not be recomputed",
        "use the event's own time, or METADATA FROM 'recorded_time'",
    ),
    (
        &["random", "rand", "uuid", "gen_random_uuid"],
        "chance differs from run to run, so the result could not be recomputed",
        "rows have ids already; for a sample write WHERE \"offset\" % 100 = 0",
    ),
    (&["cumulate"], "there are no cumulating windows", "write tumble, hop or session"),
];

impl Walk {
    fn select(&mut self, select: &Select) -> ControlFlow<Box<Fault>> {
        let at = start_of(select, self.marks.query);
        if let GroupByExpr::All(_) = &select.group_by {
            return refuse(at, "GROUP BY ALL", "name the keys: GROUP BY tumble(INTERVAL '1 minute'), station");
        }
        if let GroupByExpr::Expressions(keys, _) = &select.group_by
            && let Some(first) = keys.first()
        {
            self.marks.group_by.get_or_insert(start_of(first, at));
        }
        ControlFlow::Continue(())
    }
}

fn refuse(at: Location, message: impl Into<String>, hint: &str) -> ControlFlow<Box<Fault>> {
    ControlFlow::Break(Box::new(Fault::new(at, message).hint(hint)))
}
