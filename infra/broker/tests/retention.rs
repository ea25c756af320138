//! What goes: by age, by size, by request, by key.

use bytes::Bytes;
use crate::common::*;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::*;
use kafka_protocol::records::Compression;

fn start() -> (tempfile::TempDir, TestBroker, Client) {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = TestBroker::start(config(dir.path()));
    let client = broker.client();
    (dir, broker, client)
}

fn put_at(client: &mut Client, topic: &str, timestamp: i64, size: usize) {
    let mut r = record(None, Some(&vec![b'x'; size]));
    r.timestamp = timestamp;
    assert_eq!(client.produce(topic, 0, batch(vec![r], Compression::None)).error_code, 0);
}

#[test]
fn old_records_go_and_the_start_is_kept_over_a_restart() {
    let (dir, broker, mut client) = start();
    client.create("t", 1, &[("retention.ms", "60000"), ("segment.bytes", "5000")]);
    client.create("forever", 1, &[("retention.ms", "-1")]);
    for i in 0..10 {
        put_at(&mut client, "t", now_ms() - 3_600_000 + i, 2_000);
    }
    put_at(&mut client, "t", now_ms(), 2_000);
    put_at(&mut client, "forever", 5, 10);
    broker.maintain();
    let start = client.offset("t", 0, -2).1;
    assert!((8..=10).contains(&start), "only the newest segment is left: {start}");
    assert_eq!(client.fetch_raw("t", 0, 0, 0, 1000).error_code, 1);
    assert_eq!(client.values("forever", 0).len(), 1);
    broker.crash();
    let broker = TestBroker::start(config(dir.path()));
    let mut client = broker.client();
    assert_eq!(client.offset("t", 0, -2).1, start);
    assert_eq!(client.offset("t", 0, -1).1, 11);
}

#[test]
fn a_quiet_topic_is_emptied_and_goes_on_counting() {
    let (dir, broker, mut client) = start();
    client.create("t", 1, &[("retention.ms", "60000")]);
    put_at(&mut client, "t", now_ms() - 3_600_000, 10);
    put_at(&mut client, "t", now_ms() - 3_600_000, 10);
    broker.maintain();
    assert_eq!((client.offset("t", 0, -2).1, client.offset("t", 0, -1).1), (2, 2));
    broker.crash();
    let broker = TestBroker::start(config(dir.path()));
    assert_eq!(broker.client().put("t", 0, &["new"]), 2);
}

#[test]
fn the_size_of_a_partition_is_bounded() {
    let (_dir, broker, mut client) = start();
    client.create("t", 1, &[("retention.bytes", "20000"), ("segment.bytes", "5000")]);
    for _ in 0..50 {
        put_at(&mut client, "t", now_ms(), 2_000);
    }
    broker.maintain();
    let left = 50 - client.offset("t", 0, -2).1;
    assert!((9..=13).contains(&left), "{left} records of 2 kB are left");
    assert_eq!(client.values("t", 0).len() as i64, left);
}

#[test]
fn records_are_deleted_by_request() {
    let (dir, broker, mut client) = start();
    client.create("t", 1, &[]);
    client.put("t", 0, &["a"]);
    client.put("t", 0, &["b"]);
    client.put("t", 0, &["c"]);
    let ask = |client: &mut Client, offset: i64| {
        let p = DeleteRecordsPartition::default().with_partition_index(0).with_offset(offset);
        let t = DeleteRecordsTopic::default().with_name(topic("t")).with_partitions(vec![p]);
        let answer = client.call(&DeleteRecordsRequest::default().with_topics(vec![t]), 2);
        (answer.topics[0].partitions[0].error_code, answer.topics[0].partitions[0].low_watermark)
    };
    assert_eq!(ask(&mut client, 2), (0, 2));
    assert_eq!(ask(&mut client, 9), (1, -1));
    assert_eq!(client.values("t", 0), ["c"]);
    broker.crash();
    let broker = TestBroker::start(config(dir.path()));
    let mut client = broker.client();
    assert_eq!(client.values("t", 0), ["c"]);
    assert_eq!(ask(&mut client, -1), (0, 3), "-1 is the end");
    assert_eq!(client.values("t", 0), Vec::<String>::new());
    assert_eq!(client.put("t", 0, &["d"]), 3);
}

fn put_key(client: &mut Client, pairs: &[(&str, Option<&str>)], compression: Compression) {
    let records = pairs.iter().map(|(k, v)| record(Some(k.as_bytes()), v.map(str::as_bytes))).collect();
    assert_eq!(client.produce("c", 0, batch(records, compression)).error_code, 0);
}

#[test]
fn compaction_keeps_the_last_of_each_key() {
    for compression in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let (dir, broker, mut client) = start();
        let settings = [("cleanup.policy", "compact"), ("segment.bytes", "1500"), ("delete.retention.ms", "0"), ("min.cleanable.dirty.ratio", "0")];
        assert_eq!(client.create("c", 1, &settings), 0);
        for round in 0..100 {
            let value = format!("{round}-{}", "z".repeat(100));
            put_key(&mut client, &[("a", Some(&value)), ("b", Some(&value)), ("gone", Some(&value))], compression);
        }
        put_key(&mut client, &[("gone", None), ("once", Some("1"))], compression);
        for _ in 0..20 {
            let filler = "f".repeat(400);
            put_key(&mut client, &[("filler", Some(&filler))], compression);
        }
        let end = client.offset("c", 0, -1).1;
        let before = broker_size(dir.path());
        broker.maintain();
        let check = |client: &mut Client| {
            let left = client.fetch_all("c", 0, 0);
            let of = |key: &str| left.iter().filter(|r| r.key.as_deref() == Some(key.as_bytes())).collect::<Vec<_>>();
            assert_eq!(client.offset("c", 0, -1).1, end, "the end stays");
            assert_eq!(of("a").len(), 1);
            assert_eq!(of("a")[0].offset, 297, "offsets stay");
            assert!(of("a")[0].value.as_deref().is_some_and(|v| v.starts_with(b"99-")));
            assert_eq!(of("once").len(), 1);
            assert_eq!(of("gone").len(), 0, "the mark of a deleted key goes too when its time is over");
            assert!(left.is_sorted_by_key(|r| r.offset));
        };
        check(&mut client);
        assert!(broker_size(dir.path()) < before / 2, "{compression:?}: from {before} to {}", broker_size(dir.path()));
        broker.crash();
        let broker = TestBroker::start(config(dir.path()));
        let mut client = broker.client();
        check(&mut client);
        put_key(&mut client, &[("a", Some("new"))], compression);
        assert_eq!(client.offset("c", 0, -1).1, end + 1);
    }
}

fn broker_size(dir: &std::path::Path) -> u64 {
    let folder = dir.join("topics").join("c").join("0");
    let files = std::fs::read_dir(folder).expect("a partition").map(|f| f.expect("a file"));
    files.filter(|f| f.path().extension().is_some_and(|e| e == "log")).map(|f| f.metadata().expect("a size").len()).sum()
}

#[test]
fn an_interrupted_compaction_is_finished_at_the_start() {
    let (dir, broker, mut client) = start();
    let settings = [("cleanup.policy", "compact"), ("segment.bytes", "1500"), ("min.cleanable.dirty.ratio", "0")];
    client.create("c", 1, &settings);
    for _ in 0..40 {
        put_key(&mut client, &[("a", Some(&"z".repeat(200)))], Compression::None);
    }
    let folder = dir.path().join("topics").join("c").join("0");
    let logs = || -> Vec<(std::path::PathBuf, Bytes)> {
        let files = std::fs::read_dir(&folder).expect("a partition").map(|f| f.expect("a file").path());
        files.filter(|p| p.extension().is_some_and(|e| e == "log")).map(|p| (p.clone(), std::fs::read(p).expect("read").into())).collect()
    };
    let old = logs();
    broker.maintain();
    let left = client.fetch_all("c", 0, 0);
    broker.crash();
    // As if the process had died between naming the new segment and removing the old ones.
    for (path, bytes) in &old {
        if !path.exists() {
            std::fs::write(path, bytes).expect("written");
        }
    }
    std::fs::write(folder.join("00000000000000000000.9-00000000000000000001.cleaned"), b"half").expect("written");
    let broker = TestBroker::start(config(dir.path()));
    assert_eq!(broker.client().fetch_all("c", 0, 0), left);
    assert!(logs().len() < old.len());
}
