//! `tumble`, `hop` and `session` as they are called in a query.

use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;

use crate::functions::width_us;
use crate::limits::HOP_PANES_MAX;
use crate::sql::fault::Fault;
use crate::sql::flow::Window;
use crate::sql::refuse::Marks;

/// The names of the functions.
pub(crate) const NAMES: [&str; 3] = ["tumble", "hop", "session"];

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct WindowCall {
    pub(crate) name: String,
    pub(crate) window: Window,
    /// The time that is written out; Arroyo's dialect leaves it to the watermark.
    pub(crate) time: Option<Expr>,
    pub(crate) at: datafusion::sql::sqlparser::tokenizer::Location,
}

/// Whether an expression is such a call, alias or not.
pub(crate) fn is_call(expr: &Expr) -> bool {
    matches!(expr.clone().unalias(), Expr::ScalarFunction(call) if NAMES.contains(&call.func.name()))
}

/// What a call says; nothing when it is no call.
pub(crate) fn parse(expr: &Expr, marks: &Marks) -> Result<Option<WindowCall>, Fault> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr.clone().unalias() else { return Ok(None) };
    let name = func.name().to_owned();
    let at = marks.call(&name, &[]);
    let wrong = |message: String| Fault::new(at, message);
    let mut widths = Vec::new();
    let mut time = None;
    for (index, arg) in args.into_iter().enumerate() {
        match arg {
            Expr::Literal(value, _) => widths.push(width_us(&value).map_err(wrong)?),
            other if index == 0 => time = Some(other),
            other => return Err(wrong(format!("{other} is not a constant interval: write INTERVAL '1 minute'"))),
        }
    }
    let window = match (name.as_str(), &widths[..]) {
        ("tumble", [width]) => Window::Tumble { width: *width },
        ("session", [gap]) => Window::Session { gap: *gap },
        ("hop", [slide, width]) if slide == width => Window::Tumble { width: *width },
        ("hop", [slide, width]) if slide > width => {
            let fault = wrong("hop: the slide is longer than the window, so rows between windows would be lost".to_owned());
            return Err(fault.hint("write hop(INTERVAL slide, INTERVAL width), the slide first"));
        }
        ("hop", [slide, width]) => Window::Hop { slide: *slide, width: *width },
        ("tumble", _) => return Err(wrong("tumble takes one interval".to_owned()).hint("write tumble(INTERVAL '1 minute')")),
        ("session", _) => return Err(wrong("session takes one interval, the gap".to_owned()).hint("write session(INTERVAL '10 minutes')")),
        _ => {
            let fault = wrong("hop takes two intervals, the slide and the width".to_owned());
            return Err(fault.hint("write hop(INTERVAL '1 minute', INTERVAL '10 minutes')"));
        }
    };
    if let Window::Hop { width, .. } = window
        && width / window.pane() > HOP_PANES_MAX
    {
        let fault = wrong(format!("hop: a window would be put together from {} pieces", width / window.pane()));
        return Err(fault.hint(format!("use a slide that divides the width into at most {HOP_PANES_MAX}")));
    }
    Ok(Some(WindowCall { name, window, time, at }))
}
