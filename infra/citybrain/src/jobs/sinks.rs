//! Where a job's results go, each epoch once: a Kafka topic with ids that repeat when the epoch does, or a Delta table
//! whose commit carries the epoch's number.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use bus::{Outgoing, Producer};
use chrono::Utc;
use lakehouse::{Lake, TableName, Txn};
use pipelines::{BoxError, EpochOutput};
use schemas::Event;
use serde_json::Value;

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
    /// Their type.
    pub event_type: String,
    /// The column that is the partition key.
    pub key_column: Option<String>,
}

impl KafkaSink {
    async fn take(&mut self, output: &EpochOutput) -> Result<()> {
        let mut records = Vec::with_capacity(output.rows.num_rows());
        for row in 0..output.rows.num_rows() {
            let mut event = Event::new(output.ids[row].clone(), self.source.clone(), self.event_type.clone());
            event.time = output.times[row];
            event.recorded_time = Some(Utc::now());
            event.partition_key = self.key_column.as_ref().and_then(|key| pipelines::text_of(&output.rows, key, row));
            records.push(event.with_json(&Value::Object(pipelines::row_to_json(&output.rows, row))).to_kafka());
        }
        let outgoing: Vec<_> = records.iter().map(|record| Outgoing { topic: &self.topic, record, timestamp_ms: None }).collect();
        for sent in self.producer.send_all(&outgoing).await? {
            sent.with_context(|| format!("could not write to {}", self.topic))?;
        }
        Ok(())
    }
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
    epochs: Vec<Epoch>,
    flushed: Instant,
}

struct Epoch {
    number: i64,
    rows: i64,
    late: i64,
    watermark_us: Option<i64>,
    positions: String,
    at_us: i64,
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
    ]))
}

impl SideTables {
    /// The tables of a job, made when they are not there.
    pub async fn open(lake: &Lake, job: &str) -> Result<SideTables> {
        lake.create(&late_table(), pipelines::late_schema()).await?;
        lake.create(&epoch_table(), epoch_schema()).await?;
        Ok(SideTables { lake: lake.clone(), app_id: format!("job/{job}"), job: job.to_owned(), epochs: Vec::new(), flushed: Instant::now() })
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
        });
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
        ];
        let rows = RecordBatch::try_new(epoch_schema(), columns)?;
        self.lake.append(&epoch_table(), vec![rows], &[txn]).await?;
        self.epochs.clear();
        Ok(())
    }
}
