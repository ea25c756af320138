//! The file of plans: appended to and made durable before an epoch's work begins.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::engine::epoch::Plan;
use crate::engine::frame::{self, Frame};
use crate::error::RunError;
use crate::limits::{EPOCH_LOG_BYTES_MAX, PLAN_BYTES_MAX};

#[derive(Debug)]
pub(crate) struct EpochLog {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl EpochLog {
    /// Opens the log and gives the plan that was written after `epoch`, if there is one.
    pub(crate) fn open(path: PathBuf, job: &str, epoch: u64) -> Result<(EpochLog, Option<Plan>), RunError> {
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(RunError::io("read", &path)(error)),
        };
        let damaged = |what: &str| RunError::Damaged { job: job.to_owned(), path: path.clone(), what: what.to_owned() };
        let (mut rest, mut pending) = (bytes.as_slice(), None);
        while !rest.is_empty() {
            match frame::read(rest) {
                Frame::Whole(payload, after) => {
                    let plan: Plan = serde_json::from_slice(payload).map_err(|error| damaged(&error.to_string()))?;
                    if plan.epoch > epoch {
                        pending = Some(plan);
                    }
                    rest = after;
                }
                // Only the last plan can be cut short by a crash, and then its work has not begun.
                Frame::Torn => break,
                Frame::Wrong if rest.len() <= PLAN_BYTES_MAX && is_last(rest) => break,
                Frame::Wrong => return Err(damaged("the checksum of a plan does not fit")),
            }
        }
        if let Some(plan) = &pending
            && plan.epoch != epoch + 1
        {
            return Err(damaged(&format!("the snapshot is of epoch {epoch}, the last plan of epoch {}", plan.epoch)));
        }
        let length = (bytes.len() - rest.len()) as u64;
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(RunError::io("open", &path))?;
        if length < bytes.len() as u64 {
            file.set_len(length).and_then(|()| file.sync_all()).map_err(RunError::io("shorten", &path))?;
        }
        frame::sync_folder(&path).map_err(RunError::io("make durable", &path))?;
        Ok((EpochLog { path, file, bytes: length }, pending))
    }

    /// Appends a plan; it is durable afterwards.
    pub(crate) fn append(&mut self, plan: &Plan) -> Result<(), RunError> {
        let payload = serde_json::to_vec(plan).expect("a plan can always be written as JSON");
        assert!(payload.len() <= PLAN_BYTES_MAX, "a plan has a line for each partition, which are few");
        let frame = frame::write(&payload);
        self.file.write_all(&frame).and_then(|()| self.file.sync_data()).map_err(RunError::io("append to", &self.path))?;
        self.bytes += frame.len() as u64;
        Ok(())
    }

    /// Drops plans that the snapshot covers, once there are many.
    pub(crate) fn trim(&mut self) -> Result<(), RunError> {
        if self.bytes <= EPOCH_LOG_BYTES_MAX {
            return Ok(());
        }
        self.file.set_len(0).and_then(|()| self.file.sync_all()).map_err(RunError::io("shorten", &self.path))?;
        self.bytes = 0;
        Ok(())
    }
}

/// Whether a frame reaches to the end: nothing was appended behind it.
fn is_last(frame: &[u8]) -> bool {
    let length = frame.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
    frame.len() <= length + 8
}

/// The name of the log in a state directory.
pub(crate) fn path_in(folder: &Path) -> PathBuf {
    folder.join("epochs.log")
}
