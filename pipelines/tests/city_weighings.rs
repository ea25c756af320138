//! A year of the city's 59 garbage stations with two hundred frauds in it: how many are found, and how often nothing was wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use chrono::{Datelike, Days, NaiveDate};
use crate::common::golden::Golden;
use serde_json::Value;

const DAYS: u64 = 365;
const FRAUDS: usize = 200;

/// The same numbers on every run.
struct Dice(u64);

impl Dice {
    /// Evenly from 0 up to 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, bound: u64) -> u64 {
        (self.unit() * bound as f64) as u64
    }

    /// Around 0, two thirds of the time within `deviation`.
    fn bell(&mut self, deviation: f64) -> f64 {
        ((0..12).map(|_| self.unit()).sum::<f64>() - 6.0) * deviation
    }
}

struct Station {
    id: String,
    district: String,
    daily_kg: f64,
}

/// The rows of a lookup file that ships.
fn table(file: &str) -> Vec<Vec<String>> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../graph/packs/garbage/jobs").join(file);
    let text = std::fs::read_to_string(path).expect("the file ships");
    let lines = text.lines().filter(|line| !line.starts_with('#')).skip(1);
    lines.map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

fn number(text: &str) -> f64 {
    text.parse().expect("a number")
}

/// What is done to the books of a station on a day.
#[derive(Clone, Copy)]
enum Fraud {
    /// A part of what came in is gone.
    Lost(f64),
    /// More is written down, in and out, than was brought.
    Inflated(f64),
}

/// The log of the year, and which (day, station) are frauds.
fn year(dice: &mut Dice) -> (String, BTreeSet<(String, String)>) {
    let stations: Vec<Station> = table("garbage_stations.csv")
        .into_iter()
        .map(|row| Station { id: row[0].clone(), district: row[2].clone(), daily_kg: number(&row[3]) })
        .collect();
    let mut frauds = BTreeMap::new();
    while frauds.len() < FRAUDS {
        let fraud = match dice.below(2) {
            0 => Fraud::Lost(0.15 + 0.3 * dice.unit()),
            _ => Fraud::Inflated(0.55 + 0.6 * dice.unit()),
        };
        frauds.insert((dice.below(DAYS), dice.below(stations.len() as u64)), fraud);
    }
    let weekdays: Vec<f64> = table("garbage_weekdays.csv").iter().map(|row| number(&row[1])).collect();
    let calendar: BTreeMap<String, f64> = table("garbage_calendar.csv").iter().map(|row| (row[0].clone(), number(&row[1]))).collect();
    let wetness: Vec<Vec<f64>> = table("garbage_rain.csv").iter().map(|row| row.iter().map(|text| number(text)).collect()).collect();
    let districts: BTreeSet<&str> = stations.iter().map(|station| station.district.as_str()).collect();
    let (mut text, mut planted) = (String::new(), BTreeSet::new());
    for day in 0..DAYS {
        let date = NaiveDate::from_ymd_opt(2025, 1, 1).expect("a date") + Days::new(day);
        writeln!(text, "@ {date}T00:00:00+08:00").expect("text grows");
        let mut wet = BTreeMap::new();
        for district in &districts {
            let rain = if dice.below(10) < 3 { (dice.unit() * 60.0).round() } else { 0.0 };
            writeln!(text, r#"06:00:00 context.weather {{"station":"met-{district}","district":"{district}","rain":{rain}}}"#).expect("text grows");
            let factor = wetness.iter().find(|row| row[0] <= rain && rain < row[1]).expect("each rain has a factor")[2];
            wet.insert(*district, factor);
        }
        let usual = calendar.get(&date.to_string()).copied().unwrap_or(weekdays[date.weekday().num_days_from_monday() as usize]);
        for (index, station) in stations.iter().enumerate() {
            let brought = station.daily_kg * usual * wet[station.district.as_str()] * (1.0 + dice.bell(0.1));
            let pressed = 1.0 - 0.04 + dice.bell(0.015);
            let fraud = frauds.get(&(day, index as u64));
            if fraud.is_some() {
                planted.insert((date.to_string(), station.id.clone()));
            }
            let (inward, outward) = match fraud {
                None => (brought, brought * pressed),
                Some(Fraud::Lost(share)) => (brought, brought * pressed * (1.0 - share)),
                Some(Fraud::Inflated(share)) => (brought * (1.0 + share), brought * (1.0 + share) * pressed),
            };
            for (hour, direction, kg) in [(8, "in", inward * 0.6), (14, "in", inward * 0.4), (18, "out", outward)] {
                writeln!(text, r#"{hour:02}:{:02}:00 garbage.weighing {{"station":"{}","direction":"{direction}","net_kg":{kg:.0}}}"#, index, station.id).expect("text grows");
            }
        }
    }
    text.push_str("----\n");
    (text, planted)
}

#[tokio::test]
async fn nine_of_ten_frauds_are_found_and_few_stations_are_suspected_for_nothing() {
    let (text, planted) = year(&mut Dice(59));
    let golden = Golden::parse("weighing_anomalies", &text).expect("the year reads");
    let rows = golden.given(20_000, 2).await;
    let told: BTreeSet<(String, String)> = rows
        .iter()
        .map(|row| {
            let row: Value = serde_json::from_str(row).expect("a row is JSON");
            let text = |field: &str| row[field].as_str().expect("it has one").to_owned();
            (text("day"), text("station"))
        })
        .collect();
    assert_eq!(told.len(), rows.len(), "a station is named once a day");
    let found = told.intersection(&planted).count();
    let wrong = told.len() - found;
    assert!(found * 10 >= planted.len() * 9, "{found} of {} frauds were found", planted.len());
    // One false alarm for each station and month would be 708.
    assert!(wrong <= 59, "{wrong} days of {} were suspected for nothing", DAYS * 59);
}
