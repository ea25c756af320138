//! What the streaming jobs find in rehearsals: the jobs that ship, over all of them in one run.
//!
//! Rehearsals follow one another in the time of the jobs, days apart and each with stations of its own, so that none sees
//! another; what is found is given back in the time of its rehearsal.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::{DateTime, TimeDelta, Utc};
use graph::Graph;
use pipelines::{BoxError, BuiltinJob, Chunk, EpochOutput, Job, LookupFrom, Push, Runner, RunnerConfig, Sink, bronze_schema, builtin_jobs, rows_to_json};
use rehearsal::{Found, Recording, Script};
use schemas::position::Position;
use schemas::signal::Signal;
use serde_json::{Map, Value, json};

/// The jobs whose findings the brain hears of.
const JOBS: [&str; 5] = ["alarms", "no_signal", "precursors", "thresholds", "trends"];
/// Readings that are given to the jobs at a time.
const CHUNK_ROWS: usize = 50_000;
/// Whole days between two rehearsals: longer than any window of the jobs.
const APART: TimeDelta = TimeDelta::days(2);
const TOPIC: &str = "raw.sensor";

/// What is found in each rehearsal, in the order of time. `folder` is for the jobs' state.
///
/// # Errors
/// When a job does not run.
pub async fn signals(graph: &Graph, played: &[(&Script, &Recording)], folder: &Path) -> Result<Vec<Vec<Found>>> {
    let slots = slots(played);
    let end = slots.last().map_or(DateTime::UNIX_EPOCH, |slot| slot.end);
    let mut runners = Vec::new();
    for builtin in builtin_jobs().iter().filter(|job| JOBS.contains(&job.name)) {
        let mut runner = Runner::open(job(builtin, graph)?, &folder.join(builtin.name), RunnerConfig::default()).await?;
        runner.assign(TOPIC, 0);
        runners.push(runner);
    }
    let mut sink = Rows::default();
    for chunk in Chunks::new(graph, played, &slots) {
        for runner in &mut runners {
            let mut left = Some(chunk.clone());
            while let Some(chunk) = left.take() {
                if let Push::Full(again) = runner.push(chunk)? {
                    left = Some(again);
                }
                runner.poll(end, &mut sink).await?;
            }
        }
    }
    for runner in &mut runners {
        runner.close_all(end, &mut sink).await?;
    }
    let mut found: Vec<Vec<Found>> = vec![Vec::new(); played.len()];
    for (at, row) in sink.0 {
        let (number, it) = given_back(&slots, at, row)?;
        found[number].push(it);
    }
    found.iter_mut().for_each(|found| found.sort_by(|a, b| (a.at, &a.signal.rule, &a.signal.station).cmp(&(b.at, &b.signal.rule, &b.signal.station))));
    Ok(found)
}

/// Where a rehearsal lies in the time of the jobs, and on their topic.
struct Slot {
    /// From its own time to that of the jobs: whole days, so that windows are cut alike.
    shift: TimeDelta,
    end: DateTime<Utc>,
    first_offset: i64,
}

fn slots(played: &[(&Script, &Recording)]) -> Vec<Slot> {
    let (mut free, mut first_offset) = (DateTime::UNIX_EPOCH + TimeDelta::days(10_000), 0);
    let mut slots = Vec::new();
    for (_, recording) in played {
        let first = recording.readings.first().map_or(free, |reading| reading.at);
        let last = recording.readings.last().map_or(free, |reading| reading.at);
        let shift = TimeDelta::days((free - first).num_days() + 1);
        let end = last + shift;
        slots.push(Slot { shift, end: end + TimeDelta::days(1), first_offset });
        free = end + APART;
        first_offset += recording.readings.len() as i64;
    }
    slots
}

/// A job that ships, with what it looks up in the graph.
fn job(builtin: &BuiltinJob, graph: &Graph) -> Result<Job> {
    let requests = Job::lookup_requests(builtin.name, builtin.sql)?;
    let of_graph = requests.into_iter().filter(|request| request.from == LookupFrom::Graph);
    let given: Vec<(String, String)> = of_graph.filter_map(|request| Some((request.path.clone(), graph.view(&request.path)?.to_csv()))).collect();
    builtin.parse_with(&given).with_context(|| format!("could not read the job {}", builtin.name))
}

/// The readings of all rehearsals, in pieces.
struct Chunks<'a> {
    played: &'a [(&'a Script, &'a Recording)],
    slots: &'a [Slot],
    /// What stands in each reading of a sensor: the JSON before and after the value.
    sensors: Vec<Vec<(String, String)>>,
    /// The rehearsal and its reading that come next.
    next: (usize, usize),
}

impl<'a> Chunks<'a> {
    fn new(graph: &Graph, played: &'a [(&'a Script, &'a Recording)], slots: &'a [Slot]) -> Chunks<'a> {
        let sensors = played.iter().enumerate().map(|(number, (script, _))| sensors(graph, script, number)).collect();
        Chunks { played, slots, sensors, next: (0, 0) }
    }
}

fn sensors(graph: &Graph, script: &Script, number: usize) -> Vec<(String, String)> {
    let sensor = |sensor: &rehearsal::Sensor| {
        let place = script.place(&sensor.place);
        let station = format!("{number}/{}", sensor.id);
        let data = json!({
            "datastream": format!("{station}/{}", sensor.property), "result": "?", "unit": sensor.unit, "property": sensor.property, "station": station,
            "district": rehearsal::district_name(graph, &place.district), "lat": place.at.lat, "lon": place.at.lon,
        });
        let data = data.to_string();
        let (before, after) = data.split_once("\"?\"").expect("the value's place was just written");
        (before.to_owned(), after.to_owned())
    };
    script.sensors.iter().map(sensor).collect()
}

impl Iterator for Chunks<'_> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        let (mut times, mut data) = (Vec::new(), Vec::new());
        let first = self.slots.get(self.next.0)?.first_offset + self.next.1 as i64;
        while let Some((_, recording)) = self.played.get(self.next.0).filter(|_| times.len() < CHUNK_ROWS) {
            let Some(reading) = recording.readings.get(self.next.1) else {
                self.next = (self.next.0 + 1, 0);
                continue;
            };
            let (before, after) = &self.sensors[self.next.0][reading.sensor];
            times.push((reading.at + self.slots[self.next.0].shift).timestamp_micros());
            data.push(format!("{before}{}{after}", reading.value));
            self.next.1 += 1;
        }
        (!times.is_empty()).then(|| chunk(first, times, data))
    }
}

fn chunk(first: i64, times: Vec<i64>, data: Vec<String>) -> Chunk {
    let count = times.len();
    let next = first + count as i64;
    let same = |text: Option<&str>| -> ArrayRef { Arc::new(StringArray::from(vec![text; count])) };
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"));
    let columns: Vec<ArrayRef> = vec![
        same(Some(TOPIC)),
        Arc::new(Int32Array::from(vec![0; count])),
        Arc::new(Int64Array::from_iter_values(first..next)),
        Arc::clone(&times),
        same(None),
        same(None),
        same(Some("rehearsal")),
        same(Some("io.citybrain.sensor.observation.v1")),
        same(None),
        Arc::clone(&times),
        times,
        same(None),
        same(None),
        same(None),
        Arc::new(StringArray::from(data)),
    ];
    let rows = RecordBatch::try_new(bronze_schema(), columns).expect("columns are those of bronze");
    Chunk { topic: TOPIC.into(), partition: 0, first_offset: first, next_offset: next, rows }
}

/// Rows as jobs give them.
#[derive(Default)]
struct Rows(Vec<(Option<DateTime<Utc>>, Map<String, Value>)>);

impl Sink for Rows {
    async fn take(&mut self, output: &EpochOutput) -> Result<(), BoxError> {
        self.0.extend(output.times.iter().copied().zip(rows_to_json(&output.rows)));
        Ok(())
    }
}

/// A finding in the time and by the names of its rehearsal.
fn given_back(slots: &[Slot], at: Option<DateTime<Utc>>, row: Map<String, Value>) -> Result<(usize, Found)> {
    let mut signal: Signal = serde_json::from_value(Value::Object(row)).context("a job gave what is no signal")?;
    let station = signal.station.as_deref().and_then(|station| station.split_once('/'));
    let (number, station) = station.and_then(|(number, station)| Some((number.parse::<usize>().ok()?, station.to_owned()))).context("a signal without a station")?;
    let Slot { shift, first_offset, .. } = &slots[number];
    let back = |time: DateTime<Utc>| time - *shift;
    signal.station = Some(station);
    signal.window_start = signal.window_start.map(back);
    signal.window_end = signal.window_end.map(back);
    signal.expected = signal.expected.map(back);
    for Position { offset, .. } in &mut signal.evidence {
        *offset -= first_offset;
    }
    let at = back(at.context("a signal without a time")?);
    Ok((number, Found { at, signal }))
}
