//! How far each reader of the bus has come, and whether everything that was written has been read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Next offset by topic and partition.
pub type Positions = BTreeMap<(String, i32), i64>;

/// One reader's progress, written by the reader and read by others.
#[derive(Clone)]
pub struct Progress {
    name: Arc<str>,
    positions: Arc<Mutex<Positions>>,
}

impl Progress {
    /// A reader that has read nothing.
    pub fn new(name: &str) -> Progress {
        Progress { name: name.into(), positions: Arc::default() }
    }

    /// The reader's name, as it stands in `status` and `/metrics`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sets all positions.
    pub fn set(&self, positions: Positions) {
        *self.positions.lock().expect("no one panics while holding it") = positions;
    }

    /// Moves one position forward.
    pub fn advance(&self, topic: &str, partition: i32, next_offset: i64) {
        let mut positions = self.positions.lock().expect("no one panics while holding it");
        let position = positions.entry((topic.to_string(), partition)).or_insert(0);
        *position = (*position).max(next_offset);
    }

    /// All positions.
    pub fn get(&self) -> Positions {
        self.positions.lock().expect("no one panics while holding it").clone()
    }

    /// Records that the reader has not read yet, given the ends of the partitions it reads.
    pub fn lag(&self, ends: &Positions) -> i64 {
        let positions = self.positions.lock().expect("no one panics while holding it");
        ends.iter().map(|(key, end)| (end - positions.get(key).copied().unwrap_or(0)).max(0)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_what_is_not_read() {
        let progress = Progress::new("lake");
        progress.advance("raw.hotline", 0, 7);
        progress.advance("raw.hotline", 0, 5);
        let ends = BTreeMap::from([(("raw.hotline".to_string(), 0), 10), (("raw.sensor".to_string(), 1), 4)]);
        assert_eq!(progress.lag(&ends), 3 + 4);
    }
}
