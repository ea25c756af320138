//! What the tests of the doors share: a door onto a log in memory, a city that answers from constants, a small HTTP client.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::hub::StreamItem;
use gateway::memory::{MemoryLog, MemorySeen};
use gateway::view::{Commanded, FeedEntry, Health, Ranges, Replay, SqlAnswer, SqlRequest};
use gateway::{CityView, Door, DoorConfig, Gateway, GatewayConfig, Kind, ListQuery, Listener, Page, StreamHub, Types, ViewError};
use gateway::open311::{Found, Request, Search, Service};
use schemas::case::CaseState;
use schemas::{Position, Registry};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// A city with three alerts, and a past that the stream can fetch.
#[derive(Default)]
pub struct City {
    pub past: Mutex<Vec<StreamItem>>,
    pub commands: Mutex<Vec<Value>>,
    /// Queries on observations, as they came.
    pub queries: Mutex<Vec<String>>,
    /// Searches for requests, as they came.
    pub searches: Mutex<Vec<Search>>,
}

impl CityView for City {
    fn list<'a>(&'a self, kind: Kind, query: &'a ListQuery) -> BoxFuture<'a, Result<Page, ViewError>> {
        let ids: &[&str] = if kind == Kind::Case { &CASES } else { &ALERTS };
        let page = query.page(ids.iter().map(|id| (id, move || item(kind, id).unwrap_or_default())));
        async move { Ok(page) }.boxed()
    }

    fn get<'a>(&'a self, kind: Kind, id: &'a str) -> BoxFuture<'a, Result<Option<Value>, ViewError>> {
        let found = item(kind, id);
        async move { Ok(found) }.boxed()
    }

    fn alerting(&self) -> Result<Value, ViewError> {
        let (starts, ends) = ("2017-07-14T02:40:00Z", "2017-07-15T02:40:00Z");
        let quiet = |id: &str, district: &str, scenario: &str| {
            let matchers = json!([{"name": "district", "value": district}, {"name": "scenario", "value": scenario}]);
            json!({"id": id, "matchers": matchers, "starts": starts, "began": starts, "ends": ends, "author": "li", "comment": "test"})
        };
        let all = |kind: &str| [("in", "d01", "urban_flooding"), ("area", "d02", "urban_flooding"), ("domain", "d01", "garbage")].map(|(id, district, scenario)| quiet(&format!("{kind}-{id}"), district, scenario));
        Ok(json!({
            "mode": "everyday", "silences": all("s"), "exercises": all("e"), "groups": [], "load": {},
        }))
    }

    fn why<'a>(&'a self, kind: Kind, id: &'a str) -> BoxFuture<'a, Result<Option<Value>, ViewError>> {
        self.get(kind, id)
    }

    fn cap<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<String>, ViewError>> {
        let found = (id == "a1").then(|| "<alert/>".to_owned());
        async move { Ok(found) }.boxed()
    }

    fn feed(&self, _limit: usize) -> BoxFuture<'_, Result<Vec<FeedEntry>, ViewError>> {
        let time = chrono::DateTime::from_timestamp(1_500_000_000, 0).unwrap();
        let entry = FeedEntry { id: "a1".into(), title_zh: "内涝 <红>".into(), title_en: "Flooding".into(), updated: time, published: time };
        async move { Ok(vec![entry]) }.boxed()
    }

    fn command(&self, command: Value) -> BoxFuture<'_, Result<Commanded, ViewError>> {
        let refused = (command["reason"] == "against the law").then(|| "it is against the law of cases".to_owned());
        self.commands.lock().unwrap().push(command);
        async move { Ok(Commanded { position: Position::new("city.journal", 0, 7), refused }) }.boxed()
    }

    fn graph(&self) -> Result<Value, ViewError> {
        Ok(json!({"version": "v1", "elements": 3, "packs": {"bridge": 2}}))
    }

    fn graph_table(&self, name: &str) -> Result<Option<Value>, ViewError> {
        Ok((name == "thresholds").then(|| json!({"version": "v1", "columns": ["rule"], "rows": [["water"]]})))
    }

    fn change_graph(&self, asked: Value) -> BoxFuture<'_, Result<Value, ViewError>> {
        let text = |text: &str| (text.to_owned(), text.to_owned());
        let answer = match asked["version"].as_str() {
            Some("v0") => Err(ViewError::Conflict { en: "it moved".to_owned(), zh: "已变".to_owned(), version: "v1".to_owned() }),
            Some(_) => Err(ViewError::Refused { en: "no".to_owned(), zh: "否".to_owned(), problems: vec![text("unit/gas")] }),
            None => Ok(json!({"from": "v1", "version": "v2", "changes": [{"key": "unit/gas", "change": "changed"}], "dry_run": false, "position": Position::new("city.journal", 0, 8), "cursor": "city.journal/0/8"})),
        };
        async move { answer }.boxed()
    }

    fn sql(&self, request: SqlRequest) -> BoxFuture<'_, Result<SqlAnswer, ViewError>> {
        use arrow::array::{Int64Array, RecordBatch, StringArray};
        use arrow::datatypes::{DataType, Field, Schema};
        if request.query.contains("silver.sensor_observation") {
            self.queries.lock().unwrap().push(request.query);
            return async move { Ok(observations()) }.boxed();
        }
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false), Field::new("t", DataType::Utf8, true)]));
        let answer = if request.query.contains("drop") {
            Err(ViewError::Wrong { en: "only queries that read".into(), zh: "只允许读取".into() })
        } else {
            let columns: Vec<Arc<dyn arrow::array::Array>> =
                vec![Arc::new(Int64Array::from_iter_values(0..10)), Arc::new(StringArray::from_iter((0..10).map(|n| (n % 2 == 0).then_some("偶"))))];
            let batch = RecordBatch::try_new(Arc::clone(&schema) as _, columns).unwrap();
            Ok(SqlAnswer { schema, batches: Box::pin(futures::stream::iter([Ok(batch)])) })
        };
        async move { answer }.boxed()
    }

    fn replay_from<'a>(&'a self, ranges: &'a Ranges, limit: usize) -> BoxFuture<'a, Result<Replay, ViewError>> {
        let past = self.past.lock().unwrap();
        let first = past.first().map_or(0, |item| item.position.offset);
        let answer = if ranges.values().any(|range| range.start < first) {
            Replay::TooOld
        } else {
            let within = |item: &&StreamItem| {
                ranges.get(&(item.position.topic.clone(), item.position.partition)).is_some_and(|range| range.contains(&item.position.offset))
            };
            Replay::Events(past.iter().filter(within).take(limit).cloned().collect())
        };
        async move { Ok(answer) }.boxed()
    }

    fn services(&self) -> Result<Vec<Service>, ViewError> {
        let service = |code: &str, name: &str, scenario: Option<&str>| Service {
            code: code.into(), name_zh: name.into(), name_en: code.into(), group: "突发事件".into(), scenario: scenario.map(str::to_owned),
        };
        Ok(vec![service("flooding", "道路积水", Some("urban_flooding")), service("noise", "噪音", None)])
    }

    fn requests<'a>(&'a self, search: &'a Search) -> BoxFuture<'a, Result<Found, ViewError>> {
        self.searches.lock().unwrap().push(search.clone());
        let time = chrono::DateTime::from_timestamp(1_500_000_000, 0).unwrap();
        let known = |id: &str| id == "r-1" || id.starts_with("o311-");
        let request = |id: &str| Request {
            id: id.into(), case: "case-000000000001".into(), state: CaseState::Processing, service: "flooding".into(), service_name: "道路积水 / Flooding".into(),
            description: Some("deep & <wide>".into()), agency: Some("排水处 / Drainage".into()), requested: time, updated: time, expected: Some(time), address: None,
            place: Some((30.5, 114.3)), district: Some("d01".into()), urgency: 2, overdue: false, incident: None, notes: Vec::new(),
        };
        let requests: Vec<Request> = if search.ids.is_empty() { vec![request("r-1")] } else { search.ids.iter().filter(|id| known(id)).map(|id| request(id)).collect() };
        let found = Found { total: requests.len(), requests };
        async move { Ok(found) }.boxed()
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        async move { Health { parts: vec![("bus".into(), true, "ok".into())] } }.boxed()
    }

    fn metrics(&self) -> String {
        "city_up 1".to_owned()
    }
}

/// Alerts and cases of the city: of flooding in d01, which is inside; in d02; and of another matter in d01.
pub const ALERTS: [&str; 3] = ["a1", "a2", "a3"];
pub const CASES: [&str; 3] = ["case-000000000001", "case-000000000002", "case-000000000003"];

fn item(kind: Kind, id: &str) -> Option<Value> {
    let ids = if kind == Kind::Case { CASES } else { ALERTS };
    let place = ids.iter().position(|known| *known == id)?;
    let district = ["d01", "d02", "d01"][place];
    let (scenario, category) = [("urban_flooding", "flooding"), ("urban_flooding", "flooding"), ("garbage", "waste")][place];
    let time = "2017-07-14T02:40:00Z";
    Some(match kind {
        Kind::Case => json!({
            "id": id, "request": format!("r-{place}"), "state": "assigned", "category": category, "scenario": scenario, "urgency": 2, "district": district, "opened": time, "updated": time,
        }),
        Kind::Alert => json!({
            "id": id, "alert_key": format!("key-{id}"), "scenario": scenario, "originator": "g", "hazard": "water_level", "level": 2, "state": "active", "status": "actual", "acknowledged": false,
            "district": district, "headline": {"zh": "内涝", "en": "Flooding"}, "onset": time, "updated": time,
        }),
        Kind::Incident => json!({
            "id": id, "scenario": scenario, "scenarios": [scenario], "districts": [district], "citywide": false, "level": 2, "alerts": [], "cases": 1, "first": time, "last": time, "updated": time,
        }),
    })
}

/// Three rows of observations, as the lake gives them.
fn observations() -> SqlAnswer {
    use arrow::array::{Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
    let time = |us: [Option<i64>; 3]| Arc::new(TimestampMicrosecondArray::from_iter(us).with_timezone("UTC")) as Arc<dyn Array>;
    let columns: Vec<(&str, Arc<dyn Array>)> = vec![
        ("partition", Arc::new(Int32Array::from_value(0, 3))),
        ("offset", Arc::new(Int64Array::from_iter_values(0..3))),
        ("event_time", time([Some(1_000_000), Some(2_000_000), Some(3_000_000)])),
        ("datastream", Arc::new(StringArray::from_iter_values(["999"; 3]))),
        ("result", Arc::new(Float64Array::from_iter([Some(21.0), Some(21.5), None]))),
        ("quality", Arc::new(StringArray::from_iter([None, Some("good"), None]))),
        ("result_time", time([None, Some(2_500_000), None])),
        ("phenomenon_start", time([None, Some(1_500_000), None])),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap();
    SqlAnswer { schema: batch.schema(), batches: Box::pin(futures::stream::iter([Ok(batch)])) }
}

/// A door onto a log in memory.
pub fn door(log: &Arc<MemoryLog>) -> Arc<Door> {
    door_with(log, DoorConfig::default())
}

pub fn door_with(log: &Arc<MemoryLog>, config: DoorConfig) -> Arc<Door> {
    let types = Arc::new(Types::new(Arc::new(Registry::builtin())));
    Door::new(log.clone(), MemorySeen::new(), types, config)
}

/// A running HTTP side.
pub struct Running {
    pub address: String,
    pub log: Arc<MemoryLog>,
    pub hub: Arc<StreamHub>,
    pub city: Arc<City>,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

impl Running {
    pub async fn start() -> Running {
        Running::with(GatewayConfig { patience: Duration::from_millis(400), ..GatewayConfig::default() }, StreamHub::new(BTreeMap::new())).await
    }

    pub async fn with(config: GatewayConfig, hub: Arc<StreamHub>) -> Running {
        let (log, city) = (MemoryLog::new(), Arc::new(City::default()));
        let listener = Listener::bind("127.0.0.1:0", config.token.is_some() || !config.people.now().is_empty()).await.unwrap();
        let address = listener.addr().to_string();
        let gateway = Gateway::new(door(&log), Arc::clone(&hub), city.clone(), config);
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(listener.serve(gateway, async move {
            let _ = stopped.await;
        }));
        Running { address, log, hub, city, stop: Some(stop), served }
    }

    pub async fn stop(mut self) {
        let _ = self.stop.take().unwrap().send(());
        tokio::time::timeout(Duration::from_secs(20), self.served).await.expect("it stops").unwrap();
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"").await
    }

    pub async fn post(&self, path: &str, content_type: &str, body: impl AsRef<[u8]>) -> Answer {
        self.ask("POST", path, &[("content-type", content_type)], body.as_ref()).await
    }

    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if method == "POST" {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut socket = TcpStream::connect(&self.address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        // The other side may answer and close before it has everything.
        let _ = socket.write_all(body).await;
        let mut bytes = Vec::new();
        let _ = socket.read_to_end(&mut bytes).await;
        Answer::of(&bytes)
    }

    /// Opens a stream and reads from it.
    pub async fn stream(&self, path: &str, last_event_id: Option<&str>) -> SseReader {
        self.stream_by(path, last_event_id, "").await
    }

    /// The same with a token.
    pub async fn stream_by(&self, path: &str, last_event_id: Option<&str>, token: &str) -> SseReader {
        let header = last_event_id.map_or_else(String::new, |id| format!("last-event-id: {id}\r\n")) + &format!("authorization: Bearer {token}\r\n");
        let mut socket = TcpStream::connect(&self.address).await.unwrap();
        socket.write_all(format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{header}\r\n", self.address).as_bytes()).await.unwrap();
        SseReader { socket, pending: Vec::new(), in_body: false, text: String::new(), ended: false }
    }
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    fn of(bytes: &[u8]) -> Answer {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer");
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut body = bytes[end + 4..].to_vec();
        if head.contains("transfer-encoding: chunked") {
            body = unchunk(&body);
        }
        Answer { status, head, body }
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap().trim(), 16).unwrap();
        if length == 0 {
            break;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + length]);
        body = &body[end + 4 + length..];
    }
    whole
}

/// How long a test waits for something that has to come. Not an expectation of speed: only so that it ends.
const WAIT_MAX: Duration = Duration::from_secs(30);

pub struct SseReader {
    socket: TcpStream,
    pending: Vec<u8>,
    in_body: bool,
    text: String,
    pub ended: bool,
}

impl SseReader {
    /// Reads until `enough`, or until the other side ends it, and gives all that came.
    pub async fn until(&mut self, enough: impl Fn(&str) -> bool) -> String {
        let reading = async {
            let mut buffer = [0; 64 * 1024];
            while !self.ended && !enough(&self.text) {
                let read = self.socket.read(&mut buffer).await.unwrap();
                self.ended = read == 0;
                self.pending.extend_from_slice(&buffer[..read]);
                self.take_chunks();
            }
        };
        let waited = tokio::time::timeout(WAIT_MAX, reading).await;
        assert!(waited.is_ok(), "nothing more came after:\n{}", self.text.chars().take(2_000).collect::<String>());
        self.text.clone()
    }

    fn take_chunks(&mut self) {
        if !self.in_body {
            let Some(end) = self.pending.windows(4).position(|window| window == b"\r\n\r\n") else { return };
            self.pending.drain(..end + 4);
            self.in_body = true;
        }
        while let Some(end) = self.pending.windows(2).position(|window| window == b"\r\n") {
            let length = usize::from_str_radix(std::str::from_utf8(&self.pending[..end]).unwrap(), 16).unwrap();
            if self.pending.len() < end + 4 + length {
                return;
            }
            self.text.push_str(std::str::from_utf8(&self.pending[end + 2..end + 2 + length]).unwrap());
            self.pending.drain(..end + 4 + length);
            self.ended |= length == 0;
        }
    }

    /// The ids that came so far, of events with data.
    pub fn ids(&self) -> Vec<String> {
        let mut ids = Vec::new();
        for block in self.text.split("\n\n") {
            let id = block.lines().find_map(|line| line.strip_prefix("id: "));
            if block.contains("data: ")
                && let Some(id) = id
            {
                ids.push(id.to_owned());
            }
        }
        ids
    }
}

/// A valid sensor event as structured JSON.
pub fn observation(id: &str) -> Value {
    json!({
        "specversion": "1.0", "id": id, "source": "urn:test", "type": "io.citybrain.sensor.observation.v1",
        "time": "2026-01-01T00:00:00Z",
        "data": {"datastream": "s1/rainfall", "result": 1.5, "unit": "mm", "property": "rainfall", "station": "s1"},
    })
}

/// The data of the records in `dlq`.
pub fn dlq(log: &MemoryLog) -> Vec<Value> {
    log.records("dlq").iter().map(|record| serde_json::from_slice(record.value.as_ref().unwrap()).unwrap()).collect()
}
