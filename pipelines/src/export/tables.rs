//! `CREATE TABLE` in Arroyo's words, and the relays that carry records to them and from them.

use datafusion::sql::sqlparser::ast::{DataType as SqlType, Expr};

use crate::export::ArroyoPlace;
use crate::export::query::{Called, plain_ident, rewritten_expr};
use crate::job::Job;
use crate::sql::fault::Fault;
use crate::sql::script::{ColumnDef, Create};
use crate::sql::tables::{FileFormat, Format, Location, Metadata, Source, SourceColumn, Target};
use crate::sql::types;

/// A job without state that runs here.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) name: String,
    pub(crate) sql: String,
    /// The topic between it and Arroyo.
    pub(crate) topic: String,
}

/// A name as SQL writes it; the words that end a column's name are quoted as well.
pub(crate) fn name(name: &str) -> String {
    match ["end", "offset", "user", "order", "group", "from", "to", "at", "day", "timestamp"].contains(&name) {
        true => format!("\"{name}\""),
        false => plain_ident(name).to_string(),
    }
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// `CREATE TABLE` with these columns and options.
fn create(table: &str, columns: &[String], options: &[(&str, &str)]) -> String {
    let option = |(key, value): &(&str, &str)| {
        let key = if key.contains('.') { text(key) } else { (*key).to_owned() };
        format!("    {key} = {}", text(value))
    };
    let options: Vec<String> = options.iter().map(option).collect();
    let columns = match columns.is_empty() {
        true => String::new(),
        false => format!(" (\n{}\n)", columns.iter().map(|column| format!("    {column}")).collect::<Vec<_>>().join(",\n")),
    };
    format!("CREATE TABLE {}{columns} WITH (\n{}\n)", name(table), options.join(",\n"))
}

/// A stream that is read, and the relay that it needs.
pub(crate) fn source(job: &Job, table: &Create, source: &Source, place: &ArroyoPlace, called: &mut Called) -> Result<(String, Option<Relay>), Fault> {
    let relay = (!is_read_by_arroyo(table, source)).then(|| relay_in(job, table, source)).transpose()?;
    let topic = relay.as_ref().map_or(source.topics[0].as_str(), |relay| relay.topic.as_str());
    let mut columns = Vec::new();
    for column in &table.columns {
        columns.push(arroyo_column(job, column, source, relay.is_some(), called)?);
    }
    if let Some(watermark) = &source.watermark {
        let column = name(&watermark.column);
        columns.push(match watermark.delay_us {
            0 => format!("WATERMARK FOR {column} AS {column}"),
            delay_us => format!("WATERMARK FOR {column} AS {column} - INTERVAL '{}'", interval(delay_us)),
        });
    }
    let bootstrap = source.bootstrap.as_deref().unwrap_or(&place.bootstrap_servers);
    let format = if relay.is_none() && source.format == Format::Text { "raw_string" } else { "json" };
    let offset = if relay.is_none() && source.from_latest { "latest" } else { "earliest" };
    let options = [
        ("connector", "kafka"),
        ("type", "source"),
        ("bootstrap_servers", bootstrap),
        ("topic", topic),
        ("format", format),
        ("bad_data", "drop"),
        ("source.offset", offset),
    ];
    Ok((create(&table.name, &columns, &options), relay))
}

/// Whether Arroyo can read the topic itself: all that is asked for stands in values and positions of one topic.
fn is_read_by_arroyo(table: &Create, source: &Source) -> bool {
    let known = |column: &SourceColumn| match column.metadata {
        None => true,
        Some(Metadata::Column(bronze)) => ["topic", "partition", "offset"].contains(&bronze),
        Some(Metadata::Position) => false,
    };
    let unstructured = table.options.iter().any(|option| option.name == "json.unstructured");
    source.topics.len() == 1 && source.event_types.is_empty() && !unstructured && source.columns.iter().all(known)
}

fn arroyo_column(job: &Job, column: &ColumnDef, source: &Source, relayed: bool, called: &mut Called) -> Result<String, Fault> {
    let declared = match &column.sql_type {
        // The relay writes the JSON text of a field as text.
        SqlType::JSON | SqlType::JSONB if relayed => "TEXT".to_owned(),
        SqlType::JSON | SqlType::JSONB => "JSON".to_owned(),
        other => arroyo_type(other, column)?,
    };
    let column_name = name(&column.name);
    if let Some((expr, _)) = &column.generated {
        let expr = rewritten_expr(expr, job, called)?;
        let expr = if matches!(expr, Expr::Nested(_)) { expr.to_string() } else { format!("({expr})") };
        return Ok(format!("{column_name} {declared} GENERATED ALWAYS AS {expr} STORED"));
    }
    let read = source.columns.iter().find(|read| read.name == column.name);
    match read.and_then(|read| read.metadata) {
        Some(Metadata::Column(bronze)) if !relayed => {
            let key = if bronze == "offset" { "offset_id" } else { bronze };
            Ok(format!("{column_name} {declared} METADATA FROM '{key}'"))
        }
        _ => Ok(format!("{column_name} {declared}")),
    }
}

fn arroyo_type(sql: &SqlType, column: &ColumnDef) -> Result<String, Fault> {
    types::any(sql, column.at).map(|data_type| types::arroyo(&data_type))
}

/// A job that turns what Arroyo cannot read into fields of plain JSON.
fn relay_in(job: &Job, table: &Create, source: &Source) -> Result<Relay, Fault> {
    let (relay, topic) = (relay_name(job, "in", &table.name)?, topic_name(job, &table.name));
    let read: Vec<&ColumnDef> = table.columns.iter().filter(|column| column.generated.is_none()).collect();
    let mut columns: Vec<String> = Vec::new();
    for column in &read {
        let metadata = column.metadata.as_ref().map(|(key, _)| format!(" METADATA FROM {}", text(key))).unwrap_or_default();
        columns.push(format!("{} {}{metadata}", name(&column.name), column.sql_type));
    }
    // Records keep their keys, so that those of a key stay in order.
    let known_key = read.iter().find(|column| column.metadata.as_ref().is_some_and(|(key, _)| key == "key"));
    let key = known_key.map_or("record_key", |column| column.name.as_str());
    if known_key.is_none() {
        columns.push(format!("{key} TEXT METADATA FROM 'key'"));
    }
    let types = source.event_types.join(", ");
    let topics = source.topics.join(", ");
    let offset = if source.from_latest { "latest" } else { "earliest" };
    let format = if source.format == Format::Text { "raw_string" } else { "json" };
    let mut options = vec![("connector", "kafka"), ("topic", topics.as_str()), ("format", format), ("source.offset", offset)];
    if !types.is_empty() {
        options.push(("event.type", &types));
    }
    let mut written = vec![("connector", "kafka"), ("topic", topic.as_str()), ("format", "json"), ("key", key)];
    if let Some(servers) = &source.bootstrap {
        options.push(("bootstrap_servers", servers));
        written.push(("bootstrap_servers", servers));
    }
    let names: Vec<String> = read.iter().map(|column| name(&column.name)).chain(known_key.is_none().then(|| key.to_owned())).collect();
    let sql = format!(
        "-- Carries what job {} on Arroyo reads of {} from {topics} to {topic}: Arroyo reads no headers, so they become fields.\n\n{};\n\n{};\n\nINSERT INTO relayed\nSELECT {} FROM {};\n",
        job.name(),
        table.name,
        create(&table.name, &columns, &options),
        create("relayed", &[], &written),
        names.join(", "),
        name(&table.name)
    );
    Ok(Relay { name: relay, sql, topic })
}

/// The sink, and the relay that makes events of its records with the topic that they go to.
pub(crate) fn sink(job: &Job, table: &Create, place: &ArroyoPlace) -> Result<(String, Option<(Relay, String)>), Fault> {
    let columns = sink_columns(job);
    let declared = columns.clone().unwrap_or_default();
    match job.target() {
        Target::Kafka { bootstrap, topic, event_type, key_column, .. } => {
            let relay = event_type.as_ref().map(|_| relay_out(job, table, columns)).transpose()?;
            let servers = bootstrap.as_deref().unwrap_or(&place.bootstrap_servers);
            let to = relay.as_ref().map_or(topic.as_str(), |relay| relay.topic.as_str());
            let mut options =
                vec![("connector", "kafka"), ("type", "sink"), ("bootstrap_servers", servers), ("topic", to), ("format", "json"), ("sink.commit_mode", "exactly_once")];
            if let Some(key) = key_column {
                options.push(("sink.key_field", key));
            }
            Ok((create(&table.name, &declared, &options), relay.map(|relay| (relay, topic.clone()))))
        }
        Target::Delta(location) => {
            let path = match location {
                Location::Path(folder) => folder.clone(),
                Location::Lake { schema, table: lake_table } => {
                    let missing = || Fault::new(table.at, format!("table {schema}.{lake_table} lies in the lakehouse of this home"));
                    let lake = place.lake.as_deref().ok_or_else(|| missing().hint("say where Arroyo finds a lakehouse: --lake s3://bucket/lake"))?;
                    format!("{}/{schema}/{lake_table}", lake.trim_end_matches('/'))
                }
            };
            Ok((create(&table.name, &declared, &[("connector", "delta"), ("type", "sink"), ("path", &path), ("format", "parquet")]), None))
        }
        Target::Filesystem { path: folder, format } => {
            let format = match format {
                FileFormat::Json => "json",
                FileFormat::Parquet => "parquet",
            };
            Ok((create(&table.name, &declared, &[("connector", "filesystem"), ("type", "sink"), ("path", folder), ("format", format)]), None))
        }
        Target::Stdout => Ok((create(&table.name, &declared, &[("connector", "stdout"), ("format", "json")]), None)),
        Target::Blackhole => Ok((create(&table.name, &declared, &[("connector", "blackhole")]), None)),
    }
}

/// The sink's columns; nothing when one of them has a type that SQL cannot write, so that they are those of the SELECT.
fn sink_columns(job: &Job) -> Option<Vec<String>> {
    let schema = job.output_schema();
    let column = |field: &arrow::datatypes::Field| Some(format!("{} {}", name(field.name()), types::written(field.data_type())?));
    schema.fields().iter().map(|field| column(field)).collect()
}

/// A job that makes events of the rows that Arroyo gives.
fn relay_out(job: &Job, table: &Create, columns: Option<Vec<String>>) -> Result<Relay, Fault> {
    let columns = columns.ok_or_else(|| Fault::new(table.at, "a sink whose columns have no types that can be read back").hint("declare the sink's columns"))?;
    let Target::Kafka { bootstrap, topic: to, event_type, key_column, .. } = job.target() else { unreachable!("the caller looked at the target") };
    let (relay, topic) = (relay_name(job, "out", &table.name)?, topic_name(job, &table.name));
    let mut options = vec![("connector", "kafka"), ("topic", topic.as_str()), ("format", "json")];
    let mut written = vec![("connector", "kafka"), ("topic", to.as_str()), ("format", "json")];
    if let Some(event_type) = event_type {
        written.push(("event.type", event_type));
    }
    if let Some(key) = key_column {
        written.push(("key", key));
    }
    if let Some(servers) = bootstrap {
        options.push(("bootstrap_servers", servers));
        written.push(("bootstrap_servers", servers));
    }
    let schema = job.output_schema();
    let names: Vec<String> = schema.fields().iter().map(|field| name(field.name())).collect();
    let sql = format!(
        "-- Makes events for {to} of what job {} on Arroyo writes to {topic}: Arroyo writes no headers.\n\n{};\n\n{};\n\nINSERT INTO {}\nSELECT {} FROM relayed;\n",
        job.name(),
        create("relayed", &columns, &options),
        create(&table.name, &columns, &written),
        name(&table.name),
        names.join(", ")
    );
    Ok(Relay { name: relay, sql, topic })
}

fn relay_name(job: &Job, way: &str, table: &str) -> Result<String, Fault> {
    let plain: String = table.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let relay = format!("{}_{way}_{plain}", job.name());
    match relay.len() > 64 {
        true => Err(Fault::nowhere(format!("{relay} is too long for the name of a relay")).hint("give the job or the table a shorter name")),
        false => Ok(relay),
    }
}

fn topic_name(job: &Job, table: &str) -> String {
    let plain: String = table.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("arroyo.{}.{plain}", job.name())
}

/// Microseconds as an interval.
fn interval(us: i64) -> String {
    for (unit, length_us) in [("hours", 3_600_000_000), ("minutes", 60_000_000), ("seconds", 1_000_000), ("milliseconds", 1_000)] {
        if us % length_us == 0 {
            return format!("{} {unit}", us / length_us);
        }
    }
    format!("{us} microseconds")
}
