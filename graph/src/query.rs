//! The questions that the graph answers, each with the path that says why.

use std::collections::BTreeMap;

use petgraph::Direction;
use petgraph::stable_graph::NodeIndex;
use petgraph::visit::EdgeRef;

use crate::{Edge, Graph, Level, Node, Unit, limits};

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

/// What can follow an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The events one after another, without the first.
    pub steps: Vec<ChainStep>,
    /// The product of the steps' probabilities, in thousandths.
    pub permille: u32,
    /// Earliest and latest minute after the first event.
    pub lag_minutes: (u32, u32),
}

/// One event of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainStep {
    /// The event type.
    pub event: String,
    /// Its name in Chinese and English.
    pub name: (String, String),
    /// The scenario that it belongs to.
    pub scenario: Option<String>,
    /// What is dangerous about it.
    pub hazard: String,
}

/// How one scenario can bring about another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The event types from cause to effect.
    pub path: Vec<String>,
    /// How likely, in thousandths.
    pub permille: u32,
    /// Latest minute after the cause.
    pub lag_minutes_max: u32,
}

impl Graph {
    /// Who owes a matter of `category` in `district` at local `hour`. Somebody always does.
    pub fn who_owes(&self, category: &str, district: Option<&str>, hour: u8) -> Owed {
        let mut owing = self.owing(category, district, hour);
        owing.sort_by(|a, b| a.rank.cmp(&b.rank).then_with(|| a.unit.id.cmp(&b.unit.id)));
        let mut path = vec![format!("category {category}")];
        let unit = match owing.first() {
            Some(duty) => {
                path.push(duty.why.clone());
                duty.unit.id.clone()
            }
            None => {
                path.push(format!("nobody owes {category} here: default unit {}", self.default_unit));
                self.default_unit.clone()
            }
        };
        let superiors = self.superiors(&unit);
        path.extend(superiors.iter().map(|superior| format!("reports to {superior}")));
        let alternatives = owing.into_iter().skip(1).map(|duty| duty.unit.id.clone()).collect();
        Owed { unit, superiors, alternatives, path }
    }

    fn owing(&self, category: &str, district: Option<&str>, hour: u8) -> Vec<Duty<'_>> {
        let Some(&from) = self.categories.get(category) else { return Vec::new() };
        let mut owing = Vec::new();
        for edge in self.graph.edges(from) {
            let (Edge::OwedBy { district: place, hours }, Node::Unit(unit)) = (edge.weight(), &self.graph[edge.target()]) else {
                continue;
            };
            let here = place.as_deref().is_none_or(|place| Some(place) == district);
            let now = hours.is_none_or(|hours| within(hours, hour));
            if here && now {
                let place_text = place.as_deref().unwrap_or("every district");
                let hours_text = hours.map_or_else(String::new, |(from, to)| format!(", {from}-{to} h"));
                let why = format!("owed by {} ({place_text}{hours_text})", unit.id);
                // The narrower comes first.
                let rank = (place.is_none(), hours.is_none(), std::cmp::Reverse(unit.level));
                owing.push(Duty { unit, rank, why });
            }
        }
        owing
    }

    /// The superiors of a unit, the nearest first.
    pub fn superiors(&self, unit: &str) -> Vec<String> {
        let mut superiors = Vec::new();
        let mut at = self.units.get(unit).copied();
        while let Some(node) = at {
            let mut above = self.graph.edges(node).filter(|edge| matches!(edge.weight(), Edge::ReportsTo));
            at = above.next().map(|edge| edge.target());
            if let Some(Node::Unit(superior)) = at.map(|node| &self.graph[node]) {
                superiors.push(superior.id.clone());
            }
            if superiors.len() >= limits::SUPERIORS_MAX {
                break;
            }
        }
        superiors
    }

    /// The `k` likeliest chains of events that can follow `event`, the likeliest first.
    pub fn what_follows(&self, event: &str, k: usize) -> Vec<Chain> {
        let Some(&start) = self.events.get(event) else { return Vec::new() };
        let mut chains = Vec::new();
        let mut looked_at = 0;
        let seed = Partial { nodes: vec![start], permille: 1000, lag_minutes: (0, 0) };
        self.extend_chain(&seed, &mut chains, &mut looked_at);
        chains.sort_by(|a, b| b.permille.cmp(&a.permille).then_with(|| a.nodes.len().cmp(&b.nodes.len())).then_with(|| self.ids(a).cmp(&self.ids(b))));
        chains.truncate(k);
        chains.iter().map(|partial| self.chain(partial)).collect()
    }

    fn extend_chain(&self, partial: &Partial, chains: &mut Vec<Partial>, looked_at: &mut usize) {
        let last = *partial.nodes.last().expect("a chain has a first event");
        for edge in self.graph.edges_directed(last, Direction::Outgoing) {
            let Edge::LeadsTo { permille, lag_minutes } = edge.weight() else { continue };
            if partial.nodes.contains(&edge.target()) || *looked_at >= limits::CHAINS_LOOKED_AT_MAX {
                continue;
            }
            *looked_at += 1;
            let mut next = partial.clone();
            next.nodes.push(edge.target());
            next.permille = next.permille * permille / 1000;
            next.lag_minutes.0 = next.lag_minutes.0.saturating_add(lag_minutes.0);
            next.lag_minutes.1 = next.lag_minutes.1.saturating_add(lag_minutes.1);
            if next.nodes.len() <= limits::CHAIN_STEPS_MAX {
                self.extend_chain(&next, chains, looked_at);
            }
            chains.push(next);
        }
    }

    fn ids(&self, partial: &Partial) -> Vec<&str> {
        partial.nodes.iter().map(|node| self.event_id(*node)).collect()
    }

    fn event_id(&self, node: NodeIndex) -> &str {
        match &self.graph[node] {
            Node::Event(event) => &event.id,
            Node::Unit(unit) => &unit.id,
            Node::Category(category) => &category.id,
        }
    }

    fn chain(&self, partial: &Partial) -> Chain {
        let steps = partial.nodes.iter().skip(1).filter_map(|node| match &self.graph[*node] {
            Node::Event(event) => Some(ChainStep {
                event: event.id.clone(),
                name: (event.name.zh.clone(), event.name.en.clone()),
                scenario: event.scenario.clone(),
                hazard: event.hazard.clone(),
            }),
            Node::Unit(_) | Node::Category(_) => None,
        });
        Chain { steps: steps.collect(), permille: partial.permille, lag_minutes: partial.lag_minutes }
    }

    /// How an event of scenario `cause` can bring about one of scenario `effect`, if it can.
    pub fn explains(&self, cause: &str, effect: &str) -> Option<&Link> {
        // Asked for every new alert: one look-up in what was found when the file was read.
        self.links.get(cause)?.get(effect)
    }
}

struct Duty<'a> {
    unit: &'a Unit,
    rank: (bool, bool, std::cmp::Reverse<Level>),
    why: String,
}

#[derive(Clone)]
struct Partial {
    nodes: Vec<NodeIndex>,
    permille: u32,
    lag_minutes: (u32, u32),
}

/// Whether `hour` lies in `hours`, which may run over midnight.
fn within((from, to): (u8, u8), hour: u8) -> bool {
    if from < to { (from..to).contains(&hour) } else { hour >= from || hour < to }
}

/// The likeliest chain from each scenario to each other one.
pub(crate) fn links(graph: &Graph) -> BTreeMap<String, BTreeMap<String, Link>> {
    let mut links: BTreeMap<String, BTreeMap<String, Link>> = BTreeMap::new();
    for (id, &node) in &graph.events {
        let Node::Event(event) = &graph.graph[node] else { continue };
        let Some(cause) = &event.scenario else { continue };
        for chain in graph.what_follows(id, usize::MAX) {
            let Some(effect) = chain.steps.last().and_then(|step| step.scenario.clone()) else { continue };
            if effect == *cause {
                continue;
            }
            let path = std::iter::once(id.clone()).chain(chain.steps.iter().map(|step| step.event.clone())).collect();
            let link = Link { path, permille: chain.permille, lag_minutes_max: chain.lag_minutes.1 };
            let known = links.entry(cause.clone()).or_default().entry(effect).or_insert_with(|| link.clone());
            if link.permille > known.permille {
                *known = link;
            }
        }
    }
    links
}
