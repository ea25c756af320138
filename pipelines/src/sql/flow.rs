//! A job as a graph: feeds of rows, steps that keep state between them, and the last stage, whose rows go to the sink.
//!
//! ```text
//! source --stage--> [ windows ] --stage--> sink
//! source --stage--> [         ]
//! source --stage--> [ join    ] --stage--> [ windows ] --stage--> sink
//! ```
//!
//! A *feed* is a table that an epoch fills: the rows of a source, or what a step gives. A *stage* is a stateless DataFusion
//! plan over feeds and lookups. A *step* keeps rows or partial aggregates until the watermark says that they are complete.

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Months};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::functions::window_start;
use crate::sql::failing::Failing;

/// What a job computes.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    /// Tables that an epoch fills: those of the sources in their order, then those of the steps.
    pub(crate) feeds: Vec<Feed>,
    /// Steps in an order in which each comes after those that it reads.
    pub(crate) steps: Vec<Step>,
    /// The last stage; its columns are the sink's, then the hidden ones.
    pub(crate) last: Stage,
    /// Whether its rows are those of closed windows.
    pub(crate) windowed: bool,
    /// The sink's columns.
    pub(crate) output: SchemaRef,
    /// Rows for which a function of others fails.
    pub(crate) failing: Failing,
}

/// A table that an epoch fills. Two hidden columns come last: the number of each row within the epoch, and its time.
#[derive(Debug, Clone)]
pub(crate) struct Feed {
    pub(crate) name: String,
    pub(crate) schema: SchemaRef,
    pub(crate) from: From,
    /// The window of its rows: all rows of a window are in one epoch.
    pub(crate) window: Option<Window>,
    /// The column that holds the window.
    pub(crate) window_at: Option<usize>,
}

/// What fills a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// The source with this number.
    Source(usize),
    /// The step with this number.
    Step(usize),
}

/// A stateless plan. Its columns are followed by the hidden ones, row number and time.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    pub(crate) plan: LogicalPlan,
    /// Which of its rows count, to be asked when the plan has computed them: those for which no function of others failed.
    pub(crate) kept: Option<Expr>,
}

/// Keeps state from epoch to epoch.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) kind: StepKind,
    /// What it reads: one stage, or two of a join.
    pub(crate) inputs: Vec<Stage>,
    /// The feed that it fills.
    pub(crate) feed: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum StepKind {
    Aggregate(Windows),
    Collect(Collect),
    Join(IntervalJoin),
}

/// A windowed aggregate. The first column of its stage is the start of the row's pane, or its time for sessions.
#[derive(Debug, Clone)]
pub(crate) struct Windows {
    pub(crate) window: Window,
    /// The pane or time, then the other keys: columns of the stage.
    pub(crate) keys: Vec<Expr>,
    /// The keys as they are written, without the window.
    pub(crate) key_names: Vec<String>,
    /// Which of the grouping expressions is the window.
    pub(crate) window_at: usize,
    pub(crate) aggregates: Vec<Expr>,
    /// The aggregates as they are written.
    pub(crate) aggregate_names: Vec<String>,
}

/// Keeps rows until their window is complete.
#[derive(Debug, Clone)]
pub(crate) struct Collect {
    pub(crate) window: Window,
}

/// A join of two streams on keys and on a bounded distance in time.
#[derive(Debug, Clone)]
pub(crate) struct IntervalJoin {
    /// Columns of the left and of the right stage that must be equal.
    pub(crate) keys: Vec<(usize, usize)>,
    /// Least and greatest time of the right row minus that of the left one, in microseconds.
    pub(crate) distance_us: (i64, i64),
    /// The keys as they are written.
    pub(crate) key_names: Vec<String>,
    /// Of an outer join, whether a left row and whether a right row without a partner is given alone.
    pub(crate) alone: [bool; 2],
    /// Of an outer join, what a pair must fulfil besides: over the columns of the step's feed.
    pub(crate) also: Option<Expr>,
}

/// How a stream is cut into finite pieces. All widths are in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Window {
    /// One window after another.
    Tumble { width: i64 },
    /// Windows that overlap: one begins every `slide`.
    Hop { slide: i64, width: i64 },
    /// Rows of a key that follow each other within a gap.
    Session { gap: Gap },
}

/// How long a session waits for its next row: calendar months, and microseconds besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) months: u32,
    pub(crate) us: i64,
    /// Where months begin and end: local time less UTC.
    pub(crate) offset_us: i64,
}

impl Gap {
    /// When a session whose last row has this time closes. The month after 31 January ends on the last day of February.
    pub(crate) fn after(self, last: i64) -> i64 {
        if self.months == 0 {
            return last.saturating_add(self.us);
        }
        let local = DateTime::from_timestamp_micros(last.saturating_add(self.offset_us));
        let later = local.and_then(|local| local.checked_add_months(Months::new(self.months)));
        later.map_or(i64::MAX, |later| later.timestamp_micros().saturating_sub(self.offset_us).saturating_add(self.us))
    }

    fn text(self) -> String {
        match (self.months, self.us) {
            (0, us) => crate::job::duration(us),
            (months, 0) => format!("{months} months"),
            (months, us) => format!("{months} months {}", crate::job::duration(us)),
        }
    }
}

impl Window {
    /// The width of the pieces that rows are put into when they come; windows are made from whole panes.
    pub(crate) fn pane(self) -> i64 {
        match self {
            Window::Tumble { width } => width,
            Window::Hop { slide, width } => gcd(slide, width),
            Window::Session { .. } => 1,
        }
    }

    /// When a window that starts at this time ends; of a session, one with a single row.
    pub(crate) fn end(self, start: i64) -> i64 {
        match self {
            Window::Tumble { width } | Window::Hop { width, .. } => start.saturating_add(width),
            Window::Session { gap } => gap.after(start),
        }
    }

    /// How far apart the starts of two windows are; of sessions, any time.
    pub(crate) fn slide(self) -> i64 {
        match self {
            Window::Tumble { width } => width,
            Window::Hop { slide, .. } => slide,
            Window::Session { .. } => 1,
        }
    }

    /// The ends of the first and the last window that a time belongs to; of a session, that of one with this row alone.
    pub(crate) fn ends(self, time: i64) -> (i64, i64) {
        match self {
            Window::Tumble { width } => {
                let end = window_start(time, width).saturating_add(width);
                (end, end)
            }
            Window::Hop { slide, width } => {
                let first = window_start(time.saturating_sub(width), slide).saturating_add(slide);
                (first.saturating_add(width), window_start(time, slide).saturating_add(width))
            }
            Window::Session { gap } => (gap.after(time), gap.after(time)),
        }
    }

    /// In the words of the dialect.
    pub(crate) fn text(self) -> String {
        let text = |us| crate::job::duration(us);
        match self {
            Window::Tumble { width } => format!("tumble {}", text(width)),
            Window::Hop { slide, width } => format!("hop {} every {}", text(width), text(slide)),
            Window::Session { gap } => format!("session, gap {}", gap.text()),
        }
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
