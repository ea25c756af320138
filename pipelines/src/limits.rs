//! Every limit of the engine, each with its reason.

/// Rows of one epoch: enough to feed columnar operators well, few enough that decoding them stays under 100 MB.
pub const EPOCH_ROWS_MAX: usize = 131_072;

/// Rows waiting for an epoch before `push` answers `Full`, which is how a slow sink reaches back to the reader.
pub const BUFFER_ROWS_MAX: usize = 524_288;

/// Bytes waiting for an epoch before `push` answers `Full`.
pub const BUFFER_BYTES_MAX: usize = 256 << 20;

/// Bytes of open windows. A job beyond it stops with an error that names it, rather than take the process with it.
pub const STATE_BYTES_MAX: usize = 512 << 20;

/// Partial rows of a window beyond which they are merged, so that state follows the number of keys and not of epochs.
pub const STATE_ROWS_UNMERGED_MAX: usize = 8_192;

/// Keys that a latch remembers as raised.
pub const LATCH_KEYS_MAX: usize = 1_000_000;

/// Size of the epoch log beyond which plans covered by the snapshot are dropped from it.
pub const EPOCH_LOG_BYTES_MAX: u64 = 4 << 20;

/// One plan in the epoch log; a length beyond it is damage.
pub const PLAN_BYTES_MAX: usize = 16 << 20;

/// Bytes of a readable row id; longer ones are replaced by a digest.
pub const ID_BYTES_MAX: usize = 200;

/// A job's SQL text.
pub const SQL_BYTES_MAX: usize = 1 << 20;

/// A lookup file, which is held in memory.
pub const LOOKUP_BYTES_MAX: u64 = 64 << 20;

/// Lanes of a job: more than any machine of today has cores.
pub const LANES_MAX: usize = 256;

/// Batches of a window beyond which they are put together, so that many small epochs do not leave many small batches.
pub const STATE_BATCHES_MAX: usize = 32;

/// Rows of one batch inside DataFusion.
pub const BATCH_ROWS: usize = 8_192;
