//! The state of a job in one file: a header in JSON and the open windows as an Arrow stream, each with its checksum.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde::{Deserialize, Serialize};

use crate::engine::frame::{self, Frame};
use crate::engine::state::{OpenWindow, Progress, State};
use crate::error::RunError;

const MAGIC: &[u8; 8] = b"CITYJOB1";

/// What state must agree in with the job that goes on from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) window: String,
    pub(crate) keys: Vec<String>,
    pub(crate) aggregates: Vec<String>,
    pub(crate) latch: Vec<String>,
}

impl Shape {
    /// What differs, in words, as far as this state holds any of it.
    pub(crate) fn difference(&self, job: &Shape, state: &State) -> Option<String> {
        if !state.windows.is_empty() {
            if self.window != job.window {
                return Some(format!("the window was {}, it is {} now", self.window, job.window));
            }
            if self.keys != job.keys {
                return Some(format!("the keys were {}, they are {} now", self.keys.join(", "), job.keys.join(", ")));
            }
            if self.aggregates != job.aggregates {
                return Some("the aggregates differ".to_owned());
            }
        }
        (!state.latch.is_empty() && self.latch != job.latch).then(|| "the columns of latch.key differ".to_owned())
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    job: String,
    epoch: u64,
    shape: Shape,
    partitions: Vec<PartitionLine>,
    watermark: Option<i64>,
    latch: BTreeMap<String, String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct PartitionLine {
    topic: String,
    partition: i32,
    next: i64,
    time_max: Option<i64>,
    idle: bool,
}

/// Writes the state durably in place of the one before.
pub(crate) fn write(path: &Path, job: &str, shape: &Shape, state: &State) -> Result<(), RunError> {
    let partitions = state.partitions.iter().map(|(partition, progress)| PartitionLine {
        topic: partition.0.clone(),
        partition: partition.1,
        next: progress.next,
        time_max: progress.time_max,
        idle: state.idle.contains(partition),
    });
    let header = Header {
        job: job.to_owned(),
        epoch: state.epoch,
        shape: shape.clone(),
        partitions: partitions.collect(),
        watermark: state.watermark,
        latch: state.latch.clone(),
    };
    let header = serde_json::to_vec(&header).expect("a header can always be written as JSON");
    let windows = windows_to_bytes(state).map_err(|error| RunError::io("encode", path)(std::io::Error::other(error)))?;
    let bytes = [MAGIC.as_slice(), &frame::write(&header), &frame::write(&windows)].concat();
    frame::replace(path, &bytes).map_err(RunError::io("write", path))
}

fn windows_to_bytes(state: &State) -> Result<Vec<u8>, ArrowError> {
    let batches: Vec<&RecordBatch> = state.windows.values().flat_map(|window| &window.batches).collect();
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let mut writer = StreamWriter::try_new(Vec::new(), &first.schema())?;
    writer.write(&concat_batches(&first.schema(), batches)?)?;
    writer.finish()?;
    writer.into_inner()
}

/// Reads the state back, and the shape of the job that made it; nothing when there is no file.
pub(crate) fn read(path: &Path, job: &str) -> Result<Option<(State, Shape)>, RunError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(RunError::io("read", path)(error)),
    };
    let damaged = |what: String| RunError::Damaged { job: job.to_owned(), path: path.to_owned(), what };
    let body = bytes.strip_prefix(MAGIC.as_slice()).ok_or_else(|| damaged("it is no snapshot of a job".to_owned()))?;
    let Frame::Whole(header, rest) = frame::read(body) else { return Err(damaged("its header is incomplete".to_owned())) };
    let Frame::Whole(windows, _) = frame::read(rest) else { return Err(damaged("its windows are incomplete".to_owned())) };
    let header: Header = serde_json::from_slice(header).map_err(|error| damaged(error.to_string()))?;
    if header.job != job {
        return Err(damaged(format!("it is of job {}", header.job)));
    }
    let mut state = State { epoch: header.epoch, watermark: header.watermark, latch: header.latch, ..State::default() };
    let mut idle = BTreeSet::new();
    for line in header.partitions {
        let partition = (line.topic, line.partition);
        if line.idle {
            idle.insert(partition.clone());
        }
        state.partitions.insert(partition, Progress { next: line.next, time_max: line.time_max });
    }
    state.idle = idle;
    add_windows(&mut state, windows).map_err(|error| damaged(error.to_string()))?;
    Ok(Some((state, header.shape)))
}

fn add_windows(state: &mut State, bytes: &[u8]) -> datafusion::error::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    for rows in StreamReader::try_new(Cursor::new(bytes), None)? {
        state.add(&rows?)?;
    }
    let windows = std::mem::take(&mut state.windows);
    state.windows = windows.into_iter().map(|(start, window)| (start, OpenWindow::merged(window.batches))).collect();
    Ok(())
}

/// Gives the open windows the schema of the job: the same types, whatever else a version of the engine calls differently.
pub(crate) fn adopt(state: &mut State, schema: &SchemaRef) -> Result<(), String> {
    for window in state.windows.values_mut() {
        let adopted = window.batches.iter().map(|rows| RecordBatch::try_new(schema.clone(), rows.columns().to_vec()));
        window.batches = adopted.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The name of the snapshot in a state directory.
pub(crate) fn path_in(folder: &Path) -> PathBuf {
    folder.join("state.snapshot")
}
