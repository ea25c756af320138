//! What a detector says about the city: a threshold crossed, a surge of reports, a station gone silent.
//!
//! A signal raises, updates or clears an alert; it never decides anything itself. Measured values travel as
//! thousandths (`value_milli`), places as millionths of a degree, so that no float reaches the brain's state.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::alert::Status;
use crate::position::Position;

/// An angle in millionths of a degree. In JSON it is a plain number of degrees (`29.760427`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MicroDeg(pub i32);

impl MicroDeg {
    /// The angle nearest to `degrees`, or `None` when that is no angle (beyond ±180 or not a number).
    pub fn from_degrees(degrees: f64) -> Option<Self> {
        // The cast is exact: the product of an accepted angle fits 28 bits.
        (degrees.abs() <= 180.0).then(|| Self((degrees * 1e6).round() as i32))
    }

    /// Whether it may be a latitude: a place beyond a pole is somebody's mistake.
    pub fn is_latitude(self) -> bool {
        self.0.unsigned_abs() <= 90_000_000
    }

    /// Degrees, for rendering only: state keeps the integer.
    pub fn degrees(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl Serialize for MicroDeg {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.degrees())
    }
}

impl<'de> Deserialize<'de> for MicroDeg {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Degrees;
        impl de::Visitor<'_> for Degrees {
            type Value = MicroDeg;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("degrees between -180 and 180")
            }
            fn visit_f64<E: de::Error>(self, degrees: f64) -> Result<MicroDeg, E> {
                MicroDeg::from_degrees(degrees).ok_or_else(|| E::invalid_value(de::Unexpected::Float(degrees), &self))
            }
            fn visit_i64<E: de::Error>(self, degrees: i64) -> Result<MicroDeg, E> {
                self.visit_f64(degrees as f64)
            }
            fn visit_u64<E: de::Error>(self, degrees: u64) -> Result<MicroDeg, E> {
                self.visit_f64(degrees as f64)
            }
        }
        deserializer.deserialize_any(Degrees)
    }
}

/// What kind of finding a signal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalKind {
    /// A measured value crossed a threshold, or came back.
    Threshold,
    /// More reports than this hour usually has.
    Surge,
    /// A station that should speak does not.
    NoSignal,
    /// A measured value moves towards a threshold and will cross it when `expected` says, if it goes on as it does.
    Trend,
}

/// What a signal says about its condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalState {
    /// The condition holds.
    Raised,
    /// The condition was measured and does not hold.
    Cleared,
    /// Nothing was measured. This never clears an alert.
    Unknown,
}

/// A detector's finding, the data of a `city.signal` event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// What kind of finding it is.
    pub signal: SignalKind,
    /// The scenario that it speaks for, such as `urban_flooding`.
    pub scenario: String,
    /// The rule that found it.
    pub rule: String,
    /// Severity from 1 (Ⅰ, red) to 4 (Ⅳ, blue).
    pub level: u8,
    /// Whether the condition holds.
    pub state: SignalState,
    /// What was measured, such as `water_level`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// Where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub station: Option<String>,
    /// The district of the station.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub district: Option<String>,
    /// The value in thousandths of `unit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_milli: Option<i64>,
    /// The threshold in thousandths of `unit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_milli: Option<i64>,
    /// The unit of value and threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Start of the window that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_start: Option<DateTime<Utc>>,
    /// End of the window that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_end: Option<DateTime<Utc>>,
    /// Latitude of the station.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lat: Option<MicroDeg>,
    /// Longitude of the station.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lon: Option<MicroDeg>,
    /// When the condition is expected to hold, for a trend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<DateTime<Utc>>,
    /// For how many seconds the condition has to hold before it is an alert; without it the scenario's setting decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_s: Option<u32>,
    /// Whether it is meant.
    #[serde(default, skip_serializing_if = "Status::is_actual")]
    pub status: Status,
    /// The records that the finding rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Position>,
}
