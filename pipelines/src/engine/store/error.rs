//! What can go wrong with stored state.

use std::io;
use std::path::PathBuf;

use arrow::error::ArrowError;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// A file could not be read or written.
    #[error("could not {what} {path}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Bytes that were durable are not what was written.
    #[error("{path} is damaged at byte {offset}: {what}; restore it from a backup, or start over with `citybrain job reset {job}`")]
    Damaged {
        /// The job.
        job: String,
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The state outgrew its budget.
    #[error(
        "job {job}: its state would take {bytes} bytes, more than the {limit} allowed: shorten the window or the watermark's \
         delay, group by fewer keys, or raise the limit"
    )]
    TooLarge {
        /// The job.
        job: String,
        /// What it would take.
        bytes: u64,
        /// What it may take.
        limit: u64,
    },
    /// Rows that cannot be stored.
    #[error("job {job}: rows of step {step} cannot be stored")]
    Rows {
        /// The job.
        job: String,
        /// The step.
        step: u32,
        /// Why not.
        #[source]
        source: ArrowError,
    },
    /// An earlier error left it open what the files hold.
    #[error("the state of job {job} is closed after an error: open it again, it goes on from its last commit")]
    Stopped {
        /// The job.
        job: String,
    },
}

impl StoreError {
    pub(super) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.into();
        move |source| StoreError::Io { what, path, source }
    }
}
