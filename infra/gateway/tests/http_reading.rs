//! The reading side of HTTP: lists, items, feed, SQL, health, who may ask, and the live stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::common::{Running, observation};
use gateway::hub::StreamItem;
use gateway::{GatewayConfig, Listener, StreamHub};
use schemas::Position;
use serde_json::json;

fn item(topic: &str, offset: i64) -> StreamItem {
    StreamItem { position: Position::new(topic, 0, offset), json: Arc::from(format!("{{\"n\":{offset}}}")) }
}

fn publish(hub: &StreamHub, topic: &str, offsets: std::ops::Range<i64>) {
    let items = offsets.clone().map(|offset| item(topic, offset)).collect();
    hub.publish_items((topic.to_owned(), 0), offsets.start, offsets.end, items);
}

#[tokio::test]
async fn lists_items_reasons_and_documents() {
    let running = Running::start().await;
    let first = running.get("/v1/alerts?limit=2&state=active").await.json();
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let next = first["next"].as_str().unwrap();
    let second = running.get(&format!("/v1/alerts?limit=2&cursor={next}")).await.json();
    assert_eq!((&second["items"][0]["id"], &second["next"]), (&json!("a3"), &json!(null)));
    assert_eq!(running.get("/v1/cases/case-000000000002").await.json()["id"], "case-000000000002");
    assert_eq!(running.get("/v1/incidents/a2/why").await.status, 200);
    assert_eq!(running.get("/v1/alerts/none").await.status, 404);
    assert_eq!(running.get("/v1/alerts?colour=red").await.status, 400);
    let cap = running.get("/v1/alerts/a1.cap").await;
    assert!(cap.head.contains("application/cap+xml") && cap.text() == "<alert/>");
    let feed = running.get("/v1/alerts.atom").await.text();
    assert!(feed.contains("内涝 &lt;红&gt;") && feed.contains("/v1/alerts/a1.cap"), "{feed}");
    let answer = running.post("/v1/commands", "application/json", r#"{"command_id":"c-1","action":"acknowledge","target":"a1","actor":"王","reason":"seen"}"#).await;
    assert_eq!((answer.status, &answer.json()["position"]["offset"]), (202, &json!(7)));
    assert_eq!(running.city.commands.lock().unwrap()[0]["actor"], "王", "on an open door who asks says who it is");
    assert_eq!(running.post("/v1/commands", "application/json", "[1]").await.status, 400);
    assert_eq!(running.post("/v1/commands", "application/json", r#"{"action":"dance"}"#).await.status, 400);
    let api = running.get("/openapi.json").await.json();
    for path in [
        "/v1/events", "/v1/stream", "/v1/alerts/{id}/why", "/v1/sql", "/v1/devices", "/v1/graph", "/v1/graph/{view}", "/open311/v2/discovery.{format}", "/open311/v2/services.{format}",
        "/open311/v2/services/{service_code}.{format}", "/open311/v2/requests.{format}", "/open311/v2/requests/{service_request_id}.{format}",
        "/open311/v2/tokens/{token}.{format}", "/sensorthings/v1.1", "/sensorthings/v1.1/{path}",
    ] {
        assert!(api["paths"][path].is_object(), "{path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn the_graph_is_changed_or_it_is_said_why_not() {
    let running = Running::start().await;
    assert_eq!(running.get("/v1/graph").await.json()["version"], "v1");
    assert_eq!(running.get("/v1/graph/thresholds").await.json()["rows"], json!([["water"]]));
    assert_eq!(running.get("/v1/graph/roads").await.status, 404);
    let post = async |body: &str| running.post("/v1/graph", "application/json", body).await;
    let changed = post(r#"{"actor":"王"}"#).await;
    assert_eq!((changed.status, &changed.json()["version"]), (200, &json!("v2")));
    let moved = post(r#"{"version":"v0"}"#).await;
    assert_eq!((moved.status, &moved.json()["version"], moved.head.contains("application/problem+json")), (409, &json!("v1"), true));
    let refused = post(r#"{"version":"v1"}"#).await;
    assert_eq!((refused.status, &refused.json()["problems"]), (422, &json!([{"key": "unit/gas", "problem": "unit/gas"}])));
    assert_eq!(post("{").await.status, 400);
    assert_eq!(post(&" ".repeat(600 * 1024)).await.status, 413);
    running.stop().await;
}

#[tokio::test]
async fn sql_answers_in_json_lines_and_arrow_within_limits() {
    let running = Running::start().await;
    let json = running.post("/v1/sql", "application/json", r#"{"query":"select 1","limit":3}"#).await.json();
    assert_eq!((&json["row_count"], &json["rows"][1]), (&json!(3), &json!({"n": 1, "t": null})));
    assert_eq!(json["columns"][0], json!({"name": "n", "type": "Int64"}));
    let lines = running.ask("POST", "/v1/sql", &[("accept", "application/x-ndjson")], b"select 1").await.text();
    assert_eq!(lines.lines().count(), 10);
    let arrow = running.ask("POST", "/v1/sql", &[("accept", "application/vnd.apache.arrow.stream")], b"select 1").await;
    let reader = arrow::ipc::reader::StreamReader::try_new(arrow.body.as_slice(), None).unwrap();
    assert_eq!(reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 10);
    assert_eq!(running.post("/v1/sql", "application/json", r#"{"query":"drop table x"}"#).await.status, 400);
    assert_eq!(running.post("/v1/sql", "application/json", "{").await.status, 400);
    running.stop().await;
}

#[tokio::test]
async fn health_and_metrics() {
    let running = Running::start().await;
    running.post("/v1/events", "application/cloudevents+json", observation("1").to_string()).await;
    assert_eq!(running.get("/health/live").await.status, 200);
    assert_eq!(running.get("/health/ready").await.json()["parts"][0]["part"], "bus");
    let metrics = running.get("/metrics").await.text();
    assert!(metrics.contains("city_up 1\n") && metrics.contains("citybrain_door_events_total{outcome=\"accepted\"} 1"), "{metrics}");
    running.stop().await;
}

#[tokio::test]
async fn who_may_ask() {
    let config = GatewayConfig { token: Some("secret".into()), ..GatewayConfig::default() };
    let running = Running::with(config, StreamHub::new(BTreeMap::new())).await;
    assert_eq!(running.get("/health/live").await.status, 200);
    for header in ["Bearer wrong", "Basic secret", "secret", "Bearer secre", "bearer"] {
        assert_eq!(running.ask("GET", "/v1/alerts", &[("authorization", header)], b"").await.status, 401, "{header}");
    }
    assert_eq!(running.get("/metrics").await.status, 401);
    assert_eq!(running.ask("GET", "/v1/alerts", &[("authorization", "bearer secret")], b"").await.status, 200);
    let foreign = [("authorization", "Bearer secret"), ("origin", "http://evil.example")];
    assert_eq!(running.ask("GET", "/v1/alerts", &foreign, b"").await.status, 403);
    running.stop().await;
}

#[tokio::test]
async fn listening_beyond_loopback_needs_a_token() {
    let error = Listener::bind("0.0.0.0:0", false).await.err().expect("refused").to_string();
    assert!(error.contains("no token is configured") && error.contains("令牌"), "{error}");
    assert!(Listener::bind("0.0.0.0:0", true).await.is_ok());
    assert!(Listener::bind("nowhere", false).await.is_err());
}

#[tokio::test]
async fn the_stream_resumes_from_the_last_id() {
    let running = Running::start().await;
    publish(&running.hub, "alert.flood", 0..3);
    let mut live = running.stream("/v1/stream?topics=alert.*", None).await;
    let greeting = live.until(|text| text.contains("citybrain") && text.ends_with("\n\n")).await;
    assert!(greeting.contains("id: alert.flood/0/2"), "{greeting}");
    publish(&running.hub, "alert.flood", 3..5);
    publish(&running.hub, "raw.sensor", 0..1);
    live.until(|text| text.contains("\"n\":4")).await;
    assert_eq!(live.ids(), ["alert.flood/0/3", "alert.flood/0/4"]);
    let mut back = running.stream("/v1/stream?topics=alert.*", Some("alert.flood/0/3")).await;
    publish(&running.hub, "alert.flood", 5..6);
    back.until(|text| text.contains("\"n\":5")).await;
    assert_eq!(back.ids(), ["alert.flood/0/4", "alert.flood/0/5"]);
    let wrong = running.ask("GET", "/v1/stream", &[("last-event-id", "nonsense")], b"").await;
    assert_eq!(wrong.status, 400);
    assert_eq!(running.get("/v1/stream?topics=a%20b").await.status, 400);
    running.stop().await;
}

#[tokio::test]
async fn what_the_ring_no_longer_holds_comes_from_the_lake_or_is_told() {
    let hub = StreamHub::with_limits(BTreeMap::from([(("alert.flood".to_owned(), 0), 6_000)]), 10, usize::MAX);
    let running = Running::with(GatewayConfig::default(), hub).await;
    *running.city.past.lock().unwrap() = (100..6_000).map(|offset| item("alert.flood", offset)).collect();
    publish(&running.hub, "alert.flood", 6_000..6_002);
    let mut back = running.stream("/v1/stream?topics=alert.flood", Some("alert.flood/0/200")).await;
    back.until(|text| text.contains("\"n\":6001")).await;
    let expected: Vec<String> = (201..6_002).map(|offset| format!("alert.flood/0/{offset}")).collect();
    assert_eq!(back.ids(), expected);
    let mut old = running.stream("/v1/stream?topics=alert.flood", Some("alert.flood/0/5")).await;
    let text = old.until(|text| text.contains("event: resync") && text.ends_with("\n\n")).await;
    assert!(text.contains("too_old") && text.contains("id: alert.flood/0/6001"), "{text}");
    publish(&running.hub, "alert.flood", 6_002..6_003);
    old.until(|text| text.contains("\"n\":6002")).await;
    running.stop().await;
}

#[tokio::test]
async fn a_slow_client_is_told_and_let_go() {
    let hub = StreamHub::with_limits(BTreeMap::new(), 50, usize::MAX);
    let running = Running::with(GatewayConfig::default(), hub).await;
    publish(&running.hub, "alert.flood", 0..1);
    let mut slow = running.stream("/v1/stream?topics=alert.flood", None).await;
    slow.until(|text| text.contains("citybrain")).await;
    let big: Arc<str> = Arc::from(format!("\"{}\"", "x".repeat(200_000)));
    for offset in 1..400 {
        let item = StreamItem { position: Position::new("alert.flood", 0, offset), json: Arc::clone(&big) };
        running.hub.publish_items(("alert.flood".to_owned(), 0), offset, offset + 1, vec![item]);
        tokio::task::yield_now().await;
    }
    let text = slow.until(|_| false).await;
    assert!(text.contains("event: resync") && text.contains("\"reason\":\"slow\"") && slow.ended);
    running.stop().await;
}
