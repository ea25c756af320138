//! Surges: when more people report something than usual, the reports themselves are the sensor.
//!
//! For each scenario the reports of the last window are counted by event time. The threshold is the larger of the
//! graph's count and what chance would give on top of this city's usual rate (mean and six standard deviations of a
//! Poisson count; the usual rate is a slow average over four weeks that storms hardly move). The reports must come from
//! several districts where the graph asks for it, and what the city's own staff enters does not count.
//!
//! The numbers were chosen on seven years of flooding reports of a real city (13,876, of which 9,700 from citizens):
//! with 14 reports in two hours from three districts the alert of the hurricane of August 2017 rises at 08:57 local time,
//! twelve hours before the worst, and its level rises at 21:33 with the second wave; the floods of May 2015 and
//! April 2016 are there, and there are about six alerts a year in all, most of them days of heavy rain.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use schemas::alert::{Area, Headline, Status};

use crate::alerts::{Finding, alert_key};
use crate::limits;
use crate::state::{Report, State, Surge, Turn};

/// Usual reports in an hour that are assumed at least, in millionths.
const USUAL_MICRO_MIN: u64 = 100_000;
/// Hours over which the usual rate is averaged: four weeks.
const USUAL_HOURS: i64 = 28 * 24;
/// One hour moves the usual rate at most as if it had this many times the usual reports.
const USUAL_TIMES_MAX: u64 = 4;
/// Hours without reports after which the usual rate is at its least anyway.
const IDLE_HOURS_MAX: i64 = 10_000;

/// From this share of the reports on, in thousandths, a surge belongs to one district.
const LOCAL_PERMILLE: usize = 750;

/// What a surge's alert calls its originator and hazard.
pub(crate) const ORIGINATOR: &str = "city";
pub(crate) const HAZARD: &str = "reports";

/// Reports of citizens are always meant: no exercise makes them.
fn key(timeline: u32, scenario: &str) -> String {
    alert_key(timeline, Status::Actual, scenario, ORIGINATOR, HAZARD)
}

fn surge_key(timeline: u32, scenario: &str) -> String {
    format!("{timeline}/{scenario}")
}

fn hour_timer(timeline: u32, scenario: &str) -> String {
    format!("surge/{timeline}/{scenario}")
}

impl State {
    /// Counts a report, and raises or worsens the alert when there are too many.
    pub(crate) fn count_report(&mut self, turn: &mut Turn<'_>, scenario: &str, report: Report) {
        let Some(rule) = turn.graph.scenario(scenario).and_then(|scenario| scenario.surge) else { return };
        let active = self.active.get(&key(turn.timeline, scenario)).cloned();
        let surge = self.surges.entry(surge_key(turn.timeline, scenario)).or_insert_with(|| Surge {
            usual_micro: USUAL_MICRO_MIN,
            hour: hour_of(turn.at),
            ..Surge::default()
        });
        let threshold = threshold(rule, surge.usual_micro);
        roll(surge, hour_of(turn.at), active.is_some(), threshold);
        surge.hour_count += 1;
        let source = report.source.clone();
        insert(surge, report);
        let window = TimeDelta::minutes(i64::from(rule.window_minutes));
        forget_before(surge, turn.at - window);
        if let Some(id) = &active {
            self.support(id, source.into_iter().collect());
        }
        let surge = &self.surges[&surge_key(turn.timeline, scenario)];
        let Some(level) = level(surge, rule, threshold, turn.at) else { return };
        match active.as_ref().map(|id| &self.alerts[id]) {
            // A surge keeps its worst level until it is over: it is not measured, people tell of it.
            Some(alert) if alert.level <= level => {
                if alert.pending.len() >= limits::EVIDENCE_PENDING_MAX {
                    let id = alert.id.clone();
                    self.change(turn, &id, "updated", "more reports of the same");
                }
            }
            Some(_) => {
                let mut finding = describe(turn, scenario, surge, level, window, threshold);
                // Each report was named, or is waiting to be, since it came.
                finding.evidence.clear();
                self.raise(turn, finding);
            }
            None => {
                let finding = describe(turn, scenario, surge, level, window, threshold);
                let adopted: Vec<u64> = surge.reports.iter().map(|report| report.case).collect();
                self.raise(turn, finding);
                self.adopt(turn, scenario, &adopted);
                self.wake_at(turn, hour_timer(turn.timeline, scenario), turn.at + TimeDelta::hours(1));
            }
        }
    }

    /// The reports that made the alert belong to its incident.
    fn adopt(&mut self, turn: &mut Turn<'_>, scenario: &str, cases: &[u64]) {
        let incident = self.active.get(&key(turn.timeline, scenario)).and_then(|id| self.alerts.get(id)).and_then(|alert| alert.incident.clone());
        let Some(incident) = incident else { return };
        for case in cases {
            self.adopt_case(turn, *case, &incident, "one of the reports that raised the alert");
        }
    }

    /// An hour has passed since a surge began or was last looked at.
    pub(crate) fn surge_hour(&mut self, turn: &mut Turn<'_>, scenario: &str) {
        let Some(id) = self.active.get(&key(turn.timeline, scenario)).cloned() else { return };
        let Some(rule) = turn.graph.scenario(scenario).and_then(|scenario| scenario.surge) else { return };
        let Some(surge) = self.surges.get_mut(&surge_key(turn.timeline, scenario)) else { return };
        let threshold = threshold(rule, surge.usual_micro);
        forget_before(surge, turn.at - TimeDelta::minutes(i64::from(rule.window_minutes)));
        roll(surge, hour_of(turn.at), true, threshold);
        if surge.quiet_hours >= limits::SURGE_QUIET_HOURS {
            surge.quiet_hours = 0;
            let reason = format!("hardly a report in each of the last {} hours", limits::SURGE_QUIET_HOURS);
            self.clear(turn, &id, "cleared", &reason);
        } else {
            self.wake_at(turn, hour_timer(turn.timeline, scenario), turn.at + TimeDelta::hours(1));
        }
    }
}

fn hour_of(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(3600)
}

/// From how many reports in the window on it is no chance any more.
fn threshold(rule: graph::Surge, usual_micro: u64) -> u64 {
    let expected_micro = usual_micro * u64::from(rule.window_minutes) / 60;
    // The square root of millionths is thousandths.
    let deviation_micro = expected_micro.isqrt() * 1000;
    let by_chance = (expected_micro + 6 * deviation_micro).div_ceil(1_000_000);
    by_chance.max(u64::from(rule.count))
}

/// Closes the hours before `hour`: the usual rate learns from quiet times, and a running surge counts quiet hours.
fn roll(surge: &mut Surge, hour: i64, active: bool, threshold: u64) {
    if hour <= surge.hour {
        return;
    }
    let idle = (hour - surge.hour).min(IDLE_HOURS_MAX);
    for _ in 0..idle {
        if active {
            let quiet = surge.hour_count * 3 < threshold;
            surge.quiet_hours = if quiet { surge.quiet_hours + 1 } else { 0 };
        } else {
            surge.quiet_hours = 0;
            surge.usual_micro = learn(surge.usual_micro, surge.hour_count);
            if surge.usual_micro == USUAL_MICRO_MIN && surge.hour_count == 0 {
                break;
            }
        }
        surge.hour_count = 0;
    }
    surge.hour_count = 0;
    surge.hour = hour;
}

fn learn(usual_micro: u64, count: u64) -> u64 {
    let seen = count.saturating_mul(1_000_000).min(usual_micro * USUAL_TIMES_MAX);
    let moved = usual_micro as i64 + (seen as i64 - usual_micro as i64) / USUAL_HOURS;
    (moved as u64).max(USUAL_MICRO_MIN)
}

/// Reports come nearly in order; a late one goes to its place.
fn insert(surge: &mut Surge, report: Report) {
    let at = surge.reports.iter().rposition(|known| known.time <= report.time).map_or(0, |index| index + 1);
    surge.reports.insert(at, report);
    if surge.reports.len() > limits::SURGE_REPORTS_MAX {
        surge.reports.pop_front();
    }
}

fn forget_before(surge: &mut Surge, time: DateTime<Utc>) {
    while surge.reports.front().is_some_and(|report| report.time <= time) {
        surge.reports.pop_front();
    }
}

/// The level that the window stands for: 3 from the threshold on; 2 and 1 when it comes thick and fast.
fn level(surge: &Surge, rule: graph::Surge, threshold: u64, now: DateTime<Utc>) -> Option<u8> {
    let count = surge.reports.len() as u64;
    if count < threshold {
        return None;
    }
    let mut districts: Vec<&Option<String>> = surge.reports.iter().map(|report| &report.district).collect();
    districts.sort_unstable();
    districts.dedup();
    if (districts.len() as u64) < u64::from(rule.spread) {
        return None;
    }
    let hour_ago = now - TimeDelta::hours(1);
    let last_hour = surge.reports.iter().rev().take_while(|report| report.time > hour_ago).count() as u64;
    Some(match () {
        () if last_hour >= 3 * threshold || count >= 6 * threshold => 1,
        () if last_hour >= threshold * 4 / 3 || count >= 3 * threshold => 2,
        () => 3,
    })
}

/// The district where nearly all of it is, if there is one: then the surge is not all over the city.
fn mostly_from(surge: &Surge) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for district in surge.reports.iter().filter_map(|report| report.district.as_deref()) {
        *counts.entry(district).or_default() += 1;
    }
    let (district, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    (count * 1000 >= surge.reports.len() * LOCAL_PERMILLE).then(|| district.to_owned())
}

fn describe(turn: &Turn<'_>, scenario: &str, surge: &Surge, level: u8, window: TimeDelta, threshold: u64) -> Finding {
    let name = turn.graph.scenario(scenario).map(|scenario| scenario.name.clone()).expect("a surge has a scenario");
    let count = surge.reports.len();
    let minutes = window.num_minutes();
    let usual_milli = (surge.usual_micro * minutes as u64 / 60 / 1000) as i64;
    let usual = crate::alerts::milli(usual_milli);
    let district = mostly_from(surge);
    let mut area = Area { name: district.clone().unwrap_or_else(|| turn.graph.city_name().zh.clone()), bounds: None };
    for point in surge.reports.iter().filter_map(|report| report.point) {
        area.widen(point);
    }
    Finding {
        scenario: scenario.to_owned(),
        originator: ORIGINATOR.to_owned(),
        hazard: HAZARD.to_owned(),
        level,
        headline: Headline {
            zh: format!("{}：{minutes}分钟内{count}起报告（平时约{usual}起）", name.zh),
            en: format!("{}: {count} reports in {minutes} minutes (usual: {usual})", name.en),
        },
        area,
        district,
        status: Status::Actual,
        exercise: None,
        alone: false,
        value_milli: Some(count as i64 * 1000),
        threshold_milli: Some(threshold as i64 * 1000),
        onset: surge.reports.front().map_or(turn.at, |report| report.time),
        reason: format!("{count} reports in {minutes} minutes against a threshold of {threshold}; usual is {usual}"),
        evidence: surge.reports.iter().filter_map(|report| report.source.clone()).collect(),
    }
}
