//! Every limit of what travels, each with its reason.

/// Largest body of one event, in bytes. Kafka clusters refuse more than a few megabytes unless told otherwise, and a
/// photograph or a film travels by reference (`dataref`), so 16 MiB leaves room without letting one event fill memory.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest text of a structured event, in bytes: a body of [`BODY_BYTES_MAX`] as base64, and its attributes.
pub const STRUCTURED_BYTES_MAX: usize = BODY_BYTES_MAX / 3 * 4 + ATTRIBUTES_BYTES_MAX + 1024;

/// Largest batch, in bytes. Who has more sends two batches, and gets the answer to the first one sooner.
pub const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most headers of one record or request. Brokers, proxies and tracers add a few each; thousands are an attack.
pub const HEADERS_MAX: usize = 256;

/// Most bytes of all attribute names and values together. CloudEvents asks intermediaries to carry 64 KiB in all.
pub const ATTRIBUTES_BYTES_MAX: usize = 64 * 1024;

/// Longest `id`, in bytes. It is half of the key against duplicates, which is kept for every event.
pub const ID_BYTES_MAX: usize = 1024;

/// Longest `source`, in bytes: the other half of that key, and about the longest URL that software agrees on.
pub const SOURCE_BYTES_MAX: usize = 2048;

/// Longest `type`, in bytes. It becomes the name of a table, and file systems end names at 255.
pub const TYPE_BYTES_MAX: usize = 200;

/// Longest value of any other attribute, in bytes.
pub const ATTRIBUTE_BYTES_MAX: usize = 8 * 1024;

/// Longest attribute name, in bytes. The specification recommends 20; tracing extensions in the field are longer.
pub const ATTRIBUTE_NAME_BYTES_MAX: usize = 64;

/// Longest piece of a refused value that an error repeats, in characters: enough to recognise it, too little to flood a log.
pub const QUOTED_CHARS_MAX: usize = 64;

/// Earliest event time that is believed, in seconds since 1970: the start of 1900. Registers do hold births and
/// buildings of that age; what is older comes from a clock or a parser that went wrong.
pub const EVENT_TIME_SECS_MIN: i64 = -2_208_988_800;

/// How far an event may be ahead of our clock, in seconds: one day. A sensor that tells local time as UTC is up to
/// 14 hours off; more would hold watermarks in the future.
pub const EVENT_TIME_AHEAD_SECS_MAX: i64 = 86_400;

/// Most problems that one validation reports. The first few say what is wrong; the rest repeats it.
pub const PROBLEMS_MAX: usize = 16;

/// Most fields of one event type, which become columns of its table. Wide tables stay readable up to about this.
pub const COLUMNS_MAX: usize = 500;

/// Largest schema file, in bytes.
pub const SCHEMA_FILE_BYTES_MAX: usize = 1024 * 1024;

/// Longest name of a topic, in characters: Kafka's own limit.
pub const TOPIC_CHARS_MAX: usize = 249;

/// Largest CAP message that is read, in bytes. Real ones have a few kilobytes; polygons of a coast reach a megabyte.
pub const CAP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Most repetitions of one element inside a CAP message (info blocks, areas, polygons, parameters).
pub const CAP_REPEATS_MAX: usize = 1000;

/// Most points of one CAP polygon: the self-intersection test is quadratic.
pub const CAP_POLYGON_POINTS_MAX: usize = 2000;
