//! Rows of files: CSV with a header, JSON lines and Parquet by the file's extension, `.gz` and `.zst` too.
//!
//! A row that cannot be read is given with its problem, so that whoever writes a line for each line loses none. A file
//! that cannot be read further, or lacks a column, is an error that says what there is instead.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use arrow::array::{Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use serde::Serialize;
use serde_json::{Map, Value};

/// Longest line of JSON that is taken, bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;
const PARQUET_BATCH_ROWS: usize = 8_192;

/// One row: the wanted cells in the wanted order, `""` where nothing stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its number, from 1; the header is none.
    pub number: u64,
    /// One cell for each wanted column, also when the row has a problem.
    pub cells: Vec<String>,
    /// Why it cannot be read.
    pub problem: Option<String>,
}

/// A condition on a column: `split=train`, `split!=train`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Where {
    /// The column.
    pub column: String,
    /// Its value.
    pub value: String,
    /// Whether it must be that value, or another.
    pub equal: bool,
}

impl std::str::FromStr for Where {
    type Err = String;

    fn from_str(text: &str) -> Result<Where, String> {
        let (column, value) = text.split_once('=').ok_or_else(|| format!("{text}: write column=value or column!=value"))?;
        let (column, equal) = column.strip_suffix('!').map_or((column, true), |column| (column, false));
        Ok(Where { column: column.trim().to_owned(), value: value.trim().trim_matches('\'').to_owned(), equal })
    }
}

impl Where {
    /// Whether a cell of the column fulfils it.
    pub fn holds(&self, cell: &str) -> bool {
        (cell == self.value) == self.equal
    }
}

/// The rows of a file, one after the other; never more than a row or a batch of them in memory.
pub struct Rows {
    path: PathBuf,
    wanted: Vec<String>,
    number: u64,
    source: Source,
}

enum Source {
    Csv { reader: Box<csv::Reader<Box<dyn BufRead>>>, places: Vec<usize>, width: usize },
    Json { reader: Box<dyn BufRead> },
    Parquet { reader: ParquetRecordBatchReader, batch: Vec<StringArray>, at: usize },
    Ended,
}

#[derive(PartialEq)]
enum Format {
    Csv(u8),
    Json,
    Parquet,
}

fn format(path: &Path) -> Result<Format> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    Ok(match name.rsplit('.').next() {
        Some("csv") => Format::Csv(b','),
        Some("tsv") => Format::Csv(b'\t'),
        Some("jsonl" | "ndjson" | "json") => Format::Json,
        Some("parquet") => Format::Parquet,
        _ => bail!("{}: only .csv, .tsv, .jsonl, .ndjson (each also .gz or .zst) and .parquet are read", path.display()),
    })
}

fn text(path: &Path) -> Result<Box<dyn BufRead>> {
    let file = File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    Ok(match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => Box::new(BufReader::with_capacity(1 << 16, flate2::bufread::MultiGzDecoder::new(BufReader::new(file)))),
        Some("zst") => Box::new(BufReader::with_capacity(1 << 16, zstd::Decoder::new(file).with_context(|| format!("could not read {}", path.display()))?)),
        _ => Box::new(BufReader::with_capacity(1 << 16, file)),
    })
}

/// The columns of a file: its header, the members of its first line, or its schema.
pub fn columns(path: &Path) -> Result<Vec<String>> {
    Ok(match format(path)? {
        Format::Csv(delimiter) => header(path, &mut *csv_reader(path, delimiter)?)?,
        Format::Json => {
            let mut reader = text(path)?;
            match json_line(&mut reader).with_context(|| format!("could not read {}", path.display()))? {
                None => Vec::new(),
                Some(line) => object(&line).map_err(|problem| anyhow::anyhow!("{}: line 1 {problem}", path.display()))?.into_iter().map(|(name, _)| name).collect(),
            }
        }
        Format::Parquet => {
            let schema = parquet(path)?.schema().clone();
            schema.fields().iter().map(|field| field.name().clone()).collect()
        }
    })
}

fn csv_reader(path: &Path, delimiter: u8) -> Result<Box<csv::Reader<Box<dyn BufRead>>>> {
    Ok(Box::new(csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(text(path)?)))
}

fn header(path: &Path, reader: &mut csv::Reader<Box<dyn BufRead>>) -> Result<Vec<String>> {
    let mut record = csv::ByteRecord::new();
    reader.read_byte_record(&mut record).with_context(|| format!("could not read {}", path.display()))?;
    let mut names = Vec::new();
    for (at, field) in record.iter().enumerate() {
        let field = if at == 0 { field.strip_prefix(b"\xef\xbb\xbf").unwrap_or(field) } else { field };
        let name = std::str::from_utf8(field).with_context(|| format!("{}: the header is not UTF-8; convert the file", path.display()))?;
        names.push(name.trim().to_owned());
    }
    Ok(names)
}

fn parquet(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let file = File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    ParquetRecordBatchReaderBuilder::try_new(file).with_context(|| format!("{} is no Parquet file", path.display()))
}

/// A line without its end; `None` at the end of the file.
fn json_line(mut reader: &mut dyn BufRead) -> io::Result<Option<Vec<u8>>> {
    loop {
        let mut line = Vec::new();
        if Read::by_ref(&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() as u64 == LINE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a line has more than {LINE_BYTES_MAX} bytes")));
        }
        return Ok(Some(line));
    }
}

fn object(line: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(line) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(_) => Err("is no JSON object".to_owned()),
        Err(error) => Err(format!("is no JSON: {error}")),
    }
}

fn places(path: &Path, there: &[String], wanted: &[String]) -> Result<Vec<usize>> {
    let place = |name: &String| {
        there.iter().position(|column| column == name).with_context(|| format!("{} has no column {name}; it has: {}", path.display(), there.join(", ")))
    };
    wanted.iter().map(place).collect()
}

impl Rows {
    /// Opens a file for the wanted columns; one that is not there is an error that names those that are.
    pub fn open(path: &Path, wanted: &[impl AsRef<str>]) -> Result<Rows> {
        let wanted: Vec<String> = wanted.iter().map(|name| name.as_ref().to_owned()).collect();
        let source = match format(path)? {
            Format::Csv(delimiter) => {
                let mut reader = csv_reader(path, delimiter)?;
                let header = header(path, &mut reader)?;
                Source::Csv { reader, places: places(path, &header, &wanted)?, width: header.len() }
            }
            Format::Json => {
                // A line may leave out what is null, so only a name that no line near the beginning has is an error.
                places(path, &names_at_the_beginning(path)?, &wanted)?;
                Source::Json { reader: text(path)? }
            }
            Format::Parquet => {
                let builder = parquet(path)?;
                let there: Vec<String> = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
                let roots = places(path, &there, &wanted)?;
                let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
                let reader = builder.with_projection(mask).with_batch_size(PARQUET_BATCH_ROWS).build()?;
                Source::Parquet { reader, batch: Vec::new(), at: 0 }
            }
        };
        Ok(Rows { path: path.to_owned(), wanted, number: 0, source })
    }

    fn read(&mut self) -> Result<Option<Row>> {
        let number = self.number + 1;
        let blank = |problem: Option<String>| Row { number, cells: vec![String::new(); self.wanted.len()], problem };
        let row = match &mut self.source {
            Source::Ended => return Ok(None),
            Source::Csv { reader, places, width } => {
                let mut record = csv::ByteRecord::new();
                if !reader.read_byte_record(&mut record)? {
                    return Ok(None);
                }
                if record.len() == *width {
                    let mut row = blank(None);
                    for (cell, place) in row.cells.iter_mut().zip(places) {
                        match std::str::from_utf8(&record[*place]) {
                            Ok(text) => *cell = text.to_owned(),
                            Err(error) => row.problem = Some(format!("row {number} is not UTF-8 at byte {} of its cell", error.valid_up_to())),
                        }
                    }
                    row
                } else {
                    blank(Some(format!("row {number} has {} fields where the header has {width}", record.len())))
                }
            }
            Source::Json { reader } => match json_line(reader)? {
                None => return Ok(None),
                Some(line) => match object(&line) {
                    Err(problem) => blank(Some(format!("line {number} {problem}"))),
                    Ok(members) => {
                        let mut row = blank(None);
                        for (cell, name) in row.cells.iter_mut().zip(&self.wanted) {
                            *cell = members.get(name).map(shown).unwrap_or_default();
                        }
                        row
                    }
                },
            },
            Source::Parquet { reader, batch, at } => {
                while batch.first().is_none_or(|column| *at >= column.len()) {
                    let Some(next) = reader.next() else { return Ok(None) };
                    let next = next?;
                    batch.clear();
                    for name in &self.wanted {
                        let column = next.column_by_name(name).context("a wanted column is in each batch")?;
                        let text = cast(column, &DataType::Utf8).with_context(|| format!("column {name} cannot be read as text"))?;
                        batch.push(text.as_any().downcast_ref::<StringArray>().context("text was asked for")?.clone());
                    }
                    *at = 0;
                }
                let mut row = blank(None);
                for (cell, column) in row.cells.iter_mut().zip(batch) {
                    if column.is_valid(*at) {
                        *cell = column.value(*at).to_owned();
                    }
                }
                *at += 1;
                row
            }
        };
        self.number = number;
        Ok(Some(row))
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        let row = self.read().with_context(|| format!("{} cannot be read beyond row {}", self.path.display(), self.number));
        if !matches!(row, Ok(Some(_))) {
            self.source = Source::Ended;
        }
        row.transpose()
    }
}

/// How many lines of JSON are looked at for the names of columns.
const LINES_LOOKED_AT: usize = 100;

fn names_at_the_beginning(path: &Path) -> Result<Vec<String>> {
    let mut reader = text(path)?;
    let mut names = Vec::new();
    for _ in 0..LINES_LOOKED_AT {
        let Some(line) = json_line(&mut reader).with_context(|| format!("could not read {}", path.display()))? else { break };
        for (name, _) in object(&line).unwrap_or_default() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    Ok(names)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A file that is being written: whole under its name when [`Output::finish`] returns, not there before.
pub struct Output {
    path: PathBuf,
    unfinished: PathBuf,
    writer: Writer,
}

enum Writer {
    Plain(BufWriter<File>),
    Gzip(flate2::write::GzEncoder<BufWriter<File>>),
}

impl Output {
    /// Begins a file; `.gz` compresses.
    pub fn create(path: &Path) -> Result<Output> {
        ensure!(path.file_name().is_some(), "{} names no file", path.display());
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        let file = BufWriter::new(File::create(&unfinished).with_context(|| format!("could not write {}", unfinished.display()))?);
        let compressed = path.extension().is_some_and(|extension| extension == "gz");
        let writer = if compressed { Writer::Gzip(flate2::write::GzEncoder::new(file, flate2::Compression::default())) } else { Writer::Plain(file) };
        Ok(Output { path: path.to_owned(), unfinished, writer })
    }

    /// Writes one line of JSON.
    pub fn json_line(&mut self, value: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.write_all(&line).with_context(|| format!("could not write {}", self.unfinished.display()))
    }

    /// Writes one row of CSV.
    pub fn csv_row(&mut self, cells: &[impl AsRef<[u8]>]) -> Result<()> {
        let mut line = csv::Writer::from_writer(Vec::new());
        line.write_record(cells)?;
        let line = line.into_inner().context("a row in memory can be written")?;
        self.write_all(&line).with_context(|| format!("could not write {}", self.unfinished.display()))
    }

    /// Makes the file appear under its name.
    pub fn finish(self) -> Result<()> {
        let written = match self.writer {
            Writer::Plain(writer) => writer.into_inner().map_err(io::IntoInnerError::into_error),
            Writer::Gzip(encoder) => encoder.finish().and_then(|writer| writer.into_inner().map_err(io::IntoInnerError::into_error)),
        };
        written.and_then(|file| file.sync_all()).with_context(|| format!("could not write {}", self.unfinished.display()))?;
        std::fs::rename(&self.unfinished, &self.path).with_context(|| format!("could not write {}", self.path.display()))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.writer {
            Writer::Plain(writer) => writer.write(bytes),
            Writer::Gzip(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.writer {
            Writer::Plain(writer) => writer.flush(),
            Writer::Gzip(writer) => writer.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn each_line_of_csv_has_its_row() {
        let (_folder, path) = file("a.csv", b"\xef\xbb\xbfid,text\n1,\"two\nlines\"\n2\n3,\xff\n4,\n");
        let rows: Vec<Row> = Rows::open(&path, &["text", "id"]).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.iter().map(|row| row.cells[0].as_str()).collect::<Vec<_>>(), ["two\nlines", "", "", ""]);
        assert_eq!(rows.iter().map(|row| row.problem.is_some()).collect::<Vec<_>>(), [false, true, true, false]);
        assert_eq!(rows[3].cells[1], "4");
    }

    #[test]
    fn each_line_of_json_has_its_row() {
        let (_folder, path) = file("a.jsonl", b"{\"id\":1,\"text\":\"a\"}\n\nno json\n{\"id\":null}");
        let rows: Vec<Row> = Rows::open(&path, &["id", "text"]).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.iter().map(|row| row.cells.join("|")).collect::<Vec<_>>(), ["1|a", "|", "|", "|"]);
        assert_eq!(rows.iter().map(|row| row.problem.is_some()).collect::<Vec<_>>(), [false, true, true, false]);
    }

    #[test]
    fn a_column_that_is_not_there_is_named_with_those_that_are() {
        for (name, bytes) in [("a.csv", &b"id,text\n"[..]), ("a.jsonl", b"{\"id\":1,\"text\":2}\n")] {
            let (_folder, path) = file(name, bytes);
            let error = Rows::open(&path, &["body"]).err().unwrap().to_string();
            assert!(error.contains("no column body") && error.contains("id, text"), "{error}");
        }
    }

    #[test]
    fn what_is_not_finished_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv.gz");
        let mut output = Output::create(&path).unwrap();
        output.csv_row(&["a,b", "c"]).unwrap();
        assert!(!path.exists());
        output.finish().unwrap();
        let mut reader = text(&path).unwrap();
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "\"a,b\",c\n");
    }

    #[test]
    fn conditions() {
        let condition: Where = "split=train".parse().unwrap();
        assert!(condition.holds("train") && !condition.holds("dev"));
        let condition: Where = "split!=train".parse().unwrap();
        assert!(!condition.holds("train") && condition.holds("dev"));
        assert!("split".parse::<Where>().is_err());
    }
}
