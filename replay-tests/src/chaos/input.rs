//! What the disturbed brain is fed: files of work orders, and messages of citizens.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

/// Chance from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Chance from this seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * u128::from(bound)) >> 64) as u64
    }
}

/// How the files are read.
const MAPPING: &str = r#"name = "chaos"
title = { zh = "断电演练工单", en = "Work orders of the kill -9 runs" }
source = "urn:citybrain:source:chaos"
timezone = "UTC"
order = "event_time"

[[event]]
type = "workorder.created"
id = "{id}:created"
subject = "{id}"
time = "created"

[event.data]
request_id = "id"
category = "category"
district = "district"
address = "address"
channel = { const = "chaos" }
status = { const = "open" }

[[event]]
type = "workorder.closed"
id = "{id}:closed"
subject = "{id}"
time = "closed"

[event.data]
request_id = "id"
status = { const = "closed" }
"#;

const CATEGORIES: [&str; 8] =
    ["Flooding", "Pothole", "Street light out", "Illegal dumping", "Parking", "Water leak", "Noise", "Fallen limb"];
const DISTRICTS: [&str; 4] = ["north", "east", "south", "west"];

/// A file of work orders on disk.
#[derive(Clone, Debug)]
pub struct OrderFile {
    /// Where.
    pub path: PathBuf,
    /// Number of its first row.
    pub first: u64,
    /// How many rows it has.
    pub rows: u64,
}

impl OrderFile {
    /// The ids of the events in it.
    pub fn ids(&self) -> impl Iterator<Item = String> {
        (self.first..self.first + self.rows).flat_map(|row| [format!("o-{row:08}:created"), format!("o-{row:08}:closed")])
    }
}

/// Writes the mapping and gives its path.
pub fn write_mapping(dir: &Path) -> Result<PathBuf, String> {
    let path = dir.join("chaos.toml");
    write(&path, MAPPING)?;
    Ok(path)
}

/// Writes the file of the rows from `first` on.
pub fn write_orders(dir: &Path, seed: u64, first: u64, rows: u64) -> Result<OrderFile, String> {
    let mut text = String::from("id,created,closed,category,district,address\n");
    for row in first..first + rows {
        let mut dice = Dice::new(seed ^ row.wrapping_mul(0x0100_0000_01b3));
        let created = moment(row * 40 + dice.below(40));
        let closed = moment(row * 40 + 600 + dice.below(80_000));
        let category = CATEGORIES[dice.below(8) as usize];
        let district = DISTRICTS[dice.below(4) as usize];
        let _ = writeln!(text, "o-{row:08},{created},{closed},{category},{district},{} Main Street", dice.below(900));
    }
    let path = dir.join(format!("orders-{first:08}.csv"));
    write(&path, &text)?;
    Ok(OrderFile { path, first, rows })
}

/// A message of a citizen as a CloudEvent, and its id.
pub fn message(number: u64) -> (String, String) {
    let id = format!("m-{number:08}");
    let texts = ["路灯不亮", "Flooding at the underpass", "垃圾没人收", "下水道堵了", "A deep pothole"];
    let event = json!({
        "specversion": "1.0",
        "id": id,
        "source": "urn:citybrain:source:chaos-calls",
        "type": "io.citybrain.hotline.message.v1",
        "time": moment(number * 20),
        "data": {
            "message_id": id,
            "text": texts[(number % 5) as usize],
            "caller": format!("c-{}", number % 977),
            "channel": "web",
            "district": DISTRICTS[(number % 4) as usize],
        },
    });
    (id, event.to_string())
}

/// A moment of the year 2024, long past, so that no timer waits for the wall clock.
fn moment(second: u64) -> String {
    let time = chrono::DateTime::from_timestamp(1_709_251_200 + second as i64, 0).expect("a second of a near year");
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("could not write {}: {error}", path.display()))
}
