//! Where a job reads and writes: everything that depends on how `pipelines` names sources and targets.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use bus::{Bus, BusConfig, Chunk, Filter, ProducerConfig, Tap, TapConfig, TapReader, TopicSpec};
use lakehouse::{Lake, TableName};
use pipelines::{Job, Location, RunnerStats, Target};
use tracing::info;

use super::figures::Step;
use super::sinks::{DeltaSink, FileSink, JobSink, KafkaSink};
use crate::cli::Invocation;
use crate::progress::Positions;

/// How long Kafka may take to acknowledge a result before the job says that it waits for it.
const SINK_WITHIN: Duration = Duration::from_secs(30);
/// How long the first contact with a Kafka that a file names may take: other jobs wait to be started meanwhile.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// What waits for a reader of the shared tap before it leaves it: half of what would hold the others back.
const ASIDE_BYTES: usize = bus::limits::READER_BYTES / 2;

/// The Kafka that a job's file names for its source and for its sink; none means that of the home.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Servers {
    /// Of the streams that it reads.
    pub source: Option<String>,
    /// Of the topic that it writes.
    pub sink: Option<String>,
}

/// Where a job reads and writes.
///
/// # Errors
/// When it reads from several clusters.
pub fn servers(job: &Job) -> Result<Servers> {
    let sources = job.sources();
    let source = sources.first().and_then(|source| source.bootstrap);
    if let Some(other) = sources.iter().find(|other| other.bootstrap != source) {
        bail!("job {}: {} is on another Kafka than {}: a job reads from one cluster", job.name(), other.name, sources[0].name);
    }
    let sink = match job.target() {
        Target::Kafka { bootstrap, .. } => bootstrap.clone(),
        Target::Delta(_) | Target::Filesystem { .. } | Target::Stdout | Target::Blackhole => None,
    };
    Ok(Servers { source: source.map(str::to_owned), sink })
}

/// Whether a job reads the home's Kafka.
pub fn reads_home(job: &Job) -> bool {
    job.sources().iter().all(|source| source.bootstrap.is_none())
}

/// Whether a job writes to a topic.
pub fn writes_topic(job: &Job) -> bool {
    matches!(job.target(), Target::Kafka { .. })
}

/// Whether a job writes what the brain may read.
pub fn feeds_brain(job: &Job) -> bool {
    matches!(job.target(), Target::Kafka { bootstrap: None, .. })
}

/// Bytes of a state directory.
pub fn state_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.filter_map(|entry| entry.ok()?.metadata().ok()).filter(std::fs::Metadata::is_file).map(|metadata| metadata.len()).sum()
}

/// The steps of a job with what went through them: from its topics, through the steps that keep state, to its sink.
pub fn steps(job: &Job, stats: &RunnerStats) -> Vec<Step> {
    let totals = &stats.totals;
    let source = Step {
        id: "source".to_owned(),
        label: job.topics().join(", "),
        rows_in: totals.rows_in,
        rows_out: totals.rows_in.saturating_sub(totals.rows_late),
        ..Step::default()
    };
    let inner = stats.steps.iter().enumerate().map(|(index, step)| Step {
        id: format!("step{}", index + 1),
        label: step.label.clone(),
        rows_in: step.rows_in,
        rows_out: step.rows_out,
        busy_ms: step.busy.as_millis() as u64,
        state_rows: step.state_rows as u64,
        open_windows: step.open_windows as u64,
        ..Step::default()
    });
    let sink = Step { id: "sink".to_owned(), label: target_name(job), rows_in: totals.rows_out, rows_out: totals.rows_out, ..Step::default() };
    [source].into_iter().chain(inner).chain([sink]).collect()
}

/// Where the rows of a job go, in a word.
pub fn target_name(job: &Job) -> String {
    match job.target() {
        Target::Kafka { topic, .. } => format!("topic {topic}"),
        Target::Delta(Location::Lake { schema, table }) => format!("table {schema}.{table}"),
        Target::Delta(Location::Path(path)) => format!("Delta table {path}"),
        Target::Filesystem { path, .. } => format!("files in {path}"),
        Target::Stdout => "standard output".to_owned(),
        Target::Blackhole => "nowhere".to_owned(),
    }
}

/// Connects to another Kafka than the home's.
///
/// # Errors
/// When nobody answers there.
pub async fn connect(context: &Invocation, servers: &str) -> Result<Bus> {
    let config = BusConfig { connect_timeout: CONNECT_WITHIN, ..BusConfig::new(servers) };
    let config = context.config.kafka_options.iter().fold(config, |config, (key, value)| config.with_option(key, value));
    Ok(Bus::connect(config).await?)
}

/// Opens the sink of a job: its topic, table or folder is made when it is not there. Gives the least time between two
/// epochs, too.
///
/// # Errors
/// When it cannot be made.
pub async fn sink(job: &Job, bus: &Bus, lake: &Lake, app_id: &str, commit_every: Duration) -> Result<(JobSink, Duration)> {
    Ok(match job.target().clone() {
        Target::Kafka { topic, event_type, key_column, .. } => {
            bus.ensure_topics(&[TopicSpec::new(&topic, 1)]).await.with_context(|| format!("could not make the topic {topic}"))?;
            let producer = bus.producer_with(&ProducerConfig { give_up_after: Some(SINK_WITHIN), ..ProducerConfig::prompt() })?;
            let source = format!("citybrain/jobs/{}", job.name());
            (JobSink::Kafka(KafkaSink { producer, source, topic, event_type, key_column }), Duration::ZERO)
        }
        Target::Delta(location) => {
            let (lake, table) = match location {
                Location::Lake { schema, table } => (lake.clone(), TableName::new(schema, table)),
                Location::Path(path) => outside(&path).await?,
            };
            lake.create(&table, job.output_schema()).await?;
            // Another process may have worked this job, or this part of it, before.
            lake.refresh(&table).await?;
            (JobSink::Delta(DeltaSink { lake, table, app_id: app_id.to_owned() }), commit_every)
        }
        Target::Filesystem { path, format } => (JobSink::Files(FileSink::open(local(&path), app_id, format)?), commit_every),
        Target::Stdout => (JobSink::Stdout, Duration::ZERO),
        Target::Blackhole => (JobSink::Blackhole, Duration::ZERO),
    })
}

/// A path, also when it is written as a URL.
fn local(path: &str) -> &Path {
    Path::new(path.strip_prefix("file://").unwrap_or(path))
}

/// A Delta table in a folder of the user's.
pub async fn outside(path: &str) -> Result<(Lake, TableName)> {
    let path = local(path);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        bail!("{} is no place for a table", path.display());
    };
    Ok((Lake::outside(folder).await?, TableName::new("", name)))
}

/// A reader of one job, on the tap that all share or on one of its own.
///
/// The shared tap fetches each partition once for everybody, so who reads slowly, stands still or begins far back holds
/// the others up. Such a reader is put on a tap of its own.
pub struct Source {
    bus: Bus,
    name: String,
    filter: Filter,
    tap: Arc<Tap>,
    /// Whether others read from its tap, and it should rather leave than hold them up.
    shared: bool,
    /// Whether the tap ends with it.
    owns_tap: bool,
    reader: Option<TapReader>,
}

impl Source {
    /// A reader from `start` on; the partitions that are not named there begin at their beginning.
    ///
    /// # Errors
    /// When a tap cannot be started.
    pub fn open(bus: &Bus, shared: Option<Arc<Tap>>, job: &str, topics: &[String], start: Positions) -> Result<Source> {
        let (filter, name) = (Filter::topics(topics.to_vec()), format!("job {job}"));
        let (tap, shared) = match shared {
            Some(tap) => (tap, true),
            None => (Arc::new(Tap::start(bus.clone(), TapConfig::default())?), false),
        };
        let reader = Some(tap.reader(&name, filter.clone(), start)?);
        Ok(Source { bus: bus.clone(), name, filter, tap, shared, owns_tap: !shared, reader })
    }

    /// A reader of one partition, on a tap whose other readers it does not hold up by being slow.
    ///
    /// # Errors
    /// When the tap was stopped.
    pub fn of_partition(bus: &Bus, tap: &Arc<Tap>, job: &str, topic: &str, partition: i32, start: Positions) -> Result<Source> {
        let (filter, name) = (Filter::partition(topic, partition), format!("job {job} {topic}/{partition}"));
        let reader = Some(tap.reader(&name, filter.clone(), start)?);
        Ok(Source { bus: bus.clone(), name, filter, tap: Arc::clone(tap), shared: false, owns_tap: false, reader })
    }

    /// The next chunk; never, while it stands aside; nothing when the tap was stopped.
    pub async fn recv(&mut self) -> Option<Arc<Chunk>> {
        match &mut self.reader {
            Some(reader) => reader.recv().await,
            None => std::future::pending().await,
        }
    }

    /// The next chunk if one waits.
    pub fn try_recv(&mut self) -> Option<Arc<Chunk>> {
        self.reader.as_mut()?.try_recv()
    }

    /// Whether so much waits on the shared tap that it had better leave.
    pub fn falls_behind(&self) -> bool {
        self.shared && self.reader.as_ref().is_some_and(|reader| reader.waiting_bytes() >= ASIDE_BYTES)
    }

    /// Leaves the shared tap, when it is on that, so that nobody waits for it.
    pub fn step_aside(&mut self) {
        if self.shared {
            info!(reader = self.name, "reads on a tap of its own from now on");
            self.reader = None;
            (self.shared, self.owns_tap) = (false, true);
        }
    }

    /// Whether it has left the shared tap and reads nothing.
    pub fn is_aside(&self) -> bool {
        self.reader.is_none()
    }

    /// Goes on from `start` on a tap of its own.
    ///
    /// # Errors
    /// When the tap cannot be started.
    pub fn return_to(&mut self, start: Positions) -> Result<()> {
        self.tap = Arc::new(Tap::start(self.bus.clone(), TapConfig::default())?);
        self.reader = Some(self.tap.reader(&self.name, self.filter.clone(), start)?);
        Ok(())
    }

    /// Where its partitions end, as far as that was heard.
    pub async fn ends(&self) -> Positions {
        if self.reader.is_none() {
            return self.bus.ends(&self.filter).await.unwrap_or_default();
        }
        let lags = self.tap.lags().await.into_iter().filter(|lag| *lag.reader == *self.name);
        lags.map(|lag| ((lag.topic.to_string(), lag.partition), lag.high_watermark)).collect()
    }

    /// Whether Kafka answers.
    pub async fn is_reachable(&self) -> bool {
        self.bus.ends(&self.filter).await.is_ok()
    }

    /// Ends the reader, and its tap when it has one of its own.
    pub async fn close(self) {
        drop(self.reader);
        if self.owns_tap {
            self.tap.stop().await;
        }
    }
}

/// The first offset that is there and the next one to be written, for each partition that a job reads.
///
/// # Errors
/// When a topic is not there, or Kafka does not answer.
pub async fn watermarks(job: &Job, bus: &Bus) -> Result<BTreeMap<(String, i32), (i64, i64)>> {
    let mut all = BTreeMap::new();
    for topic in job.topics() {
        let ends = bus.watermarks(topic).await.with_context(|| format!("job {} cannot read {topic}", job.name()))?;
        all.extend(ends.into_iter().map(|(partition, ends)| ((topic.clone(), partition), ends)));
    }
    if all.is_empty() {
        bail!("job {}: its topics have no partitions", job.name());
    }
    Ok(all)
}

/// A chunk as the engine takes it, without what lies at and after `until`; nothing when all of it does.
pub fn chunk(chunk: &Chunk, until: Option<i64>) -> Option<pipelines::Chunk> {
    let until = until.unwrap_or(i64::MAX);
    if chunk.first_offset >= until {
        return None;
    }
    let rows = match chunk.next_offset <= until {
        true => chunk.rows.clone(),
        false => before(&chunk.rows, until),
    };
    let next_offset = chunk.next_offset.min(until);
    Some(pipelines::Chunk { topic: Arc::clone(&chunk.topic), partition: chunk.partition, first_offset: chunk.first_offset, next_offset, rows })
}

fn before(rows: &RecordBatch, until: i64) -> RecordBatch {
    let offsets = rows.column_by_name("offset").and_then(|column| column.as_primitive_opt::<Int64Type>());
    let count = offsets.map_or(rows.num_rows(), |offsets| offsets.values().partition_point(|offset| *offset < until));
    rows.slice(0, count)
}

/// When the last record of a chunk was written, µs.
pub fn written_us(rows: &RecordBatch) -> Option<i64> {
    let times = rows.column_by_name("kafka_time")?.as_primitive_opt::<TimestampMicrosecondType>()?;
    let last = times.len().checked_sub(1)?;
    times.is_valid(last).then(|| times.value(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(source: &str, sink: &str) -> Job {
        let sql = format!(
            "CREATE TABLE readings (station TEXT) WITH (connector = 'kafka', topic = 'raw.sensor', format = 'json' {source});
             CREATE TABLE busy WITH (connector = 'kafka', topic = 'city.busy', format = 'json' {sink});
             INSERT INTO busy SELECT station FROM readings"
        );
        Job::parse("busy", &sql, &[]).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn servers_belong_to_their_table() {
        assert_eq!(servers(&job("", "")).unwrap(), Servers::default());
        let named = job(", bootstrap_servers = 'one:9092'", ", bootstrap_servers = 'two:9092,three:9092'");
        assert_eq!(servers(&named).unwrap(), Servers { source: Some("one:9092".into()), sink: Some("two:9092,three:9092".into()) });
        assert!(!feeds_brain(&named) && !reads_home(&named));
        let sink_only = job("", ", bootstrap_servers = 'two:9092'");
        assert!(reads_home(&sink_only) && !feeds_brain(&sink_only));
    }

    #[test]
    fn a_chunk_ends_where_it_is_told_to() {
        let mut builder = bus::ChunkBuilder::new("t".into(), 0, 4);
        for offset in [3, 5, 9] {
            let headers: [(&str, Option<&[u8]>); 0] = [];
            builder.push(bus::Raw { offset, timestamp_ms: Some(1_000 + offset), key: None, headers: headers.into_iter(), value: Some(b"{}") });
        }
        let read = builder.finish(20).unwrap();
        let ends = |until| chunk(&read, until).map(|chunk| (chunk.next_offset, chunk.rows.num_rows()));
        assert_eq!(ends(None), Some((10, 3)));
        assert_eq!(ends(Some(10)), Some((10, 3)));
        assert_eq!(ends(Some(8)), Some((8, 2)), "a gap before the end belongs to what was read");
        assert_eq!(ends(Some(3)), None);
        assert_eq!(written_us(&read.rows), Some(1_009_000));
    }
}
