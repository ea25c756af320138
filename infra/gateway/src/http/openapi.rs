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

fn problem(text: &str) -> Value {
    json!({ "description": text, "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } } })
}

fn parameter(name: &str, text: &str) -> Value {
    json!({ "name": name, "in": "query", "description": text, "schema": { "type": "string" } })
}

fn id() -> Value {
    json!({ "name": "id", "in": "path", "required": true, "schema": { "type": "string" } })
}
