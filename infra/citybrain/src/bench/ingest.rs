//! Kafka to Delta: events that lie on a topic, into bronze and silver exactly once, beside consuming and decoding only.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bus::{Bus, Floor, Outgoing, TopicSpec, consume_floor, cpu_time};
use schemas::Event;
use serde::Serialize;
use serde_json::json;

use super::{forget_peak, peak_mib, scratch_home};
use crate::cli::{BenchArgs, Invocation, Ended, Part};
use crate::lang::t;
use crate::parts::Parts;
use crate::service::{Options, Service};

/// Events when nothing is asked.
const EVENTS_DEFAULT: u64 = 1_000_000;
/// Records of one send.
const SEND_RECORDS: usize = 4_096;

#[derive(Serialize)]
struct Figures {
    topic: &'static str,
    events: u64,
    bytes_per_event: u64,
    consume_only: Measured,
    consume_and_decode: Measured,
    into_delta: Measured,
    /// Wall time of the whole way over that of consuming and decoding.
    times_floor: f64,
    /// The same of processor time.
    times_floor_cpu: f64,
    peak_mib: u64,
}

#[derive(Clone, Copy, Serialize)]
struct Measured {
    seconds: f64,
    events_per_second: f64,
    cpu_seconds_per_million: f64,
}

impl From<Floor> for Measured {
    fn from(floor: Floor) -> Measured {
        Measured { seconds: floor.wall.as_secs_f64(), events_per_second: floor.events_per_second(), cpu_seconds_per_million: floor.cpu_seconds_per_million() }
    }
}

/// The benchmark.
pub async fn run(context: &Invocation, args: &BenchArgs) -> Result<Ended> {
    let events = args.events.unwrap_or(EVENTS_DEFAULT).max(1);
    let mut all = Vec::new();
    for (topic, make) in [("raw.sensor", observation as fn(u64) -> Event), ("raw.workorder", order)] {
        let figures = measure(context, topic, events, make).await?;
        if !context.global.json {
            print(&figures);
        }
        all.push(figures);
    }
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
    }
    Ok(Ended::Done)
}

async fn measure(context: &Invocation, topic: &'static str, events: u64, make: fn(u64) -> Event) -> Result<Figures> {
    let home = scratch_home(context, "bench-ingest")?;
    // Written by a broker without readers; on a cluster the topic is made anew.
    let broker = match &context.global.kafka {
        Some(_) => None,
        None => Some(broker::Broker::start(broker::BrokerConfig::new(home.dir("broker"))).await?),
    };
    let servers = context.global.kafka.clone().unwrap_or_else(|| broker.as_ref().map(|broker| broker.addr().to_string()).unwrap_or_default());
    let bus = crate::service::connect(context, &servers).await?;
    if broker.is_none() {
        for (topic, _) in bus.topics().await?.into_iter().filter(|(topic, _)| crate::topics::ours().matches(topic)) {
            bus.delete_topic(&topic).await?;
        }
    }
    let partitions = if topic == "raw.sensor" { context.config.sensor_partitions } else { 1 };
    bus.ensure_topics(&[TopicSpec::new(topic, partitions)]).await?;
    let bytes = produce(&bus, topic, events, make).await?;
    let consume_only = consume_floor(&bus, topic, false).await?;
    let consume_and_decode = consume_floor(&bus, topic, true).await?;
    drop(bus);
    if let Some(broker) = broker {
        broker.shutdown().await;
    }

    forget_peak();
    let (begun, cpu) = (Instant::now(), cpu_time());
    let options = Options { parts: [Part::Lake].into(), ..Options::quiet() };
    let service = Service::start(context, &home, &options, Parts::new()).await?;
    service.settle().await?;
    let into_delta = Floor { events, wall: begun.elapsed(), cpu: cpu_time().saturating_sub(cpu) };
    let peak_mib = peak_mib();
    let table = format!("bronze.{}", crate::lake::table_of(topic));
    let landed = crate::lake::rows(&service.lake, &format!("SELECT count(*) AS n, count(DISTINCT ce_id) AS d FROM {table}")).await?;
    service.stop().await?;
    let row = landed.first().context("a count is one row")?;
    anyhow::ensure!(crate::lake::integer(row, "n") == events as i64 && crate::lake::integer(row, "d") == events as i64, "{table} has {row:?}, not each of {events} events once");

    let ratio = |whole: Duration, floor: Duration| whole.as_secs_f64() / floor.as_secs_f64().max(1e-9);
    Ok(Figures {
        topic,
        events,
        bytes_per_event: bytes / events,
        times_floor: ratio(into_delta.wall, consume_and_decode.wall),
        times_floor_cpu: ratio(into_delta.cpu, consume_and_decode.cpu),
        consume_only: consume_only.into(),
        consume_and_decode: consume_and_decode.into(),
        into_delta: into_delta.into(),
        peak_mib,
    })
}

async fn produce(bus: &Bus, topic: &str, events: u64, make: fn(u64) -> Event) -> Result<u64> {
    let producer = bus.producer()?;
    let mut bytes = 0;
    let mut next = 0;
    while next < events {
        let until = (next + SEND_RECORDS as u64).min(events);
        let records: Vec<_> = (next..until).map(|number| make(number).to_kafka()).collect();
        bytes += records.iter().map(|record| record.value.as_ref().map_or(0, |value| value.len() as u64)).sum::<u64>();
        let outgoing: Vec<_> = records.iter().map(|record| Outgoing { topic, record, timestamp_ms: None }).collect();
        for sent in producer.send_all(&outgoing).await? {
            sent?;
        }
        next = until;
    }
    Ok(bytes)
}

fn event(number: u64, source: &str, kind: &str, key: String, data: &serde_json::Value) -> Event {
    let mut event = Event::new(format!("{number:012}"), source, format!("io.citybrain.{kind}.v1")).with_json(data);
    event.time = chrono::DateTime::from_timestamp(1_752_800_000 + (number / 200) as i64, 0);
    event.partition_key = Some(key);
    event
}

fn observation(number: u64) -> Event {
    let stream = number % 1_000;
    let data = json!({"datastream": format!("s-{stream:04}"), "result": (number % 977) as f64 / 10.0, "unit": "mm/h", "property": "rainfall", "station": format!("s-{stream:04}")});
    event(number, "urn:citybrain:bench:sensors", "sensor.observation", format!("s-{stream:04}"), &data)
}

fn order(number: u64) -> Event {
    let data = json!({
        "request_id": format!("R{number:09}"), "category": "Street light out", "description": "the lamp at the corner is dark / 路灯不亮",
        "district": format!("d{:02}", number % 10), "address": format!("{} Harbour Road", number % 4_000), "lat": 29.7 + (number % 1_000) as f64 / 1e4,
        "lon": -95.4 + (number % 997) as f64 / 1e4, "channel": "phone", "status": "open"
    });
    event(number, "urn:citybrain:bench:orders", "workorder.created", format!("R{number:09}"), &data)
}

fn print(figures: &Figures) {
    println!("{}: {} {}, {} {}", figures.topic, figures.events, t("条事件", "events"), figures.bytes_per_event, t("字节/条", "bytes each"));
    let line = |name: &str, measured: Measured| {
        println!("  {name:<34} {:>9.0} events/s  {:>6.2} CPU-s per million  {:>6.2} s", measured.events_per_second, measured.cpu_seconds_per_million, measured.seconds);
    };
    line(t("只读取", "consume only"), figures.consume_only);
    line(t("读取并解码（下限）", "consume and decode (the floor)"), figures.consume_and_decode);
    line(t("写入 bronze 与 silver，恰好一次", "into bronze and silver, exactly once"), figures.into_delta);
    println!("  {:.2}x {} ({:.2}x {}), {} {} MiB", figures.times_floor, t("下限用时", "the floor's time"), figures.times_floor_cpu, t("处理器", "CPU"), t("内存峰值", "peak memory"), figures.peak_mib);
}
