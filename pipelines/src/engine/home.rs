//! The state directory of a job: its lock and the files in it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::engine::saved_job;
use crate::engine::store::Store;
use crate::error::RunError;

/// A state directory that this process holds. The lock goes with the process, however it ends.
#[derive(Debug)]
pub(crate) struct Home {
    folder: PathBuf,
    _lock: File,
}

impl Home {
    pub(crate) fn hold(folder: &Path, job: &str) -> Result<Home, RunError> {
        std::fs::create_dir_all(folder).map_err(RunError::io("create", folder))?;
        let path = folder.join("lock");
        let lock = File::create(&path).map_err(RunError::io("create", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Home { folder: folder.to_owned(), _lock: lock }),
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
        Store::clear(&self.folder).map_err(RunError::io("clear", &self.folder))?;
        match std::fs::remove_file(self.saved_job()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(RunError::io("remove", self.saved_job())(error)),
            Ok(()) | Err(_) => {}
        }
        Ok(())
    }
}
