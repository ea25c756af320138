//! Where something new goes: into the incident that explains it best, together with others into a new one, or nowhere yet.

use graph::Graph;

use super::tie::{Answer, Found, ask};
use super::{Incident, Node, Said, Sighting, Tie, say, when};
use crate::cases::MACHINE;
use crate::effect::{Considered, Relation};
use crate::limits;
use crate::state::{Case, State, Turn};

impl State {
    /// Puts a new case where it belongs. `text` is what was said.
    pub(crate) fn join_case(&mut self, turn: &mut Turn<'_>, case: &mut Case, text: &str) {
        if case.channel == MACHINE {
            case.incident = self.join_its_alert(turn, case);
            return;
        }
        let new = self.sighting_of_case(turn, case, text);
        let (tied, considered) = self.explaining(turn, &new);
        if !tied.is_empty() {
            case.incident = Some(self.join_best(turn, &new, tied, considered));
            return;
        }
        // Everyday matters repeat without being one.
        let together = match new.everyday {
            true => None,
            false => self.join_loose(turn, &new).or_else(|| self.join_same_place(turn, case, &new)),
        };
        let is_urgent = case.urgency == 1 && case.scenario.is_some() && new.event.is_some();
        let alone = "it is urgent, and nothing that goes on explains it";
        case.incident = together.or_else(|| is_urgent.then(|| self.open(turn, &new, alone, considered)));
        if case.incident.is_none() && new.event.is_some() && case.urgency < 4 {
            self.keep_loose(turn, new);
        }
    }

    /// A case that a station's alert opened is where that alert is.
    fn join_its_alert(&mut self, turn: &mut Turn<'_>, case: &Case) -> Option<String> {
        let id = self.alerts.get(&case.request)?.incident.clone()?;
        let node = self.incidents.get(&id)?.nodes.iter().find(|node| node.members.contains(&case.request))?;
        let tie = Tie { to: node.id, relation: Relation::Evidence, permille: 1000, chain: None, reason: format!("opened by {}", case.request) };
        let new = Sighting { event: node.event.clone(), spread: node.spread.clone(), ..self.sighting_of_case(turn, case, "") };
        self.join(turn, &id, &new, tie, Vec::new());
        Some(id)
    }

    /// The incident of a new alert: the one that explains it best, or a new one.
    pub(crate) fn join_alert(&mut self, turn: &mut Turn<'_>, alert: &str) {
        let new = Self::sighting_of_alert(turn, &self.alerts[alert]);
        let (tied, considered) = self.explaining(turn, &new);
        let id = match tied.is_empty() {
            false => self.join_best(turn, &new, tied, considered),
            true => {
                let id = self.open(turn, &new, "nothing that goes on explains it", considered);
                self.adopt_loose(turn, &id);
                id
            }
        };
        self.belongs(alert, Some(&id));
    }

    /// Brings a case into an incident because an alert of it rests on the case; what the case belonged to comes with it.
    pub(crate) fn adopt_case(&mut self, turn: &mut Turn<'_>, seq: u64, incident: &str, reason: &str) {
        let Some(case) = self.cases.get(&seq) else { return };
        let member = case.id.clone();
        match case.incident.clone() {
            Some(own) if own == incident => {}
            Some(own) if self.incidents.contains_key(&own) => {
                let Some(to) = self.incidents.get(incident).and_then(|incident| incident.nodes.first()).map(|node| node.id) else { return };
                let held = |node: &&Node| node.members.contains(&member);
                let Some(node) = self.incidents[&own].nodes.iter().find(held).map(|node| node.id) else { return };
                let tie = Tie { to, relation: Relation::Evidence, permille: 1000, chain: None, reason: reason.to_owned() };
                self.merge_incidents(turn, incident, &own, node, tie);
            }
            _ => {
                let new = self.sighting_of_case(turn, &self.cases[&seq], "");
                self.drop_loose(turn, &new);
                let Some(first) = self.incidents.get(incident).and_then(|incident| incident.nodes.first()) else { return };
                let tie = Tie { to: first.id, relation: Relation::Evidence, permille: 1000, chain: None, reason: reason.to_owned() };
                self.join(turn, incident, &new, tie, Vec::new());
                self.belongs(&member, Some(incident));
            }
        }
    }

    /// All incidents that explain something new, and some of those that were considered and do not.
    fn explaining(&self, turn: &Turn<'_>, new: &Sighting) -> (Vec<(String, Found)>, Vec<Considered>) {
        let when = when(turn, self.utc_offset_minutes);
        let (mut tied, mut considered) = (Vec::new(), Vec::new());
        // The latest are the likeliest to be meant, so they are named first.
        for incident in self.incidents.values().rev().filter(|incident| incident.timeline == turn.timeline) {
            match ask(turn.graph, when, incident, new) {
                Answer::Tied(found) => tied.push((incident.id.clone(), found)),
                Answer::Rejected(reason) if considered.len() < limits::CONSIDERED_MAX => considered.push(Considered { incident: incident.id.clone(), reason }),
                Answer::Rejected(_) | Answer::Strangers => {}
            }
        }
        tied.sort_by(|a, b| b.1.weight.cmp(&a.1.weight).then_with(|| b.0.cmp(&a.0)));
        (tied, considered)
    }

    /// Joins the first of these, and brings those into it that something new shows to be one with it.
    fn join_best(&mut self, turn: &mut Turn<'_>, new: &Sighting, tied: Vec<(String, Found)>, mut considered: Vec<Considered>) -> String {
        let mut tied = tied.into_iter();
        let (mut id, best) = tied.next().expect("the caller has one");
        let mut one_with_it = Vec::new();
        for (other, found) in tied {
            if self.are_one(new, &best, &other, &found) {
                one_with_it.push((other, found.tie));
            } else if considered.len() < limits::CONSIDERED_MAX {
                considered.insert(0, Considered { incident: other, reason: format!("less likely: {}", found.tie.reason) });
            }
        }
        let (node, is_new) = self.join(turn, &id, new, best.tie, considered);
        let mut node = node;
        for (other, tie) in one_with_it {
            // The older one stays.
            let reason = format!("{} is in both: {}", new.member, tie.reason);
            let begun = |id: &String| (self.incidents[id].first, id.clone());
            if begun(&other) < begun(&id) {
                let hang = Tie { to: tie.to, reason, ..tie };
                node = self.merge_incidents(turn, &other, &id, node, hang);
                id = other;
            } else {
                let hang = Tie { to: node, relation: inverse(tie.relation), reason, ..tie.clone() };
                self.merge_incidents(turn, &id, &other, tie.to, hang);
            }
        }
        if is_new {
            self.adopt_loose(turn, &id);
        }
        id
    }

    /// Whether something that is tied to two incidents shows that they are one: the same event goes on in both, or it is
    /// what the other one came of.
    fn are_one(&self, new: &Sighting, best: &Found, other: &str, found: &Found) -> bool {
        let began_with_it = || self.incidents.get(other).and_then(|incident| incident.node(found.tie.to)).is_some_and(|node| node.tie.is_none());
        match (best.tie.relation, found.tie.relation) {
            // What is all over the city takes in what has no other cause.
            (Relation::GoesOn, Relation::GoesOn) => found.weight >= limits::MERGE_WEIGHT_MIN && (!new.spread.city || began_with_it()),
            (_, Relation::Explains) => found.tie.permille >= limits::MERGE_PERMILLE_MIN && began_with_it(),
            _ => false,
        }
    }

    /// Begins an incident.
    fn open(&mut self, turn: &mut Turn<'_>, new: &Sighting, reason: &str, considered: Vec<Considered>) -> String {
        let id = format!("incident-{}", turn.next_id());
        let mut incident = Incident::of(&id, turn.timeline, new);
        self.expect_next(turn, &mut incident);
        let event = new.event.as_deref();
        let said = Said { member: Some(&new.member), event, considered, expected: true, ..Said::of("opened", reason) };
        say(turn, &incident, said);
        self.incidents.insert(id.clone(), incident);
        self.counts.incidents += 1;
        self.grade_incident(turn, &id, &new.member);
        self.respond(turn, &id);
        if self.incidents.len() > limits::INCIDENTS_MAX {
            let oldest = self.incidents.values().filter(|incident| incident.id != id).min_by_key(|incident| (incident.last, incident.id.clone()));
            let oldest = oldest.expect("there are some").id.clone();
            self.incidents.remove(&oldest);
        }
        id
    }

    /// Adds something to an incident; gives the node where it is, and whether that is a new one.
    fn join(&mut self, turn: &mut Turn<'_>, id: &str, new: &Sighting, tie: Tie, considered: Vec<Considered>) -> (u32, bool) {
        let mut incident = self.incidents.remove(id).expect("the caller found it");
        let full = incident.nodes.len() >= limits::NODES_MAX;
        let same = |node: &Node| node.event == new.event && (full || node.spread.city || node.spread.districts.is_superset(&new.spread.districts));
        let known = incident.nodes.iter().position(|node| node.id == tie.to).expect("a tie names a node");
        let in_known = matches!(tie.relation, Relation::GoesOn | Relation::Evidence) && same(&incident.nodes[known]) || full;
        let mut happened = false;
        let node = match in_known {
            true => {
                let node = &mut incident.nodes[known];
                node.spread.take_in(&new.spread);
                (node.first, node.last) = (node.first.min(new.at), node.last.max(new.at));
                node.members.insert(new.member.clone());
                happened = node.early && !new.early;
                if happened {
                    node.onset = new.at;
                }
                node.early &= new.early;
                node.id
            }
            false => {
                let node = incident.next_node;
                incident.next_node += 1;
                incident.nodes.push(Node { tie: Some(tie.clone()), ..Node::of(node, new) });
                node
            }
        };
        incident.scenarios.insert(new.scenario.clone());
        incident.events.extend(new.event.clone());
        incident.districts.extend(new.spread.districts.iter().cloned());
        incident.citywide |= new.spread.city;
        (incident.first, incident.last) = (incident.first.min(new.at), incident.last.max(new.at));
        incident.risks += u64::from(new.risk_to_life);
        match new.level {
            Some(level) => {
                incident.alerts.insert(new.member.clone());
                incident.level = incident.level.min(level);
            }
            None => incident.cases += 1,
        }
        let expected = (!in_known || happened) && self.expect_next(turn, &mut incident);
        let said = Said {
            member: Some(&new.member),
            event: new.event.as_deref(),
            tie: Some(&tie),
            considered,
            expected,
            ..Said::of("joined", tie.reason.clone())
        };
        say(turn, &incident, said);
        self.incidents.insert(id.to_owned(), incident);
        self.grade_incident(turn, id, &new.member);
        self.respond(turn, id);
        (node, !in_known)
    }

    /// Two incidents are one: `from` goes into `into`, hanging by its node `by`. Gives what that node is called there.
    pub(super) fn merge_incidents(&mut self, turn: &mut Turn<'_>, into: &str, from: &str, by: u32, tie: Tie) -> u32 {
        let mut from = self.incidents.remove(from).expect("the caller found it");
        let mut incident = self.incidents.remove(into).expect("the caller found it");
        from.hang_by(by);
        let offset = incident.next_node;
        incident.next_node += from.next_node;
        for node in &mut from.nodes {
            let hangs = node.id == by;
            node.id += offset;
            match node.tie.as_mut() {
                _ if hangs => node.tie = Some(tie.clone()),
                Some(tie) => tie.to += offset,
                None => {}
            }
            for member in &node.members {
                self.belongs(member, Some(&incident.id));
            }
        }
        incident.nodes.append(&mut from.nodes);
        incident.fold_nodes();
        incident.risks += from.risks;
        incident.level = incident.level.min(from.level);
        incident.recount();
        let expected = self.expect_next(turn, &mut incident);
        let reason = format!("merged into {}: {}", incident.id, tie.reason);
        say(turn, &from, Said { other: Some(&incident.id), ..Said::of("closed", reason) });
        say(turn, &incident, Said { other: Some(&from.id), tie: Some(&tie), expected, ..Said::of("merged", tie.reason.clone()) });
        let id = incident.id.clone();
        self.incidents.insert(id.clone(), incident);
        self.grade_incident(turn, &id, &from.id);
        self.respond(turn, &id);
        by + offset
    }

    /// A case at the place of an earlier one of its category, whatever the graph knows of it.
    fn join_same_place(&mut self, turn: &mut Turn<'_>, case: &Case, new: &Sighting) -> Option<String> {
        let earlier = *self.places.get(case.place.as_ref()?)?;
        let first = self.cases.get(&earlier).filter(|first| turn.at - first.opened <= limits::SAME_PLACE)?;
        let reason = format!("{} at the same place within a day", case.category);
        let (member, known) = (first.id.clone(), first.incident.clone().filter(|id| self.incidents.contains_key(id)));
        let id = match known {
            Some(id) => id,
            None => {
                let old = self.sighting_of_case(turn, &self.cases[&earlier], "");
                self.drop_loose(turn, &old);
                let id = self.open(turn, &old, &reason, Vec::new());
                self.belongs(&member, Some(&id));
                id
            }
        };
        let to = self.incidents[&id].nodes.iter().find(|node| node.members.contains(&member)).or(self.incidents[&id].nodes.first())?.id;
        let tie = Tie { to, relation: Relation::SamePlace, permille: 1000, chain: None, reason };
        self.join(turn, &id, new, tie, Vec::new());
        Some(id)
    }

    /// A case that explains, with one that belonged to nothing, what neither says alone: together they are an incident.
    fn join_loose(&mut self, turn: &mut Turn<'_>, new: &Sighting) -> Option<String> {
        let when = when(turn, self.utc_offset_minutes);
        let mut best: Option<(Found, Sighting)> = None;
        for old in self.loose_near(turn, new) {
            let alone = Incident::of("", turn.timeline, old);
            let Answer::Tied(found) = ask(turn.graph, when, &alone, new) else { continue };
            // Two reports of one kind are one matter when they are beside one another, and a chain must be more than possible.
            let close = || old.spread.metres(&new.spread).is_some_and(|metres| metres <= limits::SAME_MATTER_M);
            let enough = if found.tie.relation == Relation::GoesOn { close() } else { found.tie.permille >= limits::MERGE_PERMILLE_MIN };
            if enough && best.as_ref().is_none_or(|(known, _)| found.weight > known.weight) {
                best = Some((found, old.clone()));
            }
        }
        let (found, old) = best?;
        self.drop_loose(turn, &old);
        let id = self.open(turn, &old, &format!("together with {}: {}", new.member, found.tie.reason), Vec::new());
        self.belongs(&old.member, Some(&id));
        self.join(turn, &id, new, found.tie, Vec::new());
        self.adopt_loose(turn, &id);
        Some(id)
    }

    /// What belonged to nothing may belong to an incident that has just begun or grown.
    fn adopt_loose(&mut self, turn: &mut Turn<'_>, id: &str) {
        let when = when(turn, self.utc_offset_minutes);
        let incident = &self.incidents[id];
        let mut found = Vec::new();
        for (key, waiting) in self.loose.iter().filter(|(key, _)| of_timeline(key, turn.timeline)) {
            let event = key.split_once('/').map_or("", |(_, event)| event);
            if !incident.events.iter().any(|known| known == event || related(turn.graph, known, event)) {
                continue;
            }
            for old in waiting.iter().filter(|old| turn.at - old.at <= limits::INCIDENT_JOIN) {
                if let Answer::Tied(tied) = ask(turn.graph, when, incident, old) {
                    found.push((old.clone(), tied.tie));
                }
            }
        }
        found.truncate(limits::ADOPTED_MAX);
        for (old, tie) in found {
            self.drop_loose(turn, &old);
            self.join(turn, id, &old, tie, Vec::new());
            self.belongs(&old.member, Some(id));
        }
    }

    fn keep_loose(&mut self, turn: &Turn<'_>, new: Sighting) {
        let Some(event) = new.event.as_ref() else { return };
        let waiting = self.loose.entry(format!("{}/{event}", turn.timeline)).or_default();
        while waiting.front().is_some_and(|old| turn.at - old.at > limits::INCIDENT_JOIN) || waiting.len() >= limits::LOOSE_MAX {
            waiting.pop_front();
        }
        waiting.push_back(new);
    }

    pub(super) fn drop_loose(&mut self, turn: &Turn<'_>, old: &Sighting) {
        let Some(event) = old.event.as_ref() else { return };
        let key = format!("{}/{event}", turn.timeline);
        if let Some(waiting) = self.loose.get_mut(&key) {
            waiting.retain(|known| known.member != old.member);
            if waiting.is_empty() {
                self.loose.remove(&key);
            }
        }
    }

    /// What waits and may have to do with something new.
    fn loose_near<'a>(&'a self, turn: &'a Turn<'_>, new: &'a Sighting) -> impl Iterator<Item = &'a Sighting> {
        let event = new.event.as_deref().unwrap_or("");
        let keys = self.loose.iter().filter(move |(key, _)| {
            let known = key.split_once('/').map_or("", |(_, event)| event);
            of_timeline(key, turn.timeline) && (known == event || related(turn.graph, known, event))
        });
        let fresh = |old: &&Sighting| (new.at - old.at).abs() <= limits::INCIDENT_JOIN;
        keys.flat_map(|(_, waiting)| waiting).filter(fresh)
    }
}

fn of_timeline(key: &str, timeline: u32) -> bool {
    key.split_once('/').is_some_and(|(of, _)| of.parse() == Ok(timeline))
}

fn related(graph: &Graph, one: &str, other: &str) -> bool {
    graph.causes_of(one).any(|cause| cause == other) || graph.causes_of(other).any(|cause| cause == one)
}

/// The relation seen from the other end.
fn inverse(relation: Relation) -> Relation {
    match relation {
        Relation::ComesOf => Relation::Explains,
        Relation::Explains => Relation::ComesOf,
        same => same,
    }
}

impl Node {
    fn of(id: u32, new: &Sighting) -> Self {
        Self {
            id,
            event: new.event.clone(),
            scenario: new.scenario.clone(),
            spread: new.spread.clone(),
            first: new.at,
            last: new.at,
            onset: new.at,
            early: new.early,
            members: [new.member.clone()].into(),
            tie: None,
        }
    }
}

impl Incident {
    fn of(id: &str, timeline: u32, new: &Sighting) -> Self {
        let mut incident = Self {
            id: id.to_owned(),
            scenario: new.scenario.clone(),
            scenarios: [new.scenario.clone()].into(),
            events: new.event.iter().cloned().collect(),
            districts: new.spread.districts.clone(),
            citywide: new.spread.city,
            level: new.level.unwrap_or(4),
            alerts: Default::default(),
            cases: 0,
            risks: u64::from(new.risk_to_life),
            first: new.at,
            last: new.at,
            nodes: vec![Node::of(0, new)],
            expected: Vec::new(),
            plans: Default::default(),
            next_node: 1,
            timeline,
        };
        match new.level {
            Some(_) => drop(incident.alerts.insert(new.member.clone())),
            None => incident.cases = 1,
        }
        incident
    }

    /// Turns the tree round, so that it hangs by this node.
    pub(super) fn hang_by(&mut self, id: u32) {
        let (mut at, mut tie) = (id, None);
        for _ in 0..=self.nodes.len() {
            let Some(node) = self.nodes.iter_mut().find(|node| node.id == at) else { return };
            let Some(up) = std::mem::replace(&mut node.tie, tie) else { return };
            tie = Some(Tie { to: at, relation: inverse(up.relation), ..up.clone() });
            at = up.to;
        }
    }

    /// Nodes beyond what one incident may have go into the one that they hang on.
    fn fold_nodes(&mut self) {
        while self.nodes.len() > limits::NODES_MAX {
            let last = self.nodes.pop().expect("there are many");
            let to = last.tie.as_ref().map_or(self.nodes[0].id, |tie| tie.to);
            for node in &mut self.nodes {
                if node.tie.as_ref().is_some_and(|tie| tie.to == last.id) {
                    node.tie.as_mut().expect("just looked at").to = to;
                }
                if node.id == to {
                    node.spread.take_in(&last.spread);
                    (node.first, node.last) = (node.first.min(last.first), node.last.max(last.last));
                    node.members.extend(last.members.iter().cloned());
                    node.early &= last.early;
                }
            }
        }
    }
}
