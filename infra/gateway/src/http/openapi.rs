//! `GET /openapi.json`.

use axum::Json;
use serde_json::{Value, json};

pub(super) async fn document() -> Json<Value> {
    Json(openapi())
}

fn openapi() -> Value {
    let mut paths = json!({
        "/v1/events": { "post": {
            "summary": "Events in / 接收事件",
            "description": "CloudEvents 1.0 in binary, structured or batch mode, or JSON lines of structured events. Answered when the bus has them. 事件写入总线后才应答。",
            "requestBody": { "required": true, "content": {
                "application/cloudevents+json": { "schema": { "$ref": "#/components/schemas/CloudEvent" } },
                "application/cloudevents-batch+json": { "schema": { "type": "array", "items": { "$ref": "#/components/schemas/CloudEvent" } } },
                "application/x-ndjson": { "schema": { "type": "string", "description": "One structured event per line." } },
                "application/json": { "schema": { "description": "The data of a binary event, whose attributes are in ce-* headers." } },
            } },
            "responses": {
                "202": { "description": "What became of them", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Taken" } } } },
                "400": problem("Unreadable"), "401": problem("No token"), "413": problem("Too large"),
                "415": problem("Content type not understood"), "422": problem("Refused"), "503": problem("Busy, or the bus is down; see Retry-After"),
            },
        } },
        "/v1/stream": { "get": {
            "summary": "Live events (SSE) / 实时事件流",
            "description": "data: one CloudEvent as JSON. id: the positions of the last event of every partition, this event's first, as topic/partition/offset joined by commas; send it as Last-Event-ID to go on. Event `resync`: what lies between is not sent again, read the lists.",
            "parameters": [
                parameter("topics", "Topics, comma-separated; an ending * stands for any end. Default alert.*,city.case"),
                parameter("last_event_id", "As the header Last-Event-ID, for clients that cannot set headers"),
                { "name": "Last-Event-ID", "in": "header", "schema": { "type": "string" } },
            ],
            "responses": { "200": { "description": "The stream", "content": { "text/event-stream": {} } }, "400": problem("Wrong topic or id"), "503": problem("Too many streams") },
        } },
        "/v1/alerts.atom": { "get": { "summary": "Alerts as a feed / 预警订阅", "responses": { "200": { "description": "Atom, linking to CAP 1.2", "content": { "application/atom+xml": {} } } } } },
        "/v1/alerts/{id}.cap": { "get": { "summary": "An alert as CAP 1.2 / CAP 1.2 预警", "parameters": [id()], "responses": { "200": { "description": "CAP", "content": { "application/cap+xml": {} } }, "404": problem("No such alert") } } },
        "/v1/commands": { "post": {
            "summary": "What people decide / 人工命令",
            "requestBody": { "required": true, "content": { "application/json": { "schema": { "type": "object" } } } },
            "responses": { "202": { "description": "Its place in the log" }, "400": problem("Not a command"), "503": problem("Not available") },
        } },
        "/v1/alerting": { "get": {
            "summary": "Mode, exercises, silences, groups of alerts, notifications of each unit / 模式、演练、静默、预警分组、各单位通知数",
            "responses": { "200": { "description": "{mode, exercises, silences, groups, load}" }, "503": problem("Not available") },
        } },
        "/v1/jobs": { "get": {
            "summary": "Streaming jobs with state, lag and figures of each step / 流式作业及其指标",
            "responses": { "200": { "description": "{items}" } },
        } },
        "/v1/sql": { "post": {
            "summary": "Query / 查询",
            "description": "Reads only. Answers JSON, JSON lines (Accept: application/x-ndjson) or an Arrow stream (Accept: application/vnd.apache.arrow.stream).",
            "requestBody": { "required": true, "content": {
                "application/json": { "schema": { "type": "object", "required": ["query"], "properties": {
                    "query": { "type": "string" }, "as_of": { "type": "string", "description": "A time or a version" }, "limit": { "type": "integer", "minimum": 0 } } } },
                "text/plain": { "schema": { "type": "string" } },
            } },
            "responses": { "200": { "description": "The rows" }, "400": problem("Wrong query"), "504": problem("Took too long") },
        } },
        "/health/live": { "get": { "summary": "Runs / 存活", "responses": { "200": { "description": "It runs" } } } },
        "/health/ready": { "get": { "summary": "Ready / 就绪", "responses": { "200": { "description": "All parts are ready" }, "503": { "description": "Some are not" } } } },
        "/metrics": { "get": { "summary": "Prometheus metrics / 指标", "responses": { "200": { "description": "Prometheus text" } } } },
        "/openapi.json": { "get": { "summary": "This document / 本文档", "responses": { "200": { "description": "OpenAPI 3.1" } } } },
    });
    for (path, zh, en) in [("alerts", "预警", "alerts"), ("cases", "案件", "cases"), ("incidents", "事件", "incidents")] {
        let filters: Vec<Value> = [
            ("scenario", "As in urban_flooding"),
            ("state", "As in active"),
            ("unit", "The unit responsible"),
            ("area", "District"),
            ("bbox", "west,south,east,north in degrees"),
            ("level", "1 to 4"),
            ("incident", "Incident id"),
            ("from", "RFC 3339; from this time on"),
            ("to", "RFC 3339; before this time"),
            ("limit", "1 to 1000, default 100"),
            ("cursor", "`next` of the page before"),
        ]
        .into_iter()
        .map(|(name, text)| parameter(name, text))
        .collect();
        paths[format!("/v1/{path}")] = json!({ "get": { "summary": format!("List of {en} / {zh}列表"), "parameters": filters, "responses": { "200": { "description": "{items, next}" }, "400": problem("Wrong filter") } } });
        paths[format!("/v1/{path}/{{id}}")] = json!({ "get": { "summary": format!("One of the {en} / 单个{zh}"), "parameters": [id()], "responses": { "200": { "description": "It" }, "404": problem("No such") } } });
        paths[format!("/v1/{path}/{{id}}/why")] = json!({ "get": { "summary": format!("Where it came from / {zh}溯源"), "parameters": [id()], "responses": { "200": { "description": "Back to topic, partition and offset, and forward" }, "404": problem("No such") } } });
    }
    doors(&mut paths);
    graph(&mut paths);
    json!({
        "openapi": "3.1.0",
        "info": { "title": "citybrain", "version": env!("CARGO_PKG_VERSION"), "license": { "name": "Apache-2.0" } },
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
            "schemas": {
                "CloudEvent": { "type": "object", "required": ["specversion", "id", "source", "type"], "properties": {
                    "specversion": { "const": "1.0" }, "id": { "type": "string" }, "source": { "type": "string" }, "type": { "type": "string" },
                    "time": { "type": "string", "format": "date-time" }, "subject": { "type": "string" }, "data": {} } },
                "Taken": { "type": "object", "required": ["accepted", "duplicate", "refused"], "properties": {
                    "accepted": { "type": "integer" }, "duplicate": { "type": "integer" }, "refused_count": { "type": "integer" },
                    "refused": { "type": "array", "description": "The first 1000", "items": { "type": "object", "properties": {
                        "index": { "type": "integer", "description": "Place in a batch, from 0" }, "line": { "type": "integer", "description": "Line, from 1" },
                        "code": { "type": "string" }, "reason": { "type": "string" }, "reason_zh": { "type": "string" }, "pointer": { "type": "string" } } } } } },
                "Problem": { "type": "object", "description": "RFC 9457", "properties": {
                    "type": { "type": "string" }, "title": { "type": "string" }, "title_zh": { "type": "string" }, "status": { "type": "integer" },
                    "detail": { "type": "string" }, "detail_zh": { "type": "string" } } },
            },
        },
    })
}

/// The live graph.
fn graph(paths: &mut Value) {
    let put = json!({ "type": "object", "required": ["element"], "properties": { "pack": { "type": "string" }, "element": { "type": "object" } } });
    let change = json!({ "oneOf": [
        { "type": "object", "required": ["put"], "properties": { "put": put } },
        { "type": "object", "required": ["remove"], "properties": { "remove": { "type": "string", "description": "KIND/ID" } } },
    ] });
    let asked = json!({ "type": "object", "required": ["actor", "reason"], "additionalProperties": false, "properties": {
        "actor": { "type": "string", "minLength": 1 },
        "reason": { "type": "string", "minLength": 1 },
        "version": { "type": "string", "description": "The version that was looked at; with another one: 409" },
        "dry_run": { "type": "boolean", "description": "Only say what would change" },
        "remove_pack": { "type": "string", "description": "A pack that goes, before the changes" },
        "changes": { "type": "array", "items": change },
    } });
    paths["/v1/graph"] = json!({
        "get": { "summary": "The live graph: version, elements, packs / 当前图谱概况", "responses": { "200": { "description": "{version, elements, packs}" }, "503": problem("Not available") } },
        "post": {
            "summary": "Change the live graph, all or nothing / 变更图谱",
            "description": "Becomes one record of the journal. The order of the changes does not matter; an element without `pack` stays with the pack that brought it.",
            "requestBody": { "required": true, "content": { "application/json": { "schema": asked } } },
            "responses": {
                "200": { "description": "{from, version, changes: [{key, change}], dry_run, position, cursor}; without a difference there is no position" },
                "400": problem("Not understood"),
                "409": problem("The graph has another version"),
                "422": problem("Does not fit the graph: `problems` lists {key, problem}"),
                "503": problem("Not available"),
            },
        },
    });
    let views = ["assets", "categories", "chains", "duties", "places", "thresholds", "units"];
    paths["/v1/graph/{view}"] = json!({ "get": {
        "summary": "A table of the live graph, as jobs look it up / 图谱视图",
        "parameters": [{ "name": "view", "in": "path", "required": true, "schema": { "enum": views } }],
        "responses": { "200": { "description": "{version, columns, rows}" }, "404": problem("No such view"), "503": problem("Not available") },
    } });
}

/// The doors of other standards; their documents are those of the standards, so only the paths are told here.
fn doors(paths: &mut Value) {
    let form = json!({ "name": "format", "in": "path", "required": true, "schema": { "enum": ["json", "xml"] } });
    let name = |name: &str| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    let ok = |text: &str| json!({ "200": { "description": text }, "404": { "description": "No such; errors in the standard's form" } });
    paths["/v1/devices"] = json!({
        "get": { "summary": "Registered devices / 已登记设备", "responses": { "200": { "description": "{items}" } } },
        "post": {
            "summary": "Add, rotate or revoke a device / 登记、换钥、吊销设备",
            "requestBody": { "required": true, "content": { "application/json": { "schema": { "type": "object", "required": ["action", "device"], "properties": {
                "action": { "enum": ["add", "rotate", "revoke"] }, "device": { "type": "string" }, "name": { "type": "string" }, "reason": { "type": "string" }, "actor": { "type": "string" } } } } } },
            "responses": { "201": { "description": "It is in force; a new key is told this once" }, "409": problem("It cannot be done as things stand") },
        },
    });
    for (path, summary, extra) in [
        ("discovery", "Where the service is / 服务发现", vec![]),
        ("services", "What can be reported / 可上报的事项", vec![]),
        ("services/{service_code}", "The questions of a service / 事项的表单", vec![name("service_code")]),
        ("requests/{service_request_id}", "One request / 单个诉求", vec![name("service_request_id"), parameter("extensions", "true adds the case's state and steps")]),
        ("tokens/{token}", "The number of a token / 令牌对应的编号", vec![name("token")]),
    ] {
        let parameters: Vec<Value> = extra.into_iter().chain([form.clone()]).collect();
        paths[format!("/open311/v2/{path}.{{format}}")] = json!({ "get": { "summary": format!("Open311 GeoReport v2: {summary}"), "parameters": parameters, "responses": ok("It") } });
    }
    let filters: Vec<Value> = ["service_request_id", "service_code", "status", "start_date", "end_date", "updated_after", "updated_before", "bbox", "page", "page_size", "extensions"]
        .map(|name| parameter(name, "See the standard, and docs/doors.md for extensions"))
        .into_iter()
        .chain([form])
        .collect();
    paths["/open311/v2/requests.{format}"] = json!({
        "get": { "summary": "Open311 GeoReport v2: requests / 诉求列表", "parameters": filters, "responses": ok("A list; X-Total-Count has their number") },
        "post": {
            "summary": "Open311 GeoReport v2: a report / 上报诉求",
            "requestBody": { "required": true, "content": { "application/x-www-form-urlencoded": {}, "application/json": {} } },
            "responses": { "201": { "description": "service_request_id, and expected_datetime when it is known" }, "400": { "description": "Errors in the standard's form" }, "403": { "description": "No good api_key" } },
        },
    });
    paths["/sensorthings/v1.1"] = json!({ "get": { "summary": "OGC SensorThings 1.1: entity sets / 实体集", "responses": { "200": { "description": "They" } } } });
    let options: Vec<Value> =
        ["$filter", "$orderby", "$top", "$skip", "$count", "$select", "$expand"].map(|name| parameter(name, "See the standard")).into_iter().chain([name("path")]).collect();
    paths["/sensorthings/v1.1/{path}"] = json!({
        "get": { "summary": "OGC SensorThings 1.1: Things, Locations, Datastreams, Sensors, ObservedProperties, Observations, FeaturesOfInterest, one of them, or its links / 查询实体", "parameters": options, "responses": ok("It") },
        "post": {
            "summary": "OGC SensorThings 1.1: creates entities, observations, or many observations (CreateObservations) / 创建实体与观测",
            "parameters": [name("path")],
            "requestBody": { "required": true, "content": { "application/json": {} } },
            "responses": { "201": { "description": "What was created" }, "400": { "description": "{code, type, message, message_zh}" }, "401": { "description": "Not a registered device" }, "403": { "description": "The device was revoked" }, "404": { "description": "No such entity" } },
        },
    });
}

fn problem(text: &str) -> Value {
    json!({ "description": text, "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } } })
}

fn parameter(name: &str, text: &str) -> Value {
    json!({ "name": name, "in": "query", "description": text, "schema": { "type": "string" } })
}

fn id() -> Value {
    json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } })
}
