//! What was acknowledged is there after whatever kind of end.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use broker::{Disk, Fsync, StartError};
use crate::common::*;
use kafka_protocol::records::Compression;

fn segment(dir: &Path, topic: &str, partition: i32) -> PathBuf {
    let folder = dir.join("topics").join(topic).join(partition.to_string());
    let mut logs: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a partition")
        .map(|f| f.expect("a file").path())
        .filter(|p| p.extension().is_some_and(|e| e == "log"))
        .collect();
    logs.sort();
    logs.pop().expect("a segment")
}

#[test]
fn a_clean_restart_keeps_everything() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = TestBroker::start(config(dir.path()));
    let mut client = broker.client();
    client.create("t", 3, &[("retention.ms", "1000000")]);
    for p in 0..3 {
        client.put("t", p, &["a", "b"]);
    }
    broker.stop();
    let broker = TestBroker::start(config(dir.path()));
    let mut client = broker.client();
    for p in 0..3 {
        assert_eq!(client.values("t", p), ["a", "b"]);
        assert_eq!(client.put("t", p, &["c"]), 2);
        assert_eq!(client.values("t", p), ["a", "b", "c"]);
    }
}

#[test]
fn dropping_everything_in_the_middle_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..5 {
        let broker = TestBroker::start(config(dir.path()));
        let mut client = broker.client();
        client.create("t", 1, &[("segment.bytes", "20000")]);
        assert!(client.values("t", 0).len() >= acknowledged.len());
        let (tell, told) = std::sync::mpsc::channel();
        let mut producer = broker.client();
        let thread = std::thread::spawn(move || {
            for i in 0.. {
                let value = format!("{round}-{i}");
                let records = vec![record(None, Some(value.as_bytes()))];
                if producer.send_raw_produce(batch(records, Compression::None)).is_none() || tell.send(value).is_err() {
                    return;
                }
            }
        });
        let mut some: Vec<String> = (0..100).map(|_| told.recv().expect("acknowledged")).collect();
        broker.crash();
        thread.join().expect("a producer");
        some.extend(told.try_iter());
        acknowledged.extend(some);
    }
    let broker = TestBroker::start(config(dir.path()));
    let there = broker.client().values("t", 0);
    let mut rest = there.iter();
    for value in &acknowledged {
        assert!(rest.any(|v| v == value), "{value} was acknowledged, and is missing or out of order");
    }
}

impl Client {
    /// Produces to `t`; none when the broker is gone.
    fn send_raw_produce(&mut self, records: bytes::Bytes) -> Option<()> {
        use kafka_protocol::messages::{ProduceRequest, ProduceResponse, RequestHeader};
        use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};
        let mut out = bytes::BytesMut::from(&[0u8; 4][..]);
        let header = RequestHeader::default().with_request_api_key(ProduceRequest::KEY).with_request_api_version(9);
        header.encode(&mut out, ProduceRequest::header_version(9)).ok()?;
        produce_request("t", 0, records).encode(&mut out, 9).ok()?;
        let length = (out.len() - 4) as i32;
        out[..4].copy_from_slice(&length.to_be_bytes());
        self.send_raw(&out).ok()?;
        let mut frame = self.read_frame().ok()?;
        let _ = frame.split_to(5);
        let answer = ProduceResponse::decode(&mut frame, 9).ok()?;
        (answer.responses[0].partition_responses[0].error_code == 0).then_some(())
    }
}

/// A power cut: segments that were never synced are gone, wholly or in part; the write-ahead file has everything.
#[test]
fn segments_lost_in_a_power_cut_come_back_from_the_write_ahead_file() {
    for cut in [0, 1, 100, 5_000] {
        let dir = tempfile::tempdir().expect("a folder");
        let broker = TestBroker::start(config(dir.path()));
        let mut client = broker.client();
        client.create("t", 2, &[]);
        let id = client.producer_id();
        let values: Vec<String> = (0..300).map(|i| format!("value {i}")).collect();
        for (i, v) in values.iter().enumerate() {
            assert_eq!(client.produce("t", 0, sequenced(id, 0, i as i32, &[v])).error_code, 0);
        }
        broker.crash();
        let path = segment(dir.path(), "t", 0);
        OpenOptions::new().write(true).open(&path).expect("a segment").set_len(cut).expect("cut");
        let broker = TestBroker::start(config(dir.path()));
        let mut client = broker.client();
        assert_eq!(client.values("t", 0), values, "cut at {cut}");
        assert_eq!(client.produce("t", 0, sequenced(id, 0, 299, &["value 299"])).base_offset, 299, "still known as a repetition");
        assert_eq!(client.put("t", 0, &["goes on"]), 300);
    }
}

#[test]
fn a_torn_tail_is_cut_off() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut os = config(dir.path());
    os.fsync = Fsync::Os;
    let broker = TestBroker::start(os.clone());
    let mut client = broker.client();
    client.create("t", 1, &[]);
    client.put("t", 0, &["a"]);
    client.put("t", 0, &["b"]);
    broker.crash();
    let path = segment(dir.path(), "t", 0);
    let whole = std::fs::metadata(&path).expect("a segment").len();
    OpenOptions::new().write(true).open(&path).expect("a segment").set_len(whole - 3).expect("torn");
    let broker = TestBroker::start(os.clone());
    assert_eq!(broker.client().values("t", 0), ["a"]);
    assert_eq!(broker.client().put("t", 0, &["c"]), 1);
    broker.crash();
    // Rubbish at the end.
    let mut bytes = std::fs::read(&path).expect("a segment");
    bytes.extend_from_slice(&[0xa5; 777]);
    std::fs::write(&path, bytes).expect("rubbish");
    let broker = TestBroker::start(os);
    assert_eq!(broker.client().values("t", 0), ["a", "c"]);
    assert_eq!(broker.client().put("t", 0, &["d"]), 2);
}

#[test]
fn idempotence_holds_over_restarts() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut broker = TestBroker::start(config(dir.path()));
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let id = client.producer_id();
    for i in 0..8 {
        assert_eq!(client.produce("t", 0, sequenced(id, 0, i * 2, &["x", "y"])).base_offset, i64::from(i) * 2);
    }
    for clean in [false, true, false] {
        if clean {
            broker.stop();
        } else {
            broker.crash();
        }
        broker = TestBroker::start(config(dir.path()));
        let mut client = broker.client();
        for i in 3..8 {
            let again = client.produce("t", 0, sequenced(id, 0, i * 2, &["x", "y"]));
            assert_eq!((again.error_code, again.base_offset), (0, i64::from(i) * 2), "a repetition gets its first offset");
        }
        assert_eq!(client.produce("t", 0, sequenced(id, 0, 20, &["gap"])).error_code, 45, "OUT_OF_ORDER_SEQUENCE_NUMBER");
        assert_eq!(client.offset("t", 0, -1).1, 16);
        assert!(client.producer_id() > id, "no id is given out twice");
    }
    let mut client = broker.client();
    assert_eq!(client.produce("t", 0, sequenced(id, 0, 16, &["next"])).base_offset, 16);
    assert_eq!(client.produce("t", 0, sequenced(id, 1, 0, &["new epoch"])).base_offset, 17);
    assert_eq!(client.produce("t", 0, sequenced(id, 0, 17, &["old epoch"])).error_code, 47, "INVALID_PRODUCER_EPOCH");
}

#[test]
fn a_full_disk_is_told_and_goes_on_by_itself() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut full = config(dir.path());
    full.disk = Disk::limited(10_000);
    let disk = full.disk.clone();
    let broker = TestBroker::start(full);
    let mut client = broker.client();
    client.create("t", 1, &[]);
    let id = client.producer_id();
    let big = "x".repeat(3_000);
    let mut kept = 0;
    let refused = loop {
        let answer = client.produce("t", 0, sequenced(id, 0, kept, &[&big]));
        if answer.error_code != 0 {
            break answer;
        }
        kept += 1;
    };
    assert_eq!(refused.error_code, 56, "KAFKA_STORAGE_ERROR");
    assert_eq!(kept, 3);
    assert_eq!(client.values("t", 0).len(), 3, "what was acknowledged can be read");
    assert!(broker.broker().stats().storage_errors > 0);
    disk.set_left(1_000_000);
    assert_eq!(client.produce("t", 0, sequenced(id, 0, kept, &[&big])).base_offset, 3, "the refused batch, sent again");
    broker.crash();
    let broker = TestBroker::start(config(dir.path()));
    assert_eq!(broker.client().values("t", 0).len(), 4);
}

#[test]
fn write_ahead_files_are_used_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut small = config(dir.path());
    small.limits.message_bytes = 1024 * 1024;
    small.limits.wal_bytes = 0;
    let broker = TestBroker::start(small.clone());
    let mut client = broker.client();
    client.create("t", 4, &[("segment.bytes", "3000000")]);
    let value = "v".repeat(500_000);
    for i in 0..120 {
        client.put("t", i % 4, &[&value]);
    }
    let files = std::fs::read_dir(dir.path().join("wal")).expect("a folder").count();
    assert!((1..=8).contains(&files), "60 MB went through {files} files of 10 MB");
    broker.crash();
    let broker = TestBroker::start(small);
    for p in 0..4 {
        assert_eq!(broker.client().values("t", p).len(), 30);
    }
}

#[test]
fn one_process_for_a_folder() {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = TestBroker::start(config(dir.path()));
    let second = TestBroker::try_start(config(dir.path())).err().expect("refused");
    assert!(matches!(second, StartError::Locked { .. }));
    assert!(second.to_string().contains("stop that process"), "{second}");
    broker.stop();
    TestBroker::start(config(dir.path())).stop();
}

#[test]
fn a_folder_of_a_newer_program_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    TestBroker::start(config(dir.path())).stop();
    std::fs::write(dir.path().join("format"), "99\n").expect("written");
    let refused = TestBroker::try_start(config(dir.path())).err().expect("refused");
    assert!(matches!(refused, StartError::Newer { found: 99, known: 1, .. }));
    std::fs::write(dir.path().join("format"), "what\n").expect("written");
    let refused = TestBroker::try_start(config(dir.path())).err().expect("refused");
    assert!(matches!(refused, StartError::Damaged { .. }), "{refused}");
}

#[test]
fn a_network_address_needs_passwords() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut open = config(dir.path());
    open.listen = "0.0.0.0:0".parse().expect("an address");
    let refused = TestBroker::try_start(open).err().expect("refused");
    assert!(matches!(refused, StartError::Unprotected { .. }));
}
