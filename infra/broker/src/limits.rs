//! Every bound of the broker with its reason. What a person may want to change is in [`crate::Limits`].

/// Longest topic name, as in Kafka: a topic is a folder name, and 255 bytes is what file systems allow.
pub const TOPIC_NAME_MAX: usize = 249;

/// Most partitions of one topic. Kafka has no bound here; one node with files for each has.
pub const PARTITIONS_MAX: i32 = 10_000;

/// A frame before authentication is a handshake of a few hundred bytes; nobody unknown may make us hold more.
pub const FRAME_BYTES_BEFORE_LOGIN: usize = 64 * 1024;

/// Array elements in one request. A fetch of 10,000 partitions has about 10,000; each may cost 200 bytes of memory.
pub const REQUEST_ELEMENTS_MAX: usize = 250_000;

/// Produce requests of one connection that may wait for the disk at the same time.
pub const PIPELINE_MAX: usize = 64;

/// Frames smaller than this do not count against the memory for requests: there are few enough connections.
pub const SMALL_FRAME_BYTES: usize = 64 * 1024;

/// Seconds in which a started frame, or a response, must make some progress.
pub const STALL_SECS: u64 = 60;

/// Longest time one fetch may ask to wait.
pub const FETCH_WAIT_MS_MAX: i32 = 300_000;

/// Bytes of one fetch response, whatever the client asks for.
pub const FETCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One index entry for this many bytes of a segment: 24 bytes of memory for 32 KiB of data.
pub const INDEX_INTERVAL_BYTES: u64 = 32 * 1024;

/// Appends that share one write and one sync; more would only delay the first of them.
pub const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Appends that share one write, by number.
pub const GROUP_APPENDS_MAX: usize = 8_192;

/// Groups written and waiting for their sync.
pub const GROUPS_IN_FLIGHT: usize = 64;

/// Files kept open for segments. 1,000 partitions need no 1,000 descriptors.
pub const OPEN_FILES_MAX: usize = 256;

/// Batches of one producer and partition that are remembered to recognise a repetition, as in Kafka.
pub const SEQUENCES_KEPT: usize = 5;

/// Idempotent producers remembered for one partition; the one silent the longest goes first.
pub const PRODUCERS_MAX: usize = 10_000;

/// A producer that was silent this long is forgotten, as in Kafka (`producer.id.expiration.ms`).
pub const PRODUCER_EXPIRES_MS: i64 = 86_400_000;

/// Producer ids taken from the file at once.
pub const PRODUCER_ID_BLOCK: i64 = 1_000;

/// Write-ahead files that wait for the segments to be synced; beyond, appends wait.
pub const WAL_FILES_MAX: usize = 8;

/// Bytes of a partition after which a checkpoint is written, so that a start reads little.
pub const CHECKPOINT_BYTES: u64 = 16 * 1024 * 1024;

/// Decompressed bytes of one batch that compaction and timestamp lookup will look at.
pub const INFLATE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Members of one consumer group.
pub const GROUP_MEMBERS_MAX: usize = 1_000;

/// Consumer groups.
pub const GROUPS_MAX: usize = 10_000;

/// Metadata text of one committed offset, as in Kafka.
pub const OFFSET_METADATA_BYTES: usize = 4_096;

/// Shortest and longest session timeout of a group member in ms, as in Kafka.
pub const SESSION_TIMEOUT_MS: std::ops::RangeInclusive<i32> = 100..=1_800_000;
