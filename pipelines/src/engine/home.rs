//! The state directory of a job: its lock and the files in it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use crate::engine::{epoch_log, saved_job, snapshot};
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

    pub(crate) fn snapshot(&self) -> PathBuf {
        snapshot::path_in(&self.folder)
    }

    pub(crate) fn epoch_log(&self) -> PathBuf {
        epoch_log::path_in(&self.folder)
    }

    pub(crate) fn saved_job(&self) -> PathBuf {
        saved_job::path_in(&self.folder)
    }

    /// Removes everything that a job has left here.
    pub(crate) fn clear(&self) -> Result<(), RunError> {
        for path in [self.snapshot(), self.epoch_log(), self.saved_job()] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(RunError::io("remove", &path)(error)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}
