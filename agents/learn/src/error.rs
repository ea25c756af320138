//! What can be wrong with rows, and with the bytes of a model.

/// Why nothing can be learnt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// No row.
    #[error("there are no rows to learn from")]
    NoRows,
    /// One label only.
    #[error("all {rows} rows have the label {label:?}: at least two labels are needed")]
    OneLabel {
        /// The label.
        label: String,
        /// How many rows.
        rows: usize,
    },
    /// Too many labels.
    #[error("{labels} different labels, at most {} are possible: is this the right column?", crate::limits::LABELS_MAX)]
    TooManyLabels {
        /// How many labels.
        labels: usize,
    },
    /// A label that is empty or too long.
    #[error("row {row} (from 1) has a label of {bytes} bytes: write 1 to {}", crate::limits::LABEL_BYTES_MAX)]
    Label {
        /// The row, from 1.
        row: usize,
        /// The label's bytes.
        bytes: usize,
    },
    /// Nothing in any row to learn from.
    #[error("no row has a text, a field or a time to learn from")]
    NoFeatures,
    /// Too many rows.
    #[error("{rows} rows, at most {} are possible: take a sample", crate::limits::ROWS_MAX)]
    TooManyRows {
        /// How many rows.
        rows: usize,
    },
}

/// Why bytes are not a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BytesError {
    /// Something else.
    #[error("this is no model of citybrain")]
    NotAModel,
    /// Another version.
    #[error("the model has version {version}, this program reads version {}: train it anew", crate::bytes::VERSION)]
    Version {
        /// Its version.
        version: u32,
    },
    /// Damaged.
    #[error("the model is damaged ({what}): restore it from a backup, or train it anew")]
    Damaged {
        /// What does not fit.
        what: &'static str,
    },
}
