//! Entities as the standard writes them: ids, links, pages, selections and expansions.

use serde_json::{Map, Value, json};

use super::latest::Observation;
use super::query::{self, Options, no_link};
use super::things::Look;
use super::{Link, Set, Wrong, is_number, quoted};

/// Where the service is, as in `http://127.0.0.1:8400/sensorthings/v1.1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base(pub String);

impl Base {
    /// The link to an entity.
    pub fn entity(&self, set: Set, id: &str) -> String {
        format!("{}/{}({})", self.0, set.plural(), encoded(&quoted(id)))
    }

    /// The link to the next page of a list: the same question, further on.
    pub fn next(&self, path: &str, parameters: &[(String, String)], skip: usize) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in parameters.iter().filter(|(name, _)| name != "$skip") {
            query.append_pair(name, value);
        }
        query.append_pair("$skip", &skip.to_string());
        format!("{}/{}?{}", self.0, encoded(path), query.finish())
    }
}

/// A path with everything encoded that a path cannot hold as it is.
fn encoded(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~()'/$@:,".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The service's root document.
pub fn root(base: &Base) -> Value {
    let sets: Vec<Value> = Set::ALL.map(|set| json!({"name": set.plural(), "url": format!("{}/{}", base.0, set.plural())})).into();
    let requirements = [
        "datamodel", "resource-path/resource-path-to-entities", "request-data", "create-update-delete/create-entity", "create-update-delete/deep-insert",
        "data-array/data-array", "create-observations-via-mqtt/observations-creation",
    ];
    let conformance: Vec<String> = requirements.iter().map(|name| format!("http://www.opengis.net/spec/iot_sensing/1.1/req/{name}")).collect();
    json!({"value": sets, "serverSettings": {"conformance": conformance}})
}

fn id_value(id: &str) -> Value {
    if is_number(id) { json!(id.parse::<i64>().expect("it is a number")) } else { Value::from(id) }
}

/// An entity with its links; none when there is no such. Observations are not held here.
pub fn entity(look: &Look<'_>, base: &Base, set: Set, id: &str) -> Option<Value> {
    let mut body = match look.entity(set, id) {
        Some(entity) => entity.json(),
        None if set == Set::Datastream => look.heard_of(id)?,
        None => return None,
    };
    if set == Set::Feature {
        let location = body["location"].take();
        body = json!({"name": body["name"], "description": body["description"], "encodingType": body["encodingType"], "feature": location});
    }
    Some(with_links(base, set, id, body))
}

/// An observation with its links, with those that are followed, and only what was asked for.
///
/// # Errors
/// When an expansion is none of observations.
pub fn observation(look: &Look<'_>, base: &Base, observed: &Observation, options: &Options) -> Result<Value, Wrong> {
    let mut observation = bare_observation(look, base, observed);
    for (name, inner) in &options.expand {
        let link = Set::Observation.link(name).ok_or_else(|| no_link(Set::Observation, name))?;
        let id = if link.set == Set::Datastream { Some(observed.datastream.clone()) } else { look.feature(&observed.datastream) };
        let linked = id.and_then(|id| entity(look, base, link.set, &id));
        observation[name] = linked.map_or(Value::Null, |linked| selected(linked, inner));
    }
    Ok(selected(observation, options))
}

fn bare_observation(look: &Look<'_>, base: &Base, observation: &Observation) -> Value {
    let time = |us: i64| schemas::time::format_us(us).unwrap_or_default();
    let phenomenon = match observation.start_us {
        Some(start_us) => format!("{}/{}", time(start_us), time(observation.time_us)),
        None => time(observation.time_us),
    };
    let truth = look.entity(Set::Datastream, &observation.datastream).is_some_and(|entity| super::values::is_truth(&entity.json()));
    let result = match observation.result {
        Some(number) if truth => Value::from(number != 0.0),
        // Whole numbers come out as they came in.
        Some(number) if number.fract() == 0.0 && number.abs() < 9e15 => json!(number as i64),
        Some(number) => json!(number),
        None => Value::Null,
    };
    let mut body = json!({"phenomenonTime": phenomenon, "resultTime": observation.result_time_us.map(time), "result": result});
    if let Some(quality) = &observation.quality {
        body["resultQuality"] = Value::from(quality.as_str());
    }
    with_links(base, Set::Observation, &observation.id(), body)
}

fn with_links(base: &Base, set: Set, id: &str, body: Value) -> Value {
    let link = base.entity(set, id);
    let mut entity = match body {
        Value::Object(members) => members,
        other => Map::from_iter([("value".to_owned(), other)]),
    };
    for to in set.links() {
        entity.insert(format!("{}@iot.navigationLink", to.name()), Value::from(format!("{link}/{}", to.name())));
    }
    entity.insert("@iot.id".to_owned(), id_value(id));
    entity.insert("@iot.selfLink".to_owned(), Value::from(link));
    Value::Object(entity)
}

/// Only the properties that were asked for; links that were followed stay.
pub fn selected(mut entity: Value, options: &Options) -> Value {
    if let (Some(wanted), Value::Object(members)) = (&options.select, &mut entity) {
        let is_wanted = |key: &str| {
            let property = key.split('@').next().filter(|name| !name.is_empty()).unwrap_or(key);
            let id = key == "@iot.id" && wanted.iter().any(|name| name == "id");
            id || wanted.iter().any(|name| name == key || name == property) || options.expand.iter().any(|(name, _)| name == property)
        };
        members.retain(|key, _| is_wanted(key));
    }
    entity
}

/// A page of entities.
#[derive(Debug, Default)]
pub struct Page {
    /// The entities.
    pub items: Vec<Value>,
    /// How many there are in all.
    pub count: usize,
    /// Where the next page begins.
    pub next: Option<usize>,
}

impl Page {
    /// The page as the standard writes it.
    pub fn json(self, base: &Base, path: &str, parameters: &[(String, String)], options: &Options) -> Value {
        let mut page = json!({"value": self.items});
        if options.count {
            page["@iot.count"] = Value::from(self.count);
        }
        if let Some(skip) = self.next {
            page["@iot.nextLink"] = Value::from(base.next(path, parameters, skip));
        }
        page
    }
}

/// A page of the entities of a set that have these ids.
///
/// # Errors
/// When an expansion is none of the set.
pub fn page(look: &Look<'_>, base: &Base, set: Set, ids: &[String], options: &Options) -> Result<Page, Wrong> {
    let shown = |id: &String| entity(look, base, set, id);
    let (chosen, count) = if options.filter.is_none() && options.order.is_empty() {
        let chosen: Vec<Value> = ids.iter().skip(options.skip).take(options.top).filter_map(shown).collect();
        (chosen, ids.len())
    } else {
        let fits = |entity: &Value| options.filter.as_ref().is_none_or(|filter| filter.fits(entity));
        let mut all: Vec<Value> = ids.iter().filter_map(shown).filter(fits).collect();
        query::sort(&mut all, &options.order);
        let count = all.len();
        (all.into_iter().skip(options.skip).take(options.top).collect(), count)
    };
    let end = options.skip.saturating_add(options.top);
    let mut items = Vec::with_capacity(chosen.len());
    for item in chosen {
        items.push(selected(expanded(look, base, set, item, options)?, options));
    }
    Ok(Page { items, count, next: (end < count && options.top > 0).then_some(end) })
}

/// An entity with what it links to, as far as that was asked for.
///
/// # Errors
/// When an expansion is none of the set, or wants more of observations than their latest.
pub fn expanded(look: &Look<'_>, base: &Base, set: Set, mut entity: Value, options: &Options) -> Result<Value, Wrong> {
    for (name, inner) in &options.expand {
        let link = set.link(name).ok_or_else(|| no_link(set, name))?;
        let id = match &entity["@iot.id"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let value = if link.set == Set::Observation { latest_only(look, base, &id, inner)? } else { linked(look, base, set, &id, link, inner)? };
        if link.set == Set::Observation {
            entity["Observations@iot.nextLink"] = Value::from(format!("{}/Observations", base.entity(set, &id)));
        }
        entity[name] = value;
    }
    Ok(entity)
}

fn linked(look: &Look<'_>, base: &Base, set: Set, id: &str, link: Link, options: &Options) -> Result<Value, Wrong> {
    let ids = look.linked(set, id, link);
    if link.many {
        return Ok(Value::Array(page(look, base, link.set, &ids, options)?.items));
    }
    let one = ids.first().and_then(|id| entity(look, base, link.set, id));
    Ok(one.map_or(Value::Null, |entity| selected(entity, options)))
}

/// The latest observation of a datastream as a list: what following the link in a list can give at once.
fn latest_only(look: &Look<'_>, base: &Base, datastream: &str, options: &Options) -> Result<Value, Wrong> {
    let asked_for_none = Options { select: options.select.clone(), ..Options::default() } == *options;
    if !asked_for_none && !options.is_latest() {
        return Err(Wrong::absent(
            "$expand=Observations gives the latest observation of each: write Observations($top=1;$orderby=phenomenonTime desc); for more, follow Observations@iot.navigationLink",
            "$expand=Observations 给出各数据流的最新观测：Observations($top=1;$orderby=phenomenonTime desc)；更多请访问 Observations@iot.navigationLink",
        ));
    }
    let latest = look.latest(datastream).map(|(latest, _)| observation(look, base, latest, options)).transpose()?;
    Ok(Value::Array(latest.into_iter().collect()))
}
