//! Lists, items, reasons, health and metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::trail::Caller;
use super::{Gateway, Problem};
use crate::people::{Permission, Subject};
use crate::query::{ListQuery, write_cursor};
use crate::view::Kind;

type Shared = State<Arc<Gateway>>;
type Parameters = Query<Vec<(String, String)>>;
type Who = Extension<Caller>;

pub(super) async fn alerts(state: Shared, who: Who, parameters: Parameters) -> Result<Response, Problem> {
    list(state, who, Kind::Alert, parameters).await
}

pub(super) async fn cases(state: Shared, who: Who, parameters: Parameters) -> Result<Response, Problem> {
    list(state, who, Kind::Case, parameters).await
}

pub(super) async fn incidents(state: Shared, who: Who, parameters: Parameters) -> Result<Response, Problem> {
    list(state, who, Kind::Incident, parameters).await
}

/// An alert, or with `.cap` behind its id its CAP document.
pub(super) async fn alert(State(gateway): Shared, Extension(caller): Who, Path(id): Path<String>) -> Result<Response, Problem> {
    let Some(bare) = id.strip_suffix(".cap") else { return item(&gateway, &caller, Kind::Alert, &id).await };
    seen(&gateway, &caller, Kind::Alert, bare).await?;
    let document = gateway.view.cap(bare).await?.ok_or_else(|| Problem::not_found(&format!("alert {bare}")))?;
    Ok(([(header::CONTENT_TYPE, "application/cap+xml; charset=utf-8")], document).into_response())
}

pub(super) async fn case(State(gateway): Shared, Extension(caller): Who, Path(id): Path<String>) -> Result<Response, Problem> {
    item(&gateway, &caller, Kind::Case, &id).await
}

pub(super) async fn incident(State(gateway): Shared, Extension(caller): Who, Path(id): Path<String>) -> Result<Response, Problem> {
    item(&gateway, &caller, Kind::Incident, &id).await
}

pub(super) async fn alert_why(State(gateway): Shared, Extension(caller): Who, Path(id): Path<String>) -> Result<Response, Problem> {
    why(&gateway, &caller, Kind::Alert, &id).await
}

pub(super) async fn case_why(State(gateway): Shared, Extension(caller): Who, Path(id): Path<String>) -> Result<Response, Problem> {
    why(&gateway, &caller, Kind::Case, &id).await
}

pub(super) async fn incident_why(State(gateway): Shared, Extension(caller): Who, Path(id): Path<String>) -> Result<Response, Problem> {
    why(&gateway, &caller, Kind::Incident, &id).await
}

async fn list(State(gateway): Shared, Extension(caller): Who, kind: Kind, Query(parameters): Parameters) -> Result<Response, Problem> {
    let mut query = ListQuery::parse(&parameters).map_err(|(en, zh)| Problem::bad_request(en, zh))?;
    query.within = caller.actor.sees();
    let page = gateway.view.list(kind, &query).await?;
    let next = page.next.as_deref().map(write_cursor);
    Ok(Json(json!({ "items": page.items, "next": next })).into_response())
}

async fn item(gateway: &Gateway, caller: &Caller, kind: Kind, id: &str) -> Result<Response, Problem> {
    let item = gateway.view.get(kind, id).await?;
    if let Some(item) = &item {
        allowed(caller, item)?;
    }
    found(item, kind, id)
}

async fn why(gateway: &Gateway, caller: &Caller, kind: Kind, id: &str) -> Result<Response, Problem> {
    seen(gateway, caller, kind, id).await?;
    found(gateway.view.why(kind, id).await?, kind, id)
}

/// Whether the caller may see what has this id; what there is not, nobody is kept from.
pub(super) async fn seen(gateway: &Gateway, caller: &Caller, kind: Kind, id: &str) -> Result<(), Problem> {
    if caller.actor.may_everywhere(Permission::Read) {
        return Ok(());
    }
    gateway.view.get(kind, id).await?.map_or(Ok(()), |item| allowed(caller, &item))
}

fn allowed(caller: &Caller, item: &Value) -> Result<(), Problem> {
    let subject = Subject::of(item);
    if caller.actor.may_see(&subject) { Ok(()) } else { Err(caller.forbidden(Permission::Read, Some(&subject))) }
}

fn found(value: Option<Value>, kind: Kind, id: &str) -> Result<Response, Problem> {
    let value = value.ok_or_else(|| Problem::not_found(&format!("{} {id}", kind.path().trim_end_matches('s'))))?;
    Ok(Json(value).into_response())
}

/// The streaming jobs with their figures.
pub(super) async fn jobs(State(gateway): Shared) -> Response {
    Json(json!({ "items": gateway.view.jobs() })).into_response()
}

/// The small models with their figures.
pub(super) async fn models(State(gateway): Shared) -> Response {
    Json(gateway.view.models()).into_response()
}

/// What goes on around the alerts.
pub(super) async fn alerting(State(gateway): Shared) -> Result<Response, Problem> {
    Ok(Json(gateway.view.alerting()?).into_response())
}

pub(super) async fn live() -> Response {
    Json(json!({ "status": "live" })).into_response()
}

pub(super) async fn ready(State(gateway): Shared) -> Response {
    let health = gateway.view.health().await;
    let stopping = *gateway.stopping.borrow();
    let ready = !stopping && health.parts.iter().all(|(_, ready, _)| *ready);
    let parts: Vec<Value> =
        health.parts.iter().map(|(name, ready, detail)| json!({ "part": name, "ready": ready, "detail": detail })).collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "status": if ready { "ready" } else { "not ready" }, "stopping": stopping, "parts": parts }))).into_response()
}

/// Prometheus text: the doors' own metrics and those of the rest.
pub(super) async fn metrics(State(gateway): Shared) -> Response {
    let mut text = gateway.view.metrics();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let counts = &gateway.door.counts;
    let events = [
        ("accepted", &counts.accepted),
        ("duplicate", &counts.duplicate),
        ("refused", &counts.refused),
    ];
    text.push_str("# HELP citybrain_door_events_total Events that came to a door, by what became of them.\n");
    text.push_str("# TYPE citybrain_door_events_total counter\n");
    for (outcome, count) in events {
        text.push_str(&format!("citybrain_door_events_total{{outcome=\"{outcome}\"}} {}\n", count.load(Ordering::Relaxed)));
    }
    let singles = [
        ("citybrain_door_busy_total", "counter", "Steps that found no room.", counts.busy.load(Ordering::Relaxed)),
        ("citybrain_door_failed_total", "counter", "Steps that the bus did not take.", counts.failed.load(Ordering::Relaxed)),
        ("citybrain_door_room_used_per_mille", "gauge", "Room on the way to the bus in use.", u64::from(gateway.door.in_use_per_mille())),
        ("citybrain_http_requests_total", "counter", "Requests.", gateway.requests.load(Ordering::Relaxed)),
        ("citybrain_http_problems_total", "counter", "Requests answered with 4xx or 5xx.", gateway.problems.load(Ordering::Relaxed)),
        (
            "citybrain_stream_clients",
            "gauge",
            "Open streams.",
            gateway.config.stream_clients_max.saturating_sub(gateway.stream_room.available_permits()) as u64,
        ),
    ];
    for (name, kind, help, value) in singles {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"));
    }
    if let Some(head) = gateway.config.audit.as_ref().and_then(|audit| audit.head()) {
        text.push_str("# HELP citybrain_audit_entries Entries of the audit's chain.\n# TYPE citybrain_audit_entries gauge\n");
        text.push_str(&format!("citybrain_audit_entries {}\n", head.next));
    }
    let devices = &gateway.config.devices;
    let (active, revoked) = devices.count();
    text.push_str("# HELP citybrain_devices Registered devices.\n# TYPE citybrain_devices gauge\n");
    text.push_str(&format!("citybrain_devices{{state=\"active\"}} {active}\ncitybrain_devices{{state=\"revoked\"}} {revoked}\n"));
    text.push_str("# HELP citybrain_devices_turned_away_total Times that somebody had no good key of a device.\n");
    text.push_str("# TYPE citybrain_devices_turned_away_total counter\n");
    text.push_str(&format!("citybrain_devices_turned_away_total {}\n", devices.turned_away.load(Ordering::Relaxed)));
    if let Some(mqtt) = &gateway.config.mqtt {
        text.push_str(&mqtt.metrics());
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
