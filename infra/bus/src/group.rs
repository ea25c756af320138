//! A member of a consumer group: partitions spread over processes, as Kafka's own clients do it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use schemas::event::KafkaRecord;
use schemas::position::Position;

use crate::bus::Bus;
use crate::config::creation_error;
use crate::context::PlainContext;
use crate::error::BusError;

/// A member of a group. Partitions move between members one by one (cooperative-sticky); a record may come again to
/// another member when its position was not committed.
pub struct GroupConsumer {
    consumer: Arc<StreamConsumer<PlainContext>>,
    next: Mutex<HashMap<(String, i32), i64>>,
}

/// A record that came to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRecord {
    /// Where it stands.
    pub position: Position,
    /// Its timestamp.
    pub timestamp_ms: Option<i64>,
    /// Key, headers and value.
    pub record: KafkaRecord,
}

impl fmt::Debug for GroupConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupConsumer").finish_non_exhaustive()
    }
}

impl GroupConsumer {
    /// Joins a group for these topics.
    ///
    /// # Errors
    /// [`BusError::Option`] for a setting that is not one.
    pub fn join(bus: &Bus, group: &str, topics: &[&str]) -> Result<GroupConsumer, BusError> {
        let consumer: StreamConsumer<PlainContext> = bus
            .config()
            .client(&[
                ("group.id", group),
                ("partition.assignment.strategy", "cooperative-sticky"),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "earliest"),
                ("session.timeout.ms", "6000"),
                ("heartbeat.interval.ms", "500"),
                ("fetch.queue.backoff.ms", "10"),
                ("fetch.wait.max.ms", "100"),
            ])
            .create_with_context(PlainContext::default())
            .map_err(|error| creation_error("a consumer", error))?;
        consumer.subscribe(topics).map_err(|error| BusError::request(format!("join the group {group}"), error))?;
        Ok(GroupConsumer { consumer: Arc::new(consumer), next: Mutex::default() })
    }

    /// The next record. It must be called again and again, for the group to see that this member lives.
    ///
    /// # Errors
    /// What librdkafka says; one may go on after most of it.
    pub async fn recv(&self) -> Result<GroupRecord, BusError> {
        let message = self.consumer.recv().await.map_err(|error| BusError::request("read in a group", error))?;
        let position = Position { topic: message.topic().to_owned(), partition: message.partition(), offset: message.offset() };
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let headers = headers.map(|header| (header.key.to_owned(), header.value.map(Bytes::copy_from_slice))).collect();
        let record = KafkaRecord {
            key: message.key().map(Bytes::copy_from_slice),
            headers,
            value: message.payload().map(Bytes::copy_from_slice),
        };
        let place = (position.topic.clone(), position.partition);
        self.next.lock().unwrap_or_else(PoisonError::into_inner).insert(place, position.offset + 1);
        Ok(GroupRecord { position, timestamp_ms: message.timestamp().to_millis(), record })
    }

    /// Commits the positions of all that was received and still belongs to this member.
    ///
    /// # Errors
    /// When the group does not take it, for instance since it is being divided anew.
    pub async fn commit(&self) -> Result<(), BusError> {
        let mine = self.assignment();
        let mut list = TopicPartitionList::new();
        {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            next.retain(|place, _| mine.contains(place));
            for ((topic, partition), offset) in next.iter() {
                list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                    .map_err(|error| BusError::request("commit positions", error))?;
            }
        }
        if list.count() == 0 {
            return Ok(());
        }
        let consumer = Arc::clone(&self.consumer);
        let committed = tokio::task::spawn_blocking(move || consumer.commit(&list, CommitMode::Sync)).await;
        match committed {
            Ok(answer) => answer.map_err(|error| BusError::request("commit positions", error)),
            Err(_) => Err(BusError::Stopped("group consumer")),
        }
    }

    /// The partitions that belong to this member now.
    pub fn assignment(&self) -> BTreeSet<(String, i32)> {
        let Ok(list) = self.consumer.assignment() else { return BTreeSet::new() };
        list.elements().iter().map(|element| (element.topic().to_owned(), element.partition())).collect()
    }
}
