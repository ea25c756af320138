//! A small log, a sink that remembers, and one way to run a job over them.

// Each test binary uses a part of this.
#![allow(dead_code)]

pub mod golden;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::{DateTime, Utc};
use pipelines::{BoxError, Chunk, EpochOutput, Job, Push, RunError, Runner, RunnerConfig, Sink, bronze_schema, rows_to_json};

pub const TOPIC: &str = "raw.sensor";
pub const OBSERVATION: &str = "io.citybrain.sensor.observation.v1";

/// 2026-07-18 00:00 UTC.
pub const START_S: i64 = 1_784_332_800;

/// A time some seconds after the start.
pub fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(START_S + second, 0).expect("a second of one day is a time")
}

#[derive(Debug, Clone)]
pub struct Record {
    pub second: Option<i64>,
    pub kind: &'static str,
    pub data: String,
}

/// A reading of a station.
pub fn reading(second: i64, station: &str, property: &str, unit: &str, result: f64) -> Record {
    let data = format!(
        r#"{{"datastream":"{station}/{property}","result":{result},"unit":"{unit}","property":"{property}","station":"{station}","district":"滨江区","lat":30.575,"lon":114.268}}"#
    );
    Record { second: Some(second), kind: OBSERVATION, data }
}

/// The records of each partition, by offset.
#[derive(Debug, Clone, Default)]
pub struct Log(pub BTreeMap<i32, Vec<Record>>);

impl Log {
    pub fn one(records: Vec<Record>) -> Log {
        Log(BTreeMap::from([(0, records)]))
    }

    pub fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    pub fn chunk(&self, partition: i32, from: usize, to: usize) -> Chunk {
        let records = &self.0[&partition][from..to];
        let count = records.len();
        let text = |value: fn(&Record) -> Option<&str>| -> ArrayRef { Arc::new(records.iter().map(value).collect::<StringArray>()) };
        let nothing = || text(|_| None);
        let times = || -> ArrayRef {
            let times = records.iter().map(|record| record.second.map(|second| (START_S + second) * 1_000_000));
            Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        };
        let columns: Vec<ArrayRef> = vec![
            text(|_| Some(TOPIC)),
            Arc::new(Int32Array::from(vec![partition; count])),
            Arc::new(Int64Array::from_iter_values(from as i64..to as i64)),
            times(),
            nothing(),
            nothing(),
            nothing(),
            text(|record| Some(record.kind)),
            nothing(),
            times(),
            times(),
            nothing(),
            nothing(),
            nothing(),
            text(|record| Some(&record.data)),
        ];
        let rows = RecordBatch::try_new(bronze_schema(), columns).expect("columns are those of bronze");
        Chunk { topic: TOPIC.into(), partition, first_offset: from as i64, next_offset: to as i64, rows }
    }
}

/// Keeps the output of each epoch, and insists that a repeated epoch says the same again.
#[derive(Debug, Default)]
pub struct Memory {
    pub epochs: BTreeMap<u64, EpochOutput>,
    pub repeated: usize,
    /// Refuse so many times first.
    pub refusals: usize,
}

impl Sink for Memory {
    async fn take(&mut self, output: &EpochOutput) -> Result<(), BoxError> {
        if self.refusals > 0 {
            self.refusals -= 1;
            return Err("the table is locked".into());
        }
        if let Some(before) = self.epochs.insert(output.epoch, output.clone()) {
            self.repeated += 1;
            assert_eq!(before.rows, output.rows, "a repeated epoch has the same rows");
            assert_eq!(before.late, output.late, "a repeated epoch has the same late rows");
            assert_eq!((&before.ids, &before.times, &before.positions), (&output.ids, &output.times, &output.positions));
        }
        Ok(())
    }
}

impl Memory {
    /// Every row as its id, time and JSON, by id.
    pub fn rows(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for output in self.epochs.values() {
            assert_eq!([output.rows.num_rows(); 2], [output.ids.len(), output.times.len()]);
            for ((id, time), row) in output.ids.iter().zip(&output.times).zip(rows_to_json(&output.rows)) {
                let text = format!("{time:?} {}", serde_json::Value::Object(row));
                assert!(all.insert(id.clone(), text).is_none(), "id {id} is given once");
            }
        }
        all
    }

    /// The rows in the order in which they came.
    pub fn json(&self) -> Vec<serde_json::Value> {
        self.epochs.values().flat_map(|output| rows_to_json(&output.rows)).map(serde_json::Value::Object).collect()
    }

    pub fn late(&self) -> Vec<serde_json::Value> {
        self.epochs.values().flat_map(|output| rows_to_json(&output.late)).map(serde_json::Value::Object).collect()
    }
}

/// What jobs may look up in the graph that ships, as a host gives it to them.
pub static VIEWS: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let graph = graph::Graph::builtin();
    graph::VIEWS.map(|name| (name.to_owned(), graph.view(name).expect("it is one of them").to_csv())).to_vec()
});

pub fn builtin(name: &str) -> Job {
    let job = pipelines::builtin_jobs().iter().find(|job| job.name == name).expect("the job ships");
    job.parse_with(&VIEWS).unwrap_or_else(|error| panic!("{error}"))
}

/// A job over readings with this INSERT.
pub fn job(insert: &str) -> Job {
    let sql = format!(
        "CREATE TABLE readings (station TEXT, property TEXT, result DOUBLE, n BIGINT, ts TIMESTAMP METADATA FROM 'ce_time',
             \"offset\" BIGINT METADATA FROM 'offset', origin POSITION METADATA FROM 'position',
             WATERMARK FOR ts AS ts - INTERVAL '1 minute')
         WITH (connector = 'kafka', topic = '{TOPIC}', 'event.type' = '{OBSERVATION}');
         CREATE TABLE out WITH (connector = 'delta', path = 'gold.test');
         {insert}"
    );
    Job::parse("test", &sql, &[]).unwrap_or_else(|error| panic!("{error}"))
}

pub fn config(lanes: usize) -> RunnerConfig {
    RunnerConfig { lanes, ..RunnerConfig::default() }
}

pub fn push(runner: &mut Runner, chunk: Chunk) {
    assert!(matches!(runner.push(chunk).expect("the chunk is in the bronze schema"), Push::Taken));
}

/// Pushes what is missing of a log, `step` records of each partition between two polls, and ends the source.
pub async fn run_to_end(runner: &mut Runner, log: &Log, step: usize, sink: &mut Memory) -> Result<(), RunError> {
    let now = at(86_400);
    log.0.keys().for_each(|partition| runner.assign(TOPIC, *partition));
    loop {
        let positions = runner.positions();
        let mut pushed = false;
        for (partition, records) in &log.0 {
            let from = positions.get(&(TOPIC.to_owned(), *partition)).map_or(0, |next| *next as usize);
            let to = (from + step).min(records.len());
            if from < to {
                push(runner, log.chunk(*partition, from, to));
                pushed = true;
            }
        }
        if !pushed {
            break;
        }
        runner.poll(now, sink).await?;
    }
    runner.close_all(now, sink).await?;
    Ok(())
}

/// What a job gives for a whole log.
pub async fn run(job: Job, log: &Log, step: usize, config: RunnerConfig) -> Memory {
    let folder = tempfile::tempdir().expect("a temporary folder");
    run_in(job, log, step, config, folder.path()).await
}

pub async fn run_in(job: Job, log: &Log, step: usize, config: RunnerConfig, folder: &Path) -> Memory {
    let mut runner = Runner::open(job, folder, config).await.expect("the job opens");
    let mut sink = Memory::default();
    run_to_end(&mut runner, log, step, &mut sink).await.expect("the job runs");
    sink
}
