//! What a large city sends: readings of very many devices, some of them late, repeated or alarming, and among them messages
//! and work orders. Each event follows from its number alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use bus::{Outgoing, Producer};
use chrono::{DateTime, TimeDelta, Utc};
use schemas::Event;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::city::Dice;

/// Events go out in steps of this length.
const STEP: Duration = Duration::from_millis(10);
/// Steps that may wait for their acknowledgement: two seconds of them. The feed falls behind when there are more.
const STEPS_MAX: usize = 200;
/// Events of one number range, of which the last are a message and a work order.
const HUNDRED: u64 = 100;
/// Readings among them.
const READINGS: u64 = 98;
/// One event of so many is sent a second time.
const REPEATED_EVERY: u64 = 200;
/// How many events later that happens; not a multiple of the above, so that nothing is sent a third time.
const REPEATED_AFTER: u64 = 1_003;
/// Each device is in alarm for one of so many stretches of time.
const CALM_STRETCHES: u64 = 8_000;
/// Length of such a stretch, s.
const STRETCH_S: i64 = 300;

/// What a kind of device measures: property, unit, an ordinary value in thousandths, how far it moves, and an alarming one.
const KINDS: [(&str, &str, i64, i64, Option<i64>); 8] = [
    ("gas", "%LEL", 600, 500, Some(56_000)),
    ("water_level", "m", 20, 15, Some(720)),
    ("gas", "%LEL", 400, 300, Some(61_000)),
    ("pressure", "MPa", 340, 20, Some(90)),
    ("flow", "m³/h", 180_000, 9_000, None),
    ("rainfall", "mm/h", 900, 800, None),
    ("temperature", "°C", 21_000, 4_000, None),
    ("pm25", "µg/m³", 38_000, 9_000, None),
];

const MESSAGES: [(&str, &str); 6] = [
    ("noise", "楼下工地半夜还在施工，吵得没法睡"),
    ("street_order", "路口的电动车乱停，盲道都占满了"),
    ("street_light", "the lamp at the corner has been dark for a week"),
    ("garbage", "小区门口的垃圾三天没有清运"),
    ("water_supply", "the tap water is yellow since this morning"),
    ("road", "路面有个大坑，骑车差点摔倒"),
];

/// The city that sends.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// When its first event happened.
    pub begun: DateTime<Utc>,
    /// Events each second.
    pub rate: u64,
    /// Its devices.
    pub devices: u64,
}

impl Crowd {
    /// An event and the topic that it goes to.
    pub fn event(&self, number: u64) -> (&'static str, Event) {
        let repeats = number >= REPEATED_AFTER && number.is_multiple_of(REPEATED_EVERY);
        let number = if repeats { number - REPEATED_AFTER } else { number };
        match number % HUNDRED {
            0..READINGS => ("raw.sensor", self.reading(number)),
            READINGS => ("raw.hotline", self.message(number)),
            _ => ("raw.workorder", self.order(number)),
        }
    }

    /// When it was due.
    fn time(&self, number: u64) -> DateTime<Utc> {
        self.begun + TimeDelta::microseconds((number * 1_000_000 / self.rate) as i64)
    }

    fn reading(&self, number: u64) -> Event {
        let mut dice = Dice::new(number, "reading");
        let device = (number / HUNDRED * READINGS + number % HUNDRED) % self.devices;
        let (property, unit, ordinary, spread, alarming) = KINDS[(device % KINDS.len() as u64) as usize];
        let due = self.time(number);
        let behind = match dice.below(1_000) {
            0..2 => TimeDelta::seconds(dice.between(600, 3_600)),
            2..12 => TimeDelta::milliseconds(dice.between(100, 20_000)),
            _ => TimeDelta::zero(),
        };
        let stretch = due.timestamp().div_euclid(STRETCH_S) as u64;
        let alarm = alarming.filter(|_| Dice::new(stretch.wrapping_mul(self.devices) + device, "alarm").below(CALM_STRETCHES) == 0);
        let milli = alarm.unwrap_or(ordinary) + dice.wobble(if alarm.is_some() { 30 } else { spread });
        let name = format!("s-{device:06}");
        let data = json!({
            "datastream": name, "result": milli as f64 / 1_000.0, "unit": unit, "property": property, "station": name,
            "district": district(device), "lat": 30.0 + (device % 1_000) as f64 / 1e4, "lon": 114.0 + (device / 1_000) as f64 / 1e4,
        });
        event(number, "sensor.observation", due - behind, name, &data)
    }

    fn message(&self, number: u64) -> Event {
        let mut dice = Dice::new(number, "message");
        let (category, text) = *dice.pick(&MESSAGES);
        let id = format!("m-{number}");
        let data = json!({
            "message_id": id, "text": text, "caller": format!("c-{}", dice.below(1_000_000)), "channel": "phone", "category": category,
            "district": district(dice.next()), "address": format!("{} 号", dice.below(40_000)),
        });
        event(number, "hotline.message", self.time(number), id, &data)
    }

    /// Every second order is closed by the next one.
    fn order(&self, number: u64) -> Event {
        let mut dice = Dice::new(number, "order");
        let hundred = number / HUNDRED;
        let id = format!("w-{}", hundred / 2);
        let (kind, data) = match hundred.is_multiple_of(2) {
            true => {
                let (category, text) = *dice.pick(&MESSAGES);
                ("workorder.created", json!({ "request_id": id, "category": category, "description": text, "district": district(dice.next()), "channel": "app", "status": "open" }))
            }
            false => ("workorder.closed", json!({ "request_id": id, "status": "closed", "resolution": "已处理" })),
        };
        event(number, kind, self.time(number), id, &data)
    }
}

fn district(of: u64) -> String {
    format!("d{:02}", of % 10 + 1)
}

fn event(number: u64, kind: &str, time: DateTime<Utc>, key: String, data: &Value) -> Event {
    let mut event = Event::new(format!("{number:012}"), "urn:citybrain:bench:soak", format!("io.citybrain.{kind}.v1")).with_json(data);
    event.time = Some(time);
    event.partition_key = Some(key);
    event
}

/// Sends the events of a crowd as they are due, for so long. `taken` counts those that the bus has.
///
/// # Errors
/// When one of them is not taken.
pub async fn send(crowd: Crowd, producer: Producer, lasts: Duration, taken: Arc<AtomicU64>) -> Result<()> {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(STEP);
    let mut steps = JoinSet::new();
    let mut next = 0;
    let due = |elapsed: Duration| (elapsed.as_micros() as u64).saturating_mul(crowd.rate) / 1_000_000;
    while next < due(lasts) {
        ticks.tick().await;
        while let Some(ended) = if steps.len() >= STEPS_MAX { steps.join_next().await } else { steps.try_join_next() } {
            ended??;
        }
        let until = due(begun.elapsed().min(lasts)).min(next + 2 * due(STEP));
        if next < until {
            steps.spawn(send_step(crowd, producer.clone(), next..until, taken.clone()));
            next = until;
        }
    }
    while let Some(ended) = steps.join_next().await {
        ended??;
    }
    Ok(())
}

async fn send_step(crowd: Crowd, producer: Producer, numbers: std::ops::Range<u64>, taken: Arc<AtomicU64>) -> Result<()> {
    let records: Vec<_> = numbers.map(|number| crowd.event(number)).map(|(topic, event)| (topic, event.to_kafka())).collect();
    let outgoing: Vec<_> = records.iter().map(|(topic, record)| Outgoing { topic, record, timestamp_ms: None }).collect();
    for sent in producer.send_all(&outgoing).await? {
        sent?;
    }
    taken.fetch_add(outgoing.len() as u64, Ordering::Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn every_device_speaks_and_a_few_events_are_late_repeated_or_no_readings() {
        let crowd = Crowd { begun: DateTime::from_timestamp(1_784_332_800, 0).unwrap(), rate: 1_000, devices: 500 };
        let (mut ids, mut streams, mut topics) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::<_, u64>::new());
        let (mut late, mut repeated) = (0, 0);
        for number in 0..20_000 {
            let (topic, event) = crowd.event(number);
            *topics.entry(topic).or_default() += 1;
            repeated += u64::from(!ids.insert(event.id.clone()));
            late += u64::from(event.time.is_some_and(|time| time < crowd.time(number) - TimeDelta::minutes(5)));
            if topic == "raw.sensor" {
                streams.insert(event.partition_key);
            }
        }
        assert_eq!(streams.len(), 500);
        assert!((90..=100).contains(&repeated) && (15..=80).contains(&late), "{repeated} {late}");
        assert!(topics["raw.hotline"] >= 190 && topics["raw.workorder"] >= 190, "{topics:?}");
    }

    #[test]
    fn every_event_is_one_of_its_type() {
        let crowd = Crowd { begun: DateTime::from_timestamp(1_784_332_800, 0).unwrap(), rate: 1_000, devices: 500 };
        let registry = schemas::Registry::builtin();
        for number in (0..400).chain(90_000..90_400) {
            let (topic, event) = crowd.event(number);
            let known = registry.get(&event.event_type).unwrap_or_else(|| panic!("{} is a type", event.event_type));
            assert!(known.is_on(topic), "{topic}");
            let data: Value = serde_json::from_slice(event.data.as_ref().unwrap()).unwrap();
            known.validate(&data).unwrap_or_else(|error| panic!("{number}: {error:?}"));
        }
    }
}
