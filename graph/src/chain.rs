//! The event chain: what can follow an event, and what can explain one.
//!
//! Chains are found best first: each step multiplies the probability by at most one, so the likeliest chain is the next
//! that comes off the heap, and a question for the first few looks at little more than those.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use petgraph::Direction;
use petgraph::stable_graph::NodeIndex;
use petgraph::visit::EdgeRef;
use serde::Serialize;

use crate::duty::When;
use crate::element::{Element, Kind, Leads, Name, Reach, Valid};
use crate::place::Here;
use crate::{Edge, Graph, geo, limits};

/// Events one after another, from a cause to what follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// The event that it begins with.
    pub cause: String,
    /// The events that follow, one after the other.
    pub steps: Vec<ChainStep>,
    /// The product of the steps' probabilities, in thousandths.
    pub permille: u32,
    /// Earliest, likeliest and latest minute of the last event after the first.
    pub lag_minutes: [u32; 3],
    /// How far from the first event the last one may be.
    pub reach: Reach,
    /// Whether it is believed all year round and at all times.
    #[serde(skip)]
    always: bool,
}

/// One event of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChainStep {
    /// The event type.
    pub event: String,
    /// Its name.
    pub name: Name,
    /// The scenario that it belongs to.
    pub scenario: Option<String>,
    /// What is dangerous about it.
    pub hazard: String,
    /// How likely after the event before it, in thousandths.
    pub permille: u32,
    /// Kinds of assets of which one must be near; the graph has one there, unless it was not asked about a place.
    pub needs: Vec<String>,
}

/// The likeliest chains between all events, and which events can lead to each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Links {
    from: BTreeMap<String, BTreeMap<String, Chain>>,
    causes: BTreeMap<String, BTreeSet<String>>,
}

impl Chain {
    /// The event that it ends with.
    pub fn effect(&self) -> &str {
        self.steps.last().map_or(&self.cause, |step| &step.event)
    }

    /// Its events from first to last, as `main_burst → ponding`.
    pub fn path(&self) -> String {
        std::iter::once(self.cause.as_str()).chain(self.steps.iter().map(|step| step.event.as_str())).collect::<Vec<_>>().join(" → ")
    }
}

impl Reach {
    /// The reach of one step after another.
    fn then(self, next: Reach) -> Reach {
        match (self, next) {
            (Reach::City, _) | (_, Reach::City) => Reach::City,
            (Reach::District, _) | (_, Reach::District) => Reach::District,
            (Reach::Metres(first), Reach::Metres(second)) => Reach::Metres(first.saturating_add(second)),
        }
    }
}

/// A chain that is being looked at: its nodes as they were reached, and the edges between them.
struct Partial<'a> {
    nodes: Vec<NodeIndex>,
    edges: Vec<&'a Leads>,
    ids: Vec<&'a str>,
    /// Probability in billionths, so that four unlikely steps do not become none.
    nano: u64,
}

impl Partial<'_> {
    /// The likelier first, then the shorter, then by the names of its events.
    fn rank(&self) -> (u64, std::cmp::Reverse<usize>, std::cmp::Reverse<&[&str]>) {
        (self.nano, std::cmp::Reverse(self.nodes.len()), std::cmp::Reverse(&self.ids))
    }
}

impl PartialEq for Partial<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Partial<'_> {}

impl PartialOrd for Partial<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Partial<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl Graph {
    /// The `k` likeliest chains that can follow `event` here and then, the likeliest first. Steps that need an asset near
    /// by are left out where the graph knows the place and has none there; without a place they are believed.
    pub fn what_follows(&self, event: &str, here: Here<'_>, when: Option<When>, k: usize) -> Vec<Chain> {
        let Some(start) = self.node(Kind::Event, event) else { return Vec::new() };
        let mut found = Vec::new();
        self.best_first(start, Direction::Outgoing, when, |partial| {
            if partial.nodes.len() > 1 {
                let chain = self.chain(partial.nodes.iter().copied(), partial.edges.iter().copied(), partial.nano);
                if !self.is_possible(&chain, partial, here) {
                    return Look::Past;
                }
                found.push(chain);
            }
            if found.len() < k { Look::On } else { Look::Enough }
        });
        found
    }

    /// What can explain `event`: for each cause the likeliest chain from it, the `k` likeliest first.
    pub fn what_explains(&self, event: &str, when: Option<When>, k: usize) -> Vec<Chain> {
        let Some(start) = self.node(Kind::Event, event) else { return Vec::new() };
        let mut found = Vec::new();
        let mut causes = BTreeSet::new();
        self.best_first(start, Direction::Incoming, when, |partial| {
            let last = *partial.nodes.last().expect("a chain has a first event");
            if partial.nodes.len() > 1 && causes.insert(last) {
                found.push(self.chain(partial.nodes.iter().rev().copied(), partial.edges.iter().rev().copied(), partial.nano));
            }
            if found.len() < k { Look::On } else { Look::Enough }
        });
        found
    }

    /// The likeliest chain from one event to another, if there is one.
    pub fn link(&self, cause: &str, effect: &str, when: Option<When>) -> Option<Chain> {
        self.what_explains(effect, when, usize::MAX).into_iter().find(|chain| chain.cause == cause)
    }

    /// The likeliest chain from one event to another, if there is one and it is believed then. Asked for each new event of
    /// the city: looked for once.
    pub fn known_link(&self, cause: &str, effect: &str, when: When) -> Option<Cow<'_, Chain>> {
        let chain = self.links().from.get(cause)?.get(effect)?;
        match chain.always {
            true => Some(Cow::Borrowed(chain)),
            false => self.link(cause, effect, Some(when)).map(Cow::Owned),
        }
    }

    /// The events that can lead to one, by whatever chain, in the order of their ids.
    pub fn causes_of(&self, effect: &str) -> impl Iterator<Item = &str> {
        self.links().causes.get(effect).into_iter().flatten().map(String::as_str)
    }

    fn links(&self) -> &Links {
        self.links.get_or_init(|| {
            let mut links = Links::default();
            for event in self.events() {
                for chain in self.what_follows(&event.id, Here::default(), None, usize::MAX) {
                    let effect = chain.effect().to_owned();
                    links.causes.entry(effect.clone()).or_default().insert(event.id.clone());
                    // The likeliest comes first.
                    links.from.entry(event.id.clone()).or_default().entry(effect).or_insert(chain);
                }
            }
            links
        })
    }

    fn best_first<'a>(&'a self, start: NodeIndex, way: Direction, when: Option<When>, mut look: impl FnMut(&Partial<'a>) -> Look) {
        let mut heap = BinaryHeap::from([Partial { nodes: vec![start], edges: Vec::new(), ids: vec![self.event_id(start)], nano: 1_000_000_000 }]);
        for _ in 0..limits::CHAINS_LOOKED_AT_MAX {
            let Some(partial) = heap.pop() else { return };
            match look(&partial) {
                Look::On => {}
                Look::Past => continue,
                Look::Enough => return,
            }
            if partial.nodes.len() > limits::CHAIN_STEPS_MAX {
                continue;
            }
            let last = *partial.nodes.last().expect("a chain has a first event");
            for edge in self.graph.edges_directed(last, way) {
                let Edge::Leads(entry) = edge.weight() else { continue };
                let Element::Leads(leads) = &entry.element else { continue };
                let next = if way == Direction::Outgoing { edge.target() } else { edge.source() };
                let now = when.is_none_or(|when| leads.valid.holds(when.day) && when.in_months(leads.months));
                if !now || partial.nodes.contains(&next) {
                    continue;
                }
                heap.push(Partial {
                    nodes: partial.nodes.iter().copied().chain([next]).collect(),
                    edges: partial.edges.iter().copied().chain([leads]).collect(),
                    ids: partial.ids.iter().copied().chain([self.event_id(next)]).collect(),
                    nano: partial.nano * u64::from(leads.permille) / 1000,
                });
            }
        }
    }

    fn event_id(&self, node: NodeIndex) -> &str {
        if let Element::Event(event) = self.element(node) { &event.id } else { "" }
    }

    fn chain<'a>(&self, nodes: impl Iterator<Item = NodeIndex>, edges: impl Iterator<Item = &'a Leads>, nano: u64) -> Chain {
        let mut ids = nodes.filter_map(|node| if let Element::Event(event) = self.element(node) { Some(event) } else { None });
        let cause = ids.next().map(|event| event.id.clone()).unwrap_or_default();
        let (mut lag_minutes, mut reach, mut always) = ([0_u32; 3], Reach::Metres(0), true);
        let steps = ids.zip(edges).map(|(event, leads)| {
            lag_minutes.iter_mut().zip(leads.lag_minutes).for_each(|(sum, lag)| *sum = sum.saturating_add(lag));
            reach = reach.then(leads.reach);
            always &= leads.months.is_none() && leads.valid == Valid::default();
            ChainStep {
                event: event.id.clone(),
                name: event.name.clone(),
                scenario: self.scenario_of_event(&event.id).map(str::to_owned),
                hazard: event.hazard.clone(),
                permille: leads.permille,
                needs: leads.needs.clone(),
            }
        });
        let steps = steps.collect();
        Chain { cause, steps, permille: (nano / 1_000_000) as u32, lag_minutes, reach, always }
    }

    /// Whether the last step finds what it needs near here.
    fn is_possible(&self, chain: &Chain, partial: &Partial<'_>, here: Here<'_>) -> bool {
        let Some(leads) = partial.edges.last().filter(|leads| !leads.needs.is_empty()) else { return true };
        let known = self.locate_node(here).is_some() || here.point.is_some();
        !known || self.has_asset(&leads.needs, here, chain.reach)
    }

    /// Whether an asset of one of these kinds is within reach of here.
    fn has_asset(&self, kinds: &[String], here: Here<'_>, reach: Reach) -> bool {
        let wanted = |node: NodeIndex| matches!(self.element(node), Element::Asset(asset) if kinds.contains(&asset.kind));
        match (reach, self.point_of(here)) {
            (Reach::Metres(metres), Some(point)) => self.assets_at.within(geo::around(point, metres)).any(|node| {
                wanted(node) && matches!(self.element(node), Element::Asset(asset) if asset.at.is_some_and(|at| geo::metres(at, point) <= metres))
            }),
            (Reach::Metres(_) | Reach::District, _) => {
                let Some(place) = self.locate_node(here) else { return true };
                self.assets_below(self.district_node(place).unwrap_or(place)).any(wanted)
            }
            (Reach::City, _) => self.of_kind(Kind::Asset).any(|element| matches!(element, Element::Asset(asset) if kinds.contains(&asset.kind))),
        }
    }

    /// The assets in a place and in all places in it.
    fn assets_below(&self, place: NodeIndex) -> impl Iterator<Item = NodeIndex> + '_ {
        let mut waiting = vec![place];
        let mut assets = Vec::new();
        while let Some(place) = waiting.pop() {
            for edge in self.graph.edges_directed(place, Direction::Incoming).filter(|edge| matches!(edge.weight(), Edge::In)) {
                match self.element(edge.source()) {
                    Element::Asset(_) => assets.push(edge.source()),
                    _ => waiting.push(edge.source()),
                }
            }
        }
        assets.into_iter()
    }
}

enum Look {
    /// Look at what follows it.
    On,
    /// It cannot be, and so nothing behind it.
    Past,
    /// There is enough.
    Enough,
}
