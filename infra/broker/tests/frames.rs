//! Hostile bytes: whatever comes over a connection, the broker answers or closes it, and goes on for everybody else.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use broker::api::OFFERS;
use crate::common::{TestBroker, batch, config, record};
use kafka_protocol::records::Compression;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Sends bytes and reads until the broker has nothing more to say or closes.
fn say(addr: std::net::SocketAddr, bytes: &[u8]) {
    let mut socket = TcpStream::connect(addr).expect("the broker takes connections");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket takes a limit");
    // The broker may close before it has read everything.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
}

/// A frame of an API and version with this body; the header has a client's name and, where wanted, empty tags.
fn frame(key: i16, version: i16, tags: bool, body: &[u8]) -> Vec<u8> {
    let mut inside = Vec::new();
    inside.extend(key.to_be_bytes());
    inside.extend(version.to_be_bytes());
    inside.extend(7_i32.to_be_bytes());
    inside.extend(1_i16.to_be_bytes());
    inside.push(b'x');
    if tags {
        inside.push(0);
    }
    inside.extend(body);
    [&(inside.len() as i32).to_be_bytes()[..], &inside].concat()
}

fn still_works(broker: &TestBroker) {
    let mut client = broker.client();
    let offset = client.put("good", 0, &["here"]);
    assert!(offset >= 0 && client.values("good", 0).last().is_some_and(|value| value == "here"));
}

#[test]
fn random_bodies_of_every_api_and_version() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(config(dir.path()));
    assert_eq!(broker.client().create("good", 1, &[]), 0);
    for offer in OFFERS {
        for version in offer.min..=offer.max {
            let bodies = (any::<bool>(), proptest::collection::vec(any::<u8>(), 0..200));
            let mut runner = TestRunner::new(Config { cases: 4, failure_persistence: None, ..Config::default() });
            let sent = runner.run(&bodies, |(tags, body)| {
                say(broker.addr, &frame(offer.key as i16, version, tags, &body));
                Ok(())
            });
            sent.unwrap_or_else(|problem| panic!("{:?} {version}: {problem}", offer.key));
        }
    }
    still_works(&broker);
    let stats = broker.broker().stats();
    assert!(stats.malformed > 0, "random bodies are seldom requests: {stats:?}");
    broker.stop();
}

#[test]
fn frames_that_lie_about_their_length() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(config(dir.path()));
    assert_eq!(broker.client().create("good", 1, &[]), 0);
    for length in [-1, i32::MIN, i32::MAX, 0, 1, 7, 200 << 20] {
        say(broker.addr, &[&length.to_be_bytes()[..], b"GET / HTTP/1.1\r\n\r\n"].concat());
    }
    say(broker.addr, b"");
    say(broker.addr, &[0, 0]);
    still_works(&broker);
    broker.stop();
}

#[test]
fn a_produced_batch_with_any_bit_turned_is_refused_or_kept_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(config(dir.path()));
    assert_eq!(broker.client().create("good", 1, &[]), 0);
    assert_eq!(broker.client().create("bad", 1, &[]), 0);
    let whole = batch(vec![record(Some(b"k"), Some(b"value"))], Compression::None);
    for at in 0..whole.len() * 8 {
        let mut turned = whole.to_vec();
        turned[at / 8] ^= 1 << (at % 8);
        let answer = broker.client().produce("bad", 0, turned.into());
        // The first eight bytes are the base offset, which is the broker's own to write.
        let own = at / 8 < 8;
        assert!(own || answer.error_code != 0 || (12..16).contains(&(at / 8)), "bit {at}: {}", answer.error_code);
    }
    still_works(&broker);
    broker.stop();
}
