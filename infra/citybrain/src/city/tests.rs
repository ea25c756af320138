//! The city holds still: same seed, same bytes; in the order of time; within the numbers it promises.

use std::collections::BTreeMap;

use schemas::event::Event;

use super::*;

const SMALL: Size = Size { stations: 1, step_s: 600, people: 1 };

/// Digest of everything that the events of a day say.
fn digest(city: &City) -> String {
    let mut hasher = blake3::Hasher::new();
    for event in city.day() {
        for (name, value) in event.attributes() {
            hasher.update(name.as_bytes()).update(b"=").update(value.as_bytes()).update(b"\n");
        }
        hasher.update(event.data.as_deref().unwrap_or_default()).update(b"\n\n");
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

fn kind(event: &Event) -> String {
    event.event_type.trim_start_matches("io.citybrain.").trim_end_matches(".v1").to_owned()
}

fn result_of(event: &Event) -> f64 {
    event.data_json().unwrap()["result"].as_f64().unwrap()
}

#[test]
fn the_same_seed_gives_the_same_bytes_here_and_on_every_machine() {
    // Changes with every word and number of the city. Write the new one down together with the reason.
    assert_eq!(digest(&City::sized(2025, SMALL)), "d0dbd5b04d9659e4");
    assert_ne!(digest(&City::sized(2026, SMALL)), digest(&City::sized(2025, SMALL)));
}

#[test]
fn a_day_has_the_events_that_it_promises() {
    let mut counts = BTreeMap::new();
    for event in City::new(2025).day() {
        *counts.entry(kind(&event)).or_insert(0) += 1;
    }
    let between = |kind: &str, low: u64, high: u64| {
        let count = counts.get(kind).copied().unwrap_or_default();
        assert!((low..=high).contains(&count), "{kind}: {count} of {counts:?}");
    };
    between("sensor.observation", 230_000, 270_000);
    between("hotline.message", 1_000, 1_500);
    between("workorder.created", 560, 800);
    between("workorder.updated", 900, 1_700);
    between("workorder.closed", 250, 700);
    between("context.weather", 192, 192);
}

#[test]
fn events_come_in_the_order_of_their_times() {
    let city = City::sized(7, SMALL);
    let slow = city.truth().slow_clock;
    let mut latest = city.begins();
    for event in city.day() {
        let time = event.time.unwrap();
        if event.subject.as_deref() == Some(slow.datastream.as_str()) {
            assert_eq!((time.timestamp() + slow.behind_s.unwrap()).div_euclid(600), latest.timestamp().div_euclid(600));
            continue;
        }
        if event.id == "malformed-3" {
            continue;
        }
        assert!(time >= latest && time < city.ends(), "{} at {time} after {latest}", event.id);
        latest = time;
    }
}

#[test]
fn as_many_are_repeated_as_the_truth_says() {
    let city = City::sized(2025, SMALL);
    let mut seen = BTreeMap::new();
    for event in city.day() {
        let first = seen.entry((event.source.clone(), event.id.clone())).or_insert((0, event.clone()));
        first.0 += 1;
        assert_eq!(first.1, event, "a repeat is the same event");
    }
    let repeats: u64 = seen.values().map(|(count, _)| count - 1).sum();
    assert_eq!(repeats, city.truth().duplicates);
}

#[test]
fn every_event_but_the_malformed_is_a_right_envelope_with_json() {
    let city = City::sized(2025, SMALL);
    let mut malformed = 0;
    for event in city.day() {
        event.check().unwrap();
        if event.source.ends_with(":legacy") {
            malformed += 1;
            continue;
        }
        assert!(event.data_json().unwrap().is_object(), "{}", event.id);
        assert!(event.partition_key.is_some());
    }
    assert_eq!(malformed, city.truth().refused);
}

#[test]
fn the_dead_station_falls_silent() {
    let city = City::sized(2025, SMALL);
    let dead = city.truth().dead;
    let last = city.day().filter(|event| event.subject.as_deref() == Some(&dead.datastream)).last().unwrap();
    assert!(last.time.unwrap() < dead.from);
    assert!((dead.from - last.time.unwrap()).num_seconds() <= SMALL.step_s);
}

/// Highest and lowest reading of a property in a district, by hour.
fn extremes(property: &str, district: &str) -> BTreeMap<i64, (f64, f64)> {
    let city = City::new(2025);
    let mut hours = BTreeMap::new();
    let (property, district) = (format!("\"property\":\"{property}\""), format!("\"district\":\"{district}\""));
    for event in city.day().filter(|event| event.source.ends_with(":sensors")) {
        let data = std::str::from_utf8(event.data.as_deref().unwrap()).unwrap();
        if data.contains(&property) && data.contains(&district) {
            let hour = (event.time.unwrap() - city.begins()).num_hours();
            let value = result_of(&event);
            let (low, high) = hours.entry(hour).or_insert((value, value));
            *low = low.min(value);
            *high = high.max(value);
        }
    }
    hours
}

#[test]
fn what_is_planted_stands_out() {
    let level = extremes("water_level", "滨江区");
    assert!(level[&13].1 < 0.05 && level[&15].1 > 0.5, "{level:?}");
    let pressure = extremes("pressure", "西城区");
    assert!(pressure[&8].0 > 0.27 && pressure[&9].0 < 0.1 && pressure[&20].0 > 0.27, "{pressure:?}");
    let flow = extremes("flow", "西城区");
    assert!(flow[&8].1 < 240.0 && flow[&9].1 > 400.0, "{flow:?}");
    let gas = extremes("gas", "东城区");
    assert!(gas[&17].1 < 6.0 && gas[&18].1 > 50.0 && gas[&22].1 < 6.0, "{gas:?}");
    let calm = extremes("gas", "南桥区");
    assert!(calm.values().all(|(_, high)| *high < 6.0), "{calm:?}");
}

#[test]
fn the_calls_follow_the_water() {
    let city = City::new(2025);
    let flood_calls = |from: i64, to: i64| {
        city.day()
            .filter(|event| event.source.ends_with(":hotline"))
            .filter(|event| (from..to).contains(&(event.time.unwrap() - city.begins()).num_hours()))
            .filter(|event| {
                let text = event.data_json().unwrap()["text"].as_str().unwrap().to_owned();
                ["积水", "内涝", "淹", "flood", "Flood"].iter().any(|word| text.contains(word))
            })
            .count()
    };
    assert!(flood_calls(0, 14) < 5, "{}", flood_calls(0, 14));
    assert!(flood_calls(14, 17) > 60, "{}", flood_calls(14, 17));
}
