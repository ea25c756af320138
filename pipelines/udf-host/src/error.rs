//! What can go wrong with a set of functions, and what went wrong with a row.

use std::path::PathBuf;

/// Why functions could not be opened or called. The text names the file and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum UdfError {
    /// A file could not be read.
    #[error("could not read {path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A manifest says something that cannot be.
    #[error("{path}: {reason}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A file is not the one that its manifest was written for.
    #[error("{path} has the digest {found}, but {manifest} was written for {wanted}: build both again with udfs/build.sh")]
    Digest {
        /// The shared object or the data file.
        path: PathBuf,
        /// The manifest.
        manifest: PathBuf,
        /// What the manifest says.
        wanted: String,
        /// What was found.
        found: String,
    },
    /// A shared object does not do what its manifest says.
    #[error("the function {function} cannot be used: {reason}")]
    Function {
        /// Its name.
        function: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// A worker could not be started.
    #[error("could not start {program} to run user-defined functions: {reason}")]
    Worker {
        /// The program.
        program: String,
        /// Why.
        reason: String,
    },
}

/// A row, or a group of an aggregate, for which a function gave no value. The value is NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The function.
    pub function: String,
    /// The engine's number of the row, where it gave one.
    pub row: Option<u64>,
    /// What happened, for people.
    pub reason: String,
}
