//! What each job of the city costs on a day like the demo's: 184 datastreams that speak each minute, two thousand calls and
//! work orders, an epoch every five minutes.
//!
//! `cargo run --release -p pipelines --example city_jobs -- [times as many stations]`

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::DateTime;
use pipelines::{BoxError, Chunk, EpochOutput, Push, Runner, RunnerConfig, Sink, bronze_schema, builtin_jobs};

/// 18 July 2026, 00:00 at UTC+8.
const START_S: i64 = 1_784_304_000;
const DAY_S: i64 = 86_400;
/// Time between two epochs.
const SLICE_S: i64 = 300;
const DISTRICTS: [&str; 8] = ["北岸区", "滨江区", "西城区", "东城区", "青湾区", "高新区", "南桥区", "临山区"];
/// Property, unit, stations of a district, and a usual value.
const KINDS: [(&str, &str, usize, f64); 6] =
    [("rainfall", "mm/h", 3, 4.0), ("water_level", "m", 4, 0.02), ("pressure", "MPa", 4, 0.34), ("flow", "m³/h", 4, 160.0), ("gas", "%LEL", 6, 2.0), ("pm25", "µg/m³", 2, 40.0)];

#[derive(Default)]
struct Count(usize);

impl Sink for Count {
    async fn take(&mut self, output: &EpochOutput) -> Result<(), BoxError> {
        self.0 += output.rows.num_rows();
        Ok(())
    }
}

struct Event {
    second: i64,
    kind: &'static str,
    data: String,
}

/// The readings of a slice of the day.
fn readings(from: i64, times: usize) -> Vec<Event> {
    let mut events = Vec::new();
    for minute in (from..from + SLICE_S).step_by(60) {
        for (number, district) in DISTRICTS.iter().enumerate() {
            for (property, unit, stations, usual) in KINDS {
                for station in 0..stations * times {
                    let tremble = ((minute / 60 + station as i64 * 7) % 11) as f64 / 100.0;
                    let data = format!(
                        r#"{{"datastream":"d{number:02}-{property}-{station:03}","result":{:.3},"unit":"{unit}","property":"{property}","station":"d{number:02}-{property}-{station:03}","district":"{district}","lat":30.61234,"lon":114.30567}}"#,
                        usual * (1.0 + tremble)
                    );
                    events.push(Event { second: minute + (station % 60) as i64, kind: "io.citybrain.sensor.observation.v1", data });
                }
            }
        }
    }
    events.sort_by_key(|event| event.second);
    events
}

/// About 1,400 calls and 600 orders a day.
fn letters(from: i64, orders: bool) -> Vec<Event> {
    let event = |nth: i64| {
        let (second, number) = (from + nth * 60, from / 60 + nth);
        let (district, street) = (DISTRICTS[number as usize % 8], number % 5);
        match orders {
            true => Event {
                second,
                kind: "io.citybrain.workorder.created.v1",
                data: format!(r#"{{"request_id":"wo{number}","category":"道路坑洼","district":"{district}","agency":"市市政道桥处","due":"2026-07-20T00:00:00Z","status":"open"}}"#),
            },
            false => Event {
                second,
                kind: "io.citybrain.hotline.message.v1",
                data: format!(r#"{{"message_id":"m{number}","text":"路灯不亮","caller":"c-{}","category":"路灯故障","district":"{district}","address":"第{street}街{number}号","lat":30.6,"lon":114.3}}"#, number % 500),
            },
        }
    };
    (0..SLICE_S / 60).filter(|nth| !orders || nth % 5 < 2).map(event).collect()
}

fn chunk(topic: &str, first: i64, events: &[Event]) -> Chunk {
    let next = first + events.len() as i64;
    let text = |value: &dyn Fn(&Event) -> Option<String>| -> ArrayRef { Arc::new(events.iter().map(value).collect::<StringArray>()) };
    let times = || -> ArrayRef { Arc::new(TimestampMicrosecondArray::from_iter_values(events.iter().map(|event| (START_S + event.second) * 1_000_000)).with_timezone("UTC")) };
    let columns: Vec<ArrayRef> = vec![
        text(&|_| Some(topic.to_owned())),
        Arc::new(Int32Array::from(vec![0; events.len()])),
        Arc::new(Int64Array::from_iter_values(first..next)),
        times(),
        text(&|_| None),
        text(&|_| None),
        text(&|_| None),
        text(&|event| Some(event.kind.to_owned())),
        text(&|_| None),
        times(),
        times(),
        text(&|_| None),
        text(&|_| None),
        text(&|_| None),
        text(&|event| Some(event.data.clone())),
    ];
    let rows = RecordBatch::try_new(bronze_schema(), columns).expect("columns are those of bronze");
    Chunk { topic: topic.into(), partition: 0, first_offset: first, next_offset: next, rows }
}

/// The chunks of each slice of the day.
fn day(times: usize) -> Vec<Vec<Chunk>> {
    let mut next = [0; 3];
    let mut slice = |from: i64| {
        let topics = [("raw.sensor", readings(from, times)), ("raw.hotline", letters(from, false)), ("raw.workorder", letters(from, true))];
        let chunks = topics.iter().zip(&mut next).map(|((topic, events), next)| {
            let chunk = chunk(topic, *next, events);
            *next = chunk.next_offset;
            chunk
        });
        chunks.collect()
    };
    (0..DAY_S / SLICE_S).map(|number| slice(number * SLICE_S)).collect()
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let times: usize = std::env::args().nth(1).map_or(Ok(1), |times| times.parse())?;
    let day = day(times);
    let events: usize = day.iter().flatten().map(|chunk| chunk.rows.num_rows()).sum();
    println!("{events} events in {} slices", day.len());
    let folder = std::env::temp_dir().join(format!("citybrain-jobs-{}", std::process::id()));
    let now = DateTime::from_timestamp(START_S + DAY_S, 0).unwrap_or_default();
    let mut all = Duration::ZERO;
    let graph = graph::Graph::builtin();
    let views: Vec<_> = graph::VIEWS.iter().filter_map(|name| Some(((*name).to_owned(), graph.view(name)?.to_csv()))).collect();
    for builtin in builtin_jobs() {
        let job = builtin.parse_with(&views)?;
        let topics = job.topics().to_vec();
        let mut runner = Runner::open(job, &folder.join(builtin.name), RunnerConfig::default()).await?;
        let mut sink = Count::default();
        let began = Instant::now();
        for slice in &day {
            for chunk in slice.iter().filter(|chunk| topics.iter().any(|topic| **topic == *chunk.topic)) {
                if let Push::Full(chunk) = runner.push(chunk.clone())? {
                    runner.poll(now, &mut sink).await?;
                    runner.push(chunk)?;
                }
            }
            runner.poll(now, &mut sink).await?;
        }
        runner.close_all(now, &mut sink).await?;
        all += began.elapsed();
        println!("{:<20} {:>7.2} s {:>9} rows", builtin.name, began.elapsed().as_secs_f64(), sink.0);
    }
    println!("{:<20} {:>7.2} s", "all", all.as_secs_f64());
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
