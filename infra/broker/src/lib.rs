//! A durable broker in the process that speaks Kafka's protocol: no second program, and `kcat`, librdkafka, Kafka's
//! Java tools, Spark and Flink can subscribe to it.
//!
//! It does not know what is in the records, and it knows nothing of the city. No replication and no transactions; a
//! client that asks for them is told so.
//!
//! # A guided tour
//!
//! A request comes in through [`server`] (connections, order, shutdown), which reads frames with [`wire`], checks with
//! [`shape`] that the frame cannot make the decoder allocate more than it holds, looks the version up in [`api`], and
//! calls one of [`handlers`].
//!
//! *Produce.* [`handlers::produce`] checks each batch ([`batch`]: structure and CRC32C, never the records) and hands it
//! to [`log::writer`]. Its writer thread asks [`producer_state`] whether the batch is a repetition, writes the offset
//! into it, appends it to the segment of its [`log::partition`] and to the write-ahead file ([`log::wal`]). Its syncer
//! thread syncs the write-ahead file once for all groups that wait, moves the high watermarks and lets the answers go.
//!
//! *Fetch.* [`handlers::fetch`] sends the stored bytes: the newest from memory, older ones from the segment files, and
//! waits to be woken when there are none.
//!
//! *Groups.* [`group`] is the state machine of one consumer group, without clocks and sockets; [`coordinator`] gives
//! it time and keeps the committed offsets in a compacted topic of the broker's own.
//!
//! *Start.* [`log::Store::open`] takes the folder, cuts off torn tails, appends what only the write-ahead files have,
//! and only then listens.
//!
//! ```no_run
//! # async fn f() -> Result<(), broker::StartError> {
//! let broker = broker::Broker::start(broker::BrokerConfig::new("/tmp/broker")).await?;
//! println!("bootstrap.servers={}", broker.addr());
//! broker.shutdown().await;
//! # Ok(())
//! # }
//! ```

pub mod api;
pub mod batch;
pub mod config;
pub mod coordinator;
pub mod disk;
pub mod error;
pub mod group;
pub mod handlers;
pub mod inflate;
pub mod limits;
pub mod log;
pub mod producer_state;
pub mod records;
pub mod server;
pub mod shape;
mod sync;
pub mod topic;
pub mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tracing::info;

pub use config::{BrokerConfig, Fsync, Limits, Sasl};
pub use disk::Disk;
pub use error::StartError;

use crate::coordinator::Coordinator;
use crate::log::Store;
use crate::server::Node;

/// A running broker. Dropping it without [`Broker::shutdown`] is like the death of the process: nothing acknowledged is
/// lost, and the next start repairs the rest.
#[derive(Debug)]
pub struct Broker {
    node: Arc<Node>,
    addr: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
}

/// Numbers for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Connections open now.
    pub connections: u64,
    /// Requests since the start.
    pub requests: u64,
    /// Frames and requests that could not be understood.
    pub malformed: u64,
    /// Topics.
    pub topics: u64,
    /// Partitions.
    pub partitions: u64,
    /// Consumer groups with members.
    pub groups: u64,
    /// Record batches appended and acknowledged.
    pub appends: u64,
    /// Their bytes, with what the write-ahead file adds.
    pub append_bytes: u64,
    /// Bytes of records sent to consumers.
    pub fetch_bytes: u64,
    /// Syncs of the write-ahead file.
    pub syncs: u64,
    /// Microseconds spent in them.
    pub sync_us: u64,
    /// Appends that the disk refused.
    pub storage_errors: u64,
    /// Segment files open now.
    pub open_files: u64,
}

impl Broker {
    /// Takes the folder, repairs it, and listens. Runs on the current tokio runtime, with three threads for the disk.
    pub async fn start(config: BrokerConfig) -> Result<Self, StartError> {
        check(&config)?;
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|source| StartError::Listen { addr: config.listen, source })?;
        let addr = listener.local_addr().map_err(|source| StartError::Listen { addr: config.listen, source })?;
        let opened = config.clone();
        let store = tokio::task::spawn_blocking(move || Store::open(&opened).map(Arc::new))
            .await
            .map_err(|e| StartError::Config(format!("opening the folder has panicked: {e}")))??;
        let loading = store.clone();
        let delay = config.group_initial_delay;
        let coordinator = tokio::task::spawn_blocking(move || Coordinator::load(loading, delay))
            .await
            .map_err(|e| StartError::Config(format!("reading the committed offsets has panicked: {e}")))?
            .map_err(StartError::io("read the committed offsets in", config.dir.clone()))?;
        let node = Arc::new(Node::new(config, store, coordinator, addr));
        let tasks = vec![
            tokio::spawn(server::accept(node.clone(), listener)),
            tokio::spawn(server::maintain(node.clone())),
            tokio::spawn(coordinator::keep_time(node.clone())),
        ];
        info!(%addr, "the broker listens");
        Ok(Self { node, addr, tasks })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops: what was handed in is finished and acknowledged, files are synced, and the next start has nothing to
    /// repair.
    pub async fn shutdown(mut self) {
        self.node.stop();
        for task in self.tasks.drain(..) {
            // A task that panicked has been reported by the runtime.
            let _ = task.await;
        }
        self.node.connections_gone(Duration::from_secs(5)).await;
        let node = self.node.clone();
        // The same.
        let _ = tokio::task::spawn_blocking(move || node.store.close()).await;
        info!(addr = %self.addr, "the broker has stopped");
    }

    /// Numbers for metrics.
    pub fn stats(&self) -> Stats {
        let (node, store) = (&self.node, &self.node.store);
        let writer = &store.writer.stats;
        let topics = store.topics();
        let get = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
        Stats {
            connections: get(&node.counts.connections),
            requests: get(&node.counts.requests),
            malformed: get(&node.counts.malformed),
            topics: topics.len() as u64,
            partitions: topics.iter().map(|t| t.partition_count() as u64).sum(),
            groups: node.coordinator.active_groups() as u64,
            appends: get(&writer.appends),
            append_bytes: get(&writer.append_bytes),
            fetch_bytes: get(&node.counts.fetch_bytes),
            syncs: get(&writer.syncs),
            sync_us: get(&writer.sync_us),
            storage_errors: get(&writer.storage_errors),
            open_files: store.env.files.len() as u64,
        }
    }

    /// Looks after retention and compaction now instead of at the next interval; done when this returns.
    pub async fn maintain_now(&self) {
        let store = self.node.store.clone();
        let done = tokio::task::spawn_blocking(move || {
            store.maintain();
            store.writer.barrier();
        });
        // A panic has been reported by the runtime.
        let _ = done.await;
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.node.stop();
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn check(config: &BrokerConfig) -> Result<(), StartError> {
    let unprotected = config.sasl.as_ref().is_none_or(|s| s.users.is_empty());
    if !config.listen.ip().is_loopback() && unprotected {
        return Err(StartError::Unprotected { addr: config.listen });
    }
    let wrong = |what: &str| Err(StartError::Config(what.into()));
    if !(1..=limits::PARTITIONS_MAX).contains(&config.default_partitions) {
        return wrong("default_partitions must be 1 to 10000");
    }
    if config.segment_bytes < 1024 || config.segment_bytes > i32::MAX as u64 {
        return wrong("segment_bytes must be 1 KiB to 2 GiB");
    }
    if config.limits.request_bytes <= config.limits.message_bytes || config.limits.request_bytes > i32::MAX as usize {
        return wrong("limits.request_bytes must be larger than limits.message_bytes, and below 2 GiB");
    }
    if config.limits.inflight_bytes < config.limits.request_bytes {
        return wrong("limits.inflight_bytes must be at least limits.request_bytes");
    }
    Ok(())
}
