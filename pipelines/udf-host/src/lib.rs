//! User-defined functions: shared objects written on `arroyo-udf-plugin`, called from DataFusion.
//!
//! A function is a shared object and a manifest (`*.udf.json`) beside it; `udfs/build.sh` writes both, `docs/udf.md` tells
//! how. The code of others never runs in this process: a [worker](worker) maps the shared objects and is asked over a
//! socket, one Arrow batch each time. A row that panics, ends the worker or takes too long fails by itself: it is NULL and
//! a [`Failure`], and the other rows of the batch have their values.
//!
//! | module | what it does |
//! |---|---|
//! | `manifest` | names, types, nullability and digests, read and checked |
//! | `process`, `frame` | a worker from outside: started, asked, stopped when its time is over |
//! | `pool` | a bounded number of workers; which rows of a batch fail |
//! | `worker`, `call`, `plugin` | a worker from inside; `plugin` is the one place with `unsafe` code |
//! | `scalar`, `aggregate` | the functions as DataFusion sees them |
//!
//! This crate knows nothing of Kafka, SQL dialects or the lake, and none of our other crates.

mod aggregate;
mod call;
mod error;
mod frame;
mod limits;
mod manifest;
mod plugin;
mod pool;
mod process;
mod scalar;
mod types;
mod udfs;
pub mod worker;

pub use error::{Failure, UdfError};
pub use limits::Limits;
pub use manifest::{Argument, DataFile, Kind, Manifest, Returns};
pub use process::WorkerCommand;
pub use types::{PassedAs, SqlType};
pub use udfs::Udfs;
