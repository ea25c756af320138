//! How a runner works: speed and bounds, and a door for tests. None of it changes what windowed jobs give.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::limits;

/// A point in an epoch's life at which a process may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The plan is durable, the work has not begun.
    PlanWritten,
    /// The output is computed, the sink has not seen it.
    OutputComputed,
    /// The sink has taken the output, the state before is still the durable one.
    OutputTaken,
    /// The state after is durable.
    SnapshotWritten,
}

impl Step {
    /// All of them, in the order in which they come.
    pub const ALL: [Step; 4] = [Step::PlanWritten, Step::OutputComputed, Step::OutputTaken, Step::SnapshotWritten];
}

/// Says whether to break off at a step, as a crash would.
pub type StepHook = Arc<dyn Fn(Step) -> bool + Send + Sync>;

/// Settings of a runner.
#[derive(Clone)]
pub struct RunnerConfig {
    /// Parts of an epoch that are worked on at once.
    pub lanes: usize,
    /// Rows of a batch inside DataFusion.
    pub batch_rows: usize,
    /// Rows of an epoch.
    pub epoch_rows_max: usize,
    /// Rows that wait for an epoch.
    pub buffer_rows_max: usize,
    /// Bytes that wait for an epoch.
    pub buffer_bytes_max: usize,
    /// Bytes of state that are kept in memory; the rest is read back from disk when it is needed.
    pub state_memory_max: usize,
    /// Bytes of state in all.
    pub state_bytes_max: u64,
    /// Conditions that are raised at once.
    pub latch_keys_max: usize,
    /// A partition that says nothing for so long does not hold the watermark back.
    pub idle_after: Duration,
    /// Event times further than this ahead of the wall clock are not believed.
    pub ahead_max: Duration,
    /// Called at each step of an epoch; for tests.
    pub hook: Option<StepHook>,
}

impl Default for RunnerConfig {
    fn default() -> RunnerConfig {
        RunnerConfig {
            lanes: std::thread::available_parallelism().map_or(1, usize::from).min(limits::LANES_MAX),
            batch_rows: limits::BATCH_ROWS,
            epoch_rows_max: limits::EPOCH_ROWS_MAX,
            buffer_rows_max: limits::BUFFER_ROWS_MAX,
            buffer_bytes_max: limits::BUFFER_BYTES_MAX,
            state_memory_max: limits::STATE_MEMORY_MAX,
            state_bytes_max: limits::STATE_BYTES_MAX,
            latch_keys_max: limits::LATCH_KEYS_MAX,
            idle_after: Duration::from_secs(30),
            ahead_max: Duration::from_secs(86_400),
            hook: None,
        }
    }
}

impl fmt::Debug for RunnerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunnerConfig")
            .field("lanes", &self.lanes)
            .field("batch_rows", &self.batch_rows)
            .field("epoch_rows_max", &self.epoch_rows_max)
            .field("buffer_rows_max", &self.buffer_rows_max)
            .field("buffer_bytes_max", &self.buffer_bytes_max)
            .field("state_memory_max", &self.state_memory_max)
            .field("state_bytes_max", &self.state_bytes_max)
            .field("latch_keys_max", &self.latch_keys_max)
            .field("idle_after", &self.idle_after)
            .field("ahead_max", &self.ahead_max)
            .finish_non_exhaustive()
    }
}
