//! Jobs with more than one step: windows of every kind, joins of streams, unions, and functions over whole windows.

use crate::common::{Log, Record, config, reading, run};
use pipelines::Job;
use serde_json::{Value, json};

const READINGS: &str = "CREATE TABLE readings (
    station TEXT, result DOUBLE, property TEXT,
    ts TIMESTAMP METADATA FROM 'ce_time',
    WATERMARK FOR ts AS ts - INTERVAL '5 seconds'
) WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = 'io.citybrain.sensor.observation.v1');
";

const CALLS: &str = "CREATE TABLE calls (
    caller TEXT, station TEXT,
    ts TIMESTAMP METADATA FROM 'ce_time',
    WATERMARK FOR ts AS ts - INTERVAL '5 seconds'
) WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = 'io.citybrain.call.v1');
";

fn job(sql: &str) -> Job {
    let sql = format!("{READINGS}{CALLS}CREATE TABLE out WITH (connector = 'delta', path = 'gold.test');\n{sql}");
    Job::parse("test", &sql, &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn call(second: i64, caller: &str, station: &str) -> Record {
    Record { second: Some(second), kind: "io.citybrain.call.v1", data: format!(r#"{{"caller":"{caller}","station":"{station}"}}"#) }
}

fn level(second: i64, station: &str, value: f64) -> Record {
    reading(second, station, "level", "m", value)
}

/// The rows of a job over a log, however it is cut: they must be the same.
async fn rows(sql: &str, log: &[Record]) -> Vec<Value> {
    let log = Log::one(log.to_vec());
    let mut first: Option<(Vec<String>, Vec<Value>)> = None;
    for (step, lanes) in [(1_000, 1), (3, 2), (1, 1)] {
        let sink = run(job(sql), &log, step, config(lanes)).await;
        let ids: Vec<String> = sink.rows().into_keys().collect();
        let rows = sink.json();
        match &first {
            None => first = Some((ids, rows)),
            Some(first) => assert_eq!((&first.0, &first.1), (&ids, &rows), "{step} at a time on {lanes} lanes"),
        }
    }
    first.expect("it ran").1
}

fn time(second: i64) -> Value {
    json!(crate::common::at(second).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
}

#[tokio::test]
async fn hopping_windows_overlap() {
    let log = [level(0, "a", 1.0), level(6, "a", 2.0), level(12, "a", 4.0)];
    let sql = "INSERT INTO out SELECT hop(INTERVAL '5 seconds', INTERVAL '10 seconds') AS window, station, count(*) AS n, sum(result) AS total
               FROM readings GROUP BY 1, station";
    let rows = rows(sql, &log).await;
    let short: Vec<(Value, i64, f64)> =
        rows.iter().map(|row| (row["window"]["start"].clone(), row["n"].as_i64().unwrap(), row["total"].as_f64().unwrap())).collect();
    assert_eq!(short, [(time(-5), 1, 1.0), (time(0), 2, 3.0), (time(5), 2, 6.0), (time(10), 1, 4.0)]);
    assert_eq!(rows[0]["window"]["end"], time(5));
}

#[tokio::test]
async fn sessions_grow_and_touch() {
    // 0, 8 and 16 hang together only through 8, which comes last; 40 stands alone.
    let log = [level(0, "a", 1.0), level(1, "b", 1.0), level(16, "a", 1.0), level(8, "a", 1.0), level(40, "a", 1.0), level(100, "z", 1.0)];
    let sql = "INSERT INTO out SELECT session(INTERVAL '10 seconds') AS window, station, count(*) AS n FROM readings GROUP BY 1, 2";
    let slow = READINGS.replace("5 seconds", "20 seconds");
    let text = format!("{slow}CREATE TABLE out WITH (connector = 'delta', path = 'gold.test');\n{sql}");
    for step in [1, 2, 100] {
        let job = Job::parse("test", &text, &[]).unwrap();
        let rows = run(job, &Log::one(log.to_vec()), step, config(1)).await.json();
        let short: Vec<(Value, Value, Value, i64)> = rows
            .iter()
            .map(|row| (row["station"].clone(), row["window"]["start"].clone(), row["window"]["end"].clone(), row["n"].as_i64().unwrap()))
            .collect();
        assert_eq!(short.len(), 4, "{short:?}");
        assert!(short.contains(&(json!("a"), time(0), time(26), 3)), "{short:?}");
        assert!(short.contains(&(json!("b"), time(1), time(11), 1)), "{short:?}");
        assert!(short.contains(&(json!("a"), time(40), time(50), 1)), "{short:?}");
    }
}

#[tokio::test]
async fn the_most_of_each_window() {
    let log = [level(0, "a", 1.0), level(1, "a", 1.0), level(2, "b", 1.0), level(11, "b", 1.0), level(12, "c", 1.0)];
    let sql = "CREATE VIEW counts AS SELECT tumble(INTERVAL '10 seconds') AS window, station, count(*) AS n FROM readings GROUP BY 1, 2;
               INSERT INTO out SELECT c.window['end'] AS until, c.station, c.n FROM counts c
               JOIN (SELECT window, max(n) AS most FROM counts GROUP BY window) m ON c.window = m.window AND c.n = m.most";
    let rows = rows(sql, &log).await;
    assert_eq!(rows, [
        json!({"until": time(10), "station": "a", "n": 2}),
        json!({"until": time(20), "station": "b", "n": 1}),
        json!({"until": time(20), "station": "c", "n": 1})
    ]);
    let explained = job(sql).explain();
    assert_eq!(explained.matches("\nstep ").count(), 1, "asked for twice, counted once: {explained}");
}

#[tokio::test]
async fn the_first_rows_of_each_window() {
    let log = [level(0, "a", 1.0), level(1, "b", 3.0), level(2, "c", 2.0), level(11, "a", 5.0), level(12, "b", 5.0)];
    let sql = "INSERT INTO out SELECT station, result, place FROM (
                   SELECT *, row_number() OVER (PARTITION BY window ORDER BY result DESC) AS place
                   FROM (SELECT *, tumble(INTERVAL '10 seconds') AS window FROM readings)
               ) WHERE place <= 2";
    let rows = rows(sql, &log).await;
    assert_eq!(rows, [
        json!({"station": "b", "result": 3.0, "place": 1}),
        json!({"station": "c", "result": 2.0, "place": 2}),
        json!({"station": "a", "result": 5.0, "place": 1}),
        json!({"station": "b", "result": 5.0, "place": 2}),
    ]);
}

#[tokio::test]
async fn distinct_in_windows() {
    let log = [level(0, "a", 1.0), level(1, "a", 3.0), level(2, "c", 2.0), level(11, "a", 5.0)];
    let sql = "INSERT INTO out SELECT DISTINCT station, tumble(INTERVAL '10 seconds') AS window FROM readings";
    let rows = rows(sql, &log).await;
    let short: Vec<(Value, Value)> = rows.iter().map(|row| (row["window"]["start"].clone(), row["station"].clone())).collect();
    assert_eq!(short, [(time(0), json!("a")), (time(0), json!("c")), (time(10), json!("a"))]);
}

#[tokio::test]
async fn two_streams_within_a_distance() {
    let log = [level(0, "a", 1.0), call(3, "kim", "a"), level(5, "b", 2.0), call(4, "lee", "b"), call(30, "kim", "a"), level(31, "a", 9.0), level(90, "z", 0.0)];
    let sql = "INSERT INTO out SELECT c.caller, r.station, r.result FROM readings r JOIN calls c
               ON r.station = c.station AND c.ts BETWEEN r.ts - INTERVAL '2 seconds' AND r.ts + INTERVAL '10 seconds'";
    let mut rows = rows(sql, &log).await;
    rows.sort_by_key(Value::to_string);
    assert_eq!(rows, [
        json!({"caller": "kim", "station": "a", "result": 1.0}),
        json!({"caller": "kim", "station": "a", "result": 9.0}),
        json!({"caller": "lee", "station": "b", "result": 2.0}),
    ]);
}

#[tokio::test]
async fn two_streams_in_the_same_windows() {
    let log = [level(0, "a", 1.0), level(1, "b", 1.0), call(3, "kim", "a"), call(4, "lee", "a"), call(13, "kim", "c"), level(31, "a", 9.0)];
    let sql = "INSERT INTO out SELECT coalesce(r.station, c.station) AS station, r.n AS readings, c.n AS calls FROM
               (SELECT station, count(*) AS n, tumble(INTERVAL '10 seconds') AS window FROM readings GROUP BY 1, 3) r
               FULL JOIN (SELECT station, count(*) AS n, tumble(INTERVAL '10 seconds') AS window FROM calls GROUP BY 1, 3) c
               ON r.station = c.station AND r.window = c.window";
    let mut rows = rows(sql, &log).await;
    rows.sort_by_key(Value::to_string);
    assert_eq!(rows, [
        json!({"calls": 1, "station": "c"}),
        json!({"calls": 2, "readings": 1, "station": "a"}),
        json!({"readings": 1, "station": "a"}),
        json!({"readings": 1, "station": "b"}),
    ]);
}

#[tokio::test]
async fn windows_of_windows() {
    let log: Vec<Record> = (0..120).map(|second| level(second, if second % 3 == 0 { "a" } else { "b" }, 1.0)).collect();
    let sql = "INSERT INTO out SELECT tumble(INTERVAL '1 minute') AS window, max(n) AS most, avg(n) AS usual FROM (
                   SELECT tumble(INTERVAL '10 seconds') AS window, station, count(*) AS n FROM readings GROUP BY 1, 2
               ) GROUP BY 1";
    let rows = rows(sql, &log).await;
    let short: Vec<(Value, Value, Value)> = rows.iter().map(|row| (row["window"]["start"].clone(), row["most"].clone(), row["usual"].clone())).collect();
    assert_eq!(short, [(time(0), json!(7), json!(5.0)), (time(60), json!(7), json!(5.0))]);
}

#[tokio::test]
async fn streams_put_together() {
    let log = [level(0, "a", 1.0), call(3, "kim", "a"), call(4, "lee", "b"), level(31, "a", 9.0)];
    let sql = "INSERT INTO out SELECT tumble(INTERVAL '10 seconds')['start'] AS begin, station, count(*) AS n
               FROM (SELECT station FROM readings UNION ALL SELECT station FROM calls) GROUP BY tumble(INTERVAL '10 seconds'), station";
    let rows = rows(sql, &log).await;
    assert_eq!(rows, [
        json!({"begin": time(0), "station": "a", "n": 2}),
        json!({"begin": time(0), "station": "b", "n": 1}),
        json!({"begin": time(30), "station": "a", "n": 1}),
    ]);
}

#[tokio::test]
async fn lists_come_apart() {
    let log = [call(0, "kim,lee", "a"), call(1, "ann", "b")];
    let sql = "INSERT INTO out SELECT station, unnest(string_to_array(caller, ',')) AS caller FROM calls";
    let rows = rows(sql, &log).await;
    assert_eq!(rows, [
        json!({"station": "a", "caller": "kim"}),
        json!({"station": "a", "caller": "lee"}),
        json!({"station": "b", "caller": "ann"}),
    ]);
}

#[tokio::test]
async fn sessions_of_calendar_months() {
    // 2026-07-18 is day 0; 31 August is day 44, and six months later is 28 February 2027, day 225.
    const DAY: i64 = 86_400;
    let log = [level(44 * DAY, "a", 1.0), level(44 * DAY, "b", 1.0), level(200 * DAY, "b", 1.0), level(225 * DAY + 10, "z", 1.0)];
    let sql = "INSERT INTO out SELECT station, session(INTERVAL '6 months')['end'] AS due, count(*) AS inspections
               FROM readings GROUP BY session(INTERVAL '6 months'), station";
    let log = Log::one(log.to_vec());
    let folder = tempfile::tempdir().unwrap();
    let mut runner = pipelines::Runner::open(job(sql), folder.path(), config(1)).await.unwrap();
    crate::common::push(&mut runner, log.chunk(0, 0, 4));
    let mut sink = crate::common::Memory::default();
    runner.poll(crate::common::at(400 * DAY), &mut sink).await.unwrap();
    assert_eq!(sink.json(), [json!({"station": "a", "due": time(225 * DAY), "inspections": 1})], "b was inspected again in time");
}

#[tokio::test]
async fn json_within_json() {
    let data = r#"{"who":{"name":"kim","tags":["a",7]},"n":{"deep":{"list":[{"x":1.5},{"x":2}]}},"raw":{"any":[1,{"b":null}]},"at":"2026-07-18T08:00:00+08:00"}"#;
    let log = [Record { second: Some(0), kind: "io.citybrain.call.v1", data: data.to_owned() }];
    let sql = "CREATE TABLE deep (
                   who STRUCT<name TEXT, tags TEXT[]>, n STRUCT<deep STRUCT<list STRUCT<x DOUBLE>[]>>, raw JSON, at TIMESTAMP,
                   day BIGINT GENERATED ALWAYS AS (extract(day FROM at)) STORED,
                   WATERMARK FOR at AS at - INTERVAL '1 second'
               ) WITH (connector = 'kafka', topic = 'raw.sensor', 'event.type' = 'io.citybrain.call.v1');
               INSERT INTO out SELECT who.name AS name, n.deep.list[2]['x'] AS x, raw -> 'any' AS any, raw -> 'any' ->> 0 AS first,
                   json_length(raw, 'any') AS length, json_contains(raw, 'some') AS some, extract_json_string(raw, '$.any[0]') AS text, day FROM deep";
    let rows = rows(sql, &log).await;
    assert_eq!(rows, [json!({"name": "kim", "x": 2.0, "any": "[1,{\"b\":null}]", "first": "1", "length": 2, "some": false, "day": 18})]);
}

#[tokio::test]
async fn a_field_of_a_window_in_the_condition_of_a_lookup() {
    let sql = format!(
        "{READINGS}CREATE TABLE baseline (hour INT, expected BIGINT) WITH (connector = 'filesystem', path = 'b.csv');
         CREATE TABLE out WITH (connector = 'delta', path = 'gold.test');
         CREATE VIEW hours AS SELECT tumble(INTERVAL '1 hour') AS hour, station, count(*) AS n FROM readings GROUP BY 1, 2;
         CREATE VIEW c AS SELECT h.hour, h.station, b.expected FROM hours h LEFT JOIN baseline b ON b.hour = date_part('hour', h.hour['start']);
         INSERT INTO out SELECT hour['start'] AS s, station, expected FROM c"
    );
    let job = Job::parse("test", &sql, &[("b.csv", "hour,expected\n0,7\n1,9\n")]).unwrap_or_else(|error| panic!("{error}"));
    let rows = run(job, &Log::one(vec![level(0, "a", 1.0), level(3_700, "a", 1.0)]), 10, config(1)).await.json();
    assert_eq!(rows, [json!({"s": time(0), "station": "a", "expected": 7}), json!({"s": time(3_600), "station": "a", "expected": 9})]);
}
