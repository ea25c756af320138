//! Rows out of files: CSV, JSON lines and Parquet, plain, gzip or zstd.
//!
//! Knows nothing of events' types or of the bus. Never holds more of a file than one row (CSV, JSON lines) or one batch
//! of the columns that the mapping reads (Parquet). A row that cannot be read is given as a problem and the next one
//! follows; a file that cannot be read further ends with [`ReadError`].

use std::cell::Cell as Shared;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use bytes::Bytes;
use chrono::DateTime;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};

use super::cell::Cell;
use super::mapping::{MappedEvent, Mapping, MappingError, RowPlace, RowProblem};
use crate::encoding;
use crate::limits::LINE_BYTES_MAX;

const PARQUET_BATCH_ROWS: usize = 2_048;

/// Why a file could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be opened.
    #[error("could not open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Its name says no known format.
    #[error("{}: only .csv, .tsv, .jsonl, .ndjson (each also .gz or .zst) and .parquet can be imported", path.display())]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// It lacks a column, or the mapping does not fit.
    #[error("{}", path.display())]
    Mapping {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: MappingError,
    },
    /// Its first line cannot be read.
    #[error("{}: the header {reason}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// It ends or breaks in the middle.
    #[error("{} cannot be read beyond row {row}: {reason}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// The last good row.
        row: u64,
        /// What is wrong.
        reason: String,
    },
}

/// What one row gave.
pub struct RowResult<'a> {
    /// The row, from 1; the header is none.
    pub row: u64,
    /// Its events, and what was wrong.
    pub results: &'a mut Vec<Result<MappedEvent, RowProblem>>,
    /// The row as it stands in the file, for keeping when it is refused.
    pub original: &'a dyn Fn() -> Bytes,
}

/// The format that a file's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv(u8),
    JsonLines,
    Parquet,
}

/// One file to import.
pub struct Input<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// Digest of its content, when the mapping uses it.
    pub digest: String,
    /// Bytes read so far, for a progress bar.
    pub consumed: Arc<AtomicU64>,
}

impl Input<'_> {
    /// Reads all rows through `mapping` into `emit`, until it breaks off.
    pub fn read(
        &self,
        mapping: &Mapping,
        emit: &mut dyn FnMut(RowResult<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        match format(self.path, mapping)? {
            Format::Csv(delimiter) => self.read_csv(mapping, delimiter, emit),
            Format::JsonLines => self.read_json_lines(mapping, emit),
            Format::Parquet => self.read_parquet(mapping, emit),
        }
    }

    fn file_name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    fn text(&self) -> Result<Box<dyn BufRead>, ReadError> {
        open_text(self.path, &self.consumed)
    }

    fn mapping_error(&self, source: MappingError) -> ReadError {
        ReadError::Mapping { path: self.path.to_owned(), source }
    }

    fn broken(&self, row: u64, reason: impl ToString) -> ReadError {
        ReadError::Broken { path: self.path.to_owned(), row, reason: reason.to_string() }
    }

    fn read_csv(
        &self,
        mapping: &Mapping,
        delimiter: u8,
        emit: &mut dyn FnMut(RowResult<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let budget = Rc::new(Shared::new(LINE_BYTES_MAX));
        let guarded = Guarded { inner: self.text()?, budget: Rc::clone(&budget) };
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(guarded);
        let mut record = csv::ByteRecord::new();
        let there = reader.read_byte_record(&mut record).map_err(|error| self.broken(0, error))?;
        if !there {
            return Ok(ControlFlow::Continue(()));
        }
        let mut header = Vec::new();
        for (at, field) in record.iter().enumerate() {
            let field = if at == 0 { field.strip_prefix(b"\xef\xbb\xbf").unwrap_or(field) } else { field };
            let name = decode(field, mapping)
                .map_err(|reason| ReadError::Header { path: self.path.to_owned(), reason })?;
            header.push(name.trim().to_owned());
        }
        mapping.bind(&header).map_err(|error| self.mapping_error(error))?;
        let places: Vec<Option<usize>> =
            mapping.columns().iter().map(|column| header.iter().position(|name| name == column)).collect();
        let file = self.file_name();
        let mut results = Vec::new();
        let mut row = 0;
        loop {
            budget.set(LINE_BYTES_MAX);
            match reader.read_byte_record(&mut record) {
                Ok(true) => row += 1,
                Ok(false) => return Ok(ControlFlow::Continue(())),
                Err(error) => return Err(self.broken(row, error)),
            }
            results.clear();
            if record.len() == header.len() {
                let cell = |column: usize| match places[column] {
                    None => Ok(Cell::Null),
                    Some(at) => decode(&record[at], mapping).map(Cell::Text),
                };
                mapping.apply(RowPlace { file: &file, digest: &self.digest, row }, &cell, &mut results);
            } else {
                results.push(Err(RowProblem {
                    column: None,
                    reason: format!("the row has {} fields where the header has {}", record.len(), header.len()),
                    pointer: String::new(),
                }));
            }
            let original = || csv_line(&record, delimiter);
            if emit(RowResult { row, results: &mut results, original: &original }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    fn read_json_lines(
        &self,
        mapping: &Mapping,
        emit: &mut dyn FnMut(RowResult<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let mut reader = self.text()?;
        let file = self.file_name();
        let mut results = Vec::new();
        let mut line = Vec::new();
        let mut row = 0;
        loop {
            line.clear();
            let read = (&mut reader).take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line);
            let read = read.map_err(|error| self.broken(row, error))?;
            if read == 0 {
                return Ok(ControlFlow::Continue(()));
            }
            let too_long = line.len() > LINE_BYTES_MAX && line.last() != Some(&b'\n');
            if too_long {
                skip_line(&mut reader).map_err(|error| self.broken(row, error))?;
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            row += 1;
            results.clear();
            let object = if too_long {
                Err(format!("the line is longer than {LINE_BYTES_MAX} bytes"))
            } else {
                json_object(text)
            };
            match object {
                Ok(object) => {
                    let cell = |column: usize| Ok(json_cell(&object, &mapping.columns()[column]));
                    mapping.apply(RowPlace { file: &file, digest: &self.digest, row }, &cell, &mut results);
                }
                Err(reason) => results.push(Err(RowProblem { column: None, reason, pointer: String::new() })),
            }
            let original = || Bytes::copy_from_slice(text);
            if emit(RowResult { row, results: &mut results, original: &original }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    fn read_parquet(
        &self,
        mapping: &Mapping,
        emit: &mut dyn FnMut(RowResult<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, ReadError> {
        let open = |source| ReadError::Open { path: self.path.to_owned(), source };
        let opened = File::open(self.path).map_err(open)?;
        let bytes_total = opened.metadata().map_err(open)?.len();
        let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(|error| self.broken(0, error))?;
        let names: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
        mapping.bind(&names).map_err(|error| self.mapping_error(error))?;
        let rows_total = builder.metadata().file_metadata().num_rows().max(1) as u64;
        let wanted = names.iter().enumerate().filter(|(_, name)| mapping.columns().contains(name)).map(|(at, _)| at);
        let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
        let reader = builder
            .with_projection(mask)
            .with_batch_size(PARQUET_BATCH_ROWS)
            .build()
            .map_err(|error| self.broken(0, error))?;
        let file = self.file_name();
        let mut results = Vec::new();
        let mut row = 0;
        for batch in reader {
            let batch = batch.map_err(|error| self.broken(row, error))?;
            let columns = Columns::of(&batch, mapping).map_err(|reason| self.broken(row, reason))?;
            for at in 0..batch.num_rows() {
                row += 1;
                results.clear();
                let cell = |column: usize| columns.cell(column, at);
                mapping.apply(RowPlace { file: &file, digest: &self.digest, row }, &cell, &mut results);
                let original = || columns.row_json(mapping, at);
                if emit(RowResult { row, results: &mut results, original: &original }).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            self.consumed.store(bytes_total * row / rows_total, Ordering::Relaxed);
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// BLAKE3 of a file's content, in hex; of text files, of what is inside the compression, so that packing a file
/// otherwise does not change the ids of its rows.
pub fn digest(path: &Path, mapping: &Mapping, consumed: &Arc<AtomicU64>) -> Result<String, ReadError> {
    let mut reader: Box<dyn BufRead> = match format(path, mapping)? {
        Format::Parquet => {
            let file = File::open(path).map_err(|source| ReadError::Open { path: path.to_owned(), source })?;
            Box::new(BufReader::new(Counted { inner: file, consumed: Arc::clone(consumed) }))
        }
        Format::Csv(_) | Format::JsonLines => open_text(path, consumed)?,
    };
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                hasher.update(&buffer[..read]);
            }
            // The same end is met, and reported with its row, when the rows are read.
            Err(_) => break,
        }
    }
    // 128 bits tell all files of a city apart, and leave an id readable.
    Ok(hasher.finalize().to_hex().as_str()[..32].to_owned())
}

fn format(path: &Path, mapping: &Mapping) -> Result<Format, ReadError> {
    let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().to_ascii_lowercase());
    let bare = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    match bare.rsplit('.').next() {
        Some("csv" | "txt") => Ok(Format::Csv(mapping.delimiter)),
        Some("tsv") => Ok(Format::Csv(b'\t')),
        Some("jsonl" | "ndjson") => Ok(Format::JsonLines),
        Some("parquet") if bare == name => Ok(Format::Parquet),
        _ => Err(ReadError::Format { path: path.to_owned() }),
    }
}

/// Opens a text file, whatever its compression is: the first bytes say, not the name.
fn open_text(path: &Path, consumed: &Arc<AtomicU64>) -> Result<Box<dyn BufRead>, ReadError> {
    let open = |source| ReadError::Open { path: path.to_owned(), source };
    let file = File::open(path).map_err(open)?;
    if file.metadata().map_err(open)?.is_dir() {
        return Err(open(io::Error::other("it is a folder")));
    }
    let mut counted = BufReader::with_capacity(128 * 1024, Counted { inner: file, consumed: Arc::clone(consumed) });
    let head = counted.fill_buf().map_err(open)?;
    if head.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(counted))));
    }
    if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Ok(Box::new(BufReader::new(zstd::Decoder::with_buffer(counted).map_err(open)?)));
    }
    Ok(Box::new(counted))
}

struct Counted<R> {
    inner: R,
    consumed: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.consumed.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Stops a record that never ends: one quote too many would otherwise pull the rest of the file into memory.
struct Guarded<R> {
    inner: R,
    budget: Rc<Shared<usize>>,
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.budget.get();
        if left == 0 {
            return Err(io::Error::other(format!(
                "a row is longer than {LINE_BYTES_MAX} bytes; probably a quote is opened and never closed"
            )));
        }
        let read = self.inner.read(buffer)?;
        self.budget.set(left.saturating_sub(read));
        Ok(read)
    }
}

fn decode<'a>(field: &'a [u8], mapping: &Mapping) -> Result<std::borrow::Cow<'a, str>, String> {
    match mapping.encoding {
        Some(encoding) => {
            let (text, _, wrong) = encoding.decode(field);
            if wrong { Err(format!("is not {}", encoding.name())) } else { Ok(text) }
        }
        None => encoding::utf8(field).map(std::borrow::Cow::Borrowed).map_err(|wrong| wrong.en()),
    }
}

fn csv_line(record: &csv::ByteRecord, delimiter: u8) -> Bytes {
    let mut writer = csv::WriterBuilder::new().flexible(true).delimiter(delimiter).from_writer(Vec::new());
    let written = writer.write_byte_record(record).map_err(|_| ()).and_then(|()| writer.into_inner().map_err(|_| ()));
    Bytes::from(written.unwrap_or_default())
}

fn json_object(text: &[u8]) -> Result<Map<String, Value>, String> {
    let text = encoding::utf8(text).map_err(|wrong| format!("the line {}", wrong.en()))?;
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("the line is not a JSON object".to_owned()),
        Err(error) => Err(format!("the line is not JSON: {error}")),
    }
}

/// A member by its name, or by a path of names with dots between them.
fn json_cell<'a>(object: &'a Map<String, Value>, column: &str) -> Cell<'a> {
    let value = object.get(column).or_else(|| {
        let (first, rest) = column.split_once('.')?;
        rest.split('.').try_fold(object.get(first)?, |value, name| value.get(name))
    });
    match value {
        None | Some(Value::Null) => Cell::Null,
        Some(Value::Bool(value)) => Cell::Bool(*value),
        Some(Value::String(text)) => Cell::Text(text.as_str().into()),
        Some(Value::Number(number)) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => Cell::Int(value),
            (None, Some(value)) => Cell::Float(value),
            (None, None) => Cell::Null,
        },
        Some(nested) => Cell::Json(nested.clone()),
    }
}

fn skip_line(reader: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => {
                reader.consume(at + 1);
                return Ok(());
            }
            None => {
                let length = buffer.len();
                reader.consume(length);
            }
        }
    }
}

/// The mapped columns of one batch, each in one of a few plain forms.
struct Columns(Vec<Option<Plain>>);

enum Plain {
    Text(StringArray),
    Int(Int64Array),
    Float(Float64Array),
    Bool(BooleanArray),
    Local(TimestampMicrosecondArray),
    Instant(TimestampMicrosecondArray),
}

impl Columns {
    fn of(batch: &RecordBatch, mapping: &Mapping) -> Result<Columns, String> {
        let mut columns = Vec::new();
        for name in mapping.columns() {
            columns.push(match batch.column_by_name(name) {
                None => None,
                Some(array) => Some(Plain::of(array).map_err(|reason| format!("column {name:?}: {reason}"))?),
            });
        }
        Ok(Columns(columns))
    }

    fn cell(&self, column: usize, at: usize) -> Result<Cell<'_>, String> {
        self.0[column].as_ref().map_or(Ok(Cell::Null), |plain| plain.cell(at))
    }

    fn row_json(&self, mapping: &Mapping, at: usize) -> Bytes {
        let mut object = Map::new();
        for (column, name) in mapping.columns().iter().enumerate() {
            if let Ok(cell) = self.cell(column, at)
                && let Some(text) = cell.to_text()
            {
                object.insert(name.clone(), Value::String(text));
            }
        }
        Bytes::from(Value::Object(object).to_string())
    }
}

impl Plain {
    fn of(array: &ArrayRef) -> Result<Plain, String> {
        let to = |kind: DataType| cast(array, &kind).map_err(|error| error.to_string());
        let micros = || to(DataType::Timestamp(TimeUnit::Microsecond, None));
        let kind = match array.data_type() {
            DataType::Dictionary(_, values) => values.as_ref().clone(),
            other => other.clone(),
        };
        Ok(match kind {
            kind if kind.is_integer() => Plain::Int(to(DataType::Int64)?.as_any().downcast_ref::<Int64Array>().ok_or("no integers")?.clone()),
            kind if kind.is_floating() => {
                Plain::Float(to(DataType::Float64)?.as_any().downcast_ref::<Float64Array>().ok_or("no numbers")?.clone())
            }
            DataType::Boolean => {
                Plain::Bool(to(DataType::Boolean)?.as_any().downcast_ref::<BooleanArray>().ok_or("no truth values")?.clone())
            }
            DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 => {
                Plain::Local(micros()?.as_any().downcast_ref::<TimestampMicrosecondArray>().ok_or("no times")?.clone())
            }
            DataType::Timestamp(_, Some(_)) => {
                let utc = to(DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())))?;
                Plain::Instant(utc.as_any().downcast_ref::<TimestampMicrosecondArray>().ok_or("no times")?.clone())
            }
            _ => Plain::Text(to(DataType::Utf8)?.as_any().downcast_ref::<StringArray>().ok_or("no text")?.clone()),
        })
    }

    fn cell(&self, at: usize) -> Result<Cell<'_>, String> {
        let time = |us: i64| DateTime::from_timestamp_micros(us).ok_or_else(|| format!("{us} µs is beyond the calendar"));
        let null = match self {
            Plain::Text(array) => array.is_null(at),
            Plain::Int(array) => array.is_null(at),
            Plain::Float(array) => array.is_null(at),
            Plain::Bool(array) => array.is_null(at),
            Plain::Local(array) | Plain::Instant(array) => array.is_null(at),
        };
        if null {
            return Ok(Cell::Null);
        }
        Ok(match self {
            Plain::Text(array) => Cell::Text(array.value(at).into()),
            Plain::Int(array) => Cell::Int(array.value(at)),
            Plain::Float(array) => Cell::Float(array.value(at)),
            Plain::Bool(array) => Cell::Bool(array.value(at)),
            Plain::Local(array) => Cell::Local(time(array.value(at))?.naive_utc()),
            Plain::Instant(array) => Cell::Instant(time(array.value(at))?),
        })
    }
}
