//! The Nexmark queries as streaming jobs: from Kafka into Kafka or Delta, each in a process of its own, beside Flink's
//! published figures; with `--check`, each result is compared with a batch query over the same events.
//!
//! [`generator`] makes the events, [`json`] writes them, [`queries`] lists what is asked, [`batch`] holds the same events as
//! tables in memory.

mod batch;
mod compare;
pub mod generator;
pub mod json;
mod queries;
pub mod text;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bus::{Filter, Tap, TapConfig};
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use lakehouse::Lake;
use serde::Serialize;

use self::compare::Rows;
use self::generator::{Event, Nexmark};
use self::json::JsonWriter;
use self::queries::{QUERIES, Query, SIDE_INPUT};
use super::feed::{Make, Stage, feed};
use super::measured::{Measured, Task, child, median};
use super::scratch_home;
use crate::cli::{BenchArgs, Ended, Invocation};
use crate::home::Home;
use crate::lang::t;

/// Events when nothing is asked.
const EVENTS_DEFAULT: u64 = 5_000_000;
/// Events for each second of event time; the bounds of q3, q4 and q20 rest on it.
const RATE: u64 = 10_000;
const SEED: u64 = 1;
const TOPIC: &str = "nexmark";

/// The events as records of the topic.
struct Records {
    stream: Nexmark,
    writer: JsonWriter,
    /// As rows of one table, without a CloudEvents type.
    plain: bool,
}

impl Clone for Records {
    fn clone(&self) -> Records {
        Records { writer: JsonWriter::default(), ..*self }
    }
}

impl Make for Records {
    fn value(&mut self, number: u64, out: &mut Vec<u8>) -> Option<&'static str> {
        let event = self.stream.event(number);
        if self.plain {
            self.writer.row(out, &event);
            return None;
        }
        self.writer.event(out, &event);
        Some(match event {
            Event::Person(_) => "io.nexmark.person",
            Event::Auction(_) => "io.nexmark.auction",
            Event::Bid(_) => "io.nexmark.bid",
        })
    }
}

#[derive(Serialize)]
struct Figures {
    query: &'static str,
    measured: Measured,
    rows: u64,
    flink_events_per_core_second: Option<f64>,
    times_flink: Option<f64>,
    /// Whether the result is that of the batch query; none when it was not asked for.
    same_as_batch: Option<bool>,
}

/// The benchmark.
pub async fn run(context: &Invocation, args: &BenchArgs) -> Result<Ended> {
    ensure!(!(args.blackhole && args.check), "a result that goes nowhere cannot be checked: leave out --blackhole or --check");
    let chosen = chosen(&args.queries)?;
    let events = args.events.unwrap_or(EVENTS_DEFAULT).max(1);
    let stream = Nexmark { seed: SEED, rate: RATE, extra: false };
    let home = scratch_home(context, "bench-nexmark")?;
    let stage = Stage::set(context, &home).await?;
    stage.empty(TOPIC).await?;
    let bytes = feed(&stage.bus, TOPIC, events, Records { stream, writer: JsonWriter::default(), plain: args.plain }).await?;
    if !context.global.json {
        println!("{events} {}, {} {}", t("条事件", "events"), bytes / events, t("字节/条", "bytes each"));
        header();
    }
    if args.plain {
        stage.strike().await;
        return Ok(Ended::Done);
    }
    let tables = args.check.then(|| batch::tables(stream, events)).transpose()?;
    std::fs::write(home.dir(SIDE_INPUT.0), SIDE_INPUT.1)?;
    let mut all = Vec::new();
    for query in chosen {
        let figures = measure(context, args, &stage, &home, query, tables.as_ref()).await.with_context(|| format!("{} failed", query.name))?;
        if !context.global.json {
            line(&figures);
        }
        all.push(figures);
    }
    stage.strike().await;
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
    }
    Ok(if all.iter().any(|figures| figures.same_as_batch == Some(false)) { Ended::Differs } else { Ended::Done })
}

fn chosen(names: &[String]) -> Result<Vec<Query>> {
    let find = |name: &String| {
        let known = || QUERIES.map(|query| query.name).join(", ");
        QUERIES.into_iter().find(|query| query.name == name).with_context(|| format!("there is no query {name}: there are {}", known()))
    };
    if names.is_empty() { Ok(QUERIES.to_vec()) } else { names.iter().map(find).collect() }
}

async fn measure(context: &Invocation, args: &BenchArgs, stage: &Stage, home: &Home, query: Query, tables: Option<&SessionContext>) -> Result<Figures> {
    let job = home.dir(&format!("{}.sql", query.name));
    std::fs::write(&job, if args.blackhole { into_nothing(query.job) } else { query.job.to_owned() })?;
    let run_home = home.dir("measured");
    let out = if args.blackhole { Out::Nowhere } else { Out::of(query, &run_home) };
    let mut runs = Vec::new();
    for _ in 0..args.runs.max(1) {
        if let Out::Topic(topic) = &out {
            stage.empty(topic).await?;
        }
        runs.push(child(context, &stage.servers, &run_home, Task::Job(&job)).await?);
    }
    let rows = out.count(stage).await?;
    let same_as_batch = match tables {
        Some(tables) => Some(same(&out, stage, query, tables).await?),
        None => None,
    };
    let measured = Measured { rows: Some(rows), ..median(runs)? };
    let times_flink = query.flink.map(|flink| measured.events_per_core_second() / flink);
    Ok(Figures { query: query.name, measured, rows, flink_events_per_core_second: query.flink, times_flink, same_as_batch })
}

/// The job with a sink that keeps nothing.
fn into_nothing(job: &str) -> String {
    let cut = |text: &str, from: usize, mark: &str| text[from..].find(mark).map(|at| from + at);
    let sink = cut(job, 0, "CREATE TABLE results").and_then(|at| cut(job, at, "WITH ("));
    let end = sink.and_then(|at| cut(job, at, ";"));
    match (sink, end) {
        (Some(sink), Some(end)) => [&job[..sink], "WITH (connector = 'blackhole')", &job[end..]].concat(),
        _ => job.to_owned(),
    }
}

/// Where a result is.
enum Out {
    Nowhere,
    Topic(String),
    Table { lake: std::path::PathBuf, query: String, name: String },
}

impl Out {
    fn of(query: Query, run_home: &Path) -> Out {
        let name = format!("nexmark.{}", query.name);
        match query.job.contains(&format!("topic = '{name}'")) {
            true => Out::Topic(name),
            false => Out::Table {
                lake: run_home.join("lake"),
                query: query.compared.map_or_else(|| format!("SELECT * FROM {name}"), str::to_owned),
                name,
            },
        }
    }

    async fn count(&self, stage: &Stage) -> Result<u64> {
        match self {
            Out::Nowhere => Ok(0),
            Out::Topic(topic) => Ok(stage.bus.watermarks(topic).await?.values().map(|(low, high)| (high - low) as u64).sum()),
            Out::Table { lake, name, .. } => {
                let rows = crate::lake::rows(&Lake::open(lake).await?, &format!("SELECT count(*) AS n FROM {name}")).await?;
                Ok(rows.first().map_or(0, |row| crate::lake::integer(row, "n") as u64))
            }
        }
    }

    async fn rows(&self, stage: &Stage, schema: &SchemaRef) -> Result<Rows> {
        let mut rows = Rows::default();
        match self {
            Out::Nowhere => {}
            Out::Topic(topic) => read_topic(stage, topic, schema, &mut rows).await?,
            Out::Table { lake, query, .. } => {
                let mut batches = Lake::open(lake).await?.sql(query, None).await?;
                while let Some(batch) = batches.next().await {
                    rows.take(&batch?, schema)?;
                }
            }
        }
        Ok(rows)
    }
}

async fn read_topic(stage: &Stage, topic: &str, schema: &SchemaRef, rows: &mut Rows) -> Result<()> {
    let mut left: i64 = stage.bus.watermarks(topic).await?.values().map(|(low, high)| high - low).sum();
    let tap = Tap::start(stage.bus.clone(), TapConfig::default())?;
    let mut reader = tap.reader("check", Filter::topics([topic]), Default::default())?;
    while left > 0 {
        let chunk = reader.recv().await.context("the tap was stopped")?;
        left -= chunk.next_offset - chunk.first_offset;
        rows.take(&parsed(&chunk.rows, schema)?, schema)?;
    }
    tap.stop().await;
    Ok(())
}

/// The data of events as rows.
fn parsed(chunk: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let lines: Vec<&str> = crate::rows::column::<arrow::array::StringArray>(chunk, "data")?.iter().flatten().collect();
    let mut decoder = arrow::json::ReaderBuilder::new(plain(schema)).with_batch_size(lines.len().max(1)).build_decoder()?;
    decoder.decode(lines.join("\n").as_bytes())?;
    let batch = decoder.flush()?.context("a chunk has rows")?;
    ensure!(batch.num_rows() == chunk.num_rows(), "{} of {} events have no data", chunk.num_rows() - batch.num_rows(), chunk.num_rows());
    Ok(batch)
}

/// The same columns in types that JSON can be read into, all nullable.
fn plain(schema: &SchemaRef) -> SchemaRef {
    let kind = |of: &DataType| match of {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        other => other.clone(),
    };
    Arc::new(Schema::new(schema.fields().iter().map(|field| Field::new(field.name(), kind(field.data_type()), true)).collect::<Vec<_>>()))
}

async fn same(out: &Out, stage: &Stage, query: Query, tables: &SessionContext) -> Result<bool> {
    let frame = tables.sql(query.batch).await.context("the batch query is wrong")?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let mut batches = frame.execute_stream().await?;
    let mut expected = Rows::default();
    while let Some(batch) = batches.next().await {
        expected.take(&batch?, &schema)?;
    }
    let got = out.rows(stage, &schema).await?;
    if got != expected {
        eprintln!("{}: {} rows, the batch query has {}, such as\n    {}\nand\n    {}", query.name, got.count, expected.count, got.shown(), expected.shown());
    }
    Ok(got == expected)
}

fn header() {
    println!(
        "{:<5} {:>14} {:>12} {:>8} {:>9} {:>10} {:>14} {:>8}  {}",
        t("查询", "query"), t("事件/核·秒", "events/core-s"), t("事件/秒", "events/s"), t("CPU 秒", "CPU-s"), "MiB", t("结果行", "rows out"),
        t("Flink 公布", "Flink publ."), t("倍数", "ratio"), t("核对", "check")
    );
}

fn line(figures: &Figures) {
    let measured = figures.measured;
    let number = |value: Option<f64>, digits: usize| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"));
    let check = match figures.same_as_batch {
        None => "",
        Some(true) => t("与批查询相同", "same as batch"),
        Some(false) => t("与批查询不同", "DIFFERS FROM BATCH"),
    };
    println!(
        "{:<5} {:>14.0} {:>12.0} {:>8.2} {:>9} {:>10} {:>14} {:>8}  {check}",
        figures.query, measured.events_per_core_second(), measured.events_per_second(), measured.cpu_seconds, measured.peak_mib, figures.rows,
        number(figures.flink_events_per_core_second, 0), number(figures.times_flink, 2)
    );
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::*;

    #[tokio::test]
    async fn batch_queries_give_rows_with_the_columns_of_their_sink() {
        let tables = batch::tables(Nexmark { seed: SEED, rate: RATE, extra: false }, 200_000).unwrap();
        for query in QUERIES {
            let batches = tables.sql(query.batch).await.unwrap_or_else(|error| panic!("{}: {error}", query.name)).collect().await.unwrap();
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            assert!(rows > 0, "{} gives nothing", query.name);
            let sink = query.job.split("CREATE TABLE results (").nth(1).and_then(|rest| rest.split(')').next()).unwrap_or_default();
            let declared: Vec<&str> = sink.split(',').filter_map(|column| column.split_whitespace().next()).collect();
            let schema = batches[0].schema();
            let given: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            assert!(query.compared.is_some() || given == declared, "{}: {given:?} and {declared:?}", query.name);
        }
    }

    /// The bounds of the streaming joins lose nothing: with and without them the result is the same.
    #[tokio::test]
    async fn bounds_of_joins_lose_nothing() {
        let tables = batch::tables(Nexmark { seed: SEED, rate: RATE, extra: false }, 300_000).unwrap();
        let count = async |sql: &str| {
            let batches = tables.sql(sql).await.unwrap().collect().await.unwrap();
            batches[0].column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0)
        };
        let near = "BETWEEN a.datetime - INTERVAL '10 seconds' AND a.datetime + INTERVAL '10 seconds'";
        for (left, on) in [("persons", "l.id = a.seller"), ("bids", "l.auction = a.id")] {
            let all = count(&format!("SELECT count(*) FROM auctions a JOIN {left} l ON {on}")).await;
            let bounded = count(&format!("SELECT count(*) FROM auctions a JOIN {left} l ON {on} AND l.datetime {near}")).await;
            assert_eq!(all, bounded, "{left}");
        }
        let open = "SELECT count(*) FROM auctions a JOIN bids b ON b.auction = a.id AND b.datetime BETWEEN a.datetime AND a.expires";
        let second = format!("{open} AND b.datetime <= a.datetime + INTERVAL '1 second'");
        assert_eq!(count(open).await, count(&second).await);
    }
}
