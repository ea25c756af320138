//! How much is too much, and why.

/// Minutes of a script with its quiet time: a week, so that a mistyped number does not fill the memory.
pub(crate) const MINUTES_MAX: i64 = 7 * 24 * 60;

/// Readings of one rehearsal: a hundred sensors each second for three hours.
pub(crate) const READINGS_MAX: i64 = 1_000_000;

/// Reports of one group of calls: more than any city's hotline takes in an hour.
pub(crate) const COUNT_MAX: u32 = 2_000;

/// A warning that comes later than this before the event gives nobody time to act, in minutes.
pub(crate) const LEAD_MINUTES_MIN: i64 = 30;

/// What forecasts and timers have left to say is waited for, in minutes after the end.
pub(crate) const AFTERWARDS_MINUTES: i64 = 180;
