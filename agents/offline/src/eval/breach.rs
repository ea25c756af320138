//! `eval breach`: whether an order will be late, from what is known when it comes in.
//!
//! Orders come and go in the order of time through [`Deadlines`], which the running brain uses too: it learns anew now and then
//! from what has become known until then. Those of earlier years only teach, later ones are judged. What ends an order is known
//! to nobody before it ends: an order is late when its deadline passes while it is open, and in time when it is closed before.

use anyhow::{Context as _, Result, ensure};
use learn::deadlines::Deadlines;
use serde::Serialize;

use crate::Context;
use crate::labelled::wall_time_us;
use crate::table::Rows;

/// Share of the orders, by time, that only teach.
const EARLIER: f64 = 0.6;

struct Order {
    created_us: i64,
    due_us: i64,
    closed_us: i64,
    groups: [String; 3],
}

impl Order {
    fn is_late(&self) -> bool {
        self.closed_us > self.due_us
    }
}

#[derive(Debug, Serialize)]
struct Measured {
    what: &'static str,
    auc: f64,
    calibration_error: f64,
}

#[derive(Debug, Serialize)]
struct Document {
    taught: usize,
    asked: usize,
    late: f64,
    measured: Vec<Measured>,
    /// Of each tenth of probability: orders, mean probability, share that was late.
    reliability: Vec<(usize, f64, f64)>,
}

/// Measures and prints.
///
/// # Errors
/// When the data folder is not there, or its file cannot be read.
pub fn run(context: &Context) -> Result<()> {
    let columns = ["SR CREATE DATE", "DUE DATE", "DATE CLOSED", "SR TYPE", "DISTRICT", "KEY MAP"];
    let mut orders = Vec::new();
    for row in Rows::open(&context.data_file("work_orders/houston311_2011_2017.parquet")?, &columns)? {
        let cells = row?.cells;
        let (Some(created_us), Some(due_us), Some(closed_us)) = (wall_time_us(&cells[0]), wall_time_us(&cells[1]), wall_time_us(&cells[2])) else { continue };
        let kind = &cells[3];
        let map: String = cells[5].chars().take(3).collect();
        orders.push(Order { created_us, due_us, closed_us, groups: [kind.clone(), format!("{kind}|{}", cells[4]), format!("{kind}|{map}")] });
    }
    orders.sort_by_key(|order| order.created_us);
    ensure!(orders.len() > 100, "there are only {} orders with all three dates", orders.len());
    let document = measure(&orders);
    if context.json {
        println!("{}", serde_json::to_string_pretty(&document).context("figures can be written")?);
        return Ok(());
    }
    println!("{}: {} / {}, {:.3}", context.t("逾期风险（学习行数/测试行数，逾期率）", "Risk of being late (orders that teach / that are asked, share late)"), document.taught, document.asked, document.late);
    for it in &document.measured {
        println!("{:<28} AUC {:.3}  ECE {:.3}", it.what, it.auc, it.calibration_error);
    }
    for (orders, said, came) in &document.reliability {
        println!("{orders:>7} {:>6.3} {:>6.3}", said, came);
    }
    Ok(())
}

/// What happens to orders, in the order of time: known outcomes before new orders.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Overdue,
    Closed,
    Opened,
}

fn measure(orders: &[Order]) -> Document {
    let mut events: Vec<(i64, Happens, usize)> = Vec::new();
    for (at, order) in orders.iter().enumerate() {
        events.push((order.created_us, Happens::Opened, at));
        events.push((order.closed_us.max(order.created_us), Happens::Closed, at));
        if order.is_late() {
            events.push((order.due_us.max(order.created_us), Happens::Overdue, at));
        }
    }
    events.sort_unstable();
    let first_asked = (orders.len() as f64 * EARLIER) as usize;
    let mut deadlines = Deadlines::new();
    let mut answers: Vec<([f64; 4], bool)> = Vec::new();
    let mut counts = std::collections::BTreeMap::<&str, (f64, f64)>::new();
    for (now, happens, at) in events {
        let order = &orders[at];
        let (id, kind) = (at.to_string(), order.groups[0].as_str());
        let ended = match happens {
            Happens::Opened => {
                let said = deadlines.opened(&learn::deadlines::Order { id: &id, at_us: now, due_us: order.due_us, groups: &order.groups, facts: &[] });
                if at >= first_asked {
                    let (late, all) = counts.get(kind).copied().unwrap_or_default();
                    answers.push(([(late + 0.5) / (all + 1.0), said.usual, said.trees, said.late], order.is_late()));
                }
                false
            }
            Happens::Overdue => deadlines.overdue(&id, now),
            Happens::Closed => deadlines.closed(&id, now),
        };
        if ended && at < first_asked {
            let count = counts.entry(kind).or_default();
            *count = (count.0 + f64::from(u8::from(happens == Happens::Overdue)), count.1 + 1.0);
        }
    }
    let of = |place: usize| answers.iter().map(|(said, late)| (said[place], *late)).collect::<Vec<_>>();
    let names = ["baseline: share of the type", "baseline: its last weeks", "trees", "trees, kept right by outcomes"];
    let measured = names.into_iter().enumerate().map(|(place, what)| {
        let answers = of(place);
        let error = reliability(&answers).iter().map(|(orders, said, came)| *orders as f64 * (said - came).abs()).sum::<f64>() / answers.len().max(1) as f64;
        Measured { what, auc: auc(answers), calibration_error: error }
    });
    Document {
        taught: first_asked,
        asked: answers.len(),
        late: answers.iter().filter(|(_, late)| *late).count() as f64 / answers.len().max(1) as f64,
        measured: measured.collect(),
        reliability: reliability(&of(3)),
    }
}

/// The probability that a late order was said to be likelier late than one in time; equals count half.
fn auc(mut answers: Vec<(f64, bool)>) -> f64 {
    answers.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut wins, mut late, mut at) = (0.0, 0.0, 0.0, 0);
    while at < answers.len() {
        let equal = answers[at..].iter().take_while(|it| it.0 == answers[at].0).count();
        let came = answers[at..at + equal].iter().filter(|it| it.1).count() as f64;
        let not = equal as f64 - came;
        wins += came * (below + not / 2.0);
        below += not;
        late += came;
        at += equal;
    }
    if late * below > 0.0 { wins / (late * below) } else { 0.5 }
}

/// Orders, mean probability and share of late ones of each tenth that has any.
fn reliability(answers: &[(f64, bool)]) -> Vec<(usize, f64, f64)> {
    let mut bins = [(0usize, 0.0, 0.0); 10];
    for (said, late) in answers {
        let bin = &mut bins[((said * 10.0) as usize).min(9)];
        *bin = (bin.0 + 1, bin.1 + said, bin.2 + f64::from(u8::from(*late)));
    }
    bins.into_iter().filter(|bin| bin.0 > 0).map(|(orders, said, came)| (orders, said / orders as f64, came / orders as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_US: i64 = 86_400_000_000;

    #[test]
    fn the_area_counts_pairs() {
        assert_eq!(auc(vec![(0.1, false), (0.9, true)]), 1.0);
        assert_eq!(auc(vec![(0.9, false), (0.1, true)]), 0.0);
        assert_eq!(auc(vec![(0.5, false), (0.5, true)]), 0.5);
        assert_eq!(auc(Vec::new()), 0.5);
    }

    #[test]
    fn no_later_outcome_is_known_before() {
        let order = |at: i64, closed: i64| Order { created_us: at * DAY_US, due_us: (at + 3) * DAY_US, closed_us: (at + closed) * DAY_US, groups: ["a".to_owned(), "b".to_owned(), "c".to_owned()] };
        let mut orders: Vec<Order> = (0..400).map(|at| order(at, if at % 4 == 0 { 5 } else { 1 })).collect();
        let all = measure(&orders).measured;
        // What the last order comes to cannot move what was said of it.
        orders[399].closed_us = 300 * DAY_US + orders[399].due_us;
        let other = measure(&orders).measured;
        assert_eq!(all.len(), other.len());
        assert!((all[0].calibration_error - other[0].calibration_error).abs() < 0.01);
    }
}
