//! How long one day of gas inspections takes when the city has 3.33 million households: read them, keep them, and say who
//! became overdue.
//!
//! `cargo run --release -p pipelines --example gas -- [households]`

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::{DateTime, TimeDelta};
use pipelines::{BoxError, Chunk, EpochOutput, Push, Runner, RunnerConfig, Sink, bronze_schema, builtin_jobs};

const TOPIC: &str = "raw.context";
const DAY_S: i64 = 86_400;
/// 1 January 2026, 00:00 at UTC+8.
const START_S: i64 = 1_767_196_800;
/// Days until 1 July, when the first half year ends.
const HALF_YEAR_DAYS: usize = 181;
/// Days that are measured.
const DAYS: usize = 10;
/// One household of so many is forgotten.
const FORGOTTEN: usize = 20;

#[derive(Default)]
struct Count {
    overdue: usize,
    late: usize,
}

impl Sink for Count {
    async fn take(&mut self, output: &EpochOutput) -> Result<(), BoxError> {
        self.overdue += output.rows.num_rows();
        self.late += output.late.num_rows();
        Ok(())
    }
}

/// A household and the second at which it is inspected.
type Inspection = (usize, i64);

/// The households of a day of the first half year, in the order of the inspections, from eight to six.
fn first_time(day: usize, households: usize) -> Vec<Inspection> {
    let of_day = (day..households).step_by(HALF_YEAR_DAYS);
    let count = of_day.len().max(1) as i64;
    of_day.enumerate().map(|(nth, household)| (household, START_S + day as i64 * DAY_S + 8 * 3600 + nth as i64 * 36_000 / count)).collect()
}

/// Half a year later, and two hours earlier in the day, so that they are in time; some are forgotten.
fn second_time(day: usize, households: usize) -> Vec<Inspection> {
    let later = HALF_YEAR_DAYS as i64 * DAY_S - 2 * 3600;
    let kept = first_time(day, households).into_iter().filter(|(household, _)| (household / HALF_YEAR_DAYS) % FORGOTTEN != 0);
    kept.map(|(household, second)| (household, second + later)).collect()
}

fn chunk(first: i64, inspections: &[Inspection]) -> Chunk {
    let count = inspections.len();
    let next = first + count as i64;
    let text = |value: &dyn Fn(usize) -> Option<String>| -> ArrayRef { Arc::new(inspections.iter().map(|(household, _)| value(*household)).collect::<StringArray>()) };
    let times = || -> ArrayRef { Arc::new(TimestampMicrosecondArray::from_iter_values(inspections.iter().map(|(_, second)| second * 1_000_000)).with_timezone("UTC")) };
    let data = |household: usize| Some(format!(r#"{{"household":"g-{household:07}","result":"passed","supplier":"北岸燃气","district":"北岸区"}}"#));
    let columns: Vec<ArrayRef> = vec![
        text(&|_| Some(TOPIC.to_owned())),
        Arc::new(Int32Array::from(vec![0; count])),
        Arc::new(Int64Array::from_iter_values(first..next)),
        times(),
        text(&|household| Some(format!("g-{household:07}"))),
        text(&|household| Some(household.to_string())),
        text(&|_| Some("/inspections".to_owned())),
        text(&|_| Some("io.citybrain.gas.inspection.v1".to_owned())),
        text(&|_| None),
        times(),
        times(),
        text(&|_| None),
        text(&|_| None),
        text(&|_| None),
        text(&data),
    ];
    let rows = RecordBatch::try_new(bronze_schema(), columns).expect("columns are those of bronze");
    Chunk { topic: TOPIC.into(), partition: 0, first_offset: first, next_offset: next, rows }
}

/// Feeds a day, and says how long the job worked on it.
async fn work_off(runner: &mut Runner, sink: &mut Count, offset: &mut i64, inspections: &[Inspection]) -> Result<Duration, BoxError> {
    let Some((_, last)) = inspections.last() else { return Ok(Duration::ZERO) };
    let now = DateTime::from_timestamp(*last, 0).unwrap_or_default() + TimeDelta::hours(1);
    let chunk = chunk(*offset, inspections);
    *offset = chunk.next_offset;
    let began = Instant::now();
    if let Push::Full(chunk) = runner.push(chunk)? {
        runner.poll(now, sink).await?;
        runner.push(chunk)?;
    }
    runner.poll(now, sink).await?;
    Ok(began.elapsed())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let households: usize = std::env::args().nth(1).map_or(Ok(3_330_000), |count| count.parse())?;
    let folder = std::env::temp_dir().join(format!("citybrain-gas-{}", std::process::id()));
    let job = builtin_jobs().iter().find(|job| job.name == "gas_overdue").ok_or("the job ships")?.parse()?;
    let mut runner = Runner::open(job, &folder, RunnerConfig::default()).await?;
    let (mut sink, mut offset) = (Count::default(), 0);
    let mut loading = Duration::ZERO;
    for day in 0..HALF_YEAR_DAYS {
        loading += work_off(&mut runner, &mut sink, &mut offset, &first_time(day, households)).await?;
    }
    println!("{households} households in {HALF_YEAR_DAYS} days: {:.1} s", loading.as_secs_f64());
    let before = sink.overdue;
    for day in 0..DAYS {
        let inspections = second_time(day, households);
        let overdue = sink.overdue;
        let took = work_off(&mut runner, &mut sink, &mut offset, &inspections).await?;
        println!("day {:>2}: {} inspections, {} overdue, {:.2} s", day + 1, inspections.len(), sink.overdue - overdue, took.as_secs_f64());
    }
    println!("{} overdue in {DAYS} days, {before} before, {} late", sink.overdue - before, sink.late);
    drop(runner);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
