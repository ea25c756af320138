//! One suite against both brokers: what works on the embedded one works on Apache Kafka, and the other way round.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use bus::{Bus, BusConfig, BusError, Change, Filter, Member, Outgoing, ProducerConfig, Tap, TapConfig, TopicSpec};
use bytes::Bytes;
use common::{PATIENCE, Peer, event, ids, kafka_jars, read, run, runs, texts, topic, unique};
use schemas::event::KafkaRecord;
use schemas::position::Position;

on_both!(
    topics_are_made_listed_and_deleted,
    events_come_back_as_rows,
    records_that_are_no_events_keep_their_place,
    compressions,
    large_records,
    order_and_back_pressure,
    readers_share_one_fetch,
    a_reader_goes_on_where_it_was,
    new_topics_are_found_and_deleted_ones_forgotten,
    a_slow_reader_holds_back_its_own_topics,
    a_thousand_partitions,
    a_topic_made_anew_is_read_from_its_beginning,
    groups_share_partitions,
    kcat_reads_and_writes,
    java_reads_and_writes,
);

async fn topics_are_made_listed_and_deleted(peer: &mut Peer) {
    let bus = peer.bus().await;
    let name = unique("topics");
    let specs = [TopicSpec::new(&name, 3).with("retention.ms", "3600000")];
    assert_eq!(bus.ensure_topics(&specs).await.unwrap(), [name.clone()]);
    assert_eq!(bus.ensure_topics(&specs).await.unwrap(), Vec::<String>::new(), "once is enough");
    assert_eq!(bus.topics().await.unwrap().get(&name), Some(&3));
    assert_eq!(bus.watermarks(&name).await.unwrap(), BTreeMap::from([(0, (0, 0)), (1, (0, 0)), (2, (0, 0))]));

    let producer = bus.producer().unwrap();
    let position = producer.send(&name, &event(1, "a"), None).await.unwrap();
    let ends = bus.watermarks(&name).await.unwrap();
    assert_eq!(ends[&position.partition], (0, 1));
    assert_eq!(bus.ends(&Filter::topics([&name])).await.unwrap()[&(name.clone(), position.partition)], 1);

    bus.delete_topic(&name).await.unwrap();
    bus.delete_topic(&name).await.unwrap();
    while bus.topics().await.unwrap().contains_key(&name) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let error = bus.watermarks(&name).await.unwrap_err();
    assert!(matches!(error, BusError::NoTopic { .. }), "{error}");
    let refused = bus.ensure_topics(&[TopicSpec::new("no good", 1)]).await.unwrap_err();
    assert!(refused.to_string().contains("no good"), "{refused}");
}

async fn events_come_back_as_rows(peer: &mut Peer) {
    let bus = peer.bus().await;
    let topic = topic(&bus, "rows", 1).await;
    let mut wet = schemas::event::Event::new("雨-1", "/gauges", "io.citybrain.sensor.observation.v1").with_json(&serde_json::json!({"result": 12.5}));
    wet.partition_key = Some("rain-1".to_owned());
    wet.subject = Some("rain-1".to_owned());
    wet.time = chrono::DateTime::from_timestamp_micros(1_503_730_800_123_456);
    wet.correlation_id = Some("incident-7".to_owned());
    wet.extensions.insert("zone".to_owned(), "老城".to_owned());
    let mut record = wet.to_kafka();
    record.headers.push(("traceparent".to_owned(), Some(Bytes::from_static(b"00-1-2-01"))));
    let producer = bus.producer().unwrap();
    let position = producer.send(&topic, &record, Some(1_503_730_801_000)).await.unwrap();
    assert_eq!(position, Position::new(&topic, 0, 0));

    let tap = Tap::start(bus, TapConfig::default()).unwrap();
    let mut reader = tap.reader("test", Filter::topics([&topic]), BTreeMap::new()).unwrap();
    let chunks = read(&mut reader, 1).await;
    let one = |column: &str| texts(&chunks, column)[0].clone().unwrap_or_default();
    assert_eq!(
        ["topic", "key", "ce_id", "ce_source", "ce_type", "ce_subject", "correlation_id", "extensions", "data"].map(one),
        [&topic, "rain-1", "雨-1", "/gauges", "io.citybrain.sensor.observation.v1", "rain-1", "incident-7", r#"{"zone":"老城"}"#, r#"{"result":12.5}"#]
    );
    let time = |column: &str| chunks[0].rows.column_by_name(column).unwrap().as_primitive::<TimestampMicrosecondType>().value(0);
    assert_eq!((time("kafka_time"), time("ce_time")), (1_503_730_801_000_000, 1_503_730_800_123_456));
    assert!(chunks[0].rejected.is_empty());
    tap.stop().await;
}

async fn records_that_are_no_events_keep_their_place(peer: &mut Peer) {
    let bus = peer.bus().await;
    let topic = topic(&bus, "hostile", 1).await;
    let bytes = |bytes: &[u8]| Some(Bytes::copy_from_slice(bytes));
    let mut many_headers = event(3, "k");
    many_headers.headers.extend((0..10_000).map(|header| (format!("x-{header}"), None)));
    let mut nul = event(4, "k");
    nul.headers.push(("ce_subject".to_owned(), bytes(b"a\0b")));
    let hostile = [
        KafkaRecord { key: None, headers: Vec::new(), value: None },
        KafkaRecord { key: bytes(&[0xff, 0xfe]), headers: Vec::new(), value: bytes(&[0xd3, 0xea]) },
        KafkaRecord { key: None, headers: vec![("content-type".to_owned(), bytes(b"application/cloudevents+json"))], value: bytes(b"{\"id\":") },
        many_headers,
        nul,
    ];
    let producer = bus.producer().unwrap();
    producer.send(&topic, &event(1, "k"), None).await.unwrap();
    for record in &hostile {
        producer.send(&topic, record, None).await.unwrap();
    }
    producer.send(&topic, &event(2, "k"), None).await.unwrap();
    let tap = Tap::start(bus, TapConfig::default()).unwrap();
    let mut reader = tap.reader("test", Filter::topics([&topic]), BTreeMap::new()).unwrap();
    let chunks = read(&mut reader, 7).await;
    assert_eq!(ids(&chunks), [1, 2]);
    let rejected: Vec<_> = chunks.iter().flat_map(|chunk| chunk.rejected.clone()).collect();
    assert_eq!(rejected.iter().map(|rejected| rejected.offset).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    for (rejected, record) in rejected.iter().zip(&hostile) {
        assert_eq!((&rejected.key, &rejected.headers, &rejected.value), (&record.key, &record.headers, &record.value));
        assert!(!rejected.reason.is_empty());
    }
    tap.stop().await;
}

async fn compressions(peer: &mut Peer) {
    let bus = peer.bus().await;
    let topic = topic(&bus, "compressions", 2).await;
    let mut id = 0;
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let config = ProducerConfig { compression: compression.to_owned(), ..ProducerConfig::default() };
        let producer = bus.producer_with(&config).unwrap();
        let records: Vec<KafkaRecord> = (id..id + 500).map(|id| event(id, &format!("gauge-{}", id % 7))).collect();
        id += 500;
        let outgoing: Vec<Outgoing<'_>> = records.iter().map(|record| Outgoing { topic: &topic, record, timestamp_ms: None }).collect();
        for answer in producer.send_all(&outgoing).await.unwrap() {
            answer.unwrap();
        }
    }
    let tap = Tap::start(bus, TapConfig::default()).unwrap();
    let mut reader = tap.reader("test", Filter::topics([&topic]), BTreeMap::new()).unwrap();
    assert_eq!(ids(&read(&mut reader, 2500).await), (0..2500).collect::<Vec<_>>());
    tap.stop().await;
}

async fn large_records(peer: &mut Peer) {
    let bus = peer.bus().await;
    let topic = topic(&bus, "large", 1).await;
    // No repetition in it, so that no compression makes it small.
    let mut seed = 1u64;
    let mut random = |count: usize| -> String {
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b'a' + ((seed >> 33) % 26) as u8)
        };
        (0..count).map(|_| next()).collect()
    };
    let producer = bus.producer().unwrap();
    let mut sent = Vec::new();
    for megabytes in [1, 10] {
        let mut record = event(megabytes, "k");
        let body = format!("\"{}\"", random(megabytes * 1_000_000));
        record.value = Some(Bytes::from(body.clone()));
        producer.send(&topic, &record, None).await.unwrap();
        sent.push(Some(body));
    }
    let mut monster = event(99, "k");
    monster.value = Some(Bytes::from(vec![b'x'; 30_000_000]));
    let refused = producer.send(&topic, &monster, None).await.unwrap_err();
    assert!(matches!(refused, BusError::TooLarge { .. }), "{refused}");
    producer.send(&topic, &event(3, "k"), None).await.unwrap();

    let tap = Tap::start(bus, TapConfig::default()).unwrap();
    let mut reader = tap.reader("test", Filter::topics([&topic]), BTreeMap::new()).unwrap();
    let chunks = read(&mut reader, 3).await;
    assert!(texts(&chunks, "data")[..2] == sent[..], "large records come back as they were");
    assert_eq!(ids(&chunks), [1, 3, 10]);
    tap.stop().await;
}

async fn order_and_back_pressure(peer: &mut Peer) {
    let bus = peer.bus().await;
    let topic = topic(&bus, "order", 1).await;
    let config = ProducerConfig { buffer_bytes: 64 * 1024, ..ProducerConfig::default() };
    let producer = bus.producer_with(&config).unwrap();
    let mut most = 0;
    let mut sends = tokio::task::JoinSet::new();
    for id in 0..5000u64 {
        let send = producer.send(&topic, &event(id, "k"), None);
        // Whoever finds no room waits its turn, in the order of the calls.
        let position = match sends.len() < 50 {
            true => {
                sends.spawn(send);
                None
            }
            false => Some(send.await.unwrap().offset),
        };
        most = most.max(producer.in_flight());
        if let Some(offset) = position {
            assert_eq!(offset, i64::try_from(id).unwrap(), "the place in the order is taken at the call");
            while sends.try_join_next().is_some() {}
        }
    }
    while let Some(sent) = sends.join_next().await {
        sent.unwrap().unwrap();
    }
    producer.flush().await.unwrap();
    assert_eq!(producer.in_flight(), 0);
    assert!(most <= 256, "{most} records in flight are more than the buffer allows");
    let tap = Tap::start(bus, TapConfig::default()).unwrap();
    let mut reader = tap.reader("test", Filter::topics([&topic]), BTreeMap::new()).unwrap();
    let chunks = read(&mut reader, 5000).await;
    let in_order: Vec<u64> = texts(&chunks, "ce_id").into_iter().flatten().map(|id| id.parse().unwrap()).collect();
    assert_eq!(in_order, (0..5000).collect::<Vec<_>>());
    tap.stop().await;
}

/// Writes events with these ids, spread by their key, and waits for them.
async fn write(bus: &Bus, topic: &str, ids: std::ops::Range<u64>) -> Vec<Position> {
    let producer = bus.producer().unwrap();
    let records: Vec<KafkaRecord> = ids.map(|id| event(id, &format!("gauge-{id}"))).collect();
    let outgoing: Vec<Outgoing<'_>> = records.iter().map(|record| Outgoing { topic, record, timestamp_ms: None }).collect();
    producer.send_all(&outgoing).await.unwrap().into_iter().map(|answer| answer.unwrap()).collect()
}

async fn readers_share_one_fetch(peer: &mut Peer) {
    let bus = peer.bus().await;
    let topic = topic(&bus, "share", 3).await;
    write(&bus, &topic, 0..1000).await;
    let tap = Tap::start(bus.clone(), TapConfig::default()).unwrap();
    let mut early = tap.reader("early", Filter::topics([&topic]), BTreeMap::new()).unwrap();
    assert_eq!(ids(&read(&mut early, 1000).await), (0..1000).collect::<Vec<_>>());

    // A second reader that wants all of it, a third one that wants only what is new, while the first goes on.
    let ends = bus.ends(&Filter::topics([&topic])).await.unwrap();
    let mut all = tap.reader("all", Filter::topics([&topic]), BTreeMap::new()).unwrap();
    let mut new = tap.reader("new", Filter::topics([&topic]), ends).unwrap();
    write(&bus, &topic, 1000..1500).await;
    assert_eq!(ids(&read(&mut early, 500).await), (1000..1500).collect::<Vec<_>>());
    assert_eq!(ids(&read(&mut new, 500).await), (1000..1500).collect::<Vec<_>>());
    assert_eq!(ids(&read(&mut all, 1500).await), (0..1500).collect::<Vec<_>>());

    let lags = tap.lags().await;
    assert_eq!(lags.len(), 9, "three readers of three partitions");
    assert!(lags.iter().all(|lag| lag.records() == 0), "{lags:?}");
    drop(all);
    write(&bus, &topic, 1500..1600).await;
    assert_eq!(ids(&read(&mut early, 100).await), (1500..1600).collect::<Vec<_>>());
    assert_eq!(tap.lags().await.len(), 6);
    tap.stop().await;
    assert!(early.recv().await.is_none(), "a tap that stopped ends its readers");
}

async fn a_reader_goes_on_where_it_was(peer: &mut Peer) {
    let bus = peer.bus().await;
    let topic = topic(&bus, "resume", 2).await;
    write(&bus, &topic, 0..300).await;
    let mut start = BTreeMap::new();
    let mut seen = Vec::new();
    for _ in 0..5 {
        let tap = Tap::start(bus.clone(), TapConfig { chunk_rows: 20, ..TapConfig::default() }).unwrap();
        let mut reader = tap.reader("test", Filter::topics([&topic]), start.clone()).unwrap();
        for _ in 0..3 {
            let chunk = tokio::time::timeout(PATIENCE, reader.recv()).await.unwrap().unwrap();
            start.insert((topic.clone(), chunk.partition), chunk.next_offset);
            seen.extend(ids(&[chunk]));
        }
        tap.stop().await;
    }
    let tap = Tap::start(bus, TapConfig::default()).unwrap();
    let mut reader = tap.reader("test", Filter::topics([&topic]), start).unwrap();
    let left = 300 - seen.len();
    seen.extend(ids(&read(&mut reader, left).await));
    seen.sort_unstable();
    assert_eq!(seen, (0..300).collect::<Vec<_>>());
    tap.stop().await;
}

async fn new_topics_are_found_and_deleted_ones_forgotten(peer: &mut Peer) {
    let bus = peer.bus().await;
    let prefix = unique("alerts");
    let name = |suffix: &str| format!("{prefix}.{suffix}");
    let tap = Tap::start(bus.clone(), TapConfig::default()).unwrap();
    let mut reader = tap.reader("test", Filter::prefixes([format!("{prefix}.")]), BTreeMap::new()).unwrap();
    for (index, suffix) in ["flood", "gas", "crowd"].into_iter().enumerate() {
        bus.ensure_topics(&[TopicSpec::new(name(suffix), 1)]).await.unwrap();
        if suffix == "gas" {
            tap.refresh().await;
        }
        let id = index as u64;
        write(&bus, &name(suffix), id..id + 1).await;
        let chunks = read(&mut reader, 1).await;
        assert_eq!((chunks[0].topic.to_string(), ids(&chunks)), (name(suffix), vec![id]));
    }
    bus.delete_topic(&name("gas")).await.unwrap();
    let topics = |lags: Vec<bus::ReaderLag>| lags.into_iter().map(|lag| lag.topic.to_string()).collect::<BTreeSet<_>>();
    while topics(tap.lags().await).contains(&name("gas")) {
        tap.refresh().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    write(&bus, &name("flood"), 7..8).await;
    assert_eq!(ids(&read(&mut reader, 1).await), [7], "the others go on");
    tap.stop().await;
}

async fn a_slow_reader_holds_back_its_own_topics(peer: &mut Peer) {
    let bus = peer.bus().await;
    let (busy, quiet) = (topic(&bus, "busy", 2).await, topic(&bus, "quiet", 1).await);
    write(&bus, &busy, 0..20_000).await;
    let config = TapConfig { chunk_rows: 500, reader_bytes: 512 * 1024, ..TapConfig::default() };
    let tap = Tap::start(bus.clone(), config).unwrap();
    let mut slow = tap.reader("slow", Filter::topics([&busy, &quiet]), BTreeMap::new()).unwrap();
    let mut fast = tap.reader("fast", Filter::topics([&quiet]), BTreeMap::new()).unwrap();
    // The slow one takes nothing; the quiet topic flows on, and what waits for the slow one stays small.
    for id in 0..20 {
        write(&bus, &quiet, id..id + 1).await;
        assert_eq!(ids(&read(&mut fast, 1).await), [id]);
    }
    assert!(slow.waiting_bytes() > 0);
    assert!(slow.waiting_bytes() < 4 * 1024 * 1024, "{} bytes wait", slow.waiting_bytes());
    // Then it takes everything, with breaks, and gets all of it once and in order.
    let mut next: BTreeMap<(Arc<str>, i32), i64> = BTreeMap::new();
    let mut rows = 0;
    let mut taken = 0;
    while rows < 20_020 {
        let chunk = tokio::time::timeout(PATIENCE, slow.recv()).await.expect("it gets the rest").unwrap();
        let next = next.entry((chunk.topic.clone(), chunk.partition)).or_default();
        assert_eq!(chunk.first_offset, *next, "neither gap nor repetition over a pause");
        *next = chunk.next_offset;
        rows += chunk.rows.num_rows();
        taken += 1;
        if taken % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(rows, 20_020);
    tap.stop().await;
}

async fn a_thousand_partitions(peer: &mut Peer) {
    let bus = peer.bus().await;
    let topic = topic(&bus, "thousand", 1000).await;
    write(&bus, &topic, 0..5000).await;
    let ends = bus.watermarks(&topic).await.unwrap();
    assert_eq!(ends.len(), 1000);
    assert_eq!(ends.values().map(|(low, high)| high - low).sum::<i64>(), 5000);
    let tap = Tap::start(bus.clone(), TapConfig::default()).unwrap();
    let mut reader = tap.reader("test", Filter::topics([&topic]), BTreeMap::new()).unwrap();
    assert_eq!(ids(&read(&mut reader, 5000).await), (0..5000).collect::<Vec<_>>());
    tap.stop().await;
    bus.delete_topic(&topic).await.unwrap();
}

async fn a_topic_made_anew_is_read_from_its_beginning(peer: &mut Peer) {
    let bus = peer.bus().await;
    let topic = topic(&bus, "anew", 1).await;
    write(&bus, &topic, 0..100).await;
    let tap = Tap::start(bus.clone(), TapConfig::default()).unwrap();
    let mut reader = tap.reader("test", Filter::topics([&topic]), BTreeMap::new()).unwrap();
    read(&mut reader, 100).await;
    bus.delete_topic(&topic).await.unwrap();
    while !tap.lags().await.is_empty() {
        tap.refresh().await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while bus.topics().await.unwrap().contains_key(&topic) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bus.ensure_topics(&[TopicSpec::new(&topic, 1)]).await.unwrap();
    write(&bus, &topic, 500..510).await;
    assert_eq!(ids(&read(&mut reader, 10).await), (500..510).collect::<Vec<_>>());
    tap.stop().await;
}

/// Partitions that belong to a member, as it was told.
type Own = Arc<std::sync::Mutex<BTreeSet<i32>>>;

async fn member(bus: &Bus, group: &str, topic: &str) -> (Member, Own, tokio::task::JoinHandle<()>) {
    let (member, mut changes) = Member::join(bus, group, &[topic], Duration::from_secs(6)).unwrap();
    let own = Own::default();
    let told = Arc::clone(&own);
    let listening = tokio::spawn(async move {
        while let Some(change) = changes.recv().await {
            let mut own = told.lock().unwrap();
            match change {
                Change::Gained(partitions) => own.extend(partitions.into_iter().map(|(_, partition)| partition)),
                Change::Lost(over) => own.retain(|partition| !over.partitions.iter().any(|(_, lost)| lost == partition)),
            }
        }
    });
    (member, own, listening)
}

async fn groups_share_partitions(peer: &mut Peer) {
    let bus = peer.bus().await;
    let topic = topic(&bus, "groups", 6).await;
    let group = unique("group");
    write(&bus, &topic, 0..600).await;
    let mut members = Vec::new();
    let shared = |members: &[(Member, Own, tokio::task::JoinHandle<()>)]| {
        let own: Vec<BTreeSet<i32>> = members.iter().map(|(_, own, _)| own.lock().unwrap().clone()).collect();
        let count: usize = own.iter().map(BTreeSet::len).sum();
        let all: BTreeSet<i32> = own.iter().flatten().copied().collect();
        // Each partition belongs to one of them, and each of them has some.
        count == 6 && all.len() == 6 && own.iter().all(|own| !own.is_empty())
    };
    for _ in 0..3 {
        members.push(member(&bus, &group, &topic).await);
        wait(|| shared(&members)).await;
    }
    let places: Vec<(String, i32)> = (0..6).map(|partition| (topic.clone(), partition)).collect();
    assert_eq!(members[0].0.committed(&places).await.unwrap(), BTreeMap::new());
    let mine: Vec<i32> = members[1].1.lock().unwrap().iter().copied().collect();
    members[1].0.commit(mine.iter().map(|partition| ((topic.clone(), *partition), 7)).collect()).await.unwrap();
    let committed = members[0].0.committed(&places).await.unwrap();
    assert_eq!(committed, mine.iter().map(|partition| ((topic.clone(), *partition), 7)).collect());
    // One goes away; the others take its partitions over.
    let (gone, _, listening) = members.remove(0);
    listening.abort();
    gone.leave().await;
    wait(|| shared(&members)).await;
    // A reader of one partition gets that and no other.
    let tap = Tap::start(bus.clone(), TapConfig::default()).unwrap();
    let (_, high) = bus.watermarks(&topic).await.unwrap()[&2];
    let mut reader = tap.reader("test", Filter::partition(&topic, 2), BTreeMap::new()).unwrap();
    let mut seen = 0;
    while seen < high {
        let chunk = reader.recv().await.unwrap();
        assert_eq!(chunk.partition, 2);
        seen = chunk.next_offset;
    }
    tap.stop().await;
    // What is sent to a partition of the sender's choice stands there.
    let record = schemas::event::KafkaRecord { key: None, headers: Vec::new(), value: Some("here".into()) };
    let sent = bus.producer().unwrap().send_to(&topic, 5, &record).await.unwrap();
    assert_eq!((sent.topic.as_str(), sent.partition), (topic.as_str(), 5));
    for (member, _, listening) in members {
        listening.abort();
        member.leave().await;
    }
}

async fn wait(mut until: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !until() {
        assert!(begun.elapsed() < PATIENCE, "it does not come to pass");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn kcat_reads_and_writes(peer: &mut Peer) {
    if !runs("kcat", "-V") {
        println!("skipped: there is no kcat here (Debian: apt install kcat)");
        return;
    }
    let bus = peer.bus().await;
    let topic = topic(&bus, "kcat", 2).await;
    write(&bus, &topic, 0..200).await;
    let mut consume = Command::new("kcat");
    consume.args(["-b", &peer.bootstrap, "-C", "-t", &topic, "-o", "beginning", "-e", "-q", "-f", "%k %h\n"]);
    let output = run(consume, None).await;
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(lines.lines().count(), 200, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(lines.lines().all(|line| line.starts_with("gauge-") && line.contains("ce_specversion=1.0")), "{lines}");

    let mut produce = Command::new("kcat");
    produce.args(["-b", &peer.bootstrap, "-P", "-t", &topic, "-p", "0", "-K", ":", "-z", "zstd"]);
    produce.args(["-H", "ce_specversion=1.0", "-H", "ce_id=900", "-H", "ce_source=/kcat", "-H", "ce_type=io.citybrain.test.v1"]);
    let output = run(produce, Some(b"kcat-key:{\"by\":\"kcat\"}\n".to_vec())).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tap = Tap::start(bus, TapConfig::default()).unwrap();
    let mut reader = tap.reader("test", Filter::topics([&topic]), BTreeMap::new()).unwrap();
    let chunks = read(&mut reader, 201).await;
    assert!(texts(&chunks, "data").contains(&Some("{\"by\":\"kcat\"}".to_owned())));
    assert!(ids(&chunks).contains(&900));
    tap.stop().await;
}

async fn java_reads_and_writes(peer: &mut Peer) {
    let Some(jars) = kafka_jars() else { return };
    let bus = peer.bus().await;
    let topic = topic(&bus, "java", 2).await;
    write(&bus, &topic, 0..200).await;
    let java = |class: &str| {
        let mut command = Command::new("java");
        command.args(["-Xmx192m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", &format!("{}/*", jars.display()), class]);
        command.args(["--bootstrap-server", &peer.bootstrap, "--topic", &topic]);
        command
    };
    let mut consume = java("org.apache.kafka.tools.consumer.ConsoleConsumer");
    consume.args(["--from-beginning", "--max-messages", "200", "--timeout-ms", "60000", "--group", &unique("java")]);
    let output = run(consume, None).await;
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(lines.lines().filter(|line| line.contains("datastream")).count(), 200, "{lines}\n{}", String::from_utf8_lossy(&output.stderr));

    // Idempotent and acknowledged by all, as Java producers are by default.
    let produce = java("org.apache.kafka.tools.ConsoleProducer");
    let output = run(produce, Some(b"{\"by\":\"java\"}\n".repeat(50))).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tap = Tap::start(bus, TapConfig::default()).unwrap();
    let mut reader = tap.reader("test", Filter::topics([&topic]), BTreeMap::new()).unwrap();
    let chunks = read(&mut reader, 250).await;
    let by_java = texts(&chunks, "data").into_iter().filter(|data| data.as_deref() == Some("{\"by\":\"java\"}")).count();
    assert_eq!(by_java, 50);
    assert_eq!(chunks.iter().map(|chunk| chunk.rejected.len()).sum::<usize>(), 50, "they are no CloudEvents");
    tap.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_said_clearly() {
    let config = BusConfig { connect_timeout: Duration::from_millis(300), ..BusConfig::new("127.0.0.1:1") };
    let error = Bus::connect(config).await.unwrap_err().to_string();
    assert!(error.contains("cannot reach Kafka at 127.0.0.1:1") && error.contains("start it"), "{error}");
    let config = BusConfig::new("127.0.0.1:1").with_option("security.protocol", "carrier-pigeon");
    let error = Bus::connect(config).await.unwrap_err().to_string();
    assert!(error.contains("security.protocol") && error.contains("carrier-pigeon"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_restarts_in_the_middle() {
    restarts_in_the_middle(Peer::embedded().await, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apache_restarts_in_the_middle() {
    if let Some(peer) = Peer::apache_of_its_own().await {
        restarts_in_the_middle(peer, 2).await;
    }
}

/// Nothing is lost and nothing doubled, however often the broker stops or dies in the middle.
async fn restarts_in_the_middle(mut peer: Peer, rounds: usize) {
    let bus = peer.bus().await;
    let topic = topic(&bus, "restarts", 3).await;
    let tap = Tap::start(bus.clone(), TapConfig::default()).unwrap();
    let mut reader = tap.reader("test", Filter::topics([&topic]), BTreeMap::new()).unwrap();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writing = {
        let (bus, topic) = (bus.clone(), topic.clone());
        tokio::spawn(async move {
            let producer = bus.producer().unwrap();
            let mut positions = BTreeSet::new();
            let mut next = 0u64;
            while stopped.try_recv().is_err() {
                let records: Vec<KafkaRecord> = (next..next + 50).map(|id| event(id, &format!("gauge-{id}"))).collect();
                next += 50;
                let outgoing: Vec<Outgoing<'_>> = records.iter().map(|record| Outgoing { topic: &topic, record, timestamp_ms: None }).collect();
                for answer in producer.send_all(&outgoing).await.unwrap() {
                    let position = answer.unwrap();
                    assert!(positions.insert((position.partition, position.offset)), "two records with one position");
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            next
        })
    };
    for round in 0..rounds {
        tokio::time::sleep(Duration::from_millis(300)).await;
        peer.restart(round % 2 == 0, Duration::from_millis(50)).await;
    }
    stop.send(()).unwrap();
    let written = writing.await.unwrap();
    assert_eq!(ids(&read(&mut reader, usize::try_from(written).unwrap()).await), (0..written).collect::<Vec<_>>());
    let ends = bus.watermarks(&topic).await.unwrap();
    assert_eq!(ends.values().map(|(_, high)| high).sum::<i64>(), i64::try_from(written).unwrap(), "nothing doubled");
    tap.stop().await;
    peer.stop().await;
}
