//! Golden days: a log and the rows that a job gives for it, both written by hand in one text file.
//!
//! ```text
//! # Why these rows.
//! @ 2026-07-18T00:00:00Z
//! 00:00:05 sensor.observation {"datastream":"a","result":1.0}
//! 00:00:06 +90s sensor.observation {"datastream":"a","result":2.0}
//! 00:01:00 x60/30s sensor.observation {"datastream":"a","result":2.0}
//! ----
//! {"station":"a","readings":62}
//! ```
//!
//! `@` sets the day that the clock times below belong to; `+90s` is recorded 90 seconds after its time; `x60/30s` comes
//! sixty times, every 30 seconds. Events stand in the log in the order in which they were recorded. `---- so far` in place
//! of `----` asks for the rows before the source ends. Lines from `<< file.csv` to `>>` stand in for a lookup file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::{DateTime, Utc};
use pipelines::{Chunk, Job, Runner, bronze_schema};
use schemas::Registry;
use serde_json::Value;

use super::{Memory, config, push};

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::builtin);

/// One event of the log.
#[derive(Debug, Clone)]
pub struct Event {
    pub topic: String,
    /// The type of the event; nothing for a record that is none.
    pub kind: Option<String>,
    pub time_us: i64,
    pub recorded_us: i64,
    pub data: String,
}

/// A golden file.
#[derive(Debug)]
pub struct Golden {
    job: String,
    lookups: BTreeMap<String, String>,
    events: Vec<Event>,
    /// Whether the source ends behind the last event.
    ends: bool,
    /// The rows as JSON text, sorted.
    pub expected: Vec<String>,
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A job as its file in `jobs/` or in the folder of its pack is now.
pub fn shipped(name: &str) -> Job {
    with_lookups(name, &BTreeMap::new())
}

/// The folder in which a job that ships lies.
fn folder_of(name: &str) -> PathBuf {
    let job = pipelines::builtin_jobs().iter().find(|job| job.name == name).expect("the job ships");
    job.pack.map_or_else(|| folder("jobs"), |pack| folder("../graph/packs").join(pack).join("jobs"))
}

/// A job with other lookup files than those beside it.
fn with_lookups(name: &str, instead: &BTreeMap<String, String>) -> Job {
    let folder = folder_of(name);
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut lookups: BTreeMap<String, String> = super::VIEWS.iter().cloned().collect();
    for entry in std::fs::read_dir(&folder).expect("jobs are there") {
        let file = entry.expect("jobs can be listed").file_name().into_string().expect("names are plain");
        if file.ends_with(".csv") {
            lookups.insert(file.clone(), read(&file));
        }
    }
    lookups.extend(instead.clone());
    let lookups: Vec<(&str, &str)> = lookups.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    Job::parse(name, &read(&format!("{name}.sql")), &lookups).unwrap_or_else(|error| panic!("{error}"))
}

impl Golden {
    /// Reads `tests/city/<name>.txt`.
    pub fn load(name: &str) -> Golden {
        let path = folder("tests/city").join(format!("{name}.txt"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Golden::parse(name, &text).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()))
    }

    /// Reads the text of a golden file.
    pub fn parse(name: &str, text: &str) -> Result<Golden, String> {
        let mut golden = Golden { job: name.to_owned(), lookups: BTreeMap::new(), events: Vec::new(), ends: true, expected: Vec::new() };
        let (mut day_us, mut rows) = (0, false);
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        while let Some((number, line)) = lines.next() {
            let wrong = |problem: String| format!("line {number}: {problem}");
            if let Some(rest) = line.strip_prefix("----") {
                (rows, golden.ends) = (true, rest.trim() != "so far");
            } else if let Some(file) = line.strip_prefix("<< ") {
                let content: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != ">>").collect();
                golden.lookups.insert(file.to_owned(), content.join("\n"));
            } else if let Some(day) = line.strip_prefix("@ ") {
                day_us = DateTime::parse_from_rfc3339(day).map_err(|error| wrong(error.to_string()))?.timestamp_micros();
            } else if rows {
                let row: Value = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
                golden.expected.push(row.to_string());
            } else {
                golden.events.extend(Event::parse(line, day_us).map_err(wrong)?);
            }
        }
        golden.events.sort_by_key(|event| event.recorded_us);
        golden.expected.sort();
        Ok(golden)
    }

    /// The events of some topics, in the order in which they were recorded.
    pub fn events(&self, topics: &[String]) -> Vec<Event> {
        self.events.iter().filter(|event| topics.contains(&event.topic)).cloned().collect()
    }

    /// The job with its lookup files.
    pub fn job(&self) -> Job {
        with_lookups(&self.job, &self.lookups)
    }

    /// The rows that the job gives, `step` events between two polls, as JSON text, sorted.
    pub async fn given(&self, step: usize, lanes: usize) -> Vec<String> {
        let job = self.job();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let topics: BTreeSet<String> = job.topics().iter().cloned().collect();
        let mut runner = Runner::open(job, folder.path(), config(lanes)).await.expect("the job opens");
        let mut sink = Memory::default();
        let now = self.now();
        let events: Vec<&Event> = self.events.iter().filter(|event| topics.contains(&event.topic)).collect();
        // A topic on which nothing ever comes would hold the watermark back.
        events.iter().for_each(|event| runner.assign(&event.topic, 0));
        let mut next = BTreeMap::<&str, i64>::new();
        for step in events.chunks(step) {
            for run in step.chunk_by(|one, other| one.topic == other.topic) {
                let from = next.entry(&run[0].topic).or_default();
                push(&mut runner, chunk(run, *from));
                *from += run.len() as i64;
            }
            runner.poll(now, &mut sink).await.expect("the job runs");
        }
        if self.ends {
            runner.close_all(now, &mut sink).await.expect("the job ends");
        }
        let mut rows: Vec<String> = sink.json().iter().map(Value::to_string).collect();
        rows.sort();
        rows
    }

    /// A wall clock that believes all of the times.
    fn now(&self) -> DateTime<Utc> {
        let latest = self.events.iter().map(|event| event.recorded_us).max().expect("a golden file has events");
        DateTime::from_timestamp_micros(latest).expect("times were parsed from dates")
    }
}

impl Event {
    fn parse(line: &str, day_us: i64) -> Result<Vec<Event>, String> {
        let (head, data) = line.split_at(line.find('{').ok_or("an event has data")?);
        let words: Vec<&str> = head.split_whitespace().collect();
        let [time, how @ .., name] = &words[..] else { return Err("an event begins with its time and its type".to_owned()) };
        let time_us = day_us + clock_us(time).ok_or("a time is hours:minutes:seconds")?;
        let (mut late_us, mut times, mut every_us) = (0, 1, 0);
        for word in how {
            let unknown = || format!("{word} is neither +90s nor x60/30s");
            match (word.strip_prefix('+'), word.strip_prefix('x').and_then(|word| word.split_once('/'))) {
                (Some(late), _) => late_us = seconds_us(late).ok_or_else(unknown)?,
                (_, Some((count, every))) => (times, every_us) = (count.parse().map_err(|_| unknown())?, seconds_us(every).ok_or_else(unknown)?),
                (None, None) => return Err(unknown()),
            }
        }
        let kind = REGISTRY.get(name).ok_or(format!("there is no event type {name}"))?;
        let value: Value = serde_json::from_str(data).map_err(|error| error.to_string())?;
        kind.validate(&value).map_err(|problems| format!("{}: {}", problems[0].path, problems[0].message))?;
        let at = |time_us| Event { topic: kind.topic.clone(), kind: Some(kind.event_type.clone()), time_us, recorded_us: time_us + late_us, data: data.to_owned() };
        Ok((0..times).map(|nth: i64| at(time_us + nth * every_us)).collect())
    }
}

fn seconds_us(text: &str) -> Option<i64> {
    text.strip_suffix('s')?.parse::<i64>().ok().map(|seconds| seconds * 1_000_000)
}

fn clock_us(text: &str) -> Option<i64> {
    let parts: Vec<i64> = text.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hours, minutes, seconds] = parts[..] else { return None };
    Some(((hours * 60 + minutes) * 60 + seconds) * 1_000_000)
}

pub fn chunk(events: &[&Event], from: i64) -> Chunk {
    let count = events.len();
    let to = from + count as i64;
    let text = |value: fn(&Event) -> Option<&str>| -> ArrayRef { Arc::new(events.iter().map(|event| value(event)).collect::<StringArray>()) };
    let nothing = || text(|_| None);
    let times = |time: fn(&Event) -> i64| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from_iter_values(events.iter().map(|event| time(event))).with_timezone("UTC"))
    };
    let columns: Vec<ArrayRef> = vec![
        text(|event| Some(&event.topic)),
        Arc::new(Int32Array::from(vec![0; count])),
        Arc::new(Int64Array::from_iter_values(from..to)),
        times(|event| event.recorded_us),
        nothing(),
        nothing(),
        nothing(),
        text(|event| event.kind.as_deref()),
        nothing(),
        Arc::new(TimestampMicrosecondArray::from_iter(events.iter().map(|event| event.kind.as_ref().map(|_| event.time_us))).with_timezone("UTC")),
        times(|event| event.recorded_us),
        nothing(),
        nothing(),
        nothing(),
        text(|event| Some(&event.data)),
    ];
    let rows = RecordBatch::try_new(bronze_schema(), columns).expect("columns are those of bronze");
    Chunk { topic: events[0].topic.as_str().into(), partition: 0, first_offset: from, next_offset: to, rows }
}
