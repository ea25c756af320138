//! Every limit of the engine, each with its reason.

/// Rows of one epoch: enough to feed columnar operators well, few enough that decoding them stays under 100 MB.
pub const EPOCH_ROWS_MAX: usize = 131_072;

/// Rows waiting for an epoch before `push` answers `Full`, which is how a slow sink reaches back to the reader.
pub const BUFFER_ROWS_MAX: usize = 524_288;

/// Bytes waiting for an epoch before `push` answers `Full`.
pub const BUFFER_BYTES_MAX: usize = 256 << 20;

/// Chunks of a partition that wait, with or without rows, before an epoch is worth its while for them alone.
pub const BUFFER_CHUNKS_MAX: usize = 4_096;

/// Bytes of state that a job keeps in memory; what is more is read back from its files when it is needed.
pub const STATE_MEMORY_MAX: usize = 128 << 20;

/// Bytes of state in all. A job beyond it stops with an error that names it, rather than fill the disk.
pub const STATE_BYTES_MAX: u64 = 16 << 30;

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

/// Pieces that a hopping window may be put together from: each is merged again for every window that it is part of.
pub const HOP_PANES_MAX: i64 = 1_440;

/// Partial rows of closing windows that are finished at once.
pub const WINDOW_ROWS_TOGETHER: usize = 1 << 19;

/// Slices of time that the rows of a join are kept in: more make a search longer, fewer keep rows longer than needed.
pub const JOIN_SLICES: i64 = 8;

/// Chunks of one slice of a join beyond which they are put together.
pub const JOIN_CHUNKS_MAX: usize = 64;
