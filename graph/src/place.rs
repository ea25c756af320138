//! Where something is: places by name and by coordinates, and the larger places around them.

use std::collections::BTreeMap;

use petgraph::Direction;
use petgraph::stable_graph::NodeIndex;
use petgraph::visit::EdgeRef;
use schemas::alert::Point;
use schemas::signal::MicroDeg;

use crate::element::{Element, Kind, Place};
use crate::geo::{self, Bounds};
use crate::{Edge, Graph, limits};

/// Where something is, as far as it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Here<'a> {
    /// The place as somebody named it: an id, a name or an alias. One that the graph does not know is a place of its own.
    pub place: Option<&'a str>,
    /// The coordinates.
    pub point: Option<Point>,
}

impl<'a> Here<'a> {
    /// At a named place.
    pub fn at(place: &'a str) -> Self {
        Self { place: Some(place), point: None }
    }

    /// At these coordinates.
    pub fn point(point: Point) -> Self {
        Self { place: None, point: Some(point) }
    }
}

/// What places are called, in lower case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(BTreeMap<Box<str>, Vec<NodeIndex>>);

impl Names {
    pub(crate) fn tell(&mut self, place: &Place, node: NodeIndex, put: bool) {
        let names = place.name.iter().flat_map(|name| [&name.zh, &name.en]).chain(&place.aliases);
        for name in names {
            let name = name.to_lowercase().into_boxed_str();
            let nodes = self.0.entry(name.clone()).or_default();
            nodes.retain(|known| *known != node);
            if put {
                nodes.push(node);
            } else if nodes.is_empty() {
                self.0.remove(&name);
            }
        }
    }

    /// The one place of this name; several of the same name are none.
    fn find(&self, name: &str) -> Option<NodeIndex> {
        match self.0.get(name.to_lowercase().as_str())?.as_slice() {
            [node] => Some(*node),
            _ => None,
        }
    }
}

/// The rectangle that an element lies in, if it lies anywhere.
pub(crate) fn bounds_of(element: &Element) -> Option<Bounds> {
    match element {
        Element::Place(it) => {
            if let Some(cell) = h3(it) {
                return geo::bounds(&cell);
            }
            geo::bounds(&it.outline).or_else(|| it.at.zip(it.radius_m).map(|(at, radius)| geo::around(at, radius)))
        }
        Element::Asset(it) => it.at.map(|at| (at, at)),
        Element::Resource(it) => Some((it.at, it.at)),
        _ => None,
    }
}

/// The outline of an H3 cell.
fn h3(place: &Place) -> Option<Vec<Point>> {
    if place.kind != "h3" {
        return None;
    }
    let cell: h3o::CellIndex = place.id.parse().ok()?;
    let degrees = |degrees: f64| MicroDeg::from_degrees(degrees);
    cell.boundary().iter().map(|corner| Some(Point { lat: degrees(corner.lat())?, lon: degrees(corner.lng())? })).collect()
}

/// How large a place is, in square metres or so, when `point` lies in it.
fn holds(place: &Place, point: Point) -> Option<u64> {
    if let Some(cell) = h3(place) {
        return geo::inside(point, &cell).then(|| geo::size(&cell));
    }
    if !place.outline.is_empty() {
        return geo::inside(point, &place.outline).then(|| geo::size(&place.outline));
    }
    let (at, radius) = place.at.zip(place.radius_m)?;
    // Twice the area of the circle in the square microdegrees of `geo::size`.
    let side = u64::from(radius) * 100_000 / 11_132;
    (geo::metres(at, point) <= radius).then_some(side.saturating_mul(side) * 6)
}

impl Graph {
    /// The smallest place that the graph knows and that this is in: by its id, its name, or its coordinates.
    pub fn locate(&self, here: Here<'_>) -> Option<&Place> {
        match self.element(self.locate_node(here)?) {
            Element::Place(place) => Some(place),
            _ => None,
        }
    }

    pub(crate) fn locate_node(&self, here: Here<'_>) -> Option<NodeIndex> {
        let named = here.place.and_then(|name| self.node(Kind::Place, name).or_else(|| self.names.find(name)));
        let Some(point) = here.point else { return named };
        // Coordinates may say more than a name, but they do not overrule it.
        let around = self.places_at.within((point, point)).filter_map(|node| {
            let Element::Place(place) = self.element(node) else { return None };
            let inside = named.is_none_or(|named| self.outward(node).contains(&named));
            let size = holds(place, point).filter(|_| inside)?;
            Some((size, &place.id, node))
        });
        around.min().map(|(_, _, node)| node).or(named)
    }

    /// A place and the places that it lies in, the smallest first.
    pub(crate) fn outward(&self, node: NodeIndex) -> Vec<NodeIndex> {
        let mut places = vec![node];
        let mut at = self.above(node, Edge::In);
        while let Some(next) = at.filter(|_| places.len() <= limits::LEVELS_MAX) {
            places.push(next);
            at = self.above(next, Edge::In);
        }
        places
    }

    /// The district that a place is or lies in.
    pub(crate) fn district_node(&self, node: NodeIndex) -> Option<NodeIndex> {
        self.outward(node).into_iter().find(|node| matches!(self.element(*node), Element::Place(it) if it.kind == "district"))
    }

    /// Where the one edge of this kind leads.
    pub(crate) fn above(&self, node: NodeIndex, kind: Edge) -> Option<NodeIndex> {
        let mut edges = self.graph.edges_directed(node, Direction::Outgoing);
        edges.find(|edge| edge.weight().is_alike(&kind)).map(|edge| edge.target())
    }

    /// The place and all that it lies in, by their ids; when the graph does not know it, what it was called.
    pub fn places_around(&self, here: Here<'_>) -> Vec<String> {
        match self.locate_node(here) {
            Some(node) => self.outward(node).into_iter().map(|node| self.key_of(node).id.into()).collect(),
            None => here.place.map(str::to_owned).into_iter().collect(),
        }
    }

    /// The district that something is in: that of the graph, else as it was called.
    pub fn district(&self, here: Here<'_>) -> Option<String> {
        let Some(node) = self.locate_node(here) else { return here.place.map(str::to_owned) };
        let district = self.district_node(node).map(|district| self.key_of(district).id.into());
        district.or_else(|| here.place.map(str::to_owned))
    }

    /// Where something is, as far as coordinates are known: its own, else the middle of its place.
    pub fn point_of(&self, here: Here<'_>) -> Option<Point> {
        here.point.or_else(|| self.locate(here).and_then(|place| place.at))
    }
}
