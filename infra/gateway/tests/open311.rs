//! Open311 GeoReport v2 over HTTP: services, reports, searches and errors, in JSON and XML.

use std::collections::BTreeMap;

use base64::Engine as _;
use crate::common::{Running, dlq};
use gateway::{GatewayConfig, StreamHub};
use serde_json::{Value, json};

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

#[tokio::test]
async fn services_and_their_questions_in_both_forms() {
    let running = Running::start().await;
    let services = running.get("/open311/v2/services.json").await;
    assert!(services.head.contains("application/json"));
    let first = &services.json()[0];
    assert_eq!((&first["service_code"], &first["metadata"], &first["type"]), (&json!("flooding"), &json!(true), &json!("realtime")));
    let xml = running.get("/open311/v2/services.xml").await;
    assert!(xml.head.contains("text/xml") && xml.text().contains("<services><service>") && xml.text().contains("<service_code>noise</service_code>"), "{}", xml.text());
    let definition = running.get("/open311/v2/services/flooding.json").await.json();
    let codes: Vec<&str> = definition["attributes"].as_array().unwrap().iter().map(|attribute| attribute["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["since", "danger", "depth_cm"]);
    for attribute in definition["attributes"].as_array().unwrap() {
        assert!(attribute["variable"].is_boolean() && attribute["required"].is_boolean() && attribute["datatype"].is_string());
    }
    let accepted = running.ask("GET", "/open311/v2/services/flooding", &[("accept", "text/xml")], b"").await.text();
    assert!(accepted.contains("<values><value><key>no</key>"), "{accepted}");
    assert!(running.get("/open311/v2/discovery.xml").await.text().contains("<endpoints><endpoint>"));
    running.stop().await;
}

#[tokio::test]
async fn a_report_becomes_a_work_order_that_can_be_looked_up_at_once() {
    let running = Running::start().await;
    let body = "service_code=flooding&lat=30.5&long=114.3&description=car+under+water%2C+call+13812345678&phone=13812345678&first_name=Jane&attribute[danger]=trapped";
    let answer = running.post("/open311/v2/requests.json", FORM, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let said = answer.json();
    let id = said[0]["service_request_id"].as_str().unwrap();
    assert_eq!((&said[0]["expected_datetime"], said[0].get("token")), (&json!("2017-07-14T02:40:00Z"), None));
    let records = running.log.records("raw.workorder");
    let data: Value = serde_json::from_slice(records[0].value.as_ref().unwrap()).unwrap();
    assert_eq!((&data["request_id"], &data["category"], &data["channel"]), (&json!(id), &json!("flooding"), &json!("open311")));
    let kept = format!("{records:?}");
    assert!(!data.to_string().contains("13812345678") && !kept.contains("Jane") && data["description"].as_str().unwrap().contains("138****5678"));
    assert_eq!(running.get(&format!("/open311/v2/requests/{id}.json")).await.json()[0]["status"], "open");
    let json = json!({"service_code": "noise", "address_string": "北京路1号", "attribute": {"danger": "no"}});
    let xml = running.post("/open311/v2/requests.xml", "application/json", json.to_string()).await;
    assert!(xml.status == 201 && xml.text().contains("<service_requests><request><account_id></account_id>"), "{}", xml.text());
    running.stop().await;
}

#[tokio::test]
async fn wrong_reports_are_refused_in_the_standards_form_and_kept() {
    let running = Running::start().await;
    let large = "x".repeat(1024 * 1024);
    for (body, status) in [
        ("lat=1&long=2", 400), ("service_code=dragons&lat=1&long=2", 404), ("service_code=noise", 400), ("service_code=noise&lat=x&long=2", 400), ("%ff", 400),
        (&format!("service_code=noise&lat=1&long=2&description={large}"), 413),
    ] {
        let answer = running.post("/open311/v2/requests.json", FORM, body).await;
        assert_eq!((answer.status, &answer.json()[0]["code"]), (status, &json!(status)), "{}", answer.text());
        assert!(answer.json()[0]["description"].as_str().unwrap().contains(" / "));
    }
    let xml = running.post("/open311/v2/requests.xml", "application/json", "{\"service_code\": [1]}").await;
    assert!(xml.status == 400 && xml.text().contains("<errors><error><code>400</code>"), "{}", xml.text());
    assert_eq!(running.post("/open311/v2/requests.json", "multipart/form-data; boundary=x", "--x--").await.status, 400);
    assert_eq!(dlq(&running.log).len(), 8, "each is kept");
    assert!(running.log.records("raw.workorder").is_empty());
    running.stop().await;
}

#[tokio::test]
async fn searches_reach_the_city_and_answers_come_in_both_forms() {
    let running = Running::start().await;
    let list = running.get("/open311/v2/requests.json?status=open&service_code=flooding,noise&page=2&page_size=5&bbox=114,30,115,31&extensions=true").await;
    assert!(list.head.contains("x-total-count: 1"));
    let request = &list.json()[0];
    assert_eq!((&request["status"], &request["extended_attributes"]["state"], &request["agency_responsible"]), (&json!("open"), &json!("processing"), &json!("排水处 / Drainage")));
    let search = running.city.searches.lock().unwrap()[0].clone();
    assert_eq!((search.open, search.services.len(), search.skip, search.limit, search.notes), (Some(true), 2, 5, 5, true));
    assert!(running.get("/open311/v2/requests/r-1.xml").await.text().contains("deep &amp; &lt;wide&gt;"));
    assert_eq!(running.get("/open311/v2/tokens/r-1.json").await.json(), json!([{"service_request_id": "r-1", "token": "r-1"}]));
    for (path, status) in [("requests/none.json", 404), ("tokens/none.json", 404), ("services/none.xml", 404), ("nothing.json", 404), ("requests.json?status=done", 400), ("requests.json?colour=red", 400)] {
        assert_eq!(running.get(&format!("/open311/v2/{path}")).await.status, status, "{path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn with_a_token_it_is_the_api_key() {
    let config = GatewayConfig { token: Some("secret".into()), ..GatewayConfig::default() };
    let running = Running::with(config, StreamHub::new(BTreeMap::new())).await;
    assert_eq!(running.get("/open311/v2/services.json").await.status, 200, "what can be asked for is public");
    let report = "service_code=noise&lat=1&long=2";
    let refused = running.post("/open311/v2/requests.json", FORM, report).await;
    assert_eq!((refused.status, &refused.json()[0]["code"]), (403, &json!(403)));
    assert_eq!(running.post("/open311/v2/requests.json", FORM, format!("{report}&api_key=wrong")).await.status, 403);
    assert_eq!(running.post("/open311/v2/requests.json", FORM, format!("{report}&api_key=secret")).await.status, 201);
    assert_eq!(running.post("/open311/v2/requests.json?api_key=secret", FORM, report).await.status, 201);
    let refused = running.post("/open311/v2/requests.json", FORM, "service_code=noise&api_key=secret&lat=1").await;
    let kept = base64::engine::general_purpose::STANDARD.decode(dlq(&running.log)[0]["original"].as_str().unwrap()).unwrap();
    assert_eq!((refused.status, String::from_utf8(kept).unwrap().as_str()), (400, "service_code=noise&lat=1"), "the key is not kept");
    assert_eq!(running.get("/open311/v2/requests.json").await.status, 403);
    assert_eq!(running.get("/open311/v2/requests.json?api_key=secret").await.status, 200);
    assert_eq!(running.ask("GET", "/open311/v2/requests.json", &[("authorization", "Bearer secret")], b"").await.status, 200);
    running.stop().await;
}
