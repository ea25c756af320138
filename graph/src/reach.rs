//! Which resources reach a point in time, and what depends on an asset.

use std::collections::{BTreeSet, VecDeque};

use petgraph::Direction;
use petgraph::visit::EdgeRef;
use schemas::alert::Point;
use serde::Serialize;

use crate::duty::When;
use crate::element::{Element, Kind};
use crate::{Edge, Graph, geo, limits};

/// Roads are longer than the straight line, by this share in per cent.
const DETOUR_PERCENT: u64 = 140;

/// A resource that can be there in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reaching {
    /// The resource.
    pub resource: String,
    /// What it is.
    pub kind: String,
    /// The unit that has it.
    pub unit: String,
    /// How many.
    pub count: u32,
    /// The straight way, in metres.
    pub metres: u32,
    /// How long it takes, in minutes, over roads.
    pub minutes: u32,
}

/// What an asset's failure touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Downstream {
    /// Assets that get from it, with the number of steps, the nearest first.
    pub assets: Vec<(String, u32)>,
    /// Places that depend on it or on one of those.
    pub places: Vec<String>,
    /// Whether there are more than were looked at.
    pub cut_off: bool,
}

impl Graph {
    /// The resources that are at `point` within `minutes`, the earliest first; of these kinds, or of all when none is named.
    pub fn what_reaches(&self, point: Point, kinds: &[String], minutes: u32, when: When, k: usize) -> Vec<Reaching> {
        let wanted = |node| {
            let Element::Resource(it) = self.element(node) else { return None };
            if !(kinds.is_empty() || kinds.contains(&it.kind)) || !it.valid.holds(when.day) {
                return None;
            }
            let metres = geo::metres(it.at, point);
            // km/h to m/s is 1000 to 3600; the detour is in per cent.
            let seconds = u64::from(metres) * DETOUR_PERCENT * 36 / (u64::from(it.speed_kmh) * 1000);
            let takes = seconds.div_ceil(60) as u32;
            (takes <= minutes).then(|| Reaching {
                resource: it.id.clone(),
                kind: it.kind.clone(),
                unit: it.unit.clone(),
                count: it.count,
                metres,
                minutes: takes,
            })
        };
        // Wider and wider, until what is found cannot be beaten by what lies outside.
        let mut radius_km = 2;
        loop {
            let nodes: BTreeSet<_> = self.resources_at.within(geo::around(point, radius_km * 1000)).collect();
            let mut found: Vec<Reaching> = nodes.into_iter().filter_map(wanted).collect();
            found.sort_by(|a, b| (a.minutes, a.metres, &a.resource).cmp(&(b.minutes, b.metres, &b.resource)));
            // Whatever lies outside comes later than the last of these, however fast it is.
            let fastest = self.speeds.last_key_value().map_or(1, |(speed, _)| *speed);
            let sooner_outside = u64::from(radius_km) * DETOUR_PERCENT * 60 / (u64::from(fastest) * 100);
            let enough = k > 0 && found.len() >= k && u64::from(found[k - 1].minutes) <= sooner_outside;
            if enough || radius_km >= limits::RESOURCE_KM_MAX {
                found.truncate(k);
                return found;
            }
            radius_km *= 2;
        }
    }

    /// What lies downstream of an asset on a day; nothing when there is no such asset.
    pub fn what_depends_on(&self, asset: &str, when: When) -> Option<Downstream> {
        let start = self.node(Kind::Asset, asset)?;
        let mut seen = BTreeSet::from([start]);
        let mut waiting = VecDeque::from([(start, 0)]);
        let (mut assets, mut places, mut cut_off) = (Vec::new(), BTreeSet::new(), false);
        while let Some((node, steps)) = waiting.pop_front() {
            if steps > 0 {
                assets.push((self.key_of(node).id.into(), steps));
            }
            for edge in self.graph.edges_directed(node, Direction::Outgoing) {
                match edge.weight() {
                    Edge::Serves => {
                        places.insert(self.key_of(edge.target()).id.into());
                    }
                    Edge::Feeds(entry) => {
                        let now = matches!(&entry.element, Element::Feeds(feeds) if feeds.valid.holds(when.day));
                        let there = matches!(self.element(edge.target()), Element::Asset(asset) if asset.valid.holds(when.day));
                        if !now || !there || seen.contains(&edge.target()) {
                            continue;
                        }
                        if seen.len() >= limits::DOWNSTREAM_MAX {
                            cut_off = true;
                            continue;
                        }
                        seen.insert(edge.target());
                        waiting.push_back((edge.target(), steps + 1));
                    }
                    _ => {}
                }
            }
        }
        assets.sort_by(|a: &(String, u32), b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        Some(Downstream { assets, places: places.into_iter().collect(), cut_off })
    }
}
