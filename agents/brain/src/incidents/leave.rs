//! What turned out to be none leaves its incident, and what hung on it alone becomes an incident of its own.

use std::collections::BTreeSet;

use super::tie::{Answer, ask};
use super::{Incident, Node, Said, Sighting, is_alert, say, when};
use crate::state::{State, Turn};

impl State {
    /// Takes a case or an alert out of its incident.
    pub(crate) fn leave_incident(&mut self, turn: &mut Turn<'_>, member: &str, reason: &str) {
        let own = match is_alert(member) {
            true => self.alerts.get(member).and_then(|alert| alert.incident.clone()),
            false => crate::cases::case_seq(member).and_then(|seq| self.cases.get(&seq)).and_then(|case| case.incident.clone()),
        };
        let Some(mut incident) = own.and_then(|id| self.incidents.remove(&id)) else { return };
        self.belongs(member, None);
        let mut gone = None;
        if let Some(node) = incident.nodes.iter_mut().find(|node| node.members.contains(member)) {
            node.members.remove(member);
            gone = node.members.is_empty().then_some(node.id);
        }
        let mut parts = gone.map(|gone| self.fall_apart(turn, &mut incident, gone)).unwrap_or_default();
        self.settle_after(&mut incident);
        let expected = self.expect_next(turn, &mut incident);
        say(turn, &incident, Said { member: Some(member), expected, ..Said::of("left", reason) });
        if incident.nodes.is_empty() {
            say(turn, &incident, Said::of("closed", "nothing is left of it"));
        } else {
            self.incidents.insert(incident.id.clone(), incident.clone());
        }
        for part in &mut parts {
            part.id = format!("incident-{}", turn.next_id());
            for member in part.nodes.iter().flat_map(|node| &node.members) {
                self.belongs(member, Some(&part.id));
            }
            self.settle_after(part);
            self.expect_next(turn, part);
            let reason = format!("without {member} nothing joins it to {}", incident.id);
            say(turn, part, Said { other: Some(&incident.id), expected: true, ..Said::of("split", reason) });
            self.counts.incidents += 1;
            self.incidents.insert(part.id.clone(), part.clone());
        }
    }

    /// Removes a node. What hung on it is hung elsewhere where the graph knows a way; the rest comes out as parts.
    fn fall_apart(&self, turn: &Turn<'_>, incident: &mut Incident, gone: u32) -> Vec<Incident> {
        incident.nodes.retain(|node| node.id != gone);
        for node in &mut incident.nodes {
            if node.tie.as_ref().is_some_and(|tie| tie.to == gone) {
                node.tie = None;
            }
        }
        let roots: Vec<u32> = incident.nodes.iter().filter(|node| node.tie.is_none()).map(|node| node.id).collect();
        let mut whole = std::mem::take(&mut incident.nodes);
        let Some((first, others)) = roots.split_first() else { return Vec::new() };
        incident.nodes = take_tree(&mut whole, *first);
        let when = when(turn, self.utc_offset_minutes);
        let mut parts = Vec::new();
        for root in others {
            let mut tree = take_tree(&mut whole, *root);
            match ask(turn.graph, when, incident, &as_sighting(&tree[0])) {
                Answer::Tied(found) => {
                    tree[0].tie = Some(found.tie);
                    incident.nodes.append(&mut tree);
                }
                Answer::Rejected(_) | Answer::Strangers => {
                    let mut part = Incident { nodes: tree, plans: Default::default(), ..incident.clone() };
                    part.scenario.clone_from(&part.nodes[0].scenario);
                    (part.first, part.last) = (part.nodes[0].first, part.nodes[0].last);
                    parts.push(part);
                }
            }
        }
        parts
    }

    /// Counts, places, times and level of an incident that has become smaller.
    fn settle_after(&self, incident: &mut Incident) {
        incident.recount();
        let levels = incident.alerts.iter().filter_map(|alert| self.alerts.get(alert)).map(|alert| alert.level);
        incident.level = levels.min().unwrap_or(4);
        let cases = incident.nodes.iter().flat_map(|node| &node.members).filter_map(|member| crate::cases::case_seq(member));
        incident.risks = cases.filter(|seq| self.cases.get(seq).is_some_and(|case| case.risk_to_life)).count() as u64;
    }
}

/// The tree that hangs on a node, that node first.
fn take_tree(nodes: &mut Vec<Node>, root: u32) -> Vec<Node> {
    let mut ids = BTreeSet::from([root]);
    // Nodes stand in any order after a merge: until nothing is added.
    loop {
        let before = ids.len();
        let hanging = nodes.iter().filter(|node| node.tie.as_ref().is_some_and(|tie| ids.contains(&tie.to)));
        let hanging: Vec<u32> = hanging.map(|node| node.id).collect();
        ids.extend(hanging);
        if ids.len() == before {
            break;
        }
    }
    let (mut tree, rest): (Vec<Node>, Vec<Node>) = nodes.drain(..).partition(|node| ids.contains(&node.id));
    *nodes = rest;
    tree.sort_by_key(|node| (node.id != root, node.id));
    tree
}

fn as_sighting(node: &Node) -> Sighting {
    Sighting {
        member: String::new(),
        event: node.event.clone(),
        scenario: node.scenario.clone(),
        spread: node.spread.clone(),
        at: node.first,
        level: None,
        early: node.early,
        everyday: false,
        risk_to_life: false,
    }
}
