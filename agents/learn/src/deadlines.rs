//! Which of the open orders will be late, said when each comes in and learnt anew as their ends become known.
//!
//! An order is late when its deadline passes while it is open, and in time when it ends before. What is said of an order rests on
//! nothing that became known after it came in. Knows nothing of calendars, cities or files.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::route_risk::{Backlog, Drift, Risk, RiskOptions};

const DAY_US: i64 = 86_400_000_000;
/// It is learnt anew after so long, and when twice as many ends are known as at the time before.
const TERM_US: i64 = 91 * DAY_US;
/// Ends without which nothing is learnt: until then an order is as likely late as those before it.
const ENOUGH: usize = 200;
/// Half-life of what an order teaches, days.
const HALF_LIFE_D: f64 = 180.0;
/// Orders whose weight would be a sixteenth are forgotten.
const AGE_MAX_US: i64 = 720 * DAY_US;
/// How far an end moves the odds of its first group.
const DRIFT_STEP: f64 = 0.01;
/// Ends that are remembered, the latest.
const ENDS_MAX: usize = 50_000;
/// Open orders that are remembered; the oldest goes when there is one more.
const OPEN_MAX: usize = 200_000;

/// An order that comes in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Order<'a> {
    /// What it is called.
    pub id: &'a str,
    /// When it came in, µs.
    pub at_us: i64,
    /// Its deadline, µs.
    pub due_us: i64,
    /// What it has in common with others, the widest first: a type, a type in a district. All orders have equally many.
    pub groups: &'a [String],
    /// Whatever else is known of it, as numbers. All orders have equally many.
    pub facts: &'a [f32],
}

/// The probability that an order will be late, by three ways of saying it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chances {
    /// The one to use: the trees', moved by the latest outcomes of its first group.
    pub late: f64,
    /// As the trees have it.
    pub trees: f64,
    /// The share of late ones among the orders of its first group that ended lately: the baseline.
    pub usual: f64,
}

/// An order whose end is not known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Open {
    at_us: i64,
    /// When it came in, in the order of those that did.
    turn: u64,
    groups: Vec<String>,
    values: Vec<f32>,
    trees: f64,
    overdue: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Ended {
    at_us: i64,
    values: Vec<f32>,
    late: bool,
}

/// Orders as they come and go, and what was learnt from them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Deadlines {
    backlog: Backlog,
    drift: Drift,
    open: BTreeMap<String, Open>,
    turns: BTreeMap<u64, String>,
    next: u64,
    ended: VecDeque<Ended>,
    risk: Option<Risk>,
    learnt_us: i64,
    learnt_from: usize,
    /// Ends since it was learnt.
    since: usize,
}

impl Deadlines {
    /// Nothing known yet.
    pub fn new() -> Deadlines {
        Deadlines { drift: Drift::new(DRIFT_STEP), ..Deadlines::default() }
    }

    /// An order comes in; says how likely it will be late. One that is known already is told of as it was.
    pub fn opened(&mut self, order: &Order<'_>) -> Chances {
        if let Some(open) = self.open.get(order.id) {
            return self.chances(&open.groups, open.trees, open.at_us);
        }
        let due = if self.learnt_from == 0 { self.ended.len() >= ENOUGH } else { self.since >= self.learnt_from || order.at_us.saturating_sub(self.learnt_us) >= TERM_US };
        if due {
            self.learn(order.at_us);
        }
        let values = self.values(order);
        let trees = match &self.risk {
            Some(risk) => risk.probability(&values),
            None => self.usual(order.groups, order.at_us),
        };
        let chances = self.chances(order.groups, trees, order.at_us);
        order.groups.iter().for_each(|group| self.backlog.opened(group, order.at_us));
        self.turns.insert(self.next, order.id.to_owned());
        let open = Open { at_us: order.at_us, turn: self.next, groups: order.groups.to_vec(), values, trees, overdue: false };
        self.open.insert(order.id.to_owned(), open);
        self.next += 1;
        if self.open.len() > OPEN_MAX
            && let Some((_, oldest)) = self.turns.pop_first()
        {
            self.open.remove(&oldest);
        }
        chances
    }

    /// The deadline of an open order passes. Whether that was news.
    pub fn overdue(&mut self, id: &str, at_us: i64) -> bool {
        let Some(open) = self.open.get_mut(id).filter(|open| !open.overdue) else { return false };
        open.overdue = true;
        open.groups.iter().for_each(|group| self.backlog.overdue(group, at_us));
        let ended = Ended { at_us: open.at_us, values: std::mem::take(&mut open.values), late: true };
        let (group, trees) = (open.groups.first().cloned().unwrap_or_default(), open.trees);
        self.end(&group, trees, ended);
        true
    }

    /// An order is closed. Whether it was in time; not when it was late, which was told of then, or is not known.
    pub fn closed(&mut self, id: &str, at_us: i64) -> bool {
        let Some(open) = self.forget(id) else { return false };
        open.groups.iter().for_each(|group| self.backlog.closed(group, open.overdue, at_us));
        if open.overdue {
            return false;
        }
        let group = open.groups.first().cloned().unwrap_or_default();
        self.end(&group, open.trees, Ended { at_us: open.at_us, values: open.values, late: false });
        true
    }

    /// An order turns out to be none: it is forgotten, and teaches nothing. Whether it was known.
    pub fn withdrawn(&mut self, id: &str) -> bool {
        let Some(open) = self.forget(id) else { return false };
        open.groups.iter().for_each(|group| self.backlog.withdrawn(group, open.overdue));
        true
    }

    /// Whether an order is open.
    pub fn knows(&self, id: &str) -> bool {
        self.open.contains_key(id)
    }

    /// Ends that the trees of now were learnt from; 0 while there are none.
    pub fn learnt_from(&self) -> usize {
        if self.risk.is_some() { self.learnt_from } else { 0 }
    }

    fn forget(&mut self, id: &str) -> Option<Open> {
        let open = self.open.remove(id)?;
        self.turns.remove(&open.turn);
        Some(open)
    }

    fn end(&mut self, group: &str, trees: f64, ended: Ended) {
        self.drift.learn(group, trees, ended.late);
        self.ended.push_back(ended);
        self.since += 1;
        if self.ended.len() > ENDS_MAX {
            self.ended.pop_front();
        }
    }

    fn usual(&self, groups: &[String], at_us: i64) -> f64 {
        groups.first().map_or(0.5, |group| self.backlog.late_share(group, at_us))
    }

    fn chances(&self, groups: &[String], trees: f64, at_us: i64) -> Chances {
        let group = groups.first().map_or("", String::as_str);
        Chances { late: self.drift.corrected(group, trees), trees, usual: self.usual(groups, at_us) }
    }

    fn values(&self, order: &Order<'_>) -> Vec<f32> {
        let hours = order.due_us.saturating_sub(order.at_us) as f64 / 3_600e6;
        let weekday = |at_us: i64| (at_us.div_euclid(DAY_US) + 3).rem_euclid(7) as f32;
        let mut values = vec![hours.max(1.0).ln() as f32, weekday(order.at_us), weekday(order.due_us)];
        values.extend(order.facts);
        order.groups.iter().for_each(|group| values.extend(self.backlog.read(group, order.at_us)));
        // What is no number could not be stored.
        values.into_iter().map(|value| if value.is_finite() { value } else { 0.0 }).collect()
    }

    fn learn(&mut self, now_us: i64) {
        self.ended.retain(|ended| now_us.saturating_sub(ended.at_us) < AGE_MAX_US);
        let width = self.ended.back().map_or(0, |ended| ended.values.len());
        let taught: Vec<&Ended> = self.ended.iter().filter(|ended| ended.values.len() == width).collect();
        let values: Vec<f32> = taught.iter().flat_map(|ended| ended.values.iter().copied()).collect();
        let late: Vec<bool> = taught.iter().map(|ended| ended.late).collect();
        let fade = |ended: &&Ended| 0.5_f64.powf(now_us.saturating_sub(ended.at_us).max(0) as f64 / DAY_US as f64 / HALF_LIFE_D) as f32;
        let weights: Vec<f32> = taught.iter().map(fade).collect();
        self.risk = Risk::fit(&values, width, &late, &weights, &RiskOptions::default());
        (self.learnt_us, self.learnt_from, self.since) = (now_us, taught.len().max(ENOUGH), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    /// Orders of two kinds, one an hour; of "holes" every second one is late, of "lamps" none. What was said of the last ones.
    fn run(deadlines: &mut Deadlines, orders: std::ops::Range<i64>) -> Vec<(bool, Chances)> {
        let mut said = Vec::new();
        for at in orders {
            let now = at * HOUR_US;
            let (kind, big) = (["holes", "lamps"][at as usize % 2], at / 2 % 2 == 0);
            let id = format!("order-{at}");
            let order = Order { id: &id, at_us: now, due_us: now + 72 * HOUR_US, groups: &[kind.to_owned()], facts: &[f32::from(u8::from(big))] };
            said.push((kind == "holes" && big, deadlines.opened(&order)));
            let before = at - 100;
            if before >= 0 {
                let id = format!("order-{before}");
                if before % 2 == 0 && before / 2 % 2 == 0 {
                    assert!(deadlines.overdue(&id, now) && !deadlines.overdue(&id, now) && !deadlines.closed(&id, now));
                } else {
                    assert!(deadlines.closed(&id, now) && !deadlines.closed(&id, now));
                }
            }
        }
        said
    }

    #[test]
    fn what_makes_orders_late_is_learnt() {
        let mut deadlines = Deadlines::new();
        let said = run(&mut deadlines, 0..3_000);
        assert!(deadlines.learnt_from() > 1_000);
        let last = &said[2_500..];
        assert!(last.iter().all(|(late, chances)| if *late { chances.late > 0.7 } else { chances.late < 0.3 }), "{:?}", &last[..8]);
        assert!(last.iter().all(|(_, chances)| chances.usual < 0.7), "the baseline cannot tell them");
    }

    #[test]
    fn what_was_stored_goes_on_as_if_nothing_had_been() {
        let mut whole = Deadlines::new();
        run(&mut whole, 0..700);
        let mut part = Deadlines::new();
        run(&mut part, 0..400);
        let mut part: Deadlines = serde_json::from_str(&serde_json::to_string(&part).expect("plain values")).expect("it reads");
        run(&mut part, 400..700);
        assert_eq!(whole, part);
    }

    #[test]
    fn who_takes_an_order_back_teaches_nothing() {
        let mut deadlines = Deadlines::new();
        let order = Order { id: "a", at_us: i64::MIN, due_us: i64::MAX, groups: &[], facts: &[f32::NAN] };
        let first = deadlines.opened(&order);
        assert_eq!(first, deadlines.opened(&order));
        assert!(deadlines.withdrawn("a") && !deadlines.withdrawn("a") && !deadlines.overdue("a", 0) && !deadlines.closed("a", 0));
        assert_eq!((deadlines.ended.len(), deadlines.open.len(), deadlines.turns.len()), (0, 0, 0));
    }
}
