//! How we and a worker talk: frames of a JSON header and an Arrow IPC stream, each with its length before it.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::limits::FRAME_BYTES_MAX;
use crate::manifest::Manifest;

/// What a worker is told first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// Where the shared objects are.
    pub folder: PathBuf,
    /// What they hold.
    pub manifests: Vec<Manifest>,
}

/// What a worker is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// The function's name.
    pub function: String,
    /// How to go about it.
    pub mode: Mode,
    /// How long an async function may take, for the whole batch or for each row, in milliseconds.
    pub timeout_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Mode {
    /// Load it and see whether it takes and gives what its manifest says; no batch follows.
    Probe,
    /// The whole batch at once.
    Whole,
    /// A frame for each row, so that it is known which row stops the worker.
    Rows,
}

/// What a worker answers. The values are a batch of one column.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// Of [`Mode::Rows`] first: the function is loaded, the first row begins.
    Loaded,
    /// The values, or of [`Mode::Rows`] the next value.
    Values {
        /// Rows without a value, and why; without a reason it stands on the worker's standard error.
        failed: Vec<(usize, Option<String>)>,
        /// Rows that were not finished: to be tried one by one.
        missing: Vec<usize>,
    },
    /// That was all.
    Done {
        /// Whether the worker is of no more use, since a call still runs in it.
        spent: bool,
    },
    /// The function cannot be used at all.
    Unusable {
        /// Why, and what to do.
        reason: String,
    },
}

pub(crate) fn write<H: Serialize>(to: &mut impl Write, header: &H, body: &[u8]) -> io::Result<()> {
    let header = serde_json::to_vec(header)?;
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).ok().filter(|it| *it as usize <= FRAME_BYTES_MAX);
    let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "a batch is too long for one frame");
    let (header_length, body_length) = (length(&header).ok_or_else(too_long)?, length(body).ok_or_else(too_long)?);
    let mut start = Vec::with_capacity(8 + header.len());
    start.extend_from_slice(&header_length.to_le_bytes());
    start.extend_from_slice(&body_length.to_le_bytes());
    start.extend_from_slice(&header);
    to.write_all(&start)?;
    to.write_all(body)
}

pub(crate) fn read<H: DeserializeOwned>(from: &mut impl Read) -> io::Result<(H, Vec<u8>)> {
    let mut lengths = [0; 8];
    from.read_exact(&mut lengths)?;
    let [a, b, c, d, e, f, g, h] = lengths;
    let header = bytes(from, u32::from_le_bytes([a, b, c, d]) as usize)?;
    let body = bytes(from, u32::from_le_bytes([e, f, g, h]) as usize)?;
    Ok((serde_json::from_slice(&header)?, body))
}

fn bytes(from: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes is none")));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn encode(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let bytes = Vec::with_capacity(batch.get_array_memory_size() + 1_024);
    let mut writer = StreamWriter::try_new(bytes, &batch.schema())?;
    writer.write(batch)?;
    writer.into_inner()
}

/// The batch of a frame. It shares the frame's memory, and takes no length in it on trust.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<RecordBatch, ArrowError> {
    let batch = StreamDecoder::new().decode(&mut Buffer::from(bytes))?;
    batch.ok_or_else(|| ArrowError::IpcError("a frame holds no batch".into()))
}

/// Columns as a batch. Their names do not matter.
pub(crate) fn batch(columns: Vec<ArrayRef>) -> Result<RecordBatch, ArrowError> {
    let field = |(index, column): (usize, &ArrayRef)| Field::new(index.to_string(), column.data_type().clone(), true);
    let schema = Schema::new(columns.iter().enumerate().map(field).collect::<Vec<Field>>());
    RecordBatch::try_new(schema.into(), columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use proptest::prelude::*;
    use std::sync::Arc;

    #[test]
    fn what_is_written_is_read() {
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![Some(1), None])), Arc::new(StringArray::from(vec!["a", "水"]))];
        let batch = batch(columns).unwrap();
        let mut wire = Vec::new();
        write(&mut wire, &Reply::Done { spent: true }, &encode(&batch).unwrap()).unwrap();
        let (header, body): (Reply, Vec<u8>) = read(&mut wire.as_slice()).unwrap();
        assert!(matches!(header, Reply::Done { spent: true }));
        assert_eq!(decode(body).unwrap(), batch);
        wire.pop();
        assert!(read::<Reply>(&mut wire.as_slice()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut short = bytes.clone();
            if let Some(length) = short.get_mut(0..8) {
                length[1..4].fill(0);
                length[5..8].fill(0);
            }
            let _ = read::<Reply>(&mut short.as_slice());
            let _ = decode(bytes);
        }
    }
}
