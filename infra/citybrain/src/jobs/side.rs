//! The tables beside the sinks, which all jobs share: the rows that came too late, and the epochs themselves.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use chrono::Utc;
use lakehouse::{Lake, TableName, Txn};
use pipelines::EpochOutput;

use super::group::GroupWriter;
use super::io::state_bytes;
use crate::refused::RefusedLog;
use crate::progress::Positions;

/// Longest time until an epoch is in `ops.epoch`.
const EPOCHS_WITHIN: Duration = Duration::from_secs(5);

/// The writers of the shared tables: one of each in the process. Cheap to clone.
#[derive(Clone)]
pub struct SideWriters {
    lake: Lake,
    late: GroupWriter,
    epochs: GroupWriter,
    refused: Option<RefusedLog>,
}

impl SideWriters {
    /// Starts them.
    pub fn start(lake: &Lake) -> SideWriters {
        SideWriters {
            lake: lake.clone(),
            // Epochs wait for their late rows.
            late: GroupWriter::start(lake.clone(), late_table(), Duration::ZERO),
            epochs: GroupWriter::start(lake.clone(), epoch_table(), EPOCHS_WITHIN),
            refused: None,
        }
    }

    /// The same where there is a `dlq`, for records for which a function fails.
    pub fn with_dlq(self, refused: RefusedLog) -> SideWriters {
        SideWriters { refused: Some(refused), ..self }
    }
}

/// The shared tables as one job sees them.
pub struct SideTables {
    writers: SideWriters,
    app_id: String,
    job: String,
    state_dir: PathBuf,
    /// Where the epoch before ended.
    reached: Positions,
    /// When the work on the next epoch began.
    begun: Instant,
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
    pub async fn open(writers: &SideWriters, job: &str, app_id: &str, state_dir: PathBuf, reached: Positions) -> Result<SideTables> {
        writers.lake.create(&late_table(), pipelines::late_schema()).await?;
        writers.lake.create(&epoch_table(), epoch_schema()).await?;
        // Another process may have worked this job, or this part of it, before.
        writers.lake.refresh(&late_table()).await?;
        Ok(SideTables { writers: writers.clone(), app_id: app_id.to_owned(), job: job.to_owned(), state_dir, reached, begun: Instant::now() })
    }

    /// The work on epochs begins.
    pub fn begin(&mut self) {
        self.begun = Instant::now();
    }

    /// Waits until the late rows of an epoch are in their table.
    ///
    /// # Errors
    /// When they could not be written.
    pub async fn write_late(&self, output: &EpochOutput) -> Result<()> {
        match output.late.num_rows() {
            0 => Ok(()),
            _ => self.writers.late.append(output.late.clone(), self.txn(output)?).await,
        }
    }

    /// Keeps records for which a function failed in `dlq`, where there is one. A repeated epoch keeps them under the same ids.
    ///
    /// # Errors
    /// When `dlq` does not take them.
    pub async fn keep_failed(&self, output: &EpochOutput) -> Result<()> {
        let Some(refused) = &self.writers.refused else { return Ok(()) };
        for record in &output.failed {
            refused.function_failed(&self.job, record).await?;
        }
        Ok(())
    }

    /// Notes that an epoch is done, and does not wait for it. That is a record for people: the engine does not read it, so
    /// a crash may leave some out.
    ///
    /// # Errors
    /// When the writer has ended.
    pub async fn note(&mut self, output: &EpochOutput) -> Result<()> {
        let txn = self.txn(output)?;
        self.writers.epochs.leave(self.line(output, txn.version)?, txn).await?;
        self.reached.clone_from(&output.positions);
        self.begun = Instant::now();
        Ok(())
    }

    /// Waits until the lines of all epochs are in their table.
    ///
    /// # Errors
    /// When they could not be written.
    pub async fn flush(&self) -> Result<()> {
        self.writers.epochs.flush().await
    }

    fn txn(&self, output: &EpochOutput) -> Result<Txn> {
        Ok(Txn { app_id: self.app_id.clone(), version: i64::try_from(output.epoch)? })
    }

    /// What is told of an epoch, as one row.
    fn line(&self, output: &EpochOutput, epoch: i64) -> Result<RecordBatch> {
        let positions: serde_json::Map<_, _> = output.positions.iter().map(|((topic, partition), next)| (format!("{topic}/{partition}"), (*next).into())).collect();
        let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values([text])) };
        let number = |number: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![number])) };
        let time = |time_us: Option<i64>| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(vec![time_us]).with_timezone("UTC")) };
        let columns = vec![
            text(&self.job),
            number(epoch),
            number(output.rows.num_rows() as i64),
            number(output.late.num_rows() as i64),
            time(output.watermark.map(|watermark| watermark.timestamp_micros())),
            text(&serde_json::Value::Object(positions).to_string()),
            time(Some(Utc::now().timestamp_micros())),
            number(passed(&self.reached, &output.positions)),
            number(i64::try_from(self.begun.elapsed().as_millis())?),
            number(i64::try_from(state_bytes(&self.state_dir))?),
        ];
        Ok(RecordBatch::try_new(epoch_schema(), columns)?)
    }
}

/// Offsets from one set of positions to a later one. A partition that was not known before began at its first one.
fn passed(before: &Positions, after: &Positions) -> i64 {
    after.iter().map(|(place, next)| (next - before.get(place).copied().unwrap_or(0)).max(0)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_table_of_epochs_made_by_an_older_program_is_widened() {
        let dir = tempfile::tempdir().unwrap();
        let lake = Lake::open(dir.path()).await.unwrap();
        let older = Arc::new(Schema::new(epoch_schema().fields().iter().take(7).cloned().collect::<Vec<_>>()));
        let nulls = |field: &Arc<Field>| arrow::array::new_null_array(field.data_type(), 1);
        let row = RecordBatch::try_new(older.clone(), older.fields().iter().map(nulls).collect()).unwrap();
        lake.append(&epoch_table(), vec![row], &[]).await.unwrap();

        let place = ("raw.sensor".to_owned(), 0);
        let mut side = SideTables::open(&SideWriters::start(&lake), "busy", "job/busy", dir.path().join("state"), Positions::from([(place.clone(), 5)])).await.unwrap();
        let output = EpochOutput {
            job: "busy".into(),
            epoch: 1,
            positions: Positions::from([(place, 12)]),
            ids: Vec::new(),
            times: Vec::new(),
            rows: RecordBatch::new_empty(Arc::new(Schema::empty())),
            late: RecordBatch::new_empty(pipelines::late_schema()),
            failed: Vec::new(),
            watermark: None,
        };
        side.note(&output).await.unwrap();
        side.flush().await.unwrap();
        let rows = crate::lake::rows(&lake, "SELECT epoch, rows_in FROM ops.epoch ORDER BY epoch NULLS FIRST").await.unwrap();
        let text: Vec<String> = rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect();
        assert_eq!(text, [r#"{"epoch":null,"rows_in":null}"#, r#"{"epoch":1,"rows_in":7}"#]);
    }
}
