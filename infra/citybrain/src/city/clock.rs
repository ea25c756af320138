//! The one day of the city: Friday, 18 July 2025, eight hours ahead of UTC.

use chrono::{DateTime, Utc};

/// Midnight in the city, seconds since 1970.
pub const MIDNIGHT_S: i64 = 1_752_796_800 - 8 * 3600;
/// Seconds of the day.
pub const DAY_S: i64 = 86_400;
/// The date, for ids that people read.
pub const DATE: &str = "20250718";

/// The moment `second` seconds after midnight.
pub fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(MIDNIGHT_S + second, 0).expect("a second of one day is a time")
}
