//! Jobs in Arroyo's dialect: what is exported is still a job here, and gives the same rows; what is not is refused in words.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::DateTime;
use crate::common::golden::{Event, Golden, chunk, shipped};
use crate::common::{Memory, START_S, config, push};
use pipelines::{ArroyoExport, ArroyoNote, ArroyoPlace, Job, Runner, Target, builtin_jobs, export_arroyo};
use serde_json::Value;

const LAKE: &str = "file:///lake";

fn place() -> ArroyoPlace {
    ArroyoPlace { bootstrap_servers: "kafka:9092".to_owned(), lake: Some(LAKE.to_owned()) }
}

fn export(job: &Job) -> Result<ArroyoExport, String> {
    export_arroyo(job, &place()).map_err(|error| error.to_string())
}

fn parse(name: &str, sql: &str) -> Job {
    Job::parse(name, sql, &[]).unwrap_or_else(|error| panic!("{error}\n{sql}"))
}

/// What a job gives for some events, all of them at once.
async fn rows(job: Job, events: &[Event]) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let topics = job.topics().to_vec();
    let now = events.iter().map(|event| event.recorded_us).max().and_then(DateTime::from_timestamp_micros).expect("there are events");
    let mut runner = Runner::open(job, folder.path(), config(1)).await.expect("the job opens");
    let mut sink = Memory::default();
    for topic in &topics {
        let of_topic: Vec<&Event> = events.iter().filter(|event| event.topic == *topic).collect();
        if !of_topic.is_empty() {
            runner.assign(topic, 0);
            push(&mut runner, chunk(&of_topic, 0));
        }
    }
    runner.poll(now, &mut sink).await.expect("the job runs");
    runner.close_all(now, &mut sink).await.expect("the job ends");
    sink.json()
}

/// The rows that an exported job gives when its relays run before and after it.
async fn rows_of_export(export: &ArroyoExport, events: &[Event]) -> Vec<Value> {
    let mut there = events.to_vec();
    for (name, sql) in export.relays.iter().filter(|(name, _)| name.contains("_in_")) {
        there.extend(carried(parse(name, sql), events).await);
    }
    let main = parse("exported", &export.sql);
    let Some((name, sql)) = export.relays.iter().find(|(name, _)| name.contains("_out_")) else { return rows(main, &there).await };
    let given = carried(main, &there).await;
    rows(parse(name, sql), &given).await
}

/// The rows of a job as records of the topic that it writes.
async fn carried(job: Job, events: &[Event]) -> Vec<Event> {
    let Target::Kafka { topic, event_type: None, .. } = job.target().clone() else { panic!("{} writes plain JSON to a topic", job.name()) };
    let recorded_us = events.iter().map(|event| event.recorded_us).max().expect("there are events");
    let record = |row: Value| Event { topic: topic.clone(), kind: None, time_us: 0, recorded_us, data: row.to_string() };
    rows(job, events).await.into_iter().map(record).collect()
}

fn sorted(rows: Vec<Value>) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    rows.sort();
    rows
}

/// The first line of what is said, without the place of what stands there.
fn told(result: &Result<ArroyoExport, String>) -> String {
    match result {
        Ok(export) => format!("ok, {} relays", export.relays.len()),
        Err(error) => error.lines().next().unwrap_or_default().to_owned(),
    }
}

#[tokio::test]
async fn jobs_that_ship() {
    let results: BTreeMap<&str, Result<ArroyoExport, String>> = builtin_jobs().iter().map(|job| (job.name, export(&shipped(job.name)))).collect();
    let said: Vec<String> = results.iter().map(|(name, result)| format!("{name}: {}", told(result))).collect();
    let lookup = |job: &str, place: &str, table: &str| format!("{job}: {job}.sql:{place}: table {table} is looked up, and Arroyo looks things up in Redis only");
    assert_eq!(said, [
        lookup("alarms", "37:5", "thresholds"),
        "deadline_risk: ok, 1 relays".to_owned(),
        "district_15m: ok, 1 relays".to_owned(),
        "district_1m: ok, 1 relays".to_owned(),
        lookup("flat_line", "29:5", "devices"),
        "gas_overdue: gas_overdue.sql:41:9: a session of calendar months, and Arroyo's have a fixed length".to_owned(),
        "hotspots: ok, 1 relays".to_owned(),
        "levels: levels.sql:66:5: evidence() of several positions, which Arroyo cannot sort".to_owned(),
        lookup("no_signal", "30:5", "devices"),
        lookup("observations", "33:5", "properties"),
        lookup("precursors", "33:5", "precursors"),
        lookup("quality", "31:5", "properties"),
        "repeat_callers: ok, 1 relays".to_owned(),
        "sensor_15m: sensor_15m.sql:40:5: windows of tumble 15 min over windows of tumble 1 min".to_owned(),
        "sensor_1m: ok, 1 relays".to_owned(),
        lookup("surge", "42:5", "baseline"),
        lookup("thresholds", "38:5", "thresholds"),
        lookup("trends", "40:5", "thresholds"),
        lookup("weighing_anomalies", "45:5", "stations"),
    ]);
    for (name, result) in &results {
        let Ok(export) = result else { continue };
        let golden = Golden::load(name);
        let events = golden.events(golden.job().topics());
        let here = sorted(rows(golden.job(), &events).await);
        assert!(!here.is_empty(), "{name} gives rows");
        assert_eq!(sorted(rows_of_export(export, &events).await).join("\n"), here.join("\n"), "{name} (left: exported)\n{}", export.sql);
    }
}

/// Bids, auctions and persons as the benchmark's queries read them.
fn nexmark() -> Vec<Event> {
    let time = |second: i64| DateTime::from_timestamp(START_S + second, 0).expect("a second of a day").to_rfc3339();
    let event = |second: i64, kind: &str, data: String| {
        let time_us = (START_S + second) * 1_000_000;
        Event { topic: "nexmark".to_owned(), kind: Some(format!("io.nexmark.{kind}")), time_us, recorded_us: time_us, data }
    };
    let mut events = Vec::new();
    for n in 0..120 {
        let at = time(n);
        if n % 10 == 0 {
            let state = ["OR", "ID", "CA", "WA"][(n / 10) as usize % 4];
            events.push(event(n, "person", format!(r#"{{"id":{},"name":"p{n}","city":"c","state":"{state}","datetime":"{at}"}}"#, n / 10)));
        }
        if n % 5 == 0 {
            let (expires, seller, category) = (time(n + 20), n / 10, 10 + n % 3);
            events.push(event(
                n,
                "auction",
                format!(r#"{{"id":{},"item_name":"i{n}","initial_bid":1,"reserve":{n},"datetime":"{at}","expires":"{expires}","seller":{seller},"category":{category}}}"#, n / 5),
            ));
        }
        let (auction, bidder, price) = (n / 5, n % 7, 900_000 + (n * 7_919) % 500_000);
        let url = format!("https://a.b/c{n}/d/e/item.htm?channel_id={n}");
        events.push(event(
            n,
            "bid",
            format!(r#"{{"auction":{auction},"bidder":{bidder},"price":{price},"channel":"channel-{}","url":"{url}","datetime":"{at}"}}"#, n % 4),
        ));
    }
    events
}

#[tokio::test]
async fn queries_of_the_benchmark() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("nexmark");
    let (events, mut exported, mut refused) = (nexmark(), Vec::new(), Vec::new());
    for number in 0..23 {
        let Ok(sql) = std::fs::read_to_string(folder.join(format!("q{number}.sql"))) else { continue };
        let side = std::fs::read_to_string(folder.join("side_input.csv")).expect("the file is there");
        let job = Job::parse(&format!("q{number}"), &sql, &[("side_input.csv", &side)]).unwrap_or_else(|error| panic!("{error}"));
        match export(&job) {
            Ok(export) => {
                let here = sorted(rows(job, &events).await);
                assert!(!here.is_empty(), "q{number} gives rows");
                assert_eq!(sorted(rows_of_export(&export, &events).await).join("\n"), here.join("\n"), "q{number} (left: exported)\n{}", export.sql);
                exported.push(number);
            }
            Err(error) => refused.push(error),
        }
    }
    assert_eq!(exported, [0, 1, 2, 3, 4, 5, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22]);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].starts_with("q13.sql:9:") && refused[0].contains("Redis"), "{refused:?}");
}

const READINGS: &str = "CREATE TABLE readings (station TEXT, result DOUBLE, n BIGINT, raw JSON, ts TIMESTAMP, origin POSITION METADATA FROM 'position',
    local TIMESTAMP GENERATED ALWAYS AS (ts + INTERVAL '8 hours') STORED, WATERMARK FOR ts AS ts - INTERVAL '90 seconds')
WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = 'a.b');
";
const CALLS: &str = "CREATE TABLE calls (station TEXT, who STRUCT<name TEXT, tags TEXT[]>, ts TIMESTAMP, nth BIGINT METADATA FROM 'offset', WATERMARK FOR ts)
WITH (connector = 'kafka', bootstrap_servers = 'other:9092', topic = 'calls', format = 'json');
";

#[test]
fn what_is_written() {
    let sql = format!(
        "-- Counts.\n{READINGS}{CALLS}CREATE TABLE out (station TEXT, share BIGINT, began TIMESTAMP, milli BIGINT)
         WITH (connector = 'kafka', topic = 'city.signal', 'event.type' = 'c.d', key = 'station');
         CREATE VIEW minutes AS SELECT tumble(ts, INTERVAL '1 minute') AS w, station, count(*) AS n, sum(milli(result)) AS milli, CAST(max(station) AS BIGINT) AS top
         FROM readings GROUP BY 1, 2;
         INSERT INTO out SELECT m.station, m.n / m.top AS share, m.w['start'] AS began, m.milli FROM minutes m
         JOIN (SELECT tumble(INTERVAL '1 minute') AS w, station, count(*) AS calls FROM calls GROUP BY 1, 2) c ON m.w = c.w AND m.station = c.station
         WHERE m.n % 2 = 0"
    );
    let export = export(&parse("busy", &sql)).unwrap();
    for expected in [
        "-- Job busy of the city brain, for Arroyo.\n-- Counts.\n-- Note: Arroyo reads no headers: job busy_in_readings must run in the city brain.",
        "    station TEXT,\n    result DOUBLE,\n    n BIGINT,\n    raw TEXT,\n    ts TIMESTAMP,\n    origin STRUCT<topic TEXT, partition INT, offset BIGINT>,\n    local TIMESTAMP GENERATED ALWAYS AS (ts + INTERVAL '8 hours') STORED,\n    WATERMARK FOR ts AS ts - INTERVAL '90 seconds'\n) WITH (\n    connector = 'kafka',\n    type = 'source',\n    bootstrap_servers = 'kafka:9092',\n    topic = 'arroyo.busy.readings',\n    format = 'json',\n    bad_data = 'drop',\n    'source.offset' = 'earliest'\n);",
        "    who STRUCT<name TEXT, tags TEXT[]>,\n    ts TIMESTAMP,\n    nth BIGINT METADATA FROM 'offset_id',\n    WATERMARK FOR ts AS ts - INTERVAL '1 seconds'\n",
        "bootstrap_servers = 'other:9092',\n    topic = 'calls'",
        "tumble(INTERVAL '1 minute') AS w",
        "TRY_CAST(max(station) AS BIGINT)",
        "m.n / nullif(m.top, 0) AS share",
        "m.w.start AS began",
        "m.n % 2 = 0",
        "'sink.key_field' = 'station'",
        "topic = 'arroyo.busy.out'",
    ] {
        assert!(export.sql.contains(expected), "{expected}\n--- is not in ---\n{}", export.sql);
    }
    assert_eq!(export.relays.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["busy_in_readings", "busy_out_out"]);
    assert!(export.relays[0].1.contains("origin POSITION METADATA FROM 'position'"), "{}", export.relays[0].1);
    assert!(export.relays[1].1.contains("'event.type' = 'c.d'") && export.relays[1].1.contains("key = 'station'"), "{}", export.relays[1].1);
    assert_eq!(export.functions.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["milli"]);
    assert!(export.functions[0].1.contains("#[udf]\nfn milli("), "{}", export.functions[0].1);
    assert!(export.notes.contains(&ArroyoNote::BadRecords("calls".to_owned())), "{:?}", export.notes);
}

/// The first line of what is said of this query, and its help.
fn refused(insert: &str, expected: [&str; 2]) {
    let sink = "CREATE TABLE out WITH (connector = 'delta', path = 'gold.test');\n";
    let error = export(&parse("test", &format!("{READINGS}{CALLS}{sink}{insert}"))).expect_err("Arroyo has no equivalent");
    let help = error.lines().nth(1).unwrap_or_default();
    assert_eq!([error.lines().next().unwrap_or_default(), help.trim_start().trim_start_matches("help: ")], expected, "\n{insert}");
}

#[test]
fn what_is_refused() {
    refused("INSERT INTO out SELECT evidence(origin, origin) AS e FROM readings", [
        "test.sql:7:24: evidence() of several positions, which Arroyo cannot sort",
        "give evidence() one column, or leave this job in the city brain",
    ]);
    refused("INSERT INTO out SELECT position_at_max(n, coalesce(origin, origin)) AS e FROM readings GROUP BY tumble(INTERVAL '1 minute')", [
        "test.sql:7:24: position_at_max() of a position that is no column",
        "compute the position in a subquery, and name it here",
    ]);
    refused("INSERT INTO out SELECT count(*) AS n FROM readings GROUP BY session(INTERVAL '1 month')", [
        "test.sql:7:61: a session of calendar months, and Arroyo's have a fixed length",
        "write days, as in session(INTERVAL '183 days'), or leave this job in the city brain",
    ]);
    refused("INSERT INTO out SELECT count(*) AS n FROM readings GROUP BY hop(INTERVAL '40 minutes', INTERVAL '1 hour')", [
        "test.sql:7:61: a hop of 1 h every 40 min",
        "Arroyo wants a width that is a multiple of the slide",
    ]);
    refused("INSERT INTO out SELECT DISTINCT station, tumble(INTERVAL '1 minute') AS w FROM readings", [
        "test.sql:7:42: rows that get windows without GROUP BY",
        "Arroyo has windows in GROUP BY only: group by the window and by the columns that are needed",
    ]);
    refused(
        "INSERT INTO out SELECT max(n) AS n FROM (SELECT tumble(INTERVAL '1 minute') AS w, count(*) AS n FROM readings GROUP BY 1) GROUP BY tumble(INTERVAL '1 hour')",
        ["test.sql:7:49: windows of tumble 1 h over windows of tumble 1 min", "Arroyo aggregates windows in the same windows only: write two jobs with a topic between them"],
    );
    refused(
        "INSERT INTO out SELECT a.station FROM readings a LEFT JOIN calls b ON a.station = b.station AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '1 minute'",
        ["test.sql:7:17: an outer join of rows within a time, whose results Arroyo would take back later", "write JOIN, or give both sides the same window"],
    );
    refused(
        "INSERT INTO out SELECT a.station FROM readings a JOIN calls b ON a.station = b.station AND b.ts BETWEEN a.ts AND a.ts + INTERVAL '3 days'",
        ["test.sql:7:17: a join of rows that are 72 h apart: Arroyo forgets rows after a day", "join within a day, or leave this job in the city brain"],
    );
    refused(
        "INSERT INTO out SELECT a.station FROM (SELECT session(INTERVAL '5 s') AS w, station FROM readings GROUP BY 1, 2) a
         JOIN (SELECT session(INTERVAL '5 s') AS w, station FROM calls GROUP BY 1, 2) b ON a.w = b.w",
        ["test.sql:7:17: a join of sessions", "Arroyo joins tumbling and hopping windows only: leave this job in the city brain"],
    );
    refused("INSERT INTO out SELECT tumble(INTERVAL '1 minute')['start'] AS s, count(*) AS n FROM readings GROUP BY tumble(INTERVAL '1 minute')", [
        "test.sql:7:24: a field of a window function's call",
        "name the window in a subquery, and take the field there: SELECT w['start'] FROM (SELECT tumble(...) AS w, ... GROUP BY w)",
    ]);
    let sql = format!("{READINGS}CREATE TABLE out WITH (connector = 'delta', path = 'gold.test');\nINSERT INTO out SELECT station FROM readings");
    let nowhere = ArroyoPlace { lake: None, ..place() };
    assert_eq!(
        export_arroyo(&parse("test", &sql), &nowhere).unwrap_err().to_string(),
        "test.sql:4:14: table gold.test lies in the lakehouse of this home\n  help: say where Arroyo finds a lakehouse: --lake s3://bucket/lake"
    );
}
