//! Recorded cases give the same decisions today as when they were recorded, however often the brain is restarted.
//!
//! `UPDATE_CASES=1 cargo test -p replay-tests --test brain_replay scripts` writes journals and decisions anew from the
//! scripts; read the difference before it is checked in, and say why it is right.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use replay_tests::cases::{self, Line, play, read_journal, read_script, record, tell};
use schemas::journal::JournalRecord;
use schemas::position::Position;
use serde_json::json;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

fn read(name: &str) -> String {
    let path = folder().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("could not read {}: {error}", path.display()))
}

/// Names of the cases.
fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder())
        .expect("the cases are there")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".script.jsonl").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() >= 4, "the cases are there: {names:?}");
    names
}

fn journal(name: &str) -> Vec<JournalRecord> {
    read_journal(&read(&format!("{name}.journal.jsonl"))).unwrap_or_else(|problem| panic!("{name}: {problem}"))
}

/// Compares with a checked-in file, or writes it when asked to.
fn expect(name: &str, found: &str) {
    if std::env::var_os("UPDATE_CASES").is_some() {
        std::fs::write(folder().join(name), found).unwrap();
        return;
    }
    let expected = read(name);
    if expected != found {
        let line = expected.lines().zip(found.lines()).take_while(|(a, b)| a == b).count();
        let show = |text: &str| text.lines().nth(line).unwrap_or("(end)").to_owned();
        panic!("{name} differs at line {}:\n  expected {}\n  found    {}", line + 1, show(&expected), show(found));
    }
}

#[test]
fn scripts_are_recorded_as_they_were() {
    let graph = read("graph.yaml");
    for name in names() {
        let script = read_script(&read(&format!("{name}.script.jsonl"))).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        let records = record(&graph, &script).unwrap_or_else(|problem| panic!("{name}: {problem}"));
        let lines: String = records.iter().map(|record| record.to_json() + "\n").collect();
        expect(&format!("{name}.journal.jsonl"), &lines);
        let played = play(&records, |_| false).unwrap();
        expect(&format!("{name}.decisions.txt"), &tell(&records, &played));
    }
}

#[test]
fn recorded_journals_give_the_recorded_decisions() {
    if std::env::var_os("UPDATE_CASES").is_some() {
        return;
    }
    for name in names() {
        let records = journal(&name);
        let played = play(&records, |_| false).unwrap();
        assert_eq!(tell(&records, &played), read(&format!("{name}.decisions.txt")), "{name}");
    }
}

#[test]
fn a_stored_record_is_read_back_to_its_own_bytes() {
    for name in names() {
        for line in read(&format!("{name}.journal.jsonl")).lines() {
            assert_eq!(JournalRecord::from_json(line).unwrap().to_json(), line, "{name}");
        }
    }
}

#[test]
fn restarts_change_nothing() {
    for name in names() {
        let records = journal(&name);
        let straight = play(&records, |_| false).unwrap();
        for every in 1..=records.len() as u64 {
            let restarted = play(&records, |seq| (seq + 1) % every == 0).unwrap();
            assert_eq!(restarted, straight, "{name}: restarted after every {every} records");
        }
        for after in 0..records.len() as u64 {
            let restarted = play(&records, |seq| seq == after).unwrap();
            assert_eq!(restarted.chain, straight.chain, "{name}: restarted after record {after}");
        }
    }
}

#[test]
fn a_record_that_comes_twice_decides_nothing_twice() {
    for name in names() {
        let records = journal(&name);
        let straight = play(&records, |_| false).unwrap();
        let doubled: Vec<JournalRecord> = records.iter().flat_map(|record| [record.clone(), record.clone()]).collect();
        let played = play(&doubled, |_| false).unwrap();
        assert_eq!(played.state, straight.state, "{name}");
        assert!(played.effects.iter().skip(1).step_by(2).all(Vec::is_empty), "{name}: the second of two has no effect");
    }
}

#[test]
fn another_record_is_another_digest() {
    for name in names() {
        let mut records = journal(&name);
        let straight = play(&records, |_| false).unwrap();
        let at = records.len() / 2;
        records[at].source = Some(Position::new("another.topic", 0, 0));
        let touched = play(&records, |_| false).unwrap();
        assert_eq!(touched.chain[..at], straight.chain[..at], "{name}");
        assert!((at..records.len()).all(|n| touched.chain[n] != straight.chain[n]), "{name}: the chain holds what was touched");
    }
}

#[test]
fn when_a_record_was_written_down_is_no_part_of_the_digest() {
    for name in names() {
        let mut records = journal(&name);
        let straight = play(&records, |_| false).unwrap();
        for (n, record) in records.iter_mut().enumerate() {
            record.log_time += TimeDelta::days(n as i64 * 400) - TimeDelta::days(9_000);
        }
        assert_eq!(play(&records, |_| false).unwrap(), straight, "{name}");
    }
}

/// Anything that may come: sensible and silly, in any order, at any time.
fn anything() -> impl Strategy<Value = Line> {
    let number = 0..6_u32;
    let when = prop_oneof![8 => 0..200_000_i64, 1 => -400_000_000..400_000_000_i64, 1 => Just(i64::from(i32::MAX))];
    let claims = proptest::option::weighted(0.1, -400_000_000..400_000_000_i64);
    (0..10_u8, number, when, 1..5_u8, claims).prop_map(|(kind, number, seconds, level, claims)| {
        let time = DateTime::<Utc>::from_timestamp(1_752_768_000 + seconds, 0).expect("a time of this age");
        let one_of = |these: &[&str]| these[number as usize % these.len()].to_owned();
        let district = one_of(&["北岸区", "滨江区"]);
        let (what, data) = match kind {
            0 | 1 => {
                let text = one_of(&["路灯不亮", "积水很深，有人被困", "没水了", "闻到煤气味"]);
                ("hotline.message", json!({"message_id": format!("m{number}"), "text": text, "caller": format!("c{number}"), "district": district}))
            }
            2 => ("workorder.created", json!({"request_id": format!("w{number}"), "category": "道路积水", "district": district, "address": format!("民主路{number}号")})),
            3 => ("workorder.updated", json!({"request_id": format!("w{number}"), "note": "到场"})),
            4 => ("workorder.closed", json!({"request_id": format!("w{number}"), "resolution": "已处理"})),
            5 | 6 => {
                let state = one_of(&["raised", "cleared", "unknown"]);
                ("city.signal", json!({
                    "signal": "threshold", "scenario": "urban_flooding", "rule": "water_level", "level": level, "state": state, "property": "water_level",
                    "station": format!("s{}", number % 2), "district": district, "value_milli": i64::from(level) * 100, "threshold_milli": 150, "unit": "m",
                }))
            }
            7 => {
                let action = one_of(&["acknowledge", "close", "assign", "reopen", "rework", "void"]);
                let target = if level > 3 { String::new() } else { format!("case-{:012}", number + 1) };
                ("command", json!({"command_id": format!("k{number}{level}"), "action": action, "target": target, "actor": "王", "reason": "r", "unit": "drainage"}))
            }
            8 => ("hotline.message", json!({"text": 7})),
            _ => ("city.dream", json!({"any": level})),
        };
        let claims = claims.map(|seconds| time + TimeDelta::seconds(seconds));
        Line { time, claims, what: what.to_owned(), source: format!("test/{}", number % 2), id: format!("{kind}-{number}"), data }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_is_decided_the_same_after_any_restart(script in prop::collection::vec(anything(), 1..60), every in 1..9_u64) {
        let records = record(&read("graph.yaml"), &script).unwrap();
        let straight = play(&records, |_| false).unwrap();
        let restarted = play(&records, |seq| seq % every == 0).unwrap();
        prop_assert_eq!(&restarted.chain, &straight.chain);
        prop_assert_eq!(&restarted.state, &straight.state);
        let stored: Vec<JournalRecord> = records.iter().map(|record| JournalRecord::from_json(&record.to_json()).unwrap()).collect();
        prop_assert_eq!(&cases::play(&stored, |_| false).unwrap().chain, &straight.chain);
    }
}
