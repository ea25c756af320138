//! Where a job's results go, each epoch once: a Kafka topic with ids that repeat when the epoch does, a Delta table whose
//! commit carries the epoch's number, or files that are named after it. Standard output is for looking on: it may show the
//! last epoch twice after a crash.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use bus::{Outgoing, Producer};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use lakehouse::{Lake, TableName, Txn};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use pipelines::{BoxError, EpochOutput, FileFormat, JsonWriter};
use schemas::Event;
use schemas::event::KafkaRecord;

use super::side::SideTables;
use crate::home::write_atomically;

/// The header of a plain record that holds its id.
const ID_HEADER: &str = "citybrain-id";

/// A job's sink.
pub enum JobSink {
    /// A topic.
    Kafka(KafkaSink),
    /// A table.
    Delta(DeltaSink),
    /// A folder.
    Files(FileSink),
    /// Lines of JSON.
    Stdout,
    /// Nothing at all.
    Blackhole,
}

impl JobSink {
    /// The sink together with the tables that every job has.
    pub fn with<'a>(&'a mut self, side: &'a mut SideTables) -> Both<'a> {
        Both { sink: self, side }
    }

    async fn take(&mut self, output: &EpochOutput) -> Result<()> {
        match self {
            JobSink::Kafka(sink) => sink.take(output).await,
            JobSink::Delta(sink) => sink.take(output).await,
            JobSink::Files(sink) => sink.take(output),
            JobSink::Stdout => Ok(std::io::stdout().write_all(&json_lines(output))?),
            JobSink::Blackhole => Ok(()),
        }
    }
}

/// A sink and the tables beside it.
pub struct Both<'a> {
    sink: &'a mut JobSink,
    side: &'a mut SideTables,
}

impl pipelines::Sink for Both<'_> {
    /// Results and late rows go their ways side by side. When either is refused, both are offered again, and what is there
    /// already is taken once.
    async fn take(&mut self, output: &EpochOutput) -> Result<(), BoxError> {
        let taken = async {
            let (given, late, failed) = tokio::join!(self.sink.take(output), self.side.write_late(output), self.side.keep_failed(output));
            given.and(late).and(failed)?;
            self.side.note(output).await
        };
        taken.await.map_err(|error: anyhow::Error| BoxError::from(format!("{error:#}")))
    }
}

/// Rows as events of a topic.
pub struct KafkaSink {
    /// Writes them.
    pub producer: Producer,
    /// CloudEvents source of the job's events.
    pub source: String,
    /// Where they go.
    pub topic: String,
    /// Their type; without one they are plain JSON.
    pub event_type: Option<String>,
    /// The column that is the partition key.
    pub key_column: Option<String>,
}

impl KafkaSink {
    async fn take(&mut self, output: &EpochOutput) -> Result<()> {
        let (now, values) = (Utc::now(), json_values(&output.rows));
        let mut records = Vec::with_capacity(values.len());
        for (row, value) in values.into_iter().enumerate() {
            let key = self.key_column.as_ref().and_then(|key| pipelines::text_of(&output.rows, key, row));
            records.push(match &self.event_type {
                Some(event_type) => self.event(event_type, output, row, key, value, now),
                None => plain(&output.ids[row], key, value),
            });
        }
        let outgoing: Vec<_> = records.iter().map(|record| Outgoing { topic: &self.topic, record, timestamp_ms: None }).collect();
        for sent in self.producer.send_all(&outgoing).await? {
            sent.with_context(|| format!("could not write to {}", self.topic))?;
        }
        Ok(())
    }

    fn event(&self, event_type: &str, output: &EpochOutput, row: usize, key: Option<String>, value: Bytes, now: DateTime<Utc>) -> KafkaRecord {
        let mut event = Event::new(output.ids[row].clone(), self.source.clone(), event_type.to_owned());
        event.time = output.times[row];
        event.recorded_time = Some(now);
        event.partition_key = key;
        event.data_content_type = Some("application/json".to_owned());
        event.data = Some(value);
        event.to_kafka()
    }
}

/// A record that is no CloudEvent. Its id lets a consumer recognise a repetition all the same.
fn plain(id: &str, key: Option<String>, value: Bytes) -> KafkaRecord {
    KafkaRecord {
        key: key.map(Bytes::from),
        headers: vec![(ID_HEADER.to_owned(), Some(Bytes::copy_from_slice(id.as_bytes())))],
        value: Some(value),
    }
}

/// Each row as JSON, all in one piece of memory.
fn json_values(rows: &RecordBatch) -> Vec<Bytes> {
    let (lines, ends) = json_text(rows);
    let lines = Bytes::from(lines);
    let begins = [0].into_iter().chain(ends.iter().copied());
    begins.zip(&ends).map(|(begin, end)| lines.slice(begin..end - 1)).collect()
}

/// Rows as lines of JSON.
fn json_lines(output: &EpochOutput) -> Vec<u8> {
    json_text(&output.rows).0
}

/// Rows as lines of JSON, and where each line ends.
fn json_text(rows: &RecordBatch) -> (Vec<u8>, Vec<usize>) {
    let writer = JsonWriter::new(&rows.schema());
    let (mut lines, mut ends) = (Vec::with_capacity(rows.num_rows() * 128), Vec::with_capacity(rows.num_rows()));
    for row in 0..rows.num_rows() {
        writer.write(rows, row, &mut lines);
        lines.push(b'\n');
        ends.push(lines.len());
    }
    (lines, ends)
}

/// Rows as files of a folder, one for each epoch that gives rows.
pub struct FileSink {
    folder: PathBuf,
    /// What the names of the files begin with.
    prefix: String,
    format: FileFormat,
}

impl FileSink {
    /// Makes the folder when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(folder: &Path, app_id: &str, format: FileFormat) -> Result<FileSink> {
        std::fs::create_dir_all(folder).with_context(|| format!("could not create {}", folder.display()))?;
        Ok(FileSink { folder: folder.to_owned(), prefix: app_id.trim_start_matches("job/").replace('/', "-"), format })
    }

    /// A repeated epoch writes the same file again.
    fn take(&self, output: &EpochOutput) -> Result<()> {
        if output.rows.num_rows() == 0 {
            return Ok(());
        }
        let (end, bytes) = match self.format {
            FileFormat::Json => ("json", json_lines(output)),
            FileFormat::Parquet => ("parquet", parquet_bytes(&output.rows)?),
        };
        // Twelve digits, so that names sort as epochs do.
        write_atomically(&self.folder.join(format!("{}-{:012}.{end}", self.prefix, output.epoch)), &bytes)
    }
}

fn parquet_bytes(rows: &RecordBatch) -> Result<Vec<u8>> {
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties))?;
    writer.write(rows)?;
    Ok(writer.into_inner()?)
}

/// Rows as rows of a table.
pub struct DeltaSink {
    /// The lake.
    pub lake: Lake,
    /// The table.
    pub table: TableName,
    /// Whose epochs the commits count.
    pub app_id: String,
}

impl DeltaSink {
    async fn take(&mut self, output: &EpochOutput) -> Result<()> {
        if output.rows.num_rows() > 0 {
            let txn = Txn { app_id: self.app_id.clone(), version: i64::try_from(output.epoch)? };
            self.lake.append(&self.table, vec![output.rows.clone()], &[txn]).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array};

    use super::*;
    use crate::progress::Positions;

    fn output(epoch: u64, place: (String, i32), next: i64, rows: RecordBatch) -> EpochOutput {
        EpochOutput {
            job: "busy".into(),
            epoch,
            positions: Positions::from([(place, next)]),
            ids: (0..rows.num_rows()).map(|row| format!("id-{row}")).collect(),
            times: vec![None; rows.num_rows()],
            rows,
            late: RecordBatch::new_empty(pipelines::late_schema()),
            failed: Vec::new(),
            watermark: None,
        }
    }

    #[test]
    fn an_epoch_is_a_file_and_a_repeated_one_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("deep/out");
        let rows = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![7, 8])) as ArrayRef)]).unwrap();
        let given = output(3, ("t".into(), 0), 9, rows.clone());
        let nothing = output(4, ("t".into(), 0), 9, RecordBatch::new_empty(rows.schema()));
        for format in [FileFormat::Json, FileFormat::Parquet] {
            let sink = FileSink::open(&folder, "job/busy/2", format).unwrap();
            for output in [&given, &given, &nothing] {
                sink.take(output).unwrap();
            }
        }
        let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["busy-2-000000000003.json", "busy-2-000000000003.parquet"]);
        assert_eq!(std::fs::read_to_string(folder.join(&names[0])).unwrap(), "{\"n\":7}\n{\"n\":8}\n");
        let file = std::fs::File::open(folder.join(&names[1])).unwrap();
        let read: Vec<_> = parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file, 10).unwrap().map(Result::unwrap).collect();
        assert_eq!(read[0].column(0).as_primitive::<arrow::datatypes::Int64Type>().values(), &[7, 8]);
    }

    #[test]
    fn a_plain_record_says_its_id_and_is_no_event() {
        let record = plain("a/1", Some("k".into()), Bytes::from_static(br#"{"n":1}"#));
        assert_eq!(record.value.as_deref(), Some(&b"{\"n\":1}"[..]));
        assert_eq!(record.headers, [("citybrain-id".to_owned(), Some(Bytes::from_static(b"a/1")))]);
    }
}
