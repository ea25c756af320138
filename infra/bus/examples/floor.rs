//! What the bus costs on this machine: writing, reading, reading and decoding, and the index against duplicates.
//!
//! `cargo run -p bus --example floor -- [EVENTS] [HOST:PORT]`; without an address, against an embedded broker.

use std::time::Instant;

use bus::{Bus, BusConfig, DedupConfig, DedupIndex, Filter, Outgoing, ProducerConfig, Tap, TapConfig, TopicSpec, consume_floor};
use bytes::Bytes;
use chrono::DateTime;
use schemas::event::{Event, KafkaRecord};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let events: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let mut embedded = None;
    let bootstrap = match std::env::args().nth(2) {
        Some(bootstrap) => bootstrap,
        None => {
            let broker = broker::Broker::start(broker::BrokerConfig::new(folder.path().join("broker"))).await?;
            let bootstrap = broker.addr().to_string();
            embedded = Some(broker);
            bootstrap
        }
    };
    let bus = Bus::connect(BusConfig::new(&bootstrap)).await?;
    let topic = format!("floor.{}", chrono::Utc::now().timestamp_millis());
    bus.ensure_topics(&[TopicSpec::new(&topic, 4)]).await?;

    let producer = bus.producer_with(&ProducerConfig { linger: std::time::Duration::from_millis(5), ..ProducerConfig::default() })?;
    let begun = Instant::now();
    for from in (0..events).step_by(20_000) {
        let records: Vec<KafkaRecord> = (from..(from + 20_000).min(events)).map(reading).collect();
        let outgoing: Vec<Outgoing<'_>> = records.iter().map(|record| Outgoing { topic: &topic, record, timestamp_ms: None }).collect();
        for answer in producer.send_all(&outgoing).await? {
            answer?;
        }
    }
    println!("write           {events} events in {:.2} s", begun.elapsed().as_secs_f64());
    for _ in 0..2 {
        println!("read            {}", consume_floor(&bus, &topic, false).await?);
        println!("read and decode {}", consume_floor(&bus, &topic, true).await?);
    }

    let tap = Tap::start(bus.clone(), TapConfig::default())?;
    let mut reader = tap.reader("index", Filter::topics([&topic]), Default::default())?;
    let index = DedupIndex::open(folder.path().join("index"), DedupConfig::default())?;
    let mut left = events;
    let mut busy = std::time::Duration::ZERO;
    while left > 0 {
        let chunk = reader.recv().await.ok_or("the tap ended")?;
        let begun = Instant::now();
        index.observe(&chunk)?;
        busy += begun.elapsed();
        left -= chunk.rows.num_rows() as u64;
    }
    let each = |time: std::time::Duration| time.as_secs_f64() * 1e6 / events as f64;
    println!("index: fold     {:.2} us for each event, {:?}", each(busy), index.stats());
    for (what, from) in [("known", 0), ("unknown", events)] {
        let begun = Instant::now();
        for id in from..from + events {
            drop(index.reserve("/gauges/houston", &format!("reading-{id}"))?);
        }
        println!("index: {what:<8} {:.2} us for each event", each(begun.elapsed()));
    }
    let producer = bus.producer_with(&ProducerConfig { linger: std::time::Duration::ZERO, ..ProducerConfig::default() })?;
    let mut round_trips = Vec::new();
    for id in 0..2000 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        let begun = Instant::now();
        producer.send(&topic, &reading(id), None).await?;
        let written = begun.elapsed();
        reader.recv().await.ok_or("the tap ended")?;
        round_trips.push((begun.elapsed(), written));
    }
    round_trips.sort_unstable();
    let at = |share: usize| round_trips[round_trips.len() * share / 100];
    println!("one by one: to the reader {:?} (half), {:?} (99 of 100); acknowledged {:?}", at(50).0, at(99).0, at(50).1);
    tap.stop().await;
    bus.delete_topic(&topic).await?;
    if let Some(broker) = embedded {
        broker.shutdown().await;
    }
    Ok(())
}

/// A gauge's reading as the door writes it.
fn reading(id: u64) -> KafkaRecord {
    let gauge = format!("gauge-{}", id % 1000);
    let mut event = Event::new(format!("reading-{id}"), "/gauges/houston", "io.citybrain.sensor.observation.v1");
    event.time = DateTime::from_timestamp_micros(1_503_730_800_000_000 + i64::try_from(id).unwrap_or_default() * 1000);
    event.recorded_time = event.time;
    event.subject = Some(gauge.clone());
    event.data_content_type = Some("application/json".to_owned());
    event.data = Some(Bytes::from(format!(r#"{{"datastream":"{gauge}","result":{}.5,"unit":"mm","property":"rainfall","district":"d{}"}}"#, id % 300, id % 16)));
    event.partition_key = Some(gauge);
    event.to_kafka()
}
