//! Water levels minute by minute for two hours, from the level's own moves and the rain that fell.
//!
//! A catchment is a chain of storages: rain runs off through several of them, and what is there drains away. For each distance
//! ahead the rise is a linear function of the level, its recent slopes and the rain as storages of several times still hold it;
//! the function is learnt by recursive least squares, minute after minute. What was learnt is trusted as far as it has shown to be
//! better than saying that the level stays: the first storm after a dry week is not foretold by what dry days taught. Knows nothing
//! of rain to come.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::conformal::Band;
use crate::counts::Outlook;

/// Distances ahead, minutes; between them lines are drawn.
pub const LEADS: [usize; 10] = [5, 10, 15, 22, 30, 45, 60, 75, 90, 120];
/// Times of the storages that hold rain, minutes.
const STORAGES: [f64; 4] = [5.0, 15.0, 40.0, 100.0];
/// Stretches over which slopes are taken, minutes.
const SLOPES: [usize; 3] = [5, 15, 45];
/// Readings of which the level of now is the mean.
const SMOOTH: usize = 3;
const FEATURES: usize = 3 + SLOPES.len() + STORAGES.len() + 1;
/// What a minute's lesson still weighs after the next.
const KEEP: f64 = 0.999_95;
/// In calm water only every so many minutes teach something.
const CALM_EVERY: u32 = 10;
/// What an error still weighs after the next one, where it is decided how far what was learnt is trusted.
const TRUST_KEEP: f64 = 0.999;
/// Weight of errors below which nothing is trusted yet.
const TRUST_MIN: f64 = 60.0;
/// What was learnt is trusted wholly where it is so much better than saying that the level stays.
const TRUST_GAIN: f64 = 0.2;

/// What one distance ahead has learnt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Ahead {
    weights: [f64; FEATURES],
    /// Inverse of the features' products, row by row.
    inverse: Vec<f64>,
    /// Errors in calm and in moving water.
    bands: [Band; 2],
    /// Fading sums, in calm and in moving water: weights, errors of what was learnt, errors of saying that the level stays.
    record: [[f64; 3]; 2],
}

impl Ahead {
    /// How far what was learnt is trusted, 0 to 1: not before it has shown to be better than saying that the level stays.
    fn trust(&self, moving: usize) -> f64 {
        let [weight, learnt, stays] = self.record[moving];
        if weight < TRUST_MIN || stays <= 0.0 { 0.0 } else { ((stays - learnt) / (TRUST_GAIN * stays)).clamp(0.0, 1.0) }
    }

    fn judge(&mut self, moving: usize, learnt: f64, rise: f64) {
        for (sum, one) in self.record[moving].iter_mut().zip([1.0, (rise - learnt).abs(), rise.abs()]) {
            *sum = *sum * TRUST_KEEP + one;
        }
    }

    fn learn(&mut self, features: &[f64; FEATURES], rise: f64) {
        let mut gain = [0.0; FEATURES];
        for (gain, row) in gain.iter_mut().zip(self.inverse.chunks(FEATURES)) {
            *gain = row.iter().zip(features).map(|(known, feature)| known * feature).sum();
        }
        let scale = KEEP + gain.iter().zip(features).map(|(gain, feature)| gain * feature).sum::<f64>();
        let error = rise - dot(&self.weights, features);
        for (weight, gain) in self.weights.iter_mut().zip(&gain) {
            *weight += gain / scale * error;
        }
        for at in 0..FEATURES {
            for other in 0..FEATURES {
                let value = (self.inverse[at * FEATURES + other] - gain[at] * gain[other] / scale) / KEEP;
                // Forgetting without news would let the inverse grow for ever.
                self.inverse[at * FEATURES + other] = value.clamp(-1e6, 1e6);
            }
        }
    }
}

fn dot(one: &[f64; FEATURES], other: &[f64; FEATURES]) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Moment {
    features: [f64; FEATURES],
    level: f64,
    moving: bool,
    /// For each distance ahead the rise as it was learnt.
    learnt: Vec<f64>,
    /// For each distance ahead the rise foretold and the ends of its interval.
    foretold: Vec<(f64, (f64, f64))>,
}

/// One gauge, a reading a minute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Level {
    readings: VecDeque<f64>,
    rain: [f64; STORAGES.len()],
    /// Usual level, in fair weather.
    base: f64,
    ahead: Vec<Ahead>,
    moments: VecDeque<Option<Moment>>,
    minutes: u32,
}

impl Level {
    /// A gauge whose intervals shall hold with a level between 0 and 1.
    pub fn new(level: f64) -> Level {
        let inverse = (0..FEATURES * FEATURES).map(|at| if at % (FEATURES + 1) == 0 { 100.0 } else { 0.0 }).collect();
        let ahead = Ahead { weights: [0.0; FEATURES], inverse, bands: [Band::new(level, 0.02, 4.0), Band::new(level, 0.02, 4.0)], record: [[0.0; 3]; 2] };
        Level { readings: VecDeque::new(), rain: [0.0; STORAGES.len()], base: 0.0, ahead: vec![ahead; LEADS.len()], moments: VecDeque::new(), minutes: 0 }
    }

    fn now(&self) -> f64 {
        self.readings.iter().rev().take(SMOOTH).sum::<f64>() / self.readings.len().clamp(1, SMOOTH) as f64
    }

    fn moment(&self) -> Moment {
        let level = self.now();
        let above = (level - self.base).clamp(-20.0, 20.0);
        let mut features = [0.0; FEATURES];
        (features[0], features[1], features[2]) = (0.1, above, above * above.abs() / 4.0);
        for (at, minutes) in SLOPES.iter().enumerate() {
            let before = self.readings.len().saturating_sub(minutes + SMOOTH);
            let count = self.readings.len().saturating_sub(before).clamp(1, SMOOTH);
            let then = self.readings.iter().skip(before).take(count).sum::<f64>() / count as f64;
            features[3 + at] = (level - then).clamp(-20.0, 20.0);
        }
        for (at, held) in self.rain.iter().enumerate() {
            features[3 + SLOPES.len() + at] = held / 10.0;
        }
        // The ground takes up less the longer it rains.
        features[FEATURES - 1] = self.rain[1] * self.rain[3] / 200.0;
        let moving = self.rain[2] > 0.2 || (level - self.base).abs() > 0.1 || features[4].abs() > 0.05;
        let learnt: Vec<f64> = self.ahead.iter().map(|ahead| dot(&ahead.weights, &features)).collect();
        let regime = usize::from(moving);
        let foretold = self.ahead.iter().zip(&learnt).map(|(ahead, learnt)| (learnt * ahead.trust(regime), ahead.bands[regime].ends())).collect();
        Moment { features, level, moving, learnt, foretold }
    }

    /// Takes the reading (m) and the rain (mm) of the next minute; no number is unknown: such a level stays as it was, and
    /// nothing is learnt from it.
    pub fn observe(&mut self, level: f64, rain_mm: f64) {
        let known = level.is_finite() && level.abs() < 1e6;
        let level = if known { level } else { self.readings.back().copied().unwrap_or(0.0) };
        if self.readings.is_empty() {
            if !known {
                return;
            }
            self.base = level;
        }
        self.minutes = self.minutes.saturating_add(1);
        let rain = if rain_mm.is_finite() { rain_mm.clamp(0.0, 20.0) } else { 0.0 };
        for (held, minutes) in self.rain.iter_mut().zip(STORAGES) {
            *held = *held * (-1.0f64 / minutes).exp() + rain;
        }
        if self.readings.len() == SLOPES[SLOPES.len() - 1] + SMOOTH {
            self.readings.pop_front();
        }
        self.readings.push_back(level);
        // Down within hours, up within a week.
        self.base += (level - self.base) * if level < self.base { 1.0 / 300.0 } else { 1.0 / 10_000.0 };
        let moment = self.moment();
        for (at, lead) in LEADS.iter().enumerate() {
            let Some(Some(before)) = self.moments.len().checked_sub(*lead).and_then(|then| self.moments.get(then)) else { continue };
            if !known || !(before.moving || self.minutes.is_multiple_of(CALM_EVERY)) {
                continue;
            }
            let rise = level - before.level;
            let ahead = &mut self.ahead[at];
            let (foretold, ends) = before.foretold[at];
            ahead.bands[usize::from(before.moving)].add(rise - foretold, ends);
            ahead.judge(usize::from(before.moving), before.learnt[at], rise);
            ahead.learn(&before.features, rise);
        }
        if self.moments.len() == LEADS[LEADS.len() - 1] {
            self.moments.pop_front();
        }
        self.moments.push_back(known.then_some(moment));
    }

    /// The level of now (m): the mean of the last readings; 0 before the first.
    pub fn level(&self) -> f64 {
        self.now()
    }

    /// Whether the water moves, or it has rained.
    pub fn moving(&self) -> bool {
        self.moments.back().is_some_and(|moment| moment.as_ref().is_some_and(|moment| moment.moving))
    }

    /// Minutes since the first reading.
    pub fn minutes(&self) -> u32 {
        self.minutes
    }

    /// The level some minutes from now, 1 to 120; `None` before the first reading or further ahead.
    pub fn outlook(&self, minutes: usize) -> Option<Outlook> {
        self.curve().get(minutes.checked_sub(1)?).copied()
    }

    /// The level of each of the next 120 minutes; empty before the first reading.
    pub fn curve(&self) -> Vec<Outlook> {
        if self.readings.is_empty() {
            return Vec::new();
        }
        let moment = self.moment();
        let mut curve = Vec::with_capacity(LEADS[LEADS.len() - 1]);
        let mut from = (0, [0.0; 3]);
        for (lead, (rise, ends)) in LEADS.iter().zip(&moment.foretold) {
            let to = (*lead, [*rise, rise + ends.0, rise + ends.1]);
            for minute in from.0 + 1..=to.0 {
                let share = (minute - from.0) as f64 / (to.0 - from.0) as f64;
                let [rise, lo, hi]: [f64; 3] = std::array::from_fn(|at| moment.level + from.1[at] + (to.1[at] - from.1[at]) * share);
                curve.push(Outlook { median: rise, mean: rise, lo, hi });
            }
            from = to;
        }
        curve
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tank_that_drains_after_rain_is_learnt() {
        let (mut gauge, mut stored, mut level) = (Level::new(0.9), 0.0, 0.0);
        let (mut error, mut persistence) = (0.0, 0.0);
        let mut waiting: VecDeque<(f64, f64)> = VecDeque::new();
        for minute in 0..30_000u32 {
            let rain = if minute % 700 < 40 { 0.5 + f64::from(minute / 700 % 5) * 0.3 } else { 0.0 };
            stored += rain - stored / 30.0;
            level += stored / 30.0 * 0.05 - level / 60.0;
            gauge.observe(level, rain);
            waiting.push_back((gauge.outlook(30).unwrap().median, level));
            if waiting.len() > 30 {
                let (foretold, then) = waiting.pop_front().unwrap();
                if minute > 15_000 {
                    // The forecast of 31 observations ago is for 30 minutes ahead of it: one minute before now is close enough.
                    error += (foretold - level).abs();
                    persistence += (then - level).abs();
                }
            }
        }
        assert!(error < 0.6 * persistence, "{error} {persistence}");
    }

    #[test]
    fn the_first_storm_is_not_foretold_by_dry_days() {
        let mut gauge = Level::new(0.9);
        // A dry day that trembles, then water that rises and stays.
        for minute in 0..1_500u32 {
            let trembles = f64::from(minute % 7) * 0.003;
            gauge.observe(trembles + f64::from(minute.saturating_sub(1_440)) * 0.02, if minute > 1_430 { 0.8 } else { 0.0 });
            if minute > 1_440 {
                let outlook = gauge.outlook(60).unwrap();
                assert!((outlook.median - gauge.level()).abs() < 0.2, "{minute}: {} from {}", outlook.median, gauge.level());
            }
        }
    }

    #[test]
    fn nonsense_is_no_panic() {
        let mut gauge = Level::new(f64::NAN);
        assert!(gauge.outlook(5).is_none());
        for value in [f64::NAN, 1.0, f64::INFINITY, -1e300, 1e5, -1e5, 1.0] {
            for _ in 0..200 {
                gauge.observe(value, value);
            }
            assert!(gauge.curve().iter().all(|outlook| outlook.median.is_finite() && outlook.lo <= outlook.hi));
        }
        assert!(gauge.outlook(0).is_none() && gauge.outlook(121).is_none() && gauge.outlook(120).is_some());
    }
}
