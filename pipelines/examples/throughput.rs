//! How many readings a second `sensor_1m` turns into windows, beside a floor: parsing the same JSON and nothing else.
//!
//! `cargo run -p pipelines --example throughput -- [rows]`

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::DateTime;
use pipelines::{BoxError, Chunk, EpochOutput, Push, Runner, RunnerConfig, Sink, bronze_schema, builtin_jobs};
use serde::Deserialize;

const CHUNK_ROWS: usize = 4_096;
const STATIONS: usize = 2_000;
const START_US: i64 = 1_784_332_800_000_000;

#[derive(Default)]
struct Count {
    windows: usize,
    late: usize,
}

impl Sink for Count {
    async fn take(&mut self, output: &EpochOutput) -> Result<(), BoxError> {
        self.windows += output.rows.num_rows();
        self.late += output.late.num_rows();
        Ok(())
    }
}

/// The fields that the job reads.
#[derive(Deserialize)]
struct Reading<'a> {
    datastream: &'a str,
    result: f64,
    unit: &'a str,
    property: &'a str,
    station: &'a str,
    district: &'a str,
    lat: f64,
    lon: f64,
}

fn chunk(first: usize) -> Chunk {
    let numbers = first..first + CHUNK_ROWS;
    let text = |value: &dyn Fn(usize) -> Option<String>| -> ArrayRef { Arc::new(numbers.clone().map(value).collect::<StringArray>()) };
    // Each station speaks every five seconds.
    let time = |n: usize| START_US + (n / STATIONS) as i64 * 5_000_000 + (n % STATIONS) as i64 * 2_000;
    let times = || -> ArrayRef { Arc::new(TimestampMicrosecondArray::from_iter_values(numbers.clone().map(time)).with_timezone("UTC")) };
    let data = |n: usize| {
        let station = n % STATIONS;
        Some(format!(
            r#"{{"datastream":"d01-rain-{station:04}","result":{}.{},"unit":"mm/h","property":"rainfall","station":"d01-rain-{station:04}","district":"北岸区","lat":30.61234,"lon":114.30567}}"#,
            n % 90,
            n % 10
        ))
    };
    let columns: Vec<ArrayRef> = vec![
        text(&|_| Some("raw.sensor".to_owned())),
        Arc::new(Int32Array::from(vec![0; CHUNK_ROWS])),
        Arc::new(Int64Array::from_iter_values(numbers.clone().map(|n| n as i64))),
        times(),
        text(&|n| Some(format!("d01-rain-{:04}", n % STATIONS))),
        text(&|n| Some(n.to_string())),
        text(&|_| Some("/gauges".to_owned())),
        text(&|_| Some("io.citybrain.sensor.observation.v1".to_owned())),
        text(&|_| None),
        times(),
        times(),
        text(&|_| None),
        text(&|_| None),
        text(&|_| None),
        text(&data),
    ];
    let rows = RecordBatch::try_new(bronze_schema(), columns).expect("columns are those of bronze");
    Chunk { topic: "raw.sensor".into(), partition: 0, first_offset: first as i64, next_offset: (first + CHUNK_ROWS) as i64, rows }
}

fn floor(chunks: &[Chunk]) -> Duration {
    let begin = Instant::now();
    let mut sum = 0.0;
    for chunk in chunks {
        for data in chunk.rows.column_by_name("data").expect("bronze has data").as_string::<i32>().iter().flatten() {
            let reading: Reading<'_> = serde_json::from_str(data).expect("the data were made above");
            let texts = [reading.datastream, reading.unit, reading.property, reading.station, reading.district];
            sum += reading.result + reading.lat + reading.lon + texts.iter().map(|text| text.len() as f64).sum::<f64>();
        }
    }
    std::hint::black_box(sum);
    begin.elapsed()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let rows: usize = std::env::args().nth(1).map_or(Ok(1_000_000), |rows| rows.parse())?;
    let chunks: Vec<Chunk> = (0..rows.div_ceil(CHUNK_ROWS)).map(|n| chunk(n * CHUNK_ROWS)).collect();
    let rows = chunks.len() * CHUNK_ROWS;
    let told = |what: &str, took: Duration| println!("{what:<34} {:>9.0} rows/s", rows as f64 / took.as_secs_f64());
    told("floor: parse the JSON, one thread", floor(&chunks));
    let folder = std::env::temp_dir().join(format!("citybrain-throughput-{}", std::process::id()));
    for lanes in [1, std::thread::available_parallelism().map_or(1, usize::from)] {
        let mut runner = Runner::open(builtin_jobs().iter().find(|job| job.name == "sensor_1m").ok_or("the job ships")?.parse()?, &folder, RunnerConfig { lanes, ..RunnerConfig::default() }).await?;
        let mut sink = Count::default();
        let now = DateTime::from_timestamp_micros(START_US).unwrap_or_default() + chrono::Duration::days(1);
        let begin = Instant::now();
        for (index, chunk) in chunks.iter().enumerate() {
            if let Push::Full(chunk) = runner.push(chunk.clone())? {
                runner.poll(now, &mut sink).await?;
                runner.push(chunk)?;
            }
            // About one epoch for each 65,536 rows.
            if index % 16 == 15 {
                runner.poll(now, &mut sink).await?;
            }
        }
        runner.close_all(now, &mut sink).await?;
        told(&format!("sensor_1m, {lanes} lane(s)"), begin.elapsed());
        println!("{:<34} {} windows, {} late, {} epochs", "", sink.windows, sink.late, runner.epoch());
        drop(runner);
        Runner::reset("sensor_1m", &folder)?;
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
