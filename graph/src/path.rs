//! The shortest path between two elements, over whatever joins them.

use std::collections::{BTreeMap, VecDeque};

use petgraph::Direction;
use petgraph::stable_graph::NodeIndex;
use petgraph::visit::EdgeRef;
use serde::Serialize;

use crate::element::{Element, Key};
use crate::{Edge, Graph, limits};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The element that the step begins at.
    pub from: Key,
    /// How it is joined to the next: a verb, read from `from` to `to`.
    pub by: &'static str,
    /// The element that it ends at.
    pub to: Key,
}

impl Graph {
    /// The shortest path from one element to another; among equally short ones the first by its elements' keys. Empty when
    /// both are the same; nothing when no path joins them, or one of them is no node.
    pub fn path(&self, from: &Key, to: &Key) -> Option<Vec<Step>> {
        let (start, goal) = (self.node(from.kind, &from.id)?, self.node(to.kind, &to.id)?);
        let mut came: BTreeMap<NodeIndex, Option<(NodeIndex, &'static str)>> = BTreeMap::from([(start, None)]);
        let mut waiting = VecDeque::from([start]);
        while let Some(at) = waiting.pop_front() {
            if at == goal || came.len() > limits::PATH_VISITS_MAX {
                break;
            }
            let mut next: Vec<(Key, NodeIndex, &'static str)> = self.neighbours(at).map(|(node, by)| (self.key_of(node), node, by)).collect();
            next.sort();
            for (_, node, by) in next {
                came.entry(node).or_insert_with(|| {
                    waiting.push_back(node);
                    Some((at, by))
                });
            }
        }
        let mut steps = Vec::new();
        let mut at = goal;
        while let Some((before, by)) = *came.get(&at)? {
            steps.push(Step { from: self.key_of(before), by, to: self.key_of(at) });
            at = before;
        }
        steps.reverse();
        Some(steps)
    }

    /// Whatever is joined to a node, with the verb read from it.
    pub(crate) fn neighbours(&self, node: NodeIndex) -> impl Iterator<Item = (NodeIndex, &'static str)> + '_ {
        let out = self.graph.edges_directed(node, Direction::Outgoing).map(|edge| (edge.target(), verb(edge.weight(), true)));
        let back = self.graph.edges_directed(node, Direction::Incoming).map(|edge| (edge.source(), verb(edge.weight(), false)));
        out.chain(back)
    }

    /// An element and what it is joined to, directly.
    pub fn around(&self, key: &Key) -> Vec<Step> {
        let Some(node) = self.node(key.kind, &key.id) else { return Vec::new() };
        let mut steps: Vec<Step> = self.neighbours(node).map(|(to, by)| Step { from: key.clone(), by, to: self.key_of(to) }).collect();
        steps.sort_by(|a, b| (a.by, &a.to).cmp(&(b.by, &b.to)));
        steps.dedup();
        steps
    }
}

/// How an edge reads along its direction, and against it.
pub(crate) fn verb(edge: &Edge, along: bool) -> &'static str {
    let (forward, back) = match edge {
        Edge::Leads(_) => ("leads to", "can come from"),
        Edge::Owes(_) => ("is owed by", "owes"),
        Edge::Feeds(_) => ("feeds", "is fed by"),
        Edge::ReportsTo => ("reports to", "is superior to"),
        Edge::In => ("lies in", "holds"),
        Edge::LooksAfter => ("looks after", "is looked after by"),
        Edge::Serves => ("serves", "depends on"),
        Edge::Of => ("belongs to", "has"),
        Edge::ToldAs => ("is told as", "tells of"),
    };
    if along { forward } else { back }
}

/// The name of an element, where it has one.
pub(crate) fn name_of(element: &Element) -> Option<&crate::Name> {
    match element {
        Element::Place(it) => it.name.as_ref(),
        Element::Unit(it) => Some(&it.name),
        Element::Plan(it) => Some(&it.name),
        Element::Category(it) => Some(&it.name),
        Element::Event(it) => Some(&it.name),
        Element::Scenario(it) => Some(&it.name),
        Element::Asset(it) => it.name.as_ref(),
        Element::Resource(it) => it.name.as_ref(),
        Element::City(it) => Some(&it.name),
        Element::Calendar(_) | Element::Cases(_) | Element::Alerting(_) => None,
        Element::Threshold(_) | Element::Duty(_) | Element::Leads(_) | Element::Feeds(_) => None,
    }
}
