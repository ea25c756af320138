//! A sensor: what it measures ([`Detector`]) and whether it measures ([`Health`]), as one score for each value.

use crate::detector::{Detector, Options, Score};
use crate::health::Health;

/// The detector of one series that watches the sensor's health, too.
#[derive(Debug, Clone)]
pub struct Sensor {
    detector: Detector,
    health: Health,
}

impl Sensor {
    /// A sensor of which nothing was seen.
    pub fn new(options: Options) -> Sensor {
        Sensor { detector: Detector::new(options), health: Health::default() }
    }

    /// Scores the next value, then learns from it: the greater of what the detector says and how sure a fault is.
    pub fn score(&mut self, time_us: i64, value: f64) -> Score {
        let measured = self.detector.score(time_us, value);
        let fault = self.health.look(time_us, value).score(1);
        // What a fault explains is no measurement.
        let anomaly = fault.anomaly.max(measured.anomaly);
        if fault.anomaly >= measured.anomaly.min(0.5) { Score { anomaly, why: fault.why } } else { measured }
    }
}
