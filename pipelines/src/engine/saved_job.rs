//! The job as it was when its last epoch was planned.
//!
//! An epoch that was planned before a crash is finished as it was planned, even when the job's file has changed since:
//! its sink may have taken the output already.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use udf_host::Udfs;

use crate::engine::whole_file;
use crate::error::RunError;
use crate::job::Job;

#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    name: String,
    sql: String,
    files: Vec<(String, String)>,
}

pub(crate) fn write(path: &Path, job: &Job) -> Result<(), RunError> {
    let saved = Saved { name: job.name().to_owned(), sql: job.sql().to_owned(), files: job.lookup_files().to_vec() };
    let bytes = serde_json::to_vec_pretty(&saved).expect("a job is text, and text can be written as JSON");
    whole_file::replace(path, &bytes).map_err(RunError::io("write", path))
}

pub(crate) fn read(path: &Path, job: &str, udfs: &Udfs) -> Result<Job, RunError> {
    let bytes = std::fs::read(path).map_err(RunError::io("read", path))?;
    let damaged = |error: serde_json::Error| RunError::Damaged { job: job.to_owned(), path: path.to_owned(), what: error.to_string() };
    let saved: Saved = serde_json::from_slice(&bytes).map_err(damaged)?;
    let files: Vec<(&str, &str)> = saved.files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    Ok(Job::parse_with(&saved.name, &saved.sql, &files, udfs)?)
}

/// The name of the saved job in a state directory.
pub(crate) fn path_in(folder: &Path) -> PathBuf {
    folder.join("job.json")
}
