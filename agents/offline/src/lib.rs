//! The small models over files: training, batch doors, evaluations and benchmarks, without the running brain.
//!
//! Each command is a struct of options (`clap`) with a `run`; the binary `citybrain` puts them among its own, and
//! `cargo run -p offline --example models` offers them alone, in a build of minutes, to those who work on models.
//! Knows files; knows nothing of Kafka, DataFusion or HTTP.
//!
//! Begin with [`table`] for how files are read and written, then with the command that you came for.

pub mod context;
pub mod eval;
pub mod hotspots;
pub mod table;

pub use context::Context;
