//! Faults of sensors planted into real readings: a value that stays, one that stays but for a jitter below its resolution, zeros, rows
//! that are not there and cells that are empty.
//!
//! About every forty days of a sensor one fault, drawn from a seed, so that each is over long before the next. A fault that nobody could
//! see, as zeros in a dry week, is not planted: at least half of the true values must differ from what is put in their place.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The last value for hours.
    Stuck,
    /// The last value and a jitter of less than the sensor's resolution.
    Jitter,
    /// Zero for hours.
    Dead,
    /// Rows are missing.
    Removed,
    /// Rows have no number.
    Empty,
}

/// All kinds.
pub const KINDS: [Kind; 5] = [Kind::Stuck, Kind::Jitter, Kind::Dead, Kind::Removed, Kind::Empty];
/// How long a value stays, hours.
pub const STUCK_HOURS: [usize; 4] = [6, 12, 24, 48];
/// How long nothing comes, hours.
pub const SILENT_HOURS: [usize; 4] = [3, 6, 12, 48];
const EVERY_HOURS: usize = 40 * 24;
const TRIES: usize = 20;
/// Jitter, as a share of the resolution, up and down.
const JITTER: f64 = 0.3;

impl Kind {
    /// Whether nothing comes, rather than something wrong.
    pub fn is_silence(self) -> bool {
        matches!(self, Kind::Removed | Kind::Empty)
    }
}

/// A planted fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    /// What is wrong.
    pub kind: Kind,
    /// For how many hours.
    pub hours: usize,
    /// The first hour of the series that is wrong.
    pub from: usize,
}

/// One reading as the watcher sees it.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// The hour of the series.
    pub at: usize,
    /// The value; `NaN` for an empty cell.
    pub value: f64,
}

/// A series with faults in it, and what could not be planted.
pub struct Planted {
    /// What comes, in order.
    pub readings: Vec<Reading>,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
    /// Faults that would not have been seen wherever they were tried.
    pub unseen: usize,
}

/// Plants faults in hourly values of a sensor of this resolution.
pub fn plant(values: &[f64], resolution: f64, seed: u64) -> Planted {
    let mut dice = StdRng::seed_from_u64(seed);
    let mut readings: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
    let (mut faults, mut unseen) = (Vec::new(), 0);
    // Which kind and length comes when is drawn, so that no season has its own.
    for block in 1..values.len() / EVERY_HOURS {
        let kind = KINDS[dice.random_range(0..KINDS.len())];
        let hours = if kind.is_silence() { SILENT_HOURS } else { STUCK_HOURS }[dice.random_range(0..4)];
        let place = (0..TRIES).map(|_| block * EVERY_HOURS + dice.random_range(24..EVERY_HOURS / 2)).find(|from| shows(values, *from, kind, hours));
        let Some(from) = place else {
            unseen += 1;
            continue;
        };
        let last = values[from - 1];
        for reading in &mut readings[from..from + hours] {
            *reading = match kind {
                Kind::Stuck => Some(last),
                Kind::Jitter => Some(last + resolution * dice.random_range(-JITTER..JITTER)),
                Kind::Dead => Some(0.0),
                Kind::Removed => None,
                Kind::Empty => Some(f64::NAN),
            };
        }
        faults.push(Fault { kind, hours, from });
    }
    let readings = readings.into_iter().enumerate().filter_map(|(at, value)| Some(Reading { at, value: value? })).collect();
    Planted { readings, faults, unseen }
}

/// Whether somebody could see it: there is a value before, the sensor works, and it says something else for half of the time.
fn shows(values: &[f64], from: usize, kind: Kind, hours: usize) -> bool {
    let (last, true_values) = (values[from - 1], &values[from..from + hours]);
    let said = if kind == Kind::Dead { 0.0 } else { last };
    let there = true_values.iter().filter(|value| value.is_finite()).count();
    let differ = true_values.iter().filter(|value| value.is_finite() && **value != said).count();
    let enough = if kind.is_silence() { there } else { differ };
    // Silence that is planted begins and ends where the sensor speaks, or it would be longer than it is called.
    let edges = !kind.is_silence() || values.get(from + hours).is_some_and(|value| value.is_finite());
    last.is_finite() && 2 * enough >= hours && edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_plants_the_same_and_nothing_that_cannot_be_seen() {
        let values: Vec<f64> = (0..EVERY_HOURS * 12).map(|at| if at < EVERY_HOURS * 6 { (at * 7 % 11) as f64 + 1.0 } else { 0.0 }).collect();
        let (one, two) = (plant(&values, 1.0, 7), plant(&values, 1.0, 7));
        assert_eq!(one.faults, two.faults);
        assert!(one.faults.len() >= 5 && one.faults.len() + one.unseen == 11, "{:?}", one.faults);
        for fault in &one.faults {
            let there: Vec<f64> = one.readings.iter().filter(|it| (fault.from..fault.from + fault.hours).contains(&it.at)).map(|it| it.value).collect();
            match fault.kind {
                Kind::Stuck => assert!(there.iter().all(|it| *it == values[fault.from - 1])),
                Kind::Jitter => assert!(there.iter().all(|it| (it - values[fault.from - 1]).abs() < 0.3)),
                Kind::Dead => assert!(there.iter().all(|it| *it == 0.0) && fault.from < EVERY_HOURS * 6),
                Kind::Removed => assert!(there.is_empty()),
                Kind::Empty => assert!(there.len() == fault.hours && there.iter().all(|it| it.is_nan())),
            }
        }
    }
}
