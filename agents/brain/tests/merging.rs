//! Reports that are one matter become one case, and those that are not do not: planted duplicates in a made-up city, with
//! addresses in varied wording, points that jitter, and neighbours of the same kind close by.

mod city;

use std::collections::BTreeMap;
use std::time::Instant;

use chrono::{DateTime, Utc};
use city::{Chance, City, at, minutes};
use schemas::journal::*;
use schemas::signal::MicroDeg;

/// What people report: words of the type, of the message, and for how many hours more reports of one matter come.
const KINDS: [(&str, &str, i64); 7] = [
    ("路面积淹水", "道路积水很深，车辆难以通行", 12),
    ("市區道路坑洞處理", "路上有个大坑洞", 72),
    ("路燈故障", "路灯不亮，晚上很黑", 48),
    ("大型廢棄物", "垃圾堆积如山没人清", 10),
    ("路樹處理", "大树倒了挡住半边路", 24),
    ("用戶無水、漏水報修", "水管爆了，一直漏水", 12),
    ("噪音", "工地半夜施工噪音大", 4),
];
const STREETS: [(&str, &str); 10] = [
    ("中山路", "Zhongshan Road"),
    ("解放路", "Jiefang Road"),
    ("民主路", "Minzhu Road"),
    ("建设大道", "Jianshe Avenue"),
    ("湖滨路", "Hubin Road"),
    ("学院路", "Xueyuan Road"),
    ("沿江大道", "Yanjiang Boulevard"),
    ("和平街", "Heping Street"),
    ("青年路", "Qingnian Road"),
    ("新华街", "Xinhua Street"),
];

/// A thing that is wrong somewhere.
struct Matter {
    kind: usize,
    street: usize,
    number: i64,
    begins: DateTime<Utc>,
}

/// Where a house stands: streets run north 700 m apart, a house every 8 metres.
fn place(matter: &Matter) -> (i32, i32) {
    (30_500_000 + matter.number as i32 * 72, 114_200_000 + matter.street as i32 * 7300)
}

fn address(chance: &mut Chance, matter: &Matter) -> String {
    let (zh, en) = STREETS[matter.street];
    let n = matter.number;
    match chance.below(8) {
        0 => format!("{zh}{n}号"),
        1 => format!("{zh} {n} 号附近"),
        2 => format!("本市{zh}{n}号门口"),
        3 => format!("江城市城关区{zh}{n}號"),
        4 => format!("{zh}{n}号对面"),
        5 => format!("{n} {en}"),
        6 => format!("No. {n}, {}", en.replace("Road", "Rd.").replace("Street", "St").replace("Avenue", "Ave").replace("Boulevard", "Blvd")),
        // No number: the street is no place.
        _ => zh.to_owned(),
    }
}

/// Matters far and near; a part of them has a neighbour of the same kind 110 to 400 metres along the street.
fn matters(chance: &mut Chance) -> Vec<Matter> {
    let mut matters: Vec<Matter> = Vec::new();
    while matters.len() < 400 {
        let neighbour = matters.last().filter(|_| chance.percent(20)).map(|last| (last.kind, last.street, last.number + chance.between(14, 50), last.begins));
        let alone = (chance.below(KINDS.len() as u64) as usize, chance.below(10) as usize, chance.between(1, 900), at("2026-07-01T00:00") + minutes(chance.between(0, 60 * 24 * 60)));
        let (kind, street, number, begins) = neighbour.unwrap_or(alone);
        matters.push(Matter { kind, street, number, begins });
    }
    matters
}

#[test]
fn planted_duplicates_are_found() {
    let mut chance = Chance(20_260_715);
    let matters = matters(&mut chance);
    let mut reports: Vec<(DateTime<Utc>, usize, Body)> = Vec::new();
    for (index, matter) in matters.iter().enumerate() {
        for n in 0..chance.between(1, 5) {
            let (kind, said, hours) = KINDS[matter.kind];
            let time = matter.begins + minutes(if n == 0 { 0 } else { chance.between(1, hours * 60) });
            let (lat, lon) = place(matter);
            let mut jitter = |metres: i64| chance.between(-metres, metres) as i32;
            let point = (MicroDeg(lat + jitter(25) * 9), MicroDeg(lon + jitter(25) * 10));
            // Most reports have both, some only a point or only an address.
            let (has_point, has_address) = match chance.below(10) {
                0..=1 => (true, false),
                2 => (false, true),
                _ => (true, true),
            };
            let (lat, lon) = if has_point { (Some(point.0), Some(point.1)) } else { (None, None) };
            let address = if has_address { Some(address(&mut chance, matter)) } else { None };
            let number = format!("r{}", reports.len());
            let body = match chance.percent(50) {
                true => Body::Hotline(HotlineMessage { message_id: number, text: said.to_owned(), address, lat, lon, ..HotlineMessage::default() }),
                false => Body::WorkOrder(WorkOrder::Created(WorkOrderCreated { request_id: number, category: Some(kind.to_owned()), address, lat, lon, ..WorkOrderCreated::default() })),
            };
            reports.push((time, index, body));
        }
    }
    reports.sort_by_key(|(time, index, _)| (*time, *index));
    let mut city = City::new();
    let mut of_case: BTreeMap<String, usize> = BTreeMap::new();
    let begun = Instant::now();
    for (time, index, body) in reports {
        city.hears(time, "people", body);
        of_case.insert(city.brain.cases().last().expect("a case").id.clone(), index);
    }
    let root = |id: &String| {
        let mut at = id.clone();
        while let Some(into) = city.brain.case(&at).and_then(|case| case.merged_into.clone()) {
            at = into;
        }
        at
    };
    let cases: Vec<(String, usize)> = of_case.iter().map(|(id, matter)| (root(id), *matter)).collect();
    let (mut right, mut wrong, mut missed) = (0u32, 0u32, 0u32);
    for (n, (root, matter)) in cases.iter().enumerate() {
        for (other_root, other) in &cases[n + 1..] {
            match (root == other_root, matter == other) {
                (true, true) => right += 1,
                (true, false) => wrong += 1,
                (false, true) => missed += 1,
                (false, false) => {}
            }
        }
    }
    let (precision, recall) = (f64::from(right) / f64::from(right + wrong), f64::from(right) / f64::from(right + missed));
    println!(
        "merging: {} reports of {} matters; of the pairs that belong together {right} found and {missed} missed, {wrong} wrong: precision {precision:.3}, recall {recall:.3} ({} ms)",
        cases.len(),
        matters.len(),
        begun.elapsed().as_millis()
    );
    assert!(precision >= 0.95 && recall >= 0.8, "precision {precision:.3}, recall {recall:.3}");
}

/// What a system writes into the fields for a point when it has none makes nothing one matter, nor does one point that many
/// addresses share.
#[test]
fn rounded_and_shared_points_are_no_place() {
    let mut city = City::new();
    for (n, (lat, lon, address)) in [
        (39_000_000, -77_000_000, None),
        (39_000_000, -77_000_000, None),
        (39_123_456, -77_123_456, Some("12 Oak Street")),
        (39_123_456, -77_123_456, Some("700 Main Street")),
    ]
    .into_iter()
    .enumerate()
    {
        let order = WorkOrderCreated {
            request_id: format!("w{n}"),
            category: Some("Flooding".to_owned()),
            address: address.map(str::to_owned),
            lat: Some(MicroDeg(lat)),
            lon: Some(MicroDeg(lon)),
            ..WorkOrderCreated::default()
        };
        city.hears(at("2026-07-15T10:00") + minutes(n as i64), "orders", Body::WorkOrder(WorkOrder::Created(order)));
    }
    assert!(city.brain.cases().all(|case| case.merged_into.is_none()));
}

/// Twenty thousand reports at one place: no case holds all of them, and none of them is slow.
#[test]
fn a_crowd_at_one_place_is_bounded() {
    let mut city = City::new();
    let begun = Instant::now();
    for n in 0..20_000i64 {
        let order = WorkOrderCreated {
            request_id: format!("w{n}"),
            category: Some("路面积淹水".to_owned()),
            lat: Some(MicroDeg(30_500_000 + (n % 300) as i32)),
            lon: Some(MicroDeg(114_300_123)),
            ..WorkOrderCreated::default()
        };
        city.hears(at("2026-07-15T10:00") + minutes(n / 100), "orders", Body::WorkOrder(WorkOrder::Created(order)));
        city.told.clear();
    }
    let largest = city.brain.cases().map(|case| case.merged.len()).max();
    let open = city.brain.cases().filter(|case| case.merged_into.is_none()).count();
    println!("merging: 20,000 reports at one place in {} ms: {open} cases, the largest of {largest:?}", begun.elapsed().as_millis());
    assert_eq!((open, largest), (40, Some(500)));
}
