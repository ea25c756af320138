//! The graph drawn: DOT for Graphviz, GeoJSON for maps.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use petgraph::visit::{EdgeRef, IntoEdgeReferences};
use schemas::alert::Point;
use serde_json::{Value, json};

use crate::element::{Element, Key, Kind};
use crate::path::{name_of, verb};
use crate::{Edge, Graph};

impl Graph {
    /// The graph of these elements (all nodes when none is named) in the DOT language of Graphviz, with Chinese or English
    /// names.
    pub fn to_dot(&self, keys: &BTreeSet<Key>, zh: bool) -> String {
        let mut dot = String::from("digraph city {\n  rankdir=LR;\n  node [shape=box, style=rounded, fontname=\"Noto Sans CJK SC\"];\n");
        let drawn = |key: &Key| keys.is_empty() || keys.contains(key);
        let mut lines = BTreeSet::new();
        for node in self.graph.node_indices() {
            let key = self.key_of(node);
            if drawn(&key) {
                let name = name_of(self.element(node)).map_or(&*key.id, |name| if zh { &name.zh } else { &name.en });
                lines.insert(format!("  {} [label={}, color={}];\n", quoted(&key.to_string()), quoted(name), colour(key.kind)));
            }
        }
        for edge in (&self.graph).edge_references() {
            let (from, to) = (self.key_of(edge.source()), self.key_of(edge.target()));
            if drawn(&from) && drawn(&to) {
                lines.insert(format!("  {} -> {} [label={}];\n", quoted(&from.to_string()), quoted(&to.to_string()), quoted(&label(edge.weight()))));
            }
        }
        dot.extend(lines);
        dot.push_str("}\n");
        dot
    }

    /// Everything of these elements (all when none is named) that has coordinates, as a GeoJSON FeatureCollection.
    pub fn to_geojson(&self, keys: &BTreeSet<Key>) -> Value {
        let entries = self.entries().filter(|entry| keys.is_empty() || keys.contains(&entry.element.key()));
        let features: Vec<Value> = entries.filter_map(|entry| feature(&entry.element)).collect();
        json!({ "type": "FeatureCollection", "features": features })
    }
}

fn feature(element: &Element) -> Option<Value> {
    let (kind, geometry) = match element {
        Element::Place(it) if !it.outline.is_empty() => {
            let ring: Vec<Value> = it.outline.iter().chain(it.outline.first()).map(|point| position(*point)).collect();
            (it.kind.as_str(), json!({ "type": "Polygon", "coordinates": [ring] }))
        }
        Element::Place(it) => (it.kind.as_str(), point(it.at?)),
        Element::Asset(it) => (it.kind.as_str(), point(it.at?)),
        Element::Resource(it) => (it.kind.as_str(), point(it.at)),
        _ => return None,
    };
    let key = element.key();
    let mut properties = json!({ "key": key.to_string(), "is": key.kind.word(), "kind": kind });
    if let Some(name) = name_of(element) {
        properties["name_zh"] = json!(name.zh);
        properties["name_en"] = json!(name.en);
    }
    if let Element::Place(it) = element
        && let Some(radius) = it.radius_m
    {
        properties["radius_m"] = json!(radius);
    }
    Some(json!({ "type": "Feature", "id": key.to_string(), "geometry": geometry, "properties": properties }))
}

fn point(at: Point) -> Value {
    json!({ "type": "Point", "coordinates": position(at) })
}

/// GeoJSON puts the longitude first.
fn position(at: Point) -> Value {
    json!([at.lon, at.lat])
}

fn label(edge: &Edge) -> String {
    let mut label = verb(edge, true).to_owned();
    match edge {
        Edge::Leads(entry) => {
            if let Element::Leads(leads) = &entry.element {
                let [from, _, to] = leads.lag_minutes;
                let _ = write!(label, " {}‰, {from}-{to} min", leads.permille);
            }
        }
        Edge::Owes(entry) => {
            if let Element::Duty(duty) = &entry.element {
                duty.place.iter().for_each(|place| label.push_str(&format!(" in {place}")));
                duty.hours.iter().for_each(|(from, to)| label.push_str(&format!(" {from}-{to} h")));
            }
        }
        _ => {}
    }
    label
}

fn colour(kind: Kind) -> &'static str {
    match kind {
        Kind::Event => "firebrick",
        Kind::Category => "darkorange",
        Kind::Unit => "navy",
        Kind::Place => "darkgreen",
        Kind::Asset => "purple",
        _ => "gray30",
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', " "))
}
