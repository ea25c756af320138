//! The events of the day, merged into one order.

use std::iter::Peekable;
use std::vec::IntoIter;

use schemas::event::Event;

use super::faults::{REPEATED_CALLS_S, REPEATED_READINGS_S};
use super::people::Happening;
use super::readings::Readings;

/// The events of a day in the order of their times, made one by one.
pub struct Day {
    readings: Peekable<Readings>,
    happenings: Peekable<IntoIter<Happening>>,
    /// The second delivery of the event before.
    again: Option<Event>,
    readings_repeated: usize,
    calls_repeated: usize,
}

impl Day {
    pub(super) fn new(readings: Readings, happenings: Vec<Happening>) -> Day {
        Day {
            readings: readings.peekable(),
            happenings: happenings.into_iter().peekable(),
            again: None,
            readings_repeated: 0,
            calls_repeated: 0,
        }
    }

    fn reading(&mut self) -> Option<Event> {
        let reading = self.readings.next()?;
        if REPEATED_READINGS_S.get(self.readings_repeated).is_some_and(|at_s| reading.taken_s >= *at_s) {
            self.readings_repeated += 1;
            self.again = Some(reading.event.clone());
        }
        Some(reading.event)
    }

    fn happening(&mut self) -> Option<Event> {
        let happening = self.happenings.next()?;
        let due = REPEATED_CALLS_S.get(self.calls_repeated).is_some_and(|at_s| happening.at_s >= *at_s);
        if due && happening.event.source.ends_with(":hotline") {
            self.calls_repeated += 1;
            self.again = Some(happening.event.clone());
        }
        Some(happening.event)
    }
}

impl Iterator for Day {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.again.take() {
            return Some(event);
        }
        match (self.readings.peek(), self.happenings.peek()) {
            (Some(reading), Some(happening)) if happening.at_s <= reading.taken_s => self.happening(),
            (Some(_), _) => self.reading(),
            (None, _) => self.happening(),
        }
    }
}
