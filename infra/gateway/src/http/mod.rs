//! HTTP: events in, alerts, cases, incidents, the live stream and SQL out.

mod audit;
mod commands;
mod devices;
mod events;
mod feed;
mod graph;
mod open311;
mod openapi;
mod people;
mod problem;
mod sensorthings;
mod serve;
mod sql;
mod stream;
pub mod table;
mod trail;
mod views;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tokio::sync::{Semaphore, watch};

pub use openapi::openapi;
pub use problem::Problem;
pub use serve::{Listener, ServeError};

use self::table::{Access, Route, Trail};
use self::trail::Caller;
use crate::devices::{Devices, Sender, basic_credentials};
use crate::door::Door;
use crate::hub::StreamHub;
use crate::limits::{BODY_BYTES_MAX, PATIENCE, STREAM_BYTES_MAX, STREAM_CLIENTS_MAX};
use crate::mqtt::Mqtt;
use crate::open311::Forms;
use crate::people::{Actor, People, Permission};
use crate::ports::{AuditLog, EventLog};
use crate::sensorthings::Things;
use crate::view::CityView;

/// How the HTTP side is set up.
#[derive(Clone)]
pub struct GatewayConfig {
    /// The bearer token that may do everything. To listen beyond loopback needs it, or people.
    pub token: Option<String>,
    /// The token of who can read the files of this home; of use where there are people.
    pub local_token: Option<String>,
    /// Whether other machines can reach the port: then a token is needed even when there is nobody who has one.
    pub exposed: bool,
    /// Who there is, and what they may do.
    pub people: Arc<People>,
    /// Where calls are written down.
    pub audit: Option<Arc<dyn AuditLog>>,
    /// Largest body that is read whole, in bytes.
    pub body_bytes_max: usize,
    /// Largest stream of JSON lines, in bytes.
    pub stream_bytes_max: u64,
    /// How long a request waits for the bus before it hears 503.
    pub patience: std::time::Duration,
    /// Open streams at once.
    pub stream_clients_max: usize,
    /// The device registry.
    pub devices: Arc<Devices>,
    /// The log that changes of the registry are written to; without it the registry cannot be changed here.
    pub device_log: Option<Arc<dyn EventLog>>,
    /// What is registered by SensorThings.
    pub things: Arc<Things>,
    /// The MQTT door, for its counts.
    pub mqtt: Option<Arc<Mqtt>>,
    /// What Open311 asks of each kind of request.
    pub forms: Arc<Forms>,
}

impl Default for GatewayConfig {
    fn default() -> GatewayConfig {
        GatewayConfig {
            token: None,
            local_token: None,
            exposed: false,
            people: Arc::default(),
            audit: None,
            body_bytes_max: BODY_BYTES_MAX,
            stream_bytes_max: STREAM_BYTES_MAX,
            patience: PATIENCE,
            stream_clients_max: STREAM_CLIENTS_MAX,
            devices: Arc::default(),
            device_log: None,
            things: Arc::default(),
            mqtt: None,
            forms: Arc::default(),
        }
    }
}

/// What all requests share.
pub struct Gateway {
    door: Arc<Door>,
    hub: Arc<StreamHub>,
    view: Arc<dyn CityView>,
    config: GatewayConfig,
    stream_room: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
    requests: AtomicU64,
    problems: AtomicU64,
}

impl Gateway {
    /// Puts the parts together.
    pub fn new(door: Arc<Door>, hub: Arc<StreamHub>, view: Arc<dyn CityView>, config: GatewayConfig) -> Arc<Gateway> {
        let stream_room = Arc::new(Semaphore::new(config.stream_clients_max));
        Arc::new(Gateway {
            door,
            hub,
            view,
            config,
            stream_room,
            stopping: watch::Sender::new(false),
            requests: AtomicU64::new(0),
            problems: AtomicU64::new(0),
        })
    }

    /// Whether a token is needed: one is configured, there are people who have one, or others can reach this port.
    pub(crate) fn locked(&self) -> bool {
        self.config.token.is_some() || self.config.exposed || !self.config.people.now().is_empty()
    }

    /// Whom a token belongs to.
    fn who(&self, sent: &[u8]) -> Option<Actor> {
        // Equal digests, compared in constant time by blake3's own equality.
        let is = |token: &Option<String>| token.as_ref().is_some_and(|token| blake3::hash(sent) == blake3::hash(token.as_bytes()));
        if is(&self.config.token) {
            return Some(Actor::token());
        }
        if is(&self.config.local_token) {
            return Some(Actor::local());
        }
        self.config.people.now().who(sent).cloned()
    }

    /// Who asks with these headers; nobody whom the door knows, when a token is needed and is not there or is wrong.
    fn identify(&self, headers: &HeaderMap) -> Option<Actor> {
        if !self.locked() {
            return Some(Actor::open());
        }
        let sent = headers.get(header::AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
        match sent.split_at_checked(7) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => self.who(rest.trim_ascii()),
            _ => None,
        }
    }

    /// Who sends something with these headers.
    fn sender(&self, headers: &HeaderMap) -> Sender {
        if self.locked() && self.identify(headers).is_some_and(|actor| actor.may(Permission::Publish)) {
            return Sender::Trusted;
        }
        let credentials = credentials(headers);
        self.config.devices.sender(credentials.as_ref().map(|(id, key)| (id.as_str(), key.as_str())))
    }

    /// Ends the open streams, so that a stop does not wait for them.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }
}

/// The routes.
pub fn router(gateway: Arc<Gateway>) -> Router {
    table::router()
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&gateway), guard))
        .with_state(gateway)
}

/// The address that a request came from.
#[derive(Debug, Clone, Copy)]
struct Remote(SocketAddr);

/// Who may ask what, and that the audit has it: the one place that every request passes.
async fn guard(State(gateway): State<Arc<Gateway>>, mut request: Request, next: Next) -> Response {
    gateway.requests.fetch_add(1, Ordering::Relaxed);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().and_then(|matched| table::find(&method, matched.as_str(), &path));
    let remote = request.extensions().get::<Remote>().map(|Remote(remote)| *remote);
    let asks = admitted(&gateway, route, request.headers(), &method);
    let actor = asks.as_ref().map_or_else(|(actor, _)| actor.clone(), Actor::clone);
    let caller = Caller { actor, remote, door: trail::door(&path) };
    let response = match asks {
        _ if foreign_origin(request.headers()) => Problem::new(
            StatusCode::FORBIDDEN,
            "foreign-origin",
            ("Foreign web page", "跨站请求"),
            "a web page of another site may not talk to this brain",
            "不允许其他网站的页面访问本系统",
        )
        .into_response(),
        Err((_, None)) => unauthorized(),
        Err((_, Some(permission))) => caller.forbidden(permission, None).into_response(),
        Ok(_) => {
            request.extensions_mut().insert(caller.clone());
            next.run(request).await
        }
    };
    let turned_away = matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    let response = match turned_away || route.is_some_and(|route| route.trail == Trail::Every) {
        true => gateway.keep(&caller, &method, route, &path, response).await,
        false => response,
    };
    if response.status().is_client_error() || response.status().is_server_error() {
        gateway.problems.fetch_add(1, Ordering::Relaxed);
    }
    response
}

/// Who asks, if they may come as far as the handler; else who it is, and the permission that they lack. Nobody lacks a token.
fn admitted(gateway: &Gateway, route: Option<&Route>, headers: &HeaderMap, method: &Method) -> Result<Actor, (Actor, Option<Permission>)> {
    let access = route.map_or(Access::Known, |route| route.access);
    let known = gateway.identify(headers);
    let nobody = || Actor::device(None);
    match access {
        Access::Open | Access::HandlerAsks(_) => return Ok(known.unwrap_or_else(nobody)),
        // What a device sends with a wrong key has to be refused like every other data, so it comes as far as the handler.
        Access::NeedsOrDevice(_) if gateway.config.devices.registered_only() => {
            if let Some((id, key)) = credentials(headers) {
                let device = Sender::Device(id.clone(), blake3::hash(key.as_bytes()));
                let is_known = gateway.config.devices.may_send(&device).is_ok();
                if is_known || method == Method::POST {
                    return Ok(Actor::device(is_known.then_some(id.as_str())));
                }
            }
        }
        Access::NeedsOrDevice(_) | Access::Known | Access::Needs(_) => {}
    }
    let actor = known.ok_or_else(|| (nobody(), None))?;
    match access.permission() {
        Some(permission) if !actor.may(permission) => Err((actor, Some(permission))),
        _ => Ok(actor),
    }
}

fn unauthorized() -> Response {
    let mut response = Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        ("A token is needed", "需要令牌"),
        "send the header Authorization: Bearer TOKEN with your own token (`citybrain people add` gives it), or that of the configuration",
        "请携带请求头 Authorization: Bearer 令牌：本人的令牌（由 citybrain people add 发放），或配置中的令牌",
    )
    .into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    response
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    basic_credentials(headers.get(header::AUTHORIZATION)?.to_str().ok()?)
}

/// A browser names the page that asks; only pages that this address served itself may.
fn foreign_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok()) else { return false };
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    origin.split_once("://").is_none_or(|(_, authority)| !authority.eq_ignore_ascii_case(host))
}

async fn unknown_path(request: Request) -> Problem {
    Problem::not_found(&format!("path {}; /openapi.json lists them", request.uri().path()))
}

async fn unknown_method(request: Request) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method",
        ("Not this method", "方法不允许"),
        format!("{} is not understood at {}", request.method(), request.uri().path()),
        format!("{} 不支持方法 {}", request.uri().path(), request.method()),
    )
}
