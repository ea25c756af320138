//! Changes: the graph is the fold of them, and each can be taken back.
//!
//! A [`Change`] puts one [`Entry`] or removes one. It is refused when the entry is wrong by itself, speaks of something
//! that is not there, or would leave something speaking of what is gone; then nothing has changed. The order in which
//! changes came leaves no trace: graphs with equal entries are equal, answer alike and have the same version.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::alerting::Alerting;
use crate::calendar::Calendar;
use crate::case_rules::CaseRules;
use crate::element::{Element, Key, Kind};
use crate::{At, Edge, Graph, Stored, check, limits, place};

/// An element as the graph holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The pack that brought it; without one it is the city's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<String>,
    /// The element.
    pub element: Element,
}

/// One change of the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// This entry is there from now on, in place of what had its key.
    Put(Box<Entry>),
    /// What has this key is gone.
    Remove(Key),
}

impl Change {
    /// The key of the element that it is about.
    pub fn key(&self) -> Key {
        match self {
            Change::Put(entry) => entry.element.key(),
            Change::Remove(key) => key.clone(),
        }
    }
}

/// Why a change is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ChangeError {
    /// The element.
    pub key: Key,
    /// What is wrong.
    pub problem: String,
}

impl Graph {
    /// Carries out a change, and gives the one that takes it back.
    ///
    /// # Errors
    /// When the change is refused; the graph is as before.
    pub fn apply(&mut self, change: Change) -> Result<Change, ChangeError> {
        match change {
            Change::Put(entry) => self.put(*entry),
            Change::Remove(key) => self.remove(&key),
        }
    }

    /// Carries out all changes or none, and gives those that take them back, in the order in which to apply them.
    ///
    /// # Errors
    /// The first refusal; the graph is as before.
    pub fn apply_all(&mut self, changes: impl IntoIterator<Item = Change>) -> Result<Vec<Change>, ChangeError> {
        let mut undo = Vec::new();
        for change in changes {
            match self.apply(change) {
                Ok(back) => undo.push(back),
                Err(error) => {
                    for back in undo.into_iter().rev() {
                        self.apply(back).expect("what was just done can be taken back");
                    }
                    return Err(error);
                }
            }
        }
        undo.reverse();
        Ok(undo)
    }

    /// The changes that make `other` of this graph, in an order in which each is allowed.
    pub fn diff(&self, other: &Graph) -> Vec<Change> {
        let changed = other.entries.iter().filter(|(key, stored)| self.entries.get(key).is_none_or(|mine| mine.entry != stored.entry));
        let mut puts: Vec<Arc<Entry>> = changed.map(|(_, stored)| stored.entry.clone()).collect();
        sort_for_building(&mut puts);
        let gone = self.entries.iter().filter(|(key, _)| !other.entries.contains_key(key));
        let mut removed: Vec<Arc<Entry>> = gone.map(|(_, stored)| stored.entry.clone()).collect();
        sort_for_building(&mut removed);
        let puts = puts.into_iter().map(|entry| Change::Put(Box::new(Entry::clone(&entry))));
        puts.chain(removed.into_iter().rev().map(|entry| Change::Remove(entry.element.key()))).collect()
    }

    fn put(&mut self, entry: Entry) -> Result<Change, ChangeError> {
        let key = entry.element.key();
        let refuse = |problem: String| Err(ChangeError { key: key.clone(), problem });
        if let Some(problem) = check::problems(&entry.element).into_iter().next() {
            return refuse(problem);
        }
        if let Some(missing) = entry.element.references().into_iter().find(|wanted| *wanted != key && !self.entries.contains_key(wanted)) {
            return refuse(format!("no {} is called `{}`", missing.kind.word(), missing.id));
        }
        if let Some(around) = self.goes_round(&key, &entry.element) {
            return refuse(around);
        }
        if self.entries.len() >= limits::ELEMENTS_MAX && !self.entries.contains_key(&key) {
            return refuse(format!("the graph has {} elements already; more are a mistake", limits::ELEMENTS_MAX));
        }
        let entry = Arc::new(entry);
        let before = self.entries.get(&key).map(|stored| stored.entry.clone());
        if let Some(before) = &before {
            self.detach(&key, before);
        }
        self.attach(&key, &entry);
        Ok(match before {
            Some(before) => Change::Put(Box::new(Arc::unwrap_or_clone(before))),
            None => Change::Remove(key),
        })
    }

    fn remove(&mut self, key: &Key) -> Result<Change, ChangeError> {
        let refuse = |problem: String| Err(ChangeError { key: key.clone(), problem });
        let Some(stored) = self.entries.get(key) else { return refuse("there is no such element".to_owned()) };
        if stored.references > 0 {
            let speaks = self.entries.values().filter(|other| other.entry.element.references().contains(key));
            let examples: Vec<String> = speaks.take(limits::EXAMPLES_MAX).map(|other| other.entry.element.key().to_string()).collect();
            return refuse(format!("{} element(s) speak of it, such as {}", stored.references, examples.join(", ")));
        }
        let entry = stored.entry.clone();
        self.detach(key, &entry);
        let stored = self.entries.remove(key).expect("just found");
        if let At::Node(node) = stored.at {
            self.graph.remove_node(node);
        }
        self.derive(&entry.element);
        Ok(Change::Put(Box::new(Arc::unwrap_or_clone(entry))))
    }

    /// Whether superiors or places would go round in a circle.
    fn goes_round(&self, key: &Key, element: &Element) -> Option<String> {
        let above = |element: &Element| match element {
            Element::Unit(it) => it.parent.clone(),
            Element::Place(it) => it.parent.clone(),
            _ => None,
        };
        let mut next = above(element);
        for _ in 0..limits::LEVELS_MAX {
            let id = next?;
            if *id == *key.id {
                return Some(format!("`{id}` and what is above it go in a circle"));
            }
            next = self.entries.get(&Key::new(key.kind, &id)).and_then(|stored| above(&stored.entry.element));
        }
        next.map(|_| format!("more than {} levels are above it", limits::LEVELS_MAX))
    }

    /// Puts an entry whose references are there; what had its key has been unlinked.
    fn attach(&mut self, key: &Key, entry: &Arc<Entry>) {
        for reference in entry.element.references() {
            if let Some(stored) = self.entries.get_mut(&reference) {
                stored.references += 1;
            }
        }
        let known = self.entries.get(key).map(|stored| (stored.at, stored.references));
        let at = match (known, key.kind) {
            (Some((At::Node(node), _)), _) => {
                self.graph[node] = entry.clone();
                At::Node(node)
            }
            (_, Kind::Place | Kind::Unit | Kind::Category | Kind::Event | Kind::Asset | Kind::Resource) => At::Node(self.graph.add_node(entry.clone())),
            _ => At::Nowhere,
        };
        self.digest.add(entry);
        self.entries.insert(key.clone(), Stored { entry: entry.clone(), at, references: known.map_or(0, |(_, references)| references) });
        self.attach_edges(key, entry, at);
        self.derive(&entry.element);
    }

    fn attach_edges(&mut self, key: &Key, entry: &Arc<Entry>, at: At) {
        if let At::Node(node) = at {
            self.index(node, &entry.element, true);
            for (edge, to) in outgoing(&entry.element) {
                let to = self.node(to.kind, &to.id).expect("references are there");
                self.graph.add_edge(node, to, edge);
            }
            return;
        }
        let edge = match &entry.element {
            Element::Duty(it) => {
                let (from, to) = (self.node(Kind::Category, &it.category), self.node(Kind::Unit, &it.unit));
                let place = it.place.as_deref().map(|place| self.node(Kind::Place, place).expect("references are there"));
                let from = from.expect("references are there");
                let edge = self.graph.add_edge(from, to.expect("references are there"), Edge::Owes(entry.clone()));
                self.duties.entry((from, place)).or_default().push(edge);
                edge
            }
            Element::Leads(it) => {
                let (from, to) = (self.node(Kind::Event, &it.cause), self.node(Kind::Event, &it.effect));
                self.graph.add_edge(from.expect("references are there"), to.expect("references are there"), Edge::Leads(entry.clone()))
            }
            Element::Feeds(it) => {
                let (from, to) = (self.node(Kind::Asset, &it.from), self.node(Kind::Asset, &it.to));
                self.graph.add_edge(from.expect("references are there"), to.expect("references are there"), Edge::Feeds(entry.clone()))
            }
            _ => return,
        };
        self.entries.get_mut(key).expect("just put").at = At::Edge(edge);
    }

    /// Takes back what [`Graph::attach`] did, but for the node, to which others may point.
    fn detach(&mut self, key: &Key, entry: &Arc<Entry>) {
        for reference in entry.element.references() {
            if let Some(stored) = self.entries.get_mut(&reference) {
                stored.references -= 1;
            }
        }
        self.digest.remove(entry);
        match self.entries[key].at {
            At::Edge(edge) => {
                if let Element::Duty(it) = &entry.element {
                    let from = self.node(Kind::Category, &it.category).expect("references are there");
                    let place = it.place.as_deref().and_then(|place| self.node(Kind::Place, place));
                    let known = self.duties.get_mut(&(from, place)).expect("a duty is indexed");
                    known.retain(|known| *known != edge);
                    if known.is_empty() {
                        self.duties.remove(&(from, place));
                    }
                }
                self.graph.remove_edge(edge);
            }
            At::Node(node) => {
                self.index(node, &entry.element, false);
                for (edge, to) in outgoing(&entry.element) {
                    let to = self.node(to.kind, &to.id).expect("references are there");
                    let mine = self.graph.edges_connecting(node, to).find(|known| known.weight().is_alike(&edge)).map(|known| petgraph::visit::EdgeRef::id(&known));
                    self.graph.remove_edge(mine.expect("it was put with its element"));
                }
            }
            At::Nowhere => {}
        }
    }

    /// Puts a node where its place on earth says, or takes it out.
    fn index(&mut self, node: petgraph::stable_graph::NodeIndex, element: &Element, put: bool) {
        match element {
            Element::Place(it) => self.names.tell(it, node, put),
            Element::Event(it) => self.words.tell_event(it, put),
            _ => {}
        }
        if let Element::Resource(it) = element {
            let count = self.speeds.entry(it.speed_kmh).or_default();
            *count = if put { *count + 1 } else { *count - 1 };
            if *count == 0 {
                self.speeds.remove(&it.speed_kmh);
            }
        }
        let Some(bounds) = place::bounds_of(element) else { return };
        let cells = match element {
            Element::Place(_) => &mut self.places_at,
            Element::Asset(_) => &mut self.assets_at,
            Element::Resource(_) => &mut self.resources_at,
            _ => return,
        };
        if put { cells.insert(bounds, node) } else { cells.remove(bounds, node) }
    }

    /// What follows from all elements of a kind.
    fn derive(&mut self, element: &Element) {
        let there = self.entries.contains_key(&element.key());
        self.links = OnceLock::new();
        match element {
            Element::Category(it) => self.words.set_category(&it.id, if there { &it.words } else { &[] }),
            Element::City(it) => self.words.set_risk(if there { &it.risk_words } else { &[] }),
            Element::Scenario(_) => self.scenario_of = scenarios_of(&self.entries),
            Element::Calendar(it) => self.calendar = Calendar::new(it.clone()).ok().filter(|_| there).unwrap_or_default(),
            Element::Cases(it) => self.case_rules = if there { it.clone().lower() } else { CaseRules::default() },
            Element::Alerting(it) => self.alerting = if there { it.clone() } else { Alerting::default() },
            _ => {}
        }
    }
}

/// The edges that a node's own element draws.
fn outgoing(element: &Element) -> Vec<(Edge, Key)> {
    let key = |kind: Kind, edge: Edge| move |id: &String| (edge.clone(), Key::new(kind, id));
    match element {
        Element::Place(it) => it.parent.iter().map(key(Kind::Place, Edge::In)).collect(),
        Element::Unit(it) => it.parent.iter().map(key(Kind::Unit, Edge::ReportsTo)).chain(it.place.iter().map(key(Kind::Place, Edge::LooksAfter))).collect(),
        Element::Event(it) => it.categories.iter().map(key(Kind::Category, Edge::ToldAs)).collect(),
        Element::Asset(it) => it.place.iter().map(key(Kind::Place, Edge::In)).chain(it.serves.iter().map(key(Kind::Place, Edge::Serves))).collect(),
        Element::Resource(it) => vec![(Edge::Of, Key::new(Kind::Unit, &it.unit))],
        _ => Vec::new(),
    }
}

/// Which scenario a category or an event belongs to: the first in the order of ids that names it.
pub(crate) fn scenarios_of(entries: &BTreeMap<Key, Stored>) -> BTreeMap<Key, String> {
    let mut of = BTreeMap::new();
    let from = Key::new(Kind::Scenario, "");
    for (_, stored) in entries.range(from..).take_while(|(key, _)| key.kind == Kind::Scenario) {
        let Element::Scenario(scenario) = &stored.entry.element else { continue };
        let events = scenario.events.iter().map(|id| Key::new(Kind::Event, id));
        for key in events.chain(scenario.categories.iter().map(|id| Key::new(Kind::Category, id))) {
            of.entry(key).or_insert_with(|| scenario.id.clone());
        }
    }
    of
}

/// Sorts entries so that each comes after those it speaks of, as far as both are among them.
fn sort_for_building(entries: &mut [Arc<Entry>]) {
    // Only units and places speak of their own kind; the larger and the higher come first.
    let parents: BTreeMap<Key, Option<Key>> = entries
        .iter()
        .filter_map(|entry| match &entry.element {
            Element::Unit(it) => Some((entry.element.key(), it.parent.as_ref().map(|parent| Key::new(Kind::Unit, parent)))),
            Element::Place(it) => Some((entry.element.key(), it.parent.as_ref().map(|parent| Key::new(Kind::Place, parent)))),
            _ => None,
        })
        .collect();
    let depth = |key: &Key| {
        let mut at = parents.get(key).cloned().flatten();
        let mut depth = 0;
        while let Some(above) = at.filter(|_| depth <= limits::LEVELS_MAX) {
            depth += 1;
            at = parents.get(&above).cloned().flatten();
        }
        depth
    };
    entries.sort_by_cached_key(|entry| {
        let key = entry.element.key();
        (key.kind, depth(&key), key.id)
    });
}

/// Entries in an order in which they can be put one after the other.
pub(crate) fn in_building_order(entries: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
    let mut entries: Vec<Arc<Entry>> = entries.into_iter().map(Arc::new).collect();
    sort_for_building(&mut entries);
    entries.into_iter().map(Arc::unwrap_or_clone).collect()
}

/// A digest of a set: that of its members added up, so that it does not know their order and a member can be taken out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SetDigest([u64; 4]);

impl SetDigest {
    fn of(entry: &Entry) -> [u64; 4] {
        let bytes = serde_json::to_vec(entry).expect("an entry has only text, integers and finite angles");
        let hash = *blake3::hash(&bytes).as_bytes();
        std::array::from_fn(|lane| u64::from_le_bytes(std::array::from_fn(|byte| hash[lane * 8 + byte])))
    }

    fn add(&mut self, entry: &Entry) {
        self.0.iter_mut().zip(Self::of(entry)).for_each(|(sum, lane)| *sum = sum.wrapping_add(lane));
    }

    fn remove(&mut self, entry: &Entry) {
        self.0.iter_mut().zip(Self::of(entry)).for_each(|(sum, lane)| *sum = sum.wrapping_sub(lane));
    }

    pub(crate) fn hex(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().flat_map(|lane| lane.to_le_bytes()).collect();
        blake3::hash(&bytes).to_hex()[..32].to_owned()
    }
}
