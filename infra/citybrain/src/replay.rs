//! `citybrain replay`: the same decisions from the lake alone, compared digest by digest.
//!
//! A [`Replay`] holds a decision plane and no producer: it can compute effects and cannot perform them. With `--keep` the
//! recomputed effects are written to tables of their own, `replay_<run>.*`; `--model` shows what another language model would
//! have changed.

mod another_model;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use chrono::{DateTime, Utc};
use lakehouse::{Lake, TableName};
use schemas::event::Event;
use serde::Serialize;

use crate::cli::{Ended, Invocation, ReplayArgs, moment};
use crate::lake;
use crate::lang::t;
use crate::sequencer::{Core, stored_chain};

/// Journal records that are read at a time.
const PAGE_RECORDS: u64 = 50_000;

/// What a replay found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Records recomputed.
    pub records: u64,
    /// Records of the range that was asked for.
    pub records_in_range: u64,
    /// Effects recomputed in the range, by topic.
    pub effects: BTreeMap<String, u64>,
    /// First and last city time in the range.
    pub from: Option<DateTime<Utc>>,
    /// See `from`.
    pub to: Option<DateTime<Utc>>,
    /// The digest in the journal after the last record of the range.
    pub recorded_digest: String,
    /// The digest computed anew.
    pub computed_digest: String,
    /// Whether every digest of the range is equal.
    pub equal: bool,
    /// The first record whose digest differs.
    pub first_difference: Option<u64>,
    /// Seconds of the city's time for each second of the replay.
    pub speed: f64,
    /// Where the recomputed effects were written.
    pub schema: Option<String>,
}

/// Which records count.
#[derive(Clone, Debug, Default)]
pub struct Range {
    /// From this time on.
    pub from: Option<DateTime<Utc>>,
    /// Up to and including this time.
    pub to: Option<DateTime<Utc>>,
    /// Only effects of this incident.
    pub incident: Option<String>,
}

impl Range {
    /// Whether a time lies in it. Streams of several years may lie side by side, so a later record can still be in the range.
    fn holds(&self, time: DateTime<Utc>) -> bool {
        !(self.from.is_some_and(|from| time < from) || self.to.is_some_and(|to| time > to))
    }

    /// Whether it is about an effect of a record of this time.
    fn has(&self, time: DateTime<Utc>, event: &Event) -> bool {
        self.holds(time) && self.incident.as_ref().is_none_or(|incident| event.correlation_id.as_ref() == Some(incident))
    }
}

/// The journal in the lake, a page at a time.
struct Pages<'a> {
    lake: &'a Lake,
    next: u64,
}

impl<'a> Pages<'a> {
    async fn of(lake: &'a Lake) -> Result<Pages<'a>> {
        if !lake::has_table(lake, "bronze", "city_journal").await? {
            bail!("the lake has no journal yet (bronze.city_journal): import something or run the brain first");
        }
        Ok(Pages { lake, next: 0 })
    }

    /// The next records, each with its digest; nothing behind the last.
    async fn next(&mut self) -> Result<Option<Vec<(String, String)>>> {
        let query = format!(
            "SELECT \"offset\", data, extensions FROM bronze.city_journal WHERE \"offset\" >= {} AND \"offset\" < {} ORDER BY \"offset\"",
            self.next,
            self.next + PAGE_RECORDS
        );
        let rows = lake::rows(self.lake, &query).await?;
        self.next += rows.len() as u64;
        let records = rows.iter().map(|row| {
            let recorded = stored_chain(row.get("extensions").and_then(|value| value.as_str()))
                .with_context(|| format!("record {} has no chain digest", lake::integer(row, "offset")))?;
            Ok((lake::text(row, "data").to_owned(), recorded))
        });
        Ok(if rows.is_empty() { None } else { Some(records.collect::<Result<_>>()?) })
    }
}

/// A decision plane that recomputes and cannot act.
struct Replay {
    core: Core,
    report: Report,
}

impl Replay {
    /// Takes one record of the journal. Gives its effects when it is in the range.
    fn take(&mut self, range: &Range, json: &str, recorded: &str) -> Result<Vec<(String, Event)>> {
        let sequenced = self.core.apply_stored(json)?;
        let report = &mut self.report;
        report.records += 1;
        if !range.holds(sequenced.time) {
            return Ok(Vec::new());
        }
        report.records_in_range += 1;
        report.recorded_digest = recorded.to_string();
        report.computed_digest = sequenced.chain.clone();
        if recorded != sequenced.chain && report.first_difference.is_none() {
            report.first_difference = Some(sequenced.seq);
        }
        if sequenced.seq > 0 {
            report.from.get_or_insert(sequenced.time);
            report.to = Some(report.to.map_or(sequenced.time, |to| to.max(sequenced.time)));
        }
        let effects: Vec<_> = sequenced.effects.into_iter().filter(|(_, event)| range.has(sequenced.time, event)).collect();
        for (topic, _) in &effects {
            *report.effects.entry(topic.clone()).or_default() += 1;
        }
        Ok(effects)
    }
}

/// Recomputes the journal that the lake holds.
///
/// # Errors
/// When the lake has no journal, or a record cannot be read. A difference is no error: it is in the report.
pub async fn replay(lake: &Lake, range: &Range, keep: Option<&str>) -> Result<Report> {
    let mut pages = Pages::of(lake).await?;
    let started = Instant::now();
    let mut replay: Option<Replay> = None;
    let mut kept = Vec::new();
    while let Some(page) = pages.next().await? {
        for (json, recorded) in &page {
            let replay = match &mut replay {
                Some(replay) => replay,
                None => replay.insert(begin(json)?),
            };
            let effects = replay.take(range, json, recorded)?;
            if keep.is_some() {
                kept.extend(effects);
            }
        }
        if let Some(run) = keep {
            keep_effects(lake, run, &std::mem::take(&mut kept)).await?;
        }
    }
    let Some(Replay { mut report, .. }) = replay else { bail!("the journal in the lake is empty") };
    report.equal = report.first_difference.is_none() && report.recorded_digest == report.computed_digest;
    if let (Some(from), Some(to)) = (report.from, report.to) {
        report.speed = (to - from).num_milliseconds() as f64 / 1e3 / started.elapsed().as_secs_f64();
    }
    report.schema = keep.map(|run| format!("replay_{run}"));
    Ok(report)
}

fn begin(json: &str) -> Result<Replay> {
    let report = Report {
        records: 0,
        records_in_range: 0,
        effects: BTreeMap::new(),
        from: None,
        to: None,
        recorded_digest: String::new(),
        computed_digest: String::new(),
        equal: false,
        first_difference: None,
        speed: 0.0,
        schema: None,
    };
    Ok(Replay { core: Core::begin(json)?, report })
}

/// Writes recomputed effects to tables of the replay's own.
async fn keep_effects(lake: &Lake, run: &str, effects: &[(String, Event)]) -> Result<()> {
    let mut by_topic: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for (topic, event) in effects {
        by_topic.entry(topic).or_default().push(event);
    }
    for (topic, events) in by_topic {
        let texts = |of: fn(&Event) -> Option<String>| -> ArrayRef { Arc::new(events.iter().map(|event| of(event)).collect::<StringArray>()) };
        let times = events.iter().map(|event| event.time.map(|time| time.timestamp_micros())).collect::<TimestampMicrosecondArray>();
        let rows = RecordBatch::try_from_iter_with_nullable([
            ("ce_id", texts(|event| Some(event.id.clone())), true),
            ("ce_type", texts(|event| Some(event.event_type.clone())), true),
            ("ce_time", Arc::new(times.with_timezone("UTC")) as ArrayRef, true),
            ("key", texts(|event| event.partition_key.clone()), true),
            ("correlation_id", texts(|event| event.correlation_id.clone()), true),
            ("causation_id", texts(|event| event.causation_id.clone()), true),
            ("data", texts(|event| event.data.as_deref().map(|data| String::from_utf8_lossy(data).into_owned())), true),
        ])?;
        let table = TableName::new(format!("replay_{run}"), lake::table_of(topic));
        lake.append(&table, vec![rows], &[]).await?;
    }
    Ok(())
}

/// The command.
pub async fn run(context: &Invocation, args: ReplayArgs) -> Result<Ended> {
    let range = Range { from: moment("from", args.from.as_deref())?, to: moment("to", args.to.as_deref())?, incident: args.incident.clone() };
    let home = context.home()?;
    let lake = lake::open(&home).await?;
    if let Some(model) = &args.model {
        let difference = another_model::compare(&lake, &range, &context.config.llm, home.root(), model).await?;
        if context.global.json {
            println!("{}", serde_json::to_string_pretty(&difference)?);
        } else {
            another_model::print(&difference);
        }
        return Ok(Ended::Done);
    }
    let run = args.keep.then(|| Utc::now().format("%Y%m%d%H%M%S").to_string());
    let report = replay(&lake, &range, run.as_deref()).await?;
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print_report(&report);
    }
    Ok(if report.equal { Ended::Done } else { Ended::Differs })
}

/// The report for people.
pub fn print_report(report: &Report) {
    let time = |time: Option<DateTime<Utc>>| time.map_or("-".to_string(), |time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
    println!("{:<14}{}", t("重放记录", "records"), report.records_in_range);
    println!("{:<14}{} .. {}", t("城市时间", "city time"), time(report.from), time(report.to));
    for (topic, count) in &report.effects {
        println!("{:<14}{count:>8}  {topic}", "");
    }
    println!("{:<14}{}", t("日志摘要", "recorded"), report.recorded_digest);
    println!("{:<14}{}", t("重算摘要", "recomputed"), report.computed_digest);
    println!("{:<14}{:.0}x", t("速度", "speed"), report.speed);
    match report.first_difference {
        None if report.equal => println!("{}", t("一致：每条记录的摘要都相同", "equal: every record's digest is the same")),
        Some(seq) => println!("{} {seq}", t("不一致，最早的差异在记录", "DIFFERENT, first at record")),
        None => println!("{}", t("范围内没有记录", "no record in this range")),
    }
}
