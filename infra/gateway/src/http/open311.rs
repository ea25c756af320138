//! `/open311/v2`: the handlers over `crate::open311`.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde_json::{Value, json};

use super::events::{Whole, kept_headers, read_whole};
use super::trail::{Caller, Noted, Why};
use super::{Gateway, Problem};
use crate::door::Outcome;
use crate::limits::{OPEN311_BODY_BYTES_MAX, OPEN311_CASE_TIME_MAX};
use crate::people::{Actor, Permission};
use crate::open311::{Request, Search, Wrong, report, show};
use crate::refusal::{Incoming, Origin, Refusal};
use crate::view::ViewError;

type Shared = State<Arc<Gateway>>;
type Parameters = Query<Vec<(String, String)>>;

/// How often a waiting request looks for its case.
const LOOK_EVERY: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Xml,
}

/// A path without its suffix, and the form that it or the header asks for.
fn form<'a>(path: &'a str, headers: &HeaderMap) -> (&'a str, Form) {
    if let Some(path) = path.strip_suffix(".json") {
        return (path, Form::Json);
    }
    if let Some(path) = path.strip_suffix(".xml") {
        return (path, Form::Xml);
    }
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Browsers accept both; JSON comes first.
    (path, if accept.contains("xml") && !accept.contains("json") && !accept.contains("html") { Form::Xml } else { Form::Json })
}

/// An answer: a status, the name of the document in XML, and what it says.
struct Answer {
    status: StatusCode,
    root: &'static str,
    value: Value,
    total: Option<usize>,
}

impl Answer {
    fn ok(root: &'static str, value: Value) -> Answer {
        Answer { status: StatusCode::OK, root, value, total: None }
    }

    fn in_form(self, form: Form) -> Response {
        let (content_type, body) = match form {
            Form::Json => ("application/json; charset=utf-8", self.value.to_string()),
            Form::Xml => ("text/xml; charset=utf-8", show::xml(self.root, &self.value)),
        };
        let why = self.value[0]["description"].as_str().filter(|_| self.root == "errors").map(|why| Why(why.to_owned()));
        let mut response = (self.status, [(header::CONTENT_TYPE, content_type)], body).into_response();
        if let Some(why) = why {
            response.extensions_mut().insert(why);
        }
        if let Some(total) = self.total {
            response.headers_mut().insert("x-total-count", HeaderValue::from(total));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<Wrong> for Answer {
    fn from(wrong: Wrong) -> Answer {
        let status = StatusCode::from_u16(wrong.status).unwrap_or(StatusCode::BAD_REQUEST);
        Answer { status, root: "errors", value: show::errors(&wrong), total: None }
    }
}

impl From<Problem> for Wrong {
    fn from(problem: Problem) -> Wrong {
        let (en, zh) = problem.said();
        Wrong { status: problem.status().as_u16(), en, zh }
    }
}

impl From<ViewError> for Wrong {
    fn from(error: ViewError) -> Wrong {
        Problem::from(error).into()
    }
}

pub(super) async fn get(State(gateway): Shared, Extension(caller): Extension<Caller>, Path(path): Path<String>, Query(parameters): Parameters, headers: HeaderMap) -> Response {
    let (path, form) = form(&path, &headers);
    let answer = answer(&gateway, &caller, path, &parameters, &headers).await;
    answer.unwrap_or_else(Answer::from).in_form(form)
}

async fn answer(gateway: &Gateway, caller: &Caller, path: &str, parameters: &[(String, String)], headers: &HeaderMap) -> Result<Answer, Wrong> {
    let forms = &gateway.config.forms;
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    // What the city can be asked for is public; what was reported is for who has the key.
    if matches!(parts.first(), Some(&"requests" | &"tokens")) {
        check_key(gateway, caller, Permission::Read, parameters)?;
    }
    match parts.as_slice() {
        ["discovery"] => {
            let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("127.0.0.1");
            Ok(Answer::ok("discovery", show::discovery(&format!("http://{host}/open311/v2"))))
        }
        ["services"] => {
            let services = gateway.view.services()?;
            Ok(Answer::ok("services", services.iter().map(|service| show::service(service, forms)).collect()))
        }
        ["services", code] => {
            let services = gateway.view.services()?;
            let service = services.iter().find(|service| service.code == *code).ok_or_else(|| Wrong::none("service", "服务", code))?;
            Ok(Answer::ok("service_definition", show::definition(service, forms)))
        }
        ["requests"] => {
            let search = report::search(parameters, Utc::now())?;
            let found = gateway.view.requests(&search).await?;
            let requests = found.requests.iter().map(|request| show::request(request, search.notes)).collect();
            Ok(Answer { total: Some(found.total), ..Answer::ok("service_requests", requests) })
        }
        ["requests", id] => {
            let search = Search { ids: vec![(*id).to_owned()], ..report::search(parameters, Utc::now())? };
            let found = gateway.view.requests(&search).await?;
            if found.requests.is_empty() {
                return Err(Wrong::none("request", "诉求", id));
            }
            Ok(Answer::ok("service_requests", found.requests.iter().map(|request| show::request(request, search.notes)).collect()))
        }
        // Numbers are given out at once, so a token is the number itself.
        ["tokens", token] => match find(gateway, token, false).await? {
            Some(request) => Ok(Answer::ok("service_requests", json!([{"service_request_id": request.id, "token": token}]))),
            None => Err(Wrong::none("token", "令牌", token)),
        },
        _ => Err(Wrong::none("path", "路径", path)),
    }
}

async fn find(gateway: &Gateway, id: &str, live: bool) -> Result<Option<Request>, Wrong> {
    let search = Search { ids: vec![id.to_owned()], live, ..report::search(&[], Utc::now())? };
    Ok(gateway.view.requests(&search).await?.requests.into_iter().next())
}

/// Who reports or reads: the token of a person, or of the configuration, is the `api_key`; it may come as a bearer token, too.
fn check_key(gateway: &Gateway, caller: &Caller, permission: Permission, parameters: &[(String, String)]) -> Result<Actor, Wrong> {
    let key = report::value(parameters, "api_key").unwrap_or_default();
    let keyed = gateway.who(key.as_bytes());
    let actor = keyed.filter(|_| gateway.locked()).unwrap_or_else(|| caller.actor.clone());
    if actor.may_everywhere(permission) {
        return Ok(actor);
    }
    let name = permission.name();
    Err(Wrong {
        status: 403,
        en: format!("the api_key is missing, wrong, or lacks the permission {name}; it is a person's token, or the HTTP token of the configuration"),
        zh: format!("api_key 缺失、不正确或没有权限 {name}；它是人员令牌，或配置中的 HTTP 令牌"),
    })
}

pub(super) async fn post(State(gateway): Shared, Extension(caller): Extension<Caller>, Path(path): Path<String>, Query(query): Parameters, headers: HeaderMap, body: Body) -> Response {
    let (path, form) = form(&path, &headers);
    let mut noted = Noted::default();
    let answer = match path.trim_matches('/') {
        "requests" => create(&gateway, &caller, &mut noted, query, &headers, body).await,
        _ => Err(Wrong { status: 405, en: format!("nothing is created at {path:?}"), zh: format!("{path:?} 不能提交") }),
    };
    noted.on(answer.unwrap_or_else(Answer::from).in_form(form))
}

async fn create(gateway: &Gateway, caller: &Caller, noted: &mut Noted, query: Vec<(String, String)>, headers: &HeaderMap, body: Body) -> Result<Answer, Wrong> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut origin = Origin { door: Arc::from("open311"), content_type: Arc::from(content_type), headers: kept_headers(headers), ..Origin::default() };
    let body = match read_whole(body.into_data_stream(), OPEN311_BODY_BYTES_MAX).await? {
        Whole::Body(body) => body,
        Whole::TooLarge { beginning, bytes } => {
            check_key(gateway, caller, Permission::Publish, &query)?;
            let wrong = Wrong::from(Problem::too_large(OPEN311_BODY_BYTES_MAX as u64));
            (origin.original, origin.original_bytes) = (Some(beginning), Some(bytes));
            keep(gateway, "too_large", &wrong, origin).await?;
            return Err(wrong);
        }
    };
    origin.original = Some(body.clone());
    let parameters = report::parameters(content_type, &body);
    if let Some(kept) = parameters.as_ref().ok().and_then(|parameters| without_key(parameters)) {
        origin.content_type = Arc::from("application/x-www-form-urlencoded");
        origin.original = Some(kept.into());
    }
    let parameters = parameters.map(|parameters| [query.as_slice(), &parameters].concat());
    let actor = check_key(gateway, caller, Permission::Publish, parameters.as_deref().unwrap_or(&query))?;
    noted.actor = Some(actor.name().to_owned());
    let services = gateway.view.services()?;
    let id = format!("o311-{}", &format!("{:032x}", rand::random::<u128>())[..12]);
    noted.subject = Some(id.clone());
    let event = match parameters.and_then(|parameters| report::event(&services, &gateway.config.forms, &parameters, &id, Utc::now())) {
        Ok(event) => event,
        Err(wrong) => {
            keep(gateway, "invalid_data", &wrong, origin).await?;
            return Err(wrong);
        }
    };
    let incoming = Incoming { event: Ok(event), origin: Origin { original: None, ..origin } };
    let outcomes = gateway.door.submit(vec![incoming], Some(gateway.config.patience)).await.map_err(Problem::from)?;
    if let Some(Outcome::Refused(refusal)) = outcomes.first() {
        return Err(Wrong::bad(refusal.reason.clone(), refusal.reason_zh.clone()));
    }
    let case = wait_for_case(gateway, &id).await;
    let answer = json!([{
        "service_request_id": id,
        "service_notice": case.as_ref().and_then(|case| case.agency.as_ref()).map(|agency| format!("{agency} 负责处理 / is responsible")),
        "account_id": null,
        "expected_datetime": case.and_then(|case| case.expected).map(schemas::time::format),
    }]);
    Ok(Answer { status: StatusCode::CREATED, ..Answer::ok("service_requests", answer) })
}

/// A report as a form without its key, if it has one: a secret is not kept with what is refused.
fn without_key(parameters: &[(String, String)]) -> Option<String> {
    let is_key = |(name, _): &&(String, String)| name == "api_key";
    parameters.iter().find(is_key)?;
    let rest = parameters.iter().filter(|parameter| !is_key(parameter));
    Some(url::form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish())
}

/// The case of a report, when it comes soon: mostly within the tenth of a second.
async fn wait_for_case(gateway: &Gateway, id: &str) -> Option<Request> {
    let wait = async {
        loop {
            if let Some(case) = find(gateway, id, true).await.transpose() {
                return case.ok();
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(OPEN311_CASE_TIME_MAX, wait).await.ok().flatten()
}

async fn keep(gateway: &Gateway, code: &'static str, wrong: &Wrong, origin: Origin) -> Result<(), Wrong> {
    let refusal = Refusal::new(code, "", wrong.en.clone(), wrong.zh.clone());
    gateway.door.submit(vec![Incoming { event: Err(refusal), origin }], Some(gateway.config.patience)).await.map_err(Problem::from)?;
    Ok(())
}
