//! Incidents: what belongs together because the event chain, the place and the time say so. The reason is recorded.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use crate::effect::{Effect, IncidentChange};
use crate::limits;
use crate::state::{Case, Incident, State, Turn};

/// Where something is, as far as incidents care.
#[derive(Clone, Copy)]
pub(crate) enum Where<'a> {
    /// In this district.
    District(&'a str),
    /// All over the city.
    City,
    /// Nobody said.
    Unknown,
}

impl<'a> Where<'a> {
    pub(crate) fn district(district: Option<&'a str>) -> Self {
        district.map_or(Where::Unknown, Where::District)
    }
}

impl State {
    /// The incident that explains something of `scenario` at `place`, with the reason; the best reason wins, then the
    /// latest incident.
    fn explaining(&self, turn: &Turn<'_>, scenario: &str, place: Where<'_>) -> Option<(String, String)> {
        let mut best: Option<(u32, DateTime<Utc>, &Incident, String)> = None;
        for incident in self.incidents.values().filter(|incident| incident.timeline == turn.timeline) {
            let Some(place_reason) = near(incident, place) else { continue };
            let Some((weight, cause)) = explains(turn, incident, scenario) else { continue };
            // What is all over the city does not come from something of another kind in one place.
            if matches!(place, Where::City) && !incident.citywide && incident.scenario != scenario {
                continue;
            }
            let better = best.as_ref().is_none_or(|(known, last, ..)| (weight, incident.last) > (*known, *last));
            if better {
                best = Some((weight, incident.last, incident, format!("{cause}, {place_reason}")));
            }
        }
        best.map(|(_, _, incident, reason)| (incident.id.clone(), reason))
    }

    /// Puts a new case into the incident that explains it, or that its place has begun.
    pub(crate) fn join_case(&mut self, turn: &mut Turn<'_>, case: &mut Case) {
        let member = case.id.clone();
        if let Some(scenario) = case.scenario.clone()
            && let Some((id, reason)) = self.explaining(turn, &scenario, Where::district(case.district.as_deref()))
        {
            self.join(turn, &id, &member, &scenario, case.district.as_deref(), None, &reason);
            case.incident = Some(id);
            return;
        }
        let Some(&earlier) = case.place.as_ref().and_then(|place| self.places.get(place)) else { return };
        let Some(first) = self.cases.get(&earlier).filter(|first| turn.at - first.opened <= limits::SAME_PLACE) else { return };
        let reason = format!("{} at the same place within a day", case.category);
        let (first_id, known) = (first.id.clone(), first.incident.clone().filter(|id| self.incidents.contains_key(id)));
        let id = match known {
            Some(id) => id,
            None => {
                let kind = case.scenario.clone().unwrap_or_else(|| case.category.clone());
                let id = self.open_incident(turn, &kind, Where::district(case.district.as_deref()), &first_id, None, &reason);
                self.attach_case(earlier, &id);
                id
            }
        };
        let kind = case.scenario.clone().unwrap_or_else(|| case.category.clone());
        self.join(turn, &id, &member, &kind, case.district.as_deref(), None, &reason);
        case.incident = Some(id);
    }

    /// The incident of a new alert: one that explains it, or a new one.
    pub(crate) fn join_alert(&mut self, turn: &mut Turn<'_>, alert: &str, scenario: &str, place: Where<'_>, level: u8) -> String {
        if let Some((id, reason)) = self.explaining(turn, scenario, place) {
            let district = if let Where::District(district) = place { Some(district) } else { None };
            self.join(turn, &id, alert, scenario, district, Some(level), &reason);
            if matches!(place, Where::City) {
                self.incidents.get_mut(&id).expect("just joined").citywide = true;
            }
            return id;
        }
        self.open_incident(turn, scenario, place, alert, Some(level), "nothing that goes on explains it")
    }

    /// Adds an open case that was reported before its incident was known.
    pub(crate) fn adopt_case(&mut self, turn: &mut Turn<'_>, seq: u64, incident: &str, reason: &str) {
        let Some(case) = self.cases.get(&seq).filter(|case| case.incident.is_none()) else { return };
        let (member, district) = (case.id.clone(), case.district.clone());
        let scenario = case.scenario.clone().unwrap_or_else(|| case.category.clone());
        self.attach_case(seq, incident);
        self.join(turn, incident, &member, &scenario, district.as_deref(), None, reason);
    }

    fn attach_case(&mut self, seq: u64, incident: &str) {
        if let Some(case) = self.cases.get_mut(&seq) {
            case.incident = Some(incident.to_owned());
        }
    }

    fn open_incident(&mut self, turn: &mut Turn<'_>, scenario: &str, place: Where<'_>, member: &str, level: Option<u8>, reason: &str) -> String {
        let id = format!("incident-{}", turn.next_id());
        let mut incident = Incident {
            id: id.clone(),
            scenario: scenario.to_owned(),
            scenarios: BTreeSet::from([scenario.to_owned()]),
            districts: BTreeSet::new(),
            citywide: matches!(place, Where::City),
            level: level.unwrap_or(4),
            alerts: BTreeSet::new(),
            cases: 0,
            first: turn.at,
            last: turn.at,
            timeline: turn.timeline,
        };
        if let Where::District(district) = place {
            incident.districts.insert(district.to_owned());
        }
        count_member(&mut incident, member, level);
        say(turn, &incident, "opened", Some(member), reason);
        self.incidents.insert(id.clone(), incident);
        self.counts.incidents += 1;
        if self.incidents.len() > limits::INCIDENTS_MAX {
            let oldest = self.incidents.values().min_by_key(|incident| (incident.last, incident.id.clone()));
            let oldest = oldest.expect("there are some").id.clone();
            self.incidents.remove(&oldest);
        }
        id
    }

    #[allow(clippy::too_many_arguments)]
    fn join(
        &mut self,
        turn: &mut Turn<'_>,
        id: &str,
        member: &str,
        scenario: &str,
        district: Option<&str>,
        level: Option<u8>,
        reason: &str,
    ) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        incident.scenarios.insert(scenario.to_owned());
        if let Some(district) = district.filter(|district| !incident.districts.contains(*district)) {
            incident.districts.insert(district.to_owned());
        }
        incident.last = incident.last.max(turn.at);
        count_member(incident, member, level);
        say(turn, incident, "joined", Some(member), reason);
    }

    /// An alert of an incident became worse.
    pub(crate) fn grade_incident(&mut self, turn: &mut Turn<'_>, id: &str, alert: &str, level: u8) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        incident.last = incident.last.max(turn.at);
        if level < incident.level {
            incident.level = level;
            say(turn, incident, "graded", Some(alert), &format!("its alert rose to level {level}"));
        }
    }

    /// Ends the incidents that nothing has joined for long and whose alerts are over.
    pub(crate) fn retire_incidents(&mut self, turn: &mut Turn<'_>) {
        let over = |incident: &&Incident| {
            incident.timeline == turn.timeline
                && turn.at - incident.last > limits::INCIDENT_AGE_MAX
                && !incident.alerts.iter().any(|alert| self.alerts.get(alert).is_some_and(|alert| self.active.get(&alert.alert_key) == Some(&alert.id)))
        };
        let over: Vec<String> = self.incidents.values().filter(over).map(|incident| incident.id.clone()).collect();
        for id in over {
            let incident = self.incidents.remove(&id).expect("just found");
            say(turn, &incident, "closed", None, "nothing has joined it for two days and no alert of it is active");
        }
    }
}

fn count_member(incident: &mut Incident, member: &str, level: Option<u8>) {
    match level {
        Some(level) => {
            incident.alerts.insert(member.to_owned());
            incident.level = incident.level.min(level);
        }
        None => incident.cases += 1,
    }
}

fn say(turn: &mut Turn<'_>, incident: &Incident, change: &str, member: Option<&str>, reason: &str) {
    let change = IncidentChange {
        id: turn.next_id(),
        incident: incident.id.clone(),
        change: change.to_owned(),
        member: member.map(str::to_owned),
        scenario: incident.scenario.clone(),
        level: incident.level,
        alerts: incident.alerts.len() as u64,
        cases: incident.cases,
        first: incident.first,
        last: incident.last,
        reason: reason.to_owned(),
        evidence: turn.evidence(),
    };
    turn.effects.push(Effect::Incident(change));
}

fn near(incident: &Incident, place: Where<'_>) -> Option<String> {
    match place {
        _ if incident.citywide => Some("all over the city".to_owned()),
        Where::District(district) if incident.districts.contains(district) => Some(format!("in {district}")),
        Where::City => Some("all over the city".to_owned()),
        Where::District(_) | Where::Unknown => None,
    }
}

/// How strongly an incident explains something of `scenario` now, and in which words.
fn explains(turn: &Turn<'_>, incident: &Incident, scenario: &str) -> Option<(u32, String)> {
    let since_last = turn.at - incident.last;
    if since_last <= limits::INCIDENT_JOIN && incident.scenarios.contains(scenario) {
        return Some((1000, format!("{scenario} goes on")));
    }
    // From what it began with, not from what has joined since: else likely steps would add up to unlikely ways.
    let link = turn.graph.link_of_scenarios(&incident.scenario, scenario)?;
    let in_time = turn.at - incident.first <= TimeDelta::minutes(i64::from(link.lag_minutes[2])) + limits::INCIDENT_JOIN;
    (link.permille >= limits::CHAIN_PERMILLE_MIN && in_time)
        .then(|| (link.permille.min(999), format!("{} ({}‰)", link.path(), link.permille)))
}
