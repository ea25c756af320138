//! A broker in its own runtime, and a client that speaks the protocol over a plain socket.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use broker::{Broker, BrokerConfig};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::{
    Compression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use tokio::runtime::Runtime;

/// Small write-ahead files, so that a test does not write 64 MiB of zeros first.
pub fn config(dir: &Path) -> BrokerConfig {
    let mut config = BrokerConfig::new(dir);
    config.limits.wal_bytes = 4 * 1024 * 1024;
    config.limits.message_bytes = 12 * 1024 * 1024;
    config.maintenance_interval = Duration::from_secs(3600);
    config
}

/// A broker with a runtime of its own, so that it can be dropped as a whole.
pub struct TestBroker {
    runtime: Option<Runtime>,
    broker: Option<Broker>,
    pub addr: SocketAddr,
}

impl TestBroker {
    pub fn start(config: BrokerConfig) -> Self {
        Self::try_start(config).unwrap_or_else(|e| panic!("the broker does not start: {e}"))
    }

    pub fn try_start(config: BrokerConfig) -> Result<Self, broker::StartError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let broker = runtime.block_on(Broker::start(config))?;
        let addr = broker.addr();
        Ok(Self { runtime: Some(runtime), broker: Some(broker), addr })
    }

    pub fn broker(&self) -> &Broker {
        self.broker.as_ref().expect("a broker")
    }

    pub fn maintain(&self) {
        self.runtime.as_ref().expect("a runtime").block_on(self.broker().maintain_now());
    }

    /// A clean stop.
    pub fn stop(mut self) {
        let broker = self.broker.take().expect("a broker");
        self.runtime.as_ref().expect("a runtime").block_on(broker.shutdown());
    }

    /// Drops everything where it stands.
    pub fn crash(mut self) {
        self.broker.take();
        self.runtime.take().expect("a runtime").shutdown_timeout(Duration::from_secs(20));
    }

    pub fn client(&self) -> Client {
        Client::connect(self.addr)
    }
}

/// One connection.
pub struct Client {
    stream: TcpStream,
    next: i32,
    pub ids: Vec<(String, u128)>,
}

pub fn text(s: &str) -> StrBytes {
    StrBytes::from_string(s.to_owned())
}

pub fn topic(s: &str) -> TopicName {
    TopicName(text(s))
}

pub fn group(s: &str) -> GroupId {
    GroupId(text(s))
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("a connection");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        Self { stream, next: 1, ids: Vec::new() }
    }

    pub fn send<R: Request>(&mut self, request: &R, version: i16) -> i32 {
        let id = self.next;
        self.next += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(id)
            .with_client_id(Some(text("test")));
        let mut out = BytesMut::new();
        out.put_i32(0);
        header.encode(&mut out, R::header_version(version)).expect("a header");
        request.encode(&mut out, version).expect("a request");
        let length = (out.len() - 4) as i32;
        out[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&out).expect("sent");
        id
    }

    pub fn send_raw(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn read_frame(&mut self) -> std::io::Result<Bytes> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut frame = vec![0; i32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame)?;
        Ok(frame.into())
    }

    pub fn receive<R: Request>(&mut self, id: i32, version: i16) -> R::Response {
        let mut frame = self.read_frame().expect("an answer");
        let header = ResponseHeader::decode(&mut frame, R::Response::header_version(version)).expect("a header");
        assert_eq!(header.correlation_id, id, "answers come in order");
        let response = R::Response::decode(&mut frame, version).expect("a response");
        assert!(!frame.has_remaining(), "{} bytes after a response", frame.len());
        response
    }

    pub fn call<R: Request>(&mut self, request: &R, version: i16) -> R::Response {
        let id = self.send(request, version);
        self.receive::<R>(id, version)
    }

    pub fn create(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> i16 {
        let configs = configs.iter().map(|(n, v)| CreatableTopicConfig::default().with_name(text(n)).with_value(Some(text(v))));
        let wanted = CreatableTopic::default()
            .with_name(topic(name))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default().with_topics(vec![wanted]).with_timeout_ms(1000);
        self.call(&request, 5).topics[0].error_code
    }

    pub fn produce(&mut self, name: &str, partition: i32, records: Bytes) -> PartitionProduceResponse {
        let id = self.send_produce(name, partition, records);
        self.receive_produce(id)
    }

    pub fn send_produce(&mut self, name: &str, partition: i32, records: Bytes) -> i32 {
        self.send(&produce_request(name, partition, records), 9)
    }

    pub fn receive_produce(&mut self, id: i32) -> PartitionProduceResponse {
        self.receive::<ProduceRequest>(id, 9).responses.remove(0).partition_responses.remove(0)
    }

    /// Produces and asserts that it was acknowledged; answers the first offset.
    pub fn put(&mut self, name: &str, partition: i32, values: &[&str]) -> i64 {
        let records: Vec<Record> = values.iter().map(|v| record(None, Some(v.as_bytes()))).collect();
        let answer = self.produce(name, partition, batch(records, Compression::None));
        assert_eq!(answer.error_code, 0, "{answer:?}");
        answer.base_offset
    }

    pub fn fetch_raw(&mut self, name: &str, partition: i32, offset: i64, wait_ms: i32, max_bytes: i32) -> fetch_response::PartitionData {
        let id = self.send(&fetch_request(name, partition, offset, wait_ms, max_bytes), 12);
        self.receive::<FetchRequest>(id, 12).responses.remove(0).partitions.remove(0)
    }

    /// Everything from an offset to the end.
    pub fn fetch_all(&mut self, name: &str, partition: i32, mut offset: i64) -> Vec<Record> {
        let mut all = Vec::new();
        loop {
            let answer = self.fetch_raw(name, partition, offset, 0, 1024 * 1024);
            assert_eq!(answer.error_code, 0, "at {offset}");
            let records = decode(answer.records.unwrap_or_default());
            let Some(last) = records.last() else { return all };
            let from = offset;
            offset = last.offset + 1;
            all.extend(records.into_iter().filter(|r| r.offset >= from));
        }
    }

    pub fn values(&mut self, name: &str, partition: i32) -> Vec<String> {
        let start = self.offset(name, partition, -2).1;
        let value = |r: &Record| String::from_utf8_lossy(r.value.as_deref().unwrap_or(b"null")).into_owned();
        self.fetch_all(name, partition, start).iter().map(value).collect()
    }

    /// Timestamp and offset by time, -1 latest, -2 earliest, -3 newest timestamp.
    pub fn offset(&mut self, name: &str, partition: i32, timestamp: i64) -> (i64, i64) {
        let asked = ListOffsetsPartition::default().with_partition_index(partition).with_timestamp(timestamp);
        let asked = ListOffsetsTopic::default().with_name(topic(name)).with_partitions(vec![asked]);
        let answer = self.call(&ListOffsetsRequest::default().with_topics(vec![asked]), 7);
        let p = &answer.topics[0].partitions[0];
        assert_eq!(p.error_code, 0);
        (p.timestamp, p.offset)
    }

    pub fn producer_id(&mut self) -> i64 {
        let answer = self.call(&InitProducerIdRequest::default().with_transactional_id(None).with_producer_id(ProducerId(-1)).with_producer_epoch(-1), 4);
        assert_eq!(answer.error_code, 0);
        answer.producer_id.0
    }
}

pub fn produce_request(name: &str, partition: i32, records: Bytes) -> ProduceRequest {
    let data = PartitionProduceData::default().with_index(partition).with_records(Some(records));
    let data = TopicProduceData::default().with_name(topic(name)).with_partition_data(vec![data]);
    ProduceRequest::default().with_acks(-1).with_timeout_ms(10_000).with_topic_data(vec![data])
}

pub fn fetch_request(name: &str, partition: i32, offset: i64, wait_ms: i32, max_bytes: i32) -> FetchRequest {
    let asked = FetchPartition::default().with_partition(partition).with_fetch_offset(offset).with_partition_max_bytes(max_bytes);
    let asked = FetchTopic::default().with_topic(topic(name)).with_partitions(vec![asked]);
    FetchRequest::default().with_max_wait_ms(wait_ms).with_min_bytes(1).with_max_bytes(max_bytes).with_session_epoch(-1).with_topics(vec![asked])
}

pub fn record(key: Option<&[u8]>, value: Option<&[u8]>) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence: -1,
        timestamp: now_ms(),
        key: key.map(Bytes::copy_from_slice),
        value: value.map(Bytes::copy_from_slice),
        headers: IndexMap::new(),
    }
}

pub fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

/// One batch.
pub fn batch(mut records: Vec<Record>, compression: Compression) -> Bytes {
    for (i, r) in records.iter_mut().enumerate() {
        r.offset = i as i64;
        if r.producer_id < 0 {
            r.sequence = i as i32 - 1;
        }
    }
    let mut out = BytesMut::new();
    RecordBatchEncoder::encode(&mut out, &records, &RecordEncodeOptions { version: 2, compression }).expect("a batch");
    out.freeze()
}

/// A batch of an idempotent producer.
pub fn sequenced(id: i64, epoch: i16, sequence: i32, values: &[&str]) -> Bytes {
    let one = |(i, v): (usize, &&str)| Record {
        producer_id: id,
        producer_epoch: epoch,
        sequence: sequence + i as i32,
        ..record(None, Some(v.as_bytes()))
    };
    batch(values.iter().enumerate().map(one).collect(), Compression::None)
}

pub fn decode(mut records: Bytes) -> Vec<Record> {
    let sets = RecordBatchDecoder::decode_all(&mut records).expect("whole batches");
    sets.into_iter().flat_map(|s| s.records).collect()
}

/// Waits for something that another thread brings about.
pub fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} did not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
}
