//! What is cut off, and why.

/// Characters of a text that are read: a citizen's message is shorter, and a megabyte must not hold up the next one.
pub const TEXT_CHARS_MAX: usize = 4_096;
/// Texts of an input that are read.
pub const TEXTS_MAX: usize = 8;
/// Fields of an input that are read; their pairs are features too.
pub const FIELDS_MAX: usize = 16;
/// Labels of a model: each costs a column of weights.
pub const LABELS_MAX: usize = 2_000;
/// Bytes of a label.
pub const LABEL_BYTES_MAX: usize = 512;
/// Rows of a training: more than a city's messages of a year would not fit the memory of a small machine.
pub const ROWS_MAX: usize = 2_000_000;
/// Features of a model, by default: rare ones beyond it are left out.
pub const FEATURES_MAX: usize = 1 << 19;
/// Weights of a model (features times labels): 256 MiB on disk.
pub const WEIGHTS_MAX: usize = 1 << 27;
