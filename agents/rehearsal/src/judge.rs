//! Holds what a brain made of a rehearsal against what is true, with a baseline beside each figure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use graph::Graph;
use serde::Serialize;

use crate::drive::{AlertSeen, Item, Outcome, after};
use crate::limits;
use crate::play::moment;
use crate::script::{Incident, Script};

/// The baseline takes what is of one scenario in one district for one incident until nothing has come for so long.
const BASELINE_GAP: TimeDelta = TimeDelta::hours(6);
/// How many next events may be named.
const TOP: usize = 3;
/// Minutes of a device-month.
const MONTH_MINUTES: f64 = 30.0 * 24.0 * 60.0;

/// So many of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// How many are right.
    pub right: u64,
    /// Of how many.
    pub of: u64,
}

impl Share {
    /// From 0 to 1; nothing of nothing.
    pub fn value(self) -> Option<f64> {
        (self.of > 0).then(|| self.right as f64 / self.of as f64)
    }

    fn count(&mut self, right: bool) {
        self.right += u64::from(right);
        self.of += 1;
    }

    fn add(&mut self, other: Share) {
        self.right += other.right;
        self.of += other.of;
    }
}

/// Sums over rehearsals, of the brain or of the baseline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Pairs that were put together, and how many of them belong together.
    pub together: Share,
    /// Pairs that belong together, and how many of them were put together.
    pub belonging: Share,
    /// Events after the first of their incident, and how many of them were among the three that were expected.
    pub next: Share,
    /// True incidents, and how many of them had an alert.
    pub detected: Share,
    /// Alerts about nothing.
    pub false_alarms: u64,
    /// Devices times minutes.
    pub device_minutes: u64,
    /// True incidents, and how many of them had the right level in the end.
    pub grade: Share,
    /// Events with a weak sign, and how many of them were announced half an hour before.
    pub announced: Share,
    /// Minutes from the announcement to the event.
    pub announced_minutes: Vec<i64>,
    /// Forecasts that are over, and how many of them came true.
    pub forecasts: Share,
    /// Minutes that those were ahead.
    pub forecast_minutes: Vec<i64>,
}

impl Tally {
    /// Adds what another rehearsal gave.
    pub fn add(&mut self, other: &Tally) {
        self.together.add(other.together);
        self.belonging.add(other.belonging);
        self.next.add(other.next);
        self.detected.add(other.detected);
        self.false_alarms += other.false_alarms;
        self.device_minutes += other.device_minutes;
        self.grade.add(other.grade);
        self.announced.add(other.announced);
        self.announced_minutes.extend(&other.announced_minutes);
        self.forecasts.add(other.forecasts);
        self.forecast_minutes.extend(&other.forecast_minutes);
    }

    /// The harmonic mean of precision and recall of pairs.
    pub fn f1(&self) -> Option<f64> {
        let both = self.together.of + self.belonging.of;
        (both > 0).then(|| (self.together.right + self.belonging.right) as f64 / both as f64)
    }

    /// False alarms in a month of one device.
    pub fn false_alarms_per_device_month(&self) -> Option<f64> {
        (self.device_minutes > 0).then(|| self.false_alarms as f64 * MONTH_MINUTES / self.device_minutes as f64)
    }
}

/// A figure with its baseline and its aim.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What it is called in JSON.
    pub key: &'static str,
    /// 中文.
    pub zh: &'static str,
    /// English.
    pub en: &'static str,
    /// The brain's.
    pub value: Option<f64>,
    /// The baseline's.
    pub baseline: Option<f64>,
    /// What is aimed at, at least or at most.
    pub aim: Option<Aim>,
}

/// What is aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Figure {
    /// Whether the aim is met; what there was nothing of misses no aim.
    pub fn is_met(&self) -> bool {
        match (self.value, self.aim) {
            (Some(value), Some(Aim::AtLeast(aim))) => value >= aim,
            (Some(value), Some(Aim::AtMost(aim))) => value <= aim,
            (None, _) | (_, None) => true,
        }
    }
}

/// The figures of the brain beside those of the baseline.
pub fn figures(ours: &Tally, baseline: &Tally) -> Vec<Figure> {
    let figure = |key, (zh, en), of: &dyn Fn(&Tally) -> Option<f64>, aim| Figure { key, zh, en, value: of(ours), baseline: of(baseline), aim };
    let middle = |minutes: &Vec<i64>| median(minutes).map(|minutes| minutes as f64);
    vec![
        figure("pair_precision", ("归组精确率", "grouping, pairwise precision"), &|tally| tally.together.value(), None),
        figure("pair_recall", ("归组召回率", "grouping, pairwise recall"), &|tally| tally.belonging.value(), None),
        figure("pair_f1", ("归组 F1", "grouping, pairwise F1"), &Tally::f1, Some(Aim::AtLeast(0.9))),
        figure("next_event_top3", ("下一事件在前三", "next event among the top three"), &|tally| tally.next.value(), Some(Aim::AtLeast(0.8))),
        figure("detection_recall", ("发现率", "incidents detected"), &|tally| tally.detected.value(), Some(Aim::AtLeast(0.9))),
        figure(
            "false_alarms_per_device_month",
            ("每设备月误报", "false alarms per device-month"),
            &Tally::false_alarms_per_device_month,
            Some(Aim::AtMost(1.0)),
        ),
        figure("grade_accuracy", ("定级正确率", "grade right"), &|tally| tally.grade.value(), Some(Aim::AtLeast(0.9))),
        figure(
            "precursors_announced",
            ("弱先兆提前 30 分钟以上", "weak signs announced 30 min before"),
            &|tally| tally.announced.value(),
            Some(Aim::AtLeast(0.7)),
        ),
        figure("precursor_lead_minutes", ("其提前量中位数（分钟）", "median lead of those, minutes"), &|tally| middle(&tally.announced_minutes), None),
        figure("forecasts_came_true", ("预报兑现率", "forecasts that came true"), &|tally| tally.forecasts.value(), None),
        figure("forecast_lead_minutes", ("其提前量中位数（分钟）", "median lead of those, minutes"), &|tally| middle(&tally.forecast_minutes), None),
    ]
}

fn median(minutes: &[i64]) -> Option<i64> {
    let mut minutes = minutes.to_vec();
    minutes.sort_unstable();
    minutes.get(minutes.len() / 2).copied()
}

/// What went wrong in a rehearsal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Note {
    /// Cases and alerts of two events belong together and are apart.
    Apart {
        /// The events.
        events: (String, String),
        /// How many pairs.
        pairs: u64,
        /// One of them, each with its incident.
        example: String,
    },
    /// Cases and alerts of two events are together and do not belong together.
    Together {
        /// The events; none is usual life, or a sensor that lied.
        events: (Option<String>, Option<String>),
        /// How many pairs.
        pairs: u64,
        /// One of them, with their incident.
        example: String,
    },
    /// An event was not among those that were expected.
    Unexpected {
        /// The event.
        event: String,
        /// Its type.
        kind_of_event: String,
        /// The incident that the brain had by then.
        incident: Option<String>,
        /// What it expected.
        expected: Vec<String>,
    },
    /// A true incident without an alert.
    Undetected {
        /// The incident.
        incident: String,
    },
    /// An alert about nothing.
    FalseAlarm {
        /// The alert.
        alert: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// A true incident of another level.
    Grade {
        /// The incident.
        incident: String,
        /// Its true level.
        level: u8,
        /// What the brain's incident has, if it has one.
        found: Option<u8>,
    },
    /// An event whose signs nobody told in time.
    Unannounced {
        /// The event.
        event: String,
        /// Minutes from the first alert about it or its signs to the event, if there was one.
        minutes: Option<i64>,
    },
}

/// Judges a rehearsal: the brain's tally, the baseline's, and what the brain got wrong.
pub fn judge(graph: &Graph, script: &Script, outcome: &Outcome) -> (Tally, Tally, Vec<Note>) {
    let mut notes = Vec::new();
    let device_minutes = script.device_minutes() as u64;
    let (mut ours, mut baseline) = (Tally { device_minutes, ..Tally::default() }, Tally { device_minutes, ..Tally::default() });
    let groups: Vec<Option<String>> = outcome.items.iter().map(|item| item.incident.clone()).collect();
    let by_threshold = episodes(&outcome.items);
    (ours.together, ours.belonging) = pairs(script, &outcome.items, &groups, &mut notes);
    (baseline.together, baseline.belonging) = pairs(script, &outcome.items, &by_threshold, &mut Vec::new());
    let usual = commonest(graph);
    for (number, incident) in script.truth.incidents.iter().enumerate() {
        next_events(script, outcome, (number, incident), &usual, (&mut ours.next, &mut baseline.next), &mut notes);
        let about = |alert: &&AlertSeen| alert.event.is_some_and(|event| script.incident_of(event) == Some(number));
        ours.detected.count(outcome.alerts.iter().any(|alert| about(&alert)));
        baseline.detected.count(outcome.thresholds.iter().any(|alert| about(&alert)));
        if !outcome.alerts.iter().any(|alert| about(&alert)) {
            notes.push(Note::Undetected { incident: incident.id.clone() });
        }
        let found = held_by(script, outcome, number, None).and_then(|id| outcome.levels.get(&id).copied());
        ours.grade.count(found == Some(incident.level));
        baseline.grade.count(outcome.thresholds.iter().filter(about).map(|alert| alert.level).min() == Some(incident.level));
        if found != Some(incident.level) {
            notes.push(Note::Grade { incident: incident.id.clone(), level: incident.level, found });
        }
    }
    for alert in outcome.alerts.iter().filter(|alert| alert.event.is_none()) {
        notes.push(Note::FalseAlarm { alert: alert.name.clone(), at: alert.at });
    }
    let false_alarms = |alerts: &[AlertSeen]| alerts.iter().filter(|alert| alert.event.is_none()).count() as u64;
    (ours.false_alarms, baseline.false_alarms) = (false_alarms(&outcome.alerts), false_alarms(&outcome.thresholds));
    let announced: BTreeSet<&String> = script.truth.precursors.iter().map(|precursor| &precursor.announces).collect();
    for main in announced {
        let lead = lead_minutes(script, &outcome.alerts, main);
        announce(&mut ours, lead);
        announce(&mut baseline, lead_minutes(script, &outcome.thresholds, main));
        if lead.is_none_or(|minutes| minutes < limits::LEAD_MINUTES_MIN) {
            notes.push(Note::Unannounced { event: main.clone(), minutes: lead });
        }
    }
    for forecast in &outcome.forecasts {
        ours.forecasts.count(forecast.is_some());
        ours.forecast_minutes.extend(forecast.map(|seconds| seconds / 60));
    }
    (ours, baseline, notes)
}

/// What an item belongs to: a true incident, something that happened apart from all, or nothing that anything shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belongs {
    Incident(usize),
    Background(usize),
    Nothing,
}

fn belongs(script: &Script, item: &Item) -> Belongs {
    match item.event.map(|event| (event, script.incident_of(event))) {
        Some((_, Some(incident))) => Belongs::Incident(incident),
        Some((event, None)) => Belongs::Background(event),
        None => Belongs::Nothing,
    }
}

/// Precision and recall of pairs of cases and alerts.
fn pairs(script: &Script, items: &[Item], groups: &[Option<String>], notes: &mut Vec<Note>) -> (Share, Share) {
    let (mut together, mut belonging) = (Share::default(), Share::default());
    let mut apart: BTreeMap<(String, String), (u64, String)> = BTreeMap::new();
    let mut wrong: BTreeMap<(Option<String>, Option<String>), (u64, String)> = BTreeMap::new();
    let name = |item: &Item| item.event.map(|event| script.events[event].id.clone());
    for (index, one) in items.iter().enumerate() {
        for (other, (group, other_group)) in items[index + 1..].iter().zip(groups[index + 1..].iter().map(|group| (&groups[index], group))) {
            let put = group.is_some() && group == other_group;
            let example = || format!("{} ({}) {} ({})", one.id, group.as_deref().unwrap_or("-"), other.id, other_group.as_deref().unwrap_or("-"));
            let belong = match (belongs(script, one), belongs(script, other)) {
                (Belongs::Incident(one), Belongs::Incident(other)) => one == other,
                // Whether neighbours with the same complaint are one incident is a matter of taste.
                (Belongs::Background(one), Belongs::Background(other)) if one == other => continue,
                _ => false,
            };
            if put {
                together.count(belong);
            }
            if belong {
                belonging.count(put);
            }
            if belong && !put {
                let key = ordered(name(one).unwrap_or_default(), name(other).unwrap_or_default());
                apart.entry(key).or_insert_with(|| (0, example())).0 += 1;
            }
            if put && !belong {
                wrong.entry(ordered(name(one), name(other))).or_insert_with(|| (0, example())).0 += 1;
            }
        }
    }
    notes.extend(apart.into_iter().map(|(events, (pairs, example))| Note::Apart { events, pairs, example }));
    notes.extend(wrong.into_iter().map(|(events, (pairs, example))| Note::Together { events, pairs, example }));
    (together, belonging)
}

fn ordered<T: Ord>(one: T, other: T) -> (T, T) {
    if one <= other { (one, other) } else { (other, one) }
}

/// The baseline's groups: one scenario, one district, no gap of six hours.
fn episodes(items: &[Item]) -> Vec<Option<String>> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.sort_by_key(|number| items[*number].at);
    let mut last: BTreeMap<(&str, Option<&str>), (DateTime<Utc>, usize)> = BTreeMap::new();
    let mut groups = vec![None; items.len()];
    for number in order {
        let item = &items[number];
        let key = (item.scenario.as_str(), item.district.as_deref());
        let group = match last.get(&key) {
            Some((at, group)) if item.at - *at <= BASELINE_GAP => *group,
            _ => number,
        };
        last.insert(key, (item.at, group));
        groups[number] = Some(group.to_string());
    }
    groups
}

/// The three events that the graph has follow most often, whatever happens.
fn commonest(graph: &Graph) -> Vec<String> {
    let mut weights: BTreeMap<&str, u32> = BTreeMap::new();
    for entry in graph.entries() {
        if let graph::Element::Leads(leads) = &entry.element {
            *weights.entry(&leads.effect).or_default() += leads.permille;
        }
    }
    let mut events: Vec<(&str, u32)> = weights.into_iter().collect();
    events.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    events.into_iter().take(TOP).map(|(event, _)| event.to_owned()).collect()
}

/// Whether each event of an incident after the first was among those that the brain's incident expected before it happened.
fn next_events(
    script: &Script,
    outcome: &Outcome,
    (number, incident): (usize, &Incident),
    usual: &[String],
    (ours, baseline): (&mut Share, &mut Share),
    notes: &mut Vec<Note>,
) {
    let mut events: Vec<_> = incident.events.iter().map(|id| &script.events[script.event(id)]).collect();
    events.sort_by_key(|event| event.at_min);
    for event in events.into_iter().skip(1) {
        let kind = event.event.as_deref().unwrap_or_default();
        let at = moment(script, event.at_min * 60);
        let held = held_by(script, outcome, number, Some(at));
        let expected = held.as_deref().map(|id| expected(outcome, id, at)).unwrap_or_default();
        let right = expected.iter().any(|expected| expected == kind);
        ours.count(right);
        baseline.count(usual.iter().any(|usual| usual == kind));
        if !right {
            notes.push(Note::Unexpected { event: event.id.clone(), kind_of_event: kind.to_owned(), incident: held, expected });
        }
    }
}

/// The brain's incident that holds most of what is known of a true one, before a moment or in the end.
fn held_by(script: &Script, outcome: &Outcome, number: usize, before: Option<DateTime<Utc>>) -> Option<String> {
    let is_before = |at: &DateTime<Utc>| before.is_none_or(|before| *at < before);
    let merges: BTreeMap<&str, &str> =
        outcome.merges.iter().filter(|(at, ..)| is_before(at)).map(|(_, from, into)| (from.as_str(), into.as_str())).collect();
    let mut member: BTreeMap<&str, &str> = BTreeMap::new();
    for (_, id, incident) in outcome.memberships.iter().filter(|(at, ..)| is_before(at)) {
        member.insert(id, incident);
    }
    let mut votes: BTreeMap<String, usize> = BTreeMap::new();
    for item in outcome.items.iter().filter(|item| belongs(script, item) == Belongs::Incident(number)) {
        if let Some(incident) = member.get(item.id.as_str()).filter(|incident| !incident.is_empty()) {
            *votes.entry(after(&merges, incident)).or_default() += 1;
        }
    }
    votes.into_iter().max_by(|one, other| one.1.cmp(&other.1).then_with(|| other.0.cmp(&one.0))).map(|(incident, _)| incident)
}

/// The first three kinds of events that an incident expected last before a moment.
fn expected(outcome: &Outcome, incident: &str, before: DateTime<Utc>) -> Vec<String> {
    let last = outcome.expectations.iter().rev().find(|(at, id, _)| *at < before && id == incident);
    let mut kinds: Vec<String> = Vec::new();
    for kind in last.into_iter().flat_map(|(_, _, events)| events) {
        if kinds.len() < TOP && !kinds.contains(kind) {
            kinds.push(kind.clone());
        }
    }
    kinds
}

/// Minutes from the first alert about an event or its signs to the event; below zero when it came after.
fn lead_minutes(script: &Script, alerts: &[AlertSeen], main: &str) -> Option<i64> {
    let signs = script.truth.precursors.iter().filter(|precursor| precursor.announces == main).map(|precursor| script.event(&precursor.event));
    let about: Vec<usize> = signs.chain([script.event(main)]).collect();
    let first = alerts.iter().filter(|alert| alert.event.is_some_and(|event| about.contains(&event))).map(|alert| alert.at).min()?;
    Some((moment(script, script.events[script.event(main)].at_min * 60) - first).num_minutes())
}

fn announce(tally: &mut Tally, lead: Option<i64>) {
    let in_time = lead.filter(|minutes| *minutes >= limits::LEAD_MINUTES_MIN);
    tally.announced.count(in_time.is_some());
    tally.announced_minutes.extend(in_time);
}
