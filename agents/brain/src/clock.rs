//! City time. It comes from the times of events and timers only, and it never goes back. What has no time of its own
//! happens where its stream stands, else where the city stands; before anything was heard that is 1970.
//!
//! Streams may stand at different times: a city lives while somebody imports its last ten years. Each record belongs to
//! a *timeline*: the nearest within three days, else the one its source was on, else a new one. Windows, deadlines and
//! alerts belong to their timeline, so that the year 2011 neither delays nor disturbs today.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::limits::{SOURCES_MAX, TIMELINE_SPAN, TIMELINES_MAX};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Timeline {
    id: u32,
    // Invariant: never decreases.
    clock: DateTime<Utc>,
    touched: u64,
}

/// The times at which the streams stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clocks {
    timelines: Vec<Timeline>,
    sources: BTreeMap<String, u32>,
    made: u32,
}

impl Clocks {
    /// Takes in when a record of `source` says that it happened; gives its timeline and that timeline's time.
    pub(crate) fn observe(&mut self, seq: u64, source: &str, claimed: Option<DateTime<Utc>>) -> (u32, DateTime<Utc>) {
        let (id, time) = match claimed {
            Some(time) => {
                let known = self.nearest(time).or_else(|| self.own(source, time));
                (known.unwrap_or_else(|| self.make(time, seq)), time)
            }
            None => self.standing(source).unwrap_or_else(|| (self.make(DateTime::UNIX_EPOCH, seq), DateTime::UNIX_EPOCH)),
        };
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(source) {
            self.sources.clear();
        }
        if self.sources.get(source) != Some(&id) {
            self.sources.insert(source.to_owned(), id);
        }
        let timeline = self.timelines.iter_mut().find(|timeline| timeline.id == id).expect("just found or made");
        timeline.clock = timeline.clock.max(time);
        timeline.touched = seq;
        (id, timeline.clock)
    }

    /// A timer of the timeline has come: it is at least that late.
    pub(crate) fn reach(&mut self, id: u32, due: DateTime<Utc>) -> DateTime<Utc> {
        match self.timelines.iter_mut().find(|timeline| timeline.id == id) {
            Some(timeline) => {
                timeline.clock = timeline.clock.max(due);
                timeline.clock
            }
            None => due,
        }
    }

    /// The time of a timeline.
    pub(crate) fn at(&self, id: u32) -> Option<DateTime<Utc>> {
        self.timelines.iter().find(|timeline| timeline.id == id).map(|timeline| timeline.clock)
    }

    /// The timeline that stands latest, and its time: a late record of last week does not take the city back.
    pub(crate) fn latest(&self) -> Option<(u32, DateTime<Utc>)> {
        self.timelines.iter().max_by_key(|timeline| (timeline.clock, timeline.id)).map(|timeline| (timeline.id, timeline.clock))
    }

    /// Where the source's stream stands, else where the city does.
    fn standing(&self, source: &str) -> Option<(u32, DateTime<Utc>)> {
        let own = self.sources.get(source).and_then(|id| self.at(*id).map(|clock| (*id, clock)));
        own.or_else(|| self.latest())
    }

    fn nearest(&self, time: DateTime<Utc>) -> Option<u32> {
        let near = self.timelines.iter().filter(|timeline| (timeline.clock - time).abs() <= TIMELINE_SPAN);
        near.min_by_key(|timeline| ((timeline.clock - time).abs(), timeline.id)).map(|timeline| timeline.id)
    }

    /// The timeline on which the source was, when the new record goes on from there.
    fn own(&self, source: &str, time: DateTime<Utc>) -> Option<u32> {
        let id = *self.sources.get(source)?;
        self.timelines.iter().find(|timeline| timeline.id == id && timeline.clock <= time).map(|timeline| timeline.id)
    }

    fn make(&mut self, time: DateTime<Utc>, seq: u64) -> u32 {
        if self.timelines.len() >= TIMELINES_MAX {
            let oldest = self.timelines.iter().enumerate().min_by_key(|(_, timeline)| timeline.touched).map(|(index, _)| index);
            self.timelines.remove(oldest.expect("there are some"));
        }
        let id = self.made;
        self.made += 1;
        self.timelines.push(Timeline { id, clock: time, touched: seq });
        id
    }
}

/// Times beyond the calendar of people are cut to it, so that arithmetic on them has room.
pub(crate) fn believable(time: DateTime<Utc>) -> DateTime<Utc> {
    let from = DateTime::from_timestamp(-62_135_596_800, 0).expect("the year 1");
    let to = DateTime::from_timestamp(221_845_132_800, 0).expect("the year 9000");
    time.clamp(from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(n: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(n)
    }

    #[test]
    fn without_a_time_a_record_happens_where_its_stream_stands() {
        let mut clocks = Clocks::default();
        assert_eq!(clocks.observe(0, "a", Some(hour(500_000))), (0, hour(500_000)));
        assert_eq!(clocks.observe(1, "b", Some(hour(300_000))), (1, hour(300_000)));
        assert_eq!(clocks.observe(2, "a", None), (0, hour(500_000)));
        assert_eq!(clocks.observe(3, "b", None), (1, hour(300_000)));
        assert_eq!(clocks.latest(), Some((0, hour(500_000))), "an import of other years does not take the city back");
        assert_eq!(clocks.observe(4, "new", None), (0, hour(500_000)), "who never told the time follows the city");
    }

    #[test]
    fn before_anything_was_heard_it_is_1970() {
        let mut clocks = Clocks::default();
        assert_eq!(clocks.latest(), None);
        assert_eq!(clocks.observe(0, "a", None), (0, DateTime::UNIX_EPOCH));
        assert_eq!(clocks.observe(1, "a", Some(hour(500_000))), (0, hour(500_000)), "the first time that it tells sets its clock");
        assert_eq!(clocks.observe(2, "a", Some(hour(499_999))), (0, hour(500_000)), "and no clock goes back");
    }
}
