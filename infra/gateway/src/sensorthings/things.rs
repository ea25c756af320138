//! What is registered: the fold of `raw.entity`, with the latest observation of each datastream beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use serde_json::{Value, json};

use super::latest::{Described, Latest, Observation};
use super::{Link, Set};
use crate::limits::ENTITIES_MAX;

/// The type of the events that register entities.
pub const ENTITY_TYPE: &str = "io.citybrain.sensor.entity.v1";

/// A registered entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// What it says of itself, as JSON text: read when it is asked for.
    pub body: Arc<str>,
    /// What it links to.
    pub links: BTreeMap<Set, Vec<String>>,
    /// Where the log registered it.
    pub offset: i64,
}

impl Entity {
    /// What it says of itself.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("what was registered is JSON")
    }

    /// What it links to in a set, if to one.
    pub fn link(&self, set: Set) -> Option<&str> {
        self.links.get(&set)?.first().map(String::as_str)
    }
}

#[derive(Debug, Default)]
struct State {
    entities: BTreeMap<(Set, String), Entity>,
    latest: Latest,
}

/// What is registered, and what was observed last.
#[derive(Debug, Default)]
pub struct Things(RwLock<State>);

/// A look at what is registered. Held for as short as possible: the stream waits meanwhile.
pub struct Look<'a>(RwLockReadGuard<'a, State>);

impl Things {
    /// Looks at what is registered.
    pub fn look(&self) -> Look<'_> {
        Look(self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in an entity that the log has at `offset`, from the data of its event. An older one changes nothing.
    pub fn register(&self, offset: i64, data: &Value) {
        let (Some(set), Some(id)) = (data["entity_set"].as_str().and_then(Set::of_plural), data["entity_id"].as_str()) else { return };
        let mut links = BTreeMap::new();
        for (set, field) in [(Set::Thing, "thing"), (Set::Sensor, "sensor"), (Set::ObservedProperty, "observed_property")] {
            if let Some(id) = data[field].as_str() {
                links.insert(set, vec![id.to_owned()]);
            }
        }
        let locations: Vec<String> = data["locations"].as_array().into_iter().flatten().filter_map(|id| Some(id.as_str()?.to_owned())).collect();
        if !locations.is_empty() {
            links.insert(Set::Location, locations);
        }
        let mut state = self.write();
        let key = (set, id.to_owned());
        if state.entities.get(&key).is_none_or(|known| known.offset < offset) {
            state.entities.insert(key, Entity { body: Arc::from(data["body"].to_string()), links, offset });
        }
    }

    /// Takes in rows of `raw.entity` or `raw.sensor` in bronze form.
    pub fn take_rows(&self, rows: &RecordBatch) {
        let text = |name: &str| rows.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<StringArray>());
        let offset = rows.column_by_name("offset").and_then(|column| column.as_any().downcast_ref::<Int64Array>());
        let (Some(offset), Some(data), Some(kind)) = (offset, text("data"), text("ce_type")) else { return };
        for row in 0..rows.num_rows() {
            if kind.is_valid(row) && kind.value(row) == ENTITY_TYPE && data.is_valid(row)
                && let Ok(value) = serde_json::from_str(data.value(row))
            {
                self.register(offset.value(row), &value);
            }
        }
        self.write().latest.take_rows(rows);
    }

    /// Takes in an observation, if no later one of its datastream is known.
    pub fn observe(&self, observation: Observation, described: Described) {
        self.write().latest.take(observation, described);
    }
}

impl Look<'_> {
    /// A registered entity. A feature is the location that it stands for.
    pub fn entity(&self, set: Set, id: &str) -> Option<&Entity> {
        let set = if set == Set::Feature { Set::Location } else { set };
        self.0.entities.get(&(set, id.to_owned()))
    }

    /// The latest observation of a datastream, and what it says of the datastream.
    pub fn latest(&self, datastream: &str) -> Option<&(Observation, Described)> {
        self.0.latest.get(datastream)
    }

    /// Whether there is such an entity, registered or heard of.
    pub fn has(&self, set: Set, id: &str) -> bool {
        self.entity(set, id).is_some() || (set == Set::Datastream && self.latest(id).is_some())
    }

    /// Whether no more can be registered.
    pub fn is_full(&self) -> bool {
        self.0.entities.len() >= ENTITIES_MAX
    }

    /// The ids of a set, in their order.
    pub fn ids(&self, set: Set) -> Vec<String> {
        let set = if set == Set::Feature { Set::Location } else { set };
        let from = (set, String::new());
        let registered = self.0.entities.range(from..).take_while(|((other, _), _)| *other == set).map(|((_, id), _)| id.as_str());
        if set == Set::Datastream {
            let all: BTreeSet<&str> = registered.chain(self.0.latest.ids()).collect();
            return all.into_iter().map(str::to_owned).collect();
        }
        registered.map(str::to_owned).collect()
    }

    /// The ids that an entity links to.
    pub fn linked(&self, set: Set, id: &str, link: Link) -> Vec<String> {
        let forward = |entity: &Entity| entity.links.get(&link.set).cloned().unwrap_or_default();
        match (set, link.set) {
            (Set::Thing, Set::Location) | (Set::Datastream, Set::Thing | Set::Sensor | Set::ObservedProperty) => {
                self.entity(set, id).map(forward).unwrap_or_default()
            }
            // What links here: there are at most as many as there are entities, and nobody waits for a millisecond.
            (Set::Location | Set::Thing | Set::Sensor | Set::ObservedProperty, other) => {
                let from = (other, String::new());
                let entities = self.0.entities.range(from..).take_while(|((set, _), _)| *set == other);
                let here = |entity: &Entity| entity.links.get(&set).is_some_and(|ids| ids.iter().any(|linked| linked == id));
                entities.filter(|(_, entity)| here(entity)).map(|((_, id), _)| id.clone()).collect()
            }
            (Set::Datastream | Set::Observation | Set::Feature, _) => Vec::new(),
        }
    }

    /// The location that a datastream's observations are about: the first of its thing.
    pub fn feature(&self, datastream: &str) -> Option<String> {
        feature(&|set, id| self.entity(set, id).cloned(), datastream)
    }

    /// What observations of a datastream that never was registered say besides their results: what the latest one said.
    pub fn heard(&self, datastream: &str) -> Described {
        self.latest(datastream).map(|(_, described)| described.clone()).unwrap_or_default()
    }

    /// What there is to say of a datastream that never was registered.
    pub fn heard_of(&self, datastream: &str) -> Option<Value> {
        let (_, described) = self.latest(datastream)?;
        let property = described.property.as_deref().unwrap_or("unknown");
        let station = described.station.as_deref().unwrap_or(datastream);
        let mut body = json!({
            "name": datastream,
            "description": format!("{property} at {station}; never registered, known by its observations / 未登记，由观测得知"),
            "observationType": "http://www.opengis.net/def/observationType/OGC-OM/2.0/OM_Measurement",
            "unitOfMeasurement": {"name": described.unit, "symbol": described.unit, "definition": null},
            "properties": {"registered": false, "property": described.property, "station": described.station, "district": described.district},
        });
        if let Some((lat, lon)) = described.place {
            body["observedArea"] = json!({"type": "Point", "coordinates": [lon, lat]});
        }
        Some(body)
    }
}

/// Finds an entity.
pub type Find<'a> = &'a dyn Fn(Set, &str) -> Option<Entity>;

fn feature(find: Find<'_>, datastream: &str) -> Option<String> {
    let datastream = find(Set::Datastream, datastream)?;
    find(Set::Thing, datastream.link(Set::Thing)?)?.link(Set::Location).map(str::to_owned)
}

/// What observations of a registered datastream say besides their results.
pub fn described(find: Find<'_>, datastream: &str) -> Option<Described> {
    let entity = find(Set::Datastream, datastream)?;
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let body = entity.json();
    let unit = &body["unitOfMeasurement"];
    let of = |set: Set| entity.link(set).and_then(|id| find(set, id)).map(|entity| entity.json()).unwrap_or_default();
    let location = feature(find, datastream).and_then(|id| find(Set::Location, &id)).map(|entity| entity.json()).unwrap_or_default();
    Some(Described {
        unit: text(&unit["symbol"]).or_else(|| text(&unit["name"])),
        property: text(&of(Set::ObservedProperty)["name"]),
        station: entity.link(Set::Thing).map(str::to_owned),
        district: text(&of(Set::Thing)["properties"]["district"]),
        place: point(&location["location"]),
    })
}

/// Latitude and longitude of a GeoJSON point, or of a feature that is one.
pub fn point(location: &Value) -> Option<(f64, f64)> {
    let location = if location["type"] == "Feature" { &location["geometry"] } else { location };
    if location["type"] != "Point" {
        return None;
    }
    let (lon, lat) = (location["coordinates"].get(0)?.as_f64()?, location["coordinates"].get(1)?.as_f64()?);
    ((-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon)).then_some((lat, lon))
}
