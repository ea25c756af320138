//! What the tables of a job are: the stream it reads, the files it looks things up in, and its sink.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::tokenizer::Location;

use crate::chunk::timestamp_type;
use crate::functions::position_type;
use crate::sql::fault::Fault;
use crate::sql::options::Options;
use crate::sql::script::{ColumnDef, Create, Script};
use crate::sql::types;

/// Where a job's rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Events on a topic.
    Kafka {
        /// The topic.
        topic: String,
        /// The type of the events.
        event_type: String,
        /// The column whose value is the record's key.
        key_column: Option<String>,
        /// Lets only changes of a condition through.
        latch: Option<Latch>,
    },
    /// Rows of a Delta table.
    Delta {
        /// The schema, such as `gold`.
        schema: String,
        /// The table.
        table: String,
    },
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

/// The stream.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) topics: Vec<String>,
    pub(crate) event_types: Vec<String>,
    pub(crate) columns: Vec<SourceColumn>,
    /// The column of the event time and how far the watermark stays behind it.
    pub(crate) watermark: Option<(usize, i64)>,
}

#[derive(Debug, Clone)]
pub(crate) struct SourceColumn {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    /// The metadata it is read from; nothing means the event's data.
    pub(crate) metadata: Option<Metadata>,
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
    pub(crate) fn schema(&self) -> SchemaRef {
        let fields = self.columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// A file that is held in memory.
#[derive(Debug, Clone)]
pub(crate) struct LookupTable {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) at: Location,
    pub(crate) schema: SchemaRef,
}

/// The sink and the columns it declares; none means those of the SELECT.
#[derive(Debug, Clone)]
pub(crate) struct SinkTable {
    pub(crate) target: Target,
    pub(crate) at: Location,
    pub(crate) columns: Vec<(String, DataType)>,
    /// Columns that options name, with the place where they do.
    pub(crate) named: Vec<(String, Location)>,
}

/// All tables of a job.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    pub(crate) source: Source,
    pub(crate) lookups: Vec<LookupTable>,
    pub(crate) sink: SinkTable,
}

impl Tables {
    pub(crate) fn of(script: &Script) -> Result<Tables, Fault> {
        let into = &script.insert.into;
        let (mut source, mut lookups, mut sink) = (None, Vec::new(), None);
        for table in &script.tables {
            let mut options = Options::of(table)?;
            let (connector, at) = options.need("connector", "kafka")?;
            match (connector, table.name == *into) {
                ("kafka", false) if source.is_some() => {
                    let fault = Fault::new(table.at, "a second stream").hint("join two streams in two steps: aggregate each in its own job");
                    return Err(fault);
                }
                ("kafka", false) => source = Some(source_table(table, options)?),
                ("filesystem", false) => lookups.push(lookup_table(table, options)?),
                ("kafka", true) => sink = Some(kafka_sink(table, options)?),
                ("delta", true) => sink = Some(delta_sink(table, options)?),
                ("delta", false) => {
                    let fault = Fault::new(at, "a Delta table is written, not read, by a job");
                    return Err(fault.hint(format!("write INSERT INTO {}, or read the topic that it is made from", table.name)));
                }
                (other, reads) => {
                    let allowed = if reads { "kafka or delta" } else { "kafka or filesystem" };
                    return Err(Fault::new(at, format!("connector '{other}'")).hint(format!("write {allowed}")));
                }
            }
        }
        let missing = || Fault::new(script.insert.at, format!("table {into} is not declared"));
        let sink = sink.ok_or_else(|| missing().hint(format!("write CREATE TABLE {into} (...) WITH (connector = 'delta', ...) above")))?;
        let no_source = || Fault::new(script.insert.query_at, "the job reads no stream");
        let source = source.ok_or_else(|| no_source().hint("declare one: CREATE TABLE readings (...) WITH (connector = 'kafka', ...)"))?;
        Ok(Tables { source, lookups, sink })
    }
}

fn source_table(table: &Create, mut options: Options<'_>) -> Result<Source, Fault> {
    let list = |text: &str| text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect::<Vec<_>>();
    let topics = list(options.need("topic", "raw.sensor")?.0);
    let event_types = list(options.need("event.type", "io.citybrain.sensor.observation.v1")?.0);
    if topics.is_empty() || event_types.is_empty() {
        return Err(Fault::new(table.at, format!("table {} names no topic or no event type", table.name)));
    }
    options.only("format", &["json"])?;
    options.only("type", &["source"])?;
    options.take("bootstrap_servers");
    options.finish()?;
    let columns = table.columns.iter().map(source_column).collect::<Result<Vec<_>, _>>()?;
    distinct(table)?;
    if columns.is_empty() {
        return Err(Fault::new(table.at, format!("table {} has no columns", table.name)));
    }
    let watermark = match &table.watermark {
        None => None,
        Some(watermark) => match columns.iter().position(|column| column.name == watermark.column) {
            Some(index) if columns[index].data_type == timestamp_type() => Some((index, watermark.delay_us)),
            Some(_) => return Err(Fault::new(watermark.at, format!("{} is no TIMESTAMP", watermark.column))),
            None => return Err(Fault::new(watermark.at, format!("table {} has no column {}", table.name, watermark.column))),
        },
    };
    Ok(Source { name: table.name.clone(), topics, event_types, columns, watermark })
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
        return Ok(SourceColumn { name: column.name.clone(), data_type: types::plain(&column.sql_type, column.at)?, metadata: None });
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
    Ok(SourceColumn { name: column.name.clone(), data_type: declared, metadata: Some(metadata) })
}

fn lookup_table(table: &Create, mut options: Options<'_>) -> Result<LookupTable, Fault> {
    let (path, at) = options.need("path", "thresholds.csv")?;
    options.only("type", &["lookup"])?;
    options.only("format", &["csv"])?;
    options.finish()?;
    plain_table(table)?;
    distinct(table)?;
    let field = |column: &ColumnDef| Ok(Field::new(&column.name, types::plain(&column.sql_type, column.at)?, true));
    let fields = table.columns.iter().map(field).collect::<Result<Vec<_>, Fault>>()?;
    Ok(LookupTable { name: table.name.clone(), path: path.to_owned(), at, schema: Arc::new(Schema::new(fields)) })
}

fn kafka_sink(table: &Create, mut options: Options<'_>) -> Result<SinkTable, Fault> {
    let topic = options.need("topic", "city.signal")?.0.to_owned();
    let event_type = options.need("event.type", "io.citybrain.city.signal.v1")?.0.to_owned();
    let mut named = Vec::new();
    let mut column = |option: Option<(&str, Location)>| -> Option<String> {
        let (name, at) = option?;
        named.push((name.trim().to_owned(), at));
        Some(name.trim().to_owned())
    };
    let key_column = column(options.take("key"));
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
    options.take("bootstrap_servers");
    options.finish()?;
    plain_table(table)?;
    Ok(SinkTable { target: Target::Kafka { topic, event_type, key_column, latch }, at: table.at, columns: sink_columns(table)?, named })
}

fn delta_sink(table: &Create, mut options: Options<'_>) -> Result<SinkTable, Fault> {
    let (path, at) = options.need("path", "gold.sensor_1m")?;
    options.only("type", &["sink"])?;
    options.only("format", &["parquet"])?;
    options.finish()?;
    plain_table(table)?;
    let plain = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let Some((schema, name)) = path.split_once('.').filter(|(schema, name)| plain(schema) && plain(name)) else {
        return Err(Fault::new(at, format!("path is '{path}'")).hint("write schema and table, as in 'gold.sensor_1m'"));
    };
    let target = Target::Delta { schema: schema.to_owned(), table: name.to_owned() };
    Ok(SinkTable { target, at: table.at, columns: sink_columns(table)?, named: Vec::new() })
}

fn sink_columns(table: &Create) -> Result<Vec<(String, DataType)>, Fault> {
    distinct(table)?;
    table.columns.iter().map(|column| Ok((column.name.clone(), types::any(&column.sql_type, column.at)?))).collect()
}

fn plain_table(table: &Create) -> Result<(), Fault> {
    if let Some(watermark) = &table.watermark {
        return Err(Fault::new(watermark.at, "only the stream that is read has a watermark"));
    }
    match table.columns.iter().find_map(|column| column.metadata.as_ref()) {
        Some((_, at)) => Err(Fault::new(*at, "only the stream that is read has metadata")),
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
