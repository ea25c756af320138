//! `citybrain doctor`: is this machine fit, is the home sound, is everything reachable; and what to do if not.

use std::net::TcpListener;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::cli::{Invocation, Ended};
use crate::lang::t;

/// Free space below which the doctor warns, GiB.
const DISK_FREE_GIB_MIN: u64 = 5;

#[derive(Serialize)]
struct Finding {
    check: &'static str,
    ok: bool,
    detail: String,
    advice: Option<String>,
}

/// Runs every check and prints what was found.
pub async fn run(context: &Invocation) -> Result<Ended> {
    let mut findings = vec![machine()];
    findings.push(disk(&context.global.home));
    let home = match context.home() {
        Ok(home) => {
            findings.push(ok("home", home.root().display().to_string()));
            Some(home)
        }
        Err(error) => {
            findings.push(bad("home", format!("{error:#}"), "choose another folder with --home".into()));
            None
        }
    };
    let running = home.as_ref().and_then(|home| home.running());
    match &running {
        Some(running) => findings.push(ok("process", format!("citybrain {} runs on this home", running.pid))),
        None => {
            findings.push(port("http port", context.config.http_listen));
            if context.global.kafka.is_none() {
                findings.push(port("kafka port", context.config.kafka_listen));
            }
        }
    }
    if let Some(servers) = context.global.kafka.clone().or(running.map(|running| running.kafka)) {
        findings.push(kafka(context, &servers).await);
    }
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        for finding in &findings {
            let mark = if finding.ok { t("正常", "ok  ") } else { t("注意", "MIND") };
            println!("{mark}  {:<12} {}", finding.check, finding.detail);
            if let Some(advice) = &finding.advice {
                println!("      {:<12} {advice}", "");
            }
        }
    }
    Ok(if findings.iter().all(|finding| finding.ok) { Ended::Done } else { Ended::Differs })
}

fn ok(check: &'static str, detail: String) -> Finding {
    Finding { check, ok: true, detail, advice: None }
}

fn bad(check: &'static str, detail: String, advice: String) -> Finding {
    Finding { check, ok: false, detail, advice: Some(advice) }
}

fn machine() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let detail = format!("citybrain {}, {} {}, {cores} cores", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
    ok("machine", detail)
}

fn disk(home: &Path) -> Finding {
    let existing = home.ancestors().find(|path| path.exists() && !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let output = std::process::Command::new("df").arg("-Pk").arg(existing).output();
    let free_gib = output.ok().and_then(|output| {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().nth(1)?.split_whitespace().nth(3)?.parse::<u64>().ok().map(|kib| kib / 1024 / 1024)
    });
    match free_gib {
        Some(free) if free < DISK_FREE_GIB_MIN => {
            bad("disk", format!("{free} GiB free at {}", existing.display()), "free some space or choose another folder with --home".into())
        }
        Some(free) => ok("disk", format!("{free} GiB free at {}", existing.display())),
        None => bad("disk", format!("could not read the free space at {}", existing.display()), "check it by hand (df -h)".into()),
    }
}

fn port(check: &'static str, address: std::net::SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => ok(check, format!("{address} is free")),
        Err(error) => bad(check, format!("{address}: {error}"), format!("stop what listens there, or set {} in the configuration", if check == "http port" { "http_listen" } else { "kafka_listen" })),
    }
}

async fn kafka(context: &Invocation, servers: &str) -> Finding {
    match crate::service::connect(context, servers).await {
        Ok(bus) => match bus.topics().await {
            Ok(topics) => ok("kafka", format!("{servers}: {} topics", topics.len())),
            Err(error) => bad("kafka", format!("{servers}: {error}"), "check that the cluster is up and the address is right".into()),
        },
        Err(error) => bad("kafka", format!("{servers}: {error:#}"), "check that the cluster is up and the address is right".into()),
    }
}
