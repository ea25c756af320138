//! How fast is the brain, and what does it hold? Applies the journal of a file (one record a line), or made-up work
//! orders when no file is named, with the timers in their places; prints the alerts, the rate and the size of state.
//!
//! `cargo run -p brain --example apply [-- FILE | NUMBER]`

use std::io::BufRead;
use std::time::Instant;

use brain::{Brain, Chain, Config, Effect};
use chrono::{DateTime, TimeDelta, Utc};
use graph::Graph;
use schemas::journal::{Body, EventRef, JournalRecord, TimerFired, WorkOrder, WorkOrderCreated};
use schemas::position::Position;

fn main() {
    let argument = std::env::args().nth(1);
    let records: Box<dyn Iterator<Item = JournalRecord>> = match argument.as_deref() {
        Some(text) if text.parse::<u64>().is_err() => Box::new(read(text)),
        Some(number) => Box::new(made_up(number.parse().expect("a number"))),
        None => Box::new(made_up(1_400_000)),
    };
    let mut brain = Brain::new(Graph::builtin(), Config { utc_offset_minutes: 0 });
    let mut chain = Chain::default();
    let (mut seq, mut applied, mut made) = (0, 0u64, 0u64);
    let mut effects = Vec::new();
    let mut apply_time = std::time::Duration::ZERO;
    for mut record in records {
        let time = record.event_time().or(brain.now()).unwrap_or_default();
        loop {
            let timer = brain.next_timer().filter(|(due, _)| *due <= time).map(|(due, name)| (due, name.to_owned()));
            let next = match &timer {
                Some((due, timer)) => JournalRecord {
                    seq,
                    log_time: record.log_time,
                    source: None,
                    event: None,
                    body: Body::TimerFired(TimerFired { timer: timer.clone(), due: *due }),
                    understood: None,
                },
                None => {
                    record.seq = seq;
                    record.clone()
                }
            };
            effects.clear();
            let start = Instant::now();
            brain.apply(&next, &mut effects);
            apply_time += start.elapsed();
            chain.push(&next, &effects);
            seq += 1;
            applied += 1;
            made += effects.len() as u64;
            show(&effects);
            if timer.is_none() {
                break;
            }
        }
        if applied.is_multiple_of(500_000) {
            print_state(&brain, applied);
        }
    }
    print_state(&brain, applied);
    println!("{:?}", brain.counts());
    println!("chain {}", chain.hex());
    let seconds = apply_time.as_secs_f64();
    println!("{applied} records and {made} effects; apply alone took {seconds:.2} s: {:.0} records/s", applied as f64 / seconds);
}

fn print_state(brain: &Brain, applied: u64) {
    let (cases, incidents, timers) = (brain.cases().count(), brain.incidents().count(), brain.pending().count());
    println!("after {applied} records: {cases} cases, {incidents} incidents, {timers} timers, snapshot {} KiB", brain.snapshot().len() / 1024);
}

fn show(effects: &[Effect]) {
    for effect in effects {
        if let Effect::Alert(alert) = effect {
            println!("{} {} level {} {}: {} ({} records)", alert.at, alert.change, alert.level, alert.headline.en, alert.reason, alert.evidence_count);
        }
    }
}

fn read(path: &str) -> impl Iterator<Item = JournalRecord> {
    let file = std::fs::File::open(path).expect("the file can be opened");
    let lines = std::io::BufReader::new(file).lines();
    lines.map(|line| JournalRecord::from_json(&line.expect("the file can be read")).expect("each line is a record"))
}

/// Work orders that never close, four hundred a day.
fn made_up(count: u64) -> impl Iterator<Item = JournalRecord> {
    let types = ["大型廢棄物清運聯繫", "場所與設施噪音舉發", "路燈故障或設施損壞", "市區道路坑洞處理", "用戶無水、漏水報修", "路面積淹水"];
    let begin: DateTime<Utc> = "2015-07-01T00:00:00Z".parse().expect("a time");
    (0..count).map(move |index| {
        let time = begin + TimeDelta::seconds(index as i64 * 216);
        let kind = match index % 97 {
            0 => types[5],
            n => types[(n % 5) as usize],
        };
        let order = WorkOrderCreated {
            request_id: index.to_string(),
            category: Some(kind.to_owned()),
            district: Some(format!("d{:02}", index % 12)),
            address: Some(format!("第{}大道{}號", index % 300, index % 1700)),
            channel: Some("1999".to_owned()),
            ..WorkOrderCreated::default()
        };
        JournalRecord {
            seq: 0,
            log_time: "2026-01-01T00:00:00Z".parse().expect("a time"),
            source: Some(Position::new("raw.workorder", (index % 4) as i32, (index / 4) as i64)),
            event: Some(EventRef { source: "urn:citybrain:source:made-up".to_owned(), id: index.to_string(), time: Some(time) }),
            body: Body::WorkOrder(WorkOrder::Created(order)),
            understood: None,
        }
    })
}
