//! What makes an element sound by itself, whatever else is in the graph.

use chrono::NaiveDate;

use crate::calendar::Calendar;
use crate::element::{Duty, Element, Leads, Scenario, Threshold, Valid};
use crate::{geo, limits};

/// Everything that is wrong with an element by itself, in words for whoever wrote it.
pub(crate) fn problems(element: &Element) -> Vec<String> {
    let mut problems = Vec::new();
    let mut say = |problem: String| problems.push(problem);
    let key = element.key();
    if key.id.len() > 4 * limits::ID_BYTES_MAX {
        say(format!("the key of {} bytes is too long", key.id.len()));
    }
    for id in ids(element) {
        if !is_id(id) {
            say(format!("`{id}` is no id: a-z, A-Z, 0-9, `_`, `.` and `-` make one, up to {} of them", limits::ID_BYTES_MAX));
        }
    }
    match element {
        Element::Place(it) => {
            if it.radius_m.is_some() && it.at.is_none() {
                say("a radius needs a middle: `at: [lat, lon]`".to_owned());
            }
            if !it.outline.is_empty() && it.outline.len() < 3 {
                say("an outline has at least three corners".to_owned());
            }
            let bounds = geo::bounds(&it.outline).or_else(|| it.at.zip(it.radius_m).map(|(at, radius)| geo::around(at, radius)));
            if bounds.is_some_and(|bounds| geo::Cells::count(bounds) > limits::PLACE_CELLS_MAX) {
                say(format!("it is larger than {} square kilometres", limits::PLACE_CELLS_MAX));
            }
            if it.kind == "h3" && it.id.parse::<h3o::CellIndex>().is_err() {
                say(format!("`{}` is no index of an H3 cell", it.id));
            }
        }
        Element::Category(it) => {
            if !(1..=4).contains(&it.urgency) {
                say(format!("urgency {} is not 1 to 4", it.urgency));
            }
            it.deadline.problem().into_iter().for_each(&mut say);
        }
        Element::Plan(it) => {
            for task in &it.tasks {
                if !(1..=4).contains(&task.from_level) {
                    say(format!("from_level {} is not 1 to 4", task.from_level));
                }
            }
        }
        Element::Scenario(it) => {
            it.hysteresis.problems().into_iter().for_each(&mut say);
            scenario(it, &mut say);
        }
        Element::Calendar(it) => {
            let wrong = Calendar::new(it.clone()).err().into_iter().flatten();
            wrong.for_each(|wrong| say(format!("{}: {}", wrong.word, wrong.problem)));
        }
        Element::Cases(it) => it.problems().into_iter().for_each(&mut say),
        Element::Alerting(it) => it.problems().into_iter().for_each(&mut say),
        Element::Threshold(it) => threshold(it, &mut say),
        Element::Asset(it) => valid(&it.valid, &mut say),
        Element::Unit(it) => valid(&it.valid, &mut say),
        Element::Resource(it) => {
            valid(&it.valid, &mut say);
            if it.count == 0 || it.speed_kmh == 0 || it.speed_kmh > 1000 {
                say("a resource is at least one, and moves at 1 to 1000 km/h".to_owned());
            }
        }
        Element::Duty(it) => duty(it, &mut say),
        Element::Leads(it) => leads(it, &mut say),
        Element::Feeds(it) => {
            valid(&it.valid, &mut say);
            if it.from == it.to {
                say(format!("`{}` feeds itself", it.from));
            }
        }
        Element::Event(_) | Element::City(_) => {}
    }
    problems
}

/// The ids that an element gives itself.
fn ids(element: &Element) -> Vec<&str> {
    match element {
        Element::Place(it) => vec![&it.id, &it.kind],
        Element::Unit(it) => vec![&it.id],
        Element::Plan(it) => vec![&it.id],
        Element::Category(it) => vec![&it.id],
        Element::Event(it) => vec![&it.id],
        Element::Scenario(it) => vec![&it.id],
        Element::Threshold(it) => vec![&it.id],
        Element::Asset(it) => vec![&it.id, &it.kind],
        Element::Resource(it) => vec![&it.id, &it.kind],
        Element::Calendar(_)
        | Element::Cases(_)
        | Element::Alerting(_)
        | Element::Duty(_)
        | Element::Leads(_)
        | Element::Feeds(_)
        | Element::City(_) => Vec::new(),
    }
}

pub(crate) fn is_id(id: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !id.is_empty() && id.len() <= limits::ID_BYTES_MAX && id.bytes().all(sound)
}

fn scenario(it: &Scenario, say: &mut impl FnMut(String)) {
    if it.surge.is_some_and(|surge| surge.count < 2 || surge.window_minutes == 0 || surge.window_minutes > 24 * 60) {
        say(format!("surge of `{}`: a count of at least 2 in 1 to 1440 minutes is needed", it.id));
    }
    if it.events.is_empty() {
        say(format!("scenario `{}` is about no event", it.id));
    }
    if it.weak.is_some_and(|weak| weak.window_minutes == 0 || weak.window_minutes > 24 * 60 || weak.permille == 0 || weak.permille > 1000) {
        say(format!("weak signs of `{}`: 1 to 1440 minutes and 1 to 1000 thousandths are needed", it.id));
    }
    for grade in &it.grades {
        if !(1..=4).contains(&grade.level) {
            say(format!("level {} is not 1 to 4", grade.level));
        }
        if !grade.risk_to_life && grade.reports.is_none() && grade.districts.is_none() && grade.events.is_empty() {
            say(format!("the grade of level {} asks for nothing: it would always hold", grade.level));
        }
    }
}

fn threshold(it: &Threshold, say: &mut impl FnMut(String)) {
    // From the gravest to the good side each value must be milder than the one before.
    let steps: Vec<f64> = [&it.red, &it.orange, &it.yellow, &it.blue, &it.clear].into_iter().flatten().filter_map(|text| text.parse().ok()).collect();
    let levels = steps.len() - usize::from(it.clear.is_some());
    if levels == 0 {
        say("a threshold needs a value for one of red, orange, yellow and blue".to_owned());
    }
    let falls = steps.windows(2).all(|pair| if it.side == crate::element::Side::Above { pair[0] > pair[1] } else { pair[0] < pair[1] });
    if !falls {
        say("red, orange, yellow, blue and clear must become milder one after the other".to_owned());
    }
}

fn duty(it: &Duty, say: &mut impl FnMut(String)) {
    valid(&it.valid, say);
    if it.hours.is_some_and(|(from, to)| from > 23 || to > 24 || from == to) {
        say("hours go from 0..23 to 0..24 and are not empty".to_owned());
    }
    months(it.months, say);
}

fn leads(it: &Leads, say: &mut impl FnMut(String)) {
    valid(&it.valid, say);
    months(it.months, say);
    if it.permille == 0 || it.permille > 1000 {
        say(format!("a probability of {} per mille is not 1 to 1000", it.permille));
    }
    if !it.lag_minutes.is_sorted() {
        say("the lags must go from the earliest to the latest".to_owned());
    }
    if it.cause == it.effect {
        say(format!("`{}` leads to itself", it.cause));
    }
}

fn months(months: Option<(u8, u8)>, say: &mut impl FnMut(String)) {
    if months.is_some_and(|(from, to)| !(1..=12).contains(&from) || !(1..=12).contains(&to)) {
        say("months go from 1 to 12".to_owned());
    }
}

fn valid(valid: &Valid, say: &mut impl FnMut(String)) {
    let ends_first = |(from, until): (NaiveDate, NaiveDate)| until <= from;
    if valid.from.zip(valid.until).is_some_and(ends_first) {
        say("it ends before it begins".to_owned());
    }
}
