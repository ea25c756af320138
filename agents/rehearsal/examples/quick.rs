//! Rehearsals with stand-ins for the streaming jobs, for work on the brain without building them.
//! Copy to agents/rehearsal/examples/ and: cargo run -p rehearsal --example quick -- [variations] [-v [-vv]] [FILE...]

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use graph::{Graph, Here};
use rehearsal::{Found, Recording, Script, Tally, drive, figures, judge, play, vary};
use schemas::alert::Status;
use schemas::position::Position;
use schemas::signal::{Signal, SignalKind, SignalState};

struct Rule {
    id: String,
    scenario: String,
    property: String,
    way: i64,
    levels: [Option<i64>; 4],
    clear: Option<i64>,
}

fn milli(text: &Option<String>) -> Option<i64> {
    text.as_ref().map(|text| (text.parse::<f64>().unwrap() * 1000.0).round() as i64)
}

fn rules(graph: &Graph) -> Vec<Rule> {
    let rows = graph.view("thresholds").unwrap().rows;
    rows.iter()
        .map(|r| Rule {
            id: r[0].clone().unwrap(),
            scenario: r[1].clone().unwrap(),
            property: r[2].clone().unwrap(),
            way: if r[4].as_deref() == Some("below") { -1 } else { 1 },
            levels: [milli(&r[5]), milli(&r[6]), milli(&r[7]), milli(&r[8])],
            clear: milli(&r[9]),
        })
        .collect()
}

fn floor(at: DateTime<Utc>, minutes: i64) -> DateTime<Utc> {
    let s = at.timestamp();
    DateTime::from_timestamp(s - s.rem_euclid(minutes * 60), 0).unwrap()
}

fn signals(graph: &Graph, script: &Script, rec: &Recording) -> Vec<Found> {
    let mut found = Vec::new();
    for rule in rules(graph) {
        for (number, sensor) in script.sensors.iter().enumerate().filter(|(_, s)| s.property == rule.property) {
            let place = script.place(&sensor.place);
            let district = graph.locate(Here::at(&place.district)).unwrap().name.as_ref().unwrap().zh.clone();
            let make = |kind, level, state, at: DateTime<Utc>, value: i64, threshold, evidence: Vec<usize>, expected| Found {
                at,
                signal: Signal {
                    signal: kind,
                    scenario: rule.scenario.clone(),
                    rule: rule.id.clone(),
                    level,
                    state,
                    property: Some(sensor.property.clone()),
                    station: Some(sensor.id.clone()),
                    district: Some(district.clone()),
                    value_milli: Some(value),
                    threshold_milli: threshold,
                    unit: Some(sensor.unit.clone()),
                    window_start: None,
                    window_end: Some(at),
                    lat: Some(place.at.lat),
                    lon: Some(place.at.lon),
                    expected,
                    pending_s: None,
                    status: Status::Actual,
                    evidence: evidence.into_iter().map(|o| Position::new("raw.sensor", 0, o as i64)).collect(),
                },
            };
            let mine: Vec<(usize, DateTime<Utc>, i64)> =
                rec.readings.iter().enumerate().filter(|(_, r)| r.sensor == number).map(|(o, r)| (o, r.at, (r.value * 1000.0).round() as i64)).collect();
            let mut minutes: BTreeMap<DateTime<Utc>, (i64, usize)> = BTreeMap::new();
            for (o, at, v) in &mine {
                if rule.levels[0].is_some_and(|red| rule.way * v >= rule.way * red) {
                    found.push(make(SignalKind::Threshold, 1, SignalState::Raised, *at, *v, rule.levels[0], vec![*o], None));
                }
                let e = minutes.entry(floor(*at, 1)).or_insert((*v, *o));
                if rule.way * v > rule.way * e.0 {
                    *e = (*v, *o);
                }
            }
            let level_of = |v: i64| (0..4).find(|l| rule.levels[*l].is_some_and(|t| rule.way * v >= rule.way * t)).map(|l| l as u8 + 1);
            let mut latch: Option<u8> = None;
            for (minute, (v, o)) in &minutes {
                let at = *minute + TimeDelta::minutes(1);
                match level_of(*v) {
                    Some(level) if latch != Some(level) => {
                        latch = Some(level);
                        found.push(make(SignalKind::Threshold, level, SignalState::Raised, at, *v, rule.levels[level as usize - 1], vec![*o], None));
                    }
                    None if latch.is_some() && rule.clear.is_some_and(|c| rule.way * v < rule.way * c) => {
                        latch = None;
                        found.push(make(SignalKind::Threshold, 4, SignalState::Cleared, at, *v, rule.clear, vec![*o], None));
                    }
                    _ => {}
                }
            }
            let (Some(first), Some(last)) = (mine.first(), mine.last()) else { continue };
            let mut end = floor(first.1, 5) + TimeDelta::minutes(15);
            let mut latch: Option<u8> = None;
            while end <= last.1 {
                let start = end - TimeDelta::minutes(15);
                let from = mine.partition_point(|(_, at, _)| *at < start);
                let to = mine.partition_point(|(_, at, _)| *at < end);
                let w = &mine[from..to];
                if let Some((level, state, value, threshold, left)) = trend(&rule, w, start, end) {
                    let evidence = vec![w[0].0, w[w.len() - 1].0];
                    if state && latch != Some(level) {
                        latch = Some(level);
                        let expected = Some(end + TimeDelta::minutes(left));
                        found.push(make(SignalKind::Trend, level, SignalState::Raised, end, value, Some(threshold), evidence, expected));
                    } else if !state && latch.is_some() {
                        latch = None;
                        found.push(make(SignalKind::Trend, level, SignalState::Cleared, end, value, Some(threshold), evidence, None));
                    }
                }
                end += TimeDelta::minutes(5);
            }
        }
    }
    found.sort_by(|a, b| (a.at, &a.signal.rule, &a.signal.station).cmp(&(b.at, &b.signal.rule, &b.signal.station)));
    found
}

fn trend(rule: &Rule, w: &[(usize, DateTime<Utc>, i64)], start: DateTime<Utc>, end: DateTime<Utc>) -> Option<(u8, bool, i64, i64, i64)> {
    if w.len() < 10 {
        return None;
    }
    let n = w.len() as f64;
    let x = |at: DateTime<Utc>| (at - start).num_seconds() as f64 / 60.0;
    let (mx, my) = (w.iter().map(|p| x(p.1)).sum::<f64>() / n, w.iter().map(|p| p.2 as f64).sum::<f64>() / n);
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for p in w {
        let (dx, dy) = (x(p.1) - mx, p.2 as f64 - my);
        xy += dx * dy;
        xx += dx * dx;
        yy += dy * dy;
    }
    let way = rule.way as f64;
    let pace = way * xy / xx;
    let value = (my + xy / xx * (15.0 - mx)).round() as i64;
    let third = |i: i64| {
        let (a, b) = (start + TimeDelta::minutes(5 * i), start + TimeDelta::minutes(5 * i + 5));
        let v: Vec<f64> = w.iter().filter(|p| p.1 >= a && p.1 < b).map(|p| p.2 as f64).collect();
        way * v.iter().sum::<f64>() / v.len() as f64
    };
    let _ = end;
    let (one, two, three) = (third(0), third(1), third(2));
    let level = (0..4).rev().find(|l| rule.levels[*l].is_some_and(|t| rule.way * value < rule.way * t));
    let moves = pace > 0.0 && one < three && xy * xy >= 0.4 * xx * yy;
    let steady = pace > 0.0 && one < three && 4.0 * (two - one) >= three - one && 4.0 * (three - two) >= three - one && xy * xy >= 0.8 * xx * yy;
    let Some(level) = level else { return Some((4, false, value, 0, 0)) };
    let target = rule.levels[level].unwrap();
    let left = way * (target - value) as f64 / pace;
    match () {
        () if !moves => Some((level as u8 + 1, false, value, target, 0)),
        () if steady && left <= 120.0 => Some((level as u8 + 1, true, value, target, left.round() as i64)),
        () if left > 120.0 && (0..4).any(|l| rule.levels[l].is_some_and(|t| rule.way * value >= rule.way * t)) => Some((level as u8 + 1, false, value, target, 0)),
        () => None,
    }
}

fn main() {
    let graph = Graph::builtin();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let variations: u32 = args.iter().find_map(|a| a.parse().ok()).unwrap_or(5);
    let verbose = args.iter().any(|a| a == "-v");
    let files: Vec<(String, String)> = args.iter().filter(|a| a.ends_with(".yaml")).map(|f| (f.clone(), std::fs::read_to_string(f).unwrap())).collect();
    let texts: Vec<(String, String)> = if files.is_empty() { rehearsal::shipped().map(|(f, t)| (f.to_owned(), t.to_owned())).collect() } else { files };
    let (mut ours, mut base) = (Tally::default(), Tally::default());
    let line = |name: &str, ours: &Tally, base: &Tally| {
        let all: Vec<String> = figures(ours, base)
            .iter()
            .map(|f| format!("{} {}/{}", f.key, f.value.map_or("-".into(), |v| format!("{v:.2}")), f.baseline.map_or("-".into(), |v| format!("{v:.2}"))))
            .collect();
        println!("{name}: {}", all.join("  "));
    };
    for (file, text) in &texts {
        let script = Script::read(file, text, &graph).unwrap_or_else(|e| panic!("{e}"));
        let (mut o, mut b) = (Tally::default(), Tally::default());
        for number in 0..variations {
            let v = vary(&script, &graph, 2026, number);
            let rec = play(&v.script, &graph, v.seed);
            let found = signals(&graph, &v.script, &rec);
            let outcome = drive(&graph, &v.script, &rec, &found);
            let (one, two, notes) = judge(&graph, &v.script, &outcome);
            o.add(&one);
            b.add(&two);
            if verbose {
                println!("{} #{number} {:?}", script.name, v.changes);
                notes.iter().for_each(|n| println!("   {n:?}"));
                if args.iter().any(|a| a == "-vv") {
                    outcome.alerts.iter().for_each(|a| println!("   {} level {} {:?} {}", a.at, a.level, a.event.map(|e| &v.script.events[e].id), a.name));
                    outcome.items.iter().filter(|i| i.event.is_none() && i.incident.is_some()).for_each(|i| println!("   usual life in {:?}: {} {} {:?}", i.incident, i.id, i.scenario, i.district));
                    found.iter().for_each(|f| println!("   {} {:?} {} {:?} {:?} {}", f.at, f.signal.signal, f.signal.rule, f.signal.station, f.signal.state, f.signal.level));
                }
            }
        }
        line(&script.name, &o, &b);
        ours.add(&o);
        base.add(&b);
    }
    line("ALL", &ours, &base);
}
