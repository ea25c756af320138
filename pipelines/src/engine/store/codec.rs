//! Rows as bytes: an Arrow message for each schema, and one for each chunk without its schema.
//!
//! The payload of a schema frame is an Arrow IPC schema message. The payload of a chunk frame is
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | the step |
//! | 4..8 | number of the schema |
//! | 8..16 | the key |
//! | 16..24 | rows |
//! | 24..32 | zeros, so that with the frame's head the message begins at a multiple of 64 bytes |
//! | 32.. | an Arrow IPC record-batch message, of these rows alone even where they are a slice of more |

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::convert::try_schema_from_ipc_buffer;
use arrow::ipc::reader::FileDecoder;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions, StreamEncoder, write_message};
use arrow::ipc::{Block, MetadataVersion};

use super::Tag;
use super::frame::{HEAD, long};
use super::size;

/// Bytes of a chunk's payload before its message.
const PREFIX: usize = 32;

/// A schema that chunks are written and read with.
pub(super) struct Codec {
    schema: SchemaRef,
    encoder: StreamEncoder,
    decoder: FileDecoder,
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codec").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Codec {
    /// A codec for rows of this schema; an error when a type of it cannot be stored.
    pub(super) fn new(schema: &SchemaRef) -> Result<Codec, ArrowError> {
        if schema.flattened_fields().iter().any(|field| matches!(field.data_type(), DataType::Dictionary(_, _))) {
            return Err(ArrowError::NotYetImplemented("dictionaries are stored as their values: cast the column".to_owned()));
        }
        let mut encoder = StreamEncoder::try_new(schema)?;
        // The first message of an encoder is the schema, which has a frame of its own.
        encoder.encode(&RecordBatch::new_empty(schema.clone()))?;
        Ok(Codec { schema: schema.clone(), encoder, decoder: FileDecoder::new(schema.clone(), MetadataVersion::V5) })
    }

    /// The codec of a schema frame.
    pub(super) fn from_payload(payload: &[u8]) -> Result<Codec, ArrowError> {
        Codec::new(&Arc::new(try_schema_from_ipc_buffer(payload)?))
    }

    /// Appends the payload of a schema frame.
    pub(super) fn write_schema(&self, buffer: &mut Vec<u8>) -> Result<(), ArrowError> {
        let options = IpcWriteOptions::default();
        let mut tracker = DictionaryTracker::new(false);
        let message = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(&self.schema, &mut tracker, &options);
        write_message(buffer, message, &options).map(|_| ())
    }

    pub(super) fn is_for(&self, schema: &SchemaRef) -> bool {
        Arc::ptr_eq(&self.schema, schema) || self.schema == *schema
    }

    /// Appends the payload of a chunk frame.
    pub(super) fn write(&mut self, buffer: &mut Vec<u8>, tag: Tag, number: u32, rows: &RecordBatch) -> Result<(), ArrowError> {
        let message = self.encoder.encode(rows)?;
        buffer.reserve(PREFIX + message.iter().map(Buffer::len).sum::<usize>());
        buffer.extend_from_slice(&tag.step.to_le_bytes());
        buffer.extend_from_slice(&number.to_le_bytes());
        buffer.extend_from_slice(&tag.key.to_le_bytes());
        buffer.extend_from_slice(&(rows.num_rows() as u64).to_le_bytes());
        buffer.extend_from_slice(&[0; 8]);
        message.iter().for_each(|part| buffer.extend_from_slice(part));
        Ok(())
    }

    /// The rows of a whole chunk frame, which share its memory.
    pub(super) fn read(&self, frame: &Buffer) -> Result<RecordBatch, ArrowError> {
        self.read_message(&frame.slice(HEAD + PREFIX))
    }

    fn read_message(&self, message: &Buffer) -> Result<RecordBatch, ArrowError> {
        let incomplete = || ArrowError::IpcError("the message is incomplete".to_owned());
        let length = message.get(4..8).ok_or_else(incomplete)?;
        // Behind the marker and the length themselves.
        let head = 8 + u64::from(u32::from_le_bytes(length.try_into().expect("four bytes")));
        let body = (message.len() as u64).checked_sub(head).ok_or_else(incomplete)?;
        let head = i32::try_from(head).map_err(|_| incomplete())?;
        let block = Block::new(0, head, i64::try_from(body).map_err(|_| incomplete())?);
        self.decoder.read_record_batch(&block, message)?.ok_or_else(incomplete)
    }

    /// The same rows without the memory of the larger ones that they are a slice of, where that is much; and their bytes.
    pub(super) fn slim(&mut self, rows: RecordBatch) -> Result<(RecordBatch, usize), ArrowError> {
        let bytes = size::own_bytes(&rows);
        if size::held_bytes(&rows) <= bytes + bytes / 2 + 1024 {
            return Ok((rows, bytes));
        }
        let columns = rows.columns().iter().map(without_unused_text).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        let message = self.encoder.encode(&rows)?;
        let mut together = MutableBuffer::new(message.iter().map(Buffer::len).sum());
        message.iter().for_each(|part| together.extend_from_slice(part));
        Ok((self.read_message(&together.into())?, bytes))
    }
}

/// A column of views without the text that no view shows.
fn without_unused_text(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8View => Arc::new(column.as_string_view().gc()),
        DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
        _ => column.clone(),
    }
}

/// What a chunk's payload says before its message: tag, number of the schema, rows.
pub(super) fn read_prefix(payload: &[u8]) -> Option<(Tag, u32, u64)> {
    let prefix = payload.get(..PREFIX)?;
    let both = long(prefix, 0);
    let tag = Tag { step: both as u32, key: long(prefix, 8) as i64 };
    Some((tag, (both >> 32) as u32, long(prefix, 16)))
}
