//! `citybrain audit`: shows the audit, checks it, and writes it out as evidence.

use std::collections::BTreeMap;
use std::io::BufWriter;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use schemas::audit::{Checker, Entry, Head, Verdict};
use schemas::topics;
use serde_json::{Value, json};

use super::anchors::Anchors;
use super::bundle::{self, Bundle};
use crate::cli::{AuditAction, Ended, Invocation, moment};
use crate::home::Home;
use crate::lake::{self, Row, integer, quoted, text};
use crate::lang::t;
use crate::rows::Rows;
use crate::scan::scan;
use crate::service;

/// How long the log may give nothing before what comes next is taken for damaged.
const PATIENCE: Duration = Duration::from_secs(20);

/// A stored line: its offset in the log, and itself.
type Line = (i64, String);

/// The command.
pub async fn run(context: &Invocation, action: AuditAction) -> Result<Ended> {
    let home = context.home()?;
    match action {
        AuditAction::List { limit, from, to, actor, outcome } => {
            let mut conditions = vec!["true".to_owned()];
            for (column, value) in [("actor", actor), ("outcome", outcome)] {
                conditions.extend(value.map(|value| format!("{column} = {}", quoted(&value))));
            }
            for (option, sign, value) in [("from", ">=", from), ("to", "<", to)] {
                let time = moment(option, value.as_deref())?;
                conditions.extend(time.map(|time| format!("event_time {sign} to_timestamp_micros({})", time.timestamp_micros())));
            }
            list(context, &home, &conditions.join(" AND "), limit).await
        }
        AuditAction::Show { entry } => show(&home, &entry).await,
        AuditAction::Head => head(&home).await,
        AuditAction::Verify { file: Some(file), head, .. } => check_file(context, &file, kept(&head)?),
        AuditAction::Verify { from, to, head, file: None } => {
            verify(context, &home, moment("from", from.as_deref())?, moment("to", to.as_deref())?, kept(&head)?).await
        }
        AuditAction::Export { file, from, to } => export(context, &home, &file, moment("from", from.as_deref())?, moment("to", to.as_deref())?).await,
    }
}

fn kept(heads: &[String]) -> Result<Vec<Head>> {
    heads.iter().map(|head| Ok(head.parse()?)).collect()
}

async fn list(context: &Invocation, home: &Home, condition: &str, limit: usize) -> Result<Ended> {
    let lake = lake::open(home).await?;
    let mut rows: Vec<Row> = Vec::new();
    if lake::has_table(&lake, "silver", "audit").await? {
        let columns = "chain, seq, time, actor, door, remote, action, subject, outcome, status, reason, why, position, asked, details";
        rows = lake::rows(&lake, &format!("SELECT {columns} FROM silver.audit WHERE {condition} ORDER BY \"offset\" DESC LIMIT {limit}")).await?;
        rows.reverse();
    }
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else if rows.is_empty() {
        println!("{}", t("没有", "none"));
    } else {
        crate::items::print_table(&["seq", "time", "actor", "action", "subject", "outcome", "status", "reason", "why"], &rows);
    }
    Ok(Ended::Done)
}

async fn show(home: &Home, entry: &str) -> Result<Ended> {
    let lake = lake::open(home).await?;
    let condition = match entry.rsplit_once('/') {
        Some((chain, seq)) => format!("chain = {} AND seq = {}", quoted(chain), seq.parse::<u64>().context("CHAIN/NUMBER is wanted")?),
        None => format!("seq = {}", entry.parse::<u64>().context("a number, or CHAIN/NUMBER, is wanted")?),
    };
    let there = lake::has_table(&lake, "silver", "audit").await?;
    let rows = if there { lake::rows(&lake, &format!("SELECT * FROM silver.audit WHERE {condition} ORDER BY \"offset\"")).await? } else { Vec::new() };
    if rows.is_empty() {
        bail!("there is no entry {entry}: citybrain audit list shows them");
    }
    for row in rows {
        println!("{}", serde_json::to_string_pretty(&row)?);
    }
    Ok(Ended::Done)
}

/// The end of each chain, to be kept elsewhere.
async fn head(home: &Home) -> Result<Ended> {
    let mut heads: BTreeMap<String, Head> = BTreeMap::new();
    for (_, line) in landed(home).await? {
        if let Ok(entry) = Entry::from_json(&line) {
            heads.insert(entry.chain.clone(), entry.head());
        }
    }
    heads.values().for_each(|head| println!("{head}"));
    Ok(Ended::Done)
}

/// The lines of the lake, in the order of the log.
async fn landed(home: &Home) -> Result<Vec<Line>> {
    let lake = lake::open(home).await?;
    if !lake::has_table(&lake, "bronze", "audit").await? {
        return Ok(Vec::new());
    }
    let rows = lake::rows(&lake, "SELECT \"offset\", data FROM bronze.audit ORDER BY \"partition\", \"offset\"").await.context("the audit in the lake cannot be read")?;
    Ok(rows.iter().map(|row| (integer(row, "offset"), text(row, "data").to_owned())).collect())
}

/// The lines of the log: of the Kafka that is named or that runs, else of the broker of this home, which is started for it.
/// And what of it cannot be read, if something cannot: a client of Kafka waits for ever before a batch that was broken.
async fn logged(context: &Invocation, home: &Home) -> Result<(Vec<Line>, Option<String>)> {
    let running = home.running().map(|running| running.kafka);
    let (broker, servers, _lock) = match context.global.kafka.clone().or(running) {
        Some(servers) => (None, servers, None),
        None => {
            let lock = home.lock()?;
            let broker = service::start_broker(context, home, ([127, 0, 0, 1], 0).into()).await?;
            let servers = service::reachable(broker.addr());
            (Some(broker), servers, Some(lock))
        }
    };
    let bus = service::connect(context, &servers).await?;
    let mut lines = Vec::new();
    let next = AtomicI64::new(0);
    let reading = scan(&bus, topics::AUDIT, 0, |chunk| {
        next.store(chunk.next_offset, Ordering::Relaxed);
        for row in Rows::of(&chunk.rows)?.iter() {
            lines.push((row.offset, row.data.unwrap_or_default().to_owned()));
        }
        // What is no event any more has its place, too.
        lines.extend(chunk.rejected.iter().map(|rejected| (rejected.offset, String::new())));
        Ok(true)
    });
    let read = tokio::select! {
        read = reading => read.map(|()| None),
        offset = stuck(&next) => Ok(Some(format!("the log cannot be read from offset {offset} on: it was damaged there"))),
    };
    drop(bus);
    if let Some(broker) = broker
        && matches!(read, Ok(None))
    {
        broker.shutdown().await;
    }
    let unreadable = read.context("the audit on the log cannot be read")?;
    lines.sort_by_key(|(offset, _)| *offset);
    Ok((lines, unreadable))
}

/// Comes back when nothing more is read, with the offset where that is.
async fn stuck(next: &AtomicI64) -> i64 {
    let mut before = -1;
    loop {
        let now = next.load(Ordering::Relaxed);
        if now == before {
            return now;
        }
        before = now;
        tokio::time::sleep(PATIENCE).await;
    }
}

async fn verify(context: &Invocation, home: &Home, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>, mut kept: Vec<Head>) -> Result<Ended> {
    let ((log, unreadable), lake) = (logged(context, home).await?, landed(home).await?);
    let anchors = Anchors::of(home.dir("audit")).all()?;
    let anchored = anchors.len();
    // A head from behind the stretch says nothing about it.
    kept.extend(anchors.into_iter().filter(|(anchor, _)| to.is_none_or(|to| anchor.time < to)).map(|(_, head)| head));
    let mut wrong = compared(&log, &lake);
    let (before, stretch) = cut(&log, from, to);
    let mut checker = before.into_iter().fold(Checker::new(kept), Checker::begin_after);
    stretch.iter().for_each(|(_, line)| checker.take(line));
    let verdict = checker.finish();
    wrong.splice(0..0, verdict.flaws.iter().map(ToString::to_string).chain(unreadable));
    tell(context, &verdict, &wrong, json!({ "in_lake": lake.len(), "anchors": anchored }))
}

/// The lines from a time up to another, and the heads that they follow from.
fn cut(lines: &[Line], from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> (Vec<Head>, &[Line]) {
    let time = |line: &Line| Entry::from_json(&line.1).ok().map(|entry| entry.note.time);
    let begin = from.map_or(0, |from| lines.iter().position(|line| time(line).is_some_and(|time| time >= from)).unwrap_or(lines.len()));
    let end = to.map_or(lines.len(), |to| lines.iter().rposition(|line| time(line).is_none_or(|time| time < to)).map_or(0, |last| last + 1));
    let mut heads = BTreeMap::new();
    for (_, line) in &lines[..begin] {
        if let Ok(entry) = Entry::from_json(line) {
            heads.insert(entry.chain.clone(), entry.head());
        }
    }
    (heads.into_values().collect(), &lines[begin..end.max(begin)])
}

/// Where the log and its copy in the lake differ.
fn compared(log: &[Line], lake: &[Line]) -> Vec<String> {
    let logged: BTreeMap<i64, &str> = log.iter().map(|(offset, line)| (*offset, line.as_str())).collect();
    let mut wrong = Vec::new();
    for (offset, line) in lake {
        match logged.get(offset) {
            Some(there) if *there == line => {}
            Some(_) => wrong.push(format!("log and lake differ at offset {offset}: one of them was altered")),
            None => wrong.push(format!("the lake has an entry at offset {offset} that the log has not: the log was cut")),
        }
    }
    let (first, last) = (lake.first().map(|(offset, _)| *offset), lake.last().map(|(offset, _)| *offset));
    if let (Some(first), Some(last)) = (first, last) {
        let within = log.iter().filter(|(offset, _)| (first..=last).contains(offset)).count();
        let before = log.iter().filter(|(offset, _)| *offset < first).count();
        if within > lake.len() || before > 0 {
            wrong.push(format!("the log has {} entries up to offset {last} that the lake has not: the lake was cut", within + before - lake.len().min(within)));
        }
    }
    wrong
}

fn check_file(context: &Invocation, file: &Path, kept: Vec<Head>) -> Result<Ended> {
    let input = std::fs::File::open(file).with_context(|| format!("could not open {}", file.display()))?;
    let (verdict, wrong) = bundle::check(std::io::BufReader::new(input), kept).with_context(|| format!("{} cannot be checked", file.display()))?;
    let all: Vec<String> = verdict.flaws.iter().map(ToString::to_string).chain(wrong).collect();
    tell(context, &verdict, &all, json!({ "file": file.display().to_string() }))
}

fn tell(context: &Invocation, verdict: &Verdict, wrong: &[String], more: Value) -> Result<Ended> {
    let heads: Vec<String> = verdict.heads.iter().map(Head::to_string).collect();
    if context.global.json {
        let mut told = json!({ "whole": wrong.is_empty(), "entries": verdict.entries, "heads": heads, "flaws": wrong });
        told.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        let verdict_text = if wrong.is_empty() { t("完整", "whole") } else { t("被改动", "ALTERED") };
        println!("{} {}: {verdict_text}", verdict.entries, t("条审计", "entries"));
        wrong.iter().for_each(|flaw| println!("  {flaw}"));
        println!("{}", t("链末端（请另存他处，以便发现截断）：", "heads (keep them elsewhere, to find what is cut off):"));
        heads.iter().for_each(|head| println!("  {head}"));
    }
    Ok(if wrong.is_empty() { Ended::Done } else { Ended::Differs })
}

async fn export(context: &Invocation, home: &Home, file: &Path, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Result<Ended> {
    let (lines, unreadable) = logged(context, home).await?;
    let (before, stretch) = cut(&lines, from, to);
    let out = std::fs::File::create(file).with_context(|| format!("could not create {}", file.display()))?;
    let about = json!({
        "from": from, "to": to, "exported": Utc::now(),
        "hash": "SHA-256 of an entry without `hash`, as JSON with sorted names and without spaces; `prev` is the hash of the entry before in its chain",
        "sha256": "SHA-256 of (the digest before, a line feed, the line), over all lines but the last, beginning with an empty digest",
    });
    let mut bundle = Bundle::begin(BufWriter::new(out), &before, about)?;
    for (_, line) in stretch {
        bundle.add(line)?;
    }
    let verdict = bundle.end()?;
    let wrong: Vec<String> = verdict.flaws.iter().map(ToString::to_string).chain(unreadable).collect();
    tell(context, &verdict, &wrong, json!({ "file": file.display().to_string() }))
}

#[cfg(test)]
mod tests {
    use schemas::audit::Note;

    use super::*;

    fn lines(count: i64) -> Vec<Line> {
        let mut head = Head::of_new("c");
        (0..count)
            .map(|number| {
                let time = DateTime::from_timestamp(1_700_000_000 + number * 60, 0).unwrap();
                let entry = Entry::after(&head, Note::new("wang", "http", "command.close", time));
                head = entry.head();
                (number, entry.to_json())
            })
            .collect()
    }

    #[test]
    fn log_and_lake_are_compared() {
        let log = lines(6);
        assert_eq!(compared(&log, &log[..4]), Vec::<String>::new(), "the lake may be behind");
        assert!(compared(&log[..4], &log).len() == 2, "the log may not");
        let mut altered = log.clone();
        altered[2].1 = altered[2].1.replace("wang", "wung");
        assert!(compared(&log, &altered)[0].contains("offset 2"));
        let holes = [&log[..2], &log[3..]].concat();
        assert_eq!(compared(&log, &holes).len(), 1);
        assert_eq!(compared(&log, &log[1..]).len(), 1);
    }

    #[test]
    fn a_bundle_of_a_stretch_is_whole_and_every_flip_shows() {
        let log = lines(6);
        let time = |number: usize| Entry::from_json(&log[number].1).unwrap().note.time;
        let (before, stretch) = cut(&log, Some(time(2)), Some(time(5)));
        assert_eq!((before[0].next, stretch.len()), (2, 3));
        let mut bytes = Vec::new();
        let mut bundle = Bundle::begin(&mut bytes, &before, json!({})).unwrap();
        stretch.iter().for_each(|(_, line)| bundle.add(line).unwrap());
        bundle.end().unwrap();
        let (verdict, wrong) = bundle::check(bytes.as_slice(), Vec::new()).unwrap();
        assert_eq!((verdict.entries, verdict.flaws.len(), wrong.len()), (3, 0, 0));
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1;
            let whole = bundle::check(flipped.as_slice(), Vec::new()).is_ok_and(|(verdict, wrong)| verdict.flaws.is_empty() && wrong.is_empty());
            assert!(!whole, "byte {place}");
        }
    }
}
