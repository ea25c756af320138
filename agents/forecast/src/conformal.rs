//! Intervals from the errors of the forecasts before, widened and narrowed until they hold as often as they shall.
//!
//! Adaptive conformal inference (Gibbs and Candès 2021), each end by itself, over a window of the latest errors.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Errors that are remembered.
const WINDOW: usize = 500;
/// With fewer errors than this the caller's scale stands in.
const ENOUGH: usize = 20;

/// The errors of one distance ahead, and where the interval's ends lie among them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Band {
    latest: VecDeque<f64>,
    /// The same in order; not stored.
    sorted: Vec<f64>,
    /// Share of errors that is left outside below and above.
    outside: [f64; 2],
    tail: f64,
    pace: f64,
    reach: f64,
}

/// What is stored of it.
#[derive(Serialize, Deserialize)]
struct Stored {
    latest: VecDeque<f64>,
    outside: [f64; 2],
    tail: f64,
    pace: f64,
    reach: f64,
}

impl From<Band> for Stored {
    fn from(Band { latest, outside, tail, pace, reach, .. }: Band) -> Stored {
        Stored { latest, outside, tail, pace, reach }
    }
}

impl From<Stored> for Band {
    fn from(Stored { latest, outside, tail, pace, reach }: Stored) -> Band {
        let mut sorted: Vec<f64> = latest.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        Band { latest, sorted, outside, tail, pace, reach }
    }
}

impl Band {
    /// For an interval that holds with `level`, 0.01 to 0.9999. Ends move by `pace` after a hit or a miss (0.01 to 0.02 are good), and
    /// up to `reach` halves beyond the errors seen: 0 keeps the interval narrow after a shock, 4 keeps it right.
    pub fn new(level: f64, pace: f64, reach: f64) -> Band {
        let level = if level.is_finite() { level.clamp(0.01, 0.9999) } else { 0.9 };
        let tail = (1.0 - level) / 2.0;
        Band { latest: VecDeque::new(), sorted: Vec::new(), outside: [tail; 2], tail, pace, reach }
    }

    fn quantile(&self, share: f64) -> f64 {
        let Some(last) = self.sorted.len().checked_sub(1) else { return 0.0 };
        let at = share.clamp(0.0, 1.0) * (last as f64 + 2.0) - 1.0;
        // Beyond the largest error seen lies a stretch of its own.
        let beyond = 0.5 * (self.sorted[last] - self.sorted[0]) / 2.0;
        if at < 0.0 {
            return self.sorted[0] + at * beyond;
        }
        if at > last as f64 {
            return self.sorted[last] + (at - last as f64) * beyond;
        }
        let below = at as usize;
        let above = (below + 1).min(last);
        self.sorted[below] + (self.sorted[above] - self.sorted[below]) * (at - below as f64)
    }

    /// What is to be added to a forecast to have the ends of its interval, in units of `scale`.
    pub fn ends(&self) -> (f64, f64) {
        let wide = 3.0 * (1.0 - self.sorted.len() as f64 / ENOUGH as f64).max(0.0);
        let (lo, hi) = (self.quantile(self.outside[0]), self.quantile(1.0 - self.outside[1]));
        // An end that still misses too often when all errors seen are inside moves beyond them.
        let beyond = self.outside.map(|outside| 1.0 + (-outside / self.tail).max(0.0) / 2.0);
        (lo.min(hi).min(0.0) * beyond[0] - wide, hi.max(lo).max(0.0) * beyond[1] + wide)
    }

    /// Takes in an error in units of the scale at the time of its forecast, and the ends that were given then.
    pub fn add(&mut self, error: f64, given: (f64, f64)) {
        if !error.is_finite() {
            return;
        }
        if self.latest.len() >= ENOUGH {
            for (outside, missed) in self.outside.iter_mut().zip([error < given.0, error > given.1]) {
                let aim = self.tail - f64::from(u8::from(missed));
                *outside = (*outside + self.pace * aim).clamp(-self.reach * self.tail, (4.0 * self.tail).min(0.5));
            }
        }
        if self.latest.len() == WINDOW
            && let Some(old) = self.latest.pop_front()
        {
            let at = self.sorted.partition_point(|other| *other < old);
            self.sorted.remove(at.min(self.sorted.len() - 1));
        }
        self.latest.push_back(error);
        let at = self.sorted.partition_point(|other| *other < error);
        self.sorted.insert(at, error);
    }

    /// The error below which half of all lie: what a forecast is off by, usually.
    pub fn middle(&self) -> f64 {
        if self.sorted.len() < ENOUGH { 0.0 } else { self.quantile(0.5) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Errors that look like chance, and are not: a sum of three coarse sequences.
    fn error(at: u64) -> f64 {
        let part = |step: u64| ((at * step) % 1009) as f64 / 1009.0 - 0.5;
        part(617) + part(389) + part(211)
    }

    fn coverage(level: f64, scale: impl Fn(u64) -> f64) -> f64 {
        let (mut band, mut inside) = (Band::new(level, 0.01, 0.0), 0);
        for at in 0..4_000 {
            let (ends, error) = (band.ends(), error(at) * scale(at));
            inside += u32::from(ends.0 <= error && error <= ends.1);
            band.add(error, ends);
        }
        f64::from(inside) / 4_000.0
    }

    #[test]
    fn intervals_hold_also_when_errors_grow() {
        for level in [0.8, 0.9] {
            assert!((coverage(level, |_| 1.0) - level).abs() < 0.02);
            let drifting = coverage(level, |at| 1.0 + at as f64 / 500.0);
            assert!((drifting - level).abs() < 0.03, "{level}: {drifting}");
        }
    }

    #[test]
    fn few_errors_mean_wide_ends_and_nonsense_none() {
        let mut band = Band::new(f64::NAN, 0.01, 4.0);
        band.add(f64::NAN, (0.0, 0.0));
        assert_eq!(band.ends(), (-3.0, 3.0));
        band.add(f64::INFINITY, (0.0, 0.0));
        band.add(0.5, (-3.0, 3.0));
        assert!(band.ends().0 < -2.0 && band.ends().1 > 2.0);
    }
}
