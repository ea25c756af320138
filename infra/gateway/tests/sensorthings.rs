//! SensorThings 1.1 over HTTP: the standard's own examples, what is wrong, and who may send.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use chrono::Utc;
use crate::common::{Running, dlq, observation};
use gateway::devices::{Action, Change};
use gateway::hub::StreamItem;
use gateway::memory::MemoryLog;
use gateway::{Admission, Devices, GatewayConfig, StreamHub};
use schemas::Position;
use serde_json::{Value, json};

const JSON: &str = "application/json";

/// The standard's example of a thing with all that belongs to it (18-088, deep insert).
fn oven() -> Value {
    json!({
        "name": "Oven", "description": "This thing is an oven.", "properties": {"owner": "John Doe", "color": "Silver", "district": "d01"},
        "Locations": [{"name": "CCIT", "description": "Calgary Center for Innvative Technologies", "encodingType": "application/vnd.geo+json",
            "location": {"type": "Point", "coordinates": [-114.06, 51.05]}}],
        "Datastreams": [{"@iot.id": 999, "name": "oven temperature", "description": "This is a datastream for an oven's internal temperature.",
            "unitOfMeasurement": {"name": "degree Celsius", "symbol": "°C", "definition": "http://unitsofmeasure.org/ucum.html#para-30"},
            "observationType": "http://www.opengis.net/def/observationType/OGC-OM/2.0/OM_Measurement",
            "ObservedProperty": {"name": "DewPoint Temperature", "definition": "http://example.org#dew", "description": "The dewpoint temperature."},
            "Sensor": {"name": "DS18B20", "description": "DS18B20 is a thermometer", "encodingType": "application/pdf", "metadata": "http://example.org/DS18B20.pdf"},
            "Observations": [{"phenomenonTime": "2010-10-13T00:00:00Z", "result": 20}]}],
    })
}

async fn with_oven() -> Running {
    let running = Running::start().await;
    let answer = running.post("/sensorthings/v1.1/Things", JSON, oven().to_string()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    running
}

fn data(running: &Running, topic: &str) -> Vec<Value> {
    running.log.records(topic).iter().map(|record| serde_json::from_slice(record.value.as_ref().unwrap()).unwrap()).collect()
}

#[tokio::test]
async fn a_thing_comes_with_all_that_is_nested_in_it() {
    let running = with_oven().await;
    let sets: Vec<String> = data(&running, "raw.entity").iter().map(|entity| entity["entity_set"].as_str().unwrap().to_owned()).collect();
    let mut sorted = sets.clone();
    sorted.sort();
    assert_eq!(sorted, ["Datastreams", "Locations", "ObservedProperties", "Sensors", "Things"]);
    let first = &data(&running, "raw.sensor")[0];
    assert_eq!((&first["datastream"], &first["result"], &first["unit"], &first["property"]), (&json!("999"), &json!(20), &json!("°C"), &json!("DewPoint Temperature")));
    assert_eq!((&first["lat"], &first["lon"], &first["district"]), (&json!(51.05), &json!(-114.06), &json!("d01")));
    let root = running.get("/sensorthings/v1.1").await.json();
    assert_eq!(root["value"].as_array().unwrap().len(), 7);
    let things = running.get("/sensorthings/v1.1/Things?$count=true&$expand=Datastreams,Locations($select=name)").await.json();
    let thing = &things["value"][0];
    assert_eq!((&things["@iot.count"], &thing["name"], &thing["Datastreams"][0]["@iot.id"]), (&json!(1), &json!("Oven"), &json!(999)));
    assert_eq!(thing["Locations"], json!([{"name": "CCIT"}]));
    let link = thing["Datastreams@iot.navigationLink"].as_str().unwrap();
    let path = link.split_once(&running.address).unwrap().1;
    assert_eq!(running.get(path).await.json()["value"][0]["name"], "oven temperature");
    let own = running.get(thing["@iot.selfLink"].as_str().unwrap().split_once(&running.address).unwrap().1).await.json();
    assert_eq!((&own["properties"]["color"], &own["description"]), (&json!("Silver"), &json!("This thing is an oven.")));
    for link in ["Thing", "Sensor", "ObservedProperty"] {
        assert_eq!(running.get(&format!("/sensorthings/v1.1/Datastreams(999)/{link}")).await.status, 200, "{link}");
    }
    assert_eq!(running.get("/sensorthings/v1.1/FeaturesOfInterest").await.json()["value"][0]["feature"]["type"], "Point");
    // What is registered already is registered once.
    let records = running.log.records("raw.entity").len();
    let sensor = json!({"@iot.id": "s", "name": "s", "description": "", "encodingType": "text", "metadata": ""}).to_string();
    for _ in 0..2 {
        let answer = running.post("/sensorthings/v1.1/Sensors", JSON, &sensor).await;
        assert!(answer.status == 201 && answer.head.contains("/sensors('s')"), "{}", answer.head);
    }
    assert_eq!(running.log.records("raw.entity").len(), records + 1);
    running.stop().await;
}

#[tokio::test]
async fn observations_come_one_by_one_and_the_latest_is_there_at_once() {
    let running = with_oven().await;
    let minimal = json!({"result": 21, "phenomenonTime": "2026-11-23T08:00:00Z", "Datastream": {"@iot.id": 999}});
    let answer = running.post("/sensorthings/v1.1/Observations", JSON, minimal.to_string()).await;
    assert_eq!((answer.status, &answer.json()["@iot.id"], &answer.json()["result"]), (201, &json!("0-1"), &json!(21)));
    assert!(answer.head.contains("location: http://"), "{}", answer.head);
    let again = running.post("/sensorthings/v1.1/Observations", JSON, minimal.to_string()).await;
    assert_eq!((again.status, &again.json()["@iot.id"]), (201, &json!("0-1")), "the same again is the same");
    let interval = json!({"result": 22.5, "phenomenonTime": "2026-11-23T08:00:00/2026-11-23T16:10:00+08:00", "resultTime": "2026-11-23T08:11:00Z", "resultQuality": "good"});
    assert_eq!(running.post("/sensorthings/v1.1/Datastreams(999)/Observations", JSON, interval.to_string()).await.status, 201);
    let path = "/sensorthings/v1.1/Datastreams(999)/Observations?$top=1&$orderby=phenomenonTime%20desc";
    let latest = running.get(path).await.json();
    assert_eq!(latest["value"][0]["phenomenonTime"], "2026-11-23T08:00:00Z/2026-11-23T08:10:00Z");
    assert_eq!((&latest["value"][0]["resultTime"], &latest["value"][0]["resultQuality"]), (&json!("2026-11-23T08:11:00Z"), &json!("good")));
    let expanded = running.get("/sensorthings/v1.1/Datastreams?$expand=Observations($top=1;$orderby=phenomenonTime%20desc)").await.json();
    assert_eq!(expanded["value"][0]["Observations"][0]["result"], 22.5);
    assert!(running.city.queries.lock().unwrap().is_empty(), "no lake was asked");
    assert_eq!(running.log.records("raw.sensor").len(), 3);
    running.stop().await;
}

#[tokio::test]
async fn observations_are_asked_of_the_lake_and_single_ones_of_the_log() {
    let running = with_oven().await;
    let path = "/sensorthings/v1.1/Datastreams(999)/Observations?$filter=result%20gt%2020%20and%20phenomenonTime%20lt%202026-01-01T00:00:00Z&$orderby=result%20desc&$top=2&$skip=4&$expand=Datastream($select=name)";
    let page = running.get(path).await.json();
    let query = running.city.queries.lock().unwrap()[0].clone();
    assert!(query.contains("datastream = '999' AND (result > CAST(20.0 AS DOUBLE) AND event_time < arrow_cast(") && query.contains("ORDER BY result DESC NULLS LAST"), "{query}");
    assert!(query.ends_with("LIMIT 3 OFFSET 4"), "{query}");
    assert_eq!(page["value"].as_array().unwrap().len(), 2);
    assert_eq!((&page["value"][1]["phenomenonTime"], &page["value"][1]["Datastream"]), (&json!("1970-01-01T00:00:01.500Z/1970-01-01T00:00:02Z"), &json!({"name": "oven temperature"})));
    assert!(page["@iot.nextLink"].as_str().unwrap().contains("%24skip=6"), "{page}");
    let event = json!({"type": "io.citybrain.sensor.observation.v1", "time": "2026-01-01T00:00:00Z", "data": {"datastream": "999", "result": 7}});
    *running.city.past.lock().unwrap() = vec![StreamItem { position: Position::new("raw.sensor", 0, 5), json: Arc::from(event.to_string()) }];
    assert_eq!(running.get("/sensorthings/v1.1/Observations('0-5')").await.json()["result"], 7);
    assert_eq!(running.get("/sensorthings/v1.1/Observations('0-5')/Datastream").await.json()["@iot.id"], 999);
    assert_eq!(running.get("/sensorthings/v1.1/Observations('0-5')/FeatureOfInterest").await.json()["name"], "CCIT");
    running.stop().await;
}

#[tokio::test]
async fn a_data_array_answers_for_each_row() {
    let running = with_oven().await;
    let body = json!([
        {"Datastream": {"@iot.id": 999}, "components": ["phenomenonTime", "result", "FeatureOfInterest/id"], "dataArray@iot.count": 3,
            "dataArray": [["2010-12-23T10:20:00-07:00", 20, null], ["2010-12-23T10:21:00-07:00", 30, "nowhere"], ["2010-12-23T10:22:00-07:00", "hot", null]]},
        {"Datastream": {"@iot.id": "unknown"}, "components": ["result"], "dataArray": [[1]]},
        {"Datastream": {"@iot.id": 999}, "components": ["phenomenonTime", "result"], "dataArray": [["2010-12-23T10:23:00-07:00", 65], ["2010-12-23T10:24:00-07:00"]]},
    ]);
    let answer = running.post("/sensorthings/v1.1/CreateObservations", JSON, body.to_string()).await;
    let links: Vec<String> = serde_json::from_value(answer.json()).unwrap();
    let ends: Vec<&str> = links.iter().map(|link| link.rsplit('/').next().unwrap()).collect();
    assert_eq!((answer.status, ends), (201, vec!["error", "error", "error", "error", "Observations('0-1')", "error"]), "{links:?}");
    let kept = dlq(&running.log);
    assert_eq!(kept.len(), 5);
    assert!(kept.iter().any(|kept| kept["code"] == "unknown_entity") && kept.iter().any(|kept| kept["reason"].as_str().unwrap().contains("not a number")));
    for wrong in ["{}", "[{}]", "[{\"components\":[1],\"dataArray\":[]}]", "[{\"components\":[],\"dataArray\":[]}]"] {
        assert_eq!(running.post("/sensorthings/v1.1/CreateObservations", JSON, wrong).await.status, 400, "{wrong}");
    }
    running.stop().await;
}

#[tokio::test]
async fn wrong_requests_are_refused_with_a_reason_and_kept() {
    let running = with_oven().await;
    let before = running.log.records("raw.sensor").len();
    let many = format!("{{\"result\":1,\"more\":\"{}\"}}", "x".repeat(1024 * 1024));
    let cases: [(&str, &str, u16); 16] = [
        ("Observations", r#"{"result":1}"#, 400),
        ("Observations", r#"{"result":1,"Datastream":{"@iot.id":"none"}}"#, 404),
        ("Datastreams('none')/Observations", r#"{"result":1}"#, 404),
        ("Datastreams(999)/Observations", r#"{"phenomenonTime":"2026-01-01T00:00:00Z"}"#, 400),
        ("Datastreams(999)/Observations", r#"{"result":NaN}"#, 400),
        ("Datastreams(999)/Observations", r#"{"result":"21"}"#, 400),
        ("Datastreams(999)/Observations", r#"{"result":true}"#, 400),
        ("Datastreams(999)/Observations", r#"{"result":1,"phenomenonTime":"yesterday"}"#, 400),
        ("Datastreams(999)/Observations", r#"{"result":1,"phenomenonTime":"2026-01-02T00:00:00Z/2026-01-01T00:00:00Z"}"#, 400),
        ("Datastreams(999)/Observations", r#"{"result":1,"phenomenonTime":"2190-01-01T00:00:00Z"}"#, 400),
        ("Datastreams(999)/Observations", "[1]", 400),
        ("Things", r#"{"name":"x"}"#, 400),
        ("Things", r#"{"name":7,"description":""}"#, 400),
        ("Locations", r#"{"name":"x","description":"","encodingType":"application/geo+json","location":"here"}"#, 400),
        ("Datastreams", r#"{"name":"x","description":"","observationType":"OM_CategoryObservation","unitOfMeasurement":{}}"#, 501),
        ("Datastreams", r#"{"name":"x","description":"","observationType":"OM_Measurement","unitOfMeasurement":{"name":"","symbol":"","definition":""},"Thing":{"@iot.id":"none"}}"#, 400),
    ];
    for (index, (path, body, status)) in cases.iter().enumerate() {
        let answer = running.post(&format!("/sensorthings/v1.1/{path}"), JSON, body).await;
        assert_eq!((answer.status, &answer.json()["code"]), (*status, &json!(status)), "{path} {body}: {}", answer.text());
        assert!(answer.json()["message"].is_string() && answer.json()["message_zh"].is_string());
        assert_eq!(dlq(&running.log).len(), index + 1, "{path} {body} is kept");
    }
    assert_eq!(running.log.records("raw.sensor").len(), before);
    assert_eq!(running.post("/sensorthings/v1.1/Datastreams(999)/Observations", JSON, many).await.status, 201, "a megabyte of other words is no harm");
    for (path, status) in [("Nothing", 404), ("Things(1)", 404), ("Datastreams(999)/Locations", 501), ("Things?$filter=name", 400), ("Things?$top=x", 400), ("Observations('x')", 404), ("Things?$expand=Sensors", 400)] {
        assert_eq!(running.get(&format!("/sensorthings/v1.1/{path}")).await.status, status, "{path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn only_registered_devices_send_where_that_is_asked() {
    let (devices, log) = (Arc::new(Devices::new(Admission::Registered)), MemoryLog::new());
    let change = |action| Change { action, device: "rg-1".into(), name: None, reason: None, actor: None };
    let key = devices.change(log.as_ref(), Utc::now(), &change(Action::Add)).await.unwrap().key.unwrap();
    let config = GatewayConfig { devices: devices.clone(), device_log: Some(log.clone()), ..GatewayConfig::default() };
    let running = Running::with(config, StreamHub::new(BTreeMap::new())).await;
    let basic = |id: &str, key: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{id}:{key}")));
    let things = oven().to_string();
    let post = async |credentials: Option<String>, path: &str, body: &str| {
        let credentials = credentials.unwrap_or_default();
        let mut headers = vec![("content-type", if path.starts_with("/v1") { "application/cloudevents+json" } else { JSON })];
        if !credentials.is_empty() {
            headers.push(("authorization", &credentials));
        }
        running.ask("POST", path, &headers, body.as_bytes()).await
    };
    let nobody = post(None, "/sensorthings/v1.1/Things", &things).await;
    assert!(nobody.status == 401 && nobody.head.contains("www-authenticate: basic") && nobody.json()["message"].as_str().unwrap().contains("registered devices"), "{}", nobody.text());
    assert_eq!(post(Some(basic("rg-1", "guess")), "/sensorthings/v1.1/Things", &things).await.status, 401);
    assert_eq!(post(Some(basic("rg-1", &key)), "/sensorthings/v1.1/Things", &things).await.status, 201);
    let event = observation("1").to_string();
    assert_eq!(post(None, "/v1/events", &event).await.status, 401);
    assert_eq!(post(Some(basic("rg-1", &key)), "/v1/events", &event).await.status, 202);
    let sent = &running.log.records("raw.sensor")[1];
    assert!(sent.headers.iter().any(|(name, value)| name == "ce_deviceid" && value.as_deref() == Some(b"rg-1")), "the device stands on what it sent");
    let message = json!({"specversion": "1.0", "id": "m", "source": "s", "type": "io.citybrain.hotline.message.v1", "data": {"message_id": "m", "text": "路灯不亮"}});
    assert_eq!(post(None, "/v1/events", &message.to_string()).await.status, 202, "people are no devices");
    let revoke = json!({"action": "revoke", "device": "rg-1", "reason": "stolen"}).to_string();
    assert_eq!(running.post("/v1/devices", JSON, revoke).await.status, 201);
    assert_eq!(post(Some(basic("rg-1", &key)), "/v1/events", &observation("2").to_string()).await.status, 403, "at once");
    assert_eq!(running.get("/v1/devices").await.json()["items"][0]["active"], false);
    let codes: Vec<Value> = dlq(&running.log).iter().map(|kept| kept["code"].clone()).collect();
    assert_eq!(codes, ["device_unknown", "device_key", "device_unknown", "device_revoked"], "what was refused is kept");
    assert!(running.get("/metrics").await.text().contains("citybrain_devices{state=\"revoked\"} 1"));
    running.stop().await;
}
