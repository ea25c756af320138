//! `citybrain eval cities`: the work orders of four real cities through everything: how fast, with how much memory, how many
//! have somebody who owes them, and for Houston, which tells when its orders were due and closed, what the brain makes of
//! that.

use anyhow::{Result, bail};
use chrono::{DateTime, Utc};
use graph::Graph;
use lakehouse::Lake;
use serde::Serialize;

use super::{Through, data_file, through_everything, us};
use crate::cli::{Ended, Invocation};
use crate::lake::{self, Row, integer, text};
use crate::lang::t;

/// Name, mapping and file.
const CITIES: [(&str, &str, &str); 4] = [
    ("Baltimore", "baltimore", "work_orders/baltimore311_7000.csv.gz"),
    ("Houston", "houston", "work_orders/houston311_2011_2017.parquet"),
    ("New York", "nyc", "work_orders/nyc311_2013-12-25.csv.gz"),
    ("Taipei", "taipei", "dispatch_cases/taipei1999_2015_2024.parquet"),
];

#[derive(Serialize)]
struct City {
    name: &'static str,
    events: u64,
    refused: u64,
    seconds: f64,
    events_per_second: f64,
    /// Reading and decoding the same topic, nothing else.
    floor_events_per_second: f64,
    cpu_seconds_per_million: f64,
    peak_mib: u64,
    cases: i64,
    /// Cases that a unit owes.
    with_unit: f64,
    /// The same, and not the unit that owes whatever nobody else does.
    with_own_unit: f64,
    /// What the unit that owes the most would make of it, if it owed all: the baseline.
    commonest_unit: f64,
    incidents: i64,
    deadlines: Option<Deadlines>,
}

/// What the brain says of orders whose city says when they were due and closed.
#[derive(Default, Serialize)]
struct Deadlines {
    closed: u64,
    /// Closed after the city's own deadline.
    late: f64,
    /// Of those, the share that the brain called overdue.
    late_called_overdue: f64,
    /// Of those that were in time, the share that it called overdue.
    in_time_called_overdue: f64,
    /// Days until they were closed, the city's deadline, and the deadline that the graph's rules would give: medians.
    days_taken: f64,
    days_allowed: f64,
    days_by_rules: f64,
    /// Share closed later than the graph's rules would allow.
    late_by_rules: f64,
}

/// The command.
pub async fn run(context: &Invocation) -> Result<Ended> {
    let mut cities = Vec::new();
    for (name, mapping, file) in CITIES {
        if data_file(file).is_none() {
            eprintln!("{name}: {} {file}", t("数据不在，跳过：", "not measured, since its data is not here:"));
            continue;
        }
        let through = through_everything(context, &format!("cities-{mapping}"), mapping, file).await?;
        let city = measured(name, &through).await?;
        through.service.stop().await?;
        if !context.global.json {
            print(&city);
        }
        cities.push(city);
    }
    if cities.is_empty() {
        bail!("{}", t("没有任何城市的数据：请用 CITYBRAIN_DATA 指明数据目录", "the data of no city is here: name the data folder in CITYBRAIN_DATA"));
    }
    if context.global.json {
        println!("{}", serde_json::to_string_pretty(&cities)?);
    }
    Ok(Ended::Done)
}

async fn measured(name: &'static str, through: &Through) -> Result<City> {
    let lake = &through.service.lake;
    let units = lake::rows(lake, "SELECT coalesce(unit, '') AS unit, count(*) AS n FROM silver.decision WHERE kind = 'triage' GROUP BY 1 ORDER BY n DESC").await?;
    let graph = Graph::builtin();
    let default = graph.city().map(|city| city.default_unit.clone()).unwrap_or_default();
    let sum = |wanted: &dyn Fn(&str) -> bool| units.iter().filter(|row| wanted(text(row, "unit"))).map(|row| integer(row, "n")).sum::<i64>();
    let cases = sum(&|_| true);
    let share = |n: i64| n as f64 / cases.max(1) as f64;
    let incidents = lake::rows(lake, "SELECT count(DISTINCT incident) AS n FROM silver.incident_transition").await;
    let floor = bus::consume_floor(&through.service.bus, "raw.workorder", true).await?;
    Ok(City {
        name,
        events: through.events,
        refused: through.refused,
        seconds: through.seconds,
        events_per_second: through.events as f64 / through.seconds,
        floor_events_per_second: floor.events_per_second(),
        cpu_seconds_per_million: through.cpu_seconds * 1e6 / through.events.max(1) as f64,
        peak_mib: through.peak_mib,
        cases,
        with_unit: share(sum(&|unit| !unit.is_empty())),
        with_own_unit: share(sum(&|unit| !unit.is_empty() && unit != default)),
        commonest_unit: share(units.first().map_or(0, |row| integer(row, "n"))),
        // A city without incidents has no table of them.
        incidents: incidents.ok().and_then(|rows| rows.first().map(|row| integer(row, "n"))).unwrap_or(0),
        deadlines: deadlines(lake, &graph).await?,
    })
}

/// Nothing where the city does not say when its orders were due.
async fn deadlines(lake: &Lake, graph: &Graph) -> Result<Option<Deadlines>> {
    let query = format!(
        "WITH made AS (SELECT request_id, min({}) AS opened, min({}) AS due FROM silver.workorder_created WHERE due IS NOT NULL GROUP BY 1), \
         done AS (SELECT request_id, max({}) AS closed FROM silver.workorder_closed GROUP BY 1), \
         ours AS (SELECT request, max(category) AS category, bool_or(overdue) AS overdue FROM silver.case_transition GROUP BY 1) \
         SELECT opened, due, closed, ours.category, CAST(ours.overdue AS INT) AS overdue FROM made \
         JOIN done ON made.request_id = done.request_id JOIN ours ON made.request_id = ours.request WHERE closed >= opened AND due >= opened",
        us("event_time"),
        us("due"),
        us("event_time")
    );
    let rows = lake::rows(lake, &query).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let at = |row: &Row, column: &str| DateTime::<Utc>::from_timestamp_micros(integer(row, column)).unwrap_or_default();
    let days = |row: &Row, from: &str, to: &str| (integer(row, to) - integer(row, from)) as f64 / 86_400e6;
    let by_rules = |row: &Row| {
        let deadline = graph.category(text(row, "category")).map(|category| category.deadline);
        deadline.map(|deadline| graph.calendar().due(at(row, "opened"), deadline, 0))
    };
    let late = |row: &&Row| integer(row, "closed") > integer(row, "due");
    let overdue = |row: &&Row| integer(row, "overdue") == 1;
    let (were_late, in_time): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(late);
    let share = |some: usize, all: usize| some as f64 / all.max(1) as f64;
    let allowed_by_rules = rows.iter().filter_map(|row| Some((by_rules(row)? - at(row, "opened")).num_minutes() as f64 / 1440.0));
    Ok(Some(Deadlines {
        closed: rows.len() as u64,
        late: share(were_late.len(), rows.len()),
        late_called_overdue: share(were_late.iter().copied().filter(overdue).count(), were_late.len()),
        in_time_called_overdue: share(in_time.iter().copied().filter(overdue).count(), in_time.len()),
        days_taken: median(rows.iter().map(|row| days(row, "opened", "closed"))),
        days_allowed: median(rows.iter().map(|row| days(row, "opened", "due"))),
        days_by_rules: median(allowed_by_rules),
        late_by_rules: share(rows.iter().filter(|row| by_rules(row).is_some_and(|due| at(row, "closed") > due)).count(), rows.len()),
    }))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print(city: &City) {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    println!("{}: {} {}, {} {}", city.name, city.events, t("条事件", "events"), city.refused, t("条被拒收", "refused"));
    println!(
        "  {:.0} events/s ({}: {:.0}), {:.1} CPU-s {}, {} {} MiB",
        city.events_per_second,
        t("只读取并解码", "consume and decode only"),
        city.floor_events_per_second,
        city.cpu_seconds_per_million,
        t("每百万条", "per million"),
        t("内存峰值", "peak memory"),
        city.peak_mib
    );
    println!(
        "  {} {}: {} {}, {} {} ({} {})",
        city.cases,
        t("件案件", "cases"),
        percent(city.with_unit),
        t("有责任单位", "have a unit"),
        percent(city.with_own_unit),
        t("非兜底单位", "another than the default"),
        t("基线：最常见单位", "baseline, the commonest unit for all:"),
        percent(city.commonest_unit)
    );
    println!("  {} {}", city.incidents, t("起事件", "incidents"));
    if let Some(it) = &city.deadlines {
        println!(
            "  {} {}: {} {}; {} {}, {} {}",
            it.closed,
            t("件已结工单的真实时限", "closed orders and their real deadlines"),
            percent(it.late),
            t("超期", "were late"),
            percent(it.late_called_overdue),
            t("被判超期", "of those were called overdue"),
            percent(it.in_time_called_overdue),
            t("按时者误判", "of the others")
        );
        println!(
            "  {}: {:.1} / {:.1} / {:.1} {}; {} {}",
            t("办结用时 / 城市时限 / 图谱时限，中位数", "median of time taken / the city's deadline / the graph's deadline"),
            it.days_taken,
            it.days_allowed,
            it.days_by_rules,
            t("天", "days"),
            percent(it.late_by_rules),
            t("超出图谱时限", "took longer than the graph's rules allow")
        );
    }
}
