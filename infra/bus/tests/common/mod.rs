//! What the conformance tests share: the two brokers, unique names, records, and how to wait.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use broker::{Broker, BrokerConfig};
use bus::{Bus, BusConfig, Chunk, TapReader, TopicSpec};
use bytes::Bytes;
use schemas::event::{Event, KafkaRecord};

/// Patience of every wait; nothing is measured with it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A broker to test against.
pub struct Peer {
    pub name: &'static str,
    pub bootstrap: String,
    embedded: Option<(Broker, tempfile::TempDir)>,
    /// The port of an Apache Kafka that belongs to one test alone.
    own_port: Option<u16>,
}

impl Peer {
    /// The embedded broker in a folder of its own.
    pub async fn embedded() -> Peer {
        let folder = tempfile::tempdir().expect("a folder");
        let broker = Broker::start(BrokerConfig::new(folder.path())).await.expect("the embedded broker starts");
        Peer { name: "embedded", bootstrap: broker.addr().to_string(), embedded: Some((broker, folder)), own_port: None }
    }

    /// Apache Kafka: the one in `CITYBRAIN_TEST_KAFKA`, or the one that `infra/kafka/kafka.sh` started.
    pub fn apache() -> Option<Peer> {
        let bootstrap = std::env::var("CITYBRAIN_TEST_KAFKA").unwrap_or_else(|_| format!("127.0.0.1:{}", apache_port()));
        let address = bootstrap.parse().ok()?;
        match TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
            Ok(_) => Some(Peer { name: "apache", bootstrap, embedded: None, own_port: None }),
            Err(_) => {
                println!("skipped: no Apache Kafka at {bootstrap}; start one with infra/kafka/kafka.sh start, or set CITYBRAIN_TEST_KAFKA");
                None
            }
        }
    }

    /// An Apache Kafka for one test, which may stop and kill it.
    pub async fn apache_of_its_own() -> Option<Peer> {
        kafka_jars()?;
        let port = 29_192;
        kafka_script(port, "clean").await;
        kafka_script(port, "start").await;
        Some(Peer { name: "apache", bootstrap: format!("127.0.0.1:{port}"), embedded: None, own_port: Some(port) })
    }

    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    pub async fn bus(&self) -> Bus {
        Bus::connect(BusConfig::new(&self.bootstrap)).await.expect("the broker answers")
    }

    /// Stops the broker and starts it again at the same address; with `crash`, without a word.
    pub async fn restart(&mut self, crash: bool, pause: Duration) {
        if let Some(port) = self.own_port {
            kafka_script(port, if crash { "kill" } else { "stop" }).await;
            tokio::time::sleep(pause).await;
            return kafka_script(port, "start").await;
        }
        let (broker, folder) = self.embedded.take().expect("a broker that others use is not restarted");
        let addr = broker.addr();
        match crash {
            true => drop(broker),
            false => broker.shutdown().await,
        }
        tokio::time::sleep(pause).await;
        let started = Instant::now();
        loop {
            let mut config = BrokerConfig::new(folder.path());
            config.listen = addr;
            match Broker::start(config).await {
                Ok(broker) => {
                    self.embedded = Some((broker, folder));
                    return;
                }
                // The old one may hold its address and its folder for a moment.
                Err(error) => assert!(started.elapsed() < PATIENCE, "the broker does not start again: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn stop(mut self) {
        if let Some(port) = self.own_port {
            kafka_script(port, "clean").await;
        }
        if let Some((broker, _folder)) = self.embedded.take() {
            broker.shutdown().await;
        }
    }
}

async fn kafka_script(port: u16, what: &str) {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../kafka/kafka.sh"));
    command.arg(what).env("CITYBRAIN_KAFKA_PORT", port.to_string());
    let output = run(command, None).await;
    assert!(output.status.success(), "kafka.sh {what}: {}", String::from_utf8_lossy(&output.stderr));
}

fn apache_port() -> String {
    std::env::var("CITYBRAIN_KAFKA_PORT").unwrap_or_else(|_| "19092".to_owned())
}

/// Runs a test against both brokers.
#[macro_export]
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let mut peer = $crate::common::Peer::embedded().await;
                super::$name(&mut peer).await;
                peer.stop().await;
            })+
        }
        mod apache {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if let Some(mut peer) = $crate::common::Peer::apache() {
                    super::$name(&mut peer).await;
                }
            })+
        }
    };
}

/// A name that no earlier run has used: Apache Kafka keeps its topics.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = chrono::Utc::now().timestamp_micros();
    format!("test.{name}.{now:x}.{count}")
}

/// A new topic.
pub async fn topic(bus: &Bus, name: &str, partitions: i32) -> String {
    let name = unique(name);
    bus.ensure_topics(&[TopicSpec::new(&name, partitions)]).await.expect("the topic is made");
    name
}

/// An event with this id.
pub fn event(id: impl std::fmt::Display, key: &str) -> KafkaRecord {
    let mut event = Event::new(id.to_string(), "/test", "io.citybrain.sensor.observation.v1");
    event.partition_key = Some(key.to_owned());
    event.data = Some(Bytes::from(format!(r#"{{"datastream":"{key}","result":{id}}}"#)));
    event.data_content_type = Some("application/json".to_owned());
    event.to_kafka()
}

/// Reads until `count` rows have come, and checks on the way that each partition is in order and whole.
pub async fn read(reader: &mut TapReader, count: usize) -> Vec<Arc<Chunk>> {
    let mut chunks = Vec::new();
    let mut rows = 0;
    let mut next: BTreeMap<(Arc<str>, i32), i64> = BTreeMap::new();
    while rows < count {
        let chunk = tokio::time::timeout(PATIENCE, reader.recv()).await;
        let chunk = chunk.unwrap_or_else(|_| panic!("only {rows} of {count} rows came")).expect("the tap runs");
        let place = (chunk.topic.clone(), chunk.partition);
        if let Some(next) = next.insert(place, chunk.next_offset) {
            assert_eq!(chunk.first_offset, next, "a partition has neither gaps nor repetitions");
        }
        let offsets: Vec<i64> = chunk.rows.column_by_name("offset").unwrap().as_primitive::<Int64Type>().values().to_vec();
        assert_eq!(offsets, (chunk.first_offset..chunk.next_offset).collect::<Vec<_>>());
        rows += offsets.len();
        chunks.push(chunk);
    }
    assert_eq!(rows, count, "no more rows than were written");
    chunks
}

/// One text column of all chunks, row by row.
pub fn texts(chunks: &[Arc<Chunk>], column: &str) -> Vec<Option<String>> {
    let of = |chunk: &Arc<Chunk>| -> Vec<Option<String>> {
        let column = chunk.rows.column_by_name(column).unwrap().as_string::<i32>().clone();
        (0..column.len()).map(|row| column.is_valid(row).then(|| column.value(row).to_owned())).collect()
    };
    chunks.iter().flat_map(of).collect()
}

/// The ids of all chunks, sorted.
pub fn ids(chunks: &[Arc<Chunk>]) -> Vec<u64> {
    let mut ids: Vec<u64> = texts(chunks, "ce_id").into_iter().flatten().map(|id| id.parse().expect("test ids are numbers")).collect();
    ids.sort_unstable();
    ids
}

/// The folder of Apache Kafka's jars, or a line that says how to get it.
pub fn kafka_jars() -> Option<PathBuf> {
    let home = std::env::var_os("CITYBRAIN_KAFKA_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache/citybrain/kafka")))?;
    let jars = home.join("lib");
    let there = jars.join(".complete").exists() && runs("java", "-version");
    if !there {
        println!("skipped: no Java or no Kafka jars in {}; infra/kafka/kafka.sh fetch gets them", jars.display());
    }
    there.then_some(jars)
}

/// Whether a program can be started.
pub fn runs(program: &str, argument: &str) -> bool {
    Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Runs a program with some input, off the async threads.
pub async fn run(mut command: Command, input: Option<Vec<u8>>) -> Output {
    tokio::task::spawn_blocking(move || {
        use std::io::Write;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("it has an input");
        if let Some(input) = input {
            stdin.write_all(&input).expect("it reads its input");
        }
        drop(stdin);
        child.wait_with_output().expect("the program ends")
    })
    .await
    .expect("it was waited for")
}
