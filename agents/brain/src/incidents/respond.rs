//! The plan of an incident: who does what on the levels 市, 区 and 街道, until when and with what, made from the plan of its
//! scenario and the graph as it is then. It is a proposal: nobody is sent before a person has approved it, or the setting
//! [`PLANS_EARNED`](crate::PLANS_EARNED) does for a kind of danger whose plans people have approved often enough in a row.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use graph::{Graph, Here, Level, Name, Plan, Scenario, Task, When};
use schemas::agent::AgentAnswer;
use schemas::journal::{Action, Command};
use serde::{Deserialize, Serialize};

use super::{Incident, here, when};
use crate::cases::brief::{taken, told};
use crate::cases::opinion::{PERSON, RULES};
use crate::effect::{Decision, Dispatch, Effect, Expected, Response, ResponseResource, ResponseTask};
use crate::limits;
use crate::state::{State, Turn, quote};

/// A plan that was proposed, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// The plan.
    pub response: Response,
    /// Whether people approved it; none while it waits for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<bool>,
    /// Units and tasks that were sent: nobody is sent twice for the same.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    sent: BTreeSet<String>,
}

/// How the plans of a kind of danger have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Earned {
    /// Plans in a row that people approved.
    in_a_row: u32,
}

/// Where an incident is: a place, a point, or neither when it is all over the city.
type Where = (Option<String>, Option<schemas::alert::Point>);

impl State {
    /// Proposes the plans of an incident that has none yet for its level.
    pub(super) fn respond(&mut self, turn: &mut Turn<'_>, id: &str) {
        let Some(incident) = self.incidents.get(id).filter(|incident| incident.level <= limits::PLANNED_LEVEL_MAX) else { return };
        let is_there = |scenario: &str| incident.nodes.iter().any(|node| !node.early && node.scenario == scenario);
        let is_planned = |scenario: &str| incident.plans.get(scenario).is_some_and(|planned| planned.response.level <= incident.level);
        let wanted = incident.scenarios.iter().filter(|scenario| is_there(scenario) && !is_planned(scenario));
        let when = when(turn, self.utc_offset_minutes);
        let drafts: Vec<Response> = wanted.filter_map(|scenario| self.draft(turn, incident, turn.graph.scenario(scenario)?, when)).collect();
        for response in drafts {
            let scenario = response.scenario.clone();
            let levels = response.tasks.iter().map(|task| task.level).collect::<BTreeSet<_>>().len();
            let reason = format!("an incident of level {} of {scenario}: {} tasks on {levels} levels, {} resources", response.level, response.tasks.len(), response.resources.len());
            let outcome = format!("{} proposed", response.plan);
            turn.effects.push(Effect::Decision(decided(turn, RULES, &outcome, reason, &response)));
            let Some(incident) = self.incidents.get_mut(id) else { return };
            let sent = incident.plans.remove(&scenario).map(|before| before.sent).unwrap_or_default();
            // The gravest are for people, whatever was earned.
            let in_a_row = self.earned.get(&scenario).map_or(0, |earned| earned.in_a_row);
            let is_earned = self.plans_earned > 0 && in_a_row >= self.plans_earned && response.level == limits::PLANNED_LEVEL_MAX;
            incident.plans.insert(scenario.clone(), Planned { response: response.clone(), approved: None, sent });
            self.ask_of_plan(turn, &response);
            if is_earned {
                self.send_plan(turn, id, &scenario, RULES, &format!("people approved the last {in_a_row} plans of {scenario}"));
            }
        }
    }

    /// A person's word about the plans of an incident.
    pub(crate) fn obey_incident(&mut self, turn: &mut Turn<'_>, command: &Command) -> Result<(), String> {
        let incident = self.incidents.get(&command.target).ok_or("there is no such incident in live state")?;
        turn.timeline = incident.timeline;
        turn.at = self.clocks.at(incident.timeline).unwrap_or(incident.last).max(incident.last);
        let (actor, reason) = (quote(&command.actor), quote(&command.reason));
        let waiting: Vec<String> = incident.plans.iter().filter(|(_, planned)| planned.approved.is_none()).map(|(scenario, _)| scenario.clone()).collect();
        let approves = match command.action {
            Action::ApprovePlan => true,
            Action::RejectPlan => false,
            _ => return Err("this is not for incidents".to_owned()),
        };
        if waiting.is_empty() {
            return Err("no plan of it waits for approval".to_owned());
        }
        for scenario in waiting {
            let in_a_row = &mut self.earned.entry(scenario.clone()).or_default().in_a_row;
            *in_a_row = if approves { in_a_row.saturating_add(1) } else { 0 };
            if approves {
                self.send_plan(turn, &command.target, &scenario, PERSON, &format!("{actor}: {reason}"));
            } else if let Some(planned) = self.incidents.get_mut(&command.target).and_then(|incident| incident.plans.get_mut(&scenario)) {
                planned.approved = Some(false);
                let outcome = format!("{} turned down", planned.response.plan);
                turn.effects.push(Effect::Decision(decided(turn, PERSON, &outcome, format!("{actor}: {reason}"), &planned.response)));
            }
        }
        Ok(())
    }

    /// Sends everybody whom a plan names, but those whom an earlier one of this incident has sent for the same.
    fn send_plan(&mut self, turn: &mut Turn<'_>, id: &str, scenario: &str, tier: &str, reason: &str) {
        let Some(planned) = self.incidents.get_mut(id).and_then(|incident| incident.plans.get_mut(scenario)) else { return };
        planned.approved = Some(true);
        let response = &planned.response;
        turn.effects.push(Effect::Decision(decided(turn, tier, &format!("{} approved", response.plan), reason.to_owned(), response)));
        for task in &response.tasks {
            if !planned.sent.insert(format!("{}: {}", task.unit, task.task.zh)) {
                continue;
            }
            let dispatch = Dispatch {
                id: turn.next_id(),
                kind: "plan".to_owned(),
                unit: task.unit.clone(),
                case: None,
                alert_key: None,
                incident: Some(id.to_owned()),
                scenario: Some(scenario.to_owned()),
                level: response.level,
                plan: Some(response.plan.clone()),
                task: Some(task.task.clone()),
                due: Some(task.due),
                reason: reason.to_owned(),
                proposed: false,
                at: turn.at,
                evidence: turn.evidence(),
            };
            turn.effects.push(Effect::Dispatch(dispatch));
        }
    }

    /// The documents of a plan have been looked up.
    pub(crate) fn plan_cited(&mut self, turn: &mut Turn<'_>, id: &str, scenario: &str, answer: &AgentAnswer) {
        let Some(incident) = self.incidents.get_mut(id) else {
            return turn.decide("noted", id, RULES, "answer too late", "the incident is no longer in live state".to_owned());
        };
        turn.timeline = incident.timeline;
        turn.at = self.clocks.at(incident.timeline).unwrap_or(incident.last).max(incident.last);
        let Some(planned) = incident.plans.get_mut(scenario) else {
            return turn.decide("noted", id, RULES, "answer too late", format!("the incident has no plan of {scenario} any more"));
        };
        let brief = taken(answer);
        let response = &mut planned.response;
        response.cites = brief.citations.iter().map(|citation| citation.section.clone()).collect();
        let outcome = if response.cites.is_empty() { format!("{} is held by no document", response.plan) } else { format!("{} rests on {}", response.plan, response.cites.join(", ")) };
        let decision = told(turn, "plan", id, &outcome, brief, answer);
        turn.effects.push(Effect::Decision(Decision { unit: Some(response.lead.clone()), response: Some(Box::new(response.clone())), ..decision }));
    }

    fn draft(&self, turn: &Turn<'_>, incident: &Incident, scenario: &Scenario, when: When) -> Option<Response> {
        let plan = turn.graph.plan(&scenario.plan)?;
        let places = places(incident, &scenario.id);
        let tasks = tasks(turn, plan, scenario, incident.level, &places, when);
        if tasks.is_empty() {
            return None;
        }
        let (resources, lacking) = resources(turn.graph, plan, &places, when);
        Some(Response {
            incident: incident.id.clone(),
            scenario: scenario.id.clone(),
            plan: plan.id.clone(),
            name: plan.name.clone(),
            level: incident.level,
            lead: scenario.unit.clone(),
            tasks,
            resources,
            lacking,
            basis: plan.basis.clone(),
            cites: Vec::new(),
            outlook: outlook(turn.graph, &incident.expected, self.utc_offset_minutes),
        })
    }
}

/// Where an incident of a scenario is, each place once, the first ones first.
fn places(incident: &Incident, scenario: &str) -> Vec<Where> {
    let mut places: Vec<Where> = Vec::new();
    for node in incident.nodes.iter().filter(|node| !node.early && node.scenario == scenario) {
        let here = here(&node.spread);
        let place = (here.place.map(str::to_owned), here.point);
        // The same place without coordinates says less.
        let is_full = places.len() >= limits::PLAN_PLACES_MAX;
        match places.iter_mut().find(|known| known.0 == place.0 && (known.1 == place.1 || known.1.is_none() || place.1.is_none())) {
            Some(known) => known.1 = known.1.or(place.1),
            None if is_full => {}
            None => places.push(place),
        }
    }
    places
}

fn tasks(turn: &Turn<'_>, plan: &Plan, scenario: &Scenario, level: u8, places: &[Where], when: When) -> Vec<ResponseTask> {
    let mut tasks: Vec<ResponseTask> = Vec::new();
    for task in plan.tasks.iter().filter(|task| level <= task.from_level) {
        for (unit, stands_in) in who(turn.graph, task, scenario, places, when) {
            let due = turn.at + TimeDelta::minutes(i64::from(task.within_minutes));
            if !tasks.iter().any(|known| known.unit == unit && known.task == task.task) {
                tasks.push(ResponseTask { level: task.level, unit, stands_in, task: task.task.clone(), due });
            }
        }
    }
    tasks.sort_by(|a, b| (a.level, a.due).cmp(&(b.level, b.due)));
    tasks
}

/// The units of a task: the one that it names, else those of its level in each place that owe the scenario's matters or look
/// after the place, else the nearest level above.
fn who(graph: &Graph, task: &Task, scenario: &Scenario, places: &[Where], when: When) -> Vec<(String, bool)> {
    if let Some(unit) = task.unit.as_ref().filter(|unit| graph.unit(unit).is_some()) {
        return vec![(unit.clone(), false)];
    }
    let is_of = |level: Level| move |unit: &&String| graph.unit(unit).is_some_and(|unit| unit.level == level);
    let mut units: Vec<(String, bool)> = Vec::new();
    for (place, point) in places {
        let here = Here { place: place.as_deref(), point: *point };
        let owed = scenario.categories.first().map(|category| graph.who_owes(category, here, when));
        let owing: Vec<String> = owed.into_iter().flat_map(|owed| std::iter::once(owed.unit).chain(owed.superiors)).collect();
        let at = |level: Level| match owing.iter().find(is_of(level)) {
            Some(unit) => vec![unit.clone()],
            None => graph.units_at(level, here, when).into_iter().take(limits::PLAN_PLACES_MAX).map(|unit| unit.id.clone()).collect(),
        };
        let found = at(task.level);
        if !found.is_empty() {
            units.extend(found.into_iter().map(|unit| (unit, false)));
            continue;
        }
        let above = if task.level == Level::Street { at(Level::District) } else { Vec::new() };
        units.push((above.into_iter().next().unwrap_or_else(|| scenario.unit.clone()), true));
    }
    if units.is_empty() {
        units.push((scenario.unit.clone(), task.level != Level::City));
    }
    units
}

/// What can be there in time, of each kind that a plan needs, and the kinds of which nothing can.
fn resources(graph: &Graph, plan: &Plan, places: &[Where], when: When) -> (Vec<ResponseResource>, Vec<String>) {
    let point = places.iter().find_map(|(place, point)| graph.point_of(Here { place: place.as_deref(), point: *point }));
    let mut found: Vec<ResponseResource> = Vec::new();
    if let Some(point) = point.filter(|_| !plan.resources.is_empty()) {
        let reaching = graph.what_reaches(point, &plan.resources, limits::RESOURCE_MINUTES_MAX, when, limits::PLAN_RESOURCES_MAX);
        found.extend(reaching.into_iter().map(|it| ResponseResource { resource: it.resource, kind: it.kind, unit: it.unit, count: it.count, minutes: it.minutes }));
    }
    let lacking = plan.resources.iter().filter(|kind| !found.iter().any(|it| it.kind == **kind)).cloned().collect();
    (found, lacking)
}

/// What may follow, in words and numbers.
fn outlook(graph: &Graph, expected: &[Expected], utc_offset_minutes: i32) -> Option<Name> {
    let clock = |at: DateTime<Utc>| (at + TimeDelta::minutes(i64::from(utc_offset_minutes))).format("%H:%M").to_string();
    let (mut zh, mut en) = (Vec::new(), Vec::new());
    for next in expected.iter().take(limits::OUTLOOK_MAX) {
        let name = graph.event(&next.event).map_or_else(|| Name { zh: next.event.clone(), en: next.event.clone() }, |event| event.name.clone());
        let (percent, from, until) = ((next.permille + 5) / 10, clock(next.from), clock(next.until));
        let (far_zh, far_en) = match next.reach.as_str() {
            "district" => ("本区内".to_owned(), "in the district".to_owned()),
            "city" => ("全市".to_owned(), "all over the city".to_owned()),
            metres => (format!("{metres} 米内"), format!("within {metres} m")),
        };
        let (seen_zh, seen_en) = if next.seen == 0 { Default::default() } else { (format!("，据 {} 起事件", next.seen), format!(", from {} incidents", next.seen)) };
        zh.push(format!("{}（{percent}%，{from} 至 {until}，{far_zh}{seen_zh}）", name.zh));
        en.push(format!("{} ({percent} %, {from} to {until}, {far_en}{seen_en})", name.en));
    }
    (!zh.is_empty()).then(|| Name { zh: format!("可能随后发生：{}", zh.join("；")), en: format!("May follow: {}", en.join("; ")) })
}

fn decided(turn: &Turn<'_>, tier: &str, outcome: &str, reason: String, response: &Response) -> Decision {
    Decision { unit: Some(response.lead.clone()), response: Some(Box::new(response.clone())), ..turn.decision("plan", &response.incident, tier, outcome, reason) }
}
