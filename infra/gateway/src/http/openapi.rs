//! `GET /openapi.json`: the description of the doors, made from the one table of routes and commands.

use axum::Json;
use schemas::case::CaseState;
use serde_json::{Map, Value, json};

use super::table::{Access, COMMANDS, Kind, ROUTES, Route, Target, Trail};

/// The schemas of what is sent and answered.
const COMPONENTS: &str = include_str!("components.json");

/// A field of a command.
pub struct Field {
    /// Its name; its schema is that of the field of this name in `CommandFields`.
    pub name: &'static str,
    /// Whether the command is nothing without it.
    pub needed: bool,
}

impl Field {
    /// A field that may be there.
    pub const fn may(name: &'static str) -> Field {
        Field { name, needed: false }
    }

    /// A field that must be there.
    pub const fn must(name: &'static str) -> Field {
        Field { name, needed: true }
    }
}

pub(super) async fn document() -> Json<Value> {
    Json(openapi())
}

/// The whole description: OpenAPI 3.1.
pub fn openapi() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let operations = paths.entry(route.path).or_insert_with(|| json!({}));
        operations[route.method.as_str().to_ascii_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "citybrain",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "The doors of the city brain. x-permission is what an operation or a command needs; docs/people.md says who has it. 城市大脑的入口；x-permission 为所需权限。",
        },
        "servers": [{ "url": "/" }],
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "A person's token, or the one of the configuration / 人员令牌或配置中的令牌" },
                "device": { "type": "http", "scheme": "basic", "description": "A device's id and key / 设备编号与密钥" },
                "api_key": { "type": "apiKey", "in": "query", "name": "api_key", "description": "The same token, as Open311 brings it / Open311 方式携带同一令牌" },
            },
            "schemas": components(),
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut operation = (route.shape)();
    let (zh, en) = route.summary;
    operation["operationId"] = Value::from(route.id);
    operation["summary"] = Value::from(format!("{en} / {zh}"));
    operation["tags"] = json!([tag(route.path)]);
    operation["security"] = match route.access {
        Access::Open => json!([]),
        Access::Known | Access::Needs(_) => json!([{ "bearer": [] }]),
        Access::NeedsOrDevice(_) => json!([{ "bearer": [] }, { "device": [] }]),
        Access::HandlerAsks(_) => json!([{ "bearer": [] }, { "api_key": [] }]),
    };
    if let Some(permission) = route.access.permission() {
        operation["x-permission"] = Value::from(permission.name());
    }
    operation["x-audited"] = Value::from(route.trail == Trail::Every);
    let standard = route.path.starts_with("/open311/") || route.path.starts_with("/sensorthings/");
    if route.access != Access::Open && !standard {
        let answers = &mut operation["responses"];
        answers["401"] = problem("No token, or a wrong one / 缺少令牌或令牌有误");
        answers["403"] = problem("The permission is missing, for this domain or this area / 无权限");
    }
    operation
}

fn tag(path: &str) -> &'static str {
    match path {
        _ if path.starts_with("/open311/") => "Open311",
        _ if path.starts_with("/sensorthings/") => "SensorThings",
        _ if path.starts_with("/health/") || matches!(path, "/metrics" | "/openapi.json") => "operations",
        _ => "city",
    }
}

/// The schemas of the file, those of the commands, and that of an entry of the audit.
fn components() -> Value {
    let mut schemas: Value = serde_json::from_str(COMPONENTS).expect("the tests read it");
    let fields = schemas["CommandFields"]["properties"].clone();
    for kind in COMMANDS {
        schemas[command_name(kind)] = command_schema(kind, &fields);
    }
    let refs: Vec<Value> = COMMANDS.iter().map(|kind| json!({ "$ref": reference(&command_name(kind)) })).collect();
    let mapping: Map<String, Value> = COMMANDS.iter().map(|kind| (kind.action.name().to_owned(), Value::from(reference(&command_name(kind))))).collect();
    schemas["Command"] = json!({ "oneOf": refs, "discriminator": { "propertyName": "action", "mapping": mapping } });
    schemas["CaseState"] = json!({ "enum": CaseState::ALL.map(CaseState::name) });
    let registry = schemas::Registry::builtin();
    let mut entry = registry.get(schemas::audit::ENTRY_TYPE).map(|def| def.schema.clone()).unwrap_or_default();
    if let Some(entry) = entry.as_object_mut() {
        entry.remove("$schema");
    }
    schemas["AuditEntry"] = entry;
    schemas
}

fn reference(name: &str) -> String {
    format!("#/components/schemas/{name}")
}

fn command_name(kind: &Kind) -> String {
    let words = kind.action.name().split('_').map(|word| word[..1].to_ascii_uppercase() + &word[1..]);
    format!("Command{}", words.collect::<String>())
}

fn command_schema(kind: &Kind, fields: &Value) -> Value {
    let target = match kind.target {
        Target::Case | Target::TwoCases => "The case's id / 案件编号",
        Target::Alert => "The alert's id or key / 预警编号或键",
        Target::Either => "The id of a case, or the id or key of an alert / 案件或预警编号",
        Target::Matchers | Target::City => "Not looked at / 不使用",
        Target::Silence => "The silence's id / 静默编号",
        Target::Exercise => "The exercise's id / 演练编号",
        Target::Incident => "The incident's id / 事件编号",
    };
    let mut properties = json!({
        "command_id": { "type": "string", "description": "The command's own id; a repeat is ignored / 命令编号，重复的只执行一次" },
        "action": { "const": kind.action.name() },
        "target": { "type": "string", "description": target },
        "actor": { "type": "string", "description": "Needed on a door without tokens only; else it is who shows the token / 仅在无令牌的入口需要" },
        "reason": { "type": "string", "minLength": 1, "description": "Why / 理由" },
    });
    for field in kind.fields {
        properties[field.name] = fields[field.name].clone();
    }
    let mut required = vec!["command_id", "action", "target", "reason"];
    required.extend(kind.fields.iter().filter(|field| field.needed).map(|field| field.name));
    let (zh, en) = kind.summary;
    json!({
        "type": "object", "title": format!("{en} / {zh}"), "x-permission": kind.permission.name(),
        "properties": properties, "required": required,
    })
}

fn problem(text: &str) -> Value {
    json!({ "description": text, "content": { "application/problem+json": { "schema": { "$ref": reference("Problem") } } } })
}

fn answer(text: &str, schema: &str) -> Value {
    json!({ "description": text, "content": { "application/json": { "schema": { "$ref": reference(schema) } } } })
}

fn other(text: &str, content_type: &str) -> Value {
    json!({ "description": text, "content": { content_type: { "schema": { "type": "string" } } } })
}

fn body(schema: &str) -> Value {
    json!({ "required": true, "content": { "application/json": { "schema": { "$ref": reference(schema) } } } })
}

fn parameter(name: &str, text: &str) -> Value {
    json!({ "name": name, "in": "query", "description": text, "schema": { "type": "string" } })
}

fn in_path(name: &str) -> Value {
    json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
}

pub(super) fn events() -> Value {
    json!({
        "description": "CloudEvents 1.0 in binary, structured or batch mode, or JSON lines of structured events. Answered when the bus has them. 事件写入总线后才应答。",
        "requestBody": { "required": true, "content": {
            "application/cloudevents+json": { "schema": { "$ref": reference("CloudEvent") } },
            "application/cloudevents-batch+json": { "schema": { "type": "array", "items": { "$ref": reference("CloudEvent") } } },
            "application/x-ndjson": { "schema": { "type": "string", "description": "One structured event per line." } },
            "application/json": { "schema": { "description": "The data of a binary event, whose attributes are in ce-* headers." } },
        } },
        "responses": {
            "202": answer("What became of them", "Taken"), "400": problem("Unreadable"), "408": problem("The body stopped coming"), "413": problem("Too large"),
            "415": problem("Content type not understood"), "422": problem("Refused"), "503": problem("Busy, or the bus or the audit is down; see Retry-After"),
        },
    })
}

pub(super) fn refused() -> Value {
    json!({ "requestBody": body("RefusedRow"), "responses": { "202": answer("It is kept", "Taken"), "400": problem("No such row"), "503": problem("Busy") } })
}

pub(super) fn stream() -> Value {
    json!({
        "description": "data: one CloudEvent as JSON. id: the positions of the last event of every partition, this event's first, as topic/partition/offset joined by commas; send it as Last-Event-ID to go on. Event `resync`: what lies between is not sent again, read the lists. Who may read some domains or areas only gets the events that say they are about these.",
        "parameters": [
            parameter("topics", "Topics, comma-separated; an ending * stands for any end. Default alert.*,city.case"),
            parameter("last_event_id", "As the header Last-Event-ID, for clients that cannot set headers"),
            { "name": "Last-Event-ID", "in": "header", "schema": { "type": "string" } },
        ],
        "responses": { "200": other("The stream", "text/event-stream"), "400": problem("Wrong topic or id"), "503": problem("Too many streams") },
    })
}

pub(super) fn list(of: &str) -> Value {
    let filters = [
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
    ];
    let parameters: Vec<Value> = filters.into_iter().map(|(name, text)| parameter(name, text)).collect();
    json!({ "parameters": parameters, "responses": { "200": answer("A page", &format!("{of}Page")), "400": problem("Wrong filter"), "503": problem("Not available") } })
}

pub(super) fn item(of: &str) -> Value {
    let schema = json!({ "anyOf": [{ "$ref": reference(of) }, { "$ref": reference("Past") }] });
    json!({ "parameters": [in_path("id")], "responses": { "200": { "description": "It", "content": { "application/json": { "schema": schema } } }, "404": problem("No such") } })
}

pub(super) fn why() -> Value {
    json!({ "parameters": [in_path("id")], "responses": { "200": answer("Back to topic, partition and offset, and forward", "Why"), "404": problem("No such") } })
}

pub(super) fn feed() -> Value {
    json!({ "responses": { "200": other("Atom, linking to CAP 1.2", "application/atom+xml"), "503": problem("Not available") } })
}

pub(super) fn cap() -> Value {
    json!({ "parameters": [in_path("id")], "responses": { "200": other("CAP", "application/cap+xml"), "404": problem("No such alert") } })
}

pub(super) fn alerting() -> Value {
    json!({ "responses": { "200": answer("What goes on around the alerts", "Alerting"), "503": problem("Not available") } })
}

pub(super) fn command() -> Value {
    let needs: String = COMMANDS.iter().map(|kind| format!("{}: {}; ", kind.action.name(), kind.permission.name())).collect();
    json!({
        "description": format!("Each kind needs the permission in its x-permission, for the domain and area of what it is about: {}", needs.trim_end_matches("; ")),
        "requestBody": body("Command"),
        "responses": { "202": answer("Its place in the log; `refused` when the law of cases and alerts does not allow it", "Commanded"), "400": problem("Not a command"), "413": problem("Too large"), "503": problem("Not available, or the audit is down") },
    })
}

pub(super) fn jobs() -> Value {
    json!({ "responses": { "200": answer("The jobs of this process", "Jobs") } })
}

pub(super) fn models() -> Value {
    json!({ "responses": { "200": answer("The models that are asked about messages, what is wrong with others", "Models") } })
}

pub(super) fn devices() -> Value {
    json!({ "responses": { "200": answer("The registry", "Devices") } })
}

pub(super) fn device_change() -> Value {
    json!({
        "requestBody": body("DeviceChange"),
        "responses": { "201": answer("It is in force; a new key is told this once", "DeviceChanged"), "400": problem("Not a change"), "409": problem("It cannot be done as things stand"), "503": problem("Not available") },
    })
}

pub(super) fn graph() -> Value {
    json!({ "responses": { "200": answer("Its version, how many elements it has, and those of each pack", "Graph"), "503": problem("Not available") } })
}

pub(super) fn graph_change() -> Value {
    json!({
        "description": "Becomes one record of the journal. The order of the changes does not matter; an element without `pack` stays with the pack that brought it. 整体成功或整体不变。",
        "requestBody": body("GraphChange"),
        "responses": {
            "200": answer("What changed; without a difference there is no position", "GraphChanged"),
            "400": problem("Not understood"), "409": problem("The graph has another version"), "413": problem("Too large"),
            "422": problem("Does not fit the graph: `problems` lists {key, problem}"), "503": problem("Not available, or the audit is down"),
        },
    })
}

pub(super) fn graph_table() -> Value {
    json!({ "parameters": [in_path("view")], "responses": { "200": answer("The table", "GraphTable"), "404": problem("No such view"), "503": problem("Not available") } })
}

pub(super) fn people() -> Value {
    json!({ "responses": { "200": answer("People and roles, without tokens", "People") } })
}

pub(super) fn people_change() -> Value {
    json!({
        "requestBody": body("PeopleChange"),
        "responses": { "201": answer("It is in force; a new token is told this once", "PeopleChanged"), "400": problem("Not a change"), "409": problem("It cannot be done as things stand"), "503": problem("Not available") },
    })
}

pub(super) fn me() -> Value {
    json!({ "responses": { "200": answer("Who asks", "Me") } })
}

pub(super) fn audit() -> Value {
    let filters = [
        ("from", "RFC 3339; from this time on"),
        ("to", "RFC 3339; before this time"),
        ("actor", "Who"),
        ("action", "As in command.close"),
        ("outcome", "asked, done, refused or failed"),
        ("subject", "What it was about"),
        ("limit", "1 to 1000, default 100"),
        ("cursor", "`next` of the page before"),
    ];
    let parameters: Vec<Value> = filters.into_iter().map(|(name, text)| parameter(name, text)).collect();
    json!({ "parameters": parameters, "responses": { "200": answer("A page, in the order of the log", "AuditPage"), "400": problem("Wrong filter") } })
}

pub(super) fn audit_head() -> Value {
    json!({ "responses": { "200": answer("What an auditor keeps elsewhere: chain/number of entries/hash", "AuditHead") } })
}

pub(super) fn sql() -> Value {
    json!({
        "description": "Reads only. Answers JSON, JSON lines (Accept: application/x-ndjson) or an Arrow stream (Accept: application/vnd.apache.arrow.stream). Without the permission `personal`, tables of originals are not there and personal data is masked.",
        "requestBody": { "required": true, "content": { "application/json": { "schema": { "$ref": reference("Question") } }, "text/plain": { "schema": { "type": "string" } } } },
        "responses": { "200": answer("The rows", "Rows"), "400": problem("Wrong query"), "413": problem("Too large"), "504": problem("Took too long") },
    })
}

pub(super) fn open311(in_paths: &[&str], filters: &[&str]) -> Value {
    let form = json!({ "name": "format", "in": "path", "required": true, "schema": { "enum": ["json", "xml"] } });
    let parameters: Vec<Value> = in_paths
        .iter()
        .map(|name| in_path(name))
        .chain([form])
        .chain(filters.iter().map(|name| parameter(name, "See GeoReport v2, and docs/doors.md for extensions")))
        .collect();
    let told = |text: &str| json!({ "description": text, "content": { "application/json": {}, "text/xml": {} } });
    json!({ "parameters": parameters, "responses": { "200": told("As GeoReport v2 has it; X-Total-Count has the number of requests"), "403": told("No good api_key"), "404": told("No such; errors in the standard's form") } })
}

pub(super) fn open311_report() -> Value {
    let mut shape = open311(&[], &[]);
    let told = |text: &str| json!({ "description": text, "content": { "application/json": {}, "text/xml": {} } });
    shape["requestBody"] = json!({ "required": true, "content": { "application/x-www-form-urlencoded": {}, "application/json": {} } });
    shape["responses"] = json!({ "201": told("service_request_id, and expected_datetime when it is known"), "400": told("Errors in the standard's form"), "403": told("No good api_key") });
    shape
}

fn told_by_things(text: &str) -> Value {
    json!({ "description": text, "content": { "application/json": {} } })
}

pub(super) fn things_root() -> Value {
    json!({ "responses": { "200": told_by_things("Entity sets") } })
}

pub(super) fn things() -> Value {
    let options = ["$filter", "$orderby", "$top", "$skip", "$count", "$select", "$expand"].map(|name| parameter(name, "See OGC SensorThings 1.1"));
    let parameters: Vec<Value> = options.into_iter().chain([in_path("path")]).collect();
    json!({ "parameters": parameters, "responses": { "200": told_by_things("It"), "400": told_by_things("{code, type, message, message_zh}"), "404": told_by_things("No such entity") } })
}

pub(super) fn things_post() -> Value {
    json!({
        "parameters": [in_path("path")],
        "requestBody": { "required": true, "content": { "application/json": {} } },
        "responses": {
            "201": told_by_things("What was created"), "400": told_by_things("{code, type, message, message_zh}"), "401": told_by_things("Not a registered device"),
            "403": told_by_things("The device was revoked"), "404": told_by_things("No such entity"),
        },
    })
}

pub(super) fn live() -> Value {
    json!({ "responses": { "200": answer("It runs", "Live") } })
}

pub(super) fn ready() -> Value {
    json!({ "responses": { "200": answer("All parts are ready", "Ready"), "503": answer("Some are not", "Ready") } })
}

pub(super) fn metrics() -> Value {
    json!({ "responses": { "200": other("Prometheus text", "text/plain") } })
}

pub(super) fn itself() -> Value {
    json!({ "responses": { "200": { "description": "OpenAPI 3.1", "content": { "application/json": { "schema": { "type": "object" } } } } } })
}
