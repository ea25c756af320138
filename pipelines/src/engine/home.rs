//! The state directory of a job: its lock and the files in it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::engine::saved_job;
use crate::engine::store;
use crate::error::RunError;

/// A state directory that this process holds. The lock goes with the process, however it ends.
#[derive(Debug)]
pub(crate) struct Home {
    job: String,
    folder: PathBuf,
    _lock: File,
}

impl Home {
    pub(crate) fn hold(folder: &Path, job: &str) -> Result<Home, RunError> {
        std::fs::create_dir_all(folder).map_err(RunError::io("create", folder))?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(RunError::io("create", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Home { job: job.to_owned(), folder: folder.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(RunError::Busy { job: job.to_owned(), path: folder.to_owned() }),
            Err(TryLockError::Error(error)) => Err(RunError::io("lock", &path)(error)),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn saved_job(&self) -> PathBuf {
        saved_job::path_in(&self.folder)
    }

    /// Removes everything that a job has left here.
    pub(crate) fn clear(&self) -> Result<(), RunError> {
        store::clear(&self.folder).map_err(|source| RunError::Store { job: self.job.clone(), source: source.into() })?;
        match std::fs::remove_file(self.saved_job()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(RunError::io("remove", self.saved_job())(error)),
            Ok(()) | Err(_) => {}
        }
        Ok(())
    }
}
