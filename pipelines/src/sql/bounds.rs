//! How far apart in time two rows of a join may be, read from its conditions.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, Operator, TryCast};

use crate::functions::width_us;

/// The time of the right row minus that of the left one, in microseconds, as far as it is bounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Distance {
    least: Option<i64>,
    greatest: Option<i64>,
}

/// The time of a side, and what is added to it.
struct Time {
    of_left: bool,
    plus_us: i64,
}

impl Distance {
    /// Both bounds, when both are there.
    pub(crate) fn bounded(self) -> Option<(i64, i64)> {
        Some((self.least?, self.greatest?))
    }

    /// Takes a condition into account. Says whether the distance tells all that the condition does.
    pub(crate) fn narrow(&mut self, condition: &Expr, is_left: &dyn Fn(&Expr) -> bool, is_right: &dyn Fn(&Expr) -> bool) -> bool {
        let time = |expr: &Expr| time_of(expr, is_left, is_right);
        match condition {
            Expr::Between(Between { expr, negated: false, low, high }) => {
                let Some(middle) = time(expr) else { return false };
                let low = time(low).is_some_and(|low| self.at_least(&middle, &low, 0));
                let high = time(high).is_some_and(|high| self.at_least(&high, &middle, 0));
                low && high
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (Some(one), Some(other)) = (time(left), time(right)) else { return false };
                match op {
                    Operator::GtEq => self.at_least(&one, &other, 0),
                    Operator::Gt => self.at_least(&one, &other, 1),
                    Operator::LtEq => self.at_least(&other, &one, 0),
                    Operator::Lt => self.at_least(&other, &one, 1),
                    Operator::Eq => self.at_least(&one, &other, 0) && self.at_least(&other, &one, 0),
                    _ => false,
                }
            }
            _ => false,
        }
    }

    /// `greater >= smaller + margin`, when they are times of different sides.
    fn at_least(&mut self, greater: &Time, smaller: &Time, margin: i64) -> bool {
        let (greater_plus, smaller_plus) = (greater.plus_us, smaller.plus_us.saturating_add(margin));
        match (greater.of_left, smaller.of_left) {
            // right + p >= left + q: right - left >= q - p
            (false, true) => {
                let least = smaller_plus.saturating_sub(greater_plus);
                self.least = Some(self.least.map_or(least, |known| known.max(least)));
                true
            }
            // left + p >= right + q: right - left <= p - q
            (true, false) => {
                let greatest = greater_plus.saturating_sub(smaller_plus);
                self.greatest = Some(self.greatest.map_or(greatest, |known| known.min(greatest)));
                true
            }
            _ => false,
        }
    }
}

fn time_of(expr: &Expr, is_left: &dyn Fn(&Expr) -> bool, is_right: &dyn Fn(&Expr) -> bool) -> Option<Time> {
    match expr {
        expr if is_left(expr) => Some(Time { of_left: true, plus_us: 0 }),
        expr if is_right(expr) => Some(Time { of_left: false, plus_us: 0 }),
        Expr::Cast(Cast { expr, .. }) | Expr::TryCast(TryCast { expr, .. }) => time_of(expr, is_left, is_right),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => match (time_of(left, is_left, is_right), interval(right)) {
            (Some(time), Some(us)) => Some(Time { plus_us: time.plus_us.checked_add(us)?, ..time }),
            _ => {
                let time = time_of(right, is_left, is_right)?;
                Some(Time { plus_us: time.plus_us.checked_add(interval(left)?)?, ..time })
            }
        },
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
            let time = time_of(left, is_left, is_right)?;
            Some(Time { plus_us: time.plus_us.checked_sub(interval(right)?)?, ..time })
        }
        _ => None,
    }
}

/// A constant interval of a fixed length; zero is one.
fn interval(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(value @ (ScalarValue::IntervalMonthDayNano(_) | ScalarValue::IntervalDayTime(_) | ScalarValue::DurationMicrosecond(_)), _) => {
            match width_us(value) {
                Ok(us) => Some(us),
                Err(_) if is_zero(value) => Some(0),
                // A negative one, as in a.ts + INTERVAL '-5 seconds'.
                Err(_) => value.arithmetic_negate().ok().and_then(|positive| width_us(&positive).ok()).map(|us| -us),
            }
        }
        Expr::Cast(Cast { expr, .. }) | Expr::TryCast(TryCast { expr, .. }) => interval(expr),
        _ => None,
    }
}

fn is_zero(value: &ScalarValue) -> bool {
    ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| zero == *value)
}
