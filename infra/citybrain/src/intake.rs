//! The sequencer's intake: what has arrived, merged over topics and partitions into one order.
//!
//! Kafka orders each partition only. The intake keeps that order within each partition and takes next, among the heads
//! of all partitions, the one with the earliest event time (ties by topic, partition and offset). With one partition
//! the order does not depend on timing at all; with several it depends on what had arrived, which is why the journal
//! writes it down.

use std::collections::{BTreeMap, VecDeque};

use schemas::position::Position;
use schemas::understood::Understood;

/// Rows that may wait in the intake before it asks its senders to wait; about 64 MiB of ordinary messages.
pub const WAITING_ROWS_MAX: usize = 65_536;

/// One event that the decision plane has to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Where it stands in the log.
    pub position: Position,
    /// When it happened, µs. What does not say goes first: it waits for nothing.
    pub time_us: Option<i64>,
    /// CloudEvents `type`.
    pub event_type: String,
    /// CloudEvents `source`.
    pub source: String,
    /// CloudEvents `id`.
    pub id: String,
    /// JSON text.
    pub data: String,
    /// What was understood of it.
    pub understood: Option<Understood>,
}

/// What waits to be sequenced.
#[derive(Default)]
pub struct Intake {
    waiting: BTreeMap<(String, i32), VecDeque<Arrival>>,
    rows: usize,
}

impl Intake {
    /// Adds arrivals of one partition, in the order of their offsets.
    pub fn push(&mut self, arrival: Arrival) {
        let key = (arrival.position.topic.clone(), arrival.position.partition);
        self.waiting.entry(key).or_default().push_back(arrival);
        self.rows += 1;
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether senders should wait.
    pub fn is_full(&self) -> bool {
        self.rows >= WAITING_ROWS_MAX
    }

    /// Takes the next arrival.
    pub fn pop(&mut self) -> Option<Arrival> {
        let key = self
            .waiting
            .iter()
            .filter_map(|(key, queue)| Some((queue.front()?.time_us, key)))
            .min()
            .map(|(_, key)| key.clone())?;
        let queue = self.waiting.get_mut(&key)?;
        let arrival = queue.pop_front()?;
        if queue.is_empty() {
            self.waiting.remove(&key);
        }
        self.rows -= 1;
        Some(arrival)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(topic: &str, offset: i64, time_us: i64) -> Arrival {
        Arrival {
            position: Position { topic: topic.into(), partition: 0, offset },
            time_us: Some(time_us),
            event_type: String::new(),
            source: String::new(),
            id: String::new(),
            data: String::new(),
            understood: None,
        }
    }

    fn order(arrivals: Vec<Arrival>) -> Vec<String> {
        let mut intake = Intake::default();
        arrivals.into_iter().for_each(|arrival| intake.push(arrival));
        std::iter::from_fn(|| intake.pop()).map(|arrival| arrival.position.to_string()).collect()
    }

    #[test]
    fn the_earliest_head_goes_first() {
        let merged = order(vec![arrival("b", 0, 10), arrival("b", 1, 30), arrival("a", 0, 20), arrival("a", 1, 40)]);
        assert_eq!(merged, ["b/0/0", "a/0/0", "b/0/1", "a/0/1"]);
    }

    #[test]
    fn a_partition_keeps_its_own_order() {
        assert_eq!(order(vec![arrival("a", 0, 50), arrival("a", 1, 10), arrival("b", 0, 20)]), ["b/0/0", "a/0/0", "a/0/1"]);
    }

    #[test]
    fn ties_are_broken_by_topic() {
        assert_eq!(order(vec![arrival("b", 0, 7), arrival("a", 0, 7)]), ["a/0/0", "b/0/0"]);
    }
}
