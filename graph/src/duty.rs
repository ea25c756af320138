//! Who owes what: the narrowest duty that holds here and now, and the path that says why.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, Timelike, Utc};
use petgraph::stable_graph::NodeIndex;

use crate::element::{Duty, Element, Kind, Level, Unit};
use crate::place::Here;
use crate::{Edge, Graph, limits};

/// A local day and hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    /// The day.
    pub day: NaiveDate,
    /// The hour, 0 to 23.
    pub hour: u8,
}

impl When {
    /// A moment in the city's local time.
    pub fn local(at: DateTime<Utc>, utc_offset_minutes: i32) -> Self {
        let zone = FixedOffset::east_opt(utc_offset_minutes.clamp(-14 * 60, 14 * 60) * 60).expect("within a day");
        let local = at.with_timezone(&zone);
        Self { day: local.date_naive(), hour: local.hour() as u8 }
    }

    fn month(self) -> u8 {
        self.day.month() as u8
    }

    /// Whether the month lies in `months`, both included, which may run over the new year.
    pub(crate) fn in_months(self, months: Option<(u8, u8)>) -> bool {
        let month = self.month();
        months.is_none_or(|(from, to)| if from <= to { (from..=to).contains(&month) } else { month >= from || month <= to })
    }

    /// Whether the hour lies in `hours`, which may run over midnight.
    fn in_hours(self, hours: Option<(u8, u8)>) -> bool {
        let hour = self.hour;
        hours.is_none_or(|(from, to)| if from < to { (from..to).contains(&hour) } else { hour >= from || hour < to })
    }
}

/// Who owes something, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// The unit.
    pub unit: String,
    /// Its superiors, the nearest first.
    pub superiors: Vec<String>,
    /// Units that would owe it too, were it not for the first.
    pub alternatives: Vec<String>,
    /// Step by step from the category to the unit and up.
    pub path: Vec<String>,
}

/// Narrower is smaller: how many places lie between here and the duty's, whether it holds all day, all year, and the level.
type Narrowness = (usize, bool, bool, std::cmp::Reverse<Level>);

impl Graph {
    /// Who owes a matter of `category` here and then. Somebody always does: the default unit, if nobody else.
    ///
    /// The narrowest duty wins: a street before its district before everywhere, some hours before all day, some months
    /// before all year, a lower level before a higher one, and last the order of the units' ids.
    pub fn who_owes(&self, category: &str, here: Here<'_>, when: When) -> Owed {
        let mut owing: Vec<(Narrowness, &Unit, &Duty)> = Vec::new();
        if let Some(category) = self.node(Kind::Category, category) {
            for (distance, place) in self.places_outward(here).into_iter().enumerate() {
                let duties = self.duties.get(&(category, place)).into_iter().flatten();
                owing.extend(duties.filter_map(|edge| self.holds(*edge, distance, when)));
            }
        }
        owing.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
        let mut path = vec![format!("category {category}")];
        let unit = match owing.first() {
            Some((_, unit, duty)) => {
                path.push(why(unit, duty));
                unit.id.clone()
            }
            None => {
                let default = self.city().map_or("", |city| city.default_unit.as_str());
                path.push(format!("nobody owes {category} here: default unit {default}"));
                default.to_owned()
            }
        };
        let superiors = self.superiors(&unit);
        path.extend(superiors.iter().map(|superior| format!("reports to {superior}")));
        let mut alternatives: Vec<String> = Vec::new();
        for (_, other, _) in &owing {
            if other.id != unit && !alternatives.contains(&other.id) {
                alternatives.push(other.id.clone());
            }
        }
        Owed { unit, superiors, alternatives, path }
    }

    /// The place, the places around it, and last none, which is everywhere.
    fn places_outward(&self, here: Here<'_>) -> Vec<Option<NodeIndex>> {
        let around = self.locate_node(here).into_iter().flat_map(|place| self.outward(place));
        around.map(Some).chain([None]).collect()
    }

    fn holds(&self, edge: petgraph::stable_graph::EdgeIndex, distance: usize, when: When) -> Option<(Narrowness, &Unit, &Duty)> {
        let Some(Edge::Owes(entry)) = self.graph.edge_weight(edge) else { return None };
        let Element::Duty(duty) = &entry.element else { return None };
        let unit = self.unit(&duty.unit)?;
        let now = duty.valid.holds(when.day) && unit.valid.holds(when.day) && when.in_hours(duty.hours) && when.in_months(duty.months);
        now.then_some(((distance, duty.hours.is_none(), duty.months.is_none(), std::cmp::Reverse(unit.level)), unit, duty))
    }

    /// The units of a level that look after this place: those of the places around it, the smallest first; else those of the
    /// places within it, by their ids. Units without a place of their own look after none.
    pub fn units_at(&self, level: Level, here: Here<'_>, when: When) -> Vec<&Unit> {
        let around = self.places_around(here);
        let Some(smallest) = around.first() else { return Vec::new() };
        let of_level = || self.units().filter(move |unit| unit.level == level && unit.valid.holds(when.day));
        let mut units: Vec<(usize, &Unit)> = of_level().filter_map(|unit| Some((around.iter().position(|place| Some(place) == unit.place.as_ref())?, unit))).collect();
        units.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| a.1.id.cmp(&b.1.id)));
        if units.is_empty() {
            let within = |unit: &&Unit| unit.place.as_deref().is_some_and(|place| self.places_around(Here::at(place)).contains(smallest));
            return of_level().filter(within).collect();
        }
        units.into_iter().map(|(_, unit)| unit).collect()
    }

    /// The superiors of a unit, the nearest first.
    pub fn superiors(&self, unit: &str) -> Vec<String> {
        let mut superiors = Vec::new();
        let mut at = self.node(Kind::Unit, unit).and_then(|node| self.above(node, Edge::ReportsTo));
        while let Some(node) = at.filter(|_| superiors.len() < limits::LEVELS_MAX) {
            superiors.push(self.key_of(node).id.into());
            at = self.above(node, Edge::ReportsTo);
        }
        superiors
    }
}

fn why(unit: &Unit, duty: &Duty) -> String {
    let mut when = vec![duty.place.clone().unwrap_or_else(|| "every district".to_owned())];
    when.extend(duty.hours.map(|(from, to)| format!("{from}-{to} h")));
    when.extend(duty.months.map(|(from, to)| format!("months {from}-{to}")));
    when.extend(duty.valid.from.map(|from| format!("since {from}")));
    when.extend(duty.valid.until.map(|until| format!("until {until}")));
    format!("owed by {} ({})", unit.id, when.join(", "))
}
