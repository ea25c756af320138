//! Decides what the next epoch covers: how much of each partition, and which partitions are idle.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::config::RunnerConfig;
use crate::engine::buffer::Buffer;
use crate::engine::epoch::{Plan, Range};
use crate::engine::state::{END_US, Partition, State};
use crate::limits::BUFFER_CHUNKS_MAX;

/// How long each partition has been silent while somebody was listening.
///
/// A pause of the process is not silence of a partition, so one pause between two polls counts as a quarter of the limit
/// at most: a partition is idle only after several polls in which it had nothing.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    silent: BTreeMap<Partition, Duration>,
    /// Partitions of which it was said that nothing will come for now.
    resting: BTreeSet<Partition>,
    polled: Option<DateTime<Utc>>,
}

impl Silence {
    pub(crate) fn listen(&mut self, now: DateTime<Utc>, known: &BTreeSet<Partition>, buffer: &Buffer, idle_after: Duration) {
        let since = self.polled.map_or(Duration::ZERO, |polled| (now - polled).to_std().unwrap_or_default());
        self.polled = Some(now);
        for partition in known {
            let silent = self.silent.entry(partition.clone()).or_default();
            if buffer.rows_of(partition) > 0 {
                self.resting.remove(partition);
            }
            *silent = match buffer.rows_of(partition) {
                0 => *silent + since.min(idle_after / 4),
                _ => Duration::ZERO,
            };
        }
    }

    pub(crate) fn rest(&mut self, partition: Partition, rests: bool) {
        match rests {
            true => self.resting.insert(partition),
            false => self.resting.remove(&partition),
        };
    }

    fn is_idle(&self, partition: &Partition, idle_after: Duration) -> bool {
        self.resting.contains(partition) || self.silent.get(partition).is_some_and(|silent| *silent >= idle_after)
    }
}

/// What a plan is made from.
pub(crate) struct Facts<'a> {
    pub(crate) job: &'a str,
    pub(crate) digest: &'a str,
    pub(crate) now: DateTime<Utc>,
    pub(crate) known: &'a BTreeSet<Partition>,
    pub(crate) buffer: &'a Buffer,
    pub(crate) silence: &'a Silence,
    pub(crate) state: &'a State,
    /// Whether steps hold rows, which a partition that falls idle may set free.
    pub(crate) open: bool,
    pub(crate) config: &'a RunnerConfig,
}

impl Facts<'_> {
    /// The next epoch, or nothing when it would change nothing.
    pub(crate) fn plan(&self, ended: bool) -> Option<Plan> {
        let ends = self.ends();
        let next = |partition: &Partition| self.state.partitions.get(partition).map_or(0, |progress| progress.next);
        let ranges: Vec<Range> = self
            .known
            .iter()
            .map(|partition| {
                let from = next(partition);
                let to = ends.get(partition).copied().unwrap_or(from).max(from);
                let idle = self.buffer.rows_of(partition) == 0 && self.silence.is_idle(partition, self.config.idle_after);
                let reached = self.buffer.reached(partition, to);
                Range { topic: partition.0.clone(), partition: partition.1, from, to, idle, reached }
            })
            .collect();
        let passed: i64 = ranges.iter().map(|range| range.to.saturating_sub(range.from)).fold(0, i64::saturating_add);
        let newly_idle = ranges.iter().any(|range| range.idle && !self.state.idle.contains(&range.partition()));
        let further = |range: &Range| range.reached > self.state.partitions.get(&range.partition()).and_then(|progress| progress.reached);
        let worth = ended
            || self.buffer.rows() > 0
            || self.buffer.chunks() >= BUFFER_CHUNKS_MAX
            || (self.open && (newly_idle || ranges.iter().any(further)))
            || usize::try_from(passed).is_ok_and(|passed| passed >= self.config.epoch_rows_max);
        let planned_us = self.now.timestamp_micros();
        let ahead_us = i64::try_from(self.config.ahead_max.as_micros()).unwrap_or(i64::MAX);
        worth.then(|| Plan {
            job: self.job.to_owned(),
            epoch: self.state.epoch + 1,
            digest: self.digest.to_owned(),
            planned_us,
            time_max_us: planned_us.saturating_add(ahead_us).min(END_US - 1),
            ended,
            ranges,
        })
    }

    /// Where the ranges end: everything that waits, or a fair share of each partition when that is too much.
    fn ends(&self) -> BTreeMap<Partition, i64> {
        let mut waiting: Vec<(usize, &Partition)> = self.buffer.partitions().map(|partition| (self.buffer.rows_of(partition), partition)).collect();
        waiting.sort();
        let mut left = self.config.epoch_rows_max.max(1);
        let mut ends = BTreeMap::new();
        let count = waiting.len();
        for (index, (rows, partition)) in waiting.into_iter().enumerate() {
            let share = left.div_ceil(count - index).min(rows);
            left -= share.min(left);
            if let Some(end) = self.buffer.end_after(partition, share) {
                ends.insert(partition.clone(), end);
            }
        }
        ends
    }
}
