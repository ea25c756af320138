//! Whether an order will be late: boosted trees over what is known when it comes in, and the backlog that it joins.
//!
//! Trees are grown one after another on the gradient of the log-loss, each a few questions deep (Friedman 2001), on values
//! that were put into bins before (Ke et al. 2017). Knows nothing of calendars, cities or files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How trees are grown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RiskOptions {
    /// How many trees.
    pub trees: usize,
    /// Questions one after another in a tree, at most 6.
    pub depth: u32,
    /// How far each tree goes towards what its rows say.
    pub step: f64,
    /// Least weight of rows at the end of a branch, and what is added to it, so that few rows say little.
    pub leaf_weight_min: f64,
}

impl Default for RiskOptions {
    fn default() -> RiskOptions {
        RiskOptions { trees: 60, depth: 3, step: 0.08, leaf_weight_min: 50.0 }
    }
}

/// The probability of being late, learnt from orders whose end is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Risk {
    features: usize,
    base: f64,
    trees: Vec<Tree>,
}

/// A full tree: questions by level, then the answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tree {
    questions: Vec<Question>,
    answers: Vec<f64>,
}

/// Whether a value lies above a bound; what is no number does not.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Question {
    feature: usize,
    above: f32,
}

const BINS: usize = 64;
const DEPTH_MAX: u32 = 6;
/// Values that bounds are taken from.
const SAMPLE: usize = 4_096;

/// Gradient and weight of the rows in a bin.
type Bin = (f64, f64);

impl Risk {
    /// Learns from rows of `features` values each, one after the other in `values`, with what came of them and the weight of
    /// each. `None` when the numbers of rows differ, or no row has weight.
    pub fn fit(values: &[f32], features: usize, late: &[bool], weights: &[f32], options: &RiskOptions) -> Option<Risk> {
        let rows = late.len();
        let all: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        if features == 0 || values.len() != rows * features || weights.len() != rows || !(all.is_finite() && all > 0.0) || weights.iter().any(|weight| *weight < 0.0) {
            return None;
        }
        let bounds: Vec<Vec<f32>> = (0..features).map(|feature| bounds(values, features, feature, rows)).collect();
        let mut bins = vec![0u8; values.len()];
        for (at, value) in values.iter().enumerate() {
            bins[at] = bin(&bounds[at % features], *value);
        }
        let came: f64 = late.iter().zip(weights).filter(|(late, _)| **late).map(|(_, weight)| f64::from(*weight)).sum();
        let share = (came + 0.5) / (all + 1.0);
        let base = logit(share);
        let mut margins = vec![base; rows];
        let mut trees = Vec::new();
        for _ in 0..options.trees {
            let slope = |row: usize| {
                let (p, weight) = (logistic(margins[row]), f64::from(weights[row]));
                (weight * (f64::from(u8::from(late[row])) - p), weight * p * (1.0 - p))
            };
            let slopes: Vec<Bin> = (0..rows).map(slope).collect();
            let tree = grow(&bins, &bounds, features, &slopes, weights, options);
            for (row, margin) in margins.iter_mut().enumerate() {
                *margin += tree.answer(&values[row * features..][..features]);
            }
            trees.push(tree);
        }
        Some(Risk { features, base, trees })
    }

    /// The probability for one row; a row of another length is read as far as it goes.
    pub fn probability(&self, row: &[f32]) -> f64 {
        logistic(self.base + self.trees.iter().map(|tree| tree.answer(row)).sum::<f64>())
    }

    /// How many values a row has.
    pub fn features(&self) -> usize {
        self.features
    }
}

impl Tree {
    fn answer(&self, row: &[f32]) -> f64 {
        let mut at = 0;
        while at < self.questions.len() {
            let question = self.questions[at];
            at = 2 * at + 1 + usize::from(row.get(question.feature).is_some_and(|value| *value > question.above));
        }
        self.answers[at - self.questions.len()]
    }
}

/// Bounds between bins: values that part the rows into equal shares.
fn bounds(values: &[f32], features: usize, feature: usize, rows: usize) -> Vec<f32> {
    let stride = rows.div_ceil(SAMPLE).max(1);
    let mut seen: Vec<f32> = (0..rows).step_by(stride).map(|row| values[row * features + feature]).filter(|value| value.is_finite()).collect();
    seen.sort_unstable_by(f32::total_cmp);
    let mut bounds: Vec<f32> = (1..BINS - 1).filter_map(|share| seen.get(seen.len() * share / (BINS - 1)).copied()).collect();
    bounds.dedup();
    // Nothing lies above the largest value.
    if bounds.last() == seen.last() {
        bounds.pop();
    }
    bounds
}

/// How many bounds a value lies above.
fn bin(bounds: &[f32], value: f32) -> u8 {
    bounds.partition_point(|bound| value > *bound) as u8
}

fn grow(bins: &[u8], bounds: &[Vec<f32>], features: usize, slopes: &[Bin], weights: &[f32], options: &RiskOptions) -> Tree {
    let rows = slopes.len();
    let depth = options.depth.clamp(1, DEPTH_MAX);
    let mut nodes = vec![0usize; rows];
    let mut questions = Vec::new();
    for level in 0..depth {
        let first = (1 << level) - 1;
        let count = 1usize << level;
        let mut sums = vec![(0.0, 0.0, 0.0); count * features * BINS];
        for row in 0..rows {
            let (slope, curve) = slopes[row];
            let node = (nodes[row] - first) * features * BINS;
            for feature in 0..features {
                let cell = &mut sums[node + feature * BINS + usize::from(bins[row * features + feature])];
                cell.0 += slope;
                cell.1 += curve;
                cell.2 += f64::from(weights[row]);
            }
        }
        let mut chosen = Vec::with_capacity(count);
        for node in 0..count {
            chosen.push(best(&sums[node * features * BINS..][..features * BINS], bounds, options));
        }
        for (row, node) in nodes.iter_mut().enumerate() {
            let (feature, bin, _) = chosen[*node - first];
            *node = 2 * *node + 1 + usize::from(usize::from(bins[row * features + feature]) > bin);
        }
        questions.extend(chosen.into_iter().map(|(feature, _, above)| Question { feature, above }));
    }
    let mut sums = vec![(0.0, 0.0); questions.len() + 1];
    for (row, node) in nodes.iter().enumerate() {
        let sum: &mut Bin = &mut sums[*node - questions.len()];
        sum.0 += slopes[row].0;
        sum.1 += slopes[row].1;
    }
    // A curve is at most a quarter of the weight.
    let answers = sums.into_iter().map(|(slope, curve)| options.step * slope / (curve + options.leaf_weight_min / 4.0 + f64::MIN_POSITIVE)).collect();
    Tree { questions, answers }
}

/// The question that parts the rows of a node best: feature, bin and bound. One that parts nothing where none does.
fn best(sums: &[(f64, f64, f64)], bounds: &[Vec<f32>], options: &RiskOptions) -> (usize, usize, f32) {
    let shrink = options.leaf_weight_min / 4.0 + f64::MIN_POSITIVE;
    let worth = |slope: f64, curve: f64| slope * slope / (curve + shrink);
    // A bound above which nothing lies, and that can be written down.
    let mut best = (0, BINS, f32::MAX);
    let mut most = 1e-9;
    for (feature, bounds) in bounds.iter().enumerate() {
        let bins = &sums[feature * BINS..][..BINS];
        let all = bins.iter().fold((0.0, 0.0, 0.0), |sum, bin| (sum.0 + bin.0, sum.1 + bin.1, sum.2 + bin.2));
        let mut below = (0.0, 0.0, 0.0);
        for (at, bound) in bounds.iter().enumerate() {
            below = (below.0 + bins[at].0, below.1 + bins[at].1, below.2 + bins[at].2);
            if below.2 < options.leaf_weight_min || all.2 - below.2 < options.leaf_weight_min {
                continue;
            }
            let gain = worth(below.0, below.1) + worth(all.0 - below.0, all.1 - below.1) - worth(all.0, all.1);
            if gain > most {
                most = gain;
                best = (feature, at, *bound);
            }
        }
    }
    best
}

/// The logarithm of the odds of a probability, which is kept away from 0 and 1.
pub fn logit(p: f64) -> f64 {
    let p = p.clamp(0.005, 0.995);
    (p / (1.0 - p)).ln()
}

/// The probability of which this is the logarithm of the odds.
pub fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// What is open, late and arriving in each group of orders (a type, a type in a district), as far as it is known now.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Backlog {
    groups: BTreeMap<String, Group>,
}

/// Half-lives of the shares of late orders, days.
const HALF_LIVES_D: [f64; 3] = [3.0, 14.0, 60.0];
/// Half-life of the arrivals, days.
const ARRIVALS_D: f64 = 2.0;
/// Values that [`Backlog::read`] gives for a group.
pub const BACKLOG_VALUES: usize = 7;
const DAY_US: f64 = 86_400_000_000.0;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Group {
    open: u32,
    overdue: u32,
    /// Late and all orders whose end is known, fading, with the time up to which they have faded.
    ended: [(f64, f64); HALF_LIVES_D.len()],
    ended_us: i64,
    arrivals: f64,
    arrived_us: i64,
}

fn faded(from_us: i64, to_us: i64, half_life_d: f64) -> f64 {
    0.5_f64.powf((to_us.saturating_sub(from_us).max(0) as f64 / DAY_US / half_life_d).min(1_000.0))
}

impl Backlog {
    /// An order came in.
    pub fn opened(&mut self, group: &str, at_us: i64) {
        let group = self.group(group);
        group.open += 1;
        group.arrivals = group.arrivals * faded(group.arrived_us, at_us, ARRIVALS_D) + 1.0;
        group.arrived_us = group.arrived_us.max(at_us);
    }

    /// An order that is still open has passed its deadline.
    pub fn overdue(&mut self, group: &str, at_us: i64) {
        let group = self.group(group);
        group.overdue += 1;
        group.end(true, at_us);
    }

    /// An order was closed; one that was late had been said to be overdue before.
    pub fn closed(&mut self, group: &str, late: bool, at_us: i64) {
        let group = self.group(group);
        group.open = group.open.saturating_sub(1);
        if late {
            group.overdue = group.overdue.saturating_sub(1);
        } else {
            group.end(false, at_us);
        }
    }

    /// An open order was none; one that was late had been said to be overdue before.
    pub fn withdrawn(&mut self, group: &str, late: bool) {
        let group = self.group(group);
        group.open = group.open.saturating_sub(1);
        if late {
            group.overdue = group.overdue.saturating_sub(1);
        }
    }

    /// What is known of a group, as [`BACKLOG_VALUES`] values: the log-odds of being late over three half-lives, and logarithms
    /// of what is open, overdue and arriving, and of the share that is overdue.
    pub fn read(&self, group: &str, at_us: i64) -> [f32; BACKLOG_VALUES] {
        let empty = Group::default();
        let group = self.groups.get(group).unwrap_or(&empty);
        let mut values = [0.0; BACKLOG_VALUES];
        for (place, half_life) in HALF_LIVES_D.into_iter().enumerate() {
            let fade = faded(group.ended_us, at_us, half_life);
            let (late, all) = group.ended[place];
            values[place] = logit((late * fade + 0.1) / (all * fade + 1.0)) as f32;
        }
        let arrivals = group.arrivals * faded(group.arrived_us, at_us, ARRIVALS_D);
        values[3] = f64::from(group.open).ln_1p() as f32;
        values[4] = f64::from(group.overdue).ln_1p() as f32;
        values[5] = (f64::from(group.overdue) / (f64::from(group.open) + 1.0)) as f32;
        values[6] = arrivals.ln_1p() as f32;
        values
    }

    /// The share of late ones among the orders of a group that ended lately, with half-lives of two weeks.
    pub fn late_share(&self, group: &str, at_us: i64) -> f64 {
        logistic(f64::from(self.read(group, at_us)[1]))
    }

    fn group(&mut self, name: &str) -> &mut Group {
        if !self.groups.contains_key(name) {
            self.groups.insert(name.to_owned(), Group::default());
        }
        self.groups.get_mut(name).expect("it was just put in")
    }
}

impl Group {
    fn end(&mut self, late: bool, at_us: i64) {
        for (place, half_life) in HALF_LIVES_D.into_iter().enumerate() {
            let fade = faded(self.ended_us, at_us, half_life);
            let (was_late, all) = self.ended[place];
            self.ended[place] = (was_late * fade + f64::from(u8::from(late)), all * fade + 1.0);
        }
        self.ended_us = self.ended_us.max(at_us);
    }
}

/// Keeps probabilities right as times change: each outcome that becomes known moves the odds of its group a little.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    step: f64,
    shifts: BTreeMap<String, f64>,
}

impl Drift {
    /// `step` is how far one outcome moves the logarithm of the odds.
    pub fn new(step: f64) -> Drift {
        Drift { step, shifts: BTreeMap::new() }
    }

    /// The probability as the latest outcomes of the group have it.
    pub fn corrected(&self, group: &str, probability: f64) -> f64 {
        logistic(logit(probability) + self.shifts.get(group).copied().unwrap_or(0.0))
    }

    /// What had been said to be so probable has come, or has not.
    pub fn learn(&mut self, group: &str, said: f64, came: bool) {
        let error = f64::from(u8::from(came)) - self.corrected(group, said);
        if error.is_finite() {
            *self.shifts.entry(group.to_owned()).or_insert(0.0) += self.step * error;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_learn_what_needs_two_questions() {
        let mut values = Vec::new();
        let mut late = Vec::new();
        for at in 0..4_000u32 {
            let (a, b, noise) = (at % 2, at / 2 % 2, (at.wrapping_mul(2_654_435_761) >> 16) % 100);
            values.extend([a as f32, b as f32, noise as f32]);
            late.push(a == 1 && b == 0 && noise < 95 || noise < 3);
        }
        let weights = vec![1.0; late.len()];
        let options = RiskOptions { depth: 3, trees: 120, ..RiskOptions::default() };
        let risk = Risk::fit(&values, 3, &late, &weights, &options).unwrap();
        assert!(risk.probability(&[1.0, 0.0, 50.0]) > 0.9 && risk.probability(&[1.0, 1.0, 50.0]) < 0.1);
        assert_eq!(risk, Risk::fit(&values, 3, &late, &weights, &options).unwrap());
        for row in [&[][..], &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY], &[1.0]] {
            assert!((0.0..=1.0).contains(&risk.probability(row)));
        }
    }

    #[test]
    fn nothing_can_be_learnt_of_nothing() {
        let options = RiskOptions::default();
        assert!(Risk::fit(&[], 0, &[], &[], &options).is_none());
        assert!(Risk::fit(&[], 2, &[], &[], &options).is_none());
        assert!(Risk::fit(&[1.0, 2.0], 2, &[true], &[0.0], &options).is_none());
        assert!(Risk::fit(&[1.0], 2, &[true], &[1.0], &options).is_none());
        let always = Risk::fit(&[f32::NAN; 20], 2, &[true; 10], &[1.0; 10], &options).unwrap();
        assert!(always.probability(&[0.0, 0.0]) > 0.9);
    }

    #[test]
    fn a_backlog_knows_what_is_open_and_what_was_late() {
        let day = 86_400_000_000;
        let mut backlog = Backlog::default();
        for at in 0..10 {
            backlog.opened("holes", at);
        }
        backlog.overdue("holes", day);
        backlog.closed("holes", true, 2 * day);
        (0..3).for_each(|_| backlog.closed("holes", false, 2 * day));
        let values = backlog.read("holes", 2 * day);
        assert!((values[3] - 7.0_f32.ln()).abs() < 1e-6 && values[4] == 0.0);
        assert!(backlog.late_share("holes", 2 * day) > 0.15 && backlog.late_share("holes", 2 * day) < 0.35);
        assert!(backlog.read("holes", i64::MAX).iter().chain(&backlog.read("none", i64::MIN)).all(|value| value.is_finite()));
        backlog.closed("unknown", true, -5);
        assert_eq!(backlog.read("unknown", 0)[3], 0.0);
    }

    #[test]
    fn a_shift_follows_what_comes() {
        let mut drift = Drift::new(0.05);
        for _ in 0..1_000 {
            drift.learn("holes", 0.1, true);
        }
        assert!(drift.corrected("holes", 0.1) > 0.8 && (drift.corrected("lamps", 0.1) - 0.1).abs() < 1e-9);
        drift.learn("holes", f64::NAN, true);
        assert!(drift.corrected("holes", 0.1).is_finite());
    }
}
