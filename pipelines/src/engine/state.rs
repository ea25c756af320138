//! What a job knows between two epochs beside the rows that its steps keep.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::engine::steps::StepShape;

/// A topic and a partition of it.
pub(crate) type Partition = (String, i32);

/// The watermark of a source that has ended: the last second of the year 9999, later than any event.
pub(crate) const END_US: i64 = 253_402_300_799_000_000;

#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// The last epoch that is done.
    pub(crate) epoch: u64,
    pub(crate) partitions: BTreeMap<Partition, Progress>,
    pub(crate) idle: BTreeSet<Partition>,
    pub(crate) watermark: Option<i64>,
    /// Raised conditions and their level.
    pub(crate) latch: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The next offset.
    pub(crate) next: i64,
    /// The latest event time, less the delay of its source's watermark.
    pub(crate) reached: Option<i64>,
}

impl State {
    /// Forgets the partitions of topics that the job does not read any more.
    pub(crate) fn keep_topics(&mut self, topics: &[String]) {
        self.partitions.retain(|partition, _| topics.contains(&partition.0));
        self.idle.retain(|partition| topics.contains(&partition.0));
    }

    /// Notes how far event time has come in a partition.
    pub(crate) fn reach(&mut self, topic: &str, partition: i32, reached: i64) {
        if let Some(progress) = self.partitions.get_mut(&(topic.to_owned(), partition)) {
            progress.reached = progress.reached.max(Some(reached));
        }
    }

    /// Moves the watermark: the least of the partitions that are not idle, or, when all are, the greatest; never back.
    pub(crate) fn advance(&mut self) {
        let (idle, awake): (Vec<_>, Vec<_>) = self.partitions.iter().partition(|(partition, _)| self.idle.contains(*partition));
        let reached = match awake.is_empty() {
            true => idle.iter().filter_map(|(_, progress)| progress.reached).max(),
            // A partition that is awake and has said nothing yet holds the watermark back.
            false => awake.iter().map(|(_, progress)| progress.reached).min().flatten(),
        };
        if let Some(reached) = reached {
            self.watermark = Some(self.watermark.map_or(reached, |watermark| watermark.max(reached)));
        }
    }
}

/// The state of a job as it is written beside the chunks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    job: String,
    epoch: u64,
    pub(crate) shape: Shape,
    partitions: Vec<PartitionLine>,
    watermark: Option<i64>,
    latch: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PartitionLine {
    topic: String,
    partition: i32,
    next: i64,
    reached: Option<i64>,
    idle: bool,
}

impl Header {
    pub(crate) fn of(job: &str, shape: Shape, state: &State) -> Header {
        let line = |(partition, progress): (&Partition, &Progress)| PartitionLine {
            topic: partition.0.clone(),
            partition: partition.1,
            next: progress.next,
            reached: progress.reached,
            idle: state.idle.contains(partition),
        };
        Header {
            job: job.to_owned(),
            epoch: state.epoch,
            shape,
            partitions: state.partitions.iter().map(line).collect(),
            watermark: state.watermark,
            latch: state.latch.clone(),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a header can always be written as JSON")
    }

    pub(crate) fn read(bytes: &[u8], job: &str) -> Result<Header, String> {
        let header: Header = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if header.job != job {
            return Err(format!("it is of job {}", header.job));
        }
        Ok(header)
    }

    /// The state, and the shape of the job that made it.
    pub(crate) fn open(self) -> (State, Shape) {
        let mut state = State { epoch: self.epoch, watermark: self.watermark, latch: self.latch, ..State::default() };
        for line in self.partitions {
            let partition = (line.topic, line.partition);
            if line.idle {
                state.idle.insert(partition.clone());
            }
            state.partitions.insert(partition, Progress { next: line.next, reached: line.reached });
        }
        (state, self.shape)
    }
}

/// What state must agree in with the job that goes on from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) steps: Vec<StepShape>,
    pub(crate) latch: Vec<String>,
}

impl Shape {
    /// What differs, in words, as far as there is any state of it.
    pub(crate) fn difference(&self, job: &Shape, step_rows: &[usize], raised: usize) -> Option<String> {
        let held = |step: usize| step_rows.get(step).is_some_and(|rows| *rows > 0);
        for (number, before) in self.steps.iter().enumerate().filter(|(number, _)| held(*number)) {
            let Some(now) = job.steps.get(number) else {
                return Some(format!("{} is gone", before.window));
            };
            if before.window != now.window {
                return Some(format!("the window was {}, it is {} now", before.window, now.window));
            }
            if before.keys != now.keys {
                return Some(format!("the keys were {}, they are {} now", before.keys.join(", "), now.keys.join(", ")));
            }
            if before.aggregates != now.aggregates {
                return Some("the aggregates differ".to_owned());
            }
        }
        (raised > 0 && self.latch != job.latch).then(|| "the columns of latch.key differ".to_owned())
    }
}
