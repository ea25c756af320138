//! From a reading on the bus to its alert on the bus, while other readings come at a steady rate; beside the bus alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bus::{BusError, Filter, TapReader};
use schemas::Event;
use serde::Serialize;
use serde_json::{Value, json};

use super::scratch_home;
use crate::cli::{BenchArgs, Invocation, Ended};
use crate::lang::t;
use crate::parts::Parts;
use crate::rows::Rows;
use crate::service::{Options, Service};

/// Events for each second when nothing is asked.
const RATE_DEFAULT: u64 = 10_000;
/// Events when nothing is asked.
const EVENTS_DEFAULT: u64 = 600_000;
/// Events go out in steps of this length.
const STEP: Duration = Duration::from_millis(5);
/// Alarms for each second: each from a station of its own, so that each is an alert of its own.
const ALARMS_PER_SECOND: u64 = 20;
/// Time before the measurement, for everything to warm up.
const WARM_UP: Duration = Duration::from_secs(3);
/// How long the last alerts are waited for.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Serialize)]
struct Figures {
    rate: u64,
    alarms: usize,
    missing: usize,
    /// The floor: the reading itself, read back from the bus.
    bus_alone_ms: Percentiles,
    /// The job has found the signal.
    reading_to_signal_ms: Percentiles,
    reading_to_alert_ms: Percentiles,
}

/// Times in milliseconds.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: f64,
    pub(super) p99: f64,
    p999: f64,
    pub(super) max: f64,
}

/// The percentiles of durations; no numbers for none.
pub(super) fn percentiles(mut samples: Vec<Duration>) -> Percentiles {
    samples.sort();
    let at = |per_mille: usize| samples.get((samples.len() * per_mille / 1000).min(samples.len().saturating_sub(1))).map_or(f64::NAN, |sample| sample.as_secs_f64() * 1e3);
    Percentiles { p50: at(500), p99: at(990), p999: at(999), max: at(1000) }
}

/// The benchmark.
pub async fn run(context: &Invocation, args: &BenchArgs) -> Result<Ended> {
    let rate = args.rate.unwrap_or(RATE_DEFAULT).max(1_000);
    let events = args.events.unwrap_or(EVENTS_DEFAULT);
    let home = scratch_home(context, "bench-latency")?;
    let service = Service::start(context, &home, &Options::quiet(), Parts::new()).await?;
    let measured = measure(&service, rate, events).await;
    service.stop().await?;
    let figures = measured?;
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
    } else {
        println!("{} {}/s, {} {}", figures.rate, t("条读数", "readings"), figures.alarms, t("次报警", "alarms"));
        for (name, p) in [
            (t("只经过总线（下限）", "the bus alone (floor)"), figures.bus_alone_ms),
            (t("读数到信号", "reading to signal"), figures.reading_to_signal_ms),
            (t("读数到预警", "reading to alert"), figures.reading_to_alert_ms),
        ] {
            println!("  {name:<26} p50 {:>7.1} ms  p99 {:>7.1} ms  p99.9 {:>7.1} ms  max {:>7.1} ms", p.p50, p.p99, p.p999, p.max);
        }
    }
    if figures.missing > 0 {
        bail!("{} of {} alarms raised no alert within {} s", figures.missing, figures.alarms, PATIENCE.as_secs());
    }
    Ok(Ended::Done)
}

/// When each was seen first, by what it is called.
pub(super) type Seen = BTreeMap<String, Instant>;

/// Reads what comes until the tap stops: when each thing was seen first, by `key`, and the rows. Only rows with `mark` in them are parsed.
pub(super) async fn watch(reader: Result<TapReader, BusError>, mark: &'static str, key: fn(&Value) -> Option<&str>) -> Result<(Seen, Vec<Value>)> {
    let mut reader = reader?;
    let (mut seen, mut rows) = (Seen::new(), Vec::new());
    while let Some(chunk) = reader.recv().await {
        let now = Instant::now();
        for row in Rows::of(&chunk.rows)?.iter() {
            let Some(data) = row.data.filter(|data| data.contains(mark)) else { continue };
            let data: Value = serde_json::from_str(data)?;
            if let Some(key) = key(&data) {
                seen.entry(key.to_owned()).or_insert(now);
            }
            rows.push(data);
        }
    }
    Ok((seen, rows))
}

async fn measure(service: &Service, rate: u64, events: u64) -> Result<Figures> {
    let tap = bus::Tap::start(service.bus.clone(), bus::TapConfig::default())?;
    // Cheap enough not to disturb what is measured: only alarms are parsed.
    let watched = |name: &'static str, filter: Filter, key| tokio::spawn(watch(tap.reader(name, filter, BTreeMap::new()), "bench-alarm-", key));
    let alerts = watched("alerts", Filter::prefixes(["alert."]), |row| row["originator"].as_str());
    let readings = watched("readings", Filter::topics(["raw.sensor"]), |row| row["station"].as_str());
    let signals = watched("signals", Filter::topics([schemas::topics::SIGNAL]), |row| row["station"].as_str());
    let sent = send(service, rate, events).await?;
    // An alert that is late is waited for; one that never comes is counted as missing.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let _ = tokio::time::timeout(PATIENCE, service.settle()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    tap.stop().await;
    let ((alerts, _), (signals, _), (readings, _)) = (alerts.await??, signals.await??, readings.await??);
    let delays = |seen: &Seen| sent.iter().filter_map(|(station, at)| Some(seen.get(station)?.saturating_duration_since(*at))).collect::<Vec<_>>();
    let to_alert = delays(&alerts);
    Ok(Figures {
        rate,
        alarms: sent.len(),
        missing: sent.len() - to_alert.len(),
        bus_alone_ms: percentiles(delays(&readings)),
        reading_to_signal_ms: percentiles(delays(&signals)),
        reading_to_alert_ms: percentiles(to_alert),
    })
}

/// Sends readings at the rate, alarms among them; when each alarm was sent, after the warm-up.
async fn send(service: &Service, rate: u64, events: u64) -> Result<BTreeMap<String, Instant>> {
    let producer = service.bus.producer()?;
    let per_step = (rate * STEP.as_millis() as u64 / 1_000).max(1);
    let steps_between_alarms = (1_000 / STEP.as_millis() as u64 / ALARMS_PER_SECOND).max(1);
    let mut ticks = tokio::time::interval(STEP);
    let begun = Instant::now();
    let mut sent = BTreeMap::new();
    let mut acknowledged = Vec::new();
    // One wild reading is no danger: the second one confirms it, and is the one that is measured.
    let mut unconfirmed: Option<String> = None;
    for step in 0..events / per_step {
        ticks.tick().await;
        if let Some(station) = unconfirmed.take() {
            let alarm = gas_reading(&station, u64::MAX / 2 - step, 60.0);
            sent.insert(station, Instant::now());
            acknowledged.push(producer.send("raw.sensor", &alarm.to_kafka(), None));
        }
        for number in 0..per_step {
            let stream = (step * per_step + number) % 2_000;
            let reading = gas_reading(&format!("bench-{stream}"), step * per_step + number, 1.0);
            acknowledged.push(producer.send("raw.sensor", &reading.to_kafka(), None));
        }
        if step % steps_between_alarms == 0 && begun.elapsed() > WARM_UP {
            let station = format!("bench-alarm-{step}");
            acknowledged.push(producer.send("raw.sensor", &gas_reading(&station, u64::MAX - step, 60.0).to_kafka(), None));
            unconfirmed = Some(station);
        }
        if acknowledged.len() > 50_000 {
            for one in acknowledged.drain(..) {
                one.await?;
            }
        }
    }
    for one in acknowledged {
        one.await?;
    }
    Ok(sent)
}

/// A reading of gas, in per cent of the lower explosive limit.
pub(super) fn gas_reading(station: &str, number: u64, percent_lel: f64) -> Event {
    let data = json!({"datastream": station, "result": percent_lel, "unit": "%LEL", "property": "gas", "station": station, "district": "bench"});
    let mut event = Event::new(format!("{number:020}"), "urn:citybrain:bench:latency", "io.citybrain.sensor.observation.v1").with_json(&data);
    event.time = Some(chrono::Utc::now());
    event.partition_key = Some(station.to_owned());
    event
}
