//! A member of a consumer group that is told which partitions are its own, and reads them by other means.
//!
//! It takes no records itself: what it owns is read through a [`Tap`](crate::Tap), whose positions it commits when the work
//! on them is done.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{debug, warn};

use crate::bus::Bus;
use crate::config::creation_error;
use crate::context::{self, Complaints};
use crate::error::BusError;
use crate::limits;
use crate::tap::spawn;

/// How long the member waits for work on partitions to end before others get them.
const HAND_OVER_WITHIN: Duration = Duration::from_secs(20);
/// How often it looks whether it is to leave.
const POLL: Duration = Duration::from_millis(100);

/// A change of what belongs to a member.
#[derive(Debug)]
pub enum Change {
    /// These partitions belong to it now.
    Gained(Vec<(String, i32)>),
    /// These will belong to others.
    Lost(HandOver),
}

/// Partitions that will belong to others when this is dropped, or after 20 seconds.
#[derive(Debug)]
pub struct HandOver {
    /// Which.
    pub partitions: Vec<(String, i32)>,
    _done: SyncSender<()>,
}

/// A member of a group.
pub struct Member {
    consumer: Arc<BaseConsumer<MemberContext>>,
    leaving: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").finish_non_exhaustive()
    }
}

impl Member {
    /// Joins a group for these topics. Changes come one after the other. Who is silent for `session` is taken for dead.
    ///
    /// # Errors
    /// [`BusError::Option`] for a setting that is not one.
    pub fn join(bus: &Bus, group: &str, topics: &[&str], session: Duration) -> Result<(Member, UnboundedReceiver<Change>), BusError> {
        let (tell, changes) = unbounded_channel();
        let context = MemberContext { complaints: Complaints::default(), tell };
        let consumer: BaseConsumer<MemberContext> = bus
            .config()
            .client(&[
                ("group.id", group),
                ("partition.assignment.strategy", "cooperative-sticky"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "earliest"),
                ("allow.auto.create.topics", "false"),
                ("session.timeout.ms", &session.as_millis().to_string()),
                ("heartbeat.interval.ms", &(session / 10).as_millis().to_string()),
                // Its partitions are paused; this bounds what comes before they are.
                ("queued.min.messages", "1"),
                ("queued.max.messages.kbytes", "64"),
            ])
            .create_with_context(context)
            .map_err(|error| creation_error("a member of a group", error))?;
        consumer.subscribe(topics).map_err(|error| BusError::request(format!("join the group {group}"), error))?;
        let (consumer, leaving) = (Arc::new(consumer), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (consumer, leaving) = (Arc::clone(&consumer), Arc::clone(&leaving));
            let poll = move || {
                while !leaving.load(Ordering::Acquire) {
                    // What came before the partitions were paused comes by the tap as well.
                    if let Some(Err(error)) = consumer.poll(POLL) {
                        consumer.context().complaints.hear(&error, "");
                    }
                }
            };
            spawn("group-member", poll)?
        };
        Ok((Member { consumer, leaving, thread: Some(thread) }, changes))
    }

    /// The next offset of partitions, as the group has committed it.
    ///
    /// # Errors
    /// When the group does not answer.
    pub async fn committed(&self, partitions: &[(String, i32)]) -> Result<BTreeMap<(String, i32), i64>, BusError> {
        let mut list = TopicPartitionList::new();
        for (topic, partition) in partitions {
            list.add_partition(topic, *partition);
        }
        let consumer = Arc::clone(&self.consumer);
        let asked = tokio::task::spawn_blocking(move || consumer.committed_offsets(list, limits::REQUEST_TIMEOUT)).await;
        let found = asked.map_err(|_| BusError::Stopped("group member"))?.map_err(|error| BusError::request("read committed positions", error))?;
        let known = found.elements().into_iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) => Some(((element.topic().to_owned(), element.partition()), offset)),
            _ => None,
        });
        Ok(known.collect())
    }

    /// Commits the next offsets of partitions that belong to this member.
    ///
    /// # Errors
    /// When the group does not take them, for instance since they belong to another member meanwhile.
    pub async fn commit(&self, positions: BTreeMap<(String, i32), i64>) -> Result<(), BusError> {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), next) in positions {
            let added = list.add_partition_offset(&topic, partition, Offset::Offset(next));
            added.map_err(|error| BusError::request("commit positions", error))?;
        }
        let consumer = Arc::clone(&self.consumer);
        let committed = tokio::task::spawn_blocking(move || consumer.commit(&list, CommitMode::Sync)).await;
        committed.map_err(|_| BusError::Stopped("group member"))?.map_err(|error| BusError::request("commit positions", error))
    }

    /// Leaves the group. To be called when the work on its partitions has ended and nobody listens for changes any more.
    pub async fn leave(mut self) {
        self.leaving.store(true, Ordering::Release);
        let left = tokio::task::spawn_blocking(move || {
            if let Some(thread) = self.thread.take() {
                let _ = thread.join();
            }
            drop(self);
        });
        let _ = left.await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leaving.store(true, Ordering::Release);
    }
}

/// Hears what becomes of the group.
struct MemberContext {
    complaints: Complaints,
    tell: UnboundedSender<Change>,
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.complaints.hear(&error, reason);
    }
}

impl ConsumerContext for MemberContext {
    /// Partitions go when the work on them has ended: this callback holds them until then.
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Revoke(list) = rebalance else { return };
        let partitions = places(list);
        if partitions.is_empty() {
            return;
        }
        let (done, ended): (SyncSender<()>, Receiver<()>) = sync_channel(1);
        debug!(?partitions, "partitions go to others");
        if self.tell.send(Change::Lost(HandOver { partitions, _done: done })).is_ok() {
            // Nothing is ever sent: the other end goes.
            if let Err(std::sync::mpsc::RecvTimeoutError::Timeout) = ended.recv_timeout(HAND_OVER_WITHIN) {
                warn!("work on partitions that go to others has not ended in time");
            }
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => {
                if let Err(error) = consumer.pause(list) {
                    warn!(%error, "could not pause partitions of a group");
                }
                let partitions = places(list);
                debug!(?partitions, "partitions come");
                if !partitions.is_empty() {
                    // Nobody listens any more when the member is about to leave.
                    let _ = self.tell.send(Change::Gained(partitions));
                }
            }
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => self.complaints.hear(error, ""),
        }
    }
}

fn places(list: &TopicPartitionList) -> Vec<(String, i32)> {
    list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
}
