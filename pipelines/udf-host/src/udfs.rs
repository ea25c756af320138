//! A set of functions that are loaded and verified.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

use crate::aggregate::Aggregate;
use crate::error::{Failure, UdfError};
use crate::limits::Limits;
use crate::manifest::{Kind, Manifest, read_folder};
use crate::pool::Pool;
use crate::process::WorkerCommand;
use crate::scalar::Scalar;

/// A set of functions. Cloning it is cheap; the workers end with the last clone and the last function made from it.
#[derive(Clone)]
pub struct Udfs(Option<Arc<Shared>>);

/// What all functions of a set share.
pub(crate) struct Shared {
    pub pool: Pool,
    failures: Mutex<Failures>,
}

#[derive(Default)]
struct Failures {
    kept: Vec<Failure>,
    /// Of those that were not kept.
    more: u64,
}

impl Udfs {
    /// Reads every `*.udf.json` in `folder`, checks the BLAKE3 digests of the files that it names, and lets a worker load
    /// each function and see whether it takes and gives what its manifest says.
    ///
    /// # Errors
    /// Each names the file or the function, and what to do.
    pub fn open(folder: &Path, worker: WorkerCommand, limits: Limits) -> Result<Udfs, UdfError> {
        let folder = folder.canonicalize().map_err(|source| UdfError::Read { path: folder.to_owned(), source })?;
        let manifests = read_folder(&folder)?;
        let pool = Pool::new(worker, folder, manifests, limits);
        pool.manifests().iter().try_for_each(|manifest| pool.probe(manifest))?;
        Ok(Udfs(Some(Arc::new(Shared { pool, failures: Mutex::default() }))))
    }

    /// No functions.
    pub fn none() -> Udfs {
        Udfs(None)
    }

    /// The functions, in the order of their names.
    pub fn manifests(&self) -> &[Manifest] {
        self.0.as_ref().map_or(&[], |shared| shared.pool.manifests())
    }

    /// A digest over the functions with these names in hex: their code, their data and their types, on which results
    /// depend. Their order does not matter; a name that is no function counts as one that is missing.
    pub fn digest(&self, names: &[String]) -> String {
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        let mut hasher = blake3::Hasher::new();
        for name in names {
            let identity = self.manifests().iter().find(|it| it.name == name).map_or_else(|| "missing".to_owned(), Manifest::identity);
            hasher.update(format!("{name}\0{identity}\0").as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The functions with a value for each row, for a session to register. Async ones are among them: a worker waits for
    /// their values.
    ///
    /// A call blocks its thread until the worker answers, at most [`Limits::total_timeout`].
    ///
    /// Each takes one argument more than its manifest says if that is a UInt64: the engine's number of the row, which a
    /// [`Failure`] then tells.
    pub fn scalars(&self) -> Vec<Arc<ScalarUDF>> {
        let scalar = |(shared, manifest)| Arc::new(ScalarUDF::new_from_impl(Scalar::new(shared, manifest)));
        self.of(|kind| matches!(kind, Kind::Scalar | Kind::Async)).map(scalar).collect()
    }

    /// The functions with a value for each group, for a session to register.
    pub fn aggregates(&self) -> Vec<Arc<AggregateUDF>> {
        let aggregate = |(shared, manifest)| Arc::new(AggregateUDF::new_from_impl(Aggregate::new(shared, manifest)));
        self.of(|kind| kind == Kind::Aggregate).map(aggregate).collect()
    }

    /// What failed since the last call, in the order in which it became known. If it was more than is kept, the last one
    /// says how many more there were.
    pub fn take_failures(&self) -> Vec<Failure> {
        let Some(shared) = &self.0 else { return Vec::new() };
        let mut failures = shared.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let Failures { mut kept, more } = std::mem::take(&mut *failures);
        if let (Some(last), true) = (kept.last_mut(), more > 0) {
            last.reason = format!("{} (and {more} more failures)", last.reason);
        }
        kept
    }

    fn of(&self, kind: impl Fn(Kind) -> bool) -> impl Iterator<Item = (Arc<Shared>, Manifest)> {
        let shared = self.0.iter().flat_map(|shared| shared.pool.manifests().iter().map(move |it| (shared.clone(), it.clone())));
        shared.filter(move |(_, manifest)| kind(manifest.kind))
    }
}

impl std::fmt::Debug for Udfs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.manifests().iter().map(|it| &it.name)).finish()
    }
}

impl Shared {
    pub(crate) fn keep(&self, failures: impl IntoIterator<Item = Failure>) {
        let mut state = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, failure) in failures.into_iter().enumerate() {
            // One of a batch is enough for the log; all are kept for who asks.
            if index == 0 {
                tracing::warn!(function = failure.function, row = failure.row, reason = failure.reason, "user-defined function gave no value");
            }
            if state.kept.len() < self.pool.limits().failures_max.max(1) {
                state.kept.push(failure);
            } else {
                state.more += 1;
            }
        }
    }
}
