//! The streaming SQL engine: jobs are SQL files, chunks of a log go in, the output of epochs comes out.
//!
//! A job reads one topic and writes one sink. It runs in *epochs*: what an epoch covers is written down before its work
//! begins, so that after a crash it is done again with the same result under the same number. Windows are kept as
//! DataFusion's own partial aggregates in Arrow batches; they close when the watermark passes them, and what comes later
//! goes to a table of late rows.
//!
//! The crate knows nothing of Kafka, HTTP or Delta Lake, and looks at no clock: the host pushes [`Chunk`]s, says what
//! time it is, and takes each [`EpochOutput`] through its [`Sink`].
//!
//! ```no_run
//! # async fn run(chunk: pipelines::Chunk, sink: &mut impl pipelines::Sink) -> Result<(), pipelines::RunError> {
//! use pipelines::{Push, Runner, RunnerConfig, builtin_jobs};
//!
//! let job = builtin_jobs().iter().find(|job| job.name == "sensor_1m").expect("it ships").parse()?;
//! let mut runner = Runner::open(job, "state/sensor_1m".as_ref(), RunnerConfig::default()).await?;
//! if let Push::Full(_later) = runner.push(chunk)? {
//!     // Push it again after the next poll.
//! }
//! runner.poll(chrono::Utc::now(), sink).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Results do not depend on where epochs are cut, on batch sizes or on the number of lanes, late rows aside: sums are
//! sums of integers, every aggregate that is offered is free of order, and rows leave in the order of a unique key.

mod builtin;
mod chunk;
mod config;
mod engine;
mod error;
mod export;
mod functions;
mod job;
pub mod limits;
mod output;
mod render;
mod runner;
mod sql;

pub use builtin::{BuiltinJob, builtin_jobs};
pub use chunk::{Chunk, bronze_schema, timestamp_type};
pub use config::{RunnerConfig, Step, StepHook};
pub use engine::late::late_schema;
pub use engine::split::{Split, Splitter};
pub use error::{RunError, SqlError};
pub use export::{ArroyoExport, ArroyoNote, ArroyoPlace, export_arroyo};
pub use functions::{milli, position_type, window_start, window_type};
pub use job::{Job, LookupRequest, SourceInfo, Spread};
pub use output::{BoxError, EpochOutput, FailedRecord, Positions, RunnerStats, Sink, StepStats};
pub use render::{JsonWriter, row_to_json, rows_to_json, text_of};
pub use runner::{Progress, Push, Runner};
pub use udf_host::Udfs;
pub use sql::tables::{FileFormat, Latch, Location, LookupFrom, Target};
