//! The graph of a large city: how long its questions take, beside reading all duties one by one; what it holds in memory;
//! and that the fold of its changes is the graph.

use std::time::Instant;

use anyhow::{Result, ensure};
use chrono::NaiveDate;
use graph::{Asset, Category, Change, Deadline, Duty, Element, Entry, EventType, Feeds, Graph, Here, Leads, Level, Name, Place, Reach, Unit, Valid, When};
use schemas::alert::Point;
use schemas::signal::MicroDeg;
use serde_json::json;

use crate::city::Dice;
use crate::cli::{BenchArgs, Ended, Invocation};

const EDGES_DEFAULT: u64 = 1_000_000;
const QUESTIONS: usize = 20_000;
/// The baseline is slow: fewer of the same questions.
const BASELINE_QUESTIONS: usize = 50;
const CATEGORIES: u64 = 100;
const EVENTS: u64 = 2_000;

fn name(id: &str) -> Name {
    Name { zh: id.to_owned(), en: id.to_owned() }
}

fn point(dice: &mut Dice) -> Point {
    Point { lat: MicroDeg(30_000_000 + dice.below(500_000) as i32), lon: MicroDeg(114_000_000 + dice.below(500_000) as i32) }
}

/// A city with about as many edges as asked for: a fifth chains and flows, the rest duties and places.
fn changes(edges: u64, dice: &mut Dice) -> Vec<Change> {
    let mut elements = Vec::new();
    let districts = 20;
    let streets = edges / 50;
    let units = edges / 100 + 2;
    let assets = edges / 10;
    for n in 0..districts {
        let at = point(dice);
        elements.push(Element::Place(place(format!("d{n}"), "district", None, at)));
    }
    for n in 0..streets {
        let at = point(dice);
        elements.push(Element::Place(place(format!("s{n}"), "street", Some(format!("d{}", n % districts)), at)));
    }
    for n in 0..units {
        let parent = (n > 0).then(|| format!("u{}", (n - 1) / 20));
        let level = if n < 20 { Level::City } else if n < 400 { Level::District } else { Level::Street };
        let id = format!("u{n}");
        elements.push(Element::Unit(Unit { name: name(&id), id, level, parent, place: None, contacts: Vec::new(), valid: Valid::default() }));
    }
    for n in 0..CATEGORIES {
        let id = format!("c{n}");
        elements.push(Element::Category(Category { name: name(&id), id, major: "m".to_owned(), urgency: 3, deadline: Deadline::Hours(24), words: Vec::new() }));
    }
    for n in 0..EVENTS {
        let id = format!("e{n}");
        elements.push(Element::Event(EventType {
            name: name(&id),
            id,
            major: "m".to_owned(),
            hazard: "h".to_owned(),
            extent: Reach::District,
            properties: Vec::new(),
            categories: Vec::new(),
            words: Vec::new(),
        }));
    }
    for n in 0..assets {
        let at = Some(point(dice));
        elements.push(Element::Asset(Asset {
            id: format!("a{n}"),
            kind: "pipe".to_owned(),
            name: None,
            place: Some(format!("s{}", dice.below(streets))),
            at,
            serves: Vec::new(),
            valid: Valid::default(),
        }));
        if n > 0 {
            elements.push(Element::Feeds(Feeds { from: format!("a{}", n / 3), to: format!("a{n}"), valid: Valid::default() }));
        }
    }
    let mut chains = std::collections::BTreeSet::new();
    while (chains.len() as u64) < edges / 20 {
        let (cause, effect) = (dice.below(EVENTS), dice.below(EVENTS));
        if cause != effect && chains.insert((cause, effect)) {
            let permille = dice.between(1, 900) as u32;
            let (cause, effect) = (format!("e{cause}"), format!("e{effect}"));
            elements.push(Element::Leads(Leads { cause, effect, permille, lag_minutes: [0, 10, 60], reach: Reach::District, needs: Vec::new(), months: None, valid: Valid::default() }));
        }
    }
    let mut duties = std::collections::BTreeSet::new();
    let wanted = edges.saturating_sub(2 * assets + streets + units + edges / 20);
    while (duties.len() as u64) < wanted {
        let (category, street, unit) = (dice.below(CATEGORIES), dice.below(streets), dice.below(units));
        if duties.insert((category, street, unit)) {
            elements.push(Element::Duty(Duty {
                unit: format!("u{unit}"),
                category: format!("c{category}"),
                place: Some(format!("s{street}")),
                hours: (unit % 3 == 0).then_some((22, 6)),
                months: None,
                valid: Valid::default(),
            }));
        }
    }
    // Within a kind they stand in an order in which each speaks only of those before it.
    elements.sort_by_cached_key(|element| element.key().kind);
    elements.into_iter().map(|element| Change::Put(Box::new(Entry { pack: None, element }))).collect()
}

fn place(id: String, kind: &str, parent: Option<String>, at: Point) -> Place {
    Place { id, kind: kind.to_owned(), name: None, parent, aliases: Vec::new(), at: Some(at), radius_m: Some(500), outline: Vec::new() }
}

/// Median and 99th percentile of what a question takes, µs.
fn timed(questions: usize, mut ask: impl FnMut(usize)) -> (f64, f64) {
    let mut took: Vec<f64> = (0..questions)
        .map(|n| {
            let started = Instant::now();
            ask(n);
            started.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    took.sort_by(f64::total_cmp);
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

/// Who owes it, by reading every duty.
fn by_reading(duties: &[&Duty], category: &str, street: &str, night: bool) -> usize {
    duties.iter().filter(|duty| duty.category == category && duty.place.as_deref() == Some(street) && (duty.hours.is_none() || night)).count()
}

/// The benchmark.
pub async fn run(context: &Invocation, args: &BenchArgs) -> Result<Ended> {
    let edges = args.events.unwrap_or(EDGES_DEFAULT).max(2000);
    let mut dice = Dice::new(2025, "bench graph");
    let changes = changes(edges, &mut dice);
    let before_mib = super::resident_mib();
    let started = Instant::now();
    let mut graph = Graph::new();
    for change in changes.iter().cloned() {
        graph.apply(change)?;
    }
    let built_s = started.elapsed().as_secs_f64();
    let held_mib = super::resident_mib().saturating_sub(before_mib);
    let started = Instant::now();
    let rebuilt = Graph::of(graph.entries().cloned())?;
    ensure!(rebuilt == graph && rebuilt.version() == graph.version(), "the graph of its entries is another graph");
    let rebuilt_s = started.elapsed().as_secs_f64();
    drop(rebuilt);

    let when = When { day: NaiveDate::from_ymd_opt(2026, 7, 18).expect("a day"), hour: 23 };
    let streets = edges / 50;
    let asked: Vec<(String, String, String, String)> = (0..QUESTIONS)
        .map(|_| (format!("c{}", dice.below(CATEGORIES)), format!("s{}", dice.below(streets)), format!("e{}", dice.below(EVENTS)), format!("a{}", edges / 20 + dice.below(edges / 20))))
        .collect();
    let duty = timed(QUESTIONS, |n| {
        std::hint::black_box(graph.who_owes(&asked[n].0, Here::at(&asked[n].1), when));
    });
    let follows = timed(QUESTIONS, |n| {
        std::hint::black_box(graph.what_follows(&asked[n].2, Here::default(), Some(when), 3));
    });
    let explains = timed(QUESTIONS, |n| {
        std::hint::black_box(graph.what_explains(&asked[n].2, Some(when), 3));
    });
    let depends = timed(QUESTIONS, |n| {
        std::hint::black_box(graph.what_depends_on(&asked[n].3, when));
    });
    let duties: Vec<&Duty> = graph.entries().filter_map(|entry| if let Element::Duty(duty) = &entry.element { Some(duty) } else { None }).collect();
    let baseline = timed(BASELINE_QUESTIONS, |n| {
        std::hint::black_box(by_reading(&duties, &asked[n].0, &asked[n].1, true));
    });
    let rows = [("who owes it", duty), ("what follows", follows), ("what explains it", explains), ("what is downstream", depends), ("baseline: reading every duty", baseline)];
    if context.global.json {
        let rows: Vec<_> = rows.iter().map(|(name, (p50, p99))| json!({ "question": name, "p50_us": p50, "p99_us": p99 })).collect();
        println!("{}", json!({ "edges": edges, "elements": graph.len(), "built_s": built_s, "rebuilt_s": rebuilt_s, "memory_mib": held_mib, "questions": rows }));
        return Ok(Ended::Done);
    }
    println!("{edges} edges, {} elements: built in {built_s:.1} s, {held_mib} MiB; built again from its entries in {rebuilt_s:.1} s, and equal", graph.len());
    for (name, (p50, p99)) in rows {
        println!("  {name:<30} p50 {p50:>9.1} µs  p99 {p99:>9.1} µs");
    }
    Ok(Ended::Done)
}
