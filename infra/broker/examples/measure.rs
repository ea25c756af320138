//! Measures append latency, throughput and the way from producer to consumer, over a socket on this machine:
//! `cargo run -p broker --example measure -- [folder]`.

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use broker::{BrokerConfig, Fsync};
use common::*;
use kafka_protocol::records::Compression;

fn main() {
    let root = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    for fsync in [Fsync::Group, Fsync::Os] {
        let dir = root.join(format!("broker-measure-{}", std::process::id()));
        let mut config = BrokerConfig::new(&dir);
        config.fsync = fsync;
        let broker = TestBroker::start(config);
        println!("fsync = {fsync:?}");
        broker.client().create("one", 1, &[]);
        broker.client().create("many", 4, &[]);
        latency(&broker);
        end_to_end(&broker);
        throughput(&broker);
        parallel(&broker);
        read_back(&broker);
        let stats = broker.broker().stats();
        println!("  syncs {}, mean sync {} us", stats.syncs, stats.sync_us / stats.syncs.max(1));
        broker.stop();
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}

fn quantiles(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize].as_micros();
    println!("  {name}: p50 {} us, p99 {} us, p99.9 {} us, max {} us", at(0.5), at(0.99), at(0.999), at(1.0));
}

fn latency(broker: &TestBroker) {
    let mut client = broker.client();
    let value = vec![b'x'; 200];
    let one = batch(vec![record(None, Some(&value))], Compression::None);
    let times = (0..5_000).map(|_| {
        let start = Instant::now();
        assert_eq!(client.produce("one", 0, one.clone()).error_code, 0);
        start.elapsed()
    });
    quantiles("acknowledged produce of one record", times.collect());
}

fn end_to_end(broker: &TestBroker) {
    let (mut producer, mut consumer) = (broker.client(), broker.client());
    let value = vec![b'x'; 200];
    let one = batch(vec![record(None, Some(&value))], Compression::None);
    let (tell, told) = std::sync::mpsc::channel::<Instant>();
    let mut offset = producer.offset("one", 0, -1).1;
    let reader = std::thread::spawn(move || {
        let mut times = Vec::new();
        while times.len() < 2_000 {
            let got = consumer.fetch_raw("one", 0, offset, 1_000, 1024 * 1024);
            let n = decode(got.records.unwrap_or_default()).len();
            let now = Instant::now();
            offset += n as i64;
            times.extend((0..n).map(|_| now - told.recv().expect("sent before")));
        }
        times
    });
    for _ in 0..2_000 {
        tell.send(Instant::now()).expect("a reader");
        producer.produce("one", 0, one.clone());
    }
    quantiles("produce to consume", reader.join().expect("read"));
}

fn throughput(broker: &TestBroker) {
    let mut client = broker.client();
    let value = vec![b'x'; 100];
    let records: Vec<_> = (0..1_000).map(|_| record(None, Some(&value))).collect();
    let thousand = batch(records, Compression::None);
    let (before, start) = (cpu(), Instant::now());
    let mut waiting = std::collections::VecDeque::new();
    let batches = 3_000;
    for i in 0..batches {
        waiting.push_back(client.send_produce("many", i % 4, thousand.clone()));
        if waiting.len() > 5 {
            let id = waiting.pop_front().expect("sent");
            assert_eq!(client.receive_produce(id).error_code, 0);
        }
    }
    for id in waiting {
        client.receive_produce(id);
    }
    let (took, used) = (start.elapsed().as_secs_f64(), cpu() - before);
    let n = f64::from(batches) * 1_000.0;
    println!(
        "  batches of 1,000 records of 100 B, one connection: {:.2} M records/s, {:.0} MB/s, {:.2} CPU-s per million with the client",
        n / took / 1e6,
        n * 108.0 / took / 1e6,
        used / n * 1e6
    );
}

fn parallel(broker: &TestBroker) {
    let start = Instant::now();
    let threads: Vec<_> = (0..16)
        .map(|i| {
            let mut client = broker.client();
            std::thread::spawn(move || {
                let one = batch(vec![record(None, Some(&[b'x'; 100]))], Compression::None);
                for _ in 0..500 {
                    assert_eq!(client.produce("many", i % 4, one.clone()).error_code, 0);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("produced");
    }
    println!("  16 connections, one record at a time: {:.0} acknowledged/s", 8_000.0 / start.elapsed().as_secs_f64());
}

fn read_back(broker: &TestBroker) {
    let mut client = broker.client();
    let (start, mut offset, mut bytes) = (Instant::now(), 0, 0);
    let end = client.offset("many", 0, -1).1;
    while offset < end {
        let got = client.fetch_raw("many", 0, offset, 0, 4 * 1024 * 1024).records.unwrap_or_default();
        bytes += got.len();
        let mut at = 0;
        while at < got.len() {
            let size = 12 + i32::from_be_bytes(got[at + 8..at + 12].try_into().expect("4 bytes")) as usize;
            let delta = i32::from_be_bytes(got[at + 23..at + 27].try_into().expect("4 bytes"));
            offset = i64::from_be_bytes(got[at..at + 8].try_into().expect("8 bytes")) + i64::from(delta) + 1;
            at += size;
        }
    }
    println!("  reading back: {:.0} MB/s", bytes as f64 / start.elapsed().as_secs_f64() / 1e6);
}

/// Seconds of CPU used by this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit(')').next().unwrap_or_default();
    let field = |i: usize| after.split_whitespace().nth(i).and_then(|v| v.parse::<f64>().ok()).unwrap_or(0.0);
    (field(11) + field(12)) / 100.0
}
