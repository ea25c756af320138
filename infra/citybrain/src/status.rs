//! `citybrain status`: each part with its health, lag and counts, by the names of 1-2-3-4-M-N-X.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cli::{Invocation, Ended};
use crate::home::Running;
use crate::lake::{self, integer, text};
use crate::lang::t;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

#[derive(Serialize)]
struct Status {
    home: String,
    running: Option<u32>,
    kafka: Option<String>,
    http: Option<String>,
    ready: bool,
    parts: Vec<Value>,
    /// The small models that are asked, and those that cannot be; nothing when no brain runs.
    models: Option<Value>,
    tables: u64,
    counts: Vec<(String, i64)>,
    last_event: Option<String>,
    anatomy: Vec<Organ>,
}

/// One of the report's 1-2-3-4-M-N-X.
#[derive(Serialize)]
struct Organ {
    group: &'static str,
    zh: &'static str,
    en: &'static str,
    /// What stands for it here; nothing when it is not built yet.
    is: Option<String>,
}

/// The command.
pub async fn run(context: &Invocation) -> Result<Ended> {
    let home = context.home()?;
    let running = home.running();
    let health = match running.as_ref() {
        Some(running) if running.http.is_some() => Some(get(running, "/health/ready").await?),
        _ => None,
    };
    let models = match running.as_ref() {
        Some(running) if running.http.is_some() => get(running, "/v1/models").await.ok().filter(|models| models["items"].is_array()),
        _ => None,
    };
    let count = models.as_ref().and_then(|models| models["items"].as_array()).map(Vec::len);
    let lake = lake::open(&home).await?;
    let tables = lake::rows(&lake, "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema IN ('bronze', 'silver', 'gold', 'ops')").await?;
    let mut counts = Vec::new();
    let mut last_event = None;
    for table in tables.iter().filter(|row| text(row, "table_schema") == "bronze") {
        let name = text(table, "table_name");
        let rows = lake::rows(&lake, &format!("SELECT count(*) AS n, CAST(max(ce_time) AS VARCHAR) AS last FROM bronze.\"{name}\"")).await?;
        let Some(row) = rows.first() else { continue };
        if integer(row, "n") > 0 {
            counts.push((format!("bronze.{name}"), integer(row, "n")));
        }
        if name.starts_with("raw_") {
            last_event = last_event.max(Some(text(row, "last").to_owned()).filter(|time| !time.is_empty()));
        }
    }
    counts.sort();
    let scenarios = schemas::topics::SCENARIOS.len();
    let jobs = crate::jobs::Catalog::new(&home).look()?.len();
    let parts = health.as_ref().and_then(|health| health["parts"].as_array().cloned()).unwrap_or_default();
    let status = Status {
        home: home.root().display().to_string(),
        running: running.as_ref().map(|running| running.pid),
        kafka: running.as_ref().map(|running| running.kafka.clone()),
        http: running.as_ref().and_then(|running| running.http.clone()),
        ready: health.as_ref().is_some_and(|health| health["status"] == "ready"),
        parts,
        models,
        tables: tables.len() as u64,
        counts,
        last_event,
        anatomy: anatomy(tables.len(), scenarios, jobs, count),
    };
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        print(&status);
    }
    Ok(Ended::Done)
}

/// What of the report's anatomy is here. What is not built yet says so.
fn anatomy(tables: usize, scenarios: usize, jobs: usize, models: Option<usize>) -> Vec<Organ> {
    let organ = |group, zh, en, is: Option<String>| Organ { group, zh, en, is };
    let some = |text: &str| Some(text.to_owned());
    vec![
        organ("1", "智能云底座", "intelligent cloud base", some("one process: broker, lake, brain")),
        organ("2", "安全保障体系", "security", some("masking at the door, people with roles by domain and area, SASL, hash-chained journal and audit")),
        organ("2", "智能运维体系", "AIOps", some("/health, /metrics, status, doctor, replay")),
        organ("3", "数据平台", "data platform", some("Kafka, DataFusion, Delta Lake")),
        organ("3", "模型平台", "model platform", some("small models: train, gate, promote, roll back")),
        organ("3", "智能体平台", "agent platform", some("rules, small models after them")),
        organ("4", "算力运营", "compute operations", None),
        organ("4", "模型运营", "model operations", some("shadows, drift, agreement with people: /v1/models, gold.label")),
        organ("4", "数据运营", "data operations", some("event types as files, dead letters, upkeep")),
        organ("4", "生态运营", "ecosystem operations", None),
        organ("M", "数据资源", "data resources", Some(format!("{tables} tables"))),
        organ("N", "模型资源", "model resources", Some(models.map_or_else(|| "models are asked while the brain runs".to_owned(), |count| format!("{count} models asked")))),
        organ("X", "应用", "applications", Some(format!("{scenarios} scenarios, {jobs} jobs"))),
    ]
}

fn print(status: &Status) {
    let running = status.running.map_or_else(|| t("未运行", "not running").to_owned(), |pid| format!("{} {pid}", t("运行中，进程", "running, process")));
    println!("{:<10} {}  ({running})", t("目录", "home"), status.home);
    for (name, value) in [("Kafka", &status.kafka), ("HTTP", &status.http)] {
        if let Some(value) = value {
            println!("{name:<10} {value}");
        }
    }
    for part in &status.parts {
        let mark = if part["ready"] == true { t("正常", "ok  ") } else { t("故障", "DOWN") };
        println!("  {mark}  {:<10} {}", part["part"].as_str().unwrap_or_default(), part["detail"].as_str().unwrap_or_default());
    }
    if let Some(models) = &status.models {
        for model in models["items"].as_array().into_iter().flatten() {
            let field = |name: &str| model[name].as_str().unwrap_or_default();
            let mark = if model["drifted"] == true { t("输入已漂移", "inputs drifted") } else { "" };
            let digest: String = field("digest").chars().take(12).collect();
            println!(
                "  {}  {:<10} {} {digest}  {} {}  {} {}/{}  {mark}",
                field("role"),
                field("task"),
                field("name"),
                model["answers"],
                t("次回答", "answers"),
                t("与人一致", "people agreed"),
                model["people"]["agreed"],
                model["people"]["compared"],
            );
        }
        for problem in models["problems"].as_array().into_iter().flatten() {
            println!("  {}  {}", t("模型不可用", "model unusable"), problem.as_str().unwrap_or_default());
        }
    }
    if let Some(last) = &status.last_event {
        println!("{:<10} {last}", t("最新事件", "last event"));
    }
    for (table, count) in &status.counts {
        println!("  {count:>12}  {table}");
    }
    for organ in &status.anatomy {
        let is = organ.is.as_deref().unwrap_or(t("尚未建成", "not built yet"));
        println!("  {}  {:<24} {is}", organ.group, t(organ.zh, organ.en));
    }
}

/// Reads something from the running brain.
///
/// # Errors
/// When it does not answer, or not with JSON.
pub async fn get(running: &Running, path: &str) -> Result<Value> {
    Ok(ask(running, "GET", path, "").await?.1)
}

/// Asks the running brain; gives the status and the body of the answer.
///
/// # Errors
/// When it does not answer, or not with JSON.
pub async fn ask(running: &Running, method: &str, path: &str, body: &str) -> Result<(u16, Value)> {
    let url = running.http.as_deref().unwrap_or_default();
    let address = url.strip_prefix("http://").unwrap_or(url);
    let asked = async {
        let mut socket = TcpStream::connect(address).await?;
        let token = running.token.as_ref().map_or_else(String::new, |token| format!("authorization: Bearer {token}\r\n"));
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.0\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{token}\r\n");
        socket.write_all(format!("{head}{body}").as_bytes()).await?;
        let mut answer = String::new();
        socket.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = asked.await.with_context(|| format!("citybrain {} does not answer at {url}", running.pid))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = serde_json::from_str(body).with_context(|| format!("{url}{path} did not answer with JSON"))?;
    Ok((code, body))
}
