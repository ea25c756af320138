//! Every limit on what functions may take, with its reason.

use std::time::Duration;

/// What functions may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a whole batch may take, 5 s. Beyond it the batch is tried again row by row.
    pub batch_timeout: Duration,
    /// How long one row may take when rows are tried one by one, 1 s: what is slower cannot keep up with a stream.
    pub row_timeout: Duration,
    /// How long all tries of one batch may take together, 60 s. The rows that are left then fail.
    pub total_timeout: Duration,
    /// How many rows of one batch may stop a worker, 16. The rows that are left then fail: each costs a new process.
    pub restarts_max: usize,
    /// How many workers run at once, 2 to 4 by the number of processors. More callers wait.
    pub workers_max: usize,
    /// How many rows a worker is asked at once, 8,192, so that a time limit means the same for every batch.
    pub batch_rows_max: usize,
    /// How many values one group of an aggregate may hold, 1,000,000.
    pub group_values_max: usize,
    /// How many bytes of memory a worker may hold, 1 GiB. Watched on Linux only.
    pub worker_bytes_max: u64,
    /// How many failures are kept until somebody takes them, 10,000. Later ones are counted.
    pub failures_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            batch_timeout: Duration::from_secs(5),
            row_timeout: Duration::from_secs(1),
            total_timeout: Duration::from_secs(60),
            restarts_max: 16,
            workers_max: processors.clamp(2, 4),
            batch_rows_max: 8_192,
            group_values_max: 1_000_000,
            worker_bytes_max: 1 << 30,
            failures_max: 10_000,
        }
    }
}

/// The longest frame between us and a worker: a batch of the longest texts has room in it, a broken length has not.
pub(crate) const FRAME_BYTES_MAX: usize = 1 << 30;

/// The longest reason of a failure, in characters.
pub(crate) const REASON_CHARS_MAX: usize = 300;

/// How many manifests one folder may hold.
pub(crate) const MANIFESTS_MAX: usize = 1_000;

/// The longest manifest.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// How many arguments a function may have.
pub(crate) const ARGUMENTS_MAX: usize = 32;
