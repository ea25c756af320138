//! `tumble`, `hop` and `session` as they are called in a query.

use arrow::compute::kernels::cast_utils::parse_interval_month_day_nano;
use chrono::FixedOffset;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::ScalarFunction;

use crate::functions::width_us;
use crate::limits::HOP_PANES_MAX;
use crate::sql::fault::Fault;
use crate::sql::flow::{Gap, Window};
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

/// Local time less UTC, as in `+08:00`.
fn offset_us(zone: &str) -> Result<i64, String> {
    let offset: FixedOffset = zone.parse().map_err(|_| format!("'{zone}' is no offset from UTC: write '+08:00'"))?;
    Ok(i64::from(offset.local_minus_utc()) * 1_000_000)
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
    let (mut time, mut gap) = (None, Gap { months: 0, us: 0, offset_us: 0 });
    for (index, arg) in args.into_iter().enumerate() {
        match arg {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) if widths.is_empty() || name == "hop" => {
                // tumble('5 seconds'), as Arroyo also takes it.
                let interval = parse_interval_month_day_nano(&text).map_err(|error| wrong(error.to_string()))?;
                widths.push(width_us(&ScalarValue::IntervalMonthDayNano(Some(interval))).map_err(wrong)?);
                gap.us = widths[0];
            }
            Expr::Literal(ScalarValue::Utf8(Some(zone)), _) if name == "session" && index > 0 => gap.offset_us = offset_us(&zone).map_err(wrong)?,
            Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(value)), _) if name == "session" && value.months > 0 => {
                gap.months = value.months.unsigned_abs();
                gap.us = i64::from(value.days) * 86_400_000_000 + value.nanoseconds / 1_000;
                widths.push(gap.us);
            }
            Expr::Literal(value, _) => {
                widths.push(width_us(&value).map_err(wrong)?);
                gap.us = widths[0];
            }
            other if index == 0 => time = Some(other),
            other => return Err(wrong(format!("{other} is not a constant interval: write INTERVAL '1 minute'"))),
        }
    }
    let window = match (name.as_str(), &widths[..]) {
        ("tumble", [width]) => Window::Tumble { width: *width },
        ("session", [_]) => Window::Session { gap },
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
