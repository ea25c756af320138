//! Who may do what where: every role against every kind of command and every route, in and out of its domain and area; who
//! is taken for whom; and that the audit has it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::common::{ALERTS, Answer, CASES, Running, observation};
use gateway::http::table::{COMMANDS, ROUTES, Target};
use gateway::hub::StreamItem;
use gateway::memory::MemoryAudit;
use gateway::{GatewayConfig, People, StreamHub};
use schemas::Position;
use schemas::audit::{Checker, Outcome, sha256};
use serde_json::{Value, json};

/// What a role may decide, as people read it: for each kind of command the roles in the order of the first line.
const DECISIONS: &str = "
                    viewer operator supervisor commander publisher administrator analyst auditor
acknowledge         -      x        x          x         -         -             -       -
comment             -      x        x          x         -         -             -       -
draft_warning       -      x        x          x         -         -             -       -
assign              -      x        x          x         -         -             -       -
dispatch            -      x        x          x         -         -             -       -
verify              -      x        x          x         -         -             -       -
return              -      x        x          x         -         -             -       -
rework              -      x        x          x         -         -             -       -
suspend             -      x        x          x         -         -             -       -
resume              -      x        x          x         -         -             -       -
reopen              -      x        x          x         -         -             -       -
transfer            -      x        x          x         -         -             -       -
request_extension   -      x        x          x         -         -             -       -
close               -      -        x          x         -         -             -       -
void                -      -        x          x         -         -             -       -
extend              -      -        x          x         -         -             -       -
approve_extension   -      -        x          x         -         -             -       -
reject_extension    -      -        x          x         -         -             -       -
merge               -      -        x          x         -         -             -       -
unmerge             -      -        x          x         -         -             -       -
recategorise        -      -        x          x         -         -             -       -
approve             -      -        x          x         -         -             -       -
reject              -      -        x          x         -         -             -       -
approve_plan        -      -        x          x         -         -             -       -
reject_plan         -      -        x          x         -         -             -       -
judge               -      -        x          x         -         -             -       -
silence             -      -        x          x         -         -             -       -
unsilence           -      -        x          x         -         -             -       -
approve_warning     -      -        x          x         -         -             -       -
publish_warning     -      -        -          x         -         -             -       -
cancel_warning      -      -        -          x         -         -             -       -
start_exercise      -      -        -          x         -         -             -       -
stop_exercise       -      -        -          x         -         -             -       -
mode                -      -        -          x         -         -             -       -
";

/// What a role may ask for.
const QUESTIONS: &str = "
                    viewer operator supervisor commander publisher administrator analyst auditor
postEvents          -      -        -          -         x         -             -       -
postRefused         -      -        -          -         x         -             -       -
stream              x      x        x          x         -         -             -       -
listAlerts          x      x        x          x         -         -             -       -
alertsFeed          x      x        x          x         -         -             -       -
alertCap            x      x        x          x         -         -             -       -
getAlert            x      x        x          x         -         -             -       -
whyAlert            x      x        x          x         -         -             -       -
listCases           x      x        x          x         -         -             -       -
getCase             x      x        x          x         -         -             -       -
whyCase             x      x        x          x         -         -             -       -
listIncidents       x      x        x          x         -         -             -       -
getIncident         x      x        x          x         -         -             -       -
whyIncident         x      x        x          x         -         -             -       -
alerting            x      x        x          x         -         -             -       -
command             x      x        x          x         -         -             -       -
listJobs            -      -        -          -         -         x             -       -
listModels          -      -        -          -         -         x             -       -
graph               x      x        x          x         -         -             -       -
changeGraph         -      -        -          -         -         x             -       -
graphView           x      x        x          x         -         -             -       -
listDevices         -      -        -          -         -         x             -       -
changeDevice        -      -        -          -         -         x             -       -
listPeople          -      -        -          -         -         x             -       -
changePeople        -      -        -          -         -         x             -       -
me                  x      x        x          x         x         x             x       x
listAudit           -      -        -          -         -         -             -       x
auditHead           -      -        -          -         -         -             -       x
sql                 -      -        -          -         -         -             x       -
open311Discovery    x      x        x          x         x         x             x       x
open311Services     x      x        x          x         x         x             x       x
open311Service      x      x        x          x         x         x             x       x
open311Requests     x      x        x          x         -         -             -       -
open311Request      x      x        x          x         -         -             -       -
open311Token        x      x        x          x         -         -             -       -
open311Report       -      -        -          -         x         -             -       -
sensorthingsRoot    x      x        x          x         -         -             -       -
sensorthingsGet     x      x        x          x         -         -             -       -
sensorthingsPost    -      -        -          -         x         -             -       -
live                x      x        x          x         x         x             x       x
ready               x      x        x          x         x         x             x       x
metrics             -      -        -          -         -         x             -       -
openapi             x      x        x          x         x         x             x       x
";

/// Roles that can be granted for some domains and areas.
const LOCAL: [&str; 4] = ["viewer", "operator", "supervisor", "commander"];

/// Row and role to whether it is allowed.
fn read(table: &str) -> BTreeMap<(String, String), bool> {
    let mut lines = table.trim_matches('\n').lines();
    let roles: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    lines
        .flat_map(|line| {
            let mut cells = line.split_whitespace();
            let row = cells.next().unwrap().to_owned();
            roles.iter().zip(cells).map(move |(role, cell)| ((row.clone(), (*role).to_owned()), cell == "x")).collect::<Vec<_>>()
        })
        .collect()
}

fn token(person: &str) -> String {
    format!("token-of-{person}")
}

/// A city whose people are each role for the whole city, and those that can be for flooding in d01 only.
async fn city() -> (Running, Arc<MemoryAudit>) {
    let mut text = "people:\n".to_owned();
    let mut add = |id: String, grant: String| text.push_str(&format!("  - {{id: {id}, name: {{zh: 人, en: person}}, token: \"{}\", grants: [{grant}]}}\n", sha256(token(&id).as_bytes())));
    for role in ["viewer", "operator", "supervisor", "commander", "publisher", "administrator", "analyst", "auditor"] {
        add(format!("{role}-all"), format!("{{role: {role}}}"));
    }
    for role in LOCAL {
        add(format!("{role}-d01"), format!("{{role: {role}, domains: [urban_flooding], areas: [d01]}}"));
    }
    let audit = MemoryAudit::new();
    let config = GatewayConfig { people: Arc::new(People::of(&text).unwrap()), audit: Some(audit.clone()), ..GatewayConfig::default() };
    (Running::with(config, StreamHub::new(BTreeMap::new())).await, audit)
}

impl Running {
    async fn by(&self, person: &str, method: &str, path: &str, body: impl ToString) -> Answer {
        let bearer = format!("Bearer {}", token(person));
        self.ask(method, path, &[("authorization", &bearer), ("content-type", "application/json")], body.to_string().as_bytes()).await
    }
}

/// A command of a kind about something within flooding in d01, in another area, or of another domain.
fn command(kind: &gateway::http::table::Kind, place: usize) -> Value {
    let end = ["in", "area", "domain"][place];
    let (district, scenario) = [("d01", "urban_flooding"), ("d02", "urban_flooding"), ("d01", "garbage")][place];
    let matchers = json!([{"name": "district", "value": district}, {"name": "scenario", "value": scenario}]);
    let mut command = json!({"command_id": format!("{}-{place}", kind.action.name()), "action": kind.action.name(), "reason": "test", "target": ""});
    command["target"] = match kind.target {
        Target::Case | Target::TwoCases => json!(CASES[place]),
        Target::Alert | Target::Either | Target::Incident => json!(ALERTS[place]),
        Target::Silence => json!(format!("s-{end}")),
        Target::Exercise => json!(format!("e-{end}")),
        Target::Matchers | Target::City => json!(""),
    };
    if kind.target == Target::TwoCases {
        command["other"] = json!(CASES[0]);
    }
    if kind.target == Target::Matchers {
        command["matchers"] = matchers;
    }
    command
}

#[tokio::test]
async fn every_role_decides_what_the_table_says_and_only_where_it_is_granted() {
    let (running, audit) = city().await;
    let table = read(DECISIONS);
    let rows: BTreeSet<&str> = table.keys().map(|(row, _)| row.as_str()).collect();
    assert_eq!(rows, COMMANDS.iter().map(|kind| kind.action.name()).collect(), "every kind of command is in the table");
    let mut tried = 0;
    for kind in COMMANDS {
        for ((_, role), allowed) in table.iter().filter(|((row, _), _)| row == kind.action.name()) {
            for place in 0..3 {
                for (person, granted) in [(format!("{role}-all"), true), (format!("{role}-d01"), place == 0 && kind.target != Target::City)] {
                    if person.ends_with("d01") && !LOCAL.contains(&role.as_str()) {
                        continue;
                    }
                    let answer = running.by(&person, "POST", "/v1/commands", command(kind, place)).await;
                    let expected = if *allowed && granted { 202 } else { 403 };
                    assert_eq!(answer.status, expected, "{person}: {} about {place}: {}", kind.action.name(), answer.text());
                    if expected == 202 {
                        assert_eq!(running.city.commands.lock().unwrap().last().unwrap()["actor"], person.as_str());
                    } else {
                        let problem = answer.json();
                        let permission = if role == "viewer" || LOCAL.contains(&role.as_str()) { kind.permission.name() } else { "read" };
                        assert_eq!(problem["permission"], permission, "{problem}");
                    }
                    tried += 1;
                }
            }
        }
    }
    assert_eq!(tried, COMMANDS.len() * 3 * (8 + LOCAL.len()));
    let entries = audit.entries();
    let ended = entries.iter().filter(|entry| entry.note.outcome != Outcome::Asked).count();
    assert_eq!(ended, tried, "each is in the audit once it has ended");
    let mut checker = Checker::default();
    entries.iter().for_each(|entry| checker.take(&entry.to_json()));
    assert_eq!(checker.finish().flaws, []);
    running.stop().await;
}

/// The path of a route with what there is in place of what stands in braces.
fn path(described: &str) -> String {
    let id = if described.contains("/cases/") { CASES[0] } else { ALERTS[0] };
    let filled = described.replace("{id}", id).replace("{format}", "json").replace("{service_code}", "flooding").replace("{service_request_id}", "r-1").replace("{token}", "r-1");
    filled.replace("{path}", "Things").replace("{view}", "thresholds")
}

#[tokio::test]
async fn every_role_asks_for_what_the_table_says() {
    let (running, _) = city().await;
    let table = read(QUESTIONS);
    let rows: BTreeSet<&str> = table.keys().map(|(row, _)| row.as_str()).collect();
    assert_eq!(rows, ROUTES.iter().map(|route| route.id).collect(), "every route is in the table");
    for route in ROUTES.iter().filter(|route| route.id != "stream") {
        for ((_, role), allowed) in table.iter().filter(|((row, _), _)| row == route.id) {
            // What an allowed one answers to an empty body is its own business.
            let answer = running.by(&format!("{role}-all"), route.method.as_str(), &path(route.path), "").await;
            assert_eq!(answer.status != 403 && answer.status != 401, *allowed, "{role}: {}: {} {}", route.id, answer.status, answer.text());
        }
        let nobody = running.ask(route.method.as_str(), &path(route.path), &[], b"").await;
        let is_open = ["open311Discovery", "open311Services", "open311Service", "live", "ready"].contains(&route.id);
        assert_eq!(matches!(nobody.status, 401 | 403), !is_open, "nobody: {}: {}", route.id, nobody.status);
        if nobody.status == 401 {
            assert!(nobody.head.contains("www-authenticate: bearer"), "{}", nobody.head);
        }
    }
    for (role, allowed) in [("viewer", true), ("auditor", false)] {
        let head = format!("authorization: Bearer {}\r\n", token(&format!("{role}-all")));
        assert_eq!(running.opens_stream(&head).await, allowed, "{role}");
    }
    running.stop().await;
}

impl Running {
    /// Whether the stream opens with these headers.
    async fn opens_stream(&self, head: &str) -> bool {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut socket = tokio::net::TcpStream::connect(&self.address).await.unwrap();
        socket.write_all(format!("GET /v1/stream HTTP/1.1\r\nhost: {}\r\n{head}\r\n", self.address).as_bytes()).await.unwrap();
        let mut beginning = [0; 12];
        socket.read_exact(&mut beginning).await.unwrap();
        &beginning == b"HTTP/1.1 200"
    }
}

#[tokio::test]
async fn who_reads_for_a_district_sees_what_concerns_it() {
    let (running, _) = city().await;
    let ids = |answer: Answer| answer.json()["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(running.by("viewer-all", "GET", "/v1/cases", "").await), CASES);
    assert_eq!(ids(running.by("viewer-d01", "GET", "/v1/cases", "").await), CASES[..1]);
    for (path, allowed) in [("cases/case-000000000001", true), ("cases/case-000000000002", false), ("alerts/a1/why", true), ("alerts/a3/why", false), ("alerts/a1.cap", true), ("alerts/none", true)] {
        let status = running.by("viewer-d01", "GET", &format!("/v1/{path}"), "").await.status;
        assert_eq!(status != 403, allowed, "{path}: {status}");
    }
    let problem = running.by("viewer-d01", "GET", "/v1/alerts/a2", "").await.json();
    assert_eq!((&problem["permission"], &problem["areas"], &problem["type"]), (&json!("read"), &json!(["d02"]), &json!("urn:citybrain:problem:forbidden")));
    assert_eq!(running.by("viewer-d01", "GET", "/open311/v2/requests.json", "").await.status, 403, "requests of the whole city");
    let bearer = token("viewer-d01");
    for (offset, district) in [(0, "d02"), (1, "d01")] {
        let data = json!({"data": {"case": "c", "district": district, "category": "flooding", "scenario": "urban_flooding"}}).to_string();
        let item = StreamItem { position: Position::new("city.case", 0, offset), json: Arc::from(data) };
        running.hub.publish_items(("city.case".to_owned(), 0), offset, offset + 1, vec![item]);
    }
    let mut stream = running.stream_by("/v1/stream?topics=city.case", Some("earliest"), &bearer).await;
    let told = stream.until(|text| text.contains("d01")).await;
    assert!(!told.contains("d02"), "{told}");
    let feed = running.by("viewer-d01", "GET", "/v1/alerts.atom", "").await.text();
    assert!(feed.contains("a1.cap"), "{feed}");
    running.stop().await;
}

#[tokio::test]
async fn nobody_is_taken_for_somebody_else() {
    let (running, audit) = city().await;
    let order = |actor: Value| json!({"command_id": "c", "action": "close", "target": "a1", "reason": "done", "actor": actor});
    let spoofed = running.by("supervisor-all", "POST", "/v1/commands", order(json!("commander-all"))).await;
    assert_eq!((spoofed.status, &spoofed.json()["type"]), (403, &json!("urn:citybrain:problem:actor")));
    assert!(running.city.commands.lock().unwrap().is_empty());
    let entry = audit.entries().pop().unwrap().note;
    assert_eq!((entry.actor.as_str(), entry.outcome, entry.details["claimed"].as_str()), ("supervisor-all", Outcome::Refused, "commander-all"));
    assert_eq!(running.by("supervisor-all", "POST", "/v1/commands", order(json!("supervisor-all"))).await.status, 202);
    let device = json!({"action": "add", "device": "rg-1", "actor": "somebody"});
    assert_eq!(running.by("administrator-all", "POST", "/v1/devices", device).await.status, 503, "no log in this test");
    running.stop().await;

    let audit = MemoryAudit::new();
    let config = GatewayConfig { token: Some("secret".into()), audit: Some(audit.clone()), ..GatewayConfig::default() };
    let running = Running::with(config, StreamHub::new(BTreeMap::new())).await;
    let headers = [("authorization", "Bearer secret"), ("content-type", "application/json")];
    assert_eq!(running.ask("POST", "/v1/commands", &headers, order(json!("王")).to_string().as_bytes()).await.status, 202);
    assert_eq!(running.city.commands.lock().unwrap()[0]["actor"], "token");
    assert_eq!(audit.entries().pop().unwrap().note.details["claimed"], "王");
    running.stop().await;
}

#[tokio::test]
async fn the_audit_has_every_call_that_changes_something_and_every_refusal() {
    let (running, audit) = city().await;
    let last = || audit.entries().pop().unwrap().note;
    running.by("publisher-all", "POST", "/v1/events", observation("1")).await;
    let note = last();
    assert_eq!((note.actor.as_str(), note.action.as_str(), note.outcome, note.details["accepted"].as_str()), ("publisher-all", "postEvents", Outcome::Done, "1"));
    assert!(note.remote.is_some_and(|remote| remote.starts_with("127.0.0.1:")) && note.position.is_some_and(|position| position.starts_with("raw.sensor/0/")));
    running.by("publisher-all", "POST", "/v1/events", "{").await;
    assert_eq!((last().outcome, last().status), (Outcome::Refused, Some(400)));
    let sql = json!({"query": "select 1 from t where phone = '13812345678'"});
    running.by("analyst-all", "POST", "/v1/sql", &sql).await;
    assert_eq!((last().action.as_str(), last().details["masked"].as_str(), last().details["query"].as_str()), ("sql", "true", "select ? from t where phone = ?"));
    let law = json!({"command_id": "c", "action": "close", "target": "a1", "reason": "against the law"});
    let answer = running.by("supervisor-d01", "POST", "/v1/commands", law).await;
    assert_eq!((answer.status, &answer.json()["refused"]), (202, &json!("it is against the law of cases")));
    let entries = audit.entries();
    let [asked, ended] = &entries[entries.len() - 2..] else { panic!("two entries") };
    assert_eq!((asked.note.outcome, ended.note.outcome, ended.note.asked), (Outcome::Asked, Outcome::Refused, Some(asked.seq)));
    assert_eq!((ended.note.subject.as_deref(), ended.note.position.as_deref()), (Some("a1"), Some("city.journal/0/7")));
    running.by("administrator-all", "POST", "/v1/graph", json!({"reason": "repaired", "actor": "somebody"})).await;
    assert_eq!((last().actor.as_str(), last().action.as_str(), last().position.as_deref()), ("administrator-all", "graph.change", Some("city.journal/0/8")));
    let before = audit.entries().len();
    running.by("viewer-all", "GET", "/v1/alerts", "").await;
    assert_eq!(audit.entries().len(), before, "reading is no entry");
    running.ask("GET", "/v1/alerts", &[("authorization", "Bearer 13812345678")], b"").await;
    assert_eq!((last().actor.as_str(), last().action.as_str(), last().status), ("unknown", "listAlerts", Some(401)));
    assert!(!audit.entries().iter().any(|entry| entry.to_json().contains("13812345678")), "no number of a person, no token");
    running.stop().await;
}

#[tokio::test]
async fn nothing_is_acknowledged_that_the_audit_does_not_have() {
    let (running, audit) = city().await;
    audit.set_down(true);
    let order = json!({"command_id": "c", "action": "acknowledge", "target": "a1", "reason": "seen"});
    let answer = running.by("operator-d01", "POST", "/v1/commands", &order).await;
    assert_eq!((answer.status, running.city.commands.lock().unwrap().len()), (503, 0), "it is not even tried");
    assert!(answer.head.contains("retry-after"));
    assert_eq!(running.by("publisher-all", "POST", "/v1/events", observation("1")).await.status, 503);
    assert_eq!(running.by("viewer-all", "GET", "/v1/alerts", "").await.status, 200, "reading goes on");
    assert_eq!(running.ask("GET", "/v1/alerts", &[], b"").await.status, 401, "what is refused stays refused");
    audit.set_down(false);
    assert_eq!(running.by("operator-d01", "POST", "/v1/commands", &order).await.status, 202);
    running.stop().await;
}

#[tokio::test]
async fn people_are_changed_by_administrators() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.yaml");
    let people = Arc::new(People::open(path).unwrap());
    let audit = MemoryAudit::new();
    let config = GatewayConfig { people: people.clone(), audit: Some(audit.clone()), local_token: Some("of-the-home".into()), ..GatewayConfig::default() };
    let running = Running::with(config, StreamHub::new(BTreeMap::new())).await;
    let add = |id: &str, role: &str| json!({"action": "add", "person": id, "name": {"zh": "人", "en": "person"}, "grants": [{"role": role}]}).to_string();
    let first = running.post("/v1/people", "application/json", add("root", "administrator")).await;
    assert_eq!(first.status, 201, "{}", first.text());
    assert_eq!(running.get("/v1/alerts").await.status, 401, "with somebody there the door asks who it is");
    let bearer = |token: &str| format!("Bearer {token}");
    let root = bearer(first.json()["token"].as_str().unwrap());
    let ask = async |header: &str, method: &str, path: &str, body: &str| running.ask(method, path, &[("authorization", header)], body.as_bytes()).await;
    let viewer = ask(&root, "POST", "/v1/people", &add("wang", "viewer")).await;
    assert_eq!(viewer.status, 201);
    let viewer = bearer(viewer.json()["token"].as_str().unwrap());
    assert_eq!(ask(&viewer, "GET", "/v1/alerts", "").await.status, 200);
    assert_eq!(ask(&viewer, "POST", "/v1/people", &add("li", "administrator")).await.status, 403);
    assert_eq!(ask(&root, "POST", "/v1/people", &add("wang", "viewer")).await.status, 409);
    assert_eq!(ask(&root, "POST", "/v1/people", &add("li", "emperor")).await.status, 409);
    let listed = ask(&root, "GET", "/v1/people", "").await;
    assert_eq!(listed.json()["items"].as_array().unwrap().len(), 2);
    assert!(!listed.text().contains("token"), "{}", listed.text());
    let home = bearer("of-the-home");
    assert_eq!(ask(&home, "GET", "/v1/devices", "").await.status, 200, "who has the files has the machine");
    assert_eq!(ask(&home, "POST", "/v1/commands", r#"{"action":"close","target":"a1","reason":"x"}"#).await.status, 403, "but decides nothing");
    assert_eq!(ask(&root, "POST", "/v1/people", r#"{"action":"remove","person":"wang"}"#).await.status, 201);
    assert_eq!(ask(&viewer, "GET", "/v1/alerts", "").await.status, 401);
    let actions: Vec<String> = audit.entries().iter().filter(|entry| entry.note.action.starts_with("people.")).map(|entry| format!("{} {}", entry.note.action, entry.note.outcome.name())).collect();
    assert_eq!(actions, ["people.add asked", "people.add done", "people.add asked", "people.add done", "people.add asked", "people.add refused", "people.add asked", "people.add refused", "people.remove asked", "people.remove done"]);
    running.stop().await;
}
