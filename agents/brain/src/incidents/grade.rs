//! How grave an incident is: the worst level of its alerts, and what the rules of its scenarios say.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use graph::{Grade, Graph};

use super::{Incident, Said, is_alert, say};
use crate::state::{Alert, State, Turn};

impl State {
    /// An alert of an incident became worse.
    pub(crate) fn worsen_incident(&mut self, turn: &mut Turn<'_>, id: &str, alert: &str, level: u8) {
        if self.alerts.get(alert).is_some_and(Alert::is_early) {
            return;
        }
        self.is_there(id, alert, level, turn.at);
        let Some(incident) = self.incidents.get_mut(id) else { return };
        incident.last = incident.last.max(turn.at);
        if level < incident.level {
            incident.level = level;
            say(turn, incident, Said { member: Some(alert), ..Said::of("graded", format!("its alert rose to level {level}")) });
        }
        self.respond(turn, id);
    }

    /// An alert that was mild tells of the thing itself now.
    fn is_there(&mut self, id: &str, alert: &str, level: u8, now: DateTime<Utc>) {
        let Some(incident) = self.incidents.get_mut(id).filter(|_| level < 4) else { return };
        for node in incident.nodes.iter_mut().filter(|node| node.early && node.members.contains(alert)) {
            (node.early, node.onset) = (false, now);
        }
    }

    /// Looks whether a rule makes an incident graver than it was.
    pub(super) fn grade_incident(&mut self, turn: &mut Turn<'_>, id: &str, member: &str) {
        let Some(incident) = self.incidents.get_mut(id) else { return };
        if let Some((level, reason)) = by_rules(turn.graph, incident).filter(|(level, _)| *level < incident.level) {
            incident.level = level;
            say(turn, incident, Said { member: Some(member), ..Said::of("graded", reason) });
        }
    }
}

/// The gravest level that a rule gives, and which.
fn by_rules(graph: &Graph, incident: &Incident) -> Option<(u8, String)> {
    let scenarios = incident.scenarios.iter().filter_map(|id| graph.scenario(id));
    let holding = scenarios.flat_map(|scenario| scenario.grades.iter().filter_map(|grade| Some((grade.level, format!("{}: {}", scenario.id, holds(&scenario.id, grade, incident)?)))));
    holding.min()
}

/// Whether all that a rule asks for is there, in words.
fn holds(scenario: &str, grade: &Grade, incident: &Incident) -> Option<String> {
    let nodes = || incident.nodes.iter().filter(|node| node.scenario == scenario);
    let mut said = Vec::new();
    if grade.risk_to_life {
        (incident.risks > 0).then_some(())?;
        said.push("somebody's life is at risk".to_owned());
    }
    if let Some(reports) = grade.reports {
        let cases = nodes().flat_map(|node| &node.members).filter(|member| !is_alert(member)).count();
        (cases >= reports as usize).then_some(())?;
        said.push(format!("{reports} reports"));
    }
    if let Some(districts) = grade.districts {
        let touched: BTreeSet<&String> = nodes().flat_map(|node| &node.spread.districts).collect();
        (touched.len() >= districts as usize).then_some(())?;
        said.push(format!("{districts} districts"));
    }
    if !grade.events.is_empty() {
        said.push(grade.events.iter().find(|event| incident.has_happened(event))?.clone());
    }
    Some(said.join(", "))
}
