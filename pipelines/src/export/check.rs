//! What a job does that Arroyo cannot, and where.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::LogicalPlan;

use crate::job::{Job, duration};
use crate::sql::fault::Fault;
use crate::sql::flow::{Flow, StepKind, Window};
use crate::sql::refuse::{self, Marks};
use crate::sql::script::Script;
use crate::sql::tables::{Location, Target};

pub(crate) fn check(job: &Job, script: &Script) -> Result<(), Fault> {
    let marks = refuse::check(script)?;
    if let Some(lookup) = job.tables().lookups.first() {
        let fault = Fault::new(lookup.at, format!("table {} is looked up, and Arroyo looks things up in Redis only", lookup.name));
        return Err(fault.hint("leave this job in the city brain, or write its rows into the query as CASE WHEN ..."));
    }
    sink(job, script)?;
    steps(job.flow(), &marks)
}

fn sink(job: &Job, script: &Script) -> Result<(), Fault> {
    let table = script.tables.iter().find(|table| table.name == script.insert.into).expect("the job was read, so its sink is declared");
    match job.target() {
        Target::Kafka { latch: Some(_), .. } => {
            let at = table.options.iter().find(|option| option.name.starts_with("latch.")).map_or(table.at, |option| option.at);
            let fault = Fault::new(at, "a latch keeps what was said last, and Arroyo has none");
            Err(fault.hint("leave this job in the city brain, or leave the latch out: then every window says its state again"))
        }
        Target::Delta(Location::Lake { .. } | Location::Path(_)) | Target::Kafka { .. } | Target::Filesystem { .. } | Target::Stdout | Target::Blackhole => Ok(()),
    }
}

fn steps(flow: &Flow, marks: &Marks) -> Result<(), Fault> {
    for step in &flow.steps {
        match &step.kind {
            StepKind::Aggregate(windows) => {
                window(windows.window, marks)?;
                let other = windows_read(flow, &step.inputs[0].plan).into_iter().find(|window| *window != windows.window);
                if let Some(other) = other {
                    let fault = Fault::new(marks.call(call_of(windows.window), &[]), format!("windows of {} over windows of {}", windows.window.text(), other.text()));
                    return Err(fault.hint("Arroyo aggregates windows in the same windows only: write two jobs with a topic between them"));
                }
            }
            StepKind::Collect(collect) => {
                let fault = Fault::new(marks.call(call_of(collect.window), &[]), "rows that get windows without GROUP BY");
                return Err(fault.hint("Arroyo has windows in GROUP BY only: group by the window and by the columns that are needed"));
            }
            StepKind::Join(join) if join.alone.contains(&true) => {
                let fault = Fault::new(marks.query, "an outer join of rows within a time, whose results Arroyo would take back later");
                return Err(fault.hint("write JOIN, or give both sides the same window"));
            }
            StepKind::Join(join) => {
                let (least, greatest) = join.distance_us;
                if least.saturating_abs().max(greatest.saturating_abs()) > DAY_US {
                    let text = duration(least.saturating_abs().max(greatest.saturating_abs()));
                    let fault = Fault::new(marks.query, format!("a join of rows that are {text} apart: Arroyo forgets rows after a day"));
                    return Err(fault.hint("join within a day, or leave this job in the city brain"));
                }
            }
        }
    }
    let stages = flow.steps.iter().flat_map(|step| &step.inputs).chain([&flow.last]);
    match stages.into_iter().any(|stage| joins_sessions(flow, &stage.plan)) {
        true => Err(Fault::new(marks.query, "a join of sessions").hint("Arroyo joins tumbling and hopping windows only: leave this job in the city brain")),
        false => Ok(()),
    }
}

/// How long Arroyo keeps the rows of a join.
const DAY_US: i64 = 86_400_000_000;

fn window(window: Window, marks: &Marks) -> Result<(), Fault> {
    match window {
        Window::Session { gap } if gap.months > 0 || gap.offset_us != 0 => {
            let fault = Fault::new(marks.call("session", &[]), "a session of calendar months, and Arroyo's have a fixed length");
            Err(fault.hint("write days, as in session(INTERVAL '183 days'), or leave this job in the city brain"))
        }
        Window::Hop { slide, width } if width % slide != 0 => {
            let fault = Fault::new(marks.call("hop", &[]), format!("a hop of {} every {}", duration(width), duration(slide)));
            Err(fault.hint("Arroyo wants a width that is a multiple of the slide"))
        }
        Window::Tumble { .. } | Window::Hop { .. } | Window::Session { .. } => Ok(()),
    }
}

fn call_of(window: Window) -> &'static str {
    match window {
        Window::Tumble { .. } => "tumble",
        Window::Hop { .. } => "hop",
        Window::Session { .. } => "session",
    }
}

/// The windows of the feeds that a plan reads.
fn windows_read(flow: &Flow, plan: &LogicalPlan) -> Vec<Window> {
    let mut found = Vec::new();
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found.extend(flow.feeds.iter().find(|feed| feed.name == scan.table_name.table()).and_then(|feed| feed.window));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_or_else(|_| Vec::new(), |_| found)
}

fn joins_sessions(flow: &Flow, plan: &LogicalPlan) -> bool {
    let is_session = |plan: &LogicalPlan| windows_read(flow, plan).iter().any(|window| matches!(window, Window::Session { .. }));
    plan.exists(|node| Ok(matches!(node, LogicalPlan::Join(join) if is_session(&join.left) && is_session(&join.right)))).unwrap_or(true)
}
