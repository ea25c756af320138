//! What a person may set.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::disk::Disk;

/// The configuration of one broker.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// Where to listen. Port 0 takes a free one; [`crate::Broker::addr`] tells which.
    pub listen: SocketAddr,
    /// The folder that holds everything. One process at a time.
    pub dir: PathBuf,
    /// Host name told to clients. Without it the address they listen on, or `127.0.0.1` when that is `0.0.0.0`.
    pub advertised_host: Option<String>,
    /// Port told to clients, for port forwarding. Without it the port listened on.
    pub advertised_port: Option<u16>,
    /// Partitions of a topic created without a number.
    pub default_partitions: i32,
    /// Create a topic when a client asks for it by name, as Kafka does by default.
    pub auto_create_topics: bool,
    /// A segment file is closed when it reaches this size.
    pub segment_bytes: u64,
    /// Keep records this long; none for ever. A topic's `retention.ms` goes before.
    pub retention: Option<Duration>,
    /// Keep at most this many bytes of a partition; none without bound. A topic's `retention.bytes` goes before.
    pub retention_bytes: Option<u64>,
    /// When an append is acknowledged.
    pub fsync: Fsync,
    /// User names and passwords. Required when `listen` is not a loopback address; when set, required of everyone.
    pub sasl: Option<Sasl>,
    /// Bounds on what clients may do to us.
    pub limits: Limits,
    /// How often retention and compaction are looked after.
    pub maintenance_interval: Duration,
    /// How long a new group waits for more members before its first assignment. Kafka's default is 3 s.
    pub group_initial_delay: Duration,
    /// The disk's capacity as seen by the broker; for tests of a full disk.
    pub disk: Disk,
}

impl BrokerConfig {
    /// The defaults, for a folder: a free port on the loopback interface, everything synced, kept for ever.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            dir: dir.into(),
            advertised_host: None,
            advertised_port: None,
            default_partitions: 1,
            auto_create_topics: true,
            segment_bytes: 128 * 1024 * 1024,
            retention: None,
            retention_bytes: None,
            fsync: Fsync::Group,
            sasl: None,
            limits: Limits::default(),
            maintenance_interval: Duration::from_secs(30),
            group_initial_delay: Duration::ZERO,
            disk: Disk::default(),
        }
    }
}

/// When an append is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fsync {
    /// After it is on the disk: survives a power cut. One sync serves all appends that wait for it.
    #[default]
    Group,
    /// After the operating system has it: survives the death of the process, not a power cut.
    Os,
}

impl std::str::FromStr for Fsync {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "group" => Ok(Self::Group),
            "os" => Ok(Self::Os),
            other => Err(format!("fsync is `{other}`, but must be `group` or `os`")),
        }
    }
}

/// SASL/PLAIN: who may connect.
#[derive(Clone, Default)]
pub struct Sasl {
    /// Password of each user.
    pub users: BTreeMap<String, String>,
}

impl std::fmt::Debug for Sasl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Passwords do not belong in logs.
        f.debug_struct("Sasl").field("users", &self.users.keys().collect::<Vec<_>>()).finish()
    }
}

/// Bounds on what clients may do to us.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest request.
    pub request_bytes: usize,
    /// Largest record batch (`message.max.bytes`); a topic's `max.message.bytes` goes before.
    pub message_bytes: usize,
    /// Memory for requests that are being read or wait for the disk.
    pub inflight_bytes: usize,
    /// Memory for the newest batches of all partitions, from which consumers at the end are served.
    pub cache_bytes: usize,
    /// Connections at the same time.
    pub connections: usize,
    /// Partitions of all topics together.
    pub partitions: usize,
    /// Size of one write-ahead file; at least twice `message_bytes` is taken.
    pub wal_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes: 100 * 1024 * 1024,
            message_bytes: 20 * 1024 * 1024,
            inflight_bytes: 256 * 1024 * 1024,
            cache_bytes: 64 * 1024 * 1024,
            connections: 4_096,
            partitions: 100_000,
            wal_bytes: 64 * 1024 * 1024,
        }
    }
}
