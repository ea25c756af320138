//! Every limit of the doors, with its reason. Limits of a single event are those of `schemas::limits`.

use std::time::Duration;

/// Largest body that is read whole (one event, or a batch), in bytes. Who has more sends JSON lines, which stream.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Largest stream of JSON lines in one request, in bytes: a day of a city's sensors. A broken sender that never ends is
/// stopped here.
pub const STREAM_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;

/// Longest line of JSON lines, and longest row of an imported file, in bytes. The same as one body, for the same reason.
pub const LINE_BYTES_MAX: usize = BODY_BYTES_MAX;

/// Most events of one step through the door: large enough to amortise, small enough to share the processor.
pub const STEP_EVENTS_MAX: usize = 256;

/// Most bytes of one step through the door.
pub const STEP_BYTES_MAX: usize = 1024 * 1024;

/// Most steps of one request that may be under way at once.
pub const STEPS_IN_FLIGHT_MAX: usize = 8;

/// Refused positions that one answer lists; the count is always complete, and all of them are in `dlq`.
pub const REFUSED_LISTED_MAX: usize = 1_000;

/// Bytes of a refused original that are kept. Longer ones are kept up to here and marked as cut: Kafka would refuse them.
pub const KEPT_BYTES_MAX: usize = 512 * 1024;

/// Headers of a refused request that are kept, and bytes of each.
pub const KEPT_HEADERS_MAX: usize = 64;

/// Bytes of each kept header's value.
pub const KEPT_HEADER_BYTES_MAX: usize = 2 * 1024;

/// Events that may be on their way to the bus at once, all senders together, in units of one event or 1 KiB of it,
/// whichever is more: about 64 MiB. Beyond it senders wait, and then hear 503.
pub const IN_FLIGHT_UNITS_MAX: u32 = 64 * 1024;

/// How long a request waits for room, or for the bus, before it hears 503.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long a sender may pause in the middle of a body.
pub const BODY_PAUSE_MAX: Duration = Duration::from_secs(30);

/// Items that `GET` lists give when nothing is asked, and at most.
pub const PAGE_ITEMS_DEFAULT: usize = 100;

/// Most items of one page.
pub const PAGE_ITEMS_MAX: usize = 1_000;

/// Largest SQL text, in bytes.
pub const SQL_BYTES_MAX: usize = 256 * 1024;

/// Rows that an SQL answer gives when nothing is asked.
pub const SQL_ROWS_DEFAULT: usize = 10_000;

/// Most rows of one SQL answer.
pub const SQL_ROWS_MAX: usize = 1_000_000;

/// How long one SQL query may run.
pub const SQL_TIME_MAX: Duration = Duration::from_secs(60);

/// Largest command, in bytes.
pub const COMMAND_BYTES_MAX: usize = 256 * 1024;

/// Largest change of the graph in one request, in bytes: it becomes one record of the journal, which every Kafka takes.
pub const GRAPH_CHANGE_BYTES_MAX: usize = 512 * 1024;

/// Events that the stream keeps for those who come back, at most.
pub const RING_EVENTS_MAX: usize = 16 * 1024;

/// Bytes of them, at most.
pub const RING_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Open streams at once: each costs a connection and a few kilobytes.
pub const STREAM_CLIENTS_MAX: usize = 1_000;

/// Events that a returning client may have missed before it is told to read the lists instead.
pub const STREAM_REPLAY_MAX: i64 = 100_000;

/// Events fetched from the lake at a time for a returning client.
pub const STREAM_REPLAY_PAGE: usize = 2_000;

/// Longest stream cursor, in bytes.
pub const CURSOR_BYTES_MAX: usize = 16 * 1024;

/// How often an idle stream says that it lives.
pub const STREAM_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long open requests may go on after the stop was asked for.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// Memory of the import's sort by event time, in bytes; beyond it sorted runs go to disk.
pub const SORT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Sorted runs that are open at once; more are merged into one first.
pub const SORT_RUNS_MAX: usize = 64;

/// Refused rows that the report of an import lists; the count is always complete.
pub const IMPORT_REFUSED_LISTED_MAX: usize = 100;

/// Registered devices: what a city of ten million has, and some hundred megabytes.
pub const DEVICES_MAX: usize = 1_000_000;

/// Longest id of a device, in bytes. It is a user name, too.
pub const DEVICE_ID_BYTES_MAX: usize = 200;

/// Registered things, sensors, datastreams and so on, all together: about 1 KiB each, held in memory.
pub const ENTITIES_MAX: usize = 1_000_000;

/// Datastreams whose latest observation is kept: about 300 bytes each.
pub const DATASTREAMS_MAX: usize = 1_000_000;

/// Longest id of an entity, in characters; that of a datastream is the key of its events.
pub const ENTITY_ID_CHARS_MAX: usize = 200;

/// Entities and observations of one request. Who has more sends two.
pub const REQUEST_ITEMS_MAX: usize = 50_000;

/// Comparisons and parentheses of one filter: far more than people write, far less than a stack holds.
pub const FILTER_DEPTH_MAX: usize = 64;

/// MQTT connections at once.
pub const MQTT_CONNECTIONS_MAX: usize = 4_096;

/// Largest MQTT packet, in bytes: readings have a few hundred. Who has more uses HTTP.
pub const MQTT_PACKET_BYTES_MAX: usize = 1024 * 1024;

/// Messages of one MQTT connection that may wait for the bus; beyond it nothing more is read from the connection.
pub const MQTT_IN_FLIGHT_MAX: usize = 256;

/// How long a new MQTT connection may take to say who it is.
pub const MQTT_CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Longest description of an Open311 request, in characters: the standard's own limit.
pub const OPEN311_DESCRIPTION_CHARS_MAX: usize = 4_000;

/// Most requests of one Open311 page: the standard's own limit.
pub const OPEN311_PAGE_MAX: usize = 1_000;

/// Most parameters of one Open311 request; forms have a dozen.
pub const OPEN311_PARAMETERS_MAX: usize = 1_000;

/// Largest Open311 request, in bytes: a description, an address and a few answers.
pub const OPEN311_BODY_BYTES_MAX: usize = 256 * 1024;

/// How long an Open311 request waits for its case, so that the answer can say until when it is owed.
pub const OPEN311_CASE_TIME_MAX: Duration = Duration::from_secs(2);

/// People with tokens of their own: the staff of a large city, all in memory.
pub const PEOPLE_MAX: usize = 100_000;

/// Longest id of a person or a role, in characters.
pub const PERSON_ID_CHARS_MAX: usize = 64;

/// Entries of the audit that one page gives at most.
pub const AUDIT_PAGE_MAX: usize = 1_000;

/// Longest text of one field that the audit keeps, in characters: the reason of a command, the shape of a query.
pub const AUDIT_TEXT_CHARS_MAX: usize = 2_000;
