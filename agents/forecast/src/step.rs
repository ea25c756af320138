//! Steps of time: how a moment becomes a number, and where in its day, week or year a step lies.

use chrono::Datelike;
use serde::{Deserialize, Serialize};

use crate::calendar;

/// Microseconds of a minute, an hour, a day.
pub const MINUTE_US: i64 = 60_000_000;
/// Microseconds of an hour.
pub const HOUR_US: i64 = 60 * MINUTE_US;
/// Microseconds of a day.
pub const DAY_US: i64 = 24 * HOUR_US;

/// The distance of two values of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Step {
    /// So many microseconds, at least 1.
    Every(i64),
    /// Days.
    Day,
    /// Weeks from Monday.
    Week,
    /// Months of the calendar.
    Month,
}

impl Step {
    /// One hour.
    pub const HOUR: Step = Step::Every(HOUR_US);

    /// The step's number of a moment (microseconds since 1970 of the clock that people there read).
    pub fn of(self, time_us: i64) -> i64 {
        match self {
            Step::Every(us) => time_us.div_euclid(us.max(1)),
            Step::Day => time_us.div_euclid(DAY_US),
            Step::Week => (time_us.div_euclid(DAY_US) + 3).div_euclid(7),
            Step::Month => {
                let date = calendar::date(time_us.div_euclid(DAY_US));
                i64::from(date.year()) * 12 + i64::from(date.month0())
            }
        }
    }

    /// When a step begins, microseconds.
    pub fn start(self, step: i64) -> i64 {
        match self {
            Step::Every(us) => step.saturating_mul(us.max(1)),
            _ => self.day(step).saturating_mul(DAY_US),
        }
    }

    /// The day in which a step begins, since 1970-01-01.
    pub fn day(self, step: i64) -> i64 {
        match self {
            Step::Every(us) => step.saturating_mul(us.max(1)).div_euclid(DAY_US),
            Step::Day => step,
            Step::Week => step.saturating_mul(7).saturating_sub(3),
            Step::Month => {
                let year = i32::try_from(step.div_euclid(12)).unwrap_or(1970);
                let first = chrono::NaiveDate::from_ymd_opt(year, step.rem_euclid(12) as u32 + 1, 1).unwrap_or_default();
                (first - chrono::NaiveDate::default()).num_days()
            }
        }
    }

    /// Steps of a day, where there are several.
    fn per_day(self) -> Option<i64> {
        match self {
            Step::Every(us) if us < DAY_US => Some((DAY_US / us.max(1)).min(1440)),
            _ => None,
        }
    }

    /// After how many steps the usual repeats itself: a week, for steps below an hour a day, for weeks and months a year.
    pub fn season(self) -> usize {
        match (self, self.per_day()) {
            (Step::Every(us), Some(per_day)) => (if us >= HOUR_US { 7 * per_day } else { DAY_US / us.max(1) }) as usize,
            (Step::Every(_), None) => 1,
            (Step::Day, _) => 7,
            (Step::Week, _) => 52,
            (Step::Month, _) => 12,
        }
    }

    /// How many places [`Step::slot`] tells apart.
    pub fn slots(self) -> usize {
        match (self, self.per_day()) {
            (Step::Every(us), Some(per_day)) => (per_day * if us >= HOUR_US { 7 } else { 2 }) as usize,
            (Step::Day, _) => 7,
            (Step::Month, _) => 12,
            _ => 1,
        }
    }

    /// The step's place in its week, in its day (apart on weekends) for steps below an hour, in its year for months.
    pub fn slot(self, step: i64) -> usize {
        let weekday = calendar::weekday(self.day(step));
        match (self, self.per_day()) {
            (Step::Every(us), Some(per_day)) => {
                let within = (self.start(step).rem_euclid(DAY_US) as i128 * i128::from(per_day) / i128::from(DAY_US)) as usize;
                within + per_day as usize * if us >= HOUR_US { weekday } else { usize::from(weekday >= 5) }
            }
            (Step::Day, _) => weekday,
            (Step::Month, _) => step.rem_euclid(12) as usize,
            _ => 0,
        }
    }

    /// The step that most distances of sorted times have: what is near a day, a week or a month is one.
    pub fn found(sorted_us: &[i64]) -> Option<Step> {
        let mut gaps: Vec<i64> = sorted_us.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).filter(|gap| *gap > 0).collect();
        gaps.sort_unstable();
        let gap = *gaps.get(gaps.len() / 2)?;
        Some(match gap / HOUR_US {
            20..=28 => Step::Day,
            160..=176 => Step::Week,
            648..=768 => Step::Month,
            29..=159 | 177.. => Step::Every(gap.saturating_add(DAY_US / 2) / DAY_US * DAY_US),
            _ if gap >= MINUTE_US => Step::Every((gap + MINUTE_US / 2) / MINUTE_US * MINUTE_US),
            _ => Step::Every(gap),
        })
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::Every(us) if us % DAY_US == 0 => write!(f, "{} d", us / DAY_US),
            Step::Every(us) if us % HOUR_US == 0 => write!(f, "{} h", us / HOUR_US),
            Step::Every(us) if us % MINUTE_US == 0 => write!(f, "{} min", us / MINUTE_US),
            Step::Every(us) => write!(f, "{} s", *us as f64 / 1e6),
            Step::Day => write!(f, "1 d"),
            Step::Week => write!(f, "1 w"),
            Step::Month => write!(f, "1 month"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_begin_where_they_are() {
        for step in [Step::HOUR, Step::Every(5 * MINUTE_US), Step::Day, Step::Week, Step::Month, Step::Every(3 * DAY_US)] {
            for day in [-400, -1, 0, 1, 59, 19_000, 20_123] {
                let number = step.of(day * DAY_US + 5 * HOUR_US);
                assert_eq!(step.of(step.start(number)), number, "{step:?} {day}");
                assert!(step.start(number) <= day * DAY_US + 5 * HOUR_US && step.start(number + 1) > day * DAY_US + 5 * HOUR_US, "{step:?} {day}");
                assert!(step.slot(number) < step.slots());
            }
        }
    }

    #[test]
    fn the_step_is_found() {
        let every = |gap: i64| (0..20).map(|at| at * gap).collect::<Vec<_>>();
        assert_eq!(Step::found(&every(DAY_US)), Some(Step::Day));
        assert_eq!(Step::found(&every(7 * DAY_US)), Some(Step::Week));
        assert_eq!(Step::found(&every(31 * DAY_US)), Some(Step::Month));
        assert_eq!(Step::found(&every(MINUTE_US)), Some(Step::Every(MINUTE_US)));
        assert_eq!(Step::found(&[5, 5]), None);
        assert_eq!(Step::found(&[i64::MIN, i64::MAX]).map(Step::slots), Some(1));
    }

    #[test]
    fn extremes_are_no_panic() {
        for step in [Step::HOUR, Step::Every(0), Step::Every(i64::MAX), Step::Day, Step::Week, Step::Month] {
            for time in [i64::MIN, -1, i64::MAX] {
                assert!(step.slot(step.of(time)) < step.slots());
                step.start(step.of(time));
            }
        }
    }
}
