//! What can go wrong with the lake, and what to do about it.

use datafusion::error::DataFusionError;
use deltalake::DeltaTableError;

/// An error of the lake.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The folder cannot be used.
    #[error("could not {what} {path}: {source}")]
    Folder {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The lake was written by a newer program.
    #[error("the lake {path} has format {found}; this program knows formats up to {known}: use the newer program")]
    Newer {
        /// The folder.
        path: String,
        /// Its format.
        found: u32,
        /// The newest known one.
        known: u32,
    },
    /// A table could not be read or written.
    #[error("could not {what} table {table}: {source}")]
    Table {
        /// What was tried.
        what: &'static str,
        /// On which table.
        table: String,
        /// Why it failed.
        source: Box<DeltaTableError>,
    },
    /// A query failed.
    #[error("{}", .0.strip_backtrace())]
    Query(#[from] DataFusionError),
    /// A query asks for something that the lake does not do.
    #[error("{0}")]
    Refused(String),
    /// Batches do not have the form that was promised.
    #[error("rows of another form: {0}")]
    Rows(#[from] arrow::error::ArrowError),
    /// Output could not be written.
    #[error("could not write the result: {0}")]
    Output(#[from] std::io::Error),
    /// Parquet could not be written.
    #[error("could not write Parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
}

impl LakeError {
    /// Whether trying again later may help: the disk may have room again.
    pub fn is_transient(&self) -> bool {
        matches!(self, LakeError::Table { what: "write", .. } | LakeError::Folder { .. })
    }
}
