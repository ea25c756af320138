//! The detector of one series: what it keeps, and how it scores a value.
//!
//! Each way of looking at a value gives a magnitude: how far it is above the mean of all, below it, above the usual of this
//! time of the day, and so on. A [`Tail`] for each says how often the magnitude was as large before. That rank needs no
//! knowledge of the series' unit or distribution, and for values in random order the k largest so far become rarer as 1/n, so
//! that a series of any kind raises few alarms. What surpasses all before counts by how much.
//!
//! Ranks of extremes: conformal anomaly detection (Laxhammar and Falkman 2014). What makes one alarm of one event, and lets a
//! series that often alarms alarm less, is our own: after an alarm only what is clearly stranger alarms again for a while, and
//! each alarm raises the bar, which sinks again with time.

use serde::{Deserialize, Serialize};

use crate::season::{Day, Week};
use crate::tail::{MEMORY_VALUES, Tail};
use crate::window::Window;

/// What can be set; the defaults serve every series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Values that are learnt from before any is called strange.
    pub warmup_values: u32,
    /// Strangeness, in nats, from which on a value is worth an alarm: the score 0.5.
    pub line: f64,
    /// How much each alarm raises the bar: this times ln(1 + alarms).
    pub habituation: f64,
    /// After how large a share of all values so far alarms are forgotten by a factor of e.
    pub habituation_share: f64,
    /// For how large a share of all values so far an event goes on, in which only what is clearly stranger alarms again.
    pub event_share: f64,
    /// An event goes on for at least so many values.
    pub event_values_min: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options { warmup_values: 100, line: -1.75, habituation: 0.7, habituation_share: 0.5, event_share: 0.07, event_values_min: 30 }
    }
}

/// In what way a value is strange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It is not.
    Usual,
    /// It says nothing: no number, or too little is known yet.
    Abstained,
    /// Far from all before, at once.
    Spike,
    /// The last values are far from the mean of all.
    Level,
    /// Slowly moved away from the mean of all.
    Drift,
    /// The same value for longer than ever.
    Flat,
    /// Unlike the same time on other days or in other weeks.
    Season,
    /// The sensor was silent for clearly longer than it usually is ([`crate::Health`]).
    Silent,
    /// The same value, within the sensor's resolution, for longer than it plausibly stays ([`crate::Health`]).
    Stuck,
}

/// What is said of one value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// From 0 (usual) to 1; from 0.5 on it is worth an alarm.
    pub anomaly: f64,
    /// The way in which it is strange.
    pub why: Kind,
}

/// Values beyond are taken as this, so that sums stay finite.
const VALUE_MAX: f64 = 1e150;
/// From so many values on magnitudes are ranked.
const RANKED_FROM: u64 = 25;
/// What is asked of the seasons, of means of windows and of flat lines, in nats below what is asked of a value itself: they
/// go up and down slowly, so that one excursion gives many large magnitudes, and only what surpasses all before is telling.
const DAY_HANDICAP: f64 = -2.6;
const WEEK_HANDICAP: f64 = -1.0;
const WINDOW_HANDICAP: f64 = -3.0;
/// Fewer equal values are no flat line.
const FLAT_VALUES_MIN: f64 = 12.0;
/// How much it supports an alarm that the value jumped, or that the last values moved more than ever.
const SUPPORT: f64 = 0.1;
/// Stranger by so many nats than what began the event: an alarm of its own.
const CLEARLY_STRANGER: f64 = 1.0;

/// Two tails: above and below.
#[derive(Debug, Clone, Default)]
struct Sides {
    above: Tail,
    below: Tail,
}

impl Sides {
    fn strangeness(&self, distance: f64) -> Option<f64> {
        if distance >= 0.0 { self.above.strangeness(distance) } else { self.below.strangeness(distance) }
    }

    fn add(&mut self, distance: f64) {
        self.above.add(distance.max(0.0));
        self.below.add((-distance).max(0.0));
    }
}

/// A detector of one series. Its size does not depend on how long the series is.
#[derive(Debug, Clone)]
pub struct Detector {
    options: Options,
    seen: u64,
    /// The value before, the mean of all, the mean of the last few.
    last: f64,
    mean: f64,
    fast: f64,
    /// Mean distance from the mean; mean distance from `fast`, of the last few.
    spread: f64,
    restless: f64,
    values: Sides,
    day: Day,
    day_short: Window<4>,
    day_long: Window<16>,
    days_short: Sides,
    days_long: Sides,
    week: Week,
    week_mean: Window<16>,
    weeks: Sides,
    level: Window<64>,
    levels: Sides,
    drift: Window<200>,
    drifts: Sides,
    same: f64,
    sames: Tail,
    jumps: Tail,
    moved: Window<4>,
    moves: Tail,
    /// Alarms that are not forgotten, values since the last, and how strange it was.
    alarms: f64,
    since: u64,
    peak: f64,
}

/// The strangest of several ways of looking.
struct Strangest(f64, Kind);

impl Strangest {
    fn or(&mut self, strangeness: Option<f64>, handicap: f64, kind: Kind) {
        if let Some(strangeness) = strangeness.map(|strangeness| strangeness + handicap)
            && strangeness > self.0
        {
            *self = Strangest(strangeness, kind);
        }
    }
}

impl Detector {
    /// A detector that has seen nothing.
    pub fn new(options: Options) -> Detector {
        Detector {
            options,
            seen: 0,
            last: 0.0,
            mean: 0.0,
            fast: 0.0,
            spread: 0.0,
            restless: 0.0,
            values: Sides::default(),
            day: Day::default(),
            day_short: Window::default(),
            day_long: Window::default(),
            days_short: Sides::default(),
            days_long: Sides::default(),
            week: Week::default(),
            week_mean: Window::default(),
            weeks: Sides::default(),
            level: Window::default(),
            levels: Sides::default(),
            drift: Window::default(),
            drifts: Sides::default(),
            same: 0.0,
            sames: Tail::default(),
            jumps: Tail::default(),
            moved: Window::default(),
            moves: Tail::default(),
            alarms: 0.0,
            since: 0,
            peak: 0.0,
        }
    }

    /// Scores the next value, then learns from it. `time_us` is its time in microseconds since 1970; only the time of the
    /// day and of the week is taken from it, so that it may jump. A value that is not finite is abstained from and changes
    /// nothing.
    pub fn score(&mut self, time_us: i64, value: f64) -> Score {
        if !value.is_finite() {
            return Score { anomaly: 0.0, why: Kind::Abstained };
        }
        let value = value.clamp(-VALUE_MAX, VALUE_MAX);
        let strangest = self.look(time_us, value);
        self.judge(strangest)
    }

    /// Looks at the value in all ways, and learns from it.
    fn look(&mut self, time_us: i64, value: f64) -> Strangest {
        if self.seen == 0 {
            (self.last, self.mean, self.fast) = (value, value, value);
        }
        self.seen += 1;
        let seen = self.seen.min(u64::from(MEMORY_VALUES)) as f64;
        let ranked = self.seen > RANKED_FROM;
        let mut strangest = Strangest(f64::NEG_INFINITY, Kind::Usual);

        let distance = value - self.mean;
        self.spread += (distance.abs() - self.spread) / seen;
        let jump = (value - self.fast).abs();
        if ranked {
            let kind = if 2.0 * jump >= distance.abs() { Kind::Spike } else { Kind::Level };
            strangest.or(self.values.strangeness(distance), 0.0, kind);
        }
        self.values.add(distance);

        if let Some(residual) = self.day.residual(time_us, value) {
            let (short, long) = (self.day_short.push(residual), self.day_long.push(residual));
            if self.day.explains(self.spread) {
                if ranked {
                    strangest.or(self.days_short.strangeness(short), DAY_HANDICAP, Kind::Season);
                    strangest.or(self.days_long.strangeness(long), DAY_HANDICAP, Kind::Season);
                }
                self.days_short.add(short);
                self.days_long.add(long);
            }
        }
        if let Some(residual) = self.week.residual(time_us, value) {
            let mean = self.week_mean.push(residual);
            if self.week.explains(self.spread) {
                strangest.or(self.weeks.strangeness(mean), WEEK_HANDICAP, Kind::Season);
                self.weeks.add(mean);
            }
        }

        let level = self.level.push(value) - self.mean;
        let drift = self.drift.push(value) - self.mean;
        let same_ended = if value == self.last { None } else { Some(std::mem::replace(&mut self.same, 0.0)) };
        self.same += 1.0;
        if ranked {
            strangest.or(self.levels.strangeness(level), WINDOW_HANDICAP, Kind::Level);
            strangest.or(self.drifts.strangeness(drift), WINDOW_HANDICAP, Kind::Drift);
            let flat = self.sames.strangeness(self.same).filter(|_| self.same >= FLAT_VALUES_MIN);
            strangest.or(flat, WINDOW_HANDICAP, Kind::Flat);
        }
        self.levels.add(level);
        self.drifts.add(drift);
        // A run counts when it has ended, so that one that goes on is compared with those before it.
        if let Some(run) = same_ended {
            self.sames.add(run);
        }

        let relative = (jump / (self.restless + 0.1 * self.spread).max(f64::MIN_POSITIVE)).min(VALUE_MAX);
        let moved = self.moved.push((value - self.last).abs());
        if ranked {
            let ln_seen = (self.seen.min(u64::from(MEMORY_VALUES)) as f64).ln();
            let support = |strangeness: Option<f64>| strangeness.map_or(0.0, |strangeness| (strangeness + ln_seen).max(0.0));
            strangest.0 += SUPPORT * (support(self.jumps.strangeness(relative)) + support(self.moves.strangeness(moved)));
        }
        self.jumps.add(relative);
        self.moves.add(moved);

        self.restless += 0.1 * (jump - self.restless);
        self.fast += 0.3 * (value - self.fast);
        self.mean += distance / seen;
        self.last = value;
        strangest
    }

    /// Makes a score of strangeness: one alarm for one event, and fewer where alarms are usual.
    fn judge(&mut self, Strangest(strangeness, kind): Strangest) -> Score {
        let options = &self.options;
        let seen = self.seen.min(u64::from(MEMORY_VALUES)) as f64;
        self.since = self.since.saturating_add(1);
        self.alarms *= (-1.0 / (options.habituation_share * seen).max(1.0)).exp();
        if self.seen <= u64::from(options.warmup_values) {
            return Score { anomaly: 0.0, why: Kind::Abstained };
        }
        let above_line = strangeness - options.habituation * self.alarms.ln_1p() - options.line;
        let going_on = (self.since as f64) < (options.event_share * seen).max(f64::from(options.event_values_min));
        let alarm = above_line >= 0.0;
        let anomaly = 1.0 / (1.0 + (-0.5 * above_line).exp());
        let why = if alarm { kind } else { Kind::Usual };
        if going_on && !(alarm && above_line > self.peak + CLEARLY_STRANGER) {
            return Score { anomaly: 0.5 * anomaly.min(0.999), why };
        }
        if alarm {
            if !going_on {
                self.alarms += 1.0;
            }
            (self.peak, self.since) = (above_line, 0);
        }
        Score { anomaly, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIVE_MINUTES_US: i64 = 300_000_000;

    /// Noise that is always the same: in -1..1.
    fn noise(at: i64) -> f64 {
        let mixed = (at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }

    fn check(values: impl Iterator<Item = f64>) -> Vec<Score> {
        let mut detector = Detector::new(Options::default());
        values.enumerate().map(|(at, value)| detector.score(at as i64 * FIVE_MINUTES_US, value)).collect()
    }

    #[test]
    fn nothing_panics() {
        let mut detector = Detector::new(Options::default());
        for (at, value) in [f64::NAN, f64::INFINITY, f64::MIN, f64::MAX, 0.0, -0.0, 1e-320, 5.0].into_iter().cycle().take(2_000).enumerate() {
            let time = if at % 3 == 0 { i64::MIN } else { i64::MAX - at as i64 };
            let score = detector.score(time, value);
            assert!((0.0..=1.0).contains(&score.anomaly), "{value} {score:?}");
        }
    }

    #[test]
    fn a_spike_alarms_once() {
        let scores = check((0..2_000).map(|at| noise(at) + if (1_500..1_503).contains(&at) { 20.0 } else { 0.0 }));
        assert!(scores[1_500].anomaly > 0.8, "{:?}", scores[1_500]);
        assert_eq!(scores[1_500].why, Kind::Spike);
        assert!(scores[1_501..1_560].iter().all(|score| score.anomaly < 0.5));
    }

    #[test]
    fn noise_alarms_seldom() {
        let alarms = check((0..20_000).map(noise)).iter().skip(1_000).filter(|score| score.anomaly >= 0.5).count();
        assert!(alarms <= 20, "{alarms}");
    }

    #[test]
    fn a_level_shift_and_a_drift_alarm() {
        let scores = check((0..3_000).map(|at| noise(at) + if at >= 2_000 { 6.0 } else { 0.0 }));
        assert!(scores[2_000..2_010].iter().any(|score| score.anomaly >= 0.5));
        let scores = check((0..4_000).map(|at| noise(at) + (at - 2_000).max(0) as f64 * 0.01));
        assert!(scores[2_000..3_000].iter().any(|score| score.anomaly >= 0.5));
    }

    #[test]
    fn a_day_that_is_missing_alarms_though_its_values_are_usual() {
        let day = |at: i64| at.div_euclid(288);
        let value = |at: i64| noise(at) + if at.rem_euclid(288) >= 144 && day(at) != 12 { 50.0 } else { 0.0 };
        let scores = check((0..288 * 15).map(value));
        let (at, first) = scores.iter().enumerate().skip(288 * 12).find(|(_, score)| score.anomaly >= 0.5).unwrap();
        assert_eq!(first.why, Kind::Season);
        assert!((288 * 12 + 140..288 * 12 + 170).contains(&at), "{at}");
    }

    #[test]
    fn a_flat_line_alarms() {
        let scores = check((0..3_000).map(|at| if at >= 2_000 { 0.25 } else { (noise(at) * 8.0).round() }));
        let flat = scores[2_000..2_200].iter().find(|score| score.anomaly >= 0.5);
        assert_eq!(flat.map(|score| score.why), Some(Kind::Flat));
    }

    #[test]
    fn a_constant_says_nothing() {
        assert!(check(std::iter::repeat_n(7.0, 3_000)).iter().all(|score| score.anomaly < 0.5));
    }

    #[test]
    fn the_unit_does_not_matter() {
        let series = |unit: f64| check((0..1_500).map(move |at| unit * (noise(at) + if at == 1_200 { 9.0 } else { 0.0 })));
        let (small, large) = (series(2.0_f64.powi(-40)), series(2.0_f64.powi(30)));
        assert_eq!(small, large);
    }
}
