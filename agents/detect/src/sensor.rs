//! A sensor: what it measures ([`Detector`]) and whether it measures ([`Health`]), side by side for each value.

use crate::detector::{Detector, Kind, Options, Score};
use crate::health::Health;

/// A stuck value raises the score of what is measured where it is so many times as rare as it must be for an alarm of health alone.
const SURE: usize = 10;

/// The detector of one series that watches the sensor's health, too.
#[derive(Debug, Clone)]
pub struct Sensor {
    detector: Detector,
    health: Health,
}

/// What is said of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Both {
    /// How strange it is. A value that is surely stuck is strange; silence is not, for what was measured.
    pub measured: Score,
    /// How sure a fault of the sensor is: it is stuck, or was silent before this value.
    pub health: Score,
}

impl Sensor {
    /// A sensor of which nothing was seen.
    pub fn new(options: Options) -> Sensor {
        Sensor { detector: Detector::new(options), health: Health::default() }
    }

    /// Scores the next value, then learns from it. `time_us` is its time in microseconds since 1970. A value that is not finite is abstained
    /// from and changes nothing.
    pub fn score(&mut self, time_us: i64, value: f64) -> Both {
        let (measured, fault) = (self.detector.score(time_us, value), self.health.look(time_us, value));
        let sure = if fault.kind == Kind::Stuck { fault.score(SURE) } else { measured };
        Both { measured: if sure.anomaly > measured.anomaly { sure } else { measured }, health: fault.score(1) }
    }
}
