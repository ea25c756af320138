//! The stations and what they measure, minute by minute.
//!
//! | property | unit | what a reading is |
//! |---|---|---|
//! | `rainfall` | `mm/h` | intensity over the last minute |
//! | `water_level` | `m` | water on the road at the lowest point of an underpass |
//! | `pressure` | `MPa` | water main |
//! | `flow` | `m³/h` | water main |
//! | `gas` | `%LEL` | share of the lower explosive limit |
//! | `pm25` | `µg/m³` | every fifth round |

use schemas::event::Event;

use super::geography::{DISTRICTS, District};
use rehearsal::Dice;
use super::weather::{Underpass, rain_um_per_h};
use super::{Size, clock, story};

/// What a datastream measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    /// Rain gauge.
    Rainfall,
    /// Level gauge in an underpass.
    WaterLevel,
    /// Water main.
    Pressure,
    /// Water main.
    Flow,
    /// Gas detector.
    Gas,
    /// Fine dust.
    Pm25,
}

impl Property {
    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            Property::Rainfall => "rainfall",
            Property::WaterLevel => "water_level",
            Property::Pressure => "pressure",
            Property::Flow => "flow",
            Property::Gas => "gas",
            Property::Pm25 => "pm25",
        }
    }

    /// Its unit.
    pub fn unit(self) -> &'static str {
        match self {
            Property::Rainfall => "mm/h",
            Property::WaterLevel => "m",
            Property::Pressure => "MPa",
            Property::Flow => "m³/h",
            Property::Gas => "%LEL",
            Property::Pm25 => "µg/m³",
        }
    }

    /// The smallest step of a reading, in thousandths of the unit.
    fn step_milli(self) -> i64 {
        match self {
            Property::Rainfall | Property::Flow | Property::Gas => 100,
            Property::WaterLevel | Property::Pressure => 1,
            Property::Pm25 => 1000,
        }
    }

    /// Rounds between two readings.
    fn every(self) -> i64 {
        match self {
            Property::Pm25 => 5,
            Property::Rainfall | Property::WaterLevel | Property::Pressure | Property::Flow | Property::Gas => 1,
        }
    }
}

/// A place where something is measured.
#[derive(Clone, Debug)]
pub struct Station {
    /// Its id, such as `d03-pipe-01`.
    pub id: String,
    /// Its district.
    pub district: &'static District,
    /// Latitude and longitude, in millionths of a degree.
    pub place: (i64, i64),
    /// What it measures.
    pub properties: Vec<Property>,
    /// Its number among those of its kind in its district, from 0.
    pub number: usize,
}

/// All stations of a city.
pub fn stations(seed: u64, size: Size) -> Vec<Station> {
    let mut dice = Dice::new(seed, "stations");
    let kinds: [(&str, usize, &[Property]); 5] = [
        ("rain", 3, &[Property::Rainfall]),
        ("level", 4, &[Property::WaterLevel]),
        ("pipe", 4, &[Property::Pressure, Property::Flow]),
        ("gas", 6, &[Property::Gas]),
        ("air", 2, &[Property::Pm25]),
    ];
    let mut stations = Vec::new();
    for district in &DISTRICTS {
        for (kind, count, properties) in kinds {
            for number in 0..count * size.stations {
                stations.push(Station {
                    id: format!("{}-{kind}-{:02}", district.id, number + 1),
                    district,
                    place: district.point(&mut dice),
                    properties: properties.to_vec(),
                    number,
                });
            }
        }
    }
    stations
}

/// One datastream with what it remembers from reading to reading.
#[derive(Clone, Debug)]
struct Stream {
    id: String,
    property: Property,
    station: Station,
    /// Second of the minute at which it reports.
    phase_s: i64,
    /// Noise that carries over, in thousandths of the unit.
    drift_milli: i64,
    underpass: Underpass,
    dice: Dice,
    silent_from_s: i64,
    behind_s: i64,
    /// The part of the JSON behind the result, which never changes.
    tail: String,
}

/// All readings of the day, in the order in which they are taken.
#[derive(Clone, Debug)]
pub struct Readings {
    source: String,
    streams: Vec<Stream>,
    step_s: i64,
    round: i64,
    next: usize,
}

/// One reading.
pub struct Reading {
    /// When it was taken, in seconds after midnight.
    pub taken_s: i64,
    /// The event.
    pub event: Event,
}

impl Readings {
    /// The readings of a city.
    pub fn new(seed: u64, size: Size, source: String) -> Readings {
        let mut dice = Dice::new(seed, "phases");
        let mut streams: Vec<Stream> = Vec::new();
        for station in stations(seed, size) {
            let phase_s = dice.between(0, 59);
            for property in station.properties.clone() {
                streams.push(Stream::new(seed, &station, property, phase_s));
            }
        }
        // Within a round each stream reports at its own second, so this order is the order of the whole day.
        streams.sort_by(|a, b| (a.phase_s, &a.id).cmp(&(b.phase_s, &b.id)));
        Readings { source, streams, step_s: size.step_s, round: 0, next: 0 }
    }
}

impl Iterator for Readings {
    type Item = Reading;

    fn next(&mut self) -> Option<Reading> {
        loop {
            if self.next == self.streams.len() {
                self.next = 0;
                self.round += 1;
            }
            let round_s = self.round * self.step_s;
            if round_s >= clock::DAY_S {
                return None;
            }
            let stream = &mut self.streams[self.next];
            self.next += 1;
            if self.round % stream.property.every() != 0 {
                continue;
            }
            let taken_s = round_s + stream.phase_s;
            if let Some(event) = stream.read(&self.source, taken_s, self.step_s) {
                return Some(Reading { taken_s, event });
            }
        }
    }
}

impl Stream {
    fn new(seed: u64, station: &Station, property: Property, phase_s: i64) -> Stream {
        let id = match station.properties.len() {
            1 => station.id.clone(),
            _ => format!("{}-{}", station.id, property.name()),
        };
        let (lat, lon) = station.place;
        let tail = format!(
            r#","unit":"{}","property":"{}","station":"{}","district":"{}","lat":{},"lon":{}}}"#,
            property.unit(), property.name(), station.id, station.district.zh, decimal(lat, 6), decimal(lon, 6)
        );
        Stream {
            property,
            phase_s,
            drift_milli: 0,
            underpass: Underpass::new(station.district, station.number),
            dice: Dice::new(seed, &id),
            silent_from_s: if station.id == story::DEAD_STATION { story::DEAD_FROM_S } else { i64::MAX },
            behind_s: if station.id == story::SLOW_CLOCK_STATION { story::SLOW_CLOCK_S } else { 0 },
            tail,
            station: station.clone(),
            id,
        }
    }

    fn read(&mut self, source: &str, taken_s: i64, step_s: i64) -> Option<Event> {
        let milli = self.measure_milli(taken_s, step_s);
        if taken_s >= self.silent_from_s {
            return None;
        }
        let step = self.property.step_milli();
        let rounded = (milli + step / 2).div_euclid(step) * step;
        let claimed_s = taken_s - self.behind_s;
        let data = format!(r#"{{"datastream":"{}","result":{}{}"#, self.id, decimal(rounded, 3), self.tail);
        let mut event = Event::new(
            format!("{}@{}", self.id, clock::MIDNIGHT_S + claimed_s),
            source,
            "io.citybrain.sensor.observation.v1",
        );
        event.subject = Some(self.id.clone());
        event.partition_key = Some(self.id.clone());
        event.time = Some(clock::at(claimed_s));
        event.data_content_type = Some("application/json".to_owned());
        event.data = Some(data.into());
        Some(event)
    }

    /// The value at a second of the day, in thousandths of the unit.
    fn measure_milli(&mut self, second: i64, step_s: i64) -> i64 {
        let district = self.station.district;
        match self.property {
            Property::Rainfall => {
                let rain = rain_um_per_h(district, second);
                (rain + rain * self.dice.wobble(120) / 1000).max(0)
            }
            Property::WaterLevel => {
                self.underpass.pass(district, second, step_s);
                (self.underpass.level_um / 1000 + 6 + self.dice.wobble(9)).max(0)
            }
            Property::Pressure => {
                let calm = 342 - use_per_mille(second) * 42 / 1000 + self.drift(6, 2);
                (calm * self.burst_pressure_per_mille(second) / 1000).max(4)
            }
            Property::Flow => {
                let calm = 96_000 + use_per_mille(second) * 118 + self.drift(9_000, 1_800);
                (calm * self.burst_flow_per_mille(second) / 1000).max(0)
            }
            Property::Gas => (1_600 + self.drift(1_500, 400) + self.leak_milli(second)).max(0),
            Property::Pm25 => {
                let washed = if second > story::STORM_S + 3600 { 480 } else { 1000 };
                ((36_000 + use_per_mille(second) * 14 + self.drift(9_000, 3_000)) * washed / 1000).max(2_000)
            }
        }
    }

    /// Noise that wanders within ±`reach`.
    fn drift(&mut self, reach: i64, pace: i64) -> i64 {
        self.drift_milli = (self.drift_milli * 9 / 10 + self.dice.wobble(pace * 3)).clamp(-reach, reach);
        self.drift_milli
    }

    /// Pressure after the burst, per mille of what it would be: the nearer, the less.
    fn burst_pressure_per_mille(&self, second: i64) -> i64 {
        if self.station.district.id != story::BURST_DISTRICT || second < story::BURST_S {
            return 1000;
        }
        let lowest = match self.station.number {
            0 => 210,
            1 => 340,
            2 => 520,
            _ => 700,
        };
        let fallen = ramp(1000, lowest, second - story::BURST_S, 180);
        if self.station.number > 1 {
            // Beyond the closed valves the pressure comes back at once.
            ramp(fallen, 1000, second - story::BURST_VALVES_CLOSED_S, 1200)
        } else {
            ramp(fallen, 1000, second - story::BURST_REPAIRED_S, 1800)
        }
    }

    /// Flow after the burst, per mille of what it would be.
    fn burst_flow_per_mille(&self, second: i64) -> i64 {
        if self.station.district.id != story::BURST_DISTRICT || self.station.number > 1 || second < story::BURST_S {
            return 1000;
        }
        let highest = if self.station.number == 0 { 2900 } else { 2100 };
        let burst = ramp(1000, highest, second - story::BURST_S, 120);
        let closed = ramp(burst, 60, second - story::BURST_VALVES_CLOSED_S, 600);
        ramp(closed, 1000, second - story::BURST_REPAIRED_S, 1800)
    }

    /// Gas that gathers in the kitchen, in thousandths of a percent of the lower explosive limit.
    fn leak_milli(&self, second: i64) -> i64 {
        let planted = self.station.district.id == story::GAS_DISTRICT && self.station.number == story::GAS_DETECTOR;
        if !planted || second < story::GAS_BEGINS_S {
            return 0;
        }
        let risen = ramp(0, 64_000, second - story::GAS_BEGINS_S, 16 * 60);
        ramp(risen, 0, second - story::GAS_AIRED_S, 20 * 60)
    }
}

/// How much water and air people use, per mille of the most: little at night, peaks in the morning and the evening.
fn use_per_mille(second: i64) -> i64 {
    const BY_HOUR: [i64; 25] = [
        180, 130, 110, 110, 150, 320, 680, 940, 900, 720, 640, 660, 760, 640, 560, 560, 620, 760, 940, 1000, 900, 700, 460, 280, 180,
    ];
    let (hour, within) = ((second / 3600) as usize, second % 3600);
    ramp(BY_HOUR[hour], BY_HOUR[hour + 1], within, 3600)
}

/// From one value to another along a straight line of `length_s` seconds.
fn ramp(from: i64, to: i64, since_s: i64, length_s: i64) -> i64 {
    from + (to - from) * since_s.clamp(0, length_s) / length_s
}

/// A number with a fixed point as a JSON number, at least one digit behind the point.
pub fn decimal(value: i64, digits: u32) -> String {
    let one = 10_i64.pow(digits);
    let mut text = format!("{}{}.{:0width$}", if value < 0 { "-" } else { "" }, value.abs() / one, value.abs() % one, width = digits as usize);
    while text.ends_with('0') && !text.ends_with(".0") {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_json_numbers() {
        for (milli, text) in [(0, "0.0"), (12_500, "12.5"), (-40, "-0.04"), (342, "0.342"), (7_000, "7.0")] {
            assert_eq!(decimal(milli, 3), text);
        }
        assert_eq!(decimal(114_305_000, 6), "114.305");
    }

    #[test]
    fn a_ramp_stays_between_its_ends() {
        assert_eq!([-5, 0, 50, 100, 500].map(|since| ramp(10, 20, since, 100)), [10, 10, 15, 20, 20]);
    }
}
