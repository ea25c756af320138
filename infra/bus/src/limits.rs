//! Every limit of the bus, each with its reason.

use std::time::Duration;

/// Largest record that is sent or asked for, in bytes: the largest body that the envelope allows, its headers, and room.
pub const RECORD_BYTES_MAX: usize = 20 * 1024 * 1024;

/// Largest answer of a broker, in bytes: several of the largest records, far below what would hurt a small machine.
pub const RESPONSE_BYTES_MAX: usize = 128 * 1024 * 1024;

/// What may wait in one producer, in bytes: seconds of a busy city; who comes later waits.
pub const PRODUCER_BYTES: usize = 64 * 1024 * 1024;

/// One unit of a producer's room, in bytes. A record takes at least one and a half, so that small ones are bounded too.
pub const ROOM_UNIT_BYTES: usize = 256;

/// Rows of one chunk: enough for Arrow to be worth it, few enough to be in a cache.
pub const CHUNK_ROWS: usize = 16 * 1024;

/// Bytes of one chunk's keys and data.
pub const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of all chunks that are being built: with a thousand partitions each must not reach its own limit.
pub const OPEN_BYTES: usize = 32 * 1024 * 1024;

/// What may wait for one reader, in bytes. Beyond it, the partitions that fill it are paused; beyond twice as much, all.
pub const READER_BYTES: usize = 64 * 1024 * 1024;

/// What librdkafka fetches ahead, in KiB. A pause throws it away, so it is kept well below [`READER_BYTES`].
pub const FETCH_AHEAD_KIB: usize = 16 * 1024;

/// How long a chunk stays open after the last record, when nothing more comes.
pub const LINGER: Duration = Duration::from_millis(1);

/// How long a chunk stays open at most, when ever more comes.
pub const CHUNK_AGE: Duration = Duration::from_millis(4);

/// How long the tap's thread sleeps in one go when nothing comes; also how fast it hears of what it is asked.
pub const IDLE_POLL: Duration = Duration::from_millis(5);

/// How often topics are looked up.
pub const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// How often a topic must be missing, one look after the other, before it counts as deleted: a broker that starts may
/// not know all of its topics for a moment.
pub const MISSING_LOOKS: u32 = 3;

/// How long one request to a broker may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the first contact may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Entries of one generation of the index against duplicates: about 100 MB on disk.
pub const GENERATION_ENTRIES: u64 = 4_000_000;

/// Generations of that index: the window is at least all but one of them, here 12 million events.
pub const GENERATIONS: usize = 4;

/// Confirmed events that the index keeps in memory until the log brings them: about 16 MB.
pub const CONFIRMED_MAX: usize = 200_000;

/// Memory of that index's store for blocks it read, in bytes.
pub const INDEX_CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// Memory of that index's store for entries not yet in a file, in bytes.
pub const INDEX_MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;
