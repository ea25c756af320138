//! Plays a script: readings, calls and work orders in the order of their times, among usual life.

use chrono::{DateTime, TimeDelta, Utc};
use graph::{Graph, Here};
use schemas::alert::Point;
use schemas::journal::{Body, HotlineMessage, WorkOrder, WorkOrderCreated};
use schemas::signal::MicroDeg;

use crate::dice::Dice;
use crate::ordinary;
use crate::script::{Event, Fault, FaultKind, Place, Script, Sensor, Told};

/// A reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// When.
    pub at: DateTime<Utc>,
    /// The number of the sensor.
    pub sensor: usize,
    /// The value.
    pub value: f64,
    /// The number of the event that it shows. What a broken sensor says shows none.
    pub event: Option<usize>,
}

/// A call or a work order.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// When.
    pub at: DateTime<Utc>,
    /// The number of the event that it tells of; none for usual life.
    pub event: Option<usize>,
    /// What came in.
    pub body: Body,
}

/// What came in, in the order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// Readings.
    pub readings: Vec<Reading>,
    /// Calls and work orders.
    pub reports: Vec<Report>,
}

/// Plays a script. The same seed gives the same recording.
pub fn play(script: &Script, graph: &Graph, seed: u64) -> Recording {
    let mut readings: Vec<Reading> = script.sensors.iter().enumerate().flat_map(|(number, sensor)| measure(script, number, sensor, seed)).collect();
    readings.sort_by_key(|reading| (reading.at, reading.sensor));
    let mut reports: Vec<(DateTime<Utc>, Option<usize>, Said)> = Vec::new();
    for (number, event) in script.events.iter().enumerate() {
        let mut dice = Dice::new(seed, &format!("calls/{}", event.id));
        for (told, is_order) in event.calls.iter().map(|told| (told, false)).chain(event.orders.iter().map(|told| (told, true))) {
            reports.extend(tell(script, graph, event, told, is_order, &mut dice).into_iter().map(|(at, said)| (at, Some(number), said)));
        }
    }
    reports.extend(usual_life(script, graph, seed).into_iter().map(|(at, said)| (at, None, said)));
    reports.sort_by_key(|(at, event, _)| (*at, *event));
    let report = |(number, (at, event, said)): (usize, (DateTime<Utc>, Option<usize>, Said))| Report { at, event, body: said.body(number) };
    Recording { readings, reports: reports.into_iter().enumerate().map(report).collect() }
}

/// A moment of the script.
pub(crate) fn moment(script: &Script, second: i64) -> DateTime<Utc> {
    script.start.with_timezone(&Utc) + TimeDelta::seconds(second)
}

fn measure(script: &Script, number: usize, sensor: &Sensor, seed: u64) -> Vec<Reading> {
    let mut dice = Dice::new(seed, &format!("readings/{}", sensor.id));
    let every = i64::from(sensor.every_s);
    let first = dice.between(0, every - 1) - script.quiet_minutes * 60;
    let mut lies = Lies::default();
    let mut readings = Vec::new();
    for second in (first..script.minutes * 60).step_by(every as usize) {
        let (ideal, event) = shown(script, sensor, second);
        // Thousandths of the noise, from three throws: rarely near its end.
        let honest = rounded(ideal + sensor.noise * dice.wobble(999) as f64 / 1000.0, sensor.base >= 0.0);
        let fault = sensor.faults.iter().find(|fault| holds(fault, second));
        let (value, event) = match fault.map(|fault| (fault, fault.kind)) {
            None => (honest, event),
            Some((_, FaultKind::Silent)) => continue,
            Some((fault, FaultKind::Stuck)) => (*lies.stuck.get_or_insert(fault.value.unwrap_or(honest)), None),
            Some((fault, FaultKind::Lying)) => match lies.now(fault, second, &mut dice) {
                true => (fault.value.unwrap_or_else(|| wild(script, sensor)), None),
                false => (honest, event),
            },
        };
        if fault.is_none() {
            lies = Lies::default();
        }
        readings.push(Reading { at: moment(script, second), sensor: number, value, event });
    }
    readings
}

/// What a broken sensor remembers.
#[derive(Default)]
struct Lies {
    stuck: Option<f64>,
    next: Option<i64>,
}

impl Lies {
    fn now(&mut self, fault: &Fault, second: i64, dice: &mut Dice) -> bool {
        let wait = |dice: &mut Dice| fault.every_min.map_or_else(|| dice.between(20 * 60, 120 * 60), |minutes| i64::from(minutes) * 60);
        let due = self.next.unwrap_or_else(|| {
            let longest = wait(dice);
            second + dice.between(0, longest)
        });
        let lies = second >= due;
        self.next = Some(if lies { second + wait(dice) } else { due });
        lies
    }
}

fn holds(fault: &Fault, second: i64) -> bool {
    fault.from_min.is_none_or(|from| second >= from * 60) && fault.until_min.is_none_or(|until| second < until * 60)
}

/// Twice as far from the base as the worst that happens here.
fn wild(script: &Script, sensor: &Sensor) -> f64 {
    let peaks = script.events.iter().flat_map(|event| &event.sensors);
    let same = peaks.filter(|curve| script.sensors.iter().any(|other| other.id == curve.sensor && other.property == sensor.property));
    let furthest = same.map(|curve| curve.peak - sensor.base).max_by(|a, b| a.abs().total_cmp(&b.abs()));
    sensor.base + 2.0 * furthest.unwrap_or(10.0 * sensor.noise.max(1.0))
}

/// Thousandths, and nothing below zero where nothing is.
fn rounded(value: f64, positive: bool) -> f64 {
    let value = (value * 1000.0).round() / 1000.0;
    if positive { value.max(0.0) } else { value }
}

/// What is there at a sensor, and the event that it shows: the one that is furthest from the base counts.
fn shown(script: &Script, sensor: &Sensor, second: i64) -> (f64, Option<usize>) {
    let mut worst: (f64, Option<usize>) = (0.0, None);
    for (number, event) in script.events.iter().enumerate() {
        for curve in event.sensors.iter().filter(|curve| curve.sensor == sensor.id) {
            let begin = (event.at_min + curve.after_min) * 60;
            let peak_from = begin + curve.rise_min * 60;
            let peak_until = curve.hold_min.map_or((event.until_min() * 60).max(peak_from), |hold| peak_from + hold * 60);
            let fall_until = peak_until + curve.fall_min * 60;
            let share = match second {
                _ if second < begin || second >= fall_until => continue,
                _ if second < peak_from => (second - begin) as f64 / (peak_from - begin) as f64,
                _ if second < peak_until => 1.0,
                _ => (fall_until - second) as f64 / (fall_until - peak_until) as f64,
            };
            let beyond = (curve.peak - sensor.base) * share;
            if beyond.abs() > worst.0.abs() {
                worst = (beyond, Some(number));
            }
        }
    }
    // What drowns in the noise shows nothing.
    let event = worst.1.filter(|_| worst.0.abs() > sensor.noise / 3.0);
    (sensor.base + worst.0, event)
}

/// Something said, before it has a number.
struct Said {
    is_order: bool,
    text: String,
    category: Option<String>,
    district: String,
    address: Option<String>,
    at: Point,
    language: &'static str,
}

impl Said {
    fn body(self, number: usize) -> Body {
        let Said { is_order, text, category, district, address, at, language } = self;
        let (district, lat, lon) = (Some(district), Some(at.lat), Some(at.lon));
        if is_order {
            let description = (!text.is_empty()).then_some(text);
            return Body::WorkOrder(WorkOrder::Created(WorkOrderCreated {
                request_id: format!("wo-{number}"),
                category,
                description,
                district,
                address,
                lat,
                lon,
                ..WorkOrderCreated::default()
            }));
        }
        Body::Hotline(HotlineMessage {
            message_id: format!("call-{number}"),
            text,
            caller: Some(format!("caller-{number}")),
            channel: Some("phone".to_owned()),
            district,
            address,
            lat,
            lon,
            category,
            language: Some(language.to_owned()),
            about: None,
        })
    }
}

/// The calls or orders of an event.
fn tell(script: &Script, graph: &Graph, event: &Event, told: &Told, is_order: bool, dice: &mut Dice) -> Vec<(DateTime<Utc>, Said)> {
    let first = event.at_min + told.after_min;
    let over = told.over_min.unwrap_or_else(|| (event.until_min() - first).max(1)) * 60;
    let place = script.place(told.place.as_ref().unwrap_or(&event.place));
    let call = |number: u32, dice: &mut Dice| {
        // The first comes at once, the others when they do.
        let second = first * 60 + if number == 0 { dice.between(0, 60.min(over)) } else { dice.between(0, over) };
        // One in five speaks English where both are there.
        let (texts, language) = match (told.zh.is_empty(), told.en.is_empty()) {
            (false, true) => (&told.zh, "zh"),
            (true, _) => (&told.en, "en"),
            (false, false) => if dice.chance(200) { (&told.en, "en") } else { (&told.zh, "zh") },
        };
        let text = if texts.is_empty() { "" } else { dice.pick(texts).as_str() };
        (second, said(graph, place, text, told.category.clone(), told.scatter_m, is_order, language, dice))
    };
    let mut calls: Vec<_> = (0..told.count).map(|number| call(number, dice)).collect();
    calls.retain(|(second, _)| *second < script.minutes * 60);
    calls.into_iter().map(|(second, said)| (moment(script, second), said)).collect()
}

#[allow(clippy::too_many_arguments)]
fn said(graph: &Graph, place: &Place, text: &str, category: Option<String>, scatter_m: u32, is_order: bool, language: &'static str, dice: &mut Dice) -> Said {
    let scatter = i64::from(scatter_m);
    let at = beside(place.at, dice.between(-scatter, scatter), dice.between(-scatter, scatter));
    let address = place.address.as_ref().map(|street| format!("{street}{}号", dice.between(1, 180)));
    let name = address.clone().unwrap_or_else(|| place.id.clone());
    Said { is_order, text: text.replace("{place}", &name), category, district: district_name(graph, &place.district), address, at, language }
}

/// What the city calls a district of a script.
pub fn district_name(graph: &Graph, district: &str) -> String {
    let place = graph.locate(Here::at(district)).expect("the reader has checked the districts");
    place.name.as_ref().map_or_else(|| place.id.clone(), |name| name.zh.clone())
}

/// A point some metres to the north and to the east.
pub(crate) fn beside(point: Point, north_m: i64, east_m: i64) -> Point {
    // 9 millionths of a degree are a metre; parallels are shorter, by the cosine as Bhaskara has it.
    let lat = i64::from(point.lat.0) / 1000;
    let square = lat * lat;
    let cosine_permille = ((32_400_000_000 - 4 * square) * 1000 / (32_400_000_000 + square)).max(10);
    let lon = i64::from(point.lon.0) + east_m * 9000 / cosine_permille;
    Point { lat: MicroDeg((i64::from(point.lat.0) + north_m * 9) as i32), lon: MicroDeg(lon as i32) }
}

/// Ordinary calls and orders from the districts of the script, by day more than by night.
fn usual_life(script: &Script, graph: &Graph, seed: u64) -> Vec<(DateTime<Utc>, Said)> {
    let matters = ordinary::matters(script, graph);
    if matters.is_empty() || script.places.is_empty() {
        return Vec::new();
    }
    let mut dice = Dice::new(seed, "ordinary");
    let hours = (script.quiet_minutes + script.minutes) / 60;
    let mut calls = Vec::new();
    for _ in 0..hours * i64::from(script.ordinary_per_hour) {
        let second = dice.between(-script.quiet_minutes * 60, script.minutes * 60 - 1);
        let place = dice.pick(&script.places);
        let matter = dice.pick(&matters);
        let is_order = dice.chance(300);
        let (text, language) = if dice.chance(200) { (matter.en, "en") } else { (matter.zh, "zh") };
        let category = is_order.then(|| matter.kind.to_owned());
        // Somewhere in the district: no nearer than 300 m to what happens.
        let away = |dice: &mut Dice| dice.between(300, 1500) * if dice.chance(500) { 1 } else { -1 };
        let mut around = place.clone();
        around.at = beside(place.at, away(&mut dice), away(&mut dice));
        calls.push((moment(script, second), said(graph, &around, text, category, 0, is_order, language, &mut dice)));
    }
    calls
}
