//! Events over HTTP: each way to send them, and each way to send them wrong.

use crate::common::{Running, dlq, observation};
use serde_json::{Value, json};

const STRUCTURED: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";
const LINES: &str = "application/x-ndjson";

#[tokio::test]
async fn the_four_ways_to_send() {
    let running = Running::start().await;
    let answer = running.post("/v1/events", STRUCTURED, observation("1").to_string()).await;
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &json!(1)));
    assert_eq!(answer.json()["position"], json!({"topic": "raw.sensor", "partition": 0, "offset": 0}));
    let headers = [
        ("content-type", "application/json"), ("ce-specversion", "1.0"), ("ce-id", "2"), ("ce-source", "urn:test"),
        ("ce-type", "io.citybrain.sensor.observation.v1"), ("ce-time", "2026-01-01T00:00:00Z"),
    ];
    let data = observation("2")["data"].to_string();
    assert_eq!(running.ask("POST", "/v1/events", &headers, data.as_bytes()).await.json()["accepted"], 1);
    let batch = json!([observation("3"), observation("4"), observation("1")]);
    let answer = running.post("/v1/events", BATCH, batch.to_string()).await.json();
    assert_eq!((&answer["accepted"], &answer["duplicate"]), (&json!(2), &json!(1)));
    let lines = format!("{}\n\n{}\r\n{}", observation("5"), observation("6"), observation("5"));
    let answer = running.post("/v1/events", LINES, lines).await.json();
    assert_eq!((&answer["accepted"], &answer["duplicate"]), (&json!(2), &json!(1)));
    let records = running.log.records("raw.sensor");
    assert_eq!(records.len(), 6);
    assert!(records.iter().all(|record| record.key.as_deref() == Some(b"s1/rainfall")));
    assert!(records[0].headers.iter().any(|(name, _)| name == "ce_recordedtime"));
    running.stop().await;
}

/// Sends a body and gives the status, the code of the refusal and whether it is in `dlq`.
async fn refused(content_type: &str, body: impl AsRef<[u8]>) -> (u16, String, Value) {
    let running = Running::start().await;
    let answer = running.post("/v1/events", content_type, body).await;
    let json = answer.json();
    let kept = dlq(&running.log);
    assert!(answer.head.contains("application/problem+json"), "{}", answer.head);
    assert!(json["detail"].is_string() && json["detail_zh"].is_string() && json["title_zh"].is_string());
    assert_eq!(kept.len(), 1, "it is kept");
    assert_eq!(kept[0]["reason"], json["refused"][0]["reason"]);
    running.stop().await;
    (answer.status, json["refused"][0]["code"].as_str().unwrap_or_default().to_owned(), json)
}

fn with(pointer: &str, value: Value) -> String {
    let mut event = observation("x");
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap()[name] = value;
    event.to_string()
}

#[tokio::test]
async fn bad_events_are_refused_with_a_reason_and_kept() {
    let cases: [(&str, Vec<u8>, u16, &str); 14] = [
        ("cut off", observation("x").to_string().as_bytes()[..60].to_vec(), 400, "not_json"),
        ("empty", Vec::new(), 400, "not_json"),
        ("no id", br#"{"specversion":"1.0","source":"a","type":"b"}"#.to_vec(), 400, "attribute_missing"),
        ("wrong type of value", with("/data/result", json!("much")).into_bytes(), 422, "invalid_data"),
        ("GBK", encoding_rs::GBK.encode(&with("/data/station", json!("北京路"))).0.into_owned(), 400, "not_utf8"),
        ("lone surrogate", with("/data/station", json!("@")).replace("@", "\\ud800").into_bytes(), 400, "not_json"),
        ("NUL in a text", with("/data/station", json!("a\0b")).into_bytes(), 422, "nul"),
        ("NUL in an id", with("/id", json!("a\0b")).into_bytes(), 400, "attribute_invalid"),
        ("a clock of 2100", with("/time", json!("2100-01-01T00:00:00Z")).into_bytes(), 400, "attribute_invalid"),
        ("a clock of 1800", with("/time", json!("1800-01-01T00:00:00Z")).into_bytes(), 400, "attribute_invalid"),
        ("no such type", with("/type", json!("io.citybrain.sensor.observaton.v1")).into_bytes(), 422, "unknown_type"),
        ("a type of ours", with("/type", json!("io.citybrain.journal.record.v1")).into_bytes(), 422, "reserved_type"),
        ("too many levels", format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes(), 400, "not_json"),
        ("an id without end", with("/id", json!("x".repeat(100_000))).into_bytes(), 0, ""),
    ];
    for (name, body, status, code) in cases {
        let (got_status, got_code, json) = refused(STRUCTURED, body).await;
        if status == 0 {
            assert!((400..500).contains(&got_status), "{name}: {got_status}");
        } else {
            assert_eq!((got_status, got_code.as_str()), (status, code), "{name}: {json}");
        }
    }
}

#[tokio::test]
async fn the_reason_says_what_and_where() {
    let (_, _, json) = refused(STRUCTURED, with("/type", json!("io.citybrain.sensor.observaton.v1"))).await;
    assert!(json["detail"].as_str().unwrap().contains("did you mean io.citybrain.sensor.observation.v1"), "{json}");
    let (_, _, json) = refused(STRUCTURED, with("/data/result", json!("much"))).await;
    assert_eq!(json["pointer"], "/data/result");
    let (gbk, _, _) = encoding_rs::GBK.encode("{\"id\":\"路灯\"}");
    let (_, _, json) = refused(STRUCTURED, gbk).await;
    assert!(json["detail"].as_str().unwrap().contains("byte 9") && json["detail"].as_str().unwrap().contains("GBK"), "{json}");
}

#[tokio::test]
async fn a_clock_of_1970_is_a_time_like_any_other() {
    let running = Running::start().await;
    let answer = running.post("/v1/events", STRUCTURED, with("/time", json!("1970-01-01T00:00:00Z"))).await;
    assert_eq!(answer.status, 202);
    running.stop().await;
}

#[tokio::test]
async fn one_bad_event_does_not_spoil_the_others() {
    let running = Running::start().await;
    let batch = json!([observation("1"), {"id": "2"}, observation("3"), 4]);
    let answer = running.post("/v1/events", BATCH, batch.to_string()).await;
    let json = answer.json();
    assert_eq!((answer.status, &json["accepted"], &json["refused_count"]), (202, &json!(2), &json!(2)));
    assert_eq!((&json["refused"][0]["index"], &json["refused"][1]["index"]), (&json!(1), &json!(3)));
    let mut lines = format!("{}\n", observation("4")).into_bytes();
    lines.extend_from_slice(&encoding_rs::GBK.encode("{\"路灯\":1}\n").0);
    lines.extend_from_slice(b"{\"cut\": \n");
    lines.extend_from_slice(format!("{}\n", observation("5")).as_bytes());
    let json = running.post("/v1/events", LINES, lines).await.json();
    assert_eq!((&json["accepted"], &json["refused"][0]["line"], &json["refused"][1]["line"]), (&json!(2), &json!(2), &json!(3)));
    let kept = dlq(&running.log);
    assert_eq!(kept.len(), 4);
    assert_eq!(kept[1]["place"]["index"], 3);
    assert_eq!(gateway::refusal::reopen(&kept[0]).unwrap().origin.original.as_deref(), Some(&br#"{"id":"2"}"#[..]));
    running.stop().await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_and_its_beginning_kept() {
    let (status, _, json) = {
        let running = Running::start().await;
        let body = vec![b'['; 100 * 1024 * 1024];
        let answer = running.post("/v1/events", STRUCTURED, &body).await;
        let kept = dlq(&running.log);
        assert_eq!((kept.len(), &kept[0]["cut"], &kept[0]["original_bytes"]), (1, &json!(true), &json!(body.len())));
        running.stop().await;
        (answer.status, (), answer.json())
    };
    assert_eq!((status, &json["limit_bytes"]), (413, &json!(16 * 1024 * 1024)));
}

#[tokio::test]
async fn ten_thousand_headers_are_refused_with_a_reason() {
    let running = Running::start().await;
    let names: Vec<String> = (0..10_000).map(|at| format!("ce-h{at}")).collect();
    let headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).chain([("content-type", "application/json")]).collect();
    let answer = running.ask("POST", "/v1/events", &headers, b"{}").await;
    assert_eq!((answer.status, &answer.json()["refused"][0]["code"]), (413, &json!("too_large")));
    assert_eq!(dlq(&running.log).len(), 1);
    assert_eq!(running.get("/health/live").await.status, 200);
    running.stop().await;
}

#[tokio::test]
async fn hostile_names_and_encodings_of_requests() {
    let running = Running::start().await;
    let body = observation("1").to_string();
    for (content_type, status) in [
        ("application/cloudevents+json; charset=gbk", 415),
        ("text/html", 415),
        ("application/cloudevents+avro", 202),
        ("../../etc/passwd", 415),
    ] {
        let answer = running.post("/v1/events", content_type, &body).await;
        // An unknown structured format is read as JSON; what it is shows.
        assert!(answer.status == status || answer.status == 415, "{content_type}: {} {}", answer.status, answer.text());
    }
    let gzip = [("content-type", STRUCTURED), ("content-encoding", "gzip")];
    assert_eq!(running.ask("POST", "/v1/events", &gzip, body.as_bytes()).await.status, 415);
    for path in ["/v1/alerts/..%2F..%2Fetc%2Fpasswd", "/v1/alerts/%00", "/v1/alerts/%ff", "/v1/%F0%9F%92%A9", "/v1/events"] {
        let status = running.get(path).await.status;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a_bus_that_is_down_or_slow_is_told_with_503_and_a_time_to_come_back() {
    let running = Running::start().await;
    running.log.set_down(true);
    let answer = running.post("/v1/events", STRUCTURED, observation("1").to_string()).await;
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    running.log.set_down(false);
    running.log.set_held(true);
    assert_eq!(running.post("/v1/events", STRUCTURED, observation("1").to_string()).await.status, 503);
    running.log.set_held(false);
    // What got through while nobody waited any more is known when it is sent again.
    let json = running.post("/v1/events", STRUCTURED, observation("1").to_string()).await.json();
    assert_eq!((&json["accepted"], &json["duplicate"]), (&json!(0), &json!(1)));
    assert_eq!(running.log.records("raw.sensor").len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn many_lines_stream_through() {
    let running = Running::start().await;
    let mut body = String::new();
    for at in 0..20_000 {
        body.push_str(&observation(&at.to_string()).to_string());
        body.push('\n');
    }
    let json = running.post("/v1/events", LINES, &body).await.json();
    assert_eq!(json["accepted"], 20_000);
    let ids: Vec<String> = running
        .log
        .records("raw.sensor")
        .iter()
        .map(|record| schemas::Event::from_kafka(None, record.header_refs(), record.value.as_deref()).unwrap().id)
        .collect();
    assert!(ids.iter().enumerate().all(|(at, id)| *id == at.to_string()), "the order of the sender is the order of the log");
    running.stop().await;
}
