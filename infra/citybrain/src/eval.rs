//! `citybrain eval`: what the brain makes of real data, each figure beside its baseline.

mod cities;
mod incidents;
mod signals;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bus::cpu_time;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::America::Chicago;
use gateway::import::mapping::Mapping;
use gateway::{DoorSink, ImportOptions, Importer};
use serde::Serialize;

use crate::bench::{forget_peak, peak_mib, scratch_home};
use crate::cli::{Invocation, Ended, EvalArgs};
use crate::lake::{self, integer, text};
use crate::lang::t;
use crate::parts::Parts;
use crate::replay::{Range, replay};
use crate::service::{Options, Service};

const EVALS: [(&str, &str, &str); 4] = [
    ("cities", "四座城市的真实工单：吞吐、内存、责任单位、时限", "Real work orders of four cities: throughput, memory, units, deadlines"),
    ("houston", "休斯敦 2011-2017：每一次积水预警，与固定门限并列", "Houston 2011-2017: every flooding alert, beside a fixed threshold"),
    ("incidents", "脚本化的级联事件及其随机变化：归组、预见、误报、定级，与仅用阈值并列", "Scripted cascades and variations of them: grouping, foresight, false alarms, grades, beside thresholds alone"),
    ("taipei", "台北 140 万件案件：吞吐、内存、重放", "1.4 million cases of Taipei: throughput, memory, replay"),
];
/// The baseline: an alert whenever so many reports came in one hour of the clock.
const BASELINE_REPORTS_PER_HOUR: i64 = 7;
/// Hours above the baseline that are closer than this are one alert.
const BASELINE_GAP: TimeDelta = TimeDelta::hours(24);

/// A file of the data folder: `CITYBRAIN_DATA`, or `../shared/data` beside a checkout. `None` when it is not there.
pub fn data_file(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("CITYBRAIN_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    Some(root.join(path)).filter(|file| file.is_file())
}

/// The command.
pub async fn run(context: &Invocation, args: EvalArgs) -> Result<Ended> {
    match args.name.as_str() {
        "list" => {
            for (name, zh, en) in EVALS {
                println!("{name:<10} {}", t(zh, en));
            }
            for (name, zh, en, _) in offline::eval::ALL {
                println!("{name:<10} {}", t(zh, en));
            }
            Ok(Ended::Done)
        }
        "cities" => cities::run(context).await,
        "houston" => houston(context).await,
        "incidents" => incidents::run(context, &args).await,
        "taipei" => taipei(context).await,
        "pii" => crate::small::run(context, move |offline| offline::eval::pii::run_seeded(offline, args.seed)).await,
        other => match offline::eval::ALL.into_iter().find(|(name, ..)| *name == other) {
            Some((.., run)) => crate::small::run(context, run).await,
            None => bail!("there is no evaluation {other}: citybrain eval list shows them"),
        },
    }
}

/// A run of one file through everything.
struct Through {
    service: Service,
    events: u64,
    refused: u64,
    seconds: f64,
    cpu_seconds: f64,
    peak_mib: u64,
}

async fn through_everything(context: &Invocation, name: &str, mapping: &str, file: &str) -> Result<Through> {
    let path = data_file(file).with_context(|| format!("{file} is not here: name the data folder in CITYBRAIN_DATA"))?;
    let home = scratch_home(context, &format!("eval-{name}"))?;
    let service = Service::start(context, &home, &Options::quiet(), Parts::new()).await?;
    forget_peak();
    let (begun, cpu) = (Instant::now(), cpu_time());
    let options = ImportOptions { progress: !context.global.quiet, work_dir: home.root().to_path_buf(), ..ImportOptions::default() };
    let report = Importer::new(Mapping::load(mapping)?, service.types.clone(), DoorSink::new(service.door.clone()), options).run(&[path]).await?;
    service.settle().await?;
    Ok(Through {
        service,
        events: report.accepted,
        refused: report.refused,
        seconds: begun.elapsed().as_secs_f64(),
        cpu_seconds: cpu_time().saturating_sub(cpu).as_secs_f64(),
        peak_mib: peak_mib(),
    })
}

#[derive(Serialize)]
struct Houston {
    events: u64,
    seconds: f64,
    alerts: Vec<AlertFound>,
    /// When the alert of Harvey rose, local time.
    harvey_raised: Option<String>,
    /// When its level first rose.
    harvey_upgraded: Option<String>,
    harvey_in_time: bool,
    upgraded_in_time: bool,
    floods_found: Vec<(String, bool)>,
    baseline_alerts: usize,
    baseline_harvey: Option<String>,
    replay_equal: bool,
}

#[derive(Serialize)]
struct AlertFound {
    scenario: String,
    raised: String,
    level: i64,
    reports: i64,
}

fn local(us: i64) -> DateTime<chrono_tz::Tz> {
    DateTime::<Utc>::from_timestamp_micros(us).unwrap_or_default().with_timezone(&Chicago)
}

fn shown(us: i64) -> String {
    local(us).format("%Y-%m-%d %H:%M").to_string()
}

/// A time column in microseconds since 1970.
fn us(column: &str) -> String {
    format!("CAST(arrow_cast({column}, 'Timestamp(Microsecond, None)') AS BIGINT)")
}

async fn houston(context: &Invocation) -> Result<Ended> {
    let through = through_everything(context, "houston", "houston", "work_orders/houston311_2011_2017.parquet").await?;
    let lake = &through.service.lake;
    let rows = lake::rows(
        lake,
        &format!(
            "SELECT alert, scenario, min({}) AS raised, min(level) AS level, max(evidence_count) AS reports, \
             min(CASE WHEN change = 'upgraded' THEN {} END) AS upgraded FROM silver.alert_transition GROUP BY alert, scenario ORDER BY raised",
            us("\"at\""),
            us("\"at\"")
        ),
    )
    .await?;
    let flooding: Vec<_> = rows.iter().filter(|row| text(row, "scenario") == "urban_flooding").collect();
    let on = |day: &str| flooding.iter().find(|row| local(integer(row, "raised")).format("%Y-%m-%d").to_string() == day);
    let harvey = on("2017-08-26");
    let hour = |us: i64| local(us).format("%H:%M").to_string();
    let reports = lake::rows(
        lake,
        &format!(
            "SELECT {} AS hour, count(*) AS n FROM silver.workorder_created WHERE category LIKE '%lood%' GROUP BY 1 HAVING count(*) >= {BASELINE_REPORTS_PER_HOUR} ORDER BY 1",
            us("date_trunc('hour', event_time)")
        ),
    )
    .await?;
    let baseline = episodes(&reports.iter().map(|row| integer(row, "hour")).collect::<Vec<_>>());
    let replayed = replay(lake, &Range::default(), None).await?;
    let found = Houston {
        events: through.events,
        seconds: through.seconds,
        harvey_raised: harvey.map(|row| shown(integer(row, "raised"))),
        harvey_upgraded: harvey.map(|row| integer(row, "upgraded")).filter(|us| *us > 0).map(shown),
        harvey_in_time: harvey.is_some_and(|row| ("07:00".."09:00").contains(&hour(integer(row, "raised")).as_str())),
        upgraded_in_time: harvey.is_some_and(|row| {
            let upgraded = local(integer(row, "upgraded"));
            upgraded.format("%Y-%m-%d").to_string() == "2017-08-26" && upgraded.format("%H:%M").to_string().as_str() < "22:00"
        }),
        floods_found: [("2015-05-25", "2015-05-26"), ("2016-04-18", "2016-04-18")]
            .iter()
            .map(|(first, last)| (format!("{first}..{last}"), on(first).or(on(last)).is_some()))
            .collect(),
        baseline_alerts: baseline.len(),
        baseline_harvey: baseline.iter().map(|us| shown(*us)).find(|time| time.starts_with("2017-08-26")),
        alerts: rows
            .iter()
            .map(|row| AlertFound { scenario: text(row, "scenario").to_owned(), raised: shown(integer(row, "raised")), level: integer(row, "level"), reports: integer(row, "reports") })
            .collect(),
        replay_equal: replayed.equal,
    };
    through.service.stop().await?;
    let right = found.harvey_in_time && found.upgraded_in_time && found.floods_found.iter().all(|(_, found)| *found) && found.replay_equal;
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print_houston(&found);
    }
    Ok(if right { Ended::Done } else { Ended::Differs })
}

/// Begins of runs of hours that lie close together.
fn episodes(hours_us: &[i64]) -> Vec<i64> {
    let gap_us = BASELINE_GAP.num_microseconds().expect("a day has few microseconds");
    let begins = |(index, hour): (usize, &i64)| (index == 0 || hour - hours_us[index - 1] > gap_us).then_some(*hour);
    hours_us.iter().enumerate().filter_map(begins).collect()
}

fn print_houston(found: &Houston) {
    println!("{} {}, {:.1} s", found.events, t("条事件", "events"), found.seconds);
    println!("{}", t("预警（当地时间，级别，报告数）", "alerts (local time, level, reports)"));
    for alert in &found.alerts {
        println!("  {}  {}  {:>5}  {}", alert.raised, alert.level, alert.reports, alert.scenario);
    }
    let yes = |right: bool| if right { t("是", "yes") } else { t("否", "NO") };
    let time = |time: &Option<String>| time.clone().unwrap_or_else(|| "-".to_owned());
    println!("{:<44} {}  {}", t("哈维预警（应在 07:00-09:00）", "Harvey's alert (due 07:00-09:00)"), time(&found.harvey_raised), yes(found.harvey_in_time));
    println!("{:<44} {}  {}", t("第二波升级（应在 22:00 前）", "second wave raises its level (before 22:00)"), time(&found.harvey_upgraded), yes(found.upgraded_in_time));
    for (days, there) in &found.floods_found {
        println!("{:<44} {}", format!("{} {days}", t("洪水", "flood of")), yes(*there));
    }
    println!(
        "{:<44} {} {}, {}",
        t("基线：每小时固定门限", "baseline: a fixed count in an hour"), found.baseline_alerts, t("次预警", "alerts"), time(&found.baseline_harvey)
    );
    println!("{:<44} {}", t("重放一致", "replay equal"), yes(found.replay_equal));
}

#[derive(Serialize)]
struct Taipei {
    events: u64,
    refused: u64,
    seconds: f64,
    events_per_second: f64,
    cpu_seconds_per_million: f64,
    peak_mib: u64,
    cases: i64,
    alerts: i64,
    /// Reading and decoding the same topic, nothing else.
    floor_events_per_second: f64,
    replay_equal: bool,
    replay_records: u64,
    /// Seconds of the city's time for each second of the replay.
    replay_speed: f64,
}

async fn taipei(context: &Invocation) -> Result<Ended> {
    let through = through_everything(context, "taipei", "taipei", "dispatch_cases/taipei1999_2015_2024.parquet").await?;
    let lake = &through.service.lake;
    let cases = lake::rows(lake, "SELECT count(DISTINCT \"case\") AS n FROM silver.case_transition").await?;
    let alerts = lake::rows(lake, "SELECT count(DISTINCT alert) AS n FROM silver.alert_transition").await?;
    let floor = bus::consume_floor(&through.service.bus, "raw.workorder", true).await?;
    let replayed = replay(lake, &Range::default(), None).await?;
    let n = |rows: &[lake::Row]| rows.first().map_or(0, |row| integer(row, "n"));
    let found = Taipei {
        events: through.events,
        refused: through.refused,
        seconds: through.seconds,
        events_per_second: through.events as f64 / through.seconds,
        cpu_seconds_per_million: through.cpu_seconds * 1e6 / through.events.max(1) as f64,
        peak_mib: through.peak_mib,
        cases: n(&cases),
        alerts: n(&alerts),
        floor_events_per_second: floor.events_per_second(),
        replay_equal: replayed.equal,
        replay_records: replayed.records,
        replay_speed: replayed.speed,
    };
    through.service.stop().await?;
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        println!("{} {}, {} {}", found.events, t("条事件", "events"), found.refused, t("条被拒收", "refused"));
        println!(
            "  {:.0} events/s, {:.1} CPU-s per million, {} {} MiB ({}: {:.0} events/s)",
            found.events_per_second, found.cpu_seconds_per_million, t("内存峰值", "peak memory"), found.peak_mib, t("只读取并解码", "consume and decode only"), found.floor_events_per_second
        );
        println!("  {} {}, {} {}", found.cases, t("件案件", "cases"), found.alerts, t("次预警", "alerts"));
        println!("  {} {} {}, {:.0}x", t("重放", "replay"), found.replay_records, if found.replay_equal { t("一致", "equal") } else { t("不一致", "DIFFERENT") }, found.replay_speed);
    }
    Ok(if found.replay_equal { Ended::Done } else { Ended::Differs })
}

#[cfg(test)]
mod tests {
    #[test]
    fn hours_close_together_are_one_alert() {
        let hour = 3_600_000_000;
        assert_eq!(super::episodes(&[0, hour, 20 * hour, 60 * hour]), [0, 60 * hour]);
        assert!(super::episodes(&[]).is_empty());
    }
}
