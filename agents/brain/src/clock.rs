//! City time. It comes from records only, and it never goes back.
//!
//! Streams may stand at different times: a city lives while somebody imports its last ten years. Each record belongs to
//! a *timeline*: the nearest within three days, else the one its source was on, else a new one. Windows, deadlines and
//! alerts belong to their timeline, so that the year 2011 neither delays nor disturbs today.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::limits::{AHEAD_MAX, LIVE_WITHIN, SOURCES_MAX, TIMELINE_SPAN, TIMELINES_MAX};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Timeline {
    id: u32,
    // Invariant: never decreases.
    clock: DateTime<Utc>,
    live: bool,
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
    pub(crate) fn observe(&mut self, seq: u64, source: &str, claimed: DateTime<Utc>, log_time: DateTime<Utc>) -> (u32, DateTime<Utc>) {
        // A clock that runs ahead would take everybody else with it.
        let time = if claimed > log_time + AHEAD_MAX { log_time } else { claimed };
        let id = self.nearest(time).or_else(|| self.own(source, time)).unwrap_or_else(|| self.make(time, seq));
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(source) {
            self.sources.clear();
        }
        if self.sources.get(source) != Some(&id) {
            self.sources.insert(source.to_owned(), id);
        }
        let timeline = self.timelines.iter_mut().find(|timeline| timeline.id == id).expect("just found or made");
        timeline.clock = timeline.clock.max(time);
        timeline.live = (log_time - time).abs() <= LIVE_WITHIN;
        timeline.touched = seq;
        (id, timeline.clock)
    }

    /// Moves the live timelines to the log's time; gives those that moved.
    pub(crate) fn tick(&mut self, log_time: DateTime<Utc>) -> Vec<(u32, DateTime<Utc>)> {
        let mut moved = Vec::new();
        for timeline in self.timelines.iter_mut().filter(|timeline| timeline.live && timeline.clock < log_time) {
            timeline.clock = log_time;
            moved.push((timeline.id, log_time));
        }
        moved
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

    /// The time of the timeline that was touched last.
    pub(crate) fn latest(&self) -> Option<DateTime<Utc>> {
        self.timelines.iter().max_by_key(|timeline| (timeline.touched, timeline.id)).map(|timeline| timeline.clock)
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
        self.timelines.push(Timeline { id, clock: time, live: false, touched: seq });
        id
    }
}
