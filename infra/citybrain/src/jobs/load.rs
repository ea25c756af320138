//! Reads a job file together with what it needs of the home: rows that it looks up, user-defined functions in `<home>/udfs`.

use std::path::Path;

use anyhow::{Context, Result};
use pipelines::{Job, Udfs};
use udf_host::{Limits, WorkerCommand};

use crate::city_graph::CityGraph;
use crate::home::Home;

/// The folder of user-defined functions in a home.
const FOLDER: &str = "udfs";
/// The hidden command that is a worker.
pub const WORKER: &str = "udf-worker";

/// A job from its file; `root` is the home's folder.
///
/// # Errors
/// When the file is wrong, what it looks up is not there, or a function in `<home>/udfs` is; the message says where and what to do.
pub fn load(path: &Path, root: &Path) -> Result<Job> {
    load_over(path, root, &CityGraph::of(&Home::open(root)?))
}

/// The same, looking things up in this graph.
///
/// # Errors
/// As [`load`].
pub fn load_over(path: &Path, root: &Path, graph: &CityGraph) -> Result<Job> {
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let given = match std::fs::read_to_string(path) {
        Ok(sql) => super::given::rows(&name, &sql, root, graph)?,
        // Told by who reads it next.
        Err(_) => Vec::new(),
    };
    with_functions(root, |udfs| Ok(Job::load_with(path, &given, udfs)?))
}

/// Reads a job without functions first: most call none, and functions cost a process. Each job has its own, as the rows
/// that fail are told to the job.
///
/// # Errors
/// As `read` gives them.
pub fn with_functions(root: &Path, read: impl Fn(&Udfs) -> Result<Job>) -> Result<Job> {
    let folder = root.join(FOLDER);
    match read(&Udfs::none()) {
        Ok(job) => Ok(job),
        Err(error) if !folder.is_dir() => Err(error),
        Err(_) => read(&functions(&folder)?),
    }
}

fn functions(folder: &Path) -> Result<Udfs> {
    let program = std::env::current_exe().context("could not find this program's own file")?;
    let worker = WorkerCommand { program, args: vec![WORKER.into()] };
    Udfs::open(folder, worker, Limits::default()).with_context(|| format!("the functions in {} cannot be used", folder.display()))
}
