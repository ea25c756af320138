//! What is sent, as events: entities with what is nested in them, observations one by one and as `dataArray`.
//!
//! A request is read whole before anything of it goes to the door: what is wrong in it is refused as a whole, but for
//! `CreateObservations`, whose rows stand for themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use schemas::Event;
use serde_json::{Map, Value, json};

use super::path::Resource;
use super::latest::{self, Described, Observation};
use super::things::{self, ENTITY_TYPE, Entity, Look, Things, point};
use super::values::{Kind, check, fresh_id, id_of, interval, kind_of, listed, masked, missing, random_id, result};
use super::{Set, Wrong};
use crate::limits::REQUEST_ITEMS_MAX;
use crate::refusal::{Incoming, Origin, Place, Refusal};

/// The type of observations.
pub const OBSERVATION_TYPE: &str = "io.citybrain.sensor.observation.v1";

/// The CloudEvents source of what is sent by this standard.
pub const SOURCE: &str = "urn:citybrain:sensorthings";

/// What an item of a request will be when the log has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Planned {
    /// A registered entity, and the data of its event.
    Entity(Set, String, Value),
    /// An observation, whose place in the log is not known yet, and what it says of its datastream.
    Observation(Box<(Observation, Described)>),
    /// Nothing: it is wrong.
    Nothing,
}

/// One item of a request.
#[derive(Debug, Clone)]
pub struct Item {
    /// What it will be.
    pub planned: Planned,
    /// What goes through the door; nothing when just this is registered already.
    pub incoming: Option<Incoming>,
}

/// Reads a request. Of entities the last item is the one that was asked for; what it needs comes before it.
///
/// # Errors
/// What is wrong, or not done here.
pub fn read(things: &Things, resource: &Resource, body: &Bytes, origin: &Origin, now: DateTime<Utc>) -> Result<Vec<Item>, Wrong> {
    let text = crate::encoding::utf8(body).map_err(|wrong| Wrong::bad(format!("the body {}", wrong.en()), format!("正文{}", wrong.zh())))?;
    let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| Wrong::bad(format!("the body is no JSON: {error}"), format!("正文不是 JSON：{error}")))?;
    let look = things.look();
    let mut plan = Plan { look, made: Vec::new(), observations: Vec::new(), now };
    let main = match resource {
        Resource::CreateObservations => return data_array(&plan, &value, origin),
        Resource::All(Set::Observation) => {
            plan.observe(None, &value)?;
            None
        }
        Resource::All(set) => Some(plan.entity(*set, &value, &[])?),
        Resource::Linked(set, id, link) => {
            if !plan.has(*set, id) {
                return Err(Wrong::none(format!("{} {id:?}", set.singular())));
            }
            match (*set, link.set) {
                (Set::Datastream, Set::Observation) => {
                    plan.observe(Some(id), &value)?;
                    None
                }
                (Set::Thing | Set::Sensor | Set::ObservedProperty, Set::Datastream) | (Set::Thing, Set::Location) => {
                    Some(plan.entity(link.set, &value, &[(*set, id.clone())])?)
                }
                _ => return Err(not_here(link.set)),
            }
        }
        Resource::Root | Resource::One(..) => {
            return Err(Wrong { status: 405, en: "entities are created in their sets".to_owned(), zh: "请向实体集提交以创建实体".to_owned() });
        }
    };
    Ok(plan.items(main, origin))
}

fn not_here(set: Set) -> Wrong {
    Wrong::absent(format!("{} are not created here", set.plural()), format!("此处不能创建 {}", set.plural()))
}

/// A request as far as it is understood.
struct Plan<'a> {
    look: Look<'a>,
    made: Vec<(Set, String, Entity)>,
    observations: Vec<Event>,
    now: DateTime<Utc>,
}

impl Plan<'_> {
    fn find(&self, set: Set, id: &str) -> Option<Entity> {
        let made = self.made.iter().rev().find(|(other, other_id, _)| *other == set && other_id == id).map(|(_, _, entity)| entity);
        made.or_else(|| self.look.entity(set, id)).cloned()
    }

    fn has(&self, set: Set, id: &str) -> bool {
        self.find(set, id).is_some() || self.look.has(set, id)
    }

    /// Plans an entity and what is nested in it; gives its id. `given` are links that the path or the parent says.
    fn entity(&mut self, set: Set, value: &Value, given: &[(Set, String)]) -> Result<String, Wrong> {
        let name = set.singular();
        let members = value.as_object().ok_or_else(|| Wrong::bad(format!("{name} has to be a JSON object"), format!("{name} 应为 JSON 对象")))?;
        if self.made.len() + self.observations.len() >= REQUEST_ITEMS_MAX || self.look.is_full() {
            return Err(Wrong::bad("more entities than are taken".to_owned(), "实体数量超过上限".to_owned()));
        }
        check(set, value)?;
        let id = match members.get("@iot.id") {
            Some(id) => id_of(id)?,
            None => fresh_id(set),
        };
        let mut links: BTreeMap<Set, Vec<String>> = BTreeMap::new();
        match set {
            Set::Thing => {
                for location in listed(value, "Locations")? {
                    let location = self.linked(Set::Location, location)?;
                    links.entry(Set::Location).or_default().push(location);
                }
                // Registered again without a word of its locations, it stays where it is.
                if let (None, Some(known)) = (members.get("Locations"), self.look.entity(set, &id)) {
                    links.extend(known.links.clone());
                }
            }
            Set::Datastream => {
                for linked in [Set::Thing, Set::Sensor, Set::ObservedProperty] {
                    let there = match (members.get(linked.singular()), given.iter().find(|(set, _)| *set == linked)) {
                        (Some(value), _) => self.linked(linked, value)?,
                        (None, Some((_, id))) => id.clone(),
                        (None, None) => return Err(missing(set, linked.singular())),
                    };
                    links.insert(linked, vec![there]);
                }
            }
            Set::Location | Set::Sensor | Set::ObservedProperty => {}
            Set::Observation | Set::Feature => return Err(not_here(set)),
        }
        // What other sets hold of it is created where it belongs.
        let nested = set.links().iter().filter(|link| link.many && !matches!(link.set, Set::Observation | Set::Location | Set::Datastream));
        if let Some(link) = nested.into_iter().find(|link| members.contains_key(link.name())) {
            return Err(not_here(link.set));
        }
        let own = |key: &&String| !key.contains('@') && set.link(key).is_none();
        let body: Map<String, Value> = members.iter().filter(|(key, _)| own(key)).map(|(key, value)| (key.clone(), masked(value))).collect();
        self.made.push((set, id.clone(), Entity { body: Arc::from(Value::Object(body).to_string()), links, offset: -1 }));
        if set == Set::Datastream {
            for observation in listed(value, "Observations")? {
                self.observe(Some(&id), observation)?;
            }
        } else {
            for datastream in listed(value, "Datastreams")? {
                self.entity(Set::Datastream, datastream, &[(set, id.clone())])?;
            }
        }
        if let (Set::Location, Some((Set::Thing, thing))) = (set, given.first())
            && let Some(mut moved) = self.find(Set::Thing, thing)
        {
            moved.links.insert(Set::Location, vec![id.clone()]);
            self.made.push((Set::Thing, thing.clone(), moved));
        }
        Ok(id)
    }

    /// An entity that another links to: named by its id, or nested.
    fn linked(&mut self, set: Set, value: &Value) -> Result<String, Wrong> {
        let Some(id) = value.get("@iot.id") else { return self.entity(set, value, &[]) };
        let named = value.as_object().is_some_and(|members| members.keys().all(|key| key.starts_with("@iot.")));
        if !named {
            return self.entity(set, value, &[]);
        }
        let id = id_of(id)?;
        if self.has(set, &id) { Ok(id) } else { Err(Wrong { status: 400, ..Wrong::none(format!("{} {id:?}", set.singular())) }) }
    }

    /// Plans an observation of a datastream that the path names, or the body.
    fn observe(&mut self, datastream: Option<&str>, value: &Value) -> Result<(), Wrong> {
        if self.made.len() + self.observations.len() >= REQUEST_ITEMS_MAX {
            return Err(Wrong::bad(format!("a request has at most {REQUEST_ITEMS_MAX} items"), format!("一次请求最多 {REQUEST_ITEMS_MAX} 项")));
        }
        if !value.is_object() {
            return Err(Wrong::bad("an Observation has to be a JSON object", "Observation 应为 JSON 对象"));
        }
        let datastream = match (datastream, value.get("Datastream")) {
            (Some(id), _) => id.to_owned(),
            (None, Some(link)) if link.get("@iot.id").is_some() => id_of(&link["@iot.id"])?,
            (None, Some(_)) => return Err(Wrong::bad("an Observation names its Datastream as {\"@iot.id\": ...}", "Observation 应以 {\"@iot.id\": ...} 指明 Datastream")),
            (None, None) => return Err(missing(Set::Observation, "Datastream")),
        };
        let event = self.observation(&datastream, value)?;
        self.observations.push(event);
        Ok(())
    }

    fn observation(&self, datastream: &str, value: &Value) -> Result<Event, Wrong> {
        let find = |set: Set, id: &str| self.find(set, id);
        let described = match things::described(&find, datastream) {
            Some(described) => described,
            None if self.look.has(Set::Datastream, datastream) => self.look.heard(datastream),
            None => return Err(Wrong { status: 404, ..Wrong::none(format!("Datastream {datastream:?}; register it with POST Datastreams first")) }),
        };
        let kind = self.find(Set::Datastream, datastream).map_or(Kind::Measurement, |entity| {
            entity.json()["observationType"].as_str().and_then(kind_of).unwrap_or(Kind::Measurement)
        });
        let result = result(value.get("result").ok_or_else(|| missing(Set::Observation, "result"))?, kind)?;
        let observed = value.get("phenomenonTime").filter(|time| !time.is_null()).map(|time| interval("phenomenonTime", time)).transpose()?;
        let (start_us, time_us) = observed.unwrap_or((None, self.now.timestamp_micros()));
        let result_time = value.get("resultTime").filter(|time| !time.is_null()).map(|time| interval("resultTime", time)).transpose()?;
        let result_time_us = result_time.map(|(_, us)| us);
        let quality = value.get("resultQuality").filter(|quality| !quality.is_null()).map(|quality| match quality.as_str() {
            Some(text) => text.to_owned(),
            None => quality.to_string(),
        });
        let place = match value.get("FeatureOfInterest") {
            None | Some(Value::Null) => described.place,
            Some(feature) => self.place(feature)?.or(described.place),
        };
        let text = |us: i64| schemas::time::format_us(us);
        let mut data = json!({ "datastream": datastream, "result": result });
        let optional = [
            ("unit", described.unit.map(Value::from)),
            ("property", described.property.map(Value::from)),
            ("station", described.station.map(Value::from)),
            ("district", described.district.map(Value::from)),
            ("lat", place.map(|place| json!(place.0))),
            ("lon", place.map(|place| json!(place.1))),
            ("quality", quality.map(Value::from)),
            ("result_time", result_time_us.and_then(text).map(Value::from)),
            ("phenomenon_start", start_us.and_then(text).map(Value::from)),
            ("valid_time", value.get("validTime").cloned()),
            ("parameters", value.get("parameters").cloned()),
        ];
        for (name, value) in optional.into_iter().filter_map(|(name, value)| Some((name, value?))) {
            data[name] = value;
        }
        // What says when it was observed has one id however often it is sent; what does not is new every time.
        let id = match (value.get("@iot.id"), observed) {
            (Some(id), _) => schemas::id::of_parts(&[datastream, "@iot.id", &id_of(id)?]),
            (None, Some(_)) => {
                let times = [start_us.unwrap_or(time_us), time_us, result_time_us.unwrap_or(time_us)].map(|us| us.to_string());
                schemas::id::of_parts(&[datastream, &times[0], &times[1], &times[2], &result.to_string()])
            }
            (None, None) => random_id(),
        };
        let mut event = Event::new(id, SOURCE, OBSERVATION_TYPE).with_json(&data);
        event.time = DateTime::from_timestamp_micros(time_us);
        event.subject = Some(datastream.to_owned());
        Ok(event)
    }

    /// Where a feature is: one that is named is a location, one that is nested tells.
    fn place(&self, feature: &Value) -> Result<Option<(f64, f64)>, Wrong> {
        match feature.get("@iot.id") {
            Some(id) => {
                let id = id_of(id)?;
                let location = self.find(Set::Location, &id).ok_or_else(|| Wrong { status: 400, ..Wrong::none(format!("FeatureOfInterest {id:?}")) })?;
                Ok(point(&location.json()["location"]))
            }
            None => Ok(point(&feature["feature"])),
        }
    }

    /// The items: the entity that was asked for comes last.
    fn items(self, main: Option<String>, origin: &Origin) -> Vec<Item> {
        let mut items = Vec::new();
        let mut last = None;
        for (set, id, entity) in &self.made {
            let data = event_data(*set, id, entity);
            let known = self.look.entity(*set, id).is_some_and(|known| known.body == entity.body && known.links == entity.links);
            let incoming = (!known).then(|| {
                let mut event = Event::new(random_id(), SOURCE, ENTITY_TYPE).with_json(&data);
                event.time = Some(self.now);
                event.subject = Some(format!("{}/{id}", set.plural()));
                Incoming { event: Ok(event), origin: Origin { original: None, ..origin.clone() } }
            });
            let item = Item { planned: Planned::Entity(*set, id.clone(), data), incoming };
            if last.is_none() && main.as_ref() == Some(id) { last = Some(item) } else { items.push(item) }
        }
        items.extend(self.observations.into_iter().map(|event| observed(event, origin, Place::default())));
        items.extend(last);
        items
    }
}

fn observed(event: Event, origin: &Origin, place: Place) -> Item {
    let data = String::from_utf8_lossy(event.data.as_deref().unwrap_or_default());
    let read = latest::read(0, 0, event.time.map_or(0, |time| time.timestamp_micros()), &data);
    let planned = Planned::Observation(Box::new(read.expect("it was put together in this form")));
    Item { planned, incoming: Some(Incoming { event: Ok(event), origin: Origin { original: None, place, ..origin.clone() } }) }
}

fn event_data(set: Set, id: &str, entity: &Entity) -> Value {
    let body = entity.json();
    let mut data = json!({
        "entity": format!("{}/{id}", set.plural()),
        "entity_set": set.plural(),
        "entity_id": id,
        "name": body["name"],
        "description": body["description"],
    });
    for (linked, field) in [(Set::Thing, "thing"), (Set::Sensor, "sensor"), (Set::ObservedProperty, "observed_property")] {
        if let Some(id) = entity.link(linked) {
            data[field] = Value::from(id);
        }
    }
    if let Some(locations) = entity.links.get(&Set::Location) {
        data["locations"] = json!(locations);
    }
    data["body"] = body;
    data
}

/// `CreateObservations`: groups of rows, each of one datastream.
fn data_array(plan: &Plan<'_>, value: &Value, origin: &Origin) -> Result<Vec<Item>, Wrong> {
    let form = || {
        Wrong::bad(
            "CreateObservations takes [{\"Datastream\": {\"@iot.id\": ...}, \"components\": [...], \"dataArray\": [[...]]}]",
            "CreateObservations 应为 [{\"Datastream\": {\"@iot.id\": ...}, \"components\": [...], \"dataArray\": [[...]]}]",
        )
    };
    let mut items = Vec::new();
    for group in value.as_array().ok_or_else(form)? {
        let components: Vec<&str> = group["components"].as_array().ok_or_else(form)?.iter().map(|name| name.as_str().ok_or_else(form)).collect::<Result<_, _>>()?;
        let rows = group["dataArray"].as_array().ok_or_else(form)?;
        let datastream = match group["Datastream"].get("@iot.id") {
            Some(id) => id_of(id)?,
            None => return Err(missing(Set::Observation, "Datastream")),
        };
        if items.len() + rows.len() > REQUEST_ITEMS_MAX {
            return Err(Wrong::bad(format!("a request has at most {REQUEST_ITEMS_MAX} rows"), format!("一次请求最多 {REQUEST_ITEMS_MAX} 行")));
        }
        for row in rows {
            let place = Place { index: Some(items.len() as u64), ..Place::default() };
            let item = match row_observation(plan, &datastream, &components, row) {
                Ok(event) => observed(event, origin, place),
                Err(wrong) => {
                    let original = json!({"Datastream": {"@iot.id": datastream}, "components": components, "dataArray": [row]});
                    let origin = Origin { original: Some(Bytes::from(original.to_string())), place, ..origin.clone() };
                    Item { planned: Planned::Nothing, incoming: Some(Incoming { event: Err(refusal(&wrong)), origin }) }
                }
            };
            items.push(item);
        }
    }
    Ok(items)
}

fn row_observation(plan: &Plan<'_>, datastream: &str, components: &[&str], row: &Value) -> Result<Event, Wrong> {
    let cells = row.as_array().filter(|cells| cells.len() == components.len()).ok_or_else(|| {
        Wrong::bad(format!("a row has to be an array of {} values", components.len()), format!("每行应为 {} 个值的数组", components.len()))
    })?;
    let mut value = Map::new();
    for (name, cell) in components.iter().zip(cells) {
        match name.strip_suffix("/id").or_else(|| name.strip_suffix("/@iot.id")) {
            Some(link) => value.insert(link.to_owned(), json!({"@iot.id": cell})),
            None => value.insert((*name).to_owned(), cell.clone()),
        };
    }
    plan.observation(datastream, &Value::Object(value))
}

/// The refusal that says what is wrong with a request.
pub fn refusal(wrong: &Wrong) -> Refusal {
    let code = match wrong.status {
        404 => "unknown_entity",
        501 | 405 => "not_supported",
        _ => "invalid_data",
    };
    Refusal::new(code, "", wrong.en.clone(), wrong.zh.clone())
}
