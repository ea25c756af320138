//! Connections: frames in, answers out in the order of the requests, nothing that a client does hurts another.
//!
//! One task reads and decides, one task of the same connection writes. Produce requests are handed to the disk as they
//! come, so that several of one connection share a sync; anything else is answered before the next request is read.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Decodable;
use tokio::io::AsyncWrite;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tracing::{debug, info, warn};

use crate::api;
use crate::config::BrokerConfig;
use crate::coordinator::Coordinator;
use crate::handlers::{configs, fetch, groups, node as about, offsets, produce, records, sasl, topics};
use crate::limits::{FRAME_BYTES_BEFORE_LOGIN, PIPELINE_MAX, SMALL_FRAME_BYTES};
use crate::log::Store;
use crate::shape;
use crate::wire::{self, Close, FrameReader, Head};

/// The only broker of the cluster.
pub const NODE_ID: i32 = 1;

/// What all connections share.
#[derive(Debug)]
pub struct Node {
    /// Configuration.
    pub config: BrokerConfig,
    /// Everything on disk.
    pub store: Arc<Store>,
    /// Consumer groups.
    pub coordinator: Coordinator,
    /// Counters.
    pub counts: Counts,
    addr: SocketAddr,
    stopping: watch::Sender<bool>,
    /// Memory for requests, in KiB.
    request_memory: Arc<Semaphore>,
    connections: Arc<Semaphore>,
}

/// Counters of the network side.
#[derive(Debug, Default)]
pub struct Counts {
    /// Open now.
    pub connections: AtomicU64,
    /// Since the start.
    pub requests: AtomicU64,
    /// Not understood.
    pub malformed: AtomicU64,
    /// Record bytes sent.
    pub fetch_bytes: AtomicU64,
}

impl Node {
    /// A node that listens.
    pub fn new(config: BrokerConfig, store: Arc<Store>, coordinator: Coordinator, addr: SocketAddr) -> Self {
        let memory = config.limits.inflight_bytes.div_ceil(1024);
        let connections = config.limits.connections;
        Self {
            config,
            store,
            coordinator,
            counts: Counts::default(),
            addr,
            stopping: watch::Sender::new(false),
            request_memory: Arc::new(Semaphore::new(memory)),
            connections: Arc::new(Semaphore::new(connections)),
        }
    }

    /// Host that clients are told.
    pub fn advertised_host(&self) -> String {
        match &self.config.advertised_host {
            Some(host) => host.clone(),
            None if self.addr.ip().is_unspecified() => "127.0.0.1".into(),
            None => self.addr.ip().to_string(),
        }
    }

    /// Port that clients are told.
    pub fn advertised_port(&self) -> u16 {
        self.config.advertised_port.unwrap_or(self.addr.port())
    }

    /// Tells every connection to end.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Whether the broker stops.
    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Waits for something, but not beyond the broker's stop: then none.
    pub async fn or_stopping<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut stopping = self.stopping.subscribe();
        tokio::select! {
            biased;
            _ = stopping.wait_for(|s| *s) => None,
            answer = work => Some(answer),
        }
    }

    /// Waits until all connections are gone, but not longer than told.
    pub async fn connections_gone(&self, longest: Duration) {
        let all = u32::try_from(self.config.limits.connections).unwrap_or(u32::MAX);
        // What is still open after that is cut off with the process.
        let _ = tokio::time::timeout(longest, self.connections.acquire_many(all)).await;
    }
}

/// What is known about one client.
#[derive(Debug)]
pub struct Session {
    /// Where it comes from.
    pub peer: SocketAddr,
    /// A mechanism was agreed on.
    pub handshaken: bool,
    /// Name and password were right, or are not needed.
    pub logged_in: bool,
    /// They were wrong; the connection ends after the answer.
    pub failed: bool,
}

/// Takes connections until the broker stops.
pub async fn accept(node: Arc<Node>, listener: TcpListener) {
    while let Some(accepted) = node.or_stopping(listener.accept()).await {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                // Too many open files, most likely; others go on.
                warn!(error = %e, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = node.connections.clone().try_acquire_owned() else {
            warn!(%peer, max = node.config.limits.connections, "refused a connection: there are too many");
            continue;
        };
        let node = node.clone();
        tokio::spawn(async move {
            let _place = place;
            node.counts.connections.fetch_add(1, Ordering::Relaxed);
            match serve(&node, stream, peer).await {
                Ok(()) | Err(Close::Gone | Close::Io(_)) => debug!(%peer, "connection closed"),
                Err(why @ (Close::Protocol(_) | Close::Stalled)) => {
                    node.counts.malformed.fetch_add(1, Ordering::Relaxed);
                    info!(%peer, %why, "closed a connection");
                }
            }
            node.counts.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// Looks after the store now and then.
pub async fn maintain(node: Arc<Node>) {
    loop {
        if node.or_stopping(tokio::time::sleep(node.config.maintenance_interval)).await.is_none() {
            return;
        }
        let store = node.store.clone();
        // A panic has been reported by the runtime.
        let _ = tokio::task::spawn_blocking(move || store.maintain()).await;
    }
}

type Work = Pin<Box<dyn Future<Output = Result<Option<BytesMut>, Close>> + Send>>;

/// An answer in the making.
struct Answer {
    work: Work,
    /// Told when it was sent.
    sent: Option<oneshot::Sender<()>>,
    _memory: Option<OwnedSemaphorePermit>,
}

async fn serve(node: &Arc<Node>, stream: TcpStream, peer: SocketAddr) -> Result<(), Close> {
    stream.set_nodelay(true)?;
    let (from, to) = stream.into_split();
    let (answers, queue) = mpsc::channel(PIPELINE_MAX);
    let mut writer = tokio::spawn(write_answers(queue, to));
    let reading = tokio::select! {
        reading = read_requests(node, FrameReader::new(from), peer, answers) => Some(reading),
        written = &mut writer => {
            return written.unwrap_or_else(|_| Err(Close::Gone));
        }
    };
    // What was handed in is answered before the connection ends.
    let written = writer.await.unwrap_or_else(|_| Err(Close::Gone));
    reading.unwrap_or(Ok(())).and(written)
}

async fn write_answers<W: AsyncWrite + Unpin>(mut queue: mpsc::Receiver<Answer>, mut to: W) -> Result<(), Close> {
    while let Some(answer) = queue.recv().await {
        if let Some(frame) = answer.work.await? {
            wire::send(&mut to, frame).await?;
        }
        if let Some(sent) = answer.sent {
            // The reader may be gone with the client.
            let _ = sent.send(());
        }
    }
    Ok(())
}

async fn read_requests<R: tokio::io::AsyncRead + Unpin>(
    node: &Arc<Node>,
    mut frames: FrameReader<R>,
    peer: SocketAddr,
    answers: mpsc::Sender<Answer>,
) -> Result<(), Close> {
    let logged_in = node.config.sasl.is_none();
    let mut session = Session { peer, handshaken: false, logged_in, failed: false };
    loop {
        let max = if session.logged_in { node.config.limits.request_bytes } else { FRAME_BYTES_BEFORE_LOGIN };
        let Some(length) = node.or_stopping(frames.next_length(max)).await else { return Ok(()) };
        let Some(length) = length? else { return Ok(()) };
        let memory = reserve(node, length).await;
        let Some(frame) = node.or_stopping(frames.frame(length)).await else { return Ok(()) };
        let frame = frame?;
        node.counts.requests.fetch_add(1, Ordering::Relaxed);
        let head = Head::peek(&frame).ok_or_else(|| Close::Protocol("a frame without a header".into()))?;
        if head.api_key == ApiKey::Produce as i16 && session.logged_in && api::find(head.api_key, head.api_version).is_some() {
            let work = produce(node, frame, head)?;
            answers.send(Answer { work, sent: None, _memory: memory }).await.map_err(|_| Close::Gone)?;
            continue;
        }
        let work = answer(node, &mut session, frame, head)?;
        let (sent, done) = oneshot::channel();
        answers.send(Answer { work, sent: Some(sent), _memory: memory }).await.map_err(|_| Close::Gone)?;
        done.await.map_err(|_| Close::Gone)?;
        if session.failed {
            return Ok(());
        }
    }
}

/// Memory for a large frame; waits while others have it.
async fn reserve(node: &Node, length: usize) -> Option<OwnedSemaphorePermit> {
    if length < SMALL_FRAME_BYTES {
        return None;
    }
    let kib = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX);
    node.request_memory.clone().acquire_many_owned(kib).await.ok()
}

/// Checks that decoding is safe and takes the header off.
fn open(frame: Bytes, head: Head, api: ApiKey) -> Result<(Bytes, String), Close> {
    let mut body = frame;
    let malformed = |why: String| Close::Protocol(format!("{api:?} version {}: {why}", head.api_version));
    let header_version = api.request_header_version(head.api_version);
    let client = shape::check_header(&mut body, header_version).map_err(|e| malformed(e.to_string()))?;
    shape::check(api, head.api_version, &body).map_err(|e| malformed(e.to_string()))?;
    Ok((body, client))
}

fn decode<T: Decodable>(body: &mut Bytes, head: Head) -> Result<T, Close> {
    // What follows the last field has been looked at by `shape::check`.
    T::decode(body, head.api_version).map_err(|e| Close::Protocol(format!("a request could not be decoded: {e}")))
}

fn produce(node: &Arc<Node>, frame: Bytes, head: Head) -> Result<Work, Close> {
    let (mut body, _) = open(frame, head, ApiKey::Produce)?;
    let request: ProduceRequest = decode(&mut body, head)?;
    let pending = produce::submit(node, request);
    Ok(Box::pin(async move {
        let wanted = pending.wants_answer;
        let response = produce::finish(pending, head.api_version).await;
        let frame = wire::encode(head.correlation_id, head.api_version, &response)?;
        Ok(wanted.then_some(frame))
    }))
}

/// Answers anything but Produce. What changes the session is done at once, the rest when its turn comes.
fn answer(node: &Arc<Node>, session: &mut Session, frame: Bytes, head: Head) -> Result<Work, Close> {
    let Some(api) = api::find(head.api_key, head.api_version) else { return Ok(ready(unsupported(head))) };
    let before_login = matches!(api, ApiKey::ApiVersions | ApiKey::SaslHandshake | ApiKey::SaslAuthenticate);
    if !session.logged_in && !before_login {
        warn!(peer = %session.peer, ?api, "closed a connection that did not log in");
        return Err(Close::Protocol("a request before logging in (SASL/PLAIN is required)".into()));
    }
    let (mut body, client_id) = open(frame, head, api)?;
    let (version, id) = (head.api_version, head.correlation_id);
    let node = node.clone();
    /// Decodes now, answers later.
    macro_rules! later {
        ($request:ty, |$r:ident| $answer:expr) => {{
            let $r: $request = decode(&mut body, head)?;
            Box::pin(async move {
                let response = $answer;
                wire::encode(id, version, &response).map(Some)
            })
        }};
    }
    Ok(match api {
        ApiKey::ApiVersions => later!(ApiVersionsRequest, |r| about::api_versions(r)),
        ApiKey::SaslHandshake => {
            let request = decode(&mut body, head)?;
            ready(wire::encode(id, version, &sasl::handshake(session, node.config.sasl.as_ref(), &request)))
        }
        ApiKey::SaslAuthenticate => {
            let request = decode(&mut body, head)?;
            ready(wire::encode(id, version, &sasl::authenticate(session, node.config.sasl.as_ref(), &request)))
        }
        ApiKey::Metadata => later!(MetadataRequest, |r| about::metadata(&node, r, version).await),
        ApiKey::DescribeCluster => later!(DescribeClusterRequest, |r| about::describe_cluster(&node, &r)),
        ApiKey::FindCoordinator => later!(FindCoordinatorRequest, |r| about::find_coordinator(&node, r, version)),
        ApiKey::InitProducerId => later!(InitProducerIdRequest, |r| about::init_producer_id(&node, r).await),
        ApiKey::Fetch => later!(FetchRequest, |r| {
            let response = fetch::fetch(&node, r, version).await;
            let records = response.responses.iter().flat_map(|t| &t.partitions).filter_map(|p| p.records.as_ref());
            node.counts.fetch_bytes.fetch_add(records.map(Bytes::len).sum::<usize>() as u64, Ordering::Relaxed);
            response
        }),
        ApiKey::ListOffsets => later!(ListOffsetsRequest, |r| offsets::list_offsets(&node, r, version).await),
        ApiKey::OffsetForLeaderEpoch => later!(OffsetForLeaderEpochRequest, |r| offsets::offset_for_leader_epoch(&node, r)),
        ApiKey::CreateTopics => later!(CreateTopicsRequest, |r| topics::create_topics(&node, r, version).await),
        ApiKey::DeleteTopics => later!(DeleteTopicsRequest, |r| topics::delete_topics(&node, r, version).await),
        ApiKey::CreatePartitions => later!(CreatePartitionsRequest, |r| topics::create_partitions(&node, r).await),
        ApiKey::DeleteRecords => later!(DeleteRecordsRequest, |r| records::delete_records(&node, r).await),
        ApiKey::DescribeProducers => later!(DescribeProducersRequest, |r| records::describe_producers(&node, r)),
        ApiKey::DescribeLogDirs => later!(DescribeLogDirsRequest, |r| records::describe_log_dirs(&node, r)),
        ApiKey::DescribeConfigs => later!(DescribeConfigsRequest, |r| configs::describe(&node, r, version)),
        ApiKey::AlterConfigs => later!(AlterConfigsRequest, |r| configs::alter(&node, r).await),
        ApiKey::IncrementalAlterConfigs => later!(IncrementalAlterConfigsRequest, |r| configs::alter_some(&node, r).await),
        ApiKey::JoinGroup => {
            let client = groups::Client { host: session.peer.ip().to_string(), id: client_id };
            later!(JoinGroupRequest, |r| groups::join(&node, r, version, client).await)
        }
        ApiKey::SyncGroup => later!(SyncGroupRequest, |r| groups::sync(&node, r, version).await),
        ApiKey::Heartbeat => later!(HeartbeatRequest, |r| groups::heartbeat(&node, r)),
        ApiKey::LeaveGroup => later!(LeaveGroupRequest, |r| groups::leave(&node, r, version)),
        ApiKey::DescribeGroups => later!(DescribeGroupsRequest, |r| groups::describe(&node, r, version)),
        ApiKey::ListGroups => later!(ListGroupsRequest, |r| groups::list(&node, r, version)),
        ApiKey::DeleteGroups => later!(DeleteGroupsRequest, |r| groups::delete(&node, r).await),
        ApiKey::OffsetCommit => later!(OffsetCommitRequest, |r| groups::commit(&node, r).await),
        ApiKey::OffsetFetch => later!(OffsetFetchRequest, |r| groups::fetch_offsets(&node, r, version)),
        ApiKey::OffsetDelete => later!(OffsetDeleteRequest, |r| groups::delete_offsets(&node, r).await),
        other => return Err(Close::Protocol(format!("{other:?} is offered but has no handler"))),
    })
}

fn ready(frame: Result<BytesMut, Close>) -> Work {
    Box::pin(std::future::ready(frame.map(Some)))
}

/// An answer to what we do not know. ApiVersions is answered in version 0, which every client reads; of anything else
/// the answer begins, as most do, with a throttle time and the error code.
fn unsupported(head: Head) -> Result<BytesMut, Close> {
    info!(api_key = head.api_key, version = head.api_version, "a client asked for an API or version that is not offered");
    if head.api_key == ApiKey::ApiVersions as i16 {
        return wire::encode(head.correlation_id, 0, &about::api_versions_unknown());
    }
    let flexible = ApiKey::try_from(head.api_key)
        .is_ok_and(|api| api.valid_versions().max >= head.api_version && head.api_version >= 0 && api.response_header_version(head.api_version) >= 1);
    let mut out = BytesMut::with_capacity(32);
    out.put_i32(0);
    out.put_i32(head.correlation_id);
    if flexible {
        out.put_u8(0);
    }
    out.put_i32(0);
    out.put_i16(ResponseError::UnsupportedVersion.code());
    // No message, no elements, no tagged fields, whatever follows.
    out.put_bytes(0, 16);
    wire::finish(&mut out);
    Ok(out)
}
