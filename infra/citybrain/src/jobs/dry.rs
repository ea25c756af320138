//! `citybrain job run FILE --from T --to T --dry`: what a job would have given on what has been, and nothing written.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use bus::{Bus, Filter, Tap, TapConfig, TapReader};
use chrono::{DateTime, Utc};
use lakehouse::{Lake, TableName};
use pipelines::{BoxError, EpochOutput, Job, Push, Runner, RunnerConfig, bronze_schema, rows_to_json};
use serde::Serialize;

use super::io;
use crate::cli::{Ended, Invocation, JobRunArgs, moment};
use crate::home::Home;
use crate::items::print_table;
use crate::lake::{self, Row};
use crate::lang::t;
use crate::progress::Positions;

/// Rows of a table that are read at a time.
const PAGE_ROWS: usize = 20_000;
/// Rows that are printed as a table unless `--limit` says otherwise.
const TABLE_ROWS: usize = 1_000;

/// What a dry run found.
#[derive(Debug, Default, Serialize)]
struct Found {
    job: String,
    rows_in: u64,
    rows_out: u64,
    late: u64,
    /// Windows that were open at the end and were closed.
    closed_at_end: u64,
}

/// The command.
pub async fn run(context: &Invocation, home: &Home, job: Job, args: &JobRunArgs) -> Result<Ended> {
    let between = Between { from: moment("from", args.from.as_deref())?, to: moment("to", args.to.as_deref())? };
    let mut history = History::open(context, home, &job, between).await?;
    let mut printer = Printer::new(context, args.limit);
    let found = replay(&job, &mut history, &mut printer).await?;
    history.close().await;
    printer.finish();
    let text = match context.global.json {
        true => serde_json::to_string(&found)?,
        false => format!(
            "{} {}  {} {}  {} {}",
            t("读取", "rows in"), found.rows_in, t("输出", "rows out"), found.rows_out, t("迟到", "late"), found.late
        ),
    };
    eprintln!("{text}");
    if !context.global.json && found.closed_at_end > 0 {
        eprintln!("{} {}", found.closed_at_end, t("个窗口在末尾仍打开，已关闭后计入", "windows were still open at the end: they were closed, and their rows are among these"));
    }
    Ok(Ended::Done)
}

/// From one time up to, not including, another.
#[derive(Clone, Copy, Debug, Default)]
struct Between {
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
}

/// Runs the job over its history in a state of its own, which goes with the run.
async fn replay(job: &Job, history: &mut History, printer: &mut Printer) -> Result<Found> {
    let state = Scratch::new(job.name())?;
    let mut runner = Runner::open(job.clone(), &state.0, RunnerConfig::default()).await?;
    for (topic, partition) in history.partitions() {
        runner.assign(&topic, partition);
    }
    // One moment for all epochs: nothing is idle in history.
    let now = Utc::now();
    let mut found = Found { job: job.name().to_owned(), ..Found::default() };
    while let Some(mut chunk) = history.next().await? {
        while let Push::Full(again) = runner.push(chunk)? {
            found.add(runner.poll(now, printer).await?);
            chunk = again;
        }
        found.add(runner.poll(now, printer).await?);
    }
    found.closed_at_end = runner.open_windows() as u64;
    found.add(runner.close_all(now, printer).await?);
    Ok(found)
}

impl Found {
    fn add(&mut self, done: pipelines::Progress) {
        self.rows_in += done.rows_in;
        self.rows_out += done.rows_out;
        self.late += done.rows_late;
    }
}

/// A folder that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(job: &str) -> Result<Scratch> {
        let path = std::env::temp_dir().join(format!("citybrain-dry-{job}-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("could not create {}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is small, and the system clears its folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What was on the topics of a job.
enum History {
    /// In tables of the lake.
    Lake(Vec<Pages>),
    /// On the topics themselves.
    Kafka(Stretch),
}

impl History {
    async fn open(context: &Invocation, home: &Home, job: &Job, between: Between) -> Result<History> {
        let named = io::servers(job)?.source;
        let lake = lake::open(home).await?;
        let tables: Vec<TableName> = job.topics().iter().map(|topic| TableName::new("bronze", lake::table_of(topic))).collect();
        if named.is_none() && tables.iter().all(|table| lake.exists(table)) {
            let mut pages = Vec::new();
            for (topic, table) in job.topics().iter().zip(tables) {
                pages.extend(Pages::of(&lake, topic, table, between).await?);
            }
            return Ok(History::Lake(pages));
        }
        let running = home.running().map(|running| running.kafka);
        let bus = match (named, context.global.kafka.clone().or(running)) {
            (Some(servers), _) => io::connect(context, &servers).await?,
            (None, Some(servers)) => crate::service::connect(context, &servers).await?,
            (None, None) => bail!(
                "{}: {}",
                job.topics().join(", "),
                t("湖中没有这些主题的历史；请先运行大脑或导入数据，或用 --kafka 指明 Kafka", "the lake has no history of it: run the brain or import something first, or name a Kafka with --kafka")
            ),
        };
        Ok(History::Kafka(Stretch::open(job, &bus, between).await?))
    }

    fn partitions(&self) -> Vec<(String, i32)> {
        match self {
            History::Lake(pages) => pages.iter().map(|pages| (pages.topic.to_string(), pages.partition)).collect(),
            History::Kafka(stretch) => stretch.ends.keys().cloned().collect(),
        }
    }

    /// The next piece. Of tables, that of the partition which is furthest behind in time, so that windows close on the way.
    async fn next(&mut self) -> Result<Option<pipelines::Chunk>> {
        match self {
            History::Kafka(stretch) => stretch.next().await,
            History::Lake(pages) => loop {
                let Some(behind) = pages.iter_mut().filter(|pages| !pages.done).min_by_key(|pages| pages.time_us) else { return Ok(None) };
                if let Some(chunk) = behind.next().await? {
                    return Ok(Some(chunk));
                }
            },
        }
    }

    async fn close(self) {
        match self {
            History::Lake(_) => {}
            History::Kafka(stretch) => {
                drop(stretch.reader);
                stretch.tap.stop().await;
            }
        }
    }
}

/// The rows of one partition in a bronze table.
struct Pages {
    lake: Lake,
    table: TableName,
    topic: Arc<str>,
    partition: i32,
    between: Between,
    next: i64,
    /// The latest time so far, µs.
    time_us: i64,
    done: bool,
}

/// When something happened, or else when it was written down.
const EVENT_TIME: &str = "coalesce(ce_time, recorded_time, kafka_time)";

impl Between {
    fn condition(self) -> String {
        let at = |time: DateTime<Utc>| format!("arrow_cast({}, 'Timestamp(Microsecond, Some(\"UTC\"))')", time.timestamp_micros());
        let from = self.from.map(|from| format!(" AND {EVENT_TIME} >= {}", at(from)));
        let to = self.to.map(|to| format!(" AND {EVENT_TIME} < {}", at(to)));
        [from, to].into_iter().flatten().collect()
    }
}

impl Pages {
    async fn of(lake: &Lake, topic: &str, table: TableName, between: Between) -> Result<Vec<Pages>> {
        let query = format!("SELECT DISTINCT partition FROM bronze.\"{}\" WHERE true{} ORDER BY partition", table.name, between.condition());
        let batches = lake.query(&query, None).await.with_context(|| format!("could not read {table}"))?;
        let partitions = batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int32Type>().values().iter().copied());
        let pages = |partition| Pages {
            lake: lake.clone(),
            table: table.clone(),
            topic: topic.into(),
            partition,
            between,
            next: 0,
            time_us: i64::MIN,
            done: false,
        };
        Ok(partitions.map(pages).collect())
    }

    async fn next(&mut self) -> Result<Option<pipelines::Chunk>> {
        let query = format!(
            "SELECT * FROM bronze.\"{}\" WHERE partition = {} AND \"offset\" >= {}{} ORDER BY \"offset\" LIMIT {PAGE_ROWS}",
            self.table.name, self.partition, self.next, self.between.condition()
        );
        let batches = self.lake.query(&query, None).await.with_context(|| format!("could not read {}", self.table))?;
        let rows = arrow::compute::concat_batches(&bronze_schema(), &batches.iter().map(as_bronze).collect::<Result<Vec<_>>>()?)?;
        let offsets = rows.column_by_name("offset").context("bronze has no offset")?.as_primitive::<Int64Type>();
        self.done = rows.num_rows() < PAGE_ROWS;
        let (Some(first), Some(last)) = (offsets.values().first().copied(), offsets.values().last().copied()) else { return Ok(None) };
        self.next = last + 1;
        self.time_us = self.time_us.max(latest_us(&rows).unwrap_or(i64::MIN));
        Ok(Some(pipelines::Chunk { topic: self.topic.clone(), partition: self.partition, first_offset: first, next_offset: last + 1, rows }))
    }
}

/// A batch with the columns and types of bronze, whatever the query engine made of them.
fn as_bronze(batch: &RecordBatch) -> Result<RecordBatch> {
    let schema = bronze_schema();
    let column = |field: &Arc<arrow::datatypes::Field>| {
        let column = batch.column_by_name(field.name()).with_context(|| format!("bronze has no column {}", field.name()))?;
        Ok(cast(column, field.data_type())?)
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn latest_us(rows: &RecordBatch) -> Option<i64> {
    let times = rows.column_by_name("ce_time")?.as_primitive_opt::<TimestampMicrosecondType>()?;
    times.iter().flatten().max()
}

/// Ranges of topics.
struct Stretch {
    tap: Tap,
    reader: TapReader,
    /// Where each partition ends that is not read to its end yet.
    ends: Positions,
}

impl Stretch {
    async fn open(job: &Job, bus: &Bus, between: Between) -> Result<Stretch> {
        let mut start = Positions::new();
        let mut ends = Positions::new();
        let from = offsets(bus, job, between.from).await?;
        let to = offsets(bus, job, between.to).await?;
        for (place, (low, high)) in io::watermarks(job, bus).await? {
            let begin = from.get(&place).copied().unwrap_or(low).max(low);
            let end = to.get(&place).copied().unwrap_or(high).min(high);
            if begin < end {
                start.insert(place.clone(), begin);
                ends.insert(place, end);
            }
        }
        let tap = Tap::start(bus.clone(), TapConfig::default())?;
        let reader = tap.reader("dry run", Filter::topics(job.topics().to_vec()), start)?;
        Ok(Stretch { tap, reader, ends })
    }

    async fn next(&mut self) -> Result<Option<pipelines::Chunk>> {
        while !self.ends.is_empty() {
            let chunk = self.reader.recv().await.context("the bus stopped while it was read")?;
            let place = (chunk.topic.to_string(), chunk.partition);
            let Some(end) = self.ends.get(&place).copied() else { continue };
            if chunk.next_offset >= end {
                self.ends.remove(&place);
            }
            if let Some(chunk) = io::chunk(&chunk, Some(end)) {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }
}

async fn offsets(bus: &Bus, job: &Job, time: Option<DateTime<Utc>>) -> Result<Positions> {
    match time {
        Some(time) => Ok(bus.offsets_at(job.topics(), time.timestamp_millis()).await?),
        None => Ok(Positions::new()),
    }
}

/// Prints what the job gives: JSON lines as they come, or a table at the end.
struct Printer {
    json: bool,
    left: usize,
    columns: Vec<String>,
    table: Vec<Row>,
}

impl Printer {
    fn new(context: &Invocation, limit: Option<usize>) -> Printer {
        let json = context.global.json;
        let left = limit.unwrap_or(if json { usize::MAX } else { TABLE_ROWS });
        Printer { json, left, columns: Vec::new(), table: Vec::new() }
    }

    fn finish(&self) {
        if !self.table.is_empty() {
            print_table(&self.columns.iter().map(String::as_str).collect::<Vec<_>>(), &self.table);
        }
    }
}

impl pipelines::Sink for Printer {
    async fn take(&mut self, output: &EpochOutput) -> Result<(), BoxError> {
        let shown = output.rows.slice(0, output.rows.num_rows().min(self.left));
        self.left -= shown.num_rows();
        if self.columns.is_empty() {
            self.columns = shown.schema().fields().iter().map(|field| field.name().clone()).collect();
        }
        for row in rows_to_json(&shown) {
            match self.json {
                true => println!("{}", serde_json::Value::Object(row)),
                false => self.table.push(row),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_folder_goes_with_the_run() {
        let scratch = Scratch::new("busy").unwrap();
        let path = scratch.0.clone();
        std::fs::write(path.join("state"), "x").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
