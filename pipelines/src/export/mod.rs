//! A job for an Arroyo cluster: the same query in Arroyo's words, and what has no equivalent there refused with its place.
//!
//! Arroyo reads values, keys and positions of Kafka's records, and no headers. So what a job reads from headers (`ce_time`,
//! the type of an event) is carried over by a *relay*: a small job without state that runs here and writes plain JSON.

mod check;
mod functions;
mod query;
mod tables;

use std::collections::BTreeSet;

use crate::error::SqlError;
use crate::job::Job;
use crate::sql::fault::Fault;
use crate::sql::script::{self, Script};

pub use self::functions::arroyo_function;

/// Where the exported job finds things.
#[derive(Debug, Clone)]
pub struct ArroyoPlace {
    /// Kafka as Arroyo reaches it, for tables that name no cluster.
    pub bootstrap_servers: String,
    /// The URL of the lakehouse, for tables that are named by schema and table.
    pub lake: Option<String>,
}

/// A job in Arroyo's dialect, and what belongs to it.
#[derive(Debug, Clone)]
pub struct ArroyoExport {
    /// The SQL file.
    pub sql: String,
    /// Jobs that run here and carry records to it and from it: name and SQL.
    pub relays: Vec<(String, String)>,
    /// User-defined functions that it calls.
    pub udfs: Vec<String>,
    /// Functions of ours that Arroyo gets as user-defined ones: name and Rust source.
    pub functions: Vec<(String, String)>,
    /// What is different there, results aside.
    pub notes: Vec<ArroyoNote>,
}

/// What is different on Arroyo.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ArroyoNote {
    /// A relay reads headers for it.
    RelayIn {
        /// The relay's job.
        job: String,
        /// The topic that it reads.
        from: String,
        /// The topic that it writes.
        to: String,
    },
    /// A relay makes events of its output.
    RelayOut {
        /// The relay's job.
        job: String,
        /// The topic that it reads.
        from: String,
        /// The topic that it writes.
        to: String,
    },
    /// A record with a field of another type is dropped there; here the field is NULL.
    BadRecords(String),
    /// Late rows.
    Late,
    /// Sums of floats.
    Rounding,
    /// Rows without a position.
    Evidence,
    /// Rows with a NULL in an aggregate of the user's.
    NullsInAggregate(String),
    /// A file that a function reads.
    FunctionData(String),
}

impl ArroyoNote {
    /// In English, as it stands at the head of the file.
    pub fn text(&self) -> String {
        match self {
            ArroyoNote::RelayIn { job, from, to } => {
                format!("Arroyo reads no headers: job {job} must run in the city brain. It carries {from} over to {to} as plain JSON, and keeps no state.")
            }
            ArroyoNote::RelayOut { job, from, to } => format!("Arroyo writes no headers: job {job} must run in the city brain. It makes events for {to} of the rows in {from}."),
            ArroyoNote::BadRecords(table) => format!("A record of {table} with a field of another type is dropped; in the city brain that field is NULL."),
            ArroyoNote::Late => "Rows that come too late are dropped; the city brain notes them in a table.".to_owned(),
            ArroyoNote::Rounding => "Sums and means of DOUBLE are rounded at each step, so their last digits may differ from run to run.".to_owned(),
            ArroyoNote::Evidence => "evidence() of a position that is NULL is NULL, and not an empty list.".to_owned(),
            ArroyoNote::NullsInAggregate(function) => {
                format!("{function}: Arroyo leaves NULLs out of each argument by itself; filter them before, as in WHERE x IS NOT NULL, when there may be some.")
            }
            ArroyoNote::FunctionData(function) => format!("{function} reads files: put them on every worker, and name their folder in UDF_DATA."),
        }
    }
}

/// Writes a job in Arroyo's dialect.
///
/// # Errors
/// What Arroyo has no equivalent for, where it stands, and what to do instead.
pub fn export_arroyo(job: &Job, place: &ArroyoPlace) -> Result<ArroyoExport, SqlError> {
    let script = script::parse(job.sql()).and_then(|script| check::check(job, &script).map(|()| script));
    script.and_then(|script| written(job, &script, place)).map_err(|fault| fault.of_job(job.name()))
}

fn written(job: &Job, script: &Script, place: &ArroyoPlace) -> Result<ArroyoExport, Fault> {
    let mut notes = BTreeSet::new();
    let mut relays = Vec::new();
    let mut statements = Vec::new();
    let mut called = query::Called::default();
    for (table, source) in script.tables.iter().filter(|table| table.name != script.insert.into).zip(&job.tables().sources) {
        let (sql, relay) = tables::source(job, table, source, place, &mut called)?;
        match relay {
            Some(relay) => {
                notes.insert(ArroyoNote::RelayIn { job: relay.name.clone(), from: source.topics.join(", "), to: relay.topic });
                relays.push((relay.name, relay.sql));
            }
            None => drop(notes.insert(ArroyoNote::BadRecords(source.name.clone()))),
        }
        statements.push(sql);
    }
    let sink = script.tables.iter().find(|table| table.name == script.insert.into).expect("the job was read, so its sink is declared");
    let (sql, relay) = tables::sink(job, sink, place)?;
    if let Some((relay, to)) = relay {
        notes.insert(ArroyoNote::RelayOut { job: relay.name.clone(), from: relay.topic, to });
        relays.push((relay.name, relay.sql));
    }
    statements.push(sql);
    for view in &script.views {
        let query = query::rewritten(&view.query, job, &mut called)?;
        statements.push(format!("CREATE VIEW {} AS\n{query:#}", tables::name(&view.name)));
    }
    let query = query::rewritten(&script.insert.query, job, &mut called)?;
    statements.push(format!("INSERT INTO {}\n{query:#}", tables::name(&script.insert.into)));
    notes.extend(called.notes(job));
    if !job.flow().steps.is_empty() {
        notes.insert(ArroyoNote::Late);
    }
    let notes: Vec<ArroyoNote> = notes.into_iter().collect();
    Ok(ArroyoExport {
        sql: file(&head(job, &notes), &statements),
        relays,
        udfs: called.udfs.into_iter().collect(),
        functions: called.functions.into_iter().filter_map(|name| Some((name.clone(), arroyo_function(&name)?.to_owned()))).collect(),
        notes,
    })
}

/// The job's description, then what is different.
fn head(job: &Job, notes: &[ArroyoNote]) -> String {
    let description = job.description();
    let lines = description.lines().map(str::to_owned);
    let about = format!("Job {} of the city brain, for Arroyo.", job.name());
    let lines = std::iter::once(about).chain(lines).chain(notes.iter().map(|note| format!("Note: {}", note.text())));
    lines.map(|line| format!("-- {line}").trim_end().to_owned() + "\n").collect()
}

fn file(head: &str, statements: &[String]) -> String {
    let statements: Vec<String> = statements.iter().map(|statement| format!("{statement};\n")).collect();
    format!("{head}\n{}", statements.join("\n"))
}
