//! Rehearsals from the text of a script to figures, without streaming jobs: signals are written by hand here.

use chrono::TimeDelta;
use graph::Graph;
use rehearsal::{FaultKind, Found, Recording, Script, drive, judge, play, shipped, vary};
use schemas::alert::Status;
use schemas::journal::Body;
use schemas::position::Position;
use schemas::signal::{Signal, SignalKind, SignalState};

/// The script of docs/incidents.md.
fn example() -> String {
    let page = include_str!("../../../docs/incidents.md");
    let (_, rest) = page.split_once("```yaml\n").expect("the page has an example");
    rest.split_once("```").expect("the example ends").0.to_owned()
}

fn read(text: &str) -> Result<Script, String> {
    Script::read("mine.yaml", text, &Graph::builtin()).map_err(|error| error.to_string())
}

#[test]
fn the_example_of_the_page_and_what_ships_can_be_read() {
    read(&example()).unwrap();
    let graph = Graph::builtin();
    for (file, text) in shipped() {
        let script = Script::read(file, text, &graph).unwrap_or_else(|error| panic!("{error}"));
        let steps = script.truth.incidents.iter().map(|incident| incident.events.len()).max();
        assert!(steps.is_none_or(|steps| steps >= 3), "{file} has a cascade of three steps");
        // A true cascade is one that the graph knows of.
        for (cause, effect) in script.truth.incidents.iter().flat_map(|incident| &incident.causes) {
            let kind = |id: &str| script.events[script.event(id)].event.clone().unwrap();
            assert!(graph.link(&kind(cause), &kind(effect), None).is_some_and(|chain| chain.steps.len() == 1), "{file}: {cause} → {effect}");
        }
    }
}

#[test]
fn mistakes_are_told_with_their_line() {
    let text = example();
    let line = |what: &str| 1 + text.lines().position(|line| line.contains(what)).expect("the example has it");
    let told = |from: &str, to: &str| read(&text.replacen(from, to, 1)).unwrap_err();
    let expect = |from: &str, to: &str, line: usize, problem: &str| {
        let told = told(from, to);
        assert!(told.starts_with(&format!("mine.yaml:{line}: ")) && told.contains(problem), "{told}");
    };
    expect("event: main_burst", "event: main_brust", line("id: burst"), "no event type `main_brust`");
    expect("place: market, base: 0.34", "place: mart, base: 0.34", line("id: pressure-1"), "`mart`, which is no place");
    expect("sensor: level-1", "sensor: level-9", line("id: pond"), "`level-9`");
    expect("district: d01", "district: d99", line("id: market"), "no district `d99`");
    expect("property: water_level", "property: depth", line("id: level-1"), "`depth`");
    expect("background: [fair]", "background: []", line("id: fair"), "says nothing about event `fair`");
    expect("level: 2", "level: 5", line("id: water,"), "level 5");
    expect("minutes: 240", "minuets: 240", line("minutes: 240"), "minuets");
    expect("at_min: 90", "at_min: 20", line("announces: burst"), "less than 30 minutes");
    expect("2026-01-13T09:00:00+08:00", "yesterday", line("start:"), "`yesterday` is no time");
}

#[test]
fn the_same_seed_plays_the_same() {
    let (graph, script) = (Graph::builtin(), read(&example()).unwrap());
    for number in [0, 1, 7] {
        let one = vary(&script, &graph, 5, number);
        assert_eq!(one, vary(&script, &graph, 5, number));
        assert_eq!(play(&one.script, &graph, one.seed), play(&one.script, &graph, one.seed));
    }
    assert_eq!(vary(&script, &graph, 5, 0).script, script, "the first is the script as it is written");
    assert_ne!(vary(&script, &graph, 5, 1), vary(&script, &graph, 6, 1));
}

#[test]
fn variations_keep_causes_before_effects_and_signs_ahead() {
    let (graph, script) = (Graph::builtin(), read(&example()).unwrap());
    let varied: Vec<_> = (1..200).map(|number| vary(&script, &graph, 1, number)).collect();
    for variation in &varied {
        let at = |id: &str| variation.script.events[variation.script.event(id)].at_min;
        assert!((12..=50).contains(&(at("pond") - at("burst"))), "half to twice of 25 minutes");
        assert_eq!(at("burst") - at("drift"), 90);
        assert!(variation.script.events.iter().all(|event| event.at_min >= 0 && event.at_min < variation.script.minutes));
    }
    let has = |kind: FaultKind| varied.iter().any(|variation| variation.script.sensors.iter().any(|sensor| sensor.faults.iter().any(|fault| fault.kind == kind)));
    assert!(has(FaultKind::Lying) && has(FaultKind::Stuck));
    assert!(varied.iter().any(|variation| variation.script.places[0].district != "d01"));
    assert!(varied.iter().all(|variation| variation.script.sensors[2].faults.len() == 1), "the only level gauge is not broken further");
}

#[test]
fn readings_and_calls_know_their_event() {
    let (graph, script) = (Graph::builtin(), read(&example()).unwrap());
    let Recording { readings, reports } = play(&script, &graph, 3);
    assert!(readings.is_sorted_by_key(|reading| reading.at) && reports.is_sorted_by_key(|report| report.at));
    let (burst, pond) = (script.event("burst"), script.event("pond"));
    assert!(readings.iter().any(|reading| reading.event == Some(burst) && reading.value < 0.18));
    let start = script.start.to_utc();
    let silent = |minute: i64| readings.iter().filter(|reading| reading.sensor == 2 && reading.at < start + TimeDelta::minutes(minute)).count();
    assert_eq!((silent(20), silent(21)), (0, 1), "the level gauge is silent until the 20th minute");
    let of = |event| reports.iter().filter(|report| report.event == event).count();
    assert_eq!((of(Some(burst)), of(Some(pond))), (5, 2));
    assert_eq!(of(None), 4 * 16, "four ordinary reports in each of sixteen hours");
    assert!(reports.iter().any(|report| matches!(&report.body, Body::WorkOrder(_))));
}

/// A threshold that was crossed at a reading.
fn crossed(recording: &Recording, reading: usize, scenario: &str, rule: &str, level: u8) -> Found {
    let signal = Signal {
        signal: SignalKind::Threshold,
        scenario: scenario.to_owned(),
        rule: rule.to_owned(),
        level,
        state: SignalState::Raised,
        property: None,
        station: Some(format!("s{}", recording.readings[reading].sensor)),
        district: Some("北岸区".to_owned()),
        value_milli: None,
        threshold_milli: None,
        unit: None,
        window_start: None,
        window_end: None,
        lat: None,
        lon: None,
        expected: None,
        pending_s: None,
        status: Status::Actual,
        evidence: vec![Position::new("raw.sensor", 0, reading as i64)],
    };
    Found { at: recording.readings[reading].at, signal }
}

#[test]
fn figures_count_what_is_right() {
    let (graph, script) = (Graph::builtin(), read(&example()).unwrap());
    let recording = play(&script, &graph, 3);
    let burst = recording.readings.iter().position(|reading| reading.event == Some(script.event("burst"))).unwrap();
    let quiet = recording.readings.iter().position(|reading| reading.sensor != recording.readings[burst].sensor).unwrap();
    let found = [crossed(&recording, quiet, "water_main_burst", "main_pressure", 3), crossed(&recording, burst, "water_main_burst", "main_pressure", 2)];
    let outcome = drive(&graph, &script, &recording, &found);
    let (ours, baseline, notes) = judge(&graph, &script, &outcome);
    // Two signals: one about a quiet reading, one about the burst.
    assert_eq!((baseline.false_alarms, baseline.detected.right, baseline.detected.of), (1, 1, 1));
    assert_eq!(ours.next.of, 1, "one event after the first");
    assert_eq!((ours.announced.right, ours.announced.of), (0, 1), "the burst was told when it was there");
    assert_eq!(ours.device_minutes, 3 * (720 + 240));
    let cases = outcome.items.iter().filter(|item| item.event == Some(script.event("burst")) && item.id.starts_with("case-")).count();
    assert!((1..=6).contains(&cases), "calls about one matter may be merged: {cases}");
    assert!(!notes.is_empty());
    assert!(ours.f1().is_some_and(|f1| f1 > 0.0));
}
