//! Filters, pages and cursors of the lists. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::limits::{PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX};
use crate::people::{Scope, Subject};

/// A longitude and latitude box, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// Western edge.
    pub west: f64,
    /// Southern edge.
    pub south: f64,
    /// Eastern edge.
    pub east: f64,
    /// Northern edge.
    pub north: f64,
}

/// Which items, and which page of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListQuery {
    /// Scenario, as in `urban_flooding`.
    pub scenario: Option<String>,
    /// State, as in `active`.
    pub state: Option<String>,
    /// The unit responsible.
    pub unit: Option<String>,
    /// District.
    pub area: Option<String>,
    /// Place.
    pub bounds: Option<Bounds>,
    /// Level, 1 to 4.
    pub level: Option<i64>,
    /// Incident.
    pub incident: Option<String>,
    /// From this time on.
    pub from: Option<DateTime<Utc>>,
    /// Before this time.
    pub to: Option<DateTime<Utc>>,
    /// Where the asker may read; nothing for everywhere.
    pub within: Option<Vec<Scope>>,
    /// Only items whose key comes after this one.
    pub after: Option<String>,
    /// How many.
    pub limit: usize,
}

/// A page of items.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// The items.
    pub items: Vec<Value>,
    /// The key after which the next page begins; `None` on the last page.
    pub next: Option<String>,
}

/// What is wrong with a query, in English and Chinese.
pub type QueryProblem = (String, String);

impl ListQuery {
    /// Reads the parameters of a request. Unknown ones are refused: a misspelt filter would silently give everything.
    pub fn parse(parameters: &[(String, String)]) -> Result<ListQuery, QueryProblem> {
        let mut query = ListQuery { limit: PAGE_ITEMS_DEFAULT, ..ListQuery::default() };
        for (name, value) in parameters {
            let text = || Some(value.clone());
            match name.as_str() {
                "scenario" => query.scenario = text(),
                "state" | "status" => query.state = text(),
                "unit" => query.unit = text(),
                "area" | "district" => query.area = text(),
                "incident" => query.incident = text(),
                "bbox" => query.bounds = Some(parse_bounds(value)?),
                "level" => query.level = Some(number(name, value, 1, 4)?),
                "from" | "since" => query.from = Some(time(name, value)?),
                "to" | "until" => query.to = Some(time(name, value)?),
                "limit" => query.limit = number(name, value, 1, PAGE_ITEMS_MAX as i64)? as usize,
                "cursor" => query.after = Some(read_cursor(value)?),
                _ => {
                    return Err((
                        format!("there is no filter {name:?}; there are scenario, state, unit, area, bbox, level, incident, from, to, limit, cursor"),
                        format!("没有筛选条件 {name:?}；可用：scenario、state、unit、area、bbox、level、incident、from、to、limit、cursor"),
                    ));
                }
            }
        }
        Ok(query)
    }

    /// Whether an item fits. Looks at the fields that alerts, cases and incidents have in common; a filter on a field
    /// that the item lacks does not fit.
    pub fn fits(&self, item: &Value) -> bool {
        let text = |wanted: &Option<String>, names: &[&str]| {
            wanted.as_ref().is_none_or(|wanted| names.iter().any(|name| item[*name].as_str() == Some(wanted)))
        };
        let moment = ["updated", "onset", "opened", "time", "created"]
            .iter()
            .find_map(|name| DateTime::parse_from_rfc3339(item[*name].as_str()?).ok());
        text(&self.scenario, &["scenario"])
            && text(&self.state, &["state"])
            && text(&self.unit, &["unit"])
            && text(&self.area, &["district", "area"])
            && text(&self.incident, &["incident"])
            && self.level.is_none_or(|level| item["level"].as_i64() == Some(level))
            && self.from.is_none_or(|from| moment.is_some_and(|moment| moment >= from))
            && self.to.is_none_or(|to| moment.is_some_and(|moment| moment < to))
            && self.within.as_ref().is_none_or(|scopes| {
                let subject = Subject::of(item);
                scopes.iter().any(|scope| scope.touches(&subject))
            })
            && self.bounds.is_none_or(|bounds| place(item).is_some_and(|(lon, lat)| bounds.holds(lon, lat)))
    }

    /// A page of items that come sorted by their keys. Only items after [`ListQuery::after`] are turned into JSON.
    pub fn page<K: AsRef<str>, V: FnOnce() -> Value>(&self, items: impl Iterator<Item = (K, V)>) -> Page {
        let mut page = Page::default();
        let mut last = None;
        for (key, value) in items {
            if self.after.as_ref().is_some_and(|after| key.as_ref() <= after.as_str()) {
                continue;
            }
            let item = value();
            if !self.fits(&item) {
                continue;
            }
            if page.items.len() == self.limit {
                page.next = last;
                break;
            }
            last = Some(key.as_ref().to_owned());
            page.items.push(item);
        }
        page
    }
}

impl Bounds {
    /// Whether a place lies in it.
    pub fn holds(&self, lon: f64, lat: f64) -> bool {
        (self.west..=self.east).contains(&lon) && (self.south..=self.north).contains(&lat)
    }
}

/// The opaque form of a key, for the `cursor` parameter.
pub fn write_cursor(key: &str) -> String {
    BASE64.encode(key)
}

fn read_cursor(text: &str) -> Result<String, QueryProblem> {
    let wrong = || ("the cursor is not one that this list gave".to_owned(), "cursor 不是本列表给出的".to_owned());
    String::from_utf8(BASE64.decode(text).map_err(|_| wrong())?).map_err(|_| wrong())
}

fn time(name: &str, value: &str) -> Result<DateTime<Utc>, QueryProblem> {
    // A plus sign in a query string means a space.
    DateTime::parse_from_rfc3339(&value.replace(' ', "+")).map(|time| time.with_timezone(&Utc)).map_err(|_| {
        (
            format!("{name} {value:?} is no time such as 2017-08-26T07:00:00-05:00"),
            format!("{name} {value:?} 不是形如 2017-08-26T07:00:00-05:00 的时间"),
        )
    })
}

fn number(name: &str, value: &str, least: i64, most: i64) -> Result<i64, QueryProblem> {
    value.parse().ok().filter(|number| (least..=most).contains(number)).ok_or_else(|| {
        (
            format!("{name} {value:?} is no whole number from {least} to {most}"),
            format!("{name} {value:?} 不是 {least} 到 {most} 之间的整数"),
        )
    })
}

/// Reads `west,south,east,north`.
pub fn parse_bounds(value: &str) -> Result<Bounds, QueryProblem> {
    let parts: Vec<f64> = value.split(',').filter_map(|part| part.trim().parse().ok()).filter(|part: &f64| part.is_finite()).collect();
    match parts.as_slice() {
        [west, south, east, north] if value.split(',').count() == 4 && west <= east && south <= north => {
            Ok(Bounds { west: *west, south: *south, east: *east, north: *north })
        }
        _ => Err((
            format!("bbox {value:?} is not west,south,east,north in degrees"),
            format!("bbox {value:?} 应为 西,南,东,北（度）"),
        )),
    }
}

fn place(item: &Value) -> Option<(f64, f64)> {
    if let (Some(lon), Some(lat)) = (item["lon"].as_f64(), item["lat"].as_f64()) {
        return Some((lon, lat));
    }
    let mut point = &item["area"]["coordinates"];
    while point.get(0).is_some_and(Value::is_array) {
        point = &point[0];
    }
    Some((point.get(0)?.as_f64()?, point.get(1)?.as_f64()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(text: &str) -> Result<ListQuery, QueryProblem> {
        let pairs: Vec<_> = text
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        ListQuery::parse(&pairs)
    }

    #[test]
    fn pages_follow_one_another_without_loss() {
        let keys: Vec<String> = (0..25).map(|at| format!("k{at:03}")).collect();
        let mut query = parse("limit=10&state=active").unwrap();
        let mut seen = Vec::new();
        for _ in 0..10 {
            let items = keys.iter().map(|key| (key, move || json!({"id": key, "state": if key.ends_with('3') { "cleared" } else { "active" }})));
            let page = query.page(items);
            seen.extend(page.items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
            let Some(next) = page.next else { break };
            query.after = Some(read_cursor(&write_cursor(&next)).unwrap());
        }
        let expected: Vec<String> = keys.into_iter().filter(|key| !key.ends_with('3')).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn filters_fit() {
        let item = json!({"state": "active", "level": 2, "onset": "2017-08-26T12:00:00Z", "area": {"type": "Point", "coordinates": [-95.4, 29.7]}});
        let fits = |text: &str| parse(text).unwrap().fits(&item);
        assert!(fits("state=active&level=2&bbox=-96,29,-95,30&from=2017-08-26T12:00:00Z"));
        assert!(!fits("level=3"));
        assert!(!fits("to=2017-08-26T12:00:00Z"));
        assert!(!fits("bbox=0,0,1,1"));
        assert!(!fits("unit=x"));
    }

    #[test]
    fn wrong_parameters_are_refused_by_name() {
        for text in ["sate=active", "limit=0", "limit=1001", "level=9", "from=yesterday", "bbox=1,2,3", "bbox=3,0,1,1", "cursor=%%%"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
