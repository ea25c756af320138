//! HTTP: events in, alerts, cases, incidents, the live stream and SQL out.

mod devices;
mod events;
mod feed;
mod graph;
mod open311;
mod openapi;
mod problem;
mod sensorthings;
mod serve;
mod sql;
mod stream;
mod views;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{Semaphore, watch};

pub use problem::Problem;
pub use serve::{Listener, ServeError};

use crate::devices::{Devices, Sender, basic_credentials};
use crate::door::Door;
use crate::hub::StreamHub;
use crate::limits::{BODY_BYTES_MAX, PATIENCE, STREAM_BYTES_MAX, STREAM_CLIENTS_MAX};
use crate::mqtt::Mqtt;
use crate::open311::Forms;
use crate::ports::EventLog;
use crate::sensorthings::Things;
use crate::view::CityView;

/// How the HTTP side is set up.
#[derive(Clone)]
pub struct GatewayConfig {
    /// The bearer token that requests must carry; required to listen beyond loopback.
    pub token: Option<String>,
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

    /// Who sends something with these headers.
    fn sender(&self, headers: &HeaderMap) -> Sender {
        if self.config.token.is_some() && has_token(self, headers) {
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
    Router::new()
        .route("/v1/events", post(events::post_events))
        .route("/v1/refused", post(events::post_refused))
        .route("/v1/stream", get(stream::stream))
        .route("/v1/alerts", get(views::alerts))
        .route("/v1/alerts.atom", get(feed::atom))
        .route("/v1/alerts/{id}", get(views::alert))
        .route("/v1/alerts/{id}/why", get(views::alert_why))
        .route("/v1/cases", get(views::cases))
        .route("/v1/cases/{id}", get(views::case))
        .route("/v1/cases/{id}/why", get(views::case_why))
        .route("/v1/incidents", get(views::incidents))
        .route("/v1/incidents/{id}", get(views::incident))
        .route("/v1/incidents/{id}/why", get(views::incident_why))
        .route("/v1/jobs", get(views::jobs))
        .route("/v1/alerting", get(views::alerting))
        .route("/v1/graph", get(graph::summary).post(graph::change))
        .route("/v1/graph/{view}", get(graph::table))
        .route("/v1/devices", get(devices::list).post(devices::change))
        .route("/sensorthings/v1.1", get(sensorthings::get_root))
        .route("/sensorthings/v1.1/", get(sensorthings::get_root))
        .route("/sensorthings/v1.1/{*path}", get(sensorthings::get).post(sensorthings::post))
        .route("/open311/v2/{*path}", get(open311::get).post(open311::post))
        .route("/v1/commands", post(views::command))
        .route("/v1/sql", post(sql::sql))
        .route("/health/live", get(views::live))
        .route("/health/ready", get(views::ready))
        .route("/metrics", get(views::metrics))
        .route("/openapi.json", get(openapi::document))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&gateway), guard))
        .with_state(gateway)
}

/// Who may ask: anybody on loopback when there is no token, else who has it. Health is open to the watchdog, and some
/// doors have their own way to ask who it is.
async fn guard(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    gateway.requests.fetch_add(1, Ordering::Relaxed);
    let open = request.uri().path().starts_with("/health/") || asks_itself(&gateway, &request);
    let response = if !open && !has_token(&gateway, request.headers()) {
        let mut response = Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            ("A token is needed", "需要令牌"),
            "send the header Authorization: Bearer TOKEN with the token of the configuration",
            "请携带请求头 Authorization: Bearer 令牌（见配置）",
        )
        .into_response();
        response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        response
    } else if foreign_origin(request.headers()) {
        Problem::new(
            StatusCode::FORBIDDEN,
            "foreign-origin",
            ("Foreign web page", "跨站请求"),
            "a web page of another site may not talk to this brain",
            "不允许其他网站的页面访问本系统",
        )
        .into_response()
    } else {
        next.run(request).await
    };
    if response.status().is_client_error() || response.status().is_server_error() {
        gateway.problems.fetch_add(1, Ordering::Relaxed);
    }
    response
}

/// Whether the handler itself finds out who asks: Open311 has keys in parameters, and devices have keys of their own.
/// What a device sends with a wrong key has to be refused like every other data, so it comes as far as the handler.
fn asks_itself(gateway: &Gateway, request: &Request) -> bool {
    let path = request.uri().path();
    if path.starts_with("/open311/") {
        return true;
    }
    let Some((id, key)) = credentials(request.headers()).filter(|_| gateway.config.devices.registered_only()) else { return false };
    let reads = request.method() == axum::http::Method::GET;
    let for_devices = path.starts_with("/sensorthings/") || (path == "/v1/events" && !reads);
    for_devices && (!reads || !matches!(gateway.config.devices.sender(Some((&id, &key))), Sender::Unknown(_)))
}

fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    basic_credentials(headers.get(header::AUTHORIZATION)?.to_str().ok()?)
}

fn has_token(gateway: &Gateway, headers: &HeaderMap) -> bool {
    let Some(token) = &gateway.config.token else { return true };
    let sent = headers.get(header::AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
    let sent = match sent.split_at_checked(7) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer ") => rest.trim_ascii(),
        _ => return false,
    };
    // Equal digests, compared in constant time by blake3's own equality.
    blake3::hash(sent) == blake3::hash(token.as_bytes())
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
