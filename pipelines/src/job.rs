//! A job: one SQL file, checked and planned, with the lookup files that it reads.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use udf_host::Udfs;

use crate::engine::state::Shape;
use crate::engine::steps::StepShape;
use crate::engine::work::Worker;
use crate::error::{RunError, SqlError};
use crate::limits::BATCH_ROWS;
use crate::sql::fault::Fault;
use crate::sql::flow::Flow;
use crate::sql::spread;
use crate::sql::tables::{FileFormat, Location, LookupFrom, LookupTable, Source, Tables, Target};
use crate::sql::{lookup, plan, refuse, script, types};

/// A job that is known to be runnable.
#[derive(Debug, Clone)]
pub struct Job {
    name: String,
    sql: String,
    /// Path as written, and text.
    files: Vec<(String, String)>,
    tables: Tables,
    lookups: Vec<RecordBatch>,
    flow: Flow,
    topics: Vec<String>,
    event_types: Vec<String>,
    udfs: Udfs,
    spread: spread::Spread,
    /// Which slice it is, and of how many.
    slice: Option<(u32, u32)>,
}

/// How a job can be spread over several workers, with results as of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spread {
    /// It keeps no state: each partition can be worked by itself.
    Rows,
    /// Rows are sliced by these keys, and each slice can be worked by itself.
    Keys(Vec<String>),
    /// One worker must see all rows, for this reason.
    One(String),
}

/// A stream that a job reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceInfo<'a> {
    /// The table's name.
    pub name: &'a str,
    /// The cluster; nothing means the one that the process is connected to.
    pub bootstrap: Option<&'a str>,
    /// The topics.
    pub topics: &'a [String],
    /// The types of event that count; none means all records, also those that are no CloudEvents.
    pub event_types: &'a [String],
    /// Whether a first run begins at the end of the topics, not at their beginning.
    pub from_latest: bool,
}

/// Rows that a job looks up elsewhere than in a file beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookupRequest {
    /// Where.
    pub from: LookupFrom,
    /// Which table, as written: `schema.table` or a folder for Delta; the name of a view for the graph.
    pub path: String,
    /// The columns that it declares.
    pub columns: Vec<String>,
}

impl SourceInfo<'_> {
    fn of(source: &Source) -> SourceInfo<'_> {
        SourceInfo {
            name: &source.name,
            bootstrap: source.bootstrap.as_deref(),
            topics: &source.topics,
            event_types: &source.event_types,
            from_latest: source.from_latest,
        }
    }
}

impl Job {
    /// Reads a job from its text. `lookups` are the files that its lookup tables name, as (path as written, text).
    pub fn parse(name: &str, sql: &str, lookups: &[(&str, &str)]) -> Result<Job, SqlError> {
        Job::parse_with(name, sql, lookups, &Udfs::none())
    }

    /// The same for a job that may call user-defined functions. They are the job's own: a clone of the set that another
    /// job has would mix up the rows that fail.
    pub fn parse_with(name: &str, sql: &str, lookups: &[(&str, &str)], udfs: &Udfs) -> Result<Job, SqlError> {
        let find = |path: &str| lookups.iter().find(|file| file.0 == path).map(|file| file.1.to_owned()).ok_or("it is not there".to_owned());
        Job::read(name, sql, find, udfs).map_err(|fault| fault.of_job(name))
    }

    /// Reads a job from its file. Its name is the file's; lookup files are found beside it.
    pub fn load(path: &Path) -> Result<Job, RunError> {
        Job::load_with(path, &[], &Udfs::none())
    }

    /// The same for a job that looks things up elsewhere too: `given` are the rows that it asks for in
    /// [`lookup_requests`](Job::lookup_requests), as (path as written, CSV).
    pub fn load_with(path: &Path, given: &[(String, String)], udfs: &Udfs) -> Result<Job, RunError> {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let sql = std::fs::read_to_string(path).map_err(RunError::io("read", path))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let find = |file: &str| match given.iter().find(|given| given.0 == file) {
            Some((_, text)) => Ok(text.clone()),
            None => std::fs::read_to_string(folder.join(file)).map_err(|error| error.to_string()),
        };
        Job::read(&name, &sql, find, udfs).map_err(|fault| fault.of_job(&name).into())
    }

    /// What a job looks up that is no file beside it: the host reads it and hands it over as CSV with these columns.
    pub fn lookup_requests(name: &str, sql: &str) -> Result<Vec<LookupRequest>, SqlError> {
        let tables = script::parse(sql).and_then(|script| Tables::of(&script)).map_err(|fault| fault.of_job(name))?;
        let elsewhere = tables.lookups.into_iter().filter(|lookup| lookup.from != LookupFrom::File);
        let request = |lookup: LookupTable| LookupRequest {
            from: lookup.from,
            path: lookup.path,
            columns: lookup.schema.fields().iter().map(|field| field.name().clone()).collect(),
        };
        Ok(elsewhere.map(request).collect())
    }

    fn read(name: &str, sql: &str, find: impl Fn(&str) -> Result<String, String>, udfs: &Udfs) -> Result<Job, Fault> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            return Err(Fault::nowhere(format!("'{name}' is no name for a job")).hint("use up to 64 letters, digits, - and _"));
        }
        let script = script::parse(sql)?;
        let tables = Tables::of(&script)?;
        let marks = refuse::check(&script)?;
        let (mut files, mut lookups) = (Vec::new(), Vec::new());
        for table in &tables.lookups {
            let cannot = |error| Fault::new(table.at, format!("could not read {}: {error}", table.path)).hint("put the file beside the job's");
            let text = find(&table.path).map_err(cannot)?;
            lookups.push(lookup::read(table, &text)?);
            files.push((table.path.clone(), text));
        }
        let session = plan::session(1, BATCH_ROWS, udfs);
        let flow = plan::plan(&script, &tables, &lookups, &marks, &session, udfs)?;
        if let (Target::Kafka { latch: Some(_), .. }, false) = (&tables.sink.target, flow.windowed) {
            let fault = Fault::new(tables.sink.at, "a latch without a window: the order of records differs from run to run");
            return Err(fault.hint("GROUP BY tumble(INTERVAL '1 minute') and the columns of latch.key"));
        }
        for source in &tables.sources {
            plan::generated(source, &session)?;
        }
        let topics: BTreeSet<String> = tables.sources.iter().flat_map(|source| &source.topics).cloned().collect();
        let everything = tables.sources.iter().any(|source| source.event_types.is_empty());
        let event_types: BTreeSet<String> = tables.sources.iter().flat_map(|source| &source.event_types).filter(|_| !everything).cloned().collect();
        let (topics, event_types) = (topics.into_iter().collect(), event_types.into_iter().collect());
        let latch = match &tables.sink.target {
            Target::Kafka { latch: Some(latch), .. } => Some(&latch.key[..]),
            _ => None,
        };
        let spread = flow.spread(latch);
        let (name, sql, udfs) = (name.to_owned(), sql.to_owned(), udfs.clone());
        let job = Job { name, sql, files, tables, lookups, flow, topics, event_types, udfs, spread, slice: None };
        // Planned once here, so that what DataFusion refuses is refused before anything runs.
        job.worker().map_err(|error| Fault::planner(script.insert.query_at, &error))?;
        Ok(job)
    }

    fn worker(&self) -> datafusion::error::Result<Worker> {
        Worker::new(self.clone(), 1, BATCH_ROWS)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its text.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The lookup files it reads: path as written, and text.
    pub fn lookup_files(&self) -> &[(String, String)] {
        &self.files
    }

    /// The comment that its file begins with.
    pub fn description(&self) -> String {
        script::leading_comment(&self.sql)
    }

    /// The streams it reads.
    pub fn sources(&self) -> Vec<SourceInfo<'_>> {
        self.tables.sources.iter().map(SourceInfo::of).collect()
    }

    /// The topics it reads, each once.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// The types of event it reads; others on its topics are passed over. None means that every record counts.
    pub fn event_types(&self) -> &[String] {
        &self.event_types
    }

    /// Where its rows go.
    pub fn target(&self) -> &Target {
        &self.tables.sink.target
    }

    /// The columns of its rows.
    pub fn output_schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.flow.output)
    }

    /// Whether it gives records one by one to a topic: then each follows from its input record alone, and there is no state.
    pub(crate) fn gives_records(&self) -> bool {
        self.flow.steps.is_empty()
            && matches!(self.target(), Target::Kafka { latch: None, .. } | Target::Blackhole)
            && self.tables.sources.iter().all(|source| source.watermark.is_none())
    }

    /// Digest of the text and the lookup files: what the output depends on beside the input.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let names: Vec<String> = self.udfs.manifests().iter().map(|manifest| manifest.name.clone()).collect();
        let functions = (!names.is_empty()).then(|| self.udfs.digest(&names));
        let files = self.files.iter().flat_map(|(path, text)| [path, text]);
        for part in [&self.name, &self.sql].into_iter().chain(files).chain(&functions) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// What the job does, for people: its input, windows, state, sink, and DataFusion's plans.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        let mut line = |label: &str, what: &str| writeln!(text, "{label:<8} {what}").expect("text can always be written to memory");
        line("job", &self.name);
        for source in &self.tables.sources {
            let types = if source.event_types.is_empty() { "every record".to_owned() } else { source.event_types.join(", ") };
            line("reads", &format!("{}: {types}", source.topics.join(", ")));
            match &source.watermark {
                Some(watermark) => line("time", &format!("{}, watermark {} behind", watermark.column, duration(watermark.delay_us))),
                None => line("time", "no watermark"),
            }
        }
        for (table, rows) in self.tables.lookups.iter().zip(&self.lookups) {
            line("lookup", &format!("{}, {} rows", table.path, rows.num_rows()));
        }
        let worker = self.worker();
        if self.flow.steps.is_empty() {
            line("window", "none: each record by itself");
        }
        for step in worker.iter().flat_map(|worker| &worker.steps) {
            line("step", &step.label);
            if let Some(state) = step.state_schema() {
                line("state", &columns(&state));
            }
        }
        match self.spread() {
            Spread::Rows => line("spreads", "over partitions"),
            Spread::Keys(names) => line("spreads", &format!("by {}", names.join(", "))),
            Spread::One(why) => line("spreads", &format!("not: {why}")),
        }
        line("writes", &self.target_text());
        if let Target::Kafka { latch: Some(latch), .. } = self.target() {
            line("latch", &format!("changes of {} by {}", latch.state, latch.key.join(", ")));
        }
        line("columns", &columns(&self.flow.output));
        match worker {
            Ok(worker) => worker.explain(&mut text),
            Err(error) => text.push_str(&error.to_string()),
        }
        text
    }

    fn target_text(&self) -> String {
        match self.target() {
            Target::Kafka { topic, event_type, key_column, .. } => {
                let key = key_column.as_ref().map(|key| format!(", key {key}")).unwrap_or_default();
                format!("topic {topic}: {}{key}", event_type.as_deref().unwrap_or("plain JSON"))
            }
            Target::Delta(Location::Lake { schema, table }) => format!("table {schema}.{table}"),
            Target::Delta(Location::Path(path)) => format!("Delta table {path}"),
            Target::Filesystem { path, format: FileFormat::Json } => format!("JSON files in {path}"),
            Target::Filesystem { path, format: FileFormat::Parquet } => format!("Parquet files in {path}"),
            Target::Stdout => "standard output".to_owned(),
            Target::Blackhole => "nothing".to_owned(),
        }
    }

    /// What of the state of an older version this one cannot go on from, in words; nothing when it can take all of it over.
    pub fn loses_state_of(&self, old: &Job) -> Option<String> {
        let shape = old.shape();
        shape.difference(&self.shape(), &vec![1; shape.steps.len()], usize::from(!shape.latch.is_empty()))
    }

    /// How it can be spread over several workers.
    pub fn spread(&self) -> Spread {
        match &self.spread {
            spread::Spread::Rows => Spread::Rows,
            spread::Spread::Keys { names, .. } => Spread::Keys(names.clone()),
            spread::Spread::One { why } => Spread::One(why.clone()),
        }
    }

    /// The part of this job that works one of `of` slices. Its input is what a [`Splitter`](crate::Splitter) gives for that
    /// slice; all slices together give what the whole job would.
    pub fn slice(mut self, slice: u32, of: u32) -> Job {
        assert!(slice < of && self.slice.is_none(), "slices are numbered from 0, and a slice is not cut again");
        assert!(of == 1 || !self.cuts().is_empty(), "a job without keys has one slice");
        let cuts = self.cuts().to_vec();
        self.flow = self.flow.of_slice(&cuts, slice, of);
        self.slice = Some((slice, of));
        self
    }

    pub(crate) fn cuts(&self) -> &[spread::SliceCut] {
        match &self.spread {
            spread::Spread::Keys { cuts, .. } => cuts,
            spread::Spread::Rows | spread::Spread::One { .. } => &[],
        }
    }

    pub(crate) fn sliced(&self) -> Option<(u32, u32)> {
        self.slice
    }

    /// The user-defined functions that it may call.
    pub fn udfs(&self) -> &Udfs {
        &self.udfs
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(crate) fn flow(&self) -> &Flow {
        &self.flow
    }

    pub(crate) fn shape(&self) -> Shape {
        let latch = match self.target() {
            Target::Kafka { latch: Some(latch), .. } => latch.key.clone(),
            _ => Vec::new(),
        };
        Shape { steps: self.flow.steps.iter().map(|step| StepShape::of(&step.kind)).collect(), latch }
    }
}

fn columns(schema: &SchemaRef) -> String {
    let columns = schema.fields().iter().map(|field| format!("{} {}", field.name(), types::name(field.data_type())));
    columns.collect::<Vec<_>>().join(", ")
}

pub(crate) fn duration(us: i64) -> String {
    for (unit, length_us) in [("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000)] {
        if us >= length_us && us % length_us == 0 {
            return format!("{} {unit}", us / length_us);
        }
    }
    format!("{us} µs")
}
