//! How fresh the tables are: when each got rows last, how often it usually does, and how much it holds.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, Utc};
use deltalake::DeltaTable;
use futures::TryStreamExt;

use crate::error::LakeError;
use crate::store::{Lake, TableName};

/// Commits that are looked at to learn how often a table gets rows.
const COMMITS: usize = 50;
/// A table is stale when nothing came for so many times its usual pause...
const PAUSES: f64 = 10.0;
/// ...and for at least so long, s: tables that are written every second may rest for a while.
const STALE_AFTER_S: f64 = 3_600.0;

/// The state of one table.
#[derive(Debug, Clone, PartialEq)]
pub struct Freshness {
    /// Which.
    pub table: TableName,
    /// Its version.
    pub version: i64,
    /// Rows, when all of its files say how many they hold.
    pub rows: Option<i64>,
    /// Files.
    pub files: i64,
    /// Bytes of them.
    pub bytes: i64,
    /// When rows came last.
    pub written: Option<DateTime<Utc>>,
    /// The median time between two commits of rows, s.
    pub pause_s: Option<f64>,
}

impl Freshness {
    /// Seconds since rows came last.
    pub fn age_s(&self, now: DateTime<Utc>) -> Option<f64> {
        self.written.map(|written| (now - written).as_seconds_f64().max(0.0))
    }

    /// Whether nothing has come for much longer than usual. A table that was written less than three times has no usual.
    pub fn is_stale(&self, now: DateTime<Utc>) -> bool {
        match (self.age_s(now), self.pause_s) {
            (Some(age), Some(pause)) => age > STALE_AFTER_S && age > PAUSES * pause,
            _ => false,
        }
    }
}

impl Lake {
    /// The state of every table.
    ///
    /// # Errors
    /// The first table that cannot be read.
    pub async fn freshness(&self) -> Result<Vec<Freshness>, LakeError> {
        let mut all = Vec::new();
        for table in self.schemas().iter().flat_map(|schema| self.tables(schema)) {
            let looked = self.with_table(&table, async |handle: &mut DeltaTable| {
                handle.update_state().await?;
                let commits: Vec<_> = handle.history(Some(COMMITS)).try_collect().await?;
                // Compaction moves rows and brings none.
                let written: Vec<i64> = commits.iter().filter(|commit| commit.operation.as_deref() == Some("WRITE")).filter_map(|commit| commit.timestamp).collect();
                let state = handle.snapshot()?;
                let files = state.log_data();
                let rows = files.iter().map(|file| file.num_records()).sum::<Option<usize>>();
                Ok(Freshness {
                    table: table.clone(),
                    version: i64::try_from(state.version()).unwrap_or(i64::MAX),
                    rows: rows.and_then(|rows| i64::try_from(rows).ok()),
                    files: files.num_files() as i64,
                    bytes: files.iter().map(|file| file.size()).sum(),
                    written: written.iter().max().and_then(|last| DateTime::from_timestamp_millis(*last)),
                    pause_s: usual_pause(written),
                })
            });
            all.push(looked.await?);
        }
        Ok(all)
    }

    /// Writes the state of every table to `ops.quality`, beside what the streams say of themselves there.
    ///
    /// # Errors
    /// When a table cannot be read, or `ops.quality` cannot be written.
    pub async fn note_freshness(&self, now: DateTime<Utc>) -> Result<(), LakeError> {
        let tables = self.freshness().await?;
        if !tables.is_empty() {
            self.append(&TableName::new("ops", "quality"), vec![rows(&tables, now)], &[]).await?;
        }
        Ok(())
    }
}

/// The median time between commits, from their times in milliseconds.
fn usual_pause(mut times: Vec<i64>) -> Option<f64> {
    times.sort_unstable();
    let mut pauses: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    pauses.sort_unstable();
    (pauses.len() >= 2).then(|| pauses[pauses.len() / 2] as f64 / 1_000.0)
}

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let field = |name: &str, kind: &DataType, comment: &str| Field::new(name, kind.clone(), true).with_metadata([("comment".to_owned(), comment.to_owned())].into());
    Arc::new(Schema::new(vec![
        field("window_end", &time, "时间 / when it was so"),
        field("table", &DataType::Utf8, "表 / table"),
        field("table_version", &DataType::Int64, "表版本 / its version"),
        field("table_rows", &DataType::Int64, "行数 / rows"),
        field("table_files", &DataType::Int64, "文件数 / files"),
        field("table_bytes", &DataType::Int64, "字节数 / bytes of its files"),
        field("age_s", &DataType::Float64, "距上次写入（秒） / seconds since rows came last"),
        field("usual_pause_s", &DataType::Float64, "通常写入间隔（秒） / median seconds between commits of rows"),
        field("stale", &DataType::Boolean, "是否过时 / nothing has come for more than an hour and ten usual pauses"),
    ]))
}

fn rows(tables: &[Freshness], now: DateTime<Utc>) -> RecordBatch {
    let numbers = |of: fn(&Freshness) -> Option<i64>| -> ArrayRef { Arc::new(tables.iter().map(of).collect::<Int64Array>()) };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(vec![now.timestamp_micros(); tables.len()]).with_timezone("UTC")),
        Arc::new(tables.iter().map(|table| Some(table.table.to_string())).collect::<StringArray>()),
        numbers(|table| Some(table.version)),
        numbers(|table| table.rows),
        numbers(|table| Some(table.files)),
        numbers(|table| Some(table.bytes)),
        Arc::new(tables.iter().map(|table| table.age_s(now)).collect::<Float64Array>()),
        Arc::new(tables.iter().map(|table| table.pause_s).collect::<Float64Array>()),
        Arc::new(tables.iter().map(|table| Some(table.is_stale(now))).collect::<BooleanArray>()),
    ];
    RecordBatch::try_new(schema(), columns).expect("each column has one value for each table")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn stale_is_what_rests_much_longer_than_usual() {
        let now = DateTime::from_timestamp(1_000_000, 0).unwrap();
        let of = |age_s: i64, pause_s: Option<f64>| Freshness {
            table: TableName::new("gold", "t"),
            version: 3,
            rows: None,
            files: 0,
            bytes: 0,
            written: Some(now - TimeDelta::seconds(age_s)),
            pause_s,
        };
        for (age_s, pause_s, stale) in [(4_000, Some(60.0), true), (3_000, Some(60.0), false), (40_000, Some(6_000.0), false), (70_000, Some(6_000.0), true), (9_000_000, None, false)] {
            assert_eq!(of(age_s, pause_s).is_stale(now), stale, "{age_s} {pause_s:?}");
        }
        assert_eq!(usual_pause(vec![9_000, 1_000, 2_000, 3_000]), Some(1.0));
        assert_eq!(usual_pause(vec![1_000, 2_000]), None, "one pause is no habit");
    }

    #[tokio::test]
    async fn every_table_has_its_row() {
        let dir = tempfile::tempdir().unwrap();
        let lake = Lake::open(dir.path()).await.unwrap();
        let one = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef)]).unwrap();
        for _ in 0..3 {
            lake.append(&TableName::new("gold", "a"), vec![one.clone()], &[]).await.unwrap();
        }
        lake.append(&TableName::new("silver", "b"), vec![one.clone()], &[]).await.unwrap();
        // What streams say of themselves stands in the same table, in columns of its own.
        let events = RecordBatch::try_from_iter_with_nullable([("events", Arc::new(Int64Array::from(vec![7])) as ArrayRef, true)]).unwrap();
        lake.append(&TableName::new("ops", "quality"), vec![events.clone()], &[]).await.unwrap();
        lake.note_freshness(Utc::now()).await.unwrap();
        lake.append(&TableName::new("ops", "quality"), vec![events], &[]).await.unwrap();
        let tables = lake.freshness().await.unwrap();
        let found: Vec<(String, Option<i64>, bool)> = tables.iter().map(|table| (table.table.to_string(), table.rows, table.pause_s.is_some())).collect();
        assert_eq!(found, [("gold.a".into(), Some(6), true), ("ops.quality".into(), Some(5), true), ("silver.b".into(), Some(2), false)]);
        let query = "SELECT count(events) AS streams, count(\"table\") AS tables, count(*) FILTER (WHERE stale) AS stale FROM ops.quality";
        let rows = lake.query(query, None).await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string();
        assert!(text.contains("| 2       | 3      | 0     |"), "{text}");
    }
}
