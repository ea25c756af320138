//! The generated city of the demo: one Friday with a storm, a flood, a burst main and a gas alarm in it, and ordinary
//! life around them.
//!
//! A city is a function of its seed. Everything is computed in integers, so the same seed gives the same bytes on every
//! machine. [`City::day`] gives the events in the order in which they happened; [`City::truth`] says what is planted
//! in them, so that the demo can check what the brain made of it. Knows nothing of doors, clocks or files.
//!
//! The day is 18 July 2025 at UTC+8. The rest is in [`geography`] (districts, streets, underpasses), [`weather`] (the
//! storm), [`readings`] (stations), [`voices`] (what people say), [`people`] (calls and work orders), [`story`] (what is
//! planted), [`faults`] (repeated and malformed events) and [`day`] (one order).

mod clock;
mod day;
mod faults;
mod geography;
mod people;
mod readings;
mod story;
mod voices;
mod weather;

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};

pub use day::Day;
pub use rehearsal::Dice;
pub use readings::Station;
pub use story::{Fault, Planted, Truth};

/// How large a city and how dense its readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Stations: 152 times this, with 184 datastreams.
    pub stations: usize,
    /// Seconds between two readings of a datastream; a divisor of a day, from 60 to 900.
    pub step_s: i64,
    /// People: calls and work orders grow with it.
    pub people: u64,
}

impl Default for Size {
    /// A day of about 250,000 events.
    fn default() -> Size {
        Size { stations: 1, step_s: 60, people: 1 }
    }
}

/// A city.
#[derive(Clone, Debug)]
pub struct City {
    seed: u64,
    size: Size,
}

impl City {
    /// The city of a seed.
    pub fn new(seed: u64) -> City {
        City::sized(seed, Size::default())
    }

    /// The city of a seed, larger or smaller.
    pub fn sized(seed: u64, size: Size) -> City {
        assert!(size.stations > 0 && size.people > 0, "a city has stations and people");
        assert!(size.step_s >= 60 && size.step_s <= 900 && clock::DAY_S % size.step_s == 0, "readings come each minute, or in steps of up to 15 minutes that fill a day");
        City { seed, size }
    }

    /// The stations.
    pub fn stations(&self) -> Vec<Station> {
        readings::stations(self.seed, self.size)
    }

    /// When the day begins.
    pub fn begins(&self) -> DateTime<Utc> {
        clock::at(0)
    }

    /// When the day ends.
    pub fn ends(&self) -> DateTime<Utc> {
        clock::at(clock::DAY_S)
    }

    /// The events of the day in the order of their times. Only one station departs from that order: its clock is behind
    /// (see [`Truth::slow_clock`]). A repeated event follows the one that it repeats.
    pub fn day(&self) -> Day {
        let base = format!("urn:citybrain:city:{}", self.seed);
        let mut happenings = people::happenings(self.seed, self.size, &base);
        happenings.extend(faults::malformed(&base));
        happenings.sort_by_key(|happening| happening.at_s);
        let readings = readings::Readings::new(self.seed, self.size, format!("{base}:sensors"));
        Day::new(readings, happenings)
    }

    /// What is planted in the day.
    pub fn truth(&self) -> Truth {
        let stations = self.stations();
        let fault = |id: &str, from, behind_s| {
            let station = stations.iter().find(|station| station.id == id).expect("planted stations exist");
            Fault { station: station.id.clone(), datastream: station.id.clone(), district: station.district.zh, from, behind_s }
        };
        Truth {
            planted: story::planted(),
            dead: fault(story::DEAD_STATION, clock::at(story::DEAD_FROM_S), None),
            slow_clock: fault(story::SLOW_CLOCK_STATION, clock::at(0), Some(story::SLOW_CLOCK_S)),
            duplicates: (faults::REPEATED_READINGS_S.len() + faults::REPEATED_CALLS_S.len()) as u64,
            refused: faults::malformed("").len() as u64,
        }
    }
}
