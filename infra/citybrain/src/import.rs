//! `citybrain import`: real files in, through the door of the brain that runs on this home, or through one of its own.

use std::io::IsTerminal;
use std::sync::Arc;

use anyhow::{Context, Result};
use gateway::import::mapping::Mapping;
use gateway::refusal::Incoming;
use gateway::steps::Tally;
use gateway::{AuditLog as _, Cancel, DoorSink, HttpSink, ImportOptions, ImportReport, Importer, Sink, Types};

use schemas::audit::Outcome;

use crate::audit;
use crate::cli::{Invocation, Ended, ImportArgs};
use crate::home::{Home, Running};
use crate::lang::{self, Lang, t};
use crate::parts::Parts;
use crate::service::{Options, Service};
use crate::types_dir::TypesDir;

/// The command.
pub async fn run(context: &Invocation, args: ImportArgs) -> Result<Ended> {
    let mapping = Mapping::load(&args.mapping)?;
    let home = context.home()?;
    let cancel = Cancel::default();
    let stopping = cancel.clone();
    tokio::spawn(async move {
        if crate::run::asked_to_stop().await.is_ok() {
            stopping.cancel();
        }
    });
    let options = ImportOptions {
        speed: args.speed,
        progress: !context.global.quiet && std::io::stderr().is_terminal(),
        chinese: lang::lang() == Lang::Zh,
        work_dir: home.dir("tmp"),
        cancel,
        ..ImportOptions::default()
    };
    std::fs::create_dir_all(&options.work_dir).with_context(|| format!("could not create {}", options.work_dir.display()))?;
    let report = match context.running(&home) {
        Some(running) => {
            let mut types = TypesDir::open(&home.dir("schemas"))?;
            // What is refused there is told by the brain that runs.
            let _ = types.look();
            let types = Arc::new(Types::new(types.registry()));
            Importer::new(mapping, types, http_sink(&running)?, options).run(&args.files).await?
        }
        None => {
            let service = Service::start(context, &home, &Options::quiet(), Parts::new()).await?;
            let imported = Importer::new(mapping, service.types.clone(), DoorSink::new(service.door.clone()), options).run(&args.files).await;
            let mut note = audit::by_hand("import");
            note.subject = Some(args.mapping.clone());
            note.details.insert("files".to_owned(), args.files.len().to_string());
            if let Ok(report) = &imported {
                for (name, count) in [("accepted", report.accepted), ("duplicate", report.duplicate), ("refused", report.refused)] {
                    note.details.insert(name.to_owned(), count.to_string());
                }
            } else {
                note.outcome = Outcome::Failed;
            }
            let noted = service.audit.append(note).await;
            // What got in is worked off before the process ends, also when the import broke off.
            let settled = service.settle().await;
            let stopped = service.stop().await;
            let report = imported?;
            settled?;
            stopped?;
            noted.context("the audit did not take the import")?;
            report
        }
    };
    print(context, &report)?;
    Ok(if report.refused > 0 { Ended::Refused } else { Ended::Done })
}

fn http_sink(running: &Running) -> Result<HttpSink> {
    let url = running.http.as_deref().with_context(|| {
        format!("citybrain {} uses this home and has no HTTP door: stop it first, or run `citybrain run` with doors", running.pid)
    })?;
    let address = url.strip_prefix("http://").unwrap_or(url);
    Ok(HttpSink::new(address, running.token.clone()))
}

fn print(context: &Invocation, report: &ImportReport) -> Result<()> {
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    println!(
        "{} {}  {} {}  {} {}  {} {}  ({:.1} s)",
        t("读取", "read"), report.read,
        t("接收", "accepted"), report.accepted,
        t("重复", "duplicate"), report.duplicate,
        t("拒收", "refused"), report.refused,
        report.elapsed_ms as f64 / 1e3
    );
    for row in report.refused_listed.iter().take(10) {
        let place = row.place.row.map_or_else(String::new, |number| format!("{} {number}: ", t("第几行", "row")));
        eprintln!("  {place}{}", t(&row.refusal.reason_zh, &row.refusal.reason));
    }
    if report.refused > 0 {
        eprintln!("  {}", t("全部被拒收的数据：citybrain dlq list", "all of what was refused: citybrain dlq list"));
    }
    if report.cancelled {
        eprintln!("  {}", t("已中止；再次导入不会重复", "stopped before the end; importing again doubles nothing"));
    }
    Ok(())
}

/// Gives events to the door of this home, and waits until all is durable: what `dlq retry` does.
///
/// # Errors
/// When the door cannot be reached.
pub async fn submit(context: &Invocation, events: Vec<Incoming>) -> Result<Tally> {
    let home: Home = context.home()?;
    if let Some(running) = context.running(&home) {
        return hand_over(http_sink(&running)?, events).await;
    }
    let service = Service::start(context, &home, &Options::quiet(), Parts::new()).await?;
    let tally = hand_over(DoorSink::new(service.door.clone()), events).await;
    let mut note = audit::by_hand("dlq.retry");
    for (name, count) in tally.iter().flat_map(|tally| [("accepted", tally.accepted), ("duplicate", tally.duplicate), ("refused", tally.refused)]) {
        note.details.insert(name.to_owned(), count.to_string());
    }
    let noted = service.audit.append(note).await;
    let settled = service.settle().await;
    let stopped = service.stop().await;
    let tally = tally?;
    settled?;
    stopped?;
    noted.context("the audit did not take the retry")?;
    Ok(tally)
}

async fn hand_over(mut sink: impl Sink, events: Vec<Incoming>) -> Result<Tally> {
    sink.put(events).await?;
    sink.finish().await?;
    Ok(sink.tally().clone())
}
