//! What the tables of a job are: the streams it reads, the files it looks things up in, and its sink.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::Expr as SqlExpr;
use datafusion::sql::sqlparser::tokenizer::Location as SqlLocation;

use crate::chunk::timestamp_type;
use crate::engine::decode::json_field;
use crate::functions::position_type;
use crate::sql::fault::Fault;
use crate::sql::options::Options;
use crate::sql::script::{self, ColumnDef, Create, Script};
use crate::sql::types;

/// Where a job's rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Records of a topic.
    Kafka {
        /// The cluster; nothing means the one that the process is connected to.
        bootstrap: Option<String>,
        /// The topic.
        topic: String,
        /// The type of the events; nothing means plain JSON values that are no CloudEvents.
        event_type: Option<String>,
        /// The column whose value is the record's key.
        key_column: Option<String>,
        /// Lets only changes of a condition through.
        latch: Option<Latch>,
    },
    /// Rows of a Delta table.
    Delta(Location),
    /// Files of a folder, one for each epoch that gives rows.
    Filesystem {
        /// The folder.
        path: String,
        /// How they are written.
        format: FileFormat,
    },
    /// Lines of JSON on standard output.
    Stdout,
    /// Nowhere: for measuring.
    Blackhole,
}

/// Where a Delta table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In the lakehouse, by schema and table.
    Lake {
        /// The schema, such as `gold`.
        schema: String,
        /// The table.
        table: String,
    },
    /// A folder, or a `file://` URL, outside of it.
    Path(String),
}

/// How rows are written to files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// JSON lines.
    Json,
    /// Parquet.
    Parquet,
}

/// Lets only changes through: raised once, cleared once, and again when the level changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latch {
    /// The columns that tell one condition from another.
    pub key: Vec<String>,
    /// The column that says `raised`, `cleared` or, by null, nothing.
    pub state: String,
    /// The column whose change while raised is let through.
    pub level: Option<String>,
}

/// A stream.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) name: String,
    /// The cluster; nothing means the one that the process is connected to.
    pub(crate) bootstrap: Option<String>,
    pub(crate) topics: Vec<String>,
    /// Other types on the topics are passed over; none means that every record counts, also one that is no CloudEvent.
    pub(crate) event_types: Vec<String>,
    /// Whether a first run begins at the end of the topic.
    pub(crate) from_latest: bool,
    pub(crate) format: Format,
    pub(crate) columns: Vec<SourceColumn>,
    /// Columns that are computed from the others.
    pub(crate) generated: Vec<Generated>,
    /// The column of the event time and how far the watermark stays behind it.
    pub(crate) watermark: Option<Watermark>,
}

/// How a record's value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A JSON object, field by field.
    Json,
    /// One column, `value`, with the text as it is.
    Text,
}

/// The event time of a source.
#[derive(Debug, Clone)]
pub(crate) struct Watermark {
    pub(crate) column: String,
    pub(crate) delay_us: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct SourceColumn {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    /// The metadata it is read from; nothing means the event's data.
    pub(crate) metadata: Option<Metadata>,
    /// Whether it holds the JSON text of its field, whatever that is.
    pub(crate) json: bool,
}

/// `GENERATED ALWAYS AS (...)`.
#[derive(Debug, Clone)]
pub(crate) struct Generated {
    pub(crate) name: String,
    pub(crate) at: SqlLocation,
    pub(crate) data_type: DataType,
    pub(crate) expr: SqlExpr,
}

/// What a record says beside its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metadata {
    /// A bronze column.
    Column(&'static str),
    /// Topic, partition and offset together.
    Position,
}

impl Source {
    /// The columns as they are declared, without those that are computed.
    pub(crate) fn read_schema(&self) -> SchemaRef {
        let field = |column: &SourceColumn| match column.json {
            true => json_field(&column.name),
            false => Field::new(&column.name, column.data_type.clone(), true),
        };
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// All columns.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let read = self.columns.iter().map(|column| (&column.name, &column.data_type));
        let computed = self.generated.iter().map(|column| (&column.name, &column.data_type));
        read.chain(computed).map(|(name, data_type)| Field::new(name, data_type.clone(), true)).collect()
    }
}

/// Where the rows of a lookup table come from. They are read once, when the job begins, and are part of what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupFrom {
    /// A CSV beside the job.
    File,
    /// A Delta table.
    Delta,
    /// The event and duty graph.
    Graph,
}

/// A table that is held in memory.
#[derive(Debug, Clone)]
pub(crate) struct LookupTable {
    pub(crate) name: String,
    pub(crate) from: LookupFrom,
    pub(crate) path: String,
    pub(crate) at: SqlLocation,
    pub(crate) schema: SchemaRef,
}

/// The sink and the columns it declares; none means those of the SELECT.
#[derive(Debug, Clone)]
pub(crate) struct SinkTable {
    pub(crate) target: Target,
    pub(crate) at: SqlLocation,
    pub(crate) columns: Vec<(String, DataType)>,
    /// Columns that options name, with the place where they do.
    pub(crate) named: Vec<(String, SqlLocation)>,
}

/// All tables of a job.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    pub(crate) sources: Vec<Source>,
    pub(crate) lookups: Vec<LookupTable>,
    pub(crate) sink: SinkTable,
}

impl Tables {
    pub(crate) fn of(script: &Script) -> Result<Tables, Fault> {
        let into = &script.insert.into;
        let (mut sources, mut lookups, mut sink) = (Vec::new(), Vec::new(), None);
        for table in &script.tables {
            let mut options = Options::of(table)?;
            let (connector, at) = options.need("connector", "kafka")?;
            match (connector, table.name == *into) {
                ("kafka", false) => sources.push(source_table(table, options)?),
                ("filesystem" | "single_file", false) => lookups.push(lookup_table(table, options, LookupFrom::File)?),
                ("delta", false) => lookups.push(lookup_table(table, options, LookupFrom::Delta)?),
                ("graph", false) => lookups.push(lookup_table(table, options, LookupFrom::Graph)?),
                ("kafka", true) => sink = Some(kafka_sink(table, options)?),
                ("delta", true) => sink = Some(delta_sink(table, options)?),
                ("filesystem", true) => sink = Some(file_sink(table, options)?),
                ("stdout" | "preview", true) => sink = Some(plain_sink(table, options, Target::Stdout)?),
                ("blackhole", true) => sink = Some(plain_sink(table, options, Target::Blackhole)?),
                (other, reads) => {
                    let allowed = if reads { "kafka, delta, filesystem, stdout or blackhole" } else { "kafka, filesystem, delta or graph" };
                    return Err(Fault::new(at, format!("connector '{other}'")).hint(format!("write {allowed}")));
                }
            }
        }
        let missing = || Fault::new(script.insert.at, format!("table {into} is not declared"));
        let sink = sink.ok_or_else(|| missing().hint(format!("write CREATE TABLE {into} (...) WITH (connector = 'delta', ...) above")))?;
        if sources.is_empty() {
            let fault = Fault::new(script.insert.query_at, "the job reads no stream");
            return Err(fault.hint("declare one: CREATE TABLE readings (...) WITH (connector = 'kafka', ...)"));
        }
        Ok(Tables { sources, lookups, sink })
    }
}

fn source_table(table: &Create, mut options: Options<'_>) -> Result<Source, Fault> {
    let list = |text: &str| text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect::<Vec<_>>();
    let topics = list(options.need("topic", "raw.sensor")?.0);
    if topics.is_empty() {
        return Err(Fault::new(table.at, format!("table {} names no topic", table.name)));
    }
    let event_types = options.take("event.type").map(|(text, _)| list(text)).unwrap_or_default();
    options.only("type", &["source"])?;
    options.only("source.offset", &["earliest", "latest"])?;
    let from_latest = options.take("source.offset").is_some_and(|(from, _)| from == "latest");
    options.only("format", &["json", "raw_string"])?;
    options.only("json.unstructured", &["true", "false"])?;
    let text = options.take("format").is_some_and(|(format, _)| format == "raw_string");
    let unstructured = options.take("json.unstructured").is_some_and(|(value, _)| value == "true");
    let format = if text || unstructured { Format::Text } else { Format::Json };
    options.only("bad_data", &["drop"])?;
    let bootstrap = options.take("bootstrap_servers").map(|(servers, _)| servers.to_owned());
    options.pass_over(&["source.group_id", "source.group_id_prefix", "source.read_mode", "idle_micros"]);
    let times = (options.take("event_time_field"), options.take("watermark_field"));
    options.finish()?;
    distinct(table)?;
    let (computed, read): (Vec<_>, Vec<_>) = table.columns.iter().partition(|column| column.generated.is_some());
    let columns = read.into_iter().map(source_column).collect::<Result<Vec<_>, _>>()?;
    let generated = computed.into_iter().map(generated_column).collect::<Result<Vec<_>, _>>()?;
    if columns.is_empty() {
        return Err(Fault::new(table.at, format!("table {} has no columns", table.name)));
    }
    if format == Format::Text
        && let Some(column) = columns.iter().find(|column| column.metadata.is_none() && (column.name != "value" || column.data_type != DataType::Utf8))
    {
        let fault = Fault::new(table.at, format!("column {}: a record that is read as text has one column", column.name));
        return Err(fault.hint("declare value TEXT, and take it apart in the SELECT"));
    }
    let mut source = Source { name: table.name.clone(), bootstrap, topics, event_types, from_latest, format, columns, generated, watermark: None };
    let from_options = watermark_of_options(table, times)?;
    if let Some(watermark) = table.watermark.as_ref().or(from_options.as_ref()) {
        match source.fields().iter().find(|field| *field.name() == watermark.column) {
            Some(field) if *field.data_type() == timestamp_type() => {}
            Some(_) => return Err(Fault::new(watermark.at, format!("{} is no TIMESTAMP", watermark.column))),
            None => return Err(Fault::new(watermark.at, format!("table {} has no column {}", table.name, watermark.column))),
        }
        source.watermark = Some(Watermark { column: watermark.column.clone(), delay_us: watermark.delay_us });
    }
    Ok(source)
}

/// The watermark as Arroyo's older options say it: `event_time_field`, and `watermark_field` for a column computed from it.
fn watermark_of_options(table: &Create, (time, watermark): (Option<(&str, SqlLocation)>, Option<(&str, SqlLocation)>)) -> Result<Option<script::Watermark>, Fault> {
    let Some((column, at)) = time.or(watermark) else { return Ok(None) };
    if let Some(declared) = &table.watermark {
        return Err(Fault::new(at, "two watermarks").hint(format!("leave the option out: WATERMARK FOR {} stands among the columns", declared.column)));
    }
    let delay_us = match watermark {
        None => script::DELAY_US,
        Some((field, _)) if field == column => 0,
        Some((field, at)) => {
            let computed = table.columns.iter().find(|column| column.name == field).and_then(|column| column.generated.as_ref());
            let wrong = || Fault::new(at, format!("{field} is not computed as {column} - INTERVAL '...'"));
            let delay = computed.and_then(|(expr, _)| script::delay_us(expr, column));
            delay.ok_or_else(|| wrong().hint(format!("write WATERMARK FOR {column} AS {column} - INTERVAL '30 seconds' among the columns")))?
        }
    };
    Ok(Some(script::Watermark { column: column.to_owned(), at, delay_us }))
}

fn generated_column(column: &ColumnDef) -> Result<Generated, Fault> {
    let (expr, at) = column.generated.clone().expect("the caller chose the columns that are computed");
    Ok(Generated { name: column.name.clone(), at, data_type: types::read(&column.sql_type, column.at)?.0, expr })
}

const METADATA: [(&str, &str, fn() -> DataType); 12] = [
    ("topic", "topic", || DataType::Utf8),
    ("partition", "partition", || DataType::Int32),
    ("offset", "offset", || DataType::Int64),
    ("offset_id", "offset", || DataType::Int64),
    ("key", "key", || DataType::Utf8),
    ("timestamp", "kafka_time", timestamp_type),
    ("ce_id", "ce_id", || DataType::Utf8),
    ("ce_source", "ce_source", || DataType::Utf8),
    ("ce_type", "ce_type", || DataType::Utf8),
    ("ce_subject", "ce_subject", || DataType::Utf8),
    ("ce_time", "ce_time", timestamp_type),
    ("recorded_time", "recorded_time", timestamp_type),
];

fn source_column(column: &ColumnDef) -> Result<SourceColumn, Fault> {
    let Some((name, at)) = &column.metadata else {
        let (data_type, json) = types::read(&column.sql_type, column.at)?;
        return Ok(SourceColumn { name: column.name.clone(), data_type, metadata: None, json });
    };
    let known = METADATA.iter().find(|known| known.0 == name).map(|known| (Metadata::Column(known.1), known.2()));
    let position = (name == "position").then(|| (Metadata::Position, position_type()));
    let Some((metadata, expected)) = known.or(position) else {
        let names: Vec<&str> = METADATA.iter().map(|known| known.0).chain(["position"]).collect();
        return Err(Fault::new(*at, format!("there is no metadata '{name}'")).hint(format!("it is one of {}", names.join(", "))));
    };
    let declared = types::any(&column.sql_type, column.at)?;
    if declared != expected {
        let fault = Fault::new(column.at, format!("metadata '{name}' is {}, not {}", types::name(&expected), types::name(&declared)));
        return Err(fault.hint(format!("write {} {} METADATA FROM '{name}'", column.name, types::name(&expected))));
    }
    Ok(SourceColumn { name: column.name.clone(), data_type: declared, metadata: Some(metadata), json: false })
}

fn lookup_table(table: &Create, mut options: Options<'_>, from: LookupFrom) -> Result<LookupTable, Fault> {
    let (path, at) = options.need("path", "thresholds.csv")?;
    if from == LookupFrom::Delta && options.take("type").is_none_or(|(kind, _)| kind != "lookup") {
        let fault = Fault::new(at, "a Delta table is read as a lookup, as it was when the job began");
        return Err(fault.hint(format!("write type = 'lookup', or INSERT INTO {}, or read the topic that it is made from", table.name)));
    }
    options.only("type", &["lookup"])?;
    options.only("format", &["csv", "parquet"])?;
    options.finish()?;
    plain_table(table)?;
    distinct(table)?;
    let field = |column: &ColumnDef| Ok(Field::new(&column.name, types::read(&column.sql_type, column.at)?.0, true));
    let fields = table.columns.iter().map(field).collect::<Result<Vec<_>, Fault>>()?;
    Ok(LookupTable { name: table.name.clone(), from, path: path.to_owned(), at, schema: Arc::new(Schema::new(fields)) })
}

fn kafka_sink(table: &Create, mut options: Options<'_>) -> Result<SinkTable, Fault> {
    let topic = options.need("topic", "city.signal")?.0.to_owned();
    let event_type = options.take("event.type").map(|(name, _)| name.to_owned());
    let bootstrap = options.take("bootstrap_servers").map(|(servers, _)| servers.to_owned());
    let mut named = Vec::new();
    let mut column = |option: Option<(&str, SqlLocation)>| -> Option<String> {
        let (name, at) = option?;
        named.push((name.trim().to_owned(), at));
        Some(name.trim().to_owned())
    };
    let key_column = column(options.take("key").or(options.take("sink.key_field")));
    let keys = options.take("latch.key");
    let (state, level) = (options.take("latch.state"), options.take("latch.level"));
    let latch = match (keys, state) {
        (None, None) => None,
        (Some((keys, at)), Some(state)) => Some(Latch {
            key: keys.split(',').filter_map(|key| column(Some((key, at)))).collect(),
            state: column(Some(state)).unwrap_or_default(),
            level: column(level),
        }),
        (Some((_, at)), None) | (None, Some((_, at))) => {
            return Err(Fault::new(at, "half a latch").hint("a latch needs both 'latch.key' = 'rule, station' and 'latch.state' = 'state'"));
        }
    };
    options.only("format", &["json"])?;
    options.only("type", &["sink"])?;
    // Exactly once rests on ids here, so both modes of Arroyo are met.
    options.pass_over(&["sink.commit_mode", "sink.timestamp_field"]);
    options.finish()?;
    plain_table(table)?;
    Ok(SinkTable { target: Target::Kafka { bootstrap, topic, event_type, key_column, latch }, at: table.at, columns: sink_columns(table)?, named })
}

/// Options of Arroyo that say how files are cut, named and packed: here an epoch is a file.
const FILE_LAYOUT: [&str; 13] = [
    "parquet_compression", "rollover_seconds", "inactivity_rollover_seconds", "target_file_size", "parquet.compression", "parquet.row_batch_size",
    "parquet.row_group_size", "rolling_policy.file_size", "rolling_policy.interval", "rolling_policy.inactivity_interval", "filename.strategy",
    "filename.prefix", "filename.suffix",
];

fn delta_sink(table: &Create, mut options: Options<'_>) -> Result<SinkTable, Fault> {
    let (path, at) = options.need("path", "gold.sensor_1m")?;
    options.only("type", &["sink"])?;
    options.only("format", &["parquet"])?;
    options.pass_over(&FILE_LAYOUT);
    options.finish()?;
    plain_table(table)?;
    let plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let location = match path.split_once('.').filter(|(schema, name)| plain(schema) && plain(name)) {
        Some((schema, name)) => Location::Lake { schema: schema.to_owned(), table: name.to_owned() },
        None if path.contains('/') && (!path.contains("://") || path.starts_with("file://")) => Location::Path(path.to_owned()),
        None => {
            let hint = "write schema and table, as in 'gold.sensor_1m', or a folder, as in '/data/sensor_1m'";
            return Err(Fault::new(at, format!("path is '{path}'")).hint(hint));
        }
    };
    Ok(SinkTable { target: Target::Delta(location), at: table.at, columns: sink_columns(table)?, named: Vec::new() })
}

fn file_sink(table: &Create, mut options: Options<'_>) -> Result<SinkTable, Fault> {
    let path = options.need("path", "/data/out")?.0.to_owned();
    options.only("type", &["sink"])?;
    options.only("format", &["json", "parquet"])?;
    let format = match options.take("format") {
        Some(("json", _)) => FileFormat::Json,
        _ => FileFormat::Parquet,
    };
    options.pass_over(&FILE_LAYOUT);
    options.finish()?;
    plain_table(table)?;
    let target = Target::Filesystem { path, format };
    Ok(SinkTable { target, at: table.at, columns: sink_columns(table)?, named: Vec::new() })
}

fn plain_sink(table: &Create, mut options: Options<'_>, target: Target) -> Result<SinkTable, Fault> {
    options.only("type", &["sink"])?;
    options.only("format", &["json"])?;
    options.finish()?;
    plain_table(table)?;
    Ok(SinkTable { target, at: table.at, columns: sink_columns(table)?, named: Vec::new() })
}

fn sink_columns(table: &Create) -> Result<Vec<(String, DataType)>, Fault> {
    distinct(table)?;
    table.columns.iter().map(|column| Ok((column.name.clone(), types::any(&column.sql_type, column.at)?))).collect()
}

fn plain_table(table: &Create) -> Result<(), Fault> {
    if let Some(watermark) = &table.watermark {
        return Err(Fault::new(watermark.at, "only a stream that is read has a watermark"));
    }
    match table.columns.iter().find_map(|column| column.metadata.as_ref()) {
        Some((_, at)) => Err(Fault::new(*at, "only a stream that is read has metadata")),
        None => Ok(()),
    }
}

fn distinct(table: &Create) -> Result<(), Fault> {
    for (index, column) in table.columns.iter().enumerate() {
        if table.columns[..index].iter().any(|other| other.name == column.name) {
            return Err(Fault::new(column.at, format!("column {} is already there", column.name)));
        }
    }
    Ok(())
}
