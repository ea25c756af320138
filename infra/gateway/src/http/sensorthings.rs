//! `/sensorthings/v1.1`: the handlers over `crate::sensorthings`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use futures::StreamExt;
use serde_json::{Value, json};

use super::events::{Whole, kept_headers, read_whole};
use super::sql::json_lines;
use super::trail::Why;
use super::{Gateway, Problem};
use crate::devices::Sender;
use crate::door::Outcome;
use crate::limits::SQL_TIME_MAX;
use crate::refusal::{Incoming, Origin, Refusal};
use crate::sensorthings::filter::{sql_order, sql_text};
use crate::sensorthings::latest::{self, Observation, observation_place};
use crate::sensorthings::output::{self, Base, Page};
use crate::sensorthings::path::{self, Resource};
use crate::sensorthings::query::Options;
use crate::sensorthings::request::{self, Item, Planned, refusal};
use crate::sensorthings::sending::{Sending, Settled};
use crate::sensorthings::{Link, Set, Wrong};
use crate::view::{Replay, SqlRequest, ViewError};

type Shared = State<Arc<Gateway>>;
type Parameters = Query<Vec<(String, String)>>;

/// What went wrong, as this door says it: the standard leaves the form open, clients know this one.
pub(super) struct Failure(StatusCode, String, String);

impl From<Wrong> for Failure {
    fn from(wrong: Wrong) -> Failure {
        Failure(StatusCode::from_u16(wrong.status).unwrap_or(StatusCode::BAD_REQUEST), wrong.en, wrong.zh)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        let (en, zh) = problem.said();
        Failure(problem.status(), en, zh)
    }
}

impl From<ViewError> for Failure {
    fn from(error: ViewError) -> Failure {
        Problem::from(error).into()
    }
}

impl From<&Refusal> for Failure {
    fn from(refusal: &Refusal) -> Failure {
        let status = match Problem::refused(refusal).status() {
            // Clients of this standard know one word for data that does not fit.
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        Failure(status, refusal.reason.clone(), refusal.reason_zh.clone())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Failure(status, en, zh) = self;
        let why = Why(en.clone());
        let mut response = (status, Json(json!({"code": status.as_u16(), "type": "error", "message": en, "message_zh": zh}))).into_response();
        response.extensions_mut().insert(why);
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"devices\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn base(headers: &HeaderMap) -> Base {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = text("x-forwarded-proto").filter(|scheme| *scheme == "https").unwrap_or("http");
    Base(format!("{scheme}://{}/sensorthings/v1.1", text("host").unwrap_or("127.0.0.1")))
}

pub(super) async fn get_root(headers: HeaderMap) -> Response {
    Json(output::root(&base(&headers))).into_response()
}

pub(super) async fn get(State(gateway): Shared, Path(path): Path<String>, Query(parameters): Parameters, headers: HeaderMap) -> Result<Response, Failure> {
    let base = base(&headers);
    let options = Options::parse(parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())))?;
    let asked = Asked { gateway: &gateway, base: &base, path: path.trim_matches('/'), parameters: &parameters, options: &options };
    let answer = match path::parse(&path)? {
        Resource::Root => output::root(&base),
        Resource::CreateObservations => return Err(Failure(StatusCode::METHOD_NOT_ALLOWED, "CreateObservations takes POST".into(), "CreateObservations 请用 POST".into())),
        Resource::All(Set::Observation) => asked.observations(None).await?,
        Resource::All(set) => {
            let look = gateway.config.things.look();
            let ids = look.ids(set);
            output::page(&look, &base, set, &ids, &options)?.json(&base, asked.path, &parameters, &options)
        }
        Resource::One(Set::Observation, id) => {
            let observation = asked.observation(&id).await?;
            output::observation(&gateway.config.things.look(), &base, &observation, &options)?
        }
        Resource::One(set, id) => asked.one(set, &id)?,
        Resource::Linked(set, id, link) => asked.linked(set, &id, link).await?,
    };
    Ok(Json(answer).into_response())
}

/// A question.
struct Asked<'a> {
    gateway: &'a Gateway,
    base: &'a Base,
    path: &'a str,
    parameters: &'a [(String, String)],
    options: &'a Options,
}

impl Asked<'_> {
    fn one(&self, set: Set, id: &str) -> Result<Value, Failure> {
        let look = self.gateway.config.things.look();
        let entity = output::entity(&look, self.base, set, id).ok_or_else(|| Wrong::none(format!("{} {id:?}", set.singular())))?;
        Ok(output::selected(output::expanded(&look, self.base, set, entity, self.options)?, self.options))
    }

    async fn linked(&self, set: Set, id: &str, link: Link) -> Result<Value, Failure> {
        if set == Set::Observation {
            let datastream = self.observation(id).await?.datastream;
            if link.set == Set::Datastream {
                return self.one(Set::Datastream, &datastream);
            }
            let feature = self.gateway.config.things.look().feature(&datastream);
            return self.one(Set::Feature, &feature.ok_or_else(|| Wrong::none(format!("FeatureOfInterest of datastream {datastream:?}: its thing has no location")))?);
        }
        if !self.gateway.config.things.look().has(set, id) {
            return Err(Wrong::none(format!("{} {id:?}", set.singular())).into());
        }
        if link.set == Set::Observation {
            return self.observations(Some(id)).await;
        }
        let ids = self.gateway.config.things.look().linked(set, id, link);
        if !link.many {
            let one = ids.first().ok_or_else(|| Wrong::none(format!("{} of {} {id:?}", link.name(), set.singular())))?;
            return self.one(link.set, one);
        }
        let look = self.gateway.config.things.look();
        Ok(output::page(&look, self.base, link.set, &ids, self.options)?.json(self.base, self.path, self.parameters, self.options))
    }

    /// One observation, from the log itself: it can be asked for as soon as it is acknowledged.
    async fn observation(&self, id: &str) -> Result<Observation, Failure> {
        let none = || Wrong::none(format!("Observation {id:?}"));
        let (partition, offset) = observation_place(id).ok_or_else(none)?;
        let ranges = [(("raw.sensor".to_owned(), partition), offset..offset.saturating_add(1))].into();
        let Replay::Events(items) = self.gateway.view.replay_from(&ranges, 1).await? else { return Err(none().into()) };
        let event: Value = items.first().and_then(|item| serde_json::from_str(&item.json).ok()).ok_or_else(none)?;
        let time_us = event["time"].as_str().or(event["recordedtime"].as_str()).and_then(|time| schemas::time::parse_us(time).ok());
        let found = latest::read(partition, offset, time_us.unwrap_or_default(), &event["data"].to_string());
        Ok(found.filter(|_| event["type"] == request::OBSERVATION_TYPE).ok_or_else(none)?.0)
    }

    /// A page of observations: the latest from memory, all others from the lake.
    async fn observations(&self, datastream: Option<&str>) -> Result<Value, Failure> {
        let things = &self.gateway.config.things;
        if let (Some(datastream), true) = (datastream, self.options.is_latest()) {
            let look = things.look();
            let latest = look.latest(datastream).map(|(latest, _)| output::observation(&look, self.base, latest, self.options)).transpose()?;
            let items = latest.into_iter().collect();
            return Ok(Page { items, count: 0, next: None }.json(self.base, self.path, self.parameters, self.options));
        }
        let mut conditions = Vec::new();
        conditions.extend(datastream.map(|id| format!("datastream = {}", sql_text(id))));
        conditions.extend(self.options.filter.as_ref().map(|filter| filter.sql()).transpose()?);
        let condition = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
        let order = sql_order(&self.options.order)?;
        let Options { top, skip, .. } = self.options;
        // Counted with the rows, so that both speak of the same moment.
        let counted = if self.options.count { ", count(*) OVER () AS n" } else { "" };
        // One more than asked for tells whether there is a next page.
        let rows = self
            .rows(format!(
                "SELECT \"partition\", \"offset\", event_time, datastream, result, quality, result_time, phenomenon_start{counted} FROM silver.sensor_observation WHERE {condition} ORDER BY {order} LIMIT {} OFFSET {skip}",
                top + 1
            ))
            .await?;
        let more = rows.len() > *top && *top > 0;
        let mut count = rows.first().and_then(|row| row["n"].as_u64());
        if self.options.count && count.is_none() && *skip > 0 {
            count = self.rows(format!("SELECT count(*) AS n FROM silver.sensor_observation WHERE {condition}")).await?.first().and_then(|row| row["n"].as_u64());
        }
        let count = count.unwrap_or(0) as usize;
        let look = things.look();
        let items = rows.iter().take(*top).filter_map(read_row).map(|row| output::observation(&look, self.base, &row, self.options)).collect::<Result<_, _>>()?;
        Ok(Page { items, count, next: more.then_some(skip + top) }.json(self.base, self.path, self.parameters, self.options))
    }

    async fn rows(&self, query: String) -> Result<Vec<Value>, Failure> {
        let all = async {
            let mut answer = self.gateway.view.sql(SqlRequest { query, as_of: None, masked: false }).await?;
            let mut rows = Vec::new();
            while let Some(batch) = answer.batches.next().await {
                let lines = json_lines(&batch?)?;
                for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                    rows.push(serde_json::from_slice(line).map_err(|error| ViewError::Failed(error.to_string()))?);
                }
            }
            Ok(rows)
        };
        Ok(tokio::time::timeout(SQL_TIME_MAX, all).await.unwrap_or(Err(ViewError::Timeout))?)
    }
}

fn read_row(row: &Value) -> Option<Observation> {
    let time = |name: &str| row[name].as_str().and_then(|text| schemas::time::parse_us(text).ok());
    Some(Observation {
        datastream: row["datastream"].as_str()?.to_owned(),
        partition: i32::try_from(row["partition"].as_i64()?).ok()?,
        offset: row["offset"].as_i64()?,
        time_us: time("event_time").unwrap_or_default(),
        start_us: time("phenomenon_start"),
        result_time_us: time("result_time"),
        result: row["result"].as_f64(),
        quality: row["quality"].as_str().map(str::to_owned),
    })
}

pub(super) async fn post(State(gateway): Shared, Path(path): Path<String>, headers: HeaderMap, body: Body) -> Result<Response, Failure> {
    let base = base(&headers);
    let sender = gateway.sender(&headers);
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    let mut origin = Origin { door: Arc::from("sensorthings"), content_type: Arc::from(content_type), headers: kept_headers(&headers), ..Origin::default() };
    let body = match read_whole(body.into_data_stream(), gateway.config.body_bytes_max).await? {
        Whole::Body(body) => body,
        Whole::TooLarge { beginning, bytes } => {
            let problem = Problem::too_large(gateway.config.body_bytes_max as u64);
            let (en, zh) = problem.said();
            origin.original = Some(beginning);
            origin.original_bytes = Some(bytes);
            keep(&gateway, Refusal::new("too_large", "", en, zh), origin).await?;
            return Err(problem.into());
        }
    };
    origin.original = Some(body.clone());
    if let Err(refusal) = gateway.config.devices.may_send(&sender) {
        let failure = Failure::from(&refusal);
        keep(&gateway, refusal, origin).await?;
        return Err(failure);
    }
    let resource = path::parse(&path)?;
    let items = match request::read(&gateway.config.things, &resource, &body, &origin, Utc::now()) {
        Ok(items) => items,
        Err(wrong) => {
            if wrong.status != 405 {
                keep(&gateway, refusal(&wrong), origin).await?;
            }
            return Err(wrong.into());
        }
    };
    let settled = take(&gateway, &sender, items).await?;
    if resource == Resource::CreateObservations {
        let links: Vec<String> = settled.iter().map(|settled| link(&base, settled).unwrap_or_else(|_| "error".to_owned())).collect();
        return Ok((StatusCode::CREATED, Json(links)).into_response());
    }
    // What it needs comes before it; if that was refused, so is the whole.
    let mut created = String::new();
    for settled in &settled {
        created = link(&base, settled)?;
    }
    let main = settled.last().map(|settled| shown(&gateway, &base, settled)).unwrap_or_default();
    let location = HeaderValue::from_str(&created).unwrap_or(HeaderValue::from_static(""));
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(main)).into_response())
}

async fn take(gateway: &Gateway, sender: &Sender, items: Vec<Item>) -> Result<Vec<Settled>, Failure> {
    let registry = gateway.door.types().now();
    let admit = |item: Item| Item { incoming: item.incoming.map(|incoming| gateway.config.devices.admit(&registry, sender, true, incoming)), ..item };
    let items = items.into_iter().map(admit).collect();
    let taken = async { Sending::start(&gateway.door, items, Some(gateway.config.patience)).await?.finish(&gateway.config.things).await };
    let taken = tokio::time::timeout(gateway.config.patience, taken).await.unwrap_or(Err(crate::door::DoorError::Busy));
    taken.map_err(|error| Problem::from(error).into())
}

/// Keeps what is refused as a whole.
async fn keep(gateway: &Gateway, refusal: Refusal, origin: Origin) -> Result<(), Failure> {
    let incoming = Incoming { event: Err(refusal), origin };
    gateway.door.submit(vec![incoming], Some(gateway.config.patience)).await.map_err(|error| Failure::from(Problem::from(error)))?;
    Ok(())
}

/// The link to what was created.
fn link(base: &Base, settled: &Settled) -> Result<String, Failure> {
    match (&settled.planned, &settled.outcome) {
        (_, Some(Outcome::Refused(refusal))) => Err(refusal.into()),
        (Planned::Entity(set, id, _), _) => Ok(base.entity(*set, id)),
        (Planned::Observation(_), Some(Outcome::Accepted(position) | Outcome::Duplicate(position))) => {
            Ok(base.entity(Set::Observation, &latest::observation_id(position.partition, position.offset)))
        }
        (Planned::Observation(_) | Planned::Nothing, _) => Err(Failure(StatusCode::BAD_REQUEST, "nothing was created".into(), "没有创建任何实体".into())),
    }
}

fn shown(gateway: &Gateway, base: &Base, settled: &Settled) -> Value {
    let look = gateway.config.things.look();
    match (&settled.planned, &settled.outcome) {
        (Planned::Entity(set, id, _), _) => output::entity(&look, base, *set, id).unwrap_or_default(),
        (Planned::Observation(observed), Some(Outcome::Accepted(position) | Outcome::Duplicate(position))) => {
            let observation = observed.0.clone().at(position);
            output::observation(&look, base, &observation, &Options::default()).unwrap_or_default()
        }
        (Planned::Observation(_) | Planned::Nothing, _) => Value::Null,
    }
}
