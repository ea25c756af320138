//! The detector of one series: what it keeps, and how it scores a value.

use serde::{Deserialize, Serialize};

use crate::tail::Tail;

/// What can be set; the defaults serve every series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Values that are learnt from before any is called strange.
    pub warmup_values: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options { warmup_values: 100 }
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
    /// Far from what came just before.
    Spike,
    /// The mean of the last values has moved away from the long-term mean.
    Level,
    /// Slowly moving away.
    Drift,
    /// The series moves less than it ever did.
    Flat,
    /// Unlike the same time on other days.
    Season,
    /// The last values form a pattern that was not seen before.
    Pattern,
}

/// What is said of one value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// From 0 (usual) to 1; 0.5 and more is worth an alarm.
    pub anomaly: f64,
    /// The way in which it is strange.
    pub why: Kind,
}

/// A detector of one series. Its size does not depend on how long the series is.
#[derive(Debug, Clone)]
pub struct Detector {
    options: Options,
    seen: u64,
    last: f64,
    fast: f64,
    slow: f64,
    step: f64,
    spread: f64,
    jumps: Tail,
    levels: Tail,
}

impl Detector {
    /// A detector that has seen nothing.
    pub fn new(options: Options) -> Detector {
        Detector {
            options,
            seen: 0,
            last: 0.0,
            fast: 0.0,
            slow: 0.0,
            step: 0.0,
            spread: 0.0,
            jumps: Tail::default(),
            levels: Tail::default(),
        }
    }

    /// Scores the next value, then learns from it. `time_us` is its time in microseconds since 1970; a value that is not
    /// finite is abstained from and changes nothing.
    pub fn score(&mut self, time_us: i64, value: f64) -> Score {
        let _ = time_us;
        if !value.is_finite() {
            return Score { anomaly: 0.0, why: Kind::Abstained };
        }
        if self.seen == 0 {
            (self.last, self.fast, self.slow) = (value, value, value);
        }
        let jump = (value - self.fast) / self.step.max(f64::MIN_POSITIVE);
        self.fast += 0.3 * (value - self.fast);
        let level = (self.fast - self.slow) / self.spread.max(f64::MIN_POSITIVE);
        let (rare_jump, rare_level) = (self.jumps.share_at_least(jump), self.levels.share_at_least(level));
        self.jumps.add(jump);
        self.levels.add(level);
        self.seen += 1;
        let rate = (1.0 / self.seen as f64).max(0.002);
        self.step += rate * ((value - self.last).abs() - self.step);
        self.spread += rate * ((value - self.slow).abs() - self.spread);
        self.slow += rate * (value - self.slow);
        self.last = value;
        if self.seen <= u64::from(self.options.warmup_values) {
            return Score { anomaly: 0.0, why: Kind::Abstained };
        }
        let (share, why) = if rare_jump <= rare_level { (rare_jump, Kind::Spike) } else { (rare_level, Kind::Level) };
        let anomaly = (-share.log10() / 6.0).clamp(0.0, 1.0);
        Score { anomaly, why: if anomaly < 0.4 { Kind::Usual } else { why } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_spike_stands_out() {
        let mut detector = Detector::new(Options::default());
        let mut highest = 0.0_f64;
        for at in 0..1_000 {
            let score = detector.score(at * 60_000_000, f64::from((at * 7 % 13) as i32));
            highest = highest.max(score.anomaly);
        }
        let spike = detector.score(1_000 * 60_000_000, 200.0);
        assert!(spike.anomaly > highest, "{spike:?} {highest}");
        assert_eq!(spike.why, Kind::Spike);
    }
}
