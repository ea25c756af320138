//! What can go wrong, in words for the person who has to mend it.

use std::fmt;
use std::path::PathBuf;

use datafusion::error::DataFusionError;

use crate::config::Step;

/// A mistake in a job file: where it stands, what is wrong, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// The job.
    pub job: String,
    /// Line, from 1; 0 when the mistake has no place.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}.sql: {}", self.job, self.message)?,
            line => write!(f, "{}.sql:{line}:{}: {}", self.job, self.column, self.message)?,
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  help: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SqlError {}

/// Why a job stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The job file is wrong.
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// A file could not be read or written.
    #[error("could not {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file of the state directory is damaged.
    #[error("{path} is damaged: {what}; restore it from a backup, or start over with `citybrain job reset {job}`")]
    Damaged {
        /// The job.
        job: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Another process runs this job.
    #[error("job {job} is already running on {path}: stop the other process first")]
    Busy {
        /// The job.
        job: String,
        /// The state directory.
        path: PathBuf,
    },
    /// The state was made by a job of another shape.
    #[error(
        "job {job}: its open windows were made by another version of the SQL ({what}), so they cannot be carried over; \
         let the old version finish, or drop them with `citybrain job reset {job}`"
    )]
    OtherShape {
        /// The job.
        job: String,
        /// What differs.
        what: String,
    },
    /// A computation failed.
    #[error("job {job}: epoch {epoch} failed while it would {what}")]
    Engine {
        /// The job.
        job: String,
        /// The epoch.
        epoch: u64,
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: DataFusionError,
    },
    /// Rows that are not what a source delivers.
    #[error("job {job}: rows of {topic}/{partition} are not in the bronze schema: {what}")]
    Rows {
        /// The job.
        job: String,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What is wrong.
        what: String,
    },
    /// The sink refused; the epoch's output is kept and offered again by the next `poll`.
    #[error("job {job}: the sink did not take epoch {epoch}; it will be offered again")]
    Sink {
        /// The job.
        job: String,
        /// The epoch.
        epoch: u64,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The state could not be read or written.
    #[error("job {job}: its state")]
    Store {
        /// The job.
        job: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The open windows outgrew their budget.
    #[error(
        "job {job}: open windows hold {bytes} bytes, more than the {limit} allowed: shorten the window or the watermark's \
         delay, group by fewer keys, or raise state_bytes_max"
    )]
    StateTooLarge {
        /// The job.
        job: String,
        /// What they hold.
        bytes: u64,
        /// What they may hold.
        limit: u64,
    },
    /// A latch remembers too many keys.
    #[error("job {job}: {keys} keys are raised at once, more than the {limit} allowed: choose fewer columns for latch.key")]
    LatchTooLarge {
        /// The job.
        job: String,
        /// Raised keys.
        keys: usize,
        /// Keys allowed.
        limit: usize,
    },
    /// An earlier error left the state in memory unusable.
    #[error("job {job} stopped after an error: open it again, it goes on from its snapshot")]
    Stopped {
        /// The job.
        job: String,
    },
    /// A test asked for a crash at this step.
    #[error("interrupted at {0:?}")]
    Interrupted(Step),
}

impl RunError {
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> RunError {
        let path = path.into();
        move |source| RunError::Io { what, path, source }
    }
}
