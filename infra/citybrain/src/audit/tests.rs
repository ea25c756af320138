//! The writer on a broker of its own: cut off at any point, it goes on with the chain that the log has.

use std::sync::Arc;

use broker::{Broker, BrokerConfig};
use bus::{Bus, BusConfig, TopicSpec};
use chrono::Utc;
use gateway::AuditLog;
use schemas::audit::{Checker, Entry, Note, Verdict};
use schemas::topics;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::anchors::Anchors;
use super::writer::{AuditHandle, writer};
use crate::home::Home;
use crate::rows::Rows;
use crate::scan::scan;

struct World {
    home: Home,
    bus: Bus,
    broker: Broker,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::open(dir.path()).unwrap();
        let mut config = BrokerConfig::new(home.dir("broker"));
        config.listen = "127.0.0.1:0".parse().unwrap();
        let broker = Broker::start(config).await.unwrap();
        let bus = Bus::connect(BusConfig::new(broker.addr().to_string())).await.unwrap();
        bus.ensure_topics(&[TopicSpec::new(topics::AUDIT, 1)]).await.unwrap();
        World { home, bus, broker, _dir: dir }
    }

    fn start(&self) -> (AuditHandle, watch::Sender<bool>, JoinHandle<anyhow::Result<()>>) {
        let (handle, writer) = writer(self.bus.clone(), &self.home);
        let (stop, stopped) = watch::channel(false);
        (handle, stop, tokio::spawn(writer.run(stopped)))
    }

    async fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        scan(&self.bus, topics::AUDIT, 0, |chunk| {
            lines.extend(Rows::of(&chunk.rows)?.iter().map(|row| row.data.unwrap_or_default().to_owned()));
            Ok(true)
        })
        .await
        .unwrap();
        lines
    }

    fn anchors(&self) -> Anchors {
        Anchors::of(self.home.dir("audit"))
    }

    async fn end(self) {
        drop(self.bus);
        self.broker.shutdown().await;
    }
}

fn note(number: usize) -> Note {
    Note { subject: Some(number.to_string()), ..Note::new("wang", "http", "command.close", Utc::now()) }
}

fn check(lines: &[String], anchors: &Anchors) -> Verdict {
    let mut checker = Checker::new(anchors.all().unwrap().into_iter().map(|(_, head)| head));
    lines.iter().for_each(|line| checker.take(line));
    checker.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_is_cut_off_anywhere_leaves_one_whole_chain() {
    let world = World::new().await;
    let mut acknowledged = Vec::new();
    for round in 0..12_usize {
        let (handle, stop, running) = world.start();
        let asking: Vec<_> = (0..40).map(|number| tokio::spawn(handle.append(note(round * 40 + number)))).collect();
        match round % 3 {
            // Stopped in order: everybody is answered.
            0 => {
                for asked in asking {
                    acknowledged.push(asked.await.unwrap().unwrap());
                }
                stop.send_replace(true);
                running.await.unwrap().unwrap();
            }
            // Cut off after so many answers, at whatever it was doing.
            _ => {
                for asked in asking.into_iter().take(round * 3) {
                    acknowledged.extend(asked.await.unwrap());
                }
                running.abort();
                let _ = running.await;
            }
        }
    }
    let lines = world.lines().await;
    let verdict = check(&lines, &world.anchors());
    assert_eq!(verdict.flaws, []);
    assert_eq!((verdict.heads.len(), verdict.heads[0].next), (1, lines.len() as u64), "one chain, without a fork");
    acknowledged.sort_unstable();
    assert!(acknowledged.windows(2).all(|pair| pair[0] != pair[1]), "a number is given once");
    assert!(acknowledged.iter().all(|seq| *seq < verdict.heads[0].next), "what was acknowledged is there");
    assert!(!world.anchors().all().unwrap().is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_replaced_is_told_and_a_new_chain_begins() {
    let world = World::new().await;
    let (handle, stop, running) = world.start();
    handle.append(note(0)).await.unwrap();
    stop.send_replace(true);
    running.await.unwrap().unwrap();
    let first = world.anchors().all().unwrap()[0].1.clone();

    let other = World::new().await;
    std::fs::create_dir_all(other.home.dir("audit")).unwrap();
    for file in ["chain", "anchors.jsonl"] {
        std::fs::copy(world.home.dir("audit").join(file), other.home.dir("audit").join(file)).unwrap();
    }
    let (handle, stop, running) = other.start();
    handle.append(note(1)).await.unwrap();
    stop.send_replace(true);
    running.await.unwrap().unwrap();
    let lines = other.lines().await;
    let begin = Entry::from_json(&lines[0]).unwrap();
    assert_eq!((begin.note.action.as_str(), begin.note.details["replaced"].clone()), ("audit.begin", first.to_string()));
    assert_ne!(begin.chain, first.chain);
    assert_eq!(check(&lines, &other.anchors()).flaws.len(), 1, "the anchors of the chain that is gone tell");
    world.end().await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_at_once_are_written_together() {
    let world = World::new().await;
    let (handle, stop, running) = world.start();
    let handle = Arc::new(handle);
    let asking: Vec<_> = (0..500).map(|number| tokio::spawn(handle.append(note(number)))).collect();
    let mut numbers = Vec::new();
    for asked in asking {
        numbers.push(asked.await.unwrap().unwrap());
    }
    numbers.sort_unstable();
    // The first entry begins the chain.
    assert_eq!(numbers, (1..=500).collect::<Vec<u64>>());
    assert_eq!(handle.head().unwrap().next, 501);
    stop.send_replace(true);
    running.await.unwrap().unwrap();
    assert_eq!(check(&world.lines().await, &world.anchors()).flaws, []);
    world.end().await;
}
