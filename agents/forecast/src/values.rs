//! Series of values that are no counts: levels, loads, speeds, consumption.
//!
//! Some simple views say what comes, among them that all stays as it is and that it goes as a season ago; how they are mixed is
//! learnt for each distance ahead as forecasts come true, and so are the intervals.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::conformal::Band;
use crate::counts::Outlook;
use crate::step::Step;

/// Half-lives of levels, in seasons.
const LEVELS: [f64; 3] = [0.15, 1.0, 5.0];
/// Half-life of a slot, in times that it came.
const SLOT_TIMES: f64 = 8.0;
/// Shares of the latest deviation from the usual that are still there a distance ahead, as some views see it.
const STAYS: [f64; 2] = [0.9, 0.5];
const EXPERTS: usize = 2 + LEVELS.len() + STAYS.len();
const RATE: f64 = 0.05;
/// With fewer values than this the usual move of a step is not known yet.
const FEW: u64 = 14;
/// The longest season whose values are kept.
const SEASON_MAX: usize = 2_000;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Ahead {
    weights: [f64; EXPERTS],
    band: Band,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Waiting {
    step: i64,
    said: [f64; EXPERTS],
    yhat: f64,
    ends: (f64, f64),
    scale: f64,
    seen: u64,
}

/// One series, step after step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Values {
    step: Step,
    leads: Vec<usize>,
    season: usize,
    latest: VecDeque<f64>,
    levels: [f64; LEVELS.len()],
    /// The usual deviation from the slowest level, and how often it was seen.
    slots: Vec<(f64, u32)>,
    ahead: Vec<Ahead>,
    waiting: Vec<VecDeque<Waiting>>,
    /// Usual move of one step.
    scale: f64,
    seen: u64,
    last: Option<i64>,
}

impl Values {
    /// For steps of a size, the distances ahead that are wanted (others are served by the next longer one), and the level with
    /// which intervals shall hold.
    pub fn new(step: Step, leads: &[usize], level: f64) -> Values {
        let mut leads: Vec<usize> = leads.iter().map(|lead| (*lead).max(1)).collect();
        leads.sort_unstable();
        leads.dedup();
        if leads.is_empty() {
            leads.push(1);
        }
        let season = step.season().clamp(1, SEASON_MAX);
        let ahead = Ahead { weights: [1.0 / EXPERTS as f64; EXPERTS], band: Band::new(level, 0.01, 0.0) };
        Values {
            step,
            season,
            latest: VecDeque::new(),
            levels: [0.0; LEVELS.len()],
            slots: vec![(0.0, 0); step.slots()],
            ahead: vec![ahead; leads.len()],
            waiting: vec![VecDeque::new(); leads.len()],
            leads,
            scale: 0.0,
            seen: 0,
            last: None,
        }
    }

    /// How many values were known.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    fn usual(&self, step: i64) -> f64 {
        let (deviation, times) = self.slots[self.step.slot(step)];
        deviation * f64::from(times) / (f64::from(times) + 1.0)
    }

    fn said(&self, last: i64, lead: usize) -> [f64; EXPERTS] {
        let target = last.saturating_add(lead as i64);
        let newest = self.latest.back().copied().unwrap_or(0.0);
        // The youngest value of the same place in a season that is known.
        let back = (self.season - 1 - (lead - 1) % self.season).min(self.latest.len().saturating_sub(1));
        let season_ago = if self.latest.len() < self.season { newest } else { self.latest[self.latest.len() - 1 - back] };
        let mut said = [0.0; EXPERTS];
        (said[0], said[1]) = (newest, season_ago);
        let usual = self.usual(target);
        for (at, level) in self.levels.iter().enumerate() {
            said[2 + at] = level + usual;
        }
        let slow = self.levels[LEVELS.len() - 2];
        let deviation = newest - slow - self.usual(last);
        for (at, stays) in STAYS.iter().enumerate() {
            said[2 + LEVELS.len() + at] = slow + usual + deviation * stays.powf(1.0 + (lead - 1) as f64 / self.season.max(8) as f64 * 4.0);
        }
        said
    }

    fn foretold(&self, last: i64, lead: usize) -> Waiting {
        let at = self.leads.partition_point(|known| *known < lead).min(self.leads.len() - 1);
        let ahead = &self.ahead[at];
        let said = self.said(last, lead);
        // Before there is a history a twentieth of the level is the least that may happen.
        let least = if self.seen < FEW { 0.05 * self.levels[LEVELS.len() - 1].abs() } else { 0.0 };
        let scale = self.scale.max(least).max(1e-9);
        let yhat = said.iter().zip(&ahead.weights).map(|(said, weight)| said * weight).sum::<f64>();
        Waiting { step: last.saturating_add(lead as i64), said, yhat, ends: ahead.band.ends(), scale, seen: self.seen }
    }

    /// Takes the value of a step; no number is unknown, and so are steps left out. A step that is not after the last one is
    /// passed over.
    pub fn observe(&mut self, step: i64, value: f64) {
        if self.last.is_some_and(|last| step <= last) {
            return;
        }
        // What was unknown between is carried on for the views that look back, and teaches nothing.
        let gap = self.last.map_or(0, |last| step.saturating_sub(last).saturating_sub(1)).min(self.season as i64);
        for ago in (1..=gap).rev() {
            self.pass(step - ago);
        }
        self.last = Some(step);
        if !value.is_finite() || value.abs() > 1e150 {
            self.pass(step);
        } else {
            self.learn(step, value);
            self.take_in(step, value);
        }
        if self.seen > 0 {
            for lead in 0..self.leads.len() {
                let waiting = self.foretold(step, self.leads[lead]);
                self.waiting[lead].push_back(waiting);
            }
        }
    }

    fn pass(&mut self, step: i64) {
        if self.seen == 0 {
            return;
        }
        let carried = self.levels[LEVELS.len() - 2] + self.usual(step);
        self.remember(carried);
    }

    fn remember(&mut self, value: f64) {
        if self.latest.len() == self.season {
            self.latest.pop_front();
        }
        self.latest.push_back(value);
    }

    fn learn(&mut self, step: i64, value: f64) {
        for lead in 0..self.leads.len() {
            while self.waiting[lead].front().is_some_and(|waiting| waiting.step <= step) {
                let Some(waiting) = self.waiting[lead].pop_front() else { break };
                if waiting.step < step {
                    continue;
                }
                let ahead = &mut self.ahead[lead];
                if waiting.seen >= FEW / 4 {
                    ahead.band.add((value - waiting.yhat) / waiting.scale, waiting.ends);
                }
                // Exponentiated gradient of the absolute error (Kivinen and Warmuth 1997), by the spread of what was said.
                let spread = waiting.said.iter().map(|said| (said - waiting.yhat).abs()).fold(1e-12, f64::max);
                let error = value - waiting.yhat;
                let direction = (error / spread).clamp(-1.0, 1.0);
                for (weight, said) in ahead.weights.iter_mut().zip(waiting.said) {
                    *weight *= (RATE * direction * (said - waiting.yhat) / spread).exp();
                }
                let sum: f64 = ahead.weights.iter().sum();
                ahead.weights.iter_mut().for_each(|weight| *weight = (*weight / sum).max(0.002));
                let sum: f64 = ahead.weights.iter().sum();
                ahead.weights.iter_mut().for_each(|weight| *weight /= sum);
            }
        }
    }

    fn take_in(&mut self, step: i64, value: f64) {
        self.seen += 1;
        let share = |half_life: f64| (1.0 - 0.5f64.powf(1.0 / half_life.max(1.0))).max(1.0 / self.seen as f64);
        let shares = LEVELS.map(|seasons| share(seasons * self.season as f64));
        let usual = self.usual(step);
        if let Some(newest) = self.latest.back() {
            self.scale += ((value - newest).abs() - self.scale) * share(self.season as f64);
        }
        for (level, share) in self.levels.iter_mut().zip(shares) {
            *level += (value - usual - *level) * share;
        }
        if self.seen > 1 {
            let slow = self.levels[LEVELS.len() - 2];
            let (deviation, times) = &mut self.slots[self.step.slot(step)];
            *times = times.saturating_add(1);
            *deviation += (value - slow - *deviation) * (1.0 - 0.5f64.powf(1.0 / SLOT_TIMES)).max(1.0 / f64::from(*times));
        }
        self.remember(value);
    }

    /// The outlook `lead` steps after the last one; `None` before any value is known. Median and mean are one here.
    pub fn outlook(&self, lead: usize) -> Option<Outlook> {
        if self.seen == 0 || lead == 0 {
            return None;
        }
        let waiting = self.foretold(self.last?, lead);
        let (lo, hi) = (waiting.yhat + waiting.ends.0 * waiting.scale, waiting.yhat + waiting.ends.1 * waiting.scale);
        Some(Outlook { median: waiting.yhat, mean: waiting.yhat, lo, hi })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_itself_is_foretold_and_its_interval_holds() {
        let value = |hour: i64| 50.0 + 10.0 * (hour as f64 / 24.0 * std::f64::consts::TAU).sin() + ((hour * 617) % 101) as f64 / 50.0;
        let mut series = Values::new(Step::HOUR, &[24], 0.9);
        let (mut error, mut naive, mut inside, mut judged) = (0.0, 0.0, 0, 0);
        let mut foretold = VecDeque::new();
        for hour in 0..24 * 60 {
            series.observe(hour, value(hour));
            foretold.push_back(series.outlook(24).unwrap());
            if hour > 24 * 20 {
                let outlook: Outlook = foretold[foretold.len() - 25];
                error += (value(hour) - outlook.median).abs();
                naive += (value(hour) - value(hour - 168)).abs();
                inside += u32::from(outlook.lo <= value(hour) && value(hour) <= outlook.hi);
                judged += 1;
            }
        }
        assert!(error < 0.9 * naive, "{error} {naive}");
        let coverage = f64::from(inside) / f64::from(judged);
        assert!((0.86..0.95).contains(&coverage), "{coverage}");
    }

    #[test]
    fn gaps_nonsense_constants_and_short_series() {
        let mut series = Values::new(Step::Day, &[], 2.0);
        assert_eq!(series.outlook(1), None);
        for value in [f64::NAN, 5.0, f64::INFINITY, 1e300, 5.0, 5.0] {
            let step = series.last.map_or(0, |last| last + 1);
            series.observe(step, value);
        }
        series.observe(3, -1e9);
        series.observe(i64::MAX - 5, 5.0);
        let outlook = series.outlook(3).unwrap();
        assert!((outlook.median - 5.0).abs() < 1e-6 && outlook.lo <= 5.0 && outlook.hi >= 5.0, "{outlook:?}");
    }
}
