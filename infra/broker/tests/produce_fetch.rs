//! Records go in and come out as they were sent.

use std::time::{Duration, Instant};

use bytes::Bytes;
use crate::common::*;
use kafka_protocol::records::Compression;

const ALL: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

fn with_topic(name: &str, partitions: i32) -> (tempfile::TempDir, TestBroker, Client) {
    let dir = tempfile::tempdir().expect("a folder");
    let broker = TestBroker::start(config(dir.path()));
    let mut client = broker.client();
    assert_eq!(client.create(name, partitions, &[]), 0);
    (dir, broker, client)
}

#[test]
fn every_compression_is_kept_as_sent() {
    let (_dir, broker, mut client) = with_topic("t", 1);
    let mut sent = Vec::new();
    for compression in ALL {
        let mut one = record(Some(b"key"), Some(&[7; 5_000]));
        one.headers.insert(text("ce_id"), Some(Bytes::from_static(b"42")));
        one.headers.insert(text("empty"), None);
        let bytes = batch(vec![one, record(None, None)], compression);
        sent.push(bytes.clone());
        assert_eq!(client.produce("t", 0, bytes).error_code, 0);
    }
    let got = client.fetch_raw("t", 0, 0, 0, 1024 * 1024).records.expect("records");
    let mut rest = &got[..];
    for one in sent {
        // Only base offset and leader epoch are the broker's.
        assert_eq!(rest[16..one.len()], one[16..]);
        rest = &rest[one.len()..];
    }
    let records = decode(got);
    assert_eq!(records.len(), 10);
    assert_eq!(records.iter().map(|r| r.offset).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    assert_eq!(records[8].headers[&text("ce_id")].as_deref(), Some(&b"42"[..]));
    assert_eq!(records[9].value, None);
    broker.stop();
}

#[test]
fn records_of_1_and_10_mb() {
    let (dir, broker, mut client) = with_topic("t", 1);
    for (mb, compression) in [(1, Compression::None), (10, Compression::None), (10, Compression::Zstd)] {
        let value: Vec<u8> = (0..mb * 1_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let answer = client.produce("t", 0, batch(vec![record(None, Some(&value))], compression));
        assert_eq!(answer.error_code, 0);
        // The first batch of a response may be larger than asked for.
        let got = decode(client.fetch_raw("t", 0, answer.base_offset, 0, 1_000).records.expect("records"));
        assert_eq!(got[0].value.as_deref(), Some(&value[..]));
    }
    let answer = client.produce("t", 0, batch(vec![record(None, Some(&vec![1; 13_000_000]))], Compression::None));
    assert_eq!(answer.error_code, 10, "MESSAGE_TOO_LARGE");
    assert!(answer.error_message.expect("why").contains("at most"));
    broker.stop();
    // From the files, after a restart.
    let broker = TestBroker::start(config(dir.path()));
    let got = decode(broker.client().fetch_raw("t", 0, 1, 0, 1_000).records.expect("records"));
    assert_eq!(got[0].value.as_ref().map(Bytes::len), Some(10_000_000));
}

#[test]
fn a_fetch_at_the_end_is_woken_by_an_append() {
    let (_dir, broker, mut client) = with_topic("t", 2);
    let mut reader = broker.client();
    let id = reader.send(&fetch_request("t", 1, 0, 20_000, 1_000_000), 12);
    let start = Instant::now();
    client.put("t", 0, &["elsewhere"]);
    client.put("t", 1, &["here"]);
    let answer = reader.receive::<kafka_protocol::messages::FetchRequest>(id, 12);
    let got = decode(answer.responses[0].partitions[0].records.clone().expect("records"));
    assert_eq!(got[0].value.as_deref(), Some(&b"here"[..]));
    assert!(start.elapsed() < Duration::from_secs(20), "it was woken before its time was up");
}

#[test]
fn a_fetch_waits_no_longer_than_asked_and_for_enough_bytes() {
    let (_dir, _broker, mut client) = with_topic("t", 1);
    client.put("t", 0, &["small"]);
    let mut request = fetch_request("t", 0, 0, 300, 1_000_000);
    request.min_bytes = 100_000;
    let start = Instant::now();
    let id = client.send(&request, 12);
    let answer = client.receive::<kafka_protocol::messages::FetchRequest>(id, 12);
    assert!(start.elapsed() >= Duration::from_millis(300), "it waited for more");
    assert_eq!(decode(answer.responses[0].partitions[0].records.clone().expect("records")).len(), 1);
}

#[test]
fn produce_requests_of_one_connection_are_answered_in_order() {
    let (_dir, _broker, mut client) = with_topic("t", 1);
    let ids: Vec<i32> = (0..200).map(|i| client.send_produce("t", 0, batch(vec![record(None, Some(format!("{i}").as_bytes()))], Compression::None))).collect();
    for (i, id) in ids.into_iter().enumerate() {
        assert_eq!(client.receive_produce(id).base_offset, i as i64);
    }
    assert_eq!(client.values("t", 0), (0..200).map(|i| i.to_string()).collect::<Vec<_>>());
}

#[test]
fn without_acks_there_is_no_answer_but_the_records_are_there() {
    let (_dir, _broker, mut client) = with_topic("t", 1);
    let mut request = produce_request("t", 0, batch(vec![record(None, Some(b"x"))], Compression::None));
    request.acks = 0;
    client.send(&request, 9);
    eventually("the record", || client.offset("t", 0, -1).1 == 1);
    assert_eq!(client.values("t", 0), ["x"]);
}

#[test]
fn offsets_by_time() {
    let (dir, broker, mut client) = with_topic("t", 1);
    let mut times = Vec::new();
    for i in 0..60i64 {
        let records: Vec<_> = (0..10)
            .map(|j| {
                let mut r = record(None, Some(&[b'v'; 2_000]));
                r.timestamp = 1_000_000 + i * 1_000 + j * 10;
                times.push(r.timestamp);
                r
            })
            .collect();
        assert_eq!(client.produce("t", 0, batch(records, ALL[i as usize % 5])).error_code, 0);
    }
    for round in 0..2 {
        for asked in [0, 1_000_000, 1_000_001, 1_005_090, 1_005_091, 1_033_333, 1_059_090] {
            let at = times.iter().position(|t| *t >= asked).expect("there") as i64;
            assert_eq!(client.offset("t", 0, asked), (times[at as usize], at), "round {round}, time {asked}");
        }
        assert_eq!(client.offset("t", 0, 2_000_000), (-1, -1));
        assert_eq!(client.offset("t", 0, -3), (1_059_090, 599), "the newest");
        if round == 0 {
            broker.broker().stats();
        }
    }
    broker.stop();
    let broker = TestBroker::start(config(dir.path()));
    assert_eq!(broker.client().offset("t", 0, 1_005_091), (1_006_000, 60));
}

#[test]
fn the_brokers_time_where_the_topic_wants_it() {
    let (_dir, _broker, mut client) = with_topic("t", 1);
    assert_eq!(client.create("stamped", 1, &[("message.timestamp.type", "LogAppendTime")]), 0);
    let mut old = record(None, Some(b"x"));
    old.timestamp = 5;
    let before = now_ms();
    let answer = client.produce("stamped", 0, batch(vec![old], Compression::None));
    assert!(answer.log_append_time_ms >= before);
    let got = client.fetch_raw("stamped", 0, 0, 0, 10_000).records.expect("records");
    assert_eq!(i64::from_be_bytes(got[35..43].try_into().expect("8 bytes")), answer.log_append_time_ms);
    decode(got);
}

#[test]
fn bad_batches_are_refused_with_a_reason() {
    let (_dir, _broker, mut client) = with_topic("t", 1);
    let good = batch(vec![record(None, Some(b"x"))], Compression::None);
    let mut cases: Vec<(Vec<u8>, i16, &str)> = vec![
        (Vec::new(), 87, "no records"),
        (good[..40].to_vec(), 2, "cannot be read"),
        (good[..good.len() - 1].to_vec(), 2, "announced"),
        ([good.clone(), good.clone()].concat(), 87, "one record batch"),
    ];
    let mut flipped = good.to_vec();
    flipped[65] ^= 1;
    cases.push((flipped, 2, "checksum"));
    let mut old = good.to_vec();
    old[16] = 1;
    cases.push((old, 43, "magic"));
    for (bytes, code, why) in cases {
        let answer = client.produce("t", 0, bytes.into());
        assert_eq!(answer.error_code, code, "{why}");
        assert!(answer.error_message.as_ref().is_some_and(|m| m.contains(why)), "{why}: {:?}", answer.error_message);
    }
    assert_eq!(client.produce("t", 7, good.clone()).error_code, 3);
    assert_eq!(client.produce("nowhere", 0, good.clone()).error_code, 3);
    assert_eq!(client.put("t", 0, &["goes on"]), 0, "nothing was stored");
}

#[test]
fn fetches_out_of_range_are_told() {
    let (_dir, _broker, mut client) = with_topic("t", 1);
    client.put("t", 0, &["a", "b"]);
    assert_eq!(client.fetch_raw("t", 0, 3, 100, 1000).error_code, 1);
    assert_eq!(client.fetch_raw("t", 0, -5, 100, 1000).error_code, 1);
    assert_eq!(client.fetch_raw("t", 0, 2, 0, 1000).error_code, 0);
    assert_eq!(client.fetch_raw("t", 5, 0, 100, 1000).error_code, 3);
    assert_eq!(client.fetch_raw("none", 0, 0, 100, 1000).error_code, 3);
}
