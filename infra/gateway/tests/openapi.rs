//! The description of the doors: right in its form, made of every route and every command, and true of what is answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::common::{ALERTS, CASES, Running, observation};
use gateway::http::openapi;
use gateway::http::table::{COMMANDS, ROUTES};
use gateway::{GatewayConfig, People, StreamHub};
use schemas::journal::{Action, Body, Command};
use serde_json::{Value, json};

/// A validator of a schema within the description.
fn validator(schema: &Value) -> jsonschema::Validator {
    let mut whole = schema.clone();
    whole["components"] = openapi()["components"].clone();
    jsonschema::options().build(&whole).unwrap_or_else(|error| panic!("{schema}: {error}"))
}

fn check(what: &str, schema: &Value, answer: &Value) {
    let problems: Vec<String> = validator(schema).iter_errors(answer).map(|error| format!("{error} at {}", error.instance_path())).collect();
    assert!(problems.is_empty(), "{what}: {problems:?}\n{answer}");
}

/// The schema of an answer in JSON.
fn schema_of(api: &Value, path: &str, method: &str, status: u16) -> Value {
    let answer = &api["paths"][path][method]["responses"][status.to_string()];
    assert!(answer.is_object(), "{method} {path} answers {status}, which is not described");
    let content = answer["content"].as_object().expect("a body");
    content.values().next().expect("a body")["schema"].clone()
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    let api = openapi();
    let mut used = BTreeSet::new();
    fn walk(value: &Value, used: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| match value {
                Value::String(to) if name == "$ref" => _ = used.insert(to.clone()),
                value => walk(value, used),
            }),
            Value::Array(items) => items.iter().for_each(|item| walk(item, used)),
            _ => {}
        }
    }
    walk(&api, &mut used);
    for reference in &used {
        assert!(api.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
    let schemas = api["components"]["schemas"].as_object().unwrap();
    let unused: Vec<_> = schemas.keys().filter(|name| !used.contains(&format!("#/components/schemas/{name}")) && *name != "CommandFields").collect();
    assert_eq!(unused, Vec::<&String>::new());
    for (name, schema) in schemas {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{name} is no schema");
    }
}

#[test]
fn every_row_of_the_table_is_described_with_its_permission() {
    let api = openapi();
    for route in ROUTES {
        let operation = &api["paths"][route.path][route.method.as_str().to_ascii_lowercase()];
        assert_eq!(operation["operationId"], route.id);
        assert_eq!(operation["x-permission"].as_str(), route.access.permission().map(|permission| permission.name()), "{}", route.id);
        let braces: BTreeSet<&str> = route.path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        let parameters = operation["parameters"].as_array().into_iter().flatten().filter(|parameter| parameter["in"] == "path");
        assert_eq!(parameters.map(|parameter| parameter["name"].as_str().unwrap()).collect::<BTreeSet<_>>(), braces, "{}", route.id);
    }
    let described: usize = api["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
    let rows: BTreeSet<_> = ROUTES.iter().map(|route| (route.path, route.method.as_str())).collect();
    assert_eq!(described, rows.len(), "and nothing else");
}

#[test]
fn every_command_has_a_schema_that_fits_what_the_journal_takes() {
    let api = openapi();
    let schema = json!({ "$ref": "#/components/schemas/Command" });
    let command_validator = validator(&schema);
    assert_eq!(COMMANDS.len(), Action::ALL.len());
    for kind in COMMANDS {
        let mut command = json!({"command_id": "c", "action": kind.action.name(), "target": "t", "actor": "wang", "reason": "why"});
        for field in kind.fields {
            command[field.name] = match field.name {
                "matchers" => json!([{"name": "district", "value": "d01"}]),
                "starts" | "ends" | "due" => json!("2026-01-05T08:00:00Z"),
                "verdict" => json!("real"),
                "mode" => json!("emergency"),
                "ground" => json!("withdrawn"),
                "text" => json!({"zh": "请勿进入", "en": "Keep out"}),
                name => json!(name),
            };
        }
        assert!(command_validator.is_valid(&command), "{command}");
        let taken: Command = serde_json::from_value(command.clone()).unwrap_or_else(|error| panic!("{command}: {error}"));
        assert!(matches!(Body::Command(taken), Body::Command(command) if command.action == kind.action));
        for field in kind.fields.iter().filter(|field| field.needed) {
            let mut without = command.clone();
            without.as_object_mut().unwrap().remove(field.name);
            assert!(!command_validator.is_valid(&without), "{without}");
        }
        assert!(!command_validator.is_valid(&json!({"action": kind.action.name(), "target": "t"})), "it needs a reason");
    }
    let mapping = api["components"]["schemas"]["Command"]["discriminator"]["mapping"].as_object().unwrap();
    assert_eq!(mapping.len(), Action::ALL.len());
}

#[tokio::test]
async fn what_is_described_is_served_and_answers_as_described() {
    let folder = tempfile::tempdir().unwrap();
    let people = Arc::new(People::open(folder.path().join("people.yaml")).unwrap());
    let audit = gateway::memory::MemoryAudit::new();
    let config = GatewayConfig { token: Some("secret".into()), people, audit: Some(audit), device_log: Some(gateway::memory::MemoryLog::new()), ..GatewayConfig::default() };
    let running = Running::with(config, StreamHub::new(std::collections::BTreeMap::new())).await;
    let bearer = ("authorization", "Bearer secret");
    let api = running.ask("GET", "/openapi.json", &[bearer], b"").await.json();
    assert_eq!(api, openapi());
    let json_body = ("content-type", "application/json");
    let event = observation("1").to_string();
    let bodies = [
        ("postEvents", event.as_str()),
        ("command", r#"{"command_id":"c","action":"close","target":"a1","reason":"done"}"#),
        ("changeDevice", r#"{"action":"add","device":"rg-1"}"#),
        ("changeGraph", r#"{"reason":"repaired","changes":[{"remove":"unit/gas"}]}"#),
        ("changePeople", r#"{"action":"add","person":"wang","grants":[{"role":"viewer"}]}"#),
        ("sql", r#"{"query":"select 1"}"#),
        ("postRefused", r#"{"door":"import","code":"wrong_row","reason":"x","reason_zh":"x","pointer":"","original":"eA=="}"#),
    ];
    for route in ROUTES.iter().filter(|route| route.id != "stream" && !route.path.starts_with("/open311") && !route.path.starts_with("/sensorthings")) {
        // The tables of this city have no audit.
        if route.id == "listAudit" {
            continue;
        }
        let id = if route.path.contains("/cases/") { CASES[0] } else { ALERTS[0] };
        let path = route.path.replace("{id}", id).replace("{view}", "thresholds");
        let body = bodies.iter().find(|(name, _)| *name == route.id).map_or("", |(_, body)| *body);
        let answer = running.ask(route.method.as_str(), &path, &[bearer, json_body], body.as_bytes()).await;
        assert!(answer.status < 300, "{}: {} {}", route.id, answer.status, answer.text());
        if answer.head.contains("application/json") && !route.path.ends_with("/why") {
            check(route.id, &schema_of(&api, route.path, &route.method.as_str().to_ascii_lowercase(), answer.status), &answer.json());
        }
        let wrong = running.ask("DELETE", &path, &[bearer], b"").await;
        assert_eq!(wrong.status, 405, "{}: a method that is not described", route.id);
    }
    for (method, path, status) in [("get", "/v1/alerts", 401), ("get", "/v1/cases", 400), ("post", "/v1/commands", 400), ("post", "/v1/events", 415)] {
        let (headers, asked): (&[(&str, &str)], _) = if status == 401 { (&[], path.to_owned()) } else { (&[bearer], format!("{path}?colour=red")) };
        let answer = running.ask(&method.to_ascii_uppercase(), &asked, headers, b"x").await;
        assert_eq!(answer.status, status, "{path}");
        check(path, &schema_of(&api, path, method, status), &answer.json());
    }
    assert_eq!(running.ask("GET", "/v1/nothing", &[bearer], b"").await.status, 404);
    running.stop().await;
}
