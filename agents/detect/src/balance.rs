//! The balance of a zone of a water network: what flows in less what the tank stores, hour by hour, against what is usual.
//!
//! A leak adds the same at every hour, most visible at night, when little is used: each hour's residual counts by the inverse
//! of its own variance, so that the night's minimum flow weighs most without being cut out. The test asks of windows
//! between six hours and a week whether their weighted mean is more than chance allows, up or down: a repaired leak takes consumption
//! down again, and the level that is held for usual follows. Takes only the hours' values and what came before them; knows
//! nothing of units (m³/h in, m³/h out), of pressure, and of where in the zone a leak lies.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Hours of a week.
pub const WEEK: usize = 168;

/// What a balance assumes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Hours that are learnt from before anything is said.
    pub learning_hours: u32,
    /// How many standard errors the mean of a window must lie off. There are six windows and every hour is looked at.
    pub threshold: f64,
    /// How much less independent hours say than their number: standard errors are this many times as large.
    pub inflation: f64,
    /// Smallest size worth an alarm, as a part of the mean consumption while learning.
    pub size_min: f64,
    /// Hours over which the usual level follows what is no alarm: seasons, growth.
    pub follow_hours: f64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { learning_hours: WEEK as u32, threshold: 6.0, inflation: 1.5, size_min: 0.02, follow_hours: 360.0 }
    }
}

/// Which way consumption went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// More is used than usual: a leak, or a new consumer.
    Rose,
    /// Less: a repair, or a consumer that went.
    Fell,
}

/// A change of level that chance does not explain.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The hour after which it was known, hours since 1970 by the file's own clock.
    pub hour: i64,
    /// The hour when it probably began.
    pub began: i64,
    /// Up or down.
    pub direction: Direction,
    /// By how much, in the unit of the inflow; negative when it fell.
    pub size: f64,
    /// Standard error of the size.
    pub error: f64,
    /// The size in standard errors.
    pub z: f64,
    /// Hours that the decision rests on.
    pub window: u32,
    /// Mean consumption of those hours.
    pub mean: f64,
}

/// What an hour says.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Verdict {
    /// 0..1: 0.9 where an alarm is raised for a rise, 0.6 for a fall; 0 while learning.
    pub score: f64,
    /// A change, once, at the hour when it is known.
    pub change: Option<Change>,
}

/// Windows that are looked at, hours.
const WINDOWS: [usize; 6] = [6, 12, 24, 48, 96, 168];
/// A hole longer than this makes what came before useless for a window.
const HOLE_HOURS: i64 = 48;
/// A residual counts for this many standard deviations at most: a burst main in one hour is not a leak of a day.
const CLIP: f64 = 4.0;
/// Fewer hours are not learnt from.
const LEARNT_MIN: usize = 72;

/// The balance of one zone.
#[derive(Debug, Clone)]
pub struct Balance {
    settings: Settings,
    learning: Vec<(i64, f64)>,
    last: Option<i64>,
    usual: Option<Usual>,
    window: VecDeque<Residual>,
    /// Hours since the level was last set, with the hours it was set from.
    level_hours: f64,
    since: usize,
}

#[derive(Debug, Clone, Copy)]
struct Residual {
    hour: i64,
    value: f64,
    weight: f64,
    consumption: f64,
}

/// What is usual at each hour of the week.
#[derive(Debug, Clone)]
struct Usual {
    level: f64,
    /// What an hour of the week has beyond its hour of the day and its day of the week.
    week: [f64; WEEK],
    week_seen: [f64; WEEK],
    weekday: [f64; 7],
    day: [f64; 24],
    day_seen: f64,
    spread: [f64; 24],
    spread_min: f64,
    size_min: f64,
}

impl Default for Balance {
    fn default() -> Balance {
        Balance::new(Settings::default())
    }
}

impl Balance {
    /// A balance that has seen nothing.
    pub fn new(settings: Settings) -> Balance {
        let level_hours = f64::from(settings.learning_hours);
        Balance { settings, learning: Vec::new(), last: None, usual: None, window: VecDeque::new(), level_hours, since: 0 }
    }

    /// Whether the learning is over.
    pub fn ready(&self) -> bool {
        self.usual.is_some()
    }

    /// Takes the consumption of an hour. An hour that is not later than the last, and a value that is no finite number, say nothing.
    pub fn push(&mut self, hour: i64, consumption: f64) -> Verdict {
        // Beyond a hundred billion nothing is a flow, and squares would overflow.
        if consumption.abs().total_cmp(&1e11).is_gt() || consumption.is_nan() || self.last.is_some_and(|last| hour <= last) {
            return Verdict::default();
        }
        let hole = self.last.is_some_and(|last| hour.saturating_sub(last) > HOLE_HOURS);
        self.last = Some(hour);
        let Some(usual) = &mut self.usual else {
            self.learning.push((hour, consumption));
            let first = self.learning[0].0;
            if hour.saturating_sub(first) >= i64::from(self.settings.learning_hours) - 1 && self.learning.len() >= LEARNT_MIN {
                self.usual = Some(Usual::learn(&self.learning, self.settings.size_min));
                self.learning = Vec::new();
            }
            return Verdict::default();
        };
        if hole {
            self.window.clear();
            self.since = 0;
        }
        let (expected, spread) = usual.expect(hour);
        let value = (consumption - expected).clamp(-CLIP * spread, CLIP * spread);
        usual.follow(hour, consumption - expected, value, spread);
        self.since += 1;
        usual.level += value / self.settings.follow_hours.min(self.since as f64 + self.level_hours).max(1.0);
        self.window.push_back(Residual { hour, value, weight: 1.0 / (spread * spread), consumption });
        if self.window.len() > WEEK {
            self.window.pop_front();
        }
        let Some(change) = strongest(&self.window, &self.settings, usual.size_min) else { return Verdict::default() };
        let share = change.z.abs() / self.settings.threshold;
        let top = match change.direction {
            Direction::Rose => 0.9,
            Direction::Fell => 0.6,
        };
        if share < 1.0 {
            return Verdict { score: (top - 0.1) * share * share, change: None };
        }
        usual.level += change.size;
        self.level_hours = f64::from(change.window);
        self.since = 0;
        self.window.clear();
        // Above the threshold the rest of the way to one, so that stronger changes still stand apart.
        Verdict { score: top + (1.0 - top).min(0.1) * (1.0 - 1.0 / share), change: Some(change) }
    }
}

/// The window whose mean lies farthest off, in standard errors, of those whose mean is worth an alarm.
fn strongest(window: &VecDeque<Residual>, settings: &Settings, size_min: f64) -> Option<Change> {
    let (mut weights, mut sums, mut consumption) = (0.0, 0.0, 0.0);
    let mut best: Option<Change> = None;
    let newest = window.back()?.hour;
    for (at, residual) in window.iter().rev().enumerate() {
        weights += residual.weight;
        sums += residual.weight * residual.value;
        consumption += residual.consumption;
        let hours = at + 1;
        if !WINDOWS.contains(&hours) {
            continue;
        }
        let (size, error) = (sums / weights, settings.inflation / weights.sqrt());
        let z = size / error;
        if size.abs() >= size_min && z.is_finite() && best.is_none_or(|best| z.abs() > best.z.abs()) {
            let direction = if z > 0.0 { Direction::Rose } else { Direction::Fell };
            let mean = consumption / hours as f64;
            best = Some(Change { hour: newest.saturating_add(1), began: residual.hour, direction, size, error, z, window: hours as u32, mean });
        }
    }
    best
}

fn hour_of_day(hour: i64) -> usize {
    hour.rem_euclid(24) as usize
}

fn hour_of_week(hour: i64) -> usize {
    hour.rem_euclid(WEEK as i64) as usize
}

impl Usual {
    fn learn(hours: &[(i64, f64)], size_min: f64) -> Usual {
        let level = median(hours.iter().map(|hour| hour.1).collect());
        let mean = hours.iter().map(|hour| hour.1.abs()).sum::<f64>() / hours.len() as f64;
        let mut day = [0.0; 24];
        for (at, day) in day.iter_mut().enumerate() {
            *day = median(hours.iter().filter(|hour| hour_of_day(hour.0) == at).map(|hour| hour.1 - level).collect());
        }
        let mut weekday = [0.0; 7];
        for (at, weekday) in weekday.iter_mut().enumerate() {
            *weekday = median(hours.iter().filter(|hour| hour_of_week(hour.0) / 24 == at).map(|hour| hour.1 - level - day[hour_of_day(hour.0)]).collect());
        }
        let off = |hour: &(i64, f64)| hour.1 - level - day[hour_of_day(hour.0)] - weekday[hour_of_week(hour.0) / 24];
        let (mut week, mut week_seen) = ([0.0; WEEK], [0.0; WEEK]);
        for hour in hours {
            let at = hour_of_week(hour.0);
            week_seen[at] += 1.0;
            week[at] += (off(hour) - week[at]) / week_seen[at];
        }
        let off = |hour: &(i64, f64)| off(hour).abs();
        let mut spread = [0.0; 24];
        for (at, spread) in spread.iter_mut().enumerate() {
            // An hour has a value a day: its neighbours help.
            let near = hours.iter().filter(|hour| matches!((hour_of_day(hour.0) + 24 - at) % 24, 0 | 1 | 23));
            *spread = 1.4826 * median(near.map(off).collect());
        }
        let spread_min = (0.3 * spread.iter().sum::<f64>() / 24.0).max(mean * 1e-4).max(1e-9);
        let spread = spread.map(|it| it.max(spread_min));
        Usual { level, week, week_seen, weekday, day, day_seen: hours.len() as f64 / 24.0, spread, spread_min, size_min: size_min * mean }
    }

    /// What is expected of an hour, and its standard deviation.
    fn expect(&self, hour: i64) -> (f64, f64) {
        let (slot, day) = (hour_of_week(hour), hour_of_day(hour));
        let seen = self.week_seen[slot];
        // An hour of the week stands for itself the more, the more often it was seen; what few weeks say of it is uncertain too.
        let shape = self.day[day] + self.weekday[slot / 24] + self.week[slot] * seen / (seen + 2.0);
        (self.level + shape, self.spread[day] * (1.0 + 1.0 / (seen + 1.0)).sqrt())
    }

    fn follow(&mut self, hour: i64, off: f64, clipped: f64, spread: f64) {
        let (slot, day) = (hour_of_week(hour), hour_of_day(hour));
        let own = self.week[slot] * self.week_seen[slot] / (self.week_seen[slot] + 2.0);
        self.week_seen[slot] += 1.0;
        self.week[slot] += (own + clipped - self.week[slot]) * (1.0 / self.week_seen[slot]).max(0.15);
        self.day_seen += 1.0 / 24.0;
        self.day[day] += clipped * (1.0 / self.day_seen.max(1.0)).max(0.04);
        self.weekday[slot / 24] += clipped * 0.3 / 24.0;
        // The median of what is off, by a step up or down, times what makes it a standard deviation.
        let step = if off.abs() > 0.6745 * spread { 1.03 } else { 1.0 / 1.03 };
        self.spread[day] = (self.spread[day] * step).max(self.spread_min);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.get(half) {
        None => 0.0,
        Some(upper) if values.len() % 2 == 1 => *upper,
        Some(upper) => (values[half - 1] + upper) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance_made::{Noise, consumption};

    fn changes(hours: i64, leak: impl Fn(i64) -> f64, seed: u64) -> Vec<Change> {
        let (mut balance, mut noise) = (Balance::default(), Noise(seed));
        (0..hours).filter_map(|hour| balance.push(hour, consumption(hour) + 4.0 * noise.normal() + leak(hour)).change).collect()
    }

    #[test]
    fn a_burst_is_told_within_a_day_and_its_repair_too() {
        let told = changes(24 * 60, |hour| if (500..1000).contains(&hour) { 12.0 } else { 0.0 }, 1);
        assert_eq!(told.iter().map(|it| it.direction).collect::<Vec<_>>(), [Direction::Rose, Direction::Fell], "{told:?}");
        assert!((501..=524).contains(&told[0].hour) && (1001..=1024).contains(&told[1].hour), "{told:?}");
        assert!((told[0].size - 12.0).abs() < 6.0 && (told[1].size + 12.0).abs() < 6.0, "{told:?}");
    }

    #[test]
    fn nothing_is_told_of_a_quiet_half_year() {
        let told: usize = (10..16).map(|seed| changes(24 * 180, |_| 0.0, seed).len()).sum();
        assert!(told <= 2, "{told} changes in three quiet years");
    }

    #[test]
    fn a_growing_leak_is_told_before_it_is_large() {
        let told = changes(24 * 70, |hour| (hour as f64 - 600.0).clamp(0.0, 800.0) * 0.025, 3);
        let first = told.first().expect("it is told");
        assert!(first.direction == Direction::Rose && (first.hour as f64 - 600.0) * 0.025 < 12.0, "{told:?}");
    }

    #[test]
    fn what_is_no_number_or_late_says_nothing() {
        let mut balance = Balance::default();
        for hour in 0..400 {
            balance.push(hour, consumption(hour));
        }
        let before = format!("{balance:?}");
        for (hour, value) in [(500, f64::NAN), (500, f64::INFINITY), (500, -1e300), (399, 1.0), (i64::MIN, 1.0)] {
            assert_eq!(balance.push(hour, value), Verdict::default());
        }
        assert_eq!(format!("{balance:?}"), before);
        balance.push(i64::MAX, 1e10);
        balance.push(i64::MAX, 1e10);
    }
}
