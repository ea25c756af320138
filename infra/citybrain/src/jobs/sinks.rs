//! Where a job's results go, each epoch once: a Kafka topic with ids that repeat when the epoch does, a Delta table whose
//! commit carries the epoch's number, or files that are named after it. Standard output is for looking on: it may show the
//! last epoch twice after a crash.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
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

use super::io::state_bytes;
use crate::home::write_atomically;
use crate::progress::Positions;

/// The header of a plain record that holds its id.
const ID_HEADER: &str = "citybrain-id";
/// Epochs that are written to `ops.epoch` together.
const EPOCHS_TOGETHER: usize = 256;
/// Longest time until an epoch is in `ops.epoch`.
const EPOCHS_WITHIN: Duration = Duration::from_secs(5);

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
}

/// A sink and the tables beside it.
pub struct Both<'a> {
    sink: &'a mut JobSink,
    side: &'a mut SideTables,
}

impl pipelines::Sink for Both<'_> {
    async fn take(&mut self, output: &EpochOutput) -> Result<(), BoxError> {
        match self.sink {
            JobSink::Kafka(sink) => sink.take(output).await,
            JobSink::Delta(sink) => sink.take(output).await,
            JobSink::Files(sink) => sink.take(output),
            JobSink::Stdout => std::io::stdout().write_all(&json_lines(output)).map_err(anyhow::Error::from),
            JobSink::Blackhole => Ok(()),
        }
        .map_err(|error| BoxError::from(format!("{error:#}")))?;
        self.side.take(output).await.map_err(|error| BoxError::from(format!("{error:#}")))
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

/// The tables that every job has: late rows, and the epochs themselves.
pub struct SideTables {
    lake: Lake,
    app_id: String,
    job: String,
    state_dir: PathBuf,
    epochs: Vec<Epoch>,
    flushed: Instant,
    /// Where the epoch before ended.
    reached: Positions,
    /// When the work on the next epoch began.
    begun: Instant,
}

struct Epoch {
    number: i64,
    rows: i64,
    late: i64,
    watermark_us: Option<i64>,
    positions: String,
    at_us: i64,
    rows_in: i64,
    busy_ms: i64,
    state_bytes: i64,
}

fn late_table() -> TableName {
    TableName::new("ops", "late_event")
}

fn epoch_table() -> TableName {
    TableName::new("ops", "epoch")
}

fn epoch_schema() -> Arc<Schema> {
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let field = |name: &str, kind: DataType, zh: &str, en: &str| Field::new(name, kind, true).with_metadata([("comment".to_owned(), format!("{zh} / {en}"))].into());
    Arc::new(Schema::new(vec![
        field("job", DataType::Utf8, "作业", "job"),
        field("epoch", DataType::Int64, "轮次", "number of the epoch"),
        field("rows", DataType::Int64, "结果行数", "rows that it gave"),
        field("late", DataType::Int64, "迟到行数", "rows that came too late"),
        field("watermark", time(), "水位线", "watermark after it"),
        field("positions", DataType::Utf8, "读到的位置", "next offset of each topic and partition, JSON"),
        field("at", time(), "完成时间", "when it was done"),
        field("rows_in", DataType::Int64, "读取行数", "records of the log that it covers"),
        field("busy_ms", DataType::Int64, "耗时（毫秒）", "time of its work and of its sink, ms"),
        field("state_bytes", DataType::Int64, "状态字节数", "bytes of the state on disk that it began with"),
    ]))
}

impl SideTables {
    /// The tables of a job, made when they are not there. `reached` is where its last epoch ended.
    ///
    /// # Errors
    /// When they cannot be made.
    pub async fn open(lake: &Lake, job: &str, app_id: &str, state_dir: PathBuf, reached: Positions) -> Result<SideTables> {
        lake.create(&late_table(), pipelines::late_schema()).await?;
        lake.create(&epoch_table(), epoch_schema()).await?;
        Ok(SideTables {
            lake: lake.clone(),
            app_id: app_id.to_owned(),
            job: job.to_owned(),
            state_dir,
            epochs: Vec::new(),
            flushed: Instant::now(),
            reached,
            begun: Instant::now(),
        })
    }

    /// The work on epochs begins.
    pub fn begin(&mut self) {
        self.begun = Instant::now();
    }

    async fn take(&mut self, output: &EpochOutput) -> Result<()> {
        let number = i64::try_from(output.epoch)?;
        if output.late.num_rows() > 0 {
            let txn = Txn { app_id: self.app_id.clone(), version: number };
            self.lake.append(&late_table(), vec![output.late.clone()], &[txn]).await?;
        }
        let positions: serde_json::Map<_, _> = output.positions.iter().map(|((topic, partition), next)| (format!("{topic}/{partition}"), (*next).into())).collect();
        self.epochs.push(Epoch {
            number,
            rows: output.rows.num_rows() as i64,
            late: output.late.num_rows() as i64,
            watermark_us: output.watermark.map(|watermark| watermark.timestamp_micros()),
            positions: serde_json::Value::Object(positions).to_string(),
            at_us: Utc::now().timestamp_micros(),
            rows_in: passed(&self.reached, &output.positions),
            busy_ms: i64::try_from(self.begun.elapsed().as_millis())?,
            state_bytes: i64::try_from(state_bytes(&self.state_dir))?,
        });
        self.reached.clone_from(&output.positions);
        self.begun = Instant::now();
        Ok(())
    }

    /// Writes the epochs down when many or old ones wait.
    pub async fn flush_if_due(&mut self) -> Result<()> {
        if self.epochs.len() >= EPOCHS_TOGETHER || self.flushed.elapsed() >= EPOCHS_WITHIN { self.flush().await } else { Ok(()) }
    }

    /// Writes the epochs down. It is a record for people; the engine does not read it, so a crash may leave some out.
    pub async fn flush(&mut self) -> Result<()> {
        self.flushed = Instant::now();
        let Some(last) = self.epochs.last() else { return Ok(()) };
        let txn = Txn { app_id: self.app_id.clone(), version: last.number };
        let numbers = |of: fn(&Epoch) -> i64| -> ArrayRef { Arc::new(self.epochs.iter().map(of).collect::<Int64Array>()) };
        let times = |of: fn(&Epoch) -> Option<i64>| -> ArrayRef { Arc::new(self.epochs.iter().map(of).collect::<TimestampMicrosecondArray>().with_timezone("UTC")) };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(self.epochs.iter().map(|_| self.job.as_str()))),
            numbers(|epoch| epoch.number),
            numbers(|epoch| epoch.rows),
            numbers(|epoch| epoch.late),
            times(|epoch| epoch.watermark_us),
            Arc::new(StringArray::from_iter_values(self.epochs.iter().map(|epoch| epoch.positions.as_str()))),
            times(|epoch| Some(epoch.at_us)),
            numbers(|epoch| epoch.rows_in),
            numbers(|epoch| epoch.busy_ms),
            numbers(|epoch| epoch.state_bytes),
        ];
        let rows = RecordBatch::try_new(epoch_schema(), columns)?;
        self.lake.append(&epoch_table(), vec![rows], &[txn]).await?;
        self.epochs.clear();
        Ok(())
    }
}

/// Offsets from one set of positions to a later one. A partition that was not known before began at its first one.
fn passed(before: &Positions, after: &Positions) -> i64 {
    after.iter().map(|(place, next)| (next - before.get(place).copied().unwrap_or(0)).max(0)).sum()
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::*;

    fn output(epoch: u64, place: (String, i32), next: i64, rows: RecordBatch) -> EpochOutput {
        EpochOutput {
            job: "busy".into(),
            epoch,
            positions: Positions::from([(place, next)]),
            ids: (0..rows.num_rows()).map(|row| format!("id-{row}")).collect(),
            times: vec![None; rows.num_rows()],
            rows,
            late: RecordBatch::new_empty(pipelines::late_schema()),
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

    #[tokio::test]
    async fn a_table_of_epochs_made_by_an_older_program_is_widened() {
        let dir = tempfile::tempdir().unwrap();
        let lake = Lake::open(dir.path()).await.unwrap();
        let older = Arc::new(Schema::new(epoch_schema().fields().iter().take(7).cloned().collect::<Vec<_>>()));
        let nulls = |field: &Arc<Field>| arrow::array::new_null_array(field.data_type(), 1);
        let row = RecordBatch::try_new(older.clone(), older.fields().iter().map(nulls).collect()).unwrap();
        lake.append(&epoch_table(), vec![row], &[]).await.unwrap();

        let place = ("raw.sensor".to_owned(), 0);
        let mut side = SideTables::open(&lake, "busy", "job/busy", dir.path().join("state"), Positions::from([(place.clone(), 5)])).await.unwrap();
        let output = output(1, place, 12, RecordBatch::new_empty(Arc::new(Schema::empty())));
        side.take(&output).await.unwrap();
        side.flush().await.unwrap();
        let rows = crate::lake::rows(&lake, "SELECT epoch, rows_in FROM ops.epoch ORDER BY epoch NULLS FIRST").await.unwrap();
        let text: Vec<String> = rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect();
        assert_eq!(text, [r#"{"epoch":null,"rows_in":null}"#, r#"{"epoch":1,"rows_in":7}"#]);
    }
}
