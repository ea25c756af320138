//! The script of a rehearsal: a YAML file with places, sensors, timed events, and the truth about them.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, FixedOffset};
use graph::{Graph, Here};
use schemas::alert::Point;
use schemas::signal::MicroDeg;
use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::limits;

/// What is wrong with a script, line by line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ScriptError {
    /// The file, as it was named.
    pub file: String,
    /// Each problem: its line (from 1; 0 when the whole file is meant), and what is wrong there.
    pub problems: Vec<(usize, String)>,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (line, problem)) in self.problems.iter().enumerate() {
            let end = if index + 1 < self.problems.len() { "\n" } else { "" };
            write!(f, "{}:{line}: {problem}{end}", self.file)?;
        }
        Ok(())
    }
}

/// A rehearsal: what happens, how it shows, and what is true about it. All times are minutes after its start.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// What it is called.
    pub name: String,
    /// The scenario that it is about, for the breakdown.
    pub scenario: Option<String>,
    /// When it begins.
    pub start: DateTime<FixedOffset>,
    /// How long it lasts.
    pub minutes: i64,
    /// Minutes of usual life before it begins.
    pub quiet_minutes: i64,
    /// Ordinary calls and orders in each hour, which belong to nothing.
    pub ordinary_per_hour: u32,
    /// Where things are.
    pub places: Vec<Place>,
    /// What measures.
    pub sensors: Vec<Sensor>,
    /// What happens.
    pub events: Vec<Event>,
    /// What is true about it.
    pub truth: Truth,
}

/// A place of a script.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Its id.
    pub id: String,
    /// The district of the graph that it lies in, by id or name.
    pub district: String,
    /// Latitude and longitude.
    #[serde(deserialize_with = "lat_lon")]
    pub at: Point,
    /// The street that callers name; they add a number. Without it they name no address.
    #[serde(default)]
    pub address: Option<String>,
}

/// A sensor.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sensor {
    /// Its id: the station's name.
    pub id: String,
    /// What it measures, such as `water_level`.
    pub property: String,
    /// In which unit.
    pub unit: String,
    /// Where it stands.
    pub place: String,
    /// Seconds between two readings.
    #[serde(default = "a_minute")]
    pub every_s: u32,
    /// What it measures when nothing happens.
    #[serde(default)]
    pub base: f64,
    /// How far readings scatter around what is there; a third of it is usual.
    #[serde(default)]
    pub noise: f64,
    /// When it does not tell the truth.
    #[serde(default)]
    pub faults: Vec<Fault>,
}

/// A time in which a sensor fails.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// How.
    pub kind: FaultKind,
    /// From when; without it from the beginning of the quiet time.
    #[serde(default)]
    pub from_min: Option<i64>,
    /// Until when; without it until the end.
    #[serde(default)]
    pub until_min: Option<i64>,
    /// The value that it lies, or is stuck at; without it a lying one is far beyond what it ever measures.
    #[serde(default)]
    pub value: Option<f64>,
    /// Minutes between two lies; without it now and then a single one.
    #[serde(default)]
    pub every_min: Option<u32>,
}

/// How a sensor fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// It says nothing.
    #[serde(alias = "missing")]
    Silent,
    /// It repeats one value.
    Stuck,
    /// Single readings are wild.
    Lying,
}

/// Something that happens, and how it shows.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Its id.
    pub id: String,
    /// The event type of the graph. What only announces an event, or belongs to nothing, needs none.
    #[serde(default)]
    pub event: Option<String>,
    /// Where.
    pub place: String,
    /// When it happens.
    pub at_min: i64,
    /// When it is over; without it an hour later.
    #[serde(default)]
    pub until_min: Option<i64>,
    /// What sensors measure of it.
    #[serde(default)]
    pub sensors: Vec<Curve>,
    /// What people call about.
    #[serde(default)]
    pub calls: Vec<Told>,
    /// Work orders that other systems open about it.
    #[serde(default)]
    pub orders: Vec<Told>,
}

/// What a sensor measures of an event: from its base to a peak, which stays, and back.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curve {
    /// The sensor.
    pub sensor: String,
    /// The value at its worst. Of several events at one sensor the one that is furthest from its base counts.
    pub peak: f64,
    /// Minutes after the event's beginning until it shows here.
    #[serde(default)]
    pub after_min: i64,
    /// Minutes until the peak.
    #[serde(default = "ten")]
    pub rise_min: i64,
    /// Minutes at the peak; without it until the event is over.
    #[serde(default)]
    pub hold_min: Option<i64>,
    /// Minutes back to the base.
    #[serde(default = "thirty")]
    pub fall_min: i64,
}

/// Calls or work orders about an event.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// How many.
    pub count: u32,
    /// Minutes after the event's beginning until the first.
    #[serde(default = "three")]
    pub after_min: i64,
    /// Minutes over which they come; without it until the event is over.
    #[serde(default)]
    pub over_min: Option<i64>,
    /// What is said, in Chinese; `{place}` stands for the address. One is chosen each time.
    #[serde(default)]
    pub zh: Vec<String>,
    /// What is said, in English.
    #[serde(default)]
    pub en: Vec<String>,
    /// What the call taker chose, or the type of the work order in the words of the other system.
    #[serde(default)]
    pub category: Option<String>,
    /// Where they come from; without it from the event's place.
    #[serde(default)]
    pub place: Option<String>,
    /// How far around it they scatter, in metres.
    #[serde(default = "eighty")]
    pub scatter_m: u32,
}

/// What is true.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Truth {
    /// What belongs together.
    pub incidents: Vec<Incident>,
    /// What announces an event.
    pub precursors: Vec<Precursor>,
    /// Events that belong to nothing.
    pub background: Vec<String>,
}

/// Events that belong together.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    /// Its id.
    pub id: String,
    /// How grave it is at its worst, from 1 (Ⅰ) to 4 (Ⅳ).
    pub level: u8,
    /// Its events.
    pub events: Vec<String>,
    /// What brought about what.
    #[serde(default)]
    pub causes: Vec<(String, String)>,
}

/// An event that is no more than a weak sign of another.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Precursor {
    /// The sign.
    pub event: String,
    /// What it announces.
    pub announces: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    scenario: Option<Spanned<String>>,
    start: Spanned<String>,
    minutes: Spanned<i64>,
    #[serde(default = "half_a_day")]
    quiet_minutes: i64,
    #[serde(default = "four")]
    ordinary_per_hour: u32,
    places: Vec<Spanned<Place>>,
    #[serde(default)]
    sensors: Vec<Spanned<Sensor>>,
    #[serde(default)]
    events: Vec<Spanned<Event>>,
    #[serde(default)]
    truth: TruthSection,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TruthSection {
    incidents: Vec<Spanned<Incident>>,
    precursors: Vec<Spanned<Precursor>>,
    background: Vec<Spanned<String>>,
}

fn a_minute() -> u32 {
    60
}

fn three() -> i64 {
    3
}

fn four() -> u32 {
    4
}

fn ten() -> i64 {
    10
}

fn thirty() -> i64 {
    30
}

fn eighty() -> u32 {
    80
}

fn half_a_day() -> i64 {
    720
}

fn lat_lon<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Point, D::Error> {
    let [lat, lon] = <[f64; 2]>::deserialize(deserializer)?;
    let point = MicroDeg::from_degrees(lat).filter(|lat| lat.is_latitude()).zip(MicroDeg::from_degrees(lon));
    let (lat, lon) = point.ok_or_else(|| serde::de::Error::custom(format!("[{lat}, {lon}] is no latitude and longitude")))?;
    Ok(Point { lon, lat })
}

impl Script {
    /// Reads a script for the city of `graph`; `file` is how messages name it.
    ///
    /// # Errors
    /// Everything that is wrong with it, with its line.
    pub fn read(file: &str, text: &str, graph: &Graph) -> Result<Script, ScriptError> {
        let error = |problems| ScriptError { file: file.to_owned(), problems };
        let read: File = serde_saphyr::from_str(text).map_err(|wrong| {
            let line = wrong.location().map_or(0, |location| location.line() as usize);
            error(vec![(line, wrong.without_snippet().to_string().lines().next().unwrap_or_default().to_owned())])
        })?;
        let mut problems = check(&read, graph);
        let start = DateTime::parse_from_rfc3339(&read.start.value);
        if let Err(wrong) = &start {
            problems.push((line_of(&read.start), format!("`{}` is no time such as 2026-07-18T14:00:00+08:00: {wrong}", read.start.value)));
        }
        let (Ok(start), true) = (start, problems.is_empty()) else {
            problems.sort();
            return Err(error(problems));
        };
        let TruthSection { incidents, precursors, background } = read.truth;
        Ok(Script {
            name: read.name,
            scenario: read.scenario.map(|scenario| scenario.value),
            start,
            minutes: read.minutes.value,
            quiet_minutes: read.quiet_minutes,
            ordinary_per_hour: read.ordinary_per_hour,
            places: values(read.places),
            sensors: values(read.sensors),
            events: values(read.events),
            truth: Truth { incidents: values(incidents), precursors: values(precursors), background: values(background) },
        })
    }

    /// A place by its id.
    pub fn place(&self, id: &str) -> &Place {
        self.places.iter().find(|place| place.id == id).expect("the reader has checked the places")
    }

    /// The number of an event.
    pub fn event(&self, id: &str) -> usize {
        self.events.iter().position(|event| event.id == id).expect("the reader has checked the events")
    }

    /// The true incident that an event belongs to or announces.
    pub fn incident_of(&self, event: usize) -> Option<usize> {
        let id = &self.events[event].id;
        let announced = self.truth.precursors.iter().find(|precursor| precursor.event == *id).map(|precursor| &precursor.announces);
        let id = announced.unwrap_or(id);
        self.truth.incidents.iter().position(|incident| incident.events.contains(id))
    }

    /// Sensors times minutes.
    pub fn device_minutes(&self) -> i64 {
        self.sensors.len() as i64 * (self.quiet_minutes + self.minutes)
    }
}

impl Event {
    /// When it is over.
    pub fn until_min(&self) -> i64 {
        self.until_min.unwrap_or(self.at_min + 60)
    }
}

fn values<T>(spanned: Vec<Spanned<T>>) -> Vec<T> {
    spanned.into_iter().map(|it| it.value).collect()
}

fn line_of<T>(spanned: &Spanned<T>) -> usize {
    spanned.referenced.line() as usize
}

/// Everything that is wrong with a file that could be read.
fn check(file: &File, graph: &Graph) -> Vec<(usize, String)> {
    let mut problems = Vec::new();
    let mut say = |line: usize, problem: String| problems.push((line, problem));
    if let Some(scenario) = file.scenario.as_ref().filter(|scenario| graph.scenario(&scenario.value).is_none()) {
        say(line_of(scenario), format!("the graph has no scenario `{}`", scenario.value));
    }
    let (minutes, quiet) = (file.minutes.value, file.quiet_minutes);
    if minutes < 1 || quiet < 0 || minutes.saturating_add(quiet) > limits::MINUTES_MAX {
        say(line_of(&file.minutes), format!("minutes and quiet_minutes are together 1 to {}", limits::MINUTES_MAX));
    }
    let mut places = BTreeSet::new();
    for place in &file.places {
        let (line, place) = (line_of(place), &place.value);
        if !places.insert(place.id.as_str()) {
            say(line, format!("place `{}` is there twice", place.id));
        }
        if graph.locate(Here::at(&place.district)).is_none_or(|found| found.kind != "district") {
            say(line, format!("the graph has no district `{}`", place.district));
        }
    }
    let mut sensors = BTreeSet::new();
    for sensor in &file.sensors {
        let (line, sensor) = (line_of(sensor), &sensor.value);
        if !sensors.insert(sensor.id.as_str()) {
            say(line, format!("sensor `{}` is there twice", sensor.id));
        }
        sensor_problems(sensor, &places, graph, minutes + quiet).into_iter().for_each(|problem| say(line, problem));
    }
    let mut events = BTreeSet::new();
    for event in &file.events {
        let (line, event) = (line_of(event), &event.value);
        if !events.insert(event.id.as_str()) {
            say(line, format!("event `{}` is there twice", event.id));
        }
        event_problems(event, &places, &sensors, graph, minutes).into_iter().for_each(|problem| say(line, problem));
    }
    check_truth(file, &mut say);
    problems
}

fn sensor_problems(sensor: &Sensor, places: &BTreeSet<&str>, graph: &Graph, minutes: i64) -> Vec<String> {
    let mut problems = Vec::new();
    if !places.contains(sensor.place.as_str()) {
        problems.push(format!("sensor `{}` stands at `{}`, which is no place of this script", sensor.id, sensor.place));
    }
    if !graph.events().any(|event| event.properties.contains(&sensor.property)) {
        problems.push(format!("no event of the graph is measured as `{}`", sensor.property));
    }
    if sensor.every_s == 0 || minutes * 60 / i64::from(sensor.every_s.max(1)) > limits::READINGS_MAX {
        problems.push(format!("every_s {} of sensor `{}` gives no or too many readings", sensor.every_s, sensor.id));
    }
    if !sensor.base.is_finite() || !sensor.noise.is_finite() || sensor.noise < 0.0 {
        problems.push(format!("base and noise of sensor `{}` are numbers, and noise is not below zero", sensor.id));
    }
    for fault in &sensor.faults {
        if fault.from_min.zip(fault.until_min).is_some_and(|(from, until)| from >= until) || fault.every_min == Some(0) {
            problems.push(format!("a fault of sensor `{}` ends before it begins", sensor.id));
        }
    }
    problems
}

fn event_problems(event: &Event, places: &BTreeSet<&str>, sensors: &BTreeSet<&str>, graph: &Graph, minutes: i64) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(kind) = event.event.as_deref().filter(|kind| graph.event(kind).is_none()) {
        let known: Vec<&str> = graph.events().map(|event| event.id.as_str()).collect();
        problems.push(format!("the graph has no event type `{kind}`; it has {}", known.join(", ")));
    }
    let told: Vec<&Told> = event.calls.iter().chain(&event.orders).collect();
    for place in told.iter().filter_map(|told| told.place.as_ref()).chain([&event.place]) {
        if !places.contains(place.as_str()) {
            problems.push(format!("event `{}` is at `{place}`, which is no place of this script", event.id));
        }
    }
    if event.at_min < 0 || event.until_min() <= event.at_min || event.at_min >= minutes {
        problems.push(format!("event `{}` begins within the script's {minutes} minutes, and ends after it began", event.id));
    }
    for curve in &event.sensors {
        if !sensors.contains(curve.sensor.as_str()) {
            problems.push(format!("event `{}` shows at sensor `{}`, which this script does not have", event.id, curve.sensor));
        }
        if !curve.peak.is_finite() || curve.after_min < 0 || curve.rise_min < 0 || curve.fall_min < 0 || curve.hold_min.is_some_and(|hold| hold < 0) {
            problems.push(format!("a curve of event `{}` has a peak, and no time below zero", event.id));
        }
    }
    for told in &told {
        if told.count == 0 || told.count > limits::COUNT_MAX || told.after_min < 0 || told.over_min.is_some_and(|over| over < 0) {
            problems.push(format!("calls of event `{}` are 1 to {} and come after it began", event.id, limits::COUNT_MAX));
        }
    }
    if event.calls.iter().any(|told| told.zh.is_empty() && told.en.is_empty()) {
        problems.push(format!("calls of event `{}` say something: `zh: [...]` or `en: [...]`", event.id));
    }
    if event.orders.iter().any(|told| told.category.is_none()) {
        problems.push(format!("orders of event `{}` have a category, in the words of the other system", event.id));
    }
    problems
}

fn check_truth(file: &File, say: &mut impl FnMut(usize, String)) {
    let find = |id: &str| file.events.iter().map(|event| &event.value).find(|event| event.id == id);
    let mut roles: Vec<&str> = Vec::new();
    let mut incidents = BTreeSet::new();
    for incident in &file.truth.incidents {
        let (line, incident) = (line_of(incident), &incident.value);
        if !incidents.insert(incident.id.as_str()) {
            say(line, format!("incident `{}` is there twice", incident.id));
        }
        if !(1..=4).contains(&incident.level) {
            say(line, format!("level {} of incident `{}` is not 1 to 4", incident.level, incident.id));
        }
        for id in &incident.events {
            match find(id) {
                None => say(line, format!("incident `{}` has `{id}`, which is no event of this script", incident.id)),
                Some(event) if event.event.is_none() => say(line, format!("event `{id}` of incident `{}` needs an event type: `event: ...`", incident.id)),
                Some(_) => roles.push(id),
            }
        }
        for (cause, effect) in &incident.causes {
            if !incident.events.contains(cause) || !incident.events.contains(effect) {
                say(line, format!("[{cause}, {effect}] is not about events of incident `{}`", incident.id));
            } else if find(cause).zip(find(effect)).is_some_and(|(cause, effect)| cause.at_min > effect.at_min) {
                say(line, format!("`{effect}` begins before its cause `{cause}`"));
            }
        }
    }
    for precursor in &file.truth.precursors {
        let (line, Precursor { event, announces }) = (line_of(precursor), &precursor.value);
        let (Some(sign), Some(main)) = (find(event), find(announces)) else {
            say(line, format!("`{event}` announces `{announces}`: one of them is no event of this script"));
            continue;
        };
        roles.push(event);
        if !file.truth.incidents.iter().any(|incident| incident.value.events.contains(announces)) {
            say(line, format!("`{event}` announces `{announces}`, which belongs to no incident"));
        }
        if main.at_min - sign.at_min < limits::LEAD_MINUTES_MIN {
            say(line, format!("`{event}` begins less than {} minutes before `{announces}`: nobody could tell in time", limits::LEAD_MINUTES_MIN));
        }
    }
    for id in &file.truth.background {
        match find(&id.value) {
            Some(_) => roles.push(&id.value),
            None => say(line_of(id), format!("`{}` is no event of this script", id.value)),
        }
    }
    for event in &file.events {
        let id = event.value.id.as_str();
        match roles.iter().filter(|role| **role == id).count() {
            0 => say(line_of(event), format!("the truth says nothing about event `{id}`: it is of an incident, a precursor, or background")),
            1 => {}
            _ => say(line_of(event), format!("the truth says of event `{id}` more than one thing")),
        }
    }
}
