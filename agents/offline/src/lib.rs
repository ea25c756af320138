//! The small models over files: training, batch doors, evaluations and benchmarks, without the running brain.
//!
//! Each command is a struct of options (`clap`) with a `run`; the binary `citybrain` puts them among its own, and
//! `cargo run -p offline --example models` offers them alone, in a build of minutes, to those who work on models.
//! Knows files, and language models through `llm`; knows nothing of Kafka, DataFusion or the running brain.
//!
//! Begin with [`table`] for how files are read and written, then with the command that you came for.

pub mod bench;
pub mod context;
pub mod detect;
pub mod detect_multi;
pub mod eval;
pub mod figures;
pub mod forecast;
pub mod hotspots;
pub mod knowledge;
pub mod labelled;
pub mod language;
pub mod model;
pub mod route;
pub mod store;
pub mod table;
pub mod triage;

pub use context::Context;

/// A named evaluation or benchmark: its name, what it measures in Chinese and in English, and how it is run.
pub type Named = (&'static str, &'static str, &'static str, fn(&Context) -> anyhow::Result<()>);
