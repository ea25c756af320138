//! Varies a script by chance: when, where, with how much noise, and which sensors fail.

use chrono::TimeDelta;
use graph::{Graph, Here};
use schemas::alert::Point;

use crate::dice::Dice;
use crate::play::beside;
use crate::script::{Fault, FaultKind, Script};

/// Chances, in thousandths, that a variation moves to another district, is noisier, lacks a sensor, has one that lies.
const MOVES: u64 = 400;
const NOISIER: u64 = 300;
const LACKS: u64 = 250;
const LIES: u64 = 250;

/// How far a variation moves within its district, in metres.
const MOVE_M: i64 = 300;

/// A script as it is played once.
#[derive(Debug, Clone, PartialEq)]
pub struct Variation {
    /// Its number; 0 is the script as it is written.
    pub number: u32,
    /// The seed of all that is left to chance in it.
    pub seed: u64,
    /// What happens.
    pub script: Script,
    /// What was varied, for whoever looks for a reason.
    pub changes: Vec<String>,
}

/// A variation of a script; the same seed and number give the same one.
pub fn vary(script: &Script, graph: &Graph, seed: u64, number: u32) -> Variation {
    let mut dice = Dice::new(seed.wrapping_add(u64::from(number)), &script.name);
    let mut varied = Variation { number, seed: dice.next(), script: script.clone(), changes: Vec::new() };
    if number == 0 {
        return varied;
    }
    varied.time(graph, &mut dice);
    varied.place(graph, &mut dice);
    if dice.chance(NOISIER) {
        varied.script.sensors.iter_mut().for_each(|sensor| sensor.noise *= 2.0);
        varied.script.ordinary_per_hour *= 2;
        varied.changes.push("twice the noise".to_owned());
    }
    if dice.chance(LACKS) {
        varied.break_one(&mut dice, |dice, minutes| Fault {
            kind: FaultKind::Silent,
            from_min: dice.chance(500).then(|| dice.between(0, minutes / 2)),
            until_min: None,
            value: None,
            every_min: None,
        });
    }
    if dice.chance(LIES) {
        varied.break_one(&mut dice, |dice, minutes| {
            let kind = if dice.chance(500) { FaultKind::Lying } else { FaultKind::Stuck };
            Fault { kind, from_min: Some(dice.between(0, minutes / 2)), until_min: None, value: None, every_min: None }
        });
    }
    varied
}

impl Variation {
    /// Another hour, and other lags between causes and effects: from the graph's distribution, around those of the script.
    fn time(&mut self, graph: &Graph, dice: &mut Dice) {
        let script = &mut self.script;
        script.start += TimeDelta::minutes(dice.between(-60, 60));
        let written: Vec<i64> = script.events.iter().map(|event| event.at_min).collect();
        let mut links: Vec<(usize, usize)> = Vec::new();
        for incident in &script.truth.incidents {
            links.extend(incident.causes.iter().map(|(cause, effect)| (script.event(cause), script.event(effect))));
        }
        // Causes before effects; of several causes the first that was written decides.
        links.sort_by_key(|(_, effect)| written[*effect]);
        let mut moved = vec![false; script.events.len()];
        for (cause, effect) in links {
            if std::mem::replace(&mut moved[effect], true) {
                continue;
            }
            let lag = drawn_lag(script, graph, (cause, effect), written[effect] - written[cause], dice);
            let by = script.events[cause].at_min + lag - script.events[effect].at_min;
            shift(script, effect, by);
        }
        // A sign goes with what it announces.
        for precursor in script.truth.precursors.clone() {
            let (sign, main) = (script.event(&precursor.event), script.event(&precursor.announces));
            shift(script, sign, script.events[main].at_min - written[main]);
        }
        // Nothing begins before the script, and nothing is cut off at its end.
        let first = script.events.iter().map(|event| event.at_min).min().unwrap_or(0).min(0);
        (0..script.events.len()).for_each(|event| shift(script, event, -first));
        let written_last = written.iter().max().copied().unwrap_or(0);
        let last = script.events.iter().map(|event| event.at_min).max().unwrap_or(0);
        script.minutes += (last - written_last).max(0);
    }

    /// Somewhere else in the district, or in another one that has what the chains need.
    fn place(&mut self, graph: &Graph, dice: &mut Dice) {
        let (north, east) = (dice.between(-MOVE_M, MOVE_M), dice.between(-MOVE_M, MOVE_M));
        self.script.places.iter_mut().for_each(|place| place.at = beside(place.at, north, east));
        let district = self.script.places.first().map(|place| place.district.clone()).unwrap_or_default();
        let alone = self.script.places.iter().all(|place| place.district == district);
        if !alone || !dice.chance(MOVES) {
            return;
        }
        let Some(from) = graph.locate(Here::at(&district)).and_then(|place| place.at) else { return };
        let targets: Vec<(String, Point)> = districts(graph).into_iter().filter(|(id, _)| fits(&self.script, graph, &district, id)).collect();
        if targets.is_empty() {
            return;
        }
        let (to, middle) = dice.pick(&targets).clone();
        for place in &mut self.script.places {
            place.at.lat.0 += middle.lat.0 - from.lat.0;
            place.at.lon.0 += middle.lon.0 - from.lon.0;
            place.district.clone_from(&to);
        }
        self.changes.push(format!("in {to}"));
    }

    /// Breaks one of several sensors that measure the same.
    fn break_one(&mut self, dice: &mut Dice, fault: impl Fn(&mut Dice, i64) -> Fault) {
        let script = &mut self.script;
        let several = |property: &str| script.sensors.iter().filter(|sensor| sensor.property == property && sensor.faults.is_empty()).count() > 1;
        let candidates: Vec<usize> = (0..script.sensors.len()).filter(|number| several(&script.sensors[*number].property)).collect();
        let candidates: Vec<usize> = candidates.into_iter().filter(|number| script.sensors[*number].faults.is_empty()).collect();
        if candidates.is_empty() {
            return;
        }
        let sensor = &mut script.sensors[*dice.pick(&candidates)];
        let fault = fault(dice, script.minutes);
        self.changes.push(format!("{} is {:?}", sensor.id, fault.kind).to_lowercase());
        sensor.faults.push(fault);
    }
}

/// A lag from the triangle around the written one, within half and twice of it and within what the graph believes.
fn drawn_lag(script: &Script, graph: &Graph, (cause, effect): (usize, usize), written: i64, dice: &mut Dice) -> i64 {
    let kinds = script.events[cause].event.as_deref().zip(script.events[effect].event.as_deref());
    let believed = kinds.and_then(|(cause, effect)| graph.link(cause, effect, None)).map(|chain| chain.lag_minutes);
    let [earliest, _, latest] = believed.map_or([0, 0, i64::MAX], |lags| lags.map(i64::from));
    let low = (written / 2).max(earliest).min(written);
    let high = (written * 2).min(latest).max(written);
    triangle(low, written, high, dice)
}

/// A whole number from a triangular distribution.
fn triangle(low: i64, likeliest: i64, high: i64, dice: &mut Dice) -> i64 {
    // Between the likeliest and an end that is chosen by the lengths of both sides, density falls evenly: the lesser of
    // two even throws has that.
    let (left, right) = (likeliest - low, high - likeliest);
    if left + right == 0 {
        return likeliest;
    }
    let to_the_left = dice.between(0, left + right - 1) < left;
    let side = if to_the_left { left } else { right };
    let far = dice.between(0, side).min(dice.between(0, side));
    if to_the_left { likeliest - far } else { likeliest + far }
}

fn shift(script: &mut Script, event: usize, by: i64) {
    let event = &mut script.events[event];
    event.at_min += by;
    event.until_min = event.until_min.map(|until| until + by);
}

/// The districts that have a middle.
fn districts(graph: &Graph) -> Vec<(String, Point)> {
    let places = graph.entries().filter_map(|entry| match &entry.element {
        graph::Element::Place(place) if place.kind == "district" => Some((place.id.clone(), place.at?)),
        _ => None,
    });
    places.collect()
}

/// Whether each step that can happen in one district can happen in another.
fn fits(script: &Script, graph: &Graph, from: &str, to: &str) -> bool {
    let leads = |cause: &str, effect: &str, district: &str| {
        let follows = graph.what_follows(cause, Here::at(district), None, usize::MAX);
        follows.iter().any(|chain| chain.steps.len() == 1 && chain.effect() == effect)
    };
    let mut links = script.truth.incidents.iter().flat_map(|incident| &incident.causes);
    links.all(|(cause, effect)| {
        let kind = |id: &str| script.events[script.event(id)].event.as_deref();
        let (Some(cause), Some(effect)) = (kind(cause), kind(effect)) else { return true };
        !leads(cause, effect, from) || leads(cause, effect, to)
    })
}
