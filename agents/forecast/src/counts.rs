//! Volumes: how many there will be of each key, from nothing but the counts before.
//!
//! What is expected is a level times the usual share of the weekday (or hour) times what the calendar's days did before. Several
//! levels are kept, quick and slow ones of the key itself and slow ones that follow the quick moves of the key's pool (all keys
//! of one category); which mixture of them foretells best is learnt for each key and distance ahead as forecasts come true.
//! The chance of each count is negative binomial, corrected by where earlier counts fell in what was foretold.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::calendar;
use crate::chance::{Chance, Measured};
use crate::step::Step;

/// Half-lives of a key's own levels, in seasons (weeks, for days).
const LEVELS: [f64; 4] = [1.0, 3.0, 9.0, 30.0];
/// Which of them is what slots and calendar are measured against.
const REFERENCE: usize = 2;
/// Half-lives of a pool's moves, in seasons; they bend the slowest level of each of its keys.
const MOVES: [f64; 3] = [0.5, 1.5, 4.0];
const EXPERTS: usize = LEVELS.len() + MOVES.len();
/// Half-life of slots, in seasons.
const SLOT_SEASONS: f64 = 26.0;
/// How many counts the pool's slots weigh against a key's own.
const SLOT_PRIOR: f64 = 30.0;
/// How fast mixtures learn.
const RATE: f64 = 0.02;
/// Counts after which the variance that comes from not knowing the level is as large as that of chance.
const UNSURE: f64 = 8.0;
/// Half-life of dispersion and of measured chances, in steps.
const CHANCE_STEPS: f64 = 400.0;
/// Seasons of a key from which nothing is learnt about mixtures and chances: its levels are still forming.
const YOUNG_SEASONS: f64 = 4.0;
/// How many outcomes the pool's measured chances weigh against a key's own.
const CHANCE_PRIOR: f64 = 100.0;
/// A count above the expected by more than this many deviations teaches slots and calendar no more than that.
const SURPRISE: f64 = 4.0;

/// What is foretold of one key for one step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// As many as not are above it: what errs least on average.
    pub median: f64,
    /// The expected count; sums of keys need this one.
    pub mean: f64,
    /// Lower end of the interval.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Ratio {
    seen: f64,
    due: f64,
}

impl Ratio {
    const NONE: Ratio = Ratio { seen: 0.0, due: 0.0 };

    fn add(&mut self, seen: f64, due: f64, keep: f64) {
        self.seen = self.seen * keep + seen;
        self.due = self.due * keep + due;
    }

    /// How often what was due was seen, where `weight` counts were seen as `prior` says.
    fn value(&self, prior: f64, weight: f64) -> f64 {
        let below = self.due + weight;
        if below > 0.0 { (self.seen + prior * weight) / below } else { prior }
    }
}

/// What is learnt for each distance ahead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Ahead {
    weights: [f64; EXPERTS],
    dispersion: Ratio,
    measured: Measured,
}

impl Ahead {
    fn new() -> Ahead {
        Ahead { weights: [1.0 / EXPERTS as f64; EXPERTS], dispersion: Ratio::NONE, measured: Measured::default() }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Key {
    pool: usize,
    levels: [Ratio; LEVELS.len()],
    slots: Vec<Ratio>,
    ahead: Vec<Ahead>,
    age: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pool {
    moves: [Ratio; MOVES.len()],
    slots: Vec<Ratio>,
    days: Vec<Ratio>,
    ahead: Vec<Ahead>,
}

/// A forecast that waits for its step, to be learnt from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Waiting {
    step: i64,
    /// For each key that there was, what each expert said.
    said: Vec<[f64; EXPERTS]>,
}

/// The counts of many keys, step after step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    step: Step,
    leads: Vec<usize>,
    keys: Vec<Key>,
    pools: Vec<Pool>,
    waiting: Vec<VecDeque<Waiting>>,
    last: Option<i64>,
}

impl Counts {
    /// For steps of a size and the distances ahead that are wanted; others are served by the next longer one.
    pub fn new(step: Step, leads: &[usize]) -> Counts {
        let mut leads: Vec<usize> = leads.iter().map(|lead| (*lead).max(1)).collect();
        leads.sort_unstable();
        leads.dedup();
        if leads.is_empty() {
            leads.push(1);
        }
        let waiting = vec![VecDeque::new(); leads.len()];
        Counts { step, leads, keys: Vec::new(), pools: Vec::new(), waiting, last: None }
    }

    /// A new pool; its number.
    pub fn pool(&mut self) -> usize {
        let slots = vec![Ratio::NONE; self.step.slots()];
        self.pools.push(Pool { moves: [Ratio::NONE; MOVES.len()], slots, days: vec![Ratio::NONE; calendar::SLOTS], ahead: vec![Ahead::new(); self.leads.len()] });
        self.pools.len() - 1
    }

    /// A new key of a pool; its number. A pool that is not there is the last one, or a new one.
    pub fn key(&mut self, pool: usize) -> usize {
        if self.pools.is_empty() {
            self.pool();
        }
        let pool = pool.min(self.pools.len() - 1);
        let (slots, ahead) = (vec![Ratio::NONE; self.step.slots()], self.pools[pool].ahead.clone());
        let ahead = ahead.into_iter().map(|of_pool| Ahead { weights: of_pool.weights, ..Ahead::new() }).collect();
        self.keys.push(Key { pool, levels: [Ratio::NONE; LEVELS.len()], slots, ahead, age: 0 });
        self.keys.len() - 1
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many times its mean the variance of a key's counts is, around forecasts made `lead` steps before.
    pub fn dispersion(&self, key: usize, lead: usize) -> f64 {
        let at = self.lead(lead);
        self.keys.get(key).map_or(1.0, |key| dispersion(&key.ahead[at], &self.pools[key.pool].ahead[at]))
    }

    /// How many counts of a key were known.
    pub fn seen(&self, key: usize) -> u32 {
        self.keys.get(key).map_or(0, |key| key.age)
    }

    /// The last step that was seen.
    pub fn last(&self) -> Option<i64> {
        self.last
    }

    fn season(&self) -> f64 {
        match self.step {
            Step::Week | Step::Month => 1.0,
            step => step.season() as f64,
        }
    }

    fn keep(&self, seasons: f64) -> f64 {
        0.5f64.powf(1.0 / (seasons * self.season()))
    }

    /// What a calendar's day does to a pool.
    fn day(&self, pool: &Pool, step: i64) -> f64 {
        let Some(slot) = self.calendar_slot(step) else { return 1.0 };
        let days = &pool.days[slot];
        days.value(1.0, 10.0 + 0.15 * days.due).clamp(0.05, 20.0)
    }

    fn calendar_slot(&self, step: i64) -> Option<usize> {
        match self.step {
            Step::Month => None,
            step_size => calendar::slot(step_size.day(step)),
        }
    }

    fn slot(&self, key: &Key, step: i64) -> f64 {
        let at = self.step.slot(step);
        let usual = self.pools[key.pool].slots[at].value(1.0, SLOT_PRIOR);
        key.slots[at].value(usual, SLOT_PRIOR).max(1e-3)
    }

    /// What each expert expects of a key in a step.
    fn expected(&self, key: &Key, step: i64) -> [f64; EXPERTS] {
        let pool = &self.pools[key.pool];
        let shape = self.slot(key, step) * self.day(pool, step);
        let slow = key.levels[LEVELS.len() - 1].value(0.0, 0.0);
        let mut expected = [0.0; EXPERTS];
        for (at, level) in key.levels.iter().enumerate() {
            expected[at] = level.value(0.0, 0.0) * shape;
        }
        for (at, moves) in pool.moves.iter().enumerate() {
            expected[LEVELS.len() + at] = slow * moves.value(1.0, 5.0).clamp(0.02, 50.0) * shape;
        }
        expected
    }

    fn lead(&self, lead: usize) -> usize {
        self.leads.partition_point(|known| *known < lead).min(self.leads.len() - 1)
    }

    /// Takes the counts of a step, one for each key in their order; what is missing or no number is unknown. Steps that were
    /// left out since the last one are unknown too; a step that is not after the last one is passed over.
    pub fn observe(&mut self, step: i64, counts: &[f64]) {
        if self.last.is_some_and(|last| step <= last) {
            return;
        }
        self.last = Some(step);
        let count_of = |key: usize| counts.get(key).copied().filter(|count| count.is_finite()).map(|count| count.max(0.0));
        self.learn(step, &count_of);
        self.take_in(step, &count_of);
        for lead in 0..self.leads.len() {
            let target = step.saturating_add(self.leads[lead] as i64);
            let said = self.keys.iter().map(|key| self.expected(key, target)).collect();
            self.waiting[lead].push_back(Waiting { step: target, said });
        }
    }

    /// Judges the forecasts that waited for this step.
    fn learn(&mut self, step: i64, count_of: &impl Fn(usize) -> Option<f64>) {
        let keep = 0.5f64.powf(1.0 / CHANCE_STEPS);
        let young = (YOUNG_SEASONS * self.season()) as u32;
        for lead in 0..self.leads.len() {
            while self.waiting[lead].front().is_some_and(|waiting| waiting.step <= step) {
                let Some(waiting) = self.waiting[lead].pop_front() else { break };
                if waiting.step < step {
                    continue;
                }
                for (key, said) in waiting.said.iter().enumerate() {
                    let (Some(count), Some(state)) = (count_of(key), self.keys.get_mut(key)) else { continue };
                    let of_pool = &mut self.pools[state.pool].ahead[lead];
                    let ahead = &mut state.ahead[lead];
                    let mean = mixed(said, &ahead.weights);
                    if (mean < 1e-6 && count == 0.0) || state.age < young {
                        continue;
                    }
                    let dispersion = dispersion(ahead, of_pool);
                    let chance = Chance::new(mean, dispersion);
                    let (below, at_most) = (chance.at_most(count - 1.0), chance.at_most(count));
                    ahead.measured.add(below, at_most, 1.0 - keep);
                    of_pool.measured.add(below, at_most, (1.0 - keep) / 12.0);
                    let error = count - mean;
                    let square = (error * error).min((mean * dispersion + 1.0) * 16.0);
                    ahead.dispersion.add(square, mean, keep);
                    of_pool.dispersion.add(square, mean, keep.powf(1.0 / 12.0));
                    // Exponentiated gradient of the squared error, by the variance (Kivinen and Warmuth 1997).
                    let surprise = (error / (mean * dispersion + 0.5)).clamp(-2.0, 2.0);
                    for (weight, said) in ahead.weights.iter_mut().zip(said) {
                        *weight *= (RATE * (surprise * (said - mean)).clamp(-5.0, 5.0)).exp();
                    }
                    let sum: f64 = ahead.weights.iter().sum();
                    for (weight, usual) in ahead.weights.iter_mut().zip(&mut of_pool.weights) {
                        *weight = (*weight / sum).max(0.002);
                        *usual += (*weight - *usual) * 0.002;
                    }
                }
            }
        }
    }

    /// Moves levels, slots and calendar.
    fn take_in(&mut self, step: i64, count_of: &impl Fn(usize) -> Option<f64>) {
        let keeps = LEVELS.map(|seasons| self.keep(seasons));
        let moves = MOVES.map(|seasons| self.keep(seasons));
        let slot_keep = 0.5f64.powf(1.0 / SLOT_SEASONS);
        let slot = self.step.slot(step);
        let calendar_slot = self.calendar_slot(step);
        let mut pools = vec![(0.0, 0.0, 0.0, 0.0, 0.0); self.pools.len()];
        for at in 0..self.keys.len() {
            let Some(count) = count_of(at) else { continue };
            let key = &self.keys[at];
            let (usual, day) = (self.slot(key, step), self.day(&self.pools[key.pool], step));
            let reference = key.levels[REFERENCE].value(0.0, 0.0);
            let slow = key.levels[LEVELS.len() - 1].value(0.0, 0.0);
            let expected = reference * usual * day;
            let spread = key.ahead[0].dispersion.value(1.5, 5.0).max(1.0);
            let calm = if key.age < 28 { count } else { count.min(expected + SURPRISE * (expected * spread).sqrt() + 3.0) };
            let sums = &mut pools[key.pool];
            sums.0 += count;
            sums.1 += slow * usual * day;
            sums.2 += calm;
            sums.3 += reference * day;
            sums.4 += reference * usual;
            let key = &mut self.keys[at];
            for (level, keep) in key.levels.iter_mut().zip(keeps) {
                level.add(count, usual * day, keep);
            }
            if key.age as usize >= 7 {
                key.slots[slot].add(calm, reference * day, slot_keep);
            }
            key.age = key.age.saturating_add(1);
        }
        for (pool, (count, slow, calm, level, usual)) in self.pools.iter_mut().zip(pools) {
            for (moved, keep) in pool.moves.iter_mut().zip(moves) {
                moved.add(count, slow, keep);
            }
            pool.slots[slot].add(calm, level, slot_keep);
            if let Some(slot) = calendar_slot {
                pool.days[slot].add(calm, usual, 1.0);
            }
        }
    }

    /// The outlook of a key for a step that is `lead` steps after the last one seen; the interval shall hold with `level`.
    pub fn outlook(&self, key: usize, lead: usize, level: f64) -> Option<Outlook> {
        let state = self.keys.get(key)?;
        let target = self.last?.saturating_add(i64::try_from(lead).ok()?);
        let (ahead, of_pool) = (&state.ahead[self.lead(lead)], &self.pools[state.pool].ahead[self.lead(lead)]);
        let mean = mixed(&self.expected(state, target), &ahead.weights);
        // A level that rests on few counts is itself uncertain.
        let unsure = 1.0 + UNSURE / (UNSURE / 50.0 + f64::from(state.age));
        let chance = Chance::new(mean, dispersion(ahead, of_pool) * unsure);
        let at = |share: f64| chance.quantile(ahead.measured.share(share, &of_pool.measured, CHANCE_PRIOR));
        let tail = (1.0 - level.clamp(0.01, 0.9999)) / 2.0;
        Some(Outlook { median: at(0.5), mean, lo: at(tail), hi: at(1.0 - tail) })
    }
}

fn mixed(said: &[f64; EXPERTS], weights: &[f64; EXPERTS]) -> f64 {
    said.iter().zip(weights).map(|(said, weight)| said * weight).sum::<f64>() / weights.iter().sum::<f64>()
}

fn dispersion(ahead: &Ahead, of_pool: &Ahead) -> f64 {
    let usual = of_pool.dispersion.value(1.5, 5.0);
    ahead.dispersion.value(usual, 20.0).clamp(1.0, 1e4)
}
