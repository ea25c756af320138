//! The way in: one connection for questions about topics, from which producers and taps are made.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tracing::{debug, info};

use crate::config::{BusConfig, creation_error};
use crate::context::PlainContext;
use crate::error::BusError;
use crate::filter::Filter;
use crate::limits;
use crate::producer::{Producer, ProducerConfig};

/// A Kafka, embedded or a cluster. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    shared: Arc<Shared>,
}

struct Shared {
    config: BusConfig,
    admin: AdminClient<PlainContext>,
    questions: BaseConsumer<PlainContext>,
}

/// A topic that should be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// How many partitions it gets when it is made; a topic that is there keeps its own.
    pub partitions: i32,
    /// Kafka's settings of the topic, such as `cleanup.policy`.
    pub config: BTreeMap<String, String>,
}

impl TopicSpec {
    /// A topic that takes the largest records that the envelope allows.
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self { name: name.into(), partitions, config: BTreeMap::new() }
    }

    /// The same with one more setting.
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(key.into(), value.into());
        self
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("bootstrap", &self.shared.config.bootstrap).finish_non_exhaustive()
    }
}

impl Bus {
    /// Connects, and comes back when Kafka has answered.
    ///
    /// # Errors
    /// [`BusError::Unreachable`] when nobody answers in time, [`BusError::Option`] for a setting that is not one.
    pub async fn connect(config: BusConfig) -> Result<Bus, BusError> {
        let admin = config
            .client(&[])
            .create_with_context(PlainContext::default())
            .map_err(|error| creation_error("a client", error))?;
        let questions = config
            .client(&[("group.id", "citybrain-questions"), ("enable.auto.commit", "false")])
            .create_with_context(PlainContext::default())
            .map_err(|error| creation_error("a client", error))?;
        let bus = Bus { shared: Arc::new(Shared { config, admin, questions }) };
        let started = Instant::now();
        let limit = bus.shared.config.connect_timeout;
        loop {
            let left = limit.saturating_sub(started.elapsed());
            let attempt = left.clamp(Duration::from_millis(100), Duration::from_secs(2));
            match bus.ask(move |shared| shared.admin.inner().fetch_metadata(None, attempt).map(|_| ())).await {
                Ok(()) => {
                    info!(bootstrap = bus.shared.config.bootstrap, "connected");
                    return Ok(bus);
                }
                Err(error) if started.elapsed() >= limit => {
                    let complaint = bus.shared.admin.inner().context().complaints.last();
                    return Err(BusError::Unreachable {
                        bootstrap: bus.shared.config.bootstrap.clone(),
                        secs: started.elapsed().as_secs(),
                        detail: complaint.unwrap_or_else(|| error.to_string()),
                    });
                }
                Err(error) => {
                    debug!(%error, "no answer yet");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// How it was configured.
    pub fn config(&self) -> &BusConfig {
        &self.shared.config
    }

    /// Makes the topics that are not there and waits until they can be written to; returns the names of the new ones.
    /// A topic that is there stays as it is.
    ///
    /// # Errors
    /// [`BusError::Topic`] when the broker refuses one, with its reason.
    pub async fn ensure_topics(&self, specs: &[TopicSpec]) -> Result<Vec<String>, BusError> {
        let known = self.topics().await?;
        let missing: Vec<&TopicSpec> = specs.iter().filter(|spec| !known.contains_key(&spec.name)).collect();
        for spec in specs {
            match known.get(&spec.name) {
                Some(partitions) if *partitions != spec.partitions => {
                    info!(topic = spec.name, has = partitions, wanted = spec.partitions, "a topic keeps its partitions");
                }
                Some(_) | None => {}
            }
        }
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let record_bytes_max = limits::RECORD_BYTES_MAX.to_string();
        let mut made = Vec::new();
        // In groups, since a broker makes each partition's files before it answers.
        for group in missing.chunks(50) {
            let topics: Vec<NewTopic<'_>> = group
                .iter()
                .map(|spec| {
                    // -1: the cluster's own default, one on a single node, three on most clusters.
                    let topic = NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(-1));
                    let topic = match spec.config.contains_key("max.message.bytes") {
                        true => topic,
                        false => topic.set("max.message.bytes", &record_bytes_max),
                    };
                    spec.config.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
                })
                .collect();
            let options = AdminOptions::new()
                .request_timeout(Some(Duration::from_secs(60)))
                .operation_timeout(Some(Duration::from_secs(30)));
            let results = self.shared.admin.create_topics(&topics, &options).await;
            for result in results.map_err(|error| BusError::request("make topics", error))? {
                match result {
                    Ok(topic) => made.push(topic),
                    // Somebody else made it meanwhile.
                    Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                    Err((topic, code)) => return Err(BusError::Topic { verb: "make", topic, problem: code.to_string() }),
                }
            }
        }
        self.wait_for_leaders(missing.iter().map(|spec| spec.name.as_str())).await?;
        info!(count = made.len(), "made topics");
        Ok(made)
    }

    async fn wait_for_leaders(&self, topics: impl Iterator<Item = &str>) -> Result<(), BusError> {
        let started = Instant::now();
        for topic in topics {
            loop {
                let name = topic.to_owned();
                let ready = self
                    .ask(move |shared| {
                        let metadata = shared.admin.inner().fetch_metadata(Some(&name), limits::REQUEST_TIMEOUT)?;
                        let ready = metadata.topics().iter().any(|found| {
                            found.error().is_none()
                                && !found.partitions().is_empty()
                                && found.partitions().iter().all(|partition| partition.leader() >= 0)
                        });
                        Ok(ready)
                    })
                    .await;
                match ready {
                    Ok(true) => break,
                    Ok(false) | Err(_) if started.elapsed() < Duration::from_secs(60) => {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    Ok(false) => {
                        let problem = "it has no leader after 60 s; look at the brokers".to_owned();
                        return Err(BusError::Topic { verb: "make", topic: topic.to_owned(), problem });
                    }
                    Err(error) => return Err(BusError::request(format!("look for the topic `{topic}`"), error)),
                }
            }
        }
        Ok(())
    }

    /// All topics with their numbers of partitions, Kafka's own (`__...`) aside.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub async fn topics(&self) -> Result<BTreeMap<String, i32>, BusError> {
        let metadata = self.ask(|shared| list(shared.admin.inner(), limits::REQUEST_TIMEOUT)).await;
        metadata.map_err(|error| BusError::request("list the topics", error))
    }

    /// The first offset and the next offset to be written, for each partition of a topic.
    ///
    /// # Errors
    /// [`BusError::NoTopic`] when there is no such topic.
    pub async fn watermarks(&self, topic: &str) -> Result<BTreeMap<i32, (i64, i64)>, BusError> {
        let ends = self.ends_of(vec![topic.to_owned()]).await?;
        if ends.is_empty() {
            return Err(BusError::NoTopic { topic: topic.to_owned() });
        }
        Ok(ends.into_iter().map(|((_, partition), ends)| (partition, ends)).collect())
    }

    /// Where all topics of a filter end now: the start of a reader that wants only what is new.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub async fn ends(&self, filter: &Filter) -> Result<BTreeMap<(String, i32), i64>, BusError> {
        let topics = self.topics().await?.into_keys().filter(|topic| filter.matches(topic)).collect();
        let ends = self.ends_of(topics).await?;
        Ok(ends.into_iter().map(|(place, (_, high))| (place, high)).collect())
    }

    /// The first offset at or after a time, for each partition of topics that has a record so late.
    ///
    /// # Errors
    /// When Kafka does not answer.
    pub async fn offsets_at(&self, topics: &[String], time_ms: i64) -> Result<BTreeMap<(String, i32), i64>, BusError> {
        let (asked, topics) = (topics.join(", "), topics.to_vec());
        let found = self
            .ask(move |shared| {
                let known = list(shared.admin.inner(), limits::REQUEST_TIMEOUT)?;
                let mut question = TopicPartitionList::new();
                for topic in &topics {
                    for partition in 0..known.get(topic).copied().unwrap_or_default() {
                        question.add_partition(topic, partition);
                    }
                }
                if question.count() == 0 {
                    return Ok(Vec::new());
                }
                // Below zero stand the names of the ends.
                question.set_all_offsets(Offset::Offset(time_ms.max(0)))?;
                offsets(&shared.questions.offsets_for_times(question, limits::REQUEST_TIMEOUT)?)
            })
            .await;
        let found = found.map_err(|error| BusError::request(format!("look {time_ms} ms up in {asked}"), error))?;
        Ok(found.into_iter().collect())
    }

    async fn ends_of(&self, topics: Vec<String>) -> Result<BTreeMap<(String, i32), (i64, i64)>, BusError> {
        let asked = topics.join(", ");
        let ends = self
            .ask(move |shared| {
                let known = list(shared.admin.inner(), limits::REQUEST_TIMEOUT)?;
                let mut question = TopicPartitionList::new();
                for topic in &topics {
                    for partition in 0..known.get(topic).copied().unwrap_or_default() {
                        question.add_partition(topic, partition);
                    }
                }
                if question.count() == 0 {
                    return Ok(BTreeMap::new());
                }
                // The two names for the ends are times that a broker knows; so one request serves all partitions.
                question.set_all_offsets(Offset::Beginning)?;
                let low = once_leaders_are_known(|| shared.questions.offsets_for_times(question.clone(), limits::REQUEST_TIMEOUT))?;
                question.set_all_offsets(Offset::End)?;
                let high = once_leaders_are_known(|| shared.questions.offsets_for_times(question.clone(), limits::REQUEST_TIMEOUT))?;
                let mut ends = BTreeMap::new();
                for (place, low) in low {
                    ends.insert(place, (low, low));
                }
                for (place, high) in high {
                    ends.entry(place).and_modify(|ends: &mut (i64, i64)| ends.1 = high);
                }
                Ok(ends)
            })
            .await;
        ends.map_err(|error| BusError::request(format!("read the ends of {asked}"), error))
    }

    /// Removes a topic and all that is in it. A topic that is not there is no error.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), BusError> {
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
        let results = self.shared.admin.delete_topics(&[topic], &options).await;
        for result in results.map_err(|error| BusError::request(format!("delete the topic `{topic}`"), error))? {
            match result {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)) => {}
                Err((topic, code)) => return Err(BusError::Topic { verb: "delete", topic, problem: code.to_string() }),
            }
        }
        Ok(())
    }

    /// A producer with the usual settings.
    ///
    /// # Errors
    /// [`BusError::Option`] for a setting that is not one.
    pub fn producer(&self) -> Result<Producer, BusError> {
        self.producer_with(&ProducerConfig::default())
    }

    /// A producer.
    ///
    /// # Errors
    /// [`BusError::Option`] for a setting that is not one.
    pub fn producer_with(&self, config: &ProducerConfig) -> Result<Producer, BusError> {
        Producer::new(&self.shared.config, config)
    }

    /// Asks librdkafka something that blocks, off the async threads.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Shared) -> Result<T, rdkafka::error::KafkaError> + Send + 'static,
    ) -> Result<T, rdkafka::error::KafkaError> {
        let shared = Arc::clone(&self.shared);
        match tokio::task::spawn_blocking(move || question(&shared)).await {
            Ok(answer) => answer,
            Err(_) => Err(rdkafka::error::KafkaError::Canceled),
        }
    }
}

/// All topics that a client's broker knows, with their numbers of partitions.
pub fn list<C: rdkafka::ClientContext>(
    client: &Client<C>,
    within: Duration,
) -> Result<BTreeMap<String, i32>, rdkafka::error::KafkaError> {
    let metadata = client.fetch_metadata(None, within)?;
    let topics = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__") && topic.error().is_none());
    Ok(topics.map(|topic| (topic.name().to_owned(), i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX))).collect())
}

/// Asks again while a topic is so new, or its leader has just moved so, that the broker asked is not yet its leader.
fn once_leaders_are_known(
    ask: impl Fn() -> Result<TopicPartitionList, rdkafka::error::KafkaError>,
) -> Result<Vec<((String, i32), i64)>, rdkafka::error::KafkaError> {
    let patience = Instant::now() + limits::REQUEST_TIMEOUT;
    loop {
        let answer = ask().and_then(|list| offsets(&list));
        match answer.as_ref().err().and_then(rdkafka::error::KafkaError::rdkafka_error_code) {
            Some(
                RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::UnknownTopicOrPartition,
            ) if Instant::now() < patience => std::thread::sleep(Duration::from_millis(50)),
            _ => return answer,
        }
    }
}

fn offsets(list: &TopicPartitionList) -> Result<Vec<((String, i32), i64)>, rdkafka::error::KafkaError> {
    let mut offsets = Vec::with_capacity(list.count());
    for element in list.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            offsets.push(((element.topic().to_owned(), element.partition()), offset));
        }
    }
    Ok(offsets)
}
