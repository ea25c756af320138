//! A job: one SQL file, checked and planned, with the lookup files that it reads.

use std::fmt::Write;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::engine::snapshot::Shape;
use crate::engine::stages::Stages;
use crate::error::{RunError, SqlError};
use crate::limits::BATCH_ROWS;
use crate::sql::fault::Fault;
use crate::sql::split::Split;
use crate::sql::tables::{Tables, Target};
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
    split: Split,
}

impl Job {
    /// Reads a job from its text. `lookups` are the files that its lookup tables name, as (path as written, text).
    pub fn parse(name: &str, sql: &str, lookups: &[(&str, &str)]) -> Result<Job, SqlError> {
        let find = |path: &str| lookups.iter().find(|file| file.0 == path).map(|file| file.1.to_owned()).ok_or("it is not there".to_owned());
        Job::read(name, sql, find).map_err(|fault| fault.of_job(name))
    }

    /// Reads a job from its file. Its name is the file's; lookup files are found beside it.
    pub fn load(path: &Path) -> Result<Job, RunError> {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let sql = std::fs::read_to_string(path).map_err(RunError::io("read", path))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let find = |file: &str| std::fs::read_to_string(folder.join(file)).map_err(|error| error.to_string());
        Job::read(&name, &sql, find).map_err(|fault| fault.of_job(&name).into())
    }

    fn read(name: &str, sql: &str, find: impl Fn(&str) -> Result<String, String>) -> Result<Job, Fault> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
            return Err(Fault::nowhere(format!("'{name}' is no name for a job")).hint("use up to 64 letters, digits, - and _"));
        }
        let script = script::parse(sql)?;
        let tables = Tables::of(&script)?;
        let marks = refuse::check(&script.insert)?;
        let (mut files, mut lookups) = (Vec::new(), Vec::new());
        for table in &tables.lookups {
            let cannot = |error| Fault::new(table.at, format!("could not read {}: {error}", table.path)).hint("put the file beside the job's");
            let text = find(&table.path).map_err(cannot)?;
            lookups.push(lookup::read(table, &text)?);
            files.push((table.path.clone(), text));
        }
        let split = plan::plan(&script, &tables, &lookups, &marks, &plan::session(1, BATCH_ROWS))?;
        if let (Target::Kafka { latch: Some(_), .. }, None) = (&tables.sink.target, &split.windows) {
            let fault = Fault::new(tables.sink.at, "a latch without a window: the order of records differs from run to run");
            return Err(fault.hint("GROUP BY tumble(ts, INTERVAL '1 minute') and the columns of latch.key"));
        }
        let job = Job { name: name.to_owned(), sql: sql.to_owned(), files, tables, lookups, split };
        // Planned once here, so that what DataFusion refuses is refused before anything runs.
        job.stages().map_err(|error| Fault::planner(script.insert.query_at, &error))?;
        Ok(job)
    }

    fn stages(&self) -> datafusion::error::Result<Stages> {
        Stages::new(&self.tables.source.name, &self.split, 1, BATCH_ROWS)
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

    /// The topics it reads.
    pub fn topics(&self) -> &[String] {
        &self.tables.source.topics
    }

    /// The types of event it reads; others on its topics are passed over.
    pub fn event_types(&self) -> &[String] {
        &self.tables.source.event_types
    }

    /// Where its rows go.
    pub fn target(&self) -> &Target {
        &self.tables.sink.target
    }

    /// The columns of its rows.
    pub fn output_schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.split.output)
    }

    /// The width of its windows in microseconds, if it has windows.
    pub fn window_us(&self) -> Option<i64> {
        self.split.windows.as_ref().map(|windows| windows.width_us)
    }

    /// Whether it gives records one by one to a topic: then each follows from its input record alone, and there is no state.
    pub(crate) fn gives_records(&self) -> bool {
        self.split.windows.is_none() && matches!(self.target(), Target::Kafka { latch: None, .. }) && self.tables.source.watermark.is_none()
    }

    /// Digest of the text and the lookup files: what the output depends on beside the input.
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let files = self.files.iter().flat_map(|(path, text)| [path, text]);
        for part in [&self.name, &self.sql].into_iter().chain(files) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// What the job does, for people: its input, window, state, sink, and DataFusion's plans.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        let mut line = |label: &str, what: &str| writeln!(text, "{label:<8} {what}").expect("text can always be written to memory");
        let source = &self.tables.source;
        line("job", &self.name);
        line("reads", &format!("{}: {}", source.topics.join(", "), source.event_types.join(", ")));
        match source.watermark {
            Some((column, delay_us)) => line("time", &format!("{}, watermark {} behind", source.columns[column].name, duration(delay_us))),
            None => line("time", "no watermark"),
        }
        for (table, rows) in self.tables.lookups.iter().zip(&self.lookups) {
            line("lookup", &format!("{}, {} rows", table.path, rows.num_rows()));
        }
        match &self.split.windows {
            Some(windows) => {
                let keys = if windows.key_names.is_empty() { "all rows together".to_owned() } else { format!("by {}", windows.key_names.join(", ")) };
                line("window", &format!("{}, {keys}", duration(windows.width_us)));
            }
            None => line("window", "none: each record by itself"),
        }
        let stages = self.stages();
        if let Ok(Some(stage)) = stages.as_ref().map(|stages| &stages.windows) {
            line("state", &columns(&stage.state_schema));
        }
        match self.target() {
            Target::Kafka { topic, event_type, key_column, latch } => {
                let key = key_column.as_ref().map(|key| format!(", key {key}")).unwrap_or_default();
                line("writes", &format!("topic {topic}: {event_type}{key}"));
                if let Some(latch) = latch {
                    line("latch", &format!("changes of {} by {}", latch.state, latch.key.join(", ")));
                }
            }
            Target::Delta { schema, table } => line("writes", &format!("table {schema}.{table}")),
        }
        line("columns", &columns(&self.split.output));
        match stages {
            Ok(stages) => text.push_str(&stages.explain()),
            Err(error) => text.push_str(&error.to_string()),
        }
        text.push('\n');
        text
    }

    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(crate) fn split(&self) -> &Split {
        &self.split
    }

    pub(crate) fn shape(&self) -> Shape {
        let latch = match self.target() {
            Target::Kafka { latch: Some(latch), .. } => latch.key.clone(),
            Target::Kafka { latch: None, .. } | Target::Delta { .. } => Vec::new(),
        };
        match &self.split.windows {
            Some(windows) => Shape {
                window: duration(windows.width_us),
                keys: windows.key_names.clone(),
                aggregates: windows.aggregate_names.clone(),
                latch,
            },
            None => Shape { window: "none".to_owned(), keys: Vec::new(), aggregates: Vec::new(), latch },
        }
    }
}

fn columns(schema: &SchemaRef) -> String {
    let columns = schema.fields().iter().map(|field| format!("{} {}", field.name(), types::name(field.data_type())));
    columns.collect::<Vec<_>>().join(", ")
}

fn duration(us: i64) -> String {
    for (unit, length_us) in [("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000)] {
        if us >= length_us && us % length_us == 0 {
            return format!("{} {unit}", us / length_us);
        }
    }
    format!("{us} µs")
}
