//! Cases as Open311 asks for them: live ones from the brain in memory, past ones, descriptions and steps from the lake.

use std::collections::BTreeMap;

use anyhow::Result;
use brain::{Brain, Case};
use chrono::{DateTime, Utc};
use gateway::open311::{Found, Note, Request, Search, Service};
use lakehouse::Lake;
use schemas::case::CaseState;

use crate::lake::{self, Row, quoted, text};

/// The categories of the graph as services.
pub fn services(graph: &graph::Graph) -> Vec<Service> {
    let service = |category: &graph::Category| Service {
        code: category.id.clone(),
        name_zh: category.name.zh.clone(),
        name_en: category.name.en.clone(),
        group: category.major.clone(),
        scenario: graph.scenario_of_category(&category.id).map(str::to_owned),
    };
    graph.categories().map(service).collect()
}

/// The live cases that are asked for, the newest first; categories and units by their ids, for [`name`].
pub fn live(brain: &Brain, search: &Search) -> Found {
    let mut fit: Vec<&Case> = brain.cases().filter(|case| fits(brain, case, search)).collect();
    // Cases come in the order in which they were opened.
    fit.reverse();
    let requests = fit.iter().skip(search.skip).take(search.limit).map(|case| request(case, matter(brain, case))).collect();
    Found { requests, total: fit.len() }
}

/// The case that is worked on for a report: its own, or the one that it was merged into. Who reported it wants to know how
/// the matter stands, not that somebody else was first.
fn matter<'a>(brain: &'a Brain, case: &'a Case) -> &'a Case {
    case.merged_into.as_deref().and_then(|id| brain.case(id)).unwrap_or(case)
}

fn fits(brain: &Brain, case: &Case, search: &Search) -> bool {
    if !search.ids.is_empty() {
        return search.ids.iter().any(|id| *id == case.request || *id == case.id);
    }
    (search.services.is_empty() || search.services.contains(&case.category))
        && search.open.is_none_or(|open| open != matter(brain, case).state.is_final())
        && search.from.is_none_or(|from| case.opened >= from)
        && search.to.is_none_or(|to| case.opened <= to)
        && search.updated_after.is_none_or(|after| matter(brain, case).moved > after)
        && search.updated_before.is_none_or(|before| matter(brain, case).moved < before)
        && search.bounds.is_none_or(|bounds| place(case).is_some_and(|(lat, lon)| bounds.holds(lon, lat)))
}

fn place(case: &Case) -> Option<(f64, f64)> {
    case.lat.zip(case.lon).map(|(lat, lon)| (lat.degrees(), lon.degrees()))
}

/// Gives categories and units their names in place of their ids.
pub fn name(graph: &graph::Graph, found: &mut Found) {
    let both = |name: &graph::Name| format!("{} / {}", name.zh, name.en);
    for request in &mut found.requests {
        if let Some(category) = graph.category(&request.service) {
            request.service_name = both(&category.name);
        }
        if let Some(unit) = request.agency.as_deref().and_then(|unit| graph.unit(unit)) {
            request.agency = Some(both(&unit.name));
        }
    }
}

/// A report as Open311 shows it: what was said is of its own case, how it stands of the one that has the matter.
fn request(case: &Case, matter: &Case) -> Request {
    Request {
        id: case.request.clone(),
        case: case.id.clone(),
        state: matter.state,
        service: case.category.clone(),
        service_name: case.category.clone(),
        description: None,
        agency: matter.unit.clone(),
        requested: case.opened,
        updated: matter.moved,
        expected: matter.due,
        address: case.address.clone(),
        place: place(case),
        district: case.district.clone(),
        urgency: matter.urgency,
        overdue: matter.overdue,
        incident: matter.incident.clone(),
        notes: Vec::new(),
    }
}

/// Adds what only the lake knows: requests that are long over, what was said, and the steps if they are asked for. What has
/// not landed yet is left out.
///
/// # Errors
/// When the lake cannot be read.
pub async fn complete(lake: &Lake, search: &Search, found: &mut Found) -> Result<()> {
    let known = |id: &&String| found.requests.iter().any(|request| request.id == **id || request.case == **id);
    let missing: Vec<&String> = search.ids.iter().filter(|id| !known(id)).collect();
    if !missing.is_empty() {
        let past = past(lake, &missing).await?;
        found.total += past.len();
        found.requests.extend(past);
    }
    if found.requests.is_empty() {
        return Ok(());
    }
    let ids = listed(found.requests.iter().map(|request| request.id.as_str()));
    let rows = lake::rows(lake, &format!("SELECT request_id, description FROM silver.workorder_created WHERE request_id IN ({ids}) AND description IS NOT NULL")).await?;
    let said: BTreeMap<&str, &str> = rows.iter().map(|row| (text(row, "request_id"), text(row, "description"))).collect();
    for request in &mut found.requests {
        request.description = said.get(request.id.as_str()).map(|text| (*text).to_owned());
    }
    if search.notes {
        let cases = listed(found.requests.iter().map(|request| request.case.as_str()));
        let rows = lake::rows(lake, &format!("SELECT \"case\", \"to\", reason, at FROM silver.case_transition WHERE \"case\" IN ({cases}) ORDER BY id")).await?;
        for request in &mut found.requests {
            request.notes = rows.iter().filter(|row| text(row, "case") == request.case).filter_map(note).collect();
        }
    }
    Ok(())
}

fn listed<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    ids.map(quoted).collect::<Vec<_>>().join(", ")
}

fn note(row: &Row) -> Option<Note> {
    Some(Note { at: time(row, "at")?, to: state(text(row, "to"))?, reason: text(row, "reason").to_owned() })
}

fn state(name: &str) -> Option<CaseState> {
    CaseState::ALL.into_iter().find(|state| state.name() == name)
}

fn time(row: &Row, column: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text(row, column)).ok().map(|time| time.to_utc())
}

/// Requests that have left live state, from their steps.
async fn past(lake: &Lake, ids: &[&String]) -> Result<Vec<Request>> {
    let ids = listed(ids.iter().map(|id| id.as_str()));
    let rows = lake::rows(lake, &format!("SELECT * FROM silver.case_transition WHERE request IN ({ids}) OR \"case\" IN ({ids}) ORDER BY id")).await?;
    let mut requests: BTreeMap<&str, Request> = BTreeMap::new();
    for row in &rows {
        let (Some(at), Some(state)) = (time(row, "at"), state(text(row, "to"))) else { continue };
        let own = |column: &str| Some(text(row, column).to_owned()).filter(|text| !text.is_empty());
        let number = |column: &str| row.get(column).and_then(serde_json::Value::as_f64);
        let requested = requests.get(text(row, "case")).map_or(at, |request| request.requested);
        let request = Request {
            id: text(row, "request").to_owned(),
            case: text(row, "case").to_owned(),
            state,
            service: text(row, "category").to_owned(),
            service_name: text(row, "category").to_owned(),
            description: None,
            agency: own("unit"),
            requested,
            updated: at,
            expected: time(row, "due"),
            address: own("address"),
            place: number("lat").zip(number("lon")),
            district: own("district"),
            urgency: u8::try_from(lake::integer(row, "urgency")).unwrap_or(4),
            overdue: row.get("overdue").and_then(serde_json::Value::as_bool).unwrap_or(false),
            incident: own("incident"),
            notes: Vec::new(),
        };
        requests.insert(text(row, "case"), request);
    }
    Ok(requests.into_values().collect())
}
